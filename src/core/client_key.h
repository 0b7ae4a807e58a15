/* SPDX-License-Identifier: Apache-2.0
 * Client keys, which we give out: "ak-" and 40 letters or digits; what one looks like, how one is made. */
#ifndef APIPOOL_CORE_CLIENT_KEY_H
#define APIPOOL_CORE_CLIENT_KEY_H

#include <apr.h>

/* 40 characters out of 62 are 238 bits, so a key cannot be guessed, and a plain digest of it tells nothing.
 * Thread-safe; callers own the text and wipe what they keep of it. */

#define APIPOOL_CLIENT_KEY_LEN    43 /* bytes, without NUL */
#define APIPOOL_CLIENT_KEY_DIGEST 32 /* bytes of SHA-256 */

/** Whether text of len bytes has the form of a client key. Says nothing about whether there is such a one. */
int apipool_client_key_is(const char *text, apr_size_t len);

/**
 * Overwrites whatever has the form of a client key in a request line, a URL or a query, percent-encoded or
 * not, with asterisks behind its prefix, together with letters and digits that follow it.
 * @param text ends with NUL; NULL does nothing
 * @return whether there was one
 */
int apipool_client_key_mask(char *text);

/**
 * Makes a key of random bytes; every key is as likely as any other.
 * @param random fills len bytes from a generator that nobody can predict, and returns 1, or 0 when it failed
 * @param key    APIPOOL_CLIENT_KEY_LEN + 1 bytes; ends with NUL
 * @return 1, or 0 when random failed
 */
int apipool_client_key_make(int (*random)(unsigned char *bytes, int len), char *key);

/** SHA-256 (FIPS 180-4) of a key.
 *  @return 1, or 0 when libcrypto failed */
int apipool_client_key_digest(const char *key, apr_size_t len,
                              unsigned char digest[APIPOOL_CLIENT_KEY_DIGEST]);

#endif
