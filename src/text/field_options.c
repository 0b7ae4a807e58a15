/* SPDX-License-Identifier: Apache-2.0
 * Lists of tokens in a field, as Connection has them. */
#include "field_options.h"

#include <apr_cstr.h>
#include <string.h>

int apipool_field_options_name(const char *list, const char *token)
{
    static const char between[] = ",; \t"; /* some write semicolons */
    if (!list || !apr_cstr_casecmp(list, "keep-alive")) {
        return list && !apr_cstr_casecmp(list, token);
    }
    apr_size_t token_len = strlen(token);
    while (*(list += strspn(list, between))) {
        apr_size_t len = strcspn(list, between);
        if (len == token_len && !apr_cstr_casecmpn(list, token, len)) {
            return 1;
        }
        list += len;
    }
    return 0;
}
