# SPDX-License-Identifier: Apache-2.0
# The routes of the admin API, docs/openapi.json and the tests agree: every operation is answered as it is described.
use strict;
use warnings;

use APIPoolAdmin qw(admin_server exercised);
use APIPoolSchema qw(body_faults document operations schema_faults);
use APIPoolTest qw(chat slurp source_dir);
use Test::More;

# The table of src/admin/route.c, as the document writes its operations.
my %methods = (M_GET => 'GET', M_POST => 'POST', M_PUT => 'PUT', M_PATCH => 'PATCH', M_DELETE => 'DELETE');
my %roles = (NOBODY => 'nobody', VIEWER => 'viewer', ADMIN => 'admin');
my %routes = map { /\{"([^"]+)", (M_\w+), APIPOOL_ROLE_(\w+),/ ? ("$methods{$2} /api/$1" => $roles{$3}) : () }
    split /\n/, slurp(source_dir() . '/src/admin/route.c');
is_deeply [sort keys %routes], [sort(operations())], 'every route is described, and nothing else';
for my $operation (sort keys %routes) {
    my ($method, $path) = split / /, $operation;
    my $described = document()->{paths}{$path}{lc $method};
    is $described->{'x-role'}, $routes{$operation}, "$operation: for whom";
    ok $described->{summary} && $described->{operationId}, '... and what';
}

# Every reference leads somewhere, and everything that can be referred to is.
my $text = slurp(source_dir() . '/docs/openapi.json');
my %referred = map { $_ => 1 } $text =~ /"\$ref": "#\/components\/(\w+\/\w+)"/g;
my %there = map {
    my $kind = $_;
    map { ("$kind/$_" => 1) } keys %{document()->{components}{$kind}}
} qw(schemas responses parameters);
is_deeply [sort keys %referred], [sort keys %there], 'references and what they refer to';
my ($version) = slurp(source_dir() . '/configure.ac') =~ /AC_INIT\(\[mod_apipool\], \[([^\]]+)\]/;
is document()->{info}{version}, $version, 'it is of this version';

# The validator finds what is wrong.
my $schema = {'$ref' => '#/components/schemas/ActionResult'};
is_deeply [schema_faults({matched => 1, done => 0, failed => []}, $schema)], [], 'what is right is found right';
for my $wrong (
    {matched => 1, done => 0},
    {matched => '1', done => 0, failed => []},
    {matched => 1.5, done => 0, failed => []},
    {matched => -1, done => 0, failed => []},
    {matched => 1, done => 0, failed => ['x']},
    {matched => 1, done => 0, failed => {}},
    {matched => 1, done => 0, failed => [], more => undef},
    )
{
    ok scalar(schema_faults($wrong, $schema)), 'what is wrong is found wrong';
}

# What holds where a pool's configuration says nothing, and what an upstream's says.
my $defaults = admin_server(
    {
        plain => {keys => []},
        told => {keys => [], lines => "APIPoolFailover resend\n    APIPoolOnAbort finish",
            upstreams => ['http://127.0.0.1:9/v1 connecttimeout=2 ttl=3 max=4 keepalive=On disablereuse=On responsefieldsize=5000']},
    }
)->sign_in;
my %expected = (
    plain => [
        {deadline => 600, first_byte_timeout => 300, idle_timeout => 120, body_limit => 536_870_912, failover => 'safe',
            on_abort => 'close'},
        {connect_timeout => 10, ttl => 60, max => undef, keepalive => 0, disablereuse => 0, responsefieldsize => 65536}
    ],
    told => [
        {deadline => 600, failover => 'resend', on_abort => 'finish'},
        {connect_timeout => 2, ttl => 3, max => 4, keepalive => 1, disablereuse => 1, responsefieldsize => 5000}
    ],
);
for my $pool (sort keys %expected) {
    my $told = $defaults->ask(GET => "/pools/$pool")->{json};
    my ($settings, $connections) = @{$expected{$pool}};
    is_deeply {map { $_ => $told->{settings}{$_} } keys %$settings}, $settings, "the settings of the pool $pool";
    my $own = $told->{upstreams}[0]{connections};
    $own->{$_} = $own->{$_} ? 1 : 0 for qw(keepalive disablereuse);
    is_deeply $own, $connections, '... and the connections of its upstream';
}

# Every operation, answered with success; ask() compares each answer with the document.
my @keys = map {"sk-ok-openapi-key-number-$_"} 1 .. 3;
my $admin = admin_server({main => {keys => \@keys}}, lines => ['APIPoolAdminReveal On'])->sign_in;
chat($admin, 'main');

