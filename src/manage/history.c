/* SPDX-License-Identifier: Apache-2.0
 * Statistics of a pool in the operator's API: history, models and rules; and the last requests. */
#include "manage.h"

#include <apr_strings.h>
#include <stdlib.h>

#include "configured.h"
#include "lifecycle.h"
#include "render.h"
#include "stats.h"
#include "view.h"

#define MINUTES      60
#define HOURS        24
#define NAMES_BATCH  16
#define RECENT_BATCH 32

static json_t *render_kinds(const apipool_series_point_t *point)
{
    apr_uint64_t others = point->errors > point->of_keys ? point->errors - point->of_keys : 0;
    return json_pack("{s:I,s:I,s:I}", "client", (json_int_t)point->of_clients, "key",
                     (json_int_t)point->of_keys, "upstream", (json_int_t)others);
}

/* Sums up the range in sum. */
static apr_status_t render_series(apr_uint32_t pool, int by_hour, apr_time_t now, json_t *array,
                                  apipool_series_point_t *sum)
{
    apipool_series_point_t points[MINUTES];
    int count = 0;
    apr_status_t rv =
        apipool_stats_series(apipool_lifecycle_segment(), pool,
                             by_hour ? APIPOOL_SERIES_BY_HOUR : APIPOOL_SERIES_BY_MINUTE, now,
                             points, by_hour ? HOURS : MINUTES, &count);
    for (int i = 0; rv == APR_SUCCESS && i < count; i++) {
        const apipool_series_point_t *point = &points[i];
        sum->requests += point->requests;
        sum->errors += point->errors;
        sum->of_clients += point->of_clients;
        sum->of_keys += point->of_keys;
        json_array_append_new(
            array,
            json_pack("{s:o,s:I,s:I,s:o,s:I,s:I,s:o,s:o}", "t", apipool_render_time(point->at),
                      "requests", (json_int_t)point->requests, "errors", (json_int_t)point->errors,
                      "kinds", render_kinds(point), "prompt_tokens", (json_int_t)point->prompt,
                      "completion_tokens", (json_int_t)point->completion, "ttft_ms",
                      apipool_render_real(apipool_series_mean_ms(point->first_byte, point->begun)),
                      "latency_ms",
                      apipool_render_real(apipool_series_mean_ms(point->latency, point->timed))));
    }
    return rv;
}

typedef struct {
    const char *name;
    apipool_counters_snapshot_t counters;
} model_t;

static int by_tokens(const void *a, const void *b)
{
    const model_t *first = a, *second = b;
    apr_uint64_t left = first->counters.total, right = second->counters.total;
    if (left == right) { /* as where nobody reports any */
        left = first->counters.estimated;
        right = second->counters.estimated;
    }
    return left != right ? (left < right) - (left > right) : strcmp(first->name, second->name);
}

static apr_status_t read_models(apr_uint32_t pool, apr_time_t now, apr_array_header_t *models)
{
    apipool_segment_t *segment = apipool_lifecycle_segment();
    apipool_names_row_t rows[NAMES_BATCH];
    apr_uint32_t place = 0, places = apipool_names_places(&segment->names);
    while (place < places) {
        apr_status_t rv = apipool_segment_lock(segment);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        apr_uint32_t count =
            apipool_names_read_locked(&segment->names, pool, now, &place, rows, NAMES_BATCH);
        apipool_segment_unlock(segment);
        for (apr_uint32_t i = 0; i < count; i++) {
            if (rows[i].kind == APIPOOL_NAMED_MODEL) {
                APR_ARRAY_PUSH(models, model_t) =
                    (model_t){apr_pstrdup(models->pool, rows[i].text), rows[i].counters};
            }
        }
    }
    qsort(models->elts, (size_t)models->nelts, sizeof(model_t), by_tokens);
    return APR_SUCCESS;
}

