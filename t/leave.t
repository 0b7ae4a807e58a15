# SPDX-License-Identifier: Apache-2.0
# A client that leaves before it has an answer: nothing goes on for it.
use strict;
use warnings;

use APIPoolTest qw(pool_server chat upstream_mark upstream_since metrics mock_port wait_for serve_raw read_request
    parallel);
use Apache::Test ();
use IO::Socket::INET ();
use Test::More;
use Time::HiRes qw(sleep time);

# An upstream that takes a request and says nothing; what it notes is when the other side closes.
my $silent = serve_raw(
    sub {
        my ($socket) = @_;
        read_request($socket) // return;
        sysread $socket, my $end, 1;
    }
);
# One that begins its answer at once, and goes on after a while.
my $hesitant = serve_raw(
    sub {
        my ($socket) = @_;
        sysread $socket, my $begun, 1;
        print {$socket} "HTTP/1.1 200 OK\r\n";
        $socket->flush;
        read_request($socket) // return;
        sleep 2.2;
        print {$socket} "Content-Length: 2\r\nConnection: close\r\n\r\n{}";
    }
);
# A stream whose second half comes once nobody waits for it any more.
my $USAGE = '{"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":22,"total_tokens":33}}';
my $halves = serve_raw(
    sub {
        my ($socket) = @_;
        my $head = read_request($socket) // return;
        my ($wait) = $head =~ m{^POST \S+\?wait };
        sleep 1 if $wait;
        print {$socket} "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
            . qq(data: {"choices":[{"delta":{"content":"x"}}]}\n\n);
        $socket->flush;
        sleep 1 if !$wait;
        print {$socket} "data: $USAGE\n\ndata: [DONE]\n\n";
    }
);
my $TURN = 'APIPoolStrategy round-robin';
my %pools = (
    silent => {
        upstreams => ["http://127.0.0.1:$silent/v1"],
        keys => ['sk-silent-aaaaaaaaaaaaaa'],
        lines => "$TURN\n    APIPoolLimits concurrency=1"
    },
    failing => {keys => ['sk-500-failing-aaaaaaaaaa', 'sk-ok-failing-bbbbbbbbbbb'], lines => $TURN},
    limited => {keys => ['sk-429-slow-delayms900-limited-aaaaaaaa', 'sk-ok-limited-bbbbbbbbbbb'], lines => $TURN},
    hesitant => {upstreams => ["http://127.0.0.1:$hesitant/v1"], keys => ['sk-hesitant-aaaaaaaaaaaa']},
    (map { ($_ => {upstreams => ["http://127.0.0.1:$halves/v1"], keys => ["sk-$_-aaaaaaaaaaaaaaa"]}) } qw(close finish early h2 h2-early)),
    slow => {keys => ['sk-ok-slow-delayms2500-aaaaaaa']},
);
$pools{$_}{lines} = 'APIPoolOnAbort finish' for qw(finish early h2 h2-early);
$pools{failing}{lines} .= "\n    APIPoolOnAbort finish";
my $httpd = pool_server(\%pools, config => <<"CONF");
LoadModule http2_module @{[Apache::Test::vars('libexecdir') || '/usr/lib/apache2/modules']}/mod_http2.so
Protocols h2c http/1.1
CONF

# Sends a request and leaves after that time.
sub leave {
    my ($pool, $seconds, $query) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$httpd->{port}", Timeout => 10) or die "$@\n";
    print {$socket} "POST /$pool/chat/completions@{[$query // '']} HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n"
        . '{"model":"m"}';
    sleep $seconds;
    return close $socket;
}

# The same over HTTP/2, before the upstream goes on after a second.
sub leave_http2 {
    my ($pool, $query) = @_;
    my @curl = qw(curl -s --http2-prior-knowledge --noproxy * -m 0.5 -o /dev/null -d);
    return system @curl, '{"model":"m"}', "$httpd->{base}/$pool/chat/completions$query";
}

# How requests of a pool have ended, once one has.
sub endings {
    my ($pool) = @_;
    return wait_for(
        sub {
            my $endings = metrics($httpd->{base})->by(outcome => 'apipool_requests_total', pool => $pool);
            delete $endings->{refused} if !$endings->{refused};
            return %$endings && $endings;
        },
        15
    );
}

subtest 'while the upstream is silent' => sub {
    my $start = time;
    leave('silent', 0.5);
    is_deeply endings('silent'), {client_abort => 1}, 'the request ends';
    cmp_ok time - $start, '<', 10, '... soon';
    my $metrics = metrics($httpd->{base});
    is_deeply $metrics->rules('silent'), {R01 => 1}, '... by R01';
    is_deeply $metrics->states('silent'), {active => 1}, '... which blames nobody';
    is $metrics->in_flight('silent'), 0, '... and gives the key back';
};

for my $pool (qw(failing limited)) {
    subtest "before another attempt: $pool" => sub {
        my $mark = upstream_mark();
        leave($pool, 0.2);
        is_deeply endings($pool), {client_abort => 1}, 'the request ends';
        is scalar(upstream_since($mark)), 1, '... after one attempt';
        is metrics($httpd->{base})->in_flight($pool), 0, 'nothing is in flight';
    };
}

subtest 'APIPoolOnAbort' => sub {
    my %expected = (close => [{R01 => 1}, 0], map { $_ => [{R00 => 1}, 33] } qw(finish early h2 h2-early));
    parallel(2, sub { leave_http2($_[0] == 1 ? ('h2', '') : ('h2-early', '?wait')) });
    leave($_, 0.3, $_ eq 'early' ? '?wait' : '') for qw(close finish early);
    for my $pool (sort keys %expected) {
        my ($rules, $tokens) = @{$expected{$pool}};
        is_deeply endings($pool), {client_abort => 1}, "$pool: the client has left";
        my $metrics = metrics($httpd->{base});
        is_deeply $metrics->rules($pool), $rules, '... and the attempt ends so';
        my $sum = $metrics->sum('apipool_tokens_total', pool => $pool);
        ok $tokens ? $sum == 33 : $sum < 33, "... with what it has cost: $sum";
        is $metrics->in_flight($pool), 0, 'nothing is in flight';
    }
};

subtest 'a client that stays' => sub {
    for my $pool (qw(slow hesitant)) {
        my @statuses = map { $_->[0] } parallel(
            16,
            sub {
                return chat($httpd, $pool)->{status};
            }
        );
        is_deeply \@statuses, [(200) x 16], "$pool: has an answer, however long that takes";
    }
};

is $httpd->faults, '', 'nothing went wrong inside';

done_testing;
