# SPDX-License-Identifier: Apache-2.0
# Sixteen ways in which an upstream fails, and what each must mean for the client, the keys and the counts.
# APIPOOL_TEST_SECONDS=N stretches the long ones N times; APIPOOL_TEST_FULL=1 stands for 10: a first token
# after 20 s, a stall of 30 s, an upstream that flaps for 60 s.
use strict;
use warnings;

use APIPoolTest qw(pool_server read_request chat upstream_mark upstream_since serve_raw json mock_port free_port
    error_code metrics background wait_for);
use Apache::Test ();
use Socket qw(SOL_SOCKET SO_LINGER);
use Test::More;
use Time::HiRes qw(sleep time);

my $SCALE = $ENV{APIPOOL_TEST_FULL} ? 10 : $ENV{APIPOOL_TEST_SECONDS} || 1;
my $FIRST = 2 * $SCALE;
my $STALL = 3 * $SCALE;
my $FLAP = 3 * $SCALE;    # down that long, and up that long

my $mock = 'http://127.0.0.1:' . mock_port();
my $flap_port = free_port();

# --- Upstreams that no server would be ------------------------------------------------------------

my $resetting = serve_raw(
    sub {
        my ($socket) = @_;
        read_request($socket);
        setsockopt $socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
    }
);
my $silent = serve_raw(
    sub {
        my ($socket) = @_;
        read_request($socket);
        read_request($socket);    # until the other side gives up
    }
);

# The head and the first 20 events of a stream, each a chunk.
sub begin_stream {
    my ($socket) = @_;
    read_request($socket);
    my $event = qq(data: {"choices":[{"delta":{"content":"x"}}]}\n\n);
    syswrite $socket, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        . "Transfer-Encoding: chunked\r\n\r\n" . sprintf("%x\r\n%s\r\n", length $event, $event) x 20;
    return;
}

my $malformed = serve_raw(
    sub {
        my ($socket) = @_;
        begin_stream($socket);
        sleep 0.2;
        syswrite $socket, "zz\r\nnot a chunk\r\n";
        sleep 0.2;
    }
);
my $stalling = serve_raw(
    sub {
        my ($socket) = @_;
        begin_stream($socket);
        read_request($socket);
    }
);

