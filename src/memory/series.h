/* SPDX-License-Identifier: Apache-2.0
 * The history of a pool: the last 60 minutes by the minute, the last 48 hours by the hour. */
#ifndef APIPOOL_MEMORY_SERIES_H
#define APIPOOL_MEMORY_SERIES_H

#include "counters.h"

/* Lives in shared memory: no pointers, memory full of zeros is a valid empty history. Whoever calls a
 * function below holds the segment's lock; the present is a parameter.
 *
 * Two rings of points. A point knows the number of its minute or hour since the epoch, and its place is
 * that number modulo the ring's size. One of another number is as good as empty, so nothing has to be
 * cleared as time passes, and a clock that is set, either way, finds each minute where it belongs; at worst
 * it takes the place of one that is an hour, or two days, away. */

#define APIPOOL_SERIES_MINUTES 60
#define APIPOOL_SERIES_HOURS   48

typedef enum { APIPOOL_SERIES_BY_MINUTE, APIPOOL_SERIES_BY_HOUR } apipool_series_step_e;

/* 56 bytes. */
typedef struct {
    apr_uint32_t number; /* of the minute or hour */
    apr_uint32_t requests, errors;
    apr_uint32_t begun, timed;        /* requests in the two sums */
    apr_uint64_t first_byte, latency; /* sums, microseconds */
    apr_uint64_t prompt, completion;  /* tokens, reported */
} apipool_series_slot_t;

typedef struct {
    apipool_series_slot_t minutes[APIPOOL_SERIES_MINUTES];
    apipool_series_slot_t hours[APIPOOL_SERIES_HOURS];
} apipool_series_t;

/* For readers. Sums, so that those of several pools can be added. */
typedef struct {
    apr_time_t at; /* when the minute or hour begins */
    apr_uint64_t requests, errors;
    apr_uint64_t prompt, completion;
    apr_uint64_t begun, timed;
    apr_uint64_t first_byte, latency; /* microseconds */
} apipool_series_point_t;

/** Counts a request in the minute and the hour in which it ends. Tokens that were estimated are left out.
 *  Takes the same time always. */
void apipool_series_add_locked(apipool_series_t *series, const apipool_finished_t *finished,
                               apr_time_t now);

/**
 * The latest points without gaps, oldest first; the last one is the minute or hour that is not over.
 * @param points result, room for count of them; what is not known to have happened is zero
 * @param count  how many are wanted, at most APIPOOL_SERIES_MINUTES or APIPOOL_SERIES_HOURS
 * @return how many there are: count, or the most there can be
 */
int apipool_series_read_locked(const apipool_series_t *series, apipool_series_step_e step,
                               apr_time_t now, apipool_series_point_t *points, int count);

/** Microseconds of so many requests as their mean in milliseconds; -1 of none. Needs no lock. */
double apipool_series_mean_ms(apr_uint64_t sum, apr_uint64_t requests);

#endif
