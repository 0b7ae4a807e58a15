/* SPDX-License-Identifier: Apache-2.0
 * Reads JSON that a caller sent: every member by its type and range, and no member that is not known. */
#ifndef APIPOOL_TEXT_JSON_H
#define APIPOOL_TEXT_JSON_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>
#include <jansson.h>
#include <stddef.h>

#include "input_error.h"

/* Thread-safe as long as each thread has its own APR pool. */

#define APIPOOL_JSON_DEPTH 16 /* arrays and objects inside of each other */
#define APIPOOL_JSON_VALUES                                                                        \
    1000000 /* values of a text, so that it cannot need much more memory than bytes */

typedef enum {
    APIPOOL_JSON_STRING,  /* const char *: at most max bytes without control characters */
    APIPOOL_JSON_BOOLEAN, /* int */
    APIPOOL_JSON_INTEGER, /* apr_uint32_t: from 1 to max */
    APIPOOL_JSON_TIME,    /* apr_time_t: a string as RFC 3339 has it */
    APIPOOL_JSON_STRINGS, /* apr_array_header_t *, of const char *: an array of at most count strings, each of
                             1 to max bytes */
    APIPOOL_JSON_OBJECT /* has members of its own, which belong into the same struct */
} apipool_json_kind_e;

typedef enum {
    APIPOOL_JSON_NULLABLE, /* null counts as given, and leaves the struct as it is */
    APIPOOL_JSON_OPTIONAL, /* null is as good as absent */
    APIPOOL_JSON_NOT_NULL,
    APIPOOL_JSON_REQUIRED
} apipool_json_need_e;

/* A member of an object, and where in a struct its value belongs. */
typedef struct apipool_json_member_t apipool_json_member_t;
struct apipool_json_member_t {
    const char *name; /* NULL: the end of the table */
    apipool_json_kind_e kind;
    apipool_json_need_e need;
    apr_size_t offset; /* of an object there is none */
    apr_int64_t max;
    int count;
    const apipool_json_member_t *members;
};

/**
 * Reads a text, which must be an object with those members alone: UTF-8, at most APIPOOL_JSON_DEPTH deep, no
 * member named twice.
 * @param text    need not be terminated
 * @param members fewer than 32
 * @param to      result: a struct, of which what is absent stays as it is. Texts in it are valid as long as
 *                the pool, and overwritten when it goes
 * @param flaw    result: the first thing that is wrong, if anything is
 * @return a bit for each member that is given: 1 for the first one of the table, then 2, 4 and so on
 */
unsigned apipool_json_read(apr_pool_t *p, const char *text, apr_size_t len,
                           const apipool_json_member_t *members, void *to,
                           apipool_input_error_t *flaw);

/** Why a text would take too much room if it were read, for its depth or the number of its values; else
 *  NULL. */
const char *apipool_json_excess(int depth, apr_size_t values);

/** What is wrong with a text, where there is more to say than that it is no JSON; else NULL. */
const char *apipool_json_reason(const json_error_t *error);

/** Gives back a value that was parsed, all text in it overwritten. */
void apipool_json_release(json_t *value);

#endif
