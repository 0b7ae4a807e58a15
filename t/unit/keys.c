/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/pool/keys: changing and removing keys, even lent ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pool_fixture.h"

#include "consistency.h"
#include "members.h"
#include "slots.h"

static void check_whole(void)
{
    const char *fault = consistency_of(segment);
    if (fault) {
        fail_msg("%s", fault);
    }
}

static apr_uint64_t id_of(const char *key)
{
    return apipool_key_id(segment->header->store.secret, key, strlen(key));
}

static const apipool_slot_t *find(const char *key)
{
    apr_uint32_t index = apipool_pool_find_locked(segment, main_pool, id_of(key));
    return index == APIPOOL_NONE ? NULL : &segment->slots[index];
}

static void remove_key(const char *key)
{
    assert_int_equal(apipool_pool_remove(segment, main_pool, id_of(key)), APR_SUCCESS);
    check_whole();
}

static apr_status_t edit(const char *key, const apipool_key_edit_t *said)
{
    apipool_key_patch_t patch = {.edit = *said, .upstream = APIPOOL_NONE};
    apr_status_t rv = apipool_pool_edit(segment, main_pool, id_of(key), &patch);
    check_whole();
    return rv;
}

static void a_removed_key_is_gone(void **unused)
{
    add(upstream_a, "sk-one");
    add(upstream_a, "sk-two");
    remove_key("sk-one");
    assert_null(find("sk-one"));
    assert_int_equal(segment->header->slots.linked, 1);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        assert_string_equal(lease.key, "sk-two");
    }
    assert_int_equal(apipool_pool_remove(segment, main_pool, id_of("sk-one")), APR_NOTFOUND);
    for (apr_uint32_t i = 0; i < segment->header->slots.used; i++) {
        assert_string_not_equal(segment->slots[i].secret, "sk-one");
    }
}

static void its_slot_is_the_next_keys(void **unused)
{
    char long_key[600];
    memset(long_key, 'x', sizeof(long_key) - 1);
    long_key[sizeof(long_key) - 1] = '\0';
    for (int i = 0; i < 3 * CAPACITY; i++) {
        add(upstream_a, long_key);
        remove_key(long_key);
    }
    assert_int_equal(segment->header->slots.used, 1);
    add(upstream_b, "sk-short");
    assert_int_equal(segment->header->slots.used, 1);
    assert_int_equal(find("sk-short")->counts.requests, 0);
}

static void a_key_that_is_lent_is_removed_when_it_is_back(void **unused)
{
    add(upstream_a, "sk-one");
    assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
    remove_key("sk-one");
    assert_string_equal(lease.key, "sk-one");
    add(upstream_a, "sk-two");
    assert_int_equal(segment->header->slots.used, 2);
    report(APIPOOL_RULE_CREDENTIAL, 0, NOW);
    check_whole();
    assert_int_equal(find("sk-two")->state, APIPOOL_STATE_ACTIVE);
    assert_int_equal(find("sk-two")->counts.requests, 0);
    add(upstream_a, "sk-three");
    assert_int_equal(segment->header->slots.used, 2);
    assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
}

static void a_key_that_dies_with_its_holder_is_removed(void **unused)
{
    add(upstream_a, "sk-one");
    assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
    remove_key("sk-one");
    assert_int_equal(apipool_pool_reclaim(segment, segment->process, NOW), APR_SUCCESS);
    check_whole();
    add(upstream_a, "sk-two");
    assert_int_equal(segment->header->slots.used, 1);
}

static void the_same_key_may_come_back_while_it_is_lent(void **unused)
{
    add(upstream_a, "sk-one");
    assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
    remove_key("sk-one");
    add(upstream_a, "sk-one");
    report(APIPOOL_RULE_CREDENTIAL, 0, NOW);
    check_whole();
    assert_int_equal(find("sk-one")->state, APIPOOL_STATE_ACTIVE);
    assert_int_equal(find("sk-one")->in_flight, 0);
}

static void what_is_said_is_kept(void **unused)
{
    apipool_key_edit_t said = {.set = APIPOOL_SET_LABEL | APIPOOL_SET_ACCOUNT | APIPOOL_SET_WEIGHT |
                                      APIPOOL_SET_LIMITS,
                               .label = "Fran\xc3\xa7ois",
                               .account = "acme",
                               .weight = 7,
                               .limits = {.rpm = 5}};
    add(upstream_a, "sk-one");
    assert_int_equal(edit("sk-one", &said), APR_SUCCESS);
    const apipool_slot_t *slot = find("sk-one");
    assert_string_equal(apipool_slot_label_locked(segment, slot), "Fran\xc3\xa7ois");
    assert_string_equal(apipool_slot_account_locked(segment, slot), "acme");
    assert_true(slot->account == apipool_hash("acme"));
    assert_int_equal(slot->weight, 7);
    assert_int_equal(slot->limits.rpm, 5);
    said = (apipool_key_edit_t){.set = APIPOOL_SET_LABEL, .label = ""};
    assert_int_equal(edit("sk-one", &said), APR_SUCCESS);
    assert_string_equal(apipool_slot_label_locked(segment, slot), "");
    assert_string_equal(apipool_slot_account_locked(segment, slot), "acme");
    said = (apipool_key_edit_t){.set = APIPOOL_SET_ACCOUNT, .account = ""};
    assert_int_equal(edit("sk-one", &said), APR_SUCCESS);
    assert_true(slot->account == 0);
    assert_true(slot->text_off == 0);
    assert_int_equal(slot->weight, 7);
    assert_int_equal(edit("sk-two", &said), APR_NOTFOUND);
}

