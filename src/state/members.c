/* SPDX-License-Identifier: Apache-2.0
 * Who of a group is in rotation, who waits for the clock, for all models and for each of them. */
#include "members.h"

#include <string.h>

#include "arena.h"
#include "fault.h"
#include "members_parts.h"

#define FIRST_SIZE 64
#define FIRST_ROOM 16
#define WAKE_BATCH 64
#define WALK_MAX   64

static void *address(const apipool_segment_t *segment, apipool_offset_t offset)
{
    return apipool_arena_at(segment, offset);
}

apipool_bits_t apipool_members_bits(const apipool_segment_t *segment, const apipool_group_t *g,
                                    apr_uint32_t lane)
{
    return apipool_bits_view(address(segment, g->lanes[lane].clear), g->size);
}

apipool_heap_t apipool_members_cooling(const apipool_segment_t *segment, apipool_group_t *g,
                                       apr_uint32_t lane)
{
    apipool_lane_t *l = &g->lanes[lane];
    apipool_heap_t heap = {.slots = segment->slots,
                           .at = address(segment, lane ? l->heap : g->heaps),
                           .size = lane ? l->room : g->size,
                           .count = &l->waiting,
                           .lane = lane};
    return heap;
}

apipool_heap_t apipool_members_half_open(const apipool_segment_t *segment, apipool_group_t *g)
{
    apipool_heap_t heap = {.slots = segment->slots,
                           .at = address(segment, g->heaps),
                           .size = g->size,
                           .from_end = 1,
                           .count = &g->half_open};
    return heap;
}

apipool_heap_t apipool_members_recovering(const apipool_segment_t *segment, apipool_group_t *g)
{
    apipool_heap_t heap = {.slots = segment->slots,
                           .at = address(segment, g->due),
                           .size = g->size,
                           .count = &g->recovering};
    return heap;
}

static apipool_heap_t heap_of(const apipool_segment_t *segment, apipool_group_t *g,
                              apr_uint32_t which)
{
    return which == APIPOOL_IN_COOLING     ? apipool_members_cooling(segment, g, 0)
           : which == APIPOOL_IN_HALF_OPEN ? apipool_members_half_open(segment, g)
                                           : apipool_members_recovering(segment, g);
}

/* A larger copy of an array in the arena, or 0. The old one is for the caller to free. */
static apipool_offset_t grown(apipool_segment_t *segment, apipool_offset_t old,
                              apr_size_t old_bytes, apr_size_t bytes)
{
    apipool_offset_t offset = apipool_arena_get_locked(segment, bytes);
    if (offset && old_bytes) {
        memcpy(address(segment, offset), address(segment, old), old_bytes);
    }
    return offset;
}

/* Of lane 0 nobody is clear before settle says so, of the others everybody is. */
static apipool_offset_t grown_bits(apipool_segment_t *segment, const apipool_group_t *g,
                                   apr_uint32_t lane, apr_uint32_t size)
{
    apipool_offset_t offset = apipool_arena_get_locked(segment, apipool_bits_bytes(size));
    if (offset) {
        apipool_bits_t bits = apipool_bits_view(address(segment, offset), size);
        if (g->size) {
            apipool_bits_t old = apipool_members_bits(segment, g, lane);
            memcpy(bits.words, old.words, g->size / 8);
        }
        apipool_bits_fill(bits, g->size, lane != 0);
    }
    return offset;
}

/* A group's arrays for so many ordinals. */
typedef struct {
    apr_uint32_t size;
    apipool_offset_t members, heaps, due;
    apipool_offset_t clear[APIPOOL_LANES]; /* 0 where there is no such lane */
} arrays_t;

