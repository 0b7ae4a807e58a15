/* SPDX-License-Identifier: Apache-2.0
 * What lending and reporting share: a slot's limits, its secret, and who holds it. */
#include "slots.h"

#include <openssl/crypto.h>
#include <string.h>

#include "arena.h"
#include "fault.h"
#include "health.h"
#include "pool.h"

/* With more leases than entries, which no httpd is likely to reach, some are held without a name and would
 * be lost with their process. */
static apr_uint32_t hold(apipool_segment_t *segment, apr_uint32_t index, apipool_purpose_e purpose,
                         apr_uint32_t serial)
{
    apipool_header_t *header = segment->header;
    apr_uint32_t i = header->holders_free;
    if (i != APIPOOL_NONE) {
        header->holders_free = segment->holders[i].slot;
    }
    else if (header->holders_used < APIPOOL_HOLDERS_MAX) {
        i = header->holders_used;
        segment->holders[i].process = 0; /* it may have been used before all were reclaimed */
        APIPOOL_IN_ORDER();
        header->holders_used++;
    }
    else {
        return APIPOOL_NONE;
    }
    APIPOOL_FAULT("hold-taken");
    segment->holders[i].slot = index;
    segment->holders[i].purpose = purpose;
    segment->holders[i].serial = serial;
    APIPOOL_IN_ORDER(); /* with a process in it, the entry counts */
    segment->holders[i].process = segment->process;
    return i;
}

apr_uint32_t apipool_slot_hold_locked(apipool_segment_t *segment, apr_uint32_t index,
                                      apipool_purpose_e purpose)
{
    return hold(segment, index, purpose, 0);
}

apr_uint32_t apipool_slot_hold_client_locked(apipool_segment_t *segment, apr_uint32_t client,
                                             apr_uint64_t serial)
{
    return hold(segment, client, APIPOOL_FOR_CLIENT, (apr_uint32_t)serial);
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
        APIPOOL_FAULT("let-go-unchained");
        segment->holders[holder].slot = segment->header->holders_free;
        segment->header->holders_free = holder;
    }
}

apipool_client_slot_t *apipool_slot_held_client(const apipool_segment_t *segment,
                                                const apipool_holder_t *holder)
{
    const apipool_clients_t *clients = &segment->clients;
    if (!holder->process || holder->purpose != APIPOOL_FOR_CLIENT ||
        holder->slot >= clients->head->used || holder->slot >= clients->capacity) {
        return NULL;
    }
    apipool_client_slot_t *client = &clients->slots[holder->slot];
    return client->serial && (apr_uint32_t)client->serial == holder->serial ? client : NULL;
}

/* Of a slot, one is proving at most, and one probing. */
static void count_holder(apipool_slot_t *slot, apipool_holder_t *holder)
{
    if (holder->purpose == APIPOOL_FOR_PROBE && !slot->probing) {
        slot->probing = 1;
        return;
    }
    if (holder->purpose == APIPOOL_FOR_PROOF && !slot->proving) {
        slot->proving = 1;
    }
    else {
        holder->purpose = APIPOOL_FOR_REQUEST;
    }
    slot->in_flight++;
}

static void count_client(apipool_segment_t *segment, const apipool_holder_t *holder)
{
    apipool_client_slot_t *client = apipool_slot_held_client(segment, holder);
    if (client) {
        client->in_flight++;
    }
}

static void count_none(apipool_segment_t *segment)
{
    for (apr_uint32_t i = 0; i < segment->header->slots_used; i++) {
        apipool_slot_t *slot = &segment->slots[i];
        slot->in_flight = slot->proving = slot->probing = 0;
    }
    for (apr_uint32_t i = 0; i < segment->clients.head->used; i++) {
        segment->clients.slots[i].in_flight = 0;
    }
}

/* What keys and clients have in flight, whether a key is being proved or probed follow from the holders. A
 * client may have gone meanwhile. */
