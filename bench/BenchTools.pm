# SPDX-License-Identifier: Apache-2.0
# What the benchmarks in Perl share: the build, free ports, percentiles.
package BenchTools;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter 'import';
use IO::Socket::INET ();

our @EXPORT_OK = qw(build_folder make_value listener percentile);

# The folder that --build=FOLDER names among the arguments, or the current one.
sub build_folder {
    my ($build) = map {m/^--build=(.*)/} @_;
    $build = abs_path($build // '.');
    -f "$build/mod_apipool.so" or die "no mod_apipool.so in $build; run configure and make there first.\n";
    return $build;
}

# The value of a variable in the build's Makefile.
sub make_value {
    my ($build, $name) = @_;
    open my $in, '<', "$build/Makefile" or die "$build/Makefile: $!\n";
    my ($value) = map {m/^$name\s*=\s*(\S+)/} <$in>;
    return $value // die "no $name in $build/Makefile\n";
}

# A socket that listens on a free port.
sub listener {
    my ($waiting) = @_;
    return IO::Socket::INET->new(LocalAddr => '127.0.0.1:0', Listen => $waiting, ReuseAddr => 1)
        // die "no free port: $@\n";
}

sub percentile {
    my ($share, @values) = @_;
    return @values ? (sort { $a <=> $b } @values)[int($share * $#values)] : 0;
}

1;
