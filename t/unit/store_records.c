/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/store/store: records of older and newer versions, and ones that cannot be
 * unsealed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store_fixture.h"

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

/* Tags of statistics, as stored. */
enum {
    STAT_POOL = 2,
    STAT_UPSTREAM = 3,
    STAT_ID = 4,
    STAT_STATE = 5,
    STAT_STREAKS = 7,
    STAT_SUCCESS = 8,
    STAT_TIMES = 9,
    STAT_ERROR = 10,
    STAT_WINDOWS = 11,
    STAT_COUNTS = 12,
    STAT_NUMBERS = 14,
    STAT_RULES = 15,
    STAT_MINUTES = 18,
    STAT_MINUTE_KINDS = 60,
    STAT_DURATION = 20,
    STAT_RESULTS = 22,
    STAT_KIND = 23,
    STAT_TEXT = 24,
    STAT_BALANCE = 30
};

/* Tags of keys, as stored. */
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
    apipool_record_put_text(begin_record(w), 1, "something else");
    put_record(w, "x0123456789abcdef0123");
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
    apr_uint32_t upstream = upstream_of(&life, attach(&life, "", "main"), "one");
    add(&life, upstream, "sk-bare");
    add(&life, upstream, "sk-strange");
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
    assert_int_equal(next.segment->header->slots.used, 2);
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

/* Writes a row first, first + 1, ... */
static void put_row(writing_t *w, unsigned char tag, apr_uint64_t first, apr_size_t count)
{
    apr_uint64_t row[100];
    for (apr_size_t i = 0; i < count; i++) {
        row[i] = first + i;
    }
    apipool_record_put_u64s(&w->writer, tag, row, count);
}

static void check_windows(const apipool_window_t *windows, int count, apr_uint32_t from)
{
    for (int i = 0; i < count; i++) {
        assert_int_equal(windows[i].newest, from++);
        for (int bucket = 0; bucket < APIPOOL_WINDOW_BUCKETS; bucket++) {
            assert_int_equal(windows[i].counts[bucket], from++);
        }
    }
}

static void check_counts(const apipool_counts_t *counts, apr_uint64_t from)
{
    assert_int_equal(counts->requests, 2 * from + 5); /* repaired from successes and errors */
    const apr_uint64_t is[] = {from,           counts->attempts, counts->successes,
                               counts->errors, counts->prompt,   counts->completion,
                               counts->cached, counts->total,    counts->estimated};
    for (apr_size_t i = 0; i < sizeof(is) / sizeof(*is); i++) {
        assert_int_equal(is[i], from + i);
    }
    assert_int_equal(counts->timed, from + 12);
    assert_int_equal(counts->begun, from + 13);
}

/* Members may move in memory, but not in their row. */
static void put_rows(life_t *life)
{
    writing_t *w = begin_generation(life, APIPOOL_STORE_STATS);
    apipool_record_writer_t *record = begin_record(w);
    apipool_record_put_text(record, STAT_POOL, "main");
    apipool_record_put_u64(record, STAT_ID, id_of(life, "sk-rows"));
    put_row(w, STAT_STREAKS, 1, 6);
    put_row(w, STAT_TIMES, 11, 5);
    put_row(w, STAT_ERROR, 21, 2);
    put_row(w, STAT_WINDOWS, 101, 4 * 17);
    put_row(w, STAT_COUNTS, 5, 14);
    put_record(w, key_name(life, "sk-rows"));
    record = begin_record(w);
    apipool_record_put_text(record, STAT_POOL, "main");
    put_row(w, STAT_NUMBERS, 6, 14 + 4 * 17);
    put_row(w, STAT_MINUTES, 61, 9);
    put_row(w, STAT_MINUTE_KINDS, 61, 3);
    put_row(w, STAT_DURATION, 31, 16);
    put_record(w, "p0");
    record = begin_record(w);
    apipool_record_put_text(record, STAT_POOL, "main");
    apipool_record_put_text(record, STAT_UPSTREAM, "one");
    put_row(w, STAT_RESULTS, 41, 2);
    put_row(w, STAT_RULES, 51, 3);
    put_record(w, "g0");
    commit(w);
}

