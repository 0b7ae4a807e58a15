/* SPDX-License-Identifier: Apache-2.0
 * Table of clients in shared memory: slots, and hash chains by digest and by name. */
#ifndef APIPOOL_MEMORY_CLIENT_TABLE_H
#define APIPOOL_MEMORY_CLIENT_TABLE_H

#include "client_key.h"
#include "counters.h"
#include "hash_table.h"
#include "mod_apipool.h"

/* Memory full of zeros is a valid empty table. Each process makes a view of it, with pointers.
 * Callers of a *_locked function hold the segment's lock.
 *
 *   head       last serial number, heads of the hash tables
 *   links      of the tables by digest (which also knows the free slots), by server and name, and
 *              by the digest of the old key
 *   slots[C]   one client each
 *
 * A slot with a serial number is in use. Everything else is derived from the slots, and rebuilt
 * when a process has died here. No serial number is used twice, so a caller that has seen a
 * client can check that the slot still belongs to it. */

#define APIPOOL_CLIENT_SERVER_MAX   256 /* bytes with NUL */
#define APIPOOL_CLIENT_NAME_MAX     64  /* bytes with NUL */
#define APIPOOL_CLIENT_LISTS_MAX    2048
#define APIPOOL_CLIENT_CAPACITY_MIN 16
#define APIPOOL_CLIENT_CAPACITY_MAX 100000

enum { APIPOOL_CLIENT_POOLS, APIPOOL_CLIENT_MODELS, APIPOOL_CLIENT_ENDPOINTS };

/* Limits; the ones with a window come first. */
enum { APIPOOL_CLIENT_RPM, APIPOOL_CLIENT_TPM, APIPOOL_CLIENT_TPD, APIPOOL_CLIENT_CONCURRENCY };
#define APIPOOL_CLIENT_WINDOWS 3

#define APIPOOL_CLIENT_UNLISTED "unlisted" /* stands for endpoints that are in no table */

/* Terms that an operator sets for a client. A list is a series of strings that end with NUL,
 * followed by one more NUL; the lists follow each other in the order above. An empty list allows
 * everything. */
typedef struct {
    apr_uint32_t enabled;
    apr_uint32_t limits[APIPOOL_CLIENT_LIMITS]; /* 0: none */
    apr_time_t expires_at;                      /* 0: never */
    apr_uint32_t lists_len;                     /* bytes in use */
    char lists[APIPOOL_CLIENT_LISTS_MAX];
} apipool_client_terms_t;

/* Everything that is stored of a client. The key itself is not stored. */
typedef struct {
    char server[APIPOOL_CLIENT_SERVER_MAX], name[APIPOOL_CLIENT_NAME_MAX];
    unsigned char digest[APIPOOL_CLIENT_KEY_DIGEST];
    unsigned char old_digest[APIPOOL_CLIENT_KEY_DIGEST]; /* of the key before, if old_until */
    apr_time_t old_until;                                /* end of the old key; 0: there is none */
    apr_time_t created_at;
    apipool_client_terms_t terms;
} apipool_client_image_t;

typedef struct {
    apr_uint64_t serial;  /* 0: free */
    apr_uint32_t current; /* index of the terms in force; new terms are written to the other one */
    char server[APIPOOL_CLIENT_SERVER_MAX], name[APIPOOL_CLIENT_NAME_MAX];
    unsigned char digest[APIPOOL_CLIENT_KEY_DIGEST];
    unsigned char old_digest[APIPOOL_CLIENT_KEY_DIGEST]; /* as in the image */
    apr_time_t old_until, created_at, last_used_at;
    apr_uint32_t in_flight; /* unfinished requests; see holders in segment_layout.h */
    apipool_window_t windows[APIPOOL_CLIENT_WINDOWS];
    apr_uint32_t refused; /* limits that have refused a request, as bits; an alarm takes them */
    apr_uint32_t told;    /* what an alarm has told of each limit, and when; see watch.c */
    apr_time_t told_at[APIPOOL_CLIENT_LIMITS];
    apipool_counters_t counters;
    apipool_client_terms_t terms[2];
} apipool_client_slot_t;

typedef struct {
    apr_uint64_t serials; /* given out */
    apipool_hash_table_head_t by_digest, by_name, by_old;
} apipool_client_head_t;

/* View of the table in one process. */
typedef struct {
    apipool_client_head_t *head;
    apipool_client_slot_t *slots;
    apipool_hash_table_t by_digest, by_name, by_old;
    apr_uint32_t capacity;
} apipool_clients_t;

/** Bytes that a table takes. No lock. */
apr_size_t apipool_clients_bytes(apr_uint32_t capacity);

/** View of a table in memory of apipool_clients_bytes(), aligned to 8. No lock. */
apipool_clients_t apipool_clients_view(void *memory, apr_uint32_t capacity);

/** Client whose key has this digest; NULL when there is none. O(1). */
apipool_client_slot_t *apipool_clients_by_digest_locked(const apipool_clients_t *clients,
                                                        const unsigned char *digest);

/** The same for the digest of an old key, whether it has ended or not. O(1). */
apipool_client_slot_t *apipool_clients_by_old_digest_locked(const apipool_clients_t *clients,
                                                            const unsigned char *digest);

/** Client with this server and name; NULL when there is none. O(1). */
apipool_client_slot_t *apipool_clients_by_name_locked(const apipool_clients_t *clients,
                                                      const char *server, const char *name);

/** Number of slots to look at. Those with a serial number are in use. */
static inline apr_uint32_t apipool_clients_used(const apipool_clients_t *clients)
{
    return clients->head->by_digest.used;
}

/** Client in this slot if it still has this serial number, else NULL. */
apipool_client_slot_t *apipool_clients_at_locked(const apipool_clients_t *clients,
                                                 apr_uint32_t index, apr_uint64_t serial);

/** Terms in force. */
const apipool_client_terms_t *apipool_client_slot_terms(const apipool_client_slot_t *slot);

/** Adds a client. The caller has checked that it is new and that a slot is free. */
void apipool_clients_add_locked(const apipool_clients_t *clients,
                                const apipool_client_image_t *image);

/** Copies terms; of the lists only the used bytes. Pure. */
void apipool_client_terms_copy(apipool_client_terms_t *to, const apipool_client_terms_t *from);

/** Replaces the terms of a client at once. */
void apipool_clients_set_terms_locked(apipool_client_slot_t *slot,
                                      const apipool_client_terms_t *terms);

/** Gives a client another server and name, which the caller has checked to be free there. */
void apipool_clients_move_locked(const apipool_clients_t *clients, apipool_client_slot_t *slot,
                                 const char *server, const char *name);

/** Replaces the keys of a client by those of the image. */
void apipool_clients_set_keys_locked(const apipool_clients_t *clients, apipool_client_slot_t *slot,
                                     const apipool_client_image_t *image);

void apipool_clients_remove_locked(const apipool_clients_t *clients, apipool_client_slot_t *slot);

/** Checks that the terms hold the right number of lists within lists_len bytes. */
int apipool_client_lists_are_whole(const apipool_client_terms_t *terms);

/** Rebuilds everything that is derived from the slots; nothing is in flight afterwards.
 *  @return 0 if a slot made no sense and was cleared */
int apipool_clients_rebuild_locked(const apipool_clients_t *clients);

#endif
