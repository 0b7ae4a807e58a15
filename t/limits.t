# SPDX-License-Identifier: Apache-2.0
# The limits of a pool's keys hold across all processes, and the client is told the true time.
use strict;
use warnings;

use APIPoolAdmin qw(admin_server);
use APIPoolTest qw(upstream_mark upstream_since metrics parallel error_code wait_for slurp spew
    chat);
use Apache::Test ();
use IO::Socket::INET ();
use JSON::PP ();
use List::Util qw(max min sum0);
use Test::More;
use Time::HiRes qw(sleep time);

sub keys_of {
    my ($pool, $words, $count) = @_;
    return [map { sprintf 'sk-%s-%s-%04d-xxxxxx', $words, $pool, $_ } 1 .. $count];
}

my %pools = (
    rpm => {keys => keys_of('rpm', 'ok', 2), lines => 'APIPoolLimits rpm=15'},
    own => {keys => '[{"key":"sk-ok-own-0001-xxxxxxxx","limits":{"rpm":3}},"sk-ok-own-0002-xxxxxxxx"]',
        lines => 'APIPoolLimits rpm=5'},
    rpd => {keys => keys_of('rpd', 'ok', 1), lines => 'APIPoolLimits rpd=5 rpm=100'},
    failing => {keys => keys_of('failing', '429-retry1', 1), lines => 'APIPoolLimits rpm=1'},
    tpm => {keys => keys_of('tpm', 'ok', 1), lines => 'APIPoolLimits tpm=200'},
    tpmmany => {keys => keys_of('tpmmany', 'ok-slow-delayms100', 2), lines => 'APIPoolLimits tpm=400'},
    tpd => {keys => keys_of('tpd', 'ok', 1), lines => 'APIPoolLimits tpd=200'},
    busy => {keys => keys_of('busy', 'ok-slow-delayms700', 1), lines => 'APIPoolLimits concurrency=2'},
    queue => {
        keys => keys_of('queue', 'ok-slow-delayms300', 1),
        lines => "APIPoolLimits concurrency=2\n    APIPoolWait 20"
    },
    stream => {keys => keys_of('stream', 'stall1', 1), lines => 'APIPoolLimits concurrency=1'},
);
# What the limits count is what the admin API tells: two requests, or the 57 tokens of one.
my %told = (rpm => 2, rpd => 2, tpm => 57, tpd => 57);
$pools{"told$_"} = {keys => keys_of("told$_", 'ok', 1), lines => "APIPoolLimits $_=$told{$_}"} for keys %told;
$pools{client} = {keys => keys_of('client', 'ok', 1), location => "AuthType APIPool\n    Require valid-user"};
$pools{account} = {keys => JSON::PP::encode_json([map { {key => $_, account => 'a'} } @{keys_of('account', 'ok', 2)}])};
my $admin = admin_server(\%pools)->sign_in;
my $httpd = $admin->{httpd};

# 200 bytes, 50 tokens; with the 7 of the mock's answers a request has 57.
my $BODY = '{"model":"m","max_tokens":7,"x":"' . 'x' x 165 . '"}';
my $TOKENS = 57;

# As many clients at once, each with a number of requests; all answers, as status, Retry-After and code,
# and what the upstream saw.
sub ask_many {
    my ($pool, $clients, $each, %options) = @_;
    my $mark = upstream_mark();
    my @answers = map {@$_} parallel(
        $clients,
        sub {
            return map {
                my $answer = chat($httpd, $pool, %options);
                {
                    status => $answer->{status} + 0,
                    after => $answer->{headers}{'retry-after'},
                    code => error_code($answer),
                    at => time,
                }
            } 1 .. $each;
        }
    );
    return (\@answers, sort { $a->{time} <=> $b->{time} } upstream_since($mark));
}

sub count {
    my ($answers, $status) = @_;
    return scalar grep { $_->{status} == $status } @$answers;
}

