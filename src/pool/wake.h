/* SPDX-License-Identifier: Apache-2.0
 * When the next key of a group can be had. */
#ifndef APIPOOL_POOL_WAKE_H
#define APIPOOL_POOL_WAKE_H

#include "pool.h"

/* Who wants to know: a request that has other limits than those of the clock to wait for, of the keys
 * themselves and of their accounts. */
typedef struct {
    const apipool_lend_request_t *wanted;
    apr_uint64_t model; /* as the group's upstream calls it */
    apr_time_t now;
} apipool_wake_for_t;

/** When the first cooling member comes back for a model slot's models; 0 when none does.
 *  @param who NULL: nobody in particular, the clock alone counts */
apr_time_t apipool_wake_first_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                     apr_uint32_t model_slot, const apipool_wake_for_t *who);

/** When, after that time, a half-open member that no request has may be tried for a model slot's models; 0:
 *  not by the clock. */
apr_time_t apipool_wake_proof_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                     apr_uint32_t model_slot, const apipool_wake_for_t *who,
                                     apr_time_t after);

#endif
