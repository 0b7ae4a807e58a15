/* SPDX-License-Identifier: Apache-2.0
 * A segment with its lock for tests of src/state, and what must hold of it at any time. */
#ifndef APIPOOL_UNIT_FIXTURE_H
#define APIPOOL_UNIT_FIXTURE_H

#include <apr_general.h>
#include <apr_global_mutex.h>
#include <stdlib.h>

#include "bits.h"
#include "health.h"
#include "layout.h"
#include "members.h"
#include "segment.h"

typedef struct {
    apr_pool_t *pool;
    apr_shm_t *shm;
    apr_global_mutex_t *mutex;
    apipool_segment_t *segment;
} fixture_t;

/* Owned by the fixture; asserts that everything could be had. */
static inline fixture_t *fixture_open(apr_uint32_t capacity)
{
    fixture_t *f = malloc(sizeof(*f));
    assert_non_null(f);
    assert_int_equal(apr_pool_create(&f->pool, NULL), APR_SUCCESS);
    assert_int_equal(apr_global_mutex_create(&f->mutex, NULL, APR_LOCK_DEFAULT, f->pool),
                     APR_SUCCESS);
    static const unsigned char secret[APIPOOL_SECRET_SIZE] = {1};
    assert_int_equal(apipool_segment_create(&f->shm, capacity, 16, secret, f->pool), APR_SUCCESS);
    assert_int_equal(apipool_segment_view(&f->segment, f->shm, f->mutex, f->pool), APR_SUCCESS);
    return f;
}

static inline void fixture_close(fixture_t *f)
{
    apr_pool_destroy(f->pool);
    free(f);
}

/* What a slot's state asks for. */
static inline int should_be_full(const apipool_slot_t *slot)
{
    return slot->state == APIPOOL_STATE_ACTIVE && slot->concurrency &&
           slot->in_flight >= slot->concurrency;
}

static inline int should_be_usable(const apipool_slot_t *slot)
{
    return slot->state == APIPOOL_STATE_ACTIVE && !should_be_full(slot);
}

static inline int should_be_proving(const apipool_slot_t *slot)
{
    return slot->state == APIPOOL_STATE_HALF_OPEN && slot->proving;
}

static inline int should_be_recovering(const apipool_slot_t *slot)
{
    return !slot->proving && !slot->probing && apipool_health_is_recovering(slot->state);
}

static inline int should_be_unproved(const apipool_slot_t *slot)
{
    return !slot->proving && slot->state == APIPOOL_STATE_HALF_OPEN;
}

enum { COOLING_HEAP = 1, HALF_OPEN_HEAP, DUE_HEAP };

static inline const char *broken_bits(apipool_bits_t bits)
{
    for (apr_uint32_t word = 0; word < bits.size / 64; word++) {
        if ((bits.summary[word / 64] >> (word % 64) & 1) != (bits.words[word] != 0)) {
            return "the summary of a set is wrong";
        }
    }
    return NULL;
}

/* One heap: its slots know their place, belong there, and wake in order. */
static inline const char *broken_heap(const apipool_segment_t *segment, apr_uint32_t group,
                                      apr_uint32_t lane, apr_uint32_t which)
{
    const apipool_group_t *g = &segment->groups[group];
    apr_uint32_t count = which == DUE_HEAP         ? g->recovering
                         : which == HALF_OPEN_HEAP ? g->half_open
                                                   : g->lanes[lane].waiting;
    int from_end = which == HALF_OPEN_HEAP;
    apr_uint32_t size = lane ? g->lanes[lane].room : g->size;
    const apr_uint32_t *at = count ? apr_rmm_addr_get(segment->rmm, lane ? g->lanes[lane].heap
                                                                    : which == DUE_HEAP ? g->due
                                                                                        : g->heaps)
                                   : NULL;
    if (count > size) {
        return "a heap has more slots than room";
    }
    for (apr_uint32_t i = 0; i < count; i++) {
        apr_uint32_t up = i ? (i - 1) / 2 : 0;
        const apipool_slot_t *slot = &segment->slots[at[from_end ? size - 1 - i : i]];
        const apipool_slot_t *parent = &segment->slots[at[from_end ? size - 1 - up : up]];
        if (slot->group != group || slot->place[lane] != i) {
            return "a slot of a heap does not know its place";
        }
        if (lane == 0 && slot->heap != which) {
            return "a slot does not know its heap";
        }
        if (parent->until[lane] > slot->until[lane]) {
            return "a heap is out of order";
        }
    }
    return NULL;
}

/* What a group counts, counted anew. */
typedef struct {
    apr_uint32_t usable, held_up, half_open, recovering, waiting[APIPOOL_LANES];
} counts_t;

