/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/memory/series: minutes and hours, gaps, odd clocks, and agreement with plain
 * sums. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "series.h"

#define NOW     apr_time_from_sec(APR_INT64_C(1795348800)) /* beginning of an hour */
#define SEC(n)  apr_time_from_sec(APR_INT64_C(n))
#define MINUTES APIPOOL_SERIES_MINUTES
#define HOURS   APIPOOL_SERIES_HOURS

static const apipool_finished_t served = {
    .success = 1,
    .attempts = 1,
    .tokens = {.prompt = 100, .completion = 20, .cached = 60, .total = 120},
    .first_byte = 250000,
    .latency = 1500000,
};

static apr_uint64_t seed;

/* Random number below "below", the same in every run. */
static apr_uint64_t pick(apr_uint64_t below)
{
    seed = seed * APR_UINT64_C(6364136223846793005) + APR_UINT64_C(1442695040888963407);
    return (seed >> 33) % below;
}

static apr_uint64_t requests_of(const apipool_series_point_t *points, int count)
{
    apr_uint64_t sum = 0;
    for (int i = 0; i < count; i++) {
        sum += points[i].requests;
    }
    return sum;
}

static void memory_full_of_zeros_reads_as_zeros(void **unused)
{
    apipool_series_t series = {0};
    apipool_series_point_t points[MINUTES];

    assert_int_equal(
        apipool_series_read_locked(&series, APIPOOL_SERIES_BY_MINUTE, NOW, points, MINUTES),
        MINUTES);
    assert_int_equal(requests_of(points, MINUTES), 0);
    for (int i = 0; i < MINUTES; i++) {
        assert_int_equal(points[i].at, NOW - SEC(60) * (MINUTES - 1 - i));
    }
    assert_int_equal(
        apipool_series_read_locked(&series, APIPOOL_SERIES_BY_HOUR, NOW, points, HOURS), HOURS);
    assert_int_equal(requests_of(points, HOURS), 0);
    assert_int_equal(points[0].at, NOW - SEC(3600) * (HOURS - 1));
    assert_int_equal(points[HOURS - 1].at, NOW);
}

static void a_request_is_in_its_minute_and_its_hour(void **unused)
{
    static const struct {
        apipool_series_step_e step;
        int count;
    } reads[] = {{APIPOOL_SERIES_BY_MINUTE, MINUTES}, {APIPOOL_SERIES_BY_HOUR, HOURS}};
    apipool_series_t series = {0};

    apipool_series_add_locked(&series, &served, NOW);
    apipool_series_add_locked(&series, &served, NOW + SEC(59));
    for (int i = 0; i < 2; i++) {
        apipool_series_point_t points[MINUTES], *last = &points[reads[i].count - 1];
        apipool_series_read_locked(&series, reads[i].step, NOW + SEC(59), points, reads[i].count);
        assert_int_equal(requests_of(points, reads[i].count), 2);
        assert_int_equal(last->at, NOW);
        assert_int_equal(last->requests, 2);
        assert_int_equal(last->errors, 0);
        assert_int_equal(last->prompt, 200);
        assert_int_equal(last->completion, 40);
        assert_true(apipool_series_mean_ms(last->first_byte, last->begun) == 250);
        assert_true(apipool_series_mean_ms(last->latency, last->timed) == 1500);
    }
}

