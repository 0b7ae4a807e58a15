/* SPDX-License-Identifier: Apache-2.0
 * Tests of key limits: requests, tokens and concurrency. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "pool_fixture.h"

static const struct {
    const char *name;
    apipool_key_limits_t own, others;
    int requests;                    /* at once, each of one token */
    apr_interval_time_t least, most; /* until the next one */
} requests[] = {
    {"no limit", {0}, {0}, 1000, 0, 0},
    {"the pool's per minute", {0}, {.rpm = 7}, 7, SEC(61), SEC(66)},
    {"its own per minute", {.rpm = 5}, {.rpm = 7}, 5, SEC(61), SEC(66)},
    {"its own may be more", {.rpm = 9}, {.rpm = 7}, 9, SEC(61), SEC(66)},
    {"the pool's per day", {0}, {.rpd = 7}, 7, SEC(86460), SEC(93000)},
    {"its own per day", {.rpd = 5}, {.rpd = 7}, 5, SEC(86460), SEC(93000)},
    {"tokens per minute", {.tpm = 6}, {0}, 6, SEC(61), SEC(66)},
    {"tokens per day", {0}, {.tpd = 6}, 6, SEC(86460), SEC(93000)},
    {"the tightest counts",
     {.rpm = 50, .tpd = 40},
     {.tpm = 30, .rpd = 20},
     20,
     SEC(86460),
     SEC(93000)},
};

static void a_key_serves_as_many_requests_as_it_may(void **unused)
{
    for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
        fixture_t *f = open_with(CAPACITY);
        apipool_key_item_t item = {
            .key = "sk-1", .len = 4, .enabled = 1, .limits = requests[i].own};
        limits = requests[i].others;
        assert_int_equal(add_item(upstream_a, &item), APIPOOL_ADDED);
        for (int n = 0; n < requests[i].requests; n++) {
            assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
            report(APIPOOL_RULE_SUCCESS, 0, NOW);
        }
        if (requests[i].most && acquire(NOW) != APIPOOL_ALL_COOLING) {
            fail_msg("%s: one too many", requests[i].name);
        }
        if (requests[i].most) {
            apr_time_t free_at = retry_at;
            assert_in_range(free_at - NOW, requests[i].least, requests[i].most);
            assert_int_equal(acquire(free_at - 1), APIPOOL_ALL_COOLING);
            assert_int_equal(retry_at, free_at);
            assert_int_equal(acquire(free_at), APIPOOL_ACQUIRED);
            report(APIPOOL_RULE_SUCCESS, 0, free_at);
        }
        assert_null(consistency_of(segment));
        fixture_close(f);
    }
}

static void a_key_at_its_limit_leaves_the_requests_to_others(void **unused)
{
    add_many(upstream_a, "a", 3);
    limits.rpm = 10;
    for (int strategy = 0; strategy < APIPOOL_STRATEGY_COUNT; strategy++) {
        apr_time_t now = NOW + SEC(120) * strategy;
        for (int i = 0; i < 30; i++) {
            assert_int_equal(acquire_by((apipool_strategy_e)strategy, now), APIPOOL_ACQUIRED);
            report(APIPOOL_RULE_SUCCESS, 0, now);
        }
        assert_int_equal(acquire_by((apipool_strategy_e)strategy, now), APIPOOL_ALL_COOLING);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(segment->slots[i].counts.requests, 10 * APIPOOL_STRATEGY_COUNT);
        assert_int_equal(segment->slots[i].counts.errors, 0);
    }
}

