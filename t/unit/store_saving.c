/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/store/store: times of saves, failures, and restarts in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "members.h"
#include "slots.h"
#include "store_fixture.h"

#define HOUR apr_time_from_sec(3600)

/* Change for tests: some keys are removed, one is disabled, one is new. */
typedef struct {
    life_t *life;
    apr_uint32_t upstream;
    apr_uint64_t gone, off;
    const char *new_key;
    int given, refuse, applied, cut_off;
} trial_t;

static apr_uint64_t id_of(const life_t *life, const char *key)
{
    return apipool_key_id(life->segment->header->store.secret, key, strlen(key));
}

static apr_status_t prepare(void *ctx, int *changes, const char **why)
{
    trial_t *trial = ctx;
    *changes = trial->gone || trial->off || trial->new_key;
    *why = trial->refuse ? "refused" : NULL;
    return trial->refuse ? APR_EINVAL : APR_SUCCESS;
}

static int write_key(void *ctx, apipool_key_image_t *image)
{
    const trial_t *trial = ctx;
    image->enabled = image->id == trial->off ? 0 : image->enabled;
    return image->id != trial->gone;
}

static int write_new(void *ctx, apipool_key_image_t *image)
{
    trial_t *trial = ctx;
    if (!trial->new_key || trial->given++) {
        return 0;
    }
    *image = (apipool_key_image_t){.pool = trial->life->segment->upstreams[trial->upstream].pool,
                                   .upstream = trial->upstream,
                                   .id = id_of(trial->life, trial->new_key),
                                   .key = trial->new_key,
                                   .len = strlen(trial->new_key),
                                   .label = "new",
                                   .account = "acme",
                                   .account_hash = apipool_hash("acme"),
                                   .weight = 3,
                                   .enabled = 1};
    return 1;
}

/* If it is interrupted, the first key is gone and the rest unchanged, as if the process had been
 * killed. */
static apr_status_t apply(void *ctx)
{
    trial_t *trial = ctx;
    apr_uint32_t pool = trial->life->segment->upstreams[trial->upstream].pool;
    apipool_key_patch_t off = {.edit = {.set = APIPOOL_SET_ENABLED}, .upstream = APIPOOL_NONE};
    apipool_key_item_t item = {.key = trial->new_key,
                               .len = strlen(trial->new_key),
                               .enabled = 1,
                               .weight = 3,
                               .label = "new",
                               .account = "acme"};
    apipool_added_e added;
    trial->applied++;
    apr_status_t rv = apipool_pool_remove(trial->life->segment, pool, trial->gone);
    if (trial->cut_off) {
        return APR_EGENERAL;
    }
    if (rv == APR_SUCCESS) {
        rv = apipool_pool_edit(trial->life->segment, pool, trial->off, &off);
    }
    return rv == APR_SUCCESS
               ? apipool_pool_add(trial->life->segment, trial->upstream, &item, now, &added)
               : rv;
}

static apr_status_t change(trial_t *trial)
{
    apipool_store_change_t made = {
        .prepare = prepare, .key = write_key, .new_key = write_new, .apply = apply, .ctx = trial};
    return apipool_store_change(trial->life->store, &made, &error, trial->life->f->pool);
}

/* Three saved keys, and a change of them. */
static trial_t open_trial(life_t *life, const char *name)
{
    *life = start(name);
    trial_t trial = {.life = life, .upstream = upstream_of(life, attach(life, "", "main"), "one")};
    add(life, trial.upstream, "sk-going");
    add(life, trial.upstream, "sk-off");
    add(life, trial.upstream, "sk-staying");
    save(life);
    trial.gone = id_of(life, "sk-going");
    trial.off = id_of(life, "sk-off");
    trial.new_key = "sk-new";
    return trial;
}

static int has(const life_t *life, const char *key)
{
    apr_uint32_t pool = attach(life, "", "main");
    return apipool_pool_find_locked(life->segment, pool, id_of(life, key)) != APIPOOL_NONE;
}

