/* SPDX-License-Identifier: Apache-2.0
 * What speaks against a text of an import being a key. */
#ifndef APIPOOL_CORE_KEY_DOUBT_H
#define APIPOOL_CORE_KEY_DOUBT_H

#include "key.h"

/* Doubtful keys are valid and may be used; an import adds them only when told to. */

#define APIPOOL_KEY_STARTS 65536 /* buckets for the first characters of keys */

/* Keys of a list, counted by how they begin and how long they are. All zero at first. */
typedef struct {
    apr_uint32_t count, most; /* most: keys that begin alike */
    apr_uint32_t starts[APIPOOL_KEY_STARTS];
    apr_uint32_t lengths[APIPOOL_KEY_MAX + 1];
} apipool_key_kinds_t;

/** Counts a valid key. */
void apipool_key_kinds_add(apipool_key_kinds_t *kinds, const char *key, apr_size_t len);

/**
 * Tells why a valid key does not look like one; NULL if it does.
 * @param kinds of the list that the key is counted in
 * @return a static sentence that does not contain the key
 */
const char *apipool_key_doubt(const apipool_key_kinds_t *kinds, const char *key, apr_size_t len);

/** Like apipool_key_doubt(), for a text without neighbours. */
const char *apipool_key_doubt_alone(const char *key, apr_size_t len);

#endif
