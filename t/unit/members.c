/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/pool/members: bitsets, heaps and model slots of an upstream under all moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fixture.h"
#include "slots.h"
#include "wake.h"

#define SLOTS     200
#define UPSTREAMS 3

static apipool_segment_t *segment;

/* Slots and upstreams are made by hand, like pool.c does: these tests are about the arrays. */
static int open_segment(void **state)
{
    fixture_t *f = fixture_open(SLOTS);
    segment = f->segment;
    segment->header->upstreams_used = UPSTREAMS;
    for (int i = 0; i < UPSTREAMS; i++) {
        segment->upstreams[i].spare = APIPOOL_NONE;
    }
    *state = f;
    return 0;
}

static int close_segment(void **state)
{
    fixture_close(*state);
    return 0;
}

static apr_uint32_t add(apr_uint32_t upstream, apipool_state_e state, apr_time_t until)
{
    apr_uint32_t index = apipool_slot_take_locked(segment);
    assert_true(index < SLOTS);
    segment->slots[index].id = index + 1;
    segment->slots[index].state = state;
    segment->slots[index].until[0] = until;
    assert_int_equal(apipool_members_reserve_locked(segment, upstream), 1);
    apipool_members_add_locked(segment, upstream, index);
    return index;
}

static void settle(apr_uint32_t index, apipool_state_e state, apr_time_t until)
{
    segment->slots[index].state = state;
    segment->slots[index].until[0] = until;
    apipool_members_settle_locked(segment, index);
}

static void check(void)
{
    const char *fault = consistency_of_members(segment);
    if (fault) {
        fail_msg("%s", fault);
    }
}

static void check_counts(apr_uint32_t upstream, apr_uint32_t usable, apr_uint32_t waiting,
                         apr_uint32_t half_open, apr_uint32_t recovering)
{
    check();
    assert_int_equal(segment->upstreams[upstream].usable, usable);
    assert_int_equal(segment->upstreams[upstream].model_slots[0].waiting, waiting);
    assert_int_equal(segment->upstreams[upstream].half_open, half_open);
    assert_int_equal(segment->upstreams[upstream].recovering, recovering);
}

/* Only usable member, by all functions. */
static void check_usable_alone(apr_uint32_t upstream, apr_uint32_t model_slot, apr_uint32_t index)
{
    apr_uint32_t list_index = segment->slots[index].list_index;
    assert_int_equal(apipool_members_next_locked(segment, upstream, model_slot, 0), list_index);
    assert_int_equal(apipool_members_next_locked(segment, upstream, model_slot, list_index),
                     list_index);
    assert_int_equal(apipool_members_next_locked(segment, upstream, model_slot, list_index + 1),
                     APIPOOL_NONE);
    assert_int_equal(apipool_members_at_locked(segment, upstream, list_index), index);
    for (apr_uint32_t i = 0; i < segment->upstreams[upstream].list_used + 100; i++) {
        assert_int_equal(apipool_members_is_usable_locked(segment, upstream, model_slot, i),
                         i == list_index);
    }
}

static void an_empty_upstream_has_nothing_to_lend_or_wake(void **unused)
{
    check_counts(0, 0, 0, 0, 0);
    assert_int_equal(apipool_members_next_locked(segment, 0, 0, 0), APIPOOL_NONE);
    assert_int_equal(apipool_wake_first_locked(segment, 0, 0, NULL), 0);
    assert_int_equal(apipool_members_model_slot_locked(segment, 0, 7), 0);
    assert_false(apipool_members_is_usable_locked(segment, 0, 0, 0));
    apipool_members_wake_locked(segment, 0, 0, 1000);
}

