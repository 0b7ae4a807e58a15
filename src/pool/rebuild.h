/* SPDX-License-Identifier: Apache-2.0
 * Makes anew what follows from slots: all lists, heaps, tables, queues and counts of a segment. */
#ifndef APIPOOL_POOL_REBUILD_H
#define APIPOOL_POOL_REBUILD_H

#include "segment_layout.h"

/* Some of what the segment holds is told once, and the rest follows from it:
 *
 *   told                                            follows
 *   slots with an id: pool, group, key, texts,      what is found by id, and what is free; what of the arena
 *   state, cooldowns                                is free; members, sets, heaps and counts of groups
 *   holders that name a process, and their purpose  in flight, proving, probing
 *   waiters that name a process, by their tickets   queues
 *   clients that have a serial number               what is found by digest and name
 *   account limits that have an account             what is found by it; when the last one ends
 *   names that have a hash                          what is found by it; how many each pool has
 *   pools, groups, numbers, the last requests, sessions that were ended, addresses, viewers
 *
 * What is told is written in an order in which half of it does not count yet, or harms nobody. So when a
 * process is killed in the middle of a change, nothing is lost but that: its request may be missing from a
 * sum, and a key that it was adding is not there. A key or client that makes no sense all the same is taken
 * out, and comes back from the store with the next save, which is due at once then. */

/**
 * After a process has died holding the lock, and when nobody is left at a start. It may be cut off and begun
 * again. Private to src/memory and src/pool; the caller holds the segment's lock. O(keys).
 * @return 0 when there is no memory for it, which cannot be where there was enough before
 */
int apipool_rebuild_locked(apipool_segment_t *segment);

#endif
