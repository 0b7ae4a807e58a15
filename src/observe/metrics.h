/* SPDX-License-Identifier: Apache-2.0
 * The pools' numbers as Prometheus reads them. */
#ifndef APIPOOL_OBSERVE_METRICS_H
#define APIPOOL_OBSERVE_METRICS_H

#include <httpd.h>

#include "pool.h"

/**
 * Answers a request with the Prometheus text format 0.0.4. Takes the segment's lock for short times.
 * @param server the name of the server whose pools, and the main server's, are shown
 * @return OK or an HTTP status
 */
int apipool_metrics_answer(request_rec *r, apipool_segment_t *segment, const char *server);

#endif
