# SPDX-License-Identifier: Apache-2.0
# docs/operations.md: the log format that it gives, with the script that reads it, for requests that would break JSON;
# and that what it says of alerts is what conf/monitoring has.
use strict;
use warnings;
use utf8;

use APIPoolTest qw(pool_server request send_raw slurp source_dir spew wait_for);
use Encode qw(decode_utf8);
use JSON::PP ();
use Test::More;

my $guide = slurp(source_dir() . '/docs/operations.md');
my ($format) = $guide =~ /^(LogFormat .*?^CustomLog [^\n]+\n)/ms or BAIL_OUT 'the guide has no log format';
my ($filter) = $guide =~ /perl -pe '([^'\n]+)'/ or BAIL_OUT 'the guide has no script for the log';
$format =~ s/\$\{APACHE_LOG_DIR\}/\@DIR\@/ or fail 'the log is where Debian has its logs';

my $httpd = pool_server(
    {main => {keys => ['sk-ok-main-key-aaaaaaaa'], location => "AuthType Basic\n    AuthName x\n    "
                . qq(AuthUserFile "\@DIR\@/users"\n    Require valid-user)}},
    config => $format,
    files => {users => q(a"b\\c:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=) . "\n"}
);

# ask(PATH, BODY, FIELDS): a request of a user whose name is as bad as names can be; "test" is the password.
sub ask {
    my ($path, $body, $fields) = @_;
    my $auth = 'YSJiXGM6dGVzdA==';
    return send_raw("POST $path HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Basic $auth\r\n"
            . ($fields // '') . 'Content-Length: ' . length($body) . "\r\n\r\n$body", port => $httpd->{port});
}

my @asked = (
    ['/main/chat', '{"model":"plain"}', "User-Agent: plain\r\n"],
    ['/main/chat', '{"model":"q\"b\\\\x41 }"}', qq(User-Agent: a"b\\x41\\\\ {"x":1}\t'\r\n)],
    ['/main/chat', qq({"model":"\xe5\x8d\x83\xe9\x97\xae"}), "User-Agent: \xe5\xbc\xa0\xe4\xb8\x89\r\n"],
    ['/main/chat', qq({"model":"cut \xe5\x8d"}), "User-Agent: \xff\xfe\r\n"],
    ['/main/x%22%0a%0b%7f%5cx41%E5%BC%A0', '{}'],
);
ask(@$_) for @asked;
send_raw("POST /main/chat HTTP/1.0\r\n\r\n", port => $httpd->{port});
request(GET => '/nothing', base => $httpd->{base});

my $file = "$httpd->{dir}/apipool.log";
my $raw = wait_for(sub { -f $file && (slurp($file) =~ tr/\n//) >= @asked + 1 && slurp($file) });
ok $raw, 'each request has a line';
spew("$httpd->{dir}/filter", $filter);
my @lines = split /\n/, qx(perl -p '$httpd->{dir}/filter' '$file');
is scalar @lines, @asked + 1, '... and no others have, nor does a line feed in a path make two';
my @entries = map { JSON::PP->new->decode(decode_utf8($_)) } @lines;
is_deeply [map { $_->{model} } @entries[0 .. 2]], ['plain', 'q_b_x41 }', '千问'], 'models';
is_deeply [map { $_->{agent} } @entries[0 .. 2]], ['plain', qq(a"b\\x41\\\\ {"x":1}\t'), '张三'], 'agents';
is $entries[4]{path}, qq(/main/x"\n\x0b\x7f\\x41张), 'a path';
is $entries[0]{client}, 'a_b_c', 'a client';
is_deeply [@{$entries[0]}{qw(status outcome rule attempts pool method)}], [200, 'complete', 'R00', 1, 'main', 'POST'], 'the rest';
is_deeply [@{$entries[-1]}{qw(status outcome client)}], [401, '-', '-'], 'a request that httpd refused';
cmp_ok abs($entries[0]{at} - time), '<', 60, 'the time';
ok !eval { JSON::PP->new->decode((split /\n/, $raw)[2]) }, 'without the script a line is no JSON';

my %severity = slurp(source_dir() . '/conf/monitoring/alerts.yml') =~ /alert: (\w+).*?severity: (\w+)/gs;
my %told = $guide =~ /^\| `(APIPool\w+)` \| (critical|warning) \|/mg;
is_deeply \%told, \%severity, 'the guide has all alerts, with their severity';

done_testing;
