# SPDX-License-Identifier: Apache-2.0
# Parses the documents as Markdown: blocks, what a translation must leave unchanged, links and anchors.
package APIPoolMarkdown;
use strict;
use warnings;
use utf8;

use Exporter 'import';

our @EXPORT_OK = qw(read_document is_code fixed_words numbers cells links anchors);

my $SPAN = qr/(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)/;
my $ID = qr/\b(?:[RC]\d\d|A[PH]\d{4,5}|APIPool[A-Z]\w*)\b/; # rules, log tags, directives

# The blocks of a file: kind (heading, paragraph, item, table or code), line, text, and level of a heading. A
# code block begins with its fence.
sub read_document {
    my ($file) = @_;
    open my $in, '<:encoding(UTF-8)', $file or die "$file: $!\n";
    my @lines = <$in>;
    chomp @lines;
    my @blocks;
    for (my $at = 0; $at < @lines;) {
        if ($lines[$at] =~ /^\s*$/) {
            $at++;
            next;
        }
        my $block = {line => $at + 1, take_block(\@lines, \$at, $blocks[-1])};
        push @blocks, $block;
    }
    return \@blocks;
}

sub take_block {
    my ($lines, $at, $before) = @_;
    my $first = $lines->[$$at];
    if ($first =~ /^\s*(`{3,}|~{3,})/) {
        my $fence = $1;
        $$at++;
        my $text = take_while($lines, $at, sub { !/^\s*\Q$fence\E/ });
        $$at++;
        return (kind => 'code', text => "$first\n$text");
    }
    if ($first =~ /^(#{1,6})\s+(.*)/) {
        $$at++;
        return (kind => 'heading', level => length $1, text => $2);
    }
    if ($first =~ /^\|/) {
        return (kind => 'table', text => take_while($lines, $at, sub {/^\|/}));
    }
    if ($first =~ /^ {4}/ && !($before && $before->{kind} eq 'item')) {
        return (kind => 'code', text => take_while($lines, $at, sub {/^ {4}/}));
    }
    my $is_item = $first =~ s/^(\s*)(?:[-*+]|\d+\.)\s+//;
    $$at++;
    my $rest = take_while($lines, $at, sub { /\S/ && !/^(?:\s*(?:[-*+]|\d+\.)\s|#{1,6}\s|\||\s*(?:`{3}|~{3}))/ });
    return (kind => $is_item ? 'item' : 'paragraph', text => "$first\n$rest" =~ s/\s*\n\s*/ /gr);
}

sub take_while {
    my ($lines, $at, $wanted) = @_;
    my @taken;
    while ($$at < @$lines) {
        local $_ = $lines->[$$at];
        last if !$wanted->();
        push @taken, $_;
        $$at++;
    }
    return join "\n", @taken;
}

# Whether a text has nothing to translate: only code, ids, numbers and marks.
sub is_code {
    my ($text) = @_;
    return $text =~ /\w/ && $text =~ s/$SPAN//gr =~ s/$ID//gr !~ /\p{L}/;
}

# What a translation must repeat unchanged, sorted: code spans and ids.
sub fixed_words {
    my ($text) = @_;
    my @spans;
    $text =~ s{$SPAN}{push @spans, "`$2`"; ' '}ge;
    return sort @spans, without_targets($text) =~ /$ID/g;
}

# The numbers that a text writes in digits, without thousands separators.
sub numbers {
    my ($text) = @_;
    my $prose = without_targets($text =~ s/$SPAN/ /gr) =~ s/$ID//gr;
    return sort map {tr/,//dr} $prose =~ /\d+(?:,\d{3})*(?:\.\d+)*/g;
}

sub without_targets {
    my ($text) = @_;
    return $text =~ s/\]\([^)]*\)/]/gr;
}

# The cells of a row; an escaped bar in a span does not separate cells.
sub cells {
    my ($row) = @_;
    return split /\s*(?<!\\)\|\s*/, $row =~ s/^\|\s*|\s*\|\s*$//gr, -1;
}

# The targets of links and images in a block.
sub links {
    my ($block) = @_;
    return ([], []) if $block->{kind} eq 'code';
    my $text = $block->{text} =~ s/$SPAN/ /gr;
    my @images = ($text =~ /!\[[^\]]*\]\(([^)\s]+)[^)]*\)/g, $text =~ /\bsrc(?:set)?="([^"\s]+)/g);
    $text =~ s/!\[[^\]]*\]\([^)]*\)//g;
    return ([$text =~ /\]\(([^)\s]+)[^)]*\)/g, $text =~ /\bhref="([^"]+)"/g], \@images);
}

# The anchors of a document as GitHub makes them, each with the index of its heading.
sub anchors {
    my ($blocks) = @_;
    my (%seen, %anchors);
    my $ordinal = 0;
    for my $heading (grep { $_->{kind} eq 'heading' } @$blocks) {
        my $text = without_targets($heading->{text}) =~ s/[^\p{L}\p{M}\p{N}\p{Pc}\- ]//gr;
        my $slug = lc $text =~ tr/ /-/r;
        my $again = $seen{$slug}++;
        $anchors{$again ? "$slug-$again" : $slug} = $ordinal++;
    }
    return \%anchors;
}

1;
