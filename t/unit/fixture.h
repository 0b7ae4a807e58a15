/* SPDX-License-Identifier: Apache-2.0
 * A segment with its lock for tests of src/state, and what must hold of it at any time. */
#ifndef APIPOOL_UNIT_FIXTURE_H
#define APIPOOL_UNIT_FIXTURE_H

#include <apr_general.h>
#include <apr_global_mutex.h>
#include <stdlib.h>

#include "layout.h"
#include "members.h"
#include "segment.h"

typedef struct {
    apr_pool_t *pool;
    apr_shm_t *shm;
    apr_global_mutex_t *mutex;
    apipool_segment_t *segment;
} fixture_t;

/* Owned by the fixture; asserts that everything could be had. */
static inline fixture_t *fixture_open(apr_uint32_t capacity)
{
    fixture_t *f = malloc(sizeof(*f));
    assert_non_null(f);
    assert_int_equal(apr_pool_create(&f->pool, NULL), APR_SUCCESS);
    assert_int_equal(apr_global_mutex_create(&f->mutex, NULL, APR_LOCK_DEFAULT, f->pool),
                     APR_SUCCESS);
    assert_int_equal(apipool_segment_create(&f->shm, capacity, f->pool), APR_SUCCESS);
    assert_int_equal(apipool_segment_view(&f->segment, f->shm, f->mutex, f->pool), APR_SUCCESS);
    return f;
}

static inline void fixture_close(fixture_t *f)
{
    apr_pool_destroy(f->pool);
    free(f);
}

/* The part of the array that a slot lies in asks for its state. */
static inline int is_in_place(const apipool_segment_t *segment, apr_uint32_t group,
                              apr_uint32_t index, apr_uint32_t place)
{
    const apipool_slot_t *slot = &segment->slots[index];
    return index < segment->header->slots_used && slot->group == group && slot->place == place &&
           slot->pool == segment->groups[group].pool;
}

static inline const char *broken_left_part(const apipool_segment_t *segment, apr_uint32_t group,
                                           const apr_uint32_t *at, unsigned char *seen)
{
    const apipool_group_t *g = &segment->groups[group];
    for (apr_uint32_t i = 0; i < g->parked; i++) {
        if (!is_in_place(segment, group, at[i], i)) {
            return "a slot of the left part does not know its place";
        }
        apipool_state_e state = segment->slots[at[i]].state;
        if ((state == APIPOOL_STATE_ACTIVE) != (i < g->usable)) {
            return "not the active slots are in rotation";
        }
        if (state == APIPOOL_STATE_COOLING) {
            return "a cooling slot is not in the heap";
        }
        seen[at[i]]++;
    }
    return NULL;
}

static inline const char *broken_heap(const apipool_segment_t *segment, apr_uint32_t group,
                                      const apr_uint32_t *at, unsigned char *seen)
{
    const apipool_group_t *g = &segment->groups[group];
    for (apr_uint32_t i = 0; i < g->waiting; i++) {
        apr_uint32_t index = at[g->size - 1 - i];
        if (!is_in_place(segment, group, index, i)) {
            return "a slot of the heap does not know its place";
        }
        if (segment->slots[index].state != APIPOOL_STATE_COOLING) {
            return "a slot of the heap is not cooling";
        }
        if (segment->slots[at[g->size - 1 - (i ? (i - 1) / 2 : 0)]].cooling_until >
            segment->slots[index].cooling_until) {
            return "the heap is out of order";
        }
        seen[index]++;
    }
    return NULL;
}

/* What is wrong with the groups' arrays, or NULL; with the lock held, or while no one else runs. */
static inline const char *broken_invariant(const apipool_segment_t *segment)
{
    unsigned char *seen = calloc(segment->header->capacity, 1);
    const char *fault = seen ? NULL : "no memory";
    for (apr_uint32_t g = 0; !fault && g < segment->header->groups_used; g++) {
        const apipool_group_t *group = &segment->groups[g];
        const apr_uint32_t *at =
            group->size ? apr_rmm_addr_get(segment->rmm, group->members) : NULL;
        if (group->usable > group->parked || group->parked + group->waiting > group->size) {
            fault = "the parts of an array overlap";
        }
        if (!fault) {
            fault = broken_left_part(segment, g, at, seen);
        }
        if (!fault) {
            fault = broken_heap(segment, g, at, seen);
        }
    }
    for (apr_uint32_t i = 0; !fault && i < segment->header->slots_used; i++) {
        fault = seen[i] == 1 ? NULL : "a slot is not in exactly one place";
    }
    free(seen);
    return fault;
}

/* Numbers that are the same in every run: xorshift32. */
static inline apr_uint32_t next_random(apr_uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

#endif
