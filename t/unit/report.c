/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/pool/report: effects of verdicts on keys, and how keys prove themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "pool_fixture.h"
#include "slots.h"

static const struct {
    apipool_rule_e rule;
    apipool_state_e state;
    int successes, errors, lost;
} verdicts[] = {
    {APIPOOL_RULE_SUCCESS, APIPOOL_STATE_ACTIVE, 1, 0, 0},
    {APIPOOL_RULE_CLIENT_GONE, APIPOOL_STATE_ACTIVE, 0, 0, 0},
    {APIPOOL_RULE_BROKE_OFF, APIPOOL_STATE_ACTIVE, 0, 0, 0},
    {APIPOOL_RULE_NOT_SENT, APIPOOL_STATE_ACTIVE, 0, 0, 0},
    {APIPOOL_RULE_NO_ANSWER, APIPOOL_STATE_ACTIVE, 0, 0, 0},
    {APIPOOL_RULE_QUOTA, APIPOOL_STATE_QUOTA, 0, 1, 1},
    {APIPOOL_RULE_CREDENTIAL, APIPOOL_STATE_INVALID, 0, 1, 1},
    {APIPOOL_RULE_RATE_LIMIT, APIPOOL_STATE_COOLING, 0, 1, 0},
    {APIPOOL_RULE_FORBIDDEN, APIPOOL_STATE_ACTIVE, 0, 0, 0},
    {APIPOOL_RULE_NO_MODEL, APIPOOL_STATE_ACTIVE, 0, 0, 0},
    {APIPOOL_RULE_CLIENT_ERROR, APIPOOL_STATE_ACTIVE, 0, 0, 0},
    {APIPOOL_RULE_UPSTREAM_ERROR, APIPOOL_STATE_ACTIVE, 0, 1, 0},
    {APIPOOL_RULE_OVERLOADED, APIPOOL_STATE_ACTIVE, 0, 0, 0},
};

static void every_verdict_is_counted_and_moves_the_key(void **unused)
{
    for (size_t i = 0; i < sizeof(verdicts) / sizeof(*verdicts); i++) {
        char name[16];
        snprintf(name, sizeof(name), "sk-%zu", i);
        apipool_source_t source = {.upstream = upstream_of(main_pool, name), .weight = 1};
        apipool_lend_request_t request = want(APIPOOL_STRATEGY_SMART);
        request.sources = &source;
        request.source_count = 1;
        add(source.upstream, name);
        assert_int_equal(acquire_request(&request, NOW + 1), APIPOOL_ACQUIRED);
        const apipool_slot_t *slot = &segment->slots[lease.slot];
        assert_int_equal(slot->in_flight, 1);
        assert_int_equal(report(verdicts[i].rule, 0, NOW + 2), verdicts[i].rule);
        assert_int_equal(slot->state, verdicts[i].state);
        assert_int_equal(outcome.state, verdicts[i].state);
        assert_int_equal(outcome.lost, verdicts[i].lost);
        assert_int_equal(slot->in_flight, 0);
        assert_int_equal(slot->counts.requests, 1);
        assert_int_equal(slot->counts.successes, verdicts[i].successes);
        assert_int_equal(slot->counts.errors, verdicts[i].errors);
        assert_int_equal(slot->error_streak, verdicts[i].errors);
        assert_int_equal(slot->last_status, verdicts[i].errors ? 418 : 0);
        assert_int_equal(slot->last_rule, verdicts[i].errors ? verdicts[i].rule : 0);
        assert_int_equal(slot->last_error_at, verdicts[i].errors ? NOW + 2 : 0);
        assert_int_equal(slot->last_used_at, NOW + 1);
        assert_int_equal(slot->added_at, NOW);
        assert_int_equal(totals_of(source.upstream).rules[verdicts[i].rule], 1);
    }
}

static void a_cooling_key_comes_back_at_its_time_and_not_before(void **unused)
{
    add(upstream_a, "sk-1");
    check_acquires("sk-1", NOW);
    report(APIPOOL_RULE_RATE_LIMIT, NOW + SEC(7), NOW);
    assert_int_equal(acquire(NOW + SEC(7) - 1), APIPOOL_ALL_COOLING);
    assert_int_equal(retry_at, NOW + SEC(7));
    check_acquires("sk-1", NOW + SEC(7));
    assert_false(lease.proving);
    assert_int_equal(totals_of(upstream_a).keys[APIPOOL_STATE_ACTIVE], 1);
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(7));
}

