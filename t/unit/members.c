/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/state/members: the three parts of a group's array under every kind of move. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fixture.h"

#define SLOTS  100
#define GROUPS 3

static apipool_segment_t *segment;

/* Slots and groups are made by hand, as pool.c would: this is about the arrays alone. */
static int open_segment(void **state)
{
    fixture_t *f = fixture_open(SLOTS);
    segment = f->segment;
    segment->header->groups_used = GROUPS;
    *state = f;
    return 0;
}

static int close_segment(void **state)
{
    fixture_close(*state);
    return 0;
}

static apr_uint32_t add(apr_uint32_t group, apipool_state_e state, apr_time_t until)
{
    apr_uint32_t index = segment->header->slots_used++;
    assert_true(index < SLOTS);
    segment->slots[index].state = state;
    segment->slots[index].cooling_until = until;
    assert_int_equal(apipool_members_reserve_locked(segment, group), 1);
    apipool_members_add_locked(segment, group, index);
    return index;
}

static void settle(apr_uint32_t index, apipool_state_e state, apr_time_t until)
{
    segment->slots[index].cooling_until = until;
    segment->slots[index].state = state;
    apipool_members_settle_locked(segment, index);
}

static void check(void)
{
    const char *fault = broken_invariant(segment);
    if (fault) {
        fail_msg("%s", fault);
    }
}

static void check_counts(apr_uint32_t group, apr_uint32_t usable, apr_uint32_t out,
                         apr_uint32_t waiting)
{
    check();
    assert_int_equal(segment->groups[group].usable, usable);
    assert_int_equal(segment->groups[group].parked, usable + out);
    assert_int_equal(segment->groups[group].waiting, waiting);
}

static void an_empty_group_has_nothing_to_lend_or_wake(void **unused)
{
    check_counts(0, 0, 0, 0);
    assert_int_equal(apipool_members_first_waiting_locked(segment, 0), APIPOOL_NONE);
}

static void a_new_member_goes_where_its_state_belongs(void **unused)
{
    add(0, APIPOOL_STATE_DISABLED, 0);
    apr_uint32_t active = add(0, APIPOOL_STATE_ACTIVE, 0);
    apr_uint32_t cooling = add(0, APIPOOL_STATE_COOLING, 7);
    add(0, APIPOOL_STATE_QUOTA, 0);
    add(0, APIPOOL_STATE_INVALID, 0);
    check_counts(0, 1, 3, 1);
    assert_int_equal(apipool_members_usable_locked(segment, 0, 0), active);
    assert_int_equal(apipool_members_first_waiting_locked(segment, 0), cooling);
}

static void members_move_from_every_state_to_every_other(void **unused)
{
    apr_uint32_t index = add(0, APIPOOL_STATE_ACTIVE, 0);
    for (int i = 0; i < 6; i++) {
        add(0, (apipool_state_e)(i % APIPOOL_STATE_COUNT), 10 + i);
    }
    for (int from = 0; from < APIPOOL_STATE_COUNT; from++) {
        for (int to = 0; to < APIPOOL_STATE_COUNT; to++) {
            settle(index, (apipool_state_e)from, 12);
            check();
            segment->slots[index].state = (apipool_state_e)to;
            apipool_members_settle_locked(segment, index);
            check();
        }
    }
}

static void settling_twice_changes_nothing(void **unused)
{
    for (int i = 0; i < 10; i++) {
        add(0, (apipool_state_e)(i % APIPOOL_STATE_COUNT), i);
    }
    for (apr_uint32_t i = 0; i < 10; i++) {
        apipool_members_settle_locked(segment, i);
        apipool_members_settle_locked(segment, i);
        check_counts(0, 2, 6, 2);
    }
}

