#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# Creates a client with a list of models and all kinds of limits, none of which is reached, and prints its key.
#
# client.pl API PASSWORD-FILE
#
# API is the URL of the admin API; the file contains the password of the user "bench".
use strict;
use warnings;

use HTTP::Tiny ();
use JSON::PP qw(encode_json decode_json);

my ($api, $file) = @ARGV;
open my $in, '<', $file or die "$file: $!\n";
chomp(my $password = <$in>);

my $http = HTTP::Tiny->new(timeout => 20, no_proxy => '127.0.0.1');

# post(PATH, MEMBERS, FIELDS): posts JSON and returns the decoded answer.
sub post {
    my ($path, $members, %fields) = @_;
    my $answer = $http->post("$api/$path",
        {content => encode_json($members), headers => {'Content-Type' => 'application/json', %fields}});
    die "$path: $answer->{status} $answer->{content}\n" if !$answer->{success};
    return decode_json($answer->{content});
}

my $token = post(session => {username => 'bench', password => $password})->{token};
my $client = post(
    clients => {
        name        => 'bench',
        models      => ['other', 'bench'],
        pools       => ['bench'],
        rpm         => 100_000_000,
        tpm         => 2_000_000_000,
        concurrency => 100_000
    },
    Authorization => "Bearer $token"
);
print "$client->{key}\n";
