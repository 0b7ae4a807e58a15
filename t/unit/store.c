/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/store/store: what one segment saves the next one loads, field by field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "account.h"
#include "slots.h"
#include "store_fixture.h"

static apr_uint32_t index_of(const life_t *life, const apipool_slot_t *slot)
{
    return (apr_uint32_t)(slot - life->segment->slots);
}

static void settle(life_t *life, apipool_slot_t *slot, apipool_state_e state, apr_time_t until)
{
    slot->state = state;
    slot->until[0] = until;
    apipool_members_settle_locked(life->segment, index_of(life, slot));
}

static void fill_window(apipool_window_t *window, apr_uint32_t from)
{
    window->newest = from;
    for (apr_uint32_t i = 0; i < APIPOOL_WINDOW_BUCKETS; i++) {
        window->counts[i] = from + 1 + i;
    }
}

/* All members differ. */
static void fill_counts(apipool_counts_t *counts, apr_uint32_t from)
{
    *counts = (apipool_counts_t){3 * from + 10, from + 2, from + 3, from + 4, from + 5,
                                 from + 6,      from + 7, from + 8, from + 9, 0.25,
                                 1.5,           0.75,     10,       11};
}

static void fill_counters(apipool_counters_t *counters, apr_uint32_t from)
{
    fill_counts(&counters->counts, from);
    for (apr_uint32_t i = 0; i < APIPOOL_WINDOWS; i++) {
        fill_window(&counters->windows[i], from + 100 * i);
    }
}

/* --- keys --- */

static void assert_key(const life_t *life, const apipool_slot_t *slot, const char *key,
                       apr_size_t len)
{
    const char *at =
        slot->secret_off ? apipool_arena_at(life->segment, slot->secret_off) : slot->secret;
    assert_int_equal(slot->secret_len, len);
    assert_memory_equal(at, key, len);
}

static void keys_of_several_servers_pools_and_upstreams_come_back(void **unused)
{
    static char longest[APIPOOL_KEY_MAX], around[APIPOOL_KEY_INLINE + 1];
    static const char *const servers[] = {"", "a.example:443", "b.example:443"};
    static const char *const upstreams[] = {"one", "two"};
    memset(longest, 'L', sizeof(longest));
    memset(around, 'a', sizeof(around));
    life_t life = start("keys");
    assert_int_equal(life.stored, 0);
    for (int s = 0; s < 3; s++) {
        for (int u = 0; u < 2; u++) {
            char key[40];
            apr_uint32_t upstream =
                upstream_of(&life, attach(&life, servers[s], "p"), upstreams[u]);
            apr_size_t len = (apr_size_t)snprintf(key, sizeof(key), "sk-%d-%d", s, u);
            add_item(&life, upstream, &(apipool_key_item_t){.key = key, .len = len, .enabled = u});
            add(&life, upstream, u ? "sk-the-same-in-all-of-them" : "x");
        }
    }
    apr_uint32_t upstream = upstream_of(&life, attach(&life, "", "q"), "one");
    add_item(&life, upstream,
             &(apipool_key_item_t){.key = longest,
                                   .len = sizeof(longest),
                                   .enabled = 1,
                                   .weight = 1000,
                                   .account = "acme",
                                   .limits = {1, 2, 3, 4, 5}});
    add_item(&life, upstream,
             &(apipool_key_item_t){.key = around, .len = APIPOOL_KEY_INLINE, .enabled = 1});
    add_item(&life, upstream,
             &(apipool_key_item_t){.key = around, .len = APIPOOL_KEY_INLINE + 1, .enabled = 1});

    life_t next = restart(&life, "keys");
    assert_int_equal(next.stored, 15);
    assert_int_equal(next.segment->header->slots.used, 15);
    for (int s = 0; s < 3; s++) {
        apr_uint32_t pool = attach(&next, servers[s], "p");
        for (int u = 0; u < 2; u++) {
            char key[40];
            apr_size_t len = (apr_size_t)snprintf(key, sizeof(key), "sk-%d-%d", s, u);
            const apipool_slot_t *slot = slot_of(&next, pool, key, len);
            assert_key(&next, slot, key, len);
            assert_int_equal(slot->upstream, upstream_of(&next, pool, upstreams[u]));
            assert_int_equal(slot->state, u ? APIPOOL_STATE_ACTIVE : APIPOOL_STATE_DISABLED);
            assert_int_equal(slot->weight, 1);
            assert_int_equal(slot->account, 0);
        }
        slot_of(&next, pool, "x", 1);
    }
    apr_uint32_t q = attach(&next, "", "q");
    const apipool_slot_t *slot = slot_of(&next, q, longest, sizeof(longest));
    assert_key(&next, slot, longest, sizeof(longest));
    assert_int_equal(slot->weight, 1000);
    assert_int_equal(slot->account, apipool_hash("acme"));
    const apipool_key_limits_t limits = {1, 2, 3, 4, 5};
    assert_memory_equal(&slot->limits, &limits, sizeof(limits));
    assert_int_equal(slot->added_at,
                     slot_of(&life, attach(&life, "", "q"), longest, sizeof(longest))->added_at);
    assert_key(&next, slot_of(&next, q, around, sizeof(around)), around, sizeof(around));
    assert_key(&next, slot_of(&next, q, around, sizeof(around) - 1), around, sizeof(around) - 1);
    end(&life);
    end(&next);
}

