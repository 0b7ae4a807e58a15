# SPDX-License-Identifier: Apache-2.0
# What many keys cost: start, saves, requests during saves, shared memory. Figures are told; they are limits only
# when APIPOOL_TEST_FULL is set, for a busy machine knows no limits. APIPOOL_TEST_KEYS says how many keys.
use strict;
use warnings;

use APIPoolTest qw(pool_server metrics request wait_for spew slurp parallel);
use IO::Socket::INET ();
use List::Util qw(max);
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Test::More;
use Time::HiRes qw(sleep time);

my $keys = $ENV{APIPOOL_TEST_KEYS} || 5_000;
my $seconds = $ENV{APIPOOL_TEST_FULL} ? 10 : 4;

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
        config => "APIPoolCapacity @{[$keys + 1000]}\nLogLevel warn\nAPIPoolMaxPendingUpdates 1000000000\n"
            . qq(<Location "/mock">\n    SetHandler mock-llm\n</Location>\n)
    );
}

sub ask {
    my ($httpd) = @_;
    return request(POST => '/p/chat', base => $httpd->{base}, content => '{"model":"m"}')->{status};
}

# Seconds until the first request is served.
sub start_time {
    my ($httpd) = @_;
    my $begin = time;
    $httpd->start;
    is ask($httpd), 200, 'it serves';
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

# How long requests took, in milliseconds, the slowest last; two clients at a time.
sub latencies {
    my ($httpd) = @_;
    my @all = parallel(
        2,
        sub {
            my ($socket, @took);
            my $end = time + $seconds;
            for (my $count = 0; time < $end; $count++) {
                if ($count % 50 == 0) { # MaxKeepAliveRequests
                    $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$httpd->{port}") or die "$@\n";
                    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
                }
                my $begin = time;
                exchange($socket);
                push @took, (time - $begin) * 1000 if $count >= 100; # the module's connections are made first
            }
            return @took;
        }
    );
    return sort { $a <=> $b } map {@$_} @all;
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
my @quiet = latencies($httpd);
diag sprintf 'without saves: %d requests, median %.2f ms, slowest %.2f ms, %d above 20 ms',
    scalar @quiet, $quiet[$#quiet / 2], $quiet[-1], scalar grep { $_ > 20 } @quiet;
$httpd->stop;

set_interval($httpd, 1);
$httpd->start;
ask($httpd);
my $before = metrics($httpd->{base});
my @busy = latencies($httpd);
my $after = metrics($httpd->{base});
my ($count, $took) = map { $after->sum("apipool_store_save_seconds_$_") - $before->sum("apipool_store_save_seconds_$_") }
    qw(count sum);
cmp_ok $count, '>=', 1, 'statistics were saved meanwhile';
is $after->sum('apipool_store_errors_total'), 0, '... without an error';
diag sprintf 'with %d saves: %d requests, median %.2f ms, slowest %.2f ms, %d above 20 ms',
    $count, scalar @busy, $busy[$#busy / 2], $busy[-1], scalar grep { $_ > 20 } @busy;
figure('a save of statistics', $took / $count, 's', 1.5) if $count;
figure('what a save adds to the slowest request', max(0, $busy[-1] - $quiet[-1]), 'ms', 20);

my $begin = time;
$httpd->stop;
diag sprintf 'a stop: %.2f s', time - $begin;
is $httpd->faults, '', 'nothing went wrong';

done_testing;
