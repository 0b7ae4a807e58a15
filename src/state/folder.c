/* SPDX-License-Identifier: Apache-2.0
 * Opens the store's folder: made when missing, looked at when not, locked for one httpd. */
#include "folder.h"

#include <apr_strings.h>
#include <apr_time.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder_parts.h"

#define LOCK_WAIT  apr_time_from_sec(3)
#define LOCK_PAUSE apr_time_from_msec(50)

static apr_status_t refuse(const apipool_folder_t *folder, apr_status_t rv, const char *doing,
                           const char **error, apr_pool_t *pool)
{
    char why[120];
    *error = apr_psprintf(pool, "store %s cannot be %s: %s", folder->settings.path, doing,
                          apr_strerror(rv, why, sizeof(why)));
    return rv;
}

/* The folders that the store lies in, which others may use as well. */
static apr_status_t make_parents(const char *path, apr_pool_t *pool)
{
    char *parent = apr_pstrdup(pool, path);
    for (char *slash = strchr(parent + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(parent, 0755) == 0 ? chmod(parent, 0755) != 0 : errno != EEXIST) {
            return apipool_disk_errno();
        }
        *slash = '/';
    }
    return APR_SUCCESS;
}

static apr_status_t make_folder(const apipool_folder_t *folder, const char **error,
                                apr_pool_t *pool)
{
    const char *path = folder->settings.path;
    apr_status_t rv = make_parents(path, pool);
    if (rv == APR_SUCCESS && mkdir(path, 0700) != 0) {
        if (errno == EEXIST) {
            return APR_SUCCESS;
        }
        rv = apipool_disk_errno();
    }
    if (rv == APR_SUCCESS && chmod(path, 0700) != 0) {
        rv = apipool_disk_errno();
    }
    if (rv == APR_SUCCESS) {
        rv = apipool_disk_own(path, &folder->settings.owner);
    }
    return rv == APR_SUCCESS ? rv : refuse(folder, rv, "made", error, pool);
}

static apr_status_t check_folder(const apipool_folder_t *folder, const char **error,
                                 apr_pool_t *pool)
{
    const char *path = folder->settings.path;
    struct stat info;
    if (stat(path, &info) != 0) {
        return refuse(folder, apipool_disk_errno(), "opened", error, pool);
    }
    if (!S_ISDIR(info.st_mode)) {
        *error = apr_psprintf(pool, "store %s is not a folder; name one, or move it away", path);
        return APR_ENOTDIR;
    }
    if (info.st_uid != 0 && info.st_uid != geteuid() &&
        info.st_uid != folder->settings.owner.user) {
        *error = apr_psprintf(pool,
                              "store %s belongs to another user (uid %lu); run chown %lu %s, or "
                              "name another folder",
                              path, (unsigned long)info.st_uid,
                              (unsigned long)folder->settings.owner.user, path);
        return APR_EACCES;
    }
    if (info.st_mode & (S_IWGRP | S_IWOTH)) {
        *error = apr_psprintf(pool,
                              "store %s can be written to by others (mode %04o); run chmod go-w %s",
                              path, (unsigned)info.st_mode & 07777, path);
        return APR_EACCES;
    }
    if (geteuid() == 0 && info.st_uid != folder->settings.owner.user) {
        apipool_folder_report(folder,
                              apr_psprintf(pool,
                                           "store %s belongs to root, so that httpd's children "
                                           "cannot save there; run chown %lu %s",
                                           path, (unsigned long)folder->settings.owner.user, path));
    }
    return APR_SUCCESS;
}

/* By forking, children have the lock too, and it must not end before them: it is closed, never unlocked. */
static apr_status_t close_lock(void *data)
{
    const apipool_folder_t *folder = data;
    close(folder->lock);
    return APR_SUCCESS;
}

static apr_status_t refuse_second(const apipool_folder_t *folder, const char *path,
                                  const char **error, apr_pool_t *pool)
{
    char holder[32];
    apr_size_t len;
    if (apipool_disk_read(path, holder, sizeof(holder) - 1, &len) != APR_SUCCESS) {
        len = 0;
    }
    holder[len] = '\0';
    holder[strspn(holder, "0123456789")] = '\0';
    *error = apr_psprintf(pool,
                          "store %s is used by another httpd%s%s; stop that one, or give each a "
                          "store of its own",
                          folder->settings.path, *holder ? " (process " : "",
                          *holder ? apr_pstrcat(pool, holder, ")", NULL) : "");
    return APR_EAGAIN;
}

static apr_status_t wait_for_lock(const apipool_folder_t *folder, const char *path,
                                  const char **error, apr_pool_t *pool)
{
    apr_time_t until = apr_time_now() + LOCK_WAIT;
    while (flock(folder->lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return refuse(folder, apipool_disk_errno(), "locked", error, pool);
        }
        if (apr_time_now() >= until) {
            return refuse_second(folder, path, error, pool);
        }
        apr_sleep(LOCK_PAUSE);
    }
    return APR_SUCCESS;
}

