# SPDX-License-Identifier: Apache-2.0
# Pools of virtual hosts: each sees its own and the main server's, and nothing of its neighbours'.
use strict;
use warnings;

use APIPoolAdmin qw(location password_file);
use APIPoolTest qw(private_httpd request upstream_mark upstream_since mock_port free_port);
use Apache::Test ();
use Test::More;

my @ports = map { free_port() } 1 .. 6;
my $upstream = 'http://127.0.0.1:' . mock_port();

sub pool {
    my ($name, $keys) = @_;
    return "<APIPool $name>\nAPIPoolUpstream $upstream/$keys\nAPIPoolKeyFile \@DIR\@/$keys\n</APIPool>\n";
}

sub use_pool {
    my ($path, $name) = @_;
    return "<Location \"$path\">\nAPIPoolUse $name\n</Location>\n";
}

my $httpd = private_httpd(
    files => {admins => password_file(alice => 'wonderland'), map { $_ => "sk-ok-$_-aaaaaaaaaaaa\nsk-ok-$_-bbbbbbbbbbbb\n" } qw(main one two)},
    config => join '', map({"Listen 127.0.0.1:$_\n"} @ports), pool('shared', 'main'), pool('idle', 'main'),
    use_pool('/shared', 'shared'), use_pool('/replaced', 'idle'), use_pool('/replaced/', 'shared'), location('/apipool'),
    "<VirtualHost 127.0.0.1:$ports[0]>\nServerName one.test\n", pool('main', 'one'),
    use_pool('/v1', 'main'), "</VirtualHost>\n",
    "<VirtualHost 127.0.0.1:$ports[1]>\nServerName two.test\n", pool('main', 'two'),
    use_pool('/v1', 'main'), use_pool('/theirs', 'shared'), "</VirtualHost>\n",
    # a whole virtual host, with conditions, and a page of httpd's own in it
    "<VirtualHost 127.0.0.1:$ports[2]>\nServerName all.test\nAPIPoolUse shared\n",
    "<Location \"/own\">\nAPIPoolUse off\nRequire all granted\n</Location>\n",
    "<Location \"/if\">\n<If \"%{HTTP:X-Pool} == 'no'\">\nAPIPoolUse off\n</If>\n</Location>\n",
    "<Location \"/status\">\nSetHandler server-status\n</Location>\n</VirtualHost>\n",
    # behind something that ends TLS, with a location of the main server replaced
    "<VirtualHost 127.0.0.1:$ports[3]>\nServerName https://last.test\n", use_pool('/replaced', 'off'),
    "<Location \"/some\">\n<If \"%{HTTP:X-Pool} == 'yes'\">\nAPIPoolUse shared\n</If>\n</Location>\n</VirtualHost>\n",
    # what decides: locations before the server, the later of them, and conditions before all; a pattern takes some paths
    "<VirtualHost 127.0.0.1:$ports[4]>\nServerName ways.test\nAPIPoolUse ways\n", pool('ways', 'main'), use_pool('/a/b', 'ways'),
    use_pool('/a', 'off'), use_pool('/ab', 'ways'), "<Location ~ \"^/no\">\nAPIPoolUse off\n</Location>\n",
    "<LocationMatch \"^/never\">\nAPIPoolUse off\n</LocationMatch>\n",
    "<Location \"/some\">\n<If \"%{HTTP:X-Pool} == 'yes'\">\nAPIPoolUse ways\n</If>\n</Location>\n", use_pool('/some', 'off'), "</VirtualHost>\n",
    "<VirtualHost 127.0.0.1:$ports[5]>\nServerName root.test\n", use_pool('/', 'off'), "APIPoolUse idle\n</VirtualHost>\n",
);

sub ask {
    my ($port, $path, %headers) = @_;
    my $mark = upstream_mark();
    my $answer = request(GET => $path, base => "http://127.0.0.1:$port", headers => \%headers);
    my @seen = upstream_since($mark);
    return ($answer->{status}, $seen[0] ? ($seen[0]{unparsed_uri}, $seen[0]{key}) : ());
}

