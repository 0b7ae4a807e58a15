# SPDX-License-Identifier: Apache-2.0
# WebSockets byte by byte: frames, a client that can send any of them, and an upstream with OpenAI's events.
package APIPoolWebSocket;

use strict;
use warnings;

use APIPoolTest qw(serve_raw check_dir upstream_since wait_for);
use Digest::SHA qw(sha1_base64);
use Exporter 'import';
use IO::Handle ();
use IO::Socket::INET ();
use JSON::PP ();
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(frame open_websocket serve_events asked TEXT BINARY CLOSE PING PONG CONTINUATION);

use constant {CONTINUATION => 0, TEXT => 1, BINARY => 2, CLOSE => 8, PING => 9, PONG => 10};

my $json = JSON::PP->new->canonical->utf8;

# frame(OPCODE, PAYLOAD, masked => 1, final => 0, reserved => 4, length => 64): length forces a length field
# of so many bits.
sub frame {
    my ($opcode, $payload, %how) = @_;
    my $final = $how{final} // 1;
    my $bits = $how{length} // (length $payload < 126 ? 7 : length $payload < 65_536 ? 16 : 64);
    my $first = $opcode | ($final ? 0x80 : 0) | ($how{reserved} // 0) << 4;
    my $in_byte = $bits == 7 ? length $payload : $bits == 16 ? 126 : 127;
    my $length = $bits == 7 ? '' : pack $bits == 16 ? 'n' : 'Q>', length $payload;
    my $mask = '';
    if ($how{masked}) {
        $mask = pack 'N', 0x12345678 + length $payload;
        $payload ^= substr $mask x (1 + length($payload) / 4), 0, length $payload;
    }
    return pack('CC', $first, $in_byte | ($how{masked} ? 0x80 : 0)) . $length . $mask . $payload;
}

# open_websocket(PORT, PATH, FIELDS): an object; {head} is the answer's head.
sub open_websocket {
    my ($port, $path, @fields) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", Timeout => 10)
        or die "cannot connect: $@\n";
    print {$socket} join "\r\n", "GET $path HTTP/1.1", 'Host: x', 'Upgrade: websocket', 'Connection: Upgrade',
        'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', @fields, '', '';
    my $self = bless {socket => $socket, in => ''}, __PACKAGE__;
    $self->fill or last while $self->{in} !~ /\r\n\r\n/;
    ($self->{head}, $self->{in}) = split /(?<=\r\n\r\n)/, $self->{in}, 2;
    $self->{in} //= '';
    return $self;
}

sub fill {
    my ($self, $seconds) = @_;
    my $ready = '';
    vec($ready, fileno $self->{socket}, 1) = 1;
    return 0 if !select $ready, undef, undef, $seconds // 15;
    return sysread $self->{socket}, $self->{in}, 65_536, length $self->{in};
}

# The next frame as {opcode, payload, final, reserved, masked}; nothing at the end.
sub next_frame {
    my ($self, $seconds) = @_;
    my $need = 2;
    my ($first, $second, $length, $at);
    while (1) {
        if (length $self->{in} >= 2) {
            ($first, $second) = unpack 'CC', $self->{in};
            my $size = $second & 0x7f;
            $at = 2 + ($size == 126 ? 2 : $size == 127 ? 8 : 0) + ($second & 0x80 ? 4 : 0);
            $need = $at;
            if (length $self->{in} >= $at) {
                $length = $size == 126 ? unpack('x2 n', $self->{in}) : $size == 127 ? unpack('x2 Q>', $self->{in}) : $size;
                $need = $at + $length;
                last if length $self->{in} >= $need;
            }
        }
        $self->fill($seconds) or return;
    }
    my $payload = substr $self->{in}, $at, $length;
    my $mask = $second & 0x80 ? substr $self->{in}, $at - 4, 4 : '';
    $payload ^= substr $mask x (1 + $length / 4), 0, $length if $mask;
    $self->{in} = substr $self->{in}, $need;
    return {
        opcode => $first & 0x0f,
        final => $first >> 7,
        reserved => $first >> 4 & 7,
        masked => $second >> 7,
        payload => $payload
    };
}

# Sends bytes; with step, so many at a time, each in its own segment.
sub send_bytes {
    my ($self, $bytes, $step) = @_;
    local $SIG{PIPE} = 'IGNORE';
    setsockopt $self->{socket}, 6, 1, 1 if $step;
    for (my $at = 0; $at < length $bytes; $at += $step || length $bytes) {
        syswrite $self->{socket}, substr $bytes, $at, $step || length $bytes or return;
        sleep 0.001 if $step;
    }
    return 1;
}

# Makes one masked frame of an event as JSON text.
sub say_event {
    my ($self, $event) = @_;
    return $self->send_bytes(frame(TEXT, ref $event ? $json->encode($event) : $event, masked => 1));
}

# The next event, skipping control frames; {type => 'close', code => ...} for a close frame; nothing at the
# end.
sub next_event {
    my ($self, $seconds) = @_;
    my $text = '';
    while (my $frame = $self->next_frame($seconds)) {
        return {type => 'close', code => unpack 'n', $frame->{payload}} if $frame->{opcode} == CLOSE;
        next if $frame->{opcode} > CLOSE;
        $text .= $frame->{payload};
        return JSON::PP::decode_json($text) if $frame->{final};
    }
    return;
}

# The types of all events up to the first one of a type; {last} holds the last event.
sub until_event {
    my ($self, $type) = @_;
    my @types;
    while ($self->{last} = $self->next_event) {
        push @types, $self->{last}{type};
        last if $self->{last}{type} =~ /\A(?:$type|close)\z/;
    }
    return join ' ', @types;
}

sub leave {
    my ($self) = @_;
    close $self->{socket};
    return;
}

# --- The upstream --------------------------------------------------------------------------------

sub _tell {
    my ($self, $event, %how) = @_;
    return $self->send_bytes(frame(TEXT, $json->encode($event), %how));
}

sub _usage {
    my ($input, $output, $is_realtime) = @_;
    my $details = $is_realtime ? 'input_token_details' : 'input_tokens_details';
    return {input_tokens => $input, output_tokens => $output, total_tokens => $input + $output, $details => {cached_tokens => 3}};
}

my $responses = 0;

# One response, as its request asks: input-output tokens, or a failure.
sub _respond {
    my ($self, $words) = @_;
    my $is_realtime = $self->{path} =~ m{/realtime};
    my $id = "resp_$$-" . ++$responses;
    my %response = (id => $id, ($is_realtime ? () : (model => 'm-of-upstream', instructions => 'x' x 5000)));
    if ($words =~ /^error-(\d+)-(\w+)/) {
        return _tell($self, {type => 'error', status => $1 + 0, error => {type => 'some_error', code => $2, message => $words}});
    }
    _tell($self, {type => 'response.created', response => {%response, status => 'in_progress', usage => undef}});
    _tell($self, {type => 'response.output_text.delta', response_id => $id, delta => 'x' x 40});
    return if $words =~ /^silent/;
    if ($words =~ /^big-(\d+)/) {
        $self->send_bytes(frame(TEXT, $json->encode({type => 'big', x => 'x' x $1})) . frame(CLOSE, pack 'n', 1000));
        exit_now();
    }
    if ($words =~ /^(?:drop|cut)/) {
        $self->send_bytes(substr frame(TEXT, '{"type":"response.output_text.delta","delta":"' . 'x' x 400 . '"}'), 0, 50)
            if $words =~ /^cut/;
        exit_now();
    }
    if ($words =~ /^fail-(\w+)/) {
        my $error = {code => $1, message => "it has failed: $1"};
        return _tell($self, $is_realtime
            ? {type => 'response.done', response => {%response, status => 'failed', status_details => {error => {type => 'x', %$error}}}}
            : {type => 'response.failed', response => {%response, status => 'failed', error => $error, usage => undef}});
    }
    my ($input, $output) = $words =~ /(\d+)-(\d+)/ ? ($1, $2) : (1, 1);
    %response = (%response, status => 'completed', usage => _usage($input, $output, $is_realtime));
    return _tell($self, {type => $is_realtime ? 'response.done' : 'response.completed', response => \%response});
}

sub exit_now {
    require POSIX;
    POSIX::_exit(0);
}

sub _answer {
    my ($self, $event) = @_;
    my $words = $event->{event_id} // $event->{prompt_cache_key} // '';
    if ($event->{type} eq 'response.create') {
        return _respond($self, $words);
    }
    if ($event->{type} =~ /session\.update\z/) {
        return _tell($self, {type => 'session.updated', session => $event->{session}});
    }
    if ($event->{type} eq 'input_audio_buffer.commit') {
        _tell($self, {type => 'conversation.item.input_audio_transcription.completed', transcript => 'hello',
            usage => {type => 'tokens', %{_usage(14, 5, 1)}}});
        return $words =~ /vad-(.*)/ ? _respond($self, $1) : ();
    }
    if ($event->{type} eq 'raw') { # raw bytes from the test
        return $self->send_bytes(pack 'H*', $event->{hex});
    }
    return;
}

sub _accept {
    my ($socket, $record) = @_;
    my $self = bless {socket => $socket, in => ''}, __PACKAGE__;
    $self->fill or return while $self->{in} !~ /\r\n\r\n/;
    (my $head, $self->{in}) = split /(?<=\r\n\r\n)/, $self->{in}, 2;
    ($self->{path}) = $head =~ m{^GET (\S+)};
    $record->({head => $head});
    my ($key) = $head =~ /^Sec-WebSocket-Key: (\S+)/mi;
    if (!$key) { # a probe
        print {$socket} "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return;
    }
    my $extensions = $self->{path} =~ /extended/ ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : '';
    print {$socket} join "\r\n", 'HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade',
        'Sec-WebSocket-Accept: ' . sha1_base64($key . '258EAFA5-E914-47DA-95CA-C5AB0DC85B11') . '=', "$extensions\r\n";
    $socket->flush;
    return $self;
}

# An upstream on its own port, and the file in which it records what it received.
sub serve_events {
    my $file = check_dir() . "/t/logs/websocket-$$.jsonl";
    unlink $file;
    my $record = sub {
        open my $out, '>>', $file or return;
        syswrite $out, $json->encode($_[0]) . "\n";
        close $out;
    };
    my $port = serve_raw(
        sub {
            my ($socket) = @_;
            my $self = _accept($socket, $record) or return;
            _tell($self, {type => 'session.created', session => {model => 'm-of-session'}}) if $self->{path} =~ m{/realtime};
            my $text = '';
            while (my $frame = $self->next_frame(60)) {
                $record->({frame => $frame->{opcode}, masked => $frame->{masked}, length => length $frame->{payload}});
                $self->send_bytes(frame(PONG, $frame->{payload})) if $frame->{opcode} == PING;
                if ($frame->{opcode} == CLOSE) {
                    $self->send_bytes(frame(CLOSE, $frame->{payload}));
                    last;
                }
                next if $frame->{opcode} > CLOSE;
                $text .= $frame->{payload};
                next if !$frame->{final};
                my $event = eval { JSON::PP::decode_json($text) } || {type => 'no JSON', text => length $text};
                $record->({message => $event});
                _answer($self, $event);
                $text = '';
            }
        }
    );
    return ($port, $file);
}

# asked(FILE, MARK): the types of the messages that came since then, or with a name the values of that member.
sub asked {
    my ($file, $mark, $name) = @_;
    return map { $_->{message}{$name // 'type'} } grep { $_->{message} } upstream_since($mark, $file);
}

1;
