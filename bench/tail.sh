#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Measures latencies of a chat through a pool and through plain ProxyPass, in turns: median, 90th, 99th and 99.9th
# percentile at several numbers of connections.
#
# bench/tail.sh [--build=FOLDER]
#
# FOLDER is where make was run; default: the current one. Environment:
#   ROUNDS           how often everything is measured (9)
#   SECONDS_PER_RUN  how long each measurement lasts (2)
#   CROWDS           numbers of connections ("8 16 64 256")
#   CASE             what is asked for, as in overhead.sh ("chat")
ROUNDS=${ROUNDS:-9}
SECONDS_PER_RUN=${SECONDS_PER_RUN:-2}
. "$(dirname "$0")/servers.sh"

# Appends "CONNECTIONS WHO REQUESTS/S P50 P90 P99 P99.9", in milliseconds, to the results.
measure() {
    connections=$1
    drive "$seconds" "$CASE" "http://127.0.0.1:$httpd_port/$2/$CASE/completions"
    awk -v head="$1 $2" '
        function ms(text) {
            return text ~ /us$/ ? text / 1000 : text ~ /ms$/ ? text + 0 : text * 1000
        }
        /^ +50%/ { p50 = ms($2) }
        /^ +90%/ { p90 = ms($2) }
        /^ +99%/ { p99 = ms($2) }
        /^99.9% of latencies/ { p999 = $NF / 1000 }
        /^Requests\/sec:/ { rate = $2 }
        END { print head, rate, p50, p90, p99, p999 }' "$work/wrk.out" >>"$work/results"
}

# Plain ProxyPass first in every second round.
measure_all() {
    round=1
    while [ "$round" -le "$rounds" ]; do
        echo "round $round of $rounds" >&2
        for crowd in $CROWDS; do
            if [ $((round % 2)) = 1 ]; then
                measure "$crowd" plain
                measure "$crowd" pool
            else
                measure "$crowd" pool
                measure "$crowd" plain
            fi
        done
        round=$((round + 1))
    done
}

print_report() {
    echo "connections  what      plain       pool      ratio"
    awk "$AWK_MEDIAN"'
        BEGIN { split("requests/s p50 p90 p99 p99.9", names, " ") }
        {
            if (!($1 in seen)) order[++crowds] = $1
            seen[$1] = 1
            for (i = 1; i <= 5; i++) values[$1, $2, i] = values[$1, $2, i] " " $(i + 2)
        }
        END {
            for (c = 1; c <= crowds; c++) {
                for (i = 1; i <= 5; i++) {
                    plain = median(values[order[c], "plain", i])
                    pool = median(values[order[c], "pool", i])
                    if (plain) printf "%11s  %-10s %9.2f %9.2f %9.2f\n", order[c], names[i], plain, pool, pool / plain
                }
            }
        }' "$work/results"
    echo
    echo "medians of $rounds rounds of $seconds s; milliseconds"
}

read_arguments "$@"
CROWDS=${CROWDS:-8 16 64 256} CASE=${CASE:-chat}
start_all
measure_all
print_report
