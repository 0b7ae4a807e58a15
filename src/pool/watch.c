/* SPDX-License-Identifier: Apache-2.0
 * What has happened to pools, upstreams, keys and clients since it was told of last. */
#include "watch.h"

#include <math.h>
#include <string.h>

#include "breaker.h"
#include "client.h"
#include "health.h"
#include "members.h"
#include "slots.h"

#define BATCH 128                   /* slots per lock */
#define SOON  apr_time_from_sec(60) /* a pool whose keys are back so soon is not exhausted */

/* What was told of a key. */
enum { LOST = 1, LOW = 2 };

static int is_muted(const apipool_watch_pool_t *pool, apipool_alarm_e event)
{
    return (pool->muted & (1u << event)) != 0;
}

static void begin(apipool_watched_t *found)
{
    memset(found, 0, sizeof(*found));
    found->event = APIPOOL_ALARM_COUNT;
}

static void add(apipool_watched_t *found, apr_uint32_t slot, apr_uint64_t id)
{
    if (found->rows < APIPOOL_ALARM_ROWS) {
        found->slots[found->rows] = slot;
        found->ids[found->rows++] = id;
    }
    found->count++;
}

/* --- Keys ------------------------------------------------------------------------------------- */

/* The highest balance counts, as for a pool's minimum. */
static int is_low(const apipool_slot_t *slot, const apipool_watch_pool_t *pool)
{
    apipool_balances_t balances;
    if (isnan(pool->balance) || !slot->read_at) {
        return 0;
    }
    apipool_slot_balances_locked(slot, &balances);
    for (int i = 0; i < balances.count; i++) {
        if (balances.of[i].amount >= pool->balance) {
            return 0;
        }
    }
    return balances.count > 0;
}

/* What is to be told of a key, and what was told of it then; the same as now: nothing. */
static apipool_alarm_e change_of(const apipool_slot_t *slot, const apipool_watch_pool_t *pools,
                                 apr_uint16_t *told)
{
    const apipool_watch_pool_t *pool = &pools[slot->pool];
    *told = slot->told;
    if (!slot->id || !pool->is_watched) {
        return APIPOOL_ALARM_COUNT;
    }
    if (apipool_health_is_recovering(slot->state) && !(*told & LOST) &&
        !is_muted(pool, APIPOOL_ALARM_KEY_LOST)) {
        *told |= LOST;
        return APIPOOL_ALARM_KEY_LOST;
    }
    if ((slot->state == APIPOOL_STATE_ACTIVE || slot->state == APIPOOL_STATE_COOLING) &&
        *told & LOST && !is_muted(pool, APIPOOL_ALARM_KEY_BACK)) {
        *told &= (apr_uint16_t)~LOST;
        return APIPOOL_ALARM_KEY_BACK;
    }
    int low = is_low(slot, pool);
    if (low && !(*told & LOW) && !is_muted(pool, APIPOOL_ALARM_BALANCE_LOW)) {
        *told |= LOW;
        return APIPOOL_ALARM_BALANCE_LOW;
    }
    *told = (apr_uint16_t)(low ? *told : *told & ~LOW); /* refilled: not told */
    return APIPOOL_ALARM_COUNT;
}

/* Looks without the lock. */
static int may_have(const apipool_segment_t *segment, const apipool_watch_pool_t *pools,
                    apr_uint32_t from, apr_uint32_t end)
{
    apr_uint16_t told;
    for (; from < end; from++) {
        const apipool_slot_t *slot = &segment->slots[from];
        if (slot->pool < APIPOOL_POOLS_MAX &&
            (change_of(slot, pools, &told) != APIPOOL_ALARM_COUNT || told != slot->told)) {
            return 1;
        }
    }
    return 0;
}

