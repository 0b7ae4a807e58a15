# SPDX-License-Identifier: Apache-2.0
# What is counted is what the upstream reported, to the last token, over all processes.
# APIPOOL_TEST_REQUESTS=N sets the number of requests, APIPOOL_TEST_FULL=1 makes it 100,000.
use strict;
use warnings;

use APIPoolTest qw(pool_server request upstream_mark check_dir metrics parallel mock_port wait_for json);
use APIPoolExposition qw(exposition_faults);
use APIPoolNumbers qw(@NOTES $LOG_OF_NOTES check_exposition exposition read_notes);
use HTTP::Tiny ();
use List::Util qw(sum0);
use Test::More;
use Time::HiRes qw(time);

my $REQUESTS = $ENV{APIPOOL_TEST_FULL} ? 100_000 : $ENV{VALGRIND} ? 320 : 2000;
$REQUESTS = $ENV{APIPOOL_TEST_REQUESTS} if $ENV{APIPOOL_TEST_REQUESTS};
my $CLIENTS = 16;
my $mock = 'http://127.0.0.1:' . mock_port();

# Four processes, with a worker for every client in each; connections end early, so that each gets its share.
my $workers = <<'CONF';
ThreadLimit 40
ThreadsPerChild 40
MaxRequestWorkers 160
StartServers 4
MaxSpareThreads 160
KeepAliveTimeout 60
MaxKeepAliveRequests 10
CONF

my $STREAM = '"stream":true';
my @kinds = (
    ['/chat/completions', ''],
    ['/chat/completions', $STREAM],
    ['/chat/completions', qq($STREAM,"stream_options":{"include_usage":true})],
    ['/embeddings', '"input":["a","b"]'],
    ['/completions', ''],
    ['/completions', $STREAM],
    ['/responses', ''],
    ['/responses', $STREAM],
);

# Each client sends its share over a kept-alive connection; returns how often each status came. What the
# upstream shall report is another for each request.
sub run_clients {
    my ($httpd, $share) = @_;
    my %statuses;
    my @results = parallel(
        $CLIENTS,
        sub {
            my ($client) = @_;
            my $http = HTTP::Tiny->new(keep_alive => 1, timeout => 120);
            my %seen;
            for my $i (1 .. $share) {
                my ($path, $members) = @{$kinds[($i + $client) % @kinds]};
                my $n = ($i * 7919 + $client * 104_729) % 1_000_003;
                my $words = sprintf 'prompt%d completion%d', 500 + $n % 7001, $n % 977;
                $words .= ' cached' . $n % 499 if $n % 3;
                my $answer = $http->post(
                    "$httpd->{base}/exact$path",
                    {
                        content => '{"model":"m"' . ($members && ",$members") . '}',
                        headers => {'x-mock' => $words}
                    }
                );
                $seen{$answer->{status}}++;
            }
            return \%seen;
        }
    );
    for my $seen (map {@$_} @results) {
        $statuses{$_} += $seen->{$_} for keys %$seen;
    }
    return \%statuses;
}

# The upstream's own sums since a mark: answers by status, tokens, and both by key. Questions about keys that
# were lost are none of the clients'.
sub upstream_sums {
    my ($mark) = @_;
    my (%statuses, %tokens, %of_key);
    open my $in, '<:raw', check_dir() . '/t/logs/upstream.jsonl' or die "no record: $!\n";
    seek $in, $mark, 0;
    while (my $line = <$in>) {
        next if $line =~ /"method":"GET"/;
        my ($usage, $status) = $line =~ /"usage":(null|\{[^{}]*\}),"status":(\d+),[^{}]*\}$/
            or die "unexpected line in the record: $line";
        $statuses{$status}++;
        my %of_this = $usage =~ /"(\w+)":(\d+)/g;
        my ($key) = $line =~ /"key":"([^"]*)"/ or die "no key in the record: $line";
        $of_key{$key}{requests}++;
        $of_key{$key}{errors} += $status == 401 || $status == 429;
        $tokens{$_} += $of_this{$_} for keys %of_this;
        $of_key{$key}{$_} += $of_this{$_} // 0 for qw(prompt completion cached);
    }
    return (\%statuses, \%tokens, \%of_key);
}

