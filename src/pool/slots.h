/* SPDX-License-Identifier: Apache-2.0
 * What lending and reporting share: a slot's limits, its secret, and who holds it. */
#ifndef APIPOOL_POOL_SLOTS_H
#define APIPOOL_POOL_SLOTS_H

#include "lease.h"
#include "segment_layout.h"

/* Private to src/memory and src/pool; where the name says so the caller holds the segment's lock. */

/** The limit of a window (APIPOOL_RPM and so on) that is in force for a key; 0: none. */
static inline apr_uint32_t apipool_slot_limit(const apipool_slot_t *slot,
                                              const apipool_key_limits_t *defaults, int window)
{
    const apipool_key_limits_t *own = &slot->limits;
    const apr_uint32_t of_key[] = {own->rpm, own->rpd, own->tpm, own->tpd};
    const apr_uint32_t of_pool[] = {defaults->rpm, defaults->rpd, defaults->tpm, defaults->tpd};
    return of_key[window] ? of_key[window] : of_pool[window];
}

/** Whether any is in force. */
static inline int apipool_slot_has_limits(const apipool_slot_t *slot,
                                          const apipool_key_limits_t *defaults)
{
    const apipool_key_limits_t *own = &slot->limits;
    return (own->rpm | own->rpd | own->tpm | own->tpd) ||
           (defaults->rpm | defaults->rpd | defaults->tpm | defaults->tpd);
}

/** When all of them admit a request of so many tokens: now, or later. */
apr_time_t apipool_slot_admits_at_locked(apipool_slot_t *slot, const apipool_key_limits_t *defaults,
                                         apr_uint32_t tokens, apr_time_t now);

/**
 * Names this process as the holder of a lease, or of a client's place; APIPOOL_NONE when there is no entry
 * left for it.
 * @param serial a client's, or 0
 */
apr_uint32_t apipool_slot_hold_locked(apipool_segment_t *segment, apr_uint32_t index,
                                      apipool_purpose_e purpose, apr_uint64_t serial);

/** The client whose place that is; NULL when it is none's, or the client has gone. */
apipool_client_slot_t *apipool_slot_held_client(const apipool_segment_t *segment,
                                                const apipool_holder_t *holder);

/** Forgets the holder; APIPOOL_NONE is none. */
void apipool_slot_let_go_locked(apipool_segment_t *segment, apr_uint32_t holder);

/** Keeps a key. Returns 0 when there is no room for a long one. */
int apipool_slot_store_secret_locked(apipool_segment_t *segment, apipool_slot_t *slot,
                                     const char *key, apr_size_t len);

/**
 * Takes a slot for a new key, or gives APIPOOL_NONE when all are taken. It is no key's before it has an id.
 */
apr_uint32_t apipool_slot_take_locked(apipool_segment_t *segment);

/** Makes a slot one without a key, which nobody has and that is in no group. */
void apipool_slot_empty_locked(apipool_slot_t *slot);

/** Forgets the key of a slot that is in no chain and no group, and makes it spare if nobody has it any more;
 *  leases stay. */
void apipool_slot_clear_locked(apipool_segment_t *segment, apr_uint32_t index);

/** Makes a slot spare if its key was removed and nobody has it any more. */
void apipool_slot_reuse_locked(apipool_segment_t *segment, apr_uint32_t index);

/** A key's label, and its account's name; "" where there is none. */
const char *apipool_slot_label_locked(const apipool_segment_t *segment, const apipool_slot_t *slot);
const char *apipool_slot_account_locked(const apipool_segment_t *segment,
                                        const apipool_slot_t *slot);

/** Bytes of those two, where they lie. */
apr_size_t apipool_slot_text_size_locked(const apipool_segment_t *segment, apipool_offset_t text);

/**
 * Writes down a key's label and its account's name; either may be the one that it has. The account's hash is
 * the caller's to set.
 * @return 0 when there is no room; nothing has changed then
 */
int apipool_slot_describe_locked(apipool_segment_t *segment, apipool_slot_t *slot,
                                 const char *label, const char *account);

/** The key itself, of secret_len bytes. */
const char *apipool_slot_secret_locked(const apipool_segment_t *segment,
                                       const apipool_slot_t *slot);

/** Sets what a lease says of its key, and copies that. Nothing is reserved, nothing proved. */
void apipool_slot_fill_lease_locked(const apipool_segment_t *segment, apr_uint32_t index,
                                    apr_time_t now, apipool_lease_t *lease);

/** Until when a key rests at least, whatever else becomes of it: a cooldown that runs, or that ran when it
 *  was lost; 0: it may be used. */
apr_time_t apipool_slot_rests_until(const apipool_slot_t *slot);

/** What the key is by now: one whose cooldown has ended is active, though the next request is the first to
 *  note that. */
apipool_state_e apipool_slot_state(const apipool_slot_t *slot, apr_time_t now);

/** Notes the last error of a key. */
void apipool_slot_note_error(apipool_slot_t *slot, int status, apipool_rule_e rule, apr_time_t now);

/** In rotation, as far as its upstream is concerned: it is active, cooling or half open. */
int apipool_slot_is_in_use(const apipool_slot_t *slot);

/** Moves a key to a state, which ends or is tried again then; 0: at no time. */
void apipool_slot_move_locked(apipool_segment_t *segment, apr_uint32_t index, apipool_state_e state,
                              apr_time_t until);

#endif
