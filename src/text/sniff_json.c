/* SPDX-License-Identifier: Apache-2.0
 * Reads members of JSON objects, and checks whether a text is strictly JSON as in RFC 8259. */
#include <string.h>

#include "ascii.h"
#include "sniff_parts.h"

#define BYTE_ORDER_MARK "\xef\xbb\xbf"
#define PLAIN_MAX       256 /* bytes examined in one go */

enum {
    BEGIN = APIPOOL_SNIFF_BEGIN,
    TRAILER = APIPOOL_SNIFF_TRAILER,
    IGNORE = APIPOOL_SNIFF_IGNORE,
    NAME_OR_END = APIPOOL_SNIFF_OWN, /* expected next */
    NAME,
    COLON,
    VALUE_OR_END,
    VALUE,
    COMMA_OR_END,
    STRING, /* inside a value */
    SCALAR,
    NESTED
};

/* How far a number has been read; from ZERO on it may end. */
enum { NOTHING, MINUS, POINT, E, SIGN, BROKEN, ZERO, DIGITS, FRACTION, EXPONENT };

static const char NO_JSON[] = "the body is not JSON as RFC 8259 has it";

apr_size_t apipool_sniff_json_ambiguous(apipool_sniff_t *s, const char *what)
{
    apipool_sniff_ambiguous(s, what);
    if (s->escape > 1 && !apipool_sniff_is_relevant(s)) {
        s->escape = 0; /* in a skipped string only the backslash counts */
    }
    if (!apipool_sniff_is_tracked(s)) {
        s->in_string = s->state == STRING;
        s->skipped = (apr_uint64_t)(s->depth - s->level);
        s->depth = s->level;
        s->state = NESTED;
    }
    return 0;
}

apr_size_t apipool_sniff_json_fail(apipool_sniff_t *s)
{
    if (!apipool_sniff_is_tracked(s) || (s->state == STRING && !apipool_sniff_is_relevant(s))) {
        return apipool_sniff_json_ambiguous(s, NO_JSON);
    }
    apipool_sniff_give_up(s, NO_JSON);
    return 1;
}

/* --- Between names and values --- */

static apr_size_t step_begin(apipool_sniff_t *s, char c)
{
    if (s->seen < 3 && s->matched == (apr_size_t)s->seen && c == BYTE_ORDER_MARK[s->seen]) {
        s->matched++;
        apipool_sniff_ambiguous(s, NO_JSON);
    }
    else if (c == '{' && s->matched % 3 == 0) {
        s->body = APIPOOL_SNIFF_JSON;
        s->inside = s->seen + 1;
        s->depth = s->level = 1;
        s->candidates[0] = s->count > 0 ? UINT64_MAX >> (64 - s->count) : 0;
        s->state = NAME_OR_END;
    }
    else if (!apipool_ascii_is_blank(c) || s->matched % 3) {
        apipool_sniff_ambiguous(s, NO_JSON);
        s->state = IGNORE;
    }
    return 1;
}

/* Outside tracked objects each bracket has a bit. */
static int is_in_object(const apipool_sniff_t *s)
{
    return apipool_sniff_is_tracked(s) ||
           (s->strict->is_object[(s->depth - 1) / 8] >> ((s->depth - 1) % 8) & 1);
}

static apr_size_t open_bracket(apipool_sniff_t *s, char c)
{
    if (apipool_sniff_is_tracked(s) && s->inner && c == '{' && s->level < APIPOOL_SNIFF_LEVELS) {
        s->candidates[s->level] = s->inner;
        s->prefix[s->level] = (unsigned char)(s->prefix[s->level - 1] + s->matched + 1);
        s->level++;
    }
    else if (!s->is_strict) {
        s->skipped = 1;
        s->in_string = 0;
        s->state = NESTED;
        return 1;
    }
    else if (s->depth == APIPOOL_STRICT_DEPTH) {
        return apipool_sniff_json_ambiguous(s, "the body is nested too deeply");
    }
    else {
        unsigned char bit = (unsigned char)(1 << (s->depth % 8));
        unsigned char *at = &s->strict->is_object[s->depth / 8];
        *at = (unsigned char)(c == '{' ? *at | bit : *at & ~bit);
    }
    s->depth++;
    s->state = c == '{' ? NAME_OR_END : VALUE_OR_END;
    return 1;
}

