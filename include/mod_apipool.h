/* SPDX-License-Identifier: Apache-2.0
 * The contract between mod_apipool and mod_apipool_admin: version, names, snapshots, a table of functions. */
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

/* The admin module never touches shared memory. It looks this table up when the configuration is
 * checked, and asks it from then on; mod_apipool registers it together with its hooks. Both DSOs
 * are built from one tree: a table of another version is not found. */

#define APIPOOL_VERSION "0.1.0"

#define APIPOOL_API_GROUP       "apipool"
#define APIPOOL_API_NAME        "pools"
#define APIPOOL_SESSION_LONGEST (366 * 86400) /* seconds that a session may last */

#define APIPOOL_API_VERSION "8"

struct server_rec;
struct request_rec;

/* The state of a key, in the order in which operators see them listed. */
typedef enum {
    APIPOOL_STATE_ACTIVE,    /* in rotation */
    APIPOOL_STATE_COOLING,   /* limited until a known time */
    APIPOOL_STATE_HALF_OPEN, /* recovered; one request is allowed to prove it */
    APIPOOL_STATE_QUOTA,     /* balance or quota spent */
    APIPOOL_STATE_INVALID,   /* the upstream rejects the credential */
    APIPOOL_STATE_TRIPPED,   /* too many consecutive errors */
    APIPOOL_STATE_DISABLED,  /* switched off by an operator */
    APIPOOL_STATE_COUNT
} apipool_state_e;

#define APIPOOL_CLIENT_KEY_SIZE 44 /* "ak-", 40 characters and NUL */

/* Whatever is pointed to by what follows lies in the APR pool that the caller gave. Times are 0, and numbers
 * below 0, where they are not known, unless they say otherwise. A pool is named by an index that stays valid
 * as long as httpd runs.
 *
 * What is only shown is told as JSON, with the members that docs/openapi.json describes; the caller gives it
 * back. Sentences in it are in English. */

typedef struct {
    const char *name;
    apr_uint32_t index;
} apipool_pool_info_t;

/* --- Keys --- */

/* What is told of a key. It never holds the key. */
typedef struct {
    apr_uint64_t id;
    char masked[APIPOOL_MASKED_SIZE];
    const char *upstream, *label, *account; /* label and account are "" where there is none */
    apr_uint32_t weight;
    apipool_state_e state;
    apr_time_t cooling_until, next_probe_at;
    apr_time_t added_at, last_used_at;
    apr_time_t last_error_at; /* with the next two */
    int last_status;          /* 0: there was no answer */
    const char *last_rule;    /* its id */
    const char *last_message; /* what that rule means, a static sentence */
    apr_uint32_t error_streak, in_flight;
    apipool_counters_snapshot_t numbers; /* of attempts */
    apr_time_t balance_at;               /* when it was read, with the next two; 0: it was not */
    double balance;
    char currency[APIPOOL_CURRENCY_SIZE];
    apipool_key_limits_t limits; /* its own; 0: the pool's */
} apipool_key_info_t;

