/* SPDX-License-Identifier: Apache-2.0
 * The keys of all pools: who may be used, who is lent out, what came of it. */
#ifndef APIPOOL_POOL_POOL_H
#define APIPOOL_POOL_POOL_H

#include <apr_time.h>

#include "consistent_hash.h"
#include "counters.h"
#include "key.h"
#include "lease.h"
#include "mod_apipool.h"
#include "segment.h"
#include "select.h"
#include "stats.h"
#include "verdict.h"

/* The only writer of key slots. Every function takes the segment's lock itself, holds it for work in
 * memory alone and returns APR status only when the lock could not be had; callers hold no lock. All
 * of them may be called by any thread of any process unless they say "parent". Times are parameters.
 *
 * A pool, and a group within it (the keys of one upstream), are named by indices that stay valid for
 * as long as the segment lives. Models are named by apipool_hash, 0 where none is known. */

/** Forgets which pools and groups are configured, before those that are get attached: parent. */
apr_status_t apipool_pool_retire_all(apipool_segment_t *segment);

/** Finds the pool of that server and name, or makes it: parent. APR_ENOSPC when there is no room,
 *  APR_ENAMETOOLONG when a name does not fit. */
apr_status_t apipool_pool_attach(apipool_segment_t *segment, const char *server, const char *name,
                                 apr_uint32_t *pool);

/** The same for the group of an upstream's name in a pool: parent. */
apr_status_t apipool_pool_upstream(apipool_segment_t *segment, apr_uint32_t pool,
                                   const char *upstream, apr_uint32_t *group);

/** Finds or makes both without configuring them: for what was stored. Names fit. */
apr_status_t apipool_pool_known(apipool_segment_t *segment, const char *server, const char *name,
                                const char *upstream, apr_uint32_t *pool, apr_uint32_t *group);

/* An upstream that may serve a request. */
typedef struct {
    apr_uint32_t group;
    apr_uint32_t weight; /* of each of its keys, times the key's own */
    int priority;        /* lower ones first; others when those have nothing usable */
    apr_uint64_t model;  /* as this upstream calls it */
} apipool_source_t;

/* What a request asks for. */
typedef struct {
    apr_uint32_t pool;
    const apipool_source_t *sources; /* by priority, at most 16 */
    int source_count;
    apipool_strategy_e strategy;
    apr_uint64_t affinity;              /* hash of what it is sticky to; 0: nothing */
    apr_uint32_t tokens;                /* to reserve, at least 1 */
    const apipool_key_limits_t *limits; /* the pool's, for keys without their own */
    const apr_uint32_t *tried;          /* slots that this request has used already */
    int tried_count;
    int doubted_count;      /* the first of them are in doubt: to this request they are not there */
    apr_uint64_t client;    /* hash of who asks; 0: unknown */
    apr_uint64_t waits_for; /* the model as the client calls it: whom it queues with */
    apr_uint32_t waiter;    /* its place in the queue, or APIPOOL_NONE */
    int look_only;          /* APIPOOL_ACQUIRED stands for "there is one"; nothing is lent */
    int sure_first;         /* a key that has to prove itself only where there is no other */
} apipool_lend_request_t;

typedef enum {
    APIPOOL_ACQUIRED,
    APIPOOL_ALL_TRIED,   /* there are usable keys, but this request has tried them */
    APIPOOL_ALL_COOLING, /* none is usable before *retry_at */
    APIPOOL_ALL_BUSY,    /* all that are usable have as many requests in flight as they may */
    APIPOOL_ALL_PAUSED,  /* the upstreams fail; the next try is at *retry_at */
    APIPOOL_QUEUED,      /* others have waited longer */
    APIPOOL_EXHAUSTED    /* none will become usable by waiting */
} apipool_acquired_e;

/**
 * Lends a usable key and counts it as in flight and against its limits; keys whose cooldown has ended by
 * now return to the rotation first. O(1) in the number of keys, O(log keys) per key that returns or has
 * reached a limit. Each lease must be given back by apipool_pool_report.
 * @param retry_at the earliest time at which a key comes free by the clock, 0 where none does; with
 *                 APIPOOL_QUEUED when to look again
 */
apr_status_t apipool_pool_lend(apipool_segment_t *segment, const apipool_lend_request_t *wanted,
                               apr_time_t now, apipool_lease_t *lease, apipool_acquired_e *result,
                               apr_time_t *retry_at);

