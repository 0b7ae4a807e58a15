/* SPDX-License-Identifier: Apache-2.0
 * The state of a key and how events change it. */
#ifndef APIPOOL_CORE_HEALTH_H
#define APIPOOL_CORE_HEALTH_H

#include <apr_time.h>

#include "mod_apipool.h"

/* What happened to a key. Events come from verdicts, from the clock and from operators. */
typedef enum {
    APIPOOL_EVENT_NONE,         /* nothing that says anything about the key */
    APIPOOL_EVENT_SUCCESS,      /* it was accepted and it worked */
    APIPOOL_EVENT_RATE_LIMITED, /* by the upstream, or by a limit of the pool's own */
    APIPOOL_EVENT_QUOTA_SPENT,
    APIPOOL_EVENT_REJECTED, /* the upstream does not accept the credential */
    APIPOOL_EVENT_FAILED,   /* an error that may be the key's; says nothing by itself */
    APIPOOL_EVENT_TRIPPED,  /* the last of too many errors in a row that are the key's */
    APIPOOL_EVENT_EXPIRED,  /* the clock passed the end of a cooldown */
    APIPOOL_EVENT_PROBED, /* a free request has shown that the key is accepted, or none is known: a
                             * real one may prove it */
    APIPOOL_EVENT_REFILLED, /* its balance is enough again, for which alone it was out of quota */
    APIPOOL_EVENT_ENABLED,  /* by an operator */
    APIPOOL_EVENT_DISABLED,
    APIPOOL_EVENT_COUNT
} apipool_event_e;

/**
 * The state after an event. Pure. A late event never lifts a key out of a state that only the clock,
 * an operator or a request sent to prove it may end: a success that began before a 401 arrived does not
 * make the key valid.
 */
apipool_state_e apipool_health_next(apipool_state_e state, apipool_event_e event);

/** "half_open" and so on, as operators see it. */
const char *apipool_state_name(apipool_state_e state);

/** Whether a probe ends that state, by APIPOOL_EVENT_PROBED, at apipool_health_recover_at. */
int apipool_health_is_recovering(apipool_state_e state);

/**
 * When a rate-limited key may be used again: what the upstream named, else min doubled per
 * consecutive limit, at most max. Never earlier than the end of a cooldown that already runs.
 * @param current  end of the running cooldown, or 0
 * @param named    what the upstream said, or 0
 * @param streak   consecutive rate limits before this one
 * @param now      the present
 * @param min, max bounds for an unnamed cooldown
 */
apr_time_t apipool_health_cool_until(apr_time_t current, apr_time_t named, unsigned streak,
                                     apr_time_t now, apr_interval_time_t min,
                                     apr_interval_time_t max);

/**
 * When a tripped, invalid or quota key is tried again: min doubled per try that failed, at most max, and
 * more or less of that by a share, so that keys which were lost together do not come back together.
 * @param tries    tries that failed before
 * @param permille what of the time counts: 1000 for all of it
 */
apr_time_t apipool_health_recover_at(unsigned tries, apr_time_t now, apr_interval_time_t min,
                                     apr_interval_time_t max, unsigned permille);

#endif
