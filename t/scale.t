# SPDX-License-Identifier: Apache-2.0
# What many keys cost: start, saves, requests during saves, restarts, shared memory. Figures are told; they are limits
# only when APIPOOL_TEST_FULL is set, for a busy machine knows no limits. APIPOOL_TEST_KEYS says how many keys.
use strict;
use warnings;

use APIPoolTest qw(pool_server metrics chat spew slurp background parallel);
use IO::Socket::INET ();
use List::Util qw(max sum0);
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Test::More;
use Time::HiRes qw(sleep time);

my $keys = $ENV{APIPOOL_TEST_KEYS} || 5_000;
my $seconds = $ENV{APIPOOL_TEST_FULL} ? 20 : 6;
my $SLOW = 1; # milliseconds; only slower requests are looked at one by one

# Tells a figure; a larger one than the limit is a fault where limits count.
sub figure {
    my ($what, $value, $unit, $limit) = @_;
    diag sprintf '%s: %.4g %s', $what, $value, $unit;
    cmp_ok $value, '<=', $limit, "$what, at most $limit $unit" if $ENV{APIPOOL_TEST_FULL};
    return;
}

sub server {
    my ($list) = @_;
    # the upstream is this server as well, and writes nothing to disk
    return pool_server(
        {p => {keys => $list, upstreams => ['http://127.0.0.1:@PORT@/mock/v1']}},
        config => "APIPoolCapacity @{[$keys + 1000]}\nLogLevel notice\nAPIPoolMaxPendingUpdates 1000000000\n"
            . qq(<Location "/mock">\n    SetHandler mock-llm\n</Location>\n)
    );
}

# Seconds until the first request is served.
sub start_time {
    my ($httpd) = @_;
    my $begin = time;
    $httpd->start;
    is chat($httpd, 'p')->{status}, 200, 'it serves';
    return time - $begin;
}

# Shared memory that the parent has touched: all of it that keys take, for it has put them there.
sub shared_bytes {
    my ($httpd) = @_;
    my ($kilobytes) = slurp('/proc/' . $httpd->pid . '/status') =~ /^RssShmem:\s*(\d+) kB/m;
    return $kilobytes * 1024;
}

sub set_interval {
    my ($httpd, $interval) = @_;
    my $conf = slurp("$httpd->{dir}/httpd.conf") =~ s/^APIPoolSaveInterval.*\n//mr;
    spew("$httpd->{dir}/httpd.conf", "APIPoolSaveInterval $interval\n$conf");
    return;
}

my $bytes = join "\r\n", 'POST /p/chat HTTP/1.1', 'Host: x', 'Content-Length: 13', '', '{"model":"m"}';

# Sends a request in one piece, so that no side waits for the other's acknowledgement, and reads its answer.
sub exchange {
    my ($socket) = @_;
    syswrite $socket, $bytes;
    my $answer = '';
    my $whole = sub {
        my ($head, $body) = split /\r\n\r\n/, $answer, 2;
        return 0 if !defined $body;
        return length $body >= $1 if $head =~ /^Content-Length: (\d+)/mi;
        return $body =~ /(?:^|\n)0\r\n\r\n\z/;
    };
    while (!$whole->()) {
        sysread $socket, $answer, 65536, length $answer or die "the connection was closed\n";
    }
    return $answer =~ m{\AHTTP/1\.1 200 } ? 1 : die "not served: $answer\n";
}

