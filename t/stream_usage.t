# SPDX-License-Identifier: Apache-2.0
# APIPoolStreamUsage: streams are asked for their usage; neither upstream nor client notices more than that.
use strict;
use warnings;

use APIPoolTest qw(pool_server request upstream_mark upstream_since mock_port metrics json error_code
    parallel wait_for);
use Apache::Test ();
use Digest::SHA qw(sha1_hex);
use JSON::PP ();
use Test::More;
use Time::HiRes qw(time);

my $mock = 'http://127.0.0.1:' . mock_port();
my $ADDED = '"stream_options":{"include_usage":true},';
my $TURN = 'APIPoolStrategy round-robin';

sub keys_of {
    my ($pool, @words) = @_;
    my $letter = 'a';
    return [map { sprintf 'sk-%s-%s-%s', $_, $pool, $letter++ x 12 } @words];
}

my %pools = (
    on => {keys => keys_of('on', 'ok')},
    quiet => {keys => keys_of('quiet', 'ok'), lines => 'APIPoolStreamUsage Off'},
    rotating => {keys => keys_of('rotating', 'ok', '401', '429', 'ok'), lines => $TURN},
    renamed => {
        keys => keys_of('renamed', 'ok'),
        upstreams => ["$mock/v1 model=mine:a-longer-name/of:it,l:s"]
    },
    refusing => {keys => keys_of('refusing', ('nostreamoptions') x 3), lines => $TURN},
    refusing422 => {keys => keys_of('refusing422', ('nostreamoptions422') x 3), lines => $TURN},
    asked => {keys => keys_of('asked', ('nostreamoptions') x 2), lines => $TURN},
    failing => {keys => keys_of('failing', 'ctx400')},
    mixed => {
        keys => {
            a => keys_of('mixed-a', ('nostreamoptions') x 2),
            b => keys_of('mixed-b', ('ok') x 2)
        },
        upstreams => ["$mock/v1 name=a", "$mock/v1 name=b priority=1"]
    },
);

# An upstream that refuses everything, in words of the option.
my $said = APIPoolTest::serve_raw(
    sub {
        my ($socket) = @_;
        APIPoolTest::read_request($socket) // return;
        my $body = '{"error":{"message":"no such tool: stream_options.include_usage"}}';
        print {$socket} "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: ",
            length $body, "\r\nConnection: close\r\n\r\n$body";
    }
);
$pools{said} = {
    keys => {said => keys_of('said', 'ok'), mock => keys_of('said-mock', 'ok')},
    upstreams => ["http://127.0.0.1:$said/v1 name=said model=mine:x", "$mock/v1 name=mock priority=1"]
};
# An upstream that answers what its path says if it is asked for usage, and a stream of a type that is none if not.
my $EVENT = qq(data: {"choices":[{"delta":{"content":"hi"}}]}\n\n);
my %answers = (
    (map { $_ => [$_, 'application/json', '{"error":{"message":"no"}}'] } 400, 401, 402, 403, 404, 408, 413, 429, 500, 502, 503, 529),
    json => [200, 'application/json', '{"error":{"message":"bad request","type":"invalid_request_error"}}'],
    event => [200, 'text/event-stream', qq(data: {"error":{"message":"bad request","code":400}}\n\n)],
    timings => [
        200, 'text/plain',
        "${EVENT}data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7},"
            . "\"timings\":{\"n\":1}}\n\ndata: [DONE]\n\n"
    ],
    untyped => [
        200, undef,
        "${EVENT}data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7}}\n\ndata: [DONE]\n\n"
    ],
    plain => [
        200, 'application/json',
        "${EVENT}data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7}}\n\ndata: [DONE]\n\n"
    ],
);
my $odd = APIPoolTest::serve_raw(
    sub {
        my ($socket) = @_;
        my ($head, $body) = APIPoolTest::read_request($socket) or return;
        my ($name) = $head =~ m{^POST /(\w+)/};
        my ($status, $type, $text) =
            $body =~ /include_usage/ ? @{$answers{$name}} : (200, undef, "${EVENT}data: [DONE]\n\n");
        print {$socket} "HTTP/1.1 $status x\r\n", defined $type ? "Content-Type: $type\r\n" : '', 'Content-Length: ',
            length $text, "\r\nX-Mark: ", ($body =~ /include_usage/ ? 'asked' : 'not'),
            "\r\nConnection: close\r\n\r\n$text";
    }
);
$pools{"odd$_"} = {
    keys => {"odd$_" => keys_of("odd$_", 'ok')},
    upstreams => ["http://127.0.0.1:$odd/$_ name=odd$_"],
    lines => "APIPoolRetries 0\nAPIPoolRotations 0"
} for keys %answers;

