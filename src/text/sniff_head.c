/* SPDX-License-Identifier: Apache-2.0
 * Reads header fields and their parameters: a request's content type, and part headers of forms. */
#include "sniff_parts.h"

#include <apr_strings.h>
#include <string.h>

#include "ascii.h"

#define LETTERS_AND_DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define TOKEN              LETTERS_AND_DIGITS "!#$%&'*+-.^_`|~"

static const char FORM_DATA[] = "form-data";
static const char DISPOSITION[] = "a Content-Disposition of the form is read in several ways";
static const char TYPE[] = "a Content-Type in the form is read in several ways";
static const char PARAMETERS[] = "the Content-Type has parameters that are read in several ways";

/* --- Parameters --- */

typedef struct {
    char *rest;
    char stop; /* the character before rest that a NUL has replaced */
    int count;
    char *name, *value;
    int is_plain; /* all readers take it, and the separator before it, alike */
} param_t;

/* Begins at the parameters behind the first len bytes of a field's value, and terminates those. */
static param_t params_behind(char *text, apr_size_t len)
{
    param_t p = {.stop = text[len], .rest = text + len + (text[len] != '\0')};
    text[len] = '\0';
    return p;
}

/* Skips blanks and semicolons. */
static char *skip_separator(param_t *p)
{
    char *at = p->rest;
    int semicolons = p->stop == ';';
    p->is_plain = p->stop != '\t';
    for (; *at == ';' || *at == ' ' || *at == '\t'; at++) {
        semicolons += *at == ';';
        p->is_plain &= *at != '\t';
    }
    p->is_plain &= *at && p->count ? semicolons == 1 : semicolons <= 1;
    return at;
}

static int take_quoted(param_t *p, char *at)
{
    char *out = at;
    p->value = at;
    for (; *at && *at != '"'; at++) {
        p->is_plain &= *at != '\\';
        at += *at == '\\' && (at[1] == '"' || at[1] == '\\');
        *out++ = *at;
    }
    if (*at != '"') {
        return -1;
    }
    *out = '\0';
    p->stop = '\0';
    p->rest = at + 1;
    return 1;
}

/* Splits off the next "; name=value" in place. Returns 0 at the end, -1 if it is malformed. */
static int next_param(param_t *p)
{
    char *name = skip_separator(p);
    if (!*name) {
        return 0;
    }
    apr_size_t len = strcspn(name, "=; \t"), blanks = strspn(name + len, " \t");
    char *at = name + len + blanks;
    if (*at != '=') {
        return -1;
    }
    p->is_plain &= len > 0 && strspn(name, TOKEN) == len && !blanks;
    p->count++;
    p->name = name;
    name[len] = '\0';
    blanks = strspn(++at, " \t");
    p->is_plain &= !blanks;
    at += blanks;
    if (*at == '"') {
        return take_quoted(p, at + 1);
    }
    len = strcspn(at, "; \t");
    p->is_plain &= len > 0 && strspn(at, TOKEN) == len;
    p->value = at;
    p->stop = at[len];
    p->rest = at + len + (at[len] != '\0');
    at[len] = '\0';
    return 1;
}

/* Tests whether a field's value is a word, in any case, with or without parameters. */
static int has_value(const char *text, const char *word)
{
    apr_size_t len = strlen(word);
    return !apr_cstr_casecmpn(text, word, len) && (!text[len] || strchr("; \t", text[len]));
}

/* The length of the word, possibly with a slash, that a field's value begins with, up to one of the
 * stops or the end; 0 if readers disagree. */
static apr_size_t word_length(const char *text, const char *stops)
{
    apr_size_t len = *text == '/' ? 0 : strspn(text, TOKEN "/");
    return strchr(stops, text[len]) ? len : 0;
}

/* Tests whether all readers find the same text in a charset. */
static int is_utf8(const char *charset)
{
    return !apr_cstr_casecmp(charset, "utf-8") || !apr_cstr_casecmp(charset, "utf8") ||
           !apr_cstr_casecmp(charset, "us-ascii");
}

/* --- The request's content type --- */

/* Content types of which a body is read as JSON, or not at all. */
static int is_json(const char *type)
{
    const char *plus = strrchr(type, '+');
    return !apr_cstr_casecmp(type, "application/json") || !apr_cstr_casecmp(type, "text/json") ||
           !apr_cstr_casecmp(type, "text/plain") ||
           !apr_cstr_casecmp(type, "application/octet-stream") ||
           (plus && !apr_cstr_casecmpn(type, "application/", 12) &&
            !apr_cstr_casecmp(plus, "+json"));
}

static void take_boundary(apipool_sniff_t *s, const char *value)
{
    apr_size_t len = strlen(value);
    if (len > 0 && len <= APIPOOL_SNIFF_BOUNDARY_MAX && !strpbrk(value, "\r\n")) {
        memcpy(s->delimiter, "\r\n--", 4);
        memcpy(s->delimiter + 4, value, len + 1);
        s->delimiter_len = len + 4;
    }
}

