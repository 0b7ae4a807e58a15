/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/pool/stats: a request is counted in all its statistics and nowhere else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "pool_fixture.h"
#include "stats.h"

#define ROWS 64

/* Request with one successful attempt, of 100 and 20 tokens, 10 of them cached. */
static apipool_request_stats_t served(apr_uint32_t pool, apr_uint32_t upstream)
{
    apipool_request_stats_t stats;
    memset(&stats, 0, sizeof(stats));
    stats.upstream = upstream;
    stats.rule = APIPOOL_RULE_SUCCESS;
    stats.entry.pool = pool;
    stats.entry.ending = APIPOOL_ENDED_COMPLETE;
    stats.entry.status = 200;
    stats.finished = (apipool_finished_t){
        .success = 1,
        .attempts = 1,
        .tokens = {.prompt = 100, .completion = 20, .cached = 10, .total = 120},
        .first_byte = apr_time_from_msec(150),
        .latency = apr_time_from_msec(1500),
    };
    return stats;
}

static apipool_request_stats_t failed(apr_uint32_t pool, apr_uint32_t upstream,
                                      apipool_ending_e ending)
{
    apipool_request_stats_t stats = served(pool, upstream);
    stats.rule = APIPOOL_RULE_UPSTREAM_ERROR;
    stats.entry.ending = (unsigned char)ending;
    stats.finished.success = 0;
    stats.finished.error = ending != APIPOOL_ENDED_CLIENT_ABORT;
    stats.finished.tokens =
        (apipool_usage_t){.prompt = -1, .completion = -1, .cached = -1, .total = -1};
    stats.finished.first_byte = -1;
    return stats;
}

static apipool_request_stats_t refused(apr_uint32_t pool, apipool_rule_e rule)
{
    apipool_request_stats_t stats = failed(pool, APIPOOL_NONE, APIPOOL_ENDED_REFUSED);
    stats.rule = rule;
    stats.finished.attempts = 0;
    return stats;
}

static void name(apipool_request_stats_t *stats, const char *who, const char *model)
{
    apipool_name_make(&stats->client, who, strlen(who));
    apipool_name_make(&stats->model, model, strlen(model));
}

static void record_at(const apipool_request_stats_t *stats, apr_time_t now)
{
    assert_int_equal(apipool_stats_record(segment, stats, now), APR_SUCCESS);
}

static void record(apipool_request_stats_t stats)
{
    record_at(&stats, NOW);
}

static apipool_pool_snapshot_t pool_at(apr_uint32_t pool, apr_time_t now)
{
    apipool_pool_snapshot_t snapshot;
    memset(&snapshot, 0xee, sizeof(snapshot));
    assert_int_equal(apipool_stats_pool(segment, pool, now, &snapshot), APR_SUCCESS);
    return snapshot;
}

static apr_uint64_t endings_of(apr_uint32_t upstream, apipool_ending_e ending)
{
    return totals_of(upstream).endings[ending];
}

/* All names, as rows in static memory; returns their number. */
static apr_uint32_t names_of(apr_uint32_t pool, apipool_names_row_t *rows)
{
    apr_uint32_t place = 0, count = 0;
    while (place < apipool_names_places(&segment->names)) {
        assert_true(count < ROWS);
        count += apipool_names_read_locked(&segment->names, pool, NOW, &place, rows + count,
                                           ROWS - count);
    }
    return count;
}

/* Requests of a name; 0 if it is unknown. */
static apr_uint64_t requests_of(apr_uint32_t pool, apipool_named_e kind, const char *text)
{
    static apipool_names_row_t rows[ROWS];
    apr_uint32_t count = names_of(pool, rows);
    apr_uint64_t requests = 0;
    for (apr_uint32_t i = 0; i < count; i++) {
        if (rows[i].kind == kind && !strcmp(rows[i].text, text)) {
            requests += rows[i].counters.requests;
        }
    }
    return requests;
}

