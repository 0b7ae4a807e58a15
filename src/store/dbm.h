/* SPDX-License-Identifier: Apache-2.0
 * Database through apr_dbm: written once from begin to end, then only read. */
#ifndef APIPOOL_STORE_DBM_H
#define APIPOOL_STORE_DBM_H

#include <apr_pools.h>

#define APIPOOL_DBM_KEY_MAX   255   /* bytes; at least 1 */
#define APIPOOL_DBM_VALUE_MAX 65536 /* bytes; may be empty */
#define APIPOOL_DBM_FILES     2     /* maximum per database */

typedef struct apipool_dbm_t apipool_dbm_t;

/** Called for each record, in any order; the arguments are only valid during the call. Anything
 *  but APR_SUCCESS stops the reading. */
typedef apr_status_t (*apipool_dbm_each_fn)(void *ctx, const char *key, apr_size_t key_len,
                                            const char *value, apr_size_t len);

/**
 * Chooses a type that this APR-util supports.
 * @param name  type as apr_dbm names it, or NULL: gdbm if available, else db
 * @param type  result
 * @param error result on failure: a sentence
 * @return APR_SUCCESS; APR_ENOTIMPL for sdbm and ndbm, which have no room for a long key; or the
 *         reason why apr_dbm cannot load the type
 */
apr_status_t apipool_dbm_choose(const char *name, const char **type, const char **error,
                                apr_pool_t *pool);

/**
 * Files of a database, whether it exists or not.
 * @return number of files; 0 for an unknown type
 */
int apipool_dbm_files(const char *type, const char *path, const char *files[APIPOOL_DBM_FILES],
                      apr_pool_t *pool);

/**
 * Creates a database with mode 0600, replacing any of that name.
 * @param error result on failure: a sentence
 * @param pool  its cleanup closes the database
 */
apr_status_t apipool_dbm_begin(apipool_dbm_t **dbm, const char *type, const char *path,
                               const char **error, apr_pool_t *pool);

/**
 * Adds a record; keys must be unique. After a failure apipool_dbm_finish() fails, too.
 * @return APR_SUCCESS; APR_EINVAL when key or value are too long; an error of the dbm or of libc
 */
apr_status_t apipool_dbm_put(apipool_dbm_t *dbm, const char *key, apr_size_t key_len,
                             const char *value, apr_size_t len);

/**
 * Completes a database: on APR_SUCCESS all of it is on disk, except for its file names, which
 * are part of the folder. On failure the caller removes the files.
 * @param error result on failure: a sentence
 */
apr_status_t apipool_dbm_finish(apipool_dbm_t *dbm, const char **error);

/** Closes an unfinished database. Its files stay. Does nothing after apipool_dbm_finish(). */
void apipool_dbm_abandon(apipool_dbm_t *dbm);

/**
 * Reads a database. It must be known to be intact: types differ in what they do otherwise.
 * @param each    NULL: only counts
 * @param records result: number of records
 * @param error   result on failure: a sentence; NULL when `each` stopped it
 * @return APR_SUCCESS, the result of `each`, or the reason of the failure
 */
apr_status_t apipool_dbm_read(const char *type, const char *path, apipool_dbm_each_fn each,
                              void *ctx, apr_uint64_t *records, const char **error,
                              apr_pool_t *pool);

#endif
