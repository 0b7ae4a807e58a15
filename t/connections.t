# SPDX-License-Identifier: Apache-2.0
# Connections to upstreams: the options of APIPoolUpstream, what <Proxy "URL"> sections say of them, and idle ones that
# the upstream has closed.
use strict;
use warnings;

use APIPoolTest qw(pool_server read_request chat request send_raw serve_raw error_code metrics slurp wait_for check_dir parallel
    config_test free_port);
use Apache::Test ();
use Test::More;
use Time::HiRes qw(sleep time);

my $dir = check_dir() . "/t/logs/connections-$$";
mkdir $dir;
my $said = qx(openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \\
    -addext subjectAltName=DNS:localhost -keyout $dir/key -out $dir/crt 2>&1);
die "openssl: $said" if $?;
my $tls = free_port();

sub note_down {
    my ($file, $text) = @_;
    open my $out, '>>', "$dir/$file" or die $!;
    syswrite $out, "$text\n";
    close $out;
    return;
}

sub noted {
    my ($file) = @_;
    return -e "$dir/$file" ? split /\n/, slurp("$dir/$file") : ();
}

# Answers what the path asks for, on any number of requests, and notes when the other side closes.
sub serve {
    my ($socket) = @_;
    my $serial = 0;
    while (my $head = read_request($socket)) {
        my ($word, $value) = $head =~ m{^\w+ \S*/(\w+)/(\d+) };
        my ($connection) = $head =~ /^Connection: (\S+)\r?$/m;
        my $field = $word eq 'field' ? 'X-Long: ' . 'y' x $value . "\r\n" : '';
        if ($word eq 'work') {
            note_down(work => '+');
            sleep $value / 1000;
            note_down(work => '-');
        }
        my $said = sprintf '{"serial":%d,"connection":"%s","port":%d}', ++$serial, $connection, $socket->peerport;
        syswrite $socket, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n${field}Content-Length: "
            . length($said) . "\r\n\r\n$said";
        return if $word eq 'close' && !select undef, undef, undef, $value / 1000;
    }
    note_down(closed => $socket->sockport);
    return;
}

# Refuses keys, and lets whoever asks about them wait.
sub serve_probes {
    my ($socket) = @_;
    my $head = read_request($socket) or return;
    if ($head =~ /^POST/) {
        syswrite $socket, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return;
    }
    my $begin = time;
    read_request($socket);
    note_down(probes => time - $begin);
    return;
}

sub upstream {
    my ($serve) = @_;
    return 'http://127.0.0.1:' . serve_raw($serve);
}