$pools{own} = {keys => keys_of('own', 'nostreamoptions')};
my $httpd = pool_server(\%pools);

# post(POOL, PATH, BODY, WORDS): the answer, and what the upstream got.
sub post {
    my ($pool, $path, $body, $words, %headers) = @_;
    my $mark = upstream_mark();
    my $answer = request(
        POST => "/$pool$path",
        base => $httpd->{base},
        content => $body,
        headers => {'content-type' => 'application/json', 'x-mock' => $words // 'ok', %headers}
    );
    my @seen = upstream_since($mark);
    utf8::encode($_->{body}) for grep { defined $_->{body} } @seen;
    return ($answer, @seen);
}

# What the upstream sends by itself.
sub direct {
    my ($path, $body, $words) = @_;
    return request(
        POST => "/v1$path",
        base => $mock,
        content => $body,
        headers => {'x-mock' => $words // 'ok', 'authorization' => 'Bearer sk-ok-direct'}
    )->{content};
}

sub is_asked {
    my ($body) = @_;
    my $options = (json($body) || {})->{stream_options};
    return if ref $options ne 'HASH';
    return JSON::PP::is_bool($options->{include_usage}) && $options->{include_usage};
}

subtest 'the option is added' => sub {
    my @cases = (
        ['{"stream":true}', 'the smallest body'],
        ['{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}', 'in the middle'],
        ['{"model":"m","messages":[],"stream":true}', 'stream last'],
        [qq(\n { "stream" : true ,\r\n\t"b":1,"a" : [ 1 , 2 ] } \n), 'white space'],
        ['{"z":1.0,"a":1e3,"t":1E+2,"n":-0.0,"big":12345678901234567890,"stream":true}', 'numbers'],
        ['{"t":"\u00e4\ud83d\ude00\/\b","u":"' . "\xc3\xa4\xf0\x9f\x98\x80" . '","stream":true}', 'escapes'],
        ['{"s\u0074ream":true,"a":1}', 'a name with escapes'],
        ['{"stream":false,"stream":true}', 'a member twice, of which the last one counts'],
        ['{"a":{"stream_options":{"include_usage":false}},"stream":true}', 'the same name further inside'],
        ['{"a":"\"stream_options\":{\"include_usage\":true}","stream":true}', 'the same in a text'],
        ['{"stream_options_":null,"stream":true}', 'almost the same name'],
    );
    for my $case (@cases) {
        my ($body, $what) = @$case;
        for my $path ('/chat/completions', '/completions', '/chat') {
            my ($answer, @seen) = post('on', $path, $body);
            is $answer->{status}, 200, "$what, $path";
            is scalar @seen, 1, '... sent once';
            ok is_asked($seen[0]{body}), '... and asked for its usage' or diag $seen[0]{body};
            (my $without = $seen[0]{body}) =~ s/\Q$ADDED\E//;
            is $without, $body, '... with every other byte as it was';
            is $seen[0]{headers}{'content-length'}, length($body) + length $ADDED, '... and the right length';
        }
    }
    my ($answer, @seen) = post('on', '/chat/completions?a=b&stream=false', $cases[0][0]);
    ok is_asked($seen[0]{body}), 'a query makes no difference';
    ($answer, @seen) = post('on', '/chat', '{"stream":true}', 'ok', 'content-type' => 'text/plain');
    ok is_asked($seen[0]{body}), '... nor does the content type';
};

subtest 'options of the client stay' => sub {
    my @cases = (
        ['{"stream":true,"stream_options":null,"a":1}', 'null', qr/\{"include_usage":true\}/, 'null'],
        ['{"stream_options": null ,"stream":true}', 'null first', qr/\{"include_usage":true\}/, 'null'],
        ['{"stream":true,"stream_options":{},"a":1}', 'none'],
        [qq({"stream":true,"stream_options": { \n } ,"a":1}), 'blanks'],
        ['{"stream":true,"stream_options":{"include_obfuscation":false}}', 'another one'],
        [
            '{"stream_options":{ "x" : {"include_usage":[1.0,{}]} , "y":"}\u00e4" },"stream":true}',
            'others, with what looks like it inside'
        ],
        ['{"stream_options":{"x":"' . 'y' x 3000 . '"},"stream":true}', 'a long one'],
    );
    for my $case (@cases) {
        my ($body, $what, $added, $instead) = @$case;
        my ($answer, @seen) = post('on', '/chat/completions', $body);
        is $answer->{status}, 200, "stream_options: $what";
        ok is_asked($seen[0]{body}), '... asked' or diag $seen[0]{body};
        $added //= qr/"include_usage":true,?/;
        $instead //= '';
        (my $without = $seen[0]{body}) =~ s/$added/$instead/;
        is $without, $body, '... with every other byte as it was';
    }
};

subtest 'the option is not added' => sub {
    my $long = '"stream_options":{"x":"' . 'y' x 5000 . '"}';
    my @cases = (
        ['{"stream":true,"stream_options":{"include_usage":true}}', 'the client asks'],
        ['{"stream":true,"stream_options":{"a":1,"include_usage" : false }}', 'the client asks for none'],
        ['{"stream":false}', 'no stream'],
        ['{"model":"m"}', 'no word of a stream'],
        ['{"stream":null}', 'null'],
        ['{"stream":"true"}', 'a text'],
        ['{"stream":1}', 'a number'],
        ['{"a":{"stream":true}}', 'stream further inside'],
        ['{"stream":true,"stream":false}', 'the last one says no'],
        ['{"stream":true,"stream_options":[]}', 'options that are none'],
        ['{"stream":true,"stream_options":"x"}', 'a text as options'],
        ['{"stream":true,"stream_options":{},"stream_options":{}}', 'two of them'],
        ["{\"stream\":true,$long}", 'options without measure'],
        ['[{"stream":true}]', 'no object'],
        ['', 'no body'],
        ['stream=true', 'no JSON'],
    );
    for my $case (@cases) {
        my ($body, $what) = @$case;
        my ($answer, @seen) = post('on', '/chat/completions', $body);
        is $seen[0]{body} // '', $body, "$what: the same bytes";
    }
    my $body = '{"model":"m","stream":true}';
    my @others = qw(/responses /embeddings /images/generations /rerank /audio/speech /completions/x /other);
    for my $path (@others) {
        my ($answer, @seen) = post('on', $path, $body);
        is $seen[0]{body}, $body, "$path: the same bytes";
    }
    for my $path ('/chat/completions', '/completions', '/chat') {
        my ($answer, @seen) = post('quiet', $path, $body);
        is $seen[0]{body}, $body, "APIPoolStreamUsage Off, $path: the same bytes";
        is $answer->{content}, direct($path =~ /chat$/ ? '/chat/completions' : $path, $body),
            '... and the same stream';
    }
};

subtest 'bodies in a file' => sub {
    my $filler = '"filler":"' . 'x' x 1_200_000 . '"';
    my $options = '"stream_options":{ "a" : 1.0 }';
    my @cases = (
        ["{\"stream\":true,$filler}", "{$ADDED\"stream\":true,$filler}", 'at the beginning'],
        ["{$filler,\"stream\":true}", "{$ADDED$filler,\"stream\":true}", 'stream at the end'],
        [
            "{$filler,$options,\"stream\":true}",
            "{$filler,\"stream_options\":{\"include_usage\":true, \"a\" : 1.0 },\"stream\":true}",
            'options at the end'
        ],
        [
            "{\"stream\":true,\"stream_options\":null,$filler}",
            "{\"stream\":true,\"stream_options\":{\"include_usage\":true},$filler}", 'null in front'
        ],
        ["{\"stream\":false,$filler}", "{\"stream\":false,$filler}", 'no stream'],
    );
    for my $case (@cases) {
        my ($body, $expected, $what) = @$case;
        my ($answer, @seen) = post('on', '/chat/completions', $body);
        is $answer->{status}, 200, $what;
        is $seen[0]{body_bytes}, length $expected, '... of the right length';
        is $seen[0]{body_sha1}, sha1_hex($expected), '... with the right bytes';
    }
};

subtest 'a model renamed at the same time' => sub {
    my $to = 'a-longer-name/of:it';
    my @cases = (
        ['{"model":"mine","stream":true}', "{$ADDED\"model\":\"$to\",\"stream\":true}"],
        ['{"model":"l","stream":true}', "{$ADDED\"model\":\"s\",\"stream\":true}"],
        [
            '{"stream_options":{},"stream":true,"model" : "mine"}',
            "{\"stream_options\":{\"include_usage\":true},\"stream\":true,\"model\" : \"$to\"}"
        ],
        [
            '{"model":"mine","stream_options":null,"stream":true}',
            "{\"model\":\"$to\",\"stream_options\":{\"include_usage\":true},\"stream\":true}"
        ],
        ['{"model":"mine","stream":false}', "{\"model\":\"$to\",\"stream\":false}"],
    );
    for my $case (@cases) {
        my ($body, $expected) = @$case;
        my ($answer, @seen) = post('renamed', '/chat/completions', $body);
        is $seen[0]{body}, $expected, $body;
    }
    my $filler = '"filler":"' . 'x' x 1_200_000 . '"';
    my ($answer, @seen) = post('renamed', '/chat', "{$filler,\"model\":\"mine\",\"stream\":true}");
    is $seen[0]{body_sha1}, sha1_hex("{$ADDED$filler,\"model\":\"$to\",\"stream\":true}"), 'in a file';
};

subtest 'every attempt asks an upstream that has served such a request' => sub {
    my $body = '{"model":"m","stream":true}';
    is((post('rotating', '/chat', $body))[0]{status}, 200, 'the first one is served');
    my ($answer, @seen) = post('rotating', '/chat', $body);
    is $answer->{status}, 200, 'another key answers';
    is_deeply [map { $_->{status} } @seen], [401, 429, 200], '... after two that were refused';
    is_deeply [map { $_->{body} } @seen], [("{$ADDED\"model\":\"m\",\"stream\":true}") x 3],
        '... all three with the same body';
    unlike $answer->{content}, qr/prompt_tokens/, '... and the client sees no usage';
};

# A stream less the chunk that only tells the usage, and the others' usage of null, and how many there were.
sub without_usage {
    my ($stream) = @_;
    $stream =~ s/,"usage":null//g;
    my $dropped = $stream =~ s/data: (?:(?!\r?\n\r?\n).)*"choices":\[\],"usage":\{.*?\r?\n\r?\n//gs;
    return ($stream, $dropped || 0);
}

my %deliveries = (
    plain => 'ok',
    'line ends as CR LF' => 'crlf',
    'byte by byte' => 'bytewise',
    'byte by byte, CR LF' => 'bytewise crlf',
    'split between the line feeds' => 'split1',
    'split inside of CR LF' => 'split1 crlf',
    'split between CR LF and CR LF' => 'split2 crlf',
    'split after a CR' => 'split3 crlf',
    'split before the end' => 'split4',
    "Azure's first chunk" => 'azurefirst',
    "Azure's first chunk, CR LF" => 'azurefirst split1 crlf',
    'comments first' => 'ssecomment',
    'no [DONE]' => 'nodone',
    'usage in the last choice as well' => 'lastusage',
    'no usage' => 'nousage',
);

my $ASKING = '{"stream":true,"stream_options":{"include_usage":true}}';

subtest 'the client gets the stream less that chunk' => sub {
    my @cases = map {
        my $path = $_;
        map { [$_, $path] } sort keys %deliveries
    } '/chat/completions?events=3', '/completions?events=3';
    my @results = parallel(
        8,
        sub {
            my ($number) = @_;
            my @of_mine;
            for my $case (@cases[grep { $_ % 8 == $number - 1 } 0 .. $#cases]) {
                my ($name, $path) = @$case;
                my $words = $deliveries{$name};
                my $stream = sub { (post($_[0], $path, $_[1], $words))[0]{content} };
                push @of_mine,
                    {
                    case => $case,
                    got => $stream->('on', '{"stream":true}'),
                    with_off => $stream->('quiet', '{"stream":true}'),
                    when_asked => $stream->('on', $ASKING),
                    plain => direct($path, '{"stream":true}', $words),
                    full => direct($path, $ASKING, $words)
                    };
            }
            return @of_mine;
        }
    );
    for my $result (map {@$_} @results) {
        my ($name, $path) = @{$result->{case}};
        my ($expected, $dropped) = without_usage($result->{full});
        is $dropped, $name eq 'no usage' ? 0 : 1, "$name, $path: the upstream sends one such chunk";
        is $result->{got}, $expected, '... which the client does not get, but everything else';
        is $result->{with_off}, $result->{plain}, '... with Off: the stream as it is';
        is $result->{when_asked}, $result->{full}, '... a client that asks gets all of it';
        like $result->{got}, qr/\Adata: \{"choices":\[\],/, '... with its first chunk' if $name =~ /Azure/;
    }
};

subtest 'answers that are no stream after all' => sub {
    my ($answer, @seen) = post('on', '/chat', '{"model":"m","stream":true}', 'ctx400');
    is $answer->{status}, 400, 'an error passes';
    is error_code($answer), 'context_length_exceeded', '... as it is';
    is scalar @seen, 1, '... and is not asked about again';
    ($answer, @seen) = post('on', '/chat', '{"model":"m","stream":true}', 'cut');
    like $answer->{content}, qr/upstream_truncated/, 'a stream that breaks ends with the error';
    unlike $answer->{content}, qr/prompt_tokens|\[DONE\]/, '... and nothing else';
};

# When each event has come, by the last of its bytes.
sub arrivals {
    my ($words, $path, $body) = @_;
    my ($text, @times) = ('');
    request(
        POST => "/on$path",
        base => $httpd->{base},
        content => $body,
        headers => {'x-mock' => $words},
        data_callback => sub {
            $text .= $_[0];
            my $count = () = $text =~ /\n\r?\n/g;
            $times[$_] //= time for 0 .. $count - 1;
        }
    );
    return @times;
}

subtest 'no event waits for the next one' => sub {
    my $GAP = $ENV{VALGRIND} ? 4 : 1.2;
    my @words = ('ok', 'crlf', 'bytewise', 'bytewise crlf', 'split1', 'split1 crlf', 'azurefirst');
    my @results = parallel(
        scalar @words,
        sub {
            my ($number) = @_;
            my $words = sprintf '%s gap%d', $words[$number - 1], $GAP * 1000;
            return arrivals($words, '/chat/completions?events=1', '{"model":"m","stream":true}');
        }
    );
    for my $i (0 .. $#words) {
        my @times = @{$results[$i]};
        my $events = $words[$i] =~ /azure/ ? 5 : 4;
        is scalar @times, $events, "$words[$i]: $events events";
        my $last = $#times;
        my $held = $events - 3;    # what precedes the content comes with it
        my @gaps = map { $times[$_] - $times[$_ - 1] } $held + 1 .. $last;
        is scalar(grep { $_ < $GAP / 2 } @gaps), 0, '... each one by itself'
            or diag join ' ', map { sprintf '%.2f', $_ } @gaps;
        cmp_ok $gaps[-1] // 0, '>', 1.6 * $GAP, '... with the hidden one before the last';
    }
};

# What becomes of a pool's requests at an upstream that does not know the option.
sub check_refusal {
    my ($pool, $status) = @_;
    my $body = '{"model":"m","stream":true}';
    my ($answer, @seen) = post($pool, '/chat/completions', $body);
    is $answer->{status}, 200, "refused with a $status: the client sees only the answer";
    is $answer->{content}, direct('/chat/completions', $body), '... all of it';
    is_deeply [map { $_->{status} } @seen], [$status, 200], '... which the upstream gave when asked again';
    is_deeply [map { $_->{body} } @seen], ["{$ADDED\"model\":\"m\",\"stream\":true}", $body],
        '... without the option, byte for byte';
    is_deeply metrics($httpd->{base})->rules($pool), {R11 => 1, R00 => 1}, '... R11 and R00';

    my $mark = upstream_mark();
    parallel(
        8,
        sub {
            return map { (post($pool, '/chat/completions', $body))[0]{status} } 1 .. 3;
        }
    );
    my @later = grep { $_->{key} =~ /-$pool-/ } upstream_since($mark);
    is scalar @later, 24, 'later requests are sent once';
    is scalar(grep { $_->{body} ne $body } @later), 0, '... without the option, in every process';
    is_deeply metrics($httpd->{base})->states($pool), {active => 3}, 'no key is blamed';
    is_deeply metrics($httpd->{base})->rules($pool), {R11 => 1, R00 => 25}, '... and all succeed';
    is metrics($httpd->{base})->in_flight($pool), 0, 'nothing is in flight';
    return;
}

subtest 'an upstream that does not know the option' => sub {
    check_refusal('refusing', 400);
    check_refusal('refusing422', 422);
    my @said = $httpd->log =~ /pool refusing: upstream \S+ rejects stream_options/g;
    is scalar @said, 1, 'it is logged once';
};

subtest 'an upstream that refuses what a client asked for' => sub {
    my $body = '{"model":"m","stream":true,"stream_options":{"include_usage":true}}';
    my ($answer, @seen) = post('asked', '/chat/completions', $body);
    is $answer->{status}, 400, 'the refusal passes';
    like $answer->{content}, qr/Unknown parameter: 'stream_options'/, '... as it is';
    is scalar @seen, 1, '... and nothing is asked again';
};

subtest 'an error that only speaks of the option' => sub {
    my ($answer) = post('said', '/chat/completions', '{"model":"m","stream":true}');
    is $answer->{status}, 400, 'passes';
    unlike $httpd->log, qr/pool said: upstream \S+ rejects/, '... and nothing is held against the upstream';
};

subtest "a refusal of the client's own options" => sub {
    my $body = '{"stream":true,"stream_options":{"include_obfuscation":false}}';
    for my $turn (1, 2) {
        my ($answer, @seen) = post('own', '/chat/completions', $body);
        is $answer->{status}, 200, 'is tried again without ours';
        is_deeply [map { is_asked($_->{body}) ? 'asked' : 'not' } @seen], ['asked', 'not'], "... every time: $turn";
    }
    unlike $httpd->log, qr/pool own: upstream \S+ rejects/, '... for it may be theirs that is refused';
};

subtest 'a refusal of something else' => sub {
    my ($answer, @seen) = post('failing', '/chat/completions', '{"model":"m","stream":true}');
    is $answer->{status}, 400, 'passes';
    is_deeply [map { is_asked($_->{body}) ? 'asked' : 'not' } @seen], ['asked', 'not'],
        '... once it is clear that it was not the option';
    ($answer, @seen) = post('failing', '/chat/completions', '{"model":"m","stream":true}');
    ok is_asked($seen[0]{body}), '... and later requests are asked for their usage still';
};

subtest 'whatever an upstream answers that nobody has seen to accept the option' => sub {
    my $body = '{"model":"m","stream":true}';
    for my $name (sort grep { !/timings|plain|untyped/ } keys %answers) {
        my ($answer) = post("odd$name", '/chat/completions', $body);
        is $answer->{status}, 200, "$name: the request is sent once more without it";
        is $answer->{content}, "${EVENT}data: [DONE]\n\n", '... and the client gets that answer';
        is_deeply metrics($httpd->{base})->states("odd$name"), {active => 1}, '... and the key is not to blame';
        ($answer) = post("odd$name", '/chat/completions', $body);
        is $answer->{headers}{'x-mark'}, 'not', '... which is remembered';
    }
    like $httpd->log, qr/upstream odd404 rejects \S+; it will not be sent for an hour/, 'for an hour';
    like $httpd->log, qr/upstream odd503 rejects \S+; it will not be sent for a minute/,
        '... or for a minute, where it may have passed by itself';
};

subtest 'streams that are called something else' => sub {
    my %left = (timings => "${EVENT}data: {\"choices\":[],\"timings\":{\"n\":1}}\n\ndata: [DONE]\n\n",
        map { $_ => "${EVENT}data: [DONE]\n\n" } qw(plain untyped));
    for my $name (sort keys %left) {
        my ($answer) = post("odd$name", '/chat/completions', '{"model":"m","stream":true}');
        is $answer->{headers}{'content-type'}, $answers{$name}[1], "$name: the type stays";
        is $answer->{content}, $left{$name}, '... the usage does not, and what came with it does';
        my $tokens = wait_for(
            sub { metrics($httpd->{base})->sum('apipool_tokens_total', pool => "odd$name", type => 'completion') });
        is $tokens, 7, '... and it is counted';
    }
};

subtest 'one upstream of two' => sub {
    my $body = '{"model":"m","stream":true}';
    my ($answer, @seen) = post('mixed', '/chat/completions', $body);
    is $answer->{status}, 200, 'answered';
    is_deeply [map { $_->{body} eq $body ? 'not' : 'asked' } @seen], ['asked', 'not'], 'asked again';
    is_deeply [map { $_->{key} =~ /mixed-(.)/ } @seen], ['a', 'a'], '... at the same upstream';
    is scalar(grep { (post('mixed', '/chat/completions', $body))[1]{body} ne $body } 1 .. 4), 0,
        '... which is known from now on';
};

subtest 'what is counted' => sub {
    my $before = metrics($httpd->{base});
    my ($answer) = post('on', '/chat/completions', '{"stream":true}', 'prompt1234 completion567 cached89');
    my $after = wait_for(
        sub {
            my $now = metrics($httpd->{base});
            my @sums = map { $_->sum('apipool_tokens_total', pool => 'on', type => 'prompt') } $now, $before;
            return $sums[0] > $sums[1] && $now;
        }
    ) or return fail 'nothing is counted';
    my %types = (prompt => 1234, completion => 567, cached => 89);
    for my $type (sort keys %types) {
        my @sums = map { $_->sum('apipool_tokens_total', pool => 'on', type => $type) } $after, $before;
        is $sums[0] - $sums[1], $types{$type}, "$type tokens of the chunk that nobody saw";
    }
};

subtest 'a refusal that is about the key as well' => sub {
    my @tried;
    pipe my $read, my $write or die;
    $write->autoflush;
    my $port = APIPoolTest::serve_raw(
        sub {
            my ($socket) = @_;
            my ($head, $sent) = APIPoolTest::read_request($socket) or return;
            my ($key) = $head =~ /(sk-ok-\w+)/;
            my $serves = $sent =~ /served/;
            syswrite $write, "$key\n" unless $serves;
            my $body = $serves ? '{"id":"x","choices":[]}'
                : '{"error":{"message":"stream_options is not for you","type":"insufficient_quota"}}';
            print {$socket} 'HTTP/1.1 ', $serves ? '200 OK' : '400 Bad Request',
                "\r\nContent-Type: application/json\r\nContent-Length: ", length $body,
                "\r\nConnection: close\r\n\r\n$body";
        }
    );
    my $other = pool_server({
        p => {
            keys => {u => [map { 'sk-ok-' . $_ x 12 } 'a' .. 'd']},
            upstreams => ["http://127.0.0.1:$port/v1 name=u"],
            lines => "APIPoolStrategy fill-first\nAPIPoolRotations 2\nAPIPoolRetries 0"
        }
    });
    my $ask = sub {
        request(
            POST => '/p/chat/completions',
            base => $other->{base},
            content => $_[0],
            headers => {'content-type' => 'application/json'}
        );
    };
    is $ask->('{"model":"served","messages":[]}')->{status}, 200, 'a key that has served before' for 1 .. 3;
    $ask->('{"model":"m","stream":true,"messages":[]}');
    close $write;
    sysread $read, my $text, 4096;
    my ($first, @others) = split /\n/, $text;
    my %times;
    $times{$_}++ for @others;
    is scalar(keys %times), 3, 'three keys are tried, after the one that was asked for its usage';
    is_deeply [grep { $_ > 1 } values %times], [], '... each of them once';
    is $other->faults, '', '... and nothing goes wrong inside';
};

is $httpd->faults, '', 'nothing went wrong inside';

done_testing;
