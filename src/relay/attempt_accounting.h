/* SPDX-License-Identifier: Apache-2.0
 * What comes of an attempt: its key is given back, its verdict told to the pool and to the log. */
#ifndef APIPOOL_RELAY_ATTEMPT_ACCOUNTING_H
#define APIPOOL_RELAY_ATTEMPT_ACCOUNTING_H

#include "request.h"

/**
 * Gives the lease back.
 * @param verdict its rule becomes R08 where the refusal was everyone's
 * @param now     when the attempt ended
 */
void apipool_attempt_accounting_report(apipool_request_t *req, apipool_verdict_t *verdict,
                                       apr_time_t now);

/** Another key has succeeded: those that were forbidden, if there are any, are to blame. */
void apipool_attempt_accounting_forbidden(apipool_request_t *req);

#endif
