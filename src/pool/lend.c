/* SPDX-License-Identifier: Apache-2.0
 * Lending: checks of the chosen key, and the bookkeeping of its use. */
#include <string.h>

#include "account.h"
#include "breaker.h"
#include "fault.h"
#include "members.h"
#include "pool.h"
#include "queue.h"
#include "slots.h"
#include "tier.h"

#define QUEUE_STEP apr_time_from_msec(2) /* per place in the queue, until the next look */
#define QUEUE_FAR  50

/* Keys put off in one go, for example all of one account, before others get the lock. */
#define AT_ONCE_MAX 256

/* Takes a key out of the rotation until then, for one model or for all. */
static void put_off(apipool_tier_t *tier, apr_uint32_t index, apipool_part_t *part,
                    apr_uint64_t model, apr_time_t until, int reason)
{
    apipool_slot_t *slot = &tier->segment->slots[index];
    int active = slot->state == APIPOOL_STATE_ACTIVE;
    if (active && model) {
        part->model_slot =
            apipool_members_cool_locked(tier->segment, index, model, until, tier->now);
    }
    else {
        slot->reason = active ? (apr_uint16_t)reason : slot->reason;
        apipool_slot_move_locked(tier->segment, index, active ? APIPOOL_STATE_COOLING : slot->state,
                                 active || slot->until[0] < until ? until : slot->until[0]);
    }
}

/* Applies a limit of the key's account that the key has not taken over yet. Returns 1 if there
 * is one. */
static int is_limited_by_account(apipool_tier_t *tier, apr_uint32_t index, apipool_part_t *part)
{
    apipool_slot_t *slot = &tier->segment->slots[index];
    const apipool_source_t *source = part->source;
    const apipool_account_limit_t *account_limit = apipool_account_find_locked(
        tier->segment, slot->pool, slot->account, source->model, tier->now);
    if (!account_limit) {
        return 0;
    }
    if (account_limit->spent && slot->state == APIPOOL_STATE_ACTIVE) {
        slot->low = 0;
        slot->reason = APIPOOL_REASON_ACCOUNT;
        slot->rests_until = 0;
        apipool_slot_move_locked(tier->segment, index, APIPOOL_STATE_QUOTA, account_limit->until);
    }
    else { /* one key of a spent account finds out when it works again */
        put_off(tier, index, part, account_limit->spent ? 0 : account_limit->model,
                account_limit->until, APIPOOL_REASON_ACCOUNT);
    }
    return 1;
}

/* Passes over a key, for this request only, that has capacity left but not enough tokens. */
static void skip(apipool_tier_t *tier, apr_uint32_t index, apr_time_t until,
                 apipool_why_not_t *why_not)
{
    apipool_why_not_note(why_not, until);
    why_not->cooling = 1;
    if (tier->skipped_count < APIPOOL_SKIPPED_MAX) {
        tier->skipped[tier->skipped_count++] = index;
    }
    else {
        tier->count = 0; /* another key is not likely to have enough */
    }
}

/* Checks the configured limits of a key. If they block every request, the key leaves the
 * rotation until they admit one again. */
static int is_full(apipool_tier_t *tier, apr_uint32_t index, apipool_part_t *part,
                   apipool_why_not_t *why_not)
{
    apipool_slot_t *slot = &tier->segment->slots[index];
    const apipool_key_limits_t *limits = tier->request->limits;
    apr_time_t now = tier->now;
    apr_time_t for_this = apipool_slot_admits_at_locked(slot, limits, tier->request->tokens, now);
    if (for_this == now) {
        return 0;
    }
    apr_time_t for_any = apipool_slot_admits_at_locked(slot, limits, 1, now);
    if (for_any > now) {
        put_off(tier, index, part, 0, for_any,
                APIPOOL_REASON_LIMIT + apipool_slot_last_limit_locked(slot, limits, now));
    }
    else {
        skip(tier, index, for_this, why_not);
    }
    return 1;
}

/* Updates the key's virtual time for fair queueing; it is at most one request behind the clock. */
static void serve(apipool_tier_t *tier, apr_uint32_t index, apipool_part_t *part)
{
    apipool_slot_t *slot = &tier->segment->slots[index];
    double clock = tier->pool->clock;
    apipool_candidate_t candidate = apipool_tier_look_at_locked(tier, index, part);
    tier->pool->clock = slot->served > clock ? slot->served : clock;
    slot->served = apipool_select_finish(tier->request->strategy, &candidate, clock);
}

static void lend(apipool_tier_t *tier, apr_uint32_t index, apipool_part_t *part,
                 apipool_lease_t *lease)
{
    apipool_segment_t *segment = tier->segment;
    apipool_slot_t *slot = &segment->slots[index];
    const apipool_source_t *source = part->source;

    serve(tier, index, part);
    apipool_window_charge_four(slot->windows, tier->now, tier->request->tokens);
    apipool_breaker_spend_locked(&segment->upstreams[slot->upstream], source->model,
                                 tier->request->client, tier->now);
    slot->in_flight++;
    APIPOOL_FAULT("lend-unheld");
    slot->last_used_at = tier->now;
    slot->concurrency = apipool_concurrency_in_force(&slot->limits, tier->request->limits);
    int proving = slot->state == APIPOOL_STATE_HALF_OPEN;
    slot->proving = proving ? 1 : slot->proving;
    if (proving || slot->concurrency) {
        apipool_members_settle_locked(segment, index);
    }
    apipool_slot_fill_lease_locked(segment, index, tier->now, lease);
    lease->holder = apipool_slot_hold_locked(segment, index,
                                             proving ? APIPOOL_FOR_PROOF : APIPOOL_FOR_REQUEST, 0);
    lease->model = source->model;
    lease->tokens = tier->request->tokens;
    apipool_slot_note_reserved_locked(segment, lease->holder, lease->tokens, tier->now);
    lease->proving = proving;
}

