/* SPDX-License-Identifier: Apache-2.0
 * Saving of statistics in a thread of its own when they are due. */
#include "saver.h"

#include <apr_thread_proc.h>

#include "lifecycle.h"

/* For the singleton process; only the watchdog's thread uses them, except for busy. */
static apr_pool_t *pool; /* of the running or last save */
static apr_thread_t *thread;
static int busy;

static void *APR_THREAD_FUNC save(apr_thread_t *self, void *data)
{
    apipool_upkeep_t *upkeep = data;
    apipool_lifecycle_save(upkeep->server, apr_thread_pool_get(self));
    __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
    return NULL;
}

void apipool_saver_stop(apipool_upkeep_t *upkeep)
{
    apr_status_t ignored;
    if (thread) {
        apr_thread_join(&ignored, thread);
        apr_pool_destroy(pool);
        thread = NULL;
    }
}

/* The pool has an allocator of its own, as no other thread may use it meanwhile. */
void apipool_saver_run(apipool_upkeep_t *upkeep, apr_time_t now)
{
    apr_allocator_t *allocator;
    apipool_store_t *store = apipool_lifecycle_store();
    if (!store || __atomic_load_n(&busy, __ATOMIC_ACQUIRE) || !apipool_store_is_due(store, now)) {
        return;
    }
    apipool_saver_stop(upkeep);
    apr_status_t rv = apr_allocator_create(&allocator);
    if (rv == APR_SUCCESS) {
        rv = apr_pool_create_ex(&pool, NULL, NULL, allocator);
    }
    if (rv == APR_SUCCESS) {
        apr_allocator_owner_set(allocator, pool);
        busy = 1;
        rv = apr_thread_create(&thread, NULL, save, upkeep, pool);
    }
    if (rv != APR_SUCCESS) {
        busy = 0;
        thread = NULL;
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, upkeep->server,
                     APIPOOL_LOG(0058) "could not start saving statistics");
    }
}
