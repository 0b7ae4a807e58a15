/* SPDX-License-Identifier: Apache-2.0
 * What leaves for the upstream: the client's credentials and identity off, the pool's key on. */
#include "wire.h"

#include <apr_strings.h>

/* Every form in which a client may have sent a credential, and what tells a vendor who it is. */
static const char *const private_fields[] = {
    "Authorization",  "Proxy-Authorization",
    "x-api-key",      "api-key",
    "x-goog-api-key", "Cookie",
    "Cookie2",        "OpenAI-Organization",
    "OpenAI-Project", "X-Real-IP",
    "Forwarded",      "Accept-Encoding",
    "Origin",         "Referer",
};

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

/* Whatever a proxy has to tell of the client: address, host, user, certificate; and what a browser tells of
 * the page: a vendor that refuses pages would seem to refuse the key. */
static void strip_forwarded(request_rec *r)
{
    const apr_array_header_t *fields = apr_table_elts(r->headers_in);
    const apr_table_entry_t *entries = (const apr_table_entry_t *)fields->elts;
    for (int i = fields->nelts - 1; i >= 0; i--) {
        char first = *entries[i].key | 0x20;
        if ((first == 'x' && !ap_cstr_casecmpn(entries[i].key, "X-Forwarded-", 12)) ||
            (first == 's' && !ap_cstr_casecmpn(entries[i].key, "Sec-Fetch-", 10))) {
            apr_table_unset(r->headers_in, entries[i].key);
            i = i < fields->nelts ? i : fields->nelts;
        }
    }
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
    for (apr_size_t i = 0; i < sizeof(private_fields) / sizeof(*private_fields); i++) {
        apr_table_unset(r->headers_in, private_fields[i]);
    }
    strip_forwarded(r);
    strip_subprotocols(r);
    set_credential(r, &req->attempt);
    req->attempt.wired = 1;
    return OK;
}
