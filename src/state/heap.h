/* SPDX-License-Identifier: Apache-2.0
 * Slots ordered by the time at which they wake up. */
#ifndef APIPOOL_STATE_HEAP_H
#define APIPOOL_STATE_HEAP_H

#include "layout.h"

/* A view of a binary heap in shared memory, made for each use. A slot knows its place in the heap of each
 * lane, so that it can be taken out from anywhere. The caller locks, and has made room. */
typedef struct {
    apipool_slot_t *slots;
    apr_uint32_t *at;    /* 0 is the one that wakes first, 2n+1 and 2n+2 wake after n */
    apr_uint32_t *count; /* of slots in it */
    apr_uint32_t lane;   /* whose until and place it goes by */
} apipool_heap_t;

void apipool_heap_push(const apipool_heap_t *heap, apr_uint32_t index);

/** Takes a slot out that is in the heap. */
void apipool_heap_remove(const apipool_heap_t *heap, apr_uint32_t index);

#endif
