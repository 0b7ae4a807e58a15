/* SPDX-License-Identifier: Apache-2.0
 * Encryption of stored texts, and the keys derived from the secret. */
#include "vault.h"

#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <string.h>

#define VERSION    1
#define NONCE_SIZE 12
#define TAG_SIZE   16
#define HEAD_SIZE  (1 + NONCE_SIZE)

#define SEAL_LABEL    "mod_apipool seal of texts, version 1"
#define MAC_LABEL     "mod_apipool seal of files, version 1"
#define SESSION_LABEL "mod_apipool sessions, version 1"

static int derive(const unsigned char *secret, const char *label, unsigned char key[32])
{
    size_t len = 32;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
    int derived =
        ctx && EVP_PKEY_derive_init(ctx) > 0 && EVP_PKEY_CTX_set_hkdf_md(ctx, EVP_sha256()) > 0 &&
        EVP_PKEY_CTX_set1_hkdf_key(ctx, secret, APIPOOL_SECRET_SIZE) > 0 &&
        EVP_PKEY_CTX_add1_hkdf_info(ctx, (const unsigned char *)label, (int)strlen(label)) > 0 &&
        EVP_PKEY_derive(ctx, key, &len) > 0 && len == 32;
    EVP_PKEY_CTX_free(ctx);
    return derived;
}

int apipool_vault_open(apipool_vault_t *vault, const unsigned char secret[APIPOOL_SECRET_SIZE])
{
    if (derive(secret, SEAL_LABEL, vault->seal_key) && derive(secret, MAC_LABEL, vault->mac_key)) {
        return 1;
    }
    OPENSSL_cleanse(vault, sizeof(*vault));
    return 0;
}

int apipool_vault_session_key(const unsigned char secret[APIPOOL_SECRET_SIZE],
                              unsigned char key[32])
{
    return derive(secret, SESSION_LABEL, key);
}

/* Encrypts, or decrypts and checks the tag. A cipher fetched once (OpenSSL 3) would save half a
 * microsecond, but could not be freed when the module is unloaded; a context per thread saves
 * almost nothing. */
static int run_cipher(const apipool_vault_t *vault, int sealing, const unsigned char *nonce,
                      const void *aad, apr_size_t aad_len, const unsigned char *in, apr_size_t len,
                      unsigned char *out, unsigned char *tag)
{
    unsigned char none[EVP_MAX_BLOCK_LENGTH];
    int n;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int done =
        ctx &&
        EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, vault->seal_key, nonce, sealing) > 0 &&
        (!aad_len || EVP_CipherUpdate(ctx, NULL, &n, aad, (int)aad_len) > 0) &&
        (!len || EVP_CipherUpdate(ctx, out, &n, in, (int)len) > 0) &&
        (sealing || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, tag) > 0) &&
        EVP_CipherFinal_ex(ctx, none, &n) > 0 &&
        (!sealing || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, tag) > 0);
    EVP_CIPHER_CTX_free(ctx);
    return done;
}

int apipool_vault_seal(const apipool_vault_t *vault, const void *aad, apr_size_t aad_len,
                       const void *plain, apr_size_t len, unsigned char *out)
{
    if (len > APIPOOL_VAULT_TEXT_MAX || aad_len > APIPOOL_VAULT_TEXT_MAX) {
        return 0;
    }
    out[0] = VERSION;
    if (RAND_bytes(out + 1, NONCE_SIZE) > 0 &&
        run_cipher(vault, 1, out + 1, aad, aad_len, plain, len, out + HEAD_SIZE,
                   out + HEAD_SIZE + len)) {
        return 1;
    }
    OPENSSL_cleanse(out, len + APIPOOL_VAULT_OVERHEAD);
    return 0;
}

int apipool_vault_unseal(const apipool_vault_t *vault, const void *aad, apr_size_t aad_len,
                         const unsigned char *sealed, apr_size_t sealed_len, void *out,
                         apr_size_t room, apr_size_t *len)
{
    unsigned char tag[TAG_SIZE];

    *len = 0;
    if (sealed_len >= APIPOOL_VAULT_OVERHEAD && sealed[0] == VERSION &&
        aad_len <= APIPOOL_VAULT_TEXT_MAX) {
        apr_size_t plain_len = sealed_len - APIPOOL_VAULT_OVERHEAD;
        memcpy(tag, sealed + HEAD_SIZE + plain_len, TAG_SIZE);
        if (plain_len <= room && plain_len <= APIPOOL_VAULT_TEXT_MAX &&
            run_cipher(vault, 0, sealed + 1, aad, aad_len, sealed + HEAD_SIZE, plain_len, out,
                       tag)) {
            *len = plain_len;
            return 1;
        }
    }
    if (room) {
        OPENSSL_cleanse(out, room);
    }
    return 0;
}
