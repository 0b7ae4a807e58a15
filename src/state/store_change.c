/* SPDX-License-Identifier: Apache-2.0
 * Changes of what is kept: written down first, then made, and made up for when that was cut off. */
#include <apr_hash.h>
#include <apr_strings.h>
#include <openssl/crypto.h>
#include <string.h>

#include "keys.h"
#include "store_parts.h"

/* --- After a change that was cut off --- */

/* The keys that memory should have, by id and pool. */
typedef struct {
    apr_hash_t *wanted;
    apr_pool_t *pool;
} wanted_t;

typedef struct {
    apr_uint64_t id;
    apr_uint32_t pool;
    apr_uint32_t unused; /* no byte of a hash's key may be left to chance */
} place_t;

static void want(wanted_t *wanted, apr_uint64_t id, apr_uint32_t pool)
{
    place_t *place = apr_pcalloc(wanted->pool, sizeof(*place));
    place->id = id;
    place->pool = pool;
    apr_hash_set(wanted->wanted, place, sizeof(*place), place);
}

static int is_wanted(const wanted_t *wanted, apr_uint64_t id, apr_uint32_t pool)
{
    place_t place = {.id = id, .pool = pool};
    return apr_hash_get(wanted->wanted, &place, sizeof(place)) != NULL;
}

static apr_status_t put_all(apipool_segment_t *segment, const apipool_stored_keys_t *stored,
                            wanted_t *wanted)
{
    apr_status_t rv = APR_SUCCESS;
    for (int i = 0; i < stored->keys->nelts; i++) {
        const apipool_stored_key_t *key = &APR_ARRAY_IDX(stored->keys, i, apipool_stored_key_t);
        apr_uint32_t pool;
        if (rv == APR_SUCCESS) {
            rv = apipool_store_put_key(segment, key, &pool);
        }
        if (rv == APR_SUCCESS) {
            want(wanted, key->id, pool);
        }
    }
    return rv;
}

/* Whatever has become of it: a change that did not get to disk is read as well. */
static void wipe_all(const apipool_stored_keys_t *stored)
{
    for (int i = 0; i < stored->keys->nelts; i++) {
        const apipool_stored_key_t *key = &APR_ARRAY_IDX(stored->keys, i, apipool_stored_key_t);
        OPENSSL_cleanse(key->key, key->len);
    }
}

/* Slots only come and go by the one writer, which is the caller. */
static void remove_others(apipool_segment_t *segment, const wanted_t *wanted)
{
    for (apr_uint32_t i = 0; i < segment->header->slots.used; i++) {
        const apipool_slot_t *slot = &segment->slots[i];
        if (slot->id && !is_wanted(wanted, slot->id, slot->pool)) {
            apipool_pool_remove(segment, slot->pool, slot->id);
        }
    }
}

/* Whether memory lacks something of that generation: a change that has got there, or what was lost. */
static int lags_behind(const apipool_header_t *header, const apipool_stored_keys_t *stored)
{
    return header->changing == stored->generation || header->lost;
}

/* Makes memory what is on disk. */
static apr_status_t catch_up(apipool_store_t *store, const char **error, apr_pool_t *parent)
{
    apipool_header_t *header = store->segment->header;
    apipool_stored_keys_t *stored;
    apr_uint32_t count;
    apr_pool_t *pool;
    apr_status_t rv = apr_pool_create(&pool, parent);
    if (rv != APR_SUCCESS) {
        *error = "out of memory";
        return rv;
    }
    wanted_t wanted = {.wanted = apr_hash_make(pool), .pool = pool};
    rv = apipool_store_read_keys(store, &stored, &count, error, pool);
    if (rv == APR_SUCCESS && lags_behind(header, stored)) {
        rv = put_all(store->segment, stored, &wanted);
        *error = "shared memory has no room for a key that is stored";
    }
    if (rv == APR_SUCCESS && lags_behind(header, stored)) {
        apipool_store_remove_other_clients(store->segment, stored->clients, pool);
        rv = apipool_store_put_clients(store->segment, stored->clients, error);
    }
    if (rv == APR_SUCCESS && lags_behind(header, stored)) {
        rv = apipool_store_put_sessions(store->segment, stored);
    }
    if (rv == APR_SUCCESS && lags_behind(header, stored)) {
        remove_others(store->segment, &wanted);
        __atomic_store_n(&header->saved_changes, header->changes, __ATOMIC_RELAXED);
    }
    if (rv == APR_SUCCESS) {
        header->lost = 0;
        __atomic_store_n(&header->changing, 0, __ATOMIC_RELEASE);
    }
    else {
        *error = *error ? apr_pstrdup(parent, *error) : "the pool's lock is not to be had";
    }
    wipe_all(stored);
    apr_pool_destroy(pool);
    return rv;
}

apr_status_t apipool_store_lock(apipool_store_t *store, const char **error)
{
    *error = NULL;
    apr_status_t rv = apr_global_mutex_lock(store->mutex);
    if (rv != APR_SUCCESS) {
        *error = "the store's lock is not to be had";
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

void apipool_key_patch_image(const apipool_key_patch_t *patch, apipool_key_image_t *image)
{
    const apipool_key_edit_t *edit = &patch->edit;
    image->group = patch->group == APIPOOL_NONE ? image->group : patch->group;
    image->enabled = edit->set & APIPOOL_SET_ENABLED ? edit->enabled : image->enabled;
    image->weight = edit->set & APIPOOL_SET_WEIGHT ? edit->weight : image->weight;
    image->limits = edit->set & APIPOOL_SET_LIMITS ? edit->limits : image->limits;
    image->label = edit->set & APIPOOL_SET_LABEL ? edit->label : image->label;
    if (edit->set & APIPOOL_SET_ACCOUNT) {
        image->account = edit->account;
        image->account_hash = apipool_hash(edit->account);
    }
}

/* What was unsaved before stays so only if memory could not follow. */
static apr_status_t make(apipool_store_t *store, const apipool_store_change_t *change,
                         const char **error)
{
    apipool_header_t *header = store->segment->header;
    apr_status_t rv = change->apply(change->ctx);
    if (rv == APR_SUCCESS) {
        __atomic_store_n(&header->saved_changes, header->changes, __ATOMIC_RELAXED);
        __atomic_store_n(&header->changing, 0, __ATOMIC_RELEASE);
    }
    else { /* whoever writes next tries again */
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
