/* SPDX-License-Identifier: Apache-2.0
 * Lists of a pool's keys by filter, and their sorting by page. */
#ifndef APIPOOL_MANAGE_LISTING_H
#define APIPOOL_MANAGE_LISTING_H

#include "view.h"

/* Takes the segment's lock in small steps, like src/pool/view.h; sorts without it. */

/* Key of a list. */
typedef struct {
    apr_uint64_t id;
    apr_uint32_t slot;
    double value;     /* value to sort by; NaN: unknown */
    const char *text; /* text to sort by; NULL: unknown */
} apipool_listed_t;

/**
 * Finds the keys of a pool that match. O(keys).
 * @param filter its text is a whole key, or compared ignoring the case of ASCII letters
 * @param sort   later sort order
 * @param listed result: apipool_listed_t, unordered
 */
apr_status_t apipool_listing_find(apipool_segment_t *segment, apr_uint32_t pool,
                                  const apipool_key_filter_t *filter, apipool_key_sort_e sort,
                                  apr_time_t now, apr_pool_t *p, apr_array_header_t **listed);

/**
 * Sorts the elements of one page into place: limit elements from offset on. The rest is
 * unordered. In both directions, unknown values come last, and equal ones are ordered by
 * ascending id. O(keys + limit log limit).
 * @return number of elements on the page
 */
apr_uint32_t apipool_listing_sort(apr_array_header_t *listed, apipool_key_sort_e sort,
                                  int descending, apr_uint32_t offset, apr_uint32_t limit);

#endif
