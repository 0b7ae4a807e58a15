/* SPDX-License-Identifier: Apache-2.0
 * Safe access to folders and small files, and durable writes. */
#include "disk.h"

#include <apr_errno.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "throttle.h"

#ifndef O_PATH /* passing through a folder needs no right to read it */
#define O_PATH O_RDONLY
#endif

apr_status_t apipool_disk_errno(void)
{
    return errno ? APR_FROM_OS_ERROR(errno) : APR_EGENERAL;
}

int apipool_disk_random(char digits[APIPOOL_DISK_RANDOM_SIZE])
{
    apr_uint64_t random;
    if (RAND_bytes((unsigned char *)&random, sizeof(random)) != 1) {
        return 0;
    }
    apr_snprintf(digits, APIPOOL_DISK_RANDOM_SIZE, "%016" APR_UINT64_T_HEX_FMT, random);
    return 1;
}

/* --- Folders --- */

int apipool_disk_is_of_root(int folder)
{
    struct stat info;
    return fstat(folder, &info) == 0 && info.st_uid == 0 && !(info.st_mode & (S_IWGRP | S_IWOTH));
}

/* Processes without root's rights cannot be misled beyond their own. */
static int is_trusted(int folder)
{
    return geteuid() != 0 || apipool_disk_is_of_root(folder);
}

