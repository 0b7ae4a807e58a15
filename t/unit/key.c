/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/key: import, checks, attributes, ids, masks and redaction. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "key.h"

/* What an import told its sink, as text: "+key" for a key, "-key" for a disabled one, "?line" for
 * an invalid item, each followed by a blank. */
typedef struct {
    char text[8192];
    size_t used;
    char reason[128];
} told_t;

static void on_key(void *ctx, const apipool_key_item_t *item)
{
    told_t *told = ctx;
    assert_true(told->used + item->len + 3 < sizeof(told->text));
    told->text[told->used++] = item->enabled ? '+' : '-';
    memcpy(told->text + told->used, item->key, item->len);
    told->used += item->len;
    told->text[told->used++] = ' ';
    told->text[told->used] = '\0';
}

static void on_invalid(void *ctx, long line, const char *reason)
{
    told_t *told = ctx;
    told->used +=
        (size_t)snprintf(told->text + told->used, sizeof(told->text) - told->used, "?%ld ", line);
    snprintf(told->reason, sizeof(told->reason), "%s", reason);
}

/* The text is copied to memory of exactly its size, so that a checker sees every step beyond it. */
static void import(const char *text, size_t len, told_t *told)
{
    apipool_key_sink_t sink = {.on_key = on_key, .on_invalid = on_invalid, .ctx = told};
    char *exact = malloc(len ? len : 1);
    assert_non_null(exact);
    memcpy(exact, text, len);
    memset(told, 0, sizeof(*told));
    apipool_key_import(exact, len, &sink);
    free(exact);
}

/* What the page reads by the same rules: t/page/key_text.test.mjs. "told" is as above, "reason" that of the last fault. */
#define CASES APIPOOL_UNIT_DATA "/key_cases.json"

static json_t *read_cases(void)
{
    json_error_t error;
    json_t *cases = json_load_file(CASES, JSON_ALLOW_NUL, &error);
    if (!cases) {
        fail_msg("%s:%d: %s", CASES, error.line, error.text);
    }
    return cases;
}

static void lists_and_arrays_are_read_by_lines_commas_and_elements(void **unused)
{
    json_t *cases = read_cases(), *row;
    size_t i;
    assert_true(json_array_size(cases) > 100);
    json_array_foreach(cases, i, row)
    {
        const json_t *text = json_object_get(row, "text"), *reason = json_object_get(row, "reason");
        const char *name = json_string_value(json_object_get(row, "name"));
        told_t told;
        import(json_string_value(text), json_string_length(text), &told);
        if (strcmp(told.text, json_string_value(json_object_get(row, "told")))) {
            fail_msg("%s: \"%s\"", name, told.text);
        }
        if (strcmp(told.reason, reason ? json_string_value(reason) : "")) {
            fail_msg("%s: \"%s\"", name, told.reason);
        }
    }
    json_decref(cases);
}

/* No text of JSON can say these. */
static const struct {
    const char *text, *told;
} bytes[] = {
    {"sk-\xe9", "?1 "},
    {"sk-1\nsk-\xc3", "+sk-1 ?2 "},
    {"[\"sk-\xff\"]", "?1 "},
    {"[\n\"sk-1\",\n\"\xe9\"]", "?3 "},
};

static void bytes_that_are_not_utf_8_are_invalid(void **unused)
{
    told_t told;
    for (size_t i = 0; i < sizeof(bytes) / sizeof(*bytes); i++) {
        import(bytes[i].text, strlen(bytes[i].text), &told);
        assert_string_equal(told.text, bytes[i].told);
    }
}

/* What the only key of an import was said to be. */
static void keep_item(void *ctx, const apipool_key_item_t *item)
{
    apipool_key_item_t *kept = ctx;
    *kept = *item;
    kept->key = NULL;
    kept->account = item->account ? strdup(item->account) : NULL;
}

static apipool_key_item_t import_one(const char *text)
{
    apipool_key_item_t kept = {.len = 0};
    apipool_key_sink_t sink = {.on_key = keep_item, .ctx = &kept};
    apipool_key_import(text, strlen(text), &sink);
    assert_int_equal(kept.len, 4);
    return kept;
}