static void read_parameters(apipool_sniff_t *s, param_t *p, int is_form)
{
    int rv, charsets = 0, boundaries = 0;
    while ((rv = next_param(p)) > 0) {
        int is_charset = !apr_cstr_casecmp(p->name, "charset");
        int is_boundary = is_form && !apr_cstr_casecmp(p->name, "boundary");
        if (is_charset && p->is_plain && !is_utf8(p->value)) {
            apipool_sniff_ambiguous(s, "the charset is not UTF-8");
        }
        else if (!p->is_plain || (is_charset && charsets++) || (is_boundary && boundaries++) ||
                 strchr(p->name, '*') || strpbrk(p->value, ";/") ||
                 (is_form && !is_charset && !is_boundary)) {
            apipool_sniff_ambiguous(s, PARAMETERS);
        }
        if (is_boundary) {
            take_boundary(s, p->value);
        }
    }
    if (rv < 0 || !p->is_plain) {
        apipool_sniff_ambiguous(s, PARAMETERS);
    }
}

/* Checks that a boundary has no blanks or quotes, on which readers disagree, and prepares the
 * search for it in data. */
static void check_boundary(apipool_sniff_t *s)
{
    const char *pattern = s->delimiter + 2;
    apr_size_t len = s->delimiter_len ? s->delimiter_len - 2 : 0;
    if (len < 3 || len > APIPOOL_STRICT_BOUNDARY_MAX + 2 ||
        strspn(pattern, LETTERS_AND_DIGITS "'()+_,-.:=") != len) {
        apipool_sniff_ambiguous(s, "the boundary of the form is missing or not a plain one");
        return;
    }
    unsigned char *back = s->strict->back;
    for (apr_size_t i = 1, k = 0; i < len; i++) {
        while (k && pattern[i] != pattern[k]) {
            k = back[k - 1];
        }
        k += pattern[i] == pattern[k];
        back[i] = (unsigned char)k;
    }
}

void apipool_sniff_type(apipool_sniff_t *s, const char *content_type)
{
    static const char form[] = "multipart/form-data";
    char text[APIPOOL_STRICT_LINE_MAX + 1];
    apr_size_t blanks = strspn(content_type, " \t");
    int is_form = has_value(content_type + blanks, form);
    if (!is_form && (!s->is_strict || !strcmp(content_type, "application/json"))) {
        return; /* most values end here */
    }
    if (strlen(content_type) >= sizeof(text)) {
        apipool_sniff_ambiguous(s, "the Content-Type is too long");
        return;
    }
    strcpy(text, content_type);
    apr_size_t len = word_length(text, "; ");
    param_t params = params_behind(text + blanks, is_form ? strlen(form) : len);
    if (!len || !(is_form || is_json(text))) {
        apipool_sniff_ambiguous(s, "the Content-Type is neither JSON nor a form of one boundary");
    }
    if (is_form || s->is_strict) {
        read_parameters(s, &params, is_form);
    }
    if (is_form && s->is_strict) {
        check_boundary(s);
    }
    if (s->delimiter_len) {
        apipool_sniff_form_begin(s);
    }
}

/* --- Part headers --- */

/* Tests for UTF-8 without control characters and byte order marks. */
static int is_clean(const char *text, apr_size_t len)
{
    apr_uint32_t code = ' ';
    for (apr_size_t i = 0, n; i < len; i += n) {
        n = apipool_utf8_character(text + i, len - i, &code);
        if (!n || code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0xfeff) {
            return 0;
        }
    }
    return 1;
}

static int find_name(const apipool_sniff_t *s, const char *name)
{
    for (int i = 0; i < s->count; i++) {
        if (!strcmp(s->names[i].name, name)) {
            return i;
        }
    }
    return -1;
}

static void read_name(apipool_sniff_t *s, const char *name)
{
    apipool_name_e kind = apipool_strict_name(name);
    s->current = find_name(s, name);
    s->is_model = kind == APIPOOL_NAME_MODEL;
    if (!*name || kind == APIPOOL_NAME_AMBIGUOUS || (s->is_model && strcmp(name, "model")) ||
        apipool_ascii_find(name, "_charset_")) {
        apipool_sniff_ambiguous(s, "a field of the form has a name that is read in several ways");
    }
}

/* Readers that split at every semicolon would find another parameter inside. */
static int is_file_name(const char *value)
{
    const char *semicolon = strchr(value, ';');
    return *value && !(semicolon && strchr(semicolon, '='));
}

static int is_utf8_name(const char *value)
{
    const char *language = apr_cstr_casecmpn(value, "utf-8'", 6) ? NULL : strchr(value + 6, '\'');
    return language && !strpbrk(language + 1, "'*");
}

