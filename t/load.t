# SPDX-License-Identifier: Apache-2.0
# Many clients over several processes, half of the keys bad: nobody sees an error, and the counts add
# up. APIPOOL_TEST_REQUESTS sets the number of requests per MPM.
use strict;
use warnings;

use APIPoolTest qw(private_httpd mock_port upstream_since);
use Apache::Test ();
use HTTP::Tiny ();
use Test::More;

my $REQUESTS = $ENV{APIPOOL_TEST_REQUESTS} || 3000;
my $CLIENTS = 24;

my @good = map { sprintf 'sk-ok-load-%04d-xxxxxxxx', $_ } 1 .. 20;
my @bad = map { (sprintf('sk-401-load-%04d-xxxxxxxx', $_), sprintf('sk-429-load-%04d-retry600-xxx', $_)) } 1 .. 10;

sub server {
    my ($mpm) = @_;
    return private_httpd(
        mpm => $mpm,
        files => {keys => join "\n", map { ($good[$_], $bad[$_]) } 0 .. 19},
        config => <<"CONF",
<APIPool load>
    APIPoolUpstream http://127.0.0.1:@{[mock_port()]}/v1
    APIPoolKeyFile \@DIR\@/keys
    APIPoolRotations 20
</APIPool>
<Location "/v1">
    APIPoolUse load
    APIPoolExpose On
</Location>
CONF
    );
}

# One client: a number of requests over a kept-alive connection, plain and streamed; writes what it
# saw to a pipe.
sub client {
    my ($httpd, $number) = @_;
    my $http = HTTP::Tiny->new(keep_alive => 1, timeout => 60);
    my ($attempts, @faults) = (0);
    for my $i (1 .. $REQUESTS / $CLIENTS) {
        my $stream = $i % 3 == 0;
        my $answer = $http->post("$httpd->{base}/v1/chat",
            {content => sprintf '{"model":"m","n":%d,"stream":%s}', $number, $stream ? 'true' : 'false'});
        push @faults, "$answer->{status} $answer->{content}" if $answer->{status} != 200;
        push @faults, 'incomplete' if $answer->{content} !~ ($stream ? qr/\[DONE\]/ : qr/"usage"/);
        $attempts += $answer->{headers}{'x-apipool-attempts'} || 0;
    }
    return "$attempts\n" . join "\n", @faults;
}

sub run_clients {
    my ($httpd) = @_;
    my @pipes;
    for my $number (1 .. $CLIENTS) {
        my $pid = open my $pipe, '-|';
        if (!$pid) {
            print client($httpd, $number);
            close STDOUT;
            require POSIX;
            POSIX::_exit(0);
        }
        push @pipes, $pipe;
    }
    return map { local $/; my $text = <$_>; [split /\n/, $text] } @pipes;
}

for my $mpm (qw(event worker prefork)) {
    subtest "$mpm MPM" => sub {
        my $mark = APIPoolTest::upstream_mark();
        my $httpd = server($mpm);
        my $sent = int($REQUESTS / $CLIENTS) * $CLIENTS;
        my @results = run_clients($httpd);
        my ($attempts, @faults) = (0);
        for my $result (@results) {
            my ($count, @lines) = @$result;
            $attempts += $count;
            push @faults, @lines;
        }
        is scalar @faults, 0, "$sent requests, no client sees an error" or diag $faults[0];
        my @seen = grep { $_->{method} eq 'POST' } upstream_since($mark); # probes of refused keys are no client's
        is scalar @seen, $attempts, 'the upstream saw exactly the attempts that clients were told';
        my %used;
        $used{$_->{key}}++ for @seen;
        my %times = map { $_ => $used{$_} || 0 } @bad;
        my $refused = 0;
        $refused += $_ for values %times;
        is $attempts - $refused, $sent, 'every request was answered by a good key';
        cmp_ok $refused, '<=', 20 * $CLIENTS, 'bad keys were asked only until their answer was known';
        is scalar(grep { $used{$_} } @good), 20, 'all good keys were used';
        my ($least, $most) = (sort { $a <=> $b } @used{@good})[0, -1];
        cmp_ok $most, '<=', $least * 1.2 + 8, "evenly: $least to $most";
        unlike $httpd->log, qr/exit signal|:error\]|:crit\]|:emerg\]/, 'no error in the log';
        $httpd->stop;
    };
}

done_testing;
