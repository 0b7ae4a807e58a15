/* SPDX-License-Identifier: Apache-2.0
 * What a request asks of its pool: which upstreams, for which model, bound to which session. */
#ifndef APIPOOL_RELAY_FACTS_H
#define APIPOOL_RELAY_FACTS_H

#include "request.h"

/* Called by the request's thread. The body has been captured. */

/** Makes out what the request asks for; once per request. */
void apipool_facts_make(apipool_request_t *req);

/**
 * What to acquire.
 * @param sources room for APIPOOL_UPSTREAMS_PER_POOL; wanted refers to it
 * @param without the index of an upstream that is left out, or APIPOOL_NONE
 */
void apipool_facts_wanted(const apipool_request_t *req, apr_uint32_t without,
                          apipool_source_t *sources, apipool_lend_request_t *wanted);

/* Tokens that are set aside. */

#define APIPOOL_RESERVE_MAX (1u << 24) /* of all answers to one request */

/** Those of a turn of a WebSocket.
 *  @param model its own, or that of the session; NULL where neither is named
 *  @param bytes of what asks for it
 *  @param answer what the answer may take, or less than 1 where nothing says so */
apr_uint32_t apipool_reserve_turn(const apipool_request_t *req, const char *model,
                                  apr_uint64_t bytes, apr_int64_t answer);

/** The prompt's alone. */
apr_uint32_t apipool_reserve_prompt(const apipool_request_t *req);

/** Those of one answer, where a request sets no limit to it: as many as one of its model had of late. */
apr_uint32_t apipool_reserve_usual(const apipool_request_t *req, const char *model);

#endif
