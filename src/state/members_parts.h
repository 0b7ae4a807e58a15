/* SPDX-License-Identifier: Apache-2.0
 * Where a group's members, heaps and sets lie. */
#ifndef APIPOOL_STATE_MEMBERS_PARTS_H
#define APIPOOL_STATE_MEMBERS_PARTS_H

#include "arena.h"
#include "bits.h"
#include "heap.h"
#include "members.h"

/* Private to members.c, wake.c and rebuild.c; the caller holds the segment's lock.
 *
 * A group has one block of the arena: rows of as many numbers as it has room for ordinals, and behind them a
 * set of ordinals for each lane. The first row says by ordinal which slot the member is, or for a spare
 * ordinal which one is the next spare one. Each of the others is a heap: those of the lanes, then the two of
 * the group. Pages that nobody writes to cost nothing. */
enum {
    APIPOOL_IN_NONE,
    APIPOOL_IN_COOLING, /* in lane 0; in another lane: that many further on */
    APIPOOL_IN_HALF_OPEN = APIPOOL_IN_COOLING + APIPOOL_LANES,
    APIPOOL_IN_RECOVERING,
    APIPOOL_ROWS
};

/** A row of a group. */
static inline apr_uint32_t *apipool_members_row(const apipool_segment_t *segment,
                                                const apipool_group_t *g, apr_uint32_t which)
{
    return (apr_uint32_t *)apipool_arena_at(segment, g->rows) + (apr_size_t)which * g->size;
}

/** A view of who is clear in a lane. */
apipool_bits_t apipool_members_bits(const apipool_segment_t *segment, const apipool_group_t *g,
                                    apr_uint32_t lane);

/** A view of a row that is a heap. */
apipool_heap_t apipool_members_heap(const apipool_segment_t *segment, apipool_group_t *g,
                                    apr_uint32_t which);

/** Lets a slot, whose until[lane] is set, cool in a lane of a model. */
void apipool_members_enter_lane_locked(apipool_segment_t *segment, apr_uint32_t index,
                                       apr_uint32_t lane);

/** Puts a slot that has its ordinal into set and heap, whatever it says of where it is. */
void apipool_members_enter_locked(apipool_segment_t *segment, apr_uint32_t index);

/** Bytes of a group's block. */
apr_size_t apipool_members_bytes(apr_uint32_t size);

#endif