static void release(apipool_segment_t *segment, const arrays_t *arrays)
{
    apr_size_t bytes = arrays->size * sizeof(apr_uint32_t);
    apipool_arena_free_locked(segment, arrays->members, bytes);
    apipool_arena_free_locked(segment, arrays->heaps, bytes);
    apipool_arena_free_locked(segment, arrays->due, bytes);
    for (apr_uint32_t lane = 0; lane < APIPOOL_LANES; lane++) {
        apipool_arena_free_locked(segment, arrays->clear[lane], apipool_bits_bytes(arrays->size));
    }
}

static int is_lane(const apipool_group_t *g, apr_uint32_t lane)
{
    return lane == 0 || g->lanes[lane].clear;
}

/* Copies of a group's arrays with more room. Returns 0 when there is not enough memory for all. */
static int grow(apipool_segment_t *segment, apipool_group_t *g, arrays_t *arrays)
{
    apr_size_t old_bytes = g->size * sizeof(apr_uint32_t);
    apr_size_t bytes = arrays->size * sizeof(apr_uint32_t);
    arrays->members = grown(segment, g->members, old_bytes, bytes);
    arrays->heaps = grown(segment, g->heaps, old_bytes, bytes);
    arrays->due = grown(segment, g->due, old_bytes, bytes);
    int complete = arrays->members && arrays->heaps && arrays->due;
    for (apr_uint32_t lane = 0; complete && lane < APIPOOL_LANES; lane++) {
        if (is_lane(g, lane)) {
            arrays->clear[lane] = grown_bits(segment, g, lane, arrays->size);
            complete = arrays->clear[lane] != 0;
        }
    }
    if (complete && g->half_open) {
        apr_uint32_t *to = address(segment, arrays->heaps);
        apr_uint32_t *from = address(segment, g->heaps);
        memcpy(to + arrays->size - g->half_open, from + g->size - g->half_open,
               g->half_open * sizeof(*to));
    }
    return complete;
}

static int enlarge(apipool_segment_t *segment, apipool_group_t *g, apr_uint32_t size)
{
    arrays_t new = {.size = size};
    arrays_t old = {.size = g->size, .members = g->members, .heaps = g->heaps, .due = g->due};

    if (!grow(segment, g, &new)) {
        release(segment, &new);
        return 0;
    }
    g->members = new.members;
    APIPOOL_FAULT("reserve-half-swapped");
    g->heaps = new.heaps;
    g->due = new.due;
    for (apr_uint32_t lane = 0; lane < APIPOOL_LANES; lane++) {
        old.clear[lane] = g->lanes[lane].clear;
        g->lanes[lane].clear = new.clear[lane];
    }
    g->size = new.size;
    APIPOOL_FAULT("reserve-unreleased");
    release(segment, &old);
    return 1;
}

