# SPDX-License-Identifier: Apache-2.0
# Runs the scripts that keep the sources honest.
use strict;
use warnings;

use APIPoolTest qw(build_dir);
use Test::More;

my $build = build_dir();
for my $script (glob "$build/t/check_*") {
    my ($name) = $script =~ m{/check_(\w+)\z} or next;
    my $output = qx(sh '$script' '$build/source' 2>&1);
    is $?, 0, $name or diag $output;
}

done_testing;
