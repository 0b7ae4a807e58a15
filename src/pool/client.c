/* SPDX-License-Identifier: Apache-2.0
 * Clients: identity, permissions and usage. */
#include "client.h"

#include <string.h>

#include "fault.h"
#include "segment_layout.h"
#include "slots.h"

#define STEP 64 /* slots looked at per lock */

static const apipool_window_span_e spans[APIPOOL_CLIENT_WINDOWS] = {
    [APIPOOL_CLIENT_RPM] = APIPOOL_WINDOW_MINUTE,
    [APIPOOL_CLIENT_TPM] = APIPOOL_WINDOW_MINUTE,
    [APIPOOL_CLIENT_TPD] = APIPOOL_WINDOW_DAY,
};

static int is_valid(const apipool_client_terms_t *terms, apr_time_t now)
{
    return terms->enabled && (!terms->expires_at || terms->expires_at > now);
}

const char *apipool_client_list(const apipool_client_terms_t *terms, int list)
{
    const char *at = terms->lists;
    for (; list > 0; list--) {
        while (*at) {
            at += strlen(at) + 1;
        }
        at++;
    }
    return at;
}

int apipool_client_restricts(const apipool_client_terms_t *terms, int list)
{
    return *apipool_client_list(terms, list) != '\0';
}

int apipool_client_allows(const apipool_client_terms_t *terms, int list, const char *text)
{
    const char *at = apipool_client_list(terms, list);
    if (!*at) {
        return 1;
    }
    while (*at && strcmp(at, text)) {
        at += strlen(at) + 1;
    }
    return *at != '\0';
}

int apipool_client_pack(apipool_client_terms_t *terms,
                        apr_array_header_t *const lists[APIPOOL_CLIENT_LISTS])
{
    char *at = terms->lists, *end = at + sizeof(terms->lists);
    for (int list = 0; list < APIPOOL_CLIENT_LISTS; list++) {
        for (int i = 0; lists[list] && i < lists[list]->nelts; i++) {
            const char *text = APR_ARRAY_IDX(lists[list], i, const char *);
            apr_size_t size = strlen(text) + 1;
            if (!*text || size > (apr_size_t)(end - at)) {
                return 0;
            }
            memcpy(at, text, size);
            at += size;
        }
        if (at == end) {
            return 0;
        }
        *at++ = '\0';
    }
    terms->lists_len = (apr_uint32_t)(at - terms->lists);
    return 1;
}

static apr_uint64_t amount_of(int limit, apr_uint32_t tokens)
{
    return limit == APIPOOL_CLIENT_RPM ? 1 : tokens;
}

/* Charged client; NULL when it is gone. */
static apipool_client_slot_t *slot_of(const apipool_segment_t *segment,
                                      const apipool_client_charge_t *charge)
{
    return apipool_clients_at_locked(&segment->clients, charge->index, charge->serial);
}

static void leave(apipool_segment_t *segment, apipool_client_slot_t *slot, apr_uint32_t holder)
{
    if (slot && slot->in_flight) { /* the place of a request without a holder may have been reset */
        slot->in_flight--;
    }
    APIPOOL_FAULT("client-still-held");
    apipool_slot_let_go_locked(segment, holder);
}

void apipool_client_leave_locked(apipool_segment_t *segment, apr_uint32_t holder, apr_time_t now)
{
    apipool_client_slot_t *slot = apipool_slot_held_client(segment, &segment->holders[holder]);
    apr_uint32_t tokens = segment->holders[holder].tokens;
    apipool_slot_note_reserved_locked(segment, holder, 0, segment->holders[holder].at);
    for (int i = APIPOOL_CLIENT_TPM; slot && tokens && i < APIPOOL_CLIENT_WINDOWS; i++) {
        apipool_window_refund(&slot->windows[i], spans[i], segment->holders[holder].at, now,
                              tokens);
    }
    leave(segment, slot, holder);
}

apr_status_t apipool_client_leave(apipool_segment_t *segment, apipool_client_charge_t *charge)
{
    if (!charge->is_in_flight) {
        return APR_SUCCESS;
    }
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv == APR_SUCCESS) {
        leave(segment, slot_of(segment, charge), charge->holder);
        apipool_segment_unlock(segment);
        charge->is_in_flight = 0;
    }
    return rv;
}

/* Concurrency limit; 0: none. */
static apr_uint32_t places(apipool_client_slot_t *slot, const apipool_client_charge_t *charge)
{
    apr_uint32_t own = apipool_client_slot_terms(slot)->limits[APIPOOL_CLIENT_CONCURRENCY];
    return own ? own : charge->concurrency;
}

