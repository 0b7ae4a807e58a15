/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/state/repair: damage of each kind is noticed, and put right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "repair_fixture.h"

static void work_some(worker_t *worker, int turns)
{
    while (turns--) {
        work_once(worker);
    }
}

/* Something of everything: leases, cooldowns, waiters, lanes, hits, names. */
static void open_used(void **state, worker_t *worker)
{
    assert_int_equal(open_world(state), 0);
    *worker = a_worker(20261123);
    worker->clock = NOW; /* the same happens in every run */
    work_some(worker, 5000);
    while (!worker->lent) {
        work_acquire(worker);
    }
    while (!worker->asks) {
        work_probe(worker);
    }
    if (worker->waiter == APIPOOL_NONE) {
        work_wait(worker);
    }
    assert_int_equal(told->strange, 0);
    assert_null(apipool_repair_check_locked(segment));
}

static apipool_group_t *first_group(void)
{
    return &segment->groups[group_a];
}

/* A slot of it. */
static apr_uint32_t first_member(void)
{
    apr_uint32_t member = 0;
    while (segment->slots[member].group != group_a) {
        member++;
    }
    return member;
}

/* A lane of group a that some slot cools in. */
static apipool_lane_t *cooling_lane(void)
{
    apr_uint32_t member = first_member();
    apr_uint32_t which = apipool_members_cool_locked(segment, member, 5, NOW + SEC(100), NOW);
    assert_int_not_equal(which, 0);
    apipool_lane_t *lane = &first_group()->lanes[which];
    return lane;
}

static apipool_slot_t *long_slot(void)
{
    apipool_slot_t *slot = segment->slots;
    while (!slot->secret_off) {
        slot++;
    }
    return slot;
}

static apr_uint32_t used_name(void)
{
    apr_uint32_t place = 0;
    while (!segment->names.hashes[place]) {
        place++;
    }
    return place;
}

static void plant_a_loop_of_ids(void)
{
    apr_uint32_t head = (apr_uint32_t)(segment->slots[0].id & (segment->header->heads - 1));
    segment->heads[head] = 0;
    segment->slots[0].next = 0;
}

static void plant_a_lost_id(void)
{
    segment->heads[segment->slots[0].id & (segment->header->heads - 1)] = APIPOOL_NONE;
}

static void plant_a_wild_head(void)
{
    segment->heads[3] = 0x7fffffff;
}

static void plant_a_wrong_ordinal(void)
{
    segment->slots[0].ordinal++;
}

static void plant_a_loop_of_spares(void)
{
    apipool_group_t *g = first_group();
    apr_uint32_t member = first_member();
    assert_int_equal(apipool_members_reserve_locked(segment, group_b), 1);
    apipool_members_remove_locked(segment, member);
    apipool_members_add_locked(segment, group_b, member);
    apr_uint32_t *members = apipool_arena_at(segment, g->members);
    members[g->spare] = g->spare;
}

static void plant_wild_arrays(void)
{
    first_group()->members = 0xffffffff00;
}

static void plant_a_wild_size(void)
{
    first_group()->size = 0xfffffff7;
}

static void plant_a_wrong_bit(void)
{
    apipool_bits_t bits = apipool_bits_view(
        apipool_arena_at(segment, first_group()->lanes[0].clear), first_group()->size);
    apr_uint32_t ordinal = segment->slots[first_member()].ordinal;
    apipool_bits_put(bits, ordinal, !apipool_bits_has(bits, ordinal));
}

static void plant_a_wrong_summary(void)
{
    apipool_bits_t bits = apipool_bits_view(
        apipool_arena_at(segment, first_group()->lanes[0].clear), first_group()->size);
    bits.summary[0] ^= 1;
}

static void plant_a_wrong_count(void)
{
    first_group()->usable += 1000;
}

static void plant_a_wrong_count_of_the_half_open(void)
{
    first_group()->half_open = 0x7fffffff;
}

/* A slot that a probe may be sent about. */
static apipool_slot_t *lost_slot(void)
{
    apr_uint32_t member = first_member();
    segment->slots[member].state = APIPOOL_STATE_QUOTA;
    segment->slots[member].until[0] = NOW;
    segment->slots[member].probing = segment->slots[member].proving = 0;
    apipool_members_settle_locked(segment, member);
    return &segment->slots[member];
}

static void plant_disorder_among_the_lost(void)
{
    apipool_slot_t *slot = lost_slot();
    slot->place[0] += 3;
}

static void plant_a_wild_heap_of_the_lost(void)
{
    lost_slot();
    first_group()->due = 0xffffffff00;
}

