/* SPDX-License-Identifier: Apache-2.0
 * What is told of the past: history, models and rules of a pool, and the last requests. */
#include "manage.h"

#include <apr_strings.h>
#include <stdlib.h>

#include "lasting.h"
#include "stats.h"
#include "view.h"

#define MINUTES       60
#define HOURS         24
#define NAMES_BATCH   16
#define RECENT_BATCH  32
#define RECENT_EXPECT 64 /* requests that room is made for at first */

apr_status_t apipool_manage_series(apr_uint32_t pool, int by_hour, apr_pool_t *p,
                                   apr_array_header_t **points)
{
    apipool_series_point_t read[MINUTES];
    int count;
    *points = apr_array_make(p, by_hour ? HOURS : MINUTES, sizeof(apipool_point_t));
    apr_status_t rv =
        apipool_stats_series(apipool_lasting_segment(), pool,
                             by_hour ? APIPOOL_SERIES_BY_HOUR : APIPOOL_SERIES_BY_MINUTE,
                             apr_time_now(), read, by_hour ? HOURS : MINUTES, &count);
    for (int i = 0; rv == APR_SUCCESS && i < count; i++) {
        apipool_point_t *point = apr_array_push(*points);
        point->at = read[i].at;
        point->requests = read[i].requests;
        point->errors = read[i].errors;
        point->prompt = read[i].prompt;
        point->completion = read[i].completion;
        point->first_byte_ms = apipool_series_mean_ms(read[i].first_byte, read[i].begun);
        point->latency_ms = apipool_series_mean_ms(read[i].latency, read[i].timed);
    }
    return rv;
}

static int by_tokens(const void *a, const void *b)
{
    const apipool_named_info_t *first = a, *second = b;
    apr_uint64_t left = first->numbers.total, right = second->numbers.total;
    return left != right ? (left < right) - (left > right) : strcmp(first->name, second->name);
}

apr_status_t apipool_manage_models(apr_uint32_t pool, apr_pool_t *p, apr_array_header_t **models)
{
    apipool_segment_t *segment = apipool_lasting_segment();
    apipool_names_row_t rows[NAMES_BATCH];
    apr_uint32_t place = 0, places = apipool_names_places(&segment->names);
    *models = apr_array_make(p, NAMES_BATCH, sizeof(apipool_named_info_t));
    while (place < places) {
        apr_status_t rv = apipool_segment_lock(segment);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        apr_uint32_t count = apipool_names_read_locked(&segment->names, pool, apr_time_now(),
                                                       &place, rows, NAMES_BATCH);
        apipool_segment_unlock(segment);
        for (apr_uint32_t i = 0; i < count; i++) {
            if (rows[i].kind == APIPOOL_NAMED_MODEL) {
                apipool_named_info_t *model = apr_array_push(*models);
                model->name = apr_pstrdup(p, rows[i].text);
                model->numbers = rows[i].numbers;
            }
        }
    }
    qsort((*models)->elts, (size_t)(*models)->nelts, sizeof(apipool_named_info_t), by_tokens);
    return APR_SUCCESS;
}

apr_status_t apipool_manage_rules(apr_uint32_t pool, apr_pool_t *p, apr_array_header_t **rules)
{
    apipool_segment_t *segment = apipool_lasting_segment();
    apipool_pool_snapshot_t stats;
    apr_uint64_t counts[APIPOOL_RULE_COUNT];
    *rules = apr_array_make(p, APIPOOL_RULE_COUNT, sizeof(apipool_rule_info_t));
    apr_status_t rv = apipool_stats_pool(segment, pool, apr_time_now(), &stats);
    if (rv == APR_SUCCESS) {
        rv = apipool_view_rules(segment, pool, counts);
    }
    for (int i = 0; rv == APR_SUCCESS && i < APIPOOL_RULE_COUNT; i++) {
        apr_uint64_t count = counts[i] + (i != APIPOOL_R00 ? stats.refusals[i] : 0);
        if (count) {
            apipool_rule_info_t *rule = apr_array_push(*rules);
            rule->rule = apipool_rule_name((apipool_rule_e)i);
            rule->attempts = count;
        }
    }
    return rv;
}

