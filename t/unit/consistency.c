/* SPDX-License-Identifier: Apache-2.0
 * Checker of a segment. It changes nothing and trusts nothing. */
#include "consistency.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "members.h"
#include "pool.h"
#include "slots.h"

/* --- The arena: each byte belongs to one block, in use or free ----------------------------------- */

/* All blocks, used and free. */
typedef struct {
    struct block_t {
        apipool_offset_t at;
        apr_size_t size;
    } * blocks;
    apr_size_t count, room;
} found_t;

static void add(found_t *found, apipool_offset_t at, apr_size_t bytes)
{
    apr_size_t size = APIPOOL_ARENA_BLOCK;
    while (size < bytes) {
        size *= 2;
    }
    if (at && found->count < found->room) {
        found->blocks[found->count++] = (struct block_t){at, size};
    }
}

static void add_used(const apipool_segment_t *segment, found_t *found)
{
    for (apr_uint32_t i = 0; i < segment->header->slots.used; i++) {
        const apipool_slot_t *slot = &segment->slots[i];
        add(found, slot->secret_off, slot->secret_len);
        if (slot->text_off) {
            add(found, slot->text_off, apipool_slot_text_size_locked(segment, slot->text_off));
        }
    }
    for (apr_uint32_t i = 0; i < segment->header->upstreams_used; i++) {
        const apipool_upstream_t *u = &segment->upstreams[i];
        add(found, u->rows, apipool_members_bytes(u->size));
    }
}

static int add_free(const apipool_segment_t *segment, found_t *found)
{
    const apipool_arena_t *arena = &segment->header->arena;
    for (int order = 0; order < APIPOOL_ARENA_ORDERS; order++) {
        apipool_offset_t at = arena->free[order];
        apr_uint32_t left = arena->count[order];
        while (at) {
            if (at > arena->size - sizeof(at) || found->count == found->room || !left--) {
                return 0;
            }
            add(found, at, (apr_size_t)APIPOOL_ARENA_BLOCK << order);
            at = *(const apipool_offset_t *)apipool_arena_at(segment, at);
        }
        if (left) {
            return 0;
        }
    }
    return 1;
}

static int by_place(const void *a, const void *b)
{
    const struct block_t *first = a, *second = b;
    return (first->at > second->at) - (first->at < second->at);
}

static const char *check_arena(const apipool_segment_t *segment)
{
    const apipool_arena_t *arena = &segment->header->arena;
    found_t found = {.room = arena->size / APIPOOL_ARENA_BLOCK + 1};
    apipool_offset_t end = APIPOOL_ARENA_BLOCK;
    const char *fault = NULL;

    found.blocks = calloc(found.room, sizeof(*found.blocks));
    if (!found.blocks) {
        return "no memory";
    }
    add_used(segment, &found);
    if (!add_free(segment, &found)) {
        fault = "a list of free blocks is broken";
    }
    qsort(found.blocks, found.count, sizeof(*found.blocks), by_place);
    for (apr_size_t i = 0; !fault && i < found.count; i++) {
        if (found.blocks[i].at != end) {
            fault = found.blocks[i].at < end ? "two blocks of the arena overlap"
                                             : "a block of the arena is lost";
        }
        end = found.blocks[i].at + found.blocks[i].size;
    }
    free(found.blocks);
    return fault ? fault : end == arena->top ? NULL : "a block of the arena is lost";
}

/* --- Members of upstreams ------------------------------------------------------------------------ */

/* Standing that a slot's state calls for. */
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

static const char *check_bits(apipool_bitset_t bits)
{
    for (apr_uint32_t word = 0; word < bits.size / 64; word++) {
        if ((bits.summary[word / 64] >> (word % 64) & 1) != (bits.words[word] != 0)) {
            return "the summary of a set is wrong";
        }
    }
    return NULL;
}

