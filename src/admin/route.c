/* SPDX-License-Identifier: Apache-2.0
 * Which function answers a request to the admin location, and who may have it answered. */
#include "access.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_protocol.h>

#include "key.h"

const apipool_api_t *apipool_admin_api;

/* The API. A part of a path in braces takes any text: a pool's name, a key's id, a client's name. */
enum {
    OWN_LOGIN = 1, /* only where sessions are our own */
    NO_QUERY = 2   /* takes no parameters, and says so */
};

static const struct {
    const char *path;
    int method;
    apipool_role_e role;
    int flags;
    apipool_admin_route_fn answer;
} routes[] = {
    {"health", M_GET, APIPOOL_ROLE_NOBODY, 0, apipool_admin_health},
    {"openapi.json", M_GET, APIPOOL_ROLE_VIEWER, 0, apipool_admin_openapi},
    {"session", M_GET, APIPOOL_ROLE_NOBODY, 0, apipool_admin_session_show},
    {"session", M_POST, APIPOOL_ROLE_NOBODY, OWN_LOGIN, apipool_admin_session_open},
    {"session", M_DELETE, APIPOOL_ROLE_VIEWER, OWN_LOGIN, apipool_admin_session_close},
    {"sessions", M_DELETE, APIPOOL_ROLE_ADMIN, OWN_LOGIN, apipool_admin_sessions_end},
    {"pools", M_GET, APIPOOL_ROLE_VIEWER, NO_QUERY, apipool_admin_pools_list},
    {"pools/{pool}", M_GET, APIPOOL_ROLE_VIEWER, 0, apipool_admin_pool_show},
    {"pools/{pool}/keys", M_GET, APIPOOL_ROLE_VIEWER, 0, apipool_admin_keys_list},
    {"pools/{pool}/keys", M_POST, APIPOOL_ROLE_ADMIN, 0, apipool_admin_keys_import},
    {"pools/{pool}/keys/actions", M_POST, APIPOOL_ROLE_ADMIN, 0, apipool_admin_keys_act},
    {"pools/{pool}/keys/{id}", M_GET, APIPOOL_ROLE_VIEWER, 0, apipool_admin_key_show},
    {"pools/{pool}/keys/{id}", M_PATCH, APIPOOL_ROLE_ADMIN, 0, apipool_admin_key_edit},
    {"pools/{pool}/keys/{id}", M_DELETE, APIPOOL_ROLE_ADMIN, 0, apipool_admin_key_delete},
    {"pools/{pool}/keys/{id}/check", M_POST, APIPOOL_ROLE_ADMIN, 0, apipool_admin_key_check},
    {"pools/{pool}/keys/{id}/reveal", M_POST, APIPOOL_ROLE_ADMIN, 0, apipool_admin_key_reveal},
    {"pools/{pool}/stats", M_GET, APIPOOL_ROLE_VIEWER, 0, apipool_admin_stats_show},
    {"requests", M_GET, APIPOOL_ROLE_VIEWER, 0, apipool_admin_requests_list},
    {"events", M_GET, APIPOOL_ROLE_VIEWER, NO_QUERY, apipool_admin_events_send},
    {"clients", M_GET, APIPOOL_ROLE_VIEWER, NO_QUERY, apipool_admin_clients_list},
    {"clients", M_POST, APIPOOL_ROLE_ADMIN, 0, apipool_admin_client_create},
    {"clients/{name}", M_GET, APIPOOL_ROLE_VIEWER, 0, apipool_admin_client_show},
    {"clients/{name}", M_PATCH, APIPOOL_ROLE_ADMIN, 0, apipool_admin_client_edit},
    {"clients/{name}", M_DELETE, APIPOOL_ROLE_ADMIN, 0, apipool_admin_client_delete},
    {"system", M_GET, APIPOOL_ROLE_VIEWER, 0, apipool_admin_system_show},
    {"log-level", M_GET, APIPOOL_ROLE_VIEWER, 0, apipool_admin_log_level_show},
    {"log-level", M_PUT, APIPOOL_ROLE_ADMIN, 0, apipool_admin_log_level_set},
};

#define ROUTES ((int)(sizeof(routes) / sizeof(*routes)))
#define NONE   (-1)

/* What stands in the place of braces is noted. */
static int matches(apipool_admin_request_t *ask, const char *pattern, const char *path)
{
    ask->pool_name = ask->key = ask->name = NULL;
    for (;;) {
        apr_size_t wanted = strcspn(pattern, "/"), len = strcspn(path, "/");
        if (*pattern == '{' && len > 0) {
            const char **part = !strncmp(pattern, "{pool}", 6) ? &ask->pool_name
                                : !strncmp(pattern, "{id}", 4) ? &ask->key
                                                               : &ask->name;
            *part = apr_pstrmemdup(ask->r->pool, path, len);
        }
        else if (wanted != len || strncmp(pattern, path, len)) {
            return 0;
        }
        pattern += wanted;
        path += len;
        if (!*pattern || !*path) {
            return !*pattern && !*path;
        }
        pattern++;
        path++;
    }
}

static const char *method_names(int method)
{
    return method == M_GET     ? "GET, HEAD"
           : method == M_POST  ? "POST"
           : method == M_PUT   ? "PUT"
           : method == M_PATCH ? "PATCH"
                               : "DELETE";
}