static void a_new_member_goes_where_its_state_belongs(void **unused)
{
    add(0, APIPOOL_STATE_DISABLED, 0);
    apr_uint32_t active = add(0, APIPOOL_STATE_ACTIVE, 0);
    add(0, APIPOOL_STATE_COOLING, 7);
    add(0, APIPOOL_STATE_QUOTA, 9);
    add(0, APIPOOL_STATE_INVALID, 8);
    add(0, APIPOOL_STATE_TRIPPED, 11);
    add(0, APIPOOL_STATE_HALF_OPEN, 10);
    check_counts(0, 1, 1, 1, 3);
    check_usable_alone(0, 0, active);
    assert_int_equal(apipool_wake_first_locked(segment, 0, 0, NULL), 7);
}

/* All states, with and without requests that fill or prove the key. */
static void take_shape(apr_uint32_t index, int shape)
{
    apipool_slot_t *slot = &segment->slots[index];
    slot->concurrency = shape / APIPOOL_STATE_COUNT % 2 ? 2 : 0;
    slot->in_flight = 2;
    slot->proving = (apr_uint32_t)(shape / APIPOOL_STATE_COUNT / 2);
    settle(index, (apipool_state_e)(shape % APIPOOL_STATE_COUNT), 12);
}

static void members_move_from_every_state_to_every_other(void **unused)
{
    apr_uint32_t index = add(0, APIPOOL_STATE_ACTIVE, 0);
    for (int i = 0; i < 8; i++) {
        add(0, (apipool_state_e)(i % APIPOOL_STATE_COUNT), 10 + i);
    }
    for (int from = 0; from < 2 * APIPOOL_STATE_COUNT; from++) {
        for (int to = 0; to < 2 * APIPOOL_STATE_COUNT; to++) {
            take_shape(index, from);
            check();
            take_shape(index, to);
            check();
            apipool_members_settle_locked(segment, index);
            check();
        }
    }
}

static void a_half_open_member_is_held_up_while_it_is_proved(void **unused)
{
    apr_uint32_t index = add(0, APIPOOL_STATE_HALF_OPEN, 5);
    check_counts(0, 0, 0, 1, 0);
    segment->slots[index].proving = 1;
    apipool_members_settle_locked(segment, index);
    check_counts(0, 0, 0, 0, 0);
    assert_int_equal(segment->upstreams[0].held_up, 1);
    segment->slots[index].proving = 0;
    apipool_members_settle_locked(segment, index);
    check_counts(0, 0, 0, 1, 0);
    assert_int_equal(segment->upstreams[0].held_up, 0);
}

static void the_cooling_come_back_in_their_order(void **unused)
{
    apr_uint32_t random = 7;
    for (int i = 0; i < SLOTS; i++) {
        add(0, APIPOOL_STATE_COOLING, 1 + next_random(&random) % 40); /* with many equals */
    }
    check_counts(0, 0, SLOTS, 0, 0);
    for (apr_time_t now = 0; now <= 40; now++) {
        for (int i = 0; i < SLOTS / 64 + 1; i++) { /* so many at once */
            apipool_members_wake_locked(segment, 0, 0, now);
        }
        check();
        for (apr_uint32_t i = 0; i < SLOTS; i++) {
            assert_int_equal(segment->slots[i].state == APIPOOL_STATE_ACTIVE,
                             segment->slots[i].until[0] <= now);
        }
        assert_true(segment->upstreams[0].model_slots[0].waiting == 0 ||
                    apipool_wake_first_locked(segment, 0, 0, NULL) > now);
    }
    check_counts(0, SLOTS, 0, 0, 0);
}

static void members_leave_the_middle_of_a_heap(void **unused)
{
    apr_uint32_t random = 11;
    for (int i = 0; i < SLOTS; i++) {
        add(0, APIPOOL_STATE_COOLING, 1 + next_random(&random) % 1000);
    }
    for (apr_uint32_t left = SLOTS; left > 0; left--) {
        apr_uint32_t index = next_random(&random) % SLOTS;
        while (segment->slots[index].state != APIPOOL_STATE_COOLING) {
            index = (index + 1) % SLOTS;
        }
        settle(index, APIPOOL_STATE_QUOTA, next_random(&random) % 1000);
        check_counts(0, 0, left - 1, 0, SLOTS - left + 1);
    }
}

