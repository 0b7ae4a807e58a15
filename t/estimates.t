# SPDX-License-Identifier: Apache-2.0
# What is counted where an upstream does not say what a request took, and what costs nothing at all.
use strict;
use warnings;

use APIPoolTest qw(pool_server request metrics wait_for slurp serve_raw);
use Apache::Test ();
use JSON::PP ();
use MIME::Base64 ();
use Test::More;

# The rules of text/estimate.h: four bytes of text are a token, 765 tokens an image, 3072 bytes of audio a token.
my $IMAGE = 765;
sub tokens_of { return int((length(join '', @_) + 2) / 4) }
sub audio_of { return int($_[0] / 3072 + 0.5) }

my $USAGE = '"usage":{"prompt_tokens":120,"completion_tokens":34,"total_tokens":154}';
my $COMPLETION = '{"choices":[{"message":{"content":"one two three"}}]';
my $SILENT = "$COMPLETION}";
my $TELLING = "$COMPLETION,$USAGE}";
my $pixels = MIME::Base64::encode_base64("\x89PNG" . 'x' x 1_650_000, '');
my $vector = join ',', map { sprintf '%.9f', $_ / 7 } 1 .. 1536;

sub event { return "data: $_[0]\n\n" }

sub chunk {
    my ($content, $usage) = @_;
    return event(qq({"id":"chatcmpl-123456789","object":"chat.completion.chunk","choices":[{"index":0,)
            . qq("delta":{"content":"$content"},"finish_reason":null}]})
            . ($usage // ''));
}

my @WORDS = map {" $_"} qw(one two three four five six seven eight nine ten);
my $STREAMED = tokens_of((@WORDS) x 30);
my $NEAR = 40; # of a part that stands for the whole
my $chunks = join '', map { chunk($WORDS[$_ % 10]) } 1 .. 300;
my $last = event(qq({"choices":[],$USAGE})) . event('[DONE]');
my $begin = "event: message_start\n"
    . event('{"type":"message_start","message":{"content":[],"usage":{"input_tokens":25,"output_tokens":1}}}');
my $deltas = join '', map {
    "event: content_block_delta\n"
        . event(qq({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"$WORDS[$_ % 10]"}}))
} 1 .. 300;
my $ended = "event: message_delta\n"
    . event('{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":298}}')
    . "event: message_stop\n"
    . event('{"type":"message_stop"}');

# What the upstream answers, by the argument "case": type, body, further header fields. A body that is cut
# ends without its last chunk.
my ($JSON, $SSE) = qw(application/json text/event-stream);
my %answers = (
    silent => [$JSON, $SILENT],
    telling => [$JSON, $TELLING],
    image => [$JSON, qq({"created":1,"data":[{"b64_json":"$pixels"}]})],
    addresses => [$JSON, '{"images":[{"url":"https://x/a"}],"data":[{"url":"https://x/a"}]}'],
    embedding => [$JSON, qq({"data":[{"embedding":[$vector]},{"embedding":[$vector]}]})],
    ranks => [$JSON, '{"results":[{"index":0,"relevance_score":0.9,"document":{"text":"one two"}}]}'],
    sound => ['audio/mpeg', "\xff\xfb" . 'x' x 30_718],
    transcript => ['text/plain', 'one two three'],
    verbose => [$JSON, '{"text":"one two three","segments":[{"id":0,"text":"one two three","start":0.0}]}'],
    free => [$JSON, '{"data":[{"id":"one","text":"one two three"}],"input_tokens":14}'],
    stored => [$JSON, '{"object":"response","usage":{"input_tokens":7,"output_tokens":8,"total_tokens":15}}'],
    stream => [$SSE, $chunks . event('[DONE]')],
    'telling-stream' => [$SSE, $chunks . $last],
    claude => [$SSE, $begin . $deltas . $ended],
    'cut-claude' => [$SSE, $begin . $deltas, 'cut'],
    'cut-stream' => [$SSE, $chunks, 'cut'],
    queued => [$JSON, '{"id":"resp_1","status":"queued","usage":null}'],
    running => [$JSON, '{"id":"resp_1","status":"in_progress","usage":null}'],
    done => [$JSON, '{"id":"resp_1","status":"completed","usage":{"input_tokens":7,"output_tokens":8,"total_tokens":15}}'],
    batch => [$JSON, '{"id":"batch_1","status":"validating"}'],
    'batch-done' => [$JSON, '{"id":"batch_1","usage":{"input_tokens":70,"output_tokens":80,"total_tokens":150}}'],
    gzip => [$JSON, 'x' x 8000, 'Content-Encoding: gzip'],
    'gzip-stream' => [$SSE, 'x' x 8000, 'Content-Encoding: gzip'],
);

my $port = serve_raw(
    sub {
        my ($socket) = @_;
        my $head = APIPoolTest::read_request($socket) // return;
        my ($case) = $head =~ /[?&]case=([\w-]+)/ or return;
        my ($type, $body, $more) = @{$answers{$case}};
        my $is_cut = ($more // '') eq 'cut';
        my $field = $more && !$is_cut ? "$more\r\n" : '';
        print {$socket} "HTTP/1.1 200 OK\r\nContent-Type: $type\r\nTransfer-Encoding: chunked\r\n",
            "${field}Connection: close\r\n\r\n";
        while (length $body) {
            my $piece = substr $body, 0, 5000, '';
            printf {$socket} "%x\r\n%s\r\n", length $piece, $piece;
        }
        print {$socket} "0\r\n\r\n" if !$is_cut;
    }
);

my @NOTES = qw(usage prompt-tokens completion-tokens total-tokens outcome);
my $format = join '\t', '%q', map {"%{apipool-$_}n"} @NOTES;
my @pools = qw(first silent telling mixed images claude limited later);
my $httpd = pool_server(
    {
        map {
            $_ => {
                keys => ["sk-ok-$_-aaaaaaaaaaaa"],
                upstreams => ["http://127.0.0.1:$port/v1"],
                lines => $_ eq 'limited' ? 'APIPoolLimits tpm=3000' : 'APIPoolStreamUsage Off',
            }
        } @pools
    },
    config => qq(LogFormat "$format" notes\nCustomLog \@DIR\@/notes notes\n)
);

my $BODY = '{"messages":[{"role":"user","content":"one two three"}]}'; # counts as it stands
my $ASKED = tokens_of($BODY);
my $ANSWERED = tokens_of('one two three');
my $asked = 0;

# noted(POOL, PATH, CASE, BODY, METHOD): the notes of a request, and the answer.
sub noted {
    my ($pool, $path, $case, $body, $method, %headers) = @_;
    my $query = "?case=$case&id=" . ++$asked;
    my %content = ($method // 'POST') eq 'POST' ? (content => $body // $BODY) : ();
    my $answer =
        request($method // 'POST', "/$pool$path$query", base => $httpd->{base}, headers => \%headers, %content);
    my $line = wait_for(
        sub {
            my ($found) = grep {/^\Q$query\E\t/} split /\n/, slurp("$httpd->{dir}/notes");
            return $found;
        }
    ) // '';
    my %notes;
    @notes{'query', @NOTES} = split /\t/, $line;
    delete $notes{query};
    return (\%notes, $answer);
}

sub estimate_is {
    my ($notes, $prompt, $completion, $what, $outcome) = @_;
    my %expected = (
        usage => 'estimated',
        'prompt-tokens' => $prompt,
        'completion-tokens' => $completion,
        'total-tokens' => $prompt + ($completion eq '-' ? 0 : $completion),
        outcome => $outcome // 'complete'
    );
    is_deeply $notes, \%expected, $what or diag explain $notes;
    return;
}

subtest 'text' => sub {
    for my $time (qw(first second)) {
        estimate_is((noted('silent', '/chat/completions', 'silent'))[0], $ASKED, $ANSWERED, "the $time answer without usage");
    }
    is +(noted('telling', '/chat/completions', 'telling'))[0]{usage}, 'reported', 'an upstream that reports';
    estimate_is((noted('telling', '/chat/completions', 'silent'))[0], $ASKED, $ANSWERED, '... and once does not');
    estimate_is((noted('first', '/chat/completions', 'stream'))[0], $ASKED, $STREAMED, 'a stream without usage');
    is +(noted('first', '/chat/completions', 'telling-stream'))[0]{usage}, 'reported', '... then one with it';
    my ($notes) = noted('first', '/chat/completions', 'stream');
    is $notes->{usage}, 'estimated', '... then one without, again';
    cmp_ok abs($notes->{'completion-tokens'} - $STREAMED), '<=', $NEAR, "... of $notes->{'completion-tokens'} tokens";
    ($notes) = noted('telling', '/chat/completions', 'telling-stream');
    ($notes) = noted('telling', '/chat/completions', 'cut-stream');
    is "$notes->{usage} $notes->{outcome}", 'estimated truncated', 'one that is cut';
    cmp_ok abs($notes->{'completion-tokens'} - $STREAMED), '<=', $NEAR, "... after $notes->{'completion-tokens'} tokens";
};

subtest 'what is no text' => sub {
    my $prompt = '{"model":"m","prompt":"one two three"}';
    my ($notes, $answer) = noted('images', '/images/generations', 'image', $prompt);
    cmp_ok length $answer->{content}, '>', 2_200_000, 'an image in base64';
    estimate_is($notes, tokens_of($prompt), $IMAGE, '... counts as an image, whatever its length');
    estimate_is((noted('images', '/images/generations', 'addresses', $prompt))[0],
        tokens_of($prompt), $IMAGE, 'so does an address');
    my $input = '{"input":"one two three"}';
    estimate_is((noted('images', '/embeddings', 'embedding', $input))[0],
        tokens_of($input), 0, 'embeddings are not generated');
    my $query = '{"query":"one","documents":["two","three"]}';
    estimate_is((noted('images', '/rerank', 'ranks', $query))[0], tokens_of($query), 0, 'nor are ranks');
    estimate_is((noted('images', '/audio/speech', 'sound', $input))[0],
        tokens_of($input), audio_of(30_720), 'audio counts by its length');
    my $form = "--XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\n"
        . 'x' x 30_720
        . "\r\n--XyZ--\r\n";
    estimate_is((noted('images', '/audio/transcriptions', $_, $form))[0],
        audio_of(length $form), $ANSWERED, "so it does on the way in: $_")
        for qw(transcript verbose);
    my $picture = "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":"
        . '"data:image/png;base64,';
    estimate_is((noted('silent', '/chat/completions', 'silent', "$picture$pixels\"}}]}]}"))[0],
        $IMAGE + tokens_of("$picture\"}}]}]}"), $ANSWERED, 'an image on the way in counts as one');
    estimate_is((noted('images', '/chat/completions', $_))[0], $ASKED, '-', "$_: what is compressed is not counted")
        for qw(gzip gzip-stream);
};

subtest 'forms' => sub {
    my $part = sub { return "--XyZ\r\nContent-Disposition: form-data; name=$_[0]\r\n\r\n$_[1]\r\n" };
    my $binary = join '', map { chr int rand 256 } 1 .. 20_000;
    my $form = join '', $part->('"model"', 'm'), $part->('"image[]"; filename="a.png"', $binary),
        $part->('"image[]"; filename="b.png"', $binary), $part->('"prompt"', 'one two three'), "--XyZ--\r\n";
    my %type = ('content-type' => 'multipart/form-data; boundary=XyZ');
    estimate_is((noted('images', '/images/edits', 'image', $form, 'POST', %type))[0],
        2 * $IMAGE + tokens_of('one two three'), $IMAGE, 'have a prompt, and an image for each file');
    estimate_is((noted('images', '/images/edits', 'image', $form))[0], 0, $IMAGE, 'what is neither JSON nor a form');
};

subtest 'what costs nothing' => sub {
    my %nothing = map { $_ => '-' } @NOTES;
    my @cases = (
        map({ ['POST', $_, 'free'] }
            qw(/messages/count_tokens /moderations /files /vector_stores /models/m:countTokens)),
        ['GET', '/models', 'free'],
        ['GET', '/responses/resp_1', 'stored'],
        ['GET', '/chat/completions/chatcmpl_1', 'stored'],
        ['GET', '/threads/t/runs/r', 'stored'],
        ['GET', '/responses/resp_1?stream=true', 'claude'],
        ['POST', '/responses/resp_1/cancel', 'stored'],
        ['POST', '/batches/b/cancel', 'stored'],
    );
    for my $case (@cases) {
        my ($method, $path, $name) = @$case;
        my $is_args = $path =~ s/\?.*//;
        my ($notes) = noted('first', $path, $name, undef, $method);
        is_deeply $notes, {%nothing, usage => 'none', outcome => 'complete'}, "$method $path";
    }
};

subtest "streams of Anthropic's that end early" => sub {
    my $cut = (noted('claude', '/messages', 'cut-claude'))[0];
    estimate_is($cut, 25, $STREAMED, 'the first: what has come is counted', 'truncated');
    my $whole = (noted('claude', '/messages', 'claude'))[0];
    is "$whole->{usage} $whole->{'completion-tokens'}", 'reported 298', 'a whole one is as reported';
    $cut = (noted('claude', '/messages', 'cut-claude'))[0];
    is "$cut->{usage} $cut->{'prompt-tokens'}", 'estimated 25', 'a later one';
    cmp_ok abs($cut->{'completion-tokens'} - $STREAMED), '<=', $NEAR, "... of $cut->{'completion-tokens'} tokens";
};

subtest 'limits' => sub {
    for my $turn (1 .. 2) {
        my (undef, $answer) = noted('limited', '/images/generations', 'image', '{"prompt":"one two three"}');
        is $answer->{status}, 200, "image $turn fits into a limit of 3000 tokens";
    }
    my (undef, $answer) = noted('limited', '/audio/speech', 'sound', '{"input":"one two three"}');
    is $answer->{status}, 200, '... and so does speech';
};

subtest 'what is answered later is charged when somebody first reads its usage' => sub {
    my $background = '{"model":"m","background":true,"input":"one two three"}';
    my @cases = (
        ['POST', '/responses', 'queued', $background, 'none'],
        ['GET', '/responses/resp_1', 'running', undef, 'none'],
        ['GET', '/responses/resp_2', 'done', undef, 'none'],
        ['GET', '/responses/resp_1', 'done', undef, 'reported', 15],
        ['GET', '/responses/resp_1', 'done', undef, 'none'],
        ['POST', '/batches', 'batch', '{"input_file_id":"f"}', 'none'],
        ['GET', '/batches/batch_1', 'batch-done', undef, 'reported', 150],
        ['GET', '/batches/batch_1', 'batch-done', undef, 'none'],
    );
    for my $case (@cases) {
        my ($method, $path, $answer, $body, $usage, $total) = @$case;
        my ($notes) = noted('later', $path, $answer, $body, $method);
        is $notes->{usage}, $usage, "$method $path, $answer: $usage";
        is $notes->{'total-tokens'}, $total // '-', '... and so many tokens';
    }
};

is $httpd->faults, '', 'nothing went wrong inside';

done_testing;
