/* SPDX-License-Identifier: Apache-2.0
 * What comes of an attempt: its key is given back, its verdict told to the pool and to the log. */
#include "settle.h"

#include <apr_strings.h>
#include <stddef.h>

#include "budget.h"
#include "count.h"
#include "evidence.h"
#include "outcome.h"
#include "when.h"

static const char *upstream_status(const apipool_request_t *req, int status)
{
    int shown = apipool_evidence_is_overridden(req, status) ? status : req->r->status;
    return req->attempt.answering || apipool_evidence_is_overridden(req, status)
               ? apr_itoa(req->r->pool, shown)
               : "no answer";
}

/* Tokens that are charged to the key: what the answer says, nothing where the upstream refused. */
static apr_int64_t tokens_of(apipool_request_t *req, apipool_rule_e rule, apipool_tokens_e told,
                             const apipool_usage_t *usage)
{
    if (told != APIPOOL_TOKENS_NONE && usage->total >= 0) {
        return usage->total;
    }
    return rule == APIPOOL_R01 || rule == APIPOOL_R02 || rule == APIPOOL_R04
               ? apipool_count_prompt(req)
               : 0;
}

/* For the client the same counts, but nothing that was set aside is given back where an answer passed and
 * did not tell all. */
static apr_int64_t tokens_of_client(const apipool_request_t *req, apipool_rule_e rule,
                                    apipool_tokens_e told, const apipool_usage_t *usage,
                                    apr_int64_t charged)
{
    int passed = rule == APIPOOL_R00 || rule == APIPOOL_R01 || rule == APIPOOL_R02;
    int is_known = told == APIPOOL_TOKENS_REPORTED ||
                   (told == APIPOOL_TOKENS_ESTIMATED && usage->completion >= 0);
    return !req->charge.serial || !passed || is_known || !apipool_endpoint_generates(req->kind)
               ? charged
               : -1;
}

static void log_outcome(apipool_request_t *req, const apipool_outcome_t *outcome, int status)
{
    char id[APIPOOL_ID_SIZE];
    int level = outcome->lost                            ? APLOG_WARNING
                : outcome->doubted                       ? APLOG_INFO
                : outcome->state == APIPOOL_STATE_ACTIVE ? APLOG_DEBUG
                                                         : APLOG_INFO;
    if (APLOG_R_IS_LEVEL(req->r, level)) {
        apipool_key_id_hex(req->attempt.lease->id, id);
        ap_log_rerror(APLOG_MARK, level, 0, req->r,
                      APIPOOL_LOG(0031) "pool %s, attempt %d, upstream %s, key %s: %s (%s), %s%s",
                      req->pool->name, req->attempts, req->attempt.upstream->name, id,
                      apipool_rule_name(outcome->rule), upstream_status(req, status),
                      apipool_state_name(outcome->state), outcome->doubted ? ", in doubt" : "");
    }
}

static void leave_trail(apipool_request_t *req, apipool_rule_e rule)
{
    req->rule = rule;
    if (req->attempts <= APIPOOL_RECENT_ATTEMPTS) {
        apipool_recent_attempt_t *attempt = &req->trail[req->attempts - 1];
        attempt->key = req->attempt.lease->id;
        attempt->group = req->attempt.upstream->group;
        attempt->rule = rule;
    }
}

/* The key that was tried last is not tried again, not even for a retry. */
static void put_aside(struct apipool_budget_t *budget)
{
    apr_uint32_t *last = &budget->tried[budget->tried_count - 1];
    apr_uint32_t *place = &budget->tried[budget->doubted_count++];
    apr_uint32_t slot = *last;
    *last = *place;
    *place = slot;
}

/* --- Keys in doubt --- */

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

