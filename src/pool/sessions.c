/* SPDX-License-Identifier: Apache-2.0
 * Shared state of operators' sessions: ended sessions, wrong passwords, viewers of events. */
#include "sessions.h"

#include "fault.h"
#include "segment_layout.h"

/* --- Sessions that were ended early ----------------------------------------------------------- */

/* Number of places to look at. */
static apr_uint32_t used_places(const apipool_segment_t *segment)
{
    return __atomic_load_n(&segment->sessions->revoked_used, __ATOMIC_ACQUIRE);
}

/* Returns the session's own place, else an expired one, a new one, or the one that expires
 * first. */
static apipool_revoked_t *choose_revoked(const apipool_segment_t *segment, apr_uint64_t jti,
                                         apr_time_t now)
{
    apipool_revoked_t *all = segment->sessions->revoked, *first = NULL;
    apr_uint32_t used = used_places(segment);
    for (apr_uint32_t i = 0; i < used; i++) {
        if (all[i].jti == jti) {
            return &all[i];
        }
        first = !first || all[i].until < first->until ? &all[i] : first;
    }
    int is_needed = !first || first->until > now;
    return is_needed && used < APIPOOL_REVOKED_MAX ? &all[used] : first;
}

/* A process killed in between has only extended the entry that was there before. */
apr_status_t apipool_sessions_revoke(apipool_segment_t *segment, apr_uint64_t jti, apr_time_t until,
                                     apr_time_t now)
{
    if (!jti) {
        return APR_EINVAL;
    }
    if (until <= now) {
        return APR_SUCCESS;
    }
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apipool_sessions_t *sessions = segment->sessions;
    apipool_revoked_t *place = choose_revoked(segment, jti, now);
    place->until = place->jti == jti && place->until > until ? place->until : until;
    APIPOOL_FAULT("revoke-unnamed");
    APIPOOL_IN_ORDER();
    __atomic_store_n(&place->jti, jti, __ATOMIC_RELAXED);
    if (place == &sessions->revoked[sessions->revoked_used]) {
        __atomic_store_n(&sessions->revoked_used, sessions->revoked_used + 1, __ATOMIC_RELEASE);
    }
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}

static const apipool_revoked_t *find_revoked(const apipool_segment_t *segment, apr_uint64_t jti)
{
    const apipool_revoked_t *all = segment->sessions->revoked;
    for (apr_uint32_t i = 0, used = used_places(segment); i < used; i++) {
        if (__atomic_load_n(&all[i].jti, __ATOMIC_RELAXED) == jti) {
            return &all[i];
        }
    }
    return NULL;
}

int apipool_sessions_is_revoked(const apipool_segment_t *segment, apr_uint64_t jti)
{
    return !jti || find_revoked(segment, jti);
}

apr_time_t apipool_sessions_until(const apipool_segment_t *segment, apr_uint64_t jti)
{
    const apipool_revoked_t *place = jti ? find_revoked(segment, jti) : NULL;
    return place ? __atomic_load_n(&place->until, __ATOMIC_RELAXED) : 0;
}

apr_status_t apipool_sessions_read(apipool_segment_t *segment, apr_time_t now, apr_uint32_t *from,
                                   apipool_revoked_t *rows, apr_uint32_t max, apr_uint32_t *count)
{
    apr_status_t rv = apipool_segment_lock(segment);
    *count = 0;
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_uint32_t used = used_places(segment), i = *from;
    for (; i < used && i - *from < max; i++) {
        const apipool_revoked_t *place = &segment->sessions->revoked[i];
        if (place->until > now) {
            rows[(*count)++] = *place;
        }
    }
    *from = i < used ? i : APIPOOL_NONE;
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}

/* --- Wrong passwords -------------------------------------------------------------------------- */

static apr_interval_time_t wait_after(apr_uint32_t failures)
{
    if (failures < APIPOOL_LOGIN_FAILURES) {
        return 0;
    }
    apr_uint32_t doublings = failures - APIPOOL_LOGIN_FAILURES;
    apr_interval_time_t wait = APIPOOL_LOGIN_WAIT_MIN << (doublings < 16 ? doublings : 16);
    return wait < APIPOOL_LOGIN_WAIT_MAX ? wait : APIPOOL_LOGIN_WAIT_MAX;
}

/* A failure an hour or more in the future was noted by another clock. */
static int is_forgotten(const apipool_guesser_t *guesser, apr_time_t now)
{
    return !guesser->failures || guesser->failed_at <= now - APIPOOL_LOGIN_FORGOTTEN ||
           guesser->failed_at >= now + APIPOOL_LOGIN_FORGOTTEN;
}

/* Never more than the full wait, even if the clock was set back. */
static apr_interval_time_t left_to_wait(const apipool_guesser_t *guesser, apr_time_t now)
{
    apr_interval_time_t wait = wait_after(guesser->failures);
    apr_interval_time_t left = guesser->failed_at + wait - now;
    return left < 0 ? 0 : left < wait ? left : wait;
}

