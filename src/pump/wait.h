/* SPDX-License-Identifier: Apache-2.0
 * A wait of a request that has no thread: what it waits for, and what is to be called. */
#ifndef APIPOOL_PUMP_WAIT_H
#define APIPOOL_PUMP_WAIT_H

#include <apr_time.h>
#include <httpd.h>

/* What comes next for what is in progress. */
typedef enum {
    APIPOOL_WAIT_NOTHING,  /* it has ended */
    APIPOOL_WAIT_READABLE, /* its socket has something to read */
    APIPOOL_WAIT_WRITABLE, /* its socket takes more */
    APIPOOL_WAIT_CLIENT,   /* the client takes more */
    APIPOOL_WAIT_TURN,     /* nothing, but others come first */
    APIPOOL_WAIT_THREAD    /* a thread that may wait */
} apipool_wait_e;

struct apipool_wait_t;

/* What a pump calls; none of it may wait. */
typedef struct {
    /** Does what can be done. */
    apipool_wait_e (*step)(struct apipool_wait_t *wait);
    /** The client's socket has seen events of poll(). Returns whether the client has left; step is
     *  not called any more then. */
    int (*hear_client)(struct apipool_wait_t *wait, int events);
    /** It is due. */
    void (*expire)(struct apipool_wait_t *wait);
    /** The client has left, or httpd ends. */
    void (*leave)(struct apipool_wait_t *wait);
} apipool_wait_calls_t;

/* One wait of a request. Made by whoever waits, who may change it in the calls above, and lasts as
 * long as the request. */
typedef struct apipool_wait_t {
    const apipool_wait_calls_t *calls;
    request_rec *r;
    int fd;              /* of the socket that is waited for; -1: there is none */
    apr_time_t due;      /* when patience ends, of apipool_monotonic_now() */
    short client_events; /* of poll(), that hear_client shall be told besides errors; -1: nothing */
    int looks;      /* something may have come without the socket telling: it looks once a second */
    int watched_by; /* the pump's epoll descriptor; -1: none watches fd */
} apipool_wait_t;

/** The socket is about to be closed, or to be used by others: no pump watches it any more. To be
 *  called in one of the calls, or by the thread that has resumed. */
void apipool_wait_forget_socket(apipool_wait_t *wait);

#endif
