# SPDX-License-Identifier: Apache-2.0
# APIPoolWait: a request waits for the first key to come free, in its turn, and costs nothing meanwhile.
use strict;
use warnings;

use APIPoolTest qw(pool_server chat upstream_mark upstream_since metrics background parallel wait_for
    error_code);
use Apache::Test ();
use IO::Socket::INET ();
use List::Util qw(sum0);
use Test::More;
use Time::HiRes qw(sleep time);

sub keys_of {
    my ($pool, $words, $count) = @_;
    return [map { sprintf 'sk-%s-%s-%04d-xxxxxx', $words, $pool, $_ } 1 .. $count];
}

# The keys are good ones; a request that asks for it with X-Mock makes one cool down.
my %pools = (
    (
        map { ($_ => {keys => keys_of($_, 'ok', 1), lines => "APIPoolWait 20\n    APIPoolRotations 0"}) }
            qw(one idle)
    ),
    earliest => {keys => keys_of('earliest', 'ok', 2), lines => "APIPoolWait 20\n    APIPoolRotations 0"},
    (
        map {
            (
                $_ => {
                    keys => keys_of($_, 'ok-slow-delayms100', 1),
                    lines => "APIPoolWait 20\n    APIPoolRotations 0\n    APIPoolLimits concurrency=1"
                }
            )
        } qw(order leave)
    ),
    short => {keys => keys_of('short', 'ok', 1), lines => "APIPoolWait 1\n    APIPoolRotations 0"},
    none => {keys => keys_of('none', 'ok', 1), lines => 'APIPoolRotations 0'},
    hopeless => {keys => keys_of('hopeless', '401', 1), lines => 'APIPoolWait 20'},
    lost => {keys => keys_of('lost', '401', 1)},
    deadline => {
        keys => keys_of('deadline', 'ok', 1),
        lines => "APIPoolWait 20\n    APIPoolRotations 0\n    APIPoolDeadline 1"
    },
);
my $httpd = pool_server(\%pools);

# Makes a key of the pool cool down for so many seconds.
sub limit {
    my ($pool, $seconds) = @_;
    my $answer = chat($httpd, $pool, headers => {'x-mock' => "429 retry$seconds"});
    die "the key was not limited: $answer->{status}\n" if $answer->{status} != 429;
    return;
}

# Waits until a probe is told what a request of the pool was: that its only key is invalid.
sub lose {
    my ($pool) = @_;
    chat($httpd, $pool);
    wait_for(sub { metrics($httpd->{base})->states($pool)->{invalid} }) or die "the key of $pool is not lost\n";
    return;
}

# Whoever asks a pool that has no key left, from all processes at once, does not fill the log.
sub told {
    return grep {/AP0033: pool lost: R15/} split /\n/, $httpd->log;
}
my $told_at = time;
subtest 'a pool without keys' => sub {
    lose($_) for qw(lost hopeless);
    my @codes = map {@$_} parallel(40, sub { error_code(scalar chat($httpd, 'lost')) });
    is_deeply [grep { $_ ne 'pool_exhausted' } @codes], [], 'refuses every request';
    is scalar(told()), 1, '... and the log has one line of them';
    like +(told())[0], qr/AP0033: pool lost: R15, no key is usable(?:,|$)/, '... with the reason';
    chat($httpd, 'hopeless');
    like $httpd->log, qr/AP0033: pool hopeless: R15/, 'another pool has a line of its own';
};

subtest 'the earliest key' => sub {
    limit('one', 2);
    my $mark = upstream_mark();
    my $answer = chat($httpd, 'one');
    is $answer->{status}, 200, 'is waited for';
    cmp_ok $answer->{seconds}, '>', 1.2, '... until its time';
    is $answer->{headers}{'x-apipool-attempts'}, 1, '... and asked once';
    is scalar(upstream_since($mark)), 1, '... as the upstream saw';

    limit('earliest', 15);
    limit('earliest', 2);
    $answer = chat($httpd, 'earliest');
    is $answer->{status}, 200, 'of two keys the first to come free is taken';
    cmp_ok $answer->{seconds}, '<', 12, '... long before the other';
};

