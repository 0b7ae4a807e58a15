/* SPDX-License-Identifier: Apache-2.0
 * What kind of body a content type announces, to all readers alike, and what names stand for. */
#include "strict_parts.h"

#include <apr_lib.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

int apipool_strict_doubt(apipool_strict_t *s, const char *what)
{
    s->doubt = s->doubt ? s->doubt : what;
    return 0;
}

static int is_token(int c)
{
    return apr_isalnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

char *apipool_strict_word(char **text, char *end)
{
    char *word = *text;
    char *p = word;
    while (is_token((unsigned char)*p) || (*p == '/' && p > word)) {
        p++;
    }
    *end = *p;
    *text = p + (*p != '\0');
    *p = '\0';
    return p > word ? word : NULL;
}

/* "; name=value" behind what was read before; *text begins behind a semicolon. */
int apipool_strict_parameter(char **text, char **name, char **value)
{
    char *p = *text + strspn(*text, " ");
    if (!*p) {
        return 0;
    }
    *name = p;
    for (; is_token((unsigned char)*p); p++) {
        *p = (char)apr_tolower(*p);
    }
    if (p == *name || *p != '=') {
        return -1;
    }
    *p++ = '\0';
    *value = p + (*p == '"');
    if (*p == '"') {
        p = *value + strcspn(*value, "\"\\");
        if (*p != '"') {
            return -1;
        }
        *p++ = '\0';
    }
    else {
        while (is_token((unsigned char)*p)) {
            p++;
        }
        if (p == *value) {
            return -1;
        }
    }
    char *end = p + strspn(p, " ");
    if (*end && *end != ';') {
        return -1;
    }
    *text = end + (*end == ';');
    *p = '\0';
    return 1;
}

int apipool_strict_is_utf8(const char *charset)
{
    return !strcasecmp(charset, "utf-8") || !strcasecmp(charset, "utf8") ||
           !strcasecmp(charset, "us-ascii");
}

static apr_size_t character(const unsigned char *p, apr_size_t len)
{
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    apr_size_t n = *p < 0x80 ? 1 : *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf5 ? 4 : 0;
    unsigned code = n > 1 ? *p & (0x7fu >> n) : *p;
    if (!n || n > len) {
        return 0;
    }
    for (apr_size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
        code = code << 6 | (p[i] & 0x3f);
    }
    int is_control = code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0xfeff;
    return is_control || code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : n;
}

int apipool_strict_is_clean(const char *text, apr_size_t len)
{
    apr_size_t n = 1;
    for (apr_size_t i = 0; i < len && n; i += n) {
        n = character((const unsigned char *)text + i, len - i);
    }
    return n > 0;
}

static int is_word(const char *text, apr_size_t len, const char *word)
{
    return len == strlen(word) && !strncasecmp(text, word, len);
}

apipool_name_e apipool_strict_name(const char *name)
{
    if (!strcasecmp(name, "model") || !strcasecmp(name, "deployment")) {
        return APIPOOL_NAME_MODEL;
    }
    for (const char *p = name; *p; p++) {
        if ((*p == '%' && apr_isxdigit(p[1])) || (*p == '&' && p[1] == '#')) {
            return APIPOOL_NAME_DOUBT;
        }
    }
    for (const char *p = name; *p;) {
        apr_size_t len = 0;
        while (apr_isalnum(p[len]) || p[len] == '_' || p[len] == '-' || (p[len] & 0x80)) {
            len++;
        }
        if (is_word(p, len, "model") || is_word(p, len, "deployment")) {
            return APIPOOL_NAME_DOUBT;
        }
        p += len + (p[len] != '\0');
    }
    return APIPOOL_NAME_OTHER;
}

int apipool_strict_is_argument(const char *name)
{
    for (const char *p = name; *p; p++) {
        if (*p <= 0x20 || *p > 0x7e) {
            return 0;
        }
    }
    return apipool_strict_name(name) != APIPOOL_NAME_DOUBT;
}

/* A body of these is read as JSON, or not at all. */
static int is_json(const char *type)
{
    const char *plus = strrchr(type, '+');
    return !strcasecmp(type, "application/json") || !strcasecmp(type, "text/json") ||
           !strcasecmp(type, "text/plain") || !strcasecmp(type, "application/octet-stream") ||
           (plus && !strncasecmp(type, "application/", 12) && !strcasecmp(plus, "+json"));
}

/* Returns the boundary, "" where there is none; NULL where readers disagree. */
static const char *read_parameters(apipool_strict_t *s, char *text)
{
    const char *boundary = "";
    char *name, *value;
    int rv, charsets = 0;
    while ((rv = apipool_strict_parameter(&text, &name, &value)) > 0) {
        int is_charset = !strcmp(name, "charset");
        charsets += is_charset;
        if (is_charset && !apipool_strict_is_utf8(value)) {
            apipool_strict_doubt(s, "the charset is not UTF-8");
        }
        else if (charsets > 1 || strchr(name, '*') || strpbrk(value, ";/") ||
                 (s->is_form && !is_charset && (strcmp(name, "boundary") || *boundary))) {
            return NULL;
        }
        boundary = is_charset ? boundary : value;
    }
    return rv < 0 ? NULL : boundary;
}

void apipool_strict_begin(apipool_strict_t *s, const char *content_type)
{
    char end = '\0', *text = s->line;
    memset(s, 0, offsetof(apipool_strict_t, line));
    if (!content_type) {
        return;
    }
    if (strlen(content_type) > APIPOOL_STRICT_LINE_MAX) {
        apipool_strict_doubt(s, "the Content-Type is too long");
        return;
    }
    strcpy(s->line, content_type);
    const char *type = apipool_strict_word(&text, &end);
    text += end == ' ' ? strspn(text, " ") : 0;
    text += end == ' ' && *text == ';' ? 1 : 0;
    s->is_form = type && !strcasecmp(type, "multipart/form-data");
    if (!type || !(s->is_form || is_json(type)) || (end && end != ';' && end != ' ')) {
        apipool_strict_doubt(s, "the Content-Type is neither JSON nor a form of one boundary");
        return;
    }
    const char *boundary = read_parameters(s, text);
    if (!boundary) {
        apipool_strict_doubt(s, "the Content-Type has parameters that are read in several ways");
    }
    else if (s->is_form) {
        apipool_strict_form_begin(s, boundary);
    }
}

void apipool_strict_feed(apipool_strict_t *s, const char *data, apr_size_t len)
{
    if (!s->doubt && s->is_form) {
        apipool_strict_form_feed(s, data, len);
    }
    else if (!s->doubt) {
        apipool_strict_json_feed(s, data, len);
    }
    s->seen += (apr_off_t)len;
}

void apipool_strict_end(apipool_strict_t *s)
{
    if (!s->seen) {
        s->doubt = NULL;
    }
    else if (!s->doubt && s->is_form) {
        apipool_strict_form_end(s);
    }
    else if (!s->doubt) {
        apipool_strict_json_end(s);
    }
}
