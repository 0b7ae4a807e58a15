/* SPDX-License-Identifier: Apache-2.0
 * Reads the query string of a request. */
#include "query.h"

#include <apr_escape.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "ascii.h"
#include "utf8.h"

typedef struct {
    const char *name, *value;
    int known;
} parameter_t;

/* Decodes len bytes. Returns NULL if the encoding is broken, or the result is not UTF-8 or has
 * control characters. */
static char *decode(apr_pool_t *p, const char *text, apr_size_t len)
{
    char *out = apr_pstrndup(p, text, len);
    apr_status_t rv = apr_unescape_url(out, out, APR_ESCAPE_STRING, NULL, NULL, 1, NULL);
    if ((rv != APR_SUCCESS && rv != APR_NOTFOUND) || !apipool_utf8_is(out)) {
        return NULL;
    }
    for (const char *c = out; *c; c++) {
        if (apipool_ascii_is_control(*c)) {
            return NULL;
        }
    }
    return out;
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
    if (!name) {
        apipool_query_refuse(query, NULL, "Parameter names must be percent-encoded UTF-8.");
    }
    else if (!value) {
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
                        apipool_input_error_t *flaw)
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
