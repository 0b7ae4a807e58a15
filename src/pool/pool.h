/* SPDX-License-Identifier: Apache-2.0
 * Keys of all pools: lending them and reporting results. */
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

/* This is the only writer of key slots. Every function takes the segment's lock, holds it only
 * for work in memory and returns an APR status only when the lock failed; callers hold no lock.
 * All may be called by any thread of any process unless marked "parent". Times are parameters.
 *
 * Pools, and the upstreams of a pool, are named by indices that stay valid as long as the
 * segment lives. Models are named by apipool_hash, 0 if unknown. */

/** Marks all pools and upstreams as not configured, before the configured ones are attached:
 *  parent. */
apr_status_t apipool_pool_retire_all(apipool_segment_t *segment);

/** Finds the pool of this server and name, or creates it: parent. APR_ENOSPC when there is no
 *  room, APR_ENAMETOOLONG when a name does not fit. */
apr_status_t apipool_pool_attach(apipool_segment_t *segment, const char *server, const char *name,
                                 apr_uint32_t *pool);

/** The same for an upstream of a pool, by name: parent. */
apr_status_t apipool_pool_upstream(apipool_segment_t *segment, apr_uint32_t pool, const char *name,
                                   apr_uint32_t *upstream);

/** Finds or creates both without configuring them, for stored keys. The names fit. */
apr_status_t apipool_pool_known(apipool_segment_t *segment, const char *server, const char *name,
                                const char *upstream_name, apr_uint32_t *pool,
                                apr_uint32_t *upstream);

/** Finds or creates a pool without configuring it. The names fit. */
apr_status_t apipool_pool_find(apipool_segment_t *segment, const char *server, const char *name,
                               apr_uint32_t *pool);

/* Upstream that may serve a request. */
typedef struct {
    apr_uint32_t upstream;
    apr_uint32_t weight; /* of each of its keys, multiplied by the key's own */
    int priority;        /* lower comes first; higher ones serve when those have no usable key */
    apr_uint64_t model;  /* name at this upstream */
} apipool_source_t;

/* Request for a key. */
typedef struct {
    apr_uint32_t pool;
    const apipool_source_t *sources; /* ordered by priority, at most 16 */
    int source_count;
    apipool_strategy_e strategy;
    apr_uint64_t affinity;              /* hash of the session that it sticks to; 0: none */
    apr_uint32_t tokens;                /* to reserve, at least 1 */
    const apipool_key_limits_t *limits; /* of the pool, for keys without their own */
    const apr_uint32_t *tried;          /* slots that this request has already used */
    int tried_count;
    int doubted_count;      /* the first ones of tried are in doubt: never lent to it */
    apr_uint64_t client;    /* hash of the client; 0: unknown */
    apr_uint64_t waits_for; /* model as the client calls it: selects the queue */
    apr_uint32_t waiter;    /* place in the queue, or APIPOOL_NONE */
    int look_only;          /* only checks for a key; nothing is lent */
    int sure_first;         /* lends a key that has to prove itself only if there is no other */
} apipool_lend_request_t;

typedef enum {
    APIPOOL_ACQUIRED,
    APIPOOL_ALL_TRIED,   /* this request has tried all usable keys */
    APIPOOL_ALL_COOLING, /* none is usable before retry_at */
    APIPOOL_ALL_BUSY,    /* all usable keys have reached their concurrency */
    APIPOOL_ALL_PAUSED,  /* the upstreams fail; the next try is at retry_at */
    APIPOOL_QUEUED,      /* others have waited longer */
    APIPOOL_EXHAUSTED    /* waiting would not help */
} apipool_acquired_e;

/* Result of lending. */
typedef struct {
    apipool_acquired_e result;
    apr_time_t retry_at; /* when the next key is usable by the clock, or to look again; 0: never */
} apipool_lent_t;

/** Lends a usable key and counts it as in flight and against its limits. Keys whose cooldown has
 *  ended return to the rotation first. O(1) in the number of keys, O(log keys) per key that
 *  returns or has reached a limit. Each lease must be given back by apipool_pool_report. */
apr_status_t apipool_pool_lend(apipool_segment_t *segment, const apipool_lend_request_t *request,
                               apr_time_t now, apipool_lease_t *lease, apipool_lent_t *lent);

/* Further request with a lent key, over the same connection. */
typedef struct {
    apr_uint32_t tokens;                /* to reserve, at least 1 */
    const apipool_key_limits_t *limits; /* of the pool, for keys without their own */
    int has_begun; /* it cannot be stopped any more: it is charged whatever the limits say */
} apipool_further_t;

