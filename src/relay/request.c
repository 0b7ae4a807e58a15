/* SPDX-License-Identifier: Apache-2.0
 * From a path below the mount to a request that mod_proxy serves. */
#include "request.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>

static apipool_segment_t *segment;

void apipool_request_use_segment(apipool_segment_t *shared)
{
    segment = shared;
}

apipool_segment_t *apipool_relay_segment(void)
{
    return segment;
}

void apipool_request_raise_log_level(request_rec *r)
{
    int level = apipool_segment_log_level(segment);
    if (level <= ap_get_request_module_loglevel(r, APLOG_MODULE_INDEX)) {
        return;
    }
    const struct ap_logconf *configured = r->log ? r->log : &r->server->log;
    struct ap_logconf *raised = ap_new_log_config(r->pool, configured);
    ap_set_module_loglevel(r->pool, raised, APLOG_MODULE_INDEX, level);
    r->log = raised;
}

apipool_request_t *apipool_request_get(request_rec *r)
{
    return ap_get_module_config(r->request_config, &apipool_module);
}

static const apipool_dir_conf_t *dir_conf(request_rec *r)
{
    return ap_get_module_config(r->per_dir_config, &apipool_module);
}

/* A handler that the operator has set for this location, the admin API's below a pool for the whole
 * server say, stays where it is. */
static int is_served(request_rec *r)
{
    const apipool_use_t *use = dir_conf(r)->use;
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    int has_handler = core->handler || core->expr_handler;
    return use && use->pool && !has_handler && !r->proxyreq && r->uri && *r->uri == '/';
}

/* The length of what an upstream may take for a path separator, or 0. */
static int separator(const char *path)
{
    if (*path != '%') {
        return *path == '/' || *path == '\\';
    }
    return !ap_cstr_casecmpn(path, "%2f", 3) || !ap_cstr_casecmpn(path, "%5c", 3) ? 3 : 0;
}

/* httpd has removed plain dot segments and decoded "%2e", but leaves those between encoded slashes. */
static int climbs(const char *path)
{
    if (!ap_strstr_c(path, "..")) {
        return 0;
    }
    for (; *path; path++) {
        int len = separator(path);
        if (len && path[len] == '.' && path[len + 1] == '.' &&
            (!path[len + 2] || separator(path + len + 2))) {
            return 1;
        }
    }
    return 0;
}

int apipool_request_pre_translate(request_rec *r)
{
    if (!is_served(r)) {
        return DECLINED;
    }
    apipool_request_raise_log_level(r);
    if (r->method_number == M_TRACE) { /* its answer would show the key */
        ap_allow_methods(r, REPLACE_ALLOW, "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE",
                         "OPTIONS", NULL);
        return HTTP_METHOD_NOT_ALLOWED;
    }
    if (climbs(r->uri)) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      APIPOOL_LOG(0012) "refused a path that climbs out of its location");
        return HTTP_BAD_REQUEST;
    }
    /* The upstream gets the path as the client encoded it; httpd's own sections see it decoded, but for
     * "%2F", as with AllowEncodedSlashes NoDecode. */
    apipool_request_t *req = apr_pcalloc(r->pool, sizeof(*req));
    req->encoded_uri = r->uri;
    r->uri = r->parsed_uri.path = apr_pstrdup(r->pool, r->uri);
    ap_set_module_config(r->request_config, &apipool_module, req);
    int status = ap_unescape_url_keep2f(r->uri, 0);
    return status == OK ? DONE : status;
}

/* The next character of an encoded path; *path moves behind it. */
static char next_char(const char **path)
{
    const char *p = *path;
    if (p[0] == '%' && apr_isxdigit(p[1]) && apr_isxdigit(p[2]) && ap_cstr_casecmpn(p, "%2f", 3)) {
        char digits[3] = {p[1], p[2], '\0'};
        *path += 3;
        return (char)strtol(digits, NULL, 16);
    }
    ++*path;
    return *p;
}

