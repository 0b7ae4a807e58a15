/* SPDX-License-Identifier: Apache-2.0
 * Looking for the key of the next attempt, and waiting for one: APIPoolWait. */
#include "acquire.h"

#include "budget.h"
#include "client_conn.h"
#include "facts.h"
#include "monotonic.h"
#include "queue.h"
#include "reply.h"

#define LOOK_AGAIN                                                                                 \
    apr_time_from_msec(100) /* at the clock may not be all: a key may be given back */
#define WHEN_BUSY apr_time_from_msec(10)
#define SHORTEST  apr_time_from_msec(1)

static int is_worth_waiting(apipool_acquired_e result)
{
    return result == APIPOOL_ALL_COOLING || result == APIPOOL_ALL_BUSY ||
           result == APIPOOL_ALL_PAUSED || result == APIPOOL_QUEUED;
}

static void pause_before_next(const apipool_found_t *found, apr_time_t now, apr_time_t until)
{
    apr_interval_time_t pause =
        apipool_shorter(found->lent.result == APIPOOL_ALL_BUSY ? WHEN_BUSY : LOOK_AGAIN,
                        until - apipool_monotonic_now());
    pause = found->lent.retry_at ? apipool_shorter(pause, found->lent.retry_at - now) : pause;
    apr_sleep(pause > SHORTEST ? pause : SHORTEST);
}

static apr_status_t look(const apipool_request_t *req, const apipool_lend_request_t *wanted,
                         apr_time_t now, apipool_found_t *found)
{
    return apipool_pool_lend(apipool_lifecycle_segment(), wanted, now, req->attempt.lease,
                             &found->lent);
}

/* Waits in line with others for a key, without holding anything but its thread. Keys that are in doubt for
 * one request are there for all others, who would not get them with that one at the head of their line. */
static apr_status_t wait_for_key(apipool_request_t *req, apipool_lend_request_t *wanted,
                                 apr_time_t until, apipool_found_t *found)
{
    apipool_segment_t *segment = apipool_lifecycle_segment();
    apr_time_t now = apr_time_now();
    apr_status_t left = APR_SUCCESS, rv = APR_SUCCESS;
    if (!wanted->doubted_count) {
        rv = apipool_pool_enter_queue(segment, wanted->pool, wanted->waits_for, &wanted->waiter);
        if (rv != APR_SUCCESS || wanted->waiter == APIPOOL_NONE) {
            return rv;
        }
    }
    wanted->tried_count = wanted->doubted_count; /* the others may serve it when they are back */
    while (rv == APR_SUCCESS && is_worth_waiting(found->lent.result) && !found->gone &&
           apipool_monotonic_now() < until) {
        pause_before_next(found, now, until);
        now = apr_time_now();
        found->gone = apipool_client_conn_is_gone(req);
        rv = found->gone ? rv : look(req, wanted, now, found);
    }
    if (wanted->waiter != APIPOOL_NONE) {
        left = apipool_pool_leave_queue(segment, wanted->waiter);
        wanted->waiter = APIPOOL_NONE;
    }
    if (rv == APR_SUCCESS && found->lent.result == APIPOOL_QUEUED) {
        /* who was not the first in line does not know yet when a key comes free */
        apipool_found_t when = {.lent.result = APIPOOL_QUEUED};
        wanted->look_only = 1;
        rv = look(req, wanted, apr_time_now(), &when);
        found->lent.retry_at = when.lent.retry_at;
    }
    return rv == APR_SUCCESS ? left : rv;
}

/* Acquires a key, and waits for one: until the pool's time for it is over, or the deadline, or the client
 * leaves. While it waits, keys that this request has used before count as any other: they have come free
 * since. Keys that it has left in doubt stay out.
 * without: an upstream's index, or APIPOOL_NONE; wait_until: of apipool_monotonic_now(), in the
 * past to try once */
