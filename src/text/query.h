/* SPDX-License-Identifier: Apache-2.0
 * Reads the query string of a request: every parameter by its type and range, and none that is not known. */
#ifndef APIPOOL_TEXT_QUERY_H
#define APIPOOL_TEXT_QUERY_H

#include <apr_tables.h>

#include "input_error.h"

/* As core/json: the first flaw stays, from then on every parameter is absent, and callers look once. An empty
 * value counts as absent, so that forms can send all their fields. Thread-safe; each request has its own. */

#define APIPOOL_QUERY_PARAMETERS 32   /* in one query string */
#define APIPOOL_QUERY_MAX        8192 /* bytes of it */

typedef struct {
    apr_pool_t *p;
    apr_array_header_t *parameters;
    apipool_input_error_t *flaw;
} apipool_query_t;

/** Takes a query string apart: "name=value&name=value", percent-encoded UTF-8, '+' for a blank.
 *  @param text NULL: there is none */
void apipool_query_open(apipool_query_t *query, apr_pool_t *p, const char *text,
                        apipool_input_error_t *flaw);

/** Text of at most max bytes, without control characters; NULL: absent. */
const char *apipool_query_string(apipool_query_t *query, const char *name, apr_size_t max);

/** A whole number; absent where there is none. */
apr_int64_t apipool_query_integer(apipool_query_t *query, const char *name, apr_int64_t min,
                                  apr_int64_t max, apr_int64_t absent);

/** Which of count names the value is; absent where there is none. */
int apipool_query_choice(apipool_query_t *query, const char *name, const char *const *names,
                         int count, int absent);

/** Notes a flaw of a parameter, unless there is one. */
void apipool_query_refuse(apipool_query_t *query, const char *name, const char *message);

/** Refuses parameters that nobody asked for. Returns 1 if there is no flaw at all. */
int apipool_query_close(apipool_query_t *query);

#endif
