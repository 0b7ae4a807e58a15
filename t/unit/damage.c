/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/pool/rebuild: any damage to derived data is noticed and repaired. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "account.h"
#include "members.h"
#include "queue.h"
#include "repair_fixture.h"

static void work_some(worker_t *worker, int turns)
{
    while (turns--) {
        work_once(worker);
    }
}

/* Some of everything: leases, cooldowns, waiters, model slots, account limits, names. */
static void open_used(void **state, worker_t *worker)
{
    assert_int_equal(open_world(state), 0);
    *worker = a_worker(20261123);
    worker->clock = NOW; /* so that every run is the same */
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
    assert_null(consistency_of(segment));
}

static apipool_upstream_t *first_upstream(void)
{
    return &segment->upstreams[upstream_a];
}

/* Returns one of its slots. */
static apr_uint32_t first_member(void)
{
    apr_uint32_t member = 0;
    while (segment->slots[member].upstream != upstream_a) {
        member++;
    }
    return member;
}

/* Returns a model slot of upstream a in which a slot cools. */
static apr_uint32_t cooling_model_slot(void)
{
    return apipool_members_cool_locked(segment, first_member(), 5, NOW + SEC(100), NOW);
}

static apipool_slot_t *long_slot(void)
{
    apipool_slot_t *slot = segment->slots;
    while (!slot->secret_off) {
        slot++;
    }
    return slot;
}

static void plant_a_loop_of_ids(void)
{
    segment->slot_table.next[0] = 1;
}

static void plant_lost_ids(void)
{
    memset(segment->slot_table.first, 0, segment->slot_table.chains * sizeof(apr_uint32_t));
}

static void plant_a_wild_chain_of_ids(void)
{
    segment->slot_table.first[3] = 0x7fffffff;
}

static void plant_a_wrong_count_of_keys(void)
{
    segment->header->slots.linked++;
}

static void plant_a_wrong_list_index(void)
{
    segment->slots[0].list_index++;
}

static void plant_a_loop_of_spares(void)
{
    apipool_upstream_t *u = first_upstream();
    apr_uint32_t member = first_member();
    assert_int_equal(apipool_members_reserve_locked(segment, upstream_b), 1);
    apipool_members_remove_locked(segment, member);
    apipool_members_add_locked(segment, upstream_b, member);
    apr_uint32_t *members = apipool_members_row(segment, u, 0);
    members[u->spare] = u->spare;
}

static void plant_wild_arrays(void)
{
    first_upstream()->rows = 0xffffffff00;
}

static void plant_a_wild_size(void)
{
    first_upstream()->size = 0xfffffff7;
}

static void plant_a_wrong_bit(void)
{
    apipool_bitset_t bits = apipool_members_bits(segment, first_upstream(), 0);
    apr_uint32_t list_index = segment->slots[first_member()].list_index;
    apipool_bitset_put(bits, list_index, !apipool_bitset_has(bits, list_index));
}

static void plant_a_wrong_summary(void)
{
    apipool_members_bits(segment, first_upstream(), 0).summary[0] ^= 1;
}

static void plant_a_wrong_bit_of_a_model(void)
{
    apipool_bitset_t bits = apipool_members_bits(segment, first_upstream(), cooling_model_slot());
    apipool_bitset_put(bits, segment->slots[first_member()].list_index, 1);
}

static void plant_a_wrong_count(void)
{
    first_upstream()->usable += 1000;
}

static void plant_a_wrong_count_of_the_half_open(void)
{
    first_upstream()->half_open = 0x7fffffff;
}

/* Returns a slot that may be probed. */
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

static void plant_a_lost_key_in_the_heap_of_the_half_open(void)
{
    lost_slot()->heap = APIPOOL_IN_HALF_OPEN;
}

static void plant_a_probe_that_nobody_made(void)
{
    apr_uint32_t member = first_member();
    segment->slots[member].probing = !segment->slots[member].probing;
}

