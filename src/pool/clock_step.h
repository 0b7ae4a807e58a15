/* SPDX-License-Identifier: Apache-2.0
 * Steps of the system's clock, which must change no wait. */
#ifndef APIPOOL_POOL_CLOCK_STEP_H
#define APIPOOL_POOL_CLOCK_STEP_H

#include "segment.h"

/** A clock that nobody sets, and that goes on while the system sleeps. */
apr_time_t apipool_clock_steady(void);

/** The time by which the waits of keys and clients go: the system's, but when that was set, as before until
 *  apipool_clock_step() has moved them. No lock. */
apr_time_t apipool_clock_now(const apipool_segment_t *segment);

/**
 * Notes how far the system's clock is ahead of one that nobody sets. When that has changed by more
 * than half a second, the clock was set: the ends of all cooldowns, probes and pauses, and the
 * charges of all limits, move with it. Call it often, in one process at a time. Visits all
 * keys in small steps if the clock was set, otherwise takes no lock.
 * @param ahead difference between the two clocks
 * @param step  result: what the clock was set by; 0: it was not
 */
apr_status_t apipool_clock_step(apipool_segment_t *segment, apr_interval_time_t ahead,
                                apr_interval_time_t *step);

#endif
