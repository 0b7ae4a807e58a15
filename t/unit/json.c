/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/text/json: members by type and range, and errors by name. */
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
    apr_uint32_t weight, rpm;
    apr_time_t expires;
    apr_array_header_t *models;
    unsigned given;
} members_t;

#define LABEL  1
#define LIMITS 32

#define TO(member) offsetof(members_t, member)

static const apipool_json_member_t limits[] = {
    {"rpm", APIPOOL_JSON_INTEGER, .offset = TO(rpm), .max = 100}, {NULL}};
static const apipool_json_member_t members[] = {
    {"label", APIPOOL_JSON_STRING, .offset = TO(label), .max = 8},
    {"enabled", APIPOOL_JSON_BOOLEAN, APIPOOL_JSON_NOT_NULL, .offset = TO(enabled)},
    {"weight", APIPOOL_JSON_INTEGER, APIPOOL_JSON_OPTIONAL, .offset = TO(weight), .max = 1000},
    {"expires_at", APIPOOL_JSON_TIME, .offset = TO(expires)},
    {"models", APIPOOL_JSON_STRINGS, .offset = TO(models), .max = 8, .count = 2},
    {"limits", APIPOOL_JSON_OBJECT, .members = limits},
    {NULL}};

/* Reads the members of an edit; returns 1 if nothing is wrong. */
static int read_members(const char *text, size_t len, members_t *read, apipool_input_error_t *flaw)
{
    char *copy = malloc(len ? len : 1); /* of exactly its size: a text is not terminated */
    assert_non_null(copy);
    memcpy(copy, text, len);
    memset(read, 0, sizeof(*read));
    read->given = apipool_json_read(pool, copy, len, members, read, flaw);
    free(copy);
    return !flaw->message;
}

static void members_are_read(void **unused)
{
    members_t read;
    apipool_input_error_t flaw;
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

static void what_is_needed_is_missed(void **unused)
{
    static const apipool_json_member_t needed[] = {
        {"label", APIPOOL_JSON_STRING, APIPOOL_JSON_REQUIRED, .offset = TO(label), .max = 8},
        {NULL}};
    static const char *const texts[] = {"{}", "{\"label\":null}"};
    members_t read;
    apipool_input_error_t flaw;
    (void)unused;
    for (size_t i = 0; i < 2; i++) {
        apipool_json_read(pool, texts[i], strlen(texts[i]), needed, &read, &flaw);
        assert_string_equal(flaw.field, "label");
        assert_string_equal(flaw.message, "This member is required.");
    }
    assert_int_equal(apipool_json_read(pool, "{\"label\":\"\"}", 12, needed, &read, &flaw), LABEL);
    assert_null(flaw.message);
}

static void absent_and_null_are_told_apart(void **unused)
{
    members_t read;
    apipool_input_error_t flaw;
    (void)unused;
    assert_true(read_members("{}", 2, &read, &flaw));
    assert_int_equal(read.given, 0);
    static const char text[] = "{\"label\":null,\"limits\":null,\"weight\":null}";
    assert_true(read_members(text, strlen(text), &read, &flaw));
    assert_int_equal(read.given, LABEL | LIMITS);
    assert_null(read.label);
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
    {"{\"enabled\":null}", "enabled"},
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
    {"{\"" SIXTY "abc\xc3\xa4\":1}", SIXTY "abc"}, /* cut at a character boundary */
};

static void what_is_wrong_is_named(void **unused)
{
    members_t read;
    apipool_input_error_t flaw;
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

/* An error must not quote the input, which may be a password. */
static void errors_do_not_quote_the_input(void **unused)
{
    members_t read;
    apipool_input_error_t flaw;
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
    apipool_input_error_t flaw;
    char *text = apr_pcalloc(pool, 200001);
    (void)unused;
    memset(text, '[', 100000);
    memset(text + 100000, ']', 100000);
    assert_false(read_members(text, 200000, &read, &flaw));
    assert_string_equal(flaw.message, "Nested too deeply.");
    assert_false(
        read_members(text + 100000 - APIPOOL_JSON_DEPTH, 2 * APIPOOL_JSON_DEPTH, &read, &flaw));
    assert_string_equal(flaw.message, "Must be a JSON object.");
    assert_false(read_members(text + 100000 - APIPOOL_JSON_DEPTH - 1, 2 * APIPOOL_JSON_DEPTH + 2,
                              &read, &flaw));
    assert_string_equal(flaw.message, "Nested too deeply.");
    assert_true(read_members("{\"label\":\"[[[[[[\"}", 18, &read, &flaw) == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_read),       cmocka_unit_test(absent_and_null_are_told_apart),
        cmocka_unit_test(what_is_wrong_is_named), cmocka_unit_test(errors_do_not_quote_the_input),
        cmocka_unit_test(there_are_bounds),       cmocka_unit_test(what_is_needed_is_missed),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    apr_initialize();
    apr_pool_create(&pool, NULL);
    int failed = cmocka_run_group_tests_name("json", tests, NULL, NULL);
    apr_pool_destroy(pool);
    apr_terminate();
    return failed;
}
