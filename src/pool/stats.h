/* SPDX-License-Identifier: Apache-2.0
 * What is counted of the requests of clients: by pool, client and model, over time, and one by one. */
#ifndef APIPOOL_POOL_STATS_H
#define APIPOOL_POOL_STATS_H

#include "client.h"
#include "counters.h"
#include "segment.h"
#include "series.h"
#include "verdict.h"

/* Takes the segment's lock, unless the name says otherwise; callers hold none then. */

/* A request that is over. */
typedef struct {
    apipool_recent_entry_t entry;
    apr_uint32_t group; /* of its last attempt, or APIPOOL_NONE */
    apr_uint32_t rule;  /* the last verdict, R14 and R15 included; R00 where there was none */
    apipool_finished_t finished;
    apipool_name_t client, model; /* empty where there is none */
    apipool_client_used_t used;   /* of a client with a client key */
} apipool_request_stats_t;

/** Counts a request everywhere it belongs. */
apr_status_t apipool_stats_record(apipool_segment_t *segment, const apipool_request_stats_t *stats,
                                  apr_time_t now);
void apipool_stats_record_locked(apipool_segment_t *segment, const apipool_request_stats_t *stats,
                                 apr_time_t now);

/**
 * The most tokens that an answer of a model had in this hour or the last one, in one pool; where there was
 * none, an answer of any model. 0: there was none at all. O(1); no lock, as nothing but a number is read.
 * @param model NULL: of any
 */
apr_uint32_t apipool_stats_largest_answer(const apipool_segment_t *segment, apr_uint32_t pool,
                                          const char *model, apr_time_t now);

/* Numbers of one pool. */
typedef struct {
    apipool_counters_snapshot_t numbers;
    apipool_histogram_snapshot_t duration, first_byte;
    apr_uint64_t endings[APIPOOL_ENDINGS];     /* of requests that no upstream was asked about */
    apr_uint64_t refusals[APIPOOL_RULE_COUNT]; /* of these, by rule */
} apipool_pool_snapshot_t;

apr_status_t apipool_stats_pool(apipool_segment_t *segment, apr_uint32_t pool, apr_time_t now,
                                apipool_pool_snapshot_t *snapshot);

/** The history of one pool; see apipool_series_read_locked. *got is how many points there are. */
apr_status_t apipool_stats_series(apipool_segment_t *segment, apr_uint32_t pool,
                                  apipool_series_step_e step, apr_time_t now,
                                  apipool_series_point_t *points, int count, int *got);

#endif