static int make_in(int folder, const char *name, mode_t mode)
{
    int made = -1;
    if (!is_trusted(folder)) {
        errno = EPERM;
    }
    else if (mkdirat(folder, name, mode) == 0 || errno == EEXIST) {
        made = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    if (made >= 0 && fchmod(made, mode) != 0) {
        close(made);
        made = -1;
    }
    return made;
}

/* Opens the next folder of a path. The last one must be readable. */
static int step(int folder, const char *name, mode_t mode, int is_last, int *made)
{
    int flags = (is_last ? O_RDONLY : O_PATH) | O_DIRECTORY | O_CLOEXEC |
                (is_trusted(folder) ? 0 : O_NOFOLLOW);
    int next = openat(folder, name, flags);
    *made = next < 0 && errno == ENOENT && mode;
    return *made ? make_in(folder, name, is_last ? mode : 0755) : next;
}

apr_status_t apipool_disk_open_folder(const char *path, mode_t mode, int *folder, int *made)
{
    char name[NAME_MAX + 1];
    *folder = open(*path == '/' ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *made = 0;
    for (path += strspn(path, "/"); *folder >= 0 && *path;) {
        apr_size_t len = strcspn(path, "/");
        int before = *folder;
        apr_cpystrn(name, path, len < NAME_MAX ? len + 1 : sizeof(name));
        path += len;
        path += strspn(path, "/");
        *folder =
            len > NAME_MAX ? (errno = ENAMETOOLONG, -1) : step(before, name, mode, !*path, made);
        int errno_of_step = errno;
        close(before);
        errno = errno_of_step;
    }
    return *folder >= 0 ? APR_SUCCESS : errno == ELOOP ? APR_ENOTDIR : apipool_disk_errno();
}

/* --- Files --- */

apr_status_t apipool_disk_open(int folder, const char *name, int flags, int *file)
{
    struct stat info, of_folder;
    *file = openat(folder, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    if (*file < 0) {
        return errno == ELOOP || errno == ENXIO ? APR_EBADF : apipool_disk_errno();
    }
    if (fstat(*file, &info) == 0 && fstat(folder, &of_folder) == 0 && S_ISREG(info.st_mode) &&
        info.st_nlink == 1 &&
        (info.st_uid == of_folder.st_uid || info.st_uid == geteuid() || info.st_uid == 0)) {
        return APR_SUCCESS;
    }
    close(*file);
    return APR_EBADF;
}

apr_status_t apipool_disk_fill(int file, void *bytes, apr_size_t max, apr_size_t *len)
{
    *len = 0;
    while (*len < max) {
        ssize_t got = read(file, (char *)bytes + *len, max - *len);
        if (got == 0) {
            break;
        }
        if (got < 0 && errno != EINTR) {
            return apipool_disk_errno();
        }
        *len += got > 0 ? (apr_size_t)got : 0;
    }
    return APR_SUCCESS;
}

apr_status_t apipool_disk_read(int folder, const char *name, char *text, apr_size_t max,
                               apr_size_t *len)
{
    int file;
    char more;
    apr_size_t rest = 0;
    apr_status_t rv = apipool_disk_open(folder, name, O_RDONLY, &file);
    *len = 0;
    if (rv == APR_SUCCESS) {
        rv = apipool_disk_fill(file, text, max, len);
        if (rv == APR_SUCCESS) {
            rv = apipool_disk_fill(file, &more, 1, &rest);
        }
        close(file);
    }
    return rv == APR_SUCCESS && rest ? APR_EINVAL : rv;
}

apr_status_t apipool_disk_put(int file, const void *text, apr_size_t len)
{
    const char *at = text;
    while (len > 0) {
        ssize_t put = write(file, at, len);
        if (put < 0 && errno != EINTR) {
            return apipool_disk_errno();
        }
        at += put > 0 ? put : 0;
        len -= put > 0 ? (apr_size_t)put : 0;
    }
    return APR_SUCCESS;
}

apr_status_t apipool_disk_write_new(int folder, const char *name, const void *text, apr_size_t len)
{
    int file = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0) {
        return apipool_disk_errno();
    }
    apr_status_t rv = apipool_disk_put(file, text, len);
    if (rv == APR_SUCCESS && fsync(file) != 0) {
        rv = apipool_disk_errno();
    }
    if (close(file) != 0 && rv == APR_SUCCESS) {
        rv = apipool_disk_errno();
    }
    return rv;
}

apr_status_t apipool_disk_write(int folder, const char *name, const char *stem, const void *text,
                                apr_size_t len, apr_pool_t *pool)
{
    char random[APIPOOL_DISK_RANDOM_SIZE];
    if (!apipool_disk_random(random)) {
        return APR_EGENERAL;
    }
    const char *beside = apr_pstrcat(pool, stem, ".", random, NULL);
    apr_status_t rv = apipool_disk_write_new(folder, beside, text, len);
    if (rv == APR_SUCCESS && renameat(folder, beside, folder, name) != 0) {
        rv = apipool_disk_errno();
    }
    if (rv != APR_SUCCESS) {
        unlinkat(folder, beside, 0);
        return rv;
    }
    return apipool_disk_sync(folder, ".");
}

apr_status_t apipool_disk_sync(int folder, const char *name)
{
    int file = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0) {
        return apipool_disk_errno();
    }
    /* EINVAL: this file system cannot sync folders */
    apr_status_t rv = fsync(file) == 0 || errno == EINVAL ? APR_SUCCESS : apipool_disk_errno();
    close(file);
    return rv;
}

apr_status_t apipool_disk_digest(int folder, const char *name, unsigned char *sha256,
                                 apr_uint64_t *size)
{
    int file;
    char chunk[8192];
    apr_size_t got = sizeof(chunk);
    apr_status_t rv = apipool_disk_open(folder, name, O_RDONLY, &file);
    *size = 0;
    if (rv != APR_SUCCESS) {
        return rv;
    }
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    if (!digest || !EVP_DigestInit_ex(digest, EVP_sha256(), NULL)) {
        rv = APR_ENOMEM;
    }
    for (; rv == APR_SUCCESS && got == sizeof(chunk); *size += got) {
        rv = apipool_disk_fill(file, chunk, sizeof(chunk), &got);
        if (rv == APR_SUCCESS && !EVP_DigestUpdate(digest, chunk, got)) {
            rv = APR_EGENERAL;
        }
        apipool_throttle();
    }
    if (rv == APR_SUCCESS && !EVP_DigestFinal_ex(digest, sha256, NULL)) {
        rv = APR_EGENERAL;
    }
    EVP_MD_CTX_free(digest);
    close(file);
    return rv;
}
