/* SPDX-License-Identifier: Apache-2.0
 * Steps of the system's clock, which must change no wait. */
#include "clock_step.h"

#include <time.h>

#include "members.h"
#include "slots.h"

#ifdef CLOCK_BOOTTIME
#define STEADY CLOCK_BOOTTIME
#else
#define STEADY CLOCK_MONOTONIC
#endif

#define TOLERANCE apr_time_from_msec(500)
#define BATCH     64 /* keys or clients per lock */

apr_time_t apipool_clock_steady(void)
{
    struct timespec now;
    clock_gettime(STEADY, &now);
    return apr_time_make(now.tv_sec, now.tv_nsec / 1000);
}

apr_time_t apipool_clock_now(const apipool_segment_t *segment)
{
    apr_interval_time_t ahead = __atomic_load_n(&segment->header->clock_ahead, __ATOMIC_RELAXED);
    return ahead ? apipool_clock_steady() + ahead : apr_time_now();
}

static void shift(apr_time_t *time, apr_interval_time_t step)
{
    *time += *time ? step : 0; /* 0 stands for no time */
}

static void shift_slot(apipool_segment_t *segment, apr_uint32_t index, apr_interval_time_t step)
{
    apipool_slot_t *slot = &segment->slots[index];
    if (!slot->id) {
        return;
    }
    shift(&slot->last_used_at, step);
    shift(&slot->last_error_at, step);
    shift(&slot->limited_at, step);
    shift(&slot->rests_until, step);
    shift(&slot->headroom_until, step);
    shift(&slot->served_at, step);
    shift(&slot->refused_at, step);
    shift(&slot->failed_since, step);
    for (int i = 0; i < APIPOOL_WINDOWS; i++) {
        apipool_window_shift(&slot->windows[i], apipool_window_span(i), step);
    }
    apipool_members_shift_locked(segment, index, step);
}

static void shift_client(apipool_segment_t *segment, apr_uint32_t index, apr_interval_time_t step)
{
    apipool_window_t *windows = segment->clients.slots[index].windows;
    apipool_window_shift(&windows[APIPOOL_CLIENT_RPM], APIPOOL_WINDOW_MINUTE, step);
    apipool_window_shift(&windows[APIPOOL_CLIENT_TPM], APIPOOL_WINDOW_MINUTE, step);
    apipool_window_shift(&windows[APIPOOL_CLIENT_TPD], APIPOOL_WINDOW_DAY, step);
}

static void shift_breaker(apipool_breaker_t *breaker, apr_interval_time_t step)
{
    shift(&breaker->since, step);
    shift(&breaker->paused_until, step);
    shift(&breaker->named, step);
}

static void shift_upstream(apipool_segment_t *segment, apr_uint32_t index, apr_interval_time_t step)
{
    apipool_upstream_t *u = &segment->upstreams[index];
    shift_breaker(&u->faults, step);
    shift_breaker(&u->refusals, step);
    for (int i = 0; i < APIPOOL_FAULT_MODELS; i++) {
        shift(&u->model_faults[i].at, step);
        shift(&u->model_faults[i].served_at, step);
        shift_breaker(&u->model_faults[i].breaker, step);
    }
    shift(&u->walked_since, step);
    if (u->refuses_usage != APIPOOL_ACCEPTS_USAGE) {
        shift(&u->refuses_usage, step);
    }
    for (int i = 0; i < APIPOOL_DOUBTS; i++) {
        shift(&u->doubts[i].asked_at, step);
    }
}

static void shift_account_limit(apipool_segment_t *segment, apr_uint32_t index,
                                apr_interval_time_t step)
{
    shift(&segment->account_limits[index].begun_at, step);
    shift(&segment->account_limits[index].until, step);
}

static void shift_holder(apipool_segment_t *segment, apr_uint32_t index, apr_interval_time_t step)
{
    shift(&segment->holders[index].at, step);
}

/* Visits all places of a table. */
static apr_status_t shift_all(apipool_segment_t *segment, const apr_uint32_t *used,
                              void (*one)(apipool_segment_t *, apr_uint32_t, apr_interval_time_t),
                              apr_interval_time_t step)
{
    for (apr_uint32_t i = 0; i < __atomic_load_n(used, __ATOMIC_RELAXED);) {
        apr_status_t rv = apipool_segment_lock(segment);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        for (apr_uint32_t end = i + BATCH; i < end && i < *used; i++) {
            one(segment, i, step);
        }
        apipool_segment_unlock(segment);
        apipool_segment_give_way(segment);
    }
    return APR_SUCCESS;
}

static apr_status_t shift_everything(apipool_segment_t *segment, apr_interval_time_t by)
{
    apipool_header_t *header = segment->header;
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv == APR_SUCCESS) {
        shift(&header->account_limits_until, by);
        apipool_segment_unlock(segment);
        rv = shift_all(segment, &header->account_limits.used, shift_account_limit, by);
    }
    rv = rv == APR_SUCCESS ? shift_all(segment, &header->holders.used, shift_holder, by) : rv;
    rv = rv == APR_SUCCESS ? shift_all(segment, &header->slots.used, shift_slot, by) : rv;
    rv = rv == APR_SUCCESS ? shift_all(segment, &header->upstreams_used, shift_upstream, by) : rv;
    return rv == APR_SUCCESS
               ? shift_all(segment, &segment->clients.head->by_digest.used, shift_client, by)
               : rv;
}

apr_status_t apipool_clock_step(apipool_segment_t *segment, apr_interval_time_t ahead,
                                apr_interval_time_t *step)
{
    apr_interval_time_t *known = &segment->header->clock_ahead, by = *known ? ahead - *known : 0;
    apr_status_t rv = APR_SUCCESS;
    *step = by > TOLERANCE || by < -TOLERANCE ? by : 0;
    if (*step > 0) { /* what is moved ends too late for a moment, never too early */
        rv = shift_everything(segment, by);
    }
    __atomic_store_n(known, ahead, __ATOMIC_RELAXED);
    return *step < 0 ? shift_everything(segment, by) : rv;
}
