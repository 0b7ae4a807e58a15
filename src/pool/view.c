/* SPDX-License-Identifier: Apache-2.0
 * Copies of pools, upstreams and keys for readers. */
#include "view.h"

#include <apr_strings.h>
#include <math.h>
#include <string.h>

#include "arena.h"
#include "health.h"
#include "keys.h"
#include "slots.h"

#define KEYS_BATCH 16 /* whole keys copied per lock */

int apipool_view_has_pool(const apipool_segment_t *segment, apr_uint32_t pool)
{
    return pool < segment->header->pools_used;
}

const char *apipool_view_pool_name(const apipool_segment_t *segment, apr_uint32_t pool)
{
    return apipool_view_has_pool(segment, pool) ? segment->pools[pool].name : "";
}

const char *apipool_view_upstream_name(const apipool_segment_t *segment, apr_uint32_t upstream)
{
    return upstream < segment->header->upstreams_used ? segment->upstreams[upstream].name : "";
}

apr_uint32_t apipool_view_next_upstream(const apipool_segment_t *segment, apr_uint32_t pool,
                                        apr_uint32_t from)
{
    while (from < segment->header->upstreams_used && segment->upstreams[from].pool != pool) {
        from++;
    }
    return from < segment->header->upstreams_used ? from : APIPOOL_NONE;
}

apr_uint32_t apipool_view_find_upstream(const apipool_segment_t *segment, apr_uint32_t pool,
                                        const char *name)
{
    apr_uint32_t upstream = apipool_view_next_upstream(segment, pool, 0);
    while (upstream != APIPOOL_NONE &&
           strcmp(apipool_view_upstream_name(segment, upstream), name)) {
        upstream = apipool_view_next_upstream(segment, pool, upstream + 1);
    }
    return upstream;
}

apr_status_t apipool_view_rules(apipool_segment_t *segment, apr_uint32_t pool,
                                apr_uint64_t counts[APIPOOL_RULE_COUNT])
{
    memset(counts, 0, APIPOOL_RULE_COUNT * sizeof(*counts));
    for (apr_uint32_t i = apipool_view_next_upstream(segment, pool, 0); i != APIPOOL_NONE;
         i = apipool_view_next_upstream(segment, pool, i + 1)) {
        apr_status_t rv = apipool_segment_lock(segment);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        for (int rule = 0; rule < APIPOOL_RULE_COUNT; rule++) {
            counts[rule] += segment->upstreams[i].rules[rule];
        }
        apipool_segment_unlock(segment);
    }
    return APR_SUCCESS;
}

/* What the limits count, so that nobody sees a key refused below its limit. */
static apr_int64_t used_of(const apipool_slot_t *slot, int window, apr_time_t now)
{
    return (apr_int64_t)apipool_window_sum(&slot->windows[window], apipool_window_span(window),
                                           now);
}

/* A sum or time as a double is exact up to 2^53. */
static double value_of(const apipool_segment_t *segment, const apipool_slot_t *slot,
                       apipool_key_sort_e sort, apr_time_t now)
{
    const apipool_counts_t *counts = &slot->counts;
    switch (sort) {
    case APIPOOL_SORT_ADDED:
        return (double)slot->added_at;
    case APIPOOL_SORT_STATE:
        return apipool_slot_state(segment, slot, now);
    case APIPOOL_SORT_WEIGHT:
        return slot->weight;
    case APIPOOL_SORT_IN_FLIGHT:
        return slot->in_flight;
    case APIPOOL_SORT_REQUESTS:
        return (double)counts->requests;
    case APIPOOL_SORT_ERRORS:
        return (double)counts->errors;
    case APIPOOL_SORT_ERROR_STREAK:
        return slot->error_streak;
    case APIPOOL_SORT_SUCCESS_RATE:
        return counts->successes || counts->errors ? counts->success : NAN;
    case APIPOOL_SORT_RPM:
        return (double)used_of(slot, APIPOOL_RPM, now);
    case APIPOOL_SORT_RPD:
        return (double)used_of(slot, APIPOOL_RPD, now);
    case APIPOOL_SORT_TPM:
        return (double)used_of(slot, APIPOOL_TPM, now);
    case APIPOOL_SORT_TPD:
        return (double)used_of(slot, APIPOOL_TPD, now);
    case APIPOOL_SORT_TOTAL_TOKENS:
        return (double)counts->total;
    case APIPOOL_SORT_BALANCE:
        return slot->read_at ? slot->balance : NAN;
    case APIPOOL_SORT_LAST_USED:
        return slot->last_used_at ? (double)slot->last_used_at : NAN;
    case APIPOOL_SORT_LATENCY:
        return counts->timed ? counts->latency : NAN;
    default: /* by text or id */
        return 0;
    }
}

