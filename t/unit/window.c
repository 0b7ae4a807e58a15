/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/window: the limit in every true span, refunds, the next free moment, odd clocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "window.h"

#define MINUTE APIPOOL_WINDOW_MINUTE
#define DAY    APIPOOL_WINDOW_DAY
#define NOW    apr_time_from_sec(APR_INT64_C(1795348800))
#define SEC(n) apr_time_from_sec(APR_INT64_C(n))

static const struct {
    apr_interval_time_t length, margin;
} spans[] = {[MINUTE] = {SEC(60), SEC(1)}, [DAY] = {SEC(86400), SEC(60)}};

static int admits(apipool_window_t *w, apipool_window_span_e span, apr_time_t now,
                  apr_uint64_t limit, apr_uint64_t amount)
{
    return apipool_window_next_free(w, span, now, limit, amount) == now;
}

static apr_uint64_t seed;

/* Random number below "below", the same in every run. */
static apr_uint64_t pick(apr_uint64_t below)
{
    seed = seed * APR_UINT64_C(6364136223846793005) + APR_UINT64_C(1442695040888963407);
    return (seed >> 33) % below;
}

/* Amounts that were truly admitted, by a clock that is never set. */
typedef struct {
    apr_time_t at;
    apr_uint64_t amount;
} event_t;

#define EVENTS_MAX 200000

static event_t events[EVENTS_MAX];
static size_t event_count;

static void add_event(apr_time_t at, apr_uint64_t amount)
{
    assert_true(event_count < EVENTS_MAX);
    events[event_count++] = (event_t){at, amount};
}

/* Fullest span of that length; one that ends with an event is as full as any. */
static apr_uint64_t fullest(apr_interval_time_t length)
{
    apr_uint64_t sum = 0, most = 0;
    for (size_t first = 0, last = 0; last < event_count; last++) {
        sum += events[last].amount;
        while (events[last].at - events[first].at > length) {
            sum -= events[first++].amount;
        }
        most = sum > most ? sum : most;
    }
    return most;
}

typedef struct {
    const char *name;
    apipool_window_span_e span;
    apr_uint64_t limit, amount_max;
    apr_interval_time_t gap_max; /* between requests */
    int spans_long;
    apr_interval_time_t set_back_max; /* of the clock, sometimes; 0: never */
} flow_t;

static const flow_t flows[] = {
    {"rpm, steady", MINUTE, 60, 1, SEC(2), 180, 0},
    {"rpm, flooded", MINUTE, 60, 1, SEC(1) / 10, 180, 0},
    {"rpm of one", MINUTE, 1, 1, SEC(5), 600, 0},
    {"rpm, rare requests", MINUTE, 3, 1, SEC(120), 600, 0},
    {"tpm", MINUTE, 90000, 8000, SEC(1), 240, 0},
    {"tpm, a request takes all", MINUTE, 8000, 8000, SEC(3), 600, 0},
    {"rpd", DAY, 1000, 1, SEC(120), 30, 0},
    {"rpd, flooded", DAY, 100, 1, SEC(20), 20, 0},
    {"tpd", DAY, 5000000, 60000, SEC(300), 60, 0},
    {"rpm, clock set back a little", MINUTE, 60, 1, SEC(1) / 2, 300, SEC(20)},
    {"rpm, clock set back by hours", MINUTE, 60, 1, SEC(1) / 2, 300, SEC(20000)},
    {"tpd, clock set back by days", DAY, 5000000, 60000, SEC(300), 60, SEC(400000)},
};

static void run_flow(const flow_t *flow)
{
    apipool_window_t w = {0};
    apr_time_t true_now = NOW + (apr_time_t)pick(100000000), start = true_now;
    apr_interval_time_t behind = 0;
    apr_time_t end = start + spans[flow->span].length * flow->spans_long;

    event_count = 0;
    while (true_now < end) {
        apr_uint64_t amount = 1 + pick(flow->amount_max);
        true_now += (apr_time_t)pick((apr_uint64_t)flow->gap_max) + 1;
        if (flow->set_back_max && pick(500) == 0) {
            behind += (apr_interval_time_t)pick((apr_uint64_t)flow->set_back_max);
        }
        if (admits(&w, flow->span, true_now - behind, flow->limit, amount)) {
            apipool_window_charge(&w, flow->span, true_now - behind, amount);
            add_event(true_now, amount);
        }
    }
}