/* The number of the route; NONE, and what the path's routes allow, where there is none. A path that
 * is written out comes before one with braces, as it does in the table. */
static int find_route(apipool_admin_request_t *ask, const char *path, const char **allow)
{
    apr_pool_t *p = ask->r->pool;
    const char *found = NULL;
    *allow = NULL;
    for (int i = 0; i < ROUTES; i++) {
        if ((routes[i].flags & OWN_LOGIN && ask->conf->auth == APIPOOL_ADMIN_AUTH_HTTPD) ||
            (found && strcmp(found, routes[i].path)) || !matches(ask, routes[i].path, path)) {
            continue;
        }
        found = routes[i].path;
        if (routes[i].method == ask->r->method_number) {
            return i;
        }
        const char *names = method_names(routes[i].method);
        *allow = *allow ? apr_pstrcat(p, *allow, ", ", names, NULL) : names;
    }
    return NONE;
}

static int no_route(const apipool_admin_request_t *ask, const char *allow)
{
    if (!allow) {
        return apipool_admin_error(ask->r, HTTP_NOT_FOUND, "not_found", "There is no such route.");
    }
    apr_table_setn(ask->r->headers_out, "Allow", allow);
    return apipool_admin_error(ask->r, HTTP_METHOD_NOT_ALLOWED, "method_not_allowed",
                               apr_psprintf(ask->r->pool, "Allowed methods: %s.", allow));
}

/* Whether the caller may have the route: DECLINED; else what was answered. */
static int may_have(apipool_admin_request_t *ask, int route)
{
    request_rec *r = ask->r;
    if (!ask->conf->user_file && ask->conf->auth != APIPOOL_ADMIN_AUTH_HTTPD) {
        return apipool_admin_error(r, HTTP_FORBIDDEN, "not_configured",
                                   "Nobody can sign in yet: set APIPoolAdminUserFile, or "
                                   "APIPoolAdminAuth httpd with an authentication.");
    }
    if (routes[route].role == APIPOOL_ROLE_NOBODY) {
        return DECLINED;
    }
    apipool_caller_find(ask);
    if (!ask->caller.user) {
        return apipool_admin_unauthorized(r);
    }
    if (ask->caller.role < routes[route].role) {
        return apipool_admin_error(r, HTTP_FORBIDDEN, "forbidden",
                                   "Viewers have read-only access.");
    }
    if (routes[route].method != M_GET && ask->caller.by_itself &&
        !apipool_caller_is_same_origin(r)) {
        return apipool_admin_error(r, HTTP_FORBIDDEN, "cross_origin",
                                   "The browser does not say that this request comes from the same "
                                   "origin.");
    }
    return DECLINED;
}

static int answer_route(apipool_admin_request_t *ask, int route)
{
    apipool_query_t query;
    apipool_input_error_t flaw;
    if (ask->pool_name) {
        const apipool_pool_info_t *pool =
            apipool_admin_find_pool(apipool_admin_pools(ask), ask->pool_name);
        if (!pool) {
            return apipool_admin_error(ask->r, HTTP_NOT_FOUND, "pool_not_found",
                                       "There is no such pool.");
        }
        ask->pool = pool->index;
    }
    if (ask->key) {
        ask->id = apipool_key_id_read(ask->key);
        if (!ask->id) {
            return apipool_admin_error(ask->r, HTTP_NOT_FOUND, "key_not_found",
                                       "There is no such key.");
        }
    }
    apipool_query_open(&query, ask->r->pool, ask->r->args, &flaw);
    if (routes[route].flags & NO_QUERY && !apipool_query_close(&query)) {
        return apipool_admin_refuse(ask->r, flaw.field, flaw.message);
    }
    return routes[route].answer(ask);
}

static int answer_api(apipool_admin_request_t *ask, const char *path)
{
    const char *allow;
    int route = find_route(ask, path, &allow);
    if (route == NONE) {
        return no_route(ask, allow);
    }
    if (routes[route].answer == apipool_admin_health) {
        return apipool_admin_health(ask);
    }
    int status = may_have(ask, route);
    return status == DECLINED ? answer_route(ask, route) : status;
}

/* Whether a request is for the location of that path, or for what lies below it. */
static int is_below(const request_rec *r, const char *mount)
{
    apr_size_t len = strlen(mount);
    return !strncmp(r->uri, mount, len) && (!r->uri[len] || r->uri[len] == '/');
}

int apipool_admin_handler(request_rec *r)
{
    apipool_admin_request_t ask = {.r = r};
    if (!apipool_admin_api->is_mounted(r, APIPOOL_ADMIN_HANDLER)) {
        return DECLINED;
    }
    ask.conf = ap_get_module_config(r->per_dir_config, &apipool_admin_module);
    ask.mount = ask.conf->mount;
    if (!ask.mount || !is_below(r, ask.mount)) {
        return HTTP_NOT_FOUND;
    }
    const char *path = r->uri + strlen(ask.mount);
    path += *path == '/';
    if (!strncmp(path, "api/", 4)) {
        return answer_api(&ask, path + 4);
    }
    if (r->method_number != M_GET) {
        return no_route(&ask, "GET, HEAD");
    }
    return apipool_admin_send_page(r, ask.conf->root ? ask.conf->root : APIPOOL_HTDOCS, path);
}