int apipool_members_reserve_many_locked(apipool_segment_t *segment, apr_uint32_t group,
                                        apr_uint32_t members)
{
    apipool_group_t *g = &segment->groups[group];
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

void apipool_members_add_locked(apipool_segment_t *segment, apr_uint32_t group, apr_uint32_t index)
{
    apipool_group_t *g = &segment->groups[group];
    apipool_slot_t *slot = &segment->slots[index];
    apr_uint32_t *members = address(segment, g->members);

    if (g->spare != APIPOOL_NONE) {
        slot->ordinal = g->spare;
        g->spare = members[slot->ordinal];
    }
    else {
        slot->ordinal = g->ordinals++;
    }
    APIPOOL_FAULT("member-half-added");
    members[slot->ordinal] = index;
    slot->group = group;
    slot->heap = APIPOOL_IN_NONE;
    slot->usable = 0;
    for (apr_uint32_t lane = 0; lane < APIPOOL_LANES; lane++) {
        slot->place[lane] = APIPOOL_NONE;
        slot->until[lane] = lane ? 0 : slot->until[lane];
    }
    apipool_members_settle_locked(segment, index);
}

static void leave_heap(apipool_segment_t *segment, apipool_group_t *g, apipool_slot_t *slot,
                       apr_uint32_t index)
{
    if (slot->heap != APIPOOL_IN_NONE) {
        apipool_heap_t heap = heap_of(segment, g, slot->heap);
        apipool_heap_remove(&heap, index);
        slot->heap = APIPOOL_IN_NONE;
    }
}

static void set_usable(apipool_segment_t *segment, apipool_group_t *g, apipool_slot_t *slot,
                       int usable)
{
    if (slot->usable != usable) {
        g->usable += (apr_uint32_t)usable - slot->usable;
        slot->usable = (unsigned char)usable;
        apipool_bits_put(apipool_members_bits(segment, g, 0), slot->ordinal, usable);
    }
}

static void set_held(apipool_group_t *g, apipool_slot_t *slot, int held)
{
    g->held_up += (apr_uint32_t)held - slot->held;
    slot->held = (unsigned char)held;
}

static void leave_lane(apipool_segment_t *segment, apipool_group_t *g, apipool_slot_t *slot,
                       apr_uint32_t index, apr_uint32_t lane)
{
    apipool_heap_t heap = apipool_members_cooling(segment, g, lane);
    apipool_heap_remove(&heap, index);
    APIPOOL_FAULT("lane-half-left");
    apipool_bits_put(apipool_members_bits(segment, g, lane), slot->ordinal, 1);
}

void apipool_members_warm_locked(apipool_segment_t *segment, apr_uint32_t index)
{
    apipool_slot_t *slot = &segment->slots[index];
    apipool_group_t *g = &segment->groups[slot->group];
    for (apr_uint32_t lane = 1; lane < APIPOOL_LANES; lane++) {
        if (slot->place[lane] != APIPOOL_NONE) {
            leave_lane(segment, g, slot, index, lane);
        }
    }
}

void apipool_members_remove_locked(apipool_segment_t *segment, apr_uint32_t index)
{
    apipool_slot_t *slot = &segment->slots[index];
    apipool_group_t *g = &segment->groups[slot->group];
    apr_uint32_t *members = address(segment, g->members);

    leave_heap(segment, g, slot, index);
    set_usable(segment, g, slot, 0);
    set_held(g, slot, 0);
    apipool_members_warm_locked(segment, index);
    members[slot->ordinal] = g->spare;
    APIPOOL_FAULT("member-half-removed");
    g->spare = slot->ordinal;
    slot->ordinal = APIPOOL_NONE;
}

int apipool_members_has_locked(const apipool_slot_t *slot)
{
    return slot->ordinal != APIPOOL_NONE;
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
    apipool_slot_t *slot = &segment->slots[index];
    apipool_group_t *g = &segment->groups[slot->group];
    int active = slot->state == APIPOOL_STATE_ACTIVE;
    int full = active && slot->concurrency && slot->in_flight >= slot->concurrency;
    int proving = slot->state == APIPOOL_STATE_HALF_OPEN && slot->proving;
    apr_uint32_t heap_now = heap_for(slot);

    if (!apipool_members_has_locked(slot)) {
        return;
    }
    set_usable(segment, g, slot, active && !full);
    set_held(g, slot, full || proving);
    leave_heap(segment, g, slot, index);
    APIPOOL_FAULT("settle-nowhere");
    if (heap_now != APIPOOL_IN_NONE) {
        apipool_heap_t heap = heap_of(segment, g, heap_now);
        slot->heap = (unsigned char)heap_now;
        apipool_heap_push(&heap, index);
    }
}

apr_uint32_t apipool_members_lane_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                         apr_uint64_t model)
{
    const apipool_group_t *g = &segment->groups[group];
    for (apr_uint32_t lane = 1; model && lane < APIPOOL_LANE_OTHERS; lane++) {
        if (g->lanes[lane].model == model) {
            return lane;
        }
    }
    return model && g->lanes[APIPOOL_LANE_OTHERS].waiting ? APIPOOL_LANE_OTHERS : 0;
}

