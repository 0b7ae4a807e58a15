/* SPDX-License-Identifier: Apache-2.0
 * Store: opening, filling a new segment, and saving a live one with a single writer. */
#include "store.h"

#include <apr_strings.h>
#include <openssl/crypto.h>
#include <string.h>

#include "arena.h"
#include "pages.h"
#include "secret.h"
#include "slots.h"
#include "store_parts.h"
#include "throttle.h"

#define COMPLAIN_EACH apr_time_from_sec(60)
#define REST_TIMES    50 /* durations of a save, until the next one by number of requests */

/* --- opening --- */

static apr_status_t open_folder(apipool_store_t *store, apipool_store_kept_t *kept,
                                const char **error, apr_pool_t *pool)
{
    const apipool_store_settings_t *own = &store->settings;
    if (!*kept->path) {
        apr_cpystrn(kept->path, own->path, sizeof(kept->path));
    }
    store->path = kept->path;
    apipool_folder_settings_t settings = {
        .path = kept->path,
        .dbm = own->dbm,
        .owner = own->owner,
        .mac_key = store->vault.mac_key,
        .mark = apipool_secret_mark(own->secret_path, kept->path, pool),
        .looks = own->looks,
        .lock = &kept->lock,
        .report = own->report,
        .ctx = own->ctx};
    return apipool_folder_open(&store->folder, &settings, error, pool);
}

static apr_status_t wipe(void *data)
{
    OPENSSL_cleanse(data, sizeof(apipool_store_t));
    return APR_SUCCESS;
}

apr_status_t apipool_store_open(apipool_store_t **store, const apipool_store_settings_t *settings,
                                apipool_store_kept_t *kept, const char **error, apr_pool_t *pool)
{
    apipool_store_t *made = apipool_pages_concealed(sizeof(*made), pool);
    if (!made) {
        *error = "out of memory";
        return APR_ENOMEM;
    }
    made->settings = *settings;
    apr_pool_cleanup_register(pool, made, wipe, apr_pool_cleanup_null);
    apr_status_t rv = open_folder(made, kept, error, pool);
    if (rv == APR_SUCCESS) {
        rv = apipool_store_read_secrets(made, error, pool);
    }
    *store = made;
    return rv;
}

apr_status_t apipool_store_look(const apipool_store_settings_t *settings, const char **error,
                                apr_pool_t *pool)
{
    apipool_store_kept_t kept = {.lock = -1};
    apipool_store_settings_t looking = *settings;
    apipool_store_t *store;
    apipool_stored_keys_t *keys;
    apr_uint64_t loaded;
    apr_uint32_t count;
    *error = NULL;
    looking.looks = 1;
    apr_status_t rv = apipool_store_open(&store, &looking, &kept, error, pool);
    if (rv == APR_ENOENT && !*error) { /* a start would make the folder */
        return apipool_store_refuse_empty(store, error, pool);
    }
    if (rv == APR_SUCCESS && apipool_folder_is_new(store->folder, pool)) {
        return APR_SUCCESS;
    }
    if (rv == APR_SUCCESS) {
        rv = apipool_store_read_keys(store, &keys, &count, error, pool);
    }
    return rv == APR_SUCCESS ? apipool_folder_load(store->folder, APIPOOL_STORE_STATS, NULL, NULL,
                                                   &loaded, error, pool)
                             : rv;
}

void apipool_store_use(apipool_store_t *store, apipool_segment_t *segment,
                       apr_global_mutex_t *mutex)
{
    store->segment = segment;
    store->mutex = mutex;
}

apr_status_t apipool_store_fill(apipool_store_t *store, apipool_stored_keys_t *keys,
                                const char **error, apr_pool_t *pool)
{
    apr_uint64_t loaded;
    apipool_store_state_t *state = apipool_segment_store(store->segment);
    memcpy(state->secret, keys->id_secret, sizeof(state->secret));
    memcpy(state->sealed_with, store->secret, sizeof(state->sealed_with));
    apr_status_t rv = apipool_store_put_stored(
        store->segment, keys,
        "the stored keys do not fit into shared memory; raise APIPoolCapacity", error);
    state->saved_changes = state->changes;
    if (rv == APR_SUCCESS) {
        rv = apipool_folder_load(store->folder, APIPOOL_STORE_STATS, apipool_store_read_stats,
                                 store, &loaded, error, pool);
    }
    return rv;
}

/* --- saving --- */

apipool_record_writer_t *apipool_saving_begin(apipool_saving_t *saving)
{
    apipool_record_begin(&saving->writer, saving->record, sizeof(saving->record));
    return &saving->writer;
}

void apipool_saving_put(apipool_saving_t *saving, const char *key)
{
    apr_size_t len;
    apipool_record_end(&saving->writer, &len); /* what exceeds the buffer is too long for a value */
    apipool_generation_put(saving->generation, key, strlen(key), (const char *)saving->record, len);
}

