/* SPDX-License-Identifier: Apache-2.0
 * What lasts: the segment, its locks and the store, made at the first start and adopted by restarts. */
#ifndef APIPOOL_LIFECYCLE_H
#define APIPOOL_LIFECYCLE_H

#include "config.h"
#include "store.h"

/**
 * Makes the segment, or adopts that of an earlier generation; opens the store if there are pools, and puts
 * its keys and statistics into the segment when that is new: parent, in post_config. When the configuration
 * goes, at a restart or a stop, statistics are saved.
 * @param pconf as long as the generation
 * @return the segment; NULL after a message that says what is wrong
 */
apipool_segment_t *apipool_lifecycle_open(apr_pool_t *pconf, server_rec *main_server);

/** Keeps other writers out while key files are imported: parent. Old children may be changing keys. */
apr_status_t apipool_lifecycle_hold(server_rec *main_server, apr_pool_t *scratch);
void apipool_lifecycle_release(void);

/** Settles the store, which writes the keys down if key files have brought new ones, and tells which keys no
 *  upstream uses: parent, when all pools are attached. What cannot be written is tried again with the
 *  statistics. */
void apipool_lifecycle_keep_keys(server_rec *main_server, apr_pool_t *scratch);

/** Tells that a process has died while it changed the segment, once: parent. Repairs are made under the lock,
 *  where nothing can be logged. */
void apipool_lifecycle_note_repairs(server_rec *main_server);

/** Makes the locks usable: each child, once. */
apr_status_t apipool_lifecycle_enter(apr_pool_t *pchild);

/** The segment of this generation; NULL before there is one. */
apipool_segment_t *apipool_lifecycle_segment(void);

/** The store of this generation; NULL where there are no pools. */
apipool_store_t *apipool_lifecycle_store(void);

/** apipool_store_change() of this generation's store; a failure is told as those of saves are. Any
 *  process. */
apr_status_t apipool_lifecycle_change(const apipool_store_change_t *change, const char **error,
                                      apr_pool_t *p);

/** Saves statistics, and keys that could not be saved before; tells what is wrong, but once a minute over all
 *  processes. Any process. */
void apipool_lifecycle_save(server_rec *main_server, apr_pool_t *scratch);

#endif