sub is_answered {
    my ($status, @request) = @_;
    my $answer = $admin->ask(@request);
    is $answer->{status}, $status, "$request[0] $request[1]" or diag $answer->{content};
    return $answer;
}

is_answered(200, GET => $_) for '/health', '/openapi.json', '/session', '/pools', '/pools/main', '/pools/main/keys',
    '/pools/main/stats', '/pools/main/stats?range=24h', '/requests', '/clients', '/log-level',
    '/system', '/unreached';
is_deeply is_answered(200, GET => '/openapi.json')->{json}, document(), 'the document is served as it is';
for my $path ('/health', '/openapi.json', '/session', '/clients', '/log-level', '/requests', '/unreached') {
    my $etag = $admin->ask(GET => $path)->{headers}{etag};
    is_answered(304, GET => $path, headers => {'if-none-match' => $etag});
}
is_answered(200, POST => '/unreached', json => {server => 'gone.example'});
is_answered(200, PUT => '/log-level', json => {level => 'info'});
is_answered(200, POST => '/pools/main/keys', content => "sk-ok-openapi-imported-1\n", type => 'text/plain');
my $preview = is_answered(200, POST => '/pools/main/keys?preview=true', type => 'text/plain',
    content => "sk-ok-openapi-previewed-2\nsk-ok-openapi-previewed-2\nsk-ok-openapi-imported-1\nbad\tkey\n\x01");
is_deeply [@{$preview->{json}}{qw(added duplicates invalid_count)}, scalar @{$preview->{json}{ids}}], [1, 2, 1, 0], '... says what would be';
is_deeply [map { "$_->{line} $_->{doubt}" } @{$preview->{json}{doubtful}}], ['4 shorter than 16 characters', '4 shorter than 16 characters'],
    '... and what is in doubt';
is is_answered(200, GET => '/pools/main/keys?q=previewed')->{json}{total}, 0, '... and changes nothing';
my $id = is_answered(200, GET => '/pools/main/keys?limit=1')->{json}{keys}[0]{id};
is_answered(200, POST => '/pools/main/keys/actions', json => {action => 'disable', ids => [$id]});
is_answered(200, GET => "/pools/main/keys/$id");
is_answered(200, PATCH => "/pools/main/keys/$id", json => {enabled => JSON::PP::true, label => 'first'});
is_answered(200, POST => "/pools/main/keys/$id/check");
is_answered(200, POST => "/pools/main/keys/$id/reveal", json => {password => 'wonderland'});
is_answered(201, POST => '/clients', json => {name => 'carol', rpm => 60});
my $archive = is_answered(200, POST => '/archive/export', json => {passphrase => 'twelve bytes', password => 'wonderland'})->{json}{archive};
is_answered(200, POST => '/archive/import?preview=true', json => {passphrase => 'twelve bytes', archive => $archive});
is_answered(200, POST => '/archive/import', json => {passphrase => 'twelve bytes', archive => $archive});
is_answered(200, GET => '/clients/carol');
is_answered(200, PATCH => '/clients/carol', json => {enabled => JSON::PP::false});
is_answered(200, POST => '/clients/carol/rotate', json => {});
is_answered(204, DELETE => '/clients/carol/old-key');

