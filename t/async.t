# SPDX-License-Identifier: Apache-2.0
# Requests that wait without a thread: an httpd with two threads serves many slow answers at once, and everything
# that ends a request, a connection or a process finds those that are suspended.
# APIPOOL_TEST_STREAMS=N sets the number of streams (60).
use strict;
use warnings;

use APIPoolTest qw(pool_server chat request metrics wait_for serve_raw read_request slurp check_dir error_code parallel
    free_port json);
use Apache::Test ();
use IO::Select ();
use IO::Socket::INET ();
use IO::Socket::SSL ();
use Socket qw(SOL_SOCKET SO_RCVBUF);
use Test::More;
use Time::HiRes qw(sleep time);

my $STREAMS = $ENV{APIPOOL_TEST_STREAMS} || 60;
my $FEW = <<"CONF";
ServerLimit 1
StartServers 1
ThreadsPerChild 2
MaxRequestWorkers 2
AsyncRequestWorkerFactor @{[2 * $STREAMS]}
CONF

my $dir = check_dir() . "/t/logs/async-$$";
mkdir $dir;
my $said = qx(openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \\
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout $dir/key -out $dir/crt 2>&1);
die "openssl: $said" if $?;

sub event {
    my ($text) = @_;
    return qq(data: {"choices":[{"index":0,"delta":{"content":"$text"}}]}\n\n);
}

# An upstream that does what the path says: /stream/N/SECONDS sends N events, so far apart, /wait/SECONDS answers
# late, /big/BYTES sends that much at once, /silent begins a stream and says no more, /refuse/SECONDS answers 429 late
# unless the key is a good one.
my $upstream = serve_raw(
    sub {
        my ($socket) = @_;
        $socket->autoflush;
        while (my $head = read_request($socket)) {
            my ($what, $first, $second) = $head =~ m{^\w+ \S*?/v1/(\w+)(?:/([\d.]+))?(?:/([\d.]+))? } or return;
            if ($what eq 'stream' || $what eq 'silent') {
                print {$socket} "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
                if ($what eq 'silent') {
                    print {$socket} event('first');
                    sysread $socket, my $end, 1;
                    open my $note, '>>', "$dir/left" or die $!;
                    syswrite $note, time . "\n";
                    return;
                }
                for my $number (1 .. $first) {
                    print {$socket} event("word$number") or return;
                    sleep $second;
                }
                print {$socket} "data: [DONE]\n\n";
                return;
            }
            my ($status, $type, $text) = ('200 OK', 'application/json', '{"ok":true}');
            sleep $first if $what eq 'wait' || $what eq 'refuse';
            ($status, $text) = ('429 Too Many Requests', '{"error":{"message":"Rate limit reached"}}')
                if $what eq 'refuse' && $head !~ /sk-good/;
            ($type, $text) = ('text/plain', 'x' x $first) if $what eq 'big';
            print {$socket} "HTTP/1.1 $status\r\nContent-Type: $type\r\nContent-Length: " . length($text) . "\r\n\r\n$text";
        }
    }
);

