/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/pool/breaker: refusals of all keys, whose errors count, failing upstreams. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "pool_fixture.h"

/* The next key in turn gets that verdict. */
static apipool_rule_e meet(apipool_rule_e rule, apr_time_t named, apr_time_t now)
{
    assert_int_equal(acquire(now), APIPOOL_ACQUIRED);
    return report(rule, named, now);
}

static apipool_rule_e meet_for(apr_uint64_t model, apipool_rule_e rule, apr_time_t named,
                               apr_time_t now)
{
    assert_int_equal(acquire_for(model, now), APIPOOL_ACQUIRED);
    return report(rule, named, now);
}

static void refusals_of_three_keys_and_half_of_them_are_everyones_fate(void **unused)
{
    static const struct {
        int keys, refusals; /* until R08 applies */
    } rows[] = {{3, 3}, {4, 3}, {5, 3}, {6, 3}, {7, 4}, {8, 4}, {9, 5}, {10, 5}, {20, 10}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        fixture_t *f = open_with(CAPACITY);
        add_many(upstream_a, "a", rows[i].keys);
        for (int n = 1; n <= rows[i].refusals; n++) {
            apipool_rule_e rule =
                meet(n % 2 ? APIPOOL_RULE_RATE_LIMIT : APIPOOL_RULE_FORBIDDEN, 0, NOW + n);
            if (rule != (n < rows[i].refusals
                             ? (n % 2 ? APIPOOL_RULE_RATE_LIMIT : APIPOOL_RULE_FORBIDDEN)
                             : APIPOOL_RULE_SHARED_FATE)) {
                fail_msg("%d keys, refusal %d: %s", rows[i].keys, n, apipool_rule_name(rule));
            }
        }
        assert_null(consistency_of(segment));
        fixture_close(f);
    }
}

static void two_keys_share_no_fate(void **unused)
{
    add_many(upstream_a, "a", 2);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(meet(APIPOOL_RULE_RATE_LIMIT, 0, NOW + SEC(2) * (i / 2)),
                         APIPOOL_RULE_RATE_LIMIT);
    }
}

static void refusals_of_one_key_are_its_own(void **unused)
{
    apipool_lease_t leases[10];
    add_many(upstream_a, "a", 3);
    for (int i = 0; i < 10; i++) {
        do {
            assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        } while (strcmp(lease.key, "a000"));
        leases[i] = lease;
    }
    for (int i = 0; i < 10; i++) {
        assert_int_equal(report_lease(&leases[i], APIPOOL_RULE_RATE_LIMIT, 0, NOW + i),
                         APIPOOL_RULE_RATE_LIMIT);
    }
    assert_int_equal(apipool_pool_reclaim_all(segment, NOW), APR_SUCCESS);
}

static void a_success_in_between_tells_that_it_is_the_keys(void **unused)
{
    add_many(upstream_a, "a", 6);
    for (int i = 0; i < 4; i++) {
        if (i == 2) {
            meet(APIPOOL_RULE_SUCCESS, 0, NOW);
        }
        assert_int_equal(meet(APIPOOL_RULE_RATE_LIMIT, 0, NOW), APIPOOL_RULE_RATE_LIMIT);
    }
}

static void refusals_that_are_far_apart_are_not_everyones_fate(void **unused)
{
    add_many(upstream_a, "a", 6);
    assert_int_equal(meet(APIPOOL_RULE_RATE_LIMIT, NOW + SEC(60), NOW), APIPOOL_RULE_RATE_LIMIT);
    assert_int_equal(meet(APIPOOL_RULE_RATE_LIMIT, NOW + SEC(60), NOW + SEC(3)),
                     APIPOOL_RULE_RATE_LIMIT);
    assert_int_equal(meet(APIPOOL_RULE_RATE_LIMIT, NOW + SEC(60), NOW + SEC(6)),
                     APIPOOL_RULE_RATE_LIMIT);
}

