/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/text/chunked: the chunked transfer coding, whole and in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "chunked.h"

#define LEFT 1000 /* not complete */

static const struct {
    const char *name, *text, *data;
    int rest; /* bytes behind the end; LEFT: it has not come */
} rows[] = {
    {"chunks", "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", "abc0123456789", 0},
    {"small letters, zeros before", "00a\r\n0123456789\r\n000\r\n\r\n", "0123456789", 0},
    {"line feeds alone", "3\nabc\n0\n\n", "abc", 0},
    {"extensions", "3;a=b;c=\"\t\"\r\nabc\r\n0;last\r\n\r\n", "abc", 0},
    {"trailers", "3\r\nabc\r\n0\r\nX-A: 1\r\nX-B: 2\r\n\r\n", "abc", 0},
    {"nothing", "0\r\n\r\n", "", 0},
    {"more behind", "0\r\n\r\nHTTP/1.1", "", 8},
    {"no end", "3\r\nabc\r\n", "abc", LEFT},
    {"no end of the trailers", "0\r\nX-A: 1\r\n", "", LEFT},
    {"within a chunk", "5\r\nabc", "abc", LEFT},
    {"no size", "\r\nabc\r\n", NULL, 0},
    {"an extension without a size", ";a\r\nabc", NULL, 0},
    {"no digit", "g\r\n", NULL, 0},
    {"a sign", "-1\r\na", NULL, 0},
    {"a size that is too large", "1000000000000000\r\n", NULL, 0},
    {"data longer than the size", "2\r\nabc\r\n", NULL, 0},
    {"a control character in the size", "3\x01\r\nabc", NULL, 0},
};

static void decode(const char *name, const char *text, const char *data, int rest, apr_size_t most)
{
    apipool_chunked_t chunked = {0};
    char decoded[64] = "";
    apr_size_t len = strlen(text), at = 0, total = 0;
    while (at < len && !apipool_chunked_is_complete(&chunked)) {
        char piece[64];
        apr_size_t part = len - at < most ? len - at : most, used;
        memcpy(piece, text + at, part);
        apr_ssize_t n = apipool_chunked_decode(&chunked, piece, part, &used);
        if (n < 0) {
            assert_null(data);
            return;
        }
        memcpy(decoded + total, piece, (size_t)n);
        total += (apr_size_t)n;
        at += used;
    }
    if (!data || strcmp(decoded, data)) {
        fail_msg("%s, %d bytes at a time: \"%s\"", name, (int)most, decoded);
    }
    assert_int_equal(apipool_chunked_is_complete(&chunked) ? (int)(len - at) : LEFT, rest);
}

static void bodies_are_decoded(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        for (apr_size_t most = 1; most <= strlen(rows[i].text); most++) {
            decode(rows[i].name, rows[i].text, rows[i].data, rows[i].rest, most);
        }
    }
}

/* A long stream may have as many extensions as chunks, but not one without end. */
static void lines_have_a_limit(void **unused)
{
    (void)unused;
    apipool_chunked_t chunked = {0};
    apr_size_t used;
    apr_ssize_t n = 0;
    for (int i = 0; i < 100000; i++) {
        char chunk[] = "1;x\r\na\r\n";
        assert_int_equal(apipool_chunked_decode(&chunked, chunk, sizeof(chunk) - 1, &used), 1);
    }
    char begin[] = "1;";
    apipool_chunked_decode(&chunked, begin, 2, &used);
    for (int i = 0; i < 100000 && n == 0; i++) {
        char more[] = "x";
        n = apipool_chunked_decode(&chunked, more, 1, &used);
    }
    assert_int_equal(n, -1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_are_decoded),
        cmocka_unit_test(lines_have_a_limit),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("chunked", tests, NULL, NULL);
}
