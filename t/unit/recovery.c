/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/pool/recovery: keys for probes, their times, and effects of answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "pool_fixture.h"
#include "slots.h"

#define HOUR SEC(3600)

static apipool_lease_t lent;
static apipool_state_e state;

static int open_unprobed(void **fixture)
{
    open_segment(fixture);
    probed = 0;
    return 0;
}

/* Only key, after that verdict. */
static apipool_slot_t *lose_by(apipool_rule_e rule)
{
    add(upstream_a, "sk-1");
    check_acquires("sk-1", NOW);
    report(rule, 0, NOW);
    assert_int_equal(outcome.lost, 1);
    return slot_of("sk-1");
}

static void check_due(apr_time_t now)
{
    assert_false(lend_due(upstream_a, now - 1, &lent, &state));
    assert_true(lend_due(upstream_a, now, &lent, &state));
}

/* Answer with the balance. */
static void tell_balance(double amount, int enough, apr_time_t now)
{
    apipool_probe_report_t what = {.result =
                                       enough ? APIPOOL_PROBED_ACCEPTED : APIPOOL_PROBED_SPENT,
                                   .has_balance = 1,
                                   .balances = {.count = 1, .of = {{amount, "USD"}}},
                                   .status = 200,
                                   .policy = &policy};
    assert_int_equal(apipool_recovery_probed(segment, &lent, &what, now, &outcome), APR_SUCCESS);
}

static int lend_balance(apr_time_t now)
{
    return lend_probe(upstream_a, APIPOOL_PROBE_BALANCE, HOUR, now, &lent, &state);
}

static void no_request_gets_a_key_before_a_probe_has_accepted_it(void **unused)
{
    static const apipool_rule_e rules[] = {APIPOOL_RULE_QUOTA, APIPOOL_RULE_CREDENTIAL};
    for (int i = 0; i < 2; i++) {
        char name[16];
        snprintf(name, sizeof(name), "sk-%d", i);
        apr_time_t now = NOW + i * HOUR;
        add(upstream_a, name);
        check_acquires(name, now);
        report(rules[i], 0, now);
        assert_int_equal(acquire(now + SEC(3000)), APIPOOL_EXHAUSTED);
        check_due(now + SEC(30));
        assert_int_equal(state, i ? APIPOOL_STATE_INVALID : APIPOOL_STATE_QUOTA);
        assert_string_equal(lent.key, name);
        assert_int_equal(acquire(now + SEC(3000)), APIPOOL_EXHAUSTED);
        tell_probe(&lent, APIPOOL_PROBED_ACCEPTED, now + SEC(31));
        assert_int_equal(outcome.state, APIPOOL_STATE_HALF_OPEN);
        check_acquires(name, now + SEC(31));
        assert_true(lease.proving);
        assert_int_equal(acquire(now + SEC(31)), APIPOOL_ALL_BUSY);
        report(APIPOOL_RULE_SUCCESS, 0, now + SEC(32));
        assert_int_equal(slot_of(name)->recover_tries, 0);
        slot_of(name)->state = APIPOOL_STATE_DISABLED;
        apipool_members_settle_locked(segment, lent.slot);
    }
}

static void a_key_is_lent_to_one_probe_at_a_time_and_counts_no_request(void **unused)
{
    const apipool_slot_t *slot = lose_by(APIPOOL_RULE_CREDENTIAL);
    check_due(NOW + SEC(30));
    assert_false(lend_due(upstream_a, NOW + HOUR, &lease, &state));
    assert_int_equal(slot->in_flight, 0);
    assert_int_equal(slot->counts.requests, 1);
    assert_null(consistency_of(segment));
    tell_probe(&lent, APIPOOL_PROBED_UNKNOWN, NOW + SEC(31));
    assert_int_equal(totals_of(upstream_a).requests, 1);
}

