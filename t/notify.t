# SPDX-License-Identifier: Apache-2.0
# What happens is told to a program, once and beside the requests; and the programs of conf/notify speak to their vendors.
use strict;
use warnings;

use APIPoolAdmin qw(admin_server);
use APIPoolTest qw(source_dir config_test chat wait_for slurp spew json serve_raw read_request check_dir);
use Apache::Test ();
use Digest::SHA qw(hmac_sha256_base64);
use File::Path qw(make_path);
use MIME::Base64 qw(decode_base64);
use Test::More;

# --- The programs of conf/notify -------------------------------------------------------------------

my $dir = check_dir() . "/t/logs/notify-$$";
make_path($dir);

my %answers = (
    '/feishu' => '{"code":0,"msg":"success","data":{}}',
    '/dingtalk?access_token=t' => '{"errcode":0,"errmsg":"ok"}',
    '/wecom?key=k' => '{"errcode":0,"errmsg":"ok"}',
    '/slack' => 'ok',
    '/bot12:ab/sendMessage' => '{"ok":true,"result":{}}',
    '/sorry' => '{"code":19021,"errcode":310000,"ok":false,"errmsg":"sign not match"}',
);

my $port = serve_raw(
    sub {
        my ($socket) = @_;
        my ($head, $body) = read_request($socket);
        my ($path) = $head =~ /^POST (\S+) HTTP/;
        my $answer = $answers{$path =~ s/&.*//r};
        spew("$dir/request", "$head\r\n\r\n$body");
        my $status = defined $answer ? '200 OK' : '404 Not Found';
        $answer //= 'nothing here';
        print $socket "HTTP/1.1 $status\r\nContent-Length: @{[length $answer]}\r\nConnection: close\r\n\r\n$answer";
    }
);
my $receiver = "http://127.0.0.1:$port";

# What would break out of quotes, of a shell, of JSON or of a mail.
my $text = qq(pool main: a key is lost\nsk-1\xe2\x80\xa6 (\$(id) `id` "x" 'y' \\n %s &amp; \x{e6}\x{b1}\x{89}): quota\n.\nBcc: x);
my $quoted = JSON::PP->new->allow_nonref->encode($text =~ s/([\x80-\xff]+)/my $x = $1; utf8::decode($x); $x/ger);
utf8::encode($quoted);
my $base64 = MIME::Base64::encode_base64($text, '');
my $message = qq({\n"event": "key_lost",\n"pool": "main",\n"keys": [{"label":"\\"text\\": \\"no\\","}],\n)
    . qq("title": "pool main: a key is lost",\n"text": $quoted,\n"text_base64": "$base64"\n}\n);

# Returns the exit status, and what was said on standard error.
sub run_program {
    my ($program, $settings) = @_;
    spew("$dir/settings", $settings);
    unlink "$dir/request";
    spew("$dir/message", $message);
    my $command = "@{[source_dir()]}/conf/notify/$program.sh";
    my $said = qx('$command' '$dir/settings' key_lost < '$dir/message' 2>&1 > /dev/null);
    return ($? >> 8, $said);
}

# The body of the request that was made, and its head.
sub requested {
    my ($head, $body) = split /\r\n\r\n/, slurp("$dir/request"), 2;
    return (json($body), $head);
}

my $shown = do { my $x = $text; utf8::decode($x); $x };
my %bodies = (
    feishu => ['/feishu', {msg_type => 'text', content => {text => $shown}}],
    dingtalk => ['/dingtalk?access_token=t', {msgtype => 'text', text => {content => $shown}}],
    wecom => ['/wecom?key=k', {msgtype => 'text', text => {content => $shown}}],
    slack => ['/slack', {text => $shown, mrkdwn => JSON::PP::false}],
);
for my $program (sort keys %bodies) {
    my ($path, $body) = @{$bodies{$program}};
    is_deeply [run_program($program, "# a comment\nurl=$receiver$path\n")], [0, ''], "$program: told";
    my ($got, $head) = requested();
    is_deeply $got, $body, '... what its vendor wants';
    like $head, qr{^POST \Q$path\E HTTP.*\r\nContent-Type: application/json; charset=utf-8\r\n}s, '... as JSON, there';
    my ($status, $said) = run_program($program, "url=$receiver/sorry");
    isnt $status, 0, '... and fails if that says no';
    like $said, qr/\A$program\.sh: refused: .*sign not match/, '... with what it said';
    unlike $said, qr/sorry/, '... and without the address, which is a secret';
}

is_deeply [run_program('telegram', "token=12:ab\nchat=-100200\nurl=$receiver")], [0, ''], 'telegram: told';
is_deeply [requested()]->[0], {chat_id => '-100200', text => $shown}, '... what it wants';
like [requested()]->[1], qr{^POST /bot12:ab/sendMessage }, '... there';
isnt [run_program('telegram', "token=34:cd\nchat=1\nurl=$receiver")]->[0], 0, '... and fails for another token';
like [run_program('telegram', qq(token=12:ab\nchat=1","x":"\nurl=$receiver))]->[1], qr/chat is missing, or neither/, '... and for no chat';

run_program('feishu', "url=$receiver/feishu\nsecret=s3cret\$x");
my ($signed) = requested();
is $signed->{sign}, hmac_sha256_base64('', "$signed->{timestamp}\ns3cret\$x") . '=', 'feishu: signed';
cmp_ok abs($signed->{timestamp} - time), '<', 60, '... now, in seconds';
run_program('dingtalk', "url=$receiver/dingtalk?access_token=t\nsecret=SECabc");
my ($timestamp, $sign) = [requested()]->[1] =~ /access_token=t&timestamp=(\d+)&sign=([\w%]+) /;
is $sign =~ s/%(..)/chr hex $1/ger, hmac_sha256_base64("$timestamp\nSECabc", 'SECabc') . '=', 'dingtalk: signed';
cmp_ok abs($timestamp / 1000 - time), '<', 60, '... now, in milliseconds';

spew("$dir/sendmail", qq(#!/bin/sh\necho "\$@" > '$dir/arguments'\ncat > '$dir/mail'\n));
chmod 0755, "$dir/sendmail";
is_deeply [run_program('mail', "to=ops\@example.org\nfrom=pool\@example.org\nsendmail=$dir/sendmail")], [0, ''], 'mail: sent';
my ($fields, $content) = split /\n\n/, slurp("$dir/mail"), 2;
is slurp("$dir/arguments"), "-t -oi\n", '... by sendmail';
is $fields, join("\n", 'To: ops@example.org', 'From: pool@example.org', 'Subject: pool main: a key is lost',
    'Auto-Submitted: auto-generated', 'MIME-Version: 1.0', 'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: base64'), '... with these fields alone';
is decode_base64($content), $text, '... and the whole text';
cmp_ok length, '<', 77, '... in short lines' for split /\n/, $content;

for my $case (['', 'url is missing'], ['url=ftp://x', 'does not begin'], [qq(url=http://x/"\nurl=http://x/"), 'no address has'],
    ['uri=http://x', 'unknown setting uri']) {
    my ($status, $said) = run_program('wecom', $case->[0]);
    ok $status && $said =~ /$case->[1]/, "settings '$case->[0]': $case->[1]";
}

# --- The directive ---------------------------------------------------------------------------------

my $pool = "APIPoolUpstream http://127.0.0.1:1\n";
for my $case (
    ['APIPoolNotify', '', 'options or a program are needed'],
    ['APIPoolNotify low=3', '', 'a program is needed behind the options'],
    ['APIPoolNotify client=101 /bin/true', '', 'from 1 to 100'],
    ['APIPoolNotify balance=x /bin/true', '', 'a decimal number is needed'],
    ['APIPoolNotify colour=red /bin/true', '', "unknown option 'colour=red'"],
    ['', 'APIPoolNotify /bin/true', "unknown option '/bin/true'; allowed in a pool are low=N and balance=N"],
    ['', 'APIPoolNotify every=1', "unknown option 'every=1'"],
    ["<VirtualHost *:1>\nAPIPoolNotify /bin/true\n</VirtualHost>", '', 'cannot occur within'],
) {
    my ($status, $said) = config_test("$case->[0]\n<APIPool p>\n$pool$case->[1]\n</APIPool>\n");
    ok $status && $said =~ /\Q$case->[2]\E/, join(' ', 'refused:', grep {length} @$case) or diag $said;
}
my ($status, $said) = config_test("APIPoolNotify no/such low=1\n<APIPool p>\n$pool</APIPool>\n");
is $status, 0, 'a program that is missing keeps no server down';
like $said, qr{AP0184: APIPoolNotify: \S+/no/such is no program}, '... but a test of the configuration says so';

# --- Events ----------------------------------------------------------------------------------------

# Writes what it is told to a file of its own; then it may fail, or hang with a process of its own.
my $program = <<'SH';
#!/bin/sh
cd "$1" || exit 1
readlink /proc/$$/fd/* > files 2> /dev/null
grep SigBlk /proc/$$/status > signals
cat > "new.$$" && mv "new.$$" "$2.$$"
[ ! -e fail ] || { echo "it is to fail" >&2; exit 3; }
[ ! -e hang ] || { sleep 1000 & echo $! > hanging; wait; }
SH

my $mock = qq(MockLLMWords \@DIR\@/words\n<Location "/mock">\n    SetHandler mock-llm\n</Location>\n);
my @recover = ('APIPoolRecover 1 1', 'APIPoolRotations 1');
my $admin = admin_server(
    {
        keys => {keys => ['sk-ok-keys-aaaaaaaaaaaa', 'sk-ok-keys-bbbbbbbbbbbb', 'sk-ok-keys-cccccccccccc'],
            upstreams => ['http://127.0.0.1:@PORT@/mock/v1 provider=openai'],
            lines => join("\n    ", @recover, 'APIPoolStrategy round-robin', 'APIPoolNotify low=3')},
        single => {keys => ['sk-ok-single-aaaaaaaaaaa'], upstreams => ['http://127.0.0.1:@PORT@/mock/v1 provider=openai'],
            lines => join "\n    ", @recover},
        failing => {keys => ['sk-ok-failing-aaaaaaaaaa'], upstreams => ['http://127.0.0.1:@PORT@/mock/v1 name=shaky'],
            lines => 'APIPoolRetries 0'},
        poor => {keys => ['sk-ok-poor-aaaaaaaaaaaaa'], upstreams => ['http://127.0.0.1:@PORT@/mock/siliconflow/v1 provider=siliconflow'],
            lines => "APIPoolBalance 1\n    APIPoolNotify balance=5.5"},
        shared => {keys => ['sk-ok-shared-aaaaaaaaaaa'], location => "AuthType APIPool\n    Require valid-user"},
    },
    files => {program => $program, words => "sk-ok-poor-aaaaaaaaaaaaa balance9\n"},
    config => "${mock}APIPoolNotify every=0 timeout=1 client=50 /bin/sh \@DIR\@/program \@DIR\@/told\nAPIPoolSaveInterval 1\n",
);
my $httpd = $admin->{httpd};
my $told = "$httpd->{dir}/told";
$admin->sign_in;
make_path($told);
chmod 0777, $told;

my %words = ('sk-ok-poor-aaaaaaaaaaaaa' => 'balance9');

sub script {
    %words = (%words, @_);
    spew("$httpd->{dir}/words.new", join '', map {"$_ $words{$_}\n"} grep { length $words{$_} } sort keys %words);
    rename "$httpd->{dir}/words.new", "$httpd->{dir}/words" or die "$!\n";
    return;
}

# All that was told of an event, of one pool or of all.
sub told {
    my ($event, $of) = @_;
    my @messages = map { json(slurp($_)) } glob "$told/$event.*";
    return grep { !defined $of || ($_->{pool} // '') eq $of } @messages;
}

sub becomes_known {
    my ($event, $of, $count) = @_;
    my $known = sub { my @got = told($event, $of); @got >= ($count // 1) };
    ok wait_for($known, 20), join(' ', "$event is told", $of // ()) or diag $httpd->log;
    my @got = told($event, $of);
    return $got[-1] // {};
}

sub label {
    my ($of, $label) = @_;
    my ($key) = @{$admin->ask(GET => "/pools/$of/keys")->{json}{keys}};
    return $admin->ask(PATCH => "/pools/$of/keys/$key->{id}", json => {label => $label})->{json};
}

# Much happens at once, as each message has a second of its own.
my $single = label('single', 'the <only> one');
my $alice = $admin->ask(POST => '/clients', json => {name => 'alice', rpm => 4})->{json}{key};

sub ask_as_alice {
    return chat($httpd, 'shared', headers => {Authorization => "Bearer $alice"});
}

is_deeply [glob "$told/*.[0-9]*"], [], 'nothing is told while all is well';
script('sk-ok-single-aaaaaaaaaaa' => '401', 'sk-ok-keys-aaaaaaaaaaaa' => '401', 'sk-ok-failing-aaaaaaaaaa' => '500',
    'sk-ok-poor-aaaaaaaaaaaaa' => 'balance5');
chat($httpd, 'single');
chat($httpd, 'keys') for 1 .. 3;
chat($httpd, 'failing') for 1 .. 5;
ask_as_alice() for 1 .. 2;

subtest 'a key is lost' => sub {
    my $lost = becomes_known('key_lost', 'single');
    is_deeply [sort keys %$lost], [qw(count event host keys pool server text text_base64 time title)], 'the members';
    is_deeply [@$lost{qw(event pool server count)}], ['key_lost', 'single', '', 1], 'the pool';
    my ($row) = @{$lost->{keys}};
    is_deeply [@$row{qw(id key label upstream state reason_code)}], [$single->{id}, $single->{masked}, 'the <only> one', '127.0.0.1', 'invalid', 'R06'],
        'the key';
    is $row->{vendor}{status}, 401, 'what the vendor said';
    like $lost->{text}, qr/\Aapipool on \S+: pool single: a key is lost\n\Q$single->{masked}\E \(the \(only\) one\) at 127\.0\.0\.1: invalid; \w/,
        'the text';
    unlike join('', map { slurp($_) } glob "$told/key_lost.*"), qr/sk-ok-single-a/, 'never the key';
};

subtest 'a pool has few keys, or none' => sub {
    is_deeply [@{becomes_known('pool_exhausted', 'single')}{qw(usable total low)}], [0, 1, undef], 'none';
    is_deeply [@{becomes_known('pool_low', 'keys')}{qw(usable total low)}], [2, 3, 3], 'few';
};

subtest 'an upstream pauses' => sub {
    my $paused = becomes_known('upstream_paused', 'failing');
    is $paused->{upstreams}[0]{name}, 'shaky', 'its name';
    like $paused->{upstreams}[0]{reason}, qr/\Afails/, 'and why';
};

subtest 'a balance is low' => sub {
    my $low = becomes_known('balance_low', 'poor');
    is $low->{keys}[0]{balances}[0]{amount}, 5, 'what is left';
    like $low->{text}, qr/: active; 5\.00 CNY\z/, 'of a key that still serves';
};

subtest 'a client is near a limit' => sub {
    my $near = becomes_known('client_near_limit');
    is_deeply $near->{clients}, [{server => '', name => 'alice', limit => 'rpm', used => 2, of => 4}], 'who, and which';
};

subtest 'the program has nothing of httpd but the error log' => sub {
    my @files = split /\n/, slurp("$told/files");
    is_deeply [grep {m{socket:|eventfd|eventpoll|/store|/secret}} @files], [], 'no socket and no file of httpd';
    like slurp("$told/signals"), qr/SigBlk:\s+0+$/, 'no signal is blocked';
};

script('sk-ok-single-aaaaaaaaaaa' => '', 'sk-ok-failing-aaaaaaaaaa' => '');
ask_as_alice() for 1 .. 3;
rename "$httpd->{dir}/store", "$httpd->{dir}/store.away" or die "$!\n";

subtest 'and all is well again, but for the store' => sub {
    ok wait_for(sub { chat($httpd, 'single')->{status} == 200 }, 20), 'the key serves';
    ok wait_for(sub { chat($httpd, 'failing')->{status} == 200 }, 20), 'the upstream answers';
    becomes_known('store_not_saved');
    is becomes_known('client_over_limit')->{clients}[0]{used}, 4, 'the client was refused';
    is becomes_known('key_back', 'single')->{keys}[0]{state}, 'active', 'the key is in rotation';
    becomes_known('upstream_back', 'failing');
    rename "$httpd->{dir}/store.away", "$httpd->{dir}/store" or die "$!\n";
};

for my $case (['key_lost', 'single'], ['key_back', 'single'], ['pool_exhausted', 'single'], ['pool_low', 'keys'],
    ['key_lost', 'keys'], ['upstream_paused', 'failing'], ['upstream_back', 'failing'], ['balance_low', 'poor'],
    ['client_near_limit', ''], ['client_over_limit', ''], ['store_not_saved', '']) {
    is scalar(my @once = told(@$case)), 1, "@$case: once, whatever the number of processes";
}

subtest 'a program that fails, and one that hangs' => sub {
    spew("$told/fail", '');
    script('sk-ok-keys-bbbbbbbbbbbb' => '401');
    chat($httpd, 'keys') for 1 .. 3;
    becomes_known('key_lost', 'keys', 2);
    ok wait_for(sub { $httpd->log =~ m{AP0186: APIPoolNotify: /bin/sh failed to tell of key_lost: exit status 3} }, 10), 'its failure is logged';
    like $httpd->log, qr/^it is to fail$/m, '... with what it said';
    unlink "$told/fail";
    spew("$told/hang", '');
    script('sk-ok-keys-cccccccccccc' => '401');
    chat($httpd, 'keys') for 1 .. 3;
    ok wait_for(sub { -s "$told/hanging" }, 20), 'it hangs';
    is chat($httpd, 'shared')->{status}, 401, '... which no request notices';
    ok wait_for(sub { $httpd->log =~ /AP0185: APIPoolNotify: .* was stopped before it had told of/ }, 20), '... and is stopped';
    unlink "$told/hang";
    ok wait_for(sub { !kill 0 => slurp("$told/hanging") + 0 }, 10), '... with what it has started';
    becomes_known('pool_exhausted', 'keys');
};

subtest 'a restart repeats nothing' => sub {
    my %before = map { s/\.\d+\z//r => 0 } glob "$told/*.[0-9]*";
    $before{s/\.\d+\z//r}++ for glob "$told/*.[0-9]*";
    ok $httpd->restart, 'a graceful one';
    $httpd->stop;
    $httpd->start;
    script('sk-ok-single-aaaaaaaaaaa' => '401'); # told of last, whatever else there may be
    chat($httpd, 'single');
    becomes_known('pool_exhausted', 'single', 2);
    becomes_known('key_lost', 'single', 2);
    my %after;
    $after{s/\.\d+\z//r}++ for glob "$told/*.[0-9]*";
    $before{"$told/key_lost"}++;
    $before{"$told/pool_exhausted"} += 2; # after a stop, what a pool lacks is told anew: here that of keys
    is_deeply \%after, \%before, '... is told of but what is new';
};

is join("\n", grep { !/AP0057|AP0185|AP0186/ } split /\n/, $httpd->faults), '', 'nothing else is wrong';
$httpd->stop;

done_testing;
