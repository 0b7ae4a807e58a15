/* SPDX-License-Identifier: Apache-2.0
 * Segment with its lock for tests of src/memory and src/pool. */
#ifndef APIPOOL_UNIT_FIXTURE_H
#define APIPOOL_UNIT_FIXTURE_H

#include <apr_general.h>
#include <apr_global_mutex.h>
#include <stdlib.h>

#include "arena.h"
#include "consistency.h"
#include "members.h"
#include "rebuild.h"
#include "segment.h"
#include "segment_layout.h"

typedef struct {
    apr_pool_t *pool;
    apr_shm_t *shm;
    apr_global_mutex_t *mutex;
    apipool_segment_t *segment;
} fixture_t;

/* Owned by the fixture; asserts that everything could be allocated. */
static inline fixture_t *fixture_open(apr_uint32_t capacity)
{
    fixture_t *f = malloc(sizeof(*f));
    assert_non_null(f);
    assert_int_equal(apr_pool_create(&f->pool, NULL), APR_SUCCESS);
    assert_int_equal(apr_global_mutex_create(&f->mutex, NULL, APR_LOCK_DEFAULT, f->pool),
                     APR_SUCCESS);
    static const unsigned char secret[APIPOOL_SECRET_SIZE] = {1};
    assert_int_equal(apipool_segment_create(&f->shm, capacity, 16, 16, secret, f->pool),
                     APR_SUCCESS);
    assert_int_equal(
        apipool_segment_view(&f->segment, f->shm, f->mutex, apipool_rebuild_locked, f->pool),
        APR_SUCCESS);
    return f;
}

static inline void fixture_close(fixture_t *f)
{
    apr_pool_destroy(f->pool);
    free(f);
}

/* Leaves no unused memory at the end of the arena. */
static inline void fixture_exhaust(const apipool_segment_t *segment)
{
    segment->header->arena.size = segment->header->arena.top;
}

/* Random numbers that are the same in every run: xorshift32. */
static inline apr_uint32_t next_random(apr_uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

#endif
