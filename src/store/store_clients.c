/* SPDX-License-Identifier: Apache-2.0
 * Clients as records, and durable changes of them. */
#include <apr_hash.h>
#include <apr_strings.h>
#include <string.h>

#include "client.h"
#include "store_parts.h"
#include "throttle.h"

/* Members with their tags; core/record.h tells what may change. Each text of a list is a field;
 * each list has its own tag. */
enum { CLIENT_DIGEST = 3, CLIENT_LISTS = 8, CLIENT_OLD = CLIENT_LISTS + APIPOOL_CLIENT_LISTS };

#define MEMBER APIPOOL_RECORD_MEMBER
static const apipool_record_member_t client_members[] = {
    MEMBER(1, APIPOOL_AS_TEXT, apipool_client_image_t, server, char),
    MEMBER(2, APIPOOL_AS_TEXT, apipool_client_image_t, name, char),
    MEMBER(CLIENT_DIGEST, APIPOOL_AS_BYTES, apipool_client_image_t, digest, unsigned char),
    MEMBER(4, APIPOOL_AS_SIGNED, apipool_client_image_t, created_at, apr_time_t),
    MEMBER(5, APIPOOL_AS_NUMBER, apipool_client_image_t, terms.enabled, apr_uint32_t),
    MEMBER(6, APIPOOL_AS_SIGNED, apipool_client_image_t, terms.expires_at, apr_time_t),
    MEMBER(7, APIPOOL_AS_ROW, apipool_client_image_t, terms.limits, apr_uint32_t),
    {0}};

/* Only of a client that has an old key. */
static const apipool_record_member_t old_members[] = {
    MEMBER(CLIENT_OLD, APIPOOL_AS_BYTES, apipool_client_image_t, old_digest, unsigned char),
    MEMBER(CLIENT_OLD + 1, APIPOOL_AS_SIGNED, apipool_client_image_t, old_until, apr_time_t),
    {0}};

void apipool_store_client_name(char name[APIPOOL_STORE_NAME_SIZE], const unsigned char *digest)
{
    apr_uint64_t parts[2];
    memcpy(parts, digest, sizeof(parts));
    apr_snprintf(name, APIPOOL_STORE_NAME_SIZE,
                 "c%016" APR_UINT64_T_HEX_FMT "-%016" APR_UINT64_T_HEX_FMT, parts[0], parts[1]);
}

/* --- writing --- */

static void save_image(apipool_saving_t *saving, const apipool_client_image_t *image)
{
    char name[APIPOOL_STORE_NAME_SIZE];
    apipool_record_writer_t *writer = apipool_saving_begin(saving);
    apipool_record_put_members(writer, client_members, image);
    if (image->old_until) {
        apipool_record_put_members(writer, old_members, image);
    }
    for (int list = 0; list < APIPOOL_CLIENT_LISTS; list++) {
        const char *at = apipool_client_list(&image->terms, list);
        for (; *at; at += strlen(at) + 1) {
            apipool_record_put_text(writer, (unsigned char)(CLIENT_LISTS + list), at);
        }
    }
    apipool_store_client_name(name, image->digest);
    apipool_saving_put(saving, name);
}

static int is_same(const apipool_client_image_t *a, const apipool_client_image_t *b)
{
    return (!strcmp(a->name, b->name) && !strcmp(a->server, b->server)) ||
           !memcmp(a->digest, b->digest, sizeof(a->digest));
}

void apipool_store_write_clients(apipool_saving_t *saving)
{
    const apipool_store_change_t *change = saving->change;
    const apipool_client_image_t *changed = change ? change->client : NULL;
    apipool_segment_t *segment = saving->store->segment;
    apipool_client_image_t image;
    for (apr_uint32_t i = 0;
         saving->rv == APR_SUCCESS && i < apipool_clients_used(&segment->clients); i++) {
        apr_status_t rv = apipool_client_image(segment, i, &image);
        if (rv == APR_SUCCESS && (!changed || !is_same(&image, changed))) {
            if (change && change->each_client) {
                change->each_client(change->ctx, &image);
            }
            save_image(saving, &image);
        }
        saving->rv = rv == APR_NOTFOUND ? APR_SUCCESS : rv;
    }
    if (changed && !change->client_goes) {
        save_image(saving, changed);
    }
    const apipool_client_image_t *more;
    while (saving->rv == APR_SUCCESS && change && change->new_client &&
           (more = change->new_client(change->ctx))) {
        save_image(saving, more);
        apipool_throttle();
    }
}