# A body that the document describes is taken, and one that it does not is refused: what is sent, and for which of both.
my $one = "/pools/main/keys/$id";
for my $case (
    map { my $edit = $_; map { [@$edit, $_] } @{pop @$edit} }
    [PATCH => $one, 1, [{weight => 2}, {label => undef, account => 'a'}, {limits => undef}, {limits => {rpm => 1, tpm => undef}}]],
    [PATCH => $one, 0, [{}, {weight => 0}, {weight => undef}, {label => 'x' x 121}, {label => "a\tb"}, {limits => {rpm => 0}}, {rpm => 1}]],
    [POST => '/pools/main/keys/actions', 1, [map { {action => 'enable', %$_} } {ids => []}, {ids => [$id]}, {filter => {}},
        {filter => {state => 'active,cooling'}}, {filter => {state => ''}}]],
    [POST => '/pools/main/keys/actions', 0, [{ids => [$id]}, {action => 'fly', ids => []}, map { {action => 'enable', %$_} } {},
        {ids => [$id], filter => {}}, {ids => ['x']}, {ids => [uc $id =~ s/\A./A/r]}, {filter => {state => 'lost'}}, {filter => []}]],
    [POST => '/pools/main/keys/search', 1, [{q => ''}, {q => 'sk-ok'}, {q => 'x' x 4096}]],
    [POST => '/pools/main/keys/search', 0, [{}, {q => 7}, {q => 'x' x 4097}, {q => 'x', sort => 'id'}]],
    [PATCH => '/pools/main', 1, [{maintenance => {}}, {maintenance => {until => '2099-12-31T23:59:59Z', message => 'x'}}, {maintenance => undef}]],
    [PATCH => '/pools/main', 0, [{}, {maintenance => 7}, {maintenance => {until => 'soon'}}, {maintenance => {message => 7}}, {more => 1}]],
    [PATCH => '/clients/carol', 1, [{rpm => undef}, {models => undef}, {pools => ['main']}, {expires_at => '2099-12-31T23:59:59Z'}]],
    [PATCH => '/clients/carol', 0, [{}, {name => 'dora'}, {enabled => undef}, {pools => ['a/b']}, {pools => ['']},
        {models => [('m') x 101]}, {concurrency => 0}, {expires_at => 'soon'}]],
    [POST => '/clients/carol/rotate', 1, [{}, map { {overlap => $_} } 0, 1, 90 * 86400]],
    [POST => '/clients/carol/rotate', 0, [{more => 1}, map { {overlap => $_} } undef, -1, 90 * 86400 + 1, '1', 1.5]],
    [POST => '/clients', 1, [map { {name => $_} } 'a', "\x{5f20}\x{4e09}", 'a b', 'a.b@c-d_e', 'others', 'x' x 63]],
    [POST => '/clients', 0, [{}, {rpm => 1}, map { {name => $_} } '', ' a', 'a ', '.a', 'a/b', 'a\\b', q(a"b), q(a'b), 'a`b', "a\tb",
        'other', undef]],
    [POST => '/archive/export', 0, [{passphrase => 'twelve bytes'}, map { {passphrase => $_, password => 'wonderland'} } undef, 7, '', 'eleven byte',
        'x' x 1025]],
    [POST => '/archive/import', 0, [{passphrase => 'twelve bytes'}, {archive => $archive}, map { {passphrase => 'twelve bytes', archive => $_} } undef,
        7, '', 'x']],
    [PUT => '/log-level', 0, [{}, {level => 'loud'}, {level => undef}]],
    )
{
    my ($method, $path, $fits, $body) = @$case;
    my $text = JSON::PP->new->canonical->ascii->encode($body);
    my @faults = body_faults($method, "/api$path", $body);
    my $answer = $admin->ask($method, $path, json => $body);
    is $answer->{status}, $fits ? $method eq 'POST' && $path eq '/clients' ? 201 : 200 : 400, "$method $path: the server about $text";
    is !@faults, !!$fits, '... and the document' or diag explain(\@faults);
}

# Of an import, element by element.
for my $element ('sk-ok-x', 'a b', q(a"b), {key => "sk-ok-x\nsk-ok-y"}, {key => 'sk-ok-x', weight => 0}, {key => 'sk-ok-x', more => 1}, {key => 'sk-ok-x', weight => undef}, {key => 'sk-ok-x', label => 'a'},
    '', "\x{2026}", 'x' x 4097, 7, undef, {}, {key => 7}, {key => ''}, {key => 'sk-ok-x', weight => -1},
    {key => 'sk-ok-x', label => "a\tb"}, {key => 'sk-ok-x', enabled => 1}, {key => 'sk-ok-x', limits => {rpm => 0}})
{
    my $text = substr JSON::PP->new->canonical->ascii->allow_nonref->encode($element), 0, 60;
    my $answer = $admin->ask(POST => '/pools/main/keys?preview=true', json => [$element]);
    is !!body_faults(POST => '/api/pools/main/keys', [$element]), !!$answer->{json}{invalid_count}, "the server and the document about $text";
}
my $names = document()->{components}{parameters};
for my $case ([pool => 'main', 'a.b:c-d_1', 'x' x 63], [id => $id], [name => 'carol', "\x{5f20}\x{4e09}"]) {
    my ($part, @right) = @$case;
    is_deeply [map { schema_faults($_, $names->{$part}{schema}) } @right], [], "names of paths: $part";
    is scalar(grep { schema_faults($_, $names->{$part}{schema}) } '', 'a/b', ' '), 3, '... and what is none';
}
is_answered(200, DELETE => "/pools/main/keys/$id"); # its key file has it
is_answered(204, DELETE => '/clients/carol');
is_answered(200, HEAD => '/events');
is_answered(204, DELETE => '/session');
$admin->sign_in;
is_answered(204, DELETE => '/sessions');

is_deeply [exercised()], [sort(operations())], 'every operation has been answered';
is $admin->{httpd}->faults, '', 'nothing went wrong inside';

done_testing;
