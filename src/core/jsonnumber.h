/* SPDX-License-Identifier: Apache-2.0
 * Numbers in JSON, a character at a time (RFC 8259, section 6). */
#ifndef APIPOOL_CORE_JSONNUMBER_H
#define APIPOOL_CORE_JSONNUMBER_H

#include <apr_lib.h>

/* What of a number has passed. It begins with APIPOOL_NUMBER_NOTHING. */
typedef enum {
    APIPOOL_NUMBER_NOTHING,
    APIPOOL_NUMBER_MINUS,
    APIPOOL_NUMBER_ZERO,
    APIPOOL_NUMBER_DIGITS,
    APIPOOL_NUMBER_POINT,
    APIPOOL_NUMBER_FRACTION,
    APIPOOL_NUMBER_E,
    APIPOOL_NUMBER_E_SIGN,
    APIPOOL_NUMBER_EXPONENT
} apipool_number_e;

/** Whether what has passed may end here. */
static inline int apipool_number_is_whole(int passed)
{
    return passed == APIPOOL_NUMBER_ZERO || passed == APIPOOL_NUMBER_DIGITS ||
           passed == APIPOOL_NUMBER_FRACTION || passed == APIPOOL_NUMBER_EXPONENT;
}

/** What has passed after one more character; -1 where that does not belong to a number. */
static inline int apipool_number_next(int passed, char c)
{
    static const signed char after_digit[] = {
        APIPOOL_NUMBER_DIGITS,   APIPOOL_NUMBER_DIGITS,   -1,
        APIPOOL_NUMBER_DIGITS,   APIPOOL_NUMBER_FRACTION, APIPOOL_NUMBER_FRACTION,
        APIPOOL_NUMBER_EXPONENT, APIPOOL_NUMBER_EXPONENT, APIPOOL_NUMBER_EXPONENT};
    if (apr_isdigit(c)) {
        return c == '0' && passed <= APIPOOL_NUMBER_MINUS ? APIPOOL_NUMBER_ZERO
                                                          : after_digit[passed];
    }
    switch (c) {
    case '-':
        return passed == APIPOOL_NUMBER_NOTHING ? APIPOOL_NUMBER_MINUS
               : passed == APIPOOL_NUMBER_E     ? APIPOOL_NUMBER_E_SIGN
                                                : -1;
    case '+':
        return passed == APIPOOL_NUMBER_E ? APIPOOL_NUMBER_E_SIGN : -1;
    case '.':
        return passed == APIPOOL_NUMBER_ZERO || passed == APIPOOL_NUMBER_DIGITS
                   ? APIPOOL_NUMBER_POINT
                   : -1;
    case 'e':
    case 'E':
        return passed == APIPOOL_NUMBER_ZERO || passed == APIPOOL_NUMBER_DIGITS ||
                       passed == APIPOOL_NUMBER_FRACTION
                   ? APIPOOL_NUMBER_E
                   : -1;
    default:
        return -1;
    }
}

#endif
