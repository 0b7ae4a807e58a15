/* SPDX-License-Identifier: Apache-2.0
 * What is asked about a key at no cost, and what the answer says of it. */
#ifndef APIPOOL_UPKEEP_PROBE_REQUEST_H
#define APIPOOL_UPKEEP_PROBE_REQUEST_H

#include "probe.h"
#include "recovery.h"

typedef struct {
    const char *url;     /* NULL: nothing is known that could be asked */
    const char *pointer; /* of the balance; NULL: only whether the key is accepted */
    const char *currency;
} apipool_question_t;

/** Scheme, host and port of an upstream. */
const char *apipool_probe_request_origin(apr_pool_t *p, const apipool_upstream_conf_t *upstream);

/** Whether there is a request by which an upstream tells balances, and the pool wants them. */
int apipool_probe_request_has_balance(const apipool_pool_conf_t *pool,
                                      const apipool_upstream_conf_t *upstream);

/** What to ask about a key: its balance where it is that which matters, else whether it is accepted.
 *  @param for_balance it is not out of rotation, but has its turn
 *  @param p           for the URL */
apipool_question_t apipool_probe_request(apr_pool_t *p, const apipool_pool_conf_t *pool,
                                         const apipool_upstream_conf_t *upstream,
                                         apipool_state_e state, int for_balance);

/** What an answer to it says. Pure. */
apipool_probe_report_t apipool_probe_request_judge(const apipool_question_t *question,
                                                   const apipool_pool_conf_t *pool,
                                                   const apipool_probe_answer_t *answer,
                                                   int for_balance);

#endif
