/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/state/pool and segment: adding, lending, reporting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "pool_fixture.h"

static void pools_and_groups_are_found_again_by_name(void **unused)
{
    assert_int_equal(attach("", "main"), main_pool);
    assert_int_not_equal(attach("example.org", "main"), main_pool);
    assert_int_not_equal(attach("", "other"), main_pool);
    assert_int_equal(attach("example.org", "main"), attach("example.org", "main"));
    assert_int_equal(group_of(main_pool, "a"), group_a);
    assert_int_not_equal(group_a, group_b);
    assert_int_not_equal(group_of(attach("", "other"), "a"), group_a);
}

static void names_that_do_not_fit_are_refused(void **unused)
{
    char name[APIPOOL_SERVER_NAME_MAX + 1];
    apr_uint32_t index;

    memset(name, 'n', sizeof(name));
    name[APIPOOL_SERVER_NAME_MAX] = '\0';
    assert_int_equal(apipool_pool_attach(segment, name, "main", &index), APR_ENAMETOOLONG);
    assert_int_equal(apipool_pool_attach(segment, name + 1, "main", &index), APR_SUCCESS);
    name[APIPOOL_NAME_MAX] = '\0';
    assert_int_equal(apipool_pool_attach(segment, "", name, &index), APR_ENAMETOOLONG);
    assert_int_equal(apipool_pool_attach(segment, "", name + 1, &index), APR_SUCCESS);
    assert_int_equal(apipool_pool_group(segment, main_pool, name, &index), APR_ENAMETOOLONG);
    assert_int_equal(apipool_pool_group(segment, main_pool, name + 1, &index), APR_SUCCESS);
}

static void pools_and_groups_end_where_the_room_does(void **unused)
{
    char name[16];
    apr_uint32_t index;

    for (int i = (int)segment->header->pools_used; i < APIPOOL_POOLS_MAX; i++) {
        snprintf(name, sizeof(name), "p%d", i);
        assert_int_equal(attach("", name), i);
    }
    for (int i = (int)segment->header->groups_used; i < APIPOOL_GROUPS_MAX; i++) {
        snprintf(name, sizeof(name), "g%d", i);
        assert_int_equal(group_of(main_pool, name), i);
    }
    assert_int_equal(apipool_pool_attach(segment, "", "one more", &index), APR_ENOSPC);
    assert_int_equal(apipool_pool_group(segment, main_pool, "one more", &index), APR_ENOSPC);
    assert_int_equal(attach("", "main"), main_pool);
    assert_int_equal(group_of(main_pool, "b"), group_b);
}

static void a_key_is_added_once(void **unused)
{
    assert_int_equal(add(group_a, "sk-1"), APIPOOL_ADDED);
    assert_int_equal(add(group_a, "sk-1"), APIPOOL_DUPLICATE);
    assert_int_equal(add(group_a, "sk-2"), APIPOOL_ADDED);
    assert_int_equal(totals_of(main_pool).keys[APIPOOL_STATE_ACTIVE], 2);
}

static void a_key_given_for_another_group_moves_there(void **unused)
{
    assert_int_equal(add(group_a, "sk-1"), APIPOOL_ADDED);
    check_acquires("sk-1", NOW);
    assert_int_equal(lease.group, group_a);
    assert_int_equal(add(group_b, "sk-1"), APIPOOL_DUPLICATE);
    assert_int_equal(segment->groups[group_a].usable, 0);
    assert_int_equal(segment->groups[group_b].usable, 1);
    report(APIPOOL_EVENT_RATE_LIMITED, NOW + SEC(5), NOW); /* lent before it moved */
    assert_int_equal(segment->groups[group_b].waiting, 1);
    assert_int_equal(add(group_a, "sk-1"), APIPOOL_DUPLICATE);
    assert_int_equal(segment->groups[group_a].waiting, 1);
    assert_int_equal(acquire(NOW), APIPOOL_ALL_COOLING);
    check_acquires("sk-1", NOW + SEC(5));
    assert_int_equal(lease.group, group_a);
    assert_int_equal(totals_of(main_pool).requests, 2);
}