static void a_key_that_was_moved_or_described_anew_comes_back_so(void **unused)
{
    apipool_added_e added;
    apipool_key_item_t item = {.key = "sk-moved", .len = 8, .enabled = 1};
    life_t life = start("moved");
    apr_uint32_t pool = attach(&life, "", "main");
    add_item(&life, upstream_of(&life, pool, "one"), &item);
    life_t second = restart(&life, "moved");
    assert_false(apipool_store_has_unsaved_keys(second.store));
    pool = attach(&second, "", "main");
    item.weight = 7;
    assert_int_equal(
        apipool_pool_add(second.segment, upstream_of(&second, pool, "two"), &item, now, &added),
        APR_SUCCESS);
    assert_int_equal(added, APIPOOL_DUPLICATE);
    assert_true(apipool_store_has_unsaved_keys(second.store));
    life_t third = restart(&second, "moved");
    assert_false(apipool_store_has_unsaved_keys(second.store));
    const apipool_slot_t *slot = main_slot(&third, "sk-moved");
    assert_int_equal(slot->weight, 7);
    assert_string_equal(third.segment->upstreams[slot->upstream].name, "two");
    assert_int_equal(third.stored, 1);
    end(&life);
    end(&second);
    end(&third);
}

/* --- statistics of keys --- */

static void keys_come_back_in_the_state_they_were_in(void **unused)
{
    static const apipool_state_e states[] = {
        APIPOOL_STATE_ACTIVE,  APIPOOL_STATE_COOLING, APIPOOL_STATE_HALF_OPEN, APIPOOL_STATE_QUOTA,
        APIPOOL_STATE_INVALID, APIPOOL_STATE_TRIPPED, APIPOOL_STATE_DISABLED};
    life_t life = start("states");
    apr_uint32_t upstream = upstream_of(&life, attach(&life, "", "main"), "one");
    for (int i = 0; i < APIPOOL_STATE_ORPHANED; i++) {
        char key[16];
        snprintf(key, sizeof(key), "sk-%d", i);
        settle(&life, add(&life, upstream, key), states[i], now + apr_time_from_sec(100 + i));
    }
    life_t next = restart(&life, "states");
    for (int i = 0; i < APIPOOL_STATE_ORPHANED; i++) {
        char key[16];
        snprintf(key, sizeof(key), "sk-%d", i);
        const apipool_slot_t *slot = main_slot(&next, key), *was = main_slot(&life, key);
        assert_int_equal(slot->state, states[i]);
        if (states[i] != APIPOOL_STATE_DISABLED) {
            assert_int_equal(slot->until[0], was->until[0]);
        }
    }
    end(&life);
    end(&next);
}