static void only_so_many_requests_are_in_flight(void **unused)
{
    apipool_key_item_t item = {.key = "own", .len = 3, .enabled = 1, .limits = {.concurrency = 5}};
    static apipool_lease_t leases[7];
    limits.concurrency = 2;
    add(upstream_a, "def");
    assert_int_equal(add_item(upstream_a, &item), APIPOOL_ADDED);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        leases[i] = lease;
        assert_null(consistency_of(segment));
    }
    assert_int_equal(slot_of("def")->in_flight, 2);
    assert_int_equal(slot_of("own")->in_flight, 5);
    assert_int_equal(acquire(NOW), APIPOOL_ALL_BUSY);
    assert_int_equal(retry_at, NOW + SEC(1)); /* a guess */
    for (int i = 0; i < 7; i++) {
        report_lease(&leases[i], APIPOOL_RULE_SUCCESS, 0, NOW);
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        assert_int_equal(lease.slot, leases[i].slot);
        report(APIPOOL_RULE_SUCCESS, 0, NOW);
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        assert_int_equal(lease.slot, leases[i].slot);
        assert_int_equal(acquire(NOW), APIPOOL_ALL_BUSY);
    }
    assert_int_equal(apipool_pool_reclaim_all(segment, NOW), APR_SUCCESS);
    assert_int_equal(segment->upstreams[upstream_a].usable, 2);
}

/* What was used up stays used, what was only set aside does not. */
static void tokens_set_aside_by_the_dead_are_given_back(void **unused)
{
    limits.tpm = limits.tpd = 4;
    add(upstream_a, "sk-1");
    assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_SUCCESS, 0, NOW);
    for (int all = 0; all < 2; all++) {
        segment->process = 100;
        for (int i = 0; i < 3; i++) {
            assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        }
        assert_int_equal(acquire(NOW), APIPOOL_ALL_COOLING);
        assert_int_equal(all ? apipool_pool_reclaim_all(segment, NOW + 1)
                             : apipool_pool_reclaim(segment, 100, NOW + 1),
                         APR_SUCCESS);
        assert_null(consistency_of(segment));
    }
    segment->process = 200;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(acquire(NOW + SEC(70)), APIPOOL_ACQUIRED); /* the day's three */
    }
    assert_int_equal(acquire(NOW + SEC(140)), APIPOOL_ALL_COOLING);
}

static void a_busy_key_that_cools_is_not_busy(void **unused)
{
    apipool_lease_t early;
    limits.concurrency = 2;
    add(upstream_a, "sk-1");
    check_acquires("sk-1", NOW);
    early = lease;
    check_acquires("sk-1", NOW);
    assert_int_equal(acquire(NOW), APIPOOL_ALL_BUSY);
    report(APIPOOL_RULE_RATE_LIMIT, NOW + SEC(9), NOW);
    assert_int_equal(acquire(NOW), APIPOOL_ALL_COOLING);
    check_acquires("sk-1", NOW + SEC(9));
    assert_int_equal(acquire(NOW + SEC(9)), APIPOOL_ALL_BUSY);
    report_lease(&early, APIPOOL_RULE_SUCCESS, 0, NOW + SEC(10));
    check_acquires("sk-1", NOW + SEC(10));
    assert_int_equal(acquire(NOW + SEC(10)), APIPOOL_ALL_BUSY);
}

static void another_limit_of_concurrency_holds_from_the_next_request_on(void **unused)
{
    static apipool_lease_t leases[4];
    limits.concurrency = 3;
    add(upstream_a, "sk-1");
    for (int i = 0; i < 2; i++) {
        check_acquires("sk-1", NOW);
        leases[i] = lease;
    }
    limits.concurrency = 1;
    check_acquires("sk-1", NOW);
    leases[2] = lease;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(acquire(NOW), APIPOOL_ALL_BUSY);
        report_lease(&leases[i], APIPOOL_RULE_SUCCESS, 0, NOW);
        assert_null(consistency_of(segment));
    }
    limits.concurrency = 0;
    for (int i = 0; i < 4; i++) {
        check_acquires("sk-1", NOW);
        leases[i] = lease;
    }
    limits.concurrency = 2;
    for (int i = 0; i < 4; i++) {
        report_lease(&leases[i], APIPOOL_RULE_SUCCESS, 0, NOW);
    }
    check_acquires("sk-1", NOW);
    assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
    assert_int_equal(acquire(NOW), APIPOOL_ALL_BUSY);
}

