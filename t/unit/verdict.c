/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/verdict: what the answers of every vendor mean, and what no answer means. */
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
     APIPOOL_R05},
    {"OpenAI, credit", 429, OPENAI("billing", "credit_balance_exhausted", "Please add credits."),
     APIPOOL_R05},
    {"OpenAI, organisation's spend", 429,
     OPENAI("requests", "organization_spend_limit_exceeded", "x"), APIPOOL_R05},
    {"OpenAI, project's spend", 429, OPENAI("requests", "project_spend_limit_exceeded", "x"),
     APIPOOL_R05},
    {"OpenAI, organisation's usage", 429,
     OPENAI("requests", "organization_usage_limit_exceeded", "x"), APIPOOL_R05},
    {"OpenAI, not active", 429,
     OPENAI("billing_not_active", "billing_not_active", "Your account is not active."),
     APIPOOL_R05},
    {"quota wins where the type says rate limit", 429,
     OPENAI("rate_limit_exceeded", "insufficient_quota", "Rate limit reached"), APIPOOL_R05},
    {"quota wins where the message says rate limit", 429,
     OPENAI("requests", "x", "Rate limit: the spend limit of this project is reached"),
     APIPOOL_R05},
    {"Anthropic says 400", 400,
     ANTHROPIC("invalid_request_error",
               "Your credit balance is too low to access the Anthropic API. Please go to Plans & "
               "Billing to upgrade or purchase credits."),
     APIPOOL_R05},
    {"Anthropic, usage limits, 400", 400,
     ANTHROPIC("invalid_request_error",
               "You have reached your specified API usage limits. You will regain access on "
               "2026-12-01 at 00:00 UTC."),
     APIPOOL_R05},
    {"Anthropic, 402", 402, ANTHROPIC("billing_error", "Billing"), APIPOOL_R05},
    {"Anthropic, enforced limit", 429,
     ANTHROPIC("enforced_spend_limit_reached", "This request would exceed the limit"), APIPOOL_R05},
    {"Gemini, prepay", 429,
     GEMINI("429", "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted.", ""), APIPOOL_R05},
    {"Gemini, cap", 429,
     GEMINI("429", "RESOURCE_EXHAUSTED", "Your project has exceeded its monthly spending cap.", ""),
     APIPOOL_R05},
    {"Gemini, billing", 403,
     GEMINI("403", "PERMISSION_DENIED", "This API requires billing to be enabled.", ""),
     APIPOOL_R05},
    {"SiliconFlow says 403", 403,
     "{\"code\":30001,\"message\":\"Sorry, your account balance is insufficient\",\"data\":null}",
     APIPOOL_R05},
    {"DeepSeek", 402, OPENAI("unknown_error", "invalid_request_error", "Insufficient Balance"),
     APIPOOL_R05},
    {"insufficient balance as 403", 403, OPENAI("x", "x", "Insufficient balance"), APIPOOL_R05},
    {"OpenRouter", 402, "{\"error\":{\"code\":402,\"message\":\"Insufficient credits\"}}",
     APIPOOL_R05},
    {"OpenRouter, key limit", 403,
     "{\"error\":{\"code\":403,\"message\":\"Key limit exceeded (total limit)\"}}", APIPOOL_R05},
    {"Moonshot says 429", 429,
     "{\"error\":{\"message\":\"Your account is suspended, please check your plan and billing "
     "details\",\"type\":\"exceeded_current_quota_error\"}}",
     APIPOOL_R05},
    {"Zhipu says 429", 429,
     "{\"error\":{\"code\":\"1113\",\"message\":\"\xe4\xbd\x99\xe9\xa2\x9d\xe4\xb8\x8d\xe8\xb6\xb3"
     "\"}}",
     APIPOOL_R05},
    {"blocked access", 403, OPENAI("access_terminated", "blocked_api_access", "x"), APIPOOL_R05},
    {"402 alone", 402, "", APIPOOL_R05},
    {"402 wins over a rate limit", 402, OPENAI("x", "rate_limit_exceeded", "Rate limit"),
     APIPOOL_R05},
    {"402 with HTML", 402, "<html>Payment Required</html>", APIPOOL_R05},
    {"a bare string", 403, "\"Your credit balance is not enough\"", APIPOOL_R05},
};

static void a_spent_quota_or_balance_is_r05(void **unused)
{
    check_rows(quota, sizeof(quota) / sizeof(*quota));
}

