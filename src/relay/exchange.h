/* SPDX-License-Identifier: Apache-2.0
 * One HTTP/1.1 exchange with an upstream: a request goes out, its response comes in. */
#ifndef APIPOOL_RELAY_EXCHANGE_H
#define APIPOOL_RELAY_EXCHANGE_H

#include "request.h"

typedef struct apipool_exchange_t apipool_exchange_t;

/** An exchange for the current attempt of a request, which lasts as long as the request. Nothing is
 *  sent yet. */
apipool_exchange_t *apipool_exchange_make(apipool_request_t *req, proxy_worker *worker,
                                          const char *url);

/**
 * Runs it: sends the request with the lent key, and passes the response to the request's output
 * filters. What came of it is in req->attempt: phase, timed_out, answering. Waits, and watches the
 * client meanwhile.
 * @return OK; DONE where the client has not had all of the response; or SUSPENDED: the handler has
 * to return
 *         that, and when the request is resumed, this has to be called again
 */
int apipool_exchange_run(apipool_exchange_t *x);

/** Ends what another thread's exchange waits for on its connection, now and from now on. The plug
 *  has a mutex of its own and may be pulled by any thread. A connection that is being made is not
 *  ended. */
void apipool_exchange_pull(apipool_plug_t *plug);

#endif
