#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# Measures many open streams through plain ProxyPass, through a pool with a thread for each, and through a pool whose
# requests are suspended (APIPoolAsync), each in an httpd of its own: memory of a stream, time to the first byte,
# delay of an event.
#
# streams.pl [--build=FOLDER] [--row=plain|pool|async] [STREAMS [SECONDS]]
#
# FOLDER is where make was run; default: the current one. STREAMS (1000) are open at the same time for SECONDS (10),
# and each has an event a second. Every stream takes up to three file descriptors in a child of httpd, and one in each of
# the other processes: see ulimit -n.
use strict;
use warnings;

use FindBin qw($Bin);
use lib $Bin;
use BenchTools qw(build_folder make_value listener percentile);
use File::Temp qw(tempdir);
use IO::Poll qw(POLLIN POLLHUP POLLERR);
use IO::Socket::INET;
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC sleep);

my $THREADS = 64;    # of a child
my $FEW = 100;       # threads in all, where requests are suspended
my $OPENED_AT_ONCE = 50;

my $build = build_folder(@ARGV);
my ($only) = map {m/^--row=(\w+)$/} @ARGV;
my ($streams, $seconds) = grep {m/^\d+$/} @ARGV;
$streams ||= 1000;
$seconds ||= 10;

sub now {
    return clock_gettime(CLOCK_MONOTONIC);
}

