/* SPDX-License-Identifier: Apache-2.0
 * The keys of all pools: who may be used, who is lent out, what came of it. */
#ifndef APIPOOL_STATE_POOL_H
#define APIPOOL_STATE_POOL_H

#include <apr_time.h>

#include "health.h"
#include "mod_apipool.h"
#include "segment.h"
#include "select.h"

/* The only writer of key slots. Every function takes the segment's lock itself, holds it for work in
 * memory alone and returns APR status only when the lock could not be had; callers hold no lock. All
 * of them may be called by any thread of any process unless they say "parent". Times are parameters.
 *
 * A pool, and a group within it (the keys of one upstream), are named by indices that stay valid for
 * as long as the segment lives. */

/** Finds the pool of that server and name, or makes it: parent. APR_ENOSPC when there is no room,
 *  APR_ENAMETOOLONG when a name does not fit. */
apr_status_t apipool_pool_attach(apipool_segment_t *segment, const char *server, const char *name,
                                 apr_uint32_t *pool);

/** The same for the group of an upstream's name in a pool: parent. */
apr_status_t apipool_pool_group(apipool_segment_t *segment, apr_uint32_t pool, const char *upstream,
                                apr_uint32_t *group);

typedef enum {
    APIPOOL_ADDED,
    APIPOOL_DUPLICATE, /* already there; moved to the given group if it was in another */
    APIPOOL_FULL       /* no slot or no room for a long key */
} apipool_added_e;

/**
 * Adds a key that apipool_key_check accepts. Takes O(1) amortised; a group's array is copied when it
 * grows.
 * @param enabled 0 adds it as disabled
 */
apr_status_t apipool_pool_add(apipool_segment_t *segment, apr_uint32_t group, const char *key,
                              apr_size_t len, int enabled, apr_time_t now, apipool_added_e *added);

/* A key lent to one attempt. The secret is a copy: wipe it with apipool_lease_wipe. */
typedef struct {
    apr_uint32_t slot;
    apr_uint32_t group;
    apr_uint32_t holder; /* the entry that names this process, or APIPOOL_NONE */
    apr_uint64_t id;
    apr_uint32_t len;
    char key[APIPOOL_KEY_MAX + 1]; /* NUL-terminated */
} apipool_lease_t;

/* What a request asks for. */
typedef struct {
    apr_uint32_t pool;
    const apr_uint32_t *groups; /* the upstreams its process is configured with */
    int group_count;            /* at most 16 */
    apipool_strategy_e strategy;
    const apr_uint32_t *tried; /* slots that this request has used already */
    int tried_count;
} apipool_wanted_t;

typedef enum {
    APIPOOL_ACQUIRED,
    APIPOOL_ALL_TRIED,   /* there are usable keys, but this request has tried them */
    APIPOOL_ALL_COOLING, /* none is usable before *retry_at */
    APIPOOL_EXHAUSTED    /* none will become usable by waiting */
} apipool_acquired_e;

/**
 * Lends a usable key and counts it as in flight; keys whose cooldown has ended by now return to the
 * rotation first. O(1) in the number of keys, O(log keys) per key that returns. Each lease must be
 * given back by apipool_pool_report.
 * @param retry_at set with APIPOOL_ALL_COOLING
 */
apr_status_t apipool_pool_acquire(apipool_segment_t *segment, const apipool_wanted_t *wanted,
                                  apr_time_t now, apipool_lease_t *lease,
                                  apipool_acquired_e *result, apr_time_t *retry_at);

/* What came of a lease. */
typedef struct {
    apipool_event_e event;
    int status;          /* of the answer, 0 without one */
    apr_time_t retry_at; /* with APIPOOL_EVENT_RATE_LIMITED: what the upstream named, or 0 */
    apr_interval_time_t cooldown_min, cooldown_max;
} apipool_report_t;

/** Gives a lease back and moves the key to the state that the event leads to. */
apr_status_t apipool_pool_report(apipool_segment_t *segment, const apipool_lease_t *lease,
                                 const apipool_report_t *report, apr_time_t now);

void apipool_lease_wipe(apipool_lease_t *lease);

/** Gives back the leases of a process that ended without doing so: parent. O(leases). */
apr_status_t apipool_pool_reclaim(apipool_segment_t *segment, apr_uint32_t process);

/** Gives back all leases: parent, when all children of earlier generations are gone. O(keys). */
apr_status_t apipool_pool_reclaim_all(apipool_segment_t *segment);

/* Numbers of one pool. */
typedef struct {
    apr_uint32_t keys[APIPOOL_STATE_COUNT];
    apr_uint64_t requests, successes, errors;
    apr_uint32_t in_flight;
} apipool_totals_t;

/** Adds up a pool's keys: for operators and tests; O(keys), so it takes the lock in small steps. */
apr_status_t apipool_pool_totals(apipool_segment_t *segment, apr_uint32_t pool,
                                 apipool_totals_t *totals);

#endif