static apr_status_t render_models(apr_uint32_t pool, apr_time_t now, apr_pool_t *p, json_t *array)
{
    apr_array_header_t *models = apr_array_make(p, NAMES_BATCH, sizeof(model_t));
    apr_status_t rv = read_models(pool, now, models);
    for (int i = 0; rv == APR_SUCCESS && i < models->nelts; i++) {
        const model_t *model = &APR_ARRAY_IDX(models, i, model_t);
        const apipool_counters_snapshot_t *counters = &model->counters;
        json_array_append_new(array, json_pack("{s:o,s:I,s:I,s:I,s:I}", "model",
                                               apipool_render_text(model->name), "requests",
                                               (json_int_t)counters->requests, "errors",
                                               (json_int_t)counters->errors, "total_tokens",
                                               (json_int_t)counters->total, "estimated_tokens",
                                               (json_int_t)counters->estimated));
    }
    return rv;
}

/* Counts attempts; for rules without an attempt, requests. */
static apr_status_t render_rules(apr_uint32_t pool, const apipool_pool_snapshot_t *stats,
                                 json_t *array)
{
    apr_uint64_t counts[APIPOOL_RULE_COUNT];
    apr_status_t rv = apipool_view_rules(apipool_lifecycle_segment(), pool, counts);
    for (int i = 0; rv == APR_SUCCESS && i < APIPOOL_RULE_COUNT; i++) {
        apr_uint64_t count = counts[i] + (i != APIPOOL_RULE_SUCCESS ? stats->refusals[i] : 0);
        if (count) {
            json_array_append_new(array, json_pack("{s:s,s:I}", "rule",
                                                   apipool_rule_name((apipool_rule_e)i), "attempts",
                                                   (json_int_t)count));
        }
    }
    return rv;
}

