/* SPDX-License-Identifier: Apache-2.0
 * When the next key of a group can be had. */
#include "wake.h"

#include "account.h"
#include "members.h"
#include "slots.h"

#define WALK_MAX   64
#define VISITS_MAX 256

static apr_time_t later(apr_time_t a, apr_time_t b)
{
    return a > b ? a : b;
}

/* Keys that a request has left in doubt never come back to it. */
static int is_doubted(const apipool_segment_t *segment, const apipool_slot_t *slot,
                      const apipool_lend_request_t *wanted)
{
    for (int i = 0; i < wanted->doubted_count; i++) {
        if (&segment->slots[wanted->tried[i]] == slot) {
            return 1;
        }
    }
    return 0;
}

/* When a member is back for a model slot's models: all its cooldowns must have ended. 0: not by the clock. */
static apr_time_t back_at(const apipool_segment_t *segment, apipool_slot_t *slot,
                          apr_uint32_t model_slot, const apipool_wake_for_t *who)
{
    apr_time_t at = slot->state == APIPOOL_STATE_ACTIVE ? 1 : later(slot->until[0], 1);
    int spent;
    if (slot->state != APIPOOL_STATE_COOLING && slot->state != APIPOOL_STATE_ACTIVE &&
        slot->state != APIPOOL_STATE_HALF_OPEN) {
        return 0;
    }
    if (model_slot && slot->place[model_slot] != APIPOOL_NONE) {
        at = later(at, slot->until[model_slot]);
    }
    if (!who) {
        return at;
    }
    if (is_doubted(segment, slot, who->wanted)) {
        return 0;
    }
    apr_time_t admits =
        apipool_slot_admits_at_locked(slot, who->wanted->limits, who->wanted->tokens, who->now);
    at = admits > who->now ? later(at, admits) : at;
    apr_time_t account_limit =
        apipool_account_until_locked(segment, slot->pool, slot->account, who->model, &spent);
    return account_limit > at && spent && slot->state != APIPOOL_STATE_HALF_OPEN
               ? 0
               : later(at, account_limit);
}

/* Walks a heap from its root as far as members may be back before the best so far. */
static apr_time_t earliest(const apipool_segment_t *segment, const apipool_heap_t *heap,
                           apr_uint32_t model_slot, const apipool_wake_for_t *who, apr_time_t best)
{
    apr_uint32_t places[WALK_MAX];
    int left = 0, visits = 0;

    if (*heap->count) {
        places[left++] = 0;
    }
    while (left) {
        apr_uint32_t place = places[--left];
        apipool_slot_t *slot = &heap->slots[heap->at[place]];
        if (best && slot->until[heap->model_slot] >= best) {
            continue;
        }
        if (++visits > VISITS_MAX) { /* near enough: none of the rest comes before it */
            best =
                best < slot->until[heap->model_slot] && best ? best : slot->until[heap->model_slot];
            continue;
        }
        apr_time_t at =
            slot->state != APIPOOL_STATE_HALF_OPEN ? back_at(segment, slot, model_slot, who) : 0;
        if (at && (!best || at < best)) {
            best = at;
        }
        for (apr_uint32_t child = 2 * place + 1; child <= 2 * place + 2; child++) {
            if (child < *heap->count && left < WALK_MAX) {
                places[left++] = child;
            }
        }
    }
    return best;
}

static apr_time_t first_of(const apipool_heap_t *heap)
{
    return heap->slots[*heap->at].until[heap->model_slot];
}

/* Whether whoever the clock brings back cools in that model slot, as far as can be told at once. */
static int all_cool(const apipool_segment_t *segment, const apipool_upstream_t *g,
                    apr_uint32_t model_slot)
{
    apipool_bitset_t clear = apipool_members_bits(segment, g, model_slot);
    return model_slot ? apipool_bitset_next(&clear, NULL, 0) >= g->ordinals
                      : !g->usable && !g->held_up;
}

apr_time_t apipool_wake_first_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                     apr_uint32_t model_slot, const apipool_wake_for_t *who)
{
    apipool_upstream_t *g = &segment->groups[group];
    apipool_heap_t all = apipool_members_heap(segment, g, APIPOOL_IN_COOLING);
    apipool_heap_t one = apipool_members_heap(segment, g, APIPOOL_IN_COOLING + model_slot);
    if (!model_slot || !g->model_slots[model_slot].waiting) {
        return earliest(segment, &all, model_slot, who, 0);
    }
    if (!g->model_slots[0].waiting) {
        return earliest(segment, &one, model_slot, who, 0);
    }
    /* who cools in both comes back with the later: that heap tells at once, and may tell all */
    int one_is_later = first_of(&one) > first_of(&all);
    apr_time_t best = earliest(segment, one_is_later ? &one : &all, model_slot, who, 0);
    return all_cool(segment, g, one_is_later ? model_slot : 0)
               ? best
               : earliest(segment, one_is_later ? &all : &one, model_slot, who, best);
}

apr_time_t apipool_wake_proof_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                     apr_uint32_t model_slot, const apipool_wake_for_t *who,
                                     apr_time_t after)
{
    const apipool_upstream_t *g = &segment->groups[group];
    const apr_uint32_t *heap = apipool_members_row(segment, g, APIPOOL_IN_HALF_OPEN);
    apr_time_t first = 0;
    for (apr_uint32_t place = 0; place < g->half_open && place < WALK_MAX; place++) {
        apr_time_t at = back_at(segment, &segment->slots[heap[place]], model_slot, who);
        if (at > after && (!first || at < first)) {
            first = at;
        }
    }
    return first;
}
