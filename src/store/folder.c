/* SPDX-License-Identifier: Apache-2.0
 * Opening the store's folder: creation, checks, lock. */
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

static apr_status_t refuse(apipool_folder_t *folder, apr_status_t rv, const char *doing)
{
    char why[120];
    folder->error = apr_psprintf(folder->pool, "store %s cannot be %s: %s", folder->settings.path,
                                 doing, apr_strerror(rv, why, sizeof(why)));
    return rv;
}

/* --- The folder itself --- */

static apr_status_t refuse_place(apipool_folder_t *folder, apr_status_t rv)
{
    const char *path = folder->settings.path;
    if (rv == APR_ENOTDIR) {
        folder->error =
            apr_psprintf(folder->pool, "store %s is not a folder; name one, or move it away", path);
    }
    else if (rv == APR_FROM_OS_ERROR(EPERM)) {
        folder->error = apr_psprintf(folder->pool,
                                     "store %s is missing, and root makes no folder where others "
                                     "can write; make it: install -d -m 0700 -o %s %s",
                                     path, folder->settings.owner.name, path);
    }
    else {
        refuse(folder, rv, "opened");
    }
    return rv;
}

static apr_status_t check_folder(apipool_folder_t *folder)
{
    const char *path = folder->settings.path;
    uid_t user = folder->settings.owner.user;
    struct stat info;
    if (fstat(folder->dir, &info) != 0) {
        return refuse(folder, apipool_disk_errno(), "looked at");
    }
    if (info.st_uid != user && (geteuid() == 0 || info.st_uid != 0) && info.st_uid != geteuid()) {
        folder->error = apr_psprintf(folder->pool,
                                     "store %s belongs to another user (uid %lu); run chown -R %lu "
                                     "%s, or name another folder",
                                     path, (unsigned long)info.st_uid, (unsigned long)user, path);
    }
    else if (geteuid() == 0 && info.st_uid != user) {
        folder->error = apr_psprintf(folder->pool,
                                     "store %s belongs to root, so that httpd's children cannot "
                                     "save there; run chown -R %lu %s",
                                     path, (unsigned long)user, path);
    }
    else if (info.st_mode & (S_IWGRP | S_IWOTH)) {
        folder->error = apr_psprintf(
            folder->pool, "store %s can be written to by others (mode %04o); run chmod go-w %s",
            path, (unsigned)info.st_mode & 07777, path);
    }
    return folder->error ? APR_EACCES : APR_SUCCESS;
}

static apr_status_t close_folder(void *data)
{
    const apipool_folder_t *folder = data;
    close(folder->dir);
    return APR_SUCCESS;
}

/* Root hands over the folder that it has created, by descriptor. */
static apr_status_t open_place(apipool_folder_t *folder)
{
    const apipool_owner_t *owner = &folder->settings.owner;
    int made;
    int looks = folder->settings.looks;
    apr_status_t rv =
        apipool_disk_open_folder(folder->settings.path, looks ? 0 : 0700, &folder->dir, &made);
    if (rv != APR_SUCCESS) {
        return looks && rv == APR_ENOENT ? rv : refuse_place(folder, rv);
    }
    apr_pool_cleanup_register(folder->pool, folder, close_folder, apr_pool_cleanup_null);
    if (made && geteuid() == 0 && fchown(folder->dir, owner->user, owner->group) != 0) {
        return refuse(folder, apipool_disk_errno(), "made");
    }
    return check_folder(folder);
}

/* --- The lock: inherited by children, which must keep it until they end, so it is only closed --- */

static apr_status_t refuse_second(apipool_folder_t *folder)
{
    char holder[32];
    apr_size_t len;
    if (apipool_disk_read(folder->dir, LOCK, holder, sizeof(holder) - 1, &len) != APR_SUCCESS) {
        len = 0;
    }
    holder[len] = '\0';
    holder[strspn(holder, "0123456789")] = '\0';
    folder->error = apr_psprintf(folder->pool,
                                 "store %s is used by another httpd%s%s%s; stop that one, or give "
                                 "each a store of its own",
                                 folder->settings.path, *holder ? " (process " : "", holder,
                                 *holder ? ")" : "");
    return APR_EAGAIN;
}

