# SPDX-License-Identifier: Apache-2.0
# quickstart.sh, in a copy of the sources: what it prints is what works, it stops what it started, and it says what is wrong.
use strict;
use warnings;
use utf8;

use APIPoolTest qw(check_dir free_port json read_request request serve_raw slurp source_dir spew chat);
use File::Path qw(make_path remove_tree);
use IO::Socket::INET ();
use Test::More;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output);

# Blanks in the path, and files that nobody else may read.
my $dir = check_dir() . "/t/logs/quick start $$";
my $port = free_port();
my $base = "http://127.0.0.1:$port";
system 'sh', '-c', 'umask 077 && mkdir "$2" && cd "$1" && tar --exclude=./.git --exclude=./build --exclude=./obj --exclude=node_modules '
    . '--exclude=./Makefile --exclude="./config.*" --exclude="*.so" --exclude=./configure -cf - . | tar -C "$2" -xf -', 'sh', source_dir(), $dir;
is $?, 0, 'a copy of the sources';

# quickstart({VARIABLE => VALUE}, WORD ...): its exit status, and what it said.
sub quickstart {
    my ($variables, @words) = @_;
    local %ENV = (%ENV, LC_ALL => 'C.UTF-8', PORT => $port, %$variables);
    delete @ENV{grep { !defined $ENV{$_} } keys %ENV};
    my $said = qx(umask 077; sh '$dir/quickstart.sh' @words 2>&1);
    my $status = $? >> 8;
    utf8::decode($said);
    return ($status, $said);
}

# What it has printed: the client key, and the admin's name and password.
sub printed {
    my ($said) = @_;
    my ($key) = $said =~ /^ +-H 'Authorization: Bearer (ak-[A-Za-z0-9]{40})'/m;
    my ($user, $password) = map { $said =~ /^  $_ +(\S+)$/m } qw(user password);
    return ($key, $user, $password);
}

sub sign_in {
    my ($user, $password) = @_;
    return request(POST => '/apipool/api/session', base => $base, headers => {'content-type' => 'application/json'},
        content => qq({"username":"$user","password":"$password"}));
}

my ($status, $said) = quickstart({});
is $status, 0, 'it starts' or diag $said;
like $said, qr/^==> building in .* \d+ s$/m, '... says how long the build took';
like $said, qr/chatcmpl|"choices"/, '... and shows the answer to a request';
unlike $said, qr/X-Body/i, '... without the fields that tests ask for';
like $said, qr{\Q$base\E/v1 .*^The dashboard is at \Q$base\E/apipool/ and its API below that, at api/}ms, '... and the addresses';
my ($key, $user, $password) = printed($said);
ok $key && $user && $password, '... with a client key and an admin' or diag $said;

is chat($base, 'v1', key => $key)->{status}, 200, 'the key opens the pool';
is chat($base, 'v1')->{status}, 401, '... which is closed without';
my $session = json(sign_in($user, $password)->{content});
is $session->{role}, 'admin', 'the password opens the API';
my $clients = request(GET => '/apipool/api/clients', base => $base, headers => {authorization => "Bearer $session->{token}"});
is json($clients->{content})->{clients}[0]{name}, 'quickstart', '... which has the client';
is sign_in($user, "x$password")->{status}, 401, '... as no other does';
is request(GET => '/apipool/', base => $base)->{status}, 200, 'the dashboard is there';
for my $file (qw(admin-password client-key authorization admins)) {
    is sprintf('%o', (stat "$dir/build/run/$file")[2] & 07777), 600, "nobody else reads $file";
}

my @again = quickstart({});
is $again[0], 0, 'it starts once more' or diag $again[1];
like $again[1], qr/^==> stopped the one that was running on port $port$/m, '... after it has stopped the first';
is_deeply [printed($again[1])], [$key, $user, $password], '... with the same key and password';
is chat($base, 'v1', key => $key)->{status}, 200, '... which still work';

