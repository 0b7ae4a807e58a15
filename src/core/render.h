/* SPDX-License-Identifier: Apache-2.0
 * Values of the API as JSON; unknown ones are null. */
#ifndef APIPOOL_CORE_RENDER_H
#define APIPOOL_CORE_RENDER_H

#include <apr_tables.h>
#include <jansson.h>

#include "balance.h"
#include "counters.h"
#include "key.h"

/* Each function returns a new value that the caller releases or adds to another one. */

json_t *apipool_render_time(apr_time_t when);                  /* 0: null */
json_t *apipool_render_number(apr_int64_t number);             /* below 0: null */
json_t *apipool_render_real(double number);                    /* below 0: null */
json_t *apipool_render_limit(apr_uint32_t limit);              /* 0: null */
json_t *apipool_render_text(const char *text);                 /* "" or NULL: null */
json_t *apipool_render_texts(const apr_array_header_t *texts); /* of const char * */
json_t *apipool_render_id(apr_uint64_t id);                    /* 16 hex digits; 0: null */
json_t *apipool_render_ids(const apr_array_header_t *ids);     /* of apr_uint64_t */
json_t *apipool_render_seconds(apr_interval_time_t time);
json_t *apipool_render_limits(const apipool_key_limits_t *limits);

/** What a vendor said of an error: an object with status, type, code and message; null if it
 *  answered nothing, or no error.
 *  @param status of the answer; 0: none
 *  @param words  see words.h */
json_t *apipool_render_vendor(int status, const char *words);

/** Array of objects with amount and currency. */
json_t *apipool_render_balances(const apipool_balances_t *balances);

/** Moves the members of an object into another one; releases members. */
void apipool_render_add(json_t *object, json_t *members);

/** Adds the members that pools, keys and clients have in common, from requests to latency_ms. */
void apipool_render_counters(json_t *object, const apipool_counters_snapshot_t *counters);

/** Adds those that are rates, from rpm to tpd. */
void apipool_render_rates(json_t *object, const apipool_counters_snapshot_t *counters);

#endif
