/* SPDX-License-Identifier: Apache-2.0
 * Keys lent to probes, which check them at their upstream at no cost, and the results. */
#include "recovery.h"

#include <string.h>

#include "account.h"
#include "breaker.h"
#include "doubt.h"
#include "fault.h"
#include "health.h"
#include "keys.h"
#include "members.h"
#include "slots.h"

#define WALK_MAX 1024 /* keys looked at in one go */

static apr_time_t due_at(apipool_segment_t *segment, unsigned tries, const apipool_policy_t *policy,
                         apr_time_t now)
{
    unsigned spread = policy->recover_spread;
    unsigned permille =
        spread ? 1000 - spread + apipool_segment_draw_locked(segment, 2 * spread + 1) : 1000;
    return apipool_health_recover_at(tries, now, policy->recover_min, policy->recover_max,
                                     permille);
}

void apipool_recovery_lose_locked(apipool_segment_t *segment, apr_uint32_t index,
                                  apipool_state_e state, unsigned tries,
                                  const apipool_policy_t *policy, apr_time_t now)
{
    apipool_slot_t *slot = &segment->slots[index];
    apr_time_t at = due_at(segment, tries, policy, now);
    at = at > slot->rests_until ? at : slot->rests_until;
    slot->recover_tries = tries;
    slot->served_model = 0; /* which says no more that the key is in order */
    apipool_slot_move_locked(segment, index, state, at);
    apipool_doubt_forget_locked(segment, index);
    if (state == APIPOOL_STATE_QUOTA) {
        apipool_account_limit_locked(segment, slot->pool, slot->account, 0, 1, at, now);
    }
}

void apipool_recovery_return_locked(apipool_segment_t *segment, apr_uint32_t index,
                                    apr_time_t rests_until, apr_time_t now)
{
    apipool_slot_t *slot = &segment->slots[index];
    slot->low = 0;
    slot->recover_tries = 0;
    apipool_slot_move_locked(
        segment, index, rests_until ? APIPOOL_STATE_COOLING : APIPOOL_STATE_ACTIVE, rests_until);
    apipool_account_refill_locked(segment, slot->pool, slot->account, now);
}

/* --- Lending to probes ------------------------------------------------------------------------ */

/* Returns 0 when no holder entry is free: without one, a lease lost with its process would keep
 * the key from ever being probed again. */
static int lend_locked(apipool_segment_t *segment, apr_uint32_t index, apr_time_t now,
                       apipool_lease_t *lease)
{
    apr_uint32_t holder = apipool_slot_hold_locked(segment, index, APIPOOL_FOR_PROBE, 0);
    if (holder == APIPOOL_NONE) {
        return 0;
    }
    APIPOOL_FAULT("probe-unmarked");
    segment->slots[index].probing = 1;
    apipool_slot_fill_lease_locked(segment, index, now, lease);
    lease->holder = holder;
    apipool_members_settle_locked(segment, index);
    return 1;
}

/* Number of list indices that should have been checked by now. Starts a new round after the last
 * one. */
static apr_uint32_t should_be_walked(apipool_upstream_t *u, apr_interval_time_t interval,
                                     apr_time_t now)
{
    apr_time_t elapsed = now - u->walked_since;
    if (elapsed < 0 || !u->walked_since || (elapsed >= interval && u->walked >= u->list_used)) {
        u->walked_since = now;
        u->walked = 0;
        elapsed = 0;
    }
    double count = (double)u->list_used * (double)elapsed / (double)interval + 1;
    return elapsed < interval && count < u->list_used ? (apr_uint32_t)count : u->list_used;
}

static apr_uint32_t pick_balance(apipool_segment_t *segment, apr_uint32_t upstream,
                                 apr_interval_time_t interval, apr_time_t now)
{
    apipool_upstream_t *u = &segment->upstreams[upstream];
    apr_uint32_t end = should_be_walked(u, interval, now);
    for (int i = 0; i < WALK_MAX && u->walked < end; i++) {
        const apipool_slot_t *slot = apipool_members_slot_locked(segment, upstream, u->walked++);
        if (slot && !slot->probing &&
            (slot->state == APIPOOL_STATE_ACTIVE || slot->state == APIPOOL_STATE_COOLING ||
             slot->state == APIPOOL_STATE_QUOTA)) {
            return (apr_uint32_t)(slot - segment->slots);
        }
    }
    return APIPOOL_NONE;
}