# Keys are told by their ids, which say nothing of them, so what each of them has is compared in order.
sub per_key_is {
    my ($httpd, $pool, $by_key, $tokens) = @_;
    my $metrics = metrics($httpd->{base}, '?keys=1');
    my @names = qw(requests errors prompt completion cached);
    my $ids = $metrics->by(key => 'apipool_key_state', %$pool);
    my @got = map {
        my %of_key = (%$pool, key => $_);
        join ' ', map({ $metrics->sum("apipool_key_${_}_total", %of_key) } qw(requests errors)),
            map({ $metrics->sum('apipool_key_tokens_total', %of_key, type => $_) } @names[2 .. 4]);
    } keys %$ids;
    my @expected = map {
        my $key = $_;
        join ' ', map { $by_key->{$key}{$_} // 0 } @names;
    } keys %$by_key;
    is_deeply [sort @got], [sort @expected], 'the numbers of every key: ' . @expected;
    is $metrics->sum('apipool_key_tokens_total', %$pool, upstream => 'vendor', type => $_), $tokens->{$_},
        "... $_ tokens of its upstream"
        for qw(prompt completion cached);
    is $metrics->sum('apipool_key_in_flight', %$pool), 0, '... none in flight';
    is_deeply $metrics->by(state => 'apipool_key_state', %$pool), $metrics->states('exact'), '... their states';
    check_exposition(exposition($httpd, '/metrics?keys=1'), 'with keys');
    return;
}

subtest "$REQUESTS requests" => sub {
    my @keys = map { sprintf 'sk-ok-exact-%02d-xxxxxxxx', $_ } 1 .. 30;
    my @refused = qw(401 404 404 429-retry1 404 404);
    splice @keys, 6 * $_ + 3, 0, "sk-$refused[$_]-exact-$_-xxxxxxxx" for 0 .. $#refused;
    my $httpd = pool_server(
        {
            exact => {
                keys => \@keys,
                upstreams => ["$mock/v1 name=vendor"],
                lines => join "\n    ",
                'APIPoolStrategy round-robin', 'APIPoolRotations 9', 'APIPoolRecover 1 1',
                'APIPoolRule 404 rotate none'
            }
        },
        config => $workers . $LOG_OF_NOTES
    );
    my $mark = upstream_mark();
    my $share = int(($REQUESTS + $CLIENTS - 1) / $CLIENTS);
    my $sent = $share * $CLIENTS;
    my $start = time;
    # a stream that a good key serves comes first: until then, a refusal may be about the option that asks for usage
    my $first = request(
        POST => '/exact/chat/completions',
        base => $httpd->{base},
        content => qq({"model":"m",$STREAM}),
        headers => {'x-mock' => 'prompt5 completion7'}
    );
    is $first->{status}, 200, 'a stream is served';
    is_deeply run_clients($httpd, $share), {200 => $sent}, 'every client is served';
    $sent++;
    my $took = time - $start;
    note sprintf '%d requests in %.1f s, %.0f/s', $sent, $took, $sent / $took;

    my ($answers, $tokens, $by_key) = upstream_sums($mark);
    wait_for(sub { metrics($httpd->{base})->sum('apipool_requests_total') >= $sent }, 20);
    my $metrics = metrics($httpd->{base});
    my %pool = (pool => 'exact');
    is $answers->{200}, $sent, 'the upstream has answered as many';
    cmp_ok $answers->{404}, '>', $sent / 12, '... and refused others: ' . join ', ',
        map {"$answers->{$_} with $_"} grep { $_ != 200 } sort keys %$answers;
    is_deeply $metrics->by(outcome => 'apipool_requests_total', %pool), {complete => $sent},
        'all are complete';
    is_deeply $metrics->by(upstream => 'apipool_requests_total', %pool), {vendor => $sent},
        '... at the upstream';
    my %rules = (R00 => 200, R06 => 401, R07 => 429, C01 => 404);
    my %expected = map { $_ => $answers->{$rules{$_}} } grep { $answers->{$rules{$_}} } keys %rules;
    is_deeply $metrics->rules('exact'), \%expected, 'attempts, by what came of them';
    is $metrics->sum('apipool_attempts_total', %pool), sum0(values %$answers), '... every one';
    is $metrics->sum('apipool_tokens_total', %pool, type => $_), $tokens->{$_}, "$_ tokens: $tokens->{$_}"
        for qw(prompt completion cached);
    is $metrics->sum("apipool_${_}_seconds_count", %pool), $sent, "$_: every request"
        for qw(request_duration time_to_first_byte);
    is $metrics->sum("apipool_${_}_seconds_bucket", %pool, le => '+Inf'), $sent, '... in its buckets'
        for qw(request_duration time_to_first_byte);
    is $metrics->in_flight('exact'), 0, 'nothing is in flight';
    is sum0(values %{$metrics->states('exact')}), 36, 'no key is lost';
    is join("\n", exposition_faults(exposition($httpd))), '', 'the metrics are well-formed';

    my (%sums, %counts, %processes, $lines);
    for my $line (grep { $_->[2] eq 'exact' } read_notes($httpd)) {
        my %of_line;
        @of_line{@NOTES, 'process'} = @$line[2 .. $#$line];
        $lines++;
        $processes{$of_line{process}}++;
        $counts{"$of_line{outcome} $of_line{rule} $of_line{usage}"}++;
        $sums{$_} += $of_line{$_} eq '-' ? 0 : $of_line{$_}
            for qw(attempts prompt-tokens completion-tokens cached-tokens total-tokens);
    }
    is $lines, $sent, 'a line in the log for each';
SKIP: {
        skip '... of four processes: under valgrind the first one serves before the others are up', 1
            if $ENV{VALGRIND};
        is scalar keys %processes, 4, '... of four processes';
    }
    is_deeply \%counts, {'complete R00 reported' => $sent}, '... with the same end';
    is $sums{attempts}, sum0(values %$answers), '... all attempts';
    is $sums{"$_-tokens"}, $tokens->{$_}, "... and all $_ tokens" for qw(prompt completion cached);
    is $sums{'total-tokens'}, $tokens->{prompt} + $tokens->{completion}, '... together';

    per_key_is($httpd, \%pool, $by_key, $tokens);

    my $auto = request(GET => '/server-status?auto', base => $httpd->{base})->{content};
    my %auto = $auto =~ /^APIPool\[exact\](\w+): (\S+)$/mg;
    is $auto{Requests}, $sent, 'mod_status: requests';
    if ($took < 50) { # about a minute: the window moves by the second
        is $auto{RPM}, $sent, '... in the last minute';
        is $auto{TPM}, $tokens->{prompt} + $tokens->{completion}, '... and their tokens';
    }
    is $auto{Errors}, 0, '... errors';
    is $auto{Tokens}, $tokens->{prompt} + $tokens->{completion}, '... tokens';
    is $httpd->faults, '', 'nothing went wrong inside';
};

done_testing;
