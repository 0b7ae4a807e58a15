/* SPDX-License-Identifier: Apache-2.0
 * Upstream credentials as text: what a valid one is, what is said of one, how one is named. */
#ifndef APIPOOL_CORE_KEY_H
#define APIPOOL_CORE_KEY_H

#include <apr.h>

/* A key is an upstream API credential. It enters the module here and nowhere else. Nothing in this
 * file keeps a key: callers own the text, sinks copy what they want to keep. Thread-safe. */

#define APIPOOL_KEY_MAX     4096 /* bytes */
#define APIPOOL_SECRET_SIZE 32   /* bytes of the secret that ids are derived from */
#define APIPOOL_WEIGHT_MAX  1000
#define APIPOOL_LABEL_MAX   120 /* bytes of UTF-8 */
#define APIPOOL_ACCOUNT_MAX 64  /* the same */
#define APIPOOL_ID_SIZE     17  /* 16 hex digits and the terminating NUL */
#define APIPOOL_MASKED_SIZE 12  /* 4 bytes, an ellipsis of 3, 4 bytes, NUL */

/* What a key may be used for at most; 0: no limit of that kind. Requests and tokens per minute and day. */
typedef struct {
    apr_uint32_t rpm, rpd, tpm, tpd;
    apr_uint32_t concurrency; /* requests in flight */
} apipool_key_limits_t;

/* One key of an import, valid only while on_key runs. All but the key is what a JSON object said. */
typedef struct {
    const char *key;
    apr_size_t len;
    int enabled;                 /* 0 only where it said "enabled": false */
    apr_uint32_t weight;         /* 1 to APIPOOL_WEIGHT_MAX; 0: not said */
    const char *label;           /* at most APIPOOL_LABEL_MAX bytes; NULL: not said */
    const char *account;         /* whose keys share limits and balance; NULL: not said. At most
                                    APIPOOL_ACCOUNT_MAX bytes */
    apipool_key_limits_t limits; /* 0: not said */
} apipool_key_item_t;

/* Receives an import; what is NULL is not wanted. Lines count from 1; in a JSON array the first element
 * is number 1. */
typedef struct {
    void (*on_key)(void *ctx, const apipool_key_item_t *item);
    void (*on_invalid)(void *ctx, long line, const char *reason);
    void *ctx;
} apipool_key_sink_t;

/**
 * Why a key cannot be used, or NULL when it can. A key travels in a header field (RFC 9110 section
 * 5.5), so control characters are refused; blanks and quotes inside, and bytes outside ASCII, are refused
 * too: they mean two keys run together, a table pasted as it was, or a key copied in its masked form.
 * @return a static sentence without the key in it
 */
const char *apipool_key_check(const char *key, apr_size_t len);

/** Whether a label, or the name of an account, may be kept: UTF-8 as JSON has it, of at most max bytes,
 *  without control characters. */
int apipool_key_text_is_fit(const char *text, apr_size_t len, apr_size_t max);

/**
 * The id of a key: the first 64 bits of HMAC-SHA-256 (RFC 2104, FIPS 180-4) under the secret.
 * @return the id, or 0 when libcrypto failed
 */
apr_uint64_t apipool_key_id(const unsigned char secret[APIPOOL_SECRET_SIZE], const char *key,
                            apr_size_t len);

/** Writes an id as 16 hex digits. */
void apipool_key_id_hex(apr_uint64_t id, char out[APIPOOL_ID_SIZE]);

/** Reads one that was written so; 0: it is anything else. */
apr_uint64_t apipool_key_id_read(const char *text);

/** Writes the first 4 bytes, an ellipsis and the last 4; "***" for keys shorter than 16 bytes. */
void apipool_key_mask(const char *key, apr_size_t len, char out[APIPOOL_MASKED_SIZE]);

/**
 * Overwrites every occurrence of key in text with asterisks, in place and without changing its
 * length; the first and last 4 bytes stay where the key has 16 or more.
 * @return the number of occurrences
 */
int apipool_key_redact(char *text, apr_size_t text_len, const char *key, apr_size_t key_len);

/** How many of the last bytes of text are the first ones of key, and not all of it. */
apr_size_t apipool_key_overlap(const char *text, apr_size_t text_len, const char *key,
                               apr_size_t key_len);

#endif
