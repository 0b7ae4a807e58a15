/* SPDX-License-Identifier: Apache-2.0
 * What a request asks of its pool: which upstreams, for which model, bound to which session. */
#ifndef APIPOOL_RELAY_DEMAND_H
#define APIPOOL_RELAY_DEMAND_H

#include "request.h"

/* Called by the request's thread. The body has been captured. */

/** Makes out what the request asks for; once per request. */
void apipool_demand_make(apipool_request_t *req);

/**
 * What to acquire.
 * @param sources room for APIPOOL_UPSTREAMS_MAX; wanted refers to it
 * @param without an upstream's group that is left out, or APIPOOL_NONE
 */
void apipool_demand_wanted(const apipool_request_t *req, apr_uint32_t without,
                           apipool_source_t *sources, apipool_wanted_t *wanted);

#endif
