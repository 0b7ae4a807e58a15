/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/pool/sessions: ended sessions, wrong passwords, viewers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "pool_fixture.h"
#include "sessions.h"

#define DAY SEC(86400)
#define MS  1000

/* --- Sessions --- */

static void end_session(apr_uint64_t jti, apr_time_t until)
{
    assert_int_equal(apipool_sessions_revoke(segment, jti, until, NOW), APR_SUCCESS);
}

static int is_revoked(apr_uint64_t jti)
{
    return apipool_sessions_is_revoked(segment, jti);
}

/* Numbers like those of sessions. */
static apr_uint64_t nth_jti(apr_uint64_t n)
{
    return (n + 1) * APR_UINT64_C(0x9e3779b97f4a7c15);
}

static void a_session_that_was_ended_is_revoked(void **unused)
{
    assert_int_equal(is_revoked(5), 0);
    end_session(5, NOW + DAY);
    end_session(5, NOW + DAY);
    assert_int_equal(is_revoked(5), 1);
    assert_int_equal(is_revoked(6), 0);
    assert_int_equal(is_revoked(APR_UINT64_C(5) << 32), 0);
}

static void there_is_no_session_without_a_number(void **unused)
{
    assert_int_equal(apipool_sessions_revoke(segment, 0, NOW + DAY, NOW), APR_EINVAL);
    assert_int_equal(is_revoked(0), 1);
}

static void what_is_over_takes_no_place(void **unused)
{
    end_session(5, NOW);
    assert_int_equal(segment->sessions->revoked[0].jti, 0);
    assert_int_equal(is_revoked(5), 0);
}

static void thousands_have_room(void **unused)
{
    for (apr_uint64_t n = 0; n < 6000; n++) {
        end_session(nth_jti(n), NOW + DAY + (apr_time_t)n);
    }
    for (apr_uint64_t n = 0; n < 6000; n++) {
        assert_int_equal(is_revoked(nth_jti(n)), 1);
        assert_int_equal(is_revoked(nth_jti(n + 100000)), 0);
    }
}

/* Killed processes have left a time in each place, but no session. */
static void a_place_without_a_session_is_taken_before_one_with(void **unused)
{
    for (int i = 0; i < APIPOOL_REVOKED_MAX; i++) {
        segment->sessions->revoked[i].until = NOW + 9 * DAY;
    }
    for (apr_uint64_t n = 0; n < 2000; n++) {
        end_session(nth_jti(n), NOW + DAY);
    }
    for (apr_uint64_t n = 0; n < 2000; n++) {
        assert_int_equal(is_revoked(nth_jti(n)), 1);
    }
}

static void those_that_end_first_are_forgotten_first(void **unused)
{
    int early = 0, late = 0;
    for (apr_uint64_t n = 0; n < 2 * APIPOOL_REVOKED_MAX; n++) {
        end_session(nth_jti(n), n % 2 ? NOW + DAY : NOW + SEC(1) + (apr_time_t)n);
        assert_int_equal(is_revoked(nth_jti(n)), 1);
    }
    for (apr_uint64_t n = 0; n < 2 * APIPOOL_REVOKED_MAX; n++) {
        *(n % 2 ? &late : &early) += is_revoked(nth_jti(n));
    }
    assert_in_range(late, APIPOOL_REVOKED_MAX * 9 / 10, APIPOOL_REVOKED_MAX);
    assert_int_equal(early + late, APIPOOL_REVOKED_MAX);
}

static void places_are_used_again(void **unused)
{
    for (apr_uint64_t n = 0; n < 20 * 4096; n++) { /* 4096 at a time */
        apr_time_t now = NOW + (apr_time_t)n;
        assert_int_equal(apipool_sessions_revoke(segment, nth_jti(n), now + 4096, now),
                         APR_SUCCESS);
        assert_int_equal(is_revoked(nth_jti(n)), 1);
        assert_true(n < 4095 || is_revoked(nth_jti(n - 4095)));
    }
}

