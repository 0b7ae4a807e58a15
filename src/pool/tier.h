/* SPDX-License-Identifier: Apache-2.0
 * The upstreams of one priority, and which of their keys a request gets. */
#ifndef APIPOOL_POOL_TIER_H
#define APIPOOL_POOL_TIER_H

#include "pool.h"
#include "segment_layout.h"

#define APIPOOL_SKIPPED_MAX 128

/* One upstream's keys. */
typedef struct {
    const apipool_source_t *source;
    apipool_upstream_t *group;
    apr_uint32_t model_slot;
    apr_uint32_t offset; /* of its first position */
    int closed;          /* left alone for now: its keys keep their positions, and are not free */
} apipool_part_t;

/* The keys of all upstreams of one priority stand in one row of positions, each upstream's by ordinal. Lives
 * for one acquire. Private to src/memory and src/pool; the caller holds the segment's lock. */
typedef struct {
    apipool_segment_t *segment;
    const apipool_lend_request_t *wanted;
    apipool_pool_t *pool;
    apr_time_t now;
    apipool_part_t parts[APIPOOL_UPSTREAMS_PER_POOL];
    int count;
    apr_uint32_t total;                        /* positions */
    apr_uint32_t usable;                       /* keys, but for what single models cool */
    apr_uint32_t skipped[APIPOOL_SKIPPED_MAX]; /* have room, but not for as many tokens */
    int skipped_count;
} apipool_tier_t;

/* Why no key was found so far, over all tiers. */
typedef struct {
    apr_time_t retry_at; /* 0: the clock brings none back */
    int tried, cooling, busy, paused;
    int more; /* the search was broken off to let others have the lock */
} apipool_lack_t;

/** Begins with the upstreams from sources[*next] on; *next moves behind those of the same priority. What
 *  keeps an upstream from being asked is noted in lack. */
void apipool_tier_open_locked(apipool_tier_t *tier, apipool_segment_t *segment,
                              const apipool_lend_request_t *wanted, apr_time_t now, int *next,
                              apipool_lack_t *lack);

/** The slot that the request should get, by its strategy, and which part it belongs to; APIPOOL_NONE. */
apr_uint32_t apipool_tier_pick_locked(apipool_tier_t *tier, apipool_part_t **part);

/** What a strategy has to know of a slot of that part. */
apipool_candidate_t apipool_tier_look_at_locked(const apipool_tier_t *tier, apr_uint32_t index,
                                                const apipool_part_t *part);

/** Notes why there is no key. */
void apipool_tier_note_lack_locked(const apipool_tier_t *tier, apipool_lack_t *lack);

/** Notes that a key comes free then; 0: at no time. */
void apipool_lack_note(apipool_lack_t *lack, apr_time_t at);

#endif
