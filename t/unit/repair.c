/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/pool/rebuild: processes killed at every fault point, and at any moment. */
#include <apr_strings.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "repair_fixture.h"
#include "scratch.h"
#include "store_parts.h"

#define TURNS    400000 /* a fault point that is not reached in so many turns is never reached */
#define CHILDREN 4

/* t/check_faults checks that the list is complete. */
static const char *const points[] = {
    "add-unlinked",
    "add-unnamed",
    "arena-get-unlinked",
    "balance-half-read",
    "client-half-charged",
    "client-half-removed",
    "client-keys-half-changed",
    "client-keys-unlinked",
    "client-nameless",
    "client-still-held",
    "client-terms-untold",
    "client-unheld",
    "client-unlinked",
    "client-unnumbered",
    "enter-unnamed",
    "guess-uncounted",
    "heap-hole",
    "limit-half-written",
    "hold-taken",
    "leave-half-linked",
    "lend-unheld",
    "member-half-added",
    "member-half-removed",
    "move-in-neither",
    "name-unhashed",
    "name-unlinked",
    "probe-still-due",
    "probe-unmarked",
    "probed-still-held",
    "rebuild-arena-empty",
    "rebuild-half-done",
    "recent-uncounted",
    "recent-unnumbered",
    "record-half-counted",
    "remove-uncleared",
    "remove-unlinked",
    "report-half-counted",
    "report-still-held",
    "report-uncounted",
    "report-unsettled",
    "reserve-half-swapped",
    "revoke-unnamed",
    "secret-unwritten",
    "settle-nowhere",
    "slot-half-cleared",
    "text-half-written",
    "text-unfreed",
    "viewer-unnamed",
};
#define POINTS (sizeof(points) / sizeof(*points))

static apr_uint32_t rounds(void)
{
    const char *wish = getenv("APIPOOL_TEST_ROUNDS");
    int count = wish ? atoi(wish) : 0;
    return count > 0 ? (apr_uint32_t)count : 1;
}

static void wait_until_working(apr_uint64_t turns)
{
    apr_uint64_t end = __atomic_load_n(&told->worked, __ATOMIC_RELAXED) + turns;
    while (__atomic_load_n(&told->worked, __ATOMIC_RELAXED) < end) {
        usleep(200); /* the alarm ends a futile wait */
    }
}

static void check_killed(pid_t child, const char *where)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
        fail_msg("nobody came to %s", where);
    }
}

