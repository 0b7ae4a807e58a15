# SPDX-License-Identifier: Apache-2.0
# All of httpd is killed at random moments, under load and while an operator changes keys: what was acknowledged is
# there afterwards, nothing is half done, statistics are as young as promised. APIPOOL_TEST_FULL makes it 200 rounds.
use strict;
use warnings;

use APIPoolAdmin qw(admin_server);
use APIPoolTest qw(background metrics chat request wait_for);
use List::Util qw(max);
use Test::More;
use Time::HiRes qw(sleep time);

my $rounds = $ENV{APIPOOL_TEST_ROUNDS} || ($ENV{APIPOOL_TEST_FULL} ? 200 : 6);
my $INTERVAL = 1; # seconds between saves of statistics
my $SLACK = 2;    # until the clock's process comes to it, and until it has saved
my $KEYS = 400;   # at most, so that changes take as long as they do with many

diag 'APIPOOL_TEST_SEED is ' . (my $seed = $ENV{APIPOOL_TEST_SEED} || time ^ $$);
srand $seed;

my $admin = admin_server(
    {main => {keys => []}}, # what a key file has comes back at each start
    config => "APIPoolSaveInterval $INTERVAL\nGracefulShutdownTimeout 1\n"
);
my $httpd = $admin->{httpd};
$admin->sign_in;
$admin->ask(POST => '/pools/main/keys', json => [map {"sk-ok-kills-first-$_-aaaa"} 1 .. 5]);

# --- What an operator does -----------------------------------------------------------------------

# A change is {kind, ids, ...}; apply_to($change, $model) is what it makes of the keys, by id, and of the clients, by
# "client NAME", whose limit stands for a weight.
my %kinds = (
    import => sub {
        my ($model, $change) = @_;
        $model->{$_} = {label => $change->{label}, enabled => 1, weight => $change->{weight}} for @{$change->{ids}};
    },
    delete => sub {
        my ($model, $change) = @_;
        delete @$model{@{$change->{ids}}};
    },
    disable => sub {
        my ($model, $change) = @_;
        $model->{$_}{enabled} = 0 for @{$change->{ids}};
    },
    enable => sub {
        my ($model, $change) = @_;
        $model->{$_}{enabled} = 1 for @{$change->{ids}};
    },
    client => sub {
        my ($model, $change) = @_;
        $model->{$change->{ids}[0]} = {label => '', enabled => 1, weight => $change->{weight}};
    },
    limit => sub {
        my ($model, $change) = @_;
        $model->{$_}{weight} = $change->{weight} for @{$change->{ids}};
    },
    leave => sub {
        my ($model, $change) = @_;
        delete @$model{@{$change->{ids}}};
    },
    label => sub {
        my ($model, $change) = @_;
        $model->{$_}{label} = $change->{label} for @{$change->{ids}};
    },
);

sub apply_to {
    my ($change, $model) = @_;
    my %copy = map { $_ => {%{$model->{$_}}} } keys %$model;
    $kinds{$change->{kind}}->(\%copy, $change);
    return \%copy;
}

sub is_client {
    my ($id) = @_;
    return $id =~ /^client /;
}

sub some_of {
    my ($count, @ids) = @_;
    my %some = map { $ids[rand @ids] => 1 } 1 .. $count;
    return [sort keys %some];
}

sub draw_change {
    my ($model, $name) = @_;
    my $count = 1 + int rand 30;
    my @clients = grep { is_client($_) } sort keys %$model;
    my @keys = grep { !is_client($_) } sort keys %$model;
    my %change = (kind => (qw(import import disable enable label delete client limit leave))[rand 9], label => $name,
        weight => 1 + int rand 9, count => $count);
    $change{kind} = 'client' if $change{kind} =~ /^(?:limit|leave)$/ && !@clients;
    $change{kind} = 'import' if @keys < 20;
    $change{kind} = 'delete' if @keys > $KEYS;
    # clients must find a key: no change takes more than 30 of them
    $change{kind} = 'enable' if $change{kind} =~ /^(?:disable|delete)$/ && grep({ $model->{$_}{enabled} } @keys) < 40;
    return \%change if $change{kind} eq 'import';
    return {%change, ids => ["client $name"]} if $change{kind} eq 'client';
    return {%change, ids => some_of(1, @clients)} if $change{kind} =~ /^(?:limit|leave)$/;
    return {%change, ids => some_of($change{kind} eq 'label' ? 1 : $count, @keys)};
}

