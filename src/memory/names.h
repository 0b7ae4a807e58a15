/* SPDX-License-Identifier: Apache-2.0
 * Numbers of each pool's clients and models in a table of fixed size, the rest under "other". */
#ifndef APIPOOL_MEMORY_NAMES_H
#define APIPOOL_MEMORY_NAMES_H

#include "counters.h"
#include "hash_table.h"

/* Lives in shared memory; memory full of zeros is a valid empty table. A view of it, with pointers, is made
 * by each process. Where the name says so the caller holds the segment's lock.
 *
 *   head          how many entries there are
 *   entries[C]    numbers of a name each
 *   others[P][2]  of each pool, clients and models that found no place: always available
 *   used[P][2]    entries that each pool's clients and models have
 *   links         of the table by hash, which follows from the entries, as those counts do
 *
 * Nothing is ever taken out, so a name keeps its place, and no sum is lost or goes back, as long as the
 * memory lives. What finds no free place is counted under "other" of its pool and kind.
 *
 * Nor may the clients, or the models, of one pool take all places from the others: they have a quota of their
 * own, a quarter of what is free at the time, and at least one place as long as there is any. Of 1024 places
 * the first can have 205; when ten have taken all that they can, one after the other, 110 are free. */

#define APIPOOL_NAMED_MAX    64 /* bytes with NUL */
#define APIPOOL_NAMED_OTHER  "other"
#define APIPOOL_NAMED_OF_ANY APR_UINT32_MAX /* as a pool: all of them */

typedef enum { APIPOOL_NAMED_CLIENT, APIPOOL_NAMED_MODEL } apipool_named_e;
#define APIPOOL_NAMED_KINDS 2

/* A name that is fit for a label. Made outside of the lock. */
typedef struct {
    apr_uint64_t hash;
    char text[APIPOOL_NAMED_MAX];
} apipool_name_t;

typedef struct {
    apr_uint64_t hash; /* 0: free */
    apr_uint32_t pool; /* index */
    apr_uint32_t kind; /* apipool_named_e */
    char text[APIPOOL_NAMED_MAX];
    apipool_counters_t numbers;
} apipool_named_t;

/* A process's view of the table. */
typedef struct {
    apipool_named_t *entries;
    apipool_counters_t *others;
    apr_uint32_t *used;
    apipool_hash_table_t table; /* of entries */
    apr_uint32_t pools;
} apipool_names_t;

/* What a reader gets of one entry. */
typedef struct {
    apr_uint32_t pool;
    apipool_named_e kind;
    char text[APIPOOL_NAMED_MAX];
    apipool_counters_snapshot_t numbers;
} apipool_names_row_t;

/**
 * Copies foreign text so that it is bounded, valid UTF-8 and needs no escaping in a label, a log line or
 * JSON: control characters, line separators, marks that change the direction of text, quotes and
 * backslashes become '_', each byte that is no UTF-8 becomes '?'. Needs no lock; reads no more than it
 * writes.
 * @param out  size bytes, ends with NUL; text that does not fit is cut before a character
 * @param size at least 1
 * @param len  bytes of text
 */
void apipool_name_clean(char *out, apr_size_t size, const char *text, apr_size_t len);

/** A name for the table, clean, of at most 63 bytes. Needs no lock. */
void apipool_name_make(apipool_name_t *name, const char *text, apr_size_t len);

/** Bytes that a table takes. Needs no lock. */
apr_size_t apipool_names_bytes(apr_uint32_t capacity, apr_uint32_t pools);

/**
 * A view of a table in memory of apipool_names_bytes(), aligned to 8. Needs no lock.
 * @param capacity names
 * @param pools    pools are numbered from 0 to pools - 1
 */
apipool_names_t apipool_names_view(void *memory, apr_uint32_t capacity, apr_uint32_t pools);

/**
 * The numbers of a name; never NULL. An empty name, and the name "other", are counted under "other". To
 * read one number of it, with add 0, no lock is needed: places are filled once.
 * @param pool index, below the table's pools
 * @param add  whether a name that is not there may take a place. Give 0 for one that nobody but an
 *             unsuccessful client has said, so that made-up names cannot fill the table
 */
apipool_counters_t *apipool_names_at_locked(const apipool_names_t *names, apr_uint32_t pool,
                                            apipool_named_e kind, const apipool_name_t *name,
                                            int add);

/** How many places there are to read, used or not. Needs no lock. */
apr_uint32_t apipool_names_places(const apipool_names_t *names);

/**
 * Copies out what was ever counted, in portions, so that the lock can be let go between them: what is added
 * in the meantime may be missed, nothing is read twice.
 * @param pool  index, or APIPOOL_NAMED_OF_ANY
 * @param place where to begin, 0 at first; moved on by at most max. Read until it is
 *              apipool_names_places()
 * @param rows  result, room for max
 * @return how many rows; 0 does not mean the end
 */
apr_uint32_t apipool_names_read_locked(const apipool_names_t *names, apr_uint32_t pool,
                                       apr_time_t now, apr_uint32_t *place,
                                       apipool_names_row_t *rows, apr_uint32_t max);

/** Makes anew what follows from the entries. */
void apipool_names_rebuild_locked(const apipool_names_t *names);

#endif
