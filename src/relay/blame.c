/* SPDX-License-Identifier: Apache-2.0
 * Keys that a request leaves in doubt: were they at fault, or the request itself? */
#include "blame.h"

#include <stddef.h>

/* One that a request leaves in doubt: was it at fault, or the request itself? */
typedef struct {
    apipool_lease_t *lease; /* without its secret */
    apipool_verdict_t verdict;
    int status;
    apr_uint64_t account;
} entry_t;

struct apipool_doubts_t {
    apr_array_header_t *entries;
    int several; /* accounts: it is not likely that all of them are at fault */
};

/* Of the attempt, without its secret. */
static apipool_lease_t *copy_lease(const apipool_request_t *req)
{
    return apr_pmemdup(req->r->pool, req->attempt.lease, offsetof(apipool_lease_t, key));
}

void apipool_blame_remember(apipool_request_t *req, const apipool_verdict_t *verdict, int status,
                            const apipool_outcome_t *outcome)
{
    apr_pool_t *p = req->r->pool;
    if (!req->doubts) {
        req->doubts = apr_pcalloc(p, sizeof(*req->doubts));
        req->doubts->entries = apr_array_make(p, 4, sizeof(entry_t));
    }
    apr_array_header_t *entries = req->doubts->entries;
    if (entries->nelts) {
        apr_uint64_t first = APR_ARRAY_IDX(entries, 0, entry_t).account;
        req->doubts->several |= !first || outcome->account != first;
    }
    APR_ARRAY_PUSH(entries, entry_t) =
        (entry_t){copy_lease(req), *verdict, status, outcome->account};
}

static void log_doubt(const apipool_request_t *req, const entry_t *entry,
                      const apipool_outcome_t *outcome)
{
    char id[APIPOOL_ID_SIZE];
    apipool_key_id_hex(entry->lease->id, id);
    if (outcome->lost) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, req->r,
                      APIPOOL_LOG(0036) "pool %s, key %s: %s is the key's fault, %s",
                      req->pool->name, id, apipool_rule_name(outcome->rule),
                      apipool_state_name(outcome->state));
    }
    else if (outcome->rests) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, req->r,
                      APIPOOL_LOG(0160) "pool %s, key %s: %s for a model that another key serves, "
                                        "rests for this model",
                      req->pool->name, id, apipool_rule_name(outcome->rule));
    }
    else {
        ap_log_rerror(APLOG_MARK, outcome->asked ? APLOG_INFO : APLOG_DEBUG, 0, req->r,
                      APIPOOL_LOG(0037) "pool %s, key %s: %s may be the request's fault, %s",
                      req->pool->name, id, apipool_rule_name(outcome->rule),
                      outcome->asked ? "a probe will ask about the key"
                                     : "a probe has asked about the key lately");
    }
}

static void settle(apipool_request_t *req, const entry_t *entry, apipool_doubted_e doubted)
{
    apipool_report_t what = {.verdict = &entry->verdict,
                             .client = req->demand.client,
                             .status = entry->status,
                             .policy = &req->pool->policy};
    apipool_outcome_t outcome;
    apr_status_t rv = apipool_pool_doubt(apipool_lifecycle_segment(), entry->lease, &what, doubted,
                                         apipool_lifecycle_now(), &outcome);
    if (rv == APR_SUCCESS) {
        log_doubt(req, entry, &outcome);
    }
    else {
        ap_log_rerror(APLOG_MARK, APLOG_CRIT, rv, req->r,
                      APIPOOL_LOG(0038) "could not acquire the shared-memory lock; a key in "
                                        "doubt stays in doubt");
    }
}

/* upstream: of the key that has served the request, or APIPOOL_NONE. */
static void settle_all(apipool_request_t *req, apr_uint32_t upstream)
{
    const struct apipool_doubts_t *doubts = req->doubts;
    req->doubts = NULL;
    for (int i = 0; doubts && i < doubts->entries->nelts; i++) {
        const entry_t *entry = &APR_ARRAY_IDX(doubts->entries, i, entry_t);
        settle(req, entry,
               entry->lease->upstream != upstream ? APIPOOL_DOUBT_ENDED
               : doubts->several                  ? APIPOOL_DOUBT_SERVED
                                                  : APIPOOL_DOUBT_BLAMED);
    }
}

void apipool_blame_turn(apipool_request_t *req, apipool_lease_t *lease,
                        const apipool_verdict_t *verdict, int status)
{
    const entry_t entry = {.lease = lease, .verdict = *verdict, .status = status};
    settle(req, &entry, APIPOOL_DOUBT_ENDED);
}

void apipool_blame_settle_served(apipool_request_t *req)
{
    settle_all(req, req->attempt.lease->upstream);
}

void apipool_blame_settle(apipool_request_t *req)
{
    settle_all(req, APIPOOL_NONE);
}
