# SPDX-License-Identifier: Apache-2.0
# The page in a browser: chromium, driven against a real httpd.
use strict;
use warnings;

use APIPoolAdmin qw(location password_file);
use APIPoolNode qw(node_obstacle node_tests);
use APIPoolTest qw(build_dir check_dir mock_port free_port pool_server private_httpd chat slurp spew);
use Apache::Test ();
use JSON::PP qw(encode_json);
use Test::More;

plan skip_all => 'APIPOOL_NO_BROWSER=1 is set' if ($ENV{APIPOOL_NO_BROWSER} || '') eq '1';

my $tests = check_dir() . '/t/browser';
my ($chromium) = grep {-x} map { my $name = $_; map {"$_/$name"} split /:/, $ENV{PATH} } qw(chromium chromium-browser google-chrome);
my $MANY = 100_000;

# What stands in the way of running a browser, if anything does.
sub obstacle {
    return node_obstacle('APIPOOL_NO_BROWSER=1', $tests, 'playwright-core')
        || ($chromium ? () : 'chromium is missing (Debian package chromium); install it, or set APIPOOL_NO_BROWSER=1');
}

# The page as it is installed, with Chart.js.
sub install_page {
    my ($dir) = @_;
    my $output = qx(make -s -C '@{[build_dir()]}' install-page htdocsdir='$dir/htdocs' 2>&1);
    is $?, 0, 'the page is installed' or diag $output;
    ok -f "$dir/htdocs/vendor/chart.min.js", '... with Chart.js (Debian package libjs-chart.js)';
    return "$dir/htdocs";
}

# Admin location, and gzip for what is static, as conf/apipool.conf has it.
sub admin_location {
    my ($root, $path, @lines) = @_;
    my $location = location($path || '/apipool', @lines, 'AddOutputFilterByType DEFLATE text/html text/css text/javascript image/svg+xml');
    return $location =~ s{APIPoolAdminRoot .*}{APIPoolAdminRoot $root}r;
}

my $obstacle = obstacle();
if ($obstacle) {
    fail 'the tests of the page can run';
    diag $obstacle;
    done_testing;
    exit;
}

my $root = install_page(check_dir() . '/t/logs/page');
my $old_base;

# A virtual host that leaves a client and a key behind.
sub old_host {
    my ($port) = @_;
    $old_base = "http://127.0.0.1:$port";
    return "Listen 127.0.0.1:$port\n<VirtualHost 127.0.0.1:$port>\nServerName old.example\n<APIPool old>\nAPIPoolUpstream "
        . 'http://127.0.0.1:' . mock_port() . "/v1 name=one\n</APIPool>\n" . location('/apipool') . "</VirtualHost>\n";
}

my %admins = (admins => password_file(alice => 'wonderland', bob => 'builder'));
my $upstream = 'http://127.0.0.1:' . mock_port() . '/v1';
my $httpd = pool_server(
    {   main => {
            keys => [
                'sk-401-page-refused-aaaa', 'sk-429-page-limited-retry600', 'sk-402-page-spent-aaaaa',
                (map {"sk-ok-page-number-$_-aaaa"} 1 .. 6)
            ],
            upstreams => ["$upstream name=first", "$upstream name=second priority=1"],
            lines => 'APIPoolLimits rpm=600 tpm=1000000',
        },
        import => {keys => []},
        orphans => {keys => [], upstreams => ["$upstream name=stays", "$upstream name=leaves"]},
    },
    files => \%admins,
    config => old_host(free_port()) . admin_location($root) . admin_location($root, '/brief', 'APIPoolAdminSession 8') .
        admin_location($root, '/moving', 'APIPoolAdminReveal On') . "APIPoolCapacity 20000\n" . <<"CONF"
<Location "/basic">
    SetHandler apipool-admin
    APIPoolAdminRoot $root
    APIPoolAdminAuth httpd
    AuthType Basic
    AuthName admin
    AuthUserFile \@DIR\@/admins
    Require valid-user
</Location>
<Location "/anyone">
    SetHandler apipool-admin
    APIPoolAdminRoot $root
    APIPoolAdminAuth httpd
</Location>
<Location "/v1">
    APIPoolUse main
    AuthType APIPool
    Require valid-user
</Location>
<Location "/open/v1">
    APIPoolUse main
</Location>
CONF
);
# Keys that tests know by their labels, and requests of which some rotate.
my $admin = bless {base => $httpd->{base}, mount => '/apipool'}, 'APIPoolAdmin';
$admin->sign_in;
is $admin->ask(POST => '/pools/main/keys?doubtful=add', json => [{key => 'sk-ok-page-checked-aaaa', label => 'checked'},
        {key => 'sk-ok-page-evil-aaaaaaa', label => 'evil'}])->{status}, 200, 'keys with labels';
is $admin->ask(POST => '/clients', json => {name => 'reports', rpm => 60, models => ['demo-model']})->{status}, 201, 'a client';
my $old = $admin->as(base => $old_base)->sign_in;
is $old->ask(POST => '/clients', json => {name => 'left-behind'})->{status}, 201, 'a client of a virtual host';
is $old->ask(POST => '/pools/old/keys?doubtful=add', json => ['sk-ok-page-left-aaaaaaa'])->{status}, 200, '... and a key';
is $admin->ask(POST => '/pools/orphans/keys?doubtful=add&upstream=leaves', json => [{key => 'sk-ok-page-orphan-aaaaa', label => 'orphan'}])->{status},
    200, 'a key of an upstream';
spew("$httpd->{dir}/httpd.conf", slurp("$httpd->{dir}/httpd.conf") =~ s{<VirtualHost.*?</VirtualHost>}{}sr =~ s/^.*name=leaves.*//mr);
ok $httpd->restart, '... which all go';
$admin->sign_in;
chat($httpd, 'open/v1', model => 'demo-model', headers => {'content-type' => 'application/json'}) for 1 .. 12;

my $big = private_httpd(
    files => {%admins, keys => join "\n", (map { sprintf 'sk-ok-many-%06d-aaaaaaaa', $_ } 1 .. $MANY), ''},
    config => "APIPoolCapacity 110000\n" . admin_location($root) . <<"CONF"
<APIPool main>
    APIPoolUpstream $upstream
    APIPoolKeyFile \@DIR\@/keys
</APIPool>
<Location "/v1">
    APIPoolUse main
</Location>
CONF
);

# A server whose secret was lost.
my $broken = pool_server({main => {keys => ['sk-ok-page-broken-aaaa']}}, files => \%admins, config => admin_location($root));
$broken->stop;
unlink "$broken->{dir}/secret";
$broken->start;

my %given = (
    base => $httpd->{base},
    broken => $broken->{base},
    big => $big->{base},
    chromium => $chromium,
    screenshots => $ENV{APIPOOL_SCREENSHOTS} || check_dir() . '/t/logs/screenshots'
);
my @lines = node_tests(
    [map { glob "$tests/$_.test.mjs" } split ' ', $ENV{APIPOOL_BROWSER_TESTS} || '*'],
    env => {APIPOOL_BROWSER => encode_json(\%given), HOME => check_dir() . '/t/logs'},
    options => ['--test-concurrency=1']
);
# The whole of what node says stays in t/logs/browser.tap.
spew(check_dir() . '/t/logs/browser.tap', join '', @lines);
diag grep {/first view with/} @lines;
is $_->faults, '', 'no error in the log' for $httpd, $big;

done_testing;
