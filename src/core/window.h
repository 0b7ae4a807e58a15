/* SPDX-License-Identifier: Apache-2.0
 * Sliding windows per minute and day: recent usage, and admission by a limit. */
#ifndef APIPOOL_CORE_WINDOW_H
#define APIPOOL_CORE_WINDOW_H

#include <apr.h>
#include <apr_time.h>

/* A window counts requests or tokens against a limit per minute or per day. It lives in shared
 * memory: no pointers; memory full of zeros is a valid empty window; callers hold the lock of
 * that memory. The current time is a parameter.
 *
 * Time is cut into buckets. 16 of them count, including the current one; 15 cover the span plus
 * a margin for the way to the upstream: a second for a minute, a minute for a day. So a charge
 * counts for 61 to 65.1 seconds, or for 24 hours and a minute to 25.7 hours, and no span of
 * time, wherever it begins, gets more than the limit unless a single amount exceeds it.
 *
 * A clock that is set back loses nothing: charges go to the newest bucket. If it is set back by
 * more than a window, the window follows and keeps the age of its charges. A clock that is set
 * forward looks like passing time. */

#define APIPOOL_WINDOW_BUCKETS 16 /* a power of 2, so that numbers may wrap */

typedef enum { APIPOOL_WINDOW_MINUTE, APIPOOL_WINDOW_DAY } apipool_window_span_e;

/* Windows of everything that has rates: requests and tokens, per minute and day. */
enum { APIPOOL_RPM, APIPOOL_RPD, APIPOOL_TPM, APIPOOL_TPD, APIPOOL_WINDOWS };

/** Span of one of the four windows. */
static inline apipool_window_span_e apipool_window_span(int window)
{
    return window == APIPOOL_RPM || window == APIPOOL_TPM ? APIPOOL_WINDOW_MINUTE
                                                          : APIPOOL_WINDOW_DAY;
}

/* The number of a bucket is time since the epoch in units of its width; its place is that modulo
 * 16. */
typedef struct {
    apr_uint32_t newest; /* number of the newest bucket; sufficient until 2523 */
    apr_uint32_t counts[APIPOOL_WINDOW_BUCKETS];
} apipool_window_t;

/** Amount charged in the last minute or day: sometimes more, never less. */
apr_uint64_t apipool_window_sum(const apipool_window_t *w, apipool_window_span_e span,
                                apr_time_t now);

/** Amount charged in about the last minute or day, for display: the oldest bucket counts in
 *  part, as if filled evenly. Not for admission. */
apr_uint64_t apipool_window_rate(const apipool_window_t *w, apipool_window_span_e span,
                                 apr_time_t now);

/** Adds amount to the current bucket, which holds at most UINT32_MAX. Checks no limit. */
void apipool_window_charge(apipool_window_t *w, apipool_window_span_e span, apr_time_t now,
                           apr_uint64_t amount);

/** Charges a request with this many tokens to the four windows; cheaper than four calls. */
void apipool_window_charge_four(apipool_window_t *four, apr_time_t now, apr_uint64_t tokens);

/**
 * Refunds amount to the charged bucket, if that still counts, at most what it holds. A saturated
 * bucket stays so, as its true content is unknown.
 * @param charged_at time of the charge
 */
void apipool_window_refund(apipool_window_t *w, apipool_window_span_e span, apr_time_t charged_at,
                           apr_time_t now, apr_uint64_t amount);

/**
 * Replaces reserved by used: charges the excess now, or refunds the rest.
 * @param charged_at time of the reservation
 */
void apipool_window_settle(apipool_window_t *w, apipool_window_span_e span, apr_time_t charged_at,
                           apr_time_t now, apr_uint64_t reserved, apr_uint64_t used);

/**
 * Earliest time at which amount is within the limit, if nothing else is charged. An amount above
 * the limit counts as the limit: it is admitted when the window is empty, as waiting cannot help
 * it.
 * @param w     only written if the clock was set back by more than a window
 * @param limit per span; 0 is unlimited
 * @return now if admitted now, else a later time
 */
apr_time_t apipool_window_next_free(apipool_window_t *w, apipool_window_span_e span, apr_time_t now,
                                    apr_uint64_t limit, apr_uint64_t amount);

/** Makes all charges appear younger by a step of the clock, so that they count as long as if it had
 *  not been set; at most a bucket longer. Negative if it was set back. */
void apipool_window_shift(apipool_window_t *w, apipool_window_span_e span,
                          apr_interval_time_t step);

/** Returns 1 if a time may be such a later time; other times hardly ever match by chance. */
int apipool_window_is_edge(apr_time_t when);

#endif
