/* SPDX-License-Identifier: Apache-2.0
 * Finds the strings of JSON that count. */
#include "estimate_parts.h"

#include <string.h>

#define NAME_LONG 0xff /* no rule has a name of that length */

enum {
    START = APIPOOL_ESTIMATE_START,
    IGNORE = APIPOOL_ESTIMATE_IGNORE,
    TOKEN = APIPOOL_ESTIMATE_OWN, /* between strings */
    NAME,
    STRING, /* that counts */
    SKIPPED
};

static int in_array(const apipool_estimate_t *e)
{
    return e->is_array[(e->depth - 1) / 8] >> (e->depth - 1) % 8 & 1;
}

void apipool_estimate_json_begin(apipool_estimate_t *e)
{
    e->at = START;
    e->depth = 0;
    e->whole = 0;
    e->images = 0;
    e->rule = APIPOOL_RULE_NONE;
    e->in_tokens = 0;
}

static void enter(apipool_estimate_t *e, int is_array)
{
    int byte = e->depth / 8, bit = 1 << e->depth % 8;

    e->is_array[byte] =
        (unsigned char)(is_array ? e->is_array[byte] | bit : e->is_array[byte] & ~bit);
    e->depth++;
    e->at = TOKEN;
    e->valued = 0;
    e->in_number = 0;
    e->rule = APIPOOL_RULE_NONE;
}

static void leave(apipool_estimate_t *e)
{
    e->depth--;
    e->rule = APIPOOL_RULE_NONE;
    e->in_number = 0;
    if (e->depth == 0) {
        apipool_estimate_json_begin(e);
        return;
    }
    e->whole = e->depth < e->whole ? 0 : e->whole;
    e->images = e->depth < e->images ? 0 : e->images;
    e->in_tokens &= e->depth > 1;
}

static void skip(apipool_estimate_t *e, int is_string)
{
    e->at = SKIPPED;
    e->skipped = !is_string;
    e->in_string = is_string;
    e->escape = 0;
    e->in_audio = e->rule == APIPOOL_RULE_AUDIO;
}

/* What the rule for a name comes to here. */
static int rule_here(apipool_estimate_t *e, int rule)
{
    int is_request = apipool_estimate_is_request(e);

    if (e->kind == APIPOOL_ESTIMATE_STREAM && e->depth == 1) {
        e->has_deltas |= rule == APIPOOL_RULE_DELTA;
        if (e->has_deltas && rule != APIPOOL_RULE_DELTA && rule != APIPOOL_RULE_BLOCK) {
            return APIPOOL_RULE_NOTHING;
        }
        rule = rule == APIPOOL_RULE_REPEATED ? APIPOOL_RULE_NOTHING : rule;
    }
    switch (rule) {
    case APIPOOL_RULE_ECHO:
        return is_request ? APIPOOL_RULE_NONE : APIPOOL_RULE_NOTHING;
    case APIPOOL_RULE_PROMPT:
        return is_request ? rule : APIPOOL_RULE_NOTHING;
    case APIPOOL_RULE_WHOLE:
    case APIPOOL_RULE_INPUT:
        return e->depth > 1 ? APIPOOL_RULE_WHOLE : rule;
    default:
        return rule;
    }
}

static void open_string(apipool_estimate_t *e)
{
    e->escape = 0;
    if (!in_array(e) && !e->valued) {
        e->at = NAME;
        e->name_len = 0;
        if (e->whole) {
            apipool_estimate_string_begin(e, 0);
        }
        return;
    }
    switch (e->images && e->images == e->depth ? APIPOOL_RULE_IMAGE : e->rule) {
    case APIPOOL_RULE_ROLE:
        if (apipool_estimate_is_request(e)) {
            apipool_estimate_add(e, e->has_roles
                                        ? APIPOOL_ESTIMATE_MESSAGE
                                        : APIPOOL_ESTIMATE_MESSAGE + APIPOOL_ESTIMATE_REPLY);
            e->has_roles = 1;
        }
        skip(e, 1);
        break;
    case APIPOOL_RULE_IMAGE:
        apipool_estimate_add(e, APIPOOL_ESTIMATE_IMAGE);
        skip(e, 1);
        break;
    case APIPOOL_RULE_SETTING:
    case APIPOOL_RULE_NOTHING:
    case APIPOOL_RULE_AUDIO:
        skip(e, 1);
        break;
    default:
        e->at = STRING;
        apipool_estimate_string_begin(e, e->rule == APIPOOL_RULE_DATA);
    }
}

