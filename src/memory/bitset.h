/* SPDX-License-Identifier: Apache-2.0
 * Bitset with a fast search for the next number that two sets have in common. */
#ifndef APIPOOL_MEMORY_BITSET_H
#define APIPOOL_MEMORY_BITSET_H

#include <apr.h>

/* Words of 64 members, and one summary bit per word that is not empty, so that a search skips
 * 4,096 absent members at a time. Lies in shared memory; each use makes a view of it. The caller
 * locks. */
typedef struct {
    apr_uint64_t *words;
    apr_uint64_t *summary;
    apr_uint32_t size; /* a multiple of 64 */
} apipool_bitset_t;

/** Bytes that a set of this size takes. */
apr_size_t apipool_bitset_bytes(apr_uint32_t size);

/** View of a set in memory of apipool_bitset_bytes(size). */
static inline apipool_bitset_t apipool_bitset_view(void *memory, apr_uint32_t size)
{
    return (apipool_bitset_t){memory, (apr_uint64_t *)memory + size / 64, size};
}

/** Makes all members from first (a multiple of 64) on present or absent, and rebuilds the whole
 *  summary. */
void apipool_bitset_fill(apipool_bitset_t bits, apr_uint32_t first, int present);

void apipool_bitset_put(apipool_bitset_t bits, apr_uint32_t n, int present);

static inline int apipool_bitset_has(apipool_bitset_t bits, apr_uint32_t n)
{
    return bits.words[n / 64] >> (n % 64) & 1;
}

/**
 * Returns the first number >= from that is in both sets; APR_UINT32_MAX when there is none.
 * @param other set of the same size, or NULL to search one set
 */
apr_uint32_t apipool_bitset_next(const apipool_bitset_t *bits, const apipool_bitset_t *other,
                                 apr_uint32_t from);

#endif
