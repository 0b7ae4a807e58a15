/* SPDX-License-Identifier: Apache-2.0
 * The chunked transfer coding, taken off in place. */
#include "chunked.h"

#include <string.h>

#include "ascii.h"

#define DIGITS_MAX 15
#define LINES_MAX  (64 * 1024)

enum { SIZE, EXTENSION, DATA, DATA_END, TRAILER, IN_TRAILER, COMPLETE };

static int hex_digit(char c)
{
    char lower = apipool_ascii_lower(c);
    return c >= '0' && c <= '9' ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Reads one byte of a chunk's first line. Returns 0 if it cannot stand there. */
static int read_size(apipool_chunked_t *chunked, char c)
{
    int digit = chunked->state == SIZE ? hex_digit(c) : -1;
    if (digit >= 0) {
        chunked->left = chunked->left * 16 + (apr_uint64_t)digit;
        return ++chunked->digits <= DIGITS_MAX;
    }
    if (c == '\n') {
        chunked->state = chunked->left ? DATA : TRAILER;
        chunked->lines = 0;
        return chunked->digits > 0;
    }
    chunked->state = EXTENSION;
    return chunked->digits > 0 && ++chunked->lines < LINES_MAX &&
           (c == '\r' || !apipool_ascii_is_control(c) || c == '\t');
}

/* Reads one byte that follows a chunk's data, or stands in the trailers. */
static int read_line(apipool_chunked_t *chunked, char c)
{
    switch (chunked->state) {
    case DATA_END:
        if (c == '\n') {
            chunked->state = SIZE;
            chunked->digits = 0;
            return 1;
        }
        return c == '\r';
    case TRAILER:
        chunked->state = c == '\n' ? COMPLETE : c == '\r' ? TRAILER : IN_TRAILER;
        return ++chunked->lines < LINES_MAX;
    default:
        chunked->state = c == '\n' ? TRAILER : IN_TRAILER;
        return ++chunked->lines < LINES_MAX;
    }
}

apr_ssize_t apipool_chunked_decode(apipool_chunked_t *chunked, char *text, apr_size_t len,
                                   apr_size_t *used)
{
    char *to = text, *at = text, *end = text + len;
    while (at < end && chunked->state != COMPLETE) {
        if (chunked->state != DATA) {
            int is_size = chunked->state == SIZE || chunked->state == EXTENSION;
            if (!(is_size ? read_size(chunked, *at) : read_line(chunked, *at))) {
                return -1;
            }
            at++;
            continue;
        }
        apr_size_t n = (apr_size_t)(end - at);
        n = n < chunked->left ? n : (apr_size_t)chunked->left;
        if (to != at) {
            memmove(to, at, n);
        }
        to += n;
        at += n;
        chunked->left -= n;
        if (!chunked->left) {
            chunked->state = DATA_END;
        }
    }
    *used = (apr_size_t)(at - text);
    return to - text;
}

int apipool_chunked_is_complete(const apipool_chunked_t *chunked)
{
    return chunked->state == COMPLETE;
}
