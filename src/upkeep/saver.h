/* SPDX-License-Identifier: Apache-2.0
 * Saves statistics when it is time, in a thread of its own. */
#ifndef APIPOOL_UPKEEP_SAVER_H
#define APIPOOL_UPKEEP_SAVER_H

#include "upkeep.h"

/* A job of the tick. */

/** Begins a save when one is due and none is under way. Does not block. */
void apipool_saver_run(apipool_upkeep_t *upkeep, apr_time_t now);

/** Waits for the save that is under way. */
void apipool_saver_stop(apipool_upkeep_t *upkeep);

#endif
