/* SPDX-License-Identifier: Apache-2.0
 * The pools' upstreams as mod_proxy workers. */
#ifndef APIPOOL_RELAY_UPSTREAM_H
#define APIPOOL_RELAY_UPSTREAM_H

#include "config.h"

/* The workers are the pool's own and stand in no list of mod_proxy's: a ProxyPass to the same URL
 * neither changes them nor shares their connections, which carry only the pool's requests. */

/** Defines the workers of a pool: post_config. */
apr_status_t apipool_upstream_define(apipool_pool_t *pool, apr_pool_t *pconf);

/** Makes their connection pools: child_init, as mod_proxy does for the workers it knows of. */
apr_status_t apipool_upstream_init_child(apipool_pool_t *pool, apr_pool_t *pchild);

#endif
