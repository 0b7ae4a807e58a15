# SPDX-License-Identifier: Apache-2.0
# Wrong configurations stop httpd with the file, the line, the value and what is allowed.
use strict;
use warnings;

use APIPoolTest qw(config_test);
use Apache::Test ();
use Test::More;

my $UP = 'APIPoolUpstream http://127.0.0.1:9/v1';

sub in_pool {
    return join "\n", '<APIPool p>', $UP, @_, '</APIPool>', '';
}

# name, configuration, what the message must say
my @wrong = (
    ['unknown pool', "<Location /v1>\nAPIPoolUse nosuch\n</Location>\n" . in_pool(),
        qr/line \d+ of .*httpd\.conf: APIPoolUse nosuch: no pool of that name; .*: p\b/],
    ['pool of another virtual host',
        "<VirtualHost 127.0.0.1:1>\n" . in_pool() . "</VirtualHost>\n"
            . "<VirtualHost 127.0.0.1:2>\n<Location /v1>\nAPIPoolUse p\n</Location>\n</VirtualHost>\n",
        qr/APIPoolUse p: no pool of that name; defined for this server: none/],
    ['unreadable key file', in_pool('APIPoolKeyFile /no/such/file'),
        qr{APIPoolKeyFile /no/such/file: cannot be read: .*No such file}],
    ['key file is a folder', in_pool('APIPoolKeyFile @DIR@'), qr/not a regular file/],
    ['bad key in a file', in_pool('APIPoolKeyFile @DIR@/keys'),
        qr{APIPoolKeyFile .*/keys: line 3: blank inside a key}, {keys => "# c\nsk-good\nsk a\n"}],
    ['key file for an unknown upstream', in_pool('APIPoolKeyFile @DIR@/keys upstream=x'),
        qr/no APIPoolUpstream named 'x' stands before it/, {keys => "sk-good\n"}],
    ['unknown option of a key file', in_pool('APIPoolKeyFile @DIR@/keys pool=x'),
        qr/unknown option 'pool=x'; allowed is upstream=NAME/, {keys => "sk-good\n"}],
    ['no upstream', "<APIPool p>\n</APIPool>\n", qr/<APIPool p>: no APIPoolUpstream inside/],
    ['h2 upstream', in_pool('APIPoolUpstream h2://h/'), qr{h2://h/: HTTP/2 upstreams}],
    ['ftp upstream', in_pool('APIPoolUpstream ftp://h/'), qr/the scheme must be http or https/],
    ['no URL', in_pool('APIPoolUpstream api.example.com'), qr/api\.example\.com: not an URL/],
    ['upstream with a query', in_pool('APIPoolUpstream http://h/v1?x=1'), qr/neither a query/],
    ['upstream with a user', in_pool('APIPoolUpstream http://u:secretpw@h/v1'), qr/no user or password/],
    ['upstream without a host', in_pool('APIPoolUpstream http:///v1'), qr/a host is missing/],
    ['two upstreams of one name', in_pool('APIPoolUpstream http://127.0.0.1/x'),
        qr/has an upstream named '127\.0\.0\.1' already; give this one another name=/],
    ['unknown option of an upstream', in_pool('APIPoolUpstream http://h/ colour=red'),
        qr/unknown option 'colour=red'; allowed are name=, provider=/],
    ['bad name of an upstream', in_pool('APIPoolUpstream http://h/ name=a/b'), qr{name 'a/b' is not allowed}],
    ['bad timeout', in_pool('APIPoolUpstream http://h/ timeout=0'), qr/0: a whole number from 1 to 86400/],
    ['provider', in_pool('APIPoolUpstream http://h/ provider=opnai'),
        qr/unknown provider 'opnai'; allowed are generic, openai, azure, /],
    ['weight', in_pool('APIPoolUpstream http://h/ weight=0'), qr/0: a whole number from 1 to 1000 .*weight=/],
    ['priority', in_pool('APIPoolUpstream http://h/ priority=-1'), qr/-1: a whole number from 0 to 1000 .*priority=/],
    ['model', in_pool('APIPoolUpstream http://h/ model=gpt-4'), qr/model=gpt-4: FROM:TO is needed/],
    ['second model', in_pool('APIPoolUpstream http://h/ model=a:b,:c'), qr/model=:c: FROM:TO is needed/],
    ['wait', in_pool('APIPoolWait -1'), qr/APIPoolWait -1: a whole number from 0 to 3600/],
    ['errors', in_pool('APIPoolMaxErrors 0'), qr/APIPoolMaxErrors 0: a whole number from 1 to 1000/],
    ['cooldown', in_pool('APIPoolCooldown 60 1'), qr/APIPoolCooldown 60 1: the shortest time comes first/],
    ['cooldown of nothing', in_pool('APIPoolCooldown 0 1'), qr/APIPoolCooldown 0: a whole number from 1/],
    ['recover', in_pool('APIPoolRecover 60 1h'), qr/APIPoolRecover 1h: a whole number from 1 to 86400/],
    ['balance', in_pool('APIPoolBalance daily'), qr/APIPoolBalance daily: a whole number from 1 to 604800 is needed, or off/],
    ['balance of no interval', in_pool('APIPoolBalance 0'), qr/APIPoolBalance 0: a whole number from 1/],
    ['balance without a word', in_pool('APIPoolBalance'), qr/APIPoolBalance : a whole number from 1/],
    ['balance that is off, and on', in_pool('APIPoolBalance off minimum=1'), qr/APIPoolBalance off: nothing may follow, 'minimum=1' does/],
    ['minimum', in_pool('APIPoolBalance 60 minimum=1,5'), qr/APIPoolBalance minimum=1,5: a decimal number is needed/],
    ['minimum of nothing', in_pool('APIPoolBalance 60 minimum='), qr/minimum=: a decimal number/],
    ['url of a balance', in_pool('APIPoolBalance 60 url=user/info pointer=/a'), qr/url=user\/info: a path is needed that begins with/],
    ['pointer', in_pool('APIPoolBalance 60 url=/x pointer=data.balance'), qr/pointer=data\.balance: a JSON pointer \(RFC 6901\)/],
    ['pointer with a bad escape', in_pool('APIPoolBalance 60 url=/x pointer=/~2'), qr/pointer=\/~2: a JSON pointer/],
    ['currency', in_pool('APIPoolBalance 60 url=/x pointer=/a currency=EUROCENT'), qr/currency=EUROCENT: 1 to 7 letters or digits/],
    ['url without a pointer', in_pool('APIPoolBalance 60 url=/x'), qr/APIPoolBalance: url=PATH and pointer=JSON-POINTER belong together/],
    ['currency of nothing', in_pool('APIPoolBalance 60 currency=EUR'), qr/belong together, and currency= to both/],
    ['option of a balance', in_pool('APIPoolBalance 60 maximum=5'), qr/unknown option 'maximum=5'; allowed are minimum=N, url=PATH, /],
    ['balance outside', "APIPoolBalance off\n", qr/APIPoolBalance must stand inside <APIPool NAME>/],
    ['limits', in_pool('APIPoolLimits rpm=60 rph=3'), qr/unknown limit 'rph=3'; allowed are rpm=N, /],
    ['a limit of nothing', in_pool('APIPoolLimits rpm=0'), qr/APIPoolLimits 0: a whole number from 1/],
    ['affinity', in_pool('APIPoolAffinity cookie'), qr/'cookie' is unknown; allowed are off, client, /],
    ['affinity without a name', in_pool('APIPoolAffinity header:'), qr/'header:' is unknown/],
    ['first byte', in_pool('APIPoolFirstByteTimeout 0'), qr/0: a whole number from 1 to 86400/],
    ['idle', in_pool('APIPoolIdleTimeout soon'), qr/soon: a whole number from 1 to 86400/],
    ['rule', in_pool('APIPoolRule 404 skip key'), qr/APIPoolRule: .*skip/],
    ['rule outside', "APIPoolRule 404 pass none\n", qr/APIPoolRule must stand inside <APIPool NAME>/],
    ['too many rules', in_pool(('APIPoolRule 404 pass none') x 17), qr/a pool has at most 16/],
    ['two pools of one name', in_pool() . in_pool(), qr/a pool of that name already, on line \d+ of/],
    ['bad name of a pool', "<APIPool a/b>\n$UP\n</APIPool>\n", qr{name 'a/b' is not allowed}],
    ['no name', "<APIPool>\n$UP\n</APIPool>\n", qr/name '' is not allowed/],
    ['two names', "<APIPool a b>\n$UP\n</APIPool>\n", qr/one name only, 'b' is too many/],
    ['a foreign directive inside', in_pool('Listen 127.0.0.1:1'), qr/Listen is not allowed inside/],
    ['a pool directive outside', "$UP\n", qr/APIPoolUpstream must stand inside <APIPool NAME>/],
    ['rotations', in_pool('APIPoolRotations 101'), qr/APIPoolRotations 101: a whole number from 0 to 100/],
    ['rotations as text', in_pool('APIPoolRotations many'), qr/many: a whole number/],
    ['retries', in_pool('APIPoolRetries -1'), qr/-1: a whole number from 0 to 10/],
    ['deadline', in_pool('APIPoolDeadline 1.5'), qr/1\.5: a whole number from 0 to 86400/],
    ['body limit', in_pool('APIPoolBodyLimit 0'), qr/0: a whole number from 1 to/],
    ['number too large for anything', in_pool('APIPoolBodyLimit 99999999999999999999'), qr/a whole number/],
    ['strategy', in_pool('APIPoolStrategy clever'), qr/clever: unknown strategy; allowed are smart, round-robin, /],
    ['endpoint', in_pool('APIPoolEndpoint chat v1/chat'), qr/the path must begin with '\/'/],
    ['endpoint with a query', in_pool('APIPoolEndpoint chat /v1?x'), qr/have no query/],
    ['endpoint of a name that means more', in_pool('APIPoolEndpoint unlisted /x'),
        qr/APIPoolEndpoint unlisted: this name stands for paths that are not known/],
    ['allowed path', in_pool('APIPoolAllow /keys organization'), qr/APIPoolAllow organization: a path must begin with '\/'/],
    ['everything allowed', in_pool('APIPoolAllow /'), qr/APIPoolAllow \/: .*say more than that/],
    ['allowed path with a query', in_pool('APIPoolAllow /keys?x'), qr/have no query/],
    ['allowed path outside', "APIPoolAllow /keys\n", qr/APIPoolAllow must stand inside <APIPool NAME>/],
    ['limit of clients', in_pool('APIPoolClientLimits rpm=1'),
        qr/APIPoolClientLimits: unknown limit 'rpm=1'; allowed is concurrency=N/],
    ['limit of clients of nothing', in_pool('APIPoolClientLimits concurrency=0'), qr/0: a whole number from 1 to/],
    ['limit of clients outside', "APIPoolClientLimits concurrency=1\n", qr/must stand inside <APIPool NAME>/],
    ['capacity', "APIPoolCapacity 3\n", qr/APIPoolCapacity 3: a whole number from 16 to 1000000/],
    ['capacity in a virtual host', "<VirtualHost 127.0.0.1:1>\nAPIPoolCapacity 0\n</VirtualHost>\n",
        qr/APIPoolCapacity 0: a whole number from 1 to 1000000/],
    ['capacity in a location', "<Location /v1>\nAPIPoolCapacity 64\n</Location>\n", qr{APIPoolCapacity .*(?:not allowed|cannot occur)}],
    ['clients', "APIPoolClientCapacity 15\n", qr/APIPoolClientCapacity 15: a whole number from 16 to 100000/],
    ['clients in a virtual host', "<VirtualHost 127.0.0.1:1>\nAPIPoolClientCapacity 0\n</VirtualHost>\n",
        qr/APIPoolClientCapacity 0: a whole number from 1 to 100000/],
    ['clients inside a pool', in_pool('APIPoolClientCapacity 64'), qr/APIPoolClientCapacity must stand outside/],
    ['origins inside a pool', in_pool('APIPoolCORS *'), qr/APIPoolCORS must stand outside/],
    ['more keys than slots', "APIPoolCapacity 16\n" . in_pool('APIPoolKeyFile @DIR@/keys'),
        qr/hold 17 keys, but APIPoolCapacity is 16; set APIPoolCapacity 17/,
        {keys => join '', map {"sk-$_\n"} 1 .. 17}],
    ['unknown type of a store', "APIPoolStore store dbm=punchcards\n",
        qr/APIPoolStore dbm=punchcards: this APR-util has no dbm of the type punchcards \(.*name another one/],
    ['no type of a store', "APIPoolStore store dbm=\n", qr/APIPoolStore: unknown option 'dbm='; allowed is dbm=TYPE/],
    ['unknown option of a store', "APIPoolStore store type=gdbm\n",
        qr/APIPoolStore: unknown option 'type=gdbm'; allowed is dbm=TYPE/],
    ['a path too long for a store', 'APIPoolStore /' . 'x' x 1100 . "\n", qr{APIPoolStore /x+: bad path}],
    ['a path too long for a secret', 'APIPoolSecretFile /' . 'x' x 1100 . "\n", qr{APIPoolSecretFile /x+: bad path}],
    ['store in a virtual host', "<VirtualHost 127.0.0.1:1>\nAPIPoolStore store\n</VirtualHost>\n",
        qr/APIPoolStore .*cannot occur within/],
    ['secret in a virtual host', "<VirtualHost 127.0.0.1:1>\nAPIPoolSecretFile x\n</VirtualHost>\n",
        qr/APIPoolSecretFile .*cannot occur within/],
    ['store inside a pool', in_pool('APIPoolStore store'), qr/APIPoolStore must stand outside <APIPool>/],
    ['save interval of nothing', "APIPoolSaveInterval 0\n", qr/APIPoolSaveInterval 0: a whole number from 1 to 86400/],
    ['async of neither kind', "APIPoolAsync Maybe\n", qr/APIPoolAsync must be On or Off/],
    ['async inside a pool', in_pool('APIPoolAsync Off'), qr/APIPoolAsync must stand outside/],
    ['save interval inside a pool', in_pool('APIPoolSaveInterval 60'), qr/APIPoolSaveInterval must stand outside/],
    ['pending updates', "APIPoolMaxPendingUpdates many\n",
        qr/APIPoolMaxPendingUpdates many: a whole number from 1 to 1000000000/],
    ['use in <Directory>', in_pool() . "<Directory />\nAPIPoolUse p\n</Directory>\n",
        qr/APIPoolUse must stand in <Location>, <If> or a virtual host, not in <Directory>/],
    ['use in <LocationMatch>', in_pool() . "<LocationMatch ^/v1>\nAPIPoolUse p\n</LocationMatch>\n",
        qr/not in <LocationMatch>/],
    ['use in <Location ~>', in_pool() . "<Location ~ ^/v1>\nAPIPoolUse p\n</Location>\n",
        qr/plain <Location>, without a regular expression/],
    ['use in <Location> with a wildcard', in_pool() . "<Location /team-*/v1>\nAPIPoolUse p\n</Location>\n",
        qr/regular expression or wildcards/],
    ['use inside a pool', in_pool('APIPoolUse p'), qr/APIPoolUse must stand outside <APIPool>/],
    ['expose inside a pool', in_pool('APIPoolExpose On'), qr/APIPoolExpose must stand outside/],
    ['capacity inside a pool', in_pool('APIPoolCapacity 64'), qr/APIPoolCapacity must stand outside/],
    ['port', in_pool('APIPoolUpstream http://h:99999/'), qr/the port must be from 1 to 65535/],
    ['port that is a small one in 32 bits', in_pool('APIPoolUpstream http://h:4294967376/'), qr/the port must be from 1 to 65535/],
    ['a host too long for a name', in_pool('APIPoolUpstream http://' . 'h' x 64 . '/'), qr/is not allowed; use 1 to 63/],
    ['strategy for no alias', in_pool('APIPoolStrategy round-robin imagse'), qr/'imagse', which is no alias/],
    ['endpoint with a blank', in_pool('APIPoolEndpoint x "/a b"'), qr/no blanks/],
    ['two virtual hosts of one ServerName whose upstreams differ',
        join('', map {"<VirtualHost 127.0.0.1:1>\nServerAlias $_\n" . in_pool("APIPoolUpstream http://$_/ name=x") . "</VirtualHost>\n"} 'a.x', 'b.x'),
        qr/same ServerName has a pool of that name, on line \d+ of .*, whose upstream x is .*; give them different/],
    ['admin root', "<Location /a>\nAPIPoolAdminRoot /no/such\n</Location>\n", qr{/no/such: not a folder}],
);

for my $case (@wrong) {
    my ($name, $config, $message, $files) = @$case;
    my ($status, $output) = config_test($config, files => $files);
    isnt $status, 0, "$name: refused";
    like $output, $message, '... and said why';
    like $output, qr/httpd\.conf|APIPoolCapacity/, '... and where';
    unlike $output, qr/sk-|secretpw/, '... without a secret';
}

my @right = (
    ['everything at once', join "\n", 'APIPoolCapacity 100000', 'APIPoolClientCapacity 100000', 'APIPoolStore store dbm=gdbm',
        'APIPoolSecretFile /etc/apipool/secret', 'APIPoolSaveInterval 1', 'APIPoolAsync Off', 'APIPoolMaxPendingUpdates 1000000000', '<APIPool a.b-c_d>',
        'APIPoolUpstream http://127.0.0.1:1/v1/ name=one timeout=10 connecttimeout=2',
        'APIPoolUpstream http://[::1]:2 name=two', 'APIPoolKeyFile @DIR@/keys upstream=two',
        'APIPoolEndpoint chat /x', 'APIPoolStrategy least-used', 'APIPoolStrategy round-robin chat',
        'APIPoolUpstream http://[::1]:3 name=three provider=azure weight=3 priority=7 model=a:b,c:d:e',
        'APIPoolAffinity body:user', 'APIPoolLimits rpm=60 rpd=1000', 'APIPoolLimits tpm=1 tpd=4000000000 concurrency=1',
        'APIPoolCooldown 1 1', 'APIPoolRecover 1 86400', 'APIPoolMaxErrors 1', 'APIPoolWait 0',
        'APIPoolRule 400-403,429 "a b" rotate model', 'APIPoolRule 200 retry upstream',
        'APIPoolFirstByteTimeout 1', 'APIPoolIdleTimeout 86400', 'APIPoolStrategy fill-first embeddings',
        'APIPoolBalance OFF', 'APIPoolBalance 604800 minimum=-1.5e2 url=/a?b=c pointer=/d/0 currency=/e',
        'APIPoolRotations 0', 'APIPoolRetries 10', 'APIPoolDeadline 0', 'APIPoolBodyLimit 1',
        '</APIPool>', '<Location /v1>', 'APIPoolUse a.b-c_d', 'APIPoolExpose Off', 'APIPoolCORS https://a.example',
        'AuthType APIPool', 'Require valid-user', '<If "true">',
        'APIPoolUse off', '</If>', '</Location>', ''],
    ["a virtual host sees the main server's pools",
        in_pool() . "<VirtualHost 127.0.0.1:1>\nAPIPoolUse p\n</VirtualHost>\n"],
    ['an upstream by its IPv6 address', in_pool('APIPoolUpstream http://[::1]:8080')],
    ['a key in two files counts once, and virtual hosts without pools count none',
        "APIPoolCapacity 16\n" . in_pool(('APIPoolKeyFile @DIR@/many') x 2)
            . "<VirtualHost 127.0.0.1:1>\n</VirtualHost>\n"],
    ['the same name in two virtual hosts',
        join '', map {"<VirtualHost 127.0.0.1:$_>\n" . in_pool() . "</VirtualHost>\n"} 1, 2],
);
for my $case (@right) {
    my ($name, $config) = @$case;
    my ($status, $output) = config_test($config, files => {keys => "sk-one, sk-two\n", many => join '', map {"sk-$_\n"} 1 .. 16});
    is $status, 0, "$name: accepted" or diag $output;
}

done_testing;
