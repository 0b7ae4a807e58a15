/* SPDX-License-Identifier: Apache-2.0
 * Sends the API's answers. */
#include "admin.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <openssl/evp.h>

#include "buffer.h"
#include "throttle.h"

#define ETAG_BYTES  16
#define PIECE       16384 /* bytes of an answer processed at once */
#define VALUES_EACH 64    /* values freed at once */

static void set_headers(request_rec *r, int status, const char *type)
{
    r->status = status;
    ap_set_content_type(r, type);
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
}

static apr_size_t piece_at(apr_size_t at, apr_size_t len)
{
    return len - at < PIECE ? len - at : PIECE;
}

static int digest(const char *text, apr_size_t len, unsigned char *result)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int good = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL);
    for (apr_size_t at = 0; good && at < len; at += PIECE) {
        good = EVP_DigestUpdate(context, text + at, piece_at(at, len));
        apipool_throttle();
    }
    good = good && EVP_DigestFinal_ex(context, result, NULL);
    EVP_MD_CTX_free(context);
    return good;
}

/* A hash of the answer, by which a client learns that nothing has changed. */
static const char *etag_of(apr_pool_t *p, const char *text, apr_size_t len)
{
    unsigned char result[EVP_MAX_MD_SIZE];
    char hex[2 * ETAG_BYTES + 1];
    if (!digest(text, len, result)) {
        return NULL;
    }
    ap_bin2hex(result, ETAG_BYTES, hex);
    return apr_pstrcat(p, "\"", hex, "\"", NULL);
}

/* Sends a text, or 304 if the client already has it. */
static int send_text(request_rec *r, int status, const char *text, apr_size_t len)
{
    set_headers(r, status, "application/json");
    if (status == HTTP_OK && r->method_number == M_GET) {
        const char *etag = etag_of(r->pool, text, len);
        if (etag) {
            apr_table_setn(r->headers_out, "ETag", etag);
        }
        /* without Last-Modified, httpd would compare If-Modified-Since with the time of the
         * answer */
        if (apr_table_get(r->headers_in, "If-None-Match") &&
            ap_meets_conditions(r) == HTTP_NOT_MODIFIED) {
            r->status = HTTP_NOT_MODIFIED;
            return OK;
        }
    }
    ap_set_content_length(r, (apr_off_t)len + 1);
    for (apr_size_t at = 0; at < len; at += PIECE) {
        ap_rwrite(text + at, (int)piece_at(at, len), r);
        apipool_throttle();
    }
    ap_rputs("\n", r);
    return OK;
}

static int add_text(const char *bytes, size_t len, void *data)
{
    apipool_buffer_t *buffer = data;
    if (buffer->len / PIECE != (buffer->len + len) / PIECE) {
        apipool_throttle();
    }
    return apipool_buffer_add(buffer, bytes, len) ? 0 : -1;
}

/* Long lists are members of the outermost object, so only those are freed piece by piece. */
static void release(json_t *value)
{
    const char *name;
    json_t *member;
    json_object_foreach(value, name, member)
    {
        for (size_t left = json_array_size(member); left > 0; left--) {
            json_array_remove(member, left - 1);
            if (left % VALUES_EACH == 0) {
                apipool_throttle();
            }
        }
    }
    json_decref(value);
}

static int send_value(request_rec *r, int status, json_t *value, int secret)
{
    apipool_buffer_t *buffer = apipool_buffer_make(r->pool);
    int good = value && json_dump_callback(value, add_text, buffer,
                                           JSON_COMPACT | JSON_REAL_PRECISION(15)) == 0;
    release(value);
    if (!good) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      APIPOOL_LOG(0109) "could not write a response as JSON");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    int result = send_text(r, status, buffer->text, buffer->len);
    if (secret) {
        ap_rflush(r);
    }
    apipool_buffer_wipe(buffer);
    return result;
}

int apipool_admin_reply(request_rec *r, int status, json_t *value)
{
    return send_value(r, status, value, 0);
}

int apipool_admin_reply_secret(request_rec *r, int status, json_t *value)
{
    return send_value(r, status, value, 1);
}

int apipool_admin_reply_nothing(request_rec *r)
{
    set_headers(r, HTTP_NO_CONTENT, NULL);
    return OK;
}

static int send_error(request_rec *r, int status, const char *code, const char *message,
                      const char *field)
{
    json_t *error = json_pack("{s:{s:s,s:s}}", "error", "code", code, "message",
                              apipool_admin_text(r, message));
    if (error && field) {
        json_object_set_new(json_object_get(error, "error"), "field", json_string(field));
    }
    return apipool_admin_reply(r, status, error);
}

int apipool_admin_error(request_rec *r, int status, const char *code, const char *message)
{
    return send_error(r, status, code, message, NULL);
}

int apipool_admin_unauthorized(request_rec *r)
{
    apr_table_setn(r->headers_out, "WWW-Authenticate", "Bearer realm=\"apipool\"");
    return apipool_admin_error(r, HTTP_UNAUTHORIZED, "unauthorized",
                               "Sign in first: there is no valid session.");
}

int apipool_admin_refuse(request_rec *r, const char *field, const char *message)
{
    return send_error(r, HTTP_BAD_REQUEST, "invalid_request", message, field);
}

int apipool_admin_failed(const apipool_admin_request_t *request, apr_status_t rv, const char *what,
                         const apipool_input_error_t *flaw)
{
    request_rec *r = request->r;
    const char *message = flaw ? flaw->message : NULL;
    if (rv == APR_NOTFOUND && request->id) {
        return apipool_admin_error(r, HTTP_NOT_FOUND, "key_not_found", "There is no such key.");
    }
    if (rv == APR_NOTFOUND && request->name) {
        return apipool_admin_error(r, HTTP_NOT_FOUND, "client_not_found",
                                   "There is no such client.");
    }
    if (rv == APR_EEXIST) {
        return apipool_admin_error(r, HTTP_CONFLICT, "client_exists",
                                   "A client with this name already exists.");
    }
    if (rv == APR_ENOMEM) {
        return apipool_admin_error(r, HTTP_INSUFFICIENT_STORAGE, "no_room",
                                   message ? message : "There is no room for the change.");
    }
    if (rv == APR_EINVAL && message) {
        return apipool_admin_refuse(r, flaw->field, message);
    }
    ap_log_rerror(APLOG_MARK, message ? APLOG_INFO : APLOG_ERR, rv, r, APIPOOL_LOG(0110) "%s: %s",
                  what, message ? message : "see the status");
    return apipool_admin_error(
        r, HTTP_INTERNAL_SERVER_ERROR, "failed",
        message ? apr_psprintf(r->pool, "The server could not do this: %s.", message)
                : "The server could not do this. The error log says why.");
}

int apipool_admin_retry_later(request_rec *r, int status, const char *code, const char *message,
                              apr_interval_time_t wait)
{
    apr_time_t seconds = apr_time_sec(wait + APR_USEC_PER_SEC - 1);
    apr_table_setn(r->headers_out, "Retry-After",
                   apr_psprintf(r->pool, "%" APR_TIME_T_FMT, seconds > 0 ? seconds : 1));
    return send_error(r, status, code, message, NULL);
}