static void a_gap_reads_as_zeros_and_an_hour_later_all_minutes_do(void **unused)
{
    apipool_series_t series = {0};
    apipool_series_point_t points[MINUTES];

    apipool_series_add_locked(&series, &served, NOW);
    apipool_series_add_locked(&series, &served, NOW + SEC(60) * 30);
    apipool_series_read_locked(&series, APIPOOL_SERIES_BY_MINUTE, NOW + SEC(60) * 59, points,
                               MINUTES);
    for (int i = 0; i < MINUTES; i++) {
        assert_int_equal(points[i].requests, i == 0 || i == 30);
    }
    apipool_series_read_locked(&series, APIPOOL_SERIES_BY_MINUTE, NOW + SEC(60) * 60, points,
                               MINUTES);
    assert_int_equal(requests_of(points, MINUTES), 1);
    apipool_series_read_locked(&series, APIPOOL_SERIES_BY_MINUTE, NOW + SEC(60) * 90, points,
                               MINUTES);
    assert_int_equal(requests_of(points, MINUTES), 0);
    apipool_series_read_locked(&series, APIPOOL_SERIES_BY_HOUR, NOW + SEC(3600) * 47, points,
                               HOURS);
    assert_int_equal(points[0].requests, 2);
    apipool_series_read_locked(&series, APIPOOL_SERIES_BY_HOUR, NOW + SEC(3600) * 48, points,
                               HOURS);
    assert_int_equal(requests_of(points, HOURS), 0);
}

static void a_place_that_is_taken_again_begins_at_zero(void **unused)
{
    apipool_series_t series = {0};
    apipool_series_point_t point;

    for (int i = 0; i < 5; i++) {
        apipool_series_add_locked(&series, &served, NOW);
    }
    apipool_series_add_locked(&series, &served, NOW + SEC(3600));
    assert_int_equal(
        apipool_series_read_locked(&series, APIPOOL_SERIES_BY_MINUTE, NOW + SEC(3600), &point, 1),
        1);
    assert_int_equal(point.requests, 1);
    assert_int_equal(point.latency, 1500000);
}

static void fewer_points_are_the_latest_and_more_than_there_are_are_not_given(void **unused)
{
    apipool_series_t series = {0};
    apipool_series_point_t points[MINUTES];

    apipool_series_add_locked(&series, &served, NOW);
    assert_int_equal(apipool_series_read_locked(&series, APIPOOL_SERIES_BY_HOUR, NOW, points, 24),
                     24);
    assert_int_equal(points[23].requests, 1);
    assert_int_equal(points[0].at, NOW - SEC(3600) * 23);
    assert_int_equal(
        apipool_series_read_locked(&series, APIPOOL_SERIES_BY_HOUR, NOW, points, MINUTES), HOURS);
    assert_int_equal(apipool_series_read_locked(&series, APIPOOL_SERIES_BY_HOUR, NOW, points, 0),
                     0);
    assert_int_equal(apipool_series_read_locked(&series, APIPOOL_SERIES_BY_HOUR, NOW, points, -1),
                     0);
}

static void what_is_not_known_is_not_averaged_and_estimates_are_left_out(void **unused)
{
    apipool_series_t series = {0};
    apipool_series_point_t point;
    apipool_finished_t finished = served;

    finished.estimated = 1;
    finished.first_byte = -1;
    finished.latency = -1;
    apipool_series_add_locked(&series, &finished, NOW);
    finished.estimated = 0;
    finished.success = 0;
    finished.error = 1;
    finished.tokens = (apipool_usage_t){-1, -1, -1, -1};
    apipool_series_add_locked(&series, &finished, NOW);
    apipool_series_read_locked(&series, APIPOOL_SERIES_BY_MINUTE, NOW, &point, 1);
    assert_int_equal(point.requests, 2);
    assert_int_equal(point.errors, 1);
    assert_int_equal(point.prompt, 0);
    assert_int_equal(point.completion, 0);
    assert_true(apipool_series_mean_ms(point.first_byte, point.begun) == -1);
    assert_true(apipool_series_mean_ms(point.latency, point.timed) == -1);
}

