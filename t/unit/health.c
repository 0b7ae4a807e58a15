/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/health: every state with every event, and the length of cooldowns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "health.h"

#define NOW    apr_time_from_sec(1795348800)
#define SEC(n) apr_time_from_sec(n)

#define ACTIVE    APIPOOL_STATE_ACTIVE
#define COOLING   APIPOOL_STATE_COOLING
#define HALF_OPEN APIPOOL_STATE_HALF_OPEN
#define QUOTA     APIPOOL_STATE_QUOTA
#define INVALID   APIPOOL_STATE_INVALID
#define TRIPPED   APIPOOL_STATE_TRIPPED
#define DISABLED  APIPOOL_STATE_DISABLED

static const struct {
    apipool_state_e state;
    apipool_event_e event;
    apipool_state_e next;
} transitions[] = {
    {ACTIVE, APIPOOL_EVENT_NONE, ACTIVE},
    {ACTIVE, APIPOOL_EVENT_SUCCESS, ACTIVE},
    {ACTIVE, APIPOOL_EVENT_RATE_LIMITED, COOLING},
    {ACTIVE, APIPOOL_EVENT_QUOTA_SPENT, QUOTA},
    {ACTIVE, APIPOOL_EVENT_REJECTED, INVALID},
    {ACTIVE, APIPOOL_EVENT_FAILED, ACTIVE},
    {ACTIVE, APIPOOL_EVENT_TRIPPED, TRIPPED},
    {ACTIVE, APIPOOL_EVENT_EXPIRED, ACTIVE},
    {ACTIVE, APIPOOL_EVENT_PROBED, ACTIVE},
    {ACTIVE, APIPOOL_EVENT_REFILLED, ACTIVE},
    {ACTIVE, APIPOOL_EVENT_ENABLED, ACTIVE},
    {ACTIVE, APIPOOL_EVENT_DISABLED, DISABLED},
    {COOLING, APIPOOL_EVENT_NONE, COOLING},
    {COOLING, APIPOOL_EVENT_SUCCESS, COOLING},
    {COOLING, APIPOOL_EVENT_RATE_LIMITED, COOLING},
    {COOLING, APIPOOL_EVENT_QUOTA_SPENT, QUOTA},
    {COOLING, APIPOOL_EVENT_REJECTED, INVALID},
    {COOLING, APIPOOL_EVENT_FAILED, COOLING},
    {COOLING, APIPOOL_EVENT_TRIPPED, TRIPPED},
    {COOLING, APIPOOL_EVENT_EXPIRED, ACTIVE},
    {COOLING, APIPOOL_EVENT_PROBED, COOLING},
    {COOLING, APIPOOL_EVENT_REFILLED, COOLING},
    {COOLING, APIPOOL_EVENT_ENABLED, COOLING},
    {COOLING, APIPOOL_EVENT_DISABLED, DISABLED},
    {HALF_OPEN, APIPOOL_EVENT_NONE, HALF_OPEN},
    {HALF_OPEN, APIPOOL_EVENT_SUCCESS, ACTIVE},
    {HALF_OPEN, APIPOOL_EVENT_RATE_LIMITED, COOLING},
    {HALF_OPEN, APIPOOL_EVENT_QUOTA_SPENT, QUOTA},
    {HALF_OPEN, APIPOOL_EVENT_REJECTED, INVALID},
    {HALF_OPEN, APIPOOL_EVENT_FAILED, HALF_OPEN},
    {HALF_OPEN, APIPOOL_EVENT_TRIPPED, TRIPPED},
    {HALF_OPEN, APIPOOL_EVENT_EXPIRED, HALF_OPEN},
    {HALF_OPEN, APIPOOL_EVENT_PROBED, HALF_OPEN},
    {HALF_OPEN, APIPOOL_EVENT_REFILLED, HALF_OPEN},
    {HALF_OPEN, APIPOOL_EVENT_ENABLED, HALF_OPEN},
    {HALF_OPEN, APIPOOL_EVENT_DISABLED, DISABLED},
    {QUOTA, APIPOOL_EVENT_NONE, QUOTA},
    {QUOTA, APIPOOL_EVENT_SUCCESS, QUOTA},
    {QUOTA, APIPOOL_EVENT_RATE_LIMITED, QUOTA},
    {QUOTA, APIPOOL_EVENT_QUOTA_SPENT, QUOTA},
    {QUOTA, APIPOOL_EVENT_REJECTED, INVALID},
    {QUOTA, APIPOOL_EVENT_FAILED, QUOTA},
    {QUOTA, APIPOOL_EVENT_TRIPPED, QUOTA},
    {QUOTA, APIPOOL_EVENT_EXPIRED, QUOTA},
    {QUOTA, APIPOOL_EVENT_PROBED, HALF_OPEN},
    {QUOTA, APIPOOL_EVENT_REFILLED, ACTIVE},
    {QUOTA, APIPOOL_EVENT_ENABLED, QUOTA},
    {QUOTA, APIPOOL_EVENT_DISABLED, DISABLED},
    {INVALID, APIPOOL_EVENT_NONE, INVALID},
    {INVALID, APIPOOL_EVENT_SUCCESS, INVALID},
    {INVALID, APIPOOL_EVENT_RATE_LIMITED, INVALID},
    {INVALID, APIPOOL_EVENT_QUOTA_SPENT, INVALID},
    {INVALID, APIPOOL_EVENT_REJECTED, INVALID},
    {INVALID, APIPOOL_EVENT_FAILED, INVALID},
    {INVALID, APIPOOL_EVENT_TRIPPED, INVALID},
    {INVALID, APIPOOL_EVENT_EXPIRED, INVALID},
    {INVALID, APIPOOL_EVENT_PROBED, HALF_OPEN},
    {INVALID, APIPOOL_EVENT_REFILLED, INVALID},
    {INVALID, APIPOOL_EVENT_ENABLED, INVALID},
    {INVALID, APIPOOL_EVENT_DISABLED, DISABLED},
    {TRIPPED, APIPOOL_EVENT_NONE, TRIPPED},
    {TRIPPED, APIPOOL_EVENT_SUCCESS, TRIPPED},
    {TRIPPED, APIPOOL_EVENT_RATE_LIMITED, TRIPPED},
    {TRIPPED, APIPOOL_EVENT_QUOTA_SPENT, QUOTA},
    {TRIPPED, APIPOOL_EVENT_REJECTED, INVALID},
    {TRIPPED, APIPOOL_EVENT_FAILED, TRIPPED},
    {TRIPPED, APIPOOL_EVENT_TRIPPED, TRIPPED},
    {TRIPPED, APIPOOL_EVENT_EXPIRED, TRIPPED},
    {TRIPPED, APIPOOL_EVENT_PROBED, HALF_OPEN},
    {TRIPPED, APIPOOL_EVENT_REFILLED, TRIPPED},
    {TRIPPED, APIPOOL_EVENT_ENABLED, TRIPPED},
    {TRIPPED, APIPOOL_EVENT_DISABLED, DISABLED},
    {DISABLED, APIPOOL_EVENT_NONE, DISABLED},
    {DISABLED, APIPOOL_EVENT_SUCCESS, DISABLED},
    {DISABLED, APIPOOL_EVENT_RATE_LIMITED, DISABLED},
    {DISABLED, APIPOOL_EVENT_QUOTA_SPENT, DISABLED},
    {DISABLED, APIPOOL_EVENT_REJECTED, DISABLED},
    {DISABLED, APIPOOL_EVENT_FAILED, DISABLED},
    {DISABLED, APIPOOL_EVENT_TRIPPED, DISABLED},
    {DISABLED, APIPOOL_EVENT_EXPIRED, DISABLED},
    {DISABLED, APIPOOL_EVENT_PROBED, DISABLED},
    {DISABLED, APIPOOL_EVENT_REFILLED, DISABLED},
    {DISABLED, APIPOOL_EVENT_ENABLED, ACTIVE},
    {DISABLED, APIPOOL_EVENT_DISABLED, DISABLED},
};