static void plant_a_lost_key_in_the_heap_of_the_half_open(void)
{
    lost_slot()->heap = 2;
}

static void plant_a_probe_that_nobody_made(void)
{
    apr_uint32_t member = first_member();
    segment->slots[member].probing = !segment->slots[member].probing;
}

static void plant_a_balance_that_is_none(void)
{
    segment->slots[1].balance = 1.0 / 0.0;
}

static void plant_a_currency_without_an_end(void)
{
    memset(segment->slots[1].currency, 'X', APIPOOL_CURRENCY_SIZE);
}

static void plant_an_unknown_habit(void)
{
    first_group()->habits[1] = 99;
}

static void plant_names_that_nobody_has(void)
{
    *segment->names.taken += APIPOOL_NAMES_MAX;
}

static void plant_disorder_in_a_lane(void)
{
    apipool_lane_t *lane = cooling_lane();
    apr_uint32_t *heap = apipool_arena_at(segment, lane->heap);
    heap[0] = 0xffff;
}

static void plant_a_lane_without_memory(void)
{
    cooling_lane()->clear = 0;
}

static void plant_a_lane_without_a_model(void)
{
    cooling_lane()->model = 0;
}

static void plant_a_state_of_its_own(void)
{
    segment->slots[0].state = (apipool_state_e)99;
}

static void plant_a_state_that_nobody_settled(void)
{
    apipool_slot_t *slot = segment->slots;
    while (!slot->usable) {
        slot++;
    }
    slot->state = APIPOOL_STATE_COOLING;
}

static void plant_a_slot_of_no_group(void)
{
    segment->slots[0].group = 12345;
}

static void plant_a_request_in_flight(void)
{
    segment->slots[2].in_flight += 7;
}

static void plant_a_lost_holder(void)
{
    segment->header->holders_free = APIPOOL_NONE;
    segment->header->holders_used++;
    segment->holders[segment->header->holders_used - 1].process = 0;
}

static void plant_a_loop_of_holders(void)
{
    segment->header->holders_used += 1;
    apr_uint32_t last = segment->header->holders_used - 1;
    segment->holders[last] = (apipool_holder_t){.slot = last};
    segment->header->holders_free = last;
}

static void plant_a_holder_of_nothing(void)
{
    segment->holders[segment->header->holders_used++] =
        (apipool_holder_t){.process = 4, .slot = 0x10000000};
}

static apipool_queue_t *used_queue(void)
{
    apipool_queue_t *q = segment->queues;
    while (q->first == APIPOOL_NONE) {
        q++;
    }
    return q;
}

static void plant_a_queue_without_an_end(void)
{
    apipool_queue_t *q = used_queue();
    segment->waiters[q->first].next = q->first;
}

static void plant_a_queue_that_begins_nowhere(void)
{
    used_queue()->first = 0x12345678;
}

static void plant_a_lost_waiter(void)
{
    apipool_queue_t *q = used_queue();
    q->first = q->last = APIPOOL_NONE;
}

static void plant_a_late_hit(void)
{
    segment->hits[5] = (apipool_hit_t){.account = 5, .until = NOW + SEC(1000000)};
}

static void plant_a_name_of_no_pool(void)
{
    segment->names.entries[used_name()].pool = 0xffffff;
}

static void plant_a_name_without_an_end(void)
{
    memset(segment->names.entries[used_name()].text, 'x', APIPOOL_NAMED_MAX);
}

static void plant_half_a_request(void)
{
    segment->recent.entries[*segment->recent.pushed % segment->recent.size].number = 0;
    segment->recent.entries[0].ending = 200;
}

static void plant_numbers_that_are_none(void)
{
    segment->stats[main_pool].numbers.counts.latency = 0.0 / 0.0;
}

static void plant_too_many_errors(void)
{
    segment->slots[1].counts.errors = APR_UINT64_C(1) << 60;
}

static void plant_an_average_that_is_none(void)
{
    segment->slots[1].success = -1.0 / 0.0;
}

static void plant_a_long_name(void)
{
    memset(segment->pools[main_pool].name, 'p', APIPOOL_NAME_MAX);
}

static void plant_too_many_slots(void)
{
    segment->header->slots_used = 0xfffffff0;
}

static void plant_a_broken_arena(void)
{
    segment->header->arena.free[2] = 0xfffffffff0;
}

