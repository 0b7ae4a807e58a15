/* SPDX-License-Identifier: Apache-2.0
 * Interface between mod_apipool and mod_apipool_admin: version, names, snapshots, table of
 * functions. */
#ifndef MOD_APIPOOL_H
#define MOD_APIPOOL_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>
#include <jansson.h>

#include "balance.h"
#include "input_error.h"
#include "key.h"
#include "counters.h"
#include "words.h"

/* The admin module never touches shared memory. It looks up this table when the configuration is
 * checked, and calls it from then on; mod_apipool registers it with its hooks. Both DSOs are
 * built from one tree: a table of another version is not found. */

#define APIPOOL_VERSION "0.1.0"

#define APIPOOL_API_GROUP       "apipool"
#define APIPOOL_API_NAME        "pools"
#define APIPOOL_SESSION_LONGEST (366 * 86400) /* longest life time of a session in seconds */

#define APIPOOL_API_VERSION "10"

struct server_rec;
struct request_rec;

/* State of a key, in the order of display. */
typedef enum {
    APIPOOL_STATE_ACTIVE,    /* in rotation */
    APIPOOL_STATE_COOLING,   /* limited until a known time */
    APIPOOL_STATE_HALF_OPEN, /* recovered; one request is allowed to prove it */
    APIPOOL_STATE_QUOTA,     /* balance or quota spent */
    APIPOOL_STATE_INVALID,   /* the upstream rejects the credential */
    APIPOOL_STATE_TRIPPED,   /* too many consecutive errors */
    APIPOOL_STATE_DISABLED,  /* disabled by an operator */
    APIPOOL_STATE_ORPHANED,  /* shown instead of its own: the configuration lacks its upstream */
    APIPOOL_STATE_COUNT
} apipool_state_e;

#define APIPOOL_CLIENT_KEY_SIZE 44 /* "ak-", 40 characters and NUL */

/* Memory that the types below point to lies in the caller's APR pool. Unless noted otherwise,
 * unknown times are 0 and unknown numbers are negative. A pool is identified by an index that
 * stays valid as long as httpd runs.
 *
 * Results for display are JSON with the members that docs/openapi.json describes; the caller
 * releases them. Their sentences are in English. */

typedef struct {
    const char *name;
    apr_uint32_t index;
} apipool_pool_info_t;

/* Maintenance of a pool: requests are refused. */
#define APIPOOL_MAINTENANCE_MESSAGE_MAX 255 /* bytes */
typedef struct {
    apr_time_t until; /* when it ends by itself; 0: an operator ends it */
    int is_on;
    char message[APIPOOL_MAINTENANCE_MESSAGE_MAX + 1]; /* to clients, in UTF-8; "": the usual one */
} apipool_maintenance_t;

/* --- Keys --- */

/* Key without its secret. */
typedef struct {
    apr_uint64_t id;
    char masked[APIPOOL_MASKED_SIZE];
    const char *upstream, *label, *account; /* label and account are "" if there is none */
    apr_uint32_t weight;
    apipool_state_e state;
    int is_enabled; /* an operator has not disabled it */
    apr_time_t cooling_until, next_probe_at;
    apr_time_t added_at, last_used_at;
    apr_time_t last_error_at;            /* last error, with the next three */
    int last_status;                     /* 0: no answer */
    const char *last_rule;               /* id of its rule */
    const char *last_message;            /* meaning of that rule, a static sentence */
    char last_words[APIPOOL_WORDS_SIZE]; /* what the vendor said; see words.h */
    const char *reason, *reason_code;    /* why it left the rotation last: static; "" if unknown */
    apr_uint32_t error_streak, in_flight;
    apipool_counters_snapshot_t counters; /* of attempts */
    apr_time_t balance_at;                /* time of reading; 0: never read */
    apipool_balances_t balances;
    apipool_key_limits_t limits; /* own limits; 0: those of the pool */
} apipool_key_info_t;

/* Selection of keys of a pool. */
typedef struct {
    unsigned states;      /* bits 1 << state; 0: any */
    const char *text;     /* a whole key, or part of an id, masked key, label or account, ignoring
                           * case; NULL: any */
    const char *upstream; /* NULL: any */
} apipool_key_filter_t;

