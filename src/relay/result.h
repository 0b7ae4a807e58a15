/* SPDX-License-Identifier: Apache-2.0
 * What came of an attempt, read from what the exchange and the gate have seen. */
#ifndef APIPOOL_RELAY_RESULT_H
#define APIPOOL_RELAY_RESULT_H

#include "request.h"

/* Valid between an attempt's end and the next one's beginning; called by the request's thread. */

/** The verdict on the attempt, as of now; that passed already while its response was held, if there
 *  is any. */
apipool_verdict_t apipool_result_judge(apipool_request_t *req, apr_time_t now);

/** Whether a 101 was expected; the tunnel has been and gone. */
int apipool_result_is_tunnelled(const apipool_request_t *req);

#endif
