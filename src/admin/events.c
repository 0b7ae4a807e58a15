/* SPDX-License-Identifier: Apache-2.0
 * Route: a stream of numbers for the dashboard, an event a second. */
#include "access.h"

#include <ap_mpm.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <scoreboard.h>

#include "render.h"

#define EVERY      APR_USEC_PER_SEC
#define LOOK_EVERY apr_time_from_msec(100) /* for the end */

static apr_status_t leave(void *place)
{
    apipool_admin_api->viewer_leave(*(const apr_uint64_t *)place);
    return APR_SUCCESS;
}

/* A child that is told to stop waits for its threads; one of a generation that is over gets no
 * signal until it has none left. */
static int is_stopping(void)
{
    int state = AP_MPMQ_RUNNING, generation = 0;
    const global_score *score = ap_get_scoreboard_global();
    ap_mpm_query(AP_MPMQ_MPM_STATE, &state);
    ap_mpm_query(AP_MPMQ_GENERATION, &generation);
    return state == AP_MPMQ_STOPPING || (score && score->running_generation != generation);
}

static void add_known(apr_int64_t *sum, apr_int64_t number)
{
    if (number >= 0) {
        *sum = *sum < 0 ? number : *sum + number;
    }
}

/* The sums of all pools that are seen here. */
typedef struct {
    apr_int64_t rpm, tpm;
    apr_uint64_t keys, active, in_flight, requests, errors, tokens;
} totals_t;

static void add_pool(totals_t *totals, const apipool_pool_info_t *info)
{
    for (int i = 0; i < APIPOOL_STATE_COUNT; i++) {
        totals->keys += info->keys[i];
    }
    totals->active += info->keys[APIPOOL_STATE_ACTIVE];
    totals->in_flight += info->in_flight;
    totals->requests += info->numbers.requests;
    totals->errors += info->numbers.errors;
    totals->tokens += info->numbers.total;
    add_known(&totals->rpm, info->numbers.rpm);
    add_known(&totals->tpm, info->numbers.tpm);
}

static json_t *totals_object(const totals_t *t)
{
    return json_pack("{s:I,s:I,s:I,s:o,s:o,s:I,s:I,s:I}", "keys", (json_int_t)t->keys, "active",
                     (json_int_t)t->active, "in_flight", (json_int_t)t->in_flight, "rpm",
                     apipool_render_number(t->rpm), "tpm", apipool_render_number(t->tpm),
                     "requests", (json_int_t)t->requests, "errors", (json_int_t)t->errors,
                     "total_tokens", (json_int_t)t->tokens);
}

/* Memory of one event lies in p. */
static int send_event(const apipool_ask_t *ask, const apr_array_header_t *pools, apr_pool_t *p)
{
    request_rec *r = ask->r;
    totals_t totals = {.rpm = -1, .tpm = -1};
    json_t *array = json_array();
    for (int i = 0; i < pools->nelts; i++) {
        apipool_pool_info_t info = {0};
        apr_uint32_t index = APR_ARRAY_IDX(pools, i, apipool_pool_info_t).index;
        json_array_append_new(array, apipool_admin_pool_object(ask, index, p, &info));
        add_pool(&totals, &info);
    }
    json_t *object = json_pack("{s:o,s:o,s:o}", "at", apipool_render_time(apr_time_now()), "pools",
                               array, "totals", totals_object(&totals));
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(object);
    if (!text) {
        return 0;
    }
    int sent = ap_rvputs(r, "event: stats\ndata: ", text, "\n\n", NULL) >= 0 && ap_rflush(r) >= 0;
    free(text);
    return sent && !r->connection->aborted;
}

static int pause_until(const request_rec *r, apr_time_t until)
{
    while (!is_stopping() && !r->connection->aborted) {
        apr_time_t left = until - apr_time_now();
        if (left <= 0) {
            return 1;
        }
        apr_sleep(left < LOOK_EVERY ? left : LOOK_EVERY);
    }
    return 0;
}

static void begin(request_rec *r)
{
    ap_set_content_type(r, "text/event-stream");
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    apr_table_setn(r->headers_out, "X-Accel-Buffering", "no");
    apr_table_setn(r->subprocess_env, "no-gzip", "1");
    apr_table_setn(r->subprocess_env, "no-brotli", "1");
    r->connection->keepalive = AP_CONN_CLOSE;
}

int apipool_admin_events_send(apipool_ask_t *ask)
{
    request_rec *r = ask->r;
    apr_pool_t *p;
    apipool_query_t query;
    apipool_flaw_t flaw;
    apipool_query_open(&query, r->pool, r->args, &flaw);
    if (!apipool_query_close(&query)) {
        return apipool_admin_refuse(r, &flaw);
    }
    if (r->header_only) {
        begin(r);
        return OK;
    }
    apr_uint64_t *place = apr_palloc(r->pool, sizeof(*place));
    *place = apipool_caller_location(ask);
    if (!apipool_admin_api->viewer_enter(*place, apipool_admin_viewers_each())) {
        return apipool_admin_later(r, HTTP_SERVICE_UNAVAILABLE, "too_many_viewers",
                                   "Too many event streams of this location are open; each one "
                                   "takes a thread of httpd.",
                                   apr_time_from_sec(5));
    }
    apr_pool_cleanup_register(r->pool, place, leave, apr_pool_cleanup_null);
    const apr_array_header_t *pools = apipool_admin_pools(ask);
    apr_time_t next = apr_time_now();
    begin(r);
    apr_pool_create(&p, r->pool);
    while (pause_until(r, next) && apipool_caller_holds(ask, p) && send_event(ask, pools, p)) {
        apr_pool_clear(p);
        next += EVERY;
        next = next > apr_time_now() ? next : apr_time_now() + EVERY;
    }
    return OK;
}