static apr_uint32_t pick_check(apipool_segment_t *segment, apr_uint32_t upstream, apr_time_t now)
{
    apipool_upstream_t *u = &segment->upstreams[upstream];
    apr_uint32_t index = apipool_doubt_next_locked(segment, upstream, now);
    for (int i = 0; index == APIPOOL_NONE && i < WALK_MAX && u->checks_left && u->list_used; i++) {
        apipool_slot_t *slot =
            apipool_members_slot_locked(segment, upstream, u->checks_left-- % u->list_used);
        if (slot && slot->check && !slot->probing) {
            slot->check = 0;
            index = (apr_uint32_t)(slot - segment->slots);
        }
    }
    return index;
}

/* Leaves out what can be ruled out without the lock. */
static unsigned reasons_of(const apipool_upstream_t *u, const apipool_recovery_search_t *search)
{
    unsigned reasons = search->reasons;
    if (!__atomic_load_n(&u->recovering, __ATOMIC_RELAXED)) {
        reasons &= ~(unsigned)APIPOOL_PROBE_DUE;
    }
    if (!__atomic_load_n(&u->checks_left, __ATOMIC_RELAXED) &&
        !__atomic_load_n(&u->doubts_open, __ATOMIC_RELAXED)) {
        reasons &= ~(unsigned)APIPOOL_PROBE_CHECK;
    }
    return reasons;
}

/* Chooses the key to probe, and the reason; APIPOOL_NONE: none. */
static apr_uint32_t pick(apipool_segment_t *segment, const apipool_recovery_search_t *search,
                         unsigned reasons, apr_time_t now, unsigned *reason)
{
    apr_uint32_t index = APIPOOL_NONE;
    if (reasons & APIPOOL_PROBE_DUE) {
        *reason = APIPOOL_PROBE_DUE;
        index = apipool_members_due_locked(segment, search->upstream, now);
    }
    if (index == APIPOOL_NONE && reasons & APIPOOL_PROBE_CHECK) {
        *reason = APIPOOL_PROBE_CHECK;
        index = pick_check(segment, search->upstream, now);
    }
    if (index == APIPOOL_NONE && reasons & APIPOOL_PROBE_BALANCE) {
        *reason = APIPOOL_PROBE_BALANCE;
        index = pick_balance(segment, search->upstream, search->interval, now);
    }
    return index;
}

apr_status_t apipool_recovery_next(apipool_segment_t *segment,
                                   const apipool_recovery_search_t *search, apr_time_t now,
                                   apipool_lease_t *lease, apipool_state_e *state, unsigned *reason)
{
    const apipool_hash_table_head_t *holders = &segment->header->holders;
    unsigned reasons = reasons_of(&segment->upstreams[search->upstream], search), found = 0;
    apr_status_t rv = reasons ? apipool_segment_lock(segment) : APR_SUCCESS;
    *reason = 0;
    if (!reasons || rv != APR_SUCCESS) {
        return rv;
    }
    int has_room = holders->spare || holders->used < APIPOOL_HOLDERS_MAX;
    apr_uint32_t index = has_room ? pick(segment, search, reasons, now, &found) : APIPOOL_NONE;
    if (index != APIPOOL_NONE && lend_locked(segment, index, now, lease)) {
        apipool_slot_t *slot = &segment->slots[index];
        *state = slot->state;
        *reason = found;
        APIPOOL_FAULT("probe-still-due");
        if (found == APIPOOL_PROBE_DUE) {
            slot->until[0] = due_at(segment, slot->recover_tries, search->policy, now);
        }
    }
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}

apr_status_t apipool_recovery_check_soon(apipool_segment_t *segment, apr_uint32_t pool,
                                         apr_uint64_t id)
{
    apr_uint32_t index;
    apr_status_t rv = apipool_pool_lock_key(segment, pool, id, &index);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apipool_slot_t *slot = &segment->slots[index];
    apipool_upstream_t *u = &segment->upstreams[slot->upstream];
    if (apipool_health_is_recovering(slot->state)) {
        apipool_slot_move_locked(segment, index, slot->state, 0);
    }
    else { /* all list indices are searched again */
        slot->check = 1;
        u->checks_left = u->list_used;
    }
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}

