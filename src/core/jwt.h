/* SPDX-License-Identifier: Apache-2.0
 * Tokens of admin sessions: JWT (RFC 7519) with HS256 (RFC 7518 section 3.2). */
#ifndef APIPOOL_CORE_JWT_H
#define APIPOOL_CORE_JWT_H

#include <apr_pools.h>

/* Only this module signs the tokens that it reads, so it refuses everything that it would not
 * write: other headers, and with them other algorithms, unknown members and duplicate members.
 * Thread-safe. */

#define APIPOOL_JWT_SECRET_SIZE 32
#define APIPOOL_JWT_MAX         4096 /* bytes of a token */

typedef struct {
    const char *user;     /* sub */
    const char *role;     /* role */
    const char *audience; /* aud: where the token is valid */
    const char *entry;    /* ent: fingerprint of the user's password entry */
    apr_uint64_t number;  /* jti */
    apr_int64_t issued;   /* iat, seconds since 1970, like exp */
    apr_int64_t expires;  /* exp */
} apipool_jwt_claims_t;

/**
 * Signs claims.
 * @return token in p; NULL if libcrypto failed or the token exceeds APIPOOL_JWT_MAX
 */
const char *apipool_jwt_sign(const unsigned char secret[APIPOOL_JWT_SECRET_SIZE],
                             const apipool_jwt_claims_t *claims, apr_pool_t *p);

/**
 * Verifies the signature of a token in constant time, then its form and times. The caller checks
 * the audience and if the session was ended.
 * @param token  any text
 * @param now    seconds since 1970
 * @param claims result; its texts lie in p
 * @return NULL, or a static text for the log that tells why the token is not valid
 */
const char *apipool_jwt_verify(const unsigned char secret[APIPOOL_JWT_SECRET_SIZE],
                               const char *token, apr_int64_t now, apr_pool_t *p,
                               apipool_jwt_claims_t *claims);

#endif