static void a_full_segment_takes_no_more_but_knows_duplicates(void **unused)
{
    add_many(group_a, "sk-", CAPACITY);
    assert_int_equal(add(group_a, "one more"), APIPOOL_FULL);
    assert_int_equal(add(group_a, "sk-000"), APIPOOL_DUPLICATE);
    assert_int_equal(add(group_b, "sk-001"), APIPOOL_DUPLICATE);
    assert_int_equal(segment->header->slots_used, CAPACITY);
    assert_int_equal(totals_of(main_pool).keys[APIPOOL_STATE_ACTIVE], CAPACITY);
}

static void a_full_arena_takes_no_long_keys_but_short_ones(void **unused)
{
    static char key[APIPOOL_KEY_MAX];
    char number[16];
    apr_uint32_t added = 0;
    fixture_t *f = open_with(2000);

    memset(key, 'k', sizeof(key));
    for (;; added++) {
        memcpy(key, number, (size_t)snprintf(number, sizeof(number), "%06u", added));
        if (add_bytes(group_a, key, sizeof(key), 1) == APIPOOL_FULL) {
            break;
        }
    }
    assert_true(added > 500 && added < 2000);
    assert_int_equal(segment->header->slots_used, added);
    assert_int_equal(add_bytes(group_a, key, APIPOOL_KEY_INLINE, 1), APIPOOL_ADDED);
    assert_int_equal(totals_of(main_pool).keys[APIPOOL_STATE_ACTIVE], added + 1);
    assert_null(broken_invariant(segment));
    fixture_close(f);
}

static void keys_of_every_length_come_back_as_they_were(void **unused)
{
    static const size_t lengths[] = {1, 16, 255, 256, 257, 1000, 4095, 4096};
    static char key[APIPOOL_KEY_MAX];

    for (size_t i = 0; i < sizeof(key); i++) {
        key[i] = (char)('!' + i * 7 % 94);
    }
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        assert_int_equal(add_bytes(group_a, key, lengths[i], 1), APIPOOL_ADDED);
    }
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        assert_int_equal(lease.len, lengths[i]);
        assert_memory_equal(lease.key, key, lengths[i]);
        assert_int_equal(lease.key[lengths[i]], '\0');
        assert_true(lease.id == apipool_key_id(segment->header->secret, key, lengths[i]));
    }
}

static void a_wiped_lease_holds_no_key(void **unused)
{
    static const char zeros[sizeof(lease.key)];
    add(group_a, "sk-1234567890");
    memset(&lease, 0, sizeof(lease));
    check_acquires("sk-1234567890", NOW);
    apipool_lease_wipe(&lease);
    assert_int_equal(lease.len, 0);
    assert_memory_equal(lease.key, zeros, sizeof(zeros));
}

static void disabled_keys_are_never_lent(void **unused)
{
    assert_int_equal(add_bytes(group_a, "sk-off", 6, 0), APIPOOL_ADDED);
    assert_int_equal(acquire(NOW), APIPOOL_EXHAUSTED);
    add(group_a, "sk-on");
    for (int i = 0; i < 20; i++) {
        check_acquires("sk-on", NOW + SEC(i));
    }
    assert_int_equal(totals_of(main_pool).keys[APIPOOL_STATE_DISABLED], 1);
}

static void an_empty_pool_is_exhausted(void **unused)
{
    assert_int_equal(acquire(NOW), APIPOOL_EXHAUSTED);
    assert_int_equal(retry_at, 0);
    assert_int_equal(acquire_from(main_pool, NULL, 0, APIPOOL_STRATEGY_LEAST_USED, NULL, 0, NOW),
                     APIPOOL_EXHAUSTED);
}

static void round_robin_takes_keys_in_the_order_they_were_added(void **unused)
{
    char key[16];
    add_many(group_a, "a", 3);
    add_many(group_b, "b", 2);
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof(key), "%c%03d", i % 5 < 3 ? 'a' : 'b', i % 5 < 3 ? i % 5 : i % 5 - 3);
        check_acquires(key, NOW);
        report(APIPOOL_EVENT_SUCCESS, 0, NOW);
    }
}