typedef enum {
    APIPOOL_SORT_ADDED, /* the default */
    APIPOOL_SORT_ID,
    APIPOOL_SORT_LABEL,
    APIPOOL_SORT_ACCOUNT,
    APIPOOL_SORT_UPSTREAM,
    APIPOOL_SORT_STATE,
    APIPOOL_SORT_WEIGHT,
    APIPOOL_SORT_IN_FLIGHT,
    APIPOOL_SORT_REQUESTS,
    APIPOOL_SORT_ERRORS,
    APIPOOL_SORT_ERROR_STREAK,
    APIPOOL_SORT_SUCCESS_RATE,
    APIPOOL_SORT_RPM,
    APIPOOL_SORT_RPD,
    APIPOOL_SORT_TPM,
    APIPOOL_SORT_TPD,
    APIPOOL_SORT_TOTAL_TOKENS,
    APIPOOL_SORT_BALANCE,
    APIPOOL_SORT_LAST_USED,
    APIPOOL_SORT_LATENCY,
    APIPOOL_SORT_COUNT
} apipool_key_sort_e;

typedef struct {
    apipool_key_filter_t filter;
    apipool_key_sort_e sort;
    int descending;
    apr_uint32_t offset, limit;
} apipool_key_query_t;

/* Action on keys. */
typedef enum {
    APIPOOL_DO_EDIT,   /* apply the edit */
    APIPOOL_DO_DELETE, /* requests in flight keep their copy */
    APIPOOL_DO_RESET,  /* forget cooldowns, error streaks and the state that they led to */
    APIPOOL_DO_CHECK   /* probe the keys soon, after those already waiting */
} apipool_key_action_e;

typedef enum {
    APIPOOL_SET_ENABLED = 1,
    APIPOOL_SET_LABEL = 2,
    APIPOOL_SET_WEIGHT = 4,
    APIPOOL_SET_ACCOUNT = 8,
    APIPOOL_SET_LIMITS = 16, /* all limits together */
    APIPOOL_SET_ALL = 31,
    APIPOOL_SET_UPSTREAM = 32 /* only of an apipool_key_change_t */
} apipool_key_set_e;

typedef struct {
    unsigned set; /* bits of apipool_key_set_e; other members are ignored */
    int enabled;
    const char *label; /* UTF-8, at most APIPOOL_LABEL_MAX bytes; "" removes it */
    apr_uint32_t weight;
    const char *account; /* likewise, APIPOOL_ACCOUNT_MAX */
    apipool_key_limits_t limits;
} apipool_key_edit_t;

typedef struct {
    apipool_key_action_e action;
    apipool_key_edit_t edit; /* for APIPOOL_DO_EDIT */
    apr_uint32_t to_pool;    /* with APIPOOL_SET_UPSTREAM: pool and upstream to move the keys to */
    const char *to_upstream;
    const apr_uint64_t *ids; /* with id_count; NULL: all keys that match the filter */
    apr_size_t id_count;
    apipool_key_filter_t filter;
} apipool_key_change_t;

typedef struct {
    apr_uint32_t matched, done;
    apr_uint32_t listed; /* of deleted keys: in key files, which will not bring them back */
    apr_array_header_t *done_ids; /* apr_uint64_t: for the audit line */
    apr_array_header_t *failed;   /* apr_uint64_t: given ids that the pool does not have */
} apipool_key_changed_t;

typedef struct {
    long line;          /* line, or number of an array element, counting from 1 */
    const char *reason; /* static, without the key */
} apipool_import_fault_t;

/* What an import does with a key. */
typedef enum { APIPOOL_IMPORT_NEW, APIPOOL_IMPORT_CHANGED, APIPOOL_IMPORT_KNOWN } apipool_import_e;

/* Key of an import, masked. */
typedef struct {
    long line;           /* as above */
    const char *masked;  /* the texts live as long as the result */
    const char *label;   /* given; NULL: none */
    const char *account; /* likewise */
    const char *doubt;   /* static: why it does not look like a key; NULL: it does */
    apipool_import_e result;
} apipool_import_key_t;

typedef struct {
    apr_uint32_t added, duplicates, updated; /* duplicates that were changed */
    apr_array_header_t *ids;                 /* apr_uint64_t: keys added */
    apr_array_header_t *invalid;             /* apipool_import_fault_t: the first 1000 */
    apr_uint32_t invalid_count;
    apr_array_header_t *doubtful; /* apipool_import_key_t: new keys that were left out */
    apr_array_header_t *keys;     /* apipool_import_key_t: of a preview, the first 1000 others */
} apipool_import_t;

