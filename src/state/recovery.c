/* SPDX-License-Identifier: Apache-2.0
 * Keys lent to probes, which ask their upstream about them at no cost, and what they find out. */
#include "recovery.h"

#include <string.h>

#include "account.h"
#include "doubt.h"
#include "fault.h"
#include "health.h"
#include "keys.h"
#include "members.h"
#include "slots.h"

#define WALK_MAX 1024 /* keys that are looked at in one go */

/* One answer on its way into the segment. */
typedef struct {
    apipool_segment_t *segment;
    const apipool_lease_t *lease;
    const apipool_probe_report_t *report;
    apr_time_t now;
    apipool_slot_t *slot;
} answer_t;

apr_time_t apipool_recovery_at_locked(apipool_segment_t *segment, unsigned tries,
                                      const apipool_policy_t *policy, apr_time_t now)
{
    unsigned spread = policy->recover_spread;
    unsigned permille =
        spread ? 1000 - spread + apipool_segment_draw_locked(segment, 2 * spread + 1) : 1000;
    return apipool_health_recover_at(tries, now, policy->recover_min, policy->recover_max,
                                     permille);
}

/* Returns 0 when the process could not be named as the holder: a lease that is lost with it would keep the
 * key from ever being asked about again. */
static int lend_locked(apipool_segment_t *segment, apr_uint32_t index, apr_time_t now,
                       apipool_lease_t *lease)
{
    apipool_slot_t *slot = &segment->slots[index];
    apr_uint32_t holder = apipool_slot_hold_locked(segment, index, APIPOOL_FOR_PROBE);
    if (holder == APIPOOL_NONE) {
        return 0;
    }
    APIPOOL_FAULT("probe-unmarked");
    slot->probing = 1;
    lease->slot = index;
    lease->group = slot->group;
    lease->holder = holder;
    lease->id = slot->id;
    lease->model = 0;
    lease->tokens = 0;
    lease->lent_at = now;
    lease->proving = 0;
    apipool_slot_copy_secret_locked(segment, slot, lease);
    return 1;
}

/* Who looks for a key of a group that is to be asked about. */
typedef struct {
    apipool_segment_t *segment;
    apr_uint32_t group;
    apr_time_t now;
    const apipool_policy_t *policy; /* of those that are due */
    apr_interval_time_t interval;   /* of those whose balance is read */
    apipool_lease_t *lease;
} search_t;

static apr_status_t find(const search_t *search, int (*next_locked)(const search_t *search),
                         apipool_state_e *state, int *found)
{
    apr_status_t rv = apipool_segment_lock(search->segment);
    *found = 0;
    if (rv != APR_SUCCESS) {
        return rv;
    }
    *found = next_locked(search);
    if (*found) {
        *state = search->segment->slots[search->lease->slot].state;
    }
    apipool_segment_unlock(search->segment);
    return APR_SUCCESS;
}

static int next_due_locked(const search_t *search)
{
    apipool_segment_t *segment = search->segment;
    apr_uint32_t index = apipool_members_due_locked(segment, search->group, search->now);
    if (index == APIPOOL_NONE || !lend_locked(segment, index, search->now, search->lease)) {
        return 0;
    }
    apipool_slot_t *slot = &segment->slots[index];
    slot->until[0] =
        apipool_recovery_at_locked(segment, slot->recover_tries, search->policy, search->now);
    APIPOOL_FAULT("probe-still-due");
    apipool_members_settle_locked(segment, index);
    return 1;
}

apr_status_t apipool_recovery_next_due(apipool_segment_t *segment, apr_uint32_t group,
                                       const apipool_policy_t *policy, apr_time_t now,
                                       apipool_lease_t *lease, apipool_state_e *state, int *found)
{
    search_t search = {
        .segment = segment, .group = group, .now = now, .policy = policy, .lease = lease};
    *found = 0;
    return __atomic_load_n(&segment->groups[group].recovering, __ATOMIC_RELAXED)
               ? find(&search, next_due_locked, state, found)
               : APR_SUCCESS;
}

