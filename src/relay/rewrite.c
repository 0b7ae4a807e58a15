/* SPDX-License-Identifier: Apache-2.0
 * Addresses of upstreams in their responses, made to lead through the pool. */
#include "rewrite.h"

#include <apr_strings.h>
#include <http_core.h>
#include <util_filter.h>

#include "ascii.h"
#include "content_type.h"
#include "json_urls.h"

static ap_filter_rec_t *rewrite_handle;

/* What is behind the base path; NULL: the path is not below it. */
static const char *below(const char *path, const char *base_path)
{
    apr_size_t len = strlen(base_path);
    int is_below = !strncmp(path, base_path, len) && (!path[len] || strchr("/?#", path[len]));
    return is_below ? path + len : NULL;
}

/* The part of a URL from its path on; NULL: it leads to another host. */
static const char *path_at(apr_pool_t *p, const char *url, const char *base)
{
    apr_uri_t uri, own;
    if (apr_uri_parse(p, url, &uri) != APR_SUCCESS || !uri.scheme || !uri.hostname || uri.user ||
        apr_uri_parse(p, base, &own) != APR_SUCCESS || ap_cstr_casecmp(uri.scheme, own.scheme) ||
        ap_cstr_casecmp(uri.hostname, own.hostname)) {
        return NULL;
    }
    apr_port_t usual = apr_uri_port_of_scheme(own.scheme);
    apr_port_t port = uri.port_str ? uri.port : usual;
    url = strchr(url, ':') + 3;
    return port == (own.port_str ? own.port : usual) ? url + strcspn(url, "/?#") : NULL;
}

static const char *rewrite(const apipool_request_t *req, const apipool_upstream_conf_t *upstream,
                           const char *url, apr_pool_t *p)
{
    int is_path = *url == '/';
    const char *path = is_path ? url : path_at(p, url, upstream->url);
    const char *rest = path ? below(path, upstream->base_path) : NULL;
    if (!rest) {
        return NULL;
    }
    const char *own = apr_pstrcat(p, ap_os_escape_path(p, req->mount, 1), rest, NULL);
    return is_path ? own : ap_construct_url(p, own, req->r);
}

const char *apipool_rewrite_url(const apipool_request_t *req, const char *url, apr_pool_t *p)
{
    const char *own = NULL;
    if (!req->mount || (url[0] == '/' && url[1] == '/')) {
        return NULL;
    }
    own = rewrite(req, req->attempt.upstream, url, p);
    for (int i = 0; !own && *url != '/' && i < req->pool->upstreams->nelts; i++) {
        own =
            rewrite(req, &APR_ARRAY_IDX(req->pool->upstreams, i, apipool_upstream_conf_t), url, p);
    }
    return own;
}

typedef struct {
    apipool_request_t *req;
    apr_bucket_brigade *out;
    apipool_json_urls_t urls;
    apipool_json_urls_to_t to;
    apr_pool_t *scratch; /* for one address: a response may have very many */
    int has_begun;
} context_t;

/* A JSON string needs no escapes for what an address has. */
static const char *map(void *data, const char *url)
{
    const context_t *ctx = data;
    apr_pool_clear(ctx->scratch);
    return ctx->req->attempts ? apipool_rewrite_url(ctx->req, url, ctx->scratch) : NULL;
}

static void write_out(void *data, const char *text, apr_size_t len)
{
    apr_brigade_write(((context_t *)data)->out, NULL, NULL, text, len);
}

static int is_json(const request_rec *r)
{
    return r->content_type && apipool_ascii_find(r->content_type, "json") &&
           !apipool_content_is_encoded(r) && r->status != HTTP_PARTIAL_CONTENT && !r->header_only;
}

static apr_status_t rewrite_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    context_t *ctx = f->ctx;
    apr_status_t rv = APR_SUCCESS;
    if (!ctx->has_begun && !is_json(f->r)) {
        ap_remove_output_filter(f);
        return ap_pass_brigade(f->next, bb);
    }
    if (!ctx->has_begun) {
        apr_table_unset(f->r->headers_out, "Content-Length");
        apr_table_unset(f->r->headers_out, "Content-MD5");
        ctx->has_begun = 1;
        apr_pool_create(&ctx->scratch, f->r->pool);
        ctx->out = apr_brigade_create(f->r->pool, bb->bucket_alloc);
    }
    while (rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(bb)) {
        apr_bucket *b = APR_BRIGADE_FIRST(bb);
        const char *data;
        apr_size_t len;
        if (APR_BUCKET_IS_METADATA(b)) {
            if (APR_BUCKET_IS_EOS(b) || AP_BUCKET_IS_ERROR(b)) {
                apipool_json_urls_finish(&ctx->urls, &ctx->to);
            }
            APR_BUCKET_REMOVE(b);
            APR_BRIGADE_INSERT_TAIL(ctx->out, b);
            continue;
        }
        rv = apr_bucket_read(b, &data, &len, APR_BLOCK_READ);
        if (rv == APR_SUCCESS) {
            apipool_json_urls_feed(&ctx->urls, data, len, &ctx->to);
            apr_bucket_delete(b);
        }
    }
    rv = rv == APR_SUCCESS ? ap_pass_brigade(f->next, ctx->out) : rv;
    apr_brigade_cleanup(ctx->out);
    return rv;
}

void apipool_rewrite_install(apipool_request_t *req)
{
    if (req->rewrites) {
        context_t *ctx = apr_pcalloc(req->r->pool, sizeof(*ctx));
        ctx->req = req;
        ctx->to = (apipool_json_urls_to_t){.map = map, .write = write_out, .data = ctx};
        ap_add_output_filter_handle(rewrite_handle, ctx, req->r, req->r->connection);
    }
}

void apipool_rewrite_register_filter(void)
{
    rewrite_handle =
        ap_register_output_filter("APIPOOL_REWRITE", rewrite_filter, NULL, AP_FTYPE_RESOURCE);
}
