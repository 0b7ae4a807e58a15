/* SPDX-License-Identifier: Apache-2.0
 * The loop over keys: one request, as many attempts as its budgets and its deadline allow. */
#ifndef APIPOOL_RELAY_ATTEMPT_H
#define APIPOOL_RELAY_ATTEMPT_H

#include "request.h"

/**
 * mod_proxy's scheme_handler hook, before mod_proxy_http's. Serves requests of a pool, and declines
 * everything else.
 */
int apipool_attempt_handler(request_rec *r, proxy_worker *worker, proxy_server_conf *conf,
                            char *url, const char *proxyname, apr_port_t proxyport);

/** Goes on with a request that the handler has suspended. Returns what the handler would have. */
int apipool_attempt_resume(request_rec *r);

/** mod_proxy's pre_request hook: keeps mod_proxy from looking for a worker of its own. */
int apipool_attempt_pre_request(proxy_worker **worker, proxy_balancer **balancer, request_rec *r,
                                proxy_server_conf *conf, char **url);

#endif
