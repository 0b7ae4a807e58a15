/* SPDX-License-Identifier: Apache-2.0
 * Routes: the history of a pool, and the last requests. */
#include "admin.h"

#include "render.h"

#define REQUESTS_DEFAULT 100
#define REQUESTS_MAX     1000

static const char *const ranges[] = {"1h", "24h"};

static json_t *point_objects(const apr_array_header_t *points)
{
    json_t *array = json_array();
    for (int i = 0; i < points->nelts; i++) {
        const apipool_point_t *point = &APR_ARRAY_IDX(points, i, apipool_point_t);
        json_array_append_new(
            array, json_pack("{s:o,s:I,s:I,s:I,s:I,s:o,s:o}", "t", apipool_render_time(point->at),
                             "requests", (json_int_t)point->requests, "errors",
                             (json_int_t)point->errors, "prompt_tokens", (json_int_t)point->prompt,
                             "completion_tokens", (json_int_t)point->completion, "ttft_ms",
                             apipool_render_real(point->first_byte_ms), "latency_ms",
                             apipool_render_real(point->latency_ms)));
    }
    return array;
}

static json_t *model_objects(const apr_array_header_t *models)
{
    json_t *array = json_array();
    for (int i = 0; i < models->nelts; i++) {
        const apipool_named_info_t *model = &APR_ARRAY_IDX(models, i, apipool_named_info_t);
        json_array_append_new(array, json_pack("{s:o,s:I,s:I,s:I}", "model",
                                               apipool_render_text(model->name), "requests",
                                               (json_int_t)model->numbers.requests, "errors",
                                               (json_int_t)model->numbers.errors, "total_tokens",
                                               (json_int_t)model->numbers.total));
    }
    return array;
}

static json_t *rule_objects(const apr_array_header_t *rules)
{
    json_t *array = json_array();
    for (int i = 0; i < rules->nelts; i++) {
        const apipool_rule_info_t *rule = &APR_ARRAY_IDX(rules, i, apipool_rule_info_t);
        json_array_append_new(array, json_pack("{s:s,s:I}", "rule", rule->rule, "attempts",
                                               (json_int_t)rule->attempts));
    }
    return array;
}

/* How fast it goes now: the same numbers as the pool's own. */
static apr_status_t add_rates(const apipool_ask_t *ask, json_t *object)
{
    apipool_pool_info_t info;
    apr_status_t rv = apipool_admin_api->pool(ask->r->server, ask->pool, ask->r->pool, &info);
    if (rv == APR_SUCCESS) {
        json_object_set_new(object, "rpm", apipool_render_number(info.numbers.rpm));
        json_object_set_new(object, "rpd", apipool_render_number(info.numbers.rpd));
        json_object_set_new(object, "tpm", apipool_render_number(info.numbers.tpm));
        json_object_set_new(object, "tpd", apipool_render_number(info.numbers.tpd));
        json_object_set_new(object, "in_flight", json_integer(info.in_flight));
    }
    return rv;
}

int apipool_admin_stats_show(apipool_ask_t *ask)
{
    request_rec *r = ask->r;
    apipool_query_t query;
    apipool_flaw_t flaw;
    apr_array_header_t *points, *models, *rules;
    apipool_query_open(&query, r->pool, r->args, &flaw);
    int by_hour = apipool_query_choice(&query, "range", ranges, 2, 0);
    if (!apipool_query_close(&query)) {
        return apipool_admin_refuse(r, &flaw);
    }
    apr_status_t rv = apipool_admin_api->series(ask->pool, by_hour, r->pool, &points);
    if (rv == APR_SUCCESS) {
        rv = apipool_admin_api->models(ask->pool, r->pool, &models);
    }
    if (rv == APR_SUCCESS) {
        rv = apipool_admin_api->rules(ask->pool, r->pool, &rules);
    }
    json_t *object = json_pack("{s:s,s:i}", "range", ranges[by_hour], "step", by_hour ? 3600 : 60);
    if (rv == APR_SUCCESS) {
        rv = add_rates(ask, object);
    }
    if (rv != APR_SUCCESS) {
        json_decref(object);
        return apipool_admin_failed(r, rv, "statistics cannot be shown", NULL);
    }
    json_object_set_new(object, "series", point_objects(points));
    json_object_set_new(object, "models", model_objects(models));
    json_object_set_new(object, "rules", rule_objects(rules));
    return apipool_admin_reply(r, HTTP_OK, object);
}

