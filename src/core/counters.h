/* SPDX-License-Identifier: Apache-2.0
 * Counters of requests and tokens: sums, rates, moving averages, histograms. */
#ifndef APIPOOL_CORE_COUNTERS_H
#define APIPOOL_CORE_COUNTERS_H

#include <apr.h>
#include <apr_time.h>

#include "usage.h"
#include "window.h"

/* Keys, upstreams, pools, clients and models all have the same counters, updated at the end of
 * each request that they took part in. Counters live in shared memory: no pointers; memory full
 * of zeros is valid and empty; callers hold the lock of that memory. The current time is a
 * parameter. Sums are exact; they wrap after 2^64.
 *
 * Reported and estimated tokens are never added to each other: the tokens of an estimated
 * request go only to estimated, and not to the rates. */

/* Weight of a moving average: each result moves it by a 20th of the difference. The average of
 * fewer than 20 results is their mean. */
#define APIPOOL_COUNTERS_AVERAGE_OF 20

/* Whose a request without success is. The client's own mistakes lower no rate of success; an
 * error is one of a key or of an upstream. verdict.c has the kind of each rule. */
typedef enum {
    APIPOOL_KIND_NONE,   /* it was served */
    APIPOOL_KIND_CLIENT, /* it left, asked wrongly, or for more than it may */
    APIPOOL_KIND_KEY,    /* a key was refused, or the pool had none to lend */
    APIPOOL_KIND_UPSTREAM,
    APIPOOL_KINDS
} apipool_kind_e;

/** Name for the API and metrics, for example "client"; NULL for none. */
const char *apipool_kind_name(apipool_kind_e kind);

/* Finished request, or finished attempt. It is neither a success nor an error when it shows
 * nothing, as when the client left. Times count from the request; a time below 0 is unknown and
 * not averaged. */
typedef struct {
    int success, error;
    apipool_kind_e kind;                     /* of a request */
    apr_uint32_t attempts;                   /* at upstreams; 0 if it was refused before */
    int estimated;                           /* the tokens were not reported by the upstream */
    apipool_usage_t tokens;                  /* -1: unknown */
    apr_interval_time_t first_byte, latency; /* to the first byte of the answer and to its end */
} apipool_finished_t;

/* Sums and averages without rates, for keys, which have windows of their own. */
typedef struct {
    apr_uint64_t requests, attempts, successes, errors;
    apr_uint64_t prompt, completion, cached, total; /* tokens, reported */
    apr_uint64_t estimated;                         /* tokens */
    double success;                                 /* moving average, 0 to 1 */
    double latency, first_byte;                     /* moving averages, seconds */
    apr_uint32_t timed, begun; /* number of requests in those averages, at most AVERAGE_OF */
} apipool_counts_t;

/* Sums with rates. The windows are only for display; limits do not use them. */
typedef struct {
    apipool_counts_t counts;
    apipool_window_t windows[APIPOOL_WINDOWS];
    apr_uint32_t largest_hour; /* hour since the epoch, of largest[0] */
    apr_uint32_t largest[2]; /* tokens of the largest answer in that hour and in the hour before */
} apipool_counters_t;

/* Copy for readers, valid without the lock. -1: unknown. */
typedef struct {
    apr_uint64_t requests, attempts, successes, errors;
    apr_uint64_t prompt, completion, cached, total, estimated;
    apr_int64_t rpm, rpd, tpm, tpd;   /* in about the last minute or day; reported tokens */
    double success_rate;              /* 0 to 1, of the last results; see AVERAGE_OF */
    double latency_ms, first_byte_ms; /* of the last requests */
} apipool_counters_snapshot_t;

/** Reported or estimated tokens of a request: the total, or the sum of the known parts; 0 if
 *  unknown. */
apr_uint64_t apipool_finished_tokens(const apipool_finished_t *finished);

/** Counts one request. */
void apipool_counts_add(apipool_counts_t *counts, const apipool_finished_t *finished);

/** Counts one request and charges it to the windows at its end. */
void apipool_counters_add(apipool_counters_t *counters, const apipool_finished_t *finished,
                          apr_time_t now);

/** Tokens of the largest successful answer in this hour or the last one, reported or estimated;
 *  0 without one. No lock: of the three numbers, a torn read belongs to another hour. */
apr_uint32_t apipool_counters_largest(const apipool_counters_t *counters, apr_time_t now);

/** Reads counts, and the windows that belong to them. */
void apipool_counts_read(const apipool_counts_t *counts, const apipool_window_t *windows,
                         apr_time_t now, apipool_counters_snapshot_t *snapshot);

/** Reads counters. */
void apipool_counters_read(const apipool_counters_t *counters, apr_time_t now,
                           apipool_counters_snapshot_t *snapshot);

/* Limits of plausible values. */
#define APIPOOL_COUNTERS_MAX         (APR_UINT64_C(1) << 56)
#define APIPOOL_COUNTERS_SECONDS_MAX 1e9

/** Repairs counts in memory that may hold anything, for example after a crash: impossible values
 *  become 0. */
void apipool_counts_mend(apipool_counts_t *counts);

/** Repairs counters; any content of a window is valid. */
static inline void apipool_counters_mend(apipool_counters_t *counters)
{
    apipool_counts_mend(&counters->counts);
}

/* Times in fixed buckets for Prometheus, from cached answers to long generations. */
#define APIPOOL_HISTOGRAM_BUCKETS 14

typedef struct {
    apr_uint64_t counts[APIPOOL_HISTOGRAM_BUCKETS + 1]; /* the last one: above all bounds */
    apr_uint64_t sum;                                   /* microseconds, so that it is exact */
} apipool_histogram_t;

typedef struct {
    apr_uint64_t at_most[APIPOOL_HISTOGRAM_BUCKETS]; /* cumulative, as Prometheus expects */
    apr_uint64_t count;                              /* all: the bucket "+Inf" */
    double sum;                                      /* seconds */
} apipool_histogram_snapshot_t;

/** Upper bounds of the buckets in seconds, ascending and inclusive. */
extern const double apipool_histogram_bounds[APIPOOL_HISTOGRAM_BUCKETS];

/** Counts a time; a time below 0 is unknown and not counted. */
void apipool_histogram_add(apipool_histogram_t *histogram, apr_interval_time_t time);

void apipool_histogram_read(const apipool_histogram_t *histogram,
                            apipool_histogram_snapshot_t *snapshot);

#endif