static void wake_lane(apipool_segment_t *segment, apipool_group_t *g, apr_uint32_t lane,
                      apr_time_t now)
{
    for (int i = 0; i < WAKE_BATCH && g->lanes[lane].waiting; i++) {
        apipool_heap_t heap = apipool_members_cooling(segment, g, lane);
        apr_uint32_t index = apipool_heap_at(&heap, 0);
        if (segment->slots[index].until[lane] > now) {
            break;
        }
        leave_lane(segment, g, &segment->slots[index], index, lane);
    }
}

/* While the last lane stands for other models, none of them gets one of its own: what cools there might
 * be forgotten. */
static apr_uint32_t lane_to_cool_in(apipool_segment_t *segment, apr_uint32_t group,
                                    apr_uint64_t model, apr_time_t now)
{
    apipool_group_t *g = &segment->groups[group];
    for (apr_uint32_t lane = 1; lane < APIPOOL_LANES;
         lane++) { /* nobody may have asked for it since */
        wake_lane(segment, g, lane, now);
    }
    apr_uint32_t lane = apipool_members_lane_locked(segment, group, model);
    if (lane) {
        return lane;
    }
    for (lane = 1; lane < APIPOOL_LANE_OTHERS && g->lanes[lane].waiting; lane++) {
    }
    g->lanes[lane].model = model;
    APIPOOL_FAULT("lane-unmade");
    return lane;
}

int apipool_members_reserve_lane_locked(apipool_segment_t *segment, apipool_group_t *g,
                                        apr_uint32_t lane)
{
    apipool_lane_t *l = &g->lanes[lane];
    if (!l->clear) {
        apipool_offset_t clear = apipool_arena_get_locked(segment, apipool_bits_bytes(g->size));
        if (!clear) {
            return 0;
        }
        l->clear = clear;
        APIPOOL_FAULT("lane-unfilled");
        apipool_bits_fill(apipool_members_bits(segment, g, lane), 0, 1);
    }
    if (l->waiting == l->room) {
        apr_uint32_t room = l->room ? l->room * 2 : FIRST_ROOM;
        apr_size_t old_bytes = l->room * sizeof(apr_uint32_t);
        apipool_offset_t old = l->heap;
        apipool_offset_t heap = grown(segment, old, old_bytes, room * sizeof(apr_uint32_t));
        if (!heap) {
            return 0;
        }
        l->heap = heap;
        APIPOOL_FAULT("lane-half-grown");
        l->room = room;
        apipool_arena_free_locked(segment, old, old_bytes);
    }
    return 1;
}

apr_uint32_t apipool_members_cool_locked(apipool_segment_t *segment, apr_uint32_t index,
                                         apr_uint64_t model, apr_time_t until, apr_time_t now)
{
    apipool_slot_t *slot = &segment->slots[index];
    apipool_group_t *g = &segment->groups[slot->group];
    apr_uint32_t lane = lane_to_cool_in(segment, slot->group, model, now);

    if (slot->place[lane] != APIPOOL_NONE) {
        if (slot->until[lane] >= until) {
            return lane;
        }
        leave_lane(segment, g, slot, index, lane);
    }
    if (!apipool_members_reserve_lane_locked(segment, g, lane)) {
        g->lanes[lane].model = g->lanes[lane].waiting ? g->lanes[lane].model : 0;
        return 0;
    }
    apipool_heap_t heap = apipool_members_cooling(segment, g, lane);
    slot->until[lane] = until;
    apipool_heap_push(&heap, index);
    APIPOOL_FAULT("cool-still-clear");
    apipool_bits_put(apipool_members_bits(segment, g, lane), slot->ordinal, 0);
    return lane;
}