/* Takes a place if one is free. */
static apipool_client_admitted_e enter_locked(apipool_segment_t *segment,
                                              apipool_client_slot_t *slot,
                                              apipool_client_charge_t *charge, apr_time_t now,
                                              apr_time_t *retry_at)
{
    apr_uint32_t limit = places(slot, charge);
    if (limit && slot->in_flight >= limit) {
        *retry_at = now + APR_USEC_PER_SEC;
        slot->refused |= 1u << APIPOOL_CLIENT_CONCURRENCY;
        return APIPOOL_CLIENT_OVER_CONCURRENCY;
    }
    slot->in_flight++;
    APIPOOL_FAULT("client-unheld");
    charge->holder =
        apipool_slot_hold_locked(segment, charge->index, APIPOOL_FOR_CLIENT, charge->serial);
    charge->is_in_flight = 1;
    return APIPOOL_CLIENT_ADMITTED;
}

/* Only a key that is nobody's present one is looked up among the old ones. */
static apipool_client_slot_t *owner_of_key(apipool_segment_t *segment, const unsigned char *digest,
                                           apr_time_t now)
{
    apipool_client_slot_t *slot = apipool_clients_by_digest_locked(&segment->clients, digest);
    if (slot) {
        return slot;
    }
    slot = apipool_clients_by_old_digest_locked(&segment->clients, digest);
    return slot && slot->old_until > now ? slot : NULL;
}

static int recognise_locked(apipool_segment_t *segment, const unsigned char *digest,
                            const char *server, const char *also, apr_time_t now,
                            apipool_client_pass_t *pass, apipool_client_entry_t *entry)
{
    apipool_client_slot_t *slot = owner_of_key(segment, digest, now);
    if (!slot || !is_valid(apipool_client_slot_terms(slot), now) ||
        (strcmp(slot->server, server) && (!also || strcmp(slot->server, also)))) {
        return 0;
    }
    slot->last_used_at = now;
    pass->index = (apr_uint32_t)(slot - segment->clients.slots);
    pass->serial = slot->serial;
    pass->is_of_also = strcmp(slot->server, server) != 0;
    memcpy(pass->name, slot->name, sizeof(pass->name));
    apipool_client_terms_copy(&pass->terms, apipool_client_slot_terms(slot));
    if (entry) {
        entry->charge->index = pass->index;
        entry->charge->serial = pass->serial;
        entry->result = places(slot, entry->charge)
                            ? enter_locked(segment, slot, entry->charge, now, &entry->retry_at)
                            : APIPOOL_CLIENT_ADMITTED;
    }
    return 1;
}

apr_status_t apipool_client_recognise(apipool_segment_t *segment, const unsigned char *digest,
                                      const char *server, const char *also, apr_time_t now,
                                      apipool_client_pass_t *pass, apipool_client_entry_t *entry)
{
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv == APR_SUCCESS) {
        rv = recognise_locked(segment, digest, server, also, now, pass, entry) ? APR_SUCCESS
                                                                               : APR_NOTFOUND;
        apipool_segment_unlock(segment);
    }
    return rv;
}

static apipool_client_admitted_e admit_locked(apipool_segment_t *segment,
                                              apipool_client_slot_t *slot,
                                              apipool_client_charge_t *charge, apr_time_t now,
                                              apr_time_t *retry_at)
{
    const apipool_client_terms_t *terms = apipool_client_slot_terms(slot);
    apipool_client_admitted_e result = APIPOOL_CLIENT_ADMITTED;
    *retry_at = now;
    for (int i = 0; i < APIPOOL_CLIENT_WINDOWS; i++) {
        apr_time_t at = apipool_window_next_free(&slot->windows[i], spans[i], now, terms->limits[i],
                                                 amount_of(i, charge->tokens));
        if (at > *retry_at && !charge->has_begun) {
            *retry_at = at;
            result = (apipool_client_admitted_e)(APIPOOL_CLIENT_OVER_RPM + i);
        }
    }
    if (result != APIPOOL_CLIENT_ADMITTED) {
        slot->refused |= 1u << (result - APIPOOL_CLIENT_OVER_RPM);
    }
    if (result == APIPOOL_CLIENT_ADMITTED && !charge->is_in_flight) {
        result = enter_locked(segment, slot, charge, now, retry_at);
    }
    for (int i = 0; result == APIPOOL_CLIENT_ADMITTED && i < APIPOOL_CLIENT_WINDOWS; i++) {
        apipool_window_charge(&slot->windows[i], spans[i], now, amount_of(i, charge->tokens));
        APIPOOL_FAULT("client-half-charged");
    }
    if (result == APIPOOL_CLIENT_ADMITTED && charge->is_in_flight) {
        apipool_slot_note_reserved_locked(segment, charge->holder, charge->tokens, now);
    }
    charge->at = result == APIPOOL_CLIENT_ADMITTED ? now : 0;
    return result;
}

