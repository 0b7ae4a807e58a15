/* SPDX-License-Identifier: Apache-2.0
 * Time at which the next key of an upstream becomes usable. */
#ifndef APIPOOL_POOL_WAKE_H
#define APIPOOL_POOL_WAKE_H

#include "pool.h"

/* Request that asks; it also has to wait for limits of the keys and of their accounts. */
typedef struct {
    const apipool_lend_request_t *request;
    apr_uint64_t model; /* name at the upstream, hashed */
    apr_time_t now;
} apipool_wake_for_t;

/**
 * Time when the first cooling member is usable again for the models of a model slot; 0: never.
 * @param who NULL: only the clock counts
 */
apr_time_t apipool_wake_first_locked(const apipool_segment_t *segment, apr_uint32_t upstream,
                                     apr_uint32_t model_slot, const apipool_wake_for_t *who);

/** Time after "after" when a half-open member that is not lent may be tried for the models of a
 *  model slot; 0: not by the clock. */
apr_time_t apipool_wake_proof_locked(const apipool_segment_t *segment, apr_uint32_t upstream,
                                     apr_uint32_t model_slot, const apipool_wake_for_t *who,
                                     apr_time_t after);

#endif