static void a_clock_that_is_set_finds_each_minute_where_it_belongs(void **unused)
{
    apipool_series_t series = {0};
    apipool_series_point_t points[MINUTES];

    apipool_series_add_locked(&series, &served, NOW);
    apipool_series_add_locked(&series, &served, NOW - SEC(60) * 5);
    apipool_series_add_locked(&series, &served, NOW + SEC(86400) * 365 + SEC(60) * 7);
    apipool_series_read_locked(&series, APIPOOL_SERIES_BY_MINUTE, NOW, points, MINUTES);
    assert_int_equal(points[MINUTES - 1].requests, 1);
    assert_int_equal(points[MINUTES - 6].requests, 1);
    assert_int_equal(requests_of(points, MINUTES), 2);
}

static void times_near_zero_and_far_away_are_times_too(void **unused)
{
    static const apr_time_t times[] = {-1, 0, 1, SEC(3600), SEC(3600) * 30, INT64_MAX};

    for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
        for (int step = APIPOOL_SERIES_BY_MINUTE; step <= APIPOOL_SERIES_BY_HOUR; step++) {
            apipool_series_t series = {0};
            apipool_series_point_t points[MINUTES];
            int count;
            apipool_series_add_locked(&series, &served, times[i]);
            count = apipool_series_read_locked(&series, step, times[i], points, MINUTES);
            assert_int_equal(requests_of(points, count), 1);
            assert_int_equal(points[count - 1].requests, 1);
        }
    }
}

/* Events in their true order. */
typedef struct {
    apr_time_t at;
    apipool_finished_t finished;
} event_t;

#define EVENTS 4000

static event_t events[EVENTS];

static apr_int64_t some_tokens(void)
{
    return (apr_int64_t)pick(5000) - 1000 < 0 ? -1 : (apr_int64_t)pick(5000);
}

static apipool_finished_t some_request(void)
{
    int success = pick(3) > 0;
    return (apipool_finished_t){
        .success = success,
        .error = !success && pick(2),
        .attempts = (apr_uint32_t)pick(4),
        .estimated = pick(5) == 0,
        .tokens = {some_tokens(), some_tokens(), some_tokens(), some_tokens()},
        .first_byte = pick(4) ? (apr_interval_time_t)pick(30000000) : -1,
        .latency = pick(4) ? (apr_interval_time_t)pick(300000000) : -1,
    };
}

static apr_time_t some_jump(void)
{
    switch (pick(100)) {
    case 0:
        return (apr_time_t)pick(1000000) * SEC(1);
    case 1:
        return -(apr_time_t)pick(1000000) * SEC(1);
    case 2:
        return -(apr_time_t)pick(200) * SEC(1);
    case 3:
        return (apr_time_t)pick(7200) * SEC(1);
    default:
        return (apr_time_t)pick(20000000);
    }
}

/* Plain sums of the requests of a minute or hour, unless another one has taken its place since. */
static apipool_series_point_t truth(int count, apr_interval_time_t width, int size,
                                    apr_int64_t number)
{
    apipool_series_point_t sum = {.at = number * width};
    while (count-- > 0) {
        const apipool_finished_t *f = &events[count].finished;
        apr_int64_t other = events[count].at / width;
        if (other % size != number % size) {
            continue;
        }
        if (other != number) {
            break;
        }
        sum.requests++;
        sum.errors += (apr_uint64_t)f->error;
        sum.prompt += !f->estimated && f->tokens.prompt > 0 ? (apr_uint64_t)f->tokens.prompt : 0;
        sum.completion +=
            !f->estimated && f->tokens.completion > 0 ? (apr_uint64_t)f->tokens.completion : 0;
        sum.begun += f->first_byte >= 0;
        sum.timed += f->latency >= 0;
        sum.first_byte += f->first_byte >= 0 ? (apr_uint64_t)f->first_byte : 0;
        sum.latency += f->latency >= 0 ? (apr_uint64_t)f->latency : 0;
    }
    return sum;
}