static void arrays_grow_with_all_that_is_in_them(void **unused)
{
    for (apr_uint32_t i = 0; i < SLOTS; i++) {
        apr_uint32_t index = add(0, (apipool_state_e)(i % APIPOOL_STATE_COUNT), SLOTS - i);
        if (i % 3 == 0) {
            assert_int_equal(apipool_members_cool_locked(segment, index, 7, 500 + i, 0), 1);
        }
        check();
    }
    assert_true(segment->upstreams[0].size >= SLOTS && segment->upstreams[0].size % 64 == 0);
    assert_int_equal(segment->upstreams[0].list_used, SLOTS);
    assert_int_equal(segment->upstreams[0].model_slots[1].waiting, (SLOTS + 2) / 3);
}

static void removed_members_leave_their_place_to_the_next(void **unused)
{
    for (int i = 0; i < 50; i++) {
        add(0, (apipool_state_e)(i % APIPOOL_STATE_COUNT), 100 - i);
    }
    for (apr_uint32_t i = 0; i < 50; i++) {
        assert_int_equal(apipool_members_reserve_locked(segment, 1), 1);
        apipool_members_remove_locked(segment, i);
        apipool_members_add_locked(segment, 1, i);
        check();
    }
    check_counts(0, 0, 0, 0, 0);
    for (int i = 0; i < 50; i++) {
        add(0, APIPOOL_STATE_ACTIVE, 0);
        check();
    }
    assert_int_equal(segment->upstreams[0].list_used, 50);
    check_counts(0, 50, 0, 0, 0);
}

static void a_model_slot_keeps_members_from_its_model_alone(void **unused)
{
    apr_uint32_t a = add(0, APIPOOL_STATE_ACTIVE, 0), b = add(0, APIPOOL_STATE_ACTIVE, 0);
    apr_uint32_t model_slot = apipool_members_cool_locked(segment, a, 7, 20, 0);
    assert_int_not_equal(model_slot, 0);
    check();
    assert_int_equal(apipool_members_model_slot_locked(segment, 0, 7), model_slot);
    assert_int_equal(apipool_members_model_slot_locked(segment, 0, 8), 0);
    check_usable_alone(0, model_slot, b);
    assert_int_equal(segment->upstreams[0].usable, 2);
    assert_int_equal(apipool_wake_first_locked(segment, 0, model_slot, NULL), 20);
    assert_int_equal(apipool_wake_first_locked(segment, 0, 0, NULL), 0);
    assert_int_equal(apipool_members_cool_locked(segment, a, 7, 15, 0),
                     model_slot); /* not shortened */
    assert_int_equal(segment->slots[a].until[model_slot], 20);
    assert_int_equal(apipool_members_cool_locked(segment, a, 7, 30, 0), model_slot);
    assert_int_equal(segment->slots[a].until[model_slot], 30);
    apipool_members_wake_locked(segment, 0, model_slot, 29);
    check_usable_alone(0, model_slot, b);
    apipool_members_wake_locked(segment, 0, model_slot, 30);
    check();
    settle(b, APIPOOL_STATE_DISABLED, 0);
    check_usable_alone(0, model_slot, a);
}

