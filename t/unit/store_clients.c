/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/store/store_clients: creating, changing and removing clients, with restarts in
 * between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "client.h"
#include "store_fixture.h"

#define FULL 16 /* clients that the fixture's segment has room for */

static void fill_digest(unsigned char *digest, const char *name)
{
    assert_int_equal(apipool_client_key_digest(name, strlen(name), digest), 1);
}

static apipool_client_change_t a_change(const life_t *life, int what, const char *server,
                                        const char *name)
{
    apipool_client_change_t change;
    memset(&change, 0, sizeof(change));
    change.segment = life->segment;
    change.what = what;
    snprintf(change.image.server, sizeof(change.image.server), "%s", server);
    snprintf(change.image.name, sizeof(change.image.name), "%s", name);
    fill_digest(change.image.digest, name);
    change.image.created_at = now;
    change.image.terms.enabled = 1;
    change.image.terms.lists_len = APIPOOL_CLIENT_LISTS;
    return change;
}

static apr_status_t make(const life_t *life, apipool_client_change_t *change)
{
    apipool_store_change_t made = apipool_store_client_change(change);
    return apipool_store_change(life->store, &made, &error, life->f->pool);
}

static apr_status_t create(const life_t *life, const char *server, const char *name)
{
    apipool_client_change_t change = a_change(life, APIPOOL_CLIENT_CREATE, server, name);
    return make(life, &change);
}

/* Sets all members of a client. */
static apr_status_t give_all(void *ctx, apipool_client_terms_t *terms)
{
    apr_pool_t *pool = ctx;
    apr_array_header_t *lists[APIPOOL_CLIENT_LISTS];
    for (int list = 0; list < APIPOOL_CLIENT_LISTS; list++) {
        lists[list] = apr_array_make(pool, 2, sizeof(const char *));
        APR_ARRAY_PUSH(lists[list], const char *) = apr_psprintf(pool, "first of %d", list);
        APR_ARRAY_PUSH(lists[list], const char *) = apr_psprintf(pool, "last of %d", list);
    }
    terms->enabled = 0;
    terms->expires_at = now + apr_time_from_sec(1000);
    terms->limits[APIPOOL_CLIENT_RPM] = 10;
    terms->limits[APIPOOL_CLIENT_TPM] = 20;
    terms->limits[APIPOOL_CLIENT_TPD] = APR_UINT32_MAX;
    terms->limits[APIPOOL_CLIENT_CONCURRENCY] = 7;
    assert_int_equal(apipool_client_pack(terms, lists), 1);
    return APR_SUCCESS;
}

static apr_status_t edit_all(const life_t *life, const char *name)
{
    apipool_client_change_t change = a_change(life, APIPOOL_CLIENT_EDIT, "", name);
    change.edit = give_all;
    change.ctx = life->f->pool;
    return make(life, &change);
}

static apr_status_t remove_client(const life_t *life, const char *server, const char *name)
{
    apipool_client_change_t change = a_change(life, APIPOOL_CLIENT_DELETE, server, name);
    return make(life, &change);
}

static int has(const life_t *life, const char *server, const char *name)
{
    apipool_client_row_t row;
    return apipool_client_read(life->segment, server, name, now, &row) == APR_SUCCESS;
}

static void check_all(const life_t *life, const char *name)
{
    apipool_client_row_t row;
    unsigned char digest[APIPOOL_CLIENT_KEY_DIGEST];
    assert_int_equal(apipool_client_read(life->segment, "", name, now, &row), APR_SUCCESS);
    const apipool_client_terms_t *terms = &row.image.terms;
    fill_digest(digest, name);
    assert_memory_equal(row.image.digest, digest, sizeof(digest));
    assert_int_equal(terms->enabled, 0);
    assert_int_equal(terms->limits[APIPOOL_CLIENT_RPM], 10);
    assert_int_equal(terms->limits[APIPOOL_CLIENT_TPM], 20);
    assert_int_equal(terms->limits[APIPOOL_CLIENT_TPD], APR_UINT32_MAX);
    assert_int_equal(terms->limits[APIPOOL_CLIENT_CONCURRENCY], 7);
    assert_int_equal(apipool_client_allows(terms, APIPOOL_CLIENT_POOLS, "first of 0"), 1);
    assert_int_equal(apipool_client_allows(terms, APIPOOL_CLIENT_MODELS, "last of 1"), 1);
    assert_int_equal(apipool_client_allows(terms, APIPOOL_CLIENT_ENDPOINTS, "last of 2"), 1);
    assert_int_equal(apipool_client_allows(terms, APIPOOL_CLIENT_ENDPOINTS, "last of 1"), 0);
}

