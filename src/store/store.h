/* SPDX-License-Identifier: Apache-2.0
 * What is kept when httpd ends: keys as they were acknowledged, statistics as they were last saved. */
#ifndef APIPOOL_STORE_STORE_H
#define APIPOOL_STORE_STORE_H

#include <apr_global_mutex.h>

#include "client.h"
#include "keys.h"
#include "rights.h"
#include "sessions.h"

/* Two databases in one folder. Keys are written whole whenever one is added, changed or removed, and the
 * change counts only when that is on disk. Statistics are written from time to time, when httpd stops, and
 * when it restarts. Neither holds the segment's lock while it writes.
 *
 * The parent opens the store once per generation of the configuration, before it forks; what lives longer
 * than that, apipool_store_kept_t, it keeps for the next one. */

#define APIPOOL_STORE_PATH_MAX 1024 /* bytes with NUL */

typedef struct apipool_store_t apipool_store_t;

/* What outlives a generation of the configuration; zeroed, but for lock, before the first one. */
typedef struct {
    int lock;                          /* the folder's, an open file; -1 at first */
    char path[APIPOOL_STORE_PATH_MAX]; /* where it is */
} apipool_store_kept_t;

typedef struct {
    const char *path;
    const char *dbm;              /* a type, or NULL: gdbm where there is one, else db */
    const char *secret_path;      /* see secret.h */
    const unsigned char *in_use;  /* the secret of a segment that is adopted; NULL: there is none */
    apipool_owner_t owner;        /* who httpd's children run as */
    apr_interval_time_t interval; /* between saves of statistics */
    apr_uint32_t max_pending;     /* requests that are counted in the meantime */
    void (*report)(void *ctx, const char *sentence); /* of what was wrong and survived */
    void *ctx;
} apipool_store_settings_t;

/**
 * Opens the folder and reads the secret, or makes both: parent, before there are keys.
 * @param kept  what an earlier generation left; its folder is used, whatever the settings say,
 *              and so is the secret in use, whatever has become of its file
 * @param error result when it fails: a sentence for the operator
 * @param pool  as long as the store is used: that of the configuration
 */
apr_status_t apipool_store_open(apipool_store_t **store, const apipool_store_settings_t *settings,
                                apipool_store_kept_t *kept, const char **error, apr_pool_t *pool);

/* Keys that were read, for a segment that is going to be made. */
typedef struct apipool_stored_keys_t apipool_stored_keys_t;

/**
 * Reads the stored keys into private memory: parent, at its first start.
 * @param keys  result; apipool_store_fill wipes them
 * @param count result: slots that they need
 */
apr_status_t apipool_store_read_keys(apipool_store_t *store, apipool_stored_keys_t **keys,
                                     apr_uint32_t *count, const char **error, apr_pool_t *pool);

/** How many clients there are among them: places that they need. */
apr_uint32_t apipool_store_clients_read(const apipool_stored_keys_t *keys);

/** Names the segment that is saved from, and the lock of the one writer, which all processes
 *  share. */
void apipool_store_use(apipool_store_t *store, apipool_segment_t *segment,
                       apr_global_mutex_t *mutex);

/** Puts the keys and clients that were read into the segment, and then their statistics: parent,
 *  at its first start. */
apr_status_t apipool_store_fill(apipool_store_t *store, apipool_stored_keys_t *keys,
                                const char **error, apr_pool_t *pool);

/**
 * Ends a start or a restart, when the key files have been imported: parent. A secret that lies
 * in the store is moved to where it belongs; one that lies beside the secret to replace it,
 * replaces it; keys that are new are saved; and the store is marked as one that has data. What
 * fails of this but the saving is reported.
 * @param error result when keys cannot be saved: a sentence
 */
apr_status_t apipool_store_settle(apipool_store_t *store, const char **error, apr_pool_t *pool);

/**
 * Writes keys, or statistics, of the segment as it is: any process. Waits for other writers.
 * Keys that could not be saved before go with the statistics.
 * @param error result when it fails: a sentence; what was current stays so
 */
apr_status_t apipool_store_save_keys(apipool_store_t *store, const char **error, apr_pool_t *pool);
apr_status_t apipool_store_save_stats(apipool_store_t *store, const char **error, apr_pool_t *pool);

