/* SPDX-License-Identifier: Apache-2.0
 * History of a pool: the last 60 minutes by minute, the last 48 hours by hour. */
#ifndef APIPOOL_MEMORY_SERIES_H
#define APIPOOL_MEMORY_SERIES_H

#include "counters.h"

/* Lives in shared memory: no pointers; memory full of zeros is a valid empty history. Callers of
 * a *_locked function hold the segment's lock; the current time is a parameter.
 *
 * Two rings of points. A point stores the number of its minute or hour since the epoch and lies
 * at that number modulo the size of the ring. A point with another number counts as empty, so
 * nothing has to be cleared as time passes. When the clock is set, each minute still finds its
 * place; at worst it replaces a point that is an hour, or two days, away. */

#define APIPOOL_SERIES_MINUTES 60
#define APIPOOL_SERIES_HOURS   48

typedef enum { APIPOOL_SERIES_BY_MINUTE, APIPOOL_SERIES_BY_HOUR } apipool_series_step_e;

/* 64 bytes. */
typedef struct {
    apr_uint32_t number;              /* of the minute or hour, since the epoch */
    apr_uint32_t requests, errors;    /* errors of keys and upstreams */
    apr_uint32_t begun, timed;        /* number of requests in the two sums */
    apr_uint64_t first_byte, latency; /* sums, microseconds */
    apr_uint64_t prompt, completion;  /* tokens, reported */
    apr_uint32_t of_clients, of_keys; /* the clients' mistakes, and the errors that are of keys */
} apipool_series_slot_t;

typedef struct {
    apipool_series_slot_t minutes[APIPOOL_SERIES_MINUTES];
    apipool_series_slot_t hours[APIPOOL_SERIES_HOURS];
} apipool_series_t;

/* Point for readers. Holds sums, so that points of several pools can be added. */
typedef struct {
    apr_time_t at; /* beginning of the minute or hour */
    apr_uint64_t requests, errors;
    apr_uint64_t of_clients, of_keys; /* in no error, and in errors */
    apr_uint64_t prompt, completion;
    apr_uint64_t begun, timed;
    apr_uint64_t first_byte, latency; /* microseconds */
} apipool_series_point_t;

/** Counts a request in the minute and hour in which it ends. Estimated tokens are left out.
 *  O(1). */
void apipool_series_add_locked(apipool_series_t *series, const apipool_finished_t *finished,
                               apr_time_t now);

/**
 * Reads the latest points without gaps, oldest first; the last one is the current minute or
 * hour.
 * @param points result, room for count; a point without data is zero
 * @param count  at most APIPOOL_SERIES_MINUTES or APIPOOL_SERIES_HOURS
 * @return number of points: count, or the maximum
 */
int apipool_series_read_locked(const apipool_series_t *series, apipool_series_step_e step,
                               apr_time_t now, apipool_series_point_t *points, int count);

/** Share of requests that were served, of those that no client spoilt; -1 without any. No lock. */
double apipool_series_success_rate(const apipool_series_point_t *point);

/** Mean in milliseconds of a sum in microseconds; -1 without requests. No lock. */
double apipool_series_mean_ms(apr_uint64_t sum, apr_uint64_t requests);

#endif