my %url = (
    (map { $_ => upstream(\&serve) } qw(plain keepalive once max ttl wide section closer)),
    (map { $_ => upstream(\&serve) } qw(full set)),
    (map { $_ => upstream(sub { read_request($_[0]); read_request($_[0]) }) } qw(silent other)),
    probes => upstream(\&serve_probes), secure => "https://localhost:$tls",
);
my %options = (
    keepalive => 'keepalive=On', once => 'disablereuse=On', max => 'max=1', ttl => 'ttl=1',
    wide => 'responsefieldsize=100000', other => 'timeout=2', full => 'max=1 connecttimeout=1'
);
my %lines = (probes => "\n    APIPoolRecover 1 1");
my %pools = map {
    my $base = "$url{$_}/v1 " . ($options{$_} // '');
    ($_ => {upstreams => [$base], keys => ["sk-ok-$_-aaaaaaaaaaaaaaaa"], lines => 'APIPoolRetries 0' . ($lines{$_} // '')})
} keys %url;
my $httpd = pool_server(\%pools, config => <<"CONF");
ServerLimit 1
StartServers 1
ThreadsPerChild 50
MaxRequestWorkers 50
SSLProxyEngine On
SSLProxyVerify require
SSLProxyCACertificateFile $dir/crt
Listen 127.0.0.1:$tls
<VirtualHost 127.0.0.1:$tls>
    SSLEngine On
    SSLCertificateFile $dir/crt
    SSLCertificateKeyFile $dir/key
    KeepAliveTimeout 1
    <Location "/">
        SetHandler mock-llm
    </Location>
</VirtualHost>
<Proxy "$url{section}">
    ProxySet keepalive=On disablereuse=On responsefieldsize=100000
</Proxy>
<Proxy "$url{set}">
    ProxySet ttl=60 max=20 connectiontimeout=20
</Proxy>
<Proxy "$url{set}/v1">
    ProxySet ttl=1 max=1 connectiontimeout=1
</Proxy>
<Proxy "$url{silent}/v1">
    ProxySet timeout=1
</Proxy>
<Proxy "$url{other}">
    ProxySet timeout=60
</Proxy>
<Proxy "$url{probes}/">
    ProxySet timeout=1
</Proxy>
CONF

# HTTP::Tiny reads no long fields.
sub status_of {
    my ($pool, $path) = @_;
    my $raw = send_raw("GET /$pool/$path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", port => $httpd->{port});
    return $raw =~ m{^HTTP/1.1 (\d+)} ? $1 : $raw;
}

sub get {
    my ($pool, $path) = @_;
    return request(GET => "/$pool/$path", base => $httpd->{base}, timeout => 20);
}

# Sockets of this machine whose far end is that upstream: state and timer of each.
sub sockets {
    my ($name) = @_;
    my ($port) = $url{$name} =~ /(\d+)$/;
    my $far = sprintf '0100007F:%04X', $port;
    return slurp('/proc/net/tcp') =~ /^ *\d+: \w+:\w+ $far (\w\w) \w+:\w+ (\w\w):/gm;
}

subtest 'which are kept' => sub {
    get(plain => 'x/1');
    like get(plain => 'x/1')->{content}, qr/"serial":2,"connection":"Keep-Alive"/, 'by default';
    for my $pool (qw(once section)) {
        get($pool => 'x/1');
        like get($pool => 'x/1')->{content}, qr/"serial":1,"connection":"close"/, "not with disablereuse: $pool";
    }
};

subtest 'keepalive' => sub {
    get(keepalive => 'x/1');
    is_deeply {sockets('keepalive')}, {'01' => '02'}, 'TCP keeps the connection alive';
    is_deeply {sockets('plain')}, {'01' => '00'}, '... and no other one';
};

subtest 'max' => sub {
    my @statuses = map { $_->[0] } parallel(4, sub { return get(max => 'work/200')->{status} });
    is_deeply \@statuses, [(200) x 4], 'all are served';
    is join('', noted('work')), '+-' x 4, '... one after the other';
};

# The first request has the only place for three seconds. "set" has the same from the longest section of its URL.
for my $pool (qw(full set)) {
    subtest "no place in time: $pool" => sub {
        my @answers = parallel(3, sub { my $answer = get($pool => 'work/3000'); return $answer->{status}, error_code($answer) });
        is_deeply [sort map { $_->[0] } @answers], [200, 503, 503], 'two of three are told so, after connecttimeout';
        is_deeply [grep { $_->[0] == 503 && $_->[1] ne 'upstream_busy' } @answers], [], '... and why';
        is_deeply metrics($httpd->{base})->rules($pool), {R00 => 1, R03 => 2}, '... for nothing was sent';
        for (1 .. 2) {
            parallel(5, sub { get($pool => 'work/1500')->{status} });
        }
        is get($pool => 'x/1')->{status}, 200, 'the upstream is not paused, however often that happens';
        is_deeply metrics($httpd->{base})->states($pool), {active => 1}, '... nor is the key to blame';
    };
}

subtest 'fields of a response' => sub {
    is status_of(plain => 'field/65000'), 200, 'one of almost 64 KiB passes';
    is status_of(plain => 'field/66000'), 502, 'a longer one does not';
    for my $pool (qw(wide section)) {
        is status_of($pool => 'field/66000'), 200, "unless it may: $pool";
    }
};

subtest 'timeout' => sub {
    my $answer = chat($httpd, 'silent', timeout => 20);
    is error_code($answer), 'upstream_timeout', 'ProxySet holds for the upstream of that URL';
    cmp_ok $answer->{seconds}, '<', 15, '... and not the default';
    is error_code(chat($httpd, 'other', timeout => 20)), 'upstream_timeout', 'an option of the upstream comes first';
    is chat($httpd, 'probes')->{status}, 401, 'a key is refused';
    ok wait_for(sub { noted('probes') }, 20), '... and the probe of it ends';
    cmp_ok +(noted('probes'))[0], '<', 15, '... by the same limit';
};

subtest 'idle connections' => sub {
    my ($port) = $url{ttl} =~ /(\d+)$/;
    get(ttl => 'x/1');
    ok wait_for(sub { grep { $_ == $port } noted('closed') }, 15), 'are closed after ttl, without another request';
    my ($set) = $url{set} =~ /(\d+)$/;
    ok wait_for(sub { grep { $_ == $set } noted('closed') }, 15), '... that of the longest section, too';
    get(closer => 'close/300');
    is scalar(my ($state) = sockets('closer')), 2, 'one is kept';
    ok wait_for(sub { !sockets('closer') }, 15), '... and closed when its upstream has closed it';
    is chat($httpd, 'secure')->{status}, 200, 'one over TLS';
    is scalar(($state) = sockets('secure')), 2, '... is kept as well';
    ok wait_for(sub { !sockets('secure') }, 15), '... and closed when its upstream has said so and closed it';
};

is $httpd->faults, '', 'nothing went wrong inside';

subtest 'ProxyTimeout' => sub {
    my %two = map { $_ => {upstreams => [$url{silent}], keys => ['sk-ok-proxytimeout'], lines => 'APIPoolRetries 0'} } qw(a b);
    $two{b}{lines} .= "\n    APIPoolFirstByteTimeout 2";
    my ($probed, $noted) = (upstream(\&serve_probes), scalar noted('probes'));
    $two{c} = {upstreams => ["$probed/v1"], keys => ['sk-ok-proxytimeout'], lines => 'APIPoolRecover 1 1'};
    my $server = pool_server(\%two, config => "ProxyTimeout 1\n");
    for my $pool (qw(a b)) {
        my $answer = chat($server, $pool, timeout => 20);
        is error_code($answer), 'upstream_timeout', "$pool: is over";
    }
    is chat($server, 'c')->{status}, 401, 'a key is refused';
    ok wait_for(sub { noted('probes') > $noted }, 20), '... and the probe of it ends';
    cmp_ok +(noted('probes'))[$noted], '<', 15, '... by the same limit';
    unlike $server->log, qr/AP\d+: .*(?:crit|emerg)/, 'without more ado';
};

subtest 'wrong options' => sub {
    for my $case (['keepalive=yes', qr/keepalive=yes: On or Off is needed/], ['max=0', qr/0: a whole number from 1/],
        ['responsefieldsize=1', qr/1: a whole number from 256/], ['ttl=x', qr/x: a whole number from 1/],
        ['disablereuse=', qr/disablereuse=: On or Off/])
    {
        my ($option, $said) = @$case;
        my ($status, $output) = config_test("<APIPool p>\nAPIPoolUpstream http://127.0.0.1:9/v1 $option\n</APIPool>\n");
        isnt $status, 0, "$option is refused";
        like $output, $said, '... with a reason';
    }
};

done_testing;