/* In the middle of an array of which both ends are used. */
static void plant_an_overlap(void)
{
    apipool_offset_t middle = first_group()->heaps + 128;
    memcpy(apipool_arena_at(segment, middle), segment->header->arena.free, sizeof(middle));
    segment->header->arena.free[0] = middle;
    segment->header->arena.count[0]++;
}

static void plant_a_wrong_number_of_blocks(void)
{
    segment->header->arena.count[0]++;
}

static void plant_a_lost_block(void)
{
    segment->header->arena.top += 4096;
}

static apipool_client_slot_t *used_client(void)
{
    apipool_client_slot_t *slot = segment->clients.slots;
    while (!slot->serial) {
        slot++;
    }
    return slot;
}

static void plant_a_loop_of_clients(void)
{
    apipool_client_slot_t *slot = used_client();
    slot->next_by_name = (apr_uint32_t)(slot - segment->clients.slots) + 1;
}

static void plant_a_lost_client(void)
{
    memset(segment->clients.by_digest, 0, segment->clients.heads * sizeof(apr_uint32_t));
}

static void plant_a_wild_chain_of_clients(void)
{
    segment->clients.by_name[2] = 0x7fffffff;
}

static void plant_a_client_without_an_end(void)
{
    memset(used_client()->name, 'c', APIPOOL_CLIENT_NAME_MAX);
}

static void plant_terms_without_an_end(void)
{
    apipool_client_slot_t *slot = used_client();
    slot->terms[slot->current].lists_len = 0xfffffff0;
}

static void plant_a_clients_request(void)
{
    used_client()->in_flight += 3;
}

static void plant_a_wrong_count_of_clients(void)
{
    segment->clients.head->count += 3;
}

static void plant_too_many_clients(void)
{
    segment->clients.head->used = 0xfffffff0;
}

static void plant_a_loop_of_free_clients(void)
{
    apipool_client_slot_t *slot = used_client();
    apr_uint32_t link = (apr_uint32_t)(slot - segment->clients.slots) + 1;
    apipool_clients_remove_locked(&segment->clients, slot);
    slot->next_by_digest = link;
}

static void plant_a_client_of_wild_numbers(void)
{
    used_client()->numbers.counts.errors = APR_UINT64_C(1) << 60;
}

static const struct {
    void (*plant)(void);
    const char *fault;
} damages[] = {
    {plant_a_loop_of_ids, "a chain of ids is broken"},
    {plant_a_lost_id, "a slot is in no chain"},
    {plant_a_wild_head, "a chain of ids is broken"},
    {plant_a_wrong_ordinal, "a slot is not where its ordinal says"},
    {plant_a_loop_of_spares, "the chain of spare ordinals is broken"},
    {plant_wild_arrays, "a group has no arrays"},
    {plant_a_wild_size, "a group has more ordinals than room"},
    {plant_a_wrong_bit, "not the usable slots are in rotation"},
    {plant_a_wrong_summary, "the summary of a set is wrong"},
    {plant_a_wrong_count, "a group counts its members wrongly"},
    {plant_a_wrong_count_of_the_half_open, "a heap has more slots than room"},
    {plant_disorder_among_the_lost, "a slot of a heap does not know its place"},
    {plant_a_wild_heap_of_the_lost, "a group has no arrays"},
    {plant_a_lost_key_in_the_heap_of_the_half_open,
     "a slot is not in the heap that its state asks for"},
    {plant_a_probe_that_nobody_made, "a slot is not probed once at most"},
    {plant_a_balance_that_is_none, "a slot makes no sense"},
    {plant_a_currency_without_an_end, "a slot makes no sense"},
    {plant_an_unknown_habit, "a group makes no sense"},
    {plant_names_that_nobody_has, "places of names are counted wrongly"},
    {plant_disorder_in_a_lane, "a heap has a slot that does not exist"},
    {plant_a_lane_without_memory, "a model has a lane that does not exist"},
    {plant_a_lane_without_a_model, "a slot cools in a lane that does not exist"},
    {plant_a_state_of_its_own, "a slot makes no sense"},
    {plant_a_state_that_nobody_settled, "not the usable slots are in rotation"},
    {plant_a_slot_of_no_group, "a slot is in a group of another pool"},
    {plant_a_request_in_flight, "a slot has not as many requests in flight as holders"},
    {plant_a_lost_holder, "a holder is lost"},
    {plant_a_loop_of_holders, "the chain of free holders is broken"},
    {plant_a_holder_of_nothing, "a slot that does not exist is held"},
    {plant_a_clients_request, "a client has not as many requests in flight as holders"},
    {plant_a_queue_without_an_end, "a queue is broken"},
    {plant_a_queue_that_begins_nowhere, "a queue is broken"},
    {plant_a_lost_waiter, "a waiter is lost"},
    {plant_a_late_hit, "what has hit an account is not known"},
    {plant_a_name_of_no_pool, "a name makes no sense"},
    {plant_a_name_without_an_end, "a name makes no sense"},
    {plant_half_a_request, "one of the last requests makes no sense"},
    {plant_numbers_that_are_none, "numbers make no sense"},
    {plant_too_many_errors, "numbers make no sense"},
    {plant_an_average_that_is_none, "a slot makes no sense"},
    {plant_a_long_name, "a pool makes no sense"},
    {plant_too_many_slots, "there are more slots than room"},
    {plant_a_broken_arena, "a list of free blocks is broken"},
    {plant_a_wrong_number_of_blocks, "a list of free blocks is broken"},
    {plant_an_overlap, "two blocks of the arena overlap"},
    {plant_a_lost_block, "a block of the arena is lost"},
    {plant_a_loop_of_clients, "a chain of clients is broken"},
    {plant_a_lost_client, "a client is in no chain"},
    {plant_a_wild_chain_of_clients, "a chain of clients is broken"},
    {plant_a_client_without_an_end, "a client makes no sense"},
    {plant_terms_without_an_end, "a client makes no sense"},
    {plant_a_wrong_count_of_clients, "clients are counted wrongly"},
    {plant_too_many_clients, "there are more clients than room"},
    {plant_a_loop_of_free_clients, "the chain of free clients is broken"},
    {plant_a_client_of_wild_numbers, "numbers make no sense"},
};

