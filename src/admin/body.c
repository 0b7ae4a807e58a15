/* SPDX-License-Identifier: Apache-2.0
 * Bodies of requests to the API. */
#include "admin.h"
#include "buffer.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <openssl/crypto.h>

#include "ascii.h"

#define FIRST_ROOM (16 * 1024)
#define PIECE      (16 * 1024) /* bytes that are looked at at once */
#define UNKNOWN    (-1)

/* 1: JSON, 0: plain text, UNKNOWN: anything else. Parameters are not looked at but for a charset. */
static int kind_of(request_rec *r)
{
    const char *type = apr_table_get(r->headers_in, "Content-Type");
    apr_size_t len = type ? strcspn(type, "; \t") : 0;
    const char *charset = type ? apipool_ascii_find(type + len, "charset=") : NULL;
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

static int too_large(request_rec *r, apr_off_t max)
{
    r->connection->keepalive = AP_CONN_CLOSE;
    return apipool_admin_error(
        r, HTTP_REQUEST_ENTITY_TOO_LARGE, "request_too_large",
        apr_psprintf(r->pool, "The body may have at most %" APR_OFF_T_FMT " bytes.", max));
}

static int incomplete(request_rec *r)
{
    r->connection->keepalive = AP_CONN_CLOSE;
    return apipool_admin_error(r, HTTP_BAD_REQUEST, "incomplete_body",
                               "The body could not be read to its end.");
}

/* Looks at what is known of a body before any of it is read. Returns whether it can be; else *status was
 * answered. */
static int begin(request_rec *r, apr_off_t max, int plain, int *kind, int *status)
{
    *kind = kind_of(r);
    if (*kind == UNKNOWN || (*kind == 0 && !plain)) {
        *status = apipool_admin_error(r, HTTP_UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type",
                                      plain ? "The body must be application/json or text/plain, in "
                                              "UTF-8."
                                            : "The body must be application/json, in UTF-8.");
        return 0;
    }
    int fault = ap_setup_client_block(r, REQUEST_CHUNKED_DECHUNK);
    if (fault == HTTP_REQUEST_ENTITY_TOO_LARGE) { /* LimitRequestBody */
        *status = too_large(r, ap_get_limit_req_body(r));
        return 0;
    }
    if (fault != OK) {
        *status = apipool_admin_error(r, HTTP_BAD_REQUEST, "invalid_request",
                                      "The length of the body is unclear.");
        return 0;
    }
    if (!r->read_chunked && r->remaining > max) {
        *status = too_large(r, max);
        return 0;
    }
    return 1;
}

/* --- Bodies that are read whole --- */

/* A length that was told is had at once: most of what is read is small. */
static int read_all(request_rec *r, apr_off_t max, apipool_buffer_t *buffer, int *status)
{
    apr_off_t told = r->read_chunked ? 0 : r->remaining;
    int ok = apipool_buffer_grow(buffer, told ? (apr_size_t)told + 1 : FIRST_ROOM);
    while (ok) {
        long got = ap_get_client_block(r, buffer->text + buffer->len, buffer->room - buffer->len);
        if (got == 0) {
            return 1;
        }
        if (got < 0) {
            *status = incomplete(r);
            return 0;
        }
        buffer->len += (apr_size_t)got;
        ok = (apr_off_t)buffer->len <= max &&
             (buffer->len < buffer->room || apipool_buffer_grow(buffer, buffer->room * 2));
    }
    *status = too_large(r, max);
    return 0;
}

int apipool_admin_read_object(request_rec *r, apr_off_t max, apipool_json_t *json,
                              apipool_flaw_t *flaw, int *status)
{
    apipool_buffer_t *buffer = apipool_buffer_make(r->pool);
    int kind;
    if (!begin(r, max, 0, &kind, status)) {
        return 0;
    }
    if (ap_should_client_block(r) && !read_all(r, max, buffer, status)) {
        return 0;
    }
    int is_read =
        apipool_json_open(json, r->pool, buffer->text ? buffer->text : "", buffer->len, flaw);
    apipool_buffer_wipe(buffer);
    if (!is_read) {
        *status = apipool_admin_refuse(r, flaw);
    }
    return is_read;
}

/* --- Bodies that are read piece by piece --- */

struct apipool_admin_incoming_t {
    request_rec *r;
    apr_off_t max, read;
    int has_body;
    int (*fault)(const apipool_admin_incoming_t *incoming); /* what is to be answered */
    char piece[PIECE];
};

static int answer_too_large(const apipool_admin_incoming_t *incoming)
{
    return too_large(incoming->r, incoming->max);
}

static int answer_incomplete(const apipool_admin_incoming_t *incoming)
{
    return incomplete(incoming->r);
}

static apr_status_t next(void *ctx, const char **bytes, apr_size_t *len)
{
    apipool_admin_incoming_t *incoming = ctx;
    long got = incoming->has_body ? ap_get_client_block(incoming->r, incoming->piece, PIECE) : 0;
    if (got == 0) {
        return APR_EOF;
    }
    incoming->read += got < 0 ? 0 : got;
    incoming->fault = got < 0                          ? answer_incomplete
                      : incoming->read > incoming->max ? answer_too_large
                                                       : NULL;
    *bytes = incoming->piece;
    *len = (apr_size_t)got;
    return incoming->fault ? APR_INCOMPLETE : APR_SUCCESS;
}

static apr_status_t wipe_piece(void *data)
{
    apipool_admin_incoming_t *incoming = data;
    OPENSSL_cleanse(incoming->piece, PIECE);
    return APR_SUCCESS;
}

int apipool_admin_open_body(request_rec *r, apr_off_t max, apipool_admin_incoming_t **incoming,
                            apipool_import_source_t *source, int *status)
{
    int kind;
    if (!begin(r, max, 1, &kind, status)) {
        return 0;
    }
    apipool_admin_incoming_t *made = apr_pcalloc(r->pool, sizeof(*made));
    made->r = r;
    made->max = max;
    made->has_body = ap_should_client_block(r);
    apr_pool_cleanup_register(r->pool, made, wipe_piece, apr_pool_cleanup_null);
    *source = (apipool_import_source_t){.next = next, .ctx = made, .is_json = kind};
    *incoming = made;
    return 1;
}

int apipool_admin_body_is_whole(const apipool_admin_incoming_t *incoming, int *status)
{
    if (incoming->fault) {
        *status = incoming->fault(incoming);
    }
    return !incoming->fault;
}
