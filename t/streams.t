# SPDX-License-Identifier: Apache-2.0
# Event streams as vendors really send them: chunks of usage in odd shapes, ends that break, lines in pieces.
use strict;
use warnings;

use APIPoolTest qw(pool_server chat metrics serve_raw wait_for);
use Apache::Test ();
use Socket ();
use Test::More;

my $DONE = "data: [DONE]\n\n";
my $TRUNCATED = qr/\Qdata: {"error":{"message":"The upstream ended the stream early."\E.*\n\n\z/;

sub chunk { return qq(data: {"choices":[{"delta":{"content":"$_[0]"}}]}\n\n) }
my $text = join '', map { chunk($_) } qw(one two three);
my $long = chunk('x' x 100_000);

sub crlf { return $_[0] =~ s/\n/\r\n/gr }

# What the upstream sends, in pieces, by the argument "case". With "cut" its last chunk never comes.
my %streams = (
    'no-empty-line' => [$text, qq(data: {"choices":[],"usage":{"total_tokens":3}}\n), $DONE],
    'no-empty-line-crlf' => [crlf($text), crlf(qq(data: {"choices":[],"usage":{"total_tokens":3}}\n$DONE))],
    'choices-null' => [$text, qq(data: {"choices":null,"usage":{"total_tokens":3}}\n\n), $DONE],
    'no-choices' => [$text, qq(data: {"usage":{"total_tokens":3}}\n\n), $DONE],
    'empty-usage' => [$text, qq(data: {"choices":[],"usage":{}}\n\n), $DONE],
    'beyond-integers' => [$text, qq(data: {"choices":[],"usage":{"x":12345678901234567890123}}\n\n), $DONE],
    'in-pieces' => [$text, split(//, qq(data: {"choices":[],"usage":{"total_tokens":3}}\n\n)), $DONE],
    'done-then-cut' => [$text, qq(data: {"choices":[],"usage":{"total_tokens":3}}\n\n$DONE), 'cut'],
    'half-done-then-cut' => [$text, 'data: [DONE]', 'cut'],
    'done-at-once' => [$DONE, 'cut'],
    'cut' => [$text, 'cut'],
    'cut-in-line' => [$text, 'data: {"cho', 'cut'],
    'cut-after-line' => [$text, qq(data: {"a":1}\n), 'cut'],
    'cut-after-crlf' => [crlf($text), qq(data: {"a":1}\r\n), 'cut'],
    'cut-after-crlf-apart' => [crlf($text), qq(data: {"a":1}\r), "\n", 'cut'],
    'cut-after-empty-crlf' => [crlf($text), qq(data: {"a":1}\r\n), "\r", "\n", 'cut'],
    'cut-in-long-line' => [$text, substr($long, 0, 90_000), 'cut'],
    'long-line' => [$text, ($long =~ /(.{1,997})/gs), $DONE],
    'comments-first' => [split(//, ":x\n\n" x 20), $text, $DONE],
    'long-first' => [(chunk('y' x 30_000) =~ /(.{1,97})/gs), $DONE],
);

my $port = serve_raw(
    sub {
        my ($socket) = @_;
        my $head = APIPoolTest::read_request($socket) // return;
        my ($case) = $head =~ /[?&]case=([\w-]+)/ or return;
        my $field = $head =~ /[?&]gzip/ ? "Content-Encoding: gzip\r\n" : '';
        my @pieces = @{$streams{$case}};
        my $is_cut = $pieces[-1] eq 'cut' && pop @pieces;
        $socket->setsockopt(Socket::IPPROTO_TCP(), Socket::TCP_NODELAY(), 1);
        $socket->syswrite("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
                . "${field}Connection: close\r\n\r\n");
        for my $piece (@pieces) {
            $socket->syswrite(sprintf "%x\r\n%s\r\n", length $piece, $piece);
            select undef, undef, undef, 0.002;
        }
        $socket->syswrite("0\r\n\r\n") if !$is_cut;
    }
);

my $httpd = pool_server(
    {
        on => {keys => ['sk-ok-on-aaaaaaaaaaaa'], upstreams => ["http://127.0.0.1:$port/v1"]},
        quiet => {
            keys => ['sk-ok-quiet-aaaaaaaaaaaa'],
            upstreams => ["http://127.0.0.1:$port/v1"],
            lines => 'APIPoolStreamUsage Off'
        },
    }
);

# The stream as a client gets it, and how the request ended.
sub stream {
    my ($pool, $case, $more) = @_;
    my $ended = sub { metrics($httpd->{base})->by(outcome => 'apipool_requests_total', pool => $pool) };
    my $before = $ended->();
    my $answer = chat($httpd, $pool, query => "case=$case" . ($more // ''), content => '{"stream":true}');
    my ($outcome) = @{
        wait_for(
            sub {
                my $now = $ended->();
                my @more = grep { $now->{$_} > ($before->{$_} // 0) } keys %$now;
                return @more && \@more;
            }
            )
            || []
    };
    return ($answer->{content}, $outcome, $answer->{status});
}

sub all_of {
    return join '', grep { $_ ne 'cut' } @{$streams{$_[0]}};
}

subtest 'usage that nobody asked for' => sub {
    my @cases = qw(no-empty-line choices-null no-choices empty-usage beyond-integers in-pieces);
    for my $case (@cases) {
        is +(stream('on', $case))[0], $text . $DONE, "$case: is hidden";
        is +(stream('quiet', $case))[0], all_of($case), '... where the pool has asked for it';
    }
    is +(stream('on', 'no-empty-line-crlf'))[0], crlf($text . $DONE), 'no-empty-line-crlf: is hidden';
};

subtest 'streams that are done before they break' => sub {
    for my $pool (qw(on quiet)) {
        for my $case (qw(done-then-cut half-done-then-cut done-at-once)) {
            my ($content, $outcome) = stream($pool, $case);
            my $expected = all_of($case);
            $expected =~ s/data: \{"choices":\[\],"usage".*?\n\n// if $pool eq 'on';
            is $content, $expected, "$pool, $case: nothing is added";
            is $outcome, 'complete', '... and nothing is missing';
        }
    }
    is metrics($httpd->{base})->rules('quiet')->{R02}, undef, 'nothing is held against the upstream';
};

subtest 'streams that break' => sub {
    my %begun = (
        'cut' => $text,
        'cut-in-line' => $text,
        'cut-after-line' => qq(${text}data: {"a":1}\n\n),
        'cut-after-crlf' => crlf($text) . qq(data: {"a":1}\r\n\n),
        'cut-after-crlf-apart' => crlf($text) . qq(data: {"a":1}\r\n\n),
        'cut-after-empty-crlf' => crlf($text) . qq(data: {"a":1}\r\n\r\n),
    );
    for my $case (sort keys %begun) {
        my ($content, $outcome) = stream('quiet', $case);
        like $content, $TRUNCATED, "$case: ends with an error";
        $content =~ s/$TRUNCATED//;
        ok $content eq $begun{$case}, '... that stands by itself' or diag substr $content, -80;
        is $outcome, 'truncated', '... and is counted as such';
    }
    my ($content) = stream('quiet', 'cut-in-long-line');
    like $content, $TRUNCATED, 'a line of which some has passed: ends with an error';
    ok $content =~ s/\n\n$TRUNCATED//r eq substr($text . $long, 0, index $content, "\n\ndata: {\"error\""),
        '... behind what has passed';
    ($content) = stream('on', 'cut-after-crlf');
    is $content =~ s/$TRUNCATED//r, crlf($text), 'half an event does not pass where usage is hidden';
};

subtest 'lines in pieces' => sub {
    for my $pool (qw(on quiet)) {
        for my $case (qw(long-line comments-first long-first)) {
            my ($content, $outcome) = stream($pool, $case);
            ok $content eq all_of($case), "$pool, $case: every byte comes";
            is $outcome, 'complete', '... to the end';
        }
    }
};

subtest 'compressed streams' => sub {
    for my $case (qw(choices-null empty-usage)) {
        my ($content, $outcome) = stream('on', $case, '&gzip');
        is $content, all_of($case), "$case: is not touched";
        is $outcome, 'complete', '... nor counted otherwise';
    }
    my ($content, $outcome, $status) = stream('on', 'cut-in-line', '&gzip');
    is $status, 599, 'one that breaks is a short read';
    is $outcome, 'truncated', '... and counted as such';
};

is $httpd->faults, '', 'nothing went wrong inside';

done_testing;
