# SPDX-License-Identifier: Apache-2.0
# Many keys through the admin API, beside traffic: one import of all of them, pages out of them, changes of all of
# them. APIPOOL_TEST_FULL makes it 100,000 and holds them to their limits, which a busy machine is not held to.
use strict;
use warnings;

use APIPoolAdmin qw(admin_server);
use APIPoolTest qw(background request slurp);
use IO::Socket::INET ();
use List::Util qw(max);
use Test::More;
use Time::HiRes qw(sleep time);

my $full = $ENV{APIPOOL_TEST_FULL};
my ($keys, $rounds) = $full ? (100_000, 4) : (5_000, 1);
my %limits = (import => 5, page => 0.050, delay => 2); # seconds, seconds, times

my $admin = admin_server(
    {busy => {keys => [map {"sk-ok-scale-busy-$_-aaaaaaaa"} 1 .. 20]}, main => {keys => []}},
    config => "APIPoolCapacity 120000\nLogLevel notice\nMaxKeepAliveRequests 0\n"
);
my ($httpd, $stop) = ($admin->{httpd}, "$admin->{httpd}{dir}/stop");
$admin->sign_in;

sub api {
    my ($method, $path, $type, $content) = @_;
    my $begin = time;
    my %headers = (authorization => "Bearer $admin->{token}");
    $headers{'content-type'} = $type if $type;
    my $answer = request($method, "$admin->{mount}/api/pools/main/$path", base => $admin->{base}, timeout => 60,
        headers => \%headers, $type ? (content => $content) : ());
    return ($answer, time - $begin);
}

sub percentile {
    my ($share, @times) = @_;
    @times = sort { $a <=> $b } @times;
    return $times[$#times * $share];
}

# One request over a connection that is kept, sent in one piece: a client that sends head and body apart waits for
# the acknowledgement of the first.
sub ask_once {
    my ($socket) = @_;
    my $body = '{"model":"m"}';
    my $head = join "\r\n", 'POST /busy/chat HTTP/1.1', 'Host: localhost', 'Content-Length: ' . length $body, '', '';
    syswrite $socket, $head . $body or return 'no connection';
    my $answer = '';
    while ($answer !~ /\r\n\r\n.*\}\s*\z/s) {
        sysread $socket, $answer, 65536, length $answer or return "cut: $answer";
    }
    return $answer;
}

# A client of another pool that asks every 5 ms, until the file is there: how long each answer took.
sub ask_until_stopped {
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$httpd->{port}") or die "no connection: $@\n";
    my (@times, @strange);
    until (-e $stop) {
        my $begin = time;
        my $answer = ask_once($socket);
        push @times, time - $begin;
        push @strange, $answer if $answer !~ m{^HTTP/1.1 200 };
        return (\@times, \@strange) if @strange > 5;
        sleep 0.005;
    }
    return (\@times, \@strange);
}

# Runs work beside two such clients; returns how long their answers took.
sub beside_traffic {
    my ($work) = @_;
    unlink $stop;
    my @clients = map { background(\&ask_until_stopped) } 1 .. 2;
    $work->();
    open my $out, '>', $stop or die "$stop: $!\n";
    close $out;
    my @told = map { [$_->()] } @clients;
    is_deeply [map { @{$_->[1]} } @told], [], 'all requests of the clients are served';
    return map { @{$_->[0]} } @told;
}

