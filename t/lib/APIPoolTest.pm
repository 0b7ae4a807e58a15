# SPDX-License-Identifier: Apache-2.0
# Shared by the tests: requests to the test server, the upstream's record, and private httpds.
package APIPoolTest;

use strict;
use warnings;

use Apache::Test ();
use Exporter 'import';
use File::Path qw(make_path remove_tree);
use HTTP::Tiny ();
use IO::Socket::INET ();
use JSON::PP qw(decode_json encode_json);
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(base_url request chat send_raw upstream_mark upstream_since wait_for slurp spew
    free_port closed_port private_httpd config_test source_dir build_dir check_dir mock_port serve_raw json error_code
    pool_server metrics background parallel read_request);

# Folders: the sources, the build, and one that tests may write to.
sub _folder {
    my ($name) = @_;
    return $ENV{$name} || die "$name is not set; run the tests with t/run\n";
}

sub source_dir {
    return _folder('APIPOOL_SOURCE');
}

sub build_dir {
    return _folder('APIPOOL_BUILD');
}

sub check_dir {
    return _folder('APIPOOL_CHECK');
}

sub slurp {
    my ($file) = @_;
    open my $in, '<:raw', $file or die "$file: $!\n";
    local $/;
    return scalar <$in>;
}

sub spew {
    my ($file, $text) = @_;
    open my $out, '>:raw', $file or die "$file: $!\n";
    print {$out} $text;
    close $out or die "$file: $!\n";
    return $file;
}

sub json {
    my ($text) = @_;
    return eval { decode_json($text) };
}

# The code of an OpenAI-style error, or undef.
sub error_code {
    my ($answer) = @_;
    my $error = (json($answer->{content}) || {})->{error} || {};
    return $error->{code};
}

# --- The server that Apache::Test runs -----------------------------------------------------------

sub base_url {
    my $vars = Apache::Test::vars();
    return "http://127.0.0.1:$vars->{port}";
}

sub mock_port {
    return Apache::Test::vars('mock_port');
}

# request(POST => '/ok/v1/chat', content => ..., headers => {...}, base => ..., timeout => ..., from =>
# ADDRESS); pass the test's own HTTP::Tiny as http to keep its connection.
sub request {
    my ($method, $path, %options) = @_;
    my ($base, $timeout, $from, $http) = delete @options{qw(base timeout from http)};
    $http ||= HTTP::Tiny->new(timeout => $timeout || 60, $from ? (local_address => $from) : ());
    return $http->request($method, ($base || base_url()) . $path, \%options);
}

