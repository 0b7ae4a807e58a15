# SPDX-License-Identifier: Apache-2.0
# Which paths a client with a list of models or token limits may use, and which nobody may.
use strict;
use warnings;

use APIPoolTest qw(private_httpd request json error_code check_dir mock_port upstream_mark upstream_since);
use Apache::Test ();
use Test::More;

my $module = check_dir() . '/c-modules/clients/.libs/mod_clients.so';
my $upstream = 'http://127.0.0.1:' . mock_port();

sub pool {
    my ($name, @lines) = @_;
    return join "\n    ", "<APIPool $name>", "APIPoolUpstream $upstream/v1", 'APIPoolKeyFile @DIR@/keys', @lines,
        "\n</APIPool>\n";
}

sub location {
    my ($path, @lines) = @_;
    return join "\n    ", "<Location \"$path\">", @lines, "\n</Location>\n";
}

my @ours = ('AuthType APIPool', 'Require valid-user');
my $httpd = private_httpd(
    files => {keys => "sk-ok-ends-aaaaaaaaaaaa\nsk-ok-ends-bbbbbbbbbbbb\n"},
    config => join '',
    "LoadModule clients_module $module\n",
    pool('main', 'APIPoolEndpoint mine /my/thing'),
    pool('open', 'APIPoolAllow /realtime/client_secrets /team'),
    location('/v1', 'APIPoolUse main', @ours),
    location('/open', 'APIPoolUse open', @ours),
    location('/bare', 'APIPoolUse main'),
    location('/clients', 'SetHandler clients'),
);

my %key;

sub create {
    my ($name, %members) = @_;
    my $query = join '&', "do=create&name=$name", map { "$_=$members{$_}" } keys %members;
    my $made = json(request(GET => "/clients?$query", base => $httpd->{base})->{content});
    die "$name: $made->{error}\n" if $made->{result} ne 'done';
    return $key{$name} = $made->{key};
}

# ask(NAME, 'POST /v1/chat', body, headers): as the client of that name, or nobody
sub ask {
    my ($name, $line, $content, $headers) = @_;
    my ($method, $path) = split / /, $line;
    return request(
        $method => $path,
        base => $httpd->{base},
        content => $content // '',
        headers => {%{$headers || {}}, $name ? (authorization => "Bearer $key{$name}") : ()}
    );
}