static void remember_doubt(apipool_request_t *req, const apipool_verdict_t *verdict, int status,
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

/* --- The end of an attempt --- */

void apipool_settle_report(apipool_request_t *req, apipool_verdict_t *verdict, int status,
                           apr_time_t now)
{
    request_rec *r = req->r;
    apipool_outcome_t outcome = {.rule = verdict->rule};
    apipool_usage_t usage;
    apipool_tokens_e told = apipool_count_tokens(req, &usage);
    apr_time_t begun = req->attempt.lease->lent_at;
    apipool_report_t what = {
        .verdict = verdict,
        .client = req->demand.client,
        .finished = {.latency = now - begun,
                     .first_byte = req->attempt.passing ? req->first_byte_at - begun : -1,
                     .estimated = told == APIPOOL_TOKENS_ESTIMATED,
                     .tokens = usage},
        .status = apipool_evidence_is_overridden(req, status) ? status : r->status,
        .tokens = tokens_of(req, verdict->rule, told, &usage),
        .headroom = -1,
        .may_doubt = 1,
        .policy = &req->pool->policy,
    };
    if (req->attempt.answering) {
        what.headroom = apipool_when_headroom(r->headers_out, req->attempt.upstream->provider, now,
                                              &what.headroom_until);
    }
    req->asked |= verdict->rule != APIPOOL_R03; /* that one has never been sent */
    req->tokens = tokens_of_client(req, verdict->rule, told, &usage, what.tokens);
    if (verdict->rule == APIPOOL_R00 && req->gate.mode == APIPOOL_GATE_PASSING) {
        leave_trail(req, APIPOOL_R00);
        what.request = apipool_outcome_describe(req, now);
    }
    apr_status_t rv =
        apipool_pool_report(apipool_relay_segment(), req->attempt.lease, &what, now, &outcome);
    leave_trail(req, outcome.rule);
    if (outcome.rule == APIPOOL_R00) {
        apipool_count_note_habit(req);
    }
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_CRIT, rv, r,
                      APIPOOL_LOG(0030) "the pool's lock is not to be had; a result is lost");
        return;
    }
    req->counted = what.request;
    req->charge.is_in_flight &= !what.request;
    verdict->rule = outcome.rule;
    log_outcome(req, &outcome, status);
    if (outcome.doubted) {
        put_aside(req->budget);
        remember_doubt(req, verdict, what.status, &outcome);
    }
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
    apr_status_t rv = apipool_pool_doubt(apipool_relay_segment(), entry->lease, &what, doubted,
                                         apr_time_now(), &outcome);
    if (rv == APR_SUCCESS) {
        log_doubt(req, entry, &outcome);
    }
    else {
        ap_log_rerror(APLOG_MARK, APLOG_CRIT, rv, req->r,
                      APIPOOL_LOG(0038) "the pool's lock is not to be had; a doubt is lost");
    }
}

/* group: of the key that has served the request, or APIPOOL_NONE. */
static void settle_all(apipool_request_t *req, apr_uint32_t group)
{
    const struct apipool_doubts_t *doubts = req->doubts;
    req->doubts = NULL;
    for (int i = 0; doubts && i < doubts->entries->nelts; i++) {
        const entry_t *entry = &APR_ARRAY_IDX(doubts->entries, i, entry_t);
        settle(req, entry,
               entry->lease->group != group ? APIPOOL_DOUBT_ENDED
               : doubts->several            ? APIPOOL_DOUBT_SERVED
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
    settle_all(req, req->attempt.lease->group);
}

void apipool_blame_settle(apipool_request_t *req)
{
    settle_all(req, APIPOOL_NONE);
}

void apipool_blame_remember_forbidden(apipool_request_t *req, const apipool_verdict_t *verdict)
{
    req->budget->forbidden = copy_lease(req);
    req->budget->forbidden_verdict = *verdict;
}

void apipool_blame_forbidden(apipool_request_t *req)
{
    struct apipool_budget_t *budget = req->budget;
    apipool_report_t what = {.verdict = &budget->forbidden_verdict,
                             .status = HTTP_FORBIDDEN,
                             .policy = &req->pool->policy};
    if (budget->forbidden) {
        apipool_pool_forbidden(apipool_relay_segment(), budget->forbidden, &what, apr_time_now());
    }
}
