# SPDX-License-Identifier: Apache-2.0
# Keys, clients and numbers through the admin API: lists, changes, what they do to traffic, and what is written down.
use strict;
use warnings;

use APIPoolAdmin qw(admin_server location password_file token_for);
use APIPoolTest qw(json mock_port chat request spew wait_for);
use IO::Socket::INET ();
use JSON::PP ();
use Test::More;
use Time::HiRes qw(time);

my @keys = map {"sk-ok-admin-key-number-$_"} 1 .. 5;
my $bad = 'sk-401-admin-key-rejected';
my $mock = 'http://127.0.0.1:' . mock_port();
my $admin = admin_server(
    {
        main => {keys => {one => \@keys, two => [$bad]},
            upstreams => ["$mock/v1 name=one", "$mock/v1 name=two priority=1"]},
        mine => {keys => ['sk-ok-mine-key-aaaaaaaa']},
        untold => {keys => ['sk-ok-nousage-untold-aaaa']},
        wrong => {keys => ['sk-400-wrong-key-aaaaaaaa'], lines => 'APIPoolLimits rpd=5000 rpm=70'},
        refused => {keys => ['sk-401-refused-key-aaaaaa']},
        failing => {keys => ['sk-500-failing-key-aaaaaa'], lines => 'APIPoolRetries 0'},
    },
    lines => ['APIPoolAdminReveal On'],
    config => location('/mine', 'APIPoolAdminPools mine') . location('/both', 'APIPoolAdminPools mine main mine') . <<'CONF'
<Location "/guarded">
    APIPoolUse main
    AuthType APIPool
    Require valid-user
</Location>
CONF
)->sign_in;
my $base = $admin->{base};

sub list {
    my ($query) = @_;
    return $admin->ask(GET => "/pools/main/keys?$query")->{json};
}

sub states {
    my %counts = %{$admin->ask(GET => '/pools/main')->{json}{keys}};
    return {map { $_ => $counts{$_} } grep { $counts{$_} } keys %counts};
}

# --- Pages ---------------------------------------------------------------------------------------

is list('')->{total}, 6, 'all keys are listed';
is list('upstream=one')->{total}, 5, '... or those of an upstream';
is_deeply [map { scalar @{list("limit=2&offset=$_")->{keys}} } 0, 2, 4, 6], [2, 2, 2, 0], '... page by page';
my @ids = map { $_->{id} } @{list('sort=id')->{keys}};
is_deeply \@ids, [sort @ids], '... sorted';
is_deeply [map { $_->{id} } @{list('sort=id&order=desc')->{keys}}], [reverse @ids], '... both ways';
is_deeply [map { $_->{id} } @{list("q=$ids[2]")->{keys}}], [$ids[2]], '... by a part of an id';
my ($first) = @{list('upstream=one&limit=1')->{keys}};
is_deeply [@$first{qw(pool upstream label account weight state enabled reason last_error last_used_at balance ttft_ms)}],
    ['main', 'one', undef, undef, 1, 'active', JSON::PP::true, (undef) x 5], 'what is not known is null';
like $first->{masked}, qr/\Ask-o\x{2026}er-\d\z/, 'a key is masked';

# --- Tokens that nobody has reported ---

chat($base, 'untold');
my $of_key = sub { $admin->ask(GET => '/pools/untold/keys')->{json}{keys}[0] };
ok wait_for(sub { $of_key->()->{estimated_tokens} > 0 }), 'they are estimated';
is $of_key->()->{total_tokens}, 0, '... and not among those that are';
my ($of_model) = @{$admin->ask(GET => '/pools/untold/stats')->{json}{models}};
is $of_model->{estimated_tokens}, $of_key->()->{estimated_tokens}, '... of a model neither';
is $of_model->{total_tokens}, 0, '... and they stand beside those';

# --- Search --------------------------------------------------------------------------------------