#define TRANSITIONS (sizeof(transitions) / sizeof(*transitions))

static void every_event_leads_to_the_state_of_the_table(void **unused)
{
    for (size_t i = 0; i < TRANSITIONS; i++) {
        apipool_state_e next = apipool_health_next(transitions[i].state, transitions[i].event);
        if (next != transitions[i].next) {
            fail_msg("state %d, event %d: %d", (int)transitions[i].state, (int)transitions[i].event,
                     (int)next);
        }
    }
}

static void the_table_names_every_state_with_every_event_once(void **unused)
{
    int seen[APIPOOL_STATE_COUNT][APIPOOL_EVENT_COUNT] = {{0}};
    assert_int_equal(TRANSITIONS, APIPOOL_STATE_ORPHANED * APIPOOL_EVENT_COUNT);
    for (size_t i = 0; i < TRANSITIONS; i++) {
        assert_int_equal(seen[transitions[i].state][transitions[i].event]++, 0);
    }
}

static const struct {
    const char *name;
    apr_time_t current, named;
    unsigned streak;
    apr_interval_time_t min, max;
    apr_time_t until;
} cooldowns[] = {
    {"the first lasts the minimum", 0, 0, 0, SEC(1), SEC(60), NOW + SEC(1)},
    {"the second lasts twice as long", 0, 0, 1, SEC(1), SEC(60), NOW + SEC(2)},
    {"the third four times", 0, 0, 2, SEC(1), SEC(60), NOW + SEC(4)},
    {"the sixth 32 times", 0, 0, 5, SEC(1), SEC(60), NOW + SEC(32)},
    {"the seventh is capped", 0, 0, 6, SEC(1), SEC(60), NOW + SEC(60)},
    {"a hundred are capped", 0, 0, 100, SEC(1), SEC(60), NOW + SEC(60)},
    {"all that can be counted are capped", 0, 0, UINT32_MAX, SEC(1), SEC(60), NOW + SEC(60)},
    {"the minimum may be the maximum", 0, 0, 7, SEC(60), SEC(60), NOW + SEC(60)},
    {"a minimum above the maximum is capped", 0, 0, 0, SEC(90), SEC(60), NOW + SEC(60)},
    {"a microsecond doubles too", 0, 0, 10, 1, SEC(60), NOW + 1024},
    {"a day is a possible maximum", 0, 0, 40, 1, SEC(86400), NOW + SEC(86400)},
    {"a named time wins over a shorter one", 0, NOW + SEC(90), 0, SEC(1), SEC(60), NOW + SEC(90)},
    {"a named time wins over a longer one", 0, NOW + SEC(3), 9, SEC(1), SEC(60), NOW + SEC(3)},
    {"a named time in the past is none", 0, NOW - SEC(3), 0, SEC(1), SEC(60), NOW + SEC(1)},
    {"a named time that is now is none", 0, NOW, 1, SEC(1), SEC(60), NOW + SEC(2)},
    {"a running cooldown is not shortened", NOW + SEC(50), 0, 0, SEC(1), SEC(60), NOW + SEC(50)},
    {"nor by a named time", NOW + SEC(50), NOW + SEC(5), 0, SEC(1), SEC(60), NOW + SEC(50)},
    {"a running cooldown is prolonged", NOW + SEC(5), 0, 4, SEC(1), SEC(60), NOW + SEC(16)},
    {"also by a named time", NOW + SEC(5), NOW + SEC(50), 4, SEC(1), SEC(60), NOW + SEC(50)},
    {"a cooldown that is over counts no more", NOW - SEC(5), 0, 0, SEC(1), SEC(60), NOW + SEC(1)},
};

