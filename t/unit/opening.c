/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/vendor/opening: what the beginning of an answer of status 200 is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <apr_general.h>

#include "opening.h"

#define NEITHER  APIPOOL_OPENS_NEITHER
#define ERROR    APIPOOL_OPENS_ERROR
#define CONTENT  APIPOOL_OPENS_CONTENT
#define ANYHOW   APIPOOL_ENDS_ANYHOW
#define FINISHED APIPOOL_ENDS_FINISHED
#define MARKED   APIPOOL_ENDS_MARKED

static const struct {
    const char *name, *data;
    apipool_opens_e opens;
    apipool_ends_e ends;
} events[] = {
    {"", "", NEITHER, ANYHOW},
    {"", " \n", NEITHER, ANYHOW},
    {"ping", "{\"type\":\"ping\"}", NEITHER, ANYHOW},
    {"", "{\"type\":\"keepalive\"}", NEITHER, ANYHOW},
    {"", "[DONE]", CONTENT, ANYHOW},
    {"", "hello", CONTENT, ANYHOW},
    {"", "42", CONTENT, ANYHOW},
    {"", "{\"anything\":1}", CONTENT, ANYHOW},
    /* OpenAI and its like */
    {"", "{\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}", NEITHER,
     FINISHED},
    {"",
     "{\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null},\"logprobs\":null,"
     "\"finish_reason\":null}]}",
     NEITHER, FINISHED},
    {"", "{\"error\":null,\"choices\":[{\"delta\":{\"role\":\"assistant\",\"tool_calls\":[]}}]}",
     NEITHER, FINISHED},
    {"", "{\"choices\":[],\"prompt_filter_results\":[{\"prompt_index\":0}]}", NEITHER, FINISHED},
    {"", "{\"choices\":[{\"text\":\"\"}]}", NEITHER, FINISHED},
    {"", "{\"choices\":[{\"text\":\"a\"}]}", CONTENT, FINISHED},
    {"", "{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}", CONTENT, FINISHED},
    {"", "{\"choices\":[{\"delta\":{\"reasoning_content\":\"a\"}}]}", CONTENT, FINISHED},
    {"", "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0}]}}]}", CONTENT, FINISHED},
    {"", "{\"choices\":[{\"delta\":{}},{\"delta\":{\"refusal\":\"a\"}}]}", CONTENT, FINISHED},
    {"", "{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}", CONTENT, FINISHED},
    {"", "{\"id\":\"x\",\"error\":{\"code\":429}}", ERROR, ANYHOW},
    {"", "{\"error\":\"no\"}", ERROR, ANYHOW},
    {"", "{\"error\":{}}", CONTENT, ANYHOW},
    {"", "[{\"error\":{\"code\":503}}]", ERROR, ANYHOW},
    {"", "{\"id\":\"x\",\"choices\":[{\"error\":{\"code\":502},\"finish_reason\":\"error\"}]}",
     ERROR, ANYHOW},
    /* OpenAI's responses */
    {"response.created", "{\"type\":\"response.created\",\"response\":{\"error\":null}}", NEITHER,
     MARKED},
    {"", "{\"type\":\"response.in_progress\"}", NEITHER, ANYHOW},
    {"", "{\"type\":\"response.output_item.added\"}", NEITHER, ANYHOW},
    {"", "{\"type\":\"response.output_text.delta\",\"delta\":\"a\"}", CONTENT, ANYHOW},
    {"", "{\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"x\"}}}", ERROR, ANYHOW},
    {"error", "{\"type\":\"error\",\"message\":\"x\"}", ERROR, ANYHOW},
    /* Anthropic */
    {"message_start", "{\"type\":\"message_start\",\"message\":{\"content\":[]}}", NEITHER, MARKED},
    {"", "{\"type\":\"content_block_start\",\"content_block\":{\"type\":\"text\",\"text\":\"\"}}",
     NEITHER, ANYHOW},
    {"", "{\"type\":\"content_block_delta\",\"delta\":{\"text\":\"a\"}}", CONTENT, ANYHOW},
    {"", "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}", ERROR, ANYHOW},
    /* DashScope, MiniMax, others */
    {"error", "{\"code\":\"Arrearage\",\"message\":\"no\",\"request_id\":\"x\"}", ERROR, ANYHOW},
    {"result", "{\"code\":\"Arrearage\",\"message\":\"no\",\"request_id\":\"x\"}", ERROR, ANYHOW},
    {"result", "{\"output\":{\"text\":\"a\"},\"usage\":{}}", CONTENT, ANYHOW},
    {"error", "no", ERROR, ANYHOW},
    {"", "{\"code\":0,\"message\":\"success\"}", CONTENT, ANYHOW},
    {"", "{\"code\":\"200\",\"message\":\"fine\"}", CONTENT, ANYHOW},
    {"", "{\"code\":7,\"message\":\"x\",\"data\":{\"id\":1}}", CONTENT, ANYHOW},
    {"", "{\"choices\":null,\"base_resp\":{\"status_code\":1008,\"status_msg\":\"x\"}}", ERROR,
     ANYHOW},
    {"", "{\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"base_resp\":{\"status_code\":0}}",
     CONTENT, FINISHED},
    /* Gemini */
    {"", "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}", CONTENT, ANYHOW},
};