/** Whether keys have changed since they were last saved: those of key files, when that failed.
 *  Any process, no lock. */
int apipool_store_has_unsaved_keys(const apipool_store_t *store);

/** Whether statistics have waited for long enough, or enough of them, or something was lost that
 *  is stored; but saves for the number of them leave the machine to others most of the time. Any
 *  process, no lock. */
int apipool_store_is_due(const apipool_store_t *store, apr_time_t now);

/** Whether a failure to save is to be told: once a minute over all processes. */
int apipool_store_may_complain(apipool_store_t *store, apr_time_t now);

/* A key as it is written down. What it points to lives as long as the call that gets it. */
typedef struct {
    apr_uint32_t pool, upstream; /* indices */
    apr_uint64_t id;
    const char *key; /* len bytes; nobody changes them */
    apr_size_t len;
    const char *label;         /* "": none */
    const char *account;       /* "": none, or only its hash is known */
    apr_uint64_t account_hash; /* 0: none */
    apr_uint32_t weight;
    int enabled;
    apipool_key_limits_t limits;
    apr_time_t added_at;
} apipool_key_image_t;

/** Changes an image as apipool_pool_edit() would change the key. Its texts are the patch's then. */
void apipool_key_patch_image(const apipool_key_patch_t *patch, apipool_key_image_t *image);

/* A change of what is kept: written down as part of the next generation, and made in memory when
 * that is on disk. What is NULL is left out. */
typedef struct {
    /** Looks at what there is, which nobody else changes until the change is over.
     *  @param changes set to 0 where nothing is to be done
     *  @param error   a sentence, where the change is refused */
    apr_status_t (*prepare)(void *ctx, int *changes, const char **error);
    /** Changes what is written of a key that is there. Returns 0 if the key goes. */
    int (*key)(void *ctx, apipool_key_image_t *image);
    /** Gives the next key that is new; 0 when there is none left. */
    int (*new_key)(void *ctx, apipool_key_image_t *image);
    /** Makes the change in memory. */
    apr_status_t (*apply)(void *ctx);
    void *ctx;
    const apipool_client_image_t
        *client; /* one that is made or edited, as prepare() leaves it, or goes */
    int client_goes;
    const apipool_revoked_t *session; /* one that is ended by it */
} apipool_store_change_t;

/**
 * Makes a change so that it lasts: any process. One at a time over all processes. If the one
 * that makes it is killed in between, the next one to write makes memory what is on disk, so
 * that no half of it is ever seen.
 * @param error result when it fails: a sentence; nothing has changed then
 * @return what prepare() or the writing returned
 */
apr_status_t apipool_store_change(apipool_store_t *store, const apipool_store_change_t *change,
                                  const char **error, apr_pool_t *pool);

/** Keeps all writers out, while keys are added that are saved afterwards: parent, for key files.
 *  What a change that was cut off has left is put right first. */
apr_status_t apipool_store_hold(apipool_store_t *store, const char **error, apr_pool_t *pool);
void apipool_store_release(apipool_store_t *store);

/* A change of one client. */
typedef struct {
    apipool_segment_t *segment;
    enum { APIPOOL_CLIENT_CREATE, APIPOOL_CLIENT_EDIT, APIPOOL_CLIENT_DELETE } what;
    apipool_client_image_t image; /* its server and name; of one that is made, all of it */
    /** Of an edit: what its terms become. What it returns is returned. */
    apr_status_t (*edit)(void *ctx, apipool_client_terms_t *terms);
    void *ctx;
    apr_uint32_t share; /* how many its server may have; 0: as many as there is room for */
    int is_over_share;  /* result: that is why there is no room */
} apipool_client_change_t;

/**
 * That change as apipool_store_change takes it, which returns then, with no sentence, APR_EEXIST or
 * APR_ENOMEM of a client that is made, and APR_NOTFOUND of one that is not there.
 * @param change lives as long as that runs
 */
apipool_store_change_t apipool_store_client_change(apipool_client_change_t *change);

/** How many writes have failed so far. No lock. */
apr_uint64_t apipool_store_failures(const apipool_store_t *store);

#endif
