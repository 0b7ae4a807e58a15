# SPDX-License-Identifier: Apache-2.0
# APIPoolCORS: preflights without a key, and answers of every kind that say who may read them.
use strict;
use warnings;

use APIPoolTest qw(private_httpd request error_code mock_port closed_port upstream_mark upstream_since
    serve_raw read_request config_test);
use Apache::Test ();
use Test::More;

# An upstream that speaks of other pages.
my $speaks = serve_raw(
    sub {
        my ($socket) = @_;
        read_request($socket) or return;
        print {$socket} join "\r\n", 'HTTP/1.1 200 OK', 'Content-Type: application/json', 'Content-Length: 2',
            'Connection: close', 'Access-Control-Allow-Origin: https://upstream.example', 'Vary: Accept-Encoding',
            'Access-Control-Allow-Credentials: true', 'Access-Control-Expose-Headers: x-upstream', '', '{}';
    }
);

my %upstreams = (main => mock_port(), dead => closed_port(), speaks => $speaks);
my ($config, %files) = ('');
for my $name (sort keys %upstreams) {
    $files{$name} = "sk-ok-$name-aaaaaaaaaaaa\n";
    $config .= "<APIPool $name>\nAPIPoolUpstream http://127.0.0.1:$upstreams{$name}/v1\nAPIPoolRetries 0\n"
        . "APIPoolKeyFile \@DIR\@/$name\n</APIPool>\n";
}

sub location {
    my ($path, @lines) = @_;
    $config .= join "\n    ", "<Location \"$path\">", @lines, "\n</Location>\n";
    return;
}

my $PAGE = 'https://page.example';
location('/some', 'APIPoolUse main', 'APIPoolExpose On', "APIPoolCORS https://other.example:8443 $PAGE");
location('/all', 'APIPoolUse main', 'APIPoolCORS *');
location('/all/off', 'APIPoolCORS off');
location('/none', 'APIPoolUse main');
location('/dead', 'APIPoolUse dead', 'APIPoolCORS *');
location('/speaks', 'APIPoolUse speaks', "APIPoolCORS $PAGE");
location('/silent', 'APIPoolUse speaks');
location('/keys', 'APIPoolUse main', "APIPoolCORS $PAGE", 'AuthType APIPool', 'Require valid-user');
location('/denied', 'APIPoolUse main', "APIPoolCORS $PAGE", 'Require all denied');
location('/status', 'SetHandler server-status', 'APIPoolCORS *', 'AuthType APIPool', 'Require valid-user');
my $httpd = private_httpd(config => $config, files => \%files);

sub ask {
    my ($method, $path, %headers) = @_;
    return request($method => $path, base => $httpd->{base}, headers => \%headers,
        $method eq 'POST' ? (content => '{"model":"m"}') : ());
}

sub preflight {
    my ($path, $origin, %headers) = @_;
    return ask(OPTIONS => $path, origin => $origin, 'access-control-request-method' => 'POST', %headers);
}

my $ASKED = 'authorization,content-type,x-stainless-arch,x-stainless-lang,x-stainless-retry-count';

subtest 'preflights' => sub {
    my $mark = upstream_mark();
    for my $path ('/some/chat', '/keys/chat', '/denied/chat') {
        my $answer = preflight($path, $PAGE, 'access-control-request-headers' => $ASKED);
        is $answer->{status}, 204, "$path: answered without a key";
        is $answer->{headers}{'access-control-allow-origin'}, $PAGE, '... for the page that asks';
        like $answer->{headers}{'access-control-allow-methods'}, qr/\bPOST\b.*\bDELETE\b/, '... all methods';
        is $answer->{headers}{'access-control-allow-headers'}, $ASKED, '... what it wants to send';
        cmp_ok $answer->{headers}{'access-control-max-age'}, '>', 0, '... for a while';
        like join(', ', map { ref ? @$_ : $_ } $answer->{headers}{vary}), qr/Origin/, '... and caches know';
        is $answer->{content} // '', '', '... with no body';
    }
    my $answer = preflight('/some/chat', 'https://stranger.example');
    is $answer->{status}, 204, 'a page that may not';
    is $answer->{headers}{'access-control-allow-origin'}, undef, '... is not named';
    is $answer->{headers}{'access-control-allow-headers'}, undef, '... and may send nothing';
    $answer = preflight('/all/chat', 'https://any.example');
    is $answer->{headers}{'access-control-allow-origin'}, '*', 'all pages';
    like $answer->{headers}{'access-control-allow-headers'}, qr/Authorization/, '... with what is usual';
    $answer = preflight('/all/chat', 'null', 'access-control-request-headers' => "x\"y<z>");
    unlike $answer->{headers}{'access-control-allow-headers'}, qr/</, 'what are no names does not come back';
    my @seen = upstream_since($mark);
    is scalar @seen, 0, 'no upstream has heard of it';
    is preflight('/none/chat', $PAGE)->{status}, 200, 'without the directive the upstream answers';
    is preflight('/all/off/chat', $PAGE)->{status}, 200, '... and where it is off';
    is ask(OPTIONS => '/all/chat')->{status}, 200, '... and what is no preflight';
    @seen = upstream_since($mark);
    is scalar @seen, 3, '... each time';
};

