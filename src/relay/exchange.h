/* SPDX-License-Identifier: Apache-2.0
 * One HTTP/1.1 exchange with an upstream: a request goes out, its response comes in. */
#ifndef APIPOOL_RELAY_EXCHANGE_H
#define APIPOOL_RELAY_EXCHANGE_H

#include "chunked.h"
#include "upstream_conn.h"

/* Where an exchange stands. */
typedef enum {
    APIPOOL_EXCHANGE_SENDING, /* some of the request is still to be sent */
    APIPOOL_EXCHANGE_HEAD,    /* the response's head is awaited */
    APIPOOL_EXCHANGE_BODY,    /* its body is */
    APIPOOL_EXCHANGE_TUNNEL,  /* a 101 has come: bytes go both ways */
    APIPOOL_EXCHANGE_ENDED
} apipool_exchange_stage_e;

/* How the end of a response's body is known (RFC 9112 section 6.3). */
typedef enum {
    APIPOOL_BY_CLOSE,
    APIPOOL_BY_LENGTH,
    APIPOOL_BY_CHUNKS,
    APIPOOL_NO_BODY
} apipool_framing_e;

typedef struct apipool_exchange_t {
    apipool_request_t *req;
    apipool_upstream_conn_t conn;
    apipool_exchange_stage_e stage;
    apr_time_t due;             /* when the stage's patience ends; of apipool_monotonic_now() */
    apr_time_t begun_at;        /* when sending began */
    apr_bucket_brigade *unsent; /* of the request */
    int is_retried;             /* a kept connection had been closed by the upstream; this is a new one */

    char *in; /* the head as far as it came */
    apr_size_t in_len, in_size, searched;
    int interims;
    apipool_framing_e framing;
    apr_off_t left; /* of a body with a length */
    apipool_chunked_t chunked;
    int keep;                /* the connection may serve another exchange */
    apr_bucket_brigade *out; /* what is about to be passed to the client */
} apipool_exchange_t;

/**
 * Runs one exchange for the current attempt of a request: sends it with the lent key, and passes the response to the
 * request's output filters. What came of it is in req->attempt: phase, timed_out, answering. Waits, and watches
 * the client meanwhile.
 * @return OK, or DONE where the client has not had all of the response
 */
int apipool_exchange_run(apipool_request_t *req, proxy_worker *worker, const char *url);

/** Ends what another thread's exchange waits for on its connection, now and from now on. The plug has a mutex of its
 *  own and may be pulled by any thread. A connection that is being made is not ended. */
void apipool_exchange_pull(apipool_plug_t *plug);

#endif
