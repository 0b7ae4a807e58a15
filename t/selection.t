# SPDX-License-Identifier: Apache-2.0
# Which key a request gets: shares, weights, tiers, models, accounts and affinity.
# APIPOOL_TEST_SHARES=N sets the number of requests that equal keys share, APIPOOL_TEST_FULL=1 makes it
# 10,000.
use strict;
use warnings;

use APIPoolTest qw(pool_server chat request upstream_mark upstream_since mock_port metrics parallel wait_for
    error_code);
use Apache::Test ();
use HTTP::Tiny ();
use JSON::PP ();
use List::Util qw(max min sum0 uniq);
use MIME::Base64 ();
use Test::More;

my $SHARES = $ENV{APIPOOL_TEST_SHARES} || ($ENV{APIPOOL_TEST_FULL} ? 10_000 : 1200);
my $mock = 'http://127.0.0.1:' . mock_port();

sub key {
    my ($words, $pool, $letter) = @_;
    return sprintf 'sk-%s-%s-%s', $words, $pool, $letter x 12;
}

sub ok_keys {
    my ($pool, @letters) = @_;
    return [map { key('ok', $pool, $_) } @letters];
}

sub objects {
    my (@objects) = @_;
    return '[' . join(',', map { JSON::PP::encode_json($_) } @objects) . ']';
}

my $two = ["$mock/one name=one", "$mock/two name=two priority=1"];
my %pools = (
    equal => {keys => ok_keys('equal', 'a' .. 'j'), lines => 'APIPoolStrategy smart'},
    learned => {keys => [key('limits3', 'learned', 'a'), key('limits95', 'learned', 'b')]},
    faulty => {keys => [key('half', 'faulty', 'a'), @{ok_keys('faulty', 'b' .. 'e')}]},
    failed => {keys => ok_keys('failed', 'a', 'b'), lines => 'APIPoolRetries 0'},
    weights => {
        keys => objects(
            {key => key('ok-slow-delayms20', 'weights', 'a'), weight => 3},
            {key => key('ok-slow-delayms20', 'weights', 'b')}
        )
    },
    vendors => {
        upstreams => ["$mock/one name=one weight=3", "$mock/two name=two"],
        keys => {
            one => [key('ok-slow-delayms20', 'vendors', 'a')],
            two => [key('ok-slow-delayms20', 'vendors', 'b')]
        }
    },
    tiers => {
        upstreams => $two,
        keys => {one => [key('only429gpt4-retry2', 'tiers', 'a')], two => ok_keys('tiers', 'b')}
    },
    renamed => {
        upstreams => ["$mock/one name=one", "$mock/two name=two model=gpt-4:vendor/gpt-4-turbo,m:n"],
        keys => {one => ok_keys('renamed', 'a'), two => ok_keys('renamed', 'b')},
        lines => 'APIPoolStrategy round-robin'
    },
    fill => {
        keys => [key('only429gpt4-retry2', 'fill', 'a'), @{ok_keys('fill', 'b', 'c')}],
        lines => 'APIPoolStrategy fill-first'
    },
    random => {keys => ok_keys('random', 'a' .. 'd'), lines => 'APIPoolStrategy random'},
    model => {keys => [key('only429gpt4-retry30', 'model', 'a')]},
    account => {
        keys => objects(
            {key => key('only429gpt4-retry30', 'account', 'a'), account => 'x'},
            {key => key('ok', 'account', 'b'), account => 'x'},
            {key => key('ok', 'account', 'c'), account => 'y'},
            {key => key('ok', 'account', 'd')}
        ),
        lines => 'APIPoolStrategy round-robin'
    },
    (
        map {
            my ($name, $affinity) = @$_;
            (
                $name => {
                    keys => ok_keys($name, 'a' .. 'f'),
                    lines => "APIPoolAffinity $affinity\n    APIPoolRotations 0"
                }
            )
        } ['header', 'header:X-Session'],
        ['body', 'body:user'],
        ['named', 'body:model']
    ),
    client => {
        keys => ok_keys('client', 'a' .. 'f'),
        lines => 'APIPoolAffinity client',
        location => join "\n    ", 'AuthType Basic', 'AuthName "clients"', 'AuthUserFile @DIR@/users',
        'Require valid-user'
    },
);