static void compare(const apipool_series_t *series, int count, apr_time_t now)
{
    static const struct {
        apr_interval_time_t width;
        int size;
    } rings[] = {[APIPOOL_SERIES_BY_MINUTE] = {SEC(60), MINUTES},
                 [APIPOOL_SERIES_BY_HOUR] = {SEC(3600), HOURS}};

    for (int step = APIPOOL_SERIES_BY_MINUTE; step <= APIPOOL_SERIES_BY_HOUR; step++) {
        apipool_series_point_t points[MINUTES];
        int n = apipool_series_read_locked(series, step, now, points, MINUTES);
        assert_int_equal(n, rings[step].size);
        for (int i = 0; i < n; i++) {
            apr_int64_t number = now / rings[step].width - (n - 1 - i);
            apipool_series_point_t wanted = truth(count, rings[step].width, n, number);
            assert_memory_equal(&points[i], &wanted, sizeof(wanted));
        }
    }
}

static void history_agrees_with_the_plain_sums_whatever_the_clock_does(void **unused)
{
    for (apr_uint64_t run = 1; run <= 5; run++) {
        apipool_series_t series = {0};
        apr_time_t now = NOW;
        seed = run;
        for (int i = 0; i < EVENTS; i++) {
            now += some_jump();
            events[i] = (event_t){now, some_request()};
            apipool_series_add_locked(&series, &events[i].finished, now);
            if (pick(50) == 0) {
                compare(&series, i + 1, now + (apr_time_t)pick(2) * some_jump());
            }
        }
        compare(&series, EVENTS, now);
    }
}

/* Without jumps of the clock, the history of an hour holds everything that the counters do. */
static void history_and_counters_agree(void **unused)
{
    apipool_series_t series = {0};
    apipool_counters_t counters = {0};
    apipool_series_point_t points[MINUTES], sum = {0};
    apipool_counters_snapshot_t s;
    apr_time_t now = NOW;

    for (seed = 7; now < NOW + SEC(3500); now += (apr_time_t)pick(5000000)) {
        apipool_finished_t finished = some_request();
        apipool_series_add_locked(&series, &finished, now);
        apipool_counters_add(&counters, &finished, now);
    }
    apipool_counters_read(&counters, NOW + SEC(3599), &s);
    for (int step = APIPOOL_SERIES_BY_MINUTE; step <= APIPOOL_SERIES_BY_HOUR; step++) {
        int n = apipool_series_read_locked(&series, step, NOW + SEC(3599), points, MINUTES);
        sum = (apipool_series_point_t){0};
        for (int i = 0; i < n; i++) {
            sum.requests += points[i].requests;
            sum.errors += points[i].errors;
            sum.prompt += points[i].prompt;
            sum.completion += points[i].completion;
        }
        assert_true(s.requests > 1000);
        assert_int_equal(sum.requests, s.requests);
        assert_int_equal(sum.errors, s.errors);
        assert_int_equal(sum.prompt, s.prompt);
        assert_int_equal(sum.completion, s.completion);
        assert_int_equal((apr_int64_t)sum.requests, s.rpd);
    }
}