/**
 * Charges a lent key for a further request, if its limits admit it. Report that request with
 * goes_on.
 * @param lease    model, tokens and time become those of the request
 * @param retry_at 0: charged; else when all limits would admit it
 */
apr_status_t apipool_pool_charge(apipool_segment_t *segment, apipool_lease_t *lease,
                                 const apipool_further_t *further, apr_time_t now,
                                 apr_time_t *retry_at);

/** Returns 1 if a limit applies to the requests of a lent key. */
int apipool_pool_limits(const apipool_segment_t *segment, const apipool_lease_t *lease,
                        const apipool_key_limits_t *limits);

/* How a pool reacts to errors, as configured. */
typedef struct {
    apr_interval_time_t cooldown_min, cooldown_max;
    apr_interval_time_t recover_min, recover_max;
    apr_uint32_t recover_spread; /* permille of these that is added or subtracted at random */
    apr_uint32_t max_errors;
} apipool_policy_t;

/* Result of a lease. */
typedef struct {
    const apipool_verdict_t *verdict;
    apr_uint64_t client;         /* hash of the client */
    int status;                  /* of the answer; 0: none */
    apipool_finished_t finished; /* for the counters; success and error come from the verdict */
    apr_int64_t tokens;          /* used; -1: unknown, the reserved tokens stay charged */
    double headroom;             /* as the upstream reported; -1: not reported */
    apr_time_t headroom_until;
    int may_doubt; /* the key may turn out not to be at fault: see apipool_pool_doubt */
    const apipool_policy_t *policy;
    int goes_on;                            /* this was a further request; the key stays lent */
    const apipool_request_stats_t *request; /* to be counted with it, or NULL */
} apipool_report_t;

typedef struct {
    apipool_rule_e rule; /* of the verdict, or R08 when all keys are refused */
    apipool_state_e state;
    int lost;    /* the key is in a state that no cooldown ends */
    int doubted; /* the key has served before: it stays as it is until apipool_pool_doubt */
    int asked;   /* by apipool_pool_doubt: a probe is going to check the key */
    int rests;   /* by the same: it rests for the model, which another key has served */
    apr_uint64_t account; /* of a key in doubt: hash of its account's name; 0: none */
} apipool_outcome_t;

/** Gives a lease back, unless it goes on, and moves the key to the state that follows from the
 *  verdict. */
apr_status_t apipool_pool_report(apipool_segment_t *segment, const apipool_lease_t *lease,
                                 const apipool_report_t *report, apr_time_t now,
                                 apipool_outcome_t *outcome);

/**
 * Makes a key rest for the model: it was refused as forbidden (R09), and the same request has
 * succeeded with another key. Until a key succeeds, the request may be to blame.
 * @param lease  of the refused key, without its secret
 * @param report its report
 */
apr_status_t apipool_pool_forbidden(apipool_segment_t *segment, const apipool_lease_t *lease,
                                    const apipool_report_t *report, apr_time_t now);

/* Fate of a request in which a key was refused. */
typedef enum {
    APIPOOL_DOUBT_ENDED,  /* no other key of the same upstream has served it */
    APIPOOL_DOUBT_SERVED, /* another key has, after several accounts were refused */
    APIPOOL_DOUBT_BLAMED  /* another key has, and only this account was refused */
} apipool_doubted_e;

/**
 * Settles the doubt about a key that its upstream refused as spent (R05) or rejected (R06).
 * The request may be to blame: some requests make any key look faulty, and some models are
 * not for every account. The key is probed, at most every ten seconds. If another key of its
 * upstream has served the same request, it rests for the model; it is lost if the upstream says
 * in words that the credential is invalid. If the probe was inconclusive and the doubt comes back,
 * the key is lost if it is another model that is refused, and if a key of its upstream has served
 * the request or this is another client.
 * @param lease   of the key, without its secret
 * @param report  its report
 * @param outcome rule, state, lost and asked
 */
apr_status_t apipool_pool_doubt(apipool_segment_t *segment, const apipool_lease_t *lease,
                                const apipool_report_t *report, apipool_doubted_e doubted,
                                apr_time_t now, apipool_outcome_t *outcome);

/** Notes that an answer has begun well, long before its end: closes the upstream's breaker and
 *  clears a half-open key. Checks without the lock if there is anything to do. */
apr_status_t apipool_pool_proved(apipool_segment_t *segment, apipool_lease_t *lease,
                                 apr_time_t now);

/** Tells if an upstream is known to refuse stream_options.include_usage at this time, or to accept
 *  it, and notes that it refuses it until then or accepts it. No lock: one number. */
int apipool_pool_refuses_usage(const apipool_segment_t *segment, apr_uint32_t upstream,
                               apr_time_t now);
