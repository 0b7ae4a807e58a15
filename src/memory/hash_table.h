/* SPDX-License-Identifier: Apache-2.0
 * Allocator for the places of an array, and hash chains to find them. */
#ifndef APIPOOL_MEMORY_HASH_TABLE_H
#define APIPOOL_MEMORY_HASH_TABLE_H

#include <apr.h>

/* Keeps the order of writes for a process that is killed in between. This matters where a slot
 * must be complete or recognisably unused; lists and counters are rebuilt after a kill. */
#define APIPOOL_IN_ORDER() __atomic_signal_fence(__ATOMIC_SEQ_CST)

#define APIPOOL_NONE APR_UINT32_MAX /* no such index */

/* The caller owns the array. The table refers to places by index and holds no pointer to them.
 * Its content is derived from the array: after a process was killed during a change, the owner
 * calls apipool_hash_table_clear() and walks the array to rebuild it. Memory full of zeros is a
 * valid empty table. Lies in shared memory; each process makes a view of it, with pointers.
 *
 * The caller holds the segment's lock. A lookup may skip it in an array whose places are never
 * given back, provided that a place is complete before it is linked. */

/* In shared memory. */
typedef struct {
    apr_uint32_t used; /* places ever taken, always the first ones; the rest was never written to */
    apr_uint32_t free; /* place given back last, plus one: head of the free list */
    apr_uint32_t spare;  /* length of the free list */
    apr_uint32_t linked; /* places that are in a chain */
} apipool_hash_table_head_t;

typedef struct {
    apipool_hash_table_head_t *head;
    apr_uint32_t *next;  /* by place: next place in its chain, plus one; 0: none */
    apr_uint32_t *first; /* by chain: its first place, plus one; 0: none */
    apr_uint32_t capacity;
    apr_uint32_t chains; /* a power of two; 0: the table only allocates */
} apipool_hash_table_t;

/** Bytes of links that a table takes. No lock. */
apr_size_t apipool_hash_table_bytes(apr_uint32_t capacity, apr_uint32_t chains);

/** Number of chains for a capacity: at least one per place. No lock. */
apr_uint32_t apipool_hash_table_chains(apr_uint32_t capacity);

/**
 * View of a table. No lock.
 * @param links apipool_hash_table_bytes() of memory, aligned to 4
 */
apipool_hash_table_t apipool_hash_table_view(apipool_hash_table_head_t *head, void *links,
                                             apr_uint32_t capacity, apr_uint32_t chains);

/** Takes a free place, preferably the one given back last. Returns APIPOOL_NONE when all are
 *  taken. */
apr_uint32_t apipool_hash_table_take(const apipool_hash_table_t *table);

/** Gives back a place that is in no chain. */
void apipool_hash_table_give(const apipool_hash_table_t *table, apr_uint32_t place);

/** Adds a place to the chain of a hash. */
void apipool_hash_table_link(const apipool_hash_table_t *table, apr_uint32_t place,
                             apr_uint64_t hash);

/** Removes a place from the chain of a hash. */
void apipool_hash_table_unlink(const apipool_hash_table_t *table, apr_uint32_t place,
                               apr_uint64_t hash);

/** First and next candidate for a hash; the caller compares. APIPOOL_NONE at the end. */
apr_uint32_t apipool_hash_table_first(const apipool_hash_table_t *table, apr_uint64_t hash);
apr_uint32_t apipool_hash_table_next(const apipool_hash_table_t *table, apr_uint32_t place);

/** Forgets all chains and free places. The caller then links or gives back every used place. */
void apipool_hash_table_clear(const apipool_hash_table_t *table);

#endif
