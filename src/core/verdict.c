/* SPDX-License-Identifier: Apache-2.0
 * The rules: what one attempt at an upstream means. */
#include "verdict.h"

#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "answer.h"
#include "when.h"

static const struct {
    const char *name;
    apipool_action_e action;
    apipool_scope_e scope;
    apipool_event_e event;
} rules[APIPOOL_RULE_COUNT] = {
    [APIPOOL_R00] = {"R00", APIPOOL_PASS, APIPOOL_SCOPE_NONE, APIPOOL_EVENT_SUCCESS},
    [APIPOOL_R01] = {"R01", APIPOOL_STOP, APIPOOL_SCOPE_CLIENT, APIPOOL_EVENT_NONE},
    [APIPOOL_R02] = {"R02", APIPOOL_STOP, APIPOOL_SCOPE_UPSTREAM, APIPOOL_EVENT_NONE},
    [APIPOOL_R03] = {"R03", APIPOOL_RETRY, APIPOOL_SCOPE_UPSTREAM, APIPOOL_EVENT_NONE},
    [APIPOOL_R04] = {"R04", APIPOOL_STOP, APIPOOL_SCOPE_UPSTREAM, APIPOOL_EVENT_NONE},
    [APIPOOL_R05] = {"R05", APIPOOL_ROTATE, APIPOOL_SCOPE_ACCOUNT, APIPOOL_EVENT_QUOTA_SPENT},
    [APIPOOL_R06] = {"R06", APIPOOL_ROTATE, APIPOOL_SCOPE_KEY, APIPOOL_EVENT_REJECTED},
    [APIPOOL_R07] = {"R07", APIPOOL_ROTATE, APIPOOL_SCOPE_KEY, APIPOOL_EVENT_RATE_LIMITED},
    [APIPOOL_R11] = {"R11", APIPOOL_PASS, APIPOOL_SCOPE_CLIENT, APIPOOL_EVENT_NONE},
    [APIPOOL_R12] = {"R12", APIPOOL_RETRY, APIPOOL_SCOPE_UPSTREAM, APIPOOL_EVENT_NONE},
    [APIPOOL_R14] = {"R14", APIPOOL_STOP, APIPOOL_SCOPE_NONE, APIPOOL_EVENT_NONE},
    [APIPOOL_R15] = {"R15", APIPOOL_STOP, APIPOOL_SCOPE_NONE, APIPOOL_EVENT_NONE},
};

/* Where a marker is looked for. A message is free text in which a vendor may quote what the client
 * sent, so only its beginning counts where the status does not already speak of the key. */
typedef enum {
    IN_FIELDS,      /* equals type, code or reason */
    STARTS_MESSAGE, /* the message begins with it */
    IN_KEY_MESSAGE, /* in the message, outside quotation marks, of 401, 402, 403 and 429 only */
    IN_REFUSAL /* either of these, of 401 and 403 only: what the client asked for was refused */
} where_e;

/* Tried in this order, so quota comes before rate limit and before credential. One row per fact.
 * Sources: the error guides of OpenAI, Anthropic, Gemini, Moonshot, SiliconFlow and Zhipu. */
static const struct {
    apipool_rule_e rule;
    where_e where;
    const char *text;
} markers[] = {
    {APIPOOL_R05, IN_FIELDS, "insufficient_quota"},
    {APIPOOL_R05, IN_FIELDS, "credit_balance_exhausted"},
    {APIPOOL_R05, IN_FIELDS, "organization_spend_limit_exceeded"},
    {APIPOOL_R05, IN_FIELDS, "project_spend_limit_exceeded"},
    {APIPOOL_R05, IN_FIELDS, "organization_usage_limit_exceeded"},
    {APIPOOL_R05, IN_FIELDS, "enforced_spend_limit_reached"},
    {APIPOOL_R05, IN_FIELDS, "exceeded_current_quota_error"},
    {APIPOOL_R05, IN_FIELDS, "blocked_api_access"},
    {APIPOOL_R05, IN_FIELDS, "billing_error"},
    {APIPOOL_R05, IN_FIELDS, "30001"},
    {APIPOOL_R05, IN_FIELDS, "1113"},
    {APIPOOL_R11, IN_REFUSAL, "model_not_found"},
    {APIPOOL_R11, IN_REFUSAL, "permission_error"},
    {APIPOOL_R11, IN_REFUSAL, "missing scopes"},
    {APIPOOL_R11, IN_REFUSAL, "insufficient permissions"},
    {APIPOOL_R05, STARTS_MESSAGE, "Your credit balance is too low"},
    {APIPOOL_R05, STARTS_MESSAGE, "You have reached your specified API usage limits"},
    {APIPOOL_R05, IN_KEY_MESSAGE, "credit balance"},
    {APIPOOL_R05, IN_KEY_MESSAGE, "spend limit"},
    {APIPOOL_R05, IN_KEY_MESSAGE, "spending cap"},
    {APIPOOL_R05, IN_KEY_MESSAGE, "api usage limits"},
    {APIPOOL_R05, IN_KEY_MESSAGE, "prepayment credits"},
    {APIPOOL_R05, IN_KEY_MESSAGE, "credits are depleted"},
    {APIPOOL_R05, IN_KEY_MESSAGE, "requires billing to be enabled"},
    {APIPOOL_R05, IN_KEY_MESSAGE, "key limit exceeded"},
    {APIPOOL_R05, IN_KEY_MESSAGE, "account is not active"},
    {APIPOOL_R05, IN_KEY_MESSAGE, "insufficient balance"},
    {APIPOOL_R06, IN_FIELDS, "invalid_api_key"},
    {APIPOOL_R06, IN_FIELDS, "authentication_error"},
    {APIPOOL_R06, IN_FIELDS, "invalid_authentication_error"},
    {APIPOOL_R06, IN_FIELDS, "UNAUTHENTICATED"},
    {APIPOOL_R06, IN_FIELDS, "API_KEY_INVALID"},
    {APIPOOL_R06, IN_FIELDS, "organization_restricted"},
    {APIPOOL_R06, IN_FIELDS, "account_deactivated"},
    {APIPOOL_R06, STARTS_MESSAGE, "API key not valid"},
    {APIPOOL_R06, STARTS_MESSAGE, "API key expired"},
    {APIPOOL_R07, IN_FIELDS, "rate_limit_exceeded"},
    {APIPOOL_R07, IN_FIELDS, "rate_limit_error"},
    {APIPOOL_R07, IN_FIELDS, "rate_limit_reached_error"},
    {APIPOOL_R07, IN_FIELDS, "RESOURCE_EXHAUSTED"},
    {APIPOOL_R07, IN_KEY_MESSAGE, "too many requests"},
    {APIPOOL_R07, IN_KEY_MESSAGE, "rate limit"},
    {APIPOOL_R07, IN_KEY_MESSAGE, "tokens per minute"},
    {APIPOOL_R07, IN_KEY_MESSAGE, "throttl"},
};

