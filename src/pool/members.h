/* SPDX-License-Identifier: Apache-2.0
 * Who of a group is in rotation, who waits for the clock, for all models and for each of them. */
#ifndef APIPOOL_POOL_MEMBERS_H
#define APIPOOL_POOL_MEMBERS_H

#include "arena.h"
#include "bitset.h"
#include "segment_layout.h"

/* Private to src/memory and src/pool; the caller holds the segment's lock. Slots, groups and model slots are
 * indices. Lanes and heaps are described in segment_layout.h.
 *
 * A group has one block of the arena: rows of as many numbers as it has room for ordinals, and behind them a
 * set of ordinals for each model slot. The first row says by ordinal which slot the member is, or for a spare
 * ordinal which one is the next spare one. Each of the others is a heap: those of the model slots, then the
 * two of the group. Pages that nobody writes to cost nothing. */
enum {
    APIPOOL_IN_NONE,
    APIPOOL_IN_COOLING, /* in model slot 0; in another model slot: that many further on */
    APIPOOL_IN_HALF_OPEN = APIPOOL_IN_COOLING + APIPOOL_MODEL_SLOTS,
    APIPOOL_IN_RECOVERING,
    APIPOOL_ROWS
};

/* A view of a binary heap of slots by the time at which they wake up. A slot knows its place in the heap of
 * each model slot, so that it can be taken out from anywhere. */
typedef struct {
    apipool_slot_t *slots;
    apr_uint32_t *at;        /* 0 is the one that wakes first, 2n+1 and 2n+2 wake after n */
    apr_uint32_t *count;     /* of slots in it */
    apr_uint32_t model_slot; /* whose until and place it goes by */
} apipool_heap_t;

/** A row of a group. */
static inline apr_uint32_t *apipool_members_row(const apipool_segment_t *segment,
                                                const apipool_upstream_t *g, apr_uint32_t which)
{
    return (apr_uint32_t *)apipool_arena_at(segment, g->rows) + (apr_size_t)which * g->size;
}

/** A view of who is clear in a model slot. */
apipool_bitset_t apipool_members_bits(const apipool_segment_t *segment, const apipool_upstream_t *g,
                                      apr_uint32_t model_slot);

/** A view of a row that is a heap. */
apipool_heap_t apipool_members_heap(const apipool_segment_t *segment, apipool_upstream_t *g,
                                    apr_uint32_t which);

/** Bytes of a group's block. */
apr_size_t apipool_members_bytes(apr_uint32_t size);

/** Makes room for one more member. Returns 0 when the arena is full; nothing has changed then. */
int apipool_members_reserve_locked(apipool_segment_t *segment, apr_uint32_t group);

/** Makes room for so many more. */
int apipool_members_reserve_many_locked(apipool_segment_t *segment, apr_uint32_t group,
                                        apr_uint32_t members);

/** Adds a slot that is in no group, after apipool_members_reserve_locked. It cools for the models in whose
 *  model slots it has a place. */
void apipool_members_add_locked(apipool_segment_t *segment, apr_uint32_t group, apr_uint32_t index);

/** Takes a slot out of its group. Its cooldowns for single models end. */
void apipool_members_remove_locked(apipool_segment_t *segment, apr_uint32_t index);

/** Puts a slot where its state, its requests in flight and until[0] ask for; all may have changed since;
 *  one that is in no group stays there. O(log waiting) to and from a heap, else O(1). */
void apipool_members_settle_locked(apipool_segment_t *segment, apr_uint32_t index);

/** The model slot that holds a model's cooldowns; 0 where there are none. */
apr_uint32_t apipool_members_model_slot_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                               apr_uint64_t model);

/** Ends a slot's cooldowns for single models. */
void apipool_members_warm_locked(apipool_segment_t *segment, apr_uint32_t index);

/** Lets a slot cool for one model alone, never shorter than it does. Returns the model slot. */
apr_uint32_t apipool_members_cool_locked(apipool_segment_t *segment, apr_uint32_t index,
                                         apr_uint64_t model, apr_time_t until, apr_time_t now);

/** Returns what has cooled down by now to the rotation, 64 members per model slot at most: those of model
 *  slot 0 and of the given one. */
void apipool_members_wake_locked(apipool_segment_t *segment, apr_uint32_t group,
                                 apr_uint32_t model_slot, apr_time_t now);

/** The slot that has waited longest for a probe that is due by now; APIPOOL_NONE when there is none. */
apr_uint32_t apipool_members_due_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                        apr_time_t now);

/** The half-open slots, at most max of them, that a request may prove by now and that do not cool in that
 *  model slot, the one that has waited longest first. Returns their number. */
int apipool_members_unproved_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                    apr_uint32_t model_slot, apr_time_t now, apr_uint32_t *slots,
                                    int max);

/** The ordinal, that one or a later one, of a usable member; APIPOOL_NONE when there is none. */
apr_uint32_t apipool_members_next_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                         apr_uint32_t model_slot, apr_uint32_t ordinal);

/** Whether the member of that ordinal, if there is one, is usable. */
int apipool_members_is_usable_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                     apr_uint32_t model_slot, apr_uint32_t ordinal);

/** The slot of a member's ordinal. */
apr_uint32_t apipool_members_at_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                       apr_uint32_t ordinal);

/** The same of one that may be spare: NULL then. */
apipool_slot_t *apipool_members_slot_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                            apr_uint32_t ordinal);

#endif
