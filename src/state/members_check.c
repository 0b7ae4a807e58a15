/* SPDX-License-Identifier: Apache-2.0
 * Says what is wrong with the members of groups, and with the arena that their arrays lie in. */
#include <stdlib.h>

#include "arena.h"
#include "members_parts.h"
#include "repair.h"

/* What a slot's state asks for. */
static int is_full(const apipool_slot_t *slot)
{
    return slot->state == APIPOOL_STATE_ACTIVE && slot->concurrency &&
           slot->in_flight >= slot->concurrency;
}

static int is_usable(const apipool_slot_t *slot)
{
    return slot->state == APIPOOL_STATE_ACTIVE && !is_full(slot);
}

static apr_uint32_t heap_for(const apipool_slot_t *slot)
{
    int unproved = slot->state == APIPOOL_STATE_HALF_OPEN && !slot->proving;
    int waits_for_probe =
        apipool_health_is_recovering(slot->state) && !slot->proving && !slot->probing;
    return slot->state == APIPOOL_STATE_COOLING ? APIPOOL_IN_COOLING
           : unproved                           ? APIPOOL_IN_HALF_OPEN
           : waits_for_probe                    ? APIPOOL_IN_RECOVERING
                                                : APIPOOL_IN_NONE;
}

static int is_block(const apipool_segment_t *segment, apipool_offset_t block, apr_size_t bytes)
{
    const apipool_arena_t *arena = &segment->header->arena;
    return block && block % APIPOOL_ARENA_BLOCK == 0 && arena->top <= arena->size &&
           block < arena->top && bytes <= arena->top - block;
}

static const char *check_bits(apipool_bits_t bits)
{
    for (apr_uint32_t word = 0; word < bits.size / 64; word++) {
        if ((bits.summary[word / 64] >> (word % 64) & 1) != (bits.words[word] != 0)) {
            return "the summary of a set is wrong";
        }
    }
    return NULL;
}

/* Whether there is memory where a group's arrays should be. */
static const char *check_arrays(const apipool_segment_t *segment, const apipool_group_t *g)
{
    apr_size_t bytes = g->size * sizeof(apr_uint32_t);
    if (g->size % 64 || g->size / 2 > segment->header->capacity + 64 || g->ordinals > g->size) {
        return "a group has more ordinals than room";
    }
    if (g->size && (!is_block(segment, g->members, bytes) || !is_block(segment, g->heaps, bytes) ||
                    !is_block(segment, g->due, bytes) || !g->lanes[0].clear)) {
        return "a group has no arrays";
    }
    if (g->recovering > g->size || g->half_open > g->size) {
        return "a heap has more slots than room";
    }
    for (apr_uint32_t lane = 0; lane < APIPOOL_LANES; lane++) {
        const apipool_lane_t *l = &g->lanes[lane];
        if ((l->clear && !is_block(segment, l->clear, apipool_bits_bytes(g->size))) ||
            (l->room && !is_block(segment, l->heap, l->room * sizeof(apr_uint32_t)))) {
            return "a lane lies nowhere";
        }
        if (l->waiting > (lane ? l->room : g->size - g->half_open)) {
            return "a heap has more slots than room";
        }
        if (lane && !l->clear && (l->model || l->waiting)) {
            return "a model has a lane that does not exist";
        }
        const char *fault = l->clear ? check_bits(apipool_members_bits(segment, g, lane)) : NULL;
        if (fault) {
            return fault;
        }
    }
    return NULL;
}

/* One heap: its slots know their place, belong there, and wake in order. */
static const char *check_heap(const apipool_segment_t *segment, apr_uint32_t group,
                              const apipool_heap_t *heap, apr_uint32_t which)
{
    for (apr_uint32_t i = 0; i < *heap->count; i++) {
        apr_uint32_t index = apipool_heap_at(heap, i);
        if (index >= segment->header->slots_used) {
            return "a heap has a slot that does not exist";
        }
        const apipool_slot_t *slot = &segment->slots[index];
        const apipool_slot_t *parent = &segment->slots[apipool_heap_at(heap, i ? (i - 1) / 2 : 0)];
        if (slot->group != group || slot->place[heap->lane] != i) {
            return "a slot of a heap does not know its place";
        }
        if (heap->lane == 0 && slot->heap != which) {
            return "a slot does not know its heap";
        }
        if (parent->until[heap->lane] > slot->until[heap->lane]) {
            return "a heap is out of order";
        }
    }
    return NULL;
}

/* What a group counts, counted anew. */
typedef struct {
    apr_uint32_t members, usable, held_up, half_open, recovering, waiting[APIPOOL_LANES];
} counts_t;

