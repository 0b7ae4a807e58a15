# SPDX-License-Identifier: Apache-2.0
# What goes to the upstream and what comes back, when nothing is wrong.
use strict;
use warnings;

use APIPoolTest qw(request upstream_mark upstream_since send_raw json mock_port);
use Apache::Test ();
use Digest::SHA qw(sha1_hex);
use Test::More;
use Time::HiRes qw(time);

my $KEY = 'sk-ok-first-key-of-the-pool';

sub exchange {
    my (@args) = @_;
    my $mark = upstream_mark();
    my $answer = request(@args);
    my @seen = upstream_since($mark);
    return ($answer, @seen);
}

subtest 'a chat completion goes through, with the credential swapped' => sub {
    my $body = '{"model":"m",  "messages":[{"role":"user","content":"h\u00e4"}], "n":1.0}';
    my ($answer, @seen) = exchange(
        POST => '/ok/v1/chat/completions',
        content => $body,
        headers => {
            'authorization' => 'Bearer client-credential',
            'x-api-key' => 'client-credential',
            'api-key' => 'client-credential',
            'x-goog-api-key' => 'client-credential',
            'cookie' => 'client-credential=1',
            'openai-organization' => 'org-client',
            'openai-project' => 'proj-client',
            'x-forwarded-for' => '203.0.113.7',
            'x-forwarded-user' => 'alice',
            'x-forwarded-proto' => 'https',
            'forwarded' => 'for=203.0.113.7',
            'proxy-authorization' => 'Basic client-credential',
            'accept-encoding' => 'gzip, br',
            'connection' => 'authorization',
            'x-kept' => 'yes',
            'content-type' => 'application/json',
        }
    );
    is $answer->{status}, 200, 'answered';
    is json($answer->{content})->{choices}[0]{message}{role}, 'assistant', 'a chat completion';
    is scalar @seen, 1, 'one attempt';
    my $seen = $seen[0];
    is $seen->{uri}, '/api/v9/chat/completions', 'the mount is replaced by the base path';
    is $seen->{body}, $body, 'the body arrives byte for byte';
    is $seen->{headers}{'content-length'}, length $body, 'with its exact length';
    is $seen->{headers}{authorization}, "Bearer $KEY", "with the pool's key";
    is $seen->{headers}{'x-kept'}, 'yes', 'other fields are kept';
    is $seen->{headers}{host}, '127.0.0.1:' . mock_port(), 'for the host of the upstream';
    is $seen->{headers}{$_}, undef, "$_ stays here"
        for qw(x-api-key api-key x-goog-api-key cookie openai-organization openai-project
        x-forwarded-for x-forwarded-host x-forwarded-server x-forwarded-user x-forwarded-proto forwarded
        proxy-authorization);
    is $seen->{headers}{'accept-encoding'}, 'identity', 'answers are to be plain';
    unlike join(' ', values %{$seen->{headers}}), qr/client-credential/, 'no credential of the client';
    is $answer->{headers}{'x-apipool-attempts'}, 1, 'APIPoolExpose tells the attempts';
    like $answer->{headers}{'x-apipool-key'}, qr/^[0-9a-f]{16}$/, '... and the id of the key';
};

subtest 'every path below the mount is forwarded, with any method and its query' => sub {
    my @cases = (
        [GET => '/models', '/models'],
        [GET => '/models/org%2Fname', '/models/org%2Fname'],
        [GET => '/models/a%20b%25', '/models/a%20b%25'],
        [GET => '/user/info', '/user/info'],
        [POST => '/completions', '/completions'],
        [POST => '/responses', '/responses'],
        [POST => '/embeddings', '/embeddings'],
        [POST => '/images/generations', '/images/generations'],
        [POST => '/audio/speech', '/audio/speech'],
        [POST => '/moderations', '/moderations'],
        [POST => '/rerank', '/rerank'],
        [DELETE => '/files/file-1', '/files/file-1'],
        [PUT => '/something/new', '/something/new'],
        [PATCH => '/something/new', '/something/new'],
        [OPTIONS => '/something/new', '/something/new'],
        [GET => '/a/b?x=1&y=%2F%3f&z', '/a/b?x=1&y=%2F%3f&z'],
        [GET => '/a/./b/../c', '/a/c'],
        [GET => '/a/%2e%2e/c', '/c'],
        [GET => '/files/x.en.gz', '/files/x.en.gz'],
        [GET => '/a%3Ab/%C3%A4', '/a%3Ab/%C3%A4'],
        [GET => '', ''],
        [GET => '/', '/'],
    );
    for my $case (@cases) {
        my ($method, $path, $expected) = @$case;
        my ($answer, @seen) = exchange($method => "/ok/v1$path",
            $method =~ /POST|PUT|PATCH/ ? (content => '{"model":"m","input":"x"}') : ());
        is $answer->{status}, 200, "$method $path is answered";
        is $seen[0]{method}, $method, '... with its method';
        is $seen[0]{unparsed_uri}, "/api/v9$expected", "... as $expected";
    }
};

