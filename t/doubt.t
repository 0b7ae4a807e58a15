# SPDX-License-Identifier: Apache-2.0
# No client takes keys out: neither with credentials and methods of its own, nor with requests that are refused
# for what they are. Keys that are at fault go all the same.
use strict;
use warnings;

use APIPoolTest qw(pool_server metrics wait_for spew upstream_since send_raw error_code background parallel chat);
use IO::Compress::Gzip qw(gzip);
use Test::More;
use Time::HiRes qw(sleep time);

my $KEYS = 8;
my $ASKED_EVERY = 10; # seconds, of one key
my %words;

sub upstream {
    my ($name, $options) = @_;
    return join ' ', 'http://127.0.0.1:@PORT@/mock/' . "$name/v1", $options || ();
}

# Keys of a pool, by words for all of them.
sub keys_of {
    my ($pool, $words, $count) = @_;
    return [map { sprintf 'sk-%s-%s-%02d-xxxxxxxx', $words, $pool, $_ } 1 .. $count || $KEYS];
}

sub pool {
    my ($name, $words, %more) = @_;
    return ($name => {
            keys => keys_of($name, $words, delete $more{count}),
            upstreams => [upstream($name, delete $more{options})],
            lines => join("\n    ", 'APIPoolStrategy round-robin', 'APIPoolRecover 60 60', delete $more{lines} || ()),
            %more
        });
}

my $httpd = pool_server(
    {   pool('forms', 'fooled'),
        pool('gemini', 'fooled', upstreams => [upstream('gemini/openai', 'provider=gemini')]),
        pool('openai', 'fooled', options => 'provider=openai'),
        pool('rejected', 'fooled'),
        pool('spent', 'fooled402'),
        pool('flood', 'fooled'),
        pool('one', 'fooled', count => 1),
        pool('mute', 'fooled-GET404'),
        pool('fresh', 'POST401-GET404', count => 2),
        pool('honest', 'ok'),
        pool('closed', 'ok', count => 2),
        (map { pool("outage$_", 'ok') } qw(401 quota402)),
        (map { pool("models$_", 'ok', count => 2) } 401, 402, 403, 429),
        pool('random', 'fooled'),
        pool('first', 'ok', count => 3, lines => 'APIPoolStrategy fill-first'),
        pool('pass', 'ok'),
        token => {keys => ['sk-ant-oat01-ok-xxxxxxxxxxxx'], upstreams => [upstream('token', 'provider=anthropic')]},
        pool('wait', 'fooled', count => 2, lines => 'APIPoolWait 5'),
        mixed => {
            keys => {a => keys_of('mixed-a', 'fooled', 2), b => keys_of('mixed-b', 'ok', 1)},
            upstreams => [upstream('a', 'name=a'), upstream('b', 'name=b priority=1')],
        },
    },
    config => <<'CONF'
MergeTrailers On
MockLLMRecord @DIR@/upstream.jsonl
MockLLMWords @DIR@/words
<Location "/mock">
    SetHandler mock-llm
</Location>
CONF
);

# What the upstream does with keys from now on: (KEY => words, ...).
sub script {
    my (%more) = @_;
    %words = (%words, %more);
    my $text = join '', map {"$_ $words{$_}\n"} grep { length $words{$_} } sort keys %words;
    spew("$httpd->{dir}/words.new", $text);
    rename "$httpd->{dir}/words.new", "$httpd->{dir}/words" or die "$!\n";
    return;
}

sub mark {
    return -s "$httpd->{dir}/upstream.jsonl" || 0;
}

sub since {
    my ($mark) = @_;
    return upstream_since($mark, "$httpd->{dir}/upstream.jsonl");
}

sub states {
    my ($pool) = @_;
    my $states = metrics($httpd->{base})->states($pool);
    return {map { ($_ => $states->{$_}) } grep { $states->{$_} } keys %$states};
}

