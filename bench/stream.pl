#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# The streaming upstream of bench/overhead.sh: like vendors, it sends each event by itself, as a chunk.
#
# stream.pl PORT PROCESSES FILE: answers every request on PORT with the events in FILE, one connection per process;
# below /burst all at once.
use strict;
use warnings;

use IO::Socket::INET;
use Socket qw(IPPROTO_TCP TCP_NODELAY);

my ($port, $processes, $file) = @ARGV;
open my $in, '<:raw', $file or die "$file: $!\n";
local $/ = "\n\n";
my @chunks = map { sprintf "%x\r\n%s\r\n", length, $_ } <$in>;
$chunks[0] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n$chunks[0]";
$chunks[-1] .= "0\r\n\r\n";

my $listener = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port", Listen => 256, ReuseAddr => 1)
    or die "port $port: $@\n";

sub serve {
    my ($socket) = @_;
    my $request = '';
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
    while (sysread $socket, $request, 65536, length $request) {
        next if $request !~ /\r\n\r\n\{.*\}\z/s;
        my @pieces = $request =~ m{\A\S+ /burst} ? join('', @chunks) : @chunks;
        $request = '';
        syswrite $socket, $_ or return for @pieces;
    }
    return;
}

$SIG{PIPE} = 'IGNORE';
my @children;
for (1 .. $processes) {
    my $pid = fork // die "cannot fork: $!\n";
    if (!$pid) {
        while (my $socket = $listener->accept) {
            serve($socket);
        }
        exit;
    }
    push @children, $pid;
}
$SIG{TERM} = sub { kill TERM => @children; exit };
wait for @children;
