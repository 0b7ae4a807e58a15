/* SPDX-License-Identifier: Apache-2.0
 * Members of an upstream: which are in rotation and which cool, for all models and for each one. */
#ifndef APIPOOL_POOL_MEMBERS_H
#define APIPOOL_POOL_MEMBERS_H

#include "arena.h"
#include "bitset.h"
#include "segment_layout.h"

/* Private to src/memory and src/pool; the caller holds the segment's lock. Slots, upstreams and
 * model slots are indices. segment_layout.h describes model slots and heaps.
 *
 * An upstream has one block of the arena: rows of as many numbers as its list has room for, then
 * a bitset by list index for each model slot. The first row is the list: it maps a list index to
 * the member's slot, or a spare list index to the next spare one. The other rows are heaps:
 * those of the model slots, then the two of the upstream. Pages that are never written cost
 * nothing. */
enum {
    APIPOOL_IN_NONE,
    APIPOOL_IN_COOLING, /* in model slot 0; model slot n: this plus n */
    APIPOOL_IN_HALF_OPEN = APIPOOL_IN_COOLING + APIPOOL_MODEL_SLOTS,
    APIPOOL_IN_RECOVERING,
    APIPOOL_ROWS
};

/* View of a binary heap of slots, ordered by the time at which they wake. A slot knows its place
 * in the heap of each model slot, so that it can be removed from the middle. */
typedef struct {
    apipool_slot_t *slots;
    apr_uint32_t *at;        /* 0 wakes first; 2n+1 and 2n+2 wake after n */
    apr_uint32_t *count;     /* slots in the heap */
    apr_uint32_t model_slot; /* whose until and place are used */
} apipool_heap_t;

/** Row of an upstream. */
static inline apr_uint32_t *apipool_members_row(const apipool_segment_t *segment,
                                                const apipool_upstream_t *u, apr_uint32_t which)
{
    return (apr_uint32_t *)apipool_arena_at(segment, u->rows) + (apr_size_t)which * u->size;
}

/** View of the bitset of members that a model slot lets through. */
apipool_bitset_t apipool_members_bits(const apipool_segment_t *segment, const apipool_upstream_t *u,
                                      apr_uint32_t model_slot);

/** View of a row that is a heap. */
apipool_heap_t apipool_members_heap(const apipool_segment_t *segment, apipool_upstream_t *u,
                                    apr_uint32_t which);

/** Size of an upstream's block in bytes. */
apr_size_t apipool_members_bytes(apr_uint32_t size);

/** Makes room for one more member. Returns 0 when the arena is full; then nothing has changed. */
int apipool_members_reserve_locked(apipool_segment_t *segment, apr_uint32_t upstream);

/** Makes room for this many more members. */
int apipool_members_reserve_many_locked(apipool_segment_t *segment, apr_uint32_t upstream,
                                        apr_uint32_t members);

/** Adds a slot that is in no upstream, after apipool_members_reserve_locked. It cools for the
 *  models in whose model slots it has a place. */
void apipool_members_add_locked(apipool_segment_t *segment, apr_uint32_t upstream,
                                apr_uint32_t index);

/** Removes a slot from its upstream. Its cooldowns for single models end. */
void apipool_members_remove_locked(apipool_segment_t *segment, apr_uint32_t index);

/** Puts a slot into the heap and bitset that its state, its requests in flight and until[0] call
 *  for; all may have changed. A slot that is in no upstream stays out. O(log waiting) to or from
 *  a heap, else O(1). */
void apipool_members_settle_locked(apipool_segment_t *segment, apr_uint32_t index);

/** Model slot with the cooldowns of a model; 0 if there are none. */
apr_uint32_t apipool_members_model_slot_locked(const apipool_segment_t *segment,
                                               apr_uint32_t upstream, apr_uint64_t model);

/** Ends a slot's cooldowns for single models. */
void apipool_members_warm_locked(apipool_segment_t *segment, apr_uint32_t index);

/** Returns 1 if a model has, or would get, a model slot of its own. */
int apipool_members_has_room_locked(apipool_segment_t *segment, apr_uint32_t upstream,
                                    apr_uint64_t model, apr_time_t now);

/** Makes a slot cool for one model; never shortens a cooldown. Returns the model slot. */
apr_uint32_t apipool_members_cool_locked(apipool_segment_t *segment, apr_uint32_t index,
                                         apr_uint64_t model, apr_time_t until, apr_time_t now);

/** Moves all times at which a slot's waits end. */
void apipool_members_shift_locked(apipool_segment_t *segment, apr_uint32_t index,
                                  apr_interval_time_t step);

/** Returns members whose cooldown has ended to the rotation: of model slot 0 and of the given
 *  one, at most 64 each. */
void apipool_members_wake_locked(apipool_segment_t *segment, apr_uint32_t upstream,
                                 apr_uint32_t model_slot, apr_time_t now);

/** Slot that has waited longest for a probe and is due; APIPOOL_NONE when there is none. */
apr_uint32_t apipool_members_due_locked(const apipool_segment_t *segment, apr_uint32_t upstream,
                                        apr_time_t now);

/** Half-open slots that a request may prove now and that do not cool in the model slot, at most
 *  max, the longest waiting first. Returns their number. */
int apipool_members_unproved_locked(const apipool_segment_t *segment, apr_uint32_t upstream,
                                    apr_uint32_t model_slot, apr_time_t now, apr_uint32_t *slots,
                                    int max);

/** First list index >= list_index of a usable member; APIPOOL_NONE when there is none. */
apr_uint32_t apipool_members_next_locked(const apipool_segment_t *segment, apr_uint32_t upstream,
                                         apr_uint32_t model_slot, apr_uint32_t list_index);

/** Returns 1 if there is a member at this list index and it is usable. */
int apipool_members_is_usable_locked(const apipool_segment_t *segment, apr_uint32_t upstream,
                                     apr_uint32_t model_slot, apr_uint32_t list_index);

/** Slot of the member at a list index. */
apr_uint32_t apipool_members_at_locked(const apipool_segment_t *segment, apr_uint32_t upstream,
                                       apr_uint32_t list_index);

/** The same for a list index that may be spare: NULL then. */
apipool_slot_t *apipool_members_slot_locked(const apipool_segment_t *segment, apr_uint32_t upstream,
                                            apr_uint32_t list_index);

#endif
