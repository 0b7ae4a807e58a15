/* SPDX-License-Identifier: Apache-2.0
 * Configuration of a pool in the operator's API, and totals over its upstreams. */
#ifndef APIPOOL_MANAGE_CONFIGURED_H
#define APIPOOL_MANAGE_CONFIGURED_H

#include "config.h"

/** Pool with this index if a server sees it, else NULL. O(pools). No lock. */
apipool_pool_conf_t *apipool_manage_configured(server_rec *s, apr_uint32_t index, apr_pool_t *p);

/** Finds a configured upstream of a pool, as keys of any other one would never be used; without a
 *  name the first one. Returns NULL if there is none; sets *server to the pool's. No lock. */
const apipool_upstream_conf_t *apipool_manage_upstream(apr_uint32_t pool, const char *name,
                                                       apr_pool_t *p, server_rec **server);

/**
 * Adds up the keys by state and the requests in flight of a pool's upstreams. O(keys), in small
 * steps.
 * @param sum          result: keys and in_flight are set
 * @param paused_until result by upstream: end of its pause, 0 without one; or NULL
 */
apr_status_t apipool_manage_totals(apr_uint32_t pool, apr_time_t now, apipool_totals_t *sum,
                                   apr_time_t *paused_until);

#endif
