/* SPDX-License-Identifier: Apache-2.0
 * Keys as records, with the secret for key ids and the ended sessions, which a restart must not
 * revive. */
#include <apr_strings.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "keys.h"
#include "slots.h"
#include "store_parts.h"
#include "throttle.h"

/* Members with their tags; core/record.h tells what may change. */
#define MEMBER APIPOOL_RECORD_MEMBER
static const apipool_record_member_t key_members[] = {
    MEMBER(1, APIPOOL_AS_TEXT, apipool_stored_key_t, server, char),
    MEMBER(2, APIPOOL_AS_TEXT, apipool_stored_key_t, pool, char),
    MEMBER(3, APIPOOL_AS_TEXT, apipool_stored_key_t, upstream, char),
    MEMBER(4, APIPOOL_AS_FIELD, apipool_stored_key_t, sealed, apipool_record_field_t),
    MEMBER(5, APIPOOL_AS_NUMBER, apipool_stored_key_t, enabled, int),
    MEMBER(6, APIPOOL_AS_NUMBER, apipool_stored_key_t, weight, apr_uint32_t),
    MEMBER(7, APIPOOL_AS_NUMBER, apipool_stored_key_t, account_hash, apr_uint64_t),
    MEMBER(8, APIPOOL_AS_ROW, apipool_stored_key_t, limits, apr_uint32_t),
    MEMBER(9, APIPOOL_AS_SIGNED, apipool_stored_key_t, added_at, apr_time_t),
    MEMBER(10, APIPOOL_AS_TEXT, apipool_stored_key_t, label, char),
    MEMBER(11, APIPOOL_AS_TEXT, apipool_stored_key_t, account, char),
    {0}};
static const apipool_record_member_t session_members[] = {
    MEMBER(1, APIPOOL_AS_SIGNED, apipool_revoked_t, until, apr_time_t), {0}};

/* Names of records begin with a letter for their kind, and 16 digits. */
#define APIPOOL_OF_CLIENT 'c'
#define APIPOOL_OF_KEY    'k'
#define OF_SESSION        's'
#define NAME_LEN          17 /* of a session; the name of a key is longer */

/* Record of the secret for key ids, if it differs from the one that seals. */
#define ID_SECRET "ids"

void apipool_store_key_name(char name[APIPOOL_STORE_NAME_SIZE], apr_uint64_t id, const char *server,
                            const char *pool)
{
    apr_uint64_t place = apipool_hash(server) * 31 + apipool_hash(pool);
    apr_snprintf(name, APIPOOL_STORE_NAME_SIZE,
                 "%c%016" APR_UINT64_T_HEX_FMT "-%016" APR_UINT64_T_HEX_FMT, APIPOOL_OF_KEY, id,
                 place);
}

/* Binds a sealed key to its pool and id. */
static apr_size_t bind_to(char *aad, const char *server, const char *pool, apr_uint64_t id)
{
    apr_size_t at = strlen(server) + 1;
    memcpy(aad, server, at);
    memcpy(aad + at, pool, strlen(pool) + 1);
    at += strlen(pool) + 1;
    memcpy(aad + at, &id, sizeof(id));
    return at + sizeof(id);
}
#define AAD_MAX (APIPOOL_SERVER_NAME_MAX + APIPOOL_NAME_MAX + sizeof(apr_uint64_t))

/* --- Writing --- */

static void save_image(apipool_saving_t *saving, const apipool_key_image_t *image)
{
    const apipool_store_t *store = saving->store;
    const apipool_pool_t *pool = &store->segment->pools[image->pool];
    unsigned char sealed[APIPOOL_KEY_MAX + APIPOOL_VAULT_OVERHEAD];
    char name[APIPOOL_STORE_NAME_SIZE], aad[AAD_MAX];
    apipool_stored_key_t key = {
        .sealed = {.bytes = sealed, .len = image->len + APIPOOL_VAULT_OVERHEAD},
        .enabled = image->enabled,
        .weight = image->weight,
        .account_hash = image->account_hash,
        .limits = image->limits,
        .added_at = image->added_at};
    apr_cpystrn(key.server, pool->server, sizeof(key.server));
    apr_cpystrn(key.pool, pool->name, sizeof(key.pool));
    apr_cpystrn(key.upstream, store->segment->upstreams[image->upstream].name,
                sizeof(key.upstream));
    apr_cpystrn(key.label, image->label, sizeof(key.label));
    apr_cpystrn(key.account, image->account, sizeof(key.account));
    if (!apipool_vault_seal(&store->vault, aad, bind_to(aad, key.server, key.pool, image->id),
                            image->key, image->len, sealed)) {
        saving->unsealed = 1;
        return;
    }
    apipool_record_put_members(apipool_saving_begin(saving), key_members, &key);
    apipool_store_key_name(name, image->id, key.server, key.pool);
    apipool_saving_put(saving, name);
}

