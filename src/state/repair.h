/* SPDX-License-Identifier: Apache-2.0
 * What a process that was killed with the lock in its hands has left torn is put right. */
#ifndef APIPOOL_STATE_REPAIR_H
#define APIPOOL_STATE_REPAIR_H

#include "layout.h"

/* Some of what the segment holds is told once, and the rest follows from it:
 *
 *   told                                            follows
 *   slots: the first slots_used, each with id,      chains by id; what of the arena is free; members, sets,
 *   pool, group, ordinal, key, state, cooldowns     heaps and counts of groups
 *   holders that name a process, and their purpose  in flight, proving, probing; the chain of free holders
 *   waiters that name a process, by their tickets   queues; the chain of free waiters
 *   hits, names, the last requests, numbers         when the last hit ends; places that names have
 *   clients that have a serial number               chains by digest and name; the chain of free slots
 *   sessions that were ended, addresses, viewers
 *
 * What is told is written in an order in which half of it does not count yet, or harms nobody; what follows
 * is made anew by a repair, whatever is found there. So nothing is lost but what the killed process was
 * changing: its request may be missing from a sum, and a key that it was adding is not there.
 *
 * A repair that is killed is begun again by the next one: it only writes what follows. The caller holds the
 * segment's lock. */

/**
 * Puts everything right: for apipool_segment_lock alone. Allocates; O(keys).
 * @return 0 when there was no memory for it
 */
int apipool_repair_locked(apipool_segment_t *segment);

/** What is wrong with the segment, as a sentence, or NULL: for tests. Changes nothing, and believes nothing
 *  that it finds. Allocates; O(keys). */
const char *apipool_repair_check_locked(const apipool_segment_t *segment);

/** Of that, what is wrong with the members of groups, and with the arena: for tests of these alone. */
const char *apipool_repair_check_members_locked(const apipool_segment_t *segment);

#endif
