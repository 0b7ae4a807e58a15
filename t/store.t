# SPDX-License-Identifier: Apache-2.0
# Keys and statistics outlive httpd, and pools serve nobody from a store that cannot be trusted, with what to do
# about it.
use strict;
use warnings;

use APIPoolTest qw(pool_server metrics chat wait_for spew slurp config_test mock_port private_httpd);
use File::Path qw(remove_tree);
use Test::More;
use Time::HiRes qw(sleep);

my $secrets = qr/sk-\w+-store-/;

# The numbers, when so many requests have been counted. That is when they have been logged, which is after their
# clients have the answers: a busy machine may do so many requests later, or not before it is told to stop.
sub counted {
    my ($httpd, $requests) = @_;
    my $metrics;
    ok wait_for(
        sub {
            $metrics = metrics($httpd->{base});
            return $metrics->sum('apipool_requests_total') >= $requests && !$metrics->sum('apipool_in_flight');
        },
        20
        ),
        "$requests requests have been counted";
    return $metrics;
}

# What a start says whose pool refuses all requests.
sub refused {
    my ($httpd) = @_;
    my $before = length $httpd->log;
    $httpd->start;
    my $status = chat($httpd, 'p')->{status};
    $httpd->stop;
    return $status == 503 ? substr $httpd->log, $before : "it answers $status";
}

sub edit {
    my ($httpd, $change) = @_;
    my $file = "$httpd->{dir}/httpd.conf";
    spew($file, $change->(slurp($file)));
    return;
}

# The databases of a kind that have a seal, the newest first; and the seal of one.
sub generations {
    my ($httpd, $kind) = @_;
    my @found = map { glob s/\.seal\z/-????????????????/r } reverse sort glob "$httpd->{dir}/store/$kind-*.seal";
    return @found;
}

sub seal_of {
    my ($file) = @_;
    return $file =~ s/-[0-9a-f]{16}\z/.seal/r;
}

sub flip {
    my ($file, $at) = @_;
    my $bytes = slurp($file);
    substr($bytes, $at, 1) ^= "\x01";
    return spew($file, $bytes);
}

