/* SPDX-License-Identifier: Apache-2.0
 * Classifies the names of fields and arguments. */
#include "strict.h"

#include <apr_lib.h>
#include <string.h>

#include "ascii.h"

static int is_word(const char *text, apr_size_t len, const char *word)
{
    return len == strlen(word) && !apr_cstr_casecmpn(text, word, len);
}

apipool_name_e apipool_strict_name(const char *name)
{
    if (!apr_cstr_casecmp(name, "model") || !apr_cstr_casecmp(name, "deployment")) {
        return APIPOOL_NAME_MODEL;
    }
    for (const char *p = name; *p; p++) {
        if ((*p == '%' && apr_isxdigit(p[1])) || (*p == '&' && p[1] == '#')) {
            return APIPOOL_NAME_AMBIGUOUS;
        }
    }
    for (const char *p = name; *p;) {
        apr_size_t len = 0;
        while (apipool_ascii_is_alnum(p[len]) || p[len] == '_' || p[len] == '-' ||
               (p[len] & 0x80)) {
            len++;
        }
        if (is_word(p, len, "model") || is_word(p, len, "deployment")) {
            return APIPOOL_NAME_AMBIGUOUS;
        }
        p += len + (p[len] != '\0');
    }
    return APIPOOL_NAME_OTHER;
}

int apipool_strict_is_argument(const char *name)
{
    for (const char *p = name; *p; p++) {
        if (*p <= 0x20 || *p > 0x7e) {
            return 0;
        }
    }
    return apipool_strict_name(name) != APIPOOL_NAME_AMBIGUOUS;
}
