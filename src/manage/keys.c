/* SPDX-License-Identifier: Apache-2.0
 * What is told of keys: pages of them, one, and for those who may see it the key itself. */
#include "manage.h"

#include <apr_strings.h>

#include "lasting.h"
#include "listing.h"

static void fill(apipool_segment_t *segment, const apipool_view_key_t *key, apr_pool_t *p,
                 apipool_key_info_t *info)
{
    *info = key->info;
    info->upstream = apr_pstrdup(p, apipool_view_group_name(segment, key->group));
    info->label = apr_pstrdup(p, key->label);
    info->account = apr_pstrdup(p, key->account);
}

/* Keys that have been removed since the page was made are left out of it. */
static apr_status_t copy_page(apipool_segment_t *segment, apr_uint32_t pool,
                              const apipool_listed_t *listed, apr_uint32_t count, apr_time_t now,
                              apr_pool_t *p, apr_array_header_t *keys)
{
    apr_uint64_t *ids = apr_palloc(p, count * sizeof(*ids));
    apr_uint32_t *slots = apr_palloc(p, count * sizeof(*slots));
    apipool_view_key_t *copies = apr_palloc(p, count * sizeof(*copies));
    for (apr_uint32_t i = 0; i < count; i++) {
        ids[i] = listed[i].id;
        slots[i] = listed[i].slot;
    }
    apr_status_t rv = apipool_view_keys(segment, pool, ids, slots, count, now, copies);
    for (apr_uint32_t i = 0; rv == APR_SUCCESS && i < count; i++) {
        if (copies[i].found) {
            fill(segment, &copies[i], p, apr_array_push(keys));
        }
    }
    return rv;
}

apr_status_t apipool_manage_keys(apr_uint32_t pool, const apipool_key_query_t *query, apr_pool_t *p,
                                 apr_array_header_t **keys, apr_uint32_t *total)
{
    apipool_segment_t *segment = apipool_lasting_segment();
    apr_time_t now = apr_time_now();
    apr_array_header_t *listed;
    *keys = apr_array_make(p, (int)(query->limit < 1000 ? query->limit : 1000),
                           sizeof(apipool_key_info_t));
    apr_status_t rv =
        apipool_listing_find(segment, pool, &query->filter, query->sort, now, p, &listed);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    *total = (apr_uint32_t)listed->nelts;
    apr_uint32_t shown =
        apipool_listing_sort(listed, query->sort, query->descending, query->offset, query->limit);
    return shown ? copy_page(segment, pool, (apipool_listed_t *)listed->elts + query->offset, shown,
                             now, p, *keys)
                 : APR_SUCCESS;
}

apr_status_t apipool_manage_key(apr_uint32_t pool, apr_uint64_t id, apr_pool_t *p,
                                apipool_key_info_t *info)
{
    apipool_segment_t *segment = apipool_lasting_segment();
    apipool_view_key_t key;
    apr_status_t rv = apipool_view_keys(segment, pool, &id, NULL, 1, apr_time_now(), &key);
    if (rv == APR_SUCCESS && !key.found) {
        rv = APR_NOTFOUND;
    }
    if (rv == APR_SUCCESS) {
        fill(segment, &key, p, info);
    }
    return rv;
}

apr_status_t apipool_manage_key_reveal(apr_uint32_t pool, apr_uint64_t id, apr_pool_t *p,
                                       char **key)
{
    apipool_lease_t secret = {.longest = 0};
    apr_status_t rv = apipool_view_secret(apipool_lasting_segment(), pool, id, &secret);
    *key = rv == APR_SUCCESS ? apr_pstrmemdup(p, secret.key, secret.len) : NULL;
    apipool_lease_wipe(&secret);
    return rv;
}
