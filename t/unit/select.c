/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/select: the names of strategies and which candidate each prefers. */
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
    {"round-robin", APIPOOL_STRATEGY_ROUND_ROBIN},
    {"least-used", APIPOOL_STRATEGY_LEAST_USED},
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

static void round_robin_takes_the_next_and_least_used_compares(void **unused)
{
    assert_int_equal(apipool_strategy_sample(APIPOOL_STRATEGY_ROUND_ROBIN), APIPOOL_SAMPLE_NEXT);
    assert_int_equal(apipool_strategy_sample(APIPOOL_STRATEGY_LEAST_USED), APIPOOL_SAMPLE_SPREAD);
}

static const struct {
    const char *name;
    apipool_candidate_t candidates[4];
    int count, best;
} least_used[] = {
    {"the only one is taken", {{9, 9}}, 1, 0},
    {"fewest in flight, at the start", {{0, 5}, {1, 0}, {2, 0}}, 3, 0},
    {"fewest in flight, in the middle", {{2, 0}, {1, 9}, {3, 0}}, 3, 1},
    {"fewest in flight, at the end", {{2, 0}, {1, 0}, {0, 9}}, 3, 2},
    {"then idle for longest", {{1, 30}, {1, 20}, {1, 10}, {2, 0}}, 4, 2},
    {"a key never used comes first", {{0, 50}, {0, 0}, {0, 40}}, 3, 1},
    {"of equals the first", {{1, 10}, {1, 10}, {1, 10}}, 3, 0},
    {"many in flight compare", {{UINT32_MAX, 0}, {UINT32_MAX - 1, 9}}, 2, 1},
};

static void least_used_prefers_idle_then_long_ago(void **unused)
{
    for (size_t i = 0; i < sizeof(least_used) / sizeof(*least_used); i++) {
        int best = apipool_select(APIPOOL_STRATEGY_LEAST_USED, least_used[i].candidates,
                                  least_used[i].count);
        if (best != least_used[i].best) {
            fail_msg("%s: %d", least_used[i].name, best);
        }
    }
}

static void round_robin_keeps_to_the_turn(void **unused)
{
    const apipool_candidate_t candidates[] = {{9, 9}, {0, 0}, {1, 1}};
    assert_int_equal(apipool_select(APIPOOL_STRATEGY_ROUND_ROBIN, candidates, 3), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_known_as_the_configuration_spells_them),
        cmocka_unit_test(the_list_of_names_holds_every_strategy_and_no_other),
        cmocka_unit_test(round_robin_takes_the_next_and_least_used_compares),
        cmocka_unit_test(least_used_prefers_idle_then_long_ago),
        cmocka_unit_test(round_robin_keeps_to_the_turn),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("select", tests, NULL, NULL);
}