static void a_key_is_switched_off_and_begins_anew(void **unused)
{
    apipool_key_edit_t off = {.set = APIPOOL_SET_ENABLED};
    apipool_key_edit_t on = {.set = APIPOOL_SET_ENABLED, .enabled = 1};
    add(upstream_a, "sk-one");
    assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_CREDENTIAL, 0, NOW);
    assert_int_equal(find("sk-one")->state, APIPOOL_STATE_INVALID);
    assert_int_equal(edit("sk-one", &on), APR_SUCCESS);
    assert_int_equal(find("sk-one")->state, APIPOOL_STATE_INVALID);
    assert_int_equal(edit("sk-one", &off), APR_SUCCESS);
    assert_int_equal(find("sk-one")->state, APIPOOL_STATE_DISABLED);
    assert_int_equal(acquire(NOW), APIPOOL_EXHAUSTED);
    assert_int_equal(edit("sk-one", &on), APR_SUCCESS);
    assert_int_equal(find("sk-one")->state, APIPOOL_STATE_ACTIVE);
    assert_int_equal(find("sk-one")->error_streak, 0);
    assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
    apr_uint32_t index = (apr_uint32_t)(find("sk-one") - segment->slots);
    apr_uint32_t model_slot = apipool_members_cool_locked(segment, index, 4711, NOW + 60, NOW);
    assert_int_not_equal(find("sk-one")->place[model_slot], APIPOOL_NONE);
    assert_int_equal(edit("sk-one", &off), APR_SUCCESS);
    assert_int_equal(edit("sk-one", &on), APR_SUCCESS);
    assert_int_equal(find("sk-one")->place[model_slot], APIPOOL_NONE);
}

static void a_reset_forgets_why(void **unused)
{
    add(upstream_a, "sk-one");
    assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_CREDENTIAL, 0, NOW);
    assert_int_equal(apipool_pool_reset(segment, main_pool, id_of("sk-one")), APR_SUCCESS);
    check_whole();
    assert_int_equal(find("sk-one")->state, APIPOOL_STATE_ACTIVE);
    assert_int_equal(find("sk-one")->counts.errors, 1);
    assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_RATE_LIMIT, 0, NOW);
    assert_int_equal(acquire(NOW), APIPOOL_ALL_COOLING);
    assert_int_equal(apipool_pool_reset(segment, main_pool, id_of("sk-one")), APR_SUCCESS);
    check_whole();
    assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
    assert_int_equal(apipool_pool_reset(segment, main_pool, id_of("sk-two")), APR_NOTFOUND);
}

/* Otherwise the next request would take out a key of a limited or spent account again. */
static void a_reset_key_is_used_whatever_its_account_has_met(void **unused)
{
    static const apipool_rule_e rules[] = {APIPOOL_RULE_RATE_LIMIT, APIPOOL_RULE_QUOTA};
    add_of(upstream_a, "sk-one", "acme");
    add_of(upstream_a, "sk-two", "acme");
    for (int i = 0; i < 2; i++) {
        for (apr_uint64_t model = 0; model < 3; model += 2) {
            assert_int_equal(acquire_for(model, NOW), APIPOOL_ACQUIRED);
            report(rules[i], NOW + SEC(60), NOW);
            probed = 0;
            assert_int_not_equal(acquire_for(model, NOW), APIPOOL_ACQUIRED);
            assert_int_equal(apipool_pool_reset(segment, main_pool, id_of("sk-two")), APR_SUCCESS);
            check_whole();
            assert_int_equal(acquire_for(model, NOW), APIPOOL_ACQUIRED);
            assert_memory_equal(lease.key, "sk-two", 6);
            report(APIPOOL_RULE_SUCCESS, 0, NOW);
            assert_int_equal(apipool_pool_reset(segment, main_pool, id_of("sk-one")), APR_SUCCESS);
        }
    }
}

/* Differences between an import item and an existing key. */
static void an_import_changes_what_it_says(void **unused)
{
    apipool_added_e added;
    apipool_key_item_t item = {
        .key = "sk-one", .len = 6, .enabled = 1, .label = "first", .account = "acme"};
    apr_uint64_t changes = 0;
    for (int i = 0; i < 3; i++) {
        item.label = i == 2 ? NULL : item.label;
        assert_int_equal(apipool_pool_add(segment, upstream_a, &item, NOW, &added), APR_SUCCESS);
        assert_int_equal(added, i ? APIPOOL_DUPLICATE : APIPOOL_ADDED);
        assert_true(!i || segment->header->store.changes == changes);
        changes = segment->header->store.changes;
    }
    assert_string_equal(apipool_slot_label_locked(segment, find("sk-one")), "first");
    item.label = "second";
    assert_int_equal(apipool_pool_add(segment, upstream_b, &item, NOW, &added), APR_SUCCESS);
    check_whole();
    assert_string_equal(apipool_slot_label_locked(segment, find("sk-one")), "second");
    assert_int_equal(find("sk-one")->upstream, upstream_b);
    assert_true(segment->header->store.changes != changes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_removed_key_is_gone),
        TEST(its_slot_is_the_next_keys),
        TEST(a_key_that_is_lent_is_removed_when_it_is_back),
        TEST(a_key_that_dies_with_its_holder_is_removed),
        TEST(the_same_key_may_come_back_while_it_is_lent),
        TEST(what_is_said_is_kept),
        TEST(a_key_is_switched_off_and_begins_anew),
        TEST(a_reset_forgets_why),
        TEST(a_reset_key_is_used_whatever_its_account_has_met),
        TEST(an_import_changes_what_it_says),
    };
    apr_initialize();
    cmocka_set_message_output(CM_OUTPUT_TAP);
    int failed = cmocka_run_group_tests_name("keys", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
