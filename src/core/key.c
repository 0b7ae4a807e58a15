/* SPDX-License-Identifier: Apache-2.0
 * Upstream keys as text: validity, ids, masks. */
#include "key.h"

#include <apr_strings.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#define ELLIPSIS       "\xe2\x80\xa6"
#define SHOWN          4  /* bytes of a key that its mask shows at either end */
#define SHORTEST_SHOWN 16 /* shorter keys are masked completely */

const char *apipool_key_check(const char *key, apr_size_t len)
{
    if (len == 0) {
        return "empty key";
    }
    if (len > APIPOOL_KEY_MAX) {
        return "key longer than 4096 bytes";
    }
    for (apr_size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)key[i];
        if (c < 0x20 || c == 0x7f) {
            return "control character in a key";
        }
        if (c == ' ') {
            return "blank inside a key (keys are separated by commas or newlines)";
        }
        if (c == '"' || c == '\'') {
            return "quote in a key";
        }
        if (c > 0x7f) {
            return "character outside ASCII in a key (was it copied in its masked form?)";
        }
    }
    return NULL;
}

int apipool_key_text_is_fit(const char *text, apr_size_t len, apr_size_t max)
{
    for (apr_size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return 0;
        }
    }
    return len <= max;
}

apr_uint64_t apipool_key_id(const unsigned char secret[APIPOOL_SECRET_SIZE], const char *key,
                            apr_size_t len)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int digest_len = 0;
    apr_uint64_t id = 0;

    if (!HMAC(EVP_sha256(), secret, APIPOOL_SECRET_SIZE, (const unsigned char *)key, len, digest,
              &digest_len)) {
        return 0;
    }
    for (int i = 0; i < 8; i++) {
        id = id << 8 | digest[i];
    }
    return id;
}

void apipool_key_id_hex(apr_uint64_t id, char out[APIPOOL_ID_SIZE])
{
    static const char digits[] = "0123456789abcdef"; /* faster than a format */
    for (int i = APIPOOL_ID_SIZE - 2; i >= 0; i--) {
        out[i] = digits[id & 15];
        id >>= 4;
    }
    out[APIPOOL_ID_SIZE - 1] = '\0';
}

apr_uint64_t apipool_key_id_read(const char *text)
{
    return strlen(text) == APIPOOL_ID_SIZE - 1 &&
                   strspn(text, "0123456789abcdef") == APIPOOL_ID_SIZE - 1
               ? strtoull(text, NULL, 16)
               : 0;
}

void apipool_key_mask(const char *key, apr_size_t len, char out[APIPOOL_MASKED_SIZE])
{
    if (len < SHORTEST_SHOWN) {
        memcpy(out, "***", 4);
        return;
    }
    memcpy(out, key, SHOWN);
    memcpy(out + SHOWN, ELLIPSIS, 3);
    memcpy(out + SHOWN + 3, key + len - SHOWN, SHOWN);
    out[SHOWN + 3 + SHOWN] = '\0';
}

/* Faster than memmem, which builds a table for each of the short lines. The last character of a
 * key is rare in them. */
static char *find(char *text, apr_size_t text_len, const char *key, apr_size_t key_len)
{
    char *end = text + text_len;
    if (text_len < key_len) {
        return NULL;
    }
    for (char *last = text + key_len - 1;
         (last = memchr(last, key[key_len - 1], (apr_size_t)(end - last))); last++) {
        if (!memcmp(last - (key_len - 1), key, key_len)) {
            return last - (key_len - 1);
        }
    }
    return NULL;
}

int apipool_key_redact(char *text, apr_size_t text_len, const char *key, apr_size_t key_len)
{
    apr_size_t shown = key_len < SHORTEST_SHOWN ? 0 : SHOWN;
    char *end = text + text_len;
    char *hit = key_len ? find(text, text_len, key, key_len) : NULL;
    int found = 0;

    while (hit) {
        memset(hit + shown, '*', key_len - 2 * shown);
        hit += key_len - shown; /* the next occurrence may begin with the bytes that stay */
        hit = find(hit, (apr_size_t)(end - hit), key, key_len);
        found++;
    }
    return found;
}

apr_size_t apipool_key_overlap(const char *text, apr_size_t text_len, const char *key,
                               apr_size_t key_len)
{
    apr_size_t len = key_len ? key_len - 1 : 0;
    len = len < text_len ? len : text_len;
    while (len && memcmp(text + text_len - len, key, len)) {
        len--;
    }
    return len;
}