void apipool_slot_rebuild_holders_locked(apipool_segment_t *segment)
{
    apipool_header_t *header = segment->header;
    count_none(segment);
    if (header->holders_used > APIPOOL_HOLDERS_MAX) {
        header->holders_used = APIPOOL_HOLDERS_MAX;
    }
    header->holders_free = APIPOOL_NONE;
    for (apr_uint32_t i = 0; i < header->holders_used; i++) {
        apipool_holder_t *holder = &segment->holders[i];
        int is_clients = holder->purpose == APIPOOL_FOR_CLIENT;
        if (!holder->process || (!is_clients && holder->slot >= header->slots_used)) {
            holder->process = 0;
            holder->slot = header->holders_free;
            header->holders_free = i;
        }
        else if (is_clients) {
            count_client(segment, holder);
        }
        else {
            count_holder(&segment->slots[holder->slot], holder);
        }
    }
}

/* --- Slots without a key ------------------------------------------------------------------------ */

apr_uint32_t apipool_slot_take_locked(apipool_segment_t *segment)
{
    apipool_header_t *header = segment->header;
    apr_uint32_t index = header->slots_spare;
    if (index != APIPOOL_NONE) {
        header->slots_spare = segment->slots[index].next;
        header->spares--;
        APIPOOL_FAULT("slot-taken");
    }
    else if (header->slots_used < header->capacity) {
        index = header->slots_used;
        segment->slots[index].id = 0;
        APIPOOL_IN_ORDER();
        header->slots_used++;
    }
    else {
        return APIPOOL_NONE;
    }
    memset(&segment->slots[index], 0, sizeof(segment->slots[index]));
    segment->slots[index].ordinal = APIPOOL_NONE;
    return index;
}

void apipool_slot_clear_locked(apipool_segment_t *segment, apr_uint32_t index)
{
    apipool_slot_t *slot = &segment->slots[index];
    apr_uint32_t in_flight = slot->in_flight, proving = slot->proving, probing = slot->probing;
    if (slot->secret_off) {
        OPENSSL_cleanse(apipool_arena_at(segment, slot->secret_off), slot->secret_len);
        apipool_arena_free_locked(segment, slot->secret_off, slot->secret_len);
    }
    apipool_arena_free_locked(segment, slot->text_off, slot->text_len);
    APIPOOL_FAULT("slot-half-cleared");
    OPENSSL_cleanse(slot, sizeof(*slot));
    slot->state = APIPOOL_STATE_DISABLED; /* from which no late answer leads */
    slot->ordinal = APIPOOL_NONE;
    slot->in_flight = in_flight;
    slot->proving = proving;
    slot->probing = probing;
}

static int is_nobodys(const apipool_slot_t *slot)
{
    return !slot->id && !slot->in_flight && !slot->probing;
}

void apipool_slot_reuse_locked(apipool_segment_t *segment, apr_uint32_t index)
{
    apipool_slot_t *slot = &segment->slots[index];
    if (is_nobodys(slot) && !slot->spare) {
        slot->spare = 1;
        slot->next = segment->header->slots_spare;
        segment->header->slots_spare = index;
        segment->header->spares++;
    }
}

void apipool_slot_rebuild_spare_locked(apipool_segment_t *segment)
{
    apipool_header_t *header = segment->header;
    header->slots_spare = APIPOOL_NONE;
    header->spares = header->keys = 0;
    while (header->slots_used && is_nobodys(&segment->slots[header->slots_used - 1])) {
        header->slots_used--;
    }
    for (apr_uint32_t i = header->slots_used; i-- > 0;) {
        header->keys += segment->slots[i].id != 0;
        segment->slots[i].spare = 0;
        apipool_slot_reuse_locked(segment, i);
    }
}

/* --- What a slot says of its key ---------------------------------------------------------------- */

const char *apipool_slot_label_locked(const apipool_segment_t *segment, const apipool_slot_t *slot)
{
    return slot->text_off ? apipool_arena_at(segment, slot->text_off) : "";
}

