/* SPDX-License-Identifier: Apache-2.0
 * What leaves for the upstream: the client's credentials and identity off, the pool's key on. */
#include "wire.h"

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

static char *append(char *to, const char *text, apr_size_t len)
{
    memcpy(to, text, len);
    return to + len;
}

typedef struct {
    const char *name, *value;
    apr_size_t name_len, value_len;
} field_t;

#define BETWEEN ": "
#define END     "\r\n"
#define MARKS   (sizeof(BETWEEN END) - 1)

static void add(field_t *fields, int *count, const char *name, const char *value)
{
    fields[(*count)++] = (field_t){name, value, strlen(name), strlen(value)};
}

/* The value that makes one field of all of them on the wire, with the name of the first. */
static const char *join(apr_pool_t *p, const field_t *fields, int count)
{
    apr_size_t len = fields[0].value_len;
    for (int i = 1; i < count; i++) {
        len += fields[i].name_len + fields[i].value_len + MARKS;
    }
    char *text = apr_palloc(p, len + 1);
    char *at = append(text, fields[0].value, fields[0].value_len);
    for (int i = 1; i < count; i++) {
        at = append(at, END, sizeof(END) - 1);
        at = append(at, fields[i].name, fields[i].name_len);
        at = append(at, BETWEEN, sizeof(BETWEEN) - 1);
        at = append(at, fields[i].value, fields[i].value_len);
    }
    *at = '\0';
    return text;
}

/* mod_proxy's copy of the fields, for one attempt, is about to be sent, and mod_proxy would make a text and a
 * bucket of each. So it gets a single one; values hold no line ends, which httpd and key.c have seen to. Host
 * stays what it is: mod_proxy puts it first. */
static void replace_fields(request_rec *r, const apipool_attempt_t *attempt)
{
    const apipool_upstream_t *upstream = attempt->upstream;
    const apipool_field_t *own =
        apipool_provider_credential(upstream->provider, upstream->base_path);
    const apipool_field_t *demanded = apipool_provider_default_field(upstream->provider);
    const apr_array_header_t *sent = apr_table_elts(r->headers_in);
    field_t *fields = apr_palloc(r->pool, (apr_size_t)(sent->nelts + 2) * sizeof(*fields));
    apr_table_t *kept = apr_table_make(r->pool, 2);
    int count = 0;

    add(fields, &count, own->name, apr_pstrcat(r->pool, own->prefix, attempt->lease->key, NULL));
    if (demanded && !apr_table_get(r->headers_in, demanded->name)) {
        add(fields, &count, demanded->name, demanded->prefix);
    }
    for (int i = 0; i < sent->nelts; i++) {
        const apr_table_entry_t *field = &APR_ARRAY_IDX(sent, i, apr_table_entry_t);
        if (!ap_cstr_casecmp(field->key, "Host")) {
            apr_table_addn(kept, field->key, field->val);
        }
        else if (field->val && !apipool_provider_is_private_field(upstream->provider, field->key)) {
            add(fields, &count, field->key, field->val);
        }
    }
    apr_table_addn(kept, own->name, join(r->pool, fields, count));
    r->headers_in = kept;
}

int apipool_wire_fixups(request_rec *r)
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
