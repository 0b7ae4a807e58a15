/* SPDX-License-Identifier: Apache-2.0
 * Reads the bodies of API requests. */
#include "admin.h"
#include "buffer.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <openssl/crypto.h>

#include "ascii.h"

#define PIECE   (16 * 1024) /* bytes read at once */
#define UNKNOWN (-1)

/* 1: JSON, 0: plain text, UNKNOWN: anything else. Parameters other than charset are ignored. */
static int kind_of(request_rec *r)
{
    const char *field = apr_table_get(r->headers_in, "Content-Type");
    const char *type = ap_field_noparam(r->pool, field);
    const char *charset = field ? apipool_ascii_find(field, "charset=") : NULL;
    if (charset) {
        charset += strlen("charset=");
        charset += *charset == '"';
        if (ap_cstr_casecmpn(charset, "utf-8", 5) && ap_cstr_casecmpn(charset, "us-ascii", 8)) {
            return UNKNOWN;
        }
    }
    if (type && !ap_cstr_casecmp(type, "application/json")) {
        return 1;
    }
    return type && !ap_cstr_casecmp(type, "text/plain") ? 0 : UNKNOWN;
}

static int too_large(request_rec *r, apr_off_t max)
{
    r->connection->keepalive = AP_CONN_CLOSE;
    return apipool_admin_error(
        r, HTTP_REQUEST_ENTITY_TOO_LARGE, "request_too_large",
        apr_psprintf(r->pool, "The body may have at most %" APR_OFF_T_FMT " bytes.", max));
}

/* Checks what is known about a body before reading it. */
static int begin(request_rec *r, apr_off_t max, int plain, int *kind)
{
    *kind = kind_of(r);
    if (*kind == UNKNOWN || (*kind == 0 && !plain)) {
        return apipool_admin_error(r, HTTP_UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type",
                                   plain ? "The body must be application/json or text/plain, in "
                                           "UTF-8."
                                         : "The body must be application/json, in UTF-8.");
    }
    int fault = ap_setup_client_block(r, REQUEST_CHUNKED_DECHUNK);
    if (fault == HTTP_REQUEST_ENTITY_TOO_LARGE) { /* LimitRequestBody */
        return too_large(r, ap_get_limit_req_body(r));
    }
    if (fault != OK) {
        return apipool_admin_error(r, HTTP_BAD_REQUEST, "invalid_request",
                                   "The length of the body is unclear.");
    }
    if (!r->read_chunked && r->remaining > max) {
        return too_large(r, max);
    }
    return DECLINED;
}

struct apipool_admin_incoming_t {
    request_rec *r;
    apr_off_t max, read;
    int has_body, is_broken;
    char piece[PIECE];
};

static apr_status_t next(void *ctx, const char **bytes, apr_size_t *len)
{
    apipool_admin_incoming_t *incoming = ctx;
    long got = incoming->has_body ? ap_get_client_block(incoming->r, incoming->piece, PIECE) : 0;
    if (got == 0) {
        return APR_EOF;
    }
    incoming->is_broken = got < 0;
    incoming->read += got < 0 ? 0 : got;
    *bytes = incoming->piece;
    *len = (apr_size_t)got;
    return got < 0 || incoming->read > incoming->max ? APR_INCOMPLETE : APR_SUCCESS;
}

static apr_status_t wipe_piece(void *data)
{
    apipool_admin_incoming_t *incoming = data;
    OPENSSL_cleanse(incoming->piece, PIECE);
    return APR_SUCCESS;
}

int apipool_admin_open_body(request_rec *r, apr_off_t max, int plain,
                            apipool_admin_incoming_t **incoming, apipool_import_source_t *source)
{
    int kind;
    int status = begin(r, max, plain, &kind);
    if (status != DECLINED) {
        return status;
    }
    apipool_admin_incoming_t *made = apr_pcalloc(r->pool, sizeof(*made));
    made->r = r;
    made->max = max;
    made->has_body = ap_should_client_block(r);
    apr_pool_cleanup_register(r->pool, made, wipe_piece, apr_pool_cleanup_null);
    *source = (apipool_import_source_t){.next = next, .ctx = made, .is_json = kind};
    *incoming = made;
    return DECLINED;
}

int apipool_admin_check_body(const apipool_admin_incoming_t *incoming)
{
    if (incoming->is_broken) {
        incoming->r->connection->keepalive = AP_CONN_CLOSE;
        return apipool_admin_error(incoming->r, HTTP_BAD_REQUEST, "incomplete_body",
                                   "The body could not be read to its end.");
    }
    if (incoming->read > incoming->max) {
        return too_large(incoming->r, incoming->max);
    }
    return DECLINED;
}

int apipool_admin_read_object(request_rec *r, apr_off_t max, const apipool_json_member_t *members,
                              void *to, unsigned *given)
{
    apipool_buffer_t *buffer = apipool_buffer_make(r->pool);
    apipool_admin_incoming_t *incoming;
    apipool_import_source_t source;
    apipool_input_error_t flaw;
    const char *bytes;
    apr_size_t len;
    int status = apipool_admin_open_body(r, max, 0, &incoming, &source);
    if (status != DECLINED) {
        return status;
    }
    while (next(incoming, &bytes, &len) == APR_SUCCESS) {
        if (!apipool_buffer_add(buffer, bytes, len)) {
            return too_large(r, max);
        }
    }
    status = apipool_admin_check_body(incoming);
    if (status != DECLINED) {
        return status;
    }
    *given = apipool_json_read(r->pool, buffer->text ? buffer->text : "", buffer->len, members, to,
                               &flaw);
    apipool_buffer_wipe(buffer);
    return flaw.message ? apipool_admin_refuse(r, flaw.field, flaw.message) : DECLINED;
}
