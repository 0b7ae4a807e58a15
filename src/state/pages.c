/* SPDX-License-Identifier: Apache-2.0
 * Large pages for what is read at random, and pages that no core dump shows. */
#ifdef __linux__
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#endif
#include "pages.h"

#include <sys/mman.h>
#include <unistd.h>

#ifdef __linux__

#include <errno.h>
#include <stdint.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* since Linux 6.1 */
#endif

#define LARGE APIPOOL_PAGES_LARGE

static char *rounded_up(const char *at)
{
    return (char *)(((uintptr_t)at + LARGE - 1) & ~(uintptr_t)(LARGE - 1));
}

/* A mapping of size 0 that is made larger is a second one of the same memory. It goes where room for it, and
 * for what an address is rounded by, has been found. */
char *apipool_pages_align(char *memory, apr_size_t size)
{
    char *room =
        mmap(NULL, size + LARGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) {
        return memory;
    }
    char *aligned = rounded_up(room);
    if (mremap(memory, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, aligned) != aligned) {
        munmap(room, size + LARGE);
        return memory;
    }
    return aligned;
}

apr_size_t apipool_pages_enlarge(char *memory, apr_size_t from, apr_size_t filled, int most)
{
    char *page = rounded_up(memory + from);
    for (; most > 0 && page + LARGE <= memory + filled; page += LARGE, most--) {
        madvise(page, LARGE, MADV_COLLAPSE);
    }
    return (apr_size_t)(page - memory);
}

#else

char *apipool_pages_align(char *memory, apr_size_t size)
{
    return memory;
}

apr_size_t apipool_pages_enlarge(char *memory, apr_size_t from, apr_size_t filled, int most)
{
    return filled;
}

#endif

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
