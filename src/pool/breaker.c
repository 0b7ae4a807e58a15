/* SPDX-License-Identifier: Apache-2.0
 * Upstreams that fail or refuse everyone: when to leave them alone, and when to try again. */
#include "breaker.h"

#include <string.h>

#define PAUSE         apr_time_from_sec(1)
#define FAULTS_MAX    5 /* in a row, whatever the key */
#define REFUSALS_MIN  3 /* of distinct keys */
#define REFUSALS_SPAN apr_time_from_sec(5)

/* A pause that ends later than any could was begun before the clock was set back. */
static int is_paused(const apipool_breaker_t *trouble, apr_time_t now)
{
    return trouble->paused_until > now && trouble->paused_until <= now + PAUSE;
}

static int is_of(const apipool_breaker_t *trouble, apr_uint64_t client)
{
    return trouble->pausing && (!trouble->client || trouble->client == client);
}

static int are_of(const apipool_upstream_t *g, apr_uint64_t model, apr_uint64_t client)
{
    return is_of(&g->refusals, client) && (!g->refused_model || g->refused_model == model);
}

apr_time_t apipool_breaker_until_locked(const apipool_upstream_t *g, apr_uint64_t model,
                                        apr_uint64_t client, apr_time_t now)
{
    apr_time_t until = apipool_breaker_is_fault_locked(g, client, now) ? g->faults.paused_until : 0;
    return are_of(g, model, client) && is_paused(&g->refusals, now) &&
                   g->refusals.paused_until > until
               ? g->refusals.paused_until
               : until;
}

int apipool_breaker_is_fault_locked(const apipool_upstream_t *g, apr_uint64_t client,
                                    apr_time_t now)
{
    return is_of(&g->faults, client) && is_paused(&g->faults, now);
}

void apipool_breaker_spend_locked(apipool_upstream_t *g, apr_uint64_t model, apr_uint64_t client,
                                  apr_time_t now)
{
    if (is_of(&g->faults, client)) {
        g->faults.paused_until = now + PAUSE;
    }
    if (are_of(g, model, client)) {
        g->refusals.paused_until = now + PAUSE;
    }
}

/* What several clients have met concerns all of them. */
static void note_client(apipool_breaker_t *trouble, apr_uint64_t client)
{
    trouble->client = trouble->client == client ? client : 0;
}

static void begin_pause(apipool_breaker_t *trouble, apr_time_t now)
{
    trouble->pausing = 1;
    trouble->paused_until = now + PAUSE;
}

void apipool_breaker_fault_locked(apipool_upstream_t *g, apr_uint64_t client, apr_time_t now)
{
    apipool_breaker_t *faults = &g->faults;
    if (faults->count++ == 0) {
        faults->client = client;
    }
    note_client(faults, client);
    if (faults->count >= FAULTS_MAX) {
        begin_pause(faults, now);
    }
}

static void begin_round(apipool_upstream_t *g, apr_uint64_t model, apr_uint64_t client,
                        apr_time_t now)
{
    g->refusals = (apipool_breaker_t){.since = now, .client = client};
    g->round++;
    g->pardoned <<= 1;
    g->usable_then = g->usable + g->held_up;
    g->refused_model = model;
}

int apipool_breaker_refusal_locked(apipool_upstream_t *g, apipool_slot_t *slot, apr_uint64_t model,
                                   apr_uint64_t client, apr_time_t now)
{
    apipool_breaker_t *refusals = &g->refusals;
    if (!refusals->pausing && (!refusals->since || now - refusals->since > REFUSALS_SPAN)) {
        begin_round(g, model, client, now);
    }
    if (slot->round != g->round) {
        slot->round = g->round;
        refusals->count++;
    }
    if (g->refused_model != model) {
        g->refused_model = 0;
    }
    note_client(refusals, client);
    if (refusals->count < REFUSALS_MIN || refusals->count * 2 < g->usable_then) {
        return 0;
    }
    g->pardoned |= 1;
    begin_pause(refusals, now);
    return 1;
}

void apipool_breaker_answered_locked(apipool_upstream_t *g)
{
    memset(&g->faults, 0, sizeof(g->faults));
}

void apipool_breaker_success_locked(apipool_upstream_t *g)
{
    apipool_breaker_answered_locked(g);
    memset(&g->refusals, 0, sizeof(g->refusals));
}

int apipool_breaker_pardons_locked(const apipool_upstream_t *g, const apipool_slot_t *slot)
{
    apr_uint32_t ago = g->round - slot->round;
    return slot->round && ago < 64 && g->pardoned >> ago & 1;
}
