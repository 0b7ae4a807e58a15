/* SPDX-License-Identifier: Apache-2.0
 * One database through apr_dbm: written once from begin to end, or read so; never changed in place. */
#ifndef APIPOOL_STORE_DBM_H
#define APIPOOL_STORE_DBM_H

#include <apr_pools.h>

#define APIPOOL_DBM_KEY_MAX   255   /* bytes; at least 1 */
#define APIPOOL_DBM_VALUE_MAX 65536 /* bytes; may be none */
#define APIPOOL_DBM_FILES     2     /* that one database has at most */

typedef struct apipool_dbm_t apipool_dbm_t;

/** Called for each record, in no order. What it points to is gone afterwards. Not APR_SUCCESS: stop. */
typedef apr_status_t (*apipool_dbm_each_fn)(void *ctx, const char *key, apr_size_t key_len,
                                            const char *value, apr_size_t len);

/**
 * Chooses a type that this APR-util has.
 * @param wanted a name that apr_dbm knows, or NULL: gdbm where there is one, else db
 * @param type   result
 * @param error  result when it fails: a sentence
 * @return APR_SUCCESS; APR_ENOTIMPL for sdbm and ndbm, which have no room for a long key; or why apr_dbm
 *         cannot load it
 */
apr_status_t apipool_dbm_choose(const char *wanted, const char **type, const char **error,
                                apr_pool_t *pool);

/**
 * The files that a database has, or would have.
 * @return how many; 0 when there is no such type
 */
int apipool_dbm_files(const char *type, const char *path, const char *files[APIPOOL_DBM_FILES],
                      apr_pool_t *pool);

/**
 * Begins a database, of mode 0600. What was there by that name is gone.
 * @param error result when it fails: a sentence
 * @param pool  the database is closed when it goes
 */
apr_status_t apipool_dbm_begin(apipool_dbm_t **dbm, const char *type, const char *path,
                               const char **error, apr_pool_t *pool);

/**
 * Adds a record. No key twice. After a failure apipool_dbm_finish() fails, too.
 * @return APR_SUCCESS; APR_EINVAL when key or value are too long; what the dbm says, or libc below it
 */
apr_status_t apipool_dbm_put(apipool_dbm_t *dbm, const char *key, apr_size_t key_len,
                             const char *value, apr_size_t len);

/**
 * Ends a database: when this returns APR_SUCCESS, all of it is on disk, except for the names of its files,
 * which the folder has. Otherwise the caller removes the files.
 * @param error result when it fails: a sentence
 */
apr_status_t apipool_dbm_finish(apipool_dbm_t *dbm, const char **error);

/** Closes a database that is not wanted. Its files stay. Nothing happens after apipool_dbm_finish(). */
void apipool_dbm_abandon(apipool_dbm_t *dbm);

/**
 * Reads a database. Give it only what is known to be whole: types differ in what they do otherwise.
 * @param each    NULL: they are only counted
 * @param records result, how many there were
 * @param error   result when it fails by itself: a sentence; NULL when `each` ended it
 * @return APR_SUCCESS, what `each` returned, or why it could not be read
 */
apr_status_t apipool_dbm_read(const char *type, const char *path, apipool_dbm_each_fn each,
                              void *ctx, apr_uint64_t *records, const char **error,
                              apr_pool_t *pool);

#endif
