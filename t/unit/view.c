/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/pool/view: single keys, and keys that come and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "pool_fixture.h"
#include "view.h"

#define KEY "sk-0123456789abcdef"

static apipool_view_key_t view_of(const char *key, apr_time_t now)
{
    apipool_view_key_t view;
    apr_uint64_t id = slot_of(key)->id;
    assert_int_equal(apipool_view_keys(segment, main_pool, &id, NULL, 1, now, &view), APR_SUCCESS);
    assert_int_equal(view.found, 1);
    assert_true(view.info.id == id);
    return view;
}

static void use_it(apipool_rule_e rule, apr_time_t named)
{
    assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
    report(rule, named, NOW);
}

static void a_new_key_is_known_for_nothing(void **unused)
{
    apipool_key_item_t item = {.key = KEY,
                               .len = strlen(KEY),
                               .enabled = 1,
                               .weight = 7,
                               .label = "a label",
                               .account = "an account",
                               .limits = {1, 2, 3, 4, 5}};
    assert_int_equal(add_item(upstream_b, &item), APIPOOL_ADDED);
    apipool_view_key_t view = view_of(KEY, NOW);
    const apipool_key_info_t *info = &view.info;
    assert_string_equal(info->masked, "sk-0\xe2\x80\xa6"
                                      "cdef");
    assert_string_equal(apipool_view_upstream_name(segment, view.upstream), "b");
    assert_string_equal(view.label, "a label");
    assert_string_equal(view.account, "an account");
    assert_int_equal(info->weight, 7);
    assert_int_equal(info->state, APIPOOL_STATE_ACTIVE);
    assert_int_equal(info->added_at, NOW);
    assert_int_equal(info->cooling_until + info->next_probe_at + info->last_used_at, 0);
    assert_int_equal(info->last_error_at + info->balance_at, 0);
    assert_null(info->last_rule);
    assert_null(info->last_message);
    assert_int_equal(info->counters.requests, 0);
    assert_true(info->counters.success_rate < 0 && info->counters.latency_ms < 0);
    assert_memory_equal(&info->limits, &item.limits, sizeof(item.limits));
}

static void what_it_does_is_counted(void **unused)
{
    add(upstream_a, KEY);
    use_it(APIPOOL_RULE_SUCCESS, 0);
    assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
    const apipool_key_info_t info = view_of(KEY, NOW).info;
    assert_int_equal(info.in_flight, 1);
    assert_int_equal(info.last_used_at, NOW);
    assert_int_equal(info.counters.requests, 1);
    assert_int_equal(info.counters.rpm, 2);
    assert_int_equal(info.counters.rpd, 2);
    report(APIPOOL_RULE_SUCCESS, 0, NOW);
}

/* To the last microsecond of the window. */
static void what_is_shown_is_what_the_limit_counts(void **unused)
{
    add(upstream_a, KEY);
    limits = (apipool_key_limits_t){.rpm = 1};
    use_it(APIPOOL_RULE_SUCCESS, 0);
    assert_int_equal(acquire(NOW), APIPOOL_ALL_COOLING);
    for (apr_time_t now = NOW; now < NOW + SEC(70); now += SEC(1) / 4) {
        assert_int_equal(view_of(KEY, now).info.counters.rpm, now < retry_at);
    }
    limits = (apipool_key_limits_t){0};
}

static void a_cooldown_has_an_end_and_a_reason(void **unused)
{
    add(upstream_a, KEY);
    assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
    report_limit(APIPOOL_SCOPE_KEY, NOW + SEC(20), NOW);
    const apipool_key_info_t info = view_of(KEY, NOW + SEC(19)).info;
    assert_int_equal(info.state, APIPOOL_STATE_COOLING);
    assert_int_equal(info.cooling_until, NOW + SEC(20));
    assert_int_equal(info.next_probe_at, 0);
    assert_int_equal(info.last_error_at, NOW);
    assert_int_equal(info.last_status, 418);
    assert_string_equal(info.last_rule, "R07");
    assert_string_equal(info.last_message, "the upstream limits the rate of requests or tokens");
}

