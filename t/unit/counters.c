/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/counters: sums, averages and rates, tokens reported and estimated, histograms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "counters.h"

#define NOW    apr_time_from_sec(APR_INT64_C(1795348800))
#define SEC(n) apr_time_from_sec(APR_INT64_C(n))
#define MS(n)  ((apr_interval_time_t)(n)*1000)

static const apipool_finished_t served = {
    .success = 1,
    .attempts = 2,
    .tokens = {.prompt = 100, .completion = 20, .cached = 60, .total = 120},
    .first_byte = MS(250),
    .latency = MS(1500),
};

static const apipool_finished_t failed = {
    .error = 1,
    .attempts = 3,
    .tokens = {-1, -1, -1, -1},
    .first_byte = -1,
    .latency = -1,
};

static const apipool_window_t no_windows[APIPOOL_WINDOWS];

/* The client left before anything was known. */
static const apipool_finished_t left = {
    .tokens = {-1, -1, -1, -1},
    .first_byte = -1,
    .latency = -1,
};

static void assert_near(double value, double wanted)
{
    double difference = value - wanted;
    if (difference > 1e-9 || difference < -1e-9) {
        fail_msg("%.12f instead of %.12f", value, wanted);
    }
}

static void memory_full_of_zeros_has_counted_nothing_and_knows_nothing(void **unused)
{
    apipool_counters_t counters = {0};
    apipool_counters_snapshot_t s;

    apipool_counters_read(&counters, NOW, &s);
    assert_int_equal(s.requests, 0);
    assert_int_equal(s.attempts, 0);
    assert_int_equal(s.total, 0);
    assert_int_equal(s.estimated, 0);
    assert_int_equal(s.rpm, 0);
    assert_int_equal(s.tpd, 0);
    assert_true(s.success_rate == -1);
    assert_true(s.latency_ms == -1);
    assert_true(s.first_byte_ms == -1);
}

static void every_request_adds_to_what_it_tells(void **unused)
{
    apipool_counters_t counters = {0};
    apipool_counters_snapshot_t s;

    apipool_counters_add(&counters, &served, NOW);
    apipool_counters_add(&counters, &failed, NOW);
    apipool_counters_add(&counters, &served, NOW);
    apipool_counters_read(&counters, NOW, &s);
    assert_int_equal(s.requests, 3);
    assert_int_equal(s.attempts, 7);
    assert_int_equal(s.successes, 2);
    assert_int_equal(s.errors, 1);
    assert_int_equal(s.prompt, 200);
    assert_int_equal(s.completion, 40);
    assert_int_equal(s.cached, 120);
    assert_int_equal(s.total, 240);
    assert_int_equal(s.estimated, 0);
    assert_int_equal(s.rpm, 3);
    assert_int_equal(s.rpd, 3);
    assert_int_equal(s.tpm, 240);
    assert_int_equal(s.tpd, 240);
    assert_near(s.success_rate, 2.0 / 3);
    assert_near(s.latency_ms, 1500);
    assert_near(s.first_byte_ms, 250);
}

static void counts_are_read_with_the_windows_of_whoever_has_them(void **unused)
{
    apipool_counts_t counts = {0};
    apipool_counters_snapshot_t s;

    apipool_counts_add(&counts, &served);
    apipool_counts_read(&counts, no_windows, NOW, &s);
    assert_int_equal(s.requests, 1);
    assert_int_equal(s.total, 120);
    assert_int_equal(s.rpm, 0);
    assert_int_equal(s.tpd, 0);
}

