# SPDX-License-Identifier: Apache-2.0
# No key, the pool's or the client's, in any answer, log, status page or folder of the server.
use strict;
use warnings;

use APIPoolTest qw(private_httpd request send_raw mock_port slurp check_dir json);
use Apache::Test ();
use File::Find ();
use Test::More;

my @words = qw(ok 401 429 quota quota400 gemini400 400 404 422big 403 500 502 503 529 cut cutline
    close cookie slow-delay9);
my %keys = map { ($_ => sprintf 'sk-%s-POOLSECRET%06d', $_, int rand 1e6) } @words;
# in the form of the client keys that we give out, so that all that knows it sees one
my $CLIENT = 'ak-CLIENTSECRET0123456789ABCDEFGHIJabcdefgh';

my ($config, %files) = ("APIPoolCapacity 256\n");
for my $word (@words) {
    $files{"$word.keys"} = "$keys{$word}\nsk-also-$word-POOLSECRET\n";
    $config .= <<"CONF";
<APIPool $word>
    APIPoolUpstream http://127.0.0.1:@{[mock_port()]}/v1
    APIPoolKeyFile \@DIR\@/$word.keys
    APIPoolDeadline 2
    APIPoolRotations 0
</APIPool>
<Location "/$word">
    APIPoolUse $word
    APIPoolExpose On
</Location>
CONF
}
my $modules = qx(apxs -q LIBEXECDIR) =~ s/\s+\z//r;
my $module = check_dir() . '/c-modules/clients/.libs/mod_clients.so';
$config .= <<"CONF" . <<'CONF';
LoadModule clients_module $module
LoadModule cgid_module $modules/mod_cgid.so
CONF
<Location "/clients">
    SetHandler clients
</Location>
<Location "/ours">
    APIPoolUse ok
    AuthType APIPool
    Require valid-user
</Location>
ScriptSock @DIR@/cgid
<Location "/asked">
    AuthType APIPool
    Require valid-user
</Location>
<Directory "@DIR@">
    Options ExecCGI
    CGIPassAuth On
</Directory>
<Files environment.cgi>
    SetHandler cgi-script
</Files>
Alias /asked/environment @DIR@/environment.cgi
Alias /free/environment @DIR@/environment.cgi
LogLevel info apipool:trace8 proxy:trace8 proxy_http:trace8
LogFormat "%h %u %t \"%r\" \"%q\" %>s %B \"%{Referer}i\" \"%{X-APIPool-Key}o\"" plain
CustomLog @DIR@/access_log plain
ExtendedStatus On
<Location "/server-status">
    SetHandler server-status
</Location>
CONF
$files{'environment.cgi'} = "#!/bin/sh\necho 'Content-Type: text/plain'\necho\nenv\n";
my $httpd = private_httpd(config => $config, files => \%files);

my @credentials = (
    "Authorization: Bearer $CLIENT", "x-api-key: $CLIENT", "api-key: $CLIENT",
    "x-goog-api-key: $CLIENT", "Cookie: session=$CLIENT",
);

sub ask {
    my ($path, $body) = @_;
    my $length = length $body;
    return send_raw(
        join("\r\n", "POST $path HTTP/1.1", 'Host: x', 'Connection: close', @credentials,
            "Content-Length: $length", '', '') . $body,
        port => $httpd->{port}
    );
}

for my $word (@words) {
    my $answers = '';
    for my $body ('{"model":"m"}', '{"model":"m","stream":true}') {
        $answers .= ask("/$word/chat/completions", $body) for 1 .. 3;
    }
    cmp_ok length $answers, '>', 100, "$word: answered";
    unlike $answers, qr/POOLSECRET/, '... without the pool\'s key';
    unlike $answers, qr/CLIENTSECRET/, '... without the client\'s key';
}

