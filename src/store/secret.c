/* SPDX-License-Identifier: Apache-2.0
 * Secret file that the store is sealed with, and related files. */
#include "secret.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"
#include "pool.h"

/* File in its open folder. */
typedef struct {
    const char *path;
    const char *name; /* in the folder */
    int folder;
    const char **error;
    apr_pool_t *pool;
} place_t;

static apr_status_t refuse(place_t *place, apr_status_t rv, const char *doing)
{
    char why[120];
    *place->error = apr_psprintf(place->pool, "secret file %s cannot be %s: %s", place->path, doing,
                                 apr_strerror(rv, why, sizeof(why)));
    return rv;
}

static apr_status_t refuse_making(place_t *place, apr_status_t rv)
{
    refuse(place, rv, "made");
    *place->error =
        apr_psprintf(place->pool,
                     "%s; name a file in a folder that %s can write, and nobody else, with "
                     "APIPoolSecretFile",
                     *place->error, geteuid() == 0 ? "root" : "the user that starts httpd");
    return rv;
}

/* Opens the folder; creates it if may_make is set. */
static apr_status_t open_place(place_t *place, const char *path, int may_make, const char **error,
                               apr_pool_t *pool)
{
    const char *slash = strrchr(path, '/');
    const char *folder = !slash         ? "."
                         : slash > path ? apr_pstrmemdup(pool, path, (apr_size_t)(slash - path))
                                        : "/";
    int made;
    *place =
        (place_t){.path = path, .name = slash ? slash + 1 : path, .error = error, .pool = pool};
    apr_status_t rv = apipool_disk_open_folder(folder, may_make ? 0755 : 0, &place->folder, &made);
    if (rv != APR_SUCCESS) {
        return rv == APR_ENOENT ? rv
               : may_make       ? refuse_making(place, rv)
                                : refuse(place, rv, "opened");
    }
    if (geteuid() == 0 && !apipool_disk_is_of_root(place->folder)) {
        *error =
            apr_psprintf(pool,
                         "secret file %s lies in a folder that is not root's alone, where others "
                         "could replace it; move it to a folder of root's that nobody else can "
                         "write, and name it with APIPoolSecretFile",
                         path);
        close(place->folder);
        return APR_EACCES;
    }
    return APR_SUCCESS;
}

static apr_status_t check_file(place_t *place, const struct stat *info)
{
    const char *path = place->path;
    if (!S_ISREG(info->st_mode)) {
        *place->error =
            apr_psprintf(place->pool, "secret file %s is not a file; name a file of %d bytes", path,
                         APIPOOL_SECRET_SIZE);
        return APR_EINVAL;
    }
    if (info->st_uid != 0 && info->st_uid != geteuid()) {
        *place->error = apr_psprintf(
            place->pool, "secret file %s belongs to another user (uid %lu); run chown root %s",
            path, (unsigned long)info->st_uid, path);
        return APR_EACCES;
    }
    if (info->st_mode & (S_IRWXG | S_IRWXO)) {
        *place->error =
            apr_psprintf(place->pool,
                         "secret file %s is %s by others (mode %04o); run chmod 600 %s, and "
                         "take the keys for known if others could log in",
                         path, info->st_mode & (S_IRGRP | S_IROTH) ? "readable" : "usable",
                         (unsigned)info->st_mode & 07777, path);
        return APR_EACCES;
    }
    return APR_SUCCESS;
}

/* Reads one byte more than expected, to detect a longer file. */
static apr_status_t read_open(place_t *place, int file, unsigned char *secret)
{
    unsigned char bytes[APIPOOL_SECRET_SIZE + 1];
    apr_size_t len;
    apr_status_t rv = apipool_disk_fill(file, bytes, sizeof(bytes), &len);
    if (rv != APR_SUCCESS) {
        refuse(place, rv, "read");
    }
    else if (len != APIPOOL_SECRET_SIZE) {
        *place->error = apr_psprintf(place->pool,
                                     "secret file %s does not have %d bytes; put back the one that "
                                     "the store was made with",
                                     place->path, APIPOOL_SECRET_SIZE);
        rv = APR_EINVAL;
    }
    else {
        memcpy(secret, bytes, APIPOOL_SECRET_SIZE);
    }
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return rv;
}

/* Does not wait for the writer of a FIFO. For a missing file returns APR_ENOENT without a
 * sentence. */
