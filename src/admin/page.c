/* SPDX-License-Identifier: Apache-2.0
 * Serves the dashboard's static files. */
#include "admin.h"

#include <apr_file_info.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <http_request.h>

static const struct {
    const char *ending, *type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".svg", "image/svg+xml"},
};

/* Only files of the dashboard are sent, whatever else is in the folder. */
static const char *type_of(const char *path)
{
    apr_size_t len = strlen(path);
    for (apr_size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        apr_size_t ending = strlen(types[i].ending);
        if (len > ending && !strcmp(path + len - ending, types[i].ending)) {
            return types[i].type;
        }
    }
    return NULL;
}

static void set_headers(request_rec *r, const char *type)
{
    ap_set_content_type(r, type);
    apr_table_setn(
        r->headers_out, "Content-Security-Policy",
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'");
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    apr_table_setn(r->headers_out, "Referrer-Policy", "no-referrer");
    apr_table_setn(r->headers_out, "Cache-Control", "no-cache");
}

int apipool_admin_send_page(request_rec *r, const char *root, const char *path)
{
    char *name;
    apr_file_t *file;
    apr_size_t sent;
    const char *type = type_of(*path ? path : "index.html");
    apr_status_t rv = apr_filepath_merge(&name, root, *path ? path : "index.html",
                                         APR_FILEPATH_SECUREROOT, r->pool);
    if (!*path && r->uri[strlen(r->uri) - 1] != '/') {
        /* the page's links are relative to its folder */
        apr_table_setn(r->headers_out, "Location", apr_pstrcat(r->pool, r->uri, "/", NULL));
        return HTTP_MOVED_PERMANENTLY;
    }
    if (rv == APR_SUCCESS && type) {
        rv = apr_file_open(&file, name, APR_FOPEN_READ | APR_FOPEN_BINARY, 0, r->pool);
    }
    if (rv != APR_SUCCESS || !type ||
        apr_file_info_get(&r->finfo, APR_FINFO_MIN, file) != APR_SUCCESS ||
        r->finfo.filetype != APR_REG) {
        return apipool_admin_error(r, HTTP_NOT_FOUND, "not_found", "There is no such page.");
    }
    set_headers(r, type);
    ap_set_content_length(r, r->finfo.size);
    ap_update_mtime(r, r->finfo.mtime);
    ap_set_last_modified(r);
    ap_set_etag(r);
    int status = ap_meets_conditions(r);
    if (status == OK) {
        ap_send_fd(file, r, 0, (apr_size_t)r->finfo.size, &sent);
    }
    return status;
}
