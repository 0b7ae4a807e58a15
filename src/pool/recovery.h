/* SPDX-License-Identifier: Apache-2.0
 * Keys lent to probes, which check them at their upstream at no cost, and the results. */
#ifndef APIPOOL_POOL_RECOVERY_H
#define APIPOOL_POOL_RECOVERY_H

#include "balance.h"
#include "pool.h"

/* A key in state quota, invalid or tripped waits until it is due, and is then lent to a probe:
 * one at a time, and again only after another interval of its own. When a probe finds it
 * accepted, it is half open and requests get it again. All of this lies in the segment, so any
 * process can continue. Such a lease counts neither as a request nor against a limit;
 * apipool_pool_reclaim gives it back if its process dies.
 *
 * Like those of pool.h, these functions take the lock and may be called by any thread of any
 * process. */

/* Reasons for a probe, in the order of the search. Due: the key that has waited longest. Check:
 * out of turn, because an operator wants to know or a request has left the key in doubt.
 * Balance: every key that is active, cooling or out of quota has its turn once per interval,
 * spread over it. */
enum { APIPOOL_PROBE_DUE = 1, APIPOOL_PROBE_CHECK = 2, APIPOOL_PROBE_BALANCE = 4 };

/* Search for a key to probe. */
typedef struct {
    apr_uint32_t upstream;
    unsigned reasons;               /* any of APIPOOL_PROBE_... */
    const apipool_policy_t *policy; /* recover_min, recover_max and recover_spread are used */
    apr_interval_time_t interval;   /* with APIPOOL_PROBE_BALANCE */
} apipool_recovery_search_t;

/**
 * Lends the next key of an upstream to a probe. O(log keys): looks at up to 1,024 keys per
 * reason, and may find none though there is one; ask again.
 * @param lease  result; the secret is a copy: wipe it with apipool_lease_wipe
 * @param state  result: state of the key
 * @param reason result: APIPOOL_PROBE_...; 0: no key
 */
apr_status_t apipool_recovery_next(apipool_segment_t *segment,
                                   const apipool_recovery_search_t *search, apr_time_t now,
                                   apipool_lease_t *lease, apipool_state_e *state,
                                   unsigned *reason);

/** Requests a probe of a key as soon as possible: a waiting key becomes due, any other key that
 *  is not disabled is probed once, out of turn. APR_NOTFOUND. */
apr_status_t apipool_recovery_check_soon(apipool_segment_t *segment, apr_uint32_t pool,
                                         apr_uint64_t id);

/** Lends a key to a check whose caller waits: in any state, unless a probe has it.
 *  @return APR_NOTFOUND; APR_EBUSY when the key is being probed */
apr_status_t apipool_recovery_lend(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t id,
                                   apr_time_t now, apipool_lease_t *lease);

/* Result of a probe. */
typedef enum {
    APIPOOL_PROBED_UNKNOWN,   /* inconclusive */
    APIPOOL_PROBED_NOT_FOUND, /* inconclusive, and the next answer would be the same: 404, 500 */
    APIPOOL_PROBED_ACCEPTED,
    APIPOOL_PROBED_REJECTED,
    APIPOOL_PROBED_SPENT,
    APIPOOL_PROBED_EMPTY /* accepted; the balance is not above 0, but only its number says so */
} apipool_probed_e;

typedef struct {
    apipool_probed_e result;
    int upstream_failed;         /* no answer, or a fault of the upstream */
    int is_check;                /* lent for its balance: does not postpone a probe that is due */
    int asked_balance;           /* the balance was asked for */
    int has_balance;             /* decides between accepted and spent */
    apipool_balances_t balances; /* with has_balance */
    int status;                  /* of the answer; 0: none */
    apipool_rule_e rule;         /* of the verdict */
    apipool_words_t words;       /* the same */
    const apipool_policy_t *policy;
} apipool_probe_report_t;

/* Consecutive probes answered with "not found" after which an upstream's keys recover without
 * probes; balances are counted apart from other probes. As many probes that find a balance empty,
 * one after the other, let a request try the key. */
#define APIPOOL_NOT_FOUND_MAX 3

/**
 * Gives back a lease of this header.
 *
 * Accepted: a waiting key becomes half open; a key that only its balance had taken out becomes
 * active. Rejected and spent: the key is invalid or out of quota; if it was waiting, it now
 * waits twice as long. Unknown: nothing changes, the next probe follows after the same interval.
 * Not found is treated alike until it was the answer three times in a row: then the upstream has
 * no such request, and a real request has to try the key. Empty is spent for a key that a request
 * has put out of quota, or in doubt unless it has just served another model or the upstream rejects
 * every key; it is accepted for all others.
 */
apr_status_t apipool_recovery_probed(apipool_segment_t *segment, const apipool_lease_t *lease,
                                     const apipool_probe_report_t *report, apr_time_t now,
                                     apipool_outcome_t *outcome);

/** Returns 1 if an upstream failed the last probe or fails requests now. No lock. */
int apipool_recovery_is_failing(const apipool_segment_t *segment, apr_uint32_t upstream);

/* Private to src/memory and src/pool; the caller holds the lock. */

/** Takes a key out for longer than a cooldown. Its next probe is due by the number of failed
 *  tries, but not before rests_until. If it is out of quota, so is its account. */
void apipool_recovery_lose_locked(apipool_segment_t *segment, apr_uint32_t index,
                                  apipool_state_e state, unsigned tries,
                                  const apipool_policy_t *policy, apr_time_t now);

/** Returns a lost key to use, after a cooldown until then; 0: at once. */
void apipool_recovery_return_locked(apipool_segment_t *segment, apr_uint32_t index,
                                    apr_time_t rests_until, apr_time_t now);

#endif