static void no_true_span_ever_holds_more_than_the_limit(void **unused)
{
    for (size_t i = 0; i < sizeof(flows) / sizeof(*flows); i++) {
        for (seed = 1; seed < 6 * 7919; seed += 7919) {
            run_flow(&flows[i]);
            const apr_interval_time_t length =
                spans[flows[i].span].length + spans[flows[i].span].margin;
            if (event_count == 0 || fullest(length - 1) > flows[i].limit) {
                fail_msg("%s: %lu of %lu", flows[i].name, (unsigned long)fullest(length - 1),
                         (unsigned long)flows[i].limit);
            }
        }
    }
}

/* Otherwise a window that admits nothing would pass. */
static void a_flooded_window_admits_nearly_the_limit_in_each_span(void **unused)
{
    static const flow_t floods[] = {
        {"rpm", MINUTE, 60, 1, SEC(1) / 10, 600, 0},
        {"rpd", DAY, 100, 1, SEC(20), 60, 0},
    };
    for (size_t i = 0; i < sizeof(floods) / sizeof(*floods); i++) {
        run_flow(&floods[i]);
        apr_uint64_t most = floods[i].limit * (apr_uint64_t)floods[i].spans_long;
        assert_true(event_count <= most + floods[i].limit);
        assert_true(event_count >= most * 92 / 100);
    }
}

static void the_sum_and_the_rate_agree_with_what_truly_happened(void **unused)
{
    for (int span = MINUTE; span <= DAY; span++) {
        apipool_window_t w = {0};
        apr_time_t now = NOW;
        apr_interval_time_t length = spans[span].length;
        event_count = 0;
        for (int i = 0; i < 20000; i++) {
            apr_uint64_t truly = 0, widely = 0;
            now += (apr_time_t)pick((apr_uint64_t)length / 50);
            apipool_window_charge(&w, span, now, 7);
            add_event(now, 7);
            for (size_t k = event_count; k-- > 0 && now - events[k].at <= length * 15 / 14;) {
                truly += now - events[k].at <= length ? 7 : 0;
                widely += 7;
            }
            assert_true(apipool_window_sum(&w, span, now) >= truly);
            assert_true(apipool_window_sum(&w, span, now) <= widely + 7 * 100 / 14);
            assert_true(apipool_window_rate(&w, span, now) <= apipool_window_sum(&w, span, now));
            assert_true(apipool_window_rate(&w, span, now) + 7 * 100 / 14 >= truly);
        }
    }
}

static void a_rate_counts_the_oldest_bucket_in_part(void **unused)
{
    apipool_window_t w = {0};
    apr_time_t start = NOW / 4066667 * 4066667; /* beginning of a bucket */

    apipool_window_charge(&w, MINUTE, start, 1000);
    assert_int_equal(apipool_window_rate(&w, MINUTE, start), 1000);
    assert_int_equal(apipool_window_rate(&w, MINUTE, start + SEC(60)), 1000);
    assert_int_equal(apipool_window_rate(&w, MINUTE, start + SEC(62)), 508);
    assert_int_equal(apipool_window_rate(&w, MINUTE, start + SEC(64)), 16);
    assert_int_equal(apipool_window_rate(&w, MINUTE, start + SEC(65)), 0);
    assert_int_equal(apipool_window_sum(&w, MINUTE, start + SEC(65)), 1000);
    assert_int_equal(apipool_window_sum(&w, MINUTE, start + SEC(66)), 0);
    assert_int_equal(apipool_window_rate(&w, MINUTE, start - SEC(3)), 1000);
}

