# SPDX-License-Identifier: Apache-2.0
# Upstreams that repeat the key which they were sent: wherever that is, the client does not get it.
use strict;
use warnings;

use APIPoolTest qw(pool_server read_request send_raw serve_raw);
use Apache::Test ();
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Test::More;
use Time::HiRes qw(sleep);

my $KEY = 'sk-echo-sk-echo-0123456789abcdefghij';
my $MASKED = 'sk-e' . '*' x (length($KEY) - 8) . 'ghij';

sub head {
    my ($status, @fields) = @_;
    return join "\r\n", "HTTP/1.1 $status", @fields, 'Connection: close', '', '';
}

sub json {'Content-Type: application/json'}

# What an upstream sends, piece by piece; KEY stands for the key.
my %answers = (
    json => [head('200 OK', json()), '{"id":"a","key":"KEY","more":"KEYKEY"}'],
    problem => [head('200 OK', 'Content-Type: application/problem+json'), '{"key":"KEY"}'],
    html => [head('200 OK', 'Content-Type: text/html; charset=utf-8'), '<p>KEY</p>'],
    untyped => [head('200 OK'), 'KEY'],
    event => [head('200 OK', 'Content-Type: text/event-stream'), "data: {\"a\":1}\n\n", "data: {\"b\":\"KEY\"}\n\n",
        "data: {\"c\":\"KEY\"}\n\ndata: [DONE]\n\n"],
    redirect => [head('302 Found', 'Location: /login?key=KEY', 'Content-Type: application/octet-stream'), 'moved to KEY'],
    refused => [head('400 Bad Request', json(), 'X-Debug: KEY'), '{"error":{"message":"KEY"}}'],
    reason => [head('404 no KEY here', json()), '{}'],
    challenge => [head('405 KEY', json(), 'WWW-Authenticate: Bearer realm="KEY"'), '{}'],
    switch => ["HTTP/1.1 101 KEY\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Debug: KEY\r\n\r\n", ''],
    long => [head('200 OK', json(), 'X-Long: ' . 'x' x (8192 - 8 - 20) . 'KEY'), '{}'],
    cut => [head('200 OK', json(), 'Content-Length: 500'), '{"key":"sk-echo-sk-ec', 'ho-0123456789abcdefghij"'],
    image => [head('200 OK', 'Content-Type: image/png'), "\x89PNG KEY"],
    zipped => [head('200 OK', json(), 'Content-Encoding: gzip'), "\x1f\x8b KEY"],
    honest => [head('200 OK', json()), '{"almost":"sk-echo-0123456789abcdefghij","sk-echo-sk-', 'echo":"sk-e"}sk-'],
    word => [head('200 OK', json()), '{"is":"EMPTY"}'],
);
for my $cut (1 .. length($KEY) - 1) {
    $answers{"pieces$cut"} = [head('200 OK', json()), '{"key":"' . substr($KEY, 0, $cut), substr($KEY, $cut) . '"}'];
}
$answers{bytes} = [head('200 OK', json()), split //, qq({"a":"sk-echo-$KEY","b":"$KEY$KEY"}sk-echo)];

my $port = serve_raw(
    sub {
        my ($socket) = @_;
        setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
        my $request = read_request($socket) or return;
        my ($name) = $request =~ m{^\S+ /v1/(\w+)} or return;
        my ($key) = $request =~ /^Authorization: Bearer (\S+)\r$/mi or return;
        for my $piece (@{$answers{$name}}) {
            syswrite $socket, $piece =~ s/KEY/$key/gr;
            sleep $name eq 'bytes' ? 0.002 : 0.02;
        }
    }
);
my $upstream = "http://127.0.0.1:$port/v1";
my $lines = "APIPoolRotations 0\nAPIPoolRetries 0\nAPIPoolMaxErrors 1000\nAPIPoolStreamUsage Off";
my $httpd = pool_server(
    {
        echo => {keys => [$KEY], upstreams => [$upstream], lines => $lines},
        quiet => {keys => [$KEY], upstreams => [$upstream], lines => $lines, location => 'ProxyErrorOverride On'},
        words => {keys => ['EMPTY'], upstreams => [$upstream], lines => $lines},
    }
);

sub ask {
    my ($pool, $name, @fields) = @_;
    my $said = send_raw(join("\r\n", "GET /$pool/$name HTTP/1.1", 'Host: x', @fields, '', ''), port => $httpd->{port});
    return $said =~ /^Transfer-Encoding: chunked\r$/m ? $said =~ s/(?<=\n)[0-9a-f]+\r\n(.*?)\r\n(?=[0-9a-f]+\r\n|\z)/$1/grs : $said;
}

for my $name (qw(json problem html untyped event redirect refused), map {"pieces$_"} 1 .. length($KEY) - 1) {
    my $said = ask(echo => $name, 'Connection: close');
    unlike $said, qr/\Q$KEY/, "$name: no key" or diag $said;
    like $said, qr/sk-e\*{20,}/, '... but its mask';
}
my $bytes = ask(echo => 'bytes', 'Connection: close');
like $bytes, qr/\Q{"a":"sk-echo-$MASKED","b":"$MASKED$MASKED"}sk-echo\E/, 'byte by byte as well, and no byte is lost';
unlike ask(echo => 'long', 'Connection: close'), qr/sk-echo/, 'nor the beginning of one in a line that is too long';
for my $pool (qw(echo quiet)) {
    for my $name (qw(reason challenge)) {
        my $said = ask($pool => $name, 'Connection: close');
        like $said, qr{\AHTTP/1.1 40[45] }, "$pool/$name: answered";
        unlike $said, qr/\Q$KEY/, '... without the key';
    }
}
my $switched = ask(echo => 'switch', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==');
like $switched, qr{\AHTTP/1.1 101 .*X-Debug: \Q$MASKED}s, 'a tunnel begins';
unlike $switched, qr/\Q$KEY/, '... without the key';
unlike ask(echo => 'cut', 'Connection: close'), qr/\Q$KEY/, 'nor one in an answer that breaks off';

like ask(echo => 'honest', 'Connection: close'), qr/\Q{"almost":"sk-echo-0123456789abcdefghij","sk-echo-sk-echo":"sk-e"}sk-\E/,
    'what only begins like one passes as it came';
like ask(echo => 'image', 'Connection: close'), qr/PNG \Q$KEY/, 'what is no text is not searched';
like ask(echo => 'zipped', 'Connection: close'), qr/\x1f\x8b \Q$KEY/, '... nor what is encoded';
like ask(words => 'word', 'Connection: close'), qr/\{"is":"EMPTY"\}/, 'a key that is a word may stand in a good answer';
unlike $httpd->log, qr/\Q$KEY/, 'the log has no key';

done_testing;