static void save_key(apipool_saving_t *saving, int n)
{
    const apipool_store_change_t *change = saving->change;
    const apipool_slot_t *slot = &saving->slots[n];
    apipool_key_image_t image = {.pool = slot->pool,
                                 .upstream = slot->upstream,
                                 .id = slot->id,
                                 .key = saving->keys[n],
                                 .len = slot->secret_len,
                                 .label = saving->labels[n],
                                 .account = saving->accounts[n],
                                 .account_hash = slot->account,
                                 .weight = slot->weight,
                                 .enabled = slot->state != APIPOOL_STATE_DISABLED,
                                 .limits = slot->limits,
                                 .added_at = slot->added_at};
    if (!change || !change->key || change->key(change->ctx, &image)) {
        save_image(saving, &image);
    }
    else if (image.stays_deleted) {
        apipool_store_write_deletion(saving, image.pool, image.id);
    }
}

/* Key ids stay the same when the secret is replaced. */
static void save_id_secret(apipool_saving_t *saving)
{
    unsigned char sealed[APIPOOL_SECRET_SIZE + APIPOOL_VAULT_OVERHEAD];
    const apipool_store_t *store = saving->store;
    const unsigned char *id_secret = apipool_segment_store(store->segment)->secret;
    if (CRYPTO_memcmp(id_secret, store->secret, APIPOOL_SECRET_SIZE) == 0) {
        return;
    }
    if (!apipool_vault_seal(&store->vault, ID_SECRET, strlen(ID_SECRET), id_secret,
                            APIPOOL_SECRET_SIZE, sealed)) {
        saving->unsealed = 1;
        return;
    }
    apipool_generation_put(saving->generation, ID_SECRET, strlen(ID_SECRET), (const char *)sealed,
                           sizeof(sealed));
}

static void save_session(apipool_saving_t *saving, const apipool_revoked_t *session)
{
    char name[NAME_LEN + 1];
    apr_snprintf(name, sizeof(name), "%c%016" APR_UINT64_T_HEX_FMT, OF_SESSION, session->jti);
    apipool_record_put_members(apipool_saving_begin(saving), session_members, session);
    apipool_saving_put(saving, name);
}

/* Saves the unexpired ended sessions, and the one that the change ends. */
static void save_sessions(apipool_saving_t *saving)
{
    const apipool_revoked_t *ended = saving->change ? saving->change->session : NULL;
    apipool_revoked_t rows[256];
    apr_uint32_t from = 0, count;
    while (saving->rv == APR_SUCCESS && from != APIPOOL_NONE) {
        saving->rv = apipool_sessions_read(saving->store->segment, apr_time_now(), &from, rows,
                                           sizeof(rows) / sizeof(*rows), &count);
        for (apr_uint32_t i = 0; saving->rv == APR_SUCCESS && i < count; i++) {
            if (!ended || ended->jti != rows[i].jti) {
                save_session(saving, &rows[i]);
            }
        }
    }
    if (ended) {
        save_session(saving, ended);
    }
}

void apipool_store_write_keys(apipool_saving_t *saving)
{
    const apipool_store_change_t *change = saving->change;
    apipool_key_image_t image;
    save_id_secret(saving);
    apipool_saving_slots(saving, save_key);
    while (change && change->new_key && change->new_key(change->ctx, &image)) {
        save_image(saving, &image);
        apipool_throttle();
    }
    apipool_store_write_clients(saving);
    save_sessions(saving);
    apipool_store_write_maintenance(saving);
    apipool_store_write_deletions(saving);
}

/* --- Reading --- */

/* Unseals with the secret, or with the new one that was about to replace it. */
static int unseal(const apipool_store_t *store, const void *aad, apr_size_t aad_len,
                  const apipool_record_field_t *sealed, void *out, apr_size_t room, apr_size_t *len)
{
    return apipool_vault_unseal(&store->vault, aad, aad_len, sealed->bytes, sealed->len, out, room,
                                len) ||
           (store->has_next && apipool_vault_unseal(&store->next_vault, aad, aad_len, sealed->bytes,
                                                    sealed->len, out, room, len));
}

