/* SPDX-License-Identifier: Apache-2.0
 * Consistent hashing of sessions to places, and hashes of texts. */
#ifndef APIPOOL_CORE_CONSISTENT_HASH_H
#define APIPOOL_CORE_CONSISTENT_HASH_H

#include <apr.h>

/**
 * Place of a session. Every place gets its fair share of the sessions. When a place is added, it
 * takes its share of every other place; all other sessions stay. O(1). Thread-safe.
 * @param session any hash of it
 * @param places  at most 2^31
 * @return below places; 0 if there are none
 */
apr_uint32_t apipool_consistent_hash(apr_uint64_t session, apr_uint32_t places);

/** 64-bit FNV-1a hash of a text; 0 only for an empty text. Pure. */
apr_uint64_t apipool_hash(const char *text);

#endif
