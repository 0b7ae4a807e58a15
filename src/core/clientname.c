/* SPDX-License-Identifier: Apache-2.0
 * Names of clients. */
#include "clientname.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

const char *apipool_clientname_normalise(const char *text, apr_pool_t *p)
{
    utf8proc_uint8_t *made = utf8proc_NFC((const utf8proc_uint8_t *)text);
    const char *name = made ? apr_pstrdup(p, (const char *)made) : text;
    free(made);
    return name;
}

/* Letters, marks and numbers, less those that are not drawn. */
static int is_word(utf8proc_int32_t c)
{
    utf8proc_category_t category = utf8proc_category(c);
    return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NO &&
           !utf8proc_get_property(c)->ignorable;
}

static int is_allowed(utf8proc_int32_t c)
{
    return c < 0x80 ? c >= ' ' && c != 0x7f && !strchr("\"'`/\\", (int)c) : is_word(c);
}

const char *apipool_clientname_fault(const char *name, apr_pool_t *p)
{
    apr_size_t len = strlen(name);
    utf8proc_int32_t c;
    utf8proc_ssize_t read;
    for (const char *at = name; *at; at += read) {
        read = utf8proc_iterate((const utf8proc_uint8_t *)at, -1, &c);
        if (read <= 0) {
            return "Must be 1 to 63 bytes of UTF-8.";
        }
        if (!is_allowed(c)) {
            return apr_psprintf(p,
                                "Must not contain U+%04X: only letters, marks and numbers of any "
                                "script, blanks, and ASCII punctuation other than quotes, slashes "
                                "and backslashes are allowed.",
                                (unsigned)c);
        }
    }
    if (!len || len >= APIPOOL_CLIENTNAME_SIZE) {
        return "Must be 1 to 63 bytes of UTF-8.";
    }
    if (name[0] == ' ' || name[len - 1] == ' ') {
        return "Must not begin or end with a blank.";
    }
    return name[0] == '.' ? "Must not begin with '.'." : NULL;
}