static void every_refusal_doubles_the_interval(void **unused)
{
    static const int seconds[] = {60, 120, 240, 480, 960, 1920, 3600, 3600};
    apr_time_t now = NOW + SEC(30);
    lose_by(APIPOOL_RULE_CREDENTIAL);
    for (size_t i = 0; i < sizeof(seconds) / sizeof(*seconds); i++) {
        check_due(now);
        tell_probe(&lent, i % 2 ? APIPOOL_PROBED_SPENT : APIPOOL_PROBED_REJECTED, now);
        assert_int_equal(outcome.state, i % 2 ? APIPOOL_STATE_QUOTA : APIPOOL_STATE_INVALID);
        assert_int_equal(outcome.lost, 0);
        now += SEC(seconds[i]);
    }
}

static void an_answer_that_tells_nothing_keeps_the_interval(void **unused)
{
    apr_time_t now = NOW + SEC(30);
    const apipool_slot_t *slot = lose_by(APIPOOL_RULE_CREDENTIAL);
    check_due(now);
    tell_probe(&lent, APIPOOL_PROBED_REJECTED, now);
    now += SEC(60);
    for (int i = 0; i < 60; i++) { /* the upstream is down for an hour */
        check_due(now);
        tell_probe(&lent, APIPOOL_PROBED_UNKNOWN, now + SEC(20)); /* counts from the beginning of
                                                                   * the probe */
        assert_int_equal(slot->state, APIPOOL_STATE_INVALID);
        now += SEC(60);
    }
    check_due(now);
    tell_probe(&lent, APIPOOL_PROBED_ACCEPTED, now);
    check_acquires("sk-1", now);
    report(APIPOOL_RULE_CREDENTIAL, 0, now);
    check_due(now + SEC(120)); /* accepted, but it did not work: two tries have failed */
    tell_probe(&lent, APIPOOL_PROBED_UNKNOWN, now);
}

static void a_probe_that_dies_is_repeated_after_the_interval(void **unused)
{
    const apipool_slot_t *slot = lose_by(APIPOOL_RULE_CREDENTIAL);
    segment->process = 100;
    check_due(NOW + SEC(30));
    assert_int_equal(apipool_pool_reclaim(segment, 100, NOW), APR_SUCCESS);
    assert_int_equal(slot->in_flight, 0);
    assert_int_equal(slot->counts.requests, 1);
    check_due(NOW + SEC(60));
    assert_int_equal(apipool_pool_reclaim_all(segment, NOW), APR_SUCCESS);
    check_due(NOW + SEC(90));
    tell_probe(&lent, APIPOOL_PROBED_ACCEPTED, NOW + SEC(90));
    check_acquires("sk-1", NOW + SEC(90));
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(90));
}

static void the_one_that_waits_longest_goes_first(void **unused)
{
    add_many(upstream_a, "a", 100);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(acquire(NOW + 100 - i), APIPOOL_ACQUIRED);
        segment->upstreams[upstream_a].refusals.count = 0; /* else the upstream is to blame */
        report(APIPOOL_RULE_CREDENTIAL, 0, NOW + 100 - i);
    }
    for (int i = 99; i >= 0; i--) {
        char name[16];
        snprintf(name, sizeof(name), "a%03d", i);
        assert_true(lend_due(upstream_a, NOW + HOUR, &lent, &state));
        assert_string_equal(lent.key, name);
        tell_probe(&lent, APIPOOL_PROBED_ACCEPTED, NOW + HOUR);
    }
    assert_false(lend_due(upstream_a, NOW + HOUR, &lent, &state));
    assert_false(lend_due(upstream_b, NOW + HOUR, &lent, &state));
    assert_int_equal(totals_of(upstream_a).keys[APIPOOL_STATE_HALF_OPEN], 100);
}

static void intervals_differ_by_a_tenth(void **unused)
{
    apr_time_t least = NOW + HOUR, most = 0;
    policy.recover_spread = 100;
    add_many(upstream_a, "a", 150);
    for (int i = 0; i < 150; i++) {
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        segment->upstreams[upstream_a].refusals.count = 0;
        report(APIPOOL_RULE_CREDENTIAL, 0, NOW);
        apr_time_t until = segment->slots[lease.slot].until[0];
        least = until < least ? until : least;
        most = until > most ? until : most;
    }
    assert_in_range(least - NOW, SEC(27), SEC(28));
    assert_in_range(most - NOW, SEC(32), SEC(33));
}

