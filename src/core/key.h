/* SPDX-License-Identifier: Apache-2.0
 * Upstream keys as text: validity, ids, masks. */
#ifndef APIPOOL_CORE_KEY_H
#define APIPOOL_CORE_KEY_H

#include <apr.h>

/* A key is an upstream API credential. It enters the module here and nowhere else. Nothing in
 * this file keeps a key: callers own the text, sinks copy what they keep. Thread-safe. */

#define APIPOOL_KEY_MAX     4096 /* bytes */
#define APIPOOL_SECRET_SIZE 32   /* bytes of the secret that ids are derived from */
#define APIPOOL_WEIGHT_MAX  1000
#define APIPOOL_LABEL_MAX   120 /* bytes of UTF-8 */
#define APIPOOL_ACCOUNT_MAX 64  /* bytes of UTF-8 */
#define APIPOOL_ID_SIZE     17  /* 16 hex digits and NUL */
#define APIPOOL_MASKED_SIZE 12  /* 4 bytes, a 3-byte ellipsis, 4 bytes, NUL */

/* Limits of a key, requests and tokens per minute and day; 0: none. */
typedef struct {
    apr_uint32_t rpm, rpd, tpm, tpd;
    apr_uint32_t concurrency; /* maximum of requests in flight */
} apipool_key_limits_t;

/* Key of an import with the attributes of its JSON object, valid only during on_key. */
typedef struct {
    const char *key;
    apr_size_t len;
    long line;                   /* as in apipool_key_sink_t */
    int enabled;                 /* 0 only for "enabled": false */
    apr_uint32_t weight;         /* 1 to APIPOOL_WEIGHT_MAX; 0: absent */
    const char *label;           /* at most APIPOOL_LABEL_MAX bytes; NULL: absent */
    const char *account;         /* its keys share limits and balance; NULL: absent */
    apipool_key_limits_t limits; /* 0: absent */
} apipool_key_item_t;

/* Receiver of an import; functions may be NULL. Lines count from 1; in a JSON array the first
 * element is line 1. */
typedef struct {
    void (*on_key)(void *ctx, const apipool_key_item_t *item);
    void (*on_invalid)(void *ctx, long line, const char *reason);
    void *ctx;
} apipool_key_sink_t;

/**
 * Tells why a key cannot be used; NULL if it can. Keys are sent in a header field (RFC 9110
 * section 5.5), so control characters are refused. So are inner blanks, quotes, and bytes
 * outside ASCII: they indicate two keys run together, a pasted table, or a key copied in its
 * masked form.
 * @return a static sentence that does not contain the key
 */
const char *apipool_key_check(const char *key, apr_size_t len);

/** Returns 1 for a valid label or account name: at most max bytes, no control characters. The
 *  caller has checked that it is UTF-8. */
int apipool_key_text_is_fit(const char *text, apr_size_t len, apr_size_t max);

/**
 * Id of a key: the first 64 bits of HMAC-SHA-256 (RFC 2104, FIPS 180-4) with the secret.
 * @return the id, or 0 when libcrypto failed
 */
apr_uint64_t apipool_key_id(const unsigned char secret[APIPOOL_SECRET_SIZE], const char *key,
                            apr_size_t len);

/** Writes an id as 16 hex digits. */
void apipool_key_id_hex(apr_uint64_t id, char out[APIPOOL_ID_SIZE]);

/** Parses 16 hex digits; returns 0 for anything else. */
apr_uint64_t apipool_key_id_read(const char *text);

/** Writes the first 4 bytes, an ellipsis and the last 4; "***" for keys of fewer than 16 bytes. */
void apipool_key_mask(const char *key, apr_size_t len, char out[APIPOOL_MASKED_SIZE]);

/**
 * Overwrites every occurrence of key in text with asterisks, in place; the first and last 4
 * bytes of a key of 16 or more bytes stay.
 * @return number of occurrences
 */
int apipool_key_redact(char *text, apr_size_t text_len, const char *key, apr_size_t key_len);

/** Length of the longest end of text that is a beginning of key, but not all of it. */
apr_size_t apipool_key_overlap(const char *text, apr_size_t text_len, const char *key,
                               apr_size_t key_len);

#endif
