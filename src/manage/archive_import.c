/* SPDX-License-Identifier: Apache-2.0
 * Import of an archive: its keys and clients in one change, all of them or none. */
#include "manage.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <openssl/crypto.h>
#include <stdint.h>
#include <string.h>

#include "archive.h"
#include "archive_entry.h"
#include "client.h"
#include "config.h"
#include "keys.h"
#include "lifecycle.h"
#include "render.h"
#include "throttle.h"

#define LISTED_MAX 1000 /* entries listed of each result */

static const char no_pool[] = "There is no such pool here.";
static const char no_upstream[] = "The pool has no such upstream here.";
static const char name_taken[] = "A client with this name already exists, with another key.";
static const char key_taken[] = "Another client already has this key.";
static const char damaged[] = "The archive contains something that this version does not know.";

typedef enum { NEW, KNOWN, UNPLACED, RESULTS } result_e;

/* Entry of the archive with what becomes of it. */
typedef struct item_t item_t;
struct item_t {
    item_t *next;
    apipool_archive_entry_t entry;
    result_e result;
    const char *reason; /* why it has no place: static */
    const apipool_pool_conf_t *pool;
    apr_uint32_t upstream; /* index, of a key */
    apr_uint64_t id;       /* of a key */
    apipool_client_image_t *image;
};

typedef struct {
    apipool_segment_t *segment;
    server_rec *server;
    const char *server_name;
    apr_pool_t *p;
    item_t *first, **end;
    const item_t *next_key, *next_client; /* to write */
    apr_hash_t *seen;                     /* ids with their pools, digests and names */
    apr_uint32_t counts[2][RESULTS];      /* of keys, and of clients */
    apr_array_header_t *ids;
    int only_looks;
} import_t;

/* --- Reading --- */

/* Finds the place of a key, which the configuration defines. */
static void place_key(import_t *import, item_t *item)
{
    const apipool_archive_entry_t *entry = &item->entry;
    item->pool = apipool_config_find_pool(import->server, entry->pool);
    const apipool_upstream_conf_t *upstream =
        item->pool ? apipool_config_upstream(item->pool, entry->upstream) : NULL;
    item->reason = !item->pool ? no_pool : !upstream ? no_upstream : NULL;
    item->upstream = upstream ? upstream->index : APIPOOL_NONE;
}

/* A client that may use a pool that is not here would be able to use others, or nothing. */
static void place_client(import_t *import, item_t *item)
{
    apipool_input_error_t flaw = {NULL};
    const apr_array_header_t *pools = item->entry.client.lists[APIPOOL_CLIENT_POOLS];
    for (int i = 0; pools && i < pools->nelts; i++) {
        if (!apipool_config_find_pool(import->server, APR_ARRAY_IDX(pools, i, const char *))) {
            item->reason = no_pool;
            return;
        }
    }
    item->image = apr_pcalloc(import->p, sizeof(*item->image));
    item->image->created_at = item->entry.added_at ? item->entry.added_at : apr_time_now();
    memcpy(item->image->digest, item->entry.digest, sizeof(item->image->digest));
    memcpy(item->image->old_digest, item->entry.old_digest, sizeof(item->image->old_digest));
    item->image->old_until = item->entry.old_until;
    if (apipool_manage_client_fill(import->server, &item->entry.client, import->p, item->image,
                                   &flaw) != APR_SUCCESS) {
        item->reason = flaw.message;
    }
}

static apr_status_t take(import_t *import, const apipool_archive_entry_t *entry)
{
    item_t *item = apr_pcalloc(import->p, sizeof(*item));
    item->entry = *entry;
    *import->end = item;
    import->end = &item->next;
    if (entry->is_client) {
        place_client(import, item);
        return APR_SUCCESS;
    }
    place_key(import, item);
    item->id = apipool_segment_key_id(import->segment, entry->key.key, entry->key.len);
    return item->id ? APR_SUCCESS : APR_EGENERAL;
}

