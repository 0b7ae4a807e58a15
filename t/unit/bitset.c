/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/memory/bitset: searches agree with a search one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bitset.h"

static const apr_uint32_t sizes[] = {64, 128, 4096, 4160, 8192, 20032};
#define SIZES (sizeof(sizes) / sizeof(*sizes))

/* Memory of exactly that size, so that a checker sees every access beyond it. */
static apipool_bitset_t make(apr_uint32_t size, int present)
{
    void *memory = malloc(apipool_bitset_bytes(size));
    assert_non_null(memory);
    apipool_bitset_t bits = apipool_bitset_view(memory, size);
    apipool_bitset_fill(bits, 0, present);
    return bits;
}

static apr_uint32_t slowly(apipool_bitset_t bits, const apipool_bitset_t *other, apr_uint32_t from)
{
    for (; from < bits.size; from++) {
        if (apipool_bitset_has(bits, from) && (!other || apipool_bitset_has(*other, from))) {
            return from;
        }
    }
    return APR_UINT32_MAX;
}

static apr_uint32_t next_random(apr_uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void check_all(apipool_bitset_t bits, const apipool_bitset_t *other)
{
    for (apr_uint32_t from = 0, step = 1; from < bits.size + 70; from += step) {
        assert_int_equal(apipool_bitset_next(&bits, other, from), slowly(bits, other, from));
        step = bits.size > 128 ? 37 : 1;
    }
    assert_int_equal(apipool_bitset_next(&bits, other, APR_UINT32_MAX - 1), APR_UINT32_MAX);
}

static void a_set_is_filled_and_emptied(void **unused)
{
    for (size_t i = 0; i < SIZES; i++) {
        apipool_bitset_t empty = make(sizes[i], 0), full = make(sizes[i], 1);
        assert_int_equal(apipool_bitset_next(&empty, NULL, 0), APR_UINT32_MAX);
        assert_int_equal(apipool_bitset_next(&full, NULL, 0), 0);
        assert_int_equal(apipool_bitset_next(&full, NULL, sizes[i] - 1), sizes[i] - 1);
        assert_int_equal(apipool_bitset_next(&full, NULL, sizes[i]), APR_UINT32_MAX);
        assert_int_equal(apipool_bitset_next(&full, &empty, 0), APR_UINT32_MAX);
        assert_int_equal(apipool_bitset_next(&full, &full, 63), 63);
        apipool_bitset_fill(full, 64, 0);
        assert_int_equal(apipool_bitset_next(&full, NULL, 63), 63);
        assert_int_equal(apipool_bitset_next(&full, NULL, 64), APR_UINT32_MAX);
        free(empty.words);
        free(full.words);
    }
}

static void one_member_is_found_from_everywhere_before_it(void **unused)
{
    for (size_t i = 0; i < SIZES; i++) {
        apipool_bitset_t bits = make(sizes[i], 0);
        for (apr_uint32_t n = 0; n < sizes[i]; n += n % 64 == 1 ? 61 : 1) {
            apipool_bitset_put(bits, n, 1);
            assert_true(apipool_bitset_has(bits, n));
            assert_int_equal(apipool_bitset_next(&bits, NULL, 0), n);
            assert_int_equal(apipool_bitset_next(&bits, NULL, n), n);
            assert_int_equal(apipool_bitset_next(&bits, NULL, n + 1), APR_UINT32_MAX);
            apipool_bitset_put(bits, n, 0);
            assert_false(apipool_bitset_has(bits, n));
            assert_int_equal(apipool_bitset_next(&bits, NULL, 0), APR_UINT32_MAX);
        }
        free(bits.words);
    }
}

static void random_sets_are_searched_as_one_by_one(void **unused)
{
    apr_uint32_t random = 2463534242;
    for (size_t i = 0; i < SIZES; i++) {
        for (int rare = 2; rare <= 2048; rare *= 8) {
            apipool_bitset_t a = make(sizes[i], 0), b = make(sizes[i], rare % 3 == 0);
            for (apr_uint32_t n = 0; n < sizes[i]; n++) {
                apipool_bitset_put(a, n, next_random(&random) % (apr_uint32_t)rare == 0);
                apipool_bitset_put(b, n, next_random(&random) % (apr_uint32_t)rare == 0);
            }
            check_all(a, NULL);
            check_all(a, &b);
            check_all(b, &a);
            free(a.words);
            free(b.words);
        }
    }
}

/* Words that are set in both bitsets but have no number in common. */
static void sets_that_interleave_have_nothing_in_common(void **unused)
{
    apipool_bitset_t even = make(8192, 0), odd = make(8192, 0);
    for (apr_uint32_t n = 0; n < 8192; n++) {
        apipool_bitset_put(n % 2 ? odd : even, n, 1);
    }
    assert_int_equal(apipool_bitset_next(&even, &odd, 0), APR_UINT32_MAX);
    apipool_bitset_put(odd, 8190, 1);
    assert_int_equal(apipool_bitset_next(&even, &odd, 3), 8190);
    free(even.words);
    free(odd.words);
}

static void a_summary_is_made_again_from_the_words(void **unused)
{
    apipool_bitset_t bits = make(8192, 0);
    bits.words[0] = 1;
    bits.words[100] = APR_UINT64_C(1) << 63;
    memset(bits.summary, 0x55, 2 * sizeof(*bits.summary));
    apipool_bitset_fill(bits, 8192, 1);
    assert_int_equal(apipool_bitset_next(&bits, NULL, 1), 6463);
    assert_int_equal(apipool_bitset_next(&bits, NULL, 6464), APR_UINT32_MAX);
    free(bits.words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_is_filled_and_emptied),
        cmocka_unit_test(one_member_is_found_from_everywhere_before_it),
        cmocka_unit_test(random_sets_are_searched_as_one_by_one),
        cmocka_unit_test(sets_that_interleave_have_nothing_in_common),
        cmocka_unit_test(a_summary_is_made_again_from_the_words),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("bits", tests, NULL, NULL);
}
