/* SPDX-License-Identifier: Apache-2.0
 * Ring of the last requests, one bounded entry each. */
#ifndef APIPOOL_MEMORY_RECENT_H
#define APIPOOL_MEMORY_RECENT_H

#include <apr_time.h>

#include "names.h"
#include "usage.h"
#include "words.h"

/* Lives in shared memory; memory full of zeros is a valid empty ring. Each process makes a view
 * of it, with pointers. Callers of a *_locked function hold the segment's lock.
 *
 *   pushed      number of requests ever recorded
 *   entries[N]  request n is at n modulo N */

#define APIPOOL_RECENT_ATTEMPTS 8
#define APIPOOL_RECENT_SHORT    32 /* bytes with NUL */

/* How a request ended. */
typedef enum {
    APIPOOL_ENDED_COMPLETE,
    APIPOOL_ENDED_TRUNCATED,    /* the answer broke after its first byte */
    APIPOOL_ENDED_CLIENT_ABORT, /* the client left */
    APIPOOL_ENDED_REFUSED,      /* refused by the pool, before any attempt */
    APIPOOL_ENDED_FAILED,       /* no attempt succeeded */
    APIPOOL_ENDINGS
} apipool_ending_e;

/** Name for the log, API and metrics, for example "client_abort". */
const char *apipool_ending_name(apipool_ending_e ending);

/* Source of the token counts. */
typedef enum {
    APIPOOL_TOKENS_NONE,
    APIPOOL_TOKENS_REPORTED,
    APIPOOL_TOKENS_ESTIMATED
} apipool_tokens_e;

/** Name for the log and API: "none", "reported" or "estimated". */
const char *apipool_tokens_name(apipool_tokens_e tokens);

typedef struct {
    apr_uint64_t key;      /* id */
    apr_uint32_t upstream; /* index */
    apr_uint16_t rule;     /* apipool_rule_e */
    apr_uint16_t status;   /* of the answer; 0: none */
} apipool_recent_attempt_t;

#define APIPOOL_RECENT_WORDS 512 /* bytes with NULs */

/* One request. apipool_name_clean() makes the texts, so they are bounded and need no escaping; a
 * text that does not fit is cut between characters. At most 896 bytes. */
typedef struct {
    apr_uint64_t number; /* counts up from 1; set by push */
    apr_time_t at;       /* time of arrival */
    apr_uint64_t key;    /* id of the last key tried; 0: none */
    apr_uint32_t pool;
    apr_uint32_t attempt_count;                                 /* including those not kept */
    apipool_recent_attempt_t attempts[APIPOOL_RECENT_ATTEMPTS]; /* the first attempts */
    apipool_usage_t tokens;                                     /* -1: unknown */
    apr_interval_time_t first_byte, total;                      /* microseconds; -1: none came */
    apr_uint16_t status;                                        /* as the client saw it */
    unsigned char usage;                                        /* apipool_tokens_e */
    unsigned char ending;                                       /* apipool_ending_e */
    unsigned char streamed;
    unsigned char kind; /* apipool_kind_e */
    char endpoint[APIPOOL_RECENT_SHORT];
    char client[APIPOOL_NAMED_MAX];
    char model[APIPOOL_NAMED_MAX];
    apr_uint16_t words_len;
    char words[APIPOOL_RECENT_WORDS]; /* of the attempts in turn, each with NUL: see words.h; only
                                       * words_len bytes are copied */
} apipool_recent_entry_t;

/* View of the ring in one process. */
typedef struct {
    apr_uint64_t *pushed;
    apipool_recent_entry_t *entries;
    apr_uint32_t size; /* number of entries; 0: nothing is kept */
} apipool_recent_t;

/** Bytes that a ring of this size takes: a multiple of 8. No lock. */
apr_size_t apipool_recent_bytes(apr_uint32_t size);

/** View of a ring in memory of apipool_recent_bytes(size), aligned to 8. No lock. */
apipool_recent_t apipool_recent_view(void *memory, apr_uint32_t size);

/** Adds what the vendor said to the next attempt; words without text if it said nothing. If all do
 *  not fit, the longest are cut, to the same length. No lock. */
void apipool_recent_said(apipool_recent_entry_t *entry, const apipool_words_t *words);

/** Words of an attempt; "" where there are none. No lock: of a copy. */
const char *apipool_recent_words(const apipool_recent_entry_t *entry, apr_uint32_t attempt);

/** Copies an entry in; it replaces the oldest one. */
void apipool_recent_push_locked(const apipool_recent_t *recent,
                                const apipool_recent_entry_t *entry);

/**
 * Copies entries out, newest first.
 * @param offset number of newest entries to skip
 * @param limit  maximum number of entries; all are copied in one go
 * @param out    room for limit entries
 * @return number of entries copied
 */
apr_uint32_t apipool_recent_read_locked(const apipool_recent_t *recent, apr_uint32_t offset,
                                        apr_uint32_t limit, apipool_recent_entry_t *out);

/** Number of entries in the ring. */
apr_uint32_t apipool_recent_count_locked(const apipool_recent_t *recent);

#endif
