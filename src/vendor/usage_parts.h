/* SPDX-License-Identifier: Apache-2.0
 * Shared by the files of usage: the counts in a document. */
#ifndef APIPOOL_VENDOR_USAGE_PARTS_H
#define APIPOOL_VENDOR_USAGE_PARTS_H

#include "usage.h"

/* Counts by who names them, so that one vendor's count under two names is not added up. */
enum {
    APIPOOL_COUNT_PROMPT,
    APIPOOL_COUNT_COMPLETION,
    APIPOOL_COUNT_INPUT,
    APIPOOL_COUNT_OUTPUT,
    APIPOOL_COUNT_OUTPUT_BEGUN, /* the first value in a stream */
    APIPOOL_COUNT_CACHE_WRITTEN,
    APIPOOL_COUNT_CACHE_READ,
    APIPOOL_COUNT_CACHED,
    APIPOOL_COUNT_CACHED_HIT,
    APIPOOL_COUNT_CACHED_DETAIL,
    APIPOOL_COUNT_TOOL_USE, /* prompt of tools */
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

/** Reads a document, or several in a row, as lines of an event may be. Stops at a string that does
 *  not end. */
void apipool_usage_read(apipool_usage_scan_t *scan, const char *text, const char *end);

/** Reads the end of an answer that is too long to be kept: the last usage in it, at any place. */
void apipool_usage_read_end(apipool_usage_scan_t *scan, const char *text, const char *end);

#endif
