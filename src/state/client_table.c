/* SPDX-License-Identifier: Apache-2.0
 * The table of clients in shared memory: slots, and chains through them by digest and by name. */
#include "client_table.h"

#include <apr_strings.h>
#include <openssl/crypto.h>
#include <string.h>

#include "fault.h"
#include "layout.h"
#include "pool.h"

static apr_uint32_t heads_for(apr_uint32_t capacity)
{
    apr_uint32_t heads = APIPOOL_CLIENT_CAPACITY_MIN;
    while (heads < capacity) {
        heads *= 2;
    }
    return heads;
}

apr_size_t apipool_clients_bytes(apr_uint32_t capacity)
{
    return sizeof(apipool_client_head_t) +
           2 * (apr_size_t)heads_for(capacity) * sizeof(apr_uint32_t) +
           (apr_size_t)capacity * sizeof(apipool_client_slot_t);
}

apipool_clients_t apipool_clients_view(void *memory, apr_uint32_t capacity)
{
    apr_uint32_t heads = heads_for(capacity);
    apipool_client_head_t *head = memory;
    apr_uint32_t *by_digest = (void *)(head + 1), *by_name = by_digest + heads;
    return (apipool_clients_t){head,     by_digest, by_name, (void *)(by_name + heads),
                               capacity, heads};
}

static apr_uint32_t *digest_head(const apipool_clients_t *clients, const unsigned char *digest)
{
    apr_uint32_t hash;
    memcpy(&hash, digest, sizeof(hash));
    return &clients->by_digest[hash & (clients->heads - 1)];
}

static apr_uint32_t *name_head(const apipool_clients_t *clients, const char *server,
                               const char *name)
{
    apr_uint64_t hash = apipool_hash(server) * 31 + apipool_hash(name);
    return &clients->by_name[(hash ^ hash >> 32) & (clients->heads - 1)];
}

/* Digests are compared in a time that says nothing about them. */
apipool_client_slot_t *apipool_clients_by_digest_locked(const apipool_clients_t *clients,
                                                        const unsigned char *digest)
{
    apr_uint32_t link = *digest_head(clients, digest);
    while (link &&
           CRYPTO_memcmp(clients->slots[link - 1].digest, digest, APIPOOL_CLIENTKEY_DIGEST) != 0) {
        link = clients->slots[link - 1].next_by_digest;
    }
    return link ? &clients->slots[link - 1] : NULL;
}

apipool_client_slot_t *apipool_clients_by_name_locked(const apipool_clients_t *clients,
                                                      const char *server, const char *name)
{
    apr_uint32_t link = *name_head(clients, server, name);
    while (link && (strcmp(clients->slots[link - 1].name, name) ||
                    strcmp(clients->slots[link - 1].server, server))) {
        link = clients->slots[link - 1].next_by_name;
    }
    return link ? &clients->slots[link - 1] : NULL;
}

apipool_client_slot_t *apipool_clients_at_locked(const apipool_clients_t *clients,
                                                 apr_uint32_t index, apr_uint64_t serial)
{
    apipool_client_slot_t *slot = &clients->slots[index];
    return index < clients->head->used && serial && slot->serial == serial ? slot : NULL;
}

const apipool_client_terms_t *apipool_client_slot_terms(const apipool_client_slot_t *slot)
{
    return &slot->terms[slot->current];
}

static apipool_client_slot_t *take_slot(const apipool_clients_t *clients)
{
    apipool_client_head_t *head = clients->head;
    apr_uint32_t index = head->free;
    if (index) {
        head->free = clients->slots[index - 1].next_by_digest;
        return &clients->slots[index - 1];
    }
    return head->used < clients->capacity ? &clients->slots[head->used++] : NULL;
}

static void link_slot(const apipool_clients_t *clients, apipool_client_slot_t *slot)
{
    apr_uint32_t link = (apr_uint32_t)(slot - clients->slots) + 1;
    apr_uint32_t *head = digest_head(clients, slot->digest);
    slot->next_by_digest = *head;
    *head = link;
    head = name_head(clients, slot->server, slot->name);
    slot->next_by_name = *head;
    *head = link;
    clients->head->count++;
}

void apipool_client_terms_copy(apipool_client_terms_t *to, const apipool_client_terms_t *from)
{
    memcpy(to, from, offsetof(apipool_client_terms_t, lists));
    memcpy(to->lists, from->lists, from->lists_len);
}

apipool_client_slot_t *apipool_clients_add_locked(const apipool_clients_t *clients,
                                                  const apipool_client_image_t *image)
{
    apipool_client_slot_t *slot = take_slot(clients);
    if (!slot) {
        return NULL;
    }
    memset(slot, 0, sizeof(*slot));
    apr_cpystrn(slot->server, image->server, sizeof(slot->server));
    apr_cpystrn(slot->name, image->name, sizeof(slot->name));
    memcpy(slot->digest, image->digest, sizeof(slot->digest));
    slot->created_at = image->created_at;
    apipool_client_terms_copy(&slot->terms[0], &image->terms);
    APIPOOL_FAULT("client-unnumbered");
    APIPOOL_IN_ORDER(); /* with a serial number, it counts */
    slot->serial = ++clients->head->serials;
    APIPOOL_FAULT("client-unlinked");
    link_slot(clients, slot);
    return slot;
}

void apipool_clients_set_terms_locked(apipool_client_slot_t *slot,
                                      const apipool_client_terms_t *terms)
{
    apipool_client_terms_copy(&slot->terms[!slot->current], terms);
    APIPOOL_FAULT("client-terms-untold");
    APIPOOL_IN_ORDER();
    slot->current = !slot->current;
}

