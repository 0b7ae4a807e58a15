/* SPDX-License-Identifier: Apache-2.0
 * Requests that wait without a thread: what httpd's MPM is told of them.
 *
 * The MPM waits for a connection by its socket. While a request is suspended, that socket's
 * descriptor is an eventfd, which the pump writes when the wait has ended; the client's socket is
 * watched by the pump, and written through a second apr_socket_t. The MPM's own time limit, its
 * shutdown and its counts go on. */
#include "suspend.h"

#include <ap_mpm.h>
#include <apr_atomic.h>
#include <apr_portable.h>
#include <apr_strings.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_log.h>
#include <http_request.h>
#include <mpm_common.h>
#include <scoreboard.h>
#include <util_filter.h>

#include "module.h"
#include "pump.h"

static void report_inability(server_rec *s)
{
    ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, s,
                 APIPOOL_LOG(0132) "requests keep their threads: this MPM cannot wait for them");
}

#ifdef APIPOOL_CAN_SUSPEND

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PUMPS     2                    /* a child */
#define FLUSH_MAX apr_time_from_sec(1) /* that a FLUSH bucket of others may keep a pump waiting */

/* Where a connection's request is. */
typedef enum { IN_THREAD, TO_SUSPEND, PREPARED, AT_PUMP } whereabouts_e;

/* Of a client's connection. */
typedef struct {
    apipool_seat_t seat; /* first, so that a seat leads here */
    conn_rec *c;
    apr_socket_t *socket; /* the MPM's */
    apr_socket_t *alias;  /* for filters, while that is an eventfd */
    core_net_rec *net;    /* of httpd's last filter, which writes */
    whereabouts_e is;
    int is_inside; /* of httpd's hooks, which this module's hook has called */
} place_t;

static apipool_pump_t *pumps[PUMPS];
static apr_uint32_t pump_count, next_pump, suspended;
static int (*resume_request)(request_rec *r);

apr_uint32_t apipool_suspend_count(void)
{
    return apr_atomic_read32(&suspended);
}

static place_t *place_of(const conn_rec *c)
{
    return ap_get_module_config(c->conn_config, &apipool_module);
}

static ap_filter_t *core_filter(const conn_rec *c)
{
    ap_filter_t *f = c->output_filters;
    while (f && f->next) {
        f = f->next;
    }
    return f && !strcmp(f->frec->name, "core") ? f : NULL;
}

/* Filters that neither wait, nor keep what only a FLUSH bucket gets out of them. "bytype"
 * compresses types that the configuration names. */
static int is_prompt(const ap_filter_t *f)
{
    static const char *const known[] = {"apipool_gate",
                                        "apipool_rewrite",
                                        "byterange",
                                        "bytype:",
                                        "chunk",
                                        "content_length",
                                        "core",
                                        "fixup_headers_err",
                                        "fixup_headers_out",
                                        "http_header",
                                        "http_outerror",
                                        "log_input_output",
                                        "mod_expires",
                                        "old_write",
                                        "reqtimeout",
                                        "ssl/tls coalescing filter",
                                        "ssl/tls filter"};
    for (apr_size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        apr_size_t len = strlen(known[i]);
        if (!strncmp(f->frec->name, known[i], len) &&
            (!f->frec->name[len] || known[i][len - 1] == ':')) {
            return 1;
        }
    }
    return 0;
}

static const char *reason_against(const request_rec *r)
{
    conn_rec *c = r->connection;
    const ap_filter_t *core = core_filter(c);
    if (!pump_count) {
        return "this httpd cannot, or APIPoolAsync is Off";
    }
    if (c->master) {
        return "it is a stream of HTTP/2";
    }
    if (r->main || r->prev) {
        return "it is a subrequest, or was redirected internally";
    }
    if (!c->cs || c->clogging_input_filters || !place_of(c) || !core ||
        ((core_net_rec *)core->ctx)->client_socket != ap_get_conn_socket(c)) {
        return "its connection is not served asynchronously";
    }
    for (const ap_filter_t *f = r->output_filters; f; f = f->next) {
        if (!is_prompt(f)) {
            return apr_pstrcat(r->pool, "of the output filter ", f->frec->name, NULL);
        }
    }
    return NULL;
}

