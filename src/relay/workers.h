/* SPDX-License-Identifier: Apache-2.0
 * The pools' upstreams as mod_proxy workers. */
#ifndef APIPOOL_RELAY_WORKERS_H
#define APIPOOL_RELAY_WORKERS_H

#include "config.h"

/* The workers are the pool's own and stand in no list of mod_proxy's: a ProxyPass to the same URL
 * neither changes them nor shares their connections, which carry only the pool's requests. */

/** Defines the workers of a pool: post_config. What the pool's directives leave open is filled in:
 *  from the parameters of the <Proxy "URL"> section whose URL is that of the upstream or the longest
 *  beginning of it, from ProxyTimeout, and from the defaults. */
apr_status_t apipool_workers_define(apipool_pool_conf_t *pool, apr_pool_t *pconf);

/** The forward proxy that an URL is reached through, as ProxyRemote and ProxyRemoteMatch say; NULL: none. */
const struct proxy_remote *apipool_workers_remote(const proxy_server_conf *conf, const char *url);

/** The longest that a probe waits for a connection, for an answer, and for both. */
#define APIPOOL_PROBE_TIMEOUT apr_time_from_sec(30)

/**
 * Makes the connection pools: for requests in child_init, as mod_proxy does for the workers it knows of; for
 * probes in the process that sends them, before the first one.
 * @param p for probes with an allocator that several threads may use
 */
apr_status_t apipool_workers_init(apipool_pool_conf_t *pool, int probes, apr_pool_t *p);

#endif
