/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/custom_rule and of the verdicts by a pool's own rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <apr_general.h>

#include "verdict.h"

#define NOW apr_time_from_sec(1795348800) /* Sun, 22 Nov 2026 12:00:00 GMT */

static int same_verdict(const apipool_verdict_t *a, const apipool_verdict_t *b)
{
    return a->rule == b->rule && a->action == b->action && a->scope == b->scope &&
           a->event == b->event && a->upstream_fault == b->upstream_fault &&
           a->retry_at == b->retry_at;
}

static apipool_verdict_t judge_with(const apipool_custom_rule_t *rules, int count, int status,
                                    int in_band, const char *body)
{
    apipool_evidence_t evidence = {.status = status,
                                   .in_band = in_band,
                                   .body = body,
                                   .body_len = strlen(body),
                                   .custom = rules,
                                   .custom_count = count,
                                   .now = NOW};
    return apipool_verdict(&evidence);
}

static const struct {
    apipool_scope_e scope;
    apipool_event_e event;
    int upstream_fault;
} effects[] = {
    {APIPOOL_SCOPE_NONE, APIPOOL_EVENT_NONE, 0},
    {APIPOOL_SCOPE_KEY, APIPOOL_EVENT_RATE_LIMITED, 0},
    {APIPOOL_SCOPE_MODEL, APIPOOL_EVENT_RATE_LIMITED, 0},
    {APIPOOL_SCOPE_ACCOUNT, APIPOOL_EVENT_RATE_LIMITED, 0},
    {APIPOOL_SCOPE_UPSTREAM, APIPOOL_EVENT_NONE, 1},
};

static void a_custom_rule_does_what_it_says(void **unused)
{
    for (size_t i = 0; i < sizeof(effects) / sizeof(*effects); i++) {
        for (int action = APIPOOL_PASS; action <= APIPOOL_STOP; action++) {
            apipool_custom_rule_t rule = {.statuses = {{400, 499}},
                                          .status_count = 1,
                                          .action = (apipool_action_e)action,
                                          .scope = effects[i].scope};
            apipool_verdict_t wanted = {.rule = APIPOOL_RULE_CUSTOM,
                                        .action = (apipool_action_e)action,
                                        .scope = effects[i].scope,
                                        .event = effects[i].event,
                                        .upstream_fault = effects[i].upstream_fault};
            apipool_verdict_t got = judge_with(&rule, 1, 429, 0, "");
            assert_true(same_verdict(&got, &wanted));
            assert_int_equal(judge_with(&rule, 1, 500, 0, "").rule, APIPOOL_RULE_UPSTREAM_ERROR);
            assert_int_equal(judge_with(&rule, 1, 200, 0, "").rule, APIPOOL_RULE_SUCCESS);
            assert_int_equal(judge_with(&rule, 1, 200, 1, "{\"error\":{\"code\":429}}").rule,
                             APIPOOL_RULE_RATE_LIMIT);
        }
    }
}

static void custom_rules_are_tried_in_their_order(void **unused)
{
    apipool_custom_rule_t rules[APIPOOL_CUSTOM_MAX + 1];
    char word[16], body[64];
    for (int i = 0; i < APIPOOL_CUSTOM_MAX + 1; i++) {
        apipool_custom_rule_t rule = {.statuses = {{500, 500}, {200, 200}}, .status_count = 2};
        rules[i] = rule;
    }
    assert_int_equal(judge_with(rules, APIPOOL_CUSTOM_MAX + 1, 500, 0, "").rule,
                     APIPOOL_RULE_CUSTOM);
    assert_int_equal(judge_with(rules, 1, 200, 1, "").rule, APIPOOL_RULE_CUSTOM);
    for (int i = 0; i < APIPOOL_CUSTOM_MAX; i++) {
        rules[i].marker = "elsewhere";
    }
    snprintf(word, sizeof(word), "w%d", APIPOOL_CUSTOM_MAX);
    rules[APIPOOL_CUSTOM_MAX - 1].marker = word;
    snprintf(body, sizeof(body), "{\"error\":{\"code\":\"x W%d x\"}}", APIPOOL_CUSTOM_MAX);
    assert_int_equal(judge_with(rules, APIPOOL_CUSTOM_MAX + 1, 500, 0, body).rule,
                     APIPOOL_RULE_COUNT - 1);
    assert_int_equal(judge_with(rules, APIPOOL_CUSTOM_MAX + 1, 500, 0, "").rule,
                     APIPOOL_RULE_UPSTREAM_ERROR);
}

#define STATUSES  "is not a list of statuses"
#define FOUR_OR_3 "words where 3 or 4 are needed"

