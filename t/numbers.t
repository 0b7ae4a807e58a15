# SPDX-License-Identifier: Apache-2.0
# What is counted and noted is what the upstream reported, to the last token, over all processes.
# APIPOOL_TEST_REQUESTS=N sets the number of requests, APIPOOL_TEST_FULL=1 makes it 100,000.
use strict;
use warnings;

use APIPoolTest qw(pool_server request upstream_mark check_dir slurp spew metrics parallel mock_port wait_for
    json);
use Apache::Test ();
use Digest::SHA qw(sha1_base64);
use HTTP::Tiny ();
use IO::Socket::INET ();
use JSON::PP ();
use List::Util qw(sum0);
use MIME::Base64 ();
use Test::More;
use Time::HiRes qw(time);

my $REQUESTS = $ENV{APIPOOL_TEST_FULL} ? 100_000 : $ENV{VALGRIND} ? 320 : 2000;
$REQUESTS = $ENV{APIPOOL_TEST_REQUESTS} if $ENV{APIPOOL_TEST_REQUESTS};
my $CLIENTS = 16;
my $mock = 'http://127.0.0.1:' . mock_port();

my @NOTES = qw(pool upstream key attempts rule outcome client model prompt-tokens completion-tokens
    cached-tokens total-tokens usage ttft-ms);
my $format = join '\t', '%q', '%>s', map {"%{apipool-$_}n"} @NOTES;
my $common = <<"CONF";
LogFormat "$format" notes
CustomLog \@DIR\@/notes notes
<Location "/server-status">
    SetHandler server-status
</Location>
CONF

# Four processes, with a worker for every client in each.
my $workers = <<'CONF';
ThreadLimit 40
ThreadsPerChild 40
MaxRequestWorkers 160
StartServers 4
MaxSpareThreads 160
KeepAliveTimeout 60
MaxKeepAliveRequests 0
CONF

# --- The exposition format -----------------------------------------------------------------------

my $NAME = qr/[a-zA-Z_:][a-zA-Z0-9_:]*/;
my $LABEL = qr/[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"/;
my $NUMBER = qr/-?(?:\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|Inf|NaN)|\+Inf/;

# The faults of one histogram's buckets, of which each is [le, value], in their order.
sub histogram_faults {
    my ($series, $buckets, $count, $sum) = @_;
    my @faults;
    my ($last_bound, $last) = ('-Inf', 0);
    for my $bucket (@$buckets) {
        my ($bound, $value) = @$bucket;
        push @faults, "$series: $bound after $last_bound" if $bound <= $last_bound;
        push @faults, "$series: $value after $last" if $value < $last;
        ($last_bound, $last) = ($bound, $value);
    }
    push @faults, "$series: the last bucket is $last_bound" if $last_bound ne '+Inf';
    push @faults, "$series: no count" if !defined $count;
    push @faults, "$series: no sum" if !defined $sum;
    push @faults, "$series: $last in buckets, $count counted" if defined $count && $count != $last;
    return @faults;
}

# What is wrong with a text as Prometheus reads it (prometheus.io/docs/instrumenting/exposition_formats).
sub exposition_faults {
    my ($text) = @_;
    my (@faults, %help, %type, %series, %closed, %buckets, %ends, $family);
    push @faults, 'no line feed at the end' if $text !~ /\n\z/;
    for my $line (split /\n/, $text) {
        if ($line =~ /^# (HELP|TYPE) ($NAME) (.+)$/) {
            my ($kind, $name, $rest) = ($1, $2, $3);
            $closed{$family} = 1 if defined $family && $family ne $name;
            $family = $name;
            my $seen = $kind eq 'HELP' ? \%help : \%type;
            push @faults, "$kind twice: $name" if $seen->{$name};
            push @faults, "not together: $name" if $closed{$name};
            push @faults, "no type: $line" if $kind eq 'TYPE' && $rest !~ /^(?:counter|gauge|histogram|summary)$/;
            $seen->{$name} = $rest;
            next;
        }
        if ($line !~ /^($NAME)(?:\{((?:$LABEL)(?:,$LABEL)*)\})? ($NUMBER)$/) {
            push @faults, "no sample: $line";
            next;
        }
        my ($name, $labels, $value) = ($1, $2 // '', $3);
        if (!defined $family || !$help{$family} || !$type{$family}) {
            push @faults, "no HELP or TYPE: $line";
            next;
        }
        my $type = $type{$family};
        my ($part) = $type eq 'histogram' ? $name =~ /^\Q$family\E_(bucket|sum|count)$/ : ();
        my $of_summary = $type eq 'summary' && $name =~ /^\Q$family\E_(?:sum|count)$/;
        push @faults, "stray sample: $line" if $name ne $family && !$part && !$of_summary;
        push @faults, "twice: $line" if $series{"$name {$labels}"}++;
        push @faults, "a counter without _total: $line" if $type eq 'counter' && $name !~ /_total$/;
        push @faults, "negative: $line" if $type ne 'gauge' && $value < 0;
        next if !$part;
        if ($part eq 'bucket') {
            push @faults, "a bucket without bound: $line" if $labels !~ s/,?le="([^"]*)"//;
            push @{$buckets{"$family {$labels}"}}, [$1, $value];
        }
        else {
            $ends{"$family {$labels}"}{$part} = $value;
        }
    }
    for my $one (sort keys %{{%buckets, %ends}}) {
        push @faults, histogram_faults($one, $buckets{$one} || [], @{$ends{$one} || {}}{qw(count sum)});
    }
    return @faults;
}