static const row_t credential[] = {
    {"OpenAI", 401,
     OPENAI("invalid_request_error", "invalid_api_key",
            "Incorrect API key provided: sk-abcd****wxyz. You can find your API key at"),
     APIPOOL_R06},
    {"OpenAI, deactivated", 401, OPENAI("invalid_request_error", "account_deactivated", "x"),
     APIPOOL_R06},
    {"OpenAI, address", 401, OPENAI("invalid_request_error", "ip_not_authorized", "x"),
     APIPOOL_R06},
    {"Azure", 401,
     "{\"error\":{\"code\":\"401\",\"message\":\"Access denied due to invalid subscription key or "
     "wrong API endpoint.\"}}",
     APIPOOL_R06},
    {"Anthropic", 401, ANTHROPIC("authentication_error", "invalid x-api-key"), APIPOOL_R06},
    {"Gemini says 400", 400,
     GEMINI("400", "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.",
            "{\"reason\":\"API_KEY_INVALID\",\"domain\":\"googleapis.com\"}"),
     APIPOOL_R06},
    {"Gemini says 400, in an array", 400,
     "[" GEMINI("400", "INVALID_ARGUMENT", "x", "{\"reason\":\"API_KEY_INVALID\"}") "]",
     APIPOOL_R06},
    {"Gemini, expired", 400,
     GEMINI("400", "INVALID_ARGUMENT", "API key expired. Please renew the API key.", ""),
     APIPOOL_R06},
    {"Gemini, unauthenticated", 401, GEMINI("401", "UNAUTHENTICATED", "x", ""), APIPOOL_R06},
    {"SiliconFlow, a bare string", 401, "\"Invalid token\"", APIPOOL_R06},
    {"SiliconFlow", 401, "{\"code\":20001,\"message\":\"Api key is invalid\",\"data\":null}",
     APIPOOL_R06},
    {"Moonshot", 401, OPENAI("invalid_authentication_error", "", "Invalid Authentication"),
     APIPOOL_R06},
    {"Zhipu", 401, "{\"error\":{\"code\":\"1002\",\"message\":\"token expired\"}}", APIPOOL_R06},
    {"Groq, restricted", 400, OPENAI("invalid_request_error", "organization_restricted", "x"),
     APIPOOL_R06},
    {"invalid key as 403", 403, OPENAI("x", "invalid_api_key", "x"), APIPOOL_R06},
    {"401 alone", 401, "", APIPOOL_R06},
    {"401 with HTML", 401, "<html>Unauthorized</html>", APIPOOL_R06},
    {"401 with truncated JSON", 401, "{\"error\":{\"mess", APIPOOL_R06},
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
     APIPOOL_R07},
    {"OpenAI, ramp", 429, OPENAI("requests", "slow_down", "x"), APIPOOL_R07},
    {"Azure", 429,
     "{\"error\":{\"code\":\"429\",\"message\":\"Requests to the ChatCompletions_Create Operation "
     "have exceeded call rate limit. Please retry after 7 seconds.\"}}",
     APIPOOL_R07},
    {"Anthropic", 429,
     ANTHROPIC("rate_limit_error", "This request would exceed your organization's rate limit"),
     APIPOOL_R07},
    {"Gemini", 429,
     GEMINI("429", "RESOURCE_EXHAUSTED", "You exceeded your current quota.",
            "{\"retryDelay\":\"34s\"}"),
     APIPOOL_R07},
    {"Gemini, in an array", 429, "[" GEMINI("429", "RESOURCE_EXHAUSTED", "x", "") "]", APIPOOL_R07},
    {"SiliconFlow", 429,
     "{\"message\":\"Request was rejected due to rate limiting. Details:TPM limit reached.\","
     "\"data\":null}",
     APIPOOL_R07},
    {"SiliconFlow, a bare string", 429, "\"RPM limit reached\"", APIPOOL_R07},
    {"DeepSeek", 429, OPENAI("x", "rate_limit_reached", "x"), APIPOOL_R07},
    {"OpenRouter", 429, "{\"error\":{\"code\":429,\"message\":\"Provider returned error\"}}",
     APIPOOL_R07},
    {"OpenRouter, requests in flight, says 402", 402,
     "{\"error\":{\"message\":\"This request would exceed your available credits given your "
     "current in-flight requests. Retry after in-flight requests settle, or add credits.\","
     "\"code\":402,"
     "\"metadata\":{\"reason\":\"in_flight_budget_exhausted\","
     "\"limit_source\":\"openrouter_in_flight_budget\"}}}",
     APIPOOL_R07},
    {"Moonshot", 429, OPENAI("rate_limit_reached_error", "", "max RPM: 3"), APIPOOL_R07},
    {"Zhipu", 429, "{\"error\":{\"code\":\"1302\",\"message\":\"x\"}}", APIPOOL_R07},
    {"a limit that mentions permissions", 429, OPENAI("x", "x", "insufficient permissions"),
     APIPOOL_R07},
    {"the message of a 403", 403, OPENAI("x", "x", "Too Many Requests"), APIPOOL_R07},
    {"throttled as 403", 403, "{\"message\":\"Request was throttled.\"}", APIPOOL_R07},
    {"the code of a 400", 400, OPENAI("x", "rate_limit_exceeded", "x"), APIPOOL_R07},
    {"429 alone", 429, "", APIPOOL_R07},
    {"Cloudflare", 429, "error code: 1015", APIPOOL_R07},
    {"429 with HTML", 429, "<html><title>429 Too Many Requests</title></html>", APIPOOL_R07},
    {"429 with truncated JSON", 429, "{\"error\":{\"mess", APIPOOL_R07},
};

