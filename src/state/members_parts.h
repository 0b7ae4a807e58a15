/* SPDX-License-Identifier: Apache-2.0
 * What changing a group's members, and making them anew, have in common. */
#ifndef APIPOOL_STATE_MEMBERS_PARTS_H
#define APIPOOL_STATE_MEMBERS_PARTS_H

#include "bits.h"
#include "heap.h"
#include "members.h"

/* Private to members.c and rebuild.c; the caller holds the segment's lock. */

/* What apipool_slot_t.heap says. */
enum { APIPOOL_IN_NONE, APIPOOL_IN_COOLING, APIPOOL_IN_HALF_OPEN, APIPOOL_IN_RECOVERING };

/** A view of who is clear in a lane. */
apipool_bits_t apipool_members_bits(const apipool_segment_t *segment, const apipool_group_t *g,
                                    apr_uint32_t lane);

/** A view of a lane's heap, of the one of those that are half open and in no request, and of the one of those
 *  that wait for a probe. */
apipool_heap_t apipool_members_cooling(const apipool_segment_t *segment, apipool_group_t *g,
                                       apr_uint32_t lane);
apipool_heap_t apipool_members_half_open(const apipool_segment_t *segment, apipool_group_t *g);
apipool_heap_t apipool_members_recovering(const apipool_segment_t *segment, apipool_group_t *g);

/** Makes room for one more in a lane of a single model. Returns 0 when there is no memory left for it. */
int apipool_members_reserve_lane_locked(apipool_segment_t *segment, apipool_group_t *g,
                                        apr_uint32_t lane);

#endif