/* Which keys of a pool. */
typedef struct {
    unsigned states;      /* 1 << state of each wanted one; 0: any */
    const char *text;     /* in id, masked key, label or account, ignoring case; NULL: any */
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

/* What becomes of a key. */
typedef enum {
    APIPOOL_DO_EDIT,   /* what the edit says */
    APIPOOL_DO_DELETE, /* requests in flight keep the copy that they have */
    APIPOOL_DO_RESET,  /* cooldowns, errors in a row and the state that they led to are forgotten */
    APIPOOL_DO_CHECK   /* its upstream is asked about it as soon as others have been */
} apipool_key_action_e;

typedef enum {
    APIPOOL_SET_ENABLED = 1,
    APIPOOL_SET_LABEL = 2,
    APIPOOL_SET_WEIGHT = 4,
    APIPOOL_SET_ACCOUNT = 8,
    APIPOOL_SET_LIMITS = 16, /* all of them */
    APIPOOL_SET_ALL = 31
} apipool_key_set_e;

typedef struct {
    unsigned set; /* of apipool_key_set_e; the rest stays as it is */
    int enabled;
    const char *label; /* UTF-8, at most APIPOOL_LABEL_MAX bytes; "" takes it away */
    apr_uint32_t weight;
    const char *account; /* the same, APIPOOL_ACCOUNT_MAX */
    apipool_key_limits_t limits;
} apipool_key_edit_t;

typedef struct {
    apipool_key_action_e action;
    apipool_key_edit_t edit; /* of APIPOOL_DO_EDIT */
    const apr_uint64_t *ids; /* with id_count; or NULL: all that match the filter */
    apr_size_t id_count;
    apipool_key_filter_t filter;
} apipool_key_change_t;

typedef struct {
    apr_uint32_t matched, done;
    apr_array_header_t *done_ids; /* apr_uint64_t: for the audit line */
    apr_array_header_t *failed;   /* apr_uint64_t: those of the given ids that the pool has not */
} apipool_key_changed_t;

typedef struct {
    long line;          /* or number of the element of an array, from 1 */
    const char *reason; /* static, without the key */
} apipool_import_fault_t;

typedef struct {
    apr_uint32_t added, duplicates, updated; /* updated are duplicates of which something changed */
    apr_array_header_t *ids;                 /* apr_uint64_t, of those added */
    apr_array_header_t *invalid;             /* apipool_import_fault_t, the first 1000 */
    apr_uint32_t invalid_count;
} apipool_import_t;

/* Where an import comes from. */
typedef struct {
    /** Waits for the next bytes, which stay where they are until the next call.
     *  @return APR_EOF at the end; anything else but APR_SUCCESS when there is no end to be had */
    apr_status_t (*next)(void *ctx, const char **bytes, apr_size_t *len);
    void *ctx;
    int is_json; /* an array, and nothing else; else whatever it looks like */
} apipool_import_source_t;

/* --- Clients --- */

/* What a client may be limited to, and by; the order is that of the names. */
#define APIPOOL_CLIENT_LISTS       3
#define APIPOOL_CLIENT_LIST_NAMES  "pools", "models", "endpoints"
#define APIPOOL_CLIENT_LIMITS      4
#define APIPOOL_CLIENT_LIMIT_NAMES "rpm", "tpm", "tokens_per_day", "concurrency"

/* Which of them an edit says; the rest stays as it is. */
#define APIPOOL_CLIENT_SET_ENABLED      1u
#define APIPOOL_CLIENT_SET_EXPIRES_AT   2u
#define APIPOOL_CLIENT_SET_LIST(list)   (4u << (list))
#define APIPOOL_CLIENT_SET_LIMIT(limit) (32u << (limit))
#define APIPOOL_CLIENT_SET_ALL          511u

/* What is said of a client of a server. */
typedef struct {
    unsigned set;
    const char *name; /* of one that is made */
    int enabled;
    apr_time_t expires_at; /* 0: never */
    apr_array_header_t
        *lists[APIPOOL_CLIENT_LISTS];           /* of const char *; NULL or empty: everything */
    apr_uint32_t limits[APIPOOL_CLIENT_LIMITS]; /* 0: none of its own */
} apipool_client_edit_t;

/* --- The table --- */

/* Every function may be called by any thread of any child, waits for the locks that it needs and holds
 * none when it returns. Those that change something return when the change is on disk; if it cannot be
 * written nothing has changed. A result is set with APR_SUCCESS alone. With anything else *flaw, which the
 * caller clears, may say more: which member is wrong and why, or, in a sentence for operators, what failed.
 *
 * Common results: APR_NOTFOUND: there is no such key or client. APR_ENOMEM: shared memory has no room for
 * it. APR_EEXIST: the name is taken. APR_EINVAL: what was sent makes no sense, and *flaw says why. Others:
 * locks or disks that failed. */
typedef struct {
    /** Whether requests can be served: shared memory is there and its lock can be taken. Returns
     *  1 or 0. */
    int (*healthy)(void);

    /** Whether the configuration has given a request to a handler of ours, and not AddHandler,
     *  .htaccess or a RewriteRule. No lock. */
    int (*is_mounted)(struct request_rec *r, const char *handler);

    /**
     * The level, on httpd's scale, at which all processes log what they do for requests; it only
     * ever adds to what LogLevel asks for. Takes effect with the next request of each process.
     * No lock.
     * @return 0: as configured
     */
    int (*log_level)(void);
    void (*set_log_level)(int level);

    /** How much room there is, and how saving goes. No lock. */
    apr_status_t (*system)(json_t **result);

    /** The pools that a server sees, its own and the main server's: apipool_pool_info_t. */
    apr_array_header_t *(*pools)(struct server_rec *s, apr_pool_t *p);

    /** All of a pool of that list. O(keys), in small steps. */
    apr_status_t (*pool)(struct server_rec *s, apr_uint32_t pool, apr_pool_t *p, json_t **result);

    /** How fast it goes now; the last 60 minutes by minute, or 24 hours by hour, oldest first,
     *  of which the last one is not over; models, the most tokens first; and the rules that came
     *  up. */
    apr_status_t (*stats)(apr_uint32_t pool, int by_hour, apr_pool_t *p, json_t **result);

    /**
     * The last requests, newest first: an array.
     * @param pools of which; apipool_pool_info_t
     * @param limit how many at most
     */
    apr_status_t (*requests)(const apr_array_header_t *pools, apr_uint32_t limit, apr_pool_t *p,
                             json_t **result);

    /** A page of a pool's keys, and how many match. Copies what it sorts by, in small steps
     *  under the lock; O(keys). */
    apr_status_t (*keys)(apr_uint32_t pool, const apipool_key_query_t *query, apr_pool_t *p,
                         json_t **result);

    /** One key. O(1). */
    apr_status_t (*key)(apr_uint32_t pool, apr_uint64_t id, json_t **result);

    /** A whole key, NUL-terminated, for an operator who has said the password again; the caller
     *  wipes it. */
    apr_status_t (*key_reveal)(apr_uint32_t pool, apr_uint64_t id, apr_pool_t *p, char **key);

    /**
     * Adds keys, as apipool_key_list_t reads them while they arrive: each is kept once until the
     * end of the list. Of one that is there already, what is said of it replaces what was known.
     * One generation of the store, whatever the number.
     * @param upstream whose keys they are; NULL: the pool's first one
     * @param source   what it returns at last, but for APR_EOF, is returned, and nothing has
     *                 changed
     * @param preview  1: nothing is changed; the result says what would be, without ids
     */
    apr_status_t (*key_import)(apr_uint32_t pool, const char *upstream,
                               const apipool_import_source_t *source, int preview, apr_pool_t *p,
                               apipool_import_t *result, apipool_input_error_t *flaw);

    /** Changes keys: all of them or none. */
    apr_status_t (*key_change)(apr_uint32_t pool, const apipool_key_change_t *change, apr_pool_t *p,
                               apipool_key_changed_t *result, apipool_input_error_t *flaw);

    /** Asks a key's upstream about it now, and waits for the answer, 30 seconds at most; the
     *  key's state follows. */
    apr_status_t (*key_check)(struct server_rec *s, apr_uint32_t pool, apr_uint64_t id,
                              apr_pool_t *p, json_t **result);

    /** The clients of a server, by name: an array. */
    apr_status_t (*clients)(struct server_rec *s, apr_pool_t *p, json_t **result);

    /** One of them, whose name may be given in any form that normalises to the one that is kept. */
    apr_status_t (*client)(struct server_rec *s, const char *name, apr_pool_t *p, json_t **result);

    /**
     * Makes a client and its key. The key is told this once: only its digest is kept. The name
     * is kept as apipool_client_name_normalise() makes it.
     * @param key APIPOOL_CLIENT_KEY_SIZE bytes; the caller wipes it
     */
    apr_status_t (*client_create)(struct server_rec *s, const apipool_client_edit_t *edit,
                                  apr_pool_t *p, char *key, apipool_input_error_t *flaw);

    /** The name is as it is kept. */
    apr_status_t (*client_change)(struct server_rec *s, const char *name,
                                  const apipool_client_edit_t *edit, apr_pool_t *p,
                                  apipool_input_error_t *flaw);
    apr_status_t (*client_delete)(struct server_rec *s, const char *name, apr_pool_t *p,
                                  apipool_input_error_t *flaw);

    /** 32 bytes that sessions are signed with: the same in all processes and after restarts. The
     *  caller wipes them. */
    apr_status_t (*session_secret)(unsigned char secret[32]);

    /** Ends a session before its time, for all processes and after restarts. jti is its number,
     *  never 0; until is when its time would be over. If that cannot be written it is ended all
     *  the same, but a full stop would bring it back. */
    apr_status_t (*session_revoke)(apr_uint64_t jti, apr_time_t until, apr_pool_t *p,
                                   apipool_input_error_t *flaw);
    int (*session_is_revoked)(apr_uint64_t jti);

    /** Ends all sessions of a place, a number of the caller's, likewise; and tells what changes
     *  whenever that is done: 0 as long as it has not been. No lock. */
    apr_status_t (*sessions_end)(apr_uint64_t place, apr_pool_t *p, apipool_input_error_t *flaw);
    apr_time_t (*sessions_ended)(apr_uint64_t place);

    /**
     * Passwords that were wrong, by a hash of where they came from; over all processes. With 0
     * it is this caller's turn to look at one, which counts as wrong until login_result is told:
     * many at once get no further than one after the other.
     * @return how long that address has to wait before the next password is looked at; 0: not at
     *         all
     */
    apr_interval_time_t (*login_wait)(apr_uint64_t address, apr_time_t now);

    /** Tells what came of one that was looked at. */
    void (*login_result)(apr_uint64_t address, int right, apr_time_t now);

    /** Lets in a viewer of events; 0: as many as may watch that place, a number of the caller's,
     *  do so already over all processes. Tell when one has left. */
    int (*viewer_enter)(apr_uint64_t place, int max);
    void (*viewer_leave)(apr_uint64_t place);
} apipool_api_t;

#endif