static void a_rate_limit_is_r07(void **unused)
{
    check_rows(rate, sizeof(rate) / sizeof(*rate));
}

static const row_t clients[] = {
    {"a bad parameter", 400, OPENAI("invalid_request_error", "x", "Invalid value: 'x'"),
     APIPOOL_R11},
    {"a quoted prompt with credit balance", 400,
     OPENAI("invalid_request_error", "invalid_value",
            "Invalid content: 'Explain: your credit balance is too low, insufficient balance'"),
     APIPOOL_R11},
    {"a quoted prompt with rate limit", 400,
     OPENAI("invalid_request_error", "invalid_value",
            "Invalid content: 'too many requests, rate limit, tokens per minute, throttled'"),
     APIPOOL_R11},
    {"a quoted prompt with a bad key", 400,
     ANTHROPIC("invalid_request_error", "messages.0: 'API key not valid, invalid_api_key'"),
     APIPOOL_R11},
    {"a quoted prompt with spending", 422,
     "{\"detail\":[{\"msg\":\"no\",\"input\":\"spend limit, spending cap, api usage limits\"}],"
     "\"message\":\"input: spend limit, spending cap, api usage limits, key limit exceeded\"}",
     APIPOOL_R11},
    {"a quoted prompt as text", 400, "cannot parse: insufficient_quota credit balance",
     APIPOOL_R11},
    {"a quoted prompt in truncated JSON", 400,
     "{\"error\":{\"code\":\"insufficient_quota\",\"message\":\"credit bal", APIPOOL_R11},
    {"a quoted prompt in a member nobody reads", 400,
     "{\"error\":{\"message\":\"no\",\"param\":\"insufficient_quota\"}}", APIPOOL_R11},
    {"Gemini, bad argument", 400, GEMINI("400", "INVALID_ARGUMENT", "Invalid JSON payload.", ""),
     APIPOOL_R11},
    {"Gemini, permission", 403, GEMINI("403", "PERMISSION_DENIED", "The caller may not", ""),
     APIPOOL_R11},
    {"Anthropic, permission", 403, ANTHROPIC("permission_error", "Your key may not"), APIPOOL_R11},
    {"OpenAI, country", 403,
     OPENAI("request_forbidden", "unsupported_country_region_territory", "Country not supported"),
     APIPOOL_R11},
    {"OpenRouter, moderation", 403,
     "{\"error\":{\"code\":403,\"message\":\"Your input was flagged\",\"metadata\":"
     "{\"reasons\":[\"violence\"],\"flagged_input\":\"credit balance\"}}}",
     APIPOOL_R11},
    {"no such model", 404, OPENAI("invalid_request_error", "model_not_found", "x"), APIPOOL_R11},
    {"SiliconFlow, no such model", 400,
     "{\"code\":20012,\"message\":\"Model does not exist. Please check it carefully.\","
     "\"data\":null}",
     APIPOOL_R11},
    {"no such path", 404, "404 page not found", APIPOOL_R11},
    {"no such method", 405, "", APIPOOL_R11},
    {"request timeout", 408, "", APIPOOL_R11},
    {"too large", 413, ANTHROPIC("request_too_large", "x"), APIPOOL_R11},
    {"a teapot", 418, "", APIPOOL_R11},
    {"a bare string", 400, "\"bad request\"", APIPOOL_R11},
    {"OpenAI quotes the client's model", 403,
     OPENAI("invalid_request_error", "model_not_found",
            "Project `p` does not have access to model `insufficient balance`"), APIPOOL_R11},
    {"a quoted model without a code", 403,
     OPENAI("x", "x", "No access to model `rate limit` or 'credit balance'"), APIPOOL_R11},
    {"a scope that the key lacks", 401,
     OPENAI("invalid_request_error", "x",
            "You have insufficient permissions for this operation. Missing scopes: api.x.read."),
     APIPOOL_R11},
    {"HTML", 403, "<html>Forbidden</html>", APIPOOL_R11},
    {"400 alone", 400, "", APIPOOL_R11},
    {"400 without a body", 400, NULL, APIPOOL_R11},
};