static void fill_slot(apipool_slot_t *slot)
{
    slot->limited_streak = 1;
    slot->error_streak = 2;
    slot->failed_streak = 3;
    slot->recover_tries = 4;
    slot->others_succeeded = 5;
    slot->others_failed = 6;
    slot->success = 0.5;
    slot->last_used_at = now - 1;
    slot->last_error_at = now - 2;
    slot->limited_at = now - 3;
    slot->rests_until = now + 4;
    slot->headroom_until = now + 5;
    slot->reason = APIPOOL_REASON_BALANCE;
    slot->headroom = 0.125;
    slot->last_status = 429;
    slot->last_rule = APIPOOL_RULE_RATE_LIMIT;
    slot->low = 1;
    slot->balance = -1.25;
    slot->read_at = now - 6;
    strcpy(slot->currency, "CNY");
    strcpy(slot->currencies[1], "USD");
    slot->other_cents = -350;
    for (apr_uint32_t i = 0; i < APIPOOL_WINDOWS; i++) {
        fill_window(&slot->windows[i], 1000 * (i + 1));
    }
    fill_counts(&slot->counts, 70);
}

/* What began an hour ahead, as the clock says now that it was set back: each tells by itself. */
static const struct {
    apipool_state_e state;
    apr_size_t at; /* the time in the future, in the slot */
    int of_model;  /* what rests: the key for a model, or as a whole */
} ahead[] = {
    {APIPOOL_STATE_COOLING, offsetof(apipool_slot_t, limited_at), 0},
    {APIPOOL_STATE_COOLING, offsetof(apipool_slot_t, last_used_at), 0}, /* a limit of ours */
    {APIPOOL_STATE_QUOTA, offsetof(apipool_slot_t, last_error_at), 0},
    {APIPOOL_STATE_INVALID, offsetof(apipool_slot_t, last_error_at), 0},
    {APIPOOL_STATE_ACTIVE, offsetof(apipool_slot_t, limited_at), 1},
    {APIPOOL_STATE_ACTIVE, offsetof(apipool_slot_t, last_error_at), 1}, /* R05 and R06 */
};

static void a_wait_that_begins_in_the_future_is_over(void **unused)
{
    for (size_t i = 0; i < sizeof(ahead) / sizeof(*ahead); i++) {
        char name[16];
        apr_snprintf(name, sizeof(name), "future%d", (int)i);
        life_t life = start(name);
        apr_time_t until = now + apr_time_from_sec(3650);
        apipool_slot_t *was =
            add(&life, upstream_of(&life, attach(&life, "", "main"), "one"), "sk-a");
        fill_slot(was);
        *(apr_time_t *)(void *)((char *)was + ahead[i].at) = now + apr_time_from_sec(3600);
        settle(&life, was, ahead[i].state, ahead[i].of_model ? 0 : until);
        if (ahead[i].of_model) {
            apipool_members_cool_locked(life.segment, index_of(&life, was), 7, until, now);
        }
        life_t next = restart(&life, name);
        const apipool_slot_t *slot = main_slot(&next, "sk-a");
        assert_int_equal(slot->state, ahead[i].state);
        assert_true(slot->until[0] <= apr_time_now());
        assert_int_equal(slot->rests_until, 0);
        assert_int_equal(slot->headroom_until, 0);
        for (int model = 1; model < APIPOOL_MODEL_SLOTS; model++) {
            assert_int_equal(slot->place[model], APIPOOL_NONE);
        }
        end(&life);
        end(&next);
    }
}

