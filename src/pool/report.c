/* SPDX-License-Identifier: Apache-2.0
 * Reporting: effects of a verdict on the key, its account and its upstream. */
#include <string.h>

#include "account.h"
#include "breaker.h"
#include "doubt.h"
#include "fault.h"
#include "members.h"
#include "pool.h"
#include "recovery.h"
#include "slots.h"

#define AVERAGE_OF 10 /* weight of the moving average */

/* Wait after a proving request that was inconclusive. */
#define PROVE_WAIT apr_time_from_sec(1)

/* Failures are the key's own if other keys succeed this many times as often, and if at most this
 * share of results of keys in good order are failures: otherwise streaks are chance. */
#define OUTWEIGHS   3
#define FAILING_MAX 0.1
#define FAILING_OF  20

/* Of two keys, the one that fails is at fault if the other has served the model so lately. */
#define WORKED_LATELY apr_time_from_sec(60)

/* Report of one attempt. */
typedef struct {
    apipool_segment_t *segment;
    const apipool_lease_t *lease;
    const apipool_report_t *report;
    apr_time_t now;
    apipool_slot_t *slot;
    apipool_upstream_t *upstream;
    int proving;
    int doubted; /* the key's fault is decided later */
} result_t;

static void average(apipool_slot_t *slot, double result)
{
    slot->success += (result - slot->success) / AVERAGE_OF;
}

/* Refusals that met all keys no longer count against this one. */
static void take_pardon(const result_t *result)
{
    apipool_slot_t *slot = result->slot;
    if (apipool_breaker_pardons_locked(result->upstream, slot)) {
        slot->limited_streak -= slot->limited_streak > 0;
        slot->error_streak = 0;
        slot->round = 0;
    }
}

static void settle_tokens(const result_t *result)
{
    apipool_slot_note_reserved_locked(result->segment, result->lease->holder, 0, 0);
    APIPOOL_IN_ORDER();
    for (int i = APIPOOL_TPM; result->report->tokens >= 0 && i <= APIPOOL_TPD; i++) {
        apipool_window_settle(&result->slot->windows[i], apipool_window_span(i),
                              result->lease->lent_at, result->now, result->lease->tokens,
                              (apr_uint64_t)result->report->tokens);
    }
}

static void move_to(const result_t *result, apipool_state_e state, apr_time_t until)
{
    apipool_slot_move_locked(result->segment, result->lease->slot, state, until);
}

static apr_time_t cooled_at(const result_t *result, apr_time_t current, unsigned streak)
{
    const apipool_policy_t *policy = result->report->policy;
    return apipool_health_cool_until(current, result->report->verdict->retry_at, streak,
                                     result->now, policy->cooldown_min, policy->cooldown_max);
}

/* Takes a key out for longer than a cooldown; it is tried again from time to time. */
static void lose(const result_t *result, apipool_event_e event)
{
    apipool_slot_t *slot = result->slot;
    apipool_state_e state = apipool_health_next(slot->state, event);
    if (state != slot->state) {
        slot->low = 0;
        slot->reason = (apr_uint16_t)result->report->verdict->rule;
        slot->rests_until = apipool_slot_rests_until(slot);
        apipool_recovery_lose_locked(result->segment, result->lease->slot, state,
                                     result->proving ? slot->recover_tries + 1 : 0,
                                     result->report->policy, result->now);
    }
}

/* Starts a cooldown: for the model if there is one and the key is in rotation, else for all
 * models if the state allows it. */
static void cool(const result_t *result, unsigned streak)
{
    apipool_segment_t *segment = result->segment;
    apipool_slot_t *slot = result->slot;
    apipool_scope_e scope = result->report->verdict->scope;
    apr_uint64_t model = scope == APIPOOL_SCOPE_MODEL ? result->lease->model : 0;
    apr_time_t current = apipool_slot_rests_until(slot), until; /* half-open keys may rest, too */

    if (model && (slot->state == APIPOOL_STATE_ACTIVE || slot->state == APIPOOL_STATE_COOLING)) {
        apr_uint32_t model_slot = apipool_members_model_slot_locked(segment, slot->upstream, model);
        current =
            model_slot && slot->place[model_slot] != APIPOOL_NONE ? slot->until[model_slot] : 0;
        until = cooled_at(result, current, streak);
        apipool_members_cool_locked(segment, result->lease->slot, model, until, result->now);
    }
    else if (apipool_health_next(slot->state, APIPOOL_EVENT_RATE_LIMITED) ==
             APIPOOL_STATE_COOLING) {
        until = cooled_at(result, current, streak);
        slot->reason = (apr_uint16_t)result->report->verdict->rule;
        move_to(result, APIPOOL_STATE_COOLING, until);
    }
    else {
        return;
    }
    if (scope != APIPOOL_SCOPE_KEY) {
        apipool_account_limit_locked(segment, slot->pool, slot->account, model, 0, until,
                                     result->now);
    }
}

