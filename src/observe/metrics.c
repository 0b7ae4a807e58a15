/* SPDX-License-Identifier: Apache-2.0
 * Metrics in the format of Prometheus. */
#include "metrics.h"

#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <stddef.h>

#include "stats.h"
#include "throttle.h"

#define BATCH 256 /* keys per lock */

/* Names need no escaping in labels; see APIPoolUpstream. */
typedef struct {
    const char *name;
    apipool_pool_snapshot_t stats;
    apr_uint32_t keys[APIPOOL_STATE_COUNT], in_flight; /* of all upstreams */
} pool_t;

typedef struct {
    const char *pool, *name;
    apipool_totals_t totals;
} upstream_t;

typedef struct {
    const char *pool, *upstream;
    char id[APIPOOL_ID_SIZE];
    apipool_key_row_t row;
} shown_key_t;

typedef struct {
    request_rec *r;
    apipool_segment_t *segment;
    apr_time_t now;
    apr_status_t rv;
    apr_array_header_t *upstreams; /* upstream_t; those of one pool in a row */
    apr_array_header_t *pools;     /* pool_t */
    apr_array_header_t *keys;      /* shown_key_t; NULL: not requested */
} survey_t;

/* Takes the lock for a few hundred keys at a time; changes meanwhile may be seen in part. */
static apr_status_t add_keys(survey_t *survey, const upstream_t *upstream, apr_uint32_t index)
{
    apipool_key_row_t *rows = apr_palloc(survey->r->pool, BATCH * sizeof(*rows));
    apr_uint32_t from = 0, count = 0;
    while (from != APIPOOL_NONE) {
        apr_status_t rv = apipool_pool_keys(survey->segment, index, &from, rows, BATCH, &count);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        apipool_segment_give_way(survey->segment);
        for (apr_uint32_t i = 0; i < count; i++) {
            shown_key_t *key = apr_array_push(survey->keys);
            *key = (shown_key_t){upstream->pool, upstream->name, .row = rows[i]};
            apipool_key_id_hex(rows[i].id, key->id);
        }
    }
    return APR_SUCCESS;
}

/* Pool of the upstreams that come now. */
static pool_t *pool_of(survey_t *survey, const char *name, apr_uint32_t index)
{
    int count = survey->pools->nelts;
    pool_t *pool = count ? &APR_ARRAY_IDX(survey->pools, count - 1, pool_t) : NULL;
    if (!pool || strcmp(pool->name, name)) {
        pool = memset(apr_array_push(survey->pools), 0, sizeof(*pool));
        pool->name = name;
        survey->rv =
            survey->rv == APR_SUCCESS
                ? apipool_stats_pool(survey->segment, apipool_pool_of(survey->segment, index),
                                     survey->now, &pool->stats)
                : survey->rv;
        pool->stats.refusals[APIPOOL_RULE_SUCCESS] = 0; /* no key was looked for */
    }
    return pool;
}

static void add_upstream(void *ctx, const char *pool_name, const char *name, apr_uint32_t index)
{
    survey_t *survey = ctx;
    pool_t *pool = pool_of(survey, pool_name, index);
    upstream_t *upstream = apr_array_push(survey->upstreams);
    upstream->pool = pool_name;
    upstream->name = name;
    if (survey->rv == APR_SUCCESS) {
        survey->rv = apipool_pool_totals(survey->segment, index, survey->now, &upstream->totals);
    }
    if (survey->keys && survey->rv == APR_SUCCESS) {
        survey->rv = add_keys(survey, upstream, index);
    }
    if (survey->rv == APR_SUCCESS) {
        for (int state = 0; state < APIPOOL_STATE_COUNT; state++) {
            pool->keys[state] += upstream->totals.keys[state];
        }
        pool->in_flight += upstream->totals.in_flight;
    }
}