static void what_is_known_of_a_key_comes_back_field_by_field(void **unused)
{
    life_t life = start("fields");
    apipool_slot_t *was = add(&life, upstream_of(&life, attach(&life, "", "main"), "one"), "sk-a");
    apipool_words_t words;
    apipool_words_make(&words, "type", "1113", "spent");
    fill_slot(was);
    apipool_slot_keep_words_locked(life.segment, was, &words);
    settle(&life, was, APIPOOL_STATE_QUOTA, now + apr_time_from_sec(50));
    life_t next = restart(&life, "fields");
    const apipool_slot_t *slot = main_slot(&next, "sk-a");
    assert_int_equal(slot->limited_streak, 1);
    assert_int_equal(slot->error_streak, 2);
    assert_int_equal(slot->failed_streak, 3);
    assert_int_equal(slot->recover_tries, 4);
    assert_int_equal(slot->others_succeeded, 5);
    assert_int_equal(slot->others_failed, 6);
    assert_true(slot->success == 0.5);
    assert_int_equal(slot->last_used_at, was->last_used_at);
    assert_int_equal(slot->last_error_at, was->last_error_at);
    assert_int_equal(slot->limited_at, was->limited_at);
    assert_int_equal(slot->rests_until, was->rests_until);
    assert_int_equal(slot->headroom_until, was->headroom_until);
    assert_string_equal(apipool_slot_reason_code(slot), "balance");
    assert_string_equal(apipool_slot_words_locked(next.segment, slot), "type\n1113\nspent");
    assert_true(slot->headroom == 0.125);
    assert_int_equal(slot->last_status, 429);
    assert_int_equal(slot->last_rule, APIPOOL_RULE_RATE_LIMIT);
    assert_int_equal(slot->low, 1);
    assert_true(slot->balance == -1.25);
    assert_string_equal(slot->currency, "CNY");
    assert_string_equal(slot->currencies[1], "USD");
    assert_int_equal(slot->other_cents, -350);
    assert_int_equal(slot->read_at, was->read_at);
    assert_memory_equal(slot->windows, was->windows, sizeof(slot->windows));
    assert_memory_equal(&slot->counts, &was->counts, sizeof(slot->counts));
    assert_int_equal(slot->in_flight, 0);
    end(&life);
    end(&next);
}

static void cooldowns_of_single_models_go_on_and_those_that_are_over_do_not(void **unused)
{
    life_t life = start("models");
    apr_time_t begun = now;
    apr_uint32_t upstream = upstream_of(&life, attach(&life, "", "main"), "one");
    apipool_slot_t *active = add(&life, upstream, "sk-active");
    apipool_slot_t *cooling = add(&life, upstream, "sk-cooling");
    settle(&life, cooling, APIPOOL_STATE_COOLING, now + apr_time_from_sec(10));
    for (apr_uint64_t model = 1; model <= 9; model++) { /* the last ones share a model slot */
        assert_int_not_equal(
            apipool_members_cool_locked(life.segment, index_of(&life, active), model,
                                        now + apr_time_from_sec(100 + (int)model), now),
            0);
    }
    apipool_members_cool_locked(life.segment, index_of(&life, cooling), 2,
                                now + apr_time_from_sec(200), now);
    apipool_slot_t *over = add(&life, upstream, "sk-over");
    apipool_members_cool_locked(life.segment, index_of(&life, over), 3, now + 1, now);

    life_t next = restart(&life, "models");
    apr_uint32_t again = main_slot(&next, "sk-active")->upstream;
    active = main_slot(&next, "sk-active");
    for (apr_uint64_t model = 1; model <= 6; model++) {
        apr_uint32_t model_slot = apipool_members_model_slot_locked(next.segment, again, model);
        assert_int_not_equal(model_slot, 0);
        assert_int_not_equal(active->place[model_slot], APIPOOL_NONE);
        assert_int_equal(active->until[model_slot], begun + apr_time_from_sec(100 + (int)model));
    }
    apr_uint32_t shared = apipool_members_model_slot_locked(next.segment, again, 9);
    assert_int_not_equal(active->place[shared], APIPOOL_NONE);
    apr_uint32_t model_slot = apipool_members_model_slot_locked(next.segment, again, 2);
    cooling = main_slot(&next, "sk-cooling");
    assert_int_equal(cooling->state, APIPOOL_STATE_COOLING);
    assert_int_not_equal(cooling->place[model_slot], APIPOOL_NONE);
    model_slot = apipool_members_model_slot_locked(next.segment, again, 3);
    assert_int_equal(main_slot(&next, "sk-over")->place[model_slot], APIPOOL_NONE);
    end(&life);
    end(&next);
}

