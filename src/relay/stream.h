/* SPDX-License-Identifier: Apache-2.0
 * An event stream on its way to the client: whole lines only, and an end that says so when it breaks. */
#ifndef APIPOOL_RELAY_STREAM_H
#define APIPOOL_RELAY_STREAM_H

#include "request.h"

/* Clients read event streams line by line (WHATWG HTML, section 9.2), so half a line is of no use to
 * them, and would spoil the event that tells them of a break. Called by the gate, which owns it. */

/** Whether an answer is an event stream that can be read here. Where its type says nothing of the kind, as
 *  with some relays, its first bytes tell.
 *  @param bb the beginning of its body */
int apipool_stream_is_one(const apipool_request_t *req, apr_bucket_brigade *bb);

/** Starts with the first brigade of an event stream. */
void apipool_stream_begin(apipool_request_t *req);

/** Keeps back what follows the last line feed of a brigade, up to 64 KiB; it comes with the next. Where the
 *  usage is hidden, it keeps back what follows the last event. Takes time by what is new alone. */
void apipool_stream_pass_lines(apipool_stream_t *stream, apr_bucket_brigade *bb);

/** Reads whole lines that are about to pass: whether they finish the stream, and whether there is an error in
 *  them. */
void apipool_stream_watch(apipool_request_t *req, apr_bucket_brigade *bb);

/** Whether the stream ends here, in half a line or without what its API always sends at the end. */
int apipool_stream_is_cut(apipool_request_t *req, apr_bucket_brigade *bb);

/** Takes what only a client that asks gets to see of the usage out of whole events that are about to pass. */
void apipool_stream_hide_usage(apr_bucket_brigade *bb, apr_pool_t *pool);

/** Ends a stream that has said it is complete as if nothing had broken after that: takes an error bucket
 *  out, and what follows it. */
void apipool_stream_finish(apipool_stream_t *stream, apr_bucket_brigade *bb);

/** Replaces an error bucket or the end, and what follows it, by the event that ends a broken stream. */
void apipool_stream_break(apipool_request_t *req, apr_bucket_brigade *bb);

#endif
