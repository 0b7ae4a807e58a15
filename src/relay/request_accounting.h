/* SPDX-License-Identifier: Apache-2.0
 * The end of a request: what is noted for logs, and what is counted. */
#ifndef APIPOOL_RELAY_REQUEST_ACCOUNTING_H
#define APIPOOL_RELAY_REQUEST_ACCOUNTING_H

#include "request.h"

/** What is counted of a request that has ended as its attempts say: in the request's pool. */
const apipool_request_stats_t *apipool_request_accounting_describe(apipool_request_t *req,
                                                                   apr_time_t now);

/** Completes what is to be counted: the pool, names, and what follows from the entry.
 *  @param model that was asked for, or NULL */
void apipool_outcome_complete(const apipool_request_t *req, const char *model,
                              apipool_request_stats_t *stats);

/** Counts a request whose end is known, once: before the client has its answer, since its next request may
 *  depend on what its limits are given back. A success is counted with the report on its last attempt, which
 *  takes the lock once. */
void apipool_request_accounting_count(apipool_request_t *req);

/** log_transaction hook, before those that write logs: counts the request unless that was done before, and
 *  sets the notes. */
int apipool_request_accounting_log(request_rec *r);

#endif
