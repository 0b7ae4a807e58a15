/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/memory/names: cleaning of foreign text, names that keep their counters, names
 * without an entry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "names.h"

#define NOW    apr_time_from_sec(APR_INT64_C(1795348800))
#define CLIENT APIPOOL_NAMED_CLIENT
#define MODEL  APIPOOL_NAMED_MODEL

static const apipool_finished_t served = {
    .success = 1,
    .attempts = 1,
    .tokens = {.prompt = 100, .completion = 20, .cached = -1, .total = 120},
    .first_byte = -1,
    .latency = -1,
};

static apr_uint64_t seed;

/* Random number below "below", the same in every run. */
static apr_uint64_t pick(apr_uint64_t below)
{
    seed = seed * APR_UINT64_C(6364136223846793005) + APR_UINT64_C(1442695040888963407);
    return (seed >> 33) % below;
}

/* Memory of exactly that size, so that a checker sees every access beyond it. */
static apipool_names_t make_table(apr_uint32_t capacity, apr_uint32_t pools)
{
    void *memory = calloc(1, apipool_names_bytes(capacity, pools));
    assert_non_null(memory);
    return apipool_names_view(memory, capacity, pools);
}

static void drop_table(apipool_names_t *names)
{
    free(names->table.head);
}

static apipool_counters_t *at(const apipool_names_t *names, apr_uint32_t pool, apipool_named_e kind,
                              const char *text, int add)
{
    apipool_name_t name;
    apipool_name_make(&name, text, strlen(text));
    return apipool_names_at_locked(names, pool, kind, &name, add);
}

static apipool_counters_t *other_of(const apipool_names_t *names, apr_uint32_t pool,
                                    apipool_named_e kind)
{
    return at(names, pool, kind, "", 1);
}

static void text_is_made_fit_for_labels(void **unused)
{
    static const struct {
        const char *text, *clean;
        apr_size_t len; /* 0: length of the text */
    } cases[] = {
        {"gpt-4o-mini", "gpt-4o-mini", 0},
        {"Qwen/Qwen2.5-72B:free @a", "Qwen/Qwen2.5-72B:free @a", 0},
        {"", "", 0},
        {"a\"b\\c'd`e", "a_b_c_d_e", 0},
        {"a\nb\r\tc\x1b[0m", "a_b__c_[0m", 0},
        {"a\0b", "a_b", 3},
        {"\x7f\xc2\x80\xc2\x9f\xc2\xa0", "___\xc2\xa0", 0},
        {"\xe6\xa8\xa1\xe5\x9e\x8b", "\xe6\xa8\xa1\xe5\x9e\x8b", 0},
        {"\xf0\x9f\x98\x80!", "\xf0\x9f\x98\x80!", 0},
        {"\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xae\xe2\x81\xa6\xef\xbb\xbf", "_____", 0},
        {"\xff\xfe", "??", 0},
        {"\x80", "?", 0},
        {"\xc3", "?", 0},
        {"\xc3(", "?(", 0},
        {"\xe6\xa8", "??", 0},
        {"\xf0\x9f\x98", "???", 0},
        {"\xc0\x80", "??", 0},           /* overlong NUL */
        {"\xc0\xa2", "??", 0},           /* overlong quote */
        {"\xe0\x80\xa2", "???", 0},      /* overlong quote */
        {"\xf0\x80\x80\xa2", "????", 0}, /* overlong quote */
        {"\xed\xa0\x80", "???", 0},      /* a surrogate */
        {"\xf4\x90\x80\x80", "????", 0}, /* beyond Unicode */
        {"\xf8\x88\x80\x80\x80", "?????", 0},
        {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char out[APIPOOL_NAMED_MAX];
        apr_size_t len = cases[i].len ? cases[i].len : strlen(cases[i].text);
        apipool_name_clean(out, sizeof(out), cases[i].text, len);
        assert_string_equal(out, cases[i].clean);
    }
}

static void text_is_cut_before_a_character(void **unused)
{
    char out[APIPOOL_NAMED_MAX];
    char text[10000];

    memset(text, 'a', sizeof(text));
    apipool_name_clean(out, sizeof(out), text, sizeof(text));
    assert_int_equal(strlen(out), 63);
    for (size_t i = 0; i + 3 <= sizeof(text); i += 3) {
        memcpy(text + i, "\xe6\xa8\xa1", 3);
    }
    apipool_name_clean(out, sizeof(out), text, sizeof(text));
    assert_int_equal(strlen(out), 63);
    apipool_name_clean(out, sizeof(out), text + 1, sizeof(text) - 1);
    assert_int_equal(strlen(out), 62); /* two bad bytes, then twenty characters */
    for (apr_size_t size = 1; size <= 8; size++) {
        apipool_name_clean(out, size, text, sizeof(text));
        assert_int_equal(strlen(out), (size - 1) / 3 * 3);
    }
}

static int is_clean(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f || strchr("\"\\'`", *text)) {
            return 0;
        }
    }
    return 1;
}

