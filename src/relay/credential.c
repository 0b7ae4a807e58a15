/* SPDX-License-Identifier: Apache-2.0
 * Where a request carries a client key, and how that is kept out of logs. */
#include "credential.h"

#include <apr_lib.h>

#include "clientkey.h"

#define ARGUMENT     "key="
#define ARGUMENT_LEN 4
#define SECRET_AT    3 /* in a client key, behind its prefix */

static const char *in_field(request_rec *r, const char *name, const char *scheme)
{
    const char *value = apr_table_get(r->headers_in, name);
    apr_size_t len = strlen(scheme);
    if (!value || ap_cstr_casecmpn(value, scheme, len)) {
        return NULL;
    }
    value += len;
    if (len && *value != ' ') {
        return NULL;
    }
    while (*value == ' ' || *value == '\t') {
        value++;
    }
    for (len = strlen(value); len && apr_isspace(value[len - 1]); len--) {
    }
    return apipool_clientkey_is(value, len) ? value : NULL;
}

/* The next argument "key" with a client key in what follows a '?' or '&'; blanks end a query as well. */
static char *in_query(char *text)
{
    for (; text; text = strpbrk(text, "&?")) {
        text += *text == '&' || *text == '?';
        char *value = text + ARGUMENT_LEN;
        if (!strncmp(text, ARGUMENT, ARGUMENT_LEN) &&
            apipool_clientkey_is(value, strcspn(value, "& "))) {
            return value;
        }
    }
    return NULL;
}

const char *apipool_credential_find(request_rec *r)
{
    static const struct {
        const char *name, *scheme;
    } fields[] = {
        {"Authorization", "Bearer"}, {"x-api-key", ""}, {"api-key", ""}, {"x-goog-api-key", ""}};
    const char *key = NULL;
    for (apr_size_t i = 0; !key && i < sizeof(fields) / sizeof(*fields); i++) {
        key = in_field(r, fields[i].name, fields[i].scheme);
    }
    return key || !r->args ? key : in_query(r->args);
}

static void hide(char *text)
{
    for (char *key = in_query(text); key; key = in_query(key)) {
        memset(key + SECRET_AT, '*', APIPOOL_CLIENTKEY_LEN - SECRET_AT);
    }
}

void apipool_credential_hide(request_rec *r)
{
    hide(r->args);
    hide(r->unparsed_uri);
    hide(r->parsed_uri.query);
}

int apipool_credential_hide_line(request_rec *r)
{
    hide(r->the_request);
    return DECLINED;
}

int apipool_credential_hide_from_logs(request_rec *r)
{
    for (; r; r = r->next) {
        hide(r->the_request);
        apipool_credential_hide(r);
    }
    return DECLINED;
}
