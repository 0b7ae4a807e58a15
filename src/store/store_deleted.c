/* SPDX-License-Identifier: Apache-2.0
 * Deletions that key files must not undo, as records. */
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "deleted.h"
#include "store_parts.h"

/* Members with their tags; core/record.h tells what may change. The id is in the record's name. */
#define MEMBER APIPOOL_RECORD_MEMBER
static const apipool_record_member_t members[] = {
    MEMBER(1, APIPOOL_AS_TEXT, apipool_stored_deletion_t, server, char),
    MEMBER(2, APIPOOL_AS_TEXT, apipool_stored_deletion_t, pool, char),
    {0}};

void apipool_store_write_deletion(apipool_saving_t *saving, apr_uint32_t pool, apr_uint64_t id)
{
    const apipool_pool_t *of = &saving->store->segment->pools[pool];
    apipool_stored_deletion_t stored = {.id = id};
    char name[APIPOOL_STORE_NAME_SIZE];
    apr_cpystrn(stored.server, of->server, sizeof(stored.server));
    apr_cpystrn(stored.pool, of->name, sizeof(stored.pool));
    apipool_store_key_name(name, id, stored.server, stored.pool);
    *name = APIPOOL_STORE_OF_DELETION;
    apipool_record_put_members(apipool_saving_begin(saving), members, &stored);
    apipool_saving_put(saving, name);
}

void apipool_store_write_deletions(apipool_saving_t *saving)
{
    apipool_segment_t *segment = saving->store->segment;
    const apipool_deletion_t *rows = apipool_deleted_rows(segment);
    for (apr_uint32_t i = 0; i < apipool_deleted_count(segment); i++) {
        if (apipool_deleted_counts(segment, &rows[i])) {
            apipool_store_write_deletion(saving, rows[i].pool, rows[i].id);
        }
    }
}

int apipool_store_read_deletion(apr_uint64_t id, const char *value, apr_size_t len,
                                apr_array_header_t *deletions)
{
    apipool_stored_deletion_t *stored = apr_array_push(deletions);
    memset(stored, 0, sizeof(*stored));
    stored->id = id;
    return id && apipool_record_read_members(value, len, members, stored);
}

static int is_dropped(void *ctx, const apipool_deletion_t *row)
{
    (void)ctx;
    (void)row;
    return 0;
}

apr_status_t apipool_store_put_deletions(apipool_segment_t *segment,
                                         const apr_array_header_t *deletions)
{
    apr_uint32_t pool;
    apr_status_t rv = APR_SUCCESS;
    if (apipool_deleted_count(segment)) {
        apipool_deleted_keep(segment, is_dropped, NULL);
    }
    for (int i = 0; rv == APR_SUCCESS && i < deletions->nelts; i++) {
        const apipool_stored_deletion_t *stored =
            &APR_ARRAY_IDX(deletions, i, apipool_stored_deletion_t);
        rv = apipool_pool_find(segment, stored->server, stored->pool, &pool);
        if (rv == APR_SUCCESS) {
            apipool_deleted_add(segment, pool, stored->id);
        }
    }
    return rv;
}
