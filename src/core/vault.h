/* SPDX-License-Identifier: Apache-2.0
 * Seals for what is kept at rest: texts that nobody else can read, files that nobody else can change. */
#ifndef APIPOOL_CORE_VAULT_H
#define APIPOOL_CORE_VAULT_H

#include <apr.h>
#include <openssl/evp.h>

#include "key.h"

/* AES-256-GCM (NIST SP 800-38D) and HMAC-SHA-256 (RFC 2104), each under a key of its own that HKDF-SHA-256
 * (RFC 5869) derives from the secret; key ids are made with the secret itself. What was written must stay
 * readable: neither the labels in vault.c nor the layout below may change without another version byte.
 *
 * Sealed: 1 byte version, 12 bytes nonce, as many bytes as the plain text has, 16 bytes tag.
 *
 * Nonces are random, so one secret is good for 2^32 seals (SP 800-38D section 8.3): keep what is sealed
 * and did not change rather than seal it anew. */

#define APIPOOL_VAULT_OVERHEAD 29         /* bytes that a seal adds */
#define APIPOOL_VAULT_TEXT_MAX 0x7fff0000 /* bytes of a plain text, and of what it is bound to */
#define APIPOOL_VAULT_MAC_SIZE 32         /* bytes */

/* Keys without pointers; may lie in any memory. Once opened it is only read, by any number of threads. */
typedef struct {
    unsigned char seal_key[32], mac_key[32];
} apipool_vault_t;

/**
 * Derives the keys from the secret.
 * @return 1, or 0 when libcrypto failed: the vault is wiped then
 */
int apipool_vault_open(apipool_vault_t *vault, const unsigned char secret[APIPOOL_SECRET_SIZE]);

/** Overwrites the keys. */
void apipool_vault_wipe(apipool_vault_t *vault);

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

/* The seal of a file as it is written or read, piece by piece. Belongs to one thread. */
typedef struct {
    EVP_MD_CTX *ctx; /* NULL after a failure */
} apipool_vault_mac_t;

/** Begins. Whoever calls this also calls apipool_vault_mac_finish, which tells of any failure. */
void apipool_vault_mac_begin(apipool_vault_mac_t *mac, const apipool_vault_t *vault);

/** Adds bytes; how they are cut into pieces makes no difference. */
void apipool_vault_mac_update(apipool_vault_mac_t *mac, const void *data, apr_size_t len);

/**
 * Ends and frees, also where the result is not wanted.
 * @param out may be NULL when the file is given up
 * @return 1, or 0 when libcrypto failed at any step (out is wiped then) or out is NULL
 */
int apipool_vault_mac_finish(apipool_vault_mac_t *mac, unsigned char out[APIPOOL_VAULT_MAC_SIZE]);

/** Whether two seals are the same, in a time that does not tell where they differ. */
int apipool_vault_mac_is_same(const unsigned char a[APIPOOL_VAULT_MAC_SIZE],
                              const unsigned char b[APIPOOL_VAULT_MAC_SIZE]);

#endif
