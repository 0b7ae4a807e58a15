# SPDX-License-Identifier: Apache-2.0
# The system's clock is set while requests are on their way and keys rest: each lasts as long as before.
use strict;
use warnings;

use APIPoolTest qw(pool_server chat background wait_for spew check_dir);
use Config;
use Test::More;
use Time::HiRes qw(sleep time);

my $dir = check_dir() . "/t/logs/clock-$$";
mkdir $dir or die "$dir: $!\n";
my $compiler = $ENV{CC} || $Config{cc};
system("$compiler -shared -fPIC -o $dir/shim.so " . check_dir() . '/t/clock/shim.c') == 0 or die "no shim\n";

# The file is mapped: it is written in place.
spew("$dir/clock", pack 'q', 0);

sub set_clock {
    my ($seconds) = @_;
    open my $file, '+<:raw', "$dir/clock" or die "$dir/clock: $!\n";
    syswrite $file, pack 'q', $seconds;
    return;
}

sub key {
    my ($words, $pool) = @_;
    return ["sk-$words-$pool-aaaaaaaaaaaa"];
}

my $httpd = do {
    local $ENV{LD_PRELOAD} = join ' ', $ENV{LD_PRELOAD} // (), "$dir/shim.so";
    local $ENV{APIPOOL_TEST_CLOCK} = "$dir/clock";
    pool_server(
        {
            deadline => {keys => key('ok-slow-delay20', 'deadline'), lines => 'APIPoolDeadline 2'},
            wait => {keys => key('ok', 'wait'), lines => "APIPoolWait 2\n    APIPoolRotations 0"},
            map { ($_ => {keys => key('ok', $_), lines => 'APIPoolRotations 0'}) } qw(model key)
        },
        config => "APIPoolAsync Off\n" # httpd's own limits, by which connections wait without a thread, follow the clock
    );
};
my %body = (model => '{"model":"m"}', key => '{}', wait => '{"model":"m"}');

# Makes a pool's only key rest.
sub limit {
    my ($pool, $seconds) = @_;
    my $answer = chat($httpd, $pool, content => $body{$pool}, headers => {'x-mock' => "429 retry$seconds"});
    die "the key was not limited: $answer->{status}\n" if $answer->{status} != 429;
    return;
}

# Whether something took about so many seconds: a machine that is busy makes it longer.
sub takes {
    my ($seconds, $took, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return ok $took >= $seconds - 0.5 && $took < $seconds + 15, "$what after about $seconds s" || diag $took;
}

my $clock = 0;
for my $step (3600, -7200) {
    subtest "the clock is set by $step seconds" => sub {
        limit($_, 5) for qw(model key);
        my $begun = time;
        limit(wait => 600) if !$clock;
        my %ends = map {
            my $pool = $_;
            ($pool => background(sub { scalar chat($httpd, $pool, timeout => 40) }))
        } qw(deadline wait);
        sleep 1;
        set_clock($clock += $step);
        ok wait_for(sub { $httpd->log =~ /AP0167: the system's clock was set by $step seconds/ }, 20),
            'it is noticed';
        for my $pool (qw(model key)) {
            my $answer = chat($httpd, $pool, content => $body{$pool});
            cmp_ok $answer->{headers}{'retry-after'} // 0, '<=', 5, "the rest of the $pool is not longer"
                if $answer->{status} != 200;
            ok wait_for(sub { chat($httpd, $pool, content => $body{$pool})->{status} == 200 }, 20), '... and ends';
            takes(5, time - $begun, '...');
        }
        my ($late, $limited) = map { $ends{$_}->() } qw(deadline wait);
        is $late->{status}, 504, 'a deadline ends its request';
        takes(2, $late->{seconds}, '...');
        is $limited->{status}, 429, 'a wait ends';
        takes(2, $limited->{seconds}, '...');
    };
}

is $httpd->faults, '', 'nothing went wrong inside';

done_testing;
