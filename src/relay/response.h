/* SPDX-License-Identifier: Apache-2.0
 * The head of an upstream's response, put into the request. */
#ifndef APIPOOL_RELAY_RESPONSE_H
#define APIPOOL_RELAY_RESPONSE_H

#include "request.h"

/* What a head is. */
typedef enum {
    APIPOOL_RESPONSE_MALFORMED, /* nothing that a client could be given */
    APIPOOL_RESPONSE_INTERIM,   /* another one follows */
    APIPOOL_RESPONSE_SWITCHES,  /* 101, which the client asked for */
    APIPOOL_RESPONSE_FINAL
} apipool_response_e;

/* How the end of a response's body is known (RFC 9112 section 6.3). */
typedef enum {
    APIPOOL_BY_CLOSE,
    APIPOOL_BY_LENGTH,
    APIPOOL_BY_CHUNKS,
    APIPOOL_NO_BODY
} apipool_framing_e;

/* What a head says of the body behind it, and of the connection. */
typedef struct {
    apipool_framing_e framing;
    apr_off_t left; /* bytes of a body with a length */
    int keep;       /* the connection may serve another exchange */
} apipool_response_t;

/**
 * Reads a complete head and, unless it is an interim one, puts status and fields into the request.
 * Fields of the connection go, and so do those that a vendor addresses to its customer.
 * @param head     changed; lasts as long as the request
 * @param response result, if it is a final one
 */
apipool_response_e apipool_response_read(const apipool_request_t *req,
                                         const proxy_server_conf *conf, char *head, apr_size_t len,
                                         apipool_response_t *response);

#endif
