# SPDX-License-Identifier: Apache-2.0
# APIPoolRule: an operator's own verdicts come before the built-in ones.
use strict;
use warnings;

use APIPoolTest qw(pool_server config_test chat mock_port metrics error_code wait_for);
use Apache::Test ();
use JSON::PP ();
use Test::More;

my $mock = 'http://127.0.0.1:' . mock_port();

# The keys of a pool in their order, each by the words that say what it answers.
sub keys_of {
    my ($pool, @words) = @_;
    my $letter = 'a';
    return [map { sprintf 'sk-%s-%s-%s', $_, $pool, $letter++ x 12 } @words];
}

my %rules = (
    pass => [['401 pass none'], '401', 'ok'],
    rotate => [['500-502,404 rotate key'], '500', '404-retry2', 'ok'],
    outside => [['501-599,400 rotate key'], '500', 'ok'],
    retry => [['404 retry none'], '404', 'ok'],
    stop => [['429 stop key'], '429-retry30', 'ok'],
    marker => [['400 "CONTEXT length" rotate none'], 'ctx400', 'policy400', 'ok'],
    code => [['400 content_policy rotate none'], 'policy400', 'ok'],
    order => [['400-499 pass none', '429 rotate key', '429 stop account'], '429', 'ok'],
    later => [['403 "no such text" stop none', '400-499 rotate none'], 'region403', 'ok'],
    inband => [['200 "rate limit" pass none'], 'ssefail', 'ok'],
    success => [['200 stop key'], 'ok', 'ok'],
    model => [['400 rotate model'], 'ctx400', 'ok'],
    key => [['400 rotate key'], 'ctx400', 'ok'],
    timed => [['503 rotate key'], '503-retry2', 'ok'],
    upstream => [['404 retry upstream'], '404', 'ok'],
);
my %pools = map {
    my ($rules, @words) = @{$rules{$_}};
    my @lines = ('APIPoolStrategy round-robin', map {"APIPoolRule $_"} @$rules);
    ($_ => {keys => keys_of($_, @words), lines => join "\n    ", @lines});
} keys %rules;
$pools{account} = {
    keys => JSON::PP::encode_json(
        [
            {key => 'sk-ctx400-account-aaaaaaaa', account => 'x'},
            {key => 'sk-ok-account-bbbbbbbbbbbb', account => 'x'},
            {key => 'sk-ok-account-cccccccccccc', account => 'y'}
        ]
    ),
    lines => "APIPoolStrategy round-robin\n    APIPoolRule 400 rotate account"
};
$pools{vendors} = {
    upstreams => ["$mock/a name=a", "$mock/b name=b priority=1"],
    keys => {a => ['sk-404-vendors-aaaaaaaa', 'sk-404-vendors-bbbbbbbb'], b => ['sk-ok-vendors-cccccccc']},
    lines => 'APIPoolRule 404 retry upstream'
};
my $httpd = pool_server(\%pools);

# The last letters of keys: which ones of their pool they are.
sub letters {
    return join '', map { substr $_, -1 } @_;
}

# Those of the keys that a request is made with.
sub asked {
    my ($answer, @keys) = chat($httpd, @_);
    return letters(@keys);
}

sub rules_of {
    my ($pool) = @_;
    return metrics($httpd->{base})->rules($pool);
}

sub states_of {
    my ($pool) = @_;
    return metrics($httpd->{base})->states($pool);
}

subtest 'pass' => sub {
    my ($answer, @keys) = chat($httpd, 'pass');
    is $answer->{status}, 401, 'an answer that a built-in rule would hide passes';
    is letters(@keys), 'a', '... at once';
    is_deeply rules_of('pass'), {C01 => 1}, '... as C01';
    is_deeply states_of('pass'), {active => 2}, '... and the key is left alone';
    like $httpd->log, qr/pool pass, attempt 1, .*: C01 \(401\)/, 'the log says so';
    unlike $answer->{content}, qr/sk-401-pass-a/, 'but no rule passes a key';
};

subtest 'rotate, by ranges and lists' => sub {
    my ($answer, @keys) = chat($httpd, 'rotate');
    is $answer->{status}, 200, 'another key answers';
    is letters(@keys), 'abc', '... after two were replaced';
    is_deeply rules_of('rotate'), {C01 => 2, R00 => 1}, '... by the same rule';
    ($answer, @keys) = chat($httpd, 'rotate');
    is letters(@keys), 'c', 'both stay out';

    ($answer, @keys) = chat($httpd, 'outside');
    is $answer->{status}, 200, 'a status outside of the range';
    is_deeply rules_of('outside'), {R12 => 1, R00 => 1}, '... is judged as ever';
    is_deeply states_of('outside'), {active => 2}, '... and the key is not blamed';
};

subtest 'retry' => sub {
    my ($answer, @keys) = chat($httpd, 'retry');
    is $answer->{status}, 200, 'another key answers';
    is letters(@keys), 'ab', '... the second one';
    cmp_ok $answer->{seconds}, '>=', 0.3, '... after a pause';
    is_deeply rules_of('retry'), {C01 => 1, R00 => 1}, 'C01';
    is_deeply states_of('retry'), {active => 2}, 'scope none blames nobody';
};

