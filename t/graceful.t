# SPDX-License-Identifier: Apache-2.0
# Graceful restarts, one after the other and some into another, under streams and requests: nobody notices, and every
# count is exact. APIPOOL_TEST_FULL makes them 50 under 32 streams and 200 requests a second.
use strict;
use warnings;

use APIPoolTest qw(private_httpd pool_server metrics wait_for spew upstream_since background json chat);
use Digest::SHA qw(sha1_hex);
use HTTP::Tiny ();
use List::Util qw(max sum0);
use Test::More;
use Time::HiRes qw(sleep time);

my ($restarts, $streams, $rate) = $ENV{APIPOOL_TEST_FULL} ? (50, 32, 200) : (5, 8, 50);
my $PAUSE = 1.5;            # seconds from one restart to the next
my $EACH = 3;               # of so many restarts one comes while another one is under way
my $GAP = 50;               # milliseconds between the events of a stream
my @LENGTH = (40, 140);     # its events, at least and at most: it lives through up to five restarts
my $CLIENTS = $rate / 12.5; # that send the requests, half of them over connections that are kept alive

# The upstream is not restarted, and closes no idle connection, not even for want of threads: what it has recorded is
# all that it was sent.
my $upstream = private_httpd(config => <<'CONF');
LogLevel warn
ThreadLimit 200
ThreadsPerChild 200
MaxRequestWorkers 400
MaxSpareThreads 400
KeepAliveTimeout 600
MaxKeepAliveRequests 0
MockLLMRecord @DIR@/upstream.jsonl
<Location "/up">
    SetHandler mock-llm
</Location>
CONF

# A restart leaves its children until their last stream has ended: they need places on the scoreboard.
my $httpd = pool_server(
    {   p => {
            keys => [(map {"sk-ok-graceful-$_-aaaaaaaa"} 1 .. 6), 'sk-429-retry1-graceful-bbbb', 'sk-401-graceful-cccccccc'],
            upstreams => ["$upstream->{base}/up/v1"],
            lines => "APIPoolStrategy round-robin\n    APIPoolRecover 1 2",
        }
    },
    config => "LogLevel notice\nServerLimit 64\n"
);
my $over = "$httpd->{dir}/over";

my @words = ('Hello', ' from', ' the', ' mock', ' upstream.');