static int has_balance_to_read(const apipool_segment_t *segment, apr_uint32_t index,
                               apr_uint32_t group, apr_uint32_t ordinal)
{
    if (index >= segment->header->slots.used) { /* a spare ordinal */
        return 0;
    }
    const apipool_slot_t *slot = &segment->slots[index];
    return slot->group == group && slot->ordinal == ordinal && !slot->probing &&
           (slot->state == APIPOOL_STATE_ACTIVE || slot->state == APIPOOL_STATE_COOLING ||
            slot->state == APIPOOL_STATE_QUOTA);
}

/* How many ordinals should have been looked at by now; begins a new round when one is over. */
static apr_uint32_t should_be_walked(apipool_group_t *g, apr_interval_time_t interval,
                                     apr_time_t now)
{
    apr_time_t elapsed = now - g->walked_since;
    if (elapsed < 0 || !g->walked_since || (elapsed >= interval && g->walked >= g->ordinals)) {
        g->walked_since = now;
        g->walked = 0;
        elapsed = 0;
    }
    return elapsed >= interval
               ? g->ordinals
               : (apr_uint32_t)((double)g->ordinals * (double)elapsed / (double)interval) + 1;
}

static int next_balance_locked(const search_t *search)
{
    apipool_segment_t *segment = search->segment;
    apr_uint32_t group = search->group;
    apipool_group_t *g = &segment->groups[group];
    apr_uint32_t end = should_be_walked(g, search->interval, search->now);
    end = end < g->ordinals ? end : g->ordinals;
    for (int i = 0; i < WALK_MAX && g->walked < end; i++) {
        apr_uint32_t ordinal = g->walked;
        apr_uint32_t index = apipool_members_at_locked(segment, group, ordinal);
        int wanted = has_balance_to_read(segment, index, group, ordinal);
        if (wanted && !lend_locked(segment, index, search->now, search->lease)) {
            return 0;
        }
        g->walked++;
        if (wanted) {
            apipool_members_settle_locked(segment, index);
            return 1;
        }
    }
    return 0;
}

apr_status_t apipool_recovery_next_balance(apipool_segment_t *segment, apr_uint32_t group,
                                           apr_interval_time_t interval, apr_time_t now,
                                           apipool_lease_t *lease, apipool_state_e *state,
                                           int *found)
{
    search_t search = {
        .segment = segment, .group = group, .now = now, .interval = interval, .lease = lease};
    return find(&search, next_balance_locked, state, found);
}

static int next_doubt_locked(const search_t *search)
{
    apipool_segment_t *segment = search->segment;
    apr_uint32_t index = apipool_doubt_next_locked(segment, search->group);
    if (index == APIPOOL_NONE || !lend_locked(segment, index, search->now, search->lease)) {
        return 0;
    }
    apipool_doubt_asking_locked(segment, index, search->now);
    apipool_members_settle_locked(segment, index);
    return 1;
}

static int next_check_locked(const search_t *search)
{
    apipool_segment_t *segment = search->segment;
    apr_uint32_t group = search->group;
    apipool_group_t *g = &segment->groups[group];
    if (next_doubt_locked(search)) {
        return 1;
    }
    for (int i = 0; i < WALK_MAX && g->checks_left && g->ordinals; i++) {
        apr_uint32_t ordinal = g->checks_left % g->ordinals;
        apr_uint32_t index = apipool_members_at_locked(segment, group, ordinal);
        apipool_slot_t *slot = index < segment->header->slots.used ? &segment->slots[index] : NULL;
        int wanted = slot && slot->group == group && slot->ordinal == ordinal && slot->check &&
                     !slot->probing;
        if (wanted && !lend_locked(segment, index, search->now, search->lease)) {
            return 0;
        }
        g->checks_left--;
        if (wanted) {
            slot->check = 0;
            apipool_members_settle_locked(segment, index);
            return 1;
        }
    }
    return 0;
}

