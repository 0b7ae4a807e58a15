/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/archive and archive_entry: archives stay readable, nothing in them can be read or changed without
 * the passphrase, none can take memory or time, and contents come back as they were. */
#include <apr_general.h>
#include <apr_strings.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "archive.h"
#include "archive_entry.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define PASSPHRASE   "correct horse battery"
#define AT_COST      9
#define SUM          32
#define CHEAP        ((apipool_archive_cost_t){4, 2, 3})

typedef struct {
    unsigned char *bytes;
    apr_size_t len;
} archive_t;

static apr_pool_t *pool;

static int open_pool(void **unused)
{
    return apr_pool_create(&pool, NULL) != APR_SUCCESS;
}

static int close_pool(void **unused)
{
    apr_pool_destroy(pool);
    return 0;
}

static archive_t make(const char *contents, apr_size_t len)
{
    archive_t archive;
    const unsigned char *bytes;
    apipool_archive_writer_t *writer =
        apipool_archive_begin(CHEAP, PASSPHRASE, strlen(PASSPHRASE), pool);
    assert_non_null(writer);
    assert_true(apipool_archive_add(writer, contents, len / 2));
    assert_true(apipool_archive_add(writer, contents + len / 2, len - len / 2));
    assert_true(apipool_archive_end(writer, &bytes, &archive.len));
    assert_int_equal(archive.len, len + APIPOOL_ARCHIVE_OVERHEAD);
    archive.bytes = apr_pmemdup(pool, bytes, archive.len);
    return archive;
}

static apipool_archive_e open_with(archive_t archive, const char *passphrase, char **text,
                                   apr_size_t *len)
{
    /* of exactly its size, so that a checker sees every step beyond it */
    unsigned char *copy = malloc(archive.len ? archive.len : 1);
    memcpy(copy, archive.bytes, archive.len);
    apipool_archive_e result =
        apipool_archive_open(copy, archive.len, passphrase, strlen(passphrase), pool, text, len);
    free(copy);
    return result;
}

static apipool_archive_e result_of(archive_t archive)
{
    char *text = NULL;
    apr_size_t len;
    return open_with(archive, PASSPHRASE, &text, &len);
}

/* What somebody does who changes an archive and knows its format. */
static void sum_again(archive_t archive)
{
    unsigned char *end = archive.bytes + archive.len - SUM;
    assert_int_equal(EVP_Digest(archive.bytes, archive.len - SUM, end, NULL, EVP_sha256(), NULL),
                     1);
}

/* Made with node's crypto by archive.h: N 16, r 2, p 3. */
static unsigned char stored[] = "\x61\x70\x69\x70\x6f\x6f\x6c\x41\x01\x04\x02\x03\x00\x01\x02\x03"
                                "\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x40\x41\x42\x43"
                                "\x44\x45\x46\x47\x48\x49\x4a\x4b\xa1\xb4\xcd\x80\x77\xc9\x43\x19"
                                "\x17\xde\xee\xf8\x56\x3e\x53\xb1\x2f\xa7\x75\x6e\x41\x15\xcc\x1c"
                                "\x43\x95\xb3\xa2\x5d\x8e\x66\x15\xf2\x79\x3e\xa2\x41\x95\xd4\x2c"
                                "\x69\xc6\xc1\x45\x3c\xeb\x8c\x03\xc7\xf9\xd5\xe4\x9a\x00\xe9\xf9"
                                "\x77\x0b\xa3\xf2\x17\x4f\x16";

static void what_was_archived_once_can_be_read_for_ever(void **unused)
{
    char *text = NULL;
    apr_size_t len = 0;
    assert_int_equal(open_with((archive_t){stored, sizeof(stored) - 1}, PASSPHRASE, &text, &len),
                     APIPOOL_ARCHIVE_GOOD);
    assert_string_equal(text, "what is inside\n");
    assert_int_equal(len, strlen(text));
}

static void contents_of_any_length_come_back(void **unused)
{
    static const apr_size_t lens[] = {0, 1, 15, 16, 17, 16384, 16385, 200000};
    for (size_t i = 0; i < COUNT(lens); i++) {
        char *text = NULL, *plain = apr_palloc(pool, lens[i] + 1);
        apr_size_t len = 1;
        for (apr_size_t k = 0; k < lens[i]; k++) {
            plain[k] = (char)(k * 7);
        }
        assert_int_equal(open_with(make(plain, lens[i]), PASSPHRASE, &text, &len),
                         APIPOOL_ARCHIVE_GOOD);
        assert_int_equal(len, lens[i]);
        assert_memory_equal(text, plain, len);
    }
}

static void nothing_can_be_read_and_no_two_are_alike(void **unused)
{
    static const char plain[] = "{\"key\":{\"key\":\"sk-secret-key-0123456789\"}}\n";
    archive_t a = make(plain, sizeof(plain) - 1), b = make(plain, sizeof(plain) - 1);
    assert_memory_not_equal(a.bytes + 12, b.bytes + 12, 28);
    assert_memory_not_equal(a.bytes + 40, b.bytes + 40, sizeof(plain) - 1);
    for (apr_size_t at = 0; at + 4 <= a.len; at++) {
        for (apr_size_t from = 0; from + 4 < sizeof(plain); from++) {
            assert_memory_not_equal(a.bytes + at, plain + from, 4);
        }
    }
}