static void check_repairs(apr_uint32_t slots)
{
    assert_int_equal(apipool_repair_locked(segment), 1);
    const char *fault = apipool_repair_check_locked(segment);
    if (fault) {
        fail_msg("repaired: %s", fault);
    }
    assert_int_equal(segment->header->slots_used, slots);
}

static void damage_of_each_kind_is_noticed_and_repaired(void **unused)
{
    for (size_t i = 0; i < sizeof(damages) / sizeof(*damages); i++) {
        void *state;
        worker_t worker;
        open_used(&state, &worker);
        apr_uint32_t slots = segment->header->slots_used;
        damages[i].plant();
        const char *fault = apipool_repair_check_locked(segment);
        assert_string_equal(fault ? fault : "nothing", damages[i].fault);
        check_repairs(slots);
        work_some(&worker, 1000);
        assert_int_equal(told->strange, 0);
        assert_null(apipool_repair_check_locked(segment));
        assert_int_equal(close_world(&state), 0);
    }
}

static void scribble(worker_t *dice, void *memory, apr_size_t bytes)
{
    apr_uint32_t *words = memory;
    for (apr_size_t i = 0; i < bytes / sizeof(*words); i++) {
        words[i] = draw(dice, 3) ? words[i] : next_random(&dice->random) >> draw(dice, 32);
    }
}

/* All that follows from something else may be anything. */
static void whatever_is_found_keys_and_leases_are_left(void **unused)
{
    for (apr_uint32_t round = 0; round < 20; round++) {
        void *state;
        worker_t worker, dice = {.random = 99 + round};
        open_used(&state, &worker);
        apipool_header_t *header = segment->header;
        apr_uint32_t slots = header->slots_used, held = 0, probing = 0;
        scribble(&dice, segment->heads, header->heads * sizeof(*segment->heads));
        scribble(&dice, &header->holders_free, sizeof(header->holders_free));
        scribble(&dice, &header->waiters_free, sizeof(header->waiters_free));
        scribble(&dice, &header->arena.top, sizeof(header->arena) - sizeof(header->arena.size));
        scribble(&dice, segment->queues, APIPOOL_QUEUES_MAX * sizeof(*segment->queues));
        scribble(&dice, segment->sessions, sizeof(*segment->sessions));
        scribble(&dice, segment->hits, APIPOOL_HITS_MAX * sizeof(*segment->hits));
        scribble(&dice, &segment->stats[main_pool], sizeof(*segment->stats));
        scribble(&dice, segment->recent.entries, 16 * sizeof(*segment->recent.entries));
        scribble(&dice, segment->names.entries, APIPOOL_NAMES_MAX * sizeof(apipool_named_t));
        scribble(&dice, segment->names.taken, sizeof(*segment->names.taken));
        scribble(&dice, segment->names.used, 64 * sizeof(*segment->names.used));
        scribble(&dice, segment->clients.head, sizeof(*segment->clients.head));
        scribble(&dice, segment->clients.by_digest, segment->clients.heads * sizeof(apr_uint32_t));
        scribble(&dice, segment->clients.by_name, segment->clients.heads * sizeof(apr_uint32_t));
        for (apr_uint32_t i = 0; i < header->groups_used; i++) {
            apr_uint32_t pool = segment->groups[i].pool;
            scribble(&dice, &segment->groups[i], sizeof(*segment->groups));
            segment->groups[i].pool = pool;
        }
        for (apr_uint32_t i = 0; i < slots; i++) {
            scribble(&dice, segment->slots[i].place, sizeof(segment->slots[i].place));
            scribble(&dice, &segment->slots[i].heap, 6);
            scribble(&dice, &segment->slots[i].counts, sizeof(segment->slots[i].counts));
            segment->slots[i].ordinal = draw(&dice, 3) ? draw(&dice, 100) : 0xffffff;
        }
        check_repairs(slots);
        check_keys(0);
        for (apr_uint32_t i = 0; i < slots; i++) {
            held += segment->slots[i].in_flight;
            probing += segment->slots[i].probing;
        }
        assert_int_equal(held, worker.lent);
        assert_int_equal(probing, 1);
        finish(&worker);
        assert_int_equal(told->strange, 0);
        assert_null(apipool_repair_check_locked(segment));
        assert_int_equal(close_world(&state), 0);
    }
}

