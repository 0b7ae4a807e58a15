/* SPDX-License-Identifier: Apache-2.0
 * A WebSocket of OpenAI's events: frames are read as they pass, models obeyed, responses counted. */
#ifndef APIPOOL_RELAY_WEBSOCKET_H
#define APIPOOL_RELAY_WEBSOCKET_H

#include <util_filter.h>

#include "request.h"

/* After the upstream's 101 mod_proxy's tunnel carries bytes both ways in one thread, the request's: what it
 * reads from the upstream and what it writes there passes the filters of tunnel.c, which call this.
 * Bytes are never changed. Those of a client with a list of models, or with a limit that counts, are kept
 * back until its message is known to be allowed. Events of our own are put in where no message of the
 * upstream's is open. */

typedef struct apipool_websocket_t apipool_websocket_t;

/** Whether the request asks for a WebSocket at all, and for one whose events are known. */
int apipool_websocket_is_asked(const apipool_request_t *req);
int apipool_websocket_is_read(const apipool_request_t *req);

/** The reader of a request that asks for such a WebSocket; NULL where it does not. */
apipool_websocket_t *apipool_websocket_make(apipool_request_t *req);

/** What has been read from the upstream, and with what result. Returns that, or why the tunnel ends. */
apr_status_t apipool_websocket_read(apipool_websocket_t *ws, apr_bucket_brigade *bb,
                                    apr_status_t rv);

/** What is to be written to the upstream, by its next filter. Returns an error where the tunnel ends. */
apr_status_t apipool_websocket_write(apipool_websocket_t *ws, ap_filter_t *next,
                                     apr_bucket_brigade *bb);

/** An attempt is over: settles the responses that have not ended. */
void apipool_websocket_end(apipool_websocket_t *ws, apr_time_t now);

/* All responses of a connection together. */
typedef struct {
    int count;                     /* of those that ended or were refused */
    apipool_tokens_e usage;        /* estimated if one of them is */
    apipool_usage_t tokens;        /* sums */
    apipool_ending_e ending;       /* of the last one */
    char model[APIPOOL_NAMED_MAX]; /* of the last one; "" where nobody knows */
    apr_time_t first_byte_at;      /* of the first one; 0: none came */
} apipool_websocket_sum_t;

/** NULL where the request is for no such WebSocket. */
const apipool_websocket_sum_t *apipool_websocket_sum(const apipool_request_t *req);

#endif