/* The contents are not given out, neither to who knows the format. */
static void every_changed_byte_is_noticed(void **unused)
{
    archive_t archive = make("what is inside\n", 15);
    for (apr_size_t at = 0; at < archive.len; at++) {
        archive_t changed = {apr_pmemdup(pool, archive.bytes, archive.len), archive.len};
        changed.bytes[at] ^= (unsigned char)(1 << at % 8);
        assert_int_equal(result_of(changed), at < 8   ? APIPOOL_ARCHIVE_FOREIGN
                                             : at < 9 ? APIPOOL_ARCHIVE_NEWER
                                                      : APIPOOL_ARCHIVE_DAMAGED);
        sum_again(changed);
        assert_int_equal(result_of(changed) == APIPOOL_ARCHIVE_GOOD, at >= archive.len - SUM);
    }
}

static void a_part_of_an_archive_is_refused(void **unused)
{
    archive_t archive = make("what is inside\n", 15);
    for (apr_size_t len = 0; len < archive.len; len++) {
        archive_t part = {archive.bytes, len};
        assert_int_equal(result_of(part),
                         len < 9 ? APIPOOL_ARCHIVE_FOREIGN : APIPOOL_ARCHIVE_DAMAGED);
    }
    archive_t longer = {apr_pcalloc(pool, archive.len + 1), archive.len + 1};
    memcpy(longer.bytes, archive.bytes, archive.len);
    assert_int_equal(result_of(longer), APIPOOL_ARCHIVE_DAMAGED);
}

static void another_passphrase_is_told_from_damage(void **unused)
{
    archive_t archive = make("what is inside\n", 15);
    static const char *const wrong[] = {"", "correct horse batterz", "correct horse battery ",
                                        "correct horse batter"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        char *text = NULL;
        apr_size_t len = 0;
        assert_int_equal(open_with(archive, wrong[i], &text, &len), APIPOOL_ARCHIVE_LOCKED);
        assert_null(text);
    }
}

/* Every cost that a byte can hold; a cost that is not refused is not tried here, but for the edges. */
static void an_archive_cannot_ask_for_much(void **unused)
{
    static const apipool_archive_cost_t costs[] = {
        {0, 8, 1}, {19, 8, 1}, {255, 255, 255}, {32, 1, 1},     {64, 8, 1}, {4, 0, 1},
        {4, 8, 0}, {18, 9, 1}, {18, 8, 3},      {13, 255, 255}, {16, 1, 1}, {31, 255, 1}};
    for (size_t i = 0; i < COUNT(costs); i++) {
        archive_t archive = make("x", 1);
        memcpy(archive.bytes + AT_COST, &costs[i], 3);
        sum_again(archive);
        assert_int_equal(result_of(archive), APIPOOL_ARCHIVE_EXPENSIVE);
        assert_null(apipool_archive_begin(costs[i], PASSPHRASE, 21, pool));
    }
    assert_non_null(apipool_archive_begin(APIPOOL_ARCHIVE_COST, PASSPHRASE, 21, pool));
}

static void every_result_is_explained(void **unused)
{
    assert_null(apipool_archive_explain(APIPOOL_ARCHIVE_GOOD));
    for (int i = APIPOOL_ARCHIVE_GOOD + 1; i <= APIPOOL_ARCHIVE_FAILED; i++) {
        assert_non_null(apipool_archive_explain((apipool_archive_e)i));
    }
}

/* --- Contents --- */

static apipool_archive_entry_t read_back(const apipool_archive_entry_t *entry)
{
    static char line[APIPOOL_ARCHIVE_LINE_MAX];
    apipool_archive_entry_t again;
    apr_size_t len = apipool_archive_entry_write(entry, line);
    assert_true(len > 1 && line[len - 1] == '\n');
    assert_null(memchr(line, '\n', len - 1));
    assert_true(apipool_archive_entry_read(line, len - 1, pool, &again));
    assert_int_equal(again.is_client, entry->is_client);
    assert_int_equal(again.added_at, entry->added_at);
    return again;
}