void apipool_members_wake_locked(apipool_segment_t *segment, apr_uint32_t group, apr_uint32_t lane,
                                 apr_time_t now)
{
    apipool_group_t *g = &segment->groups[group];
    for (int i = 0; i < WAKE_BATCH && g->lanes[0].waiting; i++) {
        apipool_heap_t heap = apipool_members_cooling(segment, g, 0);
        apr_uint32_t index = apipool_heap_at(&heap, 0);
        apipool_slot_t *slot = &segment->slots[index];
        if (slot->until[0] > now) {
            break;
        }
        slot->state = apipool_health_next(slot->state, APIPOOL_EVENT_EXPIRED);
        apipool_members_settle_locked(segment, index);
    }
    if (lane) {
        wake_lane(segment, g, lane, now);
    }
}

apr_uint32_t apipool_members_due_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                        apr_time_t now)
{
    apipool_group_t *g = &segment->groups[group];
    if (!g->recovering) {
        return APIPOOL_NONE;
    }
    apipool_heap_t heap = apipool_members_recovering(segment, g);
    apr_uint32_t index = apipool_heap_at(&heap, 0);
    return segment->slots[index].until[0] <= now ? index : APIPOOL_NONE;
}

int apipool_members_unproved_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                    apr_uint32_t lane, apr_time_t now, apr_uint32_t *slots, int max)
{
    apipool_group_t *g = &segment->groups[group];
    apipool_heap_t heap = apipool_members_half_open(segment, g);
    int count = 0;
    for (apr_uint32_t place = 0; place < g->half_open && place < WALK_MAX && count < max; place++) {
        apr_uint32_t index = apipool_heap_at(&heap, place);
        const apipool_slot_t *slot = &segment->slots[index];
        if (place == 0 && slot->until[0] > now) {
            break;
        }
        if (slot->until[0] <= now && (!lane || slot->place[lane] == APIPOOL_NONE)) {
            slots[count++] = index;
        }
    }
    return count;
}

apr_uint32_t apipool_members_next_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                         apr_uint32_t lane, apr_uint32_t ordinal)
{
    const apipool_group_t *g = &segment->groups[group];
    apipool_bits_t usable = apipool_members_bits(segment, g, 0);
    apipool_bits_t clear = apipool_members_bits(segment, g, lane);
    return g->usable ? apipool_bits_next(&usable, lane ? &clear : NULL, ordinal) : APIPOOL_NONE;
}

apr_uint32_t apipool_members_follower_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                             apr_uint32_t lane, apr_uint32_t ordinal)
{
    const apipool_group_t *g = &segment->groups[group];
    apr_uint64_t near = apipool_members_bits(segment, g, 0).words[ordinal / 64];
    if (lane) {
        near &= apipool_members_bits(segment, g, lane).words[ordinal / 64];
    }
    near &= ~APR_UINT64_C(1) << (ordinal % 64);
    return near ? ordinal / 64 * 64 + (apr_uint32_t)__builtin_ctzll(near) : APIPOOL_NONE;
}

int apipool_members_is_usable_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                     apr_uint32_t lane, apr_uint32_t ordinal)
{
    const apipool_group_t *g = &segment->groups[group];
    return ordinal < g->ordinals &&
           apipool_bits_has(apipool_members_bits(segment, g, 0), ordinal) &&
           (!lane || apipool_bits_has(apipool_members_bits(segment, g, lane), ordinal));
}

apr_uint32_t apipool_members_at_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                       apr_uint32_t ordinal)
{
    const apr_uint32_t *members = address(segment, segment->groups[group].members);
    return members[ordinal];
}

void apipool_members_fetch(const apipool_segment_t *segment, apr_uint32_t group,
                           apr_uint32_t ordinal)
{
    const apr_uint32_t *members = address(segment, segment->groups[group].members);
    __builtin_prefetch(&members[ordinal]);
}

apr_uint32_t apipool_members_guess(const apipool_segment_t *segment, apr_uint32_t group,
                                   apr_uint32_t ordinal)
{
    return apipool_members_at_locked(segment, group, 0) + ordinal;
}
