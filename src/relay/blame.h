/* SPDX-License-Identifier: Apache-2.0
 * Keys that a request leaves in doubt: were they at fault, or the request itself? */
#ifndef APIPOOL_RELAY_BLAME_H
#define APIPOOL_RELAY_BLAME_H

#include "request.h"

/* A key that has served before and is refused as spent or rejected is not lost at once. What it comes to
 * shows when another key is tried, or at the request's end; see apipool_pool_doubt. */

/** The current attempt has left its key in doubt.
 *  @param outcome of its report */
void apipool_blame_remember(apipool_request_t *req, const apipool_verdict_t *verdict, int status,
                            const apipool_outcome_t *outcome);

/** A response of a WebSocket has left the key of the lease in doubt, and no other one can be tried.
 *  @param lease without its secret */
void apipool_blame_turn(apipool_request_t *req, apipool_lease_t *lease,
                        const apipool_verdict_t *verdict, int status);

/** The current attempt has served the request: settles all doubts. */
void apipool_blame_settle_served(apipool_request_t *req);

/** The request is over: settles those that are left. */
void apipool_blame_settle(apipool_request_t *req);

#endif
