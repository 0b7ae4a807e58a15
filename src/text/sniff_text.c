/* SPDX-License-Identifier: Apache-2.0
 * Decodes JSON strings: member names, which are compared with the given ones, and values. */
#include <string.h>

#include "ascii.h"
#include "percent.h"
#include "sniff_parts.h"

#define REPLACEMENT 0xfffd

static int is_next(const apipool_sniff_name_t *given, char next, char c)
{
    c = given->any_case ? apipool_ascii_lower(c) : c;
    return next == c && c && !(given->is_path && c == '/');
}

/* Tests whether a name continues with these bytes; none does with a NUL. */
static int continues(const apipool_sniff_name_t *given, apr_size_t from, const char *data,
                     apr_size_t len)
{
    const char *name = given->name + from;
    apr_size_t i = 0;
    while (i < len && is_next(given, name[i], data[i])) {
        i++;
    }
    return i == len;
}

static void emit(apipool_sniff_t *s, const char *data, apr_size_t len)
{
    if (!s->of_name) {
        apipool_sniff_append(s, data, len);
        return;
    }
    apr_size_t from = s->prefix[s->level - 1] + s->matched;
    apr_uint64_t matching = s->matching;
    for (apr_uint64_t left = matching; left; left &= left - 1) {
        if (!continues(&s->names[__builtin_ctzll(left)], from, data, len)) {
            matching ^= left & -left;
        }
    }
    s->matching = matching;
    s->matched += len;
}

static void emit_code(apipool_sniff_t *s, unsigned code)
{
    static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    char bytes[4];
    apr_size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

    for (apr_size_t i = n; i-- > 1; code >>= 6) {
        bytes[i] = (char)(0x80 | (code & 0x3f));
    }
    bytes[0] = (char)(leads[n] | code);
    emit(s, bytes, n);
}

static void end_pair(apipool_sniff_t *s)
{
    if (s->high) {
        emit_code(s, REPLACEMENT);
        s->high = 0;
    }
}

void apipool_sniff_json_append(apipool_sniff_t *s, const char *data, apr_size_t len)
{
    end_pair(s);
    if (len > 0) {
        emit(s, data, len);
    }
}

static int is_surrogate(unsigned unit)
{
    return unit >= 0xd800 && unit < 0xe000;
}

static void emit_unit(apipool_sniff_t *s, unsigned unit)
{
    if (is_surrogate(unit) && unit >= 0xdc00) {
        unsigned high = s->high;
        s->high = 0;
        emit_code(s, high ? 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00) : REPLACEMENT);
        return;
    }
    end_pair(s);
    if (is_surrogate(unit)) {
        s->high = unit;
        return;
    }
    emit_code(s, unit ? unit : REPLACEMENT);
}

static apr_size_t step_letter(apipool_sniff_t *s, char c)
{
    static const char escapes[] = "\"\\/bfnrtu", meant[] = "\"\\/\b\f\n\r\t";
    const char *at = c ? strchr(escapes, c) : NULL;
    if (!at) {
        return apipool_sniff_json_fail(s);
    }
    s->unit = 0;
    s->escape = c == 'u' ? 2 : 0;
    if (c != 'u' && apipool_sniff_is_relevant(s)) {
        end_pair(s);
        emit(s, &meant[at - escapes], 1);
    }
    return 1;
}

/* Some readers end a name at a NUL or an unpaired surrogate, others drop the character. */
apr_size_t apipool_sniff_json_escape(apipool_sniff_t *s, char c)
{
    int digit = apipool_hex_digit(c), is_last = s->escape == 5;
    unsigned unit = s->unit << 4 | (unsigned)digit;
    if (s->escape == 1) {
        return step_letter(s, c);
    }
    if (digit < 0) {
        return apipool_sniff_json_fail(s);
    }
    if (s->is_strict && is_last && s->of_name &&
        (unit < 0x20 || is_surrogate(unit) || unit == 0xfeff)) {
        return apipool_sniff_json_ambiguous(s, "a name has characters that some readers drop");
    }
    s->unit = unit;
    s->escape = is_last ? 0 : s->escape + 1;
    if (is_last && apipool_sniff_is_relevant(s)) {
        emit_unit(s, unit);
    }
    return 1;
}

void apipool_sniff_json_end_name(apipool_sniff_t *s)
{
    apr_size_t len = s->prefix[s->level - 1] + s->matched;
    s->current = -1;
    s->inner = 0;
    for (apr_uint64_t left = s->matching; left; left &= left - 1) {
        int k = __builtin_ctzll(left);
        if (!s->names[k].name[len]) {
            s->current = k;
        }
        else if (s->names[k].is_path && s->names[k].name[len] == '/') {
            s->inner |= left & -left;
        }
    }
}
