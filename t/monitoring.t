# SPDX-License-Identifier: Apache-2.0
# conf/monitoring: the dashboard against a schema, every metric that it and the alert rules name against those that a
# server exports, and the rules as promtool (Debian package prometheus) judges them.
use strict;
use warnings;

use APIPoolSchema qw(schema_faults);
use APIPoolTest qw(check_dir json metrics mock_port pool_server chat slurp source_dir spew wait_for);
use File::Temp ();
use JSON::PP ();
use Test::More;

my $folder = source_dir() . '/conf/monitoring';
my $rules = slurp("$folder/alerts.yml");
my $board = json(slurp("$folder/grafana-dashboard.json")) or BAIL_OUT 'the dashboard is no JSON';
my $schema = json(slurp(check_dir() . '/t/dashboard-schema.json')) or BAIL_OUT 'the schema is no JSON';

# What a schema cannot say: what is there twice, or lies over another panel.
sub board_faults {
    my ($given) = @_;
    my @faults = schema_faults($given, $schema, 'dashboard');
    return @faults if @faults;
    my (%ids, %cells);
    for my $panel (@{$given->{panels}}) {
        my ($x, $y, $w, $h) = @{$panel->{gridPos}}{qw(x y w h)};
        push @faults, "panel $panel->{id} is there twice" if $ids{$panel->{id}}++;
        push @faults, "panel $panel->{id} asks for nothing" if !@{$panel->{targets}};
        push @faults, "panel $panel->{id} is too wide" if $x + $w > 24;
        my %refs;
        push @faults, map {"panel $panel->{id} has $_ twice"} grep { $refs{$_}++ } map { $_->{refId} } @{$panel->{targets}};
        my @taken = grep { $cells{$_}++ } map { my $column = $_; map {"$column $_"} $y .. $y + $h - 1 } $x .. $x + $w - 1;
        push @faults, "panel $panel->{id} overlaps" if @taken;
    }
    return @faults;
}

sub with_fault {
    my ($plant) = @_;
    my $copy = json(JSON::PP::encode_json($board));
    $plant->($copy, $copy->{panels}[1]);
    return join "\n", board_faults($copy);
}

subtest 'the dashboard' => sub {
    is join("\n", board_faults($board)), '', 'there is nothing wrong with it';
    my @faults = (
        [qr/panels\[1\]: no title/, sub { delete $_[1]{title} }],
        [qr/panels\[1\]\.datasource\.uid/, sub { $_[1]{datasource}{uid} = 'abc' }],
        [qr/targets\[0\]: no expr/, sub { delete $_[1]{targets}[0]{expr} }],
        [qr/asks for nothing/, sub { $_[1]{targets} = [] }],
        [qr/defaults: no unit/, sub { delete $_[1]{fieldConfig}{defaults}{unit} }],
        [qr/panel 2 overlaps/, sub { $_[1]{gridPos}{x}-- }],
        [qr/panel 1 is there twice/, sub { $_[1]{id} = 1 }],
        [qr/panel 2 is too wide/, sub { @{$_[1]{gridPos}}{qw(x y)} = (23, 99) }],
        [qr/schemaVersion: 16 is below/, sub { $_[0]{schemaVersion} = 16 }],
    );
    like with_fault($_->[1]), $_->[0], "a planted fault is found: $_->[0]" for @faults;
    is_deeply [map { $_->{name} } @{$board->{templating}{list}}], [qw(datasource instance pool)], 'its variables';
};

# A server on which everything has happened that has a series of its own, and the labels of its series.
my $mock = 'http://127.0.0.1:' . mock_port();
my $httpd = pool_server(
    {
        main => {keys => ['sk-ok-main-key-aaaaaaaa'], upstreams => ["$mock/v1 name=vendor"]},
        none => {keys => '[{"key":"sk-ok-none-key-aaaaaaaa","enabled":false}]'},
    }
);
my $ask = sub {
    my ($pool, $words) = @_;
    return chat($httpd, $pool, content => '{"model":"m","stream":true}', headers => {'x-mock' => $words});
};
$ask->(main => 'ok');
$ask->(main => 'ctx400');
$ask->(main => 'cut');
$ask->(none => 'ok');
wait_for(sub { metrics($httpd->{base})->sum('apipool_requests_total') >= 4 });
my %labels = (up => {job => {}, instance => {}});
for my $series (@{metrics($httpd->{base})}) {
    my ($name, $own) = @$series;
    $labels{$name}{instance} = {};
    $labels{$name}{$_}{$own->{$_}} = 1 for keys %$own;
}
my %documented = map { $_ => 1 } slurp(source_dir() . '/docs/behaviour.md') =~ /^\| (R\d\d) \|/mg;