subtest 'stop' => sub {
    my ($answer, @keys) = chat($httpd, 'stop');
    is $answer->{status}, 429, 'the answer passes';
    is $answer->{headers}{'retry-after'}, 1, '... with the time of the first key that is free';
    is letters(@keys), 'a', '... and no other key is asked';
    ($answer, @keys) = chat($httpd, 'stop') for 1 .. 2;
    is letters(@keys), 'b', 'scope key: it stays out';
};

subtest 'markers' => sub {
    my ($answer, @keys) = chat($httpd, 'marker');
    is $answer->{status}, 400, 'an answer without the marker passes';
    is error_code($answer), 'content_policy_violation', '... as it was';
    is letters(@keys), 'ab', '... after one with it was hidden';
    is_deeply rules_of('marker'), {C01 => 1, R11 => 1}, '... by C01, in whatever case';
    ($answer, @keys) = chat($httpd, 'code');
    is letters(@keys), 'ab', 'a marker in the code counts as well';
};

subtest 'the first rule that matches' => sub {
    my ($answer, @keys) = chat($httpd, 'order');
    is $answer->{status}, 429, 'decides';
    is letters(@keys), 'a', '... and the others do not';
    is_deeply rules_of('order'), {C01 => 1}, '... as C01';
    ($answer, @keys) = chat($httpd, 'later');
    is $answer->{status}, 200, 'a later one decides where it does not match';
    is_deeply rules_of('later'), {C02 => 1, R00 => 1}, '... as C02';
};

subtest 'rules for 200' => sub {
    my ($answer, @keys) = chat($httpd, 'inband');
    is letters(@keys), 'a', 'an error inside a 200';
    like $answer->{content}, qr/"error"/, '... passes when a rule says so';
    is_deeply rules_of('inband'), {C01 => 1}, 'C01';
    for (1 .. 2) {
        ($answer, @keys) = chat($httpd, 'success');
        is $answer->{status}, 200, 'a 200 without an error';
    }
    is_deeply rules_of('success'), {R00 => 2}, '... is a success';
};

subtest 'scopes' => sub {
    my ($answer, @keys) = chat($httpd, 'model', model => 'gpt');
    is letters(@keys), 'ab', 'model: rotated';
    is join('', map { asked('model', model => 'gpt') } 1 .. 2), 'bb', '... and out for this model';
    like join('', map { asked('model', model => 'other') } 1 .. 2), qr/a/, '... but not for another one';

    ($answer, @keys) = chat($httpd, 'key', model => 'gpt');
    is letters(@keys), 'ab', 'key: rotated';
    is join('', map { asked('key', model => 'other') } 1 .. 2), 'bb', '... and out for all models';

    ($answer, @keys) = chat($httpd, 'account');
    is letters(@keys), 'ac', 'account: the next key is of another one';
    is join('', map { asked('account') } 1 .. 3), 'ccc', '... and all of its keys are out';

    ($answer, @keys) = chat($httpd, 'vendors');
    is $answer->{status}, 200, 'upstream: another one answers';
    is letters(@keys), 'ac', '... and not another key of the same';
    is_deeply states_of('vendors'), {active => 3}, '... no key is blamed';
};

subtest 'the time that an upstream names' => sub {
    my ($answer, @keys) = chat($httpd, 'timed');
    is letters(@keys), 'ab', 'rotated';
    is asked('timed'), 'b', 'out';
    ok wait_for(sub { asked('timed') =~ /a/ }, 10), 'and back in time';
};

# APIPoolRule, and what is said about it
my @wrong = (
    ['', qr/needed|takes|argument/],
    ['401', qr/needed|takes|argument/],
    ['401 pass', qr/needed|takes|argument/],
    ['401 "a" "b" pass none', qr/needed|takes|argument/],
    ['200-299 pass none', qr/'200-299'.*200.*400 to 599/],
    ['301 pass none', qr/'301'.*200.*400 to 599/],
    ['600 pass none', qr/'600'.*200.*400 to 599/],
    ['399-404 pass none', qr/'399-404'.*400 to 599/],
    ['504-500 pass none', qr/'504-500'.*400 to 599/],
    ['4xx pass none', qr/'4xx'.*400 to 599/],
    ['401, pass none', qr/'401,'.*400 to 599/],
    ['401,,402 pass none', qr/'401,,402'.*400 to 599/],
    ['401;402 pass none', qr/'401;402'.*400 to 599/],
    ['4010 pass none', qr/'4010'.*400 to 599/],
    ['401 "" pass none', qr/marker is empty/],
    ['401 ignore none', qr/'ignore'.*pass, rotate, retry, stop/],
    ['401 pass everyone', qr/'everyone'.*none, key, model, account, upstream/],
    ['401 none pass', qr/'none'.*pass, rotate, retry, stop/],
);
for my $case (@wrong) {
    my ($words, $message) = @$case;
    my $lines = "<APIPool p>\nAPIPoolUpstream http://127.0.0.1:9/v1\nAPIPoolRule $words\n</APIPool>\n";
    my ($status, $output) = config_test($lines);
    isnt $status, 0, "'APIPoolRule $words' is refused";
    like $output, $message, '... and says what is allowed';
    like $output, qr/line \d+ of .*httpd\.conf/, '... and where';
}
my ($status, $output) = config_test("APIPoolRule 401 pass none\n");
isnt $status, 0, 'outside of a pool it is refused';
like $output, qr/APIPoolRule must stand inside <APIPool NAME>/, '... and says so';

is $httpd->faults, '', 'nothing went wrong inside';

done_testing;
