/* SPDX-License-Identifier: Apache-2.0
 * What leaves for the upstream: the client's credentials and identity off, the pool's key on. */
#include "outgoing.h"

#include <apr_strings.h>

#include "ascii.h"

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
        while (apipool_ascii_is_space(*protocol)) {
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

static void push(struct iovec **at, const char *text)
{
    *(*at)++ = (struct iovec){(void *)(uintptr_t)text, strlen(text)};
}

static void push_field(struct iovec **at, const char *name, const char *value)
{
    push(at, "\r\n");
    push(at, name);
    push(at, ": ");
    push(at, value);
}

/* mod_proxy's copy of the fields, for one attempt, is about to be sent, and mod_proxy would make a text and a
 * bucket of each. So it gets a single one; values hold no line ends, which httpd and key.c have seen to. Host
 * stays what it is: mod_proxy puts it first. */
static void replace_fields(request_rec *r, const apipool_attempt_t *attempt)
{
    const apipool_upstream_conf_t *upstream = attempt->upstream;
    const apipool_field_t *own =
        apipool_provider_credential(upstream->provider, upstream->base_path);
    const apipool_field_t *demanded = apipool_provider_default_field(upstream->provider);
    const apr_array_header_t *sent = apr_table_elts(r->headers_in);
    struct iovec *parts = apr_palloc(r->pool, (apr_size_t)(4 * sent->nelts + 6) * sizeof(*parts));
    struct iovec *end = parts;
    apr_table_t *kept = apr_table_make(r->pool, 2);

    push(&end, own->prefix);
    push(&end, attempt->lease->key);
    if (demanded && !apr_table_get(r->headers_in, demanded->name)) {
        push_field(&end, demanded->name, demanded->prefix);
    }
    for (int i = 0; i < sent->nelts; i++) {
        const apr_table_entry_t *field = &APR_ARRAY_IDX(sent, i, apr_table_entry_t);
        if (!ap_cstr_casecmp(field->key, "Host")) {
            apr_table_addn(kept, field->key, field->val);
        }
        else if (field->val && !apipool_provider_is_private_field(upstream->provider, field->key)) {
            push_field(&end, field->key, field->val);
        }
    }
    apr_table_addn(kept, own->name, apr_pstrcatv(r->pool, parts, (apr_size_t)(end - parts), NULL));
    r->headers_in = kept;
}

int apipool_outgoing_fixups(request_rec *r)
{
    apipool_request_t *req = apipool_request_get(r);
    if (!req || !req->inside) {
        return DECLINED;
    }
    strip_subprotocols(r);
    replace_fields(r, &req->attempt);
    req->attempt.wired = 1;
    return OK;
}
