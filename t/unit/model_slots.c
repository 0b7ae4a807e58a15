/* SPDX-License-Identifier: Apache-2.0
 * Tests of cooldowns for single models, and of account limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "pool_fixture.h"

/* The next key in turn is rate limited for that model. */
static void limit_for(apr_uint64_t model, apr_time_t until, apr_time_t now)
{
    assert_int_equal(acquire_for(model, now), APIPOOL_ACQUIRED);
    assert_int_equal(report(APIPOOL_RULE_RATE_LIMIT, until, now), APIPOOL_RULE_RATE_LIMIT);
    assert_int_equal(outcome.state, APIPOOL_STATE_ACTIVE);
}

static void check_lends(apr_uint64_t model, apr_time_t now)
{
    assert_int_equal(acquire_for(model, now), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_CLIENT_ERROR, 0, now);
}

static void check_cools(apr_uint64_t model, apr_time_t until, apr_time_t now)
{
    assert_int_equal(acquire_for(model, now), APIPOOL_ALL_COOLING);
    assert_int_equal(retry_at, until);
}

static void a_limit_of_one_model_leaves_the_others(void **unused)
{
    add_many(upstream_a, "a", 2);
    limit_for(7, NOW + SEC(20), NOW);
    limit_for(7, NOW + SEC(10), NOW);
    check_cools(7, NOW + SEC(10), NOW);
    for (int i = 0; i < 4; i++) {
        check_lends(8, NOW);
        check_lends(0, NOW);
    }
    check_cools(7, NOW + SEC(10), NOW + SEC(10) - 1);
    check_lends(7, NOW + SEC(10));
    assert_string_equal(lease.key, "a001");
    check_lends(7, NOW + SEC(20));
    check_lends(7, NOW + SEC(20));
    assert_int_equal(segment->upstreams[upstream_a].model_slots[1].waiting, 0);
}

static void cooldowns_of_models_double_too(void **unused)
{
    static const int seconds[] = {1, 2, 4, 8, 16, 32, 60, 60};
    apr_time_t now = NOW;
    add(upstream_a, "a");
    for (size_t i = 0; i < sizeof(seconds) / sizeof(*seconds); i++) {
        limit_for(7, 0, now);
        check_cools(7, now + SEC(seconds[i]), now);
        now += SEC(seconds[i]);
    }
}

static void a_cooldown_of_a_model_is_never_shortened(void **unused)
{
    apipool_lease_t leases[4];
    static const int named[] = {30, 10, 50, 0}, until[] = {30, 30, 50, 50};
    add(upstream_a, "a");
    for (int i = 0; i < 4; i++) {
        assert_int_equal(acquire_for(7, NOW), APIPOOL_ACQUIRED);
        leases[i] = lease;
    }
    for (int i = 0; i < 4; i++) {
        report_lease(&leases[i], APIPOOL_RULE_RATE_LIMIT, named[i] ? NOW + SEC(named[i]) : 0, NOW);
        check_cools(7, NOW + SEC(until[i]), NOW);
    }
}

static void a_key_is_back_when_both_its_cooldowns_have_ended(void **unused)
{
    add(upstream_a, "a");
    assert_int_equal(acquire_for(7, NOW), APIPOOL_ACQUIRED);
    apipool_lease_t other = lease;
    limit_for(7, NOW + SEC(20), NOW);
    report_lease(&other, APIPOOL_RULE_CLIENT_GONE, 0, NOW);
    assert_int_equal(acquire_for(8, NOW), APIPOOL_ACQUIRED);
    report_limit(APIPOOL_SCOPE_KEY, NOW + SEC(30), NOW);
    check_cools(7, NOW + SEC(30), NOW);
    check_cools(8, NOW + SEC(30), NOW);
    check_cools(7, NOW + SEC(30), NOW + SEC(25));
    check_lends(7, NOW + SEC(30));

    assert_int_equal(acquire_for(7, NOW + SEC(40)), APIPOOL_ACQUIRED);
    limit_for(7, NOW + SEC(90), NOW + SEC(40));
    assert_int_equal(acquire_for(8, NOW + SEC(40)), APIPOOL_ACQUIRED);
    report_limit(APIPOOL_SCOPE_KEY, NOW + SEC(50), NOW + SEC(40));
    check_cools(7, NOW + SEC(90), NOW + SEC(40));
    check_cools(8, NOW + SEC(50), NOW + SEC(40));
    check_lends(8, NOW + SEC(50));
    check_cools(7, NOW + SEC(90), NOW + SEC(50));
    check_lends(7, NOW + SEC(90));
    assert_int_equal(apipool_pool_reclaim_all(segment, NOW), APR_SUCCESS);
}

