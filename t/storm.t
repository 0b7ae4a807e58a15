# SPDX-License-Identifier: Apache-2.0
# A thousand keys of which three in ten answers are a 429, and sixty-four clients who see none of it.
# APIPOOL_TEST_STORM=N sets the number of requests, APIPOOL_TEST_FULL=1 makes it 50,000;
# APIPOOL_TEST_SEED=N repeats the answers of a run.
use strict;
use warnings;

use APIPoolTest qw(pool_server upstream_mark check_dir metrics parallel error_code chat);
use Apache::Test ();
use HTTP::Tiny ();
use List::Util qw(sum0);
use Test::More;
use Time::HiRes qw(time);

my $FULL = $ENV{APIPOOL_TEST_FULL};
my $REQUESTS = $ENV{APIPOOL_TEST_STORM} || ($FULL ? 50_000 : $ENV{VALGRIND} ? 600 : 3000);
my $SEED = $ENV{APIPOOL_TEST_SEED} || $$;
my $CLIENTS = 64;
my $ROUND = 5000;    # with more, too many of the thousand would have seen a 401

# A key may still be in use by another request when its refusal is on its way to the pool, and serve that.
my $SLACK = $ENV{VALGRIND} ? 0.9 : 0.25;

# A worker for every client in each process and from the start to the end, or httpd closes idle connections
# that clients are about to use again.
my $workers = <<'CONF';
ThreadLimit 80
ThreadsPerChild 80
MaxRequestWorkers 320
StartServers 4
MaxSpareThreads 320
KeepAliveTimeout 60
MaxKeepAliveRequests 0
CONF

# What the upstream recorded, by key, in the order of arrival: time, status, Retry-After if there was one, and
# the request. Probes are left out. Parsing whole lines would take longer than the storm.
sub record_by_key {
    my ($mark) = @_;
    my %of;
    open my $in, '<:raw', check_dir() . '/t/logs/upstream.jsonl' or die "no record: $!\n";
    seek $in, $mark, 0;
    while (my $line = <$in>) {
        next if $line =~ /"method":"GET"/;
        my ($time, $key, $request, $status, $retry_after) = $line
            =~ /^\{"time":([\d.]+),.*?"key":"([^"]*)".*"body_sha1":"(\w+)".*"status":(\d+),(?:"retry_after":(\d+),)?"connection"/
            or die "unexpected line in the record: $line";
        push @{$of{$key}}, [$time, $status, $retry_after, $request];
    }
    @$_ = sort { $a->[0] <=> $b->[0] } @$_ for values %of;
    return %of;
}

# Each client sends its share over a kept-alive connection; returns how often each status came, and the
# answers that were no 200. No two requests of a test are the same.
my $runs = 0;

sub run_clients {
    my ($httpd, $pool, $share) = @_;
    my $run = ++$runs;
    my (%statuses, @others);
    my @results = parallel(
        $CLIENTS,
        sub {
            my ($client) = @_;
            my $http = HTTP::Tiny->new(keep_alive => 1, timeout => 120);
            my (%seen, @odd);
            for my $i (1 .. $share) {
                my $answer = chat($httpd, $pool, http => $http, content => qq({"model":"m","request":"$run-$client-$i"}));
                $seen{$answer->{status}}++;
                push @odd, [@$answer{qw(status content)}, $answer->{headers}{'retry-after'}]
                    if $answer->{status} != 200;
            }
            return (\%seen, @odd);
        }
    );
    for my $result (@results) {
        my ($seen, @odd) = @$result;
        $statuses{$_} += $seen->{$_} for keys %$seen;
        push @others, @odd;
    }
    return (\%statuses, @others);
}