static void unnamed_cooldowns_double_until_a_success(void **unused)
{
    static const int seconds[] = {1, 2, 4, 8, 16, 32, 60, 60};
    apr_time_t now = NOW;
    add(upstream_a, "sk-1");
    for (size_t i = 0; i < sizeof(seconds) / sizeof(*seconds); i++) {
        check_acquires("sk-1", now);
        report(APIPOOL_RULE_RATE_LIMIT, 0, now);
        assert_int_equal(acquire(now), APIPOOL_ALL_COOLING);
        assert_int_equal(retry_at, now + SEC(seconds[i]));
        now = retry_at;
    }
    check_acquires("sk-1", now);
    report(APIPOOL_RULE_SUCCESS, 0, now);
    check_acquires("sk-1", now);
    report(APIPOOL_RULE_RATE_LIMIT, 0, now);
    assert_int_equal(acquire(now), APIPOOL_ALL_COOLING);
    assert_int_equal(retry_at, now + SEC(1));
}

static void a_cooldown_is_prolonged_but_never_shortened(void **unused)
{
    apipool_lease_t leases[4];
    static const int named[] = {30, 10, 50, 0}, until[] = {30, 30, 50, 50};
    add(upstream_a, "sk-1");
    for (int i = 0; i < 4; i++) {
        check_acquires("sk-1", NOW);
        leases[i] = lease;
    }
    for (int i = 0; i < 4; i++) {
        report_lease(&leases[i], APIPOOL_RULE_RATE_LIMIT, named[i] ? NOW + SEC(named[i]) : 0, NOW);
        assert_int_equal(acquire(NOW), APIPOOL_ALL_COOLING);
        assert_int_equal(retry_at, NOW + SEC(until[i]));
    }
}

static void limits_met_together_count_as_one(void **unused)
{
    apipool_lease_t leases[5];
    add(upstream_a, "sk-1");
    for (int i = 0; i < 5; i++) {
        check_acquires("sk-1", NOW);
        leases[i] = lease;
    }
    for (int i = 0; i < 5; i++) {
        report_lease(&leases[i], APIPOOL_RULE_RATE_LIMIT, 0, NOW + 1 + i);
    }
    assert_int_equal(slot_of("sk-1")->limited_streak, 1);
    assert_int_equal(acquire(NOW + SEC(1)), APIPOOL_ALL_COOLING);
    assert_int_equal(retry_at, NOW + 5 + SEC(1));
}

static void late_reports_do_not_revive_a_key(void **unused)
{
    static const apipool_rule_e late[] = {APIPOOL_RULE_SUCCESS, APIPOOL_RULE_RATE_LIMIT,
                                          APIPOOL_RULE_QUOTA, APIPOOL_RULE_CLIENT_ERROR,
                                          APIPOOL_RULE_UPSTREAM_ERROR};
    apipool_lease_t leases[6];
    add(upstream_a, "sk-1");
    for (int i = 0; i < 6; i++) {
        check_acquires("sk-1", NOW);
        leases[i] = lease;
    }
    report_lease(&leases[5], APIPOOL_RULE_CREDENTIAL, 0, NOW);
    for (int i = 0; i < 5; i++) {
        report_lease(&leases[i], late[i], NOW + SEC(1), NOW);
        assert_int_equal(acquire(NOW + SEC(2)), APIPOOL_EXHAUSTED);
        assert_int_equal(retry_at, 0);
        assert_int_equal(segment->slots[0].state, APIPOOL_STATE_INVALID);
        assert_int_equal(outcome.lost, 0);
    }
    assert_int_equal(in_flight(), 0);
}

static void a_late_success_does_not_end_a_cooldown(void **unused)
{
    apipool_lease_t early;
    add(upstream_a, "sk-1");
    check_acquires("sk-1", NOW);
    early = lease;
    check_acquires("sk-1", NOW);
    report(APIPOOL_RULE_RATE_LIMIT, NOW + SEC(5), NOW);
    report_lease(&early, APIPOOL_RULE_SUCCESS, 0, NOW);
    assert_int_equal(acquire(NOW + SEC(5) - 1), APIPOOL_ALL_COOLING);
    check_acquires("sk-1", NOW + SEC(5));
    report(APIPOOL_RULE_SUCCESS, 0, NOW);
}