static void changes_are_there_in_the_next_life(void **unused)
{
    life_t life = start("changes");
    assert_int_equal(create(&life, "", "one"), APR_SUCCESS);
    assert_int_equal(create(&life, "", "two"), APR_SUCCESS);
    assert_int_equal(create(&life, "v:80", "one"), APR_EEXIST); /* the same key */
    assert_int_equal(create(&life, "v:80", "three"), APR_SUCCESS);
    assert_int_equal(edit_all(&life, "two"), APR_SUCCESS);
    assert_int_equal(remove_client(&life, "", "one"), APR_SUCCESS);
    check_all(&life, "two");
    life_t next = start("changes"); /* nothing else was saved */
    assert_false(has(&next, "", "one"));
    assert_true(has(&next, "v:80", "three"));
    check_all(&next, "two");
    end(&life);
    end(&next);
}

/* Also when the last statistics were saved before the rotation. */
static void rotated_keys_are_there_in_the_next_life(void **unused)
{
    life_t life = start("rotated");
    apipool_client_row_t row;
    assert_int_equal(create(&life, "", "one"), APR_SUCCESS);
    life.segment->clients.slots[0].counters.counts.requests = 5;
    life_t next = restart(&life, "rotated");
    for (int i = 0; i < 2; i++) {
        unsigned char digest[APIPOOL_CLIENT_KEY_DIGEST];
        apipool_client_change_t change = a_change(&next, APIPOOL_CLIENT_ROTATE, "", "one");
        if (i) {
            change.what = APIPOOL_CLIENT_END_OLD_KEY;
        }
        fill_digest(change.image.digest, "new key");
        change.image.old_until = now + apr_time_from_sec(i ? 0 : 60);
        assert_int_equal(make(&next, &change), APR_SUCCESS);
        life_t last = start("rotated");
        assert_int_equal(apipool_client_read(last.segment, "", "one", now, &row), APR_SUCCESS);
        fill_digest(digest, "new key");
        assert_memory_equal(row.image.digest, digest, sizeof(digest));
        fill_digest(digest, "one");
        assert_memory_equal(row.image.old_digest, digest, sizeof(digest));
        assert_int_equal(row.image.old_until, change.image.old_until);
        assert_int_equal(row.counters.requests, 5);
        assert_null(consistency_of(last.segment));
        end(&last);
    }
    end(&life);
    end(&next);
}

static void who_is_not_there_is_not_changed(void **unused)
{
    life_t life = start("refused");
    assert_int_equal(create(&life, "", "one"), APR_SUCCESS);
    apr_uint64_t saves = life.segment->header->store.saves;
    assert_int_equal(create(&life, "", "one"), APR_EEXIST);
    assert_null(error);
    assert_int_equal(edit_all(&life, "two"), APR_NOTFOUND);
    assert_int_equal(remove_client(&life, "v:80", "one"), APR_NOTFOUND);
    for (int i = 1; i < FULL; i++) {
        char name[16];
        snprintf(name, sizeof(name), "more-%d", i);
        assert_int_equal(create(&life, "", name), APR_SUCCESS);
    }
    assert_int_equal(create(&life, "", "too many"), APR_ENOMEM);
    assert_int_equal(life.segment->header->store.saves, saves + FULL - 1);
    end(&life);
}

static void what_cannot_be_written_has_not_happened(void **unused)
{
    life_t life = start("gone");
    char *path = apr_pstrdup(life.f->pool, path_of("gone"));
    assert_int_equal(create(&life, "", "one"), APR_SUCCESS);
    assert_int_equal(rename(path, path_of("away")), 0);
    assert_int_not_equal(create(&life, "", "two"), APR_SUCCESS);
    assert_non_null(error);
    assert_int_not_equal(edit_all(&life, "one"), APR_SUCCESS);
    assert_int_not_equal(remove_client(&life, "", "one"), APR_SUCCESS);
    assert_false(has(&life, "", "two"));
    apipool_client_row_t row;
    assert_int_equal(apipool_client_read(life.segment, "", "one", now, &row), APR_SUCCESS);
    assert_int_equal(row.image.terms.enabled, 1);
    assert_int_equal(rename(path_of("away"), path), 0);
    assert_int_equal(create(&life, "", "two"), APR_SUCCESS);
    end(&life);
}

static apr_status_t be_killed(void *ctx)
{
    (void)ctx;
    return APR_EGENERAL;
}

/* On disk, but not yet in memory: the next writer catches up. */
static void what_is_on_disk_comes_to_memory(void **unused)
{
    life_t life = start("cut-off");
    assert_int_equal(create(&life, "", "one"), APR_SUCCESS);
    assert_int_equal(create(&life, "", "two"), APR_SUCCESS);
    static const int whats[] = {APIPOOL_CLIENT_CREATE, APIPOOL_CLIENT_EDIT, APIPOOL_CLIENT_DELETE};
    static const char *const names[] = {"three", "two", "one"};
    for (int i = 0; i < 3; i++) {
        apipool_client_change_t change = a_change(&life, whats[i], "", names[i]);
        change.edit = give_all;
        change.ctx = life.f->pool;
        apipool_store_change_t made = apipool_store_client_change(&change);
        made.apply = be_killed;
        assert_int_not_equal(apipool_store_change(life.store, &made, &error, life.f->pool),
                             APR_SUCCESS);
        assert_int_equal(has(&life, "", names[i]), whats[i] != APIPOOL_CLIENT_CREATE);
        assert_int_equal(apipool_store_save_keys(life.store, &error, life.f->pool), APR_SUCCESS);
        assert_int_equal(has(&life, "", names[i]), whats[i] != APIPOOL_CLIENT_DELETE);
        assert_null(consistency_of(life.segment));
    }
    check_all(&life, "two");
    assert_true(has(&life, "", "three"));
    end(&life);
}