/* A limit of the address, for an hour. */
static void clients_are_told_the_time_that_all_keys_were_told(void **unused)
{
    apr_time_t named = NOW + SEC(3600);
    add_many(upstream_a, "a", 20);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(meet(APIPOOL_RULE_RATE_LIMIT, named, NOW), APIPOOL_RULE_RATE_LIMIT);
    }
    assert_int_equal(meet(APIPOOL_RULE_RATE_LIMIT, named, NOW), APIPOOL_RULE_SHARED_FATE);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(acquire(NOW + SEC(i)), APIPOOL_ALL_COOLING);
        assert_int_equal(retry_at, named);
    }
    assert_int_equal(meet(APIPOOL_RULE_RATE_LIMIT, named + 5, NOW + SEC(60)),
                     APIPOOL_RULE_SHARED_FATE);
    assert_int_equal(acquire(NOW + SEC(61)), APIPOOL_ALL_COOLING);
    assert_int_equal(retry_at, named + 5);
    assert_int_equal(meet(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(120)), APIPOOL_RULE_SUCCESS);
    assert_int_equal(acquire(NOW + SEC(120)), APIPOOL_ACQUIRED); /* it was lifted early */
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(120));
}

static void a_shared_fate_leaves_no_streak(void **unused)
{
    add_many(upstream_a, "a", 4);
    assert_int_equal(meet(APIPOOL_RULE_RATE_LIMIT, 0, NOW), APIPOOL_RULE_RATE_LIMIT);
    assert_int_equal(meet(APIPOOL_RULE_RATE_LIMIT, 0, NOW), APIPOOL_RULE_RATE_LIMIT);
    assert_int_equal(meet(APIPOOL_RULE_RATE_LIMIT, 0, NOW), APIPOOL_RULE_SHARED_FATE);
    assert_int_equal(outcome.state, APIPOOL_STATE_ACTIVE);
    assert_int_equal(outcome.lost, 0);
    assert_int_equal(totals_of(upstream_a).rules[APIPOOL_RULE_SHARED_FATE], 1);
    assert_int_equal(totals_of(upstream_a).rules[APIPOOL_RULE_RATE_LIMIT], 2);
    for (int i = 1; i <= 20; i++) { /* one request a second finds that it still fails */
        if (i == 10) {
            meet(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(i));
        }
        else {
            meet(i > 10 ? APIPOOL_RULE_SUCCESS : APIPOOL_RULE_RATE_LIMIT, 0, NOW + SEC(i));
        }
    }
    for (apr_uint32_t i = 0; i < 4; i++) {
        assert_int_equal(segment->slots[i].state, APIPOOL_STATE_ACTIVE);
        assert_int_equal(segment->slots[i].limited_streak, 0);
        assert_int_equal(segment->slots[i].error_streak, 0);
    }
}

static void after_a_shared_fate_a_limit_counts_as_the_first(void **unused)
{
    add_many(upstream_a, "a", 3);
    for (int i = 0; i < 3; i++) {
        meet(APIPOOL_RULE_RATE_LIMIT, 0, NOW);
    }
    for (int i = 0; i < 3; i++) {
        meet(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(2));
    }
    meet(APIPOOL_RULE_RATE_LIMIT, 0, NOW + SEC(3));
    assert_int_equal(segment->slots[lease.slot].until[0], NOW + SEC(4));
}

static void times_that_the_upstream_named_are_kept_in_a_shared_fate(void **unused)
{
    add_many(upstream_a, "a", 3);
    for (int i = 0; i < 3; i++) {
        meet(APIPOOL_RULE_RATE_LIMIT, NOW + SEC(100 + i), NOW);
    }
    assert_int_equal(outcome.rule, APIPOOL_RULE_SHARED_FATE);
    for (apr_uint32_t i = 0; i < 3; i++) {
        assert_int_equal(segment->slots[i].state, APIPOOL_STATE_COOLING);
        assert_int_equal(segment->slots[i].until[0], NOW + SEC(100 + i));
    }
    assert_int_equal(acquire(NOW), APIPOOL_ALL_COOLING);
    assert_int_equal(retry_at, NOW + SEC(100));
    assert_int_equal(acquire(NOW + SEC(50)), APIPOOL_ALL_COOLING);
    assert_int_equal(retry_at, NOW + SEC(100));
}

