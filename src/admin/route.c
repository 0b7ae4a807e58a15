/* SPDX-License-Identifier: Apache-2.0
 * Which part of the admin module answers a request. */
#include "admin.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>

#define HANDLER "apipool-admin"

static const apipool_api_t *pools;

void apipool_admin_use_api(const apipool_api_t *api)
{
    pools = api;
}

static int reply(request_rec *r, int status, const char *body)
{
    r->status = status;
    ap_set_content_type(r, "application/json");
    ap_set_content_length(r, (apr_off_t)strlen(body));
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    ap_rputs(body, r);
    return OK;
}

int apipool_admin_error(request_rec *r, int status, const char *code, const char *message)
{
    return reply(
        r, status,
        apr_psprintf(r->pool, "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}\n", code, message));
}

static int health(request_rec *r)
{
    return pools->healthy() ? reply(r, HTTP_OK, "{\"status\":\"ok\"}\n")
                            : apipool_admin_error(r, HTTP_SERVICE_UNAVAILABLE, "unhealthy",
                                                  "The pools' shared memory is not to be had.");
}

/* The path below the location. Only a section with one of our directives tells us its own path; for
 * others the core knows the last one that matched. */
static const char *path_below(request_rec *r, const apipool_admin_conf_t *conf)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    const char *mount = conf->mount ? conf->mount : core->d ? core->d : "";
    apr_size_t len = strlen(mount);
    while (len && mount[len - 1] == '/') {
        len--;
    }
    const char *path = strncmp(r->uri, mount, len) ? r->uri : r->uri + len;
    return *path == '/' ? path + 1 : path;
}

int apipool_admin_handler(request_rec *r)
{
    if (!r->handler || strcmp(r->handler, HANDLER)) {
        return DECLINED;
    }
    const apipool_admin_conf_t *conf =
        ap_get_module_config(r->per_dir_config, &apipool_admin_module);
    const char *path = path_below(r, conf);
    if (r->method_number != M_GET) {
        apr_table_setn(r->headers_out, "Allow", "GET, HEAD");
        return apipool_admin_error(r, HTTP_METHOD_NOT_ALLOWED, "method_not_allowed",
                                   "Only GET and HEAD are answered here.");
    }
    if (!strcmp(path, "api/health")) {
        return health(r);
    }
    if (!strncmp(path, "api/", 4)) {
        return apipool_admin_error(r, HTTP_NOT_FOUND, "not_found", "There is no such route.");
    }
    return apipool_admin_send_page(r, conf->root ? conf->root : APIPOOL_HTDOCS, path);
}
