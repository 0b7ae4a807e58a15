/* SPDX-License-Identifier: Apache-2.0
 * Internals of the store; only for src/store/store*.c. */
#ifndef APIPOOL_STORE_STORE_PARTS_H
#define APIPOOL_STORE_STORE_PARTS_H

#include "folder.h"
#include "record.h"
#include "segment_layout.h"
#include "store.h"
#include "vault.h"

#define APIPOOL_STORE_BATCH 64 /* slots copied per lock */

struct apipool_store_t {
    apipool_store_settings_t settings;
    const char *path;
    apipool_folder_t *folder;
    apipool_segment_t *segment;
    apr_global_mutex_t *mutex;                 /* of the single writer */
    unsigned char secret[APIPOOL_SECRET_SIZE]; /* seals everything */
    apipool_vault_t vault;
    unsigned char next_secret[APIPOOL_SECRET_SIZE]; /* new secret, if has_next */
    apipool_vault_t next_vault;
    int has_next;
    int is_carried; /* the secret lies in the store, where earlier versions put it */
};

/* Generation being written, with buffers. */
typedef struct {
    apipool_store_t *store;
    apipool_generation_t *generation;
    const apipool_store_change_t *change; /* or NULL */
    apr_status_t rv;                      /* memory could not be read: the generation is aborted */
    int unsealed;                         /* a key could not be sealed: likewise */
    apipool_slot_t slots[APIPOOL_STORE_BATCH]; /* copies */
    char keys[APIPOOL_STORE_BATCH][APIPOOL_KEY_MAX];
    char labels[APIPOOL_STORE_BATCH][APIPOOL_LABEL_MAX + 1];
    char accounts[APIPOOL_STORE_BATCH][APIPOOL_ACCOUNT_MAX + 1];
    apipool_record_writer_t writer;
    unsigned char record[APIPOOL_DBM_VALUE_MAX];
} apipool_saving_t;

/** Begins a record. Returns its writer. */
apipool_record_writer_t *apipool_saving_begin(apipool_saving_t *saving);

/** Adds that record; if it did not fit, the generation fails. */
void apipool_saving_put(apipool_saving_t *saving, const char *key);

/** Calls save() with the index of the copy for each slot in use. Slots are copied in batches, so
 *  that the lock is held for microseconds, and wiped at the end. */
void apipool_saving_slots(apipool_saving_t *saving, void (*save)(apipool_saving_t *saving, int n));

/** Takes the segment's lock, to be released with apipool_segment_unlock(). Returns 0 if it fails
 *  now or has failed before. */
int apipool_saving_lock(apipool_saving_t *saving);

/** Copies bytes of the segment under the lock. Returns 0 on failure. */
int apipool_saving_copy(apipool_saving_t *saving, void *copy, const void *of, apr_size_t size);

/** Name of a key's record: "k0123456789abcdef-89abcdef01234567", its id and a hash of its pool. */
#define APIPOOL_STORE_NAME_SIZE 40
void apipool_store_key_name(char name[APIPOOL_STORE_NAME_SIZE], apr_uint64_t id, const char *server,
                            const char *pool);

/* Key in private memory, as read. */
typedef struct {
    char server[APIPOOL_SERVER_NAME_MAX], pool[APIPOOL_NAME_MAX], upstream[APIPOOL_NAME_MAX];
    char label[APIPOOL_LABEL_MAX + 1], account[APIPOOL_ACCOUNT_MAX + 1];
    apr_uint64_t id, account_hash;
    apr_time_t added_at;
    apipool_key_limits_t limits;
    apr_uint32_t weight;
    int enabled;
    apipool_record_field_t sealed; /* the key, valid as long as the record */
    char *key;                     /* len bytes */
    apr_size_t len;
} apipool_stored_key_t;

/* Pool in maintenance, as read. */
typedef struct {
    char server[APIPOOL_SERVER_NAME_MAX], pool[APIPOOL_NAME_MAX];
    apipool_maintenance_t maintenance;
} apipool_stored_maintenance_t;

/* Deletion, as read. */
typedef struct {
    char server[APIPOOL_SERVER_NAME_MAX], pool[APIPOOL_NAME_MAX];
    apr_uint64_t id;
} apipool_stored_deletion_t;

