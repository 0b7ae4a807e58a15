/* SPDX-License-Identifier: Apache-2.0
 * Life cycle of the segment, its locks and the store: created at the first start, adopted by
 * restarts. */
#include "lifecycle.h"

#include <apr_strings.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <unistd.h>
#include <unixd.h>
#include <util_mutex.h>

#include "clock_step.h"
#include "module.h"
#include "rebuild.h"
#include "throttle.h"

#define RETAINED_KEY "mod_apipool"

/* Lives as long as the parent process, across restarts. Nothing in it may point to the module's
 * code. */
typedef struct {
    apr_shm_t *shm;
    apr_global_mutex_t *mutex, *store_mutex;
    apr_uint32_t capacity, recent, clients;
    int filled; /* from the store */
    apipool_store_kept_t kept;
} retained_t;

static apipool_segment_t *segment; /* of this generation */
static apipool_store_t *store;
static apr_global_mutex_t *store_mutex;
static pid_t parent;
static const char *fault; /* why there are pools, but no store; NULL: it is not so */
static int is_out;        /* memory has no keys of these pools either */

static void report(void *server, const char *sentence)
{
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, (server_rec *)server, APIPOOL_LOG(0052) "%s",
                 sentence);
}

/* A store that cannot be used keeps no other site of this server down. Only its pools are out, and
 * not even these if memory has their keys from before a restart. A pool that is out lets go of the
 * store's name, so that a corrected APIPoolStore counts at the next restart. */
static void go_without(retained_t *retained, apr_status_t rv, const char *error, apr_pool_t *pconf,
                       server_rec *s)
{
    is_out = !retained->filled;
    fault = apr_pstrcat(
        pconf,
        is_out ? "until this is put right and httpd is restarted, the pools answer 503 and nothing "
                 "in the store changes: "
               : "until this is put right and httpd is restarted, the pools serve from memory, "
                 "nothing is saved and nothing can be changed; do not stop httpd before that: ",
        error ? error : "the store cannot be opened", NULL);
    *retained->kept.path = is_out ? '\0' : *retained->kept.path;
    store = NULL;
    ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s, APIPOOL_LOG(0053) "%s", fault);
}

static apr_status_t open_store(retained_t *retained, const char **error, apr_pool_t *pconf,
                               server_rec *s)
{
    apipool_store_settings_t settings;
    apipool_config_store(s, &settings);
    settings.report = report;
    settings.ctx = s;
    settings.in_use = retained->filled ? apipool_segment_store(segment)->sealed_with : NULL;
    if (*retained->kept.path && strcmp(retained->kept.path, settings.path)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     APIPOOL_LOG(0054) "APIPoolStore %s takes effect after a full stop; until "
                                       "then it stays %s",
                     settings.path, retained->kept.path);
    }
    return apipool_store_open(&store, &settings, &retained->kept, error, pconf);
}

static apr_status_t make_locks(retained_t *retained, server_rec *s)
{
    apr_pool_t *p = s->process->pool;
    apr_status_t rv = ap_global_mutex_create(&retained->mutex, NULL, APIPOOL_MUTEX, NULL, s, p, 0);
    return rv == APR_SUCCESS ? ap_global_mutex_create(&retained->store_mutex, NULL, APIPOOL_MUTEX,
                                                      "store", s, p, 0)
                             : rv;
}

/* Stored keys and clients always fit. */
static apr_uint32_t at_least(server_rec *s, const char *directive, apr_uint32_t configured,
                             apr_uint32_t stored, const char *things)
{
    if (configured >= stored) {
        return configured;
    }
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                 APIPOOL_LOG(0055) "%s %u is less than the %u %s that are stored; it is %u now",
                 directive, configured, stored, things, stored);
    return stored;
}

static apr_status_t make_segment(retained_t *retained, apr_pool_t *pconf, server_rec *s,
                                 apr_uint32_t stored, apr_uint32_t stored_clients)
{
    unsigned char secret[APIPOOL_SECRET_SIZE]; /* until the store's is known */
    const apipool_server_conf_t *conf = apipool_config_server(s);
    retained->capacity = at_least(s, "APIPoolCapacity", conf->capacity, stored, "keys");
    retained->recent = conf->recent;
    retained->clients =
        at_least(s, "APIPoolClientCapacity", conf->client_capacity, stored_clients, "clients");
    if (RAND_bytes(secret, sizeof(secret)) != 1) {
        return APR_EGENERAL;
    }
    apr_status_t rv = apipool_segment_create(&retained->shm, retained->capacity, retained->recent,
                                             retained->clients, secret, s->process->pool);
    OPENSSL_cleanse(secret, sizeof(secret));
    return rv == APR_SUCCESS ? apipool_segment_view(&segment, retained->shm, retained->mutex,
                                                    apipool_rebuild_locked, pconf)
                             : rv;
}

