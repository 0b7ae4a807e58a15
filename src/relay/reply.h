/* SPDX-License-Identifier: Apache-2.0
 * What we say ourselves: OpenAI-shaped errors and the headers we add. */
#ifndef APIPOOL_RELAY_REPLY_H
#define APIPOOL_RELAY_REPLY_H

#include "request.h"

/* Our own errors. */
typedef enum {
    APIPOOL_REPLY_TOO_LARGE,
    APIPOOL_REPLY_ALL_COOLING,
    APIPOOL_REPLY_EXHAUSTED,
    APIPOOL_REPLY_UNREACHABLE,
    APIPOOL_REPLY_TIMEOUT,
    APIPOOL_REPLY_FULL, /* all connections to the upstream that max= allows are in use */
    APIPOOL_REPLY_INVALID_KEY,
    APIPOOL_REPLY_ENDPOINT_NOT_ALLOWED,
    APIPOOL_REPLY_ENDPOINT_UNLISTED,
    APIPOOL_REPLY_ENDPOINT_CLOSED, /* to everybody; see APIPoolAllow */
    APIPOOL_REPLY_MODEL_NOT_ALLOWED,
    APIPOOL_REPLY_CLIENT_RPM, /* a limit of the client's own */
    APIPOOL_REPLY_CLIENT_TPM,
    APIPOOL_REPLY_CLIENT_TPD,
    APIPOOL_REPLY_KEY_LIMIT, /* of the key that a WebSocket has */
    APIPOOL_REPLY_CLIENT_CONCURRENCY,
    APIPOOL_REPLY_BATCH_TOO_LARGE, /* to be looked into */
    APIPOOL_REPLY_UNAVAILABLE,     /* the store cannot be used */
    APIPOOL_REPLY_MAINTENANCE,
    APIPOOL_REPLY_COUNT
} apipool_reply_e;

/** The body of an error, JSON with a newline behind it, and its code. */
const char *apipool_reply_body(apr_pool_t *p, apipool_reply_e which);
const char *apipool_reply_code(apipool_reply_e which);

/** The body of an error that httpd itself answers with. */
const char *apipool_reply_page(apr_pool_t *p, int status);

/**
 * Answers the client with an error of our own.
 * @param retry_at when it is worth trying again, sent as Retry-After; 0 where nobody knows
 * @return OK: the answer is on its way
 */
int apipool_reply_error(apipool_request_t *req, apipool_reply_e which, apr_time_t retry_at);

/** The same for APIPOOL_REPLY_MODEL_NOT_ALLOWED, where the request can be read in several ways.
 *  @param doubt what is read so, in words that JSON need not escape */
int apipool_reply_doubt(apipool_request_t *req, const char *doubt);

/** The same for APIPOOL_REPLY_MAINTENANCE.
 *  @param message of the operator, in UTF-8; "": the usual one */
int apipool_reply_maintenance(apipool_request_t *req, const char *message, apr_time_t retry_at);

/**
 * Tells the client of an upstream's error answer that is about to pass when it is worth trying again:
 * Retry-After where a key comes free, x-should-retry: false where waiting is pointless.
 */
void apipool_reply_advise(apipool_request_t *req, apipool_acquired_e result, apr_time_t retry_at);

/** APIPoolExpose: adds the key's id and the number of attempts to the answer's header fields. */
void apipool_reply_expose(apipool_request_t *req);

/**
 * The same error as an event of a WebSocket, in the shapes of both protocols (see vendor/websocket_event.h):
 * JSON in one piece.
 * @param event_id what the client called the event that it answers, or ""
 */
const char *apipool_reply_event(apr_pool_t *p, apipool_reply_e which, const char *event_id,
                                apr_time_t retry_at);

/** The status that the error has over HTTP. */
int apipool_reply_status(apipool_reply_e which);

/** The event that ends an event stream which its upstream did not end. */
const char *apipool_reply_truncated_event(void);

#endif
