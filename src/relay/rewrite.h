/* SPDX-License-Identifier: Apache-2.0
 * Addresses of upstreams in their responses, made to lead through the pool. */
#ifndef APIPOOL_RELAY_REWRITE_H
#define APIPOOL_RELAY_REWRITE_H

#include "request.h"

/* A client that follows such an address would send its client key to the vendor. */

/** The client's address of what an URL below the base URL of one of the pool's upstreams names, or
 *  a path at its host, from the pool p; NULL: it is no such URL. */
const char *apipool_rewrite_url(const apipool_request_t *req, const char *url, apr_pool_t *p);

/** APIPoolRewriteURLs: does the same for strings in JSON bodies. Once per request. */
void apipool_rewrite_install(apipool_request_t *req);

void apipool_rewrite_register_filter(void);

#endif
