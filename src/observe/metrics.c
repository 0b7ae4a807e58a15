/* SPDX-License-Identifier: Apache-2.0
 * The pools' numbers as Prometheus reads them. */
#include "metrics.h"

#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <stddef.h>

/* One upstream of one pool: names as labels, and its numbers. Names hold nothing that a label has to
 * escape; see APIPoolUpstream. */
typedef struct {
    const char *pool, *upstream;
    apipool_totals_t totals;
} part_t;

typedef struct {
    apipool_segment_t *segment;
    apr_time_t now;
    apr_status_t rv;
    apr_array_header_t *parts; /* part_t, those of one pool together */
} survey_t;

static void add_part(void *ctx, const char *pool, const char *upstream, apr_uint32_t group)
{
    survey_t *survey = ctx;
    part_t *part = apr_array_push(survey->parts);
    part->pool = pool;
    part->upstream = upstream;
    if (survey->rv == APR_SUCCESS) {
        survey->rv = apipool_pool_totals(survey->segment, group, survey->now, &part->totals);
    }
}

static void head(request_rec *r, const char *name, const char *type, const char *help)
{
    ap_rprintf(r, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_attempts(request_rec *r, const apr_array_header_t *parts)
{
    head(r, "apipool_attempts_total", "counter", "Attempts at upstreams, by the verdict's rule.");
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
    head(r, "apipool_keys", "gauge", "Keys, by state.");
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
    head(r, "apipool_in_flight", "gauge", "Attempts that are under way.");
    for (int i = 0; i < parts->nelts; i++) {
        const char *pool = APR_ARRAY_IDX(parts, i, part_t).pool;
        ap_rprintf(r, "apipool_in_flight{pool=\"%s\"} %u\n", pool,
                   sum(parts, &i, offsetof(apipool_totals_t, in_flight)));
    }
}

int apipool_metrics_answer(request_rec *r, apipool_segment_t *segment, const char *server)
{
    survey_t survey = {.segment = segment,
                       .now = apr_time_now(),
                       .parts = apr_array_make(r->pool, 16, sizeof(part_t))};
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
    write_attempts(r, survey.parts);
    write_keys(r, survey.parts);
    write_in_flight(r, survey.parts);
    head(r, "apipool_build_info", "gauge", "The module's version.");
    ap_rprintf(r, "apipool_build_info{version=\"%s\"} 1\n", APIPOOL_VERSION);
    return OK;
}
