/* SPDX-License-Identifier: Apache-2.0
 * Maintenance: an operator has switched a pool off, and no key is to blame for it. */
#include "maintenance.h"

#include <string.h>

#include "segment_layout.h"

int apipool_pool_is_closed(const apipool_segment_t *segment, apr_uint32_t pool, apr_time_t now)
{
    const apipool_maintenance_t *kept = &segment->pools[pool].maintenance;
    if (!__atomic_load_n(&kept->is_on, __ATOMIC_ACQUIRE)) {
        return 0;
    }
    apr_time_t until = __atomic_load_n(&kept->until, __ATOMIC_RELAXED);
    return !until || until > now;
}

apr_status_t apipool_pool_maintenance(apipool_segment_t *segment, apr_uint32_t pool, apr_time_t now,
                                      apipool_maintenance_t *maintenance)
{
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    *maintenance = segment->pools[pool].maintenance;
    apipool_segment_unlock(segment);
    if (maintenance->until && maintenance->until <= now) {
        memset(maintenance, 0, sizeof(*maintenance));
    }
    return APR_SUCCESS;
}

/* Requests look without the lock, so the switch is turned on last. */
apr_status_t apipool_pool_maintain(apipool_segment_t *segment, apr_uint32_t pool,
                                   const apipool_maintenance_t *maintenance)
{
    apipool_maintenance_t *kept = &segment->pools[pool].maintenance;
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    memcpy(kept->message, maintenance->message, sizeof(kept->message));
    __atomic_store_n(&kept->until, maintenance->until, __ATOMIC_RELAXED);
    __atomic_store_n(&kept->is_on, maintenance->is_on, __ATOMIC_RELEASE);
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}
