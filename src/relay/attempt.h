/* SPDX-License-Identifier: Apache-2.0
 * The loop over keys: one request, as many attempts as its budgets and its deadline allow. */
#ifndef APIPOOL_RELAY_ATTEMPT_H
#define APIPOOL_RELAY_ATTEMPT_H

#include "request.h"

/**
 * mod_proxy's scheme_handler hook, before mod_proxy_http's. For requests of a pool it takes over and
 * calls mod_proxy_http through the same hook, once per attempt; declines everything else, and itself
 * while it does so.
 */
int apipool_attempt_handler(request_rec *r, proxy_worker *worker, proxy_server_conf *conf,
                            char *url, const char *proxyname, apr_port_t proxyport);

/** mod_proxy's pre_request hook: keeps mod_proxy from looking for a worker of its own. */
int apipool_attempt_pre_request(proxy_worker **worker, proxy_balancer **balancer, request_rec *r,
                                proxy_server_conf *conf, char **url);

#endif
