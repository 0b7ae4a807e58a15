/* SPDX-License-Identifier: Apache-2.0
 * What lending and reporting share: a slot's limits, its secret, and who holds it. */
#ifndef APIPOOL_STATE_SLOTS_H
#define APIPOOL_STATE_SLOTS_H

#include "layout.h"
#include "lease.h"

/* Private to src/state; where the name says so the caller holds the segment's lock. */

/** The limit of a window (APIPOOL_RPM and so on) that is in force for a key; 0: none. */
static inline apr_uint32_t apipool_slot_limit(const apipool_slot_t *slot,
                                              const apipool_key_limits_t *defaults, int window)
{
    const apipool_key_limits_t *own = &slot->limits;
    switch (window) {
    case APIPOOL_RPM:
        return own->rpm ? own->rpm : defaults->rpm;
    case APIPOOL_RPD:
        return own->rpd ? own->rpd : defaults->rpd;
    case APIPOOL_TPM:
        return own->tpm ? own->tpm : defaults->tpm;
    default:
        return own->tpd ? own->tpd : defaults->tpd;
    }
}

/** Whether any is in force. */
static inline int apipool_slot_has_limits(const apipool_slot_t *slot,
                                          const apipool_key_limits_t *defaults)
{
    const apipool_key_limits_t *own = &slot->limits;
    return (own->rpm | own->rpd | own->tpm | own->tpd) ||
           (defaults->rpm | defaults->rpd | defaults->tpm | defaults->tpd);
}

/** Whether it is one of the minute or of the day. */
static inline apipool_window_span_e apipool_slot_span(int window)
{
    return window == APIPOOL_RPM || window == APIPOOL_TPM ? APIPOOL_WINDOW_MINUTE
                                                          : APIPOOL_WINDOW_DAY;
}

/** What one request of so many tokens is charged with there. */
static inline apr_uint32_t apipool_slot_amount(int window, apr_uint32_t tokens)
{
    return window == APIPOOL_RPM || window == APIPOOL_RPD ? 1 : tokens;
}

/** Names this process as the holder of a lease; APIPOOL_NONE when there is no entry left for it. */
apr_uint32_t apipool_slot_hold_locked(apipool_segment_t *segment, apr_uint32_t index,
                                      apipool_purpose_e purpose);

/** The same for a client's place. */
apr_uint32_t apipool_slot_hold_client_locked(apipool_segment_t *segment, apr_uint32_t client,
                                             apr_uint64_t serial);

/** The client whose place that is; NULL when it is none's, or the client has gone. */
apipool_client_slot_t *apipool_slot_held_client(const apipool_segment_t *segment,
                                                const apipool_holder_t *holder);

/** The holder's attempt has proved its key: nothing of that is left to be given back. */
void apipool_slot_proved_locked(apipool_segment_t *segment, apr_uint32_t holder);

/** Forgets the holder. */
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

/** Forgets the key of a slot that is in no chain and no group; leases stay. */
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
 * Writes down a key's label, and its account's name; whose hash the caller sets.
 * @return 0 when there is no room; nothing has changed then
 */
int apipool_slot_describe_locked(apipool_segment_t *segment, apipool_slot_t *slot,
                                 const char *label, const char *account);

void apipool_slot_copy_secret_locked(const apipool_segment_t *segment, const apipool_slot_t *slot,
                                     apipool_lease_t *lease);

/** Until when a key rests at least, whatever else becomes of it: a cooldown that runs, or that ran when it
 *  was lost; 0: it may be used. */
apr_time_t apipool_slot_rests_until(const apipool_slot_t *slot);

/** What the key is by now: one whose cooldown has ended is active, though the next request is the first to
 *  note that. */
apipool_state_e apipool_slot_state(const apipool_slot_t *slot, apr_time_t now);

#endif
