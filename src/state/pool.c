/* SPDX-License-Identifier: Apache-2.0
 * The keys of all pools: adding, lending, reporting. */
#include "pool.h"

#include <apr_strings.h>
#include <openssl/crypto.h>
#include <string.h>

#include "members.h"

#define SPREAD_ALL   16 /* pools up to this size are compared whole */
#define SPREAD_DRAWN 4  /* of larger ones this many keys are drawn */
#define WAKE_BATCH   64 /* keys that one acquire returns to the rotation at most, per group */
#define TOTALS_BATCH 4096

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
        header->pools_used++;
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
        apr_cpystrn(segment->groups[i].name, upstream, APIPOOL_NAME_MAX);
        header->groups_used++;
    }
    apipool_segment_unlock(segment);
    *group = i;
    return rv;
}

static apr_uint32_t *head_of(apipool_segment_t *segment, apr_uint64_t id)
{
    return &segment->heads[id & (segment->header->heads - 1)];
}

static apr_uint32_t find_locked(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t id)
{
    apr_uint32_t i = *head_of(segment, id);
    while (i != APIPOOL_NONE && (segment->slots[i].id != id || segment->slots[i].pool != pool)) {
        i = segment->slots[i].next;
    }
    return i;
}

static int store_secret_locked(apipool_segment_t *segment, apipool_slot_t *slot, const char *key,
                               apr_size_t len)
{
    char *where = slot->secret;
    slot->secret_len = (apr_uint32_t)len;
    slot->secret_off = 0;
    if (len > APIPOOL_KEY_INLINE) {
        slot->secret_off = apr_rmm_malloc(segment->rmm, len);
        if (!slot->secret_off) {
            return 0;
        }
        where = apr_rmm_addr_get(segment->rmm, slot->secret_off);
    }
    memcpy(where, key, len);
    return 1;
}

static apipool_added_e add_locked(apipool_segment_t *segment, apr_uint32_t group, apr_uint64_t id,
                                  const char *key, apr_size_t len, int enabled, apr_time_t now)
{
    apipool_header_t *header = segment->header;
    apr_uint32_t pool = segment->groups[group].pool;
    apr_uint32_t index = find_locked(segment, pool, id);

    if (index != APIPOOL_NONE) {
        if (segment->slots[index].group == group) {
            return APIPOOL_DUPLICATE;
        }
        if (!apipool_members_reserve_locked(segment, group)) {
            return APIPOOL_FULL;
        }
        apipool_members_remove_locked(segment, index);
        apipool_members_add_locked(segment, group, index);
        return APIPOOL_DUPLICATE;
    }
    index = header->slots_used;
    if (index == header->capacity || !apipool_members_reserve_locked(segment, group)) {
        return APIPOOL_FULL;
    }
    apipool_slot_t *slot = &segment->slots[index];
    if (!store_secret_locked(segment, slot, key, len)) {
        return APIPOOL_FULL;
    }
    header->slots_used++;
    slot->id = id;
    slot->pool = pool;
    slot->state = enabled ? APIPOOL_STATE_ACTIVE : APIPOOL_STATE_DISABLED;
    slot->added_at = now;
    slot->next = *head_of(segment, id);
    *head_of(segment, id) = index;
    apipool_members_add_locked(segment, group, index);
    return APIPOOL_ADDED;
}

apr_status_t apipool_pool_add(apipool_segment_t *segment, apr_uint32_t group, const char *key,
                              apr_size_t len, int enabled, apr_time_t now, apipool_added_e *added)
{
    apr_uint64_t id = apipool_key_id(segment->header->secret, key, len);
    apr_status_t rv = id ? apipool_segment_lock(segment) : APR_EGENERAL;
    if (rv != APR_SUCCESS) {
        return rv;
    }
    *added = add_locked(segment, group, id, key, len, enabled, now);
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}

static void wake_locked(apipool_segment_t *segment, apr_uint32_t group, apr_time_t now)
{
    for (int i = 0; i < WAKE_BATCH; i++) {
        apr_uint32_t index = apipool_members_first_waiting_locked(segment, group);
        if (index == APIPOOL_NONE || segment->slots[index].cooling_until > now) {
            return;
        }
        apipool_slot_t *slot = &segment->slots[index];
        slot->state = apipool_health_next(slot->state, APIPOOL_EVENT_EXPIRED);
        apipool_members_settle_locked(segment, index);
    }
}

static apr_uint32_t usable_locked(const apipool_segment_t *segment, const apipool_wanted_t *wanted)
{
    apr_uint32_t total = 0;
    for (int i = 0; i < wanted->group_count; i++) {
        total += segment->groups[wanted->groups[i]].usable;
    }
    return total;
}

