# SPDX-License-Identifier: Apache-2.0
# Bad input to the admin API: the right 4xx, one JSON error that names the member, and nothing changed.
use strict;
use warnings;

use APIPoolAdmin qw(admin_server location);
use APIPoolTest qw(send_raw json);
use IO::Socket::INET ();
use JSON::PP ();
use POSIX qw(strftime);
use Test::More;

my @keys = map {"sk-ok-input-key-number-$_"} 1 .. 3;
my $admin = admin_server(
    {main => {keys => \@keys}, other => {keys => ['sk-ok-other-key-aaaaaaaa']}},
    lines => ['APIPoolAdminReveal On'], config => location('/small', 'LimitRequestBody 1000')
)->sign_in;
my $token = $admin->{token};
my ($id) = map { $_->{id} } @{$admin->ask(GET => '/pools/main/keys?limit=1')->{json}{keys}};
my ($other) = map { $_->{id} } @{$admin->ask(GET => '/pools/other/keys')->{json}{keys}};

# All that an operator could have changed. Times and rates go on by themselves.
sub state_of_all {
    my @lists = map { $admin->ask(GET => $_)->{content} } '/pools/main/keys', '/pools/other/keys', '/clients', '/log-level';
    return join "\n", @lists;
}

my $state = state_of_all();

sub is_refused {
    my ($wanted, $name, @request) = @_;
    my $answer = $admin->ask(@request);
    is $answer->error, $wanted, "$request[0] $request[1]: $name" or diag $answer->{content};
    is $answer->{headers}{'content-type'}, 'application/json', '... as JSON';
    return $answer;
}

# --- Query strings -------------------------------------------------------------------------------

for my $case (
    ['limit=-1', 'limit'], ['limit=0', 'limit'], ['limit=1001', 'limit'], ['limit=1e1', 'limit'],
    ['limit=99999999999999999999', 'limit'], ['offset=-1', 'offset'], ['offset=x', 'offset'],
    ['sort=key', 'sort'], ['sort=ID', 'sort'], ['order=up', 'order'], ['state=actve', 'state'],
    ['state=active,', undef], ['state=active,x', 'state'], ['q=%', 'q'], ['q=%ff', 'q'], ['q=%00', 'q'],
    ['q=' . 'a' x 256, 'q'], ['page=2', 'page'], ['limit=1&limit=2', 'limit'], ['%zz=1', ''],
    )
{
    my ($query, $field) = @$case;
    my $path = "/pools/main/keys?$query";
    if (defined $field) {
        is_refused(join(' ', '400 invalid_request', $field || ()), 'a bad query', GET => $path);
    }
    else {
        is $admin->ask(GET => $path)->{status}, 200, "$query is taken";
    }
}
is_refused('400 invalid_request range', 'a bad range', GET => '/pools/main/stats?range=7d');
is_refused('400 invalid_request limit', 'a bad limit', GET => '/requests?limit=-1');
is_refused('400 invalid_request x', 'a parameter that is not there', GET => "$_?x=1")
    for '/pools', '/requests', '/events', '/clients', '/pools/main/stats';
is_refused('400 invalid_request upstream', 'no such upstream', POST => '/pools/main/keys?upstream=x', json => []);

# --- Bodies: what holds for all ------------------------------------------------------------------

