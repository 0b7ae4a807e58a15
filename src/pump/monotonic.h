/* SPDX-License-Identifier: Apache-2.0
 * A clock that nobody sets, for time limits. */
#ifndef APIPOOL_PUMP_MONOTONIC_H
#define APIPOOL_PUMP_MONOTONIC_H

#include <apr_time.h>
#include <time.h>

#ifdef CLOCK_MONOTONIC_COARSE
#define APIPOOL_MONOTONIC CLOCK_MONOTONIC_COARSE
#else
#define APIPOOL_MONOTONIC CLOCK_MONOTONIC
#endif

/** Microseconds since some moment in the past; a tick of the system's clock late at most. */
static inline apr_time_t apipool_monotonic_now(void)
{
    struct timespec now;
    clock_gettime(APIPOOL_MONOTONIC, &now);
    return apr_time_make(now.tv_sec, now.tv_nsec / 1000);
}

#endif
