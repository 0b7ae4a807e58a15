/* SPDX-License-Identifier: Apache-2.0
 * One request to an upstream with no client behind it. */
#ifndef APIPOOL_UPKEEP_PROBE_H
#define APIPOOL_UPKEEP_PROBE_H

#include "request.h"
#include "verdict.h"

#define APIPOOL_PROBE_BODY_MAX (64 * 1024) /* bytes of an answer that are kept */

/* What came of it; lives in the pool that it was asked from. */
typedef struct {
    apipool_verdict_t verdict;
    int status; /* of an answer; 0: there was none */
    const char *body;
    apr_size_t len;
    int whole; /* all of the body is there */
} apipool_probe_answer_t;

/**
 * Sends a GET by mod_proxy and by the code that serves requests: with the same credential field, TLS
 * settings, forward proxies, filters and verdicts. Blocks; for a thread of its own.
 * @param p     with an allocator that no other thread uses meanwhile; for the request and its answer
 * @param pool  whose upstream it is
 * @param lease of the key; stays the caller's
 */
apipool_probe_answer_t apipool_probe_send(apr_pool_t *p, apipool_pool_conf_t *pool,
                                          const apipool_probing_t *probing, apipool_lease_t *lease,
                                          apr_thread_t *thread);

void apipool_probe_register_filters(void);

#endif
