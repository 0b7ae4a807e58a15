# SPDX-License-Identifier: Apache-2.0
# ProxyRemote: each upstream is reached through the forward proxy that is configured for it, or directly.
use strict;
use warnings;

use APIPoolTest qw(pool_server chat upstream_mark upstream_since metrics mock_port serve_raw read_request wait_for);
use Apache::Test ();
use Test::More;

# A forward proxy that answers by itself, with the line that it was sent.
my $remote = serve_raw(
    sub {
        my ($socket) = @_;
        my ($line) = (read_request($socket) // return) =~ /^(\S+ \S+)/;
        print {$socket} "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ",
            length($line) + 12, "\r\nConnection: close\r\n\r\n{\"asked\":\"$line\"}";
    }
);
my $near = 'http://127.0.0.1:' . mock_port() . '/v1 name=near';
my $far = 'http://vendor.invalid/api name=far';
my %of = (near => ['sk-ok-remote-near-aaaa'], far => ['sk-remote-far-aaaaaaaa']);
my %pools = map { ($_->[0] => {keys => \%of, upstreams => $_->[1], lines => "APIPoolStrategy round-robin\n    APIPoolRecover 1 1"}) }
    (['first', [$far, $near]], ['last', [$near, $far]]);
my %ways = (
    'by its URL' => 'ProxyRemote http://vendor.invalid/',
    'by a pattern' => 'ProxyRemoteMatch ^http://[a-z]+\.invalid/',
);

for my $way (sort keys %ways) {
    my $httpd = pool_server(\%pools, config => "$ways{$way} http://127.0.0.1:$remote\n");
    for my $pool (sort keys %pools) {
        my $mark = upstream_mark();
        my @answers = map { scalar chat($httpd, $pool) } 1 .. 4;
        is_deeply [map { $_->{status} } @answers], [(200) x 4], "$way, $pool: all are served";
        is scalar(grep { $_->{content} =~ m{^\{"asked":"POST http://vendor.invalid/api/chat/completions"\}} } @answers), 2,
            '... those of the far upstream by its proxy';
        is scalar(() = upstream_since($mark)), 2, '... and the others directly';
    }
    is $httpd->faults, '', 'nothing went wrong inside';
}

my $httpd = pool_server({all => $pools{last}}, config => "ProxyRemote * http://127.0.0.1:$remote\n");
my @answers = map { scalar chat($httpd, 'all') } 1 .. 2;
is scalar(grep { $_->{content} =~ /"asked":"POST http:/ } @answers), 2, 'one for all';

done_testing;
