/* SPDX-License-Identifier: Apache-2.0
 * Identifies the caller: by a session token, or by httpd's authentication. */
#include "access.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <openssl/crypto.h>

#include "jwt.h"
#include "key.h"

static const char *const role_names[] = {"nobody", "viewer", "admin"};

const char *apipool_caller_role_name(apipool_role_e role)
{
    return role_names[role];
}

apipool_role_e apipool_caller_role(const apipool_admin_conf_t *conf, const char *user)
{
    return conf->viewers && ap_array_str_contains(conf->viewers, user) ? APIPOOL_ROLE_VIEWER
                                                                       : APIPOOL_ROLE_ADMIN;
}

static const char *name_location(const apipool_admin_request_t *request, const server_rec *s)
{
    return apr_psprintf(request->r->pool, "%s:%u %s:%u %s/", s->server_hostname, s->port,
                        s->addrs && s->addrs->virthost ? s->addrs->virthost : "*",
                        s->addrs ? s->addrs->host_port : 0, request->mount);
}

const char *apipool_caller_audience(const apipool_admin_request_t *request)
{
    return name_location(request, request->r->server);
}

apr_uint64_t apipool_caller_hash(const char *bytes, apr_size_t len)
{
    unsigned char secret[APIPOOL_JWT_SECRET_SIZE];
    if (apipool_admin_api->session_secret(secret) != APR_SUCCESS) {
        return 0;
    }
    apr_uint64_t hash = apipool_key_id(secret, bytes, len);
    OPENSSL_cleanse(secret, sizeof(secret));
    return hash;
}

apr_uint64_t apipool_caller_place(const apipool_admin_request_t *request)
{
    const char *audience = apipool_caller_audience(request);
    return apipool_caller_hash(audience, strlen(audience));
}

apr_uint64_t apipool_caller_location(const apipool_admin_request_t *request)
{
    const char *location = name_location(request, apipool_admin_owner(request->r));
    return apipool_caller_hash(location, strlen(location));
}

/* Returns the value of the session cookie, or NULL. */
static const char *cookie_of(request_rec *r)
{
    const char *text = apr_table_get(r->headers_in, "Cookie");
    apr_size_t name = strlen(APIPOOL_ADMIN_COOKIE);
    while (text && *text) {
        text += strspn(text, "; \t");
        apr_size_t len = strcspn(text, ";");
        if (len > name && !strncmp(text, APIPOOL_ADMIN_COOKIE, name) && text[name] == '=') {
            return apr_pstrmemdup(r->pool, text + name + 1, len - name - 1);
        }
        text += len;
    }
    return NULL;
}

/* Returns the client's token. A Bearer token is sent on purpose, a cookie by the browser on its
 * own. */
static const char *token_of(request_rec *r, int *is_ambient)
{
    const char *text = apr_table_get(r->headers_in, "Authorization");
    *is_ambient = 0;
    if (text && !ap_cstr_casecmpn(text, "Bearer ", 7)) {
        text += 7;
        return text + strspn(text, " ");
    }
    *is_ambient = 1;
    return cookie_of(r);
}

static int is_same_text(const char *one, const char *other)
{
    apr_size_t len = strlen(one);
    return len == strlen(other) && !CRYPTO_memcmp(one, other, len);
}

/* Explains why a session is no longer valid; NULL if it is. */
static const char *session_fault(const apipool_admin_request_t *request, apr_uint64_t number,
                                 const char *user, const char *entry, apr_pool_t *p)
{
    if (apipool_admin_api->session_is_revoked(number)) {
        return "its session has been ended";
    }
    const char *current = apipool_password_fingerprint(request, user, p);
    return current && is_same_text(current, entry) ? NULL
                                                   : "the user is gone or has another password now";
}

/* Explains why a token is rejected here; NULL if it is valid. */
static const char *token_fault(const apipool_admin_request_t *request, const char *token,
                               apipool_jwt_claims_t *claims)
{
    request_rec *r = request->r;
    unsigned char secret[APIPOOL_JWT_SECRET_SIZE];
    if (apipool_admin_api->session_secret(secret) != APR_SUCCESS) {
        return "there is no secret to verify it with";
    }
    const char *fault =
        apipool_jwt_verify(secret, token, apr_time_sec(apr_time_now()), r->pool, claims);
    OPENSSL_cleanse(secret, sizeof(secret));
    if (!fault && !is_same_text(claims->audience, apipool_caller_audience(request))) {
        fault = "it is for another location";
    }
    return fault ? fault
                 : session_fault(request, claims->number, claims->user, claims->entry, r->pool);
}

