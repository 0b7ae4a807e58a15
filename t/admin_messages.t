# SPDX-License-Identifier: Apache-2.0
# What the admin API says to people, in Chinese for those who prefer it; codes, names of members and logs stay English.
use strict;
use warnings;
use utf8;

use APIPoolAdmin qw(admin_server);
use APIPoolTest qw(error_code chat);
use Encode ();
use Test::More;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $CHINESE = 'zh-CN,zh;q=0.9';
my $HAN = qr/\p{Han}/;

my $admin = admin_server({main => {keys => ['sk-ok-messages-key-aaaa', 'sk-401-messages-aaaaaaa', 'sk-429-messages-retry600']},
    empty => {keys => []}})->sign_in;
my $viewer = $admin->as(token => $admin->token_for('bob', 'builder'));
my $nobody = $admin->as;
my %id = map { $_->{masked} =~ /^sk-4/ ? ($_->{masked} => $_->{id}) : (ok => $_->{id}) } @{$admin->ask(GET => '/pools/main/keys')->{json}{keys}};
my $key = "/pools/main/keys/$id{ok}";

# The answer to whoever prefers that language.
sub ask {
    my ($who, $language, $method, $path, %options) = @_;
    return $who->ask($method, $path, %options, headers => {defined $language ? ('accept-language' => $language) : ()});
}

sub head_is {
    my ($answer, $language, $name) = @_;
    is $answer->{headers}{'content-language'}, $language, "$name: says its language";
    like $answer->{headers}{vary} // '', qr/\bAccept-Language\b/, '... and that there are others';
}

# The same error to all; one sentence in English, another one in Chinese.
sub is_said {
    my ($who, $english, $chinese, @request) = @_;
    my $name = "$request[0] $request[1]";
    my $answer = ask($who, undef, @request);
    my $wanted = $answer->error;
    is $answer->{json}{error}{message}, $english, "$name: in English";
    head_is($answer, 'en', $name);
    for my $language ($CHINESE, 'zh', 'zh-TW', 'en;q=0.5,zh;q=0.8') {
        my $told = ask($who, $language, @request);
        ok eval { Encode::decode('UTF-8', $told->{content}, Encode::FB_CROAK); 1 }, "$name, $language: is UTF-8";
        is $told->{json}{error}{message}, $chinese, '... in Chinese';
        is $told->error, $wanted, '... with the same code and field';
        head_is($told, 'zh-CN', $name);
    }
    for my $language ('en', 'en,zh', 'zh;q=0', 'de', 'zh;q=0.5,en;q=0.6', 'zh;q=x', '*') {
        is ask($who, $language, @request)->{json}{error}{message}, $english, "$name, $language: in English";
    }
}

is_said($nobody, 'Sign in first: there is no valid session.', '请先登录：没有有效的会话。', GET => '/pools');
is_said($viewer, 'Viewers have read-only access.', '查看者只有只读权限。', DELETE => $key);
is_said($admin, 'There is no such pool.', '没有此密钥池。', GET => '/pools/nothing');
is_said($admin, 'There is no such route.', '没有此接口。', GET => '/nothing');
is_said($admin, 'Allowed methods: GET, HEAD, PATCH, DELETE.', '允许的方法：GET, HEAD, PATCH, DELETE。', POST => $key, json => {});
is_said($admin, 'Must be a whole number from 1 to 1000.', '必须是 1 到 1000 的整数。', PATCH => $key, json => {weight => 0});
is_said($admin, 'Must be at most 120 bytes long.', '不能超过 120 字节。', PATCH => $key, json => {label => 'x' x 121});
is_said($admin, 'Unknown member.', '未知成员。', PATCH => $key, json => {nonsense => 1});
is_said($admin, 'Must be a whole number from 1 to 4294967295.', '必须是 1 到 4294967295 的整数。', PATCH => $key,
    json => {limits => {rpm => 0}});
