/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/json: members by type and range, and what is wrong by its name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "json.h"

static apr_pool_t *pool;

typedef struct {
    const char *label;
    int enabled;
    apr_int64_t weight, rpm;
    apr_time_t expires;
    apr_array_header_t *models;
    apipool_json_e has_label, has_limits;
} members_t;

/* Reads what an edit would have; returns 1 if nothing is wrong. */
static int read_members(const char *text, size_t len, members_t *read, apipool_flaw_t *flaw)
{
    apipool_json_t json, limits;
    char *copy = malloc(len ? len : 1); /* of exactly its size: a text has no end mark */
    assert_non_null(copy);
    memcpy(copy, text, len);
    memset(read, 0, sizeof(*read));
    if (apipool_json_open(&json, pool, copy, len, flaw)) {
        read->has_label = apipool_json_string(&json, "label", 8, &read->label);
        apipool_json_boolean(&json, "enabled", &read->enabled);
        apipool_json_integer(&json, "weight", 1, 1000, &read->weight);
        apipool_json_time(&json, "expires_at", &read->expires);
        apipool_json_strings(&json, "models", 2, 8, &read->models);
        read->has_limits = apipool_json_object(&json, "limits", &limits);
        if (read->has_limits == APIPOOL_JSON_GIVEN) {
            apipool_json_integer(&limits, "rpm", 1, 100, &read->rpm);
            apipool_json_close(&limits);
        }
        apipool_json_close(&json);
    }
    free(copy);
    return !flaw->message;
}

static void members_are_read(void **unused)
{
    members_t read;
    apipool_flaw_t flaw;
    static const char text[] =
        " {\"label\":\"\xc3\xa4\\n\\u00e4\",\"enabled\":true,\"weight\":1000,"
        "\"expires_at\":\"2027-01-15T08:00:00Z\",\"models\":[\"a\",\"b\"],\"limits\":{\"rpm\":1}}";
    (void)unused;
    assert_false(read_members(text, strlen(text), &read, &flaw)); /* a line feed */
    assert_string_equal(flaw.field, "label");
    char *good = apr_pstrdup(pool, text);
    memcpy(strstr(good, "\\n"), "xx", 2);
    assert_true(read_members(good, strlen(good), &read, &flaw));
    assert_string_equal(read.label, "\xc3\xa4xx\xc3\xa4");
    assert_true(read.enabled == 1 && read.weight == 1000 && read.rpm == 1);
    assert_true(read.expires == apr_time_from_sec(1800000000));
    assert_int_equal(read.models->nelts, 2);
    assert_string_equal(APR_ARRAY_IDX(read.models, 1, const char *), "b");
}

static void absent_and_null_are_told_apart(void **unused)
{
    members_t read;
    apipool_flaw_t flaw;
    (void)unused;
    assert_true(read_members("{}", 2, &read, &flaw));
    assert_true(read.has_label == APIPOOL_JSON_ABSENT && read.has_limits == APIPOOL_JSON_ABSENT);
    static const char text[] = "{\"label\":null,\"limits\":null}";
    assert_true(read_members(text, strlen(text), &read, &flaw));
    assert_true(read.has_label == APIPOOL_JSON_NULL && read.has_limits == APIPOOL_JSON_NULL);
}

#define SIXTY "aaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbcccccccccccccccccccc"