/* A model's answer comes while the key cools for another reason. */
static void a_late_limit_of_a_model_holds_for_it_alone(void **unused)
{
    apipool_lease_t early;
    add(upstream_a, "a");
    assert_int_equal(acquire_for(7, NOW), APIPOOL_ACQUIRED);
    early = lease;
    assert_int_equal(acquire_for(8, NOW), APIPOOL_ACQUIRED);
    report_limit(APIPOOL_SCOPE_KEY, NOW + SEC(5), NOW);
    report_lease(&early, APIPOOL_RULE_RATE_LIMIT, NOW + SEC(3600), NOW + SEC(1));
    check_cools(7, NOW + SEC(3600), NOW + SEC(1));
    check_cools(8, NOW + SEC(5), NOW + SEC(1));
    check_lends(8, NOW + SEC(5));
    check_cools(7, NOW + SEC(3600), NOW + SEC(5));
    check_lends(7, NOW + SEC(3600));
}

static void more_models_than_model_slots_share_the_last_one(void **unused)
{
    add(upstream_a, "a");
    for (apr_uint64_t model = 1; model <= 9; model++) {
        if (model <= 7) {
            limit_for(model, NOW + SEC(10 * (apr_int64_t)model), NOW);
        }
        else { /* the seventh stands for all other models */
            check_cools(model, NOW + SEC(70), NOW);
        }
    }
    for (apr_uint64_t model = 1; model <= 6; model++) {
        check_cools(model, NOW + SEC(10 * (apr_int64_t)model), NOW);
    }
    check_lends(0, NOW);
    check_lends(3, NOW + SEC(30));
    check_cools(7, NOW + SEC(70), NOW + SEC(30));
    check_cools(9, NOW + SEC(70), NOW + SEC(69));
    check_lends(9, NOW + SEC(70));
    limit_for(9, NOW + SEC(100), NOW + SEC(70)); /* and gets a model slot of its own */
    check_lends(8, NOW + SEC(70));
    check_cools(9, NOW + SEC(100), NOW + SEC(70));
}

static void model_slots_of_models_that_nobody_asks_for_are_used_again(void **unused)
{
    add(upstream_a, "a");
    for (apr_uint64_t model = 1; model <= 100; model++) {
        apr_time_t now = NOW + SEC(10 * (apr_int64_t)model);
        limit_for(model, now + SEC(5), now);
        check_cools(model, now + SEC(5), now);
        check_lends(model + 1, now);
    }
}

static void many_keys_cool_for_many_models(void **unused)
{
    apr_uint32_t random = 5;
    static apr_time_t until[CAPACITY][6];
    add_many(upstream_a, "a", CAPACITY);
    memset(until, 0, sizeof(until));
    for (int i = 0; i < 5000; i++) {
        apr_uint64_t model = 1 + next_random(&random) % 5;
        apr_time_t now = NOW + SEC(i) / 10;
        if (acquire_for(model, now) != APIPOOL_ACQUIRED) {
            assert_true(retry_at > now);
            continue;
        }
        assert_true(until[lease.slot][model] <= now);
        apr_uint32_t slot = lease.slot;
        if (next_random(&random) % 3) {
            until[slot][model] = now + SEC(60) + next_random(&random) % SEC(60);
            report(APIPOOL_RULE_RATE_LIMIT, until[slot][model], now);
        }
        else {
            report(APIPOOL_RULE_SUCCESS, 0, now);
        }
        if (i % 50 == 0) {
            assert_null(consistency_of_members(segment));
        }
    }
}

static void an_upstream_grows_while_its_keys_cool_for_models(void **unused)
{
    add_many(upstream_a, "a", 64);
    for (int i = 0; i < 60; i++) {
        limit_for(7, NOW + SEC(60), NOW);
        if (i % 2) {
            assert_int_equal(acquire_for(0, NOW), APIPOOL_ACQUIRED);
            report(APIPOOL_RULE_SUCCESS, 0, NOW); /* not all keys are refused */
        }
    }
    assert_int_equal(segment->upstreams[upstream_a].size, 64);
    add_many(upstream_a, "b", 100);
    assert_null(consistency_of_members(segment));
    assert_int_equal(segment->upstreams[upstream_a].model_slots[1].waiting, 60);
    for (int i = 0; i < 104; i++) {
        assert_int_equal(acquire_for(7, NOW), APIPOOL_ACQUIRED);
        assert_true(segment->slots[lease.slot].place[1] == APIPOOL_NONE);
    }
}