sub search {
    my ($text, $query) = @_;
    return $admin->ask(POST => '/pools/main/keys/search' . ($query // ''), json => {q => $text})->{json};
}

my $found = search($keys[0]);
is_deeply [$found->{total}, map { $_->{masked} } @{$found->{keys}}], [1, "sk-o\x{2026}er-1"], 'a whole key is found by a search whose text is in the body';
is search($keys[0] . 'x')->{total}, 0, '... exactly';
is search(substr $keys[0], 1)->{total}, 0, '... not by a part';
is_deeply search('sk-o', '?limit=2&sort=id&offset=1'), {%{list('limit=2&sort=id&offset=1&q=sk-o')}}, 'any other text is searched for as in a list';
is search('', '?upstream=two')->{total}, 1, '... or none';
is $admin->ask(POST => '/pools/main/keys/actions', json => {action => 'disable', filter => {q => $keys[0]}})->{json}{matched}, 1,
    'an action takes a whole key as well';
$admin->ask(POST => '/pools/main/keys/actions', json => {action => 'enable', filter => {q => $keys[0]}});

# --- Changes -------------------------------------------------------------------------------------

my $id = $first->{id};
my $edit = {label => "M\x{fc}ller", account => 'acme', weight => 7, limits => {rpm => 60, concurrency => 2}};
my $edited = $admin->ask(PATCH => "/pools/main/keys/$id", json => $edit)->{json};
is_deeply [@$edited{qw(label account weight)}, @{$edited->{limits}}{qw(rpm rpd concurrency)}],
    ["M\x{fc}ller", 'acme', 7, 60, undef, 2], 'a key is edited';
is_deeply [map { $_->{id} } @{list('q=m%C3%BCll')->{keys}}], [$id], '... and found by its label';
$edited = $admin->ask(PATCH => "/pools/main/keys/$id", json => {label => undef, limits => undef})->{json};
is_deeply [@$edited{qw(label account weight)}, $edited->{limits}{rpm}], [undef, 'acme', 7, undef],
    'null takes away, and what is not named stays';

my $done = $admin->ask(POST => '/pools/main/keys/actions', json => {action => 'disable', ids => [@ids[0, 1], 'f' x 16]})->{json};
is_deeply $done, {matched => 2, done => 2, failed => ['f' x 16]}, 'keys are disabled by their ids';
is_deeply states(), {total => 6, active => 4, disabled => 2}, '... and counted so';
is list('state=disabled')->{total}, 2, '... and found so';
$done = $admin->ask(POST => '/pools/main/keys/actions', json => {action => 'enable', filter => {state => 'disabled'}})->{json};
is_deeply $done, {matched => 2, done => 2, failed => []}, 'by a filter they are enabled again';
is_deeply states(), {total => 6, active => 6}, '... and counted so';

$admin->ask(POST => '/pools/main/keys/actions', json => {action => 'disable', filter => {upstream => 'one'}});
is chat($base, 'main', model => 'gpt-x')->{status}, 401, 'requests use what is left';
ok wait_for(sub { (states()->{invalid} // 0) == 1 }, 5), '... which is found to be rejected';
is_deeply states(), {total => 6, disabled => 5, invalid => 1}, '... and counted so';
my ($rejected) = @{list('state=invalid')->{keys}};
is "$rejected->{last_error}{status} $rejected->{last_error}{rule}", '401 R06', '... by whom and why';
is_deeply [@{$rejected->{last_error}{vendor}}{qw(status type code)}], [401, 'invalid_request_error', 'invalid_api_key'], '... in its words';
like $rejected->{last_error}{vendor}{message}, qr/^Incorrect API key provided: /, '... all of them';
unlike $rejected->{last_error}{vendor}{message}, qr/\Q$bad/, '... but the key';
is $rejected->{reason_code}, 'R06', '... with a code for programs';
ok $rejected->{reason} && $rejected->{next_probe_at}, '... and when it is asked about again';
my $checked = $admin->ask(POST => "/pools/main/keys/$rejected->{id}/check")->{json};
is_deeply [@$checked{qw(valid balance currency)}], [JSON::PP::false, undef, undef], 'a check asks the upstream, which says no';
is_deeply [@$checked{qw(status state)}, $checked->{vendor}{code}], [401, 'invalid', 'invalid_api_key'], '... in which words, and what the key is then';
unlike $checked->{vendor}{message}, qr/\Q$bad/, '... but not the key';
is "@$checked{qw(found state)}", 'refused invalid', '... and tells the state of the key after it';
ok $checked->{next_probe_at}, '... and when that may end';
$done = $admin->ask(POST => '/pools/main/keys/actions', json => {action => 'reset', ids => [$rejected->{id}]})->{json};
is $done->{done}, 1, 'a reset forgets it';
is_deeply states(), {total => 6, disabled => 5, active => 1}, '... and the key is active';
is_deeply [@{$admin->ask(DELETE => "/pools/main/keys/$rejected->{id}")}{qw(status json)}], [200, {in_key_files => 1}],
    'a key is removed, and a key file has it';
is $admin->ask(GET => "/pools/main/keys/$rejected->{id}")->error, '404 key_not_found', '... and gone';
$admin->ask(POST => '/pools/main/keys/actions', json => {action => 'enable', filter => {}});
is chat($base, 'main', model => 'gpt-x')->{status}, 200, 'requests are served again';
$checked = $admin->ask(POST => "/pools/main/keys/$id/check")->{json};
is $checked->{valid}, JSON::PP::true, 'a check says yes';
is "@$checked{qw(found state)}", 'usable active', '... and tells the state of the key';

my $limited = $admin->ask(GET => '/pools/wrong/keys')->{json}{keys}[0];
is_deeply $limited->{limits_in_force}, {rpm => 70, rpd => 5000, tpm => undef, tpd => undef, concurrency => undef},
    'the limits that are enforced are those of the pool';
$limited = $admin->ask(PATCH => "/pools/wrong/keys/$limited->{id}", json => {limits => {rpm => 9}})->{json};
is_deeply [map { $limited->{$_}{rpm} . ' ' . ($limited->{$_}{rpd} // '-') } qw(limits limits_in_force)], ['9 -', '9 5000'], '... or of the key';

# --- Imports -------------------------------------------------------------------------------------

my $import = $admin->ask(POST => '/pools/main/keys?upstream=two', type => 'text/plain; charset=utf-8',
    content => join "\n", 'sk-ok-more-1-aaaaaaaa', 'sk-ok-more-2-bbbbbbbb', $keys[0])->{json};
is_deeply [@$import{qw(added duplicates updated)}, scalar @{$import->{ids}}], [2, 1, 1, 2], 'keys are imported';
is list('upstream=two')->{total}, 3, '... for the upstream that is named, to which a known one moves';
$import = $admin->ask(POST => '/pools/main/keys',
    json => [{key => $keys[0], weight => 3, enabled => JSON::PP::false}, {key => 'sk-ok-more-3-cccccccc', label => 'new'}])->{json};
is_deeply [@$import{qw(added duplicates updated)}], [1, 1, 1], 'what is said of one that is there replaces what was known';
is list('q=new')->{total}, 1, '... and a new one has its label';

# What others export, and what is pasted: docs/admin-api.md.
sub import_into {
    my ($pool, $query, $text, %options) = @_;
    return $admin->ask(POST => "/pools/$pool/keys?$query", type => 'text/plain', content => $text, %options)->{json};
}
my $paste = <<"PASTE";
export ONE="sk-ok-paste-000000001"; Authorization: Bearer sk-ok-paste-000000002
sk-ok-paste-000000003\xef\xbc\x8csk-ok-paste-000000004 # mine
sk-ok-paste-nothing sk-o****0005 a-model-of-2024-08
PASTE
my $preview = import_into(main => 'upstream=two&preview=true', $paste . "sk-ok-more-1-aaaaaaaa\n");
is_deeply [map { "$_->{line} $_->{masked} $_->{result}" } @{$preview->{keys}}],
    ["1 sk-o\x{2026}0001 new", "1 sk-o\x{2026}0002 new", "2 sk-o\x{2026}0003 new", "2 sk-o\x{2026}0004 new", "4 sk-o\x{2026}aaaa known"],
    'a preview lists all keys, masked';
is_deeply [map { "$_->{line} $_->{masked} $_->{doubt}" } @{$preview->{doubtful}}],
    ["3 sk-o\x{2026}hing has no digit", '3 *** masked: it contains * or ...', "3 a-mo\x{2026}4-08 unlike all other keys of the list"],
    '... and what does not look like a key, and why';
is_deeply [@$preview{qw(added duplicates)}, scalar @{$preview->{ids}}], [4, 1, 0], '... which is not counted';
$import = import_into(main => 'upstream=two', $paste);
is_deeply [@$import{qw(added keys)}, scalar @{$import->{doubtful}}], [4, [], 3], 'nor is it added';
$import = import_into(main => 'upstream=two&doubtful=add', $paste);
is_deeply [@$import{qw(added duplicates doubtful)}], [3, 4, []], '... unless that is confirmed';
is import_into(main => 'upstream=two', 'sk-ok-paste-nothing')->{duplicates}, 1, '... after which there is no doubt';
$import = import_into(main => '', "label;API_KEY;weight\n\"table; 1\";sk-ok-table-000000001;5\n");
is_deeply [map { @$_{qw(label weight)} } @{list('q=table')->{keys}}], ['table; 1', 5], 'a table is imported with what it says of its keys';
is import_into(main => '', '{"data":{"items":[{"key":"sk-ok-export-0000001\\nsk-ok-export-0000002","name":"exported","weight":0}]}}', type => $_)->{$_ eq 'text/plain' ? 'added' : 'duplicates'},
    2, "an export is imported as $_" for 'text/plain', 'application/json';
is list('q=exported')->{total}, 2, '... with its names as labels';
is import_into(main => '', "model_list:\n- litellm_params: {api_key: sk-ok-litellm-000001}\ngeneral_settings:\n  master_key: sk-0123456789abcdef\n")->{added}, 1,
    "so is LiteLLM's configuration";
$admin->ask(POST => '/pools/main/keys/actions', json => {action => 'delete', ids => [map { $_->{id} } map { @{list("q=$_")->{keys}} }
        'sk-o%E2%80%A60', 'a-mo', 'hing', 'table', 'exported', '***']});

my $many = join "\n", map { sprintf 'sk-ok-many-%032d', $_ } 1 .. 3000;
my $began = time;
my $answer = $admin->ask(POST => '/pools/mine/keys', type => 'text/plain', content => $many);
is $answer->{json}{added}, 3000, 'thousands in one request';
is $admin->ask(GET => '/pools/mine')->{json}{keys}{active}, 3001, '... are there at once';
my $too_many = join "\n", map { sprintf 'sk-ok-full-%032d', $_ } 1 .. 3000;
is $admin->ask(POST => '/pools/mine/keys', type => 'text/plain', content => $too_many)->error, '507 no_room',
    'what does not fit is refused';
$too_many = join "\n", map { sprintf 'sk-ok-full-%032d', $_ } 1 .. 100_000;
like $admin->ask(POST => '/pools/mine/keys', type => 'text/plain', content => $too_many)->{json}{error}{message},
    qr/^There is no room for \d+ and more new keys; raise APIPoolCapacity/, '... and of what never could no more is looked at than has to be';
is $admin->ask(GET => '/pools/mine')->{json}{keys}{total}, 3001, '... as a whole';

# Long keys fill the memory behind the slots before those are used up.
subtest 'memory that is nearly full' => sub {
    my $small = admin_server({p => {keys => ['sk-ok-small-aaaa']}}, config => "APIPoolCapacity 4096\n")->sign_in;
    my $number = 0;
    my $import = sub {
        my ($count, $length) = @_;
        my $text = join "\n", map { sprintf('sk-ok-long-%06d-', $number++) . 'x' x ($length - 18) } 1 .. $count;
        return $small->ask(POST => '/pools/p/keys', type => 'text/plain', content => $text);
    };
    my @taken;
    for my $length (4000, 2000, 1000, 500, 300) {
        for my $count (200, 50, 10, 3, 1) {
            while (@taken < 4000) {
                my $answer = $import->($count, $length);
                last if $answer->{status} != 200;
                push @taken, @{$answer->{json}{ids}};
            }
        }
    }
    my ($label, $account) = ('l' x 120, 'a' x 64);
    while (@taken < 4000) {
        my %key = (key => 'sk-ok-label-' . $number++, label => $label, account => $account);
        my $answer = $small->ask(POST => '/pools/p/keys', json => [\%key]);
        last if $answer->{status} != 200;
        push @taken, @{$answer->{json}{ids}};
    }
    cmp_ok scalar @taken, '<', 4000, 'there are slots left';
    is $import->(1, 300)->error, '507 no_room', '... and no room for a long key';
    my $key = "/pools/p/keys/$taken[0]";
    is $small->ask(PATCH => $key, json => {label => $label})->error, '507 no_room', '... nor for a label';
    is $small->ask(GET => $key)->{json}{label}, undef, '... and nothing has changed';
    is $small->ask(PATCH => $key, json => {weight => 2})->{json}{weight}, 2, '... but what takes no room can';
    is $small->ask(DELETE => "/pools/p/keys/$taken[1]")->{status}, 204, 'a long key is removed';
    is $small->ask(PATCH => $key, json => {label => $label})->{json}{label}, $label, '... then there is room';
    is $small->ask(GET => '/pools/p')->{json}{keys}{total}, scalar @taken, 'all other keys are there';
};

# --- Clients -------------------------------------------------------------------------------------

my $client = $admin->ask(POST => '/clients', json => {name => 'carol', pools => ['main'], rpm => 100, expires_at => '2099-12-31T23:59:59Z'});
is $client->{status}, 201, 'a client is made';
my $key = $client->{json}{key};
is $client->{json}{expires_at}, '2099-12-31T23:59:59Z', '... with what was said';
is $admin->ask(POST => '/clients', json => {name => 'carol'})->error, '409 client_exists', '... once';
is chat($base, 'guarded', key => $key, model => 'gpt-x')->{status}, 200, '... whose key is accepted';
is chat($base, 'guarded', model => 'gpt-x')->{status}, 401, '... as no other is';
my $shown = $admin->ask(GET => '/clients/carol');
is $shown->{json}{usage}{requests}, 1, '... and what it used is counted';
ok !exists $shown->{json}{key}, '... the key is not told again';
is_deeply [map { $_->{name} } @{$admin->ask(GET => '/clients')->{json}{clients}}], ['carol'], '... it is listed';
is $admin->ask(PATCH => '/clients/carol', json => {models => ['gpt-y'], rpm => undef})->{json}{rpm}, undef, '... and edited';
is chat($base, 'guarded', key => $key, model => 'gpt-x')->{status}, 403, '... which counts at once';
is_deeply [@{$admin->ask(PATCH => '/clients/carol', json => {concurrency => 3})->{json}}{qw(concurrency in_flight)}], [3, 0],
    '... what may be in flight as well';
is $admin->ask(GET => '/clients/carol')->{json}{concurrency}, 3, '... which stays so';
is $admin->ask(PATCH => '/clients/carol', json => {concurrency => undef})->{json}{concurrency}, undef, '... and is taken away';
$admin->ask(POST => '/clients', json => {name => 'all'});

my $mine = $admin->as(mount => '/mine', token => token_for({%$admin, mount => '/mine'}, 'alice', 'wonderland'));
is_deeply $mine->ask(GET => '/clients')->{json}, {clients => []}, 'a location with pools of its own sees no client of others';
is $mine->ask($_ => '/clients/carol', json => {rpm => 1})->error, '404 client_not_found', "... nor can it $_ one" for qw(GET PATCH DELETE);
is $mine->ask(POST => '/clients', json => {name => 'dave', pools => ['main']})->error, '400 invalid_request pools', '... nor make one for others';
is_deeply $mine->ask(POST => '/clients', json => {name => 'dave'})->{json}{pools}, ['mine'], '... but for its own';
is_deeply $mine->ask(PATCH => '/clients/dave', json => {pools => []})->{json}{pools}, ['mine'], '... which stays so';

# Where not all clients are seen, a name tells nothing of those that are not.
my $both = $admin->as(mount => '/both', token => token_for({%$admin, mount => '/both'}, 'alice', 'wonderland'));
sub named {
    my ($who, $name) = @_;
    my $answer = $who->ask(POST => '/clients', json => {name => $name});
    return $answer->{success} ? $answer->{json}{name} : $answer->error;
}
is_deeply [map { named($mine, $_) } qw(carol all nobody)], [qw(carol@mine all@mine nobody@mine)],
    'names that clients of others have are to be had like any other';
is named($mine, 'dave@main'), 'dave@main@mine', '... those that end like the names of others as well';
is named($both, 'dave'), 'dave@main+mine', '... at each location';
is named($_->[0], $_->[1]), '409 client_exists', "... once: $_->[1]" for [$mine, 'carol'], [$mine, 'carol@mine'], [$both, 'dave'];
is $mine->ask(GET => "/clients/$_->[0]")->{json}{name}, $_->[1], "found as $_->[0]"
    for ['carol', 'carol@mine'], ['carol@mine', 'carol@mine'], ['dave@main', 'dave@main@mine'];
is $mine->ask(GET => '/clients/dave@main+mine')->error, '404 client_not_found', '... one with pools that are not seen is not';
is $mine->ask(PATCH => '/clients/carol', json => {rpm => 7})->{json}{name}, 'carol@mine', 'what is changed is the own client';
is $admin->ask(GET => '/clients/carol')->{json}{rpm}, undef, '... and no other one';
is $mine->ask(DELETE => '/clients/all')->{status}, 204, '... or removed';
is $admin->ask(GET => '/clients/all')->{status}, 200, '... likewise';
is named($mine, $_), '400 invalid_request name', 'refused as everywhere' for '', ' ', '.x', 'a/b', 'x' x 64;
is named($mine, 'x' x 58), 'x' x 58 . '@mine', 'a name as long as there is room for';
my $long = $mine->ask(POST => '/clients', json => {name => 'x' x 59});
is $long->error . " $long->{json}{error}{message}", '400 invalid_request name Must be at most 58 bytes long.', '... and no longer';
is named($admin, 'dave'), 'dave', 'where all clients are seen, names are what is said';
is $admin->ask(DELETE => '/clients/carol')->{status}, 204, 'a client is removed';
is chat($base, 'guarded', key => $key, model => 'gpt-x')->{status}, 401, '... and its key refused at once';

# --- Numbers -------------------------------------------------------------------------------------

my $stats = $admin->ask(GET => '/pools/main/stats')->{json};
is scalar @{$stats->{series}}, 60, 'an hour has 60 minutes';
is $stats->{series}[-1]{requests} + $stats->{series}[-2]{requests}, $admin->ask(GET => '/pools/main')->{json}{requests}, '... of which the last ones have it all';
is $stats->{models}[0]{model}, 'gpt-x', '... by model';
is scalar @{$admin->ask(GET => '/pools/main/stats?range=24h')->{json}{series}}, 24, 'a day has 24 hours';
# Whose a request is that was not served
my @broken = map { chat($base, $_)->{status} } qw(wrong wrong wrong refused failing);
is_deeply \@broken, [400, 400, 400, 401, 500], 'requests that are not served';
for (['wrong', 3, 0, undef, 'client'], ['refused', 1, 1, 0, 'key'], ['failing', 1, 1, 0, 'upstream']) {
    my ($pool, $requests, $errors, $rate, $kind) = @$_;
    my $of = $admin->ask(GET => "/pools/$pool/stats")->{json};
    my $kinds = {client => 0, key => 0, upstream => 0, $kind => $requests};
    is_deeply [@$of{qw(requests errors success_rate kinds)}], [$requests, $errors, $rate, $kinds], "... are told by whose they are: $kind";
    is $of->{series}[-1]{kinds}{$kind} + $of->{series}[-2]{kinds}{$kind}, $requests, '... over time';
    is_deeply [@{$admin->ask(GET => "/pools/$pool")->{json}}{qw(errors success_rate)}], [$errors, $rate], '... in the sums';
    is $admin->ask(GET => "/requests?pool=$pool")->{json}{requests}[0]{fault}, $kind, '... and one by one';
    like request(GET => '/metrics', base => $base)->{content}, qr/^apipool_errors_total\{pool="$pool",kind="$kind"\} $requests$/m, '... and in the metrics';
}
is $admin->ask(GET => '/pools/wrong/keys')->{json}{keys}[0]{success_rate}, undef, 'a client lowers no rate of a key';

my @requests = @{$admin->ask(GET => '/requests?pool=main')->{json}{requests}};
is_deeply [@{$requests[-1]}{qw(pool model endpoint status outcome usage attempts)}],
    ['main', 'gpt-x', 'chat', 401, 'failed', 'none', 1], 'requests are remembered';
cmp_ok $requests[0]{number}, '>', $requests[-1]{number}, '... the newest first';
is scalar @{$admin->ask(GET => '/requests?limit=1')->{json}{requests}}, 1, '... as many as are asked for';

# One that arrives first and ends last: it waits for its body, which nobody sends before the other one has ended.
my $early = IO::Socket::INET->new(PeerAddr => $base =~ s{^http://}{}r) or die;
print {$early} "POST /untold/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 17\r\n"
    . "Expect: 100-continue\r\nConnection: close\r\n\r\n";
like <$early>, qr/^HTTP\S+ 100 /, 'a request begins';
is chat($base, 'untold', model => 'late')->{status}, 200, '... then another one, which ends first';
print {$early} '{"model":"early"}';
is scalar(grep {m{^HTTP\S+ 200 }} <$early>), 1, '... and then it ends, too';
@requests = @{$admin->ask(GET => '/requests?pool=untold')->{json}{requests}};
is_deeply [map { $_->{model} } @requests[0, 1]], ['late', 'early'], 'the one that arrived last is listed first';
is_deeply [map { $_->{at} } @requests], [sort { $b cmp $a } map { $_->{at} } @requests], '... and all others in the same order';

# --- What is written down ------------------------------------------------------------------------

my $log = $admin->{httpd}->log;
my $who = 'AP0120: audit: user "alice" from 127\.0\.0\.1:';
like $log, qr/$who $_/, "written down: $_"
    for "key edited \\( label weight account limits \\) in pool main: $id",
    "action disable on keys of pool main \\(2\\): $ids[0] $ids[1]", "key deleted in pool main, although a key file has it: $rejected->{id}",
    'keys imported into pool mine \(3000 added, 0 updated, 0 duplicates, 0 invalid\): (?:[0-9a-f]{16} ){20}and 2980 more',
    'client carol created', 'client carol edited \( models rpm \)', 'client carol edited \( concurrency \)', 'client carol deleted';
is index($log, $_), -1, 'no secret is' for @keys, $bad, $key, 'sk-ok-more-1-aaaaaaaa', 'sk-ok-many-' . '0' x 31 . '7';

is $admin->{httpd}->faults, '', 'nothing went wrong inside';

# --- Keys that are deleted although a file has them ---

subtest 'a deleted key stays away until it is added by hand' => sub {
    my $httpd = $admin->{httpd};
    my $mine = sub { [map { $_->{masked} } @{$admin->ask(GET => '/pools/mine/keys?sort=label')->{json}{keys}}] };
    my $restart = sub {
        my $from = length $httpd->log;
        $httpd->restart;
        return join "\n", substr($httpd->log, $from) =~ /AP0176: (pool mine.*)/g;
    };
    $admin->ask(POST => '/pools/mine/keys/actions', json => {action => 'delete', filter => {}});
    my @listed = map {"sk-ok-listed-$_-aaaaaaaa"} 1 .. 3;
    $admin->ask(POST => '/pools/mine/keys', type => 'text/plain', content => 'sk-ok-by-hand-1-bbbbbbbb');
    spew("$httpd->{dir}/mine", join "\n", @listed, '');
    is $restart->(), '', 'nothing is passed over';
    is scalar @{$mine->()}, 4, '... and all keys are there';
    my $deleted = $admin->ask(POST => '/pools/mine/keys/actions', json => {action => 'delete', filter => {state => 'active'}})->{json};
    is_deeply $deleted, {matched => 4, done => 4, failed => [], in_key_files => 3}, 'the answer says how many key files have';
    like $httpd->log, qr/action delete on keys of pool mine \(4, 3 of them in key files\)/, '... and so does the log';
    for (1 .. 2) {
        like $restart->(), qr/pool mine: .*\/mine: 3 lines passed over: an operator has deleted their keys/, 'a reload says what it passes over';
        is_deeply $mine->(), [], '... and brings no key back';
    }
    $httpd->stop;
    $httpd->start;
    is_deeply $mine->(), [], '... nor does a start';
    unlike `strings -a $httpd->{dir}/store/keys-* | grep sk-`, qr/sk-/, 'the store has no key in clear';
    my $again = $admin->ask(POST => '/pools/mine/keys', type => 'text/plain', content => $listed[0])->{json};
    is $again->{added}, 1, 'a key is added by hand again';
    like $restart->(), qr/: 2 lines passed over/, '... which lifts its deletion';
    is scalar @{$mine->()}, 1, '... and it stays';
    spew("$httpd->{dir}/mine", "$listed[0]\n");
    is $restart->(), '', 'a deletion of a key that no file has is forgotten';
    spew("$httpd->{dir}/mine", "$listed[0]\n$listed[1]\n");
    $restart->();
    is scalar @{$mine->()}, 2, '... so that a new line in a file counts';
    is_deeply [@{$admin->ask(POST => '/pools/mine/keys/actions', json => {action => 'delete', filter => {}})->{json}}{qw(done in_key_files)}], [2, 2],
        'those are deleted again';
};

subtest 'a client gets another key' => sub {
    my ($httpd, $path, $first) = ($admin->{httpd}, '/clients/dora', $admin->ask(POST => '/clients', json => {name => 'dora', rpm => 100})->{json}{key});
    my $accepted = sub { [map { chat($base, 'guarded', key => $_, model => 'gpt-x')->{status} } @_] };
    my $rotate = sub { $admin->ask(POST => "$path/rotate", json => {@_})->{json} };
    is $admin->ask(GET => $path)->{json}{old_until}, undef, 'at first there is one key';
    my $answer = $rotate->();
    my $second = $answer->{key};
    isnt $second, $first, 'the answer has a new one';
    like $answer->{old_until}, qr/\A\d{4}-\d\d-\d\dT[\d:]+Z\z/, '... and says until when the old one is valid';
    is_deeply $accepted->($first, $second), [200, 200], 'both are accepted';
    my $dora = $admin->ask(GET => $path)->{json};
    is_deeply [@{$dora}{qw(rpm old_until key)}, @{$dora->{usage}}{qw(requests rpm)}], [100, $answer->{old_until}, undef, 2, 2], '... as the same client';
    kill STOP => $httpd->pid;
    my @all = ($httpd->pid, $httpd->children);
    kill KILL => @all;
    wait_for(sub { !grep { kill 0 => $_ } @all }, 10);
    unlink "$httpd->{dir}/httpd.pid";
    $httpd->start;
    $admin->sign_in;
    is_deeply $accepted->($first, $second), [200, 200], '... also after a kill and a start';
    is $admin->ask(GET => $path)->{json}{old_until}, $answer->{old_until}, '... until the same time';
    my $third = $rotate->(overlap => 60)->{key};
    is_deeply $accepted->($first, $second, $third), [401, 200, 200], 'another rotation ends the older of the old ones';
    is $admin->ask(DELETE => "$path/old-key")->{status}, 204, 'the old one is ended';
    is_deeply $accepted->($second, $third), [401, 200], '... and is accepted no longer';
    is $admin->ask(GET => $path)->{json}{old_until}, undef, '... nor shown';
    my $fourth = $rotate->(overlap => 0);
    is $fourth->{old_until}, undef, 'without an overlap';
    is_deeply $accepted->($third, $fourth->{key}), [401, 200], '... the old one ends at once';
    is $admin->ask(POST => "$path/rotate", json => {overlap => 90 * 86400 + 1})->error, '400 invalid_request overlap', 'after 90 days at the latest';
    is $admin->ask(POST => '/clients/nobody/rotate', json => {})->error, '404 client_not_found', 'there has to be one';
    $admin->ask(DELETE => $path);
};

done_testing;
