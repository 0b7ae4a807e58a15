/* SPDX-License-Identifier: Apache-2.0
 * Reads JSON that a caller sent: every member by its type and range, and no member that is not known. */
#ifndef APIPOOL_CORE_JSON_H
#define APIPOOL_CORE_JSON_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>
#include <jansson.h>

#include "flaw.h"

/* The tree belongs to the APR pool; all text in it is overwritten when the pool goes. The first flaw that is
 * found stays, and from then on every member is absent: callers read all that they want and look once.
 * Thread-safe as long as each thread has its own pool. */

#define APIPOOL_JSON_DEPTH 16 /* arrays and objects inside of each other */
#define APIPOOL_JSON_VALUES                                                                        \
    1000000 /* values of a text, so that it cannot need much more memory than bytes */
#define APIPOOL_JSON_MEMBERS 16 /* names that one object can be asked for */

/* An object that is being read. Only the functions below use what is in it. */
typedef struct {
    apr_pool_t *p;
    const json_t *object;
    const char *prefix; /* of names in flaws: "limits." */
    apipool_flaw_t *flaw;
    const char *known[APIPOOL_JSON_MEMBERS];
    int known_count;
} apipool_json_t;

typedef enum {
    APIPOOL_JSON_ABSENT, /* or flawed */
    APIPOOL_JSON_NULL,
    APIPOOL_JSON_GIVEN /* the result is set, with this alone */
} apipool_json_e;

/** Why a text would take too much room if it were read, for its depth or the number of its values; else
 *  NULL. */
const char *apipool_json_excess(int depth, apr_size_t values);

/** What is wrong with a text, where there is more to say than that it is no JSON; else NULL. */
const char *apipool_json_reason(const json_error_t *error);

/** Gives back a value that was parsed, all text in it overwritten. */
void apipool_json_release(json_t *value);

/**
 * Reads a text: UTF-8, at most APIPOOL_JSON_DEPTH deep, no member named twice.
 * @param text need not be terminated
 * @return an object or array; NULL with a flaw, which names the member around it where there is one
 */
const json_t *apipool_json_parse(apr_pool_t *p, const char *text, apr_size_t len,
                                 apipool_flaw_t *flaw);

/** The same for a text that must be an object. Returns 0 with a flaw. */
int apipool_json_open(apipool_json_t *json, apr_pool_t *p, const char *text, apr_size_t len,
                      apipool_flaw_t *flaw);

/** Notes a flaw of a member, unless there is one. */
void apipool_json_refuse(apipool_json_t *json, const char *name, const char *message);

/** Text of at most max bytes, without control characters; valid as long as the pool. */
apipool_json_e apipool_json_string(apipool_json_t *json, const char *name, apr_size_t max,
                                   const char **value);
apipool_json_e apipool_json_boolean(apipool_json_t *json, const char *name, int *value);
apipool_json_e apipool_json_integer(apipool_json_t *json, const char *name, apr_int64_t min,
                                    apr_int64_t max, apr_int64_t *value);

/** A string that is a time as RFC 3339 writes it. */
apipool_json_e apipool_json_time(apipool_json_t *json, const char *name, apr_time_t *value);

/** An array of at most max_count strings, none of them empty: const char *. */
apipool_json_e apipool_json_strings(apipool_json_t *json, const char *name, int max_count,
                                    apr_size_t max, apr_array_header_t **values);

/** An object within the object, to be read as any other. */
apipool_json_e apipool_json_object(apipool_json_t *json, const char *name, apipool_json_t *member);

/** Refuses what was read as absent or null. */
void apipool_json_require(apipool_json_t *json, const char *name, apipool_json_e result);

/** Refuses members that nobody asked for. Returns 1 if there is no flaw at all. */
int apipool_json_close(apipool_json_t *json);

#endif
