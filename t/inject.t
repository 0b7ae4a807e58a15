# SPDX-License-Identifier: Apache-2.0
# A child that is killed while it holds the pools' lock, at several points of a change: the others go on within
# a second, no key is lost, nothing stays in flight, and the sums are those of what was sent.
use strict;
use warnings;

use APIPoolTest qw(private_httpd pool_server build_dir check_dir metrics parallel background wait_for spew slurp
    chat);
use Apache::Test ();
use HTTP::Tiny ();
use List::Util qw(max sum0);
use Test::More;
use Time::HiRes qw(sleep time);

my $CLIENTS = 12;
my $PER_CHILD = 16; # more than clients: a child without a free thread closes connections that are kept alive
my $SECONDS = $ENV{VALGRIND} ? 4 : 1.5; # that the others are watched
my $GAP = $ENV{APIPOOL_TEST_FULL} ? 1 : 10; # seconds; a busy machine is no fault
my $KEYS = 90;
my $LOST = 6; # of them: the upstream does not accept them

my $module = build_dir() . '/obj/faults/mod_apipool.so';
ok -f $module, 'there is a build that can be killed' or BAIL_OUT('run: make units');

my $armed = check_dir() . "/t/logs/fault-$$";
my $over = "$armed-over";
local $ENV{APIPOOL_FAULT_FILE} = $armed;

# Short and long keys; some meet a limit, so that heaps and lanes are in use, and some are asked about by the clock.
my @keys = map {
    my $kind = $_ <= $LOST ? '401' : $_ % 10 == 7 ? '429-retry1' : 'ok';
    sprintf 'sk-%s-inject-%04d-%s', $kind, $_, 'x' x ($_ % 4 ? 8 : 300)
} 1 .. $KEYS;

sub server {
    my $httpd = pool_server(
        {main => {keys => \@keys, lines => "APIPoolRotations 20\n    APIPoolLimits concurrency=3\n    APIPoolRecover 1 1"}},
        module => $module,
        config => <<"CONF");
ServerLimit 4
StartServers 4
ThreadLimit $PER_CHILD
ThreadsPerChild $PER_CHILD
MaxRequestWorkers @{[4 * $PER_CHILD]}
MaxSpareThreads @{[4 * $PER_CHILD]}
KeepAliveTimeout 60
MaxKeepAliveRequests 0
CONF
    return $httpd;
}

# One client: asks over kept-alive connections until there is the file that says it is over; tells when each answer
# came, how many requests it sent, and what went wrong: [time of the answer, what it was].
sub client {
    my ($httpd) = @_;
    my $http = HTTP::Tiny->new(keep_alive => 1, timeout => 20);
    my ($sent, @answered, @wrong) = (0);
    while (!-e $over) {
        my $answer = chat($httpd, 'main', http => $http, headers => {'content-type' => 'application/json'});
        $sent++;
        push @answered, time if $answer->{status} == 200;
        push @wrong, [time, "$answer->{status} $answer->{content}"] if $answer->{status} != 200;
    }
    return ($sent, \@answered, \@wrong);
}

# The longest time without a good answer, between those two.
sub longest_gap {
    my ($from, $to, @answered) = @_;
    my @times = ($from, (grep { $_ > $from && $_ < $to } @answered), $to);
    return max map { $times[$_] - $times[$_ - 1] } 1 .. $#times;
}

sub totals {
    my ($httpd) = @_;
    my $metrics = metrics($httpd->{base});
    return ($metrics->sum('apipool_requests_total', pool => 'main'), $metrics->in_flight('main'),
        sum0(values %{$metrics->states('main')}));
}

# The keys that probes have told of since the log was so long.
sub asked_about {
    my ($httpd, $from) = @_;
    my %keys = map { $_ => 1 } substr($httpd->log, $from) =~ /key (\w{16}): asked about its recovery/g;
    return scalar keys %keys;
}

for my $point (qw(lend-unheld settle-nowhere report-still-held report-half-counted heap-hole record-half-counted
    recent-unnumbered probe-unmarked probe-still-due probed-still-held))
{
    subtest "killed at $point" => sub {
        my $httpd = server();
        unlink $over;
        my @jobs = map { background(sub { client($httpd) }) } 1 .. $CLIENTS;
        wait_for(sub { (totals($httpd))[0] >= 10 * $CLIENTS }, 30);
        my @children = $httpd->children;
        spew("$armed.new", "$point\n");
        rename "$armed.new", $armed or die "$armed: $!\n";
        ok wait_for(sub { !-e $armed }, 30), 'a child came by';
        my ($killed, $log) = (time, length $httpd->log);
        unlink $armed;
        sleep $SECONDS;
        my $until = time;
        spew($over, '');
        my @results = map { [$_->()] } @jobs;

        my $sent = sum0(map { $_->[0] } @results);
        my @answered = sort { $a <=> $b } map { @{$_->[1]} } @results;
        my @wrong = map { @{$_->[2]} } @results;
        my $gap = longest_gap($killed, $until, @answered);
        cmp_ok $gap, '<', $GAP, sprintf 'the others go on: no good answer for %.3f s at most', $gap;
        is scalar(grep { @{$_->[2]} > 1 } @results), 0, 'only requests of the killed child fail' or diag explain \@wrong;
        is scalar(grep { $_->[0] > $killed + $GAP } @wrong), 0, '... and they fail at once'
            or diag explain \@wrong;

        my ($requests, $in_flight, $keys);
        wait_for(sub { ($requests, $in_flight, $keys) = totals($httpd); $in_flight == 0 }, 10);
        is $in_flight, 0, 'nothing stays in flight';
        is $keys, $KEYS, 'no key is lost';
        cmp_ok $requests, '<=', $sent, 'no request is counted twice';
        cmp_ok $requests, '>=', $sent - $CLIENTS, '... and only those of the killed child are not';

        wait_for(sub { $httpd->log =~ /AP0047/ }, 10);
        my $told = () = $httpd->log =~ /AP0047: a process ended while it was changing the pools; their memory was checked/g;
        is $told, 1, 'the log says once that memory was put right';
        ok wait_for(sub { asked_about($httpd, $log) == $LOST }, 20), 'every lost key is asked about again';
        my %left = map { $_ => 1 } $httpd->children;
        is scalar(grep { !$left{$_} } @children), 1, 'one child was killed';
        $httpd->stop;
    };
}

done_testing;
