/* SPDX-License-Identifier: Apache-2.0
 * Time at which the next key of an upstream becomes usable. */
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

/* A key that a request has left in doubt never comes back to it. */
static int is_doubted(const apipool_segment_t *segment, const apipool_slot_t *slot,
                      const apipool_lend_request_t *request)
{
    for (int i = 0; i < request->doubted_count; i++) {
        if (&segment->slots[request->tried[i]] == slot) {
            return 1;
        }
    }
    return 0;
}

/* Time when a member is usable again for the models of a model slot, after all its cooldowns; 0:
 * not by the clock. */
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
    if (is_doubted(segment, slot, who->request)) {
        return 0;
    }
    apr_time_t admits =
        apipool_slot_admits_at_locked(slot, who->request->limits, who->request->tokens, who->now);
    at = admits > who->now ? later(at, admits) : at;
    apr_time_t account_limit =
        apipool_account_until_locked(segment, slot->pool, slot->account, who->model, &spent);
    return account_limit > at && spent && slot->state != APIPOOL_STATE_HALF_OPEN
               ? 0
               : later(at, account_limit);
}

/* Walks a heap from its root as far as members can wake before the best time so far. */
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
        if (++visits > VISITS_MAX) { /* close enough: none of the rest comes before it */
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

/* Returns 1 if, as far as is known without a search, every member that the clock brings back
 * cools in that model slot. */
static int all_cool(const apipool_segment_t *segment, const apipool_upstream_t *u,
                    apr_uint32_t model_slot)
{
    apipool_bitset_t clear = apipool_members_bits(segment, u, model_slot);
    return model_slot ? apipool_bitset_next(&clear, NULL, 0) >= u->list_used
                      : !u->usable && !u->held_up;
}

apr_time_t apipool_wake_first_locked(const apipool_segment_t *segment, apr_uint32_t upstream,
                                     apr_uint32_t model_slot, const apipool_wake_for_t *who)
{
    apipool_upstream_t *u = &segment->upstreams[upstream];
    apipool_heap_t all = apipool_members_heap(segment, u, APIPOOL_IN_COOLING);
    apipool_heap_t one = apipool_members_heap(segment, u, APIPOOL_IN_COOLING + model_slot);
    if (!model_slot || !u->model_slots[model_slot].waiting) {
        return earliest(segment, &all, model_slot, who, 0);
    }
    if (!u->model_slots[0].waiting) {
        return earliest(segment, &one, model_slot, who, 0);
    }
    /* a member in both heaps is back at the later time: that heap shows it, and may be enough */
    int one_is_later = first_of(&one) > first_of(&all);
    apr_time_t best = earliest(segment, one_is_later ? &one : &all, model_slot, who, 0);
    return all_cool(segment, u, one_is_later ? model_slot : 0)
               ? best
               : earliest(segment, one_is_later ? &all : &one, model_slot, who, best);
}

apr_time_t apipool_wake_proof_locked(const apipool_segment_t *segment, apr_uint32_t upstream,
                                     apr_uint32_t model_slot, const apipool_wake_for_t *who,
                                     apr_time_t after)
{
    const apipool_upstream_t *u = &segment->upstreams[upstream];
    const apr_uint32_t *heap = apipool_members_row(segment, u, APIPOOL_IN_HALF_OPEN);
    apr_time_t first = 0;
    for (apr_uint32_t place = 0; place < u->half_open && place < WALK_MAX; place++) {
        apr_time_t at = back_at(segment, &segment->slots[heap[place]], model_slot, who);
        if (at > after && (!first || at < first)) {
            first = at;
        }
    }
    return first;
}