# From here on every key of the pool has served.
sub warm {
    my ($pool, $count) = @_;
    my @statuses = map { chat($httpd, $pool)->{status} } 1 .. $count || $KEYS;
    is_deeply [grep { $_ != 200 } @statuses], [], "$pool: all keys serve";
    return;
}

sub hostile {
    my ($pool, %options) = @_;
    return scalar chat($httpd, $pool, headers => {'X-Anything' => 'foreign'}, %options);
}

my @fields = qw(Ocp-Apim-Subscription-Key Ocp-Apim-Trace Subscription-Key Api-Key X-Api-Key ApiKey X-Goog-Api-Key
    Proxy-Authorization X-Auth-Token X-Access-Token X-Serverless-Authorization X-LiteLLM-Api-Key x-portkey-api-key
    x-portkey-custom-host Helicone-Auth Helicone-Target-Url cf-aig-authorization CF-Access-Client-Secret
    X-Amz-Security-Token X-Goog-User-Project X-Goog-Iam-Authorization-Token X-Goog-Iam-Authority-Selector
    X-Goog-Authenticated-User-Email OpenAI-Organization OpenAI-Project Cookie Origin Referer X-Forwarded-User
    X-HTTP-Method-Override X-HTTP-Method X-Method-Override X-Original-URL X-Rewrite-URL
    x_api_key X_Http_Method_Override OCP_APIM_SUBSCRIPTION_KEY Token XI-Api-Key);
my @arguments = qw(key KEY %6bey k%65y +key key[] key%5B%5D $key %24key api_key api-key apikey access_token
    access%5Ftoken oauth_token bearer_token subscription-key subscription%2Dkey authorization x-api-key
    $httpMethod %24httpMethod $httpHeaders _method X-HTTP-Method-Override X-Amz-Signature token);

subtest 'a client has no credentials, no name and no method but those of its request' => sub {
    for my $field (@fields, 'Authorization') {
        is chat($httpd, 'forms', headers => {$field => 'foreign'})->{status}, 200, "the field $field";
    }
    for my $argument (@arguments) {
        is chat($httpd, 'forms', query => "$argument=foreign")->{status}, 200, "the argument $argument";
        is chat($httpd, 'forms', query => "a=1;$argument=foreign;b=2&c")->{status}, 200, '... between semicolons';
    }
    is_deeply states('forms'), {active => $KEYS}, 'all keys are there';
    for my $argument (qw($ct %24ct $req quotaUser $quotaUser userIp userProject)) {
        is chat($httpd, 'gemini', query => "$argument=foreign")->{status}, 200, "gemini: the argument $argument";
    }
    for my $field (qw(X-Goog-AuthUser X-Goog-Quota-User X-Firebase-AppCheck X-Origin X-Referer)) {
        is chat($httpd, 'gemini', headers => {$field => 'foreign'})->{status}, 200, "gemini: the field $field";
    }
    is chat($httpd, 'openai', headers => {'ChatGPT-Account-Id' => 'foreign'})->{status}, 200, 'openai: ChatGPT-Account-Id';
    is_deeply states($_), {active => $KEYS}, "$_: all keys are there" for qw(gemini openai);
};

