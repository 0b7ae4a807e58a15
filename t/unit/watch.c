/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/pool/watch: each event is found once, and by whoever looks first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <string.h>
#include <cmocka.h>

#include "client.h"
#include "pool_fixture.h"
#include "slots.h"
#include "watch.h"

#define HOUR SEC(3600)

static apipool_watch_pool_t pools[APIPOOL_POOLS_MAX];
static apipool_watched_t found;
static apipool_watched_clients_t clients;

static int open_watched(void **fixture)
{
    open_segment(fixture);
    segment->pools[main_pool].configured = 1;
    segment->upstreams[upstream_a].configured = segment->upstreams[upstream_b].configured = 1;
    pools[main_pool] = (apipool_watch_pool_t){.is_watched = 1, .low = 2, .balance = NAN};
    probed = 0;
    return 0;
}

static apipool_alarm_e look_at_keys(void)
{
    apr_uint32_t from = 0;
    assert_int_equal(apipool_watch_keys(segment, pools, &from, &found), APR_SUCCESS);
    assert_int_equal(from, 0);
    return found.event;
}

static apipool_alarm_e look_at_pools(apr_time_t now)
{
    assert_int_equal(apipool_watch_pools(segment, pools, now, &found), APR_SUCCESS);
    return found.event;
}

static apipool_alarm_e look_at_upstreams(void)
{
    assert_int_equal(apipool_watch_upstreams(segment, pools, &found), APR_SUCCESS);
    return found.event;
}

static apipool_alarm_e look_at_clients(apr_time_t now)
{
    apr_uint32_t from = 0;
    apipool_client_watch_t watch = {.percent = 80, .now = now};
    assert_int_equal(apipool_watch_clients(segment, &watch, &from, &clients), APR_SUCCESS);
    return clients.event;
}

static void lose(apipool_rule_e rule, apr_time_t now)
{
    assert_int_equal(acquire(now), APIPOOL_ACQUIRED);
    report(rule, 0, now);
    assert_int_equal(outcome.lost, 1);
}

/* A key that proves itself, after a probe has found it accepted. */
static void recover(apr_time_t now)
{
    probe_all(now);
    assert_int_equal(acquire(now), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_SUCCESS, 0, now);
}

static void a_lost_key_is_told_of_once_and_so_is_its_return(void **unused)
{
    add(upstream_a, "sk-1");
    assert_int_equal(look_at_keys(), APIPOOL_ALARM_COUNT);
    lose(APIPOOL_RULE_CREDENTIAL, NOW);
    assert_int_equal(look_at_keys(), APIPOOL_ALARM_KEY_LOST);
    assert_int_equal(found.pool, main_pool);
    assert_int_equal(found.count, 1);
    assert_true(found.ids[0] == slot_of("sk-1")->id);
    assert_int_equal(look_at_keys(), APIPOOL_ALARM_COUNT);
    probe_all(NOW + HOUR);
    assert_int_equal(slot_of("sk-1")->state, APIPOOL_STATE_HALF_OPEN);
    assert_int_equal(look_at_keys(), APIPOOL_ALARM_COUNT);
    recover(NOW + HOUR);
    assert_int_equal(look_at_keys(), APIPOOL_ALARM_KEY_BACK);
    assert_int_equal(look_at_keys(), APIPOOL_ALARM_COUNT);
}

static void what_is_undone_before_anybody_looks_is_not_told(void **unused)
{
    add(upstream_a, "sk-1");
    lose(APIPOOL_RULE_CREDENTIAL, NOW);
    recover(NOW + HOUR);
    assert_int_equal(look_at_keys(), APIPOOL_ALARM_COUNT);
}

static void many_keys_are_one_event(void **unused)
{
    add_many(upstream_a, "sk-", 150);
    for (apr_uint32_t i = 0; i < 150; i++) {
        apipool_slot_move_locked(segment, i, APIPOOL_STATE_QUOTA, NOW);
    }
    assert_int_equal(look_at_keys(), APIPOOL_ALARM_KEY_LOST);
    assert_int_equal(found.count, 150);
    assert_int_equal(found.rows, APIPOOL_ALARM_ROWS);
    assert_int_equal(look_at_keys(), APIPOOL_ALARM_COUNT);
}

