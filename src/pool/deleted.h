/* SPDX-License-Identifier: Apache-2.0
 * Deletions that key files must not undo: ids of keys that an operator deleted. */
#ifndef APIPOOL_POOL_DELETED_H
#define APIPOOL_POOL_DELETED_H

#include "pool.h"

/* A deletion counts as long as its pool does not have the key: adding the key again lifts it.
 * There is room for twice as many deletions as keys.
 *
 * Only the single writer of the store calls these functions, so the rows need no lock of their
 * own. A process that is killed in between leaves every row that it did not mean to drop. */

/** Number of rows. */
apr_uint32_t apipool_deleted_count(const apipool_segment_t *segment);

/** Number of rows that can still be added. */
apr_uint32_t apipool_deleted_room(const apipool_segment_t *segment);

/** All rows, in the order in which they were added. */
const apipool_deletion_t *apipool_deleted_rows(const apipool_segment_t *segment);

/** Notes a deletion. Returns 0 if there is no room. */
int apipool_deleted_add(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t id);

/** Drops all rows but those for which stays() returns 1. */
void apipool_deleted_keep(apipool_segment_t *segment,
                          int (*stays)(void *ctx, const apipool_deletion_t *row), void *ctx);

/** Returns 1 if a deletion counts, because the pool does not have the key. Takes the segment's
 *  lock; without it, every deletion counts. */
int apipool_deleted_counts(apipool_segment_t *segment, const apipool_deletion_t *row);

/** Drops the deletions of keys that were added again. */
void apipool_deleted_drop_lifted(apipool_segment_t *segment);

#endif
