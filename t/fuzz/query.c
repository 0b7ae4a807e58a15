/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: query strings of the operator's API. */
#include <string.h>

#include "fuzz.h"
#include "query.h"

static const char *const orders[] = {"asc", "desc"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apipool_query_t query;
    apipool_input_error_t flaw;
    apr_pool_t *p = fuzz_pool();
    apipool_query_open(&query, p, fuzz_text(p, (const char *)data, size), &flaw);
    const char *text = apipool_query_string(&query, "q", 20);
    MUST(!text || (*text && strlen(text) <= 20));
    for (const char *c = text; c && *c; c++) {
        MUST((unsigned char)*c >= ' ' && *c != 0x7f);
    }
    apr_int64_t limit = apipool_query_integer(&query, "limit", 1, 1000, -1);
    MUST(limit == -1 || (limit >= 1 && limit <= 1000));
    int order = apipool_query_choice(&query, "order", orders, 2, -1);
    MUST(order >= -1 && order <= 1);
    MUST(apipool_query_close(&query) == !flaw.message);
    MUST(!flaw.field || flaw.message);
    apr_pool_destroy(p);
    return 0;
}
