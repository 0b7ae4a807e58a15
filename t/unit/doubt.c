/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/pool/doubt: keys that have served are not lost because of a single request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "pool_fixture.h"
#include "queue.h"

#define ASKED_EVERY SEC(10)
#define HOLDS       SEC(600)
#define ROOM        16

/* A client's request that a key refuses; its lease stays in "lease". */
static void refuse(apipool_rule_e rule, apr_time_t now)
{
    may_doubt = 1;
    report(rule, 0, now);
    may_doubt = 0;
}

static void settle(apipool_rule_e rule, apipool_doubted_e doubted, apr_time_t now)
{
    apipool_verdict_t verdict = verdict_of(rule, 0);
    settle_doubt(&lease, &verdict, doubted, now);
}

/* Both, for the only key or the next one. */
static void doubt(apipool_rule_e rule, apipool_doubted_e doubted, apr_time_t now)
{
    assert_int_equal(acquire(now), APIPOOL_ACQUIRED);
    refuse(rule, now);
    assert_true(outcome.doubted);
    settle(rule, doubted, now);
}

static void serve(apr_time_t now)
{
    assert_int_equal(acquire(now), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_SUCCESS, 0, now);
}

static void add_served(const char *key)
{
    add(upstream_a, key);
    serve(NOW);
    client = 1;
}

static int lend_check(apipool_lease_t *lent, apr_time_t now)
{
    apipool_state_e state;
    return lend_probe(upstream_a, APIPOOL_PROBE_CHECK, 0, now, lent, &state);
}

static void answer(const apipool_lease_t *lent, apipool_probed_e result, int has_balance,
                   apr_time_t now)
{
    apipool_probe_report_t what = {.result = result,
                                   .has_balance = has_balance,
                                   .status = result == APIPOOL_PROBED_ACCEPTED ? 200 : 401,
                                   .is_check = 1,
                                   .policy = &policy};
    assert_int_equal(apipool_recovery_probed(segment, lent, &what, now, &outcome), APR_SUCCESS);
}

static void ask(apipool_probed_e result, int has_balance, apr_time_t now)
{
    apipool_lease_t lent;
    assert_true(lend_check(&lent, now));
    answer(&lent, result, has_balance, now);
}

static void check_asks_nothing(apr_time_t now)
{
    apipool_lease_t lent;
    assert_false(lend_check(&lent, now));
}

/* One request must not take a pool out, be its keys ever so new. */
static void a_key_that_never_served_is_in_doubt_too(void **unused)
{
    add(upstream_a, "sk-1");
    check_acquires("sk-1", NOW);
    refuse(APIPOOL_RULE_CREDENTIAL, NOW);
    assert_true(outcome.doubted);
    assert_false(outcome.lost);
    settle(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_ENDED, NOW);
    assert_int_equal(outcome.state, APIPOOL_STATE_ACTIVE);
    ask(APIPOOL_PROBED_REJECTED, 0, NOW + 1);
    assert_true(outcome.lost);
}

static void a_key_in_doubt_is_as_it_was(void **unused)
{
    add_served("sk-1");
    const apipool_slot_t *slot = slot_of("sk-1");
    for (int i = 0; i < 20; i++) {
        check_acquires("sk-1", NOW + i);
        refuse(i % 2 ? APIPOOL_RULE_QUOTA : APIPOOL_RULE_CREDENTIAL, NOW + i);
        assert_true(outcome.doubted);
        assert_false(outcome.lost);
        assert_int_equal(outcome.rule, i % 2 ? APIPOOL_RULE_QUOTA : APIPOOL_RULE_CREDENTIAL);
        assert_int_equal(outcome.state, APIPOOL_STATE_ACTIVE);
    }
    assert_int_equal(slot->counts.requests, 21);
    assert_int_equal(slot->counts.errors, 0);
    assert_int_equal(slot->error_streak, 0);
    assert_int_equal(slot->last_error_at, 0);
    assert_int_equal(slot->in_flight, 0);
    assert_true(slot->success == 1);
    assert_int_equal(totals_of(upstream_a).rules[APIPOOL_RULE_QUOTA], 10);
}

