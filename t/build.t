# SPDX-License-Identifier: Apache-2.0
# What the build leaves: exports, installation, and the sample configuration as it is shipped.
use strict;
use warnings;

use APIPoolTest qw(source_dir build_dir config_test slurp);
use Apache::Test ();
use File::Temp ();
use Test::More;

my $build = build_dir();
my $source = source_dir();

for my $module (qw(apipool apipool_admin)) {
    my @exported = map { (split)[-1] } qx(nm -D --defined-only '$build/mod_$module.so');
    is "@exported", "${module}_module", "mod_$module.so exports its record alone";
}

# Nothing of the points at which test builds can be killed is in the module; t/check_faults knows them all.
my $points = join '', map { slurp($_) } glob "$source/src/*/*.c";
my @points = $points =~ /APIPOOL_FAULT\("([^"]+)"\)/g;
for my $point (@points) {
    my @with = grep { index(slurp("$build/$_"), $point) >= 0 } 'mod_apipool.so', 'obj/faults/mod_apipool.so';
    is "@with", 'obj/faults/mod_apipool.so', "$point is in the test build alone";
}

my $root = File::Temp->newdir;
my $output = qx(make -s -C '$build' install DESTDIR='$root' 2>&1);
is $?, 0, 'make install DESTDIR=...' or diag $output;
my @files = map { s/^\Q$root\E//r } split /\n/, qx(find '$root' -type f);
for my $wanted (qw(mod_apipool.so mod_apipool_admin.so htdocs/index.html htdocs/js/views/keys.js
    htdocs/vendor/chart.min.js apipool/openapi.json apipool/apipool.conf apipool/examples/team-gateway.conf)) {
    ok scalar(grep { m{/\Q$wanted\E\z} } @files), "installs $wanted";
}
is scalar(grep { !m{mod_apipool|htdocs|apipool\.conf|proxy_apipool\.load|/apipool/openapi\.json|/apipool/examples/} } @files), 0,
    '... and nothing else';

# The sample as it is shipped, and with every commented directive switched on.
my $sample = slurp("$source/conf/apipool.conf")
    =~ s{^( *[^#\n]*)/etc/apipool/(keys|admins)}{$1\@DIR\@/$2}gmr
    =~ s{(APIPoolAdminRoot) .*}{$1 $source/htdocs}gr;
my $switched_on = $sample =~ s/^( *)#(APIPool)/$1$2/gmr;
isnt $switched_on, $sample, 'the sample shows directives with their defaults';
for my $config ($sample, $switched_on) {
    my ($status, $said) = config_test($config, files => {keys => "sk-one\n", admins => ''});
    is $status, 0, 'the sample configuration is accepted' or diag $said;
}

done_testing;