static void the_heap_gives_the_earliest_first(void **unused)
{
    apr_uint32_t random = 7;
    apr_time_t last = 0;

    for (int i = 0; i < SLOTS; i++) {
        add(0, APIPOOL_STATE_COOLING, 1 + next_random(&random) % 40); /* with many equals */
    }
    check_counts(0, 0, 0, SLOTS);
    for (int i = 0; i < SLOTS; i++) {
        apr_uint32_t first = apipool_members_first_waiting_locked(segment, 0);
        assert_true(segment->slots[first].cooling_until >= last);
        last = segment->slots[first].cooling_until;
        settle(first, APIPOOL_STATE_ACTIVE, last);
        check();
    }
    check_counts(0, SLOTS, 0, 0);
    assert_int_equal(apipool_members_first_waiting_locked(segment, 0), APIPOOL_NONE);
}

static void members_leave_the_middle_of_the_heap(void **unused)
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
        settle(index, APIPOOL_STATE_QUOTA, 0);
        check_counts(0, 0, SLOTS - left + 1, left - 1);
    }
}

static void an_array_grows_with_all_its_parts(void **unused)
{
    for (apr_uint32_t i = 0; i < SLOTS; i++) {
        add(0, (apipool_state_e)(i % APIPOOL_STATE_COUNT), SLOTS - i);
        check();
    }
    check_counts(0, SLOTS / 5, SLOTS / 5 * 3, SLOTS / 5);
    assert_true(segment->groups[0].size >= SLOTS);
}

static void a_full_array_moves_between_its_parts(void **unused)
{
    apr_uint32_t random = 3;
    for (int i = 0; i < 16; i++) {
        add(0, APIPOOL_STATE_ACTIVE, 0);
    }
    assert_int_equal(segment->groups[0].size, 16);
    for (int i = 0; i < 2000; i++) {
        settle(next_random(&random) % 16,
               (apipool_state_e)(next_random(&random) % APIPOOL_STATE_COUNT),
               next_random(&random) % 50);
        check();
    }
    assert_int_equal(segment->groups[0].size, 16);
}

static void removed_members_settle_in_another_group(void **unused)
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
    check_counts(0, 0, 0, 0);
    check_counts(1, 10, 30, 10);
}

static void without_room_for_the_array_nothing_changes(void **unused)
{
    apr_uint32_t size = 16;
    for (int i = 0; i < 16; i++) {
        add(0, APIPOOL_STATE_ACTIVE, 0);
    }
    for (apr_size_t block = 1 << 20; block > 16; block /= 2) {
        while (apr_rmm_malloc(segment->rmm, block)) {
        }
    }
    assert_int_equal(apipool_members_reserve_locked(segment, 0), 0);
    assert_int_equal(apipool_members_reserve_locked(segment, 1), 0);
    assert_int_equal(segment->groups[0].size, size);
    check_counts(0, 16, 0, 0);
}

static void random_moves_keep_the_arrays_whole(void **unused)
{
    apr_uint32_t random = 2463534242;
    for (int i = 0; i < 20000; i++) {
        apr_uint32_t used = segment->header->slots_used;
        apr_uint32_t group = next_random(&random) % GROUPS;
        apipool_state_e state = (apipool_state_e)(next_random(&random) % APIPOOL_STATE_COUNT);
        apr_time_t until = next_random(&random) % 1000;
        if (used < SLOTS && (used == 0 || next_random(&random) % 10 == 0)) {
            add(group, state, until);
        }
        else if (next_random(&random) % 4) {
            settle(next_random(&random) % used, state, until);
        }
        else {
            apr_uint32_t index = next_random(&random) % used;
            assert_int_equal(apipool_members_reserve_locked(segment, group), 1);
            apipool_members_remove_locked(segment, index);
            apipool_members_add_locked(segment, group, index);
        }
        check();
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_segment, close_segment)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_group_has_nothing_to_lend_or_wake),
        TEST(a_new_member_goes_where_its_state_belongs),
        TEST(members_move_from_every_state_to_every_other),
        TEST(settling_twice_changes_nothing),
        TEST(the_heap_gives_the_earliest_first),
        TEST(members_leave_the_middle_of_the_heap),
        TEST(an_array_grows_with_all_its_parts),
        TEST(a_full_array_moves_between_its_parts),
        TEST(removed_members_settle_in_another_group),
        TEST(without_room_for_the_array_nothing_changes),
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
