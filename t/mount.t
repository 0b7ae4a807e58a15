# SPDX-License-Identifier: Apache-2.0
# The admin API and the metrics: served where the configuration puts them, and by no .htaccess, RewriteRule or AddHandler.
use strict;
use warnings;

use APIPoolAdmin qw(admin_server location);
use APIPoolTest qw(chat check_dir free_port mock_port request send_raw slurp spew);
use File::Path qw(make_path);
use HTTP::Tiny ();
use MIME::Base64 qw(encode_base64);
use Test::More;

my ($folder) = slurp(check_dir() . '/t/modules.conf') =~ m{(/\S+)/mod_proxy\.so};
my @modules = map { -f "$folder/mod_$_.so" ? "LoadModule ${_}_module $folder/mod_$_.so\n" : () } qw(rewrite actions alias dir negotiation);
my $loaded = slurp(check_dir() . '/t/modules.conf');
@modules = grep { my ($name) = /LoadModule (\S+)/; $loaded !~ /LoadModule $name / } @modules;

# Users of this server may say all that .htaccess can say.
my $admin = admin_server(
    {main => {keys => ['sk-ok-mount-key-aaaaaaaa']}},
    config => join('', @modules)
        . "<Directory \"\@DIR\@/htdocs\">\n    AllowOverride All\n    Options All\n    Require all granted\n</Directory>\n"
        . "RewriteEngine On\nRewriteRule \"^/by-server/\" \"-\" [H=apipool-metrics]\n"
        . "<Directory \"\@DIR\@/htdocs/folder\">\n    SetHandler apipool-metrics\n</Directory>\n"
        . location('/closed', 'Require ip 192.0.2.1') . <<'CONF'
<Location "/local">
    SetHandler apipool-metrics
    Require ip 127.0.0.1
</Location>
<Location "/secret">
    SetHandler apipool-metrics
    AuthType Basic
    AuthName metrics
    AuthUserFile @DIR@/admins
    Require valid-user
</Location>
<Location "/guarded">
    APIPoolUse main
    AuthType APIPool
    Require valid-user
</Location>
CONF
)->sign_in;
my $httpd = $admin->{httpd};
my $htdocs = "$httpd->{dir}/htdocs";

sub get { return request(GET => $_[0], base => $admin->{base}) }

sub is_ours {
    my ($answer) = @_;
    return $answer->{content} =~ /apipool_build_info|"healthy"|"error"|APIPool/ ? 1 : 0;
}

# --- What a user of the server can write ---------------------------------------------------------

my %attacks = (
    'AddHandler of the metrics' => 'AddHandler apipool-metrics .txt',
    'AddHandler of the admin API' => 'AddHandler apipool-admin .txt',
    'SetHandler of the metrics' => 'SetHandler apipool-metrics',
    'SetHandler of the admin API' => 'SetHandler apipool-admin',
    'SetHandler in <Files>' => "<Files \"*.txt\">\nSetHandler apipool-metrics\n</Files>",
    'SetHandler in <If>' => "<If \"true\">\nSetHandler apipool-metrics\n</If>",
    'SetHandler with an expression' => 'SetHandler "expr=apipool-metrics"',
    'RewriteRule to the metrics' => "RewriteEngine On\nRewriteRule \"txt\$\" \"-\" [H=apipool-metrics]",
    'RewriteRule to the admin API' => "RewriteEngine On\nRewriteRule \"txt\$\" \"-\" [H=apipool-admin]",
    'Action' => "Action text/plain /evil/a.txt\nAddHandler apipool-metrics .txt",
);
my $n = 0;
for my $attack (sort keys %attacks) {
    my $evil = 'evil' . ++$n;
    make_path("$htdocs/$evil/api");
    spew("$htdocs/$evil/$_", "a page\n") for qw(a.txt api/health.txt);
    spew("$htdocs/$evil/.htaccess", "$attacks{$attack}\n");
    for my $path ('a.txt', 'api/health.txt', 'api/health', '') {
        my $answer = get("/$evil/$path");
        ok !is_ours($answer), "$attack: /$path is not served" or diag "$answer->{status} $answer->{content}";
    }
}
make_path("$htdocs/$_") for qw(by-server folder);
spew("$htdocs/$_/a.txt", "a page\n") for qw(by-server folder);
is get('/by-server/a.txt')->{content}, "a page\n", 'a RewriteRule of the server gives a file to no handler of ours';
is get('/folder/a.txt')->{content}, "a page\n", '... nor does <Directory>';

# --- What is configured stays where it is ---------------------------------------------------------

