/* SPDX-License-Identifier: Apache-2.0
 * What a process that was killed with the lock in its hands has left torn is put right. */
#include "repair.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "account.h"
#include "arena.h"
#include "fault.h"
#include "pool.h"
#include "queue.h"
#include "rebuild.h"
#include "sessions.h"
#include "slots.h"

static apr_uint32_t at_most(apr_uint32_t value, apr_uint32_t most)
{
    return value <= most ? value : most;
}

static double finite_or(double value, double instead)
{
    return isfinite(value) ? value : instead;
}

/* Of what was to be added next, nothing is left. */
static void mend_header(apipool_segment_t *segment)
{
    apipool_header_t *header = segment->header;
    header->pools_used = at_most(header->pools_used, APIPOOL_POOLS_MAX);
    header->groups_used = at_most(header->groups_used, APIPOOL_GROUPS_MAX);
    header->slots_used = at_most(header->slots_used, header->groups_used ? header->capacity : 0);
    header->random |= !header->random;
    if (header->pools_used < APIPOOL_POOLS_MAX) {
        memset(&segment->pools[header->pools_used], 0, sizeof(*segment->pools));
    }
    if (header->groups_used < APIPOOL_GROUPS_MAX) {
        memset(&segment->groups[header->groups_used], 0, sizeof(*segment->groups));
    }
    if (header->slots_used < header->capacity) {
        memset(&segment->slots[header->slots_used], 0, sizeof(*segment->slots));
    }
}

static void mend_pool(const apipool_segment_t *segment, apr_uint32_t index)
{
    apipool_shared_pool_t *pool = &segment->pools[index];
    pool->server[APIPOOL_SERVER_NAME_MAX - 1] = '\0';
    pool->name[APIPOOL_NAME_MAX - 1] = '\0';
    pool->clock = finite_or(pool->clock, 0);
    pool->heaviest = finite_or(pool->heaviest, 0);
    apipool_numbers_mend(&segment->stats[index].numbers);
}

static void mend_trouble(apipool_trouble_t *trouble)
{
    trouble->pausing = trouble->pausing != 0;
}

static void mend_group(apipool_segment_t *segment, apipool_group_t *g)
{
    g->name[APIPOOL_NAME_MAX - 1] = '\0';
    g->pool = g->pool < segment->header->pools_used ? g->pool : 0;
    g->failing = g->failing >= 0 && g->failing <= 1 ? g->failing : 0;
    g->unanswered = g->unanswered != 0;
    for (int i = 0; i < 2; i++) {
        g->habits[i] = g->habits[i] <= APIPOOL_HABIT_SILENT ? g->habits[i] : APIPOOL_HABIT_UNKNOWN;
    }
    memset(g->doubts, 0, sizeof(g->doubts)); /* a key that is at fault comes into doubt again */
    g->doubts_open = 0;
    mend_trouble(&g->faults);
    mend_trouble(&g->refusals);
    apipool_numbers_mend(&g->numbers);
}

/* A key that nobody could say of where it belongs, or what it is, is used by nobody. */
static void switch_off(apipool_slot_t *slot)
{
    slot->state = APIPOOL_STATE_DISABLED;
    slot->secret_len = 0;
    slot->secret_off = 0;
}

static void mend_place(const apipool_segment_t *segment, apipool_slot_t *slot)
{
    const apipool_header_t *header = segment->header;
    if (slot->group < header->groups_used && segment->groups[slot->group].pool == slot->pool) {
        return;
    }
    slot->group = 0;
    while (slot->group < header->groups_used && segment->groups[slot->group].pool != slot->pool) {
        slot->group++;
    }
    if (slot->group == header->groups_used) {
        slot->group = 0;
        slot->pool = segment->groups[0].pool;
        switch_off(slot);
    }
}

static void mend_balance(apipool_slot_t *slot)
{
    slot->low = slot->low != 0;
    if (!isfinite(slot->balance) || slot->currency[APIPOOL_CURRENCY_SIZE - 1]) {
        slot->balance = 0;
        memset(slot->currency, 0, sizeof(slot->currency));
        slot->read_at = 0; /* it is read again */
    }
}

/* Of a key that was removed, or not yet added, nothing is left but who has it. */
static void empty_slot(apipool_slot_t *slot)
{
    memset(slot, 0, sizeof(*slot));
    slot->state = APIPOOL_STATE_DISABLED;
    slot->ordinal = APIPOOL_NONE;
}

