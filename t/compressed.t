# SPDX-License-Identifier: Apache-2.0
# Compressed requests and responses: they pass as they came, and are read all the same.
use strict;
use warnings;

use APIPoolTest qw(pool_server request serve_raw metrics wait_for slurp build_dir);
use Apache::Test ();
use IO::Compress::Deflate qw(deflate);
use IO::Compress::Gzip qw(gzip);
use Test::More;

sub packed {
    my ($text, $how) = @_;
    my $packed;
    ($how // \&gzip)->(\$text, \$packed);
    return $packed;
}

# Text of at most 255 bytes as Zstandard and Brotli wrap what they do not compress.
sub zstd { return "\x28\xb5\x2f\xfd\x20" . substr(pack('CV', length $_[0], 1 + 8 * length $_[0]), 0, 4) . $_[0] }
sub brotli { return substr(pack('V', 0x80000b + 128 * (length($_[0]) - 1)), 0, 3) . "$_[0]\x03" }

# Whether the module is built with a library.
sub is_built_with { return slurp(build_dir() . '/Makefile') =~ /-DAPIPOOL_HAVE_$_[0]\b/ }

# Text that hardly shrinks.
sub random { return join '', map { chr 97 + rand 26 } 1 .. $_[0] }

my $USAGE = '"usage":{"prompt_tokens":11,"completion_tokens":22,"total_tokens":33}';
my $COMPLETION = qq({"choices":[{"message":{"content":"hi"}}],$USAGE});
my $STREAM = qq(data: {"choices":[{"delta":{"content":"hi"}}]}\n\ndata: {"choices":[],$USAGE}\n\ndata: [DONE]\n\n);
my $bomb = packed('{"model":"mine"' . ' ' x 70_000_000);
my %answers = (
    json => ['200 OK', 'application/json', 'gzip', packed($COMPLETION)],
    brotli => ['200 OK', 'application/json', 'br', brotli($COMPLETION)],
    zstd => ['200 OK', 'application/json', 'zstd', zstd($COMPLETION)],
    deflated => ['200 OK', 'application/json', 'deflate', packed($COMPLETION, \&deflate)],
    stream => ['200 OK', 'text/event-stream', 'gzip', packed($STREAM)],
    error => [
        '200 OK', 'application/json', 'gzip',
        packed('{"error":{"message":"x","type":"insufficient_quota","code":"insufficient_quota"}}')
    ],
    events => [
        '200 OK', 'text/event-stream', 'gzip',
        packed(qq(: a\n\ndata: {"error":{"message":"x","type":"rate_limit_error"}}\n\n))
    ],
    large => ['200 OK', 'application/json', 'gzip', packed(qq({"choices":[{"message":{"content":"${\ random(200_000)}"}}],$USAGE}))],
    late => [
        '200 OK', 'application/json', 'gzip',
        packed(qq({"choices":[{"message":{"content":"${\ random(200_000)}"}}],"error":{"type":"rate_limit_error"}}))
    ],
    bomb => ['200 OK', 'application/json', 'gzip', $bomb],
    quota => [
        '403 Forbidden', 'application/json', 'gzip',
        packed('{"error":{"message":"x","type":"insufficient_quota","code":"insufficient_quota"}}')
    ],
);

# An upstream that answers what the query says, or what it got, and the fields of that as X-Seen-*.
my $port = serve_raw(
    sub {
        my ($socket) = @_;
        my ($head, $body) = APIPoolTest::read_request($socket) or return;
        my ($name) = $head =~ /[?&]case=(\w+)/;
        my ($status, $type, $coding, $text) = $name && $head !~ /sk-good/ ? @{$answers{$name}} : ();
        my %field = map { /^([\w-]+): (.*)/ ? (lc $1, $2) : () } split /\r\n/, $head;
        my @seen = map {"X-Seen-$_: $field{$_}\r\n"} grep { exists $field{$_} } qw(content-encoding accept-encoding content-length);
        ($status, $type, $text) = ('200 OK', 'application/octet-stream', $body // '') if !defined $text;
        print {$socket} "HTTP/1.1 $status\r\nContent-Type: $type\r\nContent-Length: ", length $text,
            $coding ? "\r\nContent-Encoding: $coding" : '', "\r\nConnection: close\r\n", @seen, "\r\n$text";
    }
);

my @NOTES = qw(model usage total-tokens outcome);
my $format = join '\t', '%q', map {"%{apipool-$_}n"} @NOTES;
my $httpd = pool_server(
    {
        plain => {keys => ['sk-ok-plain-aaaaaaaaaaaa'], upstreams => ["http://127.0.0.1:$port/v1"]},
        renamed => {keys => ['sk-ok-renamed-aaaaaaaaaa'], upstreams => ["http://127.0.0.1:$port/v1 model=mine:theirs"]},
        map {
            $_ => {
                keys => ["sk-ok-$_-aaaaaaaaaaaaaa", "sk-good-$_-bbbbbbbbbbbb"],
                upstreams => ["http://127.0.0.1:$port/v1"], lines => 'APIPoolStrategy fill-first'
            }
        } qw(quota error events)
    },
    config => qq(LogFormat "$format" notes\nCustomLog \@DIR\@/notes notes\n)
);

my $asked = 0;

# The answer, and the notes of the request.
sub post {
    my ($pool, $body, $coding, $query) = @_;
    my $id = '?' . ($query ? "case=$query&" : '') . 'id=' . ++$asked;
    my $answer = request(
        POST => "/$pool/chat/completions$id",
        base => $httpd->{base}, content => $body,
        headers => {'content-type' => 'application/json', $coding ? ('content-encoding' => $coding) : ()}
    );
    my $line = wait_for(sub { (grep {/^\Q$id\E\t/} split /\n/, slurp("$httpd->{dir}/notes"))[0] }) // '';
    my %notes;
    @notes{'query', @NOTES} = split /\t/, $line;
    return ($answer, \%notes);
}

subtest 'a compressed request' => sub {
    my $body = '{"model":"mine","stream":true,"messages":[]}';
    my %packed = ((map { $_ => packed($body) } qw(gzip x-gzip)), br => brotli($body), zstd => zstd($body));
    delete $packed{br} if !is_built_with('BROTLI');
    delete $packed{zstd} if !is_built_with('ZSTD');
    for my $coding (sort keys %packed) {
        my ($answer, $notes) = post('plain', $packed{$coding}, $coding);
        is unpack('H*', $answer->{content}), unpack('H*', $packed{$coding}), "$coding: is sent as it came";
        is $answer->{headers}{'x-seen-content-encoding'}, $coding, '... and says how';
        is $notes->{model}, 'mine', '... and its model is read';
        is $answer->{headers}{'x-seen-accept-encoding'}, 'identity', '... and the response is to be plain';
    }
    my ($answer, $notes) = post('renamed', packed($body), 'gzip');
    is $answer->{content}, $body =~ s/mine/theirs/r, 'with a model that is renamed it is sent decoded';
    is $answer->{headers}{'x-seen-content-encoding'}, undef, '... and says so';
    is $answer->{headers}{'x-seen-content-length'}, length($body) + 2, '... with its length';
    my $long = '{"model":"mine","x":"' . join('', map { chr 97 + $_ * 7 % 26 } 1 .. 1_500_000) . '"}';
    ($answer, $notes) = post('renamed', packed($long), 'gzip');
    ok $answer->{content} eq $long =~ s/mine/theirs/r, '... however long it is';
};

subtest 'what cannot be decoded' => sub {
    my $broken = substr packed('{"model":"mine"}'), 0, -3;
    my %bodies = (broken => [$broken, 'gzip'], unknown => [packed('{"model":"mine"}'), 'compress'],
        bomb => [$bomb, 'gzip']);
    for my $name (sort keys %bodies) {
        my ($answer, $notes) = post('renamed', @{$bodies{$name}});
        is unpack('H*', $answer->{content}), unpack('H*', $bodies{$name}[0]), "$name: is sent as it came";
    }
    my @said = $httpd->log =~ /AP0175/g;
    is scalar @said, 2, '... and the log says so, where the coding is known';
};

subtest 'a compressed response' => sub {
    my @built = grep { is_built_with(uc) } qw(brotli zstd);
    for my $name (qw(json deflated stream large), @built) {
        my ($answer, $notes) = post('plain', '{"model":"m"}', undef, $name);
        is unpack('H*', $answer->{content}), unpack('H*', $answers{$name}[3]), "$name: passes as it came";
        is $notes->{'total-tokens'}, 33, '... and its usage is read';
        is $notes->{usage}, 'reported', '... which is reported';
    }
    my ($answer, $notes) = post('plain', '{"model":"m"}', undef, 'bomb');
    is length $answer->{content}, length $answers{bomb}[3], 'a bomb passes as well';
    isnt $notes->{usage}, 'reported', '... and is not read to its end';
};

# A model that is refused for want of quota, and served by another key, does not take the first key out.
subtest 'a compressed error' => sub {
    my %rules = (quota => 'R05', error => 'R05', events => 'R07');
    for my $name (qw(quota error events)) {
        my ($answer) = post($name, '{"model":"m"}', undef, $name);
        is $answer->{status}, 200, "$name: is understood";
        is $answer->{headers}{'x-seen-accept-encoding'}, 'identity', '... and another key answers';
        is_deeply metrics($httpd->{base})->rules($name), {$rules{$name} => 1, R00 => 1}, '... by the rule of the error';
        is metrics($httpd->{base})->states($name)->{quota}, undef, 'other models get the key as before';
    }
};

subtest 'a compressed error behind content' => sub {
    my ($answer, $notes) = post('plain', '{"model":"m"}', undef, 'late');
    is unpack('H*', $answer->{content}), unpack('H*', $answers{late}[3]), 'passes as it came';
    is $notes->{outcome}, 'failed', '... and the request has failed';
};

is $httpd->faults, '', 'nothing went wrong inside';

done_testing;
