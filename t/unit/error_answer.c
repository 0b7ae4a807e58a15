/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/vendor/error_answer: the error bodies of every vendor, and bodies that are no
 * errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "error_answer.h"

/* Copies the body to memory of exactly its size, so that a checker notices any overrun. */
static void read_body(const char *body, size_t len, apipool_error_answer_t *answer)
{
    char *exact = malloc(len ? len : 1);
    assert_non_null(exact);
    memcpy(exact, body, len);
    memset(answer, 0x5a, sizeof(*answer));
    apipool_error_answer_read(exact, len, answer);
    free(exact);
}

static const struct {
    const char *name, *body;
    const char *type, *code, *reason, *message;
    apr_interval_time_t retry_in;
} bodies[] = {
    {"OpenAI",
     "{\"error\":{\"message\":\"You exceeded your current quota\",\"type\":\"insufficient_quota\","
     "\"param\":null,\"code\":\"insufficient_quota\"}}",
     "insufficient_quota", "insufficient_quota", "", "You exceeded your current quota", -1},
    {"OpenAI without a code",
     "{\"error\":{\"message\":\"no\",\"type\":\"server_error\",\"param\":null,\"code\":null}}",
     "server_error", "", "", "no", -1},
    {"Azure",
     "{\"error\":{\"code\":\"401\",\"message\":\"Access denied due to invalid subscription key\"}}",
     "", "401", "", "Access denied due to invalid subscription key", -1},
    {"Anthropic",
     "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"slow\"},"
     "\"request_id\":\"req_011\"}",
     "rate_limit_error", "", "", "slow", -1},
    {"Gemini with details",
     "{\"error\":{\"code\":429,\"message\":\"Quota exceeded\",\"status\":\"RESOURCE_EXHAUSTED\","
     "\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.QuotaFailure\",\"violations\":[]},"
     "{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"34s\"}]}}",
     "RESOURCE_EXHAUSTED", "429", "", "Quota exceeded", apr_time_from_sec(34)},
    {"Gemini with a reason, in an array",
     "[{\"error\":{\"code\":400,\"message\":\"API key not valid.\",\"status\":\"INVALID_ARGUMENT\","
     "\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\","
     "\"reason\":\"API_KEY_INVALID\",\"domain\":\"googleapis.com\"}]}}]",
     "INVALID_ARGUMENT", "400", "API_KEY_INVALID", "API key not valid.", -1},
    {"Gemini, reason and delay in one list",
     "{\"error\":{\"details\":[{\"retryDelay\":\"0.5s\"},{\"reason\":\"RATE_LIMIT_EXCEEDED\"}]}}",
     "", "", "RATE_LIMIT_EXCEEDED", "", APR_USEC_PER_SEC / 2},
    {"a delay that is none, one that is a number",
     "{\"error\":{\"details\":[{\"retryDelay\":\"soon\"},{\"retryDelay\":7},\"x\",null]}}", "", "",
     "", "", apr_time_from_sec(7)},
    {"SiliconFlow", "{\"code\":20012,\"message\":\"Model does not exist\",\"data\":null}", "",
     "20012", "", "Model does not exist", -1},
    {"OpenAI, a stream of responses",
     "{\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_error\","
     "\"message\":\"oops\"}}}",
     "", "server_error", "", "oops", -1},
    {"an event that is the error",
     "{\"type\":\"error\",\"code\":\"server_error\",\"message\":\"oops\"}", "error", "server_error",
     "", "oops", -1},
    {"OpenRouter's moderation",
     "{\"error\":{\"code\":403,\"message\":\"m\",\"metadata\":{\"reasons\":[\"violence\"],"
     "\"flagged_input\":\"p\"}}}",
     "", "403", "flagged_input", "m", -1},
    {"a detail", "{\"detail\":\"Unauthorized\"}", "", "", "", "Unauthorized", -1},
    {"a list of details", "{\"detail\":[{\"msg\":\"no\"}]}", "", "", "", "", -1},
    {"a msg", "{\"code\":401,\"msg\":\"no\",\"success\":false}", "", "401", "", "no", -1},
    {"compressed", "\x1f\x8b\x08\x08quota", "", "", "", "", -1},
    {"SiliconFlow, a bare string", "\"Invalid token\"", "", "", "", "Invalid token", -1},
    {"DeepSeek",
     "{\"error\":{\"message\":\"Insufficient Balance\",\"type\":\"unknown_error\",\"param\":null,"
     "\"code\":\"invalid_request_error\"}}",
     "unknown_error", "invalid_request_error", "", "Insufficient Balance", -1},
    {"OpenRouter",
     "{\"error\":{\"code\":402,\"message\":\"Insufficient credits\",\"metadata\":{}},"
     "\"user_id\":\"u\"}",
     "", "402", "", "Insufficient credits", -1},
    {"OpenRouter with a reason",
     "{\"error\":{\"code\":402,\"message\":\"in flight\",\"metadata\":"
     "{\"reason\":\"in_flight_budget_exhausted\"}}}",
     "", "402", "in_flight_budget_exhausted", "in flight", -1},
    {"Moonshot",
     "{\"error\":{\"message\":\"Your account is suspended\",\"type\":"
     "\"exceeded_current_quota_error\"}}",
     "exceeded_current_quota_error", "", "", "Your account is suspended", -1},
    {"Zhipu", "{\"error\":{\"code\":\"1113\",\"message\":\"\\u4f59\\u989d\\u4e0d\\u8db3\"}}", "",
     "1113", "", "\xe4\xbd\x99\xe9\xa2\x9d\xe4\xb8\x8d\xe8\xb6\xb3", -1},
    {"a status beside the message", "{\"status\":\"UNAUTHENTICATED\",\"message\":\"no\"}",
     "UNAUTHENTICATED", "", "", "no", -1},
    {"error is a string", "{\"error\":\"quota spent\",\"code\":7}", "", "7", "", "quota spent", -1},
    {"error is null", "{\"error\":null,\"message\":\"m\"}", "", "", "", "m", -1},
    {"negative code", "{\"code\":-5}", "", "-5", "", "", -1},
    {"members of other types", "{\"error\":{\"type\":[],\"code\":{},\"message\":true}}", "", "", "",
     "", -1},
    {"details of another type", "{\"error\":{\"details\":\"34s\",\"message\":\"m\"}}", "", "", "",
     "m", -1},
    {"string in an array", "[\"busy\",\"x\"]", "", "", "", "busy", -1},
    {"NUL ends a message", "{\"message\":\"a\\u0000b\"}", "", "", "", "a", -1},
    {"HTML", "<html><head><title>502 Bad Gateway</title></head></html>", "", "", "",
     "<html><head><title>502 Bad Gateway</title></head></html>", -1},
    {"plain text", "error code: 1015", "", "", "", "error code: 1015", -1},
    {"truncated JSON", "{\"error\":{\"code\":\"insufficient_quota\",\"mess", "", "", "",
     "{\"error\":{\"code\":\"insufficient_quota\",\"mess", -1},
    {"JSON with something behind", "{\"message\":\"m\"} x", "", "", "", "{\"message\":\"m\"} x",
     -1},
    {"bytes that are not UTF-8", "{\"message\":\"\xff\"}", "", "", "", "{\"message\":\"\xff\"}",
     -1},
    {"a number", "42", "", "", "", "42", -1},
    {"null", "null", "", "", "", "null", -1},
    {"empty object", "{}", "", "", "", "", -1},
    {"empty array", "[]", "", "", "", "[]", -1},
    {"array in an array", "[[\"x\"]]", "", "", "", "[[\"x\"]]", -1},
    {"empty", "", "", "", "", "", -1},
};

