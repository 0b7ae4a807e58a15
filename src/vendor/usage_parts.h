/* SPDX-License-Identifier: Apache-2.0
 * Between the files of usage: the counts that a document holds. */
#ifndef APIPOOL_VENDOR_USAGE_PARTS_H
#define APIPOOL_VENDOR_USAGE_PARTS_H

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
    APIPOOL_COUNT_CHOICE_TOTAL
};

_Static_assert(APIPOOL_COUNT_CHOICE_TOTAL + 1 == APIPOOL_USAGE_COUNTS,
               "every count has room in the scan");

/** Reads a document, or several that follow each other, as lines of an event may. What follows where a string
 *  does not end is not read. */
void apipool_usage_read(apipool_usage_scan_t *scan, const char *text, const char *end);

/** Reads the end of what is too long to be kept: the last usage in it, wherever that stands. */
void apipool_usage_read_end(apipool_usage_scan_t *scan, const char *text, const char *end);

#endif
