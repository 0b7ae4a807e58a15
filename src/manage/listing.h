/* SPDX-License-Identifier: Apache-2.0
 * Lists of a pool's keys: which match a filter, and which of these stand on a page. */
#ifndef APIPOOL_MANAGE_LISTING_H
#define APIPOOL_MANAGE_LISTING_H

#include "view.h"

/* Takes the segment's lock in small steps, as src/pool/view.h does; sorts without it. */

/* A key of a list. */
typedef struct {
    apr_uint64_t id;
    apr_uint32_t slot;
    double value;     /* what is sorted by; NaN: not known */
    const char *text; /* the same of a sort by text; NULL: not known */
} apipool_listed_t;

/**
 * Finds the keys of a pool that match. O(keys).
 * @param filter its text is looked for ignoring the case of ASCII letters
 * @param sort   what is going to be sorted by
 * @param listed result: apipool_listed_t, in no order
 */
apr_status_t apipool_listing_find(apipool_segment_t *segment, apr_uint32_t pool,
                                  const apipool_key_filter_t *filter, apipool_key_sort_e sort,
                                  apr_time_t now, apr_pool_t *p, apr_array_header_t **listed);

/**
 * Puts those elements of a list where they belong that stand on a page: from offset on, limit of them. The
 * rest is in no order. What is not known comes last either way; of the same value, the lower id is first
 * either way. O(keys + limit log limit).
 * @return how many stand on the page
 */
apr_uint32_t apipool_listing_sort(apr_array_header_t *listed, apipool_key_sort_e sort,
                                  int descending, apr_uint32_t offset, apr_uint32_t limit);

#endif