static void what_a_probe_says_is_newer_than_what_made_the_key_wait(void **unused)
{
    lose_by(APIPOOL_RULE_CREDENTIAL);
    check_due(NOW + SEC(30));
    tell_probe(&lent, APIPOOL_PROBED_SPENT, NOW + SEC(30)); /* the credential is valid again */
    assert_int_equal(outcome.state, APIPOOL_STATE_QUOTA);
    check_due(NOW + SEC(90));
    tell_probe(&lent, APIPOOL_PROBED_REJECTED, NOW + SEC(90));
    assert_int_equal(outcome.state, APIPOOL_STATE_INVALID);
}

static void an_upstream_without_that_request_needs_real_ones(void **unused)
{
    apr_time_t now = NOW + SEC(30);
    lose_by(APIPOOL_RULE_CREDENTIAL);
    for (int i = 1; i < APIPOOL_NOT_FOUND_MAX; i++) {
        check_due(now);
        tell_probe(&lent, APIPOOL_PROBED_NOT_FOUND, now);
        assert_int_equal(outcome.state, APIPOOL_STATE_INVALID);
        now += SEC(30);
    }
    check_due(now);
    tell_probe(&lent, APIPOOL_PROBED_NOT_FOUND, now);
    assert_int_equal(outcome.state, APIPOOL_STATE_HALF_OPEN);
    check_acquires("sk-1", now);
    report(APIPOOL_RULE_CREDENTIAL, 0, now);
    check_due(now + SEC(60));
    tell_probe(&lent, APIPOOL_PROBED_REJECTED, now + SEC(60)); /* the upstream has such a request
                                                                * after all */
    check_due(now + SEC(180));
    tell_probe(&lent, APIPOOL_PROBED_NOT_FOUND, now + SEC(180));
    assert_int_equal(outcome.state, APIPOOL_STATE_INVALID);
}

static void tell_of_balance(apipool_probed_e result, apr_time_t now)
{
    apipool_probe_report_t what = {.result = result,
                                   .asked_balance = 1,
                                   .has_balance = result == APIPOOL_PROBED_EMPTY,
                                   .balances = {.count = 1, .of = {{-2, "CNY"}}},
                                   .status = 200,
                                   .policy = &policy};
    assert_int_equal(apipool_recovery_probed(segment, &lent, &what, now, &outcome), APR_SUCCESS);
}

/* SiliconFlow's keys: the list of models is told, the balance is not. */
static void a_balance_that_cannot_be_asked_is_counted_apart(void **unused)
{
    apr_time_t now = NOW + SEC(30);
    lose_by(APIPOOL_RULE_QUOTA);
    add(upstream_a, "sk-2");
    for (int i = 1; i <= APIPOOL_NOT_FOUND_MAX; i++) {
        assert_int_equal(apipool_recovery_lend(segment, 0, slot_of("sk-2")->id, now, &lent),
                         APR_SUCCESS);
        tell_probe(&lent, APIPOOL_PROBED_ACCEPTED, now);
        check_due(now);
        tell_of_balance(APIPOOL_PROBED_NOT_FOUND, now);
        assert_int_equal(outcome.state,
                         i < APIPOOL_NOT_FOUND_MAX ? APIPOOL_STATE_QUOTA : APIPOOL_STATE_HALF_OPEN);
        now += SEC(30);
    }
}

static void a_number_alone_takes_out_no_key(void **unused)
{
    add(upstream_a, "sk-1");
    assert_true(lend_balance(NOW));
    tell_of_balance(APIPOOL_PROBED_EMPTY, NOW);
    assert_int_equal(outcome.state, APIPOOL_STATE_ACTIVE);
    assert_true(slot_of("sk-1")->balance == -2);
    check_acquires("sk-1", NOW);
    report(APIPOOL_RULE_CREDENTIAL, 0, NOW); /* which is something else */
    check_due(NOW + SEC(30));
    tell_of_balance(APIPOOL_PROBED_EMPTY, NOW + SEC(30));
    assert_int_equal(outcome.state, APIPOOL_STATE_HALF_OPEN);
}