apr_status_t apipool_client_admit(apipool_segment_t *segment, apipool_client_charge_t *charge,
                                  apr_time_t now, apipool_client_admitted_e *result,
                                  apr_time_t *retry_at)
{
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apipool_client_slot_t *slot = slot_of(segment, charge);
    *result = slot && is_valid(apipool_client_slot_terms(slot), now)
                  ? admit_locked(segment, slot, charge, now, retry_at)
                  : APIPOOL_CLIENT_GONE;
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}

void apipool_client_settle_locked(apipool_segment_t *segment, const apipool_client_used_t *used,
                                  const apipool_finished_t *finished, apr_time_t now)
{
    const apipool_client_charge_t *charge = &used->charge;
    apipool_client_slot_t *slot = slot_of(segment, charge);
    if (charge->is_in_flight) {
        leave(segment, slot, charge->holder); /* and with the holder goes what it has reserved */
    }
    if (!slot) {
        return;
    }
    for (int i = 0; charge->at && i < APIPOOL_CLIENT_WINDOWS; i++) {
        apr_uint64_t reserved = amount_of(i, charge->tokens);
        int is_known = i != APIPOOL_CLIENT_RPM && used->tokens >= 0;
        apr_uint64_t spent = !used->reached ? 0 : is_known ? (apr_uint64_t)used->tokens : reserved;
        apipool_window_settle(&slot->windows[i], spans[i], charge->at, now, reserved, spent);
    }
    apipool_counters_add(&slot->counters, finished, now);
}

static void copy_image(const apipool_client_slot_t *slot, apipool_client_image_t *image)
{
    memcpy(image->server, slot->server, sizeof(image->server));
    memcpy(image->name, slot->name, sizeof(image->name));
    memcpy(image->digest, slot->digest, sizeof(image->digest));
    memcpy(image->old_digest, slot->old_digest, sizeof(image->old_digest));
    image->old_until = slot->old_until;
    image->created_at = slot->created_at;
    apipool_client_terms_copy(&image->terms, apipool_client_slot_terms(slot));
}

/* What a limit goes by, whether there is one or not: with what is reserved, and with estimates. */
apr_uint64_t apipool_client_used(const apipool_client_slot_t *slot, int limit, apr_time_t now)
{
    return limit < APIPOOL_CLIENT_WINDOWS
               ? apipool_window_sum(&slot->windows[limit], spans[limit], now)
               : slot->in_flight;
}

static apr_int64_t used_of(const apipool_client_slot_t *slot, int window, apr_time_t now)
{
    return (apr_int64_t)apipool_client_used(slot, window, now);
}

static void read_slot(const apipool_client_slot_t *slot, apr_time_t now, apipool_client_row_t *row)
{
    copy_image(slot, &row->image);
    row->last_used_at = slot->last_used_at;
    row->in_flight = slot->in_flight;
    apipool_counters_read(&slot->counters, now, &row->counters);
    row->counters.rpm = used_of(slot, APIPOOL_CLIENT_RPM, now);
    row->counters.tpm = used_of(slot, APIPOOL_CLIENT_TPM, now);
    row->counters.tpd = used_of(slot, APIPOOL_CLIENT_TPD, now);
}

/* Takes the lock and finds a client by name. Without the client, the lock is not held. */
static apr_status_t open_slot(apipool_segment_t *segment, const char *server, const char *name,
                              apipool_client_slot_t **slot)
{
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    *slot = apipool_clients_by_name_locked(&segment->clients, server, name);
    if (!*slot) {
        apipool_segment_unlock(segment);
        return APR_NOTFOUND;
    }
    return APR_SUCCESS;
}

apr_status_t apipool_client_read(apipool_segment_t *segment, const char *server, const char *name,
                                 apr_time_t now, apipool_client_row_t *row)
{
    apipool_client_slot_t *slot;
    apr_status_t rv = open_slot(segment, server, name, &slot);
    if (rv == APR_SUCCESS) {
        read_slot(slot, now, row);
        apipool_segment_unlock(segment);
    }
    return rv;
}

apr_status_t apipool_client_rows(apipool_segment_t *segment, const char *server, apr_time_t now,
                                 apr_uint32_t *from, apipool_client_row_t *rows, apr_uint32_t max,
                                 apr_uint32_t *count)
{
    const apipool_clients_t *clients = &segment->clients;
    apr_status_t rv = apipool_segment_lock(segment);
    *count = 0;
    if (rv != APR_SUCCESS) {
        return rv;
    }
    for (apr_uint32_t n = 0; n < STEP && *count < max && *from < apipool_clients_used(clients);
         n++) {
        const apipool_client_slot_t *slot = &clients->slots[(*from)++];
        if (!slot->serial || strcmp(slot->server, server)) {
            continue;
        }
        if (rows) {
            read_slot(slot, now, &rows[*count]);
        }
        ++*count;
    }
    *from = *from < apipool_clients_used(clients) ? *from : APIPOOL_NONE;
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}

