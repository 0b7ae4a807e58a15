# SPDX-License-Identifier: Apache-2.0
# Keys that were lost come back through requests that cost nothing, by the clock, whatever process sends them.
use strict;
use warnings;

use APIPoolTest qw(pool_server metrics wait_for spew upstream_since closed_port serve_raw read_request chat);
use Test::More;
use Time::HiRes qw(sleep time);

my $INTERVAL = 3; # seconds between probes of a key whose upstream is down
my $outage = $ENV{APIPOOL_TEST_FULL} ? 60 : 12;
my %words;

# What the upstream does with keys from now on: (KEY => words, ...).
sub script {
    my ($httpd, %more) = @_;
    %words = (%words, %more);
    my $text = join '', map {"$_ $words{$_}\n"} grep { length $words{$_} } sort keys %words;
    spew("$httpd->{dir}/words.new", $text);
    rename "$httpd->{dir}/words.new", "$httpd->{dir}/words" or die "$!\n";
    return;
}

sub upstream {
    my ($name, $options) = @_;
    return 'http://127.0.0.1:@PORT@/mock/' . "$name/v1" . ($options // '');
}

my $mock = qq(MockLLMRecord \@DIR\@/upstream.jsonl\nMockLLMWords \@DIR\@/words\n<Location "/mock">\n    SetHandler mock-llm\n</Location>\n);

sub server {
    my ($pools, %options) = @_;
    return pool_server($pools, %options, config => $mock . ($options{config} // ''));
}

sub record {
    my ($httpd, $key) = @_;
    return grep { !$key || $_->{key} eq $key } upstream_since(0, "$httpd->{dir}/upstream.jsonl");
}

sub state_of {
    my ($httpd, $pool, $states, $seconds) = @_;
    my $got;
    wait_for(sub { $got = metrics($httpd->{base})->states($pool); Test::More::eq_hash($got, $states) }, $seconds || 20);
    return $got;
}

# One key of a pool by how it is lost: words for it, and the state.
my %losses = (
    refused => ['401', 'invalid'],
    spent => ['quota402', 'quota'],
    failing => ['POST500', 'tripped'],
);

my $httpd = server(
    {   (map { ($_ => {
                    keys => ["sk-$_-aaaaaaaaaaaa", "sk-$_-good-bbbbbbbb"],
                    upstreams => [upstream($_)],
                    lines => "APIPoolRecover 1 2\n    APIPoolMaxErrors 1\n    APIPoolRetries 1\n    APIPoolStrategy round-robin",
                }) } keys %losses),
        down => {
            keys => [(map {"sk-down-$_-aaaaaaaaaaaa"} 1 .. 6), 'sk-good-bbbbbbbbbbbb'],
            upstreams => [upstream('down')],
            lines => "APIPoolRecover $INTERVAL @{[8 * $INTERVAL]}\n    APIPoolRotations 9\n    APIPoolStrategy fill-first",
        },
        without => {
            keys => ['sk-without-aaaaaaaaaaaa'],
            upstreams => [upstream('without')],
            lines => 'APIPoolRecover 1 1',
        },
    },
    config => "StartServers 4\nMinSpareThreads 75\n"
);

subtest 'each lost key comes back by a free request and one real one' => sub {
    for my $how (sort keys %losses) {
        my ($words, $state) = @{$losses{$how}};
        my $key = "sk-$how-aaaaaaaaaaaa";
        script($httpd, $key => $words);
        for (1 .. 4) {
            is chat($httpd, $how)->{status}, 200, "$how: clients get answers";
        }
        is_deeply state_of($httpd, $how, {$state => 1, active => 1}), {$state => 1, active => 1}, "... one key is $state";
        my $before = record($httpd, $key);
        script($httpd, $key => $how eq 'failing' ? 'GET503-POST500' : $words);
        wait_for(sub { record($httpd, $key) > $before });
        my @probe = (record($httpd, $key))[$before];
        is $probe[0]{method}, 'GET', '... a request asks about it';
        is $probe[0]{uri}, "/mock/$how/v1/models", '... for the list of models';
        is $probe[0]{headers}{authorization}, "Bearer $key", '... with the key';
        is metrics($httpd->{base})->states($how)->{$state}, 1, '... in vain';
        script($httpd, $key => '');
        is_deeply state_of($httpd, $how, {half_open => 1, active => 1}), {half_open => 1, active => 1},
            '... until it is accepted, which makes it half open';
        is scalar(grep { $_->{method} ne 'GET' } (record($httpd, $key))[$before .. record($httpd, $key) - 1]), 0,
            '... at the cost of nothing';
        is chat($httpd, $how)->{status}, 200, '... a real request';
        is_deeply state_of($httpd, $how, {active => 2}), {active => 2}, '... proves it';
    }
    like $httpd->log, qr/apipool:info\].*key \w{16}: asked about its recovery, R00 \(200\), half_open/, 'the log tells';
};

# All of it as the upstream has recorded it. An interval may be a tenth shorter or longer, and the clock ticks once a second.
subtest 'a failing upstream costs one request per key and interval' => sub {
    my @keys = map {"sk-down-$_-aaaaaaaaaaaa"} 1 .. 6;
    script($httpd, map { ($keys[$_] => $_ % 2 ? '401' : 'quota402') } 0 .. 5);
    is chat($httpd, 'down')->{status}, 200, 'all keys but one are refused';
    my $lost = {invalid => 3, quota => 3, active => 1};
    is_deeply state_of($httpd, 'down', $lost), $lost, '... and lost';
    script($httpd, map { ($_ => '503') } @keys);
    my $down = time;
    sleep $outage;
    my $up = time;
    script($httpd, map { ($_ => '') } @keys);
    is_deeply state_of($httpd, 'down', {half_open => 6, active => 1}), {half_open => 6, active => 1}, 'all are back when it is';
    for my $key (@keys) {
        my @asked = grep { $_->{method} eq 'GET' && $_->{time} > $down } record($httpd, $key);
        my @vain = grep { $_->{status} == 503 } @asked;
        my @back = grep { $_->{status} == 200 } @asked;
        cmp_ok scalar @vain, '>=', int($outage / ($INTERVAL * 1.1 + 1)), "$key was asked about again and again";
        cmp_ok scalar @vain, '<=', $outage / ($INTERVAL * 0.9) + 1, '... once per interval';
        my @gaps = map { $asked[$_]{time} - $asked[$_ - 1]{time} } 1 .. $#asked;
        is scalar(grep { $_ < $INTERVAL * 0.9 } @gaps), 0, '... never twice within it' or diag "@gaps";
        is scalar @back, 1, '... and once when the upstream was back';
        cmp_ok $back[0]{time} - $up, '<', $INTERVAL * 1.1 + 2, '... within one interval';
        is scalar(@vain) + @back, scalar @asked, '... which is all';
    }
    is scalar(grep { $_->{method} ne 'GET' && $_->{time} > $down && $_->{key} =~ /-down-/ } record($httpd)), 0,
        'no real request was spent on it';
};

subtest 'an upstream that knows no such request' => sub {
    my $key = 'sk-without-aaaaaaaaaaaa';
    script($httpd, $key => '401');
    is chat($httpd, 'without')->{status}, 401, 'the key is refused';
    is_deeply state_of($httpd, 'without', {invalid => 1}), {invalid => 1}, '... and lost';
    script($httpd, $key => 'GET404');
    is_deeply state_of($httpd, 'without', {half_open => 1}), {half_open => 1}, 'a real request may try the key';
    is scalar(grep { $_->{method} eq 'GET' && $_->{status} == 404 } record($httpd, $key)), 3, '... after three answers of that kind';
    is chat($httpd, 'without')->{status}, 200, '... and it does';
};

is $httpd->faults, '', 'nothing went wrong';
undef $httpd;

subtest 'another process goes on when the one that asks is killed' => sub {
    my @keys = map {"sk-killed-$_-aaaaaaaaaaaa"} 1 .. 8;
    %words = ();
    my $server = server({killed => {keys => [@keys, 'sk-good-bbbbbbbbbbbb'], upstreams => [upstream('killed')],
                lines => "APIPoolRecover 1 2\n    APIPoolRotations 9\n    APIPoolStrategy fill-first"}},
        config => "StartServers 4\nMinSpareThreads 75\nLogLevel watchdog:debug\n");
    script($server, map { ($_ => '401') } @keys);
    is chat($server, 'killed')->{status}, 200, 'all keys but one are refused';
    is_deeply state_of($server, 'killed', {invalid => 8, active => 1}), {invalid => 8, active => 1}, '... and lost';
    my %pids;
    for my $round (1, 2) {
        my $before = () = $server->log =~ /asked about its recovery/g;
        wait_for(sub { (my @lines = $server->log =~ /asked about its recovery/g) > $before + 4 }, 20);
        my ($pid) = reverse $server->log =~ /\[pid (\d+):[^\n]*asked about its recovery/g;
        ok !$pids{$pid}++, "a process asks, round $round";
        kill KILL => $pid;
        wait_for(sub { !kill 0 => $pid });
    }
    script($server, map { ($_ => '') } @keys);
    is_deeply state_of($server, 'killed', {half_open => 8, active => 1}), {half_open => 8, active => 1}, 'all come back';
    my @lines = $server->log =~ /\[pid (\d+):[^\n]*asked about its recovery/g;
    my $turns = grep { $lines[$_] != $lines[$_ - 1] } 1 .. $#lines;
    is $turns, keys(%pids), 'one process at a time has asked';
    for my $key (@keys) {
        my @times = map { $_->{time} } grep { $_->{method} eq 'GET' } record($server, $key);
        my @gaps = map { $times[$_] - $times[$_ - 1] } 1 .. $#times;
        is scalar(grep { $_ < 0.9 } @gaps), 0, '... never twice within an interval' or diag "@gaps";
    }
};

subtest 'few questions at once' => sub {
    my $events = APIPoolTest::check_dir() . '/t/logs/questions';
    my $note = sub {
        open my $out, '>>', $events or die "$!\n";
        syswrite $out, "$_[0]\n";
        return;
    };
    my $answered = 40; # questions: two rounds, so that many are due at once in one of them
    my $port = serve_raw(
        sub {    # refuses requests but those of one key, and the first questions, and lets the others wait in vain
            my $head = read_request($_[0]) // return;
            my $refusal = "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
            if ($head =~ /^POST/) {
                syswrite $_[0], $head =~ /sk-good-/ ? $refusal =~ s/401 Unauthorized/200 OK/r : $refusal;
                return;
            }
            $note->('+');
            my $number = APIPoolTest::slurp($events) =~ tr/+//;
            sleep 0.3;
            $note->('-');
            syswrite $_[0], $refusal if $number <= $answered;
        }
    );
    my $server = server({p => {keys => [(map { sprintf 'sk-many-%02d-aaaaaaaa', $_ } 1 .. 16), 'sk-good-bbbbbbbbbbbb'],
                upstreams => ["http://127.0.0.1:$port/v1"],
                lines => "APIPoolRecover 1 1\n    APIPoolRotations 99\n    APIPoolStrategy fill-first"}});
    is chat($server, 'p')->{status}, 200, 'all keys but one are refused';
    wait_for(sub { -s $events && (-s $events) >= 4 * ($answered + 30) }, 40);
    my ($now, $ended, $most, $later) = (0, 0, 0, 0);
    for my $event (split /\n/, APIPoolTest::slurp($events)) {
        $now += $event eq '+' ? 1 : -1;
        $ended += $event eq '-';
        $most = $now if $now > $most;
        $later = $now if $ended >= $answered + 9 && $now > $later;
    }
    cmp_ok $most, '>', 1, 'several at once to begin with';
    cmp_ok $most, '<=', 8, '... and at most eight';
    is $later, 1, '... but one where the upstream has failed';
};

subtest 'with every MPM' => sub {
    for my $mpm (qw(prefork worker)) {
        my @keys = map {"sk-$mpm-$_-aaaaaaaa"} 1 .. 4;
        my $server = server({p => {keys => [@keys, 'sk-good-bbbbbbbb'], upstreams => [upstream('p')],
                    lines => "APIPoolRecover 1 1\n    APIPoolRotations 9\n    APIPoolStrategy fill-first"}}, mpm => $mpm);
        script($server, map { ($_ => '401') } @keys);
        is chat($server, 'p')->{status}, 200, "$mpm: all keys but one are refused";
        is_deeply state_of($server, 'p', {invalid => 4, active => 1}), {invalid => 4, active => 1}, '... and lost';
        script($server, map { ($_ => '') } @keys);
        is_deeply state_of($server, 'p', {half_open => 4, active => 1}), {half_open => 4, active => 1}, '... and accepted again';
        is $server->faults, '', '... without a fault';
        $server->stop;
        # on a busy machine children of worker take longer than the three seconds after which httpd reminds them
        unlike $server->log, qr/sending a SIGKILL|did not exit, attempting|exit signal/, '... and httpd stops';
    }
};

subtest 'httpd stops while an upstream is silent' => sub {
    my $asked = APIPoolTest::check_dir() . '/t/logs/asked';
    my $port = serve_raw(sub { read_request($_[0]); spew($asked, 1); sysread $_[0], my $end, 1 });
    %words = ();
    my $server = server({silent => {keys => {first => ['sk-silent-aaaaaaaaaaaa']},
                upstreams => [upstream('silent', ' name=first')], lines => 'APIPoolRecover 1 1'}});
    script($server, 'sk-silent-aaaaaaaaaaaa' => '401');
    is chat($server, 'silent')->{status}, 401, 'a key is lost';
    my $text = APIPoolTest::slurp("$server->{dir}/httpd.conf") =~ s{http://127.0.0.1:\d+/mock/silent/v1}{http://127.0.0.1:$port/v1}r;
    spew("$server->{dir}/httpd.conf", $text);
    $server->restart;
    ok wait_for(sub { -f $asked }, 20), 'it is asked about';
    my $begun = time;
    $server->stop;
    cmp_ok time - $begun, '<', 20, 'httpd ends without waiting for the answer';
    unlike $server->log, qr/did not exit|AH0004[56]/, '... and kills nobody';
};

done_testing;
