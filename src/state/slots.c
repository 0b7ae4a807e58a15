/* SPDX-License-Identifier: Apache-2.0
 * What lending and reporting share: a slot's limits, its secret, and who holds it. */
#include "slots.h"

#include <openssl/crypto.h>
#include <string.h>

apr_uint32_t apipool_slot_limit(const apipool_slot_t *slot, const apipool_key_limits_t *defaults,
                                int window)
{
    const apipool_key_limits_t *own = &slot->limits;
    const apr_uint32_t owns[] = {own->rpm, own->rpd, own->tpm, own->tpd};
    const apr_uint32_t others[] = {defaults->rpm, defaults->rpd, defaults->tpm, defaults->tpd};
    return owns[window] ? owns[window] : others[window];
}

apipool_window_span_e apipool_slot_span(int window)
{
    return window == APIPOOL_RPM || window == APIPOOL_TPM ? APIPOOL_WINDOW_MINUTE
                                                          : APIPOOL_WINDOW_DAY;
}

apr_uint32_t apipool_slot_amount(int window, apr_uint32_t tokens)
{
    return window == APIPOOL_RPM || window == APIPOOL_RPD ? 1 : tokens;
}

/* With more leases than entries, which no httpd is likely to reach, some are held without a name and would
 * be lost with their process. */
apr_uint32_t apipool_slot_hold_locked(apipool_segment_t *segment, apr_uint32_t index,
                                      apipool_purpose_e purpose)
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
    segment->holders[i].purpose = purpose;
    return i;
}

void apipool_slot_proved_locked(apipool_segment_t *segment, apr_uint32_t holder)
{
    if (holder != APIPOOL_NONE) {
        segment->holders[holder].purpose = APIPOOL_FOR_REQUEST;
    }
}

void apipool_slot_let_go_locked(apipool_segment_t *segment, apr_uint32_t holder)
{
    if (holder != APIPOOL_NONE) {
        segment->holders[holder].process = 0;
        segment->holders[holder].slot = segment->header->holders_free;
        segment->header->holders_free = holder;
    }
}

int apipool_slot_store_secret_locked(apipool_segment_t *segment, apipool_slot_t *slot,
                                     const char *key, apr_size_t len)
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

void apipool_slot_copy_secret_locked(const apipool_segment_t *segment, const apipool_slot_t *slot,
                                     apipool_lease_t *lease)
{
    lease->len = slot->secret_len;
    memcpy(lease->key,
           slot->secret_off ? apr_rmm_addr_get(segment->rmm, slot->secret_off) : slot->secret,
           slot->secret_len);
    lease->key[slot->secret_len] = '\0';
}

void apipool_lease_wipe(apipool_lease_t *lease)
{
    OPENSSL_cleanse(lease->key, sizeof(lease->key)); /* an earlier one may have been longer */
    lease->len = 0;
}

apr_time_t apipool_slot_rests_until(const apipool_slot_t *slot)
{
    return slot->state == APIPOOL_STATE_COOLING  ? slot->until[0]
           : slot->state == APIPOOL_STATE_ACTIVE ? 0
                                                 : slot->rests_until;
}