apr_status_t apipool_client_image(apipool_segment_t *segment, apr_uint32_t index,
                                  apipool_client_image_t *image)
{
    const apipool_client_slot_t *slot = &segment->clients.slots[index];
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv == APR_SUCCESS) {
        rv = slot->serial ? APR_SUCCESS : APR_NOTFOUND;
        if (slot->serial) {
            copy_image(slot, image);
        }
        apipool_segment_unlock(segment);
    }
    return rv;
}

apr_status_t apipool_client_count(apipool_segment_t *segment, const char *server,
                                  apr_uint32_t *count)
{
    apr_status_t rv = APR_SUCCESS;
    *count = 0;
    for (apr_uint32_t from = 0, some; rv == APR_SUCCESS && from != APIPOOL_NONE; *count += some) {
        rv = apipool_client_rows(segment, server, 0, &from, NULL, STEP, &some);
    }
    return rv;
}

apr_status_t apipool_client_room(apipool_segment_t *segment, apr_uint32_t *room)
{
    const apipool_clients_t *clients = &segment->clients;
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv == APR_SUCCESS) {
        *room = clients->capacity - clients->head->by_digest.linked;
        apipool_segment_unlock(segment);
    }
    return rv;
}

static int is_in_use(const apipool_clients_t *clients, const unsigned char *digest)
{
    return apipool_clients_by_digest_locked(clients, digest) ||
           apipool_clients_by_old_digest_locked(clients, digest);
}

/* Adds a client, or only checks that it can be added. */
static apr_status_t add(apipool_segment_t *segment, const apipool_client_image_t *image,
                        int only_asks)
{
    const apipool_clients_t *clients = &segment->clients;
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (apipool_clients_by_name_locked(clients, image->server, image->name) ||
        is_in_use(clients, image->digest) ||
        (image->old_until && is_in_use(clients, image->old_digest))) {
        rv = APR_EEXIST;
    }
    else if (clients->head->by_digest.linked == clients->capacity) {
        rv = APR_ENOMEM;
    }
    else if (!only_asks) {
        apipool_clients_add_locked(clients, image);
    }
    apipool_segment_unlock(segment);
    return rv;
}

apr_status_t apipool_client_may_add(apipool_segment_t *segment, const apipool_client_image_t *image)
{
    return add(segment, image, 1);
}

apr_status_t apipool_client_add(apipool_segment_t *segment, const apipool_client_image_t *image)
{
    return add(segment, image, 0);
}

apr_status_t apipool_client_set_keys(apipool_segment_t *segment,
                                     const apipool_client_image_t *image)
{
    apipool_client_slot_t *slot;
    apr_status_t rv = open_slot(segment, image->server, image->name, &slot);
    if (rv == APR_SUCCESS) {
        apipool_clients_set_keys_locked(&segment->clients, slot, image);
        apipool_segment_unlock(segment);
    }
    return rv;
}

apr_status_t apipool_client_set_terms(apipool_segment_t *segment, const char *server,
                                      const char *name, const apipool_client_terms_t *terms)
{
    apipool_client_slot_t *slot;
    apr_status_t rv = open_slot(segment, server, name, &slot);
    if (rv == APR_SUCCESS) {
        apipool_clients_set_terms_locked(slot, terms);
        apipool_segment_unlock(segment);
    }
    return rv;
}

apr_status_t apipool_client_move(apipool_segment_t *segment, const unsigned char *digest,
                                 const char *server, const char *name)
{
    const apipool_clients_t *clients = &segment->clients;
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apipool_client_slot_t *slot = apipool_clients_by_digest_locked(clients, digest);
    const apipool_client_slot_t *holder = apipool_clients_by_name_locked(clients, server, name);
    rv = !slot ? APR_NOTFOUND : holder && holder != slot ? APR_EEXIST : APR_SUCCESS;
    if (rv == APR_SUCCESS) {
        apipool_clients_move_locked(clients, slot, server, name);
        segment->header->store.changes++;
    }
    apipool_segment_unlock(segment);
    return rv;
}

apr_status_t apipool_client_remove(apipool_segment_t *segment, const char *server, const char *name)
{
    apipool_client_slot_t *slot;
    apr_status_t rv = open_slot(segment, server, name, &slot);
    if (rv == APR_SUCCESS) {
        apipool_clients_remove_locked(&segment->clients, slot);
        apipool_segment_unlock(segment);
    }
    return rv;
}
