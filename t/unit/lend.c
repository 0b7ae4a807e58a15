/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/pool/lend: strategies, weights, tiers, affinity, and reasons for having no key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "pool_fixture.h"

static void an_empty_pool_is_exhausted(void **unused)
{
    apipool_lend_request_t request = want(APIPOOL_STRATEGY_SMART);
    assert_int_equal(acquire(NOW), APIPOOL_EXHAUSTED);
    assert_int_equal(retry_at, 0);
    request.source_count = 0;
    assert_int_equal(acquire_request(&request, NOW), APIPOOL_EXHAUSTED);
}

static void round_robin_takes_keys_in_the_order_they_were_added(void **unused)
{
    char key[16];
    add_many(upstream_a, "a", 3);
    add_many(upstream_b, "b", 2);
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof(key), "%c%03d", i % 5 < 3 ? 'a' : 'b', i % 5 < 3 ? i % 5 : i % 5 - 3);
        check_acquires(key, NOW);
        report(APIPOOL_RULE_SUCCESS, 0, NOW);
    }
}

static void round_robin_gives_heavy_keys_several_turns(void **unused)
{
    static const char *const turns[] = {"a", "b", "b", "b", "c", "c"};
    add_weighing(upstream_a, "a", 1);
    add_weighing(upstream_a, "b", 3);
    add_weighing(upstream_b, "c", 2);
    for (int i = 0; i < 60; i++) {
        check_acquires(turns[i % 6], NOW);
        report(APIPOOL_RULE_SUCCESS, 0, NOW);
    }
    sources[1].weight = 2; /* of the upstream, multiplied by the key's */
    for (int i = 0; i < 80; i++) {
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        report(APIPOOL_RULE_SUCCESS, 0, NOW);
    }
    assert_in_range(slot_of("a")->counts.requests, 10 + 9, 10 + 11);
    assert_in_range(slot_of("c")->counts.requests, 20 + 36, 20 + 44);
}

static void looking_takes_no_turn(void **unused)
{
    add_many(upstream_a, "a", 2);
    apipool_lend_request_t look = want(APIPOOL_STRATEGY_ROUND_ROBIN);
    look.look_only = 1;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(acquire_request(&look, NOW), APIPOOL_ACQUIRED);
        assert_int_equal(in_flight(), 0);
        check_acquires(i % 2 ? "a001" : "a000", NOW);
        report(APIPOOL_RULE_SUCCESS, 0, NOW);
    }
    assert_int_equal(totals_of(upstream_a).requests, 20);
}

static void looking_charges_no_limit(void **unused)
{
    apipool_lend_request_t look = want(APIPOOL_STRATEGY_SMART);
    look.look_only = 1;
    limits.rpm = 1;
    add(upstream_a, "sk-1");
    for (int i = 0; i < 5; i++) {
        assert_int_equal(acquire_request(&look, NOW), APIPOOL_ACQUIRED);
    }
    check_acquires("sk-1", NOW);
    assert_int_equal(acquire_request(&look, NOW), APIPOOL_ALL_COOLING);
    report(APIPOOL_RULE_SUCCESS, 0, NOW);
}

/* Picks one by one, ending each request before the next. */
static void pick(apipool_strategy_e strategy, int count)
{
    for (int i = 0; i < count; i++) {
        assert_int_equal(acquire_by(strategy, NOW + i), APIPOOL_ACQUIRED);
        report(APIPOOL_RULE_SUCCESS, 0, NOW + i);
    }
}

static void check_requests(const char *key, double expected, double tolerance)
{
    double requests = (double)slot_of(key)->counts.requests;
    if (requests < expected * (1 - tolerance) || requests > expected * (1 + tolerance)) {
        fail_msg("%s: %.0f requests instead of %.0f", key, requests, expected);
    }
}

