#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# From a bare Debian or Ubuntu to a running pool in one command.
#
#   sh quickstart.sh          builds, starts a private httpd with a demo upstream, makes an admin and a client key,
#                             sends one chat
#   sh quickstart.sh stop     stops it, whatever its port
#   sh quickstart.sh test     installs what the tests need, and runs them all
#   sh quickstart.sh help     explains these, and the variables
#
#   PORT=N                    the port on 127.0.0.1 (8080)
#   UPSTREAM=URL KEYS=FILE    a real upstream, and a file with its keys, one a line
#   MODEL=NAME                the model of the chat (the first one that the upstream lists and that can chat)
#   TESTS="t/a.t t/b.t"       runs these tests only; everything that any test needs is installed all the same
#
# Nothing outside this folder is changed, except that missing Debian packages are installed. If you are root, and
# www-data, the user of httpd, cannot enter this folder, the files of httpd are in /var/tmp, and build/run is a link to
# them.
set -eu
umask 022

top=$(cd "$(dirname "$0")" && pwd -P)
port=${PORT:-8080}
run=$top/build/run
logs=$top/build/logs

case ${LC_ALL:-${LC_MESSAGES:-${LANG:-}}} in
zh*) language=zh ;;
*) language=en ;;
esac
export LC_ALL=C # a fresh machine has no locale but that, and perl complains of others
. "$top/quickstart.messages.sh"

say() {
    echo "==> $(message "$@")"
}

fail() {
    echo "quickstart: $(message "$@")" >&2
    exit 1
}

is_root() {
    [ "$(id -u)" = 0 ]
}

# step MESSAGE [ARGUMENT ...] begins a line, which "finished" ends with the seconds that the step took.
step() {
    printf '==> %s' "$(message "$@")"
    began=$(date +%s)
}

finished() {
    message seconds $(($(date +%s) - began))
    echo
}

# logged NAME COMMAND [ARGUMENT ...]: keeps what the command says in a log, and shows the end of it when it fails.
logged() {
    log=$logs/$1
    shift
    mkdir -p "$logs"
    "$@" > "$log" 2>&1 < /dev/null && return 0
    {
        echo
        tail -n 30 "$log"
        echo "==> $(message log "$log")"
    } >&2
    return 1
}

# ---- What has to be there ----

# need PACKAGE COMMAND [ARGUMENT ...]: remembers the package if the command fails.
missing=
need() {
    package=$1
    shift
    "$@" > /dev/null 2>&1 || missing="$missing $package"
}

has() {
    command -v "$1"
}

has_header() {
    echo "#include <$1>" | cc -E -
}

has_httpd() {
    httpd=$(apxs -q SBINDIR)/$(apxs -q PROGNAME) && [ -x "$httpd" ]
}

# Some modules are linked into httpd.
has_module() {
    [ -f "$(apxs -q LIBEXECDIR)/mod_$1.so" ] || { has_httpd && "$httpd" -l | grep -q "mod_$1\.c"; }
}

modules_to_load() {
    echo mpm_event authn_core authz_core authz_user watchdog proxy proxy_http log_config filter deflate
    case ${UPSTREAM:-} in
    https:*) echo ssl socache_shmcb ;;
    esac
}

certificates=/etc/ssl/certs/ca-certificates.crt

need_to_build() {
    need gcc has cc
    need libc6-dev has_header stdio.h
    need make has make
    need autoconf has autoconf
    need pkg-config has pkg-config
    need libjansson-dev pkg-config --exists jansson
    need libssl-dev pkg-config --exists libcrypto
    need libicu-dev pkg-config --exists icu-uc
    need zlib1g-dev pkg-config --exists zlib
    need apache2-dev has apxs
    need apache2-bin has_httpd
}

