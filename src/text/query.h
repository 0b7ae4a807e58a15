/* SPDX-License-Identifier: Apache-2.0
 * Reads the query string of a request: checks the type and range of every parameter and refuses
 * unknown ones. */
#ifndef APIPOOL_TEXT_QUERY_H
#define APIPOOL_TEXT_QUERY_H

#include <apr_tables.h>

#include "input_error.h"

/* As in text/json, only the first flaw is kept; after it every parameter counts as absent, so
 * callers check once at the end. An empty value counts as absent, so forms can send all their
 * fields. Thread-safe; each request has its own query. */

#define APIPOOL_QUERY_PARAMETERS 32   /* in one query string */
#define APIPOOL_QUERY_MAX        8192 /* bytes */

typedef struct {
    apr_pool_t *p;
    apr_array_header_t *parameters;
    apipool_input_error_t *flaw;
} apipool_query_t;

/**
 * Parses a query string: "name=value&name=value", percent-encoded UTF-8, '+' for a space.
 * @param text NULL if absent
 */
void apipool_query_open(apipool_query_t *query, apr_pool_t *p, const char *text,
                        apipool_input_error_t *flaw);

/** Reads a text of at most max bytes without control characters; NULL if absent. */
const char *apipool_query_string(apipool_query_t *query, const char *name, apr_size_t max);

/** Reads a whole number; returns absent if there is none. */
apr_int64_t apipool_query_integer(apipool_query_t *query, const char *name, apr_int64_t min,
                                  apr_int64_t max, apr_int64_t absent);

/** Reads one of count names and returns its index; returns absent if there is none. */
int apipool_query_choice(apipool_query_t *query, const char *name, const char *const *names,
                         int count, int absent);

/** Records a flaw of a parameter unless there is one already. */
void apipool_query_refuse(apipool_query_t *query, const char *name, const char *message);

/** Refuses parameters that were never read. Returns 1 if there is no flaw at all. */
int apipool_query_close(apipool_query_t *query);

#endif