static void weights_are_shares(void **unused)
{
    static const struct {
        apipool_strategy_e strategy;
        double tolerance;
    } rows[] = {{APIPOOL_STRATEGY_SMART, 0.05},
                {APIPOOL_STRATEGY_ROUND_ROBIN, 0.01},
                {APIPOOL_STRATEGY_LEAST_USED, 0.05},
                {APIPOOL_STRATEGY_RANDOM, 0.1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        fixture_t *f = open_with(CAPACITY);
        add_weighing(upstream_a, "a", 3);
        add_weighing(upstream_b, "b", 1);
        add_weighing(upstream_b, "c", 2);
        pick(rows[i].strategy, 6000);
        check_requests("a", 3000, rows[i].tolerance);
        check_requests("b", 1000, rows[i].tolerance);
        check_requests("c", 2000, rows[i].tolerance);
        fixture_close(f);
    }
}

static void weights_are_shares_in_large_pools(void **unused)
{
    static const apipool_strategy_e strategies[] = {APIPOOL_STRATEGY_RANDOM,
                                                    APIPOOL_STRATEGY_ROUND_ROBIN};
    for (int s = 0; s < 2; s++) {
        fixture_t *f = open_with(CAPACITY);
        char key[16];
        for (int i = 0; i < 100; i++) {
            snprintf(key, sizeof(key), "k%d", i);
            add_weighing(upstream_a, key, i % 2 ? 3 : 1);
        }
        pick(strategies[s], 20000);
        double light = 0, heavy = 0;
        for (int i = 0; i < 100; i++) {
            *(i % 2 ? &heavy : &light) += (double)segment->slots[i].counts.requests;
        }
        assert_true(heavy > 2.7 * light && heavy < 3.3 * light);
        fixture_close(f);
    }
}

/* Neighbours have the same weight, like keys of one upstream. */
static void weights_of_upstreams_are_shares_in_large_pools(void **unused)
{
    static const apipool_strategy_e strategies[] = {
        APIPOOL_STRATEGY_SMART, APIPOOL_STRATEGY_LEAST_USED, APIPOOL_STRATEGY_RANDOM,
        APIPOOL_STRATEGY_ROUND_ROBIN};
    for (int s = 0; s < 4; s++) {
        fixture_t *f = open_with(CAPACITY);
        add_many(upstream_a, "a", 40);
        add_many(upstream_b, "b", 40);
        sources[0].weight = 3;
        pick(strategies[s], 20000);
        double heavy = (double)totals_of(upstream_a).requests;
        double light = (double)totals_of(upstream_b).requests;
        if (heavy < 2.5 * light || heavy > 3.5 * light) {
            fail_msg("strategy %d: %.0f to %.0f", s, heavy, light);
        }
        fixture_close(f);
    }
}

static void least_used_spreads_requests_evenly(void **unused)
{
    add_many(upstream_a, "a", 5);
    add_many(upstream_b, "b", 3);
    pick(APIPOOL_STRATEGY_LEAST_USED, 800);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(segment->slots[i].counts.requests, 100);
    }
}

static void least_used_spreads_requests_of_large_pools_nearly_evenly(void **unused)
{
    add_many(upstream_a, "a", 100);
    pick(APIPOOL_STRATEGY_LEAST_USED, 10000);
    for (int i = 0; i < 100; i++) {
        assert_in_range(segment->slots[i].counts.requests, 85, 115);
    }
}

static void least_used_avoids_keys_in_flight(void **unused)
{
    apr_uint32_t busy[7];
    add_many(upstream_a, "a", 8);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(acquire_by(APIPOOL_STRATEGY_LEAST_USED, NOW), APIPOOL_ACQUIRED);
        busy[i] = lease.slot;
    }
    for (int i = 0; i < 10; i++) {
        assert_int_equal(acquire_by(APIPOOL_STRATEGY_LEAST_USED, NOW), APIPOOL_ACQUIRED);
        for (int j = 0; j < 7; j++) {
            assert_int_not_equal(lease.slot, busy[j]);
        }
        report(APIPOOL_RULE_SUCCESS, 0, NOW);
    }
}

