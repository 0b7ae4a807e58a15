# SPDX-License-Identifier: Apache-2.0
# Balances are read where the vendor tells them, or where the operator says how; they decide who is in rotation.
use strict;
use warnings;

use APIPoolAdmin qw(admin_server);
use APIPoolTest qw(metrics wait_for spew slurp json chat);
use Test::More;

my $mock = qq(MockLLMRecord \@DIR\@/upstream.jsonl\nMockLLMWords \@DIR\@/words\n<Location "/mock">\n    SetHandler mock-llm\n</Location>\n);

# pool => provider, path that is asked, currency, what the pool says besides
my %vendors = (
    siliconflow => ['/mock/siliconflow/v1/user/info'],
    deepseek => ['/user/balance'],
    openrouter => ['/mock/openrouter/v1/key'],
    moonshot => ['/mock/moonshot/v1/users/me/balance'],
    described => ['/mock/described/v1/user/info', ' url=/user/info pointer=/data/totalBalance currency=CNY'],
);

# words of the scripted upstream => pool, whose keys have no such words in them
my @words = qw(nobalance GET500 GET404 GET401 GET403 GET429 close);
my @in_vain = qw(GET400 GET403 GET404 GET405 GET410 GET500 GET501);
my @temporary = qw(GET429 GET503);
my %unreadable = map { $words[$_] => 'unreadable' . chr(ord('a') + $_) } 0 .. $#words;

