/* SPDX-License-Identifier: Apache-2.0
 * Copies of pools, upstreams and keys for readers. */
#ifndef APIPOOL_POOL_VIEW_H
#define APIPOOL_POOL_VIEW_H

#include "pool.h"

/* Takes the segment's lock in small steps; callers hold none. Nothing is changed by reading. Times are
 * parameters. */

/** Whether there is a pool of that index. No lock. */
int apipool_view_has_pool(const apipool_segment_t *segment, apr_uint32_t pool);

/** Names of a pool and of a group; valid as long as the segment, "" where there is no such one. No lock. */
const char *apipool_view_pool_name(const apipool_segment_t *segment, apr_uint32_t pool);
const char *apipool_view_upstream_name(const apipool_segment_t *segment, apr_uint32_t group);

/** The first group of a pool from that index on, configured or not; APIPOOL_NONE: there is none. No lock. */
apr_uint32_t apipool_view_next_upstream(const apipool_segment_t *segment, apr_uint32_t pool,
                                        apr_uint32_t from);

/** The group of an upstream's name in a pool, configured or not; APIPOOL_NONE: there is none. No lock. */
apr_uint32_t apipool_view_find_upstream(const apipool_segment_t *segment, apr_uint32_t pool,
                                        const char *upstream);

/** Adds up the attempts by rule of a pool's groups. */
apr_status_t apipool_view_rules(apipool_segment_t *segment, apr_uint32_t pool,
                                apr_uint64_t counts[APIPOOL_RULE_COUNT]);

/* What of its texts is copied with a row. */
#define APIPOOL_VIEW_MASKED  1
#define APIPOOL_VIEW_LABEL   2
#define APIPOOL_VIEW_ACCOUNT 4

/* Which keys, and what of them. */
typedef struct {
    apr_uint32_t pool;
    apr_uint32_t group;       /* of that one alone; APIPOOL_NONE: of all */
    unsigned states;          /* 1 << state of each wanted one; 0: any */
    unsigned texts;           /* APIPOOL_VIEW_... */
    apipool_key_sort_e value; /* what is to be sorted by; of a text or an id there is no value */
    apr_time_t now;
} apipool_view_wanted_t;

/* A key as far as filters and sorting go. */
typedef struct {
    apr_uint64_t id;
    apr_uint32_t slot, group;
    double value; /* NaN: not known */
    char masked[APIPOOL_MASKED_SIZE];
    char label[APIPOOL_LABEL_MAX + 1], account[APIPOOL_ACCOUNT_MAX + 1];
} apipool_view_row_t;

#define APIPOOL_VIEW_BATCH 128 /* slots that are looked at under the lock at a time */

/**
 * Copies the wanted keys of the next slots. A key that is added meanwhile may be missed, none is told twice.
 * @param from  where to begin, 0 at first; set to where to go on, APIPOOL_NONE at the end
 * @param rows  result, room for APIPOOL_VIEW_BATCH
 * @param count how many there are; 0 does not mean the end
 */
apr_status_t apipool_view_rows(apipool_segment_t *segment, const apipool_view_wanted_t *wanted,
                               apr_uint32_t *from, apipool_view_row_t *rows, apr_uint32_t *count);

/* All of a key but the key. */
typedef struct {
    int found;
    apr_uint32_t group;
    apipool_key_info_t info; /* upstream, label and account are not set */
    char label[APIPOOL_LABEL_MAX + 1], account[APIPOOL_ACCOUNT_MAX + 1];
} apipool_view_key_t;

/**
 * Copies keys of a pool by id. O(1) each.
 * @param slots where they were last seen; NULL: nobody knows
 * @param keys  result, room for count
 */
apr_status_t apipool_view_keys(apipool_segment_t *segment, apr_uint32_t pool,
                               const apr_uint64_t *ids, const apr_uint32_t *slots,
                               apr_uint32_t count, apr_time_t now, apipool_view_key_t *keys);

/**
 * Copies a whole key.
 * @param secret result: its key, len and id alone; wipe it with apipool_lease_wipe
 * @return APR_NOTFOUND when the pool has it not
 */
apr_status_t apipool_view_secret(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t id,
                                 apipool_lease_t *secret);

#endif
