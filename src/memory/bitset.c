/* SPDX-License-Identifier: Apache-2.0
 * Bitset with a fast search for the next number that two sets have in common. */
#include "bitset.h"

#include <string.h>

static apr_size_t summary_count(apr_uint32_t size)
{
    return (size / 64 + 63) / 64;
}

apr_size_t apipool_bitset_bytes(apr_uint32_t size)
{
    return (size / 64 + summary_count(size)) * sizeof(apr_uint64_t);
}

static void put_bit(apr_uint64_t *word, apr_uint32_t n, int present)
{
    apr_uint64_t bit = APR_UINT64_C(1) << (n % 64);
    *word = present ? *word | bit : *word & ~bit;
}

static void summarise(apipool_bitset_t bits, apr_uint32_t word)
{
    put_bit(&bits.summary[word / 64], word, bits.words[word] != 0);
}

void apipool_bitset_fill(apipool_bitset_t bits, apr_uint32_t first, int present)
{
    memset(bits.words + first / 64, present ? 0xff : 0, (bits.size - first) / 8);
    memset(bits.summary, 0, summary_count(bits.size) * sizeof(*bits.summary));
    for (apr_uint32_t word = 0; word < bits.size / 64; word++) {
        summarise(bits, word);
    }
}

void apipool_bitset_put(apipool_bitset_t bits, apr_uint32_t n, int present)
{
    put_bit(&bits.words[n / 64], n, present);
    summarise(bits, n / 64);
}

static apr_uint64_t common(const apr_uint64_t *a, const apr_uint64_t *b, apr_size_t i)
{
    return b ? a[i] & b[i] : a[i];
}

apr_uint32_t apipool_bitset_next(const apipool_bitset_t *bits, const apipool_bitset_t *other,
                                 apr_uint32_t from)
{
    const apr_uint64_t *words = other ? other->words : NULL;
    const apr_uint64_t *summary = other ? other->summary : NULL;
    apr_size_t word = from / 64;

    if (from >= bits->size) {
        return APR_UINT32_MAX;
    }
    apr_uint64_t found = common(bits->words, words, word) & (~APR_UINT64_C(0) << (from % 64));
    if (found) {
        return (apr_uint32_t)(word * 64) + (apr_uint32_t)__builtin_ctzll(found);
    }
    word++;
    for (apr_size_t s = word / 64; s < summary_count(bits->size); word = ++s * 64) {
        apr_uint64_t full = common(bits->summary, summary, s) & (~APR_UINT64_C(0) << (word % 64));
        for (; full; full &= full - 1) { /* the words may still have nothing in common */
            apr_size_t at = s * 64 + (apr_size_t)__builtin_ctzll(full);
            found = common(bits->words, words, at);
            if (found) {
                return (apr_uint32_t)(at * 64) + (apr_uint32_t)__builtin_ctzll(found);
            }
        }
    }
    return APR_UINT32_MAX;
}
