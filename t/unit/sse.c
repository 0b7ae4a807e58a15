/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/text/sse: first events, ends of lines and events, and the chunk that reports
 * usage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <apr_general.h>

#include "sse.h"

#define CHUNK "data: {\"id\":\"x\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"
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
        int complete = apipool_sse_first(firsts[i].text, strlen(firsts[i].text), pool, &data);
        if (complete != firsts[i].complete || !data != !firsts[i].data ||
            (data && strcmp(data, firsts[i].data))) {
            fail_msg("%s: %d, %s", firsts[i].text, complete, data ? data : "none");
        }
    }
    apr_pool_destroy(pool);
}

static const struct {
    const char *text, *name, *data, *rest; /* rest NULL: the event is not complete */
} events[] = {
    {"", "", "", NULL},
    {"\n", "", "", ""},
    {": comment\n\ndata: a\n\n", "", "", "data: a\n\n"},
    {"event: error\ndata: a\ndata: b\n\nx", "error", "a\nb", "x"},
    {"event:error\r\ndata:a\r\n\r\n", "error", "a", ""},
    {"data: a\nevent: ping\n\n", "ping", "a", ""},
    {"event: error\n", "error", "", NULL},
    {"data: a\n\r", "", "a", NULL},
    {"data: a", "", "", NULL},
};

static void an_event_has_a_name_and_data(void **unused)
{
    apr_pool_t *pool;
    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++) {
        apipool_sse_event_t got;
        const char *text = events[i].text;
        const char *rest = apipool_sse_read(text, text + strlen(text), pool, &got);
        if (!rest != !events[i].rest || (rest && strcmp(rest, events[i].rest)) ||
            strcmp(got.name, events[i].name) || strcmp(got.data, events[i].data) ||
            got.len != strlen(got.data)) {
            fail_msg("%s: %s, %s, %s", text, got.name, got.data, rest ? rest : "none");
        }
    }
    apr_pool_destroy(pool);
}

static void lines_end_with_a_line_feed(void **unused)
{
    assert_int_equal(apipool_sse_lines("", 0), 0);
    assert_int_equal(apipool_sse_lines("abc", 3), 0);
    assert_int_equal(apipool_sse_lines("a\nbc", 4), 2);
    assert_int_equal(apipool_sse_lines("a\n\n", 3), 3);
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
        apr_size_t whole = apipool_sse_whole(wholes[i].text, strlen(wholes[i].text), before);
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
    {"no empty line before the end", CHUNK "data: {\"choices\":[],\"usage\":{\"a\":1}}\n" DONE,
     CHUNK DONE},
    {"the same with CR LF", "data: {\"choices\":[],\"usage\":{}}\r\ndata: [DONE]\r\n\r\n",
     "data: [DONE]\r\n\r\n"},
    {"several of them, and nothing else",
     "data: {\"usage\":{}}\ndata: {\"choices\":null,\"usage\":{}}\nid: 1\n\n" DONE, DONE},
    {"no empty line after the end", CHUNK "data: {\"usage\":{\"a\":1}}\ndata: [DONE]\n",
     CHUNK "data: [DONE]\n"},
    {"choices null", "data: {\"choices\":null,\"usage\":{\"a\":1}}\n\n" DONE, DONE},
    {"no choices", "data: {\"id\":\"x\",\"usage\":{\"a\":1}}\n\n" DONE, DONE},
    {"nothing in it", "data: {\"choices\":[],\"usage\":{}}\n\n" DONE, DONE},
    {"numbers beyond all integers",
     "data: {\"choices\":[],\"usage\":{\"a\":123456789012345678901234}}\n\n" DONE, DONE},
    {"its value on a line of its own", "data: {\"usage\":\r\ndata: {}}\r\n\r\n" DONE, DONE},
    {"an error", "data: {\"error\":{\"message\":\"x\"},\"usage\":{}}\n\n",
     "data: {\"error\":{\"message\":\"x\"},\"usage\":{}}\n\n"},
    {"usage of a choice", "data: {\"choices\":[{\"usage\":{}}]}\n\n",
     "data: {\"choices\":[{\"usage\":{}}]}\n\n"},
    {"usage null", "data: {\"choices\":[],\"usage\":null}\n\n", "data: {\"choices\":[]}\n\n"},
    {"usage null as OpenAI has it",
     "data: {\"choices\":[{\"delta\":{}}],\"usage\":null}\n\n" USAGE DONE,
     "data: {\"choices\":[{\"delta\":{}}]}\n\n" DONE},
    {"usage null in chunks of all kinds",
     "data: {\"id\":\"x\",\"choices\":[{\"delta\":{\"content\":\"\\\"\"}}], \"usage\" : null "
     "}\r\n\r\n"
     "data: {\"usage\":null,\"choices\":[{}]}\n\ndata: "
     "{\"choices\":[{}],\"usage\":null,\"obfuscation\":"
     "\"ab\"}\n\ndata: {\"usage\":null}\n\n",
     "data: {\"id\":\"x\",\"choices\":[{\"delta\":{\"content\":\"\\\"\"}}]}\r\n\r\n"
     "data: {\"choices\":[{}]}\n\ndata: {\"choices\":[{}],\"obfuscation\":\"ab\"}\n\ndata: {}\n\n"},
    {"usage null further inside", "data: {\"x\":{\"usage\":null}}\n\n" DONE,
     "data: {\"x\":{\"usage\":null}}\n\n" DONE},
    {"timings stay",
     CHUNK "data: {\"choices\":[],\"usage\":{\"a\":{\"b\":[1,2]}},\"timings\":{\"c\":1}}\n\n" DONE,
     CHUNK "data: {\"choices\":[],\"timings\":{\"c\":1}}\n\n" DONE},
    {"citations stay", "event: x\ndata: {\"citations\":[\"u\"],\"usage\":{\"a\":\"}\"}}\nid: 1\n\n",
     "event: x\ndata: {\"citations\":[\"u\"]}\nid: 1\n\n"},
    {"statistics stay", "data: {\"usage\":{\"a\":1} , \"statistics\":{}}\n\n",
     "data: { \"statistics\":{}}\n\n"},
    {"prompt_filter_results stay",
     "data: {\"choices\":[],\"usage\":{},\"prompt_filter_results\":[]}\n\n",
     "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n"},
    {"x_groq stays, with its own usage",
     "data: "
     "{\"id\":\"1\",\"choices\":[],\"x_groq\":{\"id\":\"r\",\"usage\":{\"a\":1}},\"usage\":{\"a\":"
     "1}}\n\n",
     "data: {\"id\":\"1\",\"choices\":[],\"x_groq\":{\"id\":\"r\",\"usage\":{\"a\":1}}}\n\n"},
    {"members of null say nothing",
     "data: {\"choices\":[],\"usage\":{},\"timings\":null,\"service_tier\":\"default\"}\n\n" DONE,
     DONE},
    {"a usage in a chunk with text is the upstream's own",
     "data: {\"choices\":[{}],\"usage\":{\"a\":1}}\n\n",
     "data: {\"choices\":[{}],\"usage\":{\"a\":1}}\n\n"},
    {"timings before the end, without an empty line",
     "data: {\"usage\":{},\"timings\":{}}\ndata: [DONE]\n\n",
     "data: {\"timings\":{}}\ndata: [DONE]\n\n"},
    {"not JSON", "data: [] {\"choices\":[]\n\n", "data: [] {\"choices\":[]\n\n"},
    {"lines that end in CR alone", "data: {\"a\":1}\r\rdata: {\"choices\":[],\"usage\":{}}\r\r",
     "data: {\"a\":1}\r\r"},
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
        apr_size_t left = apipool_sse_drop_usage(text, len, pool);
        if (left != strlen(drops[i].left) || memcmp(text, drops[i].left, left)) {
            fail_msg("%s: %.*s", drops[i].name, (int)left, text);
        }
    }
    apr_pool_destroy(pool);
}

