#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# Measures how much later the events of a stream reach a client through a pool than through plain ProxyPass.
#
# delay.pl [--build=FOLDER] [ROUNDS]
#
# FOLDER is where make was run; default: the current one. The script's own upstream sends an event with the time in
# it every 5 ms. Prints the median and 99th percentile, over all rounds, of the microseconds from there to the
# client, and what the pool adds.
use strict;
use warnings;

use FindBin qw($Bin);
use lib $Bin;
use BenchTools qw(build_folder make_value listener percentile);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC sleep);

my $EVENTS = 400;
my $PAUSE = 0.005;

my $build = build_folder(@ARGV);
my ($rounds) = grep {m/^\d+$/} @ARGV;
$rounds ||= 5;

sub chunk {
    my ($text) = @_;
    return sprintf "%x\r\n%s\r\n", length $text, $text;
}

# Each answer is a stream of chat completions, whose id is the time of sending.
sub serve {
    my ($socket) = @_;
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
    my $request = '';
    while (sysread $socket, $request, 65536, length $request) {
        next if $request !~ /\r\n\r\n\{.*\}\z/s;
        $request = '';
        syswrite $socket, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (1 .. $EVENTS) {
            sleep $PAUSE;
            syswrite $socket, chunk(sprintf qq(data: {"id":"%.6f","object":"chat.completion.chunk","choices":)
                    . qq([{"index":0,"delta":{"content":"word"}}],"usage":null}\n\n), clock_gettime(CLOCK_MONOTONIC));
        }
        syswrite $socket, chunk("data: [DONE]\n\n") . "0\r\n\r\n";
    }
    return;
}

# Reads a stream and returns the delay of each event in microseconds.
sub delays {
    my ($port, $path) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") // die "cannot connect: $@\n";
    my $body = '{"model":"m","stream":true}';
    print {$socket} "POST $path HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
    my ($text, @delays) = '';
    while (sysread $socket, my $piece, 65536) {
        my $now = clock_gettime(CLOCK_MONOTONIC);
        $text .= $piece;
        push @delays, ($now - $1) * 1e6 while $text =~ s/.*?"id":"([\d.]+)"[^\n]*\n//s;
    }
    @delays == $EVENTS or die "$path: " . @delays . " of $EVENTS events\n";
    return @delays;
}

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;
my ($upstream, $free) = (listener(16), listener(16));
my ($upstream_port, $port) = ($upstream->sockport, $free->sockport);
$free->close;
my $modules = make_value($build, 'libexecdir');
my $user = $< ? '' : "User www-data\nGroup www-data";
open my $keys, '>', "$dir/keys" or die "$!\n";
print {$keys} map {"sk-delay-$_-xxxxxxxxxxxx\n"} 1 .. 100;
close $keys;
open my $conf, '>', "$dir/httpd.conf" or die "$!\n";
my $loads = join '', map {"LoadModule ${_}_module $modules/mod_$_.so\n"} grep { -f "$modules/mod_$_.so" }
    qw(mpm_event authz_core watchdog proxy proxy_http);
print {$conf} <<"CONF";
ServerRoot $dir
ServerName localhost
Listen 127.0.0.1:$port
PidFile $dir/httpd.pid
DefaultRuntimeDir $dir
ErrorLog $dir/error_log
$user
${loads}LoadModule apipool_module $build/mod_apipool.so
APIPoolStore $dir/store
APIPoolSecretFile $dir/secret
<APIPool delay>
    APIPoolUpstream http://127.0.0.1:$upstream_port
    APIPoolKeyFile $dir/keys
</APIPool>
<Location "/pool">
    APIPoolUse delay
</Location>
ProxyPass /plain http://127.0.0.1:$upstream_port
CONF
close $conf;

my $server = fork // die "fork: $!\n";
if (!$server) {
    $SIG{CHLD} = 'IGNORE';
    while (my $socket = $upstream->accept) {
        next if fork;
        serve($socket);
        exit;
    }
    exit;
}
my $httpd = make_value($build, 'HTTPD');
my %delays;
my $ok = eval {
    system($httpd, '-f', "$dir/httpd.conf") == 0 or die "httpd did not start\n";
    for (1 .. 100) {
        last if -s "$dir/httpd.pid" && IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port");
        sleep 0.1;
    }
    delays($port, "/$_/chat/completions") for qw(plain pool);    # opens the connections
    for (1 .. $rounds) {
        push @{$delays{$_}}, delays($port, "/$_/chat/completions") for qw(plain pool);
    }
    1;
};
my $fault = $@;
if (open my $pid, '<', "$dir/httpd.pid") {
    my $number = <$pid> + 0;
    kill TERM => $number;
    sleep 0.1 while kill 0 => $number;
}
kill TERM => $server;
$ok or die $fault;

printf "%-6s %8s %8s\n", 'us', 'median', 'p99';
for my $path (qw(plain pool)) {
    printf "%-6s %8.0f %8.0f\n", $path, map { percentile($_, @{$delays{$path}}) } 0.5, 0.99;
}
printf "%-6s %8.0f %8.0f\n", 'added', map { percentile($_, @{$delays{pool}}) - percentile($_, @{$delays{plain}}) } 0.5, 0.99;