static void all_are_read_that_are_not_over(void **unused)
{
    apipool_revoked_t rows[100];
    apr_uint32_t from = 0, count, total = 0;
    for (apr_uint64_t n = 0; n < 1000; n++) {
        end_session(nth_jti(n), n % 4 ? NOW + DAY : NOW + SEC(1));
    }
    while (from != APIPOOL_NONE) {
        assert_int_equal(apipool_sessions_read(segment, NOW + SEC(1), &from, rows, 100, &count),
                         APR_SUCCESS);
        for (apr_uint32_t i = 0; i < count; i++) {
            assert_int_equal(rows[i].until, NOW + DAY);
            assert_int_equal(is_revoked(rows[i].jti), 1);
        }
        total += count;
    }
    assert_int_equal(total, 750);
}

/* --- Passwords --- */

static apr_interval_time_t ask(apr_uint64_t address, apr_time_t now)
{
    return apipool_sessions_login_wait(segment, address, now);
}

static void tell(apr_uint64_t address, int right, apr_time_t now)
{
    apipool_sessions_login_result(segment, address, right, now);
}

/* Fails that many times, each time as soon as it may. Returns the time. */
static apr_time_t fail_often(apr_uint64_t address, int times, apr_time_t now)
{
    while (times--) {
        apr_interval_time_t wait = ask(address, now);
        now += wait;
        assert_int_equal(wait ? ask(address, now) : 0, 0);
        tell(address, 0, now);
    }
    return now;
}

static void five_failures_are_free_and_then_waits_double(void **unused)
{
    static const int waits[] = {0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900};
    apr_time_t now = NOW;
    for (size_t i = 0; i < sizeof(waits) / sizeof(*waits); i++) {
        if (waits[i]) {
            assert_int_equal(ask(7, now), SEC(waits[i]));
            assert_int_equal(ask(7, now + SEC(waits[i]) - 1), 1);
        }
        now += SEC(waits[i]);
        assert_int_equal(ask(7, now), 0);
        now += 20 * MS; /* time for the check */
        tell(7, 0, now);
    }
    assert_int_equal(ask(8, now), 0);
}

static void of_a_thousand_at_once_five_are_looked_at(void **unused)
{
    int looked_at = 0;
    for (int i = 0; i < 1000; i++) {
        looked_at += ask(7, NOW + i * MS / 2) == 0;
    }
    assert_int_equal(looked_at, 5);
}

static void a_right_password_ends_the_wait(void **unused)
{
    apr_time_t now = fail_often(7, 9, NOW);
    assert_int_equal(ask(7, now), SEC(16));
    now += SEC(16);
    assert_int_equal(ask(7, now), 0);
    tell(7, 1, now);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(ask(7, now), 0);
        tell(7, 1, now);
    }
}

static void right_passwords_alone_are_no_failures(void **unused)
{
    for (int i = 0; i < 100; i++) {
        assert_int_equal(ask(7, NOW), 0);
        tell(7, 1, NOW);
    }
    assert_int_equal(fail_often(7, 5, NOW), NOW);
}

/* More addresses have to wait than there are places. */
static void one_more_has_to_wait_as_well(void **unused)
{
    for (apr_uint64_t address = 100; address < 100 + APIPOOL_GUESSERS_MAX; address++) {
        fail_often(address, APIPOOL_LOGIN_FAILURES + 2, NOW);
    }
    int looked_at = 0;
    for (int i = 0; i < 1000; i++) {
        looked_at += ask(7, NOW + SEC(1)) == 0;
    }
    assert_int_equal(looked_at, APIPOOL_LOGIN_FAILURES);
}

/* An attacker with a valid password uses it after every four guesses of another one. */
static void a_right_password_in_between_is_no_way_to_guess(void **unused)
{
    int guesses = 0;
    for (apr_time_t now = NOW; now < NOW + SEC(60); now += 5 * MS) {
        int right = guesses % 5 == 4;
        if (!ask(7, now)) {
            tell(7, right, now);
            guesses++;
        }
    }
    assert_in_range(guesses, 5, 60);
}