static void a_muted_event_waits(void **unused)
{
    add(upstream_a, "sk-1");
    lose(APIPOOL_RULE_CREDENTIAL, NOW);
    pools[main_pool].muted = 1u << APIPOOL_ALARM_KEY_LOST;
    assert_int_equal(look_at_keys(), APIPOOL_ALARM_COUNT);
    pools[main_pool].muted = 0;
    assert_int_equal(look_at_keys(), APIPOOL_ALARM_KEY_LOST);
}

static void a_pool_that_is_not_configured_is_not_told_of(void **unused)
{
    add(upstream_a, "sk-1");
    lose(APIPOOL_RULE_CREDENTIAL, NOW);
    pools[main_pool].is_watched = 0;
    assert_int_equal(look_at_keys(), APIPOOL_ALARM_COUNT);
    assert_int_equal(look_at_pools(NOW), APIPOOL_ALARM_COUNT);
}

static void set_balance(double amount)
{
    const apipool_balances_t balances = {.count = 1, .of = {{amount, "USD"}}};
    apipool_slot_t *slot = slot_of("sk-1");
    slot->read_at = NOW;
    apipool_slot_set_balances_locked(slot, &balances);
}

static void a_balance_is_told_of_when_it_falls_below_the_mark(void **unused)
{
    add(upstream_a, "sk-1");
    set_balance(1);
    assert_int_equal(look_at_keys(), APIPOOL_ALARM_COUNT);
    pools[main_pool].balance = 5;
    assert_int_equal(look_at_keys(), APIPOOL_ALARM_BALANCE_LOW);
    set_balance(0.5);
    assert_int_equal(look_at_keys(), APIPOOL_ALARM_COUNT);
    set_balance(5);
    assert_int_equal(look_at_keys(), APIPOOL_ALARM_COUNT);
    set_balance(4.99);
    assert_int_equal(look_at_keys(), APIPOOL_ALARM_BALANCE_LOW);
}

static void a_pool_is_told_of_as_it_gets_worse(void **unused)
{
    assert_int_equal(look_at_pools(NOW), APIPOOL_ALARM_COUNT); /* it has had no keys so far */
    add(upstream_a, "sk-1");
    add(upstream_b, "sk-2");
    assert_int_equal(look_at_pools(NOW), APIPOOL_ALARM_COUNT);
    lose(APIPOOL_RULE_CREDENTIAL, NOW);
    assert_int_equal(look_at_pools(NOW), APIPOOL_ALARM_POOL_LOW);
    assert_int_equal(found.usable, 1);
    assert_int_equal(found.total, 2);
    assert_int_equal(look_at_pools(NOW), APIPOOL_ALARM_COUNT);
    lose(APIPOOL_RULE_CREDENTIAL, NOW);
    assert_int_equal(look_at_pools(NOW), APIPOOL_ALARM_POOL_EXHAUSTED);
    assert_int_equal(look_at_pools(NOW), APIPOOL_ALARM_COUNT);
    recover(NOW + HOUR);
    assert_int_equal(look_at_pools(NOW), APIPOOL_ALARM_COUNT);
    recover(NOW + HOUR);
    assert_int_equal(look_at_pools(NOW), APIPOOL_ALARM_COUNT);
    lose(APIPOOL_RULE_CREDENTIAL, NOW + HOUR);
    assert_int_equal(look_at_pools(NOW), APIPOOL_ALARM_POOL_LOW);
}

static void keys_that_rest_for_long_serve_nobody(void **unused)
{
    add(upstream_a, "sk-1");
    pools[main_pool].low = 0;
    assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_RATE_LIMIT, NOW + HOUR, NOW);
    assert_int_equal(look_at_pools(NOW + HOUR - SEC(60)), APIPOOL_ALARM_COUNT);
    assert_int_equal(look_at_pools(NOW), APIPOOL_ALARM_POOL_EXHAUSTED);
}

static void an_upstream_is_told_of_when_it_is_paused_and_when_it_is_back(void **unused)
{
    add(upstream_a, "sk-1");
    assert_int_equal(look_at_upstreams(), APIPOOL_ALARM_COUNT);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(acquire(NOW + i), APIPOOL_ACQUIRED);
        report(APIPOOL_RULE_UPSTREAM_ERROR, 0, NOW + i);
    }
    assert_int_equal(look_at_upstreams(), APIPOOL_ALARM_UPSTREAM_PAUSED);
    assert_int_equal(found.slots[0], upstream_a);
    assert_string_equal(found.whys[0], "fails with a model");
    assert_int_equal(look_at_upstreams(), APIPOOL_ALARM_COUNT);
    assert_int_equal(acquire(NOW + SEC(5)), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(5));
    assert_int_equal(look_at_upstreams(), APIPOOL_ALARM_UPSTREAM_BACK);
    assert_int_equal(look_at_upstreams(), APIPOOL_ALARM_COUNT);
}