/* Further keys count if it is the same event of the same pool. */
static void look_at_key_locked(apipool_segment_t *segment, apr_uint32_t index,
                               const apipool_watch_pool_t *pools, apipool_watched_t *found)
{
    apipool_slot_t *slot = &segment->slots[index];
    apr_uint16_t told;
    apipool_alarm_e event = change_of(slot, pools, &told);
    if (event == APIPOOL_ALARM_COUNT) {
        slot->told = told;
        return;
    }
    if (found->event == APIPOOL_ALARM_COUNT) {
        found->event = event;
        found->pool = slot->pool;
    }
    if (found->event == event && found->pool == slot->pool) {
        slot->told = told;
        add(found, index, slot->id);
    }
}

apr_status_t apipool_watch_keys(apipool_segment_t *segment, const apipool_watch_pool_t *pools,
                                apr_uint32_t *from, apipool_watched_t *found)
{
    apr_uint32_t used = apipool_segment_slots_used(segment), i = *from;
    apr_uint32_t end = used - i > APIPOOL_WATCH_PORTION ? i + APIPOOL_WATCH_PORTION : used;
    begin(found);
    for (apr_uint32_t next; i < end; i = next) {
        next = end - i > BATCH ? i + BATCH : end;
        if (!may_have(segment, pools, i, next)) {
            continue;
        }
        apr_status_t rv = apipool_segment_lock(segment);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        for (; i < next; i++) {
            look_at_key_locked(segment, i, pools, found);
        }
        apipool_segment_unlock(segment);
        apipool_segment_give_way(segment);
    }
    *from = end < used ? end : 0;
    return APR_SUCCESS;
}

/* --- Pools ------------------------------------------------------------------------------------ */

/* What was told of a pool, the worst last. */
enum { UNKNOWN, FINE, FEW, NONE };

/* Keys of one upstream, or of all of a pool. */
typedef struct {
    apr_uint32_t usable, total; /* in rotation, and all */
    int serves;                 /* one is usable soon */
} keys_t;

static void count(const apipool_segment_t *segment, apr_uint32_t upstream, apr_time_t now,
                  keys_t *keys)
{
    apipool_upstream_t *u = &segment->upstreams[upstream];
    apr_uint32_t at_once = u->usable + u->held_up + u->half_open,
                 cooling = u->model_slots[0].waiting;
    keys->total += u->members;
    keys->usable += at_once + cooling;
    keys->serves |= at_once != 0;
    if (cooling) {
        const apipool_heap_t heap = apipool_members_heap(segment, u, APIPOOL_IN_COOLING);
        keys->serves |= segment->slots[heap.at[0]].until[0] <= now + SOON;
    }
}

static int level_of(const apipool_segment_t *segment, apr_uint32_t pool,
                    const apipool_watch_pool_t *watch, apr_time_t now, keys_t *keys)
{
    memset(keys, 0, sizeof(*keys));
    for (apr_uint32_t u = 0; u < apipool_segment_upstreams_used(segment); u++) {
        if (segment->upstreams[u].pool == pool && segment->upstreams[u].configured) {
            count(segment, u, now, keys);
        }
    }
    if (!keys->total && segment->pools[pool].told == UNKNOWN) {
        return UNKNOWN;
    }
    return !keys->serves ? NONE : keys->usable < watch->low ? FEW : FINE;
}

apr_status_t apipool_watch_pools(apipool_segment_t *segment, const apipool_watch_pool_t *pools,
                                 apr_time_t now, apipool_watched_t *found)
{
    static const apipool_alarm_e events[] = {APIPOOL_ALARM_COUNT, APIPOOL_ALARM_COUNT,
                                             APIPOOL_ALARM_POOL_LOW, APIPOOL_ALARM_POOL_EXHAUSTED};
    begin(found);
    for (apr_uint32_t i = 0;
         found->event == APIPOOL_ALARM_COUNT && i < apipool_segment_pools_used(segment); i++) {
        keys_t keys;
        if (!pools[i].is_watched) {
            continue;
        }
        apr_status_t rv = apipool_segment_lock(segment);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        apipool_pool_t *pool = &segment->pools[i];
        apr_uint32_t level = (apr_uint32_t)level_of(segment, i, &pools[i], now, &keys);
        if (level > pool->told && level > FINE && !is_muted(&pools[i], events[level])) {
            found->event = events[level];
        }
        if (level <= FINE || level < pool->told || found->event != APIPOOL_ALARM_COUNT) {
            pool->told = level;
        }
        apipool_segment_unlock(segment);
        found->pool = i;
        found->usable = keys.usable;
        found->total = keys.total;
    }
    return APR_SUCCESS;
}

