/* SPDX-License-Identifier: Apache-2.0
 * Reads the query string of a request. */
#include "query.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

typedef struct {
    const char *name, *value;
    int known;
} parameter_t;

static int hex(char c)
{
    return apr_isdigit(c) ? c - '0' : apr_isxdigit(c) ? (c | 0x20) - 'a' + 10 : -1;
}

/* Decodes len bytes; NULL where a '%' is not followed by two digits, or a control character comes out. */
static char *decode(apr_pool_t *p, const char *text, apr_size_t len)
{
    char *out = apr_palloc(p, len + 1), *to = out;
    for (const char *end = text + len; text < end; text++) {
        int c = (unsigned char)*text;
        if (c == '%') {
            if (end - text < 3 || hex(text[1]) < 0 || hex(text[2]) < 0) {
                return NULL;
            }
            c = hex(text[1]) * 16 + hex(text[2]);
            text += 2;
        }
        else if (c == '+') {
            c = ' ';
        }
        if (c < ' ' || c == 0x7f) {
            return NULL;
        }
        *to++ = (char)c;
    }
    *to = '\0';
    return out;
}

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
static int is_utf8(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c;) {
        int more = *c < 0x80   ? 0
                   : *c < 0xc2 ? -1
                   : *c < 0xe0 ? 1
                   : *c < 0xf0 ? 2
                   : *c < 0xf5 ? 3
                               : -1;
        if (more < 0 || (*c == 0xe0 && c[1] < 0xa0) || (*c == 0xed && c[1] > 0x9f) ||
            (*c == 0xf0 && c[1] < 0x90) || (*c == 0xf4 && c[1] > 0x8f)) {
            return 0;
        }
        for (c++; more > 0; more--, c++) {
            if ((*c & 0xc0) != 0x80) {
                return 0;
            }
        }
    }
    return 1;
}

static parameter_t *find(const apipool_query_t *query, const char *name)
{
    for (int i = 0; i < query->parameters->nelts; i++) {
        parameter_t *parameter = &APR_ARRAY_IDX(query->parameters, i, parameter_t);
        if (!strcmp(parameter->name, name)) {
            return parameter;
        }
    }
    return NULL;
}

void apipool_query_refuse(apipool_query_t *query, const char *name, const char *message)
{
    if (!query->flaw->message) {
        query->flaw->field = name;
        query->flaw->message = message;
    }
}

static void add(apipool_query_t *query, const char *text, apr_size_t len)
{
    const char *equals = memchr(text, '=', len);
    apr_size_t name_len = equals ? (apr_size_t)(equals - text) : len;
    const char *name = decode(query->p, text, name_len);
    const char *value = equals ? decode(query->p, equals + 1, len - name_len - 1) : "";
    if (!name || !is_utf8(name)) {
        apipool_query_refuse(query, NULL, "Parameter names must be percent-encoded UTF-8.");
    }
    else if (!value || !is_utf8(value)) {
        apipool_query_refuse(query, name,
                             "Must be percent-encoded UTF-8 without control characters.");
    }
    else if (find(query, name)) {
        apipool_query_refuse(query, name, "Duplicate parameter.");
    }
    else if (query->parameters->nelts == APIPOOL_QUERY_PARAMETERS) {
        apipool_query_refuse(query, NULL, "Too many parameters.");
    }
    else {
        parameter_t *parameter = apr_array_push(query->parameters);
        parameter->name = name;
        parameter->value = value;
        parameter->known = 0;
    }
}

void apipool_query_open(apipool_query_t *query, apr_pool_t *p, const char *text,
                        apipool_flaw_t *flaw)
{
    memset(flaw, 0, sizeof(*flaw));
    query->p = p;
    query->flaw = flaw;
    query->parameters = apr_array_make(p, 8, sizeof(parameter_t));
    if (text && strnlen(text, APIPOOL_QUERY_MAX + 1) > APIPOOL_QUERY_MAX) {
        apipool_query_refuse(query, NULL, "The query string is too long.");
        return;
    }
    while (text && *text && !flaw->message) {
        apr_size_t len = strcspn(text, "&");
        if (len) {
            add(query, text, len);
        }
        text += len + (text[len] == '&');
    }
}

const char *apipool_query_string(apipool_query_t *query, const char *name, apr_size_t max)
{
    parameter_t *parameter = query->flaw->message ? NULL : find(query, name);
    if (!parameter) {
        return NULL;
    }
    parameter->known = 1;
    if (strlen(parameter->value) > max) {
        apipool_query_refuse(
            query, name,
            apr_psprintf(query->p, "Must be at most %" APR_SIZE_T_FMT " bytes long.", max));
        return NULL;
    }
    return *parameter->value ? parameter->value : NULL;
}

apr_int64_t apipool_query_integer(apipool_query_t *query, const char *name, apr_int64_t min,
                                  apr_int64_t max, apr_int64_t absent)
{
    char *end = NULL;
    const char *text = apipool_query_string(query, name, 20);
    if (!text) {
        return absent;
    }
    apr_int64_t value = apr_strtoi64(text, &end, 10);
    if (!apr_isdigit(*text) || *end || value < min || value > max) {
        apipool_query_refuse(query, name,
                             apr_psprintf(query->p,
                                          "Must be a whole number from %" APR_INT64_T_FMT
                                          " to %" APR_INT64_T_FMT ".",
                                          min, max));
        return absent;
    }
    return value;
}

int apipool_query_choice(apipool_query_t *query, const char *name, const char *const *names,
                         int count, int absent)
{
    const char *text = apipool_query_string(query, name, 64), *list = "";
    for (int i = 0; text && i < count; i++) {
        if (!strcmp(text, names[i])) {
            return i;
        }
        list = apr_pstrcat(query->p, list, i ? ", " : "", names[i], NULL);
    }
    if (text) {
        apipool_query_refuse(query, name, apr_psprintf(query->p, "Must be one of: %s.", list));
    }
    return absent;
}

int apipool_query_close(apipool_query_t *query)
{
    for (int i = 0; i < query->parameters->nelts && !query->flaw->message; i++) {
        const parameter_t *parameter = &APR_ARRAY_IDX(query->parameters, i, parameter_t);
        if (!parameter->known) {
            apipool_query_refuse(query, parameter->name, "Unknown parameter.");
        }
    }
    return !query->flaw->message;
}
