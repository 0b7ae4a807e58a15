/* SPDX-License-Identifier: Apache-2.0
 * Keys in doubt: refused in a request that may itself be to blame, until a probe has asked about them. */
#ifndef APIPOOL_POOL_DOUBT_H
#define APIPOOL_POOL_DOUBT_H

#include "segment_layout.h"

/* Private to src/memory and src/pool; the caller holds the segment's lock. A group has room for 16 doubts,
 * and a key is asked about once in ten seconds, so that clients whose requests are refused cannot make more
 * probes than that. What finds no room is not noted: a key that is at fault comes into doubt again. Clients
 * are hashes. All of it is O(1). */

/* What is known of a key that a request has left in doubt. */
typedef enum {
    APIPOOL_DOUBT_NONE,   /* nothing yet */
    APIPOOL_DOUBT_SPOKEN, /* a probe has found it accepted */
    APIPOOL_DOUBT_UNSURE  /* a probe could not tell */
} apipool_doubt_e;

/** What a probe has said of a key in the last ten minutes, and not been refuted since.
 *  @param client set to the first client that has met a refusal, with APIPOOL_DOUBT_UNSURE */
apipool_doubt_e apipool_doubt_known_locked(const apipool_segment_t *segment, apr_uint32_t index,
                                           apr_time_t now, apr_uint64_t *client);

/** Has a probe ask about a key. Returns 0 when that was done just now, or when there is no room. */
int apipool_doubt_note_locked(apipool_segment_t *segment, apr_uint32_t index, apr_uint64_t client,
                              int of_quota, apr_time_t now);

/** The key of a group that a probe asks about next, or APIPOOL_NONE. The probe begins now. */
apr_uint32_t apipool_doubt_next_locked(apipool_segment_t *segment, apr_uint32_t group,
                                       apr_time_t now);

/** A probe has ended: whether the key was accepted, a balance was told, or the upstream failed. */
void apipool_doubt_answered_locked(apipool_segment_t *segment, apr_uint32_t index, int accepted,
                                   int has_balance, int upstream_failed);

/** A request that was lent the key at some time has succeeded with it. */
void apipool_doubt_succeeded_locked(apipool_segment_t *segment, apr_uint32_t index,
                                    apr_time_t lent_at);

/** The key is lost, or an operator has seen to it: there is no doubt any more. */
void apipool_doubt_forget_locked(apipool_segment_t *segment, apr_uint32_t index);

#endif
