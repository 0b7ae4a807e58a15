/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/verdict: answers of all vendors, and attempts without an answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <apr_general.h>

#include "verdict.h"

#define NOW apr_time_from_sec(1795348800) /* Sun, 22 Nov 2026 12:00:00 GMT */
#define OPENAI(type, code, message)                                                                \
    "{\"error\":{\"message\":\"" message "\",\"type\":\"" type                                     \
    "\",\"param\":null,\"code\":\"" code "\"}}"
#define ANTHROPIC(type, message)                                                                   \
    "{\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"" message                  \
    "\"},\"request_id\":\"req_011\"}"
#define GEMINI(code, status, message, details)                                                     \
    "{\"error\":{\"code\":" code ",\"message\":\"" message "\",\"status\":\"" status               \
    "\",\"details\":[" details "]}}"

typedef struct {
    const char *name;
    int status;
    const char *body;
    apipool_rule_e rule;
} row_t;

static apipool_verdict_t judge(int status, const char *body)
{
    apipool_evidence_t evidence = {.phase = APIPOOL_PHASE_ANSWERED,
                                   .status = status,
                                   .body = body,
                                   .body_len = body ? strlen(body) : 0,
                                   .now = NOW};
    return apipool_verdict(&evidence);
}

static void check_rows(const row_t *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        apipool_rule_e rule = judge(rows[i].status, rows[i].body).rule;
        if (rule != rows[i].rule) {
            fail_msg("%s: %s", rows[i].name, apipool_rule_name(rule));
        }
    }
}

static const row_t quota[] = {
    {"OpenAI", 429,
     OPENAI("insufficient_quota", "insufficient_quota",
            "You exceeded your current quota, please check your plan and billing details."),
     APIPOOL_RULE_QUOTA},
    {"OpenAI, credit", 429, OPENAI("billing", "credit_balance_exhausted", "Please add credits."),
     APIPOOL_RULE_QUOTA},
    {"OpenAI, organisation's spend", 429,
     OPENAI("requests", "organization_spend_limit_exceeded", "x"), APIPOOL_RULE_QUOTA},
    {"quota wins where the type says rate limit", 429,
     OPENAI("rate_limit_exceeded", "insufficient_quota", "Rate limit reached"), APIPOOL_RULE_QUOTA},
    {"quota wins where the message says rate limit", 429,
     OPENAI("requests", "x", "Rate limit: the spend limit of this project is reached"),
     APIPOOL_RULE_QUOTA},
    {"Anthropic says 400", 400,
     ANTHROPIC("invalid_request_error",
               "Your credit balance is too low to access the Anthropic API. Please go to Plans & "
               "Billing to upgrade or purchase credits."),
     APIPOOL_RULE_QUOTA},
    {"Anthropic, enforced limit", 429,
     ANTHROPIC("enforced_spend_limit_reached", "This request would exceed the limit"),
     APIPOOL_RULE_QUOTA},
    {"Gemini, prepay", 429,
     GEMINI("429", "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted.", ""),
     APIPOOL_RULE_QUOTA},
    {"Gemini, billing", 403,
     GEMINI("403", "PERMISSION_DENIED", "This API requires billing to be enabled.", ""),
     APIPOOL_RULE_QUOTA},
    {"SiliconFlow says 403", 403,
     "{\"code\":30001,\"message\":\"Sorry, your account balance is insufficient\",\"data\":null}",
     APIPOOL_RULE_QUOTA},
    {"DeepSeek", 402, OPENAI("unknown_error", "invalid_request_error", "Insufficient Balance"),
     APIPOOL_RULE_QUOTA},
    {"OpenRouter", 402, "{\"error\":{\"code\":402,\"message\":\"Insufficient credits\"}}",
     APIPOOL_RULE_QUOTA},
    {"OpenRouter, key limit", 403,
     "{\"error\":{\"code\":403,\"message\":\"Key limit exceeded (total limit)\"}}",
     APIPOOL_RULE_QUOTA},
    {"Moonshot says 429", 429,
     "{\"error\":{\"message\":\"Your account is suspended, please check your plan and billing "
     "details\",\"type\":\"exceeded_current_quota_error\"}}",
     APIPOOL_RULE_QUOTA},
    {"Zhipu says 429", 429,
     "{\"error\":{\"code\":\"1113\",\"message\":\"\xe4\xbd\x99\xe9\xa2\x9d\xe4\xb8\x8d\xe8\xb6\xb3"
     "\"}}",
     APIPOOL_RULE_QUOTA},
    {"blocked access", 403, OPENAI("access_terminated", "blocked_api_access", "x"),
     APIPOOL_RULE_QUOTA},
    {"402 alone", 402, "", APIPOOL_RULE_QUOTA},
    {"402 wins over a rate limit", 402, OPENAI("x", "rate_limit_exceeded", "Rate limit"),
     APIPOOL_RULE_QUOTA},
    {"a bare string", 403, "\"Your credit balance is not enough\"", APIPOOL_RULE_QUOTA},
};

