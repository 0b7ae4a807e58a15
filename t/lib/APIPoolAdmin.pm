# SPDX-License-Identifier: Apache-2.0
# An httpd with an admin location, and requests to its API whose answers are compared with docs/openapi.json.
package APIPoolAdmin;

use strict;
use warnings;

use APIPoolSchema qw(answer_faults operation);
use APIPoolTest qw(pool_server request json source_dir spew);
use Exporter 'import';
use JSON::PP ();
use Test::More;

our @EXPORT_OK = qw(admin_server password_file location token_for exercised);

my %exercised;

# Provider keys that the scripted upstream knows, and client keys.
my $KEY = qr/\bsk-(?:ok|401)-\w|\bak-[0-9A-Za-z_-]{40}/;

# The operations that have succeeded so far.
sub exercised {
    return sort keys %exercised;
}

# password_file(NAME => PASSWORD, ...): lines as written by htpasswd -B, but at a lower cost.
sub password_file {
    my (%users) = @_;
    return join '', map {"$_:" . crypt($users{$_}, '$2y$04$' . 'abcdefghijklmnopqrstuu') . "\n"} sort keys %users;
}

# An admin location with the usual users, alice and the viewer bob.
sub location {
    my ($path, @lines) = @_;
    my $root = source_dir() . '/htdocs';
    return join "\n    ", qq(<Location "$path">), 'SetHandler apipool-admin', "APIPoolAdminRoot $root",
        'APIPoolAdminUserFile @DIR@/admins', 'APIPoolAdminViewers bob', @lines, "\n</Location>\n";
}

# admin_server({POOLS}, lines => [...], options of pool_server): a pool_server with an admin location at
# /apipool.
sub admin_server {
    my ($pools, %options) = @_;
    my $lines = delete $options{lines} || [];
    my %files = (admins => password_file(alice => 'wonderland', bob => 'builder'), %{$options{files} || {}});
    my $httpd = pool_server($pools, %options, files => \%files,
        config => location('/apipool', @$lines) . ($options{config} // ''));
    return bless {httpd => $httpd, base => $httpd->{base}, mount => '/apipool'}, 'APIPoolAdmin';
}

# Signs in and returns the token; the first argument may be another location's {base, mount}.
sub token_for {
    my ($self, $user, $password) = @_;
    my $answer = ask($self, POST => '/session', json => {username => $user, password => $password});
    return json($answer->{content})->{token} // die "$user cannot sign in: $answer->{status} $answer->{content}";
}

# Signs in for later requests of this object.
sub sign_in {
    my ($self, $user, $password) = @_;
    $self->{token} = token_for($self, $user // 'alice', $password // 'wonderland');
    return $self;
}

# The same server as seen by another user: as(token => ..., cookie => ..., mount => ...).
sub as {
    my ($self, %options) = @_;
    my %other = (%$self, %options);
    delete $other{token} if !$options{token};
    return bless \%other, 'APIPoolAdmin';
}

# ask(METHOD => '/pools', json => {...}, content => ..., type => ..., headers => {...}): returns the answer,
# with its decoded JSON as {json}. The test fails if the document does not describe the answer, or if the
# answer contains a key.
sub ask {
    my ($self, $method, $path, %options) = @_;
    my %headers = %{$options{headers} || {}};
    my %send = (headers => \%headers);
    if (exists $options{json}) {
        $send{content} = JSON::PP::encode_json($options{json});
        $headers{'content-type'} = 'application/json';
    }
    elsif (exists $options{content}) {
        $send{content} = $options{content};
        $headers{'content-type'} = $options{type} // 'application/json';
    }
    $headers{authorization} //= "Bearer $self->{token}" if $self->{token};
    $headers{cookie} //= $self->{cookie} if $self->{cookie};
    my $answer = request($method, "$self->{mount}/api$path", base => $self->{base}, %send);
    $answer->{json} = json($answer->{content});
    my @faults = answer_faults($method, "/api$path", $answer);
    fail("$method $path: as described") or diag explain(\@faults), $answer->{content} if @faults;
    my $operation = operation($method, "/api$path");
    fail("$method $path: the answer holds a key") or diag $answer->{content}
        if ($operation // '') !~ m{^POST .*/(?:reveal|clients|rotate)\z} && ($answer->{content} // '') =~ $KEY;
    $exercised{$operation} = 1 if $operation && $answer->{success};
    return bless $answer, 'APIPoolAdmin::Answer';
}

package APIPoolAdmin::Answer;

# The error of an answer in short: "400 invalid_request limit".
sub error {
    my ($answer) = @_;
    my $error = ($answer->{json} || {})->{error} || {};
    return join ' ', $answer->{status}, grep {defined} $error->{code}, $error->{field};
}

1;