/* The same for sums and averages of the counters, which do not depend on the clock. */
static void counters_agree_with_a_plain_count_whatever_the_clock_does(void **unused)
{
    apipool_counters_t counters = {0};
    apipool_counters_snapshot_t s, sum = {0};
    double success = 0, latency = 0, first_byte = 0;
    double judged = 0, timed = 0, begun = 0;
    apr_time_t now = NOW;

    seed = 11;
    for (int i = 0; i < EVENTS; i++) {
        apipool_finished_t f = some_request();
        apipool_usage_t t = f.tokens;
        apr_int64_t total =
            t.total >= 0 ? t.total
                         : (t.prompt > 0 ? t.prompt : 0) + (t.completion > 0 ? t.completion : 0);
        now += some_jump();
        apipool_counters_add(&counters, &f, now);
        sum.requests++;
        sum.attempts += f.attempts;
        sum.successes += (apr_uint64_t)f.success;
        sum.errors += (apr_uint64_t)f.error;
        sum.estimated += f.estimated ? (apr_uint64_t)total : 0;
        sum.total += f.estimated ? 0 : (apr_uint64_t)total;
        sum.prompt += !f.estimated && t.prompt > 0 ? (apr_uint64_t)t.prompt : 0;
        sum.completion += !f.estimated && t.completion > 0 ? (apr_uint64_t)t.completion : 0;
        sum.cached += !f.estimated && t.cached > 0 ? (apr_uint64_t)t.cached : 0;
        if (f.success || f.error) {
            judged += judged < 20;
            success += (f.success - success) / judged;
        }
        if (f.latency >= 0) {
            timed += timed < 20;
            latency += ((double)f.latency / 1000 - latency) / timed;
        }
        if (f.first_byte >= 0) {
            begun += begun < 20;
            first_byte += ((double)f.first_byte / 1000 - first_byte) / begun;
        }
        apipool_counters_read(&counters, now, &s);
        assert_memory_equal(&s, &sum, offsetof(apipool_counters_snapshot_t, rpm));
        assert_true(s.rpm >= 1 && s.rpm <= s.rpd && s.rpd <= i + 1 && s.tpm <= s.tpd);
        assert_true(s.tpd <= (apr_int64_t)s.total);
        assert_true(s.success_rate - success < 1e-9 && success - s.success_rate < 1e-9);
        assert_true(s.latency_ms - latency < 1e-3 && latency - s.latency_ms < 1e-3);
        assert_true(s.first_byte_ms - first_byte < 1e-3 && first_byte - s.first_byte_ms < 1e-3);
    }
}

static void success_is_of_the_range_and_leaves_the_clients_mistakes_apart(void **unused)
{
    static const struct {
        apipool_kind_e kind;
        int times;
    } rows[] = {{APIPOOL_KIND_NONE, 6},
                {APIPOOL_KIND_CLIENT, 90},
                {APIPOOL_KIND_KEY, 1},
                {APIPOOL_KIND_UPSTREAM, 1}};
    apipool_series_t series = {0};
    apipool_series_point_t point = {0};

    assert_true(apipool_series_success_rate(&point) < 0);
    for (size_t row = 0; row < sizeof(rows) / sizeof(*rows); row++) {
        for (int i = 0; i < rows[row].times; i++) {
            const apipool_finished_t one = {.kind = rows[row].kind,
                                            .success = !rows[row].kind,
                                            .error = rows[row].kind > APIPOOL_KIND_CLIENT};
            apipool_series_add_locked(&series, &one, NOW);
        }
    }
    apipool_series_read_locked(&series, APIPOOL_SERIES_BY_MINUTE, NOW, &point, 1);
    assert_true(point.requests == 98 && point.errors == 2);
    assert_true(point.of_clients == 90 && point.of_keys == 1);
    assert_true(apipool_series_success_rate(&point) == 0.75);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_full_of_zeros_reads_as_zeros),
        cmocka_unit_test(a_request_is_in_its_minute_and_its_hour),
        cmocka_unit_test(a_gap_reads_as_zeros_and_an_hour_later_all_minutes_do),
        cmocka_unit_test(a_place_that_is_taken_again_begins_at_zero),
        cmocka_unit_test(fewer_points_are_the_latest_and_more_than_there_are_are_not_given),
        cmocka_unit_test(what_is_not_known_is_not_averaged_and_estimates_are_left_out),
        cmocka_unit_test(a_clock_that_is_set_finds_each_minute_where_it_belongs),
        cmocka_unit_test(times_near_zero_and_far_away_are_times_too),
        cmocka_unit_test(history_agrees_with_the_plain_sums_whatever_the_clock_does),
        cmocka_unit_test(history_and_counters_agree),
        cmocka_unit_test(success_is_of_the_range_and_leaves_the_clients_mistakes_apart),
        cmocka_unit_test(counters_agree_with_a_plain_count_whatever_the_clock_does),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("series", tests, NULL, NULL);
}
