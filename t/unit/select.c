/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/select: the names of strategies, scores, and fair shares. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "select.h"

static const struct {
    const char *name;
    int strategy;
} names[] = {
    {"smart", APIPOOL_STRATEGY_SMART},
    {"round-robin", APIPOOL_STRATEGY_ROUND_ROBIN},
    {"least-used", APIPOOL_STRATEGY_LEAST_USED},
    {"random", APIPOOL_STRATEGY_RANDOM},
    {"fill-first", APIPOOL_STRATEGY_FILL_FIRST},
    {"Least-Used", -1},
    {"least", -1},
    {"least-used ", -1},
    {"", -1},
};

static void names_are_known_as_the_configuration_spells_them(void **unused)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (apipool_strategy_by_name(names[i].name) != names[i].strategy) {
            fail_msg("\"%s\"", names[i].name);
        }
    }
}

static void the_list_of_names_holds_every_strategy_and_no_other(void **unused)
{
    char list[256];
    int count = 0;
    char *rest = NULL;

    assert_true(strlen(apipool_strategy_names()) < sizeof(list));
    strcpy(list, apipool_strategy_names());
    for (char *name = strtok_r(list, ", ", &rest); name; name = strtok_r(NULL, ", ", &rest)) {
        assert_int_equal(apipool_strategy_by_name(name), count++);
    }
    assert_int_equal(count, APIPOOL_STRATEGY_COUNT);
}

static const struct {
    const char *name;
    apipool_candidate_t candidate;
    double score;
} scores[] = {
    {"a key without blemish", {.weight = 1, .success = 1, .headroom = 1}, 1},
    {"weight", {.weight = 3, .success = 1, .headroom = 1}, 3},
    {"success", {.weight = 1, .success = 0.5, .headroom = 1}, 0.125},
    {"headroom", {.weight = 1, .success = 1, .headroom = 0.25}, 0.25},
    {"in flight", {.weight = 1, .success = 1, .headroom = 1, .in_flight = 3}, 0.25},
    {"an error", {.weight = 1, .success = 1, .headroom = 1, .streak = 1}, 0.5},
    {"two errors", {.weight = 1, .success = 1, .headroom = 1, .streak = 2}, 0.25},
    {"all together",
     {.weight = 8, .success = 0.8, .headroom = 0.5, .in_flight = 8, .streak = 1},
     0.512},
    {"many errors", {.weight = 1, .success = 1, .headroom = 1, .streak = UINT32_MAX}, 0.05},
    {"nothing good", {.weight = 2, .success = 0, .headroom = 0}, 0.1},
    {"many in flight", {.weight = 1, .success = 1, .headroom = 1, .in_flight = UINT32_MAX}, 0.05},
};

static void scores_are_what_the_table_says(void **unused)
{
    for (size_t i = 0; i < sizeof(scores) / sizeof(*scores); i++) {
        double off = apipool_select_score(&scores[i].candidate) - scores[i].score;
        if (off > 1e-9 || off < -1e-9) {
            fail_msg("%s: %f", scores[i].name, apipool_select_score(&scores[i].candidate));
        }
    }
}

/* Weight 1, without errors. */
static apipool_candidate_t good(apr_uint32_t in_flight, apr_time_t last_used_at)
{
    apipool_candidate_t candidate = {.in_flight = in_flight,
                                     .weight = 1,
                                     .success = 1,
                                     .headroom = 1,
                                     .last_used_at = last_used_at};
    return candidate;
}

