/* SPDX-License-Identifier: Apache-2.0
 * When an upstream says a rate limit ends: header fields and body hints as one point in time. */
#ifndef APIPOOL_CORE_WHEN_H
#define APIPOOL_CORE_WHEN_H

#include <apr_tables.h>
#include <apr_time.h>

/* Vendors name the same thing as seconds, milliseconds, durations ("6m0s"), epochs and dates. All
 * functions here are pure: the present is a parameter. Times that lie in the past or more than a day
 * ahead are no answer to "when may I come back" and are ignored. Thread-safe. */

#define APIPOOL_WHEN_MAX apr_time_from_sec(24 * 3600)

/**
 * The latest valid time named by Retry-After (RFC 9110 section 10.2.3), its millisecond variants and
 * the vendors' reset fields. The reset of a limit whose "remaining" field is above zero is not what
 * stopped the request and does not count.
 * @param headers the answer's header fields
 * @param now     the present
 * @return a time after now, or 0 when nothing valid is named
 */
apr_time_t apipool_when_headers(const apr_table_t *headers, apr_time_t now);

/**
 * A duration such as "34s", "12ms", "6m0s", "1h2m3.5s" or a bare number of seconds.
 * @return microseconds, or -1 when text is no duration or not finite
 */
apr_interval_time_t apipool_when_duration(const char *text);

#endif