sub pool {
    my ($name, $lines, $url) = @_;
    return {
        upstreams => [$url // "http://127.0.0.1:$upstream/v1"],
        keys => ["sk-good-$name-aaaaaaaa"],
        lines => join "\n    ", 'APIPoolRetries 0', $lines // ()
    };
}

# Sends requests on connections of their own, and returns these.
sub open_requests {
    my ($port, $count, $path, $more) = @_;
    return map {
        my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die "$@\n";
        syswrite $socket, "GET $path HTTP/1.1\r\nHost: x\r\n" . ($more // "Connection: close\r\n") . "\r\n";
        $socket;
    } 1 .. $count;
}

sub rest_of {
    my ($socket) = @_;
    my $text = '';
    1 while sysread $socket, $text, 65536, length $text;
    return $text;
}

# Those of the sockets that have something to read within that time.
sub begun {
    my ($seconds, @sockets) = @_;
    my ($select, $until, @begun) = (IO::Select->new(@sockets), time + $seconds);
    while ($select->count && (my $left = $until - time) > 0) {
        for my $socket ($select->can_read($left)) {
            push @begun, $socket;
            $select->remove($socket);
        }
    }
    return @begun;
}

sub endings {
    my ($httpd, $pool) = @_;
    my $endings = metrics($httpd->{base})->by(outcome => 'apipool_requests_total', pool => $pool);
    return {map { $endings->{$_} ? ($_ => $endings->{$_}) : () } keys %$endings};
}

my $secure = free_port();
my $httpd = pool_server(
    {
        main => pool('main'),
        idle => pool('idle', 'APIPoolIdleTimeout 1'),
        late => pool('late', 'APIPoolFirstByteTimeout 1'),
        tls => pool('tls'),
        finish => pool('finish', 'APIPoolOnAbort finish'),
        one => pool('one', "APIPoolWait 20\n    APIPoolLimits concurrency=1"),
        two => {
            upstreams => ["http://127.0.0.1:$upstream/v1"],
            keys => ['sk-bad-two-aaaaaaaa', 'sk-good-two-bbbbbbbb'],
            lines => 'APIPoolStrategy fill-first'
        },
        slept => {
            upstreams => ['http://127.0.0.1:' . APIPoolTest::mock_port() . '/v1'],
            keys => ['sk-500-slept-aaaaaaaa'],
            lines => 'APIPoolRetries 2'
        },
    },
    config => <<"CONF");
${FEW}Timeout 3
LogLevel info apipool:debug
Listen 127.0.0.1:$secure
<VirtualHost 127.0.0.1:$secure>
    SSLEngine On
    SSLCertificateFile $dir/crt
    SSLCertificateKeyFile $dir/key
</VirtualHost>
CustomLog $dir/access "%>s %{apipool-pool}n %U %B"
CONF
my $port = $httpd->{port};

subtest 'many streams at once' => sub {
    my @sockets = open_requests($port, $STREAMS, '/main/stream/4/1');
    is scalar(begun(3, @sockets)), $STREAMS, 'all have begun while none has ended';
    my $answer = request(GET => '/main/wait/0', base => $httpd->{base}, timeout => 3);
    is $answer->{status}, 200, 'and the two threads serve others';
    is metrics($httpd->{base})->in_flight('main'), $STREAMS, 'each has its key';
    my @texts = map { rest_of($_) } @sockets;
    is scalar(grep {m/word1.*word2.*word3.*word4.*\[DONE\]/s} @texts), $STREAMS, 'all are complete';
    is_deeply endings($httpd, 'main'), {complete => $STREAMS + 1}, '... and counted so';
    is metrics($httpd->{base})->in_flight('main'), 0, '... and the keys are free';
};

subtest 'a connection goes on after a suspended answer' => sub {
    my ($socket) = open_requests($port, 1, '/main/wait/0.2', '');
    syswrite $socket, "GET /main/stream/2/0.2 HTTP/1.1\r\nHost: x\r\n\r\n";    # sent ahead
    syswrite $socket, "GET /main/wait/0.2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    my $text = rest_of($socket);
    is scalar(() = $text =~ m{HTTP/1\.1 200 OK}g), 3, 'with requests that were sent ahead';
    like $text, qr/ok.*word2.*ok/s, '... each in its turn';
};

subtest 'time limits' => sub {
    my $answer = request(GET => '/late/wait/4', base => $httpd->{base}, timeout => 8);
    is error_code($answer), 'upstream_timeout', 'no first byte in time';
    my $begin = time;
    my ($socket) = open_requests($port, 1, '/idle/silent');
    like rest_of($socket), qr/first.*upstream_truncated|first.*error/s, 'a stream that stops has an end that says so';
    cmp_ok time - $begin, '<', 6, '... in time';
    $answer = request(GET => '/main/wait/5', base => $httpd->{base}, timeout => 10);
    is $answer->{status}, 200, 'a silence longer than Timeout is none of its business';
};

subtest 'clients' => sub {
    unlink "$dir/left";
    my ($socket) = open_requests($port, 1, '/main/silent');
    begun(3, $socket);
    sleep 0.3;
    my $left = time;
    close $socket;
    wait_for(sub { -s "$dir/left" }, 10);
    cmp_ok slurp("$dir/left") - $left, '<', 1, 'one that leaves a silent stream: the upstream is left at once';
    wait_for(sub { endings($httpd, 'main')->{client_abort} }, 5);
    is endings($httpd, 'main')->{client_abort}, 1, '... and it counts as that';
    ($socket) = open_requests($port, 1, '/main/wait/1');
    shutdown $socket, 1;
    like rest_of($socket), qr/ok/, 'one that has closed its side gets its answer';

    my $size = 8_000_000;
    my $slow = IO::Socket::INET->new(Proto => 'tcp') or die $!;
    setsockopt $slow, SOL_SOCKET, SO_RCVBUF, 4096;
    connect $slow, Socket::pack_sockaddr_in($port, Socket::inet_aton('127.0.0.1')) or die $!;
    syswrite $slow, "GET /main/big/$size HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    begun(3, $slow);
    my @others = open_requests($port, 10, '/main/stream/2/0.3');
    is scalar(grep {m/DONE/} map { rest_of($_) } @others), 10, 'one that reads slowly holds up nobody';
    my $text = rest_of($slow);
    is length($text =~ s/.*?\r\n\r\n//sr), $size, '... and gets all of it';

    my $secured = IO::Socket::SSL->new(PeerAddr => "127.0.0.1:$secure", SSL_ca_file => "$dir/crt",
        SSL_verifycn_name => 'localhost') or die $IO::Socket::SSL::SSL_ERROR;
    print {$secured} "GET /tls/stream/3/0.3 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    my ($begin, $first) = (time);
    $text = '';
    while (sysread $secured, $text, 65536, length $text) {
        $first //= time if $text =~ /word1/;
    }
    like $text, qr/word1.*word2.*word3.*DONE/s, 'one of TLS gets its stream';
    cmp_ok $first - $begin, '<', 0.6, '... event by event';
};

subtest 'answers that are read to their end without their client' => sub {
    my $size = 8_000_000;
    my ($stream, $slow) = (open_requests($port, 1, '/finish/stream/4/0.5'), open_requests($port, 1, "/finish/big/$size"));
    is scalar(begun(3, $stream, $slow)), 2, 'two clients have got something';
    sleep 0.2;
    my $before = $httpd->cpu_seconds;
    close $_ for $stream, $slow;
    wait_for(sub { (endings($httpd, 'finish')->{client_abort} // 0) == 2 }, 10);
    is_deeply endings($httpd, 'finish'), {client_abort => 2}, '... and leave';
    is_deeply metrics($httpd->{base})->rules('finish'), {R00 => 2}, '... but the answers are complete';
    is metrics($httpd->{base})->in_flight('finish'), 0, '... and the keys free';
    cmp_ok $httpd->cpu_seconds - $before, '<', $ENV{VALGRIND} ? 5 : 0.7, 'no thread turns round and round meanwhile';
};

subtest 'another key after a refusal that came late' => sub {
    my @answers = map { $_->[0] } parallel(5, sub { request(GET => '/two/refuse/0.3', base => $httpd->{base}, timeout => 10)->{status} });
    is_deeply \@answers, [(200) x 5], 'all are served';
    is metrics($httpd->{base})->rules('two')->{R00}, 5, '... by the other key';
};

subtest 'waiting for a key, and between retries' => sub {
    my @waiting = open_requests($port, 8, '/one/wait/0.2');
    my @slept = open_requests($port, 4, '/slept/chat/completions');
    my $begin = time;
    my $answer = request(GET => '/main/wait/0', base => $httpd->{base}, timeout => 5);
    is $answer->{status}, 200, 'takes no thread';
    cmp_ok time - $begin, '<', 1, '... at all';
    is scalar(grep {m/ 200 OK/} map { rest_of($_) } @waiting), 8, 'those that wait get it one after the other';
    is scalar(grep {m/^HTTP\/1\.1 5/} map { rest_of($_) } @slept), 4, 'those whose upstream fails are told in the end';
    my ($leaver) = open_requests($port, 1, '/one/wait/2');
    sleep 0.2;
    close((open_requests($port, 1, '/one/wait/0.1'))[0]);
    rest_of($leaver);
    wait_for(sub { endings($httpd, 'one')->{client_abort} || endings($httpd, 'one')->{refused} }, 5);
    is request(GET => '/one/wait/0', base => $httpd->{base}, timeout => 5)->{status}, 200,
        'one that leaves its line is in nobody\'s way';
};

subtest 'restarts' => sub {
    my @old = open_requests($port, 10, '/main/stream/6/0.5');
    is scalar(begun(3, @old)), 10, 'streams have begun';
    $httpd->restart('graceful');
    my @new = open_requests($port, 10, '/main/stream/1/0');
    is scalar(grep {m/DONE/} map { rest_of($_) } @new), 10, 'a graceful restart serves new ones';
    is scalar(grep {m/word6.*DONE/s} map { rest_of($_) } @old), 10, '... and cuts none that has begun';
};

subtest 'an output filter that may hold things back' => sub {
    my $other = pool_server({main => {%{pool('main')}, location => 'SetOutputFilter DEFLATE'}},
        config => "${FEW}LogLevel info apipool:debug\n");
    my $answer = request(GET => '/main/wait/0.3', base => $other->{base}, headers => {'accept-encoding' => 'gzip'});
    is $answer->{status}, 200, 'the request is served';
    like $other->log, qr/AP0130: the request keeps its thread because of the output filter deflate/,
        '... and the log says why it kept its thread';
};

subtest 'APIPoolAsync Off' => sub {
    my $other = pool_server({main => pool('main')}, config => "${FEW}APIPoolAsync Off\n");
    my @sockets = open_requests($other->{port}, 4, '/main/stream/3/0.5');
    is scalar(begun(1, @sockets)), 2, 'two threads serve two streams';
    is scalar(grep {m/word3/} map { rest_of($_) } @sockets), 4, '... the others have to wait';
};

subtest 'the end of a process' => sub {
    my @sockets = open_requests($port, 10, '/main/stream/40/0.5');
    is scalar(begun(3, @sockets)), 10, 'streams have begun';
    my $before = () = slurp("$dir/access") =~ m{/main/stream/40}g;
    kill TERM => $httpd->pid;
    my @texts = map { rest_of($_) } @sockets;
    wait_for(sub { !-e "$httpd->{dir}/httpd.pid" }, 20);
    my $after = () = slurp("$dir/access") =~ m{/main/stream/40}g;
    is $after - $before, 10, 'a stop logs those that it ends';
    is $httpd->faults, '', 'nothing went wrong inside';
    $httpd->start;
    is metrics($httpd->{base})->in_flight('main'), 0, 'no key stays lent';
};

done_testing;
