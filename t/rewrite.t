# SPDX-License-Identifier: Apache-2.0
# Addresses that an upstream tells lead back through the pool: in header fields, and with APIPoolRewriteURLs in JSON. Paths
# go out as they came, and what httpd itself says is JSON.
use strict;
use warnings;

use APIPoolTest qw(pool_server read_request request send_raw serve_raw json error_code);
use Apache::Test ();
use Test::More;

# What the upstream says; BASE is its own base URL.
my %fields = (
    location => ['Location: BASE/files/1?a=b#c', '/files/1?a=b#c'],
    content => ['Content-Location: BASE', ''],
    operation => ['Operation-Location: BASE/operations/7', '/operations/7'],
    upload => ['X-Goog-Upload-URL: BASE/upload?upload_id=1', '/upload?upload_id=1'],
    control => ['X-Goog-Upload-Control-URL: BASE/upload', '/upload'],
    azure => ['Azure-AsyncOperation: BASE/op', '/op'],
    upper => ['Location: HTTP://LOCALHOST:PORT/v1/x', '/x'],
);
my %others = (
    elsewhere => 'Location: https://elsewhere.example/v1/files/1',
    beside => 'Location: http://localhost:PORT/v10/files/1',
    port => 'Location: http://localhost:1/v1/files/1',
    relative => 'Location: files/1',
    host => 'Location: //localhost/v1/x',
    parent => 'Location: /other/x',
);
my %bodies = (
    batch => '{"id":"b","results_url":"BASE/batches/b/results","text":"see BASE/batches"}',
    escaped => '{"results_url":"http:\/\/localhost:PORT\/v1\/batches"}',
);
my $long = '{"data":[' . join(',', ('{"url":"BASE/x","other":"https://elsewhere.example/x"}') x 2000) . ']}';

sub serve {
    my ($socket) = @_;
    while (my $head = read_request($socket)) {
        my ($target, $word) = $head =~ m{^\w+ (\S*?/(\w*)) } or return;
        my $port = $socket->sockport;
        my $base = "http://localhost:$port/v1";
        my $body = $word eq 'long' ? $long : $bodies{$word} // qq({"target":"$target"});
        my $field = $word eq 'path' ? 'Location: /v1/files/1' : ($fields{$word} || [])->[0] // $others{$word} // 'X-A: b';
        my $type = $word eq 'text' ? 'text/plain' : 'application/json';
        s/BASE/$base/g, s/PORT/$port/g for $body, $field;
        syswrite $socket, "HTTP/1.1 200 OK\r\nContent-Type: $type\r\n$field\r\nContent-Length: " . length($body) . "\r\n\r\n";
        while (length $body) {
            syswrite $socket, substr $body, 0, 1000, '';
        }
    }
    return;
}
my $port = serve_raw(\&serve);
my $upstream = "http://localhost:$port/v1";
my %pools = map { $_ => {upstreams => [$upstream], keys => ["sk-ok-$_-aaaaaaaaaaaaaaaa"]} } qw(plain rewrites reverse broken documented);
$pools{rewrites}{location} = 'APIPoolRewriteURLs On';
$pools{reverse}{location} = "ProxyPassReverse http://localhost:$port/v10";
$pools{broken}{location} = "AuthType Digest\n    AuthName x\n    Require valid-user";
$pools{documented}{location} = 'ErrorDocument 405 "ours"';
my $httpd = pool_server(\%pools, config => "LimitRequestFieldSize 4000\n");

sub get {
    my ($path) = @_;
    return request(GET => $path, base => $httpd->{base});
}

subtest 'header fields' => sub {
    for my $name (sort keys %fields) {
        my ($field, $rest) = @{$fields{$name}};
        my ($key) = $field =~ /^(.*?):/;
        is get("/plain/$name")->{headers}{lc $key}, "$httpd->{base}/plain$rest", $name;
    }
    is get('/plain/path')->{headers}{location}, '/plain/files/1', 'a path at the host';
    for my $name (sort keys %others) {
        my ($value) = $others{$name} =~ /: (.*)/;
        is get("/plain/$name")->{headers}{location}, $value =~ s/PORT/$port/r, "$name stays";
    }
    is get('/reverse/beside')->{headers}{location}, "$httpd->{base}/reverse/files/1", 'ProxyPassReverse comes first';
};

