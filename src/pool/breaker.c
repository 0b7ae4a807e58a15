/* SPDX-License-Identifier: Apache-2.0
 * Circuit breaker for upstreams that fail or refuse all keys. */
#include "breaker.h"

#include <string.h>

#define PAUSE         apr_time_from_sec(1)
#define PAUSE_MAX     apr_time_from_sec(60) /* if the upstream names a time */
#define FAULTS_MAX    5                     /* consecutive, with any key */
#define MODELS_MIN    3                     /* that fail: the upstream does */
#define FAILED_LATELY apr_time_from_sec(60)
#define REFUSALS_MIN  3 /* of different keys */
#define REFUSALS_SPAN apr_time_from_sec(5)

/* Kinds of refusals. */
enum { OF_RATE = 1, FORBIDDEN = 2, OF_KEY = 4 };

/* --- Faults ----------------------------------------------------------------------------------- */

/* A free place has no model. */
static apr_uint64_t known_as(apr_uint64_t model)
{
    return model ? model : 1;
}

static int place_of(const apipool_upstream_t *u, apr_uint64_t model)
{
    for (int i = 0; u->fault_models_used && i < APIPOOL_FAULT_MODELS; i++) {
        if (u->fault_models[i] == known_as(model)) {
            return i;
        }
    }
    return -1;
}

static const apipool_model_faults_t *find(const apipool_upstream_t *u, apr_uint64_t model)
{
    int place = place_of(u, model);
    return place < 0 ? NULL : &u->model_faults[place];
}

static apipool_model_faults_t *find_or_add(apipool_upstream_t *u, apr_uint64_t model)
{
    int known = place_of(u, model), oldest = 0;
    if (known >= 0) {
        return &u->model_faults[known];
    }
    for (int i = 1; i < APIPOOL_FAULT_MODELS; i++) {
        oldest = u->model_faults[i].at < u->model_faults[oldest].at ? i : oldest;
    }
    u->fault_models_used += !u->fault_models[oldest];
    u->fault_models[oldest] = known_as(model);
    memset(&u->model_faults[oldest], 0, sizeof(u->model_faults[oldest]));
    return &u->model_faults[oldest];
}

/* A time in the future was noted before the clock was set back. */
static int count_failing(const apipool_upstream_t *u, apr_time_t now)
{
    int count = 0;
    for (int i = 0; i < APIPOOL_FAULT_MODELS; i++) {
        const apipool_model_faults_t *entry = &u->model_faults[i];
        count += entry->breaker.count && entry->at <= now && now - entry->at < FAILED_LATELY;
    }
    return count;
}

/* A pause that ends too late was begun before the clock was set back. */
static int is_paused(const apipool_breaker_t *breaker, apr_time_t now)
{
    return breaker->paused_until > now && breaker->paused_until <= now + PAUSE_MAX;
}

static int is_of(const apipool_breaker_t *breaker, apr_uint64_t client)
{
    return breaker->pausing && (!breaker->client || breaker->client == client);
}

/* Returns 1 if the breaker of all models applies to a model that has those faults. */
static int is_of_all(const apipool_upstream_t *u, const apipool_model_faults_t *entry,
                     apr_uint64_t client)
{
    return is_of(&u->faults, client) &&
           (u->unsent >= FAULTS_MAX || (entry && entry->breaker.count));
}

static apr_time_t later(apr_time_t until, const apipool_breaker_t *breaker, apr_time_t now)
{
    return is_paused(breaker, now) && breaker->paused_until > until ? breaker->paused_until : until;
}

static apr_time_t fault_until(const apipool_upstream_t *u, apr_uint64_t model, apr_uint64_t client,
                              apr_time_t now)
{
    const apipool_model_faults_t *entry = find(u, model);
    apr_time_t until = is_of_all(u, entry, client) ? later(0, &u->faults, now) : 0;
    return entry && is_of(&entry->breaker, client) ? later(until, &entry->breaker, now) : until;
}