static void cooldowns_and_places_in_line_outlast_a_repair(void **state)
{
    apr_uint32_t waiters[3];
    apipool_wanted_t wanted = want(APIPOOL_STRATEGY_FILL_FIRST);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(apipool_pool_enter_queue(segment, &wanted, &waiters[i]), APR_SUCCESS);
    }
    assert_int_equal(apipool_pool_leave_queue(segment, waiters[1]), APR_SUCCESS);
    assert_int_equal(acquire_for(7, NOW), APIPOOL_ACQUIRED);
    apr_uint32_t slot = lease.slot, ordinal = segment->slots[slot].ordinal;
    report(APIPOOL_R07, NOW + SEC(60), NOW);
    assert_int_equal(acquire_for(8, NOW), APIPOOL_ACQUIRED);
    report_limit(APIPOOL_SCOPE_KEY, NOW + SEC(90), NOW);
    apr_uint32_t whole = lease.slot;

    check_repairs(KEYS);
    apr_uint32_t lane = apipool_members_lane_locked(segment, group_a, 7);
    assert_int_not_equal(lane, 0);
    assert_int_not_equal(segment->slots[slot].place[lane], APIPOOL_NONE);
    assert_int_equal(segment->slots[slot].until[lane], NOW + SEC(60));
    assert_int_equal(segment->slots[slot].ordinal, ordinal);
    assert_int_equal(segment->slots[whole].state, APIPOOL_STATE_COOLING);
    assert_int_equal(segment->slots[whole].until[0], NOW + SEC(90));
    wanted.waiter = waiters[2];
    assert_int_equal(acquire_wanted(&wanted, NOW), APIPOOL_QUEUED);
    wanted.waiter = waiters[0];
    assert_int_equal(acquire_wanted(&wanted, NOW), APIPOOL_ACQUIRED);
    report(APIPOOL_R00, 0, NOW);
}

static void a_key_of_which_nothing_is_known_is_switched_off(void **state)
{
    apipool_slot_t *slot = long_slot();
    slot->pool = 999;
    assert_int_equal(apipool_repair_locked(segment), 1);
    assert_int_equal(slot->state, APIPOOL_STATE_DISABLED);
    assert_int_equal(slot->secret_len, 0);
    assert_null(apipool_repair_check_members_locked(segment));
}

static void without_memory_the_lock_is_not_given(void **state)
{
    apr_size_t size = segment->header->arena.size;
    segment->header->inside = 1;
    segment->header->arena.size = APIPOOL_ARENA_BLOCK;
    assert_int_equal(apipool_segment_lock(segment), APR_EGENERAL);
    assert_int_equal(apipool_segment_repairs(segment), 0);
    segment->header->arena.size = size;
}

#define WORLD(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(damage_of_each_kind_is_noticed_and_repaired),
    cmocka_unit_test(whatever_is_found_keys_and_leases_are_left),
    WORLD(cooldowns_and_places_in_line_outlast_a_repair),
    WORLD(a_key_of_which_nothing_is_known_is_switched_off),
    WORLD(without_memory_the_lock_is_not_given),
};

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests_name("damage", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
