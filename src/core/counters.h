/* SPDX-License-Identifier: Apache-2.0
 * What is counted of anything that serves or asks: requests, tokens, rates, averages, histograms. */
#ifndef APIPOOL_CORE_COUNTERS_H
#define APIPOOL_CORE_COUNTERS_H

#include <apr.h>
#include <apr_time.h>

#include "usage.h"
#include "window.h"

/* The same for a key, an upstream, a pool, a client or a model: each is told of every request that it had a
 * part in when that is over. All of it lives in shared memory: no pointers, memory full of zeros is valid
 * and empty, and whoever calls a function below holds the lock that guards the memory. The present is a
 * parameter. Sums are exact; they wrap after 2^64.
 *
 * Tokens that an upstream reported and tokens that were estimated are never added to each other: where a
 * request is estimated, the sum of its tokens goes to estimated and nowhere else, the rates included. */

/* About that many results make up a moving average: each one moves it by a 20th of the difference. The
 * first ones weigh evenly, so that the average of fewer than 20 is their mean. */
#define APIPOOL_COUNTERS_AVERAGE_OF 20

/* One request, or one attempt, that is over. Neither a success nor an error is what tells nothing: the client
 * left. Times are counted from the request; one below 0 is not known and not averaged. */
typedef struct {
    int success, error;
    apr_uint32_t attempts;                   /* at upstreams, 0 where it was refused before */
    int estimated;                           /* the tokens are not the upstream's own count */
    apipool_usage_t tokens;                  /* -1: not known */
    apr_interval_time_t first_byte, latency; /* to the first byte of the answer, and to its end */
} apipool_finished_t;

/* Counts and averages without rates: for what has windows of its own, as a key has. */
typedef struct {
    apr_uint64_t requests, attempts, successes, errors;
    apr_uint64_t prompt, completion, cached, total; /* tokens, reported */
    apr_uint64_t estimated;                         /* tokens */
    double success;                                 /* moving average, 0 to 1 */
    double latency, first_byte;                     /* moving averages, seconds */
    apr_uint32_t timed, begun; /* requests that those two are made of; counted up to AVERAGE_OF */
} apipool_counts_t;

/* Counts, and how fast they grow. The windows are for display: no limit is enforced by them. */
typedef struct {
    apipool_counts_t counts;
    apipool_window_t windows[APIPOOL_WINDOWS];
    apr_uint32_t largest_hour; /* since the epoch, of the first one of these */
    apr_uint32_t largest[2];   /* tokens of an answer, in that hour and in the one before */
} apipool_counters_t;

/* For readers, who keep it after the lock is gone. -1: not known. */
typedef struct {
    apr_uint64_t requests, attempts, successes, errors;
    apr_uint64_t prompt, completion, cached, total, estimated;
    apr_int64_t rpm, rpd, tpm, tpd;   /* in about the last minute or day, tokens as reported */
    double success_rate;              /* 0 to 1, of the last results; see AVERAGE_OF */
    double latency_ms, first_byte_ms; /* of the last requests */
} apipool_counters_snapshot_t;

/** The reported or estimated tokens of a request: their total, or the sum of what is known; 0 where
 *  nothing is. */
apr_uint64_t apipool_finished_tokens(const apipool_finished_t *finished);

/** Counts one request. */
void apipool_counts_add(apipool_counts_t *counts, const apipool_finished_t *finished);

/** Counts one request, and charges the windows with it now, when it ends. */
void apipool_counters_add(apipool_counters_t *numbers, const apipool_finished_t *finished,
                          apr_time_t now);

/** The most tokens that a good answer of this hour or the last one had, reported or estimated; 0 where there
 *  was none. Needs no lock: three numbers, of which a torn reading is another hour's. */
apr_uint32_t apipool_counters_largest(const apipool_counters_t *numbers, apr_time_t now);

/** What is known of counts and of the windows that belong to them. */
void apipool_counts_read(const apipool_counts_t *counts, const apipool_window_t *windows,
                         apr_time_t now, apipool_counters_snapshot_t *snapshot);

/** What is known. */
void apipool_counters_read(const apipool_counters_t *numbers, apr_time_t now,
                           apipool_counters_snapshot_t *snapshot);

/* More than any httpd will count. */
#define APIPOOL_COUNTERS_MAX         (APR_UINT64_C(1) << 56)
#define APIPOOL_COUNTERS_SECONDS_MAX 1e9

/** Makes sense of memory in which a process has died, or that holds anything: what cannot be becomes 0. */
void apipool_counts_mend(apipool_counts_t *counts);

/** The same; windows take whatever they find. */
static inline void apipool_counters_mend(apipool_counters_t *numbers)
{
    apipool_counts_mend(&numbers->counts);
}

/* Times in fixed buckets, from a cached answer to a long generation, for Prometheus. */
#define APIPOOL_HISTOGRAM_BUCKETS 14

typedef struct {
    apr_uint64_t counts[APIPOOL_HISTOGRAM_BUCKETS + 1]; /* the last one: above all bounds */
    apr_uint64_t sum;                                   /* microseconds, so that it is exact */
} apipool_histogram_t;

typedef struct {
    apr_uint64_t at_most[APIPOOL_HISTOGRAM_BUCKETS]; /* cumulative, as Prometheus wants them */
    apr_uint64_t count;                              /* all: the bucket "+Inf" */
    double sum;                                      /* seconds */
} apipool_histogram_snapshot_t;

/** Upper bounds of the buckets in seconds, ascending; a bound belongs to its bucket. */
extern const double apipool_histogram_bounds[APIPOOL_HISTOGRAM_BUCKETS];

/** Counts a time; one below 0 is not known and is not counted. */
void apipool_histogram_add(apipool_histogram_t *histogram, apr_interval_time_t time);

void apipool_histogram_read(const apipool_histogram_t *histogram,
                            apipool_histogram_snapshot_t *snapshot);

#endif
