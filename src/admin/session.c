/* SPDX-License-Identifier: Apache-2.0
 * Sessions: signing in, who am I, signing out. */
#include "access.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <openssl/crypto.h>

#include "jwt.h"
#include "render.h"

/* An empty token takes the cookie away. */
static void set_cookie(const apipool_admin_request_t *ask, const char *token, int seconds)
{
    request_rec *r = ask->r;
    const char *path = *ask->mount ? ap_os_escape_path(r->pool, ask->mount, 1) : "/";
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

/* Makes the caller's session; NULL if it cannot be signed. */
static const char *begin(apipool_admin_request_t *ask, const char *user, const char *entry,
                         int seconds)
{
    unsigned char secret[APIPOOL_JWT_SECRET_SIZE];
    apipool_caller_t *caller = &ask->caller;
    apr_time_t now = apr_time_now();
    caller->user = apr_pstrdup(ask->r->pool, user);
    caller->role = apipool_caller_role(ask->conf, user);
    caller->number = new_number();
    caller->expires = apr_time_from_sec(apr_time_sec(now) + seconds);
    if (!caller->number || apipool_admin_api->session_secret(secret) != APR_SUCCESS) {
        return NULL;
    }
    apipool_jwt_claims_t claims = {
        .user = caller->user,
        .role = apipool_caller_role_name(caller->role),
        .audience = apipool_caller_audience(ask),
        .entry = entry,
        .number = caller->number,
        .issued = apr_time_sec(now),
        .expires = apr_time_sec(caller->expires),
    };
    const char *token = apipool_jwt_sign(secret, &claims, ask->r->pool);
    OPENSSL_cleanse(secret, sizeof(secret));
    return token;
}

static json_t *caller_object(const apipool_admin_request_t *ask)
{
    const apipool_caller_t *caller = &ask->caller;
    const char *role = caller->user ? apipool_caller_role_name(caller->role) : NULL;
    return json_pack("{s:o,s:s?,s:o}", "user", apipool_render_text(caller->user), "role", role,
                     "expires_at", apipool_render_time(caller->expires));
}

int apipool_admin_session_open(apipool_admin_request_t *ask)
{
    credentials_t given = {NULL};
    const char *entry = NULL;
    unsigned set;
    int seconds =
        ask->conf->session_seconds ? ask->conf->session_seconds : APIPOOL_ADMIN_SESSION_DEFAULT;
    int status = apipool_admin_read_object(ask->r, APIPOOL_ADMIN_LOGIN_MAX, members, &given, &set);
    if (status == DECLINED) {
        status = apipool_password_is_right(ask, given.user, given.password, &entry);
    }
    if (status != DECLINED) {
        return status;
    }
    const char *token = begin(ask, given.user, entry, seconds);
    if (!token) {
        return apipool_admin_failed(ask, APR_EGENERAL, "a session cannot be signed", NULL);
    }
    set_cookie(ask, token, seconds);
    apipool_admin_audit(ask, "signed in", NULL);
    json_t *object = caller_object(ask);
    json_object_set_new(object, "token", json_string(token));
    return apipool_admin_reply(ask->r, HTTP_OK, object);
}

/* "Who am I" has an answer for those who present no credential: nobody. One that is not valid is refused. */
int apipool_admin_session_show(apipool_admin_request_t *ask)
{
    apipool_caller_find(ask);
    if (!ask->caller.user && ask->caller.presented) {
        return apipool_admin_unauthorized(ask->r);
    }
    int own = ask->conf->auth != APIPOOL_ADMIN_AUTH_HTTPD;
    json_t *object = caller_object(ask);
    json_object_set_new(object, "auth", json_string(own ? "session" : "httpd"));
    json_object_set_new(object, "reveal",
                        json_boolean(ask->conf->reveal == 1 && ask->conf->user_file &&
                                     ask->caller.role == APIPOOL_ROLE_ADMIN));
    return apipool_admin_reply(ask->r, HTTP_OK, object);
}

static int ended(const apipool_admin_request_t *ask, apr_status_t rv,
                 const apipool_input_error_t *flaw, const char *what)
{
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(ask, rv, "sessions cannot be ended", flaw);
    }
    set_cookie(ask, "", 0);
    apipool_admin_audit(ask, what, NULL);
    return apipool_admin_reply_nothing(ask->r);
}

int apipool_admin_session_close(apipool_admin_request_t *ask)
{
    apipool_input_error_t flaw = {NULL};
    apr_status_t rv = apipool_admin_api->session_revoke(ask->caller.number, ask->caller.expires,
                                                        ask->r->pool, &flaw);
    return ended(ask, rv, &flaw, "signed out");
}

/* Everybody's who has signed in here, the caller's own included. */
int apipool_admin_sessions_end(apipool_admin_request_t *ask)
{
    apipool_input_error_t flaw = {NULL};
    apr_uint64_t place = apipool_caller_place(ask);
    apr_status_t rv =
        place ? apipool_admin_api->sessions_end(place, ask->r->pool, &flaw) : APR_EGENERAL;
    return ended(ask, rv, &flaw, "all sessions ended");
}
