/* SPDX-License-Identifier: Apache-2.0
 * What stands behind a pool of the operator's API: its configuration, and its upstreams added up. */
#ifndef APIPOOL_MANAGE_CONFIGURED_H
#define APIPOOL_MANAGE_CONFIGURED_H

#include "config.h"

/** The pool of that index, if a server sees it; else NULL. O(pools). No lock. */
apipool_pool_conf_t *apipool_manage_configured(server_rec *s, apr_uint32_t index, apr_pool_t *p);

/**
 * Adds up the keys by state and the requests in flight of all of a pool's upstreams. O(keys), in
 * small steps.
 * @param sum          result: those two
 * @param paused_until result, by upstream: until when it is paused, 0 where it is not; or NULL
 */
apr_status_t apipool_manage_totals(apr_uint32_t pool, apr_time_t now, apipool_totals_t *sum,
                                   apr_time_t *paused_until);

#endif