static apr_status_t acquire_among(apipool_request_t *req, apr_uint32_t without, int tried_count,
                                  apr_time_t wait_until, apipool_found_t *found)
{
    apr_time_t now = apr_time_now();
    apipool_source_t sources[APIPOOL_UPSTREAMS_PER_POOL];
    apipool_lend_request_t wanted;
    apipool_facts_wanted(req, without, sources, &wanted);
    wanted.tried = req->budget->tried;
    wanted.tried_count = tried_count;
    wanted.doubted_count = req->budget->doubted_count;
    wanted.sure_first = req->budget->proving;
    apr_status_t rv = look(req, &wanted, now, found);
    return rv == APR_SUCCESS && is_worth_waiting(found->lent.result) &&
                   apipool_monotonic_now() < wait_until
               ? wait_for_key(req, &wanted, wait_until, found)
               : rv;
}

/* A retry for the upstream's sake goes to another upstream if it can, then to another key, and then to
 * one it has used: the keys that were at fault have left the rotation, or are in doubt. */
static apr_status_t acquire_for_retry(apipool_request_t *req, apipool_found_t *found)
{
    int tried_count = req->budget->tried_count;
    apr_status_t rv = acquire_among(req, req->attempt.lease->upstream, tried_count, 0, found);
    if (rv == APR_SUCCESS && found->lent.result != APIPOOL_ACQUIRED) {
        rv = acquire_among(req, APIPOOL_NONE, tried_count, req->budget->wait_until, found);
    }
    if (rv == APR_SUCCESS && found->lent.result == APIPOOL_ALL_TRIED) {
        rv = acquire_among(req, APIPOOL_NONE, req->budget->doubted_count, req->budget->wait_until,
                           found);
    }
    return rv;
}

static apr_status_t acquire_after(apipool_request_t *req, const apipool_verdict_t *last,
                                  apipool_found_t *found)
{
    const struct apipool_budget_t *budget = req->budget;
    if (last->action == APIPOOL_RETRY) {
        return acquire_for_retry(req, found);
    }
    if (apipool_rule(last->rule)->again == APIPOOL_AGAIN_ELSEWHERE) {
        return acquire_among(req, req->attempt.lease->upstream, budget->tried_count, 0, found);
    }
    return acquire_among(req, APIPOOL_NONE, budget->tried_count, budget->wait_until, found);
}

apipool_found_t apipool_acquire(apipool_request_t *req, const apipool_verdict_t *last)
{
    struct apipool_budget_t *budget = req->budget;
    apipool_found_t found = {.lent.result = APIPOOL_EXHAUSTED};
    apr_status_t rv = acquire_after(req, last, &found);
    if (rv != APR_SUCCESS) {
        ap_log_rerror(
            APLOG_MARK, APLOG_CRIT, rv, req->r,
            APIPOOL_LOG(0032) "could not acquire the shared-memory lock; no key was lent");
        found.lent.result = APIPOOL_EXHAUSTED;
    }
    if (found.lent.result == APIPOOL_ACQUIRED) {
        budget->proving |= req->attempt.lease->proving;
        budget->tried[budget->tried_count++] = req->attempt.lease->slot;
    }
    return found;
}

void apipool_acquire_advise(apipool_request_t *req, const apipool_verdict_t *verdict)
{
    apipool_source_t sources[APIPOOL_UPSTREAMS_PER_POOL];
    apipool_lend_request_t wanted;
    apipool_found_t found;

    if (verdict->event == APIPOOL_EVENT_NONE &&
        apipool_rule(verdict->rule)->says != APIPOOL_SAYS_COOLING) {
        return;
    }
    apipool_facts_wanted(req, APIPOOL_NONE, sources, &wanted);
    wanted.look_only = 1;
    if (look(req, &wanted, apr_time_now(), &found) == APR_SUCCESS) {
        apipool_reply_advise(req, found.lent.result, found.lent.retry_at);
    }
}