static apipool_guesser_t *find_guesser(const apipool_segment_t *segment, apr_uint64_t address,
                                       apr_time_t now)
{
    apipool_guesser_t *guessers = segment->sessions->guessers;
    for (int i = 0; i < APIPOOL_GUESSERS_MAX; i++) {
        if (guessers[i].address == address && !is_forgotten(&guessers[i], now)) {
            return &guessers[i];
        }
    }
    return NULL;
}

/* Returns 1 if a should be replaced rather than b: addresses that have to wait are kept first. */
static int is_worth_less(const apipool_guesser_t *a, const apipool_guesser_t *b, apr_time_t now)
{
    int waits = left_to_wait(a, now) > 0;
    if (waits != (left_to_wait(b, now) > 0)) {
        return !waits;
    }
    return a->failures != b->failures ? a->failures < b->failures : a->failed_at < b->failed_at;
}

/* Chooses a place to reuse. An attacker with more addresses than places displaces one that has
 * to wait; if no address were counted then, a single one could try forever. */
static apipool_guesser_t *choose_guesser(const apipool_segment_t *segment, apr_time_t now)
{
    apipool_guesser_t *chosen = &segment->sessions->guessers[0];
    for (int i = 0; i < APIPOOL_GUESSERS_MAX && !is_forgotten(chosen, now); i++) {
        apipool_guesser_t *guesser = &segment->sessions->guessers[i];
        if (is_forgotten(guesser, now) || is_worth_less(guesser, chosen, now)) {
            chosen = guesser;
        }
    }
    return chosen;
}

static void fail_once(apipool_segment_t *segment, apr_uint64_t address, apr_time_t now)
{
    apipool_guesser_t *known = find_guesser(segment, address, now);
    apipool_guesser_t *guesser = known ? known : choose_guesser(segment, now);
    if (!known) {
        guesser->failures = 0;
        APIPOOL_IN_ORDER(); /* a half-written entry has no failures */
        guesser->address = address;
    }
    guesser->failed_at = now;
    APIPOOL_FAULT("guess-uncounted");
    APIPOOL_IN_ORDER();
    guesser->failures += guesser->failures < APR_UINT32_MAX;
}

apr_interval_time_t apipool_sessions_login_wait(apipool_segment_t *segment, apr_uint64_t address,
                                                apr_time_t now)
{
    if (apipool_segment_lock(segment) != APR_SUCCESS) {
        return APIPOOL_LOGIN_WAIT_MIN;
    }
    const apipool_guesser_t *guesser = find_guesser(segment, address, now);
    apr_interval_time_t left = guesser ? left_to_wait(guesser, now) : 0;
    if (!left) {
        fail_once(segment, address, now);
    }
    apipool_segment_unlock(segment);
    return left;
}

void apipool_sessions_login_result(apipool_segment_t *segment, apr_uint64_t address, int right,
                                   apr_time_t now)
{
    if (apipool_segment_lock(segment) != APR_SUCCESS) {
        return;
    }
    apipool_guesser_t *guesser = find_guesser(segment, address, now);
    /* The right password was counted as a failure, too. Earlier failures beyond the free ones
     * are forgiven. */
    if (guesser && right) {
        guesser->failures = guesser->failures < APIPOOL_LOGIN_FAILURES
                                ? guesser->failures - (guesser->failures > 0)
                                : APIPOOL_LOGIN_FAILURES - 1;
    }
    else if (guesser) {
        guesser->failed_at = now;
    }
    apipool_segment_unlock(segment);
}

/* --- Viewers ---------------------------------------------------------------------------------- */

int apipool_sessions_viewer_enter(apipool_segment_t *segment, apr_uint64_t place, int max)
{
    if (apipool_segment_lock(segment) != APR_SUCCESS) {
        return 0;
    }
    apipool_viewer_t *viewers = segment->sessions->viewers, *own = NULL;
    int count = 0;
    for (apr_uint32_t i = 0; i < APIPOOL_VIEWERS_MAX; i++) {
        count += viewers[i].process && viewers[i].place == place;
        own = !own && !viewers[i].process ? &viewers[i] : own;
    }
    own = count < max ? own : NULL;
    if (own) {
        own->place = place;
        APIPOOL_FAULT("viewer-unnamed");
        APIPOOL_IN_ORDER(); /* the process puts the entry in use */
        own->process = segment->process;
    }
    apipool_segment_unlock(segment);
    return own != NULL;
}

void apipool_sessions_viewer_leave(apipool_segment_t *segment, apr_uint64_t place)
{
    if (apipool_segment_lock(segment) != APR_SUCCESS) {
        return;
    }
    for (apr_uint32_t i = 0; i < APIPOOL_VIEWERS_MAX; i++) {
        apipool_viewer_t *viewer = &segment->sessions->viewers[i];
        if (viewer->process == segment->process && viewer->place == place) {
            viewer->process = 0;
            break;
        }
    }
    apipool_segment_unlock(segment);
}

void apipool_sessions_reclaim_locked(apipool_segment_t *segment, apr_uint32_t process)
{
    for (apr_uint32_t i = 0; i < APIPOOL_VIEWERS_MAX; i++) {
        apipool_viewer_t *viewer = &segment->sessions->viewers[i];
        viewer->process = !process || viewer->process == process ? 0 : viewer->process;
    }
}