static void one_request_a_second_looks_whether_it_is_over(void **unused)
{
    add_many(upstream_a, "a", 8);
    for (int i = 0; i < 4; i++) {
        meet(APIPOOL_RULE_RATE_LIMIT, 0, NOW);
    }
    assert_int_equal(outcome.rule, APIPOOL_RULE_SHARED_FATE);
    for (int i = 0; i < 5; i++) {
        apr_time_t now = NOW + SEC(i);
        assert_int_equal(acquire(now + SEC(1) - 1), APIPOOL_ALL_COOLING);
        assert_int_equal(retry_at, now + SEC(1));
        assert_int_equal(acquire(now + SEC(1)), APIPOOL_ACQUIRED);
        assert_int_equal(acquire(now + SEC(1)), APIPOOL_ALL_COOLING);
        assert_int_equal(retry_at, now + SEC(2));
        assert_int_equal(report(APIPOOL_RULE_RATE_LIMIT, 0, now + SEC(1)),
                         APIPOOL_RULE_SHARED_FATE);
    }
    assert_int_equal(acquire(NOW + SEC(6)), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(6));
    for (int i = 0; i < 8; i++) {
        assert_int_equal(acquire(NOW + SEC(6)), APIPOOL_ACQUIRED);
        report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(6));
    }
}

static void a_shared_fate_of_one_model_pauses_that_model_alone(void **unused)
{
    add_many(upstream_a, "a", 6);
    for (int i = 0; i < 3; i++) {
        meet_for(7, APIPOOL_RULE_RATE_LIMIT, 0, NOW);
    }
    if (outcome.rule != APIPOOL_RULE_SHARED_FATE) {
        meet_for(7, APIPOOL_RULE_RATE_LIMIT, 0, NOW);
    }
    assert_int_equal(outcome.rule, APIPOOL_RULE_SHARED_FATE);
    assert_int_equal(acquire_for(7, NOW), APIPOOL_ALL_COOLING);
    assert_int_equal(acquire_for(8, NOW), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_CLIENT_ERROR, 0, NOW);
    assert_int_equal(acquire_for(8, NOW), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_RATE_LIMIT, 0, NOW); /* another client: so the upstream is to blame */
    assert_int_equal(outcome.rule, APIPOOL_RULE_SHARED_FATE);
    assert_int_equal(acquire_for(9, NOW), APIPOOL_ALL_COOLING);
}

static void an_answer_that_begins_well_ends_a_pause(void **unused)
{
    add_many(upstream_a, "a", 6);
    for (int i = 0; i < 3; i++) {
        meet(APIPOOL_RULE_RATE_LIMIT, 0, NOW);
    }
    assert_int_equal(outcome.rule, APIPOOL_RULE_SHARED_FATE);
    assert_int_equal(acquire(NOW + SEC(1)), APIPOOL_ACQUIRED);
    apipool_lease_t first = lease;
    assert_int_equal(acquire(NOW + SEC(1)), APIPOOL_ALL_COOLING);
    assert_int_equal(apipool_pool_proved(segment, &first, NOW + SEC(1)), APR_SUCCESS);
    assert_int_equal(acquire(NOW + SEC(1)), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(1));
    report_lease(&first, APIPOOL_RULE_SUCCESS, 0, NOW + SEC(9));
}

static void a_second_shared_fate_leaves_no_streak_either(void **unused)
{
    add_many(upstream_a, "a", 8);
    for (int i = 0; i < 4; i++) {
        meet(APIPOOL_RULE_RATE_LIMIT, 0, NOW); /* a000 to a003 */
    }
    assert_int_equal(outcome.rule, APIPOOL_RULE_SHARED_FATE);
    meet(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(1)); /* a004 */
    for (int i = 0; i < 4; i++) {
        meet(APIPOOL_RULE_RATE_LIMIT, 0, NOW + SEC(1)); /* a005 to a007, a000 or a003 */
    }
    assert_int_equal(outcome.rule, APIPOOL_RULE_SHARED_FATE);
    meet(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(3));
    while (strcmp(lease.key, "a001")) {
        meet(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(3));
    }
    meet(APIPOOL_RULE_RATE_LIMIT, 0, NOW + SEC(4)); /* its second refusal, apart from the first
                                                     * round */
    assert_string_equal(lease.key, "a002");
    assert_int_equal(segment->slots[lease.slot].until[0], NOW + SEC(5));
}

