/* SPDX-License-Identifier: Apache-2.0
 * Percent-encoded text, a character at a time (RFC 3986, 2.1). */
#ifndef APIPOOL_CORE_PERCENT_H
#define APIPOOL_CORE_PERCENT_H

#include <apr_lib.h>

static inline int apipool_percent_digit(char c)
{
    return apr_isdigit(c) ? c - '0' : apr_isxdigit(c) ? (c | 0x20) - 'a' + 10 : -1;
}

/** The next character of a text that ends with NUL; *at moves behind it. An encoded NUL stays encoded. */
static inline char apipool_percent_next(const char **at)
{
    const char *p = *at;
    int high = *p == '%' ? apipool_percent_digit(p[1]) : -1;
    int low = high >= 0 ? apipool_percent_digit(p[2]) : -1;
    int is_encoded = low >= 0 && (high || low);
    *at += is_encoded ? 3 : 1;
    return is_encoded ? (char)(high << 4 | low) : *p;
}

#endif