static apr_status_t read_file(place_t *place, unsigned char *secret)
{
    struct stat info;
    int file = openat(place->folder, place->name,
                      O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (file < 0 && errno == ELOOP) {
        *place->error = apr_psprintf(
            place->pool, "secret file %s is a symbolic link; name the file that it points to",
            place->path);
        return APR_EINVAL;
    }
    if (file < 0) {
        apr_status_t rv = apipool_disk_errno();
        return rv == APR_ENOENT ? rv : refuse(place, rv, "opened");
    }
    apr_status_t rv = fstat(file, &info) == 0 ? check_file(place, &info)
                                              : refuse(place, apipool_disk_errno(), "looked at");
    if (rv == APR_SUCCESS) {
        rv = read_open(place, file, secret);
    }
    close(file);
    return rv;
}

/* Links the file into place, which fails if another process was faster; then that file is used. */
static apr_status_t make_file(place_t *place, const unsigned char *secret)
{
    char random[APIPOOL_DISK_RANDOM_SIZE];
    if (!apipool_disk_random(random)) {
        return refuse_making(place, APR_EGENERAL);
    }
    const char *beside = apr_pstrcat(place->pool, place->name, ".", random, NULL);
    apr_status_t rv = apipool_disk_write_new(place->folder, beside, secret, APIPOOL_SECRET_SIZE);
    if (rv == APR_SUCCESS && linkat(place->folder, beside, place->folder, place->name, 0) != 0 &&
        errno != EEXIST) {
        rv = apipool_disk_errno();
    }
    unlinkat(place->folder, beside, 0);
    if (rv == APR_SUCCESS) {
        rv = apipool_disk_sync(place->folder, ".");
    }
    return rv == APR_SUCCESS ? rv : refuse_making(place, rv);
}

static apr_status_t make_random(place_t *place)
{
    unsigned char bytes[APIPOOL_SECRET_SIZE];
    apr_status_t rv = RAND_priv_bytes(bytes, sizeof(bytes)) == 1
                          ? make_file(place, bytes)
                          : refuse_making(place, APR_EGENERAL);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return rv;
}

apr_status_t apipool_secret_read(const char *path, int may_make,
                                 unsigned char secret[APIPOOL_SECRET_SIZE], const char **error,
                                 apr_pool_t *pool)
{
    place_t place;
    *error = NULL;
    memset(secret, 0, APIPOOL_SECRET_SIZE);
    apr_status_t rv = open_place(&place, path, may_make, error, pool);
    if (rv == APR_SUCCESS) {
        rv = read_file(&place, secret);
        if (rv == APR_ENOENT && may_make) {
            rv = make_random(&place);
            rv = rv == APR_SUCCESS ? read_file(&place, secret) : rv;
        }
        close(place.folder);
    }
    if (rv == APR_ENOENT) {
        *error = apr_psprintf(pool,
                              "secret file %s is missing, and the store cannot be read without it; "
                              "put back the one that the store was made with",
                              path);
    }
    return rv;
}

apr_status_t apipool_secret_put(const char *path, const unsigned char secret[APIPOOL_SECRET_SIZE],
                                const char **error, apr_pool_t *pool)
{
    place_t place;
    apr_status_t rv = open_place(&place, path, 1, error, pool);
    if (rv == APR_SUCCESS) {
        rv = make_file(&place, secret);
        close(place.folder);
    }
    return rv;
}

const char *apipool_secret_next(const char *path, apr_pool_t *pool)
{
    return apr_pstrcat(pool, path, ".new", NULL);
}

/* If a crash undoes the rename, both files are there again and the next start repeats it. */
apr_status_t apipool_secret_replace(const char *path, const char **error, apr_pool_t *pool)
{
    place_t place;
    apr_status_t rv = open_place(&place, path, 0, error, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    const char *next = apipool_secret_next(place.name, pool);
    if (renameat(place.folder, next, place.folder, place.name) != 0) {
        rv = refuse(&place, apipool_disk_errno(), "replaced");
    }
    apipool_disk_sync(place.folder, ".");
    close(place.folder);
    return rv;
}

const char *apipool_secret_mark(const char *path, const char *store, apr_pool_t *pool)
{
    return apr_psprintf(pool, "%s.store-%016" APR_UINT64_T_HEX_FMT, path, apipool_hash(store));
}

apr_status_t apipool_secret_put_mark(const char *path, const char *store, const char **error,
                                     apr_pool_t *pool)
{
    place_t place;
    struct stat info;
    const char *mark = apipool_secret_mark(path, store, pool);
    const char *text =
        apr_psprintf(pool, "%s has data. Without this file it may be empty.\n", store);
    apr_status_t rv = open_place(&place, mark, 0, error, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (fstatat(place.folder, place.name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        rv = apipool_disk_write(place.folder, place.name, place.name, text, strlen(text), pool);
    }
    close(place.folder);
    return rv == APR_SUCCESS ? rv : refuse(&place, rv, "marked");
}