static apr_status_t read_entries(import_t *import, const char *text, apr_size_t len,
                                 apipool_input_error_t *flaw)
{
    apr_status_t rv = APR_SUCCESS;
    for (const char *end; rv == APR_SUCCESS && len;
         len -= (apr_size_t)(end + 1 - text), text = end + 1) {
        apipool_archive_entry_t entry;
        end = memchr(text, '\n', len);
        if (!end ||
            !apipool_archive_entry_read(text, (apr_size_t)(end - text), import->p, &entry)) {
            *flaw = (apipool_input_error_t){"archive", damaged};
            return APR_EINVAL;
        }
        rv = take(import, &entry);
        apipool_throttle();
    }
    return rv;
}

/* --- The change --- */

/* Returns 1 if the archive has had this before. */
static int is_repeated(const import_t *import, const void *bytes, apr_size_t len)
{
    if (apr_hash_get(import->seen, bytes, (apr_ssize_t)len)) {
        return 1;
    }
    apr_hash_set(import->seen, apr_pmemdup(import->p, bytes, len), (apr_ssize_t)len, import);
    return 0;
}

static apr_status_t judge_key(const import_t *import, item_t *item)
{
    struct {
        apr_uint64_t id, pool;
    } name = {item->id, item->pool->index};
    apr_status_t rv = apipool_segment_lock(import->segment);
    if (rv == APR_SUCCESS) {
        item->result =
            apipool_pool_find_locked(import->segment, item->pool->index, item->id) != APIPOOL_NONE
                ? KNOWN
                : NEW;
        apipool_segment_unlock(import->segment);
    }
    if (item->result == NEW && is_repeated(import, &name, sizeof(name))) {
        item->result = KNOWN;
    }
    return rv;
}

static apr_status_t judge_client(const import_t *import, item_t *item)
{
    const apipool_client_image_t *image = item->image;
    apipool_client_row_t row;
    apr_status_t rv =
        apipool_client_read(import->segment, import->server_name, image->name, 0, &row);
    if (rv == APR_SUCCESS) {
        int same = !memcmp(row.image.digest, image->digest, sizeof(image->digest));
        item->result = same ? KNOWN : UNPLACED;
        item->reason = same ? NULL : name_taken;
        return rv;
    }
    item->result = NEW;
    rv = rv == APR_NOTFOUND ? apipool_client_may_add(import->segment, image) : rv;
    if (rv == APR_EEXIST ||
        (rv == APR_SUCCESS && is_repeated(import, image->digest, sizeof(image->digest)))) {
        item->result = UNPLACED;
        item->reason = key_taken;
    }
    else if (rv == APR_SUCCESS && is_repeated(import, image->name, strlen(image->name))) {
        item->result = UNPLACED;
        item->reason = name_taken;
    }
    return rv == APR_EEXIST || rv == APR_ENOMEM ? APR_SUCCESS : rv; /* room is counted later */
}

static apr_status_t judge_all(import_t *import)
{
    apr_status_t rv = APR_SUCCESS;
    for (item_t *item = import->first; rv == APR_SUCCESS && item; item = item->next) {
        if (item->reason) {
            item->result = UNPLACED;
        }
        else {
            rv = item->image ? judge_client(import, item) : judge_key(import, item);
        }
        import->counts[item->entry.is_client][item->result]++;
        apipool_segment_give_way(import->segment);
    }
    return rv;
}

static apr_size_t length(const char *text)
{
    return text ? strlen(text) : 0;
}

/* Reserves room for the keys of each upstream. Each call checks all that is needed again, so that
 * the last one counts for all. */
static apr_status_t make_room(const import_t *import, int *has_room)
{
    apr_uint32_t *members = apr_pcalloc(import->p, APIPOOL_UPSTREAMS_MAX * sizeof(*members));
    apipool_capacity_t capacity = {0};
    apr_status_t rv = APR_SUCCESS;
    for (const item_t *item = import->first; item; item = item->next) {
        if (item->result == NEW && !item->image) {
            const apipool_key_item_t *key = &item->entry.key;
            capacity.keys++;
            members[item->upstream]++;
            apipool_capacity_add(&capacity, key->len, length(key->label), length(key->account));
        }
    }
    *has_room = 1;
    for (apr_uint32_t i = 0; rv == APR_SUCCESS && *has_room && i < APIPOOL_UPSTREAMS_MAX; i++) {
        capacity.members = members[i];
        if (members[i]) {
            rv = apipool_pool_make_room(import->segment, i, &capacity, has_room);
        }
    }
    return rv;
}