static inline const char *broken_member(const apipool_segment_t *segment, apr_uint32_t group,
                                        const apipool_slot_t *slot, counts_t *counts)
{
    const apipool_group_t *g = &segment->groups[group];
    for (apr_uint32_t lane = 0; lane < APIPOOL_LANES; lane++) {
        int in_heap = slot->place[lane] != APIPOOL_NONE;
        if (!g->lanes[lane].clear) {
            if (in_heap) {
                return "a slot cools in a lane that does not exist";
            }
            continue;
        }
        apipool_bits_t bits =
            apipool_bits_view(apr_rmm_addr_get(segment->rmm, g->lanes[lane].clear), g->size);
        int clear = apipool_bits_has(bits, slot->ordinal);
        if (clear != (lane ? !in_heap : should_be_usable(slot))) {
            return lane ? "a bit of a lane is wrong" : "not the usable slots are in rotation";
        }
        if (lane && in_heap && !g->lanes[lane].model) {
            return "a slot cools in a lane without a model";
        }
        counts->waiting[lane] += lane ? in_heap : slot->state == APIPOOL_STATE_COOLING;
    }
    if (slot->usable != (apr_uint32_t)should_be_usable(slot) ||
        slot->held != (apr_uint32_t)(should_be_full(slot) || should_be_proving(slot))) {
        return "a slot does not know what it counts as";
    }
    apr_uint32_t heap = slot->state == APIPOOL_STATE_COOLING ? COOLING_HEAP
                        : should_be_unproved(slot)           ? HALF_OPEN_HEAP
                        : should_be_recovering(slot)         ? DUE_HEAP
                                                             : 0;
    if (slot->heap != heap || (heap == 0) != (slot->place[0] == APIPOOL_NONE)) {
        return "a slot is not in the heap that its state asks for";
    }
    counts->usable += slot->usable;
    counts->held_up += slot->held;
    counts->half_open += heap == HALF_OPEN_HEAP;
    counts->recovering += heap == DUE_HEAP;
    return NULL;
}

/* The ordinals: a member's or spare, each once. */
static inline const char *broken_ordinals(const apipool_segment_t *segment, apr_uint32_t group,
                                          unsigned char *seen, counts_t *counts)
{
    const apipool_group_t *g = &segment->groups[group];
    const apr_uint32_t *members = g->size ? apr_rmm_addr_get(segment->rmm, g->members) : NULL;
    apr_uint32_t spare = 0, held = 0;
    const char *fault = NULL;

    for (apr_uint32_t i = g->spare; i != APIPOOL_NONE; i = members[i]) {
        if (i >= g->ordinals || ++spare > g->ordinals) {
            return "the chain of spare ordinals is broken";
        }
    }
    for (apr_uint32_t i = 0; !fault && i < segment->header->slots_used; i++) {
        const apipool_slot_t *slot = &segment->slots[i];
        if (slot->group != group) {
            continue;
        }
        held++;
        seen[i]++;
        if (slot->ordinal >= g->ordinals || members[slot->ordinal] != i) {
            return "a slot is not where its ordinal says";
        }
        fault = slot->pool == g->pool ? broken_member(segment, group, slot, counts)
                                      : "a slot is in a group of another pool";
    }
    return fault ? fault : held + spare == g->ordinals ? NULL : "an ordinal is nobody's";
}

static inline const char *broken_group(const apipool_segment_t *segment, apr_uint32_t group,
                                       unsigned char *seen)
{
    const apipool_group_t *g = &segment->groups[group];
    counts_t counts = {0};
    const char *fault = g->ordinals <= g->size ? NULL : "a group has more ordinals than room";

    if (!fault) {
        fault = broken_ordinals(segment, group, seen, &counts);
    }
    for (apr_uint32_t lane = 0; !fault && lane < APIPOOL_LANES; lane++) {
        fault = broken_heap(segment, group, lane, COOLING_HEAP);
        if (!fault && counts.waiting[lane] != g->lanes[lane].waiting) {
            fault = "a lane counts those who wait wrongly";
        }
        if (!fault && g->lanes[lane].clear) {
            fault = broken_bits(
                apipool_bits_view(apr_rmm_addr_get(segment->rmm, g->lanes[lane].clear), g->size));
        }
    }
    if (!fault) {
        fault = broken_heap(segment, group, 0, HALF_OPEN_HEAP);
    }
    if (!fault) {
        fault = broken_heap(segment, group, 0, DUE_HEAP);
    }
    if (!fault && (counts.usable != g->usable || counts.held_up != g->held_up ||
                   counts.half_open != g->half_open || counts.recovering != g->recovering)) {
        fault = "a group counts its members wrongly";
    }
    return fault;
}

