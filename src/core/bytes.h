/* SPDX-License-Identifier: Apache-2.0
 * Searches of text, many bytes at a step: there the scanners of bodies and answers spend their time. */
#ifndef APIPOOL_CORE_BYTES_H
#define APIPOOL_CORE_BYTES_H

#include <apr.h>
#include <string.h>

/* Bytes that are looked at together, and bit i for byte i of those that a comparison has found. */
typedef unsigned char apipool_narrow_t __attribute__((vector_size(16), aligned(1), may_alias));
#ifdef __SSE2__
typedef char apipool_signed_narrow_t __attribute__((vector_size(16)));
#define APIPOOL_NARROW_BITS(vector)                                                                \
    ((unsigned)__builtin_ia32_pmovmskb128((apipool_signed_narrow_t)(vector)))
#endif

/* The high bit of each byte of word that is c. Only the lowest one found is sure to be right. */
static inline apr_uint64_t apipool_bytes_equal(apr_uint64_t word, unsigned char c)
{
    const apr_uint64_t ones = ~APR_UINT64_C(0) / 255;
    word ^= ones * c;
    return (word - ones) & ~word & ones << 7;
}

/* The bytes at p, the first of them lowest. */
static inline apr_uint64_t apipool_word(const char *p)
{
    apr_uint64_t word;
    memcpy(&word, p, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/** The first a or b from p on, or end. */
static inline const char *apipool_find_either(const char *p, const char *end, char a, char b)
{
#ifdef __SSE2__
    for (; end - p >= (int)sizeof(apipool_narrow_t); p += sizeof(apipool_narrow_t)) {
        apipool_narrow_t bytes = *(const apipool_narrow_t *)p;
        unsigned found =
            APIPOOL_NARROW_BITS((bytes == (unsigned char)a) | (bytes == (unsigned char)b));
        if (found) {
            return p + __builtin_ctz(found);
        }
    }
#else
    for (; end - p >= 8; p += 8) {
        apr_uint64_t word = apipool_word(p);
        apr_uint64_t found = apipool_bytes_equal(word, (unsigned char)a) |
                             apipool_bytes_equal(word, (unsigned char)b);
        if (found) {
            return p + __builtin_ctzll(found) / 8;
        }
    }
#endif
    while (p < end && *p != a && *p != b) {
        p++;
    }
    return p;
}

#endif
