/* SPDX-License-Identifier: Apache-2.0
 * Members of the outermost object of a JSON text, read byte by byte where it matters. */
#include "bytes.h"
#include "jsonnumber.h"
#include "sniff_parts.h"

#define BYTE_ORDER_MARK "\xef\xbb\xbf"
#define REPLACEMENT     0xfffd

enum {
    BEGIN = APIPOOL_SNIFF_BEGIN,
    TRAILER = APIPOOL_SNIFF_TRAILER,
    IGNORE = APIPOOL_SNIFF_IGNORE,
    NAME_OR_END = APIPOOL_SNIFF_OWN, /* what may come next */
    NAME,
    COLON,
    VALUE,
    COMMA_OR_END,
    STRING, /* inside of something */
    SCALAR,
    NESTED
};

static apr_size_t step_begin(apipool_sniff_t *s, char c)
{
    if (s->seen < 3 && s->matched == (apr_size_t)s->seen && c == BYTE_ORDER_MARK[s->seen]) {
        s->matched++;
    }
    else if (c == '{' && s->matched % 3 == 0) {
        s->body = APIPOOL_SNIFF_JSON;
        s->inside = s->seen + 1;
        s->state = NAME_OR_END;
    }
    else if (!apipool_sniff_is_blank(c) || s->matched % 3) {
        s->state = IGNORE;
    }
    return 1;
}

static void begin_string(apipool_sniff_t *s, int of_name)
{
    s->of_name = of_name;
    s->escape = 0;
    s->high = 0;
    s->state = STRING;
    if (of_name) {
        s->members++;
        s->matched = 0;
        s->matching = s->count > 0 ? UINT64_MAX >> (64 - s->count) : 0;
    }
}

/* Whatever begins with nothing of the kind is a number or, as the next step will see, nothing. */
static apipool_sniff_kind_e kind_of(char first)
{
    switch (first) {
    case '"':
        return APIPOOL_SNIFF_STRING;
    case '{':
        return APIPOOL_SNIFF_OBJECT;
    case '[':
        return APIPOOL_SNIFF_ARRAY;
    case 't':
        return APIPOOL_SNIFF_TRUE;
    case 'f':
        return APIPOOL_SNIFF_FALSE;
    case 'n':
        return APIPOOL_SNIFF_NULL;
    default:
        return APIPOOL_SNIFF_NUMBER;
    }
}

static apr_size_t step_value(apipool_sniff_t *s, char c, apr_off_t at)
{
    apipool_sniff_kind_e kind = kind_of(c);

    apipool_sniff_begin_value(s, kind, at);
    s->matched = 0;
    s->number = 0;
    s->depth = 1;
    s->opener = c;
    s->in_string = 0;
    switch (kind) {
    case APIPOOL_SNIFF_STRING:
        begin_string(s, 0);
        return 1;
    case APIPOOL_SNIFF_OBJECT:
    case APIPOOL_SNIFF_ARRAY:
        s->state = NESTED;
        return 1;
    default:
        s->state = SCALAR;
        return 0;
    }
}

static apr_size_t step_mark(apipool_sniff_t *s, char c, apr_off_t at)
{
    if (apipool_sniff_is_blank(c)) {
        return 1;
    }
    if (s->state == VALUE) {
        return step_value(s, c, at);
    }
    if ((s->state == NAME || s->state == NAME_OR_END) && c == '"') {
        begin_string(s, 1);
    }
    else if (s->state == COLON && c == ':') {
        s->state = VALUE;
    }
    else if (s->state == COMMA_OR_END && c == ',') {
        s->state = NAME;
    }
    else if ((s->state == COMMA_OR_END || s->state == NAME_OR_END) && c == '}') {
        s->state = TRAILER;
    }
    else {
        apipool_sniff_give_up(s);
    }
    return 1;
}

/* Whether a name goes on with these bytes; with a NUL among them none does. */
static int goes_on(const apipool_sniffed_t *wanted, apr_size_t from, const char *data,
                   apr_size_t len)
{
    const char *name = wanted->name + from;
    apr_size_t i = 0;
    while (i < len && name[i] &&
           (name[i] == data[i] || (wanted->any_case && data[i] >= 'A' && data[i] <= 'Z' &&
                                   name[i] == (data[i] | 0x20)))) {
        i++;
    }
    return i == len;
}

/* A name that stands there to its end, and as it is meant, as most do. Returns what of it was read: 0 where
 * it has to be read byte by byte. */
