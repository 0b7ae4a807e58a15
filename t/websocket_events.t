# SPDX-License-Identifier: Apache-2.0
# Events of WebSockets: a client's list of models holds for each of them, whatever frames they come in, and each response
# is counted, charged and limited as a request is.
use strict;
use warnings;

use APIPoolAdmin qw(admin_server);
use APIPoolNumbers qw(@NOTES $LOG_OF_NOTES read_notes);
use APIPoolTest qw(mock_port upstream_since wait_for metrics slurp);
use APIPoolWebSocket qw(frame open_websocket serve_events asked TEXT BINARY CLOSE PING PONG CONTINUATION);
use Apache::Test ();
use JSON::PP ();
use List::Util qw(sum0);
use Test::More;
use Time::HiRes qw(sleep time);

my ($port, $file) = serve_events();
my $auth = "AuthType APIPool\n    Require valid-user";
my %pools = map { $_ => {keys => ["sk-ok-$_-aaaaaaaaaaaa"], upstreams => ["http://127.0.0.1:$port/v1"], location => $auth} }
    qw(main errors quota invalid served);
$pools{open} = {%{$pools{main}}, keys => ['sk-ok-open-aaaaaaaaaaaa'], location => ''};
$pools{limited} = {%{$pools{open}}, keys => ['sk-ok-limited-aaaaaaaa'], lines => 'APIPoolLimits rpm=3'};
my $admin = admin_server(\%pools, config => $LOG_OF_NOTES)->sign_in;
my $httpd = $admin->{httpd};
my $opened = 0;

my %key;

sub create {
    my ($name, %members) = @_;
    my $answer = $admin->ask(POST => '/clients', json => {name => $name, %members});
    die "$name: $answer->{status} $answer->{content}\n" if !$answer->{success};
    return $key{$name} = $answer->{json}{key};
}

create('listed', models => ['gpt-good', 'whisper-good']);
create($_) for qw(anybody somebody);

# open_as(CLIENT, 'realtime?model=m', FIELDS): a WebSocket through the pool "main", or of another one.
sub open_as {
    my ($client, $path, @fields) = @_;
    my $pool = $path =~ s{^(\w+):}{} ? $1 : 'main';
    my $id = 'id=' . ++$opened;
    $path .= ($path =~ /\?/ ? '&' : '?') . $id;
    my $ws = open_websocket($httpd->{port}, "/$pool/$path", $client ? "Authorization: Bearer $key{$client}" : (), @fields);
    $ws->{id} = $id;
    return $ws;
}

sub mark { return -s $file || 0 }

# The notes of a connection that is over, by their names.
sub notes_of {
    my ($ws) = @_;
    my $line = wait_for(sub { (grep { $_->[0] =~ /\b$ws->{id}\z/ } read_notes($httpd))[0] }) or return {};
    my %notes;
    @notes{'status', @NOTES} = map { $_ eq '-' ? undef : $_ } @$line[1 .. 1 + @NOTES];
    return \%notes;
}

# The entries of the recent requests since a number, oldest first.
sub recent {
    my ($since) = @_;
    my $list = $admin->ask(GET => '/requests?limit=1000')->{json}{requests};
    return sort { $a->{number} <=> $b->{number} } grep { $_->{number} > $since } @$list; # as they ended
}

# Of the last one, once no connection of an earlier test is open, and all are counted.
sub last_number {
    wait_for(sub { !metrics($httpd->{base})->sum('apipool_in_flight') });
    sleep 0.2;
    my ($last) = reverse recent(0);
    return $last ? $last->{number} : 0;
}

sub used { return $admin->ask(GET => "/clients/$_[0]")->{json}{usage}{total_tokens} }

# An attack is answered with an error event and a close frame, and the upstream gets no message of it.
sub refused {
    my ($what, $path, $bytes, %how) = @_;
    my $mark = mark();
    my $ws = open_as('listed', $path);
    like $ws->{head}, qr{\AHTTP/1.1 101 }, "$what: switched" or return;
    $ws->next_event if $path =~ /realtime/;
    $ws->send_bytes($bytes, $how{step});
    my $event = $ws->next_event // {};
    is_deeply [@{$event}{qw(type status)}, ($event->{error} || {})->{code}], ['error', 403, 'model_not_allowed'], '... an error event';
    is_deeply $ws->next_event, {type => 'close', code => 1008}, '... and the close frame of a violated policy';
    ok !$ws->next_frame, '... and nothing else';
    $ws->leave;
    wait_for(sub { notes_of($ws)->{status} });
    is_deeply [grep { $_ ne 'harmless' } asked($file, $mark)], [], '... the upstream got nothing of it';
    return $ws;
}