subtest 'answers say who may read them' => sub {
    my $answer = ask(POST => '/some/chat', origin => $PAGE);
    is $answer->{status}, 200, 'served';
    is $answer->{headers}{'access-control-allow-origin'}, $PAGE, '... for the page';
    like $answer->{headers}{'access-control-expose-headers'}, qr/X-APIPool-Key/, '... fields included';
    is $answer->{headers}{vary}, 'Origin', '... and caches know';
    $answer = ask(POST => '/some/chat', origin => 'https://stranger.example');
    is $answer->{status}, 200, 'another page, or no page: served';
    is $answer->{headers}{'access-control-allow-origin'}, undef, '... it may not read it';
    is $answer->{headers}{vary}, 'Origin', '... and caches know';
    $answer = ask(POST => '/some/chat');
    is $answer->{headers}{vary}, 'Origin', '... without an origin as well';
    is ask(POST => '/some/chat', origin => 'https://OTHER.example:8443')->{headers}{'access-control-allow-origin'},
        'https://OTHER.example:8443', 'the second one';
    $answer = ask(POST => '/all/chat', origin => 'https://any.example');
    is $answer->{headers}{'access-control-allow-origin'}, '*', 'all';
    is $answer->{headers}{vary}, undef, '... for which nothing varies';
    for my $path ('/none/chat', '/all/off/chat') {
        is ask(POST => $path, origin => $PAGE)->{headers}{'access-control-allow-origin'}, undef, "$path: off";
    }
};

subtest 'errors as well' => sub {
    my $answer = ask(POST => '/dead/chat', origin => $PAGE);
    is error_code($answer), 'upstream_unreachable', 'an error of ours';
    is $answer->{headers}{'access-control-allow-origin'}, '*', '... may be read';
    $answer = ask(POST => '/keys/chat', origin => $PAGE);
    is error_code($answer), 'invalid_api_key', 'no key';
    is $answer->{headers}{'access-control-allow-origin'}, $PAGE, '... may be read';
    is ask(GET => '/status', origin => $PAGE)->{headers}{'access-control-allow-origin'}, '*', '... without a pool';
    $answer = ask(POST => '/denied/chat', origin => $PAGE);
    is $answer->{status}, 403, 'a page of httpd\'s own';
    is $answer->{headers}{'access-control-allow-origin'}, $PAGE, '... may be read';
    $answer = ask(POST => '/some/chat', origin => $PAGE, 'x-mock' => '400');
    is $answer->{status}, 400, 'an upstream\'s';
    is $answer->{headers}{'access-control-allow-origin'}, $PAGE, '... may be read';
};

subtest 'what an upstream says of pages' => sub {
    my $answer = ask(POST => '/speaks/chat', origin => $PAGE);
    is $answer->{content}, '{}', 'an answer';
    is $answer->{headers}{'access-control-allow-origin'}, $PAGE, '... is for our page alone';
    is $answer->{headers}{'access-control-allow-credentials'}, undef, '... without credentials';
    unlike $answer->{headers}{'access-control-expose-headers'}, qr/upstream/, '... and with our fields';
    is_deeply [sort map { split /, */, $_ } map { ref ? @$_ : $_ } $answer->{headers}{vary}],
        ['Accept-Encoding', 'Origin'], 'what varies is told';
    is ask(POST => '/silent/chat', origin => $PAGE)->{headers}{'access-control-allow-origin'},
        'https://upstream.example', 'without the directive it passes';
};

subtest 'origins have a form' => sub {
    my $test = sub { config_test("<Location \"/x\">\nAPIPoolCORS $_[0]\n</Location>\n") };
    for my $origin ('*', 'off', 'Off', 'https://a.example', 'http://localhost:3000 capacitor://localhost',
        'http://[::1]:8080', 'chrome-extension://abcdefgh')
    {
        my ($status, $output) = $test->($origin);
        is $status, 0, "$origin is accepted" or diag $output;
    }
    my %refused = (
        '' => 'needs at least one', 'a.example' => 'scheme://host', 'https://a.example/' => 'no path',
        'https://a.example/x' => 'no path', 'https://*.a.example' => 'no wildcard', 'https://' => 'has a host',
        'https://a.example:' => 'port', 'https://a.example:x' => 'port', 'https://a.example:70000' => 'port',
        'https://a.example:443' => 'default port', 'null' => 'scheme://host', '* https://a.example' => 'alone',
        'https://a.example off' => 'alone', 'https://u@a.example' => 'no user',
    );
    for my $origin (sort keys %refused) {
        my ($status, $output) = $test->($origin);
        isnt $status, 0, "'$origin' is refused";
        like $output, qr/\Q$refused{$origin}/, '... with the reason';
    }
    my ($status, $output) = config_test("<APIPool p>\nAPIPoolUpstream http://x\nAPIPoolCORS *\n</APIPool>\n");
    isnt $status, 0, 'inside of a pool it is refused';
};

is $httpd->faults, '', 'nothing went wrong';

done_testing;
