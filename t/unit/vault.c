/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/vault: stored seals stay readable, changed ones are refused, seals of files. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vault.h"

#define BYTES(literal) literal, sizeof(literal) - 1
#define COUNT(array)   (sizeof(array) / sizeof(*(array)))
#define PLACE          "pool-a/1", 8
#define KEY            "sk-test-0123456789"

/* Secret 00 01 ... 1f of all vectors below. */
static apipool_vault_t open_vault(void)
{
    unsigned char secret[APIPOOL_SECRET_SIZE];
    apipool_vault_t vault;
    for (int i = 0; i < APIPOOL_SECRET_SIZE; i++) {
        secret[i] = (unsigned char)i;
    }
    assert_true(apipool_vault_open(&vault, secret));
    return vault;
}

/* Made with Python's hmac by RFC 5869, and with "openssl kdf". */
static const unsigned char seal_key[32] =
    "\xb6\xa7\x7f\x4f\x9b\xc4\xa6\x0f\x22\xcc\x2b\x61\x69\x9b\x2d\xfc"
    "\x28\x2f\x67\xde\xaa\x90\x03\x75\x5a\x62\xa2\x5e\x76\x91\x8d\xc9";
static const unsigned char mac_key[32] =
    "\x3f\x31\x03\xa7\xda\xf6\xd1\xab\x21\x04\xe5\xf1\x44\x93\xb1\xa7"
    "\x31\x34\x07\x76\xdb\xdd\x3c\x8d\x3e\xc0\xf7\x36\xc0\xad\x55\x27";

static const unsigned char session_key[32] =
    "\x74\x40\x8f\x11\x32\xfc\x13\x8f\x4a\x30\xf5\x00\x23\x65\x16\xec"
    "\xcf\x39\x52\xbc\xd4\xf1\x93\x13\x79\x73\xf8\xec\x56\xd9\x07\x16";

static void a_secret_gives_the_same_keys_for_ever(void **unused)
{
    apipool_vault_t vault = open_vault();
    assert_memory_equal(vault.seal_key, seal_key, sizeof(seal_key));
    assert_memory_equal(vault.mac_key, mac_key, sizeof(mac_key));

    unsigned char secret[APIPOOL_SECRET_SIZE], key[32];
    for (int i = 0; i < APIPOOL_SECRET_SIZE; i++) {
        secret[i] = (unsigned char)i;
    }
    assert_true(apipool_vault_session_key(secret, key));
    assert_memory_equal(key, session_key, sizeof(session_key));
}

/* Made with Python's cryptography under the key above and the nonce a0 ... ab. */
static const struct {
    const char *name, *aad;
    size_t aad_len;
    const char *sealed;
    size_t sealed_len;
    const char *plain;
    size_t len;
} stored[] = {
    {"nothing, nowhere", NULL, 0,
     BYTES("\x01\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xab"
           "\x79\xb5\xcd\x8a\x76\x4f\x2d\x80\x12\xf3\x90\x8b\x64\x63\xd8\x7c"),
     BYTES("")},
    {"a key of a pool", PLACE,
     BYTES("\x01\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xab"
           "\x73\x7f\xde\x73\xed\x56\x4a\x6b\x14\x3e\x7f\x75\x71\x69\xb9\xab\xcf\xa3"
           "\x3e\x50\xe5\x33\xc2\xe0\x61\x9c\xb2\x71\xca\xec\x5b\xa8\x74\xec"),
     BYTES(KEY)},
};

static void what_was_sealed_once_can_be_read_for_ever(void **unused)
{
    apipool_vault_t vault = open_vault();
    unsigned char out[64];
    apr_size_t len;
    for (size_t i = 0; i < COUNT(stored); i++) {
        if (!apipool_vault_unseal(&vault, stored[i].aad, stored[i].aad_len,
                                  (const unsigned char *)stored[i].sealed, stored[i].sealed_len,
                                  out, sizeof(out), &len)) {
            fail_msg("%s: refused", stored[i].name);
        }
        assert_int_equal(len, stored[i].len);
        assert_memory_equal(out, stored[i].plain, len);
    }
}

/* Sealed text in memory of exactly its size; the caller frees it. */
static unsigned char *seal(const apipool_vault_t *vault, const void *plain, size_t len)
{
    unsigned char *sealed = malloc(len + APIPOOL_VAULT_OVERHEAD);
    assert_non_null(sealed);
    assert_true(apipool_vault_seal(vault, PLACE, plain, len, sealed));
    return sealed;
}

