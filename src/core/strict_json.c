/* SPDX-License-Identifier: Apache-2.0
 * JSON as RFC 8259 has it and nothing more, in UTF-8: one object that every reader takes alike. */
#include "strict_parts.h"

#include <apr_lib.h>
#include <string.h>

#include "jsonnumber.h"

enum { BEGIN, NAME_OR_END, NAME, COLON, VALUE_OR_END, VALUE, COMMA_OR_END, STRING, NUMBER, LITERAL, DONE };

static const char NO_JSON[] = "the body is not JSON as RFC 8259 has it";

static int is_in_object(const apipool_strict_t *s)
{
    return s->is_object[(s->depth - 1) / 8] >> ((s->depth - 1) % 8) & 1;
}

static void open_bracket(apipool_strict_t *s, char c)
{
    if (s->depth == APIPOOL_STRICT_DEPTH) {
        apipool_strict_doubt(s, "the body is nested too deeply");
        return;
    }
    unsigned char bit = (unsigned char)(1 << (s->depth % 8));
    unsigned char *at = &s->is_object[s->depth++ / 8];
    *at = (unsigned char)(c == '{' ? *at | bit : *at & ~bit);
    s->state = c == '{' ? NAME_OR_END : VALUE_OR_END;
}

static void close_bracket(apipool_strict_t *s, char c)
{
    if (is_in_object(s) != (c == '}')) {
        apipool_strict_doubt(s, NO_JSON);
    }
    s->state = --s->depth ? COMMA_OR_END : DONE;
}

static void begin_string(apipool_strict_t *s, int of_name)
{
    s->of_name = (unsigned char)of_name;
    s->escape = s->more = 0;
    s->state = STRING;
}

static void begin_value(apipool_strict_t *s, char c)
{
    if (c == '{' || c == '[') {
        open_bracket(s, c);
    }
    else if (c == '"') {
        begin_string(s, 0);
    }
    else if (c == 't' || c == 'f' || c == 'n') {
        s->literal = c == 't' ? "rue" : c == 'f' ? "alse" : "ull";
        s->state = LITERAL;
    }
    else {
        s->number = apipool_number_next(APIPOOL_NUMBER_NOTHING, c);
        s->state = NUMBER;
        if (s->number < 0) {
            apipool_strict_doubt(s, NO_JSON);
        }
    }
}

static void step_between(apipool_strict_t *s, char c)
{
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        return;
    }
    if (s->state == BEGIN && c == '{') {
        open_bracket(s, c);
    }
    else if ((s->state == NAME_OR_END || s->state == NAME) && c == '"') {
        begin_string(s, 1);
    }
    else if ((s->state == NAME_OR_END && c == '}') || (s->state == VALUE_OR_END && c == ']') ||
             (s->state == COMMA_OR_END && (c == '}' || c == ']'))) {
        close_bracket(s, c);
    }
    else if (s->state == COLON && c == ':') {
        s->state = VALUE;
    }
    else if (s->state == COMMA_OR_END && c == ',') {
        s->state = is_in_object(s) ? NAME : VALUE;
    }
    else if (s->state == VALUE || s->state == VALUE_OR_END) {
        begin_value(s, c);
    }
    else {
        apipool_strict_doubt(s, NO_JSON);
    }
}

/* Returns 0 where the byte is not the number's any more. */
static int step_number(apipool_strict_t *s, char c)
{
    int next = apipool_number_next(s->number, c);
    if (next >= 0) {
        s->number = next;
        return 1;
    }
    if (!apipool_number_is_whole(s->number)) {
        apipool_strict_doubt(s, NO_JSON);
    }
    s->state = COMMA_OR_END;
    return 0;
}

static void step_literal(apipool_strict_t *s, char c)
{
    if (c != *s->literal++) {
        apipool_strict_doubt(s, NO_JSON);
    }
    else if (!*s->literal) {
        s->state = COMMA_OR_END;
    }
}

/* A name with NUL or half a pair ends there for some readers and loses it for others. */
static void step_escape(apipool_strict_t *s, char c)
{
    if (s->escape == 1) {
        s->unit = 0;
        s->escape = c == 'u' ? 2 : 0;
        if (c != 'u' && (!c || !strchr("\"\\/bfnrt", c))) {
            apipool_strict_doubt(s, NO_JSON);
        }
        return;
    }
    if (!apr_isxdigit(c)) {
        apipool_strict_doubt(s, NO_JSON);
        return;
    }
    s->unit = s->unit << 4 | (unsigned)(apr_isdigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
    s->escape = s->escape < 5 ? s->escape + 1 : 0;
    if (!s->escape && s->of_name && (s->unit < 0x20 || (s->unit >= 0xd800 && s->unit < 0xe000) ||
                                     s->unit == 0xfeff)) {
        apipool_strict_doubt(s, "a name has characters that some readers drop");
    }
}

/* UTF-8 by RFC 3629: the first byte says how many follow, and within which limits the next one is. */
static void begin_character(apipool_strict_t *s, unsigned char c)
{
    s->low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    s->high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    s->more = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    if (c < 0xc2 || c > 0xf4) {
        apipool_strict_doubt(s, "the body is not UTF-8");
    }
}

static void step_string(apipool_strict_t *s, unsigned char c)
{
    if (s->more) {
        if (c < s->low || c > s->high) {
            apipool_strict_doubt(s, "the body is not UTF-8");
        }
        s->more--;
        s->low = 0x80;
        s->high = 0xbf;
    }
    else if (s->escape) {
        step_escape(s, (char)c);
    }
    else if (c == '"') {
        s->state = s->of_name ? COLON : COMMA_OR_END;
    }
    else if (c == '\\') {
        s->escape = 1;
    }
    else if (c >= 0x80) {
        begin_character(s, c);
    }
    else if (c < 0x20) {
        apipool_strict_doubt(s, NO_JSON);
    }
}

/* Most of a body is text that means nothing here: eight bytes at a time without quotes, backslashes, control
 * characters and anything beyond ASCII. */
static apr_size_t skip_plain(const char *p, const char *end)
{
    const apr_uint64_t ones = ~APR_UINT64_C(0) / 255;
    const char *from = p;
    for (; end - p >= 8; p += 8) {
        apr_uint64_t word, quote, slash;
        memcpy(&word, p, sizeof(word));
        quote = word ^ (ones * '"');
        slash = word ^ (ones * '\\');
        if (((word - ones * 0x20) | (quote - ones) | (slash - ones) | word) & (ones * 0x80)) {
            break;
        }
    }
    return (apr_size_t)(p - from);
}

void apipool_strict_json_feed(apipool_strict_t *s, const char *data, apr_size_t len)
{
    const char *p = data, *end = data + len;
    while (p < end && !s->doubt) {
        if (s->state == STRING) {
            p += s->more || s->escape ? 0 : skip_plain(p, end);
            if (p < end) {
                step_string(s, (unsigned char)*p++);
            }
        }
        else if (s->state == LITERAL) {
            step_literal(s, *p++);
        }
        else if (s->state == NUMBER) {
            p += step_number(s, *p);
        }
        else {
            step_between(s, *p++);
        }
    }
}

void apipool_strict_json_end(apipool_strict_t *s)
{
    if (s->state != DONE) {
        apipool_strict_doubt(s, NO_JSON);
    }
}
