/* SPDX-License-Identifier: Apache-2.0
 * The contract between mod_apipool and mod_apipool_admin: version, names, and one table of functions. */
#ifndef MOD_APIPOOL_H
#define MOD_APIPOOL_H

/* The admin module never touches shared memory. It looks this table up when the configuration is
 * checked, and asks it from then on; mod_apipool registers it together with its hooks. Both DSOs are
 * built from one tree: a table of another version is not found. */

#define APIPOOL_VERSION "0.1.0"

#define APIPOOL_API_GROUP   "apipool"
#define APIPOOL_API_NAME    "pools"
#define APIPOOL_API_VERSION "2"

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

typedef struct {
    /**
     * Whether requests can be served: shared memory is there and its lock can be taken.
     * May be called by any thread of any child; waits for the pool's lock.
     * @return 1 or 0
     */
    int (*healthy)(void);
    /**
     * The level, on httpd's scale, at which all processes log what they do for requests; it only ever adds to
     * what LogLevel asks for. Takes effect with the next request of each process. Any thread, no lock.
     * @return 0: as configured
     */
    int (*log_level)(void);
    void (*set_log_level)(int level);
} apipool_api_t;

#endif