apr_status_t apipool_recovery_next_check(apipool_segment_t *segment, apr_uint32_t group,
                                         apr_time_t now, apipool_lease_t *lease,
                                         apipool_state_e *state, int *found)
{
    search_t search = {.segment = segment, .group = group, .now = now, .lease = lease};
    const apipool_group_t *g = &segment->groups[group];
    *found = 0;
    return __atomic_load_n(&g->checks_left, __ATOMIC_RELAXED) ||
                   __atomic_load_n(&g->doubts_open, __ATOMIC_RELAXED)
               ? find(&search, next_check_locked, state, found)
               : APR_SUCCESS;
}

apr_status_t apipool_recovery_check_soon(apipool_segment_t *segment, apr_uint32_t pool,
                                         apr_uint64_t id)
{
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_uint32_t index = apipool_pool_find_locked(segment, pool, id);
    if (index != APIPOOL_NONE) {
        apipool_slot_t *slot = &segment->slots[index];
        apipool_group_t *g = &segment->groups[slot->group];
        if (apipool_health_is_recovering(slot->state)) {
            slot->until[0] = 0;
            apipool_members_settle_locked(segment, index);
        }
        else { /* all of them are looked at once more */
            slot->check = 1;
            g->checks_left = g->ordinals;
        }
    }
    apipool_segment_unlock(segment);
    return index == APIPOOL_NONE ? APR_NOTFOUND : APR_SUCCESS;
}

apr_status_t apipool_recovery_lend(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t id,
                                   apr_time_t now, apipool_lease_t *lease)
{
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_uint32_t index = apipool_pool_find_locked(segment, pool, id);
    rv = index == APIPOOL_NONE                                                       ? APR_NOTFOUND
         : segment->slots[index].probing || !lend_locked(segment, index, now, lease) ? APR_EBUSY
                                                                                     : APR_SUCCESS;
    if (rv == APR_SUCCESS) {
        apipool_members_settle_locked(segment, index);
    }
    apipool_segment_unlock(segment);
    return rv;
}

static void move_to(const answer_t *answer, apipool_state_e state, apr_time_t until)
{
    answer->slot->until[0] = until;
    answer->slot->state = state;
}

static void let_prove(const answer_t *answer)
{
    apipool_slot_t *slot = answer->slot;
    int refilled = answer->report->has_balance && slot->low;
    apipool_state_e state =
        apipool_health_next(slot->state, refilled ? APIPOOL_EVENT_REFILLED : APIPOOL_EVENT_PROBED);
    if (state == slot->state) {
        return;
    }
    apr_time_t rests = slot->rests_until > answer->now ? slot->rests_until : 0;
    if (state == APIPOOL_STATE_HALF_OPEN) {
        move_to(answer, state, rests ? rests : answer->now);
        return;
    }
    move_to(answer, rests ? APIPOOL_STATE_COOLING : state, rests);
    slot->low = 0;
    slot->recover_tries = 0;
    apipool_account_refill_locked(answer->segment, slot->pool, slot->account, answer->now);
}

static void note_refusal(const answer_t *answer)
{
    apipool_slot_t *slot = answer->slot;
    slot->last_status = (apr_uint16_t)answer->report->status;
    slot->last_rule = answer->report->rule;
    slot->last_error_at = answer->now;
}

/* What a probe says is newer than what made the key wait, so it counts as if the key were half open. */
static void refuse(const answer_t *answer, apipool_event_e event)
{
    const apipool_probe_report_t *report = answer->report;
    apipool_slot_t *slot = answer->slot;
    int waited = apipool_health_is_recovering(slot->state);
    apipool_state_e from =
        waited ? apipool_health_next(slot->state, APIPOOL_EVENT_PROBED) : slot->state;
    apipool_state_e state = apipool_health_next(from, event);

    if (!apipool_health_is_recovering(state) || (waited && report->is_check)) {
        return;
    }
    if (!waited) {
        slot->rests_until = apipool_slot_rests_until(slot);
    }
    if (!report->has_balance) {
        note_refusal(answer);
    }
    if (state != slot->state) {
        slot->low = !waited && report->has_balance;
    }
    slot->recover_tries = waited ? slot->recover_tries + 1 : 0;
    apr_time_t at = apipool_recovery_at_locked(answer->segment, slot->recover_tries, report->policy,
                                               answer->now);
    move_to(answer, state, at > slot->rests_until ? at : slot->rests_until);
    apipool_doubt_forget_locked(answer->segment, answer->lease->slot);
    if (state == APIPOOL_STATE_QUOTA && slot->account) {
        apipool_account_hit_locked(answer->segment, slot->pool, slot->account, 0, 1, at,
                                   answer->now);
    }
}

