/* SPDX-License-Identifier: Apache-2.0
 * Table of clients in shared memory: slots, and hash chains by digest, by name and by old
 * digest. */
#include "client_table.h"

#include <apr_strings.h>
#include <openssl/crypto.h>
#include <string.h>

#include "consistent_hash.h"
#include "fault.h"

apr_size_t apipool_clients_bytes(apr_uint32_t capacity)
{
    return sizeof(apipool_client_head_t) + (apr_size_t)capacity * sizeof(apipool_client_slot_t) +
           3 * apipool_hash_table_bytes(capacity, apipool_hash_table_chains(capacity));
}

apipool_clients_t apipool_clients_view(void *memory, apr_uint32_t capacity)
{
    apipool_client_head_t *head = memory;
    apipool_client_slot_t *slots = (void *)(head + 1);
    char *links = (void *)(slots + capacity);
    apr_uint32_t chains = apipool_hash_table_chains(capacity);
    apr_size_t each = apipool_hash_table_bytes(capacity, chains);
    return (apipool_clients_t){
        .head = head,
        .slots = slots,
        .by_digest = apipool_hash_table_view(&head->by_digest, links, capacity, chains),
        .by_name = apipool_hash_table_view(&head->by_name, links + each, capacity, chains),
        .by_old = apipool_hash_table_view(&head->by_old, links + 2 * each, capacity, chains),
        .capacity = capacity};
}

static apr_uint64_t digest_hash(const unsigned char *digest)
{
    apr_uint64_t hash;
    memcpy(&hash, digest, sizeof(hash));
    return hash;
}

static apr_uint64_t name_hash(const char *server, const char *name)
{
    return apipool_hash(server) * 31 + apipool_hash(name);
}

/* Compares digests in constant time. */
apipool_client_slot_t *apipool_clients_by_digest_locked(const apipool_clients_t *clients,
                                                        const unsigned char *digest)
{
    apr_uint32_t i = apipool_hash_table_first(&clients->by_digest, digest_hash(digest));
    while (i != APIPOOL_NONE &&
           CRYPTO_memcmp(clients->slots[i].digest, digest, APIPOOL_CLIENT_KEY_DIGEST) != 0) {
        i = apipool_hash_table_next(&clients->by_digest, i);
    }
    return i != APIPOOL_NONE ? &clients->slots[i] : NULL;
}

apipool_client_slot_t *apipool_clients_by_old_digest_locked(const apipool_clients_t *clients,
                                                            const unsigned char *digest)
{
    apr_uint32_t i = apipool_hash_table_first(&clients->by_old, digest_hash(digest));
    while (i != APIPOOL_NONE &&
           CRYPTO_memcmp(clients->slots[i].old_digest, digest, APIPOOL_CLIENT_KEY_DIGEST) != 0) {
        i = apipool_hash_table_next(&clients->by_old, i);
    }
    return i != APIPOOL_NONE ? &clients->slots[i] : NULL;
}

apipool_client_slot_t *apipool_clients_by_name_locked(const apipool_clients_t *clients,
                                                      const char *server, const char *name)
{
    apr_uint32_t i = apipool_hash_table_first(&clients->by_name, name_hash(server, name));
    while (i != APIPOOL_NONE &&
           (strcmp(clients->slots[i].name, name) || strcmp(clients->slots[i].server, server))) {
        i = apipool_hash_table_next(&clients->by_name, i);
    }
    return i != APIPOOL_NONE ? &clients->slots[i] : NULL;
}

apipool_client_slot_t *apipool_clients_at_locked(const apipool_clients_t *clients,
                                                 apr_uint32_t index, apr_uint64_t serial)
{
    apipool_client_slot_t *slot = &clients->slots[index];
    return index < apipool_clients_used(clients) && serial && slot->serial == serial ? slot : NULL;
}

const apipool_client_terms_t *apipool_client_slot_terms(const apipool_client_slot_t *slot)
{
    return &slot->terms[slot->current];
}

static void link_keys(const apipool_clients_t *clients, const apipool_client_slot_t *slot)
{
    apr_uint32_t index = (apr_uint32_t)(slot - clients->slots);
    apipool_hash_table_link(&clients->by_digest, index, digest_hash(slot->digest));
    if (slot->old_until) {
        apipool_hash_table_link(&clients->by_old, index, digest_hash(slot->old_digest));
    }
}

static void unlink_keys(const apipool_clients_t *clients, const apipool_client_slot_t *slot)
{
    apr_uint32_t index = (apr_uint32_t)(slot - clients->slots);
    apipool_hash_table_unlink(&clients->by_digest, index, digest_hash(slot->digest));
    if (slot->old_until) {
        apipool_hash_table_unlink(&clients->by_old, index, digest_hash(slot->old_digest));
    }
}