static void a_spent_quota_or_balance_is_r05(void **unused)
{
    check_rows(quota, sizeof(quota) / sizeof(*quota));
}

static const row_t credential[] = {
    {"OpenAI", 401,
     OPENAI("invalid_request_error", "invalid_api_key",
            "Incorrect API key provided: sk-abcd****wxyz. You can find your API key at"),
     APIPOOL_RULE_CREDENTIAL},
    {"Azure", 401,
     "{\"error\":{\"code\":\"401\",\"message\":\"Access denied due to invalid subscription key or "
     "wrong API endpoint.\"}}",
     APIPOOL_RULE_CREDENTIAL},
    {"Anthropic", 401, ANTHROPIC("authentication_error", "invalid x-api-key"),
     APIPOOL_RULE_CREDENTIAL},
    {"Gemini says 400", 400,
     GEMINI("400", "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.",
            "{\"reason\":\"API_KEY_INVALID\",\"domain\":\"googleapis.com\"}"),
     APIPOOL_RULE_CREDENTIAL},
    {"Gemini says 400, in an array", 400,
     "[" GEMINI("400", "INVALID_ARGUMENT", "x", "{\"reason\":\"API_KEY_INVALID\"}") "]",
     APIPOOL_RULE_CREDENTIAL},
    {"Gemini, unauthenticated", 401, GEMINI("401", "UNAUTHENTICATED", "x", ""),
     APIPOOL_RULE_CREDENTIAL},
    {"SiliconFlow, a bare string", 401, "\"Invalid token\"", APIPOOL_RULE_CREDENTIAL},
    {"Moonshot", 401, OPENAI("invalid_authentication_error", "", "Invalid Authentication"),
     APIPOOL_RULE_CREDENTIAL},
    {"invalid key as 403", 403, OPENAI("x", "invalid_api_key", "x"), APIPOOL_RULE_CREDENTIAL},
    {"401 alone", 401, "", APIPOOL_RULE_CREDENTIAL},
    {"401 with HTML", 401, "<html>Unauthorized</html>", APIPOOL_RULE_CREDENTIAL},
    {"401 with truncated JSON", 401, "{\"error\":{\"mess", APIPOOL_RULE_CREDENTIAL},
};

static void a_rejected_credential_is_r06(void **unused)
{
    check_rows(credential, sizeof(credential) / sizeof(*credential));
}

static const row_t rate[] = {
    {"OpenAI", 429,
     OPENAI("tokens", "rate_limit_exceeded",
            "Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM): Limit "
            "30000, Used 29000, Requested 2000. Please try again in 2s."),
     APIPOOL_RULE_RATE_LIMIT},
    {"Azure", 429,
     "{\"error\":{\"code\":\"429\",\"message\":\"Requests to the ChatCompletions_Create Operation "
     "have exceeded call rate limit. Please retry after 7 seconds.\"}}",
     APIPOOL_RULE_RATE_LIMIT},
    {"Anthropic", 429,
     ANTHROPIC("rate_limit_error", "This request would exceed your organization's rate limit"),
     APIPOOL_RULE_RATE_LIMIT},
    {"Gemini", 429,
     GEMINI("429", "RESOURCE_EXHAUSTED", "You exceeded your current quota.",
            "{\"retryDelay\":\"34s\"}"),
     APIPOOL_RULE_RATE_LIMIT},
    {"SiliconFlow", 429,
     "{\"message\":\"Request was rejected due to rate limiting. Details:TPM limit reached.\","
     "\"data\":null}",
     APIPOOL_RULE_RATE_LIMIT},
    {"OpenRouter", 429, "{\"error\":{\"code\":429,\"message\":\"Provider returned error\"}}",
     APIPOOL_RULE_RATE_LIMIT},
    {"OpenRouter, requests in flight, says 402", 402,
     "{\"error\":{\"message\":\"This request would exceed your available credits given your "
     "current in-flight requests. Retry after in-flight requests settle, or add credits.\","
     "\"code\":402,"
     "\"metadata\":{\"reason\":\"in_flight_budget_exhausted\","
     "\"limit_source\":\"openrouter_in_flight_budget\"}}}",
     APIPOOL_RULE_RATE_LIMIT},
    {"Moonshot", 429, OPENAI("rate_limit_reached_error", "", "max RPM: 3"),
     APIPOOL_RULE_RATE_LIMIT},
    {"Zhipu", 429, "{\"error\":{\"code\":\"1302\",\"message\":\"x\"}}", APIPOOL_RULE_RATE_LIMIT},
    {"a limit that mentions permissions", 429, OPENAI("x", "x", "insufficient permissions"),
     APIPOOL_RULE_RATE_LIMIT},
    {"the message of a 403", 403, OPENAI("x", "x", "Too Many Requests"), APIPOOL_RULE_RATE_LIMIT},
    {"throttled as 403", 403, "{\"message\":\"Request was throttled.\"}", APIPOOL_RULE_RATE_LIMIT},
    {"the code of a 400", 400, OPENAI("x", "rate_limit_exceeded", "x"), APIPOOL_RULE_RATE_LIMIT},
    {"429 alone", 429, "", APIPOOL_RULE_RATE_LIMIT},
    {"Cloudflare", 429, "error code: 1015", APIPOOL_RULE_RATE_LIMIT},
    {"429 with HTML", 429, "<html><title>429 Too Many Requests</title></html>",
     APIPOOL_RULE_RATE_LIMIT},
    {"429 with truncated JSON", 429, "{\"error\":{\"mess", APIPOOL_RULE_RATE_LIMIT},
};