/* Returns 1 if there is memory where an upstream's members, heaps and bitsets should be. */
static const char *check_arrays(const apipool_segment_t *segment, apipool_upstream_t *u)
{
    if (u->size % 64 || u->size / 2 > segment->header->capacity + 64 || u->list_used > u->size) {
        return "an upstream has more list indices than room";
    }
    if (u->size && !is_block(segment, u->rows, apipool_members_bytes(u->size))) {
        return "an upstream has no arrays";
    }
    for (apr_uint32_t which = 1; which < APIPOOL_ROWS; which++) {
        if (*apipool_members_heap(segment, u, which).count > u->size) {
            return "a heap has more slots than room";
        }
    }
    for (apr_uint32_t model_slot = 0; u->size && model_slot < APIPOOL_MODEL_SLOTS; model_slot++) {
        const char *fault = check_bits(apipool_members_bits(segment, u, model_slot));
        if (fault) {
            return fault;
        }
    }
    return NULL;
}

/* One heap: its slots know their place, belong there, and wake in order. */
static const char *check_heap(const apipool_segment_t *segment, apr_uint32_t upstream,
                              const apipool_heap_t *heap, apr_uint32_t which)
{
    for (apr_uint32_t i = 0; i < *heap->count; i++) {
        apr_uint32_t index = heap->at[i];
        if (index >= segment->header->slots.used) {
            return "a heap has a slot that does not exist";
        }
        const apipool_slot_t *slot = &segment->slots[index];
        const apipool_slot_t *parent = &segment->slots[heap->at[i ? (i - 1) / 2 : 0]];
        if (slot->upstream != upstream || slot->place[heap->model_slot] != i) {
            return "a slot of a heap does not know its place";
        }
        if (heap->model_slot == 0 && slot->heap != which) {
            return "a slot does not know its heap";
        }
        if (parent->until[heap->model_slot] > slot->until[heap->model_slot]) {
            return "a heap is out of order";
        }
    }
    return NULL;
}

/* Counters of an upstream, counted again. */
typedef struct {
    apr_uint32_t members, usable, held_up, half_open, recovering, waiting[APIPOOL_MODEL_SLOTS];
} counts_t;

static const char *check_model_slots(const apipool_segment_t *segment, const apipool_upstream_t *u,
                                     const apipool_slot_t *slot, counts_t *counts)
{
    for (apr_uint32_t model_slot = 1; model_slot < APIPOOL_MODEL_SLOTS; model_slot++) {
        int in_heap = slot->place[model_slot] != APIPOOL_NONE;
        if (in_heap && !u->model_slots[model_slot].model) {
            return "a slot cools in a lane that does not exist";
        }
        if (apipool_bitset_has(apipool_members_bits(segment, u, model_slot), slot->list_index) ==
            in_heap) {
            return "a bit of a lane is wrong";
        }
        counts->waiting[model_slot] += (apr_uint32_t)in_heap;
    }
    return NULL;
}

