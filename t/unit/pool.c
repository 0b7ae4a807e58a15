/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/pool/pool and segment: adding and counting keys, waiting, and leases of dead
 * processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "pool_fixture.h"
#include "queue.h"

static void pools_and_upstreams_are_found_again_by_name(void **unused)
{
    assert_int_equal(attach("", "main"), main_pool);
    assert_int_not_equal(attach("example.org", "main"), main_pool);
    assert_int_not_equal(attach("", "other"), main_pool);
    assert_int_equal(attach("example.org", "main"), attach("example.org", "main"));
    assert_int_equal(upstream_of(main_pool, "a"), upstream_a);
    assert_int_not_equal(upstream_a, upstream_b);
    assert_int_not_equal(upstream_of(attach("", "other"), "a"), upstream_a);
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
    assert_int_equal(apipool_pool_upstream(segment, main_pool, name, &index), APR_ENAMETOOLONG);
    assert_int_equal(apipool_pool_upstream(segment, main_pool, name + 1, &index), APR_SUCCESS);
}

static void pools_and_upstreams_end_where_the_room_does(void **unused)
{
    char name[16];
    apr_uint32_t index;

    for (int i = (int)segment->header->pools_used; i < APIPOOL_POOLS_MAX; i++) {
        snprintf(name, sizeof(name), "p%d", i);
        assert_int_equal(attach("", name), i);
    }
    for (int i = (int)segment->header->upstreams_used; i < APIPOOL_UPSTREAMS_MAX; i++) {
        snprintf(name, sizeof(name), "g%d", i);
        assert_int_equal(upstream_of(main_pool, name), i);
    }
    assert_int_equal(apipool_pool_attach(segment, "", "one more", &index), APR_ENOSPC);
    assert_int_equal(apipool_pool_upstream(segment, main_pool, "one more", &index), APR_ENOSPC);
    assert_int_equal(attach("", "main"), main_pool);
    assert_int_equal(upstream_of(main_pool, "b"), upstream_b);
}

static void a_key_is_added_once(void **unused)
{
    assert_int_equal(add(upstream_a, "sk-1"), APIPOOL_ADDED);
    assert_int_equal(add(upstream_a, "sk-1"), APIPOOL_DUPLICATE);
    assert_int_equal(add(upstream_a, "sk-2"), APIPOOL_ADDED);
    assert_int_equal(totals_of(upstream_a).keys[APIPOOL_STATE_ACTIVE], 2);
}

static void a_key_keeps_what_was_said_of_it(void **unused)
{
    apipool_key_item_t item = {.key = "sk-1",
                               .len = 4,
                               .enabled = 1,
                               .weight = 7,
                               .account = "acme",
                               .limits = {1, 2, 3, 4, 5}};
    assert_int_equal(add_item(upstream_a, &item), APIPOOL_ADDED);
    const apipool_slot_t *slot = slot_of("sk-1");
    assert_int_equal(slot->weight, 7);
    assert_true(slot->account == apipool_hash("acme"));
    assert_memory_equal(&slot->limits, &item.limits, sizeof(item.limits));

    apipool_key_item_t again = {.key = "sk-1", .len = 4, .enabled = 1, .limits = {.tpm = 30}};
    assert_int_equal(add_item(upstream_a, &again), APIPOOL_DUPLICATE);
    item.limits.tpm = 30;
    assert_int_equal(slot->weight, 7);
    assert_true(slot->account == apipool_hash("acme"));
    assert_memory_equal(&slot->limits, &item.limits, sizeof(item.limits));
    again.weight = 9;
    again.account = "other";
    assert_int_equal(add_item(upstream_a, &again), APIPOOL_DUPLICATE);
    assert_int_equal(slot->weight, 9);
    assert_true(slot->account == apipool_hash("other"));
    add(upstream_a, "sk-2");
    assert_int_equal(slot_of("sk-2")->weight, 1);
    assert_true(slot_of("sk-2")->account == 0);
}

static void a_hash_tells_texts_apart_and_is_0_for_none(void **unused)
{
    assert_true(apipool_hash("") == 0);
    assert_true(apipool_hash("a") == APR_UINT64_C(0xaf63dc4c8601ec8c)); /* FNV-1a's own example */
    assert_true(apipool_hash("gpt-4o") != apipool_hash("gpt-4o-mini"));
}

