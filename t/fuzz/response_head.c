/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: heads of responses, which come in one piece or in two. */
#include <string.h>

#include "fuzz.h"
#include "response_head.h"

/* The first byte tells where the second piece begins. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apipool_status_line_t line;
    char *name, *value;
    int more;

    if (!size) {
        return 0;
    }
    size_t first = *data++;
    size--;
    first = first < size ? first : size;
    apr_pool_t *p = fuzz_pool();
    char *text = fuzz_text(p, (const char *)data, size); /* so that a byte too far is found */
    char *end = apipool_response_head_end(text, size, 0);
    char *end_of_first = apipool_response_head_end(text, first, 0);
    MUST((end_of_first ? end_of_first : apipool_response_head_end(text, size, first)) == end);
    if (!end) {
        apr_pool_destroy(p);
        return 0;
    }
    char *head = fuzz_text(p, text, (size_t)(end - text)), *at = head;
    end = head + (end - text);
    if (apipool_response_head_status(&at, end, &line)) {
        MUST(line.status >= 100 && line.status <= 999 && line.minor >= 0 && line.minor <= 9);
        MUST(strlen(line.text) >= 4 && line.text[3] == ' ' && at > head && at <= end);
        while ((more = apipool_response_head_field(&at, end, &name, &value)) > 0) {
            MUST(*name && !strpbrk(name, ": \t\r\n") && !strpbrk(value, "\r\n"));
            MUST(name > head && value > name && at <= end && value + strlen(value) < at);
        }
        MUST(more < 0 || at <= end);
    }
    apr_pool_destroy(p);
    return 0;
}
