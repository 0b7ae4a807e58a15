# SPDX-License-Identifier: Apache-2.0
# The exchange with an upstream: every framing in every cut, plain, over TLS and through forward proxies; connections that
# are kept, closed or stuck; clients that leave and clients that wait.
# APIPOOL_TEST_REQUESTS=N sets the number of requests over HTTP/2 (60).
use strict;
use warnings;

use APIPoolTest qw(pool_server chat request send_raw serve_raw read_request metrics wait_for slurp spew check_dir error_code
    free_port);
use Apache::Test ();
use IO::Socket::INET ();
use IO::Socket::SSL ();
use IO::Select ();
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Test::More;
use Time::HiRes qw(sleep time);

my $H2_REQUESTS = $ENV{APIPOOL_TEST_REQUESTS} || 60;
my $BODY = '{"ok":true,"text":"' . join('', 'a' .. 'z') . '"}';
my $LENGTH = length $BODY;
my $BIG = 'x' x 300_000;
my $TYPE = "Content-Type: application/json\r\n";

my $dir = check_dir() . "/t/logs/exchange-$$";
mkdir $dir;
my $said = qx(openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \\
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout $dir/key -out $dir/crt 2>&1);
die "openssl: $said" if $?;

sub chunked {
    my ($text, $size, $extension) = @_;
    my $all = '';
    while (length $text) {
        my $part = substr $text, 0, $size, '';
        $all .= sprintf "%x%s\r\n%s\r\n", length $part, $extension // '', $part;
    }
    return $all . "0\r\n";
}

# What an upstream sends, the body that the client gets, and whether the connection is kept.
my %scripts = (
    length => ["HTTP/1.1 200 OK\r\n${TYPE}Content-Length: $LENGTH\r\n\r\n$BODY", $BODY, 1],
    'no-reason' => ["HTTP/1.1 200\r\n${TYPE}Content-Length: $LENGTH\r\n\r\n$BODY", $BODY, 1],
    'line-feeds' => ["HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: $LENGTH\n\n$BODY", $BODY, 1],
    empty => ["HTTP/1.1 200 OK\r\n${TYPE}Content-Length: 0\r\n\r\n", '', 1],
    chunked => ["HTTP/1.1 200 OK\r\n${TYPE}Transfer-Encoding: chunked\r\n\r\n" . chunked($BODY, 7) . "\r\n", $BODY, 1],
    trailers => ["HTTP/1.1 200 OK\r\n${TYPE}Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
            . chunked($BODY, 7, ';a="b"') . "X-Sum: 1\r\n\r\n", $BODY, 1],
    both => ["HTTP/1.1 200 OK\r\n${TYPE}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
            . chunked($BODY, 7) . "\r\n", $BODY, 0],
    close => ["HTTP/1.1 200 OK\r\n${TYPE}Connection: close\r\n\r\n$BODY", $BODY, 0],
    'close-with-length' => ["HTTP/1.1 200 OK\r\n${TYPE}Connection: close\r\nContent-Length: $LENGTH\r\n\r\n$BODY", $BODY, 0],
    'http-1.0' => ["HTTP/1.0 200 OK\r\n${TYPE}\r\n$BODY", $BODY, 0],
    interim => ["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nX-Hint: 1\r\n\r\n"
            . "HTTP/1.1 200 OK\r\n${TYPE}Content-Length: $LENGTH\r\n\r\n$BODY", $BODY, 1],
    'blank-line' => ["\r\nHTTP/1.1 200 OK\r\n${TYPE}Content-Length: $LENGTH\r\n\r\n$BODY", $BODY, 1],
    'too-much' => ["HTTP/1.1 200 OK\r\n${TYPE}Content-Length: $LENGTH\r\n\r\n${BODY}more", $BODY, 0],
    'no-content' => ["HTTP/1.1 204 No Content\r\n\r\n", '', 1],
    'not-modified' => ["HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", '', 1],
    big => ["HTTP/1.1 200 OK\r\n${TYPE}Content-Length: " . length($BIG) . "\r\n\r\n$BIG", $BIG, 1],
    'big-chunked' => ["HTTP/1.1 200 OK\r\n${TYPE}Transfer-Encoding: chunked\r\n\r\n" . chunked($BIG, 5000) . "\r\n", $BIG, 1],
    'long-field' => ["HTTP/1.1 200 OK\r\n${TYPE}X-Long: " . 'y' x 20_000 . "\r\nContent-Length: $LENGTH\r\n\r\n$BODY", $BODY, 1],
);

