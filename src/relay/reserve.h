/* SPDX-License-Identifier: Apache-2.0
 * Tokens that are set aside for a request until it is known how many it took. */
#ifndef APIPOOL_RELAY_RESERVE_H
#define APIPOOL_RELAY_RESERVE_H

#include "request.h"

/* Called by the request's thread, once its body is captured and its model known. */

#define APIPOOL_RESERVE_MAX (1u << 24) /* tokens, of all answers to one request */

/** Those of the prompt, and those of all answers that the request may get. */
apr_uint32_t apipool_reserve_tokens(const apipool_request_t *req);

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
