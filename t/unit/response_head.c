/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/text/response_head and src/text/field_options: a response's head, field by field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "field_options.h"
#include "response_head.h"

static apr_pool_t *pool;

static int begin(void **unused)
{
    (void)unused;
    return apr_initialize() == APR_SUCCESS && apr_pool_create(&pool, NULL) == APR_SUCCESS ? 0 : -1;
}

static int end(void **unused)
{
    (void)unused;
    apr_terminate();
    return 0;
}

/* A head as "1.minor status text|name=value;name=value;", or "malformed". */
static const char *read_head(const char *text, apr_size_t len)
{
    char *head = apr_pstrmemdup(pool, text, len), *at = head, *end = head + len, *name, *value;
    apipool_status_line_t line;
    int more;
    if (!apipool_response_head_status(&at, end, &line)) {
        return "malformed";
    }
    const char *result = apr_psprintf(pool, "1.%d %d %s|", line.minor, line.status, line.text);
    while ((more = apipool_response_head_field(&at, end, &name, &value)) > 0) {
        result = apr_pstrcat(pool, result, name, "=", value, ";", NULL);
    }
    return more < 0 || at != end ? "malformed" : result;
}

#define OK "HTTP/1.1 200 OK\r\n"

static const struct {
    const char *name, *head, *result;
} rows[] = {
    {"fields", OK "Date: d\r\nX-A: 1\r\nX-A: 2\r\n\r\n", "1.1 200 200 OK|Date=d;X-A=1;X-A=2;"},
    {"none", OK "\r\n", "1.1 200 200 OK|"},
    {"line feeds alone", "HTTP/1.0 404 Not Found\nX-A:1\nX-B:\n\n",
     "1.0 404 404 Not Found|X-A=1;X-B=;"},
    {"no reason", "HTTP/1.1 200\r\nX-A: 1\r\n\r\n", "1.1 200 200 |X-A=1;"},
    {"no reason, line feeds alone", "HTTP/1.1 200\nX-A: 1\n\n", "1.1 200 200 |X-A=1;"},
    {"a blank and no reason", "HTTP/1.1 200 \r\n\r\n", "1.1 200 200 |"},
    {"blanks around", OK "X-A: \t 1 2 \t\r\nX-B:\t\r\n\r\n", "1.1 200 200 OK|X-A=1 2;X-B=;"},
    {"lines that go on", OK "X-A: 1\r\n 2\r\n\t3\r\nX-B:\r\n 1\r\n\r\n",
     "1.1 200 200 OK|X-A=1 2 3;X-B=1;"},
    {"control characters",
     OK "X-A: 1\v2\r3\x7f"
        "4\r\nX-C: a\tb\xff\r\n\r\n",
     "1.1 200 200 OK|X-A=1 2 3 4;X-C=a\tb\xff;"},
    {"control characters in a long value",
     OK "X-A: 12345678901\v3456789\x7f"
        "12345678\r901\x80\x1f\r\n\r\n",
     "1.1 200 200 OK|X-A=12345678901 3456789 12345678 901\x80 ;"},
    {"a name alone in its line", OK "X-A\r\n : 1\r\nX-B: 2\r\n\r\n", "1.1 200 200 OK|X-A=1;X-B=2;"},
    {"no colon in a joined line", OK "X-A\r\n B\r\n\r\n", "malformed"},
    {"a control character in the reason", "HTTP/1.1 200 O\vK\r\n\r\n", "1.1 200 200 O K|"},
    {"a blank before the colon", OK "X-A : 1\r\nX-B\t:2\r\n\r\n", "1.1 200 200 OK|X-A=1;X-B=2;"},
    {"a colon in the value", OK "X-A: a:b\r\n\r\n", "1.1 200 200 OK|X-A=a:b;"},
    {"no colon", OK "X-A\r\n\r\n", "malformed"},
    {"no name", OK ": 1\r\n\r\n", "malformed"},
    {"a name with a blank", OK "X A: 1\r\n\r\n", "malformed"},
    {"a name that is no token", OK "X(A): 1\r\n\r\n", "malformed"},
    {"a first line that goes on", OK " 1\r\n\r\n", "malformed"},
    {"two digits", "HTTP/1.1 20 OK\r\n\r\n", "malformed"},
    {"four digits", "HTTP/1.1 2000 OK\r\n\r\n", "malformed"},
    {"a status below 100", "HTTP/1.1 099 OK\r\n\r\n", "malformed"},
    {"another protocol", "HTTP/2.0 200 OK\r\n\r\n", "malformed"},
    {"an older one", "ICY 200 OK\r\n\r\n", "malformed"},
    {"no line feed", "HTTP/1.1 200 OK", "malformed"},
};

static void heads_are_taken_apart(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const char *result = read_head(rows[i].head, strlen(rows[i].head));
        if (strcmp(result, rows[i].result)) {
            fail_msg("%s: \"%s\"", rows[i].name, result);
        }
    }
}

static void a_zero_byte_ends_nothing(void **unused)
{
    (void)unused;
    static const char head[] = OK "X-A: 1\0002\r\n\r\n";
    assert_string_equal(read_head(head, sizeof(head) - 1), "1.1 200 200 OK|X-A=1 2;");
}

/* However much has been looked at before. */
static void the_end_is_found(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        int end; /* -1: there is none */
    } ends[] = {{OK "\r\nbody", 19},
                {OK "X: 1\r\n\r\n", 25},
                {OK "\nbody", 18},
                {OK "X: 1\n\n\r\n", 23},
                {OK, -1},
                {OK "\r", -1},
                {OK "X: 1\r\n\r", -1},
                {"", -1},
                {"\r\n\r\n", 4}};
    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        char *text = apr_pstrdup(pool, ends[i].text);
        apr_size_t len = strlen(text);
        for (apr_size_t had = 0; had <= len; had++) {
            if (apipool_response_head_end(text, had, 0)) {
                break;
            }
            char *end = apipool_response_head_end(text, len, had);
            assert_int_equal(end ? end - text : -1, ends[i].end);
        }
    }
}

static void what_may_be_a_response_is_known_early(void **unused)
{
    (void)unused;
    assert_true(apipool_response_head_is_http("", 0));
    assert_true(apipool_response_head_is_http("HTT", 3));
    assert_true(apipool_response_head_is_http(OK, strlen(OK)));
    assert_false(apipool_response_head_is_http("HTTP/2.0 200", 12));
    assert_false(apipool_response_head_is_http("X", 1));
    assert_false(apipool_response_head_is_http("<html>", 6));
}

static void options_are_found(void **unused)
{
    (void)unused;
    static const struct {
        const char *list, *token;
        int is_there;
    } lists[] = {{NULL, "close", 0},         {"", "close", 0},
                 {"Close", "close", 1},      {"keep-alive", "Keep-Alive", 1},
                 {"keep-alive", "close", 0}, {"X-A, close ,X-B", "CLOSE", 1},
                 {"X-A;\tX-B", "x-b", 1},    {"X-AB", "X-A", 0},
                 {"X-A", "X-AB", 0}};
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
        assert_int_equal(apipool_field_options_name(lists[i].list, lists[i].token),
                         lists[i].is_there);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_are_taken_apart),
        cmocka_unit_test(a_zero_byte_ends_nothing),
        cmocka_unit_test(the_end_is_found),
        cmocka_unit_test(what_may_be_a_response_is_known_early),
        cmocka_unit_test(options_are_found),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("response_head", tests, begin, end);
}