static void a_key_that_moves_forgets_the_limits_of_models(void **unused)
{
    add_many(upstream_a, "a", 2);
    limit_for(7, NOW + SEC(60), NOW);
    add(upstream_b, "a000");
    assert_null(consistency_of_members(segment));
    assert_int_equal(segment->upstreams[upstream_a].model_slots[1].waiting, 0);
    add(upstream_a, "a000");
    check_lends(7, NOW);
    check_lends(7, NOW);
}

static void a_model_slot_needs_no_memory_of_its_own(void **unused)
{
    add(upstream_a, "a");
    fixture_exhaust(segment);
    assert_int_equal(acquire_for(7, NOW), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_RATE_LIMIT, NOW + SEC(20), NOW);
    assert_int_equal(outcome.state, APIPOOL_STATE_ACTIVE);
    check_cools(7, NOW + SEC(20), NOW);
    check_lends(8, NOW);
}

/* Three keys of one account and one of another. */
static void add_accounts(void)
{
    add_of(upstream_a, "a1", "acme");
    add_of(upstream_a, "a2", "acme");
    add_of(upstream_a, "a3", "acme");
    add_of(upstream_a, "o1", "other");
}

static void check_only(const char *key, apr_uint64_t model, apr_time_t now)
{
    for (int i = 0; i < 8; i++) {
        check_lends(model, now);
        assert_string_equal(lease.key, key);
    }
}

static void a_limit_of_an_account_holds_for_all_its_keys(void **unused)
{
    add_accounts();
    assert_int_equal(acquire_for(7, NOW), APIPOOL_ACQUIRED);
    assert_string_equal(lease.key, "a1");
    report_limit(APIPOOL_SCOPE_ACCOUNT, NOW + SEC(20), NOW);
    check_only("o1", 7, NOW);
    check_only("o1", 8, NOW + SEC(20) - 1);
    for (int i = 0; i < 4; i++) {
        check_lends(7, NOW + SEC(20));
        assert_false(lease.proving);
    }
    assert_int_equal(totals_of(upstream_a).keys[APIPOOL_STATE_ACTIVE], 4);
}

static void a_limit_of_an_accounts_model_holds_for_that_model(void **unused)
{
    add_accounts();
    limit_for(7, NOW + SEC(20), NOW);
    assert_string_equal(lease.key, "a1");
    check_only("o1", 7, NOW);
    for (int i = 0; i < 4; i++) {
        check_lends(8, NOW);
    }
    assert_int_equal(slot_of("a2")->counts.requests, 1);
    assert_int_equal(slot_of("a2")->state, APIPOOL_STATE_ACTIVE);
    check_only("o1", 7, NOW + SEC(20) - 1);
    check_lends(7, NOW + SEC(20));
    check_lends(7, NOW + SEC(20));
    assert_int_not_equal(lease.slot, 3);
}

static void all_keys_of_an_account_name_its_time(void **unused)
{
    add_of(upstream_a, "a1", "acme");
    add_of(upstream_a, "a2", "acme");
    limit_for(7, NOW + SEC(20), NOW);
    check_cools(7, NOW + SEC(20), NOW);
    assert_int_equal(acquire_for(8, NOW), APIPOOL_ACQUIRED);
    report_limit(APIPOOL_SCOPE_ACCOUNT, NOW + SEC(10), NOW);
    check_cools(8, NOW + SEC(10), NOW);
    check_lends(8, NOW + SEC(10));
    check_cools(7, NOW + SEC(20), NOW + SEC(10));
}

static void spent_quota_of_an_account_is_spent_for_all_its_keys(void **unused)
{
    add_accounts();
    assert_int_equal(acquire_for(7, NOW), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_QUOTA, 0, NOW);
    check_only("o1", 0, NOW + 1);
    assert_int_equal(totals_of(upstream_a).keys[APIPOOL_STATE_QUOTA], 3);
    check_only("o1", 0, NOW + SEC(30) - 1);
    /* the first one to be tried finds that the account is refilled */
    assert_int_equal(acquire_for(0, NOW + SEC(30)), APIPOOL_ACQUIRED);
    assert_true(lease.proving);
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(30));
    for (int i = 0; i < 8; i++) {
        assert_int_equal(acquire_for(0, NOW + SEC(31)), APIPOOL_ACQUIRED);
        report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(31));
    }
    assert_int_equal(totals_of(upstream_a).keys[APIPOOL_STATE_ACTIVE], 4);
}

