/* SPDX-License-Identifier: Apache-2.0
 * Long work that leaves its processor to others. */
#include "throttle.h"

#include <apr_time.h>

static int shared; /* by requests, of this process */

/* When this thread last woke up, as far as is known; of one that has done something else meanwhile, which
 * may have been long, the first step ends with a pause. */
static __thread apr_time_t awake_since;

void apipool_throttle_share(void)
{
    shared = 1;
}

void apipool_throttle(void)
{
    if (!shared) {
        return;
    }
    apr_time_t worked = apr_time_now() - awake_since;
    if (worked >= APIPOOL_THROTTLE_WORK || worked < 0) {
        apr_sleep(APIPOOL_THROTTLE_REST);
        awake_since = apr_time_now();
    }
}
