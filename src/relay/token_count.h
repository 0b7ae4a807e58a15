/* SPDX-License-Identifier: Apache-2.0
 * The tokens of an answer: what is read along of it as it passes, and what that comes to. */
#ifndef APIPOOL_RELAY_TOKEN_COUNT_H
#define APIPOOL_RELAY_TOKEN_COUNT_H

#include "request.h"

/* Called by the request's thread. What the answers of an endpoint cost is decided by its kind, see
 * vendor/endpoint.h. Usage that is reported is found by a scan that passes over nearly all events. An
 * estimate reads every byte, so streams of upstreams that are known to report are not read: should one be
 * silent after all, or break off, a piece of it stands for the whole, as the beginning does of a JSON answer
 * that is too long to be kept. */

/** A good answer begins to pass: its head is in the request. */
void apipool_token_count_begin(apipool_request_t *req);

/** Reads what is about to pass. */
void apipool_token_count_feed(apipool_token_count_t *count, apr_bucket_brigade *bb);

/** The end of a JSON document that has passed, decoded; NULL where it is not read. */
const char *apipool_token_count_tail(const apipool_token_count_t *count, apr_size_t *len);

/** Whether an event stream has said that it is complete, so that nothing is lost if it breaks now. */
int apipool_token_count_is_done(const apipool_token_count_t *count);

/** The tokens of an attempt's answer as far as it has passed, reported or estimated. Returns which. */
apipool_tokens_e apipool_token_count_tokens(apipool_request_t *req, apipool_usage_t *tokens);

/** Whether an answer only says that another one can be read later, which is charged then. */
int apipool_token_count_is_put_off(apipool_request_t *req);

/** Remembers such an answer by its id, so that whoever first reads its usage is charged, and nobody twice. */
void apipool_token_count_remember(apipool_request_t *req);

/** About how many tokens the request itself has; 0 where its endpoint costs none. */
apr_int64_t apipool_token_count_prompt(apipool_request_t *req);

/** Tells the pool, at the end of a complete stream, whether its upstream is one that reports. */
void apipool_token_count_note_habit(apipool_request_t *req);

#endif