for my $i (0, 1) {
    my $own = (qw(one two))[$i];
    my %keys;
    for (1 .. 4) {
        my ($status, $path, $key) = ask($ports[$i], '/v1/models');
        is $status, 200, "$own: answered";
        is $path, "/$own/models", '... by its own upstream';
        $keys{$key}++;
    }
    is_deeply \%keys, {map { ("sk-ok-$own-$_" x 1 => 2) } 'a' x 12, 'b' x 12}, '... with its own keys';
}
is_deeply [(ask($ports[1], '/theirs/x'))[0, 1]], [200, '/main/x'], "a virtual host may use the main server's pool";
is_deeply [(ask($ports[1], '/shared/x'))[0, 1]], [200, '/main/x'], "... and inherits the main server's locations";
is_deeply [(ask($httpd->{port}, '/shared/x'))[0, 1]], [200, '/main/x'], 'so does the main server';
is_deeply [ask($httpd->{port}, '/v1/models')], [404], '... which sees nothing of theirs';
is_deeply [(ask($ports[2], '/any/path?q=1'))[0, 1]], [200, '/main/any/path?q=1'], 'a pool may serve a whole virtual host';
is_deeply [(ask($ports[2], '/'))[0, 1]], [200, '/main/'], '... from its root';
is_deeply [ask($ports[2], '/own/x')], [404], '... but for what is off';
is_deeply [ask($ports[2], '/status')], [200], '... or has a handler';
is_deeply [(ask($ports[2], '/if/x'))[0, 1]], [200, '/main/if/x'], '<If> decides for each request: yes';
is_deeply [ask($ports[2], '/if/x', 'x-pool' => 'no')], [404], '... and no';
# The admin API tells where a pool is used, and which of that this virtual host serves itself: "here".
sub locations {
    my ($port, $pool) = @_;
    my $admin = bless {base => "http://127.0.0.1:$port", mount => '/apipool'}, 'APIPoolAdmin';
    my $locations = $admin->sign_in->ask(GET => "/pools/$pool")->{json}{locations};
    return [sort map { my $one = $_; join ' ', "$one->{path}:", $one->{url}, grep { $one->{$_} } qw(here conditional) } @$locations];
}

my $main = "http://localhost:$httpd->{port}";
# Its first port, since its ServerName has none.
my @mains = ("/shared: $main/shared", "/replaced: $main/replaced");
my @hosts = ("/theirs: http://two.test:$ports[1]/theirs", ": http://all.test:$ports[2]", "/some: https://last.test:$ports[3]/some");
is_deeply locations($httpd->{port}, 'shared'), [sort map({"$_ here"} @mains), @hosts[0, 1], "$hosts[2] conditional"],
    'the main server serves its own locations';
is_deeply locations($ports[1], 'shared'), [sort map({"$_ here"} @mains, $hosts[0]), $hosts[1], "$hosts[2] conditional"],
    "a virtual host its own and the main server's";
is_deeply locations($ports[3], 'shared'), [sort "$mains[0] here", $mains[1], @hosts[0, 1], "$hosts[2] here conditional"],
    '... but for those that it replaces';
is_deeply locations($ports[0], 'main'), ["/v1: http://one.test:$ports[0]/v1 here"], 'a pool of a virtual host is used there';
is_deeply locations($ports[1], 'main'), ["/v1: http://two.test:$ports[1]/v1 here"], '... and its namesake in another one';
is_deeply locations($ports[0], 'idle'), [], 'a pool whose only location another APIPoolUse replaces is used nowhere';

is_deeply [map { (ask($ports[4], $_))[0] } qw(/x /a/b/x /ab/x /no /some)], [200, 404, 200, 404, 404], 'a later location and a pattern take paths away';
is_deeply [(ask($ports[4], '/some/x', 'x-pool' => 'yes'))[0]], [200], '... and a condition goes before both';
my $ways = "http://ways.test:$ports[4]";
is_deeply locations($ports[4], 'ways'), [sort ": $ways here", "/ab: $ways/ab here", "/some: $ways/some here conditional"], 'what is told is what is served';
is_deeply [map { (ask($ports[5], $_))[0] } qw(/x /shared/x)], [404, 404], 'a location for all paths replaces its server and what is inherited';
is_deeply locations($ports[5], 'idle'), [], '... and nothing of its server is told';
is_deeply [grep { / here/ } @{locations($ports[5], 'shared')}], [], '... nor that it serves what it inherits';

unlike $httpd->log, qr/AP0050: pool \S+: \S+: [^2] keys/, 'each key file has been read into one pool, once';

done_testing;