/* Only key, after that verdict. */
static void lose_by(apipool_rule_e rule)
{
    add(upstream_a, "sk-1");
    check_acquires("sk-1", NOW);
    report(rule, 0, NOW);
    assert_int_equal(outcome.lost, 1);
    assert_int_equal(acquire(NOW), APIPOOL_EXHAUSTED);
    assert_int_equal(acquire(NOW + SEC(30) - 1), APIPOOL_EXHAUSTED);
}

static void a_lost_key_is_lent_to_one_request_that_proves_it(void **unused)
{
    lose_by(APIPOOL_RULE_CREDENTIAL);
    check_acquires("sk-1", NOW + SEC(30));
    assert_true(lease.proving);
    assert_int_equal(slot_of("sk-1")->state, APIPOOL_STATE_HALF_OPEN);
    apipool_lease_t proof = lease;
    assert_int_equal(acquire(NOW + SEC(30)), APIPOOL_ALL_BUSY);
    assert_int_equal(acquire(NOW + SEC(3000)), APIPOOL_ALL_BUSY);
    report_lease(&proof, APIPOOL_RULE_SUCCESS, 0, NOW + SEC(31));
    assert_int_equal(outcome.state, APIPOOL_STATE_ACTIVE);
    check_acquires("sk-1", NOW + SEC(31));
    assert_false(lease.proving);
    report(APIPOOL_RULE_CREDENTIAL, 0, NOW + SEC(31));
    assert_int_equal(acquire(NOW + SEC(61) - 1), APIPOOL_EXHAUSTED); /* tries start again */
    check_acquires("sk-1", NOW + SEC(61));
}

static void each_try_that_fails_doubles_the_wait(void **unused)
{
    static const int seconds[] = {60, 120, 240, 480, 960, 1920, 3600, 3600};
    apr_time_t now = NOW + SEC(30);
    lose_by(APIPOOL_RULE_QUOTA);
    for (size_t i = 0; i < sizeof(seconds) / sizeof(*seconds); i++) {
        check_acquires("sk-1", now);
        assert_true(lease.proving);
        report(i % 2 ? APIPOOL_RULE_QUOTA : APIPOOL_RULE_CREDENTIAL, 0, now);
        assert_int_equal(acquire(now + SEC(seconds[i]) - 1), APIPOOL_EXHAUSTED);
        now += SEC(seconds[i]);
    }
}

static const struct {
    apipool_rule_e rule;
    int seconds; /* until the next proof */
} inconclusive[] = {
    {APIPOOL_RULE_CLIENT_GONE, 0}, {APIPOOL_RULE_BROKE_OFF, 1}, {APIPOOL_RULE_NOT_SENT, 1},
    {APIPOOL_RULE_NO_ANSWER, 1},   {APIPOOL_RULE_NO_MODEL, 0},  {APIPOOL_RULE_CLIENT_ERROR, 0},
    {APIPOOL_RULE_OVERLOADED, 1},
};

static void a_proof_that_tells_nothing_is_repeated(void **unused)
{
    apr_time_t now = NOW + SEC(30);
    lose_by(APIPOOL_RULE_CREDENTIAL);
    for (size_t i = 0; i < sizeof(inconclusive) / sizeof(*inconclusive); i++) {
        check_acquires("sk-1", now);
        assert_true(lease.proving);
        report(inconclusive[i].rule, 0, now);
        assert_int_equal(outcome.state, APIPOOL_STATE_HALF_OPEN);
        now += SEC(inconclusive[i].seconds);
        if (inconclusive[i].seconds) {
            assert_int_not_equal(acquire(now - 1), APIPOOL_ACQUIRED);
        }
    }
    check_acquires("sk-1", now);
    report(APIPOOL_RULE_SUCCESS, 0, now);
    assert_int_equal(outcome.state, APIPOOL_STATE_ACTIVE);
}