static void an_hour_without_a_failure_is_forgotten(void **unused)
{
    apr_time_t now = fail_often(7, 9, NOW);
    assert_int_equal(ask(7, now + SEC(3599)), 0);
    assert_int_equal(ask(7, now + SEC(3599)), SEC(32));
    now = fail_often(8, 9, NOW);
    fail_often(8, 5, now + SEC(3600));
    assert_int_equal(ask(8, now + SEC(3600)), SEC(1));
}

static void a_clock_that_is_set_keeps_nobody_out_for_long(void **unused)
{
    fail_often(7, 7, NOW);
    assert_int_equal(ask(7, NOW - SEC(600)), SEC(4));
    assert_int_equal(ask(7, NOW - DAY), 0);
}

static void a_full_table_locks_nobody_out(void **unused)
{
    for (apr_uint64_t address = 1; address <= 50000; address++) {
        for (int i = 0; i < 8; i++) {
            ask(address, NOW);
        }
    }
    for (apr_uint64_t address = 1000000; address < 1001000; address++) {
        assert_int_equal(ask(address, NOW), 0);
        tell(address, 1, NOW);
    }
}

/* An address that failed often is still known after many others failed a few times. */
static void nobody_is_forgotten_for_the_sake_of_others(void **unused)
{
    apr_time_t now = fail_often(7, 9, NOW); /* its next wait is 16 seconds */
    for (apr_uint64_t address = 100; address < 50000; address++) {
        ask(address, now);
        ask(address, now);
    }
    assert_int_equal(ask(7, now), SEC(16));
    now += SEC(16); /* it need not wait any more, but its failures count */
    for (apr_uint64_t address = 50000; address < 100000; address++) {
        ask(address, now);
        ask(address, now);
    }
    assert_int_equal(ask(7, now), 0);
    assert_int_equal(ask(7, now), SEC(32));
}

/* --- Viewers --- */

static int enter_as(apr_uint32_t process, apr_uint64_t place, int max)
{
    segment->process = process;
    return apipool_sessions_viewer_enter(segment, place, max);
}

static void leave_as(apr_uint32_t process, apr_uint64_t place)
{
    segment->process = process;
    apipool_sessions_viewer_leave(segment, place);
}

static void viewers_are_limited_over_all_processes(void **unused)
{
    assert_int_equal(enter_as(100, 7, 0), 0);
    for (apr_uint32_t i = 0; i < 4; i++) {
        assert_int_equal(enter_as(100 + i % 2, 7, 4), 1);
    }
    assert_int_equal(enter_as(100, 7, 4), 0);
    assert_int_equal(enter_as(102, 7, 4), 0);
    leave_as(102, 7); /* there is no such viewer */
    assert_int_equal(enter_as(102, 7, 4), 0);
    leave_as(101, 7);
    assert_int_equal(enter_as(102, 7, 4), 1);
    assert_int_equal(enter_as(102, 7, 5), 1);
}

static void each_place_has_its_own(void **unused)
{
    for (apr_uint32_t i = 0; i < 4; i++) {
        assert_int_equal(enter_as(100, 7, 4), 1);
    }
    assert_int_equal(enter_as(100, 7, 4), 0);
    assert_int_equal(enter_as(100, 0, 1), 1);
    assert_int_equal(enter_as(100, 8, 1), 1);
    leave_as(100, 9); /* nobody watches it */
    assert_int_equal(enter_as(100, 7, 4), 0);
    leave_as(100, 8);
    assert_int_equal(enter_as(100, 7, 4), 0);
    assert_int_equal(enter_as(100, 8, 1), 1);
    assert_int_equal(enter_as(100, 0, 1), 0);
}