/* Looks for a key in the tier and lends it. A limit that blocks a chosen key is noted with the
 * key, which leaves the rotation, so that no other request looks at it in vain. */
static int lend_from(apipool_tier_t *tier, apipool_lease_t *lease, apipool_why_not_t *why_not)
{
    for (int passed_over = 0; tier->count; passed_over++) {
        apipool_part_t *part;
        if (passed_over == AT_ONCE_MAX) {
            why_not->more = 1;
            return 0;
        }
        apr_uint32_t index = apipool_tier_pick_locked(tier, &part);
        if (index == APIPOOL_NONE) {
            return 0;
        }
        if (!is_limited_by_account(tier, index, part) && !is_full(tier, index, part, why_not)) {
            if (!tier->request->look_only) {
                lend(tier, index, part, lease);
            }
            return 1;
        }
    }
    return 0;
}

/* Notes when the paused upstreams of a tier can serve. A key there that has not taken over its
 * account's limit yet does so, as if it had been chosen: the pause may end before the limit. */
static void note_pauses(const apipool_tier_t *tier, apipool_lease_t *lease,
                        apipool_why_not_t *why_not)
{
    apipool_lend_request_t look = *tier->request;
    look.look_only = 1;
    look.tried_count = look.doubted_count;
    for (int i = 0; i < tier->count && !why_not->more; i++) {
        apipool_why_not_t own = {0};
        apipool_tier_t alone;
        if (tier->parts[i].paused_until) {
            apipool_tier_resume_locked(&alone, tier, &tier->parts[i], &look);
            int found = lend_from(&alone, lease, &own);
            apipool_tier_note_pause_locked(&alone, found, own.retry_at, why_not);
            why_not->more = own.more;
        }
    }
}

static apipool_acquired_e result_of(const apipool_why_not_t *why_not)
{
    return why_not->tried     ? APIPOOL_ALL_TRIED
           : why_not->busy    ? APIPOOL_ALL_BUSY
           : why_not->cooling ? APIPOOL_ALL_COOLING
           : why_not->paused  ? APIPOOL_ALL_PAUSED
                              : APIPOOL_EXHAUSTED;
}

static apipool_acquired_e search(apipool_segment_t *segment, const apipool_lend_request_t *request,
                                 int last_resort, apr_time_t now, apipool_lease_t *lease,
                                 apipool_why_not_t *why_not)
{
    for (int next = 0; next < request->source_count;) {
        apipool_tier_t tier;
        tier.last_resort = last_resort;
        apipool_tier_open_locked(&tier, segment, request, now, &next, why_not);
        if (lend_from(&tier, lease, why_not)) {
            return APIPOOL_ACQUIRED;
        }
        if (!why_not->more) {
            note_pauses(&tier, lease, why_not);
        }
        if (why_not->more) {
            break;
        }
        apipool_tier_note_why_not_locked(&tier, why_not);
    }
    return result_of(why_not);
}

static apipool_acquired_e acquire_locked(apipool_segment_t *segment,
                                         const apipool_lend_request_t *request, apr_time_t now,
                                         apipool_lease_t *lease, apipool_why_not_t *why_not)
{
    /* a request with keys in doubt has already had its turn and does not queue: see apipool_wait */
    apr_uint64_t ahead = request->look_only || request->doubted_count
                             ? 0
                             : apipool_queue_ahead_locked(segment, request->pool,
                                                          request->waits_for, request->waiter);
    if (ahead) {
        why_not->retry_at = now + (ahead < QUEUE_FAR ? (apr_time_t)ahead : QUEUE_FAR) * QUEUE_STEP;
        return APIPOOL_QUEUED;
    }
    apipool_acquired_e result = search(segment, request, 0, now, lease, why_not);
    return result == APIPOOL_EXHAUSTED && why_not->avoided && !request->tried_count
               ? search(segment, request, 1, now, lease, why_not)
               : result;
}

apr_status_t apipool_pool_lend(apipool_segment_t *segment, const apipool_lend_request_t *request,
                               apr_time_t now, apipool_lease_t *lease, apipool_lent_t *lent)
{
    apipool_why_not_t why_not;
    do {
        memset(&why_not, 0, sizeof(why_not));
        apr_status_t rv = apipool_segment_lock(segment);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        lent->result = acquire_locked(segment, request, now, lease, &why_not);
        apipool_segment_unlock(segment);
    } while (why_not.more);
    lent->retry_at = lent->result == APIPOOL_ACQUIRED ? 0 : why_not.retry_at;
    return APR_SUCCESS;
}

apr_status_t apipool_pool_charge(apipool_segment_t *segment, apipool_lease_t *lease,
                                 const apipool_further_t *further, apr_time_t now,
                                 apr_time_t *retry_at)
{
    apipool_slot_t *slot = &segment->slots[lease->slot];
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    *retry_at = 0;
    if (slot->id == lease->id) {
        apr_time_t at = further->has_begun ? now
                                           : apipool_slot_admits_at_locked(slot, further->limits,
                                                                           further->tokens, now);
        if (at > now) {
            *retry_at = at;
        }
        else {
            apipool_window_charge_four(slot->windows, now, further->tokens);
            apipool_slot_note_reserved_locked(segment, lease->holder, further->tokens, now);
            slot->last_used_at = now;
        }
    }
    apipool_segment_unlock(segment);
    lease->tokens = further->tokens;
    lease->lent_at = now;
    return APR_SUCCESS;
}

int apipool_pool_limits(const apipool_segment_t *segment, const apipool_lease_t *lease,
                        const apipool_key_limits_t *limits)
{
    return apipool_slot_has_limits(&segment->slots[lease->slot], limits);
}
