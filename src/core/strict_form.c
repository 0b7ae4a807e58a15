/* SPDX-License-Identifier: Apache-2.0
 * Forms (multipart/form-data) that every reader takes apart alike. */
#include "strict_parts.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

enum { BOUNDARY, AFTER, AFTER_CR, AFTER_HYPHEN, AFTER_END, AFTER_END_CR, OVER, HEAD, HEAD_CR, DATA };

/* Boundaries of clients; with blanks or quotes inside readers disagree. */
void apipool_strict_form_begin(apipool_strict_t *s, const char *boundary)
{
    apr_size_t len = strlen(boundary);
    if (!len || len > APIPOOL_STRICT_BOUNDARY_MAX ||
        strspn(boundary, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'()+_,-.:=") != len) {
        apipool_strict_doubt(s, "the boundary of the form is missing or not a plain one");
        return;
    }
    memcpy(s->pattern, "--", 2);
    memcpy(s->pattern + 2, boundary, len);
    s->pattern_len = (int)len + 2;
    for (int i = 1, k = 0; i < s->pattern_len; i++) {
        while (k && s->pattern[i] != s->pattern[k]) {
            k = s->back[k - 1];
        }
        k += s->pattern[i] == s->pattern[k];
        s->back[i] = (unsigned char)k;
    }
}

static int is_utf8_name(const char *value)
{
    if (strncasecmp(value, "utf-8'", 6)) {
        return 0;
    }
    const char *language = strchr(value + 6, '\'');
    for (const char *p = language ? language + 1 : ""; *p; p++) {
        if (*p == '\'' || *p == '*') {
            return 0;
        }
    }
    return language != NULL;
}

/* Readers that divide at every semicolon would find another parameter inside. */
static int is_file_name(const char *value)
{
    const char *semicolon = strchr(value, ';');
    return *value && !(semicolon && strchr(semicolon, '='));
}

static int read_field_name(apipool_strict_t *s, const char *name)
{
    apipool_name_e kind = apipool_strict_name(name);
    if (!*name || kind == APIPOOL_NAME_DOUBT || (kind == APIPOOL_NAME_MODEL && strcmp(name, "model")) ||
        strcasestr(name, "_charset_")) {
        return apipool_strict_doubt(s, "a field of the form has a name that is read in several ways");
    }
    s->is_model = kind == APIPOOL_NAME_MODEL;
    return 1;
}

static int read_disposition(apipool_strict_t *s, char *text)
{
    static const char other[] = "a Content-Disposition of the form is read in several ways";
    int rv, names = 0, plain = 0, encoded = 0;
    char end, *name, *value;
    const char *type = apipool_strict_word(&text, &end);
    if (s->has_disposition++ || !type || strcasecmp(type, "form-data") || end != ';') {
        return apipool_strict_doubt(s, other);
    }
    while ((rv = apipool_strict_parameter(&text, &name, &value)) > 0) {
        if (!strcmp(name, "name") && !names++) {
            if (!read_field_name(s, value)) {
                return 0;
            }
        }
        else if (names && !strcmp(name, "filename") && !plain++ && is_file_name(value)) {
            s->is_file = 1;
        }
        else if (names && !strcmp(name, "filename*") && !encoded++ && is_utf8_name(value)) {
            s->is_file = 1;
        }
        else {
            return apipool_strict_doubt(s, other);
        }
    }
    return (rv == 0 && names) || apipool_strict_doubt(s, other);
}

static int read_type(apipool_strict_t *s, char *text)
{
    char end, *name, *value;
    int rv = 0, charsets = 0;
    const char *type = apipool_strict_word(&text, &end);
    if (s->has_type++ || !type || (end && end != ';') || !strncasecmp(type, "multipart/", 10) ||
        !strncasecmp(type, "message/", 8)) {
        return apipool_strict_doubt(s, "a Content-Type in the form is read in several ways");
    }
    s->is_text = !strcasecmp(type, "text/plain");
    while (end && (rv = apipool_strict_parameter(&text, &name, &value)) > 0) {
        if (!strcmp(name, "charset") && (charsets++ || !apipool_strict_is_utf8(value))) {
            return apipool_strict_doubt(s, "the charset of a part is not UTF-8");
        }
    }
    return rv == 0 || apipool_strict_doubt(s, "a Content-Type in the form is read in several ways");
}

static int read_length(apipool_strict_t *s, const char *text)
{
    apr_size_t digits = strspn(text, "0123456789");
    if (s->data_length >= 0 || !digits || digits > 15 || text[digits]) {
        return apipool_strict_doubt(s, "a Content-Length in the form is read in several ways");
    }
    s->data_length = apr_atoi64(text);
    return 1;
}

/* The field of that name in the line, or NULL. */
static char *value_of(char *line, const char *field)
{
    apr_size_t len = strlen(field);
    return strncasecmp(line, field, len) || line[len] != ':' ? NULL
                                                             : line + len + 1 + strspn(line + len + 1, " ");
}

static void read_line(apipool_strict_t *s)
{
    char *value;
    s->line[s->used] = '\0';
    if (!apipool_strict_is_clean(s->line, s->used) ||
        memmem(s->line, s->used, s->pattern, (apr_size_t)s->pattern_len)) {
        apipool_strict_doubt(s, "the head of a part has characters that do not belong there");
    }
    else if ((value = value_of(s->line, "Content-Disposition")) != NULL) {
        read_disposition(s, value);
    }
    else if ((value = value_of(s->line, "Content-Type")) != NULL) {
        read_type(s, value);
    }
    else if ((value = value_of(s->line, "Content-Length")) != NULL) {
        read_length(s, value);
    }
    else if ((value = value_of(s->line, "Content-Transfer-Encoding")) == NULL ||
             (strcasecmp(value, "binary") && strcasecmp(value, "8bit") && strcasecmp(value, "7bit"))) {
        apipool_strict_doubt(s, "the head of a part has a field that is read in several ways");
    }
    s->used = 0;
}

static void begin_head(apipool_strict_t *s)
{
    s->state = HEAD;
    s->used = 0;
    s->has_disposition = s->has_type = s->is_text = s->is_file = s->is_model = 0;
    s->data_length = -1;
}

static void end_head(apipool_strict_t *s, apr_off_t at)
{
    if (!s->has_disposition) {
        apipool_strict_doubt(s, "a part of the form has no Content-Disposition");
    }
    else if (s->is_model && s->is_file) {
        apipool_strict_doubt(s, "the field \\\"model\\\" has a file name");
    }
    else if (!s->is_file && s->has_type && !s->is_text) {
        apipool_strict_doubt(s, "a field of the form has a Content-Type other than text/plain");
    }
    s->data_at = at;
    s->state = DATA;
    s->matched = 0;
}

/* A delimiter is one to all readers only behind a line end that belongs to nothing else. */
static void end_data(apipool_strict_t *s, apr_off_t end)
{
    apr_off_t length = end - s->pattern_len - 2 - s->data_at;
    if (!s->is_after_line || length < 0) {
        apipool_strict_doubt(s, "the boundary of the form stands inside of a part");
    }
    else if (s->data_length >= 0 && s->data_length != length) {
        apipool_strict_doubt(s, "the Content-Length of a part is not its length");
    }
    s->state = AFTER;
}

/* Returns how many bytes are done with. */
static apr_size_t step_data(apipool_strict_t *s, const char *data, apr_size_t len)
{
    apr_size_t i = 0;
    while (i < len && s->state == DATA) {
        if (!s->matched) {
            const char *hyphen = memchr(data + i, '-', len - i);
            if (!hyphen) {
                return len;
            }
            i = (apr_size_t)(hyphen - data);
            char cr = i > 1 ? data[i - 2] : s->before[i], lf = i ? data[i - 1] : s->before[1];
            s->is_after_line = cr == '\r' && lf == '\n';
        }
        int matched = s->matched;
        while (matched && s->pattern[matched] != (unsigned char)data[i]) {
            matched = s->back[matched - 1];
            s->is_after_line = 0;
        }
        if (!matched && data[i] != '-') {
            s->matched = 0;
            i++;
            continue;
        }
        s->matched = matched + 1;
        i++;
        if (s->matched == s->pattern_len) {
            end_data(s, s->seen + (apr_off_t)i);
        }
    }
    return i;
}

static int step_head(apipool_strict_t *s, char c, apr_off_t at)
{
    if (s->state == HEAD_CR) {
        if (c != '\n') {
            return apipool_strict_doubt(s, "the head of a part has line ends other than CR LF");
        }
        s->state = HEAD;
        if (s->used) {
            read_line(s);
        }
        else {
            end_head(s, at + 1);
        }
        return 1;
    }
    if (c == '\r') {
        s->state = HEAD_CR;
        return 1;
    }
    if (s->used == APIPOOL_STRICT_LINE_MAX) {
        return apipool_strict_doubt(s, "the head of a part has a line that is too long");
    }
    s->line[s->used++] = c;
    return 1;
}

/* Around delimiters, where each byte is known beforehand. */
static void step_delimiter(apipool_strict_t *s, char c)
{
    static const struct {
        char c;
        int next;
    } steps[] = {[AFTER_CR] = {'\n', HEAD},
                 [AFTER_HYPHEN] = {'-', AFTER_END},
                 [AFTER_END] = {'\r', AFTER_END_CR},
                 [AFTER_END_CR] = {'\n', OVER}};
    if (s->state == BOUNDARY && (unsigned char)c == s->pattern[s->matched]) {
        s->state = ++s->matched == s->pattern_len ? AFTER : BOUNDARY;
    }
    else if (s->state == AFTER && (c == '\r' || c == '-')) {
        s->state = c == '-' ? AFTER_HYPHEN : AFTER_CR;
    }
    else if (s->state > AFTER && s->state < OVER && c == steps[s->state].c) {
        s->state = steps[s->state].next;
    }
    else {
        apipool_strict_doubt(s, "the form has something before, behind or beside its delimiters");
    }
    if (s->state == HEAD) {
        begin_head(s);
    }
}

void apipool_strict_form_feed(apipool_strict_t *s, const char *data, apr_size_t len)
{
    apr_off_t began = s->seen;
    const char *p = data, *end = data + len;
    while (p < end && !s->doubt) {
        if (s->state == DATA) {
            apr_size_t done = step_data(s, p, (apr_size_t)(end - p));
            s->before[0] = done > 1 ? p[done - 2] : s->before[1];
            s->before[1] = p[done - 1];
            p += done;
            s->seen = began + (p - data);
            continue;
        }
        if (s->state == HEAD || s->state == HEAD_CR) {
            step_head(s, *p, s->seen);
        }
        else {
            step_delimiter(s, *p);
        }
        s->before[0] = s->before[1];
        s->before[1] = *p++;
        s->seen++;
    }
    s->seen = began;
}

void apipool_strict_form_end(apipool_strict_t *s)
{
    if (s->state != AFTER_END && s->state != OVER) {
        apipool_strict_doubt(s, "the form has no end");
    }
}
