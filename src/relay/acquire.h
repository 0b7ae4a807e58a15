/* SPDX-License-Identifier: Apache-2.0
 * Looking for the key of the next attempt. */
#ifndef APIPOOL_RELAY_ACQUIRE_H
#define APIPOOL_RELAY_ACQUIRE_H

#include "request.h"

/* What came of looking for a key. */
typedef struct {
    apipool_lent_t lent;
    int gone;                  /* the client has left meanwhile */
    apr_interval_time_t pause; /* before it is worth looking again; 0: it is not */
} apipool_found_t;

/** Leases a key for the next attempt, after the verdict on the last one. Where it is worth waiting
 *  for one, and the pool allows it, the result has a pause: call it again afterwards, until it has
 *  none. */
apipool_found_t apipool_acquire(apipool_request_t *req, const apipool_verdict_t *last);

/** Before an error answer passes: tells the client when it is worth trying again. An answer that
 *  names a time tells it of one key; the client has to know when any is free. */
void apipool_acquire_advise(apipool_request_t *req, const apipool_verdict_t *verdict);

/** When it is worth trying again, for an answer of our own: when any key is free; now at the earliest. */
apr_time_t apipool_acquire_when(apipool_request_t *req);

#endif