static apr_size_t take_name(apipool_sniff_t *s, const char *data, apr_size_t len)
{
    const char *end = apipool_find_either(data, data + len, '"', '\\');
    apr_size_t n = (apr_size_t)(end - data);

    if (n == len || *end != '"') {
        return 0;
    }
    s->current = -1;
    for (int k = 0; k < s->count; k++) {
        const apipool_sniffed_t *wanted = &s->wanted[k];
        if (goes_on(wanted, 0, data, n) && !wanted->name[n]) {
            s->current = k;
        }
    }
    s->state = COLON;
    return n + 1;
}

/* Between names and values, in the outermost object. */
static apr_size_t step_between(apipool_sniff_t *s, const char *data, apr_size_t len)
{
    apr_size_t i = 0;
    do {
        i += step_mark(s, data[i], s->seen + (apr_off_t)i);
        if (s->state == STRING && s->of_name) {
            i += take_name(s, data + i, len - i);
        }
    } while (i < len && s->state >= NAME_OR_END && s->state <= COMMA_OR_END);
    return i;
}

static void emit(apipool_sniff_t *s, const char *data, apr_size_t len)
{
    if (!s->of_name) {
        apipool_sniff_append(s, data, len, APIPOOL_SNIFF_TEXT_SIZE - 1);
        return;
    }
    for (int k = 0; k < s->count; k++) {
        apr_uint64_t bit = APR_UINT64_C(1) << k;
        if (s->matching & bit && !goes_on(&s->wanted[k], s->matched, data, len)) {
            s->matching &= ~bit;
        }
    }
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

static void emit_unit(apipool_sniff_t *s, unsigned unit)
{
    if (unit >= 0xdc00 && unit < 0xe000) {
        unsigned high = s->high;
        s->high = 0;
        emit_code(s, high ? 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00) : REPLACEMENT);
        return;
    }
    end_pair(s);
    if (unit >= 0xd800 && unit < 0xdc00) {
        s->high = unit;
        return;
    }
    emit_code(s, unit ? unit : REPLACEMENT);
}

/* Returns 0 where no such escape is. */
static int step_escape(apipool_sniff_t *s, char c)
{
    static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    static const char digits[] = "0123456789abcdef";
    const char *at =
        c ? strchr(s->escape == 1 ? escapes : digits, s->escape == 1 ? c : c | 0x20) : NULL;

    if (s->escape == 1) {
        s->unit = 0;
        s->escape = c == 'u' ? 2 : 0;
        if (at) {
            end_pair(s);
            emit(s, &meant[at - escapes], 1);
        }
        return at || c == 'u';
    }
    if (!at || c < '0') {
        return 0;
    }
    s->unit = s->unit << 4 | (unsigned)(at - digits);
    s->escape = s->escape < 5 ? s->escape + 1 : 0;
    if (!s->escape) {
        emit_unit(s, s->unit);
    }
    return 1;
}

/* Goes behind the closing quote, or to the end. Whether a quote closes depends on how many backslashes
 * stand before it, so there is no need to look at any other byte: images pass as fast as memchr is. */
static apr_size_t skip_string(apipool_sniff_t *s, const char *data, apr_size_t len, int *closed)
{
    apr_size_t i = s->escape ? 1 : 0;

    s->escape = 0;
    *closed = 0;
    while (i < len) {
        const char *quote = memchr(data + i, '"', len - i);
        apr_size_t end = quote ? (apr_size_t)(quote - data) : len, slashes = 0;
        while (end - slashes > i && data[end - slashes - 1] == '\\') {
            slashes++;
        }
        if (!quote) {
            s->escape = slashes % 2;
            break;
        }
        i = end + 1;
        if (slashes % 2 == 0) {
            *closed = 1;
            return i;
        }
    }
    return len;
}

static void end_string(apipool_sniff_t *s, apr_off_t end)
{
    end_pair(s);
    if (!s->of_name) {
        apipool_sniff_end_value(s, end);
        s->state = COMMA_OR_END;
        return;
    }
    s->current = -1;
    for (int k = 0; k < s->count; k++) {
        if (s->matching & APR_UINT64_C(1) << k && !s->wanted[k].name[s->matched]) {
            s->current = k;
        }
    }
    s->state = COLON;
}

/* Bytes before the next quote or backslash, as many as are worth to be looked at together. */
static apr_size_t count_plain(const char *data, apr_size_t len)
{
    apr_size_t i = 0;
    while (i < len && i < APIPOOL_SNIFF_TEXT_SIZE && data[i] != '"' && data[i] != '\\') {
        i++;
    }
    return i;
}