static apipool_recent_entry_t newest(void)
{
    apipool_recent_entry_t entry;
    assert_int_equal(apipool_recent_read_locked(&segment->recent, 0, 1, &entry), 1);
    return entry;
}

static void a_pool_without_requests_has_zeros(void **unused)
{
    apipool_pool_snapshot_t snapshot = pool_at(main_pool, NOW);

    assert_int_equal(snapshot.counters.requests, 0);
    assert_int_equal(snapshot.counters.total, 0);
    assert_int_equal(snapshot.counters.rpm, 0);
    assert_true(snapshot.counters.latency_ms < 0);
    assert_int_equal(snapshot.endings[APIPOOL_ENDED_REFUSED], 0);
    assert_int_equal(snapshot.duration.count, 0);
    assert_int_equal(snapshot.first_byte.count, 0);
    for (int rule = 0; rule < APIPOOL_RULE_COUNT; rule++) {
        assert_int_equal(snapshot.refusals[rule], 0);
    }
}

static void a_request_is_counted_for_its_pool(void **unused)
{
    record(served(main_pool, upstream_a));
    apipool_request_stats_t second = served(main_pool, upstream_b);
    second.finished.attempts = 3;
    second.finished.tokens = (apipool_usage_t){7, 5, -1, 12};
    record(second);

    apipool_pool_snapshot_t snapshot = pool_at(main_pool, NOW);
    assert_int_equal(snapshot.counters.requests, 2);
    assert_int_equal(snapshot.counters.attempts, 4);
    assert_int_equal(snapshot.counters.successes, 2);
    assert_int_equal(snapshot.counters.errors, 0);
    assert_int_equal(snapshot.counters.prompt, 107);
    assert_int_equal(snapshot.counters.completion, 25);
    assert_int_equal(snapshot.counters.cached, 10);
    assert_int_equal(snapshot.counters.total, 132);
    assert_int_equal(snapshot.counters.estimated, 0);
    assert_int_equal(snapshot.counters.rpm, 2);
    assert_int_equal(snapshot.counters.tpm, 132);
    assert_int_equal(snapshot.endings[APIPOOL_ENDED_REFUSED], 0);
    assert_true(pool_at(main_pool, NOW + SEC(180)).counters.rpm == 0);
    assert_int_equal(pool_at(main_pool, NOW + SEC(180)).counters.requests, 2);
}

static void pools_do_not_mix(void **unused)
{
    apr_uint32_t other_pool = attach("", "other"), same_name = attach("vhost", "main");
    apr_uint32_t other_upstream = upstream_of(other_pool, "a");
    apipool_request_stats_t stats = served(other_pool, other_upstream);

    name(&stats, "alice", "gpt");
    record(stats);
    record(served(main_pool, upstream_a));
    record(served(main_pool, upstream_a));
    record(refused(same_name, APIPOOL_RULE_EXHAUSTED));

    assert_int_equal(pool_at(main_pool, NOW).counters.requests, 2);
    assert_int_equal(pool_at(other_pool, NOW).counters.requests, 1);
    assert_int_equal(pool_at(same_name, NOW).counters.requests, 1);
    assert_int_equal(pool_at(same_name, NOW).endings[APIPOOL_ENDED_REFUSED], 1);
    assert_int_equal(pool_at(main_pool, NOW).endings[APIPOOL_ENDED_REFUSED], 0);
    assert_int_equal(endings_of(upstream_a, APIPOOL_ENDED_COMPLETE), 2);
    assert_int_equal(endings_of(upstream_b, APIPOOL_ENDED_COMPLETE), 0);
    assert_int_equal(endings_of(other_upstream, APIPOOL_ENDED_COMPLETE), 1);
    assert_int_equal(requests_of(main_pool, APIPOOL_NAMED_CLIENT, "alice"), 0);
    assert_int_equal(requests_of(other_pool, APIPOOL_NAMED_CLIENT, "alice"), 1);
}