/* --- reading --- */

/* Packs the lists once all their texts are known. */
static int read_lists(apipool_client_image_t *image, const char *value, apr_size_t len,
                      apr_pool_t *pool)
{
    apr_array_header_t *lists[APIPOOL_CLIENT_LISTS];
    apipool_record_reader_t reader;
    apipool_record_field_t field;
    int has_digest = 0;
    for (int list = 0; list < APIPOOL_CLIENT_LISTS; list++) {
        lists[list] = apr_array_make(pool, 2, sizeof(const char *));
    }
    apipool_record_open(&reader, value, len);
    while (apipool_record_next(&reader, &field)) {
        has_digest |= field.tag == CLIENT_DIGEST && field.len == sizeof(image->digest);
        if (field.tag >= CLIENT_LISTS && field.tag < CLIENT_LISTS + APIPOOL_CLIENT_LISTS) {
            APR_ARRAY_PUSH(lists[field.tag - CLIENT_LISTS], const char *) =
                field.bytes ? apr_pstrmemdup(pool, (const char *)field.bytes, field.len) : "";
        }
    }
    return has_digest && apipool_client_pack(&image->terms, lists);
}

int apipool_store_read_client(const char *value, apr_size_t len, apr_array_header_t *clients)
{
    apipool_client_image_t image = {.created_at = 0};
    if (!apipool_record_read_members(value, len, client_members, &image) ||
        !apipool_record_read_members(value, len, old_members, &image) || !*image.name ||
        !read_lists(&image, value, len, clients->pool)) {
        return 0;
    }
    APR_ARRAY_PUSH(clients, apipool_client_image_t) = image;
    return 1;
}

/* Changes an existing client, also its name, to match the record; one that was made at another time
 * is another client, and is replaced. */
static apr_status_t put_client(apipool_segment_t *segment, const apipool_client_image_t *image)
{
    apipool_client_row_t row;
    apipool_client_move(segment, image->digest, image->server, image->name);
    apr_status_t rv = apipool_client_read(segment, image->server, image->name, 0, &row);
    if (rv == APR_SUCCESS && row.image.created_at == image->created_at) {
        rv = apipool_client_set_keys(segment, image);
        return rv == APR_SUCCESS
                   ? apipool_client_set_terms(segment, image->server, image->name, &image->terms)
                   : rv;
    }
    if (rv == APR_SUCCESS) {
        apipool_client_remove(segment, image->server, image->name);
    }
    return apipool_client_add(segment, image);
}

apr_status_t apipool_store_put_clients(apipool_segment_t *segment,
                                       const apr_array_header_t *clients, const char **error)
{
    apr_status_t rv = APR_SUCCESS;
    for (int i = 0; rv == APR_SUCCESS && i < clients->nelts; i++) {
        rv = put_client(segment, &APR_ARRAY_IDX(clients, i, apipool_client_image_t));
    }
    *error = rv == APR_SUCCESS
                 ? NULL
                 : "the stored clients do not fit into shared memory; raise APIPoolClientCapacity";
    return rv;
}

/* The name of a server has no line feed. */
static const char *full_name(const apipool_client_image_t *image, apr_pool_t *pool)
{
    return apr_pstrcat(pool, image->server, "\n", image->name, NULL);
}

/* Both, as what is stored may be a client with another name or with another key. */
static void keep(apr_hash_t *kept, const apipool_client_image_t *image, apr_pool_t *pool)
{
    apr_hash_set(kept, image->digest, sizeof(image->digest), image);
    apr_hash_set(kept, full_name(image, pool), APR_HASH_KEY_STRING, image);
}

