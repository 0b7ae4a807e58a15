/* SPDX-License-Identifier: Apache-2.0
 * Makes the groups' arrays anew from what their slots say. */
#ifndef APIPOOL_STATE_REBUILD_H
#define APIPOOL_STATE_REBUILD_H

#include "layout.h"

/**
 * After a process has died in the middle of a change: members, ordinals, sets, heaps and what groups count of
 * them follow from each slot's state, ordinal, and cooldowns. Each slot must name a group that exists, and
 * the arena must hold long keys alone. Private to src/state; the caller holds the segment's lock. O(keys).
 * @return 0 when there is no memory for it, which cannot be where there was enough before
 */
int apipool_members_rebuild_locked(apipool_segment_t *segment);

#endif