static void endings_are_counted_for_the_last_upstream(void **unused)
{
    for (int ending = 0; ending < APIPOOL_ENDINGS; ending++) {
        for (int i = 0; i <= ending; i++) {
            record(ending == APIPOOL_ENDED_COMPLETE
                       ? served(main_pool, upstream_b)
                       : failed(main_pool, upstream_b, (apipool_ending_e)ending));
        }
    }
    for (int ending = 0; ending < APIPOOL_ENDINGS; ending++) {
        assert_int_equal(endings_of(upstream_b, (apipool_ending_e)ending), ending + 1);
        assert_int_equal(endings_of(upstream_a, (apipool_ending_e)ending), 0);
    }
    apipool_pool_snapshot_t snapshot = pool_at(main_pool, NOW);
    assert_int_equal(snapshot.counters.requests, 15);
    assert_int_equal(snapshot.counters.successes, 1);
    assert_int_equal(snapshot.counters.errors, 11); /* clients that left do not count */
    assert_int_equal(snapshot.endings[APIPOOL_ENDED_REFUSED], 0);
}

static void requests_without_an_attempt_are_counted_by_rule(void **unused)
{
    record(refused(main_pool, APIPOOL_RULE_ALL_COOLING));
    record(refused(main_pool, APIPOOL_RULE_ALL_COOLING));
    record(refused(main_pool, APIPOOL_RULE_EXHAUSTED));

    apipool_pool_snapshot_t snapshot = pool_at(main_pool, NOW);
    assert_int_equal(snapshot.endings[APIPOOL_ENDED_REFUSED], 3);
    for (int rule = 0; rule < APIPOOL_RULE_COUNT; rule++) {
        apr_uint64_t expected = rule == APIPOOL_RULE_ALL_COOLING ? 2
                                : rule == APIPOOL_RULE_EXHAUSTED ? 1
                                                                 : 0;
        assert_int_equal(snapshot.refusals[rule], expected);
    }
    assert_int_equal(snapshot.counters.requests, 3);
    assert_int_equal(snapshot.counters.attempts, 0);
    for (int ending = 0; ending < APIPOOL_ENDINGS; ending++) {
        assert_int_equal(endings_of(upstream_a, (apipool_ending_e)ending), 0);
        assert_int_equal(endings_of(upstream_b, (apipool_ending_e)ending), 0);
    }
}

static void estimates_are_kept_apart(void **unused)
{
    apipool_request_stats_t stats = served(main_pool, upstream_a);
    stats.finished.estimated = 1;
    stats.finished.tokens.cached = -1;
    record(served(main_pool, upstream_a));
    record(stats);

    apipool_counters_snapshot_t counters = pool_at(main_pool, NOW).counters;
    assert_int_equal(counters.requests, 2);
    assert_int_equal(counters.prompt, 100);
    assert_int_equal(counters.completion, 20);
    assert_int_equal(counters.cached, 10);
    assert_int_equal(counters.total, 120);
    assert_int_equal(counters.estimated, 120);
    assert_int_equal(counters.tpm, 120);
}

static void times_that_are_known_are_in_the_histograms(void **unused)
{
    static const apr_interval_time_t times[] = {0, 50000, 50001, 100000, 299999999, 300000001};
    const int count = sizeof(times) / sizeof(*times);

    for (int i = 0; i < count; i++) {
        apipool_request_stats_t stats = served(main_pool, upstream_a);
        stats.finished.latency = times[i];
        stats.finished.first_byte = i % 2 ? -1 : times[i];
        record(stats);
    }
    apipool_pool_snapshot_t snapshot = pool_at(main_pool, NOW);
    assert_int_equal(snapshot.duration.count, count);
    assert_int_equal(snapshot.duration.at_most[0], 2);
    assert_int_equal(snapshot.duration.at_most[1], 4);
    assert_int_equal(snapshot.duration.at_most[APIPOOL_HISTOGRAM_BUCKETS - 2], 4);
    assert_int_equal(snapshot.duration.at_most[APIPOOL_HISTOGRAM_BUCKETS - 1], 5);
    assert_true(snapshot.duration.sum > 600.200000 && snapshot.duration.sum < 600.200002);
    assert_int_equal(snapshot.first_byte.count, 3);
    assert_int_equal(snapshot.first_byte.at_most[0], 1);
    assert_int_equal(snapshot.first_byte.at_most[1], 2);
    assert_int_equal(pool_at(attach("", "other"), NOW).duration.count, 0);
}

