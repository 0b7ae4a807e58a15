/* SPDX-License-Identifier: Apache-2.0
 * Text that grows and may hold a secret. */
#ifndef APIPOOL_ADMIN_BUFFER_H
#define APIPOOL_ADMIN_BUFFER_H

#include <apr_pools.h>

/* It never grows in place, and what it leaves is overwritten. */
typedef struct {
    char *text; /* malloc; NULL: nothing yet */
    apr_size_t len, room;
} apipool_buffer_t;

/** An empty one, which is wiped when the pool goes. */
apipool_buffer_t *apipool_buffer_make(apr_pool_t *p);

/** Adds bytes. Returns 0 if there is no memory. */
int apipool_buffer_add(apipool_buffer_t *buffer, const char *bytes, apr_size_t len);

/** Overwrites it and gives it back; it is empty then. */
void apipool_buffer_wipe(apipool_buffer_t *buffer);

#endif
