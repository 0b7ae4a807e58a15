/* SPDX-License-Identifier: Apache-2.0
 * The keys of all pools: adding them, counting them, and what a process that ended held. */
#include "pool.h"

#include <apr_strings.h>
#include <string.h>

#include "fault.h"
#include "members.h"
#include "queue.h"
#include "slots.h"
#include "trouble.h"

#define TOTALS_BATCH 1024

apr_uint64_t apipool_hash(const char *text)
{
    apr_uint64_t hash = APR_UINT64_C(0xcbf29ce484222325);
    if (!*text) {
        return 0;
    }
    for (; *text; text++) {
        hash = (hash ^ (unsigned char)*text) * APR_UINT64_C(0x100000001b3);
    }
    return hash ? hash : 1;
}

apr_status_t apipool_pool_retire_all(apipool_segment_t *segment)
{
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    for (apr_uint32_t i = 0; i < segment->header->pools_used; i++) {
        segment->pools[i].configured = 0;
    }
    for (apr_uint32_t i = 0; i < segment->header->groups_used; i++) {
        segment->groups[i].configured = 0;
    }
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}

apr_status_t apipool_pool_attach(apipool_segment_t *segment, const char *server, const char *name,
                                 apr_uint32_t *pool)
{
    apipool_header_t *header = segment->header;
    if (strlen(server) >= APIPOOL_SERVER_NAME_MAX || strlen(name) >= APIPOOL_NAME_MAX) {
        return APR_ENAMETOOLONG;
    }
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_uint32_t i = 0;
    while (i < header->pools_used &&
           (strcmp(segment->pools[i].server, server) || strcmp(segment->pools[i].name, name))) {
        i++;
    }
    if (i == APIPOOL_POOLS_MAX) {
        rv = APR_ENOSPC;
    }
    else if (i == header->pools_used) {
        apr_cpystrn(segment->pools[i].server, server, APIPOOL_SERVER_NAME_MAX);
        apr_cpystrn(segment->pools[i].name, name, APIPOOL_NAME_MAX);
        segment->pools[i].turn = APIPOOL_NONE;
        APIPOOL_IN_ORDER();
        header->pools_used++;
    }
    if (rv == APR_SUCCESS) {
        segment->pools[i].configured = 1;
    }
    apipool_segment_unlock(segment);
    *pool = i;
    return rv;
}

apr_status_t apipool_pool_group(apipool_segment_t *segment, apr_uint32_t pool, const char *upstream,
                                apr_uint32_t *group)
{
    apipool_header_t *header = segment->header;
    if (strlen(upstream) >= APIPOOL_NAME_MAX) {
        return APR_ENAMETOOLONG;
    }
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_uint32_t i = 0;
    while (i < header->groups_used &&
           (segment->groups[i].pool != pool || strcmp(segment->groups[i].name, upstream))) {
        i++;
    }
    if (i == APIPOOL_GROUPS_MAX) {
        rv = APR_ENOSPC;
    }
    else if (i == header->groups_used) {
        segment->groups[i].pool = pool;
        segment->groups[i].spare = APIPOOL_NONE;
        apr_cpystrn(segment->groups[i].name, upstream, APIPOOL_NAME_MAX);
        APIPOOL_IN_ORDER();
        header->groups_used++;
    }
    if (rv == APR_SUCCESS) {
        segment->groups[i].configured = 1;
    }
    apipool_segment_unlock(segment);
    *group = i;
    return rv;
}

static apr_uint32_t *head_of(apipool_segment_t *segment, apr_uint64_t id)
{
    return &segment->heads[id & (segment->header->heads - 1)];
}

apr_uint32_t apipool_pool_find_locked(apipool_segment_t *segment, apr_uint32_t pool,
                                      apr_uint64_t id)
{
    apr_uint32_t i = *head_of(segment, id);
    while (i != APIPOOL_NONE && (segment->slots[i].id != id || segment->slots[i].pool != pool)) {
        i = segment->slots[i].next;
    }
    return i;
}

