/* SPDX-License-Identifier: Apache-2.0
 * Folder of the store: generations of databases, of which the last intact one always exists. */
#ifndef APIPOOL_STORE_FOLDER_H
#define APIPOOL_STORE_FOLDER_H

#include "dbm.h"
#include "rights.h"
#include "seal.h"

/* Content of the folder:
 *
 *   lock             locked by the httpd that uses the folder; holds its process id
 *   CURRENT          current generation of each kind
 *   keys-000012-...  database files of a generation, never changed once sealed; the rest of their
 *                    names cannot be guessed
 *   keys-000012.seal their names, sizes and SHA-256, authenticated
 *
 * A generation is written beside the current one, synced, sealed, and made current by a rename.
 * The previous generation of each kind stays. A database without a seal was never finished.
 *
 * The callers ensure that there is a single writer over all processes, threads and kinds, as
 * CURRENT names both kinds.
 *
 * Root works here with the rights of the folder's owner: functions that open and read do so
 * themselves, writers call apipool_rights_drop() first. Whatever that user does to the folder
 * harms only the store. apr_dbm opens databases by path; everything else is accessed through the
 * open folder. */

typedef struct apipool_folder_t apipool_folder_t;
typedef struct apipool_generation_t apipool_generation_t;

typedef struct {
    const char *path;
    const char *dbm;       /* type as apr_dbm names it, or NULL: gdbm if available, else db */
    apipool_owner_t owner; /* user of httpd's children, who owns the folder */
    /* APIPOOL_MAC_KEY_SIZE bytes that live as long as the folder; the caller may fill them in
     * after opening, since the secret may lie in the folder, but before the first read or write */
    const unsigned char *mac_key;
    const char *mark; /* file to remove for a fresh start, for messages; NULL: none */
    int looks;        /* only reads: creates and locks nothing, and APR_ENOENT has no sentence */
    /* Lock that outlives the module's code, -1 at first: a restart loads the module again while
     * children that finish their requests still hold the lock, so the server takes over its own
     * lock. The owner closes it */
    int *lock;
    void (*report)(void *ctx, const char *sentence); /* problem that was survived */
    void *ctx;                                       /* for report */
} apipool_folder_settings_t;

/**
 * Opens the folder for this process and its children. Creates it with mode 0700, and missing
 * parents with mode 0755; root only where nobody else can write. Waits up to 3 seconds for
 * another httpd that has it open, since children of a killed httpd may still be ending. The lock
 * is held until the last process with it ends. A restarted server opens the folder again with
 * the lock that it has.
 * @param settings copied, but not what it points to
 * @param error    result on failure: a sentence for the operator with a remedy
 * @param pool     life time of the folder; at most that of the module's code
 * @return APR_SUCCESS; APR_EACCES for a wrong owner or mode; APR_ENOTDIR; EPERM if root may not
 *         create it; APR_EBADF if the lock is not a file; APR_EAGAIN if another httpd has it;
 *         APR_ENOTIMPL or an error of apr_dbm for an unavailable type; an error of libc
 */
apr_status_t apipool_folder_open(apipool_folder_t **folder,
                                 const apipool_folder_settings_t *settings, const char **error,
                                 apr_pool_t *pool);

/** Returns 1 if nothing was ever saved in the folder, so that a missing secret may be created. */
int apipool_folder_is_new(const apipool_folder_t *folder, apr_pool_t *pool);

/**
 * Reads the secret that earlier versions kept in the folder.
 * @param other_than path of a file that is ignored
 * @return APR_SUCCESS; APR_ENOENT; APR_EBADF if it is not a file; APR_EINVAL for a wrong size
 */
apr_status_t apipool_folder_secret(const apipool_folder_t *folder, const char *other_than,
                                   unsigned char secret[APIPOOL_MAC_KEY_SIZE]);

/** Removes that secret. */
apr_status_t apipool_folder_remove_secret(const apipool_folder_t *folder, apr_pool_t *pool);

/** Also accepts seals made with another key; call it before apipool_folder_load(). The caller
 *  keeps the key. */
void apipool_folder_use_other(apipool_folder_t *folder, const unsigned char *mac_key);

/** Returns 1 if apipool_folder_load() has found anything. */
int apipool_folder_has_loaded(const apipool_folder_t *folder);

/**
 * Reads the current generation of a kind. If it or CURRENT is damaged, reports that and reads
 * the newest intact generation before it. A generation newer than CURRENT was never
 * acknowledged, and is only read if no other is intact. Call it before children are forked, so
 * that they know which generation to keep when they write.
 * @param each   called for each record of an intact generation
 * @param loaded result: number of the generation; 0: nothing of this kind was ever saved
 * @param error  result on failure: a sentence for the operator; NULL when `each` stopped it
 * @param pool   for scratch memory and the sentence
 * @return APR_SUCCESS; the result of `each`; APR_EGENERAL if no generation is intact; an error
 *         of libc. Unless it is APR_SUCCESS, some or no records were read
 */
apr_status_t apipool_folder_load(apipool_folder_t *folder, apipool_store_kind_e kind,
                                 apipool_dbm_each_fn each, void *ctx, apr_uint64_t *loaded,
                                 const char **error, apr_pool_t *pool);

/**
 * Begins the next generation of a kind. Only the single writer may call this and the functions
 * below.
 * @param error result on failure: a sentence
 * @param pool  its cleanup aborts an uncommitted generation in the process that began it
 */
apr_status_t apipool_folder_begin(apipool_folder_t *folder, apipool_store_kind_e kind,
                                  apipool_generation_t **generation, const char **error,
                                  apr_pool_t *pool);

/** Adds a record: limits as in dbm.h, unique keys. After a failure the commit fails with the
 *  same status and a sentence, so callers may ignore this result. */
apr_status_t apipool_generation_put(apipool_generation_t *generation, const char *key,
                                    apr_size_t key_len, const char *value, apr_size_t len);

/**
 * Makes the generation current and ends it. On APR_SUCCESS it is on disk and will be loaded;
 * otherwise the previous one stays current and this one is removed.
 * @param error result on failure: a sentence
 */
apr_status_t apipool_generation_commit(apipool_generation_t *generation, const char **error);

/** Number of the generation, as apipool_folder_load() returns it. */
apr_uint64_t apipool_generation_number(const apipool_generation_t *generation);

/** Ends and removes a generation. Does nothing after apipool_generation_commit(). */
void apipool_generation_abort(apipool_generation_t *generation);

#endif
