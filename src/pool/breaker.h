/* SPDX-License-Identifier: Apache-2.0
 * Circuit breaker for upstreams that fail or refuse all keys. */
#ifndef APIPOOL_POOL_BREAKER_H
#define APIPOOL_POOL_BREAKER_H

#include "segment_layout.h"

/* Private to src/memory and src/pool; the caller holds the segment's lock. While the breaker is
 * open, the upstream gets one request a second, from any client. A success closes it. An error
 * that only one client has met may be caused by that client, so the other clients are served as
 * usual. Clients are hashes, 0 where unknown.
 *
 * Faults are counted by model: a model that fails does not pause the others. All models pause if
 * nothing can be sent, and all that have failed pause once three of them have, with no answer in
 * between. */

/** Time when the next request of a client for a model may go to the upstream; 0: at once. */
apr_time_t apipool_breaker_until_locked(const apipool_upstream_t *u, apr_uint64_t model,
                                        apr_uint64_t client, apr_time_t now);

/** Returns 1 if the pause is because the upstream fails, not because it refuses. */
int apipool_breaker_is_fault_locked(const apipool_upstream_t *u, apr_uint64_t model,
                                    apr_uint64_t client, apr_time_t now);

/** Returns 1 if the upstream has just rejected every key, or called it spent: others are asked
 *  first, and no request tries more than one key here. */
int apipool_breaker_is_last_resort_locked(const apipool_upstream_t *u, apr_uint64_t model,
                                          apr_uint64_t client, apr_time_t now);

/** Notes that a request goes to the upstream; while the breaker is open the next one waits for a
 *  second. */
void apipool_breaker_spend_locked(apipool_upstream_t *u, apr_uint64_t model, apr_uint64_t client,
                                  apr_time_t now);

/** Notes an attempt that failed because of the upstream.
 *  @param unsent nothing could be sent */
void apipool_breaker_fault_locked(apipool_upstream_t *u, apr_uint64_t model, apr_uint64_t client,
                                  int unsent, apr_time_t now);

/**
 * Notes an attempt that was refused. Rule R08: if three keys and half of the usable ones are
 * refused within five seconds, without a success, the keys are not to blame.
 * @param rule R05, R06, R07 or R09
 * @return 1 if R08 applies, to this key and those before it
 */
int apipool_breaker_refusal_locked(apipool_upstream_t *u, apipool_slot_t *slot, apr_uint64_t model,
                                   apr_uint64_t client, apipool_rule_e rule, apr_time_t now);

/** Notes when refusals of all keys by their number end, as the upstream has named it. Until then
 *  the pauses between two requests are a minute, as a limit may be lifted early. */
void apipool_breaker_name_locked(apipool_upstream_t *u, apr_time_t until, apr_time_t now);

/** The time that was named to a client, for a model; 0: none. It may be over. */
apr_time_t apipool_breaker_named_locked(const apipool_upstream_t *u, apr_uint64_t model,
                                        apr_uint64_t client);

/** Note a good answer for a model. apipool_breaker_answered_locked is for a client's error: it
 *  only ends faults. */
void apipool_breaker_answered_locked(apipool_upstream_t *u, apr_uint64_t model);
void apipool_breaker_success_locked(apipool_upstream_t *u, apr_uint64_t model, apr_time_t now);

/** Why the breaker is open for any model or client: what the upstream does, a static sentence
 *  without a subject; NULL: it is not. Reads single numbers, so the lock is not needed. */
const char *apipool_breaker_why(const apipool_upstream_t *u);

/** Returns 1 if a success of a model would change the breaker. No lock: single numbers. */
int apipool_breaker_is_troubled(const apipool_upstream_t *u, apr_uint64_t model);

/** Time of a model's last success since it last failed for the first time; 0: unknown. */
apr_time_t apipool_breaker_served_at_locked(const apipool_upstream_t *u, apr_uint64_t model);

/** Returns 1 if a key was refused in a round to which R08 applied, since its streaks were
 *  counted. */
int apipool_breaker_pardons_locked(const apipool_upstream_t *u, const apipool_slot_t *slot);

/** Returns 1 if three keys or more were called spent or rejected, and none has worked since: a
 *  further refusal says nothing about a key. */
int apipool_breaker_rejects_all_locked(const apipool_upstream_t *u);

#endif
