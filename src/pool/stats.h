/* SPDX-License-Identifier: Apache-2.0
 * Statistics of requests: by pool, client and model, over time, and one by one. */
#ifndef APIPOOL_POOL_STATS_H
#define APIPOOL_POOL_STATS_H

#include "client.h"
#include "counters.h"
#include "segment.h"
#include "series.h"
#include "verdict.h"

/* Functions take the segment's lock unless their name ends with "locked"; other callers hold
 * none. */

/* Finished request. */
typedef struct {
    apipool_recent_entry_t entry;
    apr_uint32_t upstream; /* of the last attempt, or APIPOOL_NONE */
    apr_uint32_t rule;     /* of the last verdict, including R14 and R15; R00 without one */
    apipool_finished_t finished;
    apipool_name_t client, model; /* empty where there is none */
    apipool_client_used_t used;   /* of a client with a client key */
} apipool_request_stats_t;

/** Counts a request in all statistics. */
apr_status_t apipool_stats_record(apipool_segment_t *segment, const apipool_request_stats_t *stats,
                                  apr_time_t now);
void apipool_stats_record_locked(apipool_segment_t *segment, const apipool_request_stats_t *stats,
                                 apr_time_t now);

/**
 * Largest answer of a model in this hour or the last one in a pool, in tokens; if there was
 * none, of any model. 0: no answers. O(1). No lock: one number is read.
 * @param model NULL: any
 */
apr_uint32_t apipool_stats_largest_answer(const apipool_segment_t *segment, apr_uint32_t pool,
                                          const char *model, apr_time_t now);

/* Statistics of one pool. */
typedef struct {
    apipool_counters_snapshot_t counters;
    apipool_histogram_snapshot_t duration, first_byte;
    apr_uint64_t endings[APIPOOL_ENDINGS];     /* requests for which no upstream was asked */
    apr_uint64_t refusals[APIPOOL_RULE_COUNT]; /* the same, by rule */
    apr_uint64_t kinds[APIPOOL_KINDS];         /* all requests, by kind */
} apipool_pool_snapshot_t;

apr_status_t apipool_stats_pool(apipool_segment_t *segment, apr_uint32_t pool, apr_time_t now,
                                apipool_pool_snapshot_t *snapshot);

/** History of one pool; see apipool_series_read_locked. *got is the number of points. */
apr_status_t apipool_stats_series(apipool_segment_t *segment, apr_uint32_t pool,
                                  apipool_series_step_e step, apr_time_t now,
                                  apipool_series_point_t *points, int count, int *got);

#endif
