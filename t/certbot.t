# SPDX-License-Identifier: Apache-2.0
# Clients and keys outlive what certbot and operators do to virtual hosts, and what no server reaches is told, and
# moved.
use strict;
use warnings;

use APIPoolAdmin qw(location password_file);
use APIPoolTest qw(private_httpd config_test build_dir request chat json mock_port free_port slurp spew check_dir metrics);
use File::Path qw(remove_tree);
use IO::Socket::SSL ();
use Test::More;

my $upstream = 'http://127.0.0.1:' . mock_port() . '/v1';
my ($plain, $tls, $other, $later) = map { free_port() } 1 .. 4;
my $dir = check_dir() . "/t/logs/certbot-$$";
mkdir $dir;
my $said = qx(openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=api.example -keyout $dir/key -out $dir/crt 2>&1);
die "openssl: $said" if $?;
my $secure = "SSLEngine On\nSSLCertificateFile $dir/crt\nSSLCertificateKeyFile $dir/key\n";

sub uses {
    my ($path, $pool) = @_;
    return "<Location \"$path\">\nAPIPoolUse $pool\nAuthType APIPool\nRequire valid-user\n</Location>\n";
}

sub pool {
    my ($name, @lines) = @_;
    return join "\n", "<APIPool $name>", @lines ? @lines : "APIPoolUpstream $upstream name=one", "</APIPool>\n";
}

sub host {
    my ($port, @lines) = @_;
    return join '', "<VirtualHost 127.0.0.1:$port>\n", @lines, "</VirtualHost>\n";
}

# What an operator wrote into a virtual host, and the sites of two others.
my $mine = pool('own') . uses('/own', 'own') . location('/apipool');
my $named = "ServerName api.example\n";
my $shop = host($other, "ServerName shop.example\n", location('/apipool'));
my $before = join '', map({"Listen 127.0.0.1:$_\n"} $plain, $tls, $other, $later), pool('shared'), uses('/shared', 'shared'),
    "<Location \"/metrics\">\nSetHandler apipool-metrics\n</Location>\n", location('/apipool');
my $httpd = private_httpd(files => {admins => password_file(alice => 'wonderland', bob => 'builder')},
    config => $before . "# hosts\n" . host($plain, $mine) . $shop);

sub admin {
    my ($port) = @_;
    return (bless {httpd => $httpd, base => "http://127.0.0.1:$port", mount => '/apipool'}, 'APIPoolAdmin')->sign_in;
}

