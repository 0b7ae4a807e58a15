/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/state/store: when it is saved, what becomes of a failure, and restarts in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store_fixture.h"

static apr_status_t add_one(void *ctx, int *changed)
{
    life_t *life = ctx;
    add(life, group_of(life, attach(life, "", "main"), "one"), "sk-change");
    *changed = 1;
    return APR_SUCCESS;
}

static int undone;

static void count_undo(void *ctx)
{
    (void)ctx;
    undone++;
}

static void a_change_is_on_disk_or_is_taken_back(void **unused)
{
    life_t life = start("change");
    char *away = strdup(path_of("change.away")), *path = strdup(path_of("change"));
    undone = 0;
    assert_int_equal(rename(path, away), 0);
    assert_int_not_equal(
        apipool_store_change(life.store, add_one, count_undo, &life, &error, life.f->pool),
        APR_SUCCESS);
    assert_int_equal(undone, 1);
    assert_non_null(strstr(error, path));
    apipool_store_health_t health;
    apipool_store_health(life.segment, &health);
    assert_int_equal(health.errors, 1);
    assert_int_equal(health.saves, 0);
    assert_int_equal(rename(away, path), 0);
    end(&life);

    life = start("change");
    assert_int_equal(life.stored, 0);
    assert_int_equal(
        apipool_store_change(life.store, add_one, count_undo, &life, &error, life.f->pool),
        APR_SUCCESS);
    assert_int_equal(undone, 1);
    life_t next = start("change");
    assert_int_equal(next.stored, 1);
    end(&life);
    end(&next);
    free(path);
    free(away);
}

static void keys_that_could_not_be_saved_go_with_the_statistics(void **unused)
{
    life_t life = start("retry");
    char *away = strdup(path_of("retry.away")), *path = strdup(path_of("retry"));
    add(&life, group_of(&life, attach(&life, "", "main"), "one"), "sk-retry");
    assert_int_equal(rename(path, away), 0);
    assert_int_not_equal(apipool_store_save_keys(life.store, &error, life.f->pool), APR_SUCCESS);
    assert_int_not_equal(apipool_store_save_stats(life.store, &error, life.f->pool), APR_SUCCESS);
    assert_true(apipool_store_has_unsaved_keys(life.store));
    assert_int_equal(rename(away, path), 0);
    assert_int_equal(apipool_store_save_stats(life.store, &error, life.f->pool), APR_SUCCESS);
    assert_false(apipool_store_has_unsaved_keys(life.store));
    life_t next = start("retry");
    assert_int_equal(next.stored, 1);
    end(&life);
    end(&next);
    free(path);
    free(away);
}

static void statistics_are_due_by_time_or_number_and_failures_told_once_a_minute(void **unused)
{
    life_t life = start("due");
    apipool_header_t *header = life.segment->header;
    header->saved_at = now;
    assert_false(apipool_store_is_due(life.store, now + apr_time_from_sec(59)));
    assert_true(apipool_store_is_due(life.store, now + apr_time_from_sec(60)));
    assert_true(apipool_store_is_due(life.store, now - 1)); /* the clock was set back */
    header->updates = 999;
    assert_false(apipool_store_is_due(life.store, now));
    header->updates = 1000;
    assert_true(apipool_store_is_due(life.store, now));
    assert_int_equal(apipool_store_save_stats(life.store, &error, life.f->pool), APR_SUCCESS);
    assert_false(apipool_store_is_due(life.store, header->saved_at));
    assert_true(apipool_store_may_complain(life.store, now));
    assert_false(apipool_store_may_complain(life.store, now + apr_time_from_sec(59)));
    assert_true(apipool_store_may_complain(life.store, now + apr_time_from_sec(60)));
    end(&life);
}

static void a_restart_goes_on_with_the_secret_that_it_has(void **unused)
{
    life_t life = start("in-use");
    apipool_store_t *again;
    add(&life, group_of(&life, attach(&life, "", "main"), "one"), "sk-a");
    save(&life);
    for (int round = 0; round < 2; round++) {
        apipool_store_kept_t kept = {.lock = -1};
        apipool_store_settings_t settings = settings_of("in-use", life.f->pool);
        settings.in_use = life.segment->header->secret;
        if (round) {
            put_file(path_of("in-use/secret"), "another secret of thirty-two byt", 32, 0600);
        }
        else {
            unlink(path_of("in-use/secret"));
        }
        *last_report = '\0';
        assert_int_equal(apipool_store_open(&again, &settings, &kept, &error, life.f->pool),
                         APR_SUCCESS);
        assert_non_null(strstr(last_report, "in-use/secret"));
        assert_non_null(strstr(last_report, "would not start again"));
        assert_memory_equal(apipool_store_secret(again), settings.in_use, APIPOOL_SECRET_SIZE);
        assert_memory_equal(again->vault.mac_key, life.store->vault.mac_key,
                            sizeof(again->vault.mac_key));
        close(kept.lock);
    }
    end(&life);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_is_on_disk_or_is_taken_back),
        cmocka_unit_test(keys_that_could_not_be_saved_go_with_the_statistics),
        cmocka_unit_test(statistics_are_due_by_time_or_number_and_failures_told_once_a_minute),
        cmocka_unit_test(a_restart_goes_on_with_the_secret_that_it_has),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up_store, remove_scratch);
}
