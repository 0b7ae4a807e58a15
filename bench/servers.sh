# SPDX-License-Identifier: Apache-2.0
# What the benchmarks share: an httpd with pools and plain ProxyPass, its upstreams, nginx as a yardstick, and wrk.
# A script sets its defaults, sources this file and calls start_all.
set -eu
LC_ALL=C
export LC_ALL
PATH=$PATH:/usr/sbin:/sbin

SPARE_KEYS=${SPARE_KEYS:-1000} # in the pool that is compared with ProxyPass
ROTATION_REQUESTS=2000
READY_TENTHS=100 # tenths of a second that a server may take to start

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# --- tools and build ---

need() {
    command -v "$1" >/dev/null 2>&1 || fail "$1 is missing; install the Debian package $2."
}

need_number() {
    case $2 in
    '' | *[!0-9]* | 0*) fail "$1 must be a positive number, not \"$2\"." ;;
    esac
}

read_arguments() {
    build=.
    for argument in "$@"; do
        case $argument in
        --build=*) build=${argument#*=} ;;
        *) fail "usage: ${0##*/} [--build=FOLDER]" ;;
        esac
    done
    rounds=${ROUNDS:-5} seconds=${SECONDS_PER_RUN:-5} connections=${CONNECTIONS:-64}
    need_number ROUNDS "$rounds"
    need_number SECONDS_PER_RUN "$seconds"
    need_number CONNECTIONS "$connections"
    need_number SPARE_KEYS "$SPARE_KEYS"
    [ "$connections" -le 128 ] || fail "CONNECTIONS must be at most 128, as many as httpd serves at a time."
    here=$(cd "$(dirname "$0")" && pwd)
}

find_build() {
    if [ ! -f "$build/mod_apipool.so" ] || [ ! -f "$build/Makefile" ]; then
        fail "no mod_apipool.so in $build; run configure and make there first."
    fi
    build=$(cd "$build" && pwd)
    httpd=$(sed -n 's/^HTTPD *= *//p' "$build/Makefile")
    modules=$(sed -n 's/^libexecdir *= *//p' "$build/Makefile")
}

find_tools() {
    need "$httpd" apache2
    need nginx nginx-light
    need wrk wrk
    need openssl openssl
    need perl perl
    need htpasswd apache2-utils
    need setsid util-linux
    perl -MIO::Socket::INET -MTime::HiRes -e 1 2>/dev/null ||
        fail "Perl's core modules are missing; install the Debian package perl."
    for module in proxy_http ssl socache_shmcb; do
        [ -f "$modules/mod_$module.so" ] ||
            fail "no mod_$module.so in $modules; install the Debian package apache2-bin."
    done
}

# --- files for the servers ---

free_ports() {
    perl -MIO::Socket::INET -e '
        my @held = map { IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1") or die } 1 .. shift;
        print join(" ", map { $_->sockport } @held), "\n"' "$1"
}

spaces() {
    printf "%${1}s" ''
}

write_answers() {
    text=$(spaces 900 | tr ' ' 'x')
    chat="{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"$text\"}}],\"usage\":{\"prompt_tokens\":230,\"completion_tokens\":200,\"total_tokens\":430}}"
    refusal='{"error":{"message":"Incorrect API key provided.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}'
    mkdir "$work/html"
    awk 'BEGIN {
        for (i = 1; i <= 200; i++)
            printf "data: {\"id\":\"chatcmpl-bench\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"token number %04d, \"}}],\"usage\":null}\n\n", i
        printf "data: {\"id\":\"chatcmpl-bench\",\"choices\":[],\"usage\":{\"prompt_tokens\":230,"
        printf "\"completion_tokens\":200,\"total_tokens\":430}}\n\ndata: [DONE]\n\n"
    }' >"$work/html/events.sse"
}

# What wrk sends in a case: an API call has a body, and says whether it wants a stream.
write_request() {
    cat >"$work/$1.lua" <<END
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer client"
wrk.body = [[{"model":"bench","stream":$2,"messages":[{"role":"user","content":"$text"}]}]]
function done(summary, latency)
    print("99.9% of latencies, in us: " .. latency:percentile(99.9))
end
END
}

# Whoever may administer httpd, with a password that nobody needs to know.
write_admin() {
    head -c 24 /dev/urandom | base64 >"$work/password"
    htpasswd -icB "$work/admins" bench <"$work/password" 2>"$work/htpasswd.out" ||
        fail "htpasswd made no user: $(tail -n 1 "$work/htpasswd.out")"
    [ "$(id -u)" != 0 ] || chgrp www-data "$work/admins"
    chmod 640 "$work/admins"
}

