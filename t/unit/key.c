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

#include "key.h"

#define BOM "\xef\xbb\xbf"

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

#define TEXT(literal) literal, sizeof(literal) - 1

typedef struct {
    const char *name, *text;
    size_t len;
    const char *told;
} import_row_t;

static void check_imports(const import_row_t *rows, size_t count)
{
    told_t told;
    for (size_t i = 0; i < count; i++) {
        import(rows[i].text, rows[i].len, &told);
        if (strcmp(told.text, rows[i].told)) {
            fail_msg("%s: \"%s\"", rows[i].name, told.text);
        }
    }
}

static const import_row_t lists[] = {
    {"one key", TEXT("sk-1"), "+sk-1 "},
    {"lines", TEXT("sk-1\nsk-2\nsk-3\n"), "+sk-1 +sk-2 +sk-3 "},
    {"commas", TEXT("sk-1,sk-2,sk-3"), "+sk-1 +sk-2 +sk-3 "},
    {"commas and lines", TEXT("sk-1,sk-2\nsk-3,\n,sk-4"), "+sk-1 +sk-2 +sk-3 +sk-4 "},
    {"CRLF", TEXT("sk-1\r\nsk-2\r\n"), "+sk-1 +sk-2 "},
    {"blanks and tabs around keys", TEXT(" \tsk-1\t \n  sk-2 , sk-3  "), "+sk-1 +sk-2 +sk-3 "},
    {"empty lines and items", TEXT("\n\r\n ,, \n,sk-1,,\n\n"), "+sk-1 "},
    {"comments", TEXT("# sk-0, sk-00\n  \t# sk-000\nsk-1\n#"), "+sk-1 "},
    {"a number sign inside a line is a key's", TEXT("sk-1#x,#sk-2"), "+sk-1#x +#sk-2 "},
    {"byte order mark", TEXT(BOM "sk-1\nsk-2"), "+sk-1 +sk-2 "},
    {"byte order mark before a comment", TEXT(BOM "# list\nsk-2"), "+sk-2 "},
    {"byte order mark alone", TEXT(BOM), ""},
    {"nothing", TEXT(""), ""},
    {"blanks only", TEXT(" \t\r\n \n"), ""},
    {"quoted keys, as in a table", TEXT("\"sk-1\",\"sk-2\"\n'sk-3'\nsk-4"), "?1 ?1 ?2 +sk-4 "},
    {"a JSON object", TEXT("{\"keys\":[\"sk-1\"]}"), "?1 "},
    {"a JSON object after blanks", TEXT("\n {\"key\":\"sk-1\"}\nsk-2"), "?1 "},
    {"duplicates are all told", TEXT("sk-1\nsk-1,sk-1"), "+sk-1 +sk-1 +sk-1 "},
    {"control character on line 2", TEXT("sk-1\nsk\001-2\nsk-3"), "+sk-1 ?2 +sk-3 "},
    {"NUL on line 1", TEXT("sk\0-1\nsk-2"), "?1 +sk-2 "},
    {"DEL on line 1", TEXT("sk\177-1"), "?1 "},
    {"CR inside a key", TEXT("sk-1\rsk-2"), "?1 "},
    {"tab inside a key", TEXT("sk-1\tsk-2"), "?1 "},
    {"blank inside a key, lines counted with comments", TEXT("#\n\nsk-1 sk-2\nsk-3"), "?3 +sk-3 "},
    {"two faults on one line", TEXT("a b,sk-1,c d\ne f"), "?1 +sk-1 ?1 ?2 "},
    {"masked form",
     TEXT("sk-a\xe2\x80\xa6"
          "1234\nsk-1"),
     "?1 +sk-1 "},
    {"Latin-1", TEXT("sk-\xe9"), "?1 "},
    {"byte order mark not at the start", TEXT("sk-1\n" BOM "sk-2"), "+sk-1 ?2 "},
};

static void lists_are_read_by_lines_and_commas(void **unused)
{
    check_imports(lists, sizeof(lists) / sizeof(*lists));
}

