/* SPDX-License-Identifier: Apache-2.0
 * What a client may: pools, endpoints and models, and how much of them. */
#include "authz.h"

#include <apr_strings.h>

#include "auth.h"
#include "batch.h"
#include "model_path.h"
#include "reply.h"
#include "strict.h"
#include "websocket.h"

const apipool_reply_e apipool_authz_replies[] = {
    [APIPOOL_CLIENT_GONE] = APIPOOL_REPLY_INVALID_KEY,
    [APIPOOL_CLIENT_OVER_RPM] = APIPOOL_REPLY_CLIENT_RPM,
    [APIPOOL_CLIENT_OVER_TPM] = APIPOOL_REPLY_CLIENT_TPM,
    [APIPOOL_CLIENT_OVER_TPD] = APIPOOL_REPLY_CLIENT_TPD,
    [APIPOOL_CLIENT_OVER_CONCURRENCY] = APIPOOL_REPLY_CLIENT_CONCURRENCY,
};

/* Returns 0, so that callers can pass it on. */
static int refuse(apipool_request_t *req, apipool_reply_e which, apr_time_t retry_at)
{
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, req->r,
                  APIPOOL_LOG(0094) "pool %s, client %s: refused, %s", req->pool->name,
                  req->client ? req->client->name : "unknown", apipool_reply_code(which));
    apipool_reply_error(req, which, retry_at);
    return 0;
}

/* Names of pools mean what they mean to the client's own server. A location that a virtual host inherits may
 * use the main server's pool where the virtual host has another one of that name. */
static int is_pool_allowed(const apipool_request_t *req)
{
    server_rec *s = req->client->is_of_also ? ap_server_conf : req->r->server;
    return apipool_config_find_pool(s, req->pool->name) == req->pool &&
           apipool_client_allows(&req->client->terms, APIPOOL_CLIENT_POOLS, req->pool->name);
}

/* What an operator has not named stays closed, however it is spelled. */
static int is_closed(const apipool_request_t *req)
{
    const apr_array_header_t *allowed = req->pool->allowed;
    for (int i = 0; req->kind == APIPOOL_ENDPOINT_ADMIN && i < allowed->nelts; i++) {
        if (apipool_endpoint_is_below(req->plain, APR_ARRAY_IDX(allowed, i, const char *))) {
            return 0;
        }
    }
    return req->kind == APIPOOL_ENDPOINT_ADMIN;
}

/* Whether limits hold the client to what is known: what is in no table may cost any model's tokens. */
static int is_limited(const apipool_client_terms_t *terms)
{
    return apipool_client_restricts(terms, APIPOOL_CLIENT_MODELS) ||
           terms->limits[APIPOOL_CLIENT_TPM] || terms->limits[APIPOOL_CLIENT_TPD];
}

static int is_unlisted(const apipool_request_t *req)
{
    return req->kind == APIPOOL_ENDPOINT_UNLISTED || req->kind == APIPOOL_ENDPOINT_ADMIN;
}

static int names_unlisted(const apipool_client_terms_t *terms)
{
    return apipool_client_restricts(terms, APIPOOL_CLIENT_ENDPOINTS) &&
           apipool_client_allows(terms, APIPOOL_CLIENT_ENDPOINTS, APIPOOL_CLIENT_UNLISTED);
}

/* The list has aliases, and may have a word for what is in no table; alone, that allows all else too. */
static int is_endpoint_allowed(const apipool_request_t *req)
{
    const apipool_client_terms_t *terms = &req->client->terms;
    const char *first = apipool_client_list(terms, APIPOOL_CLIENT_ENDPOINTS);
    int is_alone =
        !strcmp(first, APIPOOL_CLIENT_UNLISTED) && !first[sizeof(APIPOOL_CLIENT_UNLISTED)];
    return is_alone || (is_unlisted(req) && names_unlisted(terms)) ||
           apipool_client_allows(terms, APIPOOL_CLIENT_ENDPOINTS,
                                 req->endpoint ? req->endpoint : "");
}