static void an_outage_trips_nobody(void **unused)
{
    add_many(upstream_a, "a", 4);
    for (int i = 0; i < 100; i++) {
        apr_time_t now = NOW + SEC(i);
        meet(APIPOOL_RULE_UPSTREAM_ERROR, 0, now);
        assert_int_equal(outcome.state, APIPOOL_STATE_ACTIVE);
    }
    assert_int_equal(totals_of(upstream_a).keys[APIPOOL_STATE_ACTIVE], 4);
}

/* Answers that began earlier go on to their end. */
static void an_outage_that_begins_among_successes_trips_nobody(void **unused)
{
    apipool_lease_t early[8];
    add_many(upstream_a, "a", 4);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        early[i] = lease;
    }
    for (int i = 0; i < 40; i++) {
        meet(APIPOOL_RULE_UPSTREAM_ERROR, 0, NOW + SEC(i));
        assert_int_equal(outcome.state, APIPOOL_STATE_ACTIVE);
        if (i % 5 == 0) {
            report_lease(&early[i / 5], APIPOOL_RULE_SUCCESS, 0, NOW + SEC(i));
        }
    }
}

static void one_bad_key_among_good_ones_trips_at_the_limit(void **unused)
{
    int failures = 0;
    add_many(upstream_a, "a", 4);
    while (failures < 3) {
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        int bad = !strcmp(lease.key, "a002");
        failures += bad;
        report(bad ? APIPOOL_RULE_UPSTREAM_ERROR : APIPOOL_RULE_SUCCESS, 0, NOW);
        assert_int_equal(outcome.state,
                         failures == 3 ? APIPOOL_STATE_TRIPPED : APIPOOL_STATE_ACTIVE);
    }
    assert_int_equal(outcome.lost, 1);
    for (int i = 0; i < 12; i++) {
        meet(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(29));
        assert_string_not_equal(lease.key, "a002");
    }
    check_acquires("a002", NOW + SEC(30));
    assert_true(lease.proving);
    report(APIPOOL_RULE_UPSTREAM_ERROR, 0, NOW + SEC(30));
    assert_int_equal(outcome.state, APIPOOL_STATE_TRIPPED);
    meet(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(89));
    check_acquires("a002", NOW + SEC(90));
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(90));
    assert_int_equal(outcome.state, APIPOOL_STATE_ACTIVE);
}

static void a_success_ends_the_streak_of_a_key(void **unused)
{
    add_many(upstream_a, "a", 2);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        report(strcmp(lease.key, "a000") || i % 6 == 4 ? APIPOOL_RULE_SUCCESS
                                                       : APIPOOL_RULE_UPSTREAM_ERROR,
               0, NOW);
        assert_int_equal(outcome.state, APIPOOL_STATE_ACTIVE);
    }
}

static void a_key_alone_is_never_tripped(void **unused)
{
    add(upstream_a, "sk-1");
    for (int i = 0; i < 50; i++) {
        meet(i == 20 ? APIPOOL_RULE_SUCCESS : APIPOOL_RULE_UPSTREAM_ERROR, 0, NOW + SEC(i));
        assert_int_equal(outcome.state, APIPOOL_STATE_ACTIVE);
    }
}