subtest 'one after the other' => sub {
    limit('order', 4);
    my $mark = upstream_mark();
    my @waiting;
    for my $number (1 .. 5) {
        my $body = qq({"model":"m","n":$number});
        push @waiting, background(sub { return chat($httpd, 'order', content => $body)->{status} });
        sleep 0.4;
    }
    is_deeply [map { $_->() } @waiting], [(200) x 5], 'all are served';
    is join('', map { $_->{body} =~ /"n":(\d)/ } upstream_since($mark)), '12345', '... as they came';
};

# Sends a request and leaves before there is an answer.
sub leave {
    my ($pool, $body, $seconds) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$httpd->{port}", Timeout => 10) or die "$@\n";
    print {$socket} "POST /$pool/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
    sleep $seconds;
    close $socket;
    return;
}

subtest 'a client that leaves' => sub {
    limit('leave', 3);
    my $mark = upstream_mark();
    leave('leave', '{"model":"m","n":"gone"}', 0.6) for 1 .. 2;
    my $answer = chat($httpd, 'leave', content => '{"model":"m","n":"stays"}');
    is $answer->{status}, 200, 'is not in the way of those who stay';
    cmp_ok $answer->{seconds}, '<', 10, '... nor for long';
    sleep 0.5;
    my @bodies = map { $_->{body} } upstream_since($mark);
    is_deeply \@bodies, ['{"model":"m","n":"stays"}'], 'no attempt is made for it';
    my $metrics = metrics($httpd->{base});
    is $metrics->in_flight('leave'), 0, 'nothing is left in flight';
    is $metrics->rules('leave')->{R00}, 1, '... or counted';
};

subtest 'longer than anyone may wait' => sub {
    limit($_, 9) for qw(short none);
    for my $pool (qw(short none)) {
        my $mark = upstream_mark();
        my $answer = chat($httpd, $pool);
        is $answer->{status}, 429, "$pool: 429";
        is error_code($answer), 'rate_limit_exceeded', '... rate_limit_exceeded';
        like $answer->{headers}{'retry-after'}, qr/^[4-9]$/, '... with the time that is left';
        is $answer->{headers}{'x-apipool-attempts'}, 0, '... and no attempt';
        is scalar(upstream_since($mark)), 0, '... none at all';
        cmp_ok $answer->{seconds}, '<', 6, '... soon';
    }
};

subtest 'what waiting would not help' => sub {
    chat($httpd, 'hopeless');
    my $answer = chat($httpd, 'hopeless');
    is $answer->{status}, 503, 'keys that are invalid: 503';
    is error_code($answer), 'pool_exhausted', '... pool_exhausted';
    cmp_ok $answer->{seconds}, '<', 6, '... at once';
};

subtest 'the deadline' => sub {
    limit('deadline', 9);
    my $answer = chat($httpd, 'deadline');
    cmp_ok $answer->{seconds}, '<', 6, 'ends the wait too';
    like $answer->{status}, qr/^(429|504)$/, '... with an error that says so';
};

subtest 'waiting is idle' => sub {
    limit('idle', 4);
    my $mark = upstream_mark();
    my @waiting = map {
        background(sub { return chat($httpd, 'idle')->{status} })
    } 1 .. 16;
    sleep 0.7;
    my ($before, $start) = ($httpd->cpu_seconds, time);
    sleep 2;
    my $used = $httpd->cpu_seconds - $before;
    my $result = sprintf '16 requests wait for %.1f s and use %.2f s of CPU', time - $start, $used;
    cmp_ok $used, '<', $ENV{VALGRIND} ? 2 : 0.5, $result;
    is scalar(upstream_since($mark)), 0, 'and ask nobody';
    is_deeply [map { $_->() } @waiting], [(200) x 16], 'until they are served';
};

subtest 'a minute later' => sub {
    plan skip_all => 'APIPOOL_TEST_FULL=1 waits for it; t/unit/pool moves the clock' if !$ENV{APIPOOL_TEST_FULL};
    my $left = $told_at + 62 - time;
    sleep $left if $left > 0;
    chat($httpd, 'lost') for 1 .. 3;
    my @lines = told();
    is scalar(@lines), 2, 'there is another line';
    like $lines[1], qr/; so it was for 39 more since the last line/, '... with the number of those before';
};

is $httpd->faults, '', 'nothing went wrong inside';

done_testing;
