/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: heads of answers, in lines and parts of lines. */
#include <string.h>

#include "fuzz.h"
#include "head.h"

/* Whether a field that was set aside stands in the head as it is. */
static int stands_in(const uint8_t *data, size_t size, const apr_table_entry_t *field)
{
    size_t name_len = strlen(field->key), value_len = strlen(field->val);
    for (size_t i = 0; i + name_len + 1 + value_len <= size; i++) {
        if (!memcmp(data + i, field->key, name_len) && data[i + name_len] == ':') {
            size_t at = i + name_len + 1;
            while (at < size && (data[at] == ' ' || data[at] == '\t')) {
                at++;
            }
            if (at + value_len <= size && !memcmp(data + at, field->val, value_len)) {
                return 1;
            }
        }
    }
    return 0;
}

/* The first byte tells how long the parts of lines are at most. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apipool_head_t head;
    size_t shown = 0, taken = 0;

    if (!size) {
        return 0;
    }
    size_t most = *data++ + 1;
    size--;
    apr_pool_t *p = fuzz_pool();
    apipool_head_begin(&head, p);
    for (size_t at = 0, len; at < size; at += len) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        len = end ? (size_t)(end - data) + 1 - at : size - at;
        len = len < most ? len : most;
        char *line =
            fuzz_text(p, (const char *)data + at, len); /* so that a byte too far is found */
        int is_taken = apipool_head_takes(&head, line, len, at + len < size ? data[at + len] : -1);
        *(is_taken ? &taken : &shown) += len;
    }
    MUST(head.bytes == size && shown + taken == size);
    apr_table_t *fields = apr_table_make(p, 5);
    apipool_head_complete(&head, fields);
    const apr_array_header_t *list = apr_table_elts(fields);
    MUST(!list->nelts || taken);
    for (int i = 0; i < list->nelts; i++) {
        const apr_table_entry_t *field = &APR_ARRAY_IDX(list, i, apr_table_entry_t);
        MUST(*field->key && !strpbrk(field->key, ": \t\r\n") && !strpbrk(field->val, "\r\n"));
        MUST(stands_in(data, size, field));
    }
    apr_pool_destroy(p);
    return 0;
}
