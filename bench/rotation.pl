#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# Times requests on one connection and groups them by how many keys each needed.
#
# rotation.pl PORT PATH COUNT
#
# Prints the median in microseconds and the number of requests that needed one key, the same for two keys, and the
# total number of refused keys.
use strict;
use warnings;

use IO::Socket::INET;
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

my ($port, $path, $count) = @ARGV;
my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port)
    or die "cannot connect to port $port: $@\n";
setsockopt($socket, IPPROTO_TCP, TCP_NODELAY, 1);

my $body = '{"model":"bench","messages":[{"role":"user","content":"' . 'x' x 900 . '"}]}';
my $request = "POST $path HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    . 'Content-Length: ' . length($body) . "\r\n\r\n$body";

# Reads one answer and returns its head.
sub answer {
    my $text = '';
    my $length;
    while (!defined $length || length($text) < $length) {
        sysread($socket, $text, 65536, length $text) or die "httpd closed the connection\n";
        if (!defined $length && $text =~ /^(.*?\r\n)\r\n/s) {
            my $head = $1;
            $head =~ /^Content-Length: (\d+)/mi or die "an answer without a length\n";
            $length = length($head) + 2 + $1;
        }
    }
    return $text;
}

sub median {
    my @sorted = sort { $a <=> $b } @_ or die "there was nothing to compare\n";
    return $sorted[@sorted / 2];
}

my %times;
my $refused = 0;
for (1 .. $count) {
    my $start = clock_gettime(CLOCK_MONOTONIC);
    syswrite($socket, $request) == length $request or die "cannot write: $!\n";
    my $head = answer();
    my $time = clock_gettime(CLOCK_MONOTONIC) - $start;
    my ($status) = $head =~ /^HTTP\/1\.1 (\d+)/ or die "not HTTP: $head\n";
    $status == 200 or die "status $status\n";
    my ($attempts) = $head =~ /^X-APIPool-Attempts: (\d+)/mi or die "no count of attempts\n";
    push @{ $times{$attempts} }, $time * 1e6;
    $refused += $attempts - 1;
}

printf "%.1f %d %.1f %d %d\n", map({ (median(@{ $times{$_} || [] }), scalar @{ $times{$_} || [] }) } 1, 2),
    $refused;