static const struct {
    const char *text, *field;
} wrong[] = {
    {"", NULL},
    {"null", NULL},
    {"[]", NULL},
    {"\"label\"", NULL},
    {"{", NULL},
    {"{}x", NULL},
    {"{\"label\":\"a\",}", "label"},
    {"{\"label\":\"123456789\"}", "label"},
    {"{\"label\":1}", "label"},
    {"{\"label\":\"a\\u0000b\"}", "label"},
    {"{\"label\":\"a\\u007fb\"}", "label"},
    {"{\"label\":\"\\ud800\"}", "label"},
    {"{\"label\":\"\xff\"}", "label"},
    {"{\"enabled\":true,\"label\":\"\xc0\x80\"}", "label"},
    {"{\"label\":\"a\",\"enabled\":true,\"label\":\"b\"}", "label"},
    {"{\"enabled\":1}", "enabled"},
    {"{\"enabled\":\"true\"}", "enabled"},
    {"{\"weight\":0}", "weight"},
    {"{\"weight\":-1}", "weight"},
    {"{\"weight\":1.0}", "weight"},
    {"{\"weight\":\"1\"}", "weight"},
    {"{\"weight\":1001}", "weight"},
    {"{\"weight\":99999999999999999999}", "weight"},
    {"{\"weight\":1e999}", "weight"},
    {"{\"expires_at\":\"tomorrow\"}", "expires_at"},
    {"{\"expires_at\":1800000000}", "expires_at"},
    {"{\"models\":\"a\"}", "models"},
    {"{\"models\":[\"a\",1]}", "models"},
    {"{\"models\":[\"\"]}", "models"},
    {"{\"models\":[\"a\",\"b\",\"c\"]}", "models"},
    {"{\"limits\":[]}", "limits"},
    {"{\"limits\":{\"rpm\":0}}", "limits.rpm"},
    {"{\"limits\":{\"rpm\":1,\"rpm\":2}}", "limits"},
    {"{\"limits\":{\"more\":1}}", "limits.more"},
    {"{\"more\":1}", "more"},
    {"{\"\":1}", ""},
    {"{\"" SIXTY "abc\xc3\xa4\":1}", SIXTY "abc"}, /* cut, but not inside a character */
};

static void what_is_wrong_is_named(void **unused)
{
    members_t read;
    apipool_flaw_t flaw;
    (void)unused;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        assert_false(read_members(wrong[i].text, strlen(wrong[i].text), &read, &flaw));
        if (wrong[i].field) {
            assert_non_null(flaw.field);
            assert_string_equal(flaw.field, wrong[i].field);
        }
        else {
            assert_null(flaw.field);
        }
    }
}

/* A flaw is no place for what was sent: it may be a password. */
static void nothing_that_was_sent_is_told(void **unused)
{
    members_t read;
    apipool_flaw_t flaw;
    static const char *const texts[] = {"{\"label\":\"s3cret", "{\"label\":s3cret}",
                                        "{\"label\":1s3cret}", "{s3cret:1}", "s3cret"};
    (void)unused;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        assert_false(read_members(texts[i], strlen(texts[i]), &read, &flaw));
        assert_null(strstr(flaw.message, "s3cret"));
        assert_true(!flaw.field || !strstr(flaw.field, "s3cret"));
    }
}

static void there_are_bounds(void **unused)
{
    members_t read;
    apipool_flaw_t flaw;
    char *text = apr_pcalloc(pool, 200001);
    (void)unused;
    memset(text, '[', 100000);
    memset(text + 100000, ']', 100000);
    assert_null(apipool_json_parse(pool, text, 200000, &flaw));
    assert_string_equal(flaw.message, "Nested too deeply.");
    assert_non_null(apipool_json_parse(pool, text + 100000 - APIPOOL_JSON_DEPTH,
                                       2 * APIPOOL_JSON_DEPTH, &flaw));
    assert_null(apipool_json_parse(pool, text + 100000 - APIPOOL_JSON_DEPTH - 1,
                                   2 * APIPOOL_JSON_DEPTH + 2, &flaw));
    assert_true(read_members("{\"label\":\"[[[[[[\"}", 18, &read, &flaw) == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_read),       cmocka_unit_test(absent_and_null_are_told_apart),
        cmocka_unit_test(what_is_wrong_is_named), cmocka_unit_test(nothing_that_was_sent_is_told),
        cmocka_unit_test(there_are_bounds),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    apr_initialize();
    apr_pool_create(&pool, NULL);
    int failed = cmocka_run_group_tests_name("json", tests, NULL, NULL);
    apr_pool_destroy(pool);
    apr_terminate();
    return failed;
}