static void a_text_of_any_length_comes_back(void **unused)
{
    static const size_t lengths[] = {0, 1, 15, 16, 17, 31, 32, 64, 4096, 100000};
    apipool_vault_t vault = open_vault();
    apr_size_t len;
    for (size_t i = 0; i < COUNT(lengths); i++) {
        size_t size = lengths[i];
        unsigned char *plain = malloc(size + 1), *out = malloc(size + 1);
        assert_non_null(plain);
        assert_non_null(out);
        memset(plain, 'k', size);
        memset(out, 0xee, size + 1);
        unsigned char *sealed = seal(&vault, size ? plain : NULL, size);
        assert_true(apipool_vault_unseal(&vault, PLACE, sealed, size + APIPOOL_VAULT_OVERHEAD,
                                         size ? out : NULL, size, &len));
        assert_int_equal(len, size);
        assert_memory_equal(out, plain, size);
        assert_int_equal(out[size], 0xee);
        free(sealed);
        free(out);
        free(plain);
    }
}

static void no_two_seals_are_alike_and_none_shows_the_text(void **unused)
{
    apipool_vault_t vault = open_vault();
    unsigned char *a = seal(&vault, KEY, strlen(KEY)), *b = seal(&vault, KEY, strlen(KEY));
    size_t len = strlen(KEY) + APIPOOL_VAULT_OVERHEAD;
    assert_int_equal(a[0], 1);
    assert_memory_not_equal(a + 1, b + 1, 12);
    assert_memory_not_equal(a + 13, b + 13, len - 13);
    for (size_t i = 0; i + 8 <= len; i++) {
        assert_memory_not_equal(a + i, KEY, 8);
    }
    free(a);
    free(b);
}

/* Is refused, and leaves nothing of the text in the output. */
static void must_refuse(const char *name, const apipool_vault_t *vault, const char *aad,
                        size_t aad_len, const unsigned char *sealed, size_t sealed_len, size_t room)
{
    static const unsigned char zeros[64];
    unsigned char out[64];
    apr_size_t len = 1;
    assert_true(room <= sizeof(out));
    memset(out, 0xee, sizeof(out));
    if (apipool_vault_unseal(vault, aad, aad_len, sealed, sealed_len, out, room, &len) || len) {
        fail_msg("%s: opened", name);
    }
    assert_memory_equal(out, zeros, room);
    assert_true(room == sizeof(out) || out[room] == 0xee);
}

