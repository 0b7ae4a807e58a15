/* SPDX-License-Identifier: Apache-2.0
 * The numbers of each key as Prometheus reads them, for those who ask for them. */
#ifndef APIPOOL_OBSERVE_METRICS_KEYS_H
#define APIPOOL_OBSERVE_METRICS_KEYS_H

#include <httpd.h>

#include "pool.h"

/** An empty list of keys, allocated from pool. */
apr_array_header_t *apipool_metrics_keys_make(apr_pool_t *pool);

/**
 * Adds the keys of a group. Takes the lock for a few hundred keys at a time; what changes meanwhile may be
 * seen in part.
 * @param keys     the list
 * @param pool     name, which must last as long as the list
 * @param upstream the same
 */
apr_status_t apipool_metrics_keys_add(apr_array_header_t *keys, apipool_segment_t *segment,
                                      const char *pool, const char *upstream, apr_uint32_t group);

/** Writes all of them, a family of series after the other. */
void apipool_metrics_keys_write(request_rec *r, const apr_array_header_t *keys);

#endif