/* Returns whether anything is other than before. */
static int describe(apipool_slot_t *slot, const apipool_key_item_t *item)
{
    const apipool_key_limits_t *said = &item->limits, before = slot->limits;
    apr_uint32_t weight = slot->weight;
    apr_uint64_t account = slot->account;
    slot->weight = item->weight ? item->weight : slot->weight;
    slot->account = item->account ? apipool_hash(item->account) : slot->account;
    slot->limits.rpm = said->rpm ? said->rpm : slot->limits.rpm;
    slot->limits.rpd = said->rpd ? said->rpd : slot->limits.rpd;
    slot->limits.tpm = said->tpm ? said->tpm : slot->limits.tpm;
    slot->limits.tpd = said->tpd ? said->tpd : slot->limits.tpd;
    slot->limits.concurrency = said->concurrency ? said->concurrency : slot->limits.concurrency;
    return slot->weight != weight || slot->account != account ||
           memcmp(&slot->limits, &before, sizeof(before)) != 0;
}

static apipool_added_e update_locked(apipool_segment_t *segment, apr_uint32_t group,
                                     apr_uint32_t index, const apipool_key_item_t *item)
{
    if (segment->slots[index].group != group) {
        if (!apipool_members_reserve_locked(segment, group)) {
            return APIPOOL_FULL;
        }
        apipool_members_remove_locked(segment, index);
        APIPOOL_FAULT("move-in-neither");
        segment->slots[index].failed_streak = 0; /* counted against the others of its group */
        segment->slots[index].round = 0;
        apipool_members_add_locked(segment, group, index);
        segment->header->changes++;
    }
    segment->header->changes += (apr_uint64_t)describe(&segment->slots[index], item);
    return APIPOOL_DUPLICATE;
}

static apipool_added_e add_locked(apipool_segment_t *segment, apr_uint32_t group, apr_uint64_t id,
                                  const apipool_key_item_t *item, apr_time_t now)
{
    apipool_header_t *header = segment->header;
    apr_uint32_t pool = segment->groups[group].pool;
    apr_uint32_t index = apipool_pool_find_locked(segment, pool, id);

    if (index != APIPOOL_NONE) {
        return update_locked(segment, group, index, item);
    }
    index = header->slots_used;
    if (index == header->capacity || !apipool_members_reserve_locked(segment, group)) {
        return APIPOOL_FULL;
    }
    apipool_slot_t *slot = &segment->slots[index];
    if (!apipool_slot_store_secret_locked(segment, slot, item->key, item->len)) {
        return APIPOOL_FULL;
    }
    slot->id = id;
    slot->pool = pool;
    slot->state = item->enabled ? APIPOOL_STATE_ACTIVE : APIPOOL_STATE_DISABLED;
    slot->added_at = now;
    slot->weight = 1;
    slot->success = 1;
    describe(slot, item);
    APIPOOL_FAULT("add-unlinked");
    slot->next = *head_of(segment, id);
    *head_of(segment, id) = index;
    APIPOOL_FAULT("add-half-linked");
    apipool_members_add_locked(segment, group, index);
    header->changes++;
    APIPOOL_FAULT("add-uncounted");
    APIPOOL_IN_ORDER(); /* from here on there is one more */
    header->slots_used++;
    return APIPOOL_ADDED;
}

apr_status_t apipool_pool_add(apipool_segment_t *segment, apr_uint32_t group,
                              const apipool_key_item_t *item, apr_time_t now,
                              apipool_added_e *added)
{
    apr_uint64_t id = apipool_key_id(segment->header->secret, item->key, item->len);
    apr_status_t rv = id ? apipool_segment_lock(segment) : APR_EGENERAL;
    if (rv != APR_SUCCESS) {
        return rv;
    }
    *added = add_locked(segment, group, id, item, now);
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}

apr_status_t apipool_pool_set_account(apipool_segment_t *segment, apr_uint32_t pool,
                                      apr_uint64_t id, apr_uint64_t account)
{
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_uint32_t index = apipool_pool_find_locked(segment, pool, id);
    if (index != APIPOOL_NONE) {
        segment->slots[index].account = account;
    }
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}

int apipool_pool_refuses_usage(const apipool_segment_t *segment, apr_uint32_t group, apr_time_t now)
{
    return __atomic_load_n(&segment->groups[group].refuses_usage, __ATOMIC_RELAXED) > now;
}

