# SPDX-License-Identifier: Apache-2.0
# What the programs for APIPoolNotify have in common; each of them reads this file. They are called as
# PROGRAM SETTINGS EVENT, with the message on standard input. SETTINGS is a file of lines NAME=VALUE that httpd's
# user must be able to read; a value is taken as it stands, without quotes.
# shellcheck shell=sh disable=SC2034 # the programs use these variables
set -eu
export LC_ALL=C PATH="${PATH:-/usr/local/bin:/usr/bin:/bin}"

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

settings=${1:?the file of settings is missing}
message=$(cat)
url='' secret='' token='' chat='' to='' from='' sendmail=''

[ -r "$settings" ] || fail "$settings cannot be read by $(id -un)"
while IFS= read -r line || [ -n "$line" ]; do
    value=${line#*=}
    case $line in
        url=*) url=$value ;;
        secret=*) secret=$value ;;
        token=*) token=$value ;;
        chat=*) chat=$value ;;
        to=*) to=$value ;;
        from=*) from=$value ;;
        sendmail=*) sendmail=$value ;;
        '#'* | '') ;;
        *) fail "$settings: unknown setting ${line%%=*}" ;;
    esac
done < "$settings"

# A string of the message as it stands there: in quotes, and escaped as JSON wants it, so it fits into other JSON.
# Each member has a line of its own.
string() {
    printf '%s\n' "$message" | sed -n "s/^\"$1\": \\(\".*\"\\),\\{0,1\\}\$/\\1/p"
}

# The same without the quotes, for strings that need no escapes.
plain() {
    string "$1" | sed 's/^"\(.*\)"$/\1/'
}

text=$(string text)
[ -n "$text" ] || fail "the message has no text"

# hmac KEY: HMAC-SHA256 of standard input, in base64.
hmac() {
    openssl dgst -sha256 -hmac "$1" -binary | openssl base64 -A
}

# post URL JSON PATTERN: the answer must match the pattern. The address is a secret, so curl reads it from its
# standard input; arguments can be seen by all users of the machine.
post() {
    case $1 in
        *[!!-~]* | *[\"\\]*) fail "$settings: url has characters that no address has" ;;
        https://* | http://*) ;;
        *) fail "$settings: url is missing, or does not begin with https://" ;;
    esac
    answer=$(printf 'url = "%s"\n' "$1" | curl -q --config - --silent --show-error --max-time 8 \
        --header 'Content-Type: application/json; charset=utf-8' --data-binary "$2" --write-out ' (status %{http_code})')
    printf '%s\n' "$answer" | tr -d '\n' | grep -q "$3.*(status 200)" || fail "refused: $answer"
}
