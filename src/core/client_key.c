/* SPDX-License-Identifier: Apache-2.0
 * Client keys, issued by this module: recognition, generation, digest. */
#include "client_key.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "ascii.h"
#include "percent.h"

#define PREFIX     "ak-"
#define PREFIX_LEN 3
#define BATCH      64

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
#define LETTERS 62

int apipool_client_key_is(const char *text, apr_size_t len)
{
    apr_size_t at = PREFIX_LEN;
    if (len != APIPOOL_CLIENT_KEY_LEN || memcmp(text, PREFIX, PREFIX_LEN)) {
        return 0;
    }
    while (at < len && apipool_ascii_is_alnum(text[at])) {
        at++;
    }
    return at == len;
}

/* Returns the beginning of the secret part if a key stands here, and sets its end; else NULL. */
static char *secret_at(char *text, char **end)
{
    const char *at = text, *behind;
    apr_size_t letters = 0;
    for (apr_size_t i = 0; i < PREFIX_LEN; i++) {
        if (apipool_percent_next(&at) != PREFIX[i]) {
            return NULL;
        }
    }
    char *secret = text + (at - text);
    for (behind = at; apipool_ascii_is_alnum(apipool_percent_next(&behind)); letters++) {
        at = behind;
    }
    *end = text + (at - text);
    return letters >= APIPOOL_CLIENT_KEY_LEN - PREFIX_LEN ? secret : NULL;
}

int apipool_client_key_mask(char *text)
{
    char *end;
    int found = 0;
    for (text = text ? strpbrk(text, "a%") : NULL; text; text = strpbrk(text, "a%")) {
        char *secret = secret_at(text, &end);
        if (secret) {
            memset(secret, '*', (apr_size_t)(end - secret));
            found = 1;
        }
        text++;
    }
    return found;
}

/* Bytes above the last multiple of 62 are discarded: they would favour the first letters. */
int apipool_client_key_make(int (*random)(unsigned char *bytes, int len), char *key)
{
    unsigned char bytes[BATCH];
    int at = PREFIX_LEN, good = 1;

    memcpy(key, PREFIX, PREFIX_LEN);
    while (good && at < APIPOOL_CLIENT_KEY_LEN) {
        good = random(bytes, BATCH);
        for (int i = 0; good && i < BATCH && at < APIPOOL_CLIENT_KEY_LEN; i++) {
            if (bytes[i] < 256 / LETTERS * LETTERS) {
                key[at++] = alphabet[bytes[i] % LETTERS];
            }
        }
    }
    key[at] = '\0';
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return good;
}

/* Without a fetched algorithm OpenSSL looks it up each time, which costs as much as the digest. */
static EVP_MD *sha256;
static CRYPTO_ONCE sha256_once = CRYPTO_ONCE_STATIC_INIT;

static void fetch_sha256(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

int apipool_client_key_digest(const char *key, apr_size_t len,
                              unsigned char digest[APIPOOL_CLIENT_KEY_DIGEST])
{
    return CRYPTO_THREAD_run_once(&sha256_once, fetch_sha256) && sha256 &&
           EVP_Digest(key, len, digest, NULL, sha256, NULL) == 1;
}