for my $catch_all (
    "RewriteEngine On\nRewriteRule \"^\" \"/evil1/a.txt\" [L]",
    "RewriteEngine On\nRewriteRule \"^\" \"-\" [F]",
    'FallbackResource /evil1/a.txt', 'Require all denied', 'SetHandler server-status',
    'ErrorDocument 401 /evil1/a.txt',
    # as WordPress writes it
    "RewriteEngine On\nRewriteBase /\nRewriteRule ^index\\.php\$ - [L]\nRewriteCond %{REQUEST_FILENAME} !-f\n"
        . "RewriteCond %{REQUEST_FILENAME} !-d\nRewriteRule . /index.php [L]",
    'RedirectMatch "^/" "http://elsewhere.invalid/"', 'Options +MultiViews', 'DirectoryIndex disabled',
    )
{
    spew("$htdocs/.htaccess", "$catch_all\n");
    my ($first) = split /\n/, $catch_all =~ s/RewriteEngine On\n//r;
    is $admin->ask(GET => '/pools')->{status}, 200, "below $first: the API answers";
    is $admin->as()->ask(GET => '/pools')->error, '401 unauthorized', '... in its own words';
    like get('/metrics')->{content}, qr/^apipool_build_info/m, '... so do the metrics';
    like get('/apipool/')->{content}, qr/<html/, '... and the page';
    is get('/closed/api/health')->{status}, 403, '... and what is closed stays closed';
}
unlink "$htdocs/.htaccess";

# --- The same said of a whole server ---------------------------------------------------------------

my $mock = 'http://127.0.0.1:' . mock_port();
my @of_servers = (
    "RewriteEngine On\nRewriteCond %{DOCUMENT_ROOT}%{REQUEST_URI} !-f\nRewriteRule ^ /index.php [L]",
    "RewriteEngine On\nRewriteRule ^ http://elsewhere.invalid/ [R,L]",
    'FallbackResource /index.php', 'AliasMatch "^/" "@DIR@/htdocs/index.php"', 'RedirectMatch "^/" "http://elsewhere.invalid/"',
    qq(ProxyPass "/" "$mock/"), qq(ProxyPass "/" "$mock/" mapping=encoded), qq(ProxyPassMatch "^/" "$mock"),
    qq(<Directory "\@DIR\@/htdocs">\nRewriteEngine On\nRewriteRule ^ /index.php [L]\n</Directory>),
    qq(<FilesMatch "">\nSetHandler server-status\n</FilesMatch>), 'Options Indexes MultiViews',
);
my %port_of = map { $_ => free_port() } @of_servers;
my $host = admin_server(
    {main => {keys => ['sk-ok-mount-key-bbbbbbbb']}},
    config => join '', @modules,
    map {"Listen 127.0.0.1:$port_of{$_}\n<VirtualHost 127.0.0.1:$port_of{$_}>\n$_\n</VirtualHost>\n"} @of_servers
);
spew("$host->{httpd}{dir}/htdocs/index.php", "a page\n");
for my $catch_all (@of_servers) {
    my $base = "http://127.0.0.1:$port_of{$catch_all}";
    my ($first) = grep { !/Engine|Cond|^<D/ } split /\n/, $catch_all;
    is $host->as(base => $base)->sign_in->ask(GET => '/pools')->{status}, 200, "a server with $first: the API answers";
    like request(GET => '/metrics', base => $base)->{content}, qr/^apipool_build_info/m, '... so do the metrics';
    like request(GET => '/apipool/', base => $base)->{content}, qr/<html/, '... and the page';
    like request(GET => '/apipool/style.css', base => $base)->{content}, qr/\.shell/, '... with its files';
    is chat($base, 'main', model => '')->{status}, 200, '... and the pool';
}
is $host->{httpd}->faults, '', 'nothing went wrong inside';
like send_raw("GET /apipool HTTP/1.0\r\nHost: localhost\r\n\r\n", port => $httpd->{port}), qr{\AHTTP/1\.1 301 },
    'the location without a slash leads to the page';
is get('/apipoolx/api/health')->{status}, 404, 'a name that begins like the location is another one';

# --- A rule that asks on behalf of a visitor comes from this very machine --------------------------

make_path("$htdocs/customer");
my %asked = (m => '/local', s => '/secret', d => '/apipool/api/pools', k => '/guarded/models');
spew("$htdocs/customer/.htaccess", "RewriteEngine On\n"
        . join '', map {"RewriteRule \"^$_\$\" \"$admin->{base}$asked{$_}\" [P]\n"} sort keys %asked);
my $visitor = HTTP::Tiny->new(local_address => '127.0.0.2');
sub visit { return $visitor->get("$admin->{base}$_[0]", {headers => $_[1] // {}}) }
is visit('/local')->{status}, 403, 'an address keeps a visitor out';
like visit('/customer/m')->{content}, qr/^apipool_build_info/m, '... but not out of what a rule asks for, as operations.md warns';
is visit("/customer/$_")->{status}, 401, "$asked{$_}: what needs more than an address is not to be had" for qw(s d k);
like visit('/secret', {authorization => 'Basic ' . encode_base64('alice:wonderland', '')})->{content}, qr/^apipool_build_info/m,
    '... but by those who have a password';
is visit('/apipool/api/pools', {authorization => "Bearer $admin->{token}"})->{status}, 200, '... or a session';

# --- TRACE would show what a request carries ------------------------------------------------------

for my $path ('/apipool/', '/apipool/api/session', '/apipool/api/pools', '/metrics') {
    my $answer = send_raw("TRACE $path HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: apipool_session=mine\r\n\r\n",
        port => $httpd->{port});
    like $answer, qr{\AHTTP/1\.1 405 .*^Allow: [A-Z, ]*GET}ms, "TRACE $path is refused, with what is allowed";
    unlike $answer, qr/mine|TRACE, |, TRACE/, '... and shows nothing';
}
is $httpd->faults, '', 'nothing went wrong inside';

done_testing;
