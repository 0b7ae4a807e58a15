/* SPDX-License-Identifier: Apache-2.0
 * Key files: their keys go into the pools at start and at every graceful restart. */
#include "keyfile.h"

#include <openssl/crypto.h>

#include "keylist.h"
#include "keys.h"

typedef struct {
    apipool_segment_t *segment;
    apr_uint32_t group;
    apr_time_t now;
    apr_status_t rv;         /* the first fault */
    unsigned long counts[3]; /* by apipool_added_e */
} import_t;

static void add_key(void *ctx, const apipool_key_item_t *item)
{
    import_t *import = ctx;
    apipool_added_e added;
    apr_status_t rv = apipool_pool_add(import->segment, import->group, item, import->now, &added);
    if (rv == APR_SUCCESS) {
        import->counts[added]++;
    }
    else if (import->rv == APR_SUCCESS) {
        import->rv = rv;
    }
}

static apr_status_t import_file(apipool_segment_t *segment, const apipool_pool_t *pool,
                                apipool_key_file_t *file)
{
    import_t import = {.segment = segment,
                       .group = apipool_config_upstream(pool, file->upstream)->group,
                       .now = apr_time_now()};
    apipool_key_sink_t sink = {.on_key = add_key, .ctx = &import};

    apipool_keylist_read(file->text, file->len, &sink);
    OPENSSL_cleanse(file->text, file->len); /* children have no use for it */
    ap_log_error(APLOG_MARK, import.rv == APR_SUCCESS ? APLOG_INFO : APLOG_ERR, import.rv,
                 pool->server, APIPOOL_LOG(0050) "pool %s: %s: %lu keys added, %lu known already",
                 pool->name, file->path, import.counts[APIPOOL_ADDED],
                 import.counts[APIPOOL_DUPLICATE]);
    if (import.counts[APIPOOL_FULL]) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, pool->server,
                     APIPOOL_LOG(0051) "pool %s: %s: %lu keys did not fit; raise APIPoolCapacity "
                                       "and restart fully",
                     pool->name, file->path, import.counts[APIPOOL_FULL]);
    }
    return import.rv;
}

apr_status_t apipool_keyfile_import(apipool_segment_t *segment, apipool_pool_t *pool)
{
    apr_status_t rv = APR_SUCCESS;
    for (int i = 0; rv == APR_SUCCESS && i < pool->key_files->nelts; i++) {
        rv = import_file(segment, pool, &APR_ARRAY_IDX(pool->key_files, i, apipool_key_file_t));
    }
    return rv;
}
