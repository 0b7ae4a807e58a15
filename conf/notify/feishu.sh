#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Tells a group of Feishu or Lark, by a custom bot. Settings: url=https://open.feishu.cn/open-apis/bot/v2/hook/...
# and, if the bot verifies signatures, secret=...
. "${0%/*}/common.sh"

signed=
if [ -n "$secret" ]; then
    now=$(date +%s)
    sign=$(printf '' | hmac "$now
$secret")
    signed="\"timestamp\":\"$now\",\"sign\":\"$sign\","
fi
post "$url" "{$signed\"msg_type\":\"text\",\"content\":{\"text\":$text}}" '"code": *0[,}]'