static void a_key_that_comes_late_is_not_flooded(void **unused)
{
    static const apipool_strategy_e strategies[] = {APIPOOL_STRATEGY_SMART,
                                                    APIPOOL_STRATEGY_LEAST_USED};
    for (int s = 0; s < 2; s++) {
        fixture_t *f = open_with(CAPACITY);
        add_many(upstream_a, "a", 4);
        pick(strategies[s], 4000);
        add(upstream_b, "late");
        pick(strategies[s], 100);
        check_requests("late", 20, 0.2);
        fixture_close(f);
    }
}

static void fill_first_uses_the_next_key_when_the_first_may_not(void **unused)
{
    add_many(upstream_a, "a", 3);
    add_many(upstream_b, "b", 1);
    pick(APIPOOL_STRATEGY_FILL_FIRST, 20);
    check_requests("a000", 20, 0);
    assert_int_equal(acquire_by(APIPOOL_STRATEGY_FILL_FIRST, NOW), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_RATE_LIMIT, NOW + SEC(5), NOW);
    pick(APIPOOL_STRATEGY_FILL_FIRST, 20);
    check_requests("a001", 20, 0);
    assert_int_equal(acquire_by(APIPOOL_STRATEGY_FILL_FIRST, NOW + SEC(5)), APIPOOL_ACQUIRED);
    assert_string_equal(lease.key, "a000");
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(5));
}

static void random_reaches_everyone_alike(void **unused)
{
    add_many(upstream_a, "a", 6);
    add_many(upstream_b, "b", 4);
    pick(APIPOOL_STRATEGY_RANDOM, 10000);
    for (int i = 0; i < 10; i++) {
        assert_in_range(segment->slots[i].counts.requests, 900, 1100);
    }
}

static void smart_spreads_requests_of_equal_keys_evenly(void **unused)
{
    static const int counts[] = {1, 2, 10, 16, 17, 100};
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        fixture_t *f = open_with(CAPACITY);
        add_many(upstream_a, "a", counts[i] - counts[i] / 3);
        add_many(upstream_b, "b", counts[i] / 3);
        pick(APIPOOL_STRATEGY_SMART, 10000);
        double share = 10000.0 / counts[i];
        for (int k = 0; k < counts[i]; k++) {
            double requests = (double)segment->slots[k].counts.requests;
            if (requests < share * 0.9 || requests > share * 1.1) {
                fail_msg("%d keys, key %d: %.0f requests", counts[i], k, requests);
            }
        }
        fixture_close(f);
    }
}

static void smart_spreads_requests_of_a_thousand_keys_better_than_chance(void **unused)
{
    fixture_t *f = open_with(1000);
    double squares = 0;
    add_many(upstream_a, "a", 1000);
    pick(APIPOOL_STRATEGY_SMART, 10000);
    for (int i = 0; i < 1000; i++) {
        double off = (double)segment->slots[i].counts.requests - 10;
        squares += off * off;
        assert_in_range(segment->slots[i].counts.requests, 4, 16);
    }
    assert_true(squares < 5000); /* random draws would give 10,000 */
    fixture_close(f);
}

static void smart_prefers_what_works_but_starves_nobody(void **unused)
{
    static const int counts[] = {2, 10, 100};
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        fixture_t *f = open_with(CAPACITY);
        apr_uint32_t random = 77;
        add_many(upstream_a, "a", counts[i]);
        policy.max_errors = 1000000;
        int requests = counts[i] * 1000;
        for (int n = 0; n < requests; n++) {
            assert_int_equal(acquire_by(APIPOOL_STRATEGY_SMART, NOW + n), APIPOOL_ACQUIRED);
            int fails = lease.slot == 0 && next_random(&random) % 2;
            report(fails ? APIPOOL_RULE_UPSTREAM_ERROR : APIPOOL_RULE_SUCCESS, 0, NOW + n);
        }
        double bad = (double)segment->slots[0].counts.requests;
        double good = ((double)requests - bad) / (counts[i] - 1);
        if (bad > good / 3 || bad < good / 25) {
            fail_msg("%d keys: %.0f to %.0f", counts[i], bad, good);
        }
        fixture_close(f);
    }
}

