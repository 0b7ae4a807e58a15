/* SPDX-License-Identifier: Apache-2.0
 * Pools: registration, totals, and reclaiming what dead processes held. */
#include "pool.h"

#include <apr_strings.h>
#include <string.h>

#include "breaker.h"
#include "members.h"
#include "queue.h"
#include "rebuild.h"
#include "sessions.h"
#include "slots.h"

#define TOTALS_BATCH 256
#define REPORT_EVERY apr_time_from_sec(60)
#define PUT_OFF_NEAR 8 /* places that an id may have */

apr_status_t apipool_pool_retire_all(apipool_segment_t *segment)
{
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    for (apr_uint32_t i = 0; i < segment->header->pools_used; i++) {
        segment->pools[i].configured = 0;
    }
    for (apr_uint32_t i = 0; i < segment->header->upstreams_used; i++) {
        segment->upstreams[i].configured = 0;
    }
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}

static apr_status_t find_pool_locked(apipool_segment_t *segment, const char *server,
                                     const char *name, int configured, apr_uint32_t *pool)
{
    apipool_header_t *header = segment->header;
    apr_uint32_t i = 0;
    while (i < header->pools_used &&
           (strcmp(segment->pools[i].server, server) || strcmp(segment->pools[i].name, name))) {
        i++;
    }
    if (i == APIPOOL_POOLS_MAX) {
        return APR_ENOSPC;
    }
    if (i == header->pools_used) {
        apr_cpystrn(segment->pools[i].server, server, APIPOOL_SERVER_NAME_MAX);
        apr_cpystrn(segment->pools[i].name, name, APIPOOL_NAME_MAX);
        segment->pools[i].turn = APIPOOL_NONE;
        APIPOOL_IN_ORDER();
        header->pools_used++;
    }
    segment->pools[i].configured |= (apr_uint32_t)configured;
    *pool = i;
    return APR_SUCCESS;
}

static apr_status_t find_upstream_locked(apipool_segment_t *segment, apr_uint32_t pool,
                                         const char *name, int configured, apr_uint32_t *upstream)
{
    apipool_header_t *header = segment->header;
    apr_uint32_t i = 0;
    while (i < header->upstreams_used &&
           (segment->upstreams[i].pool != pool || strcmp(segment->upstreams[i].name, name))) {
        i++;
    }
    if (i == APIPOOL_UPSTREAMS_MAX) {
        return APR_ENOSPC;
    }
    if (i == header->upstreams_used) {
        segment->upstreams[i].pool = pool;
        segment->upstreams[i].spare = APIPOOL_NONE;
        apr_cpystrn(segment->upstreams[i].name, name, APIPOOL_NAME_MAX);
        APIPOOL_IN_ORDER();
        header->upstreams_used++;
    }
    segment->upstreams[i].configured |= (apr_uint32_t)configured;
    *upstream = i;
    return APR_SUCCESS;
}

apr_status_t apipool_pool_attach(apipool_segment_t *segment, const char *server, const char *name,
                                 apr_uint32_t *pool)
{
    int fits = strlen(server) < APIPOOL_SERVER_NAME_MAX && strlen(name) < APIPOOL_NAME_MAX;
    apr_status_t rv = fits ? apipool_segment_lock(segment) : APR_ENAMETOOLONG;
    if (rv == APR_SUCCESS) {
        rv = find_pool_locked(segment, server, name, 1, pool);
        apipool_segment_unlock(segment);
    }
    return rv;
}

apr_status_t apipool_pool_upstream(apipool_segment_t *segment, apr_uint32_t pool, const char *name,
                                   apr_uint32_t *upstream)
{
    int fits = strlen(name) < APIPOOL_NAME_MAX;
    apr_status_t rv = fits ? apipool_segment_lock(segment) : APR_ENAMETOOLONG;
    if (rv == APR_SUCCESS) {
        rv = find_upstream_locked(segment, pool, name, 1, upstream);
        apipool_segment_unlock(segment);
    }
    return rv;
}

