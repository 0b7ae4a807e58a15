/* SPDX-License-Identifier: Apache-2.0
 * Persistence: acknowledged keys, and statistics as of the last save. */
#ifndef APIPOOL_STORE_STORE_H
#define APIPOOL_STORE_STORE_H

#include <apr_global_mutex.h>

#include "client.h"
#include "keys.h"
#include "rights.h"
#include "sessions.h"

/* Two databases in one folder. Keys are written completely whenever one is added, changed or
 * removed, and the change takes effect when it is on disk. Statistics are written from time to
 * time, at stop and at restart. Neither holds the segment's lock while writing.
 *
 * The parent opens the store once per generation of the configuration, before it forks. It keeps
 * apipool_store_kept_t for the next generation. */

#define APIPOOL_STORE_PATH_MAX 1024 /* bytes with NUL */

typedef struct apipool_store_t apipool_store_t;

/* State that outlives a generation of the configuration; zeroed at first, except for lock. */
typedef struct {
    int lock;                          /* of the folder, an open file; -1 at first */
    char path[APIPOOL_STORE_PATH_MAX]; /* of the folder */
} apipool_store_kept_t;

typedef struct {
    const char *path;
    const char *dbm;              /* type, or NULL: gdbm if available, else db */
    const char *secret_path;      /* see secret.h */
    const unsigned char *in_use;  /* secret of an adopted segment; NULL: none */
    int looks;                    /* apipool_store_look(): nothing is created or locked */
    apipool_owner_t owner;        /* user of httpd's children */
    apr_interval_time_t interval; /* between saves of statistics */
    apr_uint32_t max_pending;     /* requests counted before statistics are saved early */
    void (*report)(void *ctx, const char *sentence); /* problem that was survived */
    void *ctx;
} apipool_store_settings_t;

/**
 * Opens the folder and reads the secret, or creates both: parent, before there are keys.
 * @param kept  state of an earlier generation; its folder and the secret in use are kept,
 *              whatever the settings say or has happened to the file
 * @param error result on failure: a sentence for the operator
 * @param pool  life time of the store: the configuration's
 */
apr_status_t apipool_store_open(apipool_store_t **store, const apipool_store_settings_t *settings,
                                apipool_store_kept_t *kept, const char **error, apr_pool_t *pool);

/**
 * Reads the secret and the store as a start would, and changes nothing: for httpd -t. Another httpd
 * may use the store meanwhile, so that a second look may find what the first one missed.
 * @param error result on failure: a sentence for the operator
 */
apr_status_t apipool_store_look(const apipool_store_settings_t *settings, const char **error,
                                apr_pool_t *pool);

/* Keys read for a segment that will be created. */
typedef struct apipool_stored_keys_t apipool_stored_keys_t;

/**
 * Reads the stored keys into private memory: parent, at its first start.
 * @param keys  result; wiped with the pool
 * @param count result: slots that they need
 */
apr_status_t apipool_store_read_keys(apipool_store_t *store, apipool_stored_keys_t **keys,
                                     apr_uint32_t *count, const char **error, apr_pool_t *pool);

/** Number of clients read, for the places that they need. */
apr_uint32_t apipool_store_clients_read(const apipool_stored_keys_t *keys);

/** Sets the segment to save, and the lock of the single writer, which all processes share. */
void apipool_store_use(apipool_store_t *store, apipool_segment_t *segment,
                       apr_global_mutex_t *mutex);

/** Puts the keys and clients that were read, and then their statistics, into the segment:
 *  parent, at its first start. */
apr_status_t apipool_store_fill(apipool_store_t *store, apipool_stored_keys_t *keys,
                                const char **error, apr_pool_t *pool);

/**
 * Completes a start or restart, when the key files have been imported: parent. Moves a secret
 * out of the store, replaces the secret if a new one lies beside it, saves new keys, and marks
 * the store as having data. Failures are reported, except a failure to save.
 * @param error result when keys cannot be saved: a sentence
 */
apr_status_t apipool_store_settle(apipool_store_t *store, const char **error, apr_pool_t *pool);

/**
 * Save keys, or statistics, from the segment: any process. Waits for other writers. Saving
 * statistics also saves keys that could not be saved before.
 * @param error result on failure: a sentence; the current generation stays
 */
apr_status_t apipool_store_save_keys(apipool_store_t *store, const char **error, apr_pool_t *pool);
apr_status_t apipool_store_save_stats(apipool_store_t *store, const char **error, apr_pool_t *pool);

/** Returns 1 if keys have changed since the last save: those of key files, when that failed. Any
 *  process, no lock. */
int apipool_store_has_unsaved_keys(const apipool_store_t *store);

