/* SPDX-License-Identifier: Apache-2.0
 * Looking for the key of the next attempt. */
#include "acquire.h"

#include "budget.h"
#include "demand.h"
#include "reply.h"
#include "wait.h"

static apr_status_t acquire_among(apipool_request_t *req, apr_uint32_t without, int tried_count,
                                  apr_time_t wait_until, apipool_found_t *found)
{
    apipool_source_t sources[APIPOOL_UPSTREAMS_MAX];
    apipool_wanted_t wanted;
    apipool_demand_wanted(req, without, sources, &wanted);
    wanted.tried = req->budget->tried;
    wanted.tried_count = tried_count;
    wanted.doubted_count = req->budget->doubted_count;
    wanted.sure_first = req->budget->proving;
    return apipool_wait_acquire(req, apipool_relay_segment(), &wanted, wait_until, &found->result,
                                &found->retry_at, &found->gone);
}

/* A retry for the upstream's sake goes to another upstream if it can, then to another key, and then to
 * one it has used: the keys that were at fault have left the rotation, or are in doubt. */
static apr_status_t acquire_for_retry(apipool_request_t *req, apipool_found_t *found)
{
    int tried_count = req->budget->tried_count;
    apr_status_t rv = acquire_among(req, req->attempt.lease->group, tried_count, 0, found);
    if (rv == APR_SUCCESS && found->result != APIPOOL_ACQUIRED) {
        rv = acquire_among(req, APIPOOL_NONE, tried_count, req->budget->wait_until, found);
    }
    if (rv == APR_SUCCESS && found->result == APIPOOL_ALL_TRIED) {
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
        return acquire_among(req, req->attempt.lease->group, budget->tried_count, 0, found);
    }
    return acquire_among(req, APIPOOL_NONE, budget->tried_count, budget->wait_until, found);
}

apipool_found_t apipool_acquire(apipool_request_t *req, const apipool_verdict_t *last)
{
    struct apipool_budget_t *budget = req->budget;
    apipool_found_t found = {.result = APIPOOL_EXHAUSTED};
    apr_status_t rv = acquire_after(req, last, &found);
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_CRIT, rv, req->r,
                      APIPOOL_LOG(0032) "the pool's lock is not to be had");
        found.result = APIPOOL_EXHAUSTED;
    }
    if (found.result == APIPOOL_ACQUIRED) {
        budget->proving |= req->attempt.lease->proving;
        budget->tried[budget->tried_count++] = req->attempt.lease->slot;
    }
    return found;
}

void apipool_acquire_advise(apipool_request_t *req, const apipool_verdict_t *verdict)
{
    apipool_source_t sources[APIPOOL_UPSTREAMS_MAX];
    apipool_wanted_t wanted;
    apipool_acquired_e result;
    apr_time_t retry_at;

    if (verdict->event == APIPOOL_EVENT_NONE &&
        apipool_rule(verdict->rule)->says != APIPOOL_SAYS_COOLING) {
        return;
    }
    apipool_demand_wanted(req, APIPOOL_NONE, sources, &wanted);
    wanted.look_only = 1;
    if (apipool_pool_acquire(apipool_relay_segment(), &wanted, apr_time_now(), req->attempt.lease,
                             &result, &retry_at) == APR_SUCCESS) {
        apipool_reply_advise(req, result, retry_at);
    }
}