/* Failures of the key at another upstream say nothing about the others here. */
static void a_key_that_moves_begins_with_a_clean_record(void **unused)
{
    add_many(upstream_a, "a", 2);
    add(upstream_b, "b000");
    for (int i = 0; i < 40; i++) {
        assert_int_equal(acquire_for(0, NOW), APIPOOL_ACQUIRED);
        report(APIPOOL_RULE_SUCCESS, 0, NOW);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(acquire_for(0, NOW), APIPOOL_ACQUIRED);
        report(strcmp(lease.key, "a000") ? APIPOOL_RULE_CLIENT_GONE : APIPOOL_RULE_UPSTREAM_ERROR,
               0, NOW);
    }
    add(upstream_b, "a000");
    for (int i = 0; i < 5; i++) {
        apipool_lend_request_t request = want(APIPOOL_STRATEGY_ROUND_ROBIN);
        request.sources = &sources[1];
        request.source_count = 1;
        assert_int_equal(acquire_request(&request, NOW + SEC(10 + i)), APIPOOL_ACQUIRED);
        report(APIPOOL_RULE_UPSTREAM_ERROR, 0, NOW + SEC(10 + i));
        assert_int_equal(outcome.state, APIPOOL_STATE_ACTIVE);
    }
}

static void an_upstream_that_fails_five_times_is_left_alone(void **unused)
{
    static const apipool_rule_e faults[] = {APIPOOL_RULE_NOT_SENT, APIPOOL_RULE_NO_ANSWER,
                                            APIPOOL_RULE_UPSTREAM_ERROR, APIPOOL_RULE_OVERLOADED,
                                            APIPOOL_RULE_UPSTREAM_ERROR};
    add_many(upstream_a, "a", 3);
    for (int i = 0; i < 5; i++) {
        meet(faults[i], 0, NOW);
    }
    for (int i = 0; i < 5; i++) {
        apr_time_t now = NOW + SEC(i);
        assert_int_equal(acquire(now + SEC(1) - 1), APIPOOL_ALL_PAUSED);
        assert_int_equal(retry_at, now + SEC(1));
        assert_int_equal(acquire(now + SEC(1)), APIPOOL_ACQUIRED);
        assert_int_equal(acquire(now + SEC(1)), APIPOOL_ALL_PAUSED);
        assert_int_equal(retry_at, now + SEC(2));
        report(APIPOOL_RULE_NOT_SENT, 0, now + SEC(1));
    }
    apipool_totals_t totals;
    assert_int_equal(apipool_pool_totals(segment, upstream_a, NOW + SEC(5), &totals), APR_SUCCESS);
    assert_int_equal(totals.paused_until, NOW + SEC(6));
    meet(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(6));
    meet(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(6));
}

static void other_upstreams_serve_meanwhile(void **unused)
{
    add_many(upstream_a, "a", 1);
    add_many(upstream_b, "b", 1);
    while (segment->upstreams[upstream_a].faults.count < 5) {
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        report(lease.upstream == upstream_a ? APIPOOL_RULE_UPSTREAM_ERROR : APIPOOL_RULE_SUCCESS, 0,
               NOW);
    }
    for (int i = 0; i < 10; i++) {
        check_acquires("b000", NOW);
        report(APIPOOL_RULE_SUCCESS, 0, NOW);
    }
}

static void any_answer_that_is_no_fault_ends_a_row_of_them(void **unused)
{
    static const apipool_rule_e answers[] = {APIPOOL_RULE_SUCCESS, APIPOOL_RULE_NO_MODEL,
                                             APIPOOL_RULE_CLIENT_ERROR, APIPOOL_RULE_CREDENTIAL,
                                             APIPOOL_RULE_QUOTA};
    for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
        fixture_t *f = open_with(CAPACITY);
        add_many(upstream_a, "a", 3);
        for (int n = 0; n < 9; n++) {
            meet(n == 4 ? answers[i] : APIPOOL_RULE_UPSTREAM_ERROR, 0, NOW);
        }
        fixture_close(f);
    }
}

static void what_one_client_has_met_alone_pauses_it_alone(void **unused)
{
    static const apipool_rule_e rules[] = {APIPOOL_RULE_RATE_LIMIT, APIPOOL_RULE_UPSTREAM_ERROR};
    for (int i = 0; i < 2; i++) {
        fixture_t *f = open_with(CAPACITY);
        add_many(upstream_a, "a", 10);
        client = 1;
        for (int n = 0; n < 5; n++) {
            meet(rules[i], 0, NOW);
        }
        assert_int_not_equal(acquire(NOW), APIPOOL_ACQUIRED);
        assert_int_equal(retry_at, NOW + SEC(1));
        client = 2;
        for (int n = 0; n < 5; n++) {
            meet(APIPOOL_RULE_CLIENT_ERROR, 0, NOW);
        }
        client = 1;
        assert_int_equal(acquire(NOW), i ? APIPOOL_ACQUIRED : APIPOOL_ALL_COOLING);
        client = 2;
        if (i == 0) {
            meet(rules[i], 0, NOW); /* now it is not only the first client */
            assert_int_equal(acquire(NOW), APIPOOL_ALL_COOLING);
        }
        fixture_close(f);
    }
}

