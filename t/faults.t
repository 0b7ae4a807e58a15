# SPDX-License-Identifier: Apache-2.0
# Upstreams that break HTTP: closed connections, garbage, endless heads, streams that end early.
use strict;
use warnings;

use APIPoolTest qw(pool_server read_request chat send_raw serve_raw json mock_port closed_port error_code wait_for slurp);
use Apache::Test ();
use File::Temp qw(tempfile);
use IO::Handle ();
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Test::More;
use Time::HiRes qw(sleep time);

my $OK = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"ok\":true}";
my $SSE = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

sub chunk {
    my ($text) = @_;
    return sprintf "%x\r\n%s\r\n", length $text, $text;
}

sub say_to {
    my ($socket, $text) = @_;
    syswrite $socket, $text;
    return;
}

# What some upstreams have been asked, a line for each request.
my ($asked, $asked_file) = tempfile(UNLINK => 1);
$asked->autoflush;

sub times_asked {
    my ($name) = @_;
    return scalar grep { $_ eq $name } split /\n/, slurp($asked_file);
}

# What each upstream does with a connection.
my %upstreams = (
    silent => sub { read_request($_[0]) },
    reuse => sub {    # answers once, then closes the kept-alive connection on the next request
        read_request($_[0]) && say_to($_[0], $OK) && 0;
        my $second = read_request($_[0]);
        return;
    },
    midbody => sub {
        read_request($_[0]);
        say_to($_[0], "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"choices\":[{\"text\":\"half");
    },
    garbage => sub { read_request($_[0]); say_to($_[0], "\x16\x03\x01 what is this\r\n\r\n<html>") },
    badstatus => sub { read_request($_[0]); say_to($_[0], "HTTP/1.1 abc OK\r\n\r\n") },
    endless => sub {
        read_request($_[0]);
        say_to($_[0], "HTTP/1.1 200 OK\r\n");
        for (1 .. 1_000_000) {
            last if !syswrite $_[0], "X-Endless-$_: " . 'x' x 1000 . "\r\n";
        }
    },
    longline => sub {
        read_request($_[0]);
        say_to($_[0], "HTTP/1.1 200 OK\r\nX-Long: ");
        for (1 .. 100_000) {
            last if !syswrite $_[0], 'x' x 1000;
        }
    },
    never => sub { read_request($_[0]); sleep 20 },
    stall429 => sub {
        read_request($_[0]);
        say_to($_[0], "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 100\r\n\r\n{\"e");
        sleep 20;
    },
    deaf => sub { sleep 20 },    # accepts, and reads nothing
    broken400 => sub {
        read_request($_[0]);
        say_to($_[0], "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"
                . "Content-Length: 100\r\n\r\n{\"error\":");
    },
    big429 => sub {
        read_request($_[0]);
        say_to($_[0], "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nContent-Length: 90000\r\n\r\n"
                . 'x' x 90_000);
    },
    switch => sub {
        read_request($_[0]);
        say_to($_[0], "HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: Upgrade\r\n\r\n");
    },
    slowhead => sub {    # answers a GET just before the deadline, and reads an upload late
        read_request($_[0]);
        sleep 0.8;
        say_to($_[0], $OK);
        sleep 0.6;
        read_request($_[0]);
        say_to($_[0], $OK);
    },
    reason => sub {
        my $head = read_request($_[0]);
        my ($key) = $head =~ /^Authorization: Bearer (\S+)/mi;
        say_to($_[0], "HTTP/1.1 404 No $key\r\nX-Echo: $key\r\nContent-Length: 2\r\n\r\n{}");
    },
    echo200 => sub {
        my $head = read_request($_[0]);
        my ($key) = $head =~ /^Authorization: Bearer (\S+)/mi;
        say_to($_[0], "HTTP/1.1 200 OK\r\nX-Echo: $key\r\nContent-Length: 2\r\n\r\n{}");
    },
    drip => sub {    # an error answer that never ends
        read_request($_[0]);
        say_to($_[0], "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 1000\r\n\r\n");
        for (1 .. 100) {
            last if !syswrite $_[0], ' ';
            sleep 0.2;
        }
    },
    ssecut => sub {
        read_request($_[0]);
        say_to($_[0], $SSE . chunk("data: {\"n\":1}\n\n") . chunk("data: {\"n\":2}\n\n"));
        sleep 0.2;
    },
    sseline => sub {
        read_request($_[0]);
        say_to($_[0], $SSE . chunk("data: {\"n\":1}\n\n") . chunk("data: {\"n\":"));
        sleep 0.2;
    },
    badchunk => sub {
        read_request($_[0]);
        say_to($_[0], $SSE . chunk("data: {\"n\":1}\n\n"));
        sleep 0.2;
        say_to($_[0], "zz\r\nnot a chunk\r\n");
        sleep 0.2;
    },
    ssehead => sub {    # ends before its first event
        read_request($_[0]);
        say_to($_[0], $SSE . chunk(": keep-alive\n\n"));
        sleep 0.2;
    },
    ssenoend => sub {    # an event without end, larger than what is held
        read_request($_[0]);
        say_to($_[0], $SSE . chunk('data: {"error":{"message":"') . chunk('x' x 1000) x 100 . "0\r\n\r\n");
    },
    sseopen => sub {    # the line ends, the event does not
        read_request($_[0]);
        say_to($_[0], $SSE . chunk(qq(data: {"error":{"code":429}}\n)) . "0\r\n\r\n");
    },
    earlyclose => sub {    # closes while the body is still being sent
        my $text = '';
        sysread $_[0], $text, 100;
    },
    setcookie => sub {
        read_request($_[0]);
        say_to($_[0], "HTTP/1.1 200 OK\r\nSet-Cookie: a=1;\r\n and=folded\r\nset-cookie: b="
                . 'x' x 20_000 . "\r\nX-Kept: 1\r\nOpenAI-Organization: org\r\nContent-Length: 2\r\n\r\n{}");
    },
    (map { my $fields = $_; ("nobody$_" =~ s/\W.*//rs => sub {    # a head, and the end right behind it
        read_request($_[0]);
        my $head = "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n" . ($fields =~ s/\A\d+ ?//r) . "\r\n";
        send $_[0], $head, 0x8000;    # MSG_MORE: not before the end
        shutdown $_[0], 1;
        sleep 0.5;
    }) } '1', "2 Transfer-Encoding: chunked\r\n", "3 Content-Length: 20\r\n"),
    fields => sub {
        read_request($_[0]);
        say_to($_[0], "HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\nHTTP/1.1 200 OK\r\nX-Hop: 1\r\n"
                . "Connection: close, x-hop\r\nDate: Sunday, 06-Nov-94 08:49:37 GMT\r\nServer:  some/1 \t\r\n"
                . "X-Twice: a\r\ncf-Ray: r\r\nX-Empty:\r\nX-Folded: a,\r\n b\r\nX-Twice: b\r\nX-Long: " . 'x' x 3000
                . "\r\nOpenAI-Version: 1\nopenai-organization: o\r\nContent-Length: 2\r\nX-Last: l\r\n\r\n{}");
    },
    bytes => sub {    # head and body of two answers, each byte by itself
        setsockopt $_[0], IPPROTO_TCP, TCP_NODELAY, 1;
        for (1 .. 2) {
            read_request($_[0]);
            for my $byte (split //, "HTTP/1.1 200 OK\r\nSet-Cookie: a=1;\r\n and=folded\nX-Kept: 1,\r\n 2\r\n"
                . "OpenAI-Organization: org\r\nTransfer-Encoding: chunked\r\n\r\n" . chunk('{"ok":') . chunk('1}')
                . "0\r\n\r\n") {
                say_to($_[0], $byte);
                sleep 0.001;
            }
        }
    },
    halfline => sub {    # says something, but no line of it ends
        read_request($_[0]) && say_to($_[0], $OK);
        read_request($_[0]);
        say_to($_[0], 'HTTP/1.1 20');
    },
    hinted => sub {    # has begun to work on the second request
        read_request($_[0]) && say_to($_[0], $OK);
        read_request($_[0]) or return;
        print {$asked} "hinted\n";
        say_to($_[0], "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    },
    once => sub {    # answers one request, and no other
        read_request($_[0]) or return;
        print {$asked} "once\n";
        return if times_asked('once') > 1;
        say_to($_[0], $OK);
        read_request($_[0]) and print {$asked} "once\n";
    },
    unasked => sub {    # tells an idle connection goodbye, as some balancers do, and leaves it open
        read_request($_[0]) && say_to($_[0], $OK);
        say_to($_[0], "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
        read_request($_[0]);
    },
    interim => sub {
        read_request($_[0]);
        say_to($_[0], "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n$OK");
    },
);

my %pools = (
    two => {
        upstreams => ['http://127.0.0.1:' . closed_port() . ' name=dead', 'http://127.0.0.1:' . mock_port() . ' name=live'],
        keys => {
            dead => [map {"sk-dead-$_-aaaaaaaaaaaa"} 1 .. 6],
            live => [map {"sk-ok-live-$_-aaaaaaaaa"} 1 .. 2]
        }
    },
    refused => {upstreams => ['http://127.0.0.1:' . closed_port()], keys => ['sk-refused-aaaaaaaaaaaa'],
        lines => 'APIPoolStrategy round-robin'},
    noname => {upstreams => ['http://nosuchhost.invalid'], keys => ['sk-noname-aaaaaaaaaaaa'],
        lines => 'APIPoolStrategy round-robin'},
);
for my $name (keys %upstreams) {
    $pools{$name} = {
        upstreams => ['http://127.0.0.1:' . serve_raw($upstreams{$name})],
        keys => ["sk-$name-aaaaaaaaaaaaaa", "sk-$name-bbbbbbbbbbbbbb"],
        lines => 'APIPoolStrategy round-robin'
            . ($name =~ /never|drip|stall429|deaf|slowhead/ ? "\n    APIPoolDeadline 1" : '')
    };
}
my $httpd = pool_server(\%pools);

# The rules of a pool's attempts so far, once they are as expected: the log follows the answer.
sub rules_are {
    my ($pool, $expected, $name) = @_;
    my $rules = sub { join ' ', $httpd->log =~ /pool \Q$pool\E, attempt \d+, .*?: (R\d\d)/g };
    my $pattern = ref $expected ? $expected : qr/\A\Q$expected\E\z/;
    wait_for(sub { $rules->() =~ $pattern });
    like $rules->(), $pattern, $name;
    return;
}

subtest 'closed before the status line, on a fresh connection' => sub {
    my $answer = chat($httpd, 'silent');
    is $answer->{status}, 502, 'a POST is not sent twice';
    is error_code($answer), 'upstream_unreachable', 'upstream_unreachable';
    rules_are('silent', 'R04', 'R04');
    chat($httpd, 'silent', method => 'GET');
    rules_are('silent', 'R04 R04 R04', 'a GET is');
};

subtest 'closed before the status line, on a reused connection' => sub {
    my $raw = "POST /reuse/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
    my $answer = send_raw("$raw$raw$raw" . $raw =~ s/Host: x/Host: x\r\nConnection: close/r,
        port => $httpd->{port});
    is scalar(() = $answer =~ m{HTTP/1.1 200 OK}g), 4,
        'the client, on one connection of its own, sees only answers';
    rules_are('reuse', 'R00 R00 R00 R00', 'the request is sent again, which is nobody\'s fault');
    unlike $answer, qr/ 50\d /, 'no error passes';
};

subtest 'closed in the middle of the body' => sub {
    my $answer = send_raw(
        "POST /midbody/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
        port => $httpd->{port}
    );
    like $answer, qr/Content-Length: 100\r\n.*\r\n\r\n\{"choices":\[\{"text":"half\z/s, 'the client sees a short read';
    rules_are('midbody', 'R02', 'R02: no further attempt');
};

subtest 'what is no HTTP' => sub {
    for my $name (qw(garbage badstatus endless longline)) {
        my $answer = chat($httpd, $name);
        is $answer->{status}, 502, "$name: 502";
        is error_code($answer), 'upstream_unreachable', '... upstream_unreachable';
        rules_are($name, 'R04', '... R04');
        cmp_ok $answer->{seconds}, '<', 15, '... soon';
    }
};

subtest 'no answer in time' => sub {
    my $answer = chat($httpd, 'never');
    is $answer->{status}, 504, 'ends at the deadline';
    rules_are('never', 'R04', 'R04');
    cmp_ok $answer->{seconds}, '<', 5, 'at the deadline';
};

subtest 'the deadline holds wherever an attempt waits' => sub {
    my $answer = chat($httpd, 'stall429');
    rules_are('stall429', 'R07', 'an error answer that stalls means what its status says');
    cmp_ok $answer->{seconds}, '<', 5, '... and ends at the deadline';
    $answer = chat($httpd, 'deaf', content => 'x' x 20_000_000);
    is $answer->{status}, 504, 'an upstream that does not read the request: 504';
    cmp_ok $answer->{seconds}, '<', 5, '... at the deadline';
    my $raw = "GET /slowhead/x HTTP/1.1\r\nHost: x\r\n\r\n"
        . "POST /slowhead/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 8000000\r\n\r\n";
    my $both = send_raw($raw . 'x' x 8_000_000, port => $httpd->{port});
    is scalar(() = $both =~ m{HTTP/1.1 200 OK}g), 2, 'what is left of one deadline does not bind the next request';
};

subtest 'error answers that cannot be kept' => sub {
    my $cut = send_raw("POST /broken400/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", port => $httpd->{port});
    like $cut, qr{\AHTTP/1.1 400 .*Content-Length: 100\r\n.*\r\n\r\n\{"error":\z}s, 'a broken one is passed as far as it came';
    my $answer = chat($httpd, 'big429');
    is $answer->{status}, 429, 'a large one, when no key is left';
    is error_code($answer), 'rate_limit_exceeded', '... is told in our words';
    is $answer->{headers}{'retry-after'}, 5, "... with the upstream's time";
};

subtest 'a protocol that nobody asked for' => sub {
    my $answer = chat($httpd, 'switch');
    is error_code($answer), 'upstream_unreachable', 'is no answer';
    rules_are('switch', 'R04', '... by R04');
};

subtest 'a key in the head of an answer' => sub {
    for my $name (qw(reason echo200)) {
        my $text = send_raw("POST /$name/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
            port => $httpd->{port});
        unlike $text, qr/sk-$name-[ab]{14}/, "$name: is masked";
        like $text, qr/^X-Echo: sk-\S\*+\S{4}\r$/m, '... at its length';
    }
};

subtest 'an error answer that never ends' => sub {
    my $answer = chat($httpd, 'drip');
    rules_are('drip', 'R07', 'means what its status says');
    cmp_ok $answer->{seconds}, '<', 5, 'at the deadline';
};

subtest 'nothing listens, nothing resolves' => sub {
    my $answer = chat($httpd, 'refused');
    is $answer->{status}, 502, 'refused: 502';
    rules_are('refused', 'R03 R03', 'R03, retried: nothing had been sent');
    $answer = chat($httpd, 'noname');
    is $answer->{status}, 502, 'unknown name: 502';
    rules_are('noname', 'R03 R03', 'R03');
};

subtest 'one of two upstreams is down' => sub {
    my %seen;
    $seen{chat($httpd, 'two')->{status}}++ for 1 .. 10;
    is_deeply \%seen, {200 => 10}, 'a retry goes to the other one';
    rules_are('two', qr/R03 R00/, '... which was needed');
};

subtest 'closed while the request is being sent' => sub {
    my $answer = chat($httpd, 'earlyclose', content => 'x' x 8_000_000);
    is $answer->{status}, 502, 'is an error of ours';
    rules_are('earlyclose', 'R04', 'R04: some of it was sent');
};

subtest 'streams that end early' => sub {
    for my $name (qw(ssecut sseline badchunk)) {
        my $answer = chat($httpd, $name);
        is $answer->{status}, 200, "$name: the stream began";
        like $answer->{content}, qr/\Adata: \{"n":1\}\n\n/, '... with its first event';
        unlike $answer->{content}, qr/"n":$/m, '... no half line';
        like $answer->{content}, qr/\n\ndata: (\{"error":\{.*\}\})\n\n\z/, '... and ends with an error event';
        my ($event) = $answer->{content} =~ /\n\ndata: (\{"error".*)\n\n\z/;
        is((json($event) || {})->{error}{code}, 'upstream_truncated', '... upstream_truncated');
        unlike $answer->{content}, qr/\[DONE\]/, '... without [DONE]';
        rules_are($name, 'R02', '... R02');
    }
};

subtest 'streams whose first event never comes' => sub {
    my $answer = chat($httpd, 'ssehead');
    is $answer->{status}, 502, 'one that breaks before it is no answer';
    is error_code($answer), 'upstream_unreachable', '... and told as that';
    rules_are('ssehead', 'R04', '... by R04');
    $answer = chat($httpd, 'ssenoend');
    is $answer->{status}, 200, 'an event without end passes';
    like $answer->{content}, qr/\Adata: \{"error":\{"message":"x{50000,60000}x+\n\ndata: \{"error":.*upstream_truncated/, '... and is told to be cut';
    rules_are('ssenoend', 'R02', '... which it is');
    $answer = chat($httpd, 'sseopen');
    is $answer->{content}, qq(data: {"error":{"code":429}}\n), 'one that lacks nothing but its blank line passes in the end';
    rules_are('sseopen', 'R07 R07', '... and is what it says');
};

subtest "fields of the upstream's that never pass" => sub {
    my $answer = chat($httpd, 'setcookie');
    is $answer->{status}, 200, 'answered';
    is $answer->{headers}{'x-kept'}, 1, 'other fields pass';
    is $answer->{headers}{$_}, undef, "no $_" for qw(set-cookie openai-organization);
    unlike $httpd->log, qr/bogus HTTP header/, 'a dropped field is dropped whole';
};

subtest 'an answer that has a head and nothing else' => sub {
    for my $pool (qw(nobody1 nobody2 nobody3)) {
        my $answer = send_raw("POST /$pool/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
            port => $httpd->{port});
        like $answer, qr{\AHTTP/1.1 401 }, "$pool: it passes";
        rules_are($pool, 'R06 R06', "$pool: the keys are to blame, not the upstream");
    }
};

subtest "fields of the upstream's that pass" => sub {
    my $answer = send_raw("POST /fields/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        port => $httpd->{port});
    like $answer, qr{\AHTTP/1.1 200 OK\r\n.*\r\n\r\n\{\}\z}s, 'answered';
    for my $field ('Date: Sunday, 06-Nov-94 08:49:37 GMT', 'Server: some/1', 'cf-Ray: r', 'X-Empty: ', 'X-Folded: a, b',
        'X-Long: ' . 'x' x 3000, 'OpenAI-Version: 1', 'X-Last: l') {
        is scalar(() = $answer =~ /^\Q$field\E\r\n/mg), 1, 'once, as it was sent: ' . substr $field, 0, 40;
    }
    like $answer, qr/^X-Twice: a\r\n(.*\r\n)*X-Twice: b\r\n/m, 'fields of one name, in their order';
    unlike $answer, qr/^$_/mi, "not $_" for qw(X-Hop X-Early OpenAI-Organization);
    is scalar(() = $answer =~ /^(?:Date|Server):/mg), 2, 'one Date and one Server';
};

subtest 'an answer that comes in single bytes' => sub {
    for my $turn ('first', 'second') {
        my $answer = chat($httpd, 'bytes');
        is $answer->{status}, 200, "$turn: answered";
        is $answer->{content}, '{"ok":1}', "$turn: the body is whole";
        is $answer->{headers}{'x-kept'}, '1, 2', "$turn: a folded field is one";
        is $answer->{headers}{$_}, undef, "$turn: no $_" for qw(set-cookie openai-organization and);
    }
};

# The answers to two requests on one connection.
sub post_twice {
    my ($pool) = @_;
    my $raw = "POST /$pool/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
    return send_raw($raw . $raw =~ s/Host: x/Host: x\r\nConnection: close/r, port => $httpd->{port});
}

subtest 'closed within the status line, on a reused connection' => sub {
    like post_twice('halfline'), qr{\AHTTP/1.1 200 OK.*HTTP/1.1 502 }s, 'the upstream had begun to answer: nothing is sent twice';
    rules_are('halfline', 'R00 R04', 'R04');
};

subtest 'closed after an interim answer, on a reused connection' => sub {
    like post_twice('hinted'), qr{\AHTTP/1.1 200 OK.*HTTP/1.1 502 }s, 'the upstream had begun to work: nothing is sent twice';
    rules_are('hinted', 'R00 R04', 'R04');
    is times_asked('hinted'), 1, 'it was asked on one connection';
};

subtest 'closed at once, on every connection' => sub {
    like post_twice('once'), qr{\AHTTP/1.1 200 OK.*HTTP/1.1 502 }s, 'a POST is sent again once';
    rules_are('once', 'R00 R04', 'R04');
    is times_asked('once'), 3, '... and no more than that';
};

subtest 'said before it was asked' => sub {
    for (1 .. 2) {
        my $answer = chat($httpd, 'unasked');
        is $answer->{status}, 200, 'what came between two requests answers none';
        sleep 0.1;
    }
    rules_are('unasked', 'R00 R00', 'and tells nothing of a key');
};

subtest 'interim answers' => sub {
    my $answer = send_raw(
        "POST /interim/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        port => $httpd->{port}
    );
    like $answer, qr{\AHTTP/1.1 200 OK}, 'stay here';
};

subtest 'the server is well' => sub {
    unlike $httpd->log, qr/exit signal|core dump|AddressSanitizer/, 'no child died';
};

done_testing;
