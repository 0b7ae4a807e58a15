/* SPDX-License-Identifier: Apache-2.0
 * Where a request carries a client key, and how that is kept out of logs. */
#include "credential.h"

#include <apr_strings.h>
#include <http_core.h>

#include "ascii.h"
#include "client_key.h"

#define ARGUMENT     "key="
#define ARGUMENT_LEN 4
#define UNMASKED     "apipool-unparsed-uri"

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
    for (len = strlen(value); len && apipool_ascii_is_space(value[len - 1]); len--) {
    }
    return apipool_client_key_is(value, len) ? value : NULL;
}

/* The next argument "key" with a client key in what follows a '?' or '&'; blanks end a query as well. */
static char *in_query(char *text)
{
    for (; text; text = strpbrk(text, "&?")) {
        text += *text == '&' || *text == '?';
        char *value = text + ARGUMENT_LEN;
        if (!strncmp(text, ARGUMENT, ARGUMENT_LEN) &&
            apipool_client_key_is(value, strcspn(value, "& "))) {
            return value;
        }
    }
    return NULL;
}

/* Authorization may hold another kind, and comes first; the others hold nothing but a key. */
static const struct {
    const char *name, *scheme;
} fields[] = {
    {"Authorization", "Bearer"}, {"x-api-key", ""}, {"api-key", ""}, {"x-goog-api-key", ""}};
#define FIELDS (sizeof(fields) / sizeof(*fields))

const char *apipool_credential_find(request_rec *r, const char *taken)
{
    const char *key = NULL;
    for (apr_size_t i = 0; !key && i < FIELDS; i++) {
        key = in_field(r, fields[i].name, fields[i].scheme);
    }
    key = key ? key : taken;
    return key || !r->args ? key : in_query(r->args);
}

static void hide_query(request_rec *r)
{
    apipool_client_key_mask(r->args);
    apipool_client_key_mask(r->parsed_uri.query);
}

/* What is only for logs and status pages. */
static void hide_line(request_rec *r)
{
    apipool_client_key_mask(r->the_request);
    apipool_client_key_mask(r->unparsed_uri);
}

void apipool_credential_hide(request_rec *r)
{
    hide_line(r);
    hide_query(r);
}

const char *apipool_credential_take(request_rec *r)
{
    const char *key = r->args ? in_query(r->args) : NULL;
    key = key ? apr_pstrmemdup(r->pool, key, APIPOOL_CLIENT_KEY_LEN) : NULL;
    hide_query(r);
    return key;
}

/* httpd logs an unparsed URI that it refuses before it is known whose location is asked. Parameters of a path
 * name no file; other parts of it may, and stay. */
int apipool_credential_hide_line(request_rec *r)
{
    if (apipool_client_key_mask(r->the_request)) {
        apr_pool_userdata_setn(apr_pstrdup(r->pool, r->unparsed_uri), UNMASKED, NULL, r->pool);
        apipool_client_key_mask(r->unparsed_uri);
        apipool_client_key_mask(r->uri ? strchr(r->uri, ';') : NULL);
    }
    return DECLINED;
}

void apipool_credential_show_uri(request_rec *r)
{
    void *unmasked = NULL;
    if (!r->main && !r->prev) {
        apr_pool_userdata_get(&unmasked, UNMASKED, r->pool);
        r->unparsed_uri = unmasked ? unmasked : r->unparsed_uri;
    }
}

int apipool_credential_is_asked(request_rec *r)
{
    const char *type = ap_auth_type(r);
    return type && !ap_cstr_casecmp(type, APIPOOL_AUTH_TYPE);
}

int apipool_credential_hide_from_environment(request_rec *r)
{
    request_rec *asked = r;
    if (ap_get_module_config(r->request_config, &apipool_module)) { /* a pool serves it */
        return DECLINED;
    }
    /* this request, or one that it was made for, had to have a client key */
    while (asked && !apipool_credential_is_asked(asked)) {
        asked = asked->prev ? asked->prev : asked->main;
    }
    for (apr_size_t i = 0; asked && i < FIELDS; i++) {
        if (in_field(r, fields[i].name, fields[i].scheme)) { /* CGIPassAuth passes some on */
            apr_table_unset(r->headers_in, fields[i].name);
        }
    }
    return DECLINED;
}

void apipool_credential_hide_refused(request_rec *r)
{
    hide_line(r);
}

int apipool_credential_hide_from_logs(request_rec *r)
{
    for (; r; r = r->next) {
        apipool_credential_hide(r);
    }
    return DECLINED;
}