static void warn_of_sizes(const retained_t *retained, server_rec *s)
{
    const apipool_server_conf_t *conf = apipool_config_server(s);
    if (retained->capacity != conf->capacity) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     APIPOOL_LOG(0040) "APIPoolCapacity %u takes effect after a full stop; "
                                       "until then it stays %u",
                     conf->capacity, retained->capacity);
    }
    if (retained->recent != conf->recent) {
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, s,
            APIPOOL_LOG(0046) "APIPoolRecent %u takes effect after a full stop; until then it "
                              "stays %u",
            conf->recent, retained->recent);
    }
    if (retained->clients != conf->client_capacity) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     APIPOOL_LOG(0091) "APIPoolClientCapacity %u takes effect after a full "
                                       "stop; until then it stays %u",
                     conf->client_capacity, retained->clients);
    }
}

/* A graceful restart with another build may find a layout that it cannot read. The old children
 * keep that memory; the store has what they have saved. */
static apr_status_t adopt_segment(retained_t *retained, apr_pool_t *pconf, server_rec *s)
{
    warn_of_sizes(retained, s);
    apr_status_t rv = apipool_segment_view(&segment, retained->shm, retained->mutex,
                                           apipool_rebuild_locked, pconf);
    if (rv == APR_EINVAL) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     APIPOOL_LOG(0044) "the shared memory was made by another build and cannot "
                                       "be adopted; the pools start from what was saved");
        retained->shm = NULL;
        retained->filled = 0;
        rv = APR_SUCCESS;
    }
    return rv;
}

/* For a new segment, or one that had no pools so far. One that is filled in part is of no use. */
static apr_status_t fill_segment(retained_t *retained, const char **error, apr_pool_t *pconf,
                                 server_rec *s)
{
    apipool_stored_keys_t *keys;
    apr_uint32_t stored, clients = 0;
    apr_pool_t *scratch;
    apr_pool_create(&scratch, pconf);
    apr_status_t rv = apipool_store_read_keys(store, &keys, &stored, error, scratch);
    if (rv == APR_SUCCESS) {
        clients = apipool_store_clients_read(keys);
    }
    if (rv == APR_SUCCESS &&
        (!retained->shm || retained->capacity < stored || retained->clients < clients)) {
        rv = make_segment(retained, pconf, s, stored, clients);
    }
    if (rv == APR_SUCCESS) {
        apipool_store_use(store, segment, retained->store_mutex);
        rv = apipool_store_fill(store, keys, error, scratch);
        if (rv != APR_SUCCESS) {
            apr_shm_destroy(retained->shm);
            retained->shm = NULL;
        }
    }
    retained->filled = rv == APR_SUCCESS;
    *error = *error ? apr_pstrdup(pconf, *error) : NULL;
    apr_pool_destroy(scratch);
    return rv;
}

/* Runs in the parent when all children have ended, or go on with the old generation. */
static apr_status_t save_at_end(void *server)
{
    if (store && getpid() == parent) {
        apr_pool_t *scratch;
        apr_pool_create(&scratch, NULL);
        apipool_lifecycle_save(server, scratch);
        apr_pool_destroy(scratch);
    }
    store = NULL;
    segment = NULL;
    return APR_SUCCESS;
}

static void open_and_fill(retained_t *retained, apr_pool_t *pconf, server_rec *s)
{
    const char *error = NULL;
    apr_status_t rv = open_store(retained, &error, pconf, s);
    if (rv == APR_SUCCESS && !retained->filled) {
        rv = fill_segment(retained, &error, pconf, s);
    }
    if (rv != APR_SUCCESS) {
        go_without(retained, rv, error, pconf, s);
    }
}

static apr_status_t open_segment(retained_t *retained, apr_pool_t *pconf, server_rec *s)
{
    apr_status_t rv = retained->shm ? adopt_segment(retained, pconf, s) : APR_SUCCESS;
    if (rv == APR_SUCCESS && !retained->mutex) {
        rv = make_locks(retained, s);
    }
    if (rv == APR_SUCCESS && apipool_config_all_pools(pconf, s)->nelts) {
        open_and_fill(retained, pconf, s);
    }
    if (rv == APR_SUCCESS && !retained->shm) {
        rv = make_segment(retained, pconf, s, 0, 0);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s,
                     APIPOOL_LOG(0041) "could not set up shared memory for %u keys",
                     apipool_config_server(s)->capacity);
    }
    if (rv == APR_SUCCESS && store) {
        apipool_store_use(store, segment, retained->store_mutex);
    }
    return rv;
}

void apipool_lifecycle_note_repairs(server_rec *main_server)
{
    if (apipool_segment_new_repairs(segment)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, main_server,
                     APIPOOL_LOG(0047) "a process ended while it was changing the pools; their "
                                       "memory was checked and rebuilt");
    }
}

apipool_segment_t *apipool_lifecycle_open(apr_pool_t *pconf, server_rec *main_server)
{
    retained_t *retained = ap_retained_data_get(RETAINED_KEY);
    if (!retained) {
        retained = ap_retained_data_create(RETAINED_KEY, sizeof(*retained));
        retained->kept.lock = -1;
    }
    store = NULL;
    segment = NULL;
    fault = NULL;
    is_out = 0;
    parent = getpid();
    apr_status_t rv = open_segment(retained, pconf, main_server);
    store_mutex = retained->store_mutex;
    if (rv == APR_SUCCESS && !ap_unixd_mpm_get_retained_data()->was_graceful) {
        rv = apipool_pool_reclaim_all(segment, apr_time_now()); /* all holders have ended */
        apipool_lifecycle_note_repairs(main_server);
    }
    if (rv != APR_SUCCESS) {
        return NULL;
    }
    apr_pool_pre_cleanup_register(pconf, main_server, save_at_end); /* before the folder closes */
    return segment;
}

