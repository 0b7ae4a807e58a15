/* SPDX-License-Identifier: Apache-2.0
 * What comes of an attempt: its key is given back, its verdict told to the pool and to the log. */
#ifndef APIPOOL_RELAY_SETTLE_H
#define APIPOOL_RELAY_SETTLE_H

#include "request.h"

/**
 * Gives the lease back.
 * @param verdict its rule becomes R08 where the refusal was everyone's
 * @param status  what mod_proxy_http returned
 * @param now     when it did
 */
void apipool_settle_report(apipool_request_t *req, apipool_verdict_t *verdict, int status,
                           apr_time_t now);

/* A key that has served before and is refused as spent or rejected is not lost at once. What it comes to
 * shows when another key is tried, or at the request's end; see apipool_pool_doubt. */

/** A response of a WebSocket has left the key of the lease in doubt, and no other one can be tried.
 *  @param lease without its secret */
void apipool_blame_turn(apipool_request_t *req, apipool_lease_t *lease,
                        const apipool_verdict_t *verdict, int status);

/** Keeps in mind that the attempt was forbidden (R09): whether its key is to blame shows when another one is
 *  tried. */
void apipool_blame_remember_forbidden(apipool_request_t *req, const apipool_verdict_t *verdict);

/** Another key has succeeded: the one that was forbidden, if there is one, is to blame. */
void apipool_blame_forbidden(apipool_request_t *req);

/** The current attempt has served the request: settles all doubts. */
void apipool_blame_settle_served(apipool_request_t *req);

/** The request is over: settles those that are left. */
void apipool_blame_settle(apipool_request_t *req);

#endif