static void check_rows_of_key(const apipool_slot_t *slot)
{
    assert_true(slot->limited_streak == 1 && slot->error_streak == 2 && slot->failed_streak == 3);
    assert_true(slot->recover_tries == 4 && slot->others_succeeded == 5);
    assert_true(slot->others_failed == 6);
    assert_true(slot->last_used_at == 11 && slot->last_error_at == 12 && slot->limited_at == 13);
    assert_true(slot->rests_until == 14 && slot->headroom_until == 15);
    assert_true(slot->last_status == 21 && slot->last_rule == 22);
    check_windows(slot->windows, APIPOOL_WINDOWS, 101);
    check_counts(&slot->counts, 5);
}

static void the_order_of_a_row_is_the_one_that_files_have(void **unused)
{
    life_t life = start("rows");
    apr_uint32_t upstream = upstream_of(&life, attach(&life, "", "main"), "one");
    add(&life, upstream, "sk-rows");
    save(&life);
    put_rows(&life);
    life_t next = start("rows");
    check_rows_of_key(main_slot(&next, "sk-rows"));
    const apipool_pool_stats_t *stats = &next.segment->stats[0];
    check_counts(&stats->counters.counts, 6);
    check_windows(stats->counters.windows, APIPOOL_WINDOWS, 20);
    const apipool_series_slot_t *point = &stats->series.minutes[61 % APIPOOL_SERIES_MINUTES];
    assert_true(point->number == 61 && point->requests == 62 && point->errors == 63);
    assert_true(point->begun == 64 && point->timed == 65 && point->first_byte == 66);
    assert_true(point->latency == 67 && point->prompt == 68 && point->completion == 69);
    assert_true(point->of_clients == 62 && point->of_keys == 63);
    assert_true(stats->duration.counts[0] == 31 && stats->duration.sum == 46);
    const apipool_upstream_t *u = &next.segment->upstreams[0];
    assert_true(u->successes == 41 && u->failures == 42);
    assert_true(u->rules[0] == 51 && u->rules[2] == 53 && u->rules[3] == 0);
    end(&life);
    end(&next);
}

static void records_of_sessions_are_read_as_far_as_they_make_sense(void **unused)
{
    static const char *const names[] = {"s000000000000004d", "s0000000000000000", "s4d",
                                        "s000000000000004e-more", "s000000000000004f"};
    life_t life = start("sessions");
    writing_t *w = begin_generation(&life, APIPOOL_STORE_KEYS);
    for (int i = 0; i < 5; i++) {
        apipool_record_put_u64(begin_record(w), 250, 5); /* of a later version */
        apipool_record_put_i64(&w->writer, 1, now + apr_time_from_sec(60));
        w->bytes[0] ^= i == 4; /* another version */
        put_record(w, names[i]);
    }
    commit(w);
    life_t next = start("sessions");
    for (apr_uint64_t jti = 0x4c; jti < 0x50; jti++) {
        assert_int_equal(apipool_sessions_is_revoked(next.segment, jti), jti == 0x4d);
    }
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_of_an_older_version_takes_what_it_does_not_say_from_the_defaults),
        cmocka_unit_test(a_key_of_a_newer_version_is_read_as_far_as_it_is_known),
        cmocka_unit_test(statistics_of_other_versions_are_read_as_far_as_they_are_known),
        cmocka_unit_test(the_order_of_a_row_is_the_one_that_files_have),
        cmocka_unit_test(records_of_sessions_are_read_as_far_as_they_make_sense),
        cmocka_unit_test(numbers_of_more_pools_than_there_is_room_for_are_left_out),
        cmocka_unit_test(a_key_that_cannot_be_unsealed_refuses),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up_store, remove_scratch);
}
