/* SPDX-License-Identifier: Apache-2.0
 * What speaks against a text of an import being a key. */
#include "key_doubt.h"

#include <string.h>

#define SHORTEST   16 /* bytes; known vendors have 32 and more */
#define START      3  /* bytes that keys of a vendor have in common, as "sk-" */
#define NEIGHBOURS 3  /* without as many there is nothing to compare with */

static apr_uint32_t start_of(const char *key, apr_size_t len)
{
    apr_uint32_t hash = 0;
    for (apr_size_t i = 0; i < len && i < START; i++) {
        hash = hash * 127 + (unsigned char)key[i];
    }
    return hash % APIPOOL_KEY_STARTS;
}

static int has(const char *key, apr_size_t len, const char *part)
{
    return memmem(key, len, part, strlen(part)) != NULL;
}

static int has_digit(const char *key, apr_size_t len)
{
    for (apr_size_t i = 0; i < len; i++) {
        if (key[i] >= '0' && key[i] <= '9') {
            return 1;
        }
    }
    return 0;
}

void apipool_key_kinds_add(apipool_key_kinds_t *kinds, const char *key, apr_size_t len)
{
    apr_uint32_t alike = ++kinds->starts[start_of(key, len)];
    kinds->lengths[len]++;
    kinds->count++;
    kinds->most = alike > kinds->most ? alike : kinds->most;
}

const char *apipool_key_doubt_alone(const char *key, apr_size_t len)
{
    if (has(key, len, "*") || has(key, len, "...")) {
        return "masked: it contains * or ...";
    }
    if (has(key, len, "://") || has(key, len, "@")) {
        return "an address";
    }
    if (*key == '<' || *key == '$' || has(key, len, "os.environ/")) {
        return "a placeholder, or the name of a variable";
    }
    if (len < SHORTEST) {
        return "shorter than 16 characters";
    }
    return has_digit(key, len) ? NULL : "has no digit";
}

/* Where half of the keys begin alike, the list is of one kind. */
const char *apipool_key_doubt(const apipool_key_kinds_t *kinds, const char *key, apr_size_t len)
{
    const char *doubt = apipool_key_doubt_alone(key, len);
    if (doubt) {
        return doubt;
    }
    return kinds->count > NEIGHBOURS && 2 * kinds->most >= kinds->count &&
                   kinds->starts[start_of(key, len)] == 1 && kinds->lengths[len] == 1
               ? "unlike all other keys of the list"
               : NULL;
}
