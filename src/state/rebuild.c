/* SPDX-License-Identifier: Apache-2.0
 * Makes the groups' arrays anew from what their slots say. */
#include "rebuild.h"

#include "arena.h"
#include "members_parts.h"

#define SIZE_MIN 64

/* Nothing of it lies in the arena any longer. Sizes that cannot be are forgotten as well. */
static void empty(const apipool_segment_t *segment, apipool_group_t *g)
{
    int sound = g->size >= SIZE_MIN && !(g->size & (g->size - 1)) &&
                g->size / 2 <= segment->header->capacity + SIZE_MIN && g->ordinals <= g->size;
    if (!sound) {
        g->size = g->ordinals = 0;
    }
    g->spare = APIPOOL_NONE;
    g->usable = g->held_up = g->half_open = g->recovering = 0;
    g->members = g->heaps = g->due = 0;
    for (apr_uint32_t lane = 0; lane < APIPOOL_LANES; lane++) {
        apipool_lane_t *l = &g->lanes[lane];
        l->clear = l->heap = 0;
        l->room = l->waiting = 0;
    }
}

/* As large as they were, with no member. */
static int get_arrays(apipool_segment_t *segment, apipool_group_t *g)
{
    apr_size_t bytes = g->size * sizeof(apr_uint32_t);
    if (!g->size) {
        return 1;
    }
    g->members = apipool_arena_get_locked(segment, bytes);
    g->heaps = apipool_arena_get_locked(segment, bytes);
    g->due = apipool_arena_get_locked(segment, bytes);
    g->lanes[0].clear = apipool_arena_get_locked(segment, apipool_bits_bytes(g->size));
    if (!g->members || !g->heaps || !g->due || !g->lanes[0].clear) {
        return 0;
    }
    apipool_bits_fill(apipool_members_bits(segment, g, 0), 0, 0);
    apr_uint32_t *members = apipool_arena_at(segment, g->members);
    for (apr_uint32_t i = 0; i < g->size; i++) {
        members[i] = APIPOOL_NONE;
    }
    return 1;
}

/* The ordinals stay what they are, as far as each is one slot's. */
static void seat(apipool_segment_t *segment, apr_uint32_t index)
{
    apipool_slot_t *slot = &segment->slots[index];
    apipool_group_t *g = &segment->groups[slot->group];
    apr_uint32_t *members = apipool_arena_at(segment, g->members);
    if (slot->ordinal < g->ordinals && members[slot->ordinal] == APIPOOL_NONE) {
        members[slot->ordinal] = index;
    }
    else {
        slot->ordinal = APIPOOL_NONE;
    }
}

static void chain_spare(apipool_segment_t *segment, apipool_group_t *g)
{
    apr_uint32_t *members = apipool_arena_at(segment, g->members);
    for (apr_uint32_t i = g->ordinals; i-- > 0;) {
        if (members[i] == APIPOOL_NONE) {
            members[i] = g->spare;
            g->spare = i;
        }
    }
}

/* Its cooldowns for single models go on, as long as there is memory for them. */
static void put_into_lanes(apipool_segment_t *segment, apr_uint32_t index)
{
    apipool_slot_t *slot = &segment->slots[index];
    apipool_group_t *g = &segment->groups[slot->group];
    for (apr_uint32_t lane = 1; lane < APIPOOL_LANES; lane++) {
        if (slot->place[lane] == APIPOOL_NONE) {
            continue;
        }
        if (!g->lanes[lane].model || !apipool_members_reserve_lane_locked(segment, g, lane)) {
            slot->place[lane] = APIPOOL_NONE;
            continue;
        }
        apipool_heap_t heap = apipool_members_cooling(segment, g, lane);
        apipool_heap_push(&heap, index);
        apipool_bits_put(apipool_members_bits(segment, g, lane), slot->ordinal, 0);
    }
}

static void put_back(apipool_segment_t *segment, apr_uint32_t index)
{
    apipool_slot_t *slot = &segment->slots[index];
    slot->place[0] = APIPOOL_NONE;
    slot->heap = APIPOOL_IN_NONE;
    slot->usable = slot->held = 0;
    put_into_lanes(segment, index);
    apipool_members_settle_locked(segment, index);
}

/* Whose ordinal was another one's too becomes a new member. */
static int add_the_homeless(apipool_segment_t *segment)
{
    for (apr_uint32_t i = 0; i < segment->header->slots_used; i++) {
        apipool_slot_t *slot = &segment->slots[i];
        if (!slot->id || slot->ordinal != APIPOOL_NONE) {
            continue;
        }
        if (!apipool_members_reserve_locked(segment, slot->group)) {
            return 0;
        }
        slot->held = 0;
        apipool_members_add_locked(segment, slot->group, i);
    }
    return 1;
}

/* A lane is made together with its first slot; models that have none left get another one. */
static void drop_empty_lanes(apipool_group_t *g)
{
    for (apr_uint32_t lane = 0; lane < APIPOOL_LANES; lane++) {
        g->lanes[lane].model = lane && g->lanes[lane].clear ? g->lanes[lane].model : 0;
    }
}

int apipool_members_rebuild_locked(apipool_segment_t *segment)
{
    const apipool_header_t *header = segment->header;
    for (apr_uint32_t i = 0; i < header->groups_used; i++) {
        empty(segment, &segment->groups[i]);
    }
    for (apr_uint32_t i = 0; i < header->groups_used; i++) {
        if (!get_arrays(segment, &segment->groups[i])) {
            return 0;
        }
    }
    for (apr_uint32_t i = 0; i < header->slots_used; i++) {
        if (segment->slots[i].id) {
            seat(segment, i);
        }
    }
    for (apr_uint32_t i = 0; i < header->groups_used; i++) {
        chain_spare(segment, &segment->groups[i]);
    }
    for (apr_uint32_t i = 0; i < header->slots_used; i++) {
        if (segment->slots[i].ordinal != APIPOOL_NONE) {
            put_back(segment, i);
        }
    }
    if (!add_the_homeless(segment)) {
        return 0;
    }
    for (apr_uint32_t i = 0; i < header->groups_used; i++) {
        drop_empty_lanes(&segment->groups[i]);
    }
    return 1;
}
