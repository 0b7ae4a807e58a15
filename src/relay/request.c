/* SPDX-License-Identifier: Apache-2.0
 * From a path below the mount to a request that mod_proxy serves. */
#include "request.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>

#include "client_key.h"
#include "credential.h"
#include "percent.h"

void apipool_request_raise_log_level(request_rec *r)
{
    int level = apipool_segment_log_level(apipool_lifecycle_segment());
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

/* Whether a parameter of the segment follows (RFC 3986, 3.3): some servers take it off before they look. */
static int parameter(const char *path)
{
    return *path == ';' || !ap_cstr_casecmpn(path, "%3b", 3);
}

/* httpd has removed plain dot segments and decoded "%2e", but leaves those between encoded slashes, and those
 * with parameters: these look like names, so the sections of a folder below would not hold for them. */
static int climbs(const char *path)
{
    for (; *path; path++) {
        int len = separator(path);
        if (!len) {
            continue;
        }
        const char *name = path + len, *end = name + strspn(name, ".");
        int dots = (int)(end - name);
        if ((dots == 2 && (!*end || separator(end))) ||
            ((dots == 1 || dots == 2) && parameter(end))) {
            return 1;
        }
    }
    return 0;
}

/* For httpd's own sections, of which a parameter must not be the way around. A segment of nothing else goes
 * with its slash. */
static void drop_parameters(char *path)
{
    char *end = path;
    while (*path) {
        if (*path != ';') {
            *end++ = *path++;
            continue;
        }
        path += strcspn(path, "/");
        path += *path == '/' && end[-1] == '/';
    }
    *end = '\0';
}

/* Whether two paths differ in nothing but how many slashes there are at a time. */
static int is_same_but_slashes(const char *a, const char *b)
{
    while (*a && *a == *b) {
        int is_slash = *a == '/';
        a += is_slash ? strspn(a, "/") : 1;
        b += is_slash ? strspn(b, "/") : 1;
    }
    return *a == *b;
}

/* httpd has merged slashes, which mean something to some upstreams: a URL in a path, for one. Where
 * they matter for dot segments, its reading holds. */
static const char *with_slashes(request_rec *r)
{
    apr_uri_t uri;
    const char *target = r->unparsed_uri;
    while (target[0] == '/' && target[1] == '/') {
        target++;
    }
    if (!ap_strstr_c(target, "//") || apr_uri_parse(r->pool, target, &uri) != APR_SUCCESS ||
        !uri.path ||
        !ap_normalize_path(uri.path,
                           AP_NORMALIZE_NOT_ABOVE_ROOT | AP_NORMALIZE_DECODE_UNRESERVED)) {
        return r->uri;
    }
    return is_same_but_slashes(uri.path, r->uri) ? uri.path : r->uri;
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
    apipool_client_key_mask(r->uri);
    const char *encoded_uri = with_slashes(r);
    if (climbs(encoded_uri)) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      APIPOOL_LOG(0012) "refused a path that leads out of its location");
        return HTTP_BAD_REQUEST;
    }
    /* The upstream gets the path as the client encoded it; httpd's own sections see it decoded, but for
     * "%2F", as with AllowEncodedSlashes NoDecode. */
    apipool_request_t *req = apr_pcalloc(r->pool, sizeof(*req));
    req->encoded_uri = encoded_uri;
    r->uri = r->parsed_uri.path = apr_pstrdup(r->pool, r->uri);
    ap_set_module_config(r->request_config, &apipool_module, req);
    int status = ap_unescape_url_keep2f(r->uri, 0);
    drop_parameters(r->uri);
    return status == OK ? DONE : status;
}

/* The next character of an encoded path, in which an encoded slash is none; *path moves behind it. */
static char next_char(const char **path)
{
    return ap_cstr_casecmpn(*path, "%2f", 3) ? apipool_percent_next(path) : *(*path)++;
}

/* httpd matches locations as if repeated slashes were one; those below go upstream. NULL: the path
 * is below the mount only without its parameters, and what an upstream would make of it is not
 * known. */
static const char *path_below(const char *uri, const char *mount)
{
    const char *path = uri;
    for (; *mount; mount++) {
        while (*mount == '/' && path[0] == '/' && path[1] == '/') {
            path++;
        }
        if (next_char(&path) != *mount) {
            return NULL;
        }
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

void apipool_request_hush(request_rec *r)
{
    const module *proxy = ap_find_linked_module("mod_proxy.c");
    if (proxy) {
        struct ap_logconf *log = ap_new_log_config(r->pool, r->log ? r->log : &r->server->log);
        ap_set_module_loglevel(r->pool, log, proxy->module_index, APLOG_CRIT);
        r->log = log;
    }
}

char *apipool_request_url(const apipool_request_t *req, const apipool_upstream_conf_t *upstream)
{
    if (req->probing) {
        return apr_pstrdup(req->r->pool, req->probing->url);
    }
    const char *args =
        apipool_provider_public_query(req->r->pool, upstream->provider, req->r->args);
    int bare = !*req->path && !ap_strchr_c(ap_strstr_c(upstream->url, "//") + 2, '/');
    return apr_pstrcat(req->r->pool, upstream->url, bare ? "/" : "", req->path, args ? "?" : "",
                       args ? args : "", NULL);
}

int apipool_request_translate(request_rec *r)
{
    apipool_request_t *req = apipool_request_get(r);
    if (!req || !is_served(r)) {
        apipool_credential_show_uri(r);
        ap_set_module_config(r->request_config, &apipool_module, NULL);
        return DECLINED;
    }
    const apipool_dir_conf_t *dir = dir_conf(r);
    req->r = r;
    req->pool = dir->use->pool;
    req->mount = dir->use->mount;
    req->path = path_below(req->encoded_uri, req->mount);
    if (!req->path) {
        return HTTP_BAD_REQUEST;
    }
    req->expose = dir->expose == 1;
    req->rewrites = dir->rewrites == 1;
    req->cors = dir->cors && (dir->cors->any || dir->cors->origins->nelts);
    req->query_key = apipool_credential_take(r);
    find_endpoint(req);
    find_kind(req);

    r->filename = apr_pstrcat(
        r->pool, "proxy:", APR_ARRAY_IDX(req->pool->upstreams, 0, apipool_upstream_conf_t).url,
        req->path, NULL);
    r->handler = "proxy-server";
    r->proxyreq = PROXYREQ_REVERSE;
    /* the path goes out as it came in */
    apr_table_setn(r->notes, "proxy-nocanon", "1");
    return OK;
}
