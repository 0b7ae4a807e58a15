/* SPDX-License-Identifier: Apache-2.0
 * Between the files of endpoint: the table of endpoints. */
#ifndef APIPOOL_VENDOR_ENDPOINT_PARTS_H
#define APIPOOL_VENDOR_ENDPOINT_PARTS_H

#include <apr.h>

#include "endpoint.h"

/* HTTP's methods, as far as they make a difference. */
enum {
    APIPOOL_METHOD_READ = 1, /* GET, HEAD, OPTIONS */
    APIPOOL_METHOD_POST = 2,
    APIPOOL_METHOD_DELETE = 4,
    APIPOOL_METHOD_CHANGE = 8 /* PUT, PATCH */
};

/* Patterns are segments in small letters; "*" stands for one segment that is not empty. */
typedef struct {
    unsigned methods;
    apr_size_t len; /* of the pattern */
    const char *pattern;
    apipool_endpoint_e kind;
} apipool_endpoint_row_t;

/* Each table ends with a row that has no pattern; the first row that matches counts. */

/** The last segments of what generates, and all segments of what is free, behind the beginning of a base
 *  URL. */
extern const apipool_endpoint_row_t apipool_endpoint_rows[];

/** What follows the colon behind an id, in the Gemini API; of any HTTP method. */
extern const apipool_endpoint_row_t apipool_endpoint_methods[];

/** Segments, one or two, that no id may be: wherever they stand. Ends with NULL, as the next two do. */
extern const char *const apipool_endpoint_admin[];

/** Collections: the segment behind is an id. */
extern const char *const apipool_endpoint_collections[];

/** Segments that base URLs may have before what is free, beside versions. */
extern const char *const apipool_endpoint_beginnings[];

#endif