static const char *check_member(const apipool_segment_t *segment, apr_uint32_t index,
                                counts_t *counts)
{
    const apipool_slot_t *slot = &segment->slots[index];
    const apipool_upstream_t *u = &segment->upstreams[slot->upstream];
    const apr_uint32_t *members = apipool_members_row(segment, u, 0);
    int proving = slot->state == APIPOOL_STATE_HALF_OPEN && slot->proving;

    if (slot->list_index >= u->list_used || members[slot->list_index] != index) {
        return "a slot is not where its list index says";
    }
    if (apipool_bitset_has(apipool_members_bits(segment, u, 0), slot->list_index) !=
        is_usable(slot)) {
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
    return check_model_slots(segment, u, slot, counts);
}

/* List indices: each one belongs to a member or is spare. */
static const char *check_spare(const apipool_segment_t *segment, const apipool_upstream_t *u,
                               apr_uint32_t members)
{
    const apr_uint32_t *next = apipool_members_row(segment, u, 0);
    apr_uint32_t spare = 0;
    for (apr_uint32_t i = u->spare; i != APIPOOL_NONE; i = next[i]) {
        if (i >= u->list_used || ++spare > u->list_used) {
            return "the chain of spare list indices is broken";
        }
    }
    return members + spare == u->list_used ? NULL : "a list index is nobody's";
}

static const char *check_upstream(const apipool_segment_t *segment, apr_uint32_t upstream,
                                  const counts_t *counts)
{
    apipool_upstream_t *u = &segment->upstreams[upstream];
    const char *fault = check_spare(segment, u, counts->members);
    for (apr_uint32_t which = 1; !fault && which < APIPOOL_ROWS; which++) {
        apipool_heap_t heap = apipool_members_heap(segment, u, which);
        fault = check_heap(segment, upstream, &heap, which);
    }
    for (apr_uint32_t model_slot = 0; !fault && model_slot < APIPOOL_MODEL_SLOTS; model_slot++) {
        if (counts->waiting[model_slot] != u->model_slots[model_slot].waiting) {
            fault = "a lane counts those who wait wrongly";
        }
    }
    if (!fault && (counts->usable != u->usable || counts->held_up != u->held_up ||
                   counts->half_open != u->half_open || counts->recovering != u->recovering)) {
        fault = "an upstream counts its members wrongly";
    }
    return fault;
}

const char *consistency_of_members(const apipool_segment_t *segment)
{
    const apipool_header_t *header = segment->header;
    counts_t *counts = calloc(APIPOOL_UPSTREAMS_MAX, sizeof(*counts));
    const char *fault = counts ? NULL : "no memory";

    for (apr_uint32_t i = 0; !fault && i < header->upstreams_used; i++) {
        fault = check_arrays(segment, &segment->upstreams[i]);
    }
    for (apr_uint32_t i = 0; !fault && i < header->slots.used; i++) {
        if (!segment->slots[i].id) {
            fault = segment->slots[i].list_index != APIPOOL_NONE ? "a removed key is in an upstream"
                                                                 : NULL;
            continue;
        }
        apr_uint32_t upstream = segment->slots[i].upstream;
        fault = upstream < header->upstreams_used &&
                        segment->slots[i].pool == segment->upstreams[upstream].pool
                    ? check_member(segment, i, &counts[upstream])
                    : "a slot is in an upstream of another pool";
    }
    for (apr_uint32_t i = 0; !fault && i < header->upstreams_used; i++) {
        fault = check_upstream(segment, i, &counts[i]);
    }
    free(counts);
    return fault;
}

/* --- Tables, and all the rest --------------------------------------------------------------------- */

static int is_text(const char *text, apr_size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

static int is_share(double value)
{
    return isfinite(value) && value >= 0 && value <= 1;
}

static int is_time(double value)
{
    return isfinite(value) && value >= 0 && value <= APIPOOL_COUNTERS_SECONDS_MAX;
}

static const char *check_counts(const apipool_counts_t *counts)
{
    int sane = counts->requests >= counts->successes + counts->errors &&
               counts->requests <= APIPOOL_COUNTERS_MAX &&
               counts->attempts <= APIPOOL_COUNTERS_MAX && counts->prompt <= APIPOOL_COUNTERS_MAX &&
               counts->completion <= APIPOOL_COUNTERS_MAX &&
               counts->cached <= APIPOOL_COUNTERS_MAX && counts->total <= APIPOOL_COUNTERS_MAX &&
               counts->estimated <= APIPOOL_COUNTERS_MAX && is_share(counts->success) &&
               is_time(counts->latency) && is_time(counts->first_byte) &&
               counts->timed <= APIPOOL_COUNTERS_AVERAGE_OF &&
               counts->begun <= APIPOOL_COUNTERS_AVERAGE_OF;
    return sane ? NULL : "numbers make no sense";
}

static const char *check_header(const apipool_segment_t *segment)
{
    const apipool_header_t *header = segment->header;
    return header->pools_used > APIPOOL_POOLS_MAX           ? "there are more pools than room"
           : header->upstreams_used > APIPOOL_UPSTREAMS_MAX ? "there are more upstreams than room"
           : !header->random                                ? "nothing can be drawn any longer"
                                                            : NULL;
}

static const char *check_pools(const apipool_segment_t *segment)
{
    const char *fault = NULL;
    for (apr_uint32_t i = 0; !fault && i < segment->header->pools_used; i++) {
        const apipool_pool_t *pool = &segment->pools[i];
        int sane = is_text(pool->server, sizeof(pool->server)) &&
                   is_text(pool->name, sizeof(pool->name)) && isfinite(pool->clock) &&
                   isfinite(pool->heaviest);
        fault = sane ? check_counts(&segment->stats[i].counters.counts) : "a pool makes no sense";
    }
    for (apr_uint32_t i = 0; !fault && i < segment->header->upstreams_used; i++) {
        const apipool_upstream_t *u = &segment->upstreams[i];
        int sane = is_text(u->name, sizeof(u->name)) && u->pool < segment->header->pools_used &&
                   is_share(u->failing) && (u->faults.pausing & ~1) == 0 &&
                   (u->refusals.pausing & ~1) == 0 && u->unanswered <= 1 &&
                   u->habit <= APIPOOL_HABIT_SILENT;
        fault = sane ? check_counts(&u->counters.counts) : "an upstream makes no sense";
    }
    return fault;
}

/* --- Tables */

/* Expected state of a place in a table. */
typedef enum { NEITHER, LINKED, FREE } place_state_t;

/* A table and its array. */
typedef struct {
    const apipool_segment_t *segment;
    const apipool_hash_table_t *table;
    apr_uint32_t used; /* places of the array */
    place_state_t (*should)(const apipool_segment_t *segment, apr_uint32_t place);
    apr_uint64_t (*hash)(const apipool_segment_t *segment, apr_uint32_t place);
    unsigned char *is; /* place_state_t by place */
} checked_t;

/* Notes that all places of a chain have a state. Returns 0 if that cannot be. */
static int walk(const checked_t *checked, apr_uint32_t place, place_state_t state,
                apr_uint32_t *count)
{
    for (; place != APIPOOL_NONE; place = apipool_hash_table_next(checked->table, place)) {
        if (place >= checked->used || checked->is[place] != NEITHER) {
            return 0;
        }
        checked->is[place] = (unsigned char)state;
        ++*count;
    }
    return 1;
}

/* No chain is longer, as was checked before. */
static int is_found(const checked_t *checked, apr_uint32_t wanted)
{
    apr_uint32_t place =
        apipool_hash_table_first(checked->table, checked->hash(checked->segment, wanted));
    while (place != APIPOOL_NONE && place != wanted) {
        place = apipool_hash_table_next(checked->table, place);
    }
    return place == wanted;
}

static int is_table_whole(const checked_t *checked)
{
    const apipool_hash_table_t *table = checked->table;
    apr_uint32_t linked = 0, spare = 0;
    for (apr_uint32_t i = 0; i < table->chains; i++) {
        if (!walk(checked, table->first[i] - 1, LINKED, &linked)) {
            return 0;
        }
    }
    if (!walk(checked, table->head->free - 1, FREE, &spare) || linked != table->head->linked ||
        spare != table->head->spare) {
        return 0;
    }
    for (apr_uint32_t i = 0; i < checked->used; i++) {
        if (checked->is[i] != checked->should(checked->segment, i) ||
            (checked->is[i] == LINKED && !is_found(checked, i))) {
            return 0;
        }
    }
    return 1;
}

static const char *check_table(checked_t checked, const char *fault)
{
    if (checked.used > checked.table->capacity) {
        return fault;
    }
    checked.is = calloc(checked.used + 1, 1);
    int whole = checked.is && is_table_whole(&checked);
    free(checked.is);
    return whole ? NULL : fault;
}

static place_state_t should_slot(const apipool_segment_t *segment, apr_uint32_t place)
{
    const apipool_slot_t *slot = &segment->slots[place];
    return slot->id ? LINKED : slot->in_flight || slot->probing ? NEITHER : FREE;
}

static apr_uint64_t hash_slot(const apipool_segment_t *segment, apr_uint32_t place)
{
    return segment->slots[place].id;
}

static place_state_t should_holder(const apipool_segment_t *segment, apr_uint32_t place)
{
    return segment->holders[place].process ? NEITHER : FREE;
}

static place_state_t should_waiter(const apipool_segment_t *segment, apr_uint32_t place)
{
    return segment->waiters[place].process ? NEITHER : FREE;
}

static place_state_t should_queue(const apipool_segment_t *segment, apr_uint32_t place)
{
    for (apr_uint32_t i = 0; i < segment->header->waiters.used; i++) {
        if (segment->waiters[i].process && segment->waiters[i].queue == place) {
            return LINKED;
        }
    }
    return FREE;
}

static apr_uint64_t hash_queue(const apipool_segment_t *segment, apr_uint32_t place)
{
    return segment->queues[place].model ^ ((apr_uint64_t)segment->queues[place].pool << 32);
}

static place_state_t should_account_limit(const apipool_segment_t *segment, apr_uint32_t place)
{
    return segment->account_limits[place].account ? LINKED : FREE;
}

static apr_uint64_t hash_account_limit(const apipool_segment_t *segment, apr_uint32_t place)
{
    const apipool_account_limit_t *account_limit = &segment->account_limits[place];
    return account_limit->account ^ (account_limit->model << 1) ^ account_limit->pool;
}

static place_state_t should_name(const apipool_segment_t *segment, apr_uint32_t place)
{
    return segment->names.entries[place].hash ? LINKED : FREE;
}

static apr_uint64_t hash_name(const apipool_segment_t *segment, apr_uint32_t place)
{
    return segment->names.entries[place].hash;
}

static place_state_t should_client(const apipool_segment_t *segment, apr_uint32_t place)
{
    return segment->clients.slots[place].serial ? LINKED : FREE;
}

static place_state_t should_client_by_name(const apipool_segment_t *segment, apr_uint32_t place)
{
    return segment->clients.slots[place].serial ? LINKED : NEITHER;
}

static apr_uint64_t hash_digest(const apipool_segment_t *segment, apr_uint32_t place)
{
    apr_uint64_t hash;
    memcpy(&hash, segment->clients.slots[place].digest, sizeof(hash));
    return hash;
}

static place_state_t should_client_by_old(const apipool_segment_t *segment, apr_uint32_t place)
{
    const apipool_client_slot_t *slot = &segment->clients.slots[place];
    return slot->serial && slot->old_until ? LINKED : NEITHER;
}

static apr_uint64_t hash_old_digest(const apipool_segment_t *segment, apr_uint32_t place)
{
    apr_uint64_t hash;
    memcpy(&hash, segment->clients.slots[place].old_digest, sizeof(hash));
    return hash;
}

static apr_uint64_t hash_client(const apipool_segment_t *segment, apr_uint32_t place)
{
    const apipool_client_slot_t *slot = &segment->clients.slots[place];
    return apipool_hash(slot->server) * 31 + apipool_hash(slot->name);
}

static const char *check_slot_table(const apipool_segment_t *segment)
{
    return check_table((checked_t){segment, &segment->slot_table, segment->header->slots.used,
                                   should_slot, hash_slot, NULL},
                       "the table of slots is broken");
}

static const char *check_holder_table(const apipool_segment_t *segment)
{
    return check_table((checked_t){segment, &segment->holder_table, segment->header->holders.used,
                                   should_holder, NULL, NULL},
                       "the table of holders is broken");
}

static const char *check_queue_tables(const apipool_segment_t *segment)
{
    const char *fault =
        check_table((checked_t){segment, &segment->waiter_table, segment->header->waiters.used,
                                should_waiter, NULL, NULL},
                    "the table of waiters is broken");
    return fault ? fault
                 : check_table((checked_t){segment, &segment->queue_table,
                                           segment->header->queues.used, should_queue, hash_queue,
                                           NULL},
                               "the table of queues is broken");
}

static const char *check_account_limit_table(const apipool_segment_t *segment)
{
    return check_table((checked_t){segment, &segment->account_limit_table,
                                   segment->header->account_limits.used, should_account_limit,
                                   hash_account_limit, NULL},
                       "the table of hits is broken");
}

static const char *check_name_table(const apipool_segment_t *segment)
{
    return check_table((checked_t){segment, &segment->names.table, segment->names.table.head->used,
                                   should_name, hash_name, NULL},
                       "the table of names is broken");
}

static const char *check_client_tables(const apipool_segment_t *segment)
{
    const apipool_clients_t *clients = &segment->clients;
    apr_uint32_t used = apipool_clients_used(clients);
    const char *fault = check_table(
        (checked_t){segment, &clients->by_digest, used, should_client, hash_digest, NULL},
        "the table of clients by digest is broken");
    fault = fault ? fault
                  : check_table((checked_t){segment, &clients->by_name, used, should_client_by_name,
                                            hash_client, NULL},
                                "the table of clients by name is broken");
    return fault ? fault
                 : check_table((checked_t){segment, &clients->by_old, used, should_client_by_old,
                                           hash_old_digest, NULL},
                               "the table of clients by old key is broken");
}

/* --- Slots */

/* A key must match its id. */
static const char *check_key(const apipool_segment_t *segment, const apipool_slot_t *slot)
{
    if (slot->secret_len > APIPOOL_KEY_MAX ||
        (slot->secret_len > APIPOOL_KEY_INLINE) != (slot->secret_off != 0) ||
        (slot->secret_off && !is_block(segment, slot->secret_off, slot->secret_len))) {
        return "a key lies nowhere";
    }
    if (slot->text_off &&
        (!is_block(segment, slot->text_off, 2) ||
         strlen(apipool_slot_label_locked(segment, slot)) > APIPOOL_LABEL_MAX ||
         strlen(apipool_slot_account_locked(segment, slot)) > APIPOOL_ACCOUNT_MAX)) {
        return "the texts of a key are torn";
    }
    const char *key = slot->secret_off ? apipool_arena_at(segment, slot->secret_off) : slot->secret;
    return apipool_key_id(segment->header->store.secret, key, slot->secret_len) == slot->id
               ? NULL
               : "a key is not the one that it was";
}

static const char *check_slots(const apipool_segment_t *segment)
{
    const char *fault = check_slot_table(segment);
    for (apr_uint32_t i = 0; !fault && i < segment->header->slots.used; i++) {
        const apipool_slot_t *slot = &segment->slots[i];
        if (!slot->id) {
            fault =
                slot->secret_len || slot->text_off ? "a key that was removed is still there" : NULL;
            continue;
        }
        int sane = slot->state < APIPOOL_STATE_COUNT && slot->weight && is_share(slot->success) &&
                   isfinite(slot->served) && isfinite(slot->headroom) && slot->low <= 1 &&
                   isfinite(slot->balance) && is_text(slot->currency, sizeof(slot->currency));
        fault = sane ? check_counts(&slot->counts) : "a slot makes no sense";
        fault = fault ? fault : check_key(segment, slot);
    }
    return fault;
}

/* --- Holders */

/* Number of holders of one slot, by purpose. */
typedef struct {
    apr_uint32_t held, proving, probing;
} leases_t;

static const char *compare_leases(const apipool_segment_t *segment, leases_t *leases)
{
    const apipool_header_t *header = segment->header;
    for (apr_uint32_t i = 0; i < header->holders.used; i++) {
        const apipool_holder_t *holder = &segment->holders[i];
        int is_keys = holder->process && holder->purpose != APIPOOL_FOR_CLIENT;
        if (is_keys && holder->slot >= header->slots.used) {
            return "a slot that does not exist is held";
        }
        if (is_keys) {
            leases[holder->slot].held += holder->purpose != APIPOOL_FOR_PROBE;
            leases[holder->slot].proving += holder->purpose == APIPOOL_FOR_PROOF;
            leases[holder->slot].probing += holder->purpose == APIPOOL_FOR_PROBE;
        }
    }
    for (apr_uint32_t i = 0; i < header->slots.used; i++) {
        const apipool_slot_t *slot = &segment->slots[i];
        if (slot->in_flight != leases[i].held) {
            return "a slot has not as many requests in flight as holders";
        }
        if (leases[i].proving > 1 || slot->proving != leases[i].proving) {
            return "a slot is not proved by one request at most";
        }
        if (leases[i].probing > 1 || slot->probing != leases[i].probing) {
            return "a slot is not probed once at most";
        }
    }
    return NULL;
}

static const char *check_clients_places(const apipool_segment_t *segment)
{
    const apipool_clients_t *clients = &segment->clients;
    for (apr_uint32_t i = 0; i < apipool_clients_used(clients); i++) {
        const apipool_client_slot_t *client = &clients->slots[i];
        apr_uint32_t held = 0;
        for (apr_uint32_t h = 0; h < segment->header->holders.used; h++) {
            held += apipool_slot_held_client(segment, &segment->holders[h]) == client;
        }
        if (client->serial && held != client->in_flight) {
            return "a client has not as many requests in flight as holders";
        }
    }
    return NULL;
}

static const char *check_holders(const apipool_segment_t *segment)
{
    const char *fault = check_holder_table(segment);
    leases_t *leases = calloc(segment->header->slots.used + 1, sizeof(*leases));
    fault = fault ? fault : leases ? compare_leases(segment, leases) : "no memory";
    free(leases);
    return fault ? fault : check_clients_places(segment);
}

/* --- Queues */

/* One queue: in the order of tickets, linked both ways. */
static const char *check_queue(const apipool_segment_t *segment, apr_uint32_t queue,
                               apr_uint32_t *waiting)
{
    const apipool_queue_t *q = &segment->queues[queue];
    apr_uint32_t last = APIPOOL_NONE;
    for (apr_uint32_t i = q->first; i != APIPOOL_NONE; i = segment->waiters[i].next) {
        if (i >= segment->header->waiters.used || ++*waiting > segment->header->waiters.used) {
            return "a queue is broken";
        }
        const apipool_waiter_t *waiter = &segment->waiters[i];
        if (!waiter->process || waiter->queue != queue || waiter->prev != last ||
            waiter->pool != q->pool || waiter->model != q->model || waiter->ticket >= q->tickets ||
            (last != APIPOOL_NONE && segment->waiters[last].ticket >= waiter->ticket)) {
            return "a queue is broken";
        }
        last = i;
    }
    return q->last == last ? NULL : "a queue does not know its end";
}

static const char *check_queues(const apipool_segment_t *segment)
{
    const apipool_header_t *header = segment->header;
    apr_uint32_t waiting = 0, taken = 0;
    const char *fault = check_queue_tables(segment);
    for (apr_uint32_t i = 0; !fault && i < header->queues.used; i++) {
        fault = should_queue(segment, i) == LINKED ? check_queue(segment, i, &waiting) : NULL;
    }
    for (apr_uint32_t i = 0; !fault && i < header->waiters.used; i++) {
        taken += segment->waiters[i].process != 0;
    }
    return fault ? fault : taken == waiting ? NULL : "a waiter is lost";
}

/* --- The rest */

static const char *check_hits(const apipool_segment_t *segment)
{
    for (apr_uint32_t i = 0; i < APIPOOL_ACCOUNT_LIMITS_MAX; i++) {
        const apipool_account_limit_t *account_limit = &segment->account_limits[i];
        if (account_limit->spent > 1 ||
            (account_limit->account &&
             account_limit->until > segment->header->account_limits_until)) {
            return "what has hit an account is not known";
        }
    }
    return check_account_limit_table(segment);
}

/* Number of entries of each pool's clients and models, counted again. */
static const char *check_places(const apipool_names_t *names)
{
    apr_uint32_t kinds = names->pools * APIPOOL_NAMED_KINDS;
    apr_uint32_t *used = calloc(kinds, sizeof(*used));
    if (!used) {
        return "no memory";
    }
    for (apr_uint32_t i = 0; i < names->table.head->used; i++) {
        if (names->entries[i].hash) {
            used[names->entries[i].pool * APIPOOL_NAMED_KINDS + names->entries[i].kind]++;
        }
    }
    int same = memcmp(used, names->used, kinds * sizeof(*used)) == 0;
    free(used);
    return same ? NULL : "places of names are counted wrongly";
}

static const char *check_names(const apipool_segment_t *segment)
{
    const apipool_names_t *names = &segment->names;
    const char *fault = check_name_table(segment);
    for (apr_uint32_t i = 0; !fault && i < names->table.head->used; i++) {
        const apipool_named_t *entry = &names->entries[i];
        if (entry->hash) {
            int sane = entry->pool < names->pools && entry->kind < APIPOOL_NAMED_KINDS &&
                       is_text(entry->text, sizeof(entry->text));
            fault = sane ? check_counts(&entry->counters.counts) : "a name makes no sense";
        }
    }
    for (apr_uint32_t i = 0; !fault && i < names->pools * APIPOOL_NAMED_KINDS; i++) {
        fault = check_counts(&names->others[i].counts);
    }
    return fault ? fault : check_places(names);
}

/* A process that died may have been overwriting the oldest entry. */
static const char *check_recent(const apipool_segment_t *segment)
{
    const apipool_recent_t *recent = &segment->recent;
    apr_uint32_t count = apipool_recent_count_locked(recent);
    for (apr_uint64_t n = *recent->pushed - count; n < *recent->pushed; n++) {
        const apipool_recent_entry_t *entry = &recent->entries[n % recent->size];
        if (entry->number != n + 1 && n + recent->size == *recent->pushed) {
            continue;
        }
        if (entry->number != n + 1 || entry->ending >= APIPOOL_ENDINGS ||
            entry->usage > APIPOOL_TOKENS_ESTIMATED ||
            !is_text(entry->client, sizeof(entry->client)) ||
            !is_text(entry->endpoint, sizeof(entry->endpoint)) ||
            !is_text(entry->model, sizeof(entry->model))) {
            return "one of the last requests makes no sense";
        }
    }
    return NULL;
}

static const char *check_clients(const apipool_segment_t *segment)
{
    const apipool_clients_t *clients = &segment->clients;
    const char *fault = check_client_tables(segment);
    for (apr_uint32_t i = 0; !fault && i < apipool_clients_used(clients); i++) {
        const apipool_client_slot_t *slot = &clients->slots[i];
        int sane = slot->current <= 1 && slot->serial <= clients->head->serials &&
                   is_text(slot->server, sizeof(slot->server)) &&
                   is_text(slot->name, sizeof(slot->name)) &&
                   apipool_client_lists_are_whole(&slot->terms[slot->current]);
        fault = !slot->serial ? NULL
                : sane        ? check_counts(&slot->counters.counts)
                              : "a client makes no sense";
    }
    return fault;
}

const char *consistency_of(const apipool_segment_t *segment)
{
    static const char *(*const checks[])(const apipool_segment_t *segment) = {
        check_header, check_pools,   check_slots,  check_holders,          check_queues, check_hits,
        check_names,  check_clients, check_recent, consistency_of_members, check_arena};
    const char *fault = NULL;
    for (apr_size_t i = 0; !fault && i < sizeof(checks) / sizeof(*checks); i++) {
        fault = checks[i](segment);
    }
    return fault;
}
