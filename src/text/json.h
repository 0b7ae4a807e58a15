/* SPDX-License-Identifier: Apache-2.0
 * Reads JSON from a caller: checks the type and range of every member and refuses unknown ones. */
#ifndef APIPOOL_TEXT_JSON_H
#define APIPOOL_TEXT_JSON_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>
#include <jansson.h>
#include <stddef.h>

#include "input_error.h"

/* Thread-safe as long as each thread has its own APR pool. */

#define APIPOOL_JSON_DEPTH  16      /* arrays and objects nested in each other */
#define APIPOOL_JSON_VALUES 1000000 /* values in a text, which bounds its memory */

typedef enum {
    APIPOOL_JSON_STRING,  /* const char *: at most max bytes, no control characters */
    APIPOOL_JSON_BOOLEAN, /* int */
    APIPOOL_JSON_INTEGER, /* apr_uint32_t: from 1 to max */
    APIPOOL_JSON_COUNT,   /* apr_uint32_t: from 0 to max */
    APIPOOL_JSON_TIME,    /* apr_time_t: an RFC 3339 string */
    APIPOOL_JSON_STRINGS, /* apr_array_header_t * of const char *: up to count of 1 to max bytes */
    APIPOOL_JSON_OBJECT /* has members of its own, stored in the same struct; at an offset other than
                             0, an int that becomes 1 */
} apipool_json_kind_e;

typedef enum {
    APIPOOL_JSON_NULLABLE, /* null counts as present and leaves the struct unchanged */
    APIPOOL_JSON_OPTIONAL, /* null counts as absent */
    APIPOOL_JSON_NOT_NULL,
    APIPOOL_JSON_REQUIRED
} apipool_json_need_e;

/* A member of an object, and where its value is stored in a struct. */
typedef struct apipool_json_member_t apipool_json_member_t;
struct apipool_json_member_t {
    const char *name; /* NULL ends the table */
    apipool_json_kind_e kind;
    apipool_json_need_e need;
    apr_size_t offset;
    apr_int64_t max;
    int count;
    const apipool_json_member_t *members;
};

/**
 * Reads a text, which must be a UTF-8 object with only the given members, at most
 * APIPOOL_JSON_DEPTH deep, no member twice.
 * @param text    need not be terminated
 * @param members fewer than 32
 * @param to      result: a struct. Absent members leave it unchanged. Its strings live as long as
 *                the pool and are overwritten when it is destroyed
 * @param flaw    result: the first error, if any
 * @return a bit for each member that is present: 1 for the first one in the table, then 2, 4 and so
 *         on
 */
unsigned apipool_json_read(apr_pool_t *p, const char *text, apr_size_t len,
                           const apipool_json_member_t *members, void *to,
                           apipool_input_error_t *flaw);

/** Checks the size of a text before it is parsed. Returns why its depth or number of values is too
 *  large, or NULL. */
const char *apipool_json_excess(int depth, apr_size_t values);

/** Explains a parse error where there is more to say than "invalid JSON"; else NULL. */
const char *apipool_json_reason(const json_error_t *error);

/** Frees a parsed value and overwrites all text in it. */
void apipool_json_release(json_t *value);

#endif
