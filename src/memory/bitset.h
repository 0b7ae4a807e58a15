/* SPDX-License-Identifier: Apache-2.0
 * Sets of small numbers as bits, with a way to find the next member of two sets at once. */
#ifndef APIPOOL_MEMORY_BITSET_H
#define APIPOOL_MEMORY_BITSET_H

#include <apr.h>

/* Words of 64 members each, and one bit per word that is not empty, so that a search skips 4,096 absent
 * members at a time. Lies in shared memory; a view of it is made for each use. The caller locks. */
typedef struct {
    apr_uint64_t *words;
    apr_uint64_t *summary;
    apr_uint32_t size; /* a multiple of 64 */
} apipool_bitset_t;

/** Bytes that a set of that size takes. */
apr_size_t apipool_bitset_bytes(apr_uint32_t size);

/** A view of a set in memory of apipool_bitset_bytes(size). */
static inline apipool_bitset_t apipool_bitset_view(void *memory, apr_uint32_t size)
{
    return (apipool_bitset_t){memory, (apr_uint64_t *)memory + size / 64, size};
}

/** Makes every member from first, a multiple of 64, to the end present or absent, and the summary right, of
 * those
 *  before as well. */
void apipool_bitset_fill(apipool_bitset_t bits, apr_uint32_t first, int present);

void apipool_bitset_put(apipool_bitset_t bits, apr_uint32_t n, int present);

static inline int apipool_bitset_has(apipool_bitset_t bits, apr_uint32_t n)
{
    return bits.words[n / 64] >> (n % 64) & 1;
}

/**
 * The first number from that one on which is in both sets, APR_UINT32_MAX when there is none.
 * @param other NULL for a search in one set; else of the same size
 */
apr_uint32_t apipool_bitset_next(const apipool_bitset_t *bits, const apipool_bitset_t *other,
                                 apr_uint32_t from);

#endif
