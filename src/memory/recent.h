/* SPDX-License-Identifier: Apache-2.0
 * The last requests, one bounded entry each, in a ring. */
#ifndef APIPOOL_MEMORY_RECENT_H
#define APIPOOL_MEMORY_RECENT_H

#include <apr_time.h>

#include "names.h"
#include "usage.h"

/* Lives in shared memory; memory full of zeros is a valid empty ring. A view of it, with pointers, is made by
 * each process. Where the name says so the caller holds the segment's lock.
 *
 *   pushed      how many requests there ever were
 *   entries[N]  that of request n at n modulo N */

#define APIPOOL_RECENT_ATTEMPTS 8
#define APIPOOL_RECENT_SHORT    32 /* bytes with NUL */

/* How a request ended. */
typedef enum {
    APIPOOL_ENDED_COMPLETE,
    APIPOOL_ENDED_TRUNCATED,    /* the answer broke after its first byte */
    APIPOOL_ENDED_CLIENT_ABORT, /* the client left */
    APIPOOL_ENDED_REFUSED,      /* by the pool, before any attempt */
    APIPOOL_ENDED_FAILED,       /* no attempt succeeded */
    APIPOOL_ENDINGS
} apipool_ending_e;

/** "client_abort" and so on, as operators see it. */
const char *apipool_ending_name(apipool_ending_e ending);

/* Where its tokens come from. */
typedef enum {
    APIPOOL_TOKENS_NONE,
    APIPOOL_TOKENS_REPORTED,
    APIPOOL_TOKENS_ESTIMATED
} apipool_tokens_e;

/** "none", "reported" or "estimated", as operators see it. */
const char *apipool_tokens_name(apipool_tokens_e tokens);

typedef struct {
    apr_uint64_t key;   /* id */
    apr_uint32_t group; /* upstream of the pool */
    apr_uint32_t rule;  /* apipool_rule_e */
} apipool_recent_attempt_t;

/* One request. Texts are made by apipool_name_clean(), so that they are bounded and need no escaping; cut,
 * where they do not fit, at a character. At most 384 bytes. */
typedef struct {
    apr_uint64_t number; /* counts up from 1; set by push */
    apr_time_t at;       /* when it came */
    apr_uint64_t key;    /* id of the last one tried; 0: none */
    apr_uint32_t pool;
    apr_uint32_t attempt_count;                                 /* all, also those not kept */
    apipool_recent_attempt_t attempts[APIPOOL_RECENT_ATTEMPTS]; /* the first ones */
    apipool_usage_t tokens;                                     /* -1: not known */
    apr_interval_time_t first_byte, total;                      /* microseconds; -1: none came */
    apr_uint16_t status;                                        /* as the client saw it */
    unsigned char usage;                                        /* apipool_tokens_e */
    unsigned char ending;                                       /* apipool_ending_e */
    unsigned char streamed;
    char endpoint[APIPOOL_RECENT_SHORT];
    char client[APIPOOL_NAMED_MAX];
    char model[APIPOOL_NAMED_MAX];
} apipool_recent_entry_t;

/* A process's view of the ring. */
typedef struct {
    apr_uint64_t *pushed;
    apipool_recent_entry_t *entries;
    apr_uint32_t size; /* entries; 0 keeps nothing */
} apipool_recent_t;

/** Bytes that a ring of so many entries takes: a multiple of 8. Needs no lock. */
apr_size_t apipool_recent_bytes(apr_uint32_t size);

/** A view of a ring in memory of apipool_recent_bytes(size), aligned to 8. Needs no lock. */
apipool_recent_t apipool_recent_view(void *memory, apr_uint32_t size);

/** Copies an entry in; the oldest one makes room. */
void apipool_recent_push_locked(const apipool_recent_t *recent,
                                const apipool_recent_entry_t *entry);

/**
 * Copies entries out, newest first.
 * @param offset how many of the newest to skip
 * @param limit  how many are wanted; what is asked for at once is copied under the lock
 * @param out    room for limit entries
 * @return how many there were
 */
apr_uint32_t apipool_recent_read_locked(const apipool_recent_t *recent, apr_uint32_t offset,
                                        apr_uint32_t limit, apipool_recent_entry_t *out);

/** How many entries there are. */
apr_uint32_t apipool_recent_count_locked(const apipool_recent_t *recent);

#endif
