# SPDX-License-Identifier: Apache-2.0
# Sessions of the admin API: signing in and out, forged tokens, wrong passwords, and what ends a session.
use strict;
use warnings;

use APIPoolAdmin qw(admin_server location password_file token_for);
use APIPoolTest qw(free_port json parallel slurp spew wait_for);
use Digest::SHA qw(hmac_sha256 sha256_hex);
use HTTP::Tiny ();
use JSON::PP qw(decode_json encode_json);
use MIME::Base64 qw(decode_base64url encode_base64url);
use Test::More;
use Time::HiRes qw(sleep time);

my $both = free_port(); # for a socket of IPv4 and IPv6, as "Listen PORT" makes it
my $secret_key = 'sk-ok-session-key-number-one';
my $admin = admin_server(
    {main => {keys => [$secret_key]}},
    lines => ['APIPoolAdminReveal On'],
    config => location('/plain', 'APIPoolAdminUserFile @DIR@/plain')
        . "Listen $both\nLimitRequestFieldSize 131072\nRemoteIPHeader X-Forwarded-For\nRemoteIPInternalProxy 127.0.0.1\n",
    files => {plain => 'dave:$apr1$abcdefgh$MDhhiTsuVHNVMJCqj1B9R1' . "\n" . password_file(erin => 'x')}
);
my $users = "$admin->{httpd}{dir}/admins";

# Each test signs in from an address of its own: wrong passwords are counted by address.
my $addresses = 0;

sub sign_in {
    my ($user, $password, $address, $mount) = @_;
    $address //= '192.0.2.' . ++$addresses;
    return $admin->as(mount => $mount // '/apipool')->ask(
        POST => '/session', json => {username => $user, password => $password},
        headers => {'x-forwarded-for' => $address}
    );
}

# --- Signing in and out --------------------------------------------------------------------------

my $answer = sign_in('alice', 'wonderland');
is $answer->{status}, 200, 'alice signs in';
is_deeply [sort keys %{$answer->{json}}], [qw(expires_at role token user)], '... and gets a token';
is "$answer->{json}{user} $answer->{json}{role}", 'alice admin', '... as an admin';
my $token = $answer->{json}{token};
my $cookie = $answer->{headers}{'set-cookie'};
like $cookie, qr{\Aapipool_session=\Q$token\E; Path=/apipool; Max-Age=86400; HttpOnly; SameSite=Strict\z},
    'the cookie is for this location, and out of reach of scripts and other sites';
is sign_in('bob', 'builder')->{json}{role}, 'viewer', 'bob is a viewer';
$answer = $admin->as(token => $token)->ask(GET => '/session');
is_deeply $answer->{json},
    {user => 'alice', role => 'admin', auth => 'session', reveal => JSON::PP::true,
        expires_at => $answer->{json}{expires_at}},
    'who am I';

is sign_in(@$_)->error, '401 invalid_credentials', "not with @$_"
    for ['alice', 'Wonderland'], ['alice', 'wonderland '], ['alice', ''], ['Alice', 'wonderland'], ['', ''],
    ['mallory', 'wonderland'], ['alice:', 'wonderland'], ["alice\x{e4}", 'wonderland'];
is sign_in('dave', 'password', undef, '/plain')->error, '401 invalid_credentials', 'entries that are not bcrypt are not taken';
like $admin->{httpd}->log, qr/AP0112: user "dave" cannot sign in: the entry is not bcrypt; .*htpasswd -B/, '... which is said';
is sign_in('erin', 'x', undef, '/plain')->{status}, 200, '... while the others of that file are';

is $admin->as(token => $token)->ask(DELETE => '/session')->{status}, 204, 'alice signs out';
my @statuses = map { $_->[0] } parallel(8, sub { $admin->as(token => $token)->ask(GET => '/session')->{status} });
is_deeply \@statuses, [(401) x 8], '... and the token is dead for every process';
$token = sign_in('alice', 'wonderland')->{json}{token};
my $out = $admin->as(cookie => "apipool_session=$token")
    ->ask(DELETE => '/session', headers => {'sec-fetch-site' => 'same-origin'});
