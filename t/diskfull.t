# SPDX-License-Identifier: Apache-2.0
# A store that cannot be written to: serving goes on, the log says so once, and saving goes on when it can.
use strict;
use warnings;

use APIPoolAdmin qw(admin_server);
use APIPoolTest qw(metrics chat wait_for spew);
use Apache::Test ();
use Test::More;
use Time::HiRes qw(sleep);

my $server = Apache::Test::vars('httpd');

# Ten requests after each of which statistics are due, over several ticks of the clock; how many were served.
sub ask_for_a_while {
    my ($httpd) = @_;
    my $served = 0;
    for (1 .. 10) {
        $served += chat($httpd, 'p', timeout => 10)->{status} == 200;
        sleep 0.4;
    }
    return $served;
}

sub number {
    my ($httpd, $name) = @_;
    return metrics($httpd->{base})->sum($name);
}

sub complaints {
    my ($httpd) = @_;
    my $count = () = $httpd->log =~ /AP00(?:57|81): /g;
    return $count;
}

# Changes of keys by an operator: a key that is new, one that is switched off, one that goes, and a client.
sub change_all {
    my ($httpd) = @_;
    my $admin = $httpd->{admin}->sign_in;
    my ($id) = map { $_->{id} } @{$admin->ask(GET => '/pools/p/keys?sort=id')->{json}{keys}};
    return (
        $admin->ask(POST => '/pools/p/keys?doubtful=add', json => ['sk-ok-full-cccccccc', {key => 'sk-ok-full-aaaaaaaa', weight => 7}]),
        $admin->ask(PATCH => "/pools/p/keys/$id", json => {enabled => JSON::PP::false, label => 'changed'}),
        $admin->ask(POST => '/pools/p/keys/actions', json => {action => 'disable', filter => {}}),
        $admin->ask(DELETE => "/pools/p/keys/$id"),
    );
}

sub told {
    my ($httpd) = @_;
    my @keys = @{$httpd->{admin}->sign_in->ask(GET => '/pools/p/keys?sort=id')->{json}{keys}};
    return map { join ' ', @$_{qw(id state weight)}, $_->{label} // '-' } @keys;
}

# What holds while nothing can be saved, and afterwards; $mend makes room.
sub survives {
    my ($httpd, $why, $mend) = @_;
    my $saves = number($httpd, 'apipool_store_save_seconds_count') - number($httpd, 'apipool_store_errors_total');
    is ask_for_a_while($httpd), 10, 'all requests are served';
    my $errors = number($httpd, 'apipool_store_errors_total');
    cmp_ok $errors, '>=', 2, 'saves have failed more than once';
    is complaints($httpd), 1, '... which the log says once';
    like $httpd->log, qr/\[apipool:error\].*AP00(?:57|81): .*requests are still served\): .*$why/, '... and why';

    my @before = told($httpd);
    for my $answer (change_all($httpd)) {
        is $answer->{status}, 500, 'a change is refused';
        like $answer->{json}{error}{message}, qr/$why/, '... with the reason';
    }
    is_deeply [told($httpd)], \@before, 'no key is other than it was';
    is complaints($httpd), 1, 'the log is not filled by it';

    spew("$httpd->{dir}/p", "sk-ok-full-aaaaaaaa\nsk-ok-full-bbbbbbbb\n");
    ok $httpd->restart, 'a graceful restart does not end httpd';
    like $httpd->log, qr/AP0056: could not save the keys of the key files, will retry: .*$why/,
        '... and says that a new key is not on disk';
    is_deeply metrics($httpd->{base})->states('p'), {active => 2}, '... which serves all the same';
    is chat($httpd, 'p', timeout => 10)->{status}, 200, 'requests are served';

    $mend->();
    ok wait_for(
        sub {
            chat($httpd, 'p', timeout => 10);
            my $now = metrics($httpd->{base});
            $now->sum('apipool_store_save_seconds_count') - $now->sum('apipool_store_errors_total') >= $saves + 2;
        },
        20
        ),
        'when there is room again, keys and statistics are saved';
    is complaints($httpd), 1, 'the log has nothing more to say';
    is_deeply [map { $_->{status} } change_all($httpd)], [200, 200, 200, 200], 'keys can be changed again';
    is scalar(my @left = told($httpd)), 2, '... and are';
    return;
}

