/* SPDX-License-Identifier: Apache-2.0
 * Routes: sign in, show the session, sign out. */
#include "access.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <openssl/crypto.h>

#include "jwt.h"
#include "render.h"

/* An empty token deletes the cookie. */
static void set_cookie(const apipool_admin_request_t *request, const char *token, int seconds)
{
    request_rec *r = request->r;
    const char *path = *request->mount ? ap_os_escape_path(r->pool, request->mount, 1) : "/";
    apr_table_addn(
        r->headers_out, "Set-Cookie",
        apr_psprintf(r->pool,
                     APIPOOL_ADMIN_COOKIE "=%s; Path=%s; Max-Age=%d; HttpOnly; SameSite=Strict%s",
                     token, path, seconds, apipool_caller_is_secure(r) ? "; Secure" : ""));
}

typedef struct {
    const char *user, *password;
} credentials_t;

static const apipool_json_member_t members[] = {
    {"username", APIPOOL_JSON_STRING, APIPOOL_JSON_REQUIRED,
     .offset = offsetof(credentials_t, user), .max = APIPOOL_ADMIN_USER_MAX},
    {"password", APIPOOL_JSON_STRING, APIPOOL_JSON_REQUIRED,
     .offset = offsetof(credentials_t, password), .max = APIPOOL_ADMIN_PASSWORD_MAX},
    {NULL}};

static apr_uint64_t new_number(void)
{
    apr_uint64_t number = 0;
    while (!number) {
        if (apr_generate_random_bytes((unsigned char *)&number, sizeof(number)) != APR_SUCCESS) {
            return 0;
        }
    }
    return number;
}

/* Creates the caller's session; NULL if it cannot be signed. */
static const char *begin(apipool_admin_request_t *request, const char *user, const char *entry,
                         int seconds)
{
    unsigned char secret[APIPOOL_JWT_SECRET_SIZE];
    apipool_caller_t *caller = &request->caller;
    apr_time_t now = apr_time_now();
    caller->user = apr_pstrdup(request->r->pool, user);
    caller->role = apipool_caller_role(request->conf, user);
    caller->number = new_number();
    caller->expires = apr_time_from_sec(apr_time_sec(now) + seconds);
    if (!caller->number || apipool_admin_api->session_secret(secret) != APR_SUCCESS) {
        return NULL;
    }
    apipool_jwt_claims_t claims = {
        .user = caller->user,
        .role = apipool_caller_role_name(caller->role),
        .audience = apipool_caller_audience(request),
        .entry = entry,
        .number = caller->number,
        .issued = apr_time_sec(now),
        .expires = apr_time_sec(caller->expires),
    };
    const char *token = apipool_jwt_sign(secret, &claims, request->r->pool);
    OPENSSL_cleanse(secret, sizeof(secret));
    return token;
}

static json_t *caller_object(const apipool_admin_request_t *request)
{
    const apipool_caller_t *caller = &request->caller;
    const char *role = caller->user ? apipool_caller_role_name(caller->role) : NULL;
    return json_pack("{s:o,s:s?,s:o}", "user", apipool_render_text(caller->user), "role", role,
                     "expires_at", apipool_render_time(caller->expires));
}

int apipool_admin_session_open(apipool_admin_request_t *request)
{
    credentials_t given = {NULL};
    const char *entry = NULL;
    unsigned set;
    int seconds = request->conf->session_seconds ? request->conf->session_seconds
                                                 : APIPOOL_ADMIN_SESSION_DEFAULT;
    int status =
        apipool_admin_read_object(request->r, APIPOOL_ADMIN_LOGIN_MAX, members, &given, &set);
    if (status == DECLINED) {
        status = apipool_password_check(request, given.user, given.password, &entry);
    }
    if (status != DECLINED) {
        return status;
    }
    const char *token = begin(request, given.user, entry, seconds);
    if (!token) {
        return apipool_admin_failed(request, APR_EGENERAL, "a session cannot be signed", NULL);
    }
    set_cookie(request, token, seconds);
    apipool_admin_audit(request, "signed in", NULL);
    json_t *object = caller_object(request);
    json_object_set_new(object, "token", json_string(token));
    return apipool_admin_reply(request->r, HTTP_OK, object);
}

/* Answers with no user if there is no credential. An invalid credential is refused. */
int apipool_admin_session_show(apipool_admin_request_t *request)
{
    apipool_caller_find(request);
    if (!request->caller.user && request->caller.presented) {
        return apipool_admin_unauthorized(request->r);
    }
    int own = request->conf->auth != APIPOOL_ADMIN_AUTH_HTTPD;
    json_t *object = caller_object(request);
    json_object_set_new(object, "auth", json_string(own ? "session" : "httpd"));
    json_object_set_new(object, "reveal",
                        json_boolean(request->conf->reveal == 1 && request->conf->user_file &&
                                     request->caller.role == APIPOOL_ROLE_ADMIN));
    return apipool_admin_reply(request->r, HTTP_OK, object);
}

static int ended(const apipool_admin_request_t *request, apr_status_t rv,
                 const apipool_input_error_t *flaw, const char *what)
{
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(request, rv, "sessions cannot be ended", flaw);
    }
    set_cookie(request, "", 0);
    apipool_admin_audit(request, what, NULL);
    return apipool_admin_reply_nothing(request->r);
}

int apipool_admin_session_close(apipool_admin_request_t *request)
{
    apipool_input_error_t flaw = {NULL};
    apr_status_t rv = apipool_admin_api->session_revoke(
        request->caller.number, request->caller.expires, request->r->pool, &flaw);
    return ended(request, rv, &flaw, "signed out");
}

/* Ends the sessions of all users of this location, including the caller's. */
int apipool_admin_sessions_end(apipool_admin_request_t *request)
{
    apipool_input_error_t flaw = {NULL};
    apr_uint64_t place = apipool_caller_place(request);
    apr_status_t rv =
        place ? apipool_admin_api->sessions_end(place, request->r->pool, &flaw) : APR_EGENERAL;
    return ended(request, rv, &flaw, "all sessions ended");
}
