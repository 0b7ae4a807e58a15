/* SPDX-License-Identifier: Apache-2.0
 * Saving of statistics in a thread of its own when they are due. */
#ifndef APIPOOL_UPKEEP_SAVER_H
#define APIPOOL_UPKEEP_SAVER_H

#include "upkeep.h"

/* Job of the clock. */

/** Starts a save if one is due and none is running. Does not block. */
void apipool_saver_run(apipool_upkeep_t *upkeep, apr_time_t now);

/** Waits for the running save. */
void apipool_saver_stop(apipool_upkeep_t *upkeep);

#endif
