/* SPDX-License-Identifier: Apache-2.0
 * Pool with two upstreams and their keys, and short functions to add, lend and report. */
#ifndef APIPOOL_UNIT_POOL_FIXTURE_H
#define APIPOOL_UNIT_POOL_FIXTURE_H

#include <stdio.h>
#include <string.h>

#include "fixture.h"
#include "keys.h"
#include "recovery.h"

#define NOW      apr_time_from_sec(1795348800)
#define SEC(n)   apr_time_from_sec(n)
#define CAPACITY 200

static apipool_segment_t *segment;
static apr_uint32_t main_pool, upstream_a, upstream_b;
static apipool_source_t sources[2]; /* of both upstreams */
static apipool_key_limits_t limits; /* the pool's */
static apipool_policy_t policy;
static apipool_lease_t lease;
static apipool_outcome_t outcome;
static apr_time_t retry_at;
static apr_uint64_t client; /* client of the requests */
static int may_doubt;       /* the key may turn out not to be at fault */
static int probed;          /* before each request, due keys are probed and found accepted */

static inline apr_uint32_t attach(const char *server, const char *name)
{
    apr_uint32_t pool;
    assert_int_equal(apipool_pool_attach(segment, server, name, &pool), APR_SUCCESS);
    return pool;
}

static inline apr_uint32_t upstream_of(apr_uint32_t pool, const char *name)
{
    apr_uint32_t upstream;
    assert_int_equal(apipool_pool_upstream(segment, pool, name, &upstream), APR_SUCCESS);
    return upstream;
}

static inline fixture_t *open_with(apr_uint32_t capacity)
{
    fixture_t *f = fixture_open(capacity);
    segment = f->segment;
    segment->header->random = 88172645463325252; /* so that every run draws the same */
    main_pool = attach("", "main");
    upstream_a = upstream_of(main_pool, "a");
    upstream_b = upstream_of(main_pool, "b");
    sources[0] = (apipool_source_t){.upstream = upstream_a, .weight = 1};
    sources[1] = (apipool_source_t){.upstream = upstream_b, .weight = 1};
    memset(&limits, 0, sizeof(limits));
    client = 0;
    may_doubt = 0;
    probed = 1;
    policy = (apipool_policy_t){.cooldown_min = SEC(1),
                                .cooldown_max = SEC(60),
                                .recover_min = SEC(30),
                                .recover_max = SEC(3600),
                                .max_errors = 3};
    return f;
}

static inline int open_segment(void **state)
{
    *state = open_with(CAPACITY);
    return 0;
}

static inline int close_segment(void **state)
{
    const char *fault = consistency_of(segment);
    if (fault) {
        print_error("%s\n", fault);
    }
    fixture_close(*state);
    return fault ? -1 : 0;
}

static inline apipool_added_e add_item(apr_uint32_t upstream, const apipool_key_item_t *item)
{
    apipool_added_e added;
    assert_int_equal(apipool_pool_add(segment, upstream, item, NOW, &added), APR_SUCCESS);
    return added;
}

static inline apipool_added_e add_bytes(apr_uint32_t upstream, const char *key, size_t len,
                                        int enabled)
{
    apipool_key_item_t item = {.key = key, .len = len, .enabled = enabled};
    return add_item(upstream, &item);
}

static inline apipool_added_e add(apr_uint32_t upstream, const char *key)
{
    return add_bytes(upstream, key, strlen(key), 1);
}

static inline void add_weighing(apr_uint32_t upstream, const char *key, apr_uint32_t weight)
{
    apipool_key_item_t item = {.key = key, .len = strlen(key), .enabled = 1, .weight = weight};
    assert_int_equal(add_item(upstream, &item), APIPOOL_ADDED);
}

static inline void add_of(apr_uint32_t upstream, const char *key, const char *account)
{
    apipool_key_item_t item = {.key = key, .len = strlen(key), .enabled = 1, .account = account};
    assert_int_equal(add_item(upstream, &item), APIPOOL_ADDED);
}

/* Adds keys "PREFIX000", "PREFIX001", ... */
static inline void add_many(apr_uint32_t upstream, const char *prefix, int count)
{
    char key[64];
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "%s%03d", prefix, i);
        assert_int_equal(add(upstream, key), APIPOOL_ADDED);
    }
}

/* Request for a key of both upstreams, in turn, for any model. */
static inline apipool_lend_request_t want(apipool_strategy_e strategy)
{
    apipool_lend_request_t request = {.pool = main_pool,
                                      .sources = sources,
                                      .source_count = 2,
                                      .strategy = strategy,
                                      .tokens = 1,
                                      .limits = &limits,
                                      .client = client,
                                      .waiter = APIPOOL_NONE};
    return request;
}

/* Lends the due key of an upstream to a probe. Returns 0 if there is none. */
static inline int lend_probe(apr_uint32_t upstream, unsigned why, apr_interval_time_t interval,
                             apr_time_t now, apipool_lease_t *lent, apipool_state_e *state)
{
    apipool_recovery_search_t search = {
        .upstream = upstream, .reasons = why, .policy = &policy, .interval = interval};
    unsigned reason;
    assert_int_equal(apipool_recovery_next(segment, &search, now, lent, state, &reason),
                     APR_SUCCESS);
    return reason != 0;
}

