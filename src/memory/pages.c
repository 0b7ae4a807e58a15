/* SPDX-License-Identifier: Apache-2.0
 * Memory pages that are left out of core dumps. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "pages.h"

#include <sys/mman.h>
#include <unistd.h>

void apipool_pages_conceal(char *memory, apr_size_t size)
{
#ifdef MADV_DONTDUMP
    apr_size_t into = (apr_size_t)memory % (apr_size_t)getpagesize();
    madvise(memory - into, into + size, MADV_DONTDUMP);
#endif
}

typedef struct {
    void *memory;
    apr_size_t size;
} mapping_t;

static apr_status_t unmap(void *data)
{
    const mapping_t *mapping = data;
    munmap(mapping->memory, mapping->size);
    return APR_SUCCESS;
}

void *apipool_pages_concealed(apr_size_t size, apr_pool_t *pool)
{
    mapping_t *mapping = apr_palloc(pool, sizeof(*mapping));
    mapping->size = size;
    mapping->memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping->memory == MAP_FAILED) {
        return NULL;
    }
    apipool_pages_conceal(mapping->memory, size);
    apr_pool_cleanup_register(pool, mapping, unmap, apr_pool_cleanup_null);
    return mapping->memory;
}
