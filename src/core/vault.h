/* SPDX-License-Identifier: Apache-2.0
 * Seals for what is kept at rest: texts that nobody else can read; and the key of the seals of files. */
#ifndef APIPOOL_CORE_VAULT_H
#define APIPOOL_CORE_VAULT_H

#include <apr.h>

#include "key.h"

/* AES-256-GCM (NIST SP 800-38D), and HMAC-SHA-256 (RFC 2104; core/seal), each under a key of its own that
 * HKDF-SHA-256 (RFC 5869) derives from the secret; key ids are made with the secret itself. What was
 * written must stay readable: neither the labels in vault.c nor the layout below may change without another
 * version byte.
 *
 * Sealed: 1 byte version, 12 bytes nonce, as many bytes as the plain text has, 16 bytes tag.
 *
 * Nonces are random, so one secret is good for 2^32 seals (SP 800-38D section 8.3): keep what is sealed
 * and did not change rather than seal it anew. */

#define APIPOOL_VAULT_OVERHEAD 29         /* bytes that a seal adds */
#define APIPOOL_VAULT_TEXT_MAX 0x7fff0000 /* bytes of a plain text, and of what it is bound to */

/* Keys without pointers; may lie in any memory. Once opened it is only read, by any number of threads. */
typedef struct {
    unsigned char seal_key[32];
    unsigned char mac_key[32]; /* for apipool_seal_format() and apipool_seal_parse() */
} apipool_vault_t;

/**
 * Derives the keys from the secret.
 * @return 1, or 0 when libcrypto failed: the vault is wiped then
 */
int apipool_vault_open(apipool_vault_t *vault, const unsigned char secret[APIPOOL_SECRET_SIZE]);

/** Derives 32 bytes that sessions of operators are signed with. Returns 1, or 0 when libcrypto failed. */
int apipool_vault_session_key(const unsigned char secret[APIPOOL_SECRET_SIZE],
                              unsigned char key[32]);

/**
 * Seals a text and binds it to a place. Thread-safe; about 2 microseconds for an API key.
 * @param aad   where the text belongs, as pool and id: unsealing needs the same; may be NULL with length 0
 * @param plain may be NULL with length 0
 * @param out   len + APIPOOL_VAULT_OVERHEAD bytes, apart from plain
 * @return 1, or 0 when a text is longer than APIPOOL_VAULT_TEXT_MAX (out is untouched then) or libcrypto
 *         failed, as without random numbers (out is wiped then)
 */
int apipool_vault_seal(const apipool_vault_t *vault, const void *aad, apr_size_t aad_len,
                       const void *plain, apr_size_t len, unsigned char *out);

/**
 * Opens what apipool_vault_seal made. Thread-safe. The caller owns the plain text and wipes it.
 * @param out  apart from sealed; may be NULL with room 0
 * @param room bytes that out has
 * @param len  set to the bytes of the plain text, which gets no terminating NUL
 * @return 1, or 0 when anything was changed, is foreign, belongs elsewhere or does not fit: all of out is
 *         wiped and *len is 0 then
 */
int apipool_vault_unseal(const apipool_vault_t *vault, const void *aad, apr_size_t aad_len,
                         const unsigned char *sealed, apr_size_t sealed_len, void *out,
                         apr_size_t room, apr_size_t *len);

#endif