static void what_holds_for_an_account_goes_on(void **unused)
{
    apr_uint64_t acme = apipool_hash("acme");
    life_t life = start("accounts");
    apr_time_t later = now + apr_time_from_sec(300);
    apr_uint32_t pool = attach(&life, "", "main");
    apipool_account_limit_locked(life.segment, pool, acme, 0, 1, later, now);
    apipool_account_limit_locked(life.segment, pool, acme + 1, 77, 0, later + 1, now);
    apipool_account_limit_locked(life.segment, pool, acme + 2, 0, 0, now + 1, now);
    apr_time_t ahead_of_now = now + apr_time_from_sec(3600); /* the clock was set back since */
    apipool_account_limit_locked(life.segment, pool, acme + 3, 0, 0, ahead_of_now + 50,
                                 ahead_of_now);
    life_t next = restart(&life, "accounts");
    pool = attach(&next, "", "main");
    const apipool_account_limit_t *account_limit =
        apipool_account_find_locked(next.segment, pool, acme, 0, now);
    assert_non_null(account_limit);
    assert_int_equal(account_limit->spent, 1);
    assert_int_equal(account_limit->until, later);
    account_limit = apipool_account_find_locked(next.segment, pool, acme + 1, 77, now);
    assert_non_null(account_limit);
    assert_int_equal(account_limit->spent, 0);
    assert_int_equal(account_limit->until, later + 1);
    assert_null(apipool_account_find_locked(next.segment, pool, acme + 1, 78, now));
    assert_null(apipool_account_find_locked(next.segment, pool, acme + 2, 0, now));
    assert_null(apipool_account_find_locked(next.segment, pool, acme + 3, 0, now));
    end(&life);
    end(&next);
}

/* --- statistics of upstreams, pools, clients and models --- */