static apr_size_t close_bracket(apipool_sniff_t *s, char c, apr_off_t end)
{
    if (c != (is_in_object(s) ? '}' : ']')) {
        return apipool_sniff_json_fail(s);
    }
    int was_tracked = apipool_sniff_is_tracked(s);
    s->level -= was_tracked;
    s->depth--;
    if (!was_tracked && apipool_sniff_is_tracked(s)) {
        apipool_sniff_end_value(s, end);
    }
    s->state = s->depth ? COMMA_OR_END : TRAILER;
    return 1;
}

static void begin_string(apipool_sniff_t *s, int of_name)
{
    s->of_name = of_name;
    s->escape = 0;
    s->high = 0;
    s->state = STRING;
    if (s->is_strict) {
        s->strict->utf8.more = 0;
    }
    if (of_name && apipool_sniff_is_tracked(s)) {
        s->members += s->level == 1;
        s->matched = 0;
        s->matching = s->candidates[s->level - 1];
    }
}

static apr_size_t begin_value(apipool_sniff_t *s, char c, apr_off_t at)
{
    static const struct {
        char first;
        apipool_sniff_kind_e kind;
        const char *literal;
    } kinds[] = {{'"', APIPOOL_SNIFF_STRING, NULL},   {'{', APIPOOL_SNIFF_OBJECT, NULL},
                 {'[', APIPOOL_SNIFF_ARRAY, NULL},    {'t', APIPOOL_SNIFF_TRUE, "true"},
                 {'f', APIPOOL_SNIFF_FALSE, "false"}, {'n', APIPOOL_SNIFF_NULL, "null"},
                 {0, APIPOOL_SNIFF_NUMBER, NULL}}; /* or invalid, which the next step finds out */
    int i = 0;
    while (kinds[i].first && kinds[i].first != c) {
        i++;
    }
    if (apipool_sniff_is_tracked(s)) {
        apipool_sniff_begin_value(s, kinds[i].kind, at);
        s->opener = c;
    }
    if (c == '"') {
        begin_string(s, 0);
        return 1;
    }
    if (c == '{' || c == '[') {
        return open_bracket(s, c);
    }
    s->literal = kinds[i].literal;
    s->number = NOTHING;
    s->state = SCALAR;
    return 0;
}

static apr_size_t step_mark(apipool_sniff_t *s, char c, apr_off_t at)
{
    if (apipool_ascii_is_blank(c)) {
        return 1;
    }
    if ((s->state == NAME || s->state == NAME_OR_END) && c == '"') {
        begin_string(s, 1);
        return 1;
    }
    if (s->state == COLON && c == ':') {
        s->state = VALUE;
        return 1;
    }
    if (s->state == COMMA_OR_END && c == ',') {
        s->state = is_in_object(s) ? NAME : VALUE;
        return 1;
    }
    if ((s->state == NAME_OR_END && c == '}') || (s->state == VALUE_OR_END && c == ']') ||
        (s->state == COMMA_OR_END && (c == '}' || c == ']'))) {
        return close_bracket(s, c, at + 1);
    }
    return s->state == VALUE || s->state == VALUE_OR_END ? begin_value(s, c, at)
                                                         : apipool_sniff_json_fail(s);
}

static apr_size_t step_between(apipool_sniff_t *s, const char *data, apr_size_t len)
{
    apr_size_t i = 0, done;
    do {
        done = step_mark(s, data[i], s->seen + (apr_off_t)i);
        i += done;
    } while (done && i < len &&
             ((s->state >= NAME_OR_END && s->state <= COMMA_OR_END) || s->state == TRAILER));
    return i;
}

/* --- Strings --- */

