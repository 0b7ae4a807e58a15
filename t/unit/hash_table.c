/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/memory/hash_table: places are taken, found and given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hash_table.h"

#define PLACES 100
#define HASHES 20 /* so that places share them */

/* Memory of exactly that size, so that a checker sees every access beyond it. */
static apipool_hash_table_t make_table(apr_uint32_t capacity, apr_uint32_t chains)
{
    apipool_hash_table_head_t *head = calloc(1, sizeof(*head));
    void *links = calloc(1, apipool_hash_table_bytes(capacity, chains));
    assert_true(head && links);
    return apipool_hash_table_view(head, links, capacity, chains);
}

static void drop_table(const apipool_hash_table_t *table)
{
    free(table->next);
    free(table->head);
}

static int finds(const apipool_hash_table_t *table, apr_uint32_t wanted, apr_uint64_t hash)
{
    apr_uint32_t place = apipool_hash_table_first(table, hash);
    while (place != APIPOOL_NONE && place != wanted) {
        place = apipool_hash_table_next(table, place);
    }
    return place == wanted;
}

static void all_places_are_taken_once(void **unused)
{
    apipool_hash_table_t table = make_table(3, 0);
    for (apr_uint32_t i = 0; i < 3; i++) {
        assert_int_equal(apipool_hash_table_take(&table), i);
    }
    assert_int_equal(apipool_hash_table_take(&table), APIPOOL_NONE);
    assert_int_equal(table.head->used, 3);
    drop_table(&table);
}

static void what_was_given_back_last_is_taken_first(void **unused)
{
    apipool_hash_table_t table = make_table(4, 0);
    for (int i = 0; i < 3; i++) {
        apipool_hash_table_take(&table);
    }
    apipool_hash_table_give(&table, 0);
    apipool_hash_table_give(&table, 2);
    assert_int_equal(table.head->spare, 2);
    assert_int_equal(apipool_hash_table_take(&table), 2);
    assert_int_equal(apipool_hash_table_take(&table), 0);
    assert_int_equal(apipool_hash_table_take(&table), 3);
    assert_int_equal(table.head->spare, 0);
    drop_table(&table);
}

static void there_are_chains_for_all_places(void **unused)
{
    assert_int_equal(apipool_hash_table_chains(0), 16);
    assert_int_equal(apipool_hash_table_chains(16), 16);
    assert_int_equal(apipool_hash_table_chains(17), 32);
    assert_int_equal(apipool_hash_table_chains(1000000), 1 << 20);
}

/* With one chain and with many; with hashes that differ only in their upper or lower half. */
static void whatever_is_linked_is_found_and_nothing_else(void **unused)
{
    for (apr_uint32_t chains = 1; chains <= 128; chains *= 8) {
        apipool_hash_table_t table = make_table(PLACES, chains);
        apr_uint64_t hashes[PLACES];
        int linked[PLACES] = {0};
        srand(chains);
        for (apr_uint32_t i = 0; i < PLACES; i++) {
            apr_uint64_t number = (apr_uint64_t)rand() % HASHES;
            hashes[apipool_hash_table_take(&table)] = i % 2 ? number : number << 40;
        }
        for (int step = 0; step < 20000; step++) {
            apr_uint32_t i = (apr_uint32_t)rand() % PLACES, count = 0;
            if (linked[i]) {
                apipool_hash_table_unlink(&table, i, hashes[i]);
            }
            else {
                apipool_hash_table_link(&table, i, hashes[i]);
            }
            linked[i] = !linked[i];
            for (apr_uint32_t k = 0; k < PLACES && step % 100 == 0; k++) {
                assert_int_equal(finds(&table, k, hashes[k]), linked[k]);
                count += (apr_uint32_t)linked[k];
            }
            assert_true(step % 100 || table.head->linked == count);
        }
        drop_table(&table);
    }
}

static void a_table_is_made_anew(void **unused)
{
    apipool_hash_table_t table = make_table(PLACES, 16);
    for (apr_uint32_t i = 0; i < PLACES / 2; i++) {
        apipool_hash_table_link(&table, apipool_hash_table_take(&table), i);
    }
    for (apr_uint32_t i = 0; i < 16; i++) {
        table.first[i] = 0x7fffffff;
    }
    table.next[5] = 6;
    apipool_hash_table_clear(&table);
    for (apr_uint32_t i = 0; i < table.head->used; i++) {
        assert_false(finds(&table, i, i));
        if (i % 3) {
            apipool_hash_table_link(&table, i, i);
        }
        else {
            apipool_hash_table_give(&table, i);
        }
    }
    for (apr_uint32_t i = 0; i < PLACES / 2; i++) {
        assert_int_equal(finds(&table, i, i), i % 3 != 0);
    }
    assert_int_equal(table.head->linked + table.head->spare, PLACES / 2);
    assert_int_equal(apipool_hash_table_take(&table) % 3, 0);
    drop_table(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_places_are_taken_once),
        cmocka_unit_test(what_was_given_back_last_is_taken_first),
        cmocka_unit_test(there_are_chains_for_all_places),
        cmocka_unit_test(whatever_is_linked_is_found_and_nothing_else),
        cmocka_unit_test(a_table_is_made_anew),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
