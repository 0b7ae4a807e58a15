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
    apipool_amount_t amount = {.amount = -1};
    double number;

    MUST(body);
    memcpy(body, data, size);
    apipool_balance_is_pointer(currency);
    if (apipool_balance_number(currency, &number)) {
        MUST(isfinite(number));
    }
    if (apipool_balance_is_pointer(pointer)) {
        apipool_balance_e result = apipool_balance_read(body, size, pointer, currency, &amount);
        MUST(result != APIPOOL_BALANCE_READ || isfinite(amount.amount));
        MUST(result != APIPOOL_BALANCE_READ || !*amount.currency ||
             apipool_balance_is_currency(amount.currency));
        MUST(result == APIPOOL_BALANCE_READ || amount.amount == -1);
    }
    free(body);
    free(currency);
    free(pointer);
    return 0;
}