like $out->{headers}{'set-cookie'}, qr{\Aapipool_session=; Path=/apipool; Max-Age=0;}, 'signing out takes the cookie away';

# --- Forged tokens -------------------------------------------------------------------------------

$token = sign_in('alice', 'wonderland')->{json}{token};
my ($head, $payload, $signature) = split /\./, $token;
my %claims = %{decode_json(decode_base64url($payload))};

sub encoded { return encode_base64url(encode_json($_[0])) }

# With a secret of ours, which is not the server's.
sub forged {
    my ($header, $its_claims, $key) = @_;
    my $text = encoded($header) . '.' . encoded($its_claims);
    return "$text." . encode_base64url(hmac_sha256($text, $key // 'guess'));
}

my %header = (alg => 'HS256', typ => 'JWT');
my $none = encoded({%header, alg => 'none'});
for my $case (
    ['alg none' => "$none.$payload."],
    ['alg none with a signature' => "$none.$payload.$signature"],
    ['alg HS512' => encoded({%header, alg => 'HS512'}) . ".$payload.$signature"],
    ['alg RS256' => encoded({%header, alg => 'RS256'}) . ".$payload.$signature"],
    ['a foreign secret' => forged(\%header, \%claims)],
    ['an empty secret' => forged(\%header, \%claims, '')],
    ['another user' => "$head." . encoded({%claims, sub => 'bob'}) . ".$signature"],
    ['a longer life' => "$head." . encoded({%claims, exp => $claims{exp} + 1}) . ".$signature"],
    ['a time to come' => forged(\%header, {%claims, nbf => time + 1000})],
    ['no signature' => "$head.$payload."],
    ['half a signature' => substr $token, 0, -10],
    ['a signature too many' => "$token.$signature"],
    ['no payload' => "$head..$signature"],
    ['dots' => '...'],
    ['no token' => ''],
    ['4 kB' => 'a' x 4097],
    ['64 kB' => 'a' x 65536],
    ['64 kB behind the head' => "$head." . 'a' x 65536 . ".$signature"],
    )
{
    my ($name, $forged) = @$case;
    is $admin->as(token => $forged || ' ')->ask(GET => '/pools')->error, '401 unauthorized', "a token with $name";
    is $admin->as(cookie => "apipool_session=$forged")->ask(GET => '/pools')->{status}, 401, '... as a cookie';
}
is $admin->as(token => $token)->ask(GET => '/pools')->{status}, 200, 'the true one is still taken';

# --- What ends a session -------------------------------------------------------------------------

my $revoked = sign_in('alice', 'wonderland')->{json}{token};
$admin->as(token => $revoked)->ask(DELETE => '/session');
$admin->{httpd}->restart;
is $admin->as(token => $token)->ask(GET => '/session')->{status}, 200, 'a session survives a graceful restart';
$admin->{httpd}->stop;
$admin->{httpd}->start;
is $admin->as(token => $token)->ask(GET => '/session')->{status}, 200, '... and a full one';
is $admin->as(token => $revoked)->ask(GET => '/session')->{status}, 401, '... as its end does';

spew($users, password_file(alice => 'looking-glass', bob => 'builder'));
is $admin->as(token => $token)->ask(GET => '/session')->{status}, 401, 'another password ends it at once';
is sign_in('alice', 'wonderland')->{status}, 401, '... the old one is worth nothing';
$token = sign_in('alice', 'looking-glass')->{json}{token};
is $admin->as(token => $token)->ask(GET => '/session')->{status}, 200, '... and the new one opens another';
spew($users, password_file(bob => 'builder'));
is $admin->as(token => $token)->ask(GET => '/session')->{status}, 401, 'so does the removal of the user';
unlink $users;
is $admin->as(token => $token)->ask(GET => '/session')->{status}, 401, 'without the file there is no session';
is sign_in('bob', 'builder')->{status}, 500, '... and no way to one, which is not the password\'s fault';
spew($users, password_file(alice => 'looking-glass', bob => 'builder'));
is $admin->as(token => $token)->ask(GET => '/session')->{status}, 200, 'the same entry, the same session';
spew($users, password_file(alice => 'wonderland', bob => 'builder'));

# --- Wrong passwords -----------------------------------------------------------------------------

my @failures = map { sign_in('alice', "guess $_", '198.51.100.7') } 1 .. 5;
is_deeply [map { $_->{status} } @failures], [(401) x 5], 'five wrong passwords are looked at';
my $late = sign_in('alice', 'wonderland', '198.51.100.7');
is $late->error, '429 too_many_failures', '... and then not even the right one';
cmp_ok $late->{headers}{'retry-after'}, '>', 0, '... for a while that is told';
is sign_in('alice', 'wonderland', '198.51.100.8')->{status}, 200, 'another address signs in meanwhile';

# An address is one on such a socket as well.
sub sign_in_from {
    my ($address, $password) = @_;
    return HTTP::Tiny->new(local_address => $address)->post("http://127.0.0.1:$both/apipool/api/session",
        {headers => {'content-type' => 'application/json'}, content => encode_json({username => 'alice', password => $password})})
        ->{status};
}

is_deeply [map { sign_in_from('127.0.0.2', 'guess') } 1 .. 6], [(401) x 5, 429], 'wrong passwords to a socket of both protocols';
is sign_in_from('127.0.0.3', 'wonderland'), 200, '... keep no other address out';

# Whoever has a password does not get more guesses at another one by saying it in between.
sign_in('alice', "guess $_", '198.51.100.9') for 1 .. 4;
is sign_in('bob', 'builder', '198.51.100.9')->{status}, 200, 'after four wrong passwords a right one is taken';
is sign_in('alice', 'guess', '198.51.100.9')->{status}, 401, '... the next wrong one is looked at';
is sign_in('alice', 'guess', '198.51.100.9')->{status}, 429, '... and then none';

# 1,000 wrong passwords at once: wrong ones that were looked at leave a line each.
my $before = () = $admin->{httpd}->log =~ /AP0114: wrong password/g;
my @waits = map {@$_} parallel(
    10,
    sub {
        return map {
            my $got = sign_in('alice', "guess $_", '203.0.113.9');
            [$got->{status}, $got->{headers}{'retry-after'} // 0]
        } 1 .. 100;
    }
);
is scalar(grep { $_->[0] != 401 && $_->[0] != 429 } @waits), 0, '1,000 wrong passwords are all refused';
my $looked_at = () = $admin->{httpd}->log =~ /AP0114: wrong password/g;
cmp_ok $looked_at - $before, '<=', 10, '... and at most 10 of them were looked at';
is scalar(grep { $_->[0] == 401 } @waits), $looked_at - $before, '... which are those that got a 401';
is scalar(grep { $_->[0] == 429 && $_->[1] < 1 } @waits), 0, '... the others are told when to come again';
is sign_in('alice', 'wonderland', '203.0.113.10')->{status}, 200, 'another address signs in meanwhile';

# --- Keys are shown for the password alone -------------------------------------------------------

$token = sign_in('alice', 'wonderland')->{json}{token};
my $signed_in = $admin->as(token => $token);
my ($key) = @{$signed_in->ask(GET => '/pools/main/keys')->{json}{keys}};

sub reveal {
    my ($password, $address) = @_;
    return $signed_in->ask(
        POST => "/pools/main/keys/$key->{id}/reveal", json => {password => $password},
        headers => {'x-forwarded-for' => $address // '192.0.2.200'}
    );
}

is_deeply reveal('wonderland')->{json}, {key => $secret_key}, 'the password again shows a key';
like $admin->{httpd}->log, qr/AP0120: audit: user "alice" from 192\.0\.2\.200: key revealed in pool main: $key->{id}/,
    '... which is written down';
is reveal('builder')->error, '401 invalid_credentials', 'another user\'s password does not';
is_deeply [map { reveal('x', '198.51.100.77')->{status} } 1 .. 5], [(401) x 5], 'wrong ones are counted';
is reveal('wonderland', '198.51.100.77')->{status}, 429, '... as they are at the door';
is $signed_in->ask(POST => '/pools/main/keys/0123456789abcdef/reveal', json => {password => 'wonderland'})->error,
    '404 key_not_found', 'of a key that is there';

# --- All sessions at once -------------------------------------------------------------------------

spew("$admin->{httpd}{dir}/plain", password_file(erin => 'x'));
my %open = (alice => sign_in('alice', 'wonderland')->{json}{token}, bob => sign_in('bob', 'builder')->{json}{token});
my $erin = sign_in('erin', 'x', undef, '/plain')->{json}{token};
sub who { return $admin->as(token => $_[0], mount => $_[1] // '/apipool')->ask(GET => '/session')->{status} }
is_deeply [map { who($open{$_}) } sort keys %open], [200, 200], 'two sessions are open';
is $admin->as(token => $open{bob})->ask(DELETE => '/sessions')->{status}, 403, 'a viewer does not end those of others';
is who($open{alice}), 200, '... nothing has ended';
$answer = $admin->as(token => $open{alice})->ask(DELETE => '/sessions');
is $answer->{status}, 204, 'an admin ends all';
like $answer->{headers}{'set-cookie'}, qr/\Aapipool_session=; .*Max-Age=0/, '... and the cookie goes';
is who($open{$_}), 401, "... ${_}'s" for sort keys %open;
is who($erin, '/plain'), 200, '... but not those of another location';
my $later = sign_in('alice', 'wonderland')->{json}{token};
is who($later), 200, 'whoever signs in at once is in again';
$admin->{httpd}->restart;
is_deeply [who($open{bob}), who($later)], [401, 200], 'so it is after a graceful restart';
$admin->{httpd}->stop;
$admin->{httpd}->start;
is_deeply [who($open{bob}), who($later)], [401, 200], '... and after a full stop';
is $admin->as(token => $later)->ask(DELETE => '/sessions')->{status}, 204, 'all end again';
is who($later), 401, '... those of the time between, too';

my $log = $admin->{httpd}->log;
for my $secret ($secret_key, 'wonderland', 'looking-glass', 'builder', $token, $signature) {
    is index($log, $secret), -1, 'the log holds no secret: ' . substr sha256_hex($secret), 0, 8;
}
like $log, qr/AP0120: audit: user "alice" from [0-9.]+: signed $_$/m, "signed $_ is written down" for qw(in out);
$log =~ s/^.*AP0111: .*\n|^.*AP0112: .*\n|^.*AP0113: .*\n//gm;
my @faults = grep {/exit signal|\[apipool(?:_admin)?:(?:error|crit|alert|emerg)\]/} split /\n/, $log;
is_deeply \@faults, [], 'nothing else went wrong inside';

# --- Where clients reach us by TLS ---------------------------------------------------------------

my $tls = admin_server({main => {keys => [$secret_key]}}, config => "ServerName https://gw.example.org\nCustomLog \@DIR\@/users %u\n");
$answer = $tls->ask(POST => '/session', json => {username => 'alice', password => 'wonderland'});
like $answer->{headers}{'set-cookie'}, qr/; Secure\z/, 'the cookie is for TLS alone';
my $page = $tls->as(cookie => "apipool_session=$answer->{json}{token}");
my $host = "127.0.0.1:$tls->{httpd}{port}";
is $page->ask(PUT => '/log-level', json => {level => 'info'}, headers => {origin => "$_->[0]://$host"})->{status}, $_->[1],
    "a page of $_->[0] is of " . ($_->[1] == 200 ? 'the same origin' : 'another one')
    for ['https', 200], ['http', 403];
my $bare = $admin->as(cookie => 'apipool_session=' . sign_in('alice', 'wonderland')->{json}{token});
is $bare->ask(PUT => '/log-level', json => {level => 'info'}, headers => {origin => "$_->[0]://127.0.0.1:$admin->{httpd}{port}"})->{status},
    $_->[1], "without TLS, a page of $_->[0] is of " . ($_->[1] == 200 ? 'the same origin' : 'another one')
    for ['https', 403], ['http', 200];
# httpd writes a line of it after the answer
my $seen_users = wait_for(sub { my @lines = split /\n/, slurp("$tls->{httpd}{dir}/users"); @lines == 3 && [sort @lines] });
is_deeply $seen_users, ['-', 'alice', 'alice'], 'the access log knows who asked';
is $tls->{httpd}->faults, '', 'nothing went wrong inside';

done_testing;
