/* SPDX-License-Identifier: Apache-2.0
 * Routes: health, the API description, versions and the store, and the log level. */
#include "admin.h"

#include <apr_strings.h>
#include <apr_version.h>
#include <http_protocol.h>
#include <openssl/crypto.h>
#include <scoreboard.h>

#include "render.h"

/* httpd's levels; a value in between counts as the less verbose one. */
static const struct {
    const char *name;
    int level;
} levels[] = {
    {"error", APLOG_ERR}, {"warn", APLOG_WARNING}, {"info", APLOG_INFO}, {"debug", APLOG_DEBUG}};

#define LEVELS ((int)(sizeof(levels) / sizeof(*levels)))

int apipool_admin_health(apipool_admin_request_t *request)
{
    int is_out = 0;
    if (!apipool_admin_api->healthy()) {
        return apipool_admin_error(request->r, HTTP_SERVICE_UNAVAILABLE, "unhealthy",
                                   "The shared memory of the pools is not available.");
    }
    const char *fault = apipool_admin_api->store_fault(&is_out);
    if (is_out) {
        return apipool_admin_error(
            request->r, HTTP_SERVICE_UNAVAILABLE, "store_unavailable",
            "The store of the pools cannot be used; the error log says why.");
    }
    return apipool_admin_reply(request->r, HTTP_OK,
                               json_pack("{s:s}", "status", fault ? "unsaved" : "ok"));
}

/* The file is beside the dashboard's folder, as installed by "make install" or in the sources. */
int apipool_admin_openapi(apipool_admin_request_t *request)
{
    static const char *const places[] = {"/../openapi.json", "/../docs/openapi.json"};
    const char *root = request->conf->root ? request->conf->root : APIPOOL_HTDOCS;
    json_t *value = NULL;
    for (int i = 0; i < 2 && !value; i++) {
        value = json_load_file(apr_pstrcat(request->r->pool, root, places[i], NULL), 0, NULL);
    }
    return value ? apipool_admin_reply(request->r, HTTP_OK, value)
                 : apipool_admin_failed(request, APR_EGENERAL, "openapi.json cannot be read", NULL);
}

int apipool_admin_system_show(apipool_admin_request_t *request)
{
    json_t *details;
    ap_version_t httpd;
    apr_status_t rv = apipool_admin_api->system(&details);
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(request, rv, "the store cannot be looked at", NULL);
    }
    ap_get_server_revision(&httpd);
    json_t *object =
        json_pack("{s:s,s:o,s:s,s:s,s:s,s:o}", "version", APIPOOL_VERSION, "httpd",
                  json_sprintf("%d.%d.%d", httpd.major, httpd.minor, httpd.patch), "apr",
                  apr_version_string(), "openssl", OpenSSL_version(OPENSSL_VERSION), "jansson",
                  JANSSON_VERSION, "started_at",
                  apipool_render_time(ap_get_scoreboard_global()->restart_time));
    apipool_render_add(object, details);
    return apipool_admin_reply(request->r, HTTP_OK, object);
}

/* The level that was set, or that of LogLevel. */
static int current_level(const request_rec *r)
{
    const module *m = ap_find_linked_module("mod_apipool.c");
    int level = apipool_admin_api->log_level();
    if (!level && m) {
        level = ap_get_server_module_loglevel(r->server, m->module_index);
    }
    return level;
}

int apipool_admin_log_level_show(apipool_admin_request_t *request)
{
    int level = current_level(request->r), i = LEVELS - 1;
    while (i > 0 && levels[i].level > level) {
        i--;
    }
    return apipool_admin_reply(request->r, HTTP_OK, json_pack("{s:s}", "level", levels[i].name));
}

int apipool_admin_log_level_set(apipool_admin_request_t *request)
{
    request_rec *r = request->r;
    static const apipool_json_member_t members[] = {
        {"level", APIPOOL_JSON_STRING, APIPOOL_JSON_REQUIRED, .max = 16}, {NULL}};
    const char *name = NULL;
    unsigned given;
    int i = 0;
    if (request->conf->pools) {
        return apipool_admin_error(
            r, HTTP_FORBIDDEN, "forbidden",
            "The log level is that of the whole server, and this location is "
            "limited to its pools.");
    }
    int status = apipool_admin_read_object(r, APIPOOL_ADMIN_BODY_MAX, members, &name, &given);
    if (status != DECLINED) {
        return status;
    }
    while (i < LEVELS && strcmp(name, levels[i].name)) {
        i++;
    }
    if (i == LEVELS) {
        return apipool_admin_refuse(r, "level", "Must be error, warn, info or debug.");
    }
    apipool_admin_api->set_log_level(levels[i].level);
    apipool_admin_audit(request, apr_psprintf(r->pool, "log level set to %s", levels[i].name),
                        NULL);
    return apipool_admin_log_level_show(request);
}
