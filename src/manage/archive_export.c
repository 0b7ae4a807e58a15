/* SPDX-License-Identifier: Apache-2.0
 * Export: all keys and clients of a server in one encrypted archive. */
#include "manage.h"

#include <apr_strings.h>
#include <openssl/crypto.h>
#include <string.h>

#include "archive.h"
#include "archive_entry.h"
#include "client.h"
#include "config.h"
#include "lifecycle.h"
#include "listing.h"
#include "throttle.h"

#define BATCH 64 /* keys or clients copied at a time */

typedef struct {
    apipool_segment_t *segment;
    apipool_archive_writer_t *writer;
    apr_pool_t *p;
    char *line; /* holds one entry, and is wiped after each */
    apipool_archived_t *result;
} export_t;

static apr_status_t write_entry(export_t *export, const apipool_archive_entry_t *entry)
{
    apr_size_t len = apipool_archive_entry_write(entry, export->line);
    int good = len && apipool_archive_add(export->writer, export->line, len);
    OPENSSL_cleanse(export->line, len);
    apipool_throttle();
    return good ? APR_SUCCESS : APR_EGENERAL;
}

/* --- Keys --- */

/* A key that was removed meanwhile is left out. */
static apr_status_t write_key(export_t *export, apr_uint32_t pool, const apipool_view_key_t *view)
{
    const apipool_key_info_t *info = &view->info;
    apipool_lease_t secret = {.longest = 0};
    apr_status_t rv = apipool_view_secret(export->segment, pool, info->id, &secret);
    if (rv == APR_SUCCESS) {
        apipool_archive_entry_t entry = {
            .pool = apipool_view_pool_name(export->segment, pool),
            .upstream = apipool_view_upstream_name(export->segment, view->upstream),
            .added_at = info->added_at,
            .key = {.key = secret.key,
                    .len = secret.len,
                    .label = view->label,
                    .account = view->account,
                    .weight = info->weight,
                    .enabled = info->state != APIPOOL_STATE_DISABLED,
                    .limits = info->limits}};
        rv = write_entry(export, &entry);
        export->result->keys++;
    }
    apipool_lease_wipe(&secret);
    return rv == APR_NOTFOUND ? APR_SUCCESS : rv;
}

static apr_status_t write_keys(export_t *export, apr_uint32_t pool, apipool_view_key_t *keys)
{
    static const apipool_key_filter_t all = {0};
    apr_time_t now = apr_time_now();
    apr_uint64_t ids[BATCH];
    apr_uint32_t slots[BATCH];
    apr_array_header_t *listed;
    apr_status_t rv =
        apipool_listing_find(export->segment, pool, &all, APIPOOL_SORT_ID, now, export->p, &listed);
    for (int at = 0; rv == APR_SUCCESS && at < listed->nelts; at += BATCH) {
        apr_uint32_t count = 0;
        for (int i = at; i < listed->nelts && count < BATCH; i++, count++) {
            const apipool_listed_t *key = &APR_ARRAY_IDX(listed, i, apipool_listed_t);
            ids[count] = key->id;
            slots[count] = key->slot;
        }
        rv = apipool_view_keys(export->segment, pool, ids, slots, count, now, keys);
        for (apr_uint32_t i = 0; rv == APR_SUCCESS && i < count; i++) {
            rv = keys[i].found ? write_key(export, pool, &keys[i]) : APR_SUCCESS;
        }
    }
    return rv;
}

/* --- Clients --- */

static apr_status_t write_client(export_t *export, const apipool_client_image_t *image)
{
    apipool_archive_entry_t entry = {.is_client = 1,
                                     .added_at = image->created_at,
                                     .client = {.name = image->name,
                                                .enabled = image->terms.enabled != 0,
                                                .expires_at = image->terms.expires_at}};
    for (int i = 0; i < APIPOOL_CLIENT_LISTS; i++) {
        entry.client.lists[i] = apr_array_make(export->p, 2, sizeof(const char *));
        const char *at = apipool_client_list(&image->terms, i);
        for (; *at; at += strlen(at) + 1) {
            APR_ARRAY_PUSH(entry.client.lists[i], const char *) = at;
        }
    }
    memcpy(entry.client.limits, image->terms.limits, sizeof(entry.client.limits));
    memcpy(entry.digest, image->digest, sizeof(entry.digest));
    if (image->old_until > apr_time_now()) {
        entry.old_until = image->old_until;
        memcpy(entry.old_digest, image->old_digest, sizeof(entry.old_digest));
    }
    export->result->clients++;
    return write_entry(export, &entry);
}

static apr_status_t write_clients(export_t *export, const char *server)
{
    apipool_client_row_t *rows = apr_palloc(export->p, BATCH * sizeof(*rows));
    apr_uint32_t from = 0, count;
    apr_status_t rv = APR_SUCCESS;
    while (rv == APR_SUCCESS && from != APIPOOL_NONE) {
        rv = apipool_client_rows(export->segment, server, apr_time_now(), &from, rows, BATCH,
                                 &count);
        for (apr_uint32_t i = 0; rv == APR_SUCCESS && i < count; i++) {
            rv = write_client(export, &rows[i].image);
        }
    }
    return rv;
}

apr_status_t apipool_manage_archive_export(struct server_rec *s, const char *passphrase,
                                           apr_pool_t *p, apipool_archived_t *result,
                                           apipool_input_error_t *flaw)
{
    export_t export = {.segment = apipool_lifecycle_segment(),
                       .p = p,
                       .line = apr_palloc(p, APIPOOL_ARCHIVE_LINE_MAX),
                       .result = result};
    const apr_array_header_t *pools = apipool_manage_pools(s, p);
    apipool_view_key_t *keys = apr_palloc(p, BATCH * sizeof(*keys));
    memset(result, 0, sizeof(*result));
    export.writer = apipool_archive_begin(APIPOOL_ARCHIVE_COST, passphrase, strlen(passphrase), p);
    apr_status_t rv = export.writer ? APR_SUCCESS : APR_EGENERAL;
    for (int i = 0; rv == APR_SUCCESS && i < pools->nelts; i++) {
        rv = write_keys(&export, APR_ARRAY_IDX(pools, i, apipool_pool_info_t).index, keys);
    }
    if (rv == APR_SUCCESS) {
        rv = write_clients(&export, apipool_config_scope(s));
    }
    if (rv == APR_SUCCESS && !apipool_archive_end(export.writer, &result->bytes, &result->len)) {
        rv = APR_EGENERAL;
    }
    if (rv != APR_SUCCESS) {
        flaw->message = apipool_archive_explain(APIPOOL_ARCHIVE_FAILED);
    }
    return rv;
}
