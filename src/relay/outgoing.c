/* SPDX-License-Identifier: Apache-2.0
 * The head of a request as it leaves: without the client's credentials and identity, with the
 * pool's key. */
#include "outgoing.h"

#include <apr_strings.h>

#include "ascii.h"
#include "body.h"
#include "field_options.h"
#include "websocket.h"

/* Browsers cannot set headers on a WebSocket, so OpenAI takes credentials as subprotocols:
 * "openai-insecure-api-key.sk-…", "openai-organization.…", "openai-project.…".
 * Returns NULL if nothing is left. */
static const char *strip_subprotocols(apr_pool_t *p, const char *offered)
{
    const char *kept = NULL;
    while (*offered) {
        const char *protocol = ap_getword(p, &offered, ',');
        while (apipool_ascii_is_space(*protocol)) {
            protocol++;
        }
        if (*protocol && ap_cstr_casecmpn(protocol, "openai-insecure-api-key.", 24) &&
            ap_cstr_casecmpn(protocol, "openai-organization.", 20) &&
            ap_cstr_casecmpn(protocol, "openai-project.", 15)) {
            kept = kept ? apr_pstrcat(p, kept, ", ", protocol, NULL) : protocol;
        }
    }
    return kept;
}

/* The head in pieces, to be joined at once. */
typedef struct {
    struct iovec *end;
} pieces_t;

static void push(pieces_t *pieces, const char *text)
{
    *pieces->end++ = (struct iovec){(void *)(apr_uintptr_t)text, strlen(text)};
}

static void push_field(pieces_t *pieces, const char *name, const char *value)
{
    push(pieces, name);
    push(pieces, ": ");
    push(pieces, value);
    push(pieces, "\r\n");
}

/* Fields of the connection to the client, and those that are written anew (RFC 9110 section 7.6.1).
 * */
static int is_replaced(const char *name)
{
    static const char *const names[] = {
        "connection", "content-length",    "expect", "host", "keep-alive", "proxy-connection", "te",
        "trailer",    "transfer-encoding", "upgrade"};
    char first = apipool_ascii_lower(*name);
    if (first > 'u') { /* behind the last name, as "x-..." is */
        return 0;
    }
    for (apr_size_t i = 0; i < sizeof(names) / sizeof(*names) && *names[i] <= first; i++) {
        if (*names[i] == first && !ap_cstr_casecmp(name, names[i])) {
            return 1;
        }
    }
    return 0;
}

/* What the client sends passes but for fields of its connection, credentials and identity. */
static void push_client_fields(pieces_t *pieces, const apipool_request_t *req)
{
    const request_rec *r = req->r;
    apipool_provider_e provider = req->attempt.upstream->provider;
    const apr_array_header_t *fields = apr_table_elts(r->headers_in);
    const char *options = apr_table_get(r->headers_in, "Connection");
    if (options && !ap_cstr_casecmp(options, "keep-alive")) {
        options = NULL; /* names nothing that is not replaced anyway */
    }
    int is_decoded = apipool_body_is_sent_decoded(req);
    for (int i = 0; i < fields->nelts; i++) {
        const apr_table_entry_t *field = &APR_ARRAY_IDX(fields, i, apr_table_entry_t);
        const char *value = field->val;
        if (is_replaced(field->key) || apipool_provider_is_private_field(provider, field->key) ||
            apipool_field_options_name(options, field->key) ||
            (is_decoded && !ap_cstr_casecmp(field->key, "Content-Encoding"))) {
            continue;
        }
        if (!ap_cstr_casecmp(field->key, "Sec-WebSocket-Protocol")) {
            value = strip_subprotocols(r->pool, value);
        }
        if (value) {
            push_field(pieces, field->key, value);
        }
    }
}

/* Whether the client's own fields of that name list the value. */
static int names_option(const request_rec *r, const apipool_field_t *field)
{
    const char *listed = apr_table_getm(r->pool, r->headers_in, field->name);
    return apipool_field_options_name(listed, field->prefix);
}

