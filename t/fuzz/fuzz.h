/* SPDX-License-Identifier: Apache-2.0
 * Shared by all fuzz targets, which libFuzzer or replay.c calls. */
#ifndef APIPOOL_FUZZ_H
#define APIPOOL_FUZZ_H

#include <apr_general.h>
#include <apr_pools.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Like assert, but independent of NDEBUG. */
#define MUST(condition)                                                                            \
    ((condition)                                                                                   \
         ? (void)0                                                                                 \
         : (fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition), abort()))

/* Creates a pool for one input; the caller destroys it. */
static inline apr_pool_t *fuzz_pool(void)
{
    static apr_pool_t *root;
    apr_pool_t *pool;
    if (!root) {
        MUST(apr_initialize() == APR_SUCCESS && apr_pool_create(&root, NULL) == APR_SUCCESS);
    }
    MUST(apr_pool_create(&pool, root) == APR_SUCCESS);
    return pool;
}

/* Copies text and terminates it. apr_pstrmemdup() would do, but its header says that it makes no
 * room for the NUL, and sanitizers believe it. */
static inline char *fuzz_text(apr_pool_t *pool, const void *data, size_t size)
{
    char *text = apr_palloc(pool, size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

#endif