static void cooldowns_last_as_long_as_the_table_says(void **unused)
{
    for (size_t i = 0; i < sizeof(cooldowns) / sizeof(*cooldowns); i++) {
        apr_time_t until =
            apipool_health_cool_until(cooldowns[i].current, cooldowns[i].named, cooldowns[i].streak,
                                      NOW, cooldowns[i].min, cooldowns[i].max);
        if (until != cooldowns[i].until) {
            fail_msg("%s: now + %" APR_TIME_T_FMT, cooldowns[i].name, until - NOW);
        }
    }
}

static void a_longer_streak_never_cools_for_less(void **unused)
{
    apr_time_t last = 0;
    for (unsigned streak = 0; streak < 200; streak++) {
        apr_time_t until = apipool_health_cool_until(0, 0, streak, NOW, 3, SEC(86400));
        assert_true(until > NOW && until <= NOW + SEC(86400));
        assert_true(until >= last);
        last = until;
    }
}

static void only_the_clock_a_balance_and_operators_end_what_an_answer_began(void **unused)
{
    for (int state = 0; state < APIPOOL_STATE_COUNT; state++) {
        for (int event = 0; event < APIPOOL_EVENT_COUNT; event++) {
            if (state != HALF_OPEN && event != APIPOOL_EVENT_EXPIRED &&
                event != APIPOOL_EVENT_REFILLED && event != APIPOOL_EVENT_ENABLED &&
                state != ACTIVE) {
                assert_int_not_equal(
                    apipool_health_next((apipool_state_e)state, (apipool_event_e)event), ACTIVE);
            }
        }
    }
}