static void mend_text(const apipool_segment_t *segment, apipool_slot_t *slot)
{
    const apipool_arena_t *arena = &segment->header->arena;
    int fits = slot->text_off % APIPOOL_ARENA_BLOCK == 0 && slot->text_len >= 2 &&
               slot->text_len <= APIPOOL_TEXT_MAX && arena->top <= arena->size &&
               slot->text_off < arena->top && slot->text_len <= arena->top - slot->text_off;
    if (slot->text_off && (!fits || !apipool_slot_has_texts(segment, slot))) {
        slot->text_off = 0;
        slot->text_len = 0;
    }
}

static void mend_slot(const apipool_segment_t *segment, apipool_slot_t *slot)
{
    if (!slot->id) {
        empty_slot(slot);
        return;
    }
    mend_text(segment, slot);
    mend_place(segment, slot);
    if ((unsigned)slot->state >= APIPOOL_STATE_COUNT) { /* one request will tell */
        slot->state = APIPOOL_STATE_HALF_OPEN;
        slot->until[0] = 0;
    }
    if (slot->secret_len > APIPOOL_KEY_MAX ||
        (slot->secret_len > APIPOOL_KEY_INLINE) != (slot->secret_off != 0)) {
        switch_off(slot);
    }
    slot->weight = slot->weight ? slot->weight : 1;
    slot->success = slot->success >= 0 && slot->success <= 1 ? slot->success : 1;
    slot->served = finite_or(slot->served, 0);
    slot->headroom = finite_or(slot->headroom, 1);
    mend_balance(slot);
    apipool_counts_mend(&slot->counts);
}

static void chain_by_id(apipool_segment_t *segment)
{
    apipool_header_t *header = segment->header;
    memset(segment->heads, 0xff, header->heads * sizeof(*segment->heads));
    for (apr_uint32_t i = 0; i < header->slots_used; i++) {
        if (!segment->slots[i].id) {
            continue;
        }
        apr_uint32_t *head = &segment->heads[segment->slots[i].id & (header->heads - 1)];
        segment->slots[i].next = *head;
        *head = i;
    }
}

/* What a slot has in the arena. */
typedef struct {
    apipool_slot_t *slot;
    apipool_offset_t at;
    apr_uint32_t len;
} kept_t;

static int by_offset(const void *a, const void *b)
{
    const kept_t *first = a, *second = b;
    return (first->at > second->at) - (first->at < second->at);
}

static void lose_kept(const kept_t *kept)
{
    if (kept->at == kept->slot->secret_off) {
        switch_off(kept->slot);
    }
    else {
        kept->slot->text_off = 0;
        kept->slot->text_len = 0;
    }
}

/* Long keys and texts stay where they are; all else of the arena is free. */
static int keep_what_slots_have(apipool_segment_t *segment)
{
    apr_uint32_t used = segment->header->slots_used, count = 0;
    kept_t *kept = malloc((2 * (apr_size_t)used + 1) * sizeof(*kept));
    if (!kept) {
        return 0;
    }
    for (apr_uint32_t i = 0; i < used; i++) {
        apipool_slot_t *slot = &segment->slots[i];
        if (slot->secret_off) {
            kept[count++] = (kept_t){slot, slot->secret_off, slot->secret_len};
        }
        if (slot->text_off) {
            kept[count++] = (kept_t){slot, slot->text_off, slot->text_len};
        }
    }
    qsort(kept, count, sizeof(*kept), by_offset);
    apipool_arena_reset_locked(segment);
    for (apr_uint32_t i = 0; i < count; i++) {
        if (!apipool_arena_keep_locked(segment, kept[i].at, kept[i].len)) {
            lose_kept(&kept[i]);
        }
    }
    free(kept);
    return 1;
}

int apipool_repair_locked(apipool_segment_t *segment)
{
    const apipool_header_t *header = segment->header;
    mend_header(segment);
    for (apr_uint32_t i = 0; i < header->pools_used; i++) {
        mend_pool(segment, i);
    }
    for (apr_uint32_t i = 0; i < header->groups_used; i++) {
        mend_group(segment, &segment->groups[i]);
    }
    for (apr_uint32_t i = 0; i < header->slots_used; i++) {
        mend_slot(segment, &segment->slots[i]);
    }
    chain_by_id(segment);
    apipool_clients_mend_locked(&segment->clients);
    apipool_slot_rebuild_holders_locked(segment);
    apipool_slot_rebuild_spare_locked(segment);
    apipool_queue_rebuild_locked(segment);
    apipool_account_mend_locked(segment);
    apipool_names_mend_locked(&segment->names);
    apipool_recent_mend_locked(&segment->recent);
    APIPOOL_FAULT("repair-half-done");
    if (!keep_what_slots_have(segment)) {
        return 0;
    }
    APIPOOL_FAULT("repair-arena-empty");
    return apipool_members_rebuild_locked(segment);
}