static void a_client_is_told_of_near_a_limit_and_when_it_is_refused(void **unused)
{
    apipool_client_image_t image = {.name = "alice", .terms = {.enabled = 1, .limits = {5}}};
    apipool_client_pass_t pass;
    apipool_client_admitted_e result;
    image.terms.lists_len = APIPOOL_CLIENT_LISTS;
    assert_int_equal(apipool_client_add(segment, &image), APR_SUCCESS);
    assert_int_equal(apipool_client_recognise(segment, image.digest, "", NULL, NOW, &pass, NULL),
                     APR_SUCCESS);
    for (int i = 0; i < 6; i++) {
        static const apipool_alarm_e told[] = {
            APIPOOL_ALARM_COUNT, APIPOOL_ALARM_COUNT,
            APIPOOL_ALARM_COUNT, APIPOOL_ALARM_CLIENT_NEAR_LIMIT,
            APIPOOL_ALARM_COUNT, APIPOOL_ALARM_CLIENT_OVER_LIMIT};
        apipool_client_charge_t charge = {.index = pass.index, .serial = pass.serial};
        assert_int_equal(apipool_client_admit(segment, &charge, NOW, &result, &retry_at),
                         APR_SUCCESS);
        assert_int_equal(look_at_clients(NOW), told[i]);
    }
    assert_int_equal(result, APIPOOL_CLIENT_OVER_RPM);
    assert_string_equal(clients.rows[0].name, "alice");
    assert_int_equal(clients.rows[0].limit, APIPOOL_CLIENT_RPM);
    assert_int_equal(clients.rows[0].used, 5);
    assert_int_equal(clients.rows[0].of, 5);
    for (int i = 0; i < 6; i++) { /* in the next minute it is refused again */
        apipool_client_charge_t charge = {.index = pass.index, .serial = pass.serial};
        apipool_client_admit(segment, &charge, NOW + SEC(120), &result, &retry_at);
        assert_int_equal(look_at_clients(NOW + SEC(120)), APIPOOL_ALARM_COUNT);
    }
    assert_int_equal(look_at_clients(NOW + 2 * HOUR), APIPOOL_ALARM_COUNT);
    for (int i = 0; i < 6; i++) {
        apipool_client_charge_t charge = {.index = pass.index, .serial = pass.serial};
        apipool_client_admit(segment, &charge, NOW + 2 * HOUR, &result, &retry_at);
    }
    assert_int_equal(look_at_clients(NOW + 2 * HOUR), APIPOOL_ALARM_CLIENT_OVER_LIMIT);
    assert_int_equal(look_at_clients(NOW + 2 * HOUR), APIPOOL_ALARM_COUNT);
}

static void saving_that_fails_is_told_of_until_it_succeeds(void **unused)
{
    apipool_store_state_t *state = apipool_segment_store(segment);
    state->saves++;
    assert_int_equal(apipool_watch_store(segment), 0);
    state->save_errors++;
    assert_int_equal(apipool_watch_store(segment), 1);
    assert_int_equal(apipool_watch_store(segment), 0);
    state->save_errors++;
    assert_int_equal(apipool_watch_store(segment), 0);
    state->saves++;
    assert_int_equal(apipool_watch_store(segment), 0);
    state->save_errors++;
    assert_int_equal(apipool_watch_store(segment), 1);
}

#undef TEST
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_watched, close_segment)

static const struct CMUnitTest tests[] = {
    TEST(a_lost_key_is_told_of_once_and_so_is_its_return),
    TEST(what_is_undone_before_anybody_looks_is_not_told),
    TEST(many_keys_are_one_event),
    TEST(a_muted_event_waits),
    TEST(a_pool_that_is_not_configured_is_not_told_of),
    TEST(a_balance_is_told_of_when_it_falls_below_the_mark),
    TEST(a_pool_is_told_of_as_it_gets_worse),
    TEST(keys_that_rest_for_long_serve_nobody),
    TEST(an_upstream_is_told_of_when_it_is_paused_and_when_it_is_back),
    TEST(a_client_is_told_of_near_a_limit_and_when_it_is_refused),
    TEST(saving_that_fails_is_told_of_until_it_succeeds),
};

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests_name("watch", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