static void a_rate_limit_is_r07(void **unused)
{
    check_rows(rate, sizeof(rate) / sizeof(*rate));
}

static const row_t clients[] = {
    {"a bad parameter", 400, OPENAI("invalid_request_error", "x", "Invalid value: 'x'"),
     APIPOOL_RULE_CLIENT_ERROR},
    {"a quoted prompt with credit balance", 400,
     OPENAI("invalid_request_error", "invalid_value",
            "Invalid content: 'Explain: your credit balance is too low, insufficient balance'"),
     APIPOOL_RULE_CLIENT_ERROR},
    {"a quoted prompt with rate limit", 400,
     OPENAI("invalid_request_error", "invalid_value",
            "Invalid content: 'too many requests, rate limit, tokens per minute, throttled'"),
     APIPOOL_RULE_CLIENT_ERROR},
    {"a quoted prompt with a bad key", 400,
     ANTHROPIC("invalid_request_error", "messages.0: 'API key not valid, invalid_api_key'"),
     APIPOOL_RULE_CLIENT_ERROR},
    {"a quoted prompt with spending", 422,
     "{\"detail\":[{\"msg\":\"no\",\"input\":\"spend limit, spending cap, api usage limits\"}],"
     "\"message\":\"input: spend limit, spending cap, api usage limits, key limit exceeded\"}",
     APIPOOL_RULE_CLIENT_ERROR},
    {"a quoted prompt as text", 400, "cannot parse: insufficient_quota credit balance",
     APIPOOL_RULE_CLIENT_ERROR},
    {"a quoted prompt in truncated JSON", 400,
     "{\"error\":{\"code\":\"insufficient_quota\",\"message\":\"credit bal",
     APIPOOL_RULE_CLIENT_ERROR},
    {"a quoted prompt in a member nobody reads", 400,
     "{\"error\":{\"message\":\"no\",\"param\":\"insufficient_quota\"}}",
     APIPOOL_RULE_CLIENT_ERROR},
    {"Gemini, bad argument", 400, GEMINI("400", "INVALID_ARGUMENT", "Invalid JSON payload.", ""),
     APIPOOL_RULE_CLIENT_ERROR},
    {"Anthropic, permission", 403, ANTHROPIC("permission_error", "Your key may not"),
     APIPOOL_RULE_CLIENT_ERROR},
    {"OpenRouter, moderation", 403,
     "{\"error\":{\"code\":403,\"message\":\"Your input was flagged\",\"metadata\":"
     "{\"reasons\":[\"violence\"],\"flagged_input\":\"credit balance\"}}}",
     APIPOOL_RULE_CLIENT_ERROR},
    {"no such path", 404, "404 page not found", APIPOOL_RULE_CLIENT_ERROR},
    {"no such method", 405, "", APIPOOL_RULE_CLIENT_ERROR},
    {"request timeout", 408, "", APIPOOL_RULE_CLIENT_ERROR},
    {"too large", 413, ANTHROPIC("request_too_large", "x"), APIPOOL_RULE_CLIENT_ERROR},
    {"a bare string", 400, "\"bad request\"", APIPOOL_RULE_CLIENT_ERROR},
    {"a scope that the key lacks", 401,
     OPENAI("invalid_request_error", "x",
            "You have insufficient permissions for this operation. Missing scopes: api.x.read."),
     APIPOOL_RULE_CLIENT_ERROR},
    {"a prompt in a File's name", 403,
     GEMINI("403", "PERMISSION_DENIED", "You do not have permission to access the File rate limit",
            ""),
     APIPOOL_RULE_CLIENT_ERROR},
    {"more tokens than the limit allows", 429,
     OPENAI("tokens", "rate_limit_exceeded", "Request too large for gpt-4o on tokens per min"),
     APIPOOL_RULE_CLIENT_ERROR},
    {"the same as 413", 413, OPENAI("tokens", "rate_limit_exceeded", "Reduce your message"),
     APIPOOL_RULE_CLIENT_ERROR},
    {"400 alone", 400, "", APIPOOL_RULE_CLIENT_ERROR},
    {"400 without a body", 400, NULL, APIPOOL_RULE_CLIENT_ERROR},
};

static void the_clients_own_errors_are_r11(void **unused)
{
    check_rows(clients, sizeof(clients) / sizeof(*clients));
}