/* Until then its keys come back by the clock, as clients are told. */
static void a_proof_that_is_repeated_is_waited_for(void **unused)
{
    apr_time_t now = NOW + SEC(30), next;
    lose_by(APIPOOL_RULE_CREDENTIAL);
    for (int i = 0; i < 8; i++, now = next) {
        check_acquires("sk-1", now);
        assert_true(lease.proving);
        report(APIPOOL_RULE_NOT_SENT, 0, now + i);
        next = now + i + SEC(1);
        apipool_acquired_e result = acquire(now + i);
        assert_int_equal(result, i < 4 ? APIPOOL_ALL_COOLING : APIPOOL_ALL_PAUSED);
        assert_int_equal(retry_at, next);
    }
    apr_uint32_t index = (apr_uint32_t)(slot_of("sk-1") - segment->slots);
    apipool_members_cool_locked(segment, index, 4711, now + SEC(9), now);
    assert_int_equal(acquire_for(4711, now), APIPOOL_ALL_COOLING);
    assert_int_equal(retry_at, now + SEC(9));
}

static void a_proof_that_is_rate_limited_makes_the_key_cool(void **unused)
{
    lose_by(APIPOOL_RULE_CREDENTIAL);
    check_acquires("sk-1", NOW + SEC(30));
    report(APIPOOL_RULE_RATE_LIMIT, NOW + SEC(50), NOW + SEC(30));
    assert_int_equal(outcome.state, APIPOOL_STATE_COOLING);
    assert_int_equal(acquire(NOW + SEC(50) - 1), APIPOOL_ALL_COOLING);
    check_acquires("sk-1", NOW + SEC(50));
    assert_false(lease.proving);
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(50));
}

static void an_answer_that_begins_well_is_a_proof(void **unused)
{
    lose_by(APIPOOL_RULE_CREDENTIAL);
    check_acquires("sk-1", NOW + SEC(30));
    assert_int_equal(apipool_pool_proved(segment, &lease, NOW + SEC(31)), APR_SUCCESS);
    assert_int_equal(slot_of("sk-1")->state, APIPOOL_STATE_ACTIVE);
    assert_null(consistency_of(segment));
    apipool_lease_t stream = lease;
    check_acquires("sk-1", NOW + SEC(31));
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(32));
    report_lease(&stream, APIPOOL_RULE_BROKE_OFF, 0, NOW + SEC(33));
    assert_int_equal(slot_of("sk-1")->state, APIPOOL_STATE_ACTIVE);
}

/* A process dies while an answer that has proved a key still flows; a later proof is not its
 * own. */
static void the_dead_take_no_proof_of_others_with_them(void **unused)
{
    lose_by(APIPOOL_RULE_CREDENTIAL);
    segment->process = 100;
    check_acquires("sk-1", NOW + SEC(30));
    assert_int_equal(apipool_pool_proved(segment, &lease, NOW + SEC(31)), APR_SUCCESS);
    segment->process = 200;
    check_acquires("sk-1", NOW + SEC(31));
    report(APIPOOL_RULE_CREDENTIAL, 0, NOW + SEC(31));
    check_acquires("sk-1", NOW + SEC(61));
    assert_true(lease.proving);
    assert_int_equal(apipool_pool_reclaim(segment, 100, NOW), APR_SUCCESS);
    assert_int_equal(acquire(NOW + SEC(61)), APIPOOL_ALL_BUSY);
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(62));
    assert_int_equal(in_flight(), 0);
}

static void a_proof_that_died_is_repeated(void **unused)
{
    lose_by(APIPOOL_RULE_CREDENTIAL);
    segment->process = 100;
    check_acquires("sk-1", NOW + SEC(30));
    assert_int_equal(apipool_pool_reclaim(segment, 100, NOW), APR_SUCCESS);
    check_acquires("sk-1", NOW + SEC(30));
    assert_true(lease.proving);
    assert_int_equal(apipool_pool_reclaim_all(segment, NOW), APR_SUCCESS);
    check_acquires("sk-1", NOW + SEC(30));
    assert_true(lease.proving);
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(30));
}

static apipool_rule_e report_words(apipool_rule_e rule, const char *message, apr_time_t now)
{
    apipool_verdict_t verdict = verdict_of(rule, 0);
    apipool_words_make(&verdict.words, "", "", message);
    return report_as(&lease, &verdict, -1, now);
}