static void least_used_spreads_requests_evenly(void **unused)
{
    const apr_uint32_t groups[] = {group_a, group_b};
    add_many(group_a, "a", 5);
    add_many(group_b, "b", 3);
    for (int i = 0; i < 800; i++) {
        assert_int_equal(
            acquire_from(main_pool, groups, 2, APIPOOL_STRATEGY_LEAST_USED, NULL, 0, NOW + i),
            APIPOOL_ACQUIRED);
        report(APIPOOL_EVENT_SUCCESS, 0, NOW + i);
    }
    for (int i = 0; i < 8; i++) {
        assert_int_equal(segment->slots[i].requests, 100);
    }
}

static void least_used_spreads_requests_of_large_pools_nearly_evenly(void **unused)
{
    segment->header->random = 88172645463325252; /* the same draws in every run */
    add_many(group_a, "a", 100);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(acquire_from(main_pool, &group_a, 1, APIPOOL_STRATEGY_LEAST_USED, NULL, 0,
                                      NOW + i),
                         APIPOOL_ACQUIRED);
        report(APIPOOL_EVENT_SUCCESS, 0, NOW + i);
    }
    for (int i = 0; i < 100; i++) {
        assert_in_range(segment->slots[i].requests, 90, 110);
    }
}

static void least_used_avoids_keys_in_flight(void **unused)
{
    apr_uint32_t busy[7];
    add_many(group_a, "a", 8);
    for (int i = 0; i < 7; i++) {
        acquire_from(main_pool, &group_a, 1, APIPOOL_STRATEGY_LEAST_USED, NULL, 0, NOW);
        busy[i] = lease.slot;
    }
    for (int i = 0; i < 10; i++) {
        acquire_from(main_pool, &group_a, 1, APIPOOL_STRATEGY_LEAST_USED, NULL, 0, NOW);
        for (int j = 0; j < 7; j++) {
            assert_int_not_equal(lease.slot, busy[j]);
        }
        report(APIPOOL_EVENT_SUCCESS, 0, NOW);
    }
}

/* A request goes on until it has tried all of them, each once. */
static void try_all(apipool_strategy_e strategy, int count)
{
    apr_uint32_t tried[CAPACITY];
    const apr_uint32_t groups[] = {group_a, group_b};
    for (int i = 0; i < count; i++) {
        assert_int_equal(acquire_from(main_pool, groups, 2, strategy, tried, i, NOW),
                         APIPOOL_ACQUIRED);
        for (int j = 0; j < i; j++) {
            assert_int_not_equal(lease.slot, tried[j]);
        }
        tried[i] = lease.slot;
        report(APIPOOL_EVENT_NONE, 0, NOW);
    }
    assert_int_equal(acquire_from(main_pool, groups, 2, strategy, tried, count, NOW),
                     APIPOOL_ALL_TRIED);
    assert_int_equal(totals_of(main_pool).in_flight, 0);
}

static void tried_keys_are_skipped_until_none_is_left(void **unused)
{
    add_many(group_a, "a", 7);
    add_many(group_b, "b", 5);
    for (int i = 0; i < 5; i++) {
        try_all(APIPOOL_STRATEGY_ROUND_ROBIN, 12);
        try_all(APIPOOL_STRATEGY_LEAST_USED, 12);
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED); /* the next request starts elsewhere */
        report(APIPOOL_EVENT_NONE, 0, NOW);
    }
}

static void tried_keys_are_skipped_in_large_pools(void **unused)
{
    add_many(group_a, "a", 60);
    add_many(group_b, "b", 50);
    try_all(APIPOOL_STRATEGY_ROUND_ROBIN, 110);
    try_all(APIPOOL_STRATEGY_LEAST_USED, 110);
}

static void only_the_wanted_groups_are_used(void **unused)
{
    add_many(group_a, "a", 3);
    add_many(group_b, "b", 3);
    for (int i = 0; i < 20; i++) {
        apipool_strategy_e strategy = (apipool_strategy_e)(i % APIPOOL_STRATEGY_COUNT);
        assert_int_equal(acquire_from(main_pool, &group_b, 1, strategy, NULL, 0, NOW),
                         APIPOOL_ACQUIRED);
        assert_int_equal(lease.group, group_b);
        assert_int_equal(lease.key[0], 'b');
    }
}

