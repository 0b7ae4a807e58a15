/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/seal: what is written can be read, and no changed byte goes unnoticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "seal.h"

static const unsigned char mac_key[APIPOOL_MAC_KEY_SIZE] = "one secret";
static const unsigned char other_key[APIPOOL_MAC_KEY_SIZE] = "another one";

static apipool_seal_t make_seal(void)
{
    return (apipool_seal_t){.kind = APIPOOL_STORE_STATS,
                            .generation = 12,
                            .dbm = "sdbm",
                            .records = APR_UINT64_MAX,
                            .nfiles = 2,
                            .files = {{.name = "stats-000012.pag", .size = 0, .sha256 = "abc"},
                                      {.name = "stats-000012.dir", .size = 4096}}};
}

/* Memory of exactly that size, so that a checker sees every access beyond it. */
static apipool_seal_e parse(const char *text, apr_size_t len, apipool_seal_t *seal)
{
    char *exact = malloc(len ? len : 1);
    assert_non_null(exact);
    memcpy(exact, text, len);
    apipool_seal_e is = apipool_seal_parse(seal, mac_key, exact, len);
    free(exact);
    return is;
}

static void a_seal_is_read_as_it_was_written(void **unused)
{
    char text[APIPOOL_SEAL_MAX];
    apipool_seal_t seal = make_seal(), read;
    apr_size_t len = apipool_seal_format(&seal, mac_key, text);

    assert_true(len > 0 && len < sizeof(text));
    assert_int_equal(parse(text, len, &read), APIPOOL_SEAL_GOOD);
    assert_int_equal(read.kind, APIPOOL_STORE_STATS);
    assert_int_equal(read.generation, 12);
    assert_string_equal(read.dbm, "sdbm");
    assert_true(read.records == APR_UINT64_MAX);
    assert_int_equal(read.nfiles, 2);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(read.files[i].name, seal.files[i].name);
        assert_int_equal(read.files[i].size, seal.files[i].size);
        assert_memory_equal(read.files[i].sha256, seal.files[i].sha256, APIPOOL_SHA256_SIZE);
    }
}

static void what_another_secret_sealed_is_foreign_and_damage_is_damage(void **unused)
{
    char text[APIPOOL_SEAL_MAX];
    apipool_seal_t seal = make_seal();
    apr_size_t len = apipool_seal_format(&seal, other_key, text);

    assert_int_equal(parse(text, len, &seal), APIPOOL_SEAL_FOREIGN);
    text[20] ^= 1;
    assert_int_equal(parse(text, len, &seal), APIPOOL_SEAL_DAMAGED);
}

static void every_bit_and_every_length_of_a_seal_counts(void **unused)
{
    char text[APIPOOL_SEAL_MAX + 1];
    apipool_seal_t seal = make_seal();
    apr_size_t len = apipool_seal_format(&seal, mac_key, text);

    for (apr_size_t i = 0; i < len; i++) {
        assert_int_equal(parse(text, i, &seal), APIPOOL_SEAL_DAMAGED);
        for (int bit = 0; bit < 8; bit++) {
            text[i] ^= (char)(1 << bit);
            assert_int_equal(parse(text, len, &seal), APIPOOL_SEAL_DAMAGED);
            text[(i + 7) % len] ^= 1;
            assert_int_equal(parse(text, len, &seal), APIPOOL_SEAL_DAMAGED);
            text[(i + 7) % len] ^= 1;
            text[i] ^= (char)(1 << bit);
        }
    }
    text[len] = '\n';
    assert_int_equal(parse(text, len + 1, &seal), APIPOOL_SEAL_DAMAGED);
    assert_int_equal(parse(text, len, &seal), APIPOOL_SEAL_GOOD);
}

static void the_longest_seal_has_room(void **unused)
{
    char text[APIPOOL_SEAL_MAX];
    apipool_seal_t seal = make_seal(), read;

    memset(seal.dbm, 'd', sizeof(seal.dbm) - 1);
    seal.generation = APR_UINT64_MAX;
    for (int i = 0; i < 2; i++) {
        memset(seal.files[i].name, 'f', sizeof(seal.files[i].name) - 1);
        seal.files[i].size = APR_UINT64_MAX;
    }
    apr_size_t len = apipool_seal_format(&seal, mac_key, text);
    assert_true(len < sizeof(text));
    assert_int_equal(parse(text, len, &read), APIPOOL_SEAL_GOOD);
    assert_string_equal(read.files[1].name, seal.files[1].name);
}

/* A seal as an owner of the secret could write it. */
static void a_seal_out_of_form_is_refused_even_when_it_is_authentic(void **unused)
{
    static const char *const names[] = {"",    "../keys-000001", "a/b", ".keys", "Keys", "a b",
                                        "a\nb"};
    char text[APIPOOL_SEAL_MAX];
    apipool_seal_t seal = make_seal(), read;

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        strcpy(seal.files[0].name, names[i]);
        apr_size_t len = apipool_seal_format(&seal, mac_key, text);
        assert_int_equal(parse(text, len, &read), APIPOOL_SEAL_DAMAGED);
    }
    seal = make_seal();
    seal.generation = 0;
    assert_int_equal(parse(text, apipool_seal_format(&seal, mac_key, text), &read),
                     APIPOOL_SEAL_DAMAGED);
    seal = make_seal();
    seal.nfiles = 0;
    assert_int_equal(parse(text, apipool_seal_format(&seal, mac_key, text), &read),
                     APIPOOL_SEAL_DAMAGED);
}

static void current_is_read_as_it_was_written_or_not_at_all(void **unused)
{
    char text[APIPOOL_SEAL_MAX];
    apipool_current_t current = {{12, APR_UINT64_MAX}}, read;
    apr_size_t len = apipool_current_format(&current, text);

    assert_true(apipool_current_parse(&read, text, len));
    assert_true(read.generations[APIPOOL_STORE_KEYS] == 12);
    assert_true(read.generations[APIPOOL_STORE_STATS] == APR_UINT64_MAX);
    for (apr_size_t i = 0; i < len; i++) {
        assert_false(apipool_current_parse(&read, text, i));
        text[i] ^= 1;
        assert_false(apipool_current_parse(&read, text, len));
        assert_true(read.generations[APIPOOL_STORE_KEYS] == 0);
        text[i] ^= 1;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seal_is_read_as_it_was_written),
        cmocka_unit_test(what_another_secret_sealed_is_foreign_and_damage_is_damage),
        cmocka_unit_test(every_bit_and_every_length_of_a_seal_counts),
        cmocka_unit_test(the_longest_seal_has_room),
        cmocka_unit_test(a_seal_out_of_form_is_refused_even_when_it_is_authentic),
        cmocka_unit_test(current_is_read_as_it_was_written_or_not_at_all),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("seal", tests, NULL, NULL);
}
