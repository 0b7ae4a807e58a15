/* SPDX-License-Identifier: Apache-2.0
 * Members of an upstream: which are in rotation and which cool, for all models and for each one. */
#include "members.h"

#include <string.h>

#include "fault.h"
#include "health.h"

#define FIRST_SIZE 64
#define WAKE_BATCH 64
#define WALK_MAX   64

/* --- Heaps ------------------------------------------------------------------------------------ */

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

/* --- Memory ----------------------------------------------------------------------------------- */

apr_size_t apipool_members_bytes(apr_uint32_t size)
{
    return (apr_size_t)size * APIPOOL_ROWS * sizeof(apr_uint32_t) +
           APIPOOL_MODEL_SLOTS * apipool_bitset_bytes(size);
}

apipool_bitset_t apipool_members_bits(const apipool_segment_t *segment, const apipool_upstream_t *u,
                                      apr_uint32_t model_slot)
{
    char *sets = (char *)apipool_members_row(segment, u, APIPOOL_ROWS);
    return apipool_bitset_view(sets + model_slot * apipool_bitset_bytes(u->size), u->size);
}

apipool_heap_t apipool_members_heap(const apipool_segment_t *segment, apipool_upstream_t *u,
                                    apr_uint32_t which)
{
    apr_uint32_t model_slot = which < APIPOOL_IN_HALF_OPEN ? which - APIPOOL_IN_COOLING : 0;
    apr_uint32_t *count = which == APIPOOL_IN_HALF_OPEN    ? &u->half_open
                          : which == APIPOOL_IN_RECOVERING ? &u->recovering
                                                           : &u->model_slots[model_slot].waiting;
    return (apipool_heap_t){segment->slots, apipool_members_row(segment, u, which), count,
                            model_slot};
}

/* Moves everything into a larger block. New bits of model slot 0 are clear until settle sets
 * them; new bits of the other model slots are set. Returns 0 when memory runs out. */
static int enlarge(apipool_segment_t *segment, apipool_upstream_t *u, apr_uint32_t size)
{
    apipool_upstream_t old = *u;
    apipool_offset_t rows = apipool_arena_get_locked(segment, apipool_members_bytes(size));
    if (!rows) {
        return 0;
    }
    u->rows = rows;
    APIPOOL_FAULT("reserve-half-swapped");
    u->size = size;
    for (apr_uint32_t which = 0; which < APIPOOL_ROWS; which++) {
        apr_uint32_t count =
            which ? *apipool_members_heap(segment, &old, which).count : old.list_used;
        memcpy(apipool_members_row(segment, u, which), apipool_members_row(segment, &old, which),
               count * sizeof(apr_uint32_t));
    }
    for (apr_uint32_t model_slot = 0; model_slot < APIPOOL_MODEL_SLOTS; model_slot++) {
        apipool_bitset_t bits = apipool_members_bits(segment, u, model_slot);
        memcpy(bits.words, apipool_members_bits(segment, &old, model_slot).words, old.size / 8);
        apipool_bitset_fill(bits, old.size, model_slot != 0);
    }
    apipool_arena_free_locked(segment, old.rows, apipool_members_bytes(old.size));
    return 1;
}

int apipool_members_reserve_many_locked(apipool_segment_t *segment, apr_uint32_t upstream,
                                        apr_uint32_t members)
{
    apipool_upstream_t *u = &segment->upstreams[upstream];
    apr_size_t size = u->size ? u->size : FIRST_SIZE;
    while (size < (apr_size_t)u->list_used + members) {
        size *= 2;
    }
    return size == u->size || enlarge(segment, u, (apr_uint32_t)size);
}

int apipool_members_reserve_locked(apipool_segment_t *segment, apr_uint32_t upstream)
{
    return segment->upstreams[upstream].spare != APIPOOL_NONE ||
           apipool_members_reserve_many_locked(segment, upstream, 1);
}

/* Sets a slot's standing for all models: usable, held up by its requests in flight, and its
 * heap. */
static void stand(apipool_segment_t *segment, apr_uint32_t index, int usable, int held,
                  apr_uint32_t which)
{
    apipool_slot_t *slot = &segment->slots[index];
    apipool_upstream_t *u = &segment->upstreams[slot->upstream];
    if (slot->usable != usable) {
        apipool_bitset_put(apipool_members_bits(segment, u, 0), slot->list_index, usable);
    }
    u->usable += (apr_uint32_t)usable - slot->usable;
    u->held_up += (apr_uint32_t)held - slot->held;
    slot->usable = (unsigned char)usable;
    slot->held = (unsigned char)held;
    if (slot->heap != APIPOOL_IN_NONE) {
        apipool_heap_t heap = apipool_members_heap(segment, u, slot->heap);
        take_out(&heap, index);
    }
    slot->heap = (unsigned char)which;
    APIPOOL_FAULT("settle-nowhere");
    if (which != APIPOOL_IN_NONE) {
        apipool_heap_t heap = apipool_members_heap(segment, u, which);
        push(&heap, index);
    }
}

