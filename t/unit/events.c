/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/events: first events, ends of lines and events, and the chunk that tells usage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <apr_general.h>

#include "events.h"

#define CHUNK                                                                                      \
    "data: {\"id\":\"x\",\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\n"
#define USAGE "data: {\"id\":\"x\",\"choices\":[],\"usage\":{\"total_tokens\":3}}\n\n"
#define AZURE "data: {\"choices\":[],\"prompt_filter_results\":[{\"a\":[]}]}\n\n"
#define SPACED                                                                                     \
    "data: { \"usage\" : {} ,\n"                                                                   \
    "data: \"choices\" : [ ] }\n\n"
#define IN_TEXT                                                                                    \
    "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"choices\\\":[],\\\"usage\\\":{}\"}}]}\n\n"
#define DONE "data: [DONE]\n\n"

static const struct {
    const char *text;
    int complete;
    const char *data; /* NULL: none yet */
} firsts[] = {
    {"", 0, NULL},
    {"data: a", 0, NULL},
    {"data: a\n", 0, "a"},
    {"data: a\n\n", 1, "a"},
    {"data:a\r\n\r\n", 1, "a"},
    {"data: a\r\rdata: b\r\r", 1, "a"},
    {"data:  a\n\n", 1, " a"},
    {"data: a\ndata: b\n\n", 1, "a\nb"},
    {"data:\n\n", 1, ""},
    {": keep-alive\n\n", 0, NULL},
    {": keep-alive\n\ndata: a\n\n", 1, "a"},
    {"event: error\ndata: a\nid: 1\n\n", 1, "a"},
    {"event: ping\n\ndata: a\n\n", 1, "a"},
    {"database: a\n\n", 0, NULL},
    {"data: a\n\r", 0, "a"},
    {"data: a\n\r\n", 1, "a"},
};

static void the_first_event_with_data_is_found(void **unused)
{
    apr_pool_t *pool;
    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    for (size_t i = 0; i < sizeof(firsts) / sizeof(*firsts); i++) {
        char *data;
        int complete = apipool_events_first(firsts[i].text, strlen(firsts[i].text), pool, &data);
        if (complete != firsts[i].complete || !data != !firsts[i].data ||
            (data && strcmp(data, firsts[i].data))) {
            fail_msg("%s: %d, %s", firsts[i].text, complete, data ? data : "none");
        }
    }
    apr_pool_destroy(pool);
}

static void lines_end_with_a_line_feed(void **unused)
{
    assert_int_equal(apipool_events_lines("", 0), 0);
    assert_int_equal(apipool_events_lines("abc", 3), 0);
    assert_int_equal(apipool_events_lines("a\nbc", 4), 2);
    assert_int_equal(apipool_events_lines("a\n\n", 3), 3);
}

static const struct {
    const char *before, *text;
    apr_size_t whole;
} wholes[] = {
    {"", "", 0},         {"", "a\n\n", 3},       {"", "a\n\nb\n", 3},  {"", "a\nb\n", 0},
    {"", "\n", 0},       {"a\n", "\n", 1},       {"a\n", "\nb", 1},    {"\r\n", "\r\n", 2},
    {"\n\r", "\n", 1},   {"a\r", "\n", 0},       {"", "a\r\n\r\n", 5}, {"", "a\r\n\r\nb\r\n", 5},
    {"", "a\n\r\nb", 4}, {"", "a\n\nb\n\nc", 6},
};

static void whole_events_end_with_an_empty_line(void **unused)
{
    for (size_t i = 0; i < sizeof(wholes) / sizeof(*wholes); i++) {
        char before[2] = {0};
        memcpy(before, wholes[i].before, strlen(wholes[i].before));
        apr_size_t whole = apipool_events_whole(wholes[i].text, strlen(wholes[i].text), before);
        if (whole != wholes[i].whole) {
            fail_msg("row %u: %u", (unsigned)i, (unsigned)whole);
        }
    }
}

static const struct {
    const char *name, *text, *left;
} drops[] = {
    {"nothing", "", ""},
    {"a stream without it", CHUNK CHUNK DONE, CHUNK CHUNK DONE},
    {"the last one", CHUNK USAGE DONE, CHUNK DONE},
    {"it alone", USAGE, ""},
    {"the first one", USAGE CHUNK, CHUNK},
    {"twice", CHUNK USAGE USAGE CHUNK, CHUNK CHUNK},
    {"no choices and no usage", AZURE CHUNK USAGE, AZURE CHUNK},
    {"blanks, and two lines of data", CHUNK SPACED DONE, CHUNK DONE},
    {"a model that talks of it", IN_TEXT USAGE, IN_TEXT},
    {"comments stay", ": a\n\n" USAGE ": b\n\n", ": a\n\n: b\n\n"},
    {"usage null", "data: {\"choices\":[],\"usage\":null}\n\n",
     "data: {\"choices\":[],\"usage\":null}\n\n"},
    {"not JSON", "data: [] {\"choices\":[]\n\n", "data: [] {\"choices\":[]\n\n"},
    {"lines that end in CR alone, as no vendor's do", "data: {\"choices\":[],\"usage\":{}}\r\r",
     "data: {\"choices\":[],\"usage\":{}}\r\r"},
    {"CR LF", "data: {\"choices\":[],\"usage\":{}}\r\n\r\ndata: b\r\n\r\n", "data: b\r\n\r\n"},
};

static void the_chunk_that_tells_usage_is_dropped(void **unused)
{
    apr_pool_t *pool;
    char text[1024];
    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    for (size_t i = 0; i < sizeof(drops) / sizeof(*drops); i++) {
        apr_size_t len = strlen(drops[i].text);
        memcpy(text, drops[i].text, len);
        apr_size_t left = apipool_events_drop_usage(text, len, pool);
        if (left != strlen(drops[i].left) || memcmp(text, drops[i].left, left)) {
            fail_msg("%s: %.*s", drops[i].name, (int)left, text);
        }
        if (left != len && !apipool_events_may_tell_usage(drops[i].text, len)) {
            fail_msg("%s: is not noticed", drops[i].name);
        }
    }
    apr_pool_destroy(pool);
}

static void hardly_any_other_event_is_looked_at(void **unused)
{
    assert_false(apipool_events_may_tell_usage(CHUNK DONE, strlen(CHUNK DONE)));
    assert_true(apipool_events_may_tell_usage(USAGE, strlen(USAGE)));
    assert_true(apipool_events_may_tell_usage(SPACED, strlen(SPACED)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_event_with_data_is_found),
        cmocka_unit_test(lines_end_with_a_line_feed),
        cmocka_unit_test(whole_events_end_with_an_empty_line),
        cmocka_unit_test(the_chunk_that_tells_usage_is_dropped),
        cmocka_unit_test(hardly_any_other_event_is_looked_at),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
