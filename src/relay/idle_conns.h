/* SPDX-License-Identifier: Apache-2.0
 * Idle connections to upstreams, which may close them at any time. */
#ifndef APIPOOL_RELAY_IDLE_CONNS_H
#define APIPOOL_RELAY_IDLE_CONNS_H

#include <mod_proxy.h>

/* Of the whole process; any thread may call. mod_proxy looks at a connection when it takes it out
 * of its pool, so one that its upstream has closed would stay half open until the next request. */

/** A connection goes back into its worker's pool, and stays open. Where processes have one thread,
 *  mod_proxy has no such pool, and nothing is noted. */
void apipool_idle_conns_note(int fd, proxy_worker *worker);

/** A connection is in use. */
void apipool_idle_conns_forget(int fd);

/** Closes those that their upstreams have closed, and those that have been idle for the worker's
 *  ttl. Never waits, unless requests take a worker's last connections at this moment. */
void apipool_idle_conns_sweep(void);

#endif
