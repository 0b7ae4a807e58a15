# SPDX-License-Identifier: Apache-2.0
# Who may do what: every route of the admin API and every kind of caller.
use strict;
use warnings;

use APIPoolAdmin qw(admin_server location password_file token_for);
use APIPoolSchema qw(document operations);
use APIPoolTest qw(chat request send_raw);
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use Test::More;

my @keys = map {"sk-ok-auth-key-number-$_"} 1 .. 4;
my $admin = admin_server(
    {main => {keys => \@keys}, hidden => {keys => ['sk-ok-hidden-key-aaaaaaa']}},
    lines => ['APIPoolAdminPools main', 'APIPoolAdminReveal On'],
    files => {more => password_file(carol => 'christmas', alice => 'wonderland')},
    config => "RemoteIPHeader X-Forwarded-For\nRemoteIPInternalProxy 127.0.0.1\n" . location('/brief', 'APIPoolAdminSession 1') . location('/open', 'APIPoolAdminUserFile @DIR@/more')
        . location('/nested', '<If "-n %{HTTP:X-Reveal}">', 'APIPoolAdminReveal On', '</If>')
        . <<"CONF"
<Location "/nested/api/clients">
    APIPoolAdminViewers alice
</Location>
<Location "/nested/api/pools">
    Require all granted
</Location>
<Location "/none">
    SetHandler apipool-admin
</Location>
<Location "/basic">
    SetHandler apipool-admin
    APIPoolAdminAuth httpd
    APIPoolAdminViewers bob
    AuthType Basic
    AuthName admin
    AuthUserFile \@DIR\@/admins
    Require valid-user
</Location>
<Location "/anyone">
    SetHandler apipool-admin
    APIPoolAdminAuth httpd
</Location>
<Location "/behind">
    AuthType Basic
    AuthName gate
    AuthUserFile \@DIR\@/admins
    Require valid-user
</Location>
@{[location('/behind')]}<Location "/by-key">
    SetHandler apipool-admin
    APIPoolAdminAuth httpd
    AuthType APIPool
    Require valid-user
</Location>
<VirtualHost 127.0.0.1:\@PORT\@>
    ServerName localhost
</VirtualHost>
<VirtualHost 127.0.0.1:\@PORT\@>
    ServerName other.example
@{[location('/apipool')]}</VirtualHost>
CONF
);
my $base = $admin->{base};
$admin->sign_in;
my ($id) = map { $_->{id} } @{$admin->ask(GET => '/pools/main/keys?limit=1')->{json}{keys}};
my ($hidden) = map { $_->{id} }
    @{$admin->as(mount => '/open', token => token_for({%$admin, mount => '/open'}, 'carol', 'christmas'))
        ->ask(GET => '/pools/hidden/keys')->{json}{keys}};

# --- The matrix ----------------------------------------------------------------------------------

# What each operation is asked with; none of it changes anything that another one needs.
my %bodies = (
    'POST /api/session' => {username => 'nobody', password => 'x'},
    'PATCH /api/pools/{pool}' => {maintenance => undef},
    'POST /api/pools/{pool}/keys' => ['sk-ok-auth-key-number-1'],
    'POST /api/pools/{pool}/keys/search' => {q => 'sk-ok'},
    'POST /api/pools/{pool}/keys/actions' => {action => 'reset', ids => []},
    'PATCH /api/pools/{pool}/keys/{id}' => {label => 'x'},
    'POST /api/pools/{pool}/keys/{id}/reveal' => {password => 'wonderland'},
    'POST /api/clients' => {name => 'dave'},
    'PATCH /api/clients/{name}' => {enabled => JSON::PP::true},
    'POST /api/clients/{name}/rotate' => {overlap => 0},
    'POST /api/unreached' => {server => 'gone.example'},
    'PUT /api/log-level' => {level => 'info'},
);

sub token_of { return token_for(@_) }