/* An error that several clients have met affects all clients. */
static void note_client(apipool_breaker_t *breaker, apr_uint64_t client)
{
    breaker->client = breaker->client == client ? client : 0;
}

static void begin_pause(apipool_breaker_t *breaker, apr_time_t now)
{
    breaker->pausing = 1;
    breaker->paused_until = now + PAUSE;
}

static void count_fault(apipool_breaker_t *faults, apr_uint64_t client)
{
    if (faults->count++ == 0) {
        faults->client = client;
    }
    note_client(faults, client);
}

void apipool_breaker_fault_locked(apipool_upstream_t *u, apr_uint64_t model, apr_uint64_t client,
                                  int unsent, apr_time_t now)
{
    apipool_model_faults_t *entry = find_or_add(u, model);
    entry->at = now;
    count_fault(&entry->breaker, client);
    count_fault(&u->faults, client);
    u->unsent += unsent != 0;
    if (entry->breaker.count >= FAULTS_MAX) {
        begin_pause(&entry->breaker, now);
    }
    if (u->unsent >= FAULTS_MAX ||
        (u->faults.count >= FAULTS_MAX && count_failing(u, now) >= MODELS_MIN)) {
        begin_pause(&u->faults, now);
    }
}

/* --- Refusals --------------------------------------------------------------------------------- */

static int are_of(const apipool_upstream_t *u, apr_uint64_t model, apr_uint64_t client)
{
    return is_of(&u->refusals, client) && (!u->refused_model || u->refused_model == model);
}

/* Only their number is a reason to hold requests back: what else clients are refused for, an honest
 * one may not be. */
static int are_closing(const apipool_upstream_t *u)
{
    return (u->refused_as & OF_RATE) != 0;
}

int apipool_breaker_is_last_resort_locked(const apipool_upstream_t *u, apr_uint64_t model,
                                          apr_uint64_t client, apr_time_t now)
{
    return are_of(u, model, client) && !are_closing(u) && is_paused(&u->refusals, now) &&
           u->refusals.count >= u->usable_then;
}

static void begin_round(apipool_upstream_t *u, apr_uint64_t model, apr_uint64_t client,
                        apr_time_t now)
{
    u->refusals = (apipool_breaker_t){.since = now, .client = client};
    u->round++;
    u->pardoned <<= 1;
    u->usable_then = u->usable + u->held_up;
    u->refused_model = model;
    u->refused_as = 0;
}

int apipool_breaker_refusal_locked(apipool_upstream_t *u, apipool_slot_t *slot, apr_uint64_t model,
                                   apr_uint64_t client, apipool_rule_e rule, apr_time_t now)
{
    apipool_breaker_t *refusals = &u->refusals;
    if (!refusals->pausing && (!refusals->since || now - refusals->since > REFUSALS_SPAN)) {
        begin_round(u, model, client, now);
    }
    if (slot->round != u->round) {
        slot->round = u->round;
        refusals->count++;
    }
    if (u->refused_model != model) {
        u->refused_model = 0;
    }
    u->refused_as |= rule == APIPOOL_RULE_RATE_LIMIT  ? OF_RATE
                     : rule == APIPOOL_RULE_FORBIDDEN ? FORBIDDEN
                                                      : OF_KEY;
    note_client(refusals, client);
    if (refusals->count < REFUSALS_MIN || refusals->count * 2 < u->usable_then) {
        return 0;
    }
    u->pardoned |= 1;
    begin_pause(refusals, now);
    return 1;
}

void apipool_breaker_name_locked(apipool_upstream_t *u, apr_time_t until, apr_time_t now)
{
    if (!are_closing(u)) {
        return;
    }
    apr_time_t latest = now + PAUSE_MAX, pause = until < latest ? until : latest;
    u->refusals.named = until > u->refusals.named ? until : u->refusals.named;
    u->refusals.paused_until = pause > u->refusals.paused_until ? pause : u->refusals.paused_until;
}