/* Begins or ends the cooldown of a slot in a model slot; slot->until is set already. */
static void set_model_slot(apipool_segment_t *segment, apr_uint32_t index, apr_uint32_t model_slot,
                           int cools)
{
    const apipool_slot_t *slot = &segment->slots[index];
    apipool_upstream_t *u = &segment->upstreams[slot->upstream];
    apipool_heap_t heap = apipool_members_heap(segment, u, APIPOOL_IN_COOLING + model_slot);
    (cools ? push : take_out)(&heap, index);
    apipool_bitset_put(apipool_members_bits(segment, u, model_slot), slot->list_index, !cools);
}

void apipool_members_add_locked(apipool_segment_t *segment, apr_uint32_t upstream,
                                apr_uint32_t index)
{
    apipool_upstream_t *u = &segment->upstreams[upstream];
    apipool_slot_t *slot = &segment->slots[index];
    apr_uint32_t *members = apipool_members_row(segment, u, 0);

    if (u->spare != APIPOOL_NONE) {
        slot->list_index = u->spare;
        u->spare = members[slot->list_index];
    }
    else {
        slot->list_index = u->list_used++;
    }
    APIPOOL_FAULT("member-half-added");
    members[slot->list_index] = index;
    u->members++;
    slot->upstream = upstream;
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
    apipool_upstream_t *u = &segment->upstreams[slot->upstream];

    stand(segment, index, 0, 0, APIPOOL_IN_NONE);
    apipool_members_warm_locked(segment, index);
    apipool_members_row(segment, u, 0)[slot->list_index] = u->spare;
    APIPOOL_FAULT("member-half-removed");
    u->spare = slot->list_index;
    u->members--;
    slot->list_index = APIPOOL_NONE;
}

/* Heap for a slot's state. A slot that is lent to a request as proof, or to a probe, is in none. */
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

    if (slot->list_index != APIPOOL_NONE) {
        stand(segment, index, active && !full, full || proving, heap_for(slot));
    }
}

apr_uint32_t apipool_members_model_slot_locked(const apipool_segment_t *segment,
                                               apr_uint32_t upstream, apr_uint64_t model)
{
    const apipool_upstream_t *u = &segment->upstreams[upstream];
    for (apr_uint32_t model_slot = 1; model && model_slot < APIPOOL_MODEL_SLOT_OTHERS;
         model_slot++) {
        if (u->model_slots[model_slot].model == model && u->model_slots[model_slot].waiting) {
            return model_slot;
        }
    }
    return model && u->model_slots[APIPOOL_MODEL_SLOT_OTHERS].waiting ? APIPOOL_MODEL_SLOT_OTHERS
                                                                      : 0;
}

static void wake_model_slot(apipool_segment_t *segment, apipool_upstream_t *u,
                            apr_uint32_t model_slot, apr_time_t now)
{
    for (int i = 0; i < WAKE_BATCH && u->model_slots[model_slot].waiting; i++) {
        apr_uint32_t index = *apipool_members_row(segment, u, APIPOOL_IN_COOLING + model_slot);
        if (segment->slots[index].until[model_slot] > now) {
            break;
        }
        set_model_slot(segment, index, model_slot, 0);
    }
}

/* While the last model slot stands for other models, none of them gets a model slot of its own,
 * or its cooldowns there might be forgotten. */
static apr_uint32_t model_slot_to_cool_in(apipool_segment_t *segment, apr_uint32_t upstream,
                                          apr_uint64_t model, apr_time_t now)
{
    apipool_upstream_t *u = &segment->upstreams[upstream];
    for (apr_uint32_t model_slot = 1; model_slot < APIPOOL_MODEL_SLOTS;
         model_slot++) { /* no request may have done so for long */
        wake_model_slot(segment, u, model_slot, now);
    }
    apr_uint32_t model_slot = apipool_members_model_slot_locked(segment, upstream, model);
    for (apr_uint32_t free = 1; !model_slot; free++) {
        model_slot = free == APIPOOL_MODEL_SLOT_OTHERS || !u->model_slots[free].waiting ? free : 0;
    }
    return model_slot;
}

int apipool_members_has_room_locked(apipool_segment_t *segment, apr_uint32_t upstream,
                                    apr_uint64_t model, apr_time_t now)
{
    return model_slot_to_cool_in(segment, upstream, model, now) != APIPOOL_MODEL_SLOT_OTHERS;
}