/* Requests that were in flight together count as one rate limit. */
static void limited(const result_t *result)
{
    apipool_slot_t *slot = result->slot;
    int again = result->lease->lent_at >= slot->limited_at;
    unsigned streak = slot->limited_streak;
    slot->limited_streak += (apr_uint32_t)again;
    slot->limited_at = result->now;
    cool(result, again || !streak ? streak : streak - 1);
}

/* Errors that may be the key's are its own if other keys have worked meanwhile, with this model
 * as well. */
static int is_keys_own_fault(const result_t *result)
{
    const apipool_slot_t *slot = result->slot;
    const apipool_upstream_t *u = result->upstream;
    if (apipool_breaker_served_at_locked(u, result->lease->model) < slot->failed_since) {
        return 0;
    }
    apr_uint64_t successes = (apr_uint32_t)(u->successes - slot->others_succeeded);
    apr_uint64_t failures =
        (apr_uint32_t)(u->failures - slot->others_failed) - (slot->failed_streak - 1);
    return successes > 0 && successes >= OUTWEIGHS * failures && u->failing < FAILING_MAX;
}

/* No other key has failed since, and one has served this model of late. */
static int is_own_while_proving(const result_t *result)
{
    const apipool_upstream_t *u = result->upstream;
    return u->faults.count <= 1 &&
           result->now - apipool_breaker_served_at_locked(u, result->lease->model) <= WORKED_LATELY;
}

static void failed(const result_t *result)
{
    apipool_slot_t *slot = result->slot;
    result->upstream->failures++;
    if (slot->failed_streak++ == 0) {
        slot->failed_since = result->now;
        result->upstream->failing += (1 - result->upstream->failing) / FAILING_OF;
        slot->others_succeeded = (apr_uint32_t)result->upstream->successes;
        slot->others_failed = (apr_uint32_t)result->upstream->failures;
    }
    int is_own = result->proving ? is_own_while_proving(result)
                                 : slot->failed_streak >= result->report->policy->max_errors &&
                                       is_keys_own_fault(result);
    if (is_own) {
        lose(result, APIPOOL_EVENT_TRIPPED);
    }
}

/* Refusals of a model that came before the success began say nothing any more. */
static void note_served(apipool_slot_t *slot, const apipool_lease_t *lease, apr_time_t now)
{
    if (lease->model) {
        slot->served_model = lease->model;
        slot->served_at = now;
    }
    if (lease->model == slot->refused_model || lease->lent_at >= slot->refused_at) {
        slot->refused_model = 0;
    }
}

static void succeeded(const result_t *result)
{
    apipool_slot_t *slot = result->slot;
    note_served(slot, result->lease, result->now);
    result->upstream->successes++;
    result->upstream->failing -= result->upstream->failing / FAILING_OF;
    average(slot, 1);
    slot->error_streak = slot->failed_streak = 0;
    if (result->upstream->doubts_open) {
        apipool_doubt_succeeded_locked(result->segment, result->lease->slot,
                                       result->lease->lent_at);
    }
    if (result->lease->lent_at >= slot->limited_at) {
        slot->limited_streak = 0;
    }
    if (slot->state == APIPOOL_STATE_HALF_OPEN && result->proving) {
        apipool_recovery_return_locked(result->segment, result->lease->slot, 0, result->now);
    }
}

static void went_wrong(const result_t *result)
{
    const apipool_verdict_t *verdict = result->report->verdict;
    result->slot->error_streak++;
    apipool_slot_note_error_locked(result->segment, result->slot, result->report->status,
                                   verdict->rule, &verdict->words, result->now);
    average(result->slot, 0);
}

static int is_blamed_later(const result_t *result)
{
    return apipool_rule(result->report->verdict->rule)->blames == APIPOOL_BLAMES_KEY_LATER;
}