my $revoked = token_of($admin, 'alice', 'wonderland');
$admin->as(token => $revoked)->ask(DELETE => '/session');
my $brief = $admin->as(mount => '/brief');
my $expired = token_of($brief, 'alice', 'wonderland');
my $login = '{"username":"alice","password":"wonderland"}';
my ($elsewhere) = send_raw(
    "POST /apipool/api/session HTTP/1.0\r\nHost: other.example\r\nContent-Type: application/json\r\n"
        . 'Content-Length: ' . length($login) . "\r\n\r\n$login",
    port => $admin->{httpd}{port}
) =~ /"token":"([^"]+)"/;
ok $elsewhere, 'there is a session at another virtual host';
my $viewer = token_of($admin, 'bob', 'builder');
my $cookie = 'apipool_session=' . token_of($admin, 'alice', 'wonderland');
sleep 2;

my @callers = (
    [nobody => {}, sub { 401 }],
    [viewer => {token => $viewer}, sub { $_[0] eq 'admin' ? 403 : 0 }],
    ['admin' => {token => $admin->{token}}, sub { 0 }],
    [garbage => {token => 'x.y.z'}, sub { 401 }],
    ['admin of another vhost' => {token => $elsewhere}, sub { 401 }],
    [revoked => {token => $revoked}, sub { 401 }],
    [expired => {token => $expired, mount => '/brief'}, sub { 401 }],
    ['cookie without same origin' => {cookie => $cookie}, sub { $_[1] eq 'GET' ? 0 : 403 }],
);

my $addresses = 0; # by which wrong passwords are counted
for my $caller (@callers) {
    my ($name, $credential, $wanted) = @$caller;
    for my $operation (sort(operations())) {
        my ($method, $path) = split / /, $operation;
        my $role = document()->{paths}{$path}{lc $method}{'x-role'};
        $path =~ s{^/api}{};
        $path =~ s/\{pool\}/main/;
        $path =~ s/\{id\}/$id/;
        $path =~ s/\{name\}/nobody/;
        # an admin would sign out, remove the key, or watch without end: tested below and elsewhere
        next if $name eq 'admin' && $operation =~ m{^DELETE /api/(?:session|pools)};
        next if $name eq 'viewer' && $operation eq 'DELETE /api/session';
        my $as = $admin->as(%$credential);
        my $answer = $as->ask($path eq '/events' ? 'HEAD' : $method, $path,
            $bodies{$operation} ? (json => $bodies{$operation}) : (),
            $operation eq 'POST /api/session' ? (headers => {'x-forwarded-for' => '192.0.2.' . ++$addresses}) : ());
        # whoever presents no credential may ask who that is; one that is not valid is refused
        my $is_refused_here = $operation eq 'GET /api/session' && $name ne 'nobody';
        my $refused = $role eq 'nobody' && !$is_refused_here ? 0 : $wanted->($role, $method);
        if ($refused) {
            is $answer->{status}, $refused, "$name: $operation: $refused" or diag $answer->{content};
        }
        elsif ($operation eq 'POST /api/session') {
            is $answer->{status}, 401, "$name: $operation: a wrong password";
        }
        elsif ($operation =~ m{^(?:PUT /api/log-level|POST /api/archive)}) {
            is $answer->{status}, 403, "$name: $operation: not in a location with pools of its own";
        }
        else {
            like $answer->{status}, qr/^(?:2\d\d|404)$/, "$name: $operation: may" or diag $answer->{content};
        }
    }
}

my %nobody = (user => undef, role => undef, expires_at => undef, reveal => JSON::PP::false);
is_deeply $admin->as->ask(GET => '/session')->{json}, {%nobody, auth => 'session'}, 'nobody is told that, and how to sign in';
for my $case (
    ['an empty cookie' => {cookie => 'apipool_session='}],
    ['another cookie besides' => {cookie => "a=b; apipool_session=$revoked"}],
    ['a password' => {authorization => 'Basic ' . encode_base64('alice:wonderland', '')}],
    ['an empty Bearer' => {authorization => 'Bearer '}],
    ['nothing that is known' => {authorization => 'x'}],
    )
{
    my ($name, $headers) = @$case;
    my $answer = $admin->as->ask(GET => '/session', headers => $headers);
    is $answer->error, '401 unauthorized', "who am I, with $name: a credential, and not a valid one";
    is $answer->{headers}{'www-authenticate'}, 'Bearer realm="apipool"', '... which is said';
}
is $admin->as(cookie => 'apipool_sessions=x; theme=dark')->ask(GET => '/session')->{status}, 200, 'other cookies are no credential';