static void all_cooling_names_the_first_to_come_back(void **unused)
{
    static const int seconds[] = {30, 10, 20, 40};
    add_many(group_a, "a", 2);
    add_many(group_b, "b", 2);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        report(APIPOOL_EVENT_RATE_LIMITED, NOW + SEC(seconds[lease.slot]), NOW);
    }
    assert_int_equal(acquire(NOW), APIPOOL_ALL_COOLING);
    assert_int_equal(retry_at, NOW + SEC(10));
    assert_int_equal(
        acquire_from(main_pool, &group_b, 1, APIPOOL_STRATEGY_LEAST_USED, NULL, 0, NOW),
        APIPOOL_ALL_COOLING);
    assert_int_equal(retry_at, NOW + SEC(20));
    check_acquires("a001", NOW + SEC(10));
    report(APIPOOL_EVENT_QUOTA_SPENT, 0, NOW + SEC(10));
    assert_int_equal(acquire(NOW + SEC(10)), APIPOOL_ALL_COOLING);
    assert_int_equal(retry_at, NOW + SEC(20));
}

static void cooling_beside_tried_keys_is_all_tried(void **unused)
{
    add_many(group_a, "a", 2);
    check_acquires("a000", NOW);
    report(APIPOOL_EVENT_RATE_LIMITED, NOW + SEC(9), NOW);
    check_acquires("a001", NOW);
    apr_uint32_t tried = lease.slot;
    assert_int_equal(
        acquire_from(main_pool, &group_a, 1, APIPOOL_STRATEGY_ROUND_ROBIN, &tried, 1, NOW),
        APIPOOL_ALL_TRIED);
}

static void keys_without_hope_are_exhausted(void **unused)
{
    static const apipool_event_e events[] = {APIPOOL_EVENT_QUOTA_SPENT, APIPOOL_EVENT_REJECTED};
    add_many(group_a, "a", 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        report(events[i], 0, NOW);
    }
    assert_int_equal(acquire(NOW), APIPOOL_EXHAUSTED);
    assert_int_equal(retry_at, 0);
    assert_int_equal(acquire(NOW + SEC(1000000)), APIPOOL_EXHAUSTED);
    assert_int_equal(totals_of(main_pool).keys[APIPOOL_STATE_QUOTA], 1);
    assert_int_equal(totals_of(main_pool).keys[APIPOOL_STATE_INVALID], 1);
}

static void a_cooling_key_comes_back_at_its_time_and_not_before(void **unused)
{
    add(group_a, "sk-1");
    check_acquires("sk-1", NOW);
    report(APIPOOL_EVENT_RATE_LIMITED, NOW + SEC(7), NOW);
    assert_int_equal(acquire(NOW + SEC(7) - 1), APIPOOL_ALL_COOLING);
    assert_int_equal(retry_at, NOW + SEC(7));
    check_acquires("sk-1", NOW + SEC(7));
    assert_int_equal(totals_of(main_pool).keys[APIPOOL_STATE_ACTIVE], 1);
}

static void unnamed_cooldowns_double_until_a_success(void **unused)
{
    static const int seconds[] = {1, 2, 4, 8, 16, 32, 60, 60};
    apr_time_t now = NOW;
    add(group_a, "sk-1");
    for (size_t i = 0; i < sizeof(seconds) / sizeof(*seconds); i++) {
        check_acquires("sk-1", now);
        report(APIPOOL_EVENT_RATE_LIMITED, 0, now);
        assert_int_equal(acquire(now), APIPOOL_ALL_COOLING);
        assert_int_equal(retry_at, now + SEC(seconds[i]));
        now = retry_at;
    }
    check_acquires("sk-1", now);
    report(APIPOOL_EVENT_SUCCESS, 0, now);
    check_acquires("sk-1", now);
    report(APIPOOL_EVENT_RATE_LIMITED, 0, now);
    assert_int_equal(acquire(now), APIPOOL_ALL_COOLING);
    assert_int_equal(retry_at, now + SEC(1));
}

