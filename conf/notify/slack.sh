#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Tells a channel of Slack, by an incoming webhook. Settings: url=https://hooks.slack.com/services/...
. "${0%/*}/common.sh"

post "$url" "{\"text\":$text,\"mrkdwn\":false}" '^ok'