# Serves the script that a request names, in pieces of the size that it names, and counts requests of a connection.
sub play {
    my ($socket) = @_;
    my $serial = 0;
    while (my $head = read_request($socket)) {
        my ($name, $cut) = $head =~ m{^\w+ \S*/script/([\w.-]+)/(\d+) }m or last;
        my $text = $scripts{$name}[0];
        my $number = ++$serial;
        $text =~ s/(HTTP\/1\.\d (?!1)[^\n]*\n)/$1X-Serial: $number\r\n/ if $name !~ /line-feeds/;
        $text =~ s/(HTTP\/1\.\d (?!1)[^\n]*\n)/$1X-Serial: $number\n/ if $name =~ /line-feeds/;
        while (length $text) {
            my $part = substr $text, 0, $cut || length $text, '';
            while (length $part) {
                my $sent = syswrite $socket, $part or return;
                substr $part, 0, $sent, '';
            }
            select undef, undef, undef, 0.0005 if $cut && length $text;
        }
        last if !$scripts{$name}[2];
    }
    return;
}

my $plain = serve_raw(sub { $_[0]->setsockopt(IPPROTO_TCP, TCP_NODELAY, 1); play($_[0]) });
my $tls = serve_raw(
    sub {
        my ($socket) = @_;
        $socket->setsockopt(IPPROTO_TCP, TCP_NODELAY, 1);
        my $secured = IO::Socket::SSL->start_SSL($socket, SSL_server => 1, SSL_cert_file => "$dir/crt",
            SSL_key_file => "$dir/key") or return;
        play($secured);
        $secured->close(SSL_no_shutdown => 0);
    }
);