static void unlink_from(const apipool_clients_t *clients, apr_uint32_t *link, apr_uint32_t wanted,
                        int by_name)
{
    while (*link && *link != wanted) {
        apipool_client_slot_t *slot = &clients->slots[*link - 1];
        link = by_name ? &slot->next_by_name : &slot->next_by_digest;
    }
    if (*link) {
        apipool_client_slot_t *slot = &clients->slots[*link - 1];
        *link = by_name ? slot->next_by_name : slot->next_by_digest;
    }
}

void apipool_clients_remove_locked(const apipool_clients_t *clients, apipool_client_slot_t *slot)
{
    apr_uint32_t link = (apr_uint32_t)(slot - clients->slots) + 1;
    slot->serial = 0;
    APIPOOL_FAULT("client-half-removed");
    unlink_from(clients, digest_head(clients, slot->digest), link, 0);
    unlink_from(clients, name_head(clients, slot->server, slot->name), link, 1);
    OPENSSL_cleanse(slot->digest, sizeof(slot->digest));
    slot->next_by_digest = clients->head->free;
    clients->head->free = link;
    clients->head->count--;
}

int apipool_client_lists_are_whole(const apipool_client_terms_t *terms)
{
    apr_uint32_t at = 0;
    if (terms->lists_len > APIPOOL_CLIENT_LISTS_MAX) {
        return 0;
    }
    for (int list = 0; list < APIPOOL_CLIENT_LISTS; list++) {
        for (apr_size_t len = 1; len; at += (apr_uint32_t)len + 1) {
            len = strnlen(terms->lists + at, terms->lists_len - at);
            if (at + len >= terms->lists_len) {
                return 0;
            }
        }
    }
    return at == terms->lists_len;
}

static void mend_slot(apipool_client_slot_t *slot)
{
    slot->current = slot->current != 0;
    slot->server[APIPOOL_CLIENT_SERVER_MAX - 1] = '\0';
    slot->name[APIPOOL_CLIENT_NAME_MAX - 1] = '\0';
    apipool_client_terms_t *terms = &slot->terms[slot->current];
    if (!apipool_client_lists_are_whole(terms)) { /* nobody knows what it may */
        memset(terms, 0, sizeof(*terms));
        terms->lists_len = APIPOOL_CLIENT_LISTS;
    }
    apipool_numbers_mend(&slot->numbers);
}

void apipool_clients_mend_locked(const apipool_clients_t *clients)
{
    apipool_client_head_t *head = clients->head;
    head->used = head->used < clients->capacity ? head->used : clients->capacity;
    head->count = head->free = 0;
    memset(clients->by_digest, 0, clients->heads * sizeof(*clients->by_digest));
    memset(clients->by_name, 0, clients->heads * sizeof(*clients->by_name));
    for (apr_uint32_t i = 0; i < head->used; i++) {
        apipool_client_slot_t *slot = &clients->slots[i];
        if (slot->serial) {
            mend_slot(slot);
            link_slot(clients, slot);
            head->serials = head->serials > slot->serial ? head->serials : slot->serial;
        }
        else {
            slot->next_by_digest = head->free;
            head->free = i + 1;
        }
    }
}

/* Each client is in the chain of its digest and in that of its name, and in no other. */
static const char *check_chain(const apipool_clients_t *clients, int by_name)
{
    const apr_uint32_t *heads = by_name ? clients->by_name : clients->by_digest;
    apr_uint32_t count = 0;
    for (apr_uint32_t i = 0; i < clients->heads; i++) {
        for (apr_uint32_t link = heads[i]; link;) {
            const apipool_client_slot_t *slot = &clients->slots[link - 1];
            if (link > clients->head->used || !slot->serial || ++count > clients->head->used ||
                &heads[i] != (by_name ? name_head(clients, slot->server, slot->name)
                                      : digest_head(clients, slot->digest))) {
                return "a chain of clients is broken";
            }
            link = by_name ? slot->next_by_name : slot->next_by_digest;
        }
    }
    return count == clients->head->count ? NULL : "a client is in no chain";
}

static const char *check_slots(const apipool_clients_t *clients)
{
    apr_uint32_t count = 0;
    for (apr_uint32_t i = 0; i < clients->head->used; i++) {
        const apipool_client_slot_t *slot = &clients->slots[i];
        count += slot->serial != 0;
        if (slot->serial && (slot->current > 1 || slot->serial > clients->head->serials ||
                             !memchr(slot->server, '\0', sizeof(slot->server)) ||
                             !memchr(slot->name, '\0', sizeof(slot->name)) ||
                             !apipool_client_lists_are_whole(&slot->terms[slot->current]))) {
            return "a client makes no sense";
        }
    }
    return count == clients->head->count ? NULL : "clients are counted wrongly";
}

static const char *check_free(const apipool_clients_t *clients)
{
    const apipool_client_head_t *head = clients->head;
    apr_uint32_t free = 0;
    for (apr_uint32_t link = head->free; link; link = clients->slots[link - 1].next_by_digest) {
        if (link > head->used || clients->slots[link - 1].serial || ++free > head->used) {
            return "the chain of free clients is broken";
        }
    }
    return free + head->count == head->used ? NULL : "a place for a client is lost";
}

const char *apipool_clients_check_locked(const apipool_clients_t *clients)
{
    const char *fault = clients->head->used > clients->capacity ? "there are more clients than room"
                                                                : check_slots(clients);
    fault = fault ? fault : check_chain(clients, 0);
    fault = fault ? fault : check_chain(clients, 1);
    return fault ? fault : check_free(clients);
}
