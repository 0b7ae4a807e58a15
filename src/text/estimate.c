/* SPDX-License-Identifier: Apache-2.0
 * Estimates tokens: the weight of text, and which JSON strings are text. */
#include "estimate.h"

#include <apr_lib.h>
#include <string.h>

#include "ascii.h"

#define TOKEN 64 /* fractions of a token in a sum */
#define ASCII (TOKEN / APIPOOL_ESTIMATE_ASCII)

_Static_assert(sizeof(apipool_estimate_t) <= 128, "one for each request is kept");

/* The weight of a character by its first byte: between OpenAI's two encodings and those of Chinese
 * vendors, which differ by up to a factor of three. */
static const unsigned char weights[256] = {
    [0x00 ... 0x7f] = ASCII,
    [0xc2 ... 0xcd] = 52, /* Latin letters beyond ASCII */
    [0xce ... 0xcf] = 38, /* Greek */
    [0xd0 ... 0xd3] = 25, /* Cyrillic */
    [0xd4 ... 0xd7] = 42, /* Hebrew, Armenian */
    [0xd8 ... 0xdf] = 32, /* Arabic */
    [0xe0] = 36,          /* Indian scripts, Thai */
    [0xe1] = 52,          /* Vietnamese, Georgian, Ethiopic */
    [0xe2 ... 0xe3] = 45, /* punctuation, Kana */
    [0xe4 ... 0xe9] = 51, /* Han */
    [0xea ... 0xef] = 48, /* Hangul, full-width punctuation */
    [0xf0 ... 0xf4] = 128 /* emoji */
};

static const char base64[256] = {
    ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1, ['0' ... '9'] = 1, ['+'] = 1,
    ['/'] = 1,         ['-'] = 1,         ['_'] = 1,         ['='] = 1,
};

enum { OTHER, TEXT, DELTA, DATA, REPEATED };

static const struct {
    const char *name;
    int rule;
} names[] = {{"content", TEXT},
             {"text", TEXT},
             {"reasoning_content", TEXT},
             {"reasoning", TEXT},
             {"thinking", TEXT},
             {"refusal", TEXT},
             {"arguments", TEXT},
             {"transcript", TEXT},
             {"partial_json", TEXT},
             {"response", TEXT},
             {"delta", DELTA},
             {"audio", DATA},
             {"data", DATA},
             {"segments", REPEATED},
             {"words", REPEATED},
             {"reasoning_details", REPEATED}};

static int rule_of(const char *name, apr_size_t len)
{
    for (apr_size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strlen(names[i].name) == len && !memcmp(names[i].name, name, len)) {
            return names[i].rule;
        }
    }
    return OTHER;
}

/* A run has become long enough to be base64. */
static void begin_base64(apipool_estimate_t *e)
{
    e->sum -= (APIPOOL_ESTIMATE_RUN - 1) * ASCII;
    if (e->kind == APIPOOL_ESTIMATE_ANSWER) {
        e->base64 += APIPOOL_ESTIMATE_RUN;
    }
    else {
        e->sum += APIPOOL_ESTIMATE_IMAGE * TOKEN;
    }
}

/* Takes an ASCII character, or a byte of another. */
static void take(apipool_estimate_t *e, unsigned char c)
{
    if (e->muted) {
        return;
    }
    if (e->rule == DATA) {
        e->base64++;
        return;
    }
    if (!base64[c]) {
        e->run = 0;
        e->sum += weights[c];
    }
    else if (e->run < APIPOOL_ESTIMATE_RUN - 1) {
        e->run++;
        e->sum += ASCII;
    }
    else if (e->run == APIPOOL_ESTIMATE_RUN - 1) {
        e->run++;
        begin_base64(e);
    }
    else {
        e->base64 += e->kind == APIPOOL_ESTIMATE_ANSWER;
    }
}

/* Takes a UTF-16 unit as the first byte of its UTF-8; the low surrogate of a pair adds nothing. */
static void take_unit(apipool_estimate_t *e, unsigned unit)
{
    if (unit < 0x800) {
        take(e, (unsigned char)(unit < 0x80 ? unit : 0xc0 | unit >> 6));
    }
    else if (unit < 0xd800 || unit >= 0xe000) {
        take(e, (unsigned char)(0xe0 | unit >> 12));
    }
    else if (unit < 0xdc00) {
        take(e, 0xf0);
    }
}

static void take_digit(apipool_estimate_t *e, unsigned char c)
{
    int digit = apr_isdigit(c) ? c - '0' : (c | 0x20) - 'a' + 10;
    e->unit = e->unit << 4 | (unsigned)digit;
    if (--e->escape == 1) {
        e->escape = 0;
        take_unit(e, e->unit);
    }
}

