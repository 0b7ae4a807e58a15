/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/memory/recent: order, offsets and limits, before and after the ring wraps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "recent.h"

/* Memory of exactly that size, so that a checker sees every access beyond it. */
static apipool_recent_t make_ring(apr_uint32_t size)
{
    void *memory = calloc(1, apipool_recent_bytes(size));
    assert_non_null(memory);
    return apipool_recent_view(memory, size);
}

static void drop_ring(apipool_recent_t *recent)
{
    free(recent->pushed);
}

/* The nth request. */
static void push(const apipool_recent_t *recent, apr_uint64_t n)
{
    apipool_recent_entry_t entry = {.at = (apr_time_t)n * 1000, .key = n, .status = 200};
    snprintf(entry.model, sizeof(entry.model), "model-%lu", (unsigned long)n);
    apipool_recent_push_locked(recent, &entry);
}

/* Of the attempts in turn; what does not fit is cut, the longest first. */
static void each_attempt_has_the_vendors_words(void **unused)
{
    apipool_recent_entry_t entry = {.number = 0};
    apipool_words_t words;
    for (int i = 0; i < APIPOOL_RECENT_ATTEMPTS; i++) {
        memset(&words, 0, sizeof(words));
        memset(words.text, 'a' + i, i == 1 ? 0 : i == 2 ? 20 : 180);
        apipool_recent_said(&entry, &words);
        if (i == 3) {
            assert_int_equal(strspn(apipool_recent_words(&entry, 0), "a"), 180);
            assert_int_equal(strspn(apipool_recent_words(&entry, 3), "d"), 180);
        }
    }
    assert_string_equal(apipool_recent_words(&entry, 1), "");
    assert_int_equal(strlen(apipool_recent_words(&entry, 2)), 20);
    for (apr_uint32_t i = 0; i < APIPOOL_RECENT_ATTEMPTS; i++) {
        const char letter[] = {(char)('a' + i), '\0'};
        apr_size_t kept = strspn(apipool_recent_words(&entry, i), letter);
        assert_true(i == 1 || i == 2 ||
                    (kept >= 78 && kept == strlen(apipool_recent_words(&entry, i))));
    }
    assert_true(entry.words_len <= APIPOOL_RECENT_WORDS);
    for (int i = 0; i < 600; i++) {
        apipool_recent_said(&entry, &words);
    }
    assert_true(entry.words_len <= APIPOOL_RECENT_WORDS);
}

static void words_are_cut_between_characters(void **unused)
{
    apipool_recent_entry_t entry = {.number = 0};
    apipool_words_t words;
    apipool_words_make(
        &words, "", "",
        "余额不足余额不足余额不足余额不足余额不足余额不足余额不足余额不足余额不足余额不足余额不足"
        "余额不足余额不足余额不足余额不足余额不足余额不足");
    for (int i = 0; i < 3; i++) {
        apipool_recent_said(&entry, &words);
    }
    for (apr_uint32_t i = 0; i < 3; i++) {
        const char *said = apipool_recent_words(&entry, i);
        assert_true(strlen(said) > 150);
        assert_int_equal((strlen(said) - 2) % 3, 0);
    }
}

static void an_entry_is_bounded(void **unused)
{
    assert_true(sizeof(apipool_recent_entry_t) <= 896);
    assert_int_equal(apipool_recent_bytes(0) % 8, 0);
    assert_int_equal(apipool_recent_bytes(1000) % 8, 0);
}

static void memory_full_of_zeros_is_an_empty_ring(void **unused)
{
    apipool_recent_t recent = make_ring(4);
    apipool_recent_entry_t out[4];

    assert_int_equal(apipool_recent_count_locked(&recent), 0);
    assert_int_equal(apipool_recent_read_locked(&recent, 0, 4, out), 0);
    assert_int_equal(apipool_recent_read_locked(&recent, 3, 4, out), 0);
    drop_ring(&recent);
}

static void all_of_an_entry_is_kept(void **unused)
{
    apipool_recent_t recent = make_ring(4);
    apipool_recent_entry_t out, entry = {
                                    .at = 1234567,
                                    .key = 77,
                                    .pool = 3,
                                    .attempt_count = 2,
                                    .attempts = {{11, 1, 7}, {77, 2, 0}},
                                    .tokens = {100, -1, 0, 100},
                                    .first_byte = 250000,
                                    .total = 1500000,
                                    .status = 200,
                                    .usage = APIPOOL_TOKENS_REPORTED,
                                    .ending = APIPOOL_ENDED_CLIENT_ABORT,
                                    .streamed = 1,
                                    .client = "alice",
                                    .endpoint = "chat/completions",
                                    .model = "gpt-4o",
                                };

    apipool_recent_push_locked(&recent, &entry);
    assert_int_equal(apipool_recent_read_locked(&recent, 0, 1, &out), 1);
    entry.number = 1;
    assert_memory_equal(&out, &entry,
                        offsetof(apipool_recent_entry_t, model) + sizeof(entry.model));
    drop_ring(&recent);
}