static void a_cooldown_is_prolonged_but_never_shortened(void **unused)
{
    apipool_lease_t leases[4];
    static const int named[] = {30, 10, 50, 0}, until[] = {30, 30, 50, 50};
    add(group_a, "sk-1");
    for (int i = 0; i < 4; i++) {
        check_acquires("sk-1", NOW);
        leases[i] = lease;
    }
    for (int i = 0; i < 4; i++) {
        lease = leases[i];
        report(APIPOOL_EVENT_RATE_LIMITED, named[i] ? NOW + SEC(named[i]) : 0, NOW);
        assert_int_equal(acquire(NOW), APIPOOL_ALL_COOLING);
        assert_int_equal(retry_at, NOW + SEC(until[i]));
    }
}

static void late_reports_do_not_revive_a_key(void **unused)
{
    static const apipool_event_e late[] = {APIPOOL_EVENT_SUCCESS, APIPOOL_EVENT_RATE_LIMITED,
                                           APIPOOL_EVENT_QUOTA_SPENT, APIPOOL_EVENT_NONE};
    apipool_lease_t leases[5];
    add(group_a, "sk-1");
    for (int i = 0; i < 5; i++) {
        check_acquires("sk-1", NOW);
        leases[i] = lease;
    }
    lease = leases[4];
    report(APIPOOL_EVENT_REJECTED, 0, NOW);
    for (int i = 0; i < 4; i++) {
        lease = leases[i];
        report(late[i], NOW + SEC(1), NOW);
        assert_int_equal(acquire(NOW + SEC(2)), APIPOOL_EXHAUSTED);
        assert_int_equal(segment->slots[0].state, APIPOOL_STATE_INVALID);
    }
    assert_int_equal(totals_of(main_pool).in_flight, 0);
}

static void a_late_success_does_not_end_a_cooldown(void **unused)
{
    apipool_lease_t early;
    add(group_a, "sk-1");
    check_acquires("sk-1", NOW);
    early = lease;
    check_acquires("sk-1", NOW);
    report(APIPOOL_EVENT_RATE_LIMITED, NOW + SEC(5), NOW);
    lease = early;
    report(APIPOOL_EVENT_SUCCESS, 0, NOW);
    assert_int_equal(acquire(NOW + SEC(5) - 1), APIPOOL_ALL_COOLING);
    check_acquires("sk-1", NOW + SEC(5));
}

static const struct {
    apipool_event_e event;
    apipool_state_e state;
    int successes, errors;
} events[] = {
    {APIPOOL_EVENT_NONE, APIPOOL_STATE_ACTIVE, 0, 0},
    {APIPOOL_EVENT_SUCCESS, APIPOOL_STATE_ACTIVE, 1, 0},
    {APIPOOL_EVENT_RATE_LIMITED, APIPOOL_STATE_COOLING, 0, 1},
    {APIPOOL_EVENT_QUOTA_SPENT, APIPOOL_STATE_QUOTA, 0, 1},
    {APIPOOL_EVENT_REJECTED, APIPOOL_STATE_INVALID, 0, 1},
};

static void every_event_is_counted_and_moves_the_key(void **unused)
{
    char name[16];
    for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++) {
        snprintf(name, sizeof(name), "sk-%zu", i);
        apr_uint32_t group = group_of(main_pool, name);
        add(group, name);
        assert_int_equal(acquire_from(main_pool, &group, 1, APIPOOL_STRATEGY_LEAST_USED, NULL, 0,
                                      NOW + 1),
                         APIPOOL_ACQUIRED);
        const apipool_slot_t *slot = &segment->slots[lease.slot];
        assert_int_equal(slot->in_flight, 1);
        report(events[i].event, 0, NOW + 2);
        assert_int_equal(slot->state, events[i].state);
        assert_int_equal(slot->in_flight, 0);
        assert_int_equal(slot->requests, 1);
        assert_int_equal(slot->successes, events[i].successes);
        assert_int_equal(slot->errors, events[i].errors);
        assert_int_equal(slot->error_streak, events[i].errors);
        assert_int_equal(slot->last_status, events[i].errors ? 418 : 0);
        assert_int_equal(slot->last_error_at, events[i].errors ? NOW + 2 : 0);
        assert_int_equal(slot->last_used_at, NOW + 1);
        assert_int_equal(slot->added_at, NOW);
    }
}

