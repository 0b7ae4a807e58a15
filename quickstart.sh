#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# From a bare Debian or Ubuntu to a running pool in one command.
#
#   sh quickstart.sh          builds, starts a private httpd with a demo upstream, makes an admin and a client key,
#                             sends one request
#   sh quickstart.sh stop     stops it
#   sh quickstart.sh test     installs what the tests need, and runs them all
#
# UPSTREAM=URL KEYS=FILE sh quickstart.sh uses a real upstream; PORT=N another port than 8080.
# Nothing outside this folder is changed, except that missing Debian packages are installed.
set -eu

top=$(cd "$(dirname "$0")" && pwd)
run=$top/build/run
port=${PORT:-8080}

say() {
    echo "==> $*"
}

fail() {
    echo "quickstart: $*" >&2
    exit 1
}

# need COMMAND-OR-FILE PACKAGE ...: remembers the packages of what is not there
missing=
need() {
    case $1 in
    /*) [ -e "$1" ] && return 0 ;;
    *) command -v "$1" > /dev/null 2>&1 && return 0 ;;
    esac
    shift
    missing="$missing $*"
}

need_header() {
    echo "#include <$1>" | cc ${3:-} -E - > /dev/null 2>&1 || missing="$missing $2"
}

need_to_build() {
    need cc build-essential
    need make build-essential
    need autoconf autoconf
    need pkg-config pkg-config
    need curl curl
    need apxs apache2-dev
    need htpasswd apache2-utils
    need openssl openssl
    command -v cc > /dev/null 2>&1 || { missing="$missing libjansson-dev libssl-dev"; return; }
    need_header jansson.h libjansson-dev
    need_header openssl/hmac.h libssl-dev
}

# What the page takes from elsewhere.
need_for_page() {
    need /usr/share/javascript/chart.js/chart.min.js libjs-chart.js
}

need_to_test() {
    perl -MApache::Test -e 1 2> /dev/null || missing="$missing libapache2-mod-perl2"
    need node nodejs
    need npm npm
    need chromium chromium
    need promtool prometheus
    need "$(apxs -q LIBEXECDIR 2> /dev/null || echo /usr/lib/apache2/modules)/mod_auth_openidc.so" libapache2-mod-auth-openidc
    need /usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc fonts-noto-cjk
    need /etc/ssl/certs/ca-certificates.crt ca-certificates
    command -v cc > /dev/null 2>&1 || { missing="$missing libcmocka-dev"; return; }
    echo '#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>' | cc -E - > /dev/null 2>&1 || missing="$missing libcmocka-dev"
}

install_missing() {
    [ -n "$missing" ] || return 0
    packages=$(echo $missing | tr ' ' '\n' | sort -u | tr '\n' ' ')
    [ "$(id -u)" = 0 ] || fail "missing packages; install them as root: apt-get install $packages"
    command -v apt-get > /dev/null || fail "no apt-get here; install what these packages hold: $packages"
    say "installing Debian packages: $packages"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq || fail "apt-get update failed; is the network there?"
    # shellcheck disable=SC2086 # a list of words
    apt-get install -y -qq --no-install-recommends $packages > /dev/null ||
        fail "apt-get could not install: $packages"
}

# build FOLDER [CONFIGURE-OPTION ...]: out of the tree; the log is shown when it fails
build() {
    folder=$1
    shift
    mkdir -p "$folder"
    (
        cd "$top" && autoconf &&
            cd "$folder" && "$top/configure" "$@" && make -j"$(nproc)" all mock
    ) > "$folder/build.log" 2>&1 || {
        tail -n 30 "$folder/build.log" >&2
        fail "the build failed; the whole log is in $folder/build.log"
    }
}

running_pid() {
    [ -s "$run/httpd.pid" ] && pid=$(cat "$run/httpd.pid") && kill -0 "$pid" 2> /dev/null && echo "$pid"
}

stop() {
    pid=$(running_pid) || { rm -f "$run/httpd.pid"; return 1; }
    kill "$pid"
    while kill -0 "$pid" 2> /dev/null; do
        sleep 0.1
    done
    rm -f "$run/httpd.pid"
}

check_input() {
    [ -n "${KEYS:-}" ] || [ -z "${UPSTREAM:-}" ] ||
        fail "UPSTREAM needs KEYS=FILE, a file with one key a line"
    [ -n "${UPSTREAM:-}" ] || [ -z "${KEYS:-}" ] ||
        fail "KEYS needs UPSTREAM=URL; the demo upstream shall not get real keys"
    [ -z "${KEYS:-}" ] || [ -r "$KEYS" ] || fail "KEYS=$KEYS: no such file, or it cannot be read"
    case $port in
    '' | *[!0-9]*) fail "PORT=$port: a number is needed" ;;
    esac
}

random_text() {
    openssl rand -base64 24 | tr -d '/+='
}

# The admin's password is made once; only its digest is for httpd.
write_admin() {
    [ -s "$run/admin-password" ] || (umask 077 && random_text > "$run/admin-password")
    htpasswd -iBc "$run/admins" admin < "$run/admin-password" 2> /dev/null ||
        fail "htpasswd could not write $run/admins"
    chmod 644 "$run/admins"
}

# api METHOD PATH [JSON]: asks the admin API; the token comes from a file, since arguments can be seen by all
api() {
    method=$1 path=$2 json=${3:-}
    curl -sS --max-time 30 -X "$method" "http://127.0.0.1:$port/apipool/api/$path" \
        -H 'Content-Type: application/json' -H @"$run/authorization" ${json:+-d "$json"}
}

# member NAME: of the JSON object on standard input
member() {
    sed -n 's/.*"'"$1"'": *"\([^"]*\)".*/\1/p'
}

