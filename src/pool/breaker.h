/* SPDX-License-Identifier: Apache-2.0
 * Circuit breaker for upstreams that fail or refuse all keys. */
#ifndef APIPOOL_POOL_BREAKER_H
#define APIPOOL_POOL_BREAKER_H

#include "segment_layout.h"

/* Private to src/memory and src/pool; the caller holds the segment's lock. While the breaker is
 * open, the upstream gets one request a second, from any client. A success closes it. An error
 * that only one client has met may be caused by that client, so the other clients are served as
 * usual. Clients are hashes, 0 where unknown. */

/** Time when the next request of a client for a model may go to the upstream; 0: at once. */
apr_time_t apipool_breaker_until_locked(const apipool_upstream_t *u, apr_uint64_t model,
                                        apr_uint64_t client, apr_time_t now);

/** Returns 1 if the pause is because the upstream fails, not because it refuses. */
int apipool_breaker_is_fault_locked(const apipool_upstream_t *u, apr_uint64_t client,
                                    apr_time_t now);

/** Notes that a request goes to the upstream; while the breaker is open the next one waits for a
 *  second. */
void apipool_breaker_spend_locked(apipool_upstream_t *u, apr_uint64_t model, apr_uint64_t client,
                                  apr_time_t now);

/** Notes an attempt that failed because of the upstream. */
void apipool_breaker_fault_locked(apipool_upstream_t *u, apr_uint64_t client, apr_time_t now);

/**
 * Notes an attempt that was refused for its rate or as forbidden. Rule R08: if three keys and
 * half of the usable ones are refused within five seconds, without a success, the keys are not
 * to blame.
 * @return 1 if R08 applies, to this key and those before it
 */
int apipool_breaker_refusal_locked(apipool_upstream_t *u, apipool_slot_t *slot, apr_uint64_t model,
                                   apr_uint64_t client, apr_time_t now);

/** Notes when the refusals of all keys end, as the upstream has named it. Until then the pauses
 *  between two requests are a minute, as a limit may be lifted early. */
void apipool_breaker_name_locked(apipool_upstream_t *u, apr_time_t until, apr_time_t now);

/** The time that was named to a client, for a model; 0: none. It may be over. */
apr_time_t apipool_breaker_named_locked(const apipool_upstream_t *u, apr_uint64_t model,
                                        apr_uint64_t client);

/** Note a good answer. apipool_breaker_answered_locked is for a client's error: it only ends
 *  faults. */
void apipool_breaker_answered_locked(apipool_upstream_t *u);
void apipool_breaker_success_locked(apipool_upstream_t *u);

/** Returns 1 if a key was refused in a round to which R08 applied, since its streaks were
 *  counted. */
int apipool_breaker_pardons_locked(const apipool_upstream_t *u, const apipool_slot_t *slot);

#endif