static void plant_names_that_nobody_has(void)
{
    segment->names.used[0] += APIPOOL_NAMES_MAX;
}

static void plant_lost_names(void)
{
    memset(segment->names.table.first, 0, segment->names.table.chains * sizeof(apr_uint32_t));
}

static void plant_disorder_in_a_model_slot(void)
{
    apr_uint32_t model_slot = cooling_model_slot();
    *apipool_members_row(segment, first_upstream(), APIPOOL_IN_COOLING + model_slot) = 0xffff;
}

static void plant_a_wrong_count_of_a_model_slot(void)
{
    first_upstream()->model_slots[cooling_model_slot()].waiting--;
}

static void plant_a_state_that_nobody_settled(void)
{
    apipool_slot_t *slot = segment->slots;
    while (!slot->usable) {
        slot++;
    }
    slot->state = APIPOOL_STATE_COOLING;
}

static void plant_a_request_in_flight(void)
{
    segment->slots[2].in_flight += 7;
}

static void plant_a_lost_holder(void)
{
    segment->holders[apipool_hash_table_take(&segment->holder_table)].process = 0;
}

static void plant_a_loop_of_holders(void)
{
    plant_a_lost_holder();
    segment->header->holders.free = segment->header->holders.used;
    segment->holder_table.next[segment->header->holders.used - 1] = segment->header->holders.used;
}

static apipool_queue_t *used_queue(void)
{
    const apipool_waiter_t *waiter = segment->waiters;
    while (!waiter->process) {
        waiter++;
    }
    return &segment->queues[waiter->queue];
}