# The process's own memory, in kB, of whichever child has most.
sub peak {
    return max map { (eval { slurp("/proc/$_/status") } // '') =~ /^RssAnon:\s+(\d+)/m ? $1 : 0 } $httpd->children;
}

# An import of 60 MiB that says the same few keys again and again, of which all but the last byte has been sent.
# What the server needs for it, in kB, and its answer.
sub import_slowly {
    my ($type, $first, $again, $last) = @_;
    my $size = 60 << 20;
    my $body = $first . $again x (($size - length $first) / length $again) . $last;
    my $before = peak();
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$httpd->{port}") or die "no connection: $@\n";
    my $head = join "\r\n", "POST $admin->{mount}/api/pools/main/keys?preview=true HTTP/1.1", 'Host: localhost',
        "Authorization: Bearer $admin->{token}", "Content-Type: $type", 'Content-Length: ' . length $body, 'Connection: close', '', '';
    print {$socket} $head, substr $body, 0, -1;
    sleep 0.5; # what is still on its way is read
    my $needed = peak() - $before;
    print {$socket} substr $body, -1;
    my $answer = do { local $/; <$socket> };
    my ($json) = $answer =~ /\r\n\r\n(.*)\z/s;
    return ($needed, JSON::PP::decode_json($json));
}

my @few = map {"sk-ok-few-$_-aaaaaaaa"} 1 .. 5;
for my $case (
    ['text/plain', '', join("\n", @few, '# ' . 'x' x 997) . "\n", "\n"],
    ['application/json', '[', join(' ' x 500, map {qq("$_",{"key":"$_","label":"few"},)} @few), '"sk-ok-few-1-aaaaaaaa"]'],
    )
{
    my ($needed, $import) = import_slowly(@$case);
    is_deeply [@$import{qw(added invalid_count)}], [5, 0], "60 MiB of $case->[0] with five keys" or diag explain $import;
    cmp_ok $needed, '<', 6000, '... in bounded memory (kB)';
}

# How often each thread has gone to sleep by itself.
sub sleeps {
    return map { $_ => (eval { slurp($_) } // '') =~ /^voluntary_ctxt_switches:\s+(\d+)/m ? $1 : 0 }
        map { glob "/proc/$_/task/*/status" } $httpd->children;
}

my $text = join '', map { sprintf "sk-ok-%06d-%s\n", $_, 'k' x 40 } 1 .. $keys;
my @pages = (
    'limit=100', 'limit=100&sort=success_rate&order=desc', 'limit=100&state=active&q=42&sort=last_used_at',
    'limit=100&q=00&sort=label&offset=2000', 'limit=100&sort=requests&order=desc&offset=3000',
);
my (%delays, %took, $needed);

my $imported;

sub import_all {
    ($imported, my $seconds) = api(POST => 'keys', 'text/plain', $text);
    push @{$took{import}}, $seconds;
}

sub list_pages {
    push @{$took{$_}}, (api(GET => "keys?$_"))[1] for (@pages) x ($full ? 20 : 5);
}

sub change_all {
    for my $action (@_) {
        my ($answer, $seconds) = api(POST => 'keys/actions', 'application/json', qq({"action":"$action","filter":{}}));
        is JSON::PP::decode_json($answer->{content})->{done}, $keys, "$action: all of them at once";
        push @{$took{change}}, $seconds;
    }
}

# Each kind of work has its turn beside the same traffic, in which nothing is done at first. Answers are looked at
# afterwards: that would be work of ours.
for my $round (1 .. $rounds) {
    push @{$delays{idle}}, beside_traffic(sub { sleep 2.5 });
    my $before = peak();
    push @{$delays{import}}, beside_traffic(\&import_all);
    $needed //= peak() - $before;
    is $imported->{status}, 200, "an import of $keys keys" or diag $imported->{content};
    is JSON::PP::decode_json($imported->{content})->{added}, $keys, '... adds all of them';
    push @{$delays{pages}}, beside_traffic(\&list_pages);
    push @{$delays{changes}}, beside_traffic(sub { change_all(qw(disable enable)) });
    change_all('delete') if $round < $rounds;
}
my ($newest) = map {/keys-(\d+)/} sort { $b cmp $a } glob "$httpd->{dir}/store/keys-*.seal";
cmp_ok $newest, '<=', 1 + 4 * $rounds, 'each import and each change is one generation of the store';
cmp_ok $needed, '<', 0.5 * $keys + 20_000, 'an import needs bounded memory (kB)';

# Nobody asks for anything while this is counted; a page of 5,000 keys takes less than a pause.
# Threads that save statistics come and go: it is one of the others that does the work.
my %before = sleeps();
api(POST => 'keys?preview=true', 'text/plain', $text =~ s/-k/-l/gr);
my %after = sleeps();
cmp_ok max(map { $after{$_} - $before{$_} } grep { exists $before{$_} } keys %after), '>', $keys / 100,
    'long work pauses for others again and again';

my @figures = (
    (map { sprintf '%s: %.0f ms', $_, 1000 * percentile(0.5, @{$took{$_}}) } 'import', 'change', @pages),
    (map { sprintf 'requests, %s: p50 %.2f ms, p99 %.2f ms, of %d', $_, (map { 1000 * $_ } percentile(0.5, @{$delays{$_}}),
        percentile(0.99, @{$delays{$_}})), scalar @{$delays{$_}} } qw(idle import pages changes)),
);
diag $_ for @figures;
SKIP: {
    skip 'limits are for APIPOOL_TEST_FULL=1', 4 if !$full;
    my $idle = percentile(0.99, @{$delays{idle}});
    cmp_ok max(@{$took{import}}), '<=', $limits{import}, 'the import is fast enough';
    cmp_ok max(map { percentile(0.5, @{$took{$_}}) } @pages), '<=', $limits{page}, 'so are pages';
    cmp_ok percentile(0.99, @{$delays{$_}}), '<=', $limits{delay} * $idle, "requests hardly notice: $_" for qw(import pages);
}
is $httpd->faults, '', 'nothing went wrong inside';

done_testing;