static void check_ended(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int is_rebuilding(const char *point)
{
    return strncmp(point, "rebuild-", 8) == 0;
}

/* A process works all the time beside the one that dies. It and the parent go on. Where another
 * process has died before, there is something to rebuild. */
static void die_at(const char *point, apr_uint32_t time)
{
    fixture_t *f;
    char wish[64];
    pid_t other = 0;
    worker_t modest = a_worker(1000 + time);
    modest.modest = 1;
    assert_int_equal(open_world((void **)&f), 0);
    snprintf(wish, sizeof(wish), "%s:%u", point, time);
    if (is_rebuilding(point)) {
        segment->header->inside = 1;
    }
    else {
        other = start(f, modest, -1, NULL);
        wait_until_working(100);
    }
    pid_t victim = start(f, a_worker(time), TURNS, wish);
    check_killed(victim, wish);
    other = other ? other : start(f, modest, -1, NULL);
    wait_until_working(100);
    check_whole(wish);
    assert_int_equal(apipool_segment_repairs(segment), 1);
    assert_int_equal(apipool_segment_new_repairs(segment), 1);
    assert_int_equal(apipool_segment_new_repairs(segment), 0);
    __atomic_store_n(&told->stop, 1, __ATOMIC_RELAXED);
    check_ended(other);
    check_whole(wish);
    assert_int_equal(apipool_pool_reclaim(segment, (apr_uint32_t)victim, NOW), APR_SUCCESS);
    check_whole(wish);
    assert_int_equal(told->strange, 0);
    for (apr_uint32_t i = 0; i < segment->header->slots.used; i++) {
        assert_int_equal(segment->slots[i].in_flight, 0);
        assert_int_equal(segment->slots[i].probing, 0);
    }
    check_keys(1);
    check_sums(1);
    assert_int_equal(close_world((void **)&f), 0);
}

static void whoever_dies_inside_stops_nobody_and_loses_no_key(void **unused)
{
    for (apr_uint32_t round = 0; round < rounds(); round++) {
        for (size_t i = 0; i < POINTS; i++) {
            alarm(60);
            die_at(points[i], is_rebuilding(points[i]) ? 1 : 1 + round % 3);
        }
    }
    alarm(0);
}

/* The entry names a process from before everything was reclaimed. */
static void a_lease_that_was_given_back_does_not_come_back(void **state)
{
    worker_t before = a_worker(7);
    while (before.lent < LEASES) {
        work_acquire(&before);
    }
    assert_int_equal(apipool_pool_reclaim_all(segment, NOW), APR_SUCCESS);
    pid_t victim = start(*state, a_worker(8), TURNS, "hold-taken:1");
    check_killed(victim, "hold-taken");
    check_whole("hold-taken");
    assert_int_equal(apipool_pool_reclaim(segment, (apr_uint32_t)victim, NOW), APR_SUCCESS);
    for (apr_uint32_t i = 0; i < segment->header->slots.used; i++) {
        assert_int_equal(segment->slots[i].in_flight, 0);
    }
    check_keys(1);
}

static apipool_store_t *open_store(apr_pool_t *pool)
{
    apipool_store_settings_t settings = {.path = apr_pstrdup(pool, path_of("store")),
                                         .secret_path = apr_pstrdup(pool, path_of("secret")),
                                         .owner = {.user = geteuid(), .group = getegid()},
                                         .interval = SEC(60),
                                         .max_pending = 1000};
    apipool_store_kept_t *kept = apr_pcalloc(pool, sizeof(*kept));
    apipool_store_t *store;
    const char *error = NULL;
    kept->lock = -1;
    if (apipool_store_open(&store, &settings, kept, &error, pool) != APR_SUCCESS) {
        fail_msg("%s", error);
    }
    return store;
}

/* Longest wait for the lock, with as many keys as a large pool may have. */
static void many_keys_are_there_again_within_a_second(void **unused)
{
    enum { MANY = 100000 };
    fixture_t *f = open_with(MANY);
    char text[32];
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof(text), "sk-many-%06d", i);
        assert_int_equal(add(i % 2 ? upstream_a : upstream_b, text), APIPOOL_ADDED);
    }
    segment->header->inside = 1;
    apr_time_t begin = apr_time_now();
    assert_int_equal(apipool_segment_lock(segment), APR_SUCCESS);
    apr_interval_time_t took = apr_time_now() - begin;
    apipool_segment_unlock(segment);
    assert_int_equal(segment->header->slots.linked, MANY);
    assert_int_equal(segment->upstreams[upstream_a].usable + segment->upstreams[upstream_b].usable,
                     MANY);
    check_whole("many keys");
    print_message("# %d keys in %d ms\n", MANY, (int)apr_time_as_msec(took));
    assert_true(took < SEC(1));
    fixture_close(f);
}

static apipool_client_image_t a_client(const char *name)
{
    apipool_client_image_t image = {.terms = {.enabled = 1, .lists_len = 3}};
    snprintf(image.name, sizeof(image.name), "%s", name);
    image.digest[0] = (unsigned char)strlen(name);
    return image;
}

static int is_there(const char *key)
{
    apr_uint64_t id = apipool_key_id(segment->header->store.secret, key, strlen(key));
    return apipool_pool_find_locked(segment, main_pool, id) != APIPOOL_NONE;
}

static void check_clients(apr_uint32_t count)
{
    apipool_client_row_t row;
    assert_int_equal(segment->clients.head->by_digest.linked, count);
    assert_int_equal(apipool_client_read(segment, "", "kept", NOW, &row), APR_SUCCESS);
    assert_int_equal(apipool_client_read(segment, "", "lost", NOW, &row),
                     count == 2 ? APR_SUCCESS : APR_NOTFOUND);
}

/* Makes the content of a slot neither a key nor a client. */
static void spoil(int of_key)
{
    if (of_key) {
        segment->slots[0].upstream = 999;
    }
    else {
        segment->clients.slots[0].terms[0].lists_len = 0xfffffff0;
    }
    segment->header->inside = 1;
    check_whole("spoilt");
}