static int copy_batch_locked(apipool_saving_t *saving, apr_uint32_t *from)
{
    const apipool_segment_t *segment = saving->store->segment;
    apr_uint32_t end = *from + APIPOOL_STORE_BATCH;
    int count = 0;
    end = end < apipool_segment_slots_used(segment) ? end : apipool_segment_slots_used(segment);
    for (; *from < end; ++*from) {
        const apipool_slot_t *slot = &segment->slots[*from];
        if (slot->id) {
            saving->slots[count] = *slot;
            memcpy(saving->keys[count],
                   slot->secret_off ? apipool_arena_at(segment, slot->secret_off) : slot->secret,
                   slot->secret_len);
            apr_cpystrn(saving->labels[count], apipool_slot_label_locked(segment, slot),
                        sizeof(saving->labels[count]));
            apr_cpystrn(saving->accounts[count], apipool_slot_account_locked(segment, slot),
                        sizeof(saving->accounts[count]));
            count++;
        }
    }
    return count;
}

int apipool_saving_lock(apipool_saving_t *saving)
{
    if (saving->rv == APR_SUCCESS) {
        saving->rv = apipool_segment_lock(saving->store->segment);
    }
    return saving->rv == APR_SUCCESS;
}

int apipool_saving_copy(apipool_saving_t *saving, void *copy, const void *of, apr_size_t size)
{
    if (!apipool_saving_lock(saving)) {
        return 0;
    }
    memcpy(copy, of, size);
    apipool_segment_unlock(saving->store->segment);
    return 1;
}

void apipool_saving_slots(apipool_saving_t *saving, void (*save)(apipool_saving_t *saving, int n))
{
    apipool_segment_t *segment = saving->store->segment;
    for (apr_uint32_t from = 0, used = 1; from < used && apipool_saving_lock(saving);) {
        int count = copy_batch_locked(saving, &from);
        used = apipool_segment_slots_used(segment);
        apipool_segment_unlock(segment);
        for (int n = 0; n < count; n++) {
            save(saving, n);
            apipool_throttle();
        }
    }
    OPENSSL_cleanse(saving->slots, sizeof(saving->slots));
    OPENSSL_cleanse(saving->keys, sizeof(saving->keys));
}

/* Memory lags behind from when a change is current on disk until it is made in memory. */
static apr_status_t commit(apipool_store_t *store, apipool_saving_t *saving, const char **error)
{
    apr_uint64_t *changing = &apipool_segment_store(store->segment)->changing;
    if (!saving->change) {
        return apipool_generation_commit(saving->generation, error);
    }
    __atomic_store_n(changing, apipool_generation_number(saving->generation), __ATOMIC_RELEASE);
    apr_status_t rv = apipool_generation_commit(saving->generation, error);
    if (rv != APR_SUCCESS) {
        __atomic_store_n(changing, 0, __ATOMIC_RELEASE);
    }
    return rv;
}

int apipool_store_lags_behind(const apipool_store_t *store)
{
    const apipool_store_state_t *state = apipool_segment_store(store->segment);
    return __atomic_load_n(&state->changing, __ATOMIC_ACQUIRE) != 0 ||
           __atomic_load_n(&state->lost, __ATOMIC_ACQUIRE);
}

/* Reason to abort: what memory loses during the writing must not be missing on disk. */
static const char *why_not(const apipool_saving_t *saving)
{
    return saving->rv != APR_SUCCESS ? "could not acquire the shared-memory lock"
           : saving->unsealed        ? "libcrypto cannot seal a key"
           : __atomic_load_n(&apipool_segment_store(saving->store->segment)->lost, __ATOMIC_ACQUIRE)
               ? "shared memory has lost a key, which is read again first"
               : NULL;
}

