/* SPDX-License-Identifier: Apache-2.0
 * The head of an upstream's response, put into the request. */
#include "response.h"

#include <apr_strings.h>
#include <http_protocol.h>

#include "ascii.h"
#include "field_options.h"
#include "outgoing.h"
#include "response_head.h"
#include "websocket.h"

/* What becomes of a field. */
typedef enum { PASSES, DROPPED, MAPPED, FRAMES, ENCODES, LISTS_OPTIONS, TYPE, UPGRADES } fate_e;

/* What a vendor tells about itself or its customer is dropped, and so are extensions of a WebSocket, for which nobody
 * has asked. Fields of the connection are not for the client (RFC 9110 section 7.6.1). ProxyPassReverse
 * maps URLs. */
static fate_e fate_of(const char *name)
{
    static const struct {
        const char *name;
        fate_e fate;
    } known[] = {{"connection", LISTS_OPTIONS},
                 {"content-length", FRAMES},
                 {"content-type", TYPE},
                 {"content-location", MAPPED},
                 {"destination", MAPPED},
                 {"keep-alive", DROPPED},
                 {"location", MAPPED},
                 {"openai-organization", DROPPED},
                 {"proxy-authenticate", DROPPED},
                 {"proxy-connection", DROPPED},
                 {"set-cookie", DROPPED},
                 {"set-cookie2", DROPPED},
                 {"sec-websocket-extensions", DROPPED},
                 {"te", DROPPED},
                 {"trailer", DROPPED},
                 {"transfer-encoding", ENCODES},
                 {"upgrade", UPGRADES},
                 {"uri", MAPPED}};
    char first = apipool_ascii_lower(*name);
    for (apr_size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        if (first == *known[i].name && !ap_cstr_casecmp(name, known[i].name)) {
            return known[i].fate;
        }
    }
    return PASSES;
}

/* What the fields say of the connection, collected while they are read. */
typedef struct {
    const char *options; /* all values of Connection; NULL: none */
    const char *upgrade;
} about_t;

static int read_length(apipool_exchange_t *x, const char *name, const char *value)
{
    apr_off_t length;
    if (!ap_parse_strict_length(&length, value) ||
        (x->framing == APIPOOL_BY_LENGTH && length != x->left)) {
        return 0;
    }
    if (x->framing == APIPOOL_BY_CHUNKS) {
        x->keep = 0; /* an attempt at smuggling, maybe (RFC 9112 section 6.3) */
        return 1;
    }
    x->framing = APIPOOL_BY_LENGTH;
    x->left = length;
    apr_table_setn(x->req->r->headers_out, name, value);
    return 1;
}

static int read_encoding(apipool_exchange_t *x, const char *value)
{
    if (!ap_cstr_casecmp(value, "identity")) {
        return 1;
    }
    if (ap_cstr_casecmp(value, "chunked") || x->framing == APIPOOL_BY_CHUNKS) {
        return 0;
    }
    if (x->framing == APIPOOL_BY_LENGTH) {
        apr_table_unset(x->req->r->headers_out, "Content-Length");
        x->keep = 0;
    }
    x->framing = APIPOOL_BY_CHUNKS;
    return 1;
}

static int take(apipool_exchange_t *x, about_t *about, const char *name, const char *value)
{
    request_rec *r = x->req->r;
    switch (fate_of(name)) {
    case DROPPED:
        return 1;
    case FRAMES:
        return read_length(x, name, value);
    case ENCODES:
        return read_encoding(x, value);
    case LISTS_OPTIONS:
        about->options =
            about->options ? apr_pstrcat(r->pool, about->options, ",", value, NULL) : value;
        return 1;
    case UPGRADES:
        about->upgrade = value;
        return 1;
    case MAPPED:
        value = ap_proxy_location_reverse_map(
            r, ap_get_module_config(r->per_dir_config, &proxy_module), value);
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

/* Fields that are named there are for this connection only. */
static void obey_options(apipool_exchange_t *x, const char *options, int minor)
{
    if (!options || !ap_cstr_casecmp(options, "keep-alive")) {
        x->keep &= minor > 0;
        return;
    }
    char *last, *text = apr_pstrdup(x->req->r->pool, options);
    for (char *name; (name = apr_strtok(text, ",; \t", &last)); text = NULL) {
        apr_table_unset(x->req->r->headers_out, name);
    }
    x->keep &= minor > 0 && !apipool_field_options_name(options, "close");
}

static void frame(apipool_exchange_t *x, int status)
{
    if (x->req->r->header_only || AP_STATUS_IS_HEADER_ONLY(status)) {
        x->framing = APIPOOL_NO_BODY;
    }
    else if (x->framing == APIPOOL_BY_CLOSE) {
        x->keep = 0;
    }
    else if (x->framing == APIPOOL_BY_LENGTH && x->left == 0) {
        x->framing = APIPOOL_NO_BODY;
    }
}

static void note(const apipool_exchange_t *x, const apipool_status_line_t *line)
{
    request_rec *r = x->req->r;
    const char *via = apipool_outgoing_via(r, x->conn.conf);
    r->status = line->status;
    r->status_line = line->text;
    apr_table_setn(r->notes, "proxy-status", apr_itoa(r->pool, line->status));
    apr_table_setn(r->notes, "proxy-source-port",
                   apr_itoa(r->pool, x->conn.backend->connection->local_addr->port));
    if (via) {
        apr_table_mergen(r->headers_out, "Via", via);
    }
}

apipool_response_e apipool_response_read(apipool_exchange_t *x, char *head, apr_size_t len)
{
    request_rec *r = x->req->r;
    char *at = head, *end = head + len, *name, *value;
    apipool_status_line_t line;
    about_t about = {NULL, NULL};
    int more;

    if (!apipool_response_head_status(&at, end, &line)) {
        return APIPOOL_RESPONSE_MALFORMED;
    }
    int switches = line.status == HTTP_SWITCHING_PROTOCOLS;
    if (line.status < HTTP_OK && !switches) {
        return APIPOOL_RESPONSE_INTERIM;
    }
    x->framing = APIPOOL_BY_CLOSE;
    r->headers_out = apr_table_make(r->pool, 24);
    r->content_type = NULL;
    while ((more = apipool_response_head_field(&at, end, &name, &value)) > 0) {
        if (!take(x, &about, name, value)) {
            return APIPOOL_RESPONSE_MALFORMED;
        }
    }
    if (more < 0) {
        return APIPOOL_RESPONSE_MALFORMED;
    }
    obey_options(x, about.options, line.minor);
    if (switches) {
        if (!apipool_websocket_is_asked(x->req) || !about.upgrade ||
            ap_cstr_casecmp(about.upgrade, "websocket")) {
            return APIPOOL_RESPONSE_MALFORMED;
        }
        apr_table_setn(r->headers_out, "Connection", "Upgrade");
        apr_table_setn(r->headers_out, "Upgrade", about.upgrade);
        note(x, &line);
        return APIPOOL_RESPONSE_SWITCHES;
    }
    frame(x, line.status);
    note(x, &line);
    return APIPOOL_RESPONSE_FINAL;
}
