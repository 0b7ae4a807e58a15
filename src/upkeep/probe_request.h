/* SPDX-License-Identifier: Apache-2.0
 * Free request that checks a key, and the meaning of its answer. */
#ifndef APIPOOL_UPKEEP_PROBE_REQUEST_H
#define APIPOOL_UPKEEP_PROBE_REQUEST_H

#include "probe.h"
#include "recovery.h"

typedef struct {
    const char *url; /* NULL: no such request is known */
    int for_balance; /* else it only checks if the key is accepted */
    apipool_balance_place_t place;
} apipool_question_t;

/** Scheme, host and port of an upstream. */
const char *apipool_probe_request_origin(apr_pool_t *p, const apipool_upstream_conf_t *upstream);

/** Returns 1 if an upstream reports balances on request and the pool wants them. */
int apipool_probe_request_has_balance(const apipool_pool_conf_t *pool,
                                      const apipool_upstream_conf_t *upstream);

/**
 * Request that checks a key: its balance if that matters, else if it is accepted.
 * @param p           for the URL
 * @param for_balance the key is not out of rotation; its balance is due
 */
apipool_question_t apipool_probe_request(apr_pool_t *p, const apipool_pool_conf_t *pool,
                                         const apipool_upstream_conf_t *upstream,
                                         apipool_state_e state, int for_balance);

/** Meaning of the answer. Pure. */
apipool_probe_report_t apipool_probe_request_judge(const apipool_question_t *question,
                                                   const apipool_pool_conf_t *pool,
                                                   const apipool_probe_answer_t *answer,
                                                   int for_balance);

#endif
