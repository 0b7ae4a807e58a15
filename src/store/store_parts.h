/* SPDX-License-Identifier: Apache-2.0
 * What the files of the store have in common; for src/store/store*.c alone. */
#ifndef APIPOOL_STORE_STORE_PARTS_H
#define APIPOOL_STORE_STORE_PARTS_H

#include "folder.h"
#include "record.h"
#include "segment_layout.h"
#include "store.h"
#include "vault.h"

#define APIPOOL_STORE_BATCH 64 /* slots that are copied under the lock at a time */

struct apipool_store_t {
    apipool_store_settings_t settings;
    const char *path;
    apipool_folder_t *folder;
    apipool_segment_t *segment;
    apr_global_mutex_t *mutex;                 /* of the one writer */
    unsigned char secret[APIPOOL_SECRET_SIZE]; /* that everything is sealed with */
    apipool_vault_t vault;
    unsigned char next_secret[APIPOOL_SECRET_SIZE]; /* that shall be it; when there is one */
    apipool_vault_t next_vault;
    int has_next;
    int is_carried; /* the secret lies in the store, where earlier versions made it */
};

/* A generation that is being written, and memory for one record of it. */
typedef struct {
    apipool_store_t *store;
    apipool_generation_t *generation;
    const apipool_store_change_t *change; /* or NULL */
    apr_status_t
        rv; /* not APR_SUCCESS: memory could not be read, and what is written is worth nothing */
    int unsealed;                              /* nor where a key could not be sealed */
    apipool_slot_t slots[APIPOOL_STORE_BATCH]; /* copies */
    char keys[APIPOOL_STORE_BATCH][APIPOOL_KEY_MAX];
    char labels[APIPOOL_STORE_BATCH][APIPOOL_LABEL_MAX + 1];
    char accounts[APIPOOL_STORE_BATCH][APIPOOL_ACCOUNT_MAX + 1];
    apipool_record_writer_t writer;
    unsigned char record[APIPOOL_DBM_VALUE_MAX];
} apipool_saving_t;

/** Begins a record. Returns its writer. */
apipool_record_writer_t *apipool_saving_begin(apipool_saving_t *saving);

/** Puts that record; what did not fit makes the generation fail. */
void apipool_saving_put(apipool_saving_t *saving, const char *key);

/** Calls save() for the n-th of the copies, for each slot in use. They are taken in batches, so that the
 *  lock is held for microseconds, and wiped when it is over. */
void apipool_saving_slots(apipool_saving_t *saving, void (*save)(apipool_saving_t *saving, int n));

/** Takes the segment's lock, which its own function gives back. Returns 0 if it is not to be had, or was not
 *  before. */
int apipool_saving_lock(apipool_saving_t *saving);

/** Copies bytes of the segment as they are at one moment. Returns 0 if it cannot. */
int apipool_saving_copy(apipool_saving_t *saving, void *copy, const void *of, apr_size_t size);

/** "k0123456789abcdef-89abcdef01234567": a key's id, and a hash of its pool. */
#define APIPOOL_STORE_NAME_SIZE 40
void apipool_store_key_name(char name[APIPOOL_STORE_NAME_SIZE], apr_uint64_t id, const char *server,
                            const char *pool);

/* A key in private memory, as it was read. */
typedef struct {
    char server[APIPOOL_SERVER_NAME_MAX], pool[APIPOOL_NAME_MAX], upstream[APIPOOL_NAME_MAX];
    char label[APIPOOL_LABEL_MAX + 1], account[APIPOOL_ACCOUNT_MAX + 1];
    apr_uint64_t id, account_hash;
    apr_time_t added_at;
    apipool_key_limits_t limits;
    apr_uint32_t weight;
    int enabled;
    apipool_record_field_t sealed; /* the key, as long as the record is there */
    char *key;                     /* len bytes */
    apr_size_t len;
} apipool_stored_key_t;

struct apipool_stored_keys_t {
    apipool_store_t *store;
    apr_pool_t *pool;
    apr_array_header_t *keys;                     /* apipool_stored_key_t */
    apr_array_header_t *clients;                  /* apipool_client_image_t */
    apr_array_header_t *sessions;                 /* apipool_revoked_t */
    unsigned char id_secret[APIPOOL_SECRET_SIZE]; /* that ids are derived from */
    apr_uint64_t generation;                      /* of which they are */
    const char *error;
};

/** Reads the secret, or makes it, and the one that shall replace it: with the folder open, parent. */
apr_status_t apipool_store_read_secrets(apipool_store_t *store, const char **error,
                                        apr_pool_t *pool);

/** Seals with the secret of the segment from now on, which the parent may have replaced since: the one
 *  writer. */
apr_status_t apipool_store_follow_secret(apipool_store_t *store, const char **error);

/** Whether memory is to be made what is on disk before anything is written. No lock. */
int apipool_store_lags_behind(const apipool_store_t *store);

/** Makes the caller the one writer, until apipool_store_release(). */
apr_status_t apipool_store_lock(apipool_store_t *store, const char **error);

/** Writes a generation: the caller is the one writer.
 *  @param change what it has other than memory, or NULL */
apr_status_t apipool_store_write(apipool_store_t *store, apipool_store_kind_e kind,
                                 const apipool_store_change_t *change, const char **error,
                                 apr_pool_t *pool);

/**
 * Puts what was read into the segment: keys, clients and sessions. What is there already becomes what the
 * records say.
 * @param no_room a sentence for where a key does not fit
 * @param error   result when it fails: a sentence, or NULL
 */
apr_status_t apipool_store_put_stored(apipool_segment_t *segment, const apipool_stored_keys_t *keys,
                                      const char *no_room, const char **error);

/** "c0123456789abcdef-89abcdef01234567": the first half of the digest of a client's key. */
void apipool_store_client_name(char name[APIPOOL_STORE_NAME_SIZE], const unsigned char *digest);

/** Reads a client and adds it to others. Returns 0 if it cannot be read. */
int apipool_store_read_client(const char *value, apr_size_t len, apr_array_header_t *clients);

/** Puts clients that were read into the segment; those that are there become what the records say. */
apr_status_t apipool_store_put_clients(apipool_segment_t *segment,
                                       const apr_array_header_t *clients, const char **error);

/** Removes all others: the caller is the one writer. */
void apipool_store_remove_other_clients(apipool_segment_t *segment,
                                        const apr_array_header_t *clients, apr_pool_t *pool);

/** Writes all clients. */
void apipool_store_write_clients(apipool_saving_t *saving);

/** Writes all keys, and what is kept with them. */
void apipool_store_write_keys(apipool_saving_t *saving);

/** Writes all statistics. */
void apipool_store_write_stats(apipool_saving_t *saving);

/** Takes one record of statistics over; those of keys and upstreams that are not there are passed over. */
apr_status_t apipool_store_read_stats(void *ctx, const char *key, apr_size_t key_len,
                                      const char *value, apr_size_t len);

#endif
