/* SPDX-License-Identifier: Apache-2.0
 * The head of an upstream's response, put into the request. */
#ifndef APIPOOL_RELAY_RESPONSE_H
#define APIPOOL_RELAY_RESPONSE_H

#include "exchange.h"

/* What a head means for its exchange. */
typedef enum {
    APIPOOL_RESPONSE_MALFORMED, /* nothing that a client could be given */
    APIPOOL_RESPONSE_INTERIM,   /* another one follows */
    APIPOOL_RESPONSE_SWITCHES,  /* 101, which the client asked for */
    APIPOOL_RESPONSE_FINAL
} apipool_response_e;

/**
 * Reads a complete head and, unless it is an interim one, puts status and fields into the request, and the body's
 * framing into the exchange. Fields of the connection go, and so do those that a vendor addresses to its customer.
 * @param head changed; lasts as long as the request
 */
apipool_response_e apipool_response_read(apipool_exchange_t *x, char *head, apr_size_t len);

#endif