/* Looks outside quotation marks only: what a vendor quotes is the client's, a model's name for example. */
static int contains(const char *text, const char *part)
{
    apr_size_t len = strlen(part);
    char quote = '\0';
    for (; *text; text++) {
        if (quote) {
            quote = *text == quote ? '\0' : quote;
        }
        else if (*text == '`' || *text == '"' || *text == '\'') {
            quote = *text;
        }
        else if (!strncasecmp(text, part, len)) {
            return 1;
        }
    }
    return 0;
}

static int in_fields(const char *text, const apipool_answer_t *answer)
{
    return !strcasecmp(answer->type, text) || !strcasecmp(answer->code, text) ||
           !strcasecmp(answer->reason, text);
}

static int marked(where_e where, const char *text, int status, const apipool_answer_t *answer)
{
    switch (where) {
    case IN_FIELDS:
        return in_fields(text, answer);
    case STARTS_MESSAGE:
        return !strncasecmp(answer->message, text, strlen(text));
    case IN_KEY_MESSAGE:
        return (status == 401 || status == 402 || status == 403 || status == 429) &&
               contains(answer->message, text);
    case IN_REFUSAL:
        return (status == 401 || status == 403) &&
               (in_fields(text, answer) || contains(answer->message, text));
    }
    return 0;
}

/* Quota shows as 402, 403, 429 and even 400, so the body speaks before the status does. */
static apipool_rule_e client_error_rule(int status, const apipool_answer_t *answer)
{
    if (status == 402) { /* but for OpenRouter's, which says that others are still being paid for */
        return strcasecmp(answer->reason, "in_flight_budget_exhausted") ? APIPOOL_R05 : APIPOOL_R07;
    }
    for (apr_size_t i = 0; i < sizeof(markers) / sizeof(*markers); i++) {
        if (marked(markers[i].where, markers[i].text, status, answer)) {
            return markers[i].rule;
        }
    }
    return status == 401 ? APIPOOL_R06 : status == 429 ? APIPOOL_R07 : APIPOOL_R11;
}

/* 501 and 505 say what the upstream will never do; every other 5xx may pass, Cloudflare's 52x too. */
static apipool_rule_e error_rule(int status, const apipool_answer_t *answer)
{
    if (status < 500) {
        return client_error_rule(status, answer);
    }
    return status == 501 || status == 505 ? APIPOOL_R11 : APIPOOL_R12;
}

static apr_time_t named_time(const apipool_evidence_t *evidence, const apipool_answer_t *answer)
{
    apr_time_t at = evidence->headers ? apipool_when_headers(evidence->headers, evidence->now) : 0;
    if (answer->retry_in > 0 && answer->retry_in <= APIPOOL_WHEN_MAX &&
        evidence->now + answer->retry_in > at) {
        at = evidence->now + answer->retry_in;
    }
    return at;
}

apipool_verdict_t apipool_verdict(const apipool_evidence_t *evidence)
{
    static const apipool_rule_e unanswered[] = {
        [APIPOOL_PHASE_NOT_SENT] = APIPOOL_R03,
        [APIPOOL_PHASE_NO_ANSWER] = APIPOOL_R04,
        [APIPOOL_PHASE_BROKE] = APIPOOL_R02,
        [APIPOOL_PHASE_CLIENT_GONE] = APIPOOL_R01,
    };
    apipool_answer_t answer;
    apipool_verdict_t verdict = {0};

    if (evidence->phase != APIPOOL_PHASE_ANSWERED) {
        verdict.rule = unanswered[evidence->phase];
    }
    else if (evidence->status < 400) {
        verdict.rule = APIPOOL_R00;
    }
    else {
        apipool_answer_read(evidence->body ? evidence->body : "", evidence->body_len, &answer);
        verdict.rule = error_rule(evidence->status, &answer);
    }
    verdict.action = rules[verdict.rule].action;
    verdict.scope = rules[verdict.rule].scope;
    verdict.event = rules[verdict.rule].event;
    if (verdict.rule == APIPOOL_R07) {
        verdict.retry_at = named_time(evidence, &answer);
    }
    if (verdict.rule == APIPOOL_R04 && evidence->replay_safe) {
        verdict.action = APIPOOL_RETRY;
    }
    return verdict;
}

const char *apipool_rule_name(apipool_rule_e rule)
{
    return rules[rule].name;
}