apr_status_t apipool_pool_known(apipool_segment_t *segment, const char *server, const char *name,
                                const char *upstream_name, apr_uint32_t *pool,
                                apr_uint32_t *upstream)
{
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv == APR_SUCCESS) {
        rv = find_pool_locked(segment, server, name, 0, pool);
        if (rv == APR_SUCCESS) {
            rv = find_upstream_locked(segment, *pool, upstream_name, 0, upstream);
        }
        apipool_segment_unlock(segment);
    }
    return rv;
}

apr_status_t apipool_pool_find(apipool_segment_t *segment, const char *server, const char *name,
                               apr_uint32_t *pool)
{
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv == APR_SUCCESS) {
        rv = find_pool_locked(segment, server, name, 0, pool);
        apipool_segment_unlock(segment);
    }
    return rv;
}

int apipool_pool_refuses_usage(const apipool_segment_t *segment, apr_uint32_t upstream,
                               apr_time_t now)
{
    return __atomic_load_n(&segment->upstreams[upstream].refuses_usage, __ATOMIC_RELAXED) > now;
}

int apipool_pool_accepts_usage(const apipool_segment_t *segment, apr_uint32_t upstream)
{
    return __atomic_load_n(&segment->upstreams[upstream].refuses_usage, __ATOMIC_RELAXED) ==
           APIPOOL_ACCEPTS_USAGE;
}

void apipool_pool_note_accepts_usage(apipool_segment_t *segment, apr_uint32_t upstream)
{
    if (!apipool_pool_accepts_usage(segment, upstream)) {
        apipool_pool_note_refuses_usage(segment, upstream, APIPOOL_ACCEPTS_USAGE);
    }
}

void apipool_pool_note_refuses_usage(apipool_segment_t *segment, apr_uint32_t upstream,
                                     apr_time_t until)
{
    __atomic_store_n(&segment->upstreams[upstream].refuses_usage, until, __ATOMIC_RELAXED);
}

/* The place of an id; NULL if it has none. */
static apr_uint64_t *find_put_off(const apipool_segment_t *segment, apr_uint64_t id)
{
    for (apr_uint64_t i = 0; id && i < PUT_OFF_NEAR; i++) {
        apr_uint64_t *place = &segment->header->put_off[(id + i) % APIPOOL_PUT_OFF];
        if (__atomic_load_n(place, __ATOMIC_RELAXED) == id) {
            return place;
        }
    }
    return NULL;
}

/* The ids that may have a place are few. When all of its places are taken, it takes the first. */
void apipool_pool_put_off(apipool_segment_t *segment, apr_uint64_t id)
{
    apr_uint64_t *first = &segment->header->put_off[id % APIPOOL_PUT_OFF];
    for (apr_uint64_t i = 0; id && i < PUT_OFF_NEAR; i++) {
        apr_uint64_t none = 0, *place = &segment->header->put_off[(id + i) % APIPOOL_PUT_OFF];
        if (__atomic_compare_exchange_n(place, &none, id, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED) ||
            none == id) {
            return;
        }
    }
    __atomic_store_n(first, id, __ATOMIC_RELAXED);
}

int apipool_pool_is_put_off(const apipool_segment_t *segment, apr_uint64_t id)
{
    return find_put_off(segment, id) != NULL;
}