static const row_t forbidden[] = {
    {"403 alone", 403, "", APIPOOL_RULE_FORBIDDEN},
    {"HTML", 403, "<html>Forbidden</html>", APIPOOL_RULE_FORBIDDEN},
    {"OpenAI, country", 403,
     OPENAI("request_forbidden", "unsupported_country_region_territory", "Country not supported"),
     APIPOOL_RULE_FORBIDDEN},
    {"Gemini, permission", 403, GEMINI("403", "PERMISSION_DENIED", "The caller may not", ""),
     APIPOOL_RULE_FORBIDDEN},
    {"Groq, terms", 400, OPENAI("invalid_request_error", "model_terms_required", "x"),
     APIPOOL_RULE_FORBIDDEN},
    {"a quoted model", 403, OPENAI("x", "x", "No access to model `rate limit` or 'credit balance'"),
     APIPOOL_RULE_FORBIDDEN},
    {"a quoted model that ends the quotation", 403,
     OPENAI("x", "x", "No access to model 'a' credit balance 'b'"), APIPOOL_RULE_FORBIDDEN},
    {"a quotation without an end", 403, OPENAI("x", "x", "No access to `credit balance"),
     APIPOOL_RULE_FORBIDDEN},
};

static void what_else_is_forbidden_is_r09(void **unused)
{
    check_rows(forbidden, sizeof(forbidden) / sizeof(*forbidden));
}

static const row_t models[] = {
    {"OpenAI", 404, OPENAI("invalid_request_error", "model_not_found", "x"), APIPOOL_RULE_NO_MODEL},
    {"OpenAI, not allowed", 403,
     OPENAI("invalid_request_error", "model_not_found",
            "Project `p` does not have access to model `insufficient balance`"),
     APIPOOL_RULE_NO_MODEL},
    {"vLLM", 404, OPENAI("NotFoundError", "", "The model `x` does not exist."),
     APIPOOL_RULE_NO_MODEL},
    {"the same as 400 speaks of something else", 400, OPENAI("x", "", "The model `x` is no poet"),
     APIPOOL_RULE_CLIENT_ERROR},
    {"Azure", 404, OPENAI("", "DeploymentNotFound", "The API deployment does not exist"),
     APIPOOL_RULE_NO_MODEL},
    {"GitHub", 400, OPENAI("", "unknown_model", "Unknown model: x"), APIPOOL_RULE_NO_MODEL},
    {"Anthropic", 404, ANTHROPIC("not_found_error", "model: x"), APIPOOL_RULE_NO_MODEL},
    {"Gemini", 404, GEMINI("404", "NOT_FOUND", "models/x is not found for API version v1", ""),
     APIPOOL_RULE_NO_MODEL},
    {"SiliconFlow says 400", 400,
     "{\"code\":20012,\"message\":\"Model does not exist. Please check it carefully.\","
     "\"data\":null}",
     APIPOOL_RULE_NO_MODEL},
};

static void a_model_that_is_not_there_is_r10(void **unused)
{
    check_rows(models, sizeof(models) / sizeof(*models));
}

static const row_t overloads[] = {
    {"OpenAI, ramp", 429, OPENAI("requests", "slow_down", "x"), APIPOOL_RULE_OVERLOADED},
    {"OpenAI", 503, OPENAI("server_error", "server_is_overloaded", "x"), APIPOOL_RULE_OVERLOADED},
    {"Anthropic", 529, ANTHROPIC("overloaded_error", "Overloaded"), APIPOOL_RULE_OVERLOADED},
    {"Gemini", 503, GEMINI("503", "UNAVAILABLE", "The model is overloaded.", ""),
     APIPOOL_RULE_OVERLOADED},
    {"Moonshot", 429, OPENAI("engine_overloaded_error", "", "x"), APIPOOL_RULE_OVERLOADED},
    {"before the rate limit", 429, OPENAI("overloaded_error", "rate_limit_exceeded", "rate limit"),
     APIPOOL_RULE_OVERLOADED},
    {"not before the quota", 429, OPENAI("overloaded_error", "insufficient_quota", "x"),
     APIPOOL_RULE_QUOTA},
};

static void too_much_to_do_is_r13(void **unused)
{
    check_rows(overloads, sizeof(overloads) / sizeof(*overloads));
}