static void a_refused_key_with_an_empty_balance_waits_but_not_for_ever(void **unused)
{
    static const int seconds[] = {60, 120, 240};
    apr_time_t now = NOW + SEC(30);
    lose_by(APIPOOL_RULE_QUOTA);
    for (int i = 0; i < APIPOOL_NOT_FOUND_MAX; i++) {
        check_due(now);
        tell_of_balance(APIPOOL_PROBED_EMPTY, now);
        assert_int_equal(outcome.state, APIPOOL_STATE_QUOTA);
        now += SEC(seconds[i]);
    }
    check_due(now);
    tell_of_balance(APIPOOL_PROBED_EMPTY, now);
    assert_int_equal(outcome.state, APIPOOL_STATE_HALF_OPEN);
    check_acquires("sk-1", now);
    report(APIPOOL_RULE_QUOTA, 0, now);
    check_due(now + SEC(480));
    tell_of_balance(APIPOOL_PROBED_EMPTY, now + SEC(480));
    assert_int_equal(outcome.state, APIPOOL_STATE_HALF_OPEN);
    check_acquires("sk-1", now + SEC(480));
    report(APIPOOL_RULE_SUCCESS, 0, now + SEC(480));
    assert_int_equal(slot_of("sk-1")->state, APIPOOL_STATE_ACTIVE);
}

/* The operator has taken the minimum away. */
static void a_key_that_only_a_minimum_took_out_needs_no_proof(void **unused)
{
    add(upstream_a, "sk-1");
    assert_true(lend_balance(NOW));
    tell_balance(-2, 0, NOW);
    assert_int_equal(outcome.state, APIPOOL_STATE_QUOTA);
    check_due(NOW + SEC(30));
    tell_of_balance(APIPOOL_PROBED_EMPTY, NOW + SEC(30));
    assert_int_equal(outcome.state, APIPOOL_STATE_ACTIVE);
}

static void check_balances(const apipool_balances_t *told, int count, double first, double second)
{
    apipool_balances_t got;
    apipool_slot_t *slot = slot_of("sk-1");
    apipool_slot_set_balances_locked(slot, told);
    slot->read_at = NOW;
    apipool_slot_balances_locked(slot, &got);
    assert_int_equal(got.count, count);
    assert_true(got.of[0].amount == first && got.of[1].amount == second);
    assert_string_equal(got.of[0].currency, told->of[0].currency);
    assert_string_equal(got.of[1].currency, count > 1 ? told->of[1].currency : "");
}

static void two_currencies_are_kept(void **unused)
{
    apipool_balances_t got, two = {.count = 2, .of = {{110.5, "USD"}, {-0.29, "CNY"}}};
    apipool_balances_t vast = {.count = 2, .of = {{1e12, "USD"}, {1e11, "CNY"}}};
    apipool_balances_t odd = {.count = 2, .of = {{2, "credits"}, {1, "CNY"}}};
    apipool_balances_t unknown = {.count = 2, .of = {{2, "USD"}, {1, ""}}};
    apipool_balances_t one = {.count = 1, .of = {{3, "EUR"}}};
    add(upstream_a, "sk-1");
    apipool_slot_balances_locked(slot_of("sk-1"), &got);
    assert_int_equal(got.count, 0);
    check_balances(&two, 2, 110.5, -0.29);
    check_balances(&vast, 2, 1e12, INT32_MAX / 100.0);
    check_balances(&odd, 1, 2, 0);
    check_balances(&unknown, 1, 2, 0);
    check_balances(&two, 2, 110.5, -0.29);
    check_balances(&one, 1, 3, 0);
}

