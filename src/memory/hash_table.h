/* SPDX-License-Identifier: Apache-2.0
 * Places in an array that are taken and given back, and found again by a hash of what lies there. */
#ifndef APIPOOL_MEMORY_HASH_TABLE_H
#define APIPOOL_MEMORY_HASH_TABLE_H

#include <apr.h>

/* What stands above is written before what stands below: a process may be killed in between. That matters
 * where a slot must be whole or else recognisably none; lists and counts are made anew then. */
#define APIPOOL_IN_ORDER() __atomic_signal_fence(__ATOMIC_SEQ_CST)

#define APIPOOL_NONE APR_UINT32_MAX /* no such index */

/* The array is the caller's; a table knows its places by their number alone, and so holds no pointer. What it
 * holds follows from what lies in the array: after a process has been killed in the middle of a change,
 * apipool_hash_table_clear() and a walk through the array make it anew. Memory full of zeros is a valid empty
 * table. Lies in shared memory; a view of it, with pointers, is made by each process.
 *
 * The caller holds the segment's lock. Places that are never given back may be looked for without it, if
 * what lies in one is complete before it is linked. */

/* In shared memory. */
typedef struct {
    apr_uint32_t used;   /* places that were ever taken, the first ones; no other was written to */
    apr_uint32_t free;   /* the last one that was given back, plus one; they are chained */
    apr_uint32_t spare;  /* how many those are */
    apr_uint32_t linked; /* places that can be found */
} apipool_hash_table_head_t;

typedef struct {
    apipool_hash_table_head_t *head;
    apr_uint32_t *next;  /* by place: the next one of its chain, plus one; 0: none */
    apr_uint32_t *first; /* by chain, the same */
    apr_uint32_t capacity;
    apr_uint32_t chains; /* a power of two; 0: nothing is looked for */
} apipool_hash_table_t;

/** Bytes of links that a table takes. No lock. */
apr_size_t apipool_hash_table_bytes(apr_uint32_t capacity, apr_uint32_t chains);

/** As many chains as there are places, or a few more. No lock. */
apr_uint32_t apipool_hash_table_chains(apr_uint32_t capacity);

/** A view of a table. No lock.
 *  @param links apipool_hash_table_bytes() of memory, aligned to 4 */
apipool_hash_table_t apipool_hash_table_view(apipool_hash_table_head_t *head, void *links,
                                             apr_uint32_t capacity, apr_uint32_t chains);

/** A place that is free, the one that was given back last if there is any, or APIPOOL_NONE. */
apr_uint32_t apipool_hash_table_take(const apipool_hash_table_t *table);

/** Gives a place back, which is in no chain. */
void apipool_hash_table_give(const apipool_hash_table_t *table, apr_uint32_t place);

/** Lets a place be found by a hash. */
void apipool_hash_table_link(const apipool_hash_table_t *table, apr_uint32_t place,
                             apr_uint64_t hash);

/** Takes it out of that chain. */
void apipool_hash_table_unlink(const apipool_hash_table_t *table, apr_uint32_t place,
                               apr_uint64_t hash);

/** The first place that may be of that hash, and the next one: the caller compares. APIPOOL_NONE: no more. */
apr_uint32_t apipool_hash_table_first(const apipool_hash_table_t *table, apr_uint64_t hash);
apr_uint32_t apipool_hash_table_next(const apipool_hash_table_t *table, apr_uint32_t place);

/** Forgets all chains, and what is free. Each of the used places is to be linked or given back then. */
void apipool_hash_table_clear(const apipool_hash_table_t *table);

#endif