/* Whether the lock that this server has from before its restart is the one of this folder. */
static int is_own_lock(const apipool_folder_t *folder, const char *path)
{
    const int *lock = folder->settings.lock;
    struct stat have, want;
    return lock && *lock >= 0 && fstat(*lock, &have) == 0 && lstat(path, &want) == 0 &&
           have.st_dev == want.st_dev && have.st_ino == want.st_ino;
}

/* From now on the lock outlives the pool. That of another folder, which the server had, goes. */
static void hand_over_lock(apipool_folder_t *folder, apr_pool_t *pool)
{
    int *lock = folder->settings.lock;
    if (lock) {
        if (*lock >= 0) {
            close(*lock);
        }
        *lock = folder->lock;
        apr_pool_cleanup_kill(pool, folder, close_lock);
    }
}

static apr_status_t take_lock(apipool_folder_t *folder, const char *path, const char **error,
                              apr_pool_t *pool)
{
    const char *holder = apr_psprintf(pool, "%lu\n", (unsigned long)getpid());
    apr_status_t rv = wait_for_lock(folder, path, error, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = ftruncate(folder->lock, 0) == 0 ? apipool_disk_put(folder->lock, holder, strlen(holder))
                                         : apipool_disk_errno();
    if (rv == APR_SUCCESS) {
        rv = apipool_disk_own(path, &folder->settings.owner);
    }
    return rv == APR_SUCCESS ? rv : refuse(folder, rv, "locked", error, pool);
}

static apr_status_t lock_folder(apipool_folder_t *folder, const char **error, apr_pool_t *pool)
{
    const char *path = apipool_folder_file(folder, "lock", pool);
    if (is_own_lock(folder, path)) {
        folder->lock = *folder->settings.lock;
        return APR_SUCCESS;
    }
    folder->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (folder->lock < 0) {
        return refuse(folder, apipool_disk_errno(), "locked", error, pool);
    }
    apr_pool_cleanup_register(pool, folder, close_lock, apr_pool_cleanup_null);
    apr_status_t rv = take_lock(folder, path, error, pool);
    if (rv == APR_SUCCESS) {
        hand_over_lock(folder, pool);
    }
    return rv;
}

static int has_generations(const apipool_folder_t *folder, apr_pool_t *pool)
{
    for (int kind = 0; kind < APIPOOL_STORE_KINDS; kind++) {
        apr_array_header_t *listed;
        if (apipool_folder_list(folder, (apipool_store_kind_e)kind, &listed, pool) != APR_SUCCESS ||
            listed->nelts > 0) {
            return 1;
        }
    }
    return 0;
}

/* From here on a missing CURRENT is damage, and a database without a seal where CURRENT names none is what a
 * killed first writer left. */
static apr_status_t begin_folder(const apipool_folder_t *folder, const char **error,
                                 apr_pool_t *pool)
{
    apipool_current_t current;
    apr_status_t rv = apipool_folder_current(folder, &current, pool);
    if (rv != APR_ENOENT || has_generations(folder, pool)) {
        return APR_SUCCESS;
    }
    rv = apipool_folder_swap(folder, &current, pool);
    return rv == APR_SUCCESS ? rv : refuse(folder, rv, "written to", error, pool);
}

apr_status_t apipool_folder_open(apipool_folder_t **folder,
                                 const apipool_folder_settings_t *settings, const char **error,
                                 apr_pool_t *pool)
{
    apr_pool_t *own;
    apr_pool_create(&own, pool);
    apipool_folder_t *made = apr_pcalloc(own, sizeof(*made));

    made->settings = *settings;
    apr_status_t rv = apipool_dbm_choose(settings->dbm, &made->settings.dbm, error, pool);
    if (rv == APR_SUCCESS) {
        rv = make_folder(made, error, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = check_folder(made, error, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = lock_folder(made, error, own);
    }
    if (rv == APR_SUCCESS) {
        rv = begin_folder(made, error, pool);
    }
    if (rv != APR_SUCCESS) {
        *error = apr_pstrdup(pool, *error);
        apr_pool_destroy(own);
        return rv;
    }
    *folder = made;
    return APR_SUCCESS;
}

int apipool_folder_is_new(const apipool_folder_t *folder, apr_pool_t *pool)
{
    apipool_current_t current;
    if (apipool_folder_current(folder, &current, pool) != APR_SUCCESS) {
        return 0;
    }
    for (int kind = 0; kind < APIPOOL_STORE_KINDS; kind++) {
        apr_array_header_t *listed;
        if (current.generations[kind] ||
            apipool_folder_list(folder, (apipool_store_kind_e)kind, &listed, pool) != APR_SUCCESS ||
            apipool_folder_any_sealed(listed)) {
            return 0;
        }
    }
    return 1;
}
