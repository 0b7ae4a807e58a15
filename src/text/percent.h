/* SPDX-License-Identifier: Apache-2.0
 * Decodes hex digits, and percent-encoded text (RFC 3986 section 2.1) character by character. APR's
 * functions decode only a whole text. */
#ifndef APIPOOL_TEXT_PERCENT_H
#define APIPOOL_TEXT_PERCENT_H

/** Returns the value of a hex digit, or -1. */
static inline int apipool_hex_digit(char c)
{
    char lower = (char)(c | 0x20);
    return c >= '0' && c <= '9' ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/** Reads the next character of a NUL-terminated text and moves *at past it. An encoded NUL stays
 *  encoded. */
static inline char apipool_percent_next(const char **at)
{
    const char *p = *at;
    int high = *p == '%' ? apipool_hex_digit(p[1]) : -1;
    int low = high >= 0 ? apipool_hex_digit(p[2]) : -1;
    int is_encoded = low >= 0 && (high || low);
    *at += is_encoded ? 3 : 1;
    return is_encoded ? (char)(high << 4 | low) : *p;
}

#endif