static void a_key_given_for_another_upstream_moves_there(void **unused)
{
    assert_int_equal(add(upstream_a, "sk-1"), APIPOOL_ADDED);
    check_acquires("sk-1", NOW);
    assert_int_equal(lease.upstream, upstream_a);
    assert_int_equal(add(upstream_b, "sk-1"), APIPOOL_DUPLICATE);
    assert_int_equal(segment->upstreams[upstream_a].usable, 0);
    assert_int_equal(segment->upstreams[upstream_b].usable, 1);
    report(APIPOOL_RULE_RATE_LIMIT, NOW + SEC(5), NOW); /* lent before it moved */
    assert_int_equal(segment->upstreams[upstream_b].model_slots[0].waiting, 1);
    assert_int_equal(add(upstream_a, "sk-1"), APIPOOL_DUPLICATE);
    assert_int_equal(segment->upstreams[upstream_a].model_slots[0].waiting, 1);
    assert_int_equal(acquire(NOW), APIPOOL_ALL_COOLING);
    assert_int_equal(retry_at, NOW + SEC(5));
    check_acquires("sk-1", NOW + SEC(5));
    assert_int_equal(lease.upstream, upstream_a);
    assert_int_equal(totals_of(upstream_a).requests, 2);
    report(APIPOOL_RULE_SUCCESS, 0, NOW + SEC(5));
}

static void places_of_keys_that_moved_are_used_again(void **unused)
{
    add_many(upstream_a, "a", 100);
    for (int round = 0; round < 3; round++) {
        char key[16];
        for (int i = 0; i < 100; i += 2) {
            snprintf(key, sizeof(key), "a%03d", i);
            assert_int_equal(add(upstream_b, key), APIPOOL_DUPLICATE);
        }
        for (int i = 98; i >= 0; i -= 2) {
            snprintf(key, sizeof(key), "a%03d", i);
            assert_int_equal(add(upstream_a, key), APIPOOL_DUPLICATE);
        }
    }
    assert_int_equal(segment->upstreams[upstream_a].list_used, 100);
    assert_int_equal(segment->upstreams[upstream_b].list_used, 50);
    assert_int_equal(segment->upstreams[upstream_a].usable, 100);
}

static void a_full_segment_takes_no_more_but_knows_duplicates(void **unused)
{
    add_many(upstream_a, "sk-", CAPACITY);
    assert_int_equal(add(upstream_a, "one more"), APIPOOL_FULL);
    assert_int_equal(add(upstream_a, "sk-000"), APIPOOL_DUPLICATE);
    assert_int_equal(add(upstream_b, "sk-001"), APIPOOL_DUPLICATE);
    assert_int_equal(segment->header->slots.used, CAPACITY);
    assert_int_equal(totals_of(upstream_a).keys[APIPOOL_STATE_ACTIVE], CAPACITY - 1);
    assert_int_equal(totals_of(upstream_b).keys[APIPOOL_STATE_ACTIVE], 1);
}

static void a_full_arena_takes_no_long_keys_but_short_ones(void **unused)
{
    static char key[APIPOOL_KEY_MAX];
    char number[16];
    apr_uint32_t added = 0;
    fixture_t *f = open_with(4000);

    memset(key, 'k', sizeof(key));
    for (;; added++) {
        memcpy(key, number, (size_t)snprintf(number, sizeof(number), "%06u", added));
        if (add_bytes(upstream_a, key, sizeof(key), 1) == APIPOOL_FULL) {
            break;
        }
    }
    assert_true(added > 1000 && added < 4000);
    assert_int_equal(segment->header->slots.linked, added);
    assert_int_equal(add_bytes(upstream_a, key, APIPOOL_KEY_INLINE, 1), APIPOOL_ADDED);
    assert_int_equal(totals_of(upstream_a).keys[APIPOOL_STATE_ACTIVE], added + 1);
    assert_null(consistency_of(segment));
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
        assert_int_equal(add_bytes(upstream_a, key, lengths[i], 1), APIPOOL_ADDED);
    }
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        assert_int_equal(lease.len, lengths[i]);
        assert_memory_equal(lease.key, key, lengths[i]);
        assert_int_equal(lease.key[lengths[i]], '\0');
        assert_true(lease.id == apipool_key_id(segment->header->store.secret, key, lengths[i]));
        report(APIPOOL_RULE_SUCCESS, 0, NOW);
    }
}

