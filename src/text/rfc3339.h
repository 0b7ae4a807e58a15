/* SPDX-License-Identifier: Apache-2.0
 * Reads and writes RFC 3339 times. */
#ifndef APIPOOL_TEXT_RFC3339_H
#define APIPOOL_TEXT_RFC3339_H

#include <apr_time.h>

#define APIPOOL_RFC3339_SIZE 24 /* "2026-01-31T23:59:59Z" and NUL, with room for odd years */

/**
 * Reads an RFC 3339 section 5.6 time with 'Z' or a numeric offset and nothing after it. Pure,
 * thread-safe.
 * @return microseconds since 1970; 0 if text is anything else
 */
apr_time_t apipool_rfc3339_read(const char *text);

/** Writes a time after 1970 in UTC, to the second. */
void apipool_rfc3339_write(apr_time_t when, char out[APIPOOL_RFC3339_SIZE]);

#endif
