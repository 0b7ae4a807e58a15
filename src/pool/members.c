/* SPDX-License-Identifier: Apache-2.0
 * Who of a group is in rotation, who waits for the clock, for all models and for each of them. */
#include "members.h"

#include <string.h>

#include "fault.h"
#include "health.h"

#define FIRST_SIZE 64
#define WAKE_BATCH 64
#define WALK_MAX   64

/* --- Heaps ------------------------------------------------------------------------------------- */

static void put_at(const apipool_heap_t *heap, apr_uint32_t place, apr_uint32_t index)
{
    heap->at[place] = index;
    heap->slots[index].place[heap->model_slot] = place;
}

static apr_time_t time_at(const apipool_heap_t *heap, apr_uint32_t place)
{
    return heap->slots[heap->at[place]].until[heap->model_slot];
}

static void sift_up(const apipool_heap_t *heap, apr_uint32_t place)
{
    apr_uint32_t index = heap->at[place];
    apr_time_t time = time_at(heap, place);
    while (place > 0 && time_at(heap, (place - 1) / 2) > time) {
        put_at(heap, place, heap->at[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    put_at(heap, place, index);
}

static void sift_down(const apipool_heap_t *heap, apr_uint32_t place)
{
    apr_uint32_t index = heap->at[place];
    apr_time_t time = time_at(heap, place);
    for (;;) {
        apr_uint32_t child = 2 * place + 1;
        if (child + 1 < *heap->count && time_at(heap, child + 1) < time_at(heap, child)) {
            child++;
        }
        if (child >= *heap->count || time_at(heap, child) >= time) {
            break;
        }
        put_at(heap, place, heap->at[child]);
        place = child;
    }
    put_at(heap, place, index);
}

static void push(const apipool_heap_t *heap, apr_uint32_t index)
{
    put_at(heap, (*heap->count)++, index);
    sift_up(heap, *heap->count - 1);
}

static void take_out(const apipool_heap_t *heap, apr_uint32_t index)
{
    apr_uint32_t place = heap->slots[index].place[heap->model_slot];
    apr_uint32_t last = heap->at[--*heap->count];
    heap->slots[index].place[heap->model_slot] = APIPOOL_NONE;
    APIPOOL_FAULT("heap-hole");
    if (place < *heap->count) {
        put_at(heap, place, last);
        sift_up(heap, place);
        sift_down(heap, heap->slots[last].place[heap->model_slot]);
    }
}

/* --- Memory ------------------------------------------------------------------------------------ */

apr_size_t apipool_members_bytes(apr_uint32_t size)
{
    return (apr_size_t)size * APIPOOL_ROWS * sizeof(apr_uint32_t) +
           APIPOOL_MODEL_SLOTS * apipool_bitset_bytes(size);
}

apipool_bitset_t apipool_members_bits(const apipool_segment_t *segment, const apipool_upstream_t *g,
                                      apr_uint32_t model_slot)
{
    char *sets = (char *)apipool_members_row(segment, g, APIPOOL_ROWS);
    return apipool_bitset_view(sets + model_slot * apipool_bitset_bytes(g->size), g->size);
}

apipool_heap_t apipool_members_heap(const apipool_segment_t *segment, apipool_upstream_t *g,
                                    apr_uint32_t which)
{
    apr_uint32_t model_slot = which < APIPOOL_IN_HALF_OPEN ? which - APIPOOL_IN_COOLING : 0;
    apr_uint32_t *count = which == APIPOOL_IN_HALF_OPEN    ? &g->half_open
                          : which == APIPOOL_IN_RECOVERING ? &g->recovering
                                                           : &g->model_slots[model_slot].waiting;
    return (apipool_heap_t){segment->slots, apipool_members_row(segment, g, which), count,
                            model_slot};
}

/* Moves all into a larger block. Of model slot 0 nobody is clear before settle says so, of the others
 * everybody is. Returns 0 when there is not enough memory for it. */
static int enlarge(apipool_segment_t *segment, apipool_upstream_t *g, apr_uint32_t size)
{
    apipool_upstream_t old = *g;
    apipool_offset_t rows = apipool_arena_get_locked(segment, apipool_members_bytes(size));
    if (!rows) {
        return 0;
    }
    g->rows = rows;
    APIPOOL_FAULT("reserve-half-swapped");
    g->size = size;
    for (apr_uint32_t which = 0; which < APIPOOL_ROWS; which++) {
        apr_uint32_t count =
            which ? *apipool_members_heap(segment, &old, which).count : old.ordinals;
        memcpy(apipool_members_row(segment, g, which), apipool_members_row(segment, &old, which),
               count * sizeof(apr_uint32_t));
    }
    for (apr_uint32_t model_slot = 0; model_slot < APIPOOL_MODEL_SLOTS; model_slot++) {
        apipool_bitset_t bits = apipool_members_bits(segment, g, model_slot);
        memcpy(bits.words, apipool_members_bits(segment, &old, model_slot).words, old.size / 8);
        apipool_bitset_fill(bits, old.size, model_slot != 0);
    }
    apipool_arena_free_locked(segment, old.rows, apipool_members_bytes(old.size));
    return 1;
}

int apipool_members_reserve_many_locked(apipool_segment_t *segment, apr_uint32_t group,
                                        apr_uint32_t members)
{
    apipool_upstream_t *g = &segment->groups[group];
    apr_size_t size = g->size ? g->size : FIRST_SIZE;
    while (size < (apr_size_t)g->ordinals + members) {
        size *= 2;
    }
    return size == g->size || enlarge(segment, g, (apr_uint32_t)size);
}

int apipool_members_reserve_locked(apipool_segment_t *segment, apr_uint32_t group)
{
    return segment->groups[group].spare != APIPOOL_NONE ||
           apipool_members_reserve_many_locked(segment, group, 1);
}

/* Where a slot stands as far as all models are concerned: whether it is usable, or would be but for what it
 * has in flight, and in which heap. */
static void stand(apipool_segment_t *segment, apr_uint32_t index, int usable, int held,
                  apr_uint32_t which)
{
    apipool_slot_t *slot = &segment->slots[index];
    apipool_upstream_t *g = &segment->groups[slot->group];
    if (slot->usable != usable) {
        apipool_bitset_put(apipool_members_bits(segment, g, 0), slot->ordinal, usable);
    }
    g->usable += (apr_uint32_t)usable - slot->usable;
    g->held_up += (apr_uint32_t)held - slot->held;
    slot->usable = (unsigned char)usable;
    slot->held = (unsigned char)held;
    if (slot->heap != APIPOOL_IN_NONE) {
        apipool_heap_t heap = apipool_members_heap(segment, g, slot->heap);
        take_out(&heap, index);
    }
    slot->heap = (unsigned char)which;
    APIPOOL_FAULT("settle-nowhere");
    if (which != APIPOOL_IN_NONE) {
        apipool_heap_t heap = apipool_members_heap(segment, g, which);
        push(&heap, index);
    }
}

/* Lets a slot begin or cease to cool in a model slot of a model; it says until when. */
static void set_model_slot(apipool_segment_t *segment, apr_uint32_t index, apr_uint32_t model_slot,
                           int cools)
{
    const apipool_slot_t *slot = &segment->slots[index];
    apipool_upstream_t *g = &segment->groups[slot->group];
    apipool_heap_t heap = apipool_members_heap(segment, g, APIPOOL_IN_COOLING + model_slot);
    (cools ? push : take_out)(&heap, index);
    apipool_bitset_put(apipool_members_bits(segment, g, model_slot), slot->ordinal, !cools);
}

void apipool_members_add_locked(apipool_segment_t *segment, apr_uint32_t group, apr_uint32_t index)
{
    apipool_upstream_t *g = &segment->groups[group];
    apipool_slot_t *slot = &segment->slots[index];
    apr_uint32_t *members = apipool_members_row(segment, g, 0);

    if (g->spare != APIPOOL_NONE) {
        slot->ordinal = g->spare;
        g->spare = members[slot->ordinal];
    }
    else {
        slot->ordinal = g->ordinals++;
    }
    APIPOOL_FAULT("member-half-added");
    members[slot->ordinal] = index;
    g->members++;
    slot->group = group;
    slot->place[0] = APIPOOL_NONE;
    slot->heap = APIPOOL_IN_NONE;
    slot->usable = slot->held = 0;
    apipool_members_settle_locked(segment, index);
    for (apr_uint32_t model_slot = 1; model_slot < APIPOOL_MODEL_SLOTS; model_slot++) {
        if (slot->place[model_slot] != APIPOOL_NONE) {
            set_model_slot(segment, index, model_slot, 1);
        }
    }
}

void apipool_members_warm_locked(apipool_segment_t *segment, apr_uint32_t index)
{
    for (apr_uint32_t model_slot = 1; model_slot < APIPOOL_MODEL_SLOTS; model_slot++) {
        if (segment->slots[index].place[model_slot] != APIPOOL_NONE) {
            set_model_slot(segment, index, model_slot, 0);
        }
    }
}

void apipool_members_remove_locked(apipool_segment_t *segment, apr_uint32_t index)
{
    apipool_slot_t *slot = &segment->slots[index];
    apipool_upstream_t *g = &segment->groups[slot->group];

    stand(segment, index, 0, 0, APIPOOL_IN_NONE);
    apipool_members_warm_locked(segment, index);
    apipool_members_row(segment, g, 0)[slot->ordinal] = g->spare;
    APIPOOL_FAULT("member-half-removed");
    g->spare = slot->ordinal;
    g->members--;
    slot->ordinal = APIPOOL_NONE;
}

/* The heap that a slot waits in. One that is lent to prove itself, or to a probe, waits for its return. */
static apr_uint32_t heap_for(const apipool_slot_t *slot)
{
    if (slot->state == APIPOOL_STATE_COOLING) {
        return APIPOOL_IN_COOLING;
    }
    if (slot->state == APIPOOL_STATE_HALF_OPEN) {
        return slot->proving ? APIPOOL_IN_NONE : APIPOOL_IN_HALF_OPEN;
    }
    return apipool_health_is_recovering(slot->state) && !slot->probing && !slot->proving
               ? APIPOOL_IN_RECOVERING
               : APIPOOL_IN_NONE;
}

void apipool_members_settle_locked(apipool_segment_t *segment, apr_uint32_t index)
{
    const apipool_slot_t *slot = &segment->slots[index];
    int active = slot->state == APIPOOL_STATE_ACTIVE;
    int full = active && slot->concurrency && slot->in_flight >= slot->concurrency;
    int proving = slot->state == APIPOOL_STATE_HALF_OPEN && slot->proving;

    if (slot->ordinal != APIPOOL_NONE) {
        stand(segment, index, active && !full, full || proving, heap_for(slot));
    }
}

apr_uint32_t apipool_members_model_slot_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                               apr_uint64_t model)
{
    const apipool_upstream_t *g = &segment->groups[group];
    for (apr_uint32_t model_slot = 1; model && model_slot < APIPOOL_MODEL_SLOT_OTHERS;
         model_slot++) {
        if (g->model_slots[model_slot].model == model && g->model_slots[model_slot].waiting) {
            return model_slot;
        }
    }
    return model && g->model_slots[APIPOOL_MODEL_SLOT_OTHERS].waiting ? APIPOOL_MODEL_SLOT_OTHERS
                                                                      : 0;
}

static void wake_model_slot(apipool_segment_t *segment, apipool_upstream_t *g,
                            apr_uint32_t model_slot, apr_time_t now)
{
    for (int i = 0; i < WAKE_BATCH && g->model_slots[model_slot].waiting; i++) {
        apr_uint32_t index = *apipool_members_row(segment, g, APIPOOL_IN_COOLING + model_slot);
        if (segment->slots[index].until[model_slot] > now) {
            break;
        }
        set_model_slot(segment, index, model_slot, 0);
    }
}

/* While the last model slot stands for other models, none of them gets one of its own: what cools there might
 * be forgotten. */
static apr_uint32_t model_slot_to_cool_in(apipool_segment_t *segment, apr_uint32_t group,
                                          apr_uint64_t model, apr_time_t now)
{
    apipool_upstream_t *g = &segment->groups[group];
    for (apr_uint32_t model_slot = 1; model_slot < APIPOOL_MODEL_SLOTS;
         model_slot++) { /* nobody may have asked for it since */
        wake_model_slot(segment, g, model_slot, now);
    }
    apr_uint32_t model_slot = apipool_members_model_slot_locked(segment, group, model);
    if (model_slot) {
        return model_slot;
    }
    for (model_slot = 1;
         model_slot < APIPOOL_MODEL_SLOT_OTHERS && g->model_slots[model_slot].waiting;
         model_slot++) {
    }
    g->model_slots[model_slot].model = model;
    return model_slot;
}

apr_uint32_t apipool_members_cool_locked(apipool_segment_t *segment, apr_uint32_t index,
                                         apr_uint64_t model, apr_time_t until, apr_time_t now)
{
    apipool_slot_t *slot = &segment->slots[index];
    apr_uint32_t model_slot = model_slot_to_cool_in(segment, slot->group, model, now);

    if (slot->place[model_slot] != APIPOOL_NONE) {
        if (slot->until[model_slot] >= until) {
            return model_slot;
        }
        set_model_slot(segment, index, model_slot, 0);
    }
    slot->until[model_slot] = until;
    set_model_slot(segment, index, model_slot, 1);
    return model_slot;
}

void apipool_members_wake_locked(apipool_segment_t *segment, apr_uint32_t group,
                                 apr_uint32_t model_slot, apr_time_t now)
{
    apipool_upstream_t *g = &segment->groups[group];
    for (int i = 0; i < WAKE_BATCH && g->model_slots[0].waiting; i++) {
        apr_uint32_t index = *apipool_members_row(segment, g, APIPOOL_IN_COOLING);
        apipool_slot_t *slot = &segment->slots[index];
        if (slot->until[0] > now) {
            break;
        }
        slot->state = apipool_health_next(slot->state, APIPOOL_EVENT_EXPIRED);
        apipool_members_settle_locked(segment, index);
    }
    if (model_slot) {
        wake_model_slot(segment, g, model_slot, now);
    }
}

apr_uint32_t apipool_members_due_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                        apr_time_t now)
{
    const apipool_upstream_t *g = &segment->groups[group];
    if (!g->recovering) {
        return APIPOOL_NONE;
    }
    apr_uint32_t index = *apipool_members_row(segment, g, APIPOOL_IN_RECOVERING);
    return segment->slots[index].until[0] <= now ? index : APIPOOL_NONE;
}

int apipool_members_unproved_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                    apr_uint32_t model_slot, apr_time_t now, apr_uint32_t *slots,
                                    int max)
{
    const apipool_upstream_t *g = &segment->groups[group];
    const apr_uint32_t *heap = apipool_members_row(segment, g, APIPOOL_IN_HALF_OPEN);
    int count = 0;
    for (apr_uint32_t place = 0; place < g->half_open && place < WALK_MAX && count < max; place++) {
        apr_uint32_t index = heap[place];
        const apipool_slot_t *slot = &segment->slots[index];
        if (place == 0 && slot->until[0] > now) {
            break;
        }
        if (slot->until[0] <= now && (!model_slot || slot->place[model_slot] == APIPOOL_NONE)) {
            slots[count++] = index;
        }
    }
    return count;
}

