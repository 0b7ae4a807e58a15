/* SPDX-License-Identifier: Apache-2.0
 * Fields of a multipart/form-data body. */
#include "sniff_parts.h"

#include <string.h>
#include <strings.h>

enum {
    IGNORE = APIPOOL_SNIFF_IGNORE,
    DATA = APIPOOL_SNIFF_OWN, /* before the first delimiter, or in a part */
    DELIMITED,
    HEADER,
    HEADER_END
};

static int find_wanted(const apipool_sniff_t *s, const char *name)
{
    for (int i = 0; i < s->count; i++) {
        if (!strcmp(s->wanted[i].name, name)) {
            return i;
        }
    }
    return -1;
}

/* Takes the next "; name=value" apart in place. Returns 0 at the end, -1 where that cannot be read. */
static int next_param(char **rest, char **name, char **value)
{
    char *p = *rest + strspn(*rest, "; \t"), *out;

    if (!*p) {
        return 0;
    }
    *name = p;
    p += strcspn(p, "=; \t");
    *rest = p + strspn(p, " \t");
    if (**rest != '=') {
        return -1;
    }
    *p = '\0';
    p = *rest + 1;
    p += strspn(p, " \t");
    *value = out = p;
    if (*p != '"') {
        p += strcspn(p, "; \t");
        *rest = p + (*p != '\0');
        *p = '\0';
        return 1;
    }
    for (p++; *p && *p != '"'; p++) {
        p += *p == '\\' && (p[1] == '"' || p[1] == '\\');
        *out++ = *p;
    }
    if (*p != '"') {
        return -1;
    }
    *out = '\0';
    *rest = p + 1;
    return 1;
}

/* Whether a header value is that word, in any case, with or without parameters behind it. */
static int says(const char *text, const char *word)
{
    apr_size_t len = strlen(word);
    return !strncasecmp(text, word, len) && (!text[len] || strchr("; \t", text[len]));
}

static void read_disposition(apipool_sniff_t *s, char *text)
{
    char *name, *value;
    int rv;

    text += strspn(text, " \t");
    if (!says(text, "form-data")) {
        s->is_file = 1;
        return;
    }
    text += strlen("form-data");
    while ((rv = next_param(&text, &name, &value)) > 0) {
        if (!strcasecmp(name, "name")) {
            s->current = find_wanted(s, value);
        }
        else if (!strcasecmp(name, "filename") || !strcasecmp(name, "filename*")) {
            s->is_file = 1;
        }
    }
    s->is_file |= rv < 0;
}

static void end_header(apipool_sniff_t *s)
{
    static const char field[] = "content-disposition:";

    s->text[s->used] = '\0';
    if (!strncasecmp(s->text, field, sizeof(field) - 1)) {
        if (s->truncated || strlen(s->text) < s->used) {
            s->is_file = 1;
        }
        else {
            read_disposition(s, s->text + sizeof(field) - 1);
        }
    }
    s->used = 0;
    s->truncated = 0;
}

/* A value, or what nobody wants, up to the next delimiter. The delimiter begins with CR and has no other,
 * so where it breaks off it can only begin anew. */
static apr_size_t step_data(apipool_sniff_t *s, const char *data, apr_size_t len)
{
    apr_size_t i = 0;

    while (i < len) {
        if (s->matched == 0) {
            const char *cr = memchr(data + i, '\r', len - i);
            apr_size_t run = cr ? (apr_size_t)(cr - data) - i : len - i;
            apipool_sniff_append(s, data + i, run, APIPOOL_SNIFF_TEXT_SIZE - 1);
            i += run + (cr != NULL);
            s->matched = cr != NULL;
            continue;
        }
        apr_off_t here = s->seen + (apr_off_t)i;
        if (data[i] != s->delimiter[s->matched]) {
            /* The line end of the header may be the delimiter's, but it is not the value's. */
            apr_size_t own =
                here - s->at < (apr_off_t)s->matched ? (apr_size_t)(here - s->at) : s->matched;
            apipool_sniff_append(s, s->delimiter + s->matched - own, own,
                                 APIPOOL_SNIFF_TEXT_SIZE - 1);
            s->matched = 0;
            continue;
        }
        i++;
        if (++s->matched == s->delimiter_len) {
            apr_off_t end = here + 1 - (apr_off_t)s->delimiter_len;
            apipool_sniff_end_value(s, end > s->at ? end : s->at);
            s->current = -1;
            s->matched = 0;
            s->state = DELIMITED;
            break;
        }
    }
    return i;
}

/* Behind a delimiter: two hyphens end the form, a line end begins the next part. Anything else but blanks
 * is a delimiter to some readers and data to others. */
static apr_size_t step_delimited(apipool_sniff_t *s, char c)
{
    if (c == '-' && s->matched < 2) {
        if (++s->matched == 2) {
            s->state = IGNORE;
        }
        return 1;
    }
    if (s->matched || !apipool_sniff_is_blank(c)) {
        apipool_sniff_give_up(s);
        return 1;
    }
    if (c == '\n') {
        s->state = HEADER;
        s->is_file = 0;
        s->used = 0;
        s->truncated = 0;
    }
    return 1;
}

static apr_size_t step_header(apipool_sniff_t *s, const char *data)
{
    if (*data != '\n') {
        apipool_sniff_append(s, data, 1, APIPOOL_SNIFF_LINE_MAX);
        return 1;
    }
    s->used -= s->used > 0 && s->text[s->used - 1] == '\r';
    if (s->used > 0) {
        s->state = HEADER_END;
        return 1;
    }
    s->current = s->is_file ? -1 : s->current;
    apipool_sniff_begin_value(s, APIPOOL_SNIFF_STRING, s->seen + 1);
    s->matched = 2;
    s->state = DATA;
    return 1;
}

/* A line that begins with a blank goes on with the one before (RFC 5322 section 2.2.3). */
static apr_size_t step_header_end(apipool_sniff_t *s, char c)
{
    if (c != ' ' && c != '\t') {
        end_header(s);
    }
    s->state = HEADER;
    return 0;
}

apr_size_t apipool_sniff_form_step(apipool_sniff_t *s, const char *data, apr_size_t len)
{
    switch (s->state) {
    case DELIMITED:
        return step_delimited(s, *data);
    case HEADER:
        return step_header(s, data);
    case HEADER_END:
        return step_header_end(s, *data);
    default:
        return step_data(s, data, len);
    }
}

void apipool_sniff_form_begin(apipool_sniff_t *s, const char *content_type)
{
    static const char form[] = "multipart/form-data";
    char *rest = s->text, *name, *value;

    content_type += strspn(content_type, " \t");
    if (!says(content_type, form) || strlen(content_type) > APIPOOL_SNIFF_LINE_MAX) {
        return;
    }
    strcpy(s->text, content_type + sizeof(form) - 1);
    while (next_param(&rest, &name, &value) > 0) {
        apr_size_t len = strlen(value);
        if (!strcasecmp(name, "boundary") && len > 0 && len <= APIPOOL_SNIFF_BOUNDARY_MAX &&
            !strpbrk(value, "\r\n")) {
            memcpy(s->delimiter, "\r\n--", 4);
            memcpy(s->delimiter + 4, value, len);
            s->delimiter_len = len + 4;
        }
    }
    if (s->delimiter_len) {
        s->body = APIPOOL_SNIFF_FORM;
        s->matched = 2; /* a form may begin with a delimiter, without the line end before it */
        s->state = DATA;
    }
}