# --- A disk that is full ---------------------------------------------------------------------------

# Runs httpd in a mount namespace of its own with a small file system for the store, where that is allowed.
my $unshare = 'unshare -U --map-current-user --keep-caps -m';

sub may_mount {
    my $said = qx($unshare sh -c 'mount -t tmpfs -o size=64k none /tmp && echo mounted' 2>/dev/null);
    return $said eq "mounted\n";
}

# The store as httpd sees it, from outside of its namespace.
sub store_of {
    my ($httpd) = @_;
    return '/proc/' . $httpd->pid . "/root$httpd->{dir}/store";
}

my $config = "LogLevel notice\nAPIPoolSaveInterval 3600\nAPIPoolMaxPendingUpdates 1\n";

sub server {
    my $admin = admin_server({p => {keys => ['sk-ok-full-aaaaaaaa']}}, config => $config);
    my $httpd = $admin->{httpd};
    $httpd->{admin} = $admin->as(httpd => undef); # no circle, or it would never be stopped
    return $httpd;
}

sub stopped_server {
    my $httpd = server();
    $httpd->stop;
    system 'rm', '-rf', "$httpd->{dir}/store";
    unlink glob "$httpd->{dir}/secret.store-*"; # to begin anew
    spew("$httpd->{dir}/error_log", '');
    return $httpd;
}

sub start_by {
    my ($httpd, $command) = @_;
    my $from = length $httpd->log;
    my $said = qx($command 2>&1);
    return $httpd->resumes($from) || die "httpd did not start: $said" . $httpd->log;
}

sub full_file_system {
    my $httpd = stopped_server();
    my $store = "$httpd->{dir}/store";
    mkdir $store or die "$store: $!\n";
    start_by($httpd, "$unshare sh -c 'mount -t tmpfs -o size=512k,mode=0700 none $store && exec $server -f $httpd->{dir}/httpd.conf'");
    my $filler = store_of($httpd) . '/filler';
    cmp_ok number($httpd, 'apipool_store_save_seconds_count'), '>=', 1, 'the keys are saved at first';
    open my $out, '>:raw', $filler or die "$filler: $!\n";
    while (syswrite $out, "\0" x 4096) { }
    ok $!{ENOSPC}, 'the file system is full';
    close $out;
    survives($httpd, qr/No space left on device/, sub { unlink $filler });
    $httpd->stop;
    return;
}

subtest 'a disk that is full' => sub {
    if (may_mount()) {
        diag 'a small tmpfs is filled';
        full_file_system();
    }
    else {
        diag 'no file system may be mounted here: files are limited in size'; # beyond which there is SIGXFSZ
        my $httpd = stopped_server();
        $httpd->start;
        my $pid = $httpd->pid;
        cmp_ok number($httpd, 'apipool_store_save_seconds_count'), '>=', 1, 'the keys are saved at first';
        my $limit = sub {
            my ($size) = @_;
            system('prlimit', "--fsize=$size:unlimited", '--pid', $_) == 0 or die "prlimit failed\n"
                for $httpd->pid, $httpd->children;
        };
        $limit->(12_000); # less than any database has, and more than the log will
        survives($httpd, qr/File too large/, sub { $limit->('unlimited') });
        is $httpd->pid, $pid, 'httpd has not been ended by a signal';
    }
};

# --- A store that is read-only ---------------------------------------------------------------------

subtest 'a folder that is read-only' => sub {
    my $httpd = server();
    chmod 0500, "$httpd->{dir}/store" or die "$!\n";
SKIP: {
        skip 'root may write to any folder', 1 if $> == 0;
        survives($httpd, qr/Permission denied/, sub { chmod 0700, "$httpd->{dir}/store" });
        unlike $httpd->log, qr/exit signal|:emerg\]|:crit\]/, 'no child died';
    }
    $httpd->stop;
    spew("$httpd->{dir}/p", '');
    $httpd->start;
    is_deeply metrics($httpd->{base})->states('p'), {disabled => 2}, 'all of that has been saved, too';
};

done_testing;
