# SPDX-License-Identifier: Apache-2.0
# What the page does without a browser: its modules in node.
use strict;
use warnings;

use APIPoolNode qw(node_obstacle node_tests);
use APIPoolTest qw(check_dir source_dir spew);
use File::Path qw(remove_tree);
use Test::More;

my $tests = check_dir() . '/t/page';
my $obstacle = node_obstacle('PATH to where it is', $tests);
if ($obstacle) {
    fail 'the tests of the page can run';
    diag $obstacle;
    done_testing;
    exit;
}

# The same files beside a package.json, by which node takes them for modules, as browsers do.
my $modules = check_dir() . '/t/logs/modules';
remove_tree($modules);
is system('cp', '-R', source_dir() . '/htdocs/js', $modules), 0, 'the modules are copied';
spew("$modules/package.json", '{"type":"module"}');

node_tests([glob "$tests/*.test.mjs"], env => {APIPOOL_MODULES => $modules, APIPOOL_SOURCE => source_dir()});

done_testing;
