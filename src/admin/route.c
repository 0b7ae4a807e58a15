/* SPDX-License-Identifier: Apache-2.0
 * Finds the function that answers an API request, and checks the caller's rights. */
#include "access.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_protocol.h>

#include "key.h"

const apipool_api_t *apipool_admin_api;

/* The API. A segment in braces matches any text: a pool's name, a key's id, a client's name. */
enum {
    OWN_LOGIN = 1, /* only with the module's own sessions */
    NO_QUERY = 2   /* refuses all parameters */
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
    {"pools/{pool}", M_PATCH, APIPOOL_ROLE_ADMIN, 0, apipool_admin_pool_edit},
    {"pools/{pool}/keys", M_GET, APIPOOL_ROLE_VIEWER, 0, apipool_admin_keys_list},
    {"pools/{pool}/keys", M_POST, APIPOOL_ROLE_ADMIN, 0, apipool_admin_keys_import},
    {"pools/{pool}/keys/search", M_POST, APIPOOL_ROLE_VIEWER, 0, apipool_admin_keys_search},
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
    {"clients/{name}/rotate", M_POST, APIPOOL_ROLE_ADMIN, NO_QUERY, apipool_admin_client_rotate},
    {"clients/{name}/old-key", M_DELETE, APIPOOL_ROLE_ADMIN, NO_QUERY,
     apipool_admin_client_end_old_key},
    {"unreached", M_GET, APIPOOL_ROLE_VIEWER, NO_QUERY, apipool_admin_unreached_list},
    {"unreached", M_POST, APIPOOL_ROLE_ADMIN, NO_QUERY, apipool_admin_unreached_move},
    {"archive/export", M_POST, APIPOOL_ROLE_ADMIN, NO_QUERY, apipool_admin_archive_export},
    {"archive/import", M_POST, APIPOOL_ROLE_ADMIN, 0, apipool_admin_archive_import},
    {"system", M_GET, APIPOOL_ROLE_VIEWER, 0, apipool_admin_system_show},
    {"log-level", M_GET, APIPOOL_ROLE_VIEWER, 0, apipool_admin_log_level_show},
    {"log-level", M_PUT, APIPOOL_ROLE_ADMIN, 0, apipool_admin_log_level_set},
};

#define ROUTES ((int)(sizeof(routes) / sizeof(*routes)))
#define NONE   (-1)

