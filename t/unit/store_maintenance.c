/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/store/store_maintenance and of apipool_store_look: pools that are off, and a store that
 * is only looked at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <sys/stat.h>

#include "maintenance.h"
#include "store_fixture.h"

static apipool_segment_t *changed;

static apr_status_t apply(void *ctx)
{
    const apipool_maintenance_change_t *change = ctx;
    return apipool_pool_maintain(changed, change->pool, &change->to);
}

static apr_status_t die(void *ctx)
{
    (void)ctx;
    return APR_EGENERAL;
}

static apr_status_t change(const life_t *life, apr_uint32_t pool, int is_on, apr_time_t until,
                           apr_status_t (*make)(void *ctx))
{
    apipool_maintenance_change_t to = {.pool = pool, .to = {.until = until, .is_on = is_on}};
    snprintf(to.to.message, sizeof(to.to.message), "%s", is_on ? "closed" : "");
    apipool_store_change_t wanted = {.maintenance = &to, .apply = make, .ctx = &to};
    changed = life->segment;
    return apipool_store_change(life->store, &wanted, &error, life->f->pool);
}

static int is_closed(const life_t *life, const char *server, const char *name)
{
    return apipool_pool_is_closed(life->segment, attach(life, server, name), now);
}

static void maintenance_is_there_in_the_next_life(void **unused)
{
    apipool_maintenance_t read;
    apr_time_t later = apr_time_now() + apr_time_from_sec(3600);
    life_t life = start("maintenance");
    attach(&life, "", "open");
    assert_int_equal(change(&life, attach(&life, "", "p"), 1, later, apply), APR_SUCCESS);
    assert_int_equal(change(&life, attach(&life, "v:80", "p"), 1, 0, apply), APR_SUCCESS);
    assert_int_equal(change(&life, attach(&life, "", "ended"), 1, 0, apply), APR_SUCCESS);
    assert_int_equal(change(&life, attach(&life, "", "ended"), 0, 0, apply), APR_SUCCESS);
    life_t next = start("maintenance");
    assert_true(is_closed(&next, "", "p"));
    assert_true(is_closed(&next, "v:80", "p"));
    assert_false(is_closed(&next, "", "open"));
    assert_false(is_closed(&next, "", "ended"));
    apr_uint32_t pool = attach(&next, "", "p");
    assert_int_equal(apipool_pool_maintenance(next.segment, pool, now, &read), APR_SUCCESS);
    assert_int_equal(read.until, later);
    assert_int_equal(read.is_on, 1);
    assert_string_equal(read.message, "closed");
    assert_false(apipool_pool_is_closed(next.segment, pool, later)); /* it ends by itself */
    assert_int_equal(apipool_pool_maintenance(next.segment, pool, later, &read), APR_SUCCESS);
    assert_int_equal(read.is_on, 0);
    life_t third = restart(&next, "maintenance"); /* what others write keeps it */
    assert_true(is_closed(&third, "", "p"));
    end(&life);
    end(&next);
    end(&third);
}

static void a_change_that_was_interrupted_is_completed(void **unused)
{
    life_t life = start("interrupted");
    apr_uint32_t p = attach(&life, "", "p"), q = attach(&life, "", "q");
    assert_int_equal(change(&life, p, 1, 0, apply), APR_SUCCESS);
    assert_int_not_equal(change(&life, q, 1, 0, die), APR_SUCCESS);
    assert_false(is_closed(&life, "", "q"));
    assert_int_equal(apipool_store_save_stats(life.store, &error, life.f->pool), APR_SUCCESS);
    assert_true(is_closed(&life, "", "q"));
    assert_true(is_closed(&life, "", "p"));
    assert_int_not_equal(change(&life, p, 0, 0, die), APR_SUCCESS);
    assert_true(is_closed(&life, "", "p"));
    assert_int_equal(apipool_store_save_stats(life.store, &error, life.f->pool), APR_SUCCESS);
    assert_false(is_closed(&life, "", "p"));
    assert_true(is_closed(&life, "", "q"));
    end(&life);
}

/* --- looking --- */

static int count_files(const char *path)
{
    int count = 0;
    DIR *dir = opendir(path);
    while (dir && readdir(dir)) {
        count++;
    }
    if (dir) {
        closedir(dir);
    }
    return count;
}

static apr_status_t look(const char *name, apr_pool_t *pool)
{
    apipool_store_settings_t settings = settings_of(name, pool);
    return apipool_store_look(&settings, &error, pool);
}

static void a_look_finds_what_a_start_would_and_changes_nothing(void **unused)
{
    char secret[300], away[300];
    apr_pool_t *pool;
    apr_pool_create(&pool, NULL);
    snprintf(secret, sizeof(secret), "%s", path_of("look.secret"));
    snprintf(away, sizeof(away), "%s", path_of("look.away"));
    assert_int_equal(look("look", pool), APR_SUCCESS);
    assert_int_equal(count_files(path_of("look")), 0);
    assert_int_not_equal(access(secret, F_OK), 0);
    assert_int_equal(mkdir(path_of("look"), 0700), 0);
    assert_int_equal(look("look", pool), APR_SUCCESS);
    assert_int_equal(count_files(path_of("look")), 2); /* "." and ".." */

    life_t life = start("look");
    add(&life, upstream_of(&life, attach(&life, "", "main"), "one"), "sk-looked-at");
    save(&life);
    assert_int_equal(apipool_store_settle(life.store, &error, life.f->pool), APR_SUCCESS);
    int files = count_files(path_of("look"));
    *last_report = '\0';
    assert_int_equal(look("look", pool), APR_SUCCESS);
    assert_string_equal(last_report, "");
    assert_int_equal(rename(secret, away), 0);
    assert_int_not_equal(look("look", pool), APR_SUCCESS);
    assert_non_null(strstr(error, "look.secret is missing"));
    assert_int_not_equal(access(secret, F_OK), 0);
    assert_int_equal(rename(away, secret), 0);
    assert_int_equal(look("look", pool), APR_SUCCESS);
    assert_int_equal(count_files(path_of("look")), files);
    end(&life);
    assert_int_equal(rename(path_of("look"), away), 0);
    assert_int_not_equal(look("look", pool), APR_SUCCESS);
    assert_non_null(strstr(error, "says that it had data"));
    assert_int_equal(count_files(path_of("look")), 0);
    apr_pool_destroy(pool);
}

/* The admin module may be there without pools, and sessions must not be signed with what all know. */
static void what_signs_sessions_is_random_without_a_store(void **unused)
{
    static const unsigned char zeros[APIPOOL_SECRET_SIZE];
    unsigned char secret[APIPOOL_SECRET_SIZE];
    apr_shm_t *shm;
    apr_pool_t *pool;
    apipool_segment_t *segment;
    apr_pool_create(&pool, NULL);
    memset(secret, 's', sizeof(secret));
    assert_int_equal(apipool_segment_create(&shm, 16, 16, 16, secret, pool), APR_SUCCESS);
    assert_int_equal(apipool_segment_view(&segment, shm, NULL, NULL, pool), APR_SUCCESS);
    assert_memory_not_equal(apipool_segment_store(segment)->sealed_with, zeros, sizeof(zeros));
    apr_pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maintenance_is_there_in_the_next_life),
        cmocka_unit_test(a_change_that_was_interrupted_is_completed),
        cmocka_unit_test(a_look_finds_what_a_start_would_and_changes_nothing),
        cmocka_unit_test(what_signs_sessions_is_random_without_a_store),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up_store, remove_scratch);
}
