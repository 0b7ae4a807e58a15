/* SPDX-License-Identifier: Apache-2.0
 * The table of clients in shared memory: slots, and chains through them by digest and by name. */
#ifndef APIPOOL_MEMORY_CLIENT_TABLE_H
#define APIPOOL_MEMORY_CLIENT_TABLE_H

#include "client_key.h"
#include "counters.h"
#include "hash_table.h"
#include "mod_apipool.h"

/* Memory full of zeros is a valid empty table. A view of it, with pointers, is made by each process. Where
 * the name says so the caller holds the segment's lock.
 *
 *   head       the last serial number, and the heads of the tables
 *   links      of the tables by digest, which also tells who is free, and by server and name
 *   slots[C]   one client each
 *
 * A slot with a serial number is in use; all else follows from those, and is made anew when a process has
 * died in here. No serial number is given twice, so that whoever has seen a client can tell whether its slot
 * is still the same one's. */

#define APIPOOL_CLIENT_SERVER_MAX   256 /* bytes with NUL */
#define APIPOOL_CLIENT_NAME_MAX     64  /* the same */
#define APIPOOL_CLIENT_LISTS_MAX    2048
#define APIPOOL_CLIENT_CAPACITY_MIN 16
#define APIPOOL_CLIENT_CAPACITY_MAX 100000

enum { APIPOOL_CLIENT_POOLS, APIPOOL_CLIENT_MODELS, APIPOOL_CLIENT_ENDPOINTS };

/* Limits, those with a window first. */
enum { APIPOOL_CLIENT_RPM, APIPOOL_CLIENT_TPM, APIPOOL_CLIENT_TPD, APIPOOL_CLIENT_CONCURRENCY };
#define APIPOOL_CLIENT_WINDOWS 3

#define APIPOOL_CLIENT_UNLISTED "unlisted" /* among endpoints: those that are in no table */

/* What an operator says of a client. Lists are texts that end with NUL, each list with one more NUL, in the
 * order above; an empty one allows everything. */
typedef struct {
    apr_uint32_t enabled;
    apr_uint32_t limits[APIPOOL_CLIENT_LIMITS]; /* 0: none */
    apr_time_t expires_at;                      /* 0: never */
    apr_uint32_t lists_len;                     /* bytes in use */
    char lists[APIPOOL_CLIENT_LISTS_MAX];
} apipool_client_terms_t;

/* What makes a client, and is kept of it. The key itself is known nowhere. */
typedef struct {
    char server[APIPOOL_CLIENT_SERVER_MAX], name[APIPOOL_CLIENT_NAME_MAX];
    unsigned char digest[APIPOOL_CLIENT_KEY_DIGEST];
    apr_time_t created_at;
    apipool_client_terms_t terms;
} apipool_client_image_t;

typedef struct {
    apr_uint64_t serial;  /* 0: free */
    apr_uint32_t current; /* of the terms: the other ones are written while these hold */
    char server[APIPOOL_CLIENT_SERVER_MAX], name[APIPOOL_CLIENT_NAME_MAX];
    unsigned char digest[APIPOOL_CLIENT_KEY_DIGEST];
    apr_time_t created_at, last_used_at;
    apr_uint32_t in_flight; /* requests that are not over; see holders in segment_layout.h */
    apipool_window_t windows[APIPOOL_CLIENT_WINDOWS];
    apipool_counters_t numbers;
    apipool_client_terms_t terms[2];
} apipool_client_slot_t;

typedef struct {
    apr_uint64_t serials; /* given out */
    apipool_hash_table_head_t by_digest, by_name;
} apipool_client_head_t;

/* A process's view of the table. */
typedef struct {
    apipool_client_head_t *head;
    apipool_client_slot_t *slots;
    apipool_hash_table_t by_digest, by_name;
    apr_uint32_t capacity;
} apipool_clients_t;

/** Bytes that a table takes. Needs no lock. */
apr_size_t apipool_clients_bytes(apr_uint32_t capacity);

/** A view of a table in memory of apipool_clients_bytes(), aligned to 8. Needs no lock. */
apipool_clients_t apipool_clients_view(void *memory, apr_uint32_t capacity);

/** The client whose key has that digest; NULL: there is none. O(1). */
apipool_client_slot_t *apipool_clients_by_digest_locked(const apipool_clients_t *clients,
                                                        const unsigned char *digest);

/** The client of that server and name; NULL: there is none. O(1). */
apipool_client_slot_t *apipool_clients_by_name_locked(const apipool_clients_t *clients,
                                                      const char *server, const char *name);

/** How many slots there are to look at: those with a serial number are in use. */
static inline apr_uint32_t apipool_clients_used(const apipool_clients_t *clients)
{
    return clients->head->by_digest.used;
}

/** The client that a slot had when it had that serial number; NULL: it has gone. */
apipool_client_slot_t *apipool_clients_at_locked(const apipool_clients_t *clients,
                                                 apr_uint32_t index, apr_uint64_t serial);

/** The terms in force. */
const apipool_client_terms_t *apipool_client_slot_terms(const apipool_client_slot_t *slot);

/** Adds a client, which is not there yet, and for which there is a slot. */
void apipool_clients_add_locked(const apipool_clients_t *clients,
                                const apipool_client_image_t *image);

/** Copies terms, without what is not in use of their lists. Pure. */
void apipool_client_terms_copy(apipool_client_terms_t *to, const apipool_client_terms_t *from);

/** Gives a client other terms, all at once. */
void apipool_clients_set_terms_locked(apipool_client_slot_t *slot,
                                      const apipool_client_terms_t *terms);

void apipool_clients_remove_locked(const apipool_clients_t *clients, apipool_client_slot_t *slot);

/** Whether the lists of terms are what they should be: so many, within their bytes. */
int apipool_client_lists_are_whole(const apipool_client_terms_t *terms);

/** Makes all anew that follows from the slots, of which none has anything in flight then.
 *  @return 0 when one made no sense, and is gone */
int apipool_clients_rebuild_locked(const apipool_clients_t *clients);

#endif