need_to_start() {
    for module in $(modules_to_load); do
        need apache2-bin has_module "$module"
    done
    need apache2-utils has htpasswd
    need curl has curl
    need perl perl -MJSON::PP -e 1
    case ${UPSTREAM:-} in
    https:*) need ca-certificates test -e "$certificates" ;;
    esac
}

has_charts() {
    [ -f /usr/share/javascript/chart.js/chart.min.js ]
}

# The browser that the tests' user can run; a snap may be there for others only.
find_chromium() {
    for name in chromium chromium-browser google-chrome; do
        has "$name" > /dev/null && as_tester "$name" --version > /dev/null 2>&1 && return 0
    done
    return 1
}

has_chinese_font() {
    fc-list :lang=zh | grep .
}

as_tester() {
    if is_root; then
        (cd / && runuser -u www-data -- "$@")
    else
        "$@"
    fi
}

need_to_test() {
    need libapache2-mod-perl2 perl -MApache::Test -e 1
    need libcmocka-dev pkg-config --exists cmocka
    need libjs-chart.js has_charts
    need openssl has openssl
    need libio-socket-ssl-perl perl -MIO::Socket::SSL -e 1
    need nodejs has node
    need npm has npm
    need rpm has rpmbuild
    need libapache2-mod-auth-openidc has_module auth_openidc
    need ca-certificates test -e "$certificates"
    if is_root; then
        need debootstrap has debootstrap
    fi
}

# ---- Packages ----

apt_knows() {
    apt-cache policy "$1" 2> /dev/null | grep -q '^ *Candidate: [^(]'
}

# install_missing [PACKAGE ...]: installs what is missing, and of the packages named here those that apt knows.
install_missing() {
    packages=$(printf '%s\n' $missing | sort -u)
    [ -n "$packages$*" ] || return 0
    if is_root && has apt-get > /dev/null; then
        step packages_updating
        logged apt-update.log apt-get update -q || fail packages_update_failed
        finished
    fi
    for package in "$@"; do
        ! apt_knows "$package" || packages="$packages $package"
    done
    packages=$(echo $packages) # in one line
    [ -n "$packages" ] || return 0
    has apt-get > /dev/null || fail packages_without_apt "$packages"
    is_root || fail packages_need_root "$packages"
    install_packages
}

install_packages() {
    unknown=
    for package in $packages; do
        apt_knows "$package" || unknown="$unknown $package"
    done
    [ -z "$unknown" ] || fail packages_unknown "${unknown# }"
    step packages_installing "$(echo $packages | wc -w)" "$packages"
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive logged apt-install.log apt-get install -y -q --no-install-recommends \
        -o DPkg::Lock::Timeout=300 $packages || fail packages_failed
    finished
}

# ---- The build ----

# build FOLDER MESSAGE LOG "TARGET ..." [CONFIGURE-OPTION ...]
build() {
    folder=$1 log_name=$3 targets=$4
    step "$2" "$folder"
    shift 4
    mkdir -p "$folder"
    logged "$log_name" compile "$@" || fail build_failed
    finished
}

# The sources are named by a relative path, as make knows no blanks in an absolute one.
compile() (
    if [ -n "$packages" ] || [ ! "$folder/Makefile" -nt "$top/configure.ac" ] ||
        [ ! "$folder/Makefile" -nt "$top/Makefile.in" ]; then
        (cd "$top" && autoconf) && (cd "$folder" && "$sources/configure" "$@") || return 1
    fi
    # shellcheck disable=SC2086 # a list of words
    make -C "$folder" -j"$(nproc)" $targets
)

# ---- Start and stop ----

# The ids of the processes of this folder's httpd; they are known by this argument, wherever its files are.
mark=-f$run/httpd.conf
running() {
    grep -lzxF -e"$mark" /proc/[0-9]*/cmdline 2> /dev/null | cut -d/ -f3
}

