/* SPDX-License-Identifier: Apache-2.0
 * Deletions that key files must not undo: ids of keys that an operator deleted. */
#include "deleted.h"

#include "keys.h"
#include "segment_layout.h"
#include "throttle.h"

apr_uint32_t apipool_deleted_count(const apipool_segment_t *segment)
{
    return __atomic_load_n(&segment->header->deletions_used, __ATOMIC_ACQUIRE);
}

apr_uint32_t apipool_deleted_room(const apipool_segment_t *segment)
{
    return apipool_segment_deletions_max(segment->header->capacity) -
           apipool_deleted_count(segment);
}

const apipool_deletion_t *apipool_deleted_rows(const apipool_segment_t *segment)
{
    return segment->deletions;
}

int apipool_deleted_add(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t id)
{
    apr_uint32_t used = apipool_deleted_count(segment);
    if (!apipool_deleted_room(segment)) {
        return 0;
    }
    segment->deletions[used] = (apipool_deletion_t){.id = id, .pool = pool};
    __atomic_store_n(&segment->header->deletions_used, used + 1, __ATOMIC_RELEASE);
    return 1;
}

void apipool_deleted_keep(apipool_segment_t *segment,
                          int (*stays)(void *ctx, const apipool_deletion_t *row), void *ctx)
{
    apr_uint32_t used = apipool_deleted_count(segment), kept = 0;
    for (apr_uint32_t i = 0; i < used; i++) {
        if (stays(ctx, &segment->deletions[i])) {
            segment->deletions[kept++] = segment->deletions[i];
        }
        apipool_throttle();
    }
    __atomic_store_n(&segment->header->deletions_used, kept, __ATOMIC_RELEASE);
    __atomic_add_fetch(&segment->header->store.changes, kept < used, __ATOMIC_RELAXED);
}

int apipool_deleted_counts(apipool_segment_t *segment, const apipool_deletion_t *row)
{
    if (apipool_segment_lock(segment) != APR_SUCCESS) {
        return 1;
    }
    int is_away = apipool_pool_find_locked(segment, row->pool, row->id) == APIPOOL_NONE;
    apipool_segment_unlock(segment);
    return is_away;
}

static int is_not_lifted(void *segment, const apipool_deletion_t *row)
{
    return apipool_deleted_counts(segment, row);
}

void apipool_deleted_drop_lifted(apipool_segment_t *segment)
{
    apipool_deleted_keep(segment, is_not_lifted, segment);
}