/* The keys in memory serve on if the store cannot be read after an interrupted change. */
int apipool_lifecycle_hold(apr_pool_t *pconf, server_rec *main_server, apr_pool_t *scratch)
{
    const char *error = NULL;
    apr_status_t rv = store ? apipool_store_hold(store, &error, scratch) : APR_EGENERAL;
    if (store && rv != APR_SUCCESS) {
        go_without(ap_retained_data_get(RETAINED_KEY), rv, error, pconf, main_server);
    }
    return rv == APR_SUCCESS;
}

void apipool_lifecycle_release(void)
{
    if (store) {
        apipool_store_release(store);
    }
}

void apipool_lifecycle_keep_keys(server_rec *main_server, apr_pool_t *scratch)
{
    const char *error = NULL;
    apr_status_t rv = store ? apipool_store_settle(store, &error, scratch) : APR_SUCCESS;
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, main_server,
                     APIPOOL_LOG(0056) "could not save the keys of the key files, will retry: %s",
                     error);
    }
}

apr_status_t apipool_lifecycle_enter(apr_pool_t *pchild)
{
    apipool_segment_enter(segment);
    apipool_throttle_share();
    apr_status_t rv = apr_global_mutex_child_init(
        &segment->mutex, apr_global_mutex_lockfile(segment->mutex), pchild);
    if (rv == APR_SUCCESS) {
        rv = apr_global_mutex_child_init(&store_mutex, apr_global_mutex_lockfile(store_mutex),
                                         pchild);
    }
    if (rv == APR_SUCCESS && store) {
        apipool_store_use(store, segment, store_mutex);
    }
    return rv;
}

apipool_segment_t *apipool_lifecycle_segment(void)
{
    return segment;
}

apr_time_t apipool_lifecycle_now(void)
{
    return segment ? apipool_clock_now(segment) : apr_time_now();
}

apipool_store_t *apipool_lifecycle_store(void)
{
    return store;
}

const char *apipool_lifecycle_fault(void)
{
    return fault;
}

int apipool_lifecycle_is_out(void)
{
    return is_out;
}

/* --- httpd -t --- */

#define LOOKS 3 /* an httpd that runs may have replaced what the first ones were about to read */

static void keep_sentence(void *sentences, const char *sentence)
{
    apr_array_header_t *kept = sentences;
    APR_ARRAY_PUSH(kept, const char *) = apr_pstrdup(kept->pool, sentence);
}

void apipool_lifecycle_look(server_rec *main_server, apr_pool_t *pool)
{
    const char *error = NULL;
    apr_array_header_t *sentences = apr_array_make(pool, 4, sizeof(const char *));
    apipool_store_settings_t settings;
    apr_status_t rv = APR_EGENERAL;
    apipool_config_store(main_server, &settings);
    settings.report = keep_sentence;
    settings.ctx = sentences;
    settings.in_use = NULL;
    for (int i = 0; i < LOOKS && rv != APR_SUCCESS; i++) {
        apr_array_clear(sentences);
        rv = apipool_store_look(&settings, &error, pool);
    }
    for (int i = 0; i < sentences->nelts; i++) {
        report(main_server, APR_ARRAY_IDX(sentences, i, const char *));
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, main_server,
                     APIPOOL_LOG(0190) "if httpd started now, the pools would answer 503: %s",
                     error ? error : "the store cannot be read");
    }
}

/* --- Changes --- */

/* Only failed writes are logged; a refusal concerns only the caller. */
apr_status_t apipool_lifecycle_change(const apipool_store_change_t *change, const char **error,
                                      apr_pool_t *p)
{
    if (!store) {
        *error = fault; /* without pools nobody gets here */
        return APR_EGENERAL;
    }
    apr_uint64_t failures = apipool_store_failures(store);
    apr_status_t rv = apipool_store_change(store, change, error, p);
    if (rv != APR_SUCCESS && apipool_store_failures(store) != failures &&
        apipool_store_may_complain(store, apr_time_now())) {
        ap_log_error(
            APLOG_MARK, APLOG_ERR, rv, ap_server_conf,
            APIPOOL_LOG(0081) "could not save a change of keys (requests are still served): %s",
            *error);
    }
    return rv;
}

void apipool_lifecycle_save(server_rec *main_server, apr_pool_t *scratch)
{
    const char *error = NULL;
    apr_status_t rv = apipool_store_save_stats(store, &error, scratch);
    if (rv != APR_SUCCESS && apipool_store_may_complain(store, apr_time_now())) {
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, main_server,
                     APIPOOL_LOG(0057) "could not save statistics, will retry (requests are "
                                       "still served): %s",
                     error);
    }
}