/* Asks for a key with capacity for that many tokens. */
static apipool_acquired_e acquire_tokens(apr_uint32_t tokens, apr_time_t now)
{
    apipool_lend_request_t request = want(APIPOOL_STRATEGY_ROUND_ROBIN);
    request.tokens = tokens;
    return acquire_request(&request, now);
}

static void settle(apr_int64_t tokens, apr_time_t now)
{
    apipool_verdict_t verdict = verdict_of(APIPOOL_RULE_SUCCESS, 0);
    report_as(&lease, &verdict, tokens, now);
}

static void tokens_that_were_not_used_are_given_back(void **unused)
{
    limits.tpm = 1000;
    add(upstream_a, "sk-1");
    assert_int_equal(acquire_tokens(600, NOW), APIPOOL_ACQUIRED);
    settle(100, NOW + SEC(1));
    assert_int_equal(acquire_tokens(900, NOW + SEC(1)), APIPOOL_ACQUIRED);
    settle(0, NOW + SEC(2));
    assert_int_equal(acquire_tokens(900, NOW + SEC(2)), APIPOOL_ACQUIRED);
    settle(900, NOW + SEC(2));
    assert_int_equal(acquire_tokens(1, NOW + SEC(2)), APIPOOL_ALL_COOLING);
}

static void tokens_beyond_the_reserved_ones_are_charged(void **unused)
{
    limits.tpm = 1000;
    add(upstream_a, "sk-1");
    assert_int_equal(acquire_tokens(100, NOW), APIPOOL_ACQUIRED);
    settle(1500, NOW);
    assert_int_equal(acquire_tokens(1, NOW), APIPOOL_ALL_COOLING);
    assert_in_range(retry_at - NOW, SEC(61), SEC(66));
}

static void tokens_that_nobody_counted_stay_charged(void **unused)
{
    limits.tpm = 1000;
    add(upstream_a, "sk-1");
    assert_int_equal(acquire_tokens(600, NOW), APIPOOL_ACQUIRED);
    settle(-1, NOW);
    assert_int_equal(acquire_tokens(400, NOW), APIPOOL_ACQUIRED);
    settle(-1, NOW);
    assert_int_equal(acquire_tokens(1, NOW), APIPOOL_ALL_COOLING);
}

static void a_request_above_the_limit_is_served_by_an_idle_key(void **unused)
{
    limits.tpm = 1000;
    add_many(upstream_a, "a", 2);
    assert_int_equal(acquire_tokens(5000, NOW), APIPOOL_ACQUIRED);
    settle(5000, NOW);
    assert_int_equal(acquire_tokens(1, NOW), APIPOOL_ACQUIRED);
    assert_string_equal(lease.key, "a001");
    settle(1, NOW);
    assert_int_equal(acquire_tokens(5000, NOW), APIPOOL_ALL_COOLING);
    assert_in_range(retry_at - NOW, SEC(61), SEC(66));
    assert_int_equal(acquire_tokens(5000, retry_at), APIPOOL_ACQUIRED);
}

/* One more request on the connection of a lent key; returns how long it would have to wait. */
static apr_interval_time_t charge_further(apr_uint32_t tokens, int has_begun, apr_time_t now)
{
    const apipool_further_t further = {.tokens = tokens, .limits = &limits, .has_begun = has_begun};
    assert_int_equal(apipool_pool_charge(segment, &lease, &further, now, &retry_at), APR_SUCCESS);
    return retry_at ? retry_at - now : 0;
}

static void report_further(apr_int64_t tokens, apr_time_t now)
{
    apipool_verdict_t verdict = verdict_of(APIPOOL_RULE_SUCCESS, 0);
    apipool_report_t what = {.verdict = &verdict,
                             .status = 200,
                             .tokens = tokens,
                             .headroom = -1,
                             .policy = &policy,
                             .goes_on = 1};
    assert_int_equal(apipool_pool_report(segment, &lease, &what, now, &outcome), APR_SUCCESS);
}