static void check_told(const char *key, const char *reason, const char *words)
{
    const apipool_slot_t *slot = slot_of(key);
    assert_string_equal(apipool_slot_reason_code(slot), reason);
    assert_string_equal(apipool_slot_words_locked(segment, slot), words);
    assert_true(strlen(apipool_slot_reason(slot)) > 0);
}

/* Not the last error, which may be another one. */
static void the_reason_is_what_took_the_key_out(void **unused)
{
    add(upstream_a, "sk-1");
    limits.rpm = 3;
    limits.tpd = 100;
    check_acquires("sk-1", NOW);
    report_words(APIPOOL_RULE_UPSTREAM_ERROR, "sorry", NOW);
    check_acquires("sk-1", NOW);
    report(APIPOOL_RULE_SUCCESS, 0, NOW);
    check_acquires("sk-1", NOW);
    report(APIPOOL_RULE_SUCCESS, 0, NOW);
    assert_int_equal(acquire(NOW), APIPOOL_ALL_COOLING);
    check_told("sk-1", "rpm", "\n\nsorry");
    limits.rpm = 0;
    limits.tpd = 3;
    assert_int_equal(acquire(NOW + SEC(300)), APIPOOL_ALL_COOLING);
    check_told("sk-1", "tpd", "\n\nsorry");
    limits.tpd = 0;
    check_acquires("sk-1", NOW + SEC(172800));
    report_words(APIPOOL_RULE_RATE_LIMIT, "slower", NOW + SEC(172800));
    check_told("sk-1", "R07", "\n\nslower");
    check_acquires("sk-1", NOW + SEC(172900));
    report(APIPOOL_RULE_CREDENTIAL, 0, NOW + SEC(172900)); /* without a word */
    check_told("sk-1", "R06", "");
}

static void keys_of_a_spent_account_say_so(void **unused)
{
    add_of(upstream_a, "sk-1", "acme");
    add_of(upstream_a, "sk-2", "acme");
    check_acquires("sk-1", NOW);
    report_words(APIPOOL_RULE_QUOTA, "spent", NOW);
    assert_int_not_equal(acquire(NOW), APIPOOL_ACQUIRED);
    check_told("sk-1", "R05", "\n\nspent");
    check_told("sk-2", "account", "");
}

static void the_words_of_the_oldest_errors_make_room(void **unused)
{
    add(upstream_a, "sk-1");
    add(upstream_a, "sk-2");
    check_acquires("sk-1", NOW);
    report_words(APIPOOL_RULE_UPSTREAM_ERROR, "one", NOW);
    check_acquires("sk-2", NOW);
    report_words(APIPOOL_RULE_UPSTREAM_ERROR, "two", NOW);
    segment->header->words_next = APIPOOL_KEY_WORDS_MAX;
    add(upstream_b, "sk-3");
    do {
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        report_words(APIPOOL_RULE_UPSTREAM_ERROR, lease.key, NOW);
    } while (strcmp(lease.key, "sk-3"));
    assert_string_equal(apipool_slot_words_locked(segment, slot_of("sk-3")), "\n\nsk-3");
    assert_string_not_equal(apipool_slot_words_locked(segment, slot_of("sk-1")), "\n\nsk-3");
}

/* A request that began before the key was lost is refused while another one proves the key. */
static void a_late_refusal_lets_no_second_proof_begin(void **unused)
{
    apipool_lease_t early, proof;
    add(upstream_a, "sk-1");
    check_acquires("sk-1", NOW);
    early = lease;
    check_acquires("sk-1", NOW);
    report(APIPOOL_RULE_CREDENTIAL, 0, NOW);
    check_acquires("sk-1", NOW + SEC(30));
    assert_true(lease.proving);
    proof = lease;
    report_lease(&early, APIPOOL_RULE_CREDENTIAL, 0, NOW + SEC(31));
    assert_int_not_equal(acquire(NOW + SEC(100)), APIPOOL_ACQUIRED);
    report_lease(&proof, APIPOOL_RULE_SUCCESS, 0, NOW + SEC(101));
    assert_int_equal(acquire(NOW + SEC(4000)), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(4000));
    assert_int_equal(slot_of("sk-1")->state, APIPOOL_STATE_ACTIVE);
}

