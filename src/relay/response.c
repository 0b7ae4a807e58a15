/* SPDX-License-Identifier: Apache-2.0
 * The head of an upstream's response, put into the request. */
#include "response.h"

#include <apr_strings.h>
#include <http_protocol.h>

#include "ascii.h"
#include "outgoing.h"
#include "response_head.h"
#include "rewrite.h"
#include "websocket.h"

#define LINE_END    2
#define OPTIONS_MAX 64 /* of a connection: each is looked for among all fields */

/* What becomes of a field. */
typedef enum { PASSES, DROPPED, MAPPED, FRAMES, ENCODES, LISTS_OPTIONS, TYPE, UPGRADES } fate_e;

/* Known names stand in the order of their first letters.
 *
 * What a vendor tells about itself or its customer is dropped, and so are extensions of a
 * WebSocket, for which nobody has asked. Fields of the connection are not for the client (RFC 9110
 * section 7.6.1). URLs that lead to an upstream are made to lead through the pool; those that
 * ProxyPassReverse names are its business. */
static fate_e fate_of(const char *name)
{
    static const struct {
        const char *name;
        fate_e fate;
    } known[] = {{"azure-asyncoperation", MAPPED},
                 {"connection", LISTS_OPTIONS},
                 {"content-length", FRAMES},
                 {"content-type", TYPE},
                 {"content-location", MAPPED},
                 {"destination", MAPPED},
                 {"keep-alive", DROPPED},
                 {"location", MAPPED},
                 {"openai-organization", DROPPED},
                 {"operation-location", MAPPED},
                 {"proxy-authenticate", DROPPED},
                 {"proxy-connection", DROPPED},
                 {"set-cookie", DROPPED},
                 {"set-cookie2", DROPPED},
                 {"sec-websocket-extensions", DROPPED},
                 {"te", DROPPED},
                 {"trailer", DROPPED},
                 {"transfer-encoding", ENCODES},
                 {"upgrade", UPGRADES},
                 {"uri", MAPPED},
                 {"x-goog-upload-control-url", MAPPED},
                 {"x-goog-upload-url", MAPPED}};
    char first = apipool_ascii_lower(*name);
    if (first > 'u' && ap_cstr_casecmpn(name, "x-goog-", 7)) { /* as most "x-..." are */
        return PASSES;
    }
    for (apr_size_t i = 0; i < sizeof(known) / sizeof(*known) && *known[i].name <= first; i++) {
        if (first == *known[i].name && !ap_cstr_casecmp(name, known[i].name)) {
            return known[i].fate;
        }
    }
    return PASSES;
}

/* A head that is being read. */
typedef struct {
    const apipool_request_t *req;
    request_rec *r;
    apipool_response_t *response;
    const char *options[OPTIONS_MAX]; /* values of Connection */
    int option_count;
    const char *upgrade;
} parse_t;

static int read_length(parse_t *x, const char *name, const char *value)
{
    apr_off_t length;
    if (!ap_parse_strict_length(&length, value) ||
        (x->response->framing == APIPOOL_BY_LENGTH && length != x->response->left)) {
        return 0;
    }
    if (x->response->framing == APIPOOL_BY_CHUNKS) {
        x->response->keep = 0; /* an attempt at smuggling, maybe (RFC 9112 section 6.3) */
        return 1;
    }
    x->response->framing = APIPOOL_BY_LENGTH;
    x->response->left = length;
    apr_table_setn(x->r->headers_out, name, value);
    return 1;
}

static int read_encoding(parse_t *x, const char *value)
{
    if (!ap_cstr_casecmp(value, "identity")) {
        return 1;
    }
    if (ap_cstr_casecmp(value, "chunked") || x->response->framing == APIPOOL_BY_CHUNKS) {
        return 0;
    }
    if (x->response->framing == APIPOOL_BY_LENGTH) {
        apr_table_unset(x->r->headers_out, "Content-Length");
        x->response->keep = 0;
    }
    x->response->framing = APIPOOL_BY_CHUNKS;
    return 1;
}

static const char *map(const apipool_request_t *req, const char *url)
{
    request_rec *r = req->r;
    const char *mapped = ap_proxy_location_reverse_map(
        r, ap_get_module_config(r->per_dir_config, &proxy_module), url);
    const char *own = mapped == url ? apipool_rewrite_url(req, url, r->pool) : NULL;
    return own ? own : mapped;
}

