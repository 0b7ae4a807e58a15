/* SPDX-License-Identifier: Apache-2.0
 * What comes of an attempt: its key is given back, its verdict told to the pool and to the log. */
#include "attempt_accounting.h"

#include <apr_strings.h>

#include "blame.h"
#include "budget.h"
#include "request_accounting.h"
#include "retry_after.h"
#include "token_count.h"

static const char *upstream_status(const apipool_request_t *req)
{
    return req->attempt.answering ? apr_itoa(req->r->pool, req->r->status) : "no answer";
}

/* Tokens that are charged to the key: what the answer says, nothing where the upstream refused. */
static apr_int64_t tokens_of(apipool_request_t *req, apipool_rule_e rule, apipool_tokens_e told,
                             const apipool_usage_t *usage)
{
    if (told != APIPOOL_TOKENS_NONE && usage->total >= 0) {
        return usage->total;
    }
    return apipool_rule(rule)->costs_prompt ? apipool_token_count_prompt(req) : 0;
}

/* For the client the same counts, but nothing that was set aside is given back where an answer has passed,
 * or some of it, and did not tell all. */
static apr_int64_t tokens_of_client(apipool_request_t *req, apipool_rule_e rule,
                                    apipool_tokens_e told, const apipool_usage_t *usage,
                                    apr_int64_t charged)
{
    int passed =
        req->attempt.passing && (rule == APIPOOL_RULE_SUCCESS || rule == APIPOOL_RULE_CLIENT_GONE ||
                                 rule == APIPOOL_RULE_BROKE_OFF);
    int is_known = told == APIPOOL_TOKENS_REPORTED ||
                   (told == APIPOOL_TOKENS_ESTIMATED && usage->completion >= 0);
    return !req->charge.serial || !passed || is_known || !apipool_endpoint_generates(req->kind) ||
                   apipool_token_count_is_put_off(req)
               ? charged
               : -1;
}

static void log_outcome(apipool_request_t *req, const apipool_outcome_t *outcome)
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
                      apipool_rule_name(outcome->rule), upstream_status(req),
                      apipool_state_name(outcome->state), outcome->doubted ? ", in doubt" : "");
    }
}

/* A success says nothing; it may be the last attempt only. */
static void keep_words(apipool_request_t *req, const apipool_words_t *words)
{
    if (!*words->text || req->attempts > APIPOOL_RECENT_ATTEMPTS) {
        return;
    }
    if (!req->said) {
        req->said = apr_array_make(req->r->pool, 2, sizeof(apipool_words_t));
    }
    while (req->said->nelts < req->attempts - 1) {
        memset(apr_array_push(req->said), 0, sizeof(apipool_words_t));
    }
    APR_ARRAY_PUSH(req->said, apipool_words_t) = *words;
}

static void leave_trail(apipool_request_t *req, apipool_rule_e rule)
{
    req->rule = rule;
    if (req->attempts <= APIPOOL_RECENT_ATTEMPTS) {
        apipool_recent_attempt_t *attempt = &req->trail[req->attempts - 1];
        attempt->key = req->attempt.lease->id;
        attempt->upstream = req->attempt.upstream->index;
        attempt->rule = (apr_uint16_t)rule;
        attempt->status = (apr_uint16_t)(req->attempt.answering ? req->r->status : 0);
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

void apipool_attempt_accounting_report(apipool_request_t *req, apipool_verdict_t *verdict,
                                       apr_time_t now)
{
    request_rec *r = req->r;
    apipool_outcome_t outcome = {.rule = verdict->rule};
    apipool_usage_t usage;
    apipool_tokens_e told = apipool_token_count_tokens(req, &usage);
    apr_time_t begun = req->attempt.lease->lent_at;
    apipool_report_t what = {
        .verdict = verdict,
        .client = req->demand.client,
        .finished = {.latency = now - begun,
                     .first_byte = req->attempt.passing ? req->first_byte_at - begun : -1,
                     .estimated = told == APIPOOL_TOKENS_ESTIMATED,
                     .tokens = usage},
        .status = r->status,
        .tokens = tokens_of(req, verdict->rule, told, &usage),
        .headroom = -1,
        .may_doubt = 1,
        .policy = &req->pool->policy,
    };
    if (req->attempt.answering) {
        what.headroom = apipool_retry_after_headroom(
            r->headers_out, req->attempt.upstream->provider, now, &what.headroom_until);
    }
    req->asked |= verdict->rule != APIPOOL_RULE_NOT_SENT; /* that one has never been sent */
    req->tokens = tokens_of_client(req, verdict->rule, told, &usage, what.tokens);
    if (verdict->rule == APIPOOL_RULE_SUCCESS && req->gate.mode == APIPOOL_GATE_PASSING) {
        leave_trail(req, APIPOOL_RULE_SUCCESS);
        what.request = apipool_request_accounting_describe(req, now);
    }
    apr_status_t rv =
        apipool_pool_report(apipool_lifecycle_segment(), req->attempt.lease, &what, now, &outcome);
    leave_trail(req, outcome.rule);
    keep_words(req, &verdict->words);
    if (outcome.rule == APIPOOL_RULE_SUCCESS) {
        apipool_token_count_note_habit(req);
        apipool_token_count_remember(req);
    }
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_CRIT, rv, r,
                      APIPOOL_LOG(0030) "could not acquire the shared-memory lock; the result "
                                        "of this attempt was not recorded");
        return;
    }
    const apipool_verdict_t as_judged = *verdict;
    req->counted = what.request;
    req->charge.is_in_flight &= !what.request;
    verdict->rule = outcome.rule;
    log_outcome(req, &outcome);
    if (outcome.doubted) {
        put_aside(req->budget);
        apipool_blame_remember(req, &as_judged, what.status, &outcome);
    }
}

void apipool_attempt_accounting_forbidden(apipool_request_t *req)
{
    for (apipool_forbidden_t *at = req->budget->forbidden; at; at = at->next) {
        apipool_report_t what = {
            .verdict = &at->verdict, .status = HTTP_FORBIDDEN, .policy = &req->pool->policy};
        apipool_pool_forbidden(apipool_lifecycle_segment(), at->lease, &what,
                               apipool_lifecycle_now());
    }
}