static apr_size_t end_string(apipool_sniff_t *s, apr_off_t end)
{
    if (apipool_sniff_is_tracked(s)) {
        apipool_sniff_json_append(s, NULL, 0);
        if (s->of_name) {
            apipool_sniff_json_end_name(s);
        }
        else {
            apipool_sniff_end_value(s, end);
        }
    }
    s->state = s->of_name ? COLON : COMMA_OR_END;
    return 1;
}

/* Skips past the closing quote, or to the end. A quote closes unless an odd number of backslashes
 * precedes it, so no other byte has to be examined: images pass at the speed of memchr. */
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

/* Counts the bytes before the next quote or backslash, up to PLAIN_MAX. */
static apr_size_t count_plain(const char *data, apr_size_t len)
{
    apr_size_t i = 0;
    while (i < len && i < PLAIN_MAX && data[i] != '"' && data[i] != '\\') {
        i++;
    }
    return i;
}

/* Skips eight bytes at a time that are ASCII without quotes, backslashes and control characters.
 * The lowest mark is that of the first other byte; higher ones may be false, caused by its
 * borrow. */
static const char *skip_ascii(const char *p, const char *end)
{
    const apr_uint64_t ones = ~APR_UINT64_C(0) / 255;
    for (apr_size_t words = (apr_size_t)(end - p) / 8; words; words--, p += 8) {
        apr_uint64_t word, quote, slash, marks;
        memcpy(&word, p, sizeof(word));
        quote = word ^ (ones * '"');
        slash = word ^ (ones * '\\');
        marks = ((word - ones * 0x20) | (quote - ones) | (slash - ones) | word) & (ones * 0x80);
        if (marks) {
#if !APR_IS_BIGENDIAN
            p += __builtin_ctzll(marks) / 8;
#endif
            break;
        }
    }
    return p;
}

/* Counts the bytes before the next quote, backslash, or byte that is not allowed in a string. */
static apr_size_t count_strict(apipool_utf8_t *utf8, const char *data, apr_size_t len)
{
    const char *p = data, *end = data + len;
    for (;;) {
        if (!utf8->more) {
            p = skip_ascii(p, end);
        }
        if (p == end || (!utf8->more && (*p == '"' || *p == '\\' || (unsigned char)*p < 0x20)) ||
            !apipool_utf8_next(utf8, (unsigned char)*p)) {
            return (apr_size_t)(p - data);
        }
        p++;
    }
}

/* Reads one run of text at most, or the mark after it. */
static apr_size_t step_text(apipool_sniff_t *s, const char *data, apr_size_t len, apr_off_t at)
{
    int is_inside = s->is_strict && s->strict->utf8.more;
    apr_size_t n =
        s->is_strict ? count_strict(&s->strict->utf8, data, len) : count_plain(data, len);
    if (n > 0) {
        if (apipool_sniff_is_relevant(s)) {
            apipool_sniff_json_append(s, data, n);
        }
        return n;
    }
    if (!is_inside && *data == '"') {
        return end_string(s, at + 1);
    }
    if (!is_inside && *data == '\\') {
        s->escape = 1;
        return 1;
    }
    return apipool_sniff_json_ambiguous(s, is_inside || *data & 0x80 ? "the body is not UTF-8"
                                                                     : NO_JSON);
}

static apr_size_t step_string(apipool_sniff_t *s, const char *data, apr_size_t len)
{
    apr_size_t i = 0;
    while (i < len && s->state == STRING) {
        apr_off_t at = s->seen + (apr_off_t)i;
        if (s->escape > (s->is_strict || apipool_sniff_is_relevant(s) ? 0 : 1)) {
            i += apipool_sniff_json_escape(s, data[i]);
        }
        else if (s->is_strict || apipool_sniff_is_relevant(s)) {
            i += step_text(s, data + i, len - i, at);
        }
        else {
            int closed;
            i += skip_string(s, data + i, len - i, &closed);
            if (closed) {
                end_string(s, s->seen + (apr_off_t)i);
            }
        }
    }
    return i;
}

/* --- Other values --- */