static void apply(const result_t *result)
{
    apipool_event_e event = result->report->verdict->event;
    switch (event) {
    case APIPOOL_EVENT_SUCCESS:
        succeeded(result);
        break;
    case APIPOOL_EVENT_RATE_LIMITED:
        if (!is_blamed_later(result)) { /* see apipool_pool_forbidden */
            went_wrong(result);
            limited(result);
        }
        break;
    case APIPOOL_EVENT_FAILED:
        went_wrong(result);
        failed(result);
        break;
    case APIPOOL_EVENT_QUOTA_SPENT:
    case APIPOOL_EVENT_REJECTED:
        if (!result->doubted) { /* see apipool_pool_doubt */
            went_wrong(result);
            lose(result, event);
        }
        break;
    default:
        break;
    }
}

/* Updates the breaker. Returns 1 if all keys are refused. */
static int judge_upstream(const result_t *result)
{
    const apipool_verdict_t *verdict = result->report->verdict;
    apipool_upstream_t *u = result->upstream;
    apr_uint64_t model = result->lease->model, client = result->report->client;
    switch (apipool_rule(verdict->rule)->breaker) {
    case APIPOOL_BREAKER_REFUSED:
        if (verdict->event != APIPOOL_EVENT_RATE_LIMITED) {
            apipool_breaker_answered_locked(u, model);
        }
        return apipool_breaker_refusal_locked(u, result->slot, model, client, verdict->rule,
                                              result->now);
    case APIPOOL_BREAKER_ANSWERED:
        apipool_breaker_answered_locked(u, model);
        break;
    case APIPOOL_BREAKER_AS_FAULT:
        if (verdict->upstream_fault) {
            apipool_breaker_fault_locked(u, model, client, verdict->rule == APIPOOL_RULE_NOT_SENT,
                                         result->now);
        }
        else if (verdict->event == APIPOOL_EVENT_SUCCESS) {
            apipool_breaker_success_locked(u, model, result->now);
        }
    }
    return 0;
}

/* A half-open key whose request was inconclusive waits for the next one. */
static void wait_for_proof(const result_t *result)
{
    if (result->proving && result->slot->state == APIPOOL_STATE_HALF_OPEN) {
        int fault = result->report->verdict->upstream_fault || result->doubted;
        move_to(result, APIPOOL_STATE_HALF_OPEN, result->now + (fault ? PROVE_WAIT : 0));
    }
}

static void give_back(const result_t *result)
{
    apipool_slot_t *slot = result->slot;
    if (result->report->goes_on) {
        return;
    }
    slot->in_flight -= slot->in_flight > 0; /* a lease without a holder may have been reset */
    APIPOOL_FAULT("report-still-held");
    if (result->proving) {
        slot->proving = 0;
    }
    if (slot->concurrency || result->proving) {
        apipool_members_settle_locked(result->segment, result->lease->slot);
    }
    apipool_slot_let_go_locked(result->segment, result->lease->holder);
    if (result->report->headroom >= 0) {
        slot->headroom = result->report->headroom;
        slot->headroom_until = result->report->headroom_until;
    }
}

/* A key may be removed while it is lent; then only its upstream gets the result. */
static int is_other_key(const result_t *result)
{
    return result->slot->id && result->slot->id != result->lease->id;
}

/* Counts the attempt. For the key, an error is one that was held against it: a client's mistake,
 * or a refusal of all keys, is not. The upstream's errors include its own faults. */
static void count(const result_t *result, int all_refused)
{
    const apipool_verdict_t *verdict = result->report->verdict;
    apipool_finished_t finished = result->report->finished;
    finished.attempts = 1;
    finished.success = verdict->event == APIPOOL_EVENT_SUCCESS;
    finished.error = verdict->event != APIPOOL_EVENT_NONE && !finished.success &&
                     !is_blamed_later(result) && !all_refused && !result->doubted;
    apipool_counts_add(&result->slot->counts, &finished);
    APIPOOL_FAULT("report-half-counted");
    finished.error |= verdict->upstream_fault || all_refused;
    apipool_counters_add(&result->upstream->counters, &finished, result->now);
}

/* A key is in doubt when one request is refused. */
static int is_doubtful(const result_t *result)
{
    apipool_event_e event = result->report->verdict->event;
    return result->report->may_doubt && !is_other_key(result) &&
           apipool_slot_is_in_use(result->slot) &&
           (event == APIPOOL_EVENT_QUOTA_SPENT || event == APIPOOL_EVENT_REJECTED);
}

