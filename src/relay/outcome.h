/* SPDX-License-Identifier: Apache-2.0
 * The end of a request: what is noted for logs, and what is counted. */
#ifndef APIPOOL_RELAY_OUTCOME_H
#define APIPOOL_RELAY_OUTCOME_H

#include "request.h"

/** The tokens of an attempt's answer as far as it has passed, reported or estimated. Returns which. */
apipool_tokens_e apipool_outcome_tokens(apipool_request_t *req, apipool_usage_t *tokens);

/** log_transaction hook, before those that write logs: sets the notes and counts the request. */
int apipool_outcome_log(request_rec *r);

#endif
