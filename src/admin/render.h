/* SPDX-License-Identifier: Apache-2.0
 * Values of the API as JSON: what is not known is null. */
#ifndef APIPOOL_ADMIN_RENDER_H
#define APIPOOL_ADMIN_RENDER_H

#include "admin.h"

/* Each returns a new value that the caller gives back, or puts into another one. */

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

/** Puts the members that pools, keys and clients share into an object: from requests to latency_ms. */
void apipool_render_numbers(json_t *object, const apipool_numbers_snapshot_t *numbers);

/** The name of a key's state. */
const char *apipool_render_state(apipool_state_e state);

#endif
