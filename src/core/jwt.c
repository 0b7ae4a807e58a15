/* SPDX-License-Identifier: Apache-2.0
 * Tokens of admin sessions. */
#include "jwt.h"

#include <apr_encode.h>
#include <apr_strings.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "key.h"

/* {"alg":"HS256","typ":"JWT"}, the only valid header. It is compared, not parsed, so that a
 * token cannot choose its own verification (RFC 8725 section 3.1). */
#define HEADER "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."

#define SIGNATURE_LEN 43 /* 32 bytes in base64url without padding */

static int sign(const unsigned char *secret, const char *text, apr_size_t len,
                char out[SIGNATURE_LEN + 2])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int digest_len = 0;
    apr_size_t out_len = 0;
    return HMAC(EVP_sha256(), secret, APIPOOL_JWT_SECRET_SIZE, (const unsigned char *)text, len,
                digest, &digest_len) &&
           apr_encode_base64_binary(out, digest, (apr_ssize_t)digest_len, APR_ENCODE_BASE64URL,
                                    &out_len) == APR_SUCCESS &&
           strlen(out) == SIGNATURE_LEN;
}

static const char *payload_of(const apipool_jwt_claims_t *claims, apr_pool_t *p)
{
    char number[APIPOOL_ID_SIZE];
    apipool_key_id_hex(claims->number, number);
    json_t *object = json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:I}", "sub", claims->user, "role",
                               claims->role, "aud", claims->audience, "ent", claims->entry, "jti",
                               number, "iat", (json_int_t)claims->issued, "nbf",
                               (json_int_t)claims->issued, "exp", (json_int_t)claims->expires);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    const char *encoded =
        text ? apr_pencode_base64(p, text, APR_ENCODE_STRING, APR_ENCODE_BASE64URL, NULL) : NULL;
    free(text);
    json_decref(object);
    return encoded;
}

const char *apipool_jwt_sign(const unsigned char secret[APIPOOL_JWT_SECRET_SIZE],
                             const apipool_jwt_claims_t *claims, apr_pool_t *p)
{
    char signature[SIGNATURE_LEN + 2];
    const char *payload = payload_of(claims, p);
    const char *text = payload ? apr_pstrcat(p, HEADER, payload, NULL) : NULL;
    if (!text || strlen(text) + 1 + SIGNATURE_LEN > APIPOOL_JWT_MAX ||
        !sign(secret, text, strlen(text), signature)) {
        return NULL;
    }
    return apr_pstrcat(p, text, ".", signature, NULL);
}

/* Requires exactly the known members, each with its type. */
static int read_claims(json_t *object, apr_pool_t *p, apipool_jwt_claims_t *claims,
                       json_int_t *not_before)
{
    const char *number;
    json_int_t issued, expires;
    if (json_unpack_ex(object, NULL, JSON_STRICT, "{s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:I}", "sub",
                       &claims->user, "role", &claims->role, "aud", &claims->audience, "ent",
                       &claims->entry, "jti", &number, "iat", &issued, "nbf", not_before, "exp",
                       &expires)) {
        return 0;
    }
    claims->user = apr_pstrdup(p, claims->user);
    claims->role = apr_pstrdup(p, claims->role);
    claims->audience = apr_pstrdup(p, claims->audience);
    claims->entry = apr_pstrdup(p, claims->entry);
    claims->number = apipool_key_id_read(number);
    claims->issued = issued;
    claims->expires = expires;
    return claims->number != 0;
}

/* Decodes the payload; the caller releases it. */
static json_t *decode(const char *payload, apr_size_t len, apr_pool_t *p)
{
    apr_size_t text_len = 0;
    const unsigned char *text =
        apr_pdecode_base64_binary(p, payload, (apr_ssize_t)len, APR_ENCODE_BASE64URL, &text_len);
    return text ? json_loadb((const char *)text, text_len, JSON_REJECT_DUPLICATES, NULL) : NULL;
}

const char *apipool_jwt_verify(const unsigned char secret[APIPOOL_JWT_SECRET_SIZE],
                               const char *token, apr_int64_t now, apr_pool_t *p,
                               apipool_jwt_claims_t *claims)
{
    char signature[SIGNATURE_LEN + 2];
    json_int_t not_before = 0;
    apr_size_t len = strnlen(token, APIPOOL_JWT_MAX + 1), head = strlen(HEADER);

    memset(claims, 0, sizeof(*claims));
    if (len > APIPOOL_JWT_MAX) {
        return "it is too long";
    }
    if (len <= head + 1 + SIGNATURE_LEN || memcmp(token, HEADER, head) ||
        token[len - SIGNATURE_LEN - 1] != '.') {
        return "not a token issued by this module";
    }
    apr_size_t signed_len = len - SIGNATURE_LEN - 1;
    if (!sign(secret, token, signed_len, signature) ||
        CRYPTO_memcmp(signature, token + signed_len + 1, SIGNATURE_LEN)) {
        return "its signature is wrong";
    }
    json_t *object = decode(token + head, signed_len - head, p);
    int is_read = read_claims(object, p, claims, &not_before);
    json_decref(object);
    if (!is_read) {
        return "its claims are not those that this module issues";
    }
    if (now < claims->issued || now < not_before) {
        return "it is not valid yet";
    }
    return now >= claims->expires ? "it has expired" : NULL;
}
