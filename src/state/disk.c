/* SPDX-License-Identifier: Apache-2.0
 * Small files read whole, and files that are on disk when a function says so. */
#include "disk.h"

#include <apr_errno.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pace.h"

#define CHUNK 32768 /* bytes of a file that is digested */

apr_status_t apipool_disk_errno(void)
{
    return errno ? APR_FROM_OS_ERROR(errno) : APR_EGENERAL;
}

/* A regular file to read; nothing else, and no waiting for one who writes to a FIFO. */
static apr_status_t open_file(const char *path, int *file)
{
    struct stat info;
    *file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (*file < 0) {
        return apipool_disk_errno();
    }
    if (fstat(*file, &info) == 0 && S_ISREG(info.st_mode)) {
        return APR_SUCCESS;
    }
    close(*file);
    return APR_EBADF;
}

/* Reads until there is no more, or no more room. */
static apr_status_t fill(int file, void *bytes, apr_size_t max, apr_size_t *len)
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

apr_status_t apipool_disk_read(const char *path, char *text, apr_size_t max, apr_size_t *len)
{
    int file;
    char more;
    apr_size_t rest = 0;
    apr_status_t rv = open_file(path, &file);
    *len = 0;
    if (rv == APR_SUCCESS) {
        rv = fill(file, text, max, len);
        if (rv == APR_SUCCESS) {
            rv = fill(file, &more, 1, &rest);
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

static apr_status_t give(int file, const apipool_owner_t *owner)
{
    if (owner && geteuid() == 0 && fchown(file, owner->user, owner->group) != 0) {
        return apipool_disk_errno();
    }
    return APR_SUCCESS;
}

static apr_status_t write_new(const char *path, const void *text, apr_size_t len,
                              const apipool_owner_t *owner)
{
    unlink(path); /* of a writer that was killed, maybe not ours to write to */
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0) {
        return apipool_disk_errno();
    }
    apr_status_t rv = apipool_disk_put(file, text, len);
    if (rv == APR_SUCCESS) {
        rv = give(file, owner);
    }
    if (rv == APR_SUCCESS && fsync(file) != 0) {
        rv = apipool_disk_errno();
    }
    if (close(file) != 0 && rv == APR_SUCCESS) {
        rv = apipool_disk_errno();
    }
    return rv;
}

apr_status_t apipool_disk_write(const char *path, const void *text, apr_size_t len,
                                const apipool_owner_t *owner, apr_pool_t *pool)
{
    const char *beside = apr_pstrcat(pool, path, ".new", NULL);
    apr_status_t rv = write_new(beside, text, len, owner);
    if (rv == APR_SUCCESS && rename(beside, path) != 0) {
        rv = apipool_disk_errno();
    }
    if (rv != APR_SUCCESS) {
        unlink(beside);
    }
    return rv;
}

apr_status_t apipool_disk_sync(const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return apipool_disk_errno();
    }
    /* EINVAL: a file system that knows no sync of folders */
    apr_status_t rv = fsync(file) == 0 || errno == EINVAL ? APR_SUCCESS : apipool_disk_errno();
    close(file);
    return rv;
}

apr_status_t apipool_disk_own(const char *path, const apipool_owner_t *owner)
{
    if (geteuid() == 0 && lchown(path, owner->user, owner->group) != 0) {
        return apipool_disk_errno();
    }
    return APR_SUCCESS;
}

static apr_status_t digest_open(int file, EVP_MD_CTX *digest, char *chunk, apr_uint64_t *size)
{
    apr_size_t got;
    do {
        apr_status_t rv = fill(file, chunk, CHUNK, &got);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        if (!EVP_DigestUpdate(digest, chunk, got)) {
            return APR_EGENERAL;
        }
        *size += got;
        apipool_pace();
    } while (got == CHUNK);
    return APR_SUCCESS;
}

apr_status_t apipool_disk_digest(const char *path, unsigned char *sha256, apr_uint64_t *size)
{
    int file;
    apr_status_t rv = open_file(path, &file);
    *size = 0;
    if (rv != APR_SUCCESS) {
        return rv;
    }
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    char *chunk = malloc(CHUNK);
    if (!digest || !chunk || !EVP_DigestInit_ex(digest, EVP_sha256(), NULL)) {
        rv = APR_ENOMEM;
    }
    else {
        rv = digest_open(file, digest, chunk, size);
    }
    if (rv == APR_SUCCESS && !EVP_DigestFinal_ex(digest, sha256, NULL)) {
        rv = APR_EGENERAL;
    }
    free(chunk);
    EVP_MD_CTX_free(digest);
    close(file);
    return rv;
}