void apipool_pool_note_refuses_usage(apipool_segment_t *segment, apr_uint32_t group,
                                     apr_time_t until)
{
    __atomic_store_n(&segment->groups[group].refuses_usage, until, __ATOMIC_RELAXED);
}

apipool_habit_e apipool_pool_habit(const apipool_segment_t *segment, apr_uint32_t group,
                                   int is_stream)
{
    return __atomic_load_n(&segment->groups[group].habits[is_stream], __ATOMIC_RELAXED);
}

void apipool_pool_note_habit(apipool_segment_t *segment, apr_uint32_t group, int is_stream,
                             apipool_habit_e habit)
{
    if (apipool_pool_habit(segment, group, is_stream) != habit) {
        __atomic_store_n(&segment->groups[group].habits[is_stream], (apr_uint32_t)habit,
                         __ATOMIC_RELAXED);
    }
}

apr_status_t apipool_pool_enter_queue(apipool_segment_t *segment, const apipool_wanted_t *wanted,
                                      apr_uint32_t *waiter)
{
    apr_status_t rv = apipool_segment_lock(segment);
    *waiter = APIPOOL_NONE;
    if (rv == APR_SUCCESS) {
        *waiter = apipool_queue_enter_locked(segment, wanted->pool, wanted->waits_for);
        apipool_segment_unlock(segment);
    }
    return rv;
}

apr_status_t apipool_pool_leave_queue(apipool_segment_t *segment, apr_uint32_t waiter)
{
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv == APR_SUCCESS) {
        apipool_queue_leave_locked(segment, waiter);
        apipool_segment_unlock(segment);
    }
    return rv;
}

/* What nobody will ever tell the result of. */
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

apr_status_t apipool_pool_reclaim(apipool_segment_t *segment, apr_uint32_t process)
{
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    for (apr_uint32_t i = 0; i < segment->header->holders_used; i++) {
        if (segment->holders[i].process == process) {
            give_back(&segment->slots[segment->holders[i].slot], segment->holders[i].purpose);
            apipool_members_settle_locked(segment, segment->holders[i].slot);
            apipool_slot_let_go_locked(segment, i);
        }
    }
    apipool_queue_reclaim_locked(segment, process);
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}

apr_status_t apipool_pool_reclaim_all(apipool_segment_t *segment)
{
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    for (apr_uint32_t i = 0; i < segment->header->slots_used; i++) {
        segment->slots[i].in_flight = 0;
        segment->slots[i].proving = 0;
        segment->slots[i].probing = 0;
        apipool_members_settle_locked(segment, i);
    }
    segment->header->holders_used = 0;
    segment->header->holders_free = APIPOOL_NONE;
    apipool_queue_reclaim_locked(segment, 0);
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}

/* A pool of the main server is hidden by one of the same name. */
static int is_seen_by(const apipool_segment_t *segment, apr_uint32_t pool, const char *server)
{
    const apipool_shared_pool_t *p = &segment->pools[pool];
    int own = !strcmp(p->server, server);
    if (!p->configured || (!own && *p->server)) {
        return 0;
    }
    for (apr_uint32_t i = 0; !own && i < segment->header->pools_used; i++) {
        const apipool_shared_pool_t *other = &segment->pools[i];
        if (other->configured && !strcmp(other->server, server) && !strcmp(other->name, p->name)) {
            return 0;
        }
    }
    return 1;
}

void apipool_pool_each_group(const apipool_segment_t *segment, const char *server,
                             void (*each)(void *ctx, const char *pool, const char *upstream,
                                          apr_uint32_t group),
                             void *ctx)
{
    for (apr_uint32_t pool = 0; pool < segment->header->pools_used; pool++) {
        for (apr_uint32_t i = 0;
             is_seen_by(segment, pool, server) && i < segment->header->groups_used; i++) {
            const apipool_group_t *g = &segment->groups[i];
            if (g->configured && g->pool == pool) {
                each(ctx, segment->pools[pool].name, g->name, i);
            }
        }
    }
}

