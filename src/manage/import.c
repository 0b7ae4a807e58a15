/* SPDX-License-Identifier: Apache-2.0
 * Import of keys: new keys, and attributes of existing ones. */
#include "manage.h"

#include <apr_strings.h>
#include <openssl/crypto.h>
#include <stdint.h>
#include <string.h>

#include "configured.h"
#include "key_doubt.h"
#include "key_list.h"
#include "keys.h"
#include "lifecycle.h"
#include "throttle.h"

#define FAULTS_MAX 1000 /* faults listed */
#define KEYS_MAX   1000 /* keys of a preview listed */
#define PER_CHAIN  4    /* keys per chain when all fit */

/* Copied key of the list with what becomes of it. */
typedef struct imported_t imported_t;
struct imported_t {
    imported_t *next;  /* in the order of the list */
    imported_t *chain; /* keys whose ids have the same lower bits */
    apipool_key_item_t item;
    apr_uint64_t id;
    int is_new;
    apipool_key_patch_t *patch; /* for an existing key; NULL: unchanged */
};

/* State of an import. Keys arrive one by one, and nothing that holds them has to be copied to
 * grow. */
typedef struct {
    apipool_segment_t *segment;
    apr_uint32_t pool, upstream;
    apr_time_t now;
    apr_pool_t *p;
    imported_t *first, **end; /* each key once */
    imported_t **chains;      /* by id */
    apr_uint32_t chain_count; /* a power of two */
    apr_uint32_t count;
    apipool_import_t *result;
    const imported_t *next; /* next key to write, if it is new */
    int unnamed;            /* libcrypto could not derive the id of a key */
    unsigned options;       /* APIPOOL_IMPORT_ */
    apipool_key_kinds_t *kinds;
    server_rec *server; /* of the pool */
} import_t;

/* --- Reading --- */

static void open_import(import_t *import)
{
    import->end = &import->first;
    import->chain_count = 16;
    while (import->chain_count < apipool_segment_capacity(import->segment) / PER_CHAIN) {
        import->chain_count *= 2;
    }
    import->chains = apr_pcalloc(import->p, import->chain_count * sizeof(imported_t *));
    import->result->ids = apr_array_make(import->p, 64, sizeof(apr_uint64_t));
    import->result->invalid = apr_array_make(import->p, 8, sizeof(apipool_import_fault_t));
    import->result->doubtful = apr_array_make(import->p, 8, sizeof(apipool_import_key_t));
    import->result->keys = apr_array_make(import->p, 8, sizeof(apipool_import_key_t));
    import->kinds = apr_pcalloc(import->p, sizeof(*import->kinds));
}

static void wipe(const import_t *import)
{
    for (const imported_t *key = import->first; key; key = key->next) {
        OPENSSL_cleanse((void *)(uintptr_t)key->item.key, key->item.len); /* a private copy */
        apipool_throttle();
    }
}

static imported_t **chain_of(const import_t *import, apr_uint64_t id)
{
    return &import->chains[id & (import->chain_count - 1)];
}

static imported_t *find(const import_t *import, apr_uint64_t id)
{
    imported_t *key = *chain_of(import, id);
    while (key && key->id != id) {
        key = key->chain;
    }
    return key;
}

/* Returns 1 if there are more keys than could ever fit: the rest, which may be millions, is
 * ignored. */
static int is_too_much(const import_t *import)
{
    return import->count > apipool_segment_capacity(import->segment);
}

static void keep(import_t *import, apr_uint64_t id, const apipool_key_item_t *item)
{
    imported_t *key = apr_pcalloc(import->p, sizeof(*key));
    key->item = *item;
    key->item.key = apr_pstrmemdup(import->p, item->key, item->len);
    key->item.label = item->label ? apr_pstrdup(import->p, item->label) : NULL;
    key->item.account = item->account ? apr_pstrdup(import->p, item->account) : NULL;
    key->id = id;
    key->chain = *chain_of(import, id);
    *chain_of(import, id) = key;
    *import->end = key;
    import->end = &key->next;
    import->count++;
    apipool_key_kinds_add(import->kinds, item->key, item->len);
}

