/* SPDX-License-Identifier: Apache-2.0
 * A pool with two groups of keys, and short ways to add, lend and report. */
#ifndef APIPOOL_UNIT_POOL_FIXTURE_H
#define APIPOOL_UNIT_POOL_FIXTURE_H

#include "fixture.h"
#include "pool.h"

#define NOW      apr_time_from_sec(1795348800)
#define SEC(n)   apr_time_from_sec(n)
#define CAPACITY 200

static apipool_segment_t *segment;
static apr_uint32_t main_pool, group_a, group_b;
static apipool_lease_t lease;
static apr_time_t retry_at;

static inline apr_uint32_t attach(const char *server, const char *name)
{
    apr_uint32_t pool;
    assert_int_equal(apipool_pool_attach(segment, server, name, &pool), APR_SUCCESS);
    return pool;
}

static inline apr_uint32_t group_of(apr_uint32_t pool, const char *upstream)
{
    apr_uint32_t group;
    assert_int_equal(apipool_pool_group(segment, pool, upstream, &group), APR_SUCCESS);
    return group;
}

static inline fixture_t *open_with(apr_uint32_t capacity)
{
    fixture_t *f = fixture_open(capacity);
    segment = f->segment;
    main_pool = attach("", "main");
    group_a = group_of(main_pool, "a");
    group_b = group_of(main_pool, "b");
    return f;
}

static inline int open_segment(void **state)
{
    *state = open_with(CAPACITY);
    return 0;
}

static inline int close_segment(void **state)
{
    const char *fault = broken_invariant(segment);
    if (fault) {
        print_error("%s\n", fault);
    }
    fixture_close(*state);
    return fault ? -1 : 0;
}

static inline apipool_added_e add_bytes(apr_uint32_t group, const char *key, size_t len, int enabled)
{
    apipool_added_e added;
    assert_int_equal(apipool_pool_add(segment, group, key, len, enabled, NOW, &added), APR_SUCCESS);
    return added;
}

static inline apipool_added_e add(apr_uint32_t group, const char *key)
{
    return add_bytes(group, key, strlen(key), 1);
}

/* Keys "PREFIX000", "PREFIX001" and so on. */
static inline void add_many(apr_uint32_t group, const char *prefix, int count)
{
    char key[64];
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "%s%03d", prefix, i);
        assert_int_equal(add(group, key), APIPOOL_ADDED);
    }
}

static inline apipool_acquired_e acquire_from(apr_uint32_t pool, const apr_uint32_t *groups, int count,
                                       apipool_strategy_e strategy, const apr_uint32_t *tried,
                                       int tried_count, apr_time_t now)
{
    apipool_wanted_t wanted = {.pool = pool,
                               .groups = groups,
                               .group_count = count,
                               .strategy = strategy,
                               .tried = tried,
                               .tried_count = tried_count};
    apipool_acquired_e result;
    assert_int_equal(apipool_pool_acquire(segment, &wanted, now, &lease, &result, &retry_at),
                     APR_SUCCESS);
    return result;
}

/* From both groups of the main pool, in turn. */
static inline apipool_acquired_e acquire(apr_time_t now)
{
    const apr_uint32_t groups[] = {group_a, group_b};
    return acquire_from(main_pool, groups, 2, APIPOOL_STRATEGY_ROUND_ROBIN, NULL, 0, now);
}

static inline void report(apipool_event_e event, apr_time_t named, apr_time_t now)
{
    apipool_report_t what = {.event = event,
                             .status = 418,
                             .retry_at = named,
                             .cooldown_min = SEC(1),
                             .cooldown_max = SEC(60)};
    assert_int_equal(apipool_pool_report(segment, &lease, &what, now), APR_SUCCESS);
}

static inline apipool_totals_t totals_of(apr_uint32_t pool)
{
    apipool_totals_t totals;
    assert_int_equal(apipool_pool_totals(segment, pool, &totals), APR_SUCCESS);
    return totals;
}

static inline void check_acquires(const char *key, apr_time_t now)
{
    assert_int_equal(acquire(now), APIPOOL_ACQUIRED);
    assert_string_equal(lease.key, key);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_segment, close_segment)

#endif
