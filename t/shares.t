# SPDX-License-Identifier: Apache-2.0
# A virtual host's share of keys and clients: what is beyond it is refused, and takes no room of others.
use strict;
use warnings;

use APIPoolAdmin qw(admin_server location);
use APIPoolTest qw(config_test mock_port free_port);
use Test::More;

my $port = free_port();
my $upstream = 'http://127.0.0.1:' . mock_port() . '/v1';
my $operator = admin_server(
    {main => {keys => ['sk-ok-shares-operator']}},
    config => "Listen 127.0.0.1:$port\n<VirtualHost 127.0.0.1:$port>\nServerName tenant.test\n"
        . "APIPoolCapacity 3\nAPIPoolClientCapacity 2\n<APIPool tenant>\nAPIPoolUpstream $upstream\n</APIPool>\n"
        . location('/apipool', 'APIPoolAdminPools tenant')
        . "</VirtualHost>\n"
)->sign_in;
my $tenant = $operator->as(base => "http://127.0.0.1:$port")->sign_in;

sub import_keys {
    my ($who, $pool, @names) = @_;
    return $who->ask(POST => "/pools/$pool/keys?doubtful=add", json => [map {"sk-ok-shares-$_"} @names]);
}

is import_keys($tenant, 'tenant', qw(aaaaaaaa bbbbbbbb))->{status}, 200, 'two keys of three';
my $answer = import_keys($tenant, 'tenant', qw(cccccccc dddddddd));
is $answer->error, '507 no_room', 'two more are too many';
like $answer->{json}{error}{message}, qr/2 new keys; raise this virtual host's APIPoolCapacity/, '... which names the directive';
is $tenant->ask(GET => '/pools/tenant/keys')->{json}{total}, 2, '... and none of them is there';
is import_keys($tenant, 'tenant', qw(aaaaaaaa cccccccc))->{status}, 200, 'the third, with one that is there already';
is import_keys($tenant, 'tenant', qw(aaaaaaaa bbbbbbbb))->{status}, 200, 'those that are there need no room';
is import_keys($operator, 'main', map {"operator-$_"} 1 .. 9)->{status}, 200, "the main server's pools have all the room";

is $tenant->ask(POST => '/clients', json => {name => $_})->{status}, 201, "client $_" for qw(one two);
$answer = $tenant->ask(POST => '/clients', json => {name => 'three'});
is $answer->error, '507 no_room', 'a third client is too many';
like $answer->{json}{error}{message}, qr/this virtual host's APIPoolClientCapacity/, '... which names the directive';
is $tenant->ask(POST => '/clients', json => {name => 'one'})->{status}, 409, 'a name that is taken is said to be taken';
is $tenant->ask(DELETE => '/clients/one')->{status}, 204, 'when one goes';
is $tenant->ask(POST => '/clients', json => {name => 'three'})->{status}, 201, '... there is room for another';
is $operator->ask(POST => '/clients', json => {name => $_})->{status}, 201, "the main server's client $_" for qw(one two three);
is $operator->{httpd}->faults, '', 'nothing went wrong inside';
unlike $operator->{httpd}->log, qr/AP0155/, 'shares that fit need no warning';

# Shares that add up to more than there is room for.
my @hosts = map {
    "<VirtualHost 127.0.0.1:$port>\nServerName tenant-$_.test\nAPIPoolCapacity $_\nAPIPoolClientCapacity $_\n"
        . "<APIPool tenant>\nAPIPoolUpstream $upstream\n</APIPool>\n</VirtualHost>\n"
} 12, 8, 1;
push @hosts, "<VirtualHost 127.0.0.1:$port>\nServerName plain.test\n</VirtualHost>\n",
    "<VirtualHost 127.0.0.1:$port>\nServerName all.test\n<APIPool tenant>\nAPIPoolUpstream $upstream\n</APIPool>\n</VirtualHost>\n";
my $crowd = admin_server({main => {keys => []}},
    config => join '', "APIPoolCapacity 20\nAPIPoolClientCapacity 21\n", @hosts);
my @warnings = grep {/AP0155/} split /\n/, $crowd->{httpd}->log;
is scalar(@warnings), 1, 'those of keys do not fit, those of clients do';
like $warnings[0], qr/apipool:warn.*APIPoolCapacity of the virtual hosts adds up to 21 keys, but there is room for 20: .*; set 21 or more/,
    '... which a warning at start says, once';

my ($status, $words) = config_test("<VirtualHost 127.0.0.1:1>\nAPIPoolCapacity 1\n<APIPool p>\nAPIPoolUpstream $upstream\n"
        . "APIPoolKeyFile \@DIR\@/keys\n</APIPool>\n</VirtualHost>\n", files => {keys => "sk-one-aaaaaaaa\nsk-two-aaaaaaaa\n"});
ok $status, 'a key file with more keys than the share stops httpd';
like $words, qr/the key files of this virtual host hold 2 keys, but its APIPoolCapacity is 1/, '... with a reason';

done_testing;