static void a_failing_upstream_is_known_as_one(void **unused)
{
    apipool_probe_report_t what = {.upstream_failed = 1, .policy = &policy};
    lose_by(APIPOOL_RULE_CREDENTIAL);
    assert_false(apipool_recovery_is_failing(segment, upstream_a));
    check_due(NOW + SEC(30));
    assert_int_equal(apipool_recovery_probed(segment, &lent, &what, NOW + SEC(30), &outcome),
                     APR_SUCCESS);
    assert_true(apipool_recovery_is_failing(segment, upstream_a));
    check_due(NOW + SEC(60));
    tell_probe(&lent, APIPOOL_PROBED_UNKNOWN, NOW + SEC(60));
    assert_false(apipool_recovery_is_failing(segment, upstream_a));
    add(upstream_b, "b");
    check_acquires("b", NOW);
    report(APIPOOL_RULE_NOT_SENT, 0, NOW);
    assert_true(apipool_recovery_is_failing(segment, upstream_b));
}

static void a_key_that_was_disabled_meanwhile_stays_so(void **unused)
{
    apipool_slot_t *slot = lose_by(APIPOOL_RULE_CREDENTIAL);
    for (int i = APIPOOL_PROBED_UNKNOWN; i <= APIPOOL_PROBED_EMPTY; i++) {
        slot->state = APIPOOL_STATE_INVALID;
        apipool_members_settle_locked(segment, 0);
        assert_true(lend_due(upstream_a, NOW + i * HOUR + HOUR, &lent, &state));
        slot->state = APIPOOL_STATE_DISABLED;
        apipool_members_settle_locked(segment, 0);
        tell_probe(&lent, (apipool_probed_e)i, NOW + i * HOUR + HOUR);
        assert_int_equal(slot->state, APIPOOL_STATE_DISABLED);
    }
}

static void a_key_may_move_to_another_upstream_while_it_is_probed(void **unused)
{
    lose_by(APIPOOL_RULE_CREDENTIAL);
    check_due(NOW + SEC(30));
    assert_int_equal(add(upstream_b, "sk-1"), APIPOOL_DUPLICATE);
    assert_null(consistency_of(segment));
    tell_probe(&lent, APIPOOL_PROBED_ACCEPTED, NOW + SEC(30));
    check_acquires("sk-1", NOW + SEC(30));
    assert_int_equal(lease.upstream, upstream_b);
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(30));
}

static void many_due_keys_hide_no_half_open_one(void **unused)
{
    add_many(upstream_a, "a", 150);
    for (int i = 0; i < 150; i++) {
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        report(APIPOOL_RULE_CREDENTIAL, 0, NOW);
    }
    assert_true(lend_due(upstream_a, NOW + SEC(30), &lent, &state));
    tell_probe(&lent, APIPOOL_PROBED_ACCEPTED, NOW + SEC(30));
    check_acquires(lent.key, NOW + HOUR);
    report(APIPOOL_RULE_SUCCESS, 0, NOW + HOUR);
}

static void a_balance_is_kept_and_decides(void **unused)
{
    add_of(upstream_a, "sk-1", "acme");
    add_of(upstream_a, "sk-2", "acme");
    const apipool_slot_t *slot = slot_of("sk-1");
    assert_true(lend_balance(NOW));
    assert_int_equal(state, APIPOOL_STATE_ACTIVE);
    assert_string_equal(lent.key, "sk-1");
    assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED); /* requests go on meanwhile */
    report(APIPOOL_RULE_SUCCESS, 0, NOW);
    tell_balance(0.25, 0, NOW + 1);
    assert_int_equal(slot->state, APIPOOL_STATE_QUOTA);
    assert_int_equal(outcome.lost, 1);
    assert_true(slot->balance == 0.25);
    assert_string_equal(slot->currency, "USD");
    assert_int_equal(slot->read_at, NOW + 1);
    assert_int_equal(slot->counts.errors, 0);
    assert_int_equal(acquire(NOW + 1), APIPOOL_EXHAUSTED); /* all keys of the account are out of
                                                            * quota */
    check_due(NOW + SEC(30) + 1);
    tell_balance(0.2, 0, NOW + SEC(31));
    assert_true(
        lend_due(upstream_a, NOW + SEC(31), &lent, &state)); /* the other key of the account */
    assert_string_equal(lent.key, "sk-2");
    tell_probe(&lent, APIPOOL_PROBED_REJECTED, NOW + HOUR);
    check_due(NOW + SEC(91));
    assert_string_equal(lent.key, "sk-1");
    tell_balance(20, 1, NOW + SEC(91));
    assert_int_equal(slot->state, APIPOOL_STATE_ACTIVE);
    check_acquires("sk-1", NOW + SEC(91));
    assert_false(lease.proving);
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(91));
}

