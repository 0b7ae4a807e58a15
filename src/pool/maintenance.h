/* SPDX-License-Identifier: Apache-2.0
 * Maintenance: an operator has switched a pool off, and no key is to blame for it. */
#ifndef APIPOOL_POOL_MAINTENANCE_H
#define APIPOOL_POOL_MAINTENANCE_H

#include "pool.h"

/** Returns 1 if a pool is in maintenance. No lock: two numbers. */
int apipool_pool_is_closed(const apipool_segment_t *segment, apr_uint32_t pool, apr_time_t now);

/** Reads the maintenance of a pool; one that has ended by itself is off. */
apr_status_t apipool_pool_maintenance(apipool_segment_t *segment, apr_uint32_t pool, apr_time_t now,
                                      apipool_maintenance_t *maintenance);

/** Begins, changes or ends the maintenance of a pool. */
apr_status_t apipool_pool_maintain(apipool_segment_t *segment, apr_uint32_t pool,
                                   const apipool_maintenance_t *maintenance);

#endif
