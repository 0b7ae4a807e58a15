/* SPDX-License-Identifier: Apache-2.0
 * Rebuild of a segment's lists, heaps, tables, queues and counters from its slots. */
#ifndef APIPOOL_POOL_REBUILD_H
#define APIPOOL_POOL_REBUILD_H

#include "segment_layout.h"

/* Some content of the segment is primary; the rest is derived from it:
 *
 *   primary                                         derived
 *   slots with an id: pool, upstream, key, texts,   tables by id, free slots, free blocks;
 *   state, cooldowns                                members, bitsets, heaps and counts of upstreams
 *   holders that name a process, and their purpose  in flight, proving, probing
 *   waiters that name a process, by their tickets   queues
 *   clients that have a serial number               tables by digest and name
 *   account limits that have an account             their table; the end of the last one
 *   names that have a hash                          their table; number of names of each pool
 *   pools, upstreams, counters, the last requests, ended sessions, addresses, viewers
 *
 * Primary content is written in an order in which a half-written item does not count yet or does
 * no harm. A process that is killed during a change therefore loses only that change: its
 * request may be missing from a counter, and a key that it was adding is not there. A key or
 * client that still makes no sense is dropped; it comes back from the store with the next save,
 * which is then due at once. */

/**
 * Rebuilds the segment after a process has died holding the lock, and at a start without
 * children. It may be interrupted and started again. Private to src/memory and src/pool; the
 * caller holds the segment's lock. O(keys).
 * @return 0 when memory runs out, which cannot happen if it was sufficient before
 */
int apipool_rebuild_locked(apipool_segment_t *segment);

#endif
