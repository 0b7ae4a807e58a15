#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Sends a mail. Settings: to=ADDRESS,..., and if wanted from=ADDRESS, and sendmail=PROGRAM (/usr/sbin/sendmail).
. "${0%/*}/common.sh"

[ -n "$to" ] || fail "$settings: to is missing"
{
    printf 'To: %s\n' "$to"
    [ -z "$from" ] || printf 'From: %s\n' "$from"
    printf 'Subject: %s\nAuto-Submitted: auto-generated\nMIME-Version: 1.0\n' "$(plain title)"
    printf 'Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n'
    plain text_base64 | fold -w 76
    echo
} | "${sendmail:-/usr/sbin/sendmail}" -t -oi
