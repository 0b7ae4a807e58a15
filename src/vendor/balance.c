/* SPDX-License-Identifier: Apache-2.0
 * Reads the answer to a balance request. */
#include "balance.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ascii.h"

/* Amounts are only compared, so numbers too large for an integer are read as reals. */
#define FLAGS     (JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL)
#define INDEX_MAX 9 /* digits */

int apipool_balance_is_pointer(const char *text)
{
    if (*text && *text != '/') {
        return 0;
    }
    for (; *text; text++) {
        if (*text == '~' && text[1] != '0' && text[1] != '1') {
            return 0;
        }
    }
    return 1;
}

int apipool_balance_is_currency(const char *text)
{
    apr_size_t len = 0;
    while (len < APIPOOL_CURRENCY_SIZE && apipool_ascii_is_alnum(text[len])) {
        len++;
    }
    return len > 0 && len < APIPOOL_CURRENCY_SIZE && !text[len];
}

int apipool_balance_number(const char *text, double *number)
{
    json_t *value = json_loads(text, FLAGS, NULL);
    int is_number = json_is_number(value);
    if (is_number) {
        *number = json_number_value(value);
    }
    json_decref(value);
    return is_number;
}

static json_t *member_of(json_t *object, const char *part, apr_size_t len)
{
    char *name = strndup(part, len), *to = name;
    for (const char *from = name; from && *from; from++) {
        int escaped = *from == '~' && from[1];
        from += escaped;
        *to++ = !escaped ? *from : *from == '1' ? '/' : '~';
    }
    if (name) {
        *to = '\0';
    }
    json_t *value = name ? json_object_get(object, name) : NULL;
    free(name);
    return value;
}

/* Reads an array index: digits without a leading zero. "-" means the element after the last, which
 * never exists. */
static json_t *element_of(json_t *array, const char *part, apr_size_t len)
{
    int is_index = len > 0 && len <= INDEX_MAX && strspn(part, "0123456789") == len &&
                   (len == 1 || *part != '0');
    return is_index ? json_array_get(array, strtoul(part, NULL, 10)) : NULL;
}

static json_t *value_at(json_t *value, const char *pointer)
{
    while (value && *pointer) {
        const char *part = pointer + 1;
        apr_size_t len = strcspn(part, "/");
        value = json_is_object(value)  ? member_of(value, part, len)
                : json_is_array(value) ? element_of(value, part, len)
                                       : NULL;
        pointer = part + len;
    }
    return value;
}

static void find_currency(json_t *answer, const char *currency, char *found)
{
    json_t *value = currency && *currency == '/' ? value_at(answer, currency) : NULL;
    const char *text = value ? json_string_value(value) : currency;
    *found = '\0';
    if (text && apipool_balance_is_currency(text)) {
        memcpy(found, text, strlen(text) + 1);
    }
}

/* Adds an amount to that of its currency. More currencies than there is room for are left out. */
static void add_amount(apipool_balances_t *balances, const apipool_amount_t *amount)
{
    int i = 0;
    while (i < balances->count && strcmp(balances->of[i].currency, amount->currency)) {
        i++;
    }
    if (i < balances->count) {
        double sum = balances->of[i].amount + amount->amount;
        balances->of[i].amount = isfinite(sum) ? sum : balances->of[i].amount;
    }
    else if (i < APIPOOL_CURRENCIES) {
        balances->of[balances->count++] = *amount;
    }
}

static apipool_balance_e read_amount(json_t *from, const apipool_balance_place_t *place,
                                     apipool_balances_t *balances)
{
    json_t *value = value_at(from, place->amount);
    apipool_amount_t amount = {.amount = json_number_value(value)};
    if (json_is_null(value)) {
        return APIPOOL_BALANCE_NONE;
    }
    if (!json_is_number(value) &&
        !(json_is_string(value) &&
          apipool_balance_number(json_string_value(value), &amount.amount))) {
        return APIPOOL_BALANCE_UNREADABLE;
    }
    find_currency(from, place->currency, amount.currency);
    add_amount(balances, &amount);
    return APIPOOL_BALANCE_READ;
}

static int by_amount(const void *a, const void *b)
{
    double x = ((const apipool_amount_t *)a)->amount, y = ((const apipool_amount_t *)b)->amount;
    return (x < y) - (x > y);
}

apipool_balance_e apipool_balance_read(const char *body, apr_size_t len,
                                       const apipool_balance_place_t *place,
                                       apipool_balances_t *balances)
{
    json_t *answer = json_loadb(body, len, FLAGS, NULL), *element;
    json_t *list = place->each ? value_at(answer, place->each) : NULL;
    json_t *word = place->available ? value_at(answer, place->available) : NULL;
    apipool_balances_t found = {.is_available = json_is_boolean(word) ? json_is_true(word) : -1};
    size_t i;
    apipool_balance_e result =
        place->each ? APIPOOL_BALANCE_UNREADABLE : read_amount(answer, place, &found);

    json_array_foreach(list, i, element)
    {
        read_amount(element, place, &found);
    }
    qsort(found.of, (size_t)found.count, sizeof(*found.of), by_amount);
    json_decref(answer);
    if (found.count || found.is_available >= 0) {
        *balances = found;
        return APIPOOL_BALANCE_READ;
    }
    return result;
}
