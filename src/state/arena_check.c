/* SPDX-License-Identifier: Apache-2.0
 * Says what is wrong with the arena: each byte of it is one block's, in use or free. */
#include "arena.h"

#include <stdlib.h>

#include "bits.h"

/* All blocks, in use and free. */
typedef struct {
    struct block_t {
        apipool_offset_t at;
        apr_size_t size;
    } * blocks;
    apr_size_t count, room;
} found_t;

static void add(found_t *found, apipool_offset_t at, apr_size_t bytes)
{
    apr_size_t size = APIPOOL_ARENA_BLOCK;
    while (size < bytes) {
        size *= 2;
    }
    if (at && found->count < found->room) {
        found->blocks[found->count++] = (struct block_t){at, size};
    }
}

static void add_used(const apipool_segment_t *segment, found_t *found)
{
    for (apr_uint32_t i = 0; i < segment->header->slots_used; i++) {
        add(found, segment->slots[i].secret_off, segment->slots[i].secret_len);
        add(found, segment->slots[i].text_off, segment->slots[i].text_len);
    }
    for (apr_uint32_t i = 0; i < segment->header->groups_used; i++) {
        const apipool_group_t *g = &segment->groups[i];
        add(found, g->members, g->size * sizeof(apr_uint32_t));
        add(found, g->heaps, g->size * sizeof(apr_uint32_t));
        add(found, g->due, g->size * sizeof(apr_uint32_t));
        for (apr_uint32_t lane = 0; lane < APIPOOL_LANES; lane++) {
            add(found, g->lanes[lane].clear, apipool_bits_bytes(g->size));
            add(found, g->lanes[lane].heap, g->lanes[lane].room * sizeof(apr_uint32_t));
        }
    }
}

static int add_free(const apipool_segment_t *segment, found_t *found)
{
    const apipool_arena_t *arena = &segment->header->arena;
    for (int order = 0; order < APIPOOL_ARENA_ORDERS; order++) {
        apipool_offset_t at = arena->free[order];
        apr_uint32_t left = arena->count[order];
        while (at) {
            if (at > arena->size - sizeof(at) || found->count == found->room || !left--) {
                return 0;
            }
            add(found, at, (apr_size_t)APIPOOL_ARENA_BLOCK << order);
            at = *(const apipool_offset_t *)apipool_arena_at(segment, at);
        }
        if (left) {
            return 0;
        }
    }
    return 1;
}

static int by_place(const void *a, const void *b)
{
    const struct block_t *first = a, *second = b;
    return (first->at > second->at) - (first->at < second->at);
}

const char *apipool_arena_check_locked(const apipool_segment_t *segment)
{
    const apipool_arena_t *arena = &segment->header->arena;
    found_t found = {.room = arena->size / APIPOOL_ARENA_BLOCK + 1};
    apipool_offset_t end = APIPOOL_ARENA_BLOCK;
    const char *fault = NULL;

    found.blocks = calloc(found.room, sizeof(*found.blocks));
    if (!found.blocks) {
        return "no memory";
    }
    add_used(segment, &found);
    if (!add_free(segment, &found)) {
        fault = "a list of free blocks is broken";
    }
    qsort(found.blocks, found.count, sizeof(*found.blocks), by_place);
    for (apr_size_t i = 0; !fault && i < found.count; i++) {
        if (found.blocks[i].at != end) {
            fault = found.blocks[i].at < end ? "two blocks of the arena overlap"
                                             : "a block of the arena is lost";
        }
        end = found.blocks[i].at + found.blocks[i].size;
    }
    free(found.blocks);
    return fault ? fault : end == arena->top ? NULL : "a block of the arena is lost";
}
