/* SPDX-License-Identifier: Apache-2.0
 * Keys as records: what one says of a key, and how it is read again. */
#include <apr_strings.h>
#include <openssl/crypto.h>
#include <string.h>

#include "flat.h"
#include "keys.h"
#include "pace.h"
#include "slots.h"
#include "store_parts.h"

/* Tags; see core/record.h for what may change. */
enum {
    KEY_SERVER = 1,
    KEY_POOL,
    KEY_UPSTREAM,
    KEY_SEALED,
    KEY_ENABLED,
    KEY_WEIGHT,
    KEY_ACCOUNT, /* hash of its name */
    KEY_LIMITS,  /* rpm, rpd, tpm, tpd, concurrency */
    KEY_ADDED_AT,
    KEY_LABEL,
    KEY_ACCOUNT_NAME
};
#define LIMITS 5

/* The record of the secret that ids are derived from, when that is not the one that seals. */
#define ID_SECRET "ids"

void apipool_store_key_name(char name[APIPOOL_STORE_NAME_SIZE], apr_uint64_t id, const char *server,
                            const char *pool)
{
    apr_uint64_t place = apipool_hash(server) * 31 + apipool_hash(pool);
    apr_snprintf(name, APIPOOL_STORE_NAME_SIZE,
                 "k%016" APR_UINT64_T_HEX_FMT "-%016" APR_UINT64_T_HEX_FMT, id, place);
}

void apipool_store_text(char *out, apr_size_t size, const apipool_record_field_t *field)
{
    apr_size_t len = field->len < size ? field->len : size - 1;
    memcpy(out, field->bytes ? field->bytes : (const unsigned char *)"", len);
    out[len] = '\0';
}

/* What a sealed key is bound to: its place and its id. */
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

static void save_image(apipool_saving_t *saving, const apipool_key_image_t *image)
{
    const apipool_store_t *store = saving->store;
    const apipool_shared_pool_t *pool = &store->segment->pools[image->pool];
    const apipool_key_limits_t *limits = &image->limits;
    const apr_uint64_t row[LIMITS] = {limits->rpm, limits->rpd, limits->tpm, limits->tpd,
                                      limits->concurrency};
    unsigned char sealed[APIPOOL_KEY_MAX + APIPOOL_VAULT_OVERHEAD];
    char name[APIPOOL_STORE_NAME_SIZE], aad[AAD_MAX];
    apipool_record_writer_t writer;
    apr_size_t aad_len = bind_to(aad, pool->server, pool->name, image->id);

    apipool_store_key_name(name, image->id, pool->server, pool->name);
    apipool_record_begin(&writer, saving->record, sizeof(saving->record));
    apipool_record_put_text(&writer, KEY_SERVER, pool->server);
    apipool_record_put_text(&writer, KEY_POOL, pool->name);
    apipool_record_put_text(&writer, KEY_UPSTREAM, store->segment->groups[image->group].name);
    if (!apipool_vault_seal(&store->vault, aad, aad_len, image->key, image->len, sealed)) {
        saving->unsealed = 1;
        return;
    }
    apipool_record_put_bytes(&writer, KEY_SEALED, sealed, image->len + APIPOOL_VAULT_OVERHEAD);
    apipool_record_put_u64(&writer, KEY_ENABLED, (apr_uint64_t)image->enabled);
    apipool_record_put_u64(&writer, KEY_WEIGHT, image->weight);
    apipool_record_put_u64(&writer, KEY_ACCOUNT, image->account_hash);
    apipool_record_put_u64s(&writer, KEY_LIMITS, row, LIMITS);
    apipool_record_put_i64(&writer, KEY_ADDED_AT, image->added_at);
    if (*image->label) {
        apipool_record_put_text(&writer, KEY_LABEL, image->label);
    }
    if (*image->account) {
        apipool_record_put_text(&writer, KEY_ACCOUNT_NAME, image->account);
    }
    apipool_saving_put(saving, name, &writer);
}