int apipool_suspend_is_possible(const request_rec *r)
{
    const char *reason = reason_against(r);
    if (reason && pump_count) {
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                      APIPOOL_LOG(0130) "the request keeps its thread because %s", reason);
    }
    return !reason;
}

void apipool_suspend(apipool_wait_t *wait)
{
    place_t *place = place_of(wait->r->connection);
    place->seat.wait = wait;
    place->is = TO_SUSPEND;
}

/* ---- what the MPM waits for ---- */

static apr_status_t close_eventfd(void *place)
{
    close(((place_t *)place)->seat.done);
    return APR_SUCCESS;
}

/* The first time on a connection. */
static int equip(place_t *place)
{
    conn_rec *c = place->c;
    const ap_filter_t *core = core_filter(c);
    place->seat.done = core ? eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) : -1;
    if (place->seat.done < 0) {
        return 0;
    }
    place->net = core->ctx;
    apr_pool_cleanup_register(c->pool, place, close_eventfd, apr_pool_cleanup_null);
    place->socket = ap_get_conn_socket(c);
    apr_os_sock_get(&place->seat.client, place->socket);
    apr_os_sock_put(&place->alias, &place->seat.client, c->pool);
    apr_socket_timeout_set(place->alias, FLUSH_MAX);
    return 1;
}

/* Filters write to it; so does whoever asks for the connection's socket. */
static void use_socket(place_t *place, apr_socket_t *socket)
{
    place->net->client_socket = socket;
    ap_set_core_module_config(place->c->conn_config, socket);
}

static void wait_by_mpm(conn_rec *c)
{
    c->cs->state = CONN_STATE_ASYNC_WAITIO;
    c->cs->sense = CONN_SENSE_WANT_READ;
}

static void take_socket(place_t *place)
{
    apr_os_sock_put(&place->socket, &place->seat.done, place->c->pool);
    use_socket(place, place->alias);
}

static void give_socket_back(place_t *place)
{
    apr_os_sock_put(&place->socket, &place->seat.client, place->c->pool);
    use_socket(place, place->socket);
    place->is = IN_THREAD;
    apr_atomic_dec32(&suspended);
}

static int go_on(place_t *place)
{
    request_rec *r = place->seat.wait->r;
    return resume_request(r);
}

static void finish(request_rec *r, int status)
{
    ap_die(status, r);
    ap_process_request_after_handler(r); /* r is gone */
}

/* By the request's thread, when the handler has returned. */
static void prepare(place_t *place)
{
    conn_rec *c = place->c;
    request_rec *r = place->seat.wait->r;
    int status = SUSPENDED;
    if (!place->alias && !equip(place)) { /* no descriptor is left */
        ap_log_rerror(APLOG_MARK, APLOG_ERR, errno, r,
                      APIPOOL_LOG(0131) "the request was given up: no descriptor was left for it");
        place->is = IN_THREAD;
        c->aborted = 1;
        place->seat.wait->calls->leave(place->seat.wait);
        status = go_on(place);
        finish(r, status);
        return;
    }
    apr_atomic_inc32(&suspended);
    place->is = PREPARED;
    place->seat.mpm_waits =
        c->base_server->timeout < r->server->timeout ? c->base_server->timeout : r->server->timeout;
    take_socket(place);
    wait_by_mpm(c);
}

/* The MPM and all modules have let go of it: from here on it is the pump's. */
static void on_suspend(conn_rec *c, request_rec *r)
{
    place_t *place = c->master ? NULL : place_of(c);
    if (place && place->is == PREPARED) {
        place->is = AT_PUMP;
        apipool_pump_take(pumps[apr_atomic_inc32(&next_pump) % pump_count], &place->seat);
    }
}

/* The MPM has come back: because the wait has ended, or only for a moment. */
static void come_back(place_t *place)
{
    conn_rec *c = place->c;
    if (!apipool_pump_has_done(&place->seat)) {
        wait_by_mpm(c);
        return;
    }
    request_rec *r = place->seat.wait->r;
    give_socket_back(place);
    ap_update_child_status(c->sbh, SERVER_BUSY_WRITE, r);
    int status = go_on(place);
    if (status == SUSPENDED) {
        prepare(place);
    }
    else {
        finish(r, status);
    }
}