static void totals_add_up_all_keys_of_a_pool(void **unused)
{
    add_many(group_a, "a", 3);
    add_many(group_b, "b", 3);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        report(i < 3 ? APIPOOL_EVENT_SUCCESS : APIPOOL_EVENT_QUOTA_SPENT, 0, NOW);
    }
    assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
    apipool_totals_t totals = totals_of(main_pool);
    assert_int_equal(totals.requests, 6);
    assert_int_equal(totals.successes, 3);
    assert_int_equal(totals.errors, 2);
    assert_int_equal(totals.in_flight, 1);
    assert_int_equal(totals.keys[APIPOOL_STATE_ACTIVE], 4);
    assert_int_equal(totals.keys[APIPOOL_STATE_QUOTA], 2);
}

static void two_pools_with_the_same_key_do_not_mix(void **unused)
{
    apr_uint32_t other = attach("example.org", "main");
    apr_uint32_t other_group = group_of(other, "a");

    assert_int_equal(add(group_a, "sk-1"), APIPOOL_ADDED);
    assert_int_equal(add(other_group, "sk-1"), APIPOOL_ADDED);
    assert_int_equal(add(other_group, "sk-1"), APIPOOL_DUPLICATE);
    check_acquires("sk-1", NOW);
    report(APIPOOL_EVENT_REJECTED, 0, NOW);
    assert_int_equal(acquire(NOW), APIPOOL_EXHAUSTED);
    assert_int_equal(
        acquire_from(other, &other_group, 1, APIPOOL_STRATEGY_ROUND_ROBIN, NULL, 0, NOW),
        APIPOOL_ACQUIRED);
    assert_int_equal(lease.group, other_group);
    assert_int_equal(totals_of(main_pool).keys[APIPOOL_STATE_INVALID], 1);
    assert_int_equal(totals_of(other).keys[APIPOOL_STATE_ACTIVE], 1);
    assert_int_equal(totals_of(other).requests, 1);
}

static void many_keys_come_back_together(void **unused)
{
    add_many(group_a, "a", CAPACITY);
    for (int i = 0; i < CAPACITY; i++) {
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        report(APIPOOL_EVENT_RATE_LIMITED, NOW + SEC(1), NOW);
    }
    assert_int_equal(acquire(NOW), APIPOOL_ALL_COOLING);
    for (int i = 0; i < CAPACITY; i++) {
        assert_int_equal(acquire(NOW + SEC(1)), APIPOOL_ACQUIRED);
    }
    assert_int_equal(segment->groups[group_a].usable, CAPACITY);
    assert_int_equal(segment->groups[group_a].waiting, 0);
}

/* Takes leases as another process would. */
static void acquire_as(apr_uint32_t process, int count, apipool_lease_t *leases)
{
    segment->process = process;
    for (int i = 0; i < count; i++) {
        assert_int_equal(acquire(1), APIPOOL_ACQUIRED);
        leases[i] = lease;
    }
}

static void leases_of_a_process_that_died_are_given_back(void **unused)
{
    static apipool_lease_t dead[5], alive[3];

    add_many(group_a, "sk-", 4);
    acquire_as(100, 5, dead);
    acquire_as(200, 3, alive);
    assert_int_equal(totals_of(main_pool).in_flight, 8);
    assert_int_equal(apipool_pool_reclaim(segment, 300), APR_SUCCESS);
    assert_int_equal(totals_of(main_pool).in_flight, 8);
    assert_int_equal(apipool_pool_reclaim(segment, 100), APR_SUCCESS);
    assert_int_equal(totals_of(main_pool).in_flight, 3);
    assert_int_equal(apipool_pool_reclaim(segment, 100), APR_SUCCESS);
    for (int i = 0; i < 3; i++) {
        lease = alive[i];
        report(APIPOOL_EVENT_SUCCESS, 0, 2);
    }
    assert_int_equal(totals_of(main_pool).in_flight, 0);
    assert_int_equal(segment->header->holders_used, 8);
    acquire_as(400, 5, dead);
    assert_int_equal(segment->header->holders_used, 8); /* entries are used again */
    assert_int_equal(apipool_pool_reclaim_all(segment), APR_SUCCESS);
    assert_int_equal(totals_of(main_pool).in_flight, 0);
}

