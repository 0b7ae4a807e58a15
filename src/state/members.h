/* SPDX-License-Identifier: Apache-2.0
 * A group's array of member slots: who is in rotation, who waits for the clock, who is out. */
#ifndef APIPOOL_STATE_MEMBERS_H
#define APIPOOL_STATE_MEMBERS_H

#include "layout.h"

/* The array is drawn in layout.h. Private to src/state; the caller holds the segment's lock. Slots
 * and groups are indices. A slot's state decides its part: active ones are usable, cooling ones wait
 * in the heap by cooling_until, all others are parked. */

/** Makes room for one more member. Returns 0 when the arena is full; nothing has changed then. */
int apipool_members_reserve_locked(apipool_segment_t *segment, apr_uint32_t group);

/** Adds a slot that is in no group, after apipool_members_reserve_locked. */
void apipool_members_add_locked(apipool_segment_t *segment, apr_uint32_t group, apr_uint32_t index);

/** Takes a slot out of its group. */
void apipool_members_remove_locked(apipool_segment_t *segment, apr_uint32_t index);

/** Moves a slot to the part that its state asks for, and within the heap to where its cooling_until
 *  does; both may have changed since. O(1), O(log waiting) to and from the heap. */
void apipool_members_settle_locked(apipool_segment_t *segment, apr_uint32_t index);

/** The slot at that position among the usable ones; n is below the group's usable. */
apr_uint32_t apipool_members_usable_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                           apr_uint32_t n);

/** The slot whose cooldown ends first, or APIPOOL_NONE. */
apr_uint32_t apipool_members_first_waiting_locked(const apipool_segment_t *segment,
                                                  apr_uint32_t group);

#endif