int apipool_pool_take_put_off(apipool_segment_t *segment, apr_uint64_t id)
{
    apr_uint64_t *place = find_put_off(segment, id);
    return place &&
           __atomic_compare_exchange_n(place, &id, 0, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

int apipool_pool_reports_exhausted(apipool_segment_t *segment, apr_uint32_t pool, apr_time_t now,
                                   apr_uint32_t *unreported)
{
    apipool_pool_t *shared = &segment->pools[pool];
    apr_time_t last = __atomic_load_n(&shared->reported_at, __ATOMIC_RELAXED);
    /* Another process may have read a slightly later time. A clock that was set back silences
     * nothing. */
    if ((last < now + REPORT_EVERY && now < last + REPORT_EVERY) ||
        !__atomic_compare_exchange_n(&shared->reported_at, &last, now, 0, __ATOMIC_RELAXED,
                                     __ATOMIC_RELAXED)) {
        __atomic_add_fetch(&shared->unreported, 1, __ATOMIC_RELAXED);
        return 0;
    }
    *unreported = __atomic_exchange_n(&shared->unreported, 0, __ATOMIC_RELAXED);
    return 1;
}

apipool_habit_e apipool_pool_habit(const apipool_segment_t *segment, apr_uint32_t upstream)
{
    return __atomic_load_n(&segment->upstreams[upstream].habit, __ATOMIC_RELAXED);
}

void apipool_pool_note_habit(apipool_segment_t *segment, apr_uint32_t upstream,
                             apipool_habit_e habit)
{
    if (apipool_pool_habit(segment, upstream) != habit) {
        __atomic_store_n(&segment->upstreams[upstream].habit, (apr_uint32_t)habit,
                         __ATOMIC_RELAXED);
    }
}

/* Ends a lease whose result will never be reported. */
static void give_back(apipool_slot_t *slot, apr_uint32_t purpose)
{
    static const apipool_finished_t unknown_end = {
        .attempts = 1, .tokens = {-1, -1, -1, -1}, .first_byte = -1, .latency = -1};
    if (purpose == APIPOOL_FOR_PROBE) {
        slot->probing = 0;
        return;
    }
    slot->in_flight -= slot->in_flight > 0;
    slot->proving = purpose == APIPOOL_FOR_PROOF ? 0 : slot->proving;
    apipool_counts_add(&slot->counts, &unknown_end);
}

/* A slot keeps its key's place until all of its holders are gone, so it is the same key, or none. */
static void give_back_tokens(apipool_segment_t *segment, apr_uint32_t i, apr_time_t now)
{
    const apipool_holder_t *holder = &segment->holders[i];
    apipool_slot_t *slot = &segment->slots[holder->slot];
    apr_uint32_t tokens = holder->tokens;
    apipool_slot_note_reserved_locked(segment, i, 0, holder->at);
    for (int w = APIPOOL_TPM; slot->id && tokens && w <= APIPOOL_TPD; w++) {
        apipool_window_refund(&slot->windows[w], apipool_window_span(w), holder->at, now, tokens);
    }
    if (slot->id && tokens) {
        apipool_slot_lift_locked(segment, holder->slot);
    }
}

apr_status_t apipool_pool_reclaim(apipool_segment_t *segment, apr_uint32_t process, apr_time_t now)
{
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    for (apr_uint32_t i = 0; i < segment->header->holders.used; i++) {
        const apipool_holder_t *holder = &segment->holders[i];
        if (holder->process == process && holder->purpose == APIPOOL_FOR_CLIENT) {
            apipool_client_leave_locked(segment, i, now);
        }
        else if (holder->process == process) {
            apr_uint32_t index = holder->slot;
            give_back_tokens(segment, i, now);
            give_back(&segment->slots[index], holder->purpose);
            apipool_members_settle_locked(segment, index);
            apipool_slot_let_go_locked(segment, i);
            apipool_slot_reuse_locked(segment, index);
        }
    }
    apipool_queue_reclaim_locked(segment, process);
    apipool_sessions_reclaim_locked(segment, process);
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}

/* The rest is derived from the holders and waiters. */
apr_status_t apipool_pool_reclaim_all(apipool_segment_t *segment, apr_time_t now)
{
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    for (apr_uint32_t i = 0; i < segment->header->holders.used; i++) {
        if (segment->holders[i].process && segment->holders[i].purpose == APIPOOL_FOR_CLIENT) {
            apipool_client_leave_locked(segment, i, now);
        }
        else if (segment->holders[i].process) {
            give_back_tokens(segment, i, now);
        }
        segment->holders[i].process = 0;
    }
    for (apr_uint32_t i = 0; i < segment->header->waiters.used; i++) {
        segment->waiters[i].process = 0;
    }
    apipool_sessions_reclaim_locked(segment, 0);
    int done = apipool_rebuild_locked(segment);
    apipool_segment_unlock(segment);
    return done ? APR_SUCCESS : APR_ENOMEM;
}

/* A pool of the main server is hidden by a pool of the server with the same name. */
static int is_seen_by(const apipool_segment_t *segment, apr_uint32_t pool, const char *server)
{
    const apipool_pool_t *p = &segment->pools[pool];
    int own = !strcmp(p->server, server);
    if (!p->configured || (!own && *p->server)) {
        return 0;
    }
    for (apr_uint32_t i = 0; !own && i < segment->header->pools_used; i++) {
        const apipool_pool_t *other = &segment->pools[i];
        if (other->configured && !strcmp(other->server, server) && !strcmp(other->name, p->name)) {
            return 0;
        }
    }
    return 1;
}

void apipool_pool_each_upstream(const apipool_segment_t *segment, const char *server,
                                void (*each)(void *ctx, const char *pool, const char *name,
                                             apr_uint32_t upstream),
                                void *ctx)
{
    for (apr_uint32_t pool = 0; pool < segment->header->pools_used; pool++) {
        for (apr_uint32_t i = 0;
             is_seen_by(segment, pool, server) && i < segment->header->upstreams_used; i++) {
            const apipool_upstream_t *u = &segment->upstreams[i];
            if ((u->configured || u->members) && u->pool == pool) {
                each(ctx, segment->pools[pool].name, u->name, i);
            }
        }
    }
}

apr_uint32_t apipool_pool_keys_of(const apipool_segment_t *segment, const char *server)
{
    apr_uint32_t keys = 0;
    for (apr_uint32_t i = 0; i < segment->header->upstreams_used; i++) {
        const apipool_upstream_t *u = &segment->upstreams[i];
        keys += strcmp(segment->pools[u->pool].server, server) ? 0 : u->members;
    }
    return keys;
}

apr_uint32_t apipool_pool_of(const apipool_segment_t *segment, apr_uint32_t upstream)
{
    return segment->upstreams[upstream].pool;
}

static void add_up(const apipool_segment_t *segment, const apipool_slot_t *slot, apr_time_t now,
                   apipool_totals_t *totals)
{
    totals->keys[apipool_slot_state(segment, slot, now)]++;
    totals->requests += slot->counts.requests + slot->in_flight;
    totals->successes += slot->counts.successes;
    totals->errors += slot->counts.errors;
    totals->in_flight += slot->in_flight;
}

apr_status_t apipool_pool_keys(apipool_segment_t *segment, apr_uint32_t upstream,
                               apr_uint32_t *from, apipool_key_row_t *rows, apr_uint32_t max,
                               apr_uint32_t *count)
{
    const apipool_upstream_t *u = &segment->upstreams[upstream];
    apr_status_t rv = apipool_segment_lock(segment);
    apr_uint32_t i = *from;
    *count = 0;
    if (rv != APR_SUCCESS) {
        return rv;
    }
    for (; i < u->list_used && i - *from < max; i++) {
        const apipool_slot_t *slot = apipool_members_slot_locked(segment, upstream, i);
        if (slot) {
            rows[(*count)++] = (apipool_key_row_t){
                .id = slot->id,
                .state = u->configured ? slot->state : APIPOOL_STATE_ORPHANED,
                .in_flight = slot->in_flight,
                .requests = slot->counts.requests,
                .errors = slot->counts.errors,
                .prompt = slot->counts.prompt,
                .completion = slot->counts.completion,
                .cached = slot->counts.cached,
            };
        }
    }
    *from = i < u->list_used ? i : APIPOOL_NONE;
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}

apr_status_t apipool_pool_totals(apipool_segment_t *segment, apr_uint32_t upstream, apr_time_t now,
                                 apipool_totals_t *totals)
{
    const apipool_upstream_t *u = &segment->upstreams[upstream];
    apr_uint32_t i = 0;
    memset(totals, 0, sizeof(*totals));
    for (int more = 1; more;) {
        apr_status_t rv = apipool_segment_lock(segment);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        for (int n = 0; n < TOTALS_BATCH && i < u->list_used; n++, i++) {
            const apipool_slot_t *slot = apipool_members_slot_locked(segment, upstream, i);
            if (slot) {
                add_up(segment, slot, now, totals);
            }
        }
        more = i < u->list_used;
        memcpy(totals->rules, u->rules, sizeof(totals->rules));
        memcpy(totals->endings, u->endings, sizeof(totals->endings));
        apipool_counters_read(&u->counters, now, &totals->counters);
        totals->paused_until = apipool_breaker_until_locked(u, 0, 0, now);
        apipool_segment_unlock(segment);
        if (more) {
            apipool_segment_give_way(segment);
        }
    }
    return APR_SUCCESS;
}