/* However the bytes arrive, the end is found where it is found when all are read at once. */
static void the_end_of_the_first_event_is_seen_as_the_bytes_come(void **unused)
{
    for (size_t i = 0; i < sizeof(firsts) / sizeof(*firsts); i++) {
        apr_size_t len = strlen(firsts[i].text);
        for (apr_size_t cut = 0; cut <= len; cut++) {
            apipool_sse_at_t peek = {0};
            int complete = apipool_sse_peek(&peek, firsts[i].text, cut);
            complete |= apipool_sse_peek(&peek, firsts[i].text + cut, len - cut);
            int open_cr = len > 0 && firsts[i].text[len - 1] == '\r';
            if (complete != firsts[i].complete && !(open_cr && complete)) {
                fail_msg("%s, cut at %d: %d", firsts[i].text, (int)cut, complete);
            }
        }
    }
}

static void an_event_ends_with_an_empty_line(void **unused)
{
    static const char none[2] = {0};
    assert_false(apipool_sse_end("a\n", 2, none));
    assert_false(apipool_sse_end("a\r\n", 3, none));
    assert_true(apipool_sse_end("a\n\n", 3, none));
    assert_true(apipool_sse_end("a\r\n\r\n", 5, none));
    assert_true(apipool_sse_end("\n", 1, "a\n"));
    assert_false(apipool_sse_end("\n", 1, "a\r"));
    assert_true(apipool_sse_end("\n", 1, "\n\r"));
    assert_true(apipool_sse_end("\r\n", 2, "a\n"));
}

static const struct {
    const char *text;
    int complete;
    apr_size_t eol, next;
} lines[] = {
    {"", 0, 0, 0},        {"ab", 0, 2, 2},      {"ab\nc", 1, 2, 3},  {"ab\r\nc", 1, 2, 4},
    {"ab\rc", 1, 2, 3},   {"ab\r", 0, 2, 3},    {"ab\r\n", 1, 2, 4}, {"ab\n", 1, 2, 3},
    {"\n\n", 1, 0, 1},    {"\r\r", 1, 0, 1},    {"\r\n", 1, 0, 2},   {"a\rb\nc", 1, 1, 2},
    {"a\nb\rc", 1, 1, 2}, {"a\r\r\n", 1, 1, 2},
};