/* The usable keys of all groups in one row, each group's in its own order. */
static apr_uint32_t nth_usable_locked(apipool_segment_t *segment, const apipool_wanted_t *wanted,
                                      apr_uint32_t n)
{
    int i = 0;
    while (n >= segment->groups[wanted->groups[i]].usable) {
        n -= segment->groups[wanted->groups[i++]].usable;
    }
    return apipool_members_usable_locked(segment, wanted->groups[i], n);
}

static int was_tried(const apipool_wanted_t *wanted, apr_uint32_t index)
{
    for (int i = 0; i < wanted->tried_count; i++) {
        if (wanted->tried[i] == index) {
            return 1;
        }
    }
    return 0;
}

/* From start on, the first key not yet tried. A request has tried few, so this ends soon. */
static apr_uint32_t next_untried_locked(apipool_segment_t *segment, const apipool_wanted_t *wanted,
                                        apr_uint32_t start, apr_uint32_t total)
{
    apr_uint32_t steps = (apr_uint32_t)wanted->tried_count + 1;
    for (apr_uint32_t i = 0; i < total && i < steps; i++) {
        apr_uint32_t index = nth_usable_locked(segment, wanted, (start + i) % total);
        if (!was_tried(wanted, index)) {
            return index;
        }
    }
    return APIPOOL_NONE;
}

static apr_uint32_t choose_spread_locked(apipool_segment_t *segment, const apipool_wanted_t *wanted,
                                         apr_uint32_t total)
{
    apr_uint32_t drawn[SPREAD_ALL];
    apipool_candidate_t candidates[SPREAD_ALL];
    int count = 0;
    apr_uint32_t wish = total <= SPREAD_ALL ? total : SPREAD_DRAWN;

    for (apr_uint32_t i = 0; i < wish; i++) {
        apr_uint32_t n = wish == total ? i : apipool_segment_draw_locked(segment, total);
        apr_uint32_t index = nth_usable_locked(segment, wanted, n);
        if (!was_tried(wanted, index)) {
            const apipool_slot_t *slot = &segment->slots[index];
            candidates[count].in_flight = slot->in_flight;
            candidates[count].last_used_at = slot->last_used_at;
            drawn[count++] = index;
        }
    }
    if (count == 0) {
        return next_untried_locked(segment, wanted, apipool_segment_draw_locked(segment, total),
                                   total);
    }
    return drawn[apipool_select(wanted->strategy, candidates, count)];
}

static apr_uint32_t choose_locked(apipool_segment_t *segment, const apipool_wanted_t *wanted,
                                  apr_uint32_t total)
{
    if (apipool_strategy_sample(wanted->strategy) == APIPOOL_SAMPLE_SPREAD) {
        return choose_spread_locked(segment, wanted, total);
    }
    return next_untried_locked(segment, wanted, segment->pools[wanted->pool].turn++ % total, total);
}

static apr_time_t first_wake_locked(apipool_segment_t *segment, const apipool_wanted_t *wanted)
{
    apr_time_t first = 0;
    for (int i = 0; i < wanted->group_count; i++) {
        apr_uint32_t index = apipool_members_first_waiting_locked(segment, wanted->groups[i]);
        if (index != APIPOOL_NONE && (!first || segment->slots[index].cooling_until < first)) {
            first = segment->slots[index].cooling_until;
        }
    }
    return first;
}

/* Names this process as the holder of a lease. With more leases than entries, which no httpd is likely to
 * reach, some are held without a name and would be lost with their process. */
static apr_uint32_t hold_locked(apipool_segment_t *segment, apr_uint32_t index)
{
    apipool_header_t *header = segment->header;
    apr_uint32_t i = header->holders_free;
    if (i != APIPOOL_NONE) {
        header->holders_free = segment->holders[i].slot;
    }
    else if (header->holders_used < APIPOOL_HOLDERS_MAX) {
        i = header->holders_used++;
    }
    else {
        return APIPOOL_NONE;
    }
    segment->holders[i].process = segment->process;
    segment->holders[i].slot = index;
    return i;
}

static void let_go_locked(apipool_segment_t *segment, apr_uint32_t holder)
{
    if (holder != APIPOOL_NONE) {
        segment->holders[holder].process = 0;
        segment->holders[holder].slot = segment->header->holders_free;
        segment->header->holders_free = holder;
    }
}