static void a_view_of_another_layout_is_refused(void **state)
{
    fixture_t *f = *state;
    apipool_segment_t *view;
    apr_uint32_t *sizes[] = {&segment->header->version, &segment->header->pool_size,
                             &segment->header->group_size, &segment->header->slot_size};

    assert_int_equal(apipool_segment_view(&view, f->shm, f->mutex, f->pool), APR_SUCCESS);
    for (int i = 0; i < 4; i++) {
        ++*sizes[i];
        assert_int_equal(apipool_segment_view(&view, f->shm, f->mutex, f->pool), APR_EINVAL);
        --*sizes[i];
    }
    segment->header->magic[0]++;
    assert_int_equal(apipool_segment_view(&view, f->shm, f->mutex, f->pool), APR_EINVAL);
    segment->header->magic[0]--;
}

static void a_second_view_sees_the_same_keys(void **state)
{
    fixture_t *f = *state;
    add_many(group_a, "a", 40);
    assert_int_equal(apipool_segment_view(&segment, f->shm, f->mutex, f->pool), APR_SUCCESS);
    assert_int_equal(attach("", "main"), main_pool);
    assert_int_equal(group_of(main_pool, "a"), group_a);
    assert_int_equal(add(group_a, "a000"), APIPOOL_DUPLICATE);
    check_acquires("a000", NOW);
    assert_int_equal(totals_of(main_pool).keys[APIPOOL_STATE_ACTIVE], 40);
}

static void draws_stay_below_their_bound_and_reach_all_of_it(void **unused)
{
    int seen[7] = {0};
    for (int i = 0; i < 7000; i++) {
        apr_uint32_t n = apipool_segment_draw_locked(segment, 7);
        assert_true(n < 7);
        seen[n]++;
        assert_int_equal(apipool_segment_draw_locked(segment, 1), 0);
    }
    for (int i = 0; i < 7; i++) {
        assert_in_range(seen[i], 800, 1200);
    }
}

static const struct CMUnitTest tests[] = {
    TEST(pools_and_groups_are_found_again_by_name),
    TEST(names_that_do_not_fit_are_refused),
    TEST(pools_and_groups_end_where_the_room_does),
    TEST(a_key_is_added_once),
    TEST(a_key_given_for_another_group_moves_there),
    TEST(a_full_segment_takes_no_more_but_knows_duplicates),
    cmocka_unit_test(a_full_arena_takes_no_long_keys_but_short_ones),
    TEST(keys_of_every_length_come_back_as_they_were),
    TEST(a_wiped_lease_holds_no_key),
    TEST(disabled_keys_are_never_lent),
    TEST(an_empty_pool_is_exhausted),
    TEST(round_robin_takes_keys_in_the_order_they_were_added),
    TEST(leases_of_a_process_that_died_are_given_back),
    TEST(least_used_spreads_requests_evenly),
    TEST(least_used_spreads_requests_of_large_pools_nearly_evenly),
    TEST(least_used_avoids_keys_in_flight),
    TEST(tried_keys_are_skipped_until_none_is_left),
    TEST(tried_keys_are_skipped_in_large_pools),
    TEST(only_the_wanted_groups_are_used),
    TEST(all_cooling_names_the_first_to_come_back),
    TEST(cooling_beside_tried_keys_is_all_tried),
    TEST(keys_without_hope_are_exhausted),
    TEST(a_cooling_key_comes_back_at_its_time_and_not_before),
    TEST(unnamed_cooldowns_double_until_a_success),
    TEST(a_cooldown_is_prolonged_but_never_shortened),
    TEST(late_reports_do_not_revive_a_key),
    TEST(a_late_success_does_not_end_a_cooldown),
    TEST(every_event_is_counted_and_moves_the_key),
    TEST(totals_add_up_all_keys_of_a_pool),
    TEST(two_pools_with_the_same_key_do_not_mix),
    TEST(many_keys_come_back_together),
    TEST(a_view_of_another_layout_is_refused),
    TEST(a_second_view_sees_the_same_keys),
    TEST(draws_stay_below_their_bound_and_reach_all_of_it),
};

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests_name("pool", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
