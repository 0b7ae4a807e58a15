/* SPDX-License-Identifier: Apache-2.0
 * Reads when a rate limit ends, from header fields and body hints, as one point in time. */
#ifndef APIPOOL_VENDOR_RETRY_AFTER_H
#define APIPOOL_VENDOR_RETRY_AFTER_H

#include <apr_tables.h>
#include <apr_time.h>

#include "provider.h"

/* Vendors give times as seconds, milliseconds, durations ("6m0s"), epochs and dates, and proxies
 * join several with commas. All functions here are pure: the current time is a parameter. Times in
 * the past are ignored; those more than a day ahead count as a day ahead, since a vendor may also
 * lift a limit early. Thread-safe. */

#define APIPOOL_RETRY_AFTER_MAX apr_time_from_sec(24 * 3600)

/**
 * Returns the latest valid time in Retry-After (RFC 9110 section 10.2.3), its millisecond variants
 * and the vendor's reset fields. If a limit's "remaining" field is above zero, its reset does not
 * count, since it did not stop the request.
 * @param headers the answer's header fields
 * @param now     the current time
 * @return a time after now, or 0 if there is none
 */
apr_time_t apipool_retry_after_headers(const apr_table_t *headers, apipool_provider_e provider,
                                       apr_time_t now);

/** The same for Retry-After and its variants only: for answers that are not about a rate limit. */
apr_time_t apipool_retry_after_field(const apr_table_t *headers, apipool_provider_e provider,
                                     apr_time_t now);

/**
 * Returns the smallest remaining share of the vendor's rate limits, by the fields of any answer.
 * Reads the fields once and allocates nothing.
 * @param until set to when the value expires: the limit's reset, at most a day ahead, or a minute
 *              from now if none is given; 0 if there is no value
 * @return 0 to 1, or -1 if there is none; a negative "remaining", as Azure sends, is ignored
 */
double apipool_retry_after_headroom(const apr_table_t *headers, apipool_provider_e provider,
                                    apr_time_t now, apr_time_t *until);

/** Reads a vendor's reset: a duration, an epoch in s, ms or us, RFC 3339 or an HTTP date; the latest
 *  of several. Returns 0 if there is none. */
apr_time_t apipool_retry_after_reset(const char *text, apr_time_t now);

/** Returns the time after an interval, at most a day ahead; 0 if the interval is not above 0. */
apr_time_t apipool_retry_after_in(apr_interval_time_t interval, apr_time_t now);

/** Returns the next midnight in Los Angeles, up to 25 hours ahead, when Gemini's daily limits
 *  end. */
apr_time_t apipool_retry_after_pacific_midnight(apr_time_t now);

/** Reads a date: an epoch in s, ms or us, RFC 3339 or an HTTP date. Returns 0 if it is none. */
apr_time_t apipool_retry_after_date(const char *text);

/** Reads the beginning of a duration, a number with its unit: "2h", "1.5 seconds", "6 秒". Returns
 *  what is behind it, or NULL if there is none. */
const char *apipool_retry_after_part(const char *text, double *seconds);

/**
 * Reads a duration such as "34s", "12ms", "6m0s", "60 seconds" or a bare number of seconds.
 * @return microseconds, or -1 if text is not a duration or not finite
 */
apr_interval_time_t apipool_retry_after_duration(const char *text);

#endif
