/* SPDX-License-Identifier: Apache-2.0
 * Keys in doubt: refused in a request that may itself be to blame, until a probe has checked
 * them. */
#ifndef APIPOOL_POOL_DOUBT_H
#define APIPOOL_POOL_DOUBT_H

#include "segment_layout.h"

/* Private to src/memory and src/pool; the caller holds the segment's lock. An upstream has room
 * for 16 doubts, and a key is probed once in ten seconds, so that clients cannot cause more
 * probes with requests that are refused. A doubt that finds no room is dropped: a key that is
 * really at fault comes into doubt again. Clients are hashes. Everything is O(1). */

/* What probes have found out about a key in doubt. */
typedef enum {
    APIPOOL_DOUBT_NONE,   /* nothing yet */
    APIPOOL_DOUBT_SPOKEN, /* the key was accepted */
    APIPOOL_DOUBT_UNSURE  /* the probe was inconclusive */
} apipool_doubt_e;

/* First refusal of a key in doubt: who met it, and with which model. */
typedef struct {
    apr_uint64_t client, model;
} apipool_doubt_first_t;

/**
 * Result of the last probe of a key in doubt, if it is at most ten minutes old and not refuted
 * since.
 * @param first result, with APIPOOL_DOUBT_UNSURE
 */
apipool_doubt_e apipool_doubt_known_locked(const apipool_segment_t *segment, apr_uint32_t index,
                                           apr_time_t now, apipool_doubt_first_t *first);

/** Requests a probe of a key. Returns 0 if there was one just now, or if there is no room. */
int apipool_doubt_note_locked(apipool_segment_t *segment, apr_uint32_t index,
                              const apipool_doubt_first_t *first, int of_quota, apr_time_t now);

/** Next key of an upstream to probe, or APIPOOL_NONE. The probe begins now. */
apr_uint32_t apipool_doubt_next_locked(apipool_segment_t *segment, apr_uint32_t upstream,
                                       apr_time_t now);

/** Notes the end of a probe. */
void apipool_doubt_answered_locked(apipool_segment_t *segment, apr_uint32_t index, int accepted,
                                   int has_balance, int upstream_failed);

/** Notes that a request to which the key was lent at that time has succeeded. */
void apipool_doubt_succeeded_locked(apipool_segment_t *segment, apr_uint32_t index,
                                    apr_time_t lent_at);

/** Returns 1 while a key is probed because it may be out of quota. */
int apipool_doubt_is_of_quota_locked(const apipool_segment_t *segment, apr_uint32_t index);

/** Ends a doubt, because the key is lost or an operator has taken care of it. */
void apipool_doubt_forget_locked(apipool_segment_t *segment, apr_uint32_t index);

#endif
