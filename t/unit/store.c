/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/state/store: what is saved from one segment is found in the next, whatever wrote it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <apr_strings.h>

#include "arena.h"
#include "fixture.h"
#include "pool.h"
#include "scratch.h"
#include "stats.h"
#include "store_stats_parts.h"
#include "repair.h"

/* One life of a server: a segment, and the store that it is saved to. */
typedef struct {
    fixture_t *f;
    apipool_segment_t *segment;
    apipool_store_t *store;
    apr_uint32_t stored; /* keys that were read */
} life_t;

static apr_time_t now;
static const char *error;
static char last_report[1000];

static void on_report(void *ctx, const char *sentence)
{
    (void)ctx;
    snprintf(last_report, sizeof(last_report), "%s", sentence);
}

static apipool_store_settings_t settings_of(const char *name, apr_pool_t *pool)
{
    return (apipool_store_settings_t){.path = apr_pstrdup(pool, path_of(name)),
                                      .owner = {.user = geteuid(), .group = getegid()},
                                      .interval = apr_time_from_sec(60),
                                      .max_pending = 1000,
                                      .report = on_report};
}

/* Starts and reads what is there; what of that failed is for the caller to see. */
static apr_status_t try_start(life_t *life, const char *name)
{
    apipool_stored_keys_t *keys;
    apr_global_mutex_t *writer;
    life->f = fixture_open(64);
    apipool_store_kept_t *kept = apr_pcalloc(life->f->pool, sizeof(*kept));
    kept->lock = -1;
    assert_int_equal(apr_global_mutex_create(&writer, NULL, APR_LOCK_DEFAULT, life->f->pool),
                     APR_SUCCESS);
    life->segment = life->f->segment;
    apipool_store_settings_t settings = settings_of(name, life->f->pool);
    error = NULL;
    now = apr_time_now();
    apr_status_t rv = apipool_store_open(&life->store, &settings, kept, &error, life->f->pool);
    if (rv == APR_SUCCESS) {
        rv = apipool_store_read_keys(life->store, &keys, &life->stored, &error, life->f->pool);
    }
    if (rv == APR_SUCCESS) {
        memcpy(life->segment->header->secret, apipool_store_secret(life->store),
               APIPOOL_SECRET_SIZE);
        apipool_store_use(life->store, life->segment, writer);
        rv = apipool_store_fill(life->store, keys, &error, life->f->pool);
    }
    close(kept->lock); /* lives follow one another while the ones before are looked at */
    return rv;
}

static life_t start(const char *name)
{
    life_t life = {0};
    if (try_start(&life, name) != APR_SUCCESS) {
        fail_msg("%s", error);
    }
    return life;
}

static void save(life_t *life)
{
    if (apipool_store_save_keys(life->store, &error, life->f->pool) != APR_SUCCESS ||
        apipool_store_save_stats(life->store, &error, life->f->pool) != APR_SUCCESS) {
        fail_msg("%s", error);
    }
}

static void end(life_t *life)
{
    if (life->stored) {
        const char *fault = apipool_repair_check_locked(life->segment);
        if (fault) {
            fail_msg("%s", fault);
        }
    }
    fixture_close(life->f);
}

static life_t restart(life_t *life, const char *name)
{
    save(life);
    return start(name);
}

static apr_uint32_t attach(const life_t *life, const char *server, const char *name)
{
    apr_uint32_t pool;
    assert_int_equal(apipool_pool_attach(life->segment, server, name, &pool), APR_SUCCESS);
    return pool;
}

static apr_uint32_t group_of(const life_t *life, apr_uint32_t pool, const char *upstream)
{
    apr_uint32_t group;
    assert_int_equal(apipool_pool_group(life->segment, pool, upstream, &group), APR_SUCCESS);
    return group;
}

static apipool_slot_t *slot_of(const life_t *life, apr_uint32_t pool, const char *key,
                               apr_size_t len)
{
    apr_uint64_t id = apipool_key_id(life->segment->header->secret, key, len);
    apr_uint32_t index = apipool_pool_find_locked(life->segment, pool, id);
    assert_int_not_equal(index, APIPOOL_NONE);
    return &life->segment->slots[index];
}