const char *apipool_slot_account_locked(const apipool_segment_t *segment,
                                        const apipool_slot_t *slot)
{
    const char *label = apipool_slot_label_locked(segment, slot);
    return slot->text_off ? label + strlen(label) + 1 : "";
}

int apipool_slot_has_texts(const apipool_segment_t *segment, const apipool_slot_t *slot)
{
    const char *label = apipool_arena_at(segment, slot->text_off), *end = label + slot->text_len;
    const char *account = memchr(label, '\0', slot->text_len);
    return account && account - label <= APIPOOL_LABEL_MAX &&
           memchr(account + 1, '\0', (apr_size_t)(end - account - 1)) == end - 1;
}

/* The old text goes when the new one is in its place, so that a killed process leaves one of them. */
int apipool_slot_describe_locked(apipool_segment_t *segment, apipool_slot_t *slot,
                                 const char *label, const char *account)
{
    apipool_offset_t old = slot->text_off, new = 0;
    apr_uint32_t old_len = slot->text_len;
    apr_size_t label_size = strlen(label) + 1, account_size = strlen(account) + 1;
    apr_size_t size = *label || *account ? label_size + account_size : 0;
    if (!strcmp(label, apipool_slot_label_locked(segment, slot)) &&
        !strcmp(account, apipool_slot_account_locked(segment, slot))) {
        return 1; /* so that it needs no room either */
    }
    if (size) {
        new = apipool_arena_get_locked(segment, size);
        if (!new) {
            return 0;
        }
        char *text = apipool_arena_at(segment, new);
        memcpy(text, label, label_size);
        memcpy(text + label_size, account, account_size);
    }
    slot->text_off = 0;
    APIPOOL_IN_ORDER();
    slot->text_len = (apr_uint32_t)size;
    APIPOOL_FAULT("text-unset");
    APIPOOL_IN_ORDER();
    slot->text_off = new;
    apipool_arena_free_locked(segment, old, old_len);
    return 1;
}

int apipool_slot_store_secret_locked(apipool_segment_t *segment, apipool_slot_t *slot,
                                     const char *key, apr_size_t len)
{
    char *where = slot->secret;
    slot->secret_len = (apr_uint32_t)len;
    slot->secret_off = 0;
    if (len > APIPOOL_KEY_INLINE) {
        slot->secret_off = apipool_arena_get_locked(segment, len);
        if (!slot->secret_off) {
            return 0;
        }
        APIPOOL_FAULT("secret-unwritten");
        where = apipool_arena_at(segment, slot->secret_off);
    }
    memcpy(where, key, len);
    return 1;
}

void apipool_slot_copy_secret_locked(const apipool_segment_t *segment, const apipool_slot_t *slot,
                                     apipool_lease_t *lease)
{
    lease->len = slot->secret_len;
    lease->longest = lease->longest > lease->len ? lease->longest : lease->len;
    memcpy(lease->key,
           slot->secret_off ? apipool_arena_at(segment, slot->secret_off) : slot->secret,
           slot->secret_len);
    lease->key[slot->secret_len] = '\0';
}

void apipool_lease_wipe(apipool_lease_t *lease)
{
    OPENSSL_cleanse(lease->key,
                    lease->longest < APIPOOL_KEY_MAX ? lease->longest : APIPOOL_KEY_MAX);
    lease->len = lease->longest = 0;
}

apr_time_t apipool_slot_rests_until(const apipool_slot_t *slot)
{
    return slot->state == APIPOOL_STATE_COOLING  ? slot->until[0]
           : slot->state == APIPOOL_STATE_ACTIVE ? 0
                                                 : slot->rests_until;
}

apipool_state_e apipool_slot_state(const apipool_slot_t *slot, apr_time_t now)
{
    int is_over = slot->state == APIPOOL_STATE_COOLING && slot->until[0] <= now;
    return is_over ? apipool_health_next(slot->state, APIPOOL_EVENT_EXPIRED) : slot->state;
}
