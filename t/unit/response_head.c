/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/text/head: what of an answer's head is dropped, and what passes mod_proxy by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <malloc.h>
#include <string.h>
#include <cmocka.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "head.h"

#define STATUS "HTTP/1.1 200 OK\r\n"
#define LONG   "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LONGER LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG

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

/* Gives the head a text by lines, as a connection would, and returns what mod_proxy is shown. Where the text
 * has a '|', a line is read in two parts. */
static const char *show(apipool_head_t *head, const char *text)
{
    const char *shown = "";
    while (*text) {
        apr_size_t len = strcspn(text, "\n|");
        int part = text[len] == '|';
        len += !part && text[len] == '\n';
        const char *line = apr_pstrndup(pool, text, len);
        text += len + (apr_size_t)part;
        if (!apipool_head_takes(head, line, len, *text && !part ? *text : -1)) {
            shown = apr_pstrcat(pool, shown, line, NULL);
        }
    }
    return shown;
}

/* What is added in the end, as "name=value;". */
static const char *completed(apipool_head_t *head)
{
    apr_table_t *fields = apr_table_make(pool, 5);
    const char *text = "";
    apipool_head_complete(head, fields);
    const apr_array_header_t *list = apr_table_elts(fields);
    for (int i = 0; i < list->nelts; i++) {
        const apr_table_entry_t *field = &APR_ARRAY_IDX(list, i, apr_table_entry_t);
        text = apr_pstrcat(pool, text, field->key, "=", field->val, ";", NULL);
    }
    return text;
}

static const struct {
    const char *name, *head, *shown, *completed;
} rows[] = {
    {"fields that mean nothing to mod_proxy",
     STATUS
     "Date: d\r\nserver: s\r\nX-A: 1\r\nCF-Ray: r\r\nopenai-version: v\r\nAnthropic-B: b\r\n\r\n",
     STATUS "\r\n", "Date=d;server=s;X-A=1;CF-Ray=r;openai-version=v;Anthropic-B=b;"},
    {"others",
     STATUS "Content-Type: t\r\nContent-Length: 1\r\nDated: d\r\nRetry-After: 1\r\nVia: v\r\n\r\n",
     STATUS "Content-Type: t\r\nContent-Length: 1\r\nDated: d\r\nRetry-After: 1\r\nVia: v\r\n\r\n",
     ""},
    {"dropped ones, with what continues them",
     STATUS
     "Set-Cookie: a\r\n b\r\n\tc\r\nset-cookie2: a\r\nOpenAI-Organization: o\r\nVia: v\r\n\r\n",
     STATUS "Via: v\r\n\r\n", ""},
    {"dropped from interim answers too",
     "HTTP/1.1 103 Early Hints\r\nSet-Cookie: a\r\nX-A: 1\r\n\r\n",
     "HTTP/1.1 103 Early Hints\r\nX-A: 1\r\n\r\n", ""},
    {"the final answer after an interim one",
     "HTTP/1.1 100 Continue\r\nX-A: 1\r\n\r\n" STATUS "X-B: 2\r\n\r\n",
     "HTTP/1.1 100 Continue\r\nX-A: 1\r\n\r\n" STATUS "\r\n", "X-B=2;"},
    {"HTTP/1.0", "HTTP/1.0 404 Not Found\r\nX-A: 1\r\n\r\n", "HTTP/1.0 404 Not Found\r\n\r\n",
     "X-A=1;"},
    {"blanks around, nothing, and no carriage return",
     STATUS "X-A: \t 1 2 \t\r\nX-B:\r\nX-C:3\nX-D:\n\r\n", STATUS "\r\n",
     "X-A=1 2;X-B=;X-C=3;X-D=;"},
    {"one that is continued", STATUS "X-A: 1\r\n 2\r\nX-B: 1\r\n\t2\r\n\r\n",
     STATUS "X-A: 1\r\n 2\r\nX-B: 1\r\n\t2\r\n\r\n", ""},
    {"not seen to end", STATUS "X-A: 1\r\n", STATUS "X-A: 1\r\n", ""},
    {"the same name twice", STATUS "X-A: 1\r\nX-B: 2\r\nX-A: 3\r\n\r\n", STATUS "\r\n",
     "X-A=1;X-B=2;X-A=3;"},
    {"names that vendors do not make",
     STATUS "X-A : 1\r\nX-A\x80: 1\r\nX(A): 1\r\nX-A\r\nX-\r\n\r\n",
     STATUS "X-A : 1\r\nX-A\x80: 1\r\nX(A): 1\r\nX-A\r\nX-\r\n\r\n", ""},
    {"a carriage return inside", STATUS "X-A: 1\r2\r\n\r\n", STATUS "X-A: 1\r2\r\n\r\n", ""},
    {"a long one", STATUS "X-A: " LONGER "\r\nX-B: " LONG "\r\n\r\n",
     STATUS "X-A: " LONGER "\r\n\r\n", "X-B=" LONG ";"},
    {"in parts", STATUS "X-|A: 1\r\nSet-Cookie: |X-B: 2\r\nX-C: 3\r\n\r\n", STATUS "X-A: 1\r\n\r\n",
     "X-C=3;"},
    {"of the connection only, named before and after",
     STATUS "X-A: 1\r\nConnection: close, x-a ,X-B\r\nconnection: cf-ray\r\nX-B: 1\r\nCF-Ray: "
            "1\r\nX-C: 1\r\n\r\n",
     STATUS "Connection: close, x-a ,X-B\r\nconnection: cf-ray\r\n\r\n", "X-C=1;"},
    {"of the connection only, in lines that go on",
     STATUS
     "Connection: close,\r\n X-A;\r\n\tX-B;X-C\r\nX-A: 1\r\nX-B: 1\r\nX-C: 1\r\nX-D: 1\r\n\r\n",
     STATUS "Connection: close,\r\n X-A;\r\n\tX-B;X-C\r\n\r\n", "X-D=1;"},
    {"of an interim answer's connection only",
     "HTTP/1.1 103 Early Hints\r\nConnection: X-A\r\n\r\n" STATUS "X-A: 1\r\n\r\n",
     "HTTP/1.1 103 Early Hints\r\nConnection: X-A\r\n\r\n" STATUS "\r\n", "X-A=1;"},
    {"a warning with a date", STATUS "Date: d\r\nWarning: 199 a \"x\" \"d\"\r\n\r\n", STATUS "\r\n",
     "Date=d;Warning=199 a \"x\" \"d\";"},
    {"control characters", STATUS "X-A: 1\v\r\nX-B: \x7f\r\nX-C: a\tb\xff\r\n\r\n",
     STATUS "X-A: 1\v\r\nX-B: \x7f\r\n\r\n", "X-C=a\tb\xff;"},
    {"kept alive", STATUS "Connection: Keep-Alive\r\nX-C: 1\r\n\r\n",
     STATUS "Connection: Keep-Alive\r\n\r\n", "X-C=1;"},
    {"no head", "X-A: 1\r\nDate: d\r\n\r\n", "X-A: 1\r\nDate: d\r\n\r\n", ""},
    {"no status", "HTTP/1.1 2\r\nX-A: 1\r\n\r\n", "HTTP/1.1 2\r\nX-A: 1\r\n\r\n", ""},
    {"of another protocol", "HTTP/2.0 200 OK\r\nX-A: 1\r\n\r\n",
     "HTTP/2.0 200 OK\r\nX-A: 1\r\n\r\n", ""},
    {"behind the head", STATUS "\r\nX-A: 1\r\n\r\n", STATUS "\r\nX-A: 1\r\n\r\n", ""},
};

