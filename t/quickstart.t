# SPDX-License-Identifier: Apache-2.0
# quickstart.sh, in a copy of the sources: what it prints is what works, and it stops what it started.
use strict;
use warnings;

use APIPoolTest qw(check_dir free_port json request slurp source_dir);
use File::Path qw(remove_tree);
use IO::Socket::INET ();
use Test::More;

my $dir = check_dir() . "/t/logs/quickstart-$$";
my $port = free_port();
my $base = "http://127.0.0.1:$port";
system 'sh', '-c', 'mkdir "$2" && cd "$1" && tar --exclude=./.git --exclude=./build --exclude=./obj --exclude=node_modules '
    . '--exclude=./Makefile --exclude="./config.*" --exclude="*.so" -cf - . | tar -C "$2" -xf -', 'sh', source_dir(), $dir;
is $?, 0, 'a copy of the sources';

sub quickstart {
    my @words = @_;
    my $said = qx(PORT=$port sh '$dir/quickstart.sh' @words 2>&1);
    return ($? >> 8, $said);
}

# What it has printed: the client key, and the admin's name and password.
sub printed {
    my ($said) = @_;
    my ($key) = $said =~ /^ +-H 'Authorization: Bearer (ak-[A-Za-z0-9]{40})'/m;
    my ($user, $password) = map { $said =~ /^  $_ +(\S+)$/m } qw(user password);
    return ($key, $user, $password);
}

sub sign_in {
    my ($user, $password) = @_;
    return request(POST => '/apipool/api/session', base => $base, headers => {'content-type' => 'application/json'},
        content => qq({"username":"$user","password":"$password"}));
}

my ($status, $said) = quickstart();
is $status, 0, 'it starts' or diag $said;
like $said, qr/chatcmpl|"choices"/, '... and shows the answer to a request';
like $said, qr{\Q$base\E/v1 .*^The dashboard is at \Q$base\E/apipool/ and its API below that, at api/}ms, '... and the addresses';
my ($key, $user, $password) = printed($said);
ok $key && $user && $password, '... with a client key and an admin' or diag $said;

sub chat {
    my ($credential) = @_;
    return request(POST => '/v1/chat/completions', base => $base, content => '{"model":"m"}',
        headers => {'content-type' => 'application/json', $credential ? (authorization => "Bearer $credential") : ()})->{status};
}

is chat($key), 200, 'the key opens the pool';
is chat(), 401, '... which is closed without';
my $session = json(sign_in($user, $password)->{content});
is $session->{role}, 'admin', 'the password opens the API';
my $clients = request(GET => '/apipool/api/clients', base => $base, headers => {authorization => "Bearer $session->{token}"});
is json($clients->{content})->{clients}[0]{name}, 'quickstart', '... which has the client';
is sign_in($user, "x$password")->{status}, 401, '... as no other does';
for my $file (qw(admin-password client-key)) {
    is sprintf('%o', (stat "$dir/build/run/$file")[2] & 07777), 600, "nobody else reads $file";
}

my @again = quickstart();
is $again[0], 0, 'it starts once more' or diag $again[1];
is_deeply [printed($again[1])], [$key, $user, $password], '... with the same key and password';
is chat($key), 200, '... which still work';

is_deeply [quickstart('stop')], [0, "==> stopped\n"], 'it stops';
ok !IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port"), '... and nothing listens any more';
is_deeply [quickstart('stop')], [0, "==> was not running\n"], '... which it knows';
isnt((quickstart('nothing'))[0], 0, 'what it does not know is refused');
remove_tree($dir);

done_testing;
