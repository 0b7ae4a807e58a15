/* SPDX-License-Identifier: Apache-2.0
 * The state of a key and how events change it. */
#include "health.h"

#define ACTIVE   APIPOOL_STATE_ACTIVE
#define COOLING  APIPOOL_STATE_COOLING
#define QUOTA    APIPOOL_STATE_QUOTA
#define INVALID  APIPOOL_STATE_INVALID
#define DISABLED APIPOOL_STATE_DISABLED

/* Rows are states, columns events: none, success, rate limited, quota spent, rejected, expired.
 * A refusal that says more (the credential is dead) replaces one that says less (come back later). */
static const apipool_state_e transitions[APIPOOL_STATE_COUNT][APIPOOL_EVENT_COUNT] = {
    [ACTIVE] = {ACTIVE, ACTIVE, COOLING, QUOTA, INVALID, ACTIVE},
    [COOLING] = {COOLING, COOLING, COOLING, QUOTA, INVALID, ACTIVE},
    [QUOTA] = {QUOTA, QUOTA, QUOTA, QUOTA, INVALID, QUOTA},
    [INVALID] = {INVALID, INVALID, INVALID, INVALID, INVALID, INVALID},
    [DISABLED] = {DISABLED, DISABLED, DISABLED, DISABLED, DISABLED, DISABLED},
};

apipool_state_e apipool_health_next(apipool_state_e state, apipool_event_e event)
{
    return transitions[state][event];
}

apr_time_t apipool_health_cool_until(apr_time_t current, apr_time_t named, unsigned streak,
                                     apr_time_t now, apr_interval_time_t min,
                                     apr_interval_time_t max)
{
    apr_time_t until = named;
    if (until <= now) {
        apr_interval_time_t wait = min;
        while (streak-- > 0 && wait < max) {
            wait *= 2;
        }
        until = now + (wait < max ? wait : max);
    }
    return until > current ? until : current;
}
