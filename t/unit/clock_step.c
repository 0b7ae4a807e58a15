/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/pool/clock_step: a clock that is set changes no wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <apr_general.h>

#include "account.h"
#include "clock_step.h"
#include "consistency.h"
#include "pool_fixture.h"

#define AHEAD SEC(1000) /* of the steady clock, before the clock is set */

static apr_interval_time_t set_by(apr_interval_time_t ahead)
{
    apr_interval_time_t step;
    assert_int_equal(apipool_clock_step(segment, ahead, &step), APR_SUCCESS);
    assert_null(consistency_of(segment));
    return step;
}

static const apr_interval_time_t steps[] = {SEC(-3600 * 30), SEC(-7), SEC(1), SEC(86400 * 365)};

#define STEPS (sizeof(steps) / sizeof(*steps))

static void what_was_decided_for_two_seconds_lasts_two_seconds(void **unused)
{
    for (size_t i = 0; i < STEPS; i++) {
        fixture_t *f = open_with(CAPACITY);
        apr_time_t now = NOW;
        add_many(upstream_a, "a", 2);
        set_by(AHEAD);
        assert_int_equal(acquire_for(5, now), APIPOOL_ACQUIRED);
        report(APIPOOL_RULE_RATE_LIMIT, now + SEC(2), now); /* of the model */
        assert_int_equal(acquire(now), APIPOOL_ACQUIRED);
        report(APIPOOL_RULE_RATE_LIMIT, now + SEC(2), now); /* of a key */
        assert_int_equal(acquire_for(5, now), APIPOOL_ALL_COOLING);
        assert_int_equal(retry_at, now + SEC(2));
        assert_int_equal(set_by(AHEAD + steps[i]), steps[i]);
        now += steps[i];
        assert_int_equal(acquire_for(5, now + SEC(2) - 1), APIPOOL_ALL_COOLING);
        assert_int_equal(retry_at, now + SEC(2));
        assert_int_equal(acquire_for(5, now + SEC(2)), APIPOOL_ACQUIRED);
        report(APIPOOL_RULE_SUCCESS, 0, now + SEC(2));
        fixture_close(f);
    }
}

static void a_probe_is_due_when_it_was(void **unused)
{
    apipool_lease_t lent;
    apipool_state_e state;
    for (size_t i = 0; i < STEPS; i++) {
        fixture_t *f = open_with(CAPACITY);
        probed = 0;
        add(upstream_a, "sk-1");
        set_by(AHEAD);
        check_acquires("sk-1", NOW);
        report(APIPOOL_RULE_CREDENTIAL, 0, NOW);
        apr_time_t due = slot_of("sk-1")->until[0];
        set_by(AHEAD + steps[i]);
        assert_int_equal(slot_of("sk-1")->until[0], due + steps[i]);
        assert_false(lend_due(upstream_a, due + steps[i] - 1, &lent, &state));
        assert_true(lend_due(upstream_a, due + steps[i], &lent, &state));
        fixture_close(f);
    }
    probed = 1;
}

static void a_limit_counts_as_long_as_before(void **unused)
{
    for (size_t i = 0; i < STEPS; i++) {
        fixture_t *f = open_with(CAPACITY);
        add(upstream_a, "sk-1");
        limits = (apipool_key_limits_t){.rpm = 1, .rpd = 2};
        set_by(AHEAD);
        check_acquires("sk-1", NOW);
        report(APIPOOL_RULE_SUCCESS, 0, NOW);
        set_by(AHEAD + steps[i]);
        assert_int_equal(acquire(NOW + steps[i] + SEC(60)), APIPOOL_ALL_COOLING);
        apr_interval_time_t left = retry_at - (NOW + steps[i]);
        assert_true(left > SEC(60) && left < SEC(71));
        limits = (apipool_key_limits_t){0};
        fixture_close(f);
    }
}

static void a_pause_is_as_long_as_before(void **unused)
{
    fixture_t *f = open_with(CAPACITY);
    add_many(upstream_a, "a", 20);
    set_by(AHEAD);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        report(APIPOOL_RULE_RATE_LIMIT, NOW + SEC(30), NOW);
    }
    assert_int_equal(outcome.rule, APIPOOL_RULE_SHARED_FATE);
    set_by(AHEAD + SEC(-3600));
    assert_int_equal(acquire(NOW - SEC(3600) + SEC(29)), APIPOOL_ALL_COOLING);
    assert_int_equal(retry_at, NOW - SEC(3600) + SEC(30));
    fixture_close(f);
}

static void a_clock_that_drifts_is_left_alone(void **unused)
{
    fixture_t *f = open_with(CAPACITY);
    add(upstream_a, "sk-1");
    assert_int_equal(set_by(AHEAD), 0);
    check_acquires("sk-1", NOW);
    report(APIPOOL_RULE_CREDENTIAL, 0, NOW);
    apr_time_t due = slot_of("sk-1")->until[0];
    for (int i = 1; i < 100; i++) {
        assert_int_equal(set_by(AHEAD + i * SEC(1) / 10), 0);
    }
    assert_int_equal(slot_of("sk-1")->until[0], due);
    fixture_close(f);
}

static int is_about(apr_time_t when, apr_time_t other)
{
    return when > other - SEC(20) && when < other + SEC(20); /* a busy machine */
}

/* A step gives no key too early: until it has been followed, there is none. */
static void time_goes_on_as_before_until_a_step_is_followed(void **unused)
{
    fixture_t *f = open_with(CAPACITY);
    assert_true(is_about(apipool_clock_now(segment), apr_time_now()));
    apr_interval_time_t ahead = apr_time_now() - apipool_clock_steady();
    set_by(ahead - SEC(3600)); /* an hour has passed on the system's clock since */
    assert_true(is_about(apipool_clock_now(segment), apr_time_now() - SEC(3600)));
    assert_true(is_about(set_by(ahead), SEC(3600)));
    assert_true(is_about(apipool_clock_now(segment), apr_time_now()));
    fixture_close(f);
}

static void an_account_is_limited_as_long_as_before(void **unused)
{
    for (size_t i = 0; i < STEPS; i++) {
        fixture_t *f = open_with(CAPACITY);
        set_by(AHEAD);
        apipool_account_limit_locked(segment, 0, 7, 0, 0, NOW + SEC(2), NOW);
        set_by(AHEAD + steps[i]);
        const apipool_account_limit_t *limit =
            apipool_account_find_locked(segment, 0, 7, 0, NOW + steps[i]);
        assert_non_null(limit);
        assert_int_equal(limit->begun_at, NOW + steps[i]);
        assert_int_equal(limit->until, NOW + steps[i] + SEC(2));
        fixture_close(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_decided_for_two_seconds_lasts_two_seconds),
        cmocka_unit_test(a_probe_is_due_when_it_was),
        cmocka_unit_test(a_limit_counts_as_long_as_before),
        cmocka_unit_test(a_pause_is_as_long_as_before),
        cmocka_unit_test(a_clock_that_drifts_is_left_alone),
        cmocka_unit_test(time_goes_on_as_before_until_a_step_is_followed),
        cmocka_unit_test(an_account_is_limited_as_long_as_before),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests_name("clock_step", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