is_said($admin, 'Invalid JSON at line 2, column 5.', 'JSON 格式有误：第 2 行，第 5 列。', PATCH => $key, content => "{\"label\":\n oops}");
is_said($admin, 'Must be one of: asc, desc.', '必须是以下之一：asc, desc。', GET => '/pools/main/keys?order=up');
is_said($admin, 'The body must be application/json, in UTF-8.', '请求体必须是 UTF-8 编码的 application/json。',
    PATCH => $key, content => 'x', type => 'text/plain');
is_said($admin, 'The body may have at most 8388608 bytes.', '请求体不能超过 8388608 字节。',
    PATCH => $key, content => '{"label":"' . 'a' x (8 << 20) . '"}');
is_said($admin, 'Each must have 1 to 255 bytes of UTF-8 without control characters, quotes and backslashes.',
    '每一项必须是 1 到 255 字节的 UTF-8，且不含控制字符、引号和反斜杠。', POST => '/clients', json => {name => 'x', models => ['a"b']});
like ask($admin, $CHINESE, POST => '/clients', json => {name => "a\x{202e}b"})->{json}{error}{message}, qr/^不能包含 U\+202E：/,
    'a name that is refused: names the character';

# Wrong passwords are few: more would make everybody wait.
is ask($nobody, $CHINESE, POST => '/session', json => {username => 'alice', password => 'x'})->{json}{error}{message},
    '用户名或密码错误。', 'a wrong password';
is ask($nobody, 'en', POST => '/session', json => {username => 'alice', password => 'x'})->{json}{error}{message},
    'The user name or the password is wrong.', '... in English';

# Reasons that are no errors of the request.
my @import = (POST => '/pools/main/keys?preview=true', type => 'text/plain', content => "sk-ok\nsk\x{1}one\nsk-\xc3\xa9\n");
is_deeply ask($admin, 'en', @import)->{json}{invalid},
    [{line => 2, reason => 'control character in a key'},
        {line => 3, reason => 'character outside ASCII in a key (was it copied in its masked form?)'}],
    'what an import refuses';
is ask($admin, 'en', @import)->{json}{doubtful}[0]{doubt}, 'shorter than 16 characters', '... or is in doubt about';
my $answer = ask($admin, $CHINESE, @import);
is_deeply $answer->{json}{invalid},
    [{line => 2, reason => '密钥含有控制字符'}, {line => 3, reason => '密钥含有非 ASCII 字符（是否复制了掩码形式？）'}], '... in Chinese';
is $answer->{json}{doubtful}[0]{doubt}, '不足 16 个字符', '... both';
head_is($answer, 'zh-CN', 'an import');

my ($rejected) = map { $id{$_} } grep {/^sk-4.*aaaa$/} keys %id;
my $check = "/pools/main/keys/$rejected/check";
is ask($admin, $CHINESE, POST => $check, json => {})->{json}{detail}, '上游拒绝该密钥（401，R06）。', 'what came of a check';
is ask($admin, undef, POST => $check, json => {})->{json}{detail}, 'The upstream rejects the key (401, R06).', '... in English';
my $shown = ask($admin, $CHINESE, GET => "/pools/main/keys/$rejected")->{json};
is $shown->{reason}, '上游拒绝该凭据', 'why a key is in its state';
is $shown->{last_error}{message}, '上游拒绝该凭据', '... and its last error';
is $shown->{state}, 'invalid', '... whose name stays English';
is ask($admin, 'zh;q=0', GET => "/pools/main/keys/$rejected")->{json}{reason}, 'the upstream rejects the credential', '... in English';

# A list that is kept by its hash is another one in another language.
my $english = ask($admin, 'en', GET => '/pools/main/keys')->{headers}{etag};
isnt ask($admin, $CHINESE, GET => '/pools/main/keys')->{headers}{etag}, $english, 'each language has an ETag of its own';

# Not what clients of the pools are told: their programs know the English sentences.
my $refused = chat($admin, 'empty', headers => {'accept-language' => $CHINESE, 'content-type' => 'application/json'});
is error_code($refused), 'pool_exhausted', 'a client of a pool is refused';
unlike Encode::decode('UTF-8', $refused->{content}), $HAN, '... in English';

unlike Encode::decode('UTF-8', $admin->{httpd}->log), $HAN, 'the log is in English';

done_testing;