static void read_disposition(apipool_sniff_t *s, char *text)
{
    int rv, names = 0, plain = 0, encoded = 0;
    text += strspn(text, " ");
    int is_plain = *text != '\t' && !s->has_disposition++;
    text += strspn(text, " \t");
    if (!has_value(text, FORM_DATA)) {
        s->is_file = 1;
        apipool_sniff_ambiguous(s, DISPOSITION);
        return;
    }
    param_t p = params_behind(text, strlen(FORM_DATA));
    is_plain &= p.stop == ';';
    while ((rv = next_param(&p)) > 0) {
        int is_file = !apr_cstr_casecmp(p.name, "filename");
        int is_encoded = !apr_cstr_casecmp(p.name, "filename*");
        if (!apr_cstr_casecmp(p.name, "name")) {
            read_name(s, p.value);
            is_plain &= !names++;
        }
        else {
            is_plain &= names && ((is_file && !plain++ && is_file_name(p.value)) ||
                                  (is_encoded && !encoded++ && is_utf8_name(p.value)));
        }
        s->has_file_name |= is_file || is_encoded;
        is_plain &= p.is_plain;
    }
    s->is_file |= rv < 0 || s->has_file_name;
    if (!is_plain || rv < 0 || !p.is_plain || !names) {
        apipool_sniff_ambiguous(s, DISPOSITION);
    }
}

static void read_type(apipool_sniff_t *s, char *text)
{
    int rv, charsets = 0;
    apr_size_t len = word_length(text, ";");
    int is_plain = !s->has_type++ && len && apr_cstr_casecmpn(text, "multipart/", 10) &&
                   apr_cstr_casecmpn(text, "message/", 8);
    param_t p = params_behind(text, len);
    s->is_text = !apr_cstr_casecmp(text, "text/plain");
    while ((rv = next_param(&p)) > 0) {
        is_plain &= p.is_plain;
        if (!apr_cstr_casecmp(p.name, "charset") && (charsets++ || !is_utf8(p.value))) {
            apipool_sniff_ambiguous(s, "the charset of a part is not UTF-8");
        }
    }
    if (!is_plain || rv < 0 || !p.is_plain) {
        apipool_sniff_ambiguous(s, TYPE);
    }
}

static void read_length(apipool_sniff_t *s, const char *text)
{
    apr_size_t digits = strspn(text, "0123456789");
    if (s->data_length >= 0 || !digits || digits > 15 || text[digits]) {
        apipool_sniff_ambiguous(s, "a Content-Length in the form is read in several ways");
        return;
    }
    s->data_length = apr_atoi64(text);
}

/* Returns the value if the line is the named field, else NULL. */
static char *value_of(char *line, const char *field)
{
    apr_size_t len = strlen(field);
    return apr_cstr_casecmpn(line, field, len) || line[len] != ':' ? NULL : line + len + 1;
}

/* Tests for a transfer encoding that leaves data unchanged. */
static int is_identity(const char *encoding)
{
    encoding += strspn(encoding, " ");
    return !apr_cstr_casecmp(encoding, "binary") || !apr_cstr_casecmp(encoding, "8bit") ||
           !apr_cstr_casecmp(encoding, "7bit");
}

/* Checks fields that matter only in strict mode. */
static void check_field(apipool_sniff_t *s, char *line)
{
    char *value;
    if ((value = value_of(line, "Content-Type")) != NULL) {
        read_type(s, value + strspn(value, " "));
    }
    else if ((value = value_of(line, "Content-Length")) != NULL) {
        read_length(s, value + strspn(value, " "));
    }
    else if (!(value = value_of(line, "Content-Transfer-Encoding")) || !is_identity(value)) {
        apipool_sniff_ambiguous(s, "the head of a part has a field that is read in several ways");
    }
}

void apipool_sniff_head(apipool_sniff_t *s, char *line, apr_size_t len)
{
    if (s->is_strict &&
        (!is_clean(line, len) || memmem(line, len, s->delimiter + 2, s->delimiter_len - 2))) {
        apipool_sniff_ambiguous(s, "the head of a part has characters that do not belong there");
    }
    char *disposition = value_of(line, "Content-Disposition");
    if (disposition) {
        int is_whole = !s->truncated && strlen(line) == len;
        if (is_whole || s->is_strict) {
            read_disposition(s, disposition);
        }
        s->is_file |= !is_whole;
    }
    else if (s->is_strict) {
        check_field(s, line);
    }
}

void apipool_sniff_head_end(apipool_sniff_t *s)
{
    if (!s->has_disposition) {
        apipool_sniff_ambiguous(s, "a part of the form has no Content-Disposition");
    }
    else if (s->is_model && s->has_file_name) {
        apipool_sniff_ambiguous(s, "the field \\\"model\\\" has a file name");
    }
    else if (!s->has_file_name && s->has_type && !s->is_text) {
        apipool_sniff_ambiguous(s, "a field of the form has a Content-Type other than text/plain");
    }
}
