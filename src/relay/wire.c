/* SPDX-License-Identifier: Apache-2.0
 * What leaves for the upstream: the client's credentials and identity off, the pool's key on. */
#include "wire.h"

#include <apr_strings.h>

#include "prefix.h"

/* Every form in which a client may have sent a credential; what tells a vendor who it is; and what a browser
 * tells of the page: a vendor that refuses pages would seem to refuse the key. By length, since each field of
 * each request is looked up. */
#define SAME_LENGTH_MAX 4
static const char *const private_fields[][SAME_LENGTH_MAX] = {
    [6] = {"Cookie", "Origin"},
    [7] = {"api-key", "Cookie2", "Referer"},
    [9] = {"x-api-key", "X-Real-IP", "Forwarded"},
    [13] = {"Authorization"},
    [14] = {"x-goog-api-key", "OpenAI-Project"},
    [15] = {"Accept-Encoding"},
    [19] = {"Proxy-Authorization", "OpenAI-Organization"},
};
#define LENGTHS (sizeof(private_fields) / sizeof(*private_fields))

/* Browsers cannot set headers on a WebSocket, so OpenAI takes credentials as subprotocols:
 * "openai-insecure-api-key.sk-…", "openai-organization.…", "openai-project.…". */
static void strip_subprotocols(request_rec *r)
{
    const char *offered = apr_table_get(r->headers_in, "Sec-WebSocket-Protocol");
    const char *kept = NULL;
    if (!offered) {
        return;
    }
    while (*offered) {
        const char *protocol = ap_getword(r->pool, &offered, ',');
        while (apr_isspace(*protocol)) {
            protocol++;
        }
        if (*protocol && ap_cstr_casecmpn(protocol, "openai-insecure-api-key.", 24) &&
            ap_cstr_casecmpn(protocol, "openai-organization.", 20) &&
            ap_cstr_casecmpn(protocol, "openai-project.", 15)) {
            kept = kept ? apr_pstrcat(r->pool, kept, ", ", protocol, NULL) : protocol;
        }
    }
    if (kept) {
        apr_table_setn(r->headers_in, "Sec-WebSocket-Protocol", kept);
    }
    else {
        apr_table_unset(r->headers_in, "Sec-WebSocket-Protocol");
    }
}

/* Those fields, and whatever a proxy has to tell of the client: address, host, user, certificate. */
static int is_private(const char *name)
{
    apr_size_t len = strlen(name);
    char first = *name | 0x20;
    if (len < LENGTHS) {
        const char *const *field = private_fields[len];
        for (int i = 0; i < SAME_LENGTH_MAX && field[i]; i++) {
            if (!ap_cstr_casecmp(name, field[i])) {
                return 1;
            }
        }
    }
    return (first == 'x' && apipool_has_prefix(name, "X-Forwarded-", 12)) ||
           (first == 's' && apipool_has_prefix(name, "Sec-Fetch-", 10));
}

static void strip_private(request_rec *r)
{
    const apr_array_header_t *fields = apr_table_elts(r->headers_in);
    apr_table_t *kept = apr_table_make(r->pool, fields->nelts + 2); /* and what is set below */
    for (int i = 0; i < fields->nelts; i++) {
        const apr_table_entry_t *field = &APR_ARRAY_IDX(fields, i, apr_table_entry_t);
        if (!is_private(field->key)) {
            apr_table_addn(kept, field->key, field->val);
        }
    }
    r->headers_in = kept; /* mod_proxy's copy, for one attempt */
}

static void set_credential(request_rec *r, const apipool_attempt_t *attempt)
{
    const apipool_upstream_t *upstream = attempt->upstream;
    const apipool_field_t *field =
        apipool_provider_credential(upstream->provider, upstream->base_path);
    const apipool_field_t *demanded = apipool_provider_default_field(upstream->provider);
    apr_table_setn(r->headers_in, field->name,
                   apr_pstrcat(r->pool, field->prefix, attempt->lease->key, NULL));
    if (demanded && !apr_table_get(r->headers_in, demanded->name)) {
        apr_table_setn(r->headers_in, demanded->name, demanded->prefix);
    }
}

int apipool_wire_fixups(request_rec *r)
{
    apipool_request_t *req = apipool_request_get(r);
    if (!req || !req->inside) {
        return DECLINED;
    }
    strip_private(r);
    strip_subprotocols(r);
    set_credential(r, &req->attempt);
    req->attempt.wired = 1;
    return OK;
}