static void smart_spares_a_key_that_nears_its_limit(void **unused)
{
    apipool_verdict_t verdict = verdict_of(APIPOOL_RULE_SUCCESS, 0);
    apipool_report_t what = {.verdict = &verdict,
                             .tokens = -1,
                             .headroom = 0.1,
                             .headroom_until = NOW + SEC(60),
                             .policy = &policy};
    add_many(upstream_a, "a", 2);
    check_acquires("a000", NOW);
    assert_int_equal(apipool_pool_report(segment, &lease, &what, NOW, &outcome), APR_SUCCESS);
    pick(APIPOOL_STRATEGY_SMART, 110);
    assert_in_range(slot_of("a000")->counts.requests, 9, 14);
}

/* A request goes on until it has tried each key once. */
static void try_all(apipool_strategy_e strategy, int count)
{
    apr_uint32_t tried[CAPACITY];
    apipool_lend_request_t request = want(strategy);
    request.tried = tried;
    for (; request.tried_count < count; request.tried_count++) {
        assert_int_equal(acquire_request(&request, NOW), APIPOOL_ACQUIRED);
        for (int i = 0; i < request.tried_count; i++) {
            assert_int_not_equal(lease.slot, tried[i]);
        }
        tried[request.tried_count] = lease.slot;
        report(APIPOOL_RULE_CLIENT_ERROR, 0, NOW);
    }
    assert_int_equal(acquire_request(&request, NOW), APIPOOL_ALL_TRIED);
    assert_int_equal(in_flight(), 0);
}

static void tried_keys_are_skipped_until_none_is_left(void **unused)
{
    add_many(upstream_a, "a", 7);
    add_many(upstream_b, "b", 5);
    for (int strategy = 0; strategy < APIPOOL_STRATEGY_COUNT; strategy++) {
        try_all((apipool_strategy_e)strategy, 12);
    }
}

static void tried_keys_are_skipped_in_large_pools(void **unused)
{
    add_many(upstream_a, "a", 60);
    add_many(upstream_b, "b", 50);
    for (int strategy = 0; strategy < APIPOOL_STRATEGY_COUNT; strategy++) {
        try_all((apipool_strategy_e)strategy, 110);
    }
}

static void only_the_wanted_sources_are_used(void **unused)
{
    add_many(upstream_a, "a", 3);
    add_many(upstream_b, "b", 3);
    for (int i = 0; i < 20; i++) {
        apipool_lend_request_t request = want((apipool_strategy_e)(i % APIPOOL_STRATEGY_COUNT));
        request.sources = &sources[1];
        request.source_count = 1;
        assert_int_equal(acquire_request(&request, NOW), APIPOOL_ACQUIRED);
        assert_int_equal(lease.upstream, upstream_b);
        assert_int_equal(lease.key[0], 'b');
    }
}

static void all_cooling_names_the_first_to_come_back(void **unused)
{
    static const int seconds[] = {30, 10, 20, 40};
    add_many(upstream_a, "a", 2);
    add_many(upstream_b, "b", 2);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        report(APIPOOL_RULE_RATE_LIMIT, NOW + SEC(seconds[lease.slot]), NOW);
    }
    assert_int_equal(acquire(NOW), APIPOOL_ALL_COOLING);
    assert_int_equal(retry_at, NOW + SEC(10));
    check_acquires("a001", NOW + SEC(10));
    report(APIPOOL_RULE_QUOTA, 0, NOW + SEC(10));
    assert_int_equal(acquire(NOW + SEC(10)), APIPOOL_ALL_COOLING);
    assert_int_equal(retry_at, NOW + SEC(20));
}

static void cooling_beside_tried_keys_is_all_tried(void **unused)
{
    apipool_lend_request_t request = want(APIPOOL_STRATEGY_ROUND_ROBIN);
    add_many(upstream_a, "a", 2);
    check_acquires("a000", NOW);
    report(APIPOOL_RULE_RATE_LIMIT, NOW + SEC(9), NOW);
    check_acquires("a001", NOW);
    request.tried = &lease.slot;
    request.tried_count = 1;
    apipool_lease_t first = lease;
    assert_int_equal(acquire_request(&request, NOW), APIPOOL_ALL_TRIED);
    report_lease(&first, APIPOOL_RULE_SUCCESS, 0, NOW);
}

