/* SPDX-License-Identifier: Apache-2.0
 * Sliding minute and day windows: how much was used lately, whether more may be, and when. */
#ifndef APIPOOL_CORE_WINDOW_H
#define APIPOOL_CORE_WINDOW_H

#include <apr.h>
#include <apr_time.h>

/* A window counts requests or tokens against a limit per minute or per day. It lives in shared memory:
 * it has no pointers, memory full of zeros is a valid empty window, and whoever calls a function below
 * holds the lock that guards it. The present is a parameter.
 *
 * Time is cut into buckets; 16 of them are counted, the current one among them, and 15 are as long as
 * the span and a margin for the way to the upstream: a second of a minute, a minute of a day. So a
 * charge counts from 61 to 65.1 seconds, or from 24 hours and a minute to 25.7 hours, and in no span,
 * wherever it begins, is more than the limit ever admitted, unless a single amount exceeds it.
 *
 * A clock that is set back loses nothing: what is charged then goes to the newest bucket. If it is set
 * back by more than a window, the window follows it and keeps the age of its charges. A clock that is
 * set forward cannot be told from time that passes. */

#define APIPOOL_WINDOW_BUCKETS 16 /* a power of 2, so that numbers may wrap */

typedef enum { APIPOOL_WINDOW_MINUTE, APIPOOL_WINDOW_DAY } apipool_window_span_e;

/* The four windows of whatever has rates: requests and tokens, per minute and per day. */
enum { APIPOOL_RPM, APIPOOL_RPD, APIPOOL_TPM, APIPOOL_TPD, APIPOOL_WINDOWS };

/** Whether one of the four is of the minute or of the day. */
static inline apipool_window_span_e apipool_window_span(int window)
{
    return window == APIPOOL_RPM || window == APIPOOL_TPM ? APIPOOL_WINDOW_MINUTE
                                                          : APIPOOL_WINDOW_DAY;
}

/* A bucket's number is time since the epoch in units of its width, its place the number modulo 16. */
typedef struct {
    apr_uint32_t newest; /* number of the newest bucket; enough until the year 2523 */
    apr_uint32_t counts[APIPOOL_WINDOW_BUCKETS];
} apipool_window_t;

/** What was charged in the last minute or day: sometimes more, never less. */
apr_uint64_t apipool_window_sum(const apipool_window_t *w, apipool_window_span_e span,
                                apr_time_t now);

/**
 * What was charged in about the last minute or day, for people to read: the oldest bucket counts in
 * part, as if it had been filled evenly. Do not admit by it.
 */
apr_uint64_t apipool_window_rate(const apipool_window_t *w, apipool_window_span_e span,
                                 apr_time_t now);

/** Adds amount to the current bucket, which holds UINT32_MAX at most. Asks no limit. */
void apipool_window_charge(apipool_window_t *w, apipool_window_span_e span, apr_time_t now,
                           apr_uint64_t amount);

/** Charges a request of so many tokens to the four windows, for less than four calls. */
void apipool_window_charge_four(apipool_window_t *four, apr_time_t now, apr_uint64_t tokens);

/**
 * Gives back to the bucket that was charged, if it is still counted, and no more than it holds. A
 * bucket that is full stays so, as what it really held is not known.
 * @param charged_at the time that the charge was made with
 */
void apipool_window_refund(apipool_window_t *w, apipool_window_span_e span, apr_time_t charged_at,
                           apr_time_t now, apr_uint64_t amount);

/** Puts what was used in the place of what was reserved: more is charged now, less is refunded.
 *  @param charged_at when it was reserved */
void apipool_window_settle(apipool_window_t *w, apipool_window_span_e span, apr_time_t charged_at,
                           apr_time_t now, apr_uint64_t reserved, apr_uint64_t used);

/**
 * The earliest time at which amount more stays within the limit, if nothing else is charged. An amount above
 * the limit counts as the limit: it is admitted when the window is empty, as no wait would make room for it.
 * @param w     written to only where the clock was set back by more than a window
 * @param limit per span; 0 is unlimited
 * @return now if it is admitted now; else a later time
 */
apr_time_t apipool_window_next_free(apipool_window_t *w, apipool_window_span_e span, apr_time_t now,
                                    apr_uint64_t limit, apr_uint64_t amount);

/** Whether that is such a later time: they are few, and hardly any other is one by chance. */
int apipool_window_is_edge(apr_time_t when);

#endif