static void link_slot(const apipool_clients_t *clients, const apipool_client_slot_t *slot)
{
    apr_uint32_t index = (apr_uint32_t)(slot - clients->slots);
    link_keys(clients, slot);
    apipool_hash_table_link(&clients->by_name, index, name_hash(slot->server, slot->name));
}

void apipool_client_terms_copy(apipool_client_terms_t *to, const apipool_client_terms_t *from)
{
    memcpy(to, from, offsetof(apipool_client_terms_t, lists));
    memcpy(to->lists, from->lists, from->lists_len);
}

void apipool_clients_add_locked(const apipool_clients_t *clients,
                                const apipool_client_image_t *image)
{
    apipool_client_slot_t *slot = &clients->slots[apipool_hash_table_take(&clients->by_digest)];
    memset(slot, 0, sizeof(*slot));
    apr_cpystrn(slot->server, image->server, sizeof(slot->server));
    apr_cpystrn(slot->name, image->name, sizeof(slot->name));
    memcpy(slot->digest, image->digest, sizeof(slot->digest));
    memcpy(slot->old_digest, image->old_digest, sizeof(slot->old_digest));
    slot->old_until = image->old_until;
    slot->created_at = image->created_at;
    apipool_client_terms_copy(&slot->terms[0], &image->terms);
    APIPOOL_FAULT("client-unnumbered");
    APIPOOL_IN_ORDER(); /* the serial number puts the slot in use */
    slot->serial = ++clients->head->serials;
    APIPOOL_FAULT("client-unlinked");
    link_slot(clients, slot);
}

void apipool_clients_set_terms_locked(apipool_client_slot_t *slot,
                                      const apipool_client_terms_t *terms)
{
    apipool_client_terms_copy(&slot->terms[!slot->current], terms);
    APIPOOL_FAULT("client-terms-untold");
    APIPOOL_IN_ORDER();
    slot->current = !slot->current;
}

void apipool_clients_move_locked(const apipool_clients_t *clients, apipool_client_slot_t *slot,
                                 const char *server, const char *name)
{
    apr_uint32_t index = (apr_uint32_t)(slot - clients->slots);
    apipool_hash_table_unlink(&clients->by_name, index, name_hash(slot->server, slot->name));
    APIPOOL_FAULT("client-nameless");
    apr_cpystrn(slot->server, server, sizeof(slot->server));
    apr_cpystrn(slot->name, name, sizeof(slot->name));
    apipool_hash_table_link(&clients->by_name, index, name_hash(slot->server, slot->name));
}

/* Of a process that dies here nobody has got the new key, and the store knows both. */
void apipool_clients_set_keys_locked(const apipool_clients_t *clients, apipool_client_slot_t *slot,
                                     const apipool_client_image_t *image)
{
    unlink_keys(clients, slot);
    APIPOOL_FAULT("client-keys-unlinked");
    slot->old_until = image->old_until;
    memcpy(slot->old_digest, image->old_digest, sizeof(slot->old_digest));
    APIPOOL_FAULT("client-keys-half-changed");
    memcpy(slot->digest, image->digest, sizeof(slot->digest));
    link_keys(clients, slot);
}

void apipool_clients_remove_locked(const apipool_clients_t *clients, apipool_client_slot_t *slot)
{
    apr_uint32_t index = (apr_uint32_t)(slot - clients->slots);
    slot->serial = 0;
    APIPOOL_FAULT("client-half-removed");
    unlink_keys(clients, slot);
    apipool_hash_table_unlink(&clients->by_name, index, name_hash(slot->server, slot->name));
    OPENSSL_cleanse(slot->digest, sizeof(slot->digest));
    OPENSSL_cleanse(slot->old_digest, sizeof(slot->old_digest));
    apipool_hash_table_give(&clients->by_digest, index);
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

static int is_sound(const apipool_client_slot_t *slot)
{
    return slot->current <= 1 && memchr(slot->server, '\0', sizeof(slot->server)) &&
           memchr(slot->name, '\0', sizeof(slot->name)) &&
           apipool_client_lists_are_whole(&slot->terms[slot->current]);
}

int apipool_clients_rebuild_locked(const apipool_clients_t *clients)
{
    int all_are_sound = 1;
    apipool_hash_table_clear(&clients->by_digest);
    apipool_hash_table_clear(&clients->by_name);
    apipool_hash_table_clear(&clients->by_old);
    for (apr_uint32_t i = apipool_clients_used(clients); i-- > 0;) {
        apipool_client_slot_t *slot = &clients->slots[i];
        slot->in_flight = 0;
        if (slot->serial && !is_sound(slot)) {
            slot->serial = 0;
            all_are_sound = 0;
        }
        if (slot->serial) {
            link_slot(clients, slot);
        }
        else {
            apipool_hash_table_give(&clients->by_digest, i);
        }
    }
    return all_are_sound;
}
