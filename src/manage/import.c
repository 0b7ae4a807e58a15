/* SPDX-License-Identifier: Apache-2.0
 * Imports: keys that are new, and what is said of those that are there. */
#include "manage.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <openssl/crypto.h>
#include <string.h>

#include "config.h"
#include "keys.h"
#include "lasting.h"

#define FAULTS_MAX 1000 /* that are listed */

/* One key of the text, copied: what it is, once that has been looked at. */
typedef struct {
    apipool_key_item_t item;
    char *copy; /* the item's key */
    apr_uint64_t id;
    int is_new;
    apipool_key_patch_t patch; /* of one that is there */
    int changes;               /* whether the patch does anything */
} imported_t;

typedef struct {
    apipool_segment_t *segment;
    apr_uint32_t pool, group;
    apr_time_t now;
    apr_pool_t *p;
    apr_array_header_t *keys; /* imported_t, each key once */
    apr_hash_t *by_id;        /* the index of each, plus one */
    apipool_import_t *result;
    int next;    /* of the new ones that are written down */
    int unnamed; /* a key that libcrypto has given no id */
    int preview; /* nothing is to be changed */
} import_t;

/* --- Reading --- */

static void wipe(import_t *import)
{
    for (int i = 0; i < import->keys->nelts; i++) {
        const imported_t *key = &APR_ARRAY_IDX(import->keys, i, imported_t);
        OPENSSL_cleanse(key->copy, key->item.len);
    }
}

/* More than all that fits, whatever is there already: the rest is not looked at, which could be millions. */
static int is_too_much(const import_t *import)
{
    return (apr_uint32_t)import->keys->nelts > import->segment->header->capacity;
}

/* A key that stands there twice is what is said of it first. */
static void take_key(void *ctx, const apipool_key_item_t *item)
{
    import_t *import = ctx;
    if (is_too_much(import)) {
        return;
    }
    apr_uint64_t id = apipool_key_id(import->segment->header->secret, item->key, item->len);
    if (!id) {
        import->unnamed = 1;
        return;
    }
    if (apr_hash_get(import->by_id, &id, sizeof(id))) {
        import->result->duplicates++;
        return;
    }
    imported_t *key = apr_array_push(import->keys);
    memset(key, 0, sizeof(*key));
    key->item = *item;
    key->item.key = key->copy = apr_pstrmemdup(import->p, item->key, item->len);
    key->item.label = item->label ? apr_pstrdup(import->p, item->label) : NULL;
    key->item.account = item->account ? apr_pstrdup(import->p, item->account) : NULL;
    key->id = id;
    apr_uint64_t *name = apr_pmemdup(import->p, &id, sizeof(id));
    apr_hash_set(import->by_id, name, sizeof(*name),
                 (void *)(apr_uintptr_t)import->keys->nelts); /* from 1 */
}

static void take_fault(void *ctx, long line, const char *reason)
{
    import_t *import = ctx;
    if (import->result->invalid_count++ < FAULTS_MAX) {
        apipool_import_fault_t *fault = apr_array_push(import->result->invalid);
        fault->line = line;
        fault->reason = reason;
    }
}

/* Only what the configuration names gets keys: of any other upstream they would be used by nobody. */
static const apipool_upstream_t *find_upstream(apr_uint32_t pool, const char *name, apr_pool_t *p)
{
    const apr_array_header_t *pools = apipool_config_all_pools(p, ap_server_conf);
    for (int i = 0; i < pools->nelts; i++) {
        const apipool_pool_t *conf = APR_ARRAY_IDX(pools, i, apipool_pool_t *);
        for (int k = 0; conf->index == pool && k < conf->upstreams->nelts; k++) {
            const apipool_upstream_t *upstream =
                &APR_ARRAY_IDX(conf->upstreams, k, apipool_upstream_t);
            if (!name || !strcmp(upstream->name, name)) {
                return upstream;
            }
        }
    }
    return NULL;
}

/* --- The change --- */

