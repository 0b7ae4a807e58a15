/* SPDX-License-Identifier: Apache-2.0
 * What a client may: pools, endpoints and models, and how much of them. */
#ifndef APIPOOL_RELAY_AUTHZ_H
#define APIPOOL_RELAY_AUTHZ_H

#include "reply.h"

/* Called by the request's thread, in this order. Each answers a request that it refuses.
 * @return whether the request may go on */

/** Whether the client may use this pool and endpoint: before the body is read. */
int apipool_authz_place(apipool_request_t *req);

/** Whether the client may use the model, and whether its limits admit the request: when it is known what the
 *  request asks for. */
int apipool_authz_demand(apipool_request_t *req);

/** What a client is told that its limits do not admit, by apipool_client_admitted_e. */
extern const apipool_reply_e apipool_authz_replies[];

#endif
