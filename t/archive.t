# SPDX-License-Identifier: Apache-2.0
# A move by archive: all keys and clients of one httpd into an empty one with another secret. APIPOOL_TEST_FULL makes it
# 10,000 keys and 500 clients.
use strict;
use warnings;

use APIPoolAdmin qw(admin_server location);
use APIPoolTest qw(background chat mock_port request slurp);
use Digest::SHA qw(sha256);
use JSON::PP ();
use MIME::Base64 qw(decode_base64 encode_base64);
use Test::More;
use Time::HiRes qw(time);

my ($KEYS, $CLIENTS) = $ENV{APIPOOL_TEST_FULL} ? (10_000, 500) : (60, 18);
my %pass = (passphrase => "correct horse b\x{e4}ttery");
my $mock = 'http://127.0.0.1:' . mock_port();
my %two = (keys => [], upstreams => ["$mock/v1 name=one", "$mock/v1 name=two priority=1"]);
my $guarded = <<'CONF' . location('/part', 'APIPoolAdminPools main', 'APIPoolAdminReveal On');
LogLevel notice
APIPoolCapacity 12000
<Location "/guarded">
    APIPoolUse main
    AuthType APIPool
    Require valid-user
</Location>
CONF

my $old = admin_server({main => {%two}, other => {keys => []}, gone => {keys => []}},
    lines => ['APIPoolAdminReveal On'], config => $guarded)->sign_in;
my $new = admin_server({main => {%two}, other => {keys => [], upstreams => ["$mock/v1 name=third"]}}, config => $guarded)->sign_in;

# What a run of that size is for.
sub figure {
    return $ENV{APIPOOL_TEST_FULL} ? diag(@_) : note(@_);
}

sub page_through {
    my ($admin, $pool) = @_;
    my @keys;
    while (1) {
        my $page = $admin->ask(GET => "/pools/$pool/keys?limit=1000&offset=" . @keys)->{json};
        push @keys, @{$page->{keys}};
        return @keys if @keys >= $page->{total};
    }
}

# What a move has to keep of the keys of a pool, and of all clients.
sub keys_of {
    my ($admin, $pool) = @_;
    my @names = qw(upstream masked label account weight enabled limits added_at);
    my @keys = map { my $key = $_; join "\n", map { JSON::PP->new->canonical->allow_nonref->encode($key->{$_}) } @names }
        page_through($admin, $pool);
    return [sort @keys];
}

sub clients_of {
    my ($admin) = @_;
    my @names = qw(name enabled expires_at created_at old_until pools models endpoints rpm tpm tokens_per_day concurrency);
    return [map { my $client = $_; +{map { $_ => $client->{$_} } @names} } @{$admin->ask(GET => '/clients')->{json}{clients}}];
}

sub all_of {
    my ($admin) = @_;
    return {clients => clients_of($admin), map { $_ => keys_of($admin, $_) } qw(main other)};
}

sub export {
    my ($admin, %body) = @_;
    return $admin->ask(POST => '/archive/export', json => {%pass, password => 'wonderland', %body});
}

