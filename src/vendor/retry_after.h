/* SPDX-License-Identifier: Apache-2.0
 * When an upstream says a rate limit ends: header fields and body hints as one point in time. */
#ifndef APIPOOL_VENDOR_RETRY_AFTER_H
#define APIPOOL_VENDOR_RETRY_AFTER_H

#include <apr_tables.h>
#include <apr_time.h>

#include "provider.h"

/* Vendors name the same thing as seconds, milliseconds, durations ("6m0s"), epochs and dates. All
 * functions here are pure: the present is a parameter. Times that lie in the past or more than a
 * day ahead are no answer to "when may I come back" and are ignored. Thread-safe. */

#define APIPOOL_RETRY_AFTER_MAX apr_time_from_sec(24 * 3600)

/**
 * The latest valid time named by Retry-After (RFC 9110 section 10.2.3), its millisecond variants
 * and the reset fields of the vendor. The reset of a limit whose "remaining" field is above zero is
 * not what stopped the request and does not count.
 * @param headers the answer's header fields
 * @param now     the present
 * @return a time after now, or 0 when nothing valid is named
 */
apr_time_t apipool_retry_after_headers(const apr_table_t *headers, apipool_provider_e provider,
                                       apr_time_t now);

/** The same for Retry-After and its variants alone: for answers that are not about a rate limit. */
apr_time_t apipool_retry_after_field(const apr_table_t *headers, apipool_provider_e provider,
                                     apr_time_t now);

/**
 * How much is left of the vendor's rate limits, as the fields of any answer say: the smallest share
 * of all limits. Walks the fields once and allocates nothing.
 * @param until set to when the reading ends: the limit's reset, at most a day ahead, or a minute
 *              from now where none is named; 0 when nothing is said
 * @return 0 to 1, or -1 when nothing is said; a negative "remaining" says nothing, as Azure's
 */
double apipool_retry_after_headroom(const apr_table_t *headers, apipool_provider_e provider,
                                    apr_time_t now, apr_time_t *until);

/** A reset as vendors write it: a duration, an epoch in s or ms, RFC 3339; 0 unless it is valid. */
apr_time_t apipool_retry_after_reset(const char *text, apr_time_t now);

/** The next midnight in Los Angeles, up to 25 hours ahead: Gemini's limits per day end then. */
apr_time_t apipool_retry_after_pacific_midnight(apr_time_t now);

/**
 * A duration such as "34s", "12ms", "6m0s", "1h2m3.5s" or a bare number of seconds.
 * @return microseconds, or -1 when text is no duration or not finite
 */
apr_interval_time_t apipool_retry_after_duration(const char *text);

#endif
