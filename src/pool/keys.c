/* SPDX-License-Identifier: Apache-2.0
 * Adding, changing and removing keys. */
#include "keys.h"

#include <apr_strings.h>
#include <string.h>

#include "account.h"
#include "arena.h"
#include "doubt.h"
#include "fault.h"
#include "health.h"
#include "members.h"
#include "slots.h"

#define LIFT_BATCH 256 /* keys per lock */

apr_uint32_t apipool_pool_find_locked(apipool_segment_t *segment, apr_uint32_t pool,
                                      apr_uint64_t id)
{
    apr_uint32_t i = apipool_hash_table_first(&segment->slot_table, id);
    while (i != APIPOOL_NONE && (segment->slots[i].id != id || segment->slots[i].pool != pool)) {
        i = apipool_hash_table_next(&segment->slot_table, i);
    }
    return i;
}

apr_status_t apipool_pool_lock_key(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t id,
                                   apr_uint32_t *index)
{
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    *index = apipool_pool_find_locked(segment, pool, id);
    if (*index == APIPOOL_NONE) {
        apipool_segment_unlock(segment);
        return APR_NOTFOUND;
    }
    return APR_SUCCESS;
}

/* --- Changing --- */

static apr_uint32_t given_or(apr_uint32_t given, apr_uint32_t otherwise)
{
    return given ? given : otherwise;
}

int apipool_key_patch_locked(const apipool_segment_t *segment, apr_uint32_t index,
                             apr_uint32_t upstream, const apipool_key_item_t *item,
                             apipool_key_patch_t *patch)
{
    const apipool_slot_t *slot = &segment->slots[index];
    const apipool_key_limits_t *given = &item->limits, *known = &slot->limits;
    apipool_key_edit_t *edit = &patch->edit;
    memset(patch, 0, sizeof(*patch));
    patch->upstream = upstream == slot->upstream ? APIPOOL_NONE : upstream;
    edit->limits =
        (apipool_key_limits_t){given_or(given->rpm, known->rpm), given_or(given->rpd, known->rpd),
                               given_or(given->tpm, known->tpm), given_or(given->tpd, known->tpd),
                               given_or(given->concurrency, known->concurrency)};
    if (memcmp(&edit->limits, known, sizeof(*known))) {
        edit->set |= APIPOOL_SET_LIMITS;
    }
    if (item->weight && item->weight != slot->weight) {
        edit->set |= APIPOOL_SET_WEIGHT;
        edit->weight = item->weight;
    }
    if (item->label && strcmp(item->label, apipool_slot_label_locked(segment, slot))) {
        edit->set |= APIPOOL_SET_LABEL;
        edit->label = item->label;
    }
    if (item->account && (apipool_hash(item->account) != slot->account ||
                          strcmp(item->account, apipool_slot_account_locked(segment, slot)))) {
        edit->set |= APIPOOL_SET_ACCOUNT;
        edit->account = item->account;
    }
    return edit->set || patch->upstream != APIPOOL_NONE;
}

static void forget_errors(apipool_segment_t *segment, apr_uint32_t index)
{
    apipool_slot_t *slot = &segment->slots[index];
    apipool_doubt_forget_locked(segment, index);
    slot->limited_streak = slot->error_streak = slot->failed_streak = slot->recover_tries = 0;
    slot->round = 0;
    slot->rests_until = 0;
    slot->low = 0;
    slot->success = 1;
}

static void limit(apipool_segment_t *segment, apr_uint32_t index,
                  const apipool_key_limits_t *limits)
{
    apipool_slot_t *slot = &segment->slots[index];
    slot->limits = *limits;
    apipool_slot_lift_locked(segment, index);
    if (slot->concurrency && limits->concurrency) { /* otherwise the next request sets it */
        slot->concurrency = limits->concurrency;
        apipool_members_settle_locked(segment, index);
    }
}

static void enable(apipool_segment_t *segment, apr_uint32_t index, int enabled)
{
    apipool_slot_t *slot = &segment->slots[index];
    int is_enabled = slot->state != APIPOOL_STATE_DISABLED;
    if (enabled && !is_enabled) {
        forget_errors(segment, index);
        apipool_members_warm_locked(segment, index);
    }
    if (enabled != is_enabled) {
        apipool_event_e event = enabled ? APIPOOL_EVENT_ENABLED : APIPOOL_EVENT_DISABLED;
        apipool_slot_move_locked(segment, index, apipool_health_next(slot->state, event), 0);
    }
}