static void only_refusals_of_the_key_leave_doubts(void **unused)
{
    static const apipool_rule_e others[] = {APIPOOL_RULE_SUCCESS,   APIPOOL_RULE_CLIENT_GONE,
                                            APIPOOL_RULE_BROKE_OFF, APIPOOL_RULE_NOT_SENT,
                                            APIPOOL_RULE_NO_ANSWER, APIPOOL_RULE_FORBIDDEN,
                                            APIPOOL_RULE_NO_MODEL,  APIPOOL_RULE_CLIENT_ERROR};
    add_served("sk-1");
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        check_acquires("sk-1", NOW);
        refuse(others[i], NOW);
        assert_false(outcome.doubted);
    }
}

static void a_key_is_lost_where_another_one_serves_the_same(void **unused)
{
    add_served("sk-1");
    doubt(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_BLAMED, NOW + 5);
    const apipool_slot_t *slot = slot_of("sk-1");
    assert_true(outcome.lost);
    assert_int_equal(outcome.state, APIPOOL_STATE_INVALID);
    assert_int_equal(slot->counts.errors, 1);
    assert_int_equal(slot->error_streak, 1);
    assert_int_equal(slot->last_rule, APIPOOL_RULE_CREDENTIAL);
    assert_int_equal(slot->last_status, 418);
    assert_int_equal(slot->last_error_at, NOW + 5);
    assert_int_equal(acquire(NOW + 6), APIPOOL_EXHAUSTED);
    check_asks_nothing(NOW + 6);
}

static void a_spent_key_takes_its_account_along(void **unused)
{
    add_of(upstream_a, "sk-1", "acme");
    add_of(upstream_a, "sk-2", "acme");
    serve(NOW);
    serve(NOW);
    check_acquires("sk-1", NOW);
    refuse(APIPOOL_RULE_QUOTA, NOW);
    assert_int_equal(outcome.account, apipool_hash("acme"));
    settle(APIPOOL_RULE_QUOTA, APIPOOL_DOUBT_BLAMED, NOW);
    assert_int_equal(outcome.state, APIPOOL_STATE_QUOTA);
    assert_int_not_equal(acquire(NOW + 1), APIPOOL_ACQUIRED);
}

static void else_a_probe_decides(void **unused)
{
    add_served("sk-1");
    doubt(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_ENDED, NOW);
    assert_true(outcome.asked);
    ask(APIPOOL_PROBED_REJECTED, 0, NOW + 1);
    assert_true(outcome.lost);
    assert_int_equal(outcome.state, APIPOOL_STATE_INVALID);
    check_acquires("sk-1", NOW + SEC(31)); /* like any lost key */
    assert_true(lease.proving);
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(31));
    doubt(APIPOOL_RULE_QUOTA, APIPOOL_DOUBT_ENDED, NOW + SEC(32));
    ask(APIPOOL_PROBED_SPENT, 1, NOW + SEC(33));
    assert_int_equal(outcome.state, APIPOOL_STATE_QUOTA);
}

static void a_key_is_asked_about_once_in_ten_seconds(void **unused)
{
    add_served("sk-1");
    doubt(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_ENDED, NOW);
    doubt(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_ENDED, NOW);
    assert_false(outcome.asked);
    ask(APIPOOL_PROBED_ACCEPTED, 0, NOW + 1);
    check_asks_nothing(NOW + 1);
    for (apr_time_t at = NOW + 2; at < NOW + 1 + ASKED_EVERY; at += SEC(1)) {
        doubt(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_ENDED, at);
        assert_false(outcome.asked);
        serve(at);
        check_asks_nothing(at);
    }
    doubt(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_ENDED, NOW + 1 + ASKED_EVERY);
    assert_true(outcome.asked);
    ask(APIPOOL_PROBED_ACCEPTED, 0, NOW + 1 + ASKED_EVERY);
    doubt(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_ENDED,
          NOW - SEC(100)); /* the clock was set back */
    assert_true(outcome.asked);
}