/* Options of an import. */
#define APIPOOL_IMPORT_PREVIEW  1u /* change nothing; the result tells what would happen */
#define APIPOOL_IMPORT_DOUBTFUL 2u /* add what does not look like a key as well */

/* Source of an import. */
typedef struct {
    /** Waits for the next bytes, which stay valid until the next call.
     *  @return APR_EOF at the end; another error if the end cannot be reached */
    apr_status_t (*next)(void *ctx, const char **bytes, apr_size_t *len);
    void *ctx;
    int is_json; /* only JSON; else the format is detected */
} apipool_import_source_t;

/* --- Clients --- */

/* Restrictions of a client, in the order of their names. */
#define APIPOOL_CLIENT_LISTS       3
#define APIPOOL_CLIENT_LIST_NAMES  "pools", "models", "endpoints"
#define APIPOOL_CLIENT_LIMITS      4
#define APIPOOL_CLIENT_LIMIT_NAMES "rpm", "tpm", "tokens_per_day", "concurrency"

/* Members that an edit sets; the others are unchanged. */
#define APIPOOL_CLIENT_SET_ENABLED      1u
#define APIPOOL_CLIENT_SET_EXPIRES_AT   2u
#define APIPOOL_CLIENT_SET_LIST(list)   (4u << (list))
#define APIPOOL_CLIENT_SET_LIMIT(limit) (32u << (limit))
#define APIPOOL_CLIENT_SET_ALL          511u

/* Edit of a client of a server. */
typedef struct {
    unsigned set;
    const char *name; /* of a new client */
    int enabled;
    apr_time_t expires_at; /* 0: never */
    apr_array_header_t
        *lists[APIPOOL_CLIENT_LISTS];           /* const char *; NULL or empty: all are allowed */
    apr_uint32_t limits[APIPOOL_CLIENT_LIMITS]; /* 0: no limit of its own */
} apipool_client_edit_t;

/* --- What no server reaches --- */

/* Move of clients to a server, or of keys to a pool. */
typedef struct {
    const char *server;          /* that they belonged to; "" for the main one */
    const char *pool, *upstream; /* of the keys; NULL: clients move */
    apr_uint32_t to_pool;
    const char *to_upstream; /* NULL: the first one */
} apipool_move_t;

typedef struct {
    apr_uint32_t moved;
    apr_uint32_t left; /* clients without a free name */
} apipool_moved_t;

/* --- Archives --- */

/* An archive, see archive.h, and what is in it. */
typedef struct {
    const unsigned char *bytes; /* lives as long as the pool */
    apr_size_t len;
    apr_uint32_t keys, clients;
} apipool_archived_t;

/* Archive to import. */
typedef struct {
    const unsigned char *bytes;
    apr_size_t len;
    const char *passphrase;
    int only_looks; /* change nothing; the result tells what would happen */
} apipool_archive_source_t;

/* --- The table --- */

/* Every function may be called by any thread of any child, waits for the locks that it needs and
 * holds none on return. Changes are on disk on return; if they cannot be written nothing has
 * changed. Results are only set with APR_SUCCESS. On failure *flaw, which the caller clears
 * before, may hold more: the wrong member and the reason, or a sentence for operators.
 *
 * Common results: APR_NOTFOUND: no such key or client. APR_ENOMEM: shared memory has no room for
 * it. APR_EEXIST: the name is taken. APR_EINVAL: invalid input, explained in *flaw. Others:
 * failed locks or disks. */