/** Returns 1 if statistics are due by time or number of requests, or if something stored was
 *  lost. Saves by number leave the machine to others most of the time. Any process, no lock. */
int apipool_store_is_due(const apipool_store_t *store, apr_time_t now);

/** Returns 1 if a failure to save should be logged: once a minute over all processes. */
int apipool_store_may_complain(apipool_store_t *store, apr_time_t now);

/* Key as it is stored. Its pointers are only valid during the call that receives it. */
typedef struct {
    apr_uint32_t pool, upstream; /* indices */
    apr_uint64_t id;
    const char *key; /* len bytes, constant */
    apr_size_t len;
    const char *label;         /* "": none */
    const char *account;       /* "": none, or only the hash is known */
    apr_uint64_t account_hash; /* 0: none */
    apr_uint32_t weight;
    int enabled;
    apipool_key_limits_t limits;
    apr_time_t added_at;
    int stays_deleted; /* when it is removed: key files must not bring it back */
} apipool_key_image_t;

/** Image of a new key, with the item's texts. Its pool, upstream, id and time are the caller's. */
apipool_key_image_t apipool_key_item_image(const apipool_key_item_t *item);

/** Changes an image like apipool_pool_edit() changes the key. The image then points to the
 *  patch's texts. */
void apipool_key_patch_image(const apipool_key_patch_t *patch, apipool_key_image_t *image);

/* Change of a pool's maintenance. */
typedef struct {
    apr_uint32_t pool;
    apipool_maintenance_t to;
} apipool_maintenance_change_t;

/* Durable change: written as part of the next generation, and made in memory once that is on
 * disk. Functions may be NULL. */
typedef struct {
    /**
     * Checks the present state, which only this change can modify until it is over.
     * @param changes set to 0 if there is nothing to do
     * @param error   a sentence, if the change is refused
     */
    apr_status_t (*prepare)(void *ctx, int *changes, const char **error);
    /** Changes the stored form of an existing key. Returns 0 to remove the key. */
    int (*key)(void *ctx, apipool_key_image_t *image);
    /** Returns the next new key; 0 at the end. */
    int (*new_key)(void *ctx, apipool_key_image_t *image);
    /** Makes the change in memory. */
    apr_status_t (*apply)(void *ctx);
    void *ctx;
    /** Returns the next new client; NULL at the end. */
    const apipool_client_image_t *(*new_client)(void *ctx);
    const apipool_client_image_t *client; /* created, edited by prepare(), or removed */
    int client_goes;
    /** Changes the server and name of any existing client. */
    void (*each_client)(void *ctx, apipool_client_image_t *image);
    const apipool_revoked_t *session; /* session that is ended */
    const apipool_maintenance_change_t *maintenance;
} apipool_store_change_t;

/**
 * Makes a durable change: any process, one at a time over all processes. If the process is
 * killed in between, the next writer restores memory from disk, so that no partial change is
 * ever visible.
 * @param error result on failure: a sentence; nothing has changed then
 * @return result of prepare() or of the write
 */
apr_status_t apipool_store_change(apipool_store_t *store, const apipool_store_change_t *change,
                                  const char **error, apr_pool_t *pool);

/** Keep out all writers while keys of key files are added, which are saved afterwards: parent.
 *  Completes an interrupted change first. */
apr_status_t apipool_store_hold(apipool_store_t *store, const char **error, apr_pool_t *pool);
void apipool_store_release(apipool_store_t *store);

/* Change of one client. */
typedef struct {
    apipool_segment_t *segment;
    enum {
        APIPOOL_CLIENT_CREATE,
        APIPOOL_CLIENT_EDIT,
        APIPOOL_CLIENT_DELETE,
        APIPOOL_CLIENT_ROTATE, /* the key before the present one ends at once */
        APIPOOL_CLIENT_END_OLD_KEY
    } what;
    apipool_client_image_t image; /* server and name; for a new client, everything; for a rotation,
                                   * also the new key; for both of the last, when the old one ends */
    /** for an edit: changes the terms; its result is returned */
    apr_status_t (*edit)(void *ctx, apipool_client_terms_t *terms);
    void *ctx;
    apr_uint32_t share; /* maximum of clients of its server; 0: no maximum */
    int is_over_share;  /* result: APR_ENOMEM is because of share */
} apipool_client_change_t;

/**
 * Makes a change for apipool_store_change(), which then returns, without a sentence, APR_EEXIST
 * or APR_ENOMEM for a new client and APR_NOTFOUND for an unknown one.
 * @param change lives until that returns
 */
apipool_store_change_t apipool_store_client_change(apipool_client_change_t *change);

/** Number of failed writes so far. No lock. */
apr_uint64_t apipool_store_failures(const apipool_store_t *store);

#endif
