/* SPDX-License-Identifier: Apache-2.0
 * From a path below the mount to a request that mod_proxy serves. */
#include "request.h"

#include <apr_strings.h>

apipool_request_t *apipool_request_get(request_rec *r)
{
    return ap_get_module_config(r->request_config, &apipool_module);
}

static const apipool_dir_conf_t *dir_conf(request_rec *r)
{
    return ap_get_module_config(r->per_dir_config, &apipool_module);
}

static int is_served(request_rec *r)
{
    const apipool_use_t *use = dir_conf(r)->use;
    return use && use->pool && !r->proxyreq && r->uri && *r->uri == '/';
}

/* The length of what an upstream may take for a path separator, or 0. */
static int separator(const char *path)
{
    return *path == '/' || *path == '\\'                                            ? 1
           : !ap_cstr_casecmpn(path, "%2f", 3) || !ap_cstr_casecmpn(path, "%5c", 3) ? 3
                                                                                    : 0;
}

/* httpd has removed plain dot segments and decoded "%2e", but leaves those between encoded slashes. */
static int climbs(const char *path)
{
    for (; *path; path++) {
        int len = separator(path);
        if (len && path[len] == '.' && path[len + 1] == '.' &&
            (!path[len + 2] || separator(path + len + 2))) {
            return 1;
        }
    }
    return 0;
}

/* Keeps "%2F" in a model's name what it is; httpd would refuse or decode it. */
int apipool_request_pre_translate(request_rec *r)
{
    if (!is_served(r)) {
        return DECLINED;
    }
    if (climbs(r->uri)) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      APIPOOL_LOG(0012) "refused a path that climbs out of its location");
        return HTTP_BAD_REQUEST;
    }
    return DONE;
}

static const char *path_below(const char *uri, const char *mount)
{
    const char *path = uri;
    /* httpd matches locations as if repeated slashes were one */
    for (; *mount; mount++, path++) {
        while (*mount == '/' && path[0] == '/' && path[1] == '/') {
            path++;
        }
        if (*path != *mount) {
            return uri;
        }
    }
    while (path[0] == '/' && path[1] == '/') {
        path++;
    }
    return path;
}

static void find_endpoint(apipool_request_t *req)
{
    if (*req->path != '/') {
        return;
    }
    const char *target = apr_table_get(req->pool->endpoints, req->path + 1);
    if (target) {
        req->endpoint = req->path + 1;
        req->path = target;
    }
}

char *apipool_request_url(const apipool_request_t *req, const apipool_upstream_t *upstream)
{
    const char *args = req->r->args;
    return apr_pstrcat(req->r->pool, upstream->url, req->path, args ? "?" : "", args ? args : "",
                       NULL);
}

int apipool_request_translate(request_rec *r)
{
    if (!is_served(r)) {
        return DECLINED;
    }
    const apipool_dir_conf_t *dir = dir_conf(r);
    apipool_request_t *req = apr_pcalloc(r->pool, sizeof(*req));
    req->r = r;
    req->pool = dir->use->pool;
    req->path = path_below(r->uri, dir->use->mount);
    req->expose = dir->expose == 1;
    find_endpoint(req);
    ap_set_module_config(r->request_config, &apipool_module, req);

    r->filename = apr_pstrcat(
        r->pool, "proxy:", APR_ARRAY_IDX(req->pool->upstreams, 0, apipool_upstream_t).url,
        req->path, NULL);
    r->handler = "proxy-server";
    r->proxyreq = PROXYREQ_REVERSE;
    /* the path goes out as it came in */
    apr_table_setn(r->notes, "proxy-nocanon", "1");
    /* an interim answer would reach the client before it is known which attempt counts */
    apr_table_setn(r->subprocess_env, "proxy-interim-response", "Suppress");
    return OK;
}