static void least_used_prefers_idle_then_long_ago(void **unused)
{
    static const struct {
        apr_uint32_t in_flight;
        apr_time_t last_used_at;
    } rows[][4] = {{{9, 9}},
                   {{0, 5}, {1, 0}, {2, 0}},
                   {{2, 0}, {1, 9}, {3, 0}},
                   {{2, 0}, {1, 0}, {0, 9}},
                   {{1, 30}, {1, 20}, {1, 10}, {2, 0}},
                   {{0, 50}, {0, 0}, {0, 40}},
                   {{1, 10}, {1, 10}, {1, 10}},
                   {{UINT32_MAX, 0}, {UINT32_MAX - 1, 9}}};
    static const int counts[] = {1, 3, 3, 3, 4, 3, 3, 2}, best[] = {0, 0, 1, 2, 2, 1, 0, 1};
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        apipool_candidate_t candidates[4];
        for (int n = 0; n < counts[i]; n++) {
            candidates[n] = good(rows[i][n].in_flight, rows[i][n].last_used_at);
        }
        assert_int_equal(apipool_select(APIPOOL_STRATEGY_LEAST_USED, candidates, counts[i], 0),
                         best[i]);
    }
}

static void least_used_lets_a_heavy_key_have_more_in_flight(void **unused)
{
    apipool_candidate_t candidates[] = {good(1, 0), good(2, 0)};
    assert_int_equal(apipool_select(APIPOOL_STRATEGY_LEAST_USED, candidates, 2, 0), 0);
    candidates[1].weight = 3;
    assert_int_equal(apipool_select(APIPOOL_STRATEGY_LEAST_USED, candidates, 2, 0), 1);
}

/* Serves that many requests, none overlapping, with a clock like a pool's. */
static void serve(apipool_strategy_e strategy, apipool_candidate_t *candidates, int count,
                  double *clock, int requests, int *served)
{
    memset(served, 0, (size_t)count * sizeof(*served));
    for (int i = 0; i < requests; i++) {
        int best = apipool_select(strategy, candidates, count, *clock);
        apipool_candidate_t *candidate = &candidates[best];
        double start = candidate->served > *clock ? candidate->served : *clock;
        candidate->served = apipool_select_finish(strategy, candidate, *clock);
        candidate->last_used_at = i + 1;
        assert_true(start >= *clock);
        *clock = start;
        served[best]++;
    }
}

static void shares_are_as_scores(void **unused)
{
    apipool_candidate_t candidates[] = {good(0, 0), good(0, 0), good(0, 0), good(0, 0)};
    double clock = 0;
    int served[4];
    candidates[0].weight = 3;
    candidates[2].headroom = 0.5;
    candidates[3].success = 0;
    serve(APIPOOL_STRATEGY_SMART, candidates, 4, &clock, 4550, served);
    assert_in_range(served[0], 2990, 3010);
    assert_in_range(served[1], 990, 1010);
    assert_in_range(served[2], 490, 510);
    assert_in_range(served[3], 45, 55);
    serve(APIPOOL_STRATEGY_LEAST_USED, candidates, 4, &clock, 6000, served);
    assert_in_range(served[0], 2950, 3050);
    assert_in_range(served[3], 950, 1050);
}

static void who_was_away_gets_no_more_than_its_share(void **unused)
{
    apipool_candidate_t candidates[] = {good(0, 0), good(0, 0), good(0, 0)};
    double clock = 0;
    int served[3];
    serve(APIPOOL_STRATEGY_SMART, candidates, 2, &clock, 10000, served);
    serve(APIPOOL_STRATEGY_SMART, candidates, 3, &clock, 30, served);
    assert_in_range(served[2], 9, 12);
    candidates[1].success = 0; /* comes back with a low success rate */
    serve(APIPOOL_STRATEGY_SMART, candidates + 2, 1, &clock, 1000, served);
    serve(APIPOOL_STRATEGY_SMART, candidates, 3, &clock, 410, served);
    assert_in_range(served[1], 8, 13);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_known_as_the_configuration_spells_them),
        cmocka_unit_test(the_list_of_names_holds_every_strategy_and_no_other),
        cmocka_unit_test(scores_are_what_the_table_says),
        cmocka_unit_test(least_used_prefers_idle_then_long_ago),
        cmocka_unit_test(least_used_lets_a_heavy_key_have_more_in_flight),
        cmocka_unit_test(shares_are_as_scores),
        cmocka_unit_test(who_was_away_gets_no_more_than_its_share),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("select", tests, NULL, NULL);
}
