/* SPDX-License-Identifier: Apache-2.0
 * Reads the answer to a balance request. */
#ifndef APIPOOL_VENDOR_BALANCE_H
#define APIPOOL_VENDOR_BALANCE_H

#include <apr.h>

#define APIPOOL_CURRENCY_SIZE 8 /* bytes, including NUL */

typedef enum {
    APIPOOL_BALANCE_READ,
    APIPOOL_BALANCE_NONE,      /* the answer says null: nothing limits the key */
    APIPOOL_BALANCE_UNREADABLE /* not JSON, value missing, or not a number */
} apipool_balance_e;

typedef struct {
    double amount;
    char currency[APIPOOL_CURRENCY_SIZE]; /* letters and digits; empty if unknown */
} apipool_amount_t;

/**
 * Finds the balance in an answer. Anything unreadable is unknown, never zero. Pure, thread-safe.
 * @param body     need not be terminated
 * @param pointer  RFC 6901, to a JSON number or to a string that holds one
 * @param currency a pointer to a string; or, without a leading '/', the currency itself; or NULL
 * @param amount   result, set only with APIPOOL_BALANCE_READ
 */
apipool_balance_e apipool_balance_read(const char *body, apr_size_t len, const char *pointer,
                                       const char *currency, apipool_amount_t *amount);

/** Tests whether a text is a JSON pointer: empty or beginning with '/', and "~" only in "~0" and
 *  "~1". */
int apipool_balance_is_pointer(const char *text);

/** Tests whether a text can be a currency: 1 to 7 letters and digits. */
int apipool_balance_is_currency(const char *text);

/** Reads a decimal number in JSON syntax. Returns 0 if the text is anything else. */
int apipool_balance_number(const char *text, double *number);

#endif
