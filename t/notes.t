# SPDX-License-Identifier: Apache-2.0
# What is noted of a request and told of pools: in a log, in the metrics, by mod_status; of strange names, and of no
# secret.
use strict;
use warnings;

use APIPoolTest qw(pool_server chat request metrics mock_port slurp wait_for);
use APIPoolExposition qw(exposition_faults);
use APIPoolNumbers qw(@NOTES $LOG_OF_NOTES check_exposition exposition read_notes);
use Digest::SHA qw(sha1_base64);
use IO::Socket::INET ();
use JSON::PP ();
use List::Util qw(sum0);
use MIME::Base64 ();
use Test::More;
use Time::HiRes qw(time);

my $mock = 'http://127.0.0.1:' . mock_port();

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
    config => $LOG_OF_NOTES,
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
        $answer = chat($httpd, $pool, query => $id, content => $body, headers => {'x-mock' => $words // 'ok', %options});
    }
    my $line = wait_for(sub { (grep { $_->[0] eq "?$id" } read_notes($httpd))[0] });
    my %notes;
    @notes{'query', 'status', @NOTES, 'process'} = @{$line || []};
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

    my $wrong = 'Basic ' . MIME::Base64::encode_base64('mallory:wrong', '');
    ($answer, $notes) = noted('guarded', '{"model":"gpt-x"}', $WORDS, authorization => $wrong);
    my %nothing = map { $_ => '-' } @NOTES;
    notes_are($notes, 'one whose password is wrong', %nothing, status => 401, pool => 'guarded');
    is metrics($httpd->{base})->sum('apipool_requests_total', pool => 'guarded'), 1, '... is not counted';

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

subtest 'a client that leaves inside of its request' => sub {
    my @ways = (
        ['a length', "Content-Length: 1000", '{"model":"m"'],
        ['chunks', 'Transfer-Encoding: chunked', "400\r\n{\"model\":\"m\""],
    );
    for my $way (@ways) {
        my ($what, $field, $begun) = @$way;
        my $leave = sub {
            my ($path) = @_;
            my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$httpd->{port}", Timeout => 10)
                or die "cannot connect: $@\n";
            print {$socket} "POST $path HTTP/1.1\r\nHost: x\r\n$field\r\n\r\n$begun";
            close $socket;
        };
        my $before = metrics($httpd->{base})->sum('apipool_requests_total', outcome => 'refused');
        my ($answer, $notes) = noted('main', '', '', act => $leave);
        notes_are($notes, "$what: is no refusal", outcome => 'client_abort', attempts => 0, usage => 'none');
        is metrics($httpd->{base})->sum('apipool_requests_total', outcome => 'refused'), $before, '... nor counted as one';
    }
    my $garble = sub {
        my ($path) = @_;
        APIPoolTest::send_raw(
            "POST $path HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nxyz\r\n",
            port => $httpd->{port}
        );
    };
    my ($answer, $notes) = noted('main', '', '', act => $garble);
    notes_are($notes, 'what is malformed is', status => 400, outcome => 'refused', attempts => 0);
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
        [sort qw(Upstream active cooling quota invalid tripped half_open disabled orphaned success), 'in flight'],
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

subtest 'metrics' => sub {
    my $answer = request(GET => '/metrics', base => $httpd->{base});
    like $answer->{headers}{'content-type'}, qr{^text/plain; version=0\.0\.4}, 'of the right type';
    check_exposition($answer->{content}, 'six pools');
    unlike $answer->{content}, qr/apipool_key_/, 'keys are not told of';
    unlike exposition($httpd, '/metrics?keys=10&xkeys=1'), qr/apipool_key_/, '... unless they are asked for';
    my $metrics = metrics($httpd->{base});
    is_deeply $metrics->by(outcome => 'apipool_requests_total', pool => 'none'), {refused => 1}, 'refused';
    is_deeply $metrics->by(rule => 'apipool_refusals_total', pool => 'none'), {R15 => 1}, '... by R15';
    is_deeply $metrics->by(outcome => 'apipool_requests_total', pool => 'dead'), {failed => 1}, 'failed';
    my $main = $metrics->by(outcome => 'apipool_requests_total', pool => 'main');
    is $main->{truncated}, 1, 'truncated';
    is $main->{client_abort}, 3, 'client_abort';
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
        config => $LOG_OF_NOTES . <<"CONF"
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
        my $answer = chat($strange, $pool);
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
