/* SPDX-License-Identifier: Apache-2.0
 * Memory behind the slots: arrays of upstreams, and keys that are too long for a slot. */
#include "arena.h"

#include <string.h>

#include "fault.h"

#define BLOCK APIPOOL_ARENA_BLOCK

static apr_size_t size_of(int order)
{
    return (apr_size_t)BLOCK << order;
}

/* Smallest order with room for this many bytes; APIPOOL_ARENA_ORDERS when there is none. */
static int class_for(apr_size_t bytes)
{
    int order = 0;
    while (order < APIPOOL_ARENA_ORDERS && size_of(order) < bytes) {
        order++;
    }
    return order;
}

apr_size_t apipool_arena_block(apr_size_t bytes)
{
    return size_of(class_for(bytes));
}

/* Two blocks of the largest size may be lost to fragmentation. One goes to pieces of split
 * blocks: at most one piece of each size, because a block is split only when no smaller one is
 * free. The other is the space at the top that is too small for a block of the largest size. */
int apipool_arena_has_locked(const apipool_segment_t *segment, apr_size_t bytes, apr_size_t largest)
{
    const apipool_arena_t *arena = &segment->header->arena;
    apr_size_t left = arena->size - arena->top;
    for (int order = class_for(largest); order < APIPOOL_ARENA_ORDERS; order++) {
        left += arena->count[order] * size_of(order);
    }
    return !bytes || (left >= 2 * largest && bytes <= left - 2 * largest);
}

static apipool_offset_t *next_of(const apipool_segment_t *segment, apipool_offset_t block)
{
    return apipool_arena_at(segment, block);
}

static void push(apipool_segment_t *segment, apipool_offset_t block, int order)
{
    apipool_arena_t *arena = &segment->header->arena;
    *next_of(segment, block) = arena->free[order];
    arena->free[order] = block;
    arena->count[order]++;
}

apipool_offset_t apipool_arena_get_locked(apipool_segment_t *segment, apr_size_t bytes)
{
    apipool_arena_t *arena = &segment->header->arena;
    int order = class_for(bytes), from = order;

    while (from < APIPOOL_ARENA_ORDERS && !arena->free[from]) {
        from++;
    }
    if (from < APIPOOL_ARENA_ORDERS) {
        apipool_offset_t block = arena->free[from];
        arena->free[from] = *next_of(segment, block);
        arena->count[from]--;
        APIPOOL_FAULT("arena-get-unlinked");
        while (from > order) { /* the upper half stays free */
            from--;
            push(segment, block + size_of(from), from);
        }
        return block;
    }
    if (order == APIPOOL_ARENA_ORDERS || size_of(order) > arena->size - arena->top) {
        return 0;
    }
    arena->top += size_of(order);
    return arena->top - size_of(order);
}

void apipool_arena_free_locked(apipool_segment_t *segment, apipool_offset_t block, apr_size_t bytes)
{
    if (block) {
        push(segment, block, class_for(bytes));
    }
}

/* Cuts a free range into the largest possible blocks. */
static void free_between(apipool_segment_t *segment, apipool_offset_t from, apipool_offset_t end)
{
    while (from < end) {
        int order = APIPOOL_ARENA_ORDERS - 1;
        while (size_of(order) > end - from) {
            order--;
        }
        push(segment, from, order);
        from += size_of(order);
    }
}

void apipool_arena_unmark_locked(apipool_segment_t *segment)
{
    memset(segment->marks, 0, segment->header->arena.top / BLOCK);
}

void apipool_arena_mark_locked(apipool_segment_t *segment, apipool_offset_t block, apr_size_t bytes)
{
    if (block) {
        memset(segment->marks + block / BLOCK, 1, apipool_arena_block(bytes) / BLOCK);
    }
}

void apipool_arena_sweep_locked(apipool_segment_t *segment)
{
    apipool_arena_t *arena = &segment->header->arena;
    memset(arena->free, 0, sizeof(arena->free));
    memset(arena->count, 0, sizeof(arena->count));
    for (apipool_offset_t at = BLOCK, end; at < arena->top; at = end) {
        int is_used = segment->marks[at / BLOCK];
        for (end = at; end < arena->top && segment->marks[end / BLOCK] == is_used; end += BLOCK) {
        }
        if (!is_used) {
            free_between(segment, at, end);
        }
    }
}
