/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/key: checks, ids, masks and redaction. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "key.h"

static void a_key_may_have_4096_bytes_and_no_more(void **unused)
{
    char text[APIPOOL_KEY_MAX + 1];
    memset(text, 'k', sizeof(text));
    assert_null(apipool_key_check(text, APIPOOL_KEY_MAX));
    assert_string_equal(apipool_key_check(text, APIPOOL_KEY_MAX + 1), "key longer than 4096 bytes");
    assert_string_equal(apipool_key_check(text, 0), "empty key");
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
