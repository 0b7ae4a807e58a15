/* SPDX-License-Identifier: Apache-2.0
 * Waiting for a key to come free: APIPoolWait. */
#include "wait.h"

#define LOOK_AGAIN                                                                                 \
    apr_time_from_msec(100) /* at the clock may not be all: a key may be given back */
#define WHEN_BUSY apr_time_from_msec(10)
#define SHORTEST  apr_time_from_msec(1)

static int is_worth_waiting(apipool_acquired_e result)
{
    return result == APIPOOL_ALL_COOLING || result == APIPOOL_ALL_BUSY ||
           result == APIPOOL_ALL_PAUSED || result == APIPOOL_QUEUED;
}

static void pause_before_next(apipool_acquired_e result, apr_time_t now, apr_time_t until,
                              apr_time_t retry_at)
{
    apr_interval_time_t pause = LOOK_AGAIN;
    if (result == APIPOOL_ALL_BUSY) {
        pause = WHEN_BUSY;
    }
    if (retry_at && retry_at - now < pause) {
        pause = retry_at - now;
    }
    if (until - now < pause) {
        pause = until - now;
    }
    apr_sleep(pause > SHORTEST ? pause : SHORTEST);
}

/* Who was not the first in line does not know yet when a key comes free. */
static apr_status_t look_when(apipool_request_t *req, apipool_segment_t *segment,
                              apipool_wanted_t *wanted, apr_time_t *retry_at)
{
    apipool_acquired_e ignored;
    wanted->look_only = 1;
    return apipool_pool_acquire(segment, wanted, apr_time_now(), req->attempt.lease, &ignored,
                                retry_at);
}

/* Keys that are in doubt for one request are there for all others, who would not get them with that one at
 * the head of their line. */
static apr_status_t get_in_line(apipool_segment_t *segment, apipool_wanted_t *wanted)
{
    return wanted->doubted_count ? APR_SUCCESS
                                 : apipool_pool_enter_queue(segment, wanted, &wanted->waiter);
}

static apr_status_t get_out_of_line(apipool_segment_t *segment, apipool_wanted_t *wanted)
{
    apr_uint32_t waiter = wanted->waiter;
    wanted->waiter = APIPOOL_NONE;
    return waiter == APIPOOL_NONE ? APR_SUCCESS : apipool_pool_leave_queue(segment, waiter);
}

apr_status_t apipool_wait_acquire(apipool_request_t *req, apipool_segment_t *segment,
                                  apipool_wanted_t *wanted, apr_time_t until,
                                  apipool_acquired_e *result, apr_time_t *retry_at, int *gone)
{
    apr_time_t now = apr_time_now();
    apr_status_t rv =
        apipool_pool_acquire(segment, wanted, now, req->attempt.lease, result, retry_at);
    *gone = 0;
    if (rv != APR_SUCCESS || !is_worth_waiting(*result) || now >= until) {
        return rv;
    }
    rv = get_in_line(segment, wanted);
    if (rv != APR_SUCCESS || (wanted->waiter == APIPOOL_NONE && !wanted->doubted_count)) {
        return rv;
    }
    wanted->tried_count = wanted->doubted_count; /* the others may serve it when they are back */
    while (rv == APR_SUCCESS && is_worth_waiting(*result) && now < until && !*gone) {
        pause_before_next(*result, now, until, *retry_at);
        now = apr_time_now();
        *gone = apipool_link_has_left(req->r->connection);
        if (!*gone) {
            rv = apipool_pool_acquire(segment, wanted, now, req->attempt.lease, result, retry_at);
        }
    }
    apr_status_t left = get_out_of_line(segment, wanted);
    if (rv == APR_SUCCESS && *result == APIPOOL_QUEUED) {
        rv = look_when(req, segment, wanted, retry_at);
    }
    return rv == APR_SUCCESS ? left : rv;
}