static const row_t upstreams[] = {
    {"500", 500, OPENAI("server_error", "", "The server had an error"),
     APIPOOL_RULE_UPSTREAM_ERROR},
    {"502 with HTML", 502, "<html>Bad Gateway</html>", APIPOOL_RULE_UPSTREAM_ERROR},
    {"503", 503, OPENAI("server_error", "", "x"), APIPOOL_RULE_UPSTREAM_ERROR},
    {"504", 504, "", APIPOOL_RULE_UPSTREAM_ERROR},
    {"529 alone", 529, "", APIPOOL_RULE_UPSTREAM_ERROR},
    {"Cloudflare 520", 520, "<html>", APIPOOL_RULE_UPSTREAM_ERROR},
    {"Cloudflare 526", 526, "<html>", APIPOOL_RULE_UPSTREAM_ERROR},
    {"599", 599, "", APIPOOL_RULE_UPSTREAM_ERROR},
    {"a 5xx does not blame the key", 500, OPENAI("x", "invalid_api_key", "Rate limit"),
     APIPOOL_RULE_UPSTREAM_ERROR},
    {"a 5xx does not spend its quota", 503, OPENAI("insufficient_quota", "x", "x"),
     APIPOOL_RULE_UPSTREAM_ERROR},
    {"501 will never pass", 501, "", APIPOOL_RULE_CLIENT_ERROR},
    {"505 will never pass", 505, "", APIPOOL_RULE_CLIENT_ERROR},
};

static void the_upstreams_own_errors_are_r12(void **unused)
{
    check_rows(upstreams, sizeof(upstreams) / sizeof(*upstreams));
}

static const row_t successes[] = {
    {"200", 200, NULL, APIPOOL_RULE_SUCCESS},
    {"200 that speaks of quota", 200, OPENAI("insufficient_quota", "x", "rate limit"),
     APIPOOL_RULE_SUCCESS},
    {"201", 201, "", APIPOOL_RULE_SUCCESS},
    {"204", 204, NULL, APIPOOL_RULE_SUCCESS},
};

static void success_is_r00_whatever_the_body_says(void **unused)
{
    check_rows(successes, sizeof(successes) / sizeof(*successes));
}

#define PHASE(p) .phase = APIPOOL_PHASE_##p
#define NAMED    OPENAI("", "model_not_found", "")
#define BUSY     OPENAI("", "slow_down", "")

/* A verdict without the vendor's words. */
typedef struct {
    apipool_rule_e rule;
    apipool_action_e action;
    apipool_scope_e scope;
    apipool_event_e event;
    int upstream_fault;
    apr_time_t retry_at;
} consequence_t;

static const struct {
    const char *name;
    apipool_evidence_t evidence;
    consequence_t verdict;
} consequences[] = {
    {"success",
     {.status = 200},
     {APIPOOL_RULE_SUCCESS, APIPOOL_PASS, APIPOOL_SCOPE_NONE, APIPOOL_EVENT_SUCCESS, 0, 0}},
    {"quota",
     {.status = 402},
     {APIPOOL_RULE_QUOTA, APIPOOL_ROTATE, APIPOOL_SCOPE_ACCOUNT, APIPOOL_EVENT_QUOTA_SPENT, 0, 0}},
    {"credential",
     {.status = 401},
     {APIPOOL_RULE_CREDENTIAL, APIPOOL_ROTATE, APIPOOL_SCOPE_KEY, APIPOOL_EVENT_REJECTED, 0, 0}},
    {"rate limit",
     {.status = 429},
     {APIPOOL_RULE_RATE_LIMIT, APIPOOL_ROTATE, APIPOOL_SCOPE_MODEL, APIPOOL_EVENT_RATE_LIMITED, 0,
      0}},
    {"forbidden",
     {.status = 403},
     {APIPOOL_RULE_FORBIDDEN, APIPOOL_ROTATE, APIPOOL_SCOPE_MODEL, APIPOOL_EVENT_RATE_LIMITED, 0,
      0}},
    {"no such model",
     {.status = 404, .body = NAMED, .body_len = sizeof(NAMED) - 1},
     {APIPOOL_RULE_NO_MODEL, APIPOOL_ROTATE, APIPOOL_SCOPE_NONE, APIPOOL_EVENT_NONE, 0, 0}},
    {"client's error",
     {.status = 400},
     {APIPOOL_RULE_CLIENT_ERROR, APIPOOL_PASS, APIPOOL_SCOPE_CLIENT, APIPOOL_EVENT_NONE, 0, 0}},
    {"upstream's error",
     {.status = 500},
     {APIPOOL_RULE_UPSTREAM_ERROR, APIPOOL_RETRY, APIPOOL_SCOPE_UPSTREAM, APIPOOL_EVENT_FAILED, 1,
      0}},
    {"overloaded",
     {.status = 503, .body = BUSY, .body_len = sizeof(BUSY) - 1},
     {APIPOOL_RULE_OVERLOADED, APIPOOL_RETRY, APIPOOL_SCOPE_UPSTREAM, APIPOOL_EVENT_NONE, 1, 0}},
    {"client gone",
     {PHASE(CLIENT_GONE), .status = 200},
     {APIPOOL_RULE_CLIENT_GONE, APIPOOL_STOP, APIPOOL_SCOPE_CLIENT, APIPOOL_EVENT_NONE, 0, 0}},
    {"client gone, replay safe",
     {PHASE(CLIENT_GONE), .replay_safe = 1},
     {APIPOOL_RULE_CLIENT_GONE, APIPOOL_STOP, APIPOOL_SCOPE_CLIENT, APIPOOL_EVENT_NONE, 0, 0}},
    {"broke",
     {PHASE(BROKE), .status = 200},
     {APIPOOL_RULE_BROKE_OFF, APIPOOL_STOP, APIPOOL_SCOPE_UPSTREAM, APIPOOL_EVENT_NONE, 1, 0}},
    {"broke, replay safe",
     {PHASE(BROKE), .replay_safe = 1},
     {APIPOOL_RULE_BROKE_OFF, APIPOOL_STOP, APIPOOL_SCOPE_UPSTREAM, APIPOOL_EVENT_NONE, 1, 0}},
    {"not sent",
     {PHASE(NOT_SENT)},
     {APIPOOL_RULE_NOT_SENT, APIPOOL_RETRY, APIPOOL_SCOPE_UPSTREAM, APIPOOL_EVENT_NONE, 1, 0}},
    {"not sent, whatever the status",
     {PHASE(NOT_SENT), .status = 401},
     {APIPOOL_RULE_NOT_SENT, APIPOOL_RETRY, APIPOOL_SCOPE_UPSTREAM, APIPOOL_EVENT_NONE, 1, 0}},
    {"not sent, whatever is in band",
     {PHASE(NOT_SENT), .status = 200, .in_band = 1},
     {APIPOOL_RULE_NOT_SENT, APIPOOL_RETRY, APIPOOL_SCOPE_UPSTREAM, APIPOOL_EVENT_NONE, 1, 0}},
    {"no answer",
     {PHASE(NO_ANSWER)},
     {APIPOOL_RULE_NO_ANSWER, APIPOOL_STOP, APIPOOL_SCOPE_UPSTREAM, APIPOOL_EVENT_NONE, 1, 0}},
    {"no answer, replay safe",
     {PHASE(NO_ANSWER), .replay_safe = 1},
     {APIPOOL_RULE_NO_ANSWER, APIPOOL_RETRY, APIPOOL_SCOPE_UPSTREAM, APIPOOL_EVENT_NONE, 1, 0}},
};

