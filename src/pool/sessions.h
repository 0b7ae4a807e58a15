/* SPDX-License-Identifier: Apache-2.0
 * Shared state of operators' sessions: ended sessions, wrong passwords, viewers of events. */
#ifndef APIPOOL_POOL_SESSIONS_H
#define APIPOOL_POOL_SESSIONS_H

#include "segment.h"

/* Functions take the segment's lock unless they say otherwise; callers hold none. Times are
 * parameters.
 *
 * 8,192 ended sessions are remembered; expired ones make room. If there is no room, the session
 * that expires first is forgotten: its token works again until then.
 *
 * 1,024 addresses are remembered by hash. If there is no room, a new address replaces the one
 * with the fewest failures that need not wait now, so that no address that has to wait is
 * forgotten. If all have to wait, the new address passes, but is not remembered. An attacker
 * with more addresses than that is only slowed down by bcrypt, but cannot lock others out.
 *
 * Searches are linear. At full size they take a few microseconds, which does not matter for what
 * operators do. */

#define APIPOOL_LOGIN_FAILURES  5 /* wrong passwords before an address has to wait */
#define APIPOOL_LOGIN_WAIT_MIN  apr_time_from_sec(1)
#define APIPOOL_LOGIN_WAIT_MAX  apr_time_from_sec(900)
#define APIPOOL_LOGIN_FORGOTTEN apr_time_from_sec(3600) /* after the last failure */

/** Ends a session. An expired session needs no place. APR_EINVAL: session 0 does not exist. */
apr_status_t apipool_sessions_revoke(apipool_segment_t *segment, apr_uint64_t jti, apr_time_t until,
                                     apr_time_t now);

/** Returns 1 if an unexpired session was ended; 0 for session 0, which does not exist. No lock. */
int apipool_sessions_is_revoked(const apipool_segment_t *segment, apr_uint64_t jti);

/** Time until which an ended session is remembered; 0: it was not ended. No lock. */
apr_time_t apipool_sessions_until(const apipool_segment_t *segment, apr_uint64_t jti);

/**
 * Copies the ended sessions that have not expired, in portions.
 * @param from  where to begin, 0 at first; set to where to go on, APIPOOL_NONE at the end
 * @param rows  result, room for max
 * @param count number of sessions; 0 does not mean the end
 */
apr_status_t apipool_sessions_read(apipool_segment_t *segment, apr_time_t now, apr_uint32_t *from,
                                   apipool_revoked_t *rows, apr_uint32_t max, apr_uint32_t *count);

/**
 * Asks if a password from an address may be checked. If so, it counts as wrong until
 * apipool_sessions_login_result is called, so that simultaneous tries get no further than
 * sequential ones.
 * @param address hash
 * @return how long the address has to wait; 0: not at all
 */
apr_interval_time_t apipool_sessions_login_wait(apipool_segment_t *segment, apr_uint64_t address,
                                                apr_time_t now);

/** Notes the result of a checked password. A right one ends the wait but does not allow five
 *  more wrong ones, so that an attacker with a valid password cannot use it to guess another
 *  one. The wait after a wrong one begins now. */
void apipool_sessions_login_result(apipool_segment_t *segment, apr_uint64_t address, int right,
                                   apr_time_t now);

/**
 * Admits a viewer for this process.
 * @param place caller's number of the location that is watched
 * @param max   viewers allowed there, over all processes
 * @return 0 if that many watch it, or 1,024 watch all locations together
 */
int apipool_sessions_viewer_enter(apipool_segment_t *segment, apr_uint64_t place, int max);

/** Notes that a viewer of this process has left that location. */
void apipool_sessions_viewer_leave(apipool_segment_t *segment, apr_uint64_t place);

/** Removes the viewers of a process that died, or all when process is 0. Private to src/memory
 *  and src/pool; the caller holds the lock. */
void apipool_sessions_reclaim_locked(apipool_segment_t *segment, apr_uint32_t process);

#endif
