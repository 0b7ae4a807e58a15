/* SPDX-License-Identifier: Apache-2.0
 * Rebuild of a segment's lists, heaps, tables, queues and counters from its slots. */
#include "rebuild.h"

#include <string.h>

#include "account.h"
#include "arena.h"
#include "fault.h"
#include "members.h"
#include "queue.h"
#include "slots.h"

static int is_block(const apipool_segment_t *segment, apipool_offset_t block, apr_size_t bytes)
{
    const apipool_arena_t *arena = &segment->header->arena;
    return block % APIPOOL_ARENA_BLOCK == 0 && block < arena->top && bytes <= arena->top - block;
}

static int is_sound(const apipool_segment_t *segment, const apipool_slot_t *slot)
{
    int is_long = slot->secret_len > APIPOOL_KEY_INLINE;
    return slot->upstream < segment->header->upstreams_used &&
           segment->upstreams[slot->upstream].pool == slot->pool &&
           (unsigned)slot->state < APIPOOL_STATE_ORPHANED && slot->secret_len &&
           slot->secret_len <= APIPOOL_KEY_MAX && is_long == (slot->secret_off != 0) &&
           is_block(segment, slot->secret_off, is_long ? slot->secret_len : 0) &&
           is_block(segment, slot->text_off, 0);
}

/* A slot whose key was removed, or not yet added, keeps only its holders. */
static void rebuild_slots(apipool_segment_t *segment)
{
    apipool_header_t *header = segment->header;
    apipool_hash_table_clear(&segment->slot_table);
    for (apr_uint32_t i = 0; i < header->slots.used; i++) {
        apipool_slot_t *slot = &segment->slots[i];
        slot->in_flight = slot->proving = slot->probing = 0;
        if (slot->id && !is_sound(segment, slot)) {
            header->store.lost = 1;
            slot->id = 0;
        }
        if (slot->id) {
            apipool_hash_table_link(&segment->slot_table, i, slot->id);
        }
        else {
            apipool_slot_empty_locked(slot);
        }
    }
}

static void count_holder(apipool_segment_t *segment, const apipool_holder_t *holder)
{
    apipool_slot_t *slot = &segment->slots[holder->slot];
    apipool_client_slot_t *client = apipool_slot_held_client(segment, holder);
    if (client) {
        client->in_flight++;
    }
    else if (holder->purpose == APIPOOL_FOR_PROBE) {
        slot->probing = 1;
    }
    else if (holder->purpose != APIPOOL_FOR_CLIENT) {
        slot->proving |= holder->purpose == APIPOOL_FOR_PROOF;
        slot->in_flight++;
    }
}

static void rebuild_holders(apipool_segment_t *segment)
{
    apipool_hash_table_clear(&segment->holder_table);
    for (apr_uint32_t i = 0; i < segment->header->holders.used; i++) {
        if (segment->holders[i].process) {
            count_holder(segment, &segment->holders[i]);
        }
        else {
            apipool_hash_table_give(&segment->holder_table, i);
        }
    }
    for (apr_uint32_t i = segment->header->slots.used; i-- > 0;) {
        apipool_slot_reuse_locked(segment, i);
    }
}

static void rebuild_arena(apipool_segment_t *segment)
{
    apipool_arena_unmark_locked(segment);
    for (apr_uint32_t i = 0; i < segment->header->slots.used; i++) {
        const apipool_slot_t *slot = &segment->slots[i];
        apipool_arena_mark_locked(segment, slot->secret_off, slot->secret_len);
        if (slot->text_off) {
            apipool_arena_mark_locked(segment, slot->text_off,
                                      apipool_slot_text_size_locked(segment, slot->text_off));
        }
    }
    apipool_arena_sweep_locked(segment);
}

/* Doubts are dropped: a key that is really at fault comes into doubt again. */
static void empty_upstream(apipool_upstream_t *u)
{
    memset(u->doubts, 0, sizeof(u->doubts));
    u->doubts_open = 0;
    u->spare = APIPOOL_NONE;
    u->usable = u->held_up = u->half_open = u->recovering = 0;
    for (int model_slot = 0; model_slot < APIPOOL_MODEL_SLOTS; model_slot++) {
        u->model_slots[model_slot].waiting = 0;
    }
    u->rows = 0;
    u->size = u->list_used = u->members = 0;
}

/* Reserves the room for all members at once, so that it needs no more memory than before. */
static int make_room(apipool_segment_t *segment, apr_uint32_t upstream)
{
    apr_uint32_t members = segment->upstreams[upstream].members;
    segment->upstreams[upstream].members = 0;
    return !members || apipool_members_reserve_many_locked(segment, upstream, members);
}

/* Adds members in the order of their slots. Their cooldowns go on. */
static int rebuild_upstreams(apipool_segment_t *segment)
{
    const apipool_header_t *header = segment->header;
    int done = 1;
    for (apr_uint32_t i = 0; i < header->upstreams_used; i++) {
        empty_upstream(&segment->upstreams[i]);
    }
    for (apr_uint32_t i = 0; i < header->slots.used; i++) {
        const apipool_slot_t *slot = &segment->slots[i];
        if (slot->id) {
            segment->upstreams[slot->upstream].members++;
        }
    }
    for (apr_uint32_t i = 0; done && i < header->upstreams_used; i++) {
        done = make_room(segment, i);
    }
    for (apr_uint32_t i = 0; done && i < header->slots.used; i++) {
        const apipool_slot_t *slot = &segment->slots[i];
        if (slot->id) {
            apipool_members_add_locked(segment, slot->upstream, i);
        }
    }
    return done;
}

int apipool_rebuild_locked(apipool_segment_t *segment)
{
    rebuild_slots(segment);
    if (!apipool_clients_rebuild_locked(&segment->clients)) {
        segment->header->store.lost = 1;
    }
    rebuild_holders(segment);
    apipool_queue_rebuild_locked(segment);
    apipool_account_rebuild_locked(segment);
    apipool_names_rebuild_locked(&segment->names);
    APIPOOL_FAULT("rebuild-half-done");
    rebuild_arena(segment);
    APIPOOL_FAULT("rebuild-arena-empty");
    return rebuild_upstreams(segment);
}