static void clients_and_models_have_counters_of_their_own(void **unused)
{
    apipool_request_stats_t stats = served(main_pool, upstream_a);

    name(&stats, "alice", "gpt");
    record(stats);
    name(&stats, "alice", "claude");
    record(stats);
    name(&stats, "bob", "gpt");
    record(stats);
    record(served(main_pool, upstream_a));

    assert_int_equal(requests_of(main_pool, APIPOOL_NAMED_CLIENT, "alice"), 2);
    assert_int_equal(requests_of(main_pool, APIPOOL_NAMED_CLIENT, "bob"), 1);
    assert_int_equal(requests_of(main_pool, APIPOOL_NAMED_MODEL, "gpt"), 2);
    assert_int_equal(requests_of(main_pool, APIPOOL_NAMED_MODEL, "claude"), 1);
    assert_int_equal(requests_of(main_pool, APIPOOL_NAMED_MODEL, "alice"), 0);
    /* without a name it is not counted, not even as "other" */
    assert_int_equal(requests_of(main_pool, APIPOOL_NAMED_CLIENT, APIPOOL_NAMED_OTHER), 0);
    assert_int_equal(requests_of(main_pool, APIPOOL_NAMED_MODEL, APIPOOL_NAMED_OTHER), 0);
    assert_int_equal(pool_at(main_pool, NOW).counters.requests, 4);
}

static void only_who_has_been_served_gets_a_place(void **unused)
{
    apipool_request_stats_t stats = failed(main_pool, upstream_a, APIPOOL_ENDED_FAILED);

    name(&stats, "alice", "made-up");
    record(stats);
    assert_int_equal(requests_of(main_pool, APIPOOL_NAMED_MODEL, "made-up"), 0);
    assert_int_equal(requests_of(main_pool, APIPOOL_NAMED_MODEL, APIPOOL_NAMED_OTHER), 1);
    assert_int_equal(requests_of(main_pool, APIPOOL_NAMED_CLIENT, "alice"), 0);
    assert_int_equal(requests_of(main_pool, APIPOOL_NAMED_CLIENT, APIPOOL_NAMED_OTHER), 1);

    apipool_request_stats_t good = served(main_pool, upstream_a);
    name(&good, "alice", "made-up");
    record(good);
    record(stats);
    assert_int_equal(requests_of(main_pool, APIPOOL_NAMED_MODEL, "made-up"), 2);
    assert_int_equal(requests_of(main_pool, APIPOOL_NAMED_MODEL, APIPOOL_NAMED_OTHER), 1);
}

static void the_ring_has_every_request(void **unused)
{
    static const char *const models[] = {"one", "two", "three"};
    apr_uint32_t size = segment->recent.size;

    for (apr_uint32_t i = 0; i < 2 * size + 3; i++) {
        apipool_request_stats_t stats =
            i % 2 ? refused(main_pool, APIPOOL_RULE_EXHAUSTED) : served(main_pool, upstream_a);
        strcpy(stats.entry.model, models[i % 3]);
        stats.entry.at = NOW + i;
        record(stats);
        apipool_recent_entry_t entry = newest();
        assert_int_equal(entry.number, i + 1);
        assert_int_equal(entry.at, NOW + i);
        assert_string_equal(entry.model, models[i % 3]);
        assert_int_equal(entry.ending, i % 2 ? APIPOOL_ENDED_REFUSED : APIPOOL_ENDED_COMPLETE);
        assert_int_equal(apipool_recent_count_locked(&segment->recent), i < size ? i + 1 : size);
    }
}