# Answers requests with streams; each event has the time of sending.
sub serve {
    my ($listener) = @_;
    my $poll = IO::Poll->new;
    my (%requests, %open);
    my $next = now() + 1;
    $poll->mask($listener => POLLIN);
    while (1) {
        my $wait = $next - now();
        $poll->poll($wait > 0 ? $wait : 0);
        for my $socket ($poll->handles(POLLIN | POLLHUP | POLLERR)) {
            if ($socket == $listener) {
                my $new = $listener->accept or next;
                setsockopt $new, IPPROTO_TCP, TCP_NODELAY, 1;
                $poll->mask($new => POLLIN);
                next;
            }
            if (!sysread $socket, $requests{$socket}, 65536, length($requests{$socket} // '')) {
                delete @{$_}{$socket} for \%requests, \%open;
                $poll->remove($socket);
                close $socket;
            }
            elsif ($requests{$socket} =~ /\r\n\r\n\{.*\}\z/s) {
                $requests{$socket} = '';
                $open{$socket} = $socket;
                syswrite $socket, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" . event();
            }
        }
        if (now() >= $next) {
            syswrite $_, event() for values %open;
            $next += 1;
        }
    }
    return;
}

sub event {
    return sprintf qq(data: {"id":"%.6f","object":"chat.completion.chunk","choices":)
        . qq([{"index":0,"delta":{"content":"word"}}],"usage":null}\n\n), now();
}

# KiB that the processes of an httpd use; what they share counts once.
sub memory {
    my ($parent) = @_;
    my $sum = 0;
    for my $status (glob '/proc/[0-9]*/stat') {
        open my $in, '<', $status or next;
        my ($pid, $ppid) = (<$in> // '') =~ /^(\d+) \(.*\) \S+ (\d+)/ or next;
        next if $pid != $parent && $ppid != $parent;
        open my $rollup, '<', "/proc/$pid/smaps_rollup" or next;
        $sum += m/^Pss:\s+(\d+)/ ? $1 : 0 for <$rollup>;
    }
    return $sum;
}

# Opens the streams, and reads them for a while. Returns times to the first byte, and delays of events, in ms.
sub drive {
    my ($port, $path, $watch) = @_;
    my $body = '{"model":"m","stream":true}';
    my $request = "POST $path HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
        . length($body) . "\r\n\r\n$body";
    my $poll = IO::Poll->new;
    my (%sent, %text, @first, @delays);
    my ($opened, $ends) = (0, 0);
    while (!$ends || now() < $ends) {
        for (1 .. $OPENED_AT_ONCE) {
            last if $opened >= $streams;
            my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") // die "cannot connect: $@\n";
            syswrite $socket, $request;
            $sent{$socket} = now();
            $poll->mask($socket => POLLIN);
            $opened++;
        }
        $ends = now() + $seconds if $opened == $streams && !$ends;
        $poll->poll(0.01);
        for my $socket ($poll->handles(POLLIN | POLLHUP | POLLERR)) {
            sysread $socket, my $piece, 65536 or die "$path: a stream ended\n";
            my $now = now();
            push @first, ($now - delete $sent{$socket}) * 1000 if $sent{$socket};
            $text{$socket} .= $piece;
            while ($text{$socket} =~ s/.*?"id":"([\d.]+)"[^\n]*\n//s) {
                push @delays, ($now - $1) * 1000 if $ends;
            }
        }
    }
    $watch->();
    die "$path: " . keys(%sent) . " streams had no answer\n" if %sent;
    return (\@first, \@delays);
}

# The MPM's settings, with a thread for each stream or with few.
sub workers {
    my ($row) = @_;
    my $children = $row eq 'async' ? 4 : int($streams / $THREADS) + 2;
    my $threads = $row eq 'async' ? $FEW / $children : $THREADS;
    my $workers = $children * $threads;
    my $factor = int(2 * $streams / $FEW) + 2;
    return <<"CONF" . ($row eq 'async' ? "AsyncRequestWorkerFactor $factor\n" : "APIPoolAsync Off\n");
ServerLimit $children
StartServers $children
ThreadsPerChild $threads
MaxRequestWorkers $workers
MinSpareThreads 1
MaxSpareThreads $workers
CONF
}

sub start_httpd {
    my ($dir, $port, $upstream_port, $row) = @_;
    my $modules = make_value($build, 'libexecdir');
    my $user = $< ? '' : "User www-data\nGroup www-data";
    my $workers = workers($row);
    my $loads = join '', map {"LoadModule ${_}_module $modules/mod_$_.so\n"} grep { -f "$modules/mod_$_.so" }
        qw(mpm_event authz_core watchdog proxy proxy_http);
    open my $keys, '>', "$dir/keys" or die "$!\n";
    print {$keys} map {"sk-streams-$_-xxxxxxxxxxxx\n"} 1 .. 100;
    close $keys;
    open my $conf, '>', "$dir/httpd.conf" or die "$!\n";
    print {$conf} <<"CONF";
ServerRoot $dir
ServerName localhost
Listen 127.0.0.1:$port
PidFile $dir/httpd.pid
DefaultRuntimeDir $dir
ErrorLog $dir/error_log
$user
${loads}LoadModule apipool_module $build/mod_apipool.so
$workers
APIPoolStore $dir/store
APIPoolSecretFile $dir/secret
<APIPool streams>
    APIPoolUpstream http://127.0.0.1:$upstream_port
    APIPoolKeyFile $dir/keys
</APIPool>
<Location "/pool">
    APIPoolUse streams
</Location>
ProxyPass /plain http://127.0.0.1:$upstream_port
CONF
    close $conf;
    system(make_value($build, 'HTTPD'), '-f', "$dir/httpd.conf") == 0 or die "httpd did not start\n";
    for (1 .. 100) {
        last if -s "$dir/httpd.pid" && IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port");
        sleep 0.1;
    }
    open my $pid, '<', "$dir/httpd.pid" or die "httpd did not start\n";
    return <$pid> + 0;
}

sub measure {
    my ($row, $upstream_port) = @_;
    my $path = $row eq 'plain' ? 'plain' : 'pool';
    my $dir = tempdir(CLEANUP => 1);
    chmod 0755, $dir;
    my $free = listener(1024);
    my $port = $free->sockport;
    $free->close;
    my $httpd = start_httpd($dir, $port, $upstream_port, $row);
    sleep 2;
    my ($before, $during) = (memory($httpd), 0);
    my ($first, $delays) = eval { drive($port, "/$path/chat/completions", sub { $during = memory($httpd) }) };
    my $fault = $@;
    kill TERM => $httpd;
    sleep 0.1 while kill 0 => $httpd;
    die $fault if $fault;
    printf "%-6s %10.1f %12.2f %12.2f %12.2f %12.2f\n", $row, ($during - $before) / $streams,
        map({ percentile($_, @$first) } 0.5, 0.99), map { percentile($_, @$delays) } 0.5, 0.99;
    return;
}

my $listener = listener(1024);
my $server = fork // die "fork: $!\n";
if (!$server) {
    $SIG{PIPE} = 'IGNORE';
    serve($listener);
}
END { kill TERM => $server if $server }
$SIG{PIPE} = 'IGNORE';
print "       KiB/stream  first p50 ms       p99 ms event p50 ms       p99 ms\n";
measure($_, $listener->sockport) for $only ? $only : qw(plain pool async);
print "\n$streams streams, an event a second, for $seconds s\n";
