/* SPDX-License-Identifier: Apache-2.0
 * A request waits for a moment, without its thread if it can. */
#include "pause.h"

#include "client_conn.h"
#include "monotonic.h"
#include "suspend.h"

static apipool_request_t *request_of(const apipool_wait_t *wait)
{
    return apipool_request_get(wait->r);
}

static apipool_wait_e step(apipool_wait_t *wait)
{
    return APIPOOL_WAIT_READABLE; /* there is no socket */
}

/* There is no response that could be read to its end. */
static int hear_client(apipool_wait_t *wait, int events)
{
    apipool_request_t *req = request_of(wait);
    int has_left = apipool_client_conn_has_left(req, events);
    wait->client_events = apipool_client_conn_events(req);
    return has_left || req->client_left;
}

static void expire(apipool_wait_t *wait)
{
}

static void leave(apipool_wait_t *wait)
{
    wait->r->connection->aborted = 1;
}

int apipool_pause(apipool_request_t *req, apr_interval_time_t duration)
{
    static const apipool_wait_calls_t calls = {step, hear_client, expire, leave};
    if (!apipool_suspend_is_possible(req->r)) {
        apr_sleep(duration);
        return OK;
    }
    apipool_wait_t *wait = apr_palloc(req->r->pool, sizeof(*wait));
    *wait = (apipool_wait_t){.calls = &calls,
                             .r = req->r,
                             .fd = -1,
                             .watched_by = -1,
                             .client_events = apipool_client_conn_events(req),
                             .due = apipool_monotonic_now() + duration};
    apipool_suspend(wait);
    return SUSPENDED;
}
