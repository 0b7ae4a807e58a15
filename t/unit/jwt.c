/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/jwt: signed tokens verify, and nothing else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <apr_encode.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "jwt.h"

#define NOW    APR_INT64_C(1800000000)
#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"

static const unsigned char secret[APIPOOL_JWT_SECRET_SIZE] = "01234567890123456789012345678901";
static const unsigned char foreign[APIPOOL_JWT_SECRET_SIZE] = "01234567890123456789012345678902";
static apr_pool_t *pool;

static const apipool_jwt_claims_t claims = {
    .user = "alice",
    .role = "admin",
    .audience = "example.org:443 /apipool/",
    .entry = "0123456789abcdef",
    .number = APR_UINT64_C(0xfedcba9876543210),
    .issued = NOW,
    .expires = NOW + 3600,
};

/* Correctly signed token of any header and payload. */
static const char *forge(const char *header, const char *payload)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    const char *text = apr_pstrcat(
        pool, apr_pencode_base64(pool, header, APR_ENCODE_STRING, APR_ENCODE_BASE64URL, NULL), ".",
        apr_pencode_base64(pool, payload, APR_ENCODE_STRING, APR_ENCODE_BASE64URL, NULL), NULL);
    assert_non_null(HMAC(EVP_sha256(), secret, sizeof(secret), (const unsigned char *)text,
                         strlen(text), digest, &len));
    return apr_pstrcat(
        pool, text, ".",
        apr_pencode_base64_binary(pool, digest, (apr_ssize_t)len, APR_ENCODE_BASE64URL, NULL),
        NULL);
}

static const char *verify_at(const char *token, apr_int64_t now)
{
    apipool_jwt_claims_t read;
    return apipool_jwt_verify(secret, token, now, pool, &read);
}

static void what_was_signed_is_read_again(void **unused)
{
    apipool_jwt_claims_t read;
    const char *token = apipool_jwt_sign(secret, &claims, pool);
    (void)unused;
    assert_non_null(token);
    assert_null(apipool_jwt_verify(secret, token, NOW, pool, &read));
    assert_string_equal(read.user, claims.user);
    assert_string_equal(read.role, claims.role);
    assert_string_equal(read.audience, claims.audience);
    assert_string_equal(read.entry, claims.entry);
    assert_true(read.number == claims.number);
    assert_true(read.issued == claims.issued && read.expires == claims.expires);
}

static void a_token_is_valid_from_its_issue_to_its_end(void **unused)
{
    const char *token = apipool_jwt_sign(secret, &claims, pool);
    (void)unused;
    assert_null(verify_at(token, NOW + 3599));
    assert_string_equal(verify_at(token, NOW + 3600), "it has expired");
    assert_string_equal(verify_at(token, APR_INT64_MAX), "it has expired");
    assert_string_equal(verify_at(token, NOW - 1), "it is not valid yet");
    assert_string_equal(verify_at(token, 0), "it is not valid yet");
}

static void another_secret_s_token_is_refused(void **unused)
{
    apipool_jwt_claims_t read;
    const char *token = apipool_jwt_sign(foreign, &claims, pool);
    (void)unused;
    assert_string_equal(apipool_jwt_verify(secret, token, NOW, pool, &read),
                        "its signature is wrong");
}

/* Every byte of a token matters. */
static void every_byte_counts(void **unused)
{
    const char *token = apipool_jwt_sign(secret, &claims, pool);
    (void)unused;
    for (size_t i = 0; i < strlen(token); i++) {
        char *changed = apr_pstrdup(pool, token);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        assert_non_null(verify_at(changed, NOW));
        changed[i] = '\0';
        assert_non_null(verify_at(changed, NOW));
    }
    assert_non_null(verify_at(apr_pstrcat(pool, token, "A", NULL), NOW));
    assert_non_null(verify_at(apr_pstrcat(pool, token, "=", NULL), NOW));
    assert_non_null(verify_at("", NOW));
}

#define PAYLOAD(sub, jti, nbf, exp)                                                                \
    "{\"sub\":" sub ",\"role\":\"admin\",\"aud\":\"here\",\"ent\":\"e\",\"jti\":" jti              \
    ",\"iat\":1800000000,\"nbf\":" nbf ",\"exp\":" exp "}"
