/* SPDX-License-Identifier: Apache-2.0
 * Consistent hashing of sessions to places, and hashes of texts. */
#include "consistent_hash.h"

#define TRIES 32 /* each try fails for less than half of all sessions */

/* Finalizer of MurmurHash3 (Appleby, 2011). */
static apr_uint64_t mix(apr_uint64_t hash)
{
    hash = (hash ^ (hash >> 33)) * APR_UINT64_C(0xff51afd7ed558ccd);
    hash = (hash ^ (hash >> 33)) * APR_UINT64_C(0xc4ceb9fe1a85ec53);
    return hash ^ (hash >> 33);
}

/* Random place at the same level of a complete binary tree. */
static apr_uint32_t within_level(apr_uint32_t place, apr_uint64_t hash)
{
    if (place < 2) {
        return place;
    }
    apr_uint32_t first = 1u << (31 - __builtin_clz(place));
    return first + (apr_uint32_t)(mix(hash ^ first) & (first - 1));
}

/* BinomialHash (Coluzzi, Brocco, Antonucci and Leidi, 2024). */
apr_uint32_t apipool_consistent_hash(apr_uint64_t session, apr_uint32_t places)
{
    apr_uint64_t first = mix(session), hash = first;
    if (places < 2) {
        return 0;
    }
    apr_uint32_t all = 2u << (31 - __builtin_clz(places - 1)), inner = all / 2;
    for (int i = 0; i < TRIES; i++) {
        apr_uint32_t place = within_level((apr_uint32_t)hash & (all - 1), hash);
        if (place < inner) {
            break;
        }
        if (place < places) {
            return place;
        }
        hash = mix(hash + 1);
    }
    return within_level((apr_uint32_t)first & (inner - 1), first);
}

/* FNV-1a, where 0 stands for the empty text. */
apr_uint64_t apipool_hash(const char *text)
{
    apr_uint64_t hash = APR_UINT64_C(0xcbf29ce484222325);
    if (!*text) {
        return 0;
    }
    for (; *text; text++) {
        hash = (hash ^ (unsigned char)*text) * APR_UINT64_C(0x100000001b3);
    }
    return hash ? hash : 1;
}