/* A further request with a key that is lent, over the same connection. */
typedef struct {
    apr_uint32_t tokens;                /* to reserve, at least 1 */
    const apipool_key_limits_t *limits; /* the pool's, for keys without their own */
    int has_begun; /* nobody can stop it: it is charged whatever the limits say */
} apipool_further_t;

/**
 * Charges a lent key with a further request, if its limits admit it; it is to be reported as one that goes
 * on.
 * @param lease    its model, tokens and time become those of the request
 * @param retry_at 0: it was charged; else when all limits would admit it
 */
apr_status_t apipool_pool_charge(apipool_segment_t *segment, apipool_lease_t *lease,
                                 const apipool_further_t *further, apr_time_t now,
                                 apr_time_t *retry_at);

/** Whether anything limits the requests of a lent key. */
int apipool_pool_limits(const apipool_segment_t *segment, const apipool_lease_t *lease,
                        const apipool_key_limits_t *limits);

/* What a pool does about errors; from its configuration. */
typedef struct {
    apr_interval_time_t cooldown_min, cooldown_max;
    apr_interval_time_t recover_min, recover_max;
    apr_uint32_t recover_spread; /* permille of these that chance adds or takes away */
    apr_uint32_t max_errors;
} apipool_policy_t;

/* What came of a lease. */
typedef struct {
    const apipool_verdict_t *verdict;
    apr_uint64_t client;         /* hash of who has asked */
    int status;                  /* of the answer, 0 without one */
    apipool_finished_t finished; /* for its numbers; success and error are the verdict's */
    apr_int64_t tokens;          /* used, -1 where nobody knows: what was reserved stays charged */
    double headroom;             /* that the upstream told of, -1 where it did not */
    apr_time_t headroom_until;
    int may_doubt; /* whether it was the key's fault shows later: see apipool_pool_doubt */
    const apipool_policy_t *policy;
    int goes_on; /* it was a further request, and the key stays lent */
    const apipool_request_stats_t
        *request; /* that ends with this attempt, to be counted with it, or NULL */
} apipool_report_t;

typedef struct {
    apipool_rule_e rule; /* the verdict's, or R08 when it is everyone's fate and not this key's */
    apipool_state_e state;
    int lost;    /* the key came into a state that no cooldown ends */
    int doubted; /* the key has served before: it stays as it is until apipool_pool_doubt is told */
    int asked;   /* of apipool_pool_doubt: a probe is going to ask about it */
    apr_uint64_t account; /* of a key in doubt: hash of its name; 0: it has none */
} apipool_outcome_t;

/** Gives a lease back, unless it goes on, and moves the key to the state that the verdict leads to. */
apr_status_t apipool_pool_report(apipool_segment_t *segment, const apipool_lease_t *lease,
                                 const apipool_report_t *report, apr_time_t now,
                                 apipool_outcome_t *outcome);

/**
 * A key was refused as forbidden (R09), and the same request has succeeded with another one: the first one
 * rests for the model. As long as none succeeds, the request may be to blame.
 * @param lease  the first one; all but its secret
 * @param report what came of it then
 */
apr_status_t apipool_pool_forbidden(apipool_segment_t *segment, const apipool_lease_t *lease,
                                    const apipool_report_t *report, apr_time_t now);

/* What has become of a request in which a key was refused. */
typedef enum {
    APIPOOL_DOUBT_ENDED,  /* no other key of the same upstream has served it */
    APIPOOL_DOUBT_SERVED, /* one has, after several accounts were refused: nobody knows why */
    APIPOOL_DOUBT_BLAMED  /* one has, and this account alone was refused */
} apipool_doubted_e;

/**
 * Settles the doubt about a key that its upstream refused as spent (R05) or rejected (R06) though it has
 * served before. The request may be to blame: for what the client sent, each key would seem to be at fault. A
 * key is lost at once where another one of its upstream has served the same request; else a probe asks about
 * it, at most every ten seconds. Where a probe has spoken lately and the doubt comes back, the key is lost if
 * a key of its upstream has served the request, or if the probe could not tell and this is another client.
 * @param lease   the key's; all but its secret
 * @param report  what came of it then
 * @param outcome rule, state, lost and asked
 */
apr_status_t apipool_pool_doubt(apipool_segment_t *segment, const apipool_lease_t *lease,
                                const apipool_report_t *report, apipool_doubted_e doubted,
                                apr_time_t now, apipool_outcome_t *outcome);

/**
 * Tells that an answer has begun well, long before its end: ends the trouble of an upstream, and the doubt
 * about a half-open key. Looks without the lock whether there is any.
 */
