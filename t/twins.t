# SPDX-License-Identifier: Apache-2.0
# t/check_twins sees what it is there for: each difference is planted into a copy of the documents.
use strict;
use warnings;
use utf8;

use APIPoolTest qw(source_dir);
use File::Temp ();
use Test::More;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output);

my $source = source_dir();
my $copy = File::Temp->newdir;
system "cp -R '$source'/*.md '$source/docs' '$copy'" and die 'cannot copy the documents';
my %before = map { $_ => 1 } check();

sub check {
    my $output = qx(sh '$source/t/check_twins' '$copy');
    utf8::decode($output);
    return split /\n/, $output;
}

sub contents {
    my ($file, $mode, @text) = @_;
    open my $handle, "$mode:encoding(UTF-8)", "$copy/$file" or die "$file: $!";
    print {$handle} @text if @text;
    return @text ? close $handle : join '', <$handle>;
}

# The faults that an edit of one file brings.
sub faults_of {
    my ($file, $edit) = @_;
    local $_ = my $text = contents($file, '<');
    my $edited = $edit->();
    ok $edited ne $text, "$file is edited";
    contents($file, '>', $edited);
    my @new = grep { !$before{$_} } check();
    contents($file, '>', $text);
    return join "\n", @new;
}

my $directives = 'docs/zh-CN/directives.md';
my $behaviour = 'docs/zh-CN/behaviour.md';
my $place = qr{^docs/(\w+)\.md:\d+ and docs/zh-CN/\1\.md:\d+}m;

my @plants = (
    ['a heading that is gone', $directives,
        sub {s/^### `APIPoolRecent.*\n//mr}, qr/$place: headings differ/],
    ['a last heading that is gone', $directives,
        sub {s/^### `APIPoolAdminRoot.*\n//mr}, qr/\d+ and \d+ sections/],
    ['another level', $directives,
        sub {s/^##(?= )/###/mr}, qr/$place: headings differ/],
    ['a directive renamed in its heading', $directives,
        sub {s/^### `APIPool\KWait/Pause/mr}, qr/APIPoolPause/],
    ['a directive renamed in the text', $behaviour,
        sub {s/`APIPool\KWait`/Pause`/r}, qr/$place.*English text: `APIPoolPause`/],
    ['an option renamed', $directives,
        sub {s/`connecttimeout\K=/s=/r}, qr/$place: rows begin with/],
    ['a row that is gone', $behaviour,
        sub {s/^\| R13 .*\n//mr}, qr/$place: tables of 18 and 17 rows/],
    ['another rule', $behaviour,
        sub {s/^\| R\K13/31/mr}, qr/$place: rows begin with R13 and R31/],
    ['another status', $behaviour,
        sub {s/^\| 50\K4/5/mr}, qr/$place: rows begin with 504 and 505/],
    ['a row that lacks a cell', $behaviour,
        sub {s/^\| R06 \K\| //mr}, qr/$place: rows of 3 and 2 cells/],
    ['another default', $directives,
        sub {s/409\K6/8/r}, qr/$place: the number 4096/],
    ['a paragraph that is gone', $behaviour,
        sub {s/\n\n.*\n(?=\n## 密钥\n)/\n/r}, qr/$place: sections of/],
    ['another line of code', $directives,
        sub {s/^    APIPoolRule 40\K0/1/mr}, qr/$place: blocks of code differ from/],
    ['a line of code that is gone', $directives,
        sub {s/^    APIPoolRule .*\n//mr}, qr/$place: blocks of code differ in length/],
    ['a link that leads nowhere', $directives,
        sub {s/\(\.\.\/\.\.\K(?=\/conf)/\/../r}, qr/apipool\.conf leads nowhere/],
    ['a heading that is not there', $directives,
        sub {s/behaviour\.md#\K/x/r}, qr/there is no such heading/],
    ['another heading', $directives,
        sub {s/behaviour\.md#\K保存哪些数据/密钥/r}, qr/$place: no such link in the Chinese/],
    ['a link to English', $directives,
        sub {s/\((?=behaviour\.md)/(..\//r}, qr/is in Chinese, too/],
    ['no link to the twin', 'docs/dashboard.md',
        sub {s/^English \|.*\n//mr}, qr/no link to docs\/zh-CN\/dashboard\.md/],
    ['a broken anchor in English', 'docs/directives.md',
        sub {s/behaviour\.md#\K/x/r}, qr/^docs\/directives\.md.*no such heading/m],
    ['a half-width mark', $behaviour,
        sub {s/，/,/r}, qr/^\Q$behaviour\E:\d+: a blank or a full-width/m],
    ['a missing blank', $behaviour,
        sub {s/` (?=后)/`/r}, qr/^\Q$behaviour\E:\d+: a blank or a full-width/m],
    ['an empty document', $behaviour,
        sub {''}, qr/no link to docs\/behaviour\.md/],
);
for my $plant (@plants) {
    my ($name, $file, $edit, $wanted) = @$plant;
    like faults_of($file, $edit), $wanted, $name;
}

unlink "$copy/docs/zh-CN/behaviour.md";
like join("\n", check()), qr{^docs/zh-CN/behaviour\.md is missing$}m, 'a twin that is gone';

# What may differ: comments in code, and a figure's words.
my $page = "# X\n\n[twin](%s)\n\n```sh\n# %s\nmake\n```\n\n```\n%s ──►\n```\n";
my $chinese = sprintf $page, '../x.md', '如此', '密钥';
contents('docs/x.md', '>', sprintf $page, 'zh-CN/x.md', 'so', 'key');
contents('docs/zh-CN/x.md', '>', $chinese);
is join("\n", grep {m{/x\.md}} check()), '', 'comments and figures may be translated';
contents('docs/zh-CN/x.md', '>', $chinese =~ s/make/make all/r);
my $differ = qr{^docs/x\.md:7 and docs/zh-CN/x\.md:7: blocks of code differ}m;
like join("\n", check()), $differ, '... and nothing else of them';

done_testing;
