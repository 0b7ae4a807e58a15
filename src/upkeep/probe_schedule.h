/* SPDX-License-Identifier: Apache-2.0
 * Schedule of probes: which keys are due, with limits for threads and for probes per host. */
#ifndef APIPOOL_UPKEEP_PROBE_SCHEDULE_H
#define APIPOOL_UPKEEP_PROBE_SCHEDULE_H

#include "upkeep.h"

/* Job of the clock. At most eight probes run at once, and one at a host that fails. */

/** Prepares for probes; the first call in a process that has become the singleton. */
apr_status_t apipool_probe_schedule_start(apipool_upkeep_t *upkeep);

/** Starts probes for keys that are due; each thread goes on while more are due. Does not block. */
void apipool_probe_schedule_run(apipool_upkeep_t *upkeep, apr_time_t now);

/** Stops all probes and waits for their threads. */
void apipool_probe_schedule_stop(apipool_upkeep_t *upkeep);

#endif