/* Starts a family of series. */
static void head(request_rec *r, const char *name, const char *type, const char *help)
{
    ap_rprintf(r, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Writes a series of a pool or of one of its upstreams. */
static void sample(request_rec *r, const char *family, const char *pool, const char *upstream,
                   const char *label, const char *value, apr_uint64_t count)
{
    ap_rprintf(r, "%s{pool=\"%s\"%s%s%s,%s=\"%s\"} %" APR_UINT64_T_FMT "\n", family, pool,
               upstream ? ",upstream=\"" : "", upstream ? upstream : "", upstream ? "\"" : "",
               label, value, count);
}

/* Writes the counts of a pool or of one of its upstreams by ending or rule, leaving out zeros
 * except for the index always; -1: leaves out all zeros. */
static void write_counts(const survey_t *survey, const char *family, const char *pool,
                         const char *upstream, const apr_uint64_t *counts, int is_by_rule,
                         int always)
{
    int end = is_by_rule ? APIPOOL_RULE_COUNT : APIPOOL_ENDINGS;
    for (int i = 0; i < end; i++) {
        if (counts[i] || i == always) {
            sample(survey->r, family, pool, upstream, is_by_rule ? "rule" : "outcome",
                   is_by_rule ? apipool_rule_name((apipool_rule_e)i)
                              : apipool_ending_name((apipool_ending_e)i),
                   counts[i]);
        }
    }
}

static void write_requests(const survey_t *survey)
{
    const upstream_t *upstreams = (const upstream_t *)survey->upstreams->elts;
    const pool_t *pools = (const pool_t *)survey->pools->elts;
    head(survey->r, "apipool_requests_total", "counter",
         "Requests of clients, by their last upstream and how they ended.");
    for (int i = 0; i < survey->upstreams->nelts; i++) {
        write_counts(survey, "apipool_requests_total", upstreams[i].pool, upstreams[i].name,
                     upstreams[i].totals.endings, 0, -1);
    }
    for (int i = 0; i < survey->pools->nelts; i++) {
        write_counts(survey, "apipool_requests_total", pools[i].name, "", pools[i].stats.endings, 0,
                     APIPOOL_ENDED_REFUSED);
    }
    head(survey->r, "apipool_attempts_total", "counter",
         "Attempts at upstreams, by the verdict's rule.");
    for (int i = 0; i < survey->upstreams->nelts; i++) {
        write_counts(survey, "apipool_attempts_total", upstreams[i].pool, upstreams[i].name,
                     upstreams[i].totals.rules, 1, -1);
    }
    head(survey->r, "apipool_refusals_total", "counter",
         "Requests without a key for any attempt, by rule.");
    for (int i = 0; i < survey->pools->nelts; i++) {
        write_counts(survey, "apipool_refusals_total", pools[i].name, NULL, pools[i].stats.refusals,
                     1, -1);
    }
}

/* Every request of a client that was not served, once. */
static void write_kinds(const survey_t *survey)
{
    static const char family[] = "apipool_errors_total";
    head(survey->r, family, "counter",
         "Requests of clients that were not served, by whose the error is.");
    for (int i = 0; i < survey->pools->nelts; i++) {
        const pool_t *pool = &APR_ARRAY_IDX(survey->pools, i, pool_t);
        for (int kind = APIPOOL_KIND_CLIENT; kind < APIPOOL_KINDS; kind++) {
            sample(survey->r, family, pool->name, NULL, "kind",
                   apipool_kind_name((apipool_kind_e)kind), pool->stats.kinds[kind]);
        }
    }
}

static void write_tokens(const survey_t *survey)
{
    static const char family[] = "apipool_tokens_total";
    head(survey->r, family, "counter", "Tokens as upstreams reported them, by type.");
    for (int i = 0; i < survey->pools->nelts; i++) {
        const pool_t *pool = &APR_ARRAY_IDX(survey->pools, i, pool_t);
        const apipool_counters_snapshot_t *counters = &pool->stats.counters;
        sample(survey->r, family, pool->name, NULL, "type", "prompt", counters->prompt);
        sample(survey->r, family, pool->name, NULL, "type", "completion", counters->completion);
        sample(survey->r, family, pool->name, NULL, "type", "cached", counters->cached);
    }
}

static void write_keys(const survey_t *survey)
{
    head(survey->r, "apipool_keys", "gauge", "Keys, by state.");
    for (int state = 0; state < APIPOOL_STATE_COUNT; state++) {
        for (int i = 0; i < survey->pools->nelts; i++) {
            const pool_t *pool = &APR_ARRAY_IDX(survey->pools, i, pool_t);
            sample(survey->r, "apipool_keys", pool->name, NULL, "state",
                   apipool_state_name((apipool_state_e)state), pool->keys[state]);
        }
    }
    head(survey->r, "apipool_in_flight", "gauge", "Attempts that are under way.");
    for (int i = 0; i < survey->pools->nelts; i++) {
        const pool_t *pool = &APR_ARRAY_IDX(survey->pools, i, pool_t);
        ap_rprintf(survey->r, "apipool_in_flight{pool=\"%s\"} %u\n", pool->name, pool->in_flight);
    }
}

/* Writes a number of each key, with an optional further label. */
static void write_of_keys(const survey_t *survey, const char *name, const char *label,
                          apr_size_t offset)
{
    for (int i = 0; i < survey->keys->nelts; i++) {
        const shown_key_t *key = &APR_ARRAY_IDX(survey->keys, i, shown_key_t);
        apr_uint64_t value = *(const apr_uint64_t *)((const char *)&key->row + offset);
        ap_rprintf(survey->r,
                   "%s{pool=\"%s\",upstream=\"%s\",key=\"%s\"%s} %" APR_UINT64_T_FMT "\n", name,
                   key->pool, key->upstream, key->id, label, value);
        apipool_throttle();
    }
}

static void write_each_key(const survey_t *survey)
{
    static const struct {
        const char *name, *type, *help; /* NULL: same family as the previous one */
        const char *label;
        apr_size_t offset;
    } series[] = {
        {"apipool_key_requests_total", "counter", "Attempts with a key that are over.", "",
         offsetof(apipool_key_row_t, requests)},
        {"apipool_key_errors_total", "counter", "Attempts whose end was held against the key.", "",
         offsetof(apipool_key_row_t, errors)},
        {"apipool_key_tokens_total", "counter", "Tokens as upstreams reported them, by type.",
         ",type=\"prompt\"", offsetof(apipool_key_row_t, prompt)},
        {"apipool_key_tokens_total", "", NULL, ",type=\"completion\"",
         offsetof(apipool_key_row_t, completion)},
        {"apipool_key_tokens_total", "", NULL, ",type=\"cached\"",
         offsetof(apipool_key_row_t, cached)},
        {"apipool_key_in_flight", "gauge", "Attempts that are under way.", "",
         offsetof(apipool_key_row_t, in_flight)},
    };
    for (apr_size_t i = 0; i < sizeof(series) / sizeof(*series); i++) {
        if (series[i].help) {
            head(survey->r, series[i].name, series[i].type, series[i].help);
        }
        write_of_keys(survey, series[i].name, series[i].label, series[i].offset);
    }
    head(survey->r, "apipool_key_state", "gauge", "1 for the state that a key is in.");
    for (int i = 0; i < survey->keys->nelts; i++) {
        const shown_key_t *key = &APR_ARRAY_IDX(survey->keys, i, shown_key_t);
        ap_rprintf(survey->r,
                   "apipool_key_state{pool=\"%s\",upstream=\"%s\",key=\"%s\",state=\"%s\"} 1\n",
                   key->pool, key->upstream, key->id, apipool_state_name(key->row.state));
        apipool_throttle();
    }
}

static void write_histogram(const survey_t *survey, const char *name, const char *help,
                            apr_size_t offset)
{
    request_rec *r = survey->r;
    head(r, name, "histogram", help);
    for (int i = 0; i < survey->pools->nelts; i++) {
        const pool_t *pool = &APR_ARRAY_IDX(survey->pools, i, pool_t);
        const apipool_histogram_snapshot_t *h =
            (const apipool_histogram_snapshot_t *)((const char *)&pool->stats + offset);
        for (int b = 0; b < APIPOOL_HISTOGRAM_BUCKETS; b++) {
            ap_rprintf(r, "%s_bucket{pool=\"%s\",le=\"%g\"} %" APR_UINT64_T_FMT "\n", name,
                       pool->name, apipool_histogram_bounds[b], h->at_most[b]);
        }
        ap_rprintf(r, "%s_bucket{pool=\"%s\",le=\"+Inf\"} %" APR_UINT64_T_FMT "\n", name,
                   pool->name, h->count);
        ap_rprintf(r, "%s_sum{pool=\"%s\"} %.6f\n", name, pool->name, h->sum);
        ap_rprintf(r, "%s_count{pool=\"%s\"} %" APR_UINT64_T_FMT "\n", name, pool->name, h->count);
    }
}

static int asks_for_keys(const request_rec *r)
{
    const char *at = r->args;
    while (at && strncmp(at, "keys=1", 6)) {
        at = strchr(at, '&');
        at += at != NULL;
    }
    return at && (at[6] == '\0' || at[6] == '&');
}

static void write_store(request_rec *r, const apipool_segment_t *segment)
{
    apipool_store_health_t health;
    apipool_segment_store_health(segment, &health);
    head(r, "apipool_store_save_seconds", "summary",
         "Saves of keys and statistics, failed ones included.");
    ap_rprintf(r, "apipool_store_save_seconds_sum %.6f\n", health.seconds);
    ap_rprintf(r, "apipool_store_save_seconds_count %" APR_UINT64_T_FMT "\n",
               health.saves + health.errors);
    head(r, "apipool_store_errors_total", "counter", "Saves of keys and statistics that failed.");
    ap_rprintf(r, "apipool_store_errors_total %" APR_UINT64_T_FMT "\n", health.errors);
}

int apipool_metrics_answer(request_rec *r, apipool_segment_t *segment, const char *server)
{
    survey_t survey = {
        .r = r,
        .segment = segment,
        .now = apr_time_now(),
        .upstreams = apr_array_make(r->pool, 16, sizeof(upstream_t)),
        .pools = apr_array_make(r->pool, 8, sizeof(pool_t)),
        .keys = asks_for_keys(r) ? apr_array_make(r->pool, BATCH, sizeof(shown_key_t)) : NULL};
    if (r->method_number != M_GET) {
        ap_allow_methods(r, REPLACE_ALLOW, "GET", "HEAD", NULL);
        return HTTP_METHOD_NOT_ALLOWED;
    }
    apipool_pool_each_upstream(segment, server, add_upstream, &survey);
    if (survey.rv != APR_SUCCESS) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    ap_set_content_type(r, "text/plain; version=0.0.4; charset=utf-8");
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    write_requests(&survey);
    write_kinds(&survey);
    write_tokens(&survey);
    write_keys(&survey);
    if (survey.keys) {
        write_each_key(&survey);
    }
    write_histogram(&survey, "apipool_request_duration_seconds",
                    "From a request to the end of its answer.",
                    offsetof(apipool_pool_snapshot_t, duration));
    write_histogram(&survey, "apipool_time_to_first_byte_seconds",
                    "From a request to the first byte of an upstream's answer.",
                    offsetof(apipool_pool_snapshot_t, first_byte));
    write_store(r, segment);
    head(r, "apipool_build_info", "gauge", "The module's version.");
    ap_rprintf(r, "apipool_build_info{version=\"%s\"} 1\n", APIPOOL_VERSION);
    return OK;
}
