/* SPDX-License-Identifier: Apache-2.0
 * Keys lent to probes, which ask their upstream about them at no cost, and what they find out. */
#ifndef APIPOOL_POOL_RECOVERY_H
#define APIPOOL_POOL_RECOVERY_H

#include "balance.h"
#include "pool.h"

/* A key that is quota, invalid or tripped waits until it is due, and is then lent to a probe: to one at a
 * time, and to the next one not before another interval of its own has passed. Requests get it again when
 * a probe has found it accepted, as half open. All of this lies in the segment, so that it goes on where it
 * was, whichever process asks. A lease counts neither as a request nor against a limit; if its holder's
 * process ends, apipool_pool_reclaim gives it back.
 *
 * Like those of pool.h, these functions take the lock and may be called by any thread of any process. */

/* Why a key is asked about; what comes first is looked for first. Because it is due: of those, it has waited
 * for longest. Out of its turn: somebody wants to know, or a request has left it in doubt. For its balance:
 * every key that is active, cooling or out of quota has its turn once per interval, spread over it. */
enum { APIPOOL_PROBE_DUE = 1, APIPOOL_PROBE_CHECK = 2, APIPOOL_PROBE_BALANCE = 4 };

/* Who looks for a key to be asked about. */
typedef struct {
    apr_uint32_t group;
    unsigned reasons;               /* any of APIPOOL_PROBE_REQUEST_... */
    const apipool_policy_t *policy; /* its recover_min, recover_max and recover_spread */
    apr_interval_time_t interval;   /* with APIPOOL_PROBE_BALANCE */
} apipool_recovery_search_t;

/**
 * Lends the next key of a group to be asked about. O(log keys): looks at 1024 keys at most for each reason,
 * and finds none if all of these are something else; ask again.
 * @param lease  result; the secret is a copy: wipe it with apipool_lease_wipe
 * @param state  result: what the key is
 * @param reason result: APIPOOL_PROBE_REQUEST_...; 0: there is none
 */
apr_status_t apipool_recovery_next(apipool_segment_t *segment,
                                   const apipool_recovery_search_t *search, apr_time_t now,
                                   apipool_lease_t *lease, apipool_state_e *state,
                                   unsigned *reason);

/**
 * Has a key asked about as soon as probes come to it: one that waits for that is due now, and any other one
 * but those that are switched off is asked about out of its turn, once. APR_NOTFOUND.
 */
apr_status_t apipool_recovery_check_soon(apipool_segment_t *segment, apr_uint32_t pool,
                                         apr_uint64_t id);

/** Lends a key to a check that somebody waits for: whatever its state, unless a probe has it.
 *  @return APR_NOTFOUND; APR_EBUSY when it is being asked about already */
apr_status_t apipool_recovery_lend(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t id,
                                   apr_time_t now, apipool_lease_t *lease);

/* What a probe has found out. */
typedef enum {
    APIPOOL_PROBED_UNKNOWN,   /* nothing that says anything about the key */
    APIPOOL_PROBED_NOT_FOUND, /* nothing but that the upstream knows no such request */
    APIPOOL_PROBED_ACCEPTED,
    APIPOOL_PROBED_REJECTED,
    APIPOOL_PROBED_SPENT
} apipool_probed_e;

typedef struct {
    apipool_probed_e result;
    int upstream_failed;      /* there was no answer, or one of its own fault */
    int is_check;             /* lent for its balance: puts off no probe that is due anyway */
    int has_balance;          /* decides between accepted and spent */
    apipool_amount_t balance; /* with has_balance */
    int status;               /* of the answer, 0 without one */
    apipool_rule_e rule;      /* of the verdict */
    const apipool_policy_t *policy;
} apipool_probe_report_t;

/* Probes in a row that an upstream answers with "not found" until its keys go without. */
#define APIPOOL_NOT_FOUND_MAX 3

/**
 * Gives a lease of this header back.
 *
 * Accepted: a key that waited becomes half open; one that its balance alone had taken out, active. Rejected
 * and spent: it is invalid or quota; if it was waiting it waits twice as long as before. Unknown: nothing
 * changes, the next probe comes when the same interval is over. Not found is the same until it has been the
 * answer three times in a row: then there is no such request, and a real one has to try the key.
 */
apr_status_t apipool_recovery_probed(apipool_segment_t *segment, const apipool_lease_t *lease,
                                     const apipool_probe_report_t *report, apr_time_t now,
                                     apipool_outcome_t *outcome);

/** Whether the upstream of a group failed the last probe, or fails requests now. No lock. */
int apipool_recovery_is_failing(const apipool_segment_t *segment, apr_uint32_t group);

/* Private to src/memory and src/pool; the caller holds the lock. */

/** A key is not usable for longer than a cooldown, and is asked about when it is due after so many tries that
 *  failed, but not before rests_until. Its account is spent as well where it is out of quota. */
void apipool_recovery_lose_locked(apipool_segment_t *segment, apr_uint32_t index,
                                  apipool_state_e state, unsigned tries,
                                  const apipool_policy_t *policy, apr_time_t now);

/** A key that was lost works again, after a cooldown that goes on until then; 0: at once. */
void apipool_recovery_return_locked(apipool_segment_t *segment, apr_uint32_t index,
                                    apr_time_t rests_until, apr_time_t now);

#endif
