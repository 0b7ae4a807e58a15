/* SPDX-License-Identifier: Apache-2.0
 * Memory pages that are left out of core dumps. */
#ifndef APIPOOL_MEMORY_PAGES_H
#define APIPOOL_MEMORY_PAGES_H

#include <apr_pools.h>

/** Excludes mapped memory from core dumps of this process and its children, where the system
 *  can. */
void apipool_pages_conceal(char *memory, apr_size_t size);

/**
 * Maps zeroed pages that are left out of core dumps.
 * @param pool unmaps them
 * @return NULL when there is no memory
 */
void *apipool_pages_concealed(apr_size_t size, apr_pool_t *pool);

#endif
