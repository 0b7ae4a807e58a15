# SPDX-License-Identifier: Apache-2.0
# The unmodified client of OpenAI works against a pool as it does against the API itself.
use strict;
use warnings;

use APIPoolNode qw(node_obstacle node_tests);
use APIPoolTest qw(private_httpd upstream_mark upstream_since check_dir mock_port);
use APIPoolWebSocket qw(serve_events asked);
use Apache::Test ();
use Test::More;

plan skip_all => 'APIPOOL_NO_SDK=1 is set' if ($ENV{APIPOOL_NO_SDK} || '') eq '1';

my $tests = check_dir() . '/t';
my $ROTATING = 32;

my $bad = 0;

# A key that is refused, a key that is limited, and the key that is asked in the end.
sub after_bad {
    my ($key) = @_;
    $bad++;
    return ["sk-401-refused$bad-aaaaaaaa", "sk-429-limited$bad-retry600-bb", $key];
}

# Each test of a success takes a rotate-N of its own, since refused keys leave the rotation; the
# others are known by name.
my %pools = (
    (map { ("rotate-$_" => after_bad("sk-ok-rotate$_-cccccccc")) } 1 .. $ROTATING),
    badrequest => after_bad('sk-400-cccccccccccccccc'),
    notfound => after_bad('sk-404-cccccccccccccccc'),
    unprocessable => after_bad('sk-422big-cccccccccccccccc'),
    cut => after_bad('sk-cut-cccccccccccccccc'),
    cutline => after_bad('sk-cutline-cccccccccccccccc'),
    stall => after_bad('sk-stall-delay4-cccccccc'),
    slow => after_bad('sk-slow-delay4-cccccccc'),
    cooling => [qw(sk-429-cooling-retry9-aa sk-429-cooling-retry9-bb)],
    waits => [qw(sk-429-waits-retry1-aaaa)],
    exhausted => [qw(sk-401-exhausted-aaaaaaaa sk-401-exhausted-bbbbbbbb)],
);

# The WebSockets of the client speak to an upstream of events.
my ($events_port, $events_file) = serve_events();

sub config {
    my $config = <<"CONF";
<APIPool events>
    APIPoolUpstream http://127.0.0.1:$events_port/v1
    APIPoolKeyFile \@DIR\@/events
</APIPool>
<Location "/events/v1">
    APIPoolUse events
</Location>
CONF
    for my $name (sort keys %pools) {
        $config .= <<"CONF";
<APIPool $name>
    APIPoolUpstream http://127.0.0.1:@{[mock_port()]}/v1
    APIPoolKeyFile \@DIR\@/$name
    APIPoolStrategy round-robin
</APIPool>
<Location "/$name/v1">
    APIPoolUse $name
    APIPoolExpose On
</Location>
CONF
    }
    return $config;
}

# What the upstream saw of each pool, by the pool's name; probes apart.
sub seen_by_pool {
    my @seen = grep { $_->{headers}{'x-stainless-lang'} } @_;
    my %owner = map { my $pool = $_; map { $_ => $pool } @{$pools{$pool}} } keys %pools;
    my %by;
    push @{$by{$owner{$_->{key}} || 'no pool'}}, $_ for @seen;
    return %by;
}

my $obstacle = node_obstacle('APIPOOL_NO_SDK=1', $tests, 'openai');
if ($obstacle) {
    fail 'the tests of the client can run';
    diag $obstacle;
    done_testing;
    exit;
}

my $httpd = private_httpd(
    config => config(),
    files => {events => "sk-ok-events-aaaaaaaaaaaa\n", map { $_ => join "\n", @{$pools{$_}}, '' } keys %pools}
);
my $mark = upstream_mark();
node_tests(
    [glob "'$tests/sdk/'*.test.mjs"],
    env => {
        (map { $_ => undef } grep {/^OPENAI_/} keys %ENV),
        APIPOOL_SDK_BASE => $httpd->{base},
        APIPOOL_SDK_ROTATING => $ROTATING
    }
);

is_deeply [asked($events_file, 0)],
    [qw(session.update conversation.item.create response.create response.create response.create)],
    'what the WebSockets of the client asked for';

my %seen = seen_by_pool(upstream_since($mark));
my @used = grep { $seen{$_} } map {"rotate-$_"} 1 .. $ROTATING;

subtest 'what the upstream saw' => sub {
    is $seen{'no pool'}, undef, "no credential but the pools' own";
    my @all = map {@$_} values %seen;
    is scalar(grep { join(' ', values %{$_->{headers}}) =~ /client-key/ } @all), 0, "... not the client's";
    cmp_ok scalar @used, '>', 0, 'requests that rotated';
    for my $name (@used) {
        my @first = @{$seen{$name}}[0 .. 2];
        is_deeply [map { $_->{key} } @first], $pools{$name}, "$name: the keys in turn";
        # what the first key refused might have been the option for usage, which another attempt leaves out
        my %bodies = map { ($_->{body} // $_->{body_sha1}) =~ s/"stream_options":\{"include_usage":true\},//r => 1 } @first;
        is scalar keys %bodies, 1, '... with the same body';
        my %headers = map { $_->{headers}{'x-stainless-retry-count'} || 0 => 1 } @first;
        is_deeply \%headers, {0 => 1}, '... within one request of the client';
    }
    my %asked;
    $asked{$_->{key}}++ for @{$seen{exhausted} || []};
    is scalar keys %asked, 2, 'a pool whose keys are all refused asks each';
    is scalar(grep { $_ != $asked{$pools{exhausted}[0]} } values %asked), 0, '... once a request, until probes have told';
    is scalar @{$seen{cooling} || []}, 2, 'so does a cooling one';
};

# mod_proxy_http says so of the answers that are cut on purpose
my @faults = grep { /exit signal|:(?:error|crit|alert|emerg)\]/ && !/AH01110/ } split /^/, $httpd->log;
is "@faults", '', 'no error in the log';

done_testing;
