#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Tells a group of WeCom, by a group robot. Settings: url=https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=...
. "${0%/*}/common.sh"

post "$url" "{\"msgtype\":\"text\",\"text\":{\"content\":$text}}" '"errcode": *0[,}]'
