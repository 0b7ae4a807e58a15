# SPDX-License-Identifier: Apache-2.0
# Pools of virtual hosts: each sees its own and the main server's, and nothing of its neighbours'.
use strict;
use warnings;

use APIPoolTest qw(private_httpd request upstream_mark upstream_since mock_port free_port);
use Apache::Test ();
use Test::More;

my @ports = map { free_port() } 1 .. 3;
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
    files => {map { $_ => "sk-ok-$_-aaaaaaaaaaaa\nsk-ok-$_-bbbbbbbbbbbb\n" } qw(main one two)},
    config => join '', map({"Listen 127.0.0.1:$_\n"} @ports), pool('shared', 'main'),
    use_pool('/shared', 'shared'),
    "<VirtualHost 127.0.0.1:$ports[0]>\nServerName one.test\n", pool('main', 'one'),
    use_pool('/v1', 'main'), "</VirtualHost>\n",
    "<VirtualHost 127.0.0.1:$ports[1]>\nServerName two.test\n", pool('main', 'two'),
    use_pool('/v1', 'main'), use_pool('/theirs', 'shared'), "</VirtualHost>\n",
    # a whole virtual host, with conditions, and a page of httpd's own in it
    "<VirtualHost 127.0.0.1:$ports[2]>\nServerName all.test\nAPIPoolUse shared\n",
    "<Location \"/own\">\nAPIPoolUse off\nRequire all granted\n</Location>\n",
    "<Location \"/if\">\n<If \"%{HTTP:X-Pool} == 'no'\">\nAPIPoolUse off\n</If>\n</Location>\n",
    "<Location \"/status\">\nSetHandler server-status\n</Location>\n</VirtualHost>\n",
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
unlike $httpd->log, qr/AP0050: pool \S+: \S+: [^2] keys/, 'each key file has been read into one pool, once';

done_testing;