static void an_upstream_has_so_many_doubts_and_no_more(void **unused)
{
    add_many(upstream_a, "sk-", ROOM + 4);
    for (int i = 0; i < ROOM + 4; i++) {
        serve(NOW);
    }
    for (int i = 0; i < ROOM + 4; i++) {
        doubt(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_ENDED, NOW);
        assert_int_equal(outcome.asked, i < ROOM);
    }
    serve(NOW); /* so that the upstream does not reject every key */
    for (int i = 0; i < ROOM; i++) {
        ask(i ? APIPOOL_PROBED_ACCEPTED : APIPOOL_PROBED_REJECTED, 0, NOW + 1);
    }
    check_asks_nothing(NOW + 1);
    for (int i = 0; i < 2 * ROOM; i++) { /* the lost key has no doubt */
        doubt(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_ENDED, NOW + 2);
    }
    ask(APIPOOL_PROBED_ACCEPTED, 0, NOW + 2);
    check_asks_nothing(NOW + 2);
}

static void an_empty_balance_confirms_a_refusal_for_want_of_money_only(void **unused)
{
    add_served("sk-1");
    doubt(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_ENDED, NOW);
    ask(APIPOOL_PROBED_EMPTY, 1, NOW + 1);
    assert_int_equal(outcome.state, APIPOOL_STATE_ACTIVE);
    doubt(APIPOOL_RULE_QUOTA, APIPOOL_DOUBT_ENDED, NOW + 2 + ASKED_EVERY);
    ask(APIPOOL_PROBED_EMPTY, 1, NOW + 3 + ASKED_EVERY);
    assert_int_equal(outcome.state, APIPOOL_STATE_QUOTA);
    assert_true(outcome.lost);
    assert_int_equal(slot_of("sk-1")->low, 0); /* a balance alone does not bring it back */
}

/* Vouchers do not show in the number: success with another model beats it. */
static void an_empty_balance_is_no_news_of_a_key_that_has_just_served(void **unused)
{
    add(upstream_a, "sk-1");
    for (int i = 0; i < 2; i++) {
        apr_time_t now = NOW + (i ? SEC(300) : SEC(1));
        if (i == 0) {
            assert_int_equal(acquire_for(5, NOW), APIPOOL_ACQUIRED);
            report(APIPOOL_RULE_SUCCESS, 0, NOW);
        }
        assert_int_equal(acquire_for(6, now), APIPOOL_ACQUIRED);
        refuse(APIPOOL_RULE_QUOTA, now);
        settle(APIPOOL_RULE_QUOTA, APIPOOL_DOUBT_ENDED, now);
        assert_true(outcome.asked);
        ask(APIPOOL_PROBED_EMPTY, 1, now + 1);
        assert_int_equal(outcome.state, i ? APIPOOL_STATE_QUOTA : APIPOOL_STATE_ACTIVE);
        assert_int_equal(outcome.lost, i);
    }
}

/* It has served what is refused now: the money has run out meanwhile. */
static void an_empty_balance_confirms_what_has_been_served_before(void **unused)
{
    add(upstream_a, "sk-1");
    assert_int_equal(acquire_for(5, NOW), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_SUCCESS, 0, NOW);
    assert_int_equal(acquire_for(5, NOW + SEC(1)), APIPOOL_ACQUIRED);
    refuse(APIPOOL_RULE_QUOTA, NOW + SEC(1));
    settle(APIPOOL_RULE_QUOTA, APIPOOL_DOUBT_ENDED, NOW + SEC(1));
    ask(APIPOOL_PROBED_EMPTY, 1, NOW + SEC(2));
    assert_int_equal(outcome.state, APIPOOL_STATE_QUOTA);
}