static void the_history_has_every_request(void **unused)
{
    apipool_series_point_t points[3];
    apipool_request_stats_t stats = served(main_pool, upstream_a);

    for (int minute = 0; minute < 3; minute++) {
        for (int i = 0; i <= minute; i++) {
            record_at(&stats, NOW + SEC(60 * minute + i));
        }
    }
    assert_int_equal(apipool_series_read_locked(&segment->stats[main_pool].series,
                                                APIPOOL_SERIES_BY_MINUTE, NOW + SEC(130), points,
                                                3),
                     3);
    for (int minute = 0; minute < 3; minute++) {
        assert_int_equal(points[minute].requests, minute + 1);
        assert_int_equal(points[minute].prompt, 100 * (minute + 1));
        assert_int_equal(points[minute].completion, 20 * (minute + 1));
    }
}

static void sums_agree_with_each_other(void **unused)
{
    static const char *const names[] = {"a", "b", "c", ""};
    static apipool_names_row_t rows[ROWS];
    apr_uint32_t random = 2463534242, other_pool = attach("", "other");
    apr_uint32_t upstreams[] = {upstream_a, upstream_b, upstream_of(other_pool, "x"), APIPOOL_NONE};
    apr_uint64_t expected[2] = {0, 0}, prompt[2] = {0, 0}, named[2] = {0, 0}, sum[2] = {0, 0};

    for (int i = 0; i < 5000; i++) {
        apr_uint32_t draw = next_random(&random), upstream = upstreams[draw % 4];
        apr_uint32_t which = draw % 4 == 2 || (draw % 4 == 3 && draw & 64);
        apr_uint32_t pool = which ? other_pool : main_pool;
        apipool_request_stats_t stats =
            upstream == APIPOOL_NONE ? refused(pool, APIPOOL_RULE_ALL_COOLING)
            : draw & 128             ? failed(pool, upstream, APIPOOL_ENDED_TRUNCATED)
                                     : served(pool, upstream);
        name(&stats, names[draw >> 8 & 3], names[draw >> 10 & 3]);
        record(stats);
        expected[which]++;
        prompt[which] += stats.finished.success ? 100 : 0;
        named[which] += *stats.client.text != 0;
    }
    for (int which = 0; which < 2; which++) {
        apipool_pool_snapshot_t snapshot = pool_at(which ? other_pool : main_pool, NOW);
        apr_uint64_t ended = snapshot.endings[APIPOOL_ENDED_REFUSED];
        for (int u = 0; u < 3; u++) {
            for (int ending = 0; (u == 2) == which && ending < APIPOOL_ENDINGS; ending++) {
                ended += endings_of(upstreams[u], (apipool_ending_e)ending);
            }
        }
        assert_int_equal(snapshot.counters.requests, expected[which]);
        assert_int_equal(snapshot.counters.prompt, prompt[which]);
        assert_int_equal(snapshot.duration.count, expected[which]);
        assert_int_equal(snapshot.first_byte.count, snapshot.counters.successes);
        assert_int_equal(snapshot.refusals[APIPOOL_RULE_ALL_COOLING],
                         snapshot.endings[APIPOOL_ENDED_REFUSED]);
        assert_int_equal(ended, expected[which]);
    }
    apr_uint32_t count = names_of(APIPOOL_NAMED_OF_ANY, rows);
    for (apr_uint32_t i = 0; i < count; i++) {
        if (rows[i].kind == APIPOOL_NAMED_CLIENT) {
            sum[rows[i].pool == other_pool] += rows[i].counters.requests;
        }
    }
    assert_int_equal(sum[0], named[0]);
    assert_int_equal(sum[1], named[1]);
}

