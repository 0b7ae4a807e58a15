# SPDX-License-Identifier: Apache-2.0
# Runs tests written for node: checks what they need, and reports their results as results of this suite.
package APIPoolNode;

use strict;
use warnings;

use Exporter 'import';
use Test::More;

our @EXPORT_OK = qw(node_obstacle node_tests);

# Why node cannot run the tests of FOLDER, which need PACKAGE of npm if given; nothing if it can. OTHERWISE is
# the variable that skips them.
sub node_obstacle {
    my ($otherwise, $folder, $package) = @_;
    my $version = qx(node --version 2>/dev/null);
    return "node is missing; install node 18 or later, or set $otherwise" if $? != 0 || $version !~ /\Av(\d+)/;
    return "node 18 or later is needed, not $version" if $1 < 18;
    my ($name) = $folder =~ m{(t(?:/\w+)?)\z};
    return "$name/node_modules is missing; run 'npm ci' in $name, or set $otherwise"
        if $package && !-d "$folder/node_modules/$package";
    return;
}

# The results in lines of TAP, at any depth: whether it passed, its name, and its diagnostics.
sub results {
    my (@lines) = @_;
    my @results;
    for my $line (@lines) {
        if ($line =~ m{^\s*(not )?ok \d+ - (?:/.*/)?(.*)$}) {
            push @results, {passed => !$1, name => $2, said => ''};
        }
        elsif (@results && $line !~ /^\s*# Subtest:/) {
            $results[-1]{said} .= $line;
        }
    }
    return @results;
}

# node_tests([FILES], env => {...}, options => [...]): runs them with node, and reports each result as one of
# this test. A variable set to undef is unset. Returns node's output lines.
sub node_tests {
    my ($files, %given) = @_;
    local %ENV = (%ENV, %{$given{env} || {}});
    delete @ENV{grep { !defined $ENV{$_} } keys %ENV};
    open my $out, '-|', 'node', '--test', '--test-reporter=tap', @{$given{options} || []}, @$files
        or die "cannot run node: $!\n";
    my @lines = <$out>;
    close $out;
    my $status = $?;
    my @results = results(@lines);
    for my $result (@results) {
        ok $result->{passed}, $result->{name} or diag $result->{said};
    }
    cmp_ok scalar @results, '>', 0, 'node ran tests';
    is $status, 0, '... and says that all passed' or diag grep {/^\s*#/} @lines;
    return @lines;
}

1;
