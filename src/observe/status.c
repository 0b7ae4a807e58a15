/* SPDX-License-Identifier: Apache-2.0
 * Section of mod_status with the pools. */
#include "status.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <mod_status.h>

#include "stats.h"

typedef struct {
    request_rec *r;
    apipool_segment_t *segment;
    int brief; /* ?auto */
    apr_time_t now;
    const char *last; /* previous pool */
} section_t;

/* Shows an unknown value as a dash. */
#define COLUMNS (APIPOOL_STATE_COUNT + 3) /* with the name, requests in flight, and success */

static const char *shown(request_rec *r, double value)
{
    return value < 0 ? "-" : apr_psprintf(r->pool, "%.2f", value);
}

static void write_pool(section_t *section, const char *pool, apr_uint32_t index)
{
    apipool_pool_snapshot_t stats;
    request_rec *r = section->r;
    if (apipool_stats_pool(section->segment, index, section->now, &stats) != APR_SUCCESS) {
        return;
    }
    const apipool_counters_snapshot_t *n = &stats.counters;
    if (section->brief) {
        ap_rprintf(r,
                   "APIPool[%s]Requests: %" APR_UINT64_T_FMT
                   "\nAPIPool[%s]Errors: %" APR_UINT64_T_FMT
                   "\nAPIPool[%s]Tokens: %" APR_UINT64_T_FMT "\nAPIPool[%s]RPM: %" APR_INT64_T_FMT
                   "\nAPIPool[%s]TPM: %" APR_INT64_T_FMT "\n",
                   pool, n->requests, pool, n->errors, pool, n->total, pool, n->rpm, pool, n->tpm);
        return;
    }
    ap_rprintf(r,
               "<tr><th colspan=\"%d\">%s: %" APR_UINT64_T_FMT " requests, %" APR_UINT64_T_FMT
               " errors, %" APR_UINT64_T_FMT " tokens; last minute %" APR_INT64_T_FMT
               " requests, %" APR_INT64_T_FMT " tokens; first byte %s ms, whole %s ms</th></tr>\n",
               COLUMNS, pool, n->requests, n->errors, n->total, n->rpm, n->tpm,
               shown(r, n->first_byte_ms), shown(r, n->latency_ms));
}

static void write_upstream(void *ctx, const char *pool, const char *name, apr_uint32_t upstream)
{
    section_t *section = ctx;
    request_rec *r = section->r;
    apipool_totals_t totals;

    if (!section->last || strcmp(section->last, pool)) {
        write_pool(section, pool, apipool_pool_of(section->segment, upstream));
        section->last = pool;
    }
    if (apipool_pool_totals(section->segment, upstream, section->now, &totals) != APR_SUCCESS) {
        return;
    }
    if (!section->brief) {
        ap_rprintf(r, "<tr><td>%s</td>", name);
    }
    for (int state = 0; state < APIPOOL_STATE_COUNT; state++) {
        if (section->brief) {
            ap_rprintf(r, "APIPool[%s][%s]Keys[%s]: %u\n", pool, name,
                       apipool_state_name((apipool_state_e)state), totals.keys[state]);
        }
        else {
            ap_rprintf(r, "<td>%u</td>", totals.keys[state]);
        }
    }
    if (section->brief) {
        ap_rprintf(r, "APIPool[%s][%s]InFlight: %u\n", pool, name, totals.in_flight);
    }
    else {
        ap_rprintf(r, "<td>%u</td><td>%s</td></tr>\n", totals.in_flight,
                   shown(r, totals.counters.success_rate));
    }
}

int apipool_status_write(request_rec *r, int flags, apipool_segment_t *segment, const char *server)
{
    section_t section = {
        .r = r, .segment = segment, .brief = flags & AP_STATUS_SHORT, .now = apr_time_now()};
    if (!section.brief) {
        ap_rputs("<hr />\n<h1>mod_apipool</h1>\n<table border=\"0\">\n<tr><th>Upstream</th>", r);
        for (int state = 0; state < APIPOOL_STATE_COUNT; state++) {
            ap_rprintf(r, "<th>%s</th>", apipool_state_name((apipool_state_e)state));
        }
        ap_rputs("<th>in flight</th><th>success</th></tr>\n", r);
    }
    apipool_pool_each_upstream(segment, server, write_upstream, &section);
    if (!section.brief) {
        ap_rputs("</table>\n", r);
    }
    return OK;
}