struct apipool_stored_keys_t {
    apipool_store_t *store;
    apr_pool_t *pool;
    apr_array_header_t *keys;                     /* apipool_stored_key_t */
    apr_array_header_t *clients;                  /* apipool_client_image_t */
    apr_array_header_t *sessions;                 /* apipool_revoked_t */
    apr_array_header_t *maintenance;              /* apipool_stored_maintenance_t */
    apr_array_header_t *deletions;                /* apipool_stored_deletion_t */
    unsigned char id_secret[APIPOOL_SECRET_SIZE]; /* key ids are derived from it */
    apr_uint64_t generation;                      /* that was read */
    const char *error;
};

/** Reads or creates the secret, and reads a new one: parent, with the folder open. */
apr_status_t apipool_store_read_secrets(apipool_store_t *store, const char **error,
                                        apr_pool_t *pool);

/** Refuses a store without data that is marked as having had some. */
apr_status_t apipool_store_refuse_empty(const apipool_store_t *store, const char **error,
                                        apr_pool_t *pool);

/** Switches to the segment's secret, which the parent may have replaced: single writer. */
apr_status_t apipool_store_follow_secret(apipool_store_t *store, const char **error);

/** Returns 1 if memory must be restored from disk before the next write. No lock. */
int apipool_store_lags_behind(const apipool_store_t *store);

/** Makes the caller the single writer, until apipool_store_release(). */
apr_status_t apipool_store_lock(apipool_store_t *store, const char **error);

/**
 * Writes a generation: single writer.
 * @param change its difference to memory, or NULL
 */
apr_status_t apipool_store_write(apipool_store_t *store, apipool_store_kind_e kind,
                                 const apipool_store_change_t *change, const char **error,
                                 apr_pool_t *pool);

/**
 * Puts keys, clients and sessions that were read into the segment. Existing ones are changed to
 * match.
 * @param no_room sentence for a key that does not fit
 * @param error   result on failure: a sentence, or NULL
 */
apr_status_t apipool_store_put_stored(apipool_segment_t *segment, const apipool_stored_keys_t *keys,
                                      const char *no_room, const char **error);

/** Name of a client's record: "c0123456789abcdef-89abcdef01234567", half of the digest of its
 *  key. */
void apipool_store_client_name(char name[APIPOOL_STORE_NAME_SIZE], const unsigned char *digest);

/** Reads a client and appends it. Returns 0 if it cannot be read. */
int apipool_store_read_client(const char *value, apr_size_t len, apr_array_header_t *clients);

/** Puts clients that were read into the segment. Existing ones are changed to match. */
apr_status_t apipool_store_put_clients(apipool_segment_t *segment,
                                       const apr_array_header_t *clients, const char **error);

/** Removes all other clients: single writer. */
void apipool_store_remove_other_clients(apipool_segment_t *segment,
                                        const apr_array_header_t *clients, apr_pool_t *pool);

/** Writes all clients. */
void apipool_store_write_clients(apipool_saving_t *saving);

/** Writes all pools in maintenance, and reads one and appends it; 0 if it cannot be read. */
#define APIPOOL_STORE_OF_MAINTENANCE 'm' /* names of their records begin with it */
void apipool_store_write_maintenance(apipool_saving_t *saving);
int apipool_store_read_maintenance(const char *value, apr_size_t len, apr_array_header_t *pools);

/** Puts the pools in maintenance that were read into the segment; all others are in none. */
apr_status_t apipool_store_put_maintenance(apipool_segment_t *segment,
                                           const apr_array_header_t *pools);

/** Writes one deletion, writes all that count, and reads one and appends it; 0 if it cannot be
 *  read. */
#define APIPOOL_STORE_OF_DELETION 'd' /* names of their records begin with it */
void apipool_store_write_deletion(apipool_saving_t *saving, apr_uint32_t pool, apr_uint64_t id);
void apipool_store_write_deletions(apipool_saving_t *saving);
int apipool_store_read_deletion(apr_uint64_t id, const char *value, apr_size_t len,
                                apr_array_header_t *deletions);

/** Replaces the deletions of the segment by those that were read: single writer. */
apr_status_t apipool_store_put_deletions(apipool_segment_t *segment,
                                         const apr_array_header_t *deletions);

/** Writes all keys, clients, ended sessions, pools in maintenance and deletions. */
void apipool_store_write_keys(apipool_saving_t *saving);

/** Writes all statistics. */
void apipool_store_write_stats(apipool_saving_t *saving);

/** Reads one record of statistics; records of unknown keys and upstreams are skipped. */
apr_status_t apipool_store_read_stats(void *ctx, const char *key, apr_size_t key_len,
                                      const char *value, apr_size_t len);

#endif