static void plant_a_lost_queue(void)
{
    memset(segment->queue_table.first, 0, segment->queue_table.chains * sizeof(apr_uint32_t));
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

static void plant_a_late_account_limit(void)
{
    apipool_account_limit_locked(segment, main_pool, 5, 6, 0, NOW + SEC(1000000), NOW);
    segment->header->account_limits_until = NOW;
}

static void plant_lost_hits(void)
{
    plant_a_late_account_limit();
    segment->header->account_limits_until = NOW + SEC(1000000);
    memset(segment->account_limit_table.first, 0,
           segment->account_limit_table.chains * sizeof(apr_uint32_t));
}

static void plant_a_broken_arena(void)
{
    segment->header->arena.free[2] = 0xfffffffff0;
}

/* Returns a place at the end of an upstream's arrays that is unused. */
static void plant_an_overlap(void)
{
    apr_size_t size = apipool_arena_block(apipool_members_bytes(first_upstream()->size));
    apipool_offset_t end = first_upstream()->rows + size - APIPOOL_ARENA_BLOCK;
    memcpy(apipool_arena_at(segment, end), segment->header->arena.free, sizeof(end));
    segment->header->arena.free[0] = end;
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
    apr_uint32_t index = (apr_uint32_t)(used_client() - segment->clients.slots);
    segment->clients.by_name.next[index] = index + 1;
}

static void plant_a_lost_client(void)
{
    const apipool_hash_table_t *table = &segment->clients.by_digest;
    memset(table->first, 0, table->chains * sizeof(apr_uint32_t));
}

static void plant_a_wild_chain_of_clients(void)
{
    segment->clients.by_name.first[2] = 0x7fffffff;
}

static void plant_a_clients_request(void)
{
    used_client()->in_flight += 3;
}

static void plant_a_wrong_count_of_clients(void)
{
    segment->clients.head->by_digest.linked += 3;
}

static void plant_a_loop_of_free_clients(void)
{
    apipool_client_slot_t *slot = used_client();
    apr_uint32_t link = (apr_uint32_t)(slot - segment->clients.slots) + 1;
    apipool_clients_remove_locked(&segment->clients, slot);
    segment->clients.by_digest.next[link - 1] = link;
}

static const struct {
    void (*plant)(void);
    const char *fault;
} damages[] = {
    {plant_a_loop_of_ids, "the table of slots is broken"},
    {plant_lost_ids, "the table of slots is broken"},
    {plant_a_wild_chain_of_ids, "the table of slots is broken"},
    {plant_a_wrong_count_of_keys, "the table of slots is broken"},
    {plant_a_wrong_list_index, "a slot is not where its list index says"},
    {plant_a_loop_of_spares, "the chain of spare list indices is broken"},
    {plant_wild_arrays, "an upstream has no arrays"},
    {plant_a_wild_size, "an upstream has more list indices than room"},
    {plant_a_wrong_bit, "not the usable slots are in rotation"},
    {plant_a_wrong_summary, "the summary of a set is wrong"},
    {plant_a_wrong_bit_of_a_model, "a bit of a lane is wrong"},
    {plant_a_wrong_count, "an upstream counts its members wrongly"},
    {plant_a_wrong_count_of_the_half_open, "a heap has more slots than room"},
    {plant_a_wrong_count_of_a_model_slot, "a lane counts those who wait wrongly"},
    {plant_disorder_among_the_lost, "a slot of a heap does not know its place"},
    {plant_a_lost_key_in_the_heap_of_the_half_open,
     "a slot is not in the heap that its state asks for"},
    {plant_a_probe_that_nobody_made, "a slot is not probed once at most"},
    {plant_names_that_nobody_has, "places of names are counted wrongly"},
    {plant_lost_names, "the table of names is broken"},
    {plant_disorder_in_a_model_slot, "a heap has a slot that does not exist"},
    {plant_a_state_that_nobody_settled, "not the usable slots are in rotation"},
    {plant_a_request_in_flight, "a slot has not as many requests in flight as holders"},
    {plant_a_lost_holder, "the table of holders is broken"},
    {plant_a_loop_of_holders, "the table of holders is broken"},
    {plant_a_clients_request, "a client has not as many requests in flight as holders"},
    {plant_a_queue_without_an_end, "a queue is broken"},
    {plant_a_queue_that_begins_nowhere, "a queue is broken"},
    {plant_a_lost_queue, "the table of queues is broken"},
    {plant_a_lost_waiter, "a waiter is lost"},
    {plant_a_late_account_limit, "what has hit an account is not known"},
    {plant_lost_hits, "the table of hits is broken"},
    {plant_a_broken_arena, "a list of free blocks is broken"},
    {plant_a_wrong_number_of_blocks, "a list of free blocks is broken"},
    {plant_an_overlap, "two blocks of the arena overlap"},
    {plant_a_lost_block, "a block of the arena is lost"},
    {plant_a_loop_of_clients, "the table of clients by name is broken"},
    {plant_a_lost_client, "the table of clients by digest is broken"},
    {plant_a_wild_chain_of_clients, "the table of clients by name is broken"},
    {plant_a_wrong_count_of_clients, "the table of clients by digest is broken"},
    {plant_a_loop_of_free_clients, "the table of clients by digest is broken"},
};

static void check_repairs(apr_uint32_t slots)
{
    assert_int_equal(apipool_rebuild_locked(segment), 1);
    const char *fault = consistency_of(segment);
    if (fault) {
        fail_msg("repaired: %s", fault);
    }
    assert_int_equal(segment->header->slots.used, slots);
}

static void damage_of_each_kind_is_noticed_and_repaired(void **unused)
{
    for (size_t i = 0; i < sizeof(damages) / sizeof(*damages); i++) {
        void *state;
        worker_t worker;
        open_used(&state, &worker);
        apr_uint32_t slots = segment->header->slots.used;
        damages[i].plant();
        const char *fault = consistency_of(segment);
        assert_string_equal(fault ? fault : "nothing", damages[i].fault);
        check_repairs(slots);
        work_some(&worker, 1000);
        assert_int_equal(told->strange, 0);
        assert_null(consistency_of(segment));
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

static void scribble_links(worker_t *dice, const apipool_hash_table_t *table)
{
    apr_uint32_t used = table->head->used;
    scribble(dice, table->head, sizeof(*table->head));
    table->head->used = used;
    scribble(dice, table->next, table->capacity * sizeof(*table->next));
    scribble(dice, table->first, table->chains * sizeof(*table->first));
}

/* Overwrites all derived data with random bytes. */
static void whatever_is_found_keys_and_leases_are_left(void **unused)
{
    for (apr_uint32_t round = 0; round < 20; round++) {
        void *state;
        worker_t worker, dice = {.random = 99 + round};
        open_used(&state, &worker);
        apipool_header_t *header = segment->header;
        apr_uint32_t slots = header->slots.used, held = 0, probing = 0;
        scribble_links(&dice, &segment->slot_table);
        scribble_links(&dice, &segment->holder_table);
        scribble_links(&dice, &segment->waiter_table);
        scribble_links(&dice, &segment->account_limit_table);
        scribble_links(&dice, &segment->names.table);
        scribble_links(&dice, &segment->clients.by_digest);
        scribble_links(&dice, &segment->clients.by_name);
        scribble_links(&dice, &segment->queue_table);
        scribble(&dice, &header->queues.used, sizeof(header->queues.used));
        scribble(&dice, segment->queues, APIPOOL_QUEUES_MAX * sizeof(*segment->queues));
        scribble(&dice, &header->account_limits_until, sizeof(header->account_limits_until));
        scribble(&dice, header->arena.free, sizeof(header->arena.free));
        scribble(&dice, header->arena.count, sizeof(header->arena.count));
        scribble(&dice, segment->marks, header->arena.top / APIPOOL_ARENA_BLOCK);
        scribble(&dice, segment->names.used, 64 * sizeof(*segment->names.used));
        for (apr_uint32_t i = 0; i < header->upstreams_used; i++) {
            apipool_upstream_t *u = &segment->upstreams[i];
            scribble(&dice, &u->size, sizeof(u->size));
            scribble(&dice, &u->spare, sizeof(u->spare));
            scribble(&dice, &u->usable, 4 * sizeof(u->usable));
            scribble(&dice, &u->rows, sizeof(u->rows));
            for (int model_slot = 0; model_slot < APIPOOL_MODEL_SLOTS; model_slot++) {
                scribble(&dice, &u->model_slots[model_slot].waiting,
                         sizeof(u->model_slots[model_slot].waiting));
            }
        }
        for (apr_uint32_t i = 0; i < slots; i++) {
            apipool_slot_t *slot = &segment->slots[i];
            for (int model_slot = 0; model_slot < APIPOOL_MODEL_SLOTS; model_slot++) {
                slot->place[model_slot] =
                    slot->place[model_slot] == APIPOOL_NONE ? APIPOOL_NONE : draw(&dice, 0xffffff);
            }
            scribble(&dice, &slot->in_flight, sizeof(slot->in_flight));
            slot->heap = (unsigned char)draw(&dice, 256);
            slot->usable = (unsigned char)draw(&dice, 2);
            slot->held = (unsigned char)draw(&dice, 2);
            slot->proving = (unsigned char)draw(&dice, 2);
            slot->probing = (unsigned char)draw(&dice, 2);
            slot->list_index = draw(&dice, 3) ? draw(&dice, 100) : 0xffffff;
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
        assert_null(consistency_of(segment));
        assert_int_equal(close_world(&state), 0);
    }
}

static void cooldowns_and_places_in_line_outlast_a_repair(void **state)
{
    apr_uint32_t waiters[3];
    apipool_lend_request_t request = want(APIPOOL_STRATEGY_FILL_FIRST);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(
            apipool_pool_enter_queue(segment, request.pool, request.waits_for, &waiters[i]),
            APR_SUCCESS);
    }
    assert_int_equal(apipool_pool_leave_queue(segment, waiters[1]), APR_SUCCESS);
    assert_int_equal(acquire_for(7, NOW), APIPOOL_ACQUIRED);
    apr_uint32_t slot = lease.slot, list_index = segment->slots[slot].list_index;
    report(APIPOOL_RULE_RATE_LIMIT, NOW + SEC(60), NOW);
    assert_int_equal(acquire_for(8, NOW), APIPOOL_ACQUIRED);
    report_limit(APIPOOL_SCOPE_KEY, NOW + SEC(90), NOW);
    apr_uint32_t whole = lease.slot;

    check_repairs(KEYS);
    apr_uint32_t model_slot = apipool_members_model_slot_locked(segment, upstream_a, 7);
    assert_int_not_equal(model_slot, 0);
    assert_int_not_equal(segment->slots[slot].place[model_slot], APIPOOL_NONE);
    assert_int_equal(segment->slots[slot].until[model_slot], NOW + SEC(60));
    assert_int_equal(segment->slots[slot].list_index, list_index);
    assert_int_equal(segment->slots[whole].state, APIPOOL_STATE_COOLING);
    assert_int_equal(segment->slots[whole].until[0], NOW + SEC(90));
    request.waiter = waiters[2];
    assert_int_equal(acquire_request(&request, NOW), APIPOOL_QUEUED);
    request.waiter = waiters[0];
    assert_int_equal(acquire_request(&request, NOW), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_SUCCESS, 0, NOW);
}

static void a_key_that_makes_no_sense_is_taken_out(void **state)
{
    apipool_slot_t *slot = long_slot();
    segment->slots[0].state = (apipool_state_e)99;
    slot->pool = 999;
    segment->slots[slot == &segment->slots[1] ? 2 : 1].text_off = 0xffffffff00;
    check_repairs(KEYS);
    assert_int_equal(segment->header->slots.linked, KEYS - 3);
    assert_int_equal(slot->id, 0);
    assert_int_equal(slot->secret_len, 0);
    assert_int_equal(segment->header->store.lost, 1);
}

static void a_client_that_makes_no_sense_is_taken_out(void **state)
{
    apipool_client_image_t image = {.terms = {.enabled = 1, .lists_len = 3}};
    for (int i = 0; i < 4; i++) {
        image.name[0] = (char)('a' + i);
        image.digest[0] = (unsigned char)i;
        assert_int_equal(apipool_client_add(segment, &image), APR_SUCCESS);
    }
    memset(segment->clients.slots[0].name, 'c', APIPOOL_CLIENT_NAME_MAX);
    segment->clients.slots[2].terms[0].lists_len = 0xfffffff0;
    check_repairs(KEYS);
    assert_int_equal(segment->clients.head->by_digest.linked, 2);
    assert_int_equal(segment->header->store.lost, 1);
}

static void without_memory_the_lock_is_not_given(void **state)
{
    apipool_arena_t arena = segment->header->arena;
    segment->header->inside = 1;
    segment->header->arena.size = segment->header->arena.top = APIPOOL_ARENA_BLOCK;
    assert_int_equal(apipool_segment_lock(segment), APR_EGENERAL);
    assert_int_equal(apipool_segment_repairs(segment), 0);
    segment->header->arena = arena;
    assert_int_equal(apipool_segment_lock(segment), APR_SUCCESS);
    assert_int_equal(apipool_segment_repairs(segment), 1);
    apipool_segment_unlock(segment);
    check_whole("with memory");
}

#define WORLD(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(damage_of_each_kind_is_noticed_and_repaired),
    cmocka_unit_test(whatever_is_found_keys_and_leases_are_left),
    WORLD(cooldowns_and_places_in_line_outlast_a_repair),
    WORLD(a_key_that_makes_no_sense_is_taken_out),
    WORLD(a_client_that_makes_no_sense_is_taken_out),
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