sub exposition {
    my ($httpd, $path) = @_;
    my $answer = request(GET => $path || '/metrics', base => $httpd->{base});
    return $answer->{content};
}

# --- Every token ---------------------------------------------------------------------------------

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

# The upstream's own sums since a mark: answers by status, and tokens.
sub upstream_sums {
    my ($mark) = @_;
    my (%statuses, %tokens);
    open my $in, '<:raw', check_dir() . '/t/logs/upstream.jsonl' or die "no record: $!\n";
    seek $in, $mark, 0;
    while (my $line = <$in>) {
        next if $line =~ /"method":"GET"/; # a probe, which counts as nobody's attempt
        my ($usage, $status) = $line =~ /"usage":(null|\{[^{}]*\}),"status":(\d+),[^{}]*\}$/
            or die "unexpected line in the record: $line";
        $statuses{$status}++;
        my %of_this = $usage =~ /"(\w+)":(\d+)/g;
        $tokens{$_} += $of_this{$_} for keys %of_this;
    }
    return (\%statuses, \%tokens);
}

sub read_notes {
    my ($httpd) = @_;
    return map { [split /\t/, $_, -1] } grep {/\t/} split /\n/, slurp("$httpd->{dir}/notes");
}

subtest "$REQUESTS requests" => sub {
    my @keys = map { sprintf 'sk-ok-exact-%02d-xxxxxxxx', $_ } 1 .. 30;
    my @refused = qw(401 404 404 429-retry1 404 404);
    splice @keys, 6 * $_, 0, "sk-$refused[$_]-exact-$_-xxxxxxxx" for 0 .. $#refused;
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
        config => $workers . $common
    );
    my $mark = upstream_mark();
    my $share = int(($REQUESTS + $CLIENTS - 1) / $CLIENTS);
    my $sent = $share * $CLIENTS;
    my $start = time;
    is_deeply run_clients($httpd, $share), {200 => $sent}, 'every client is served';
    my $took = time - $start;
    note sprintf '%d requests in %.1f s, %.0f/s', $sent, $took, $sent / $took;

    my ($answers, $tokens) = upstream_sums($mark);
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

    my (%sums, %counts, $lines);
    for my $line (grep { $_->[2] eq 'exact' } read_notes($httpd)) {
        my %of_line;
        @of_line{@NOTES} = @$line[2 .. $#$line];
        $lines++;
        $counts{"$of_line{outcome} $of_line{rule} $of_line{usage}"}++;
        $sums{$_} += $of_line{$_} eq '-' ? 0 : $of_line{$_}
            for qw(attempts prompt-tokens completion-tokens cached-tokens total-tokens);
    }
    is $lines, $sent, 'a line in the log for each';
    is_deeply \%counts, {'complete R00 reported' => $sent}, '... with the same end';
    is $sums{attempts}, sum0(values %$answers), '... all attempts';
    is $sums{"$_-tokens"}, $tokens->{$_}, "... and all $_ tokens" for qw(prompt completion cached);
    is $sums{'total-tokens'}, $tokens->{prompt} + $tokens->{completion}, '... together';

    my $auto = request(GET => '/server-status?auto', base => $httpd->{base})->{content};
    my %auto = $auto =~ /^APIPool\[exact\](\w+): (\S+)$/mg;
    is $auto{Requests}, $sent, 'mod_status: requests';
    is $auto{Errors}, 0, '... errors';
    is $auto{Tokens}, $tokens->{prompt} + $tokens->{completion}, '... tokens';
    is $httpd->faults, '', 'nothing went wrong inside';
};