static void check_unchanged(const life_t *life)
{
    assert_true(has(life, "sk-going"));
    assert_false(has(life, "sk-new"));
    assert_int_equal(main_slot(life, "sk-off")->state, APIPOOL_STATE_ACTIVE);
    assert_null(consistency_of(life->segment));
}

static void check_changed(const life_t *life)
{
    assert_false(has(life, "sk-going"));
    assert_true(has(life, "sk-staying"));
    assert_int_equal(main_slot(life, "sk-off")->state, APIPOOL_STATE_DISABLED);
    const apipool_slot_t *slot = main_slot(life, "sk-new");
    assert_string_equal(apipool_slot_label_locked(life->segment, slot), "new");
    assert_string_equal(apipool_slot_account_locked(life->segment, slot), "acme");
    assert_int_equal(slot->weight, 3);
    assert_null(consistency_of(life->segment));
}

static void a_change_is_on_disk_when_it_is_made(void **unused)
{
    life_t life;
    trial_t trial = open_trial(&life, "change");
    assert_int_equal(change(&trial), APR_SUCCESS);
    check_changed(&life);
    assert_false(apipool_store_has_unsaved_keys(life.store));
    life_t next = start("change");
    check_changed(&next);
    end(&life);
    end(&next);
}

static void what_cannot_be_written_is_not_made(void **unused)
{
    life_t life;
    trial_t trial = open_trial(&life, "full");
    char *away = strdup(path_of("full.away")), *path = strdup(path_of("full"));
    apipool_store_health_t before, after;
    apipool_segment_store_health(life.segment, &before);
    assert_int_equal(rename(path, away), 0);
    assert_int_not_equal(change(&trial), APR_SUCCESS);
    assert_non_null(strstr(error, path));
    assert_int_equal(rename(away, path), 0);
    assert_int_equal(trial.applied, 0);
    check_unchanged(&life);
    apipool_segment_store_health(life.segment, &after);
    assert_int_equal(after.errors, before.errors + 1);
    assert_int_equal(after.saves, before.saves);
    trial.given = 0;
    assert_int_equal(change(&trial), APR_SUCCESS);
    check_changed(&life);
    end(&life);
    free(path);
    free(away);
}

static void what_is_refused_or_nothing_is_not_written(void **unused)
{
    life_t life;
    apipool_store_health_t before, after;
    trial_t trial = open_trial(&life, "refused"),
            none = {.life = &life, .upstream = trial.upstream};
    apipool_segment_store_health(life.segment, &before);
    trial.refuse = 1;
    assert_int_equal(change(&trial), APR_EINVAL);
    assert_string_equal(error, "refused");
    assert_int_equal(change(&none), APR_SUCCESS);
    apipool_segment_store_health(life.segment, &after);
    assert_int_equal(after.saves + after.errors, before.saves + before.errors);
    check_unchanged(&life);
    end(&life);
}

/* A process that is killed after its change is on disk leaves memory behind. */
static void the_next_writer_makes_up_for_what_was_cut_off(void **unused)
{
    life_t life;
    trial_t trial = open_trial(&life, "cut-off");
    trial.cut_off = 1;
    assert_int_not_equal(change(&trial), APR_SUCCESS);
    assert_false(has(&life, "sk-new"));
    assert_int_equal(main_slot(&life, "sk-off")->state, APIPOOL_STATE_ACTIVE);
    assert_int_equal(apipool_store_save_keys(life.store, &error, life.f->pool), APR_SUCCESS);
    check_changed(&life);
    life_t next = start("cut-off");
    check_changed(&next);
    end(&life);
    end(&next);
}

/* Even if no key is changed any more: a withdrawn key must not stay in use. */
static void saving_statistics_makes_up_for_it_too(void **unused)
{
    life_t life;
    trial_t trial = open_trial(&life, "cut-off-idle");
    trial.cut_off = 1;
    assert_int_not_equal(change(&trial), APR_SUCCESS);
    life.segment->header->store.saved_changes =
        life.segment->header->store.changes; /* killed before any of it */
    assert_int_equal(apipool_store_save_stats(life.store, &error, life.f->pool), APR_SUCCESS);
    assert_int_equal(life.segment->header->store.changing, 0);
    check_changed(&life);
    end(&life);
}

