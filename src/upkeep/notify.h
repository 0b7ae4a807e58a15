/* SPDX-License-Identifier: Apache-2.0
 * Tells a program of the operator's what has happened. */
#ifndef APIPOOL_UPKEEP_NOTIFY_H
#define APIPOOL_UPKEEP_NOTIFY_H

#include "upkeep.h"

/* Job of the clock. One program runs at a time. What happens meanwhile waits in shared memory,
 * unbounded and without a queue: see watch.h. */

/** Looks after the running program; if there is none, starts it for the next event. Does not
 *  block. */
void apipool_notify_run(apipool_upkeep_t *upkeep, apr_time_t now, apr_pool_t *scratch);

/** Ends the running program, which has two more seconds. */
void apipool_notify_stop(apipool_upkeep_t *upkeep);

#endif