/* Takes a byte as written. */
static void take_byte(apipool_estimate_t *e, char byte)
{
    unsigned char c = (unsigned char)byte;
    if (e->escape > 1 && apr_isxdigit(c)) {
        take_digit(e, c);
    }
    else if (e->escape == 1 && c == 'u') {
        e->escape = 5;
        e->unit = 0;
    }
    else if (e->escape != 1 && c == '\\') {
        e->escape = 1;
    }
    else {
        e->escape = 0;
        take(e, c);
    }
}

static void begin_string(apipool_estimate_t *e)
{
    int counts = e->rule == DELTA || e->rule == DATA || e->rule == TEXT;

    e->in_string = 1;
    e->escape = 0;
    e->run = 0;
    e->name_len = 0;
    e->sum_before = e->sum;
    e->base64_before = e->base64;
    e->muted = !counts || (e->has_deltas && e->rule != DELTA) || e->depth;
}

/* The last string was a name, which does not count. */
static void end_name(apipool_estimate_t *e)
{
    e->sum = e->sum_before;
    e->base64 = e->base64_before;
    e->rule = (unsigned char)rule_of(e->name, e->name_len);
}

static void take_token(apipool_estimate_t *e, char c)
{
    if (e->ended && !apipool_ascii_is_space(c)) {
        e->ended = 0;
        if (c == ':') {
            end_name(e);
            return;
        }
        e->has_deltas |= e->rule == DELTA && !e->depth;
    }
    switch (c) {
    case '"':
        begin_string(e);
        break;
    case '{':
    case '[':
        e->depth += e->depth || e->rule == REPEATED;
        e->rule = c == '{' || e->depth ? OTHER : e->rule;
        break;
    case '}':
    case ']':
        e->depth -= e->depth > 0;
        break;
    default:
        break;
    }
}

/* A JSON string has no raw line end: one that was cut off ends there. */
static void take_in_string(apipool_estimate_t *e, char c)
{
    if ((c == '"' && e->escape != 1) || c == '\n' || c == '\r') {
        e->in_string = 0;
        e->ended = c == '"';
        return;
    }
    if (e->name_len < APIPOOL_ESTIMATE_NAME_MAX) {
        e->name[e->name_len] = c;
    }
    e->name_len += e->name_len <= APIPOOL_ESTIMATE_NAME_MAX;
    take_byte(e, c);
}

static void take_of_answer(apipool_estimate_t *e, char c)
{
    if (e->in_string) {
        take_in_string(e, c);
    }
    else {
        take_token(e, c);
    }
}

static void take_of_images(apipool_estimate_t *e, char c)
{
    if (e->in_string) {
        e->in_string = c != '"' || e->escape;
        e->escape = c == '\\' && !e->escape;
        return;
    }
    e->in_string = c == '"';
    int opens = c == '{' || c == '[';
    if (e->depth == 1 && (opens || c == '"')) {
        e->sum += APIPOOL_ESTIMATE_IMAGE * TOKEN;
    }
    e->depth += c == '[' || (opens && e->depth);
    if (e->depth && (c == '}' || c == ']')) {
        e->is_over = --e->depth == 0;
    }
}

static void take_of_form(apipool_estimate_t *e, char c)
{
    static const char mark[] = "filename=";
    char lower = (char)(c | 0x20);

    e->matched = lower == mark[e->matched] ? e->matched + 1 : lower == *mark;
    if (!mark[e->matched]) {
        e->matched = 0;
        e->sum += APIPOOL_ESTIMATE_IMAGE * TOKEN;
    }
}

void apipool_estimate_begin(apipool_estimate_t *e, apipool_estimate_kind_e kind)
{
    memset(e, 0, sizeof(*e));
    e->kind = (unsigned char)kind;
}

void apipool_estimate_feed(apipool_estimate_t *e, const char *data, apr_size_t len)
{
    static void (*const takers[])(apipool_estimate_t *, char) = {
        [APIPOOL_ESTIMATE_TEXT] = take_byte,
        [APIPOOL_ESTIMATE_ANSWER] = take_of_answer,
        [APIPOOL_ESTIMATE_IMAGES] = take_of_images,
        [APIPOOL_ESTIMATE_FORM] = take_of_form,
    };
    for (const char *end = data + len; data < end && !e->is_over; data++) {
        takers[e->kind](e, *data);
    }
}

apr_int64_t apipool_estimate_tokens(const apipool_estimate_t *e)
{
    apr_uint64_t sum = e->sum + e->base64 / (APIPOOL_ESTIMATE_BASE64 / TOKEN);
    return (apr_int64_t)((sum + TOKEN / 2) / TOKEN);
}

apr_int64_t apipool_estimate_audio(apr_uint64_t bytes)
{
    const apr_uint64_t token = APIPOOL_ESTIMATE_BASE64 / 4 * 3;
    return (apr_int64_t)((bytes + token / 2) / token);
}
