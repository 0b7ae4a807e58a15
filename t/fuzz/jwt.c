/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: tokens of any kind, and payloads that are well signed. */
#include <string.h>

#include <apr_encode.h>
#include <apr_strings.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "fuzz.h"
#include "jwt.h"

#define HEADER "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
#define NOW    APR_INT64_C(1800000000)

static const unsigned char secret[APIPOOL_JWT_SECRET_SIZE] = "a secret of thirty-two bytes....";

/* An unsigned token is never valid. */
static void check_token(const char *token, apr_pool_t *p)
{
    apipool_jwt_claims_t claims;
    MUST(apipool_jwt_verify(secret, token, NOW, p, &claims));
}

/* A signed token is valid or not by its claims; a valid one can be signed again. */
static void check_payload(const char *payload, apr_size_t len, apr_pool_t *p)
{
    apipool_jwt_claims_t claims, again;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int digest_len = 0;
    const char *text = apr_pstrcat(
        p, HEADER, apr_pencode_base64(p, payload, (apr_ssize_t)len, APR_ENCODE_BASE64URL, NULL),
        NULL);
    MUST(HMAC(EVP_sha256(), secret, sizeof(secret), (const unsigned char *)text, strlen(text),
              digest, &digest_len));
    text = apr_pstrcat(
        p, text, ".",
        apr_pencode_base64_binary(p, digest, (apr_ssize_t)digest_len, APR_ENCODE_BASE64URL, NULL),
        NULL);
    if (!apipool_jwt_verify(secret, text, NOW, p, &claims)) {
        MUST(claims.user && claims.role && claims.audience && claims.entry);
        MUST(claims.issued <= NOW && claims.expires > NOW);
        const char *token = apipool_jwt_sign(secret, &claims, p);
        MUST(!token || !apipool_jwt_verify(secret, token, NOW, p, &again));
        MUST(!token || (claims.number == again.number && !strcmp(claims.user, again.user)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_pool();
    const char *text = fuzz_text(p, (const char *)data, size);
    check_token(text, p);
    check_token(apr_pstrcat(p, HEADER, text, NULL), p);
    check_payload(text, size, p);
    apr_pool_destroy(p);
    return 0;
}