static void a_pause_ends_when_the_clock_is_set_back(void **unused)
{
    add_many(upstream_a, "a", 3);
    for (int i = 0; i < 5; i++) {
        meet(APIPOOL_RULE_UPSTREAM_ERROR, 0, NOW);
    }
    assert_int_equal(acquire(NOW - SEC(3600)), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_SUCCESS, 0, NOW - SEC(3600));
}

/* --- Keys that are called spent or rejected --------------------------------------------------- */

static void an_upstream_that_rejects_every_key_is_at_fault(void **unused)
{
    static const apipool_rule_e rules[] = {APIPOOL_RULE_CREDENTIAL, APIPOOL_RULE_QUOTA};
    for (int r = 0; r < 2; r++) {
        fixture_t *f = open_with(CAPACITY);
        add_many(upstream_a, "a", 4);
        may_doubt = 1;
        for (int i = 0; i < 8; i++) {
            client = (apr_uint64_t)i % 2 + 1;
            meet(rules[r], 0, NOW + i);
            assert_int_equal(outcome.rule, i < 2 ? rules[r] : APIPOOL_RULE_SHARED_FATE);
            assert_int_equal(outcome.state, APIPOOL_STATE_ACTIVE);
            apipool_verdict_t verdict = verdict_of(rules[r], 0);
            settle_doubt(&lease, &verdict, APIPOOL_DOUBT_ENDED, NOW + i);
            assert_false(outcome.lost);
        }
        apipool_lease_t lent; /* nor do probes mean anything while it does so */
        apipool_state_e state;
        for (int i = 0; i < 4; i++) {
            assert_true(
                lend_probe(upstream_a, APIPOOL_PROBE_CHECK, 0, NOW + SEC(1), &lent, &state));
            apipool_probe_report_t number = {.result = APIPOOL_PROBED_EMPTY,
                                             .has_balance = 1,
                                             .status = 200,
                                             .is_check = 1,
                                             .policy = &policy};
            if (r && i % 2) { /* a number by itself is no more than what the upstream says */
                assert_int_equal(
                    apipool_recovery_probed(segment, &lent, &number, NOW + SEC(1), &outcome),
                    APR_SUCCESS);
            }
            else {
                tell_probe(&lent, r ? APIPOOL_PROBED_SPENT : APIPOOL_PROBED_REJECTED, NOW + SEC(1));
            }
            assert_int_equal(outcome.state, APIPOOL_STATE_ACTIVE);
        }
        for (int i = 0; i < 4; i++) { /* when it is back, so are all keys */
            meet(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(2));
        }
        assert_int_equal(totals_of(upstream_a).keys[APIPOOL_STATE_ACTIVE], 4);
        assert_int_equal(totals_of(upstream_a).errors, 0);
        fixture_close(f);
    }
}

static void others_are_asked_before_one_that_rejects_every_key(void **unused)
{
    apr_uint32_t tried[1];
    apipool_lend_request_t request = want(APIPOOL_STRATEGY_ROUND_ROBIN);
    add_many(upstream_a, "a", 3);
    add(upstream_b, "b000");
    sources[1].priority = 1;
    may_doubt = 1;
    client = request.client = 1;
    for (int i = 0; i < 3; i++) {
        meet(APIPOOL_RULE_CREDENTIAL, 0, NOW);
        assert_string_not_equal(lease.key, "b000");
    }
    check_acquires("b000", NOW);
    report(APIPOOL_RULE_SUCCESS, 0, NOW);
    assert_int_equal(acquire(NOW + SEC(1)), APIPOOL_ACQUIRED); /* one request a second looks */
    assert_string_not_equal(lease.key, "b000");
    report(APIPOOL_RULE_CREDENTIAL, 0, NOW + SEC(1));
    check_acquires("b000", NOW + SEC(1));
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(1));
    request.source_count = 1; /* where there is no other, its answer is the one to give */
    for (int i = 0; i < 5; i++) {
        request.tried_count = 0;
        assert_int_equal(acquire_request(&request, NOW + SEC(1)), APIPOOL_ACQUIRED);
        report(APIPOOL_RULE_CREDENTIAL, 0, NOW + SEC(1));
        tried[0] = lease.slot;
        request.tried = tried;
        request.tried_count = 1;
        assert_int_equal(acquire_request(&request, NOW + SEC(1)), APIPOOL_EXHAUSTED);
    }
}

