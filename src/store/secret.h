/* SPDX-License-Identifier: Apache-2.0
 * Secret file that the store is sealed with, and related files. */
#ifndef APIPOOL_STORE_SECRET_H
#define APIPOOL_STORE_SECRET_H

#include <apr_pools.h>

#include "key.h"

/* Only the operator may access the file. If httpd is started as root, it belongs to root, with
 * mode 0400 or 0600, in a folder of root's that nobody else can write: httpd's children must not
 * be able to replace it. Related files beside it:
 *
 *   secret.new                     new secret that will replace it
 *   secret.store-0123456789abcdef  mark of a store with data; the digits are a hash of its path */

/**
 * Reads the secret file, or creates it: random bytes, mode 0600, owned by the effective user, on
 * disk before this returns. An existing file is never written; if several processes create it at
 * once, all get the same secret. Refuses a file that group or others can access, one that
 * belongs neither to root nor to the effective user, one of another size, and anything but a
 * file, such as a symbolic link.
 * @param may_make 1: creates a missing file and its folder; 0 if files exist that were sealed
 *                 with a secret
 * @param secret   result, all zeros on failure; the caller wipes it
 * @param error    result on failure: a sentence for the operator that names the file and a
 *                 remedy
 * @return APR_SUCCESS; APR_ENOENT if it is missing and may not be created; APR_EACCES for a
 *         wrong mode, owner or folder; APR_EINVAL for a wrong size or kind; an error of libc
 */
apr_status_t apipool_secret_read(const char *path, int may_make,
                                 unsigned char secret[APIPOOL_SECRET_SIZE], const char **error,
                                 apr_pool_t *pool);

/** Creates the file with this secret, like apipool_secret_read(). */
apr_status_t apipool_secret_put(const char *path, const unsigned char secret[APIPOOL_SECRET_SIZE],
                                const char **error, apr_pool_t *pool);

/** Path of the new secret. */
const char *apipool_secret_next(const char *path, apr_pool_t *pool);

/** Replaces the secret by the new one. */
apr_status_t apipool_secret_replace(const char *path, const char **error, apr_pool_t *pool);

/** Path of the mark of a store. */
const char *apipool_secret_mark(const char *path, const char *store, apr_pool_t *pool);

/** Creates the mark of a store if it is missing. */
apr_status_t apipool_secret_put_mark(const char *path, const char *store, const char **error,
                                     apr_pool_t *pool);

#endif
