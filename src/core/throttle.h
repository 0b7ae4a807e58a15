/* SPDX-License-Identifier: Apache-2.0
 * Pacing of long work, so that it leaves the processor to requests. */
#ifndef APIPOOL_CORE_THROTTLE_H
#define APIPOOL_CORE_THROTTLE_H

/* A thread that computes for milliseconds keeps request threads off its processor: they wake up
 * but wait until its time slice is over, which lasts as long as several requests. Yielding does
 * not help, as a fair scheduler returns the processor to the thread that had less of it;
 * sleeping does. Long work therefore calls in between its steps, and sleeps for a moment
 * whenever it has worked for as long as a request may wait. A thread that has just slept is not
 * preempted either, even with a lock held. For the same reason its priority stays: with a lower
 * one it would get its next turn later. Thread-safe: each thread has its own time. */

#define APIPOOL_THROTTLE_WORK 150 /* microseconds of work at a time */
#define APIPOOL_THROTTLE_REST 50  /* microseconds of sleep; the system adds about as many */

/** Notes that this process serves requests: each child, once. Before that, nothing is paced. */
void apipool_throttle_share(void);

/** Call it between steps of long work that take some microseconds each, without any lock that
 *  requests need. Sleeps if this thread has worked for APIPOOL_THROTTLE_WORK since the last
 *  sleep. */
void apipool_throttle(void);

#endif