static apipool_rule_e report_locked(const result_t *result)
{
    const apipool_verdict_t *verdict = result->report->verdict;
    if (is_other_key(result)) {
        if (!result->report->goes_on) {
            apipool_slot_let_go_locked(result->segment, result->lease->holder);
        }
        return verdict->rule;
    }
    give_back(result);
    settle_tokens(result);
    APIPOOL_FAULT("report-uncounted");
    take_pardon(result);
    int all_refused = judge_upstream(result);
    count(result, all_refused);
    if (!all_refused) {
        apply(result);
    }
    else if (verdict->retry_at >
             result->now) { /* the upstream has said when the key may come back */
        cool(result, 0);
        apipool_breaker_name_locked(result->upstream, verdict->retry_at, result->now);
    }
    wait_for_proof(result);
    if (!result->report->goes_on) {
        apipool_slot_reuse_locked(result->segment, result->lease->slot);
    }
    return all_refused ? APIPOOL_RULE_SHARED_FATE : verdict->rule;
}

static result_t result_of(apipool_segment_t *segment, const apipool_lease_t *lease,
                          const apipool_report_t *report, apr_time_t now)
{
    return (result_t){.segment = segment,
                      .lease = lease,
                      .report = report,
                      .now = now,
                      .slot = &segment->slots[lease->slot],
                      .upstream = &segment->upstreams[lease->upstream]};
}

apr_status_t apipool_pool_report(apipool_segment_t *segment, const apipool_lease_t *lease,
                                 const apipool_report_t *report, apr_time_t now,
                                 apipool_outcome_t *outcome)
{
    result_t result = result_of(segment, lease, report, now);
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv == APR_SUCCESS) {
        int was_lost = apipool_health_is_recovering(result.slot->state);
        result.proving = lease->proving;
        result.doubted = is_doubtful(&result);
        outcome->rule = report_locked(&result);
        result.upstream->rules[outcome->rule]++;
        outcome->state = result.slot->state;
        outcome->doubted = result.doubted;
        outcome->account = result.slot->account;
        outcome->lost = !was_lost && apipool_health_is_recovering(outcome->state);
        if (report->request) {
            apipool_stats_record_locked(segment, report->request, now);
        }
        apipool_segment_unlock(segment);
    }
    return rv;
}

/* Returns 1 if the lent key is still in the slot and at the same upstream. */
static int is_still_there(const result_t *result)
{
    return result->slot->id == result->lease->id &&
           result->slot->upstream == result->lease->upstream;
}

apr_status_t apipool_pool_forbidden(apipool_segment_t *segment, const apipool_lease_t *lease,
                                    const apipool_report_t *report, apr_time_t now)
{
    result_t result = result_of(segment, lease, report, now);
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv == APR_SUCCESS) {
        if (is_still_there(&result)) {
            result.slot->counts.errors++;
            went_wrong(&result);
            limited(&result);
        }
        apipool_segment_unlock(segment);
    }
    return rv;
}

/* Returns 1 if another model is refused to the key, and it has not served a third one before:
 * whoever asks for models that it never had does not make it spent or invalid. */
static int is_refused_again(const result_t *result, apr_uint64_t other)
{
    apr_uint64_t served = result->slot->served_model, model = result->lease->model;
    return other && other != model && (!served || served == model);
}

/* Nobody was served: two clients must have met it, and the key must have served nobody lately. */
static int is_refused_to_others(const result_t *result, const apipool_doubt_first_t *first)
{
    apr_uint64_t client = result->report->client;
    return first->client && client && first->client != client &&
           !apipool_slot_served_lately(result->slot, 0, result->now);
}

/* Decides if the key is to blame after all. A request without a model concerns the whole key. */
static int is_at_fault(const result_t *result, apipool_doubted_e doubted)
{
    const apipool_slot_t *slot = result->slot;
    apr_uint64_t model = result->lease->model;
    apipool_doubt_first_t first = {0, 0};
    apipool_doubt_e known =
        apipool_doubt_known_locked(result->segment, result->lease->slot, result->now, &first);
    int is_new = !slot->served_model; /* or is refused what it has served */
    if (apipool_breaker_rejects_all_locked(result->upstream)) {
        return 0;
    }
    if (doubted == APIPOOL_DOUBT_ENDED) {
        return known == APIPOOL_DOUBT_UNSURE && is_refused_to_others(result, &first) &&
               (model ? is_refused_again(result, first.model) : is_new);
    }
    if (result->report->verdict->is_certain && doubted == APIPOOL_DOUBT_BLAMED) {
        return !apipool_slot_served_lately(slot, model, result->now);
    }
    if (!model || (doubted == APIPOOL_DOUBT_BLAMED && result->proving)) {
        return is_new && (doubted == APIPOOL_DOUBT_BLAMED || known != APIPOOL_DOUBT_NONE);
    }
    return known == APIPOOL_DOUBT_UNSURE && is_refused_again(result, slot->refused_model);
}

