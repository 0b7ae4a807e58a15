/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: a pointer, a currency and, after these two lines, the answer to a balance
 * request. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "balance.h"
#include "fuzz.h"

/* Copies a line to its own memory, so that a checker notices any overrun. */
static char *take_line(const uint8_t **data, size_t *size)
{
    const uint8_t *end = memchr(*data, '\n', *size);
    size_t len = end ? (size_t)(end - *data) : *size;
    char *line = malloc(len + 1);
    MUST(line);
    memcpy(line, *data, len);
    line[len] = '\0';
    *size -= len + (end != NULL);
    *data += len + (end != NULL);
    return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *pointer = take_line(&data, &size);
    char *currency = take_line(&data, &size);
    char *body = malloc(size ? size : 1);
    apipool_balances_t got = {.is_available = -2};
    double number;

    MUST(body);
    memcpy(body, data, size);
    apipool_balance_is_pointer(currency);
    if (apipool_balance_number(currency, &number)) {
        MUST(isfinite(number));
    }
    if (apipool_balance_is_pointer(pointer)) {
        int is_list = size % 2; /* read both ways */
        apipool_balance_place_t place = {.amount = is_list ? "/a" : pointer,
                                         .currency = currency,
                                         .each = is_list ? pointer : NULL,
                                         .available = is_list ? "/b" : NULL};
        apipool_balance_e result = apipool_balance_read(body, size, &place, &got);
        MUST(result == APIPOOL_BALANCE_READ ? got.count || got.is_available >= 0
                                            : got.is_available == -2);
        for (int i = 0; i < got.count; i++) {
            MUST(isfinite(got.of[i].amount));
            MUST(!*got.of[i].currency || apipool_balance_is_currency(got.of[i].currency));
        }
    }
    free(body);
    free(currency);
    free(pointer);
    return 0;
}
