/* SPDX-License-Identifier: Apache-2.0
 * Who asks: the session of a token, or whoever httpd authenticated. */
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
    return conf->viewers && apipool_admin_names(conf->viewers, user) ? APIPOOL_ROLE_VIEWER
                                                                     : APIPOOL_ROLE_ADMIN;
}

static const char *name_location(const apipool_admin_request_t *ask, const server_rec *s)
{
    return apr_psprintf(ask->r->pool, "%s:%u %s:%u %s/", s->server_hostname, s->port,
                        s->addrs && s->addrs->virthost ? s->addrs->virthost : "*",
                        s->addrs ? s->addrs->host_port : 0, ask->mount);
}

const char *apipool_caller_audience(const apipool_admin_request_t *ask)
{
    return name_location(ask, ask->r->server);
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

apr_uint64_t apipool_caller_place(const apipool_admin_request_t *ask)
{
    const char *audience = apipool_caller_audience(ask);
    return apipool_caller_hash(audience, strlen(audience));
}

apr_uint64_t apipool_caller_location(const apipool_admin_request_t *ask)
{
    const char *location = name_location(ask, apipool_admin_owner(ask->r));
    return apipool_caller_hash(location, strlen(location));
}

/* The value of our cookie, or NULL. */
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

/* What the client says its session is; a Bearer says it on purpose, a cookie comes by itself. */
static const char *token_of(request_rec *r, int *by_itself)
{
    const char *text = apr_table_get(r->headers_in, "Authorization");
    *by_itself = 0;
    if (text && !ap_cstr_casecmpn(text, "Bearer ", 7)) {
        text += 7;
        return text + strspn(text, " ");
    }
    *by_itself = 1;
    return cookie_of(r);
}

static int is_same_text(const char *one, const char *other)
{
    apr_size_t len = strlen(one);
    return len == strlen(other) && !CRYPTO_memcmp(one, other, len);
}

/* Why a session does not hold, or NULL. */
static const char *session_fault(const apipool_admin_request_t *ask, apr_uint64_t number,
                                 const char *user, const char *entry, apr_pool_t *p)
{
    if (apipool_admin_api->session_is_revoked(number)) {
        return "its session has been ended";
    }
    const char *current = apipool_password_fingerprint(ask, user, p);
    return current && is_same_text(current, entry) ? NULL
                                                   : "the user is gone or has another password now";
}

/* Why a token is not taken here, or NULL. */
static const char *look_at_token(const apipool_admin_request_t *ask, const char *token,
                                 apipool_jwt_claims_t *claims)
{
    request_rec *r = ask->r;
    unsigned char secret[APIPOOL_JWT_SECRET_SIZE];
    if (apipool_admin_api->session_secret(secret) != APR_SUCCESS) {
        return "there is no secret to verify it with";
    }
    const char *fault =
        apipool_jwt_verify(secret, token, apr_time_sec(apr_time_now()), r->pool, claims);
    OPENSSL_cleanse(secret, sizeof(secret));
    if (!fault && !is_same_text(claims->audience, apipool_caller_audience(ask))) {
        fault = "it is for another location";
    }
    return fault ? fault : session_fault(ask, claims->number, claims->user, claims->entry, r->pool);
}

static void find_session(apipool_admin_request_t *ask)
{
    apipool_jwt_claims_t claims;
    int by_itself;
    const char *token = token_of(ask->r, &by_itself);
    ask->caller.presented =
        token || (!ask->r->user && apr_table_get(ask->r->headers_in, "Authorization"));
    const char *fault = token ? look_at_token(ask, token, &claims) : NULL;
    if (fault) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, ask->r, APIPOOL_LOG(0115) "session rejected: %s",
                      fault);
    }
    if (!token || fault) {
        return;
    }
    apipool_caller_t *caller = &ask->caller;
    caller->user = claims.user;
    caller->role = apipool_caller_role(ask->conf, claims.user);
    if (strcmp(claims.role, apipool_caller_role_name(APIPOOL_ROLE_ADMIN))) {
        caller->role = APIPOOL_ROLE_VIEWER; /* as it was when the session began */
    }
    caller->by_itself = by_itself;
    caller->number = claims.number;
    caller->entry = claims.entry;
    caller->expires = apr_time_from_sec(claims.expires);
    if (!ask->r->user) {
        ask->r->user = apr_pstrdup(ask->r->pool, claims.user); /* for the access log */
    }
}

/* A client key is no operator's credential, whatever else is configured. */
static void find_user(apipool_admin_request_t *ask)
{
    const request_rec *r = ask->r;
    ask->caller.presented = r->user || apr_table_get(r->headers_in, "Authorization");
    if (!r->user || (r->ap_auth_type && !ap_cstr_casecmp(r->ap_auth_type, "APIPool"))) {
        return;
    }
    ask->caller.user = r->user;
    ask->caller.role = apipool_caller_role(ask->conf, r->user);
    ask->caller.by_itself = 1;
}

void apipool_caller_find(apipool_admin_request_t *ask)
{
    memset(&ask->caller, 0, sizeof(ask->caller));
    if (ask->conf->auth == APIPOOL_ADMIN_AUTH_HTTPD) {
        find_user(ask);
    }
    else {
        find_session(ask);
    }
}

int apipool_caller_holds(const apipool_admin_request_t *ask, apr_pool_t *p)
{
    const apipool_caller_t *caller = &ask->caller;
    return !caller->number || (apr_time_now() < caller->expires &&
                               !session_fault(ask, caller->number, caller->user, caller->entry, p));
}

int apipool_caller_is_secure(request_rec *r)
{
    return !strcmp(ap_http_scheme(r), "https");
}

/* Whether a URL is of the server that the client addresses. Where TLS ends at a proxy before us, ServerName
 * says "https://". */
static int is_ours(request_rec *r, const char *url)
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
        return is_ours(r, origin);
    }
    if (site) {
        return !strcmp(site, "same-origin");
    }
    return referer && is_ours(r, referer);
}