static void an_event_is_an_error_content_or_neither(void **unused)
{
    for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++) {
        apipool_ends_e ends = ANYHOW;
        const apipool_sse_event_t event = {events[i].name, events[i].data, strlen(events[i].data)};
        apipool_opens_e opens = apipool_opening_of_event(&event, &ends);
        if (opens != events[i].opens || ends != events[i].ends) {
            fail_msg("%s %s: %d, %d", events[i].name, events[i].data, opens, ends);
        }
    }
}

static const struct {
    const char *text;
    apipool_opens_e opens, complete;
} documents[] = {
    {"", NEITHER, CONTENT},
    {"  ", NEITHER, CONTENT},
    {"no JSON", CONTENT, CONTENT},
    {"{", NEITHER, CONTENT},
    {"{\"id\":\"x\"", NEITHER, CONTENT},
    {"{\"id\":\"a\\\\\\\"b\",\"n\":[1,{\"a\":\"}\"}],\"error\":{\"code\":1", ERROR, ERROR},
    {"{\"error\":", NEITHER, CONTENT},
    {"{\"error\":{", NEITHER, CONTENT},
    {"{\"error\": \"x", ERROR, ERROR},
    {" [ {\"error\" : { \"code\"", ERROR, ERROR},
    {"{\"error\":null,\"id\":\"x\",\"choices\":[{", CONTENT, CONTENT},
    {"{\"error\":\"\",\"error\":{},\"data\":[1", CONTENT, CONTENT},
    {"{\"id\":\"x\",\"choices\":[],\"error\":{\"code\":1}}", ERROR, ERROR},
    {"{\"id\":\"x\",\"choices\":[{\"message\":{}}],\"error\":{\"code\":1}}", CONTENT, ERROR},
    {"{\"choices\":null,\"base_resp\":{\"status_code\":1008}}", ERROR, ERROR},
    {"{\"choices\":null,\"base_resp\":{\"status_code\":0}}", CONTENT, CONTENT},
    {"{\"choices\":[{\"a\":1}],\"base_resp\":{\"status_code\":1008}}", CONTENT, ERROR},
    {"{\"code\":20012,\"message\":\"x\",\"data\":null}", ERROR, ERROR},
    {"{\"code\":20000,\"message\":\"OK\",\"status\":true,\"data\":{\"balance\":\"1\"}}", CONTENT,
     CONTENT},
    {"{\"id\":\"x\",\"deleted\":true}", CONTENT, CONTENT},
    {"{\"type\":\"error\",\"message\":\"x\"}", ERROR, ERROR},
    {"{\"a\":1}", CONTENT, CONTENT},
    {"{\"a\":1,\"done\":false}\n{\"error\":\"x\"}\n", CONTENT, CONTENT},
    {"{\"error\":\"x\"}\n{\"a\":1}\n", ERROR, ERROR},
    {"{\"choices\":[{\"message\":{\"content\":\"a\"},\"error\":{\"code\":502}}]}", CONTENT, ERROR},
    {"{\"error\":null,\"output\":[{\"text\":\"\\\"error\\\":{\"}]}", CONTENT, CONTENT},
    {"{\"a\\", NEITHER, CONTENT},
    {"{]", NEITHER, CONTENT},
};

/* Copies to memory of exactly the size, so that a checker notices any overrun. */
static apipool_opens_e judge(const char *text, size_t len, int is_complete, int only_first)
{
    char *exact = malloc(len ? len : 1);
    assert_non_null(exact);
    memcpy(exact, text, len);
    apipool_opens_e opens = apipool_opening_of_document(exact, len, is_complete, only_first);
    free(exact);
    return opens;
}

static void a_document_is_decided_by_its_first_members(void **unused)
{
    for (size_t i = 0; i < sizeof(documents) / sizeof(*documents); i++) {
        size_t len = strlen(documents[i].text);
        apipool_opens_e opens = judge(documents[i].text, len, 0, 0);
        apipool_opens_e complete = judge(documents[i].text, len, 1, 0);
        if (opens != documents[i].opens || complete != documents[i].complete) {
            fail_msg("%s: %d, %d", documents[i].text, opens, complete);
        }
        for (size_t part = 0; part < len; part++) { /* which decides for the same, or not at all */
            apipool_opens_e early = judge(documents[i].text, part, 0, 0);
            assert_true(early == NEITHER || early == opens);
        }
    }
}

