/* SPDX-License-Identifier: Apache-2.0
 * Statistics of requests: by pool, client and model, over time, and one by one. */
#include "stats.h"

#include <string.h>

#include "fault.h"
#include "segment_layout.h"

/* A request that was not served adds no name: clients may invent model names. */
static void count_named(apipool_segment_t *segment, apr_uint32_t pool, apipool_named_e kind,
                        const apipool_name_t *name, const apipool_finished_t *finished,
                        apr_time_t now)
{
    if (*name->text) {
        apipool_counters_add(
            apipool_names_at_locked(&segment->names, pool, kind, name, finished->success), finished,
            now);
    }
}

void apipool_stats_record_locked(apipool_segment_t *segment, const apipool_request_stats_t *stats,
                                 apr_time_t now)
{
    apr_uint32_t pool = stats->entry.pool;
    apipool_pool_stats_t *of_pool = &segment->stats[pool];

    apipool_counters_add(&of_pool->counters, &stats->finished, now);
    apipool_series_add_locked(&of_pool->series, &stats->finished, now);
    of_pool->kinds[stats->finished.kind]++;
    apipool_histogram_add(&of_pool->duration, stats->finished.latency);
    apipool_histogram_add(&of_pool->first_byte, stats->finished.first_byte);
    if (stats->upstream == APIPOOL_NONE) {
        of_pool->endings[stats->entry.ending]++;
        of_pool->refusals[stats->rule]++;
    }
    else {
        segment->upstreams[stats->upstream].endings[stats->entry.ending]++;
    }
    APIPOOL_FAULT("record-half-counted");
    count_named(segment, pool, APIPOOL_NAMED_CLIENT, &stats->client, &stats->finished, now);
    count_named(segment, pool, APIPOOL_NAMED_MODEL, &stats->model, &stats->finished, now);
    apipool_client_settle_locked(segment, &stats->used, &stats->finished, now);
    apipool_recent_push_locked(&segment->recent, &stats->entry);
    segment->header->updates++;
}

apr_uint32_t apipool_stats_largest_answer(const apipool_segment_t *segment, apr_uint32_t pool,
                                          const char *model, apr_time_t now)
{
    apr_uint32_t largest = 0;
    if (model) {
        apipool_name_t name;
        apipool_name_make(&name, model, strlen(model));
        largest = apipool_counters_largest(
            apipool_names_at_locked(&segment->names, pool, APIPOOL_NAMED_MODEL, &name, 0), now);
    }
    return largest ? largest : apipool_counters_largest(&segment->stats[pool].counters, now);
}

apr_status_t apipool_stats_record(apipool_segment_t *segment, const apipool_request_stats_t *stats,
                                  apr_time_t now)
{
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv == APR_SUCCESS) {
        apipool_stats_record_locked(segment, stats, now);
        apipool_segment_unlock(segment);
    }
    return rv;
}

apr_status_t apipool_stats_pool(apipool_segment_t *segment, apr_uint32_t pool, apr_time_t now,
                                apipool_pool_snapshot_t *snapshot)
{
    const apipool_pool_stats_t *of_pool = &segment->stats[pool];
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv == APR_SUCCESS) {
        apipool_counters_read(&of_pool->counters, now, &snapshot->counters);
        apipool_histogram_read(&of_pool->duration, &snapshot->duration);
        apipool_histogram_read(&of_pool->first_byte, &snapshot->first_byte);
        memcpy(snapshot->endings, of_pool->endings, sizeof(snapshot->endings));
        memcpy(snapshot->refusals, of_pool->refusals, sizeof(snapshot->refusals));
        memcpy(snapshot->kinds, of_pool->kinds, sizeof(snapshot->kinds));
        apipool_segment_unlock(segment);
    }
    return rv;
}

apr_status_t apipool_stats_series(apipool_segment_t *segment, apr_uint32_t pool,
                                  apipool_series_step_e step, apr_time_t now,
                                  apipool_series_point_t *points, int count, int *got)
{
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv == APR_SUCCESS) {
        *got = apipool_series_read_locked(&segment->stats[pool].series, step, now, points, count);
        apipool_segment_unlock(segment);
    }
    return rv;
}