# Keeps the client key of an earlier run, if it is still one.
make_client() {
    umask 077
    : > "$run/authorization"
    session=$(printf '{"username":"admin","password":"%s"}' "$(cat "$run/admin-password")" |
        curl -sS --max-time 30 "http://127.0.0.1:$port/apipool/api/session" -H 'Content-Type: application/json' -d @-)
    token=$(echo "$session" | member token)
    [ -n "$token" ] || fail "the admin cannot sign in: $session"
    echo "Authorization: Bearer $token" > "$run/authorization"
    if [ ! -s "$run/client-key" ] || api GET clients/quickstart | grep -q '"error"'; then
        api DELETE clients/quickstart > /dev/null
        made=$(api POST clients '{"name":"quickstart"}')
        echo "$made" | member key > "$run/client-key"
        [ -s "$run/client-key" ] || fail "the client key could not be made: $made"
    fi
    api DELETE session > /dev/null
    rm -f "$run/authorization"
    umask 022
}

# Keys of yours are read where they are; the demo's are written.
write_keys() {
    keys=$run/keys
    if [ -n "${KEYS:-}" ]; then
        keys=$(cd "$(dirname "$KEYS")" && pwd)/$(basename "$KEYS")
    else
        printf '%s\n' '# two keys that the demo upstream refuses, and two that it accepts' \
            sk-401-demo-revoked-key sk-429-demo-retry60-limited-key \
            sk-ok-demo-key-number-one sk-ok-demo-key-number-two > "$run/keys"
    fi
}

load() {
    for module in "$@"; do
        [ ! -f "$modules/mod_$module.so" ] ||
            echo "LoadModule ${module}_module $modules/mod_$module.so"
    done
}

write_config() {
    modules=$(apxs -q LIBEXECDIR)
    upstream=${UPSTREAM:-http://127.0.0.1:$port/demo-upstream/v1}
    {
        load mpm_event authn_core authz_core authz_user watchdog proxy proxy_http ssl socache_shmcb log_config \
            filter deflate
        cat << CONF
LoadModule apipool_module $top/build/mod_apipool.so
LoadModule apipool_admin_module $top/build/mod_apipool_admin.so
ServerRoot $run
ServerName localhost
PidFile $run/httpd.pid
DefaultRuntimeDir $run
ErrorLog $run/error_log
LogFormat "%t \"%r\" %>s %B"
CustomLog $run/access_log "%t \"%r\" %>s %B"
Listen 127.0.0.1:$port
CONF
        [ "$(id -u)" != 0 ] || printf 'User www-data\nGroup www-data\n'
        case $upstream in
        https:*) cat << CONF
SSLProxyEngine On
SSLProxyVerify require
SSLProxyCheckPeerName On
SSLProxyCACertificateFile /etc/ssl/certs/ca-certificates.crt
CONF
            ;;
        esac
        cat << CONF
APIPoolStore $run/store
APIPoolSecretFile $run/secret
<APIPool main>
    APIPoolUpstream $upstream
    APIPoolKeyFile "$keys"
</APIPool>
<Location "/v1">
    APIPoolUse main
    APIPoolExpose On
    AuthType APIPool
    Require valid-user
</Location>
<Location "/apipool">
    SetHandler apipool-admin
    APIPoolAdminRoot $run/page/htdocs
    APIPoolAdminUserFile $run/admins
    AddOutputFilterByType DEFLATE text/html text/css text/javascript image/svg+xml
</Location>
CONF
        [ -n "${UPSTREAM:-}" ] || cat << CONF
LoadModule mock_llm_module $top/build/obj/mod_mock_llm.so
<Location "/demo-upstream">
    SetHandler mock-llm
</Location>
CONF
    } > "$run/httpd.conf"
}

