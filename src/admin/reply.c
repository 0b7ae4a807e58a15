/* SPDX-License-Identifier: Apache-2.0
 * Answers of the API. */
#include "admin.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#define ETAG_BYTES 16

static void set_headers(request_rec *r, int status, const char *type)
{
    r->status = status;
    ap_set_content_type(r, type);
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
}

/* A hash of what is sent, so that whoever asks again learns that nothing has changed. */
static const char *etag_of(apr_pool_t *p, const char *text, apr_size_t len)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int digest_len = 0;
    char hex[2 * ETAG_BYTES + 1];
    if (!EVP_Digest(text, len, digest, &digest_len, EVP_sha256(), NULL)) {
        return NULL;
    }
    ap_bin2hex(digest, ETAG_BYTES, hex);
    return apr_pstrcat(p, "\"", hex, "\"", NULL);
}

/* Sends a text of len bytes; whether it is new to the client is looked at where it may be known. */
static int send_text(request_rec *r, int status, const char *text, apr_size_t len)
{
    set_headers(r, status, "application/json");
    if (status == HTTP_OK && r->method_number == M_GET) {
        const char *etag = etag_of(r->pool, text, len);
        if (etag) {
            apr_table_setn(r->headers_out, "ETag", etag);
        }
        /* without a Last-Modified, httpd would compare If-Modified-Since with the time of the answer */
        if (apr_table_get(r->headers_in, "If-None-Match") &&
            ap_meets_conditions(r) == HTTP_NOT_MODIFIED) {
            r->status = HTTP_NOT_MODIFIED;
            return OK;
        }
    }
    ap_set_content_length(r, (apr_off_t)len + 1);
    ap_rwrite(text, (int)len, r);
    ap_rputs("\n", r);
    return OK;
}

static int send_value(request_rec *r, int status, json_t *value, int secret)
{
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(value);
    if (!text) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      APIPOOL_LOG(0109) "an answer cannot be written as JSON");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    apr_size_t len = strlen(text);
    int result = send_text(r, status, text, len);
    if (secret) {
        ap_rflush(r);
        OPENSSL_cleanse(text, len);
    }
    free(text);
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
    json_t *error = json_pack("{s:{s:s,s:s}}", "error", "code", code, "message", message);
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

int apipool_admin_refuse(request_rec *r, const apipool_flaw_t *flaw)
{
    return send_error(r, HTTP_BAD_REQUEST, "invalid_request", flaw->message, flaw->field);
}

int apipool_admin_failed(request_rec *r, apr_status_t rv, const char *what, const char *error)
{
    ap_log_rerror(APLOG_MARK, error ? APLOG_INFO : APLOG_ERR, rv, r, APIPOOL_LOG(0110) "%s: %s",
                  what, error ? error : "see the status");
    return send_error(r, HTTP_INTERNAL_SERVER_ERROR, "failed",
                      error ? error : "This failed inside; the error log says why.", NULL);
}

int apipool_admin_later(request_rec *r, int status, const char *code, const char *message,
                        apr_interval_time_t wait)
{
    apr_time_t seconds = apr_time_sec(wait + APR_USEC_PER_SEC - 1);
    apr_table_setn(r->headers_out, "Retry-After",
                   apr_psprintf(r->pool, "%" APR_TIME_T_FMT, seconds > 0 ? seconds : 1));
    return send_error(r, status, code, message, NULL);
}