# the password of all users is "password"
my $httpd = pool_server(\%pools,
    files => {users => join '', map {"user$_:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n"} 1 .. 12});

# The last letter of a key tells which one of its pool it is.
sub letters {
    return join '', map { substr $_, -1 } @_;
}

# Those of the keys that a request is made with.
sub asked {
    my ($answer, @keys) = chat($httpd, @_);
    return letters(@keys);
}

# Sends many requests over kept-alive connections; how many of them each key was asked for.
sub share_of {
    my ($pool, $clients, $requests) = @_;
    my $mark = upstream_mark();
    my @failed = map {@$_} parallel(
        $clients,
        sub {
            my $http = HTTP::Tiny->new(keep_alive => 1, timeout => 60);
            my @failed;
            for (1 .. $requests / $clients) {
                my $answer = chat($httpd, $pool, http => $http);
                push @failed, $answer->{status} if $answer->{status} != 200;
            }
            return @failed;
        }
    );
    my %share;
    $share{letters($_->{key})}++ for upstream_since($mark);
    return (\%share, scalar @failed);
}

# What is true once a limit has ended: the tests do not wait for each of them.
my @later;

sub later {
    push @later, [@_];
    return;
}

subtest 'equal keys share evenly' => sub {
    my ($share, $failed) = share_of('equal', 8, $SHARES);
    is $failed, 0, 'all requests are answered';
    is scalar keys %$share, 10, 'by all keys';
    my $fair = sum0(values %$share) / 10;
    cmp_ok max(values %$share), '<=', $fair * 1.1, 'no key has more than 110 % of its share';
    cmp_ok min(values %$share), '>=', $fair * 0.9, '... nor less than 90 %';
};

subtest 'a key that fails half of the time' => sub {
    my ($share, $failed) = share_of('faulty', 8, $SHARES);
    is $failed, 0, 'no client notices';
    my $bad = delete $share->{a} // 0;
    my $good = sum0(values %$share) / 4;
    cmp_ok $bad, '<', $good / 3, "gets less than a third of a good one's share: $bad, $good";
    is metrics($httpd->{base})->states('faulty')->{invalid}, undef, 'but is not given up';
};

subtest 'a key that failed once' => sub {
    my ($answer, @keys) = chat($httpd, 'failed', headers => {'x-mock' => '500'});
    is $answer->{status}, 500, 'fails';
    my $failed = letters(@keys);
    my $order = join '', map { asked('failed') } 1 .. 60;
    cmp_ok scalar(() = $order =~ /$failed/g), '>=', 3, "gets to show that it works again: $failed, $order";
};

subtest 'a key that says it has little left' => sub {
    my $order = join '', map { asked('learned') } 1 .. 20;
    cmp_ok scalar(() = $order =~ /a/g), '<=', 4, "is spared while another one has more: $order";
};

subtest 'weights' => sub {
    for my $pool (qw(weights vendors)) {
        my $order = join '', map { asked($pool) } 1 .. 40;
        my $heavy = () = $order =~ /a/g;
        cmp_ok abs($heavy - 30), '<=', 2, "$pool: three times as heavy, three times as many: $order";
        my ($share, $failed) = share_of($pool, 8, 96);
        is $failed, 0, '... many at once: all requests are answered';
        cmp_ok $share->{a}, '>', 1.4 * $share->{b}, '... more of them by the heavy one';
    }
};

