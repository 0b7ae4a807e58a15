#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Tells a chat of Telegram, by a bot. Settings: token=... of the bot, chat=... (a number, or @CHANNEL), and for
# another server of its API url=https://...
. "${0%/*}/common.sh"

case $chat in
    '' | *[!0-9A-Za-z_@-]*) fail "$settings: chat is missing, or neither a number nor @CHANNEL" ;;
esac
post "${url:-https://api.telegram.org}/bot$token/sendMessage" "{\"chat_id\":\"$chat\",\"text\":$text}" '"ok": *true'