static void what_was_not_changed_stays_as_it_was(void **unused)
{
    life_t life;
    trial_t trial = open_trial(&life, "cut-off-rest");
    apipool_key_edit_t edit = {.set = APIPOOL_SET_LABEL, .label = "mine"};
    apipool_key_patch_t patch = {.edit = edit, .upstream = APIPOOL_NONE};
    apr_uint32_t pool = attach(&life, "", "main");
    assert_int_equal(apipool_pool_edit(life.segment, pool, id_of(&life, "sk-staying"), &patch),
                     APR_SUCCESS);
    save(&life);
    apipool_slot_t *slot = main_slot(&life, "sk-staying");
    apr_uint32_t index = (apr_uint32_t)(slot - life.segment->slots), list_index = slot->list_index;
    apr_uint32_t model_slot =
        apipool_members_cool_locked(life.segment, index, 4711, now + HOUR, now);
    apipool_offset_t text = slot->text_off;
    slot->failed_streak = 2;
    trial.cut_off = 1;
    assert_int_not_equal(change(&trial), APR_SUCCESS);
    assert_int_equal(apipool_store_save_keys(life.store, &error, life.f->pool), APR_SUCCESS);
    check_changed(&life);
    assert_int_equal(slot->list_index, list_index);
    assert_int_not_equal(slot->place[model_slot], APIPOOL_NONE);
    assert_int_equal(slot->until[model_slot], now + HOUR);
    assert_int_equal(slot->failed_streak, 2);
    assert_int_equal(slot->text_off, text);
    end(&life);
}

/* A process that is killed earlier leaves memory as it is, with its unsaved changes. */
static void what_never_got_to_disk_is_not_made_up_for(void **unused)
{
    life_t life;
    trial_t trial = open_trial(&life, "early");
    add(&life, trial.upstream, "sk-unsaved");
    life.segment->header->store.changing = 12345;
    assert_int_equal(apipool_store_save_keys(life.store, &error, life.f->pool), APR_SUCCESS);
    check_unchanged(&life);
    assert_true(has(&life, "sk-unsaved"));
    life_t next = start("early");
    check_unchanged(&next);
    assert_true(has(&next, "sk-unsaved"));
    end(&life);
    end(&next);
}

static apr_status_t end_session(void *ctx)
{
    trial_t *trial = ctx;
    return trial->cut_off ? APR_EGENERAL
                          : apipool_sessions_revoke(trial->life->segment, 77, now + HOUR, now);
}

static apr_status_t change_session(trial_t *trial)
{
    apipool_revoked_t session = {.jti = 77, .until = now + HOUR};
    apipool_store_change_t made = {.apply = end_session, .ctx = trial, .session = &session};
    return apipool_store_change(trial->life->store, &made, &error, trial->life->f->pool);
}

static int is_ended(const life_t *life, apr_uint64_t jti)
{
    return apipool_sessions_is_revoked(life->segment, jti);
}

static void sessions_that_were_ended_stay_so(void **unused)
{
    life_t life;
    trial_t trial = open_trial(&life, "sessions");
    for (apr_uint64_t jti = 1000; jti < 2000; jti++) { /* saved with the next change */
        assert_int_equal(apipool_sessions_revoke(life.segment, jti << 40 | jti,
                                                 now + (jti % 2 ? HOUR : 1000), now),
                         APR_SUCCESS);
    }
    usleep(2000); /* half of them have expired */
    assert_int_equal(change_session(&trial), APR_SUCCESS);
    assert_int_equal(is_ended(&life, 77), 1);
    life_t next = start("sessions");
    assert_int_equal(next.stored, 3);
    assert_int_equal(is_ended(&next, 77), 1);
    assert_int_equal(is_ended(&next, 78), 0);
    for (apr_uint64_t jti = 1000; jti < 2000; jti++) {
        assert_int_equal(is_ended(&next, jti << 40 | jti), jti % 2);
    }
    life_t later = restart(&next, "sessions");
    assert_int_equal(is_ended(&later, 77), 1);
    end(&life);
    end(&next);
    end(&later);
}