static void lend_locked(apipool_segment_t *segment, apr_uint32_t index, apr_time_t now,
                        apipool_lease_t *lease)
{
    apipool_slot_t *slot = &segment->slots[index];
    slot->in_flight++;
    slot->requests++;
    slot->last_used_at = now;
    lease->slot = index;
    lease->holder = hold_locked(segment, index);
    lease->group = slot->group;
    lease->id = slot->id;
    lease->len = slot->secret_len;
    memcpy(lease->key,
           slot->secret_off ? apr_rmm_addr_get(segment->rmm, slot->secret_off) : slot->secret,
           slot->secret_len);
    lease->key[slot->secret_len] = '\0';
}

apr_status_t apipool_pool_acquire(apipool_segment_t *segment, const apipool_wanted_t *wanted,
                                  apr_time_t now, apipool_lease_t *lease,
                                  apipool_acquired_e *result, apr_time_t *retry_at)
{
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    for (int i = 0; i < wanted->group_count; i++) {
        wake_locked(segment, wanted->groups[i], now);
    }
    apr_uint32_t total = usable_locked(segment, wanted);
    apr_uint32_t index = total ? choose_locked(segment, wanted, total) : APIPOOL_NONE;
    *retry_at = 0;
    if (index != APIPOOL_NONE) {
        lend_locked(segment, index, now, lease);
        *result = APIPOOL_ACQUIRED;
    }
    else if (total) {
        *result = APIPOOL_ALL_TRIED;
    }
    else {
        *retry_at = first_wake_locked(segment, wanted);
        *result = *retry_at ? APIPOOL_ALL_COOLING : APIPOOL_EXHAUSTED;
    }
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}

static void count_locked(apipool_slot_t *slot, const apipool_report_t *report, apr_time_t now)
{
    slot->in_flight--;
    if (report->event == APIPOOL_EVENT_SUCCESS) {
        slot->successes++;
        if (slot->state == APIPOOL_STATE_ACTIVE) { /* not a late one, from before the limit */
            slot->limited_streak = 0;
        }
        slot->error_streak = 0;
    }
    else if (report->event != APIPOOL_EVENT_NONE) {
        slot->errors++;
        slot->error_streak++;
        slot->last_status = (apr_uint32_t)report->status;
        slot->last_error_at = now;
    }
}

apr_status_t apipool_pool_report(apipool_segment_t *segment, const apipool_lease_t *lease,
                                 const apipool_report_t *report, apr_time_t now)
{
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apipool_slot_t *slot = &segment->slots[lease->slot];
    apipool_state_e state = apipool_health_next(slot->state, report->event);
    let_go_locked(segment, lease->holder);
    count_locked(slot, report, now);
    if (report->event == APIPOOL_EVENT_RATE_LIMITED && state == APIPOOL_STATE_COOLING) {
        slot->cooling_until =
            apipool_health_cool_until(slot->cooling_until, report->retry_at, slot->limited_streak++,
                                      now, report->cooldown_min, report->cooldown_max);
        slot->state = state;
        apipool_members_settle_locked(segment, lease->slot);
    }
    else if (state != slot->state) {
        slot->state = state;
        apipool_members_settle_locked(segment, lease->slot);
    }
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}

void apipool_lease_wipe(apipool_lease_t *lease)
{
    OPENSSL_cleanse(lease->key, sizeof(lease->key)); /* an earlier one may have been longer */
    lease->len = 0;
}

apr_status_t apipool_pool_reclaim(apipool_segment_t *segment, apr_uint32_t process)
{
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    for (apr_uint32_t i = 0; i < segment->header->holders_used; i++) {
        if (segment->holders[i].process == process) {
            segment->slots[segment->holders[i].slot].in_flight--;
            let_go_locked(segment, i);
        }
    }
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
    }
    segment->header->holders_used = 0;
    segment->header->holders_free = APIPOOL_NONE;
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}

apr_status_t apipool_pool_totals(apipool_segment_t *segment, apr_uint32_t pool,
                                 apipool_totals_t *totals)
{
    memset(totals, 0, sizeof(*totals));
    for (apr_uint32_t i = 0; i < segment->header->slots_used;) {
        apr_status_t rv = apipool_segment_lock(segment);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        apr_uint32_t end = i + TOTALS_BATCH;
        for (; i < end && i < segment->header->slots_used; i++) {
            const apipool_slot_t *slot = &segment->slots[i];
            if (slot->pool == pool) {
                totals->keys[slot->state]++;
                totals->requests += slot->requests;
                totals->successes += slot->successes;
                totals->errors += slot->errors;
                totals->in_flight += slot->in_flight;
            }
        }
        apipool_segment_unlock(segment);
    }
    return APR_SUCCESS;
}
