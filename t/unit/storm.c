/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/state/pool under random operations, and by many processes at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "pool_fixture.h"

/* A model beside the segment: what random operations have done so far. */
typedef struct {
    apr_uint32_t random;
    apr_time_t now;
    apipool_lease_t leases[16];
    int lent, keys;
    apr_uint64_t requests, successes, errors;
} model_t;

static void random_add(model_t *m)
{
    char key[300];
    int number = (int)(next_random(&m->random) % (CAPACITY / 2));
    int len = snprintf(key, sizeof(key), "sk-%d", number);
    if (number % 10 == 0) {
        memset(key + len, 'x', sizeof(key) - (size_t)len);
        len = sizeof(key);
    }
    if (add_bytes(next_random(&m->random) % 2 ? group_a : group_b, key, (size_t)len,
                  number % 7 != 0) == APIPOOL_ADDED) {
        m->keys++;
    }
}

static void random_acquire(model_t *m)
{
    const apr_uint32_t groups[] = {group_a, group_b};
    apr_uint32_t tried[3];
    int tried_count = 0;

    for (int i = 0; i < m->lent && tried_count < 3; i++) {
        tried[tried_count++] = m->leases[i].slot;
    }
    apipool_strategy_e strategy =
        (apipool_strategy_e)(next_random(&m->random) % APIPOOL_STRATEGY_COUNT);
    apipool_acquired_e result =
        acquire_from(main_pool, groups, 2, strategy, tried, tried_count, m->now);
    if (result == APIPOOL_ACQUIRED) {
        const apipool_slot_t *slot = &segment->slots[lease.slot];
        assert_int_equal(slot->state, APIPOOL_STATE_ACTIVE);
        assert_true(slot->cooling_until <= m->now);
        for (int i = 0; i < tried_count; i++) {
            assert_int_not_equal(lease.slot, tried[i]);
        }
        m->leases[m->lent++] = lease;
        m->requests++;
    }
    else {
        assert_int_equal(result == APIPOOL_ALL_COOLING, retry_at > m->now);
    }
}

/* Refusals for good are rare, or the pool would soon be dead; keys that are go back by hand, as an
 * operator's hand will do it. */
static void random_report(model_t *m)
{
    apr_uint32_t dice = next_random(&m->random) % 200;
    apipool_event_e event = dice == 0   ? APIPOOL_EVENT_REJECTED
                            : dice < 3  ? APIPOOL_EVENT_QUOTA_SPENT
                            : dice < 70 ? APIPOOL_EVENT_RATE_LIMITED
                            : dice < 90 ? APIPOOL_EVENT_NONE
                                        : APIPOOL_EVENT_SUCCESS;
    int which = (int)(next_random(&m->random) % (apr_uint32_t)m->lent);

    lease = m->leases[which];
    m->leases[which] = m->leases[--m->lent];
    report(event, dice % 2 ? m->now + next_random(&m->random) % SEC(20) : 0, m->now);
    m->successes += event == APIPOOL_EVENT_SUCCESS;
    m->errors += event != APIPOOL_EVENT_SUCCESS && event != APIPOOL_EVENT_NONE;
}

static void random_revive(model_t *m)
{
    apr_uint32_t index = next_random(&m->random) % segment->header->slots_used;
    apipool_slot_t *slot = &segment->slots[index];
    if (slot->state == APIPOOL_STATE_QUOTA || slot->state == APIPOOL_STATE_INVALID) {
        slot->state = APIPOOL_STATE_ACTIVE;
        apipool_members_settle_locked(segment, index);
    }
}

static void check_model(const model_t *m)
{
    const char *fault = broken_invariant(segment);
    if (fault) {
        fail_msg("%s", fault);
    }
    apipool_totals_t totals = totals_of(main_pool);
    apr_uint32_t keys = 0;
    for (int i = 0; i < APIPOOL_STATE_COUNT; i++) {
        keys += totals.keys[i];
    }
    assert_int_equal(keys, m->keys);
    assert_int_equal(segment->groups[group_a].usable + segment->groups[group_b].usable,
                     totals.keys[APIPOOL_STATE_ACTIVE]);
    assert_int_equal(totals.requests, m->requests);
    assert_int_equal(totals.successes, m->successes);
    assert_int_equal(totals.errors, m->errors);
    assert_int_equal(totals.in_flight, m->lent);
}

