# SPDX-License-Identifier: Apache-2.0
# What one client may have in flight, and what is set aside for it meanwhile, whatever its requests say.
use strict;
use warnings;

use APIPoolTest qw(private_httpd request json error_code check_dir mock_port closed_port upstream_mark
    upstream_since wait_for);
use Apache::Test ();
use IO::Socket::INET ();
use Test::More;

my $module = check_dir() . '/c-modules/clients/.libs/mod_clients.so';
my $upstream = 'http://127.0.0.1:' . mock_port() . '/v1';

sub pool {
    my ($name, @lines) = @_;
    return join "\n    ", "<APIPool $name>", "APIPoolUpstream $upstream", 'APIPoolKeyFile @DIR@/keys', @lines,
        "\n</APIPool>\n<Location \"/$name\">", "APIPoolUse $name", 'AuthType APIPool', "Require valid-user\n</Location>\n";
}

my $httpd = private_httpd(
    files => {keys => "sk-ok-crowd-aaaaaaaaaaaa\n"},
    config => join '',
    "LoadModule clients_module $module\n",
    pool('v1'),
    pool('fresh'),
    pool('few', 'APIPoolClientLimits concurrency=2'),
    pool('line', 'APIPoolLimits concurrency=1', 'APIPoolWait 20'),
    pool('dead', 'APIPoolRetries 0') =~ s/\Q$upstream/'http:\/\/127.0.0.1:' . closed_port() . '\/v1'/er,
    "<Location \"/clients\">\nSetHandler clients\n</Location>\n",
);

my %key;

sub clients {
    my ($do, %members) = @_;
    my $query = join '&', "do=$do", map { "$_=$members{$_}" } keys %members;
    my $answer = json(request(GET => "/clients?$query", base => $httpd->{base})->{content});
    die "$do: $answer->{error}\n" if $answer->{result} ne 'done';
    return $answer;
}

sub create {
    my ($name, %members) = @_;
    return $key{$name} = clients('create', name => $name, %members)->{key};
}

sub in_flight {
    my ($name) = @_;
    return (grep { $_->{name} eq $name } @{clients('list')->{clients}})[0]{in_flight};
}

sub begin {
    my ($name, $path, $body, @fields) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$httpd->{port}", Timeout => 10) or die "$@\n";
    @fields = ('Content-Type: application/json') if !@fields;
    print {$socket} join "\r\n", "POST $path HTTP/1.1", 'Host: x', "Authorization: Bearer $key{$name}",
        'Connection: close', 'Content-Length: ' . length $body, @fields, '', $body;
    return $socket;
}

