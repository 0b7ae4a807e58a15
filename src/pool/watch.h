/* SPDX-License-Identifier: Apache-2.0
 * What has happened to pools, upstreams, keys and clients since it was told of last. */
#ifndef APIPOOL_POOL_WATCH_H
#define APIPOOL_POOL_WATCH_H

#include "alarm.h"
#include "segment.h"

/* What was told lies in shared memory, so that whichever process looks tells it once. A change that
 * nobody asked for waits there; one that is undone meanwhile is never told.
 *
 * Each function finds one event that some things of one pool share, and notes it as told. It takes
 * the segment's lock in small steps, and only where it sees a change; callers hold none. */

/* What is told of a pool. */
typedef struct {
    int is_watched;   /* configured; the other members are set */
    apr_uint32_t low; /* APIPOOL_ALARM_POOL_LOW when fewer keys are usable; 0: never */
    double balance;   /* APIPOOL_ALARM_BALANCE_LOW below it; NaN: never */
    unsigned muted;   /* bits 1 << apipool_alarm_e: these events wait */
} apipool_watch_pool_t;

#define APIPOOL_WATCH_PORTION 65536 /* slots of keys, or of clients, looked at per call */

typedef struct {
    apipool_alarm_e event;                  /* APIPOOL_ALARM_COUNT: nothing has happened */
    apr_uint32_t pool;                      /* not for clients */
    apr_uint32_t count;                     /* things that it happened to */
    apr_uint32_t rows;                      /* the first of them: */
    apr_uint32_t slots[APIPOOL_ALARM_ROWS]; /* of keys; or upstreams */
    apr_uint64_t ids[APIPOOL_ALARM_ROWS];   /* of keys */
    const char *whys[APIPOOL_ALARM_ROWS];   /* of upstreams: see apipool_breaker_why() */
    apr_uint32_t usable, total;             /* of a pool: keys in rotation, and all */
} apipool_watched_t;

/**
 * Keys that are lost or back, or whose balance is low.
 * @param pools APIPOOL_POOLS_MAX, by index
 * @param from  where to begin, 0 at first; set to where to go on, 0 again at the end
 */
apr_status_t apipool_watch_keys(apipool_segment_t *segment, const apipool_watch_pool_t *pools,
                                apr_uint32_t *from, apipool_watched_t *found);

/** A pool that has few keys, or none that can serve a request within a minute. A pool that has had
 *  no key so far is not told of. */
apr_status_t apipool_watch_pools(apipool_segment_t *segment, const apipool_watch_pool_t *pools,
                                 apr_time_t now, apipool_watched_t *found);

/** Upstreams that are paused, or no longer so. */
apr_status_t apipool_watch_upstreams(apipool_segment_t *segment, const apipool_watch_pool_t *pools,
                                     apipool_watched_t *found);

/* Client near or over one of its limits. */
typedef struct {
    char server[APIPOOL_CLIENT_SERVER_MAX], name[APIPOOL_CLIENT_NAME_MAX];
    int limit; /* APIPOOL_CLIENT_RPM ... */
    apr_uint64_t used;
    apr_uint32_t of; /* the limit; 0: the client has none of its own */
} apipool_watched_client_t;

typedef struct {
    apipool_alarm_e event; /* and count, and rows: as above */
    apr_uint32_t count, row_count;
    apipool_watched_client_t rows[APIPOOL_ALARM_ROWS];
} apipool_watched_clients_t;

/* What is told of clients. */
typedef struct {
    unsigned percent; /* share of a limit that is near it */
    unsigned muted;   /* as of a pool */
    apr_time_t now;
} apipool_client_watch_t;

/**
 * Clients that are near a limit, or were refused because of one. Each limit of a client is told of
 * once an hour at most, and not again before its use was below the share.
 * @param from as for keys
 */
apr_status_t apipool_watch_clients(apipool_segment_t *segment, const apipool_client_watch_t *watch,
                                   apr_uint32_t *from, apipool_watched_clients_t *found);

/** Returns 1 if saving has begun to fail: the first failure since a look that saw only saves. No
 *  lock: single numbers that one process at a time writes. */
int apipool_watch_store(apipool_segment_t *segment);

#endif
