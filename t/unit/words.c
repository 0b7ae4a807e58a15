/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/words: what a vendor said, cut, cleaned and masked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "verdict.h"
#include "words.h"

#define KEY "sk-0123456789abcdefghij"

static apipool_words_t words;
static apipool_words_parts_t parts;

static void read_back(void)
{
    apipool_words_read(words.text, &parts);
}

static void all_three_parts_come_back(void **unused)
{
    apipool_words_make(&words, "insufficient_quota", "1113", "\n 余额不足 or so");
    read_back();
    assert_string_equal(parts.type, "insufficient_quota");
    assert_string_equal(parts.code, "1113");
    assert_string_equal(parts.message, "余额不足 or so");
    apipool_words_make(&words, "", "", "only this");
    read_back();
    assert_string_equal(parts.type, "");
    assert_string_equal(parts.code, "");
    assert_string_equal(parts.message, "only this");
    apipool_words_make(&words, "", "", "");
    assert_int_equal(*words.text, 0);
}

static void what_is_no_text_is_replaced(void **unused)
{
    apipool_words_make(&words, "a\nb", "\x1b[31m", "line\r\nline \xff\xc3 \xc2\x85 end");
    read_back();
    assert_string_equal(parts.type, "a b");
    assert_string_equal(parts.code, " [31m");
    assert_string_equal(parts.message, "line  line ??   end");
}

static void it_is_cut_between_characters(void **unused)
{
    char message[600];
    for (int shift = 0; shift < 4; shift++) {
        memset(message, 'x', sizeof(message));
        for (size_t i = (size_t)shift; i + 3 < sizeof(message); i += 3) {
            memcpy(message + i, "费", 3);
        }
        message[sizeof(message) - 1] = '\0';
        apipool_words_make(&words, message, message, message);
        assert_in_range(strlen(words.text), APIPOOL_WORDS_SIZE - 4, APIPOOL_WORDS_SIZE - 1);
        read_back();
        assert_in_range(strlen(parts.type), 61, 64);
        assert_memory_equal(parts.message, message, strlen(parts.message));
        assert_true(((unsigned char)parts.message[strlen(parts.message)] & 0xc0) != 0x80);
    }
}

static void no_key_is_among_them(void **unused)
{
    char message[400];
    apipool_words_make(&words, KEY, KEY, "Incorrect API key provided: " KEY ". You can");
    apipool_words_mask(&words, KEY, strlen(KEY));
    assert_null(strstr(words.text, "456789"));
    for (size_t len = 150; len < 210; len++) { /* wherever it is cut */
        memset(message, '.', len);
        memcpy(message + len, KEY, sizeof(KEY));
        apipool_words_make(&words, "", "", message);
        apipool_words_mask(&words, KEY, strlen(KEY));
        assert_null(strstr(words.text, "sk-01"));
    }
}

static void a_verdict_has_them(void **unused)
{
    static const char body[] =
        "{\"error\":{\"type\":\"t\",\"code\":30011,\"message\":\"no \\\"Pro\\\" models\"}}";
    apipool_evidence_t evidence = {
        .phase = APIPOOL_PHASE_ANSWERED, .status = 403, .body = body, .body_len = sizeof(body) - 1};
    words = apipool_verdict(&evidence).words;
    read_back();
    assert_string_equal(parts.type, "t");
    assert_string_equal(parts.code, "30011");
    assert_string_equal(parts.message, "no \"Pro\" models");
    evidence.status = 200;
    assert_int_equal(*apipool_verdict(&evidence).words.text, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_three_parts_come_back),
        cmocka_unit_test(what_is_no_text_is_replaced),
        cmocka_unit_test(it_is_cut_between_characters),
        cmocka_unit_test(no_key_is_among_them),
        cmocka_unit_test(a_verdict_has_them),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("words", tests, NULL, NULL);
}