subtest 'nor do trailers and the field Connection help' => sub {
    my $mark = mark();
    my $head = "POST /forms/chat/completions HTTP/1.1\r\nHost: x\r\n";
    like send_raw("${head}Connection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Api-Key\r\n\r\n"
            . "d\r\n{\"model\":\"m\"}\r\n0\r\nX-Api-Key: foreign\r\nOcp-Apim-Subscription-Key: foreign\r\n\r\n",
        port => $httpd->{port}), qr/^HTTP\/1\.1 200 /, 'a trailer';
    for my $named ('Authorization', 'Authorization, X-Api-Key', 'Host, Authorization') {
        like send_raw("${head}Connection: close, $named\r\nContent-Length: 13\r\nX-Api-Key: foreign\r\n\r\n{\"model\":\"m\"}",
            port => $httpd->{port}), qr/^HTTP\/1\.1 200 /, "the key is sent though Connection names $named";
    }
    my @seen = since($mark);
    is scalar(grep { ($_->{headers}{authorization} // '') =~ /^Bearer sk-fooled-forms-\d\d-x+\z/ } @seen), 4, '... really';
    is_deeply states('forms'), {active => $KEYS}, 'all keys are there';
};

subtest 'what a vendor needs of a client passes' => sub {
    my %fields = (
        'anthropic-version' => '2023-06-01', 'anthropic-beta' => 'a,b', 'openai-beta' => 'assistants=v2',
        'x-goog-api-client' => 'gl-python/3.12', 'x-goog-upload-command' => 'start', 'http-referer' => 'https://example.org/',
        'x-title' => 'A title', 'x-stainless-lang' => 'js', 'idempotency-key' => 'k-1', 'x-request-id' => 'r-1',
        'x-ms-client-request-id' => 'm-1', 'content-type' => 'application/json', 'x-tokens' => 't',
    );
    my $args = 'alt=sse&api-version=2024-10-21&model=gpt%2D4o&deployment=x&include[]=a&monkey=1&keys=2&q=a%26key%3Db'
        . '&after=b_1&=&&%zz=%&pageToken=a%3D%3D;$alt=json&max_tokens=3';
    my $mark = mark();
    is chat($httpd, 'pass', headers => \%fields, query => $args)->{status}, 200, 'a request with all of it';
    my ($seen) = since($mark);
    is $seen->{unparsed_uri}, "/mock/pass/v1/chat/completions?$args", '... and the query as it was';
    is_deeply {map { ($_ => $seen->{headers}{$_}) } keys %fields}, \%fields, '... and the fields';
    $mark = mark();
    chat($httpd, 'pass', query => "a=%3D;key=x&b=+&$args&%6Bey=y");
    ($seen) = since($mark);
    is $seen->{unparsed_uri}, "/mock/pass/v1/chat/completions?a=%3D&b=+&$args", 'what is taken off leaves the rest';
    $mark = mark();
    chat($httpd, 'pass', query => 'key=x&access_token=y');
    ($seen) = since($mark);
    is $seen->{unparsed_uri}, '/mock/pass/v1/chat/completions', '... or no query at all';
};

subtest 'an OAuth token of Anthropic goes as Bearer' => sub {
    for my $case (['', 'oauth-2025-04-20'], ['oauth-2025-04-20', 'oauth-2025-04-20'], ['a', 'oauth-2025-04-20,a'],
        ['a,oauth-2025-04-20,b', 'a,oauth-2025-04-20,b'])
    {
        my ($own, $expected) = @$case;
        my $mark = mark();
        my %headers = ('x-api-key' => 'foreign', length $own ? ('anthropic-beta' => $own) : ());
        is chat($httpd, 'token', path => '/messages', headers => \%headers)->{status}, 200, "a client with the betas <$own>";
        my ($seen) = since($mark);
        is $seen->{headers}{authorization}, 'Bearer sk-ant-oat01-ok-xxxxxxxxxxxx', '... as Authorization';
        ok !exists $seen->{headers}{'x-api-key'}, '... and in no other field';
        is $seen->{headers}{'anthropic-beta'} =~ s/, +/,/gr, $expected, '... and its beta is asked for once';
    }
};

for my $case (['rejected', 401, 'incorrect'], ['spent', 402, 'insufficient balance']) {
    my ($pool, $status, $message) = @$case;
    subtest "a client is refused with $status whatever the key: the answer passes, no key goes" => sub {
        warm($pool);
        my $mark = mark();
        for (1 .. 6) {
            my $answer = hostile($pool);
            is $answer->{status}, $status, 'the client gets what the upstream says';
            like $answer->{content}, qr/$message/i, '... as it says it';
        }
        is_deeply states($pool), {active => $KEYS}, 'no key changes its state';
        wait_for(sub { (grep { $_->{method} eq 'GET' } since($mark)) >= $KEYS }, 8);
        my %asked;
        $asked{$_->{key}}++ for grep { $_->{method} eq 'GET' } since($mark);
        is_deeply [sort keys %asked], keys_of($pool, $status == 401 ? 'fooled' : 'fooled402'), 'every key is asked about';
        is_deeply states($pool), {active => $KEYS}, '... and stays';
        is hostile($pool)->{status}, $status, 'the same client comes again';
        is_deeply states($pool), {active => $KEYS}, '... in vain';
        is chat($httpd, $pool)->{status}, 200, 'others are served';
    };
}
like $httpd->log, qr/apipool:info\].*key \w{16}: R06 \(401\), active, in doubt/, 'the log tells of the doubt';
like $httpd->log, qr/apipool:info\].*key \w{16}: R06 may be the request's fault, a probe will ask/, '... and of the probe';

subtest 'many such requests make no more probes than one in ten seconds for each key' => sub {
    warm('flood');
    my ($mark, $begun) = (mark(), time);
    my %statuses;
    while (time < $begun + 4) {
        $statuses{hostile('flood')->{status}}++;
        is chat($httpd, 'flood')->{status}, 200, 'others are served' if $statuses{401} % 50 == 1;
    }
    sleep 1.5;
    my $took = time - $begun;
    is_deeply [keys %statuses], [401], 'each one passes';
    my %asked;
    $asked{$_->{key}}++ for grep { $_->{method} eq 'GET' && $_->{uri} =~ /flood/ } since($mark);
    my $most = 1 + int($took / $ASKED_EVERY);
    is_deeply [grep { $asked{$_} > $most } keys %asked], [], "in $took s $statuses{401} requests had at most $most probes of a key";
    ok %asked > 0, '... and some';
    is_deeply states('flood'), {active => $KEYS}, 'all keys are there';
};

subtest 'a key that is alone is not lost to a client either, but to a probe' => sub {
    my ($key) = @{keys_of('one', 'fooled', 1)};
    warm('one', 1);
    is hostile('one')->{status}, 401, 'a client is refused';
    is_deeply states('one'), {active => 1}, 'the key stays';
    is chat($httpd, 'one')->{status}, 200, '... and serves';
    sleep $ASKED_EVERY + 1;
    script($key => '401');
    is chat($httpd, 'one')->{status}, 401, 'now it is invalid';
    ok wait_for(sub { (states('one')->{invalid} // 0) == 1 }, 5), '... which a probe finds out';
};

subtest 'where nothing can be asked, the same refusal of two clients counts' => sub {
    my @keys = @{keys_of('mute', 'fooled-GET404')};
    my $lost = sub { states('mute')->{invalid} // 0 };
    my $spoken = sub { # a probe has been told of that many keys that it cannot tell
        my ($mark, $count) = @_;
        wait_for(sub { (grep { $_->{method} eq 'GET' && $_->{uri} =~ /mute/ } since($mark)) >= $count }, 30);
        sleep 0.3;
    };
    warm('mute');
    my $mark = mark();
    is hostile('mute')->{status}, 401, 'one client is refused';
    $spoken->($mark, 4);
    is hostile('mute')->{status}, 401, '... again and again' for 1 .. 6;
    is $lost->(), 0, 'no key is lost to it';
    is chat($httpd, 'mute', from => '127.0.0.2')->{status}, 200, 'another one is served' for 1 .. $KEYS;
    is hostile('mute', from => '127.0.0.2')->{status}, 401, '... and refused, by keys that have served since';
    is $lost->(), 0, 'none is lost to that';
    $mark = mark();
    sleep $ASKED_EVERY + 1;
    script(map { ($_ => 'POST401') } @keys);
    is chat($httpd, 'mute')->{status}, 401, 'now all are invalid, one client finds' for 1 .. 2;
    $spoken->($mark, $KEYS);
    is $lost->(), 0, '... which does not count';
    is chat($httpd, 'mute', from => '127.0.0.3', model => 'other')->{status}, 401, '... and another one' for 1 .. 2;
    is $lost->(), 0, '... nor does that: an upstream that rejects every key is at fault';
    is chat($httpd, 'fresh')->{status}, 401, 'of two keys that never served, one client finds the same';
    ok wait_for(sub { (grep { $_->{method} eq 'GET' && $_->{uri} =~ /fresh/ } since($mark)) >= 2 }, 5), '... and no probe can tell';
    sleep 0.3;
    is chat($httpd, 'fresh', from => '127.0.0.3')->{status}, 401, 'another client finds it for the same model';
    is_deeply states('fresh'), {active => 2}, '... which may be the model';
    is chat($httpd, 'fresh', from => '127.0.0.3', model => 'other')->{status}, 401, '... and for another one';
    is_deeply states('fresh'), {invalid => 2}, '... which may not';
};

subtest 'a key that is at fault is replaced within the request, and lost' => sub {
    my ($key, $other) = @{keys_of('honest', 'ok')};
    warm('honest');
    script($key => '401');
    my @answers = map { scalar chat($httpd, 'honest') } 1 .. $KEYS;
    is_deeply [grep { $_ != 200 } map { $_->{status} } @answers], [], 'all clients are served';
    is scalar(grep { $_->{headers}{'x-apipool-attempts'} == 2 } @answers), 1, '... one of them with a second key';
    is_deeply states('honest'), {active => $KEYS - 1, invalid => 1}, 'the key is lost at once: its credential is called invalid';
    script($other => 'quota402');
    chat($httpd, 'honest') for 1 .. $KEYS;
    ok wait_for(sub { (states('honest')->{quota} // 0) == 1 }, 5), '... and one that is spent when a probe is told so, too';
    is states('honest')->{active}, $KEYS - 2, '... and no other';
};
like $httpd->log, qr/apipool:info\].*key \w{16}: R05 for a model that another key serves, rests for this model/, 'the log tells';
like $httpd->log, qr/apipool:warn\].*key \w{16}: R06 is the key's fault, invalid/, '... of both';

# What SiliconFlow, gateways and hubs say of a model that is not for this account.
for my $status (401, 402, 403, 429) {
    subtest "a model that is refused to a key with $status takes it out for this model only" => sub {
        my $pool = "models$status";
        my ($key, $other) = @{keys_of($pool, 'ok', 2)};
        script($key => "pro$status", $other => "pro$status");
        my @pro = map { chat($httpd, $pool, model => 'Pro/x')->{status} } 1 .. 4;
        is_deeply \@pro, [($status) x 4], 'a model that no key may use: the upstream says so';
        is_deeply [map { chat($httpd, $pool)->{status} } 1 .. 4], [(200) x 4], '... and serves another one';
        script($other => '');
        my @answers = map { scalar chat($httpd, $pool, model => 'Pro/x') } 1 .. 6;
        is_deeply [map { $_->{status} } @answers], [(200) x 6], 'a model that one key may use is served';
        is scalar(grep { $_->{headers}{'x-apipool-attempts'} == 2 } @answers), 1, '... after one detour';
        my $mark = mark();
        chat($httpd, $pool) for 1 .. 4;
        my %served = map { $_->{key} => 1 } grep { $_->{method} eq 'POST' } since($mark);
        is_deeply [sort keys %served], [sort $key, $other], '... and both keys serve another one';
        is_deeply states($pool), {active => 2}, '... for none is lost';
    };
}

for my $case ([401 => '401'], [402 => 'quota402']) {
    my ($status, $word) = @$case;
    subtest "an upstream that says $status to every key is at fault itself" => sub {
        my $pool = "outage$word";
        my @keys = @{keys_of($pool, 'ok')};
        warm($pool);
        script(map { ($_ => $word) } @keys);
        my $mark = mark();
        my @statuses = map { chat($httpd, $pool)->{status} } 1 .. 12;
        is_deeply [grep { $_ != $status } @statuses], [], 'clients get what it says';
        wait_for(sub { (grep { $_->{method} eq 'GET' && $_->{uri} =~ /$pool/ } since($mark)) >= 4 }, 5);
        sleep 0.3;
        is_deeply states($pool), {active => $KEYS}, 'no key is lost, be it to a probe';
        cmp_ok scalar(grep { $_->{method} eq 'POST' } since($mark)), '<', 12 + 2 * $KEYS, '... nor is every key tried each time';
        script(map { ($_ => '') } @keys);
        is_deeply [map { chat($httpd, $pool)->{status} } 1 .. $KEYS], [(200) x $KEYS], 'all serve as soon as it does';
    };
    like $httpd->log, qr/R08 \($status\), active/, 'the log tells';
}


# APIPOOL_TEST_FULL=1 sends 10,000. The same without httpd is t/unit/property.c's.
subtest 'random requests that are at fault leave all keys to an honest client' => sub {
    my %foreign = ('X-Anything' => 'foreign');
    my %gzipped = (%foreign, 'Content-Encoding' => 'gzip');
    my $any = sub { return $_[rand @_] };
    my $model = sub { return $any->('m', 'gpt-4', '', 'm' . int rand 1000, "m\\u0000" . chr(97 + rand 26), 'x' x rand 300) };
    my $packed = sub { gzip(\$_[0], \my $to); return $to };
    my $body = sub { return sprintf '{"model":"%s","stream":%s}', $model->(), $any->('true', 'false', '1', 'nul') };
    my $cut = sub { return substr $_[0], 0, rand length $_[0] };
    my $in_chunks = sub { my @rest = @_; return sub { return shift @rest } };
    my @credentials = map { my $how = $_; sub { $how . $any->('foreign', 'sk-' . 'x' x rand 40, '%ff', '') } }
        ('', 'Bearer ', 'bearer', 'Basic ', 'Digest ');
    my @forms = (
        sub { (headers => {%foreign, $any->(@fields) => 'foreign'}) },
        sub { (headers => {%foreign, Authorization => $any->(@credentials)->() =~ s/\A\s+|\s+\z//gr}) },
        sub { (headers => \%foreign, query => $any->(@arguments) . '=' . $any->('foreign', '', '%00', 'a%26b')) },
        sub { (headers => \%foreign, model => $model->(), query => 'x=foreign') },
        sub { (headers => \%foreign, content => $cut->($body->())) },
        sub { (headers => \%gzipped, content => $packed->($body->())) },
        sub { (headers => \%gzipped, content => $cut->($packed->($body->()))) },
        sub { (headers => \%gzipped, content => "\x1f\x8b\x08\xff" . $body->()) },
        sub { (headers => {%foreign, 'Content-Encoding' => $any->('zstd', 'br', 'gzip, gzip', 'x')}, content => $body->()) },
        sub { (headers => \%foreign, content => $in_chunks->($any->('', '{'), $body->())) },
        sub { (headers => {%foreign, 'Content-Type' => $any->('text/plain', 'a', 'multipart/form-data')}, content => "model=m&x=\xff") },
    );
    my $count = $ENV{APIPOOL_TEST_REQUESTS} || ($ENV{APIPOOL_TEST_FULL} ? 10_000 : 120);
    warm('random');
    my %statuses;
    for my $result (parallel(4, sub {
        my ($number) = @_;
        srand 20_170 + $number;
        my %seen;
        $seen{chat($httpd, 'random', $any->(@forms)->(), from => '127.0.0.' . (2 + int rand 3))->{status}}++ for 1 .. $count / 4;
        return %seen;
    }))
    {
        my %seen = @$result;
        $statuses{$_} += $seen{$_} for keys %seen;
    }
    note join ', ', map {"$statuses{$_} times $_"} sort keys %statuses;
    is $statuses{599}, undef, 'each is answered';
    cmp_ok $statuses{401} // 0, '>', $count / 3, 'many are refused by the upstream';
    is_deeply [map { chat($httpd, 'random')->{status} } 1 .. $KEYS], [(200) x $KEYS], "it is served after $count of them";
    is_deeply states('random'), {active => $KEYS}, '... and all keys are there';
};

# Of two keys: refusals of three tell of an upstream, those of two may be two bad keys.
subtest 'all keys are at fault: probes find out' => sub {
    warm('closed', 2);
    script(map { ($_ => '401') } @{keys_of('closed', 'ok', 2)});
    my $begun = time;
    my %statuses;
    wait_for(sub { $statuses{chat($httpd, 'closed')->{status}}++; (states('closed')->{invalid} // 0) == 2 }, 15);
    is_deeply states('closed'), {invalid => 2}, sprintf 'after %.1f s', time - $begun;
    ok delete $statuses{401}, 'meanwhile clients get the upstream\'s answer';
    is_deeply [grep { $_ != 503 } keys %statuses], [], '... or that there is no key';
    is error_code(scalar chat($httpd, 'closed')), 'pool_exhausted', 'now there is none';
};

subtest 'two at once are lost where a third one serves again and again' => sub {
    my @keys = @{keys_of('first', 'ok', 3)};
    for my $i (0 .. 2) {
        script(map { ($keys[$_] => $_ == $i ? '' : '429-retry1') } 0 .. 2);
        chat($httpd, 'first');
        sleep 1.2;
    }
    script($keys[0] => 'POSTquota', $keys[1] => 'POSTquota', $keys[2] => '');
    is chat($httpd, 'first')->{status}, 200, 'the third one serves';
    is_deeply states('first'), {active => 3}, 'nobody is blamed yet';
    my $models = 0;
    ok wait_for(sub { chat($httpd, 'first', model => 'other' . $models++)->{status} == 200 or die; (states('first')->{quota} // 0) == 2 }, 5),
        '... until a probe could not tell and another model is refused';
};

subtest 'a request waits for a key that cools rather than for one that has refused it' => sub {
    my ($key, $cooling) = @{keys_of('wait', 'fooled', 2)};
    my $cool = sub {
        script($cooling => '429-retry3');
        is chat($httpd, 'wait')->{status}, 200, 'one key cools' for 1 .. 2;
        script($cooling => '');
    };
    warm('wait', 2);
    $cool->();
    my $hostile = background(sub { hostile('wait')->{status}, time });
    sleep 0.5;
    is chat($httpd, 'wait')->{status}, 200, 'others are served' for 1 .. 3;
    my $served = time;
    my ($status, $done) = $hostile->();
    is $status, 401, 'what is refused by both is refused';
    cmp_ok $done - $served, '>', 0.5, '... and has kept nobody waiting';
    is_deeply states('wait'), {active => 2}, '... and takes no key out';
    $cool->();
    script($key => '401');
    my $answer = chat($httpd, 'wait');
    is $answer->{status}, 200, 'the other key serves when it is back';
    is $answer->{headers}{'x-apipool-attempts'}, 2, '... after one that refuses';
    is_deeply states('wait'), {active => 1, invalid => 1}, '... which is lost';
};

subtest 'another upstream that serves says nothing of the first one' => sub {
    chat($httpd, 'mixed') for 1 .. 2;
    is hostile('mixed')->{status}, 200, 'the second upstream does not mind' for 1 .. 3;
    is_deeply states('mixed'), {active => 3}, 'all keys are there';
};

is $httpd->faults, '', 'nothing went wrong inside';

done_testing;