static void note_upstream(const answer_t *answer)
{
    apipool_group_t *g = &answer->segment->groups[answer->lease->group];
    apipool_probed_e result = answer->report->result;
    __atomic_store_n(&g->unanswered, (apr_uint32_t)answer->report->upstream_failed,
                     __ATOMIC_RELAXED);
    if (result == APIPOOL_PROBED_NOT_FOUND) {
        g->not_found++;
    }
    else if (result != APIPOOL_PROBED_UNKNOWN) {
        g->not_found = 0;
    }
}

/* Where nothing could be asked there is no status either. */
static void note_doubt(const answer_t *answer)
{
    const apipool_probe_report_t *report = answer->report;
    int accepted = report->result == APIPOOL_PROBED_ACCEPTED && report->status;
    apipool_doubt_answered_locked(answer->segment, answer->lease->slot, accepted,
                                  report->has_balance, report->upstream_failed);
}

static void decide(const answer_t *answer)
{
    const apipool_group_t *g = &answer->segment->groups[answer->lease->group];
    switch (answer->report->result) {
    case APIPOOL_PROBED_NOT_FOUND:
        if (g->not_found < APIPOOL_NOT_FOUND_MAX) {
            break;
        }
        /* fall through */
    case APIPOOL_PROBED_ACCEPTED:
        let_prove(answer);
        break;
    case APIPOOL_PROBED_REJECTED:
        refuse(answer, APIPOOL_EVENT_REJECTED);
        break;
    case APIPOOL_PROBED_SPENT:
        refuse(answer, APIPOOL_EVENT_QUOTA_SPENT);
        break;
    case APIPOOL_PROBED_UNKNOWN:
        break;
    }
}

/* Half of one amount and half of another one are none. */
static void note_balance(const answer_t *answer)
{
    const apipool_amount_t *balance = &answer->report->balance;
    apipool_slot_t *slot = answer->slot;
    slot->read_at = 0;
    APIPOOL_IN_ORDER();
    slot->balance = balance->amount;
    APIPOOL_FAULT("balance-half-read");
    memcpy(slot->currency, balance->currency, sizeof(slot->currency));
    APIPOOL_IN_ORDER();
    slot->read_at = answer->now;
}

static void probed_locked(const answer_t *answer)
{
    apipool_slot_t *slot = answer->slot;
    if (slot->id &&
        slot->id != answer->lease->id) { /* removed meanwhile, and another one is there */
        apipool_slot_let_go_locked(answer->segment, answer->lease->holder);
        return;
    }
    slot->probing = 0;
    APIPOOL_FAULT("probed-still-held");
    if (answer->report->has_balance) {
        note_balance(answer);
    }
    note_upstream(answer);
    note_doubt(answer);
    decide(answer);
    apipool_members_settle_locked(answer->segment, answer->lease->slot);
    apipool_slot_let_go_locked(answer->segment, answer->lease->holder);
    apipool_slot_reuse_locked(answer->segment, answer->lease->slot);
}

apr_status_t apipool_recovery_probed(apipool_segment_t *segment, const apipool_lease_t *lease,
                                     const apipool_probe_report_t *report, apr_time_t now,
                                     apipool_outcome_t *outcome)
{
    answer_t answer = {.segment = segment,
                       .lease = lease,
                       .report = report,
                       .now = now,
                       .slot = &segment->slots[lease->slot]};
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

int apipool_recovery_is_failing(const apipool_segment_t *segment, apr_uint32_t group)
{
    const apipool_group_t *g = &segment->groups[group];
    return __atomic_load_n(&g->unanswered, __ATOMIC_RELAXED) ||
           __atomic_load_n(&g->faults.count, __ATOMIC_RELAXED);
}
