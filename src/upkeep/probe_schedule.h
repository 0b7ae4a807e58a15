/* SPDX-License-Identifier: Apache-2.0
 * Which keys are asked about now, by how many threads, and how many at one host. */
#ifndef APIPOOL_UPKEEP_PROBE_SCHEDULE_H
#define APIPOOL_UPKEEP_PROBE_SCHEDULE_H

#include "upkeep.h"

/* A job of the tick. At most eight probes are under way, and at most one at a host that fails. */

/** Makes what probes need; the first call in a process that has become the singleton. */
apr_status_t apipool_probe_schedule_start(apipool_upkeep_t *upkeep);

/** Begins probes for keys that are due; those that end go on with what is due then. Does not block. */
void apipool_probe_schedule_run(apipool_upkeep_t *upkeep, apr_time_t now);

/** Ends all probes, and waits for their threads. */
void apipool_probe_schedule_stop(apipool_upkeep_t *upkeep);

#endif