static apipool_slot_t *add_item(life_t *life, apr_uint32_t group, const apipool_key_item_t *item)
{
    apipool_added_e added;
    assert_int_equal(apipool_pool_add(life->segment, group, item, now - 5, &added), APR_SUCCESS);
    assert_int_equal(added, APIPOOL_ADDED);
    return slot_of(life, life->segment->groups[group].pool, item->key, item->len);
}

static apipool_slot_t *add(life_t *life, apr_uint32_t group, const char *key)
{
    apipool_key_item_t item = {.key = key, .len = strlen(key), .enabled = 1};
    return add_item(life, group, &item);
}

/* The slot of a key of pool "main" of the main server. */
static apipool_slot_t *main_slot(const life_t *life, const char *key)
{
    return slot_of(life, attach(life, "", "main"), key, strlen(key));
}

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

/* Every member differs from the others. */
static void fill_counts(apipool_counts_t *counts, apr_uint32_t from)
{
    *counts = (apipool_counts_t){3 * from + 10, from + 2, from + 3, from + 4, from + 5,
                                 from + 6,      from + 7, from + 8, from + 9, 0.25,
                                 1.5,           0.75,     10,       11};
}

static void fill_numbers(apipool_numbers_t *numbers, apr_uint32_t from)
{
    fill_counts(&numbers->counts, from);
    for (apr_uint32_t i = 0; i < APIPOOL_NUMBERS_WINDOWS; i++) {
        fill_window(&numbers->windows[i], from + 100 * i);
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
            apr_uint32_t group = group_of(&life, attach(&life, servers[s], "p"), upstreams[u]);
            apr_size_t len = (apr_size_t)snprintf(key, sizeof(key), "sk-%d-%d", s, u);
            add_item(&life, group, &(apipool_key_item_t){.key = key, .len = len, .enabled = u});
            add(&life, group, u ? "sk-the-same-in-all-of-them" : "x");
        }
    }
    apr_uint32_t group = group_of(&life, attach(&life, "", "q"), "one");
    add_item(&life, group,
             &(apipool_key_item_t){.key = longest,
                                   .len = sizeof(longest),
                                   .enabled = 1,
                                   .weight = 1000,
                                   .account = "acme",
                                   .limits = {1, 2, 3, 4, 5}});
    add_item(&life, group,
             &(apipool_key_item_t){.key = around, .len = APIPOOL_KEY_INLINE, .enabled = 1});
    add_item(&life, group,
             &(apipool_key_item_t){.key = around, .len = APIPOOL_KEY_INLINE + 1, .enabled = 1});

    life_t next = restart(&life, "keys");
    assert_int_equal(next.stored, 15);
    assert_int_equal(next.segment->header->slots_used, 15);
    for (int s = 0; s < 3; s++) {
        apr_uint32_t pool = attach(&next, servers[s], "p");
        for (int u = 0; u < 2; u++) {
            char key[40];
            apr_size_t len = (apr_size_t)snprintf(key, sizeof(key), "sk-%d-%d", s, u);
            const apipool_slot_t *slot = slot_of(&next, pool, key, len);
            assert_key(&next, slot, key, len);
            assert_int_equal(slot->group, group_of(&next, pool, upstreams[u]));
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
    add_item(&life, group_of(&life, pool, "one"), &item);
    life_t second = restart(&life, "moved");
    assert_false(apipool_store_has_unsaved_keys(second.store));
    pool = attach(&second, "", "main");
    item.weight = 7;
    assert_int_equal(
        apipool_pool_add(second.segment, group_of(&second, pool, "two"), &item, now, &added),
        APR_SUCCESS);
    assert_int_equal(added, APIPOOL_DUPLICATE);
    assert_true(apipool_store_has_unsaved_keys(second.store));
    life_t third = restart(&second, "moved");
    assert_false(apipool_store_has_unsaved_keys(second.store));
    const apipool_slot_t *slot = main_slot(&third, "sk-moved");
    assert_int_equal(slot->weight, 7);
    assert_string_equal(third.segment->groups[slot->group].name, "two");
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
    apr_uint32_t group = group_of(&life, attach(&life, "", "main"), "one");
    for (int i = 0; i < APIPOOL_STATE_COUNT; i++) {
        char key[16];
        snprintf(key, sizeof(key), "sk-%d", i);
        settle(&life, add(&life, group, key), states[i], now + apr_time_from_sec(100 + i));
    }
    life_t next = restart(&life, "states");
    for (int i = 0; i < APIPOOL_STATE_COUNT; i++) {
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
    slot->headroom = 0.125;
    slot->last_status = 429;
    slot->last_rule = APIPOOL_R07;
    slot->low = 1;
    slot->balance = -1.25;
    slot->read_at = now - 6;
    strcpy(slot->currency, "CNY");
    for (apr_uint32_t i = 0; i < APIPOOL_WINDOWS; i++) {
        fill_window(&slot->windows[i], 1000 * (i + 1));
    }
    fill_counts(&slot->counts, 70);
}

static void what_is_known_of_a_key_comes_back_field_by_field(void **unused)
{
    life_t life = start("fields");
    apipool_slot_t *was = add(&life, group_of(&life, attach(&life, "", "main"), "one"), "sk-a");
    fill_slot(was);
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
    assert_true(slot->headroom == 0.125);
    assert_int_equal(slot->last_status, 429);
    assert_int_equal(slot->last_rule, APIPOOL_R07);
    assert_int_equal(slot->low, 1);
    assert_true(slot->balance == -1.25);
    assert_string_equal(slot->currency, "CNY");
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
    apr_uint32_t group = group_of(&life, attach(&life, "", "main"), "one");
    apipool_slot_t *active = add(&life, group, "sk-active");
    apipool_slot_t *cooling = add(&life, group, "sk-cooling");
    settle(&life, cooling, APIPOOL_STATE_COOLING, now + apr_time_from_sec(10));
    for (apr_uint64_t model = 1; model <= 9; model++) { /* the last ones share a lane */
        assert_int_not_equal(
            apipool_members_cool_locked(life.segment, index_of(&life, active), model,
                                        now + apr_time_from_sec(100 + (int)model), now),
            0);
    }
    apipool_members_cool_locked(life.segment, index_of(&life, cooling), 2,
                                now + apr_time_from_sec(200), now);
    apipool_slot_t *over = add(&life, group, "sk-over");
    apipool_members_cool_locked(life.segment, index_of(&life, over), 3, now + 1, now);

    life_t next = restart(&life, "models");
    apr_uint32_t again = main_slot(&next, "sk-active")->group;
    active = main_slot(&next, "sk-active");
    for (apr_uint64_t model = 1; model <= 6; model++) {
        apr_uint32_t lane = apipool_members_lane_locked(next.segment, again, model);
        assert_int_not_equal(lane, 0);
        assert_int_not_equal(active->place[lane], APIPOOL_NONE);
        assert_int_equal(active->until[lane], begun + apr_time_from_sec(100 + (int)model));
    }
    apr_uint32_t shared = apipool_members_lane_locked(next.segment, again, 9);
    assert_int_not_equal(active->place[shared], APIPOOL_NONE);
    apr_uint32_t lane = apipool_members_lane_locked(next.segment, again, 2);
    cooling = main_slot(&next, "sk-cooling");
    assert_int_equal(cooling->state, APIPOOL_STATE_COOLING);
    assert_int_not_equal(cooling->place[lane], APIPOOL_NONE);
    lane = apipool_members_lane_locked(next.segment, again, 3);
    assert_int_equal(main_slot(&next, "sk-over")->place[lane], APIPOOL_NONE);
    end(&life);
    end(&next);
}

static void what_holds_for_an_account_goes_on(void **unused)
{
    apr_uint64_t acme = apipool_hash("acme");
    life_t life = start("accounts");
    apr_time_t later = now + apr_time_from_sec(300);
    apr_uint32_t pool = attach(&life, "", "main");
    apipool_account_hit_locked(life.segment, pool, acme, 0, 1, later, now);
    apipool_account_hit_locked(life.segment, pool, acme + 1, 77, 0, later + 1, now);
    apipool_account_hit_locked(life.segment, pool, acme + 2, 0, 0, now + 1, now);
    life_t next = restart(&life, "accounts");
    pool = attach(&next, "", "main");
    const apipool_hit_t *hit = apipool_account_find_locked(next.segment, pool, acme, 0, now);
    assert_non_null(hit);
    assert_int_equal(hit->spent, 1);
    assert_int_equal(hit->until, later);
    hit = apipool_account_find_locked(next.segment, pool, acme + 1, 77, now);
    assert_non_null(hit);
    assert_int_equal(hit->spent, 0);
    assert_int_equal(hit->until, later + 1);
    assert_null(apipool_account_find_locked(next.segment, pool, acme + 1, 78, now));
    assert_null(apipool_account_find_locked(next.segment, pool, acme + 2, 0, now));
    end(&life);
    end(&next);
}

/* --- statistics of upstreams, pools, clients and models --- */

static void numbers_of_upstreams_and_pools_come_back(void **unused)
{
    life_t life = start("totals");
    apr_uint32_t pool = attach(&life, "v.example:80", "main");
    apipool_group_t *g = &life.segment->groups[group_of(&life, pool, "one")];
    apipool_pool_stats_t *stats = &life.segment->stats[pool];
    fill_numbers(&g->numbers, 5000);
    for (apr_uint32_t i = 0; i < APIPOOL_RULE_COUNT; i++) {
        g->rules[i] = 10 + i;
        stats->refusals[i] = 40 + i;
    }
    for (apr_uint32_t i = 0; i < APIPOOL_ENDINGS; i++) {
        g->endings[i] = 70 + i;
        stats->endings[i] = 80 + i;
    }
    g->successes = 91;
    g->failures = 92;
    g->failing = 0.5;
    fill_numbers(&stats->numbers, 6000);
    for (apr_uint32_t i = 0; i < APIPOOL_SERIES_MINUTES; i++) {
        stats->series.minutes[i] = (apipool_series_slot_t){
            APIPOOL_SERIES_MINUTES + i, i + 1, i + 2, i + 3, i + 4, i + 5, i + 6, i + 7, i + 8};
    }
    stats->series.hours[5] =
        (apipool_series_slot_t){APIPOOL_SERIES_HOURS * 9 + 5, 1, 2, 3, 4, 5, 6, 7, 8};
    for (apr_uint32_t i = 0; i <= APIPOOL_HISTOGRAM_BUCKETS; i++) {
        stats->duration.counts[i] = i + 1;
        stats->first_byte.counts[i] = i + 100;
    }
    stats->duration.sum = 12345;
    stats->first_byte.sum = 54321;

    life_t next = restart(&life, "totals");
    pool = attach(&next, "v.example:80", "main");
    const apipool_group_t *again = &next.segment->groups[group_of(&next, pool, "one")];
    assert_memory_equal(&again->numbers, &g->numbers, sizeof(g->numbers));
    assert_memory_equal(again->rules, g->rules, sizeof(g->rules));
    assert_memory_equal(again->endings, g->endings, sizeof(g->endings));
    assert_int_equal(again->successes, 91);
    assert_int_equal(again->failures, 92);
    assert_true(again->failing == 0.5);
    assert_memory_equal(&next.segment->stats[pool], stats, sizeof(*stats));
    end(&life);
    end(&next);
}

static apipool_numbers_t *named(const life_t *life, apr_uint32_t pool, apipool_named_e kind,
                                const char *text, int may_add)
{
    apipool_name_t name;
    apipool_name_make(&name, text, strlen(text));
    return apipool_names_at_locked(&life->segment->names, pool, kind, &name, may_add);
}

static void numbers_of_clients_and_models_come_back(void **unused)
{
    static const char model[] = "Qwen/\xe6\xa8\xa1\xe5\x9e\x8b";
    life_t life = start("names");
    apr_uint32_t one = attach(&life, "", "one"), two = attach(&life, "", "two");
    fill_numbers(named(&life, one, APIPOOL_NAMED_CLIENT, "alice", 1), 100);
    fill_numbers(named(&life, two, APIPOOL_NAMED_CLIENT, "alice", 1), 200);
    fill_numbers(named(&life, two, APIPOOL_NAMED_MODEL, model, 1), 300);
    fill_numbers(named(&life, two, APIPOOL_NAMED_MODEL, "", 1), 400); /* "other" */
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
        apipool_numbers_t expected;
        memset(&expected, 0, sizeof(expected));
        fill_numbers(&expected, cases[i].from);
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
            sum += row.numbers.requests;
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

/* --- records of other versions --- */

typedef struct {
    life_t *life;
    apipool_generation_t *generation;
    apipool_record_writer_t writer;
    unsigned char bytes[8000];
} writing_t;

static writing_t *begin_generation(life_t *life, apipool_store_kind_e kind)
{
    writing_t *w = apr_palloc(life->f->pool, sizeof(*w));
    w->life = life;
    assert_int_equal(
        apipool_folder_begin(life->store->folder, kind, &w->generation, &error, life->f->pool),
        APR_SUCCESS);
    return w;
}

static apipool_record_writer_t *begin_record(writing_t *w)
{
    apipool_record_begin(&w->writer, w->bytes, sizeof(w->bytes));
    return &w->writer;
}

static void put_record(writing_t *w, const char *name)
{
    apr_size_t len;
    assert_true(apipool_record_end(&w->writer, &len));
    assert_int_equal(
        apipool_generation_put(w->generation, name, strlen(name), (const char *)w->bytes, len),
        APR_SUCCESS);
}

static void commit(writing_t *w)
{
    if (apipool_generation_commit(w->generation, &error) != APR_SUCCESS) {
        fail_msg("%s", error);
    }
}

/* Tags of keys, as the files have them. */
enum { SERVER = 1, POOL, UPSTREAM, SEALED, ENABLED, WEIGHT, ACCOUNT, LIMITS, ADDED_AT };

static apr_uint64_t id_of(const life_t *life, const char *key)
{
    return apipool_key_id(life->store->secret, key, strlen(key));
}

/* Seals a key for pool "main" of the main server. */
static void put_sealed(writing_t *w, const char *key, apr_uint64_t id)
{
    char aad[6 + sizeof(id)] = "\0main"; /* server and pool with their NULs, id */
    unsigned char sealed[100 + APIPOOL_VAULT_OVERHEAD];
    memcpy(aad + 6, &id, sizeof(id));
    assert_true(
        apipool_vault_seal(&w->life->store->vault, aad, sizeof(aad), key, strlen(key), sealed));
    apipool_record_put_bytes(&w->writer, SEALED, sealed, strlen(key) + APIPOOL_VAULT_OVERHEAD);
}

static const char *key_name(const life_t *life, const char *key)
{
    static char name[APIPOOL_STORE_NAME_SIZE];
    apipool_store_key_name(name, id_of(life, key), "", "main");
    return name;
}

static void a_key_of_an_older_version_takes_what_it_does_not_say_from_the_defaults(void **unused)
{
    const apr_uint64_t two_limits[] = {60, 1000};
    life_t life = start("older");
    writing_t *w = begin_generation(&life, APIPOOL_STORE_KEYS);
    apipool_record_writer_t *record = begin_record(w);
    apipool_record_put_text(record, POOL, "main");
    apipool_record_put_text(record, UPSTREAM, "one");
    put_sealed(w, "sk-older", id_of(&life, "sk-older"));
    put_record(w, key_name(&life, "sk-older"));
    record = begin_record(w);
    apipool_record_put_text(record, POOL, "main");
    apipool_record_put_text(record, UPSTREAM, "one");
    put_sealed(w, "sk-few-limits", id_of(&life, "sk-few-limits"));
    apipool_record_put_u64s(record, LIMITS, two_limits, 2);
    put_record(w, key_name(&life, "sk-few-limits"));
    commit(w);
    life_t next = start("older");
    const apipool_slot_t *slot = main_slot(&next, "sk-older");
    assert_int_equal(slot->state, APIPOOL_STATE_ACTIVE);
    assert_int_equal(slot->weight, 1);
    assert_int_equal(slot->limits.rpm, 0);
    assert_true(slot->success == 1);
    slot = main_slot(&next, "sk-few-limits");
    assert_int_equal(slot->limits.rpm, 60);
    assert_int_equal(slot->limits.rpd, 1000);
    assert_int_equal(slot->limits.concurrency, 0);
    end(&life);
    end(&next);
}

static void a_key_of_a_newer_version_is_read_as_far_as_it_is_known(void **unused)
{
    const apr_uint64_t many_limits[] = {1, 2, 3, 4, 5, 6, APR_UINT64_C(1) << 60};
    life_t life = start("newer");
    writing_t *w = begin_generation(&life, APIPOOL_STORE_KEYS);
    apipool_record_writer_t *record = begin_record(w);
    apipool_record_put_text(record, 200, "a field of the future");
    apipool_record_put_double(record, 201, 1.5);
    apipool_record_put_u64(record, 202, 7);
    apipool_record_put_text(record, POOL, "main");
    apipool_record_put_text(record, UPSTREAM, "one");
    put_sealed(w, "sk-newer", id_of(&life, "sk-newer"));
    apipool_record_put_u64(record, WEIGHT, APR_UINT64_C(1) << 40);
    apipool_record_put_u64s(record, LIMITS, many_limits, 7);
    put_record(w, key_name(&life, "sk-newer"));
    apipool_record_put_text(begin_record(w), 1, "a client, say");
    put_record(w, "c0123456789abcdef0123");
    commit(w);
    life_t next = start("newer");
    assert_int_equal(next.stored, 1);
    const apipool_slot_t *slot = main_slot(&next, "sk-newer");
    assert_int_equal(slot->weight, APIPOOL_WEIGHT_MAX);
    const apipool_key_limits_t limits = {1, 2, 3, 4, 5};
    assert_memory_equal(&slot->limits, &limits, sizeof(limits));
    end(&life);
    end(&next);
}

static void statistics_of_other_versions_are_read_as_far_as_they_are_known(void **unused)
{
    life_t life = start("stats");
    apr_uint32_t group = group_of(&life, attach(&life, "", "main"), "one");
    add(&life, group, "sk-bare");
    add(&life, group, "sk-strange");
    save(&life);
    const apr_uint64_t short_row[] = {3}, error_of_the_future[] = {429, 1000};
    writing_t *w = begin_generation(&life, APIPOOL_STORE_STATS);
    apipool_record_writer_t *record = begin_record(w);
    apipool_record_put_text(record, STAT_POOL, "main");
    apipool_record_put_u64(record, STAT_ID, id_of(&life, "sk-bare"));
    apipool_record_put_u64s(record, STAT_STREAKS, short_row, 1);
    put_record(w, key_name(&life, "sk-bare"));
    record = begin_record(w);
    apipool_record_put_text(record, STAT_POOL, "main");
    apipool_record_put_u64(record, STAT_ID, id_of(&life, "sk-strange"));
    apipool_record_put_u64(record, STAT_STATE, 99);
    apipool_record_put_double(record, STAT_SUCCESS, -4);
    apipool_record_put_double(record, STAT_BALANCE, 1.0 / 0.0);
    apipool_record_put_u64s(record, STAT_ERROR, error_of_the_future, 2);
    apipool_record_put_text(record, STAT_WINDOWS, "\xff\xff\xff");
    apipool_record_put_u64(record, STAT_COUNTS, 5); /* of another type */
    apipool_record_put_u64(record, 250, 5);
    put_record(w, key_name(&life, "sk-strange"));
    apipool_record_put_u64(begin_record(w), 1, 5);
    put_record(w, "zebra");
    record = begin_record(w);
    apipool_record_put_text(record, STAT_POOL, "main");
    apipool_record_put_u64(record, STAT_ID, 12345);
    put_record(w, "k0000000000003039-0000000000000000");
    record = begin_record(w);
    apipool_record_put_text(record, STAT_POOL, "main");
    apipool_record_put_u64(record, STAT_KIND, 9);
    apipool_record_put_text(record, STAT_TEXT, "of an unknown kind");
    put_record(w, "n1");
    commit(w);

    life_t next = start("stats");
    assert_int_equal(next.segment->header->slots_used, 2);
    const apipool_slot_t *slot = main_slot(&next, "sk-bare");
    assert_int_equal(slot->state, APIPOOL_STATE_ACTIVE);
    assert_int_equal(slot->limited_streak, 3);
    assert_int_equal(slot->error_streak, 0);
    assert_true(slot->success == 1);
    slot = main_slot(&next, "sk-strange");
    assert_int_equal(slot->state, APIPOOL_STATE_ACTIVE);
    assert_true(slot->success == 1);
    assert_int_equal(slot->read_at, 0);
    assert_int_equal(slot->last_status, 429);
    assert_int_equal(slot->last_rule, 0);
    assert_int_equal(slot->counts.requests, 0);
    assert_int_equal(slot->windows[0].newest, 0);
    end(&life);
    end(&next);
}

static void numbers_of_more_pools_than_there_is_room_for_are_left_out(void **unused)
{
    life_t life = start("many");
    writing_t *w = begin_generation(&life, APIPOOL_STORE_STATS);
    for (int i = 0; i < APIPOOL_POOLS_MAX + 5; i++) {
        char name[16];
        snprintf(name, sizeof(name), "p%d", i);
        apipool_record_put_text(begin_record(w), STAT_POOL, name);
        put_record(w, name);
    }
    commit(w);
    life_t next = start("many");
    assert_int_equal(next.segment->header->pools_used, APIPOOL_POOLS_MAX);
    end(&life);
    end(&next);
}

static void refuse_key(const char *name, const char *key, const char *sealed_as, const char *words)
{
    life_t life = start(name), next = {0};
    writing_t *w = begin_generation(&life, APIPOOL_STORE_KEYS);
    apipool_record_writer_t *record = begin_record(w);
    apipool_record_put_text(record, POOL, "main");
    apipool_record_put_text(record, UPSTREAM, "one");
    put_sealed(w, key, id_of(&life, sealed_as));
    put_record(w, key_name(&life, key));
    commit(w);
    assert_int_not_equal(try_start(&next, name), APR_SUCCESS);
    assert_non_null(strstr(error, words));
    assert_null(strstr(error, "sk-"));
    end(&life);
    fixture_close(next.f);
}

static void a_key_that_cannot_be_unsealed_refuses(void **unused)
{
    life_t life = start("unsealed"), next = {0};
    writing_t *w = begin_generation(&life, APIPOOL_STORE_KEYS);
    apipool_record_put_text(begin_record(w), POOL, "main");
    put_record(w, key_name(&life, "sk-without"));
    commit(w);
    assert_int_not_equal(try_start(&next, "unsealed"), APR_SUCCESS);
    assert_non_null(strstr(error, "cannot be read with this secret"));
    end(&life);
    fixture_close(next.f);
    refuse_key("foreign", "sk-one", "sk-another", "cannot be read with this secret");
}

/* --- saving --- */

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

static void
statistics_are_due_by_time_and_by_number_and_failures_are_told_once_a_minute(void **unused)
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
        assert_memory_equal(again->mac_key, life.store->mac_key, sizeof(again->mac_key));
        close(kept.lock);
    }
    end(&life);
}

static int set_up(void **unused)
{
    return apr_initialize() == APR_SUCCESS ? make_scratch(unused) : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_several_servers_pools_and_upstreams_come_back),
        cmocka_unit_test(a_key_that_was_moved_or_described_anew_comes_back_so),
        cmocka_unit_test(keys_come_back_in_the_state_they_were_in),
        cmocka_unit_test(what_is_known_of_a_key_comes_back_field_by_field),
        cmocka_unit_test(cooldowns_of_single_models_go_on_and_those_that_are_over_do_not),
        cmocka_unit_test(what_holds_for_an_account_goes_on),
        cmocka_unit_test(numbers_of_upstreams_and_pools_come_back),
        cmocka_unit_test(numbers_of_clients_and_models_come_back),
        cmocka_unit_test(no_request_is_lost_when_the_table_of_names_is_full),
        cmocka_unit_test(a_key_of_an_older_version_takes_what_it_does_not_say_from_the_defaults),
        cmocka_unit_test(a_key_of_a_newer_version_is_read_as_far_as_it_is_known),
        cmocka_unit_test(statistics_of_other_versions_are_read_as_far_as_they_are_known),
        cmocka_unit_test(numbers_of_more_pools_than_there_is_room_for_are_left_out),
        cmocka_unit_test(a_key_that_cannot_be_unsealed_refuses),
        cmocka_unit_test(a_change_is_on_disk_or_is_taken_back),
        cmocka_unit_test(keys_that_could_not_be_saved_go_with_the_statistics),
        cmocka_unit_test(
            statistics_are_due_by_time_and_by_number_and_failures_are_told_once_a_minute),
        cmocka_unit_test(a_restart_goes_on_with_the_secret_that_it_has),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, remove_scratch);
}