apr_status_t apipool_recovery_lend(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t id,
                                   apr_time_t now, apipool_lease_t *lease)
{
    apr_uint32_t index;
    apr_status_t rv = apipool_pool_lock_key(segment, pool, id, &index);
    if (rv == APR_SUCCESS) {
        int is_lent = !segment->slots[index].probing && lend_locked(segment, index, now, lease);
        apipool_segment_unlock(segment);
        rv = is_lent ? APR_SUCCESS : APR_EBUSY;
    }
    return rv;
}

/* --- Results of probes ------------------------------------------------------------------------ */

/* Result of one probe. */
typedef struct {
    apipool_segment_t *segment;
    const apipool_lease_t *lease;
    const apipool_probe_report_t *report;
    apr_time_t now;
    apipool_slot_t *slot;
    apipool_upstream_t *upstream;
} answer_t;

static void let_prove(const answer_t *answer)
{
    const apipool_slot_t *slot = answer->slot;
    int refilled = answer->report->has_balance && slot->low;
    apipool_state_e state =
        apipool_health_next(slot->state, refilled ? APIPOOL_EVENT_REFILLED : APIPOOL_EVENT_PROBED);
    apr_time_t rests = slot->rests_until > answer->now ? slot->rests_until : 0;
    if (state == slot->state) {
        return;
    }
    if (state == APIPOOL_STATE_HALF_OPEN) {
        apipool_slot_move_locked(answer->segment, answer->lease->slot, state,
                                 rests ? rests : answer->now);
    }
    else {
        apipool_recovery_return_locked(answer->segment, answer->lease->slot, rests, answer->now);
    }
}

/* A probe's result is newer than the reason for which the key waits, so it counts as if the key
 * were half open. */
static void refuse(const answer_t *answer, apipool_event_e event)
{
    const apipool_probe_report_t *report = answer->report;
    apipool_slot_t *slot = answer->slot;
    int waited = apipool_health_is_recovering(slot->state);
    apipool_state_e from = waited ? APIPOOL_STATE_HALF_OPEN : slot->state;
    apipool_state_e state = apipool_health_next(from, event);

    if (!apipool_health_is_recovering(state) || (waited && report->is_check) ||
        (!report->has_balance && apipool_breaker_rejects_all_locked(answer->upstream))) {
        return;
    }
    if (!waited) {
        slot->rests_until = apipool_slot_rests_until(slot);
    }
    if (!report->has_balance) {
        apipool_slot_note_error_locked(answer->segment, slot, report->status, report->rule,
                                       &report->words, answer->now);
    }
    if (state != slot->state) {
        slot->reason =
            (apr_uint16_t)(report->has_balance ? APIPOOL_REASON_BALANCE : (int)report->rule);
        slot->low = !waited && report->has_balance && report->result == APIPOOL_PROBED_SPENT;
    }
    apipool_recovery_lose_locked(answer->segment, answer->lease->slot, state,
                                 waited ? slot->recover_tries + 1 : 0, report->policy, answer->now);
}

static apr_uint32_t *not_found_of(const answer_t *answer)
{
    apipool_upstream_t *u = answer->upstream;
    return answer->report->asked_balance ? &u->balance_not_found : &u->not_found;
}

static void note_upstream(const answer_t *answer)
{
    const apipool_probe_report_t *report = answer->report;
    apipool_upstream_t *u = answer->upstream;
    __atomic_store_n(&u->unanswered, (apr_uint32_t)report->upstream_failed, __ATOMIC_RELAXED);
    apr_uint32_t *count = not_found_of(answer);
    *count = report->result == APIPOOL_PROBED_NOT_FOUND ? *count + 1
             : report->result == APIPOOL_PROBED_UNKNOWN ? *count
                                                        : 0;
}

/* Returns 1 if a number confirms that a key in doubt is spent: unless it has just served what the
 * request that left the doubt did not ask for, or every key is called spent. */
static int confirms(const answer_t *answer)
{
    apipool_doubt_first_t first = {0, 0};
    apipool_doubt_known_locked(answer->segment, answer->lease->slot, answer->now, &first);
    return !apipool_slot_served_lately(answer->slot, first.model, answer->now) &&
           !apipool_breaker_rejects_all_locked(answer->upstream);
}

