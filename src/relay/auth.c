/* SPDX-License-Identifier: Apache-2.0
 * AuthType APIPool: who asks, by the client key. */
#include "auth.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <openssl/crypto.h>
#include <stddef.h>
#include <util_filter.h>

#include "client_key.h"
#include "credential.h"
#include "httpd_error.h"
#include "outage.h"
#include "reply.h"

#define FILTER_NAME "APIPOOL_JSON_ERROR"

static ap_filter_rec_t *json_handle;

/* By its address it is known whether the challenge is ours. */
static const char bearer[] = "Bearer";

/* Whatever becomes of the request, others get its place when it is over. */
static apr_status_t leave(void *data)
{
    apipool_request_t *req = data;
    return apipool_client_leave(apipool_lifecycle_segment(), &req->charge);
}

/* A client belongs to the request's server; those of the main server may use its pools from everywhere. For a
 * pool it takes a place at once: a body that comes slowly counts as well. What is kept of it for the request
 * has lists no longer than they need be. */
static apr_status_t recognise(request_rec *r, const apipool_client_pass_t **kept)
{
    unsigned char digest[APIPOOL_CLIENT_KEY_DIGEST];
    apipool_client_pass_t pass;
    apipool_request_t *req = apipool_request_get(r);
    const char *key = apipool_credential_find(r, req ? req->query_key : NULL);
    if (!key || !apipool_client_key_digest(key, APIPOOL_CLIENT_KEY_LEN, digest)) {
        return APR_NOTFOUND;
    }
    req = req && req->pool ? req : NULL;
    if (req) {
        req->entry.charge = &req->charge;
        req->charge.concurrency = req->pool->client_concurrency;
        apr_pool_cleanup_register(r->pool, req, leave, apr_pool_cleanup_null);
    }
    apr_status_t rv = apipool_client_recognise(
        apipool_lifecycle_segment(), digest, apipool_config_scope(r->server),
        req && !req->pool->server->is_virtual ? "" : NULL, apipool_lifecycle_now(), &pass,
        req ? &req->entry : NULL);
    OPENSSL_cleanse(digest, sizeof(digest));
    if (rv == APR_SUCCESS) {
        *kept = apr_pmemdup(r->pool, &pass,
                            offsetof(apipool_client_pass_t, terms.lists) + pass.terms.lists_len);
    }
    else if (rv != APR_NOTFOUND) {
        ap_log_rerror(APLOG_MARK, APLOG_CRIT, rv, r,
                      APIPOOL_LOG(0093) "could not acquire the shared-memory lock; a client "
                                        "key was not looked up");
    }
    return rv;
}

/* The same, but once per request where a pool serves it. */
static apr_status_t recognise_once(request_rec *r, const apipool_client_pass_t **client)
{
    apipool_request_t *req = apipool_request_get(r);
    if (req && req->client) {
        *client = req->client;
        return APR_SUCCESS;
    }
    apr_status_t rv = recognise(r, client);
    if (rv == APR_SUCCESS && req) {
        req->client = *client;
    }
    return rv;
}

int apipool_auth_force(request_rec *r)
{
    const apipool_client_pass_t *client;
    return apipool_credential_is_asked(r) && recognise_once(r, &client) == APR_SUCCESS ? OK
                                                                                       : DECLINED;
}

/* The page of httpd's own would be HTML. */
static void challenge(request_rec *r)
{
    apr_table_setn(r->err_headers_out, "WWW-Authenticate", bearer);
    ap_custom_response(r, HTTP_UNAUTHORIZED,
                       apipool_reply_body(r->pool, APIPOOL_REPLY_INVALID_KEY));
}

int apipool_auth_check(request_rec *r)
{
    const apipool_client_pass_t *client;
    if (!apipool_credential_is_asked(r)) {
        return DECLINED;
    }
    apr_status_t rv = recognise_once(r, &client);
    apipool_credential_hide(r);
    if (rv == APR_SUCCESS) {
        r->user = apr_pstrdup(r->pool, client->name);
        r->ap_auth_type = apr_pstrdup(r->pool, APIPOOL_AUTH_TYPE);
        return OK;
    }
    if (rv != APR_NOTFOUND) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, APIPOOL_LOG(0092) "no valid client key");
    challenge(r);
    return HTTP_UNAUTHORIZED;
}

int apipool_auth_note_failure(request_rec *r, const char *type)
{
    if (ap_cstr_casecmp(type, APIPOOL_AUTH_TYPE)) {
        return DECLINED;
    }
    challenge(r);
    return OK;
}

static apr_status_t json_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    ap_set_content_type(f->r, "application/json");
    apr_table_setn(f->r->headers_out, "Cache-Control", "no-store");
    ap_remove_output_filter(f);
    return ap_pass_brigade(f->next, bb);
}

void apipool_auth_insert_error_filter(request_rec *r)
{
    int is_ours = r->status == HTTP_UNAUTHORIZED &&
                  apr_table_get(r->err_headers_out, "WWW-Authenticate") == bearer;
    if (is_ours || apipool_outage_is_refused(r) || apipool_httpd_error_make(r)) {
        ap_add_output_filter_handle(json_handle, NULL, r, r->connection);
    }
}

void apipool_auth_register_filter(void)
{
    json_handle = ap_register_output_filter(FILTER_NAME, json_filter, NULL, AP_FTYPE_CONTENT_SET);
}

/* A request that another one was redirected to inherits its user, without being asked again. */
const apipool_client_pass_t *apipool_auth_client(apipool_request_t *req, int *is_asked)
{
    request_rec *r = req->r;
    const apipool_client_pass_t *client = NULL;
    *is_asked = r->ap_auth_type && !strcmp(r->ap_auth_type, APIPOOL_AUTH_TYPE);
    return *is_asked && recognise_once(r, &client) == APR_SUCCESS ? client : NULL;
}
