/* SPDX-License-Identifier: Apache-2.0
 * Judges every answer in t/verdict, one test for each file, named after it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_general.h>
#include <apr_strings.h>

#include "retry_after.h"
#include "verdict.h"

/* A file: lines of these, an empty line, then the answer as it came, its status line first.
 *
 *     provider: openai
 *     in-band: yes                     of an error inside a 200: the body is the event's data
 *     rule: 400 "frozen" rotate key    an APIPoolRule; there may be several
 *     expect: R07 model rotate rate_limited until=+2s
 */

#define NOW  apr_time_from_sec(1795348800) /* Sun, 22 Nov 2026 12:00:00 GMT */
#define MANY 120

static const char *const scopes[] = {
    [APIPOOL_SCOPE_NONE] = "none",       [APIPOOL_SCOPE_CLIENT] = "client",
    [APIPOOL_SCOPE_MODEL] = "model",     [APIPOOL_SCOPE_KEY] = "key",
    [APIPOOL_SCOPE_ACCOUNT] = "account", [APIPOOL_SCOPE_UPSTREAM] = "upstream",
};

static const char *const actions[] = {
    [APIPOOL_PASS] = "pass",
    [APIPOOL_ROTATE] = "rotate",
    [APIPOOL_RETRY] = "retry",
    [APIPOOL_STOP] = "stop",
};

static const char *const events[APIPOOL_EVENT_COUNT] = {
    [APIPOOL_EVENT_NONE] = "none",
    [APIPOOL_EVENT_SUCCESS] = "success",
    [APIPOOL_EVENT_RATE_LIMITED] = "rate_limited",
    [APIPOOL_EVENT_QUOTA_SPENT] = "quota_spent",
    [APIPOOL_EVENT_REJECTED] = "rejected",
    [APIPOOL_EVENT_FAILED] = "failed",
};

typedef struct {
    apr_pool_t *pool;
    apipool_evidence_t evidence;
    apipool_custom_rule_t rules[APIPOOL_CUSTOM_MAX];
    const char *expect;
} case_t;

static const char *folder;

static char *read_file(apr_pool_t *pool, const char *name, apr_size_t *len)
{
    const char *path = apr_pstrcat(pool, folder, "/", name, NULL);
    apr_file_t *file;
    apr_finfo_t info;

    if (apr_file_open(&file, path, APR_FOPEN_READ | APR_FOPEN_BINARY, 0, pool) != APR_SUCCESS ||
        apr_file_info_get(&info, APR_FINFO_SIZE, file) != APR_SUCCESS) {
        fail_msg("%s cannot be read", path);
    }
    *len = (apr_size_t)info.size;
    char *text = apr_pcalloc(pool, *len + 1);
    assert_int_equal(apr_file_read_full(file, text, *len, NULL), APR_SUCCESS);
    apr_file_close(file);
    return text;
}

/* Cuts the next line off; an empty one ends a part of the file. */
static char *next_line(char **at)
{
    char *line = *at;
    char *end = strchr(line, '\n');
    if (!end) {
        fail_msg("ends within \"%.40s\"", line);
    }
    *at = end + 1;
    end -= end > line && end[-1] == '\r';
    *end = '\0';
    return *line ? line : NULL;
}

static char *cut_value(char *line)
{
    char *value = strchr(line, ':');
    if (!value) {
        fail_msg("no colon in \"%s\"", line);
    }
    *value++ = '\0';
    return value + strspn(value, " ");
}

static void add_rule(case_t *test, const char *text)
{
    char **words;
    int count = 0;
    apr_tokenize_to_argv(text, &words, test->pool);
    while (words[count]) {
        count++;
    }
    const char *fault = apipool_custom_rule_parse(test->pool, (const char *const *)words, count,
                                                  &test->rules[test->evidence.custom_count++]);
    if (fault) {
        fail_msg("rule: %s", fault);
    }
}

static void read_head(case_t *test, char **at)
{
    char *line;
    while ((line = next_line(at)) != NULL) {
        char *value = cut_value(line);
        if (!strcmp(line, "provider")) {
            int provider = apipool_provider_by_name(value);
            assert_true(provider >= 0);
            test->evidence.provider = (apipool_provider_e)provider;
        }
        else if (!strcmp(line, "in-band")) {
            test->evidence.in_band = !strcmp(value, "yes");
        }
        else if (!strcmp(line, "rule")) {
            add_rule(test, value);
        }
        else if (!strcmp(line, "expect")) {
            test->expect = value;
        }
        else {
            fail_msg("unknown: %s", line);
        }
    }
    assert_non_null(test->expect);
}