static void a_wiped_lease_holds_no_key(void **unused)
{
    static const char zeros[sizeof(lease.key)];
    add(upstream_a, "sk-1234567890");
    memset(&lease, 0, sizeof(lease));
    check_acquires("sk-1234567890", NOW);
    apipool_lease_wipe(&lease);
    assert_int_equal(lease.len, 0);
    assert_memory_equal(lease.key, zeros, sizeof(zeros));
}

static void disabled_keys_are_never_lent(void **unused)
{
    assert_int_equal(add_bytes(upstream_a, "sk-off", 6, 0), APIPOOL_ADDED);
    assert_int_equal(acquire(NOW), APIPOOL_EXHAUSTED);
    add(upstream_a, "sk-on");
    for (int i = 0; i < 20; i++) {
        check_acquires("sk-on", NOW + SEC(i));
    }
    assert_int_equal(totals_of(upstream_a).keys[APIPOOL_STATE_DISABLED], 1);
    assert_int_equal(totals_of(upstream_a).keys[APIPOOL_STATE_ACTIVE], 1);
}

static void totals_add_up_all_keys_of_an_upstream(void **unused)
{
    add_many(upstream_a, "a", 3);
    add_many(upstream_b, "b", 2);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        report(i < 2    ? APIPOOL_RULE_SUCCESS
               : i == 2 ? APIPOOL_RULE_QUOTA
                        : APIPOOL_RULE_CREDENTIAL,
               0, NOW);
    }
    assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
    apipool_totals_t a = totals_of(upstream_a), b = totals_of(upstream_b);
    assert_int_equal(a.requests, 3);
    assert_int_equal(a.successes, 2);
    assert_int_equal(a.errors, 1);
    assert_int_equal(a.in_flight, 0);
    assert_int_equal(a.keys[APIPOOL_STATE_ACTIVE], 2);
    assert_int_equal(a.keys[APIPOOL_STATE_QUOTA], 1);
    assert_int_equal(a.rules[APIPOOL_RULE_SUCCESS], 2);
    assert_int_equal(a.rules[APIPOOL_RULE_QUOTA], 1);
    assert_int_equal(b.requests, 2);
    assert_int_equal(b.in_flight, 1);
    assert_int_equal(b.keys[APIPOOL_STATE_INVALID], 1);
    assert_int_equal(b.rules[APIPOOL_RULE_CREDENTIAL], 1);
    assert_int_equal(b.paused_until, 0);
}

static void totals_of_many_keys_take_several_steps(void **unused)
{
    fixture_t *f = open_with(3000);
    for (int i = 0; i < 2500; i++) {
        char key[16];
        snprintf(key, sizeof(key), "sk-%d", i);
        assert_int_equal(add_bytes(upstream_a, key, strlen(key), i % 2), APIPOOL_ADDED);
    }
    assert_int_equal(totals_of(upstream_a).keys[APIPOOL_STATE_ACTIVE], 1250);
    assert_int_equal(totals_of(upstream_a).keys[APIPOOL_STATE_DISABLED], 1250);
    fixture_close(f);
}

static void keys_are_read_in_portions_each_once(void **unused)
{
    enum { KEYS = 70 };
    apipool_key_row_t rows[KEYS + 8];
    apr_uint32_t all = 0, from = 0, count = 0;

    add_many(upstream_a, "portion", KEYS);
    add(upstream_b, "sk-of-the-other-upstream");
    assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
    while (from != APIPOOL_NONE) {
        assert_int_equal(apipool_pool_keys(segment, upstream_a, &from, rows + all, 7, &count),
                         APR_SUCCESS);
        assert_true(count <= 7);
        all += count;
    }
    assert_int_equal(all, KEYS);
    apr_uint64_t lent = 0;
    for (apr_uint32_t i = 0; i < all; i++) {
        lent += rows[i].in_flight;
        assert_int_equal(rows[i].state, APIPOOL_STATE_ACTIVE);
        for (apr_uint32_t k = 0; k < i; k++) {
            assert_true(rows[i].id != rows[k].id);
        }
    }
    assert_int_equal(lent, 1);
}