static void what_makes_no_sense_comes_back_from_the_store(void **unused)
{
    apr_global_mutex_t *writer;
    apipool_stored_keys_t *keys;
    const char *error = NULL;
    apr_uint32_t stored;
    fixture_t *f = open_with(64);
    assert_int_equal(make_scratch(NULL), 0);
    apipool_store_t *store = open_store(f->pool);
    assert_int_equal(apr_global_mutex_create(&writer, NULL, APR_LOCK_DEFAULT, f->pool),
                     APR_SUCCESS);
    apipool_store_use(store, segment, writer);
    assert_int_equal(apipool_store_read_keys(store, &keys, &stored, &error, f->pool), APR_SUCCESS);
    assert_int_equal(apipool_store_fill(store, keys, &error, f->pool), APR_SUCCESS);
    apipool_client_image_t lost = a_client("lost"), kept = a_client("kept ");
    kept.name[4] = '\0';
    add_weighing(upstream_a, "sk-lost", 7);
    add(upstream_b, "sk-kept");
    assert_int_equal(apipool_client_add(segment, &lost), APR_SUCCESS);
    assert_int_equal(apipool_client_add(segment, &kept), APR_SUCCESS);
    assert_int_equal(apipool_store_save_keys(store, &error, f->pool), APR_SUCCESS);
    assert_int_equal(apipool_store_save_stats(store, &error, f->pool), APR_SUCCESS);
    for (int of_key = 0; of_key < 2; of_key++) {
        assert_false(apipool_store_is_due(store, apr_time_now()));
        spoil(of_key);
        assert_int_equal(is_there("sk-lost"), !of_key);
        check_clients(of_key ? 2 : 1);
        assert_true(apipool_store_is_due(store, apr_time_now()));
        assert_int_not_equal(apipool_store_write(store, APIPOOL_STORE_KEYS, NULL, &error, f->pool),
                             APR_SUCCESS); /* otherwise what was lost would be lost for good */
        if (apipool_store_save_stats(store, &error, f->pool) != APR_SUCCESS) {
            fail_msg("%s", error);
        }
        assert_true(is_there("sk-lost") && is_there("sk-kept"));
        assert_int_equal(slot_of("sk-lost")->weight, 7);
        assert_int_equal(slot_of("sk-lost")->upstream, upstream_a);
        check_clients(2);
        check_whole("refilled");
    }
    assert_int_equal(segment->header->slots.linked, 2);
    fixture_close(f);
    remove_scratch(NULL);
}

static void check_after_death(pid_t child, apr_uint32_t deaths)
{
    check_whole("after a death");
    assert_int_equal(apipool_pool_reclaim(segment, (apr_uint32_t)child, NOW), APR_SUCCESS);
    check_whole("after giving back");
    assert_int_equal(told->strange, 0);
    if (deaths % 10 == 0) {
        check_keys(deaths);
    }
}

static void deaths_at_any_time_do_no_harm(void **state)
{
    pid_t children[CHILDREN];
    worker_t dice = {.random = 4711};
    apr_uint32_t deaths = 0;
    for (apr_uint32_t i = 0; i < CHILDREN; i++) {
        children[i] = start(*state, a_worker(i), -1, NULL);
    }
    while (deaths < 50 * rounds()) {
        apr_uint32_t victim = draw(&dice, CHILDREN);
        alarm(60);
        usleep(draw(&dice, 3000));
        kill(children[victim], SIGKILL);
        check_killed(children[victim], "death");
        check_after_death(children[victim], ++deaths);
        children[victim] = start(*state, a_worker(100 + deaths), -1, NULL);
    }
    __atomic_store_n(&told->stop, 1, __ATOMIC_RELAXED);
    for (apr_uint32_t i = 0; i < CHILDREN; i++) {
        check_ended(children[i]);
    }
    alarm(0);
    check_whole("at the end");
    check_keys(deaths);
    check_sums(deaths);
    print_message("# %u deaths, %u of them inside\n", deaths, apipool_segment_repairs(segment));
}

#define WORLD(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(whoever_dies_inside_stops_nobody_and_loses_no_key),
    WORLD(a_lease_that_was_given_back_does_not_come_back),
    cmocka_unit_test(many_keys_are_there_again_within_a_second),
    cmocka_unit_test(what_makes_no_sense_comes_back_from_the_store),
    WORLD(deaths_at_any_time_do_no_harm),
};

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests_name("repair", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