# Ends the parents, which end their children; returns 1 if there are none.
stop() {
    pids=$(running)
    [ -n "$pids" ] || return 1
    for pid in $pids; do
        has_parent_in "$pid" "$pids" || kill "$pid" 2> /dev/null || [ ! -d "/proc/$pid" ] || fail not_yours "$pid"
    done
    tries=300
    while [ -n "$(running)" ]; do
        [ "$tries" -gt 0 ] || fail not_stopping "$(running | tr '\n' ' ')"
        tries=$((tries - 1))
        sleep 0.1
    done
}

has_parent_in() {
    parent=$(sed -n 's/^PPid:[^0-9]*//p' "/proc/$1/status" 2> /dev/null)
    echo "$2" | grep -qx "$parent"
}

running_port() {
    [ -n "$(running)" ] && sed -n 's/^Listen 127.0.0.1://p' "$run/httpd.conf" 2> /dev/null
}

# Whether something listens on the port, for 127.0.0.1 or for all addresses.
is_busy() {
    all='0{8}|0{32}' local='(0{16}FFFF0000)?(0{8}|0100007F)'
    grep -Eqs "^ *[0-9]+: ($all|$local):$(printf '%04X' "$1") [0-9A-F:]+ 0A " /proc/net/tcp /proc/net/tcp6
}

free_port() {
    free=$1
    while is_busy "$free"; do
        free=$((free + 1))
    done
    echo "$free"
}

check_port() {
    case $port in
    '' | 0* | *[!0-9]* | ??????*) fail port_impossible "$port" ;;
    esac
    [ "$port" -le 65535 ] || fail port_impossible "$port"
    privileged=$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start 2> /dev/null || echo 1024)
    is_root || [ "$port" -ge "$privileged" ] || fail port_privileged "$port" "$privileged"
    [ "$port" = "$(running_port)" ] || ! is_busy "$port" || fail port_busy "$port" "$(free_port 8081)"
}

check_input() {
    [ -n "${KEYS:-}" ] || [ -z "${UPSTREAM:-}" ] || fail keys_missing
    [ -n "${UPSTREAM:-}" ] || [ -z "${KEYS:-}" ] || fail upstream_missing
    [ -z "${KEYS:-}" ] || { [ -f "$KEYS" ] && [ -r "$KEYS" ]; } || fail keys_unreadable "$KEYS"
    check_port
}

# The folder of httpd's files, as its children can reach it.
make_run_folder() {
    [ -d "$run" ] || rm -f "$run" # a link to what is gone
    mkdir -p "$run"
    files=$(cd "$run" && pwd -P)
    if ! as_tester test -x "$files"; then
        files=$(mktemp -d /var/tmp/apipool-quickstart.XXXXXX)
        cp -a "$run/." "$files"
        chmod 755 "$files"
        rm -rf "$run"
        ln -s "$files" "$run"
        say run_elsewhere "$top" "$files"
    fi
}

random_text() {
    head -c 24 /dev/urandom | base64 | tr -d '/+='
}

# The admin's password is made once; only its digest is for httpd.
write_admin() {
    [ -s "$run/admin-password" ] || (umask 077 && random_text > "$run/admin-password")
    (umask 077 && : > "$run/admins")
    htpasswd -iB "$run/admins" admin < "$run/admin-password" 2> /dev/null || fail no_admins "$run/admins"
    ! is_root || { chgrp www-data "$run/admins" && chmod 640 "$run/admins"; }
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

copy_page() {
    rm -rf "$run/page"
    logged page.log make -C "$top/build" install-page htdocsdir=run/page/htdocs || fail page_failed
}

# A path as httpd's configuration takes it, blanks and all.
quoted() {
    printf '"%s"' "$(printf '%s' "$1" | sed 's/[\\"]/\\&/g')"
}

load() {
    modules=$(apxs -q LIBEXECDIR)
    for module in "$@"; do
        [ ! -f "$modules/mod_$module.so" ] || echo "LoadModule ${module}_module $modules/mod_$module.so"
    done
}