# Limits the first key for 20 seconds, the others for 100, in more words than are kept.
my $wordy = serve_raw(
    sub {
        my ($socket) = @_;
        my $seconds = (read_request($socket) // return) =~ /-a{16}/ ? 20 : 100;
        my $words = 'x' x 70_000;
        syswrite $socket, "HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\n"
            . "Retry-After: $seconds\r\nContent-Length: 70000\r\n\r\n$words";
        read_request($socket);
    }
);

# --- The pools, one for each case ------------------------------------------------------------------

sub key {
    my ($words, $letter) = @_;
    return sprintf 'sk-%s-%s', $words, $letter x 16;
}

my $asks_no_usage = 'APIPoolStreamUsage Off'; # an error could be about that, see stream_usage.t
my $two = ["$mock/a name=first", "$mock/b name=second priority=1"];
my %pools = (
    (map { ($_ => {keys => [key('429-retry2', 'a'), key('ok', 'b')]}) } qw(limited limited1)),
    always429 => {keys => [key('429-retry30', 'a'), key('429-retry20', 'b')]},
    days429 => {keys => [map { key('429-retry241200', $_) } 'a' .. 'b']},
    wordy => {upstreams => ["http://127.0.0.1:$wordy"], keys => [map { key('x', $_) } 'a' .. 'b']},
    one500 => {keys => [key('500', 'a'), key('ok', 'b')]},
    down => {upstreams => $two, keys => {first => [key('503', 'a')], second => [key('ok', 'b')]}},
    reset => {upstreams => ["http://127.0.0.1:$resetting"], keys => [key('x', 'a'), key('x', 'b')]},
    silent => {
        upstreams => ["http://127.0.0.1:$silent"],
        keys => [key('x', 'a'), key('x', 'b')],
        lines => 'APIPoolFirstByteTimeout 1'
    },
    late => {keys => [key("first$FIRST", 'a'), key('ok', 'b')]},
    cut => {keys => [key('cut41', 'a'), key('cut41', 'b')]},
    stalls => {
        upstreams => ["http://127.0.0.1:$stalling"],
        keys => [key('x', 'a'), key('x', 'b')],
        lines => 'APIPoolIdleTimeout 1'
    },
    pauses => {keys => [key("stall$STALL", 'a'), key("stall$STALL", 'b')]},
    malformed => {upstreams => ["http://127.0.0.1:$malformed"], keys => [key('x', 'a'), key('x', 'b')]},
    nodone => {keys => [key('nodone', 'a'), key('nodone', 'b')]},
    context => {keys => [key('ctx400', 'a'), key('ctx400', 'b')]},
    policy => {keys => [key('policy400', 'a'), key('policy400', 'b')]},
    second400 => {upstreams => $two, keys => {first => [key('503', 'a')], second => [key('ctx400', 'b')]}},
    flap => {
        upstreams => ["http://127.0.0.1:$flap_port/f"],
        keys => [map { key('flap', $_) } 'a' .. 'c'],
        lines => 'APIPoolRetries 0'
    },
    flap2 => {
        upstreams => ["http://127.0.0.1:$flap_port/g name=first", "$mock/b name=second priority=1"],
        keys => {first => [map { key('flap', $_) } 'd' .. 'f'], second => [key('ok', 'z')]},
    },
    mixed => {
        keys => [
            key('429-retry30', 'a'), key('401', 'b'), key('quota', 'c'), map { key('ok', $_) } 'd' .. 'g'
        ]
    },
    inband => {keys => [key('ssefail', 'a'), key('ok', 'b')], lines => $asks_no_usage},
    overload => {keys => [key('sseoverload', 'a'), key('ok', 'b')], lines => $asks_no_usage},
    comments => {keys => [key('ssecomment-ssefail', 'a'), key('ssecomment', 'b')], lines => $asks_no_usage},
    busy => {
        keys => [key('overloaded', 'a'), key('slowdown', 'b'), key('ok', 'c')],
        lines => 'APIPoolRetries 2'
    },
    region => {keys => [map { key('region403', $_) } 'a' .. 'c']},
    region1 => {keys => [map { key('region403', $_) } 'd' .. 'f'], lines => 'APIPoolRotations 1'},
    region2 => {keys => [key('region403', 'g'), key('region403', 'h'), key('ok', 'b')]},
    region6 => {keys => [(map { key('region403', $_) } 'i' .. 'n'), key('ok', 'b')], lines => 'APIPoolRotations 6'},
    nomodel => {upstreams => $two, keys => {first => [key('model404', 'a')], second => [key('ok', 'b')]}},
    channel => {keys => [map { key('pro503', $_) } 'a' .. 'c']},
    nomodel1 => {keys => [map { key('model404', $_) } 'a' .. 'c']},
    everyone => {keys => [map { key('429-retry600', $_) } 'a' .. 'h'], lines => 'APIPoolRotations 7'},
    tripping => {
        keys => [key('500', 'a'), key('ok', 'b')],
        lines => "APIPoolMaxErrors 3\n    APIPoolRecover 600 600"
    },
);

# --- The same in a row of variants: one key, two keys, requests sent again, and a limit of the first token ------------

# What the client gets of the pool of each scenario: a status, or a stream that says that it is cut.
my @VARIANTS = qw(one two resend first);
my @scenarios = (
    [S01 => 'limited', 0, 429, 200, 200],
    [S02 => 'always429', 0, 429, 429, 429],
    [S03 => 'one500', 0, 500, 200, 200],
    [S04 => 'down', 0, 503, 200, 200],
    [S05 => 'reset', 60, 502, 502, 200, 200],
    [S06 => 'silent', 60, 504, 504, 200, 200],
    [S07 => 'late', 60, 200, 200, 200, 200],
    [S08 => 'cut', 60, 'cut', 'cut', 'cut'],
    [S09 => 'stalls', 60, 'cut', 'cut', 'cut'],
    [S10 => 'malformed', 60, 'cut', 'cut', 'cut'],
    [S11 => 'nodone', 60, 200, 200, 200],
    [S12 => 'context', 0, 400, 400, 400],
    [S13 => 'policy', 0, 400, 400, 400],
    [S14 => 'second400', 0, 503, 400, 400],
    [S15 => 'flap2', 0, 0, 200, 200],    # with one key: 200 as soon as the upstream is up
    [S16 => 'mixed', 0, 429, 200, 200],
);
my %lines_of = (
    one => '',
    two => '',
    resend => 'APIPoolFailover resend',
    first => "APIPoolFailover resend\n    APIPoolFirstByteTimeout 1",
);

# A pool like another one, with keys and a path of its own. Where a request may be sent again, there is somewhere to.
sub variant {
    my ($kind, $pool) = @_;
    my %keys = ref $pool->{keys} eq 'HASH' ? %{$pool->{keys}} : (first => $pool->{keys});
    my @upstreams = map {s{:$flap_port/}{:$flap_port/$kind-}r} @{$pool->{upstreams} || ["$mock/a"]};
    $upstreams[0] .= ' name=first' if $upstreams[0] !~ / name=/;
    if ($kind eq 'one') {
        $#upstreams = 0;
        %keys = (first => [$keys{first}[0]]);
    }
    elsif ($lines_of{$kind} && @upstreams == 1) {
        push @upstreams, "$mock/b name=second priority=1";
        $keys{second} = [key('ok', 'z')] if $keys{first}[0] =~ /^sk-x-/;
    }
    $_ = [map {"$_-$kind"} @$_] for values %keys;
    my $lines = join "\n    ", grep {length} $pool->{lines} // '', $lines_of{$kind};
    return {upstreams => \@upstreams, keys => \%keys, lines => $lines};
}

for my $scenario (@scenarios) {
    my ($name, $pool, $events, @expected) = @$scenario;
    $pools{"$VARIANTS[$_]-$pool"} = variant($VARIANTS[$_], $pools{$pool}) for 0 .. $#expected;
}
$_->{lines} = join "\n    ", 'APIPoolStrategy round-robin', $_->{lines} // () for values %pools;

my $httpd = pool_server(\%pools, config => <<"CONF");
Listen 127.0.0.1:$flap_port
<VirtualHost 127.0.0.1:$flap_port>
    MockLLMRecord \@DIR\@/flap.jsonl
    MockLLMFlap $FLAP
    <Location "/">
        SetHandler mock-llm
    </Location>
</VirtualHost>
CONF

# What the scripted upstream has seen of a pool's keys.
sub seen_of {
    my ($pool, $mark) = @_;
    my $keys = $pools{$pool}{keys};
    my %own = map { $_ => 1 } ref $keys eq 'HASH' ? map {@$_} values %$keys : @$keys;
    return grep { $own{$_->{key}} } upstream_since($mark);
}

# ask(POOL, ...): a chat, and the keys of this pool that it was sent with.
sub ask {
    my ($pool, @options) = @_;
    my $mark = upstream_mark();
    my $answer = chat($httpd, $pool, timeout => 300, @options);
    return ($answer, map { $_->{key} } seen_of($pool, $mark));
}

# What the pool has counted so far: attempts by rule, keys by state, and that nothing is left in flight.
sub counts {
    my ($pool, $rules, $states) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $metrics;
    my $all = sub { my $sum = 0; $sum += $_ for values %{$_[0]}; return $sum };
    wait_for(sub { $metrics = metrics($httpd->{base}); $all->($metrics->rules($pool)) >= $all->($rules) });
    is_deeply $metrics->rules($pool), $rules, 'the attempts are counted';
    is_deeply $metrics->states($pool), $states, 'the keys are in their states';
    is $metrics->in_flight($pool), 0, 'nothing is in flight';
    return;
}

# Whether the client is told to come back in so many seconds.
sub within {
    my ($answer, $from, $to, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $after = $answer->{headers}{'retry-after'} // '';
    return ok $after =~ /^\d+$/ && $after >= $from && $after <= $to, "$what: $from to $to s" || diag "'$after'";
}

sub tokens {
    my ($answer) = @_;
    return scalar(() = $answer->{content} =~ /"delta":\{"content":/g);
}

sub is_truncated {
    my ($answer) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($last) = $answer->{content} =~ /\n\ndata: (\{"error".*)\n\n\z/;
    is $answer->{status}, 200, 'the stream began';
    is((json($last // '') || {})->{error}{code}, 'upstream_truncated', 'its last event says that it is cut');
    unlike $answer->{content}, qr/\[DONE\]/, 'it does not say that it is done';
    return;
}

# --- Flapping takes its time: its clients run beside all other cases ---------------------------------

# Sends requests until the end; when each began, and its status.
sub knock {
    my ($pool, $end) = @_;
    my @seen;
    while (time < $end) {
        my $start = time;
        push @seen, [$start, chat($httpd, $pool, timeout => 300)->{status} + 0];
        sleep 0.04;
    }
    return @seen;
}

# A whole time down with the end of the time up before it, and the next time up.
my $down = (int(time / (2 * $FLAP)) * 2 + 1) * $FLAP;
$down += 2 * $FLAP if $down < time + 0.5;
my $up = $down + $FLAP;
my @knocking = map {
    my $pool = $_;
    background(
        sub {
            my $wait = $down - 0.8 - time;
            sleep $wait if $wait > 0;
            return knock($pool, $up + $FLAP - 0.5);
        }
    )
} qw(flap flap flap2 flap2 one-flap2 two-flap2 resend-flap2);

# Each variant is asked twice, at the same time as the others.
my %asked;
for my $scenario (grep { $_->[0] ne 'S15' } @scenarios) {
    my ($name, $base, $events, @expected) = @$scenario;
    for my $pool (map {"$VARIANTS[$_]-$base"} 0 .. $#expected) {
        $asked{$pool} = background(sub { map { scalar chat($httpd, $pool, timeout => 300, stream => $events) } 1, 2 });
    }
}

# --- The cases -----------------------------------------------------------------------------------

sub is_answered {
    my ($answer, $expected, $events) = @_;
    return is_truncated($answer) if $expected eq 'cut';
    is $answer->{status}, $expected, 'the client gets the answer that is due';
    if ($expected != 200) {
        ok length(((json($answer->{content}) || {})->{error} || {})->{message} // ''), '... which says what is wrong';
    }
    elsif ($events) {
        is tokens($answer), $events, '... to the end';
    }
    return;
}

for my $scenario (grep { $_->[0] ne 'S15' } @scenarios) {
    my ($name, $base, $events, @expected) = @$scenario;
    for my $number (0 .. $#expected) {
        my $pool = "$VARIANTS[$number]-$base";
        subtest "$name, $pool" => sub {
            is_answered($_, $expected[$number], $events) for $asked{$pool}->();
            my $metrics = metrics($httpd->{base});
            is $metrics->in_flight($pool), 0, 'nothing is in flight';
            my $states = $metrics->states($pool);
            is $states->{$_} // 0, 0, "no key is $_" for $base eq 'mixed' ? () : qw(invalid quota tripped);
        };
    }
}

subtest '1: a 429 that says for how long' => sub {
    my %body = (limited => '{"model":"m"}', limited1 => '{}');
    for my $pool (sort keys %body) {
        my @content = (content => $body{$pool});
        my ($answer, @keys) = ask($pool, @content);
        is $answer->{status}, 200, 'the client does not notice';
        is_deeply \@keys, $pools{$pool}{keys}, 'the other key is asked at once';
        is $answer->{headers}{'x-apipool-attempts'}, 2, '... as the second attempt';
        my (undef, @then) = ask($pool, @content);
        is_deeply \@then, [key('ok', 'b')], 'the key is left alone until its time';
    }
    counts('limited', {R07 => 1, R00 => 2}, {active => 2});    # but for that model
    counts('limited1', {R07 => 1, R00 => 2}, {active => 1, cooling => 1});
    for my $pool (sort keys %body) {
        my $asked_again = sub {
            my (undef, @keys) = ask($pool, content => $body{$pool});
            return grep {/429/} @keys;
        };
        ok wait_for($asked_again, 10), 'after that it is asked again';
    }
};

subtest '2: every key is limited' => sub {
    my ($answer, @keys) = ask('always429');
    is $answer->{status}, 429, "the upstream's last answer passes";
    is error_code($answer), 'rate_limit_exceeded', '... as it was';
    is scalar @keys, 2, 'after each key was asked once';
    for (1 .. 3) {
        my ($again, @none) = ask('always429');
        is $again->{status}, 429, 'then the answer is ours';
        cmp_ok $again->{headers}{'retry-after'}, '<=', 20, '... with the time of the first key to come back';
        cmp_ok $again->{headers}{'retry-after'}, '>=', 10, '... which is not made up';
        is scalar @none, 0, '... and nobody is asked';
    }
    counts('always429', {R07 => 2}, {active => 2});    # but for that model
    for (1 .. 2) {
        ($answer) = ask('days429');
        within($answer, 86_390, 86_400, 'days are a day');
    }
    ($answer) = ask('wordy');
    is $answer->{status}, 429, 'words that are too many to be kept';
    within($answer, 10, 20, '... hide no key that comes back earlier');
};

subtest '3: one 500' => sub {
    my ($answer, @keys) = ask('one500');
    is $answer->{status}, 200, 'the client does not notice';
    is_deeply \@keys, $pools{one500}{keys}, 'the other key is asked';
    cmp_ok $answer->{seconds}, '>=', 0.3, '... after a pause';
    counts('one500', {R12 => 1, R00 => 1}, {active => 2});
};

subtest '4: 503, and a second upstream' => sub {
    my (%seen, %asked);
    for (1 .. 12) {
        my ($answer, @keys) = ask('down');
        $seen{$answer->{status}}++;
        $asked{$_}++ for @keys;
    }
    is_deeply \%seen, {200 => 12}, 'no client notices';
    is $asked{key('ok', 'b')}, 12, 'the second upstream answers';
    my $tries = $asked{key('503', 'a')};
    cmp_ok $tries, '>=', 1, 'the first one was asked first';
    cmp_ok $tries, '<=', 8, '... and is soon left alone';
    counts('down', {R12 => $tries, R00 => 12}, {active => 2});
};

subtest '5: reset before the head of an answer' => sub {
    my ($answer) = ask('reset');
    is $answer->{status}, 502, 'what was sent is not sent again: 502';
    is error_code($answer), 'upstream_unreachable', '... upstream_unreachable';
    is $answer->{headers}{'x-apipool-attempts'}, 1, '... after one attempt';
    counts('reset', {R04 => 1}, {active => 2});
};

subtest '6: no answer at all' => sub {
    my ($answer) = ask('silent');
    is $answer->{status}, 504, 'is a 504';
    is error_code($answer), 'upstream_timeout', '... upstream_timeout';
    cmp_ok $answer->{seconds}, '>=', 0.9, 'after APIPoolFirstByteTimeout';
    cmp_ok $answer->{seconds}, '<', 15, '... and long before the deadline';
    counts('silent', {R04 => 1}, {active => 2});
};

subtest "7: the first token after $FIRST s" => sub {
    my ($answer, @keys) = ask('late', stream => 60);
    is $answer->{status}, 200, 'is waited for';
    cmp_ok $answer->{seconds}, '>=', $FIRST - 0.1, '... that long';
    is tokens($answer), 60, 'all tokens arrive';
    like $answer->{content}, qr/data: \[DONE\]\n\n\z/, '... to the end';
    is_deeply \@keys, [key("first$FIRST", 'a')], 'one attempt';
    counts('late', {R00 => 1}, {active => 2});
};

subtest '8: cut after 40 of 60 tokens' => sub {
    my ($answer, @keys) = ask('cut', stream => 60);
    is_truncated($answer);
    is tokens($answer), 40, 'the 40 tokens arrive';
    is scalar @keys, 1, 'nothing is sent again';
    counts('cut', {R02 => 1}, {active => 2});
};

subtest '9: a stall in the middle' => sub {
    my ($answer, @keys) = ask('stalls', stream => 60);
    is_truncated($answer);
    is tokens($answer), 20, 'what had come arrives';
    cmp_ok $answer->{seconds}, '<', 20, 'APIPoolIdleTimeout ends the wait';
    is $answer->{headers}{'x-apipool-attempts'}, 1, 'nothing is sent again';
    counts('stalls', {R02 => 1}, {active => 2});

    ($answer, @keys) = ask('pauses', stream => 60);
    is tokens($answer), 60, "$STALL s are less than the default";
    like $answer->{content}, qr/data: \[DONE\]\n\n\z/, '... and the stream comes to its end';
    cmp_ok $answer->{seconds}, '>=', $STALL - 0.1, '... late';
    counts('pauses', {R00 => 1}, {active => 2});
};

subtest '10: a malformed chunk' => sub {
    my ($answer) = ask('malformed', stream => 60);
    is_truncated($answer);
    is tokens($answer), 20, 'what was well-formed arrives';
    counts('malformed', {R02 => 1}, {active => 2});
};

subtest '11: a stream without [DONE]' => sub {
    my ($answer, @keys) = ask('nodone', stream => 60);
    is tokens($answer), 60, 'all tokens arrive';
    like $answer->{content}, qr/"finish_reason":"stop"\}\]\S*\n\n\z/, 'nothing is added';
    is scalar @keys, 1, 'one attempt';
    counts('nodone', {R00 => 1}, {active => 2});
};

my $number = 12;
for my $case (
    ['the context is too long', context => 'context_length_exceeded'],
    ['the content breaks a policy', policy => 'content_policy_violation']
    )
{
    my ($name, $pool, $code) = @$case;
    subtest $number++ . ": $name" => sub {
        for (1 .. 12) {
            my ($answer, @keys) = ask($pool);
            is $answer->{status}, 400, "the client's error passes";
            is error_code($answer), $code, '... as it was';
            is scalar @keys, 1, '... after one attempt';
        }
        counts($pool, {R11 => 12}, {active => 2});
    };
}

subtest '14: the second upstream rejects the body' => sub {
    my ($answer, @keys) = ask('second400');
    is $answer->{status}, 400, 'its answer passes';
    is error_code($answer), 'context_length_exceeded', '... as it was';
    is_deeply \@keys, [key('503', 'a'), key('ctx400', 'b')], 'after one attempt at each';
    counts('second400', {R12 => 1, R11 => 1}, {active => 2});
};

subtest '16: all attempts add up' => sub {
    my ($mark, $told, %statuses) = (upstream_mark(), 0);
    my @jobs = map {
        background(
            sub {
                return map {
                    my $answer = chat($httpd, 'mixed', timeout => 300, stream => $_ % 3 ? 0 : 5);
                    [$answer->{status} + 0, $answer->{headers}{'x-apipool-attempts'} + 0]
                } 1 .. 20;
            }
        )
    } 1 .. 4;
    for my $result (map { $_->() } @jobs) {
        $statuses{$result->[0]}++;
        $told += $result->[1];
    }
    is_deeply \%statuses, {200 => 80}, 'no client notices';
    ok wait_for(sub { my $states = metrics($httpd->{base})->states('mixed'); ($states->{invalid} // 0) && $states->{quota} }, 5),
        'probes are told what two keys are refused for';
    my @seen = grep { $_->{method} eq 'POST' } seen_of('mixed', $mark);
    is scalar @seen, $told, 'clients were told of as many attempts as the upstream saw';
    my %rules;
    my %rule_of = (key('429-retry30', 'a') => 'R07', key('401', 'b') => 'R06', key('quota', 'c') => 'R05');
    $rules{$rule_of{$_->{key}} || 'R00'}++ for @seen;
    is $rules{R00}, 80, '... and each request one success';
    counts('mixed', \%rules, {active => 5, invalid => 1, quota => 1});
};

subtest 'an error inside a 200' => sub {
    my ($answer, @keys) = ask('inband', stream => 5);
    is $answer->{status}, 200, 'in the first event of a stream';
    like $answer->{content}, qr/data: \[DONE\]\n\n\z/, '... is hidden by another key';
    unlike $answer->{content}, qr/error/, '... without a trace';
    counts('inband', {R07 => 1, R00 => 1}, {active => 2});

    ($answer, @keys) = ask('overload', stream => 5);
    like $answer->{content}, qr/data: \[DONE\]\n\n\z/, 'an overload is retried';
    counts('overload', {R13 => 1, R00 => 1}, {active => 2});

    ($answer, @keys) = ask('comments', stream => 5);
    is scalar @keys, 2, 'comments before it do not hide it';
    like $answer->{content}, qr/\A: PROCESSING\n: still PROCESSING\n\ndata: \{"id"/,
        '... and stay in an answer';
    counts('comments', {R07 => 1, R00 => 1}, {active => 2});
};

subtest 'overloaded, and slow down' => sub {
    my ($answer, @keys) = ask('busy');
    is $answer->{status}, 200, 'the client does not notice';
    is_deeply \@keys, $pools{busy}{keys}, 'both are retried';
    cmp_ok $answer->{seconds}, '>=', 0.6, '... after a pause each';
    counts('busy', {R13 => 2, R00 => 1}, {active => 3});
};

subtest 'forbidden, and not found' => sub {
    my ($answer, @keys) = ask('region');
    is $answer->{status}, 403, 'a region passes';
    is scalar @keys, 3, '... after all keys were asked';
    counts('region', {R09 => 2, R08 => 1}, {active => 3});    # it is refused to all
    (undef, @keys) = ask('region1');
    is scalar @keys, 2, '... or as many as APIPoolRotations allows';
    ($answer, @keys) = ask('region2');
    is $answer->{status}, 200, 'one that the third key may use is served';
    counts('region2', {R09 => 2, R00 => 1}, {active => 3});
    ($answer, @keys) = ask('region6');
    is $answer->{status}, 200, '... or the seventh, where APIPoolRotations allows';
    is scalar @keys, 7, '... which is the last one that is asked';
    is_deeply metrics($httpd->{base})->states('region6'), {active => 7}, '... and no key is blamed';
    (undef, @keys) = ask('region2') for 1 .. 2;
    is_deeply \@keys, [key('ok', 'b')], '... and both others rest for the model';
    ($answer, @keys) = ask('nomodel');
    is $answer->{status}, 200, 'a model that one upstream lacks is asked of another one';
    counts('nomodel', {R10 => 1, R00 => 1}, {active => 2});
    ($answer, @keys) = ask('nomodel1');
    is $answer->{status}, 404, 'one that the only upstream lacks';
    is error_code($answer), 'model_not_found', '... is told as it was';
    is scalar @keys, 1, '... at once';
    counts('nomodel1', {R10 => 1}, {active => 3});
};

subtest 'everyone is refused at once' => sub {
    my ($answer, @keys) = ask('everyone');
    is $answer->{status}, 429, 'the answer passes';
    my $asked = @keys;
    cmp_ok $asked, '<', 8, "only $asked of 8 keys are asked";
    my $metrics = metrics($httpd->{base});
    cmp_ok $metrics->rules('everyone')->{R08}, '>=', 1, 'the upstream is to blame';
    is $metrics->sum('apipool_attempts_total', pool => 'everyone'), $asked, 'each attempt is counted once';
    cmp_ok $metrics->states('everyone')->{active}, '>=', 5, 'not the keys';
    for (1 .. 3) {
        my ($again, @none) = ask('everyone');
        cmp_ok $again->{status}, '>=', 429, 'while it pauses';
        is scalar @none, 0, '... nobody is asked';
        within($again, 580, 600, '... and the client is told when to come back');
    }
};

subtest 'an upstream that fails for one model is left alone for that one only' => sub {
    my (@pro, @other);
    for my $i (1 .. 8) {
        push @pro, chat($httpd, 'channel', model => 'Pro/x', from => '127.0.0.' . (1 + $i % 2))->{status};
        push @other, chat($httpd, 'channel', model => 'm', from => '127.0.0.' . (2 - $i % 2))->{status};
    }
    is_deeply [grep { $_ < 500 } @pro], [], 'the model fails';
    is_deeply \@other, [(200) x 8], '... and another one is served each time';
    is_deeply metrics($httpd->{base})->states('channel'), {active => 3}, '... by all keys';
};

subtest 'a key that alone fails is tripped' => sub {
    for (1 .. 8) {
        my ($answer) = ask('tripping');
        is $answer->{status}, 200, 'no client notices';
    }
    my $metrics = metrics($httpd->{base});
    is_deeply $metrics->states('tripping'), {active => 1, tripped => 1},
        'it is out, the other one is not';
    my $tries = $metrics->rules('tripping')->{R12};
    cmp_ok $tries, '>=', 3, 'after APIPoolMaxErrors';
    cmp_ok $tries, '<=', 5, '... and not much later';
};

subtest "15: $FLAP s down, $FLAP s up" => sub {
    my @seen = map { [$_->()] } @knocking;
    my @single = map {@$_} @seen[0, 1];
    my @record = upstream_since(0, "$httpd->{dir}/flap.jsonl");
    for my $path (qw(f g)) {
        my @times = map { $_->{time} } grep { $_->{uri} =~ m{^/$path/} } @record;
        my $while_down = grep { $_ >= $down && $_ < $up } @times;
        cmp_ok $while_down, '>=', 1, "/$path: that it is down is found out";
        cmp_ok $while_down, '<=', 15 + 3 * $FLAP, "... and respected: $while_down requests meanwhile";
        my ($back) = grep { $_ >= $up } @times;
        cmp_ok $back // 1e12, '<', $up + 2, 'it is asked again soon after';
    }
    my @after = grep { $_->[0] > $up + 2 } @single;
    cmp_ok scalar @after, '>', 0, 'clients ask on';
    is scalar(grep { $_->[1] != 200 } @after), 0, '... and from then on are served';
    my @failed = grep { $_->[1] != 200 } @single;
    cmp_ok scalar @failed, '>', 0, 'without another upstream they see errors meanwhile';
    is scalar(grep { $_->[1] != 429 && $_->[1] != 502 && $_->[1] != 503 } @failed), 0, '... that say so';
    is scalar(grep { $_->[1] != 200 } map {@$_} @seen[2, 3, 5, 6]), 0, 'with another one they see none';
    my @one = @{$seen[4]};
    is scalar(grep { $_->[1] !~ /^(?:200|429|502|503)\z/ } @one), 0, 'with one key they see what is so';
    is scalar(grep { $_->[0] > $up + 2 && $_->[1] != 200 } @one), 0, '... and are served from then on';
    my $metrics = metrics($httpd->{base});
    is_deeply $metrics->states('flap'), {active => 3}, 'no key is blamed';
    is_deeply $metrics->states('flap2'), {active => 4}, '... there either';
    is_deeply [sort keys %{$metrics->rules('flap')}], [qw(R00 R12)],
        'all attempts are told apart';
};

is $httpd->faults, '', 'nothing went wrong inside';

done_testing;