static void a_charge_counts_for_61_to_66_seconds_or_a_day_and_a_minute_to_26_hours(void **unused)
{
    for (int i = 0; i < 10000; i++) {
        apipool_window_t minute = {0}, day = {0};
        apr_time_t at = NOW + (apr_time_t)pick(1000000000) * 1000;
        apipool_window_charge(&minute, MINUTE, at, 1);
        apipool_window_charge(&day, DAY, at, 1);
        assert_int_equal(apipool_window_sum(&minute, MINUTE, at + SEC(61)), 1);
        assert_int_equal(apipool_window_sum(&minute, MINUTE, at + SEC(66)), 0);
        assert_int_equal(apipool_window_sum(&day, DAY, at + SEC(86460)), 1);
        assert_int_equal(apipool_window_sum(&day, DAY, at + SEC(93600)), 0);
    }
}

static void memory_full_of_zeros_is_an_empty_window(void **unused)
{
    apipool_window_t w;
    memset(&w, 0, sizeof(w));
    assert_true(sizeof(w) <= 68);
    assert_int_equal(apipool_window_sum(&w, MINUTE, NOW), 0);
    assert_int_equal(apipool_window_rate(&w, DAY, NOW), 0);
    assert_true(admits(&w, MINUTE, NOW, 1, 1));
    assert_true(apipool_window_next_free(&w, DAY, NOW, 1, 1) == NOW);
    apipool_window_refund(&w, MINUTE, NOW, NOW, 5);
    assert_int_equal(apipool_window_sum(&w, MINUTE, NOW), 0);
}

static void
no_limit_admits_all_and_an_amount_above_the_limit_waits_for_an_empty_window(void **unused)
{
    apipool_window_t w = {0};

    apipool_window_charge(&w, MINUTE, NOW, UINT32_MAX);
    assert_true(admits(&w, MINUTE, NOW, 0, UINT64_MAX));
    assert_true(apipool_window_next_free(&w, MINUTE, NOW, 0, UINT64_MAX) == NOW);

    memset(&w, 0, sizeof(w));
    assert_true(admits(&w, MINUTE, NOW, 100, 101));
    assert_true(admits(&w, MINUTE, NOW, 100, UINT64_MAX));
    apipool_window_charge(&w, MINUTE, NOW, 1);
    assert_true(admits(&w, MINUTE, NOW, 100, 99));
    assert_false(admits(&w, MINUTE, NOW, 100, 100));
    assert_false(admits(&w, MINUTE, NOW, 100, 101));
    assert_true(admits(&w, MINUTE, NOW + SEC(66), 100, 101));
    assert_true(admits(&w, MINUTE, NOW, 100, 0));
}

/* Admits at that time, and not a microsecond before. Uses a copy, as the question may write. */
static void check_next_free(const apipool_window_t *w, apipool_window_span_e span, apr_time_t now,
                            apr_uint64_t limit, apr_uint64_t amount)
{
    apipool_window_t copy = *w;
    apr_time_t when = apipool_window_next_free(&copy, span, now, limit, amount);

    assert_true(when >= now);
    assert_int_equal(admits(&copy, span, now, limit, amount), when == now);
    assert_true(admits(&copy, span, when, limit, amount));
    if (when > now) {
        assert_false(admits(&copy, span, when - 1, limit, amount));
    }
}

static void the_next_free_moment_is_exact(void **unused)
{
    for (int i = 0; i < 200000; i++) {
        static apipool_window_t w;
        static apr_time_t now = NOW;
        apipool_window_span_e span = i < 100000 ? MINUTE : DAY;
        apr_uint64_t limit = 1 + pick(100), amount = pick(120);

        now += (apr_time_t)pick((apr_uint64_t)spans[span].length / 20);
        if (pick(100) == 0) {
            now -= (apr_time_t)pick((apr_uint64_t)spans[span].length * 3);
        }
        check_next_free(&w, span, now, limit, amount);
        if (admits(&w, span, now, limit, amount)) {
            apipool_window_charge(&w, span, now, amount);
        }
    }
}

