/* SPDX-License-Identifier: Apache-2.0
 * The secret file: what the store is sealed with. */
#include "secret.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"

static apr_status_t refuse(apr_status_t rv, const char *path, const char *doing, const char **error,
                           apr_pool_t *pool)
{
    char why[120];
    *error = apr_psprintf(pool, "secret file %s cannot be %s: %s", path, doing,
                          apr_strerror(rv, why, sizeof(why)));
    return rv;
}

static apr_status_t check_file(const char *path, const struct stat *info, uid_t user,
                               const char **error, apr_pool_t *pool)
{
    if (!S_ISREG(info->st_mode)) {
        *error = apr_psprintf(pool, "secret file %s is not a file; name a file of %d bytes", path,
                              APIPOOL_SECRET_SIZE);
        return APR_EINVAL;
    }
    if (info->st_uid != 0 && info->st_uid != geteuid() && info->st_uid != user) {
        *error = apr_psprintf(pool,
                              "secret file %s belongs to another user (uid %lu); run chown root %s",
                              path, (unsigned long)info->st_uid, path);
        return APR_EACCES;
    }
    if (info->st_mode & (S_IRWXG | S_IRWXO)) {
        *error = apr_psprintf(pool,
                              "secret file %s is %s by others (mode %04o); run chmod 600 %s, and "
                              "take the keys for known if others could log in",
                              path, info->st_mode & (S_IRGRP | S_IROTH) ? "readable" : "usable",
                              (unsigned)info->st_mode & 07777, path);
        return APR_EACCES;
    }
    return APR_SUCCESS;
}

/* One byte more than there should be is asked for, so that a longer file is seen. */
static apr_status_t read_open(int file, const char *path, unsigned char *secret, const char **error,
                              apr_pool_t *pool)
{
    unsigned char bytes[APIPOOL_SECRET_SIZE + 1];
    apr_size_t len = 0;
    ssize_t got;
    while ((got = read(file, bytes + len, sizeof(bytes) - len)) > 0 ||
           (got < 0 && errno == EINTR)) {
        len += got > 0 ? (apr_size_t)got : 0;
    }
    apr_status_t rv = got < 0 ? apipool_disk_errno() : APR_SUCCESS;
    if (rv != APR_SUCCESS) {
        refuse(rv, path, "read", error, pool);
    }
    else if (len != APIPOOL_SECRET_SIZE) {
        *error = apr_psprintf(pool,
                              "secret file %s does not have %d bytes; put back the one that the "
                              "store was made with",
                              path, APIPOOL_SECRET_SIZE);
        rv = APR_EINVAL;
    }
    else {
        memcpy(secret, bytes, APIPOOL_SECRET_SIZE);
    }
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return rv;
}

static apr_status_t read_secret(const char *path, uid_t user, unsigned char *secret,
                                const char **error, apr_pool_t *pool)
{
    struct stat info;
    /* without waiting for one who writes to a FIFO */
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file < 0) {
        return refuse(apipool_disk_errno(), path, "opened", error, pool);
    }
    apr_status_t rv = fstat(file, &info) == 0
                          ? check_file(path, &info, user, error, pool)
                          : refuse(apipool_disk_errno(), path, "looked at", error, pool);
    if (rv == APR_SUCCESS) {
        rv = read_open(file, path, secret, error, pool);
    }
    close(file);
    return rv;
}

static apr_status_t fill_file(int file)
{
    unsigned char bytes[APIPOOL_SECRET_SIZE];
    if (RAND_priv_bytes(bytes, sizeof(bytes)) != 1) {
        return APR_EGENERAL;
    }
    apr_status_t rv = apipool_disk_put(file, bytes, sizeof(bytes));
    OPENSSL_cleanse(bytes, sizeof(bytes));
    if (rv == APR_SUCCESS && (fchmod(file, S_IRUSR | S_IWUSR) != 0 || fsync(file) != 0)) {
        rv = apipool_disk_errno();
    }
    return rv;
}

static const char *folder_of(const char *path, apr_pool_t *pool)
{
    const char *slash = strrchr(path, '/');
    return !slash         ? "."
           : slash > path ? apr_pstrmemdup(pool, path, (apr_size_t)(slash - path))
                          : "/";
}

/* A link into place fails when there is a file by now, and then that one is it. */
static apr_status_t make_secret(const char *path, const char **error, apr_pool_t *pool)
{
    char *beside = apr_pstrcat(pool, path, ".XXXXXX", NULL);
    int file = mkostemp(beside, O_CLOEXEC);
    if (file < 0) {
        return refuse(apipool_disk_errno(), path, "made", error, pool);
    }
    apr_status_t rv = fill_file(file);
    if (rv == APR_SUCCESS && link(beside, path) != 0 && errno != EEXIST) {
        rv = apipool_disk_errno();
    }
    unlink(beside);
    close(file);
    if (rv == APR_SUCCESS) {
        rv = apipool_disk_sync(folder_of(path, pool));
    }
    return rv == APR_SUCCESS ? rv : refuse(rv, path, "made", error, pool);
}

apr_status_t apipool_secret_read(const char *path, int may_make, uid_t user,
                                 unsigned char secret[APIPOOL_SECRET_SIZE], const char **error,
                                 apr_pool_t *pool)
{
    struct stat info;
    *error = NULL;
    memset(secret, 0, APIPOOL_SECRET_SIZE);
    if (lstat(path, &info) != 0) {
        if (errno != ENOENT) {
            return refuse(apipool_disk_errno(), path, "looked at", error, pool);
        }
        if (!may_make) {
            *error = apr_psprintf(pool,
                                  "secret file %s is missing, and the store cannot be read without "
                                  "it; put back the one that the store was made with",
                                  path);
            return APR_ENOENT;
        }
        apr_status_t rv = make_secret(path, error, pool);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    else if (S_ISLNK(info.st_mode) && stat(path, &info) != 0 && errno == ENOENT) {
        *error = apr_psprintf(pool,
                              "secret file %s is a symbolic link to nothing; put back the file it "
                              "points to, or name another file",
                              path);
        return APR_EINVAL;
    }
    return read_secret(path, user, secret, error, pool);
}
