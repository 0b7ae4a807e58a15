/* SPDX-License-Identifier: Apache-2.0
 * Waiting for a key to come free: APIPoolWait. */
#ifndef APIPOOL_RELAY_WAIT_H
#define APIPOOL_RELAY_WAIT_H

#include "request.h"

/**
 * Acquires a key, and where there is none waits for one in line with others, without holding anything but
 * its thread: until the pool's time for it is over, or the deadline, or the client leaves. While it waits,
 * keys that this request has used before count as any other: they have come free since. Keys that it has left
 * in doubt stay out.
 * @param until the end of the wait; in the past to try once
 * @param gone  set when the client has left
 */
apr_status_t apipool_wait_acquire(apipool_request_t *req, apipool_segment_t *segment,
                                  apipool_wanted_t *wanted, apr_time_t until,
                                  apipool_acquired_e *result, apr_time_t *retry_at, int *gone);

#endif
