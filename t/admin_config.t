# SPDX-License-Identifier: Apache-2.0
# The directives of the admin module: what httpd -t refuses and says, and the examples in conf/examples.
use strict;
use warnings;

use APIPoolAdmin qw(password_file);
use APIPoolTest qw(check_dir config_test slurp source_dir);
use Test::More;

my $pool = "<APIPool main>\n    APIPoolUpstream http://127.0.0.1:1/v1\n</APIPool>\n";
my %files = (admins => password_file(alice => 'x'), old => "dave:\$apr1\$abcdefgh\$MDhhiTsuVHNVMJCqj1B9R1\n");

sub check {
    my (@lines) = @_;
    my $location = join "\n    ", '<Location "/apipool">', 'SetHandler apipool-admin', @lines;
    return config_test("$pool$location\n</Location>\n", files => \%files);
}

for my $lines (
    [], ['APIPoolAdminUserFile @DIR@/admins'], ['APIPoolAdminAuth httpd'], ['APIPoolAdminAuth Session'],
    ['APIPoolAdminUserFile @DIR@/admins', 'APIPoolAdminPools main', 'APIPoolAdminViewers a b', 'APIPoolAdminViewers c',
        'APIPoolAdminSession 1', 'APIPoolAdminReveal On'],
    ['APIPoolAdminUserFile @DIR@/old'],
    )
{
    my ($status, $said) = check(@$lines);
    is $status, 0, join '; ', 'taken', @$lines or diag $said;
}
like +(check('APIPoolAdminUserFile @DIR@/old'))[1], qr/AP0101: \S+old: the entry of "dave" is not bcrypt, .*htpasswd -B/,
    'entries of another kind are named';

for my $case (
    ['APIPoolAdminUserFile @DIR@/nothing', qr/nothing: it cannot be read: No such file.*htpasswd -B/],
    ['APIPoolAdminUserFile @DIR@', qr/this is not a file/],
    ['APIPoolAdminUserFile', qr/takes one argument/],
    ['APIPoolAdminAuth basic', qr/APIPoolAdminAuth basic: session or httpd is needed/],
    ['APIPoolAdminPools main nothing', qr/AP0102: \S+:\d+: APIPoolAdminPools nothing: this server and the main server have no such pool/],
    ['APIPoolAdminSession 0', qr/APIPoolAdminSession 0: a whole number from 1 to \d+ is needed/],
    ['APIPoolAdminSession 1h', qr/APIPoolAdminSession 1h: a whole number/],
    ['APIPoolAdminSession -1', qr/APIPoolAdminSession -1: a whole number/],
    ['APIPoolAdminSession 99999999999', qr/a whole number/],
    ['APIPoolAdminReveal maybe', qr/APIPoolAdminReveal must be On or Off/],
    ['APIPoolAdminRoot @DIR@/nothing', qr/not a folder that can be read/],
    )
{
    my ($line, $wanted) = @$case;
    my ($status, $said) = check($line);
    isnt $status, 0, "refused: $line";
    like $said, $wanted, '... and said why';
}
for my $case (
    ['LocationMatch "^/a"' => qr/must stand in <Location>, <If> or a virtual host, not in <LocationMatch>/],
    ['Location ~ "^/a"' => qr/needs a plain <Location>/],
    ['Location "/a*"' => qr/needs a plain <Location>/],
    ['Directory "/"' => qr/not in <Directory>/],
    )
{
    my ($section, $wanted) = @$case;
    my ($name) = $section =~ /^(\w+)/;
    my ($status, $said) = config_test("$pool<$section>\n    SetHandler apipool-admin\n</$name>\n");
    isnt $status, 0, "no place for it is <$section>";
    like $said, $wanted, '... and said why';
    is +(config_test("$pool<$section>\n    SetHandler server-status\n</$name>\n"))[0], 0, '... which other handlers may have';
}
my ($status, $said) = config_test("<APIPool main>\n    APIPoolUpstream http://127.0.0.1:1/v1\n    APIPoolAdminReveal On\n</APIPool>\n");
isnt $status, 0, 'no place for them is a pool';
like $said, qr/APIPoolAdminReveal must stand outside <APIPool>/, '... and said why';

# A virtual host sees its own pools and the main server's, and those alone.
my $hosts = $pool . join '', map {
    "<VirtualHost *:1>\n    ServerName $_.example\n    <APIPool $_>\n        APIPoolUpstream http://127.0.0.1:1/v1\n    </APIPool>\n"
        . "    <Location /apipool>\n        SetHandler apipool-admin\n        APIPoolAdminUserFile \@DIR\@/admins\n        APIPoolAdminPools POOLS-$_\n"
        . "    </Location>\n</VirtualHost>\n"
} qw(one two);
($status, $said) = config_test($hosts =~ s/POOLS-(\w+)/main $1/gr, files => \%files);
is $status, 0, 'its own and the main server\'s' or diag $said;
($status, $said) = config_test($hosts =~ s/POOLS-\w+/one/gr, files => \%files);
isnt $status, 0, 'another virtual host\'s is none of its business';
like $said, qr/APIPoolAdminPools one: /, '... and said why';

# The examples as they are shipped, with files where they say, and with the modules of others that they are for.
my $oidc = slurp(check_dir() . '/t/modules.conf') =~ m{^LoadModule mpm_event_module (\S+)/}m ? "$1/mod_auth_openidc.so" : '';
my %loaded = ('single-sign-on' => [auth_openidc => $oidc]);
my @examples = glob source_dir() . '/conf/examples/*.conf';
is scalar @examples, 6, 'there are examples';
like slurp(source_dir() . '/conf/apipool.conf'), qr/^ *APIPoolRewriteURLs On$/m, 'the configuration rewrites addresses in responses';
for my $example (@examples) {
    my ($name) = $example =~ m{/([\w-]+)\.conf\z};
    my $text = slurp($example) =~ s{^( *[^#\n]*)/etc/apipool/}{$1\@DIR\@/}gmr =~ s{^APIPoolStore .*}{}mr;
    my %users = map { $_ => password_file(anna => 'x') } $text =~ m{APIPoolAdminUserFile \@DIR\@/(\S+)}g;
    my %secrets = map { $_ => 'not-known-to-anyone' } $text =~ m{exec:/bin/cat \@DIR\@/([\w-]+)}g;
    my ($module, $file) = @{$loaded{$name} || []};
    is scalar(() = $text =~ /^ +APIPoolRewriteURLs On$/mg), scalar(() = $text =~ /^ +APIPoolUse /mg),
        "$name: addresses in responses are rewritten";
    for my $load ($module ? ('', "LoadModule ${module}_module $file\n") : '') {
        my $what = $load ? "$name with mod_$module" : $name;
        SKIP: {
            skip "$what: $file is missing", 2 if $load && !-e $file && !$ENV{APIPOOL_TEST_ALL};
            ($status, $said) = config_test($load . $text, files => {%users, %secrets});
            is $status, 0, "$what is accepted" or diag $said;
            unlike $said, qr/AP\d{4}/, '... without a word';
        }
    }
}

done_testing;