subtest 'tiers' => sub {
    my @gpt4 = (content => '{"model":"gpt-4"}');
    is asked('tiers'), 'a', 'the first vendor has usable keys' for 1 .. 3;
    my ($answer, @keys) = chat($httpd, 'tiers', @gpt4);
    is $answer->{status}, 200, 'when it has none';
    is letters(@keys), 'ab', '... the second one answers';
    is asked('tiers', @gpt4), 'b', '... alone, until then' for 1 .. 3;
    is asked('tiers'), 'a', 'for another model the first one still has them';
    later('tiers: the first one again', sub { asked('tiers', @gpt4) =~ /a/ });
};

subtest 'models have other names elsewhere' => sub {
    my @bodies = (
        '{"model":"gpt-4","messages":[{"role":"user","content":"the \"model\":\"gpt-4\" of gpt-4"}]}',
        qq({ "metadata" : {"model":"gpt-4"},\r\n\t"n":1.50,"model" :  "gpt-4" , "z":[{"model":"gpt-4"}]}\n),
        '{"n":1e2,"model":"gpt\u002d4","x":"\u00e9' . "\xc3\xa9" . '"}',
        '{"model":"gpt-4o","y":"gpt-4"}',
        '{"model":"m"}',
        '{"models":["gpt-4"]}',
    );
    my @renamed = (
        $bodies[0] =~ s/"gpt-4"/"vendor\/gpt-4-turbo"/r,
        $bodies[1] =~ s/  "gpt-4" ,/  "vendor\/gpt-4-turbo" ,/r,
        $bodies[2] =~ s/"gpt[^"]*"/"vendor\/gpt-4-turbo"/r,
        $bodies[3], '{"model":"n"}', $bodies[5]
    );
    for my $i (0 .. $#bodies) {
        my %seen;
        for (1 .. 2) {
            my $mark = upstream_mark();
            is chat($httpd, 'renamed', content => $bodies[$i])->{status}, 200, 'answered';
            my ($seen) = upstream_since($mark);
            $seen{letters($seen->{key})} = $seen;
        }
        is_deeply [sort keys %seen], [qw(a b)], 'both vendors are asked in turn' or next;
        is raw($seen{a}), $bodies[$i], '... one as the client wrote it';
        is raw($seen{b}), $renamed[$i], '... the other with the name it knows, and nothing else changed';
        is $seen{b}{headers}{'content-length'}, length $renamed[$i], '... at its length';
    }
    my $other = '{"model":"models/gpt-4"}';
    for (1 .. 2) {
        my $mark = upstream_mark();
        request(POST => '/renamed/models/gpt-4:generateContent', base => $httpd->{base}, content => $other);
        is((upstream_since($mark))[0]{body}, $other, 'a path names the model: another name in the body stays');
    }
};

# The recorded body as bytes.
sub raw {
    my ($seen) = @_;
    my $body = $seen->{body};
    utf8::encode($body);
    return $body;
}

subtest 'fill-first' => sub {
    my @gpt4 = (content => '{"model":"gpt-4"}');
    is asked('fill'), 'a', 'one key as long as it goes' for 1 .. 4;
    is asked('fill', @gpt4), 'ab', 'then the next';
    is asked('fill', @gpt4), 'b', '... and that as long as it goes' for 1 .. 3;
    later('fill-first: the first key again', sub { asked('fill', @gpt4) =~ /^a/ });
};