/* A virtual host may see pools of the main server as well; each has its own share. */
static int has_share(const import_t *import, server_rec *server)
{
    apr_uint32_t share = apipool_config_share(server), added = 0;
    for (const item_t *item = import->first; share && item; item = item->next) {
        added += item->result == NEW && !item->image && item->pool->server == server;
    }
    const char *name = apipool_config_scope(server);
    return !added || apipool_pool_keys_of(import->segment, name) + added <= share;
}

static apr_status_t has_clients_share(const import_t *import, int *has_room, int *has_share)
{
    apr_uint32_t share = apipool_config_client_share(import->server), room = 0, count = 0;
    apr_uint32_t added = import->counts[1][NEW];
    apr_status_t rv = apipool_client_room(import->segment, &room);
    if (rv == APR_SUCCESS && share) {
        rv = apipool_client_count(import->segment, import->server_name, &count);
    }
    *has_room = added <= room;
    *has_share = !added || !share || count + added <= share;
    return rv;
}

/* Tells what there is no room for; NULL if all has its place. */
static const char *lacking(const import_t *import, int for_keys, int for_clients, int in_share)
{
    apr_pool_t *p = import->p;
    apr_uint32_t keys = import->counts[0][NEW], clients = import->counts[1][NEW];
    if (!for_keys) {
        return apr_psprintf(p,
                            "There is no room for %u new keys; raise APIPoolCapacity, then stop "
                            "and start httpd.",
                            keys);
    }
    if (!has_share(import, import->server) || !has_share(import, ap_server_conf)) {
        return apr_psprintf(p,
                            "There is no room for %u new keys; raise this virtual host's "
                            "APIPoolCapacity, then restart httpd.",
                            keys);
    }
    if (!for_clients) {
        return apr_psprintf(p, "There is no room for %u new clients; raise APIPoolClientCapacity.",
                            clients);
    }
    return in_share ? NULL
                    : apr_psprintf(p,
                                   "There is no room for %u new clients; raise this virtual host's "
                                   "APIPoolClientCapacity.",
                                   clients);
}

static apr_status_t check_room(const import_t *import, const char **error)
{
    int for_keys = 0, for_clients = 0, in_share = 0;
    apr_status_t rv = make_room(import, &for_keys);
    rv = rv == APR_SUCCESS ? has_clients_share(import, &for_clients, &in_share) : rv;
    *error = rv == APR_SUCCESS ? lacking(import, for_keys, for_clients, in_share)
                               : "the lock of the shared memory could not be taken";
    return rv == APR_SUCCESS && *error ? APR_ENOMEM : rv;
}

static apr_status_t prepare(void *ctx, int *changes, const char **error)
{
    import_t *import = ctx;
    apr_status_t rv = judge_all(import);
    if (rv != APR_SUCCESS) {
        *error = "the lock of the shared memory could not be taken";
        return rv;
    }
    rv = check_room(import, error);
    import->next_key = import->next_client = import->first;
    *changes = !import->only_looks && import->counts[0][NEW] + import->counts[1][NEW] > 0;
    return rv;
}

/* Takes the next new item of a kind. */
static const item_t *next_new(const item_t **next, int is_client)
{
    const item_t *item = *next;
    while (item && (item->result != NEW || item->entry.is_client != is_client)) {
        item = item->next;
    }
    *next = item ? item->next : NULL;
    return item;
}

static apr_time_t added_at(const item_t *item)
{
    return item->entry.added_at ? item->entry.added_at : apr_time_now();
}

static int write_key(void *ctx, apipool_key_image_t *image)
{
    import_t *import = ctx;
    const item_t *item = next_new(&import->next_key, 0);
    if (!item) {
        return 0;
    }
    *image = apipool_key_item_image(&item->entry.key);
    image->pool = item->pool->index;
    image->upstream = item->upstream;
    image->id = item->id;
    image->added_at = added_at(item);
    return 1;
}

static const apipool_client_image_t *write_client(void *ctx)
{
    import_t *import = ctx;
    const item_t *item = next_new(&import->next_client, 1);
    return item ? item->image : NULL;
}