static void open_container(apipool_estimate_t *e, int is_array)
{
    int is_image = e->rule == APIPOOL_RULE_IMAGE || (e->images && e->images == e->depth);

    if (is_image && !is_array) {
        apipool_estimate_add(e, APIPOOL_ESTIMATE_IMAGE);
        skip(e, 0);
        return;
    }
    if (e->rule == APIPOOL_RULE_NOTHING || e->rule == APIPOOL_RULE_AUDIO ||
        e->depth == APIPOOL_ESTIMATE_DEPTH_MAX) {
        skip(e, 0);
        return;
    }
    int rule = e->rule;
    enter(e, is_array);
    if (is_image) {
        e->images = e->depth;
    }
    if (rule == APIPOOL_RULE_WHOLE && !is_array && !e->whole && e->depth > 2) {
        e->whole = e->depth;
    }
    if ((rule == APIPOOL_RULE_INPUT || rule == APIPOOL_RULE_PROMPT) && is_array && e->depth == 2) {
        e->in_tokens = apipool_estimate_is_request(e);
    }
}

/* Its first character may make a number count. */
static void read_scalar(apipool_estimate_t *e, char c)
{
    int is_number =
        (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
    int counts = e->whole || (e->in_tokens && e->depth <= 3 && in_array(e));

    if (is_number && !e->in_number && counts && c <= '9') {
        apipool_estimate_add(e, 1);
    }
    e->in_number = (unsigned char)is_number;
}

static const char *read_tokens(apipool_estimate_t *e, const char *p, const char *end)
{
    while (p < end && e->at == TOKEN) {
        char c = *p++;
        switch (c) {
        case '"':
            open_string(e);
            break;
        case '{':
        case '[':
            open_container(e, c == '[');
            break;
        case '}':
        case ']':
            leave(e);
            break;
        case ':':
            e->valued = 1;
            break;
        case ',':
            e->valued = 0;
            e->in_number = 0;
            e->rule = APIPOOL_RULE_NONE;
            break;
        default:
            read_scalar(e, c);
        }
    }
    return p;
}

/* Of an answer that is a list of images. */
static int rule_of_images(const apipool_estimate_t *e)
{
    static const char *const lists[] = {"data", "images", "predictions"};

    for (apr_size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
        if (e->name_len == strlen(lists[i]) && !memcmp(e->line, lists[i], e->name_len)) {
            return e->text.sum ? APIPOOL_RULE_NOTHING : APIPOOL_RULE_IMAGE;
        }
    }
    return APIPOOL_RULE_NOTHING;
}

static void end_string(apipool_estimate_t *e)
{
    if (e->at == NAME && e->kind == APIPOOL_ESTIMATE_IMAGES) {
        e->rule = (unsigned char)rule_of_images(e);
    }
    else if (e->at == NAME && !e->whole) {
        int rule = e->name_len == NAME_LONG ? APIPOOL_RULE_NONE
                                            : apipool_estimate_rule(e->line, e->name_len);
        e->rule = (unsigned char)rule_here(e, rule);
    }
    e->at = TOKEN;
}

static void keep_name(apipool_estimate_t *e, const char *p, const char *end)
{
    apr_size_t len = (apr_size_t)(end - p);

    if (e->name_len == NAME_LONG || len > sizeof(e->line) - e->name_len) {
        e->name_len = NAME_LONG;
        return;
    }
    memcpy(e->line + e->name_len, p, len);
    e->name_len += (unsigned char)len;
}

static const char *read_name(apipool_estimate_t *e, const char *p, const char *end)
{
    const char *from = p;

    if (e->escape) {
        e->escape = 0;
        from = ++p;
    }
    while (p < end && *p != '"' && *p != '\\') {
        p++;
    }
    keep_name(e, from, p);
    if (p < end && *p++ == '"') {
        end_string(e);
    }
    else if (p > from && p[-1] == '\\') {
        e->escape = 1;
        e->name_len = NAME_LONG;
    }
    return p;
}

static void end_escape(apipool_estimate_t *e, unsigned unit)
{
    e->escape = 0;
    apipool_estimate_string_unit(e, unit);
}

/* 1 after a backslash, 2 to 5 where a hex digit is due. What is none of those is the end of it. */
static const char *read_escape(apipool_estimate_t *e, const char *p)
{
    static const char escapes[] = "bfnrt", meant[] = "\b\f\n\r\t", digits[] = "0123456789abcdef";
    unsigned char c = (unsigned char)*p;

    if (e->escape == 1 && c == 'u') {
        e->unit = 0;
        e->escape = 2;
        return p + 1;
    }
    if (e->escape == 1) {
        const char *at = memchr(escapes, c, sizeof(escapes) - 1);
        end_escape(e, at ? (unsigned)meant[at - escapes] : c);
        return p + 1;
    }
    const char *digit = memchr(digits, c < '@' ? c : c | 0x20, sizeof(digits) - 1);
    if (!digit) {
        e->escape = 0;
        return p;
    }
    e->unit = e->unit << 4 | (unsigned)(digit - digits);
    if (++e->escape > 5) {
        end_escape(e, e->unit);
    }
    return p + 1;
}

static const char *read_string(apipool_estimate_t *e, const char *p, const char *end)
{
    while (p < end) {
        if (e->escape) {
            p = read_escape(e, p);
            continue;
        }
        p = apipool_estimate_string_run(e, p, end, 1);
        if (p == end) {
            break;
        }
        if (*p++ == '"') {
            end_string(e);
            break;
        }
        e->escape = 1;
    }
    return p;
}

/* Whether a quote ends a string depends on how many backslashes stand before it, so there is no need to
 * look at any other byte: an image passes as fast as memchr is. */
static const char *skip_string(apipool_estimate_t *e, const char *p, const char *end)
{
    const char *from = p + e->escape;

    e->escape = 0;
    while (from < end) {
        const char *quote = memchr(from, '"', (apr_size_t)(end - from));
        const char *stop = quote ? quote : end, *slash = stop;
        while (slash > from && slash[-1] == '\\') {
            slash--;
        }
        int is_escaped = (stop - slash) % 2;
        if (!quote) {
            e->escape = (unsigned char)is_escaped;
            break;
        }
        from = quote + 1;
        if (!is_escaped) {
            e->in_string = 0;
            return from;
        }
    }
    return end;
}

static const char *skip_value(apipool_estimate_t *e, const char *p, const char *end)
{
    static const char marks[256] = {['"'] = 1, ['{'] = 1, ['}'] = 1, ['['] = 1, [']'] = 1};
    const char *from = p;

    while (p < end && (e->in_string || e->skipped)) {
        if (e->in_string) {
            p = skip_string(e, p, end);
            continue;
        }
        while (p < end && !marks[(unsigned char)*p]) {
            p++;
        }
        if (p == end) {
            break;
        }
        char c = *p++;
        e->in_string = c == '"';
        e->skipped += c == '{' || c == '[';
        e->skipped -= c == '}' || c == ']';
    }
    e->audio_bytes += e->in_audio ? (apr_uint64_t)(p - from) : 0;
    if (!e->in_string && !e->skipped) {
        e->at = TOKEN;
    }
    return p;
}

static const char *read_start(apipool_estimate_t *e, const char *p, const char *end)
{
    static const char blanks[] = " \t\r\n\xef\xbb\xbf"; /* and a byte order mark */

    while (p < end && memchr(blanks, *p, sizeof(blanks) - 1)) {
        p++;
    }
    if (p == end) {
        return p;
    }
    if (*p == '{' || *p == '[') {
        enter(e, *p++ == '[');
    }
    else {
        int is_form = *p == '-' && apipool_estimate_is_request(e) && !e->begun;
        e->at = is_form ? APIPOOL_ESTIMATE_FORM : IGNORE;
    }
    e->begun = 1;
    return p;
}

void apipool_estimate_json_feed(apipool_estimate_t *e, const char *p, const char *end)
{
    while (p < end) {
        switch (e->at) {
        case START:
            p = read_start(e, p, end);
            break;
        case TOKEN:
            p = read_tokens(e, p, end);
            break;
        case NAME:
            p = e->whole ? read_string(e, p, end) : read_name(e, p, end);
            break;
        case STRING:
            p = read_string(e, p, end);
            break;
        case SKIPPED:
            p = skip_value(e, p, end);
            break;
        case IGNORE:
            return;
        default:
            apipool_estimate_form_feed(e, p, end);
            return;
        }
    }
}
