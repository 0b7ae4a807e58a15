/* SPDX-License-Identifier: Apache-2.0
 * What the two halves of the usage scanner share: no one else includes this. */
#ifndef APIPOOL_CORE_USAGE_JSON_H
#define APIPOOL_CORE_USAGE_JSON_H

#include "bytes.h"
#include "usage.h"

/* Counts by who names them: what one vendor sends under two names must not be added up. */
enum {
    APIPOOL_COUNT_PROMPT,
    APIPOOL_COUNT_COMPLETION,
    APIPOOL_COUNT_INPUT,
    APIPOOL_COUNT_OUTPUT,
    APIPOOL_COUNT_OUTPUT_BEGUN, /* that a stream begins with */
    APIPOOL_COUNT_CACHE_WRITTEN,
    APIPOOL_COUNT_CACHE_READ,
    APIPOOL_COUNT_CACHED,
    APIPOOL_COUNT_CACHED_HIT,
    APIPOOL_COUNT_CACHED_DETAIL,
    APIPOOL_COUNT_CANDIDATES,
    APIPOOL_COUNT_THOUGHTS,
    APIPOOL_COUNT_BILLED_INPUT,
    APIPOOL_COUNT_BILLED_OUTPUT,
    APIPOOL_COUNT_TOTAL,
    APIPOOL_COUNT_CHOICE_PROMPT, /* those of a choice */
    APIPOOL_COUNT_CHOICE_COMPLETION,
    APIPOOL_COUNT_CHOICE_CACHED,
    APIPOOL_COUNT_CHOICE_TOTAL,
};

_Static_assert(APIPOOL_COUNT_CHOICE_TOTAL + 1 == APIPOOL_USAGE_COUNTS,
               "every count has room in the scan");

/** Forgets what is unfinished: a document begins. The counts stay. */
void apipool_usage_json_begin(apipool_usage_scan_t *scan);

/** Reads the next bytes of documents that follow each other. */
void apipool_usage_json_feed(apipool_usage_scan_t *scan, const char *p, const char *end);

/** Whether the document reports nothing more unless a name or a type comes that has not begun yet. */
int apipool_usage_json_is_idle(const apipool_usage_scan_t *scan);

#endif