# What is wrong with a stream, if anything: it must have all events, in their order, and its end.
sub stream_fault {
    my ($answer, $events) = @_;
    return "$answer->{status} $answer->{content}" if $answer->{status} != 200;
    my @data = $answer->{content} =~ /^data: (.*)\n\n/mg;
    my $done = pop @data // '';
    return 'cut: ' . substr $answer->{content}, -200 if $done ne '[DONE]' || $answer->{content} !~ /\n\n\z/;
    return scalar(@data) . " events, not $events and two" if @data != $events + 2;
    my $text = join '', map { json($_)->{choices}[0]{delta}{content} // '' } @data;
    return $text eq join('', map { $words[$_ % @words] } 0 .. $events - 1) ? () : "other text: $text";
}

sub answer_fault {
    my ($answer, $body) = @_;
    return "$answer->{status} $answer->{content}" if $answer->{status} != 200;
    my $json = json($answer->{content}) || {};
    return "other text: $answer->{content}" if ($json->{choices}[0]{message}{content} // '') ne join '', @words;
    return $answer->{headers}{'x-body-sha1'} eq sha1_hex($body) ? () : 'the answer to another request';
}

# A client that has one stream after the other.
sub stream_on {
    my ($number) = @_;
    my %told = (streams => 0, attempts => 0, faults => [], spans => []);
    srand $number;
    while (!-e $over) {
        my $events = $LENGTH[0] + int rand $LENGTH[1] - $LENGTH[0];
        my $begin = time;
        my $answer = chat(
            $httpd, 'p',
            stream => $events,
            http => HTTP::Tiny->new(keep_alive => 0, timeout => 60),
            headers => {'x-mock' => "gap$GAP"}
        );
        push @{$told{faults}}, stream_fault($answer, $events);
        push @{$told{spans}}, [$begin, time];
        $told{streams}++;
        $told{attempts} += $answer->{headers}{'x-apipool-attempts'} // 0;
    }
    return \%told;
}

# A client that sends requests by the clock. httpd may close an idle connection in the moment in which a request is on its
# way: that one is sent again, as any client does, and would be counted twice if the pool had seen it before.
sub ask_on {
    my ($number) = @_;
    my %told = (requests => 0, attempts => 0, resent => 0, slowest => 0, faults => []);
    my $is_kept = $number % 2;
    my $http = HTTP::Tiny->new(keep_alive => $is_kept, timeout => 60);
    my $begin = time;
    for (my $count = 0; !-e $over; $count++) {
        my $wait = $begin + $count * $CLIENTS / $rate - time;
        sleep $wait if $wait > 0;
        my $body = sprintf '{"model":"m","client":%d,"request":%d}', $number, $count;
        my $sent = time;
        my $is_reused = $http->{handle} ? 1 : 0;
        my @request = ($httpd, 'p', content => $body, headers => {'x-mock' => 'sums'}, http => $http);
        my $answer = chat(@request);
        if ($answer->{status} == 599 && $is_kept && $is_reused) {
            $told{resent}++;
            $answer = chat(@request);
        }
        push @{$told{faults}}, answer_fault($answer, $body);
        $told{requests}++;
        $told{attempts} += $answer->{headers}{'x-apipool-attempts'} // 0;
        $told{slowest} = max($told{slowest}, time - $sent);
    }
    return \%told;
}

my $seen = 0; # bytes of the log that have been looked at
my $resumed = 0;

sub resumed {
    open my $log, '<', "$httpd->{dir}/error_log" or die "$!\n";
    seek $log, $seen, 0;
    while (my $line = <$log>) {
        last if $line !~ /\n\z/;
        $seen += length $line;
        $resumed++ if $line =~ /resuming normal operations/;
    }
    return $resumed;
}

# Returns when it began; undef if it never ended.
sub restart {
    my ($is_doubled) = @_;
    my $before = resumed();
    my $begin = time;
    $httpd->graceful;
    if ($is_doubled) {
        sleep rand 0.1;
        $httpd->graceful;
    }
    return wait_for(sub { resumed() > $before }, 30) && $begin;
}

resumed();
my @jobs = ((map { my $n = $_; background(sub { stream_on($n) }) } 1 .. $streams),
    (map { my $n = $_; background(sub { ask_on($n) }) } 1 .. $CLIENTS));
my $begin = time;
my (@times, @sums);
for my $number (1 .. $restarts) {
    sleep $PAUSE;
    push @times, restart($number % $EACH == 0) || last;
    push @sums, metrics($httpd->{base})->sum('apipool_requests_total', pool => 'p');
}
sleep $PAUSE;
my $took = time - $begin;
spew($over, '');
my @told = map { $_->() } @jobs;

my %sum;
for my $name (qw(streams requests attempts resent)) {
    $sum{$name} = sum0(map { $_->{$name} // 0 } @told);
}
my @spans = map { @{$_->{spans} || []} } @told;
my @crossed = map { my ($from, $to) = @$_; scalar grep { $_ > $from && $_ < $to } @times } @spans;
diag sprintf '%d restarts in %.0f s; %d requests, %.0f a second, the slowest %.2f s, %d sent again after an idle '
    . 'connection had been closed; %d streams, %d of them over a restart or more, up to %d', scalar @times, $took,
    $sum{requests}, $sum{requests} / $took, max(map { $_->{slowest} // 0 } @told), $sum{resent}, $sum{streams},
    scalar(grep {$_} @crossed), max(@crossed);

is scalar @times, $restarts, "$restarts restarts";
my @faults = map { @{$_->{faults}} } grep { exists $_->{streams} } @told;
is scalar @faults, 0, 'no stream is cut' or diag $faults[0];
@faults = map { @{$_->{faults}} } grep { exists $_->{requests} } @told;
is scalar @faults, 0, 'no request fails' or diag $faults[0];
cmp_ok max(@crossed), '>=', 2, 'there were streams that lived through several restarts';
is scalar(grep { $sums[$_] < $sums[$_ - 1] } 1 .. $#sums), 0, 'no count ever went back';

# A request is counted when it has been logged, which is after its client has the answer.
my $all = $sum{streams} + $sum{requests};
my $counted = wait_for(
    sub {
        my $now = metrics($httpd->{base});
        return $now->sum('apipool_requests_total', pool => 'p') >= $all && !$now->in_flight('p') && $now;
    }
) || metrics($httpd->{base});
my @record = grep { $_->{method} eq 'POST' } upstream_since(0, "$upstream->{dir}/upstream.jsonl");
my %rule = (200 => 'R00', 429 => 'R07', 401 => 'R06');
my (%attempts, %tokens);
for my $line (@record) {
    $attempts{$rule{$line->{status}} // $line->{status}}++;
    $tokens{$_} += ($line->{usage} || {})->{$_} // 0 for qw(prompt completion);
}

sub check_totals {
    my ($when, $got) = @_;
    is_deeply $got->by(outcome => 'apipool_requests_total', pool => 'p'), {complete => $all}, "$when: requests";
    my %by_rule = %{$got->rules('p')};
    my $spared = delete $by_rule{R11} // 0;
    cmp_ok $spared, '<=', $streams, "$when: until the upstream is known to take the option for usage, few refusals may be about it";
    is sum0($spared, values %by_rule), sum0(values %attempts), "$when: attempts";
    is scalar(grep { ($by_rule{$_} // 0) + $spared < $attempts{$_} } keys %attempts), 0, '... by rule';
    is_deeply $got->by(type => 'apipool_tokens_total', pool => 'p'), \%tokens, "$when: tokens";
    return;
}

is $attempts{R00}, $all, 'the upstream has served each request once';
is scalar @record, $sum{attempts}, '... and seen the attempts that clients were told of';
cmp_ok $attempts{R07}, '>', 0, '... of which some were refused';
check_totals('in the end', $counted);
is $counted->in_flight('p'), 0, 'nothing is in flight';
ok wait_for(sub { $httpd->children <= 4 }, 30), 'the children of earlier generations have ended';
$httpd->stop;
$httpd->start;
check_totals('after a stop', metrics($httpd->{base}));
is $httpd->faults, '', 'nothing went wrong';
unlike $httpd->log, qr/AH0048[45]|scoreboard|long lost child|did not exit/, '... nor was httpd short of anything';

done_testing;
