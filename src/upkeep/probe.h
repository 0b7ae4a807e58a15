/* SPDX-License-Identifier: Apache-2.0
 * Request to an upstream without a client. */
#ifndef APIPOOL_UPKEEP_PROBE_H
#define APIPOOL_UPKEEP_PROBE_H

#include "request.h"
#include "verdict.h"

#define APIPOOL_PROBE_BODY_MAX (64 * 1024) /* bytes kept of an answer */

/* Answer to a probe; lives in the pool of the request. */
typedef struct {
    apipool_verdict_t verdict;
    int status; /* of the answer; 0: none */
    const char *body;
    apr_size_t len;
    int whole; /* the body is complete */
} apipool_probe_answer_t;

/**
 * Sends a GET through mod_proxy and the code that serves requests, so with the same credential
 * field, TLS settings, forward proxies, filters and verdicts. Blocks; for a thread of its own.
 * @param p     for the request and its answer; no other thread may use its allocator meanwhile
 * @param pool  of the upstream
 * @param lease of the key; the caller keeps it
 */
apipool_probe_answer_t apipool_probe_send(apr_pool_t *p, apipool_pool_conf_t *pool,
                                          const apipool_probing_t *probing, apipool_lease_t *lease,
                                          apr_thread_t *thread);

void apipool_probe_register_filters(void);

#endif
