/* SPDX-License-Identifier: Apache-2.0
 * The store's folder: generations of databases, of which the last whole one is always there. */
#ifndef APIPOOL_STORE_FOLDER_H
#define APIPOOL_STORE_FOLDER_H

#include "dbm.h"
#include "rights.h"
#include "seal.h"

/* What lies in the folder:
 *
 *   lock             locked by the httpd that uses the folder; its process id
 *   CURRENT          the current generation of each kind
 *   keys-000012-...  one generation: the files of a database, never changed once they are sealed; the rest of
 *                    their names cannot be guessed
 *   keys-000012.seal what they must be: names, lengths and SHA-256, authenticated
 *
 * A generation is written beside the current one, brought to disk, sealed, and made current by a rename. Of
 * each kind the one before stays. A database without a seal was never finished.
 *
 * One writer at a time: of all processes and threads, and of all kinds, for CURRENT names both. The callers
 * see to that.
 *
 * Root works here with the rights of whom the folder belongs to: functions that open and read see to that
 * themselves, those who write call apipool_rights_drop() first. What that user does to the folder meanwhile
 * harms nothing but the store. The databases are opened by path, as apr_dbm wants it; everything else is
 * reached through the open folder. */

typedef struct apipool_folder_t apipool_folder_t;
typedef struct apipool_generation_t apipool_generation_t;

typedef struct {
    const char *path;
    const char *dbm; /* a type that apr_dbm knows, or NULL: gdbm where there is one, else db */
    apipool_owner_t owner; /* who httpd's children run as: the folder is theirs */
    /* APIPOOL_MAC_KEY_SIZE bytes that the caller keeps as long as the folder; they may be filled in after
     * the folder is open, since the secret may lie there, but before anything is read or written */
    const unsigned char *mac_key;
    const char *mark; /* a file that must go when one begins anew, for sentences; NULL: none */
    /* A place for the lock that outlives the module's code, -1 at first: a restart loads that anew, while
     * children that finish their requests still have the old lock, and so the server takes over its own.
     * Whoever has the place closes it */
    int *lock;
    void (*report)(void *ctx, const char *sentence); /* of what was wrong and survived */
    void *ctx;                                       /* of report */
} apipool_folder_settings_t;

/**
 * Opens the folder for this process and the children that it forks; makes it, with mode 0700, and those
 * that it lies in, with mode 0755, when they are missing: root only where nobody else can write. Another
 * httpd that has it open is waited for, up to 3 seconds, since the children of one that was just killed may
 * still be dying. The lock goes with the last process that has it, not before. A server that is restarted
 * opens it again, with the lock that it has.
 * @param settings copied, but not what it points to
 * @param error    result when it fails: a sentence for the operator, with what to do
 * @param pool     as long as the folder is used; no longer than the module's code
 * @return APR_SUCCESS; APR_EACCES for a wrong owner or mode; APR_ENOTDIR; EPERM where root makes none;
 *         APR_EBADF for a lock that is no file; APR_EAGAIN when another httpd has it; APR_ENOTIMPL or what
 *         apr_dbm says for a type that is not there; an error of libc
 */
apr_status_t apipool_folder_open(apipool_folder_t **folder,
                                 const apipool_folder_settings_t *settings, const char **error,
                                 apr_pool_t *pool);

/** Whether nothing was ever saved in the folder, so that a missing secret may be made. */
int apipool_folder_is_new(const apipool_folder_t *folder, apr_pool_t *pool);

/**
 * Reads the secret that earlier versions kept in the folder.
 * @param other_than a path; the file that is there does not count
 * @return APR_SUCCESS; APR_ENOENT; APR_EBADF when it is no file; APR_EINVAL for a wrong size
 */
apr_status_t apipool_folder_secret(const apipool_folder_t *folder, const char *other_than,
                                   unsigned char secret[APIPOOL_MAC_KEY_SIZE]);

/** Removes that secret. */
apr_status_t apipool_folder_remove_secret(const apipool_folder_t *folder, apr_pool_t *pool);

/** Reads what is sealed with another key as well: before apipool_folder_load(). The key is kept by the
 *  caller. */
void apipool_folder_use_other(apipool_folder_t *folder, const unsigned char *mac_key);

/** Whether apipool_folder_load() has found anything. */
int apipool_folder_has_loaded(const apipool_folder_t *folder);

/**
 * Reads the current generation of a kind. When that is not whole, or CURRENT is not, says what is wrong by
 * report() and reads the newest whole one before it. One that is newer than CURRENT says was never
 * acknowledged, and is read only when no other is whole. Before the children are forked, so that they know
 * which generation is to be kept when they write.
 * @param each    called for each record, of a whole generation only
 * @param loaded  result, number of the generation; 0: nothing of this kind was ever saved
 * @param error   result when it fails: a sentence for the operator; NULL when `each` ended it
 * @param pool    for scratch memory and the sentence
 * @return APR_SUCCESS; what `each` returned; APR_EGENERAL when something is there, but none is whole; else
 *         why it could not be looked at. Unless it is APR_SUCCESS, records were read in part or not at all
 */
apr_status_t apipool_folder_load(apipool_folder_t *folder, apipool_store_kind_e kind,
                                 apipool_dbm_each_fn each, void *ctx, apr_uint64_t *loaded,
                                 const char **error, apr_pool_t *pool);

/**
 * Begins the next generation of a kind. Only the one writer may call this and what follows.
 * @param error result when it fails: a sentence
 * @param pool  when it goes in the process that began, what is not committed is aborted
 */
apr_status_t apipool_folder_begin(apipool_folder_t *folder, apipool_store_kind_e kind,
                                  apipool_generation_t **generation, const char **error,
                                  apr_pool_t *pool);

/**
 * Adds a record: limits as in dbm.h, no key twice. After a failure the commit fails, too, with the same
 * status and a sentence, so that callers may leave this one unlooked at.
 */
apr_status_t apipool_generation_put(apipool_generation_t *generation, const char *key,
                                    apr_size_t key_len, const char *value, apr_size_t len);

/**
 * Makes the generation the current one. When this returns APR_SUCCESS it is on disk and is what will be
 * loaded; otherwise the one that was current still is, and this one is gone. Either way it has ended.
 * @param error result when it fails: a sentence
 */
apr_status_t apipool_generation_commit(apipool_generation_t *generation, const char **error);

/** Its number; it is what apipool_folder_load() tells. */
apr_uint64_t apipool_generation_number(const apipool_generation_t *generation);

/** Ends and removes a generation. Nothing happens after apipool_generation_commit(). */
void apipool_generation_abort(apipool_generation_t *generation);

#endif