static int same_verdict(const apipool_verdict_t *a, const consequence_t *b)
{
    return a->rule == b->rule && a->action == b->action && a->scope == b->scope &&
           a->event == b->event && a->upstream_fault == b->upstream_fault &&
           a->retry_at == b->retry_at;
}

static void every_phase_and_rule_has_its_consequences(void **unused)
{
    for (size_t i = 0; i < sizeof(consequences) / sizeof(*consequences); i++) {
        apipool_verdict_t got = apipool_verdict(&consequences[i].evidence);
        if (!same_verdict(&got, &consequences[i].verdict)) {
            fail_msg("%s: %s, action %d, scope %d, event %d", consequences[i].name,
                     apipool_rule_name(got.rule), (int)got.action, (int)got.scope, (int)got.event);
        }
    }
}

/* A client must not be able to harm a key: every status except those about keys. */
static void no_status_alone_blames_a_key_but_401_402_403_and_429(void **unused)
{
    for (int status = 200; status < 600; status++) {
        apipool_event_e event = judge(status, "{\"error\":{\"message\":\"no\"}}").event;
        int blames = event == APIPOOL_EVENT_RATE_LIMITED || event == APIPOOL_EVENT_QUOTA_SPENT ||
                     event == APIPOOL_EVENT_REJECTED;
        if (blames != ((status >= 401 && status <= 403) || status == 429)) {
            fail_msg("status %d: event %d", status, (int)event);
        }
    }
}

static const struct {
    const char *name;
    int status;
    const char *retry_after, *body;
    apr_interval_time_t in; /* from NOW; -NOW: none */
} named_times[] = {
    {"nothing named", 429, NULL, "", -NOW},
    {"a header", 429, "20", "", apr_time_from_sec(20)},
    {"the body", 429, NULL, GEMINI("429", "RESOURCE_EXHAUSTED", "x", "{\"retryDelay\":\"34s\"}"),
     apr_time_from_sec(34)},
    {"the body is later", 429, "20",
     GEMINI("429", "RESOURCE_EXHAUSTED", "x", "{\"retryDelay\":\"34s\"}"), apr_time_from_sec(34)},
    {"the header is later", 429, "50",
     GEMINI("429", "RESOURCE_EXHAUSTED", "x", "{\"retryDelay\":\"34s\"}"), apr_time_from_sec(50)},
    {"a body of more than a day", 429, "20",
     GEMINI("429", "RESOURCE_EXHAUSTED", "x", "{\"retryDelay\":\"90000s\"}"),
     apr_time_from_sec(86400)},
    {"words, where nothing else tells", 429, NULL, "{\"error\":{\"message\":\"Try again in 34s\"}}",
     apr_time_from_sec(34)},
    {"words beside a header", 429, "20", "{\"error\":{\"message\":\"Try again in 34s\"}}",
     apr_time_from_sec(20)},
    {"a body of no time at all", 429, NULL,
     GEMINI("429", "RESOURCE_EXHAUSTED", "x", "{\"retryDelay\":\"0s\"}"), -NOW},
    {"a header of more than a day", 429, "90000", "", apr_time_from_sec(86400)},
    {"a 403 has a time", 403, "20", "", apr_time_from_sec(20)},
    {"an upstream's fault has a time", 503, "20", "", apr_time_from_sec(20)},
    {"an overload has a time", 529, "20", BUSY, apr_time_from_sec(20)},
    {"no such model has none", 404, "20", NAMED, -NOW},
    {"a quota has none", 402, "20", "", -NOW},
    {"an error of the client has none", 400, "20", "", -NOW},
};