static void a_cooldown_that_is_over_is_none(void **unused)
{
    apipool_totals_t totals;
    add(upstream_a, KEY);
    assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
    report_limit(APIPOOL_SCOPE_KEY, NOW + SEC(20), NOW);
    const apipool_key_info_t info = view_of(KEY, NOW + SEC(20)).info;
    assert_int_equal(info.state, APIPOOL_STATE_ACTIVE);
    assert_int_equal(info.cooling_until, 0);
    assert_int_equal(apipool_pool_totals(segment, upstream_a, NOW + SEC(20), &totals), APR_SUCCESS);
    assert_int_equal(totals.keys[APIPOOL_STATE_ACTIVE], 1);
    assert_int_equal(slot_of(KEY)->state, APIPOOL_STATE_COOLING); /* not updated yet */
}

static void a_cooldown_for_one_model_is_not_the_keys(void **unused)
{
    add(upstream_a, KEY);
    assert_int_equal(acquire_for(5, NOW), APIPOOL_ACQUIRED);
    report(APIPOOL_RULE_RATE_LIMIT, NOW + SEC(20), NOW);
    const apipool_key_info_t info = view_of(KEY, NOW).info;
    assert_int_equal(info.state, APIPOOL_STATE_ACTIVE);
    assert_int_equal(info.cooling_until, 0);
    assert_string_equal(info.last_rule, "R07");
}

static void a_lost_key_has_a_time_of_the_next_probe(void **unused)
{
    static const apipool_rule_e rules[] = {APIPOOL_RULE_QUOTA, APIPOOL_RULE_CREDENTIAL};
    static const apipool_state_e states[] = {APIPOOL_STATE_QUOTA, APIPOOL_STATE_INVALID};
    add(upstream_a, KEY);
    add(upstream_a, KEY "2");
    for (int i = 0; i < 2; i++) {
        use_it(rules[i], 0);
        const apipool_slot_t *slot = &segment->slots[lease.slot];
        apipool_view_key_t view;
        apipool_view_keys(segment, main_pool, &slot->id, NULL, 1, NOW, &view);
        assert_int_equal(view.info.state, states[i]);
        assert_int_equal(view.info.next_probe_at, NOW + SEC(30));
        assert_int_equal(view.info.cooling_until, 0);
    }
    assert_int_equal(apipool_pool_retire_all(segment), APR_SUCCESS); /* its upstream is not probed
                                                                      * any more */
    assert_int_equal(view_of(KEY, NOW).info.next_probe_at, 0);
}

static void every_rule_means_something(void **unused)
{
    for (int rule = 0; rule < APIPOOL_RULE_COUNT; rule++) {
        const char *meaning = apipool_rule_meaning((apipool_rule_e)rule);
        assert_non_null(meaning);
        assert_int_equal(strcmp(meaning, "a rule of the pool's own") == 0,
                         rule >= APIPOOL_RULE_CUSTOM);
    }
}

static void a_rule_that_is_none_is_not_told(void **unused)
{
    add(upstream_a, KEY);
    slot_of(KEY)->last_error_at = NOW;
    slot_of(KEY)->last_rule = 9999;
    assert_null(view_of(KEY, NOW).info.last_rule);
    assert_int_equal(view_of(KEY, NOW).info.last_error_at, 0);
}

static void keys_are_found_wherever_they_are(void **unused)
{
    apr_uint64_t ids[40];
    apr_uint32_t slots[40];
    apipool_view_key_t views[40];
    add_many(upstream_a, "sk-", 38);
    for (int i = 0; i < 40; i++) {
        ids[i] = i < 38 ? segment->slots[i].id : (apr_uint64_t)i - 38; /* 0 is never an id */
        slots[i] = i % 2 ? (apr_uint32_t)i : 0xfffffff0u + (apr_uint32_t)i;
    }
    apipool_view_keys(segment, main_pool, ids, slots, 40, NOW, views);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(views[i].found, i < 38);
        assert_true(i >= 38 || views[i].info.id == ids[i]);
    }
    apipool_view_keys(segment, attach("", "other"), ids, slots, 40, NOW, views);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(views[i].found, 0);
    }
}

