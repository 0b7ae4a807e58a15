/* SPDX-License-Identifier: Apache-2.0
 * States of a key, and the events that change them. */
#ifndef APIPOOL_CORE_HEALTH_H
#define APIPOOL_CORE_HEALTH_H

#include <apr_time.h>

#include "mod_apipool.h"

/* Events of a key. They come from verdicts, from the clock and from operators. */
typedef enum {
    APIPOOL_EVENT_NONE,         /* says nothing about the key */
    APIPOOL_EVENT_SUCCESS,      /* the key was accepted and worked */
    APIPOOL_EVENT_RATE_LIMITED, /* by the upstream or by a configured limit */
    APIPOOL_EVENT_QUOTA_SPENT,
    APIPOOL_EVENT_REJECTED, /* the upstream does not accept the credential */
    APIPOOL_EVENT_FAILED,  /* an error that may be the key's; does not change the state by itself */
    APIPOOL_EVENT_TRIPPED, /* last of too many consecutive errors of the key */
    APIPOOL_EVENT_EXPIRED, /* end of a cooldown */
    APIPOOL_EVENT_PROBED,  /* a free probe has shown that the key is accepted, or none exists */
    APIPOOL_EVENT_REFILLED, /* its balance, which alone had put it out of quota, is back */
    APIPOOL_EVENT_ENABLED,  /* by an operator */
    APIPOOL_EVENT_DISABLED,
    APIPOOL_EVENT_COUNT
} apipool_event_e;

/** State after an event. Pure. A late event never lifts a key out of a state that only the
 *  clock, an operator or a proving request may end: a success that began before a 401 arrived
 *  does not make the key valid. */
apipool_state_e apipool_health_next(apipool_state_e state, apipool_event_e event);

/** Name in the API and logs, for example "half_open". */
const char *apipool_state_name(apipool_state_e state);

/** Returns 1 if a probe ends the state, with APIPOOL_EVENT_PROBED, at apipool_health_recover_at. */
int apipool_health_is_recovering(apipool_state_e state);

/**
 * End of the cooldown of a rate-limited key: the time that the upstream named, else min doubled
 * for each consecutive limit, at most max. Never before the end of a running cooldown.
 * @param current  end of the running cooldown, or 0
 * @param named    time named by the upstream, or 0
 * @param streak   consecutive rate limits before this one
 * @param now      current time
 * @param min, max bounds of the cooldown if the upstream named no time
 */
apr_time_t apipool_health_cool_until(apr_time_t current, apr_time_t named, unsigned streak,
                                     apr_time_t now, apr_interval_time_t min,
                                     apr_interval_time_t max);

/**
 * Time of the next try of a tripped, invalid or quota key: min doubled for each failed try, at
 * most max, times a random share, so that keys lost together do not come back together.
 * @param tries    failed tries so far
 * @param permille share of the time; 1000 is all of it
 */
apr_time_t apipool_health_recover_at(unsigned tries, apr_time_t now, apr_interval_time_t min,
                                     apr_interval_time_t max, unsigned permille);

#endif
