/* SPDX-License-Identifier: Apache-2.0
 * Adding, changing and removing keys. */
#ifndef APIPOOL_POOL_KEYS_H
#define APIPOOL_POOL_KEYS_H

#include "pool.h"

/* Only the store, the import of key files at start and tests call these functions: a change that
 * is not written to disk first is lost at the next start. Each takes the segment's lock, for one
 * key, unless its name says that the caller holds it. */

typedef enum {
    APIPOOL_ADDED,
    APIPOOL_DUPLICATE, /* exists; moved to the given upstream if it was in another one */
    APIPOOL_FULL       /* no slot, or no room for a long key or a label */
} apipool_added_e;

/** Adds a key that apipool_key_check accepts. If the key exists, the label, weight, account and
 *  limits that the item specifies replace the known ones. O(1) amortised: an upstream's arrays
 *  are copied when they grow. */
apr_status_t apipool_pool_add(apipool_segment_t *segment, apr_uint32_t upstream,
                              const apipool_key_item_t *item, apr_time_t now,
                              apipool_added_e *added);

/** Slot of a pool's key, or APIPOOL_NONE. */
apr_uint32_t apipool_pool_find_locked(apipool_segment_t *segment, apr_uint32_t pool,
                                      apr_uint64_t id);

/** Takes the lock and finds a key. Without the key it returns APR_NOTFOUND and does not hold the
 *  lock. */
apr_status_t apipool_pool_lock_key(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t id,
                                   apr_uint32_t *index);

/* Shared memory that a change needs. All 0: none. */
typedef struct {
    apr_uint32_t keys;         /* new keys */
    apr_uint32_t members;      /* keys that come into the upstream, new or moved */
    apr_size_t bytes, largest; /* of blocks in the arena */
} apipool_capacity_t;

/** Adds the arena space of one key. Lengths in bytes; 0: no such text. No lock. */
void apipool_capacity_add(apipool_capacity_t *capacity, apr_size_t key, apr_size_t label,
                          apr_size_t account);

/** Reserves the capacity for a change of an upstream's keys before it is written to disk: if
 *  *has_room, every key and text will find its place. */
apr_status_t apipool_pool_make_room(apipool_segment_t *segment, apr_uint32_t upstream,
                                    const apipool_capacity_t *capacity, int *has_room);

/* Change of an existing key. */
typedef struct {
    apipool_key_edit_t edit;
    apr_uint32_t upstream; /* another upstream of its pool, or APIPOOL_NONE */
} apipool_key_patch_t;

/**
 * Computes what an import item changes of an existing key. The texts are the item's.
 * @return 1 if it changes anything
 */
int apipool_key_patch_locked(const apipool_segment_t *segment, apr_uint32_t index,
                             apr_uint32_t upstream, const apipool_key_item_t *item,
                             apipool_key_patch_t *patch);

/**
 * Changes a key. A key that is enabled starts afresh: no error streaks, no cooldown.
 * @return APR_NOTFOUND; APR_ENOSPC, with nothing changed
 */
apr_status_t apipool_pool_edit(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t id,
                               const apipool_key_patch_t *patch);

/** Removes a key and its counters. Requests that have the key go on with their copy.
 *  APR_NOTFOUND. */
apr_status_t apipool_pool_remove(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t id);

/** Forgets cooldowns and error streaks of a key, the state that they led to, and the limits of
 *  its account; other keys that have taken those over keep them. A disabled key stays disabled.
 *  APR_NOTFOUND. */
apr_status_t apipool_pool_reset(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t id);

/** Returns keys of an upstream to the rotation that an old limit of the pool had put off and the
 *  new limits would not. */
apr_status_t apipool_pool_lift(apipool_segment_t *segment, apr_uint32_t upstream,
                               const apipool_key_limits_t *limits, apr_time_t now);

/** Puts a key into an account of which only the hash is known. */
apr_status_t apipool_pool_set_account(apipool_segment_t *segment, apr_uint32_t pool,
                                      apr_uint64_t id, apr_uint64_t account);

#endif