static void a_refusal_during_a_proof_that_began_well_loses_no_key(void **unused)
{
    apipool_lease_t early;
    add(upstream_a, "sk-1");
    check_acquires("sk-1", NOW);
    early = lease;
    check_acquires("sk-1", NOW);
    report(APIPOOL_RULE_CREDENTIAL, 0, NOW);
    check_acquires("sk-1", NOW + SEC(30));
    assert_true(lease.proving);
    report_lease(&early, APIPOOL_RULE_CREDENTIAL, 0, NOW + SEC(31));
    assert_int_equal(apipool_pool_proved(segment, &lease, NOW + SEC(32)), APR_SUCCESS);
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(33));
    check_acquires("sk-1", NOW + SEC(4000));
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(4000));
    assert_int_equal(slot_of("sk-1")->state, APIPOOL_STATE_ACTIVE);
}

static void a_key_that_waits_for_its_proof_hides_no_other(void **unused)
{
    add_many(upstream_a, "a", 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(acquire_for(7, NOW), APIPOOL_ACQUIRED);
        apipool_lease_t twice = lease;
        if (i == 0) {
            assert_int_equal(acquire_for(7, NOW), APIPOOL_ACQUIRED); /* a001 */
            report_lease(&lease, APIPOOL_RULE_CLIENT_GONE, 0, NOW);
            report_lease(&twice, APIPOOL_RULE_RATE_LIMIT, NOW + SEC(3000), NOW);
            assert_int_equal(acquire_for(0, NOW), APIPOOL_ACQUIRED);
            while (strcmp(lease.key, "a000")) {
                report(APIPOOL_RULE_CLIENT_GONE, 0, NOW);
                assert_int_equal(acquire_for(0, NOW), APIPOOL_ACQUIRED);
            }
            report(APIPOOL_RULE_CREDENTIAL, 0, NOW);
        }
        else {
            report(APIPOOL_RULE_CREDENTIAL, 0, NOW + 1);
        }
    }
    /* a000 is due first but cools for that model; a001 does not */
    assert_int_equal(acquire_for(7, NOW + SEC(40)), APIPOOL_ACQUIRED);
    assert_string_equal(lease.key, "a001");
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(40));
}

static void a_disabled_key_stays_so_whatever_late_answers_say(void **unused)
{
    static const apipool_rule_e late[] = {APIPOOL_RULE_SUCCESS, APIPOOL_RULE_QUOTA,
                                          APIPOOL_RULE_CREDENTIAL, APIPOOL_RULE_RATE_LIMIT};
    apipool_lease_t leases[4];
    add(upstream_a, "sk-1");
    for (int i = 0; i < 4; i++) {
        check_acquires("sk-1", NOW);
        leases[i] = lease;
    }
    segment->slots[0].state = APIPOOL_STATE_DISABLED;
    apipool_members_settle_locked(segment, 0);
    for (int i = 0; i < 4; i++) {
        report_lease(&leases[i], late[i], 0, NOW);
        assert_int_equal(outcome.state, APIPOOL_STATE_DISABLED);
        assert_int_equal(outcome.lost, 0);
    }
    assert_int_equal(acquire(NOW + SEC(100000)), APIPOOL_EXHAUSTED);
}

static void a_loss_never_ends_before_the_cooldown_that_ran(void **unused)
{
    apipool_lease_t early;
    add(upstream_a, "sk-1");
    check_acquires("sk-1", NOW);
    early = lease;
    check_acquires("sk-1", NOW);
    report(APIPOOL_RULE_RATE_LIMIT, NOW + SEC(500), NOW);
    report_lease(&early, APIPOOL_RULE_QUOTA, 0, NOW + 1);
    assert_int_equal(outcome.state, APIPOOL_STATE_QUOTA);
    assert_int_equal(acquire(NOW + SEC(500) - 1), APIPOOL_EXHAUSTED);
    check_acquires("sk-1", NOW + SEC(500));
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(500));
}

static void forbid(const apipool_lease_t *lent, apr_time_t now)
{
    apipool_verdict_t verdict = verdict_of(APIPOOL_RULE_FORBIDDEN, 0);
    apipool_report_t what = {
        .verdict = &verdict, .status = 403, .tokens = -1, .headroom = -1, .policy = &policy};
    assert_int_equal(apipool_pool_forbidden(segment, lent, &what, now), APR_SUCCESS);
}

