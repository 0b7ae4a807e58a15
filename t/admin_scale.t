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
my $keys = $full ? 100_000 : 5_000;
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

# Runs work beside two such clients; returns what it returns, and how long their answers took.
sub beside_traffic {
    my ($work) = @_;
    unlink $stop;
    my @clients = map { background(\&ask_until_stopped) } 1 .. 2;
    my @result = $work->();
    open my $out, '>', $stop or die "$stop: $!\n";
    close $out;
    my @told = map { [$_->()] } @clients;
    is_deeply [map { @{$_->[1]} } @told], [], 'all requests of the clients are served';
    return (\@result, map { @{$_->[0]} } @told);
}

# The process's own memory, in kB, of whichever child has most.
sub peak {
    return max map { (eval { slurp("/proc/$_/status") } // '') =~ /^RssAnon:\s+(\d+)/m ? $1 : 0 } $httpd->children;
}

my @idle = do { my (undef, @times) = beside_traffic(sub { sleep 4 }); @times };
my $idle = percentile(0.99, @idle);

my $text = join '', map { sprintf "sk-ok-%06d-%s\n", $_, 'k' x 40 } 1 .. $keys;
my $before = peak();
my ($imported, @importing) = beside_traffic(sub { api(POST => 'keys', 'text/plain', $text) });
my ($answer, $took) = @$imported;
is $answer->{status}, 200, "an import of $keys keys" or diag $answer->{content};
is JSON::PP::decode_json($answer->{content})->{added}, $keys, '... adds all of them';
cmp_ok peak() - $before, '<', 1.5 * $keys + 40_000, '... in bounded memory (kB)';
my @generations = glob "$httpd->{dir}/store/keys-*.seal";
my ($newest) = map {/keys-(\d+)/} sort { $b cmp $a } @generations;
cmp_ok $newest, '<=', 2, '... as one generation of the store';

my @pages = (
    'limit=100', 'limit=100&sort=success_rate&order=desc', 'limit=100&state=active&q=42&sort=last_used_at',
    'limit=100&q=00&sort=label&offset=2000', 'limit=100&sort=requests&order=desc&offset=3000',
);
my ($pages, @listing) = beside_traffic(
    sub {
        my %times;
        for my $round (1 .. 10) {
            push @{$times{$_}}, (api(GET => "keys?$_"))[1] for @pages;
        }
        return map { [$_, percentile(0.5, @{$times{$_}})] } @pages;
    }
);
my ($changed, @changing) = beside_traffic(
    sub {
        return map { [api(POST => 'keys/actions', 'application/json', qq({"action":"$_","filter":{}}))] } qw(disable enable);
    }
);
is_deeply [map { JSON::PP::decode_json($_->[0]{content})->{done} } @$changed], [$keys, $keys], 'all of them are changed at once';

my @figures = (
    sprintf('import of %d keys: %.2f s', $keys, $took),
    (map { sprintf 'page %s: %.1f ms', $_->[0], 1000 * $_->[1] } @$pages),
    (map { sprintf 'change of all keys: %.2f s', $_->[1] } @$changed),
    sprintf('p99 of requests: idle %.1f ms, during the import %.1f, pages %.1f, changes %.1f',
        map { 1000 * percentile(0.99, @$_) } \@idle, \@importing, \@listing, \@changing),
);
diag $_ for @figures;
SKIP: {
    skip 'limits are for APIPOOL_TEST_FULL=1', 3 if !$full;
    cmp_ok $took, '<=', $limits{import}, 'the import is fast enough';
    cmp_ok max(map { $_->[1] } @$pages), '<=', $limits{page}, 'so are pages';
    cmp_ok max(map { percentile(0.99, @$_) } \@importing, \@listing), '<=', $limits{delay} * $idle + 0.001,
        'requests hardly notice';
}
is $httpd->faults, '', 'nothing went wrong inside';

done_testing;
