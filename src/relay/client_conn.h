/* SPDX-License-Identifier: Apache-2.0
 * The connection to the client: whether there is still somebody at its other end. */
#ifndef APIPOOL_RELAY_CLIENT_CONN_H
#define APIPOOL_RELAY_CLIENT_CONN_H

#include <poll.h>

#include "request.h"

/* Called by whoever has the request: its thread, or a pump. A client that has closed its side may
 * have left, or may be waiting for the response. It is sent an interim response, which any client
 * of HTTP/1.1 reads over (RFC 9110 section 15.2): who has left answers with a reset. */

/** Fills in what to wait for to learn that the client leaves. Returns 0 where it has no socket of
 *  its own, as a stream of HTTP/2 has none; then ask again from time to time. */
int apipool_client_conn_watch(const apipool_request_t *req, struct pollfd *at);

/** What poll() is asked for to learn that the client leaves, besides errors; -1: nothing, errors
 *  neither, as it has left. */
short apipool_client_conn_events(const apipool_request_t *req);

/** Whether the client has left, once poll() has reported these events; 0: none. Never where the
 *  response is read to its end without it: APIPoolOnAbort finish. */
int apipool_client_conn_has_left(apipool_request_t *req, int events);

/** Whether it has left by now, and no further attempt is made for it. */
int apipool_client_conn_is_gone(apipool_request_t *req);

#endif
