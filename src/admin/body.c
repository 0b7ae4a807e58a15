/* SPDX-License-Identifier: Apache-2.0
 * Bodies of requests to the API. */
#include "admin.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <openssl/crypto.h>

#define FIRST_ROOM (16 * 1024)
#define UNKNOWN    (-1)

/* What a body is kept in while it is read. It may hold keys or a password, so it never grows in place. */
typedef struct {
    char *text;
    apr_size_t len, room;
} buffer_t;

static apr_status_t wipe(void *data)
{
    buffer_t *buffer = data;
    if (buffer->text) {
        OPENSSL_cleanse(buffer->text, buffer->room);
        free(buffer->text);
        buffer->text = NULL;
    }
    return APR_SUCCESS;
}

static int grow(buffer_t *buffer, apr_size_t room)
{
    char *text = malloc(room);
    if (!text) {
        return 0;
    }
    apr_size_t len = buffer->len;
    if (len) {
        memcpy(text, buffer->text, len);
    }
    wipe(buffer);
    buffer->text = text;
    buffer->room = room;
    return 1;
}

/* 1: JSON, 0: plain text, UNKNOWN: anything else. Parameters are not looked at but for a charset. */
static int kind_of(request_rec *r)
{
    const char *type = apr_table_get(r->headers_in, "Content-Type");
    apr_size_t len = type ? strcspn(type, "; \t") : 0;
    const char *charset = type ? ap_strcasestr(type + len, "charset=") : NULL;
    if (charset) {
        charset += strlen("charset=");
        charset += *charset == '"';
        if (ap_cstr_casecmpn(charset, "utf-8", 5) && ap_cstr_casecmpn(charset, "us-ascii", 8)) {
            return UNKNOWN;
        }
    }
    if (len == strlen("application/json") && !ap_cstr_casecmpn(type, "application/json", len)) {
        return 1;
    }
    return len == strlen("text/plain") && !ap_cstr_casecmpn(type, "text/plain", len) ? 0 : UNKNOWN;
}

static int too_large(request_rec *r, apr_off_t max, int *status)
{
    *status = apipool_admin_error(
        r, HTTP_REQUEST_ENTITY_TOO_LARGE, "request_too_large",
        apr_psprintf(r->pool, "At most %" APR_OFF_T_FMT " bytes are taken.", max));
    r->connection->keepalive = AP_CONN_CLOSE;
    return 0;
}

/* A length that was told is had at once: most of what is read is small, and a large import is not copied. */
static int read_all(request_rec *r, apr_off_t max, buffer_t *buffer, int *status)
{
    apr_off_t told = r->read_chunked ? 0 : r->remaining;
    int ok = told <= max && grow(buffer, told ? (apr_size_t)told + 1 : FIRST_ROOM);
    while (ok) {
        long got = ap_get_client_block(r, buffer->text + buffer->len, buffer->room - buffer->len);
        if (got == 0) {
            return 1;
        }
        if (got < 0) {
            r->connection->keepalive = AP_CONN_CLOSE;
            *status = apipool_admin_error(r, HTTP_BAD_REQUEST, "incomplete_body",
                                          "The body could not be read to its end.");
            return 0;
        }
        buffer->len += (apr_size_t)got;
        ok = (apr_off_t)buffer->len <= max &&
             (buffer->len < buffer->room || grow(buffer, buffer->room * 2));
    }
    return too_large(r, max, status);
}

int apipool_admin_read_body(request_rec *r, apr_off_t max, int plain, apipool_admin_body_t *body,
                            int *status)
{
    buffer_t *buffer = apr_pcalloc(r->pool, sizeof(*buffer));
    int kind = kind_of(r);
    memset(body, 0, sizeof(*body));
    if (kind == UNKNOWN || (kind == 0 && !plain)) {
        *status = apipool_admin_error(r, HTTP_UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type",
                                      plain ? "The body must be application/json or text/plain, in "
                                              "UTF-8."
                                            : "The body must be application/json, in UTF-8.");
        return 0;
    }
    int fault = ap_setup_client_block(r, REQUEST_CHUNKED_DECHUNK);
    if (fault == HTTP_REQUEST_ENTITY_TOO_LARGE) { /* LimitRequestBody */
        return too_large(r, ap_get_limit_req_body(r), status);
    }
    if (fault != OK) {
        *status = apipool_admin_error(r, HTTP_BAD_REQUEST, "invalid_request",
                                      "The length of the body is not clear.");
        return 0;
    }
    apr_pool_cleanup_register(r->pool, buffer, wipe, apr_pool_cleanup_null);
    if (ap_should_client_block(r) && !read_all(r, max, buffer, status)) {
        return 0;
    }
    body->text = buffer->text ? buffer->text : apr_pstrdup(r->pool, "");
    body->len = buffer->len;
    body->is_json = kind;
    return 1;
}

int apipool_admin_read_object(request_rec *r, apr_off_t max, apipool_json_t *json,
                              apipool_flaw_t *flaw, int *status)
{
    apipool_admin_body_t body;
    if (!apipool_admin_read_body(r, max, 0, &body, status)) {
        return 0;
    }
    int is_read = apipool_json_open(json, r->pool, body.text, body.len, flaw);
    OPENSSL_cleanse(body.text, body.len);
    if (!is_read) {
        *status = apipool_admin_refuse(r, flaw);
    }
    return is_read;
}