static void a_key_comes_back(void **unused)
{
    apipool_archive_entry_t key = {.pool = "main",
                                   .upstream = "one",
                                   .added_at = apr_time_from_sec(1700000000),
                                   .key = {.key = "sk-0123456789\\abcdef",
                                           .len = 20,
                                           .label = "Grün \xe9\x92\xa5\xe5\x8c\x99 \"1\"",
                                           .account = "team",
                                           .weight = 7,
                                           .limits = {1, 2, 3, 4294967295u, 5}}};
    apipool_archive_entry_t again = read_back(&key);
    assert_string_equal(again.pool, "main");
    assert_string_equal(again.upstream, "one");
    assert_int_equal(again.key.len, 20);
    assert_string_equal(again.key.key, key.key.key);
    assert_string_equal(again.key.label, key.key.label);
    assert_string_equal(again.key.account, "team");
    assert_int_equal(again.key.weight, 7);
    assert_int_equal(again.key.enabled, 0);
    assert_memory_equal(&again.key.limits, &key.key.limits, sizeof(key.key.limits));
    key.key = (apipool_key_item_t){.key = "sk-0123456789", .len = 13, .enabled = 1};
    key.added_at = 0;
    again = read_back(&key);
    assert_null(again.key.label);
    assert_null(again.key.account);
    assert_int_equal(again.key.enabled, 1);
    assert_int_equal(again.key.limits.rpm, 0);
}

static void a_client_comes_back(void **unused)
{
    apipool_archive_entry_t client = {.is_client = 1,
                                      .added_at = apr_time_from_sec(1700000000),
                                      .client = {.name = "alice",
                                                 .expires_at = apr_time_from_sec(1900000000),
                                                 .limits = {1, 0, 4294967295u, 4}},
                                      .digest = "\x01\xff.............................."};
    client.client.lists[1] = apr_array_make(pool, 2, sizeof(const char *));
    APR_ARRAY_PUSH(client.client.lists[1], const char *) = "gpt-5*";
    APR_ARRAY_PUSH(client.client.lists[1], const char *) = "claude";
    apipool_archive_entry_t again = read_back(&client);
    assert_string_equal(again.client.name, "alice");
    assert_int_equal(again.client.set, APIPOOL_CLIENT_SET_ALL);
    assert_int_equal(again.client.enabled, 0);
    assert_int_equal(again.client.expires_at, client.client.expires_at);
    assert_memory_equal(again.client.limits, client.client.limits, sizeof(client.client.limits));
    assert_memory_equal(again.digest, client.digest, sizeof(client.digest));
    assert_int_equal(again.client.lists[0]->nelts, 0);
    assert_int_equal(again.client.lists[1]->nelts, 2);
    assert_string_equal(APR_ARRAY_IDX(again.client.lists[1], 0, const char *), "gpt-5*");
}

#define KEY(more)    "{\"key\":{\"pool\":\"a\",\"upstream\":\"b\",\"key\":\"sk-1234567890\"" more "}}"
#define DIGEST       "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define CLIENT(more) "{\"client\":{\"name\":\"a\",\"digest\":\"" DIGEST "\"" more "}}"

static void other_lines_are_refused(void **unused)
{
    static const char *const good[] = {KEY(""), CLIENT(""), KEY(",\"rpm\":null,\"label\":\"\"")};
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "null",
        "{\"key\":1}",
        "{\"key\":{}}",
        "{\"client\":{}}",
        "{\"other\":{}}",
        KEY(",\"x\":1"),
        KEY(",\"weight\":0"),
        KEY(",\"weight\":1001"),
        KEY(",\"rpm\":-1"),
        KEY(",\"rpm\":4294967296"),
        KEY(",\"enabled\":1"),
        KEY(",\"label\":\"\\u0000\""),
        KEY(",\"label\":\"\\n\""),
        KEY(",\"added_at\":\"now\""),
        KEY(",\"key\":\"sk-2345678901\""),
        KEY("") "x",
        "{\"key\":{\"pool\":\"a\",\"upstream\":\"b\",\"key\":\"sk 1234567890\"}}",
        "{\"key\":{\"pool\":\"a\",\"key\":\"sk-1234567890\"}}",
        CLIENT(",\"pools\":[1]"),
        CLIENT(",\"pools\":[\"\"]"),
        CLIENT(",\"models\":\"x\""),
        "{\"client\":{\"name\":\"a\",\"digest\":\"0123\"}}",
        "{\"client\":{\"name\":\"a\",\"digest\":\"g123456789abcdef0123456789abcdef"
        "0123456789abcdef0123456789abcdef\"}}"};
    apipool_archive_entry_t entry;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_true(apipool_archive_entry_read(good[i], strlen(good[i]), pool, &entry));
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_false(apipool_archive_entry_read(bad[i], strlen(bad[i]), pool, &entry));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_archived_once_can_be_read_for_ever),
        cmocka_unit_test(contents_of_any_length_come_back),
        cmocka_unit_test(nothing_can_be_read_and_no_two_are_alike),
        cmocka_unit_test(every_changed_byte_is_noticed),
        cmocka_unit_test(a_part_of_an_archive_is_refused),
        cmocka_unit_test(another_passphrase_is_told_from_damage),
        cmocka_unit_test(an_archive_cannot_ask_for_much),
        cmocka_unit_test(every_result_is_explained),
        cmocka_unit_test(a_key_comes_back),
        cmocka_unit_test(a_client_comes_back),
        cmocka_unit_test(other_lines_are_refused),
    };
    apr_initialize();
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("archive", tests, open_pool, close_pool);
}
