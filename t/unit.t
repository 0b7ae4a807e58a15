# SPDX-License-Identifier: Apache-2.0
# Runs the unit tests, or those that APIPOOL_UNITS names, and replays the fuzzers' corpus; "make units corpus-replay" has
# built them.
use strict;
use warnings;

use APIPoolTest qw(source_dir build_dir slurp);
use TAP::Parser ();
use Test::More;

my $build = build_dir();
my $corpus = source_dir() . '/t/fuzz/corpus';
my $makefile = slurp("$build/Makefile") =~ s/\\\n/ /gr;
my ($units) = $makefile =~ /^UNIT_TESTS = (.*)$/m;
my ($fuzzers) = $makefile =~ /^FUZZERS = (.*)$/m;

for my $unit (split ' ', $ENV{APIPOOL_UNITS} || $units) {
    subtest $unit => sub {
        my $program = "$build/obj/unit/$unit";
        ok -x $program, 'is built' or return diag 'run: make units';
        my $parser = TAP::Parser->new({exec => [$program], merge => 1});
        while (my $result = $parser->next) {
            if ($result->is_test) {
                ok $result->is_ok, $result->description;
            }
            elsif ($result->is_comment || $result->is_unknown) {
                note $result->as_string;
            }
        }
        is $parser->exit, 0, 'ends well';
        ok !$parser->parse_errors, 'says all it planned' or diag $parser->parse_errors;
    };
}

for my $fuzzer (split ' ', $fuzzers) {
    my $output = qx('$build/obj/fuzz/$fuzzer' '$corpus/$fuzzer' 2>&1);
    is $?, 0, "corpus of $fuzzer" or diag $output;
}

done_testing;