write_config() {
    upstream=${UPSTREAM:-http://127.0.0.1:$port/demo-upstream/v1}
    {
        # shellcheck disable=SC2046 # a list of words
        load $(modules_to_load)
        cat << CONF
LoadModule apipool_module $(quoted "$top/build/mod_apipool.so")
LoadModule apipool_admin_module $(quoted "$top/build/mod_apipool_admin.so")
ServerRoot $(quoted "$files")
ServerName localhost
PidFile httpd.pid
DefaultRuntimeDir $(quoted "$files")
ErrorLog error_log
CustomLog access_log "%t \"%r\" %>s %B"
Listen 127.0.0.1:$port
CONF
        ! is_root || printf 'User www-data\nGroup www-data\n'
        case $upstream in
        https:*) cat << CONF
SSLProxyEngine On
SSLProxyVerify require
SSLProxyCheckPeerName On
SSLProxyCACertificateFile $certificates
CONF
            ;;
        esac
        cat << CONF
APIPoolStore $(quoted "$files/store")
APIPoolSecretFile $(quoted "$files/secret")
<APIPool main>
    APIPoolUpstream $upstream
    APIPoolKeyFile $(quoted "$keys")
</APIPool>
<Location "/v1">
    APIPoolUse main
    APIPoolExpose On
    AuthType APIPool
    Require valid-user
</Location>
<Location "/apipool">
    SetHandler apipool-admin
    APIPoolAdminRoot $(quoted "$files/page/htdocs")
    APIPoolAdminUserFile $(quoted "$files/admins")
    AddOutputFilterByType DEFLATE text/html text/css text/javascript image/svg+xml
</Location>
CONF
        [ -n "${UPSTREAM:-}" ] || cat << CONF
LoadModule mock_llm_module $(quoted "$top/build/obj/mod_mock_llm.so")
<Location "/demo-upstream">
    SetHandler mock-llm
</Location>
CONF
    } > "$run/httpd.conf"
}

start_httpd() {
    say starting "$port" "$files"
    "$httpd" "$mark" || fail not_started "$run/error_log"
    curl -s --noproxy '*' -o /dev/null --retry 50 --retry-connrefused --retry-delay 0 --max-time 30 \
        "http://127.0.0.1:$port/apipool/api/health" || fail not_answering "$run/error_log"
}

# ---- The client key, and a chat ----

# member NAME: of the JSON object on standard input; nothing when it is not there.
member() {
    perl -MJSON::PP -0777 -e '
        my $object = eval { decode_json(scalar <STDIN>) };
        print $object->{$ARGV[0]} // "" if ref $object eq "HASH"' "$1"
}

# ask METHOD PATH [ARGUMENT OF CURL ...]: with the token or the client key that is in a file, since everybody can see
# arguments; and past any proxy that the environment names.
ask() {
    method=$1 path=$2
    shift 2
    curl -sS --noproxy '*' --max-time 120 -X "$method" "http://127.0.0.1:$port/$path" \
        -H 'Content-Type: application/json' -H @"$run/authorization" "$@"
}

authorize() {
    (umask 077 && echo "Authorization: Bearer $1" > "$run/authorization")
}

# Keeps the client key of an earlier run, if it is still one.
make_client() {
    authorize none
    session=$(printf '{"username":"admin","password":"%s"}' "$(cat "$run/admin-password")" |
        ask POST apipool/api/session -d @-)
    token=$(echo "$session" | member token)
    [ -n "$token" ] || fail no_session "$session"
    authorize "$token"
    if [ ! -s "$run/client-key" ] || [ "$(ask GET apipool/api/clients/quickstart | member name)" != quickstart ]; then
        ask DELETE apipool/api/clients/quickstart > /dev/null
        made=$(ask POST apipool/api/clients -d '{"name":"quickstart"}')
        (umask 077 && echo "$made" | member key > "$run/client-key")
        [ -s "$run/client-key" ] || fail no_client "$made"
    fi
    ask DELETE apipool/api/session > /dev/null
    authorize "$(cat "$run/client-key")"
}