/* The pool's key, and what the vendor asks of each request. Values hold no line ends, which httpd
 * and core/key.c have seen to. */
static void push_credential(pieces_t *pieces, const apipool_request_t *req)
{
    const apipool_upstream_conf_t *upstream = req->attempt.upstream;
    const char *key = req->attempt.lease->key;
    const apipool_field_t *own =
        apipool_provider_credential(upstream->provider, upstream->base_path, key);
    const apipool_field_t *of_key = apipool_provider_key_field(upstream->provider, key);
    const apipool_field_t *demanded = apipool_provider_default_field(upstream->provider);
    push(pieces, own->name);
    push(pieces, ": ");
    push(pieces, own->prefix);
    push(pieces, key);
    push(pieces, "\r\n");
    if (demanded && !apr_table_get(req->r->headers_in, demanded->name)) {
        push_field(pieces, demanded->name, demanded->prefix);
    }
    if (of_key && !names_option(req->r, of_key)) {
        push_field(pieces, of_key->name, of_key->prefix);
    }
}

static const char *host_of(const apipool_request_t *req, const apr_uri_t *uri)
{
    request_rec *r = req->r;
    const proxy_dir_conf *dir = ap_get_module_config(r->per_dir_config, &proxy_module);
    const char *own = dir->preserve_host ? apr_table_get(r->headers_in, "Host") : NULL;
    int is_ipv6 = ap_strchr_c(uri->hostname, ':') != NULL;
    if (own) {
        return own;
    }
    if (!is_ipv6 && !uri->port_str) {
        return uri->hostname;
    }
    int has_port = uri->port_str && uri->port != ap_proxy_port_of_scheme(uri->scheme);
    return apr_pstrcat(r->pool, is_ipv6 ? "[" : "", uri->hostname, is_ipv6 ? "]" : "",
                       has_port ? ":" : "", has_port ? uri->port_str : "", NULL);
}

const char *apipool_outgoing_via(const request_rec *r, const proxy_server_conf *conf)
{
    if (conf->viaopt != via_on && conf->viaopt != via_full) {
        return NULL;
    }
    return apr_psprintf(
        r->pool, "%d.%d %s:%u%s", HTTP_VERSION_MAJOR(r->proto_num),
        HTTP_VERSION_MINOR(r->proto_num), r->server->server_hostname, ap_get_server_port(r),
        conf->viaopt == via_full ? apr_pstrcat(r->pool, " (", ap_get_server_banner(), ")", NULL)
                                 : "");
}

char *apipool_outgoing_head(const apipool_request_t *req, const apipool_outgoing_t *outgoing,
                            apr_size_t *len)
{
    const request_rec *r = req->r;
    const char *via = apipool_outgoing_via(r, outgoing->conf);
    apr_size_t count = (apr_size_t)apr_table_elts(r->headers_in)->nelts * 4 + 40;
    struct iovec *first = apr_palloc(r->pool, count * sizeof(*first));
    pieces_t pieces = {first};

    push(&pieces, r->method);
    push(&pieces, " ");
    push(&pieces, outgoing->target);
    push(&pieces, " HTTP/1.1\r\n");
    push_field(&pieces, "Host", host_of(req, outgoing->uri));
    push_credential(&pieces, req);
    push(&pieces, "Accept-Encoding: identity\r\n"); /* answers are read on their way */
    push_client_fields(&pieces, req);
    if (via) {
        push_field(&pieces, "Via", via);
    }
    if (outgoing->length >= 0) {
        push_field(&pieces, "Content-Length", apr_off_t_toa(r->pool, outgoing->length));
    }
    if (apipool_websocket_is_asked(req)) {
        push(&pieces, "Connection: Upgrade\r\n");
        push_field(&pieces, "Upgrade", apr_table_get(r->headers_in, "Upgrade"));
    }
    else {
        push_field(&pieces, "Connection", outgoing->keep ? "Keep-Alive" : "close");
    }
    push(&pieces, "\r\n");
    return apr_pstrcatv(r->pool, first, (apr_size_t)(pieces.end - first), len);
}
