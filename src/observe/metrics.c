/* SPDX-License-Identifier: Apache-2.0
 * The pools' numbers as Prometheus reads them. */
#include "metrics.h"

#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <stddef.h>

#include "metrics_keys.h"
#include "stats.h"
#include "store.h"

/* One upstream of one pool: names as labels, and its numbers. Names hold nothing that a label has to
 * escape; see APIPoolUpstream. */
typedef struct {
    const char *pool, *upstream;
    apr_uint32_t index; /* the pool's */
    apipool_totals_t totals;
} part_t;

typedef struct {
    const char *name;
    apipool_pool_snapshot_t stats;
} pool_t;

typedef struct {
    apipool_segment_t *segment;
    apr_time_t now;
    apr_status_t rv;
    apr_array_header_t *parts; /* part_t, those of one pool together */
    apr_array_header_t *pools; /* pool_t */
    apr_array_header_t *keys;  /* NULL where nobody asks for them */
} survey_t;

static void add_pool(survey_t *survey, const part_t *part)
{
    pool_t *pool = apr_array_push(survey->pools);
    pool->name = part->pool;
    if (survey->rv == APR_SUCCESS) {
        survey->rv = apipool_stats_pool(survey->segment, part->index, survey->now, &pool->stats);
    }
}

static void add_part(void *ctx, const char *pool, const char *upstream, apr_uint32_t group)
{
    survey_t *survey = ctx;
    part_t *part = apr_array_push(survey->parts);
    part->pool = pool;
    part->upstream = upstream;
    part->index = apipool_pool_of(survey->segment, group);
    if (survey->rv == APR_SUCCESS) {
        survey->rv = apipool_pool_totals(survey->segment, group, survey->now, &part->totals);
    }
    if (survey->keys && survey->rv == APR_SUCCESS) {
        survey->rv = apipool_metrics_keys_add(survey->keys, survey->segment, pool, upstream, group);
    }
    int first = survey->pools->nelts == 0 ||
                strcmp(APR_ARRAY_IDX(survey->pools, survey->pools->nelts - 1, pool_t).name, pool);
    if (first) {
        add_pool(survey, part);
    }
}

