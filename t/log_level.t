# SPDX-License-Identifier: Apache-2.0
# The level of the module's log is raised at run time for all processes, and goes back.
use strict;
use warnings;

use APIPoolTest qw(pool_server chat request check_dir wait_for parallel slurp);
use Apache::Test ();
use Test::More;

my $module = check_dir() . '/c-modules/log_level/.libs/mod_log_level.so';
my $httpd = pool_server(
    {main => {keys => ['sk-ok-main-aaaaaaaaaaaa']}, broken => {keys => ['sk-close-broken-aaaaaaaa']}},
    config => <<"CONF"
LoadModule log_level_module $module
LogLevel info apipool:warn
ThreadLimit 4
ThreadsPerChild 4
MaxRequestWorkers 12
StartServers 3
MinSpareThreads 12
MaxSpareThreads 12
LogFormat "%P" processes
CustomLog \@DIR\@/processes processes
<Location "/level">
    SetHandler set-log-level
</Location>
CONF
);

# The processes that serve now, and those that have said what came of an attempt since the last time.
my ($said, $served) = (0, 0);

sub ask {
    my @statuses = map {@$_} parallel(
        8,
        sub {
            return map {
                chat($httpd, 'main', headers => {'x-mock' => 'delayms20'})->{status}
            } 1 .. 12;
        }
    );
    is scalar(grep { $_ == 200 } @statuses), 96, 'all are served';
    my $lines = wait_for(
        sub {
            my @lines = split /\n/, slurp("$httpd->{dir}/processes");
            return @lines >= $served + 96 && \@lines;
        }
    ) or die "no log of processes\n";
    my %pids = map { $_ => 1 } @$lines[$served .. $#$lines];
    $served = @$lines;
    my $log = substr $httpd->log, $said;
    $said += length $log;
    my %speak = map { $_ => 1 } $log =~ /\[apipool:debug\] \[pid (\d+)[^\n]*AP0031: pool main/g;
    my $count = () = $log =~ /AP0031/g;
    return (\%pids, \%speak, $count);
}

sub level {
    my ($query) = @_;
    my $answer = request(GET => "/level$query", base => $httpd->{base});
    $served++;
    return "$answer->{status} $answer->{content}";
}

my ($pids, $speaking, $count) = ask();
cmp_ok scalar keys %$pids, '>=', 2, 'several processes serve';
is $count, 0, 'as configured, nothing is said of attempts that succeed';

is level(''), '200 0', 'the level is as configured';
is level('?7'), '200 7', 'it is raised to debug';
($pids, $speaking, $count) = ask();
is_deeply $speaking, $pids, 'every process that serves speaks';
is $count, 96, '... of each attempt';

is level('?4'), '200 4', 'it is set to warn, which is what is configured';
(undef, undef, $count) = ask();
is $count, 0, '... and all are silent';
is level('?3'), '200 3', 'a level below that';
my $answer = chat($httpd, 'broken');
$served++;
is $answer->{status}, 502, 'an upstream fails';
like $httpd->log, qr/\[apipool:warn\][^\n]*AP0013: pool broken: upstream /, '... which is said nevertheless';
is level('?0'), '200 0', 'it is as configured again';

is $httpd->faults, '', 'nothing went wrong inside';

done_testing;