static void bodies_of_every_vendor_are_understood(void **unused)
{
    apipool_error_answer_t got;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
        read_body(bodies[i].body, strlen(bodies[i].body), &got);
        if (strcmp(got.type, bodies[i].type) || strcmp(got.code, bodies[i].code) ||
            strcmp(got.reason, bodies[i].reason) || strcmp(got.message, bodies[i].message) ||
            got.retry_in != bodies[i].retry_in) {
            fail_msg("%s: \"%s\", \"%s\", \"%s\", \"%s\", %" APR_TIME_T_FMT, bodies[i].name,
                     got.type, got.code, got.reason, got.message, got.retry_in);
        }
    }
}

/* Each member is as long as the filler, once in JSON and once in text. */
static void what_is_too_long_is_cut(void **unused)
{
    apipool_error_answer_t got;
    char filler[2001], body[8192];

    memset(filler, 'x', sizeof(filler) - 1);
    filler[sizeof(filler) - 1] = '\0';
    int len = snprintf(body, sizeof(body),
                       "{\"error\":{\"type\":\"%s\",\"code\":\"%s\",\"message\":\"%s\","
                       "\"details\":[{\"reason\":\"%s\"}]}}",
                       filler, filler, filler, filler);
    assert_true(len > 8000 && len < (int)sizeof(body));
    read_body(body, (size_t)len, &got);
    assert_int_equal(strlen(got.type), sizeof(got.type) - 1);
    assert_int_equal(strlen(got.code), sizeof(got.code) - 1);
    assert_int_equal(strlen(got.reason), sizeof(got.reason) - 1);
    assert_int_equal(strlen(got.message), sizeof(got.message) - 1);
    read_body(filler, sizeof(filler) - 1, &got);
    assert_int_equal(strlen(got.message), sizeof(got.message) - 1);
    read_body(filler, sizeof(got.message) - 1, &got);
    assert_int_equal(strlen(got.message), sizeof(got.message) - 1);
}