static int process_connection(conn_rec *c)
{
    if (!pump_count || c->master || !c->cs) {
        return DECLINED;
    }
    place_t *place = place_of(c);
    if (!place) {
        place = apr_pcalloc(c->pool, sizeof(*place));
        place->c = c;
        ap_set_module_config(c->conn_config, &apipool_module, place);
    }
    if (place->is_inside) {
        return DECLINED;
    }
    if (place->is == AT_PUMP) {
        come_back(place);
        return OK;
    }
    place->is_inside = 1;
    int rc = ap_run_process_connection(c);
    place->is_inside = 0;
    if (place->is == TO_SUSPEND) {
        prepare(place);
    }
    return rc;
}

/* Ends a suspended request whose connection is about to end. */
static void end(place_t *place)
{
    conn_rec *c = place->c;
    request_rec *r = place->seat.wait->r;
    int status, was_waiting = 1;
    if (place->is == AT_PUMP) {
        was_waiting = apipool_pump_reclaim(&place->seat);
        c->aborted |= was_waiting;
    }
    else {
        c->aborted = 1;
        place->seat.wait->calls->leave(place->seat.wait);
    }
    give_socket_back(place);
    while ((status = go_on(place)) == SUSPENDED) { /* it would begin anew */
        place->is = IN_THREAD;
        c->aborted = 1;
        place->seat.wait->calls->leave(place->seat.wait);
    }
    finish(r, status);
}

/* The MPM closes what it has waited for too long, or cannot keep. */
static int on_pre_close(conn_rec *c)
{
    place_t *place = c->master ? NULL : place_of(c);
    if (place && (place->is == PREPARED || place->is == AT_PUMP)) {
        end(place);
        c->cs->state = CONN_STATE_LINGER;
    }
    return OK;
}

/* ---- a child's beginning and end ---- */

static void end_seat(apipool_seat_t *seat)
{
    end((place_t *)seat);
}

/* The MPM's threads have ended. */
static apr_status_t stop_pumps(void *unused)
{
    apr_uint32_t count = pump_count;
    for (apr_uint32_t i = 0; i < count; i++) {
        apipool_pump_stop(pumps[i], end_seat);
    }
    pump_count = 0;
    return APR_SUCCESS;
}

apr_status_t apipool_suspend_child_init(apr_pool_t *pchild, server_rec *s)
{
    int can_wait = 0, threads = 0;
    apr_status_t rv = APR_SUCCESS;
    /* where there is one thread alone, mod_proxy's connections are not made for more */
    if (ap_mpm_query(AP_MPMQ_CAN_WAITIO, &can_wait) != APR_SUCCESS || !can_wait ||
        ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads) != APR_SUCCESS || threads < 2) {
        report_inability(s);
        return rv;
    }
    apr_uint32_t count = 0;
    while (count < PUMPS && rv == APR_SUCCESS) {
        rv = apipool_pump_start(&pumps[count], pchild);
        count += rv == APR_SUCCESS;
    }
    if (count) {
        pump_count = count;
        apr_pool_pre_cleanup_register(pchild, NULL, stop_pumps);
    }
    return count ? APR_SUCCESS : rv;
}

void apipool_suspend_register_hooks(int (*resume)(request_rec *r))
{
    resume_request = resume;
    ap_hook_process_connection(process_connection, NULL, NULL, APR_HOOK_REALLY_FIRST - 10);
    ap_hook_suspend_connection(on_suspend, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_pre_close_connection(on_pre_close, NULL, NULL, APR_HOOK_REALLY_FIRST);
}

#else

apr_uint32_t apipool_suspend_count(void)
{
    return 0;
}

int apipool_suspend_is_possible(const request_rec *r)
{
    return 0;
}

void apipool_suspend(apipool_wait_t *wait)
{
}

void apipool_wait_forget_socket(apipool_wait_t *wait)
{
}

apr_status_t apipool_suspend_child_init(apr_pool_t *pchild, server_rec *s)
{
    report_inability(s);
    return APR_SUCCESS;
}

void apipool_suspend_register_hooks(int (*resume)(request_rec *r))
{
}

#endif