typedef struct {
    /** Returns 1 if requests can be served: shared memory exists and its lock can be taken. */
    int (*healthy)(void);

    /**
     * Sentence on why the store cannot be used; NULL if it can. No change can be made then. No lock.
     * @param is_out result: 1 if the pools refuse all requests for it
     */
    const char *(*store_fault)(int *is_out);

    /** Returns APR_SUCCESS if httpd's children will be able to read a file: parent, in check_config
     *  or later. */
    apr_status_t (*can_read)(struct server_rec *s, const char *path, apr_pool_t *p);

    /** Returns 1 if this module's configuration has chosen a handler of this module for a
     *  request, rather than AddHandler, .htaccess or a RewriteRule. No lock. */
    int (*is_mounted)(struct request_rec *r, const char *handler);

    /**
     * Level, on httpd's scale, at which all processes log their work on requests, at least that
     * of LogLevel. A change takes effect with the next request of each process. No lock.
     * @return 0: as configured
     */
    int (*log_level)(void);
    void (*set_log_level)(int level);

    /** Capacity, and state of saving. No lock. */
    apr_status_t (*system)(json_t **result);

    /** Pools that a server sees, its own and the main server's: apipool_pool_info_t. */
    apr_array_header_t *(*pools)(struct server_rec *s, apr_pool_t *p);

    /** Everything about a pool of that list. O(keys), in small steps. */
    apr_status_t (*pool)(struct server_rec *s, apr_uint32_t pool, apr_pool_t *p, json_t **result);

    /** Begins, changes or ends the maintenance of a pool. */
    apr_status_t (*pool_maintain)(apr_uint32_t pool, const apipool_maintenance_t *maintenance,
                                  apr_pool_t *p, apipool_input_error_t *flaw);

    /** Present rates; the last 60 minutes by minute, or 24 hours by hour, oldest first,
     *  including the current one; models, by tokens; and rules that occurred. */
    apr_status_t (*stats)(apr_uint32_t pool, int by_hour, apr_pool_t *p, json_t **result);

    /**
     * Last requests, newest first: an array.
     * @param pools apipool_pool_info_t: only requests of these
     * @param limit maximum number
     */
    apr_status_t (*requests)(const apr_array_header_t *pools, apr_uint32_t limit, apr_pool_t *p,
                             json_t **result);

    /** Page of a pool's keys, and the number of matches. Copies what it sorts by, in small steps
     *  under the lock; O(keys). */
    apr_status_t (*keys)(struct server_rec *s, apr_uint32_t pool, const apipool_key_query_t *query,
                         apr_pool_t *p, json_t **result);

    /** One key. O(1). */
    apr_status_t (*key)(struct server_rec *s, apr_uint32_t pool, apr_uint64_t id, apr_pool_t *p,
                        json_t **result);

    /** Whole key, NUL-terminated, for an operator who has entered the password again; the caller
     *  wipes it. */
    apr_status_t (*key_reveal)(apr_uint32_t pool, apr_uint64_t id, apr_pool_t *p, char **key);

    /**
     * Adds keys while they arrive, as apipool_key_list_t reads them; each is kept once until the
     * end of the list. For an existing key, the given attributes replace the known ones. What does
     * not look like a key is listed instead of added. Writes one generation of the store for all
     * keys.
     * @param upstream of the keys; NULL: first one of the pool
     * @param source   an error other than APR_EOF is returned, with nothing changed
     * @param options  APIPOOL_IMPORT_
     */
    apr_status_t (*key_import)(apr_uint32_t pool, const char *upstream,
                               const apipool_import_source_t *source, unsigned options,
                               apr_pool_t *p, apipool_import_t *result,
                               apipool_input_error_t *flaw);

    /** Changes keys, all or none. */
    apr_status_t (*key_change)(apr_uint32_t pool, const apipool_key_change_t *change, apr_pool_t *p,
                               apipool_key_changed_t *result, apipool_input_error_t *flaw);

    /** Probes a key now and waits up to 30 seconds for the answer; sets the key's state. */
    apr_status_t (*key_check)(struct server_rec *s, apr_uint32_t pool, apr_uint64_t id,
                              apr_pool_t *p, json_t **result);

    /** Clients of a server, ordered by name: an array. */
    apr_status_t (*clients)(struct server_rec *s, apr_pool_t *p, json_t **result);

    /** One client. The name may have any form that normalises to the stored one. */
    apr_status_t (*client)(struct server_rec *s, const char *name, apr_pool_t *p, json_t **result);

    /**
     * Creates a client and its key. The key is only returned here, as only its digest is stored.
     * The name is stored as apipool_client_name_normalise() makes it.
     * @param key APIPOOL_CLIENT_KEY_SIZE bytes; the caller wipes it
     */
    apr_status_t (*client_create)(struct server_rec *s, const apipool_client_edit_t *edit,
                                  apr_pool_t *p, char *key, apipool_input_error_t *flaw);

    /**
     * Gives a client another key. The present one stays valid for a while; an older one, of an
     * earlier rotation, ends at once. The name must be exactly as stored.
     * @param overlap seconds
     * @param key     as of client_create
     */
    apr_status_t (*client_rotate)(struct server_rec *s, const char *name, apr_uint32_t overlap,
                                  apr_pool_t *p, char *key, apipool_input_error_t *flaw);

    /** Ends the old key of a client, if it has one. The name must be exactly as stored. */
    apr_status_t (*client_end_old_key)(struct server_rec *s, const char *name, apr_pool_t *p,
                                       apipool_input_error_t *flaw);

    /** Change and delete a client. The name must be exactly as stored. */
    apr_status_t (*client_change)(struct server_rec *s, const char *name,
                                  const apipool_client_edit_t *edit, apr_pool_t *p,
                                  apipool_input_error_t *flaw);
    apr_status_t (*client_delete)(struct server_rec *s, const char *name, apr_pool_t *p,
                                  apipool_input_error_t *flaw);

    /** Clients and keys that no server reaches, for a server that may move them. */
    apr_status_t (*unreached)(struct server_rec *s, apr_pool_t *p, json_t **result);

    /** Moves all of one server's clients, or keys of one upstream. APR_NOTFOUND: this server may
     *  not. */
    apr_status_t (*unreached_move)(struct server_rec *s, const apipool_move_t *move, apr_pool_t *p,
                                   apipool_moved_t *result, apipool_input_error_t *flaw);

    /**
     * Archives all keys of the pools that a server sees, and its clients. Takes a good part of a
     * second and 64 MiB: callers admit few at a time.
     * @param passphrase the caller has checked its length and wipes it
     */
    apr_status_t (*archive_export)(struct server_rec *s, const char *passphrase, apr_pool_t *p,
                                   apipool_archived_t *result, apipool_input_error_t *flaw);

    /**
     * Adds what is in an archive, all of it or nothing: to pools that the server sees, by the names
     * of pool and upstream, and to its clients. What exists stays as it is, and what has no place
     * here is listed. Takes as much as an export; an archive of strangers up to 256 MiB and some
     * seconds.
     * @param result what was added, exists already, and has no place
     * @param ids    result: apr_uint64_t: keys added
     */
    apr_status_t (*archive_import)(struct server_rec *s, const apipool_archive_source_t *source,
                                   apr_pool_t *p, json_t **result, apr_array_header_t **ids,
                                   apipool_input_error_t *flaw);

    /** 32 bytes that sign sessions, the same in all processes and after restarts. The caller
     *  wipes them. */
    apr_status_t (*session_secret)(unsigned char secret[32]);

    /** Ends a session early, for all processes and after restarts. jti is its number, never 0;
     *  until is its original end. If that cannot be written, the session is ended in memory, but
     *  would be back after a full stop. */
    apr_status_t (*session_revoke)(apr_uint64_t jti, apr_time_t until, apr_pool_t *p,
                                   apipool_input_error_t *flaw);
    int (*session_is_revoked)(apr_uint64_t jti);

    /** Ends all sessions of a place, a number chosen by the caller, likewise. sessions_ended
     *  returns a value that changes with each such call; 0: none yet. No lock. */
    apr_status_t (*sessions_end)(apr_uint64_t place, apr_pool_t *p, apipool_input_error_t *flaw);
    apr_time_t (*sessions_ended)(apr_uint64_t place);

    /**
     * Limits wrong passwords by a hash of the address, over all processes. On 0 the caller may
     * check a password, which counts as wrong until login_result is called, so that simultaneous
     * tries get no further than sequential ones.
     * @return how long the address has to wait; 0: not at all
     */
    apr_interval_time_t (*login_wait)(apr_uint64_t address, apr_time_t now);

    /** Reports the result of a checked password. */
    void (*login_result)(apr_uint64_t address, int right, apr_time_t now);

    /** Admits a viewer of events; returns 0 if max viewers of that place, a number chosen by the
     *  caller, exist over all processes. Call viewer_leave when one has left. */
    int (*viewer_enter)(apr_uint64_t place, int max);
    void (*viewer_leave)(apr_uint64_t place);
} apipool_api_t;

#endif