static void the_clients_own_errors_are_r11(void **unused)
{
    check_rows(clients, sizeof(clients) / sizeof(*clients));
}

static const row_t upstreams[] = {
    {"500", 500, OPENAI("server_error", "", "The server had an error"), APIPOOL_R12},
    {"502 with HTML", 502, "<html>Bad Gateway</html>", APIPOOL_R12},
    {"503", 503, OPENAI("server_error", "server_is_overloaded", "x"), APIPOOL_R12},
    {"Gemini", 503, GEMINI("503", "UNAVAILABLE", "The model is overloaded.", ""), APIPOOL_R12},
    {"504", 504, "", APIPOOL_R12},
    {"Anthropic, overloaded", 529, ANTHROPIC("overloaded_error", "Overloaded"), APIPOOL_R12},
    {"Cloudflare 520", 520, "<html>", APIPOOL_R12},
    {"Cloudflare 526", 526, "<html>", APIPOOL_R12},
    {"599", 599, "", APIPOOL_R12},
    {"a 5xx does not blame the key", 500, OPENAI("x", "invalid_api_key", "Rate limit"),
     APIPOOL_R12},
    {"a 5xx does not spend its quota", 503, OPENAI("insufficient_quota", "x", "x"), APIPOOL_R12},
    {"501 will never pass", 501, "", APIPOOL_R11},
    {"505 will never pass", 505, "", APIPOOL_R11},
};

static void the_upstreams_own_errors_are_r12(void **unused)
{
    check_rows(upstreams, sizeof(upstreams) / sizeof(*upstreams));
}

static const row_t successes[] = {
    {"200", 200, NULL, APIPOOL_R00},
    {"200 that speaks of quota", 200, OPENAI("insufficient_quota", "x", "rate limit"), APIPOOL_R00},
    {"201", 201, "", APIPOOL_R00},
    {"204", 204, NULL, APIPOOL_R00},
};

static void success_is_r00_whatever_the_body_says(void **unused)
{
    check_rows(successes, sizeof(successes) / sizeof(*successes));
}

static const struct {
    const char *name;
    apipool_evidence_t evidence;
    apipool_rule_e rule;
    apipool_action_e action;
    apipool_scope_e scope;
    apipool_event_e event;
} consequences[] = {
    {"success", {.status = 200}, APIPOOL_R00, APIPOOL_PASS, APIPOOL_SCOPE_NONE,
     APIPOOL_EVENT_SUCCESS},
    {"quota", {.status = 402}, APIPOOL_R05, APIPOOL_ROTATE, APIPOOL_SCOPE_ACCOUNT,
     APIPOOL_EVENT_QUOTA_SPENT},
    {"credential", {.status = 401}, APIPOOL_R06, APIPOOL_ROTATE, APIPOOL_SCOPE_KEY,
     APIPOOL_EVENT_REJECTED},
    {"rate limit", {.status = 429}, APIPOOL_R07, APIPOOL_ROTATE, APIPOOL_SCOPE_KEY,
     APIPOOL_EVENT_RATE_LIMITED},
    {"client's error", {.status = 400}, APIPOOL_R11, APIPOOL_PASS, APIPOOL_SCOPE_CLIENT,
     APIPOOL_EVENT_NONE},
    {"upstream's error", {.status = 500}, APIPOOL_R12, APIPOOL_RETRY, APIPOOL_SCOPE_UPSTREAM,
     APIPOOL_EVENT_NONE},
    {"client gone", {.phase = APIPOOL_PHASE_CLIENT_GONE, .status = 200}, APIPOOL_R01, APIPOOL_STOP,
     APIPOOL_SCOPE_CLIENT, APIPOOL_EVENT_NONE},
    {"client gone, replay safe", {.phase = APIPOOL_PHASE_CLIENT_GONE, .replay_safe = 1},
     APIPOOL_R01, APIPOOL_STOP, APIPOOL_SCOPE_CLIENT, APIPOOL_EVENT_NONE},
    {"broke", {.phase = APIPOOL_PHASE_BROKE, .status = 200}, APIPOOL_R02, APIPOOL_STOP,
     APIPOOL_SCOPE_UPSTREAM, APIPOOL_EVENT_NONE},
    {"broke, replay safe", {.phase = APIPOOL_PHASE_BROKE, .replay_safe = 1}, APIPOOL_R02,
     APIPOOL_STOP, APIPOOL_SCOPE_UPSTREAM, APIPOOL_EVENT_NONE},
    {"not sent", {.phase = APIPOOL_PHASE_NOT_SENT}, APIPOOL_R03, APIPOOL_RETRY,
     APIPOOL_SCOPE_UPSTREAM, APIPOOL_EVENT_NONE},
    {"not sent, whatever the status", {.phase = APIPOOL_PHASE_NOT_SENT, .status = 401}, APIPOOL_R03,
     APIPOOL_RETRY, APIPOOL_SCOPE_UPSTREAM, APIPOOL_EVENT_NONE},
    {"no answer", {.phase = APIPOOL_PHASE_NO_ANSWER}, APIPOOL_R04, APIPOOL_STOP,
     APIPOOL_SCOPE_UPSTREAM, APIPOOL_EVENT_NONE},
    {"no answer, replay safe", {.phase = APIPOOL_PHASE_NO_ANSWER, .replay_safe = 1}, APIPOOL_R04,
     APIPOOL_RETRY, APIPOOL_SCOPE_UPSTREAM, APIPOOL_EVENT_NONE},
};