/* The first occurrence of a key in the list counts. */
static void take_key(void *ctx, const apipool_key_item_t *item)
{
    import_t *import = ctx;
    if (is_too_much(import)) {
        return;
    }
    apipool_throttle();
    apr_uint64_t id = apipool_segment_key_id(import->segment, item->key, item->len);
    if (!id) {
        import->unnamed = 1;
    }
    else if (find(import, id)) {
        import->result->duplicates++;
    }
    else {
        keep(import, id, item);
    }
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

/* Reports nothing but the error of a broken list. */
static void give_up(import_t *import, const apipool_key_list_t *list)
{
    wipe(import);
    import->first = NULL;
    import->count = 0;
    memset(import->result, 0, sizeof(*import->result));
    open_import(import);
    take_fault(import, list->line, list->reason);
}

static apr_status_t read_list(import_t *import, const apipool_import_source_t *source,
                              const char **error)
{
    apipool_key_sink_t sink = {.on_key = take_key, .on_invalid = take_fault, .ctx = import};
    apipool_key_list_t list;
    apr_status_t rv = APR_SUCCESS;
    const char *bytes;
    apr_size_t len;
    apipool_key_list_begin(&list, source->is_json ? APIPOOL_KEY_LIST_JSON : APIPOOL_KEY_LIST_IMPORT,
                           &sink);
    int good = 1;
    while (good && (rv = source->next(source->ctx, &bytes, &len)) == APR_SUCCESS) {
        good = apipool_key_list_feed(&list, bytes, len);
        apipool_throttle();
    }
    rv = rv == APR_EOF ? APR_SUCCESS : rv;
    if (rv == APR_SUCCESS && !(good && apipool_key_list_end(&list))) {
        give_up(import, &list);
        *error = apipool_key_list_explain(&list, import->p);
        rv = source->is_json ? APR_EINVAL : APR_SUCCESS;
    }
    apipool_key_list_wipe(&list);
    return rv;
}

const apipool_upstream_conf_t *apipool_manage_upstream(apr_uint32_t pool, const char *name,
                                                       apr_pool_t *p, server_rec **server)
{
    const apr_array_header_t *pools = apipool_config_all_pools(p, ap_server_conf);
    for (int i = 0; i < pools->nelts; i++) {
        const apipool_pool_conf_t *conf = APR_ARRAY_IDX(pools, i, apipool_pool_conf_t *);
        for (int k = 0; conf->index == pool && k < conf->upstreams->nelts; k++) {
            const apipool_upstream_conf_t *upstream =
                &APR_ARRAY_IDX(conf->upstreams, k, apipool_upstream_conf_t);
            *server = conf->server;
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
    apipool_key_patch_t patch;
    apr_status_t rv = apipool_segment_lock(import->segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_uint32_t index = apipool_pool_find_locked(import->segment, import->pool, key->id);
    key->is_new = index == APIPOOL_NONE;
    int changes = !key->is_new && apipool_key_patch_locked(import->segment, index, import->upstream,
                                                           &key->item, &patch);
    apipool_segment_unlock(import->segment);
    key->patch = changes ? apr_pmemdup(import->p, &patch, sizeof(patch)) : NULL;
    return APR_SUCCESS;
}

static void list_key(const import_t *import, apr_array_header_t *to, const imported_t *key,
                     const char *doubt)
{
    char masked[APIPOOL_MASKED_SIZE];
    apipool_key_mask(key->item.key, key->item.len, masked);
    APR_ARRAY_PUSH(to, apipool_import_key_t) =
        (apipool_import_key_t){.line = key->item.line,
                               .masked = apr_pstrdup(import->p, masked),
                               .label = key->item.label,
                               .account = key->item.account,
                               .doubt = doubt,
                               .result = key->is_new  ? APIPOOL_IMPORT_NEW
                                         : key->patch ? APIPOOL_IMPORT_CHANGED
                                                      : APIPOOL_IMPORT_KNOWN};
}

/* Counts what becomes of a key. One that is in the pool is no longer in doubt. */
static void judge(const import_t *import, imported_t *key)
{
    apipool_import_t *result = import->result;
    const char *doubt =
        key->is_new ? apipool_key_doubt(import->kinds, key->item.key, key->item.len) : NULL;
    if (doubt && !(import->options & APIPOOL_IMPORT_DOUBTFUL)) {
        list_key(import, result->doubtful, key, doubt);
        key->is_new = 0;
        return;
    }
    result->added += (apr_uint32_t)key->is_new;
    result->duplicates += (apr_uint32_t)!key->is_new;
    result->updated += (apr_uint32_t)(key->patch != NULL);
    if (import->options & APIPOOL_IMPORT_PREVIEW && result->keys->nelts < KEYS_MAX) {
        list_key(import, result->keys, key, doubt);
    }
}

static apr_size_t length(const char *text)
{
    return text ? strlen(text) : 0;
}

/* For an existing key, the sizes of its unchanged texts are unknown, so the maximum is assumed. */
static void add_capacity(const imported_t *key, apipool_capacity_t *capacity)
{
    if (key->is_new) {
        capacity->keys++;
        apipool_capacity_add(capacity, key->item.len, length(key->item.label),
                             length(key->item.account));
    }
    else if (key->patch && key->patch->edit.set & (APIPOOL_SET_LABEL | APIPOOL_SET_ACCOUNT)) {
        apipool_capacity_add(capacity, 0, APIPOOL_LABEL_MAX, APIPOOL_ACCOUNT_MAX);
    }
    capacity->members += key->is_new || (key->patch && key->patch->upstream != APIPOOL_NONE);
}

/* The count cannot change before this change is made, as no other one is in progress. */
static apr_status_t check_share(import_t *import, const char **error)
{
    apr_uint32_t share = apipool_config_share(import->server), added = import->result->added;
    const char *server = apipool_config_scope(import->server);
    if (!share || !added || apipool_pool_keys_of(import->segment, server) + added <= share) {
        return APR_SUCCESS;
    }
    *error = apr_psprintf(import->p,
                          "There is no room for %u new keys; raise this virtual host's "
                          "APIPoolCapacity, then restart httpd.",
                          added);
    return APR_ENOMEM;
}

static apr_status_t prepare(void *ctx, int *changes, const char **error)
{
    import_t *import = ctx;
    apr_status_t rv = APR_SUCCESS;
    apipool_capacity_t capacity = {0};
    int has_room = 0;
    for (imported_t *key = import->first; rv == APR_SUCCESS && key; key = key->next) {
        rv = look_up(import, key);
        apipool_segment_give_way(import->segment);
        judge(import, key);
        add_capacity(key, &capacity);
    }
    if (rv == APR_SUCCESS) {
        rv = apipool_pool_make_room(import->segment, import->upstream, &capacity, &has_room);
    }
    if (rv != APR_SUCCESS) {
        *error = "the lock of the shared memory could not be taken";
        return rv;
    }
    if (!has_room) {
        *error = apr_psprintf(import->p,
                              is_too_much(import)
                                  ? "There is no room for %u and more new keys; raise "
                                    "APIPoolCapacity, then stop and start httpd."
                                  : "There is no room for %u new keys; raise APIPoolCapacity, "
                                    "then stop and start httpd.",
                              import->result->added);
        return APR_ENOMEM;
    }
    rv = check_share(import, error);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    import->next = import->first;
    *changes = !(import->options & APIPOOL_IMPORT_PREVIEW) &&
               (import->result->added || import->result->updated);
    return APR_SUCCESS;
}

static int write_known(void *ctx, apipool_key_image_t *image)
{
    import_t *import = ctx;
    const imported_t *key = image->pool == import->pool ? find(import, image->id) : NULL;
    if (key && key->patch) {
        apipool_key_patch_image(key->patch, image);
    }
    return 1;
}

static int write_new(void *ctx, apipool_key_image_t *image)
{
    import_t *import = ctx;
    const imported_t *key = import->next;
    while (key && !key->is_new) {
        key = key->next;
    }
    if (!key) {
        return 0;
    }
    import->next = key->next;
    *image = apipool_key_item_image(&key->item);
    image->pool = import->pool;
    image->upstream = import->upstream;
    image->id = key->id;
    image->added_at = import->now;
    return 1;
}

static apr_status_t apply(void *ctx)
{
    import_t *import = ctx;
    apr_status_t rv = APR_SUCCESS;
    for (const imported_t *key = import->first; rv == APR_SUCCESS && key; key = key->next) {
        apipool_added_e added = APIPOOL_ADDED;
        if (key->is_new) {
            rv = apipool_pool_add(import->segment, import->upstream, &key->item, import->now,
                                  &added);
            APR_ARRAY_PUSH(import->result->ids, apr_uint64_t) = key->id;
        }
        else if (key->patch) {
            rv = apipool_pool_edit(import->segment, import->pool, key->id, key->patch);
        }
        rv = added == APIPOOL_FULL ? APR_ENOMEM : rv;
        apipool_segment_give_way(import->segment);
    }
    return rv;
}

apr_status_t apipool_manage_key_import(apr_uint32_t pool, const char *upstream,
                                       const apipool_import_source_t *source, unsigned options,
                                       apr_pool_t *p, apipool_import_t *result,
                                       apipool_input_error_t *flaw)
{
    import_t import = {.segment = apipool_lifecycle_segment(),
                       .pool = pool,
                       .now = apr_time_now(),
                       .p = p,
                       .result = result,
                       .options = options};
    apipool_store_change_t change = {.prepare = prepare,
                                     .key = write_known,
                                     .new_key = write_new,
                                     .apply = apply,
                                     .ctx = &import};

    memset(result, 0, sizeof(*result));
    const apipool_upstream_conf_t *found =
        apipool_manage_upstream(pool, upstream, p, &import.server);
    if (!found) {
        *flaw = (apipool_input_error_t){"upstream", "The pool has no such upstream."};
        return APR_EINVAL;
    }
    import.upstream = found->index;
    open_import(&import);
    apr_status_t rv = read_list(&import, source, &flaw->message);
    if (rv == APR_SUCCESS && import.unnamed) {
        flaw->message = "OpenSSL could not derive the id of a key";
        rv = APR_EGENERAL;
    }
    if (rv == APR_SUCCESS) {
        rv = apipool_lifecycle_change(&change, &flaw->message, p);
    }
    wipe(&import);
    return rv;
}
