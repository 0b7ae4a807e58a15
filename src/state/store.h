/* SPDX-License-Identifier: Apache-2.0
 * What is kept when httpd ends: keys as they were acknowledged, statistics as they were last saved. */
#ifndef APIPOOL_STATE_STORE_H
#define APIPOOL_STATE_STORE_H

#include <apr_global_mutex.h>

#include "client.h"
#include "disk.h"
#include "pool.h"

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
    const char *dbm;              /* a type, or NULL: gdbm where there is one, else sdbm */
    const char *secret_path;      /* NULL: "secret" in the folder */
    const unsigned char *in_use;  /* the secret of a segment that is adopted; NULL: there is none */
    apipool_owner_t owner;        /* who httpd's children run as */
    apr_interval_time_t interval; /* between saves of statistics */
    apr_uint32_t max_pending;     /* requests that are counted in the meantime */
    void (*report)(void *ctx, const char *sentence); /* of what was wrong and survived */
    void *ctx;
} apipool_store_settings_t;

/**
 * Opens the folder and reads the secret, or makes both: parent, before there are keys.
 * @param kept  what an earlier generation left; its folder is used, whatever the settings say, and so is the
 *              secret in use, whatever has become of its file
 * @param error result when it fails: a sentence for the operator
 * @param pool  as long as the store is used: that of the configuration
 */
apr_status_t apipool_store_open(apipool_store_t **store, const apipool_store_settings_t *settings,
                                apipool_store_kept_t *kept, const char **error, apr_pool_t *pool);

/** The secret that ids are derived from, for a segment that is going to be made. */
const unsigned char *apipool_store_secret(const apipool_store_t *store);

/* Keys that were read, for a segment that is going to be made. */
typedef struct apipool_stored_keys_t apipool_stored_keys_t;

/**
 * Reads the stored keys into private memory: parent, at its first start.
 * @param keys  result; apipool_store_fill wipes them
 * @param count result: slots that they need
 */
apr_status_t apipool_store_read_keys(apipool_store_t *store, apipool_stored_keys_t **keys,
                                     apr_uint32_t *count, const char **error, apr_pool_t *pool);

/** Names the segment that is saved from, and the lock of the one writer, which all processes share. */
void apipool_store_use(apipool_store_t *store, apipool_segment_t *segment,
                       apr_global_mutex_t *mutex);

/** Puts the keys that were read into the segment, and then their statistics: parent, at its first start. */
apr_status_t apipool_store_fill(apipool_store_t *store, apipool_stored_keys_t *keys,
                                const char **error, apr_pool_t *pool);

/**
 * Writes keys, or statistics, of the segment as it is: any process. Waits for other writers. Keys that
 * could not be saved before go with the statistics.
 * @param error result when it fails: a sentence; what was current stays so
 */
apr_status_t apipool_store_save_keys(apipool_store_t *store, const char **error, apr_pool_t *pool);
apr_status_t apipool_store_save_stats(apipool_store_t *store, const char **error, apr_pool_t *pool);

/** Whether keys have changed since they were last saved: those of key files, when that failed. Any process,
 *  no lock. */
int apipool_store_has_unsaved_keys(const apipool_store_t *store);

/** Whether statistics have waited for long enough, or enough of them; but saves for the number of them leave
 *  the machine to others most of the time. Any process, no lock. */
int apipool_store_is_due(const apipool_store_t *store, apr_time_t now);

/** Whether a failure to save is to be told: once a minute over all processes. */
int apipool_store_may_complain(apipool_store_t *store, apr_time_t now);

/**
 * Changes keys so that it lasts: apply() changes the segment, and if the result cannot be written, undo()
 * takes it back. One at a time over all processes, so that nothing half done is ever written.
 * @param apply returns whether there is anything to be written, in *changed
 * @return what apply() or the writing returned
 */
apr_status_t apipool_store_change(apipool_store_t *store,
                                  apr_status_t (*apply)(void *ctx, int *changed),
                                  void (*undo)(void *ctx), void *ctx, const char **error,
                                  apr_pool_t *pool);

/**
 * Change clients so that it lasts, as apipool_store_change does: one at a time over all processes, and in
 * memory only when it is on disk.
 * @return APR_EEXIST and APR_ENOSPC of one that is made, APR_NOTFOUND of one that is not there; *error is NULL
 *         then. What edit() returned, or the writing
 */
apr_status_t apipool_store_create_client(apipool_store_t *store,
                                         const apipool_client_image_t *image, const char **error,
                                         apr_pool_t *pool);
apr_status_t apipool_store_change_client(apipool_store_t *store, const char *server,
                                         const char *name,
                                         apr_status_t (*edit)(void *ctx,
                                                              apipool_client_terms_t *terms),
                                         void *ctx, const char **error, apr_pool_t *pool);
apr_status_t apipool_store_delete_client(apipool_store_t *store, const char *server,
                                         const char *name, const char **error, apr_pool_t *pool);

/* How saving goes, for metrics. */
typedef struct {
    apr_uint64_t saves, errors;
    double seconds;     /* that all saves took together */
    apr_time_t last_at; /* of statistics; 0: none yet */
} apipool_store_health_t;

void apipool_store_health(const apipool_segment_t *segment, apipool_store_health_t *health);

#endif