static int take(parse_t *x, const char *name, const char *value)
{
    request_rec *r = x->r;
    switch (fate_of(name)) {
    case DROPPED:
        return 1;
    case FRAMES:
        return read_length(x, name, value);
    case ENCODES:
        return read_encoding(x, value);
    case LISTS_OPTIONS:
        if (x->option_count == OPTIONS_MAX) {
            return 0;
        }
        x->options[x->option_count++] = value;
        return 1;
    case UPGRADES:
        x->upgrade = value;
        return 1;
    case MAPPED:
        value = map(x->req, value);
        break;
    case TYPE:
        if (!r->content_type) {
            ap_set_content_type(r, value);
        }
        break;
    default:
        break;
    }
    apr_table_addn(r->headers_out, name, value);
    return 1;
}

/* Fields that are named there are for this connection only. Returns 0 if they are too many. */
static int obey_options(const parse_t *x, int minor)
{
    int count = 0;
    x->response->keep &= minor > 0;
    for (int i = 0; i < x->option_count; i++) {
        if (!ap_cstr_casecmp(x->options[i], "keep-alive")) {
            continue;
        }
        char *last, *text = apr_pstrdup(x->r->pool, x->options[i]);
        for (char *name; (name = apr_strtok(text, ",; \t", &last)); text = NULL) {
            x->response->keep &= ap_cstr_casecmp(name, "close") != 0;
            apr_table_unset(x->r->headers_out, name);
            if (++count > OPTIONS_MAX) {
                return 0;
            }
        }
    }
    return 1;
}

static void frame(const parse_t *x, int status)
{
    apipool_response_t *response = x->response;
    int is_empty = response->framing == APIPOOL_BY_LENGTH && response->left == 0;
    if (x->r->header_only || AP_STATUS_IS_HEADER_ONLY(status) || is_empty) {
        response->framing = APIPOOL_NO_BODY;
    }
    response->keep &= response->framing != APIPOOL_BY_CLOSE;
}

static void note(request_rec *r, const apipool_status_line_t *line, const proxy_server_conf *conf)
{
    const char *via = apipool_outgoing_via(r, conf);
    r->status = line->status;
    r->status_line = line->text;
    apr_table_setn(r->notes, "proxy-status", apr_itoa(r->pool, line->status));
    if (via) {
        apr_table_mergen(r->headers_out, "Via", via);
    }
}

static int switches(const parse_t *x, const apipool_request_t *req)
{
    if (!apipool_websocket_is_asked(req) || !x->upgrade ||
        ap_cstr_casecmp(x->upgrade, "websocket")) {
        return 0;
    }
    apr_table_setn(x->r->headers_out, "Connection", "Upgrade");
    apr_table_setn(x->r->headers_out, "Upgrade", x->upgrade);
    return 1;
}

apipool_response_e apipool_response_read(const apipool_request_t *req,
                                         const proxy_server_conf *conf, char *head, apr_size_t len,
                                         apipool_response_t *response)
{
    char *at = head, *end = head + len, *name, *value, *field;
    apipool_status_line_t line;
    parse_t parse, *x = &parse;
    int more;

    if (!apipool_response_head_status(&at, end, &line)) {
        return APIPOOL_RESPONSE_MALFORMED;
    }
    int is_switch = line.status == HTTP_SWITCHING_PROTOCOLS;
    if (line.status < HTTP_OK && !is_switch) {
        return APIPOOL_RESPONSE_INTERIM;
    }
    x->req = req;
    x->r = req->r;
    x->response = response;
    x->option_count = 0;
    x->upgrade = NULL;
    response->framing = APIPOOL_BY_CLOSE;
    response->keep = 1;
    x->r->headers_out = apr_table_make(x->r->pool, 16);
    x->r->content_type = NULL;
    while ((field = at, more = apipool_response_head_field(&at, end, &name, &value)) > 0) {
        if ((apr_size_t)(at - field) > req->attempt.upstream->field_size + LINE_END ||
            !take(x, name, value)) {
            return APIPOOL_RESPONSE_MALFORMED;
        }
    }
    if (more < 0 || !obey_options(x, line.minor) || (is_switch && !switches(x, req))) {
        return APIPOOL_RESPONSE_MALFORMED;
    }
    frame(x, line.status);
    note(x->r, &line, conf);
    return is_switch ? APIPOOL_RESPONSE_SWITCHES : APIPOOL_RESPONSE_FINAL;
}