/* Half of the bytes are typical of UTF-8. */
static void random_bytes_come_out_clean_and_once_clean_stay_as_they_are(void **unused)
{
    seed = 1;
    for (int i = 0; i < 200000; i++) {
        char bytes[100], out[APIPOOL_NAMED_MAX], again[APIPOOL_NAMED_MAX];
        apr_size_t len = pick(sizeof(bytes));
        apr_size_t size = 1 + pick(sizeof(out));
        char *text = malloc(len + 1);
        for (apr_size_t k = 0; k < len; k++) {
            bytes[k] = (char)(pick(2) ? 0x80 + pick(128) : pick(256));
        }
        memcpy(text, bytes, len);
        text = realloc(text, len ? len : 1);
        apipool_name_clean(out, size, text, len);
        free(text);
        assert_true(strlen(out) < size);
        assert_true(is_clean(out));
        apipool_name_clean(again, sizeof(again), out, strlen(out));
        assert_string_equal(again, out);
    }
}

static void a_name_keeps_its_counters_by_pool_and_kind(void **unused)
{
    apipool_names_t names = make_table(64, 3);
    apipool_counters_t *first = at(&names, 0, MODEL, "gpt-4o", 1);

    apipool_counters_add(first, &served, NOW);
    assert_ptr_equal(at(&names, 0, MODEL, "gpt-4o", 1), first);
    assert_ptr_equal(at(&names, 0, MODEL, "gpt-4o", 0), first);
    assert_ptr_not_equal(at(&names, 1, MODEL, "gpt-4o", 1), first);
    assert_ptr_not_equal(at(&names, 0, CLIENT, "gpt-4o", 1), first);
    assert_ptr_not_equal(at(&names, 0, MODEL, "gpt-4", 1), first);
    assert_int_equal(at(&names, 0, MODEL, "gpt-4o", 1)->counts.requests, 1);
    assert_int_equal(at(&names, 1, MODEL, "gpt-4o", 1)->counts.requests, 0);
    drop_table(&names);
}

static void names_that_differ_after_63_bytes_or_in_unfit_characters_are_one(void **unused)
{
    apipool_names_t names = make_table(64, 1);
    char a[200], b[200];

    memset(a, 'x', sizeof(a));
    memset(b, 'x', sizeof(b));
    a[199] = b[199] = '\0';
    b[63] = 'y';
    assert_ptr_equal(at(&names, 0, MODEL, a, 1), at(&names, 0, MODEL, b, 1));
    b[62] = 'y';
    assert_ptr_not_equal(at(&names, 0, MODEL, a, 1), at(&names, 0, MODEL, b, 1));
    assert_ptr_equal(at(&names, 0, MODEL, "a\nb", 1), at(&names, 0, MODEL, "a\"b", 1));
    drop_table(&names);
}