void apipool_metrics_head(request_rec *r, const char *name, const char *type, const char *help)
{
    ap_rprintf(r, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_attempts(request_rec *r, const apr_array_header_t *parts)
{
    apipool_metrics_head(r, "apipool_attempts_total", "counter",
                         "Attempts at upstreams, by the verdict's rule.");
    for (int i = 0; i < parts->nelts; i++) {
        const part_t *part = &APR_ARRAY_IDX(parts, i, part_t);
        for (int rule = 0; rule < APIPOOL_RULE_COUNT; rule++) {
            if (part->totals.rules[rule]) {
                ap_rprintf(r,
                           "apipool_attempts_total{pool=\"%s\",upstream=\"%s\",rule=\"%s\"} "
                           "%" APR_UINT64_T_FMT "\n",
                           part->pool, part->upstream, apipool_rule_name((apipool_rule_e)rule),
                           part->totals.rules[rule]);
            }
        }
    }
}

/* The sum of a number over the parts of the pool that begins at i; *i moves to its last part. */
static apr_uint32_t sum(const apr_array_header_t *parts, int *i, apr_size_t offset)
{
    const part_t *part = &APR_ARRAY_IDX(parts, *i, part_t);
    apr_uint32_t total = 0;
    for (int at = *i; at < parts->nelts; at++) {
        const part_t *other = &APR_ARRAY_IDX(parts, at, part_t);
        if (strcmp(other->pool, part->pool)) {
            break;
        }
        total += *(const apr_uint32_t *)((const char *)&other->totals + offset);
        *i = at;
    }
    return total;
}

static void write_keys(request_rec *r, const apr_array_header_t *parts)
{
    apipool_metrics_head(r, "apipool_keys", "gauge", "Keys, by state.");
    for (int state = 0; state < APIPOOL_STATE_COUNT; state++) {
        for (int i = 0; i < parts->nelts; i++) {
            const char *pool = APR_ARRAY_IDX(parts, i, part_t).pool;
            apr_size_t offset =
                offsetof(apipool_totals_t, keys) + (apr_size_t)state * sizeof(apr_uint32_t);
            ap_rprintf(r, "apipool_keys{pool=\"%s\",state=\"%s\"} %u\n", pool,
                       apipool_state_name((apipool_state_e)state), sum(parts, &i, offset));
        }
    }
}

static void write_in_flight(request_rec *r, const apr_array_header_t *parts)
{
    apipool_metrics_head(r, "apipool_in_flight", "gauge", "Attempts that are under way.");
    for (int i = 0; i < parts->nelts; i++) {
        const char *pool = APR_ARRAY_IDX(parts, i, part_t).pool;
        ap_rprintf(r, "apipool_in_flight{pool=\"%s\"} %u\n", pool,
                   sum(parts, &i, offsetof(apipool_totals_t, in_flight)));
    }
}

static void write_requests(request_rec *r, const survey_t *survey)
{
    apipool_metrics_head(r, "apipool_requests_total", "counter",
                         "Requests of clients, by their last upstream and how they ended.");
    for (int i = 0; i < survey->parts->nelts; i++) {
        const part_t *part = &APR_ARRAY_IDX(survey->parts, i, part_t);
        for (int ending = 0; ending < APIPOOL_ENDINGS; ending++) {
            if (part->totals.endings[ending]) {
                ap_rprintf(r,
                           "apipool_requests_total{pool=\"%s\",upstream=\"%s\",outcome=\"%s\"} "
                           "%" APR_UINT64_T_FMT "\n",
                           part->pool, part->upstream,
                           apipool_ending_name((apipool_ending_e)ending),
                           part->totals.endings[ending]);
            }
        }
    }
    for (int i = 0; i < survey->pools->nelts; i++) {
        const pool_t *pool = &APR_ARRAY_IDX(survey->pools, i, pool_t);
        for (int ending = 0; ending < APIPOOL_ENDINGS; ending++) {
            if (pool->stats.endings[ending] || ending == APIPOOL_ENDED_REFUSED) {
                ap_rprintf(r,
                           "apipool_requests_total{pool=\"%s\",upstream=\"\",outcome=\"%s\"} "
                           "%" APR_UINT64_T_FMT "\n",
                           pool->name, apipool_ending_name((apipool_ending_e)ending),
                           pool->stats.endings[ending]);
            }
        }
    }
}

static void write_refusals(request_rec *r, const survey_t *survey)
{
    apipool_metrics_head(r, "apipool_refusals_total", "counter",
                         "Requests without a key for any attempt, by rule.");
    for (int i = 0; i < survey->pools->nelts; i++) {
        const pool_t *pool = &APR_ARRAY_IDX(survey->pools, i, pool_t);
        for (int rule = APIPOOL_R01; rule < APIPOOL_RULE_COUNT; rule++) {
            if (pool->stats.refusals[rule]) {
                ap_rprintf(
                    r, "apipool_refusals_total{pool=\"%s\",rule=\"%s\"} %" APR_UINT64_T_FMT "\n",
                    pool->name, apipool_rule_name((apipool_rule_e)rule),
                    pool->stats.refusals[rule]);
            }
        }
    }
}

static void write_tokens(request_rec *r, const survey_t *survey)
{
    apipool_metrics_head(r, "apipool_tokens_total", "counter",
                         "Tokens as upstreams reported them, by type.");
    for (int i = 0; i < survey->pools->nelts; i++) {
        const pool_t *pool = &APR_ARRAY_IDX(survey->pools, i, pool_t);
        const apipool_numbers_snapshot_t *numbers = &pool->stats.numbers;
        const struct {
            const char *type;
            apr_uint64_t count;
        } types[] = {{"prompt", numbers->prompt},
                     {"completion", numbers->completion},
                     {"cached", numbers->cached}};
        for (int t = 0; t < 3; t++) {
            ap_rprintf(r, "apipool_tokens_total{pool=\"%s\",type=\"%s\"} %" APR_UINT64_T_FMT "\n",
                       pool->name, types[t].type, types[t].count);
        }
    }
}

static void write_histogram(request_rec *r, const survey_t *survey, const char *name,
                            const char *help, apr_size_t offset)
{
    apipool_metrics_head(r, name, "histogram", help);
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
    apipool_store_health(segment, &health);
    apipool_metrics_head(r, "apipool_store_save_seconds", "summary",
                         "Saves of keys and statistics, failed ones included.");
    ap_rprintf(r, "apipool_store_save_seconds_sum %.6f\n", health.seconds);
    ap_rprintf(r, "apipool_store_save_seconds_count %" APR_UINT64_T_FMT "\n",
               health.saves + health.errors);
    apipool_metrics_head(r, "apipool_store_errors_total", "counter",
                         "Saves of keys and statistics that failed.");
    ap_rprintf(r, "apipool_store_errors_total %" APR_UINT64_T_FMT "\n", health.errors);
}

int apipool_metrics_answer(request_rec *r, apipool_segment_t *segment, const char *server)
{
    survey_t survey = {.segment = segment,
                       .now = apr_time_now(),
                       .parts = apr_array_make(r->pool, 16, sizeof(part_t)),
                       .pools = apr_array_make(r->pool, 8, sizeof(pool_t)),
                       .keys = asks_for_keys(r) ? apipool_metrics_keys_make(r->pool) : NULL};
    if (r->method_number != M_GET) {
        ap_allow_methods(r, REPLACE_ALLOW, "GET", "HEAD", NULL);
        return HTTP_METHOD_NOT_ALLOWED;
    }
    apipool_pool_each_group(segment, server, add_part, &survey);
    if (survey.rv != APR_SUCCESS) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    ap_set_content_type(r, "text/plain; version=0.0.4; charset=utf-8");
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    write_requests(r, &survey);
    write_attempts(r, survey.parts);
    write_refusals(r, &survey);
    write_tokens(r, &survey);
    write_keys(r, survey.parts);
    write_in_flight(r, survey.parts);
    if (survey.keys) {
        apipool_metrics_keys_write(r, survey.keys);
    }
    write_histogram(r, &survey, "apipool_request_duration_seconds",
                    "From a request to the end of its answer.",
                    offsetof(apipool_pool_snapshot_t, duration));
    write_histogram(r, &survey, "apipool_time_to_first_byte_seconds",
                    "From a request to the first byte of an upstream's answer.",
                    offsetof(apipool_pool_snapshot_t, first_byte));
    write_store(r, segment);
    apipool_metrics_head(r, "apipool_build_info", "gauge", "The module's version.");
    ap_rprintf(r, "apipool_build_info{version=\"%s\"} 1\n", APIPOOL_VERSION);
    return OK;
}