static apr_status_t look_up(import_t *import, imported_t *key)
{
    apr_status_t rv = apipool_segment_lock(import->segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_uint32_t index = apipool_pool_find_locked(import->segment, import->pool, key->id);
    key->is_new = index == APIPOOL_NONE;
    key->changes = !key->is_new && apipool_key_patch_locked(import->segment, index, import->group,
                                                            &key->item, &key->patch);
    apipool_segment_unlock(import->segment);
    return APR_SUCCESS;
}

static apr_size_t length(const char *text)
{
    return text ? strlen(text) : 0;
}

/* Of a key that is there, what stays of its texts is not known. */
static void add_need(const imported_t *key, apipool_need_t *need)
{
    if (key->is_new) {
        need->keys++;
        apipool_need_add(need, key->item.len, length(key->item.label), length(key->item.account));
    }
    else if (key->patch.edit.set & (APIPOOL_SET_LABEL | APIPOOL_SET_ACCOUNT)) {
        apipool_need_add(need, 0, APIPOOL_LABEL_MAX, APIPOOL_ACCOUNT_MAX);
    }
    need->members += key->is_new || (key->changes && key->patch.group != APIPOOL_NONE);
}

static apr_status_t prepare(void *ctx, int *changes, const char **error)
{
    import_t *import = ctx;
    apr_status_t rv = APR_SUCCESS;
    apipool_need_t need = {0};
    int has_room = 0;
    for (int i = 0; rv == APR_SUCCESS && i < import->keys->nelts; i++) {
        imported_t *key = &APR_ARRAY_IDX(import->keys, i, imported_t);
        rv = look_up(import, key);
        apipool_segment_give_way(import->segment);
        import->result->added += (apr_uint32_t)key->is_new;
        import->result->duplicates += (apr_uint32_t)!key->is_new;
        import->result->updated += (apr_uint32_t)key->changes;
        add_need(key, &need);
    }
    if (rv == APR_SUCCESS) {
        rv = apipool_pool_make_room(import->segment, import->group, &need, &has_room);
    }
    if (rv != APR_SUCCESS) {
        *error = "the pool's lock is not to be had";
        return rv;
    }
    if (!has_room) {
        *error = apr_psprintf(import->p,
                              "%s%u new keys do not fit; raise APIPoolCapacity and restart fully",
                              is_too_much(import) ? "at least " : "", import->result->added);
        return APR_ENOMEM;
    }
    *changes = !import->preview && (import->result->added || import->result->updated);
    return APR_SUCCESS;
}

static int write_known(void *ctx, apipool_key_image_t *image)
{
    import_t *import = ctx;
    apr_uintptr_t number =
        image->pool == import->pool
            ? (apr_uintptr_t)apr_hash_get(import->by_id, &image->id, sizeof(image->id))
            : 0;
    if (number) {
        const imported_t *key = &APR_ARRAY_IDX(import->keys, (int)number - 1, imported_t);
        apipool_key_patch_image(&key->patch, image);
    }
    return 1;
}

static int write_new(void *ctx, apipool_key_image_t *image)
{
    import_t *import = ctx;
    const imported_t *keys = (const imported_t *)import->keys->elts;
    while (import->next < import->keys->nelts && !keys[import->next].is_new) {
        import->next++;
    }
    if (import->next == import->keys->nelts) {
        return 0;
    }
    const imported_t *key = &keys[import->next++];
    const apipool_key_item_t *item = &key->item;
    *image = (apipool_key_image_t){.pool = import->pool,
                                   .group = import->group,
                                   .id = key->id,
                                   .key = item->key,
                                   .len = item->len,
                                   .label = item->label ? item->label : "",
                                   .account = item->account ? item->account : "",
                                   .account_hash = item->account ? apipool_hash(item->account) : 0,
                                   .weight = item->weight ? item->weight : 1,
                                   .enabled = item->enabled,
                                   .limits = item->limits,
                                   .added_at = import->now};
    return 1;
}

static apr_status_t apply(void *ctx)
{
    import_t *import = ctx;
    apr_status_t rv = APR_SUCCESS;
    for (int i = 0; rv == APR_SUCCESS && i < import->keys->nelts; i++) {
        const imported_t *key = &APR_ARRAY_IDX(import->keys, i, imported_t);
        apipool_added_e added = APIPOOL_ADDED;
        if (key->is_new) {
            rv = apipool_pool_add(import->segment, import->group, &key->item, import->now, &added);
            APR_ARRAY_PUSH(import->result->ids, apr_uint64_t) = key->id;
        }
        else if (key->changes) {
            rv = apipool_pool_edit(import->segment, import->pool, key->id, &key->patch);
        }
        rv = added == APIPOOL_FULL ? APR_ENOMEM : rv;
        apipool_segment_give_way(import->segment);
    }
    return rv;
}

apr_status_t apipool_manage_key_import(apr_uint32_t pool, const char *upstream, const char *text,
                                       apr_size_t len, int preview, apr_pool_t *p,
                                       apipool_import_t *result, const char **error)
{
    apipool_segment_t *segment = apipool_lasting_segment();
    import_t import = {.segment = segment,
                       .pool = pool,
                       .now = apr_time_now(),
                       .p = p,
                       .keys = apr_array_make(p, 64, sizeof(imported_t)),
                       .by_id = apr_hash_make(p),
                       .result = result,
                       .preview = preview};
    apipool_key_sink_t sink = {.on_key = take_key, .on_invalid = take_fault, .ctx = &import};
    apipool_store_change_t change = {.prepare = prepare,
                                     .key = write_known,
                                     .new_key = write_new,
                                     .apply = apply,
                                     .ctx = &import};

    memset(result, 0, sizeof(*result));
    result->ids = apr_array_make(p, 64, sizeof(apr_uint64_t));
    result->invalid = apr_array_make(p, 8, sizeof(apipool_import_fault_t));
    const apipool_upstream_t *found = find_upstream(pool, upstream, p);
    if (!found) {
        *error = apr_psprintf(p, "the pool has no upstream %s", upstream ? upstream : "");
        return APR_NOTFOUND;
    }
    import.group = found->group;
    apipool_key_import(text, len, &sink);
    *error = "libcrypto cannot derive the id of a key";
    apr_status_t rv = import.unnamed ? APR_EGENERAL : apipool_lasting_change(&change, error, p);
    wipe(&import);
    return rv;
}
