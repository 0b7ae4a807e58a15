# SPDX-License-Identifier: Apache-2.0
# Upstreams over TLS: verified as mod_proxy is told to, and no key is sent to the wrong one.
use strict;
use warnings;

use APIPoolAdmin qw(location password_file);
use APIPoolTest qw(private_httpd request free_port serve_raw slurp check_dir metrics wait_for chat);
use Apache::Test ();
use IO::Socket::INET ();
use Test::More;

my $tls = free_port();
my $plain = serve_raw(sub { sysread $_[0], my $text, 4096; syswrite $_[0], "HTTP/1.1 200 OK\r\n\r\n" });
my $dir = check_dir() . "/t/logs/tls-$$";
mkdir $dir;

sub certificate {
    my ($name) = @_;
    my $said = qx(openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=$name \\
        -addext subjectAltName=DNS:$name -keyout $dir/$name.key -out $dir/$name.crt 2>&1);
    die "openssl: $said" if $?;
    return;
}
certificate('localhost');
certificate('elsewhere');

sub pool {
    my ($name, $url) = @_;
    return <<"CONF";
<APIPool $name>
    APIPoolUpstream $url
    APIPoolKeyFile \@DIR\@/keys
    APIPoolRetries 0
    APIPoolRecover 1 1
</APIPool>
<Location "/$name">
    APIPoolUse $name
</Location>
CONF
}

sub server {
    my ($authority) = @_;
    return private_httpd(files => {keys => "sk-ok-tls-xxxxxxxxxxxxxx\n", admins => password_file(alice => 'wonderland')}, config => <<"CONF");
MockLLMRecord \@DIR\@/upstream.jsonl
SSLProxyEngine On
SSLProxyVerify require
SSLProxyCheckPeerName On
SSLProxyCACertificateFile $dir/$authority.crt
Listen 127.0.0.1:$tls
<Location "/metrics">
    SetHandler apipool-metrics
</Location>
@{[location('/apipool'), pool('tls', "https://localhost:$tls/v1")]}
@{[pool('lost', "https://localhost:$tls/v1")]}
@{[pool('plain', "https://localhost:$plain/v1")]}
<VirtualHost 127.0.0.1:$tls>
    ServerName localhost
    SSLEngine On
    SSLStrictSNIVHostCheck On
    SSLCertificateFile $dir/localhost.crt
    SSLCertificateKeyFile $dir/localhost.key
    <Location "/">
        SetHandler mock-llm
    </Location>
    <Location "/used">
        APIPoolUse tls
    </Location>
</VirtualHost>
CONF
}

my $httpd = server('localhost');
for (1 .. 3) {
    is chat($httpd, 'tls')->{status}, 200, 'a verified upstream answers';
}
my $stream = chat($httpd, 'tls', content => '{"stream":true}');
like $stream->{content}, qr/data: \[DONE\]\n\n\z/, 'also with a stream';
is chat($httpd, 'lost', headers => {'X-Mock' => '401'})->{status}, 401,
    'a key that has never served is refused';
ok wait_for(sub { $httpd->log =~ /asked about its health, R00 \(200\), active/ }, 20),
    '... and stays, as a probe over TLS finds it in order';
is chat($httpd, 'lost')->{status}, 200, '... to serve';
my $large = request(POST => '/tls/files', base => $httpd->{base}, headers => {'X-Mock' => 'sums'},
    content => 'x' x 3_000_000);
is $large->{headers}{'x-body-bytes'}, 3_000_000, 'and takes a large body';
for (1 .. 2) {
    my $slow = chat($httpd, 'tls', headers => {'X-Mock' => 'ok slow delayms2400'});
    is $slow->{status}, 200, 'an answer that takes its time';
}

my $admin = (bless {base => $httpd->{base}, mount => '/apipool'}, 'APIPoolAdmin')->sign_in;
is_deeply $admin->ask(GET => '/pools/tls')->{json}{locations}[1],
    {path => '/used', url => "https://localhost:$tls/used", here => JSON::PP::false(), conditional => JSON::PP::false()},
    'a location of a virtual host with TLS is told with https';

sub arrived {
    my $records = () = slurp("$httpd->{dir}/upstream.jsonl") =~ /\n/g;
    return $records;
}

my $leaver = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$httpd->{port}") or die "$@\n";
print {$leaver} "POST /tls/chat HTTP/1.1\r\nHost: x\r\nX-Mock: ok slow delayms20000\r\nContent-Length: 13\r\n\r\n{\"model\":\"m\"}";
ok wait_for(sub { metrics($httpd->{base})->in_flight('tls') && arrived() == 11 }, 10), 'a request without an answer';
close $leaver;
ok wait_for(sub { metrics($httpd->{base})->rules('tls')->{R01} }, 8), '... ends when its client leaves';
is chat($httpd, 'plain')->{status}, 502, 'what does not speak TLS is unreachable';
like $httpd->log, qr/pool plain, attempt 1, .*: R03/, '... by R03: nothing was sent';
is arrived(), 11, 'eleven requests have arrived';
unlike $httpd->log, qr/AP006[56]/, 'nobody is warned of upstreams that are verified';
$httpd->stop;

$httpd = server('elsewhere');
is chat($httpd, 'tls')->{status}, 502, 'an upstream of another authority is unreachable';
like $httpd->log, qr/pool tls, attempt 1, .*: R03/, '... by R03';
ok !-s "$httpd->{dir}/upstream.jsonl", '... and has not seen a key';
$httpd->stop;