# What one client of two saw: how many requests, their median in milliseconds, and when the slow ones began and ended.
sub client {
    my ($httpd) = @_;
    my ($socket, @took, @slow);
    my $end = time + $seconds;
    for (my $count = 0; time < $end; $count++) {
        if ($count % 50 == 0) { # MaxKeepAliveRequests
            $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$httpd->{port}") or die "$@\n";
            setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
        }
        my $begin = time;
        exchange($socket);
        next if $count < 100; # the module's connections are made first
        my $now = time;
        push @took, ($now - $begin) * 1000;
        push @slow, [$begin, $now] if $took[-1] > $SLOW;
    }
    @took = sort { $a <=> $b } @took;
    return {count => scalar @took, median => $took[$#took / 2], slow => \@slow};
}

# When saves began and ended, for as long as clients send: a generation that is being written has no seal yet.
sub saves {
    my ($httpd) = @_;
    my ($begin, @saves);
    my $end = time + $seconds;
    while (time < $end) {
        my $is_saving = grep { !/\.seal\z/ && !-e "$_.seal" } glob "$httpd->{dir}/store/{keys,stats}-*";
        $begin //= time if $is_saving;
        if (!$is_saving && $begin) {
            push @saves, [$begin, time];
            undef $begin;
        }
        sleep 0.005;
    }
    return $begin ? (@saves, [$begin, time]) : @saves;
}

# Milliseconds that the slowest of some requests took, and how many took more than 20.
sub slowest {
    my @took = map { ($_->[1] - $_->[0]) * 1000 } @_;
    return (max($SLOW, @took), scalar grep { $_ > 20 } @took);
}

# Tells how slow requests were while statistics were saved and while they were not, on the same machine with the same
# load; returns by how much the slowest ones differ. Where requests are slow without saves as well, on a machine that is
# busy with something else, that says nothing, and nothing is returned.
sub what_saves_add {
    my ($httpd) = @_;
    my $watch = background(sub { saves($httpd) });
    my @clients = map {@$_} parallel(2, sub { client($httpd) });
    my @saves = $watch->();
    my (@during, @between);
    for my $request (map { @{$_->{slow}} } @clients) {
        my $met = grep { $request->[1] > $_->[0] - 0.01 && $request->[0] < $_->[1] + 0.01 } @saves;
        push @{$met ? \@during : \@between}, $request;
    }
    diag sprintf '%d requests, median %.2f ms; %d saves, %.1f of %d s', sum0(map { $_->{count} } @clients),
        $clients[0]{median}, scalar @saves, sum0(map { $_->[1] - $_->[0] } @saves), $seconds;
    my %slowest;
    for my $when (['during saves', @during], ['between them', @between]) {
        my ($name, @requests) = @$when;
        my ($slowest, $above) = slowest(@requests);
        diag sprintf '%s: slowest %.2f ms, %d above 20 ms', $name, $slowest, $above;
        $slowest{$name} = $slowest;
    }
    cmp_ok scalar @saves, '>=', 1, 'statistics were saved meanwhile';
    if ($slowest{'between them'} > 20) {
        diag 'this machine is too busy to tell what saves add';
        return;
    }
    return max(0, $slowest{'during saves'} - $slowest{'between them'});
}

# Seconds in which httpd takes no connections, for the parent saves and reads its configuration.
sub restart_time {
    my ($httpd) = @_;
    my $begin = time;
    ok $httpd->restart, 'a graceful restart';
    return time - $begin;
}

my $empty = server('');
my $without = shared_bytes($empty);
$empty->stop;

my $httpd = server([map { sprintf 'sk-ok-scale-%06d-%s', $_, 'x' x 30 } 1 .. $keys]);
my $saves = metrics($httpd->{base});
is $saves->sum('apipool_keys', pool => 'p'), $keys, "$keys keys";
figure('a save of keys', $saves->sum('apipool_store_save_seconds_sum') / $saves->sum('apipool_store_save_seconds_count'),
    's', 1.5);
$httpd->stop;
spew("$httpd->{dir}/p", '');

set_interval($httpd, 3600);
figure('a start from the store', start_time($httpd), 's', 2);
is metrics($httpd->{base})->sum('apipool_keys', pool => 'p'), $keys, 'all keys are back';
figure('shared memory for a key', (shared_bytes($httpd) - $without) / $keys, 'bytes', 1024);
diag sprintf 'a graceful restart: %.2f s', restart_time($httpd);
$httpd->stop;

set_interval($httpd, 2);
$httpd->start;
chat($httpd, 'p');
my $before = metrics($httpd->{base});
my $added = what_saves_add($httpd);
my $after = metrics($httpd->{base});
my ($count, $took) = map { $after->sum("apipool_store_save_seconds_$_") - $before->sum("apipool_store_save_seconds_$_") }
    qw(count sum);
is $after->sum('apipool_store_errors_total'), 0, '... without an error';
figure('a save of statistics', $took / $count, 's', 1.5) if $count;
figure('what a save adds to the slowest request', $added, 'ms', 20) if defined $added;

my $begin = time;
$httpd->stop;
diag sprintf 'a stop: %.2f s', time - $begin;
is $httpd->faults, '', 'nothing went wrong';

done_testing;