subtest 'a full stop forgets nothing' => sub {
    my $httpd = pool_server(
        {   lost => {
                keys => [qw(sk-401-store-aaaaaaaa sk-quota402-store-bbbbb sk-ok-store-cccccccccc)],
                lines => "APIPoolStrategy round-robin\n    APIPoolRecover 3600 3600",
            },
            cooling => {keys => ['sk-429-retry60-store-dddddddd'], lines => 'APIPoolRotations 0'},
            disabled => {keys => '[{"key":"sk-off-store-eeeeeeee","enabled":false},"sk-ok-store-ffffffff"]'},
            limited => {keys => ['sk-ok-store-gggggggg'], lines => 'APIPoolLimits rpd=3'},
        }
    );
    my %ids = map { my ($answer, @keys) = chat($httpd, 'lost', model => ''); $keys[-1] => $answer->{headers}{'x-apipool-key'} }
        1 .. 3;
    chat($httpd, 'cooling', model => '');
    chat($httpd, $_, model => '') for qw(disabled disabled limited limited limited);
    my ($over) = chat($httpd, 'limited', model => '');
    is $over->{status}, 429, 'a limit is reached';
    ok wait_for(sub { my $lost = metrics($httpd->{base})->states('lost'); $lost->{invalid} && $lost->{quota} }, 5),
        'probes are told of two keys what requests were';
    my %states = map { $_ => metrics($httpd->{base})->states($_) } qw(lost cooling disabled limited);
    is_deeply $states{lost}, {active => 1, invalid => 1, quota => 1}, 'keys are lost';
    is_deeply $states{cooling}, {cooling => 1}, '... or rest';
    is_deeply $states{disabled}, {active => 1, disabled => 1}, '... or are switched off';
    my $counted = counted($httpd, 10);

    $httpd->stop;
    spew("$httpd->{dir}/lost", '');
    spew("$httpd->{dir}/disabled", '');
    edit($httpd, sub { $_[0] =~ s/^ *APIPoolKeyFile .*cooling\n//mr });
    $httpd->start;
    for my $pool (sort keys %states) {
        is_deeply metrics($httpd->{base})->states($pool), $states{$pool}, "$pool: the states are as before";
    }
    my $now = metrics($httpd->{base});
    for my $name (qw(apipool_requests_total apipool_attempts_total apipool_tokens_total apipool_refusals_total
        apipool_request_duration_seconds_count apipool_request_duration_seconds_sum
        apipool_time_to_first_byte_seconds_count))
    {
        cmp_ok $counted->sum($name), '>', 0, "$name had been counted";
        is $now->sum($name), $counted->sum($name), '... and is as before';
    }
    my ($again) = chat($httpd, 'limited', model => '');
    is $again->{status}, 429, 'a daily limit is not reset by a restart';
    ($again) = chat($httpd, 'cooling', model => '');
    is $again->{status}, 429, 'a resting key rests on';
    my $wait = $again->{headers}{'retry-after'};
    cmp_ok $wait, '<=', 60, '... and the time that has passed counts';
    cmp_ok $wait, '>', 30, '... no more than that';
    ($again, my @keys) = chat($httpd, 'lost', model => '');
    is_deeply \@keys, ['sk-ok-store-cccccccccc'], 'keys without their file serve';
    is $again->{headers}{'x-apipool-key'}, $ids{'sk-ok-store-cccccccccc'}, '... by the same id';
    ok((stat "$httpd->{dir}/store")[2] == 040700, 'the store is for its owner alone');
    is sprintf('%04o', (stat "$httpd->{dir}/secret")[2] & 07777), '0600', '... and so is the secret';
    is -s "$httpd->{dir}/secret", 32, '... of 32 bytes';
    is join(' ', grep { slurp($_) =~ $secrets } grep {-f} glob "$httpd->{dir}/store/*"), '',
        'no file of the store has a key in it';
    $httpd->stop;
    is $httpd->faults, '', 'nothing went wrong';
};

subtest 'a cooldown that ends while httpd is stopped has ended' => sub {
    my $httpd = pool_server(
        {p => {keys => ['sk-429-retry4-store-aaaaaaaa'], lines => "APIPoolRotations 0\n    APIPoolLimits rpm=50"}});
    chat($httpd, 'p', model => '');
    is_deeply metrics($httpd->{base})->states('p'), {cooling => 1}, 'it rests';
    $httpd->stop;
    sleep 4;
    $httpd->start;
    my ($answer, @keys) = chat($httpd, 'p', model => '');
    is_deeply \@keys, ['sk-429-retry4-store-aaaaaaaa'], 'it is used again';
};

subtest 'pools that are taken out and put back, and upstreams that are renamed' => sub {
    my $up = 'http://127.0.0.1:' . mock_port() . '/v1';
    my $httpd = pool_server(
        {   p => {upstreams => ["$up name=one"], keys => [map {"sk-ok-store-$_$_$_$_"} qw(a b c)]},
            q => {keys => ['sk-ok-store-qqqq']},
        }
    );
    my ($answer) = chat($httpd, 'p', model => '');
    is $answer->{status}, 200, 'it serves';
    unlike $httpd->log, qr/AP0059/, 'all keys are used';
    my $whole = slurp("$httpd->{dir}/httpd.conf");
    $httpd->stop;
    edit($httpd, sub { $_[0] =~ s{<APIPool p>.*?</Location>\n}{}sr });
    spew("$httpd->{dir}/q", '');
    $httpd->start;
    like $httpd->log, qr/AP0059: pool p: 3 keys of upstream one are kept but not used/, 'a pool less is told';
    ($answer) = chat($httpd, 'q', model => '');
    is $answer->{status}, 200, 'the other one serves';
    $httpd->stop;
    spew("$httpd->{dir}/p", '');
    my $length = length $httpd->log;
    spew("$httpd->{dir}/httpd.conf", $whole);
    $httpd->start;
    is_deeply metrics($httpd->{base})->states('p'), {active => 3}, 'put back, it has its keys';
    unlike substr($httpd->log, $length), qr/AP0059/, '... and nothing is told';
    $length = length $httpd->log;
    edit($httpd, sub { $_[0] =~ s/name=one/name=two/r });
    ok $httpd->restart, 'its upstream renamed';
    my @told = substr($httpd->log, $length) =~ /AP0059: (.*)/g;
    is scalar @told, 1, 'one line for one upstream';
    like $told[0], qr/^pool p: 3 keys of upstream one are kept but not used/, '... that says whose keys';
    is_deeply metrics($httpd->{base})->states('p'), {orphaned => 3}, 'they are orphaned, and counted as nothing else';
    is chat($httpd, 'p', model => '')->{status}, 503, '... and not used';
    spew("$httpd->{dir}/p", "sk-ok-store-bbbb\n");
    ok $httpd->restart, 'one of them in the key file';
    is_deeply metrics($httpd->{base})->states('p'), {active => 1, orphaned => 2}, '... belongs to the upstream of the file';
    is_deeply [(chat($httpd, 'p', model => ''))[1]], ['sk-ok-store-bbbb'], '... and serves';
    spew("$httpd->{dir}/p", '');
    edit($httpd, sub { $_[0] =~ s/name=two/name=one/r });
    ok $httpd->restart, 'renamed back';
    is_deeply metrics($httpd->{base})->states('p'), {active => 2, orphaned => 1}, '... they are, but for the one of the other name';
};

subtest 'capacities' => sub {
    my $httpd = pool_server({p => {keys => [map {"sk-ok-store-capacity-$_"} 1 .. 20]}});
    $httpd->stop;
    spew("$httpd->{dir}/p", '');
    for my $capacity (16, 100) {
        edit($httpd, sub { "APIPoolCapacity $capacity\n" . $_[0] =~ s/^APIPoolCapacity.*\n//r });
        $httpd->start;
        is_deeply metrics($httpd->{base})->states('p'), {active => 20}, "capacity $capacity: all keys are there";
        $httpd->stop;
    }
    like $httpd->log, qr/AP0055: APIPoolCapacity 16 is less than the 20 keys that are stored; it is 20 now/,
        'one that is too small is raised, and that is told';
    unlike $httpd->log, qr/APIPoolCapacity 100 is less/, '... a larger one is not';
};

subtest 'the secret' => sub {
    my $httpd = pool_server({p => {keys => ['sk-ok-store-secret']}});
    my $secret = "$httpd->{dir}/secret";
    my ($answer) = chat($httpd, 'p', model => '');
    my $id = $answer->{headers}{'x-apipool-key'};
    $httpd->stop;
    my $bytes = slurp($secret);
    chmod 0644, $secret;
    like refused($httpd), qr/AP0053: .*503.*: secret file \S+ is readable by others \(mode 0644\); run chmod 600 \S+secret,/,
        'readable by others: refused';
    unlike $httpd->log, qr/AP0041/, '... for the one reason that there is';
    chmod 0600, $secret;
    spew($secret, substr $bytes, 1);
    like refused($httpd), qr/secret file \S+ does not have 32 bytes; put back the one/, 'too short: refused';
    spew($secret, 'x' x 32);
    like refused($httpd), qr/it was sealed with another secret.*put back the files, or the secret .*mv \S+/s,
        'another one: refused';
    unlink $secret;
    like refused($httpd), qr/secret file \S+ is missing, and the store cannot be read without it; put back/,
        'missing: refused';
    ok !-e $secret, '... and none is made';
    my $elsewhere = spew("$httpd->{dir}/elsewhere", $bytes);
    chmod 0600, $elsewhere;
    edit($httpd, sub { $_[0] =~ s/^APIPoolSecretFile .*/APIPoolSecretFile elsewhere/mr });
    $httpd->start;
    ($answer) = chat($httpd, 'p', model => '');
    is $answer->{headers}{'x-apipool-key'}, $id, 'elsewhere: the key has its id';
    unlink $elsewhere;
    ok $httpd->restart, 'a graceful restart goes on without its file';
    like $httpd->log, qr/AP0052: secret file \S+elsewhere is missing.*but after a full stop the pools would not serve/, '... and tells';
    ($answer) = chat($httpd, 'p', model => '');
    is $answer->{headers}{'x-apipool-key'}, $id, '... and serves';
};

subtest 'a file of another user is no secret' => sub {
    my $httpd = pool_server({p => {keys => ['sk-ok-store-secret']}});
    $httpd->stop;
    my ($foreign) = grep { -f && (stat)[4] != 0 && (stat _)[4] != $> } glob '/proc/[0-9]*/comm';
SKIP: {
        skip 'no file of a third user is at hand', 1 if !$foreign;
        edit($httpd, sub { $_[0] =~ s/^APIPoolSecretFile .*/APIPoolSecretFile $foreign/mr });
        like refused($httpd), qr/secret file \S+ belongs to another user \(uid \d+\); run chown root/, 'refused';
    }
};

subtest 'types of databases' => sub {
    for my $case (['punchcards', 'this APR-util has no dbm of the type punchcards'],
        ['sdbm', 'the type sdbm is too small for the store; use gdbm or db'],
        ['default', 'the type default is too small for the store'])
    {
        my ($type, $fault) = @{$case};
        my ($status, $said) = config_test("APIPoolStore store dbm=$type\n");
        isnt $status, 0, "dbm=$type stops httpd -t";
        like $said, qr/APIPoolStore dbm=$type: \Q$fault\E/, '... with its name';
    }
};

subtest 'two httpds and one store' => sub {
    my $httpd = pool_server({p => {keys => ['sk-ok-store-aaaa']}});
    my $other = pool_server({p => {keys => ['sk-ok-store-aaaa']}});
    $other->stop;
    edit($other, sub { $_[0] =~ s{^(APIPool(?:Store|SecretFile)) .*/}{$1 $httpd->{dir}/}mgr });
    my $pid = $httpd->pid;
    like refused($other), qr/AP0053: .*: store \S+ is used by another httpd \(process $pid\); stop that one, or give each/,
        'the second one refuses and names the first';
    my ($answer) = chat($httpd, 'p', model => '');
    is $answer->{status}, 200, 'the first one goes on';
    $httpd->stop;
    $other->start;
    ($answer) = chat($other, 'p', model => '');
    is $answer->{status}, 200, 'when it is gone, the second one starts';
};

# Three generations of keys have been, so two are there.
sub with_generations {
    my $httpd = pool_server({p => {keys => ['sk-ok-store-first']}});
    for my $name (qw(second third)) {
        spew("$httpd->{dir}/p", "sk-ok-store-$name\n");
        $httpd->restart or die "no restart\n";
    }
    $httpd->stop;
    spew("$httpd->{dir}/p", '');
    return $httpd;
}

subtest 'a generation that is not whole' => sub {
    my %damages = (
        torn => sub { my ($file) = @_; spew($file, substr slurp($file), 0, 100); },
        emptied => sub { spew($_[0], '') },
        missing => sub { unlink $_[0] },
        'with a flipped bit' => sub { flip($_[0], (-s $_[0]) / 2) },
        'with a flipped bit in its seal' => sub { flip(seal_of($_[0]), 30) },
        'without its seal' => sub { unlink seal_of($_[0]) },
        foreign => sub { spew($_[0], 'a database of something else' x 500) },
    );
    my $httpd = with_generations();
    my $whole = "$httpd->{dir}/whole";
    system 'cp', '-Rp', "$httpd->{dir}/store", $whole;
    for my $damage (sort keys %damages) {
        remove_tree("$httpd->{dir}/store");
        system 'cp', '-Rp', $whole, "$httpd->{dir}/store";
        my ($newest, $before) = generations($httpd, 'keys');
        my ($name, $instead) = map {m{([^/]*)-[^-/]*\z}} $newest, $before;
        $damages{$damage}->($newest);
        my $length = length $httpd->log;
        $httpd->start;
        my $said = substr $httpd->log, $length;
        like $said, qr/AP0052: store \S+: generation $name cannot be used: /, "$damage: told";
        like $said, qr/generation $instead is used instead/, '... with the one that is used';
        is_deeply metrics($httpd->{base})->states('p'), {active => 2}, '... which has its keys';
        my ($answer) = chat($httpd, 'p', model => '');
        is $answer->{status}, 200, '... and they serve';
        $httpd->stop;
    }
    for my $file (glob "$whole/keys-*.seal") {
        flip($file, 20);
    }
    remove_tree("$httpd->{dir}/store");
    rename $whole, "$httpd->{dir}/store" or die "$!\n";
    my $said = refused($httpd);
    like $said, qr/AP0053: .*: store (\S+) has no whole generation of keys .*or begin anew: mv \1 \1\.broken/,
        'none whole: the pool refuses, and what to do';
    like $said, qr/no pool starts empty over existing data/, '... and why';
    my ($move) = $said =~ /begin anew: (mv .*)$/m;
    is system($move), 0, 'what it says can be done';
    spew("$httpd->{dir}/p", "sk-ok-store-anew\n");
    $httpd->start;
    is_deeply metrics($httpd->{base})->states('p'), {active => 1}, '... and helps';
};

subtest 'statistics that are damaged do not stop anyone' => sub {
    my $httpd = pool_server({p => {keys => ['sk-ok-store-aaaa']}}, config => "APIPoolMaxPendingUpdates 1\n");
    chat($httpd, 'p', model => '');
    counted($httpd, 1);
    $httpd->stop;
    $httpd->start;
    chat($httpd, 'p', model => '');
    counted($httpd, 2);
    $httpd->stop;
    my ($newest) = generations($httpd, 'stats');
    flip($newest, (-s $newest) / 2);
    $httpd->start;
    cmp_ok metrics($httpd->{base})->sum('apipool_requests_total'), '>=', 1, 'those before are used';
};

subtest 'the folder' => sub {
    my $httpd = pool_server({p => {keys => ['sk-ok-store-aaaa']}});
    $httpd->stop;
    chmod 0770, "$httpd->{dir}/store";
    like refused($httpd), qr/store \S+ can be written to by others \(mode 0770\); run chmod go-w/, 'wrong mode: refused';
    chmod 0700, "$httpd->{dir}/store";
    edit($httpd, sub { $_[0] =~ s{^APIPoolStore .*}{APIPoolStore a/b/c/store}mr });
    $httpd->start;
    is sprintf('%04o', (stat "$httpd->{dir}/a/b/c/store")[2] & 07777), '0700', 'folders above it are made';
    is sprintf('%04o', (stat "$httpd->{dir}/a/b")[2] & 07777), '0755', '... for all to pass through';
    $httpd->stop;
    spew("$httpd->{dir}/file", 'x');
    edit($httpd, sub { $_[0] =~ s{^APIPoolStore .*}{APIPoolStore file}mr });
    like refused($httpd), qr/store \S+file is not a folder; name one, or move it away/, 'a file: refused';
};

subtest 'a restart with another folder keeps the one it has' => sub {
    my $httpd = pool_server({p => {keys => ['sk-ok-store-aaaa']}});
    edit($httpd, sub { $_[0] =~ s{^APIPoolStore .*}{APIPoolStore another/one}mr });
    ok $httpd->restart, 'restarted';
    like $httpd->log, qr/AP0054: APIPoolStore \S+one takes effect after a full stop; until then it stays \S+store/,
        'it tells';
    ok !-e "$httpd->{dir}/another", '... and makes nothing there';
    my ($answer) = chat($httpd, 'p', model => '');
    is $answer->{status}, 200, '... and serves';
};

subtest 'without pools there is no store' => sub {
    my $httpd = private_httpd(config => '');
    ok !-e "$httpd->{dir}/store", 'none is made';
    spew("$httpd->{dir}/keys", "sk-ok-store-aaaa\n");
    my $up = 'http://127.0.0.1:' . mock_port() . '/v1';
    edit($httpd, sub { $_[0] . <<"CONF" });
<APIPool p>
    APIPoolUpstream $up
    APIPoolKeyFile keys
</APIPool>
<Location "/p">
    APIPoolUse p
</Location>
<Location "/metrics">
    SetHandler apipool-metrics
</Location>
CONF
    ok $httpd->restart, 'a pool comes with a restart';
    my ($answer) = chat($httpd, 'p', model => '');
    is $answer->{status}, 200, '... and serves';
    $httpd->stop;
    spew("$httpd->{dir}/keys", '');
    $httpd->start;
    is_deeply metrics($httpd->{base})->states('p'), {active => 1}, '... from a store of its own';
};

# A parent that is stopped makes no more children while they are looked for.
sub kill_all {
    my ($httpd) = @_;
    kill STOP => $httpd->pid;
    my @all = ($httpd->pid, $httpd->children);
    kill KILL => @all;
    wait_for(sub { !grep { kill 0 => $_ } @all }, 10);
    unlink "$httpd->{dir}/httpd.pid";
    return;
}

subtest 'what was saved by the clock survives a crash' => sub {
    my %rules = (APIPoolSaveInterval => 'APIPoolSaveInterval 1', APIPoolMaxPendingUpdates => 'APIPoolMaxPendingUpdates 5');
    for my $rule (sort keys %rules) {
        my $httpd = pool_server({p => {keys => ['sk-ok-store-aaaa'], lines => 'APIPoolLimits rpd=8'}}, config => "$rules{$rule}\n");
        chat($httpd, 'p', model => '') for 1 .. 8;
        my $saves = counted($httpd, 8)->sum('apipool_store_save_seconds_count');
        # begun and ended after the last request
        ok wait_for(
            sub { metrics($httpd->{base})->sum('apipool_store_save_seconds_count') >= $saves + ($rule =~ /Interval/ ? 2 : 0)
                    && generations($httpd, 'stats') }, 20
            ),
            "$rule: saved";
        kill_all($httpd);
        $httpd->start;
        my $requests = metrics($httpd->{base})->sum('apipool_requests_total');
        if ($rule =~ /Interval/) {
            is $requests, 8, '... all that was counted is there';
            my ($answer) = chat($httpd, 'p', model => '');
            is $answer->{status}, 429, '... and the limit holds';
        }
        else {
            cmp_ok $requests, '>=', 5, '... as many as were to be saved, at least';
        }
    }
};

subtest 'the keys of a key file are there after a crash at once' => sub {
    my $httpd = pool_server({p => {keys => ['sk-ok-store-aaaa']}});
    kill_all($httpd);
    spew("$httpd->{dir}/p", '');
    $httpd->start;
    is_deeply metrics($httpd->{base})->states('p'), {active => 1}, 'it is';
    my $metrics = metrics($httpd->{base});
    is $metrics->sum('apipool_store_errors_total'), 0, 'no save has failed';
};

done_testing;
