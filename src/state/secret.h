/* SPDX-License-Identifier: Apache-2.0
 * The secret file: what the store is sealed with. */
#ifndef APIPOOL_STATE_SECRET_H
#define APIPOOL_STATE_SECRET_H

#include <apr_pools.h>
#include <sys/types.h>

#include "key.h"

/**
 * Reads the secret file, or makes it: random bytes, mode 0600, owned by the effective user, and on disk
 * before this returns. An existing file is never written to; of several that make it at once, all get the
 * same secret. Refused is a file that group or others may use in any way, one that neither root, nor the
 * effective user, nor the run-time user owns, one of another size, and what is no file.
 * @param path     a symbolic link to a file will do
 * @param may_make whether to make a missing one: not when there are files that were sealed with one
 * @param user     who httpd's children run as
 * @param secret   result; all zeros when it fails. The caller wipes it
 * @param error    result when it fails: a sentence for the operator that names the file and what to do
 * @return APR_SUCCESS; APR_ENOENT when it is missing and may not be made; APR_EACCES for a wrong mode or
 *         owner; APR_EINVAL for a wrong size or kind; any error of libc
 */
apr_status_t apipool_secret_read(const char *path, int may_make, uid_t user,
                                 unsigned char secret[APIPOOL_SECRET_SIZE], const char **error,
                                 apr_pool_t *pool);

#endif