# Two upstreams, of which one is an exception: its section must not hold for the other one, whichever comes first.
sub exceptional {
    my ($authority, $exception, $keys, @upstreams) = @_;
    my $server = private_httpd(
        files => {good => "sk-ok-tls-good-xxxxxxxx\n"},
        config => <<"CONF");
MockLLMRecord \@DIR\@/upstream.jsonl
SSLProxyEngine On
SSLProxyVerify require
SSLProxyCheckPeerName On
SSLProxyCACertificateFile $dir/$authority.crt
<Proxy https://127.0.0.1:$tls>
    $exception
</Proxy>
Listen 127.0.0.1:$tls
<APIPool p>
    @{[join "\n    ", map {"APIPoolUpstream $_"} @upstreams]}
    @{[join "\n    ", map {"APIPoolKeyFile \@DIR\@/$_ upstream=$keys->{$_}"} sort keys %$keys]}
    APIPoolRetries 0
</APIPool>
<Location "/p">
    APIPoolUse p
</Location>
<VirtualHost 127.0.0.1:$tls>
    SSLEngine On
    SSLCertificateFile $dir/localhost.crt
    SSLCertificateKeyFile $dir/localhost.key
    <Location "/">
        SetHandler mock-llm
    </Location>
</VirtualHost>
CONF
    my $status = chat($server, 'p')->{status};
    my $warned = $server->log =~ /AP0066: pool p: the certificate of upstream https:\/\/127.0.0.1/;
    $server->stop;
    return [$status, $warned ? 'warned' : 'not warned'];
}

my $named = "https://localhost:$tls/v1 name=named";
my $by_address = "https://127.0.0.1:$tls/v1 name=address";
my $strict = 'SSLProxyVerify require';
my $lax = "SSLProxyVerify none\n    SSLProxyCheckPeerName Off\n    SSLProxyCheckPeerExpire Off";
my $wrong = "SSLProxyCACertificateFile $dir/elsewhere.crt";
for my $order ([$named, $by_address], [$by_address, $named]) {
    my ($first) = $order->[0] =~ /name=(\w+)/;
    is_deeply exceptional('localhost', $lax, {good => 'address'}, @$order), [200, 'warned'], "first $first: an exception holds for its upstream";
    is_deeply exceptional('localhost', $lax, {good => 'named'}, @$order), [200, 'warned'], '... and the other one is asked as well';
    is_deeply exceptional('elsewhere', $lax, {good => 'named'}, @$order), [502, 'warned'], '... which is verified as ever';
    is_deeply exceptional('localhost', $strict, {good => 'address'}, @$order), [502, 'not warned'], '... without it, the name is wrong';
}
# the section of the first one would make the second one unverified, or refuse it
is_deeply exceptional('localhost', $wrong, {good => 'named'}, $by_address, $named), [200, 'not warned'], 'a stricter section holds for no other';

# name, what stands in the main server and in the virtual host whose pool it is, the warning
my $verify = 'SSLProxyVerify require';
my $authority = "SSLProxyCACertificateFile $dir/localhost.crt";
my @settings = (
    ['nothing is said', '', '', qr/AP0065: pool p: upstream https:\S+ cannot be reached without SSLProxyEngine on/],
    ['nothing but TLS', 'SSLProxyEngine on', '', qr/AP0066: pool p: .* SSLProxyVerify require and SSLProxyCACertificateFile are missing/],
    ['no authority', "SSLProxyEngine on\n$verify", '', qr/AP0066: .* SSLProxyCACertificateFile is missing/],
    ['no verification', "SSLProxyEngine on\n$authority\nSSLProxyVerify optional", '', qr/AP0066: .* SSLProxyVerify require is missing/],
    ['all of it', "SSLProxyEngine on\n$verify\n$authority", '', undef],
    ['all of it in the virtual host', '', "SSLProxyEngine on\n$verify\n$authority", undef],
    ['some of it in each', "SSLProxyEngine on\n<IfModule ssl_module>\n$authority\n</IfModule>", $verify, undef],
    ['a virtual host that takes it back', "SSLProxyEngine on\n$verify\n$authority", 'SSLProxyVerify none', qr/SSLProxyVerify require is missing/],
    ['a section for all', 'SSLProxyEngine on', "<Proxy *>\n$verify\n$authority\n</Proxy>", undef],
    ['a section for it', "SSLProxyEngine on\n<Proxy https://localhost:>\n$verify\n$authority\n</Proxy>", 'SSLProxyVerify none', undef],
    ['a section for another', 'SSLProxyEngine on', "<Proxy https://elsewhere/>\n$verify\n$authority\n</Proxy>",
        qr/AP0066: .* certificate of upstream https:\S+ is not verified/],
    ['an exception', "SSLProxyEngine on\n$verify\n$authority", "<ProxyMatch ^https://local>\nSSLProxyVerify none\n</ProxyMatch>",
        qr/AP0066: .* SSLProxyVerify require is missing/],
);
for my $case (@settings) {
    my ($name, $main, $virtual, $warning) = @$case;
    my $server = private_httpd(files => {keys => "sk-ok-tls-xxxxxxxxxxxxxx\n"}, config => <<"CONF");
$main
<VirtualHost 127.0.0.1:\@PORT\@>
$virtual
@{[pool('p', "https://localhost:$tls/v1")]}
</VirtualHost>
CONF
    $warning ? like $server->log, $warning, "$name: a warning" : unlike $server->log, qr/AP006[56]/, "$name: none";
}

done_testing;