static void random_operations_keep_every_invariant(void **unused)
{
    static model_t m;
    m.random = 123456789;
    m.now = NOW;
    for (int i = 0; i < 100000; i++) {
        apr_uint32_t dice = next_random(&m.random) % 100;
        if (dice < 5 || m.keys == 0) {
            random_add(&m);
        }
        else if (dice < 45) {
            if (m.lent < 16) {
                random_acquire(&m);
            }
        }
        else if (dice < 85) {
            if (m.lent > 0) {
                random_report(&m);
            }
        }
        else if (dice < 98) {
            m.now += next_random(&m.random) % SEC(2);
        }
        else {
            random_revive(&m);
        }
        check_model(&m);
    }
    assert_true(m.requests > 10000 && m.keys == CAPACITY / 2);
}

#define PROCESSES 8

static int operations_per_process(void)
{
    const char *wish = getenv("APIPOOL_TEST_OPS");
    int count = wish ? atoi(wish) : 0;
    return count > 0 ? count : 20000;
}

static apipool_event_e event_of(int operation)
{
    return operation % 50 == 0  ? APIPOOL_EVENT_RATE_LIMITED
           : operation % 7 == 0 ? APIPOOL_EVENT_NONE
                                : APIPOOL_EVENT_SUCCESS;
}

/* What a child does; asserts would write TAP of their own, so its exit code tells. */
static int work(fixture_t *f, int count)
{
    const apr_uint32_t groups[] = {group_a, group_b};
    apipool_wanted_t wanted = {.pool = main_pool, .groups = groups, .group_count = 2};
    apipool_acquired_e result;

    if (apr_global_mutex_child_init(&f->mutex, NULL, f->pool) != APR_SUCCESS) {
        return 1;
    }
    for (int i = 0; i < count;) {
        wanted.strategy = (apipool_strategy_e)(i % APIPOOL_STRATEGY_COUNT);
        if (apipool_pool_acquire(segment, &wanted, apr_time_now(), &lease, &result, &retry_at)) {
            return 2;
        }
        if (result == APIPOOL_ALL_COOLING) {
            continue;
        }
        if (result != APIPOOL_ACQUIRED || strlen(lease.key) != 4) {
            return 3;
        }
        apipool_report_t what = {.event = event_of(i), .cooldown_min = 500, .cooldown_max = 2000};
        if (apipool_pool_report(segment, &lease, &what, apr_time_now())) {
            return 4;
        }
        i++;
    }
    return 0;
}

static void wait_for(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void many_processes_lose_no_count(void **state)
{
    pid_t children[PROCESSES];
    int count = operations_per_process();
    apr_uint64_t successes = 0, errors = 0;

    add_many(group_a, "a", 30);
    add_many(group_b, "b", 20);
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            _exit(work(*state, count));
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        wait_for(children[i]);
    }
    for (int i = 0; i < count; i++) {
        successes += event_of(i) == APIPOOL_EVENT_SUCCESS;
        errors += event_of(i) == APIPOOL_EVENT_RATE_LIMITED;
    }
    apipool_totals_t totals = totals_of(main_pool);
    assert_int_equal(totals.requests, (apr_uint64_t)PROCESSES * (apr_uint64_t)count);
    assert_int_equal(totals.successes, PROCESSES * successes);
    assert_int_equal(totals.errors, PROCESSES * errors);
    assert_int_equal(totals.in_flight, 0);
    assert_int_equal(totals.keys[APIPOOL_STATE_ACTIVE] + totals.keys[APIPOOL_STATE_COOLING], 50);
}

static void a_process_that_dies_with_the_lock_does_not_stop_the_others(void **state)
{
    add(group_a, "sk-1");
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            fixture_t *f = *state;
            int failed = apr_global_mutex_child_init(&f->mutex, NULL, f->pool) != APR_SUCCESS ||
                         apipool_segment_lock(segment) != APR_SUCCESS;
            _exit(failed);
        }
        wait_for(child);
        alarm(10); /* ends this program where the lock is lost */
        check_acquires("sk-1", NOW);
        alarm(0);
    }
}

static const struct CMUnitTest tests[] = {
    TEST(random_operations_keep_every_invariant),
    TEST(many_processes_lose_no_count),
    TEST(a_process_that_dies_with_the_lock_does_not_stop_the_others),
};

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests_name("storm", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