subtest 'a port that cannot be had is said before anything is stopped' => sub {
    my $other = IO::Socket::INET->new(LocalAddr => '127.0.0.1:0', Listen => 1) or die "$@\n";
    my $busy = $other->sockport;
    my $first = (eval { slurp('/proc/sys/net/ipv4/ip_unprivileged_port_start') } // 0) + 0;
    my %wrong = ($busy => qr/is in use by another program; choose another one, for example PORT=\d+ /,
        (map { $_ => qr/a number from 1 to 65535 is needed/ } qw(0 080 65536 100000 x80 80x -1)),
        $first > 1 ? (1 => qr/only root may listen on ports below $first/) : ());
    for my $wrong (sort keys %wrong) {
        my ($exit, $words) = quickstart({PORT => $wrong});
        is $exit, 1, "PORT=$wrong";
        like $words, qr/\Aquickstart: PORT=$wrong\b.*$wrong{$wrong}.*\n\z/, '... is refused in a sentence';
    }
    is chat($base, 'v1', key => $key)->{status}, 200, 'what was running still runs';
};

# An upstream that lists @$models and answers a chat as the name of its model says.
sub upstream {
    my ($models) = @_;
    return serve_raw(
        sub {
            my ($socket) = @_;
            my ($head, $body) = read_request($socket) or return;
            my ($path) = $head =~ m{\A\w+ (\S+)};
            my %answers = (
                refused => [401, '{"error":{"message":"No such key."}}'],
                broken => [200, '{"error":{"message":"Try later."}}'],
                empty => [200, '{"choices":[]}'],
            );
            my ($word) = $body =~ /"model":"(\w+)"/;
            my ($code, $json) = $path =~ /models/ ? ($models ? (200, $models) : (404, '{}'))
                : @{$answers{$word // ''} || [200, '{"choices": [ {"message":{"content":"Hello"}}]}']};
            printf {$socket} "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
                $code, length $json, $json;
        }
    );
}

sub with_upstream {
    my ($models, %variables) = @_;
    my $keys = spew("$dir/real keys", "sk-real-aaaaaaaaaaaaaaaa\n");
    return quickstart({UPSTREAM => 'http://127.0.0.1:' . upstream($models) . '/v1', KEYS => $keys, %variables});
}

sub model_list {
    return sprintf '{ "object": "list", "data": [ %s ] }', join ",\n", map {qq({"object": "model", "id": "$_", "owned_by": null})} @_;
}

subtest 'the model of a real upstream' => sub {
    my @others = qw(text-embedding-3-small BAAI/bge-m3 BAAI/bge-reranker-v2-m3 netease-youdao/bce-embedding-base_v1 gpt-image-1
        dall-e-3 black-forest-labs/FLUX.1-schnell Kwai-Kolors/Kolors whisper-1 tts-1-hd gpt-4o-audio-preview FunAudioLLM/SenseVoiceSmall
        gpt-4o-realtime-preview omni-moderation-latest sora-2 Wan-AI/Wan2.2-T2V-A14B models/veo-3.0 davinci-002 gpt-3.5-turbo-instruct);
    my ($exit, $words) = with_upstream(model_list(@others, 'Qwen\/Qwen3-32B-Instruct', 'other'));
    is $exit, 0, 'the first that can chat' or diag $words;
    like $words, qr{with the model Qwen/Qwen3-32B-Instruct:}, '... is taken';
    like $words, qr{^ +-d '\{"model":"Qwen/Qwen3-32B-Instruct",}m, '... and shown';
    ($exit, $words) = with_upstream('', MODEL => 'my "own"');
    is $exit, 0, 'MODEL names another' or diag $words;
    like $words, qr/with the model my "own":/, '... whatever it is called';
    for my $list (model_list(@others), '{"data":{}}', '<html>', '') {
        ($exit, $words) = with_upstream($list);
        is $exit, 1, "no model in '" . substr($list, 0, 12) . "'";
        like $words, qr/(?:looks like one that can chat|does not list its models \(HTTP 404\)); name one: MODEL=NAME/, '... is said';
    }
};

subtest 'a chat that fails' => sub {
    for my $case ([broken => 200], [empty => 200], [refused => 401]) { # the last one costs the only key
        my ($model, $code) = @$case;
        my ($exit, $words) = with_upstream('', MODEL => $model);
        is $exit, 1, $model;
        like $words, qr/^quickstart: the chat failed: HTTP $code, and no choices in the answer above\nLook into .*error_log and at/m,
            '... is said';
        unlike $words, qr/The pool answers/, '... and no success';
    }
};

subtest 'what is wrong with the variables' => sub {
    my %wrong = (
        'KEYS=FILE' => {UPSTREAM => 'http://127.0.0.1:1/v1'},
        'UPSTREAM=URL' => {KEYS => "$dir/real keys"},
        'no such file' => {KEYS => "$dir/none", UPSTREAM => 'http://127.0.0.1:1/v1'},
    );
    for my $what (sort keys %wrong) {
        my ($exit, $words) = quickstart($wrong{$what});
        is $exit, 1, $what;
        like $words, qr/\Aquickstart: .*$what/, '... is named';
    }
    my ($exit, $words) = quickstart({TESTS => 't/nothing.t'}, 'test');
    is_deeply [$exit, $words], [1, "quickstart: TESTS: there is no test t/nothing.t\n"], 'a test that is not there';
};

subtest 'a build that fails shows why' => sub {
    make_path("$dir/broken");
    spew("$dir/broken/make", "#!/bin/sh\necho out of luck >&2\nexit 2\n");
    chmod 0755, "$dir/broken/make";
    my ($exit, $words) = quickstart({PATH => "$dir/broken:$ENV{PATH}"});
    is $exit, 1, 'it fails';
    like $words, qr{^out of luck\n==> The whole log is in \Q$dir\E/build/logs/build\.log\nquickstart: the build failed$}m, '... with the last lines';
};

is_deeply [quickstart({PORT => undef}, 'stop')], [0, "==> stopped\n"], 'it stops, whatever the port';
ok !IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port"), '... and nothing listens any more';
is_deeply [quickstart({}, 'stop')], [0, "==> was not running\n"], '... which it knows';
my %chinese = (LC_ALL => undef, LC_MESSAGES => undef, LANG => 'zh_CN.UTF-8');
is_deeply [quickstart(\%chinese, 'stop')], [0, "==> 没有正在运行的实例\n"], '... in Chinese as well';
for my $word (qw(help --help -h)) {
    my ($exit, $words) = quickstart({}, $word);
    is $exit, 0, $word;
    like $words, qr/\b$_\b/, "... tells of $_" for qw(stop test PORT UPSTREAM KEYS MODEL TESTS);
}
($status, $said) = quickstart({}, 'nothing');
is $status, 2, 'an unknown command is refused';
like $said, qr/\Aquickstart: unknown command 'nothing'\nUsage: /, '... with the known ones';

subtest 'every message is there in both languages' => sub {
    my $table = slurp(source_dir() . '/quickstart.messages.sh');
    my %messages;
    while ($table =~ /^    (\w+)\)\n +en=(["'])(.*?)\2\n +zh=(["'])(.*?)\4 ;;$/gms) {
        $messages{$1} = [$3, $5];
    }
    my @names = $table =~ /^    (\w+)\)$/mg;
    is_deeply [sort keys %messages], [sort @names], 'each has two';
    for my $name (sort keys %messages) {
        my ($english, $chinese) = map { join ' ', /%\w/g } @{$messages{$name}};
        is $chinese, $english, "$name takes the same arguments";
        like $messages{$name}[1], qr/[\xe4-\xe9]/, '... and is Chinese';
    }
    my $script = slurp(source_dir() . '/quickstart.sh') =~ s/^#.*//gmr;
    my %used = map { $_ => 1 } $script =~ /\b(?:say|fail|step|message|build "[^"]+"|chat_failed) ([a-z]\w+)/g;
    is_deeply [sort keys %used], [sort keys %messages], '... and they are those that the script says';
};
remove_tree($dir);

done_testing;