static void two_pools_with_the_same_key_do_not_mix(void **unused)
{
    apr_uint32_t other = attach("example.org", "main");
    apipool_source_t source = {.upstream = upstream_of(other, "a"), .weight = 1};
    apipool_lend_request_t request = want(APIPOOL_STRATEGY_ROUND_ROBIN);

    request.pool = other;
    request.sources = &source;
    request.source_count = 1;
    assert_int_equal(add(upstream_a, "sk-1"), APIPOOL_ADDED);
    assert_int_equal(add(source.upstream, "sk-1"), APIPOOL_ADDED);
    assert_int_equal(add(source.upstream, "sk-1"), APIPOOL_DUPLICATE);
    check_acquires("sk-1", NOW);
    report(APIPOOL_RULE_CREDENTIAL, 0, NOW);
    assert_int_equal(acquire(NOW), APIPOOL_EXHAUSTED);
    assert_int_equal(acquire_request(&request, NOW), APIPOOL_ACQUIRED);
    assert_int_equal(lease.upstream, source.upstream);
    assert_int_equal(totals_of(upstream_a).keys[APIPOOL_STATE_INVALID], 1);
    assert_int_equal(totals_of(source.upstream).keys[APIPOOL_STATE_ACTIVE], 1);
}

/* Takes leases for another process. */
static void acquire_as(apr_uint32_t process, int count, apipool_lease_t *leases)
{
    segment->process = process;
    for (int i = 0; i < count; i++) {
        assert_int_equal(acquire(1), APIPOOL_ACQUIRED);
        leases[i] = lease;
    }
}

static void what_was_put_off_is_taken_once(void **unused)
{
    apr_uint64_t id = 5;
    assert_false(apipool_pool_take_put_off(segment, id));
    assert_false(apipool_pool_take_put_off(segment, 0));
    for (int i = 0; i < 8; i++) { /* all of them for the same place */
        apipool_pool_put_off(segment, id + (apr_uint64_t)i * APIPOOL_PUT_OFF);
    }
    apipool_pool_put_off(segment, id);
    for (int i = 0; i < 8; i++) {
        apr_uint64_t one = id + (apr_uint64_t)i * APIPOOL_PUT_OFF;
        assert_true(apipool_pool_is_put_off(segment, one));
        assert_true(apipool_pool_take_put_off(segment, one));
        assert_false(apipool_pool_take_put_off(segment, one));
    }
    for (int i = 0; i < 9; i++) {
        apipool_pool_put_off(segment, id + (apr_uint64_t)i * APIPOOL_PUT_OFF);
    }
    assert_false(apipool_pool_is_put_off(segment, id)); /* the ninth has its place */
    assert_true(apipool_pool_is_put_off(segment, id + 8 * APIPOOL_PUT_OFF));
}

static void leases_of_a_process_that_died_are_given_back(void **unused)
{
    static apipool_lease_t dead[5], alive[3];

    add_many(upstream_a, "sk-", 4);
    acquire_as(100, 5, dead);
    acquire_as(200, 3, alive);
    assert_int_equal(in_flight(), 8);
    assert_int_equal(apipool_pool_reclaim(segment, 300, NOW), APR_SUCCESS);
    assert_int_equal(in_flight(), 8);
    assert_int_equal(apipool_pool_reclaim(segment, 100, NOW), APR_SUCCESS);
    assert_int_equal(in_flight(), 3);
    assert_int_equal(apipool_pool_reclaim(segment, 100, NOW), APR_SUCCESS);
    for (int i = 0; i < 3; i++) {
        report_lease(&alive[i], APIPOOL_RULE_SUCCESS, 0, 2);
    }
    assert_int_equal(in_flight(), 0);
    assert_int_equal(segment->header->holders.used, 8);
    acquire_as(400, 5, dead);
    assert_int_equal(segment->header->holders.used, 8); /* entries are reused */
    assert_int_equal(apipool_pool_reclaim_all(segment, NOW), APR_SUCCESS);
    assert_int_equal(in_flight(), 0);
}

static void what_the_dead_held_up_is_usable_again(void **unused)
{
    limits.concurrency = 2;
    add_many(upstream_a, "sk-", 2);
    segment->process = 100;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
    }
    assert_int_equal(acquire(NOW), APIPOOL_ALL_BUSY);
    assert_int_equal(apipool_pool_reclaim(segment, 100, NOW), APR_SUCCESS);
    assert_int_equal(segment->upstreams[upstream_a].held_up, 0);
    assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
    assert_int_equal(apipool_pool_reclaim_all(segment, NOW), APR_SUCCESS);
    assert_int_equal(segment->upstreams[upstream_a].usable, 2);
}

