/* SPDX-License-Identifier: Apache-2.0
 * Keys as records: what one says of a key, and how it is read again. */
#include <apr_strings.h>
#include <openssl/crypto.h>
#include <string.h>

#include "flat.h"
#include "keys.h"
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
    KEY_ACCOUNT, /* hash */
    KEY_LIMITS,  /* rpm, rpd, tpm, tpd, concurrency */
    KEY_ADDED_AT
};
#define LIMITS 5

/* One key in private memory. */
typedef struct {
    char server[APIPOOL_SERVER_NAME_MAX], pool[APIPOOL_NAME_MAX], upstream[APIPOOL_NAME_MAX];
    apr_uint64_t id, account;
    apr_time_t added_at;
    apr_uint64_t limits[LIMITS];
    apr_uint32_t weight;
    int enabled;
    char *key; /* len bytes */
    apr_size_t len;
} stored_t;

struct apipool_stored_keys_t {
    apipool_store_t *store;
    apr_pool_t *pool;
    apr_array_header_t *keys; /* stored_t */
    const char *error;
};

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

static void save_key(apipool_saving_t *saving, int n)
{
    const apipool_store_t *store = saving->store;
    const apipool_slot_t *slot = &saving->slots[n];
    const apipool_shared_pool_t *pool = &store->segment->pools[slot->pool];
    const apr_uint64_t limits[LIMITS] = {slot->limits.rpm, slot->limits.rpd, slot->limits.tpm,
                                         slot->limits.tpd, slot->limits.concurrency};
    unsigned char sealed[APIPOOL_KEY_MAX + APIPOOL_VAULT_OVERHEAD];
    char name[APIPOOL_STORE_NAME_SIZE], aad[AAD_MAX];
    apipool_record_writer_t writer;
    apr_size_t aad_len = bind_to(aad, pool->server, pool->name, slot->id);

    apipool_store_key_name(name, slot->id, pool->server, pool->name);
    apipool_record_begin(&writer, saving->record, sizeof(saving->record));
    apipool_record_put_text(&writer, KEY_SERVER, pool->server);
    apipool_record_put_text(&writer, KEY_POOL, pool->name);
    apipool_record_put_text(&writer, KEY_UPSTREAM, store->segment->groups[slot->group].name);
    if (!apipool_vault_seal(&store->vault, aad, aad_len, saving->keys[n], slot->secret_len,
                            sealed)) {
        saving->unsealed = 1;
        return;
    }
    apipool_record_put_bytes(&writer, KEY_SEALED, sealed,
                             slot->secret_len + APIPOOL_VAULT_OVERHEAD);
    apipool_record_put_u64(&writer, KEY_ENABLED, slot->state != APIPOOL_STATE_DISABLED);
    apipool_record_put_u64(&writer, KEY_WEIGHT, slot->weight);
    apipool_record_put_u64(&writer, KEY_ACCOUNT, slot->account);
    apipool_record_put_u64s(&writer, KEY_LIMITS, limits, LIMITS);
    apipool_record_put_i64(&writer, KEY_ADDED_AT, slot->added_at);
    apipool_saving_put(saving, name, &writer);
}

apr_status_t apipool_store_write_keys(apipool_saving_t *saving)
{
    return apipool_saving_slots(saving, save_key);
}

static void read_field(stored_t *key, const apipool_record_field_t *field,
                       apipool_record_field_t *sealed)
{
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
        key->account = field->number;
        break;
    case KEY_LIMITS:
        apipool_record_u64s(field, key->limits, LIMITS, &count);
        break;
    case KEY_ADDED_AT:
        key->added_at = apipool_record_i64(field);
        break;
    default: /* of a later version */
        break;
    }
}

/* Opens what was sealed, and checks that the key is the one that the record's name says. */
static int open_key(const apipool_stored_keys_t *keys, stored_t *key,
                    const apipool_record_field_t *sealed)
{
    char aad[AAD_MAX], plain[APIPOOL_KEY_MAX];
    apr_size_t aad_len = bind_to(aad, key->server, key->pool, key->id);
    int good = apipool_vault_unseal(&keys->store->vault, aad, aad_len, sealed->bytes, sealed->len,
                                    plain, sizeof(plain), &key->len) &&
               key->len > 0 && apipool_key_id(keys->store->secret, plain, key->len) == key->id;
    if (good) {
        key->key = apr_pmemdup(keys->pool, plain, key->len);
    }
    OPENSSL_cleanse(plain, sizeof(plain));
    return good;
}

static apr_status_t read_key(void *ctx, const char *name, apr_size_t name_len, const char *value,
                             apr_size_t len)
{
    apipool_stored_keys_t *keys = ctx;
    stored_t key = {.weight = 1, .enabled = 1};
    apipool_record_field_t field, sealed = {.len = 0};
    apipool_record_reader_t reader;
    char hex[17] = "";

    if (name_len < 17 || name[0] != 'k') { /* of a later version */
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
    APR_ARRAY_PUSH(keys->keys, stored_t) = key;
    return APR_SUCCESS;
}

apr_status_t apipool_store_read_keys(apipool_store_t *store, apipool_stored_keys_t **keys,
                                     apr_uint32_t *count, const char **error, apr_pool_t *pool)
{
    apipool_stored_keys_t *made = apr_pcalloc(pool, sizeof(*made));
    apr_uint64_t loaded;
    made->store = store;
    made->pool = pool;
    made->keys = apr_array_make(pool, 64, sizeof(stored_t));
    apr_status_t rv = apipool_folder_load(store->folder, APIPOOL_STORE_KEYS, read_key, made,
                                          &loaded, error, pool);
    *error = rv != APR_SUCCESS && !*error ? made->error : *error;
    *keys = made;
    *count = (apr_uint32_t)made->keys->nelts;
    return rv;
}

static apr_status_t put_key(apipool_segment_t *segment, const stored_t *key)
{
    apr_uint32_t pool, group;
    apipool_added_e added;
    apipool_key_item_t item = {
        .key = key->key,
        .len = key->len,
        .enabled = key->enabled,
        .weight = key->weight,
        .limits = {apipool_flat_u32(key->limits[0]), apipool_flat_u32(key->limits[1]),
                   apipool_flat_u32(key->limits[2]), apipool_flat_u32(key->limits[3]),
                   apipool_flat_u32(key->limits[4])},
    };
    apr_status_t rv = apipool_pool_attach(segment, key->server, key->pool, &pool);
    if (rv == APR_SUCCESS) {
        rv = apipool_pool_group(segment, pool, key->upstream, &group);
    }
    if (rv == APR_SUCCESS) {
        rv = apipool_pool_add(segment, group, &item, key->added_at, &added);
    }
    if (rv == APR_SUCCESS && added == APIPOOL_ADDED) {
        apipool_pool_set_account(segment, pool, key->id, key->account);
    }
    return rv == APR_SUCCESS && added == APIPOOL_FULL ? APR_ENOSPC : rv;
}

apr_status_t apipool_store_put_keys(apipool_segment_t *segment, apipool_stored_keys_t *keys,
                                    const char **error)
{
    apr_status_t rv = APR_SUCCESS;
    for (int i = 0; i < keys->keys->nelts; i++) {
        stored_t *key = &APR_ARRAY_IDX(keys->keys, i, stored_t);
        if (rv == APR_SUCCESS) {
            rv = put_key(segment, key);
        }
        OPENSSL_cleanse(key->key, key->len);
    }
    *error = rv == APR_SUCCESS
                 ? NULL
                 : "the stored keys do not fit into shared memory; raise APIPoolCapacity";
    return rv;
}