static void the_first_to_wake_has_ended_both_its_cooldowns(void **unused)
{
    apr_uint32_t random = 3;
    for (int i = 0; i < 60; i++) {
        add(0, APIPOOL_STATE_ACTIVE, 0);
    }
    for (int round = 0; round < 400; round++) {
        int all_of_model = round & 1, none_active = round & 2;
        apr_time_t best = 0;
        for (apr_uint32_t i = 0; i < 60; i++) {
            apipool_state_e state = (apipool_state_e)(next_random(&random) % APIPOOL_STATE_COUNT);
            state = none_active && state == APIPOOL_STATE_ACTIVE ? APIPOOL_STATE_QUOTA : state;
            settle(i, next_random(&random) % 4 ? APIPOOL_STATE_COOLING : state,
                   1 + next_random(&random) % 1000 + (round & 4 ? round * 1000 + 500 : 0));
            if (all_of_model || next_random(&random) % 3) {
                apipool_members_cool_locked(
                    segment, i, 7, round * 1000 + 1 + next_random(&random) % 1000, round * 1000);
            }
        }
        apr_uint32_t model_slot = apipool_members_model_slot_locked(segment, 0, 7);
        for (apr_uint32_t i = 0; i < 60; i++) {
            const apipool_slot_t *slot = &segment->slots[i];
            int cools = slot->state == APIPOOL_STATE_COOLING;
            int here = model_slot && slot->place[model_slot] != APIPOOL_NONE;
            apr_time_t at = cools ? slot->until[0] : 0;
            at = here && slot->until[model_slot] > at ? slot->until[model_slot] : at;
            if ((cools || (here && slot->state == APIPOOL_STATE_ACTIVE)) && (!best || at < best)) {
                best = at;
            }
        }
        assert_int_equal(apipool_wake_first_locked(segment, 0, model_slot, NULL), best);
        check();
    }
}

static void without_room_for_the_arrays_nothing_changes(void **unused)
{
    for (int i = 0; i < 64; i++) {
        add(0, APIPOOL_STATE_ACTIVE, 0);
    }
    fixture_exhaust(segment);
    assert_int_equal(apipool_members_reserve_locked(segment, 0), 0);
    assert_int_equal(apipool_members_reserve_locked(segment, 1), 0);
    assert_int_equal(segment->upstreams[0].size, 64);
    check_counts(0, 64, 0, 0, 0);
    assert_int_equal(apipool_members_cool_locked(segment, 3, 7, 20, 0), 1); /* which needs none */
    assert_int_equal(apipool_members_model_slot_locked(segment, 0, 7), 1);
    check_counts(0, 64, 0, 0, 0);
}

static void random_move(apr_uint32_t *random)
{
    apr_uint32_t used = segment->header->slots.used;
    apr_uint32_t upstream = next_random(random) % UPSTREAMS;
    apipool_state_e state = (apipool_state_e)(next_random(random) % APIPOOL_STATE_COUNT);
    apr_time_t until = next_random(random) % 1000;
    if (used < SLOTS && (used == 0 || next_random(random) % 10 == 0)) {
        add(upstream, state, until);
        return;
    }
    apr_uint32_t index = next_random(random) % used;
    switch (next_random(random) % 8) {
    case 0:
        assert_int_equal(apipool_members_reserve_locked(segment, upstream), 1);
        apipool_members_remove_locked(segment, index);
        apipool_members_add_locked(segment, upstream, index);
        break;
    case 1:
        take_shape(index, (int)(next_random(random) % (4 * APIPOOL_STATE_COUNT)));
        break;
    case 2:
    case 3:
        apipool_members_cool_locked(segment, index, 1 + next_random(random) % 9, until, 0);
        break;
    case 4:
        apipool_members_wake_locked(segment, upstream, next_random(random) % APIPOOL_MODEL_SLOTS,
                                    until / 8);
        break;
    default:
        settle(index, state, until);
    }
}

static void random_moves_keep_the_arrays_whole(void **unused)
{
    apr_uint32_t random = 2463534242;
    for (int i = 0; i < 20000; i++) {
        random_move(&random);
        check();
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_segment, close_segment)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_upstream_has_nothing_to_lend_or_wake),
        TEST(a_new_member_goes_where_its_state_belongs),
        TEST(members_move_from_every_state_to_every_other),
        TEST(a_half_open_member_is_held_up_while_it_is_proved),
        TEST(the_cooling_come_back_in_their_order),
        TEST(members_leave_the_middle_of_a_heap),
        TEST(arrays_grow_with_all_that_is_in_them),
        TEST(removed_members_leave_their_place_to_the_next),
        TEST(a_model_slot_keeps_members_from_its_model_alone),
        TEST(the_first_to_wake_has_ended_both_its_cooldowns),
        TEST(without_room_for_the_arrays_nothing_changes),
        TEST(random_moves_keep_the_arrays_whole),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests_name("members", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
