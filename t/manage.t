# SPDX-License-Identifier: Apache-2.0
# What the admin API tells of pools, keys and requests is what happened; a session that was ended stays so.
use strict;
use warnings;

use APIPoolAdmin qw(admin_server);
use APIPoolTest qw(chat json wait_for);
use Apache::Test ();
use Test::More;

my @keys = map { sprintf 'sk-ok-manage-%08d', $_ } 1 .. 30;
my $admin = admin_server(
    {main => {keys => ['sk-401-manage-aaaaaaaa', @keys], lines => 'APIPoolStrategy round-robin'}}
)->sign_in;

sub ask {
    my ($path) = @_;
    my $answer = $admin->ask(GET => $path);
    is $answer->{status}, 200, "GET $path" or diag $answer->{content};
    return $answer->{json};
}

for my $model (('gpt-a') x 3, ('gpt-b') x 2) {
    is chat($admin, 'main', model => $model)->{status}, 200, "a request for $model is served";
}

my $requests = ask('/requests?limit=3')->{requests};
is_deeply [map { $_->{model} } @$requests], ['gpt-b', 'gpt-b', 'gpt-a'], 'the last requests, newest first';
is_deeply [map { $_->{rule} } @{ask('/requests')->{requests}[-1]{tried}}], ['R06', 'R00'],
    'the first one met a key that is refused';

my ($vendor, $none) = map { $_->{vendor} } @{ask('/requests')->{requests}[-1]{tried}};
is_deeply [@$vendor{qw(status type code)}], [401, 'invalid_request_error', 'invalid_api_key'], '... in the words of the vendor';
like $vendor->{message}, qr/^Incorrect API key provided: /, '... all of them';
unlike $vendor->{message}, qr/sk-4\w+-\w+/, '... but the key';
is $none, undef, '... and one that has nothing to say against it';
ok wait_for(sub { $admin->ask(GET => '/pools/main/keys?state=invalid')->{json}{total} }, 5), 'a probe is told the same';

my $pool = ask('/pools/main');
is_deeply [@{$pool->{keys}}{qw(total active invalid)}], [31, 30, 1], 'keys by state';
is_deeply [@$pool{qw(requests errors in_flight rpm)}], [5, 0, 0, 5], 'requests of the pool';

my $stats = ask('/pools/main/stats?range=1h');
is_deeply {map { $_->{model} => $_->{requests} } @{$stats->{models}}}, {'gpt-a' => 3, 'gpt-b' => 2}, 'by model';
is_deeply {map { $_->{rule} => $_->{attempts} } @{$stats->{rules}}}, {R00 => 5, R06 => 1}, 'by rule';
my $sum = 0;
$sum += $_->{requests} for @{$stats->{series}};
is $sum, 5, 'over time';
is scalar @{$stats->{series}}, 60, '... by minute';

my $page = ask('/pools/main/keys?sort=requests&order=desc&limit=7');
is $page->{total}, 31, 'all keys are counted';
is_deeply [map { $_->{requests} } @{$page->{keys}}], [1, 1, 1, 1, 1, 1, 0], 'those with requests come first';
my @pages = map { @{ask("/pools/main/keys?sort=id&offset=$_&limit=10")->{keys}} } 0, 10, 20, 30;
is_deeply [map { $_->{id} } @pages], [sort map { $_->{id} } @pages], 'pages follow each other';
my ($refused) = @{ask('/pools/main/keys?state=invalid')->{keys}};
is $refused->{masked}, "sk-4\x{2026}aaaa", 'the refused key is shown masked';
is $refused->{last_error}{rule}, 'R06', '... with why';
ok $refused->{next_probe_at}, '... and when it is asked about next';
is_deeply ask("/pools/main/keys/$refused->{id}"), $refused, 'one key is told as in the list';
is ask("/pools/main/keys?q=@{[uc substr $refused->{id}, 3, 9]}")->{total}, 1, 'a part of an id finds it';
is $admin->ask(GET => '/pools/main/keys/0000000000000001')->{status}, 404, 'a key that is not there';

is $admin->ask('DELETE', '/session')->{status}, 204, 'logged out';
is $admin->ask(GET => '/pools')->{status}, 401, '... and the token is dead';
ok $admin->{httpd}->restart, 'restarted';
is $admin->ask(GET => '/pools')->{status}, 401, '... it is dead still';
$admin->{httpd}->stop;
$admin->{httpd}->start;
is $admin->ask(GET => '/pools')->{status}, 401, '... and after a full stop';
$admin->sign_in;
is ask('/pools/main')->{requests}, 5, 'a new one finds the same numbers';
unlike $admin->{httpd}->log, qr/AP0057/, 'statistics were saved at the restart and at the stop';

done_testing;