static int open_key(const apipool_stored_keys_t *keys, apipool_stored_key_t *key)
{
    char aad[AAD_MAX], plain[APIPOOL_KEY_MAX];
    apr_size_t aad_len = bind_to(aad, key->server, key->pool, key->id);
    int good = unseal(keys->store, aad, aad_len, &key->sealed, plain, sizeof(plain), &key->len) &&
               key->len > 0;
    if (good) {
        key->key = apr_pmemdup(keys->pool, plain, key->len);
    }
    OPENSSL_cleanse(plain, sizeof(plain));
    return good;
}

static apr_status_t read_id_secret(apipool_stored_keys_t *keys, const char *value, apr_size_t len)
{
    apr_size_t opened;
    apipool_record_field_t sealed = {.bytes = (const unsigned char *)value, .len = len};
    if (unseal(keys->store, ID_SECRET, strlen(ID_SECRET), &sealed, keys->id_secret,
               sizeof(keys->id_secret), &opened) &&
        opened == sizeof(keys->id_secret)) {
        return APR_SUCCESS;
    }
    keys->error = "the secret that ids are derived from cannot be read with this secret";
    return APR_EGENERAL;
}

/* Checks that each key has the id in its record's name, once the id secret is known. */
static apr_status_t check_ids(apipool_stored_keys_t *keys)
{
    for (int i = 0; i < keys->keys->nelts; i++) {
        const apipool_stored_key_t *key = &APR_ARRAY_IDX(keys->keys, i, apipool_stored_key_t);
        if (apipool_key_id(keys->id_secret, key->key, key->len) != key->id) {
            keys->error = apr_psprintf(
                keys->pool, "the record of key %016" APR_UINT64_T_HEX_FMT " has another key in it",
                key->id);
            return APR_EGENERAL;
        }
    }
    return APR_SUCCESS;
}

/* Skips records that are malformed. */
static void read_session(apipool_stored_keys_t *keys, apr_uint64_t jti, const char *value,
                         apr_size_t len)
{
    apipool_revoked_t session = {.jti = jti};
    if (jti && apipool_record_read_members(value, len, session_members, &session)) {
        APR_ARRAY_PUSH(keys->sessions, apipool_revoked_t) = session;
    }
}

static apr_status_t read_record(void *ctx, const char *name, apr_size_t name_len, const char *value,
                                apr_size_t len)
{
    apipool_stored_keys_t *keys = ctx;
    char hex[NAME_LEN] = "";

    if (name_len && name[0] == APIPOOL_OF_CLIENT) {
        int good = apipool_store_read_client(value, len, keys->clients);
        keys->error = good ? keys->error : "the record of a client cannot be read";
        return good ? APR_SUCCESS : APR_EGENERAL;
    }
    if (name_len && name[0] == APIPOOL_STORE_OF_MAINTENANCE) {
        int good = apipool_store_read_maintenance(value, len, keys->maintenance);
        keys->error = good ? keys->error : "the record of a pool's maintenance cannot be read";
        return good ? APR_SUCCESS : APR_EGENERAL;
    }
    if (name_len == strlen(ID_SECRET) && memcmp(name, ID_SECRET, name_len) == 0) {
        return read_id_secret(keys, value, len);
    }
    if (name_len < NAME_LEN) {
        return APR_SUCCESS;
    }
    memcpy(hex, name + 1, NAME_LEN - 1);
    apipool_stored_key_t key = {.id = strtoull(hex, NULL, 16), .weight = 1, .enabled = 1};
    if (name[0] == OF_SESSION && name_len == NAME_LEN) {
        read_session(keys, key.id, value, len);
    }
    if (name[0] == APIPOOL_STORE_OF_DELETION) {
        int good = apipool_store_read_deletion(key.id, value, len, keys->deletions);
        keys->error = good ? keys->error : "the record of a deleted key cannot be read";
        return good ? APR_SUCCESS : APR_EGENERAL;
    }
    if (name[0] != APIPOOL_OF_KEY) {
        return APR_SUCCESS;
    }
    if (!apipool_record_read_members(value, len, key_members, &key) || !open_key(keys, &key)) {
        keys->error =
            apr_psprintf(keys->pool, "the record of key %s cannot be read with this secret", hex);
        return APR_EGENERAL;
    }
    key.weight = key.weight < APIPOOL_WEIGHT_MAX ? key.weight : APIPOOL_WEIGHT_MAX;
    APR_ARRAY_PUSH(keys->keys, apipool_stored_key_t) = key;
    return APR_SUCCESS;
}