static void find_session(apipool_admin_request_t *request)
{
    apipool_jwt_claims_t claims;
    int is_ambient;
    const char *token = token_of(request->r, &is_ambient);
    request->caller.presented =
        token || (!request->r->user && apr_table_get(request->r->headers_in, "Authorization"));
    const char *fault = token ? token_fault(request, token, &claims) : NULL;
    if (fault) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, request->r,
                      APIPOOL_LOG(0115) "session rejected: %s", fault);
    }
    if (!token || fault) {
        return;
    }
    apipool_caller_t *caller = &request->caller;
    caller->user = claims.user;
    caller->role = apipool_caller_role(request->conf, claims.user);
    if (strcmp(claims.role, apipool_caller_role_name(APIPOOL_ROLE_ADMIN))) {
        caller->role = APIPOOL_ROLE_VIEWER; /* as at sign-in */
    }
    caller->is_ambient = is_ambient;
    caller->number = claims.number;
    caller->entry = claims.entry;
    caller->expires = apr_time_from_sec(claims.expires);
    if (!request->r->user) {
        request->r->user = apr_pstrdup(request->r->pool, claims.user); /* for the access log */
    }
}

/* A client key never counts as an operator's credential, whatever else is configured. */
static void find_user(apipool_admin_request_t *request)
{
    const request_rec *r = request->r;
    request->caller.presented = r->user || apr_table_get(r->headers_in, "Authorization");
    if (!r->user || (r->ap_auth_type && !ap_cstr_casecmp(r->ap_auth_type, "APIPool"))) {
        return;
    }
    request->caller.user = r->user;
    request->caller.role = apipool_caller_role(request->conf, r->user);
    request->caller.is_ambient = 1;
}

void apipool_caller_find(apipool_admin_request_t *request)
{
    memset(&request->caller, 0, sizeof(request->caller));
    if (request->conf->auth == APIPOOL_ADMIN_AUTH_HTTPD) {
        find_user(request);
    }
    else {
        find_session(request);
    }
}

int apipool_caller_is_valid(const apipool_admin_request_t *request, apr_pool_t *p)
{
    const apipool_caller_t *caller = &request->caller;
    return !caller->number ||
           (apr_time_now() < caller->expires &&
            !session_fault(request, caller->number, caller->user, caller->entry, p));
}

int apipool_caller_is_secure(request_rec *r)
{
    return !strcmp(ap_http_scheme(r), "https");
}

/* Tests whether a URL belongs to the server that the client addresses. If TLS ends at a proxy in
 * front of this server, ServerName says "https://". */
static int is_own_url(request_rec *r, const char *url)
{
    const char *host = apr_table_get(r->headers_in, "Host");
    const char *scheme = apipool_caller_is_secure(r) ? "https://" : "http://";
    const char *port = apipool_caller_is_secure(r) ? ":443" : ":80";
    if (!host || ap_cstr_casecmpn(url, scheme, strlen(scheme))) {
        return 0;
    }
    url += strlen(scheme);
    apr_size_t len = strcspn(url, "/?#"), host_len = strlen(host), default_len = strlen(port);
    if (len > default_len && !strncmp(url + len - default_len, port, default_len)) {
        len -= default_len;
    }
    if (host_len > default_len && !strcmp(host + host_len - default_len, port)) {
        host_len -= default_len;
    }
    return len == host_len && !ap_cstr_casecmpn(url, host, len);
}

int apipool_caller_is_same_origin(request_rec *r)
{
    const char *origin = apr_table_get(r->headers_in, "Origin");
    const char *site = apr_table_get(r->headers_in, "Sec-Fetch-Site");
    const char *referer = apr_table_get(r->headers_in, "Referer");
    if (origin) {
        return is_own_url(r, origin);
    }
    if (site) {
        return !strcmp(site, "same-origin");
    }
    return referer && is_own_url(r, referer);
}