static void every_beginning_of_a_body_is_read_safely(void **unused)
{
    apipool_error_answer_t got;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
        for (size_t len = 0; len < strlen(bodies[i].body); len++) {
            read_body(bodies[i].body, len, &got);
            assert_true(strlen(got.message) <= len);
        }
    }
}

static void hints_of_one_vendor_are_read(void **unused)
{
    static const char quotas[] =
        "{\"error\":{\"details\":[{\"violations\":[{\"quotaId\":\"PerMinute\"},7,"
        "{\"quotaId\":\"PerDay\"}]},{\"violations\":\"x\"}]}}";
    static const char reset[] =
        "{\"error\":{\"metadata\":{\"headers\":{\"X-RateLimit-Reset\":\"1795348860000\"}}}}";
    static const char resets[] = /* the latest, wherever it stands */
        "{\"error\":{\"details\":[{\"metadata\":{\"quotaResetTimeStamp\":\"2026-11-22T13:00:00Z\"}}"
        ","
        "{\"metadata\":{\"quotaResetTimeStamp\":\"2026-11-22T12:00:30Z\"}}]}}";
    apipool_error_answer_t got;
    read_body(quotas, sizeof(quotas) - 1, &got);
    assert_string_equal(got.quota, " PerMinute PerDay");
    assert_int_equal(got.reset_at, 0);
    read_body(reset, sizeof(reset) - 1, &got);
    assert_string_equal(got.quota, "");
    assert_int_equal(got.reset_at, apr_time_from_sec(1795348860));
    read_body(resets, sizeof(resets) - 1, &got);
    assert_int_equal(got.reset_at, apr_time_from_sec(1795352400));
}

static void many_quotas_are_cut(void **unused)
{
    apipool_error_answer_t got;
    char body[8192] = "{\"error\":{\"details\":[{\"violations\":[";
    for (int i = 0; i < 100; i++) {
        strcat(body, "{\"quotaId\":\"GenerateRequestsPerMinute\"},");
    }
    strcat(body, "{}]}]}}");
    read_body(body, strlen(body), &got);
    assert_int_equal(strlen(got.quota), sizeof(got.quota) - 1);
}

static void deep_nesting_is_text(void **unused)
{
    apipool_error_answer_t got;
    char body[20000];
    memset(body, '[', sizeof(body));
    read_body(body, sizeof(body), &got);
    assert_int_equal(strspn(got.message, "["), sizeof(got.message) - 1);
}

static const struct {
    const char *body;
    int is_error;
} errors[] = {
    {"{\"error\":{\"code\":429}}", 1},
    {"{\"error\":\"too many\"}", 1},
    {"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}", 1},
    {"{\"type\":\"error\",\"message\":\"gone\"}", 1},
    {"{\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_error\"}}}", 1},
    {"[{\"error\":{\"code\":503}}]", 1},
    {"{\"error\":null,\"choices\":[]}", 0},
    {"{\"error\":\"\"}", 0},
    {"{\"response\":{\"error\":null}}", 0},
    {"{\"choices\":[{\"error\":{}}]}", 0},
    {"\"error\"", 0},
    {"[DONE]", 0},
    {"", 0},
};

static void an_error_inside_a_200_is_told_from_an_answer(void **unused)
{
    for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
        if (apipool_error_answer_is_error(errors[i].body, strlen(errors[i].body)) !=
            errors[i].is_error) {
            fail_msg("%s", errors[i].body);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_of_every_vendor_are_understood),
        cmocka_unit_test(what_is_too_long_is_cut),
        cmocka_unit_test(every_beginning_of_a_body_is_read_safely),
        cmocka_unit_test(hints_of_one_vendor_are_read),
        cmocka_unit_test(many_quotas_are_cut),
        cmocka_unit_test(deep_nesting_is_text),
        cmocka_unit_test(an_error_inside_a_200_is_told_from_an_answer),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("answer", tests, NULL, NULL);
}