sub text { return frame(TEXT, $_[0], masked => 1) }

my $bad = '{"type":"session.update","session":{"model":"gpt-bad"}}';

subtest 'a model that is not allowed' => sub {
    refused('session.update', 'realtime?model=gpt-good', text($bad));
    refused('response.create', 'realtime?model=gpt-good', text('{"type":"response.create","response":{"model":"gpt-bad"}}'));
    refused('of responses', 'responses', text('{"type":"response.create","model":"gpt-bad","input":"hi"}'));
    refused('of no name', 'responses', text('{"type":"response.create","input":"hi","prompt":{"id":"p"}}'));
    refused('of a session without one', 'realtime', text('{"type":"response.create"}'));
    refused('of a transcription', 'realtime?model=gpt-good',
        text('{"type":"session.update","session":{"audio":{"input":{"transcription":{"model":"whisper-bad"}}}}}'));
    refused('of an older transcription', 'realtime?intent=transcription',
        text('{"type":"transcription_session.update","session":{"input_audio_transcription":{"model":"whisper-bad"}}}'));
    refused('behind an allowed one', 'realtime?model=gpt-good',
        text('{"type":"harmless"}') . text('{"type":"session.update","model":"gpt-good","session":{"model":"gpt-bad"}}'));
};

subtest 'however it is framed' => sub {
    my @parts = $bad =~ /(.{1,5})/g;
    my $pieces = join '', map { frame($_ ? CONTINUATION : TEXT, $parts[$_], masked => 1, final => $_ == $#parts) } 0 .. $#parts;
    my $with_pings = join '',
        map { frame($_ ? CONTINUATION : TEXT, $parts[$_], masked => 1, final => $_ == $#parts) . frame(PING, "p$_", masked => 1) }
        0 .. $#parts - 1;
    $with_pings .= frame(CONTINUATION, $parts[-1], masked => 1);
    refused('in many frames', 'realtime?model=gpt-good', $pieces);
    refused('in many frames, byte by byte', 'realtime?model=gpt-good', $pieces, step => 1);
    refused('in one frame, byte by byte', 'realtime?model=gpt-good', text($bad), step => 1);
    refused('with a long length', 'realtime?model=gpt-good', frame(TEXT, $bad, masked => 1, length => 64));
    refused('with an empty frame at the end', 'realtime?model=gpt-good',
        frame(TEXT, $bad, masked => 1, final => 0) . frame(CONTINUATION, '', masked => 1));
    my $mark = mark();
    my $ws = open_as('listed', 'realtime?model=gpt-good');
    $ws->next_event;
    $ws->send_bytes($with_pings, 7);
    my (@pongs, $closed);
    while (my $frame = $ws->next_frame) {
        push @pongs, $frame->{payload} if $frame->{opcode} == PONG;
        $closed = unpack 'n', $frame->{payload} if $frame->{opcode} == CLOSE;
    }
    is $closed, 1008, 'with pings in between: closed';
    cmp_ok scalar @pongs, '>', 0, '... which were answered meanwhile';
    is_deeply [asked($file, $mark)], [], '... the upstream got nothing of it';
};

subtest 'however it is written' => sub {
    my %ways = (
        'a name with an escape' => '{"type":"session.update","session":{"\u006dodel":"gpt-bad"}}',
        'a value with an escape' => '{"type":"session.update","session":{"model":"gpt-\u0062ad"}}',
        'another case' => '{"type":"session.update","session":{"Model":"gpt-bad"}}',
        'twice, the allowed one last' => '{"type":"session.update","session":{"model":"gpt-bad","model":"gpt-good"}}',
        'twice, the allowed one first' => '{"type":"session.update","session":{"model":"gpt-good","model":"gpt-bad"}}',
        'a session twice' => '{"type":"session.update","session":{"model":"gpt-good"},"session":{"model":"gpt-good"}}',
        'a type twice' => '{"type":"a","type":"session.update","session":{"model":"gpt-bad"}}',
        'as no text' => '{"type":"session.update","session":{"model":["gpt-good"]}}',
        'with a NUL' => '{"type":"session.update","session":{"model":"gpt-good\u0000"}}',
        'in no JSON' => '{"type":"session.update","session":{"model":"gpt-good"}',
        'behind JSON' => '{"type":"harmless"}{"type":"session.update","session":{"model":"gpt-bad"}}',
        'in an array' => '[{"type":"session.update","session":{"model":"gpt-bad"}}]',
        'not in UTF-8' => "{\"type\":\"session.update\",\"session\":{\"model\":\"gpt-good\"},\"x\":\"\xff\"}",
        'with comments' => '{"type":"session.update",/*"*/"session":{"model":"gpt-bad"}}',
    );
    refused($_, 'realtime?model=gpt-good', text($ways{$_})) for sort keys %ways;
    refused('in a binary frame', 'realtime?model=gpt-good', frame(BINARY, $bad, masked => 1));
    refused('too long', 'realtime?model=gpt-good',
        text('{"type":"session.update","x":"' . 'x' x (17 * 1024 * 1024) . '","session":{"model":"gpt-good"}}'));
};

subtest 'frames that are none' => sub {
    my %frames = (
        'without a mask' => frame(TEXT, $bad),
        'compressed' => frame(TEXT, $bad, masked => 1, reserved => 4),
        'with reserved bits' => frame(TEXT, $bad, masked => 1, reserved => 1),
        'of an unknown opcode' => frame(3, $bad, masked => 1),
        'a continuation of nothing' => frame(CONTINUATION, $bad, masked => 1),
        'a message in a message' => frame(TEXT, '{', masked => 1, final => 0) . frame(TEXT, $bad, masked => 1),
        'a ping in pieces' => frame(PING, 'x', masked => 1, final => 0),
        'a long ping' => frame(PING, 'x' x 126, masked => 1),
        'of an absurd length' => "\x81\xff" . "\xff" x 8 . 'mask' . $bad,
    );
    for my $what (sort keys %frames) {
        my $mark = mark();
        my $ws = open_as('anybody', 'realtime?model=m');
        $ws->next_event;
        $ws->send_bytes($frames{$what});
        is_deeply $ws->next_event, {type => 'close', code => 1002}, "$what: a protocol error";
        is_deeply [asked($file, $mark)], [], '... and the upstream got no message';
    }
};

subtest 'where nobody could tell which model' => sub {
    my $ws = open_as('listed', 'other/socket?model=gpt-good');
    like $ws->{head}, qr{\AHTTP/1.1 403 }, 'a WebSocket that is not known';
    $ws = open_as('listed', 'realtime?model=gpt-bad');
    like $ws->{head}, qr{\AHTTP/1.1 403 }, 'a model in the query that is not allowed';
    $ws = open_as('anybody', 'other/socket');
    like $ws->{head}, qr{\AHTTP/1.1 101 }, 'without a list it is passed';
};

subtest 'compression is not asked for' => sub {
    my $mark = mark();
    my $ws = open_as('anybody', 'realtime?model=m', 'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits');
    unlike $ws->{head}, qr/^Sec-WebSocket-Extensions/mi, 'nor promised to the client';
    my ($head) = map { $_->{head} // () } upstream_since($mark, $file);
    unlike $head, qr/^Sec-WebSocket-Extensions/mi, 'the upstream is not offered it';
    $ws = open_as('anybody', 'realtime?model=extended');
    unlike $ws->{head}, qr/^Sec-WebSocket-Extensions/mi, 'one that was not asked for is not told';
    $ws->next_event;
    $ws->say_event({type => 'raw', hex => unpack 'H*', frame(TEXT, 'x', reserved => 4)});
    is_deeply $ws->next_event, {type => 'close', code => 1011}, 'and what is compressed nevertheless ends the connection';
};

subtest 'nothing is changed' => sub {
    for my $client (qw(anybody listed)) {
        my $mark = mark();
        my $ws = open_as($client, 'realtime?model=gpt-good');
        my $audio = JSON::PP::encode_json({type => 'input_audio_buffer.append', audio => 'A' x 2_000_000});
        $ws->send_bytes(frame(TEXT, substr($audio, 0, 70_000), masked => 1, final => 0) . frame(PING, 'ping', masked => 1)
                . frame(CONTINUATION, substr($audio, 70_000), masked => 1));
        $ws->say_event({type => 'conversation.item.create', item => {content => [{text => '{"model":"gpt-bad"}', model => 'x'}]},
            metadata => {model => 'gpt-bad'}});
        wait_for(sub { asked($file, $mark) == 2 }, 30);
        my @seen = upstream_since($mark, $file);
        is_deeply [asked($file, $mark)], [qw(input_audio_buffer.append conversation.item.create)], "$client: both messages";
        is_deeply [map { $_->{length} } grep { defined $_->{frame} && $_->{frame} < 8 && $_->{length} > 1000 } @seen],
            [70_000, length($audio) - 70_000], '... in the same frames';
        is((grep { defined $_->{frame} && !$_->{masked} } @seen), 0, '... with their masks');
        $ws->send_bytes(frame(CLOSE, pack('n', 1000), masked => 1));
        is_deeply $ws->until_event('close'), 'session.created close', '... and a close is a close';
        is $ws->{last}{code}, 1000, '... with its code';
    }
};

# --- What it takes -------------------------------------------------------------------------------

sub entries { return [map { [@{$_}{qw(model status outcome usage prompt_tokens completion_tokens cached_tokens)}] } @_] }

subtest 'a realtime dialogue' => sub {
    my $since = last_number();
    my $before = used('listed');
    my $ws = open_as('listed', 'realtime?model=gpt-good');
    is $ws->next_event->{type}, 'session.created', 'it begins';
    $ws->say_event({type => 'session.update', session => {type => 'realtime', model => 'gpt-good',
            audio => {input => {transcription => {model => 'whisper-good'}}}}});
    is $ws->next_event->{type}, 'session.updated', 'an allowed model';
    $ws->say_event({type => 'conversation.item.create', item => {type => 'message', role => 'user'}});
    $ws->say_event({type => 'response.create', event_id => '120-34'});
    is $ws->until_event('response.done'), 'response.created response.output_text.delta response.done', 'a response';
    $ws->say_event({type => 'input_audio_buffer.commit', event_id => 'vad-7-8'});
    is $ws->until_event('response.done'),
        'conversation.item.input_audio_transcription.completed response.created response.output_text.delta response.done',
        'one that the upstream makes by itself, of what was said';
    $ws->send_bytes(frame(CLOSE, pack('n', 1000), masked => 1));
    $ws->until_event('close');
    my $notes = notes_of($ws);
    is_deeply [@{$notes}{qw(status outcome usage model prompt-tokens completion-tokens cached-tokens total-tokens)}],
        [101, 'complete', 'reported', 'gpt-good', 141, 47, 9, 188], 'the log has the sum and the last model';
    cmp_ok $notes->{'ttft-ms'} // -1, '>=', 0, '... and when the first answer began';
    is_deeply entries(recent($since)),
        [
            ['gpt-good', 200, 'complete', 'reported', 120, 34, 3],
            ['whisper-good', 200, 'complete', 'reported', 14, 5, 3],
            ['gpt-good', 200, 'complete', 'reported', 7, 8, 3],
            [undef, 101, 'complete', 'none', undef, undef, undef]
        ],
        'each has an entry, and the connection';
    is used('listed') - $before, 188, 'the client has their tokens';
};

subtest 'a dialogue of responses' => sub {
    my $since = last_number();
    my $ws = open_as('listed', 'responses', 'OpenAI-Beta: responses_websockets=2026-02-06');
    my %turn = (type => 'response.create', model => 'gpt-good', instructions => 'x' x 9000, tools => [], stream => JSON::PP::true);
    $ws->say_event({%turn, generate => JSON::PP::false, prompt_cache_key => '0-0', input => []});
    is $ws->until_event('response.completed'), 'response.created response.output_text.delta response.completed', 'a warm-up';
    $ws->say_event({%turn, prompt_cache_key => '900-21', input => [{type => 'message', content => [{text => 'gpt-bad'}]}]});
    $ws->until_event('response.completed');
    $ws->say_event({type => 'response.processed', response_id => $ws->{last}{response}{id}});
    $ws->say_event({%turn, prompt_cache_key => '30-4', previous_response_id => 'resp_1', client_metadata => {model => 'x'}});
    $ws->until_event('response.completed');
    $ws->leave;
    my $notes = notes_of($ws);
    is_deeply [@{$notes}{qw(outcome usage model total-tokens)}], ['complete', 'reported', 'gpt-good', 955], 'counted to the token';
    is_deeply [map { $_->[4] } @{entries(recent($since))}], [0, 900, 30, undef], 'an entry for each';
    is_deeply [map { $_->[0] } @{entries(recent($since))}], ['gpt-good', 'gpt-good', 'gpt-good', undef], '... with its model';
};

subtest 'limits of a client' => sub {
    create('few', rpm => 3);
    my $since = last_number();
    my $mark = mark();
    my $ws = open_as('few', 'realtime?model=m');
    $ws->next_event;
    for (1 .. 2) {
        $ws->say_event({type => 'response.create', event_id => '1-1'});
        is $ws->until_event('response.done|error'), 'response.created response.output_text.delta response.done', "response $_";
    }
    $ws->say_event({type => 'response.create', event_id => 'one-too-many'});
    is $ws->until_event('response.done|error'), 'error', 'one more is not admitted';
    my $error = $ws->{last};
    is_deeply [@{$error}{qw(status)}, @{$error->{error}}{qw(type code event_id)}],
        [429, 'rate_limit_error', 'rate_limit_exceeded', 'one-too-many'], '... says an event';
    like $error->{error}{message}, qr/\(rpm\)/, '... that names the limit';
    cmp_ok $error->{headers}{'Retry-After'} // 0, '>', 0, '... and when it admits';
    $ws->say_event({type => 'conversation.item.create', item => {type => 'message'}});
    wait_for(sub { grep { $_ eq 'conversation.item.create' } asked($file, $mark) });
    is_deeply [asked($file, $mark)], [qw(response.create response.create conversation.item.create)],
        'the connection goes on, and the upstream got nothing of it';
    $ws->leave;
    is notes_of($ws)->{outcome}, 'refused', 'so was the last response';
    is_deeply [map { [@{$_}{qw(status outcome)}] } recent($since)],
        [[200, 'complete'], [200, 'complete'], [429, 'refused'], [101, 'complete']], '... and has an entry';

    create('thrifty', tpm => 1000);
    $ws = open_as('thrifty', 'responses');
    my %turn = (type => 'response.create', model => 'm', max_output_tokens => 100, input => 'hi');
    $ws->say_event({%turn, prompt_cache_key => '600-50'});
    is $ws->until_event('response.completed|error'), 'response.created response.output_text.delta response.completed', 'tokens: some';
    $ws->say_event({%turn, max_output_tokens => 400, prompt_cache_key => '1-1'});
    is $ws->until_event('response.completed|error'), 'error', '... more than are left';
    like $ws->{last}{error}{message}, qr/\(tpm\)/, '... which is the limit that is named';
    $ws->say_event({%turn, prompt_cache_key => '100-50'});
    is $ws->until_event('response.completed|error'), 'response.created response.output_text.delta response.completed', '... as many as are left';
};

subtest 'what the upstream begins by itself' => sub {
    create('talker', rpm => 3);
    my $ws = open_as('talker', 'realtime?model=m');
    $ws->next_event;
    for my $turn (1 .. 2) {
        $ws->say_event({type => 'input_audio_buffer.commit', event_id => 'vad-5-5'});
        like $ws->until_event('response.done'), qr/response.done\z/, "turn $turn cannot be stopped";
    }
    $ws->say_event({type => 'response.create', event_id => '1-1'});
    is $ws->until_event('response.done|error'), 'error', 'but is charged: the next one is refused';
    $ws->leave;
    is used('talker'), 2 * (10 + 19), 'to the token';
};

subtest 'limits of a key' => sub {
    my $ws = open_as(undef, 'limited:realtime?model=m');
    $ws->next_event;
    for (1 .. 2) {
        $ws->say_event({type => 'response.create', event_id => '1-1'});
        like $ws->until_event('response.done|error'), qr/response.done\z/, "response $_";
    }
    $ws->say_event({type => 'response.create', event_id => '1-1'});
    is $ws->until_event('response.done|error'), 'error', 'and no more than the key may';
    is_deeply [@{$ws->{last}{error}}{qw(code)}], ['rate_limit_exceeded'], '... says an event';
};

sub state_of {
    my ($pool) = @_;
    return (keys %{metrics($httpd->{base})->states($pool)})[0];
}

# The probes of a pool's key that the upstream has seen.
sub probes_of {
    my ($pool) = @_;
    my @heads = map { $_->{head} // () } upstream_since(0, $file);
    return scalar grep { /sk-ok-$pool-/ && !/^Sec-WebSocket-Key:/mi } @heads;
}

subtest 'errors of the upstream' => sub {
    my $since = last_number();
    my $ws = open_as('anybody', 'errors:responses');
    my %turn = (type => 'response.create', model => 'm');
    $ws->say_event({%turn, prompt_cache_key => 'error-400-invalid_value'});
    is $ws->until_event('error'), 'error', 'a mistake of the client';
    is state_of('errors'), 'active', '... is not held against the key';
    $ws->say_event({%turn, prompt_cache_key => 'error-429-rate_limit_exceeded'});
    $ws->until_event('error');
    $ws->say_event({%turn, prompt_cache_key => '1-1'});
    like $ws->until_event('response.completed'), qr/response.completed\z/, 'the connection goes on';
    $ws->leave;
    wait_for(sub { recent($since) == 4 });
    is_deeply [map { [@{$_}{qw(status outcome)}, map { $_->{rule} } @{$_->{tried}}] } recent($since)],
        [[400, 'failed', 'R11'], [429, 'failed', 'R07'], [200, 'complete', 'R00'], [101, 'complete', 'R00']], 'each with its rule';

    # Of one client's requests it may be the model, which the probe cannot tell.
    my %refused = (
        quota => sub {
            my ($client, $model) = @_;
            my $ws = open_as($client, "quota:realtime?model=$model");
            $ws->next_event;
            $ws->say_event({type => 'session.update', session => {model => $model}});
            $ws->until_event('session.updated');
            $ws->say_event({type => 'response.create', event_id => 'fail-insufficient_quota'});
            $ws->until_event('response.done');
            $ws->leave;
        },
        invalid => sub {
            my ($client, $model) = @_;
            my $ws = open_as($client, 'invalid:responses');
            $ws->say_event({%turn, model => $model, prompt_cache_key => 'error-401-invalid_api_key'});
            $ws->until_event('error');
            $ws->leave;
        },
    );
    for my $pool (sort keys %refused) {
        $refused{$pool}->('anybody', 'm');
        is state_of($pool), 'active', "$pool: one model, refused to one client";
        ok wait_for(sub { probes_of($pool) }), '... is followed by a probe';
    }
    sleep 0.3;
    for my $pool (sort keys %refused) {
        $refused{$pool}->('somebody', 'n');
        is state_of($pool), $pool, "$pool: another model, refused to another client";
    }

    $ws = open_as('anybody', 'served:responses');
    $ws->say_event({%turn, prompt_cache_key => '1-1'});
    like $ws->until_event('response.completed'), qr/response.completed\z/, 'a key serves';
    for my $error ('401-invalid_api_key', '402-insufficient_quota') {
        $ws->say_event({%turn, prompt_cache_key => "error-$error"});
        $ws->until_event('error');
        is state_of('served'), 'active', "... and is not lost to one client: $error";
    }
    like $httpd->log, qr/a response of a WebSocket, .*: R06, active, in doubt/, '... but in doubt';
};

subtest 'responses that break off' => sub {
    my %ends = (
        'the client leaves' => ['silent', 'client_abort', sub { $_[0]->leave }],
        'the client closes' => ['silent', 'client_abort', sub { $_[0]->send_bytes(frame(CLOSE, pack('n', 1000), masked => 1)); $_[0]->until_event('close') }],
        'the upstream leaves' => ['drop', 'truncated', sub { $_[0]->next_frame }],
        'the upstream leaves within a frame' => ['cut', 'truncated', sub { $_[0]->fill }],
    );
    for my $what (sort keys %ends) {
        my ($words, $outcome, $end) = @{$ends{$what}};
        my $since = last_number();
        my $ws = open_as('anybody', 'realtime?model=m');
        $ws->next_event;
        $ws->say_event({type => 'response.create', event_id => $words, response => {instructions => 'x' x 400}});
        $ws->until_event('response.output_text.delta');
        $end->($ws);
        my $notes = notes_of($ws);
        is_deeply [@{$notes}{qw(outcome usage)}], [$outcome, 'estimated'], "$what: $outcome";
        wait_for(sub { recent($since) == 2 });
        my ($entry) = recent($since);
        is $entry->{outcome}, $outcome, '... in its entry';
        cmp_ok $entry->{prompt_tokens}, '>=', 100, '... with an estimate of what was asked';
        is $entry->{completion_tokens}, 10, '... and of what came';
    }
};

subtest 'an upstream that leaves behind a long message' => sub {
    my $ws = open_as('anybody', 'realtime?model=m');
    $ws->next_event;
    $ws->say_event({type => 'response.create', event_id => 'big-5000000'});
    sleep 1;
    is $ws->until_event('big'), 'response.created response.output_text.delta big', 'a client that is slow gets it';
    is length $ws->{last}{x}, 5_000_000, '... to its end';
    is_deeply $ws->next_event, {type => 'close', code => 1000}, '... and the close frame';
    ok !$ws->next_frame, '... and then the end';
};

subtest 'a client that is switched off' => sub {
    for my $name (qw(gone unlimited)) {
        create($name, $name eq 'gone' ? (rpm => 100) : ());
        my $ws = open_as($name, 'realtime?model=m');
        $ws->next_event;
        $admin->ask(PATCH => "/clients/$name", json => {enabled => JSON::PP::false});
        $ws->say_event({type => 'response.create', event_id => '1-1'});
        is $ws->until_event('close'), 'error close', "$name: gets no response any more";
        is $ws->{last}{code}, 1008, '... but the end of its connection';
        $ws = open_as($name, 'realtime?model=m');
        like $ws->{head}, qr{\AHTTP/1.1 401 }, '... and no other one';
    }
};

subtest 'an event of ours does not come within one of the upstream' => sub {
    create('patient', rpm => 1);
    my $ws = open_as('patient', 'realtime?model=m');
    $ws->next_event;
    my $event = '{"type":"long","x":"' . 'x' x 2000 . '"}';
    $ws->say_event({type => 'raw', hex => unpack 'H*', substr frame(TEXT, $event), 0, 1000});
    $ws->fill while length $ws->{in} < 1000;
    $ws->say_event({type => 'response.create', event_id => 'between'});
    sleep 0.2;
    $ws->say_event({type => 'raw', hex => unpack 'H*', substr(frame(TEXT, $event), 1000) . frame(TEXT, '{"type":"next"}')});
    is_deeply [map { $ws->next_event->{type} } 1 .. 3], [qw(long error next)], 'but behind it';
    $ws->say_event({type => 'raw', hex => unpack 'H*', substr frame(TEXT, $event), 0, 1000});
    $ws->fill while length $ws->{in} < 1000;
    $ws->say_event({type => 'response.create', event_id => 'at-the-end'});
    sleep 0.2;
    $ws->say_event({type => 'raw', hex => unpack 'H*', substr frame(TEXT, $event), 1000});
    is_deeply [map { $ws->next_event->{type} } 1 .. 2], [qw(long error)], '... be it the last for now';
    $ws->say_event({type => 'raw', hex => unpack 'H*', frame(TEXT, $event, final => 0)});
    $ws->fill while length $ws->{in} < 2000;
    $ws->say_event({type => 'response.create', event_id => 'in-a-message'});
    sleep 0.2;
    $ws->say_event({type => 'raw', hex => unpack 'H*', frame(PING, 'x') . frame(CONTINUATION, ' ')});
    is_deeply [map { $ws->next_event->{type} } 1 .. 2], [qw(long error)], '... nor within a message of several frames';
    $ws->leave;
    is notes_of($ws)->{outcome}, 'refused', '... and is not taken for the upstream\'s';
};

is_deeply [grep {/exit signal|:(?:error|crit|alert|emerg)\]/} split /\n/, $httpd->log], [], 'no error in the log';
is_deeply [grep {/sk-ok|ak-[0-9A-Za-z]{40}/} split /\n/, $httpd->log], [], 'no key in the log';
is metrics($httpd->{base})->in_flight('main'), 0, 'no key is lent any more' if wait_for(sub { !metrics($httpd->{base})->in_flight('main') });

done_testing;