static apr_status_t write_generation(apipool_store_t *store, apipool_store_kind_e kind,
                                     const apipool_store_change_t *change, const char **error,
                                     apr_pool_t *pool)
{
    apipool_saving_t *saving = apr_palloc(pool, sizeof(*saving));
    saving->store = store;
    saving->change = change;
    saving->rv = APR_SUCCESS;
    saving->unsealed = 0;
    apr_status_t rv = apipool_folder_begin(store->folder, kind, &saving->generation, error, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (kind == APIPOOL_STORE_KEYS) {
        apipool_store_write_keys(saving);
    }
    else {
        apipool_store_write_stats(saving);
    }
    *error = why_not(saving);
    if (*error) {
        apipool_generation_abort(saving->generation);
        return saving->rv != APR_SUCCESS ? saving->rv : APR_EGENERAL;
    }
    return commit(store, saving, error);
}

apr_status_t apipool_store_write(apipool_store_t *store, apipool_store_kind_e kind,
                                 const apipool_store_change_t *change, const char **error,
                                 apr_pool_t *parent)
{
    apipool_store_state_t *state = apipool_segment_store(store->segment);
    apr_uint64_t changes = __atomic_load_n(&state->changes, __ATOMIC_RELAXED);
    apr_time_t begin = apr_time_now();
    apipool_rights_t rights;
    apr_pool_t *pool;
    apr_status_t rv = apr_pool_create(&pool, parent);
    if (rv != APR_SUCCESS) {
        *error = "out of memory";
        return rv;
    }
    rv = apipool_rights_drop(&store->settings.owner, &rights, pool);
    if (rv == APR_SUCCESS) {
        rv = write_generation(store, kind, change, error, pool);
        apipool_rights_restore(&rights);
    }
    else {
        *error = "root cannot work with the rights of httpd's children";
    }
    if (rv != APR_SUCCESS) {
        *error = apr_pstrdup(parent, *error);
    }
    else if (kind == APIPOOL_STORE_KEYS) {
        __atomic_store_n(&state->saved_changes, changes, __ATOMIC_RELAXED);
    }
    apr_pool_destroy(pool);
    __atomic_add_fetch(rv == APR_SUCCESS ? &state->saves : &state->save_errors, 1,
                       __ATOMIC_RELAXED);
    __atomic_add_fetch(&state->save_time, (apr_uint64_t)(apr_time_now() - begin), __ATOMIC_RELAXED);
    return rv;
}

apr_status_t apipool_store_save_keys(apipool_store_t *store, const char **error, apr_pool_t *pool)
{
    apr_status_t rv = apipool_store_hold(store, error, pool);
    if (rv == APR_SUCCESS) {
        rv = apipool_store_write(store, APIPOOL_STORE_KEYS, NULL, error, pool);
        apipool_store_release(store);
    }
    return rv;
}

/* Saves unsaved keys, and completes an interrupted change, which would otherwise wait for the
 * next one. */
static apr_status_t put_keys_right(apipool_store_t *store, const char **error, apr_pool_t *pool)
{
    if (apipool_store_has_unsaved_keys(store)) {
        return apipool_store_save_keys(store, error, pool);
    }
    if (!apipool_store_lags_behind(store)) {
        return APR_SUCCESS;
    }
    apr_status_t rv = apipool_store_hold(store, error, pool);
    if (rv == APR_SUCCESS) {
        apipool_store_release(store);
    }
    return rv;
}

/* After a failure the next try is due after the interval. */
apr_status_t apipool_store_save_stats(apipool_store_t *store, const char **error, apr_pool_t *pool)
{
    apipool_store_state_t *state = apipool_segment_store(store->segment);
    const char *keys_error = NULL;
    apr_time_t begin = apr_time_now();
    __atomic_store_n(&state->saved_updates, apipool_segment_updates(store->segment),
                     __ATOMIC_RELAXED);
    __atomic_store_n(&state->saved_at, begin, __ATOMIC_RELAXED);
    apr_status_t keys = put_keys_right(store, &keys_error, pool);
    apr_status_t rv = apipool_store_lock(store, error);
    if (rv == APR_SUCCESS) {
        rv = apipool_store_write(store, APIPOOL_STORE_STATS, NULL, error, pool);
        apipool_store_release(store);
    }
    if (keys != APR_SUCCESS) { /* no reason to lose the statistics as well */
        *error = keys_error;
        rv = keys;
    }
    __atomic_store_n(&state->last_save_time, apr_time_now() - begin, __ATOMIC_RELAXED);
    return rv;
}

int apipool_store_has_unsaved_keys(const apipool_store_t *store)
{
    const apipool_store_state_t *state = apipool_segment_store(store->segment);
    return __atomic_load_n(&state->changes, __ATOMIC_RELAXED) !=
           __atomic_load_n(&state->saved_changes, __ATOMIC_RELAXED);
}

int apipool_store_is_due(const apipool_store_t *store, apr_time_t now)
{
    const apipool_store_state_t *state = apipool_segment_store(store->segment);
    apr_interval_time_t age = now - __atomic_load_n(&state->saved_at, __ATOMIC_RELAXED);
    apr_interval_time_t took = __atomic_load_n(&state->last_save_time, __ATOMIC_RELAXED);
    apr_uint64_t pending = apipool_segment_updates(store->segment) -
                           __atomic_load_n(&state->saved_updates, __ATOMIC_RELAXED);
    return age < 0 || age >= store->settings.interval ||
           __atomic_load_n(&state->lost, __ATOMIC_RELAXED) ||
           (pending >= store->settings.max_pending && age >= took * REST_TIMES);
}

int apipool_store_may_complain(apipool_store_t *store, apr_time_t now)
{
    apr_time_t *reported_at = &apipool_segment_store(store->segment)->save_reported_at;
    apr_time_t last = __atomic_load_n(reported_at, __ATOMIC_RELAXED);
    return (now - last >= COMPLAIN_EACH || now < last) &&
           __atomic_compare_exchange_n(reported_at, &last, now, 0, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
}

apr_uint64_t apipool_store_failures(const apipool_store_t *store)
{
    return __atomic_load_n(&apipool_segment_store(store->segment)->save_errors, __ATOMIC_RELAXED);
}