subtest 'random' => sub {
    my $order = join '', map { asked('random') } 1 .. 48;
    is scalar(uniq(split //, $order)), 4, 'every key is used';
    my ($turn) = $order =~ /^(.{4})/;
    isnt $order, $turn x 12, 'not in turn';
};

subtest 'a limit on one model' => sub {
    my ($answer, @keys) = chat($httpd, 'model', content => '{"model":"gpt-4"}');
    is $answer->{status}, 429, 'a key is limited for one model';
    ($answer, @keys) = chat($httpd, 'model');
    is $answer->{status}, 200, 'it is usable for another one';
    ($answer, @keys) = chat($httpd, 'model', content => '{"model":"gpt-4"}');
    is $answer->{status}, 429, 'the first is still out of reach';
    is scalar @keys, 0, '... which the pool knows by itself';
    is error_code($answer), 'rate_limit_exceeded', '... and says';
    cmp_ok $answer->{headers}{'retry-after'}, '>', 20, '... with the time that is left';
};

subtest 'keys of one account' => sub {
    my ($first) = grep {/a/} map { asked('account', content => '{"model":"gpt-4"}') } 1 .. 4;
    like $first // '', qr/^a[cd]$/, 'when one is limited, the next to be asked is of another account';
    my $order = join '', map { asked('account', content => '{"model":"gpt-4"}') } 1 .. 8;
    unlike $order, qr/[ab]/, '... and the others of that account stay out';
    like $order, qr/c/, '... but not those of another';
    like $order, qr/d/, '... or of none';
    is join('', sort(uniq(map { asked('account') } 1 .. 8))), 'abcd', 'all are usable for another model';
};

# Sessions keep their keys, leave one that is limited, and return.
sub keeps_keys {
    my ($pool, $options) = @_;
    my %key_of;
    for my $session (1 .. 12) {
        my @used = uniq(map { asked($pool, $options->($session)) } 1 .. 3);
        is scalar @used, 1, "session $session keeps its key";
        $key_of{$session} = $used[0];
    }
    cmp_ok scalar(uniq(values %key_of)), '>=', 2, 'not all sessions have the same key';

    my %limited = $options->(1);
    $limited{headers}{'x-mock'} = '429 retry2';
    is asked($pool, %limited), $key_of{1}, 'its key becomes limited';
    my @other = uniq(map { asked($pool, $options->(1)) } 1 .. 2);
    is scalar @other, 1, 'another one takes the session';
    isnt $other[0], $key_of{1}, '... which is another one';
    my @elsewhere = grep { $key_of{$_} ne $key_of{1} } keys %key_of;
    my @moved = grep { asked($pool, $options->($_)) ne $key_of{$_} } @elsewhere;
    is scalar @moved, 0, 'sessions of other keys stay where they are';
    later("affinity by $pool: the session's key again", sub { asked($pool, $options->(1)) eq $key_of{1} });
    return;
}

subtest 'affinity by a header' => sub {
    keeps_keys('header', sub { return (headers => {'x-session' => "session-$_[0]"}) });
    cmp_ok scalar(uniq(map { asked('header') } 1 .. 12)), '>=', 2, 'requests without it are spread';
};

subtest 'affinity by a field of the body' => sub {
    keeps_keys('body', sub { return (content => qq({"model":"m","messages":[],"user":"session-$_[0]"})) });
};

subtest 'affinity by the model' => sub {
    my %key_of;
    for my $model (1 .. 12) {
        my @used = uniq(map { asked('named', model => "model-$model") } 1 .. 3);
        is scalar @used, 1, "model $model keeps its key";
        $key_of{$model} = $used[0];
    }
    cmp_ok scalar(uniq(values %key_of)), '>=', 2, 'not all models have the same key';
    is asked('named', model => 'model-1', headers => {'x-mock' => '429 retry600'}), $key_of{1}, 'a key becomes limited';
    is_deeply metrics($httpd->{base})->states('named'), {active => 6}, '... for that model alone, which is known';
};

subtest 'affinity by client' => sub {
    my %key_of;
    for my $user (1 .. 12) {
        my $credential = 'Basic ' . MIME::Base64::encode_base64("user$user:password", '');
        my @used = uniq(map { asked('client', headers => {authorization => $credential}) } 1 .. 3);
        is scalar @used, 1, "user $user keeps its key";
        $key_of{$user} = $used[0];
    }
    cmp_ok scalar(uniq(values %key_of)), '>=', 2, 'not all users have the same key';
};

subtest 'when the limits have ended' => sub {
    ok wait_for($_->[1], 10), $_->[0] for @later;
};

is $httpd->faults, '', 'nothing went wrong inside';

done_testing;
