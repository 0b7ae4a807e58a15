/* SPDX-License-Identifier: Apache-2.0
 * The state of a key and how events change it. */
#include "health.h"

#define ACTIVE    APIPOOL_STATE_ACTIVE
#define COOLING   APIPOOL_STATE_COOLING
#define HALF_OPEN APIPOOL_STATE_HALF_OPEN
#define QUOTA     APIPOOL_STATE_QUOTA
#define INVALID   APIPOOL_STATE_INVALID
#define TRIPPED   APIPOOL_STATE_TRIPPED
#define DISABLED  APIPOOL_STATE_DISABLED

/* Rows are states, columns events: none, success, rate limited, quota spent, rejected, failed, tripped |
 * expired, probed, refilled | enabled, disabled. A refusal that says more (the credential is dead) replaces
 * one that says less (come back later), never the other way round. */
static const apipool_state_e transitions[APIPOOL_STATE_COUNT][APIPOOL_EVENT_COUNT] = {
    [ACTIVE] = {ACTIVE, ACTIVE, COOLING, QUOTA, INVALID, ACTIVE, TRIPPED, /**/ ACTIVE, ACTIVE,
                ACTIVE, /**/ ACTIVE, DISABLED},
    [COOLING] = {COOLING, COOLING, COOLING, QUOTA, INVALID, COOLING, TRIPPED, /**/ ACTIVE, COOLING,
                 COOLING, /**/ COOLING, DISABLED},
    [HALF_OPEN] = {HALF_OPEN, ACTIVE, COOLING, QUOTA, INVALID, HALF_OPEN, TRIPPED, /**/ HALF_OPEN,
                   HALF_OPEN, HALF_OPEN, /**/ HALF_OPEN, DISABLED},
    [QUOTA] = {QUOTA, QUOTA, QUOTA, QUOTA, INVALID, QUOTA, QUOTA, /**/ QUOTA, HALF_OPEN, ACTIVE,
               /**/ QUOTA, DISABLED},
    [INVALID] = {INVALID, INVALID, INVALID, INVALID, INVALID, INVALID, INVALID, /**/ INVALID,
                 HALF_OPEN, INVALID, /**/ INVALID, DISABLED},
    [TRIPPED] = {TRIPPED, TRIPPED, TRIPPED, QUOTA, INVALID, TRIPPED, TRIPPED, /**/ TRIPPED,
                 HALF_OPEN, TRIPPED, /**/ TRIPPED, DISABLED},
    [DISABLED] = {DISABLED, DISABLED, DISABLED, DISABLED, DISABLED, DISABLED, DISABLED,
                  /**/ DISABLED, DISABLED, DISABLED, /**/ ACTIVE, DISABLED},
};

apipool_state_e apipool_health_next(apipool_state_e state, apipool_event_e event)
{
    return transitions[state][event];
}

const char *apipool_state_name(apipool_state_e state)
{
    static const char *const names[APIPOOL_STATE_COUNT] = {
        [ACTIVE] = "active",   [COOLING] = "cooling", [HALF_OPEN] = "half_open", [QUOTA] = "quota",
        [INVALID] = "invalid", [TRIPPED] = "tripped", [DISABLED] = "disabled"};
    return names[state];
}

int apipool_health_is_recovering(apipool_state_e state)
{
    return transitions[state][APIPOOL_EVENT_PROBED] == HALF_OPEN && state != HALF_OPEN;
}

/* min doubled that many times, at most max. */
static apr_interval_time_t doubled(apr_interval_time_t min, unsigned times, apr_interval_time_t max)
{
    while (times-- > 0 && min < max) {
        min *= 2;
    }
    return min < max ? min : max;
}

apr_time_t apipool_health_cool_until(apr_time_t current, apr_time_t named, unsigned streak,
                                     apr_time_t now, apr_interval_time_t min,
                                     apr_interval_time_t max)
{
    apr_time_t until = named > now ? named : now + doubled(min, streak, max);
    return until > current ? until : current;
}

apr_time_t apipool_health_recover_at(unsigned tries, apr_time_t now, apr_interval_time_t min,
                                     apr_interval_time_t max, unsigned permille)
{
    return now + doubled(min, tries, max) * (apr_interval_time_t)permille / 1000;
}
