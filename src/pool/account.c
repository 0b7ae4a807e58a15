/* SPDX-License-Identifier: Apache-2.0
 * Limits that apply to all keys of an account: cooldowns and spent quota. */
#include "account.h"

#include "fault.h"

#define PROBES 16 /* longest walk of a chain, as clients may influence its length */

static apr_uint64_t hash_of(apr_uint32_t pool, apr_uint64_t account, apr_uint64_t model)
{
    return account ^ (model << 1) ^ pool;
}

static apipool_account_limit_t *find(const apipool_segment_t *segment, apr_uint32_t pool,
                                     apr_uint64_t account, apr_uint64_t model)
{
    apr_uint32_t i = account ? apipool_hash_table_first(&segment->account_limit_table,
                                                        hash_of(pool, account, model))
                             : APIPOOL_NONE;
    for (int n = 0; n < PROBES && i != APIPOOL_NONE; n++) {
        apipool_account_limit_t *limit = &segment->account_limits[i];
        if (limit->account == account && limit->model == model && limit->pool == pool) {
            return limit;
        }
        i = apipool_hash_table_next(&segment->account_limit_table, i);
    }
    return NULL;
}

/* Drops the limit that ends first among the next ones in turn. */
static apr_uint32_t forget_one(apipool_segment_t *segment)
{
    apipool_account_limit_t *account_limits = segment->account_limits;
    apr_uint32_t chosen = segment->header->account_limit_next;
    for (int n = 0; n < PROBES; n++) {
        apr_uint32_t i = segment->header->account_limit_next++ & (APIPOOL_ACCOUNT_LIMITS_MAX - 1);
        chosen = !n || account_limits[i].until < account_limits[chosen].until ? i : chosen;
    }
    apipool_hash_table_unlink(&segment->account_limit_table, chosen,
                              hash_of(account_limits[chosen].pool, account_limits[chosen].account,
                                      account_limits[chosen].model));
    return chosen;
}

/* Adds a limit. Its account, written last, puts it in use. */
static apipool_account_limit_t *add(apipool_segment_t *segment, apr_uint32_t pool,
                                    apr_uint64_t account, apr_uint64_t model)
{
    apr_uint32_t i = apipool_hash_table_take(&segment->account_limit_table);
    i = i == APIPOOL_NONE ? forget_one(segment) : i;
    apipool_account_limit_t *limit = &segment->account_limits[i];
    limit->account = 0;
    APIPOOL_IN_ORDER();
    limit->begun_at = limit->until = 0;
    limit->spent = 0;
    limit->model = model;
    limit->pool = pool;
    APIPOOL_FAULT("limit-half-written");
    APIPOOL_IN_ORDER();
    limit->account = account;
    apipool_hash_table_link(&segment->account_limit_table, i, hash_of(pool, account, model));
    return limit;
}

static void note_end(apipool_segment_t *segment, apr_time_t until)
{
    apr_time_t *last = &segment->header->account_limits_until;
    *last = *last > until ? *last : until;
}

void apipool_account_limit_locked(apipool_segment_t *segment, apr_uint32_t pool,
                                  apr_uint64_t account, apr_uint64_t model, int spent,
                                  apr_time_t until, apr_time_t now)
{
    if (!account) {
        return;
    }
    apipool_account_limit_t *limit = find(segment, pool, account, model);
    limit = limit ? limit : add(segment, pool, account, model);
    limit->spent = limit->until > now ? limit->spent || spent : (apr_uint32_t)spent;
    if (until > limit->until) {
        limit->begun_at = now;
        limit->until = until;
    }
    note_end(segment, limit->until);
}

const apipool_account_limit_t *apipool_account_find_locked(const apipool_segment_t *segment,
                                                           apr_uint32_t pool, apr_uint64_t account,
                                                           apr_uint64_t model, apr_time_t now)
{
    if (segment->header->account_limits_until <= now) {
        return NULL;
    }
    const apipool_account_limit_t *limit = find(segment, pool, account, 0);
    if ((!limit || limit->until <= now) && model) {
        limit = find(segment, pool, account, model);
    }
    return limit && limit->until > now ? limit : NULL;
}

apr_time_t apipool_account_until_locked(const apipool_segment_t *segment, apr_uint32_t pool,
                                        apr_uint64_t account, apr_uint64_t model, int *spent)
{
    const apipool_account_limit_t *all = find(segment, pool, account, 0);
    const apipool_account_limit_t *one = model ? find(segment, pool, account, model) : NULL;
    apr_time_t of_all = all ? all->until : 0, of_one = one ? one->until : 0;
    *spent = all && of_all > of_one && all->spent;
    return of_all > of_one ? of_all : of_one;
}

void apipool_account_refill_locked(apipool_segment_t *segment, apr_uint32_t pool,
                                   apr_uint64_t account, apr_time_t now)
{
    apipool_account_limit_t *limit =
        segment->header->account_limits_until > now ? find(segment, pool, account, 0) : NULL;
    if (limit && limit->spent) {
        limit->until = 0;
    }
}

void apipool_account_forget_locked(apipool_segment_t *segment, apr_uint32_t pool,
                                   apr_uint64_t account)
{
    for (apr_uint32_t i = 0;
         account && segment->header->account_limits_until && i < APIPOOL_ACCOUNT_LIMITS_MAX; i++) {
        apipool_account_limit_t *limit = &segment->account_limits[i];
        if (limit->account == account && limit->pool == pool) {
            limit->until = 0;
        }
    }
}

void apipool_account_rebuild_locked(apipool_segment_t *segment)
{
    segment->header->account_limits_until = 0;
    apipool_hash_table_clear(&segment->account_limit_table);
    for (apr_uint32_t i = 0; i < segment->header->account_limits.used; i++) {
        const apipool_account_limit_t *limit = &segment->account_limits[i];
        if (limit->account) {
            apipool_hash_table_link(&segment->account_limit_table, i,
                                    hash_of(limit->pool, limit->account, limit->model));
            note_end(segment, limit->until);
        }
        else {
            apipool_hash_table_give(&segment->account_limit_table, i);
        }
    }
}