static inline int lend_due(apr_uint32_t upstream, apr_time_t now, apipool_lease_t *lent,
                           apipool_state_e *state)
{
    return lend_probe(upstream, APIPOOL_PROBE_DUE, 0, now, lent, state);
}

static inline void tell_probe(const apipool_lease_t *lent, apipool_probed_e result, apr_time_t now)
{
    apipool_probe_report_t what = {.result = result, .policy = &policy};
    assert_int_equal(apipool_recovery_probed(segment, lent, &what, now, &outcome), APR_SUCCESS);
}

static inline void probe_all(apr_time_t now)
{
    for (apr_uint32_t upstream = 0; upstream < segment->header->upstreams_used; upstream++) {
        apipool_lease_t lent;
        apipool_state_e state;
        while (lend_due(upstream, now, &lent, &state)) {
            tell_probe(&lent, APIPOOL_PROBED_ACCEPTED, now);
        }
    }
}

static inline apipool_acquired_e acquire_request(const apipool_lend_request_t *request,
                                                 apr_time_t now)
{
    if (probed) {
        probe_all(now);
    }
    apipool_lent_t lent;
    assert_int_equal(apipool_pool_lend(segment, request, now, &lease, &lent), APR_SUCCESS);
    retry_at = lent.retry_at;
    return lent.result;
}

static inline apipool_acquired_e acquire_by(apipool_strategy_e strategy, apr_time_t now)
{
    apipool_lend_request_t request = want(strategy);
    return acquire_request(&request, now);
}

static inline apipool_acquired_e acquire(apr_time_t now)
{
    return acquire_by(APIPOOL_STRATEGY_ROUND_ROBIN, now);
}

/* For a model at upstream a. */
static inline apipool_acquired_e acquire_for(apr_uint64_t model, apr_time_t now)
{
    apipool_source_t source = {.upstream = upstream_a, .weight = 1, .model = model};
    apipool_lend_request_t request = want(APIPOOL_STRATEGY_ROUND_ROBIN);
    request.sources = &source;
    request.source_count = 1;
    request.waits_for = model;
    return acquire_request(&request, now);
}

static inline apipool_verdict_t verdict_of(apipool_rule_e rule, apr_time_t named)
{
    const apipool_rule_t *row = apipool_rule(rule);
    return (apipool_verdict_t){.rule = rule,
                               .action = row->action,
                               .scope = row->scope,
                               .event = row->event,
                               .upstream_fault = row->upstream_fault,
                               .retry_at = named};
}

/* Gives a lease back; tokens -1: unknown. */
static inline apipool_rule_e report_as(const apipool_lease_t *lent,
                                       const apipool_verdict_t *verdict, apr_int64_t tokens,
                                       apr_time_t now)
{
    apipool_report_t what = {.verdict = verdict,
                             .status = verdict->event == APIPOOL_EVENT_SUCCESS ? 200 : 418,
                             .tokens = tokens,
                             .headroom = -1,
                             .may_doubt = may_doubt,
                             .client = client,
                             .policy = &policy};
    assert_int_equal(apipool_pool_report(segment, lent, &what, now, &outcome), APR_SUCCESS);
    return outcome.rule;
}

/* Settles the doubt that a report has left. */
static inline void settle_doubt(const apipool_lease_t *lent, const apipool_verdict_t *verdict,
                                apipool_doubted_e doubted, apr_time_t now)
{
    apipool_report_t what = {
        .verdict = verdict, .status = 418, .client = client, .policy = &policy};
    assert_int_equal(apipool_pool_doubt(segment, lent, &what, doubted, now, &outcome), APR_SUCCESS);
}

static inline apipool_rule_e report_lease(const apipool_lease_t *lent, apipool_rule_e rule,
                                          apr_time_t named, apr_time_t now)
{
    apipool_verdict_t verdict = verdict_of(rule, named);
    return report_as(lent, &verdict, -1, now);
}

static inline apipool_rule_e report(apipool_rule_e rule, apr_time_t named, apr_time_t now)
{
    return report_lease(&lease, rule, named, now);
}

/* Rate limit of the whole key or its account, for any model. */
static inline apipool_rule_e report_limit(apipool_scope_e scope, apr_time_t named, apr_time_t now)
{
    apipool_verdict_t verdict = verdict_of(APIPOOL_RULE_RATE_LIMIT, named);
    verdict.scope = scope;
    return report_as(&lease, &verdict, -1, now);
}

static inline apipool_totals_t totals_of(apr_uint32_t upstream)
{
    apipool_totals_t totals;
    assert_int_equal(apipool_pool_totals(segment, upstream, NOW, &totals), APR_SUCCESS);
    return totals;
}

/* Totals of both upstreams. */
static inline apr_uint32_t in_flight(void)
{
    return totals_of(upstream_a).in_flight + totals_of(upstream_b).in_flight;
}

static inline void check_acquires(const char *key, apr_time_t now)
{
    assert_int_equal(acquire(now), APIPOOL_ACQUIRED);
    assert_string_equal(lease.key, key);
}

/* Slot of a key that was added. */
static inline apipool_slot_t *slot_of(const char *key)
{
    for (apr_uint32_t i = 0; i < segment->header->slots.used; i++) {
        apipool_slot_t *slot = &segment->slots[i];
        if (slot->secret_len == strlen(key) && !memcmp(slot->secret, key, slot->secret_len)) {
            return slot;
        }
    }
    fail_msg("no key %s", key);
    return NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_segment, close_segment)

#endif
