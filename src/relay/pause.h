/* SPDX-License-Identifier: Apache-2.0
 * A request waits for a moment, without its thread if it can. */
#ifndef APIPOOL_RELAY_PAUSE_H
#define APIPOOL_RELAY_PAUSE_H

#include "request.h"

/**
 * Waits, at most as long as duration in microseconds.
 * @return OK: the moment is over; or SUSPENDED: the handler has to return that, and the request is
 *         resumed when the moment is over, or when its client has left
 */
int apipool_pause(apipool_request_t *req, apr_interval_time_t duration);

#endif
