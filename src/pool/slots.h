/* SPDX-License-Identifier: Apache-2.0
 * Slots of keys: limits, secret, texts, holders. */
#ifndef APIPOOL_POOL_SLOTS_H
#define APIPOOL_POOL_SLOTS_H

#include "lease.h"
#include "segment_layout.h"

/* Private to src/memory and src/pool; callers of a *_locked function hold the segment's lock. */

/** Limit of a window (APIPOOL_RPM ...) in force for a key with limits of its own; 0: none. What the
 *  API shows comes from here, too. */
static inline apr_uint32_t apipool_limit_in_force(const apipool_key_limits_t *own,
                                                  const apipool_key_limits_t *defaults, int window)
{
    const apr_uint32_t of_key[] = {own->rpm, own->rpd, own->tpm, own->tpd};
    const apr_uint32_t of_pool[] = {defaults->rpm, defaults->rpd, defaults->tpm, defaults->tpd};
    return of_key[window] ? of_key[window] : of_pool[window];
}

static inline apr_uint32_t apipool_slot_limit(const apipool_slot_t *slot,
                                              const apipool_key_limits_t *defaults, int window)
{
    return apipool_limit_in_force(&slot->limits, defaults, window);
}

/** The same for a key's requests at once. */
static inline apr_uint32_t apipool_concurrency_in_force(const apipool_key_limits_t *own,
                                                        const apipool_key_limits_t *defaults)
{
    return own->concurrency ? own->concurrency : defaults->concurrency;
}

/** Returns 1 if any of these limits is in force. */
static inline int apipool_slot_has_limits(const apipool_slot_t *slot,
                                          const apipool_key_limits_t *defaults)
{
    const apipool_key_limits_t *own = &slot->limits;
    return (own->rpm | own->rpd | own->tpm | own->tpd) ||
           (defaults->rpm | defaults->rpd | defaults->tpm | defaults->tpd);
}

/** Time when all limits admit a request of this many tokens: now, or later. */
apr_time_t apipool_slot_admits_at_locked(apipool_slot_t *slot, const apipool_key_limits_t *defaults,
                                         apr_uint32_t tokens, apr_time_t now);

/** Which of the limits that admit no request now (APIPOOL_RPM ...) does so for the longest time. */
int apipool_slot_last_limit_locked(apipool_slot_t *slot, const apipool_key_limits_t *defaults,
                                   apr_time_t now);

/**
 * Enters this process as the holder of a lease or of a client's place. Returns APIPOOL_NONE when
 * there is no entry left.
 * @param serial of a client, or 0
 */
apr_uint32_t apipool_slot_hold_locked(apipool_segment_t *segment, apr_uint32_t index,
                                      apipool_purpose_e purpose, apr_uint64_t serial);

/** Client whose place a holder has; NULL when it has none or the client is gone. */
apipool_client_slot_t *apipool_slot_held_client(const apipool_segment_t *segment,
                                                const apipool_holder_t *holder);

/** Notes how many tokens a holder has reserved, so that they can be given back if its process dies;
 *  0 before they are settled. Ignores APIPOOL_NONE. */
void apipool_slot_note_reserved_locked(apipool_segment_t *segment, apr_uint32_t holder,
                                       apr_uint32_t tokens, apr_time_t at);

/** Ends a cooldown that a limit of the pool or key has caused. If the limit still applies, the next
 *  request puts the key off again. A key that its upstream has limited as well stays where it is. */
void apipool_slot_lift_locked(apipool_segment_t *segment, apr_uint32_t index);

/** Frees a holder; ignores APIPOOL_NONE. */
void apipool_slot_let_go_locked(apipool_segment_t *segment, apr_uint32_t holder);

/** Stores a key. Returns 0 when there is no room for a long key. */
int apipool_slot_store_secret_locked(apipool_segment_t *segment, apipool_slot_t *slot,
                                     const char *key, apr_size_t len);

/** Takes a slot for a new key; APIPOOL_NONE when all are taken. The slot counts once it has an
 *  id. */
apr_uint32_t apipool_slot_take_locked(apipool_segment_t *segment);

/** Resets a slot: no key, not lent, in no upstream. */
void apipool_slot_empty_locked(apipool_slot_t *slot);

/** Forgets the key of a slot that is in no chain and no upstream; makes the slot spare if it is
 *  not lent. Leases stay. */
