/* SPDX-License-Identifier: Apache-2.0
 * Client keys, issued by this module: "ak-" and 40 letters or digits. Recognition, generation,
 * digest. */
#ifndef APIPOOL_CORE_CLIENT_KEY_H
#define APIPOOL_CORE_CLIENT_KEY_H

#include <apr.h>

/* 40 of 62 characters are 238 bits: a key cannot be guessed, so a plain digest of it reveals
 * nothing. Thread-safe; callers own the text and wipe their copies. */

#define APIPOOL_CLIENT_KEY_LEN    43 /* bytes without NUL */
#define APIPOOL_CLIENT_KEY_DIGEST 32 /* bytes of SHA-256 */

/** Returns 1 if text of len bytes has the form of a client key. The key need not exist. */
int apipool_client_key_is(const char *text, apr_size_t len);

/**
 * Overwrites everything that has the form of a client key in a request line, a URL or a query,
 * percent-encoded or not, with asterisks behind its prefix, including letters and digits that
 * follow.
 * @param text ends with NUL; NULL is ignored
 * @return 1 if there was one
 */
int apipool_client_key_mask(char *text);

/**
 * Makes a key of random bytes; all keys are equally likely.
 * @param random fills len bytes from an unpredictable generator; returns 1, or 0 when it failed
 * @param key    APIPOOL_CLIENT_KEY_LEN + 1 bytes; ends with NUL
 * @return 1, or 0 when random failed
 */
int apipool_client_key_make(int (*random)(unsigned char *bytes, int len), char *key);

/** SHA-256 (FIPS 180-4) of a key.
 *  @return 1, or 0 when libcrypto failed */
int apipool_client_key_digest(const char *key, apr_size_t len,
                              unsigned char digest[APIPOOL_CLIENT_KEY_DIGEST]);

#endif