static void a_key_that_was_refused_has_to_prove_itself_whatever_its_balance(void **unused)
{
    const apipool_slot_t *slot = lose_by(APIPOOL_RULE_QUOTA);
    assert_true(lend_balance(NOW + 1));
    assert_int_equal(state, APIPOOL_STATE_QUOTA);
    tell_balance(5, 1, NOW + 1);
    assert_int_equal(slot->state, APIPOOL_STATE_HALF_OPEN);
    check_acquires("sk-1", NOW + 2);
    assert_true(lease.proving);
    report(APIPOOL_RULE_QUOTA, 0, NOW + 2);
    check_due(NOW + 2 + SEC(60));
    tell_balance(0, 0, NOW + SEC(62));
    check_due(NOW + SEC(62) + SEC(120));
    tell_balance(5, 1, NOW + SEC(182));
    assert_int_equal(slot->state, APIPOOL_STATE_HALF_OPEN);
}

static void a_check_puts_off_no_probe(void **unused)
{
    apipool_probe_report_t what = {.result = APIPOOL_PROBED_SPENT,
                                   .is_check = 1,
                                   .has_balance = 1,
                                   .balances = {.count = 1, .of = {{0.5, ""}}},
                                   .policy = &policy};
    const apipool_slot_t *slot = lose_by(APIPOOL_RULE_QUOTA);
    assert_true(lend_balance(NOW + SEC(20)));
    assert_int_equal(apipool_recovery_probed(segment, &lent, &what, NOW + SEC(20), &outcome),
                     APR_SUCCESS);
    assert_int_equal(slot->recover_tries, 0);
    assert_true(slot->balance == 0.5);
    check_due(NOW + SEC(30));
    tell_probe(&lent, APIPOOL_PROBED_UNKNOWN, NOW + SEC(30));
}

static void a_balance_that_could_not_be_read_changes_nothing(void **unused)
{
    const apipool_slot_t *slot;
    add(upstream_a, "sk-1");
    slot = slot_of("sk-1");
    assert_true(lend_balance(NOW));
    tell_probe(&lent, APIPOOL_PROBED_UNKNOWN, NOW);
    assert_int_equal(slot->state, APIPOOL_STATE_ACTIVE);
    assert_int_equal(slot->read_at, 0);
    assert_int_equal(slot->until[0], 0);
}

static void a_low_balance_does_not_end_a_cooldown(void **unused)
{
    add(upstream_a, "sk-1");
    check_acquires("sk-1", NOW);
    report(APIPOOL_RULE_RATE_LIMIT, NOW + SEC(500), NOW);
    assert_true(lend_balance(NOW));
    assert_int_equal(state, APIPOOL_STATE_COOLING);
    tell_balance(0, 0, NOW);
    assert_int_equal(outcome.state, APIPOOL_STATE_QUOTA);
    assert_true(lend_balance(NOW + HOUR) || lend_balance(NOW + HOUR));
    tell_balance(9, 1, NOW + SEC(400));
    assert_int_equal(outcome.state, APIPOOL_STATE_COOLING);
    assert_int_equal(acquire(NOW + SEC(500) - 1), APIPOOL_ALL_COOLING);
    check_acquires("sk-1", NOW + SEC(500));
    report(APIPOOL_RULE_RATE_LIMIT, NOW + SEC(900), NOW + SEC(500));
    assert_true(lend_balance(NOW + 2 * HOUR));
    tell_balance(0, 0, NOW + SEC(600));
    check_due(NOW + SEC(900));
    tell_balance(9, 1, NOW + SEC(900));
    assert_int_equal(outcome.state, APIPOOL_STATE_ACTIVE);
}

