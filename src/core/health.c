/* SPDX-License-Identifier: Apache-2.0
 * States of a key, and the events that change them. */
#include "health.h"

#define ACTIVE    APIPOOL_STATE_ACTIVE
#define COOLING   APIPOOL_STATE_COOLING
#define HALF_OPEN APIPOOL_STATE_HALF_OPEN
#define QUOTA     APIPOOL_STATE_QUOTA
#define INVALID   APIPOOL_STATE_INVALID
#define TRIPPED   APIPOOL_STATE_TRIPPED
#define DISABLED  APIPOOL_STATE_DISABLED
#define ORPHANED  APIPOOL_STATE_ORPHANED

#define IN(state)  (1u << (state))
#define IN_USE     (IN(ACTIVE) | IN(COOLING) | IN(HALF_OPEN))
#define RECOVERING (IN(QUOTA) | IN(INVALID) | IN(TRIPPED))

/* States that an event ends, and the state that follows. A more serious refusal (the credential
 * is dead) replaces a milder one (come back later), never the reverse. */
static const struct {
    unsigned from;
    apipool_state_e to;
} changes[APIPOOL_EVENT_COUNT] = {
    [APIPOOL_EVENT_SUCCESS] = {IN(HALF_OPEN), ACTIVE},
    [APIPOOL_EVENT_RATE_LIMITED] = {IN_USE, COOLING},
    [APIPOOL_EVENT_QUOTA_SPENT] = {IN_USE | IN(TRIPPED), QUOTA},
    [APIPOOL_EVENT_REJECTED] = {IN_USE | RECOVERING, INVALID},
    [APIPOOL_EVENT_TRIPPED] = {IN_USE, TRIPPED},
    [APIPOOL_EVENT_EXPIRED] = {IN(COOLING), ACTIVE},
    [APIPOOL_EVENT_PROBED] = {RECOVERING, HALF_OPEN},
    [APIPOOL_EVENT_REFILLED] = {IN(QUOTA), ACTIVE},
    [APIPOOL_EVENT_ENABLED] = {IN(DISABLED), ACTIVE},
    [APIPOOL_EVENT_DISABLED] = {IN_USE | RECOVERING, DISABLED},
};

apipool_state_e apipool_health_next(apipool_state_e state, apipool_event_e event)
{
    return changes[event].from & IN(state) ? changes[event].to : state;
}

const char *apipool_state_name(apipool_state_e state)
{
    static const char *const names[APIPOOL_STATE_COUNT] = {
        [ACTIVE] = "active",     [COOLING] = "cooling",  [HALF_OPEN] = "half_open",
        [QUOTA] = "quota",       [INVALID] = "invalid",  [TRIPPED] = "tripped",
        [DISABLED] = "disabled", [ORPHANED] = "orphaned"};
    return names[state];
}

int apipool_health_is_recovering(apipool_state_e state)
{
    return (RECOVERING & IN(state)) != 0;
}

/* min doubled times times, at most max. */
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
