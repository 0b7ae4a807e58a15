# SPDX-License-Identifier: Apache-2.0
# AuthType APIPool: whose key is valid where, what a client may, and what is said to the others.
use strict;
use warnings;

use APIPoolAdmin ();
use APIPoolTest qw(private_httpd request json error_code check_dir mock_port free_port closed_port slurp
    upstream_mark upstream_since parallel wait_for serve_raw read_request);
use Apache::Test ();
use Digest::SHA qw(sha1_base64);
use IO::Compress::Gzip qw(gzip);
use Test::More;
use Time::HiRes qw(time);
use Time::Local qw(timegm);

my $module = check_dir() . '/c-modules/clients/.libs/mod_clients.so';
my $upstream = 'http://127.0.0.1:' . mock_port() . '/v1';
my $dead = 'http://127.0.0.1:' . closed_port() . '/v1';
my @ports = map { free_port() } 1 .. 3;

# Takes a Background response, and has made it when it is read.
my $background = 'http://127.0.0.1:' . serve_raw(
    sub {
        my ($socket) = @_;
        my ($method) = (read_request($socket) // return) =~ /^(\w+)/;
        my $response = $method eq 'POST' ? '{"id":"resp_1","status":"queued","usage":null}'
            : '{"id":"resp_1","status":"completed","usage":{"input_tokens":7,"output_tokens":8,"total_tokens":15}}';
        print {$socket} "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ", length $response,
            "\r\nConnection: close\r\n\r\n$response";
    }
) . '/v1';

# Names as they are kept: in Unicode's NFC. The last one has 63 bytes.
my ($ZHANG, $JOSE, $LONG) = ("\xe5\xbc\xa0\xe4\xb8\x89", "Jos\xc3\xa9", "\xe5\xbc\xa0" x 21);

sub pool {
    my ($name, @lines) = @_;
    return join "\n    ", "<APIPool $name>", "APIPoolUpstream $upstream", "APIPoolKeyFile \@DIR\@/keys", @lines,
        "\n</APIPool>\n";
}

sub location {
    my ($path, @lines) = @_;
    return join "\n    ", "<Location \"$path\">", @lines, "\n</Location>\n";
}

my @ours = ('AuthType APIPool', 'Require valid-user');
my $clients = location('/clients', 'SetHandler clients');
my $httpd = private_httpd(
    files => {keys => "sk-ok-auth-aaaaaaaaaaaa\nsk-ok-auth-bbbbbbbbbbbb\n", passwords => 'carol:{SHA}' . sha1_base64('secret') . "=\n",
        admins => APIPoolAdmin::password_file(alice => 'wonderland')},
    config => join '',
    "LoadModule clients_module $module\n",
    "LogFormat \"%u %>s %{apipool-client}n %r %q\" users\nCustomLog \@DIR\@/access_log users\n",
    map({"Listen 127.0.0.1:$_\n"} @ports),
    pool('main'),
    pool('second'),
    pool('dead', 'APIPoolRetries 0') =~ s/\Q$upstream/$dead/r,
    pool('later') =~ s/\Q$upstream/$background/r,
    pool('leaving'),
    location('/later', 'APIPoolUse later', @ours),
    location('/leaving', 'APIPoolUse leaving', @ours),
    APIPoolAdmin::location('/apipool'),
    location('/v1', 'APIPoolUse main', @ours),
    location('/second', 'APIPoolUse second', @ours),
    location('/dead', 'APIPoolUse dead', @ours),
    location('/alice', 'APIPoolUse main', 'AuthType APIPool', 'Require user alice'),
    location('/zhang', 'APIPoolUse main', 'AuthType APIPool', qq(Require user "$ZHANG" "$JOSE")),
    location('/any-ip', 'APIPoolUse main', 'AuthType APIPool', '<RequireAny>', 'Require valid-user',
        'Require ip 127.0.0.1', '</RequireAny>'),
    location('/other-ip', 'APIPoolUse main', 'AuthType APIPool', '<RequireAny>', 'Require valid-user',
        'Require ip 192.0.2.1', '</RequireAny>'),
    location('/only-ip', 'APIPoolUse main', 'AuthType APIPool', 'Require ip 127.0.0.1'),
    location('/basic', 'APIPoolUse main', 'AuthType Basic', 'AuthName x', 'AuthUserFile @DIR@/passwords',
        'Require valid-user'),
    location('/plain', @ours, 'SetHandler server-status'),
    location('/foreign', @ours, 'Redirect 401'),
    $clients,
    "<VirtualHost 127.0.0.1:$ports[0]>\nServerName one.test\n", pool('own'), location('/own', 'APIPoolUse own', @ours),
    location('/shared', 'APIPoolUse main', @ours), location('/plain', @ours, 'SetHandler server-status'), $clients,
    "</VirtualHost>\n",
    "<VirtualHost 127.0.0.1:$ports[1]>\nServerName two.test\n", pool('own'), location('/own', 'APIPoolUse own', @ours),
    location('/shared', 'APIPoolUse main', @ours), $clients, "</VirtualHost>\n",
    # a customer with a pool of the name that the main server's has, whose location it inherits
    "<VirtualHost 127.0.0.1:$ports[2]>\nServerName three.test\n", pool('main'), location('/mine', 'APIPoolUse main', @ours),
    $clients, "</VirtualHost>\n",
);
my @bases = map {"http://127.0.0.1:$_"} $httpd->{port}, @ports;

# clients($do, name => ..., rpm => ...): calls the table of functions, of the main server or a virtual host.
sub clients {
    my ($do, %members) = @_;
    my $base = delete $members{base} || $bases[0];
    my $query = join '&', "do=$do", map { "$_=" . $members{$_} =~ s/([^\w.-])/sprintf '%%%02X', ord $1/ger } keys %members;
    my $answer = request(GET => "/clients?$query", base => $base);
    return json($answer->{content}) || die "no answer: $answer->{status} $answer->{content}\n";
}

# A time as the API has it, in seconds since 1970.
sub epoch {
    my ($year, $month, @rest) = $_[0] =~ /\A(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)Z\z/ or return 0;
    return timegm(reverse(@rest), $month - 1, $year);
}

my %key;

sub create {
    my ($name, %members) = @_;
    my $made = clients('create', name => $name, %members);
    die "$name: $made->{error}\n" if $made->{result} ne 'done';
    return $key{$name} = $made->{key};
}

sub ask {
    my ($path, $key, %options) = @_;
    my %headers = %{$options{headers} || {}};
    $headers{authorization} = "Bearer $key" if defined $key;
    return request(
        $options{method} || 'POST' => $path,
        base => $options{base} || $bases[0],
        content => $options{content} // '{"model":"m","max_tokens":10}',
        headers => \%headers
    );
}

# What a client has used.
sub usage_of {
    my ($name) = @_;
    return (grep { $_->{name} eq $name } @{clients('list')->{clients}})[0]{usage};
}

sub packed {
    gzip(\$_[0], \my $packed);
    return $packed;
}

sub refused {
    my ($answer, $status, $code, $what) = @_;
    is $answer->{status}, $status, "$what: $status";
    is error_code($answer), $code, "... $code";
    like $answer->{headers}{'content-type'}, qr{^application/json}, '... as JSON';
    return;
}

create('alice');
like $key{alice}, qr/\Aak-[A-Za-z0-9]{40}\z/, 'a key of the right form';

subtest 'a valid key is accepted in every form' => sub {
    my %forms = (
        bearer => {authorization => "Bearer $key{alice}"},
        'bearer, in other letters' => {authorization => "bearer  $key{alice} "},
        'x-api-key' => {'x-api-key' => $key{alice}},
        'api-key' => {'api-key' => $key{alice}},
        'x-goog-api-key' => {'x-goog-api-key' => $key{alice}},
        'beside another credential' => {authorization => 'Bearer something', 'x-api-key' => $key{alice}},
    );
    for my $form (sort keys %forms) {
        my $mark = upstream_mark();
        my $answer = ask('/v1/chat', undef, headers => $forms{$form});
        is $answer->{status}, 200, $form;
        my ($seen) = upstream_since($mark);
        unlike join(' ', values %{$seen->{headers}}), qr/\Q$key{alice}/, '... and not sent on';
    }
    my $mark = upstream_mark();
    is ask("/v1/models/x:generateContent?alt=sse&key=$key{alice}&a=b")->{status}, 200, 'the argument key';
    my ($seen) = upstream_since($mark);
    is $seen->{unparsed_uri}, '/v1/models/x:generateContent?alt=sse&a=b', '... and not sent on';
};

subtest 'a list of pools means those of the client\'s own server' => sub {
    my $base = $bases[3];
    create('customer', base => $base, pools => 'main');
    create('customer-of-all', base => $base);
    create('operator', pools => 'main');
    for my $name ('customer', 'customer-of-all') {
        is ask('/mine/chat', $key{$name}, base => $base)->{status}, 200, "$name: the virtual host's own pool";
        refused(ask('/v1/chat', $key{$name}, base => $base), 403, 'endpoint_not_allowed',
            "$name: the main server's pool of that name, by an inherited location");
    }
    refused(ask('/second/chat', $key{customer}, base => $base), 403, 'endpoint_not_allowed', 'one that is not listed');
    is ask('/second/chat', $key{'customer-of-all'}, base => $base)->{status}, 200, 'who has no list uses what the server sees';
    is ask('/v1/chat', $key{operator}, base => $base)->{status}, 200, "the main server's client uses its own pool from everywhere";
    is ask('/mine/chat', $key{operator}, base => $base)->{status}, 401, "... and is nobody at the virtual host's";
    create('listed', base => $bases[1], pools => 'main');
    is ask('/shared/chat', $key{listed}, base => $bases[1])->{status}, 200, "without one of its own, a name means the main server's";
    clients('delete', name => 'listed', base => $bases[1]);
};

subtest 'all else is 401, without telling why' => sub {
    create('off', enabled => 0);
    create('late', expires => 1000);
    create('soon', expires => time + 3600);
    is ask('/v1/chat', $key{soon})->{status}, 200, 'one that expires later is valid';
    my %bodies;
    my @cases = (
        [none => undef],
        [unknown => 'ak-' . 'x' x 40],
        ['another form' => 'sk-whatever'],
        ['cut off' => substr $key{alice}, 0, 42],
        ['too long' => "$key{alice}x"],
        ['switched off' => $key{off}],
        [expired => $key{late}],
    );
    for my $case (@cases) {
        my $answer = ask('/v1/chat', $case->[1]);
        refused($answer, 401, 'invalid_api_key', $case->[0]);
        is $answer->{headers}{'www-authenticate'}, 'Bearer', '... with a challenge';
        $bodies{$answer->{content}}++;
    }
    is scalar keys %bodies, 1, 'the same for all of them';
    my $basic = ask('/v1/chat', undef, headers => {authorization => 'Basic YTpi'});
    refused($basic, 401, 'invalid_api_key', 'Basic');
    is clients('change', name => 'off', enabled => 1)->{result}, 'done', 'switched on';
    is ask('/v1/chat', $key{off})->{status}, 200, '... it is valid';
    is clients('delete', name => 'off')->{result}, 'done', 'deleted';
    refused(ask('/v1/chat', $key{off}), 401, 'invalid_api_key', '... it is not');
};

subtest 'httpd\'s own authorization' => sub {
    create('bob');
    is ask('/alice/chat', $key{alice})->{status}, 200, 'Require user: the one';
    my $answer = ask('/alice/chat', $key{bob});
    refused($answer, 401, 'invalid_api_key', '... another one');
    is $answer->{headers}{'www-authenticate'}, 'Bearer', '... with a challenge';
    is ask('/any-ip/chat')->{status}, 200, 'RequireAny: by the address alone, without a key';
    is ask('/any-ip/chat', 'sk-whatever')->{status}, 200, '... with any credential';
    is ask('/any-ip/chat', $key{alice})->{status}, 200, '... with a key';
    refused(ask('/other-ip/chat'), 401, 'invalid_api_key', '... from elsewhere without a key');
    is ask('/other-ip/chat', $key{alice})->{status}, 200, '... from elsewhere with one';
    is ask('/only-ip/chat')->{status}, 200, 'by the address';
    is ask('/only-ip/chat', $key{alice})->{status}, 200, '... and known';
    is ask('/plain', $key{alice}, method => 'GET')->{status}, 200, 'a location without a pool';
    refused(ask('/plain', undef, method => 'GET'), 401, 'invalid_api_key', '... without a key');
    my $foreign = ask('/foreign', $key{alice});
    is $foreign->{status}, 401, 'a 401 that is not ours';
    like $foreign->{headers}{'content-type'}, qr{^text/html}, '... is what it was';
    is request(GET => '/basic/models', base => $bases[0] =~ s{//}{//carol:secret@}r)->{status}, 200, 'Basic';
    $httpd->stop;
    my @lines = split /\n/, slurp("$httpd->{dir}/access_log");
    is scalar(grep {m{^alice 200 alice POST /any-ip}} @lines), 1, '%u and the note are the name of who has a key';
    is scalar(grep {m{^- 200 - POST /any-ip}} @lines), 2, '... nothing of the others';
    is scalar(grep {m{^alice 200 alice POST /only-ip}} @lines), 1, '... where only an address is required as well';
    is scalar(grep {m{^bob 401 - POST /alice}} @lines), 1, 'whoever is not the required one is named';
    is scalar(grep {m{^carol 200 carol GET /basic}} @lines), 1, 'another AuthType names the client as well';
    is scalar(grep {m{/v1/models/x:\S*key=ak-\*{40}&a=b HTTP/1.1 \?alt=sse&key=ak-\*{40}&a=b$}} @lines), 1,
        'a key in the query is not logged';
    my $logs = join '', map { slurp("$httpd->{dir}/$_") } qw(access_log error_log);
    is scalar(grep { $logs =~ /\Q$_/ } values %key), 0, 'no log holds a key';
    $httpd->start;
    is ask('/v1/chat', $key{alice})->{status}, 200, 'clients outlast a stop';
};

subtest 'names of any script' => sub {
    create($_) for $ZHANG, $LONG;
    $key{$JOSE} = create("Jose\xcc\x81"); # e and an accent of its own, which NFC puts together
    is ask('/zhang/chat', $key{$_})->{status}, 200, 'Require user: a name of bytes outside ASCII' for $ZHANG, $JOSE;
    refused(ask('/zhang/chat', $key{$LONG}), 401, 'invalid_api_key', '... another one');
    is clients('create', name => $_)->{result}, 'exists', 'the name is taken, in whatever form' for $JOSE, "Jose\xcc\x81";
    is clients('change', name => "Jose\xcc\x81", rpm => 7)->{result}, 'not found', 'who changes it names it as it is kept';
    $httpd->stop;
    my @lines = split /\n/, slurp("$httpd->{dir}/access_log");
    for my $case ([$ZHANG, 200], [$JOSE, 200], [$LONG, 401]) {
        my ($name, $status) = @$case;
        my $logged = $name =~ s/([\x80-\xff])/sprintf '\\x%02x', ord $1/ger;
        is scalar(grep { index($_, "$logged $status " . ($status == 200 ? $logged : '-') . ' POST /zhang') == 0 } @lines), 1,
            "%u and the note are the whole name, as httpd writes it: $logged";
    }
    $httpd->start;
    is ask('/zhang/chat', $key{$ZHANG})->{status}, 200, 'a stop keeps it';
};

subtest 'a client belongs to a server' => sub {
    create('one', base => $bases[1]);
    create('two', base => $bases[2]);
    is ask('/own/chat', $key{one}, base => $bases[1])->{status}, 200, 'valid in its virtual host';
    is ask('/shared/chat', $key{one}, base => $bases[1])->{status}, 200, '... for the main server\'s pool as well';
    is ask('/plain', $key{one}, base => $bases[1], method => 'GET')->{status}, 200, '... and without a pool';
    refused(ask('/own/chat', $key{one}, base => $bases[2]), 401, 'invalid_api_key', 'in another one');
    refused(ask('/shared/chat', $key{one}, base => $bases[2]), 401, 'invalid_api_key', '... for a shared pool');
    refused(ask('/v1/chat', $key{one}), 401, 'invalid_api_key', '... in the main server');
    is ask('/shared/chat', $key{alice}, base => $bases[1])->{status}, 200,
        'one of the main server is valid for its pools';
    refused(ask('/own/chat', $key{alice}, base => $bases[1]), 401, 'invalid_api_key', '... for no other pool');
    refused(ask('/plain', $key{alice}, base => $bases[1], method => 'GET'), 401, 'invalid_api_key', '... nor without one');
    my @names = map { $_->{name} } @{clients('list', base => $bases[1])->{clients}};
    is_deeply \@names, ['one'], 'each sees its own';
    my $alice = $key{alice};
    isnt create('alice', base => $bases[2]), $alice, 'a name is another client in each';
    $key{alice} = $alice;
    is clients('delete', name => 'one')->{result}, 'not found', 'and changes its own';
};

subtest 'pools, endpoints and models' => sub {
    my $key = create('narrow', pools => 'main', endpoints => 'chat,models', models => 'm,gpt-4o');
    is ask('/v1/chat', $key)->{status}, 200, 'allowed by its alias';
    is ask('/v1/chat/completions', $key)->{status}, 200, '... and by the path that it stands for';
    is ask('/v1/models', $key, method => 'GET', content => '')->{status}, 200, 'what names no model and costs nothing';
    my $mark = upstream_mark();
    refused(ask('/second/chat', $key), 403, 'endpoint_not_allowed', 'another pool');
    refused(ask('/v1/embeddings', $key), 403, 'endpoint_not_allowed', 'another endpoint');
    refused(ask('/v1/chat%2Fcompletions', $key), 403, 'endpoint_not_allowed', 'an endpoint in disguise');
    refused(ask('/v1/files', $key), 403, 'endpoint_not_allowed', 'a path without an alias');
    my $free = create('models', models => 'm,gpt-4o');
    my $forms = {'content-type' => 'multipart/form-data; boundary=B'};
    my $gzip = {'content-encoding' => 'gzip'};
    my $form = sub {"--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n$_[0]\r\n--B--\r\n"};
    my %refused = (
        'another model' => ['/v1/chat', '{"model":"gpt-4"}'],
        'no model' => ['/v1/chat', '{"messages":[]}'],
        'two models' => ['/v1/chat', '{"model":"gpt-4","model":"m"}'],
        'a model in capitals' => ['/v1/chat', '{"MODEL":"gpt-4"}'],
        '... beside another' => ['/v1/chat', '{"model":"m","Mod\u0045l":"gpt-4"}'],
        'a model that is no text' => ['/v1/chat', '{"model":["m"]}'],
        'a model that begins like one' => ['/v1/chat', '{"model":"m' . ' ' x 300 . '"}'],
        'a body that is no JSON' => ['/v1/chat', "\x1f\x8b\x08\x00"],
        'JSON that is broken' => ['/v1/chat', '{"model":"m",}x"model":"gpt-4"'],
        'a body that nobody can read' => ['/v1/files', "\x1f\x8b\x08\x00"],
        'a model where none is asked for' => ['/v1/batches', '{"model":"gpt-4"}'],
        'a model in the path' => ['/v1/models/gemini-pro:generateContent', '{}'],
        'a model in a path in disguise' => ['/v1/%6dodels/gemini-pro:generateContent', '{"model":"m"}'],
        '... with an encoded slash' => ['/v1/models%2Fgemini-pro:generateContent', '{"model":"m"}'],
        '... with a parameter' => ['/v1/models;a=b/gemini-pro:generateContent', '{"model":"m"}'],
        'a deployment' => ['/v1/deployments/gpt-4/chat/completions', '{"model":"m"}'],
        'a model in a path, and another in the body' => ['/v1/deployments/m/chat/completions', '{"model":"gpt-4"}'],
        'a model in the query' => ['/v1/realtime?model=gpt%2d4', '{}'],
        '... under an encoded name' => ['/v1/realtime?model=m&mod%65l=gpt-4', '{}'],
        '... behind a semicolon' => ['/v1/realtime?model=m;Model=gpt-4', '{}'],
        'a deployment in the query' => ['/v1/realtime?model=m&deployment=gpt-4', '{}'],
        'a model in a form' => ['/v1/audio', $form->('whisper-1'), $forms],
        'a field with an empty file name' => ['/v1/audio', $form->('gpt-4') =~ s/"model"/"model"; filename=""/r, $forms],
        'an encoded field name' => ['/v1/audio', $form->('gpt-4') =~ s/name="model"/name*=utf-8''model/r, $forms],
        'a field with two names' => ['/v1/audio', $form->('gpt-4') =~ s/name="model"/name="model"; name="a"/r, $forms],
        'another disposition' => ['/v1/audio', $form->('gpt-4') =~ s/form-data/attachment/r, $forms],
        'a long head line' => ['/v1/audio', $form->('gpt-4') =~ s/"model"/'"model"; x="' . 'x' x 600 . '"'/er, $forms],
        'a charset of UTF-16' => ['/v1/audio', '{"model":"m"}', {'content-type' => 'application/json; charset=utf-16'}],
        'an encoded body' => ['/v1/audio', '{"model":"m"}', {'content-encoding' => 'deflate'}],
        'another model in a compressed body' => ['/v1/chat', packed('{"model":"gpt-4"}'), $gzip],
        'two models in a compressed body' => ['/v1/chat', packed('{"model":"m","model":"gpt-4"}'), $gzip],
        'a compressed body that is cut' => ['/v1/chat', substr(packed('{"model":"m"}'), 0, -9), $gzip],
        'a compressed body that is none' => ['/v1/chat', '{"model":"m"}', $gzip],
        'a compressed body of 70 MB' => ['/v1/chat', packed('{"model":"m"' . ' ' x 70_000_000 . '}'), $gzip],
        'a body that is compressed twice' => ['/v1/chat', packed(packed('{"model":"m"}')), {'content-encoding' => 'gzip, gzip'}],
        'two boundaries' => ['/v1/audio', $form->('m'), {'content-type' => 'multipart/form-data; boundary=A; boundary=B'}],
        'JSON that is a form as well' => ['/v1/audio', '{"model":"m","a":"&model=gpt-4&"}',
            {'content-type' => 'application/x-www-form-urlencoded'}],
        'an array in the query' => ['/v1/realtime?model=m&model[]=gpt-4', '{"model":"m"}'],
    );
    for my $what (sort keys %refused) {
        my ($path, $content, $headers) = @{$refused{$what}};
        refused(ask($path, $free, content => $content, headers => $headers), 403, 'model_not_allowed', $what);
    }
    my @heard = grep { ($_->{key} // '') =~ /-auth-/ } upstream_since($mark);
    is scalar @heard, 0, 'no upstream has heard of these' or diag explain \@heard;
    my %allowed = (
        'a model' => ['/v1/chat', '{"model":"gpt-4o"}'],
        'a model in letters of another kind' => ['/v1/chat', '{"mod\u0065l":"gpt-4\u006f"}'],
        'a model in the path' => ['/v1/models/m:generateContent', '{}'],
        'a deployment' => ['/v1/deployments/gpt-4o/chat/completions', '{}'],
        'a model in the query' => ['/v1/realtime?model=gpt%2d4o', '{}'],
        'a model in a form' => ['/v1/audio', $form->('m'), $forms],
        'a model in a compressed body' => ['/v1/chat', packed('{"model":"m"}'), $gzip],
        'a file with an encoded name' => ['/v1/audio', $form->('m') =~
            s/\A/--B\r\nContent-Disposition: form-data; name="file"; filename*=utf-8''%E5%BC%A0\r\n\r\nx\r\n/r, $forms],
        'a file' => ['/v1/files', "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\nx\r\n--B--\r\n", $forms],
    );
    for my $what (sort keys %allowed) {
        my ($path, $content, $headers) = @{$allowed{$what}};
        is ask($path, $free, content => $content, headers => $headers)->{status}, 200, "$what, allowed";
    }
    is clients('change', name => 'narrow', models => '', endpoints => 'files')->{result}, 'done', 'lists change';
    refused(ask('/v1/chat', $key), 403, 'endpoint_not_allowed', '... at once');
};

subtest 'limits' => sub {
    my $key = create('limited', rpm => 2);
    is ask('/v1/chat', $key)->{status}, 200, 'within the limit' for 1 .. 2;
    my $answer = ask('/v1/chat', $key);
    refused($answer, 429, 'rate_limit_exceeded', 'above it');
    like json($answer->{content})->{error}{message}, qr/requests per minute/, '... which is named';
    cmp_ok $answer->{headers}{'retry-after'}, '>=', 50, '... and when it is over';
    cmp_ok $answer->{headers}{'retry-after'}, '<=', 66, '... at the latest';
    $key = create('day', tokens_per_day => 100, rpm => 100);
    is ask('/v1/chat', $key, content => '{"model":"m","max_tokens":90}')->{status}, 200, 'tokens';
    $answer = ask('/v1/chat', $key, content => '{"model":"m","max_tokens":99}');
    refused($answer, 429, 'rate_limit_exceeded', 'too many tokens a day');
    like json($answer->{content})->{error}{message}, qr/tokens per day/, '... which is named';
    cmp_ok $answer->{headers}{'retry-after'}, '>=', 86400, '... for a day';
    $key = create('minute', tpm => 100);
    is ask('/v1/chat', $key, content => '{"model":"m","max_tokens":90}')->{status}, 200, 'tokens';
    $answer = ask('/v1/chat', $key, content => '{"model":"m","max_tokens":99}');
    refused($answer, 429, 'rate_limit_exceeded', 'too many tokens a minute');
    like json($answer->{content})->{error}{message}, qr/tokens per minute/, '... which is named';
    $key = create('compressed', tpm => 100);
    is ask('/v1/chat', $key, content => packed('{"model":"m","max_tokens":90}'), headers => {'content-encoding' => 'gzip'})->{status},
        200, 'tokens in a compressed body';
    $answer = ask('/v1/chat', $key, content => packed('{"model":"m","max_tokens":99}'), headers => {'content-encoding' => 'gzip'});
    refused($answer, 429, 'rate_limit_exceeded', '... count as well');
    $key = create('hidden', tpm => 100);
    isnt ask('/v1/%63hat/completions', $key, content => '{"model":"m","max_tokens":90}')->{status}, 429, 'a path in disguise';
    $answer = ask('/v1/%63hat/completions', $key, content => '{"model":"m","max_tokens":99}');
    refused($answer, 429, 'rate_limit_exceeded', '... takes tokens as well');
    $key = create('early', tokens_per_day => 1000);
    my $leaving = IO::Socket::INET->new(PeerAddr => $bases[0] =~ s{^http://}{}r, Timeout => 10) or die "$@\n";
    my $content = '{"model":"m","max_tokens":900}';
    print {$leaving} "POST /leaving/chat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $key\r\nX-Mock: slow delayms60000\r\n",
        'Content-Length: ', length $content, "\r\n\r\n$content";
    my $charged = sub { usage_of('early')->{tpd} };
    ok wait_for(sub { $charged->() >= 900 }), 'tokens are set aside meanwhile, and shown as the limit counts them';
    is ask('/v1/chat', $key, content => $content)->{status}, 429, '... and others do not get them';
    close $leaving;
    ok wait_for(sub { $charged->() < 900 }), 'a client that leaves before the first byte';
    my $admin = bless {httpd => $httpd, base => $httpd->{base}, mount => '/apipool'}, 'APIPoolAdmin';
    my @keys = @{$admin->sign_in->ask(GET => '/pools/leaving/keys')->{json}{keys}};
    my ($prompt) = sort { $b <=> $a } map { $_->{tpd} // 0 } @keys;
    cmp_ok $prompt, '>', 0, '... costs the key its prompt';
    is $charged->(), $prompt, '... is charged the same, and not what it might have got';
    ok wait_for(sub { ask('/v1/chat', $key, content => $content)->{status} == 200 }),
        '... and given back if the client leaves before the first byte';
    $key = create('unlucky', rpm => 1, tpm => 1000);
    is ask('/dead/chat', $key)->{status}, 502, 'what reaches no upstream' for 1 .. 3;
    is ask('/v1/chat', $key)->{status}, 200, '... is given back';
    is ask('/v1/chat', $key)->{status}, 429, '... once';
    my $usage;
    ok wait_for(sub { ($usage = usage_of('unlucky'))->{requests} == 5 }, 5), 'all of them are counted';
    cmp_ok $usage->{total_tokens}, '>', 0, '... with their tokens';
};

subtest 'what is made in the background is charged to who first reads what it has cost, once' => sub {
    my $key = create('background', tokens_per_day => 20);
    my $post = sub { ask('/later/responses', $key, content => qq({"model":"m","background":true,"max_output_tokens":$_[0]})) };
    my $get = sub { ask('/later/responses/resp_1', $_[0], method => 'GET', content => '')->{status} };
    my $is_charged = sub {
        my ($tokens, $requests, $what) = @_;
        wait_for(sub { usage_of('background')->{requests} == $requests });
        is usage_of('background')->{tpd}, $tokens, $what;
    };
    is $post->(1)->{status}, 200, 'one is asked for';
    $is_charged->(0, 1, '... which costs nothing yet');
    is $get->($key), 200, 'it is read';
    $is_charged->(15, 2, '... and charged');
    is $get->($key), 200, 'it is read again';
    $is_charged->(15, 3, '... for nothing');
    is $get->(create('reader', tokens_per_day => 20)), 200, 'another client reads it';
    wait_for(sub { usage_of('reader')->{requests} == 1 });
    is usage_of('reader')->{tpd}, 0, '... for nothing as well';
    refused($post->(10), 429, 'rate_limit_exceeded', 'the next one does not fit into the day');
};

subtest 'what the table of functions says' => sub {
    is clients('create', name => 'alice')->{result}, 'exists', 'a name that is taken';
    for my $name ('', 'x' x 64, 'a"b', "a'b", 'a\\b', 'a/b', '.a', "a\nb", "a\x{ff}b", "a\xe2\x80\xaeb", "a\xf0\x9f\x94\x91", ' a', 'a ', 'other') {
        my $made = clients('create', name => $name);
        is $made->{result}, 'invalid', 'a bad name';
        is $made->{field}, 'name', '... which is told';
        is $made->{key}, '', '... without a key';
    }
    is clients('create', name => "\xc3\xa4 b,c:d")->{result}, 'done', 'an odd one';
    is clients('change', name => "\xc3\xa4 b,c:d", models => 'a"b')->{result}, 'invalid', 'a bad model';
    is clients('change', name => "\xc3\xa4 b,c:d", models => join ',', map { 'm' x 200 . $_ } 1 .. 11)->{error},
        'Pools, models and endpoints take more than 2048 bytes together.', 'too many';
    is clients($_, name => 'nobody')->{result}, 'not found', "$_ nobody" for qw(change delete);
    my ($row) = grep { $_->{name} eq 'narrow' } @{clients('list')->{clients}};
    is_deeply [@$row{qw(pools models endpoints rpm)}], [['main'], [], ['files'], undef], 'what was said';
    ok $row->{enabled}, '... and switched on';
    cmp_ok abs(epoch($row->{created_at}) - time), '<', 300, 'when it was made';
    cmp_ok abs(epoch($row->{last_used_at}) - time), '<', 300, 'when it was used';
};

subtest 'a limit is never exceeded, however many processes ask' => sub {
    my $key = create('crowd', rpm => 60);
    my @statuses = map {@$_} parallel(6, sub { map { ask('/v1/chat', $key)->{status} } 1 .. 25 });
    is scalar(grep { $_ == 200 } @statuses), 60, '60 of 150 requests are served';
    is scalar(grep { $_ == 429 } @statuses), 90, '... and the others are told so';
    my @processes = $httpd->children;
    cmp_ok scalar @processes, '>', 1, '... by several processes';
};

subtest 'clients outlast restarts, with what they have used' => sub {
    my $before = clients('list')->{clients};
    $httpd->restart;
    is_deeply clients('list')->{clients}, $before, 'a graceful restart';
    refused(ask('/v1/chat', $key{crowd}), 429, 'rate_limit_exceeded', 'the limit goes on');
    $before = clients('list')->{clients};
    $httpd->stop;
    $httpd->start;
    is_deeply clients('list')->{clients}, $before, 'a stop';
    refused(ask('/v1/chat', $key{crowd}), 429, 'rate_limit_exceeded', 'the limit goes on');
    refused(ask('/v1/chat', $key{day}, content => '{"model":"m","max_tokens":99}'), 429,
        'rate_limit_exceeded', '... that of the day as well');
    is ask('/own/chat', $key{two}, base => $bases[2])->{status}, 200, 'clients of virtual hosts are there';
};

subtest 'a change that cannot be written has not been made' => sub {
    my $before = clients('list')->{clients};
    chmod 0500, "$httpd->{dir}/store" or die "chmod: $!\n";
    for my $change ([create => name => 'lost'], [change => name => 'alice', enabled => 0], [delete => name => 'alice']) {
        my $made = clients(@$change);
        is $made->{result}, 'failed', $change->[0];
        isnt $made->{error}, '', '... which is told';
        is $made->{key}, '', '... without a key';
    }
    chmod 0700, "$httpd->{dir}/store" or die "chmod: $!\n";
    is_deeply clients('list')->{clients}, $before, 'nothing has changed';
    is ask('/v1/chat', $key{alice})->{status}, 200, 'whoever was valid is';
    create('found');
    is ask('/v1/chat', $key{found})->{status}, 200, 'the next one is made';
};

my @faults = split /\n/, $httpd->faults;
is scalar @faults, 1, 'nothing else went wrong';
like $faults[0], qr/AP0081: .*Permission denied/, '... and that was told once';
$httpd->stop;
my $store = join '', map { slurp($_) } grep {-f} glob "$httpd->{dir}/store/*";
is scalar(grep { index($store, $_) >= 0 || index($store, substr $_, 3) >= 0 } values %key), 0,
    'no file of the store holds a key';
is scalar(grep { index($httpd->log, $_) >= 0 } values %key), 0, 'nor does the log';

done_testing;
