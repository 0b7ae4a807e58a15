# SPDX-License-Identifier: Apache-2.0
# Requests that got no answer: what APIPoolFailover and the limit of the first token make of them, with one key, with
# two, and with another upstream.
use strict;
use warnings;

use APIPoolTest qw(pool_server read_request chat serve_raw mock_port error_code metrics slurp source_dir background
    upstream_mark upstream_since);
use Apache::Test ();
use Socket qw(SOL_SOCKET SO_LINGER);
use Test::More;
use Time::HiRes qw(sleep);

my $mock = 'http://127.0.0.1:' . mock_port() . '/v1';
my $HEAD = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: ";
my $role = qq(data: {"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n: ping\n\n);
my $ROLE = sprintf "%x\r\n%s\r\n", length $role, $role;

# Reads a request, says what it is given to say, and waits until the other side gives up.
sub silent_after {
    my ($said) = @_;
    return 'http://127.0.0.1:' . serve_raw(
        sub {
            my ($socket) = @_;
            read_request($socket);
            syswrite $socket, $said if length $said;
            read_request($socket);
        }
    );
}
my %faulty = (
    reset => 'http://127.0.0.1:' . serve_raw(
        sub {
            my ($socket) = @_;
            read_request($socket);
            setsockopt $socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
        }
    ),
    silent => silent_after(''),
    head => silent_after("${HEAD}text/event-stream\r\n\r\n"),
    role => silent_after("${HEAD}text/event-stream\r\n\r\n$ROLE"),
    cutrole => 'http://127.0.0.1:' . serve_raw(sub { read_request($_[0]); syswrite $_[0], "${HEAD}text/event-stream\r\n\r\n$ROLE" }),
    json => silent_after("${HEAD}application/json\r\n\r\n"),
    late => "$mock name=late",
);
my %code = (reset => 'upstream_unreachable', cutrole => 'upstream_unreachable');
my $deaf = serve_raw(sub { 1 while sysread $_[0], my $hello, 4096 });    # no handshake ends
my $slow = serve_raw(    # each byte of a long record comes in time for a read
    sub {
        for my $piece ("\x16\x03\x03\x40\x00", ("\x02") x 40) {
            last if !syswrite $_[0], $piece;
            sleep 0.4;
        }
    }
);

sub key {
    my ($words, $letter) = @_;
    return sprintf 'sk-%s-%s', $words, $letter x 16;
}

my %pools;
for my $fault (keys %faulty) {
    my $lines = 'APIPoolFirstByteTimeout 1';
    my $words = $fault eq 'late' ? 'first4' : 'x';
    my $two = [$faulty{$fault} =~ s/ .*//r . ' name=bad', "$mock name=good priority=1"];
    my $keys = {bad => [key("$words-$fault", 'a')], good => [key("ok-$fault", 'b')]};
    $pools{"$fault-safe"} = {upstreams => $two, keys => $keys, lines => $lines};
    $pools{"$fault-resend"} = {upstreams => $two, keys => $keys, lines => "$lines\n    APIPoolFailover resend"};
    $pools{"$fault-one"} = {
        upstreams => [$faulty{$fault}], keys => [key("$words-$fault", 'c')],
        lines => "$lines\n    APIPoolFailover resend\n    APIPoolRetries 0"
    };
}
$pools{'late-two'} = {
    keys => [key('first4-two', 'a'), key('ok-two', 'b')],
    lines => "APIPoolStrategy round-robin\n    APIPoolFirstByteTimeout 1\n    APIPoolFailover resend"
};
$pools{tls} = {
    upstreams => ["https://127.0.0.1:$deaf/v1 name=bad connecttimeout=1", "$mock name=good priority=1"],
    keys => {bad => [key('x-tls', 'a')], good => [key('ok-tls', 'b')]}
};
$pools{slowtls} = {
    upstreams => ["https://127.0.0.1:$slow/v1 name=bad connecttimeout=1", "$mock name=good priority=1"],
    keys => {bad => [key('x-slowtls', 'a')], good => [key('ok-slowtls', 'b')]}
};

# The rule of the example, between two upstreams of the mock, each with its own name for the model.
my ($rules) = slurp(source_dir() . '/conf/examples/context-fallback.conf') =~ /^((?: +APIPoolRule [^\n]*\n)+)/m;
$pools{context} = {
    upstreams => ["$mock name=small model=m:small", "$mock name=large model=m:large priority=1"],
    keys => {small => [key('ctx400', 'a')], large => [key('ok-large', 'b')]},
    lines => $rules
};
my $httpd = pool_server(\%pools, config => "SSLProxyEngine On\n");

# All of them take their time, at the same time.
my $mark = upstream_mark();
my %asked = map {
    my $pool = $_;
    my @what = $pool eq 'context' ? () : (stream => 3);
    ($pool => background(sub { return chat($httpd, $pool, timeout => 30, @what) }));
} sort keys %pools;

sub refused {
    my ($pool, $fault) = @_;
    my ($answer) = $asked{$pool}->();
    my $code = $code{$fault} || 'upstream_timeout';
    is $answer->{status}, $code eq 'upstream_timeout' ? 504 : 502, "$pool: a status that says so";
    is error_code($answer), $code, '... and the code of it';
    is $answer->{headers}{'x-apipool-attempts'}, 1, '... after one attempt';
    is_deeply metrics($httpd->{base})->rules($pool), {R04 => 1}, '... that got no answer';
    return;
}

sub served {
    my ($pool, $rules) = @_;
    my ($answer) = $asked{$pool}->();
    is $answer->{status}, 200, "$pool: is served";
    is $answer->{headers}{'x-apipool-attempts'}, 2, '... by the second attempt';
    is_deeply metrics($httpd->{base})->rules($pool), $rules, '... and counted';
    return $answer;
}

for my $fault (sort keys %faulty) {
    subtest $fault => sub {
        refused("$fault-safe", $fault);
        refused("$fault-one", $fault);
        my $answer = served("$fault-resend", {R04 => 1, R00 => 1});
        like $answer->{content}, qr/data: \[DONE\]\n\n\z/, '... to the end';
    };
}

subtest 'another key of the same upstream' => sub {
    served('late-two', {R04 => 1, R00 => 1});
};

subtest 'a GET that got no answer goes on without being told to' => sub {
    my $answer = chat($httpd, 'silent-safe', method => 'GET', path => '/models', content => '', timeout => 20);
    is $answer->{status}, 200, 'the other upstream serves it';
};

subtest 'a TLS handshake that does not end' => sub {
    served('tls', {R03 => 1, R00 => 1});
    my $answer = served('slowtls', {R03 => 1, R00 => 1});
    cmp_ok $answer->{seconds}, '<', 10, '... though a byte of it comes now and then';
};

subtest 'the example for prompts that are too long' => sub {
    ok $rules, 'has a rule';
    my ($answer) = $asked{context}->();
    is $answer->{status}, 200, 'the larger model serves';
    is $answer->{headers}{'x-apipool-attempts'}, 2, '... as the second attempt';
    my @models = map { $_->{model} } grep { ($_->{key} // '') =~ /\Q${\ key('ctx400', 'a')}\E|\Q${\ key('ok-large', 'b')}\E/ }
        upstream_since($mark);
    is_deeply \@models, ['small', 'large'], '... each asked for the model by its own name for it';
    is metrics($httpd->{base})->states('context')->{active}, 2, '... and no key is blamed';
};

is $httpd->faults, '', 'nothing went wrong inside';

done_testing;
