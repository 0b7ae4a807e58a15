/* SPDX-License-Identifier: Apache-2.0
 * The head of a request as it leaves for the upstream: the one place where a key goes out. */
#ifndef APIPOOL_RELAY_OUTGOING_H
#define APIPOOL_RELAY_OUTGOING_H

#include "request.h"

/* Where a request goes, and how its body is framed. */
typedef struct {
    const char *target;   /* of the request line: a path, or a URL for a forward proxy */
    const apr_uri_t *uri; /* of the upstream */
    const proxy_server_conf *conf;
    apr_off_t length; /* of the body; -1: the request has none */
    int keep;         /* the connection may serve another request */
} apipool_outgoing_t;

/** Makes the head for the current attempt, with the lent key.
 *  @param len result: bytes */
char *apipool_outgoing_head(const apipool_request_t *req, const apipool_outgoing_t *outgoing,
                            apr_size_t *len);

/** This server's entry in Via, as ProxyVia says; NULL: none. */
const char *apipool_outgoing_via(const request_rec *r, const proxy_server_conf *conf);

#endif