static void texts_end_whatever_was_pushed(void **unused)
{
    apipool_recent_t recent = make_ring(1);
    apipool_recent_entry_t out, entry = {0};

    memset(entry.client, 'c', sizeof(entry.client));
    memset(entry.endpoint, 'e', sizeof(entry.endpoint));
    memset(entry.model, 'm', sizeof(entry.model));
    apipool_recent_push_locked(&recent, &entry);
    assert_int_equal(apipool_recent_read_locked(&recent, 0, 1, &out), 1);
    assert_int_equal(strlen(out.client), sizeof(out.client) - 1);
    assert_int_equal(strlen(out.endpoint), sizeof(out.endpoint) - 1);
    assert_int_equal(strlen(out.model), sizeof(out.model) - 1);
    drop_ring(&recent);
}

static void a_ring_of_no_size_keeps_nothing(void **unused)
{
    apipool_recent_t recent = make_ring(0);
    apipool_recent_entry_t out;

    push(&recent, 1);
    assert_int_equal(apipool_recent_count_locked(&recent), 0);
    assert_int_equal(apipool_recent_read_locked(&recent, 0, 1, &out), 0);
    drop_ring(&recent);
}

/* All sizes, fills, offsets and limits, up to a few more than the ring holds. */
static void the_newest_come_first_from_any_offset_to_any_limit(void **unused)
{
    for (apr_uint32_t size = 1; size <= 7; size++) {
        apipool_recent_t recent = make_ring(size);
        for (apr_uint32_t pushed = 1; pushed <= 4 * size; pushed++) {
            apr_uint32_t kept = pushed < size ? pushed : size;
            push(&recent, pushed);
            assert_int_equal(apipool_recent_count_locked(&recent), kept);
            for (apr_uint32_t offset = 0; offset <= size + 2; offset++) {
                for (apr_uint32_t limit = 0; limit <= size + 2; limit++) {
                    apipool_recent_entry_t out[16];
                    apr_uint32_t left = offset < kept ? kept - offset : 0;
                    apr_uint32_t n = apipool_recent_read_locked(&recent, offset, limit, out);
                    assert_int_equal(n, left < limit ? left : limit);
                    for (apr_uint32_t i = 0; i < n; i++) {
                        assert_int_equal(out[i].key, pushed - offset - i);
                        assert_int_equal(out[i].number, pushed - offset - i);
                    }
                }
            }
        }
        drop_ring(&recent);
    }
}

static void offsets_and_limits_beyond_all_measure_are_no_more_than_there_is(void **unused)
{
    apipool_recent_t recent = make_ring(3);
    apipool_recent_entry_t out[3];

    for (apr_uint64_t n = 1; n <= 10; n++) {
        push(&recent, n);
    }
    assert_int_equal(apipool_recent_read_locked(&recent, 0, UINT32_MAX, out), 3);
    assert_string_equal(out[0].model, "model-10");
    assert_string_equal(out[2].model, "model-8");
    assert_int_equal(apipool_recent_read_locked(&recent, UINT32_MAX, UINT32_MAX, out), 0);
    drop_ring(&recent);
}

/* Only the entry that a process was writing when it died is missing. */
static void an_entry_that_was_not_completed_is_passed_over(void **unused)
{
    apipool_recent_t recent = make_ring(3);
    apipool_recent_entry_t out[3];

    for (apr_uint64_t n = 1; n <= 5; n++) {
        push(&recent, n);
    }
    recent.entries[5 % 3].number = 0;
    assert_int_equal(apipool_recent_read_locked(&recent, 0, 3, out), 2);
    assert_int_equal(out[0].number, 5);
    assert_int_equal(out[1].number, 4);
    push(&recent, 6);
    assert_int_equal(apipool_recent_read_locked(&recent, 0, 3, out), 3);
    assert_int_equal(out[0].number, 6);
    drop_ring(&recent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_is_bounded),
        cmocka_unit_test(each_attempt_has_the_vendors_words),
        cmocka_unit_test(words_are_cut_between_characters),
        cmocka_unit_test(memory_full_of_zeros_is_an_empty_ring),
        cmocka_unit_test(all_of_an_entry_is_kept),
        cmocka_unit_test(texts_end_whatever_was_pushed),
        cmocka_unit_test(a_ring_of_no_size_keeps_nothing),
        cmocka_unit_test(the_newest_come_first_from_any_offset_to_any_limit),
        cmocka_unit_test(an_entry_that_was_not_completed_is_passed_over),
        cmocka_unit_test(offsets_and_limits_beyond_all_measure_are_no_more_than_there_is),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("recent", tests, NULL, NULL);
}
