# SPDX-License-Identifier: Apache-2.0
# Runs the scripts that keep the sources honest.
use strict;
use warnings;

use APIPoolTest qw(source_dir);
use Test::More;

my $source = source_dir();
for my $script (glob "$source/t/check_*") {
    my ($name) = $script =~ m{/check_(\w+)\z} or next;
    my $output = qx(sh '$script' '$source' 2>&1);
    is $?, 0, $name or diag $output;
}

done_testing;
