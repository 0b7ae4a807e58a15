# SPDX-License-Identifier: Apache-2.0
# Keys that are refused are replaced within the request, leave the rotation, and come back in time.
use strict;
use warnings;

use APIPoolTest qw(pool_server chat json error_code wait_for);
use Apache::Test ();
use Test::More;
use Time::HiRes qw(sleep);

# One server for all: each case has a pool of its own, with keys of its own.
my %pools = (
    rotate => {keys => [qw(sk-401-aaaaaaaaaaaaaaaa sk-429-bbbbbbbbbbbbbbbb sk-ok-cccccccccccccccc)]},
    (map { ("quota-$_" => {keys => ["sk-$_-aaaaaaaaaaaaaa", 'sk-ok-dddddddddddddddd']}) }
            qw(quota quota400 quota402)),
    gemini => {keys => [qw(sk-gemini400-aaaaaaaaaa sk-ok-bbbbbbbbbbbbbbbb)]},
    cooling => {keys => [qw(sk-429-retry2-aaaaaaaa)]},
    exhausted => {keys => [qw(sk-401-eeeeeeeeeeeeeeee)]},
    empty => {keys => []},
    client => {keys => [map {"sk-$_-ffffffffffffff"} qw(400 404 422big)]},
    upstream => {keys => [qw(sk-500-aaaaaaaaaaaaaaaa sk-ok-hhhhhhhhhhhhhhhh)]},
    down => {keys => [qw(sk-503-aaaaaaaaaaaaaaaa)], extra => 'APIPoolRetries 1'},
    noretry => {keys => [qw(sk-503-bbbbbbbbbbbbbbbb sk-ok-iiiiiiiiiiiiiiii)], extra => 'APIPoolRetries 0'},
    budget => {keys => [map {"sk-429-budget-$_-xxxx"} 'a' .. 'f'], extra => 'APIPoolRotations 2'},
    slow => {keys => [qw(sk-slow-delay9-aaaaaaaa)], extra => 'APIPoolDeadline 1'},
    disabled => {json => '[{"key":"sk-401-disabled-aaaa","enabled":false},"sk-ok-jjjjjjjjjjjjjjjj"]'},
    leastused => {keys => [map {"sk-ok-least-$_-xxxxxxx"} 'a' .. 'd'], strategy => 'least-used'},
    robin => {keys => [map {"sk-ok-robin-$_-xxxxxxx"} 'a' .. 'c']},
);

my $httpd = pool_server(
    {
        map {
            my $pool = $pools{$_};
            my $strategy = $pool->{strategy} || 'round-robin';
            $_ => {
                keys => $pool->{json} || $pool->{keys},
                lines => join "\n    ", "APIPoolStrategy $strategy", $pool->{extra} || ()
            }
        } keys %pools
    }
);

subtest 'a refused and a limited key are replaced at once, and stay out' => sub {
    my ($answer, @keys) = chat($httpd, 'rotate');
    is $answer->{status}, 200, 'the client sees an answer';
    is_deeply \@keys, $pools{rotate}{keys}, 'after three attempts, in turn';
    is $answer->{headers}{'x-apipool-attempts'}, 3, '... which it is told';
    for (1 .. 3) {
        my ($again, @then) = chat($httpd, 'rotate');
        is $then[0], 'sk-ok-cccccccccccccccc', 'only the good key is asked';
    }
    like $httpd->log, qr/AP0031: pool rotate, attempt 1, .*: R06 \(401\)/, 'R06 in the log';
    like $httpd->log, qr/AP0031: pool rotate, attempt 2, .*: R07 \(429\)/, 'R07 in the log';
};

subtest 'quota looks different everywhere and means the same' => sub {
    for my $form (qw(quota quota400 quota402)) {
        my ($answer, @keys) = chat($httpd, "quota-$form");
        is $answer->{status}, 200, "$form: answered by the key that has some";
        is_deeply \@keys, $pools{"quota-$form"}{keys}, '... after the one that has none';
        like $httpd->log, qr/pool quota-$form, attempt 1, .*: R05/, '... which is R05';
    }
};

subtest "a bad key that looks like the client's error" => sub {
    my ($answer, @keys) = chat($httpd, 'gemini');
    is $answer->{status}, 200, 'rotated';
    like $httpd->log, qr/pool gemini, .*: R06 \(400\)/, 'R06';
};