my $edit = "/pools/main/keys/$id";
my $deep = '[' x 100_000 . ']' x 100_000;
my @broken = (
    ['' => 'nothing', undef],
    ['{' => 'half an object', undef],
    ['{"label":"a"' => 'half an object', 'label'],
    ['{"label":"a",}' => 'a comma too many', 'label'],
    ['{"label":a}' => 'no JSON', 'label'],
    ['{"label":"a"} x' => 'something behind', 'label'],
    ["\xef\xbb\xbf{}" => 'a byte order mark', undef],
    ['[]' => 'an array', undef],
    ['null' => 'null', undef],
    ['"label"' => 'a string', undef],
    ['{"label":"a","label":"b"}' => 'a member twice', 'label'],
    ['{"limits":{"rpm":1,"rpm":2}}' => 'a member twice, inside', 'limits'],
    ["{\"label\":\"\xff\"}" => 'no UTF-8', 'label'],
    ["{\"label\":\"\xc0\x80\"}" => 'UTF-8 that is too long', 'label'],
    ["{\"label\":\"a\0b\"}" => 'NUL', 'label'],
    ['{"label":"a\u0000b"}' => 'NUL, escaped', 'label'],
    ['{"label":"a\u000ab"}' => 'a line feed', 'label'],
    ['{"label":"\ud800"}' => 'half a surrogate', 'label'],
    ["{\"label\":$deep}" => 'something deep', undef],
    ['{"label":' . '[' x 20 . ']' x 20 . '}' => 'something nested', undef],
);
for my $case (@broken) {
    my ($body, $name, $field) = @$case;
    is_refused(join(' ', '400 invalid_request', $field // ()), $name, PATCH => $edit, content => $body);
}
is_refused('415 unsupported_media_type', "of type $_", PATCH => $edit, content => '{"label":"x"}', type => $_)
    for 'text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', 'application/jsonp', 'text/json',
    'application/json; charset=utf-16', '';
is_refused('415 unsupported_media_type', "an import of type $_", POST => '/pools/main/keys', content => 'sk-x', type => $_)
    for 'text/csv', 'application/octet-stream', 'text/plain; charset=latin1';
is $admin->ask(PATCH => $edit, content => '{"weight":1}', type => $_)->{status}, 200, "of type $_ it is taken"
    for 'application/json; charset=UTF-8', 'APPLICATION/JSON', 'application/json; charset="utf-8"';
is_refused('413 request_too_large', 'too much', PATCH => $edit, content => '{"label":"' . 'a' x (8 << 20) . '"}');
is_refused('413 request_too_large', 'too much of an import', POST => '/pools/main/keys', content => "\n" x ((64 << 20) + 1),
    type => 'text/plain');

is_refused('413 request_too_large', 'too much from somebody unknown', POST => '/session',
    content => '{"username":"' . 'a' x (16 << 10) . '","password":"x"}');
is_refused('413 request_too_large', 'too much with a password', POST => "$edit/reveal",
    content => '{"password":"' . 'a' x (16 << 10) . '"}');
is $admin->as(mount => '/small')->ask(POST => '/session', content => ' ' x 1001)->error, '413 request_too_large',
    'more than LimitRequestBody';

my $head = "Host: x\r\nAuthorization: Bearer $token\r\nContent-Type: application/json\r\nConnection: close\r\n";
my $chunk = 'a' x 65536;
my $chunks = join '', map {sprintf "%x\r\n%s\r\n", length $chunk, $chunk} 1 .. 160;
like send_raw("PATCH /apipool/api$edit HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\n$chunks" . "0\r\n\r\n",
    port => $admin->{httpd}{port}), qr{\AHTTP/1\.1 413 .*request_too_large}s, 'too much in chunks is found out';
like send_raw("PATCH /apipool/api$edit HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\n5\r\n{\"lab\r\nzz\r\n",
    port => $admin->{httpd}{port}), qr{\AHTTP/1\.1 400 }, 'broken chunks are';
like send_raw("PATCH /apipool/api$edit HTTP/1.1\r\n${head}Content-Length: -5\r\n\r\n", port => $admin->{httpd}{port}),
    qr{\AHTTP/1\.1 400 }, '... and a length below nothing';

# --- Members -------------------------------------------------------------------------------------

for my $case (
    [{enabled => 1}, 'enabled'], [{enabled => 'true'}, 'enabled'], [{enabled => undef}, 'enabled'],
    [{label => 1}, 'label'], [{label => 'a' x 121}, 'label'], [{label => []}, 'label'],
    [{account => 'a' x 65}, 'account'], [{account => {}}, 'account'],
    [{weight => 0}, 'weight'], [{weight => 1001}, 'weight'], [{weight => 1.5}, 'weight'], [{weight => '1'}, 'weight'],
    [{weight => undef}, 'weight'], [{limits => 1}, 'limits'], [{limits => []}, 'limits'],
    [{limits => {rpm => 0}}, 'limits.rpm'], [{limits => {rpm => -1}}, 'limits.rpm'],
    [{limits => {tpd => 4294967296}}, 'limits.tpd'], [{limits => {rps => 1}}, 'limits.rps'],
    [{key => 'sk-other'}, 'key'], [{state => 'active'}, 'state'], [{id => $id}, 'id'], [{}, undef],
    )
{
    my ($body, $field) = @$case;
    is_refused(join(' ', '400 invalid_request', $field // ()), JSON::PP->new->canonical->encode($body), PATCH => $edit,
        json => $body);
}
for my $case (
    [{}, 'action'], [{action => 'explode', ids => []}, 'action'], [{action => 1, ids => []}, 'action'],
    [{action => 'delete'}, 'ids'], [{action => 'delete', ids => [], filter => {}}, 'ids'],
    [{action => 'delete', ids => $id}, 'ids'], [{action => 'delete', ids => [$id, 'x']}, 'ids'],
    [{action => 'delete', ids => [$id, uc 'abcdef0123456789']}, 'ids'], [{action => 'delete', ids => [$id, 1]}, 'ids'],
    [{action => 'delete', ids => [[$id]]}, 'ids'], [{action => 'delete', filter => []}, 'filter'],
    [{action => 'delete', filter => {state => 'x'}}, 'filter.state'],
    [{action => 'delete', filter => {text => 'x'}}, 'filter.text'],
    [{action => 'delete', filter => {}, force => 1}, 'force'],
    [{action => 'move', filter => {}}, 'upstream'], [{action => 'move', filter => {}, upstream => 'none'}, 'upstream'],
    [{action => 'reset', filter => {}, upstream => 'none'}, 'upstream'],
    )
{
    my ($body, $field) = @$case;
    is_refused("400 invalid_request $field", JSON::PP->new->canonical->encode($body),
        POST => '/pools/main/keys/actions', json => $body);
}
for my $case (
    [{}, 'name'], [{name => ''}, 'name'], [{name => ' a'}, 'name'], [{name => 'a"b'}, 'name'], [{name => "a\x{202e}b"}, 'name'], [{name => 'other'}, 'name'], [{name => 'a/b'}, 'name'], [{name => '..'}, 'name'],
    [{name => 'a' x 65}, 'name'], [{name => 1}, 'name'], [{name => 'a', key => 'ak-x'}, 'key'],
    [{name => 'a', rpm => 0}, 'rpm'], [{name => 'a', tpm => -1}, 'tpm'], [{name => 'a', tokens_per_day => 'x'}, 'tokens_per_day'],
    [{name => 'a', concurrency => 0}, 'concurrency'], [{name => 'a', in_flight => 1}, 'in_flight'],
    [{name => 'a', models => 'gpt'}, 'models'], [{name => 'a', models => ['']}, 'models'],
    [{name => 'a', models => [map {"m$_"} 1 .. 101]}, 'models'], [{name => 'a', models => ['a"b']}, 'models'], [{name => 'a', endpoints => [1]}, 'endpoints'],
    [{name => 'a', pools => ['nothing']}, 'pools'], [{name => 'a', expires_at => 'soon'}, 'expires_at'],
    [{name => 'a', expires_at => 1}, 'expires_at'], [{name => 'a', expires_at => '2030-02-31T00:00:00Z'}, 'expires_at'],
    [{name => 'a', models => [map { $_ x 250 } 'a' .. 'l']}, undef], [{name => 'a', enabled => undef}, 'enabled'],
    )
{
    my ($body, $field) = @$case;
    is_refused(join(' ', '400 invalid_request', $field // ()), JSON::PP->new->ascii->canonical->encode($body), POST => '/clients', json => $body);
}
is_refused('400 invalid_request level', 'a level', PUT => '/log-level', json => {level => $_}) for 'trace', 'DEBUG', 7, undef;
is_refused('400 invalid_request password', 'no password', POST => "$edit/reveal", json => {});
is_refused('400 invalid_request username', 'no user', POST => '/session', json => {password => 'x'});
is_refused('400 invalid_request password', 'a long password', POST => '/session',
    json => {username => 'alice', password => 'x' x 1025});

# --- Imports -------------------------------------------------------------------------------------

for my $case (
    ['{"key":"sk-x"' => 'half an object', undef],
    ['"sk-x"' => 'a string', undef],
    ['["sk-new-aaaaaaaaaaaaaa"' => 'half an array', undef],
    ["[\"sk-new-aaaaaaaaaaaaaa\",\"\xff\"]" => 'no UTF-8', undef],
    [$deep => 'something deep', undef],
    ['["sk-new-aaaaaaaaaaaaaa",{"key":"sk-new-bbbbbbbbbbbbbb","key":"x"}]' => 'a member twice', undef],
    ['["sk-new-aaaaaaaaaaaaaa"]["sk-new-bbbbbbbbbbbbbb"]' => 'two arrays', undef],
    ['["sk-new-aaaaaaaaaaaaaa","' . 'a' x (8 << 20) . '"]' => 'a very long element', undef],
    ['[' . '1,' x 1_000_001 . '1]' => 'a million values', undef],
    )
{
    my ($body, $name, $field) = @$case;
    is_refused('400 invalid_request', "an import of $name", POST => '/pools/main/keys', content => $body);
}
for my $text ('[' x 20 . ']' x 20, '[' . '[],' x 600_000 . '[]]') {
    my $answer = $admin->ask(POST => '/pools/main/keys', content => $text, type => 'text/plain');
    is_deeply $answer->{json}{invalid}, [{line => 1, reason => 'JSON that is nested too deeply, or has too many values'}],
        'JSON is limited by whatever name it comes';
}

# What comes before a list is broken, too large, or breaks off, is not imported either.
my $refused = $admin->ask(POST => '/pools/main/keys', content => "[\"sk-new-aaaaaaaaaaaaaa\",\n {\"key\":\"\xc3\xa9\", oops}]");
is $refused->{json}{error}{message}, 'Invalid JSON at line 2, column 17.', 'what is broken in an array is told by its place';
$refused = $admin->ask(POST => '/pools/main/keys', content => "[\"sk-new-aaaaaaaaaaaaaa\",\n oops]", type => 'text/plain');
is_deeply [@{$refused->{json}}{qw(added invalid)}], [0, [{line => 2, reason => 'malformed JSON'}]], '... by line, where it was sent as text';
my $long = join '', map {sprintf "%x\r\n%s\r\n", length $_, $_} "sk-new-aaaaaaaaaaaaaa\n", ("\n" x 65536) x 1025;
(my $text_head = $head) =~ s{application/json}{text/plain};
like send_raw("POST /apipool/api/pools/main/keys HTTP/1.1\r\n${text_head}Transfer-Encoding: chunked\r\n\r\n${long}0\r\n\r\n",
    port => $admin->{httpd}{port}), qr{\AHTTP/1\.1 413 .*request_too_large}s, 'too much of an import in chunks is found out';
for my $broken ("Content-Length: 1000\r\n\r\nsk-new-aaaaaaaaaaaaaa\nsk-new", "Transfer-Encoding: chunked\r\n\r\n16\r\nsk-new-aaaaaaaaaaaaaa\n\r\n") {
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$admin->{httpd}{port}") or die "no connection: $@\n";
    print {$socket} "POST /apipool/api/pools/main/keys HTTP/1.1\r\n$text_head$broken";
    $socket->shutdown(1);
    my $answer = do { local $/; <$socket> };
    like $answer, qr{\AHTTP/1\.1 400 .*incomplete_body}s, 'an import that breaks off is none';
}
is state_of_all(), $state, 'nothing has changed by all of that';

my $import = $admin->ask(POST => '/pools/main/keys?doubtful=add', type => 'text/plain',
    content => "sk-ok-part-aaaaaaaaaaaa\n# a comment\nsk\x{7f}bad\n\nsk-ok-part-aaaaaaaaaaaa\nsk-ok-part-\x{1}\nsk-ok-part-bbbbbbbbbbbb,$keys[0]\n");
is_deeply [@{$import->{json}}{qw(added invalid_count)}, scalar @{$import->{json}{ids}}], [2, 2, 2],
    'a list that is partly right is taken as far as it is';
is_deeply [map { $_->{line} } @{$import->{json}{invalid}}], [3, 6], '... and the rest is listed by line';
is $import->{json}{duplicates}, 2, '... as are those that are there already';
$import = $admin->ask(POST => '/pools/main/keys?doubtful=add', json => ['sk-ok-part-cccccccccccc', 7, {label => 'x'}, {key => "a\0b"}]);
is_deeply [map { $_->{line} } @{$import->{json}{invalid}}], [2, 3, 4], 'so is an array, by element';
is $import->{json}{added}, 1, '... of which one is right';
$admin->ask(POST => '/pools/main/keys/actions', json => {action => 'delete', filter => {q => $_}}) for 'sk-o…aaaa', 'sk-o…bbbb', 'sk-o…cccc';

# --- Paths and methods ---------------------------------------------------------------------------

$state = state_of_all();
is_refused('404 key_not_found', 'a key of another pool', $_ => "/pools/main/keys/$other", json => {label => 'x'}) for qw(GET PATCH DELETE);
is_refused('404 key_not_found', 'no key', GET => "/pools/main/keys/$_") for '0000000000000000', 'x', uc($id) . 'A', "${id}0";
is_refused('404 not_found', 'no route', GET => $_) for '/', '/nothing', '/pools/', "/pools/main/keys/$id/", '/pools/main/keys/a/b/c';
is_refused('404 pool_not_found', 'no pool', GET => '/pools/nothing');
is_refused('404 client_not_found', 'no client', $_ => '/clients/nobody', json => {rpm => 1}) for qw(GET PATCH DELETE);
for my $case (['/pools', 'GET, HEAD', qw(POST PUT DELETE PATCH OPTIONS FOO)], ['/session', 'GET, HEAD, POST, DELETE', qw(PUT PATCH)],
    ['/pools/main/keys', 'GET, HEAD, POST', qw(PUT DELETE)], ["/pools/main/keys/$id", 'GET, HEAD, PATCH, DELETE', qw(PUT POST)],
    ['/pools/main/keys/actions', 'POST', qw(GET PATCH DELETE)], ['/log-level', 'GET, HEAD, PUT', qw(POST PATCH)])
{
    my ($path, $allow, @methods) = @$case;
    for my $method (@methods) {
        my $answer = is_refused('405 method_not_allowed', 'not here', $method => $path);
        is $answer->{headers}{allow}, $allow, '... with those that are';
    }
}
is state_of_all(), $state, 'nothing has changed by that, either';

# --- Lists that have not changed -----------------------------------------------------------------

my $list = $admin->ask(GET => '/pools/main/keys');
like $list->{headers}{etag}, qr/\A"[0-9a-f]{32}"\z/, 'a list has an ETag';
my $again = $admin->ask(GET => '/pools/main/keys', headers => {'if-none-match' => $list->{headers}{etag}});
is $again->{status} . ($again->{content} // ''), '304', '... and is not sent twice';
is $again->{headers}{'cache-control'}, 'no-store', '... nor kept by anything in between';
is $admin->ask(GET => '/pools/main/keys?limit=1', headers => {'if-none-match' => $list->{headers}{etag}})->{status}, 200, '... while another one is';
is $admin->ask(GET => '/pools/main/keys', headers => {'if-modified-since' => strftime('%a, %d %b %Y %T GMT', gmtime)})->{status}, 200,
    'what has no time of its own is not compared with one';

is $admin->{httpd}->faults, '', 'nothing went wrong inside';

done_testing;