# --- Notes ---------------------------------------------------------------------------------------

my $users = 'alice:{SHA}' . sha1_base64('secret-word') . "=\n";
my $auth = <<'CONF';
AuthType Basic
    AuthName pool
    AuthUserFile "@DIR@/users"
    Require valid-user
CONF
my $httpd = pool_server(
    {
        main => {keys => ['sk-ok-main-secret-aaaaaaaa'], upstreams => ["$mock/v1 name=vendor"]},
        guarded => {keys => ['sk-ok-guarded-secret-aaaa'], location => $auth},
        none => {keys => '[{"key":"sk-ok-none-secret-aaaaaaaa","enabled":false}]'},
        rejected => {
            keys => ['sk-401-rejected-secret-aaaa', 'sk-ok-rejected-secret-bbbb'],
            lines => 'APIPoolStrategy fill-first'
        },
        dead => {keys => ['sk-401-dead-secret-aaaaaaaa', 'sk-401-dead-secret-bbbbbbbb']},
        down => {keys => ['sk-ok-down-secret-aaaaaaaa'], upstreams => ['http://127.0.0.1:9/v1 name=gone']},
    },
    config => $common,
    files => {users => $users}
);
my $secrets = qr/secret|sk-/;

my $asked = 0;

# noted(POOL, BODY, WORDS, OPTIONS): the answer, and the notes of the request by their names.
sub noted {
    my ($pool, $body, $words, %options) = @_;
    my $id = 'id=' . ++$asked;
    my $answer;
    if (my $act = delete $options{act}) {
        $act->("/$pool/chat/completions?$id", $body, $words);
    }
    else {
        $answer = request(
            POST => "/$pool/chat/completions?$id",
            base => $httpd->{base},
            content => $body,
            headers => {'x-mock' => $words // 'ok', %options}
        );
    }
    my $line = wait_for(sub { (grep { $_->[0] eq "?$id" } read_notes($httpd))[0] });
    my %notes;
    @notes{'query', 'status', @NOTES} = @{$line || []};
    return ($answer, \%notes);
}

sub notes_are {
    my ($notes, $what, %expected) = @_;
    my %got = map { $_ => $notes->{$_} } keys %expected;
    is_deeply \%got, \%expected, $what or diag explain $notes;
    return;
}

my %USAGE = (
    'prompt-tokens' => 120,
    'completion-tokens' => 34,
    'cached-tokens' => 56,
    'total-tokens' => 154,
    usage => 'reported'
);
my $WORDS = 'prompt120 completion34 cached56';

subtest 'notes of requests that are served' => sub {
    for my $body ('{"model":"gpt-x"}', '{"model":"gpt-x","stream":true}') {
        my ($answer, $notes) = noted('main', $body, $WORDS);
        is $answer->{status}, 200, $body;
        notes_are(
            $notes, 'all is noted',
            %USAGE,
            status => 200,
            pool => 'main',
            upstream => 'vendor',
            key => $answer->{headers}{'x-apipool-key'},
            attempts => 1,
            rule => 'R00',
            outcome => 'complete',
            client => '-',
            model => 'gpt-x'
        );
        like $notes->{'ttft-ms'}, qr/^\d+$/, '... the time to the first byte, too';
    }
    my ($answer, $notes) = noted('main', '{}', "$WORDS slow delayms400");
    cmp_ok $notes->{'ttft-ms'}, '>=', 300, 'an answer that takes its time';
    is $notes->{model}, '-', 'no model is named';

    ($answer, $notes) = noted('main', '{"model":"gpt-x"}', 'prompt0 completion0 cached0');
    notes_are(
        $notes, 'zero is zero',
        'prompt-tokens' => 0, 'completion-tokens' => 0, 'cached-tokens' => 0, 'total-tokens' => 0,
        usage => 'reported'
    );
    ($answer, $notes) = noted('main', '{"model":"gpt-x"}', 'prompt5 completion6');
    is $notes->{'cached-tokens'}, '-', '... and what is not reported is not';
    ($answer, $notes) = noted('main', '{"model":"gpt-x","messages":"how are you today"}', 'nousage');
    is $notes->{usage}, 'estimated', 'an answer that reports nothing';
    like $notes->{'total-tokens'}, qr/^[1-9]\d*$/, '... has an estimate';
    is $notes->{'cached-tokens'}, '-', '... of what can be estimated';

    my $basic = 'Basic ' . MIME::Base64::encode_base64('alice:secret-word', '');
    ($answer, $notes) = noted('guarded', '{"model":"gpt-x"}', $WORDS, authorization => $basic);
    notes_are($notes, 'a client with a name', %USAGE, client => 'alice', pool => 'guarded');

    ($answer, $notes) = noted('rejected', '{"model":"gpt-x"}', $WORDS);
    notes_are(
        $notes, 'a request that took two attempts',
        %USAGE,
        attempts => 2, rule => 'R00', outcome => 'complete', key => $answer->{headers}{'x-apipool-key'}
    );
};

subtest 'notes of requests that are not' => sub {
    my %nothing = map { $_ => '-' } grep {/tokens/} @NOTES;
    my ($answer, $notes) = noted('none', '{"model":"gpt-x"}');
    notes_are(
        $notes, 'refused: there is no key',
        %nothing,
        status => 503,
        pool => 'none',
        upstream => '-',
        key => '-',
        attempts => 0,
        rule => '-',
        outcome => 'refused',
        usage => 'none',
        model => 'gpt-x',
        'ttft-ms' => '-'
    );
    ($answer, $notes) = noted('dead', '{"model":"gpt-x"}');
    notes_are(
        $notes, 'failed: all keys are rejected',
        %nothing,
        status => 401, attempts => 2, rule => 'R06', outcome => 'failed', usage => 'none'
    );
    ($answer, $notes) = noted('main', '{"model":"gpt-x"}', 'ctx400');
    notes_are(
        $notes, "failed: the client's own mistake",
        %nothing,
        status => 400, attempts => 1, rule => 'R11', outcome => 'failed', usage => 'none'
    );
    ($answer, $notes) = noted('down', '{"model":"gpt-x"}');
    notes_are(
        $notes, 'failed: no connection',
        %nothing,
        status => 502, attempts => 2, upstream => 'gone', rule => 'R03', outcome => 'failed', usage => 'none',
        'ttft-ms' => '-'
    );
    ($answer, $notes) = noted('main', '{"model":"gpt-x","stream":true}', "$WORDS cut");
    notes_are(
        $notes, 'truncated: a stream',
        status => 200, attempts => 1, rule => 'R02', outcome => 'truncated', usage => 'estimated'
    );
    like $notes->{'ttft-ms'}, qr/^\d+$/, '... that had begun';
    my $leave = sub {
        my ($path, $body, $words) = @_;
        my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$httpd->{port}", Timeout => 10)
            or die "cannot connect: $@\n";
        print {$socket} "POST $path HTTP/1.1\r\nHost: x\r\nX-Mock: $words\r\nContent-Length: "
            . length($body) . "\r\n\r\n$body";
        sysread $socket, my $first, 4096;
        close $socket;
    };
    ($answer, $notes) = noted('main', '{"model":"gpt-x","stream":true}', 'gap300', act => $leave);
    notes_are(
        $notes, 'client_abort: the client has left inside of a stream',
        attempts => 1, rule => 'R01', outcome => 'client_abort', usage => 'estimated', upstream => 'vendor'
    );
};

subtest 'names of models are bounded and clean' => sub {
    my %models = (
        'of 10 kB' => 'm' x 10_000,
        'of 64 bytes' => 'n' x 64,
        'of 63 bytes' => 'o' x 63,
        'of 10 kB with all that needs escaping' => "a\"b\\c\nd\te'f" . "\"\n" x 5000,
        'with forged notes' => "x\t-\trefused\nline2\r\n",
        'cut inside of a character' => 'p' x 62 . "\x{e4}\x{e4}",
    );
    for my $what (sort keys %models) {
        my ($answer, $notes) = noted('main', JSON::PP->new->ascii->encode({model => $models{$what}}), $WORDS);
        my $model = $notes->{model} // '';
        (my $bytes = $model) =~ s/\\x([0-9a-f]{2})/chr hex $1/ge;
        cmp_ok length $bytes, '<=', 63, "a model name $what is cut";
        cmp_ok length $bytes, '>', 4, '... and not lost';
        unlike $bytes, qr/["'\\\x00-\x1f]/, '... and clean';
        is substr($bytes, 0, 1), substr($models{$what}, 0, 1), '... from its beginning';
        notes_are($notes, '... and the other notes are in place', %USAGE, outcome => 'complete');
    }
    my ($answer, $notes) = noted('main', qq({"model":"bad\xff\xfeutf"}), $WORDS);
    is $notes->{model}, 'bad??utf', 'bytes that are no UTF-8';
};

# --- Metrics and mod_status ----------------------------------------------------------------------

# Well-formed rows, all as wide as the first: a list of their cells.
sub rows_of {
    my ($table) = @_;
    my @rows;
    for my $row ($table =~ m{<tr>(.*?)</tr>}gs) {
        my @cells;
        my $rest = $row;
        while ($rest =~ s{\A<(t[hd])(?: colspan="(\d+)")?>([^<>]*)</\1>}{}) {
            push @cells, [$3, $2 // 1];
        }
        fail "a row that is none: $row" if $rest ne '';
        push @rows, \@cells;
    }
    (my $outside = $table) =~ s{<tr>.*?</tr>\n?}{}gs;
    unlike $outside, qr/[<>]/, 'nothing stands between the rows';
    my %widths = map { sum0(map { $_->[1] } @$_) => 1 } @rows;
    is scalar keys %widths, 1, 'the rows are equally wide';
    return @rows;
}

subtest 'mod_status' => sub {
    my $page = request(GET => '/server-status', base => $httpd->{base})->{content};
    my ($table) = $page =~ m{<h1>mod_apipool</h1>\s*<table[^>]*>(.*?)</table>}s
        or return fail 'there is no section';
    my @rows = rows_of($table);
    my @head = map { $_->[0] } @{shift @rows};
    is_deeply [sort @head],
        [sort qw(Upstream active cooling quota invalid tripped half_open disabled success), 'in flight'],
        'states in the head';
    my (%of_pool, %upstreams, $pool);
    for my $row (@rows) {
        my @cells = map { $_->[0] } @$row;
        if (@cells == 1) {
            ($pool) = $cells[0] =~ /^(\S+): /;
            $of_pool{$pool} = $cells[0];
            next;
        }
        $upstreams{$pool}{$cells[0]} = {map { $head[$_] => $cells[$_] } 1 .. $#cells};
    }
    is_deeply [sort keys %of_pool], [qw(dead down guarded main none rejected)], 'all pools are there';
    like $of_pool{guarded}, qr/^guarded: 1 requests, 0 errors, 154 tokens; last minute 1 requests, 154 /,
        '... with their numbers';
    is $upstreams{dead}{'127.0.0.1'}{invalid}, 2, '... and the states of their keys';
    is $upstreams{none}{'127.0.0.1'}{disabled}, 1, '... one disabled';
    is $upstreams{main}{vendor}{'in flight'}, 0, '... and what is in flight';

    my $auto = request(GET => '/server-status?auto', base => $httpd->{base})->{content};
    my @lines = $auto =~ /^(APIPool.*)$/mg;
    my $label = qr/\[[^][\s]+\]/;
    my $what = qr/Requests|Errors|Tokens|RPM|TPM|$label(?:Keys$label|InFlight)/;
    is join("\n", grep { !/^APIPool$label(?:$what): -?\d+$/ } @lines), '',
        '?auto: each line is a name and a number';
    my %seen;
    $seen{(split /: /)[0]}++ for @lines;
    is scalar(grep { $_ > 1 } values %seen), 0, '... each once';
    my %auto = map { split /: /, $_, 2 } @lines;
    is $auto{'APIPool[guarded]Tokens'}, 154, '... tokens';
    is $auto{'APIPool[dead][127.0.0.1]Keys[invalid]'}, 2, '... states';
};

sub check_exposition {
    my ($text, $what) = @_;
    is join("\n", exposition_faults($text)), '', "$what: the exposition format";
SKIP: {
        my ($promtool) = grep {-x} map {"$_/promtool"} split /:/, $ENV{PATH};
        skip "$what: promtool is not installed", 1 if !$promtool;
        my $file = spew(check_dir() . "/t/logs/metrics-$$", $text);
        my $said = qx('$promtool' check metrics < '$file' 2>&1);
        is "$?\n$said", "0\n", '... promtool has nothing to say';
        unlink $file;
    }
    return;
}

subtest 'metrics' => sub {
    my $answer = request(GET => '/metrics', base => $httpd->{base});
    like $answer->{headers}{'content-type'}, qr{^text/plain; version=0\.0\.4}, 'of the right type';
    check_exposition($answer->{content}, 'six pools');
    my $metrics = metrics($httpd->{base});
    is_deeply $metrics->by(outcome => 'apipool_requests_total', pool => 'none'), {refused => 1}, 'refused';
    is_deeply $metrics->by(rule => 'apipool_refusals_total', pool => 'none'), {R15 => 1}, '... by R15';
    is_deeply $metrics->by(outcome => 'apipool_requests_total', pool => 'dead'), {failed => 1}, 'failed';
    my $main = $metrics->by(outcome => 'apipool_requests_total', pool => 'main');
    is $main->{truncated}, 1, 'truncated';
    is $main->{client_abort}, 1, 'client_abort';
    is $metrics->sum('apipool_time_to_first_byte_seconds_count', pool => 'none'), 0,
        'a request that had no answer had no first byte';
    is $metrics->sum('apipool_request_duration_seconds_count', pool => 'none'), 1, '... and yet an end';
    is $metrics->sum('apipool_in_flight'), 0, 'nothing is in flight';
    is_deeply [exposition_faults("# HELP a_total x\n# TYPE a_total counter\na_total{b=\"\"c\"} 1\n")],
        ['no sample: a_total{b=""c"} 1'], 'a fault would be found';

    for my $method (qw(POST DELETE)) {
        is request($method => '/metrics', base => $httpd->{base})->{status}, 405, "$method is not allowed";
    }
    is request(HEAD => '/metrics', base => $httpd->{base})->{status}, 200, 'HEAD is';
};

subtest 'strange names' => sub {
    my $long = 'x' x 63;
    my $strange = pool_server(
        {
            'a.b:c_D-9' => {
                keys => {
                    'u.:-_9' => ['sk-ok-strange-secret-aaaa'],
                    '127.0.0.1' => ['sk-ok-strange-secret-bbbb']
                },
                upstreams => ["$mock/v1 name=u.:-_9", "$mock/v2", 'http://[::1]:9/v1 priority=9']
            },
            '0' => {keys => ['sk-ok-strange-secret-cccc']},
            $long => {keys => ['sk-ok-strange-secret-dddd']},
            unused => {keys => ''},
        },
        config => $common . <<"CONF"
<VirtualHost 127.0.0.1:\@PORT\@>
    ServerName of-its-own
    <APIPool unused>
        APIPoolUpstream $mock/v3
    </APIPool>
    <APIPool own>
        APIPoolUpstream $mock/v3
    </APIPool>
</VirtualHost>
CONF
    );
    for my $pool ('0', 'a.b:c_D-9', $long) {
        my $answer = request(POST => "/$pool/chat", base => $strange->{base}, content => '{"model":"m"}');
        is $answer->{status}, 200, "pool $pool serves";
    }
    wait_for(sub { metrics($strange->{base})->sum('apipool_requests_total') >= 3 });
    my $text = exposition($strange);
    check_exposition($text, 'strange names');
    my $metrics = metrics($strange->{base});
    is_deeply $metrics->by(pool => 'apipool_requests_total'), {'0' => 1, 'a.b:c_D-9' => 1, $long => 1},
        'each pool has its own numbers';
    my $page = request(GET => '/server-status', base => $strange->{base})->{content};
    rows_of($page =~ m{<h1>mod_apipool</h1>\s*<table[^>]*>(.*?)</table>}s);
    unlike $text . $page . $strange->log, $secrets, 'no secret anywhere';
};

subtest 'secrets' => sub {
    my %places = (
        'the log of notes' => slurp("$httpd->{dir}/notes"),
        'the error log' => $httpd->log,
        'the metrics' => exposition($httpd),
        'the status page' => request(GET => '/server-status', base => $httpd->{base})->{content},
        '... in short' => request(GET => '/server-status?auto', base => $httpd->{base})->{content},
    );
    unlike $places{$_}, $secrets, "$_: no secret" for sort keys %places;
};

is $httpd->faults, '', 'nothing went wrong inside';

done_testing;