/* --- Upstreams -------------------------------------------------------------------------------- */

static apipool_alarm_e change_of_upstream(const apipool_upstream_t *u,
                                          const apipool_watch_pool_t *pool, const char **why)
{
    *why = apipool_breaker_why(u);
    apipool_alarm_e event = !*why == !u->told ? APIPOOL_ALARM_COUNT
                            : *why            ? APIPOOL_ALARM_UPSTREAM_PAUSED
                                              : APIPOOL_ALARM_UPSTREAM_BACK;
    return pool->is_watched && u->configured && !is_muted(pool, event) ? event
                                                                       : APIPOOL_ALARM_COUNT;
}

static void look_at_upstream_locked(apipool_segment_t *segment, apr_uint32_t index,
                                    const apipool_watch_pool_t *pools, apipool_watched_t *found)
{
    apipool_upstream_t *u = &segment->upstreams[index];
    const char *why;
    apipool_alarm_e event = change_of_upstream(u, &pools[u->pool], &why);
    if (found->event == APIPOOL_ALARM_COUNT) {
        found->event = event;
        found->pool = u->pool;
    }
    if (event != APIPOOL_ALARM_COUNT && found->event == event && found->pool == u->pool) {
        u->told = event == APIPOOL_ALARM_UPSTREAM_PAUSED;
        add(found, index, 0);
        found->whys[found->rows - 1] = why;
    }
}

apr_status_t apipool_watch_upstreams(apipool_segment_t *segment, const apipool_watch_pool_t *pools,
                                     apipool_watched_t *found)
{
    begin(found);
    for (apr_uint32_t i = 0; i < apipool_segment_upstreams_used(segment); i++) {
        const apipool_upstream_t *u = &segment->upstreams[i];
        const char *why;
        if (change_of_upstream(u, &pools[u->pool], &why) == APIPOOL_ALARM_COUNT) {
            continue;
        }
        apr_status_t rv = apipool_segment_lock(segment);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        look_at_upstream_locked(segment, i, pools, found);
        apipool_segment_unlock(segment);
    }
    return APR_SUCCESS;
}

/* --- Clients ---------------------------------------------------------------------------------- */

#define HOUR apr_time_from_sec(3600)

/* What was told of a client: for each limit a bit, near in the lower half, over in the upper one. */
#define NEAR(limit) (1u << (limit))
#define OVER(limit) (16u << (limit))

static_assert(APIPOOL_CLIENT_LIMITS <= 4, "they fit");

/* What is to be told of a limit of a client, and what was told of all of them then. */
static apipool_alarm_e change_of_limit(const apipool_client_slot_t *slot, int limit,
                                       const apipool_client_watch_t *watch, apr_uint32_t *told)
{
    apr_uint32_t of = apipool_client_slot_terms(slot)->limits[limit];
    int near = of && apipool_client_used(slot, limit, watch->now) * 100 >=
                         (apr_uint64_t)of * watch->percent;
    apr_interval_time_t age = watch->now - slot->told_at[limit];
    if (!near && (age >= HOUR || age < 0)) {
        *told &= ~(NEAR(limit) | OVER(limit));
    }
    if (slot->refused & 1u << limit && !(*told & OVER(limit)) &&
        !(watch->muted & 1u << APIPOOL_ALARM_CLIENT_OVER_LIMIT)) {
        *told |= NEAR(limit) | OVER(limit);
        return APIPOOL_ALARM_CLIENT_OVER_LIMIT;
    }
    if (near && !(*told & NEAR(limit)) && !(watch->muted & 1u << APIPOOL_ALARM_CLIENT_NEAR_LIMIT)) {
        *told |= NEAR(limit);
        return APIPOOL_ALARM_CLIENT_NEAR_LIMIT;
    }
    return APIPOOL_ALARM_COUNT;
}

