/* SPDX-License-Identifier: Apache-2.0
 * Keys come, are changed, and go. */
#ifndef APIPOOL_POOL_KEYS_H
#define APIPOOL_POOL_KEYS_H

#include "pool.h"

/* Of the functions here only the store's, the key files' import at start and tests are callers: what is not
 * written down first is lost at the next start. Each takes the segment's lock, for one key, unless its name
 * says that the caller holds it. */

typedef enum {
    APIPOOL_ADDED,
    APIPOOL_DUPLICATE, /* already there; moved to the given group if it was in another */
    APIPOOL_FULL       /* no slot, or no room for a long key or a label */
} apipool_added_e;

/**
 * Adds a key that apipool_key_check accepts. Of one that is there already, what the item says of label,
 * weight, account and limits replaces what was known. O(1) amortised; a group's arrays are copied when they
 * grow.
 */
apr_status_t apipool_pool_add(apipool_segment_t *segment, apr_uint32_t group,
                              const apipool_key_item_t *item, apr_time_t now,
                              apipool_added_e *added);

/** The slot of a pool's key, or APIPOOL_NONE. */
apr_uint32_t apipool_pool_find_locked(apipool_segment_t *segment, apr_uint32_t pool,
                                      apr_uint64_t id);

/** Takes the lock and finds a key. APR_NOTFOUND: it has it not, and does not hold the lock. */
apr_status_t apipool_pool_lock_key(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t id,
                                   apr_uint32_t *index);

/* What a change takes of shared memory. All 0: nothing. */
typedef struct {
    apr_uint32_t keys;         /* that are new */
    apr_uint32_t members;      /* that come into the group: those, and who moves there */
    apr_size_t bytes, largest; /* of what lies in the arena */
} apipool_need_t;

/** Adds what a key takes besides its slot. Lengths in bytes; a text of 0 bytes is none. No lock. */
void apipool_need_add(apipool_need_t *need, apr_size_t key, apr_size_t label, apr_size_t account);

/**
 * Makes room for a change of a group's keys before it is written down: when it says that there is, every key
 * and text will find its place.
 */
apr_status_t apipool_pool_make_room(apipool_segment_t *segment, apr_uint32_t group,
                                    const apipool_need_t *need, int *has_room);

/* What becomes of a key that is there. */
typedef struct {
    apipool_key_edit_t edit;
    apr_uint32_t group; /* another one of its pool, or APIPOOL_NONE */
} apipool_key_patch_t;

/**
 * What an item of an import changes of a key that is there. The texts are the item's.
 * @return whether it changes anything
 */
int apipool_key_patch_locked(const apipool_segment_t *segment, apr_uint32_t index,
                             apr_uint32_t group, const apipool_key_item_t *item,
                             apipool_key_patch_t *patch);

/**
 * Changes a key. One that is switched on begins anew: without errors in a row and without a cooldown.
 * @return APR_NOTFOUND; APR_ENOSPC, with nothing changed
 */
apr_status_t apipool_pool_edit(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t id,
                               const apipool_key_patch_t *patch);

/** Removes a key. Requests that have it go on with their copy; its counters go. APR_NOTFOUND. */
apr_status_t apipool_pool_remove(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t id);

/** Forgets cooldowns, errors in a row, and the state that they led to, and what its account has met; other
 *  keys that have taken that over keep it. A key that is switched off stays so. APR_NOTFOUND. */
apr_status_t apipool_pool_reset(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t id);

/** The pool's limits may have changed: keys of a group that one has put off, and none would now, return. */
apr_status_t apipool_pool_lift(apipool_segment_t *segment, apr_uint32_t group,
                               const apipool_key_limits_t *limits, apr_time_t now);

/** Puts a key into an account by the hash of its name, where that is all that is known. */
apr_status_t apipool_pool_set_account(apipool_segment_t *segment, apr_uint32_t pool,
                                      apr_uint64_t id, apr_uint64_t account);

#endif