static void a_session_whose_end_was_cut_off_ends(void **unused)
{
    life_t life;
    trial_t trial = open_trial(&life, "session-cut-off");
    trial.cut_off = 1;
    assert_int_not_equal(change_session(&trial), APR_SUCCESS);
    assert_int_equal(is_ended(&life, 77), 0);
    assert_int_equal(apipool_store_save_keys(life.store, &error, life.f->pool), APR_SUCCESS);
    assert_int_equal(is_ended(&life, 77), 1);
    check_unchanged(&life);
    life_t next = start("session-cut-off");
    assert_int_equal(is_ended(&next, 77), 1);
    end(&life);
    end(&next);
}

static void keys_that_could_not_be_saved_go_with_the_statistics(void **unused)
{
    life_t life = start("retry");
    char *away = strdup(path_of("retry.away")), *path = strdup(path_of("retry"));
    add(&life, upstream_of(&life, attach(&life, "", "main"), "one"), "sk-retry");
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
    header->store.saved_at = now;
    assert_false(apipool_store_is_due(life.store, now + apr_time_from_sec(59)));
    assert_true(apipool_store_is_due(life.store, now + apr_time_from_sec(60)));
    assert_true(apipool_store_is_due(life.store, now - 1)); /* the clock was set back */
    header->updates = 999;
    assert_false(apipool_store_is_due(life.store, now));
    header->updates = 1000;
    assert_true(apipool_store_is_due(life.store, now));
    assert_int_equal(apipool_store_save_stats(life.store, &error, life.f->pool), APR_SUCCESS);
    assert_false(apipool_store_is_due(life.store, header->store.saved_at));
    assert_true(apipool_store_may_complain(life.store, now));
    assert_false(apipool_store_may_complain(life.store, now + apr_time_from_sec(59)));
    assert_true(apipool_store_may_complain(life.store, now + apr_time_from_sec(60)));
    end(&life);
}

static void a_restart_goes_on_with_the_secret_that_it_has(void **unused)
{
    life_t life = start("in-use");
    apipool_store_t *again;
    add(&life, upstream_of(&life, attach(&life, "", "main"), "one"), "sk-a");
    save(&life);
    for (int round = 0; round < 2; round++) {
        apipool_store_kept_t kept = {.lock = -1};
        apipool_store_settings_t settings = settings_of("in-use", life.f->pool);
        settings.in_use = life.segment->header->store.sealed_with;
        if (round) {
            put_file(path_of("in-use.secret"), "another secret of thirty-two byt", 32, 0600);
        }
        else {
            unlink(path_of("in-use.secret"));
        }
        *last_report = '\0';
        assert_int_equal(apipool_store_open(&again, &settings, &kept, &error, life.f->pool),
                         APR_SUCCESS);
        assert_non_null(strstr(last_report, "in-use.secret"));
        assert_non_null(strstr(last_report, "after a full stop the pools would not serve"));
        assert_memory_equal(again->secret, settings.in_use, APIPOOL_SECRET_SIZE);
        assert_memory_equal(again->vault.mac_key, life.store->vault.mac_key,
                            sizeof(again->vault.mac_key));
        close(kept.lock);
    }
    end(&life);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_is_on_disk_when_it_is_made),
        cmocka_unit_test(what_cannot_be_written_is_not_made),
        cmocka_unit_test(what_is_refused_or_nothing_is_not_written),
        cmocka_unit_test(the_next_writer_makes_up_for_what_was_cut_off),
        cmocka_unit_test(saving_statistics_makes_up_for_it_too),
        cmocka_unit_test(what_was_not_changed_stays_as_it_was),
        cmocka_unit_test(what_never_got_to_disk_is_not_made_up_for),
        cmocka_unit_test(sessions_that_were_ended_stay_so),
        cmocka_unit_test(a_session_whose_end_was_cut_off_ends),
        cmocka_unit_test(keys_that_could_not_be_saved_go_with_the_statistics),
        cmocka_unit_test(statistics_are_due_by_time_or_number_and_failures_told_once_a_minute),
        cmocka_unit_test(a_restart_goes_on_with_the_secret_that_it_has),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up_store, remove_scratch);
}