static void a_refund_goes_to_the_bucket_that_was_charged(void **unused)
{
    apipool_window_t w = {0};
    apr_time_t later = NOW + SEC(20), free_at;

    apipool_window_charge(&w, MINUTE, NOW, 10);
    apipool_window_charge(&w, MINUTE, later, 5);
    apipool_window_refund(&w, MINUTE, NOW, later, 4);
    assert_int_equal(apipool_window_sum(&w, MINUTE, later), 11);
    free_at = apipool_window_next_free(&w, MINUTE, later, 11, 6);
    assert_true(free_at > NOW + SEC(61) && free_at < NOW + SEC(66));
    assert_int_equal(apipool_window_sum(&w, MINUTE, free_at), 5);

    apipool_window_refund(&w, MINUTE, NOW, later, 100);
    assert_int_equal(apipool_window_sum(&w, MINUTE, later), 5);
    apipool_window_refund(&w, MINUTE, later, later, 100);
    assert_int_equal(apipool_window_sum(&w, MINUTE, later), 0);
}

static void a_refund_of_a_bucket_that_is_gone_changes_nothing(void **unused)
{
    apipool_window_t w = {0}, before;

    apipool_window_charge(&w, MINUTE, NOW, 10);
    apipool_window_charge(&w, MINUTE, NOW + SEC(70), 7);
    before = w;
    apipool_window_refund(&w, MINUTE, NOW, NOW + SEC(70), 7);
    apipool_window_refund(&w, MINUTE, NOW + SEC(500), NOW + SEC(70), 7);
    assert_memory_equal(&w, &before, sizeof(w));

    memset(&w, 0, sizeof(w)); /* the same place in the ring, a window later */
    apipool_window_charge(&w, MINUTE, NOW, 10);
    apipool_window_charge(&w, MINUTE, NOW + 16 * 4066667, 7);
    apipool_window_refund(&w, MINUTE, NOW, NOW + 16 * 4066667, 7);
    assert_int_equal(apipool_window_sum(&w, MINUTE, NOW + 16 * 4066667), 7);

    memset(&w, 0, sizeof(w)); /* not charged since, but time has passed */
    apipool_window_charge(&w, MINUTE, NOW, 10);
    apipool_window_refund(&w, MINUTE, NOW, NOW + SEC(66), 7);
    assert_int_equal(apipool_window_sum(&w, MINUTE, NOW + SEC(66)), 0);
}

static void a_bucket_saturates(void **unused)
{
    apipool_window_t w = {0};

    apipool_window_charge(&w, DAY, NOW, UINT32_MAX - 1);
    apipool_window_charge(&w, DAY, NOW, 1);
    assert_true(apipool_window_sum(&w, DAY, NOW) == UINT32_MAX);
    apipool_window_charge(&w, DAY, NOW, 1);
    apipool_window_charge(&w, DAY, NOW, UINT64_MAX);
    assert_true(apipool_window_sum(&w, DAY, NOW) == UINT32_MAX);
    apipool_window_refund(&w, DAY, NOW, NOW, 1);
    assert_true(apipool_window_sum(&w, DAY, NOW) == UINT32_MAX);
    apipool_window_charge(&w, DAY, NOW + SEC(6000), UINT64_MAX);
    assert_true(apipool_window_sum(&w, DAY, NOW + SEC(6000)) == APR_UINT64_C(2) * UINT32_MAX);
    assert_true(apipool_window_rate(&w, DAY, NOW + SEC(6000)) == APR_UINT64_C(2) * UINT32_MAX);
    check_next_free(&w, DAY, NOW + SEC(6000), UINT32_MAX, 1);
}

static void a_clock_set_back_loses_no_charge(void **unused)
{
    static const apr_interval_time_t steps[] = {
        1, SEC(1), SEC(5), SEC(60), SEC(66), SEC(3600), SEC(31536000), NOW, NOW + SEC(1)};
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        apipool_window_t w = {0};
        apr_time_t back = NOW + SEC(30) - steps[i];
        apipool_window_charge(&w, MINUTE, NOW, 10);
        apipool_window_charge(&w, MINUTE, NOW + SEC(30), 5);
        assert_int_equal(apipool_window_sum(&w, MINUTE, back), 15);
        check_next_free(&w, MINUTE, back, 20, 6);
        assert_false(admits(&w, MINUTE, back, 20, 6));
        apipool_window_charge(&w, MINUTE, back, 3);
        assert_int_equal(apipool_window_sum(&w, MINUTE, back), 18);
        assert_int_equal(apipool_window_sum(&w, MINUTE, back + SEC(30)), 18);
        /* A clock set back by a year does not mean a year of waiting. */
        assert_int_equal(apipool_window_sum(&w, MINUTE, (back > 0 ? back : 0) + SEC(140)), 0);
        assert_true(apipool_window_rate(&w, MINUTE, back) <= 18);
    }
}