static void what_a_probe_cannot_tell_two_clients_can(void **unused)
{
    static const struct {
        apipool_rule_e rule;
        apipool_probed_e result;
        int has_balance, lost;
    } cases[] = {
        {APIPOOL_RULE_CREDENTIAL, APIPOOL_PROBED_NOT_FOUND, 0, 1},
        {APIPOOL_RULE_CREDENTIAL, APIPOOL_PROBED_UNKNOWN, 0, 1},
        {APIPOOL_RULE_QUOTA, APIPOOL_PROBED_ACCEPTED, 0, 1},
        {APIPOOL_RULE_QUOTA, APIPOOL_PROBED_UNKNOWN, 0, 1},
        {APIPOOL_RULE_CREDENTIAL, APIPOOL_PROBED_ACCEPTED, 0, 0},
        {APIPOOL_RULE_QUOTA, APIPOOL_PROBED_ACCEPTED, 1, 0},
    };
    add_served("sk-1");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        apr_time_t now = NOW + (apr_time_t)(i + 1) * 10000 * SEC(1);
        probe_all(now);
        serve(now);
        client = 1;
        doubt(cases[i].rule, APIPOOL_DOUBT_ENDED, now);
        client = 2;
        doubt(cases[i].rule, APIPOOL_DOUBT_ENDED, now); /* before a probe has answered */
        assert_false(outcome.lost);
        ask(cases[i].result, cases[i].has_balance, now + 1);
        for (int again = 0; again < 5; again++) {
            client = again % 2 ? 1 : 0; /* 0: unknown */
            doubt(cases[i].rule, APIPOOL_DOUBT_ENDED, now + 2);
            assert_false(outcome.lost);
        }
        client = 2;
        doubt(cases[i].rule, APIPOOL_DOUBT_ENDED, now + 2);
        assert_int_equal(outcome.lost, cases[i].lost);
    }
}

static void an_upstream_that_fails_tells_nothing(void **unused)
{
    apipool_lease_t lent;
    add_served("sk-1");
    doubt(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_ENDED, NOW);
    assert_true(lend_check(&lent, NOW));
    apipool_probe_report_t what = {
        .result = APIPOOL_PROBED_UNKNOWN, .upstream_failed = 1, .is_check = 1, .policy = &policy};
    assert_int_equal(apipool_recovery_probed(segment, &lent, &what, NOW, &outcome), APR_SUCCESS);
    client = 2;
    doubt(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_ENDED, NOW + 1);
    assert_false(outcome.lost);
    doubt(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_ENDED, NOW + ASKED_EVERY);
    assert_true(outcome.asked);
}

/* 500 or 501, whenever it is asked: it has no such request. */
static void unless_it_fails_each_time(void **unused)
{
    apipool_probe_report_t what = {.result = APIPOOL_PROBED_NOT_FOUND,
                                   .upstream_failed = 1,
                                   .status = 500,
                                   .is_check = 1,
                                   .policy = &policy};
    add_served("sk-1");
    for (int i = 0; i < 3; i++) {
        apr_time_t now = NOW + i * ASKED_EVERY;
        apipool_lease_t lent;
        client = 1;
        doubt(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_ENDED, now);
        assert_true(lend_check(&lent, now));
        assert_int_equal(apipool_recovery_probed(segment, &lent, &what, now, &outcome),
                         APR_SUCCESS);
        client = 2;
        doubt(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_ENDED, now + 1);
        assert_int_equal(outcome.lost, i == 2);
    }
}

static void a_success_in_between_counts_for_the_key(void **unused)
{
    apipool_lease_t early;
    add_served("sk-1");
    check_acquires("sk-1", NOW);
    early = lease;
    doubt(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_ENDED, NOW + 1);
    ask(APIPOOL_PROBED_NOT_FOUND, 0, NOW + 2);
    serve(NOW + 3);
    client = 2;
    doubt(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_ENDED, NOW + 4);
    assert_false(outcome.lost);
    doubt(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_ENDED, NOW + 4 + ASKED_EVERY);
    ask(APIPOOL_PROBED_NOT_FOUND, 0, NOW + 4 + ASKED_EVERY);
    report_lease(&early, APIPOOL_RULE_SUCCESS, 0,
                 NOW + 5 + ASKED_EVERY); /* began before the doubt */
    client = 1;
    doubt(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_ENDED, NOW + 6 + ASKED_EVERY);
    assert_true(outcome.lost);
}