/* An honest client among those who are refused. */
static void what_all_keys_are_forbidden_closes_nothing(void **unused)
{
    add_many(upstream_a, "a", 4);
    for (int i = 0; i < 12; i++) {
        client = (apr_uint64_t)i % 3 + 1;
        meet(APIPOOL_RULE_FORBIDDEN, 0, NOW);
    }
    assert_int_equal(outcome.rule, APIPOOL_RULE_SHARED_FATE);
    client = 9;
    meet(APIPOOL_RULE_SUCCESS, 0, NOW);
}

/* --- Faults by model -------------------------------------------------------------------------- */

static void a_model_that_fails_does_not_pause_others(void **unused)
{
    static const apipool_rule_e faults[] = {APIPOOL_RULE_UPSTREAM_ERROR, APIPOOL_RULE_OVERLOADED,
                                            APIPOOL_RULE_NO_ANSWER, APIPOOL_RULE_BROKE_OFF};
    add_many(upstream_a, "a", 3);
    for (int i = 0; i < 5; i++) {
        client = (apr_uint64_t)i;
        meet_for(7, faults[i % 4], 0, NOW);
    }
    assert_int_equal(acquire_for(7, NOW), APIPOOL_ALL_PAUSED);
    assert_int_equal(retry_at, NOW + SEC(1));
    for (int i = 0; i < 20; i++) {
        meet_for(8, i % 2 ? APIPOOL_RULE_SUCCESS : APIPOOL_RULE_CLIENT_ERROR, 0, NOW);
        assert_int_equal(acquire_for(7, NOW), APIPOOL_ALL_PAUSED); /* nor do they open it */
    }
    meet_for(7, APIPOOL_RULE_UPSTREAM_ERROR, 0, NOW + SEC(1)); /* the one of this second */
    assert_int_equal(acquire_for(7, NOW + SEC(1)), APIPOOL_ALL_PAUSED);
    meet_for(7, APIPOOL_RULE_SUCCESS, 0, NOW + SEC(2));
    meet_for(7, APIPOOL_RULE_SUCCESS, 0, NOW + SEC(2));
}

static void any_number_of_models_may_fail(void **unused)
{
    add_many(upstream_a, "a", 3);
    for (int i = 0; i < 1000; i++) {
        client = (apr_uint64_t)i % 5;
        meet_for(100 + (apr_uint64_t)i, APIPOOL_RULE_UPSTREAM_ERROR, 0, NOW + i);
    }
    meet_for(8, APIPOOL_RULE_SUCCESS, 0, NOW + 1000);
}

static void three_models_that_fail_are_the_upstream(void **unused)
{
    add_many(upstream_a, "a", 3);
    for (apr_uint64_t i = 0; i < 5; i++) {
        meet_for(10 + i % 3, APIPOOL_RULE_UPSTREAM_ERROR, 0, NOW);
    }
    for (apr_uint64_t model = 10; model < 13; model++) {
        assert_int_equal(acquire_for(model, NOW), APIPOOL_ALL_PAUSED);
    }
    meet_for(13, APIPOOL_RULE_UPSTREAM_ERROR, 0, NOW); /* finds out for itself, once */
    assert_int_equal(acquire_for(13, NOW), APIPOOL_ALL_PAUSED);
    meet_for(14, APIPOOL_RULE_SUCCESS, 0, NOW);
    meet_for(10, APIPOOL_RULE_SUCCESS, 0, NOW);
}