apr_uint32_t apipool_members_cool_locked(apipool_segment_t *segment, apr_uint32_t index,
                                         apr_uint64_t model, apr_time_t until, apr_time_t now)
{
    apipool_slot_t *slot = &segment->slots[index];
    apr_uint32_t model_slot = model_slot_to_cool_in(segment, slot->upstream, model, now);
    apipool_model_slot_t *shared = &segment->upstreams[slot->upstream].model_slots[model_slot];

    if (!shared->waiting) {
        shared->model = model;
    }
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

void apipool_members_shift_locked(apipool_segment_t *segment, apr_uint32_t index,
                                  apr_interval_time_t step)
{
    apipool_slot_t *slot = &segment->slots[index];
    for (apr_uint32_t model_slot = 1; model_slot < APIPOOL_MODEL_SLOTS; model_slot++) {
        if (slot->place[model_slot] != APIPOOL_NONE) {
            set_model_slot(segment, index, model_slot, 0);
            slot->until[model_slot] += step;
            set_model_slot(segment, index, model_slot, 1);
        }
    }
    slot->until[0] += slot->until[0] ? step : 0;
    apipool_members_settle_locked(segment, index);
}

void apipool_members_wake_locked(apipool_segment_t *segment, apr_uint32_t upstream,
                                 apr_uint32_t model_slot, apr_time_t now)
{
    apipool_upstream_t *u = &segment->upstreams[upstream];
    for (int i = 0; i < WAKE_BATCH && u->model_slots[0].waiting; i++) {
        apr_uint32_t index = *apipool_members_row(segment, u, APIPOOL_IN_COOLING);
        apipool_slot_t *slot = &segment->slots[index];
        if (slot->until[0] > now) {
            break;
        }
        slot->state = apipool_health_next(slot->state, APIPOOL_EVENT_EXPIRED);
        apipool_members_settle_locked(segment, index);
    }
    if (model_slot) {
        wake_model_slot(segment, u, model_slot, now);
    }
}

apr_uint32_t apipool_members_due_locked(const apipool_segment_t *segment, apr_uint32_t upstream,
                                        apr_time_t now)
{
    const apipool_upstream_t *u = &segment->upstreams[upstream];
    if (!u->recovering) {
        return APIPOOL_NONE;
    }
    apr_uint32_t index = *apipool_members_row(segment, u, APIPOOL_IN_RECOVERING);
    return segment->slots[index].until[0] <= now ? index : APIPOOL_NONE;
}

int apipool_members_unproved_locked(const apipool_segment_t *segment, apr_uint32_t upstream,
                                    apr_uint32_t model_slot, apr_time_t now, apr_uint32_t *slots,
                                    int max)
{
    const apipool_upstream_t *u = &segment->upstreams[upstream];
    const apr_uint32_t *heap = apipool_members_row(segment, u, APIPOOL_IN_HALF_OPEN);
    int count = 0;
    for (apr_uint32_t place = 0; place < u->half_open && place < WALK_MAX && count < max; place++) {
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

apr_uint32_t apipool_members_next_locked(const apipool_segment_t *segment, apr_uint32_t upstream,
                                         apr_uint32_t model_slot, apr_uint32_t list_index)
{
    const apipool_upstream_t *u = &segment->upstreams[upstream];
    apipool_bitset_t usable = apipool_members_bits(segment, u, 0);
    apipool_bitset_t clear = apipool_members_bits(segment, u, model_slot);
    return u->usable ? apipool_bitset_next(&usable, model_slot ? &clear : NULL, list_index)
                     : APIPOOL_NONE;
}

int apipool_members_is_usable_locked(const apipool_segment_t *segment, apr_uint32_t upstream,
                                     apr_uint32_t model_slot, apr_uint32_t list_index)
{
    const apipool_upstream_t *u = &segment->upstreams[upstream];
    return list_index < u->list_used &&
           apipool_bitset_has(apipool_members_bits(segment, u, 0), list_index) &&
           (!model_slot ||
            apipool_bitset_has(apipool_members_bits(segment, u, model_slot), list_index));
}

apr_uint32_t apipool_members_at_locked(const apipool_segment_t *segment, apr_uint32_t upstream,
                                       apr_uint32_t list_index)
{
    return apipool_members_row(segment, &segment->upstreams[upstream], 0)[list_index];
}

apipool_slot_t *apipool_members_slot_locked(const apipool_segment_t *segment, apr_uint32_t upstream,
                                            apr_uint32_t list_index)
{
    apr_uint32_t index = apipool_members_at_locked(segment, upstream, list_index);
    apipool_slot_t *slot = index < segment->header->slots.used ? &segment->slots[index] : NULL;
    return slot && slot->upstream == upstream && slot->list_index == list_index ? slot : NULL;
}