static apr_status_t take_lock(apipool_folder_t *folder, int lock)
{
    const char *holder = apr_psprintf(folder->pool, "%lu\n", (unsigned long)getpid());
    apr_time_t until = apr_time_now() + LOCK_WAIT;
    while (flock(lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return refuse(folder, apipool_disk_errno(), "locked");
        }
        if (apr_time_now() >= until) {
            return refuse_second(folder);
        }
        apr_sleep(LOCK_PAUSE);
    }
    apr_status_t rv = ftruncate(lock, 0) == 0 ? apipool_disk_put(lock, holder, strlen(holder))
                                              : apipool_disk_errno();
    return rv == APR_SUCCESS ? rv : refuse(folder, rv, "locked");
}

/* Returns 1 if the lock that this server has kept over a restart belongs to this folder. */
static int has_lock(const apipool_folder_t *folder)
{
    struct stat have, want;
    return *folder->settings.lock >= 0 && fstat(*folder->settings.lock, &have) == 0 &&
           fstatat(folder->dir, LOCK, &want, AT_SYMLINK_NOFOLLOW) == 0 &&
           have.st_dev == want.st_dev && have.st_ino == want.st_ino;
}

/* Replaces the lock of another folder that the server had before. */
static apr_status_t lock_folder(apipool_folder_t *folder)
{
    int lock;
    if (has_lock(folder)) {
        return APR_SUCCESS;
    }
    apr_status_t rv = apipool_disk_open(folder->dir, LOCK, O_RDWR | O_CREAT, &lock);
    if (rv == APR_EBADF) {
        folder->error = apr_psprintf(folder->pool,
                                     "%s/" LOCK " is not a file of the store's own; remove it, and "
                                     "see who has put it there",
                                     folder->settings.path);
    }
    else if (rv != APR_SUCCESS) {
        refuse(folder, rv, "locked");
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = take_lock(folder, lock);
    int obsolete = rv == APR_SUCCESS ? *folder->settings.lock : lock;
    if (obsolete >= 0) {
        close(obsolete);
    }
    if (rv == APR_SUCCESS) {
        *folder->settings.lock = lock;
    }
    return rv;
}

/* From here on a missing CURRENT is damage, and a database without a seal, if CURRENT names
 * none, was left by a killed first writer. */
static apr_status_t begin_folder(apipool_folder_t *folder)
{
    apipool_folder_contents_t contents;
    apipool_folder_look(folder, &contents, folder->pool);
    if (contents.had != APR_ENOENT || contents.listed != APR_SUCCESS || contents.files->nelts > 0) {
        return APR_SUCCESS;
    }
    apr_status_t rv = apipool_folder_swap(folder, &contents.current, "CURRENT", folder->pool);
    return rv == APR_SUCCESS ? rv : refuse(folder, rv, "written to");
}

/* Accesses the content of the folder with its owner's rights. */
static apr_status_t open_inside(apipool_folder_t *folder)
{
    apipool_rights_t rights;
    apr_status_t rv = apipool_rights_drop(&folder->settings.owner, &rights, folder->pool);
    if (rv != APR_SUCCESS) {
        return refuse(folder, rv, "opened with its owner's rights");
    }
    rv = lock_folder(folder);
    if (rv == APR_SUCCESS) {
        rv = begin_folder(folder);
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
    made->pool = own;
    apr_status_t rv = apipool_dbm_choose(settings->dbm, &made->settings.dbm, &made->error, own);
    if (rv == APR_SUCCESS) {
        rv = open_place(made);
    }
    if (rv == APR_SUCCESS && !settings->looks) {
        rv = open_inside(made);
    }
    if (rv == APR_SUCCESS) {
        *folder = made;
    }
    else {
        *error = apr_pstrdup(pool, made->error);
        apr_pool_destroy(own);
    }
    return rv;
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
    int has_begun =
        contents.had == APR_SUCCESS ||
        (folder->settings.looks && contents.had == APR_ENOENT && !contents.files->nelts);
    int is_new = has_begun && contents.listed == APR_SUCCESS;
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
    return folder->loaded[APIPOOL_STORE_KEYS] || folder->loaded[APIPOOL_STORE_STATS];
}