int apipool_pool_accepts_usage(const apipool_segment_t *segment, apr_uint32_t upstream);
void apipool_pool_note_accepts_usage(apipool_segment_t *segment, apr_uint32_t upstream);
void apipool_pool_note_refuses_usage(apipool_segment_t *segment, apr_uint32_t upstream,
                                     apr_time_t until);

/** Notes the hash of an id under which an answer can be read later, or tells if there is one, and
 *  forgets it. Of very many, some are forgotten early. No lock: numbers of their own. take returns 1
 *  to one caller. 0 is no hash. */
void apipool_pool_put_off(apipool_segment_t *segment, apr_uint64_t id);
int apipool_pool_is_put_off(const apipool_segment_t *segment, apr_uint64_t id);
int apipool_pool_take_put_off(apipool_segment_t *segment, apr_uint64_t id);

/**
 * Decides if a pool without usable keys is logged now: once a minute over all processes, so that
 * repeated requests do not fill the disk. No lock.
 * @param unreported result: requests that were not logged since the last time
 */
int apipool_pool_reports_exhausted(apipool_segment_t *segment, apr_uint32_t pool, apr_time_t now,
                                   apr_uint32_t *unreported);

/* Habit of an upstream in reporting the tokens of streams. */
typedef enum { APIPOOL_HABIT_UNKNOWN, APIPOOL_HABIT_REPORTS, APIPOOL_HABIT_SILENT } apipool_habit_e;

/** Behaviour of an upstream's last complete event stream, and noting the behaviour of this one.
 *  No lock. */
apipool_habit_e apipool_pool_habit(const apipool_segment_t *segment, apr_uint32_t upstream);
void apipool_pool_note_habit(apipool_segment_t *segment, apr_uint32_t upstream,
                             apipool_habit_e habit);

/** Gives back the leases, reserved tokens, queue places and viewers of a process that died: parent. */
apr_status_t apipool_pool_reclaim(apipool_segment_t *segment, apr_uint32_t process, apr_time_t now);

/** Gives back those of all processes: parent, when no child of an earlier generation is left.
 *  O(keys). */
apr_status_t apipool_pool_reclaim_all(apipool_segment_t *segment, apr_time_t now);

/** Number of keys in the pools of a server, including pools that are no longer configured. No
 *  lock. */
apr_uint32_t apipool_pool_keys_of(const apipool_segment_t *segment, const char *server);

/** Calls each for the upstreams of the pools that a server sees, its own, and those of the main
 *  server (""), that are configured or have keys. The upstreams of a pool come in a row. Names and
 *  indices stay valid. No lock: both change only in the parent, before children use them. */
void apipool_pool_each_upstream(const apipool_segment_t *segment, const char *server,
                                void (*each)(void *ctx, const char *pool, const char *name,
                                             apr_uint32_t upstream),
                                void *ctx);

/** Pool of an upstream. */
apr_uint32_t apipool_pool_of(const apipool_segment_t *segment, apr_uint32_t upstream);

/* Totals of one upstream. */
typedef struct {
    apr_uint32_t keys[APIPOOL_STATE_COUNT];
    apr_uint64_t requests; /* including those in flight */
    apr_uint64_t successes, errors;
    apr_uint32_t in_flight;
    apr_uint64_t rules[APIPOOL_RULE_COUNT]; /* attempts by verdict */
    apr_uint64_t endings[APIPOOL_ENDINGS];  /* requests whose last attempt was here */
    apipool_counters_snapshot_t counters;   /* by attempts */
    apr_time_t paused_until;                /* 0: not paused */
} apipool_totals_t;

/* Key, for operators. */
typedef struct {
    apr_uint64_t id;
    apipool_state_e state;
    apr_uint64_t in_flight;
    apr_uint64_t requests, errors;           /* finished attempts */
    apr_uint64_t prompt, completion, cached; /* tokens, reported */
} apipool_key_row_t;

/**
 * Copies an upstream's keys in portions, releasing the lock in between: a key that moves to the
 * upstream meanwhile may be missed.
 * @param from  where to begin, 0 at first; set to where to go on, APIPOOL_NONE at the end
 * @param rows  result, room for max
 * @param count number of keys; 0 does not mean the end
 */
apr_status_t apipool_pool_keys(apipool_segment_t *segment, apr_uint32_t upstream,
                               apr_uint32_t *from, apipool_key_row_t *rows, apr_uint32_t max,
                               apr_uint32_t *count);

/** Adds up an upstream's keys, for operators. O(keys), so it takes the lock in small steps. */
apr_status_t apipool_pool_totals(apipool_segment_t *segment, apr_uint32_t upstream, apr_time_t now,
                                 apipool_totals_t *totals);

#endif
