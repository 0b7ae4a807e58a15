/* SPDX-License-Identifier: Apache-2.0
 * Fields of a multipart/form-data body, of which only the body is known. */
#include "estimate_parts.h"

#include <string.h>
#include <strings.h>

enum {
    IGNORE = APIPOOL_ESTIMATE_IGNORE,
    FIRST = APIPOOL_ESTIMATE_FORM, /* line: the delimiter */
    DELIMITED,                     /* the rest of a later one */
    HEADER,
    DATA
};

/* Returns whether the line is whole; what is too long for it is dropped. */
static int read_line(apipool_estimate_t *e, const char **p, const char *end)
{
    while (*p < end) {
        char c = *(*p)++;
        if (c == '\n') {
            e->name_len -= e->name_len > 0 && e->line[e->name_len - 1] == '\r';
            return 1;
        }
        if (e->name_len < sizeof(e->line) - 1) {
            e->line[e->name_len++] = c;
        }
    }
    return 0;
}

static void begin_header(apipool_estimate_t *e)
{
    e->at = HEADER;
    e->name_len = 0;
    e->is_text = 0;
    e->is_file = 0;
}

static void read_first(apipool_estimate_t *e)
{
    apr_size_t room = sizeof(e->delimiter) - 2;

    if (e->name_len < 3 || e->name_len > room || memcmp(e->line, "--", 2)) {
        e->at = IGNORE;
        return;
    }
    memcpy(e->delimiter, "\r\n", 2);
    memcpy(e->delimiter + 2, e->line, e->name_len);
    e->delimiter_len = (unsigned char)(e->name_len + 2);
    begin_header(e);
}

/* Two hyphens behind a delimiter end the form. */
static void read_delimited(apipool_estimate_t *e)
{
    if (e->name_len >= 2 && !memcmp(e->line, "--", 2)) {
        e->at = IGNORE;
        return;
    }
    begin_header(e);
}

/* Whether the field of that name, quoted or not, is text. */
static int is_text(const char *name)
{
    const char *end;

    name += *name == '"';
    end = name + strcspn(name, "\"; \t");
    int rule = apipool_estimate_rule(name, (apr_size_t)(end - name));
    return rule == APIPOOL_RULE_NONE || rule == APIPOOL_RULE_PROMPT || rule == APIPOOL_RULE_INPUT ||
           rule == APIPOOL_RULE_ECHO;
}

/* A file has a name of its own (RFC 7578 section 4.2), which may be on a line that goes on with the one
 * before. */
static void read_header(apipool_estimate_t *e)
{
    static const char field[] = "content-disposition:";
    const char *name;

    e->line[e->name_len] = '\0';
    if (strncasecmp(e->line, field, sizeof(field) - 1) && *e->line != ' ' && *e->line != '\t') {
        return;
    }
    for (name = e->line; *name; name++) {
        int is_word = name == e->line || strchr("; \t", name[-1]) != NULL;
        if (is_word && !strncasecmp(name, "filename", 8)) {
            e->is_file = 1;
        }
        if (is_word && !strncasecmp(name, "name=", 5)) {
            e->is_text = (unsigned char)is_text(name + 5);
        }
    }
}

static void begin_data(apipool_estimate_t *e)
{
    if (e->is_file) {
        e->is_text = 0;
        if (e->kind == APIPOOL_ESTIMATE_REQUEST) {
            apipool_estimate_add(e, APIPOOL_ESTIMATE_IMAGE);
        }
    }
    apipool_estimate_string_begin(e, 0);
    e->at = DATA;
    e->delimited = 2;    /* the header's line end may be the delimiter's, */
    e->before_value = 2; /* but it is not the value's */
}

static void read_text(apipool_estimate_t *e, const char *p, const char *end)
{
    if (e->is_text) {
        apipool_estimate_string_run(e, p, end, 0);
    }
    else if (e->is_file && e->kind == APIPOOL_ESTIMATE_RECORDING) {
        e->sound_bytes += (apr_uint64_t)(end - p);
    }
}

/* The delimiter begins with CR and has no other, so where it breaks off it can only begin anew. */
static const char *read_data(apipool_estimate_t *e, const char *p, const char *end)
{
    while (p < end) {
        if (e->delimited == 0) {
            const char *cr = memchr(p, '\r', (apr_size_t)(end - p));
            read_text(e, p, cr ? cr : end);
            p = cr ? cr + 1 : end;
            e->delimited = cr != NULL;
            continue;
        }
        if (*p != e->delimiter[e->delimited]) {
            read_text(e, e->delimiter + e->before_value, e->delimiter + e->delimited);
            e->delimited = 0;
            e->before_value = 0;
            continue;
        }
        p++;
        if (++e->delimited == e->delimiter_len) {
            e->at = DELIMITED;
            e->name_len = 0;
            break;
        }
    }
    return p;
}

void apipool_estimate_form_feed(apipool_estimate_t *e, const char *p, const char *end)
{
    while (p < end && e->at != IGNORE) {
        if (e->at == DATA) {
            p = read_data(e, p, end);
        }
        else if (!read_line(e, &p, end)) {
            break;
        }
        else if (e->at == FIRST) {
            read_first(e);
        }
        else if (e->at == DELIMITED) {
            read_delimited(e);
        }
        else if (e->name_len == 0) {
            begin_data(e);
        }
        else {
            read_header(e);
            e->name_len = 0;
        }
    }
}