enum { PROCESSES = 4, SHARE = 3000 };

/* Assertions of a child would write TAP of their own. */
static void record_share(fixture_t *f, unsigned child)
{
    static const char *const clients[] = {"alice", "bob"}, *const models[] = {"a", "b", "c"};
    int failed = apr_global_mutex_child_init(&f->mutex, NULL, f->pool) != APR_SUCCESS;
    segment->mutex = f->mutex;
    for (unsigned i = 0; i < SHARE && !failed; i++) {
        apipool_request_stats_t stats = served(main_pool, upstream_a);
        stats.finished.tokens =
            (apipool_usage_t){.prompt = i, .completion = child, .cached = 0, .total = i + child};
        name(&stats, clients[i % 2], models[i % 3]);
        failed = apipool_stats_record(segment, &stats, NOW) != APR_SUCCESS;
    }
    _exit(failed);
}

static void counters_are_exact_over_all_processes(void **state)
{
    static apipool_names_row_t rows[ROWS];
    const apr_uint64_t all = PROCESSES * SHARE;
    const apr_uint64_t prompt = PROCESSES * (apr_uint64_t)SHARE * (SHARE - 1) / 2;
    const apr_uint64_t completion = (apr_uint64_t)SHARE * PROCESSES * (PROCESSES - 1) / 2;
    apr_uint64_t requests[2] = {0}, tokens[2] = {0};
    pid_t children[PROCESSES];
    apipool_series_point_t point;
    int status;

    for (unsigned i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            record_share(*state, i);
        }
    }
    for (unsigned i = 0; i < PROCESSES; i++) {
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    apr_uint32_t count = names_of(main_pool, rows);
    assert_int_equal(count, 5);
    for (apr_uint32_t i = 0; i < count; i++) {
        requests[rows[i].kind] += rows[i].counters.requests;
        tokens[rows[i].kind] += rows[i].counters.prompt + rows[i].counters.completion;
    }
    for (int kind = 0; kind < 2; kind++) {
        assert_int_equal(requests[kind], all);
        assert_int_equal(tokens[kind], prompt + completion);
    }
    assert_int_equal(requests_of(main_pool, APIPOOL_NAMED_CLIENT, "alice"), all / 2);
    assert_int_equal(requests_of(main_pool, APIPOOL_NAMED_MODEL, "b"), all / 3);
    apipool_series_t *series = &segment->stats[main_pool].series;
    for (int step = APIPOOL_SERIES_BY_MINUTE; step <= APIPOOL_SERIES_BY_HOUR; step++) {
        assert_int_equal(apipool_series_read_locked(series, step, NOW, &point, 1), 1);
        assert_int_equal(point.requests, all);
        assert_int_equal(point.prompt, prompt);
        assert_int_equal(point.completion, completion);
    }
    apipool_pool_snapshot_t snapshot = pool_at(main_pool, NOW);
    assert_int_equal(snapshot.counters.rpm, all);
    assert_int_equal(snapshot.counters.tpd, prompt + completion);
    assert_int_equal(*segment->recent.pushed, all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_pool_without_requests_has_zeros),
        TEST(counters_are_exact_over_all_processes),
        TEST(a_request_is_counted_for_its_pool),
        TEST(pools_do_not_mix),
        TEST(endings_are_counted_for_the_last_upstream),
        TEST(requests_without_an_attempt_are_counted_by_rule),
        TEST(estimates_are_kept_apart),
        TEST(times_that_are_known_are_in_the_histograms),
        TEST(clients_and_models_have_counters_of_their_own),
        TEST(only_who_has_been_served_gets_a_place),
        TEST(the_ring_has_every_request),
        TEST(the_history_has_every_request),
        TEST(sums_agree_with_each_other),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int faults = cmocka_run_group_tests_name("stats", tests, NULL, NULL);
    apr_terminate();
    return faults;
}
