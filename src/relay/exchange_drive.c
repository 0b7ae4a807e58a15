/* SPDX-License-Identifier: Apache-2.0
 * Who takes an exchange's steps: the request's thread, which waits in between, or a pump. */
#include <ap_mpm.h>
#include <apr_atomic.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>

#include "budget.h"
#include "client_conn.h"
#include "exchange_parts.h"
#include "monotonic.h"
#include "suspend.h"
#include "workers.h"

/* Milliseconds between two looks at what no socket tells: that somebody leaves a stream of HTTP/2;
 * that TLS filters have something after all. */
#define LOOK_AT_STREAM 250
#define LOOK_AT_TLS    1000

/* For so long it costs less to keep the thread than to change it. */
#define STAY  apr_time_from_msec(50)
#define NEVER APR_INT64_MAX

static apr_uint32_t waiting; /* threads of this process */

/* Three of four of this process's threads would wait, or more requests than it has threads wait without
 * one: then others need the thread. */
static int is_crowded(void)
{
    static int threads;
    if (!threads && ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads) != APR_SUCCESS) {
        threads = INT_MAX;
    }
    return apr_atomic_read32(&waiting) + 1 >= (apr_uint32_t)threads * 3 / 4 ||
           apipool_suspend_count() > (apr_uint32_t)threads;
}

/* Milliseconds that the thread stays; a request that can go has been sent. */
static int stay(apipool_exchange_t *x)
{
    apr_time_t now = apipool_monotonic_now();
    if (!x->leave_at) {
        x->leave_at = x->req->probing ? NEVER : now + STAY;
    }
    if (x->leave_at == NEVER || x->stage == APIPOOL_STAGE_REQUEST) {
        return INT_MAX;
    }
    return now >= x->leave_at || is_crowded() ? 0 : (int)apr_time_as_msec(x->leave_at - now) + 1;
}

static int can_leave(apipool_exchange_t *x)
{
    int can = apipool_suspend_is_possible(x->req->r);
    x->leave_at = can ? x->leave_at : NEVER;
    return can;
}

static int wait_for_some(struct pollfd *at, int count, int ms)
{
    apr_atomic_inc32(&waiting);
    int n = poll(at, (nfds_t)count, ms);
    apr_atomic_dec32(&waiting);
    return n;
}

/* Waits until the upstream is ready, the client has left, or patience is at its end. Returns OK if
 * it may go on, DONE if not, or SUSPENDED. */
static int await(apipool_exchange_t *x, apipool_wait_e wait)
{
    apipool_request_t *req = x->req;
    struct pollfd at[2] = {
        {.fd = x->conn.fd, .events = wait == APIPOOL_WAIT_WRITABLE ? POLLIN | POLLOUT : POLLIN}};
    for (;;) {
        int has_socket = apipool_client_conn_watch(req, &at[1]);
        int longest = !has_socket ? LOOK_AT_STREAM : x->conn.is_direct ? INT_MAX : LOOK_AT_TLS;
        int stays = stay(x);
        apr_time_t left = x->wait.due - apipool_monotonic_now();
        int ms = left > 0 ? (int)apr_time_as_msec(left) + 1 : 0;
        ms = ms < longest ? ms : longest;
        int n = wait_for_some(at, has_socket ? 2 : 1, ms < stays ? ms : stays);
        if (apipool_client_conn_has_left(req, has_socket && n > 0 ? at[1].revents : 0)) {
            apipool_exchange_leave(x);
            return DONE;
        }
        if (n == 0 && left <= 0) {
            apipool_exchange_expire(x);
            return x->stage == APIPOOL_STAGE_ENDED ? DONE : OK;
        }
        if ((n > 0 && at[0].revents) || (n == 0 && !x->conn.is_direct && ms <= stays)) {
            x->conn.is_drained = 0;
            return OK;
        }
        if (n == 0 && ms > stays && can_leave(x)) {
            return SUSPENDED;
        }
    }
}

static int suspend(apipool_exchange_t *x)
{
    x->is_suspended = 1;
    x->wait.client_events = apipool_client_conn_events(x->req);
    apipool_suspend(&x->wait);
    return SUSPENDED;
}

int apipool_exchange_run(apipool_exchange_t *x)
{
    int may_go_on = OK;
    x->is_suspended = x->waits_for_client = 0;
    while (may_go_on == OK) {
        apipool_wait_e wait = apipool_exchange_step(x);
        if (wait == APIPOOL_WAIT_NOTHING) {
            break;
        }
        if (wait != APIPOOL_WAIT_THREAD) {
            may_go_on = await(x, wait);
        }
    }
    if (may_go_on == SUSPENDED) {
        return suspend(x);
    }
    return apipool_exchange_finish(x);
}

/* ---- what a pump calls ---- */

static apipool_wait_e step(apipool_wait_t *wait)
{
    apipool_exchange_t *x = (apipool_exchange_t *)wait;
    x->conn.is_drained = 0;
    return apipool_exchange_step(x);
}

static int hear_client(apipool_wait_t *wait, int events)
{
    apipool_exchange_t *x = (apipool_exchange_t *)wait;
    if (!apipool_client_conn_has_left(x->req, events)) {
        wait->client_events = apipool_client_conn_events(x->req);
        return 0;
    }
    apipool_exchange_leave(x);
    return 1;
}

static void expire(apipool_wait_t *wait)
{
    apipool_exchange_expire((apipool_exchange_t *)wait);
}

static void leave(apipool_wait_t *wait)
{
    apipool_exchange_leave((apipool_exchange_t *)wait);
}

apipool_exchange_t *apipool_exchange_make(apipool_request_t *req, proxy_worker *worker,
                                          const char *url)
{
    static const apipool_wait_calls_t calls = {step, hear_client, expire, leave};
    request_rec *r = req->r;
    apr_bucket_alloc_t *alloc = r->connection->bucket_alloc;
    apipool_exchange_t *x = apr_pcalloc(r->pool, sizeof(*x));
    x->wait = (apipool_wait_t){.calls = &calls, .r = r, .fd = -1, .watched_by = -1};
    x->req = req;
    x->conn = (apipool_upstream_conn_t){.r = r,
                                        .conf = req->budget->conf,
                                        .worker = worker,
                                        .url = url,
                                        .remote = apipool_workers_remote(req->budget->conf, url)};
    x->unsent = apr_brigade_create(r->pool, alloc);
    x->out = apr_brigade_create(r->pool, alloc);
    return x;
}

void apipool_exchange_pull(apipool_plug_t *plug)
{
    apr_thread_mutex_lock(plug->mutex);
    plug->pulled = 1;
    if (plug->socket >= 0) {
        shutdown(plug->socket, SHUT_RDWR);
    }
    apr_thread_mutex_unlock(plug->mutex);
}