static void move(apipool_segment_t *segment, apr_uint32_t index, apr_uint32_t upstream)
{
    apipool_doubt_forget_locked(segment, index);
    apipool_members_remove_locked(segment, index);
    APIPOOL_FAULT("move-in-neither");
    segment->slots[index].failed_streak = 0; /* it compares with the other keys of the upstream */
    segment->slots[index].round = 0;
    segment->slots[index].pool = segment->upstreams[upstream].pool;
    apipool_members_add_locked(segment, upstream, index);
}

static apr_status_t patch_locked(apipool_segment_t *segment, apr_uint32_t index,
                                 const apipool_key_patch_t *patch)
{
    apipool_slot_t *slot = &segment->slots[index];
    const apipool_key_edit_t *edit = &patch->edit;
    if (patch->upstream != APIPOOL_NONE &&
        !apipool_members_reserve_locked(segment, patch->upstream)) {
        return APR_ENOSPC;
    }
    if (!apipool_slot_describe_locked(
            segment, slot,
            edit->set & APIPOOL_SET_LABEL ? edit->label : apipool_slot_label_locked(segment, slot),
            edit->set & APIPOOL_SET_ACCOUNT ? edit->account
                                            : apipool_slot_account_locked(segment, slot))) {
        return APR_ENOSPC;
    }
    if (patch->upstream != APIPOOL_NONE) {
        move(segment, index, patch->upstream);
    }
    if (edit->set & APIPOOL_SET_ACCOUNT) {
        slot->account = apipool_hash(edit->account);
    }
    if (edit->set & APIPOOL_SET_WEIGHT) {
        slot->weight = edit->weight;
    }
    if (edit->set & APIPOOL_SET_LIMITS) {
        limit(segment, index, &edit->limits);
    }
    if (edit->set & APIPOOL_SET_ENABLED) {
        enable(segment, index, edit->enabled);
    }
    segment->header->store.changes++;
    return APR_SUCCESS;
}

/* --- Adding and removing --- */

/* The slot counts as a key once it has an id, so the id is written last. */
static apipool_added_e add_locked(apipool_segment_t *segment, apr_uint32_t upstream,
                                  apr_uint64_t id, const apipool_key_item_t *item, apr_time_t now)
{
    apr_uint32_t index = apipool_members_reserve_locked(segment, upstream)
                             ? apipool_slot_take_locked(segment)
                             : APIPOOL_NONE;
    if (index == APIPOOL_NONE) {
        return APIPOOL_FULL;
    }
    apipool_slot_t *slot = &segment->slots[index];
    if (!apipool_slot_store_secret_locked(segment, slot, item->key, item->len) ||
        !apipool_slot_describe_locked(segment, slot, item->label ? item->label : "",
                                      item->account ? item->account : "")) {
        apipool_slot_clear_locked(segment, index);
        return APIPOOL_FULL;
    }
    slot->pool = segment->upstreams[upstream].pool;
    slot->upstream = upstream;
    slot->state = item->enabled ? APIPOOL_STATE_ACTIVE : APIPOOL_STATE_DISABLED;
    slot->account = item->account ? apipool_hash(item->account) : 0;
    slot->added_at = now;
    slot->weight = item->weight ? item->weight : 1;
    slot->limits = item->limits;
    slot->success = 1;
    APIPOOL_FAULT("add-unnamed");
    APIPOOL_IN_ORDER();
    slot->id = id;
    APIPOOL_FAULT("add-unlinked");
    apipool_hash_table_link(&segment->slot_table, index, id);
    apipool_members_add_locked(segment, upstream, index);
    segment->header->store.changes++;
    return APIPOOL_ADDED;
}

apr_status_t apipool_pool_add(apipool_segment_t *segment, apr_uint32_t upstream,
                              const apipool_key_item_t *item, apr_time_t now,
                              apipool_added_e *added)
{
    apipool_key_patch_t patch;
    apr_uint64_t id = apipool_key_id(segment->header->store.secret, item->key, item->len);
    apr_status_t rv = id ? apipool_segment_lock(segment) : APR_EGENERAL;
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_uint32_t index = apipool_pool_find_locked(segment, segment->upstreams[upstream].pool, id);
    if (index == APIPOOL_NONE) {
        *added = add_locked(segment, upstream, id, item, now);
    }
    else {
        int changes = apipool_key_patch_locked(segment, index, upstream, item, &patch);
        *added = !changes || patch_locked(segment, index, &patch) == APR_SUCCESS ? APIPOOL_DUPLICATE
                                                                                 : APIPOOL_FULL;
    }
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}

