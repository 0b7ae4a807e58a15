/* SPDX-License-Identifier: Apache-2.0
 * Route: a stream of numbers for the dashboard, one event a second. */
#include "access.h"

#include <ap_mpm.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <scoreboard.h>

#include "render.h"

#define EVERY      APR_USEC_PER_SEC
#define LOOK_EVERY apr_time_from_msec(100) /* interval of checking for the end */

static apr_status_t leave(void *place)
{
    apipool_admin_api->viewer_leave(*(const apr_uint64_t *)place);
    return APR_SUCCESS;
}

/* A child that is told to stop waits for its threads; a child of an old generation gets no signal
 * until it has none left. */
static int is_stopping(void)
{
    int state = AP_MPMQ_RUNNING, generation = 0;
    const global_score *score = ap_get_scoreboard_global();
    ap_mpm_query(AP_MPMQ_MPM_STATE, &state);
    ap_mpm_query(AP_MPMQ_GENERATION, &generation);
    return state == AP_MPMQ_STOPPING || (score && score->running_generation != generation);
}

/* Adds the numbers of a pool to the totals; a number that no pool knows stays null. */
static void add_pool(json_t *totals, const json_t *pool)
{
    const json_t *keys = json_object_get(pool, "keys");
    const char *name;
    json_t *sum;
    json_object_foreach(totals, name, sum)
    {
        const json_t *number = !strcmp(name, "keys")     ? json_object_get(keys, "total")
                               : !strcmp(name, "active") ? json_object_get(keys, "active")
                                                         : json_object_get(pool, name);
        if (json_is_integer(number)) {
            json_object_set_new(totals, name,
                                json_integer(json_integer_value(sum) + json_integer_value(number)));
        }
    }
}

/* Sends one event, with memory from p. */
static int send_event(const apipool_admin_request_t *request, const apr_array_header_t *pools,
                      apr_pool_t *p)
{
    request_rec *r = request->r;
    json_t *array = json_array();
    json_t *totals =
        json_pack("{s:i,s:i,s:i,s:n,s:n,s:i,s:i,s:i}", "keys", 0, "active", 0, "in_flight", 0,
                  "rpm", "tpm", "requests", 0, "errors", 0, "total_tokens", 0);
    for (int i = 0; i < pools->nelts; i++) {
        apr_uint32_t index = APR_ARRAY_IDX(pools, i, apipool_pool_info_t).index;
        json_t *pool = apipool_admin_pool_object(request, index, p);
        add_pool(totals, pool);
        json_array_append_new(array, pool);
    }
    json_t *object = json_pack("{s:o,s:o,s:o}", "at", apipool_render_time(apr_time_now()), "pools",
                               array, "totals", totals);
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

int apipool_admin_events_send(apipool_admin_request_t *request)
{
    request_rec *r = request->r;
    apr_pool_t *p;
    if (r->header_only) {
        begin(r);
        return OK;
    }
    apr_uint64_t *place = apr_palloc(r->pool, sizeof(*place));
    *place = apipool_caller_location(request);
    if (!apipool_admin_api->viewer_enter(*place, apipool_admin_viewers_each())) {
        return apipool_admin_retry_later(
            r, HTTP_SERVICE_UNAVAILABLE, "too_many_viewers",
            "Too many event streams of this location are open; each one "
            "takes a thread of httpd.",
            apr_time_from_sec(5));
    }
    apr_pool_cleanup_register(r->pool, place, leave, apr_pool_cleanup_null);
    const apr_array_header_t *pools = apipool_admin_pools(request);
    apr_time_t next = apr_time_now();
    begin(r);
    apr_pool_create(&p, r->pool);
    while (pause_until(r, next) && apipool_caller_is_valid(request, p) &&
           send_event(request, pools, p)) {
        apr_pool_clear(p);
        next += EVERY;
        next = next > apr_time_now() ? next : apr_time_now() + EVERY;
    }
    return OK;
}