void apipool_store_remove_other_clients(apipool_segment_t *segment,
                                        const apr_array_header_t *clients, apr_pool_t *pool)
{
    apr_hash_t *kept = apr_hash_make(pool);
    apipool_client_image_t image;
    for (int i = 0; i < clients->nelts; i++) {
        const apipool_client_image_t *stored = &APR_ARRAY_IDX(clients, i, apipool_client_image_t);
        keep(kept, stored, pool);
    }
    for (apr_uint32_t i = 0; i < apipool_clients_used(&segment->clients); i++) {
        if (apipool_client_image(segment, i, &image) == APR_SUCCESS &&
            !apr_hash_get(kept, image.digest, sizeof(image.digest)) &&
            !apr_hash_get(kept, full_name(&image, pool), APR_HASH_KEY_STRING)) {
            apipool_client_remove(segment, image.server, image.name);
        }
    }
}

/* --- changes --- */

/* The count cannot change before this change is made, as no other one is in progress. */
static apr_status_t check_share(apipool_client_change_t *change)
{
    apr_uint32_t count = 0;
    apr_status_t rv = change->share
                          ? apipool_client_count(change->segment, change->image.server, &count)
                          : APR_SUCCESS;
    change->is_over_share = rv == APR_SUCCESS && change->share && count >= change->share;
    return change->is_over_share ? APR_ENOMEM : rv;
}

/* With a new key, the present one becomes the old one, which there is only one of. The digest of an
 * old key that has ended is kept, because saved statistics may have it. */
static void change_keys(apipool_client_change_t *change, const apipool_client_image_t *present)
{
    apipool_client_image_t made = *present;
    made.old_until = change->image.old_until;
    if (change->what == APIPOOL_CLIENT_ROTATE) {
        memcpy(made.digest, change->image.digest, sizeof(made.digest));
        memcpy(made.old_digest, present->digest, sizeof(made.old_digest));
    }
    change->image = made;
}

/* The callers word the errors. */
static apr_status_t prepare(void *ctx, int *changes, const char **error)
{
    apipool_client_change_t *change = ctx;
    const apipool_client_image_t *image = &change->image;
    apipool_client_row_t row;
    apr_status_t rv;
    if (change->what == APIPOOL_CLIENT_CREATE) {
        rv = apipool_client_may_add(change->segment, image);
        return rv == APR_SUCCESS ? check_share(change) : rv;
    }
    rv = apipool_client_read(change->segment, image->server, image->name, 0, &row);
    if (rv != APR_SUCCESS || change->what == APIPOOL_CLIENT_DELETE) {
        return rv;
    }
    if (change->what == APIPOOL_CLIENT_EDIT) {
        change->image = row.image;
        return change->edit(change->ctx, &change->image.terms);
    }
    *changes = change->what == APIPOOL_CLIENT_ROTATE || row.image.old_until > image->old_until;
    change_keys(change, &row.image);
    return APR_SUCCESS;
}

static apr_status_t apply(void *ctx)
{
    const apipool_client_change_t *change = ctx;
    const apipool_client_image_t *image = &change->image;
    switch (change->what) {
    case APIPOOL_CLIENT_CREATE:
        return apipool_client_add(change->segment, image);
    case APIPOOL_CLIENT_EDIT:
        return apipool_client_set_terms(change->segment, image->server, image->name, &image->terms);
    case APIPOOL_CLIENT_ROTATE:
    case APIPOOL_CLIENT_END_OLD_KEY:
        return apipool_client_set_keys(change->segment, image);
    default:
        return apipool_client_remove(change->segment, image->server, image->name);
    }
}

apipool_store_change_t apipool_store_client_change(apipool_client_change_t *change)
{
    return (apipool_store_change_t){.prepare = prepare,
                                    .client = &change->image,
                                    .client_goes = change->what == APIPOOL_CLIENT_DELETE,
                                    .apply = apply,
                                    .ctx = change};
}