subtest 'all keys cooling' => sub {
    my ($first, @keys) = chat($httpd, 'cooling');
    is $first->{status}, 429, "the upstream's own answer passes when no key is left";
    is $first->{headers}{'retry-after'}, 2, 'with its header';
    is error_code($first), 'rate_limit_exceeded', 'and its body';
    my ($second, @none) = chat($httpd, 'cooling');
    is $second->{status}, 429, 'then we answer';
    is scalar @none, 0, '... without asking anyone';
    is error_code($second), 'rate_limit_exceeded', '... in the shape of OpenAI';
    like $second->{headers}{'retry-after'}, qr/^[12]$/, '... with the time that is left';
    like $second->{headers}{'content-type'}, qr{^application/json}, '... as JSON';
    is $second->{headers}{'x-apipool-attempts'}, 0, '... after no attempt';
    sleep 2.1;
    my (undef, @back) = chat($httpd, 'cooling');
    is scalar @back, 1, 'the key is back when its time has come';
};

subtest 'no key that waiting would help' => sub {
    my ($first, @keys) = chat($httpd, 'exhausted');
    is $first->{status}, 401, "the last answer passes as it was";
    unlike $first->{content}, qr/sk-401-e/, '... without the key that it echoes';
    like $first->{content}, qr/sk-4\*+eeee/, '... which is masked';
    is $first->{headers}{'content-length'}, length $first->{content}, '... at the same length';
    ok wait_for(sub { chat($httpd, 'exhausted')->{status} == 503 }, 8), 'a probe is told the same';
    for my $pool (qw(exhausted empty)) {
        my ($answer, @none) = chat($httpd, $pool);
        is $answer->{status}, 503, "$pool: 503";
        is error_code($answer), 'pool_exhausted', '... pool_exhausted';
        is $answer->{headers}{'x-should-retry'}, 'false', '... and no use in trying again';
        is $answer->{headers}{'retry-after'}, undef, '... at any time';
    }
};

subtest "the client's own errors pass verbatim and hurt no key" => sub {
    my %seen;
    for (1 .. 6) {
        my ($answer, @keys) = chat($httpd, 'client');
        is scalar @keys, 1, "one attempt, $answer->{status}";
        $seen{$answer->{status}}++;
        unlike $answer->{content}, qr/sk-422big-f+/, '... without the key in its body';
        is length $answer->{content}, $answer->{headers}{'content-length'}, '... complete';
    }
    is_deeply \%seen, {400 => 2, 404 => 2, 422 => 2}, 'all three keys stay in turn';
};

subtest "the upstream's errors are retried and hurt no key" => sub {
    my ($answer, @keys) = chat($httpd, 'upstream');
    is $answer->{status}, 200, 'answered';
    is_deeply \@keys, $pools{upstream}{keys}, 'by another key';
    cmp_ok $answer->{seconds}, '>=', 0.4, 'after a pause';
    ($answer, @keys) = chat($httpd, 'upstream');
    is $keys[0], 'sk-500-aaaaaaaaaaaaaaaa', 'the first key is still in turn';

    ($answer, @keys) = chat($httpd, 'down');
    is $answer->{status}, 503, 'the last answer passes';
    is scalar @keys, 2, 'a single key may be asked twice when it is not to blame';

    ($answer, @keys) = chat($httpd, 'noretry');
    is $answer->{status}, 503, 'no retry without a budget';
    is scalar @keys, 1, '... and no rotation instead';
};

subtest 'the budget of rotations' => sub {
    my ($answer, @keys) = chat($httpd, 'budget');
    is $answer->{status}, 429, 'spent';
    is scalar @keys, 3, 'one attempt and two rotations';
    is scalar(keys %{{map { $_ => 1 } @keys}}), 3, '... each with another key';
};

subtest 'the deadline' => sub {
    my ($answer) = chat($httpd, 'slow');
    is $answer->{status}, 504, 'ends the wait';
    is error_code($answer), 'upstream_timeout', 'upstream_timeout';
    cmp_ok $answer->{seconds}, '<', 5, 'long before the upstream answers';
};

subtest 'keys imported as JSON, one disabled' => sub {
    my ($answer, @keys) = chat($httpd, 'disabled');
    is_deeply \@keys, ['sk-ok-jjjjjjjjjjjjjjjj'], 'the disabled one is not asked';
};

subtest 'strategies' => sub {
    my (@turns, %used);
    for (1 .. 6) {
        my (undef, @keys) = chat($httpd, 'robin');
        push @turns, @keys;
    }
    is_deeply \@turns, [(@{$pools{robin}{keys}}) x 2], 'round-robin takes turns';
    for (1 .. 8) {
        my (undef, @keys) = chat($httpd, 'leastused');
        $used{$_}++ for @keys;
    }
    is_deeply [sort values %used], [2, 2, 2, 2], 'least-used spreads evenly';
};

done_testing;
