# SPDX-License-Identifier: Apache-2.0
# rpm/mod_apipool.spec, where rpmbuild is there: the package has the layout of Fedora and RHEL.
use strict;
use warnings;

use APIPoolTest qw(source_dir build_dir slurp);
use File::Temp ();
use Test::More;

plan skip_all => 'rpmbuild is missing (Debian package rpm)' if !$ENV{APIPOOL_TEST_ALL} && system('command -v rpmbuild > /dev/null') != 0;

my ($apxs) = slurp(build_dir() . '/Makefile') =~ /^APXS *= *(.*)$/m;
my $dir = File::Temp->newdir;
my $source = source_dir();
local $ENV{CFLAGS} = '-O1 -g'; # nobody runs it
my $said = qx(cd '$dir' && export HOME='$dir' && '$source/configure' -q --with-apxs='$apxs' &&
    make -s rpm RPM_FLAGS="--define '_httpd_moddir /usr/lib64/httpd/modules'" 2>&1);
is $?, 0, 'make rpm' or do {
    diag substr $said, -4000;
    done_testing;
    exit;
};

my ($package) = grep { !/debug/ } glob "$dir/rpmbuild/RPMS/*/*.rpm";
my %files = map { my ($path, @of) = (split)[0, 4, 5, 6, 7]; ($path => "@of") } split /\n/, qx(rpm -qp --dump '$package');
my %expected = (
    '/usr/lib64/httpd/modules/mod_apipool.so'       => '0100755 root root 0',
    '/usr/lib64/httpd/modules/mod_apipool_admin.so' => '0100755 root root 0',
    '/usr/share/apipool/htdocs/index.html'          => '0100644 root root 0',
    '/usr/share/apipool/notify/feishu.sh'           => '0100755 root root 0',
    '/usr/share/apipool/notify/common.sh'           => '0100644 root root 0',
    '/usr/share/doc/mod_apipool/README.md'          => '0100644 root root 0',
    '/etc/httpd/conf.modules.d/10-apipool.conf'     => '0100644 root root 1', # 1: configuration
    '/etc/httpd/conf.d/apipool.conf'                => '0100644 root root 1',
    '/etc/apipool'                                  => '040750 root apache 0',
    '/etc/apipool/admins'                           => '0100640 root apache 1',
    '/var/lib/apipool'                              => '040700 apache apache 0',
);
is $files{$_}, $expected{$_}, "has $_" for sort keys %expected;
is_deeply [grep { m{^/etc/} && !$expected{$_} } sort keys %files], [], '... and no other configuration';

my $settings = qx(rpm2archive - < '$package' | tar -xzO --wildcards './etc/httpd/*.conf');
like $settings, qr{^LoadModule apipool_module /usr/lib64/httpd/modules/mod_apipool\.so$}m, 'loads the module from there';
like $settings, qr{SSLProxyCACertificateFile /etc/pki/tls/certs/ca-bundle\.crt$}m, 'knows the certificates of the system';

done_testing;