static void further_requests_of_a_connection_count(void **unused)
{
    fixture_t *f = open_with(CAPACITY);
    apipool_key_item_t item = {.key = "sk-1", .len = 4, .enabled = 1};
    assert_int_equal(add_item(upstream_a, &item), APIPOOL_ADDED);
    assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
    assert_false(apipool_pool_limits(segment, &lease, &limits));
    limits = (apipool_key_limits_t){.rpm = 3, .tpm = 1000};
    assert_true(apipool_pool_limits(segment, &lease, &limits));
    apipool_lease_t connection = lease;

    assert_int_equal(charge_further(600, 0, NOW), 0);
    assert_in_range(charge_further(600, 0, NOW), SEC(61), SEC(66)); /* tokens */
    lease.tokens = 600;
    report_further(100, NOW);
    assert_int_equal(charge_further(600, 0, NOW), 0);
    assert_in_range(charge_further(1, 0, NOW), SEC(61), SEC(66)); /* requests */
    assert_int_equal(charge_further(1, 1, NOW), 0);
    report_further(2, NOW);
    assert_int_equal(segment->slots[lease.slot].in_flight, 1);
    report_as(&connection, &(apipool_verdict_t){.event = APIPOOL_EVENT_SUCCESS}, 0, NOW);
    assert_int_equal(segment->slots[lease.slot].in_flight, 0);
    assert_null(consistency_of(segment));
    fixture_close(f);
}

static void a_big_request_does_not_put_off_a_key_that_has_room(void **unused)
{
    static const int counts[] = {1, 3, 40};
    limits.tpm = 1000;
    for (size_t c = 0; c < sizeof(counts) / sizeof(*counts); c++) {
        fixture_t *f = open_with(CAPACITY);
        limits.tpm = 1000;
        add_many(upstream_a, "a", counts[c]);
        for (int i = 0; i < counts[c]; i++) {
            assert_int_equal(acquire_tokens(500, NOW), APIPOOL_ACQUIRED);
            settle(-1, NOW);
        }
        for (int strategy = 0; strategy < APIPOOL_STRATEGY_COUNT; strategy++) {
            apipool_lend_request_t request = want((apipool_strategy_e)strategy);
            request.tokens = 600;
            assert_int_equal(acquire_request(&request, NOW), APIPOOL_ALL_COOLING);
            assert_in_range(retry_at - NOW, SEC(61), SEC(66));
            assert_int_equal(totals_of(upstream_a).keys[APIPOOL_STATE_ACTIVE], counts[c]);
        }
        for (int i = 0; i < counts[c]; i++) {
            assert_int_equal(acquire_tokens(500, NOW), APIPOOL_ACQUIRED);
            settle(-1, NOW);
        }
        fixture_close(f);
    }
}

static void a_big_request_puts_off_a_full_key_no_longer_than_small_ones_need(void **unused)
{
    limits.tpm = 1000;
    add(upstream_a, "sk-1");
    assert_int_equal(acquire_tokens(100, NOW), APIPOOL_ACQUIRED);
    settle(-1, NOW);
    assert_int_equal(acquire_tokens(900, NOW + SEC(30)), APIPOOL_ACQUIRED);
    settle(-1, NOW + SEC(30));
    assert_int_equal(acquire_tokens(800, NOW + SEC(31)), APIPOOL_ALL_COOLING);
    assert_int_equal(acquire_tokens(1, NOW + SEC(31)), APIPOOL_ALL_COOLING);
    assert_in_range(retry_at - NOW, SEC(61), SEC(66));
    assert_int_equal(acquire_tokens(1, NOW + SEC(66)), APIPOOL_ACQUIRED);
}

static void a_limit_holds_for_a_key_that_is_to_prove_itself(void **unused)
{
    limits.rpm = 1;
    add(upstream_a, "sk-1");
    check_acquires("sk-1", NOW);
    report(APIPOOL_RULE_CREDENTIAL, 0, NOW);
    assert_int_not_equal(acquire(NOW + SEC(30)), APIPOOL_ACQUIRED);
    assert_int_not_equal(acquire(NOW + SEC(60)), APIPOOL_ACQUIRED);
    check_acquires("sk-1", NOW + SEC(67));
    assert_true(lease.proving);
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(67));
}