static void add_block(apipool_capacity_t *capacity, apr_size_t bytes)
{
    apr_size_t block = apipool_arena_block(bytes);
    capacity->bytes += block;
    capacity->largest = capacity->largest > block ? capacity->largest : block;
}

void apipool_capacity_add(apipool_capacity_t *capacity, apr_size_t key, apr_size_t label,
                          apr_size_t account)
{
    if (key > APIPOOL_KEY_INLINE) {
        add_block(capacity, key);
    }
    if (label || account) {
        add_block(capacity, label + account + 2);
    }
}

/* Enlarges the arrays first. They are larger than what keys need, and stay if the change fails. */
apr_status_t apipool_pool_make_room(apipool_segment_t *segment, apr_uint32_t upstream,
                                    const apipool_capacity_t *capacity, int *has_room)
{
    const apipool_header_t *header = segment->header;
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv == APR_SUCCESS) {
        *has_room = capacity->keys <= header->capacity - header->slots.used + header->slots.spare &&
                    (!capacity->members ||
                     apipool_members_reserve_many_locked(segment, upstream, capacity->members)) &&
                    apipool_arena_has_locked(segment, capacity->bytes, capacity->largest);
        apipool_segment_unlock(segment);
    }
    return rv;
}

apr_status_t apipool_pool_edit(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t id,
                               const apipool_key_patch_t *patch)
{
    apr_uint32_t index;
    apr_status_t rv = apipool_pool_lock_key(segment, pool, id, &index);
    if (rv == APR_SUCCESS) {
        rv = patch_locked(segment, index, patch);
        apipool_segment_unlock(segment);
    }
    return rv;
}

apr_status_t apipool_pool_remove(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t id)
{
    apr_uint32_t index;
    apr_status_t rv = apipool_pool_lock_key(segment, pool, id, &index);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apipool_hash_table_unlink(&segment->slot_table, index, id);
    APIPOOL_FAULT("remove-unlinked");
    segment->slots[index].id = 0; /* from here on the key is gone */
    APIPOOL_IN_ORDER();
    apipool_members_remove_locked(segment, index);
    APIPOOL_FAULT("remove-uncleared");
    apipool_slot_clear_locked(segment, index);
    segment->header->store.changes++;
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}

/* Also forgets the limits of the account; otherwise the next request would take the key out
 * again. */
apr_status_t apipool_pool_reset(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t id)
{
    apr_uint32_t index;
    apr_status_t rv = apipool_pool_lock_key(segment, pool, id, &index);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apipool_slot_t *slot = &segment->slots[index];
    apipool_account_forget_locked(segment, pool, slot->account);
    forget_errors(segment, index);
    apipool_members_warm_locked(segment, index);
    if (slot->state != APIPOOL_STATE_DISABLED && slot->state != APIPOOL_STATE_ACTIVE) {
        apipool_slot_move_locked(segment, index, APIPOOL_STATE_ACTIVE, 0);
    }
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}

apr_status_t apipool_pool_lift(apipool_segment_t *segment, apr_uint32_t upstream,
                               const apipool_key_limits_t *limits, apr_time_t now)
{
    const apipool_upstream_t *u = &segment->upstreams[upstream];
    apr_status_t rv = APR_SUCCESS;
    for (apr_uint32_t i = 0; rv == APR_SUCCESS && i < u->list_used;) {
        rv = apipool_segment_lock(segment);
        for (int n = 0; rv == APR_SUCCESS && n < LIFT_BATCH && i < u->list_used; n++, i++) {
            apipool_slot_t *slot = apipool_members_slot_locked(segment, upstream, i);
            if (slot && apipool_slot_admits_at_locked(slot, limits, 1, now) == now) {
                apipool_slot_lift_locked(segment, (apr_uint32_t)(slot - segment->slots));
            }
        }
        if (rv == APR_SUCCESS) {
            apipool_segment_unlock(segment);
        }
    }
    return rv;
}

apr_status_t apipool_pool_set_account(apipool_segment_t *segment, apr_uint32_t pool,
                                      apr_uint64_t id, apr_uint64_t account)
{
    apr_uint32_t index;
    apr_status_t rv = apipool_pool_lock_key(segment, pool, id, &index);
    if (rv == APR_SUCCESS) {
        segment->slots[index].account = account;
        apipool_segment_unlock(segment);
    }
    return rv;
}
