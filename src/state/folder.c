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

#include "disk.h"
#include "folder_parts.h"

#define LOCK       "lock"
#define SECRET     "secret"
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

static apr_status_t refuse_place(const apipool_folder_t *folder, apr_status_t rv,
                                 const char **error, apr_pool_t *pool)
{
    const char *path = folder->settings.path;
    if (rv == APR_ENOTDIR) {
        *error = apr_psprintf(pool, "store %s is not a folder; name one, or move it away", path);
    }
    else if (rv == APR_FROM_OS_ERROR(EPERM)) {
        *error = apr_psprintf(pool,
                              "store %s is missing, and root makes no folder where others can "
                              "write; make it: install -d -m 0700 -o %s %s",
                              path, folder->settings.owner.name, path);
    }
    else {
        refuse(folder, rv, "opened", error, pool);
    }
    return rv;
}

static apr_status_t check_folder(const apipool_folder_t *folder, const char **error,
                                 apr_pool_t *pool)
{
    const char *path = folder->settings.path;
    const apipool_owner_t *owner = &folder->settings.owner;
    struct stat info;
    if (fstat(folder->dir, &info) != 0) {
        return refuse(folder, apipool_disk_errno(), "looked at", error, pool);
    }
    if (info.st_uid != owner->user && (geteuid() == 0 || info.st_uid != 0) &&
        info.st_uid != geteuid()) {
        *error = apr_psprintf(pool,
                              "store %s belongs to another user (uid %lu); run chown -R %lu %s, or "
                              "name another folder",
                              path, (unsigned long)info.st_uid, (unsigned long)owner->user, path);
        return APR_EACCES;
    }
    if (geteuid() == 0 && info.st_uid != owner->user) {
        *error = apr_psprintf(pool,
                              "store %s belongs to root, so that httpd's children cannot save "
                              "there; run chown -R %lu %s",
                              path, (unsigned long)owner->user, path);
        return APR_EACCES;
    }
    if (info.st_mode & (S_IWGRP | S_IWOTH)) {
        *error = apr_psprintf(pool,
                              "store %s can be written to by others (mode %04o); run chmod go-w %s",
                              path, (unsigned)info.st_mode & 07777, path);
        return APR_EACCES;
    }
    return APR_SUCCESS;
}

static apr_status_t close_folder(void *data)
{
    const apipool_folder_t *folder = data;
    close(folder->dir);
    return APR_SUCCESS;
}

/* Root gives away what it has made, by descriptor. */
static apr_status_t open_place(apipool_folder_t *folder, const char **error, apr_pool_t *pool)
{
    const apipool_owner_t *owner = &folder->settings.owner;
    int made;
    apr_status_t rv = apipool_disk_open_folder(folder->settings.path, 0700, &folder->dir, &made);
    if (rv != APR_SUCCESS) {
        return refuse_place(folder, rv, error, pool);
    }
    apr_pool_cleanup_register(pool, folder, close_folder, apr_pool_cleanup_null);
    if (made && geteuid() == 0 && fchown(folder->dir, owner->user, owner->group) != 0) {
        return refuse(folder, apipool_disk_errno(), "made", error, pool);
    }
    return check_folder(folder, error, pool);
}

/* By forking, children have the lock too, and it must not end before them: it is closed, never unlocked. */
static apr_status_t close_lock(void *data)
{
    const apipool_folder_t *folder = data;
    close(folder->lock);
    return APR_SUCCESS;
}

