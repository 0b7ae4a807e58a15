/* SPDX-License-Identifier: Apache-2.0
 * Hashes of texts, and which of so many places belongs to a session: consistent hashing. */
#ifndef APIPOOL_CORE_CONSISTENT_HASH_H
#define APIPOOL_CORE_CONSISTENT_HASH_H

#include <apr.h>

/**
 * The place of a session: every place has its fair share of them, and when there is one place more, it takes
 * its share of every other one while all other sessions stay where they are. Takes the same time for few
 * places and for many. Thread-safe.
 * @param session any hash of it
 * @param places  at most 2^31
 * @return below places; 0 where there is none
 */
apr_uint32_t apipool_consistent_hash(apr_uint64_t session, apr_uint32_t places);

/** A number that stands for a text: 64 bits of FNV-1a, never 0 but for an empty text. Pure. */
apr_uint64_t apipool_hash(const char *text);

#endif
