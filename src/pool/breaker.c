/* SPDX-License-Identifier: Apache-2.0
 * Circuit breaker for upstreams that fail or refuse all keys. */
#include "breaker.h"

#include <string.h>

#define PAUSE         apr_time_from_sec(1)
#define PAUSE_MAX     apr_time_from_sec(60) /* if the upstream names a time */
#define FAULTS_MAX    5                     /* consecutive, with any key */
#define REFUSALS_MIN  3                     /* of different keys */
#define REFUSALS_SPAN apr_time_from_sec(5)

/* A pause that ends too late was begun before the clock was set back. */
static int is_paused(const apipool_breaker_t *breaker, apr_time_t now)
{
    return breaker->paused_until > now && breaker->paused_until <= now + PAUSE_MAX;
}

static int is_of(const apipool_breaker_t *breaker, apr_uint64_t client)
{
    return breaker->pausing && (!breaker->client || breaker->client == client);
}

static int are_of(const apipool_upstream_t *u, apr_uint64_t model, apr_uint64_t client)
{
    return is_of(&u->refusals, client) && (!u->refused_model || u->refused_model == model);
}

apr_time_t apipool_breaker_until_locked(const apipool_upstream_t *u, apr_uint64_t model,
                                        apr_uint64_t client, apr_time_t now)
{
    apr_time_t until = apipool_breaker_is_fault_locked(u, client, now) ? u->faults.paused_until : 0;
    return are_of(u, model, client) && is_paused(&u->refusals, now) &&
                   u->refusals.paused_until > until
               ? u->refusals.paused_until
               : until;
}

int apipool_breaker_is_fault_locked(const apipool_upstream_t *u, apr_uint64_t client,
                                    apr_time_t now)
{
    return is_of(&u->faults, client) && is_paused(&u->faults, now);
}

void apipool_breaker_spend_locked(apipool_upstream_t *u, apr_uint64_t model, apr_uint64_t client,
                                  apr_time_t now)
{
    if (is_of(&u->faults, client)) {
        u->faults.paused_until = now + PAUSE;
    }
    if (are_of(u, model, client)) {
        u->refusals.paused_until = now + PAUSE;
    }
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

void apipool_breaker_fault_locked(apipool_upstream_t *u, apr_uint64_t client, apr_time_t now)
{
    apipool_breaker_t *faults = &u->faults;
    if (faults->count++ == 0) {
        faults->client = client;
    }
    note_client(faults, client);
    if (faults->count >= FAULTS_MAX) {
        begin_pause(faults, now);
    }
}

static void begin_round(apipool_upstream_t *u, apr_uint64_t model, apr_uint64_t client,
                        apr_time_t now)
{
    u->refusals = (apipool_breaker_t){.since = now, .client = client};
    u->round++;
    u->pardoned <<= 1;
    u->usable_then = u->usable + u->held_up;
    u->refused_model = model;
}

int apipool_breaker_refusal_locked(apipool_upstream_t *u, apipool_slot_t *slot, apr_uint64_t model,
                                   apr_uint64_t client, apr_time_t now)
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
    apr_time_t latest = now + PAUSE_MAX, pause = until < latest ? until : latest;
    u->refusals.named = until > u->refusals.named ? until : u->refusals.named;
    u->refusals.paused_until = pause > u->refusals.paused_until ? pause : u->refusals.paused_until;
}

apr_time_t apipool_breaker_named_locked(const apipool_upstream_t *u, apr_uint64_t model,
                                        apr_uint64_t client)
{
    return are_of(u, model, client) ? u->refusals.named : 0;
}

void apipool_breaker_answered_locked(apipool_upstream_t *u)
{
    memset(&u->faults, 0, sizeof(u->faults));
}

void apipool_breaker_success_locked(apipool_upstream_t *u)
{
    apipool_breaker_answered_locked(u);
    memset(&u->refusals, 0, sizeof(u->refusals));
}

int apipool_breaker_pardons_locked(const apipool_upstream_t *u, const apipool_slot_t *slot)
{
    apr_uint32_t ago = u->round - slot->round;
    return slot->round && ago < 64 && u->pardoned >> ago & 1;
}