# --- Where a browser's request comes from --------------------------------------------------------

my $host = "127.0.0.1:$admin->{httpd}{port}";
my $browser = $admin->as(cookie => $cookie);
for my $case (
    [200 => 'its own origin', {origin => "http://$host"}],
    [403 => 'TLS that this server knows nothing of', {origin => "https://$host"}],
    [403 => 'no origin that can be told', {origin => 'null'}],
    [403 => 'another origin', {origin => 'http://evil.example'}],
    [403 => 'another port', {origin => 'http://127.0.0.1:1'}],
    [403 => 'an origin that begins like it', {origin => "http://$host.evil.example"}],
    [403 => 'another origin, whatever else is said',
        {origin => 'http://evil.example', 'sec-fetch-site' => 'same-origin', referer => "http://$host/"}],
    [200 => 'the same origin, says the browser', {'sec-fetch-site' => 'same-origin'}],
    [403 => 'the same site', {'sec-fetch-site' => 'same-site'}],
    [403 => 'another site', {'sec-fetch-site' => 'cross-site', referer => "http://$host/"}],
    [403 => 'no site', {'sec-fetch-site' => 'none'}],
    [200 => 'a page of its own', {referer => "http://$host/apipool/?x"}],
    [403 => 'a page of another one', {referer => "http://evil.example/http://$host/"}],
    [403 => 'nothing', {}],
    )
{
    my ($wanted, $name, $headers) = @$case;
    my $answer = $browser->ask(PATCH => "/pools/main/keys/$id", json => {label => $name}, headers => $headers);
    is $answer->{status}, $wanted, "by cookie, from $name";
}
is $browser->ask(GET => '/pools', headers => {origin => 'http://evil.example'})->{status}, 200,
    'what changes nothing may come from anywhere: nobody else can read it';
is $browser->as(cookie => "a=b; $cookie; c=d")->ask(GET => '/session')->{status}, 200, 'among other cookies';
is $browser->as(cookie => $cookie, token => 'x')->ask(GET => '/session')->{status}, 401, 'a Bearer counts instead';

# --- Pools and locations -------------------------------------------------------------------------

is_deeply [map { $_->{name} } @{$admin->ask(GET => '/pools')->{json}{pools}}], ['main'], 'one pool is to be seen';
is $admin->ask(GET => $_)->error, '404 pool_not_found', "$_ is not there"
    for '/pools/hidden', '/pools/hidden/keys', '/pools/hidden/stats', "/pools/hidden/keys/$hidden", '/requests?pool=hidden';
chat($base, $_) for qw(hidden main hidden);
is_deeply [map { $_->{pool} } @{$admin->ask(GET => '/requests')->{json}{requests}}], ['main'], 'nor are its requests';
is $admin->ask(GET => "/pools/main/keys/$hidden")->error, '404 key_not_found', 'nor is its key in another pool';
my $tried = $admin->ask(POST => '/pools/main/keys/actions', json => {action => 'delete', ids => [$hidden]});
is_deeply $tried->{json}, {matched => 0, done => 0, failed => [$hidden], in_key_files => 0}, '... which is not deleted there';

my $open = $admin->as(mount => '/open');
is $open->as(token => $admin->{token})->ask(GET => '/session')->{status}, 401,
    'a session is not valid at another location, although the user is known there';
is $open->ask(POST => '/session', json => {username => 'bob', password => 'builder'})->error,
    '401 invalid_credentials', 'nor are its users';

# --- Sections inside of a location ---------------------------------------------------------------

my $nested = $admin->as(mount => '/nested');
$nested->sign_in;
is $nested->ask(GET => '/session')->{json}{reveal}, JSON::PP::false, 'a location with an <If> inside is one';
is $nested->ask(GET => '/session', headers => {'x-reveal' => 1})->{json}{reveal}, JSON::PP::true, '... which decides for each request';
is $nested->ask(GET => $_)->{status}, 200, "below it, $_ is still of the location" for '/pools', '/pools/main', '/clients';
is $nested->ask(POST => '/clients', json => {name => 'dave'})->error, '403 forbidden', '... whatever is said there holds there';
is $nested->ask(POST => '/pools/main/keys/actions', json => {action => 'reset', ids => []})->{status}, 200, '... and nowhere else';