sub finish {
    my ($socket) = @_;
    my $answer = do { local $/; <$socket> };
    my ($status) = $answer =~ m{^HTTP/1.1 (\d+)} or return {status => 0, content => ''};
    my ($after) = $answer =~ /^Retry-After: (\d+)\r$/mi;
    return {status => $status, after => $after, content => $answer =~ s/.*?\r\n\r\n//sr};
}

# So many at once; how many were served, and the answers of the others.
sub burst {
    my ($count, @request) = @_;
    my @answers = map { finish($_) } map { begin(@request) } 1 .. $count;
    return (scalar(grep { $_->{status} == 200 } @answers), grep { $_->{status} != 200 } @answers);
}

my @slow = ('Content-Type: application/json', 'X-Mock: slow-delayms1500');

subtest 'no more than a client may are in flight' => sub {
    create('three', concurrency => 3);
    my $mark = upstream_mark();
    my ($served, @others) = burst(10, 'three', '/v1/chat', '{"model":"m"}', @slow);
    is $served, 3, 'three of ten are served';
    is scalar(grep { ($_->{key} // '') =~ /-crowd-/ } upstream_since($mark)), 3, '... and no other is sent';
    is scalar(grep { $_->{status} == 429 && $_->{after} && error_code($_) eq 'rate_limit_exceeded' } @others), 7,
        'the others are told when to come back';
    like $others[0]{content}, qr/concurrency/, '... and why';
    is in_flight('three'), 0, 'nothing is left in flight';
    is +(burst(3, 'three', '/v1/chat', '{"model":"m"}', @slow))[0], 3, '... so that three are served again';
};

subtest 'over all pools' => sub {
    my $first = begin('three', '/v1/chat', '{"model":"m"}', @slow);
    ok wait_for(sub { in_flight('three') == 1 }), 'one in a pool';
    is +(burst(4, 'three', '/few/chat', '{"model":"m"}', @slow))[0], 2, 'and two in another';
    is finish($first)->{status}, 200, 'the first one is served';
};

subtest 'a pool says it for those without a limit' => sub {
    create('any');
    is +(burst(5, 'any', '/few/chat', '{"model":"m"}', @slow))[0], 2, 'two';
    is +(burst(5, 'any', '/v1/chat', '{"model":"m"}', @slow))[0], 5, '... and as many as there are where none says it';
    clients('change', name => 'any', concurrency => 4);
    is +(burst(6, 'any', '/few/chat', '{"model":"m"}', @slow))[0], 4, '... or as many as the client may';
    clients('change', name => 'any', concurrency => 0);
};

subtest 'those who wait for a key count' => sub {
    create('patient', concurrency => 2);
    is +(burst(5, 'patient', '/line/chat', '{"model":"m"}', @slow))[0], 2, 'one is served, one waits';
};

subtest 'whatever ends a request gives its place back' => sub {
    create('one', concurrency => 1);
    is finish(begin('one', '/dead/chat', '{"model":"m"}'))->{status}, 502, 'no upstream' for 1 .. 2;
    my $left = begin('one', '/v1/chat', '{"model":"m","stream":true}', 'X-Mock: stall1', 'Content-Type: application/json');
    sysread $left, my $begun, 15;
    is in_flight('one'), 1, 'a stream';
    is finish(begin('one', '/v1/chat', '{}'))->{status}, 429, '... has the place';
    close $left;
    ok wait_for(sub { !in_flight('one') }, 20), '... until its client leaves';
    is finish(begin('one', '/v1/chat', '{"model":"m"}'))->{status}, 200, '... for the next one';
    my $early = begin('one', '/v1/chat', '{"model":"m"}', 'Content-Type: application/json', 'X-Mock: slow-delayms20000');
    ok wait_for(sub { in_flight('one') }), 'one that has no answer yet';
    close $early;
    ok wait_for(sub { !in_flight('one') }, 20), '... and whose client leaves';
};

subtest 'a body that comes slowly has its place' => sub {
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$httpd->{port}", Timeout => 10) or die "$@\n";
    print {$socket} join "\r\n", 'POST /v1/chat HTTP/1.1', 'Host: x', "Authorization: Bearer $key{one}",
        'Content-Type: application/json', 'Content-Length: 13', 'Connection: close', '', '{';
    ok wait_for(sub { in_flight('one') }), 'before it is there';
    is finish(begin('one', '/v1/chat', '{"model":"m"}'))->{status}, 429, '... there is none beside it';
    print {$socket} '"model":"m"}';
    is finish($socket)->{status}, 200, '... and it is served';
};

subtest 'a WebSocket has its place while it is open' => sub {
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$httpd->{port}", Timeout => 10) or die "$@\n";
    print {$socket} join "\r\n", 'GET /v1/realtime?model=m HTTP/1.1', 'Host: x', 'Upgrade: websocket',
        'Connection: Upgrade', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
        "Authorization: Bearer $key{one}", '', '';
    my $head = '';
    sysread $socket, $head, 1, length $head or last while $head !~ /\r\n\r\n/;
    like $head, qr{^HTTP/1.1 101}, 'it is open';
    is finish(begin('one', '/v1/chat', '{"model":"m"}'))->{status}, 429, 'there is no place beside it';
    close $socket;
    ok wait_for(sub { finish(begin('one', '/v1/chat', '{"model":"m"}'))->{status} == 200 }, 20), '... but after it';
};

subtest 'a child that is killed takes no place with it' => sub {
    my @lost = map { begin('three', '/v1/chat', '{"model":"m"}', 'Content-Type: application/json',
            'X-Mock: slow-delayms60000') } 1 .. 3;
    ok wait_for(sub { in_flight('three') == 3 }), 'three are in flight';
    is finish(begin('three', '/v1/chat', '{"model":"m"}'))->{status}, 429, '... and no fourth';
    kill KILL => $httpd->children;
    ok wait_for(sub { defined eval { in_flight('three') } && !in_flight('three') }, 30), 'then none is';
    is +(burst(4, 'three', '/v1/chat', '{"model":"m"}', @slow))[0], 3, '... and three are served';
};

# How many of several requests at once a client with 20,000 tokens a minute gets through: begin_all has begun them.
my $number = 0;

sub begin_all {
    my ($body, $count, $words, $path, @fields) = @_;
    my $name = 'spender' . ++$number;
    create($name, tpm => 20_000);
    @fields = ('Content-Type: application/json') if !@fields;
    return [map { begin($name, $path // '/v1/chat', $body, @fields, "X-Mock: slow-delayms1500-$words") } 1 .. $count];
}

sub have_got_through {
    my ($sockets) = @_;
    return scalar grep { finish($_)->{status} == 200 } @$sockets;
}

sub get_through {
    return have_got_through(begin_all(@_));
}

subtest 'tokens are set aside as the model answers' => sub {
    create('first');
    is finish(begin('first', '/v1/chat', '{"model":"large"}', 'Content-Type: application/json', 'X-Mock: completion8000'))
        ->{status}, 200, 'an answer of 8,000 tokens';
    is get_through('{"model":"large"}', 30, 'completion8000'), 2, 'two of thirty are within 20,000';
    is get_through('{"model":"large","max_tokens":-1}', 4, 'completion8000'), 2, 'a limit that is none makes no difference';
    is get_through('{"model":"large","max_tokens":0,"max_completion_tokens":null}', 4, ''), 2, '... nor do others';
    is get_through('{"model":"large","max_tokens":500}', 10, ''), 10, 'but one that the request sets does';
    is get_through('{"model":"unknown"}', 30, 'completion8000'), 2, 'a model that has not answered yet is like others';
    is get_through('{"model":"unknown"}', 30, 'completion8000', '/fresh/chat'), 4, '... where there are any';
    is get_through('{"model":"m"}', 10, ''), 10, 'one whose answers are short';
};

subtest 'tokens are set aside as a request says' => sub {
    my %bodies = (
        'several answers' => '{"model":"m","max_tokens":3000,"n":5}',
        'the best of several' => '{"model":"m","max_tokens":3000,"n":1,"best_of":5}',
        'the larger of two' => '{"model":"m","max_tokens":15000,"max_completion_tokens":1}',
        '... whichever' => '{"model":"m","max_completion_tokens":15000,"max_tokens":1}',
        'another name' => '{"model":"m","max_output_tokens":15000}',
        'in capitals' => '{"model":"m","MAX_TOKENS":15000}',
        'another form' => '{"model":"m","max_tokens":1.5e4}',
        'two that differ' => '{"model":"m","max_tokens":1,"max_tokens":15000}',
        '... either way' => '{"model":"m","max_tokens":15000,"max_tokens":1}',
    );
    my %begun = map { $_ => begin_all($bodies{$_}, 3, '') } keys %bodies;
    is have_got_through($begun{$_}), 1, $_ for sort keys %bodies;
    my $gemini = '/v1/models/m:generateContent';
    my %configs = (
        'of Gemini' => '"generationConfig":{"maxOutputTokens":15000}',
        'in snake case' => '"generation_config":{"max_output_tokens":"15000"}',
        'with candidates' => '"generationConfig":{"maxOutputTokens":3000,"candidateCount":5}',
        'behind a long text' => '"generationConfig":{"x":"' . 'y' x 9000 . '","maxOutputTokens":13000}',
    );
    %begun = map { $_ => begin_all("{$configs{$_}}", 3, '', $gemini) } keys %configs;
    is have_got_through($begun{$_}), 1, $_ for sort keys %configs;
    is get_through('{"contents":[{"maxOutputTokens":15000}],"generationConfig":{"maxOutputTokens":100}}', 3, '', $gemini),
        3, 'but not what stands elsewhere';
    my $form = "--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n"
        . "--B\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n10\r\n--B--\r\n";
    is get_through($form, 3, '', '/v1/images/edits', 'Content-Type: multipart/form-data; boundary=B'), 1, 'in a form';
    my $batch = '{"requests":[' . join(',', ('{"params":{"model":"m","max_tokens":1500}}') x 10) . ']}';
    is get_through($batch, 3, '', '/v1/messages/batches'), 1, 'in all requests of a batch';
};

is $httpd->faults, '', 'nothing went wrong inside';

done_testing;
