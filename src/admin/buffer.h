/* SPDX-License-Identifier: Apache-2.0
 * A growing text that may hold a secret. */
#ifndef APIPOOL_ADMIN_BUFFER_H
#define APIPOOL_ADMIN_BUFFER_H

#include <apr_pools.h>

/* It never grows in place, and the memory it leaves is overwritten. */
typedef struct {
    char *text; /* malloc; NULL: empty */
    apr_size_t len, room;
} apipool_buffer_t;

/** Creates an empty one, which is wiped when the pool is destroyed. */
apipool_buffer_t *apipool_buffer_make(apr_pool_t *p);

/** Appends bytes. Returns 0 if there is no memory. */
int apipool_buffer_add(apipool_buffer_t *buffer, const char *bytes, apr_size_t len);

/** Overwrites and frees the text; the buffer is empty afterwards. */
void apipool_buffer_wipe(apipool_buffer_t *buffer);

#endif