apr_time_t apipool_breaker_named_locked(const apipool_upstream_t *u, apr_uint64_t model,
                                        apr_uint64_t client)
{
    return are_of(u, model, client) ? u->refusals.named : 0;
}

int apipool_breaker_rejects_all_locked(const apipool_upstream_t *u)
{
    return u->refused_as & OF_KEY && u->refusals.count >= REFUSALS_MIN;
}

/* --- Both ------------------------------------------------------------------------------------- */

apr_time_t apipool_breaker_until_locked(const apipool_upstream_t *u, apr_uint64_t model,
                                        apr_uint64_t client, apr_time_t now)
{
    apr_time_t until = fault_until(u, model, client, now);
    return are_of(u, model, client) && are_closing(u) ? later(until, &u->refusals, now) : until;
}

int apipool_breaker_is_fault_locked(const apipool_upstream_t *u, apr_uint64_t model,
                                    apr_uint64_t client, apr_time_t now)
{
    return fault_until(u, model, client, now) != 0;
}

void apipool_breaker_spend_locked(apipool_upstream_t *u, apr_uint64_t model, apr_uint64_t client,
                                  apr_time_t now)
{
    int place = place_of(u, model);
    apipool_model_faults_t *entry = place < 0 ? NULL : &u->model_faults[place];
    if (is_of_all(u, entry, client)) {
        u->faults.paused_until = now + PAUSE;
    }
    if (entry && is_of(&entry->breaker, client)) {
        entry->breaker.paused_until = now + PAUSE;
    }
    if (are_of(u, model, client)) {
        u->refusals.paused_until = now + PAUSE;
    }
}

static apipool_model_faults_t *end_faults(apipool_upstream_t *u, apr_uint64_t model)
{
    int place = place_of(u, model);
    apipool_model_faults_t *entry = place < 0 ? NULL : &u->model_faults[place];
    memset(&u->faults, 0, sizeof(u->faults));
    u->unsent = 0;
    if (entry) {
        memset(&entry->breaker, 0, sizeof(entry->breaker));
    }
    return entry;
}

void apipool_breaker_answered_locked(apipool_upstream_t *u, apr_uint64_t model)
{
    end_faults(u, model);
}

void apipool_breaker_success_locked(apipool_upstream_t *u, apr_uint64_t model, apr_time_t now)
{
    apipool_model_faults_t *entry = end_faults(u, model);
    memset(&u->refusals, 0, sizeof(u->refusals));
    u->refused_as = 0;
    if (entry) {
        entry->served_at = now;
    }
}

const char *apipool_breaker_why(const apipool_upstream_t *u)
{
    if (u->faults.pausing) {
        return "fails";
    }
    for (int i = 0; u->fault_models_used && i < APIPOOL_FAULT_MODELS; i++) {
        if (u->model_faults[i].breaker.pausing) {
            return "fails with a model";
        }
    }
    return !u->refusals.pausing ? NULL : are_closing(u) ? "limits every key" : "refuses every key";
}

int apipool_breaker_is_troubled(const apipool_upstream_t *u, apr_uint64_t model)
{
    const apipool_model_faults_t *entry =
        __atomic_load_n(&u->fault_models_used, __ATOMIC_RELAXED) ? find(u, model) : NULL;
    return __atomic_load_n(&u->faults.count, __ATOMIC_RELAXED) ||
           __atomic_load_n(&u->refusals.count, __ATOMIC_RELAXED) ||
           (entry && __atomic_load_n(&entry->breaker.count, __ATOMIC_RELAXED));
}

apr_time_t apipool_breaker_served_at_locked(const apipool_upstream_t *u, apr_uint64_t model)
{
    const apipool_model_faults_t *entry = find(u, model);
    return entry ? entry->served_at : 0;
}

int apipool_breaker_pardons_locked(const apipool_upstream_t *u, const apipool_slot_t *slot)
{
    apr_uint32_t ago = u->round - slot->round;
    return slot->round && ago < 64 && u->pardoned >> ago & 1;
}