#define JTI "\"0123456789abcdef\""

static const struct {
    const char *header, *payload;
} forgeries[] = {
    {"{\"alg\":\"none\",\"typ\":\"JWT\"}", PAYLOAD("\"a\"", JTI, "1800000000", "1900000000")},
    {"{\"alg\":\"HS512\",\"typ\":\"JWT\"}", PAYLOAD("\"a\"", JTI, "1800000000", "1900000000")},
    {"{\"alg\":\"hs256\",\"typ\":\"JWT\"}", PAYLOAD("\"a\"", JTI, "1800000000", "1900000000")},
    {"{\"alg\":\"HS256\"}", PAYLOAD("\"a\"", JTI, "1800000000", "1900000000")},
    {"{\"alg\":\"HS256\",\"typ\":\"JWT\",\"crit\":[\"x\"]}",
     PAYLOAD("\"a\"", JTI, "1800000000", "1900000000")},
    {HEADER, PAYLOAD("\"a\"", JTI, "1800000001", "1900000000")},
    {HEADER, PAYLOAD("\"a\"", JTI, "1800000000", "1800000000")},
    {HEADER, PAYLOAD("\"a\"", JTI, "1800000000", "\"1900000000\"")},
    {HEADER, PAYLOAD("\"a\"", JTI, "1800000000", "1900000000.5")},
    {HEADER, PAYLOAD("\"a\"", JTI, "null", "1900000000")},
    {HEADER, PAYLOAD("\"a\"", "\"0123456789ABCDEF\"", "1800000000", "1900000000")},
    {HEADER, PAYLOAD("\"a\"", "\"123\"", "1800000000", "1900000000")},
    {HEADER, PAYLOAD("\"a\"", "1", "1800000000", "1900000000")},
    {HEADER, PAYLOAD("1", JTI, "1800000000", "1900000000")},
    {HEADER, PAYLOAD("\"a\\u0000b\"", JTI, "1800000000", "1900000000")},
    {HEADER, PAYLOAD("\"a\",\"sub\":\"b\"", JTI, "1800000000", "1900000000")},
    {HEADER, PAYLOAD("\"a\",\"more\":1", JTI, "1800000000", "1900000000")},
    {HEADER, PAYLOAD("\"a\"", JTI, "1800000000", "99999999999999999999999999")},
    {HEADER, "{}"},
    {HEADER, "[]"},
    {HEADER, "null"},
    {HEADER, ""},
    {HEADER, "\xff"},
};

/* Correctly signed, but refused for their content: the secret is not the only guard. */
static void what_we_would_not_write_is_refused(void **unused)
{
    (void)unused;
    assert_null(verify_at(forge(HEADER, PAYLOAD("\"a\"", JTI, "1800000000", "1900000000")), NOW));
    for (size_t i = 0; i < sizeof(forgeries) / sizeof(*forgeries); i++) {
        assert_non_null(verify_at(forge(forgeries[i].header, forgeries[i].payload), NOW));
    }
}

static void a_token_has_a_bound(void **unused)
{
    apipool_jwt_claims_t long_claims = claims;
    char *user = apr_pcalloc(pool, 65536);
    (void)unused;
    memset(user, 'a', 65535);
    long_claims.user = user;
    assert_null(apipool_jwt_sign(secret, &long_claims, pool));
    assert_string_equal(verify_at(user, NOW), "it is too long");
    const char *payload =
        apr_psprintf(pool, PAYLOAD("\"%s\"", JTI, "1800000000", "1900000000"), user);
    assert_string_equal(verify_at(forge(HEADER, payload), NOW), "it is too long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_signed_is_read_again),
        cmocka_unit_test(a_token_is_valid_from_its_issue_to_its_end),
        cmocka_unit_test(another_secret_s_token_is_refused),
        cmocka_unit_test(every_byte_counts),
        cmocka_unit_test(what_we_would_not_write_is_refused),
        cmocka_unit_test(a_token_has_a_bound),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    apr_initialize();
    apr_pool_create(&pool, NULL);
    int failed = cmocka_run_group_tests_name("jwt", tests, NULL, NULL);
    apr_pool_destroy(pool);
    apr_terminate();
    return failed;
}
