/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: the texts of the store, as they lie on disk and with digests that fit. */
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "fuzz.h"
#include "seal.h"

static const unsigned char mac_key[APIPOOL_MAC_KEY_SIZE] = "a key that seals what is fuzzed";

static void check_seal(const char *text, size_t len)
{
    apipool_seal_t seal;
    char again[APIPOOL_SEAL_MAX];
    apipool_seal_e is = apipool_seal_parse(&seal, mac_key, text, len);
    if (is == APIPOOL_SEAL_GOOD) {
        MUST(seal.nfiles >= 1 && seal.nfiles <= APIPOOL_SEAL_FILES && seal.generation > 0);
        MUST(apipool_seal_format(&seal, mac_key, again) == len);
        MUST(memcmp(again, text, len) == 0);
    }
}

static void check_current(const char *text, size_t len)
{
    apipool_current_t current;
    char again[APIPOOL_SEAL_MAX];
    if (apipool_current_parse(&current, text, len)) {
        MUST(apipool_current_format(&current, again) == len);
        MUST(memcmp(again, text, len) == 0);
    }
    else {
        MUST(current.generations[APIPOOL_STORE_KEYS] == 0);
        MUST(current.generations[APIPOOL_STORE_STATS] == 0);
    }
}

static size_t add_line(char *text, size_t len, const char *word, const unsigned char *digest)
{
    len += (size_t)sprintf(text + len, "%s ", word);
    for (int i = 0; i < APIPOOL_SHA256_SIZE; i++) {
        len += (size_t)sprintf(text + len, "%02x", digest[i]);
    }
    text[len++] = '\n';
    return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    size_t len = size;
    char *text = malloc(size + 200);

    MUST(text);
    check_seal((const char *)data, size);
    check_current((const char *)data, size);
    if (size) {
        memcpy(text, data, size);
    }
    EVP_Digest(text, len, digest, NULL, EVP_sha256(), NULL);
    check_current(text, add_line(text, len, "sha256", digest));
    HMAC(EVP_sha256(), mac_key, sizeof(mac_key), data, size, digest, NULL);
    len = add_line(text, len, "hmac", digest);
    EVP_Digest(text, len, digest, NULL, EVP_sha256(), NULL);
    check_seal(text, add_line(text, len, "sha256", digest));
    free(text);
    return 0;
}