static apr_array_header_t *attempts_of(const apipool_recent_entry_t *entry, apr_pool_t *p)
{
    apipool_segment_t *segment = apipool_lasting_segment();
    apr_uint32_t kept = entry->attempt_count < APIPOOL_RECENT_ATTEMPTS ? entry->attempt_count
                                                                       : APIPOOL_RECENT_ATTEMPTS;
    apr_array_header_t *attempts = apr_array_make(p, (int)kept, sizeof(apipool_attempt_info_t));
    for (apr_uint32_t i = 0; i < kept; i++) {
        const apipool_recent_attempt_t *attempt = &entry->attempts[i];
        apipool_attempt_info_t *info = apr_array_push(attempts);
        info->key = attempt->key;
        info->upstream = apipool_view_group_name(segment, attempt->group);
        info->rule = attempt->rule < APIPOOL_RULE_COUNT
                         ? apipool_rule_name((apipool_rule_e)attempt->rule)
                         : "";
    }
    return attempts;
}

static double milliseconds(apr_interval_time_t time)
{
    return time >= 0 ? (double)time / 1000 : -1;
}

static void add_request(const apipool_recent_entry_t *entry, apr_array_header_t *requests)
{
    apr_pool_t *p = requests->pool;
    apipool_request_info_t *info = apr_array_push(requests);
    info->number = entry->number;
    info->at = entry->at;
    info->pool = apipool_view_pool_name(apipool_lasting_segment(), entry->pool);
    info->client = apr_pstrdup(p, entry->client);
    info->model = apr_pstrdup(p, entry->model);
    info->endpoint = apr_pstrdup(p, entry->endpoint);
    info->key = entry->key;
    info->attempt_count = entry->attempt_count;
    info->attempts = attempts_of(entry, p);
    info->status = entry->status;
    info->outcome = apipool_ending_name((apipool_ending_e)entry->ending);
    info->usage = apipool_tokens_name((apipool_tokens_e)entry->usage);
    info->streamed = entry->streamed;
    info->tokens = entry->tokens;
    info->first_byte_ms = milliseconds(entry->first_byte);
    info->total_ms = milliseconds(entry->total);
}

static int is_one_of(apr_uint32_t pool, const apr_uint32_t *pools, int count)
{
    while (count-- > 0) {
        if (pools[count] == pool) {
            return 1;
        }
    }
    return 0;
}

/* Requests that end meanwhile move the others on in the ring: what has been told is not told again. */
apr_status_t apipool_manage_requests(const apr_uint32_t *pools, int count, apr_uint32_t limit,
                                     apr_pool_t *p, apr_array_header_t **requests)
{
    apipool_segment_t *segment = apipool_lasting_segment();
    apipool_recent_entry_t *batch = apr_palloc(p, RECENT_BATCH * sizeof(*batch));
    apr_uint64_t before = APR_UINT64_MAX;
    apr_uint32_t offset = 0, read;
    *requests = apr_array_make(p, RECENT_EXPECT, sizeof(apipool_request_info_t));
    do {
        apr_status_t rv = apipool_segment_lock(segment);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        read = apipool_recent_read_locked(&segment->recent, offset, RECENT_BATCH, batch);
        apipool_segment_unlock(segment);
        for (apr_uint32_t i = 0; i < read && (apr_uint32_t)(*requests)->nelts < limit; i++) {
            if (batch[i].number < before && is_one_of(batch[i].pool, pools, count)) {
                add_request(&batch[i], *requests);
            }
            before = batch[i].number < before ? batch[i].number : before;
        }
        offset += read;
    } while (read && (apr_uint32_t)(*requests)->nelts < limit);
    return APR_SUCCESS;
}
