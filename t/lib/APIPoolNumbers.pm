# SPDX-License-Identifier: Apache-2.0
# Numbers that a server reports: its metrics, which must be well-formed, and the notes of each request in a
# log. APIPoolExposition checks the exposition format in every run; promtool (Debian package prometheus)
# checks it as well where it is installed, as "quickstart.sh test" does.
package APIPoolNumbers;

use strict;
use warnings;

use APIPoolExposition qw(exposition_faults);
use APIPoolTest qw(check_dir request slurp spew);
use Exporter 'import';
use Test::More;

our @EXPORT_OK = qw(@NOTES $LOG_OF_NOTES exposition check_exposition read_notes);

our @NOTES = qw(pool upstream key attempts rule outcome client model prompt-tokens completion-tokens
    cached-tokens total-tokens usage ttft-ms);
my $format = join '\t', '%q', '%>s', (map {"%{apipool-$_}n"} @NOTES), '%P';

# Configuration lines.
our $LOG_OF_NOTES = <<"CONF";
LogFormat "$format" notes
CustomLog \@DIR\@/notes notes
<Location "/server-status">
    SetHandler server-status
</Location>
CONF

# The metrics, as text.
sub exposition {
    my ($httpd, $path) = @_;
    my $answer = request(GET => $path || '/metrics', base => $httpd->{base});
    return $answer->{content};
}

# Tests that they are well-formed.
sub check_exposition {
    my ($text, $what) = @_;
    is join("\n", exposition_faults($text)), '', "$what: the exposition format";
SKIP: {
        my ($promtool) = grep {-x} map {"$_/promtool"} split /:/, $ENV{PATH};
        skip "$what: promtool is not installed", 1 if !$promtool;
        my $file = spew(check_dir() . "/t/logs/metrics-$$", $text);
        my $said = qx('$promtool' check metrics < '$file' 2>&1);
        is "$?\n$said", "0\n", '... promtool has nothing to say';
        unlink $file;
    }
    return;
}

# The lines of the log, each a list of query, status, notes and process.
sub read_notes {
    my ($httpd) = @_;
    return map { [split /\t/, $_, -1] } grep {/\t/} split /\n/, slurp("$httpd->{dir}/notes");
}

1;
