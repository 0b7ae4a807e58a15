# SPDX-License-Identifier: Apache-2.0
# Finds faults in a text in Prometheus' exposition format.
package APIPoolExposition;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT_OK = qw(exposition_faults);

my $NAME = qr/[a-zA-Z_:][a-zA-Z0-9_:]*/;
my $LABEL = qr/[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"/;
my $NUMBER = qr/-?(?:\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|Inf|NaN)|\+Inf/;

# The faults of one histogram's buckets, each [le, value], in order.
sub histogram_faults {
    my ($series, $buckets, $count, $sum) = @_;
    my @faults;
    my ($last_bound, $last) = ('-Inf', 0);
    for my $bucket (@$buckets) {
        my ($bound, $value) = @$bucket;
        push @faults, "$series: $bound after $last_bound" if $bound <= $last_bound;
        push @faults, "$series: $value after $last" if $value < $last;
        ($last_bound, $last) = ($bound, $value);
    }
    push @faults, "$series: the last bucket is $last_bound" if $last_bound ne '+Inf';
    push @faults, "$series: no count" if !defined $count;
    push @faults, "$series: no sum" if !defined $sum;
    push @faults, "$series: $last in buckets, $count counted" if defined $count && $count != $last;
    return @faults;
}

# Lists the faults of a text by prometheus.io/docs/instrumenting/exposition_formats.
sub exposition_faults {
    my ($text) = @_;
    my (@faults, %help, %type, %series, %closed, %buckets, %ends, $family);
    push @faults, 'no line feed at the end' if $text !~ /\n\z/;
    for my $line (split /\n/, $text) {
        if ($line =~ /^# (HELP|TYPE) ($NAME) (.+)$/) {
            my ($kind, $name, $rest) = ($1, $2, $3);
            $closed{$family} = 1 if defined $family && $family ne $name;
            $family = $name;
            my $seen = $kind eq 'HELP' ? \%help : \%type;
            push @faults, "$kind twice: $name" if $seen->{$name};
            push @faults, "not together: $name" if $closed{$name};
            push @faults, "no type: $line" if $kind eq 'TYPE' && $rest !~ /^(?:counter|gauge|histogram|summary)$/;
            $seen->{$name} = $rest;
            next;
        }
        if ($line !~ /^($NAME)(?:\{((?:$LABEL)(?:,$LABEL)*)\})? ($NUMBER)$/) {
            push @faults, "no sample: $line";
            next;
        }
        my ($name, $labels, $value) = ($1, $2 // '', $3);
        if (!defined $family || !$help{$family} || !$type{$family}) {
            push @faults, "no HELP or TYPE: $line";
            next;
        }
        my $type = $type{$family};
        my ($part) = $type eq 'histogram' ? $name =~ /^\Q$family\E_(bucket|sum|count)$/ : ();
        my $of_summary = $type eq 'summary' && $name =~ /^\Q$family\E_(?:sum|count)$/;
        push @faults, "stray sample: $line" if $name ne $family && !$part && !$of_summary;
        push @faults, "twice: $line" if $series{"$name {$labels}"}++;
        push @faults, "a counter without _total: $line" if $type eq 'counter' && $name !~ /_total$/;
        push @faults, "negative: $line" if $type ne 'gauge' && $value < 0;
        next if !$part;
        if ($part eq 'bucket') {
            push @faults, "a bucket without bound: $line" if $labels !~ s/,?le="([^"]*)"//;
            push @{$buckets{"$family {$labels}"}}, [$1, $value];
        }
        else {
            $ends{"$family {$labels}"}{$part} = $value;
        }
    }
    for my $one (sort keys %{{%buckets, %ends}}) {
        push @faults, histogram_faults($one, $buckets{$one} || [], @{$ends{$one} || {}}{qw(count sum)});
    }
    return @faults;
}

1;
