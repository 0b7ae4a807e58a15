/* SPDX-License-Identifier: Apache-2.0
 * What an attempt came to, read from what mod_proxy_http and the gate have left behind. */
#ifndef APIPOOL_RELAY_RESULT_H
#define APIPOOL_RELAY_RESULT_H

#include "request.h"

/* Valid between an attempt's end and the next one's beginning; called by the request's thread. status is
 * what mod_proxy_http returned. */

/** The verdict on the attempt, as of now; that passed already while its answer was held, if there is any. */
apipool_verdict_t apipool_result_judge(apipool_request_t *req, int status, apr_time_t now);

/** Whether ProxyErrorOverride took the answer: it has a status, and no body came through the gate. */
int apipool_result_is_overridden(const apipool_request_t *req, int status);

/** Whether a 101 was expected; the tunnel has been and gone. */
int apipool_result_is_tunnelled(const apipool_request_t *req, int status);

/** Whether mod_proxy would not even send the request: the client's fault, not the upstream's. */
int apipool_result_is_refused_here(const apipool_request_t *req, int status);

/** Whether the upstream closed an idle connection just when it was reused, and has not seen the request
 *  (RFC 9112 section 9.3.1). */
int apipool_result_is_idle_race(const apipool_request_t *req);

/** Whether there was no answer in time. */
int apipool_result_timed_out(const apipool_request_t *req, int status);

#endif