static void two_accounts_are_blamed_when_it_happens_again(void **unused)
{
    add_served("sk-1");
    doubt(APIPOOL_RULE_QUOTA, APIPOOL_DOUBT_SERVED, NOW);
    assert_false(outcome.lost);
    doubt(APIPOOL_RULE_QUOTA, APIPOOL_DOUBT_SERVED, NOW + 1);
    assert_false(outcome.lost);
    ask(APIPOOL_PROBED_ACCEPTED, 0, NOW + 2);
    doubt(APIPOOL_RULE_QUOTA, APIPOOL_DOUBT_SERVED, NOW + 2 + HOLDS); /* long ago */
    assert_false(outcome.lost);
    ask(APIPOOL_PROBED_ACCEPTED, 1, NOW + 3 + HOLDS);
    doubt(APIPOOL_RULE_QUOTA, APIPOOL_DOUBT_SERVED, NOW + 4 + HOLDS);
    assert_true(outcome.lost);
    assert_int_equal(outcome.state, APIPOOL_STATE_QUOTA);
}

static void a_half_open_key_stays_so_for_a_second(void **unused)
{
    apr_time_t now = NOW + SEC(30);
    add_served("sk-1");
    check_acquires("sk-1", NOW);
    report(APIPOOL_RULE_CREDENTIAL, 0, NOW);
    doubt(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_ENDED, now);
    assert_int_equal(outcome.state, APIPOOL_STATE_HALF_OPEN);
    assert_int_not_equal(acquire(now), APIPOOL_ACQUIRED);
    check_acquires("sk-1", now + SEC(1));
    assert_true(lease.proving);
    refuse(APIPOOL_RULE_CREDENTIAL, now + SEC(1));
    settle(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_BLAMED, now + SEC(1));
    assert_int_equal(outcome.state, APIPOOL_STATE_INVALID);
    assert_int_equal(slot_of("sk-1")->recover_tries, 1);
    assert_int_equal(acquire(now + SEC(61) - 1), APIPOOL_EXHAUSTED);
    check_acquires("sk-1", now + SEC(61));
}

/* --- A model that is refused ----------------------------------------------------------------- */

enum { GOOD = 11, PRO, PRO2, PRO3 };
static int certain; /* the upstream says in words that the credential is invalid */

/* A request for a model is refused by sk-1, and by no other key if "doubted" says so. */
static void refuse_model(apr_uint64_t model, apipool_rule_e rule, apipool_doubted_e doubted,
                         apr_time_t now)
{
    for (;;) {
        assert_int_equal(acquire_for(model, now), APIPOOL_ACQUIRED);
        if (!strcmp(lease.key, "sk-1")) {
            break;
        }
        report(APIPOOL_RULE_SUCCESS, 0, now);
    }
    refuse(rule, now);
    apipool_lease_t refused = lease;
    if (doubted != APIPOOL_DOUBT_ENDED) {
        assert_int_equal(acquire_for(model, now), APIPOOL_ACQUIRED);
        assert_string_equal(lease.key, "sk-2");
        report(APIPOOL_RULE_SUCCESS, 0, now);
    }
    apipool_verdict_t verdict = verdict_of(rule, 0);
    verdict.is_certain = certain;
    settle_doubt(&refused, &verdict, doubted, now);
}

/* Returns 1 if sk-1 is among the keys that a model gets. */
static int serves(apr_uint64_t model, apr_time_t now)
{
    int found = 0;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(acquire_for(model, now), APIPOOL_ACQUIRED);
        found |= !strcmp(lease.key, "sk-1");
        report(APIPOOL_RULE_CLIENT_GONE, 0, now);
    }
    return found;
}

