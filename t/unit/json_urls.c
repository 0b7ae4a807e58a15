/* SPDX-License-Identifier: Apache-2.0
 * URLs in JSON texts, in pieces of every size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <apr_general.h>

#include "json_urls.h"

static char out[8192];
static size_t out_len;

static const char *map(void *data, const char *url)
{
    static char mapped[4096];
    const char *rest = !strncmp(url, "https://up/v1", 13) ? url + 13 : NULL;
    if (rest) {
        snprintf(mapped, sizeof(mapped), "http://me/pool%s", rest);
    }
    return rest ? mapped : NULL;
}

static void collect(void *data, const char *text, apr_size_t len)
{
    memcpy(out + out_len, text, len);
    out_len += len;
}

static const apipool_json_urls_to_t to = {.map = map, .write = collect};

static void in_pieces(const char *text, size_t size, const char *expected)
{
    apipool_json_urls_t urls = {0};
    out_len = 0;
    for (size_t at = 0, len = strlen(text); at < len; at += size) {
        apipool_json_urls_feed(&urls, text + at, size < len - at ? size : len - at, &to);
    }
    apipool_json_urls_finish(&urls, &to);
    out[out_len] = '\0';
    assert_string_equal(out, expected);
}

static const struct {
    const char *text, *expected; /* NULL: the same */
} cases[] = {
    {"{\"results_url\":\"https://up/v1/b/1/results\"}",
     "{\"results_url\":\"http://me/pool/b/1/results\"}"},
    {"[\"https:\\/\\/up\\/v1\\/x\",\"https://up/v1\"]",
     "[\"http://me/pool/x\",\"http://me/pool\"]"},
    {"{\"a\":\"https://elsewhere/v1/x\",\"b\":\"h\",\"c\":\"\",\"d\":\"http\"}", NULL},
    {"{\"a\":\"see https://up/v1/x\",\"b\":\"https://up/v1/x says so\"}", NULL},
    {"{\"a\":\"he said \\\"https://up/v1/x\\\"\",\"b\":\"\\\\\"}", NULL},
    {"{\"a\":\"\\\\\",\"b\":\"https://up/v1/x\"}", "{\"a\":\"\\\\\",\"b\":\"http://me/pool/x\"}"},
    {"{\"a\":\"https://up/v1/\\u0041\"}", NULL},
    {"{\"a\":\"https://up/v1/x", NULL},
    {"\"", NULL},
    {"", NULL},
};

static void urls_are_found_in_pieces_of_any_size(void **unused)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        for (size_t size = 1; size < 60; size++) {
            in_pieces(cases[i].text, size, cases[i].expected ? cases[i].expected : cases[i].text);
        }
    }
}

static void what_is_too_long_passes(void **unused)
{
    char text[4096] = "[\"https://up/v1/";
    memset(text + strlen(text), 'x', 3000);
    strcat(text, "\",\"https://up/v1/y\"]");
    char expected[4096];
    snprintf(expected, sizeof(expected), "%.*s\"http://me/pool/y\"]",
             (int)(strlen(text) - strlen("\"https://up/v1/y\"]")), text);
    in_pieces(text, 100, expected);
    in_pieces(text, 4096, expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_found_in_pieces_of_any_size),
        cmocka_unit_test(what_is_too_long_passes),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
