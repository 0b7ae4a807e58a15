/* SPDX-License-Identifier: Apache-2.0
 * Shared by the files of endpoint: the table of endpoints. */
#ifndef APIPOOL_VENDOR_ENDPOINT_PARTS_H
#define APIPOOL_VENDOR_ENDPOINT_PARTS_H

#include <apr.h>

#include "endpoint.h"

/* HTTP methods, as far as they matter here. */
enum {
    APIPOOL_METHOD_READ = 1, /* GET, HEAD, OPTIONS */
    APIPOOL_METHOD_POST = 2,
    APIPOOL_METHOD_DELETE = 4,
    APIPOOL_METHOD_CHANGE = 8 /* PUT, PATCH */
};

/* Patterns are lower-case segments; "*" matches one non-empty segment. */
typedef struct {
    unsigned methods;
    apr_size_t len; /* of the pattern */
    const char *pattern;
    apipool_endpoint_e kind;
} apipool_endpoint_row_t;

/* Each table ends with a row without a pattern; the first matching row counts. */

/** Generating endpoints by their last segments, free ones by all segments after the base URL's
 *  prefix. */
extern const apipool_endpoint_row_t apipool_endpoint_rows[];

/** Gemini API methods, which follow the colon after an id; any HTTP method. */
extern const apipool_endpoint_row_t apipool_endpoint_methods[];

/** Administrative segments, one or two, anywhere in the path; no id may be one of them. Ends with
 *  NULL, as do the next two. */
extern const char *const apipool_endpoint_admin[];

/** Collections: the segment after one is an id. */
extern const char *const apipool_endpoint_collections[];

/** Segments, besides versions, that a base URL may have before a free endpoint. */
extern const char *const apipool_endpoint_prefixes[];

#endif