/* The key rests for a model that is refused to it and not to another key; returns 1 if it does. A
 * model that would share its cooldowns with others does not rest: they may be in good order. */
static int rest(const result_t *result)
{
    const apipool_policy_t *policy = result->report->policy;
    apipool_segment_t *segment = result->segment;
    apipool_slot_t *slot = result->slot;
    apr_uint64_t model = result->lease->model;
    if (!model || slot->state == APIPOOL_STATE_HALF_OPEN) {
        return 0;
    }
    apr_time_t until = apipool_health_recover_at(slot->error_streak, result->now,
                                                 policy->recover_min, policy->recover_max, 1000);
    slot->counts.errors++;
    went_wrong(result);
    slot->refused_model = model;
    slot->refused_at = result->now;
    slot->served_model = slot->served_model == model ? 0 : slot->served_model;
    if (!apipool_members_has_room_locked(segment, slot->upstream, model, result->now)) {
        return 0;
    }
    apipool_members_cool_locked(segment, result->lease->slot, model, until, result->now);
    if (result->report->verdict->scope == APIPOOL_SCOPE_ACCOUNT) {
        apipool_account_limit_locked(segment, slot->pool, slot->account, model, 0, until,
                                     result->now);
    }
    return 1;
}

static void settle_doubt(const result_t *result, apipool_doubted_e doubted,
                         apipool_outcome_t *outcome)
{
    apipool_event_e event = result->report->verdict->event;
    if (is_at_fault(result, doubted)) {
        result->slot->counts.errors++;
        went_wrong(result);
        lose(result, event);
        outcome->lost = 1;
        return;
    }
    const apipool_doubt_first_t first = {result->report->client, result->lease->model};
    outcome->asked = apipool_doubt_note_locked(result->segment, result->lease->slot, &first,
                                               event == APIPOOL_EVENT_QUOTA_SPENT, result->now);
    outcome->rests = doubted != APIPOOL_DOUBT_ENDED && rest(result);
}

apr_status_t apipool_pool_doubt(apipool_segment_t *segment, const apipool_lease_t *lease,
                                const apipool_report_t *report, apipool_doubted_e doubted,
                                apr_time_t now, apipool_outcome_t *outcome)
{
    result_t result = result_of(segment, lease, report, now);
    memset(outcome, 0, sizeof(*outcome));
    outcome->rule = report->verdict->rule;
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv == APR_SUCCESS) {
        result.proving = lease->proving && result.slot->state == APIPOOL_STATE_HALF_OPEN;
        if (is_still_there(&result) && apipool_slot_is_in_use(result.slot)) {
            settle_doubt(&result, doubted, outcome);
        }
        outcome->state = result.slot->state;
        apipool_segment_unlock(segment);
    }
    return rv;
}

apr_status_t apipool_pool_proved(apipool_segment_t *segment, apipool_lease_t *lease, apr_time_t now)
{
    apipool_slot_t *slot = &segment->slots[lease->slot];
    apipool_upstream_t *upstream = &segment->upstreams[lease->upstream];

    if (!lease->proving && !apipool_breaker_is_troubled(upstream, lease->model)) {
        return APR_SUCCESS;
    }
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apipool_breaker_success_locked(upstream, lease->model, now);
    if (lease->proving && slot->id == lease->id) {
        slot->proving = 0;
        if (lease->holder != APIPOOL_NONE) { /* the proof is over */
            segment->holders[lease->holder].purpose = APIPOOL_FOR_REQUEST;
        }
        if (slot->state == APIPOOL_STATE_HALF_OPEN) {
            apipool_recovery_return_locked(segment, lease->slot, 0, now);
        }
        else { /* a late refusal came in between */
            apipool_members_settle_locked(segment, lease->slot);
        }
    }
    lease->proving = 0;
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}