static void an_attempt_is_worth_another_when_the_upstream_says(void **unused)
{
    apr_pool_t *pool;
    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    for (size_t i = 0; i < sizeof(named_times) / sizeof(*named_times); i++) {
        apr_table_t *headers = apr_table_make(pool, 1);
        if (named_times[i].retry_after) {
            apr_table_setn(headers, "Retry-After", named_times[i].retry_after);
        }
        apipool_evidence_t evidence = {.status = named_times[i].status,
                                       .headers = headers,
                                       .body = named_times[i].body,
                                       .body_len = strlen(named_times[i].body),
                                       .now = NOW};
        apr_time_t at = apipool_verdict(&evidence).retry_at;
        if (at != NOW + named_times[i].in) {
            fail_msg("%s: %" APR_TIME_T_FMT, named_times[i].name, at ? at - NOW : 0);
        }
    }
    apr_pool_destroy(pool);
}

static void rules_are_named_by_their_numbers(void **unused)
{
    char name[16];
    for (int i = 0; i < APIPOOL_RULE_COUNT; i++) {
        snprintf(name, sizeof(name), "%c%02d", i < APIPOOL_RULE_CUSTOM ? 'R' : 'C',
                 i < APIPOOL_RULE_CUSTOM ? i : i - APIPOOL_RULE_CUSTOM + 1);
        assert_string_equal(apipool_rule_name((apipool_rule_e)i), name);
    }
}

static void facts_of_a_vendor_are_its_own_and_generic(void **unused)
{
    static const char body[] = "{\"error\":{\"code\":\"1113\",\"message\":\"x\"}}";
    for (int i = 0; i < APIPOOL_PROVIDER_COUNT; i++) {
        apipool_evidence_t evidence = {.provider = (apipool_provider_e)i,
                                       .status = 429,
                                       .body = body,
                                       .body_len = sizeof(body) - 1};
        int knows = i == APIPOOL_PROVIDER_ZHIPU || i == APIPOOL_PROVIDER_GENERIC;
        assert_int_equal(apipool_verdict(&evidence).rule,
                         knows ? APIPOOL_RULE_QUOTA : APIPOOL_RULE_RATE_LIMIT);
    }
}

static const apipool_rule_e meant[APIPOOL_MEANS_COUNT] = {
    [APIPOOL_MEANS_QUOTA] = APIPOOL_RULE_QUOTA,
    [APIPOOL_MEANS_PENDING] = APIPOOL_RULE_RATE_LIMIT,
    [APIPOOL_MEANS_CREDENTIAL] = APIPOOL_RULE_CREDENTIAL,
    [APIPOOL_MEANS_NO_MODEL] = APIPOOL_RULE_NO_MODEL,
    [APIPOOL_MEANS_REFUSED] = APIPOOL_RULE_CLIENT_ERROR,
    [APIPOOL_MEANS_FORBIDDEN] = APIPOOL_RULE_FORBIDDEN,
    [APIPOOL_MEANS_OVERLOADED] = APIPOOL_RULE_OVERLOADED,
    [APIPOOL_MEANS_DAILY_LIMIT] = APIPOOL_RULE_RATE_LIMIT,
    [APIPOOL_MEANS_RATE_LIMIT] = APIPOOL_RULE_RATE_LIMIT,
};

/* Answer that holds only that marker, in its place. */
static apipool_rule_e judge_marker(const apipool_marker_t *marker, apipool_provider_e provider)
{
    static const char *const bodies[] = {
        [APIPOOL_IN_FIELDS] = "{\"error\":{\"code\":\"%s\"}}",
        [APIPOOL_IN_QUOTA] =
            "{\"error\":{\"details\":[{\"violations\":[{\"quotaId\":\"a%sb\"}]}]}}",
        [APIPOOL_STARTS_MESSAGE] = "{\"error\":{\"message\":\"%s and so on\"}}",
        [APIPOOL_IN_MESSAGE] = "{\"error\":{\"message\":\"this %s and so on\"}}",
        [APIPOOL_IN_KEY_MESSAGE] = "{\"error\":{\"message\":\"this %s and so on\"}}",
        [APIPOOL_OPENS_MESSAGE] = "{\"error\":{\"message\":\"this %s: and so on\"}}",
        [APIPOOL_IN_REFUSAL] = "{\"error\":{\"message\":\"this %s and so on\"}}",
    };
    int needs_key =
        marker->where == APIPOOL_IN_KEY_MESSAGE || marker->where == APIPOOL_IN_REFUSAL ||
        (marker->where == APIPOOL_OPENS_MESSAGE && marker->means == APIPOOL_MEANS_RATE_LIMIT);
    int pending = marker->means == APIPOOL_MEANS_PENDING;
    const char *hole = strstr(bodies[marker->where], "%s");
    char body[256];
    snprintf(body, sizeof(body), "%.*s%s%s", (int)(hole - bodies[marker->where]),
             bodies[marker->where], marker->text, hole + 2);
    apipool_evidence_t evidence = {.provider = provider,
                                   .body = body,
                                   .body_len = strlen(body),
                                   .status = marker->status ? marker->status
                                             : pending      ? 402
                                             : needs_key    ? 403
                                                            : 400};
    return apipool_verdict(&evidence).rule;
}