# What the SDK sends along; it asks for compression as well, which no pool passes on.
write_request_fields() {
    cat >>"$work/$1.lua" <<END
wrk.headers["Accept"] = "application/json"
wrk.headers["Accept-Language"] = "*"
wrk.headers["Connection"] = "keep-alive"
wrk.headers["Sec-Fetch-Mode"] = "cors"
wrk.headers["User-Agent"] = "OpenAI/JS 6.49.0"
wrk.headers["X-Stainless-Arch"] = "x64"
wrk.headers["X-Stainless-Lang"] = "js"
wrk.headers["X-Stainless-OS"] = "Linux"
wrk.headers["X-Stainless-Package-Version"] = "6.49.0"
wrk.headers["X-Stainless-Retry-Count"] = "0"
wrk.headers["X-Stainless-Runtime"] = "node"
wrk.headers["X-Stainless-Runtime-Version"] = "v20.18.0"
END
}

# The fields of an answer of OpenAI's, beyond those that nginx sends by itself.
write_answer_fields() {
    cat >"$work/fields.conf" <<'END'
add_header Access-Control-Expose-Headers X-Request-ID;
add_header OpenAI-Organization bench;
add_header OpenAI-Processing-Ms 1032;
add_header OpenAI-Version 2020-10-01;
add_header Strict-Transport-Security "max-age=31536000; includeSubDomains; preload";
add_header X-Content-Type-Options nosniff;
add_header X-RateLimit-Limit-Requests 10000;
add_header X-RateLimit-Limit-Tokens 2000000;
add_header X-RateLimit-Remaining-Requests 9999;
add_header X-RateLimit-Remaining-Tokens 1999500;
add_header X-RateLimit-Reset-Requests 6ms;
add_header X-RateLimit-Reset-Tokens 15ms;
add_header X-Request-Id req_0123456789abcdef0123456789abcdef;
add_header CF-Cache-Status DYNAMIC;
add_header CF-Ray 0123456789abcdef-FRA;
add_header Alt-Svc 'h3=":443"; ma=86400';
END
}

# Of three keys one is refused, so round-robin serves every second request at once and rotates once
# for every other. There are more of them than are used: the turn must not come round.
write_keys() {
    awk -v n="$SPARE_KEYS" 'BEGIN { for (i = 1; i <= n; i++) printf "sk-bench-%06d\n", i }' \
        >"$work/keys"
    awk -v n="$ROTATION_REQUESTS" 'BEGIN {
        for (i = 1; i <= n; i++)
            printf "sk-good-%06d\nsk-good-%06d\nsk-bad-%06d\n", 2 * i - 1, 2 * i, i
    }' >"$work/rotation-keys"
}

# Of the upstream over TLS, which both compared servers and the yardstick verify.
write_certificate() {
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
        -keyout "$work/tls.key" -out "$work/tls.crt" >"$work/openssl.out" 2>&1 ||
        fail "openssl made no certificate: $(tail -n 1 "$work/openssl.out")"
}