static void leases_beyond_the_list_of_holders_still_come_back(void **unused)
{
    static apipool_lease_t late[3];
    add(upstream_a, "sk-1");
    for (int i = 0; i < APIPOOL_HOLDERS_MAX; i++) {
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        assert_int_equal(lease.holder, APIPOOL_NONE);
        late[i] = lease;
    }
    for (int i = 0; i < 3; i++) {
        report_lease(&late[i], APIPOOL_RULE_SUCCESS, 0, NOW);
    }
    assert_int_equal(in_flight(), APIPOOL_HOLDERS_MAX);
    assert_int_equal(apipool_pool_reclaim(segment, segment->process, NOW), APR_SUCCESS);
    assert_int_equal(in_flight(), 0);
}

static apr_uint32_t enter_for(apr_uint64_t model)
{
    apipool_lend_request_t request = want(APIPOOL_STRATEGY_ROUND_ROBIN);
    apr_uint32_t waiter;
    request.waits_for = model;
    assert_int_equal(apipool_pool_enter_queue(segment, request.pool, request.waits_for, &waiter),
                     APR_SUCCESS);
    return waiter;
}

static void leave(apr_uint32_t waiter)
{
    assert_int_equal(apipool_pool_leave_queue(segment, waiter), APR_SUCCESS);
}

static apipool_acquired_e acquire_waiting(apr_uint32_t waiter, apr_uint64_t model)
{
    apipool_lend_request_t request = want(APIPOOL_STRATEGY_ROUND_ROBIN);
    request.waiter = waiter;
    request.waits_for = model;
    return acquire_request(&request, NOW);
}

static void who_waits_is_served_in_the_order_of_arrival(void **unused)
{
    apr_uint32_t waiters[5];
    add(upstream_a, "sk-1");
    for (int i = 0; i < 5; i++) {
        waiters[i] = enter_for(7);
    }
    assert_int_equal(acquire_waiting(APIPOOL_NONE, 7),
                     APIPOOL_QUEUED); /* newcomers do not jump the queue */
    assert_true(retry_at > NOW);
    for (int first = 0; first < 5; first++) {
        apr_time_t last = NOW;
        for (int i = first + 1; i < 5; i++) {
            assert_int_equal(acquire_waiting(waiters[i], 7), APIPOOL_QUEUED);
            assert_true(retry_at > last); /* the further behind, the later the next look */
            last = retry_at;
        }
        assert_int_equal(acquire_waiting(waiters[first], 7), APIPOOL_ACQUIRED);
        report(APIPOOL_RULE_SUCCESS, 0, NOW);
        leave(waiters[first]);
    }
    assert_int_equal(acquire_waiting(APIPOOL_NONE, 7), APIPOOL_ACQUIRED);
}

static void who_leaves_the_queue_blocks_no_one(void **unused)
{
    add(upstream_a, "sk-1");
    apr_uint32_t first = enter_for(7), second = enter_for(7), third = enter_for(7);
    leave(second);
    assert_int_equal(acquire_waiting(third, 7), APIPOOL_QUEUED);
    leave(first);
    assert_int_equal(acquire_waiting(third, 7), APIPOOL_ACQUIRED);
    leave(third);
    assert_int_equal(enter_for(7), third); /* entries are reused */
    assert_int_equal(segment->header->waiters.used, 3);
}

static void queues_of_other_models_do_not_wait_for_each_other(void **unused)
{
    add(upstream_a, "sk-1");
    enter_for(7);
    assert_int_equal(acquire_waiting(APIPOOL_NONE, 8), APIPOOL_ACQUIRED);
    assert_int_equal(acquire_waiting(APIPOOL_NONE, 7), APIPOOL_QUEUED);
}