static void many_keys_come_back_together(void **unused)
{
    add_many(upstream_a, "a", CAPACITY);
    for (int i = 0; i < CAPACITY; i++) {
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        report_limit(APIPOOL_SCOPE_KEY, NOW + SEC(1), NOW);
        segment->upstreams[upstream_a].refusals.count = 0; /* otherwise all keys count as refused */
    }
    assert_int_equal(acquire(NOW), APIPOOL_ALL_COOLING);
    for (int i = 0; i < CAPACITY; i++) {
        assert_int_equal(acquire(NOW + SEC(1)), APIPOOL_ACQUIRED);
    }
    assert_int_equal(segment->upstreams[upstream_a].usable, CAPACITY);
    assert_int_equal(segment->upstreams[upstream_a].model_slots[0].waiting, 0);
}

static void a_lower_tier_serves_only_while_the_first_cannot(void **unused)
{
    add_many(upstream_a, "a", 2);
    add_many(upstream_b, "b", 2);
    sources[1].priority = 1;
    for (int strategy = 0; strategy < APIPOOL_STRATEGY_COUNT; strategy++) {
        apr_time_t now = NOW + SEC(100) * strategy;
        for (int i = 0; i < 10; i++) {
            assert_int_equal(acquire_by((apipool_strategy_e)strategy, now), APIPOOL_ACQUIRED);
            assert_int_equal(lease.upstream, upstream_a);
            report(i < 8 ? APIPOOL_RULE_SUCCESS : APIPOOL_RULE_RATE_LIMIT, now + SEC(i), now);
        }
        while (segment->upstreams[upstream_a].usable) { /* one key may have met both */
            assert_int_equal(acquire_by((apipool_strategy_e)strategy, now), APIPOOL_ACQUIRED);
            report(APIPOOL_RULE_RATE_LIMIT, now + SEC(9), now);
        }
        for (int i = 0; i < 10; i++) {
            assert_int_equal(acquire_by((apipool_strategy_e)strategy, now), APIPOOL_ACQUIRED);
            assert_int_equal(lease.upstream, upstream_b);
            report(APIPOOL_RULE_SUCCESS, 0, now);
        }
        assert_int_equal(acquire_by((apipool_strategy_e)strategy, now + SEC(9)), APIPOOL_ACQUIRED);
        assert_int_equal(lease.upstream, upstream_a);
        report(APIPOOL_RULE_SUCCESS, 0, now + SEC(9));
    }
}

static void what_all_tiers_lack_is_told_together(void **unused)
{
    add(upstream_a, "a");
    add(upstream_b, "b");
    sources[1].priority = 1;
    check_acquires("a", NOW);
    report(APIPOOL_RULE_RATE_LIMIT, NOW + SEC(9), NOW);
    check_acquires("b", NOW);
    report(APIPOOL_RULE_RATE_LIMIT, NOW + SEC(5), NOW);
    assert_int_equal(acquire(NOW), APIPOOL_ALL_COOLING);
    assert_int_equal(retry_at, NOW + SEC(5));
}

static void sessions_keep_their_key(void **unused)
{
    apipool_lend_request_t request = want(APIPOOL_STRATEGY_SMART);
    static apr_uint32_t first[1000];
    int moved = 0, lost = 0;
    add_many(upstream_a, "a", 12);
    add_many(upstream_b, "b", 8);
    for (int round = 0; round < 5; round++) {
        moved = 0;
        for (int i = 0; i < 1000; i++) {
            char name[16];
            snprintf(name, sizeof(name), "session %d", i);
            request.affinity = apipool_hash(name);
            assert_int_equal(acquire_request(&request, NOW + round), APIPOOL_ACQUIRED);
            report(APIPOOL_RULE_SUCCESS, 0, NOW + round);
            first[i] = round == 0 ? lease.slot : first[i];
            int away = first[i] != lease.slot;
            if (round == 2) { /* one key is missing */
                assert_int_equal(away, first[i] == 5);
            }
            moved += away;
            lost += round == 0 && lease.slot == 5;
        }
        assert_int_equal(moved, round == 2 ? lost : 0);
        segment->slots[5].state = round == 1 ? APIPOOL_STATE_DISABLED : APIPOOL_STATE_ACTIVE;
        apipool_members_settle_locked(segment, 5);
    }
    for (int i = 0; i < 20; i++) { /* 5 times 1000 sessions, and those of the missing key */
        assert_in_range(segment->slots[i].counts.requests, 100, 500);
    }
}

