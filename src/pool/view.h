/* SPDX-License-Identifier: Apache-2.0
 * Copies of pools, upstreams and keys for readers. */
#ifndef APIPOOL_POOL_VIEW_H
#define APIPOOL_POOL_VIEW_H

#include "pool.h"

/* Functions take the segment's lock in small steps; callers hold none. Reading changes nothing.
 * Times are parameters. */

/** Returns 1 if a pool with this index exists. No lock. */
int apipool_view_has_pool(const apipool_segment_t *segment, apr_uint32_t pool);

/** Names of a pool and of an upstream, valid as long as the segment; "" if there is no such
 *  index. No lock. */
const char *apipool_view_pool_name(const apipool_segment_t *segment, apr_uint32_t pool);
const char *apipool_view_upstream_name(const apipool_segment_t *segment, apr_uint32_t upstream);

/** First upstream of a pool with an index >= from, configured or not; APIPOOL_NONE: none. No
 *  lock. */
apr_uint32_t apipool_view_next_upstream(const apipool_segment_t *segment, apr_uint32_t pool,
                                        apr_uint32_t from);

/** Upstream of a pool by name, configured or not; APIPOOL_NONE: none. No lock. */
apr_uint32_t apipool_view_find_upstream(const apipool_segment_t *segment, apr_uint32_t pool,
                                        const char *name);

/** Adds up the attempts of a pool's upstreams by rule. */
apr_status_t apipool_view_rules(apipool_segment_t *segment, apr_uint32_t pool,
                                apr_uint64_t counts[APIPOOL_RULE_COUNT]);

/* Texts that are copied with a row. */
#define APIPOOL_VIEW_MASKED  1
#define APIPOOL_VIEW_LABEL   2
#define APIPOOL_VIEW_ACCOUNT 4

/* Query for keys. */
typedef struct {
    apr_uint32_t pool;
    apr_uint32_t upstream;    /* only this one; APIPOOL_NONE: all */
    unsigned states;          /* bits 1 << state; 0: any */
    unsigned texts;           /* APIPOOL_VIEW_... */
    apipool_key_sort_e value; /* value to sort by; texts and ids have none */
    apr_time_t now;
} apipool_view_query_t;

/* Key with the fields for filters and sorting. */
typedef struct {
    apr_uint64_t id;
    apr_uint32_t slot, upstream;
    double value; /* NaN: unknown */
    char masked[APIPOOL_MASKED_SIZE];
    char label[APIPOOL_LABEL_MAX + 1], account[APIPOOL_ACCOUNT_MAX + 1];
} apipool_view_row_t;

#define APIPOOL_VIEW_BATCH 128 /* slots looked at per lock */

/**
 * Copies the matching keys of the next slots. A key that is added meanwhile may be missed; none
 * is copied twice.
 * @param from  where to begin, 0 at first; set to where to go on, APIPOOL_NONE at the end
 * @param rows  result, room for APIPOOL_VIEW_BATCH
 * @param count number of keys; 0 does not mean the end
 */
apr_status_t apipool_view_rows(apipool_segment_t *segment, const apipool_view_query_t *query,
                               apr_uint32_t *from, apipool_view_row_t *rows, apr_uint32_t *count);

/* Everything about a key except the key itself. */
typedef struct {
    int found;
    apr_uint32_t upstream;
    apipool_key_info_t info; /* upstream, label and account are not set */
    char label[APIPOOL_LABEL_MAX + 1], account[APIPOOL_ACCOUNT_MAX + 1];
} apipool_view_key_t;

/** Limits of a key as they are enforced: each its own, or that of its pool; 0: none. No lock. */
apipool_key_limits_t apipool_view_limits(const apipool_key_limits_t *own,
                                         const apipool_key_limits_t *defaults);

/**
 * Copies keys of a pool by id. O(1) each.
 * @param slots their last known slots; NULL: unknown
 * @param keys  result, room for count
 */
apr_status_t apipool_view_keys(apipool_segment_t *segment, apr_uint32_t pool,
                               const apr_uint64_t *ids, const apr_uint32_t *slots,
                               apr_uint32_t count, apr_time_t now, apipool_view_key_t *keys);

/**
 * Copies a whole key.
 * @param secret result: only key, len and id are set; wipe it with apipool_lease_wipe
 * @return APR_NOTFOUND when the pool does not have the key
 */
apr_status_t apipool_view_secret(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t id,
                                 apipool_lease_t *secret);

#endif