sub pool {
    my ($name, $balance, $recover, $upstream) = @_;
    return {
        keys => ["sk-$name-aaaaaaaaaaaa", "sk-$name-bbbbbbbbbbbb"],
        upstreams => ["http://127.0.0.1:\@PORT\@/mock/$name/v1/" . ($upstream // '')],
        lines => "APIPoolBalance $balance\n    APIPoolRecover $recover",
    };
}

my %pools = (
    (map { ($_ => pool($_, '1 minimum=5' . ($vendors{$_}[1] // ''), '3600 3600',
                    $vendors{$_}[1] ? ' provider=generic' : " provider=$_")) } keys %vendors),
    spent => pool('spent', '3600', '1 1', ' provider=siliconflow'),
    unlimited => pool('unlimited', '3600', '1 1', ' provider=openrouter'),
    low => pool('low', '3600 minimum=5', '1 1', ' provider=moonshot'),
    unasked => pool('unasked', 'off', '1 1', ' provider=siliconflow'),
    (map { (lc $_ => pool(lc $_, '3600', '1 1', ' provider=siliconflow')) } @in_vain, @temporary, 'GETkey403'),
    voucher => pool('voucher', '1', '3600 3600', ' provider=siliconflow'),
    flagged => pool('flagged', '1', '3600 3600', ' provider=deepseek'),
    (map { ($_ => pool($_, '1 minimum=5', '1 1', ' provider=siliconflow')) } values %unreadable),
);

my $admin = admin_server(\%pools, config => $mock . qq(<Location "/user/balance">\n    SetHandler mock-llm\n</Location>\n))->sign_in;
my $httpd = $admin->{httpd};
my %words;

sub script {
    my (%more) = @_;
    %words = (%words, %more);
    spew("$httpd->{dir}/words.new", join '', map {"$_ $words{$_}\n"} grep { length $words{$_} } sort keys %words);
    rename "$httpd->{dir}/words.new", "$httpd->{dir}/words" or die "$!\n";
    return;
}

sub record {
    my ($key) = @_;
    my @lines = grep { index($_, qq("key":"$key")) >= 0 } split /\n/, slurp("$httpd->{dir}/upstream.jsonl");
    return map { json($_) } @lines;
}

sub becomes {
    my ($pool, $states, $name) = @_;
    my $got;
    wait_for(sub { $got = metrics($httpd->{base})->states($pool); Test::More::eq_hash($got, $states) }, 20);
    is_deeply $got, $states, $name;
    return;
}

sub first_of {
    my ($pool) = @_;
    return "sk-$pool-aaaaaaaaaaaa";
}

# Waits until keys have been asked about so many times more.
sub wait_for_checks {
    my ($more, @keys) = @_;
    my %before = map { $_ => scalar record($_) } @keys;
    for my $key (@keys) {
        wait_for(sub { record($key) >= $before{$key} + $more }, 20) or diag "nobody asks about $key";
    }
    return;
}

# All at once, since each asks once a second.
sub script_vendors {
    my ($words) = @_;
    script(map { (first_of($_) => $words) } keys %vendors);
    return;
}

sub reason {
    my ($pool) = @_;
    my ($key) = @{$admin->ask(GET => "/pools/$pool/keys?state=quota")->{json}{keys}};
    return "$key->{reason_code}: $key->{reason}";
}

script_vendors('balance4');
for my $vendor (sort keys %vendors) {
    my $key = first_of($vendor);
    becomes($vendor, {active => 1, quota => 1}, "$vendor: a key below the minimum is out of quota");
    is reason($vendor), 'balance: its balance is not sufficient', '... and the API says so';
    my ($check) = record($key);
    is "$check->{method} $check->{uri}", "GET $vendors{$vendor}[0]", '... as its balance tells';
    is $check->{headers}{authorization}, "Bearer $key", '... asked with the key';
    is chat($httpd, $vendor, model => '')->{status}, 200, '... the other one serves';
    is scalar(grep { $_->{method} eq 'POST' } record($key)), 0, '... and it does not';
    my ($id) = map { $_->{id} } @{$admin->ask(GET => "/pools/$vendor/keys?state=quota")->{json}{keys}};
    my $found;
    ok wait_for(sub { $found = $admin->ask(POST => "/pools/$vendor/keys/$id/check")->{json}; defined $found->{status} }), '... a check asks again';
    is_deeply [@$found{qw(status state detail)}, $found->{balance} > 0], [200, 'quota', 'The upstream accepts the key, but its balance is too low.', 1],
        '... and says what it found and what the state is';
}
script_vendors('balance5');
becomes($_, {active => 2}, "$_: ... until it has the minimum") for sort keys %vendors;
script_vendors('debt3');
becomes($_, {active => 1, quota => 1}, "$_: ... a debt is less") for sort keys %vendors;

subtest 'a key that an upstream has refused needs a balance, and then proves itself' => sub {
    my $key = first_of('spent');
    script($key => 'quota402', 'sk-spent-bbbbbbbbbbbb' => '429-retry600');
    chat($httpd, 'spent', model => '');
    script($key => 'POSTquota402-balance0');
    becomes('spent', {quota => 1, cooling => 1}, 'it is out of quota');
    wait_for_checks(2, $key);
    is metrics($httpd->{base})->states('spent')->{quota}, 1, '... while there is nothing';
    script($key => 'POSTquota402-balance1');
    becomes('spent', {half_open => 1, cooling => 1}, '... and half open when there is something');
    chat($httpd, 'spent', model => '');
    becomes('spent', {half_open => 1, cooling => 1}, '... again, when it was refused nevertheless');
    script($key => 'balance1');
    ok wait_for(sub { chat($httpd, 'spent', model => '')->{status} == 200 }), '... until a request succeeds';
    is scalar(grep { $_->{uri} =~ /models/ } record($key)), 0, '... and all that was asked is the balance';
};

subtest 'a vendor that says there is no limit' => sub {
    my $key = first_of('unlimited');
    script($key => 'quota402', 'sk-unlimited-bbbbbbbbbbbb' => '429-retry600');
    chat($httpd, 'unlimited', model => '');
    becomes('unlimited', {quota => 1, cooling => 1}, 'a key is out of quota');
    script($key => 'nolimit');
    becomes('unlimited', {half_open => 1, cooling => 1}, 'the key may prove itself');
};

subtest 'recovery finds that a low balance is enough again' => sub {
    script(first_of('low') => 'balance6', 'sk-low-bbbbbbbbbbbb' => 'balance6');
    becomes('low', {active => 2}, 'both are good');
    is scalar(record(first_of('unasked'))), 0, 'with "off" nothing is asked about a good key';
    script(first_of('unasked') => 'quota402', 'sk-unasked-bbbbbbbbbbbb' => '429-retry600');
    chat($httpd, 'unasked', model => '');
    becomes('unasked', {quota => 1, cooling => 1}, '... nor, when a request was refused, but by the list of models');
    script(first_of('unasked') => 'balance0');
    becomes('unasked', {half_open => 1, cooling => 1}, '... and a lost one comes back by the list of models');
    is scalar(grep { $_->{uri} =~ m{/user/info} } record(first_of('unasked'))), 0, '... alone';
};

subtest 'a vendor that has taken the request for the balance away' => sub {
    my @words = (@in_vain, @temporary, 'GETkey403');
    script(map { my $pool = lc; (first_of($pool) => 'quota402', "sk-$pool-bbbbbbbbbbbb" => '429-retry600') } @words);
    chat($httpd, lc, model => '') for @words;
    becomes(lc, {quota => 1, cooling => 1}, "$_: a key is out of quota") for @words;
    my %before = map { ($_ => scalar record(first_of(lc))) } @words;
    script(map { (first_of(lc) => $_) } @words);
    for my $words (@in_vain) {
        my $pool = lc $words;
        becomes($pool, {half_open => 1, cooling => 1}, "$words: the clock brings the key back, and a request tries it");
        my $asked = record(first_of($pool)) - $before{$words};
        cmp_ok $asked, '>=', 3, '... after three refusals to tell';
        cmp_ok $asked, '<=', 4, '... and no more, but for one that was on its way';
        script(first_of($pool) => '');
        is chat($httpd, $pool, model => '')->{status}, 200, '... which proves it';
    }
    becomes('getkey403', {invalid => 1, cooling => 1}, 'a word about the credential is another matter');
    for my $words (@temporary) {
        ok wait_for(sub { record(first_of(lc $words)) >= $before{$words} + 4 }, 20), "$words: asked again and again";
        is metrics($httpd->{base})->states(lc $words)->{quota}, 1, '... the key stays out';
    }
};

subtest 'vouchers and later payment: success beats the number' => sub {
    my @keys = (first_of('voucher'), 'sk-voucher-bbbbbbbbbbbb');
    script($keys[0] => 'balance0', $keys[1] => 'debt3');
    wait_for_checks(2, @keys);
    is chat($httpd, 'voucher', model => '')->{status}, 200, 'a request is served';
    is_deeply metrics($httpd->{base})->states('voucher'), {active => 2}, '... and both keys stay';
};

subtest 'a model that is not for vouchers' => sub {
    my @keys = (first_of('voucher'), 'sk-voucher-bbbbbbbbbbbb');
    my $served = sub { my ($key) = @_; return scalar grep { $_->{body} =~ /"only-m"/ } record($key) };
    script(map { ($_ => 'pro402-balance0') } @keys);
    ok wait_for(sub { chat($httpd, 'voucher', model => 'only-m')->{status} == 200 or die; 2 == grep { $served->($_) } @keys }),
        'a model is served by both keys';
    is chat($httpd, 'voucher', model => 'Pro/x')->{status}, 402, '... and another one by none';
    wait_for_checks(3, @keys);
    is_deeply metrics($httpd->{base})->states('voucher'), {active => 2}, 'a number, which is 0, takes none out';
    is chat($httpd, 'voucher', model => 'only-m')->{status}, 200, '... and they serve';
};

subtest 'the vendor has a word for it' => sub {
    my $key = first_of('flagged');
    script($key => 'unavailable-currencies-balance9');
    becomes('flagged', {active => 1, quota => 1}, 'a key that is said to be of no use is out, whatever it has');
    script($key => 'currencies-balance0');
    becomes('flagged', {active => 2}, '... and one that is said to be is in, whatever it lacks');
    script(first_of('deepseek') => 'unavailable-balance9');
    becomes('deepseek', {active => 1, quota => 1}, 'neither is enough for a minimum alone: said to be of no use');
    script(first_of('deepseek') => 'balance9');
    becomes('deepseek', {active => 2}, '... both together are');
    script(first_of('deepseek') => 'balance4');
    becomes('deepseek', {active => 1, quota => 1}, '... and said to be of use, below it');
};

subtest 'each currency is shown' => sub {
    script(first_of('flagged') => 'currencies-balance9');
    my $amounts;
    wait_for(sub {
            my $keys = $admin->ask(GET => '/pools/flagged/keys')->{json}{keys};
            ($amounts) = grep { @$_ == 2 } map { $_->{balance} ? $_->{balance}{amounts} : [] } @$keys;
            $amounts && $amounts->[1]{amount} == 9;
        }, 20);
    is_deeply $amounts, [{amount => 12.34, currency => 'USD'}, {amount => 9, currency => 'CNY'}], 'the largest first';
};

subtest 'what cannot be read changes nothing' => sub {
    my $keys_of = sub { my ($words) = @_; return map {"sk-$unreadable{$words}-$_"} qw(aaaaaaaaaaaa bbbbbbbbbbbb) };
    script(map { my $words = $_; map { ($_ => $words) } $keys_of->($words) } @words);
    wait_for_checks(2, map { $keys_of->($_) } @words);
    is_deeply metrics($httpd->{base})->states($unreadable{$_}), {active => 2}, $_ for @words;
    my ($pool, @keys) = ($unreadable{close}, $keys_of->('close'));
    script(map { ($_ => 'balance4') } @keys);
    becomes($pool, {quota => 2}, 'a balance that can be does');
    script(map { ($_ => 'nobalance') } @keys);
    wait_for_checks(3, @keys);
    is_deeply metrics($httpd->{base})->states($pool), {quota => 2}, 'and then what cannot again does not';
    script(map { ($_ => 'balance9') } @keys);
    becomes($pool, {active => 2}, '... but money does');
};

my %rules = %{metrics($httpd->{base})->rules('deepseek')};
is_deeply \%rules, {R00 => 1}, 'no request about a key counts as one of a client';
unlike $httpd->log, qr/sk-\w+-[ab]{6}/, 'no key is in the log';
is $httpd->faults, '', 'nothing went wrong';

done_testing;