static void places_of_a_killed_process_come_back(void **unused)
{
    for (int i = 0; i < 3; i++) {
        assert_int_equal(enter_as(100, 7, 4), 1);
    }
    assert_int_equal(enter_as(200, 7, 4), 1);
    assert_int_equal(apipool_pool_reclaim(segment, 100, NOW), APR_SUCCESS);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(enter_as(300, 7, 4), 1);
    }
    assert_int_equal(enter_as(300, 7, 4), 0);
    assert_int_equal(apipool_pool_reclaim_all(segment, NOW), APR_SUCCESS);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(enter_as(400, 7, 4), 1);
    }
}

static void viewers_of_all_places_are_limited(void **unused)
{
    for (apr_uint32_t i = 0; i < APIPOOL_VIEWERS_MAX; i++) {
        assert_int_equal(enter_as(100 + i % 3, i / 4, 4), 1);
    }
    assert_int_equal(enter_as(100, 1000, 4), 0);
    leave_as(100, 0);
    assert_int_equal(enter_as(100, 1000, 4), 1);
}

/* --- Damage --- */

static void scribble(void *memory, apr_size_t bytes, apr_uint32_t *dice)
{
    apr_uint32_t *words = memory;
    for (apr_size_t i = 0; i < bytes / sizeof(*words); i++) {
        words[i] = next_random(dice) % 3 ? next_random(dice) >> next_random(dice) % 32 : words[i];
    }
}

static void check_use(apr_time_t now)
{
    for (apr_uint64_t n = 1; n < 3000; n++) {
        assert_in_range(ask(n, now), 0, APIPOOL_LOGIN_WAIT_MAX);
        tell(n, n % 2, now);
        assert_int_equal(apipool_sessions_revoke(segment, nth_jti(n), now + DAY, now), APR_SUCCESS);
        assert_int_equal(is_revoked(nth_jti(n)), 1);
    }
}

static void whatever_is_found_makes_sense(void **unused)
{
    for (apr_uint32_t round = 1; round <= 20; round++) {
        apr_uint32_t dice = round;
        scribble(segment->sessions, sizeof(*segment->sessions), &dice);
        segment->sessions->revoked_used %= APIPOOL_REVOKED_MAX + 1;
        assert_int_equal(apipool_rebuild_locked(segment), 1);
        assert_null(consistency_of(segment));
        check_use(NOW);
        assert_int_equal(apipool_pool_reclaim_all(segment, NOW), APR_SUCCESS);
        assert_int_equal(enter_as(100, 7, 1), 1);
        for (apr_uint64_t n = 1; n < 3000; n++) { /* two hours later no address has to wait */
            assert_int_equal(ask(n, NOW + 2 * SEC(3600)), 0);
            tell(n, 1, NOW + 2 * SEC(3600));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_session_that_was_ended_is_revoked),
        TEST(there_is_no_session_without_a_number),
        TEST(what_is_over_takes_no_place),
        TEST(thousands_have_room),
        TEST(a_place_without_a_session_is_taken_before_one_with),
        TEST(those_that_end_first_are_forgotten_first),
        TEST(places_are_used_again),
        TEST(all_are_read_that_are_not_over),
        TEST(five_failures_are_free_and_then_waits_double),
        TEST(of_a_thousand_at_once_five_are_looked_at),
        TEST(a_right_password_ends_the_wait),
        TEST(right_passwords_alone_are_no_failures),
        TEST(one_more_has_to_wait_as_well),
        TEST(a_right_password_in_between_is_no_way_to_guess),
        TEST(an_hour_without_a_failure_is_forgotten),
        TEST(a_clock_that_is_set_keeps_nobody_out_for_long),
        TEST(a_full_table_locks_nobody_out),
        TEST(nobody_is_forgotten_for_the_sake_of_others),
        TEST(viewers_are_limited_over_all_processes),
        TEST(each_place_has_its_own),
        TEST(places_of_a_killed_process_come_back),
        TEST(viewers_of_all_places_are_limited),
        TEST(whatever_is_found_makes_sense),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    apr_initialize();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