# Replaces the virtual hosts, as a reload does; returns what the log says of it.
sub hosts {
    my (@hosts) = @_;
    my $file = "$httpd->{dir}/httpd.conf";
    my $length = length $httpd->log;
    spew($file, slurp($file) =~ s/^# hosts\n.*/join '', "# hosts\n", map { s{\@DIR\@}{$httpd->{dir}}gr } @hosts/emsr);
    ok $httpd->restart, 'restarted' or diag $httpd->log;
    return substr $httpd->log, $length;
}

sub status {
    my ($port, $pool, $key) = @_;
    return chat("http://127.0.0.1:$port", $pool, key => $key)->{status} if $port != $tls;
    my $socket = IO::Socket::SSL->new(PeerAddr => "127.0.0.1:$tls", SSL_hostname => 'api.example', SSL_verify_mode => 0)
        or die $IO::Socket::SSL::SSL_ERROR;
    print {$socket} "POST /$pool/chat/completions HTTP/1.0\r\nHost: api.example\r\nAuthorization: Bearer $key\r\n"
        . "Content-Length: 13\r\n\r\n" . '{"model":"m"}';
    return (split / /, scalar readline $socket)[1];
}

sub create {
    my ($port, $name, %members) = @_;
    return admin($port)->ask(POST => '/clients', json => {name => $name, %members})->{json}{key};
}

is admin($plain)->ask(POST => '/pools/own/keys?doubtful=add', json => ['sk-ok-certbot-aaaaaaaa'])->{status}, 200, 'a key';
is admin($plain)->ask(POST => '/pools/shared/keys?doubtful=add', json => ['sk-ok-certbot-shared-aaaa'])->{status}, 200, "the main server's";
my %key = (own => create($plain, 'ann'), shop => create($other, 'carl'), main => create($httpd->{port}, 'eve'));

# The clients of the virtual host with its pool, of the main server's pool everywhere.
sub serves {
    my ($what, @ports) = @_;
    is status($_, own => $key{own}), 200, "$what: the virtual host's client" for @ports;
    is status($_, shared => $key{own}), 200, "... also with the main server's pool" for @ports;
    for my $name (qw(shop main)) {
        is_deeply [map { status($_, shared => $key{$name}) } $httpd->{port}, $other, @ports],
            [map {200} 1 .. 2 + @ports], "... and those of the main server's pool, wherever it is used";
    }
    return;
}

serves('before', $plain);
unlike hosts(host($plain, $named, $mine), $shop), qr/AP0059|AP0170/, 'nothing is lost';
serves('a ServerName', $plain);
unlike hosts(host($plain, $named, $mine), host($tls, $named, $secure, $mine), $shop), qr/AP0059|AP0170/, 'nothing is lost';
serves('certbot copies the virtual host, with TLS', $plain, $tls);
is metrics("http://127.0.0.1:$httpd->{port}")->sum('apipool_keys', pool => 'shared'), 1, '... with the same keys';
unlike hosts(host($plain, $named, "Redirect / https://api.example/\n"), host($tls, $named, $secure, $mine), $shop),
    qr/AP0059|AP0170/, 'nothing is lost';
serves('... and redirects to it', $tls);
unlike hosts(host($later, "ServerName new.example\n", pool('own', "APIPoolRetries 2", "APIPoolUpstream $upstream name=one"),
        uses('/own', 'own'), location('/apipool')), $shop), qr/AP0059|AP0170/, 'nothing is lost';
serves('another name, address and setting', $later);
$httpd->stop;
$httpd->start;
serves('... and a full stop', $later);
is admin($later)->ask(GET => '/pools/own/keys')->{json}{total}, 1, 'the page has its key';
is_deeply [map { $_->{name} } @{admin($later)->ask(GET => '/clients')->{json}{clients}}], ['ann'], '... and its client';

# Neighbours get nothing of each other's.
my $neighbour = host($plain, "ServerName neighbour.example\n", $mine);
like hosts(host($later, "ServerName newer.example\n", $mine), $neighbour, $shop),
    qr/AP0059: pool own of new\.example: 1 keys of upstream one are kept but not used/, 'two may have been meant: whose keys is told';
like $httpd->log, qr/AP0170: no server reaches 1 clients of new\.example and 1 keys; move them in the page/, '... and how many, and what to do';
is status($_, own => $key{own}), 401, 'nobody has its clients' for $later, $plain;
my $nothing = {clients => [], keys => []};
is_deeply admin($later)->ask(GET => '/unreached')->{json}, $nothing, 'neighbours do not see them';
is admin($later)->ask(POST => '/unreached', json => {server => 'new.example'})->error, '404 not_found', '... nor take them';
my $operator = admin($httpd->{port});
is_deeply $operator->ask(GET => '/unreached')->{json},
    {clients => [{server => 'new.example', clients => 1}], keys => [{server => 'new.example', pool => 'own', upstream => 'one', keys => 1}]},
    'the main server does';
hosts(host($later, "ServerName newer.example\n", $mine), $shop);
is status($later, own => $key{own}), 200, 'one that is left over gets them';
hosts(host($later, "ServerName newer.example\n", pool('renamed'), uses('/own', 'renamed'), location('/apipool')), $shop);
is status($later, own => $key{own}), 503, 'a pool of another name has no keys';
my $tenant = admin($later);
my %move = (server => 'newer.example', pool => 'own', upstream => 'one');
is $tenant->ask(POST => '/unreached', json => {%move, to_pool => 'none'})->error, '400 invalid_request to_pool', 'no such pool';
is $tenant->ask(POST => '/unreached', json => {%move, to_pool => 'renamed', to_upstream => 'x'})->error, '400 invalid_request to_upstream', '... nor upstream';
is_deeply $tenant->ask(POST => '/unreached', json => {%move, to_pool => 'renamed'})->{json}, {moved => 1, left => 0}, 'its keys are moved to it';
is status($later, own => $key{own}), 200, '... and serve';
is_deeply $tenant->ask(GET => '/unreached')->{json}, $nothing, '... and nothing is left';

# Clients of a virtual host that is no more.
hosts($shop);
$operator = admin($httpd->{port});
is create($httpd->{port}, 'ann') ne $key{own}, 1, 'another client has the name by now';
is $operator->ask(POST => '/unreached', json => {server => ''})->error, '400 invalid_request server', "the main server's are not lost";
is_deeply $operator->ask(POST => '/unreached', json => {server => 'newer.example'})->{json}, {moved => 1, left => 0}, 'its clients are moved';
is $operator->ask(GET => '/clients/ann@newer.example')->{status}, 200, '... with a name that says whence';
is status($_, shared => $key{own}), 200, '... and serve' for $httpd->{port}, $other;
$httpd->stop;
$httpd->start;
is status($other, shared => $key{own}), 200, '... also after a stop';
is $httpd->faults, '', 'nothing went wrong inside';

# Stores of an earlier version, whose scopes name addresses.
sub old_store {
    my ($config, @scopes) = @_;
    $httpd->stop;
    $httpd = private_httpd(files => {admins => password_file(alice => 'wonderland', bob => 'builder')}, config => $config);
    $httpd->stop;
    remove_tree("$httpd->{dir}/$_") for qw(store secret);
    is system(build_dir() . '/obj/unit/scope', $httpd->{dir}, @scopes), 0, 'a store of an earlier version';
    rename "$httpd->{dir}/store.secret", "$httpd->{dir}/secret";
    $httpd->start;
    return map { 'ak-' . 'x' x 39 . $_ } 'a' .. 'b';
}
my @listen = map {"Listen 127.0.0.1:$_\n"} $plain, $tls, $later;
my ($first, $second) = old_store(join('', @listen, host($plain, $named, $mine), host($later, $named, $mine)), "127.0.0.1:$plain api.example");
is status($_, own => $first), 200, 'its clients and keys serve, also where they died before' for $plain, $later;
like $httpd->log, qr/AP0171: the keys and clients of 127\.0\.0\.1:$plain api\.example belong to api\.example now/, '... which is told';
unlike $httpd->log, qr/AP0059|AP0170|AP0174/, '... and nothing else';
($first, $second) = old_store(join('', @listen, host($plain, $named, $mine), host($later, $named, $mine)),
    map {"127.0.0.1:$_ api.example"} $plain, $later);
is_deeply [status($plain, own => $first), status($later, own => $second)], [200, 200], 'where both have keys, both have their clients';
is_deeply [status($plain, own => $second), status($later, own => $first)], [401, 401], '... and not those of the other';
like $httpd->log, qr/AP0174/, '... which is told';
($first, $second) = old_store(join('', @listen, pool('own'), uses('/own', 'own'), location('/apipool'), map { host($_, "ServerName $_.example\n",
    location('/apipool')) } $plain, $later), map {"127.0.0.1:$_ $_.example"} $plain, $later);
is admin($plain)->ask(POST => '/pools/own/keys?doubtful=add', json => ['sk-ok-certbot-bbbbbbbb'])->{status}, 200, "a key of the main server's pool";
is_deeply [map { my $port = $_; map { status($port, own => $_) } $first, $second } $plain, $later], [(200) x 4],
    'clients of virtual hosts without pools of their own are the main server\'s';
like $httpd->log, qr/AP0172: client ann\@\d+\.example is called so from now on/, '... of which one has another name now';

my ($status, $output) = config_test(host(1, pool('own')) . host(2, pool('own', 'APIPoolUpstream http://127.0.0.1:1/ name=one')));
isnt $status, 0, 'one pool that sends keys to two vendors is refused';
like $output, qr/AP0005: .*same ServerName has a pool of that name.*whose upstream one is .* give them different/, '... with a reason';

done_testing;