sub read_in {
    my ($admin, $archive, %options) = @_;
    my $query = $options{preview} ? '?preview=true' : '';
    return $admin->ask(POST => "/archive/import$query",
        json => {passphrase => $options{passphrase} // $pass{passphrase}, archive => $options{text} // encode_base64($archive, '')});
}

sub counts {
    my ($answer) = @_;
    return {map { my $kind = $_; $kind => [map { $answer->{json}{$kind}{$_} } qw(added known unplaced)] } qw(keys clients)};
}

# --- What there is to move --------------------------------------------------------------------------------------------

# Each change writes the whole store, so what is added one by one comes first.
my $false = JSON::PP::false;
my %client_keys;
for my $number (1 .. $CLIENTS) {
    my $name = sprintf 'client-%03d', $number;
    $client_keys{$name} = $old->ask(POST => '/clients', json => {name => $name, rpm => 1000 + $number, tokens_per_day => 100_000 + $number,
            models => ["model-$number", 'm'], pools => ['main'], expires_at => '2099-12-31T23:59:59Z',
            $number % 5 == 4 ? (enabled => $false) : ()})->{json}{key};
}
my $successor = $old->ask(POST => '/clients/client-001/rotate', json => {})->{json}{key};
$old->ask(POST => '/clients', json => {name => 'stray', pools => ['gone']});
my @some = map { {key => sprintf('sk-ok-archive-%06d-key', $_), label => "label \x{94a5} number $_", account => 'account-' . $_ % 7,
        weight => 1 + $_ % 5, limits => {rpm => 10 + $_, tpd => 1000 + $_}, $_ % 9 ? () : (enabled => $false)} } 1 .. $KEYS;
my $half = int $KEYS / 2;
for my $part (['one', 0, $half - 1], ['two', $half, $KEYS - 1]) {
    my ($upstream, @range) = @$part;
    is $old->ask(POST => "/pools/main/keys?upstream=$upstream", json => [@some[$range[0] .. $range[1]]])->{status}, 200,
        "keys of upstream $upstream";
}
$old->ask(POST => '/pools/other/keys', json => ['sk-ok-archive-of-other-1', {key => 'sk-ok-archive-of-other-2', limits => {concurrency => 3}}]);
$old->ask(POST => '/pools/gone/keys', json => ['sk-ok-archive-of-gone-1']);

# --- Export -----------------------------------------------------------------------------------------------------------

my $begin = time;
my $exported = export($old);
figure(sprintf 'export: %.2f s', time - $begin);
is $exported->{status}, 200, 'an archive is made' or diag $exported->{content};
is $exported->{headers}{'cache-control'}, 'no-store', '... and kept by no cache';
is_deeply [@{$exported->{json}}{qw(keys clients)}], [$KEYS + 3, $CLIENTS + 1], '... of all there is';
my $archive = decode_base64($exported->{json}{archive});
figure(length($archive) . ' bytes');
is substr($archive, 0, 9), "apipoolA\x01", '... of the format that is documented';
my @readable = grep { index($archive, $_) >= 0 }
    (map { my $some = $_; map { ($some->{key}, substr($some->{key}, -10), "number $some->{weight}", $some->{account}) } 1 } @some[0 .. 49]),
    keys %client_keys, values %client_keys, qw(sk-ok archive- label account main other upstream rpm "key "client model);
is_deeply \@readable, [], 'nothing in it can be read';
like slurp("$old->{httpd}{dir}/error_log"), qr/audit: user "alice" from \S+: archive exported \(@{[$KEYS + 3]} whole keys, @{[$CLIENTS + 1]} clients\)/,
    'the log says who has exported';
unlike slurp("$old->{httpd}{dir}/error_log"), qr/correct horse/, '... and not the passphrase';

is export($old, passphrase => 'eleven byte')->error, '400 invalid_request passphrase', 'a short passphrase is refused';
is export($old, password => 'wonderlant')->error, '401 invalid_credentials', 'a wrong password as well';
my $bob = $old->as(token => $old->token_for('bob', 'builder'));
is export($bob, password => 'builder')->error, '403 forbidden', 'a viewer exports nothing';
is read_in($bob, $archive)->error, '403 forbidden', '... and imports nothing';
is export($new)->error, '403 reveal_off', 'where keys cannot be shown they cannot be exported';
my $part = $old->as(mount => '/part');
$part->sign_in;
is export($part)->error, '403 restricted', 'where only some pools are seen, nothing is exported';
is read_in($part, $archive)->error, '403 restricted', '... nor imported';

# --- Nothing of a wrong or damaged archive ----------------------------------------------------------------------------

my $empty = all_of($new);
my $forged = substr($archive, 0, 9) . "\x13\xff\xff" . substr $archive, 12, -32;
my $flipped = $archive;
substr($flipped, length($archive) / 2, 1) ^= "\x01";
for my $case (
    ['the passphrase is another one', $archive, 'passphrase', passphrase => 'correct horse battery'],
    ['a byte differs', $flipped, 'archive'],
    ['the end is missing', substr($archive, 0, -1), 'archive'],
    ['it asks for gigabytes', $forged . sha256($forged), 'archive'],
    ['it is something else', "GIF89a" . 'x' x 100, 'archive'],
    ['it is no base64', '', 'archive', text => 'a*b='],
    )
{
    my ($what, $bytes, $field, %options) = @$case;
    my $answer = read_in($new, $bytes, %options);
    is $answer->error, "400 invalid_request $field", "an import, and $what: $answer->{json}{error}{message}";
}
is_deeply all_of($new), $empty, '... nothing was imported';

# --- Import -----------------------------------------------------------------------------------------------------------

isnt slurp("$old->{httpd}{dir}/secret"), slurp("$new->{httpd}{dir}/secret"), 'the secrets differ';
$begin = time;
my $preview = read_in($new, $archive, preview => 1);
figure(sprintf 'preview: %.2f s', time - $begin);
my %expected = (keys => [$KEYS, 0, 3], clients => [$CLIENTS, 0, 1]);
is_deeply counts($preview), \%expected, 'a preview counts what would be' or diag $preview->{content};
is_deeply [map { join ' ', @$_{qw(kind pool reason)} } grep { $_->{kind} eq 'key' && $_->{result} eq 'unplaced' } @{$preview->{json}{items}}],
    ['key gone There is no such pool here.', ('key other The pool has no such upstream here.') x 2], '... and says what has no place';
my ($shown) = grep { $_->{kind} eq 'key' && $_->{result} eq 'new' } @{$preview->{json}{items}};
like $shown->{name}, qr/\Ask-o\x{2026}-key\z/, '... with keys masked';
is_deeply all_of($new), $empty, '... and changes nothing';

$begin = time;
my $imported = read_in($new, $archive);
figure(sprintf 'import: %.2f s', time - $begin);
is_deeply counts($imported), \%expected, 'the import does what the preview says' or diag $imported->{content};
is scalar(@{$imported->{json}{items}}), 4, '... and lists what has no place again';
like slurp("$new->{httpd}{dir}/error_log"), qr/audit: user "alice" from \S+: archive imported \($KEYS keys, $CLIENTS clients added\)/,
    'the log says who has imported';

sub is_moved {
    my ($when) = @_;
    is_deeply keys_of($new, 'main'), keys_of($old, 'main'), "$when: the same keys, limits, labels";
    is_deeply clients_of($new), [grep { $_->{name} ne 'stray' } @{clients_of($old)}], '... and clients';
    my @at = map { [page_through($_, 'main')] } $old, $new;
    my %ids = map { $_->{id} => 1 } @{$at[0]};
    is scalar(grep { $ids{$_->{id}} } @{$at[1]}), 0, '... whose ids are of the other secret';
    my ($status, @keys) = map { ref $_ ? $_->{status} : $_ } chat($new->{httpd}, 'guarded', model => 'm', key => $client_keys{'client-001'});
    is $status, 200, "... and a client's key works";
    is chat($new->{httpd}, 'guarded', model => 'm', key => $successor)->{status}, 200, '... as does its successor';
    is scalar(grep {/\Ask-ok-archive-\d{6}-key\z/} @keys), 1, '... with a key that was moved';
    is chat($new->{httpd}, 'guarded', model => 'm', key => $client_keys{'client-004'})->{status}, 401, '... a disabled one does not';
    return;
}

is_moved('after the import');
$new->{httpd}->stop;
$new->{httpd}->start;
$new->sign_in;
is_moved('after a stop and a start');

# What exists stays as it is.
my ($one) = page_through($new, 'main');
$new->ask(PATCH => "/pools/main/keys/$one->{id}", json => {label => 'mine'});
$new->ask(DELETE => '/clients/client-002');
$new->ask(POST => '/clients', json => {name => 'client-002'});
is_deeply counts(read_in($new, $archive)), {keys => [0, $KEYS, 3], clients => [0, $CLIENTS - 1, 2]}, 'another client of that name: it stays';
is $new->ask(GET => "/pools/main/keys/$one->{id}")->{json}{label}, 'mine', '... and so does a key that was changed';

# --- All or nothing, and few at a time --------------------------------------------------------------------------------

my $tight = admin_server({main => {%two}}, config => "APIPoolClientCapacity 16\nAPIPoolCapacity 12000\n")->sign_in;
is read_in($tight, $archive)->error, '507 no_room', 'no room for the clients';
is_deeply [$tight->ask(GET => '/pools/main/keys')->{json}{total}, clients_of($tight)], [0, []], '... so no key is added either';

my @answers = map { $_->() } map { background(sub { my $answer = export($old); return [$answer->{status}, $answer->{headers}{'retry-after'}] }) } 1 .. 4;
is scalar(grep { $_->[0] != 200 && ($_->[0] != 503 || !$_->[1]) } @answers), 0, 'several at a time: made, or told to wait';
ok scalar(grep { $_->[0] == 200 } @answers), '... but not all of them';
is export($old)->{status}, 200, '... and the next one is made';

is $_->{httpd}->faults, '', 'nothing went wrong inside' for $old, $new, $tight;

done_testing;