static json_t *attempt_objects(const apr_array_header_t *attempts)
{
    json_t *array = json_array();
    for (int i = 0; attempts && i < attempts->nelts; i++) {
        const apipool_attempt_info_t *a = &APR_ARRAY_IDX(attempts, i, apipool_attempt_info_t);
        json_array_append_new(array, json_pack("{s:o,s:o,s:o}", "key", apipool_render_id(a->key),
                                               "upstream", apipool_render_text(a->upstream), "rule",
                                               apipool_render_text(a->rule)));
    }
    return array;
}

static json_t *request_object(const apipool_request_info_t *q)
{
    json_t *object =
        json_pack("{s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:I,s:o}", "number", (json_int_t)q->number, "at",
                  apipool_render_time(q->at), "pool", apipool_render_text(q->pool), "client",
                  apipool_render_text(q->client), "model", apipool_render_text(q->model),
                  "endpoint", apipool_render_text(q->endpoint), "key", apipool_render_id(q->key),
                  "attempts", (json_int_t)q->attempt_count, "tried", attempt_objects(q->attempts));
    json_object_set_new(object, "status", q->status ? json_integer(q->status) : json_null());
    json_object_set_new(object, "outcome", apipool_render_text(q->outcome));
    json_object_set_new(object, "usage", apipool_render_text(q->usage));
    json_object_set_new(object, "streamed", json_boolean(q->streamed));
    json_object_set_new(object, "prompt_tokens", apipool_render_number(q->tokens.prompt));
    json_object_set_new(object, "completion_tokens", apipool_render_number(q->tokens.completion));
    json_object_set_new(object, "cached_tokens", apipool_render_number(q->tokens.cached));
    json_object_set_new(object, "total_tokens", apipool_render_number(q->tokens.total));
    json_object_set_new(object, "ttft_ms", apipool_render_real(q->first_byte_ms));
    json_object_set_new(object, "latency_ms", apipool_render_real(q->total_ms));
    return object;
}

/* The indices of the pools that are asked for; NULL where the one that was named is not to be seen. */
static const apr_uint32_t *choose(const apipool_ask_t *ask, const char *name, int *count)
{
    const apr_array_header_t *pools = apipool_admin_pools(ask);
    apr_uint32_t *chosen =
        apr_palloc(ask->r->pool, sizeof(*chosen) * (apr_size_t)(pools->nelts + 1));
    *count = 0;
    for (int i = 0; i < pools->nelts; i++) {
        const apipool_pool_info_t *pool = &APR_ARRAY_IDX(pools, i, apipool_pool_info_t);
        if (!name || !strcmp(pool->name, name)) {
            chosen[(*count)++] = pool->index;
        }
    }
    return name && !*count ? NULL : chosen;
}

int apipool_admin_requests_list(apipool_ask_t *ask)
{
    request_rec *r = ask->r;
    apipool_query_t query;
    apipool_flaw_t flaw;
    apr_array_header_t *requests;
    int count;
    apipool_query_open(&query, r->pool, r->args, &flaw);
    const char *name = apipool_query_string(&query, "pool", 255);
    apr_int64_t limit = apipool_query_integer(&query, "limit", 1, REQUESTS_MAX, REQUESTS_DEFAULT);
    if (!apipool_query_close(&query)) {
        return apipool_admin_refuse(r, &flaw);
    }
    const apr_uint32_t *pools = choose(ask, name, &count);
    if (!pools) {
        return apipool_admin_error(r, HTTP_NOT_FOUND, "pool_not_found", "There is no such pool.");
    }
    apr_status_t rv =
        apipool_admin_api->requests(pools, count, (apr_uint32_t)limit, r->pool, &requests);
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(r, rv, "requests cannot be listed", NULL);
    }
    json_t *array = json_array();
    for (int i = 0; i < requests->nelts; i++) {
        json_array_append_new(array,
                              request_object(&APR_ARRAY_IDX(requests, i, apipool_request_info_t)));
    }
    return apipool_admin_reply(r, HTTP_OK, json_pack("{s:o}", "requests", array));
}
