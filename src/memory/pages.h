/* SPDX-License-Identifier: Apache-2.0
 * Pages of memory that no core dump shows. */
#ifndef APIPOOL_MEMORY_PAGES_H
#define APIPOOL_MEMORY_PAGES_H

#include <apr_pools.h>

/** Leaves mapped memory out of core dumps, of this process and of those that it forks, where that can be. */
void apipool_pages_conceal(char *memory, apr_size_t size);

/**
 * Memory of its own pages, all zeros, that is left out of core dumps.
 * @param pool unmaps it
 * @return NULL when there is none
 */
void *apipool_pages_concealed(apr_size_t size, apr_pool_t *pool);

#endif
