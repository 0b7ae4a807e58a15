/* SPDX-License-Identifier: Apache-2.0
 * What holds for all keys of an account: cooldowns and spent quota. */
#include "account.h"

#include "fault.h"

#define PROBES 16 /* no chain of keys that clients may have chosen is walked further */

static apr_uint64_t hash_of(apr_uint32_t pool, apr_uint64_t account, apr_uint64_t model)
{
    return account ^ (model << 1) ^ pool;
}

static apipool_hit_t *find(const apipool_segment_t *segment, apr_uint32_t pool,
                           apr_uint64_t account, apr_uint64_t model)
{
    apr_uint32_t i = account
                         ? apipool_table_first(&segment->hit_table, hash_of(pool, account, model))
                         : APIPOOL_NONE;
    for (int n = 0; n < PROBES && i != APIPOOL_NONE; n++) {
        apipool_hit_t *hit = &segment->hits[i];
        if (hit->account == account && hit->model == model && hit->pool == pool) {
            return hit;
        }
        i = apipool_table_next(&segment->hit_table, i);
    }
    return NULL;
}

/* Of the next ones in turn, that which ends first. */
static apr_uint32_t forget_one(apipool_segment_t *segment)
{
    apipool_hit_t *hits = segment->hits;
    apr_uint32_t chosen = segment->header->hit_next;
    for (int n = 0; n < PROBES; n++) {
        apr_uint32_t i = segment->header->hit_next++ & (APIPOOL_HITS_MAX - 1);
        chosen = !n || hits[i].until < hits[chosen].until ? i : chosen;
    }
    apipool_table_unlink(&segment->hit_table, chosen,
                         hash_of(hits[chosen].pool, hits[chosen].account, hits[chosen].model));
    return chosen;
}

/* What is half written has no account, and is none. */
static apipool_hit_t *add(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t account,
                          apr_uint64_t model)
{
    apr_uint32_t i = apipool_table_take(&segment->hit_table);
    i = i == APIPOOL_NONE ? forget_one(segment) : i;
    apipool_hit_t *hit = &segment->hits[i];
    hit->account = 0;
    APIPOOL_IN_ORDER();
    hit->until = 0;
    hit->spent = 0;
    hit->model = model;
    hit->pool = pool;
    APIPOOL_FAULT("hit-half-written");
    APIPOOL_IN_ORDER();
    hit->account = account;
    apipool_table_link(&segment->hit_table, i, hash_of(pool, account, model));
    return hit;
}

static void note_end(apipool_segment_t *segment, apr_time_t until)
{
    apr_time_t *last = &segment->header->hits_until;
    *last = *last > until ? *last : until;
}

void apipool_account_hit_locked(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t account,
                                apr_uint64_t model, int spent, apr_time_t until, apr_time_t now)
{
    if (!account) {
        return;
    }
    apipool_hit_t *hit = find(segment, pool, account, model);
    hit = hit ? hit : add(segment, pool, account, model);
    hit->spent = hit->until > now ? hit->spent || spent : (apr_uint32_t)spent;
    hit->until = hit->until > until ? hit->until : until;
    note_end(segment, hit->until);
}

const apipool_hit_t *apipool_account_find_locked(const apipool_segment_t *segment,
                                                 apr_uint32_t pool, apr_uint64_t account,
                                                 apr_uint64_t model, apr_time_t now)
{
    if (segment->header->hits_until <= now) {
        return NULL;
    }
    const apipool_hit_t *hit = find(segment, pool, account, 0);
    if ((!hit || hit->until <= now) && model) {
        hit = find(segment, pool, account, model);
    }
    return hit && hit->until > now ? hit : NULL;
}

apr_time_t apipool_account_until_locked(const apipool_segment_t *segment, apr_uint32_t pool,
                                        apr_uint64_t account, apr_uint64_t model, int *spent)
{
    const apipool_hit_t *all = find(segment, pool, account, 0);
    const apipool_hit_t *one = model ? find(segment, pool, account, model) : NULL;
    apr_time_t of_all = all ? all->until : 0, of_one = one ? one->until : 0;
    *spent = all && of_all > of_one && all->spent;
    return of_all > of_one ? of_all : of_one;
}

void apipool_account_refill_locked(apipool_segment_t *segment, apr_uint32_t pool,
                                   apr_uint64_t account, apr_time_t now)
{
    apipool_hit_t *hit = segment->header->hits_until > now ? find(segment, pool, account, 0) : NULL;
    if (hit && hit->spent) {
        hit->until = 0;
    }
}

void apipool_account_forget_locked(apipool_segment_t *segment, apr_uint32_t pool,
                                   apr_uint64_t account)
{
    for (apr_uint32_t i = 0; account && segment->header->hits_until && i < APIPOOL_HITS_MAX; i++) {
        apipool_hit_t *hit = &segment->hits[i];
        if (hit->account == account && hit->pool == pool) {
            hit->until = 0;
        }
    }
}

void apipool_account_rebuild_locked(apipool_segment_t *segment)
{
    segment->header->hits_until = 0;
    apipool_table_clear(&segment->hit_table);
    for (apr_uint32_t i = 0; i < segment->header->hits.used; i++) {
        const apipool_hit_t *hit = &segment->hits[i];
        if (hit->account) {
            apipool_table_link(&segment->hit_table, i,
                               hash_of(hit->pool, hit->account, hit->model));
            note_end(segment, hit->until);
        }
        else {
            apipool_table_give(&segment->hit_table, i);
        }
    }
}
