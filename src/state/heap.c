/* SPDX-License-Identifier: Apache-2.0
 * Slots ordered by the time at which they wake up. */
#include "heap.h"

#include "fault.h"

static void put(const apipool_heap_t *heap, apr_uint32_t place, apr_uint32_t index)
{
    heap->at[place] = index;
    heap->slots[index].place[heap->lane] = place;
}

static apr_time_t time_at(const apipool_heap_t *heap, apr_uint32_t place)
{
    return heap->slots[heap->at[place]].until[heap->lane];
}

static void sift_up(const apipool_heap_t *heap, apr_uint32_t place)
{
    apr_uint32_t index = heap->at[place];
    apr_time_t time = time_at(heap, place);
    while (place > 0 && time_at(heap, (place - 1) / 2) > time) {
        put(heap, place, heap->at[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    put(heap, place, index);
}

static void sift_down(const apipool_heap_t *heap, apr_uint32_t place)
{
    apr_uint32_t index = heap->at[place];
    apr_time_t time = time_at(heap, place);
    for (;;) {
        apr_uint32_t child = 2 * place + 1;
        if (child + 1 < *heap->count && time_at(heap, child + 1) < time_at(heap, child)) {
            child++;
        }
        if (child >= *heap->count || time_at(heap, child) >= time) {
            break;
        }
        put(heap, place, heap->at[child]);
        place = child;
    }
    put(heap, place, index);
}

void apipool_heap_push(const apipool_heap_t *heap, apr_uint32_t index)
{
    put(heap, (*heap->count)++, index);
    sift_up(heap, *heap->count - 1);
}

void apipool_heap_remove(const apipool_heap_t *heap, apr_uint32_t index)
{
    apr_uint32_t place = heap->slots[index].place[heap->lane];
    apr_uint32_t last = heap->at[--*heap->count];
    heap->slots[index].place[heap->lane] = APIPOOL_NONE;
    APIPOOL_FAULT("heap-hole");
    if (place < *heap->count) {
        put(heap, place, last);
        sift_up(heap, place);
        sift_down(heap, heap->slots[last].place[heap->lane]);
    }
}