# What a text of queries names that no server exports: a metric, a label, or a value of a label.
sub unknown_names {
    my ($text) = @_;
    my @faults;
    for ($text =~ /((?<![:\w])(?:apipool_[a-z_]+|up\b(?=\{))(?:\{[^}]*\})?)/g) {
        my ($name, $matchers) = /^(\w+)(.*)/;
        push @faults, "$name is not exported" and next if !$labels{$name};
        while ($matchers =~ /(\w+)[=!]~?"([^"]*)"/g) {
            my ($label, $values) = ($1, $2);
            my $known = $label eq 'rule' ? \%documented : $labels{$name}{$label};
            push @faults, "$name has no label $label" and next if !$known;
            next if $label !~ /^(?:rule|state|type|outcome)$/;
            push @faults, map {"$name has no $label $_"} grep { !$known->{$_} && $_ ne 'client_abort' } split /\|/, $values;
        }
    }
    return @faults;
}

my @queries = map { $_->{expr} } map { @{$_->{targets}} } @{$board->{panels}};

subtest 'metrics' => sub {
    my $asked = join "\n", @queries, map { $_->{query} =~ s/^label_values\(|,.*//gr } map { $_->{query} }
        grep { $_->{type} eq 'query' } @{$board->{templating}{list}};
    is join("\n", unknown_names($asked)), '', 'the dashboard asks for what there is';
    my $bare = join "\n", grep { !/^\s*#/ } split /\n/, $rules;
    is join("\n", unknown_names($bare)), '', 'so do the rules';
    cmp_ok scalar(() = $bare =~ /apipool_\w+\{/g), '>', 10, '... of which there are many';
    is_deeply [unknown_names('rate(apipool_nothing_total{pool="x"}[5m]) + apipool_keys{stat="active"} '
                . '+ apipool_keys{state=~"active|resting"} + apipool_attempts_total{rule="R99"}')],
        [
        'apipool_nothing_total is not exported',
        'apipool_keys has no label stat',
        'apipool_keys has no state resting',
        'apipool_attempts_total has no rule R99'
        ],
        'a fault would be found';
};

my ($promtool) = grep {-x} map {"$_/promtool"} split /:/, $ENV{PATH};

# promtool(WHAT, ...): its status and its words.
sub promtool {
    my $said = qx('$promtool' @_ 2>&1);
    return ($? >> 8, $said);
}

# Whether the rules' own test passes with other rules.
sub passes_with {
    my ($text) = @_;
    my $dir = File::Temp->newdir;
    spew("$dir/alerts.yml", $text);
    spew("$dir/alerts_test.yml", slurp("$folder/alerts_test.yml"));
    my ($status) = promtool("check rules '$dir/alerts.yml'");
    is $status, 0, 'changed rules are rules';
    ($status) = promtool("test rules '$dir/alerts_test.yml'");
    return $status == 0;
}

subtest 'promtool' => sub {
    plan skip_all => 'promtool is not installed' if !$promtool && !$ENV{APIPOOL_TEST_ALL};
    for my $what ("check rules '$folder/alerts.yml'", "check config '$folder/prometheus.yml'",
        "test rules '$folder/alerts_test.yml'") {
        my ($status, $said) = promtool($what);
        is $status, 0, $what =~ s{'.*/}{}r or diag $said;
    }
    my $dir = File::Temp->newdir;
    my $number = 0;
    my $as_rules = join '', map {
        my $query = s/\$__rate_interval/5m/gr;
        '      - {record: "panel:' . ++$number . '", expr: ' . JSON::PP->new->allow_nonref->encode($query) . "}\n"
    } @queries;
    spew("$dir/queries.yml", "groups:\n  - name: queries\n    rules:\n$as_rules");
    my ($status, $said) = promtool("check rules '$dir/queries.yml'");
    is $status, 0, 'the queries of the dashboard' or diag $said;
    like $said, qr/SUCCESS: \Q$number\E rules/, '... all of them';
};

subtest 'alerts' => sub {
    my ($head, @alerts) = split /(?=^      - alert: )/m, $rules;
    my $tests = slurp("$folder/alerts_test.yml");
    for my $alert (@alerts) {
        my ($name) = $alert =~ /alert: (\w+)/;
        like $tests, qr/^ .*\{alertname="$name"[,}]/m, "$name fires in a test";
        like $alert, qr/^        for: \d+m$/m, '... waits before it fires';
        like $alert, qr/^          severity: (?:critical|warning)$/m, '... has a severity';
        like $alert, qr/^          $_: "[A-Z0-9{]/m, "... and a $_" for qw(summary description);
    }
    return if !$promtool && !$ENV{APIPOOL_TEST_ALL};
    ok !passes_with(join '', $head, @alerts[0 .. $#alerts - 1]), 'the test misses an alert that is not there';
    my $always = $alerts[0] =~ s/expr: .*/expr: vector(1)/r;
    ok !passes_with(join '', $head, $always, @alerts[1 .. $#alerts]), '... and minds one that fires always';
};

done_testing;