# The first model of a list in JSON whose name is not that of an embedding, a ranking, an image, a sound, a film or
# a moderation.
first_chat_model() {
    perl -MJSON::PP -0777 -e '
        my $list = eval { decode_json(scalar <STDIN>)->{data} };
        my $other = qr/embed|\bbge\b|\bbce\b|\be5\b|\bgte\b|m3e|clip|rank|moderation|guard|\baqa\b|
            image|dall-e|flux|diffusion|sdxl|kolors|cogview|seedream|ocr|
            audio|speech|voice|tts|whisper|asr|transcri|realtime|sovits|lyria|
            video|sora|veo\b|\bwan|t2v|i2v|seedance|
            babbage|davinci|turbo-instruct|codex|deep-research/xi;
        my ($first) = grep { !/$other/ } grep { defined && !ref } map { ref eq "HASH" ? $_->{id} : undef }
            ref $list eq "ARRAY" ? @$list : ();
        binmode STDOUT, ":utf8";
        print $first // ""'
}

choose_model() {
    model=${MODEL:-demo-model}
    [ -n "${UPSTREAM:-}" ] && [ -z "${MODEL:-}" ] || return 0
    status=$(ask GET v1/models -o "$run/models" -w '%{http_code}') || status=000
    [ "$status" = 200 ] || chat_failed no_models "$status"
    model=$(first_chat_model < "$run/models")
    [ -n "$model" ] || chat_failed no_chat_model
}

chat() {
    choose_model
    name=$(perl -MJSON::PP -e 'print JSON::PP->new->allow_nonref->encode($ARGV[0])' "$model")
    body='{"model":'$name',"messages":[{"role":"user","content":"Say hello."}]}'
    say chatting "$model"
    status=$(ask POST v1/chat/completions -d "$body" -D "$run/chat.head" -o "$run/chat.body" -w '%{http_code}') ||
        chat_failed chat_unsent
    cat "$run/chat.head" "$run/chat.body" | tr -d '\r'
    printf '\n\n'
    [ "$status" = 200 ] && has_choices || chat_failed chat_failed "$status"
}

has_choices() {
    tr '\n' ' ' < "$run/chat.body" | grep -Eq '"choices" *: *\[ *\{'
}

chat_failed() {
    {
        echo "quickstart: $(message "$@")"
        message look "$run/error_log" "$port" "$(cat "$run/admin-password")"
    } >&2
    exit 1
}

start() {
    check_input
    need_to_build
    need_to_start
    if is_root && [ -n "$missing" ] && ! has_charts; then
        install_missing libjs-chart.js
    else
        install_missing
    fi
    has_charts || say without_charts
    has_httpd
    sources=..
    build "$top/build" building build.log "all mock"
    old_port=$(running_port) || old_port=
    stop && say replaced "$old_port"
    make_run_folder
    write_keys
    write_admin
    copy_page
    write_config
    start_httpd
    make_client
    chat
    message ready "$port"
    cat << TXT

  curl http://127.0.0.1:$port/v1/chat/completions -H 'Content-Type: application/json' \\
      -H 'Authorization: Bearer $(cat "$run/client-key")' \\
      -d '$body'

TXT
    message dashboard "$port" "$(cat "$run/admin-password")" "$run/httpd.conf"
}

# ---- The tests ----

check_tests() {
    for test in ${TESTS:-}; do
        [ -f "$top/$test" ] || fail test_unknown "$test"
    done
}

# Where promtool has no package of its own: the package prometheus would start a server, and its page needs forty
# others.
fetch_promtool() {
    ! has promtool > /dev/null || return 0
    step promtool_fetching
    mkdir "$work/promtool"
    logged promtool.log unpack_promtool || fail promtool_failed
    PATH=$PATH:$work/promtool/usr/bin
    has promtool > /dev/null || fail promtool_failed
    finished
}

