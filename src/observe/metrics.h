/* SPDX-License-Identifier: Apache-2.0
 * Metrics in the format of Prometheus. */
#ifndef APIPOOL_OBSERVE_METRICS_H
#define APIPOOL_OBSERVE_METRICS_H

#include <httpd.h>

#include "pool.h"

/**
 * Answers a request in the Prometheus text format 0.0.4. Takes the segment's lock for short
 * times.
 * @param server name of the server; its pools and the main server's are shown
 * @return OK or an HTTP status
 */
int apipool_metrics_answer(request_rec *r, apipool_segment_t *segment, const char *server);

#endif
