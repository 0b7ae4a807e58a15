/* SPDX-License-Identifier: Apache-2.0
 * What holds for all keys of an account: cooldowns and spent quota. */
#ifndef APIPOOL_POOL_ACCOUNT_H
#define APIPOOL_POOL_ACCOUNT_H

#include "segment_layout.h"

/* A account limit on one key of an account is noted here in O(1); the others take it over when they would be
 * lent next. Private to src/memory and src/pool; the caller holds the segment's lock. Accounts and models
 * are hashes. */

/** Notes that the keys of an account are of no use until then: for a model, or for all (0). There is no
 *  account 0. */
void apipool_account_limit_locked(apipool_segment_t *segment, apr_uint32_t pool,
                                  apr_uint64_t account, apr_uint64_t model, int spent,
                                  apr_time_t until, apr_time_t now);

/** The account limit that holds for a model longest, or NULL. One that is for all models is preferred. */
const apipool_account_limit_t *apipool_account_find_locked(const apipool_segment_t *segment,
                                                           apr_uint32_t pool, apr_uint64_t account,
                                                           apr_uint64_t model, apr_time_t now);

/** Until when an account rests for a model; *spent is set where it is its quota that lasts as long. */
apr_time_t apipool_account_until_locked(const apipool_segment_t *segment, apr_uint32_t pool,
                                        apr_uint64_t account, apr_uint64_t model, int *spent);

/** Forgets that an account's quota is spent: one of its keys has worked since. */
void apipool_account_refill_locked(apipool_segment_t *segment, apr_uint32_t pool,
                                   apr_uint64_t account, apr_time_t now);

/** Forgets whatever holds for an account, or nothing for 0. Looks at every account limit, which takes some
 *  ten microseconds: for an operator, not for requests. */
void apipool_account_forget_locked(apipool_segment_t *segment, apr_uint32_t pool,
                                   apr_uint64_t account);

/** Makes anew what follows from all account limits. */
void apipool_account_rebuild_locked(apipool_segment_t *segment);

#endif