# nginx has five kinds of temporary files, all below its prefix by default.
nginx_frame() {
    cat <<END
daemon off;
$nginx_user
worker_processes $1;
pid $work/$2.pid;
error_log $work/$2.log warn;
events { worker_connections 1024; }
http {
    client_body_temp_path $work/$2-tmp/body;
    proxy_temp_path $work/$2-tmp/proxy;
    fastcgi_temp_path $work/$2-tmp/fastcgi;
    uwsgi_temp_path $work/$2-tmp/uwsgi;
    scgi_temp_path $work/$2-tmp/scgi;
    keepalive_requests 1000000;
    keepalive_timeout 300s;
    access_log off;
END
    cat
    echo "}"
}

write_upstream() {
    nginx_frame 1 upstream >"$work/upstream.conf" <<END
    map \$http_authorization \$refused {
        default 0;
        "~^Bearer sk-bad" 1;
    }
    log_format key '\$http_authorization';
    default_type application/json;
    server {
        listen 127.0.0.1:$upstream_port;
        listen 127.0.0.1:$tls_port ssl;
        ssl_certificate $work/tls.crt;
        ssl_certificate_key $work/tls.key;
        root $work/html;
        location /chat { include $work/fields.conf; return 200 '$chat'; }
        location /keyed { include $work/fields.conf; return 200 '$chat'; }
        location /tls { include $work/fields.conf; return 200 '$chat'; }
        location /bare { return 200 '$chat'; }
        location = /refused {
            access_log $work/refused.log key buffer=64k flush=1s if=\$refused;
            if (\$refused) { return 401 '$refusal'; }
            return 200 '$chat';
        }
    }
END
}

# A separate server with as many workers as httpd has children: in the upstream's single worker it would have half a
# core, and httpd nearly two.
write_yardstick() {
    nginx_frame 2 nginx >"$work/nginx.conf" <<END
    upstream backend {
        server 127.0.0.1:$upstream_port;
        keepalive 128;
        keepalive_requests 1000000;
        keepalive_timeout 300s;
    }
    upstream encrypted {
        server 127.0.0.1:$tls_port;
        keepalive 128;
        keepalive_requests 1000000;
        keepalive_timeout 300s;
    }
    upstream streams {
        server 127.0.0.1:$stream_port;
        keepalive 128;
        keepalive_requests 1000000;
        keepalive_timeout 300s;
    }
    server {
        listen 127.0.0.1:$nginx_port reuseport;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        location / { proxy_pass http://backend; }
        location /tls {
            proxy_pass https://encrypted;
            proxy_ssl_name localhost;
            proxy_ssl_server_name on;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate $work/tls.crt;
        }
        location /sse { proxy_pass http://streams; proxy_buffering off; }
        location /burst { proxy_pass http://streams; proxy_buffering off; }
    }
END
}

write_httpd() {
    watchdog= # Debian has it built in
    [ ! -f "$modules/mod_watchdog.so" ] ||
        watchdog="LoadModule watchdog_module \"$modules/mod_watchdog.so\""
    cat >"$work/httpd.conf" <<END
ServerRoot "$work"
ServerName 127.0.0.1
Listen 127.0.0.1:$httpd_port
PidFile "$work/httpd.pid"
DefaultRuntimeDir "$work"
ErrorLog "$work/httpd.log"
LogLevel warn
LoadModule mpm_event_module "$modules/mod_mpm_event.so"
LoadModule authz_core_module "$modules/mod_authz_core.so"
LoadModule authz_user_module "$modules/mod_authz_user.so"
LoadModule authn_core_module "$modules/mod_authn_core.so"
$watchdog
LoadModule proxy_module "$modules/mod_proxy.so"
LoadModule proxy_http_module "$modules/mod_proxy_http.so"
LoadModule ssl_module "$modules/mod_ssl.so"
LoadModule socache_shmcb_module "$modules/mod_socache_shmcb.so"
LoadModule apipool_module "$build/mod_apipool.so"
LoadModule apipool_admin_module "$build/mod_apipool_admin.so"
$httpd_user

# Two children, so that none starts or ends during a measurement.
ServerLimit 2
StartServers 2
ThreadLimit 64
ThreadsPerChild 64
MaxRequestWorkers 128
MinSpareThreads 1
MaxSpareThreads 128
MaxConnectionsPerChild 0
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 300

SSLProxyEngine On
SSLProxyVerify require
SSLProxyCheckPeerName On
SSLProxyCACertificateFile "$work/tls.crt"

APIPoolCapacity 65536
APIPoolStore "$work/store"
APIPoolSecretFile "$work/secret"
<APIPool bench>
    APIPoolUpstream http://127.0.0.1:$upstream_port
    APIPoolKeyFile "$work/keys"
</APIPool>
<APIPool encrypted>
    APIPoolUpstream https://localhost:$tls_port/tls
    APIPoolKeyFile "$work/keys"
</APIPool>
<APIPool streams>
    APIPoolUpstream http://127.0.0.1:$stream_port
    APIPoolKeyFile "$work/keys"
</APIPool>
<APIPool bursts>
    APIPoolUpstream http://127.0.0.1:$stream_port/burst
    APIPoolKeyFile "$work/keys"
</APIPool>
<APIPool rotation>
    APIPoolUpstream http://127.0.0.1:$upstream_port
    APIPoolKeyFile "$work/rotation-keys"
    APIPoolStrategy round-robin
</APIPool>
<Location "/pool">
    APIPoolUse bench
</Location>
<Location "/pool/keyed">
    AuthType APIPool
    Require valid-user
</Location>
<Location "/pool/tls">
    APIPoolUse encrypted
</Location>
<Location "/pool/sse">
    APIPoolUse streams
</Location>
<Location "/pool/burst">
    APIPoolUse bursts
</Location>
<Location "/admin">
    SetHandler apipool-admin
    APIPoolAdminRoot "$work/html"
    APIPoolAdminUserFile "$work/admins"
</Location>
<Location "/rotation">
    APIPoolUse rotation
    APIPoolExpose On
</Location>
ProxyPass /plain/sse http://127.0.0.1:$stream_port
ProxyPass /plain/burst http://127.0.0.1:$stream_port/burst
ProxyPass /plain/tls https://localhost:$tls_port/tls
ProxyPass /plain http://127.0.0.1:$upstream_port
END
}

write_files() {
    ports=$(free_ports 5) || fail "no free ports on 127.0.0.1."
    set -- $ports
    upstream_port=$1 httpd_port=$2 nginx_port=$3 stream_port=$4 tls_port=$5
    httpd_user='' nginx_user=''
    if [ "$(id -u)" = 0 ]; then
        httpd_user='User www-data
Group www-data'
        nginx_user='user www-data;'
    fi
    # mktemp keeps others out, but servers started by root do not run as root
    chmod 711 "$work"
    mkdir "$work/upstream-tmp" "$work/nginx-tmp"
    write_answers
    write_request chat false
    write_request keyed false
    write_request tls false
    write_request bare false
    write_request sse true
    write_request burst true
    for case in chat keyed tls sse burst; do
        write_request_fields $case
    done
    write_answer_fields
    write_keys
    write_certificate
    write_admin
    write_upstream
    write_yardstick
    write_httpd
}

# --- the servers ---

# Starts a server in its own session, so that neither Ctrl-C nor a resized terminal reaches it before clean_up does.
# Leaves the process id in $started.
start() {
    name=$1
    shift
    setsid "$@" >"$work/$name.out" 2>&1 &
    started=$!
    servers="$started $servers"
    waited=0
    until [ -s "$work/$name.pid" ]; do
        if [ $waited -ge $READY_TENTHS ] || ! kill -0 "$started" 2>/dev/null; then
            fail "$name did not start: $(cat "$work/$name.out" "$work/$name.log" 2>/dev/null | tail -n 1)"
        fi
        sleep 0.1
        waited=$((waited + 1))
    done
}

start_servers() {
    start upstream nginx -p "$work" -c "$work/upstream.conf" -e "$work/upstream.log"
    setsid perl "$here/stream.pl" "$stream_port" 256 "$work/html/events.sse" >"$work/stream.out" 2>&1 &
    servers="$! $servers"
    start nginx nginx -p "$work" -c "$work/nginx.conf" -e "$work/nginx.log"
    start httpd "$httpd" -d "$work" -f "$work/httpd.conf" -DFOREGROUND
    httpd_pid=$started
}

# Both compared servers get the key; only one of them knows it.
use_client_key() {
    key=$(perl "$here/client.pl" "http://127.0.0.1:$httpd_port/admin/api" "$work/password") ||
        fail "httpd made no client."
    sed -i "s/Bearer client/Bearer $key/" "$work/keyed.lua"
}

clean_up() {
    trap '' PIPE INT TERM HUP
    for server in $servers; do
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    done
    rm -rf "$work"
}

# Starts everything; all of it ends with the script.
start_all() {
    find_build
    find_tools
    servers=''
    work=$(mktemp -d)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' PIPE TERM HUP
    write_files
    start_servers
    use_client_key
}

# --- the client ---

# A read error alone is no fault: httpd closes idle connections when all threads of a child are busy, and measure
# would notice a child that died.
drive() {
    wrk -t1 --latency -c"$connections" -d"$1"s --timeout 10s -s "$work/$2.lua" "$3" >"$work/wrk.out" 2>&1 ||
        fail "wrk failed at $3: $(tail -n 1 "$work/wrk.out")"
    if faults=$(grep -E 'Non-2xx|Socket errors: connect [1-9]|timeout [1-9]' "$work/wrk.out"); then
        fail "not every request to $3 was served: $(echo "$faults" | tr -s ' \n' ' ')"
    fi
}

# The median of numbers in a text, for awk.
AWK_MEDIAN='function median(text,    v, n, i, j, x) {
    n = split(text, v, " ")
    for (i = 2; i <= n; i++) {
        x = v[i] + 0
        for (j = i - 1; j > 0 && v[j] + 0 > x; j--) v[j + 1] = v[j]
        v[j + 1] = x
    }
    return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}
'
