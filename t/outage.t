# SPDX-License-Identifier: Apache-2.0
# Pools that serve nobody for now: in maintenance, or without a store that can be used. All else goes on.
use strict;
use warnings;

use APIPoolAdmin qw(admin_server);
use APIPoolTest qw(chat metrics request error_code json slurp spew);
use Apache::Test ();
use Digest::SHA qw(sha256_hex);
use File::Path qw(remove_tree);
use Test::More;

sub edit {
    my ($httpd, $change) = @_;
    my $file = "$httpd->{dir}/httpd.conf";
    return spew($file, $change->(slurp($file)));
}

# What httpd -t says of a server's configuration, and its status.
sub config_test {
    my ($httpd) = @_;
    my $server = Apache::Test::vars('httpd');
    my $said = qx('$server' -t -f '$httpd->{dir}/httpd.conf' 2>&1);
    return ($said, $? >> 8);
}

# All that lies in a server's store and beside its secret.
sub contents {
    my ($httpd) = @_;
    my @files = grep { -f && !m{/lock\z} } glob "$httpd->{dir}/store/* $httpd->{dir}/secret*";
    return join "\n", map { join ' ', $_, (stat)[9], sha256_hex(slurp($_)) } @files;
}

# Two keys, of which one is lost, a client, and a site that has nothing to do with the pool.
my $admin = admin_server(
    {main => {keys => ['sk-ok-outage-aaaaaaaa', 'sk-401-outage-bbbbbbb'], lines => "APIPoolRecover 3600 3600"}},
    config => <<'CONF'
<Location "/guarded">
    APIPoolUse main
    APIPoolCORS *
    AuthType APIPool
    Require valid-user
</Location>
CONF
)->sign_in;
my $httpd = $admin->{httpd};
my $client = $admin->ask(POST => '/clients', json => {name => 'carol'})->{json}{key};
spew("$httpd->{dir}/htdocs/a.txt", "a page\n");
chat($httpd, 'main', model => '') for 1 .. 3;
my $viewer = $admin->as()->sign_in('bob', 'builder');

sub maintain { return $admin->ask(PATCH => '/pools/main', json => {maintenance => $_[0]}) }

subtest 'maintenance' => sub {
    my $states = metrics($httpd->{base})->states('main');
    is $admin->ask(GET => '/pools/main')->{json}{maintenance}, undef, 'a pool is in none at first';
    is $viewer->ask(PATCH => '/pools/main', json => {maintenance => {}})->error, '403 forbidden', 'viewers begin none';
    is maintain({until => '2001-01-01T00:00:00Z'})->error, '400 invalid_request maintenance.until', 'it ends in the future';
    is maintain({message => 'x' x 256})->error, '400 invalid_request maintenance.message', 'a message has its length';
    is $admin->ask(PATCH => '/pools/main', json => {})->error, '400 invalid_request', 'nothing is no change';
    my $answer = maintain({});
    is_deeply $answer->{json}{maintenance}, {until => undef, message => undef}, 'it begins' or diag $answer->{content};
    ($answer, my @keys) = chat($httpd, 'main');
    is "$answer->{status} " . error_code($answer), '503 pool_maintenance', 'requests are refused, in words of their own';
    is $answer->{headers}{'retry-after'}, 60, '... that say when to try again';
    is $answer->{headers}{'x-should-retry'}, undef, '... which helps';
    is scalar @keys, 0, '... and no upstream is asked';
    is chat($httpd, 'guarded', key => 'ak-' . 'x' x 40)->{status}, 401, 'only clients are told';
    is error_code(scalar chat($httpd, 'guarded', key => $client)), 'pool_maintenance', '... which know their keys';
    is_deeply metrics($httpd->{base})->states('main'), $states, 'no key has changed its state';
    is maintain({message => 'Back at "noon", 十二点'})->{status}, 200, 'the operator has words';
    is json(chat($httpd, 'main')->{content})->{error}{message}, 'Back at "noon", 十二点', '... which clients read';
    my $until = time + 7200;
    my @utc = gmtime $until;
    my $text = sprintf '%04d-%02d-%02dT%02d:%02d:%02dZ', $utc[5] + 1900, $utc[4] + 1, @utc[3, 2, 1, 0];
    maintain({until => $text, message => 'later'});
    ok $httpd->restart, 'a graceful restart';
    $httpd->stop;
    $httpd->start;
    my $kept = $admin->sign_in->ask(GET => '/pools/main')->{json}{maintenance};
    is $kept->{message}, 'later', 'restarts keep it';
    like $kept->{until}, qr/\A\Q@{[substr $text, 0, 19]}\E/, '... with its end';
    $answer = chat($httpd, 'main');
    is error_code($answer), 'pool_maintenance', '... and its work';
    cmp_ok abs($answer->{headers}{'retry-after'} - ($until - time)), '<=', 2, 'Retry-After is what is left of it';
    is maintain(undef)->{json}{maintenance}, undef, 'it is ended';
    is chat($httpd, 'main', model => '')->{status}, 200, '... and the pool serves';
    $httpd->restart;
    is_deeply metrics($httpd->{base})->states('main'), $states, 'all keys are as they were';
    $httpd->stop;
    $httpd->start;
    is chat($httpd, 'main', model => '')->{status}, 200, 'an end outlives a stop too';
    like $httpd->log, qr/AP0120: audit: user "alice" from \S+ maintenance of pool main begun/, 'the audit tells';
};

# --- A store that cannot be used ------------------------------------------------------------------