static void copy_row_locked(const apipool_segment_t *segment, const apipool_slot_t *slot,
                            const apipool_view_query_t *query, apipool_view_row_t *row)
{
    row->id = slot->id;
    row->slot = (apr_uint32_t)(slot - segment->slots);
    row->upstream = slot->upstream;
    row->value = value_of(segment, slot, query->value, query->now);
    *row->masked = *row->label = *row->account = '\0';
    if (query->texts & APIPOOL_VIEW_MASKED) {
        apipool_key_mask(apipool_slot_secret_locked(segment, slot), slot->secret_len, row->masked);
    }
    if (query->texts & APIPOOL_VIEW_LABEL) {
        apr_cpystrn(row->label, apipool_slot_label_locked(segment, slot), sizeof(row->label));
    }
    if (query->texts & APIPOOL_VIEW_ACCOUNT) {
        apr_cpystrn(row->account, apipool_slot_account_locked(segment, slot), sizeof(row->account));
    }
}

static int matches(const apipool_segment_t *segment, const apipool_slot_t *slot,
                   const apipool_view_query_t *query)
{
    return slot->id && slot->pool == query->pool &&
           (query->upstream == APIPOOL_NONE || slot->upstream == query->upstream) &&
           (!query->states ||
            query->states & (1u << apipool_slot_state(segment, slot, query->now)));
}

/* Looks without the lock, which is not taken if there is nothing, and maps new pages before it
 * is taken. */
static int may_have(const apipool_segment_t *segment, apr_uint32_t pool, apr_uint32_t from,
                    apr_uint32_t end)
{
    int found = 0;
    for (; from < end; from++) {
        found |= __atomic_load_n(&segment->slots[from].pool, __ATOMIC_RELAXED) == pool &&
                 __atomic_load_n(&segment->slots[from].id, __ATOMIC_RELAXED);
    }
    return found;
}

apr_status_t apipool_view_rows(apipool_segment_t *segment, const apipool_view_query_t *query,
                               apr_uint32_t *from, apipool_view_row_t *rows, apr_uint32_t *count)
{
    apr_uint32_t used = __atomic_load_n(&segment->header->slots.used, __ATOMIC_RELAXED);
    apr_uint32_t i = *from;
    apr_uint32_t end = i < used && used - i > APIPOOL_VIEW_BATCH ? i + APIPOOL_VIEW_BATCH : used;
    *count = 0;
    if (may_have(segment, query->pool, i, end)) {
        apr_status_t rv = apipool_segment_lock(segment);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        for (; i < end && i < segment->header->slots.used; i++) {
            if (matches(segment, &segment->slots[i], query)) {
                copy_row_locked(segment, &segment->slots[i], query, &rows[(*count)++]);
            }
        }
        apipool_segment_unlock(segment);
    }
    *from = end < used ? end : APIPOOL_NONE;
    return APR_SUCCESS;
}

static void copy_error_locked(const apipool_slot_t *slot, apipool_key_info_t *info)
{
    if (slot->last_error_at && slot->last_rule < APIPOOL_RULE_COUNT) { /* else all of it is zero */
        info->last_error_at = slot->last_error_at;
        info->last_status = (int)slot->last_status;
        info->last_rule = apipool_rule_name((apipool_rule_e)slot->last_rule);
        info->last_message = apipool_rule_meaning((apipool_rule_e)slot->last_rule);
    }
}