# A client key that is valid, in all places where one may be.
my $made = json(request(GET => '/clients?do=create&name=known', base => $httpd->{base})->{content});
my $VALID = $made->{key};
is length $VALID, 43, 'a client key';
for my $place ("Authorization: Bearer $VALID", "x-api-key: $VALID", "api-key: $VALID", "x-goog-api-key: $VALID") {
    like send_raw("GET /ours/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n$place\r\n\r\n", port => $httpd->{port}),
        qr{\AHTTP/1.1 200 }, 'it is valid';
}
for my $path (map {("/$_/models?key=$VALID", "/$_/models?a&key=$CLIENT&key=$VALID")} 'ours', 'ok', 'ok/../status') {
    send_raw("GET $path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", port => $httpd->{port});
}
# Names and forms in which no key is looked for, and requests that httpd refuses by itself, are logged as well.
my @spellings = map {("/$_/models?KEY=$VALID", "/$_/models?k%65y=$VALID", "/$_/models;key=$VALID", "/$_/m?x=${VALID}x",
    "/$_/models?key=%61" . substr($VALID, 1), "/$_/$VALID/../../../..", "/$_/%00?key=$VALID", "/$_/%zz?key=$VALID",
    "/$_/..;?key=$VALID")} qw(ours ok status free nowhere);
for my $path (@spellings) {
    send_raw("GET $path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", port => $httpd->{port});
}
send_raw("GET$_/ours?key=$VALID HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", port => $httpd->{port}) for '', "\t", '  ';
send_raw("BREW /ours?key=$VALID HTTP/9.9\r\nHost: x\r\n\r\n", port => $httpd->{port});

# Nobody but a CGI that no key is asked for gets to see one.
chmod 0755, "$httpd->{dir}/environment.cgi";
for my $place ('Authorization: Bearer', 'x-api-key:', 'api-key:', 'x-goog-api-key:') {
    my $ask = sub {send_raw("GET $_[0] HTTP/1.1\r\nHost: x\r\nConnection: close\r\n$place $VALID\r\n\r\n", port => $httpd->{port})};
    my $said = $ask->('/asked/environment') =~ s/\r//gr;
    like $said, qr/^REMOTE_USER=known$/m, "$place lets in";
    unlike $said, qr/\Q$VALID/, '... and is not in the environment';
}
my $shown = request(GET => "/asked/environment?key=$VALID", base => $httpd->{base})->{content};
like $shown, qr/^QUERY_STRING=key=ak-\*{40}$/m, 'an argument is masked';
like request(GET => "/free/environment?key=$VALID", base => $httpd->{base})->{content}, qr/^QUERY_STRING=key=\Q$VALID\E$/m,
    '... where a key is asked for';

for my $fault ('', "Host: x\r\nno field\r\n") { # refused by httpd before any module sees it
    like send_raw("GET /ours/models?key=$VALID HTTP/1.1\r\n$fault\r\n", port => $httpd->{port}),
        qr{\AHTTP/1.1 400 }, 'a bad request';
}
like request(GET => '/server-status', base => $httpd->{base})->{content}, qr/key=ak-\*/, 'one is shown masked';
my $any = qr/POOLSECRET|CLIENTSECRET|\Q$VALID/;

my $status = request(GET => '/server-status', base => $httpd->{base})->{content};
like $status, qr/Apache Server Status/, 'server-status is served';
unlike $status, $any, '... without a key';
unlike request(GET => '/server-status?auto', base => $httpd->{base})->{content},
    $any, '... also for machines';

$httpd->stop;
like $httpd->log, qr/AP0031: pool 401/, 'the log is at trace8 and has our lines';
like $httpd->log, qr/proxy_http:trace/, '... and those of mod_proxy_http';
my @leaks;
File::Find::find(
    sub {
        return if !-f || /\.keys\z/ || $_ eq 'httpd.conf';
        push @leaks, $_ if slurp($_) =~ $any;
    },
    $httpd->{dir}
);
like slurp("$httpd->{dir}/access_log"), qr/key=ak-\*{40}/, 'the log of requests has them masked';
is "@leaks", '', 'no file that the server wrote holds a key' or diag grep {/$any/} split /^/, $httpd->log;

# The core of httpd dumps the client's header fields itself at http:trace4, before any module can act.
# The pool's keys are sent later, and must not be there.
my $loud = private_httpd(config => $config =~ s/^LogLevel .*$/LogLevel trace8/mr, files => \%files);
$httpd = $loud;
ask("/$_/chat/completions", '{"model":"m"}') for qw(ok 401 429 500 close cut);
$loud->stop;
like $loud->log, qr/http:trace4/, 'a server at trace8 everywhere';
unlike $loud->log, qr/POOLSECRET/, '... does not log the pool\'s keys';

done_testing;