static const char *check_lanes(const apipool_segment_t *segment, const apipool_group_t *g,
                               const apipool_slot_t *slot, counts_t *counts)
{
    for (apr_uint32_t lane = 1; lane < APIPOOL_LANES; lane++) {
        int in_heap = slot->place[lane] != APIPOOL_NONE;
        if (in_heap && (!g->lanes[lane].clear || !g->lanes[lane].model)) {
            return "a slot cools in a lane that does not exist";
        }
        if (g->lanes[lane].clear &&
            apipool_bits_has(apipool_members_bits(segment, g, lane), slot->ordinal) == in_heap) {
            return "a bit of a lane is wrong";
        }
        counts->waiting[lane] += (apr_uint32_t)in_heap;
    }
    return NULL;
}

static const char *check_member(const apipool_segment_t *segment, apr_uint32_t index,
                                counts_t *counts)
{
    const apipool_slot_t *slot = &segment->slots[index];
    const apipool_group_t *g = &segment->groups[slot->group];
    const apr_uint32_t *members = apipool_arena_at(segment, g->members);
    int proving = slot->state == APIPOOL_STATE_HALF_OPEN && slot->proving;

    if (slot->ordinal >= g->ordinals || members[slot->ordinal] != index) {
        return "a slot is not where its ordinal says";
    }
    if (apipool_bits_has(apipool_members_bits(segment, g, 0), slot->ordinal) != is_usable(slot)) {
        return "not the usable slots are in rotation";
    }
    if (slot->usable != is_usable(slot) || slot->held != (is_full(slot) || proving)) {
        return "a slot does not know what it counts as";
    }
    if (slot->heap != heap_for(slot) ||
        (slot->heap == APIPOOL_IN_NONE) != (slot->place[0] == APIPOOL_NONE)) {
        return "a slot is not in the heap that its state asks for";
    }
    counts->members++;
    counts->usable += slot->usable;
    counts->held_up += slot->held;
    counts->half_open += slot->heap == APIPOOL_IN_HALF_OPEN;
    counts->recovering += slot->heap == APIPOOL_IN_RECOVERING;
    counts->waiting[0] += slot->heap == APIPOOL_IN_COOLING;
    return check_lanes(segment, g, slot, counts);
}

/* The ordinals: a member's or spare, each once. */
static const char *check_spare(const apipool_segment_t *segment, const apipool_group_t *g,
                               apr_uint32_t members)
{
    const apr_uint32_t *next = apipool_arena_at(segment, g->members);
    apr_uint32_t spare = 0;
    for (apr_uint32_t i = g->spare; i != APIPOOL_NONE; i = next[i]) {
        if (i >= g->ordinals || ++spare > g->ordinals) {
            return "the chain of spare ordinals is broken";
        }
    }
    return members + spare == g->ordinals ? NULL : "an ordinal is nobody's";
}

static const char *check_group(const apipool_segment_t *segment, apr_uint32_t group,
                               const counts_t *counts)
{
    apipool_group_t *g = &segment->groups[group];
    const char *fault = check_spare(segment, g, counts->members);
    for (apr_uint32_t lane = 0; !fault && lane < APIPOOL_LANES; lane++) {
        apipool_heap_t heap = apipool_members_cooling(segment, g, lane);
        fault = check_heap(segment, group, &heap, APIPOOL_IN_COOLING);
        if (!fault && counts->waiting[lane] != g->lanes[lane].waiting) {
            fault = "a lane counts those who wait wrongly";
        }
    }
    if (!fault) {
        apipool_heap_t heap = apipool_members_half_open(segment, g);
        fault = check_heap(segment, group, &heap, APIPOOL_IN_HALF_OPEN);
    }
    if (!fault) {
        apipool_heap_t heap = apipool_members_recovering(segment, g);
        fault = check_heap(segment, group, &heap, APIPOOL_IN_RECOVERING);
    }
    if (!fault && (counts->usable != g->usable || counts->held_up != g->held_up ||
                   counts->half_open != g->half_open || counts->recovering != g->recovering)) {
        fault = "a group counts its members wrongly";
    }
    return fault;
}

const char *apipool_repair_check_members_locked(const apipool_segment_t *segment)
{
    const apipool_header_t *header = segment->header;
    counts_t *counts = calloc(APIPOOL_GROUPS_MAX, sizeof(*counts));
    const char *fault = counts ? NULL : "no memory";

    for (apr_uint32_t i = 0; !fault && i < header->groups_used; i++) {
        fault = check_arrays(segment, &segment->groups[i]);
    }
    for (apr_uint32_t i = 0; !fault && i < header->slots_used; i++) {
        if (!segment->slots[i].id) {
            fault = apipool_members_has_locked(&segment->slots[i]) ? "a removed key is in a group"
                                                                   : NULL;
            continue;
        }
        apr_uint32_t group = segment->slots[i].group;
        fault = group < header->groups_used && segment->slots[i].pool == segment->groups[group].pool
                    ? check_member(segment, i, &counts[group])
                    : "a slot is in a group of another pool";
    }
    for (apr_uint32_t i = 0; !fault && i < header->groups_used; i++) {
        fault = check_group(segment, i, &counts[i]);
    }
    free(counts);
    return fault;
}