/* Two entries with the same hash: clients who choose names may find some. */
static void entries_of_one_hash_are_told_apart(void **unused)
{
    static const struct {
        apr_uint64_t hash;
        apr_uint32_t pool;
        apipool_named_e kind;
        const char *text;
    } alike[] = {
        {5, 0, CLIENT, "a"}, {5, 0, CLIENT, "b"}, {4, 0, MODEL, "a"}, {5 ^ 256, 1, CLIENT, "a"}};
    apipool_names_t names = make_table(64, 2);
    apipool_counters_t *found[4];

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 4; i++) {
            apipool_name_t name = {.hash = alike[i].hash};
            snprintf(name.text, sizeof(name.text), "%s", alike[i].text);
            apipool_counters_t *counters =
                apipool_names_at_locked(&names, alike[i].pool, alike[i].kind, &name, round == 0);
            for (int k = 0; k < i; k++) {
                assert_ptr_not_equal(counters, found[k]);
            }
            assert_true(round == 0 || counters == found[i]);
            found[i] = counters;
        }
    }
    drop_table(&names);
}

static void the_rest_is_other_of_its_pool_and_kind(void **unused)
{
    apipool_names_t names = make_table(16, 2);

    for (apr_uint32_t pool = 0; pool < 2; pool++) {
        for (int kind = CLIENT; kind <= MODEL; kind++) {
            assert_ptr_equal(at(&names, pool, kind, "other", 1), other_of(&names, pool, kind));
            assert_ptr_equal(at(&names, pool, kind, "made up", 0), other_of(&names, pool, kind));
            for (int i = 0; i < 4; i++) {
                assert_true(pool * 2u + (apr_uint32_t)kind == (apr_uint32_t)i ||
                            other_of(&names, pool, kind) !=
                                other_of(&names, (apr_uint32_t)i / 2, i % 2));
            }
        }
    }
    for (int i = 0; i < 1000; i++) {
        char text[32];
        snprintf(text, sizeof(text), "model-%d", i);
        apipool_counters_add(at(&names, 1, MODEL, text, 1), &served, NOW);
    }
    assert_int_equal(other_of(&names, 1, MODEL)->counts.requests, 1000 - 3);
    assert_int_equal(other_of(&names, 1, CLIENT)->counts.requests, 0);
    assert_int_equal(other_of(&names, 0, MODEL)->counts.requests, 0);
    assert_int_equal(at(&names, 1, MODEL, "model-0", 1)->counts.requests, 1);
    drop_table(&names);
}

/* Pools take what they can get, one after the other, with made-up names. */
static void nobody_takes_all_places_from_the_others(void **unused)
{
    enum { CAPACITY = 1024, POOLS = 10 };
    apipool_names_t names = make_table(CAPACITY, POOLS);
    apr_uint64_t named[POOLS * 2] = {0}, all = 0;

    for (int hog = 0; hog < POOLS * 2; hog++) {
        for (int i = 0; i < 2000; i++) {
            char text[32];
            snprintf(text, sizeof(text), "%d-%d", hog, i);
            apipool_counters_t *counters = at(&names, (apr_uint32_t)hog / 2, hog % 2, text, 1);
            named[hog] += counters != other_of(&names, (apr_uint32_t)hog / 2, hog % 2);
        }
        all += named[hog];
    }
    assert_int_equal(named[CLIENT], 205);
    for (int hog = 0; hog < POOLS * 2; hog++) {
        assert_true(named[hog] >= 1 && (hog >= 10 || named[hog] >= 20));
    }
    assert_true(all < CAPACITY);
    drop_table(&names);
}

/* Reads everything in portions of this many places. */
static apr_uint32_t read_all(const apipool_names_t *names, apr_uint32_t pool, apr_uint32_t portion,
                             apipool_names_row_t *rows)
{
    apr_uint32_t count = 0;
    for (apr_uint32_t place = 0; place < apipool_names_places(names);) {
        apr_uint32_t before = place;
        count += apipool_names_read_locked(names, pool, NOW, &place, rows + count, portion);
        assert_true(place > before && place <= before + portion);
    }
    return count;
}