static void save_key(apipool_saving_t *saving, int n)
{
    const apipool_store_change_t *change = saving->change;
    const apipool_slot_t *slot = &saving->slots[n];
    apipool_key_image_t image = {.pool = slot->pool,
                                 .group = slot->group,
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
}

/* Ids stay when the secret is replaced. */
static void save_id_secret(apipool_saving_t *saving)
{
    unsigned char sealed[APIPOOL_SECRET_SIZE + APIPOOL_VAULT_OVERHEAD];
    const apipool_store_t *store = saving->store;
    const unsigned char *id_secret = store->segment->header->secret;
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

apr_status_t apipool_store_write_keys(apipool_saving_t *saving)
{
    const apipool_store_change_t *change = saving->change;
    apipool_key_image_t image;
    save_id_secret(saving);
    apr_status_t rv = apipool_saving_slots(saving, save_key);
    while (rv == APR_SUCCESS && change && change->new_key && change->new_key(change->ctx, &image)) {
        save_image(saving, &image);
        apipool_pace();
    }
    rv = rv == APR_SUCCESS ? apipool_store_write_clients(saving) : rv;
    return rv == APR_SUCCESS ? apipool_store_write_sessions(saving) : rv;
}

static void read_field(apipool_stored_key_t *key, const apipool_record_field_t *field,
                       apipool_record_field_t *sealed)
{
    apr_uint64_t row[LIMITS] = {0};
    apr_size_t count;
    switch (field->tag) {
    case KEY_SERVER:
        apipool_store_text(key->server, sizeof(key->server), field);
        break;
    case KEY_POOL:
        apipool_store_text(key->pool, sizeof(key->pool), field);
        break;
    case KEY_UPSTREAM:
        apipool_store_text(key->upstream, sizeof(key->upstream), field);
        break;
    case KEY_SEALED:
        *sealed = *field;
        break;
    case KEY_ENABLED:
        key->enabled = field->number != 0;
        break;
    case KEY_WEIGHT:
        key->weight =
            field->number < APIPOOL_WEIGHT_MAX ? (apr_uint32_t)field->number : APIPOOL_WEIGHT_MAX;
        break;
    case KEY_ACCOUNT:
        key->account_hash = field->number;
        break;
    case KEY_LIMITS:
        apipool_record_u64s(field, row, LIMITS, &count);
        key->limits = (apipool_key_limits_t){apipool_flat_u32(row[0]), apipool_flat_u32(row[1]),
                                             apipool_flat_u32(row[2]), apipool_flat_u32(row[3]),
                                             apipool_flat_u32(row[4])};
        break;
    case KEY_LABEL:
        apipool_store_text(key->label, sizeof(key->label), field);
        break;
    case KEY_ACCOUNT_NAME:
        apipool_store_text(key->account, sizeof(key->account), field);
        break;
    case KEY_ADDED_AT:
        key->added_at = apipool_record_i64(field);
        break;
    default: /* of a later version */
        break;
    }
}

/* Opens what was sealed: with the secret, or with the one that was about to replace it. */
static int unseal(const apipool_store_t *store, const void *aad, apr_size_t aad_len,
                  const apipool_record_field_t *sealed, void *out, apr_size_t room, apr_size_t *len)
{
    return apipool_vault_unseal(&store->vault, aad, aad_len, sealed->bytes, sealed->len, out, room,
                                len) ||
           (store->has_next && apipool_vault_unseal(&store->next_vault, aad, aad_len, sealed->bytes,
                                                    sealed->len, out, room, len));
}

static int open_key(const apipool_stored_keys_t *keys, apipool_stored_key_t *key,
                    const apipool_record_field_t *sealed)
{
    char aad[AAD_MAX], plain[APIPOOL_KEY_MAX];
    apr_size_t aad_len = bind_to(aad, key->server, key->pool, key->id);
    int good =
        unseal(keys->store, aad, aad_len, sealed, plain, sizeof(plain), &key->len) && key->len > 0;
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

/* Whether each key is the one that its record's name says: when that secret is known. */
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

static apr_status_t read_key(void *ctx, const char *name, apr_size_t name_len, const char *value,
                             apr_size_t len)
{
    apipool_stored_keys_t *keys = ctx;
    apipool_stored_key_t key = {.weight = 1, .enabled = 1};
    apipool_record_field_t field, sealed = {.len = 0};
    apipool_record_reader_t reader;
    char hex[17] = "";

    if (name_len && name[0] == 'c') {
        int good = apipool_store_read_client(value, len, keys->clients);
        keys->error = good ? keys->error : "the record of a client cannot be read";
        return good ? APR_SUCCESS : APR_EGENERAL;
    }
    if (name_len == strlen(ID_SECRET) && memcmp(name, ID_SECRET, name_len) == 0) {
        return read_id_secret(keys, value, len);
    }
    if (name_len < 17 || name[0] != 'k') {
        apipool_store_read_session(keys, name, name_len, value, len);
        return APR_SUCCESS;
    }
    memcpy(hex, name + 1, 16);
    key.id = strtoull(hex, NULL, 16);
    if (apipool_record_open(&reader, value, len)) {
        while (apipool_record_next(&reader, &field)) {
            read_field(&key, &field, &sealed);
        }
    }
    if (!apipool_record_is_whole(&reader) || !open_key(keys, &key, &sealed)) {
        keys->error =
            apr_psprintf(keys->pool, "the record of key %s cannot be read with this secret", hex);
        return APR_EGENERAL;
    }
    APR_ARRAY_PUSH(keys->keys, apipool_stored_key_t) = key;
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
    memcpy(made->id_secret, store->secret, sizeof(made->id_secret));
    apr_status_t rv = apipool_folder_load(store->folder, APIPOOL_STORE_KEYS, read_key, made,
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

/* A key that is there already, in that group, becomes what is said of it; the rest of what it is stays. */
static apr_status_t replace_key(apipool_segment_t *segment, apr_uint32_t pool,
                                const apipool_stored_key_t *key)
{
    apipool_key_patch_t patch = {.edit = {.set = APIPOOL_SET_ALL,
                                          .enabled = key->enabled,
                                          .label = key->label,
                                          .weight = key->weight,
                                          .account = key->account,
                                          .limits = key->limits},
                                 .group = APIPOOL_NONE};
    return apipool_pool_edit(segment, pool, key->id, &patch);
}

apr_status_t apipool_store_put_key(apipool_segment_t *segment, const apipool_stored_key_t *key,
                                   apr_uint32_t *pool)
{
    apr_uint32_t group;
    apipool_added_e added;
    apipool_key_item_t item = {.key = key->key,
                               .len = key->len,
                               .enabled = key->enabled,
                               .label = key->label,
                               .weight = key->weight,
                               .account = key->account,
                               .limits = key->limits};
    apr_status_t rv =
        apipool_pool_known(segment, key->server, key->pool, key->upstream, pool, &group);
    if (rv == APR_SUCCESS) {
        rv = apipool_pool_add(segment, group, &item, key->added_at, &added);
    }
    if (rv == APR_SUCCESS && added == APIPOOL_DUPLICATE) {
        rv = replace_key(segment, *pool, key);
    }
    if (rv == APR_SUCCESS && !*key->account) { /* written before names were */
        apipool_pool_set_account(segment, *pool, key->id, key->account_hash);
    }
    return rv == APR_SUCCESS && added == APIPOOL_FULL ? APR_ENOSPC : rv;
}

apr_status_t apipool_store_put_keys(apipool_segment_t *segment, apipool_stored_keys_t *keys,
                                    const char **error)
{
    apr_status_t rv = APR_SUCCESS;
    apr_uint32_t pool;
    for (int i = 0; i < keys->keys->nelts; i++) {
        apipool_stored_key_t *key = &APR_ARRAY_IDX(keys->keys, i, apipool_stored_key_t);
        if (rv == APR_SUCCESS) {
            rv = apipool_store_put_key(segment, key, &pool);
        }
        OPENSSL_cleanse(key->key, key->len);
    }
    *error = rv == APR_SUCCESS
                 ? NULL
                 : "the stored keys do not fit into shared memory; raise APIPoolCapacity";
    return rv;
}
