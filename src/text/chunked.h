/* SPDX-License-Identifier: Apache-2.0
 * The chunked transfer coding, taken off in place (RFC 9112 section 7.1). */
#ifndef APIPOOL_TEXT_CHUNKED_H
#define APIPOOL_TEXT_CHUNKED_H

#include <apr.h>

/** Where in the coding a reader stands. All zeros: at its beginning. */
typedef struct {
    apr_uint64_t left; /* of the chunk's data; while its size is read, the size as far as it came */
    int digits;        /* of the size */
    int lines;         /* bytes of the current extensions or trailers, which have a limit */
    unsigned char state;
} apipool_chunked_t;

/**
 * Takes the coding off what comes next; the data move to the beginning of the text.
 * @param used result: bytes that belong to the coding, fewer than len only at its end
 * @return bytes of data, or -1 if it is malformed
 */
apr_ssize_t apipool_chunked_decode(apipool_chunked_t *chunked, char *text, apr_size_t len,
                                   apr_size_t *used);

/** Whether the last chunk and the trailers have come. */
int apipool_chunked_is_complete(const apipool_chunked_t *chunked);

#endif
