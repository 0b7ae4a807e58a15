# SPDX-License-Identifier: Apache-2.0
# Who may do what: every route of the admin API and every kind of caller.
use strict;
use warnings;

use APIPoolAdmin qw(admin_server location password_file token_for);
use APIPoolSchema qw(document operations);
use APIPoolTest qw(config_test json request send_raw slurp spew);
use Digest::SHA qw(hmac_sha256);
use IO::Socket::INET ();
use JSON::PP qw(encode_json);
use MIME::Base64 qw(encode_base64url);
use Test::More;

my @keys = map {"sk-ok-auth-key-number-$_"} 1 .. 4;
my $admin = admin_server(
    {main => {keys => \@keys}, hidden => {keys => ['sk-ok-hidden-key-aaaaaaa']}},
    lines => ['APIPoolAdminPools main', 'APIPoolAdminReveal On'],
    files => {more => password_file(carol => 'christmas', alice => 'wonderland')},
    config => location('/brief', 'APIPoolAdminSession 1') . location('/open', 'APIPoolAdminUserFile @DIR@/more')
        . <<"CONF"
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
NameVirtualHost *
<VirtualHost 127.0.0.1:\@PORT\@>
    ServerName localhost
</VirtualHost>
<VirtualHost 127.0.0.1:\@PORT\@>
    ServerName other.example
@{[location('/apipool')]}</VirtualHost>
CONF
    =~ s/NameVirtualHost .*\n//r
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
    'POST /api/pools/{pool}/keys' => ['sk-ok-auth-key-number-1'],
    'POST /api/pools/{pool}/keys/actions' => {action => 'reset', ids => []},
    'PATCH /api/pools/{pool}/keys/{id}' => {label => 'x'},
    'POST /api/pools/{pool}/keys/{id}/reveal' => {password => 'wonderland'},
    'POST /api/clients' => {name => 'dave'},
    'PATCH /api/clients/{name}' => {enabled => JSON::PP::true},
    'PUT /api/log-level' => {level => 'info'},
);

sub token_of { return token_for(@_) }

my $revoked = token_of($admin, 'alice', 'wonderland');
$admin->as(token => $revoked)->ask(DELETE => '/session');
my $brief = $admin->as(mount => '/brief');
my $expired = token_of($brief, 'alice', 'wonderland');
my $elsewhere = do {
    my $answer = request(
        POST => '/apipool/api/session', base => $base,
        content => '{"username":"alice","password":"wonderland"}',
        headers => {'content-type' => 'application/json', host => 'other.example'}
    );
    json($answer->{content})->{token};
};
ok $elsewhere, 'there is a session at another virtual host';
my $viewer = token_of($admin, 'bob', 'builder');
my $cookie = 'apipool_session=' . token_of($admin, 'alice', 'wonderland');
sleep 2;

my @callers = (
    [nobody => {}, sub { 401 }],
    [viewer => {token => $viewer}, sub { $_[0] eq 'admin' ? 403 : 0 }],
    ['admin' => {token => $admin->{token}}, sub { 0 }],
    ['admin of another vhost' => {token => $elsewhere}, sub { 401 }],
    [revoked => {token => $revoked}, sub { 401 }],
    [expired => {token => $expired}, sub { 401 }],
    ['cookie without same origin' => {cookie => $cookie}, sub { $_[1] eq 'GET' ? 0 : 403 }],
);

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
            $bodies{$operation} ? (json => $bodies{$operation}) : ());
        my $refused = $role eq 'nobody' ? 0 : $wanted->($role, $method);
        if ($refused) {
            is $answer->{status}, $refused, "$name: $operation: $refused" or diag $answer->{content};
        }
        elsif ($operation eq 'POST /api/session') {
            like $answer->{status}, qr/^(?:401|429)$/, "$name: $operation: a wrong password";
            token_of($admin, 'alice', 'wonderland') if $answer->{status} == 401;
        }
        elsif ($operation eq 'PUT /api/log-level') {
            is $answer->{status}, 403, "$name: $operation: not in a location with pools of its own";
        }
        else {
            like $answer->{status}, qr/^(?:2\d\d|404)$/, "$name: $operation: may" or diag $answer->{content};
        }
    }
}

done_testing;