apr_status_t apipool_pool_each_unused(apipool_segment_t *segment,
                                      void (*each)(void *ctx, const char *pool,
                                                   const char *upstream, apr_uint32_t keys),
                                      void *ctx)
{
    apr_status_t rv = APR_SUCCESS;
    for (apr_uint32_t i = 0; rv == APR_SUCCESS && i < segment->header->groups_used; i++) {
        const apipool_group_t *g = &segment->groups[i];
        apr_uint32_t keys = 0;
        if (g->configured && segment->pools[g->pool].configured) {
            continue;
        }
        rv = apipool_segment_lock(segment);
        if (rv == APR_SUCCESS) {
            keys = apipool_members_count_locked(segment, i);
            apipool_segment_unlock(segment);
        }
        if (keys) {
            each(ctx, segment->pools[g->pool].name, g->name, keys);
        }
    }
    return rv;
}

apr_uint32_t apipool_pool_of(const apipool_segment_t *segment, apr_uint32_t group)
{
    return segment->groups[group].pool;
}

/* The member of that ordinal, or NULL where it is spare. */
static const apipool_slot_t *member_locked(apipool_segment_t *segment, apr_uint32_t group,
                                           apr_uint32_t ordinal)
{
    apr_uint32_t index = apipool_members_at_locked(segment, group, ordinal);
    const apipool_slot_t *slot = &segment->slots[index];
    int is_member =
        index < segment->header->slots_used && slot->group == group && slot->ordinal == ordinal;
    return is_member ? slot : NULL;
}

/* The members of one batch; O(1) in the number of keys. */
static void add_up_locked(apipool_segment_t *segment, apr_uint32_t group, apr_uint32_t from,
                          apr_time_t now, apipool_totals_t *totals)
{
    const apipool_group_t *g = &segment->groups[group];
    for (apr_uint32_t i = from; i < from + TOTALS_BATCH && i < g->ordinals; i++) {
        const apipool_slot_t *slot = member_locked(segment, group, i);
        if (slot) {
            totals->keys[apipool_slot_state(slot, now)]++;
            totals->requests += slot->counts.requests + slot->in_flight;
            totals->successes += slot->counts.successes;
            totals->errors += slot->counts.errors;
            totals->in_flight += slot->in_flight;
        }
    }
}

apr_status_t apipool_pool_keys(apipool_segment_t *segment, apr_uint32_t group, apr_uint32_t *from,
                               apipool_key_row_t *rows, apr_uint32_t max, apr_uint32_t *count)
{
    const apipool_group_t *g = &segment->groups[group];
    apr_status_t rv = apipool_segment_lock(segment);
    apr_uint32_t i = *from;
    *count = 0;
    if (rv != APR_SUCCESS) {
        return rv;
    }
    for (; i < g->ordinals && i - *from < max; i++) {
        const apipool_slot_t *slot = member_locked(segment, group, i);
        if (slot) {
            rows[(*count)++] = (apipool_key_row_t){
                .id = slot->id,
                .state = slot->state,
                .in_flight = slot->in_flight,
                .requests = slot->counts.requests,
                .errors = slot->counts.errors,
                .prompt = slot->counts.prompt,
                .completion = slot->counts.completion,
                .cached = slot->counts.cached,
            };
        }
    }
    *from = i < g->ordinals ? i : APIPOOL_NONE;
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}

apr_status_t apipool_pool_totals(apipool_segment_t *segment, apr_uint32_t group, apr_time_t now,
                                 apipool_totals_t *totals)
{
    const apipool_group_t *g = &segment->groups[group];
    apr_uint32_t from = 0;
    memset(totals, 0, sizeof(*totals));
    for (;; from += TOTALS_BATCH) {
        apr_status_t rv = apipool_segment_lock(segment);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        add_up_locked(segment, group, from, now, totals);
        memcpy(totals->rules, g->rules, sizeof(totals->rules));
        memcpy(totals->endings, g->endings, sizeof(totals->endings));
        apipool_numbers_read(&g->numbers, now, &totals->numbers);
        totals->paused_until = apipool_trouble_until_locked(g, 0, 0, now);
        int more = from + TOTALS_BATCH < g->ordinals;
        apipool_segment_unlock(segment);
        if (!more) {
            return APR_SUCCESS;
        }
    }
}