static void one_more_key_moves_few_sessions(void **unused)
{
    apipool_lend_request_t request = want(APIPOOL_STRATEGY_SMART);
    static apr_uint32_t first[1000];
    int moved = 0;
    add_many(upstream_a, "a", 20);
    for (int i = 0; i < 2000; i++) {
        if (i == 1000) {
            add(upstream_a, "one more");
        }
        request.affinity = (apr_uint64_t)(i % 1000 + 1) * APR_UINT64_C(0x9e3779b97f4a7c15);
        assert_int_equal(acquire_request(&request, NOW), APIPOOL_ACQUIRED);
        report(APIPOOL_RULE_SUCCESS, 0, NOW);
        moved += i >= 1000 && first[i - 1000] != lease.slot;
        first[i % 1000] = lease.slot;
    }
    assert_in_range(moved, 25, 75); /* one in 21 */
}

static void a_session_goes_elsewhere_when_its_key_was_tried(void **unused)
{
    apipool_lend_request_t request = want(APIPOOL_STRATEGY_SMART);
    add_many(upstream_a, "a", 5);
    request.affinity = 12345;
    assert_int_equal(acquire_request(&request, NOW), APIPOOL_ACQUIRED);
    apr_uint32_t tried = lease.slot;
    report(APIPOOL_RULE_CLIENT_ERROR, 0, NOW);
    request.tried = &tried;
    request.tried_count = 1;
    assert_int_equal(acquire_request(&request, NOW), APIPOOL_ACQUIRED);
    assert_int_not_equal(lease.slot, tried);
    report(APIPOOL_RULE_SUCCESS, 0, NOW);
}

static const struct CMUnitTest tests[] = {
    TEST(an_empty_pool_is_exhausted),
    TEST(round_robin_takes_keys_in_the_order_they_were_added),
    TEST(round_robin_gives_heavy_keys_several_turns),
    TEST(looking_takes_no_turn),
    TEST(looking_charges_no_limit),
    cmocka_unit_test(weights_are_shares),
    cmocka_unit_test(weights_are_shares_in_large_pools),
    cmocka_unit_test(weights_of_upstreams_are_shares_in_large_pools),
    TEST(least_used_spreads_requests_evenly),
    TEST(least_used_spreads_requests_of_large_pools_nearly_evenly),
    TEST(least_used_avoids_keys_in_flight),
    cmocka_unit_test(a_key_that_comes_late_is_not_flooded),
    TEST(fill_first_uses_the_next_key_when_the_first_may_not),
    TEST(random_reaches_everyone_alike),
    cmocka_unit_test(smart_spreads_requests_of_equal_keys_evenly),
    cmocka_unit_test(smart_spreads_requests_of_a_thousand_keys_better_than_chance),
    cmocka_unit_test(smart_prefers_what_works_but_starves_nobody),
    TEST(smart_spares_a_key_that_nears_its_limit),
    TEST(tried_keys_are_skipped_until_none_is_left),
    TEST(tried_keys_are_skipped_in_large_pools),
    TEST(only_the_wanted_sources_are_used),
    TEST(all_cooling_names_the_first_to_come_back),
    TEST(cooling_beside_tried_keys_is_all_tried),
    TEST(many_keys_come_back_together),
    TEST(a_lower_tier_serves_only_while_the_first_cannot),
    TEST(what_all_tiers_lack_is_told_together),
    TEST(sessions_keep_their_key),
    TEST(one_more_key_moves_few_sessions),
    TEST(a_session_goes_elsewhere_when_its_key_was_tried),
};

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests_name("lend", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