static void a_key_rests_for_a_model_that_another_one_serves(void **unused)
{
    static const apipool_rule_e rules[] = {APIPOOL_RULE_QUOTA, APIPOOL_RULE_CREDENTIAL};
    for (int i = 0; i < 2; i++) {
        fixture_t *f = open_with(CAPACITY);
        add(upstream_a, "sk-1");
        add(upstream_a, "sk-2");
        refuse_model(PRO, rules[i], APIPOOL_DOUBT_BLAMED, NOW);
        assert_false(outcome.lost);
        assert_true(outcome.asked);
        assert_int_equal(slot_of("sk-1")->state, APIPOOL_STATE_ACTIVE);
        assert_int_equal(slot_of("sk-1")->last_rule, rules[i]);
        assert_false(serves(PRO, NOW + SEC(30) - 1));
        assert_true(serves(GOOD, NOW));
        assert_true(serves(PRO, NOW + SEC(30)));
        refuse_model(PRO, rules[i], APIPOOL_DOUBT_BLAMED, NOW + SEC(30)); /* again */
        assert_false(serves(PRO, NOW + SEC(90) - 1));
        assert_true(serves(PRO, NOW + SEC(90)));
        assert_null(consistency_of(segment));
        fixture_close(f);
    }
}

static void a_spent_model_rests_for_the_whole_account(void **unused)
{
    add_of(upstream_a, "sk-1", "acme");
    add(upstream_a, "sk-2");
    add_of(upstream_a, "sk-3", "acme");
    refuse_model(PRO, APIPOOL_RULE_QUOTA, APIPOOL_DOUBT_BLAMED, NOW);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(acquire_for(PRO, NOW), APIPOOL_ACQUIRED);
        assert_string_equal(lease.key, "sk-2");
        report(APIPOOL_RULE_SUCCESS, 0, NOW);
    }
    assert_true(serves(GOOD, NOW));
}

/* A credential is not one for certain models; but a key that has just served is not invalid. */
static void what_is_called_invalid_is_lost_where_another_one_serves(void **unused)
{
    add(upstream_a, "sk-1");
    add(upstream_a, "sk-2");
    certain = 1;
    do {
        assert_int_equal(acquire_for(GOOD, NOW), APIPOOL_ACQUIRED);
        report(APIPOOL_RULE_SUCCESS, 0, NOW);
    } while (strcmp(lease.key, "sk-1"));
    refuse_model(PRO, APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_BLAMED, NOW + SEC(1));
    assert_false(outcome.lost);
    assert_true(outcome.rests);
    refuse_model(GOOD, APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_ENDED, NOW + SEC(2));
    assert_false(outcome.lost);
    refuse_model(GOOD, APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_BLAMED, NOW + SEC(3));
    assert_true(outcome.lost);
    certain = 0;
}

/* The probe is inconclusive in all of these. */
static void a_second_model_tells_that_it_is_the_key(void **unused)
{
    add(upstream_a, "sk-1");
    add(upstream_a, "sk-2");
    refuse_model(PRO, APIPOOL_RULE_QUOTA, APIPOOL_DOUBT_BLAMED, NOW);
    ask(APIPOOL_PROBED_UNKNOWN, 0, NOW + 1);
    refuse_model(PRO2, APIPOOL_RULE_QUOTA, APIPOOL_DOUBT_BLAMED, NOW + SEC(1));
    assert_true(outcome.lost);
    assert_int_equal(outcome.state, APIPOOL_STATE_QUOTA);
}

static void unless_the_key_serves_others(void **unused)
{
    add(upstream_a, "sk-1");
    add(upstream_a, "sk-2");
    refuse_model(PRO, APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_BLAMED, NOW);
    ask(APIPOOL_PROBED_UNKNOWN, 0, NOW + 1);
    do { /* the refusal before is no evidence any more */
        assert_int_equal(acquire_for(GOOD, NOW + 2), APIPOOL_ACQUIRED);
        report(APIPOOL_RULE_SUCCESS, 0, NOW + 2);
    } while (strcmp(lease.key, "sk-1"));
    refuse_model(PRO2, APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_BLAMED, NOW + SEC(11));
    assert_false(outcome.lost);
    ask(APIPOOL_PROBED_UNKNOWN, 0, NOW + SEC(12));
    refuse_model(PRO3, APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_BLAMED, NOW + SEC(13));
    assert_false(outcome.lost); /* it has served another model, and was not refused it since */
    refuse_model(GOOD, APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_BLAMED, NOW + SEC(14));
    assert_true(outcome.lost);
}

