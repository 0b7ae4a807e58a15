#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Starts what the other scripts measure, and leaves it running until it is ended, for comparisons with other gateways
# (see peers.md): the upstream, plain ProxyPass and a pool.
#
# bench/serve.sh [--build=FOLDER]
#
# FOLDER is where make was run; default: the current one. Prints assignments for a shell: the addresses of the upstream
# and of a chat through plain ProxyPass and the pool, and wrk's script of that chat. Environment:
#   SPARE_KEYS  number of keys in the pool (1000)
. "$(dirname "$0")/servers.sh"

read_arguments "$@"
start_all
cat <<END
upstream=http://127.0.0.1:$upstream_port/chat
plain=http://127.0.0.1:$httpd_port/plain/chat/completions
pool=http://127.0.0.1:$httpd_port/pool/chat/completions
request=$work/chat.lua
END
wait "$httpd_pid"
