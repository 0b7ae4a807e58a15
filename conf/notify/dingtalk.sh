#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Tells a group of DingTalk, by a custom robot. Settings: url=https://oapi.dingtalk.com/robot/send?access_token=...
# and, if the robot verifies signatures, secret=SEC...; for a robot with keywords one of them is apipool.
. "${0%/*}/common.sh"

if [ -n "$secret" ]; then
    now=$(date +%s)000
    sign=$(printf '%s\n%s' "$now" "$secret" | hmac "$secret" | sed 's/+/%2B/g; s|/|%2F|g; s/=/%3D/g')
    url="$url&timestamp=$now&sign=$sign"
fi
post "$url" "{\"msgtype\":\"text\",\"text\":{\"content\":$text}}" '"errcode": *0[,}]'
