/* SPDX-License-Identifier: Apache-2.0
 * One exchange with an upstream, as its steps and the thread that takes them know it. */
#ifndef APIPOOL_RELAY_EXCHANGE_PARTS_H
#define APIPOOL_RELAY_EXCHANGE_PARTS_H

#include "chunked.h"
#include "exchange.h"
#include "response.h"
#include "upstream_conn.h"
#include "wait.h"

/* Where an exchange stands. */
typedef enum {
    APIPOOL_STAGE_CONNECT, /* there is no connection yet */
    APIPOOL_STAGE_REQUEST, /* some of the request is still to be sent */
    APIPOOL_STAGE_HEAD,    /* the response's head is awaited */
    APIPOOL_STAGE_BODY,    /* its body is */
    APIPOOL_STAGE_TUNNEL,  /* a 101 has come: bytes go both ways */
    APIPOOL_STAGE_ENDED
} apipool_stage_e;

struct apipool_exchange_t {
    apipool_wait_t wait; /* first, so that it leads here */
    apipool_request_t *req;
    apipool_upstream_conn_t conn;
    apipool_stage_e stage;
    apr_time_t begun_at;        /* when sending began; of apipool_monotonic_now() */
    apr_time_t first_byte_due;  /* when the client must have got something; 0: not yet sent */
    apr_time_t leave_at;        /* when the thread need not wait any longer; 0: not known yet */
    int is_suspended;           /* a pump takes the steps: they never wait */
    int waits_for_client;       /* to take what it is to get */
    apr_bucket_brigade *unsent; /* of the request */
    int is_retried; /* a kept connection had been closed by the upstream; this is a new one */

    char *in; /* the head as far as it came */
    apr_size_t in_len, in_size, searched;
    int interims;
    apipool_response_t response;
    apipool_chunked_t chunked;
    int keep;                /* the connection may serve another exchange */
    apr_bucket_brigade *out; /* what is about to be passed to the client */
    int is_unflushed;        /* something was passed, or the head is to be */
};

/** Does what can be done without waiting for the upstream. Connecting waits, and so does the
 *  client, unless the exchange is suspended. */
apipool_wait_e apipool_exchange_step(apipool_exchange_t *x);

/** Whoever is waited for has taken too long, or the gate has held something for long enough. */
void apipool_exchange_expire(apipool_exchange_t *x);

/** The client has left. */
void apipool_exchange_leave(apipool_exchange_t *x);

/** By the request's thread, when there are no more steps: what follows a 101 passes. Returns OK, or
 *  DONE where the client has not had all of the response. */
int apipool_exchange_finish(apipool_exchange_t *x);

/* The way to the client: see exchange_out.c. */

/** Passes what has come to the request's filters. */
apr_status_t apipool_exchange_pass(apipool_exchange_t *x);

/** The same. Returns whether the client takes more. */
int apipool_exchange_pass_on(apipool_exchange_t *x);

/** Passes it, and makes filters let it go. Only a suspended exchange does not wait for a client
 *  that is slow. */
apr_status_t apipool_exchange_flush(apipool_exchange_t *x);

/** Whether the client has not taken yet what was passed. */
int apipool_exchange_is_clogged(const apipool_exchange_t *x);

/** Offers it again, without waiting. */
apr_status_t apipool_exchange_unclog(apipool_exchange_t *x);

#endif
