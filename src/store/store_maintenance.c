/* SPDX-License-Identifier: Apache-2.0
 * Pools in maintenance as records. */
#include <apr_strings.h>
#include <string.h>

#include "maintenance.h"
#include "store_parts.h"

/* Members with their tags; core/record.h tells what may change. A record is a pool that is off. */
#define MEMBER APIPOOL_RECORD_MEMBER
static const apipool_record_member_t members[] = {
    MEMBER(1, APIPOOL_AS_TEXT, apipool_stored_maintenance_t, server, char),
    MEMBER(2, APIPOOL_AS_TEXT, apipool_stored_maintenance_t, pool, char),
    MEMBER(3, APIPOOL_AS_SIGNED, apipool_stored_maintenance_t, maintenance.until, apr_time_t),
    MEMBER(4, APIPOOL_AS_TEXT, apipool_stored_maintenance_t, maintenance.message, char),
    {0}};

static void save(apipool_saving_t *saving, const apipool_pool_t *pool,
                 const apipool_maintenance_t *maintenance)
{
    apipool_stored_maintenance_t stored = {.maintenance = *maintenance};
    char name[APIPOOL_STORE_NAME_SIZE];
    apr_cpystrn(stored.server, pool->server, sizeof(stored.server));
    apr_cpystrn(stored.pool, pool->name, sizeof(stored.pool));
    apr_snprintf(name, sizeof(name), "%c%016" APR_UINT64_T_HEX_FMT, APIPOOL_STORE_OF_MAINTENANCE,
                 apipool_hash(stored.server) * 31 + apipool_hash(stored.pool));
    apipool_record_put_members(apipool_saving_begin(saving), members, &stored);
    apipool_saving_put(saving, name);
}

void apipool_store_write_maintenance(apipool_saving_t *saving)
{
    const apipool_maintenance_change_t *change =
        saving->change ? saving->change->maintenance : NULL;
    apipool_segment_t *segment = saving->store->segment;
    apr_time_t now = apr_time_now();
    apipool_maintenance_t maintenance;
    for (apr_uint32_t i = 0; saving->rv == APR_SUCCESS && i < apipool_segment_pools_used(segment);
         i++) {
        if (change && change->pool == i) {
            maintenance = change->to;
        }
        else if (apipool_pool_is_closed(segment, i, now)) {
            saving->rv = apipool_pool_maintenance(segment, i, now, &maintenance);
        }
        else {
            continue;
        }
        if (saving->rv == APR_SUCCESS && maintenance.is_on) {
            save(saving, &segment->pools[i], &maintenance);
        }
    }
}

int apipool_store_read_maintenance(const char *value, apr_size_t len, apr_array_header_t *pools)
{
    apipool_stored_maintenance_t *stored = apr_array_push(pools);
    memset(stored, 0, sizeof(*stored));
    stored->maintenance.is_on = 1;
    return apipool_record_read_members(value, len, members, stored);
}

static int is_stored(const apipool_pool_t *pool, const apr_array_header_t *pools)
{
    for (int i = 0; i < pools->nelts; i++) {
        const apipool_stored_maintenance_t *stored =
            &APR_ARRAY_IDX(pools, i, apipool_stored_maintenance_t);
        if (!strcmp(stored->server, pool->server) && !strcmp(stored->pool, pool->name)) {
            return 1;
        }
    }
    return 0;
}

apr_status_t apipool_store_put_maintenance(apipool_segment_t *segment,
                                           const apr_array_header_t *pools)
{
    static const apipool_maintenance_t off;
    apr_time_t now = apr_time_now();
    apr_uint32_t pool;
    apr_status_t rv = APR_SUCCESS;
    for (int i = 0; rv == APR_SUCCESS && i < pools->nelts; i++) {
        const apipool_stored_maintenance_t *stored =
            &APR_ARRAY_IDX(pools, i, apipool_stored_maintenance_t);
        rv = apipool_pool_find(segment, stored->server, stored->pool, &pool);
        rv = rv == APR_SUCCESS ? apipool_pool_maintain(segment, pool, &stored->maintenance) : rv;
    }
    for (apr_uint32_t i = 0; rv == APR_SUCCESS && i < apipool_segment_pools_used(segment); i++) {
        if (apipool_pool_is_closed(segment, i, now) && !is_stored(&segment->pools[i], pools)) {
            rv = apipool_pool_maintain(segment, i, &off);
        }
    }
    return rv;
}