static void every_marker_is_reached(void **unused)
{
    apr_size_t count;
    const apipool_marker_t *markers = apipool_provider_markers(&count);
    for (apr_size_t i = 0; i < count; i++) {
        for (int p = 0; p < APIPOOL_PROVIDER_COUNT; p++) {
            if (!apipool_provider_holds(markers[i].vendors, (apipool_provider_e)p)) {
                continue;
            }
            apipool_rule_e rule = judge_marker(&markers[i], (apipool_provider_e)p);
            if (rule != meant[markers[i].means]) {
                fail_msg("%s of %s: %s", markers[i].text,
                         apipool_provider_name((apipool_provider_e)p), apipool_rule_name(rule));
            }
        }
    }
}

static int begin(void **unused)
{
    return apr_initialize() == APR_SUCCESS ? 0 : -1;
}

static void each_rule_says_whose_a_request_that_ends_with_it_is(void **unused)
{
    static const apipool_kind_e kinds[] = {
        APIPOOL_KIND_NONE,     APIPOOL_KIND_CLIENT,   APIPOOL_KIND_UPSTREAM, APIPOOL_KIND_UPSTREAM,
        APIPOOL_KIND_UPSTREAM, APIPOOL_KIND_KEY,      APIPOOL_KIND_KEY,      APIPOOL_KIND_KEY,
        APIPOOL_KIND_UPSTREAM, APIPOOL_KIND_KEY,      APIPOOL_KIND_CLIENT,   APIPOOL_KIND_CLIENT,
        APIPOOL_KIND_UPSTREAM, APIPOOL_KIND_UPSTREAM, APIPOOL_KIND_KEY,      APIPOOL_KIND_KEY};
    static const apipool_custom_rule_t own[] = {{.scope = APIPOOL_SCOPE_ACCOUNT},
                                                {.scope = APIPOOL_SCOPE_UPSTREAM},
                                                {.scope = APIPOOL_SCOPE_NONE}};
    for (int rule = 0; rule < APIPOOL_RULE_CUSTOM; rule++) {
        assert_int_equal(apipool_rule_kind((apipool_rule_e)rule, NULL, 0), kinds[rule]);
    }
    assert_int_equal(apipool_rule_kind(APIPOOL_RULE_CUSTOM, own, 3), APIPOOL_KIND_KEY);
    assert_int_equal(apipool_rule_kind(APIPOOL_RULE_CUSTOM + 1, own, 3), APIPOOL_KIND_UPSTREAM);
    assert_int_equal(apipool_rule_kind(APIPOOL_RULE_CUSTOM + 2, own, 3), APIPOOL_KIND_CLIENT);
    assert_string_equal(apipool_kind_name(APIPOOL_KIND_CLIENT), "client");
}

static int end(void **unused)
{
    apr_terminate();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_spent_quota_or_balance_is_r05),
        cmocka_unit_test(a_rejected_credential_is_r06),
        cmocka_unit_test(a_rate_limit_is_r07),
        cmocka_unit_test(the_clients_own_errors_are_r11),
        cmocka_unit_test(what_else_is_forbidden_is_r09),
        cmocka_unit_test(a_model_that_is_not_there_is_r10),
        cmocka_unit_test(too_much_to_do_is_r13),
        cmocka_unit_test(the_upstreams_own_errors_are_r12),
        cmocka_unit_test(success_is_r00_whatever_the_body_says),
        cmocka_unit_test(every_phase_and_rule_has_its_consequences),
        cmocka_unit_test(no_status_alone_blames_a_key_but_401_402_403_and_429),
        cmocka_unit_test(an_attempt_is_worth_another_when_the_upstream_says),
        cmocka_unit_test(rules_are_named_by_their_numbers),
        cmocka_unit_test(facts_of_a_vendor_are_its_own_and_generic),
        cmocka_unit_test(every_marker_is_reached),
        cmocka_unit_test(each_rule_says_whose_a_request_that_ends_with_it_is),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("verdict", tests, begin, end);
}
