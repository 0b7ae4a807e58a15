/* SPDX-License-Identifier: Apache-2.0
 * The end of a request: what is noted for logs, and what is counted. */
#ifndef APIPOOL_RELAY_OUTCOME_H
#define APIPOOL_RELAY_OUTCOME_H

#include "request.h"

/** log_transaction hook, before those that write logs: sets the notes and counts the request. */
int apipool_outcome_log(request_rec *r);

#endif
