/* SPDX-License-Identifier: Apache-2.0
 * Requests that wait without a thread: the thread goes back to httpd, and a pump moves the bytes.
 * */
#ifndef APIPOOL_PUMP_SUSPEND_H
#define APIPOOL_PUMP_SUSPEND_H

#include "wait.h"

/** Whether this request may wait without its thread: the MPM must be able to wait for it, and all
 *  filters must pass on what they get at once. Called by the request's thread. */
int apipool_suspend_is_possible(const request_rec *r);

/** Suspends a request once its handler has returned SUSPENDED, which it has to do next. From then
 *  on the pump owns request and connection, until resume() of apipool_suspend_register_hooks() is
 *  called. */
void apipool_suspend(apipool_wait_t *wait);

/** How many requests of this process are suspended. */
apr_uint32_t apipool_suspend_count(void);

/**
 * @param resume called by a thread of the MPM when a wait has ended; goes on with the request.
 * Returns what
 *               the handler would have returned, which may be SUSPENDED again.
 */
void apipool_suspend_register_hooks(int (*resume)(request_rec *r));

/** Starts the pumps of a child. Without it no request is suspended. */
apr_status_t apipool_suspend_child_init(apr_pool_t *pchild, server_rec *s);

#endif
