/* SPDX-License-Identifier: Apache-2.0
 * What a request may still spend: further keys, retries, time. */
#include "budget.h"

#include <stddef.h>

#include "monotonic.h"

#define BACKOFF_FIRST 500 /* milliseconds, doubled per retry */
#define BACKOFF_MAX   5000
#define WORTH_TRYING  apr_time_from_msec(50) /* less than this before the deadline is not */

/* What the upstream asks for where it is overloaded counts, up to the longest pause there is. */
static apr_interval_time_t pause_before_retry(const apipool_request_t *req,
                                              const apipool_verdict_t *verdict)
{
    apr_int64_t done = req->pool->retries - req->budget->retries;
    apr_int64_t pause = apipool_shorter(BACKOFF_FIRST << apipool_shorter(done, 4), BACKOFF_MAX);
    pause *= (apr_int64_t)ap_random_pick(800, 1200);
    apr_interval_time_t named = verdict->retry_at ? verdict->retry_at - apipool_lifecycle_now() : 0;
    return named > pause && named <= apr_time_from_msec(BACKOFF_MAX) ? named : pause;
}

static int is_too_late(const struct apipool_budget_t *budget, apr_interval_time_t pause)
{
    return budget->deadline && apipool_monotonic_now() + pause + WORTH_TRYING >= budget->deadline;
}

static int may_rotate(const apipool_request_t *req, apipool_rule_e rule)
{
    const struct apipool_budget_t *budget = req->budget;
    return budget->rotations > 0 && (apipool_rule(rule)->again != APIPOOL_AGAIN_ELSEWHERE ||
                                     (!budget->not_found && req->pool->upstreams->nelts > 1));
}

int apipool_budget_allows(const apipool_request_t *req, const apipool_verdict_t *verdict)
{
    return !is_too_late(req->budget, 0) &&
           ((verdict->action == APIPOOL_ROTATE && may_rotate(req, verdict->rule)) ||
            (verdict->action == APIPOOL_RETRY && req->budget->retries > 0));
}

/* The current lease is to blame if another one succeeds. */
static void remember_forbidden(apipool_request_t *req, const apipool_verdict_t *verdict)
{
    struct apipool_budget_t *budget = req->budget;
    apipool_forbidden_t *forbidden = apr_palloc(req->r->pool, sizeof(*forbidden));
    forbidden->lease =
        apr_pmemdup(req->r->pool, req->attempt.lease, offsetof(apipool_lease_t, key));
    forbidden->verdict = *verdict;
    forbidden->next = budget->forbidden;
    budget->forbidden = forbidden;
}

int apipool_budget_spend(apipool_request_t *req, const apipool_verdict_t *verdict)
{
    struct apipool_budget_t *budget = req->budget;
    if (!apipool_budget_allows(req, verdict)) {
        return 0;
    }
    if (verdict->action == APIPOOL_ROTATE) {
        budget->rotations--;
        const apipool_rule_t *rule = apipool_rule(verdict->rule);
        if (rule->blames == APIPOOL_BLAMES_KEY_LATER) {
            remember_forbidden(req, verdict);
        }
        budget->not_found += rule->again == APIPOOL_AGAIN_ELSEWHERE;
        return 1;
    }
    apr_interval_time_t pause = pause_before_retry(req, verdict);
    if (is_too_late(budget, pause)) {
        return 0;
    }
    budget->pause = pause;
    budget->retries--;
    return 1;
}

struct apipool_budget_t *apipool_budget_make(const apipool_request_t *req, proxy_server_conf *conf)
{
    request_rec *r = req->r;
    const apipool_pool_conf_t *pool = req->pool;
    struct apipool_budget_t *budget = apr_pcalloc(r->pool, sizeof(*budget));
    apr_time_t now = apipool_monotonic_now();
    budget->conf = conf;
    budget->rotations = req->probing ? 0 : pool->rotations;
    budget->retries = req->probing ? 0 : pool->retries;
    budget->deadline = pool->deadline ? now + pool->deadline : 0;
    budget->wait_until =
        now + (pool->deadline ? apipool_shorter(pool->wait, pool->deadline) : pool->wait);
    budget->tried = apr_palloc(r->pool, sizeof(*budget->tried) *
                                            (apr_size_t)(pool->rotations + pool->retries + 1));
    budget->headers_out = r->headers_out;
    budget->verdict.action = APIPOOL_ROTATE;
    return budget;
}