unpack_promtool() (
    cd "$work/promtool" && apt-get download -q prometheus && dpkg-deb -x prometheus_*.deb .
)

copy_sources() {
    say copying "$work"
    mkdir "$work/source"
    tar -C "$top" --exclude=./.git --exclude=./build --exclude=./obj --exclude='*.so' --exclude=node_modules \
        --exclude=./Makefile --exclude='./config.*' --mode=a+rX --owner=0 --group=0 -cf - . |
        tar -C "$work/source" --no-same-owner -xf -
}

install_from_npm() {
    step npm_installing
    for folder in t t/browser; do
        logged npm.log npm ci --prefix "$top/$folder" --ignore-scripts --no-audit --no-fund ||
            fail npm_failed "$folder/package-lock.json"
    done
    finished
}

run_analysis() {
    step analysing
    logged analysis.log sh "$here/t/analyse" --top="$here" --build="$work/build" || fail analysis_failed
    finished
    grep '^skipped: ' "$logs/analysis.log" || true
}

run_sanitized() {
    build "$work/sanitized" building_sanitized sanitized.log "units corpus-replay" \
        --enable-maintainer-mode --enable-sanitizers --enable-coverage
    step running_units
    logged units.log make -C "$work/sanitized" -s check-units || fail units_failed
    finished
    logged coverage.log perl "$top/t/coverage" "$work/sanitized" || fail coverage_failed
}

install_for_tests() {
    need_to_build
    need_to_start
    need_to_test
    optional=
    if find_chromium; then
        need fonts-noto-cjk has_chinese_font
    else
        optional="chromium fonts-noto-cjk"
    fi
    has promtool > /dev/null || optional="$optional promtool"
    # of these versions, whatever the system's own are; only the whole run needs them
    [ -n "${TESTS:-}" ] || optional="$optional clang-format-14 clang-tidy-14"
    # shellcheck disable=SC2086 # a list of words
    install_missing $optional
    if ! find_chromium && ! apt_knows chromium; then
        say without_browser
        export APIPOOL_NO_BROWSER=1
    fi
}

run_tests() {
    check_tests
    install_for_tests
    work=$(mktemp -d /var/tmp/apipool-test.XXXXXX)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM
    chmod 755 "$work"
    fetch_promtool
    copy_sources
    here=$top top=$work/source sources=../source
    install_from_npm
    build "$work/build" building_strict strict.log "all mock units corpus-replay" --enable-maintainer-mode
    if [ -z "${TESTS:-}" ]; then
        run_analysis
        run_sanitized
    fi
    say running_tests
    export APIPOOL_TEST_ALL=1 # what they need has just been installed: none is skipped for want of it
    result=0
    (cd "$work/build" && make -s check) || result=$?
    rm -rf "$here/build/screenshots"
    cp -R "$work/build/screenshots" "$here/build/screenshots"
    say screenshots "$here/build/screenshots"
    [ "$result" = 0 ] || fail tests_failed
    if is_root && [ -z "${TESTS:-}" ]; then
        say running_as_root
        logged as_root.log sh "$top/t/as_root" "$work/build" & # it waits most of the time
        as_root=$!
        say running_roots
        result=0
        sh "$here/t/roots" || result=$?
        wait "$as_root" || fail as_root_failed
        [ "$result" = 0 ] || fail roots_failed
    fi
    if [ -z "${TESTS:-}" ]; then
        say coverage
        cat "$logs/coverage.log"
    fi
}

case ${1:-start} in
start) start ;;
stop)
    if stop; then
        say stopped
    else
        say not_running
    fi
    ;;
test) run_tests ;;
help | --help | -h) message usage ;;
*)
    {
        echo "quickstart: $(message unknown_command "$1")"
        message usage
    } >&2
    exit 2
    ;;
esac
