/* SPDX-License-Identifier: Apache-2.0
 * Signs and verifies the tokens of admin sessions: JWT (RFC 7519) with HS256 (RFC 7518 section 3.2). */
#ifndef APIPOOL_CORE_JWT_H
#define APIPOOL_CORE_JWT_H

#include <apr_pools.h>

/* Only this module signs the tokens that it reads, so whatever it would not have written is refused: another
 * header, and with it every other algorithm, members that it does not know, and members named twice.
 * Thread-safe. */

#define APIPOOL_JWT_SECRET_SIZE 32
#define APIPOOL_JWT_MAX         4096 /* bytes of a token */

typedef struct {
    const char *user;     /* sub */
    const char *role;     /* role */
    const char *audience; /* aud: where the token is valid */
    const char *entry;    /* ent: fingerprint of the user's password entry */
    apr_uint64_t number;  /* jti */
    apr_int64_t issued;   /* iat, seconds since 1970, as the next one */
    apr_int64_t expires;  /* exp */
} apipool_jwt_claims_t;

/**
 * Signs claims.
 * @return the token, in p; NULL when libcrypto failed or the token would be longer than APIPOOL_JWT_MAX
 */
const char *apipool_jwt_sign(const unsigned char secret[APIPOOL_JWT_SECRET_SIZE],
                             const apipool_jwt_claims_t *claims, apr_pool_t *p);

/**
 * Verifies a token's signature, in constant time, and then its form and times. The caller looks whether the
 * audience is its own and whether the session has been ended.
 * @param token  may be anything
 * @param now    seconds since 1970
 * @param claims result; its texts lie in p
 * @return NULL, or why the token is not valid, a static text for the log
 */
const char *apipool_jwt_verify(const unsigned char secret[APIPOOL_JWT_SECRET_SIZE],
                               const char *token, apr_int64_t now, apr_pool_t *p,
                               apipool_jwt_claims_t *claims);

#endif