static void read_answer(case_t *test, char **at)
{
    apr_table_t *headers = apr_table_make(test->pool, 8);
    char *line = next_line(at);
    assert_non_null(line);
    assert_int_equal(strncmp(line, "HTTP/1.", 7), 0);
    assert_true(strlen(line) >= 12);
    test->evidence.status = atoi(line + 9);
    while ((line = next_line(at)) != NULL) {
        const char *value = cut_value(line);
        apr_table_addn(headers, line, value);
    }
    test->evidence.headers = headers;
}

static const char *describe(apr_pool_t *pool, const apipool_verdict_t *verdict)
{
    const char *text =
        apr_pstrcat(pool, apipool_rule_name(verdict->rule), " ", scopes[verdict->scope], " ",
                    actions[verdict->action], " ", events[verdict->event], NULL);
    if (verdict->retry_at) {
        text = apr_psprintf(pool, "%s until=+%" APR_TIME_T_FMT "us", text, verdict->retry_at - NOW);
    }
    return text;
}

/* "until=+2s" and "until=+2000ms" are the same. */
static const char *expected(apr_pool_t *pool, const char *expect)
{
    const char *until = strstr(expect, " until=+");
    if (!until) {
        return expect;
    }
    apr_interval_time_t in = apipool_retry_after_duration(until + 8);
    assert_true(in > 0);
    return apr_psprintf(pool, "%.*s until=+%" APR_TIME_T_FMT "us", (int)(until - expect), expect,
                        in);
}

static void judge(case_t *test, const char *body, apr_size_t len)
{
    char *exact = malloc(len ? len : 1); /* a checker sees every step beyond it */
    assert_non_null(exact);
    memcpy(exact, body, len);
    test->evidence.body = exact;
    test->evidence.body_len = len;
    apipool_verdict_t verdict = apipool_verdict(&test->evidence);
    free(exact);

    assert_string_equal(describe(test->pool, &verdict), expected(test->pool, test->expect));
    assert_int_equal(verdict.upstream_fault, verdict.scope == APIPOOL_SCOPE_UPSTREAM);
}

static void an_answer(void **state)
{
    case_t test = {.evidence = {.phase = APIPOOL_PHASE_ANSWERED, .now = NOW}};
    apr_size_t len;

    assert_int_equal(apr_pool_create(&test.pool, NULL), APR_SUCCESS);
    char *text = read_file(test.pool, *state, &len), *at = text;
    read_head(&test, &at);
    read_answer(&test, &at);
    test.evidence.custom = test.rules;
    judge(&test, at, len - (apr_size_t)(at - text));
    apr_pool_destroy(test.pool);
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct CMUnitTest *)a)->name, ((const struct CMUnitTest *)b)->name);
}

static size_t list_files(apr_pool_t *pool, struct CMUnitTest **tests)
{
    apr_array_header_t *found = apr_array_make(pool, 256, sizeof(struct CMUnitTest));
    apr_dir_t *dir;
    apr_finfo_t info;

    if (apr_dir_open(&dir, folder, pool) == APR_SUCCESS) {
        while (apr_dir_read(&info, APR_FINFO_NAME, dir) == APR_SUCCESS) {
            if (info.name[0] != '.') {
                struct CMUnitTest test = {.name = apr_pstrdup(pool, info.name),
                                          .test_func = an_answer};
                test.initial_state = apr_pstrdup(pool, info.name);
                APR_ARRAY_PUSH(found, struct CMUnitTest) = test;
            }
        }
        apr_dir_close(dir);
    }
    qsort(found->elts, (size_t)found->nelts, sizeof(struct CMUnitTest), compare);
    *tests = (struct CMUnitTest *)found->elts;
    return (size_t)found->nelts;
}

/* The folder given, or the source tree's, found by the environment or by where this file was
 * compiled. */
static const char *find_folder(apr_pool_t *pool, int argc, char **argv)
{
    const char *source = getenv("APIPOOL_SOURCE");
    if (argc > 1) {
        return argv[1];
    }
    if (source) {
        return apr_pstrcat(pool, source, "/t/verdict", NULL);
    }
    const char *end = strrchr(__FILE__, '/');
    int len = end ? (int)(end - __FILE__) : 0;
    return apr_psprintf(pool, "%.*s/../verdict", len ? len : 1, len ? __FILE__ : ".");
}

int main(int argc, char **argv)
{
    struct CMUnitTest *tests;
    apr_pool_t *pool;

    if (apr_initialize() != APR_SUCCESS || apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        return 1;
    }
    folder = find_folder(pool, argc, argv);
    size_t count = list_files(pool, &tests);
    if (count < MANY) {
        fprintf(stderr, "%s: %lu answers where at least %d belong\n", folder, (unsigned long)count,
                MANY);
        return 1;
    }
    cmocka_set_message_output(CM_OUTPUT_TAP);
    int failed = _cmocka_run_group_tests("corpus", tests, count, NULL, NULL);
    apr_terminate();
    return failed;
}