static const struct {
    const char *text;
    apr_uint32_t weight;
    const char *account;
    apipool_key_limits_t limits;
} attributes[] = {
    {"sk-1", 0, NULL, {0}},
    {"[\"sk-1\"]", 0, NULL, {0}},
    {"[{\"key\":\"sk-1\"}]", 0, NULL, {0}},
    {"[{\"key\":\"sk-1\",\"weight\":1}]", 1, NULL, {0}},
    {"[{\"key\":\"sk-1\",\"weight\":1000}]", 1000, NULL, {0}},
    {"[{\"key\":\"sk-1\",\"weight\":null,\"account\":null,\"limits\":null}]", 0, NULL, {0}},
    {"[{\"key\":\"sk-1\",\"account\":\"acme\"}]", 0, "acme", {0}},
    {"[{\"key\":\"sk-1\",\"account\":\"\"}]", 0, "", {0}},
    {"[{\"key\":\"sk-1\",\"limits\":{}}]", 0, NULL, {0}},
    {"[{\"key\":\"sk-1\",\"limits\":{\"rpm\":60}}]", 0, NULL, {.rpm = 60}},
    {"[{\"key\":\"sk-1\",\"limits\":{\"rpm\":1,\"rpd\":2,\"tpm\":3,\"tpd\":4294967295,"
     "\"concurrency\":5}}]",
     0,
     NULL,
     {1, 2, 3, 4294967295u, 5}},
    {"[{\"limits\":{\"rpm\":null,\"what\":9},\"weight\":7,\"label\":\"x\",\"key\":\"sk-1\"}]",
     7,
     NULL,
     {0}},
};

static void an_object_tells_weight_account_and_limits(void **unused)
{
    for (size_t i = 0; i < sizeof(attributes) / sizeof(*attributes); i++) {
        apipool_key_item_t item = import_one(attributes[i].text);
        if (item.weight != attributes[i].weight ||
            memcmp(&item.limits, &attributes[i].limits, sizeof(item.limits))) {
            fail_msg("%s", attributes[i].text);
        }
        assert_int_equal(item.account != NULL, attributes[i].account != NULL);
        if (item.account) {
            assert_string_equal(item.account, attributes[i].account);
        }
        free((void *)(uintptr_t)item.account);
    }
}

static void json_of_a_million_values_is_not_read(void **unused)
{
    static char text[2 * 1000000 + 3];
    told_t told;
    text[0] = '[';
    for (size_t i = 0; i < 1000000; i++) {
        memcpy(text + 1 + 2 * i, "1,", 2);
    }
    memcpy(text + sizeof(text) - 2, "1]", 2);
    import(text, sizeof(text), &told);
    assert_string_equal(told.text, "?1 ");
    assert_string_equal(told.reason, "JSON that is nested too deeply, or has too many values");
}

static void a_key_may_have_4096_bytes_and_no_more(void **unused)
{
    char text[APIPOOL_KEY_MAX + 8];
    told_t told;

    memset(text, 'k', sizeof(text));
    assert_null(apipool_key_check(text, APIPOOL_KEY_MAX));
    assert_string_equal(apipool_key_check(text, APIPOOL_KEY_MAX + 1), "key longer than 4096 bytes");
    assert_string_equal(apipool_key_check(text, 0), "empty key");
    import(text, APIPOOL_KEY_MAX, &told);
    assert_int_equal(told.used, APIPOOL_KEY_MAX + 2);
    text[0] = '\n';
    import(text, APIPOOL_KEY_MAX + 2, &told);
    assert_string_equal(told.text, "?2 ");
    assert_string_equal(told.reason, "key longer than 4096 bytes");
}

static void every_printable_ascii_byte_but_blanks_and_quotes_may_be_in_a_key(void **unused)
{
    for (int c = 0; c < 256; c++) {
        char key[] = {'s', (char)c, 'k'};
        assert_int_equal(apipool_key_check(key, sizeof(key)) == NULL,
                         c > 0x20 && c < 0x7f && c != '"' && c != '\'');
    }
}

/* The first 16 digits of "openssl dgst -sha256 -mac HMAC -macopt hexkey:000102…1f". */
static void an_id_is_the_first_64_bits_of_hmac_sha_256(void **unused)
{
    unsigned char secret[APIPOOL_SECRET_SIZE];
    char hex[APIPOOL_ID_SIZE];

    for (int i = 0; i < APIPOOL_SECRET_SIZE; i++) {
        secret[i] = (unsigned char)i;
    }
    apipool_key_id_hex(apipool_key_id(secret, "sk-test-0001", 12), hex);
    assert_string_equal(hex, "076472331c2cd667");
}

static void an_id_depends_on_the_key_and_the_secret_alone(void **unused)
{
    unsigned char secret[APIPOOL_SECRET_SIZE] = {1};
    unsigned char other[APIPOOL_SECRET_SIZE] = {2};
    char key[] = "sk-1sk-1";
    apr_uint64_t id = apipool_key_id(secret, key, 4);

    assert_true(id != 0);
    assert_true(apipool_key_id(secret, key + 4, 4) == id);
    assert_true(apipool_key_id(other, key, 4) != id);
    assert_true(apipool_key_id(secret, key, 3) != id);
    assert_true(apipool_key_id(secret, "sk-2", 4) != id);
    assert_true(apipool_key_id(secret, "SK-1", 4) != id);
}

static void an_id_is_written_as_16_hex_digits(void **unused)
{
    char hex[APIPOOL_ID_SIZE];
    apipool_key_id_hex(0, hex);
    assert_string_equal(hex, "0000000000000000");
    apipool_key_id_hex(APR_UINT64_C(0x0123456789abcdef), hex);
    assert_string_equal(hex, "0123456789abcdef");
    apipool_key_id_hex(UINT64_MAX, hex);
    assert_string_equal(hex, "ffffffffffffffff");
}

