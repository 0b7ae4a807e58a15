/* SPDX-License-Identifier: Apache-2.0
 * Folders that are opened with care, small files read whole, and files that are on disk when a function says
 * so. */
#ifndef APIPOOL_STORE_DISK_H
#define APIPOOL_STORE_DISK_H

#include <apr_pools.h>
#include <sys/types.h>

/* Files are named by an open folder and a name in it, so that nobody can move another folder under a path
 * meanwhile. No function here follows a symbolic link in place of a file. */

/** The last error of libc as a status; APR_EGENERAL where it names none. */
apr_status_t apipool_disk_errno(void);

#define APIPOOL_DISK_RANDOM_SIZE 17 /* bytes with NUL */

/** Writes 16 random hexadecimal digits: part of a name that nobody can guess. Returns 1, or 0 when libcrypto
 *  failed. */
int apipool_disk_random(char digits[APIPOOL_DISK_RANDOM_SIZE]);

/**
 * Opens a folder, and makes what is missing of its path: the folders on the way with mode 0755. Root makes
 * folders only in such as are its own and nobody else can write to, and follows symbolic links only there;
 * else it could be led astray.
 * @param mode   of the folder itself, when it is made; 0: nothing is made
 * @param folder result, an open folder
 * @param made   result: whether it was not there
 * @return APR_SUCCESS; APR_ENOENT; APR_ENOTDIR when a part of the path is no folder; EPERM when root would
 *         have to make a folder where others can write; an error of libc
 */
apr_status_t apipool_disk_open_folder(const char *path, mode_t mode, int *folder, int *made);

/** Whether a folder is root's, and nobody else can write to it. */
int apipool_disk_is_of_root(int folder);

/**
 * Opens a regular file with one name, of root, of the effective user, or of whom the folder belongs to.
 * @param flags for open(); a FIFO is not waited for
 * @param file  result
 * @return APR_ENOENT when it is not there; APR_EBADF when it is something else; any error of libc
 */
apr_status_t apipool_disk_open(int folder, const char *name, int flags, int *file);

/**
 * Reads a small file.
 * @param text room for max bytes
 * @param len  result, at most max
 * @return as apipool_disk_open(); APR_EINVAL when it is longer than max
 */
apr_status_t apipool_disk_read(int folder, const char *name, char *text, apr_size_t max,
                               apr_size_t *len);

/** Reads from an open file until there is no more, or no more room. */
apr_status_t apipool_disk_fill(int file, void *bytes, apr_size_t max, apr_size_t *len);

/** Makes a small file, with mode 0600, where there is none; it is on disk then, but for its name. */
apr_status_t apipool_disk_write_new(int folder, const char *name, const void *text, apr_size_t len);

/**
 * Puts a small file in place of what was there, at once: written beside it with mode 0600, onto disk,
 * renamed, and the name brought to disk.
 * @param stem what the name that it has at first begins with; a writer that is killed leaves that
 * @return APR_SUCCESS; an error of libc, and the old file unless it was only the name that may not last
 */
apr_status_t apipool_disk_write(int folder, const char *name, const char *stem, const void *text,
                                apr_size_t len, apr_pool_t *pool);

/** Writes all of it to an open file. */
apr_status_t apipool_disk_put(int file, const void *text, apr_size_t len);

/** Waits until a file is on disk, or, with the name ".", the names in a folder. */
apr_status_t apipool_disk_sync(int folder, const char *name);

/**
 * SHA-256 and length of a file.
 * @param sha256 result, 32 bytes
 * @param size   result, bytes
 * @return as apipool_disk_open()
 */
apr_status_t apipool_disk_digest(int folder, const char *name, unsigned char *sha256,
                                 apr_uint64_t *size);

#endif