static apr_status_t refuse_second(const apipool_folder_t *folder, const char **error,
                                  apr_pool_t *pool)
{
    char holder[32];
    apr_size_t len;
    if (apipool_disk_read(folder->dir, LOCK, holder, sizeof(holder) - 1, &len) != APR_SUCCESS) {
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

static apr_status_t wait_for_lock(const apipool_folder_t *folder, const char **error,
                                  apr_pool_t *pool)
{
    apr_time_t until = apr_time_now() + LOCK_WAIT;
    while (flock(folder->lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return refuse(folder, apipool_disk_errno(), "locked", error, pool);
        }
        if (apr_time_now() >= until) {
            return refuse_second(folder, error, pool);
        }
        apr_sleep(LOCK_PAUSE);
    }
    return APR_SUCCESS;
}

/* Whether the lock that this server has from before its restart is the one of this folder. */
static int is_own_lock(const apipool_folder_t *folder)
{
    const int *lock = folder->settings.lock;
    struct stat have, want;
    return lock && *lock >= 0 && fstat(*lock, &have) == 0 &&
           fstatat(folder->dir, LOCK, &want, AT_SYMLINK_NOFOLLOW) == 0 &&
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

static apr_status_t take_lock(apipool_folder_t *folder, const char **error, apr_pool_t *pool)
{
    const char *holder = apr_psprintf(pool, "%lu\n", (unsigned long)getpid());
    apr_status_t rv = wait_for_lock(folder, error, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = ftruncate(folder->lock, 0) == 0 ? apipool_disk_put(folder->lock, holder, strlen(holder))
                                         : apipool_disk_errno();
    return rv == APR_SUCCESS ? rv : refuse(folder, rv, "locked", error, pool);
}

static apr_status_t open_lock(apipool_folder_t *folder, const char **error, apr_pool_t *pool)
{
    apr_status_t rv = apipool_disk_open(folder->dir, LOCK, O_RDWR | O_CREAT, &folder->lock);
    if (rv == APR_EBADF) {
        *error = apr_psprintf(pool,
                              "%s/" LOCK " is not a file of the store's own; remove it, and see "
                              "who has put it there",
                              folder->settings.path);
        return rv;
    }
    return rv == APR_SUCCESS ? rv : refuse(folder, rv, "locked", error, pool);
}

static apr_status_t lock_folder(apipool_folder_t *folder, const char **error, apr_pool_t *pool)
{
    if (is_own_lock(folder)) {
        folder->lock = *folder->settings.lock;
        return APR_SUCCESS;
    }
    apr_status_t rv = open_lock(folder, error, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_pool_cleanup_register(pool, folder, close_lock, apr_pool_cleanup_null);
    rv = take_lock(folder, error, pool);
    if (rv == APR_SUCCESS) {
        hand_over_lock(folder, pool);
    }
    return rv;
}

/* From here on a missing CURRENT is damage, and a database without a seal where CURRENT names none is what a
 * killed first writer left. */
static apr_status_t begin_folder(const apipool_folder_t *folder, const char **error,
                                 apr_pool_t *pool)
{
    apipool_folder_contents_t contents;
    apipool_folder_look(folder, &contents, pool);
    if (contents.had != APR_ENOENT || contents.listed != APR_SUCCESS || contents.files->nelts > 0) {
        return APR_SUCCESS;
    }
    apr_status_t rv = apipool_folder_swap(folder, &contents.current, "CURRENT", pool);
    return rv == APR_SUCCESS ? rv : refuse(folder, rv, "written to", error, pool);
}

/* What lies in the folder is touched with its owner's rights. */
static apr_status_t open_inside(apipool_folder_t *folder, const char **error, apr_pool_t *own,
                                apr_pool_t *pool)
{
    apipool_rights_t rights;
    apr_status_t rv = apipool_rights_drop(&folder->settings.owner, &rights, pool);
    if (rv != APR_SUCCESS) {
        return refuse(folder, rv, "opened with its owner's rights", error, pool);
    }
    rv = lock_folder(folder, error, own);
    if (rv == APR_SUCCESS) {
        rv = begin_folder(folder, error, pool);
    }
    apipool_rights_restore(&rights);
    return rv;
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
        rv = open_place(made, error, own);
    }
    if (rv == APR_SUCCESS) {
        rv = open_inside(made, error, own, pool);
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
    apipool_folder_contents_t contents;
    apipool_rights_t rights;
    if (apipool_rights_drop(&folder->settings.owner, &rights, pool) != APR_SUCCESS) {
        return 0;
    }
    apipool_folder_look(folder, &contents, pool);
    apipool_rights_restore(&rights);
    int is_new = contents.had == APR_SUCCESS && contents.listed == APR_SUCCESS;
    for (int kind = 0; is_new && kind < APIPOOL_STORE_KINDS; kind++) {
        is_new = !contents.current.generations[kind] &&
                 !apipool_folder_below(&contents, (apipool_store_kind_e)kind, APR_UINT64_MAX, 1);
    }
    return is_new;
}

apr_status_t apipool_folder_secret(const apipool_folder_t *folder, const char *other_than,
                                   unsigned char secret[APIPOOL_MAC_KEY_SIZE])
{
    struct stat other, info;
    apr_size_t len;
    if (stat(other_than, &other) == 0 &&
        fstatat(folder->dir, SECRET, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
        other.st_dev == info.st_dev && other.st_ino == info.st_ino) {
        return APR_ENOENT;
    }
    apr_status_t rv =
        apipool_disk_read(folder->dir, SECRET, (char *)secret, APIPOOL_MAC_KEY_SIZE, &len);
    return rv == APR_SUCCESS && len != APIPOOL_MAC_KEY_SIZE ? APR_EINVAL : rv;
}

apr_status_t apipool_folder_remove_secret(const apipool_folder_t *folder, apr_pool_t *pool)
{
    apipool_rights_t rights;
    apr_status_t rv = apipool_rights_drop(&folder->settings.owner, &rights, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = unlinkat(folder->dir, SECRET, 0) == 0 ? apipool_disk_sync(folder->dir, ".")
                                               : apipool_disk_errno();
    apipool_rights_restore(&rights);
    return rv;
}

void apipool_folder_use_other(apipool_folder_t *folder, const unsigned char *mac_key)
{
    folder->other_mac_key = mac_key;
}

int apipool_folder_has_loaded(const apipool_folder_t *folder)
{
    int kind = 0;
    while (kind < APIPOOL_STORE_KINDS && !folder->loaded[kind]) {
        kind++;
    }
    return kind < APIPOOL_STORE_KINDS;
}