static void a_line_ends_in_one_of_three_ways(void **unused)
{
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        const char *text = lines[i].text, *eol, *next;
        int complete = apipool_sse_line(text, text + strlen(text), &eol, &next);
        if (complete != lines[i].complete || eol != text + lines[i].eol ||
            next != text + lines[i].next) {
            fail_msg("row %u: %d, %d, %d", (unsigned)i, complete, (int)(eol - text),
                     (int)(next - text));
        }
    }
}

static const struct {
    const char *line, *name, *value;
} fields[] = {
    {"data: a", "data", "a"},       {"data:a", "data", "a"},    {"data:  a", "data", " a"},
    {"data:", "data", ""},          {"data: ", "data", ""},     {"data", "data", NULL},
    {"dat", "data", NULL},          {"datax: a", "data", NULL}, {" data: a", "data", NULL},
    {"event: a:b", "event", "a:b"}, {"", "data", NULL},
};

static void a_field_has_a_name_and_a_value(void **unused)
{
    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        const char *line = fields[i].line;
        const char *value = apipool_sse_field(line, line + strlen(line), fields[i].name);
        if (!value != !fields[i].value || (value && strcmp(value, fields[i].value))) {
            fail_msg("%s: %s", line, value ? value : "none");
        }
    }
}

static const struct {
    const char *text, *joined;
} joins[] = {
    {"", ""},
    {"data: a\n\n", "a\n"},
    {"id: 1\r\ndata:a\r\n: b\r\ndata: c\r\n\r\n", "a\nc\n"},
    {"data\ndata: b", "b\n"},
    {"data:\n\n", "\n"},
    {"data: a\r", "a\n"},
    {"event: a\n\n", ""},
};

static void data_is_joined(void **unused)
{
    char to[100];
    for (size_t i = 0; i < sizeof(joins) / sizeof(*joins); i++) {
        apr_size_t len = apipool_sse_join(to, joins[i].text, strlen(joins[i].text));
        assert_int_equal(len, strlen(joins[i].joined));
        assert_memory_equal(to, joins[i].joined, len);
    }
}

static void events_are_told_apart(void **unused)
{
    static const char text[] = ": a\n\ndata: b\r\n\r\nid: c\r\rdata: d\n\ne";
    static const apr_size_t begins[] = {0, 5, 16, 23, 32, 33};
    const char *end = text + sizeof(text) - 1;
    apipool_sse_at_t at = {0};
    for (int i = 0; i < 5; i++) {
        const char *event = text + begins[i], *next = text + begins[i + 1];
        int is_last = i == 4, lf_is_left = i == 1; /* it is taken with the next event */
        assert_ptr_equal(apipool_sse_next(event, end), next);
        assert_int_equal(apipool_sse_take(&at, event, (apr_size_t)(end - event)),
                         next - event - lf_is_left);
        assert_int_equal(at.ended, !is_last);
        assert_int_equal(at.has_data, i == 1 || i == 3);
        assert_ptr_equal(apipool_sse_start(text, event), i == 3 ? text + begins[2] : event);
    }
}

static const struct {
    const char *text;
    int at; /* -1: none */
} usages[] = {
    {"", -1},
    {"{\"usage\":{}}", 9},
    {"{\"usageMetadata\" :\t{", 19},
    {"{\"meta\":\n{", 9},
    {"data: {\"usage\"\r\ndata: :\r\ndata:{", 30},
    {"data: \"usage\":\ndata: {", 21},
    {"x\n\ndata: {\"usage\":{", 18},
    {"{\"usage\":null,\"usage\":[{}],\"a\":{\"usage\":{", 40},
    {"{\"usage\"{},\"usages\":{},\"xusage\":{},usage:{}", -1},
    {"{\"a\":\"\\\"usage\\\":{\",\"b\\\"usage\":{", -1},
};

static void usage_is_an_object_with_a_name(void **unused)
{
    for (size_t i = 0; i < sizeof(usages) / sizeof(*usages); i++) {
        const char *text = usages[i].text;
        const char *found = apipool_sse_find_usage(text, text + strlen(text));
        if (found != (usages[i].at < 0 ? NULL : text + usages[i].at)) {
            fail_msg("%s: %d", text, found ? (int)(found - text) : -1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_event_with_data_is_found),
        cmocka_unit_test(an_event_has_a_name_and_data),
        cmocka_unit_test(a_line_ends_in_one_of_three_ways),
        cmocka_unit_test(a_field_has_a_name_and_a_value),
        cmocka_unit_test(data_is_joined),
        cmocka_unit_test(events_are_told_apart),
        cmocka_unit_test(usage_is_an_object_with_a_name),
        cmocka_unit_test(lines_end_with_a_line_feed),
        cmocka_unit_test(whole_events_end_with_an_empty_line),
        cmocka_unit_test(the_chunk_that_tells_usage_is_dropped),
        cmocka_unit_test(the_end_of_the_first_event_is_seen_as_the_bytes_come),
        cmocka_unit_test(an_event_ends_with_an_empty_line),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