static void what_cannot_be_sent_is_no_models_fault(void **unused)
{
    add_many(upstream_a, "a", 3);
    for (int i = 0; i < 5; i++) {
        meet_for(7, APIPOOL_RULE_NOT_SENT, 0, NOW);
    }
    assert_int_equal(acquire_for(8, NOW), APIPOOL_ALL_PAUSED);
}

/* Others serve other models meanwhile, and would make it look like the key's own fault. */
static void a_model_that_always_fails_trips_no_key(void **unused)
{
    add_many(upstream_a, "a", 4);
    for (int i = 0; i < 400; i++) {
        assert_int_equal(acquire_for(i % 2 ? 7 : 8, NOW + SEC(i)), APIPOOL_ACQUIRED);
        int bad = !strcmp(lease.key, "a002");
        report(bad ? APIPOOL_RULE_UPSTREAM_ERROR : APIPOOL_RULE_SUCCESS, 0, NOW + SEC(i));
        if (bad && outcome.state != APIPOOL_STATE_ACTIVE) { /* the others have served the same */
            break;
        }
    }
    assert_int_equal(outcome.state, APIPOOL_STATE_TRIPPED);
    for (int i = 0; i < 400; i++) {
        apr_time_t now = NOW + SEC(1000 + i);
        int of_a001 = 0;
        assert_int_equal(acquire_for(8, now), APIPOOL_ACQUIRED);
        of_a001 = !strcmp(lease.key, "a001");
        if (of_a001) {
            lease.model = 9; /* sticks to that key, and fails with any */
        }
        report(of_a001 ? APIPOOL_RULE_UPSTREAM_ERROR : APIPOOL_RULE_SUCCESS, 0, now);
        if (of_a001) {
            assert_int_equal(outcome.state, APIPOOL_STATE_ACTIVE);
        }
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(refusals_of_three_keys_and_half_of_them_are_everyones_fate),
    TEST(two_keys_share_no_fate),
    TEST(refusals_of_one_key_are_its_own),
    TEST(a_success_in_between_tells_that_it_is_the_keys),
    TEST(refusals_that_are_far_apart_are_not_everyones_fate),
    TEST(clients_are_told_the_time_that_all_keys_were_told),
    TEST(a_shared_fate_leaves_no_streak),
    TEST(after_a_shared_fate_a_limit_counts_as_the_first),
    TEST(times_that_the_upstream_named_are_kept_in_a_shared_fate),
    TEST(one_request_a_second_looks_whether_it_is_over),
    TEST(a_shared_fate_of_one_model_pauses_that_model_alone),
    TEST(an_answer_that_begins_well_ends_a_pause),
    TEST(a_second_shared_fate_leaves_no_streak_either),
    TEST(an_outage_trips_nobody),
    TEST(an_outage_that_begins_among_successes_trips_nobody),
    TEST(one_bad_key_among_good_ones_trips_at_the_limit),
    TEST(a_success_ends_the_streak_of_a_key),
    TEST(a_key_alone_is_never_tripped),
    TEST(a_key_that_moves_begins_with_a_clean_record),
    TEST(an_upstream_that_fails_five_times_is_left_alone),
    TEST(other_upstreams_serve_meanwhile),
    cmocka_unit_test(any_answer_that_is_no_fault_ends_a_row_of_them),
    cmocka_unit_test(what_one_client_has_met_alone_pauses_it_alone),
    TEST(a_pause_ends_when_the_clock_is_set_back),
    cmocka_unit_test(an_upstream_that_rejects_every_key_is_at_fault),
    TEST(others_are_asked_before_one_that_rejects_every_key),
    TEST(what_all_keys_are_forbidden_closes_nothing),
    TEST(a_model_that_fails_does_not_pause_others),
    TEST(any_number_of_models_may_fail),
    TEST(three_models_that_fail_are_the_upstream),
    TEST(what_cannot_be_sent_is_no_models_fault),
    TEST(a_model_that_always_fails_trips_no_key),
};

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests_name("trouble", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
