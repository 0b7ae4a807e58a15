/* SPDX-License-Identifier: Apache-2.0
 * Long work that leaves its processor to others. */
#ifndef APIPOOL_CORE_THROTTLE_H
#define APIPOOL_CORE_THROTTLE_H

/* A thread that computes for milliseconds keeps the threads of requests from its processor: they wake up,
 * and wait until its slice is over, which lasts as long as several requests take. To yield does not help
 * them, since a scheduler that is fair gives the processor back to whoever has had less of it; to sleep does.
 * What works long therefore says so between its steps, and sleeps for a moment whenever it has worked for as
 * long as a request may wait. One that has just slept is not taken off its processor either, wherever it
 * stands, with a lock in its hands as well; for the same reason priorities stay as they are: with a lower one
 * it would take longer to get its turn again. Thread-safe: each thread has its own time. */

#define APIPOOL_THROTTLE_WORK 150 /* microseconds of work at a time */
#define APIPOOL_THROTTLE_REST 50 /* microseconds of sleep, to which the system adds about as many */

/** From now on this process serves requests: each child, once. Nothing is paced before. */
void apipool_throttle_share(void);

/**
 * To be called between the steps of long work, each of which takes some microseconds; without any lock that
 * requests wait for. Sleeps if this thread has worked for APIPOOL_THROTTLE_WORK since it last did.
 */
void apipool_throttle(void);

#endif
