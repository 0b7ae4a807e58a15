# SPDX-License-Identifier: Apache-2.0
# Errors inside a 200: before the first content another key answers; after it, the request has failed.
use strict;
use warnings;

use APIPoolTest qw(pool_server chat metrics read_request serve_raw wait_for);
use Apache::Test ();
use IO::Socket::INET ();
use Socket ();
use Test::More;
use Time::HiRes qw(time);

my $DONE = "data: [DONE]\n\n";
my $TRUNCATED = qr/\Qdata: {"error":{"message":"The upstream ended the stream early."\E.*\n\n\z/;

sub chunk { return qq(data: {"choices":[{"delta":{"content":"$_[0]"}}]}\n\n) }
my $role = qq(data: {"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n);
my $stop = qq(data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n);
my $text = join '', map { chunk($_) } qw(one two three);
my $limit = '{"message":"slow","type":"rate_limit_error"}';
my $error = qq(data: {"error":$limit}\n\n);
my $created = join '', map {qq(event: $_\ndata: {"type":"$_","response":{"error":null}}\n\n)}
    qw(response.created response.in_progress);
my $delta = qq(data: {"type":"response.output_text.delta","delta":"one"}\n\n);
my $start = qq(event: message_start\ndata: {"type":"message_start","message":{"content":[]}}\n\n);
my $block = qq(data: {"type":"content_block_delta","delta":{"text":"one"}}\n\n);
my $ping = qq(event: ping\ndata: {"type": "ping"}\n\n);

# What the first key gets, in pieces. Those of the second key are always good.
my %early = (
    dashscope => ["id:1\nevent:error\n", ":HTTP_STATUS/429\n", qq(data:{"code":"Throttling","message":"x"}\n\n)],
    blanks => ["\n", "\r\n\n", $error],
    comments => [": one\n\n", ": two\n", $error],
    order => [qq(data: {"id":"x","object":"y","choices":[],"error":$limit}\n\n)],
    ping => [$ping, $error],
    empty => ["data:\n\n", "data: \n\n", $error],
    role => [$role, $error],
    'role-at-once' => [$role . $error . $text . $DONE],
    created => [$created, qq(data: {"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded"}}}\n\n)],
    message => [$start, $ping, qq(event: error\ndata: {"type":"error","error":$limit}\n\n)],
    base => [qq(data: {"choices":null,"base_resp":{"status_code":1002,"status_msg":"x"}}\n\n)],
    throttled => [qq(data: {"error":{"message":"Request was throttled.","type":"invalid_request_error"}}\n\n)],
    unended => [$role, qq(data: {"error":$limit})],
    crlf => [qq(data: {"error":$limit}\r\n\r), "\n"],
    'json-order' => ['{"id":"x",', qq("created":1,"error":$limit}\n)],
    'json-base' => ['{"id":"x","choices":null,', '"base_resp":{"status_code":1039,"status_msg":"x"}}'],
    'json-bare' => [qq({"code":"Throttling","message":"x","data":null})],
    'json-late' => [qq({"id":"x","choices":[{"message":{"content":"a"}}],"error":$limit})],
    'json-blank' => ["\n\n", qq( {"error":$limit})],
    'json-base-late' => ['{"choices":[{"message":{"content":"a"}}],"base_resp":{"status_code":1002,"status_msg":"x"}}'],
    'json-untyped' => [qq({"error":$limit})],
    'json-text' => ["\n", qq({"error":$limit})],
    'json-texts' => [qq({"id":"x","error":$limit}), "\n"],
    'json-problem' => [qq({"error":$limit})],
    'json-lines' => [qq({"error":$limit}\n)],
);
# The types of those that are not application/json; undef: none.
my %type = (
    'early-json-untyped' => undef, 'early-json-text' => 'text/plain; charset=utf-8', 'early-json-texts' => 'text/json',
    'early-json-problem' => 'application/problem+json', 'early-json-lines' => 'application/x-ndjson',
    'late-json-lines' => 'application/x-ndjson'
);
# What follows content.
my %late = (
    error => [$role, $text, $error, $DONE],
    named => [$text, "event: error\n", qq(data: {"code":"Throttling","message":"x"}\n\n)],
    'same-piece' => [$text . $error],
    cut => [$text, $error, 'cut'],
    failed => [$created, $delta, qq(data: {"type":"response.failed","response":{"error":$limit}}\n\n)],
    base => [$text, qq(data: {"choices":[],"base_resp":{"status_code":1002,"status_msg":"x"}}\n\n)],
    'json-behind' => ['{"id":"x","choices":[{"message":{"content":"a"}}],', qq("error":$limit,"usage":{"total_tokens":1}})],
    'json-array' => ['[{"candidates":[{"content":{"parts":[{"text":"a"}]}}]},', qq({"error":$limit}\n]\n)],
    'json-base' => ['{"choices":[{"message":{"content":"a"}}],', qq("base_resp":{"status_code":1002,"status_msg":"x"}}\n)],
    'json-large' => ['{"data":[{"embedding":"', 'x' x 3_000_000, qq("}],"error":$limit}\n)],
    'json-lines' => [qq({"message":{"content":"a"},"done":false}\n), qq({"error":$limit}\n)],
);
# Ends without what their API always sends.
my %short = (
    'half-a-line' => [$text . $stop, 'data: {"cho'],
    'half-a-line-of-others' => [qq(data: {"other":1}\n\n), 'data: {"oth'],
    chat => [$role, $text],
    message => [$start, $block],
    response => [$created, $delta],
    completions => [qq(data: {"choices":[{"text":"a"}]}\n\n)],
);
my %long = (
    finished => [$role, $text, $stop],
    done => [$role, $text, $DONE],
    'done-without-a-line' => [$text, 'data: [DONE]'],
    stopped => [$start, $block, qq(data: {"type":"message_stop"}\n\n), $ping],
    completed => [$created, $delta, qq(data: {"type":"response.completed","response":{"error":null}}\n\n)],
    incomplete => [$created, $delta, qq(data: {"type":"response.incomplete","response":{"error":null}}\n\n)],
    'json-deeper' => ['{"choices":[{"message":{"content":"a"}}],', qq("steps":[{"error":$limit}]}\n)],
    'json-words' => ['{"choices":[{"message":{"content":"a"}}],', qq("said":"{\\"error\\":{\\"code\\":1}}","error":null}\n)],
    'json-fine' => ['{"choices":[{"message":{"content":"a"}}],', '"base_resp":{"status_code":0,"status_msg":""}}'],
    others => [qq(data: {"other":1}\n\n)],
    'others-without-a-line' => [qq(data: {"other":1}\n\n), qq(data: {"other":2})],
    'only-pings' => [$ping, $ping],
    words => [chunk('the \"error\": said'), chunk('event: error'), $stop],
    null => [qq(data: {"error":null,"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n)],
);
# Stay open without an end.
my %open = (
    content => [$role . chunk('one')],
    pings => [($ping) x 2400],
    silent => [$role],
);
my %all = (
    (map { ("early-$_" => $early{$_}) } keys %early),
    (map { ("late-$_" => $late{$_}) } keys %late),
    (map { ("short-$_" => $short{$_}) } keys %short),
    (map { ("long-$_" => $long{$_}) } keys %long),
    (map { ("open-$_" => $open{$_}) } keys %open),
);

sub answer {
    my ($socket, $type, @pieces) = @_;
    my $is_cut = $pieces[-1] eq 'cut' && pop @pieces;
    $socket->setsockopt(Socket::IPPROTO_TCP(), Socket::TCP_NODELAY(), 1);
    my $head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
        . (defined $type ? "Content-Type: $type\r\n\r\n" : "\r\n");
    if (@pieces == 1 && $pieces[0] !~ /^\w+:/) {    # as most answers come
        $socket->syswrite($head . sprintf "%x\r\n%s\r\n0\r\n\r\n", length $pieces[0], $pieces[0]);
        return 0;
    }
    $socket->syswrite($head);
    for my $piece (@pieces) {
        $socket->syswrite(sprintf "%x\r\n%s\r\n", length $piece, $piece);
        select undef, undef, undef, 0.002 if @pieces < 10;
    }
    return !$is_cut;
}

my $port = serve_raw(
    sub {
        my ($socket) = @_;
        my $head = read_request($socket) // return;
        my ($case) = $head =~ /sk-bad-([\w-]+)-aaaaaaaa\r/;
        my $is_json = $head =~ m{/(?:early|late|long)-json};
        my $type = $is_json ? 'application/json' : 'text/event-stream';
        $type = $type{$case} if $case && exists $type{$case};
        my @good = $is_json ? '{"id":"good"}' : ($role, $text, $DONE);
        my $ends = answer($socket, $type, $case ? @{$all{$case}} : @good);
        return read_request($socket) if $case && $case =~ /^open/;
        $socket->syswrite("0\r\n\r\n") if $ends;
    }
);

my $httpd = pool_server(
    {
        map {
            $_ => {
                keys => ["sk-bad-$_-aaaaaaaa", "sk-good-$_-aaaaaaaa"],
                upstreams => ["http://127.0.0.1:$port/$_"],
                lines => "APIPoolStrategy round-robin\n    APIPoolStreamUsage Off"
            }
        } keys %all
    }
);

# Asks the pools of some cases. Returns their answers, outcomes and rules by case.
sub ask {
    my ($kind, @cases) = @_;
    my %content = map { $_ => chat($httpd, "$kind-$_", content => '{"stream":true}')->{content} } @cases;
    my %outcomes;
    my $all_have_ended = sub {
        my $metrics = metrics($httpd->{base});
        for my $case (@cases) {
            my $count = $metrics->by(outcome => 'apipool_requests_total', pool => "$kind-$case");
            $outcomes{$case} = join ' ', grep { $count->{$_} } sort keys %$count;
        }
        return !grep { !length } values %outcomes;
    };
    ok wait_for($all_have_ended), 'all have ended';
    my $metrics = metrics($httpd->{base});
    return (\%content, \%outcomes, {map { $_ => $metrics->rules("$kind-$_") } @cases});
}

sub all_of {
    return join '', grep { $_ ne 'cut' } @{$_[0]};
}

subtest 'an error before any content' => sub {
    my ($content, $outcomes, $rules) = ask('early', sort keys %early);
    for my $case (sort keys %early) {
        my $good = $case =~ /^json/ ? '{"id":"good"}' : $role . $text . $DONE;
        is $content->{$case}, $good, "$case: another key answers";
        is $outcomes->{$case}, 'complete', '... to the end';
        is_deeply $rules->{$case}, {R07 => 1, R00 => 1}, '... after an R07';
    }
};

subtest 'an error after content' => sub {
    my ($content, $outcomes, $rules) = ask('late', sort keys %late);
    for my $case (sort keys %late) {
        is $content->{$case}, all_of($late{$case}), "$case: the client sees what came";
        is $outcomes->{$case}, 'failed', '... and the request has failed';
        is_deeply $rules->{$case}, {R07 => 1}, '... without a success of the key';
    }
};

subtest 'an end without the mark of its API' => sub {
    my ($content, $outcomes, $rules) = ask('short', sort keys %short);
    for my $case (sort keys %short) {
        like $content->{$case}, $TRUNCATED, "$case: ends with an error";
        is $content->{$case} =~ s/$TRUNCATED//r, join('', grep {/\n\z/} @{$short{$case}}),
            '... after all whole lines';
        is $outcomes->{$case}, 'truncated', '... and is counted as such';
        is_deeply $rules->{$case}, {R02 => 1}, '... without a success of the key';
    }
};

subtest 'ends that are none of these' => sub {
    my ($content, $outcomes) = ask('long', sort keys %long);
    for my $case (sort keys %long) {
        is $content->{$case}, all_of($long{$case}), "$case: nothing is added";
        is $outcomes->{$case}, 'complete', '... and nothing is missing';
    }
};

# The upstream sends nothing more, so only what passes at once comes. How long that takes; undef: it does not.
sub seconds_until {
    my ($pool, $wanted) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => $httpd->{base} =~ s{^http://}{}r, Timeout => 10)
        or die "cannot connect: $@\n";
    print {$socket} "POST /$pool/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n",
        '{"stream":true}';
    my ($got, $ready, $since) = ('', '', time);
    vec($ready, fileno $socket, 1) = 1;
    while (index($got, $wanted) < 0 && select my $now = $ready, undef, undef, 20) {
        last if !sysread $socket, $got, 65536, length $got;
    }
    return index($got, $wanted) >= 0 ? time - $since : undef;
}

subtest 'what is held goes out' => sub {
    cmp_ok seconds_until('open-content', 'one') // 99, '<', 4, 'with the first content';
    cmp_ok seconds_until('open-pings', 'ping') // 99, '<', 4, 'and after 64 KiB without any';
    my $silent = seconds_until('open-silent', 'assistant');
    cmp_ok $silent // 0, '>', 4.5, 'and after five seconds, though the upstream is silent';
    cmp_ok $silent // 99, '<', 10, '... and no later';
};

is $httpd->faults, '', 'nothing went wrong inside';

done_testing;