/* Decodes as long as the outcome matters: a name that may be wanted, the first bytes of a value. */
static apr_size_t step_string(apipool_sniff_t *s, const char *data, apr_size_t len)
{
    apr_size_t i = 0;
    int closed = 0;

    while (i < len && !closed) {
        int matters = s->of_name ? s->matching != 0 : s->current >= 0 && !s->truncated;
        if (!matters && s->escape < 2) {
            i += skip_string(s, data + i, len - i, &closed);
        }
        else if (s->escape) {
            if (!step_escape(s, data[i++])) {
                apipool_sniff_give_up(s);
                return i;
            }
        }
        else if (data[i] == '"') {
            closed = 1;
            i++;
        }
        else if (data[i] == '\\') {
            s->escape = 1;
            i++;
        }
        else {
            apr_size_t plain = count_plain(data + i, len - i);
            end_pair(s);
            emit(s, data + i, plain);
            i += plain;
        }
    }
    if (closed) {
        end_string(s, s->seen + (apr_off_t)i);
    }
    return i;
}

/* Whether what has passed of a number or a literal is one. */
static int is_whole(const apipool_sniff_t *s, const char *literal)
{
    return literal ? !literal[s->matched] : apipool_number_is_whole(s->number);
}

static apr_size_t step_scalar_byte(apipool_sniff_t *s, char c, apr_off_t at)
{
    static const char *const literals[] = {[APIPOOL_SNIFF_ABSENT] = NULL,
                                           [APIPOOL_SNIFF_NUMBER] = NULL,
                                           [APIPOOL_SNIFF_TRUE] = "true",
                                           [APIPOOL_SNIFF_FALSE] = "false",
                                           [APIPOOL_SNIFF_NULL] = "null"};
    const char *literal = literals[s->kind];

    if (c == ',' || c == '}' || apipool_sniff_is_blank(c)) {
        if (!is_whole(s, literal)) {
            apipool_sniff_give_up(s);
            return 1;
        }
        apipool_sniff_end_value(s, at);
        s->state = COMMA_OR_END;
        return 0;
    }
    if (literal) {
        if (is_whole(s, literal) || literal[s->matched++] != c) {
            apipool_sniff_give_up(s);
        }
        return 1;
    }
    s->number = apipool_number_next(s->number, c);
    if (s->number < 0) {
        apipool_sniff_give_up(s);
        return 1;
    }
    apipool_sniff_append(s, &c, 1, APIPOOL_SNIFF_TEXT_SIZE - 1);
    return 1;
}

/* Numbers and literals end where something else begins. */
static apr_size_t step_scalar(apipool_sniff_t *s, const char *data, apr_size_t len)
{
    apr_size_t i = 0;
    while (i < len && s->state == SCALAR) {
        i += step_scalar_byte(s, data[i], s->seen + (apr_off_t)i);
    }
    return i;
}

/* Inside an object or array that is a value: nothing counts but where it ends. */
static apr_size_t step_nested(apipool_sniff_t *s, const char *data, apr_size_t len)
{
    static const char marks[256] = {['"'] = 1, ['{'] = 1, ['}'] = 1, ['['] = 1, [']'] = 1};
    apr_size_t i = 0;
    int closed;

    while (i < len) {
        if (s->in_string) {
            i += skip_string(s, data + i, len - i, &closed);
            s->in_string = !closed;
            continue;
        }
        while (i < len && !marks[(unsigned char)data[i]]) {
            i++;
        }
        if (i == len) {
            break;
        }
        char c = data[i++];
        if (c == '"') {
            s->in_string = 1;
            s->escape = 0;
        }
        else if (c == '{' || c == '[') {
            s->depth++;
        }
        else if (--s->depth == 0) {
            if (c != s->opener + 2) { /* in ASCII both pairs are two apart */
                apipool_sniff_give_up(s);
                return i;
            }
            apipool_sniff_end_value(s, s->seen + (apr_off_t)i);
            s->state = COMMA_OR_END;
            break;
        }
    }
    return i;
}

apr_size_t apipool_sniff_json_step(apipool_sniff_t *s, const char *data, apr_size_t len)
{
    switch (s->state) {
    case BEGIN:
        return step_begin(s, *data);
    case STRING:
        return step_string(s, data, len);
    case SCALAR:
        return step_scalar(s, data, len);
    case NESTED:
        return step_nested(s, data, len);
    default:
        return step_between(s, data, len);
    }
}