static void every_phase_and_rule_has_its_consequences(void **unused)
{
    for (size_t i = 0; i < sizeof(consequences) / sizeof(*consequences); i++) {
        apipool_verdict_t got = apipool_verdict(&consequences[i].evidence);
        if (got.rule != consequences[i].rule || got.action != consequences[i].action ||
            got.scope != consequences[i].scope || got.event != consequences[i].event ||
            got.retry_at != 0) {
            fail_msg("%s: %s, action %d, scope %d, event %d", consequences[i].name,
                     apipool_rule_name(got.rule), (int)got.action, (int)got.scope, (int)got.event);
        }
    }
}

/* What a client can cause must never reach a key: every status but those that speak of keys. */
static void no_status_alone_blames_a_key_but_401_402_and_429(void **unused)
{
    for (int status = 200; status < 600; status++) {
        apipool_event_e event = judge(status, "{\"error\":{\"message\":\"no\"}}").event;
        int blames = event != APIPOOL_EVENT_NONE && event != APIPOOL_EVENT_SUCCESS;
        if (blames != (status == 401 || status == 402 || status == 429)) {
            fail_msg("status %d: event %d", status, (int)event);
        }
    }
}

static const struct {
    const char *name;
    int status;
    const char *retry_after, *body;
    apr_interval_time_t in; /* from NOW; -NOW for nothing */
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
     apr_time_from_sec(20)},
    {"a body of no time at all", 429, NULL,
     GEMINI("429", "RESOURCE_EXHAUSTED", "x", "{\"retryDelay\":\"0s\"}"), -NOW},
    {"a header of more than a day", 429, "90000", "", -NOW},
    {"only a rate limit has a time", 503, "20", "", -NOW},
    {"a quota has none", 402, "20", "", -NOW},
    {"an error of the client has none", 400, "20", "", -NOW},
};

static void a_rate_limit_ends_when_the_upstream_says(void **unused)
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
    static const int numbers[APIPOOL_RULE_COUNT] = {0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 14, 15};
    char name[8];
    for (int i = 0; i < APIPOOL_RULE_COUNT; i++) {
        snprintf(name, sizeof(name), "R%02d", numbers[i]);
        assert_string_equal(apipool_rule_name((apipool_rule_e)i), name);
    }
}

static int begin(void **unused)
{
    return apr_initialize() == APR_SUCCESS ? 0 : -1;
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
        cmocka_unit_test(the_upstreams_own_errors_are_r12),
        cmocka_unit_test(success_is_r00_whatever_the_body_says),
        cmocka_unit_test(every_phase_and_rule_has_its_consequences),
        cmocka_unit_test(no_status_alone_blames_a_key_but_401_402_and_429),
        cmocka_unit_test(a_rate_limit_ends_when_the_upstream_says),
        cmocka_unit_test(rules_are_named_by_their_numbers),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("verdict", tests, begin, end);
}
