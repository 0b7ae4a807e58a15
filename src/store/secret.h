/* SPDX-License-Identifier: Apache-2.0
 * The secret file: what the store is sealed with, and what lies beside it. */
#ifndef APIPOOL_STORE_SECRET_H
#define APIPOOL_STORE_SECRET_H

#include <apr_pools.h>

#include "key.h"

/* The file is the operator's alone. Started as root, it is root's, with mode 0400 or 0600, in a folder of
 * root's that nobody else can write to: what httpd's children can do must not be able to replace it. Beside
 * it may lie
 *
 *   secret.new                     the one that shall take its place
 *   secret.store-0123456789abcdef  the mark of a store that has data; the digits are a hash of its path */

/**
 * Reads the secret file, or makes it: random bytes, mode 0600, owned by the effective user, and on disk
 * before this returns. An existing file is never written to; of several that make it at once, all get the
 * same secret. Refused is a file that group or others may use in any way, one that neither root nor the
 * effective user owns, one of another size, and what is no file, such as a symbolic link.
 * @param may_make whether to make a missing one, and its folder: not when there are files that were sealed
 *                 with one
 * @param secret   result; all zeros when it fails. The caller wipes it
 * @param error    result when it fails: a sentence for the operator that names the file and what to do
 * @return APR_SUCCESS; APR_ENOENT when it is missing and may not be made; APR_EACCES for a wrong mode, owner
 *         or folder; APR_EINVAL for a wrong size or kind; any error of libc
 */
apr_status_t apipool_secret_read(const char *path, int may_make,
                                 unsigned char secret[APIPOOL_SECRET_SIZE], const char **error,
                                 apr_pool_t *pool);

/** Makes the file with this secret, as apipool_secret_read() does with one of its own. */
apr_status_t apipool_secret_put(const char *path, const unsigned char secret[APIPOOL_SECRET_SIZE],
                                const char **error, apr_pool_t *pool);

/** The path of the one that shall take its place. */
const char *apipool_secret_next(const char *path, apr_pool_t *pool);

/** Puts that one in its place. */
apr_status_t apipool_secret_replace(const char *path, const char **error, apr_pool_t *pool);

/** The path of the mark of a store. */
const char *apipool_secret_mark(const char *path, const char *store, apr_pool_t *pool);

/** Makes the mark of a store, when it is missing. */
apr_status_t apipool_secret_put_mark(const char *path, const char *store, const char **error,
                                     apr_pool_t *pool);

#endif
