/* SPDX-License-Identifier: Apache-2.0
 * Safe access to folders and small files, and durable writes. */
#ifndef APIPOOL_STORE_DISK_H
#define APIPOOL_STORE_DISK_H

#include <apr_pools.h>
#include <sys/types.h>

/* Files are named by an open folder and a name in it, so that no other folder can be moved into
 * their path. No function here follows a symbolic link instead of a file. */

/** errno as a status; APR_EGENERAL if it is 0. */
apr_status_t apipool_disk_errno(void);

#define APIPOOL_DISK_RANDOM_SIZE 17 /* bytes with NUL */

/** Writes 16 random hexadecimal digits for a name that cannot be guessed. Returns 1, or 0 when
 *  libcrypto failed. */
int apipool_disk_random(char digits[APIPOOL_DISK_RANDOM_SIZE]);

/**
 * Opens a folder and creates missing parts of its path, its parents with mode 0755. Root creates
 * folders, and follows symbolic links, only in folders that belong to root and that nobody else
 * can write; otherwise others could redirect it.
 * @param mode   of the folder itself if it is created; 0: nothing is created
 * @param folder result, an open folder
 * @param made   result: 1 if it was created
 * @return APR_SUCCESS; APR_ENOENT; APR_ENOTDIR if a part of the path is not a folder; EPERM if
 *         root would have to create a folder where others can write; an error of libc
 */
apr_status_t apipool_disk_open_folder(const char *path, mode_t mode, int *folder, int *made);

/** Returns 1 if a folder belongs to root and nobody else can write it. */
int apipool_disk_is_of_root(int folder);

/**
 * Opens a regular file without further hard links that belongs to root, to the effective user or
 * to the owner of the folder.
 * @param flags for open(); never waits for a FIFO
 * @param file  result
 * @return APR_ENOENT; APR_EBADF if it is anything else; an error of libc
 */
apr_status_t apipool_disk_open(int folder, const char *name, int flags, int *file);

/**
 * Reads a small file.
 * @param text room for max bytes
 * @param len  result, at most max
 * @return like apipool_disk_open(); APR_EINVAL if it is longer than max
 */
apr_status_t apipool_disk_read(int folder, const char *name, char *text, apr_size_t max,
                               apr_size_t *len);

/** Reads from an open file until its end, or until max bytes are read. */
apr_status_t apipool_disk_fill(int file, void *bytes, apr_size_t max, apr_size_t *len);

/** Creates a small file with mode 0600; fails if it exists. Its content is then on disk, its
 *  name not yet. */
apr_status_t apipool_disk_write_new(int folder, const char *name, const void *text, apr_size_t len);

/**
 * Replaces a small file atomically: writes a temporary file with mode 0600, syncs it, renames it
 * and syncs the folder.
 * @param stem beginning of the temporary name; a killed writer leaves that file behind
 * @return APR_SUCCESS; an error of libc, with the old file in place unless only the sync of the
 *         folder failed
 */
apr_status_t apipool_disk_write(int folder, const char *name, const char *stem, const void *text,
                                apr_size_t len, apr_pool_t *pool);

/** Writes all bytes to an open file. */
apr_status_t apipool_disk_put(int file, const void *text, apr_size_t len);

/** Waits until a file is on disk; with the name ".", the names in the folder. */
apr_status_t apipool_disk_sync(int folder, const char *name);

/**
 * SHA-256 and size of a file.
 * @param sha256 result, 32 bytes
 * @param size   result, bytes
 * @return like apipool_disk_open()
 */
apr_status_t apipool_disk_digest(int folder, const char *name, unsigned char *sha256,
                                 apr_uint64_t *size);

#endif
