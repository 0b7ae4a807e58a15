/* SPDX-License-Identifier: Apache-2.0
 * The memory behind the slots: arrays of groups, and keys that are too long for a slot. */
#ifndef APIPOOL_MEMORY_ARENA_H
#define APIPOOL_MEMORY_ARENA_H

#include "segment_layout.h"

/* Blocks of 64 bytes times a power of two. Whoever has one knows how large it is, so that the arena keeps no
 * list of those in use: what is free follows from them, and is found again after a process has died in
 * here. A free block's first bytes name the next one of its size. A larger one is split where none of the
 * size wanted is free; halves are put together again only when the arena is made anew.
 *
 * Private to src/memory and src/pool; the caller holds the segment's lock. */

/** Gets a block. Returns 0 when there is none left. */
apipool_offset_t apipool_arena_get_locked(apipool_segment_t *segment, apr_size_t bytes);

/** Gives back a block of apipool_arena_get_locked(segment, bytes); 0 is no block. */
void apipool_arena_free_locked(apipool_segment_t *segment, apipool_offset_t block,
                               apr_size_t bytes);

/** Bytes that a block of so many takes. */
apr_size_t apipool_arena_block(apr_size_t bytes);

/**
 * Whether blocks of so many bytes in all, as apipool_arena_block() tells them, are to be had for certain, in
 * whatever order they are asked for. What is free in pieces smaller than the largest does not count.
 * @param largest of the blocks
 */
int apipool_arena_has_locked(const apipool_segment_t *segment, apr_size_t bytes,
                             apr_size_t largest);

/** Where a block lies, in this process. */
static inline void *apipool_arena_at(const apipool_segment_t *segment, apipool_offset_t block)
{
    return segment->arena + block;
}

/** To make anew what is free: first all is unmarked, then each block marked that is in use, and at last what
 * has
 *  no mark is free. No block that is in use changes. */
void apipool_arena_unmark_locked(apipool_segment_t *segment);
void apipool_arena_mark_locked(apipool_segment_t *segment, apipool_offset_t block,
                               apr_size_t bytes);
void apipool_arena_sweep_locked(apipool_segment_t *segment);

#endif