static void every_key_has_its_turn_once_per_interval(void **unused)
{
    int turns[100] = {0};
    add_many(upstream_a, "a", 100);
    for (apr_time_t now = NOW; now < NOW + 3 * HOUR; now += SEC(10)) {
        int at_once = 0;
        while (lend_balance(now)) {
            turns[lent.slot]++;
            at_once++;
            tell_balance(1, 1, now);
        }
        assert_in_range(at_once, 0, 2);
    }
    for (int i = 0; i < 100; i++) {
        assert_int_equal(turns[i], 3);
    }
}

static void only_keys_whose_balance_matters_have_a_turn(void **unused)
{
    static const apipool_state_e skipped[] = {APIPOOL_STATE_HALF_OPEN, APIPOOL_STATE_INVALID,
                                              APIPOOL_STATE_TRIPPED, APIPOOL_STATE_DISABLED};
    add_many(upstream_a, "a", 5);
    for (apr_uint32_t i = 0; i < 4; i++) {
        segment->slots[i].state = skipped[i];
        segment->slots[i].until[0] = NOW + 9 * HOUR;
        apipool_members_settle_locked(segment, i);
    }
    assert_int_equal(add(upstream_b, "a001"), APIPOOL_DUPLICATE); /* its list index is spare */
    assert_false(lend_balance(NOW));
    assert_true(lend_balance(NOW + HOUR));
    assert_string_equal(lent.key, "a004");
    assert_false(lend_balance(NOW + HOUR));
    tell_balance(1, 1, NOW + HOUR);
    assert_true(lend_balance(NOW + 2 * HOUR) || lend_balance(NOW + 3 * HOUR));
    tell_balance(1, 1, NOW + 3 * HOUR);
}

static void a_round_of_balances_survives_odd_clocks(void **unused)
{
    add(upstream_a, "sk-1");
    assert_true(lend_balance(NOW));
    tell_balance(1, 1, NOW);
    assert_false(lend_balance(NOW + HOUR - 1));
    assert_true(lend_balance(NOW - HOUR)); /* the clock was set back */
    tell_balance(1, 1, NOW - HOUR);
    assert_false(lend_balance(NOW - 1));
    assert_true(lend_balance(NOW + 1000 * HOUR));
    tell_balance(1, 1, NOW);
    assert_false(lend_balance(NOW + 1000 * HOUR));
}

#undef TEST
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_unprobed, close_segment)

static const struct CMUnitTest tests[] = {
    TEST(no_request_gets_a_key_before_a_probe_has_accepted_it),
    TEST(a_key_is_lent_to_one_probe_at_a_time_and_counts_no_request),
    TEST(every_refusal_doubles_the_interval),
    TEST(an_answer_that_tells_nothing_keeps_the_interval),
    TEST(a_probe_that_dies_is_repeated_after_the_interval),
    TEST(the_one_that_waits_longest_goes_first),
    TEST(intervals_differ_by_a_tenth),
    TEST(what_a_probe_says_is_newer_than_what_made_the_key_wait),
    TEST(an_upstream_without_that_request_needs_real_ones),
    TEST(a_balance_that_cannot_be_asked_is_counted_apart),
    TEST(a_number_alone_takes_out_no_key),
    TEST(a_refused_key_with_an_empty_balance_waits_but_not_for_ever),
    TEST(a_key_that_only_a_minimum_took_out_needs_no_proof),
    TEST(two_currencies_are_kept),
    TEST(a_failing_upstream_is_known_as_one),
    TEST(a_key_that_was_disabled_meanwhile_stays_so),
    TEST(a_key_may_move_to_another_upstream_while_it_is_probed),
    TEST(many_due_keys_hide_no_half_open_one),
    TEST(a_balance_is_kept_and_decides),
    TEST(a_key_that_was_refused_has_to_prove_itself_whatever_its_balance),
    TEST(a_check_puts_off_no_probe),
    TEST(a_balance_that_could_not_be_read_changes_nothing),
    TEST(a_low_balance_does_not_end_a_cooldown),
    TEST(every_key_has_its_turn_once_per_interval),
    TEST(only_keys_whose_balance_matters_have_a_turn),
    TEST(a_round_of_balances_survives_odd_clocks),
};

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests_name("recovery", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