static void quota_that_is_still_spent_keeps_the_whole_account_out(void **unused)
{
    apr_time_t now = NOW;
    add_accounts();
    assert_int_equal(acquire_for(0, now), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_QUOTA, 0, now);
    for (int i = 0; i < 2000; i++) {
        now += SEC(5);
        assert_int_equal(acquire_for(0, now), APIPOOL_ACQUIRED);
        if (lease.slot != 3) {
            assert_true(lease.proving || i < 3);
            report(APIPOOL_RULE_QUOTA, 0, now);
        }
        else {
            report(APIPOOL_RULE_SUCCESS, 0, now);
        }
    }
    int tries = 0; /* increasingly rare within 10,000 seconds, whichever key it is */
    for (int i = 0; i < 3; i++) {
        tries += (int)segment->slots[i].counts.requests;
    }
    assert_in_range(tries, 9, 36);
    for (int i = 0; i < 4000 && totals_of(upstream_a).keys[APIPOOL_STATE_ACTIVE] < 4; i++) {
        now += SEC(5);
        assert_int_equal(acquire_for(0, now), APIPOOL_ACQUIRED);
        report(APIPOOL_RULE_SUCCESS, 0, now);
    }
    assert_int_equal(totals_of(upstream_a).keys[APIPOOL_STATE_ACTIVE], 4);
}

static void accounts_of_other_pools_are_others(void **unused)
{
    apr_uint32_t other = attach("example.org", "main");
    apipool_source_t source = {.upstream = upstream_of(other, "a"), .weight = 1};
    apipool_lend_request_t request = want(APIPOOL_STRATEGY_ROUND_ROBIN);
    request.pool = other;
    request.sources = &source;
    request.source_count = 1;
    add_accounts();
    add_of(source.upstream, "a1", "acme");
    assert_int_equal(acquire_for(0, NOW), APIPOOL_ACQUIRED);
    report_limit(APIPOOL_SCOPE_ACCOUNT, NOW + SEC(20), NOW);
    assert_int_equal(acquire_request(&request, NOW), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_SUCCESS, 0, NOW);
    check_only("o1", 0, NOW);
}

static void an_account_spans_the_upstreams_of_a_pool(void **unused)
{
    add_of(upstream_a, "a1", "acme");
    add_of(upstream_b, "b1", "acme");
    check_acquires("a1", NOW);
    report_limit(APIPOOL_SCOPE_ACCOUNT, NOW + SEC(20), NOW);
    assert_int_equal(acquire(NOW), APIPOOL_ALL_COOLING);
    assert_int_equal(retry_at, NOW + SEC(20));
    assert_int_equal(acquire(NOW + SEC(20)), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(20));
}

static void more_accounts_than_are_remembered_do_no_harm(void **unused)
{
    char key[16], account[16];
    fixture_t *f = open_with(10000);
    for (int i = 0; i < 10000; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        snprintf(account, sizeof(account), "acme %d", i / 2);
        add_of(upstream_a, key, account);
    }
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(acquire_for(7, NOW + i), APIPOOL_ACQUIRED);
        report_limit(APIPOOL_SCOPE_ACCOUNT, NOW + SEC(3600), NOW + i);
        segment->upstreams[upstream_a].refusals.count = 0;
    }
    assert_null(consistency_of(segment));
    fixture_close(f);
}

static const struct CMUnitTest tests[] = {
    TEST(a_limit_of_one_model_leaves_the_others),
    TEST(cooldowns_of_models_double_too),
    TEST(a_cooldown_of_a_model_is_never_shortened),
    TEST(a_key_is_back_when_both_its_cooldowns_have_ended),
    TEST(a_late_limit_of_a_model_holds_for_it_alone),
    TEST(more_models_than_model_slots_share_the_last_one),
    TEST(model_slots_of_models_that_nobody_asks_for_are_used_again),
    TEST(many_keys_cool_for_many_models),
    TEST(an_upstream_grows_while_its_keys_cool_for_models),
    TEST(a_key_that_moves_forgets_the_limits_of_models),
    TEST(a_model_slot_needs_no_memory_of_its_own),
    TEST(a_limit_of_an_account_holds_for_all_its_keys),
    TEST(a_limit_of_an_accounts_model_holds_for_that_model),
    TEST(all_keys_of_an_account_name_its_time),
    TEST(spent_quota_of_an_account_is_spent_for_all_its_keys),
    TEST(quota_that_is_still_spent_keeps_the_whole_account_out),
    TEST(accounts_of_other_pools_are_others),
    TEST(an_account_spans_the_upstreams_of_a_pool),
    cmocka_unit_test(more_accounts_than_are_remembered_do_no_harm),
};

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests_name("lanes", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