# --- A location that nobody has been named for ---------------------------------------------------

my $none = $admin->as(mount => '/none');
is $none->ask(GET => '/health')->{status}, 200, 'health is answered without users';
for my $operation (sort(operations())) {
    my ($method, $path) = $operation =~ m{^(\w+) /api(.*)};
    next if $path eq '/health';
    $path =~ s/\{\w+\}/main/g;
    my $answer = $none->as(token => $admin->{token})->ask($method, $path);
    is $answer->error, '403 not_configured', "... and $operation is not";
}
my @warnings = $admin->{httpd}->log =~ /AP0103: (\S+:\d+: nobody can use the admin API here: .*APIPoolAdminUserFile)/g;
is scalar @warnings, 1, '... which is said at start, of this location alone' or diag explain(\@warnings);

# --- Whoever httpd authenticated -----------------------------------------------------------------

sub basic {
    my ($user, $password) = @_;
    my $credential = encode_base64("$user:$password", '');
    return sub {
        my ($method, $path, %options) = @_;
        my $same = {authorization => "Basic $credential", %{$options{headers} || {}}};
        return $admin->as(mount => '/basic')->ask($method, $path, %options, headers => $same);
    };
}

my ($alice, $bob) = (basic('alice', 'wonderland'), basic('bob', 'builder'));
my $same = {origin => "http://$host"};
is request(GET => '/basic/api/session', base => $base)->{status}, 401, 'httpd asks for a password';
is_deeply $alice->(GET => '/session')->{json},
    {user => 'alice', role => 'admin', expires_at => undef, auth => 'httpd', reveal => JSON::PP::false},
    'httpd says who it is';
is $bob->(GET => '/session')->{json}{role}, 'viewer', '... and who only looks';
is $bob->(PATCH => "/pools/main/keys/$id", json => {label => 'x'}, headers => $same)->error, '403 forbidden',
    'a viewer changes nothing';
is $alice->(PATCH => "/pools/main/keys/$id", json => {label => 'x'})->error, '403 cross_origin',
    'a browser sends passwords by itself, so that the origin counts';
is $alice->(PATCH => "/pools/main/keys/$id", json => {label => 'x'}, headers => $same)->{status}, 200,
    '... and is right';
my $anyone = $admin->as(mount => '/anyone');
is_deeply $anyone->ask(GET => '/session')->{json}, {%nobody, auth => 'httpd'}, 'where httpd names nobody, that is said';
is $anyone->ask(GET => '/pools')->error, '401 unauthorized', '... and nothing else';
is $anyone->ask(GET => '/session', headers => {authorization => 'Bearer x'})->error, '401 unauthorized', '... nor what is presented';
my $gate = {authorization => 'Basic ' . encode_base64('bob:builder', '')};
is_deeply $admin->as(mount => '/behind')->ask(GET => '/session', headers => $gate)->{json}, {%nobody, auth => 'session'},
    'a password that httpd has asked for and taken is none of ours';
for my $method ('POST', 'DELETE') {
    my $answer = $alice->($method => '/session', json => {username => 'alice', password => 'wonderland'});
    is $answer->error, '405 method_not_allowed', "there is nothing to sign into or out of: $method";
    is $answer->{headers}{allow}, 'GET, HEAD', '... which is said';
}
is $alice->(POST => "/pools/main/keys/$id/reveal", json => {password => 'wonderland'}, headers => $same)->error,
    '403 reveal_off', 'no key is shown without a password file of our own';

$open->sign_in('carol', 'christmas');
is $open->ask(POST => "/pools/hidden/keys/$hidden/reveal", json => {password => 'christmas'})->error,
    '403 reveal_off', '... nor where nobody has said that it may be';
my $key = $open->ask(POST => '/clients', json => {name => 'robot'})->{json}{key};
is $admin->as(mount => '/by-key', token => $key)->ask(GET => $_)->error, '401 unauthorized', "$_ by client key" for '/pools', '/session';
is $admin->as(mount => '/by-key')->ask(GET => '/session', headers => {'x-api-key' => $key})->error, '401 unauthorized',
    'a client key opens pools to requests, and never to operators';

is $admin->{httpd}->faults, '', 'nothing went wrong inside';

done_testing;
