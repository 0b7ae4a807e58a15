#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Measures the overhead of a pool compared with plain ProxyPass, and the cost of one rotation to another key. Cases:
#   chat   an answer of 1 KiB with the fields that OpenAI's SDK and API send
#   keyed  the same with a client key that has a list of models and limits
#   tls    the same as chat with an upstream over TLS
#   bare   the same as chat with as few fields as possible
#   sse    a stream of 200 events, sent one after the other as vendors do
#   burst  the same events all at once, each a chunk: shows most clearly what a pool does for a stream
#
# bench/overhead.sh [--build=FOLDER]
#
# FOLDER is where make was run; default: the current one. Environment:
#   ROUNDS           number of rounds (5)
#   SECONDS_PER_RUN  duration of each measurement (5)
#   CONNECTIONS      number of simultaneous connections (64)
. "$(dirname "$0")/servers.sh"

# --- requests per second and CPU per request ---

# Prints "TICKS PID PID": the CPU time of httpd's children so far, and their process ids. A name in /proc/PID/stat
# may contain blanks, but nothing after its parenthesis does.
children() {
    cat /proc/[0-9]*/stat 2>/dev/null | awk -v parent="$httpd_pid" '
        { pid = $1; sub(/^.*\) /, "") }
        $2 == parent { ticks += $12 + $13; pids = pids " " pid }
        END { print ticks + 0 pids }'
}

# Appends "CASE WHO ROUND REQUESTS/S MICROSECONDS" to the results.
measure() {
    before=$(children)
    drive "$seconds" "$1" "$4"
    after=$(children)
    [ "${before#* }" = "${after#* }" ] || fail "httpd's children changed during a run; see its limits."
    awk -v ticks="$((${after%% *} - ${before%% *}))" -v hz="$hz" -v head="$1 $2 $3" '
        / requests in / { requests = $1 }
        /^Requests\/sec:/ { rate = $2 }
        END {
            if (!requests) exit 1
            print head, rate, ticks / hz * 1000000 / requests
        }' "$work/wrk.out" >>"$work/results" || fail "wrk counted no request to $4."
}

# Runs a command with every case and address, in the order in which they are compared.
each_target() {
    for case in chat keyed tls bare sse burst; do
        path=$case/completions # the pool asks a stream for its usage and hides it
        "$@" $case plain "http://127.0.0.1:$httpd_port/plain/$path"
        "$@" $case pool "http://127.0.0.1:$httpd_port/pool/$path"
        "$@" $case nginx "http://127.0.0.1:$nginx_port/$path"
    done
}

warm_up() {
    drive 1 "$1" "$3"
}

measure_in_round() {
    measure "$2" "$3" "$1" "$4"
}

measure_all() {
    each_target warm_up
    round=1
    while [ "$round" -le "$rounds" ]; do
        echo "round $round of $rounds" >&2
        each_target measure_in_round "$round"
        round=$((round + 1))
    done
}

print_table() {
    awk "$AWK_MEDIAN"'
        {
            if (!($1 in seen)) order[++cases] = $1
            seen[$1] = 1
            rates[$1, $2] = rates[$1, $2] " " $4
            costs[$1, $2] = costs[$1, $2] " " $5
        }
        END {
            printf "%-5s %12s %12s %11s %12s %17s %17s %9s\n", "case", "plain req/s", "pool req/s",
                "pool/plain", "nginx req/s", "plain CPU us/req", "pool CPU us/req", "added us"
            for (i = 1; i <= cases; i++) {
                c = order[i]
                plain = median(rates[c, "plain"])
                pool = median(rates[c, "pool"])
                plain_cost = median(costs[c, "plain"])
                pool_cost = median(costs[c, "pool"])
                printf "%-5s %12.0f %12.0f %11.3f %12.0f %17.1f %17.1f %9.1f\n", c, plain, pool,
                    pool / plain, median(rates[c, "nginx"]), plain_cost, pool_cost,
                    pool_cost - plain_cost
            }
        }' "$work/results"
}

# --- the cost of one rotation ---

measure_rotation() {
    rotation=$(perl "$here/rotation.pl" "$httpd_port" /rotation/refused $ROTATION_REQUESTS) ||
        fail "the cost of a rotation could not be measured."
    sleep 2 # nginx buffers log lines for a second
    logged=$(wc -l <"$work/refused.log")
    keys=$(sort -u "$work/refused.log" | wc -l)
}

print_rotation() {
    echo "$rotation" | while read -r direct direct_count rotated rotated_count extra; do
        if [ "$extra" -ne "$logged" ] || [ "$logged" -ne "$keys" ]; then
            fail "the client saw $extra rotations, but the upstream refused $logged requests with $keys keys."
        fi
        awk -v direct="$direct" -v rotated="$rotated" 'BEGIN {
            printf "one rotation: %.0f us (median latency %.0f us with a refused key before, %.0f us without)\n",
                rotated - direct, rotated, direct
        }'
        echo "  $rotated_count and $direct_count requests on one connection; refused keys: $extra by the client's count, $logged by the upstream's, $keys different"
    done
}

# --- the report ---

print_machine() {
    # httpd names itself and the module in its first notice
    sed -n 's/^.*: \(Apache[^ ]*.*\) configured -- resuming.*$/\1/p' "$work/httpd.log" | head -n 1
    nginx -v 2>&1 | sed 's/^.*: //'
    wrk -v 2>&1 | sed -n '1s/ \[.*//p'
    echo "$(uname -sr), $(getconf _NPROCESSORS_ONLN) cores,$(sed -n '/^model name/{s/^[^:]*://p;q;}' /proc/cpuinfo)"
}

print_report() {
    print_table
    echo
    print_rotation
    echo
    echo "medians of $rounds rounds of $seconds s with $connections connections; POST with 1 KiB, answer 1 KiB (chat, keyed, tls, bare) or 200 events"
    print_machine
}

read_arguments "$@"
hz=$(getconf CLK_TCK)
start_all
measure_all
measure_rotation
print_report