/* httpd matches locations as if repeated slashes were one. */
static const char *path_below(const char *uri, const char *mount)
{
    const char *path = uri;
    for (; *mount; mount++) {
        while (*mount == '/' && path[0] == '/' && path[1] == '/') {
            path++;
        }
        if (next_char(&path) != *mount) {
            return uri;
        }
    }
    while (path[0] == '/' && path[1] == '/') {
        path++;
    }
    return path;
}

/* An alias stands for a path, and the path for the alias where strategies are concerned. */
static void find_endpoint(apipool_request_t *req)
{
    for (int i = 0; i < req->pool->endpoints->nelts; i++) {
        const apipool_endpoint_t *endpoint =
            &APR_ARRAY_IDX(req->pool->endpoints, i, apipool_endpoint_t);
        if (*req->path == '/' && !strcmp(req->path + 1, endpoint->alias)) {
            req->path = endpoint->path;
        }
        if (!strcmp(req->path, endpoint->path)) {
            req->endpoint = endpoint->alias;
            return;
        }
    }
}

#define DECODINGS 3 /* of one path, by proxies one behind the other */

/* An upstream may decode what hides an endpoint from us, and its answers cost tokens all the same. Where an
 * operator has sent an alias to a path that is in no table, it generates. */
static void find_kind(apipool_request_t *req)
{
    const char *method = req->r->method;
    const char *reading = req->plain = req->path;
    req->kind = apipool_endpoint_find(method, reading);
    for (int i = 0; i < DECODINGS && !apipool_endpoint_is_plain(reading); i++) {
        char *plainer = apr_pstrdup(req->r->pool, reading);
        apipool_endpoint_make_plain(plainer);
        apipool_endpoint_e kind = apipool_endpoint_find(method, plainer);
        req->kind = kind > req->kind ? kind : req->kind;
        req->plain = i ? req->plain : plainer;
        reading = plainer;
    }
    if (req->kind == APIPOOL_ENDPOINT_UNLISTED && req->endpoint && !strcmp(method, "POST")) {
        req->kind = APIPOOL_ENDPOINT_JOB;
    }
}

/* The query without the arguments in which Google's APIs take credentials. */
static const char *plain_query(apr_pool_t *p, const char *args)
{
    const char *kept = NULL;
    while (args && *args) {
        const char *arg = ap_getword(p, &args, '&');
        if (strncmp(arg, "key=", 4) && strncmp(arg, "access_token=", 13)) {
            kept = kept ? apr_pstrcat(p, kept, "&", arg, NULL) : arg;
        }
    }
    return kept;
}

char *apipool_request_url(const apipool_request_t *req, const apipool_upstream_t *upstream)
{
    const char *args = req->r->args;
    if (req->probing) {
        return apr_pstrdup(req->r->pool, req->probing->url);
    }
    int bare = !*req->path && !ap_strchr_c(ap_strstr_c(upstream->url, "//") + 2, '/');
    if (args && (ap_strstr_c(args, "key=") || ap_strstr_c(args, "access_token="))) {
        args = plain_query(req->r->pool, args);
    }
    return apr_pstrcat(req->r->pool, upstream->url, bare ? "/" : "", req->path, args ? "?" : "",
                       args ? args : "", NULL);
}

int apipool_request_translate(request_rec *r)
{
    apipool_request_t *req = apipool_request_get(r);
    if (!req || !is_served(r)) {
        ap_set_module_config(r->request_config, &apipool_module, NULL);
        return DECLINED;
    }
    const apipool_dir_conf_t *dir = dir_conf(r);
    req->r = r;
    req->pool = dir->use->pool;
    req->path = path_below(req->encoded_uri, dir->use->mount);
    req->expose = dir->expose == 1;
    req->cors = dir->cors && (dir->cors->any || dir->cors->origins->nelts);
    find_endpoint(req);
    find_kind(req);

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