/* What the client's limits have said; refuses where they do not admit the request. */
static int is_admitted(apipool_request_t *req, apr_status_t rv, apipool_client_admitted_e result,
                       apr_time_t retry_at)
{
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_CRIT, rv, req->r,
                      APIPOOL_LOG(0095) "could not acquire the shared-memory lock; the client's "
                                        "limits were not checked");
        return refuse(req, APIPOOL_REPLY_EXHAUSTED, 0);
    }
    return result == APIPOOL_CLIENT_ADMITTED ||
           refuse(req, apipool_authz_replies[result], retry_at);
}

int apipool_authz_place(apipool_request_t *req)
{
    int is_asked;
    req->client = apipool_auth_client(req, &is_asked);
    if (!req->client && is_asked) {
        return refuse(req, APIPOOL_REPLY_INVALID_KEY, 0);
    }
    if (is_closed(req)) {
        return refuse(req, APIPOOL_REPLY_ENDPOINT_CLOSED, 0);
    }
    if (!req->client) {
        return 1;
    }
    if (!is_pool_allowed(req) || !is_endpoint_allowed(req)) {
        return refuse(req, APIPOOL_REPLY_ENDPOINT_NOT_ALLOWED, 0);
    }
    if (is_unlisted(req) && is_limited(&req->client->terms) &&
        !names_unlisted(&req->client->terms)) {
        return refuse(req, APIPOOL_REPLY_ENDPOINT_UNLISTED, 0);
    }
    if (req->entry.result == APIPOOL_CLIENT_OVER_CONCURRENCY) {
        req->r->connection->keepalive = AP_CONN_CLOSE; /* the body is not read */
    }
    return is_admitted(req, APR_SUCCESS, req->entry.result, req->entry.retry_at);
}

/* The Gemini API writes a name with "models/" before it, or without. */
static int has_model(const apipool_request_t *req, const char *model)
{
    const apipool_client_terms_t *terms = &req->client->terms;
    return apipool_client_allows(terms, APIPOOL_CLIENT_MODELS, model) ||
           (!strncmp(model, "models/", 7) &&
            apipool_client_allows(terms, APIPOOL_CLIENT_MODELS, model + 7));
}

/* What servers disagree about in a query, or NULL. *found is set where it names a model, *allowed is cleared
 * where that is not an allowed one. */
static const char *read_query(const apipool_request_t *req, int *found, int *allowed)
{
    const char *args = req->r->args;
    if (args && ap_strchr_c(args, ';')) {
        return "the query has a semicolon";
    }
    while (args && *args) {
        const char *arg = ap_getword(req->r->pool, &args, '&');
        char *name = ap_getword(req->r->pool, &arg, '=');
        char *model = apr_pstrdup(req->r->pool, arg);
        if (ap_unescape_urlencoded(name) != OK || !apipool_strict_is_argument(name)) {
            return "the query has an argument whose name is not a plain one";
        }
        if (apipool_strict_name(name) == APIPOOL_NAME_MODEL) {
            *found = 1;
            *allowed &= ap_unescape_urlencoded(model) == OK &&
                        apipool_client_allows(&req->client->terms, APIPOOL_CLIENT_MODELS, model);
        }
    }
    return NULL;
}

/* What of the request may be read in several ways, where a list of models could be evaded by that. */
static const char *find_doubt(const apipool_request_t *req)
{
    const request_rec *r = req->r;
    const char *encoding = apr_table_get(r->headers_in, "Content-Encoding");
    int ignored = 1;
    if (!apipool_client_restricts(&req->client->terms, APIPOOL_CLIENT_MODELS)) {
        return NULL;
    }
    if (req->body.length && !req->body.wire && encoding && ap_cstr_casecmp(encoding, "identity")) {
        return "the body has a Content-Encoding";
    }
    if (req->body.length && r->method_number == M_GET) {
        return "a GET request has a body";
    }
    if (req->body.length && req->body.doubt) {
        return req->body.doubt;
    }
    return req->body.sniffed[APIPOOL_BODY_MODEL].times > 1 ? "the body names a model twice"
                                                           : read_query(req, &ignored, &ignored);
}