/* Compares a path with a pattern, and stores what matches the braces. */
static int matches(apipool_admin_request_t *request, const char *pattern, const char *path)
{
    request->pool_name = request->key = request->name = NULL;
    for (;;) {
        apr_size_t segment = strcspn(pattern, "/"), len = strcspn(path, "/");
        if (*pattern == '{' && len > 0) {
            const char **part = !strncmp(pattern, "{pool}", 6) ? &request->pool_name
                                : !strncmp(pattern, "{id}", 4) ? &request->key
                                                               : &request->name;
            *part = apr_pstrmemdup(request->r->pool, path, len);
        }
        else if (segment != len || strncmp(pattern, path, len)) {
            return 0;
        }
        pattern += segment;
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

/* Returns the index of a route; NONE, and the methods allowed on the path, if there is none.
 * Literal paths precede those with braces in the table, and win. */
static int find_route(apipool_admin_request_t *request, const char *path, const char **allow)
{
    apr_pool_t *p = request->r->pool;
    const char *found = NULL;
    *allow = NULL;
    for (int i = 0; i < ROUTES; i++) {
        if ((routes[i].flags & OWN_LOGIN && request->conf->auth == APIPOOL_ADMIN_AUTH_HTTPD) ||
            (found && strcmp(found, routes[i].path)) || !matches(request, routes[i].path, path)) {
            continue;
        }
        found = routes[i].path;
        if (routes[i].method == request->r->method_number) {
            return i;
        }
        const char *names = method_names(routes[i].method);
        *allow = *allow ? apr_pstrcat(p, *allow, ", ", names, NULL) : names;
    }
    return NONE;
}

static int no_route(const apipool_admin_request_t *request, const char *allow)
{
    if (!allow) {
        return apipool_admin_error(request->r, HTTP_NOT_FOUND, "not_found",
                                   "There is no such route.");
    }
    apr_table_setn(request->r->headers_out, "Allow", allow);
    return apipool_admin_error(request->r, HTTP_METHOD_NOT_ALLOWED, "method_not_allowed",
                               apr_psprintf(request->r->pool, "Allowed methods: %s.", allow));
}

/* Checks the caller's rights to a route. Returns DECLINED, or the status of the error sent. */
static int check_rights(apipool_admin_request_t *request, int route)
{
    request_rec *r = request->r;
    if (!request->conf->user_file && request->conf->auth != APIPOOL_ADMIN_AUTH_HTTPD) {
        return apipool_admin_error(r, HTTP_FORBIDDEN, "not_configured",
                                   "Nobody can sign in yet: set APIPoolAdminUserFile, or "
                                   "APIPoolAdminAuth httpd with an authentication.");
    }
    if (routes[route].role == APIPOOL_ROLE_NOBODY) {
        return DECLINED;
    }
    apipool_caller_find(request);
    if (!request->caller.user) {
        return apipool_admin_unauthorized(r);
    }
    if (request->caller.role < routes[route].role) {
        return apipool_admin_error(r, HTTP_FORBIDDEN, "forbidden",
                                   "Viewers have read-only access.");
    }
    if (routes[route].method != M_GET && request->caller.is_ambient &&
        !apipool_caller_is_same_origin(r)) {
        return apipool_admin_error(r, HTTP_FORBIDDEN, "cross_origin",
                                   "The browser does not say that this request comes from the same "
                                   "origin.");
    }
    return DECLINED;
}

static int answer_route(apipool_admin_request_t *request, int route)
{
    apipool_query_t query;
    apipool_input_error_t flaw;
    if (request->pool_name) {
        const apipool_pool_info_t *pool =
            apipool_admin_find_pool(apipool_admin_pools(request), request->pool_name);
        if (!pool) {
            return apipool_admin_error(request->r, HTTP_NOT_FOUND, "pool_not_found",
                                       "There is no such pool.");
        }
        request->pool = pool->index;
    }
    if (request->key) {
        request->id = apipool_key_id_read(request->key);
        if (!request->id) {
            return apipool_admin_error(request->r, HTTP_NOT_FOUND, "key_not_found",
                                       "There is no such key.");
        }
    }
    apipool_query_open(&query, request->r->pool, request->r->args, &flaw);
    if (routes[route].flags & NO_QUERY && !apipool_query_close(&query)) {
        return apipool_admin_refuse(request->r, flaw.field, flaw.message);
    }
    return routes[route].answer(request);
}

static int answer_api(apipool_admin_request_t *request, const char *path)
{
    const char *allow;
    int route = find_route(request, path, &allow);
    if (route == NONE) {
        return no_route(request, allow);
    }
    if (routes[route].answer == apipool_admin_health) {
        return apipool_admin_health(request);
    }
    int status = check_rights(request, route);
    return status == DECLINED ? answer_route(request, route) : status;
}

/* Tests whether a request is for a location or a path below it. */
static int is_below(const request_rec *r, const char *mount)
{
    apr_size_t len = strlen(mount);
    return !strncmp(r->uri, mount, len) && (!r->uri[len] || r->uri[len] == '/');
}

int apipool_admin_handler(request_rec *r)
{
    apipool_admin_request_t request = {.r = r};
    if (!apipool_admin_api->is_mounted(r, APIPOOL_ADMIN_HANDLER)) {
        return DECLINED;
    }
    request.conf = ap_get_module_config(r->per_dir_config, &apipool_admin_module);
    request.mount = request.conf->mount;
    if (!request.mount || !is_below(r, request.mount)) {
        return HTTP_NOT_FOUND;
    }
    const char *path = r->uri + strlen(request.mount);
    path += *path == '/';
    if (!strncmp(path, "api/", 4)) {
        return answer_api(&request, path + 4);
    }
    if (r->method_number != M_GET) {
        return no_route(&request, "GET, HEAD");
    }
    return apipool_admin_send_page(r, request.conf->root ? request.conf->root : APIPOOL_HTDOCS,
                                   path);
}