static void set_limits(const char *key, apipool_key_limits_t own)
{
    apipool_key_patch_t patch = {.edit = {.set = APIPOOL_SET_LIMITS, .limits = own},
                                 .upstream = APIPOOL_NONE};
    apr_uint64_t id = apipool_key_id(segment->header->store.secret, key, strlen(key));
    assert_int_equal(apipool_pool_edit(segment, main_pool, id, &patch), APR_SUCCESS);
}

/* Counts the requests that are served until there is no key. */
static int serve_all(apr_time_t now)
{
    int count = 0;
    for (; acquire(now) == APIPOOL_ACQUIRED; count++) {
        report(APIPOOL_RULE_SUCCESS, 0, now);
    }
    return count;
}

static void a_limit_that_is_raised_holds_at_once(void **unused)
{
    add(upstream_a, "sk-1");
    set_limits("sk-1", (apipool_key_limits_t){.rpd = 2});
    assert_int_equal(serve_all(NOW), 2);
    set_limits("sk-1", (apipool_key_limits_t){.rpd = 2, .rpm = 50});
    assert_int_equal(serve_all(NOW), 0);
    set_limits("sk-1", (apipool_key_limits_t){.rpd = 5, .rpm = 4});
    assert_int_equal(serve_all(NOW), 2);
    limits.rpd = 6; /* of the pool, as the key has none of its own now */
    set_limits("sk-1", (apipool_key_limits_t){0});
    assert_int_equal(serve_all(NOW), 2);
    limits.rpd = 9;
    assert_int_equal(serve_all(NOW), 0); /* the key has not been told */
    assert_int_equal(apipool_pool_lift(segment, upstream_a, &limits, NOW), APR_SUCCESS);
    assert_int_equal(serve_all(NOW), 3);
}

static void a_limit_of_its_vendors_holds_whatever_becomes_of_its_own(void **unused)
{
    limits.rpm = 5;
    add(upstream_a, "sk-1");
    check_acquires("sk-1", NOW);
    report_limit(APIPOOL_SCOPE_KEY, NOW + SEC(99), NOW);
    set_limits("sk-1", (apipool_key_limits_t){.rpm = 50});
    assert_int_equal(apipool_pool_lift(segment, upstream_a, &limits, NOW), APR_SUCCESS);
    assert_int_equal(acquire(NOW), APIPOOL_ALL_COOLING);
    assert_int_equal(retry_at, NOW + SEC(99));
}

static void more_at_once_may_begin_at_once(void **unused)
{
    apipool_lease_t early;
    add(upstream_a, "sk-1");
    set_limits("sk-1", (apipool_key_limits_t){.concurrency = 1});
    check_acquires("sk-1", NOW);
    early = lease;
    assert_int_equal(acquire(NOW), APIPOOL_ALL_BUSY);
    set_limits("sk-1", (apipool_key_limits_t){.concurrency = 2});
    check_acquires("sk-1", NOW);
    assert_int_equal(acquire(NOW), APIPOOL_ALL_BUSY);
    report(APIPOOL_RULE_SUCCESS, 0, NOW);
    report_lease(&early, APIPOOL_RULE_SUCCESS, 0, NOW);
}

/* Results of requests with two keys that may share an account: success, or a rate limit of some
 * scope. */
static void meet_something(apr_uint32_t *random, apr_time_t now)
{
    static const apipool_scope_e scopes[] = {APIPOOL_SCOPE_MODEL, APIPOOL_SCOPE_KEY,
                                             APIPOOL_SCOPE_ACCOUNT};
    apr_time_t named = next_random(random) % 2 ? now + 1 + next_random(random) % SEC(9) : 0;
    int scope = (int)(next_random(random) % 5);
    if (scope < 3) {
        report_limit(scopes[scope], named, now);
    }
    else {
        report(APIPOOL_RULE_SUCCESS, 0, now);
    }
}