# chat($httpd, 'main', model => 'm', stream => EVENTS, key => ..., content => ..., query => ..., path => ...,
# ...): posts a chat to the pool at /main of a server, which is an object or a base URL. An empty model is not
# sent; content replaces model and stream; key is a client's; path is relative to the pool's; other options
# are those of request, and method. Returns the answer, including the seconds it took; in list context also
# the keys that have reached the scripted upstream meanwhile.
sub chat {
    my ($server, $pool, %options) = @_;
    my ($method, $model, $events, $key, $content) = delete @options{qw(method model stream key content)};
    my ($query, $path) = delete @options{qw(query path)};
    my $url = "/$pool" . ($path // '/chat/completions');
    $query //= $events ? "events=$events" : '';
    $model //= 'm';
    $content //= '{' . join(',', length $model ? qq("model":"$model") : (), $events ? '"stream":true' : ()) . '}';
    my %headers = (%{delete $options{headers} || {}}, defined $key ? (authorization => "Bearer $key") : ());
    my $mark = wantarray ? upstream_mark() : 0;
    my $begin = time;
    my $answer = request(
        $method // 'POST',
        $url . (length $query ? "?$query" : ''),
        base => ref $server ? $server->{base} : $server,
        content => $content,
        headers => \%headers,
        %options
    );
    $answer->{seconds} = time - $begin;
    return wantarray ? ($answer, map { $_->{key} } upstream_since($mark)) : $answer;
}

# Sends raw bytes and reads until the server closes; for requests and answers that no client library would
# make.
sub send_raw {
    my ($bytes, %options) = @_;
    my $port = $options{port} || Apache::Test::vars('port');
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", Timeout => 10)
        or die "cannot connect to port $port: $@\n";
    local $SIG{PIPE} = 'IGNORE';
    print {$socket} $bytes;
    my $answer = '';
    my $deadline = time + ($options{timeout} || 30);
    while (time < $deadline) {
        my $ready = '';
        vec($ready, fileno $socket, 1) = 1;
        next if !select $ready, undef, undef, 0.5;
        last if !sysread $socket, $answer, 65536, length $answer;
    }
    return $answer;
}

# --- What the scripted upstream received ---------------------------------------------------------

my $record = sub { Apache::Test::vars('serverroot') . '/logs/upstream.jsonl' };

sub upstream_mark {
    return -s $record->() || 0;
}

# A mark, or the end, may be inside a line that was just being written for another request.
sub upstream_since {
    my ($mark, $file) = @_;
    open my $in, '<:raw', $file || $record->() or return;
    if ($mark) {
        seek $in, $mark - 1, 0;
        <$in>;
    }
    return map { decode_json($_) } grep {/\n\z/} <$in>;
}

sub wait_for {
    my ($what, $seconds) = @_;
    my $end = time + ($seconds || 10);
    while (time < $end) {
        my $got = $what->();
        return $got if $got;
        sleep 0.02;
    }
    return;
}

# --- httpds of a test's own ----------------------------------------------------------------------

# A port that nothing listens on yet, outside the range for outgoing connections: a port in that range may be
# taken, or connected to itself, before a server binds it.
sub free_port {
    my %tried;
    while (keys %tried < 1000) {
        my $port = 10_000 + int rand 20_000;
        return $port if !$tried{$port}++ && IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port", Listen => 1);
    }
    die "no free port\n";
}

# A port that refuses connections for as long as the test runs.
my @closed;

sub closed_port {
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1:0', Proto => 'tcp') or die "no free port: $@\n";
    push @closed, $socket;
    return $socket->sockport;
}

my $count = 0;

sub _write_config {
    my (%options) = @_;
    my $dir = check_dir() . sprintf '/t/logs/private-%d-%d', $$, ++$count;
    my $mpm = $options{mpm} || 'event';
    my $modules = slurp(check_dir() . '/t/modules.conf');
    my $port = free_port();
    $modules =~ s/mpm_event/mpm_$mpm/g;
    $modules =~ s/^(LoadModule apipool_module ).*/$1$options{module}/m if $options{module};
    make_path("$dir/htdocs");
    my $mock = check_dir() . '/c-modules/mock_llm/.libs/mod_mock_llm.so';
    my $config = $options{config} || '';
    $config =~ s/\@DIR\@/$dir/g;
    $config =~ s/\@PORT\@/$port/g;
    spew("$dir/httpd.conf", <<"CONF" . $config);
ServerRoot $dir
ServerName localhost
DefaultRuntimeDir $dir
PidFile $dir/httpd.pid
ErrorLog $dir/error_log
LogLevel info apipool:debug
DocumentRoot $dir/htdocs
${modules}LoadModule mock_llm_module $mock
Listen 127.0.0.1:$port
StartServers 2
MaxRequestWorkers @{[$mpm eq 'prefork' ? 60 : 100]}
GracefulShutdownTimeout 5
TypesConfig /dev/null
APIPoolStore $dir/store
APIPoolSecretFile $dir/secret
CONF
    return ($dir, $port);
}

# config_test($config, files => {...}): whether httpd accepts a configuration; returns exit status and output.
sub config_test {
    my ($config, %options) = @_;
    my ($dir) = _write_config(config => $config);
    my $files = $options{files} || {};
    spew("$dir/$_", $files->{$_}) for keys %$files;
    my $output = qx('@{[_httpd()]}' -t -f '$dir/httpd.conf' 2>&1);
    my $status = $? >> 8;
    remove_tree($dir);
    return ($status, $output);
}

sub _httpd {
    return Apache::Test::vars('httpd');
}

# private_httpd(config => ..., mpm => ..., module => ..., files => {...}): an object with dir, port, base, and
# the methods stop, restart, log, faults. It is told to stop when it goes out of scope, and the end of the test waits
# for that. module is the mod_apipool.so of another build.
sub private_httpd {
    my (%options) = @_;
    my ($dir, $port) = _write_config(%options);
    my $files = $options{files} || {};
    spew("$dir/$_", $files->{$_}) for keys %$files;
    my $self = bless {dir => $dir, port => $port, base => "http://127.0.0.1:$port", owner => $$},
        'APIPoolTest::Httpd';
    $self->start;
    return $self;
}

# pool_server({NAME => {keys => ..., upstreams => [...], lines => '...', location => '...'}, ...}): a private
# httpd with pools, each at /NAME, and their metrics at /metrics. keys is a list, the text of a key file, or a
# hash of these by upstream name. Other options are those of private_httpd.
sub pool_server {
    my ($pools, %options) = @_;
    my %files = %{$options{files} || {}};
    my $config = qq(<Location "/metrics">\n    SetHandler apipool-metrics\n</Location>\n);
    for my $name (sort keys %$pools) {
        my $pool = $pools->{$name};
        my $keys = ref $pool->{keys} eq 'HASH' ? $pool->{keys} : {'' => $pool->{keys}};
        my $upstreams = $pool->{upstreams} || ['http://127.0.0.1:' . mock_port() . '/v1'];
        my @lines = map {"APIPoolUpstream $_"} @$upstreams;
        for my $upstream (sort keys %$keys) {
            my $list = $keys->{$upstream};
            my $file = join '-', $name, $upstream || ();
            $files{$file} = ref $list ? join "\n", @$list, '' : $list;
            push @lines, "APIPoolKeyFile \@DIR\@/$file" . ($upstream && " upstream=$upstream");
        }
        push @lines, $pool->{lines} // ();
        my $location = join "\n    ", "APIPoolUse $name", 'APIPoolExpose On', $pool->{location} // ();
        $config .= join "\n    ", "<APIPool $name>", @lines;
        $config .= qq(\n</APIPool>\n<Location "/$name">\n    $location\n</Location>\n);
    }
    return private_httpd(%options, config => $config . ($options{config} // ''), files => \%files);
}

# metrics($base, $query): the metrics of a pool_server; an object with the methods states, rules, in_flight,
# sum and by.
sub metrics {
    my ($base, $query) = @_;
    my $answer = request(GET => '/metrics' . ($query // ''), base => $base);
    die "no metrics: $answer->{status} $answer->{content}\n" if $answer->{status} != 200;
    my @series;
    for my $line (split /\n/, $answer->{content}) {
        my ($name, $labels, $value) = $line =~ /^([a-z_]+)(?:\{(.*)\})? (\S+)/ or next;
        push @series, [$name, {($labels // '') =~ /(\w+)="([^"]*)"/g}, $value];
    }
    return bless \@series, 'APIPoolTest::Metrics';
}

# --- Work beside the test ------------------------------------------------------------------------

# background($work): runs it in a separate process; returns a sub that waits for its result, which must be
# plain data.
sub background {
    my ($work) = @_;
    my $pid = open my $pipe, '-|';
    die "cannot fork: $!\n" if !defined $pid;
    if (!$pid) {
        my $result = eval { encode_json([$work->()]) } // encode_json({died => "$@"});
        print $result;
        close STDOUT;
        require POSIX;
        POSIX::_exit(0);
    }
    return sub {
        my $result = do { local $/; decode_json(<$pipe>) };
        close $pipe;
        die $result->{died} if ref $result eq 'HASH';
        return @$result;
    };
}

# parallel($count, $work): runs it in so many processes at once, each called with its number from 1; returns a
# list of their results, each a list.
sub parallel {
    my ($count, $work) = @_;
    my @jobs = map { my $number = $_; background(sub { $work->($number) }) } 1 .. $count;
    return map { [$_->()] } @jobs;
}

# A server on a free port that handles each connection with the test's code: serve_raw(sub { my ($socket) =
# @_; ... }). Ends with the test.
my @children;

sub serve_raw {
    my ($serve) = @_;
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1:0', Listen => 128, ReuseAddr => 1)
        or die "no free port: $@\n";
    my $port = $listener->sockport;
    my $pid = fork;
    if (!$pid) {
        $SIG{CHLD} = 'IGNORE';
        $SIG{PIPE} = 'IGNORE';
        while (my $socket = $listener->accept) {
            next if fork;
            $serve->($socket);
            $socket->close;
            require POSIX;
            POSIX::_exit(0);
        }
        require POSIX;
        POSIX::_exit(0);
    }
    push @children, $pid;
    return $port;
}

# Reads a whole request as such a server does; returns its head, in list context also its body, or nothing
# when the client closes.
sub read_request {
    my ($socket) = @_;
    my $text = '';
    while ($text !~ /\r\n\r\n/) {
        sysread $socket, $text, 4096, length $text or return;
    }
    my ($head, $body) = split /\r\n\r\n/, $text, 2;
    my ($length) = $head =~ /^Content-Length: (\d+)/mi;
    while ($length && length $body < $length) {
        sysread $socket, $body, 65536, length $body or return;
    }
    return wantarray ? ($head, $body) : $head;
}

my $owner = $$;

END {
    local $?;
    if ($$ == $owner && @children) {
        kill TERM => @children;
        waitpid $_, 0 for @children;
    }
}

package APIPoolTest::Metrics;

# sum('apipool_keys', pool => 'main'): the sum of the series that have these labels.
sub sum {
    my ($self, $name, %labels) = @_;
    my $sum = 0;
    for my $series (@$self) {
        my ($its_name, $its_labels, $value) = @$series;
        next if $its_name ne $name || grep { ($its_labels->{$_} // '') ne $labels{$_} } keys %labels;
        $sum += $value;
    }
    return $sum;
}

# by('state', 'apipool_keys', pool => 'main'): these sums by the values of one label, without zeros.
sub by {
    my ($self, $label, $name, %labels) = @_;
    my %values = map { ($_->[1]{$label} // '') => 1 } grep { $_->[0] eq $name } @$self;
    my %sums = map { $_ => $self->sum($name, %labels, $label => $_) } keys %values;
    return {map { $_ => $sums{$_} } grep { $sums{$_} } keys %sums};
}

# A pool's keys by state, its attempts by rule, and its requests in flight.
sub states {
    my ($self, $pool) = @_;
    return $self->by(state => 'apipool_keys', pool => $pool);
}

sub rules {
    my ($self, $pool) = @_;
    return $self->by(rule => 'apipool_attempts_total', pool => $pool);
}

sub in_flight {
    my ($self, $pool) = @_;
    return $self->sum('apipool_in_flight', pool => $pool);
}

package APIPoolTest::Httpd;

use POSIX ();
use Time::HiRes ();

sub start {
    my ($self) = @_;
    my $from = length $self->log;
    my $output = qx('@{[APIPoolTest::_httpd()]}' -f '$self->{dir}/httpd.conf' 2>&1);
    $self->resumes($from) or die "a private httpd did not start: $output" . $self->log . "\n";
    return;
}

# Waits until httpd has logged, beyond the given length of the log, that it runs. It listens and writes its
# pid file earlier, but a signal at that time would end it, or be merged with the next restart.
sub resumes {
    my ($self, $from) = @_;
    return APIPoolTest::wait_for(sub { substr($self->log, $from) =~ /resuming normal operations/ }, 30);
}

# Starts it as a child of the test, which learns how it ends; returns its process id.
sub start_as_child {
    my ($self) = @_;
    my $from = length $self->log;
    my $child = fork // die "fork: $!\n";
    exec APIPoolTest::_httpd(), '-f', "$self->{dir}/httpd.conf", '-DFOREGROUND' if !$child;
    $self->resumes($from) or die 'a private httpd did not start: ' . $self->log . "\n";
    return $child;
}

sub pid {
    my ($self) = @_;
    my $pid = -s "$self->{dir}/httpd.pid" ? APIPoolTest::slurp("$self->{dir}/httpd.pid") : 0;
    return $pid + 0;
}

sub children {
    my ($self) = @_;
    my $pid = $self->pid;
    return map { (split m{/}, $_)[2] } grep { _parent($_) == $pid } glob '/proc/[0-9]*/stat';
}

# The CPU seconds that the children have used so far.
sub cpu_seconds {
    my ($self) = @_;
    my $ticks = 0;
    for my $pid ($self->children) {
        my @fields = split ' ', eval { APIPoolTest::slurp("/proc/$pid/stat") } =~ s/.*\)//sr;
        $ticks += $fields[11] + $fields[12];
    }
    return $ticks / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# The parent process id in a /proc/PID/stat; the process may be gone by then.
sub _parent {
    my ($file) = @_;
    my $stat = eval { APIPoolTest::slurp($file) } // '';
    return (split ' ', $stat =~ s/.*\)//sr)[1] || 0;
}

sub graceful {
    my ($self) = @_;
    kill USR1 => $self->pid;
    return;
}

# A graceful restart; returns when the new children are there and no old one accepts connections any more.
sub restart {
    my ($self) = @_;
    my $from = length $self->log;
    $self->graceful;
    return $self->resumes($from) && APIPoolTest::wait_for(sub { !$self->_old_listeners }, 30);
}

# Children of the previous generation that accept connections: they have the listening socket, but not the
# pipe by which the parent now ends its children, of which it has both ends. They include any child that the
# parent made after the signal.
sub _old_listeners {
    my ($self) = @_;
    my $port = sprintf '%04X', $self->{port};
    my ($inode) = APIPoolTest::slurp('/proc/net/tcp') =~ /^ *\d+: [0-9A-F]{8}:$port \S+ 0A (?:\S+ +){5}(\d+)/m;
    my %ends;
    $ends{$_}++ for grep {/^pipe:/} _open_files($self->pid);
    return grep {
        my @files = _open_files($_);
        grep({ $_ eq "socket:[$inode]" } @files) && !grep { ($ends{$_} // 0) == 2 } @files
    } $self->children;
}

# What a process has open, except for what it had at its start.
sub _open_files {
    my ($pid) = @_;
    return map { readlink // () } grep {/[^\/]{2,}\z|[3-9]\z/} glob "/proc/$pid/fd/*";
}

sub log {
    my ($self) = @_;
    my $file = "$self->{dir}/error_log";
    return -f $file ? APIPoolTest::slurp($file) : '';
}

# Log lines about children that died and errors of the module itself.
sub faults {
    my ($self) = @_;
    my $fault = qr/exit signal|core dump|AddressSanitizer|\[apipool(?:_admin)?:(?:error|crit|alert|emerg)\]/;
    return join "\n", grep {$_ =~ $fault} split /\n/, $self->log;
}

# When told to stop, mpm_event shuts down its workers' sockets, and crashes if one is being freed at that
# moment, with or without this module. So let httpd first close what clients have closed.
sub settle {
    my ($self) = @_;
    my $half_closed = sprintf '^ *\\d+: \\w+:%04X \\w+:\\w+ 08 ', $self->{port};
    APIPoolTest::wait_for(sub { !-r '/proc/net/tcp' || APIPoolTest::slurp('/proc/net/tcp') !~ /$half_closed/m }, 2);
    Time::HiRes::sleep(0.05);
    return;
}

sub stop {
    my ($self) = @_;
    _await($self->_end);
    return;
}

# Tells it to stop; returns its process id, or nothing when it does not run.
sub _end {
    my ($self) = @_;
    my $pid = $self->pid or return;
    $self->settle;
    kill TERM => $pid;
    return $pid;
}

sub _await {
    for my $pid (@_) {
        APIPoolTest::wait_for(sub { !kill 0 => $pid }, 30);
    }
    return;
}

# A stop of httpd takes more than a second, of which it waits nearly all; the test goes on meanwhile.
my @ending;

sub DESTROY {
    my ($self) = @_;
    local ($?, $@, $!);
    return if $self->{owner} != $$;
    my @ends = $self->_end;
    ${^GLOBAL_PHASE} eq 'DESTRUCT' ? _await(@ends) : push @ending, @ends;
    return;
}

END {
    local ($?, $@, $!);
    _await(@ending) if $$ == $owner;
}

1;
