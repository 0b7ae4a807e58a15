# SPDX-License-Identifier: Apache-2.0
# What the build leaves: exports, installation, and the sample configuration as it is shipped.
use strict;
use warnings;

use APIPoolTest qw(source_dir build_dir config_test slurp spew);
use Apache::Test ();
use File::Path qw(make_path);
use File::Temp ();
use Test::More;

my $build = build_dir();
my $source = source_dir();

for my $module (qw(apipool apipool_admin)) {
    my @exported = map { (split)[-1] } qx(nm -D --defined-only '$build/mod_$module.so');
    is "@exported", "${module}_module", "mod_$module.so exports its record alone";
}

# Nothing of the points at which test builds can be killed is in the module; t/check_faults knows them all.
my $points = join '', map { slurp($_) } glob "$source/src/*/*.c $source/src/*.c";
my @points = $points =~ /APIPOOL_FAULT\("([^"]+)"\)/g;
for my $point (@points) {
    my @with = grep { index(slurp("$build/$_"), $point) >= 0 } 'mod_apipool.so', 'obj/faults/mod_apipool.so';
    is "@with", 'obj/faults/mod_apipool.so', "$point is in the test build alone";
}

sub files_below {
    my ($dir) = @_;
    return sort map { s{^\Q$dir\E/}{}r } grep { length } split /\n/, qx(find '$dir' -type f -o -type l);
}

sub run_make {
    my ($target, @words) = @_;
    my $said = qx(make -s -C '$build' $target prefix=/usr @words 2>&1);
    is $?, 0, "make $target @words" or diag $said;
    return $said;
}

# Whole trees of the sources, the modules, and the configuration where the layout wants it.
my @trees = (
    (map {"usr/share/apipool/htdocs/$_"} files_below("$source/htdocs"), 'vendor/chart.min.js'),
    (map {"usr/share/doc/mod_apipool/docs/$_"} files_below("$source/docs")),
    (map {"usr/share/apipool/examples/$_"} map { s{^examples/}{}r } grep {m{/} && !m{^notify/}} files_below("$source/conf")),
    (map {"usr/share/apipool/notify/$_"} files_below("$source/conf/notify")),
    (map { 'usr/share/doc/mod_apipool/' . s{.*/}{}r } glob("$source/README*.md"), 'CHANGES'),
    qw(usr/share/apipool/openapi.json usr/lib/test/mod_apipool.so usr/lib/test/mod_apipool_admin.so)
);
my %layouts = (
    'etc/apache2' => [qw(mods-available/proxy_apipool.load mods-available/proxy_apipool.conf conf-available/apipool.conf)],
    'etc/httpd'   => [qw(apipool/proxy_apipool.load apipool/proxy_apipool.conf apipool/apipool.conf)],
);
for my $confdir (sort keys %layouts) {
    my $root = File::Temp->newdir;
    my @where = ("DESTDIR='$root'", "confdir=/$confdir", 'libexecdir=/usr/lib/test');
    make_path("$root/etc/apache2/conf-available") if $confdir eq 'etc/apache2';
    my @config = map {"$confdir/$_"} @{$layouts{$confdir}};
    my $sample = "$root/$config[2]";

    run_make(install => @where);
    is_deeply [files_below($root)], [sort @trees, @config], '... installs what it should, and nothing else';
    like slurp("$root/$config[0]"), qr{^LoadModule apipool_module /usr/lib/test/mod_apipool\.so$}m, '... loads the modules from there';
    my $logs = $confdir eq 'etc/apache2' ? '${APACHE_LOG_DIR}' : 'logs';
    like slurp($sample), qr{^#CustomLog \Q$logs\E/apipool\.log }m, '... names the folder of logs';

    spew($sample, slurp($sample) . "# edited\n");
    my $said = run_make(install => @where);
    like $said, qr/kept \Q$sample\E/, '... keeps what has been edited, and says so';
    like slurp($sample), qr/^# edited$/m, '... as it is';
    unlike slurp("$sample.default"), qr/^# edited$/m, '... beside the new one';
    is_deeply [files_below($root)], [sort @trees, @config, "$config[2].default"], '... and only that';

    like run_make(uninstall => @where), qr/left \Q$sample\E/, '... says what it leaves';
    is_deeply [files_below($root)], [$config[2]], '... which is what has been edited, alone';
    ok !-e "$root/usr/share/$_", "... and no folder $_" for qw(apipool doc/mod_apipool);
}

# The samples as they are shipped, and with every commented directive switched on.
my $sample = (slurp("$source/conf/proxy_apipool.conf") . slurp("$source/conf/apipool.conf"))
    =~ s{/etc/apipool/(keys|admins)$}{\@DIR\@/$1}gmr
    =~ s{(APIPoolStore|APIPoolSecretFile) .*/}{$1 \@DIR\@/}gr
    =~ s{(APIPoolAdminRoot) .*}{$1 $source/htdocs}gr;
my $switched_on = $sample =~ s/^( *)#(APIPool)/$1$2/gmr;
isnt $switched_on, $sample, 'the sample shows directives with their defaults';
for my $config ($sample, $switched_on) {
    my ($status, $said) = config_test($config, files => {keys => "sk-one\n", admins => ''});
    is $status, 0, 'the sample configuration is accepted' or diag $said;
}

done_testing;