# Asks for it; returns the status, and completes what an import has made.
sub ask_for {
    my ($change) = @_;
    my $path = "$admin->{mount}/api/pools/main/keys";
    my $clients = "$admin->{mount}/api/clients";
    my ($client) = ($change->{ids}[0] // '') =~ /^client (.*)/;
    my %with = (authorization => "Bearer $admin->{token}", 'content-type' => 'application/json');
    my ($method, $body) = ('POST', {action => $change->{kind}, ids => $change->{ids}});
    if ($change->{kind} eq 'import') {
        $body = [map { {key => "sk-ok-kills-$change->{label}-$_-bbbb", label => $change->{label},
            weight => $change->{weight}} } 1 .. $change->{count}];
    }
    elsif ($change->{kind} eq 'client') {
        ($path, $body) = ($clients, {name => $client, rpm => $change->{weight}});
    }
    elsif ($change->{kind} eq 'limit') {
        ($method, $path, $body) = ('PATCH', "$clients/$client", {rpm => $change->{weight}});
    }
    elsif ($change->{kind} eq 'leave') {
        ($method, $path, $body) = ('DELETE', "$clients/$client");
    }
    elsif ($change->{kind} eq 'label') {
        ($method, $path, $body) = ('PATCH', "$path/$change->{ids}[0]", {label => $change->{label}});
    }
    else {
        $path .= '/actions';
    }
    my $answer = request($method, $path, base => $admin->{base}, headers => \%with, timeout => 20,
        $body ? (content => JSON::PP::encode_json($body)) : ());
    $change->{ids} = JSON::PP::decode_json($answer->{content})->{ids}
        if $answer->{success} && $change->{kind} eq 'import';
    return $answer->{success} ? 200 : $answer->{status};
}

# One change after the other until httpd is gone: those that were acknowledged, and the one that was not.
sub operate {
    my ($model, $round) = @_;
    srand $seed + $round;
    my @acknowledged;
    for my $number (1 .. 10_000) {
        my $change = draw_change($model, "r$round-$number");
        my $status = ask_for($change);
        return {acknowledged => \@acknowledged, cut_off => $change} if $status == 599;
        return {acknowledged => \@acknowledged, refused => "$status for $change->{kind}"} if $status != 200;
        push @acknowledged, $change;
        $model = apply_to($change, $model);
    }
    return {acknowledged => \@acknowledged, refused => 'nobody killed it'};
}

# Requests of clients until httpd is gone: when each was answered, and what else came.
sub send_requests {
    my (@answered, %strange);
    while (1) {
        my $answer = chat($admin, 'main', timeout => 20);
        if ($answer->{success}) {
            push @answered, time;
            next;
        }
        return {answered => \@answered, strange => \%strange} if $answer->{status} == 599;
        $strange{"$answer->{status} $answer->{content}"}++;
    }
    return;
}

# --- What is left --------------------------------------------------------------------------------

sub keys_now {
    my %model;
    my $offset = 0;
    while (1) {
        my $page = $admin->ask(GET => "/pools/main/keys?sort=id&limit=1000&offset=$offset")->{json};
        for my $key (@{$page->{keys}}) {
            $model{$key->{id}} = {
                label => $key->{label} // '',
                enabled => $key->{enabled} ? 1 : 0,
                weight => $key->{weight}
            };
        }
        $offset += 1000;
        last if $offset >= $page->{total};
    }
    for my $client (@{$admin->ask(GET => '/clients')->{json}{clients}}) {
        $model{"client $client->{name}"} = {label => '', enabled => $client->{enabled} ? 1 : 0, weight => $client->{rpm}};
    }
    return \%model;
}

# A name for a state of all keys. Ids of an import that was cut off are not known before it has been found.
sub digest {
    my ($model) = @_;
    return join "\n", map {"$_ @{$model->{$_}}{qw(label enabled weight)}"} sort keys %$model;
}

# What the keys may be: as acknowledged, or with the change that was cut off as well, whole.
sub allowed {
    my ($model, $cut_off, $found) = @_;
    my @allowed = digest($model);
    if ($cut_off && $cut_off->{kind} eq 'import') {
        my @new = grep { $found->{$_}{label} eq $cut_off->{label} } keys %$found;
        $cut_off->{ids} = \@new;
        return @allowed if @new != $cut_off->{count};
    }
    push @allowed, digest(apply_to($cut_off, $model)) if $cut_off;
    return @allowed;
}

# How a state differs from the one that it should be.
sub difference {
    my ($should, $is) = @_;
    my %is = map { $_ => 1 } split /\n/, $is;
    my %should = map { $_ => 1 } split /\n/, $should;
    return join '; ', (map {"missing $_"} grep { !$is{$_} } sort keys %should),
        map {"found $_"} grep { !$should{$_} } sort keys %is;
}

sub requests_counted {
    my ($pool) = grep { $_->{name} eq 'main' } @{$admin->ask(GET => '/pools')->{json}{pools}};
    return $pool->{requests};
}

sub group_is_gone {
    my ($group) = @_;
    return !kill 0 => -$group;
}

# Kills httpd and all of its children in one go, and starts it again.
sub kill_and_start {
    my $pid = $httpd->pid;
    kill KILL => -$pid;
    my $at = time;
    wait_for(sub { group_is_gone($pid) }, 20) or BAIL_OUT('killed processes do not go');
    unlink "$httpd->{dir}/httpd.pid";
    $httpd->start;
    return $at;
}

my $model = keys_now();
my ($changes, $made, $unmade, $oldest, @faults) = (0, 0, 0, 0);
my $counted = 0;

for my $round (1 .. $rounds) {
    my $operator = background(sub { operate($model, $round) });
    my @clients = map { background(\&send_requests) } 1 .. 3;
    sleep 0.2 + rand($round % 4 ? 1 : 4);
    my $killed = kill_and_start();

    my ($did) = $operator->();
    my @sent = map { $_->() } @clients;
    push @faults, "round $round: $did->{refused}" if $did->{refused};
    push @faults, map {"round $round: $_"} map { keys %{$_->{strange}} } @sent;

    $model = apply_to($_, $model) for @{$did->{acknowledged}};
    $changes += @{$did->{acknowledged}};
    my $found = keys_now();
    my @allowed = allowed($model, $did->{cut_off}, $found);
    my ($which) = grep { $allowed[$_] eq digest($found) } 0 .. $#allowed;
    if (!defined $which) {
        push @faults, "round $round: $did->{cut_off}{kind} was cut off, and what was acknowledged before is not there: "
            . difference($allowed[0], digest($found));
    }
    else {
        ($which ? $made : $unmade)++;
    }
    $model = $found;

    my $now = requests_counted();
    my @answered = sort { $a <=> $b } map { @{$_->{answered}} } @sent;
    my $lost = $counted + @answered - $now;
    my $age = $lost > 0 ? $killed - $answered[-$lost] : 0;
    $oldest = max($oldest, $age);
    push @faults, sprintf 'round %d: statistics %.1f s old are lost (%d requests)', $round, $age, $lost
        if $age > $INTERVAL + $SLACK;
    push @faults, "round $round: " . -$lost . ' requests too many' if $lost < -3; # that were not answered any more
    $counted = $now;
    last if @faults > 10;
}

is_deeply \@faults, [], "$rounds rounds: every acknowledged change is there, no half one";
cmp_ok $changes, '>', $rounds, "... of $changes";
note sprintf "%d changes; of those that were cut off %d are there and %d are not; statistics lost were %.1f s old at most",
    $changes, $made, $unmade, $oldest;
is_deeply [grep { !/^\S+ \S+ \S+ \S+ \S+\] \[core:notice\]/ && /damaged|cannot be used/ } split /\n/, $httpd->log], [],
    'no generation was found damaged';
is $httpd->faults, '', 'nothing went wrong inside';

done_testing;
