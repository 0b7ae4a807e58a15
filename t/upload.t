# SPDX-License-Identifier: Apache-2.0
# Large uploads at the same time, each rotated twice: every byte arrives, memory stays bounded, and no
# temporary file is left. APIPOOL_TEST_UPLOADS and APIPOOL_TEST_UPLOAD_MIB set the size.
use strict;
use warnings;

use APIPoolTest qw(private_httpd request send_raw upstream_mark upstream_since mock_port slurp error_code);
use Apache::Test ();
use Digest::SHA ();
use HTTP::Tiny ();
use IO::Socket::INET ();
use Test::More;
use Time::HiRes qw(sleep);

my $UPLOADS = $ENV{APIPOOL_TEST_UPLOADS} || 12;
my $MIB = $ENV{APIPOOL_TEST_UPLOAD_MIB} || 20;

# Every key has nothing left and is out then, so every upload is sent three times, its budget.
my @keys = map { sprintf 'sk-quota402-upload-%05d', $_ } 1 .. 3 * $UPLOADS + 8;
my $httpd = private_httpd(
    files => {keys => join("\n", @keys), last => "sk-ok-upload-the-last-one\n"},
    config => <<"CONF",
<APIPool upload>
    APIPoolUpstream http://127.0.0.1:@{[mock_port()]}/v1
    APIPoolKeyFile \@DIR\@/keys
    APIPoolStrategy round-robin
    APIPoolRotations 2
    APIPoolBodyLimit @{[$MIB * 1024 * 1024]}
</APIPool>
<APIPool small>
    APIPoolUpstream http://127.0.0.1:@{[mock_port()]}/v1
    APIPoolKeyFile \@DIR\@/last
    APIPoolBodyLimit 1000
</APIPool>
<APIPool default>
    APIPoolUpstream http://127.0.0.1:@{[mock_port()]}/v1
    APIPoolKeyFile \@DIR\@/last
</APIPool>
<Location "/default">
    APIPoolUse default
</Location>
<Location "/v1">
    APIPoolUse upload
    APIPoolExpose On
</Location>
<Location "/small">
    APIPoolUse small
</Location>
CONF
);

# Private memory of all children, in MiB: what is resident and belongs to no file.
sub memory {
    my $kib = 0;
    for my $child ($httpd->children) {
        $kib += $1 if (eval { slurp("/proc/$child/status") } // '') =~ /^RssAnon:\s+(\d+) kB/m;
    }
    return $kib / 1024;
}

sub upload {
    my ($number) = @_;
    my $piece = join '', map { chr(($_ * $number) & 255) } 0 .. 65535;
    my ($left, $sha) = ($MIB * 16, Digest::SHA->new(1));
    my $answer = HTTP::Tiny->new(timeout => 300)->post(
        "$httpd->{base}/v1/files",
        {
            headers => {'content-length' => $MIB * 1024 * 1024, 'x-upload' => $number, 'x-mock' => 'sums'},
            content => sub { $left-- > 0 or return; $sha->add($piece); return $piece },
        }
    );
    return join ' ', $answer->{status}, $answer->{headers}{'x-apipool-attempts'} // 0, $sha->hexdigest,
        ($answer->{headers}{'x-body-sha1'} // 'none');
}

my $before = memory();
my $mark = upstream_mark();
my @pipes = map {
    my $number = $_;
    my $pid = open my $pipe, '-|';
    if (!$pid) {
        print upload($number);
        close STDOUT;
        require POSIX;
        POSIX::_exit(0);
    }
    $pipe;
} 1 .. $UPLOADS;

my $peak = 0;
my $running = 1;
my $watcher = open my $watch, '-|';
if (!$watcher) {
    local $SIG{TERM} = sub { $running = 0 };
    while ($running) {
        my $now = memory();
        $peak = $now if $now > $peak;
        select undef, undef, undef, 0.1;
    }
    print $peak;
    close STDOUT;
    require POSIX;
    POSIX::_exit(0);
}
my @results = map { scalar <$_> } @pipes;
kill TERM => $watcher;
$peak = <$watch>;
ok defined $peak, 'memory was watched';

my @bad = grep { !/\A402 / } @results;
is "@bad", '', "$UPLOADS uploads of $MIB MiB at once get the upstream's last answer";
my @differing = grep { my (undef, undef, $sent, $arrived) = split; $sent ne $arrived } @results;
is "@differing", '', 'every byte arrives in the last attempt';
# An attempt that meets a connection which the upstream is just closing is made again, and never seen there.
my (%sums, %attempts);
for my $seen (upstream_since($mark)) {
    my $number = $seen->{headers}{'x-upload'} or next; # a probe
    $sums{$number}{$seen->{body_sha1}}++;
    $attempts{$number}++;
}
is_deeply [values %attempts], [(3) x $UPLOADS], 'each after two rotations';
is scalar(grep { keys %$_ != 1 } values %sums), 0, '... with the same bytes every time';
is scalar(grep { (split)[1] < 3 } @results), 0, '... as clients are told';
my $growth = $peak - $before;
note sprintf 'memory grew by %.0f MiB for %d uploads', $growth, $UPLOADS;
SKIP: {
    skip "valgrind's own memory is larger", 1 if $ENV{VALGRIND};
    cmp_ok $growth, '<', $UPLOADS * 4 + 32, 'memory is bounded by the threshold, not by the bodies';
}

subtest 'over the limit' => sub {
    my $length = 1001;
    my $answer = request(POST => '/small/x', base => $httpd->{base}, content => 'x' x $length);
    is $answer->{status}, 413, 'announced: 413';
    is error_code($answer), 'request_too_large', '... request_too_large';
    my $sent = $mark;
    my $chunked = send_raw(
        "POST /small/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            . sprintf("%x\r\n%s\r\n", $length, 'x' x $length) . "0\r\n\r\n",
        port => $httpd->{port}
    );
    like $chunked, qr{\AHTTP/1.1 413 .*"request_too_large"}s, 'in chunks: 413';
    is request(POST => '/small/x', base => $httpd->{base}, content => 'x' x 1000)->{status}, 200,
        'at the limit: served';
    my $waiting = send_raw("POST /small/x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            . "Content-Length: 99999999\r\n\r\n", port => $httpd->{port});
    like $waiting, qr{\AHTTP/1.1 413 }, 'not invited to send what would be refused';
    my $broken = send_raw("POST /small/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        port => $httpd->{port});
    like $broken, qr{\AHTTP/1.1 400 }, 'broken chunks: 400';
};

subtest 'the default limit' => sub {
    for my $case ([536_870_913, 413], [536_870_912, 100]) {
        my ($length, $status) = @$case;
        my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$httpd->{port}", Timeout => 10) or die "$@\n";
        print {$socket} "POST /default/x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: $length\r\n\r\n";
        like scalar(<$socket>), qr{\AHTTP/1.1 $status }, "$length bytes: $status";
    }
};

my @left = grep { -f } glob '/tmp/apipool.*';
is scalar @left, 0, 'no temporary file has a name';
unlike $httpd->log, qr/exit signal|:crit\]/, 'no child died';

done_testing;