sub refused {
    my ($name, $line, $code, $content, $headers) = @_;
    my $mark = upstream_mark();
    my $answer = ask($name, $line, $content, $headers);
    is_deeply [$answer->{status}, error_code($answer)], [$code eq 'request_too_large' ? 413 : 403, $code],
        ($name || 'nobody') . ": $line: $code"
        or diag $answer->{content};
    my @heard = grep { ($_->{key} // '') =~ /-ends-/ } upstream_since($mark);
    is scalar @heard, 0, '... and no upstream hears of it';
    return $answer;
}

sub passes {
    my ($name, $line, $content, $headers) = @_;
    my $mark = upstream_mark();
    ask($name, $line, $content, $headers);
    my @heard = grep { ($_->{key} // '') =~ /-ends-/ } upstream_since($mark);
    is scalar @heard, 1, ($name || 'nobody') . ": $line: passes";
    return;
}

create('models', models => 'm,gpt-4o');
create('tokens', tpm => 1_000_000);
create('daily', tokens_per_day => 1_000_000);
create('plain', rpm => 1000);
create('trusted', models => 'm', endpoints => 'unlisted');
create('both', models => 'm', endpoints => 'chat,unlisted');

my @unlisted = ('POST /v1/agents/run', 'POST /v1/some/files', 'PUT /v1/chat/completions', 'GET /v1/secret/models',
    'POST /v1/vendor/x:countTokens', 'POST /v1/text2anything', 'DELETE /v1/chat/completions', 'POST /v1/files%2fx');

subtest 'what is not known is refused to who is limited' => sub {
    for my $line (@unlisted) {
        refused($_, $line, 'endpoint_unlisted', '{"model":"m"}') for qw(models tokens daily);
    }
    like refused('models', $unlisted[0], 'endpoint_unlisted')->{content}, qr/known endpoints only/, 'which is said';
};

subtest 'others may use it' => sub {
    passes($_, $unlisted[0], '{"model":"m"}') for qw(plain trusted both);
    passes('', $unlisted[0] =~ s/v1/bare/r, '{}');
    passes('trusted', 'POST /v1/chat', '{"model":"m"}');
    passes('trusted', 'POST /v1/embeddings', '{"model":"m"}');
    passes('both', 'POST /v1/chat', '{"model":"m"}');
    refused('both', 'POST /v1/embeddings', 'endpoint_not_allowed', '{"model":"m"}');
    refused('trusted', $unlisted[0], 'model_not_allowed', '{"model":"gpt-5"}');
};

subtest 'what is known to be free passes' => sub {
    for my $line (
        'GET /v1/models', 'GET /v1/models/author/name', 'POST /v1/files', 'POST /v1/moderations',
        'POST /v1/messages/count_tokens', 'GET /v1/responses/r', 'POST /v1/responses/r/cancel', 'GET /v1/batches/b',
        'POST /v1/threads/t/messages', 'GET /v1/user/info', 'POST /v1/models/m:countTokens', 'GET /v1/videos/v/content'
        )
    {
        passes($_, $line, $line =~ /^POST/ ? '{}' : '') for qw(models tokens);
    }
};

subtest 'what generates needs a model that is allowed' => sub {
    for my $path (
        qw(videos ocr complete generate interactions video/submit fine_tuning/jobs realtime cachedContents
        any/prefix/chat/completions)
        )
    {
        refused('models', "POST /v1/$path", 'model_not_allowed', '{"prompt":"x"}');
        refused('models', "POST /v1/$path", 'model_not_allowed', '{"model":"gpt-5"}');
        passes('models', "POST /v1/$path", '{"model":"m"}');
        passes('tokens', "POST /v1/$path", '{"model":"gpt-5"}');
    }
    for my $method (qw(predict predictLongRunning generateContent rawPredict)) {
        refused('models', "POST /v1/models/gpt-5:$method", 'model_not_allowed', '{}');
        refused('models', "POST /v1/tunedModels/m:$method", 'model_not_allowed', '{}');
        passes('models', "POST /v1/models/m:$method", '{"model":"models/m"}');
    }
    refused('models', 'POST /v1/mine', 'model_not_allowed', '{}');
    passes('models', 'POST /v1/mine', '{"model":"m"}');
    passes('tokens', 'POST /v1/mine', '{}');
};

subtest 'whose model cannot be seen is for those without a list' => sub {
    for my $path (qw(batches evals/e/runs realtime/calls videos/v/remix text-to-speech/v text-to-speech/v/stream music)) {
        refused('models', "POST /v1/$path", 'model_not_allowed', '{"model":"m"}');
        passes('tokens', "POST /v1/$path", '{"input_file_id":"f"}');
    }
};

sub batch {
    my (@models) = @_;
    return '{"requests":[' . join(',', map {qq({"custom_id":"x","params":{"model":"$_","max_tokens":10}})} @models) . ']}';
}

subtest 'every request of a batch names its model' => sub {
    my $line = 'POST /v1/messages/batches';
    passes('models', $line, batch('m', 'gpt-4o'));
    passes('tokens', $line, batch('m', 'gpt-5'));
    my %bodies = (
        'one of three' => batch('m', 'gpt-5', 'm'),
        'no request' => batch(),
        'nothing' => '{}',
        'no model' => '{"requests":[{"params":{}}]}',
        'a model beside' => '{"model":"m","requests":[{"params":{"model":"gpt-5"}}]}',
        'two models' => '{"requests":[{"params":{"model":"m","Model":"gpt-5"}}]}',
        'the same twice' => '{"requests":[{"params":{"model":"gpt-5","model":"m"}}]}',
        'two lists' => '{"requests":[{"params":{"model":"m"}}],"Requests":[{"params":{"model":"gpt-5"}}]}',
        'two sets of parameters' => '{"requests":[{"params":{"model":"m"},"PARAMS":{"model":"gpt-5"}}]}',
        'a model that is no text' => '{"requests":[{"params":{"model":["m"]}}]}',
        'no JSON' => 'x',
        'broken JSON' => '{"requests":[{"params":{"model":"m"}}]',
        'in a disguise' => '{"requests":[{"params":{"mod\u0065l":"gpt-5"}}]}',
    );
    for my $what (sort keys %bodies) {
        note $what;
        refused('models', $line, 'model_not_allowed', $bodies{$what});
    }
    my $large = batch(('m') x 25_000);
    like refused($_, $line, 'request_too_large', $large)->{content}, qr/1 MiB/, 'which is said' for qw(models tokens);
    passes('plain', $line, $large);
};

subtest 'batches of Gemini' => sub {
    my $line = 'POST /v1/models/m:batchGenerateContent';
    my $of = sub {qq({"batch":{"inputConfig":{"requests":{"requests":[{"request":{$_[0]}}]}}}})};
    passes('models', $line, $of->('"contents":[]'));
    passes('models', $line, $of->('"model":"models/m"') =~ s/inputConfig/input_config/r);
    refused('models', $line, 'model_not_allowed', $of->('"model":"models/gpt-5"'));
    refused('models', $line, 'model_not_allowed', $of->('"model":"gpt-5"') =~ s/inputConfig/input_config/r);
    refused('models', $line, 'model_not_allowed', '{"batch":{"input_config":{"file_name":"files/f"}}}');
    refused('models', 'POST /v1/models/gpt-5:batchGenerateContent', 'model_not_allowed', $of->('"model":"m"'));
};

subtest 'accounts and credentials are closed to everybody' => sub {
    for my $path (
        qw(organization/users organization/admin_api_keys admin/x api/v1/keys key/generate user/new team/new
        realtime/client_secrets realtime/sessions chatkit/sessions auth_tokens dashboard/billing/usage
        %6brganization/../keys %256beys realtime/session%252573 realtime%2fsessions realtime/session%73 REALTIME/Sessions realtime;x/sessions)
        )
    {
        refused($_, "POST /v1/$path", 'endpoint_not_allowed', '{"model":"m"}') for qw(plain models trusted);
        refused('', "POST /bare/$path", 'endpoint_not_allowed', '{}');
    }
    like refused('', 'GET /bare/organization', 'endpoint_not_allowed')->{content}, qr/closed/, 'which is said';
    passes('', 'GET /bare/models/admin-x');
    passes('', 'POST /bare/deployments/keys/chat/completions', '{}');
};

subtest 'but for what the pool allows' => sub {
    passes('plain', 'POST /open/realtime/client_secrets', '{}');
    passes('plain', 'POST /open/Team/new', '{}');
    passes('trusted', 'POST /open/realtime/client_secrets', '{"model":"m"}');
    refused('models', 'POST /open/realtime/client_secrets', 'endpoint_unlisted', '{}');
    refused('tokens', 'POST /open/realtime/client_secrets', 'endpoint_unlisted', '{}');
    refused('plain', 'POST /open/realtime/sessions', 'endpoint_not_allowed', '{}');
    refused('plain', 'POST /open/admin/realtime/client_secrets', 'endpoint_not_allowed', '{}');
    refused('plain', 'POST /open/realtime/client_secrets_x/keys', 'endpoint_not_allowed', '{}');
};

is $httpd->faults, '', 'nothing went wrong inside';

done_testing;