subtest 'JSON' => sub {
    like get('/plain/batch')->{content}, qr/"results_url":"\Q$upstream\E\/batches/, 'stays by default';
    my $base = "$httpd->{base}/rewrites";
    is get('/rewrites/batch')->{content},
        qq({"id":"b","results_url":"$base/batches/b/results","text":"see $upstream/batches"}), 'an address is rewritten';
    is get('/rewrites/escaped')->{content}, qq({"results_url":"$base/batches"}), '... with escapes as well';
    is get('/rewrites/long')->{content}, $long =~ s/BASE/$base/gr, '... wherever it is cut';
    my $head = request(HEAD => '/rewrites/batch', base => $httpd->{base});
    is $head->{status}, 200, 'HEAD is answered';
};

subtest 'slashes' => sub {
    for my $path ('/a//b', '//a', '/a//', '/x/https://host//y', '/a%2F%2Fb//c', '/a//b/..//c') {
        my $expected = $path eq '/a//b/..//c' ? '/a///c' : $path;
        my $said = json(get("/plain$path/end")->{content}) || {};
        my $got = ($said->{target} // '') =~ s{/end$}{}r;
        is $got, "/v1$expected", $path;
    }
    my $said = json(get('/plain/a//b/../c/end')->{content}) || {};
    is $said->{target}, '/v1/a//c/end', 'dots as httpd reads them';
    $said = json(get('/plain/a//../c/end')->{content}) || {};
    is $said->{target}, '/v1/c/end', '... where slashes would make a difference';
};

subtest 'errors of httpd itself' => sub {
    my $long_field = 'y' x 5000;
    my %cases = (
        400 => ["GET /plain/x%zz HTTP/1.1\r\nHost: x\r\n", "GET /plain/x HTTP/1.1\r\nHost: x\r\nX-Long: $long_field\r\n",
            "POST /plain/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n",
            "GET /plain/x HTTP/1.1\r\nHost: x\r\nBad Field: 1\r\n", "GET /plain/x HTTP/1.1\r\n"],
        405 => ["TRACE /plain/x HTTP/1.1\r\nHost: x\r\n"],
        414 => ['GET /plain/' . 'x' x 9000 . " HTTP/1.1\r\nHost: x\r\n"],
        417 => ["POST /plain/x HTTP/1.1\r\nHost: x\r\nExpect: 200-maybe\r\nContent-Length: 2\r\n"],
        500 => ["GET /broken/x HTTP/1.1\r\nHost: x\r\n"],
    );
    for my $status (sort keys %cases) {
        for my $request (@{$cases{$status}}) {
            my $raw = send_raw("${request}Connection: close\r\n\r\n{}", port => $httpd->{port});
            my ($head, $body) = split /\r\n\r\n/, $raw, 2;
            my ($first) = $request =~ /^(.{0,40})/;
            like $head, qr{\AHTTP/1\.1 $status }, "$first: $status";
            like $head, qr{^Content-Type: application/json\r?$}m, '... JSON';
            my $error = (json($body) || {})->{error};
            is $error->{type}, $status >= 500 ? 'server_error' : 'invalid_request_error', '... of the usual form';
            ok $error->{message} && $error->{code}, '... with a reason' or diag $raw;
        }
    }
    my $raw = send_raw('GET /elsewhere/' . 'x' x 9000 . " HTTP/1.1\r\nHost: x\r\n\r\n", port => $httpd->{port});
    like send_raw("TRACE /documented/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", port => $httpd->{port}),
        qr/\r\n\r\nours\z/, 'an ErrorDocument stays';
    like $raw, qr/<html>/, 'elsewhere it is httpd\'s page';
};

is $httpd->faults, '', 'nothing went wrong inside';

done_testing;
