/* SPDX-License-Identifier: Apache-2.0
 * Requests that wait for a key, in the order in which they came. */
#ifndef APIPOOL_POOL_QUEUE_H
#define APIPOOL_POOL_QUEUE_H

#include "segment_layout.h"

/* Nobody sleeps in here: a request enters a queue, and looks from time to time whether it is the first.
 * Requests of one pool and model share a queue; for
 * the other functions the caller holds the segment's lock. */

/** Gets in line for a key; *waiter is APIPOOL_NONE when too many wait already. Takes the lock.
 *  @param model hash of its name as the client calls it */
apr_status_t apipool_pool_enter_queue(apipool_segment_t *segment, apr_uint32_t pool,
                                      apr_uint64_t model, apr_uint32_t *waiter);

/** Leaves the line, with or without a key. Takes the lock. */
apr_status_t apipool_pool_leave_queue(apipool_segment_t *segment, apr_uint32_t waiter);

/** How many, at most, are before a waiter; how many wait at all for one that is APIPOOL_NONE. */
apr_uint64_t apipool_queue_ahead_locked(const apipool_segment_t *segment, apr_uint32_t pool,
                                        apr_uint64_t model, apr_uint32_t waiter);

/** Takes out the waiters of a process that ended. */
void apipool_queue_reclaim_locked(apipool_segment_t *segment, apr_uint32_t process);

/** Makes all queues anew from what each waiter says: those who wait keep their places. */
void apipool_queue_rebuild_locked(apipool_segment_t *segment);

#endif