my $secret = slurp("$httpd->{dir}/secret");
my %damages = (
    'a lost secret' => [sub { unlink "$httpd->{dir}/secret" }, qr/secret file \S+ is missing, and the store cannot/],
    'a damaged store' => [
        sub { spew($_, 'x' . substr slurp($_), 1) for glob "$httpd->{dir}/store/keys-*.seal" },
        qr/store \S+ has no whole generation of keys .* no pool starts empty/
    ],
    'damaged statistics' => [
        sub { spew($_, 'x' . substr slurp($_), 1) for glob "$httpd->{dir}/store/stats-*.seal" },
        qr/store \S+ has no whole generation of stats/
    ],
    'a lost store' => [sub { remove_tree("$httpd->{dir}/store") }, qr/store \S+ is empty, but \S+ says that it had data/],
);
$httpd->stop;
my ($said, $status) = config_test($httpd);
is $status, 0, 'httpd -t accepts what is well';
unlike $said, qr/AP01|AP00/, '... without a word';
system 'cp', '-Rp', "$httpd->{dir}/store", "$httpd->{dir}/whole";

sub repair {
    remove_tree("$httpd->{dir}/store");
    system 'cp', '-Rp', "$httpd->{dir}/whole", "$httpd->{dir}/store";
    spew("$httpd->{dir}/secret", $secret);
    return chmod 0600, "$httpd->{dir}/secret";
}

for my $damage (sort keys %damages) {
    my ($do, $why) = @{$damages{$damage}};
    $do->();
    my $before = contents($httpd);
    ($said, $status) = config_test($httpd);
    is $status, 0, "$damage: httpd -t lets other sites start";
    like $said, qr/AP0190: if httpd started now, the pools would answer 503: .*$why/s, '... but says what is wrong';
    is contents($httpd), $before, '... and changes nothing';
    ok !-e "$httpd->{dir}/store", '... nor makes a store' if $damage =~ /lost store/;
    my $length = length $httpd->log;
    $httpd->start;
    like substr($httpd->log, $length), qr/emerg\].*AP0053: .*$why/s, '... httpd starts, and says so loudly';
    is request(GET => '/a.txt', base => $httpd->{base})->{content}, "a page\n", '... another site is served';
    for my $try (['main'], ['guarded', key => $client]) {
        my ($answer) = chat($httpd, @$try);
        is "$answer->{status} " . error_code($answer), '503 pool_unavailable', "... the pool at /$try->[0] answers 503";
        like $answer->{headers}{'content-type'}, qr{\Aapplication/json}, '... as APIs do';
    }
    like substr($httpd->log, $length), qr/AP0191: pool main: answered 503/, '... which is logged';
    is $admin->ask(GET => '/health')->error, '503 store_unavailable', '... health says so';
    $admin->sign_in;
    like $admin->ask(GET => '/pools/main')->{json}{fault}, $why, '... the pool says so';
    like $admin->ask(GET => '/system')->{json}{store}{fault}, $why, '... and the settings';
    is $admin->ask(POST => '/pools/main/keys', content => "sk-ok-outage-cccccccc\n", type => 'text/plain')->error,
        '500 failed', '... no key is added';
    is $admin->ask(POST => '/clients', json => {name => 'dave'})->error, '500 failed', '... nor a client';
    is maintain({})->error, '500 failed', '... nor is maintenance begun';
    is $admin->ask(DELETE => '/session')->{status}, 204, '... but a session can be ended';
    ok $httpd->restart, '... a restart changes that as little';
    is scalar(chat($httpd, 'main'))->{status}, 503, '... it answers 503';
    is contents($httpd), $before, '... and nothing in the store has changed' if $damage !~ /lost store/;
    ok !(grep {/keys-|stats-/} glob "$httpd->{dir}/store/*"), '... no data is made in its place' if $damage =~ /lost store/;
    repair();
    ok $httpd->restart, '... when it is put right, a graceful restart is enough';
    is scalar(chat($httpd, 'guarded', key => $client, model => ''))->{status}, 200, '... keys and clients are there';
    is_deeply metrics($httpd->{base})->states('main'), {active => 1, invalid => 1}, '... as they were';
    $httpd->stop;
    repair();
}

subtest 'a store that is damaged while httpd runs' => sub {
    $httpd->start;
    my $before = chat($httpd, 'main', model => '');
    chmod 0770, "$httpd->{dir}/store";
    my $length = length $httpd->log;
    ok $httpd->restart, 'a graceful restart meets a folder that others can write to';
    like substr($httpd->log, $length), qr/AP0053: .*pools serve from memory.*do not stop httpd/, '... and tells';
    is chat($httpd, 'main', model => '')->{status}, 200, '... and serves on from memory';
    is $admin->ask(GET => '/health')->{json}{status}, 'unsaved', '... health tells';
    $admin->sign_in;
    is maintain({})->error, '500 failed', '... nothing can be changed';
    chmod 0700, "$httpd->{dir}/store";
    ok $httpd->restart, 'put right';
    is $admin->ask(GET => '/health')->{json}{status}, 'ok', '... all is well';
    is maintain(undef)->{status}, 200, '... and can be changed';
    my ($said, $status) = config_test($httpd);
    is $status, 0, 'httpd -t while httpd runs';
    unlike $said, qr/AP01|AP00/, '... has nothing to say';
};

subtest 'a corrected path counts at once' => sub {
    $httpd->stop;
    spew("$httpd->{dir}/file", 'x');
    edit($httpd, sub { $_[0] =~ s{^APIPoolStore .*}{APIPoolStore file}mr });
    $httpd->start;
    is chat($httpd, 'main')->{status}, 503, 'a store that is a file';
    edit($httpd, sub { $_[0] =~ s{^APIPoolStore .*}{APIPoolStore store}mr });
    ok $httpd->restart, 'corrected';
    is chat($httpd, 'main', model => '')->{status}, 200, '... it serves';
};

done_testing;