# A forward proxy: CONNECT, or a request for a URL, which it answers itself.
my $proxy = serve_raw(
    sub {
        my ($socket) = @_;
        my $head = '';
        sysread $socket, $head, 1, length $head or return until $head =~ /\r\n\r\n\z/;
        my ($port) = $head =~ /^CONNECT \S+:(\d+) /;
        my $far = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . ($port // $plain)) or return;
        $port ? syswrite $socket, "HTTP/1.1 200 OK\r\n\r\n" : syswrite $far, $head;
        my $both = IO::Select->new($socket, $far);
        while (my @ready = $both->can_read(20)) {
            for my $from (@ready) {
                sysread $from, my $text, 65536 or return;
                syswrite $from == $socket ? $far : $socket, $text;
            }
        }
    }
);

sub scripted {
    my ($url) = @_;
    return {upstreams => [$url], keys => ['sk-script-aaaaaaaaaaaa'], lines => 'APIPoolRetries 0'};
}
my $TRUST = "SSLProxyEngine On\nSSLProxyVerify require\nSSLProxyCACertificateFile $dir/crt\n";
my $direct = pool_server({plain => scripted("http://127.0.0.1:$plain/v1"), tls => scripted("https://localhost:$tls/v1")},
    config => $TRUST);
my $remote = pool_server({plain => scripted("http://127.0.0.1:$plain/v1"), tls => scripted("https://localhost:$tls/v1")},
    config => "${TRUST}ProxyRemote * http://127.0.0.1:$proxy\n");

# With two threads, each request that waits leaves its own.
my $suspended = pool_server({plain => scripted("http://127.0.0.1:$plain/v1"), tls => scripted("https://localhost:$tls/v1")},
    config => "${TRUST}ServerLimit 1\nStartServers 1\nThreadsPerChild 2\nMaxRequestWorkers 2\nAsyncRequestWorkerFactor 100\n");

for my $way (
    ['directly', $direct, 0, 1, 3, 1000],
    ['through a proxy', $remote, 0, 1, 3, 1000],
    ['suspended', $suspended, 3, 1000]
) {
    my ($name, $httpd, @cuts) = @$way;
    for my $pool (qw(plain tls)) {
        subtest "$pool, $name" => sub {
            for my $script (sort keys %scripts) {
                for my $cut (@cuts) {
                    next if $cut && ($script eq 'too-much' || length($scripts{$script}[0]) / $cut > 2000);
                    my $answer = request(GET => "/$pool/script/$script/$cut", base => $httpd->{base}, timeout => 20);
                    my ($status) = $scripts{$script}[0] =~ m{HTTP/1\.\d ([2-5]\d\d)};
                    is $answer->{status}, $status, "$script in pieces of $cut";
                    ok +($answer->{content} // '') eq $scripts{$script}[1], '... and its body';
                }
            }
        };
        subtest "$pool, $name: connections that are kept" => sub {
            for my $script (sort keys %scripts) {
                my $one = "GET /$pool/script/$script/0 HTTP/1.1\r\nHost: x\r\n";
                my $raw = send_raw("$one\r\n${one}Connection: close\r\n\r\n", port => $httpd->{port});
                my @serials = $raw =~ /^X-Serial: (\d+)\r/mg;
                my $is_kept = @serials == 2 && $serials[1] == $serials[0] + 1;
                is $is_kept ? 1 : 0, $scripts{$script}[2], "$script: @serials";
            }
        };
    }
    my $metrics = metrics($httpd->{base});
    is_deeply [map { keys %{$metrics->rules($_)} } qw(plain tls)], ['R00', 'R00'], "$name: nobody is blamed";
    is $httpd->faults, '', 'nothing went wrong inside';
}

subtest 'HEAD has no body' => sub {
    my $answer = request(HEAD => '/plain/script/no-content/0', base => $direct->{base});
    is $answer->{status}, 204, 'it ends with its head';
    my $upstream = serve_raw(sub { print {$_[0]} "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" while read_request($_[0]) });
    my $httpd = pool_server({head => scripted("http://127.0.0.1:$upstream/v1")});
    for (1 .. 2) {
        $answer = request(HEAD => '/head/x', base => $httpd->{base}, timeout => 5);
        is "$answer->{status} $answer->{headers}{'content-length'}", '200 5', 'and has the length that a GET would have';
    }
};

subtest 'what directives of mod_proxy say' => sub {
    my $echo = serve_raw(
        sub {
            while (my $head = read_request($_[0])) {
                my ($host) = $head =~ /^Host: (.*?)\r?$/m;
                my ($via) = $head =~ /^Via: (.*?)\r?$/m;
                my $said = sprintf '{"host":"%s","via":"%s"}', $host, $via // '';
                print {$_[0]} "HTTP/1.1 201 Created\r\n${TYPE}Location: http://127.0.0.1:@{[$_[0]->sockport]}/v1/there\r\n"
                    . 'Content-Length: ' . length($said) . "\r\n\r\n$said";
                $_[0]->flush;
            }
        }
    );
    my $pool = scripted("http://127.0.0.1:$echo/v1");
    $pool->{location} = "ProxyPassReverse http://127.0.0.1:$echo/v1";
    my $override = {location => 'ProxyErrorOverride On', lines => 'APIPoolStrategy fill-first'};
    my $httpd = pool_server(
        {
            echo => $pool,
            rotates => {%$override, keys => ['sk-401-exchange-aaaaaaaa', 'sk-ok-exchange-bbbbbbbbb']},
            refused => {%$override, keys => ['sk-401-exchange-cccccccc']}
        },
        config => "ProxyPreserveHost On\nProxyVia On\n"
    );
    my $answer = request(GET => '/echo/x', base => $httpd->{base});
    my ($authority) = $httpd->{base} =~ m{//(.*)};
    like $answer->{content}, qr/"host":"\Q$authority\E"/, 'ProxyPreserveHost';
    like $answer->{content}, qr/"via":"1\.1 localhost/, 'ProxyVia, of the request';
    like $answer->{headers}{via}, qr/^1\.1 localhost/, '... and of the answer';
    is $answer->{headers}{location}, "$httpd->{base}/echo/there", 'ProxyPassReverse';
    is chat($httpd, 'rotates')->{status}, 200, 'ProxyErrorOverride: another key is tried';
    is metrics($httpd->{base})->rules('rotates')->{R06}, 1, '... after the first one was refused';
    my $refused = chat($httpd, 'refused');
    is $refused->{status}, 401, '... and the last answer';
    like $refused->{content}, qr/<html>/, '... is a page of httpd';
    is $httpd->faults, '', 'nothing went wrong inside';
};

# --- Connections that are closed, or stuck ---

my $closer = serve_raw(    # closes a kept connection as soon as it is used again
    sub {
        my ($socket) = @_;
        read_request($socket) or return;
        print {$socket} "HTTP/1.1 200 OK\r\n${TYPE}Content-Length: $LENGTH\r\n\r\n$BODY";
        $socket->flush;
        sysread $socket, my $byte, 1;
    }
);
my $worker = serve_raw(    # works on the second request for longer than an idle connection takes to be closed
    sub {
        my ($socket) = @_;
        my $head = read_request($socket) or return;
        print {$socket} "HTTP/1.1 200 OK\r\n${TYPE}Content-Length: $LENGTH\r\n\r\n$BODY";
        $socket->flush;
        read_request($socket) or return;
        open my $note, '>>', "$dir/worked" or die $!;
        print {$note} "once\n";
        close $note;
        sleep 1.6;
    }
);
my $deaf = serve_raw(sub { sleep 20 });    # accepts, and says nothing: no handshake ends
my $early = serve_raw(                     # answers an upload before it has read it
    sub {
        my ($socket) = @_;
        my $head = '';
        sysread $socket, $head, 1, length $head or return until $head =~ /\r\n\r\n\z/;
        syswrite $socket, "HTTP/1.1 413 Content Too Large\r\n${TYPE}Content-Length: $LENGTH\r\n\r\n$BODY";
        sleep 5;
    }
);
my $hung = serve_raw(    # answers those that say so, nobody else
    sub {
        while (my $head = read_request($_[0])) {
            sleep 20 if $head !~ m{/fine };
            syswrite $_[0], "HTTP/1.1 200 OK\r\n${TYPE}Content-Length: $LENGTH\r\n\r\n$BODY";
        }
    }
);
my $stuck = pool_server(
    {
        closer => {upstreams => ["http://127.0.0.1:$closer/v1"], keys => ['sk-closer-aaaaaaaaaaaa']},
        worker => {upstreams => ["http://127.0.0.1:$worker/v1"], keys => ['sk-worker-aaaaaaaaaaaa']},
        deaf => {
            upstreams => ["https://127.0.0.1:$deaf/v1 name=deaf connecttimeout=1", "http://127.0.0.1:$closer/v1 name=well"],
            keys => {deaf => ['sk-deaf-aaaaaaaaaaaaaaaa'], well => ['sk-well-aaaaaaaaaaaaaaaa']},
            lines => "APIPoolStrategy round-robin\n    APIPoolDeadline 20"
        },
        early => {upstreams => ["http://127.0.0.1:$early/v1"], keys => ['sk-early-aaaaaaaaaaaaa']},
        hung => {
            upstreams => ["http://127.0.0.1:$hung/v1"],
            keys => ['sk-hung-aaaaaaaaaaaaaa'],
            lines => "APIPoolDeadline 1\n    APIPoolRetries 0"
        },
    },
    config => $TRUST
);

subtest 'idle connections that the upstream closes while a request is on its way' => sub {
    my $one = "POST /closer/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n";
    my $raw = send_raw("$one\r\n{}" x 11 . "${one}Connection: close\r\n\r\n{}", port => $stuck->{port});
    is scalar(() = $raw =~ m{HTTP/1\.1 200}g), 12, 'every request is answered';
    is_deeply metrics($stuck->{base})->rules('closer'), {R00 => 12}, '... and nobody is blamed';
};

subtest 'a request that an upstream has worked on' => sub {
    my $one = "POST /worker/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n";
    my $raw = send_raw("$one\r\n{}${one}Connection: close\r\n\r\n{}", port => $stuck->{port});
    is_deeply [$raw =~ m{HTTP/1\.1 (\d+) [A-Z]}g], [200, 502], 'a POST is not sent twice';
    is slurp("$dir/worked"), "once\n", '... so that it is worked on once';
};

subtest 'a TLS handshake that does not go on' => sub {
    for (1 .. 2) {
        my $answer = chat($stuck, 'deaf', timeout => 15);
        is $answer->{status}, 200, 'the other upstream serves';
        cmp_ok $answer->{seconds}, '<', 8, '... once the time for connecting is over';
    }
};

subtest 'an answer that comes while the request is being sent' => sub {
    my $answer = request(POST => '/early/files', base => $stuck->{base}, content => 'z' x 20_000_000, timeout => 15,
        headers => {'content-type' => 'application/octet-stream'});
    is $answer->{status}, 413, 'is passed on';
    is $answer->{content}, $BODY, '... whole';
};

subtest 'the deadline of a request is not the fault of its upstream' => sub {
    for (1 .. 7) {
        is error_code(chat($stuck, 'hung')), 'upstream_timeout', 'the time is over';
    }
    is chat($stuck, 'hung', path => '/fine')->{status}, 200, 'the upstream is not paused';
};

# --- Clients ---

my $slow = serve_raw(
    sub {
        my ($socket) = @_;
        my $head = read_request($socket) or return;
        my ($wait) = $head =~ m{/wait/([\d.]+) };
        if (defined $wait) {
            sleep $wait;
            print {$socket} "HTTP/1.1 200 OK\r\n${TYPE}Content-Length: $LENGTH\r\n\r\n$BODY";
            return;
        }
        if ($head =~ m{/events }) {
            print {$socket} "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
            for my $event ((qq({"choices":[{"delta":{"content":"x"}}]})) x 3, '[DONE]') {
                print {$socket} "data: $event\n\n";
                $socket->flush;
                sleep 0.4;
            }
            return;
        }
        print {$socket} "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
        $socket->flush;
        my $begin = time;
        sysread $socket, my $end, 1;
        open my $note, '>>', "$dir/left" or die $!;
        print {$note} time, "\n";
        close $note;
    }
);
my $secure = free_port();
my $clients = pool_server({slow => {upstreams => ["http://127.0.0.1:$slow/v1"], keys => ['sk-slow-aaaaaaaaaaaaaaa']}},
    config => <<"CONF");
LoadModule http2_module @{[Apache::Test::vars('libexecdir') || '/usr/lib/apache2/modules']}/mod_http2.so
Listen 127.0.0.1:$secure
<VirtualHost 127.0.0.1:$secure>
    Protocols h2
    SSLEngine On
    SSLCertificateFile $dir/crt
    SSLCertificateKeyFile $dir/key
</VirtualHost>
CONF

sub connect_to {
    my ($httpd, $text) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$httpd->{port}") or die "$@\n";
    syswrite $socket, $text;
    return $socket;
}

sub rest_of {
    my ($socket) = @_;
    my $text = '';
    1 while sysread $socket, $text, 65536, length $text;
    return $text;
}

sub outcome_is {
    my ($expected, $count, $name) = @_;
    my $endings = sub { metrics($clients->{base})->by(outcome => 'apipool_requests_total', pool => 'slow')->{$expected} || 0 };
    wait_for(sub { $endings->() >= $count }, 10);
    is $endings->(), $count, $name;
    return;
}

subtest 'a client that has closed its side, and waits' => sub {
    my $socket = connect_to($clients, "GET /slow/wait/1.2 HTTP/1.1\r\nHost: x\r\n\r\n");
    shutdown $socket, 1;
    like rest_of($socket), qr/^HTTP\/1\.1 200 OK.*\Q$BODY\E\z/ms, 'gets its answer';
    outcome_is(complete => 1, 'which counts as one');
    $socket = connect_to($clients, "GET /slow/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    shutdown $socket, 1;
    like rest_of($socket), qr/(?:data: \{[^\n]+\n\n.*){3}data: \[DONE\]\n\n/s, '... and a stream to its end';
    outcome_is(complete => 2, '... which counts as well');
};

subtest 'a client that leaves' => sub {
    my $begin = time;
    close connect_to($clients, "GET /slow/wait/8 HTTP/1.1\r\nHost: x\r\n\r\n");
    outcome_is(client_abort => 1, 'before the answer');
    cmp_ok time - $begin, '<', 4, '... is seen at once';
    my $socket = connect_to($clients, "GET /slow/stream HTTP/1.1\r\nHost: x\r\n\r\n");
    my $text = '';
    sysread $socket, $text, 4096, length $text until $text =~ /choices/;
    my $left = time;
    close $socket;
    wait_for(sub { -s "$dir/left" }, 10);
    cmp_ok slurp("$dir/left") - $left, '<', 1, 'in the middle of a silent stream as well';
    outcome_is(client_abort => 2, '... and is counted so');
};

subtest 'HTTP/2' => sub {
    my $curl = "curl -s --http2 --cacert $dir/crt --noproxy '*'";
    my $base = "https://localhost:$secure/slow";
    my $leaves = $ENV{VALGRIND} ? 4 : 0.5;
    my $begin = time;
    system "$curl -m $leaves -o $dir/h2 $base/wait/8";
    outcome_is(client_abort => 3, 'a client that leaves before the answer');
    cmp_ok time - $begin, '<', $leaves + 3, '... is seen soon';
    my $urls = join ' ', ("-o /dev/null $base/wait/0.01") x 20;
    my $answers = join '', map { qx($curl -Z -w '%{size_download} ' $urls 2>/dev/null) } 1 .. $H2_REQUESTS / 20;
    is $answers, "$LENGTH " x $H2_REQUESTS, 'many requests at a time are answered';
    outcome_is(complete => 2 + $H2_REQUESTS, '... and counted as successes');
};

# --- The vendor's connection, when a client leaves ---

# Notes when a request has come and when the other side has closed. /mid/NAME begins a stream.
my $noting = serve_raw(
    sub {
        my ($socket) = @_;
        my $head = read_request($socket) or return;
        my ($where, $name) = $head =~ m{/v1/(\w+)/([\w-]+) };
        if ($where eq 'mid') {
            syswrite $socket, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                . chunked(qq(data: {"choices":[{"delta":{"content":"x"}}]}\n\n), 1000) =~ s/0\r\n\z//r;
        }
        if ($where eq 'fine') {
            syswrite $socket, "HTTP/1.1 200 OK\r\n${TYPE}Content-Length: $LENGTH\r\nConnection: close\r\n\r\n$BODY";
            return;
        }
        spew("$dir/$name.begun", time);
        sysread $socket, my $end, 1;
        spew("$dir/$name.new", time);
        rename "$dir/$name.new", "$dir/$name.closed";
    }
);
my $watched = pool_server({noting => {upstreams => ["http://127.0.0.1:$noting/v1"], keys => ['sk-noting-aaaaaaaaaaaaa']}},
    config => <<"CONF");
LoadModule http2_module @{[Apache::Test::vars('libexecdir') || '/usr/lib/apache2/modules']}/mod_http2.so
Protocols h2c http/1.1
CONF
my $SOON = $ENV{VALGRIND} ? 4 : 1;

sub closes_soon {
    my ($name, $left) = @_;
    ok wait_for(sub { -s "$dir/$name.closed" }, 15), "$name: the upstream's connection is closed" or return;
    cmp_ok slurp("$dir/$name.closed") - $left, '<', $SOON, '... soon after the client has left';
    return;
}

# Requests of one connection over HTTP/2. The first one is cancelled once the upstream has it, or its answer has
# begun; prints when, and the status of the second one.
my $CANCEL = <<'JS';
const [base, path, begun, other] = process.argv.slice(1);
const http2 = require('http2'), fs = require('fs');
const session = http2.connect(base);
const first = session.request({':path': path});
first.on('error', () => {});
const cancel = () => {
    first.close(http2.constants.NGHTTP2_CANCEL);
    process.stdout.write(`${Date.now() / 1000} `);
    const second = session.request({':path': other});
    second.on('response', (head) => process.stdout.write(`${head[':status']}\n`));
    second.on('end', () => session.close());
    second.resume();
};
const watch = () => fs.existsSync(begun) ? cancel() : setTimeout(watch, 20);
path.includes('/mid/') ? first.once('data', cancel) : watch();
JS

subtest "the vendor's connection when a client leaves" => sub {
    for my $where (qw(before mid)) {
        my $name = "$where-plain";
        my $socket = connect_to($watched, "GET /noting/$where/$name HTTP/1.1\r\nHost: x\r\n\r\n");
        my $text = '';
        $where eq 'mid'
            ? do { sysread $socket, $text, 4096, length $text until $text =~ /choices/ }
            : wait_for(sub { -s "$dir/$name.begun" });
        my $left = time;
        close $socket;
        closes_soon($name, $left);
        $name = "$where-h2";
        system "curl -s --http2-prior-knowledge --noproxy '*' -m $SOON -o $dir/h2 $watched->{base}/noting/$where/$name";
        closes_soon($name, time);
        SKIP: {
            skip 'node is missing', 3 if system 'node --version >/dev/null 2>&1';
            $name = "$where-reset";
            open my $node, '-|', 'node', '-e', $CANCEL, $watched->{base}, "/noting/$where/$name", "$dir/$name.begun", '/noting/fine/x'
                or die "$!\n";
            my ($cancelled, $status) = split ' ', join '', <$node>;
            is $status, 200, 'a connection over HTTP/2 serves on when one of its requests is cancelled';
            closes_soon($name, $cancelled // 0);
        }
    }
    my $endings = sub { metrics($watched->{base})->by(outcome => 'apipool_requests_total', pool => 'noting') };
    my $left = system('node --version >/dev/null 2>&1') ? 4 : 6;
    wait_for(sub { ($endings->()->{client_abort} // 0) == $left });
    is $endings->()->{client_abort}, $left, 'all of them are counted so';
    is $watched->faults, '', 'nothing went wrong inside';
};

subtest 'transfer codings that nobody understands' => sub {
    my $attempts = sub { metrics($direct->{base})->rules('plain') };
    my $before = $attempts->();
    for my $codings (['gzip, chunked'], ['gzip'], ['identity, chunked'], ['gzip', 'chunked'], ['chunked', 'chunked']) {
        my $name = join ' and ', @$codings;
        my $fields = join '', map {"Transfer-Encoding: $_\r\n"} @$codings;
        my @raw = map { send_raw("POST /plain/script/length/0 HTTP/1.1\r\nHost: x\r\n${fields}Connection: close\r\n\r\n"
                . "2\r\n{}\r\n0\r\n\r\n", port => $direct->{port}) } 1 .. 6;
        is scalar(grep {m{\AHTTP/1\.1 (?:400|501) }} @raw), 6, "$name is refused each time";
        unlike "@raw", qr/X-Serial/, '... before an upstream is asked';
        is_deeply $attempts->(), $before, '... so nobody is blamed';
        is request(GET => '/plain/script/length/0', base => $direct->{base})->{status}, 200, '... and the next one is served';
        $before = $attempts->();
    }
    is_deeply metrics($direct->{base})->states('plain'), {active => 1}, 'the key is as it was';
};

is $_->faults, '', 'nothing went wrong inside' for $stuck, $clients;

done_testing;
