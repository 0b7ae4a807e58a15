/* SPDX-License-Identifier: Apache-2.0
 * Names of clients: allowed characters and normal form. */
#include "client_name.h"

#include <apr_strings.h>
#include <string.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>
#include <unicode/utf8.h>

/* Normalisation at most triples the length of a text (Unicode Standard Annex #15, 9). */
#define UNITS_MAX (3 * TEXT_MAX)
#define TEXT_MAX  1024 /* bytes of a text that may become a name */

const char *apipool_client_name_normalise(const char *text, apr_pool_t *p)
{
    UChar units[TEXT_MAX], made[UNITS_MAX];
    char name[3 * UNITS_MAX + 1];
    UErrorCode error = U_ZERO_ERROR;
    int32_t len = 0;
    const UNormalizer2 *nfc = unorm2_getNFCInstance(&error);
    u_strFromUTF8(units, TEXT_MAX, &len, text, -1, &error);
    len = unorm2_normalize(nfc, units, len, made, UNITS_MAX, &error);
    u_strToUTF8(name, sizeof(name), &len, made, len, &error);
    return U_SUCCESS(error) ? apr_pstrmemdup(p, name, (apr_size_t)len) : text;
}

/* Visible letters, marks and numbers. */
static int is_word(UChar32 c)
{
    return (U_GET_GC_MASK(c) & (U_GC_L_MASK | U_GC_M_MASK | U_GC_N_MASK)) &&
           !u_hasBinaryProperty(c, UCHAR_DEFAULT_IGNORABLE_CODE_POINT);
}

static int is_allowed(UChar32 c)
{
    return c < 0x80 ? c >= ' ' && c != 0x7f && !strchr("\"'`/\\", (int)c) : is_word(c);
}

const char *apipool_client_name_fault(const char *name, apr_pool_t *p)
{
    apr_size_t len = strlen(name), at = 0;
    while (at < len) {
        UChar32 c;
        U8_NEXT(name, at, len, c);
        if (c < 0) {
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
    if (!len || len >= APIPOOL_CLIENT_NAME_SIZE) {
        return "Must be 1 to 63 bytes of UTF-8.";
    }
    if (name[0] == ' ' || name[len - 1] == ' ') {
        return "Must not begin or end with a blank.";
    }
    return name[0] == '.' ? "Must not begin with '.'." : NULL;
}