sub storm {
    my ($requests) = @_;
    my @keys = map { sprintf 'sk-storm%d-%04d-xxxxxxxxxxxx', $SEED, $_ } 1 .. 1000;
    my $httpd = pool_server(
        {
            storm => {
                keys => \@keys,
                lines => join "\n    ",
                'APIPoolWait 15', 'APIPoolRotations 50', 'APIPoolRetries 5', 'APIPoolRecover 3600 3600'
            }
        },
        config => $workers
    );
    my $mark = upstream_mark();
    my $share = int($requests / $CLIENTS) + 1;
    my ($statuses, @others) = run_clients($httpd, 'storm', $share);
    is_deeply $statuses, {200 => $share * $CLIENTS}, 'no client sees any of it'
        or diag explain [@others[0 .. ($#others < 4 ? $#others : 4)]];

    # A key is out with its 401 when another key serves the same request; but if several keys reject that, it may be
    # at fault itself, and a probe is asked, which has a storm of its own.
    my %of = record_by_key($mark);
    my (@early, @dead, %answers, %rejections, %served, %surely);
    for my $use (map {@$_} values %of) {
        $rejections{$use->[3]} += $use->[1] == 401;
        $served{$use->[3]} = $use->[0] if $use->[1] == 200;
    }
    for my $key (keys %of) {
        my @uses = @{$of{$key}};
        for my $i (0 .. $#uses) {
            my ($time, $status, $retry_after, $request) = @{$uses[$i]};
            my $dead_since = $status == 401 && $rejections{$request} == 1 ? $served{$request} : undef;
            $surely{$key} = 1 if defined $dead_since;
            $answers{$status}++;
            for my $later (@uses[$i + 1 .. $#uses]) {
                my $after = $later->[0] - $time;
                push @early, "$key: $after s after a 429 with $retry_after"
                    if $status == 429 && $after > $SLACK && $after < $retry_after;
                push @dead, "$key: $after s after its 401" if defined $dead_since && $later->[0] - $dead_since > $SLACK;
            }
        }
    }
    is scalar @early, 0, "no key is used before its time: $answers{429} were limited" or diag $early[0];
    is scalar @dead, 0, "no key is used after it was rejected: $answers{401} were" or diag $dead[0];

    my $metrics = metrics($httpd->{base});
    my $rules = $metrics->rules('storm');
    is $rules->{R00}, $answers{200}, 'successes are counted';
    is $rules->{R06}, $answers{401}, '... and rejected credentials';
    is $rules->{R12}, $answers{500}, "... and the upstream's errors";
    is sum0(values %$rules), sum0(values %answers), '... and every attempt';
    my $states = $metrics->states('storm');
    is sum0(values %$states), 1000, 'no key is lost';
    my $rejected = grep { grep { $_->[1] == 401 } @$_ } values %of;
    cmp_ok $states->{invalid}, '>=', scalar keys %surely, 'those with such a 401 are invalid';
    cmp_ok $states->{invalid}, '<=', $rejected, '... and no others';
    is $states->{quota} // 0, 0, '... and none is taken for something else';
    is $metrics->in_flight('storm'), 0, 'nothing is in flight';
    is $httpd->faults, '', 'nothing went wrong inside';
    return;
}

my $rounds = int(($REQUESTS + $ROUND - 1) / $ROUND);
for my $round (1 .. $rounds) {
    subtest "storm $round of $rounds, seed $SEED" => sub { storm(int($REQUESTS / $rounds)) };
}

subtest 'limits of our own' => sub {
    my ($keys, $rpm) = (20, 6);
    my $httpd = pool_server(
        {
            limits => {
                keys => [map { sprintf 'sk-ok-limit-%04d-xxxxxxxxx', $_ } 1 .. $keys],
                lines => join "\n    ",
                "APIPoolLimits rpm=$rpm", 'APIPoolRotations 50', 'APIPoolWait ' . ($FULL ? 15 : 0)
            }
        },
        config => $workers
    );
    my $mark = upstream_mark();
    my $started = time;
    my $most = $keys * $rpm;
    my %statuses;
    my @others;
    do {
        my ($seen, @odd) = run_clients($httpd, 'limits', 4);
        $statuses{$_} += $seen->{$_} for keys %$seen;
        push @others, @odd;
    } while ($FULL && time < $started + 150);
    my $minutes = int((time - $started) / 60) + 1;
    cmp_ok $statuses{200}, '>=', $most, 'what the keys allow is used';
    cmp_ok $statuses{200}, '<=', $most * $minutes, '... and no more';
    is_deeply [grep { $_ ne '200' && $_ ne '429' } sort keys %statuses], [], 'all other requests get a 429';
    is scalar(grep { ($_->[2] // 0) < 1 || $_->[2] > 66 } @others), 0, '... with the time to wait';
    my @codes = map { error_code({content => $_->[1]}) // '' } @others;
    is scalar(grep { $_ ne 'rate_limit_exceeded' } @codes), 0, '... and its code';

    my %of = record_by_key($mark);
    is scalar keys %of, $keys, 'every key is used';
    my @over;
    for my $key (keys %of) {
        my @times = map { $_->[0] } @{$of{$key}};
        for my $i ($rpm .. $#times) {
            my $span = $times[$i] - $times[$i - $rpm];
            push @over, "$key: " . ($rpm + 1) . " requests within $span s" if $span < 60;
        }
    }
    is scalar @over, 0, 'no key exceeds its limit in any minute' or diag $over[0];
};

done_testing;