static void the_dead_leave_the_queue(void **unused)
{
    add(upstream_a, "sk-1");
    segment->process = 100;
    enter_for(7);
    enter_for(8);
    segment->process = 200;
    apr_uint32_t mine = enter_for(7);
    assert_int_equal(acquire_waiting(mine, 7), APIPOOL_QUEUED);
    assert_int_equal(apipool_pool_reclaim(segment, 100, NOW), APR_SUCCESS);
    assert_int_equal(acquire_waiting(mine, 7), APIPOOL_ACQUIRED);
    assert_int_equal(acquire_waiting(APIPOOL_NONE, 8), APIPOOL_ACQUIRED);
    assert_int_equal(apipool_pool_reclaim_all(segment, NOW), APR_SUCCESS);
    assert_int_equal(acquire_waiting(APIPOOL_NONE, 7), APIPOOL_ACQUIRED);
}

static void a_queue_ends_where_the_room_does(void **unused)
{
    for (int i = 0; i < APIPOOL_WAITERS_MAX; i++) {
        assert_int_equal(enter_for((apr_uint64_t)(i % 100)), i);
    }
    assert_int_equal(enter_for(7), APIPOOL_NONE);
    leave(100);
    assert_int_equal(enter_for(9), 100);
}

static void a_queue_more_than_there_are_takes_nobody(void **unused)
{
    int entered = 0;
    for (int i = 0; i < 10 * APIPOOL_QUEUES_MAX; i++) {
        entered += enter_for((apr_uint64_t)i + 1) != APIPOOL_NONE;
    }
    assert_in_range(entered, APIPOOL_QUEUES_MAX / 2, APIPOOL_QUEUES_MAX);
    assert_null(consistency_of(segment));
    assert_int_equal(apipool_pool_reclaim_all(segment, NOW), APR_SUCCESS);
    assert_int_not_equal(enter_for(7), APIPOOL_NONE);
}

typedef struct {
    char text[256];
} seen_t;

static void note(void *ctx, const char *pool, const char *name, apr_uint32_t upstream)
{
    seen_t *seen = ctx;
    size_t used = strlen(seen->text);
    assert_string_equal(segment->upstreams[upstream].name, name);
    snprintf(seen->text + used, sizeof(seen->text) - used, "%s/%s ", pool, name);
}

static void check_seen(const char *server, const char *expected)
{
    seen_t seen = {""};
    apipool_pool_each_upstream(segment, server, note, &seen);
    assert_string_equal(seen.text, expected);
}

static void an_upstream_that_refuses_usage_is_asked_again_some_time(void **unused)
{
    assert_false(apipool_pool_refuses_usage(segment, upstream_a, NOW));
    apipool_pool_note_refuses_usage(segment, upstream_a, NOW + 10);
    assert_true(apipool_pool_refuses_usage(segment, upstream_a, NOW + 9));
    assert_false(apipool_pool_refuses_usage(segment, upstream_a, NOW + 10));
    assert_false(apipool_pool_refuses_usage(segment, upstream_b, NOW));
}

static void a_pool_without_keys_is_told_once_a_minute(void **unused)
{
    apr_uint32_t unreported = 99, other = attach("", "other");
    assert_int_equal(apipool_pool_reports_exhausted(segment, main_pool, NOW, &unreported), 1);
    assert_int_equal(unreported, 0);
    assert_int_equal(apipool_pool_reports_exhausted(segment, main_pool, NOW - 1, &unreported), 0);
    assert_int_equal(apipool_pool_reports_exhausted(segment, main_pool, NOW + SEC(59), &unreported),
                     0);
    assert_int_equal(apipool_pool_reports_exhausted(segment, other, NOW, &unreported), 1);
    assert_int_equal(unreported, 0);
    assert_int_equal(apipool_pool_reports_exhausted(segment, main_pool, NOW + SEC(60), &unreported),
                     1);
    assert_int_equal(unreported, 2);
    assert_int_equal(apipool_pool_reports_exhausted(segment, main_pool, NOW - SEC(61), &unreported),
                     1);
    assert_int_equal(unreported, 0);
}

static void the_habit_of_an_upstream_is_known(void **unused)
{
    assert_int_equal(apipool_pool_habit(segment, upstream_a), APIPOOL_HABIT_UNKNOWN);
    apipool_pool_note_habit(segment, upstream_a, APIPOOL_HABIT_REPORTS);
    apipool_pool_note_habit(segment, upstream_a, APIPOOL_HABIT_SILENT);
    assert_int_equal(apipool_pool_habit(segment, upstream_a), APIPOOL_HABIT_SILENT);
    assert_int_equal(apipool_pool_habit(segment, upstream_b), APIPOOL_HABIT_UNKNOWN);
}