static void copy_key_locked(const apipool_segment_t *segment, const apipool_slot_t *slot,
                            apr_time_t now, apipool_view_key_t *key)
{
    apipool_key_info_t *info = &key->info;
    /* Upstreams that are no longer configured are not probed. */
    int is_probed =
        apipool_health_is_recovering(slot->state) && segment->upstreams[slot->upstream].configured;
    key->found = 1;
    key->upstream = slot->upstream;
    apr_cpystrn(key->label, apipool_slot_label_locked(segment, slot), sizeof(key->label));
    apr_cpystrn(key->account, apipool_slot_account_locked(segment, slot), sizeof(key->account));
    info->id = slot->id;
    apipool_key_mask(apipool_slot_secret_locked(segment, slot), slot->secret_len, info->masked);
    info->weight = slot->weight;
    info->state = apipool_slot_state(segment, slot, now);
    info->is_enabled = slot->state != APIPOOL_STATE_DISABLED;
    info->cooling_until = info->state == APIPOOL_STATE_COOLING ? slot->until[0] : 0;
    info->next_probe_at = is_probed ? slot->until[0] : 0;
    info->added_at = slot->added_at;
    info->last_used_at = slot->last_used_at;
    copy_error_locked(slot, info);
    apr_cpystrn(info->last_words, apipool_slot_words_locked(segment, slot),
                sizeof(info->last_words));
    info->reason = apipool_slot_reason(slot);
    info->reason_code = apipool_slot_reason_code(slot);
    info->error_streak = slot->error_streak;
    info->in_flight = slot->in_flight;
    apipool_counts_read(&slot->counts, slot->windows, now, &info->counters);
    info->counters.rpm = used_of(slot, APIPOOL_RPM, now);
    info->counters.rpd = used_of(slot, APIPOOL_RPD, now);
    info->counters.tpm = used_of(slot, APIPOOL_TPM, now);
    info->counters.tpd = used_of(slot, APIPOOL_TPD, now);
    info->balance_at = slot->read_at;
    apipool_slot_balances_locked(slot, &info->balances);
    info->limits = slot->limits;
}

/* Slot of a key, tried first at its last known slot. */
static apr_uint32_t find_again_locked(apipool_segment_t *segment, apr_uint32_t pool,
                                      apr_uint64_t id, apr_uint32_t slot)
{
    int still_there = slot < segment->header->slots.used && segment->slots[slot].id == id &&
                      segment->slots[slot].pool == pool;
    return still_there ? slot : apipool_pool_find_locked(segment, pool, id);
}

apipool_key_limits_t apipool_view_limits(const apipool_key_limits_t *own,
                                         const apipool_key_limits_t *defaults)
{
    return (apipool_key_limits_t){.rpm = apipool_limit_in_force(own, defaults, APIPOOL_RPM),
                                  .rpd = apipool_limit_in_force(own, defaults, APIPOOL_RPD),
                                  .tpm = apipool_limit_in_force(own, defaults, APIPOOL_TPM),
                                  .tpd = apipool_limit_in_force(own, defaults, APIPOOL_TPD),
                                  .concurrency = apipool_concurrency_in_force(own, defaults)};
}

apr_status_t apipool_view_keys(apipool_segment_t *segment, apr_uint32_t pool,
                               const apr_uint64_t *ids, const apr_uint32_t *slots,
                               apr_uint32_t count, apr_time_t now, apipool_view_key_t *keys)
{
    memset(keys, 0, count * sizeof(*keys));
    for (apr_uint32_t done = 0; done < count;) {
        apr_status_t rv = apipool_segment_lock(segment);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        for (int i = 0; i < KEYS_BATCH && done < count; i++, done++) {
            apr_uint32_t seen = slots ? slots[done] : APIPOOL_NONE;
            apr_uint32_t index =
                ids[done] ? find_again_locked(segment, pool, ids[done], seen) : APIPOOL_NONE;
            if (index != APIPOOL_NONE) {
                copy_key_locked(segment, &segment->slots[index], now, &keys[done]);
            }
        }
        apipool_segment_unlock(segment);
    }
    return APR_SUCCESS;
}

apr_status_t apipool_view_secret(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t id,
                                 apipool_lease_t *secret)
{
    apr_uint32_t index;
    apr_status_t rv = id ? apipool_pool_lock_key(segment, pool, id, &index) : APR_NOTFOUND;
    if (rv == APR_SUCCESS) {
        apipool_slot_fill_lease_locked(segment, index, 0, secret);
        apipool_segment_unlock(segment);
    }
    return rv;
}
