/* SPDX-License-Identifier: Apache-2.0
 * What sessions of operators need of all processes: which were ended, who guesses passwords, who watches. */
#ifndef APIPOOL_POOL_SESSIONS_H
#define APIPOOL_POOL_SESSIONS_H

#include "segment.h"

/* Takes the segment's lock unless it says otherwise; callers hold none. Times are parameters.
 *
 * Of sessions that were ended before their time 8192 are remembered; those whose time is over make room for
 * others. Where there is none, the session that ends first is forgotten: whoever has kept its token can use
 * it again until that would have ended anyway.
 *
 * Of addresses, 1024 are remembered by a hash of them. Where there is no room, a new one takes the place of
 * the one with the fewest failures that need not wait now, so that nobody is forgotten who is being held
 * back; and where all are being held back, it is let pass, but not remembered. Whoever has more addresses
 * than there are places is slowed down by bcrypt alone, but cannot lock anybody out.
 *
 * All of them are looked through, which takes a few microseconds when there are as many as can be: that is
 * nothing beside what an operator asks for. */

#define APIPOOL_LOGIN_FAILURES  5 /* that cost nothing but the time to check them */
#define APIPOOL_LOGIN_WAIT_MIN  apr_time_from_sec(1)
#define APIPOOL_LOGIN_WAIT_MAX  apr_time_from_sec(900)
#define APIPOOL_LOGIN_FORGOTTEN apr_time_from_sec(3600) /* without another failure */

/** Ends a session. One whose time is over already needs no place. APR_EINVAL: there is no session 0. */
apr_status_t apipool_sessions_revoke(apipool_segment_t *segment, apr_uint64_t jti, apr_time_t until,
                                     apr_time_t now);

/** Whether that has been done to a session, which is asked of those alone whose time is not over. Session 0,
 *  which nobody has, is none. No lock. */
int apipool_sessions_is_revoked(const apipool_segment_t *segment, apr_uint64_t jti);

/** Until when that is remembered of a session; 0: it has not been done. No lock. */
apr_time_t apipool_sessions_until(const apipool_segment_t *segment, apr_uint64_t jti);

/**
 * Copies those that are still to be remembered, in portions.
 * @param from  where to begin, 0 at first; set to where to go on, APIPOOL_NONE at the end
 * @param rows  result, room for max
 * @param count how many there are; 0 does not mean the end
 */
apr_status_t apipool_sessions_read(apipool_segment_t *segment, apr_time_t now, apr_uint32_t *from,
                                   apipool_revoked_t *rows, apr_uint32_t max, apr_uint32_t *count);

/**
 * Whether a password from that address may be looked at. If so, it counts as wrong until
 * apipool_sessions_login_result tells otherwise, so that many at once get no further than one after the
 * other.
 * @param address a hash
 * @return how long it has to wait; 0: it need not
 */
apr_interval_time_t apipool_sessions_login_wait(apipool_segment_t *segment, apr_uint64_t address,
                                                apr_time_t now);

/** What came of one that has been looked at: a right one ends the wait, but gives nobody another five wrong
 *  ones, so that whoever has a password of his own cannot guess another's in between; the time to wait after
 *  a wrong one begins now. */
void apipool_sessions_login_result(apipool_segment_t *segment, apr_uint64_t address, int right,
                                   apr_time_t now);

/**
 * Lets a viewer in, in this process's name.
 * @param place a number of the caller's for what is watched
 * @param max   how many may watch that, over all processes
 * @return 0 when as many do, or 1024 in all places together
 */
int apipool_sessions_viewer_enter(apipool_segment_t *segment, apr_uint64_t place, int max);

/** Tells that one of this process has left that place. */
void apipool_sessions_viewer_leave(apipool_segment_t *segment, apr_uint64_t place);

/** Private to src/memory and src/pool, the caller holds the lock: forgets the viewers of a process that
 *  ended, all when process is 0. */
void apipool_sessions_reclaim_locked(apipool_segment_t *segment, apr_uint32_t process);

#endif