apr_status_t apipool_manage_stats(apr_uint32_t pool, int by_hour, apr_pool_t *p, json_t **result)
{
    apr_time_t now = apr_time_now();
    apipool_pool_snapshot_t stats;
    apipool_totals_t sum;
    apr_status_t rv = apipool_stats_pool(apipool_lifecycle_segment(), pool, now, &stats);
    if (rv == APR_SUCCESS) {
        rv = apipool_manage_totals(pool, now, &sum, NULL);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    json_t *series = json_array(), *models = json_array(), *rules = json_array();
    *result = json_pack("{s:s,s:i}", "range", by_hour ? "24h" : "1h", "step", by_hour ? 3600 : 60);
    apipool_render_rates(*result, &stats.counters);
    apipool_render_add(*result,
                       json_pack("{s:I,s:o,s:o,s:o}", "in_flight", (json_int_t)sum.in_flight,
                                 "series", series, "models", models, "rules", rules));
    apipool_series_point_t range = {.at = now};
    rv = render_series(pool, by_hour, now, series, &range);
    apipool_render_add(
        *result, json_pack("{s:I,s:I,s:o,s:o}", "requests", (json_int_t)range.requests, "errors",
                           (json_int_t)range.errors, "kinds", render_kinds(&range), "success_rate",
                           apipool_render_real(apipool_series_success_rate(&range))));
    rv = rv == APR_SUCCESS ? render_models(pool, now, p, models) : rv;
    rv = rv == APR_SUCCESS ? render_rules(pool, &stats, rules) : rv;
    if (rv != APR_SUCCESS) {
        json_decref(*result);
    }
    return rv;
}

static json_t *attempts_of(const apipool_recent_entry_t *entry)
{
    apipool_segment_t *segment = apipool_lifecycle_segment();
    json_t *array = json_array();
    for (apr_uint32_t i = 0; i < entry->attempt_count && i < APIPOOL_RECENT_ATTEMPTS; i++) {
        const apipool_recent_attempt_t *attempt = &entry->attempts[i];
        const char *rule = attempt->rule < APIPOOL_RULE_COUNT
                               ? apipool_rule_name((apipool_rule_e)attempt->rule)
                               : "";
        json_array_append_new(
            array,
            json_pack("{s:o,s:o,s:o,s:o}", "key", apipool_render_id(attempt->key), "upstream",
                      apipool_render_text(apipool_view_upstream_name(segment, attempt->upstream)),
                      "rule", apipool_render_text(rule), "vendor",
                      apipool_render_vendor(attempt->status, apipool_recent_words(entry, i))));
    }
    return array;
}

static double milliseconds(apr_interval_time_t time)
{
    return time >= 0 ? (double)time / 1000 : -1;
}

static json_t *request_of(const apipool_recent_entry_t *q)
{
    json_t *object =
        json_pack("{s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:I,s:o}", "number", (json_int_t)q->number, "at",
                  apipool_render_time(q->at), "pool",
                  apipool_render_text(apipool_view_pool_name(apipool_lifecycle_segment(), q->pool)),
                  "client", apipool_render_text(q->client), "model", apipool_render_text(q->model),
                  "endpoint", apipool_render_text(q->endpoint), "key", apipool_render_id(q->key),
                  "attempts", (json_int_t)q->attempt_count, "tried", attempts_of(q));
    apipool_render_add(
        object,
        json_pack("{s:o,s:o,s:o,s:o,s:b,s:o,s:o,s:o,s:o,s:o,s:o}", "fault",
                  apipool_render_text(apipool_kind_name((apipool_kind_e)q->kind)), "status",
                  q->status ? json_integer(q->status) : json_null(), "outcome",
                  apipool_render_text(apipool_ending_name((apipool_ending_e)q->ending)), "usage",
                  apipool_render_text(apipool_tokens_name((apipool_tokens_e)q->usage)), "streamed",
                  q->streamed, "prompt_tokens", apipool_render_number(q->tokens.prompt),
                  "completion_tokens", apipool_render_number(q->tokens.completion), "cached_tokens",
                  apipool_render_number(q->tokens.cached), "total_tokens",
                  apipool_render_number(q->tokens.total), "ttft_ms",
                  apipool_render_real(milliseconds(q->first_byte)), "latency_ms",
                  apipool_render_real(milliseconds(q->total))));
    return object;
}

static int is_one_of(apr_uint32_t pool, const apr_array_header_t *pools)
{
    for (int i = 0; i < pools->nelts; i++) {
        if (APR_ARRAY_IDX(pools, i, apipool_pool_info_t).index == pool) {
            return 1;
        }
    }
    return 0;
}

typedef struct {
    apr_time_t at;
    apr_uint64_t number;
    json_t *object;
} listed_t;

/* The one that arrived last is first. */
static int by_arrival(const void *a, const void *b)
{
    const listed_t *first = a, *second = b;
    return first->at != second->at
               ? (first->at < second->at) - (first->at > second->at)
               : (first->number < second->number) - (first->number > second->number);
}

static json_t *in_order(apr_array_header_t *listed)
{
    json_t *array = json_array();
    qsort(listed->elts, (size_t)listed->nelts, sizeof(listed_t), by_arrival);
    for (int i = 0; i < listed->nelts; i++) {
        json_array_append_new(array, APR_ARRAY_IDX(listed, i, listed_t).object);
    }
    return array;
}

/* The ring has requests as they ended. Those that end meanwhile shift the others in it; entries
 * already returned are skipped. */
apr_status_t apipool_manage_requests(const apr_array_header_t *pools, apr_uint32_t limit,
                                     apr_pool_t *p, json_t **result)
{
    apipool_segment_t *segment = apipool_lifecycle_segment();
    apipool_recent_entry_t *batch = apr_palloc(p, RECENT_BATCH * sizeof(*batch));
    apr_uint64_t before = APR_UINT64_MAX;
    apr_uint32_t offset = 0, read;
    apr_array_header_t *listed = apr_array_make(p, RECENT_BATCH, sizeof(listed_t));
    do {
        apr_status_t rv = apipool_segment_lock(segment);
        if (rv != APR_SUCCESS) {
            json_decref(in_order(listed));
            return rv;
        }
        read = apipool_recent_read_locked(&segment->recent, offset, RECENT_BATCH, batch);
        apipool_segment_unlock(segment);
        for (apr_uint32_t i = 0; i < read && (apr_uint32_t)listed->nelts < limit; i++) {
            if (batch[i].number < before && is_one_of(batch[i].pool, pools)) {
                APR_ARRAY_PUSH(listed, listed_t) =
                    (listed_t){batch[i].at, batch[i].number, request_of(&batch[i])};
            }
            before = batch[i].number < before ? batch[i].number : before;
        }
        offset += read;
    } while (read && (apr_uint32_t)listed->nelts < limit);
    *result = in_order(listed);
    return APR_SUCCESS;
}
