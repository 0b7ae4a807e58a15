/* SPDX-License-Identifier: Apache-2.0
 * Checks and decodes UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef APIPOOL_TEXT_UTF8_H
#define APIPOOL_TEXT_UTF8_H

#include <apr.h>

/* The state of decoding byte by byte; all zero at the beginning. The caller owns it. */
typedef struct {
    apr_uint32_t code;       /* the character, once complete */
    unsigned char more;      /* bytes still missing */
    unsigned char low, high; /* range of the next byte */
} apipool_utf8_t;

/** Takes the next byte. Returns 0 and changes nothing if it is invalid there. */
static inline int apipool_utf8_next(apipool_utf8_t *utf8, unsigned char c)
{
    if (utf8->more) {
        if (c < utf8->low || c > utf8->high) {
            return 0;
        }
        utf8->code = utf8->code << 6 | (c & 0x3f);
        utf8->low = 0x80;
        utf8->high = 0xbf;
        utf8->more--;
        return 1;
    }
    if (c >= 0x80 && (c < 0xc2 || c > 0xf4)) {
        return 0;
    }
    utf8->more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    utf8->low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    utf8->high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    utf8->code = utf8->more ? c & (0x3f >> utf8->more) : c;
    return 1;
}

/**
 * Decodes the first character of a text.
 * @param len  bytes of the text
 * @param code set to the character
 * @return its length in bytes; 0 if the text is empty or not UTF-8
 */
static inline apr_size_t apipool_utf8_character(const char *text, apr_size_t len,
                                                apr_uint32_t *code)
{
    apipool_utf8_t utf8 = {0};
    for (apr_size_t i = 0; i < len && apipool_utf8_next(&utf8, (unsigned char)text[i]); i++) {
        if (!utf8.more) {
            *code = utf8.code;
            return i + 1;
        }
    }
    return 0;
}

/** Tests whether a NUL-terminated text is UTF-8. */
static inline int apipool_utf8_is(const char *text)
{
    apipool_utf8_t utf8 = {0};
    while (*text && apipool_utf8_next(&utf8, (unsigned char)*text)) {
        text++;
    }
    return !*text && !utf8.more;
}

#endif