static apr_status_t apply(void *ctx)
{
    import_t *import = ctx;
    apr_status_t rv = APR_SUCCESS;
    for (const item_t *item = import->first; rv == APR_SUCCESS && item; item = item->next) {
        apipool_added_e added = APIPOOL_ADDED;
        if (item->result == NEW && item->image) {
            rv = apipool_client_add(import->segment, item->image);
        }
        else if (item->result == NEW) {
            rv = apipool_pool_add(import->segment, item->upstream, &item->entry.key, added_at(item),
                                  &added);
            APR_ARRAY_PUSH(import->ids, apr_uint64_t) = item->id;
        }
        rv = added == APIPOOL_FULL ? APR_ENOMEM : rv;
        apipool_segment_give_way(import->segment);
    }
    return rv;
}

/* --- The result --- */

static json_t *render(const item_t *item)
{
    static const char *const results[RESULTS] = {"new", "known", "unplaced"};
    const apipool_archive_entry_t *entry = &item->entry;
    char masked[APIPOOL_MASKED_SIZE] = "";
    if (!entry->is_client) {
        apipool_key_mask(entry->key.key, entry->key.len, masked);
    }
    return json_pack("{s:s,s:s,s:o,s:o,s:o,s:s,s:s?}", "kind", entry->is_client ? "client" : "key",
                     "name", entry->is_client ? entry->client.name : masked, "pool",
                     apipool_render_text(entry->pool), "upstream",
                     apipool_render_text(entry->upstream), "label",
                     apipool_render_text(entry->key.label), "result", results[item->result],
                     "reason", item->reason);
}

static json_t *render_counts(const apr_uint32_t counts[RESULTS])
{
    return json_pack("{s:I,s:I,s:I}", "added", (json_int_t)counts[NEW], "known",
                     (json_int_t)counts[KNOWN], "unplaced", (json_int_t)counts[UNPLACED]);
}

/* What has no place is told each time, the rest only before the import. */
static json_t *render_all(const import_t *import)
{
    json_t *items = json_array();
    int listed[RESULTS] = {0};
    for (const item_t *item = import->first; item; item = item->next) {
        if ((import->only_looks || item->result == UNPLACED) &&
            listed[item->result]++ < LISTED_MAX) {
            json_array_append_new(items, render(item));
            apipool_throttle();
        }
    }
    return json_pack("{s:o,s:o,s:o}", "keys", render_counts(import->counts[0]), "clients",
                     render_counts(import->counts[1]), "items", items);
}

apr_status_t apipool_manage_archive_import(struct server_rec *s,
                                           const apipool_archive_source_t *source, apr_pool_t *p,
                                           json_t **result, apr_array_header_t **ids,
                                           apipool_input_error_t *flaw)
{
    import_t import = {.segment = apipool_lifecycle_segment(),
                       .server = s,
                       .server_name = apipool_config_scope(s),
                       .p = p,
                       .end = &import.first,
                       .seen = apr_hash_make(p),
                       .ids = apr_array_make(p, 64, sizeof(apr_uint64_t)),
                       .only_looks = source->only_looks};
    apipool_store_change_t change = {.prepare = prepare,
                                     .new_key = write_key,
                                     .new_client = write_client,
                                     .apply = apply,
                                     .ctx = &import};
    char *text = NULL;
    apr_size_t len = 0;
    apipool_archive_e opened = apipool_archive_open(source->bytes, source->len, source->passphrase,
                                                    strlen(source->passphrase), p, &text, &len);
    if (opened != APIPOOL_ARCHIVE_GOOD) {
        *flaw = (apipool_input_error_t){opened == APIPOOL_ARCHIVE_LOCKED ? "passphrase" : "archive",
                                        apipool_archive_explain(opened)};
        return opened == APIPOOL_ARCHIVE_FAILED ? APR_EGENERAL : APR_EINVAL;
    }
    apr_status_t rv = read_entries(&import, text, len, flaw);
    if (rv == APR_SUCCESS) {
        rv = apipool_lifecycle_change(&change, &flaw->message, p);
    }
    if (rv == APR_SUCCESS) {
        *result = render_all(&import);
        *ids = import.ids;
    }
    return rv;
}