static void a_model_that_it_has_served_is_no_excuse_once_it_is_refused(void **unused)
{
    add(upstream_a, "sk-1");
    add(upstream_a, "sk-2");
    do {
        assert_int_equal(acquire_for(GOOD, NOW), APIPOOL_ACQUIRED);
        report(APIPOOL_RULE_SUCCESS, 0, NOW);
    } while (strcmp(lease.key, "sk-1"));
    refuse_model(GOOD, APIPOOL_RULE_QUOTA, APIPOOL_DOUBT_BLAMED, NOW + 1);
    assert_false(outcome.lost);
    ask(APIPOOL_PROBED_UNKNOWN, 0, NOW + 2);
    refuse_model(PRO, APIPOOL_RULE_QUOTA, APIPOOL_DOUBT_BLAMED, NOW + 3);
    assert_true(outcome.lost);
    assert_int_equal(slot_of("sk-1")->served_model, 0);
}

static void a_model_that_nobody_serves_costs_no_key(void **unused)
{
    add(upstream_a, "sk-1");
    for (int i = 0; i < 20; i++) {
        client = (apr_uint64_t)i % 3 + 1;
        refuse_model(i % 2 ? PRO : PRO2, APIPOOL_RULE_QUOTA, APIPOOL_DOUBT_ENDED, NOW + SEC(i));
        assert_false(outcome.lost);
        assert_int_equal(acquire_for(GOOD, NOW + SEC(i)), APIPOOL_ACQUIRED);
        report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(i));
        apipool_lease_t lent;
        if (lend_check(&lent, NOW + SEC(i))) {
            answer(&lent, APIPOOL_PROBED_UNKNOWN, 0, NOW + SEC(i));
        }
    }
    assert_int_equal(slot_of("sk-1")->counts.errors, 0);
}

/* Seven models have no cooldowns of their own: the last one stands for all others. */
static void a_model_does_not_rest_in_the_place_of_others(void **unused)
{
    add(upstream_a, "sk-1");
    add(upstream_a, "sk-2");
    for (apr_uint64_t model = 101; model < 120; model++) {
        refuse_model(model, APIPOOL_RULE_QUOTA, APIPOOL_DOUBT_BLAMED, NOW);
        assert_int_equal(serves(model, NOW + 1), model >= 107);
    }
    assert_true(serves(GOOD, NOW + 1));
}

/* The key stays in rotation for others; a request that has it in doubt waits for cooling keys. */
static void a_key_in_doubt_is_none_to_wait_for(void **unused)
{
    apipool_lend_request_t request = want(APIPOOL_STRATEGY_ROUND_ROBIN);
    apr_uint32_t waiter, tried[2];
    add_served("sk-1");
    add_served("sk-2");
    check_acquires("sk-1", NOW);
    tried[0] = lease.slot;
    refuse(APIPOOL_RULE_CREDENTIAL, NOW);
    check_acquires("sk-2", NOW);
    tried[1] = lease.slot;
    report_limit(APIPOOL_SCOPE_KEY, NOW + SEC(9), NOW);
    request.tried = tried;
    request.tried_count = 2;
    assert_int_equal(acquire_request(&request, NOW), APIPOOL_ALL_TRIED);
    request.doubted_count = 1;
    assert_int_equal(acquire_request(&request, NOW), APIPOOL_ALL_COOLING);
    assert_int_equal(retry_at, NOW + SEC(9));
    request.tried_count = 1;
    assert_int_equal(apipool_pool_enter_queue(segment, request.pool, request.waits_for, &waiter),
                     APR_SUCCESS);
    assert_int_equal(acquire_request(&request, NOW + SEC(9)), APIPOOL_ACQUIRED);
    assert_int_equal(lease.slot, tried[1]);
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(9));
    assert_int_equal(apipool_pool_leave_queue(segment, waiter), APR_SUCCESS);
}

