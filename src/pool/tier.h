/* SPDX-License-Identifier: Apache-2.0
 * Priority tier: the upstreams of one priority, and the choice of a key among them. */
#ifndef APIPOOL_POOL_TIER_H
#define APIPOOL_POOL_TIER_H

#include "pool.h"
#include "segment_layout.h"

#define APIPOOL_SKIPPED_MAX 128

/* Keys of one upstream within the tier. */
typedef struct {
    const apipool_source_t *source;
    apipool_upstream_t *upstream;
    apr_uint32_t model_slot;
    apr_uint32_t offset;     /* its first position */
    int closed;              /* its keys keep their positions, but are not free */
    apr_time_t paused_until; /* 0: not paused */
} apipool_part_t;

/* The keys of all upstreams of one priority form a row of positions, each upstream's by list
 * index. Lives for one acquire. Private to src/memory and src/pool; the caller holds the
 * segment's lock. */
typedef struct {
    apipool_segment_t *segment;
    const apipool_lend_request_t *request;
    apipool_pool_t *pool;
    apr_time_t now;
    apipool_part_t parts[APIPOOL_UPSTREAMS_PER_POOL];
    int count;
    apr_uint32_t total;                        /* number of positions */
    apr_uint32_t usable;                       /* keys, ignoring cooldowns for single models */
    apr_uint32_t skipped[APIPOOL_SKIPPED_MAX]; /* not enough tokens left */
    int skipped_count;
    int last_resort; /* set before it is opened: upstreams that reject every key are asked, too */
} apipool_tier_t;

/* Why no key was found so far, over all tiers. */
typedef struct {
    apr_time_t retry_at; /* 0: no key becomes usable by the clock */
    int tried, cooling, busy, paused;
    int avoided; /* an upstream that rejects every key was not asked */
    int more;    /* the search was interrupted to let others have the lock */
} apipool_why_not_t;

/** Opens the tier that begins at sources[*next], and moves *next behind it. why_not notes whether
 *  an upstream is avoided. */
void apipool_tier_open_locked(apipool_tier_t *tier, apipool_segment_t *segment,
                              const apipool_lend_request_t *request, apr_time_t now, int *next,
                              apipool_why_not_t *why_not);

/** Makes a tier of one paused part alone, with its keys free, for a request that looks only. The
 *  request must outlive it. */
void apipool_tier_resume_locked(apipool_tier_t *alone, const apipool_tier_t *tier,
                                const apipool_part_t *part, const apipool_lend_request_t *request);

/** Notes when a paused upstream can serve again.
 *  @param alone its resumed tier, in which a key was looked for
 *  @param found 1 if there is one
 *  @param skipped when the first key that was skipped is usable, 0: none was */
void apipool_tier_note_pause_locked(const apipool_tier_t *alone, int found, apr_time_t skipped,
                                    apipool_why_not_t *why_not);

/** Chooses the slot for the request by its strategy, and sets its part; APIPOOL_NONE: none. */
apr_uint32_t apipool_tier_pick_locked(apipool_tier_t *tier, apipool_part_t **part);

/** Facts about a slot of a part that a strategy compares. */
apipool_candidate_t apipool_tier_look_at_locked(const apipool_tier_t *tier, apr_uint32_t index,
                                                const apipool_part_t *part);

/** Notes why the tier has no key. */
void apipool_tier_note_why_not_locked(const apipool_tier_t *tier, apipool_why_not_t *why_not);

/** Notes that a key becomes usable at a time; 0: never. */
void apipool_why_not_note(apipool_why_not_t *why_not, apr_time_t at);

#endif
