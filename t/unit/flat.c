/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/flat: what is written is read, and any row is read as something sane. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <string.h>
#include <cmocka.h>

#include "flat.h"

static apr_uint64_t seed = 1;

static apr_uint64_t any(void)
{
    seed = seed * APR_UINT64_C(6364136223846793005) + APR_UINT64_C(1442695040888963407);
    return seed ^ seed >> 29;
}

static void fill_window(apipool_window_t *window)
{
    window->newest = (apr_uint32_t)any();
    for (int i = 0; i < APIPOOL_WINDOW_BUCKETS; i++) {
        window->counts[i] = (apr_uint32_t)any();
    }
}

/* Each member has a value of its own, so that none can stand for another. */
static void fill_numbers(apipool_numbers_t *numbers)
{
    memset(numbers, 0, sizeof(*numbers)); /* padding, too: they are compared as bytes */
    numbers->counts = (apipool_counts_t){.requests = any(),
                                         .attempts = any(),
                                         .successes = any(),
                                         .errors = any(),
                                         .prompt = any(),
                                         .completion = any(),
                                         .cached = any(),
                                         .total = any(),
                                         .estimated = any(),
                                         .success = 0.0625,
                                         .latency = 12.25,
                                         .first_byte = 0.1,
                                         .timed = (apr_uint32_t)any(),
                                         .begun = (apr_uint32_t)any()};
    for (int i = 0; i < APIPOOL_NUMBERS_WINDOWS; i++) {
        fill_window(&numbers->windows[i]);
    }
}

static void numbers_come_back_as_they_were(void **unused)
{
    for (int round = 0; round < 1000; round++) {
        apipool_numbers_t numbers, again;
        apr_uint64_t row[APIPOOL_FLAT_NUMBERS];
        fill_numbers(&numbers);
        memset(&again, 0, sizeof(again));
        assert_ptr_equal(apipool_flat_numbers(row, &numbers), row + APIPOOL_FLAT_NUMBERS);
        assert_ptr_equal(apipool_unflat_numbers(row, &again), row + APIPOOL_FLAT_NUMBERS);
        assert_memory_equal(&numbers, &again, sizeof(numbers));
    }
}

static void a_histogram_comes_back_as_it_was(void **unused)
{
    apipool_histogram_t histogram, again;
    apr_uint64_t row[APIPOOL_FLAT_HISTOGRAM];
    for (int i = 0; i <= APIPOOL_HISTOGRAM_BUCKETS; i++) {
        histogram.counts[i] = any();
    }
    histogram.sum = any();
    assert_ptr_equal(apipool_flat_histogram(row, &histogram), row + APIPOOL_FLAT_HISTOGRAM);
    assert_ptr_equal(apipool_unflat_histogram(row, &again), row + APIPOOL_FLAT_HISTOGRAM);
    assert_memory_equal(&histogram, &again, sizeof(histogram));
}

static void the_order_of_a_row_is_the_one_that_files_have(void **unused)
{
    apipool_counts_t counts;
    apr_uint64_t row[APIPOOL_FLAT_COUNTS] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 0, 10, 11};
    apipool_unflat_counts(row, &counts);
    assert_int_equal(counts.requests, 1);
    assert_int_equal(counts.attempts, 2);
    assert_int_equal(counts.successes, 3);
    assert_int_equal(counts.errors, 4);
    assert_int_equal(counts.prompt, 5);
    assert_int_equal(counts.completion, 6);
    assert_int_equal(counts.cached, 7);
    assert_int_equal(counts.total, 8);
    assert_int_equal(counts.estimated, 9);
    assert_int_equal(counts.timed, 10);
    assert_int_equal(counts.begun, 11);
}

static void a_row_of_zeros_is_an_empty_value(void **unused)
{
    static const apipool_numbers_t empty;
    static const apr_uint64_t row[APIPOOL_FLAT_NUMBERS];
    apipool_numbers_t numbers;
    fill_numbers(&numbers);
    apipool_unflat_numbers(row, &numbers);
    assert_memory_equal(&numbers, &empty, sizeof(numbers));
}

static int is_average(double value)
{
    return isfinite(value) && value >= 0;
}

static void a_row_of_anything_becomes_sane_numbers(void **unused)
{
    static const double odd[] = {NAN, INFINITY, -INFINITY, -1, -0.0, 1e308, 5e-324, 2};
    for (int round = 0; round < 20000; round++) {
        apipool_numbers_t numbers;
        apr_uint64_t row[APIPOOL_FLAT_NUMBERS];
        for (int i = 0; i < APIPOOL_FLAT_NUMBERS; i++) {
            row[i] = any();
        }
        for (int i = 9; i <= 11 && round % 2; i++) {
            memcpy(&row[i], &odd[any() % (sizeof(odd) / sizeof(*odd))], sizeof(row[i]));
        }
        apipool_unflat_numbers(row, &numbers);
        assert_true(is_average(numbers.counts.success) && numbers.counts.success <= 1);
        assert_true(is_average(numbers.counts.latency));
        assert_true(is_average(numbers.counts.first_byte));
    }
}

static void what_a_place_cannot_hold_is_cut(void **unused)
{
    apr_uint64_t row[APIPOOL_FLAT_WINDOW];
    apipool_window_t window;
    for (int i = 0; i < APIPOOL_FLAT_WINDOW; i++) {
        row[i] = (APR_UINT64_C(1) << 32) + (apr_uint64_t)i;
    }
    apipool_unflat_window(row, &window);
    assert_int_equal(window.newest, UINT32_MAX);
    for (int i = 0; i < APIPOOL_WINDOW_BUCKETS; i++) {
        assert_int_equal(window.counts[i], UINT32_MAX);
    }
    assert_int_equal(apipool_flat_u32(0), 0);
    assert_int_equal(apipool_flat_u32(UINT32_MAX - 1), UINT32_MAX - 1);
    assert_int_equal(apipool_flat_u32(UINT32_MAX), UINT32_MAX);
    assert_int_equal(apipool_flat_u32(UINT64_MAX), UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_come_back_as_they_were),
        cmocka_unit_test(a_histogram_comes_back_as_it_was),
        cmocka_unit_test(the_order_of_a_row_is_the_one_that_files_have),
        cmocka_unit_test(a_row_of_zeros_is_an_empty_value),
        cmocka_unit_test(a_row_of_anything_becomes_sane_numbers),
        cmocka_unit_test(what_a_place_cannot_hold_is_cut),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
