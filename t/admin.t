# SPDX-License-Identifier: Apache-2.0
# The admin module: health without a login, the dashboard's files, and nothing else.
use strict;
use warnings;

use APIPoolTest qw(private_httpd request json spew source_dir check_dir config_test slurp send_raw free_port);
use Apache::Test ();
use Test::More;

my $root = source_dir() . '/htdocs';
my $httpd = private_httpd(config => <<"CONF");
<Location "/apipool">
    SetHandler apipool-admin
    APIPoolAdminRoot $root
</Location>
<Location "/bare">
    SetHandler apipool-admin
</Location>
CONF

sub ask {
    my ($method, $path, %options) = @_;
    return request($method, $path, base => $httpd->{base}, %options);
}

for my $path ('/apipool/api/health', '/bare/api/health') {
    my $health = ask(GET => $path);
    is $health->{status}, 200, "$path answers";
    is_deeply json($health->{content}), {status => 'ok'}, '... that it is well';
    is $health->{headers}{'cache-control'}, 'no-store', '... just now';
}

my $page = ask(GET => '/apipool/');
is $page->{status}, 200, 'the page is served';
is $page->{content}, slurp("$root/index.html"), '... as it is';
like $page->{headers}{'content-type'}, qr{^text/html}, '... as HTML';
like $page->{headers}{'content-security-policy'}, qr/default-src 'self'.*frame-ancestors 'none'/, '... under a strict policy';
is $page->{headers}{'x-content-type-options'}, 'nosniff', '... and no sniffing';
is ask(GET => '/apipool/', headers => {'if-none-match' => $page->{headers}{etag}})->{status}, 304, 'it can be revalidated';
for my $file ($page->{content} =~ /(?:src|href)="([^":]+)"/g) {
    is ask(GET => "/apipool/$file")->{status}, 200, "its $file is there";
}
like send_raw("GET /apipool HTTP/1.0\r\nHost: x\r\n\r\n", port => $httpd->{port}),
    qr{301 .*Location: [^\r]*/apipool/\r}s, 'its folder is found without the slash';

for my $path ('api/nothing', 'nothing.html', 'index.html/', '..%2f..%2fhttpd.conf', 'style.css.bak', 'README') {
    my $answer = ask(GET => "/apipool/$path");
    is $answer->{status}, 404, "$path: 404";
    unlike $answer->{content}, qr/APIPool/, '... and nothing of ours';
}
is json(ask(GET => '/apipool/api/nothing')->{content})->{error}{code}, 'not_found', 'a JSON error below api/';
my $post = ask(POST => '/apipool/api/health', content => '{}');
is $post->{status}, 405, 'other methods are refused';
is $post->{headers}{allow}, 'GET, HEAD', '... with those that are not';

my ($status, $output) = config_test('');
is $status, 0, 'both modules load in order' or diag $output;
my $modules = slurp(check_dir() . '/t/modules.conf');
my $alone = check_dir() . '/t/logs/alone.conf';
spew($alone, $modules =~ s/^LoadModule apipool_module.*\n//mr
        . "ServerRoot " . check_dir() . "/t\nServerName localhost\nListen 127.0.0.1:" . free_port() . "\nTypesConfig /dev/null\n"
        . "ErrorLog logs/alone.log\nPidFile logs/alone.pid\nDefaultRuntimeDir logs\n");
my $httpd_binary = Apache::Test::vars('httpd');
$output = qx('$httpd_binary' -f '$alone' 2>&1);
isnt $? >> 8, 0, 'the admin module alone does not start';
my $log = check_dir() . '/t/logs/alone.log';
like $output . (-f $log ? slurp($log) : ''), qr/AP0100: .*load apipool_module before/, '... and says what to do';

done_testing;
