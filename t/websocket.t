# SPDX-License-Identifier: Apache-2.0
# WebSocket upgrades: the credential is swapped there too, and a refused key is replaced. What passes on those that speak
# in events is the matter of websocket_events.t; any other passes as it is.
use strict;
use warnings;

use APIPoolTest qw(private_httpd upstream_mark upstream_since mock_port);
use Apache::Test ();
use IO::Socket::INET ();
use Test::More;

my $httpd = private_httpd(
    files => {keys => join("\n", qw(sk-401-ws-aaaaaaaaaaaa sk-429-ws-bbbbbbbbbbbb sk-ok-ws-cccccccccccc))},
    config => <<"CONF",
<APIPool ws>
    APIPoolUpstream http://127.0.0.1:@{[mock_port()]}/v1
    APIPoolKeyFile \@DIR\@/keys
    APIPoolStrategy round-robin
</APIPool>
<Location "/v1">
    APIPoolUse ws
</Location>
CONF
);

sub open_websocket {
    my ($path, @fields) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$httpd->{port}", Timeout => 10)
        or die "cannot connect: $@\n";
    print {$socket} join "\r\n", "GET /v1/$path?model=m HTTP/1.1", 'Host: x',
        'Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', @fields, '', '';
    my $head = '';
    sysread $socket, $head, 1, length $head or last while $head !~ /\r\n\r\n/;
    return ($socket, $head);
}

sub echo {
    my ($socket, $bytes) = @_;
    syswrite $socket, $bytes;
    my $back = '';
    sysread $socket, $back, length($bytes) - length($back), length $back or last
        while length $back < length $bytes;
    return $back;
}

my $mark = upstream_mark();
my ($socket, $head) = open_websocket(
    'realtime',
    'Authorization: Bearer client-credential',
    'Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.client-credential, '
        . 'openai-organization.org-client, openai-beta.realtime-v1',
);
my @seen = upstream_since($mark);

like $head, qr{\AHTTP/1.1 101 }, 'switched';
like $head, qr/^Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r$/mi, 'with the accept value of RFC 6455';
like $head, qr/^Sec-WebSocket-Protocol: realtime\r$/mi, 'and the protocol';
is_deeply [map { $_->{key} } @seen],
    [qw(sk-401-ws-aaaaaaaaaaaa sk-429-ws-bbbbbbbbbbbb sk-ok-ws-cccccccccccc)],
    'after two keys that were refused';
is $seen[2]{args}, 'model=m', 'the query is intact';
is $seen[2]{headers}{'sec-websocket-protocol'}, 'realtime, openai-beta.realtime-v1',
    'credentials among the protocols stay here';
unlike join(' ', map { values %{$_->{headers}} } @seen), qr/client/, 'so does the header';

close $socket;
($socket) = open_websocket('socket');
is echo($socket, $_), $_, length($_) . ' bytes come back' for 'hello', join('', map { chr } 0 .. 255) x 200;
close $socket;

($socket, $head) = open_websocket('socket', 'X-Mock: cookie');
like $head, qr{\AHTTP/1.1 101 }, 'again';
unlike $head, qr/^(?:Set-Cookie|OpenAI-Organization):/mi, "the upstream's cookie stays here";
is echo($socket, 'x'), 'x', 'and it echoes';
close $socket;

done_testing;