static void a_total_that_is_not_told_is_the_sum_of_what_is(void **unused)
{
    static const struct {
        apipool_usage_t tokens;
        apr_uint64_t total;
    } cases[] = {
        {{-1, -1, -1, -1}, 0},  {{10, -1, -1, -1}, 10}, {{-1, 5, -1, -1}, 5},
        {{10, 5, -1, -1}, 15},  {{10, 5, 3, 99}, 99},   {{10, 5, -1, 0}, 0},
        {{-1, -1, -1, 42}, 42}, {{0, 0, 0, 0}, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        apipool_finished_t finished = served;
        apipool_counts_t counts = {0};
        finished.tokens = cases[i].tokens;
        apipool_counts_add(&counts, &finished);
        assert_int_equal(apipool_finished_tokens(&finished), cases[i].total);
        assert_int_equal(counts.total, cases[i].total);
    }
}

static void estimated_tokens_are_nowhere_but_among_the_estimated(void **unused)
{
    apipool_counters_t counters = {0};
    apipool_counters_snapshot_t s;
    apipool_finished_t finished = served;

    finished.estimated = 1;
    finished.tokens = (apipool_usage_t){70, 30, -1, -1};
    apipool_counters_add(&counters, &finished, NOW);
    apipool_counters_add(&counters, &served, NOW);
    apipool_counters_read(&counters, NOW, &s);
    assert_int_equal(s.estimated, 100);
    assert_int_equal(s.prompt, 100);
    assert_int_equal(s.completion, 20);
    assert_int_equal(s.cached, 60);
    assert_int_equal(s.total, 120);
    assert_int_equal(s.tpm, 120);
    assert_int_equal(s.rpm, 2);
}

static void a_request_that_tells_nothing_moves_no_average(void **unused)
{
    apipool_counts_t counts = {0};
    apipool_counters_snapshot_t s;

    apipool_counts_add(&counts, &left);
    apipool_counts_read(&counts, no_windows, NOW, &s);
    assert_int_equal(s.requests, 1);
    assert_true(s.success_rate == -1);
    apipool_counts_add(&counts, &failed);
    apipool_counts_add(&counts, &left);
    apipool_counts_read(&counts, no_windows, NOW, &s);
    assert_true(s.success_rate == 0);
    assert_true(s.latency_ms == -1);
    apipool_counts_add(&counts, &served);
    apipool_counts_add(&counts, &left);
    apipool_counts_read(&counts, no_windows, NOW, &s);
    assert_near(s.success_rate, 0.5);
    assert_near(s.latency_ms, 1500);
    assert_near(s.first_byte_ms, 250);
}

static void a_time_of_zero_is_known(void **unused)
{
    apipool_counts_t counts = {0};
    apipool_counters_snapshot_t s;
    apipool_finished_t finished = served;

    finished.latency = finished.first_byte = 0;
    apipool_counts_add(&counts, &finished);
    apipool_counts_read(&counts, no_windows, NOW, &s);
    assert_true(s.latency_ms == 0);
    assert_true(s.first_byte_ms == 0);
}

static void an_average_is_the_mean_at_first_and_then_moves_by_a_20th(void **unused)
{
    apipool_counts_t counts = {0};
    apipool_finished_t finished = served;
    double mean;

    for (int i = 1; i <= APIPOOL_COUNTERS_AVERAGE_OF; i++) {
        finished.latency = SEC(1) * i;
        apipool_counts_add(&counts, &finished);
        assert_near(counts.latency, (1 + i) / 2.0);
        assert_int_equal(counts.timed, i);
    }
    mean = counts.latency;
    for (int i = 0; i < 1000; i++) {
        finished.latency = SEC(5) * (i % 7);
        apipool_counts_add(&counts, &finished);
        mean += (5.0 * (i % 7) - mean) / APIPOOL_COUNTERS_AVERAGE_OF;
        assert_near(counts.latency, mean);
    }
    assert_int_equal(counts.timed, APIPOOL_COUNTERS_AVERAGE_OF);
    for (int i = 0; i < 1000; i++) {
        apipool_counts_add(&counts, &failed);
    }
    assert_true(counts.success >= 0 && counts.success < 1e-9);
    assert_near(counts.latency, mean);
}

static void rates_forget_what_sums_keep(void **unused)
{
    apipool_counters_t counters = {0};
    apipool_counters_snapshot_t s;

    for (int i = 0; i < 10; i++) {
        apipool_counters_add(&counters, &served, NOW);
    }
    apipool_counters_read(&counters, NOW + SEC(70), &s);
    assert_int_equal(s.rpm, 0);
    assert_int_equal(s.tpm, 0);
    assert_int_equal(s.rpd, 10);
    assert_int_equal(s.tpd, 1200);
    apipool_counters_read(&counters, NOW + SEC(2 * 86400), &s);
    assert_int_equal(s.rpd, 0);
    assert_int_equal(s.tpd, 0);
    assert_int_equal(s.requests, 10);
    assert_int_equal(s.total, 1200);
}

static void counts_beyond_all_measure_do_not_spoil_the_others(void **unused)
{
    apipool_counters_t counters = {0};
    apipool_counters_snapshot_t s;
    apipool_finished_t finished = served;

    finished.tokens = (apipool_usage_t){INT64_MAX, INT64_MAX, INT64_MIN, -1};
    apipool_counters_add(&counters, &finished, NOW);
    apipool_counters_read(&counters, NOW, &s);
    assert_int_equal(s.prompt, INT64_MAX);
    assert_int_equal(s.cached, 0);
    assert_int_equal(s.total, (apr_uint64_t)INT64_MAX * 2);
    assert_int_equal(s.tpm, UINT32_MAX);
    assert_int_equal(s.rpm, 1);
}

static void numbers_that_make_sense_are_not_mended(void **unused)
{
    apipool_counters_t counters, before;
    apipool_finished_t finished = {
        .success = 1, .attempts = 2, .tokens = {3, 4, 0, 7}, .first_byte = MS(5), .latency = MS(9)};
    memset(&counters, 0, sizeof(counters));
    apipool_counters_add(&counters, &finished, NOW);
    before = counters;
    apipool_counters_mend(&counters);
    assert_memory_equal(&counters, &before, sizeof(before));
}

static void what_cannot_be_is_mended_and_the_rest_is_left(void **unused)
{
    apipool_counts_t counts = {.requests = 5,
                               .successes = 4,
                               .errors = 3,
                               .prompt = APR_UINT64_MAX,
                               .total = 9,
                               .success = 1.5,
                               .latency = 1.0 / 0.0,
                               .first_byte = 0.25,
                               .timed = APIPOOL_COUNTERS_AVERAGE_OF + 1};
    apipool_counts_mend(&counts);
    assert_int_equal(counts.requests, 7);
    assert_int_equal(counts.prompt, 0);
    assert_int_equal(counts.total, 9);
    assert_true(counts.success == 0 && counts.latency == 0 && counts.first_byte == 0.25);
    assert_int_equal(counts.timed, 0);
}

static void the_bounds_of_a_histogram_ascend(void **unused)
{
    assert_true(apipool_histogram_bounds[0] == 0.05);
    for (int i = 1; i < APIPOOL_HISTOGRAM_BUCKETS; i++) {
        assert_true(apipool_histogram_bounds[i] > apipool_histogram_bounds[i - 1]);
    }
    assert_true(apipool_histogram_bounds[APIPOOL_HISTOGRAM_BUCKETS - 1] == 300);
}

static void a_bound_belongs_to_its_bucket(void **unused)
{
    for (int i = 0; i < APIPOOL_HISTOGRAM_BUCKETS; i++) {
        apipool_histogram_t h = {0};
        apipool_histogram_snapshot_t s;
        apr_interval_time_t bound =
            (apr_interval_time_t)(apipool_histogram_bounds[i] * APR_USEC_PER_SEC + 0.5);

        apipool_histogram_add(&h, bound);
        apipool_histogram_add(&h, bound + 1);
        apipool_histogram_read(&h, &s);
        for (int k = 0; k < APIPOOL_HISTOGRAM_BUCKETS; k++) {
            assert_int_equal(s.at_most[k], k < i ? 0 : k == i ? 1 : 2);
        }
        assert_int_equal(s.count, 2);
    }
}

static void a_histogram_counts_all_times_that_are_known(void **unused)
{
    apipool_histogram_t h = {0};
    apipool_histogram_snapshot_t s;

    apipool_histogram_read(&h, &s);
    assert_int_equal(s.count, 0);
    assert_true(s.sum == 0);
    apipool_histogram_add(&h, -1);
    apipool_histogram_add(&h, 0);
    apipool_histogram_add(&h, SEC(86400));
    apipool_histogram_add(&h, MS(500));
    apipool_histogram_read(&h, &s);
    assert_int_equal(s.count, 3);
    assert_int_equal(s.at_most[0], 1);
    assert_int_equal(s.at_most[APIPOOL_HISTOGRAM_BUCKETS - 1], 2);
    assert_near(s.sum, 86400.5);
}

static void answered(apipool_counters_t *counters, apr_int64_t tokens, apr_time_t at)
{
    apipool_finished_t finished = served;
    finished.tokens.completion = tokens;
    apipool_counters_add(counters, &finished, at);
}

static void the_largest_answer_is_that_of_this_hour_and_the_last_one(void **unused)
{
    apipool_counters_t counters = {0};
    assert_int_equal(apipool_counters_largest(&counters, NOW), 0);
    answered(&counters, 900, NOW);
    answered(&counters, 40, NOW);
    answered(&counters, -1, NOW);
    apipool_counters_add(&counters, &failed, NOW);
    assert_int_equal(apipool_counters_largest(&counters, NOW), 900);
    assert_int_equal(apipool_counters_largest(&counters, NOW + SEC(3600)), 900);
    answered(&counters, 50, NOW + SEC(3600));
    assert_int_equal(apipool_counters_largest(&counters, NOW + SEC(3600)), 900);
    assert_int_equal(apipool_counters_largest(&counters, NOW + SEC(7200)), 50);
    assert_int_equal(apipool_counters_largest(&counters, NOW + SEC(10800)), 0);
    answered(&counters, 7, NOW + SEC(14400));
    assert_int_equal(apipool_counters_largest(&counters, NOW + SEC(14400)), 7);
    answered(&counters, APR_INT64_MAX, NOW + SEC(14400));
    assert_int_equal(apipool_counters_largest(&counters, NOW + SEC(14400)), APR_UINT32_MAX);
    answered(&counters, 8, NOW); /* a clock that is set back */
    assert_int_equal(apipool_counters_largest(&counters, NOW), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_full_of_zeros_has_counted_nothing_and_knows_nothing),
        cmocka_unit_test(every_request_adds_to_what_it_tells),
        cmocka_unit_test(counts_are_read_with_the_windows_of_whoever_has_them),
        cmocka_unit_test(a_total_that_is_not_told_is_the_sum_of_what_is),
        cmocka_unit_test(estimated_tokens_are_nowhere_but_among_the_estimated),
        cmocka_unit_test(a_request_that_tells_nothing_moves_no_average),
        cmocka_unit_test(a_time_of_zero_is_known),
        cmocka_unit_test(an_average_is_the_mean_at_first_and_then_moves_by_a_20th),
        cmocka_unit_test(rates_forget_what_sums_keep),
        cmocka_unit_test(counts_beyond_all_measure_do_not_spoil_the_others),
        cmocka_unit_test(numbers_that_make_sense_are_not_mended),
        cmocka_unit_test(what_cannot_be_is_mended_and_the_rest_is_left),
        cmocka_unit_test(the_largest_answer_is_that_of_this_hour_and_the_last_one),
        cmocka_unit_test(the_bounds_of_a_histogram_ascend),
        cmocka_unit_test(a_bound_belongs_to_its_bucket),
        cmocka_unit_test(a_histogram_counts_all_times_that_are_known),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("numbers", tests, NULL, NULL);
}