static const import_row_t arrays[] = {
    {"strings", TEXT("[\"sk-1\", \"sk-2\"]"), "+sk-1 +sk-2 "},
    {"empty array", TEXT("[]"), ""},
    {"blanks and lines around", TEXT(" \r\n\t[\"sk-1\"]\r\n"), "+sk-1 "},
    {"byte order mark", TEXT(BOM "[\"sk-1\"]"), "+sk-1 "},
    {"escapes", TEXT("[\"sk\\u002d1\\/\"]"), "+sk-1/ "},
    {"objects", TEXT("[{\"key\":\"sk-1\"},{\"key\":\"sk-2\",\"label\":\"b\",\"weight\":2}]"),
     "+sk-1 +sk-2 "},
    {"strings and objects", TEXT("[\"sk-1\",{\"key\":\"sk-2\"}]"), "+sk-1 +sk-2 "},
    {"enabled", TEXT("[{\"key\":\"sk-1\",\"enabled\":false},{\"key\":\"sk-2\",\"enabled\":true}]"),
     "-sk-1 +sk-2 "},
    {"enabled neither true nor false", TEXT("[{\"key\":\"sk-1\",\"enabled\":0},\"sk-2\"]"),
     "?1 +sk-2 "},
    {"enabled null", TEXT("[{\"key\":\"sk-1\",\"enabled\":null}]"), "?1 "},
    {"object without a key", TEXT("[{\"name\":\"sk-1\"},{\"key\":7},{}]"), "?1 ?2 ?3 "},
    {"neither string nor object", TEXT("[\"sk-1\",2,null,true,[\"sk-3\"]]"), "+sk-1 ?2 ?3 ?4 ?5 "},
    {"duplicates are all told", TEXT("[\"sk-1\",\"sk-1\"]"), "+sk-1 +sk-1 "},
    {"a member twice", TEXT("[{\"key\":\"sk-1\",\"key\":\"sk-2\"}]"), "?1 "},
    {"control character", TEXT("[\"sk-1\\n\",\"sk-2\"]"), "?1 +sk-2 "},
    {"NUL", TEXT("[\"sk\\u0000-1\",\"sk-2\"]"), "?1 +sk-2 "},
    {"masked form",
     TEXT("[\"sk-1\",\"sk-a\xe2\x80\xa6"
          "1234\"]"),
     "+sk-1 ?2 "},
    {"broken on line 3", TEXT("[\n\"sk-1\",\n\"sk-2\n]"), "?3 "},
    {"unfinished", TEXT("[\"sk-1\""), "?1 "},
    {"something after the array", TEXT("[\"sk-1\"]\n\"sk-2\""), "?2 "},
    {"trailing comma", TEXT("[\"sk-1\",]"), "?1 "},
    {"bytes that are not UTF-8", TEXT("[\"sk-\xff\"]"), "?1 "},
    {"bracket alone", TEXT("["), "?1 "},
};

static void json_arrays_are_read_element_by_element(void **unused)
{
    check_imports(arrays, sizeof(arrays) / sizeof(*arrays));
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

static const char *const wrong_weights[] = {
    "0", "-1", "1001", "1.5", "\"3\"", "true", "[]", "4294967297", "1e2", "9223372036854775807"};
static const char *const wrong_limits[] = {"[]",
                                           "60",
                                           "\"60\"",
                                           "true",
                                           "{\"rpm\":0}",
                                           "{\"rpd\":-1}",
                                           "{\"tpm\":4294967296}",
                                           "{\"tpd\":\"9\"}",
                                           "{\"concurrency\":1.0}"};

static void check_refused(const char *name, const char *value, const char *reason)
{
    char text[128];
    told_t told;
    snprintf(text, sizeof(text), "[{\"key\":\"sk-1\",\"%s\":%s},\"sk-2\"]", name, value);
    import(text, strlen(text), &told);
    assert_string_equal(told.text, "?1 +sk-2 ");
    assert_string_equal(told.reason, reason);
}

static void attributes_of_other_kinds_refuse_the_key(void **unused)
{
    for (size_t i = 0; i < sizeof(wrong_weights) / sizeof(*wrong_weights); i++) {
        check_refused("weight", wrong_weights[i],
                      "\"weight\" is not a whole number from 1 to 1000");
    }
    for (size_t i = 0; i < sizeof(wrong_limits) / sizeof(*wrong_limits); i++) {
        check_refused("limits", wrong_limits[i],
                      "\"limits\" is not an object of whole numbers above 0");
    }
    check_refused("account", "7",
                  "\"account\" is not a string of at most 64 bytes without control characters");
}

static const struct {
    const char *text, *reason;
} reasons[] = {
    {"sk-1\001", "control character in a key"},
    {"sk-1 2", "blank inside a key (keys are separated by commas or newlines)"},
    {"sk-\xc3\xa9", "character outside ASCII in a key (was it copied in its masked form?)"},
    {"[\"\"]", "empty key"},
    {"[{}]", "object without a string \"key\""},
    {"[7]", "neither a string nor an object"},
    {"[{\"key\":\"sk-1\",\"enabled\":1}]", "\"enabled\" is neither true nor false"},
    {"[oops", "malformed JSON"},
    {"[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]",
     "JSON that is nested too deeply, or has too many values"},
};

static void an_invalid_item_is_told_with_its_reason(void **unused)
{
    told_t told;
    for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++) {
        import(reasons[i].text, strlen(reasons[i].text), &told);
        assert_string_equal(told.reason, reasons[i].reason);
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
        cmocka_unit_test(lists_are_read_by_lines_and_commas),
        cmocka_unit_test(json_arrays_are_read_element_by_element),
        cmocka_unit_test(an_object_tells_weight_account_and_limits),
        cmocka_unit_test(attributes_of_other_kinds_refuse_the_key),
        cmocka_unit_test(an_invalid_item_is_told_with_its_reason),
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