static void counters_of_upstreams_and_pools_come_back(void **unused)
{
    life_t life = start("totals");
    apr_uint32_t pool = attach(&life, "v.example:80", "main");
    apipool_upstream_t *u = &life.segment->upstreams[upstream_of(&life, pool, "one")];
    apipool_pool_stats_t *stats = &life.segment->stats[pool];
    fill_counters(&u->counters, 5000);
    for (apr_uint32_t i = 0; i < APIPOOL_RULE_COUNT; i++) {
        u->rules[i] = 10 + i;
        stats->refusals[i] = 40 + i;
    }
    for (apr_uint32_t i = 0; i < APIPOOL_ENDINGS; i++) {
        u->endings[i] = 70 + i;
        stats->endings[i] = 80 + i;
    }
    stats->kinds[APIPOOL_KIND_KEY] = 77;
    u->successes = 91;
    u->failures = 92;
    u->failing = 0.5;
    fill_counters(&stats->counters, 6000);
    for (apr_uint32_t i = 0; i < APIPOOL_SERIES_MINUTES; i++) {
        stats->series.minutes[i] = (apipool_series_slot_t){APIPOOL_SERIES_MINUTES + i,
                                                           i + 1,
                                                           i + 2,
                                                           i + 3,
                                                           i + 4,
                                                           i + 5,
                                                           i + 6,
                                                           i + 7,
                                                           i + 8,
                                                           i + 9,
                                                           i + 10};
    }
    stats->series.hours[5] =
        (apipool_series_slot_t){APIPOOL_SERIES_HOURS * 9 + 5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    for (apr_uint32_t i = 0; i <= APIPOOL_HISTOGRAM_BUCKETS; i++) {
        stats->duration.counts[i] = i + 1;
        stats->first_byte.counts[i] = i + 100;
    }
    stats->duration.sum = 12345;
    stats->first_byte.sum = 54321;

    life_t next = restart(&life, "totals");
    pool = attach(&next, "v.example:80", "main");
    const apipool_upstream_t *again = &next.segment->upstreams[upstream_of(&next, pool, "one")];
    assert_memory_equal(&again->counters, &u->counters, sizeof(u->counters));
    assert_memory_equal(again->rules, u->rules, sizeof(u->rules));
    assert_memory_equal(again->endings, u->endings, sizeof(u->endings));
    assert_int_equal(again->successes, 91);
    assert_int_equal(again->failures, 92);
    assert_true(again->failing == 0.5);
    assert_memory_equal(&next.segment->stats[pool], stats, sizeof(*stats));
    end(&life);
    end(&next);
}

static apipool_counters_t *named(const life_t *life, apr_uint32_t pool, apipool_named_e kind,
                                 const char *text, int may_add)
{
    apipool_name_t name;
    apipool_name_make(&name, text, strlen(text));
    return apipool_names_at_locked(&life->segment->names, pool, kind, &name, may_add);
}

static void counters_of_clients_and_models_come_back(void **unused)
{
    static const char model[] = "Qwen/\xe6\xa8\xa1\xe5\x9e\x8b";
    life_t life = start("names");
    apr_uint32_t one = attach(&life, "", "one"), two = attach(&life, "", "two");
    fill_counters(named(&life, one, APIPOOL_NAMED_CLIENT, "alice", 1), 100);
    fill_counters(named(&life, two, APIPOOL_NAMED_CLIENT, "alice", 1), 200);
    fill_counters(named(&life, two, APIPOOL_NAMED_MODEL, model, 1), 300);
    fill_counters(named(&life, two, APIPOOL_NAMED_MODEL, "", 1), 400); /* "other" */
    life_t next = restart(&life, "names");
    two = attach(&next, "", "two");
    one = attach(&next, "", "one");
    const struct {
        apr_uint32_t pool;
        apipool_named_e kind;
        const char *text;
        apr_uint32_t from;
    } cases[] = {{one, APIPOOL_NAMED_CLIENT, "alice", 100},
                 {two, APIPOOL_NAMED_CLIENT, "alice", 200},
                 {two, APIPOOL_NAMED_MODEL, model, 300},
                 {two, APIPOOL_NAMED_MODEL, "", 400}};
    for (int i = 0; i < 4; i++) {
        apipool_counters_t expected;
        memset(&expected, 0, sizeof(expected));
        fill_counters(&expected, cases[i].from);
        assert_memory_equal(named(&next, cases[i].pool, cases[i].kind, cases[i].text, 0), &expected,
                            sizeof(expected));
    }
    assert_int_equal(named(&next, one, APIPOOL_NAMED_MODEL, "", 0)->counts.requests, 0);
    end(&life);
    end(&next);
}

static apr_uint64_t requests_of_all_names(const life_t *life)
{
    apr_uint64_t sum = 0;
    apr_uint32_t place = 0;
    apipool_names_row_t row;
    while (place < apipool_names_places(&life->segment->names)) {
        if (apipool_names_read_locked(&life->segment->names, APIPOOL_NAMED_OF_ANY, now, &place,
                                      &row, 1)) {
            sum += row.counters.requests;
        }
    }
    return sum;
}

static void no_request_is_lost_when_the_table_of_names_is_full(void **unused)
{
    life_t life = start("full");
    apr_uint32_t pool = attach(&life, "", "main");
    for (int i = 0; i < 3 * APIPOOL_NAMES_MAX; i++) {
        char text[16];
        snprintf(text, sizeof(text), "model-%d", i);
        named(&life, pool, APIPOOL_NAMED_MODEL, text, 1)->counts.requests++;
    }
    life_t next = restart(&life, "full");
    assert_int_equal(requests_of_all_names(&life), 3 * APIPOOL_NAMES_MAX);
    assert_int_equal(requests_of_all_names(&next), 3 * APIPOOL_NAMES_MAX);
    end(&life);
    end(&next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_several_servers_pools_and_upstreams_come_back),
        cmocka_unit_test(a_key_that_was_moved_or_described_anew_comes_back_so),
        cmocka_unit_test(keys_come_back_in_the_state_they_were_in),
        cmocka_unit_test(what_is_known_of_a_key_comes_back_field_by_field),
        cmocka_unit_test(a_wait_that_begins_in_the_future_is_over),
        cmocka_unit_test(cooldowns_of_single_models_go_on_and_those_that_are_over_do_not),
        cmocka_unit_test(what_holds_for_an_account_goes_on),
        cmocka_unit_test(counters_of_upstreams_and_pools_come_back),
        cmocka_unit_test(counters_of_clients_and_models_come_back),
        cmocka_unit_test(no_request_is_lost_when_the_table_of_names_is_full),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up_store, remove_scratch);
}
