/* SPDX-License-Identifier: Apache-2.0
 * The connection to an upstream: whether it is new, how long a read may last, how large a head may be. */
#ifndef APIPOOL_RELAY_UPSTREAM_CONN_H
#define APIPOOL_RELAY_UPSTREAM_CONN_H

#include "request.h"

/* mod_proxy shows no connection to its hooks before it uses it. The attempt that runs on a thread is
 * therefore kept with the thread, and a filter on the connection looks there. */

/**
 * Marks the attempt as the one that this thread runs.
 * @return the one before, a subrequest's outer attempt or NULL; to be attached again afterwards
 */
apipool_attempt_t *apipool_upstream_conn_attach(apipool_attempt_t *attempt);

/** pre_connection hook: puts the filters on connections that mod_proxy opens for an attempt. */
int apipool_upstream_conn_pre_connection(conn_rec *c, void *socket);

/** proxy create_req hook: the request has been written, the answer is awaited. */
int apipool_upstream_conn_sent(request_rec *r, request_rec *answer);

/** Ends what the attempt of another thread waits for on its connection, now and from now on. The plug has a
 *  mutex of its own and may be pulled by any thread. A connection that is being made is not ended. */
void apipool_upstream_conn_pull(apipool_plug_t *plug);

void apipool_upstream_conn_register_filters(void);

#endif