/* The first of its limits of which something is to be told; told is as it is then. */
static apipool_alarm_e change_of_client(const apipool_client_slot_t *slot,
                                        const apipool_client_watch_t *watch, int *limit,
                                        apr_uint32_t *told)
{
    apipool_alarm_e event = APIPOOL_ALARM_COUNT;
    *told = slot->told;
    for (*limit = 0; slot->serial && *limit < APIPOOL_CLIENT_LIMITS; ++*limit) {
        event = change_of_limit(slot, *limit, watch, told);
        if (event != APIPOOL_ALARM_COUNT) {
            break;
        }
    }
    return event;
}

static void add_client(const apipool_client_slot_t *slot, int limit, apr_time_t now,
                       apipool_watched_clients_t *found)
{
    if (found->row_count < APIPOOL_ALARM_ROWS) {
        apipool_watched_client_t *row = &found->rows[found->row_count++];
        memcpy(row->server, slot->server, sizeof(row->server));
        memcpy(row->name, slot->name, sizeof(row->name));
        row->limit = limit;
        row->used = apipool_client_used(slot, limit, now);
        row->of = apipool_client_slot_terms(slot)->limits[limit];
    }
    found->count++;
}

static void look_at_client_locked(apipool_client_slot_t *slot, const apipool_client_watch_t *watch,
                                  apipool_watched_clients_t *found)
{
    int limit;
    apr_uint32_t told;
    apipool_alarm_e event = change_of_client(slot, watch, &limit, &told);
    if (event == APIPOOL_ALARM_COUNT) {
        slot->told = told;
        slot->refused &= ~(told / OVER(0)); /* that was told already */
        return;
    }
    if (found->event == APIPOOL_ALARM_COUNT) {
        found->event = event;
    }
    if (found->event == event) {
        slot->told = told;
        slot->told_at[limit] = watch->now;
        slot->refused &= ~(1u << limit);
        add_client(slot, limit, watch->now, found);
    }
}

/* Looks without the lock. */
static int may_be_told_of(const apipool_client_slot_t *slot, const apipool_client_watch_t *watch)
{
    int limit;
    apr_uint32_t told;
    return change_of_client(slot, watch, &limit, &told) != APIPOOL_ALARM_COUNT ||
           told != slot->told || slot->refused & (told / OVER(0));
}

apr_status_t apipool_watch_clients(apipool_segment_t *segment, const apipool_client_watch_t *watch,
                                   apr_uint32_t *from, apipool_watched_clients_t *found)
{
    apr_uint32_t used = apipool_clients_used(&segment->clients), i = *from;
    apr_uint32_t end = used - i > APIPOOL_WATCH_PORTION ? i + APIPOOL_WATCH_PORTION : used;
    memset(found, 0, sizeof(*found));
    found->event = APIPOOL_ALARM_COUNT;
    for (; i < end; i++) {
        apipool_client_slot_t *slot = &segment->clients.slots[i];
        if (!may_be_told_of(slot, watch)) {
            continue;
        }
        apr_status_t rv = apipool_segment_lock(segment);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        look_at_client_locked(slot, watch, found);
        apipool_segment_unlock(segment);
    }
    *from = end < used ? end : 0;
    return APR_SUCCESS;
}

/* --- Store ------------------------------------------------------------------------------------ */

int apipool_watch_store(apipool_segment_t *segment)
{
    apipool_store_state_t *state = apipool_segment_store(segment);
    apr_uint64_t saves = __atomic_load_n(&state->saves, __ATOMIC_RELAXED);
    apr_uint64_t errors = __atomic_load_n(&state->save_errors, __ATOMIC_RELAXED);
    int fails = errors != state->told_errors, saved = saves != state->told_saves;
    int begins = fails && !state->told_failing;
    state->told_failing = fails || (state->told_failing && !saved);
    state->told_saves = saves;
    state->told_errors = errors;
    return begins;
}
