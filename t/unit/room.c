/* SPDX-License-Identifier: Apache-2.0
 * Tests of apipool_pool_make_room: reserved capacity suffices, however full and fragmented
 * memory is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pool_fixture.h"

#define ROOM_CAPACITY 1500
#define ROUNDS        3000
#define BATCH         30

/* Small enough to be filled. */
static fixture_t *open_small(void)
{
    fixture_t *f = open_with(ROOM_CAPACITY);
    segment->header->arena.size = (ROOM_CAPACITY + 1024) * 1024;
    return f;
}

static apr_uint64_t seed;
static char names[ROOM_CAPACITY][24]; /* first bytes of existing keys; "" where there is none */
static apr_size_t lengths[ROOM_CAPACITY];

static apr_uint32_t pick(apr_uint32_t below)
{
    seed = seed * APR_UINT64_C(6364136223846793005) + APR_UINT64_C(1442695040888963407);
    return (apr_uint32_t)((seed >> 33) % below);
}

static char *key_of(int i)
{
    static char key[APIPOOL_KEY_MAX];
    memset(key, 'x', sizeof(key));
    memcpy(key, names[i], strlen(names[i]));
    return key;
}

static int is_promised(apr_uint32_t upstream, const apipool_capacity_t *need)
{
    int has_room;
    assert_int_equal(apipool_pool_make_room(segment, upstream, need, &has_room), APR_SUCCESS);
    return has_room;
}

typedef struct {
    int place;
    apr_size_t len, label;
} planned_t;

/* Returns 1 if there was room for all keys. */
static int add_some(int round)
{
    static char label[APIPOOL_LABEL_MAX + 1];
    planned_t planned[BATCH];
    apipool_capacity_t need = {0};
    apr_uint32_t wanted = pick(BATCH) + 1, upstream = pick(2) ? upstream_a : upstream_b;
    for (int i = 0; i < ROOM_CAPACITY && need.keys < wanted; i++) {
        if (!*names[i]) {
            planned_t *p = &planned[need.keys++];
            *p = (planned_t){.place = i,
                             .len = pick(4) ? 600 + pick(APIPOOL_KEY_MAX - 600) : 64,
                             .label = pick(3) ? 0 : pick(APIPOOL_LABEL_MAX)};
            apipool_capacity_add(&need, p->len, p->label, 0);
        }
    }
    need.members = need.keys;
    if (!is_promised(upstream, &need)) {
        return 0;
    }
    for (apr_uint32_t i = 0; i < need.keys; i++) {
        const planned_t *p = &planned[i];
        snprintf(names[p->place], sizeof(names[0]), "sk-%d-%d-", p->place, round);
        lengths[p->place] = p->len;
        memset(label, 'l', p->label);
        label[p->label] = '\0';
        apipool_key_item_t item = {
            .key = key_of(p->place), .len = p->len, .enabled = 1, .label = label};
        assert_int_equal(add_item(upstream, &item), APIPOOL_ADDED);
    }
    return 1;
}

static apr_uint64_t id_at(int i)
{
    return apipool_key_id(segment->header->store.secret, key_of(i), lengths[i]);
}

static void remove_some(void)
{
    for (apr_uint32_t left = pick(BATCH); left; left--) {
        int i = (int)pick(ROOM_CAPACITY);
        if (*names[i]) {
            assert_int_equal(apipool_pool_remove(segment, main_pool, id_at(i)), APR_SUCCESS);
            *names[i] = '\0';
        }
    }
}

static int label_one(void)
{
    static char label[APIPOOL_LABEL_MAX + 1];
    apipool_key_patch_t patch = {.edit = {.set = APIPOOL_SET_LABEL, .label = label},
                                 .upstream = APIPOOL_NONE};
    apipool_capacity_t need = {0};
    int i = (int)pick(ROOM_CAPACITY);
    apr_size_t len = pick(APIPOOL_LABEL_MAX) + 1;
    apipool_capacity_add(&need, 0, APIPOOL_LABEL_MAX, APIPOOL_ACCOUNT_MAX);
    if (!is_promised(upstream_a, &need)) {
        return 0;
    }
    memset(label, 'm', len);
    label[len] = '\0';
    if (*names[i]) {
        assert_int_equal(apipool_pool_edit(segment, main_pool, id_at(i), &patch), APR_SUCCESS);
    }
    return 1;
}

static void promises_are_kept(void **unused)
{
    fixture_t *f = open_small();
    int full = 0, unlabelled = 0;
    memset(names, 0, sizeof(names));
    seed = 1;
    for (int round = 0; round < ROUNDS; round++) {
        if (!add_some(round)) {
            full++;
            unlabelled += !label_one();
            remove_some();
        }
        label_one();
        const char *fault = round % 100 ? NULL : consistency_of(segment);
        if (fault) {
            fail_msg("%s", fault);
        }
    }
    assert_true(full > ROUNDS / 10);
    assert_true(full < ROUNDS * 9 / 10);
    assert_int_equal(unlabelled, 0);
    void *state = f;
    assert_int_equal(close_segment(&state), 0);
}

/* An upstream's arrays are reserved at once, so that keys cannot take their place. */
static void arrays_come_first(void **unused)
{
    fixture_t *f = open_small();
    apipool_capacity_t need = {.keys = 500, .members = 500};
    assert_true(is_promised(upstream_a, &need));
    assert_true(segment->upstreams[upstream_a].size >= 500);
    apr_size_t top = segment->header->arena.top;
    assert_true(is_promised(upstream_a, &need));
    assert_int_equal(segment->header->arena.top, top);
    void *state = f;
    assert_int_equal(close_segment(&state), 0);
}

static void too_much_is_refused(void **unused)
{
    fixture_t *f = open_small();
    apipool_capacity_t keys = {.keys = ROOM_CAPACITY + 1}, bytes = {0};
    assert_false(is_promised(upstream_a, &keys));
    for (int i = 0; i < 2 * ROOM_CAPACITY; i++) {
        apipool_capacity_add(&bytes, APIPOOL_KEY_MAX, 0, 0);
    }
    assert_false(is_promised(upstream_a, &bytes));
    void *state = f;
    assert_int_equal(close_segment(&state), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(promises_are_kept),
        cmocka_unit_test(arrays_come_first),
        cmocka_unit_test(too_much_is_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests_name("room", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
