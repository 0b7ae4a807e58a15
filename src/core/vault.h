/* SPDX-License-Identifier: Apache-2.0
 * Encryption of stored texts, and the keys derived from the secret. */
#ifndef APIPOOL_CORE_VAULT_H
#define APIPOOL_CORE_VAULT_H

#include <apr.h>

#include "key.h"

/* AES-256-GCM (NIST SP 800-38D) and HMAC-SHA-256 (RFC 2104; core/seal), each with its own key
 * that HKDF-SHA-256 (RFC 5869) derives from the secret; key ids use the secret itself. Stored
 * data must stay readable: a change of the labels in vault.c or of the layout below needs a new
 * version byte.
 *
 * Sealed text: 1 byte version, 12 bytes nonce, the encrypted text of equal length, 16 bytes tag.
 *
 * Nonces are random, so a secret is good for 2^32 seals (SP 800-38D section 8.3): callers keep
 * the sealed form of unchanged texts instead of sealing them again. */

#define APIPOOL_VAULT_OVERHEAD 29         /* bytes that a seal adds */
#define APIPOOL_VAULT_TEXT_MAX 0x7fff0000 /* bytes of a plain text, and of its aad */

/* Derived keys, without pointers; may lie in any memory. After apipool_vault_open() it is
 * read-only, for any number of threads. */
typedef struct {
    unsigned char seal_key[32];
    unsigned char mac_key[32]; /* for apipool_seal_format() and apipool_seal_parse() */
} apipool_vault_t;

/**
 * Derives the keys from the secret.
 * @return 1, or 0 when libcrypto failed: the vault is then wiped
 */
int apipool_vault_open(apipool_vault_t *vault, const unsigned char secret[APIPOOL_SECRET_SIZE]);

/** Derives the 32-byte key that signs operators' sessions. Returns 1, or 0 when libcrypto
 *  failed. */
int apipool_vault_session_key(const unsigned char secret[APIPOOL_SECRET_SIZE],
                              unsigned char key[32]);

/**
 * Seals a text and binds it to a place. Thread-safe; about 2 microseconds for an API key.
 * @param aad   place of the text, for example pool and id; needed for unsealing; may be NULL
 *              with length 0
 * @param plain may be NULL with length 0
 * @param out   len + APIPOOL_VAULT_OVERHEAD bytes, not overlapping plain
 * @return 1; 0 when a text exceeds APIPOOL_VAULT_TEXT_MAX (out is untouched) or libcrypto
 *         failed, for example without random numbers (out is wiped)
 */
int apipool_vault_seal(const apipool_vault_t *vault, const void *aad, apr_size_t aad_len,
                       const void *plain, apr_size_t len, unsigned char *out);

/**
 * Opens a text that apipool_vault_seal sealed. Thread-safe. The caller owns the plain text and
 * wipes it.
 * @param out  not overlapping sealed; may be NULL with room 0
 * @param room size of out in bytes
 * @param len  set to the length of the plain text, which has no NUL
 * @return 1; 0 when the text was changed, is foreign, belongs elsewhere or does not fit: out is
 *         wiped and *len is 0
 */
int apipool_vault_unseal(const apipool_vault_t *vault, const void *aad, apr_size_t aad_len,
                         const unsigned char *sealed, apr_size_t sealed_len, void *out,
                         apr_size_t room, apr_size_t *len);

#endif
