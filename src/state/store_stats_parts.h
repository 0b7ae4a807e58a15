/* SPDX-License-Identifier: Apache-2.0
 * What records of statistics consist of; for src/state/store_stats*.c alone. */
#ifndef APIPOOL_STATE_STORE_STATS_PARTS_H
#define APIPOOL_STATE_STORE_STATS_PARTS_H

#include "account.h"
#include "flat.h"
#include "members.h"
#include "store_parts.h"

/* The first byte of a record's name says what it is about; the rest only makes it different from others. */
#define OF_KEY    'k'
#define OF_GROUP  'g'
#define OF_POOL   'p'
#define OF_NAME   'n'
#define OF_HIT    'h'
#define OF_CLIENT 'c'

/* Tags; see core/record.h for what may change. */
enum {
    STAT_SERVER = 1,
    STAT_POOL,
    STAT_UPSTREAM,
    STAT_ID,
    STAT_STATE,
    STAT_UNTIL,
    STAT_STREAKS, /* limited, error, failed, tries to recover; others' results when failed began */
    STAT_SUCCESS,
    STAT_TIMES, /* last used, last error, last limited; until when it rests, headroom is known */
    STAT_ERROR, /* status, rule */
    STAT_WINDOWS,
    STAT_COUNTS,
    STAT_LANES, /* model, until, … */
    STAT_NUMBERS,
    STAT_RULES,
    STAT_ENDINGS,
    STAT_REFUSALS,
    STAT_MINUTES,
    STAT_HOURS,
    STAT_DURATION,
    STAT_FIRST_BYTE,
    STAT_RESULTS, /* successes, failures */
    STAT_KIND,
    STAT_TEXT,
    STAT_ACCOUNT,
    STAT_MODEL,
    STAT_SPENT,
    STAT_HEADROOM,
    STAT_LOW,     /* out of quota for its balance alone */
    STAT_BALANCE, /* with currency and when it was read */
    STAT_CURRENCY,
    STAT_READ_AT,
    STAT_FAILING,
    STAT_DIGEST, /* of a client's key */
    STAT_USED_AT
};

#define WINDOWS_ROW (APIPOOL_WINDOWS * APIPOOL_FLAT_WINDOW) /* a client has fewer */
#define STREAKS_ROW 6
#define TIMES_ROW   5
#define POINT_ROW   9
#define ROW_MAX     (APIPOOL_SERIES_MINUTES * POINT_ROW)

#endif