subtest 'nothing climbs out of the mount' => sub {
    my $mark = upstream_mark();
    for my $path ('/ok/v1/../../api', '/ok/v1/%2e%2e/x', '/ok/v1/..%2f..%2fx') {
        send_raw("GET $path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    }
    my @outside = grep { $_->{unparsed_uri} !~ m{^/api/v9/} } upstream_since($mark);
    is scalar @outside, 0, 'every request stays below the base path';
    my @dots = grep { $_->{unparsed_uri} =~ m{/\.\./|/\.\.$|%2e%2e/}i } upstream_since($mark);
    is scalar @dots, 0, 'no dot segment is sent';
    for my $path ('/ok/v1/..%2f..%2fx', '/ok/v1/a%2F..%5cx', '/ok/v1/%2e.%2f', '/ok/v1/a%5c%2E%2e',
        '/ok/v1/..;/..;/x', '/ok/v1/a/..;p=q/x', '/ok/v1/a/%2e%2e%3b/x', '/ok/v1/.;/denied/x', '/ok/v1/a%2f.;') {
        like send_raw("GET $path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
            qr{\AHTTP/1.1 400 }, "$path is refused";
    }
};

subtest 'path parameters are no way around a section' => sub {
    my $mark = upstream_mark();
    for my $path ('/ok/v1/denied;p/x', '/ok/v1/denied;/x', '/ok/v1/denied%3bp=q/x', '/ok/v1/;p/denied/x') {
        like send_raw("GET $path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), qr{\AHTTP/1.1 403 }, "$path is denied";
    }
    for my $path ('/ok/v1;p/x', '/ok;p/v1/x') {
        unlike send_raw("GET $path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), qr{\AHTTP/1.1 200 }, "$path is not the pool's";
    }
    is scalar upstream_since($mark), 0, 'none of them is sent';
    my ($answer, @seen) = exchange(GET => '/ok/v1/a;p=1/b;c;d?e;f');
    is $seen[0]{unparsed_uri}, '/api/v9/a;p=1/b;c;d?e;f', 'where nothing is denied they go as they came';
};

subtest 'aliases' => sub {
    my %paths = (
        chat => '/chat/completions',
        embeddings => '/embeddings',
        images => '/images/generations',
        models => '/models',
        userInfo => '/user/info',
        rerank => '/rerank',
        audio => '/audio/transcriptions',
        tiny => '/tiny/path',
    );
    for my $alias (sort keys %paths) {
        my ($answer, @seen) = exchange(POST => "/ok/v1/$alias?a=b", content => '{"input":"x"}');
        is $seen[0]{unparsed_uri}, "/api/v9$paths{$alias}?a=b", "$alias";
    }
    my ($answer, @seen) = exchange(GET => '/ok/v1/chat/x');
    is $seen[0]{uri}, '/api/v9/chat/x', 'an alias is the whole path or none';
    ($answer, @seen) = exchange(GET => '/ok/v1/CHAT');
    is $seen[0]{uri}, '/api/v9/CHAT', '... and spelled as it is';
};

subtest 'request bodies of every size and framing' => sub {
    for my $size (0, 1, 15_999, 16_384, 200_000, 1_048_576, 1_048_577, 6_000_000) {
        my $body = join '', map { chr(32 + $_ * 7 % 90) } 1 .. 1000;
        $body = substr $body x ($size / 1000 + 1), 0, $size;
        my ($answer, @seen) = exchange(POST => '/ok/v1/files', content => $body);
        is $seen[0]{body_sha1}, sha1_hex($body), "$size bytes arrive";
        is $seen[0]{headers}{'content-length'}, $size, '... with their length';
        my @pieces = $size ? $body =~ /.{1,60000}/gs : ();
        ($answer, @seen) = exchange(POST => '/ok/v1/files', content => sub { shift @pieces });
        is $seen[0]{body_sha1}, sha1_hex($body), "$size bytes arrive that came in chunks";
        is $seen[0]{headers}{'content-length'}, $size, '... with their length'
            if $size;
    }
    my $mark = upstream_mark();
    my $chunks = join '', map { sprintf "1\r\n%s\r\n", chr(97 + $_ % 26) } 0 .. 9999;
    my $answer = send_raw("POST /ok/v1/files HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            . "Transfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n");
    my ($seen) = upstream_since($mark);
    is $seen->{body_bytes}, 10_000, 'ten thousand chunks of a byte';
};

subtest 'multipart uploads' => sub {
    my $body = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n"
        . join('', map { chr } 0 .. 255) x 40 . "\r\n--B--\r\n";
    my ($answer, @seen) = exchange(
        POST => '/ok/v1/audio/transcriptions',
        content => $body,
        headers => {'content-type' => 'multipart/form-data; boundary=B'}
    );
    is $answer->{status}, 200, 'answered';
    is $seen[0]{body_sha1}, sha1_hex($body), 'byte for byte';
    is $seen[0]{headers}{'content-type'}, 'multipart/form-data; boundary=B', 'with its boundary';
};

subtest 'Expect: 100-continue' => sub {
    my $mark = upstream_mark();
    my $answer = send_raw("POST /ok/v1/chat HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            . "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}");
    like $answer, qr{\AHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n}, 'asked for, then answered';
    my ($seen) = upstream_since($mark);
    is $seen->{headers}{expect}, undef, 'the upstream is not asked to expect anything';
};

subtest 'answers pass byte for byte' => sub {
    my $mock = 'http://127.0.0.1:' . mock_port();
    for my $path ('/chat/completions', '/chat/completions?size=5000', '/audio/speech') {
        my @args = (content => '{"model":"m"}', headers => {authorization => "Bearer $KEY", 'x-mock' => 'sums'});
        my $direct = request(POST => "/api/v9$path", base => $mock, @args);
        my $pooled = request(POST => "/ok/v1$path", @args);
        is $pooled->{content}, $direct->{content}, "$path";
        is $pooled->{headers}{$_}, $direct->{headers}{$_}, "... and its $_"
            for qw(content-type content-length x-body-sha1);
    }
    my $head = request(HEAD => '/ok/v1/models');
    is $head->{status}, 200, 'HEAD is answered';
};

subtest 'what an upstream says of itself stays here' => sub {
    my ($answer) = exchange(GET => '/ok/v1/models', headers => {'x-mock' => 'cookie hdr'});
    is $answer->{headers}{'x-upstream-test'}, 1, 'its fields pass';
    is $answer->{headers}{$_}, undef, "... but not $_" for qw(set-cookie openai-organization x-hop);
};

subtest 'event streams pass event by event, byte for byte' => sub {
    my $mock = 'http://127.0.0.1:' . mock_port();
    for my $body ('{"model":"m","stream":true}',
        '{"model":"m","stream":true,"stream_options":{"include_usage":true}}')
    {
        my %args = (content => $body, headers => {authorization => "Bearer $KEY"});
        my $direct = request(POST => '/api/v9/chat/completions?events=20', base => $mock, %args);
        my $pooled = request(POST => '/ok/v1/chat/completions?events=20', %args);
        is $pooled->{content}, $direct->{content}, 'the same bytes';
        like $pooled->{content}, qr/data: \[DONE\]\n\n\z/, '... to the end';
        like $pooled->{headers}{'content-type'}, qr{^text/event-stream}, '... as events';
    }
};

subtest 'an event does not wait for the next' => sub {
    my ($start, $first, $text) = (time, undef, '');
    request(
        POST => '/ok/v1/chat/completions?events=20',
        content => '{"model":"m","stream":true}',
        headers => {'x-mock' => 'stall delay2'},
        data_callback => sub { $first //= time - $start; $text .= $_[0] }
    );
    my $took = time - $start;
    like $text, qr/data: \[DONE\]\n\n\z/, 'a stream that stands still for two seconds';
    cmp_ok $took, '>=', 2, '... takes as long';
    cmp_ok $first, '<', $took - 1.5, '... and has passed its first half long before';
};

subtest 'TRACE is refused: its answer would show the key' => sub {
    my $mark = upstream_mark();
    my $answer = send_raw("TRACE /ok/v1/chat HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    like $answer, qr{\AHTTP/1.1 405 .*^Allow: [^\r]*POST}ms, '405, with what is allowed';
    is scalar(upstream_since($mark)), 0, 'nothing was sent';
};

subtest 'what surrounds a pool' => sub {
    my ($answer, @seen) = exchange(GET => '/ok/v1/files/x.en.gz');
    is $answer->{headers}{'content-encoding'}, undef, 'mod_mime guesses nothing from the path';
    is $answer->{headers}{'content-language'}, undef, '... no language either';
    ($answer, @seen) = exchange(GET => '/ok/v1/status');
    is scalar @seen, 0, 'a handler set below the location stays here';
    like $answer->{content}, qr/Apache Server Status/, '... and answers';
    for my $path ('/ok/v1/denied/x', '/ok/v1/de%6Eied/x', '/ok/v1/denied%3A/../denied/x') {
        ($answer, @seen) = exchange(GET => $path);
        is $answer->{status}, 403, "$path: rules of sections below it hold";
        is scalar @seen, 0, '... and nothing is sent';
    }
    ($answer, @seen) = exchange(GET => '/ok/bare?a=b');
    is $seen[0]{unparsed_uri}, '/?a=b', 'an upstream without a path gets one';
};

subtest 'a location says off, and a path outside has no pool' => sub {
    my $mark = upstream_mark();
    request(GET => $_) for '/ok/v1/off/x', '/ok/v12';
    my @seen = map { $_->{uri} } upstream_since($mark);
    is_deeply \@seen, ['/not-the-pool/off/x'], 'httpd serves them as it is told, by another proxy say';
};

done_testing;
