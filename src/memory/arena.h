/* SPDX-License-Identifier: Apache-2.0
 * Memory behind the slots: arrays of upstreams, and keys that are too long for a slot. */
#ifndef APIPOOL_MEMORY_ARENA_H
#define APIPOOL_MEMORY_ARENA_H

#include "segment_layout.h"

/* Block sizes are 64 bytes times a power of two. The owner of a block knows its size, so the
 * arena keeps no list of blocks in use: after a process has died here, the free blocks are
 * derived from the used ones. The first bytes of a free block hold the offset of the next free
 * block of its size. A larger block is split when no block of the wanted size is free; halves
 * are merged only by a rebuild.
 *
 * Private to src/memory and src/pool; the caller holds the segment's lock. */

/** Allocates a block. Returns 0 when no block is left. */
apipool_offset_t apipool_arena_get_locked(apipool_segment_t *segment, apr_size_t bytes);

/** Frees a block that apipool_arena_get_locked(segment, bytes) returned; 0 is ignored. */
void apipool_arena_free_locked(apipool_segment_t *segment, apipool_offset_t block,
                               apr_size_t bytes);

/** Size of the block that holds this many bytes. */
apr_size_t apipool_arena_block(apr_size_t bytes);

/**
 * Returns 1 if blocks with this total size, each as apipool_arena_block() returns it, can be
 * allocated in any order. Free pieces smaller than the largest block do not count.
 * @param largest size of the largest of the blocks
 */
int apipool_arena_has_locked(const apipool_segment_t *segment, apr_size_t bytes,
                             apr_size_t largest);

/** Address of a block in this process. */
static inline void *apipool_arena_at(const apipool_segment_t *segment, apipool_offset_t block)
{
    return segment->arena + block;
}

/** Rebuild the list of free blocks: unmark everything, mark each block in use, then sweep, which
 *  frees what has no mark. Blocks in use do not change. */
void apipool_arena_unmark_locked(apipool_segment_t *segment);
void apipool_arena_mark_locked(apipool_segment_t *segment, apipool_offset_t block,
                               apr_size_t bytes);
void apipool_arena_sweep_locked(apipool_segment_t *segment);

#endif