static const struct {
    const char *words[6];
    const char *fault[2]; /* contained in the message; NULL: the rule is valid */
} lines[] = {
    {{"429", "rotate", "key"}, {NULL, NULL}},
    {{"200", "STOP", "None"}, {NULL, NULL}},
    {{"400-599", "a marker", "pass", "upstream"}, {NULL, NULL}},
    {{"200,400,401,402-403,404,405,406,599", "retry", "account"}, {NULL, NULL}},
    {{"503-503", "pass", "model"}, {NULL, NULL}},
    {{"429", "rotate"}, {FOUR_OR_3, "2 words"}},
    {{NULL}, {FOUR_OR_3, "0 words"}},
    {{"429", "x", "rotate", "key", "now"}, {FOUR_OR_3, "5 words"}},
    {{"", "rotate", "key"}, {"''", STATUSES}},
    {{"x", "rotate", "key"}, {"'x'", STATUSES}},
    {{"399", "rotate", "key"}, {"'399'", STATUSES}},
    {{"600", "rotate", "key"}, {"'600'", STATUSES}},
    {{"201", "rotate", "key"}, {"'201'", STATUSES}},
    {{"42", "rotate", "key"}, {"'42'", STATUSES}},
    {{"4290", "rotate", "key"}, {"'4290'", STATUSES}},
    {{"-429", "rotate", "key"}, {"'-429'", STATUSES}},
    {{"429,", "rotate", "key"}, {"'429,'", STATUSES}},
    {{",429", "rotate", "key"}, {"',429'", STATUSES}},
    {{"429,,500", "rotate", "key"}, {"'429,,500'", STATUSES}},
    {{"429;500", "rotate", "key"}, {"'429;500'", STATUSES}},
    {{"429 500", "rotate", "key"}, {"'429 500'", STATUSES}},
    {{"500-", "rotate", "key"}, {"'500-'", STATUSES}},
    {{"500-4", "rotate", "key"}, {"'500-4'", STATUSES}},
    {{"504-500", "rotate", "key"}, {"'504-500'", STATUSES}},
    {{"200-429", "rotate", "key"}, {"'200-429'", STATUSES}},
    {{"200-200", "rotate", "key"}, {"'200-200'", STATUSES}},
    {{"500-600", "rotate", "key"}, {"'500-600'", STATUSES}},
    {{"500-502-504", "rotate", "key"}, {"'500-502-504'", STATUSES}},
    {{"400,401,402,403,404,405,406,407,408", "rotate", "key"}, {"more than 8", "400,401,402"}},
    {{"429", "", "rotate", "key"}, {"marker is empty", "leave it out"}},
    {{"429", "turn", "key"}, {"'turn' is not an action", "pass, rotate, retry, stop"}},
    {{"429", "", "key"}, {"'' is not an action", "pass, rotate, retry, stop"}},
    {{"429", "marker", "key", "key"}, {"'key' is not an action", "pass, rotate, retry, stop"}},
    {{"429", "rotate", "client"},
     {"'client' is not a scope", "none, key, model, account, upstream"}},
    {{"429", "rotate", "keys"}, {"'keys' is not a scope", "none, key, model, account, upstream"}},
    {{"429", "marker", "rotate"}, {"'marker' is not an action", "allowed"}},
};

static void a_wrong_rule_is_told_apart(void **unused)
{
    apipool_custom_rule_t rule;
    apr_pool_t *pool;
    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        int count = 0;
        while (lines[i].words[count]) {
            count++;
        }
        const char *got = apipool_custom_rule_parse(pool, lines[i].words, count, &rule);
        const char *const *fault = lines[i].fault;
        if (!got != !fault[0] || (got && (!strstr(got, fault[0]) || !strstr(got, fault[1])))) {
            fail_msg("%d: %s", (int)i, got ? got : "accepted");
        }
    }
    apr_pool_destroy(pool);
}

static void a_rule_is_read_as_written(void **unused)
{
    static const char *const words[] = {"200,400-404,529", "Out of luck", "retry", "account"};
    apipool_custom_rule_t rule;
    apr_pool_t *pool;
    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    memset(&rule, 'x', sizeof(rule));
    assert_null(apipool_custom_rule_parse(pool, words, 4, &rule));
    assert_int_equal(rule.status_count, 3);
    assert_int_equal(rule.statuses[0].from, 200);
    assert_int_equal(rule.statuses[0].to, 200);
    assert_int_equal(rule.statuses[1].from, 400);
    assert_int_equal(rule.statuses[1].to, 404);
    assert_int_equal(rule.statuses[2].from, 529);
    assert_ptr_equal(rule.marker, words[1]);
    assert_int_equal(rule.action, APIPOOL_RETRY);
    assert_int_equal(rule.scope, APIPOOL_SCOPE_ACCOUNT);
    apr_pool_destroy(pool);
}

static int begin(void **unused)
{
    return apr_initialize() == APR_SUCCESS ? 0 : -1;
}

static int end(void **unused)
{
    apr_terminate();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_custom_rule_does_what_it_says),
        cmocka_unit_test(custom_rules_are_tried_in_their_order),
        cmocka_unit_test(a_wrong_rule_is_told_apart),
        cmocka_unit_test(a_rule_is_read_as_written),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("custom", tests, begin, end);
}