static void readers_see_every_entry_once(void **unused)
{
    static const apr_uint32_t portions[] = {1, 7, 64, 1000};
    apipool_names_t names = make_table(64, 2);
    apipool_names_row_t rows[100];

    assert_int_equal(read_all(&names, APIPOOL_NAMED_OF_ANY, 10, rows), 0);
    apipool_counters_add(at(&names, 0, MODEL, "a", 1), &served, NOW);
    apipool_counters_add(at(&names, 0, MODEL, "a", 1), &served, NOW);
    apipool_counters_add(at(&names, 0, CLIENT, "b", 1), &served, NOW);
    apipool_counters_add(at(&names, 1, MODEL, "c", 1), &served, NOW);
    apipool_counters_add(other_of(&names, 1, CLIENT), &served, NOW);
    for (size_t i = 0; i < sizeof(portions) / sizeof(*portions); i++) {
        apr_uint32_t count = read_all(&names, APIPOOL_NAMED_OF_ANY, portions[i], rows);
        int seen = 0;
        assert_int_equal(count, 4);
        for (apr_uint32_t k = 0; k < count; k++) {
            const apipool_names_row_t *row = &rows[k];
            seen |=
                strcmp(row->text, "a") ? 0 : 1 << (row->counters.total == 240 && row->pool == 0);
            seen |= strcmp(row->text, "b") ? 0 : 4 << (row->kind == CLIENT && row->pool == 0);
            seen |= strcmp(row->text, "c") ? 0 : 16 << (row->kind == MODEL && row->pool == 1);
            seen |= strcmp(row->text, "other") ? 0 : 64 << (row->kind == CLIENT && row->pool == 1);
        }
        assert_int_equal(seen, 2 + 8 + 32 + 128);
        assert_int_equal(read_all(&names, 0, portions[i], rows), 2);
        assert_int_equal(read_all(&names, 1, portions[i], rows), 2);
        assert_int_equal(read_all(&names, 2, portions[i], rows), 0);
    }
    drop_table(&names);
}

#define MODELS 500

/* Nothing is lost, with or without an entry, and the counters of entries are exact. */
static void no_request_is_lost_in_tables_of_any_size(void **unused)
{
    static apipool_names_row_t rows[2048 + 8];
    for (apr_uint32_t capacity = 1; capacity <= 2048; capacity *= 2) {
        apipool_names_t names = make_table(capacity, 3);
        apr_uint64_t counted[3][2][MODELS] = {0}, sum = 0, named = 0;
        seed = capacity;
        for (int i = 0; i < 20000; i++) {
            apr_uint32_t pool = (apr_uint32_t)pick(3);
            int kind = (int)pick(2);
            apr_uint64_t n = pick(pick(2) ? 50 : MODELS);
            char text[32];
            snprintf(text, sizeof(text), "%u", (unsigned)n);
            apipool_counters_add(at(&names, pool, kind, text, pick(4) > 0), &served, NOW);
            counted[pool][kind][n]++;
        }
        apr_uint32_t count = read_all(&names, APIPOOL_NAMED_OF_ANY, 100, rows);
        for (apr_uint32_t k = 0; k < count; k++) {
            sum += rows[k].counters.requests;
            if (strcmp(rows[k].text, APIPOOL_NAMED_OTHER)) {
                apr_uint64_t all = counted[rows[k].pool][rows[k].kind][atoi(rows[k].text)];
                assert_true(rows[k].counters.requests <= all);
                named++;
            }
        }
        assert_int_equal(sum, 20000);
        assert_true(named <= capacity && named * 2 >= (capacity < 2048 ? capacity : 0));
        drop_table(&names);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_made_fit_for_labels),
        cmocka_unit_test(text_is_cut_before_a_character),
        cmocka_unit_test(random_bytes_come_out_clean_and_once_clean_stay_as_they_are),
        cmocka_unit_test(a_name_keeps_its_counters_by_pool_and_kind),
        cmocka_unit_test(names_that_differ_after_63_bytes_or_in_unfit_characters_are_one),
        cmocka_unit_test(entries_of_one_hash_are_told_apart),
        cmocka_unit_test(the_rest_is_other_of_its_pool_and_kind),
        cmocka_unit_test(nobody_takes_all_places_from_the_others),
        cmocka_unit_test(readers_see_every_entry_once),
        cmocka_unit_test(no_request_is_lost_in_tables_of_any_size),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