apr_uint32_t apipool_members_next_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                         apr_uint32_t model_slot, apr_uint32_t ordinal)
{
    const apipool_upstream_t *g = &segment->groups[group];
    apipool_bitset_t usable = apipool_members_bits(segment, g, 0);
    apipool_bitset_t clear = apipool_members_bits(segment, g, model_slot);
    return g->usable ? apipool_bitset_next(&usable, model_slot ? &clear : NULL, ordinal)
                     : APIPOOL_NONE;
}

int apipool_members_is_usable_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                     apr_uint32_t model_slot, apr_uint32_t ordinal)
{
    const apipool_upstream_t *g = &segment->groups[group];
    return ordinal < g->ordinals &&
           apipool_bitset_has(apipool_members_bits(segment, g, 0), ordinal) &&
           (!model_slot ||
            apipool_bitset_has(apipool_members_bits(segment, g, model_slot), ordinal));
}

apr_uint32_t apipool_members_at_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                       apr_uint32_t ordinal)
{
    return apipool_members_row(segment, &segment->groups[group], 0)[ordinal];
}

apipool_slot_t *apipool_members_slot_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                            apr_uint32_t ordinal)
{
    apr_uint32_t index = apipool_members_at_locked(segment, group, ordinal);
    apipool_slot_t *slot = index < segment->header->slots.used ? &segment->slots[index] : NULL;
    return slot && slot->group == group && slot->ordinal == ordinal ? slot : NULL;
}
