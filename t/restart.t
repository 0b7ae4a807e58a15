# SPDX-License-Identifier: Apache-2.0
# A graceful restart adopts the pools: states and turns go on, new keys are merged, streams finish.
use strict;
use warnings;

use APIPoolTest qw(private_httpd chat request upstream_mark upstream_since mock_port wait_for spew slurp);
use Apache::Test ();
use Test::More;
use Time::HiRes qw(sleep time);

my $config = <<"CONF";
<APIPool main>
    APIPoolUpstream http://127.0.0.1:@{[mock_port()]}/v1 name=one
    APIPoolKeyFile \@DIR\@/keys
    APIPoolStrategy round-robin
</APIPool>
<Location "/v1">
    APIPoolUse main
    APIPoolExpose On
</Location>
CONF
my $httpd = private_httpd(
    config => $config,
    files => {keys => "sk-401-restart-aaaaaaaa\nsk-ok-restart-bbbbbbbbb\n"}
);

sub restart {
    my ($edit) = @_;
    my $file = "$httpd->{dir}/httpd.conf";
    spew($file, $edit->(slurp($file))) if $edit;
    return $httpd->restart;
}

my ($answer, @keys) = chat($httpd, 'v1');
is_deeply \@keys, [qw(sk-401-restart-aaaaaaaa sk-ok-restart-bbbbbbbbb)], 'the first key is refused';
my $id = $answer->{headers}{'x-apipool-key'};

subtest 'keys and their states are adopted' => sub {
    spew("$httpd->{dir}/keys", "sk-401-restart-aaaaaaaa\nsk-ok-restart-bbbbbbbbb\nsk-ok-restart-ccccccccc\n");
    ok restart(), 'restarted';
    my %seen;
    for (1 .. 6) {
        my ($again, @then) = chat($httpd, 'v1');
        $seen{$_}++ for @then;
        is $again->{headers}{'x-apipool-key'}, $id, 'a key has kept its id' if $then[0] =~ /-b+$/;
    }
    is_deeply \%seen, {'sk-ok-restart-bbbbbbbbb' => 3, 'sk-ok-restart-ccccccccc' => 3},
        'the refused key is still out, the new one is in';
    like $httpd->log, qr/AP0050: .*: 1 keys added, 2 known already/, 'the log tells what was merged';
};

subtest 'a key removed from its file stays' => sub {
    spew("$httpd->{dir}/keys", "sk-ok-restart-ccccccccc\n");
    ok restart(), 'restarted';
    my %seen = map { $_ => 1 } map { my (undef, @then) = chat($httpd, 'v1'); @then } 1 .. 4;
    is scalar keys %seen, 2, 'keys are merged, never removed';
};

subtest 'a stream runs on, and its key comes back' => sub {
    my $pid = open my $stream, '-|';
    if (!$pid) {
        my $got = chat($httpd, 'v1', content => '{"model":"m","stream":true}', headers => {'x-mock' => 'stall delay3'});
        print $got->{content};
        close STDOUT;
        require POSIX;
        POSIX::_exit(0);
    }
    sleep 0.5;
    ok restart(), 'restarted while it runs';
    my ($meanwhile) = chat($httpd, 'v1');
    is $meanwhile->{status}, 200, 'others are served meanwhile';
    my $text = do { local $/; <$stream> };
    like $text, qr/data: \[DONE\]\n\n\z/, 'the stream has not been cut';
};

subtest 'an edited configuration finds its own pools again' => sub {
    ok restart(sub { $_[0] =~ s/<APIPool main>/<APIPool other>\n    APIPoolUpstream http:\/\/127.0.0.1:9\n<\/APIPool>\n<APIPool main>/r }),
        'another pool before it';
    my ($again, @then) = chat($httpd, 'v1');
    is $again->{status}, 200, 'main has its keys';
    ok restart(sub { $_[0] =~ s/name=one/name=two/r }), 'its upstream renamed';
    ($again, @then) = chat($httpd, 'v1');
    is_deeply \@then, ['sk-ok-restart-ccccccccc'], 'the keys of its file have moved with it';
    my %seen = map { $_ => 1 } map { my (undef, @keys) = chat($httpd, 'v1'); @keys } 1 .. 4;
    is_deeply [keys %seen], ['sk-ok-restart-ccccccccc'], '... those that the file still names';
};

subtest 'a capacity changed' => sub {
    ok restart(sub { "APIPoolCapacity 8192\nAPIPoolClientCapacity 64\n$_[0]" }), 'restarted';
    like $httpd->log, qr/AP0040: APIPoolCapacity 8192 takes effect after a full stop; until then it stays 4096/,
        'says when it will count';
    like $httpd->log, qr/AP0091: APIPoolClientCapacity 64 takes effect after a full stop; until then it stays 1024/,
        '... for clients as well';
    my ($again) = chat($httpd, 'v1');
    is $again->{status}, 200, 'and serves on';
};

# Two keys, one held by a request that its child will not finish; both are used again afterwards.
sub abandon {
    my ($end) = @_;
    my $other = private_httpd(
        config => $config =~ s/round-robin/least-used/r,
        files => {keys => "sk-ok-slow-delay5-aaaaaaa\nsk-ok-restart-ccccccccc\n"}
    );
    my $send = sub {
        my ($timeout) = @_;
        my $child = fork;
        return $child if $child;
        chat($other, 'v1', timeout => $timeout);
        require POSIX;
        POSIX::_exit(0);
    };
    my $before = upstream_mark();
    my $held = $send->(15);
    wait_for(sub { upstream_since($before) }, 20) or die "the request that shall be abandoned did not start\n";
    $end->($other);
    wait_for(sub { request(GET => '/none', base => $other->{base}, timeout => 2)->{status} == 404 }, 30);
    my $mark = upstream_mark();
    for (1 .. 2) {
        waitpid $send->(4), 0;
    }
    waitpid $held, 0;
    my %seen;
    wait_for(sub { %seen = map { $_->{key} => 1 } upstream_since($mark); keys %seen == 2 }, 5);
    $other->stop;
    return scalar keys %seen;
}

subtest 'keys held by children that end without giving them back' => sub {
    is abandon(
        sub {
            my ($other) = @_;
            my $from = length $other->log;
            kill HUP => $other->pid;
            $other->resumes($from);
        }
    ), 2, 'come back after an ungraceful restart';
    is abandon(
        sub {
            my ($other) = @_;
            my @children = $other->children;
            kill KILL => @children;
            wait_for(sub { !grep { kill 0 => $_ } @children }, 10);
        }
    ), 2, 'come back when a child is killed';
};

subtest 'a full stop changes nothing' => sub {
    $httpd->stop;
    $httpd->start;
    my ($again, @then) = chat($httpd, 'v1');
    is_deeply \@then, ['sk-ok-restart-ccccccccc'], 'the keys of its upstream are there';
    is $httpd->log =~ /AP0041/ ? 1 : 0, 0, 'nothing went wrong';
};

subtest 'what outlives the module does not need it at the end' => sub {
    $httpd->stop;
    spew("$httpd->{dir}/httpd.conf", "APIPoolCapacity 20000\n" . slurp("$httpd->{dir}/httpd.conf") =~ s/^APIPoolCapacity.*//mr);
    my $child = $httpd->start_as_child;
    ok restart(), 'restarted';
    kill TERM => $child;
    waitpid $child, 0;
    is $?, 0, 'the parent ends without a fault';
};

unlike $httpd->log, qr/exit signal|:emerg\]|:crit\]/, 'no child died';

done_testing;
