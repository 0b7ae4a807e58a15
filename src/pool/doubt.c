/* SPDX-License-Identifier: Apache-2.0
 * Keys in doubt: refused in a request that may itself be to blame, until a probe has checked
 * them. */
#include "doubt.h"

#include <string.h>

#include "slots.h"

#define ASK_EVERY apr_time_from_sec(10)  /* per key */
#define HOLDS     apr_time_from_sec(600) /* validity of a probe's result */

enum { FREE, WAITS, ASKING, SPOKEN, UNSURE };

/* Doubt about the key that is in this slot now. */
static apipool_doubt_t *find(const apipool_segment_t *segment, apr_uint32_t index)
{
    const apipool_slot_t *slot = &segment->slots[index];
    apipool_doubt_t *doubts = segment->upstreams[slot->upstream].doubts;
    for (int i = 0; i < APIPOOL_DOUBTS; i++) {
        if (doubts[i].stage != FREE && doubts[i].slot == index && doubts[i].id == slot->id) {
            return &doubts[i];
        }
    }
    return NULL;
}

/* A time in the future was noted before the clock was set back. */
static int is_over(apr_time_t since, apr_interval_time_t span, apr_time_t now)
{
    return since > now || now - since >= span;
}

/* Entry to reuse: the one whose probe is longest ago; free entries count as never probed. */
static apipool_doubt_t *find_room(apipool_upstream_t *u, apr_time_t now)
{
    apipool_doubt_t *oldest = NULL;
    for (int i = 0; i < APIPOOL_DOUBTS; i++) {
        apipool_doubt_t *doubt = &u->doubts[i];
        if (doubt->stage != WAITS && is_over(doubt->asked_at, ASK_EVERY, now) &&
            (!oldest || doubt->asked_at < oldest->asked_at)) {
            oldest = doubt;
        }
    }
    return oldest;
}

/* Counts the doubts that need attention, so that others can skip the search. */
static void count_open(apipool_upstream_t *u)
{
    apr_uint32_t open = 0;
    for (int i = 0; i < APIPOOL_DOUBTS; i++) {
        unsigned stage = u->doubts[i].stage;
        open += stage == WAITS || stage == ASKING || stage == UNSURE;
    }
    __atomic_store_n(&u->doubts_open, open, __ATOMIC_RELAXED);
}

static void move_to(const apipool_segment_t *segment, apipool_doubt_t *doubt, unsigned stage)
{
    doubt->stage = stage;
    if (stage == FREE) {
        doubt->asked_at = 0;
    }
    count_open(&segment->upstreams[segment->slots[doubt->slot].upstream]);
}

apipool_doubt_e apipool_doubt_known_locked(const apipool_segment_t *segment, apr_uint32_t index,
                                           apr_time_t now, apipool_doubt_first_t *first)
{
    const apipool_doubt_t *doubt = find(segment, index);
    if (!doubt || is_over(doubt->asked_at, HOLDS, now)) {
        return APIPOOL_DOUBT_NONE;
    }
    *first = (apipool_doubt_first_t){doubt->client, doubt->model};
    return doubt->stage == SPOKEN   ? APIPOOL_DOUBT_SPOKEN
           : doubt->stage == UNSURE ? APIPOOL_DOUBT_UNSURE
                                    : APIPOOL_DOUBT_NONE;
}

int apipool_doubt_note_locked(apipool_segment_t *segment, apr_uint32_t index,
                              const apipool_doubt_first_t *first, int of_quota, apr_time_t now)
{
    const apipool_slot_t *slot = &segment->slots[index];
    apipool_doubt_t *known = find(segment, index);
    if (known && (known->stage == WAITS || !is_over(known->asked_at, ASK_EVERY, now))) {
        return 0;
    }
    apipool_doubt_t *doubt = known ? known : find_room(&segment->upstreams[slot->upstream], now);
    if (!doubt) {
        return 0;
    }
    if (!known || known->stage == SPOKEN) {
        doubt->client = first->client;
        doubt->model = first->model;
    }
    doubt->id = slot->id;
    doubt->slot = index;
    doubt->of_quota = of_quota != 0;
    move_to(segment, doubt, WAITS);
    return 1;
}

apr_uint32_t apipool_doubt_next_locked(apipool_segment_t *segment, apr_uint32_t upstream,
                                       apr_time_t now)
{
    apipool_upstream_t *u = &segment->upstreams[upstream];
    for (int i = 0; i < APIPOOL_DOUBTS; i++) {
        apipool_doubt_t *doubt = &u->doubts[i];
        const apipool_slot_t *slot = &segment->slots[doubt->slot];
        if (doubt->stage != WAITS) {
            continue;
        }
        if (slot->id != doubt->id || slot->upstream != upstream || !apipool_slot_is_in_use(slot)) {
            memset(doubt, 0, sizeof(*doubt));
        }
        else if (!slot->probing) {
            doubt->asked_at = now;
            move_to(segment, doubt, ASKING);
            return doubt->slot;
        }
    }
    count_open(u);
    return APIPOOL_NONE;
}

void apipool_doubt_answered_locked(apipool_segment_t *segment, apr_uint32_t index, int accepted,
                                   int has_balance, int upstream_failed)
{
    apipool_doubt_t *doubt = find(segment, index);
    if (doubt && doubt->stage == ASKING && !upstream_failed) {
        move_to(segment, doubt, accepted && (has_balance || !doubt->of_quota) ? SPOKEN : UNSURE);
    }
}

int apipool_doubt_is_of_quota_locked(const apipool_segment_t *segment, apr_uint32_t index)
{
    const apipool_doubt_t *doubt = find(segment, index);
    return doubt && doubt->stage == ASKING && doubt->of_quota;
}

void apipool_doubt_succeeded_locked(apipool_segment_t *segment, apr_uint32_t index,
                                    apr_time_t lent_at)
{
    apipool_doubt_t *doubt = find(segment, index);
    if (doubt && doubt->stage == UNSURE && lent_at >= doubt->asked_at) {
        move_to(segment, doubt, SPOKEN);
    }
}

void apipool_doubt_forget_locked(apipool_segment_t *segment, apr_uint32_t index)
{
    apipool_doubt_t *doubt = find(segment, index);
    if (doubt) {
        move_to(segment, doubt, FREE);
    }
}