void apipool_slot_clear_locked(apipool_segment_t *segment, apr_uint32_t index);

/** Makes a slot spare if its key was removed and it is not lent. */
void apipool_slot_reuse_locked(apipool_segment_t *segment, apr_uint32_t index);

/** Label of a key and name of its account; "" where there is none. */
const char *apipool_slot_label_locked(const apipool_segment_t *segment, const apipool_slot_t *slot);
const char *apipool_slot_account_locked(const apipool_segment_t *segment,
                                        const apipool_slot_t *slot);

/** Bytes of both texts in the arena. */
apr_size_t apipool_slot_text_size_locked(const apipool_segment_t *segment, apipool_offset_t text);

/**
 * Stores a key's label and account name; either may be the present one. The caller sets the
 * account's hash.
 * @return 0 when there is no room; then nothing has changed
 */
int apipool_slot_describe_locked(apipool_segment_t *segment, apipool_slot_t *slot,
                                 const char *label, const char *account);

/** The key, secret_len bytes. */
const char *apipool_slot_secret_locked(const apipool_segment_t *segment,
                                       const apipool_slot_t *slot);

/** Fills a lease with a copy of the key. Nothing is reserved or proved. */
void apipool_slot_fill_lease_locked(const apipool_segment_t *segment, apr_uint32_t index,
                                    apr_time_t now, apipool_lease_t *lease);

/** Earliest end of a key's rest in any state: of a running cooldown, or of the one that ran when
 *  the key was lost; 0: none. */
apr_time_t apipool_slot_rests_until(const apipool_slot_t *slot);

/** State of a key now, as shown: a key whose cooldown has ended is active, though only the next
 *  request updates the slot; a key whose upstream or pool is not configured is orphaned. */
apipool_state_e apipool_slot_state(const apipool_segment_t *segment, const apipool_slot_t *slot,
                                   apr_time_t now);

/** Notes the last error of a key, with what the vendor said; NULL: nothing. */
void apipool_slot_note_error_locked(apipool_segment_t *segment, apipool_slot_t *slot, int status,
                                    apipool_rule_e rule, const apipool_words_t *words,
                                    apr_time_t now);

/** What the vendor said of a key's last error; "" where it said nothing, or it is forgotten. */
const char *apipool_slot_words_locked(const apipool_segment_t *segment, const apipool_slot_t *slot);

/** Keeps words that the vendor said of a key's last error. */
void apipool_slot_keep_words_locked(apipool_segment_t *segment, apipool_slot_t *slot,
                                    const apipool_words_t *words);

/* Why a key left the rotation last: a rule (apipool_rule_e), or one of these. 0: unknown. They are
 * stored, so their numbers stay. */
enum {
    APIPOOL_REASON_LIMIT = 256, /* a configured one: plus APIPOOL_RPM ... */
    APIPOOL_REASON_ACCOUNT = APIPOOL_REASON_LIMIT + APIPOOL_WINDOWS, /* met by another key */
    APIPOOL_REASON_BALANCE,
    APIPOOL_REASON_COUNT
};

/** Code of a reason, for example "R07" or "rpm", and a sentence for operators without a full
 *  stop; "" where it is unknown. */
const char *apipool_slot_reason_code(const apipool_slot_t *slot);
const char *apipool_slot_reason(const apipool_slot_t *slot);

/** Balances of a key as read last; there are none before. A second one is exact to the cent, and
 *  kept if the codes of both currencies have three letters. */
void apipool_slot_set_balances_locked(apipool_slot_t *slot, const apipool_balances_t *balances);
void apipool_slot_balances_locked(const apipool_slot_t *slot, apipool_balances_t *balances);

/** Returns 1 if a key is in rotation at its upstream: active, cooling or half open. */
int apipool_slot_is_in_use(const apipool_slot_t *slot);

/** Returns 1 if a key has served a model other than this one so lately that it can be neither spent
 *  nor invalid as a whole. other: 0: any model counts. */
int apipool_slot_served_lately(const apipool_slot_t *slot, apr_uint64_t other, apr_time_t now);

/** Moves a key to a state that ends, or is tried again, at a time; 0: never. */
void apipool_slot_move_locked(apipool_segment_t *segment, apr_uint32_t index, apipool_state_e state,
                              apr_time_t until);

#endif
