/* SPDX-License-Identifier: Apache-2.0
 * Upstreams that fail or refuse everyone: when to leave them alone, and when to try again. */
#ifndef APIPOOL_POOL_BREAKER_H
#define APIPOOL_POOL_BREAKER_H

#include "segment_layout.h"

/* Private to src/memory and src/pool; the caller holds the segment's lock. While an upstream is in trouble
 * one request a second goes to it, whoever comes first. Any success ends the trouble. What one client alone
 * has met may be its own doing, so the others are served as if nothing were. Clients are hashes, 0 where
 * unknown. */

/** When the next request of a client for a model may go to the group's upstream; 0: at once. */
apr_time_t apipool_breaker_until_locked(const apipool_upstream_t *g, apr_uint64_t model,
                                        apr_uint64_t client, apr_time_t now);

/** Whether that pause is for faults: the upstream does not work, rather than refuse. */
int apipool_breaker_is_fault_locked(const apipool_upstream_t *g, apr_uint64_t client,
                                    apr_time_t now);

/** A request goes to the upstream: in trouble, the next one waits for a second. */
void apipool_breaker_spend_locked(apipool_upstream_t *g, apr_uint64_t model, apr_uint64_t client,
                                  apr_time_t now);

/** An attempt failed by the upstream's fault. */
void apipool_breaker_fault_locked(apipool_upstream_t *g, apr_uint64_t client, apr_time_t now);

/**
 * An attempt with a key was refused for its rate or as forbidden. Rule R08: when three keys, and half of
 * the usable ones, are refused within five seconds and nobody succeeds, it is not they who are to blame.
 * @return whether that is so, for this key and those before it
 */
int apipool_breaker_refusal_locked(apipool_upstream_t *g, apipool_slot_t *slot, apr_uint64_t model,
                                   apr_uint64_t client, apr_time_t now);

/** The upstream has answered as if all were well: for the client's errors, only faults end. */
void apipool_breaker_answered_locked(apipool_upstream_t *g);
void apipool_breaker_success_locked(apipool_upstream_t *g);

/** Whether a key took part in refusals that were everyone's fate since its streaks were counted. */
int apipool_breaker_pardons_locked(const apipool_upstream_t *g, const apipool_slot_t *slot);

#endif
