/* SPDX-License-Identifier: Apache-2.0
 * Small files read whole, and files that are on disk when a function says so. */
#ifndef APIPOOL_STATE_DISK_H
#define APIPOOL_STATE_DISK_H

#include <apr_pools.h>
#include <sys/types.h>

/* Whom files are given to that root makes. Other users keep what they make. */
typedef struct {
    uid_t user;
    gid_t group;
} apipool_owner_t;

/** The last error of libc as a status; APR_EGENERAL where it names none. */
apr_status_t apipool_disk_errno(void);

/**
 * Reads a small file.
 * @param text room for max bytes
 * @param len  result, at most max
 * @return APR_ENOENT when it is not there; APR_EBADF when it is no file; APR_EINVAL when it is longer than
 *         max; any error of libc
 */
apr_status_t apipool_disk_read(const char *path, char *text, apr_size_t max, apr_size_t *len);

/**
 * Puts a small file in place of what was there, at once: written beside it as PATH.new with mode 0600,
 * onto disk, renamed. That the name lasts takes apipool_disk_sync() of the folder. One writer at a time.
 * @param owner NULL: it stays as it was made
 * @return APR_SUCCESS, or an error of libc and the old file
 */
apr_status_t apipool_disk_write(const char *path, const void *text, apr_size_t len,
                                const apipool_owner_t *owner, apr_pool_t *pool);

/** Writes all of it to an open file. */
apr_status_t apipool_disk_put(int file, const void *text, apr_size_t len);

/** Waits until a file, or the names in a folder, are on disk. */
apr_status_t apipool_disk_sync(const char *path);

/** Gives a file to its owner when root runs this; else does nothing. */
apr_status_t apipool_disk_own(const char *path, const apipool_owner_t *owner);

/**
 * SHA-256 and length of a file.
 * @param sha256 result, 32 bytes
 * @param size   result, bytes
 * @return APR_SUCCESS or an error of libc
 */
apr_status_t apipool_disk_digest(const char *path, unsigned char *sha256, apr_uint64_t *size);

#endif
