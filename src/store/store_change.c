/* SPDX-License-Identifier: Apache-2.0
 * Durable changes: written first, then made in memory, or completed after an interruption. */
#include <apr_hash.h>
#include <apr_strings.h>
#include <string.h>

#include "keys.h"
#include "store_parts.h"

/* --- After an interrupted change --- */

/* Only the single writer, which is the caller, adds and removes slots. */
static void remove_other_keys(apipool_segment_t *segment, const apipool_stored_keys_t *stored,
                              apr_pool_t *pool)
{
    apr_hash_t *kept = apr_hash_make(pool);
    char name[APIPOOL_STORE_NAME_SIZE];
    for (int i = 0; i < stored->keys->nelts; i++) {
        const apipool_stored_key_t *key = &APR_ARRAY_IDX(stored->keys, i, apipool_stored_key_t);
        apipool_store_key_name(name, key->id, key->server, key->pool);
        apr_hash_set(kept, apr_pstrdup(pool, name), APR_HASH_KEY_STRING, key);
    }
    for (apr_uint32_t i = 0; i < apipool_segment_slots_used(segment); i++) {
        const apipool_slot_t *slot = &segment->slots[i];
        const apipool_pool_t *of = &segment->pools[slot->pool];
        apipool_store_key_name(name, slot->id, of->server, of->name);
        if (slot->id && !apr_hash_get(kept, name, APR_HASH_KEY_STRING)) {
            apipool_pool_remove(segment, slot->pool, slot->id);
        }
    }
}

static apr_status_t make_what_is_stored(apipool_segment_t *segment,
                                        const apipool_stored_keys_t *stored, const char **error,
                                        apr_pool_t *pool)
{
    apipool_store_state_t *state = apipool_segment_store(segment);
    apipool_store_remove_other_clients(segment, stored->clients, pool);
    apr_status_t rv = apipool_store_put_stored(
        segment, stored, "shared memory has no room for a key that is stored", error);
    if (rv == APR_SUCCESS) {
        remove_other_keys(segment, stored, pool);
        __atomic_store_n(&state->saved_changes, state->changes, __ATOMIC_RELAXED);
    }
    return rv;
}

/* Restores memory from disk if it lacks a change of that generation, or has lost something. */
static apr_status_t catch_up(apipool_store_t *store, const char **error, apr_pool_t *parent)
{
    apipool_store_state_t *state = apipool_segment_store(store->segment);
    apipool_stored_keys_t *stored;
    apr_uint32_t count;
    apr_pool_t *pool;
    apr_status_t rv = apr_pool_create(&pool, parent);
    if (rv != APR_SUCCESS) {
        *error = "out of memory";
        return rv;
    }
    rv = apipool_store_read_keys(store, &stored, &count, error, pool);
    if (rv == APR_SUCCESS && (state->changing == stored->generation || state->lost)) {
        rv = make_what_is_stored(store->segment, stored, error, pool);
    }
    if (rv == APR_SUCCESS) {
        state->lost = 0;
        __atomic_store_n(&state->changing, 0, __ATOMIC_RELEASE);
    }
    else {
        *error = *error ? apr_pstrdup(parent, *error) : "could not acquire the shared-memory lock";
    }
    apr_pool_destroy(pool);
    return rv;
}

apr_status_t apipool_store_lock(apipool_store_t *store, const char **error)
{
    *error = NULL;
    apr_status_t rv = apr_global_mutex_lock(store->mutex);
    if (rv != APR_SUCCESS) {
        *error = "could not acquire the store's lock";
        return rv;
    }
    rv = apipool_store_follow_secret(store, error);
    if (rv != APR_SUCCESS) {
        apr_global_mutex_unlock(store->mutex);
    }
    return rv;
}

apr_status_t apipool_store_hold(apipool_store_t *store, const char **error, apr_pool_t *pool)
{
    apr_status_t rv = apipool_store_lock(store, error);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (apipool_store_lags_behind(store)) {
        rv = catch_up(store, error, pool);
    }
    if (rv != APR_SUCCESS) {
        apr_global_mutex_unlock(store->mutex);
    }
    return rv;
}

void apipool_store_release(apipool_store_t *store)
{
    apr_global_mutex_unlock(store->mutex);
}

/* --- A change --- */

apipool_key_image_t apipool_key_item_image(const apipool_key_item_t *item)
{
    return (apipool_key_image_t){.key = item->key,
                                 .len = item->len,
                                 .label = item->label ? item->label : "",
                                 .account = item->account ? item->account : "",
                                 .account_hash = item->account ? apipool_hash(item->account) : 0,
                                 .weight = item->weight ? item->weight : 1,
                                 .enabled = item->enabled,
                                 .limits = item->limits};
}

void apipool_key_patch_image(const apipool_key_patch_t *patch, apipool_key_image_t *image)
{
    const apipool_key_edit_t *edit = &patch->edit;
    image->upstream = patch->upstream == APIPOOL_NONE ? image->upstream : patch->upstream;
    image->enabled = edit->set & APIPOOL_SET_ENABLED ? edit->enabled : image->enabled;
    image->weight = edit->set & APIPOOL_SET_WEIGHT ? edit->weight : image->weight;
    image->limits = edit->set & APIPOOL_SET_LIMITS ? edit->limits : image->limits;
    image->label = edit->set & APIPOOL_SET_LABEL ? edit->label : image->label;
    if (edit->set & APIPOOL_SET_ACCOUNT) {
        image->account = edit->account;
        image->account_hash = apipool_hash(edit->account);
    }
}

/* If memory could not follow, the change stays pending. */
static apr_status_t make(apipool_store_t *store, const apipool_store_change_t *change,
                         const char **error)
{
    apipool_store_state_t *state = apipool_segment_store(store->segment);
    apr_status_t rv = change->apply(change->ctx);
    if (rv == APR_SUCCESS) {
        __atomic_store_n(&state->saved_changes, state->changes, __ATOMIC_RELAXED);
        __atomic_store_n(&state->changing, 0, __ATOMIC_RELEASE);
    }
    else { /* the next writer tries again */
        *error = "the change is on disk, but shared memory could not follow; it is tried again";
    }
    return rv;
}

apr_status_t apipool_store_change(apipool_store_t *store, const apipool_store_change_t *change,
                                  const char **error, apr_pool_t *pool)
{
    int changes = 1;
    apr_status_t rv = apipool_store_hold(store, error, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (change->prepare) {
        rv = change->prepare(change->ctx, &changes, error);
    }
    if (rv == APR_SUCCESS && changes) {
        rv = apipool_store_write(store, APIPOOL_STORE_KEYS, change, error, pool);
        if (rv == APR_SUCCESS) {
            rv = make(store, change, error);
        }
    }
    apipool_store_release(store);
    return rv;
}