static void what_was_used_is_known_in_the_next_life(void **unused)
{
    life_t life = start("used");
    apipool_client_change_t change = a_change(&life, APIPOOL_CLIENT_CREATE, "", "one");
    change.image.terms.limits[APIPOOL_CLIENT_RPM] = 1;
    change.image.terms.limits[APIPOOL_CLIENT_TPD] = 50;
    assert_int_equal(make(&life, &change), APR_SUCCESS);
    apipool_client_pass_t pass;
    apipool_client_admitted_e result;
    apr_time_t at;
    assert_int_equal(
        apipool_client_recognise(life.segment, change.image.digest, "", NULL, now, &pass, NULL),
        APR_SUCCESS);
    apipool_client_used_t used = {
        .charge = {pass.index, pass.serial, 40, 0}, .reached = 1, .tokens = -1};
    apipool_finished_t finished = {.success = 1, .first_byte = -1, .tokens = {3, 4, -1, 7}};
    assert_int_equal(apipool_client_admit(life.segment, &used.charge, now, &result, &at),
                     APR_SUCCESS);
    assert_int_equal(result, APIPOOL_CLIENT_ADMITTED);
    apipool_client_settle_locked(life.segment, &used, &finished, now);

    life_t next = restart(&life, "used");
    apipool_client_row_t row;
    assert_int_equal(apipool_client_read(next.segment, "", "one", now, &row), APR_SUCCESS);
    assert_int_equal(row.counters.requests, 1);
    assert_int_equal(row.counters.total, 7);
    assert_in_range(row.last_used_at, now - apr_time_from_sec(60), now);
    assert_int_equal(
        apipool_client_recognise(next.segment, change.image.digest, "", NULL, now, &pass, NULL),
        APR_SUCCESS);
    apipool_client_charge_t charge = {.index = pass.index, .serial = pass.serial, .tokens = 20};
    assert_int_equal(apipool_client_admit(next.segment, &charge, now, &result, &at), APR_SUCCESS);
    assert_int_equal(result, APIPOOL_CLIENT_OVER_TPD);
    end(&life);
    end(&next);
}

/* A client of a later version, a truncated one, and statistics of a removed one. */
static void records_of_other_versions(void **unused)
{
    static const struct {
        int has_digest, has_name, is_whole;
    } records[] = {{1, 1, 1}, {0, 1, 1}, {1, 0, 1}, {1, 1, 0}};
    static const apr_uint64_t limits[] = {1, 2, 3};
    for (int i = 0; i < 4; i++) {
        unsigned char bytes[512], digest[APIPOOL_CLIENT_KEY_DIGEST];
        apipool_record_writer_t writer;
        apr_size_t len;
        apr_pool_t *pool;
        fill_digest(digest, "one");
        assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
        apr_array_header_t *clients = apr_array_make(pool, 1, sizeof(apipool_client_image_t));
        apipool_record_begin(&writer, bytes, sizeof(bytes));
        apipool_record_put_text(&writer, 200, "of the future");
        apipool_record_put_u64s(&writer, 7, limits, 3); /* of an earlier version: without
                                                         * concurrency */
        if (records[i].has_name) {
            apipool_record_put_text(&writer, 2, "one");
        }
        if (records[i].has_digest) {
            apipool_record_put_bytes(&writer, 3, digest, sizeof(digest));
        }
        assert_int_equal(apipool_record_end(&writer, &len), 1);
        len -= !records[i].is_whole;
        assert_int_equal(apipool_store_read_client((const char *)bytes, len, clients), i == 0);
        assert_int_equal(clients->nelts, i == 0);
        if (i == 0) {
            const apipool_client_terms_t *terms =
                &APR_ARRAY_IDX(clients, 0, apipool_client_image_t).terms;
            assert_int_equal(terms->limits[APIPOOL_CLIENT_TPD], 3);
            assert_int_equal(terms->limits[APIPOOL_CLIENT_CONCURRENCY], 0);
        }
        apr_pool_destroy(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_are_there_in_the_next_life),
        cmocka_unit_test(rotated_keys_are_there_in_the_next_life),
        cmocka_unit_test(who_is_not_there_is_not_changed),
        cmocka_unit_test(what_cannot_be_written_has_not_happened),
        cmocka_unit_test(what_is_on_disk_comes_to_memory),
        cmocka_unit_test(what_was_used_is_known_in_the_next_life),
        cmocka_unit_test(records_of_other_versions),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up_store, remove_scratch);
}