static void every_changed_bit_is_noticed(void **unused)
{
    apipool_vault_t vault = open_vault();
    unsigned char *sealed = seal(&vault, KEY, strlen(KEY));
    size_t len = strlen(KEY) + APIPOOL_VAULT_OVERHEAD;
    char name[32];
    for (size_t bit = 0; bit < 8 * len; bit++) {
        snprintf(name, sizeof(name), "bit %d", (int)bit);
        sealed[bit / 8] ^= (unsigned char)(1 << bit % 8);
        must_refuse(name, &vault, PLACE, sealed, len, 64);
        sealed[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    free(sealed);
}

static void a_text_cut_or_lengthened_is_refused(void **unused)
{
    apipool_vault_t vault = open_vault();
    unsigned char *sealed = seal(&vault, KEY, strlen(KEY));
    size_t len = strlen(KEY) + APIPOOL_VAULT_OVERHEAD;
    unsigned char longer[64] = {0};
    memcpy(longer, sealed, len);
    for (size_t cut = 0; cut < len; cut++) {
        unsigned char *exact = malloc(cut ? cut : 1);
        assert_non_null(exact);
        memcpy(exact, sealed, cut);
        must_refuse("cut", &vault, PLACE, exact, cut, 64);
        free(exact);
    }
    must_refuse("a byte more", &vault, PLACE, longer, len + 1, 64);
    must_refuse("no memory", &vault, PLACE, NULL, 0, 64);
    free(sealed);
}

static void a_text_opens_only_where_it_belongs(void **unused)
{
    static const struct {
        const char *name, *aad;
        size_t len;
    } places[] = {
        {"another id", "pool-a/2", 8},
        {"another pool", "pool-b/1", 8},
        {"a part of the place", "pool-a/", 7},
        {"more than the place", "pool-a/1\0", 9},
        {"nowhere", NULL, 0},
    };
    apipool_vault_t vault = open_vault();
    unsigned char *sealed = seal(&vault, KEY, strlen(KEY));
    for (size_t i = 0; i < COUNT(places); i++) {
        must_refuse(places[i].name, &vault, places[i].aad, places[i].len, sealed,
                    strlen(KEY) + APIPOOL_VAULT_OVERHEAD, 64);
    }
    free(sealed);
}

static void every_bit_of_the_secret_matters(void **unused)
{
    apipool_vault_t vault = open_vault(), other;
    unsigned char *sealed = seal(&vault, KEY, strlen(KEY));
    for (int bit = 0; bit < 8 * APIPOOL_SECRET_SIZE; bit++) {
        unsigned char secret[APIPOOL_SECRET_SIZE];
        for (int i = 0; i < APIPOOL_SECRET_SIZE; i++) {
            secret[i] = (unsigned char)i;
        }
        secret[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_true(apipool_vault_open(&other, secret));
        must_refuse("another secret", &other, PLACE, sealed, strlen(KEY) + APIPOOL_VAULT_OVERHEAD,
                    64);
        assert_memory_not_equal(other.mac_key, vault.mac_key, sizeof(vault.mac_key));
    }
    free(sealed);
}

static void a_text_that_does_not_fit_is_not_opened(void **unused)
{
    apipool_vault_t vault = open_vault();
    unsigned char *sealed = seal(&vault, KEY, strlen(KEY));
    unsigned char out[64];
    apr_size_t len;
    for (size_t room = 0; room < strlen(KEY); room++) {
        must_refuse("no room", &vault, PLACE, sealed, strlen(KEY) + APIPOOL_VAULT_OVERHEAD, room);
    }
    assert_true(apipool_vault_unseal(&vault, PLACE, sealed, strlen(KEY) + APIPOOL_VAULT_OVERHEAD,
                                     out, strlen(KEY), &len));
    assert_false(apipool_vault_unseal(&vault, PLACE, sealed, strlen(KEY) + APIPOOL_VAULT_OVERHEAD,
                                      NULL, 0, &len));
    free(sealed);
}

static void a_text_too_long_for_the_cipher_is_not_sealed(void **unused)
{
    static const unsigned char untouched[64];
    apipool_vault_t vault = open_vault();
    unsigned char out[64] = {0};
    apr_size_t beyond = (apr_size_t)APIPOOL_VAULT_TEXT_MAX + 1;
    assert_false(apipool_vault_seal(&vault, PLACE, KEY, beyond, out));
    assert_false(apipool_vault_seal(&vault, KEY, beyond, KEY, strlen(KEY), out));
    assert_false(apipool_vault_seal(&vault, PLACE, KEY, APR_SIZE_MAX, out));
    assert_memory_equal(out, untouched, sizeof(out));
    unsigned char *sealed = seal(&vault, KEY, strlen(KEY));
    must_refuse("a place too long", &vault, KEY, beyond, sealed,
                strlen(KEY) + APIPOOL_VAULT_OVERHEAD, 64);
    free(sealed);
}

/* Seals and unseals its own texts; the result is NULL unless that failed. */
static void *use_vault(void *data)
{
    const apipool_vault_t *vault = data;
    char plain[32], out[32];
    unsigned char sealed[sizeof(plain) + APIPOOL_VAULT_OVERHEAD];
    apr_size_t len;
    for (int i = 0; i < 500; i++) {
        memset(plain, i, sizeof(plain));
        if (!apipool_vault_seal(vault, PLACE, plain, sizeof(plain), sealed) ||
            !apipool_vault_unseal(vault, PLACE, sealed, sizeof(sealed), out, sizeof(out), &len) ||
            memcmp(plain, out, sizeof(plain))) {
            return data;
        }
    }
    return NULL;
}

static void threads_share_a_vault(void **unused)
{
    apipool_vault_t vault = open_vault();
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, use_vault, &vault), 0);
    }
    for (size_t i = 0; i < COUNT(threads); i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_gives_the_same_keys_for_ever),
        cmocka_unit_test(what_was_sealed_once_can_be_read_for_ever),
        cmocka_unit_test(a_text_of_any_length_comes_back),
        cmocka_unit_test(no_two_seals_are_alike_and_none_shows_the_text),
        cmocka_unit_test(every_changed_bit_is_noticed),
        cmocka_unit_test(a_text_cut_or_lengthened_is_refused),
        cmocka_unit_test(a_text_opens_only_where_it_belongs),
        cmocka_unit_test(every_bit_of_the_secret_matters),
        cmocka_unit_test(a_text_that_does_not_fit_is_not_opened),
        cmocka_unit_test(a_text_too_long_for_the_cipher_is_not_sealed),
        cmocka_unit_test(threads_share_a_vault),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("vault", tests, NULL, NULL);
}
