/* SPDX-License-Identifier: Apache-2.0
 * Queues of requests that wait for a key, in order of arrival. */
#ifndef APIPOOL_POOL_QUEUE_H
#define APIPOOL_POOL_QUEUE_H

#include "segment_layout.h"

/* Nothing sleeps here: a request enters a queue and checks from time to time whether it is
 * first. Requests for the same pool and model share a queue. The caller of a *_locked function
 * holds the segment's lock. */

/**
 * Enters a queue; *waiter is APIPOOL_NONE when too many are waiting. Takes the lock.
 * @param model hash of the name that the client uses
 */
apr_status_t apipool_pool_enter_queue(apipool_segment_t *segment, apr_uint32_t pool,
                                      apr_uint64_t model, apr_uint32_t *waiter);

/** Leaves the queue, with or without a key. Takes the lock. */
apr_status_t apipool_pool_leave_queue(apipool_segment_t *segment, apr_uint32_t waiter);

/** Upper bound of the requests ahead of a waiter; with APIPOOL_NONE, of all that wait. */
apr_uint64_t apipool_queue_ahead_locked(const apipool_segment_t *segment, apr_uint32_t pool,
                                        apr_uint64_t model, apr_uint32_t waiter);

/** Removes the waiters of a process that died. */
void apipool_queue_reclaim_locked(apipool_segment_t *segment, apr_uint32_t process);

/** Rebuilds all queues from the waiters, which keep their places. */
void apipool_queue_rebuild_locked(apipool_segment_t *segment);

#endif