/* A path that names no model to us may name one to an upstream that decodes more of it. */
static int is_path_allowed(const apipool_request_t *req)
{
    char model[APIPOOL_SNIFF_TEXT_USUAL + 1];
    return req->plain == req->path || apipool_model_in_path(req->path, model, sizeof(model)) ||
           !apipool_model_in_path(req->plain, model, sizeof(model)) ||
           apipool_client_allows(&req->client->terms, APIPOOL_CLIENT_MODELS, model);
}

/* Wherever a request names a model, it has to be an allowed one: which of several an upstream takes is its
 * own business. Without a name only what costs no tokens goes, and of that nothing that cannot be read. */
static int is_model_allowed(const apipool_request_t *req)
{
    const apipool_client_terms_t *terms = &req->client->terms;
    const apipool_sniffed_t *said = &req->body.sniffed[APIPOOL_BODY_MODEL];
    const char *model = req->demand.model;
    int found = model != NULL, allowed = 1;

    if (!apipool_client_restricts(terms, APIPOOL_CLIENT_MODELS)) {
        return 1;
    }
    if (req->kind == APIPOOL_ENDPOINT_BLIND || req->body.malformed || !is_path_allowed(req) ||
        (model && !has_model(req, model))) {
        return 0;
    }
    if (apipool_websocket_is_asked(req) && !apipool_websocket_is_read(req)) {
        return 0; /* nobody could tell which models are asked for */
    }
    if (req->body.length && said->kind != APIPOOL_SNIFF_ABSENT &&
        (said->kind != APIPOOL_SNIFF_STRING || said->times > 1 || said->truncated ||
         !has_model(req, said->text))) {
        return 0;
    }
    read_query(req, &found, &allowed); /* nothing in it is in doubt any more */
    return allowed && (found || !apipool_endpoint_needs_model(req->kind));
}

/* Every request of a batch has a model of its own, and its tokens. */
static int is_batch_allowed(apipool_request_t *req)
{
    if (req->kind != APIPOOL_ENDPOINT_BATCH || !is_limited(&req->client->terms)) {
        return 1;
    }
    apipool_batch_e result = apipool_batch_read(req, has_model, &req->demand.tokens);
    return result == APIPOOL_BATCH_ALLOWED ||
           refuse(req,
                  result == APIPOOL_BATCH_REFUSED ? APIPOOL_REPLY_MODEL_NOT_ALLOWED
                                                  : APIPOOL_REPLY_BATCH_TOO_LARGE,
                  0);
}

int apipool_authz_demand(apipool_request_t *req)
{
    apipool_client_admitted_e result = APIPOOL_CLIENT_ADMITTED;
    apr_time_t retry_at = 0;
    if (!req->client) {
        return 1;
    }
    const char *doubt = find_doubt(req);
    if (doubt) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, req->r,
                      APIPOOL_LOG(0154) "pool %s, client %s: refused, %s", req->pool->name,
                      req->client->name, doubt);
        apipool_reply_doubt(req, doubt);
        return 0;
    }
    if (!is_model_allowed(req)) {
        return refuse(req, APIPOOL_REPLY_MODEL_NOT_ALLOWED, 0);
    }
    if (!is_batch_allowed(req)) {
        return 0;
    }
    req->charge.tokens = req->demand.tokens;
    apr_status_t rv = apipool_client_admit(apipool_lifecycle_segment(), &req->charge,
                                           apipool_lifecycle_now(), &result, &retry_at);
    return is_admitted(req, rv, result, retry_at);
}