/* The state of a number after one more character (RFC 8259 section 6); BROKEN if it cannot continue
 * so. */
static int number_after(int passed, char c)
{
    static const char marks[] = "-+.eE0123456789";
    static const unsigned char next[][6] = {
        /* after minus, plus, point, e, 0, 1 to 9 */
        [NOTHING] = {MINUS, BROKEN, BROKEN, BROKEN, ZERO, DIGITS},
        [MINUS] = {BROKEN, BROKEN, BROKEN, BROKEN, ZERO, DIGITS},
        [ZERO] = {BROKEN, BROKEN, POINT, E, BROKEN, BROKEN},
        [DIGITS] = {BROKEN, BROKEN, POINT, E, DIGITS, DIGITS},
        [POINT] = {BROKEN, BROKEN, BROKEN, BROKEN, FRACTION, FRACTION},
        [FRACTION] = {BROKEN, BROKEN, BROKEN, E, FRACTION, FRACTION},
        [E] = {SIGN, SIGN, BROKEN, BROKEN, EXPONENT, EXPONENT},
        [SIGN] = {BROKEN, BROKEN, BROKEN, BROKEN, EXPONENT, EXPONENT},
        [EXPONENT] = {BROKEN, BROKEN, BROKEN, BROKEN, EXPONENT, EXPONENT}};
    static const unsigned char columns[] = {0, 1, 2, 3, 3, 4, 5, 5, 5, 5, 5, 5, 5, 5, 5};
    const char *at = c ? strchr(marks, c) : NULL;
    return at ? next[passed][columns[at - marks]] : BROKEN;
}

static apr_size_t end_scalar(apipool_sniff_t *s, apr_off_t end)
{
    if (s->literal ? *s->literal : s->number < ZERO) {
        return apipool_sniff_json_fail(s);
    }
    if (apipool_sniff_is_tracked(s)) {
        apipool_sniff_end_value(s, end);
    }
    s->state = COMMA_OR_END;
    return 0;
}

static apr_size_t step_scalar_byte(apipool_sniff_t *s, char c, apr_off_t at)
{
    if (c == ',' || c == '}' || apipool_ascii_is_blank(c) ||
        (c == ']' && !apipool_sniff_is_tracked(s))) {
        return end_scalar(s, at);
    }
    if (s->literal) {
        if (!*s->literal || c != *s->literal) {
            return apipool_sniff_json_fail(s);
        }
        s->literal++;
        return 1;
    }
    int number = number_after(s->number, c);
    if (number == BROKEN) {
        return apipool_sniff_json_fail(s);
    }
    s->number = number;
    if (apipool_sniff_is_tracked(s)) {
        apipool_sniff_append(s, &c, 1);
    }
    return 1;
}

/* Numbers and literals end where something else begins. */
static apr_size_t step_scalar(apipool_sniff_t *s, const char *data, apr_size_t len)
{
    apr_size_t i = 0, done;
    do {
        done = step_scalar_byte(s, data[i], s->seen + (apr_off_t)i);
        i += done;
    } while (done && i < len && s->state == SCALAR);
    return i;
}

/* Skips an object or array that is a value; only its end matters. */
static apr_size_t step_nested(apipool_sniff_t *s, const char *data, apr_size_t len)
{
    static const char marks[256] = {['"'] = 1, ['{'] = 1, ['}'] = 1, ['['] = 1, [']'] = 1};
    apr_size_t i = 0;
    int closed;

    while (i < len) {
        if (s->in_string) {
            i += skip_string(s, data + i, len - i, &closed);
            s->in_string = (char)!closed;
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
            s->skipped++;
        }
        else if (--s->skipped == 0) {
            if (c != s->opener + 2) { /* in ASCII each closing bracket is its opener + 2 */
                apipool_sniff_give_up(s, NO_JSON);
                break;
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

void apipool_sniff_json_end(apipool_sniff_t *s)
{
    if (s->state != TRAILER) {
        apipool_sniff_ambiguous(s, NO_JSON);
    }
}
