/* SPDX-License-Identifier: Apache-2.0
 * A thread that drives suspended requests: it waits for the sockets of all, and never for one. */
#ifndef APIPOOL_PUMP_PUMP_H
#define APIPOOL_PUMP_PUMP_H

#include <ap_mpm.h>
#include <apr_pools.h>
#include <apr_ring.h>

#include "wait.h"

#if defined(__linux__) && defined(AP_MPMQ_CAN_WAITIO) /* httpd 2.4.63 or later */
#define APIPOOL_CAN_SUSPEND 1
#endif

typedef struct apipool_pump_t apipool_pump_t;

/* A suspended request's seat at a pump. Lives in the pool of the client's connection. */
typedef struct apipool_seat_t {
    APR_RING_ENTRY(apipool_seat_t) link;
    apipool_wait_t *wait;
    apipool_pump_t *pump;
    int client;                    /* socket */
    int done;                      /* an eventfd: the MPM is to come back */
    apr_interval_time_t mpm_waits; /* as long as the MPM waits before it closes */

    /* the pump's own */
    apr_time_t parked_at;
    apr_time_t look_at;
    unsigned client_interest, socket_interest; /* of epoll; 0: not watched */
    struct {
        struct apipool_seat_t *seat;
        int is_client;
    } ends[2]; /* what epoll knows its sockets by */

    /* by the pump's mutex */
    int is_pumped; /* the pump owns it */
    int is_wanted; /* the MPM wants it back now */
} apipool_seat_t;

/** Starts a pump. It ends with apipool_pump_stop(). */
apr_status_t apipool_pump_start(apipool_pump_t **pump, apr_pool_t *p);

/** Hands a seat over: wait, client, done and mpm_waits are set. */
void apipool_pump_take(apipool_pump_t *pump, apipool_seat_t *seat);

/** Takes what the pump has written into the seat's eventfd. Returns whether the pump has done with it; if so,
 *  it belongs to the caller. */
int apipool_pump_has_done(apipool_seat_t *seat);

/** Gets a seat back, whatever it waits for. Waits for the pump. Returns whether its wait had not ended. */
int apipool_pump_reclaim(apipool_seat_t *seat);

/** Stops the thread, and calls end() for each seat that is left. */
void apipool_pump_stop(apipool_pump_t *pump, void (*end)(apipool_seat_t *seat));

#endif