/* Not even when the clock brings the key back. */
static void a_half_open_key_in_doubt_is_none_to_wait_for(void **unused)
{
    apipool_lend_request_t request = want(APIPOOL_STRATEGY_ROUND_ROBIN);
    apr_uint32_t tried;
    add_served("sk-1");
    check_acquires("sk-1", NOW);
    report(APIPOOL_RULE_CREDENTIAL, 0, NOW);
    check_acquires("sk-1", NOW + SEC(60));
    assert_true(lease.proving);
    tried = lease.slot;
    refuse(APIPOOL_RULE_CREDENTIAL, NOW + SEC(60));
    assert_true(outcome.doubted);
    request.tried = &tried;
    request.tried_count = 1;
    assert_int_equal(acquire_request(&request, NOW + SEC(60)), APIPOOL_ALL_COOLING);
    request.doubted_count = 1;
    assert_int_equal(acquire_request(&request, NOW + SEC(60)), APIPOOL_EXHAUSTED);
}

static void what_an_operator_does_ends_a_doubt(void **unused)
{
    apr_uint32_t index;
    add_served("sk-1");
    apr_uint64_t id = slot_of("sk-1")->id;
    index = (apr_uint32_t)(slot_of("sk-1") - segment->slots);
    doubt(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_ENDED, NOW);
    assert_int_equal(apipool_pool_reset(segment, main_pool, id), APR_SUCCESS);
    check_asks_nothing(NOW);
    doubt(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_ENDED, NOW);
    segment->slots[index].state = APIPOOL_STATE_DISABLED;
    check_asks_nothing(NOW);
    settle(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_BLAMED, NOW);
    assert_false(outcome.lost);
    assert_int_equal(outcome.state, APIPOOL_STATE_DISABLED);
    segment->slots[index].state = APIPOOL_STATE_ACTIVE;
    doubt(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_ENDED, NOW);
    assert_true(outcome.asked);
    assert_int_equal(add(upstream_b, "sk-1"), APIPOOL_DUPLICATE); /* moves there */
    check_asks_nothing(NOW);
    settle(APIPOOL_RULE_CREDENTIAL, APIPOOL_DOUBT_BLAMED, NOW);
    assert_false(outcome.lost);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_key_that_never_served_is_in_doubt_too),
        TEST(a_key_in_doubt_is_as_it_was),
        TEST(only_refusals_of_the_key_leave_doubts),
        TEST(a_key_is_lost_where_another_one_serves_the_same),
        TEST(a_spent_key_takes_its_account_along),
        TEST(else_a_probe_decides),
        TEST(a_key_is_asked_about_once_in_ten_seconds),
        TEST(an_upstream_has_so_many_doubts_and_no_more),
        TEST(what_a_probe_cannot_tell_two_clients_can),
        TEST(an_empty_balance_confirms_a_refusal_for_want_of_money_only),
        TEST(an_empty_balance_is_no_news_of_a_key_that_has_just_served),
        TEST(an_empty_balance_confirms_what_has_been_served_before),
        TEST(an_upstream_that_fails_tells_nothing),
        TEST(unless_it_fails_each_time),
        TEST(a_success_in_between_counts_for_the_key),
        TEST(two_accounts_are_blamed_when_it_happens_again),
        TEST(a_half_open_key_stays_so_for_a_second),
        TEST(a_key_in_doubt_is_none_to_wait_for),
        TEST(a_half_open_key_in_doubt_is_none_to_wait_for),
        TEST(what_an_operator_does_ends_a_doubt),
        cmocka_unit_test(a_key_rests_for_a_model_that_another_one_serves),
        TEST(a_spent_model_rests_for_the_whole_account),
        TEST(what_is_called_invalid_is_lost_where_another_one_serves),
        TEST(a_second_model_tells_that_it_is_the_key),
        TEST(unless_the_key_serves_others),
        TEST(a_model_that_it_has_served_is_no_excuse_once_it_is_refused),
        TEST(a_model_that_nobody_serves_costs_no_key),
        TEST(a_model_does_not_rest_in_the_place_of_others),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests_name("doubt", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