static void an_object_that_was_made_earlier_may_tell_of_an_error(void **unused)
{
    static const char job[] = "{\"id\":\"x\",\"status\":\"failed\",\"error\":{\"code\":\"y\"}}";
    static const char error[] = " {\"error\" : {\"code\":\"y\"},\"status\":\"failed\"}";
    assert_int_equal(judge(job, sizeof(job) - 1, 1, 0), ERROR);
    assert_int_equal(judge(job, sizeof(job) - 1, 1, 1), CONTENT);
    assert_int_equal(judge(job, sizeof(job) - 1, 0, 1), CONTENT);
    assert_int_equal(judge(job, 8, 0, 1), NEITHER);
    assert_int_equal(judge(error, sizeof(error) - 1, 0, 1), ERROR);
}

static const struct {
    const char *text, *error;
} ends[] = {
    {"{\"choices\":[1],\"error\":{\"code\":1},\"usage\":{}}",
     "{\"error\":{\"code\":1},\"usage\":{}}"},
    {"half a text\"}],\"error\" : \"x\"} \n", "{\"error\" : \"x\"}"},
    {"[{\"a\":1},\n{\"error\":{\"error\":{\"code\":1}}}\n]\n",
     "{\"error\":{\"error\":{\"code\":1}}}"},
    {"{\"a\":[1],\"base_resp\":{\"status_code\":1002}}", "{\"base_resp\":{\"status_code\":1002}}"},
    {"{\"done\":false}\n{\"error\":\"x\"}\n", "{\"error\":\"x\"}"},
    {"{\"a\":[1],\"base_resp\":{\"status_code\":0}}", NULL},
    {"{\"a\":[{\"error\":{\"code\":1}}]}", NULL},
    {"{\"a\":{\"error\":{\"code\":1}}}", NULL},
    {"{\"a\":\"\\\"error\\\":{}\",\"error\":null}", NULL},
    {"{\"error\":{\"code\":1}", NULL},
    {"{\"error\":{}}", NULL},
    {"\"error\"", NULL},
    {"]]", NULL},
    {"", NULL},
};

static void an_error_behind_content_is_found(void **unused)
{
    static char long_text[200 * 1024];
    apr_pool_t *pool;
    apr_pool_create(&pool, NULL);
    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        size_t len = strlen(ends[i].text);
        char *exact = malloc(len ? len : 1);
        assert_non_null(exact);
        memcpy(exact, ends[i].text, len);
        const char *error = apipool_opening_late_error(exact, len, pool);
        free(exact);
        if (error ? !ends[i].error || strcmp(error, ends[i].error) != 0 : ends[i].error != NULL) {
            fail_msg("%s: %s", ends[i].text, error ? error : "none");
        }
    }
    memset(long_text, ' ', sizeof(long_text)); /* far more than are tried, and deeper inside */
    for (size_t at = 0; at < sizeof(long_text) - 100; at += 16) {
        memcpy(long_text + at, "{\"error\":\"x\"},", 14);
    }
    memcpy(long_text + sizeof(long_text) - 50, "\"error\":\"here\"}", 15);
    assert_string_equal(apipool_opening_late_error(long_text, sizeof(long_text), pool),
                        "{\"error\":\"here\"}");
    long_text[sizeof(long_text) - 1] = '}';
    assert_null(apipool_opening_late_error(long_text, sizeof(long_text), pool));
    apr_pool_destroy(pool);
}

static void a_finish_reason_finishes(void **unused)
{
    static const char yes[] = "{\"finish_reason\":null},{\"finish_reason\" : \"stop\"}";
    static const char no[] =
        "{\"finish_reason\":null,\"x\":\"\\\"finish_reason\\\":\\\"stop\\\"\"}";
    assert_true(apipool_opening_finishes(yes, sizeof(yes) - 1));
    assert_false(apipool_opening_finishes(no, sizeof(no) - 1));
    assert_false(apipool_opening_finishes(yes, 35));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_an_error_content_or_neither),
        cmocka_unit_test(a_document_is_decided_by_its_first_members),
        cmocka_unit_test(an_object_that_was_made_earlier_may_tell_of_an_error),
        cmocka_unit_test(an_error_behind_content_is_found),
        cmocka_unit_test(a_finish_reason_finishes),
    };
    apr_initialize();
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("opening", tests, NULL, NULL);
}