chat() {
    model=demo-model
    key=$(cat "$run/client-key")
    [ -z "${UPSTREAM:-}" ] || model=${MODEL:-$(curl -s "$1/models" -H "Authorization: Bearer $key" | tr ',{' '\n\n' |
        sed -n 's/^ *"id" *: *"\([^"]*\)".*/\1/p' | head -n 1)}
    body='{"model":"'$model'","messages":[{"role":"user","content":"Say hello."}]}'
    say "one chat completion through the pool:"
    curl -sS -i --max-time 120 "$1/chat/completions" -H 'Content-Type: application/json' \
        -H "Authorization: Bearer $key" -d "$body" || fail "the request failed; see $run/error_log"
    echo
}

start() {
    check_input
    need_to_build
    need_for_page
    case ${UPSTREAM:-} in
    https:*) need /etc/ssl/certs/ca-certificates.crt ca-certificates ;;
    esac
    install_missing
    say "building in $top/build"
    build "$top/build"
    mkdir -p "$run"
    stop && say "stopped the one that was running"
    write_keys
    write_admin
    rm -rf "$run/page"
    make -s -C "$top/build" install-page htdocsdir="$run/page/htdocs" > /dev/null
    write_config
    httpd=$(apxs -q SBINDIR)/$(apxs -q PROGNAME)
    say "starting httpd on 127.0.0.1:$port, its files are in $run"
    "$httpd" -f "$run/httpd.conf" || fail "httpd did not start; see the lines above and $run/error_log"
    curl -s -o /dev/null --retry 50 --retry-connrefused --retry-delay 0 --max-time 30 \
        "http://127.0.0.1:$port/apipool/api/health" || fail "httpd does not answer; see $run/error_log"
    make_client
    chat "http://127.0.0.1:$port/v1"
    cat << TXT

The pool answers at http://127.0.0.1:$port/v1 - point any OpenAI client there:

  curl http://127.0.0.1:$port/v1/chat/completions -H 'Content-Type: application/json' \\
      -H 'Authorization: Bearer $key' \\
      -d '$body'

The dashboard is at http://127.0.0.1:$port/apipool/ and its API below that, at api/:

  user      admin
  password  $(cat "$run/admin-password")

Its configuration is $run/httpd.conf. Stop it with: sh quickstart.sh stop
TXT
}

run_tests() {
    need_to_build
    need_for_page
    need_to_test
    install_missing
    work=$(mktemp -d /var/tmp/apipool-test.XXXXXX)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM
    chmod 755 "$work"
    say "copying the sources to $work, where the tests' user can read them"
    mkdir "$work/source"
    tar -C "$top" --exclude=./.git --exclude=./build --exclude=./obj --exclude='*.so' \
        --exclude=node_modules --exclude=./Makefile --exclude='./config.*' -cf - . |
        tar -C "$work/source" -xf -
    here=$top top=$work/source
    say "installing the SDKs and the driver of the browser that the tests use (npm, locked)"
    for folder in t t/browser; do
        (cd "$top/$folder" && npm ci --ignore-scripts --no-audit --no-fund --silent) ||
            fail "npm could not install what $folder/package-lock.json names"
    done
    say "building, warnings being errors"
    build "$work/build" --enable-maintainer-mode
    say "building and running the unit tests with AddressSanitizer and UndefinedBehaviorSanitizer"
    build "$work/sanitized" --enable-maintainer-mode --enable-sanitizers
    (cd "$work/sanitized" && make -s check-units) || fail "the unit tests failed under the sanitizers"
    say "running all tests"
    export APIPOOL_TEST_ALL=1 # what they need has just been installed: none is skipped for want of it
    result=0
    (cd "$work/build" && make -s check) || result=$?
    rm -rf "$here/build/screenshots"
    mkdir -p "$here/build" && cp -R "$work/build/screenshots" "$here/build/screenshots"
    say "what the page looks like is in $here/build/screenshots"
    [ "$result" = 0 ] || fail "there are failing tests"
}

case ${1:-start} in
start) start ;;
stop) stop && say "stopped" || say "was not running" ;;
test) run_tests ;;
*) fail "unknown command '$1'; use: sh quickstart.sh [stop|test]" ;;
esac