apr_status_t apipool_pool_proved(apipool_segment_t *segment, apipool_lease_t *lease,
                                 apr_time_t now);

/** Whether a group's upstream is known to refuse stream_options.include_usage, and noting that it does, until
 *  some time. No lock: one number. */
int apipool_pool_refuses_usage(const apipool_segment_t *segment, apr_uint32_t group,
                               apr_time_t now);
void apipool_pool_note_refuses_usage(apipool_segment_t *segment, apr_uint32_t group,
                                     apr_time_t until);

/**
 * Whether a log should tell now that a pool has no key left: once a minute over all processes, so that
 * whoever asks such a pool again and again does not fill the disk. No lock.
 * @param untold result: requests since the last time of which it does not tell
 */
int apipool_pool_reports_exhausted(apipool_segment_t *segment, apr_uint32_t pool, apr_time_t now,
                                   apr_uint32_t *untold);

/* Whether an upstream tells how many tokens an answer took, as far as is known. */
typedef enum { APIPOOL_HABIT_UNKNOWN, APIPOOL_HABIT_TELLS, APIPOOL_HABIT_SILENT } apipool_habit_e;

/** What the last complete event stream of a group's upstream did, and noting what this one did. No lock. */
apipool_habit_e apipool_pool_habit(const apipool_segment_t *segment, apr_uint32_t group);
void apipool_pool_note_habit(apipool_segment_t *segment, apr_uint32_t group, apipool_habit_e habit);

/** Gives back the leases, places in line and viewers of a process that ended without doing so: parent. */
apr_status_t apipool_pool_reclaim(apipool_segment_t *segment, apr_uint32_t process);

/** Gives back all of them: parent, when all children of earlier generations are gone. O(keys). */
apr_status_t apipool_pool_reclaim_all(apipool_segment_t *segment);

/** How many keys the pools of a server hold, those that are not configured any more included. No lock. */
apr_uint32_t apipool_pool_keys_of(const apipool_segment_t *segment, const char *server);

/** Calls each for the configured groups of the pools that a server sees, its own and the main server's ("");
 *  those of one pool in a row. Names and indices stay valid. Takes no lock: both only change in the parent
 *  before children use them. */
void apipool_pool_each_group(const apipool_segment_t *segment, const char *server,
                             void (*each)(void *ctx, const char *pool, const char *upstream,
                                          apr_uint32_t group),
                             void *ctx);

/** Calls each for what is not configured and yet has keys: parent, once the configuration's pools are
 *  attached. No lock. */
void apipool_pool_each_unused(const apipool_segment_t *segment,
                              void (*each)(void *ctx, const char *pool, const char *upstream,
                                           apr_uint32_t keys),
                              void *ctx);

/** The pool that a group belongs to. */
apr_uint32_t apipool_pool_of(const apipool_segment_t *segment, apr_uint32_t group);

/* Numbers of one group. */
typedef struct {
    apr_uint32_t keys[APIPOOL_STATE_COUNT];
    apr_uint64_t requests; /* those in flight included */
    apr_uint64_t successes, errors;
    apr_uint32_t in_flight;
    apr_uint64_t rules[APIPOOL_RULE_COUNT]; /* attempts by verdict */
    apr_uint64_t endings[APIPOOL_ENDINGS];  /* requests that ended here */
    apipool_counters_snapshot_t numbers;    /* by attempts */
    apr_time_t paused_until;                /* 0: it is not */
} apipool_totals_t;

/* A key, for operators. */
typedef struct {
    apr_uint64_t id;
    apipool_state_e state;
    apr_uint64_t in_flight;
    apr_uint64_t requests, errors;           /* attempts that are over */
    apr_uint64_t prompt, completion, cached; /* tokens, reported */
} apipool_key_row_t;

/**
 * Copies out a group's keys in portions, so that the lock can be let go between them: a key that moves to the
 * group meanwhile may be missed.
 * @param from  where to begin, 0 at first; set to where to go on, APIPOOL_NONE at the end
 * @param rows  result, room for max
 * @param count how many there are; 0 does not mean the end
 */
apr_status_t apipool_pool_keys(apipool_segment_t *segment, apr_uint32_t group, apr_uint32_t *from,
                               apipool_key_row_t *rows, apr_uint32_t max, apr_uint32_t *count);

/** Adds up a group's keys: for operators; O(keys), so it takes the lock in small steps. */
apr_status_t apipool_pool_totals(apipool_segment_t *segment, apr_uint32_t group, apr_time_t now,
                                 apipool_totals_t *totals);

#endif
