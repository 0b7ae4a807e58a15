# SPDX-License-Identifier: Apache-2.0
# The stream of numbers for the dashboard: what it says, when it ends, and how many may watch.
use strict;
use warnings;

use APIPoolAdmin qw(admin_server location);
use APIPoolSchema qw(schema_faults);
use APIPoolTest qw(free_port json chat wait_for);
use IO::Socket::INET ();
use Test::More;
use Time::HiRes qw(time);

my ($tenant_port, $plain_port) = (free_port(), free_port());
my $admin = admin_server(
    {main => {keys => ['sk-ok-events-key-aaaaaa']}, other => {keys => ['sk-ok-events-key-bbbbbb']}},
    lines => ['APIPoolAdminSession 3600'],
    config => join '', "Listen 127.0.0.1:$tenant_port\nListen 127.0.0.1:$plain_port\n",
        "<VirtualHost 127.0.0.1:$tenant_port>\nServerName tenant.test\n",
        location('/apipool', 'APIPoolAdminPools other'), "</VirtualHost>\n",
        "<VirtualHost 127.0.0.1:$plain_port>\nServerName plain.test\n</VirtualHost>\n"
)->sign_in;
my $port = $admin->{httpd}{port};
my $tenant = $admin->as(base => "http://127.0.0.1:$tenant_port")->sign_in;
my $plain = $admin->as(base => "http://127.0.0.1:$plain_port")->sign_in;

# A viewer: a socket that has sent its request.
sub watch {
    my ($who) = @_;
    $who //= $admin;
    my $address = $who->{base} =~ s{^http://}{}r;
    my $socket = IO::Socket::INET->new(PeerAddr => $address, Timeout => 10) or die "cannot connect: $@\n";
    print {$socket} "GET $who->{mount}/api/events HTTP/1.1\r\nHost: x\r\n"
        . "Authorization: Bearer $who->{token}\r\n\r\n";
    return {socket => $socket, text => ''};
}

# Reads until what has come matches, or the stream ends; returns whether it matched.
sub read_until {
    my ($viewer, $pattern, $seconds) = @_;
    my $end = time + ($seconds // 10);
    while ($viewer->{text} !~ $pattern && time < $end) {
        my $ready = '';
        vec($ready, fileno $viewer->{socket}, 1) = 1;
        next if !select $ready, undef, undef, 0.2;
        if (!sysread $viewer->{socket}, $viewer->{text}, 65536, length $viewer->{text}) {
            $viewer->{ended} = 1;
            last;
        }
    }
    return $viewer->{text} =~ $pattern;
}

sub ends {
    my ($viewer, $seconds) = @_;
    read_until($viewer, qr/(?!)/, $seconds);
    return $viewer->{ended};
}

my $event = qr/^event: stats\r?\ndata: (\{.*\})\r?\n\r?\n/m;

my $viewer = watch();
ok read_until($viewer, $event), 'an event comes at once';
like $viewer->{text}, qr{\AHTTP/1\.1 200 .*^Content-Type: text/event-stream\r$}ms, '... as an event stream';
like $viewer->{text}, qr{^Cache-Control: no-store\r$}m, '... that nobody keeps';
my $began = time;
chat($admin, 'main');
ok read_until($viewer, qr/(?:^event: stats\r?\n.*?){4}\n\r?\n/ms), 'more follow';
cmp_ok time - $began, '>', 1.5, '... one a second';
my @events = map { json($_) } $viewer->{text} =~ /^data: (.*?)\r?$/mg;
is_deeply [schema_faults($events[-1], {'$ref' => '#/components/schemas/Event'})], [], '... as they are described';
is_deeply [map { $_->{name} } @{$events[-1]{pools}}], [qw(main other)], '... of all pools that are seen';
my %totals = %{$events[-1]{totals}};
is "$totals{keys} $totals{active} $totals{requests} $totals{total_tokens}", '2 2 1 10', '... and what they make together';

is $admin->ask(DELETE => '/session')->{status}, 204, 'the session ends';
ok ends($viewer, 5), '... and with it the stream';
$admin->sign_in;

# One location's viewers take as many places as it has, and none of another one's.
my @greedy = map { watch($tenant) } 1 .. 40;
is scalar(grep { read_until($_, $event) } @greedy), 16, 'of 40 who watch a location half of 32 may, as there are two';
my $late = $tenant->ask(GET => '/events');
is $late->error, '503 too_many_viewers', '... and no more';
is $late->{headers}{'retry-after'}, 5, '... which is told';
like $late->{json}{error}{message}, qr/^Too many event streams of this location are open/, '... with the reason';
is $tenant->ask(GET => '/pools')->{status}, 200, 'everything else is answered meanwhile';

# A virtual host that says nothing of its own has the main server's location.
my @viewers = ((map { watch() } 1 .. 15), watch($plain));
is scalar(grep { read_until($_, $event) } @viewers), 16, 'the other location still has its own';
is $_->ask(GET => '/events')->error, '503 too_many_viewers', '... and no more' for $admin, $plain;
close $_->{socket} for splice @viewers, 0, 15;
my $again = wait_for(sub { my $one = watch(); read_until($one, $event, 2) && $one }, 15);
ok $again, 'who leaves gives the place back';

close $_->{socket} for @greedy;
ok wait_for(sub { my $one = watch($tenant); read_until($one, $event, 2) && $one }, 15), '... there as well';

my ($old) = @viewers;
$admin->{httpd}->graceful;
ok ends($old, 10) && ends($again, 10), 'a graceful restart ends the streams of the old generation';
my $next = wait_for(sub { my $one = watch(); read_until($one, $event, 2) && $one }, 15);
ok $next, '... and the next one has its own';
$began = time;
$admin->{httpd}->stop;
cmp_ok time - $began, '<', 10, 'httpd stops although somebody watches';
ok ends($next, 5), '... whose stream ends';

# Where there are many locations, each has enough for a few pages.
$admin = admin_server({main => {keys => ['sk-ok-events-key-cccccc']}},
    config => join('', map { location("/tenant-$_", 'APIPoolAdminPools main') } 1 .. 10))->sign_in;
for my $one ($admin, $admin->as(mount => '/tenant-1')->sign_in) {
    my @many = map { watch($one) } 1 .. 6;
    is scalar(grep { read_until($_, $event) } @many), 4, "of eleven locations $one->{mount} has four";
    push @viewers, @many;
}
is $admin->{httpd}->faults, '', 'nothing went wrong inside';

done_testing;