static void a_whole_key_is_copied_for_its_own_pool(void **unused)
{
    char text[APIPOOL_KEY_MAX];
    apipool_lease_t secret = {.longest = 0};
    memset(text, 'k', sizeof(text)); /* it lies in the arena */
    assert_int_equal(add_bytes(upstream_a, text, sizeof(text), 1), APIPOOL_ADDED);
    apr_uint64_t id = segment->slots[0].id;
    assert_int_equal(apipool_view_secret(segment, main_pool, id, &secret), APR_SUCCESS);
    assert_int_equal(secret.len, sizeof(text));
    assert_memory_equal(secret.key, text, sizeof(text));
    assert_int_equal(secret.key[sizeof(text)], '\0');
    apipool_lease_wipe(&secret);
    assert_int_equal(secret.key[0], '\0');
    assert_int_equal(apipool_view_secret(segment, attach("", "other"), id, &secret), APR_NOTFOUND);
    assert_int_equal(apipool_view_secret(segment, main_pool, id + 1, &secret), APR_NOTFOUND);
    assert_int_equal(apipool_view_secret(segment, main_pool, 0, &secret), APR_NOTFOUND);
}

static void rules_of_all_upstreams_are_added_up(void **unused)
{
    apr_uint64_t counts[APIPOOL_RULE_COUNT];
    add(upstream_a, KEY);
    use_it(APIPOOL_RULE_SUCCESS, 0);
    slot_of(KEY)->state = APIPOOL_STATE_DISABLED;
    apipool_members_settle_locked(segment, 0);
    add(upstream_b, KEY "2");
    use_it(APIPOOL_RULE_SUCCESS, 0);
    use_it(APIPOOL_RULE_CREDENTIAL, 0);
    assert_int_equal(apipool_view_rules(segment, main_pool, counts), APR_SUCCESS);
    assert_int_equal(counts[APIPOOL_RULE_SUCCESS], 2);
    assert_int_equal(counts[APIPOOL_RULE_CREDENTIAL], 1);
    assert_int_equal(apipool_view_rules(segment, attach("", "other"), counts), APR_SUCCESS);
    assert_int_equal(counts[APIPOOL_RULE_SUCCESS], 0);
}

static void names_are_empty_where_there_are_none(void **unused)
{
    assert_string_equal(apipool_view_pool_name(segment, main_pool), "main");
    assert_string_equal(apipool_view_pool_name(segment, 999), "");
    assert_string_equal(apipool_view_upstream_name(segment, upstream_b), "b");
    assert_string_equal(apipool_view_upstream_name(segment, APIPOOL_NONE), "");
    assert_int_equal(apipool_view_has_pool(segment, main_pool), 1);
    assert_int_equal(apipool_view_has_pool(segment, APIPOOL_NONE), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_key_is_known_for_nothing),
        TEST(what_it_does_is_counted),
        TEST(what_is_shown_is_what_the_limit_counts),
        TEST(a_cooldown_has_an_end_and_a_reason),
        TEST(a_cooldown_that_is_over_is_none),
        TEST(a_cooldown_for_one_model_is_not_the_keys),
        TEST(a_lost_key_has_a_time_of_the_next_probe),
        TEST(every_rule_means_something),
        TEST(a_rule_that_is_none_is_not_told),
        TEST(keys_are_found_wherever_they_are),
        TEST(a_whole_key_is_copied_for_its_own_pool),
        TEST(rules_of_all_upstreams_are_added_up),
        TEST(names_are_empty_where_there_are_none),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    apr_initialize();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