/* Wipes the keys, including those of a change that did not get to disk. */
static apr_status_t wipe(void *data)
{
    apipool_stored_keys_t *keys = data;
    for (int i = 0; i < keys->keys->nelts; i++) {
        const apipool_stored_key_t *key = &APR_ARRAY_IDX(keys->keys, i, apipool_stored_key_t);
        OPENSSL_cleanse(key->key, key->len);
    }
    OPENSSL_cleanse(keys->id_secret, sizeof(keys->id_secret));
    return APR_SUCCESS;
}

apr_status_t apipool_store_read_keys(apipool_store_t *store, apipool_stored_keys_t **keys,
                                     apr_uint32_t *count, const char **error, apr_pool_t *pool)
{
    apipool_stored_keys_t *made = apr_pcalloc(pool, sizeof(*made));
    made->store = store;
    made->pool = pool;
    made->keys = apr_array_make(pool, 64, sizeof(apipool_stored_key_t));
    made->clients = apr_array_make(pool, 16, sizeof(apipool_client_image_t));
    made->sessions = apr_array_make(pool, 8, sizeof(apipool_revoked_t));
    made->maintenance = apr_array_make(pool, 2, sizeof(apipool_stored_maintenance_t));
    made->deletions = apr_array_make(pool, 2, sizeof(apipool_stored_deletion_t));
    memcpy(made->id_secret, store->secret, sizeof(made->id_secret));
    apr_pool_cleanup_register(pool, made, wipe, apr_pool_cleanup_null);
    apr_status_t rv = apipool_folder_load(store->folder, APIPOOL_STORE_KEYS, read_record, made,
                                          &made->generation, error, pool);
    rv = rv == APR_SUCCESS ? check_ids(made) : rv;
    *error = rv != APR_SUCCESS && !*error ? made->error : *error;
    *keys = made;
    *count = (apr_uint32_t)made->keys->nelts;
    return rv;
}

apr_uint32_t apipool_store_clients_read(const apipool_stored_keys_t *keys)
{
    return (apr_uint32_t)keys->clients->nelts;
}

/* Adds a key, or changes an existing one to match the record; its other properties stay. */
static apr_status_t put_key(apipool_segment_t *segment, const apipool_stored_key_t *key)
{
    apr_uint32_t pool, upstream;
    apipool_added_e added;
    apipool_key_item_t item = {.key = key->key,
                               .len = key->len,
                               .enabled = key->enabled,
                               .label = key->label,
                               .weight = key->weight,
                               .account = key->account,
                               .limits = key->limits};
    apipool_key_patch_t patch = {.edit = {.set = APIPOOL_SET_ALL,
                                          .enabled = key->enabled,
                                          .label = key->label,
                                          .weight = key->weight,
                                          .account = key->account,
                                          .limits = key->limits},
                                 .upstream = APIPOOL_NONE};
    apr_status_t rv =
        apipool_pool_known(segment, key->server, key->pool, key->upstream, &pool, &upstream);
    if (rv == APR_SUCCESS) {
        rv = apipool_pool_add(segment, upstream, &item, key->added_at, &added);
    }
    if (rv == APR_SUCCESS && added == APIPOOL_DUPLICATE) {
        rv = apipool_pool_edit(segment, pool, key->id, &patch);
    }
    if (rv == APR_SUCCESS && !*key->account) { /* written by a version without account names */
        apipool_pool_set_account(segment, pool, key->id, key->account_hash);
    }
    return rv == APR_SUCCESS && added == APIPOOL_FULL ? APR_ENOSPC : rv;
}

apr_status_t apipool_store_put_stored(apipool_segment_t *segment, const apipool_stored_keys_t *keys,
                                      const char *no_room, const char **error)
{
    apr_status_t rv = APR_SUCCESS;
    for (int i = 0; rv == APR_SUCCESS && i < keys->keys->nelts; i++) {
        rv = put_key(segment, &APR_ARRAY_IDX(keys->keys, i, apipool_stored_key_t));
    }
    if (rv != APR_SUCCESS) {
        *error = no_room;
        return rv;
    }
    rv = apipool_store_put_clients(segment, keys->clients, error);
    for (int i = 0; rv == APR_SUCCESS && i < keys->sessions->nelts; i++) {
        const apipool_revoked_t *session = &APR_ARRAY_IDX(keys->sessions, i, apipool_revoked_t);
        rv = apipool_sessions_revoke(segment, session->jti, session->until, apr_time_now());
    }
    rv = rv == APR_SUCCESS ? apipool_store_put_maintenance(segment, keys->maintenance) : rv;
    return rv == APR_SUCCESS ? apipool_store_put_deletions(segment, keys->deletions) : rv;
}
