/* SPDX-License-Identifier: Apache-2.0
 * Counters per client and per model of each pool, in a table of fixed size; the rest is counted
 * as "other". */
#ifndef APIPOOL_MEMORY_NAMES_H
#define APIPOOL_MEMORY_NAMES_H

#include "counters.h"
#include "hash_table.h"

/* Lives in shared memory; memory full of zeros is a valid empty table. Each process makes a view
 * of it, with pointers. Callers of a *_locked function hold the segment's lock.
 *
 *   head          number of entries
 *   entries[C]    counters of one name each
 *   others[P][2]  by pool: counters of the clients and models that got no entry
 *   used[P][2]    by pool: entries that its clients and models have
 *   links         of the table by hash; derived from the entries, like used
 *
 * Entries are never removed, so a name keeps its entry and no counter is lost or decreases while
 * the memory lives. A name that gets no entry is counted under "other" of its pool and kind.
 *
 * The clients, or the models, of one pool cannot use up the table: their quota is a quarter of
 * the entries free at the time, and at least one entry while any is free. Of 1,024 entries the
 * first can have 205; when ten have taken their quota, one after the other, 110 are free. */

#define APIPOOL_NAMED_MAX    64 /* bytes with NUL */
#define APIPOOL_NAMED_OTHER  "other"
#define APIPOOL_NAMED_OF_ANY APR_UINT32_MAX /* any pool */

typedef enum { APIPOOL_NAMED_CLIENT, APIPOOL_NAMED_MODEL } apipool_named_e;
#define APIPOOL_NAMED_KINDS 2

/* Name that is fit for a label. Made without the lock. */
typedef struct {
    apr_uint64_t hash;
    char text[APIPOOL_NAMED_MAX];
} apipool_name_t;

typedef struct {
    apr_uint64_t hash; /* 0: free */
    apr_uint32_t pool; /* index */
    apr_uint32_t kind; /* apipool_named_e */
    char text[APIPOOL_NAMED_MAX];
    apipool_counters_t counters;
} apipool_named_t;

/* View of the table in one process. */
typedef struct {
    apipool_named_t *entries;
    apipool_counters_t *others;
    apr_uint32_t *used;
    apipool_hash_table_t table; /* of entries */
    apr_uint32_t pools;
} apipool_names_t;

/* Copy of one entry for a reader. */
typedef struct {
    apr_uint32_t pool;
    apipool_named_e kind;
    char text[APIPOOL_NAMED_MAX];
    apipool_counters_snapshot_t counters;
} apipool_names_row_t;

/**
 * Copies foreign text, making it bounded, valid UTF-8 that needs no escaping in a label, a log
 * line or JSON. Control characters, line separators, marks that change the direction of text,
 * quotes and backslashes become '_'; each invalid byte becomes '?'. Reads no more than it
 * writes. No lock.
 * @param out  size bytes, ends with NUL; text that does not fit is cut between characters
 * @param size at least 1
 * @param len  bytes of text
 */
void apipool_name_clean(char *out, apr_size_t size, const char *text, apr_size_t len);

/** Makes a clean name for the table, at most 63 bytes. No lock. */
void apipool_name_make(apipool_name_t *name, const char *text, apr_size_t len);

/** Bytes that a table takes. No lock. */
apr_size_t apipool_names_bytes(apr_uint32_t capacity, apr_uint32_t pools);

/**
 * View of a table in memory of apipool_names_bytes(), aligned to 8. No lock.
 * @param capacity number of entries
 * @param pools    number of pools
 */
apipool_names_t apipool_names_view(void *memory, apr_uint32_t capacity, apr_uint32_t pools);

/**
 * Counters of a name; never NULL. An empty name and the name "other" are counted under "other".
 * Reading a single number with add 0 needs no lock, because entries are filled once.
 * @param pool index, below the table's pools
 * @param add  1: a new name may take an entry. Use 0 for a name that only an unsuccessful client
 *             has sent, so that made-up names cannot fill the table
 */
apipool_counters_t *apipool_names_at_locked(const apipool_names_t *names, apr_uint32_t pool,
                                            apipool_named_e kind, const apipool_name_t *name,
                                            int add);

/** Number of places to read, used or not. No lock. */
apr_uint32_t apipool_names_places(const apipool_names_t *names);

/**
 * Copies entries in portions, so that the caller can release the lock in between. Entries added
 * meanwhile may be missed; none is read twice.
 * @param pool  index, or APIPOOL_NAMED_OF_ANY
 * @param place where to begin, 0 at first; advanced by at most max. The end is
 *              apipool_names_places()
 * @param rows  result, room for max
 * @return number of rows; 0 does not mean the end
 */
apr_uint32_t apipool_names_read_locked(const apipool_names_t *names, apr_uint32_t pool,
                                       apr_time_t now, apr_uint32_t *place,
                                       apipool_names_row_t *rows, apr_uint32_t max);

/** Rebuilds what is derived from the entries. */
void apipool_names_rebuild_locked(const apipool_names_t *names);

#endif
