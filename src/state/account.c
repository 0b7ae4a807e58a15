/* SPDX-License-Identifier: Apache-2.0
 * What holds for all keys of an account: cooldowns and spent quota. */
#include "account.h"

#include "fault.h"

#define PROBES 8

static apr_uint32_t place_of(apr_uint32_t pool, apr_uint64_t account, apr_uint64_t model)
{
    apr_uint64_t hash = (account ^ (model << 1) ^ pool) * APR_UINT64_C(0x9e3779b97f4a7c15);
    return (apr_uint32_t)(hash >> 32);
}

static apipool_hit_t *nth(const apipool_segment_t *segment, apr_uint32_t place, apr_uint32_t n)
{
    return &segment->hits[(place + n) & (APIPOOL_HITS_MAX - 1)];
}

static apipool_hit_t *find(const apipool_segment_t *segment, apr_uint32_t pool,
                           apr_uint64_t account, apr_uint64_t model)
{
    apr_uint32_t place = place_of(pool, account, model);
    for (apr_uint32_t n = 0; n < PROBES; n++) {
        apipool_hit_t *hit = nth(segment, place, n);
        if (hit->account == account && hit->model == model && hit->pool == pool) {
            return hit;
        }
    }
    return NULL;
}

void apipool_account_hit_locked(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t account,
                                apr_uint64_t model, int spent, apr_time_t until, apr_time_t now)
{
    apr_uint32_t place = place_of(pool, account, model);
    apipool_hit_t *hit = find(segment, pool, account, model);
    if (!hit) {
        hit = nth(segment, place, 0);
        for (apr_uint32_t n = 1; n < PROBES && hit->account && hit->until > now; n++) {
            apipool_hit_t *other = nth(segment, place, n);
            hit = !other->account || other->until < hit->until ? other : hit;
        }
        hit->until = 0;
        hit->spent = 0;
        APIPOOL_IN_ORDER(); /* half of each of two accounts says nothing */
    }
    hit->account = account;
    APIPOOL_FAULT("hit-half-written");
    hit->model = model;
    hit->pool = pool;
    APIPOOL_IN_ORDER();
    hit->spent = hit->until > now ? hit->spent || spent : (apr_uint32_t)spent;
    hit->until = hit->until > until ? hit->until : until;
    if (hit->until > segment->header->hits_until) {
        segment->header->hits_until = hit->until;
    }
}

const apipool_hit_t *apipool_account_find_locked(const apipool_segment_t *segment,
                                                 apr_uint32_t pool, apr_uint64_t account,
                                                 apr_uint64_t model, apr_time_t now)
{
    if (!account || segment->header->hits_until <= now) {
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
    const apipool_hit_t *all = account ? find(segment, pool, account, 0) : NULL;
    const apipool_hit_t *one = account && model ? find(segment, pool, account, model) : NULL;
    apr_time_t until = one ? one->until : 0;
    if (!all) {
        return until;
    }
    *spent = all->spent && all->until > until;
    return all->until > until ? all->until : until;
}

void apipool_account_refill_locked(apipool_segment_t *segment, apr_uint32_t pool,
                                   apr_uint64_t account, apr_time_t now)
{
    apipool_hit_t *hit = NULL;
    if (account && segment->header->hits_until > now) {
        hit = find(segment, pool, account, 0);
    }
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

void apipool_account_mend_locked(apipool_segment_t *segment)
{
    segment->header->hits_until = 0;
    for (apr_uint32_t i = 0; i < APIPOOL_HITS_MAX; i++) {
        apipool_hit_t *hit = &segment->hits[i];
        hit->spent = hit->spent != 0;
        if (hit->account && hit->until > segment->header->hits_until) {
            segment->header->hits_until = hit->until;
        }
    }
}
