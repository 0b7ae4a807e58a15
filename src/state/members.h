/* SPDX-License-Identifier: Apache-2.0
 * Who of a group is in rotation, who waits for the clock, for all models and for each of them. */
#ifndef APIPOOL_STATE_MEMBERS_H
#define APIPOOL_STATE_MEMBERS_H

#include "bits.h"
#include "layout.h"

/* Lanes and heaps are described in layout.h. Private to src/state; the caller holds the segment's lock.
 * Slots, groups and lanes are indices. */

/** Makes room for one more member. Returns 0 when the arena is full; nothing has changed then. */
int apipool_members_reserve_locked(apipool_segment_t *segment, apr_uint32_t group);

/** Makes room for so many more. */
int apipool_members_reserve_many_locked(apipool_segment_t *segment, apr_uint32_t group,
                                        apr_uint32_t members);

/** Adds a slot that is in no group and cools for no model, after apipool_members_reserve_locked. */
void apipool_members_add_locked(apipool_segment_t *segment, apr_uint32_t group, apr_uint32_t index);

/** Takes a slot out of its group. Its cooldowns for single models end. */
void apipool_members_remove_locked(apipool_segment_t *segment, apr_uint32_t index);

/** Whether a slot is in a group: one whose key was removed is not. */
int apipool_members_has_locked(const apipool_slot_t *slot);

/** Puts a slot where its state, its requests in flight and until[0] ask for; all may have changed since;
 *  one that is in no group stays there. O(log waiting) to and from a heap, else O(1). */
void apipool_members_settle_locked(apipool_segment_t *segment, apr_uint32_t index);

/** The lane that holds a model's cooldowns; 0 where there are none. */
apr_uint32_t apipool_members_lane_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                         apr_uint64_t model);

/** Ends a slot's cooldowns for single models. */
void apipool_members_warm_locked(apipool_segment_t *segment, apr_uint32_t index);

/** Lets a slot cool for one model alone, never shorter than it does. Returns the lane. */
apr_uint32_t apipool_members_cool_locked(apipool_segment_t *segment, apr_uint32_t index,
                                         apr_uint64_t model, apr_time_t until, apr_time_t now);

/** Returns what has cooled down by now to the rotation, 64 members per lane at most: those of lane 0 and
 *  of the given one. */
void apipool_members_wake_locked(apipool_segment_t *segment, apr_uint32_t group, apr_uint32_t lane,
                                 apr_time_t now);

/** The slot that has waited longest for a probe that is due by now; APIPOOL_NONE when there is none. */
apr_uint32_t apipool_members_due_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                        apr_time_t now);

/** The half-open slots, at most max of them, that a request may prove by now and that do not cool in that
 *  lane, the one that has waited longest first. Returns their number. */
int apipool_members_unproved_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                    apr_uint32_t lane, apr_time_t now, apr_uint32_t *slots,
                                    int max);

/** The ordinal, that one or a later one, of a usable member; APIPOOL_NONE when there is none. */
apr_uint32_t apipool_members_next_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                         apr_uint32_t lane, apr_uint32_t ordinal);

/** Whether the member of that ordinal, if there is one, is usable. */
int apipool_members_is_usable_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                     apr_uint32_t lane, apr_uint32_t ordinal);

/** The slot of an ordinal. */
apr_uint32_t apipool_members_at_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                       apr_uint32_t ordinal);

#endif