static void a_server_sees_its_pools_and_those_of_the_main_server(void **unused)
{
    upstream_of(attach("x.org", "own"), "c");
    upstream_of(attach("x.org", "main"), "d");
    check_seen("", "main/a main/b ");
    check_seen("x.org", "own/c main/d ");
    check_seen("y.org", "main/a main/b ");
    assert_int_equal(apipool_pool_retire_all(segment), APR_SUCCESS);
    check_seen("x.org", "");
    upstream_of(attach("", "main"), "b");
    check_seen("x.org", "main/b ");
}

static void a_view_of_another_layout_is_refused(void **state)
{
    fixture_t *f = *state;
    apipool_segment_t *view;
    apr_uint32_t *sizes[] = {&segment->header->version, &segment->header->pool_size,
                             &segment->header->upstream_size, &segment->header->slot_size};

    assert_int_equal(apipool_segment_view(&view, f->shm, f->mutex, apipool_rebuild_locked, f->pool),
                     APR_SUCCESS);
    for (int i = 0; i < 4; i++) {
        ++*sizes[i];
        assert_int_equal(
            apipool_segment_view(&view, f->shm, f->mutex, apipool_rebuild_locked, f->pool),
            APR_EINVAL);
        --*sizes[i];
    }
    segment->header->magic[0]++;
    assert_int_equal(apipool_segment_view(&view, f->shm, f->mutex, apipool_rebuild_locked, f->pool),
                     APR_EINVAL);
    segment->header->magic[0]--;
}

static void a_second_view_sees_the_same_keys(void **state)
{
    fixture_t *f = *state;
    add_many(upstream_a, "a", 40);
    assert_int_equal(
        apipool_segment_view(&segment, f->shm, f->mutex, apipool_rebuild_locked, f->pool),
        APR_SUCCESS);
    assert_int_equal(attach("", "main"), main_pool);
    assert_int_equal(upstream_of(main_pool, "a"), upstream_a);
    assert_int_equal(add(upstream_a, "a000"), APIPOOL_DUPLICATE);
    check_acquires("a000", NOW);
    assert_int_equal(totals_of(upstream_a).keys[APIPOOL_STATE_ACTIVE], 40);
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
    TEST(pools_and_upstreams_are_found_again_by_name),
    TEST(names_that_do_not_fit_are_refused),
    TEST(pools_and_upstreams_end_where_the_room_does),
    TEST(a_key_is_added_once),
    TEST(a_key_keeps_what_was_said_of_it),
    TEST(a_hash_tells_texts_apart_and_is_0_for_none),
    TEST(a_key_given_for_another_upstream_moves_there),
    TEST(places_of_keys_that_moved_are_used_again),
    TEST(a_full_segment_takes_no_more_but_knows_duplicates),
    cmocka_unit_test(a_full_arena_takes_no_long_keys_but_short_ones),
    TEST(keys_of_every_length_come_back_as_they_were),
    TEST(a_wiped_lease_holds_no_key),
    TEST(disabled_keys_are_never_lent),
    TEST(totals_add_up_all_keys_of_an_upstream),
    cmocka_unit_test(totals_of_many_keys_take_several_steps),
    TEST(keys_are_read_in_portions_each_once),
    TEST(two_pools_with_the_same_key_do_not_mix),
    TEST(what_was_put_off_is_taken_once),
    TEST(leases_of_a_process_that_died_are_given_back),
    TEST(what_the_dead_held_up_is_usable_again),
    TEST(leases_beyond_the_list_of_holders_still_come_back),
    TEST(who_waits_is_served_in_the_order_of_arrival),
    TEST(who_leaves_the_queue_blocks_no_one),
    TEST(queues_of_other_models_do_not_wait_for_each_other),
    TEST(the_dead_leave_the_queue),
    TEST(a_queue_ends_where_the_room_does),
    TEST(a_queue_more_than_there_are_takes_nobody),
    TEST(an_upstream_that_refuses_usage_is_asked_again_some_time),
    TEST(a_pool_without_keys_is_told_once_a_minute),
    TEST(the_habit_of_an_upstream_is_known),
    TEST(a_server_sees_its_pools_and_those_of_the_main_server),
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
