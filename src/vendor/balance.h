/* SPDX-License-Identifier: Apache-2.0
 * Reads the answer to a balance request. */
#ifndef APIPOOL_VENDOR_BALANCE_H
#define APIPOOL_VENDOR_BALANCE_H

#include <apr.h>

#define APIPOOL_CURRENCY_SIZE 8 /* bytes, including NUL */

#define APIPOOL_CURRENCIES 2 /* DeepSeek's accounts have CNY and USD */

typedef enum {
    APIPOOL_BALANCE_READ,
    APIPOOL_BALANCE_NONE,      /* the answer says null: nothing limits the key */
    APIPOOL_BALANCE_UNREADABLE /* not JSON, value missing, or not a number */
} apipool_balance_e;

typedef struct {
    double amount;
    char currency[APIPOOL_CURRENCY_SIZE]; /* letters and digits; empty if unknown */
} apipool_amount_t;

/* Where a balance is in an answer. Pointers are those of RFC 6901. */
typedef struct {
    const char *amount;   /* pointer to a number, or to a string that holds one */
    const char *currency; /* pointer to a string; without a leading '/' the currency; or NULL */
    const char *each; /* pointer to an array whose elements have the two above; NULL: no array */
    const char
        *available; /* pointer to the vendor's word on whether the key may be used; or NULL */
} apipool_balance_place_t;

typedef struct {
    int count;                               /* amounts; 0: none was told */
    apipool_amount_t of[APIPOOL_CURRENCIES]; /* one for each currency, the largest first */
    int is_available;                        /* the vendor's word; -1: none */
} apipool_balances_t;

/**
 * Finds the balances in an answer. Amounts of one currency are added up. Anything unreadable is
 * unknown, never zero. Pure, thread-safe.
 * @param body     need not be terminated
 * @param balances result, set only with APIPOOL_BALANCE_READ: an amount or the vendor's word
 */
apipool_balance_e apipool_balance_read(const char *body, apr_size_t len,
                                       const apipool_balance_place_t *place,
                                       apipool_balances_t *balances);

/** Tests whether a text is a JSON pointer: empty or beginning with '/', and "~" only in "~0" and
 *  "~1". */
int apipool_balance_is_pointer(const char *text);

/** Tests whether a text can be a currency: 1 to 7 letters and digits. */
int apipool_balance_is_currency(const char *text);

/** Reads a decimal number in JSON syntax. Returns 0 if the text is anything else. */
int apipool_balance_number(const char *text, double *number);

#endif