static void fields_are_shown_dropped_or_set_aside(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        apipool_head_t head;
        apipool_head_begin(&head, pool);
        const char *shown = show(&head, rows[i].head), *rest = completed(&head);
        if (strcmp(shown, rows[i].shown) || strcmp(rest, rows[i].completed)) {
            fail_msg("%s: shown \"%s\", completed \"%s\"", rows[i].name, shown, rest);
        }
        assert_string_equal(completed(&head), ""); /* once only */
    }
}

static void bytes_are_counted(void **unused)
{
    (void)unused;
    apipool_head_t head;
    apipool_head_begin(&head, pool);
    show(&head, STATUS "Set-Cookie: a\r\nX-A: 1\r\nVia: v\r\n\r\n");
    assert_int_equal(head.bytes, strlen(STATUS "Set-Cookie: a\r\nX-A: 1\r\nVia: v\r\n\r\n"));
}

/* What a hostile upstream can make of the largest head takes a few times as much memory. */
static void a_hostile_head_needs_bounded_memory(void **unused)
{
    (void)unused;
    static const char line[] = "Connection:abcdefghij\n";
    apr_allocator_t *allocator;
    apr_pool_t *p;
    assert_int_equal(apr_allocator_create(&allocator), APR_SUCCESS);
    apr_allocator_max_free_set(allocator, 1);
    assert_int_equal(apr_pool_create_ex(&p, NULL, NULL, allocator), APR_SUCCESS);
    apr_allocator_owner_set(allocator, p);
    struct mallinfo2 before = mallinfo2();
    apipool_head_t head;
    apipool_head_begin(&head, p);
    apipool_head_takes(&head, STATUS, strlen(STATUS), 'C');
    while (head.bytes < APIPOOL_HEAD_MAX) {
        assert_false(apipool_head_takes(&head, line, strlen(line), 'C'));
    }
    struct mallinfo2 after = mallinfo2();
    assert_true(after.uordblks + after.hblkhd <
                before.uordblks + before.hblkhd + 4 * (size_t)APIPOOL_HEAD_MAX);
    assert_string_equal(completed(&head), "");
    apr_pool_destroy(p);
}

static void a_switch_of_protocols_is_known(void **unused)
{
    (void)unused;
    static const struct {
        const char *line;
        int switches;
    } lines[] = {{"HTTP/1.1 101 Switching Protocols\r\n", 1},
                 {"HTTP/1.1 101\r\n", 1},
                 {"HTTP/1.1 1010\r\n", 1},
                 {"HTTP/1.0 101 Switching Protocols\r\n", 0},
                 {"HTTP/1.1 100 Continue\r\n", 0},
                 {STATUS, 0}};
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        apipool_head_t head;
        apipool_head_begin(&head, pool);
        show(&head, lines[i].line);
        assert_int_equal(head.switching, lines[i].switches);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_shown_dropped_or_set_aside),
        cmocka_unit_test(bytes_are_counted),
        cmocka_unit_test(a_hostile_head_needs_bounded_memory),
        cmocka_unit_test(a_switch_of_protocols_is_known),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("head", tests, begin, end);
}