static void a_forbidden_key_rests_for_the_model_when_another_one_has_worked(void **unused)
{
    add_many(upstream_a, "a", 2);
    assert_int_equal(acquire_for(7, NOW), APIPOOL_ACQUIRED);
    apipool_lease_t first = lease;
    report(APIPOOL_RULE_FORBIDDEN, 0, NOW);
    assert_int_equal(acquire_for(7, NOW), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_SUCCESS, 0, NOW);
    assert_int_equal(slot_of("a000")->error_streak, 0);
    forbid(&first, NOW);
    assert_int_equal(slot_of("a000")->counts.errors, 1);
    assert_int_equal(slot_of("a000")->last_status, 403);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(acquire_for(7, NOW), APIPOOL_ACQUIRED);
        assert_string_equal(lease.key, "a001");
        report(APIPOOL_RULE_SUCCESS, 0, NOW);
    }
    assert_int_equal(slot_of("a000")->state, APIPOOL_STATE_ACTIVE);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(acquire_for(7, NOW + SEC(1)), APIPOOL_ACQUIRED);
        report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(1));
    }
    assert_int_equal(slot_of("a000")->counts.requests, 3);
}

static void a_forbidden_key_that_has_moved_since_does_not_rest(void **unused)
{
    add(upstream_a, "sk-1");
    check_acquires("sk-1", NOW);
    report(APIPOOL_RULE_FORBIDDEN, 0, NOW);
    add(upstream_b, "sk-1");
    forbid(&lease, NOW);
    check_acquires("sk-1", NOW);
    report(APIPOOL_RULE_SUCCESS, 0, NOW);
}

static void headroom_is_kept_as_the_upstream_told_it(void **unused)
{
    apipool_verdict_t verdict = verdict_of(APIPOOL_RULE_SUCCESS, 0);
    apipool_report_t what = {.verdict = &verdict,
                             .tokens = -1,
                             .headroom = 0.25,
                             .headroom_until = NOW + SEC(9),
                             .policy = &policy};
    add(upstream_a, "sk-1");
    check_acquires("sk-1", NOW);
    assert_int_equal(apipool_pool_report(segment, &lease, &what, NOW, &outcome), APR_SUCCESS);
    assert_true(slot_of("sk-1")->headroom == 0.25);
    assert_int_equal(slot_of("sk-1")->headroom_until, NOW + SEC(9));
    check_acquires("sk-1", NOW);
    report(APIPOOL_RULE_SUCCESS, 0, NOW); /* says nothing about the headroom */
    assert_true(slot_of("sk-1")->headroom == 0.25);
}

static const struct CMUnitTest tests[] = {
    TEST(every_verdict_is_counted_and_moves_the_key),
    TEST(a_cooling_key_comes_back_at_its_time_and_not_before),
    TEST(unnamed_cooldowns_double_until_a_success),
    TEST(a_cooldown_is_prolonged_but_never_shortened),
    TEST(limits_met_together_count_as_one),
    TEST(late_reports_do_not_revive_a_key),
    TEST(a_late_success_does_not_end_a_cooldown),
    TEST(a_lost_key_is_lent_to_one_request_that_proves_it),
    TEST(each_try_that_fails_doubles_the_wait),
    TEST(a_proof_that_tells_nothing_is_repeated),
    TEST(a_proof_that_is_repeated_is_waited_for),
    TEST(a_proof_that_is_rate_limited_makes_the_key_cool),
    TEST(an_answer_that_begins_well_is_a_proof),
    TEST(the_dead_take_no_proof_of_others_with_them),
    TEST(a_proof_that_died_is_repeated),
    TEST(the_reason_is_what_took_the_key_out),
    TEST(keys_of_a_spent_account_say_so),
    TEST(the_words_of_the_oldest_errors_make_room),
    TEST(a_late_refusal_lets_no_second_proof_begin),
    TEST(a_refusal_during_a_proof_that_began_well_loses_no_key),
    TEST(a_key_that_waits_for_its_proof_hides_no_other),
    TEST(a_disabled_key_stays_so_whatever_late_answers_say),
    TEST(a_loss_never_ends_before_the_cooldown_that_ran),
    TEST(a_forbidden_key_rests_for_the_model_when_another_one_has_worked),
    TEST(a_forbidden_key_that_has_moved_since_does_not_rest),
    TEST(headroom_is_kept_as_the_upstream_told_it),
};

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests_name("report", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