static void times_near_zero_and_far_jumps_are_times_too(void **unused)
{
    apipool_window_t w = {0};

    apipool_window_charge(&w, MINUTE, 0, 4);
    assert_int_equal(apipool_window_sum(&w, MINUTE, 0), 4);
    assert_int_equal(apipool_window_rate(&w, MINUTE, 1), 4);
    assert_int_equal(apipool_window_sum(&w, MINUTE, -SEC(5)), 4);
    apipool_window_charge(&w, MINUTE, -SEC(5), 2);
    check_next_free(&w, MINUTE, 0, 6, 1);
    check_next_free(&w, MINUTE, SEC(10), 6, 3);
    assert_int_equal(apipool_window_sum(&w, MINUTE, SEC(61)), 6);
    assert_int_equal(apipool_window_sum(&w, MINUTE, SEC(66)), 0);

    apipool_window_charge(&w, MINUTE, NOW, 1);
    assert_int_equal(apipool_window_sum(&w, MINUTE, NOW), 1);
    apipool_window_charge(&w, MINUTE, NOW + SEC(3000000000), 1);
    assert_int_equal(apipool_window_sum(&w, MINUTE, NOW + SEC(3000000000)), 1);
    check_next_free(&w, MINUTE, NOW + SEC(3000000000), 1, 1);
    for (int span = MINUTE; span <= DAY; span++) { /* beyond what bucket numbers can distinguish */
        memset(&w, 0, sizeof(w));
        apipool_window_charge(&w, span, INT64_MAX / 2, 1);
        assert_int_equal(apipool_window_sum(&w, span, INT64_MAX / 2), 1);
        apipool_window_rate(&w, span, INT64_MAX / 2);
        apipool_window_refund(&w, span, INT64_MAX / 2, INT64_MAX / 2, 1);
        assert_int_equal(apipool_window_sum(&w, span, INT64_MAX / 2), 0);
    }
}

static void a_limit_of_60_never_sends_61(void **unused)
{
    for (int i = 0; i < 1000; i++) {
        apipool_window_t w = {0};
        apr_time_t now = NOW + (apr_time_t)pick(10000000), first = now;
        int sent = 0;
        while (now <= first + SEC(60)) {
            if (admits(&w, MINUTE, now, 60, 1)) {
                apipool_window_charge(&w, MINUTE, now, 1);
                sent++;
            }
            now += SEC(1) / 4;
        }
        assert_int_equal(sent, 60);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_true_span_ever_holds_more_than_the_limit),
        cmocka_unit_test(a_flooded_window_admits_nearly_the_limit_in_each_span),
        cmocka_unit_test(the_sum_and_the_rate_agree_with_what_truly_happened),
        cmocka_unit_test(a_rate_counts_the_oldest_bucket_in_part),
        cmocka_unit_test(a_charge_counts_for_61_to_66_seconds_or_a_day_and_a_minute_to_26_hours),
        cmocka_unit_test(memory_full_of_zeros_is_an_empty_window),
        cmocka_unit_test(
            no_limit_admits_all_and_an_amount_above_the_limit_waits_for_an_empty_window),
        cmocka_unit_test(the_next_free_moment_is_exact),
        cmocka_unit_test(a_refund_goes_to_the_bucket_that_was_charged),
        cmocka_unit_test(a_refund_of_a_bucket_that_is_gone_changes_nothing),
        cmocka_unit_test(a_bucket_saturates),
        cmocka_unit_test(a_clock_set_back_loses_no_charge),
        cmocka_unit_test(times_near_zero_and_far_jumps_are_times_too),
        cmocka_unit_test(a_limit_of_60_never_sends_61),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
