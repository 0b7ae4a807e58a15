/* SPDX-License-Identifier: Apache-2.0
 * Life cycle of the segment, its locks and the store: created at the first start, adopted by
 * restarts. */
#ifndef APIPOOL_LIFECYCLE_H
#define APIPOOL_LIFECYCLE_H

#include "config.h"
#include "store.h"

/**
 * Creates the segment, or adopts that of an earlier generation; opens the store if there are
 * pools, and loads its keys and statistics into a new segment: parent, in post_config. The
 * cleanup of pconf, at a restart or stop, saves statistics. A store that cannot be used is no
 * failure: it is logged, and stays as it is; see apipool_lifecycle_fault().
 * @param pconf life time of the generation
 * @return the segment; NULL after a log message
 */
apipool_segment_t *apipool_lifecycle_open(apr_pool_t *pconf, server_rec *main_server);

/** Keep out other writers while key files are imported: parent. Children of an earlier
 *  generation may be changing keys. hold returns 0 if there is no store: no key may be added. */
int apipool_lifecycle_hold(apr_pool_t *pconf, server_rec *main_server, apr_pool_t *scratch);
void apipool_lifecycle_release(void);

/** Completes the start of the store, which saves new keys of key files, and warns of keys that
 *  no upstream uses: parent, when all pools are attached. A failed save is repeated with the
 *  statistics. */
void apipool_lifecycle_keep_keys(server_rec *main_server, apr_pool_t *scratch);

/** Logs, once, that a process has died while it changed the segment: parent. The rebuild itself
 *  runs under the lock, where nothing can be logged. */
void apipool_lifecycle_note_repairs(server_rec *main_server);

/** Makes the locks usable: each child, once. */
apr_status_t apipool_lifecycle_enter(apr_pool_t *pchild);

/** Segment of this generation; NULL before there is one. */
apipool_segment_t *apipool_lifecycle_segment(void);

/** The time by which all waits go, see apipool_clock_now(); the system's while there is no segment.
 *  No lock. */
apr_time_t apipool_lifecycle_now(void);

/** Store of this generation; NULL without pools, or if it cannot be used. */
apipool_store_t *apipool_lifecycle_store(void);

/** Sentence on why there are pools, but no store, and what follows from that; NULL if it is not
 *  so. */
const char *apipool_lifecycle_fault(void);

/** Returns 1 if that leaves the pools without their keys: all requests are refused. Otherwise
 *  memory has them from before a restart. */
int apipool_lifecycle_is_out(void);

/** Looks at the secret and the store as a start would, and logs what is wrong: httpd -t. Changes
 *  nothing. */
void apipool_lifecycle_look(server_rec *main_server, apr_pool_t *pool);

/** Calls apipool_store_change() for this generation's store, and logs a failed write. Any
 *  process. */
apr_status_t apipool_lifecycle_change(const apipool_store_change_t *change, const char **error,
                                      apr_pool_t *p);

/** Saves statistics, and keys that could not be saved before; logs failures once a minute over
 *  all processes. Any process. */
void apipool_lifecycle_save(server_rec *main_server, apr_pool_t *scratch);

#endif