/* What is wrong with the groups' arrays, or NULL; with the lock held, or while no one else runs. */
static inline const char *broken_members(const apipool_segment_t *segment)
{
    unsigned char *seen = calloc(segment->header->capacity, 1);
    const char *fault = seen ? NULL : "no memory";
    for (apr_uint32_t g = 0; !fault && g < segment->header->groups_used; g++) {
        fault = broken_group(segment, g, seen);
    }
    for (apr_uint32_t i = 0; !fault && i < segment->header->slots_used; i++) {
        fault = seen[i] == 1 ? NULL : "a slot is not in exactly one place";
    }
    free(seen);
    return fault;
}

/* What is wrong with the leases: each slot has as many in flight as name it. */
static inline const char *broken_holders(const apipool_segment_t *segment)
{
    const apipool_header_t *header = segment->header;
    apr_uint32_t *held = calloc(header->capacity, sizeof(*held));
    apr_uint32_t *proving = calloc(header->capacity, sizeof(*proving));
    apr_uint32_t *probing = calloc(header->capacity, sizeof(*probing));
    apr_uint32_t taken = 0, spare = 0;
    const char *fault = held && proving && probing ? NULL : "no memory";

    for (apr_uint32_t i = 0; !fault && i < header->holders_used; i++) {
        const apipool_holder_t *holder = &segment->holders[i];
        if (holder->process) {
            taken++;
            held[holder->slot] += holder->purpose != APIPOOL_FOR_PROBE;
            proving[holder->slot] += holder->purpose == APIPOOL_FOR_PROOF;
            probing[holder->slot] += holder->purpose == APIPOOL_FOR_PROBE;
        }
    }
    for (apr_uint32_t i = header->holders_free; !fault && i != APIPOOL_NONE;
         i = segment->holders[i].slot) {
        if (segment->holders[i].process || ++spare > header->holders_used) {
            fault = "the chain of free holders is broken";
        }
    }
    if (!fault && taken + spare != header->holders_used) {
        fault = "a holder is lost";
    }
    for (apr_uint32_t i = 0; !fault && i < header->slots_used; i++) {
        const apipool_slot_t *slot = &segment->slots[i];
        if (slot->in_flight != held[i]) {
            fault = "a slot has not as many requests in flight as holders";
        }
        else if (proving[i] > 1 || slot->proving != proving[i]) {
            fault = "a slot is not proved by one request at most";
        }
        else if (probing[i] > 1 || slot->probing != probing[i]) {
            fault = "a slot is not probed once at most";
        }
    }
    free(held);
    free(proving);
    free(probing);
    return fault;
}

/* What is wrong with the queues. */
static inline const char *broken_queues(const apipool_segment_t *segment)
{
    apr_uint32_t waiting = 0, taken = 0, spare = 0;
    for (apr_uint32_t q = 0; q < APIPOOL_QUEUES_MAX; q++) {
        apr_uint32_t last = APIPOOL_NONE;
        for (apr_uint32_t i = segment->queues[q].first; i != APIPOOL_NONE;
             i = segment->waiters[i].next) {
            const apipool_waiter_t *waiter = &segment->waiters[i];
            if (!waiter->process || waiter->queue != q || waiter->prev != last ||
                ++waiting > APIPOOL_WAITERS_MAX ||
                (last != APIPOOL_NONE && segment->waiters[last].ticket >= waiter->ticket)) {
                return "a queue is broken";
            }
            last = i;
        }
        if (segment->queues[q].last != last) {
            return "a queue does not know its end";
        }
    }
    for (apr_uint32_t i = 0; i < segment->header->waiters_used; i++) {
        taken += segment->waiters[i].process != 0;
    }
    for (apr_uint32_t i = segment->header->waiters_free; i != APIPOOL_NONE;
         i = segment->waiters[i].next) {
        if (++spare > segment->header->waiters_used) {
            return "the chain of free waiters is broken";
        }
    }
    return taken == waiting && taken + spare == segment->header->waiters_used ? NULL
                                                                              : "a waiter is lost";
}

/* What is wrong with anything, or NULL; with the lock held, or while no one else runs. */
static inline const char *broken_invariant(const apipool_segment_t *segment)
{
    const char *fault = broken_members(segment);
    fault = fault ? fault : broken_holders(segment);
    return fault ? fault : broken_queues(segment);
}

/* Numbers that are the same in every run: xorshift32. */
static inline apr_uint32_t next_random(apr_uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

#endif
