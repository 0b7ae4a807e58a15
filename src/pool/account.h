/* SPDX-License-Identifier: Apache-2.0
 * Limits that apply to all keys of an account: cooldowns and spent quota. */
#ifndef APIPOOL_POOL_ACCOUNT_H
#define APIPOOL_POOL_ACCOUNT_H

#include "segment_layout.h"

/* A limit met by one key of an account is noted here in O(1); the other keys take it over when
 * they would be lent next. Private to src/memory and src/pool; the caller holds the segment's
 * lock. Accounts and models are hashes. */

/** Notes that the keys of an account cannot be used until then, for one model or for all (0).
 *  Account 0 is ignored. */
void apipool_account_limit_locked(apipool_segment_t *segment, apr_uint32_t pool,
                                  apr_uint64_t account, apr_uint64_t model, int spent,
                                  apr_time_t until, apr_time_t now);

/** Account limit that applies to a model for the longest time, or NULL. A limit for all models
 *  is preferred. */
const apipool_account_limit_t *apipool_account_find_locked(const apipool_segment_t *segment,
                                                           apr_uint32_t pool, apr_uint64_t account,
                                                           apr_uint64_t model, apr_time_t now);

/** End of an account's limits for a model; *spent is set to 1 if it is its quota that lasts so
 *  long. */
apr_time_t apipool_account_until_locked(const apipool_segment_t *segment, apr_uint32_t pool,
                                        apr_uint64_t account, apr_uint64_t model, int *spent);

/** Forgets that the quota of an account is spent, because one of its keys has worked since. */
void apipool_account_refill_locked(apipool_segment_t *segment, apr_uint32_t pool,
                                   apr_uint64_t account, apr_time_t now);

/** Forgets all limits of an account; does nothing for account 0. Looks at every account limit,
 *  about ten microseconds: for operators, not for requests. */
void apipool_account_forget_locked(apipool_segment_t *segment, apr_uint32_t pool,
                                   apr_uint64_t account);

/** Rebuilds everything that is derived from the account limits. */
void apipool_account_rebuild_locked(apipool_segment_t *segment);

#endif