/* Of the limits of a key the last one to end counts, and of the keys the first one to come back. */
static void the_time_that_is_named_is_true(void **unused)
{
    apr_uint32_t random = 1147;
    for (int round = 0; round < 300; round++) {
        fixture_t *f = open_with(CAPACITY);
        apr_time_t now = NOW;
        limits.rpm = next_random(&random) % 5;
        limits.rpd = next_random(&random) % 3 ? 0 : 40;
        limits.tpm = next_random(&random) % 2 ? 0 : 50 + next_random(&random) % 300;
        add_of(upstream_a, "sk-1", "acme");
        add_of(upstream_b, "sk-2", round % 3 ? "other" : "acme");
        sources[1].priority = round % 2;
        for (int i = 0; i < 60; i++) {
            apipool_lend_request_t request = want(APIPOOL_STRATEGY_SMART);
            request.tokens = 1 + next_random(&random) % 99;
            sources[0].model = sources[1].model = next_random(&random) % 3;
            now += next_random(&random) % SEC(2);
            if (acquire_request(&request, now) != APIPOOL_ACQUIRED) {
                now = retry_at;
                request.look_only = 1;
                assert_int_not_equal(acquire_request(&request, now - 1), APIPOOL_ACQUIRED);
                request.look_only = 0;
                assert_int_equal(acquire_request(&request, now), APIPOOL_ACQUIRED);
            }
            meet_something(&random, now);
        }
        assert_null(consistency_of(segment));
        fixture_close(f);
    }
}

/* No minute ever has more requests or tokens than the limit. */
static void no_sliding_minute_has_more_than_the_limit(void **unused)
{
    static apr_time_t at[20000];
    static apr_uint32_t tokens[20000];
    apr_uint32_t random = 4711, sum = 0;
    apr_time_t now = NOW;
    int count = 0, first = 0;

    limits.rpm = 60;
    limits.tpm = 3000;
    add(upstream_a, "sk-1");
    for (int i = 0; i < 60000 && count < 20000; i++) {
        apr_uint32_t want_tokens = 1 + next_random(&random) % 120;
        now += next_random(&random) % (i % 1000 < 500 ? SEC(1) / 10 : SEC(3));
        if (acquire_tokens(want_tokens, now) != APIPOOL_ACQUIRED) {
            assert_true(retry_at > now);
            continue;
        }
        at[count] = now;
        tokens[count] = want_tokens;
        sum += tokens[count++];
        for (; at[first] <= now - SEC(60); first++) {
            sum -= tokens[first];
        }
        assert_true(count - first <= 60);
        assert_true(sum <= 3000);
        report(APIPOOL_RULE_SUCCESS, 0, now);
    }
    assert_true(count > 10000);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_key_serves_as_many_requests_as_it_may),
    cmocka_unit_test(further_requests_of_a_connection_count),
    TEST(a_key_at_its_limit_leaves_the_requests_to_others),
    TEST(only_so_many_requests_are_in_flight),
    TEST(tokens_set_aside_by_the_dead_are_given_back),
    TEST(a_busy_key_that_cools_is_not_busy),
    TEST(another_limit_of_concurrency_holds_from_the_next_request_on),
    TEST(tokens_that_were_not_used_are_given_back),
    TEST(tokens_beyond_the_reserved_ones_are_charged),
    TEST(tokens_that_nobody_counted_stay_charged),
    TEST(a_request_above_the_limit_is_served_by_an_idle_key),
    cmocka_unit_test(a_big_request_does_not_put_off_a_key_that_has_room),
    TEST(a_big_request_puts_off_a_full_key_no_longer_than_small_ones_need),
    TEST(a_limit_holds_for_a_key_that_is_to_prove_itself),
    TEST(a_limit_that_is_raised_holds_at_once),
    TEST(a_limit_of_its_vendors_holds_whatever_becomes_of_its_own),
    TEST(more_at_once_may_begin_at_once),
    cmocka_unit_test(the_time_that_is_named_is_true),
    TEST(no_sliding_minute_has_more_than_the_limit),
};

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests_name("limits", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