static void a_state_is_either_left_by_the_clock_or_by_a_probe_or_by_an_operator(void **unused)
{
    static const int recovering[APIPOOL_STATE_COUNT] = {[QUOTA] = 1, [INVALID] = 1, [TRIPPED] = 1};
    for (int state = 0; state < APIPOOL_STATE_COUNT; state++) {
        assert_int_equal(apipool_health_is_recovering((apipool_state_e)state), recovering[state]);
    }
}

static void states_are_named_as_operators_see_them(void **unused)
{
    static const char *const names[APIPOOL_STATE_COUNT] = {
        "active", "cooling", "half_open", "quota", "invalid", "tripped", "disabled", "orphaned"};
    for (int state = 0; state < APIPOOL_STATE_COUNT; state++) {
        assert_string_equal(apipool_state_name((apipool_state_e)state), names[state]);
    }
}

static void recovery_doubles_from_its_minimum_to_its_maximum(void **unused)
{
    static const int seconds[] = {30, 60, 120, 240, 480, 600, 600};
    for (unsigned tries = 0; tries < 7; tries++) {
        assert_int_equal(apipool_health_recover_at(tries, NOW, SEC(30), SEC(600), 1000),
                         NOW + SEC(seconds[tries]));
    }
    assert_int_equal(apipool_health_recover_at(UINT32_MAX, NOW, SEC(30), SEC(600), 1000),
                     NOW + SEC(600));
    assert_int_equal(apipool_health_recover_at(0, NOW, SEC(90), SEC(60), 1000), NOW + SEC(60));
    assert_int_equal(apipool_health_recover_at(40, NOW, 1, SEC(86400), 1000), NOW + SEC(86400));
}

static void recovery_comes_a_share_sooner_or_later(void **unused)
{
    assert_int_equal(apipool_health_recover_at(1, NOW, SEC(30), SEC(600), 900), NOW + SEC(54));
    assert_int_equal(apipool_health_recover_at(1, NOW, SEC(30), SEC(600), 1100), NOW + SEC(66));
    assert_int_equal(apipool_health_recover_at(9, NOW, SEC(30), SEC(600), 1100), NOW + SEC(660));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_leads_to_the_state_of_the_table),
        cmocka_unit_test(the_table_names_every_state_with_every_event_once),
        cmocka_unit_test(cooldowns_last_as_long_as_the_table_says),
        cmocka_unit_test(a_longer_streak_never_cools_for_less),
        cmocka_unit_test(only_the_clock_a_balance_and_operators_end_what_an_answer_began),
        cmocka_unit_test(a_state_is_either_left_by_the_clock_or_by_a_probe_or_by_an_operator),
        cmocka_unit_test(states_are_named_as_operators_see_them),
        cmocka_unit_test(recovery_doubles_from_its_minimum_to_its_maximum),
        cmocka_unit_test(recovery_comes_a_share_sooner_or_later),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