static const struct {
    const char *key, *masked;
} masks[] = {
    {"", "***"},
    {"k", "***"},
    {"sk-1", "***"},
    {"sk-4567890abcde", "***"},
    {"sk-4567890abcdef", "sk-4\xe2\x80\xa6"
                         "cdef"},
    {"sk-4567890abcdefg", "sk-4\xe2\x80\xa6"
                          "defg"},
    {"sk-proj-0123456789012345678901234567890123456789", "sk-p\xe2\x80\xa6"
                                                         "6789"},
};

static void a_mask_shows_four_bytes_at_either_end_of_16_or_more(void **unused)
{
    char masked[APIPOOL_MASKED_SIZE];
    for (size_t i = 0; i < sizeof(masks) / sizeof(*masks); i++) {
        apipool_key_mask(masks[i].key, strlen(masks[i].key), masked);
        assert_string_equal(masked, masks[i].masked);
    }
}

#define KEY16 "sk-4567890abcdef"
#define RED16 "sk-4********cdef"
#define SELF  "abcdEFGHIJKLabcd" /* ends as it begins */

static const struct {
    const char *name, *text, *key, *redacted;
    int found;
} redactions[] = {
    {"none", "no key here", KEY16, "no key here", 0},
    {"a beginning alone", "sk-4567890abcde", KEY16, "sk-4567890abcde", 0},
    {"one", "bad key " KEY16 ".", KEY16, "bad key " RED16 ".", 1},
    {"several", KEY16 "," KEY16 KEY16, KEY16, RED16 "," RED16 RED16, 3},
    {"at both ends", KEY16 " or " KEY16, KEY16, RED16 " or " RED16, 2},
    {"nothing else", KEY16, KEY16, RED16, 1},
    {"after a false start", "sk-sk-4567sk-" KEY16, KEY16, "sk-sk-4567sk-" RED16, 1},
    {"a short key leaves nothing", "a secret, secretly", "secret", "a ******, ******ly", 2},
    {"a short key of one byte", "banana", "a", "b*n*n*", 3},
    {"a key of 15", "<sk-4567890abcde>", "sk-4567890abcde", "<***************>", 1},
    {"overlapping, short", "aaaaa", "aa", "****a", 2},
    {"overlapping in what stays visible", "abcdEFGHIJKLabcdEFGHIJKLabcd", SELF,
     "abcd********abcd********abcd", 2},
    {"key longer than text", "sk-4", KEY16, "sk-4", 0},
    {"empty text", "", KEY16, "", 0},
    {"empty key", "text", "", "text", 0},
    {"case matters", "SK-4567890ABCDEF", KEY16, "SK-4567890ABCDEF", 0},
};

static void redaction_overwrites_every_occurrence_and_keeps_the_length(void **unused)
{
    for (size_t i = 0; i < sizeof(redactions) / sizeof(*redactions); i++) {
        size_t len = strlen(redactions[i].text);
        char *text = malloc(len + 1);
        assert_non_null(text);
        memcpy(text, redactions[i].text, len);
        text[len] = '|';
        int found = apipool_key_redact(text, len, redactions[i].key, strlen(redactions[i].key));
        int same = !memcmp(text, redactions[i].redacted, len) && text[len] == '|';
        if (!same || found != redactions[i].found) {
            fail_msg("%s: %d, \"%.*s\"", redactions[i].name, found, (int)len, text);
        }
        free(text);
    }
}

static void redaction_works_on_bytes_with_nul_among_them(void **unused)
{
    char text[] = "\0\0" KEY16 "\0" KEY16;
    assert_int_equal(apipool_key_redact(text, sizeof(text) - 1, KEY16, 16), 2);
    assert_memory_equal(text, "\0\0" RED16 "\0" RED16, sizeof(text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_and_arrays_are_read_by_lines_commas_and_elements),
        cmocka_unit_test(bytes_that_are_not_utf_8_are_invalid),
        cmocka_unit_test(an_object_tells_weight_account_and_limits),
        cmocka_unit_test(json_of_a_million_values_is_not_read),
        cmocka_unit_test(a_key_may_have_4096_bytes_and_no_more),
        cmocka_unit_test(every_printable_ascii_byte_but_blanks_and_quotes_may_be_in_a_key),
        cmocka_unit_test(an_id_is_the_first_64_bits_of_hmac_sha_256),
        cmocka_unit_test(an_id_depends_on_the_key_and_the_secret_alone),
        cmocka_unit_test(an_id_is_written_as_16_hex_digits),
        cmocka_unit_test(a_mask_shows_four_bytes_at_either_end_of_16_or_more),
        cmocka_unit_test(redaction_overwrites_every_occurrence_and_keeps_the_length),
        cmocka_unit_test(redaction_works_on_bytes_with_nul_among_them),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("key", tests, NULL, NULL);
}
