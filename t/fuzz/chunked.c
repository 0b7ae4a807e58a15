/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: bodies in chunks, which come in one piece or in many. */
#include <string.h>

#include "chunked.h"
#include "fuzz.h"

/* Decodes in pieces of at most that many bytes. Returns the data's length, or -1. */
static apr_ssize_t decode(char *text, size_t size, size_t most, char *to, size_t *used)
{
    apipool_chunked_t chunked = {0};
    apr_ssize_t total = 0;
    *used = 0;
    while (*used < size && !apipool_chunked_is_complete(&chunked)) {
        size_t len = size - *used < most ? size - *used : most, taken;
        apr_ssize_t n = apipool_chunked_decode(&chunked, text + *used, len, &taken);
        if (n < 0) {
            return -1;
        }
        MUST((size_t)n <= len && taken <= len &&
             (taken == len || apipool_chunked_is_complete(&chunked)));
        memcpy(to + total, text + *used, (size_t)n);
        total += n;
        *used += taken;
    }
    return total;
}

/* The first byte tells how long the pieces are at most. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) {
        return 0;
    }
    size_t most = *data++ + 1, used, used_in_pieces;
    size--;
    apr_pool_t *p = fuzz_pool();
    char *whole = apr_palloc(p, size + 1), *pieces = apr_palloc(p, size + 1);
    apr_ssize_t n = decode(fuzz_text(p, (const char *)data, size), size, size + 1, whole, &used);
    apr_ssize_t m =
        decode(fuzz_text(p, (const char *)data, size), size, most, pieces, &used_in_pieces);
    MUST(n == m && (n < 0 || (used == used_in_pieces && !memcmp(whole, pieces, (size_t)n))));
    apr_pool_destroy(p);
    return 0;
}
