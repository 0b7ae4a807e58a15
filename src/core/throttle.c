/* SPDX-License-Identifier: Apache-2.0
 * Pacing of long work, so that it leaves the processor to requests. */
#include "throttle.h"

#include <apr_time.h>

static int shared; /* this process serves requests */

/* Time when this thread last woke up here. After other work, which may have been long, the first
 * step ends with a pause. */
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