/* Returns 1 if the upstream has no such request: it has said so again and again. */
static int is_asked_in_vain(const answer_t *answer)
{
    return answer->report->result == APIPOOL_PROBED_NOT_FOUND &&
           *not_found_of(answer) >= APIPOOL_NOT_FOUND_MAX;
}

/* The number alone takes out no key that works. One that a request has put out of quota waits
 * longer each time, but not for ever: vouchers do not show in the number. */
static void find_empty(const answer_t *answer, int of_quota)
{
    const apipool_slot_t *slot = answer->slot;
    int may_wait = answer->report->is_check || slot->recover_tries < APIPOOL_NOT_FOUND_MAX;
    int is_spent =
        slot->state == APIPOOL_STATE_QUOTA ? !slot->low && may_wait : of_quota && confirms(answer);
    if (is_spent) {
        refuse(answer, APIPOOL_EVENT_QUOTA_SPENT);
    }
    else {
        let_prove(answer);
    }
}

/* of_quota: the probe was to clear up whether the key is out of quota */
static void decide(const answer_t *answer, int of_quota)
{
    apipool_probed_e result = answer->report->result;
    if (result == APIPOOL_PROBED_REJECTED) {
        refuse(answer, APIPOOL_EVENT_REJECTED);
    }
    else if (result == APIPOOL_PROBED_SPENT) {
        refuse(answer, APIPOOL_EVENT_QUOTA_SPENT);
    }
    else if (result == APIPOOL_PROBED_ACCEPTED || is_asked_in_vain(answer)) {
        let_prove(answer);
    }
    else if (result == APIPOOL_PROBED_EMPTY) {
        find_empty(answer, of_quota);
    }
}

/* read_at is 0 while the balance is only half written. */
static void note_balance(const answer_t *answer)
{
    apipool_slot_t *slot = answer->slot;
    slot->read_at = 0;
    APIPOOL_IN_ORDER();
    slot->balance = answer->report->balances.of[0].amount;
    APIPOOL_FAULT("balance-half-read");
    apipool_slot_set_balances_locked(slot, &answer->report->balances);
    APIPOOL_IN_ORDER();
    slot->read_at = answer->now;
}

static void probed_locked(const answer_t *answer)
{
    const apipool_probe_report_t *report = answer->report;
    apipool_slot_t *slot = answer->slot;
    apr_uint32_t index = answer->lease->slot;
    if (!slot->id || slot->id == answer->lease->id) { /* else the slot has another key by now */
        /* Without a status nothing was asked. */
        int of_quota = apipool_doubt_is_of_quota_locked(answer->segment, index);
        int accepted = report->status && (report->result == APIPOOL_PROBED_ACCEPTED ||
                                          (report->result == APIPOOL_PROBED_EMPTY && !of_quota));
        slot->probing = 0;
        APIPOOL_FAULT("probed-still-held");
        if (report->has_balance && report->balances.count) {
            note_balance(answer);
        }
        note_upstream(answer);
        apipool_doubt_answered_locked(answer->segment, index, accepted, report->has_balance,
                                      report->upstream_failed && !is_asked_in_vain(answer));
        decide(answer, of_quota);
        apipool_members_settle_locked(answer->segment, index);
    }
    apipool_slot_let_go_locked(answer->segment, answer->lease->holder);
    apipool_slot_reuse_locked(answer->segment, index);
}

apr_status_t apipool_recovery_probed(apipool_segment_t *segment, const apipool_lease_t *lease,
                                     const apipool_probe_report_t *report, apr_time_t now,
                                     apipool_outcome_t *outcome)
{
    apipool_upstream_t *upstream = &segment->upstreams[lease->upstream];
    answer_t answer = {segment, lease, report, now, &segment->slots[lease->slot], upstream};
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv == APR_SUCCESS) {
        int was_lost = apipool_health_is_recovering(answer.slot->state);
        probed_locked(&answer);
        outcome->rule = report->rule;
        outcome->state = answer.slot->state;
        outcome->lost = !was_lost && apipool_health_is_recovering(outcome->state);
        apipool_segment_unlock(segment);
    }
    return rv;
}

int apipool_recovery_is_failing(const apipool_segment_t *segment, apr_uint32_t upstream)
{
    const apipool_upstream_t *u = &segment->upstreams[upstream];
    return __atomic_load_n(&u->unanswered, __ATOMIC_RELAXED) ||
           __atomic_load_n(&u->faults.count, __ATOMIC_RELAXED);
}