# Whether refusals have the code, and name the time that is left until a point in time. A window keeps its
# charges in slices, so it may be five seconds later; two either way are for a machine that is busy.
sub names_time {
    my ($until, @refused) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is scalar(grep { ($_->{code} // '') ne 'rate_limit_exceeded' } @refused), 0, 'refusals have their code';
    my @wrong = grep {
        my $off = ($_->{after} // 0) - ($until - $_->{at});
        $off < -2 || $off > 7
    } @refused;
    is scalar @wrong, 0, '... and Retry-After is the time that is left'
        or diag explain [$until, @wrong[0 .. min(2, $#wrong)]];
    return;
}

subtest 'requests per minute' => sub {
    my ($answers, @seen) = ask_many('rpm', 10, 5);
    is count($answers, 200), 30, 'two keys of 15 answer 30 requests';
    is count($answers, 429), 20, '... and no more';
    is scalar @seen, 30, 'the upstream saw no other';
    my %by_key;
    $by_key{$_->{key}}++ for @seen;
    is_deeply [values %by_key], [15, 15], '... of either key';
    names_time($seen[0]{time} + 60, grep { $_->{status} == 429 } @$answers);
    my $metrics = metrics($httpd->{base});
    is $metrics->sum('apipool_attempts_total', pool => 'rpm'), 30, 'no attempt is counted that was none';
};

subtest "a key's own limit" => sub {
    my ($answers, @seen) = ask_many('own', 4, 3);
    my %by_key;
    $by_key{$_->{key}}++ for @seen;
    is_deeply [@by_key{sort keys %by_key}], [3, 5], "replaces the pool's";
};

subtest 'requests per day' => sub {
    my ($answers, @seen) = ask_many('rpd', 4, 2);
    is count($answers, 200), 5, 'five are allowed';
    is scalar @seen, 5, '... and sent';
    my @refused = grep { $_->{status} == 429 } @$answers;
    is scalar @refused, 3, '... the others are not';
    is scalar(grep { ($_->{after} // 0) < 60 || $_->{after} > 93_000 } @refused), 0, '... for hours';
};

subtest 'what an upstream refused counts as well' => sub {
    is chat($httpd, 'failing')->{status}, 429, "the upstream's own";
    sleep 1.3;
    my $mark = upstream_mark();
    is chat($httpd, 'failing')->{status}, 429, 'the limit is used up';
    is scalar(upstream_since($mark)), 0, '... so nobody is asked';
};

subtest 'tokens per minute' => sub {
    my ($answers, @seen) = ask_many('tpm', 1, 6, content => $BODY);
    my $sent = @seen;
    is count($answers, 200), $sent, 'what is sent is answered';
    cmp_ok $sent * $TOKENS, '<=', 200 + $TOKENS, 'no request is sent once the tokens are spent';
    cmp_ok $sent, '>=', 3, '... but all before that';
    names_time($seen[0]{time} + 60, grep { $_->{status} == 429 } @$answers);

    ($answers, @seen) = ask_many('tpmmany', 12, 2, content => $BODY);
    my %by_key;
    $by_key{$_->{key}} += $TOKENS for @seen;
    is count($answers, 200), scalar @seen, 'many at once: what is sent is answered';
    cmp_ok max(values %by_key), '<=', 400 + $TOKENS, '... and no key exceeds its tokens';
    cmp_ok sum0(values %by_key), '>=', 600, '... which are used';
};

subtest 'tokens per day' => sub {
    my ($answers, @seen) = ask_many('tpd', 1, 6, content => $BODY);
    cmp_ok @seen * $TOKENS, '<=', 200 + $TOKENS, 'are not exceeded';
    my @refused = grep { $_->{status} == 429 } @$answers;
    is scalar @refused, 6 - @seen, 'what is beyond is refused';
    is scalar(grep { ($_->{after} // 0) < 60 || $_->{after} > 93_000 } @refused), 0, '... for hours';
};

# The most requests that were with the upstream at once, when each takes that long.
sub most_at_once {
    my ($seconds, @seen) = @_;
    return max(map {
            my $one = $_;
            scalar grep { $_->{time} <= $one->{time} && $_->{time} > $one->{time} - $seconds } @seen
    } @seen);
}

subtest 'concurrency' => sub {
    my ($answers, @seen) = ask_many('busy', 6, 1);
    is count($answers, 200), 2, 'two at once';
    is count($answers, 429), 4, '... and no third';
    is scalar @seen, 2, 'the upstream saw no other';
    my @refused = grep { $_->{status} == 429 } @$answers;
    is scalar(grep { ($_->{after} // 0) < 1 } @refused), 0, 'refusals name a time';
    is chat($httpd, 'busy')->{status}, 200, 'when they are through, there is room again';

    ($answers, @seen) = ask_many('queue', 8, 2);
    is count($answers, 200), 16, 'who may wait is served';
    is scalar @seen, 16, '... once';
    cmp_ok most_at_once(0.25, @seen), '<=', 2, '... two at once';
    is metrics($httpd->{base})->in_flight($_), 0, "$_: nothing is left in flight"
        for qw(busy queue);
};

subtest 'a stream takes its place until it ends' => sub {
    my @results = map {@$_} parallel(
        2,
        sub {
            my ($number) = @_;
            wait_for(sub { metrics($httpd->{base})->in_flight('stream') }) if $number == 2;
            return chat($httpd, 'stream', content => '{"model":"m","stream":true}')->{status} + 0;
        }
    );
    is_deeply \@results, [200, 429], 'the second one finds it taken';
    is chat($httpd, 'stream')->{status}, 200, '... and free afterwards';

    my $body = '{"model":"m","stream":true}';
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$httpd->{port}", Timeout => 10) or die "$@\n";
    print {$socket} "POST /stream/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
    sysread $socket, my $begun, 100;
    like $begun, qr{^HTTP/1.1 200}, 'a stream whose client leaves';
    close $socket;
    ok wait_for(sub { chat($httpd, 'stream')->{status} == 200 }, 10), '... gives its place back as well';
};

my %sentences = (
    rpm => 'the limit of its requests per minute (rpm) is reached',
    rpd => 'the limit of its requests per day (rpd) is reached',
    tpm => 'the limit of its tokens per minute (tpm) is reached',
    tpd => 'the limit of its tokens per day (tpd) is reached',
    account => 'another key of its account has met a limit',
);

sub keys_told {
    my ($pool) = @_;
    return @{$admin->ask(GET => "/pools/$pool/keys")->{json}{keys}};
}

for my $window (sort keys %told) {
    subtest "$window, as the API tells it" => sub {
        my $requests = $told{$window} == 2 ? 2 : 1;
        is chat($httpd, "told$window", content => $BODY)->{status}, 200, 'what the limit allows is served'
            for 1 .. $requests;
        my ($key) = keys_told("told$window");
        is $key->{$window}, $told{$window}, 'the API tells as much as the limit';
        is_deeply [@$key{qw(state reason_code)}], ['active', undef], '... and that the key is in use';
        is chat($httpd, "told$window", content => $BODY)->{status}, 429, 'the next request is refused';
        ($key) = keys_told("told$window");
        is $key->{$window}, $told{$window}, '... and not counted';
        is_deeply [@$key{qw(state reason_code reason)}], ['cooling', $window, $sentences{$window}],
            'the key cools down because of this limit, by name';
    };
}

subtest 'the tokens of a client, as the API tells them' => sub {
    my $client = $admin->ask(POST => '/clients', json => {name => 'c', pools => ['client'], tokens_per_day => $TOKENS})->{json};
    my @ask = ('client', content => $BODY, key => $client->{key});
    is chat($httpd, @ask)->{status}, 200, 'what the limit allows is served';
    my $tokens = sub { $admin->ask(GET => '/clients/c')->{json}{usage}{tpd} };
    ok wait_for(sub { $tokens->() == $TOKENS }), 'the API tells as much as the limit' or diag $tokens->();
    is chat($httpd, @ask)->{status}, 429, 'the next request is refused';
    is $tokens->(), $TOKENS, '... and not counted';
};

subtest 'a limit that another key of the account has met' => sub {
    chat($httpd, 'account', content => '{}', headers => {'x-mock' => '429 retry600'});
    my @seen = sort map {"$_->{state} $_->{reason_code}"} keys_told('account');
    is_deeply \@seen, ['cooling R07', 'cooling account'], 'is the reason why a key rests';
    my ($other) = grep { $_->{reason_code} eq 'account' } keys_told('account');
    is $other->{reason}, $sentences{account}, '... in words';
};

subtest 'a graceful restart' => sub {
    ok $httpd->restart, 'is done';
    is chat($httpd, $_)->{status}, 429, "$_: gives nobody more" for qw(rpm rpd tpm);
};

subtest 'a graceful restart with more' => sub {
    my $config = "$httpd->{dir}/httpd.conf";
    spew($config, slurp($config) =~ s/rpd=5/rpd=7/r);
    ok $httpd->restart, 'is done';
    my ($answers) = ask_many('rpd', 2, 4);
    is count($answers, 200), 2, 'gives two more a day';
    is count($answers, 429), 6, '... and no more';
};

is $httpd->faults, '', 'nothing went wrong inside';

done_testing;
